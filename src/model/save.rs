//! Writing a model: in a stream, whole or not at all, its external data with it.

use super::file::{Head, Model, number};
use super::{ModelError, wire};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::io::{BufWriter, Write};
use std::path::Path;

/// What [`Model::save`] does when the file exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Leaves it and fails.
    Refuse,
    /// Puts the new file in its place.
    Replace,
}

/// The largest message that protobuf readers accept, in bytes.
const LARGEST: usize = i32::MAX as usize;

impl Model {
    /// Writes the model as a file's bytes.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_to(&self, out: &mut impl Write) -> std::io::Result<()> {
        for head in self.head.iter() {
            match head {
                Head::Graph => {
                    let mut start = Vec::with_capacity(16);
                    wire::put_header(number::GRAPH, self.graph.encoded_len(), &mut start);
                    out.write_all(&start)?;
                    for part in &self.graph.parts {
                        out.write_all(&part.bytes())?;
                    }
                }
                Head::Metadata(_, field) | Head::Other(field) => out.write_all(&field.whole)?,
            }
        }
        Ok(())
    }

    /// The model as a file's bytes, in memory.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.encoded_len());
        // Writing to memory does not fail.
        let _ = self.write_to(&mut out);
        out
    }

    /// Size of the file, in bytes, external data left out.
    pub fn encoded_len(&self) -> usize {
        let fields = self.head.iter().map(|head| match head {
            Head::Graph => {
                let length = self.graph.encoded_len();
                length + 1 + prost::length_delimiter_len(length)
            }
            Head::Metadata(_, field) | Head::Other(field) => field.whole.len(),
        });
        fields.sum()
    }

    /// SHA-256 of the file's bytes, in hexadecimal. External data are not part of it: see [`Model::external_sha256`].
    pub fn sha256(&self) -> String {
        let mut out = Hashing { inner: std::io::sink(), hash: Sha256::new() };
        // Writing to nowhere does not fail.
        let _ = self.write_to(&mut out);
        hex(&out.hash.finalize())
    }

    /// SHA-256 of each external data file that the model refers to, by its location.
    ///
    /// # Errors
    /// A file that is missing or refused.
    pub fn external_sha256(&self) -> Result<Vec<(String, String)>, ModelError> {
        let files = self.external_locations().into_iter();
        files.map(|location| Ok((location.to_string(), hex(&Sha256::digest(self.external.file(location)?))))).collect()
    }

    /// Locations of the external data files that the model refers to.
    pub fn external_locations(&self) -> BTreeSet<&str> {
        let mut out = BTreeSet::new();
        super::external::visit_tensors(self, &mut |tensor| out.extend(super::external::location(tensor)));
        out
    }

    /// Writes the model to a file: to a temporary one beside it first, which is synced and then renamed. External data stay external: files
    /// that the model refers to are copied when the folder is another one. Gives the SHA-256 of the file, in hexadecimal.
    ///
    /// # Errors
    /// When the file exists and is not to be replaced, cannot be written, or would be larger than the 2 GiB that protobuf allows; when external
    /// data are missing, or other data of the same name lie in the new folder. Nothing is half-written.
    pub fn save(&self, path: impl AsRef<Path>, existing: Existing) -> Result<String, ModelError> {
        let path = path.as_ref();
        if self.encoded_len() > LARGEST {
            let why = format!(
                "it would have {} bytes; an ONNX file has at most {LARGEST}, larger weights belong into external data",
                self.encoded_len()
            );
            return Err(ModelError::Io { path: path.into(), why });
        }
        check_free(path, existing)?;
        self.save_external(folder(path), existing)?;
        write_atomically(path, existing, |out| self.write_to(out))
    }

    fn save_external(&self, to: &Path, existing: Existing) -> Result<(), ModelError> {
        for location in self.external_locations() {
            let from = self.external.resolve(location)?;
            let target = to.join(location);
            let io = |e: std::io::Error| ModelError::Io { path: target.clone(), why: e.to_string() };
            if target.canonicalize().is_ok_and(|t| t == from) {
                continue;
            }
            let data = self.external.file(location)?;
            if std::fs::metadata(&target).is_ok_and(|m| m.len() == data.len() as u64) && super::external::load(&target).map_err(io)? == data
            {
                continue;
            }
            check_free(&target, existing)?;
            std::fs::create_dir_all(folder(&target)).map_err(io)?;
            write_atomically(&target, existing, |out| out.write_all(&data))?;
        }
        Ok(())
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn check_free(path: &Path, existing: Existing) -> Result<(), ModelError> {
    match std::fs::metadata(path) {
        Ok(m) if !m.is_file() => Err(ModelError::Io { path: path.into(), why: "is there and is no regular file".into() }),
        Ok(_) if existing == Existing::Refuse => Err(ModelError::Exists { path: path.into() }),
        _ => Ok(()),
    }
}

/// Writes a file whole or not at all; gives its SHA-256.
fn write_atomically(
    path: &Path,
    existing: Existing,
    write: impl FnOnce(&mut Hashing<BufWriter<&std::fs::File>>) -> std::io::Result<()>,
) -> Result<String, ModelError> {
    let io = |e: std::io::Error| ModelError::Io { path: path.into(), why: e.to_string() };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".fixcon-").suffix(".tmp");
    #[cfg(unix)]
    // What the umask leaves, as for any new file; the temporary file alone would be closed to others.
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file = builder.tempfile_in(folder(path)).map_err(io)?;
    let hash = {
        let mut out = Hashing { inner: BufWriter::with_capacity(1 << 16, file.as_file()), hash: Sha256::new() };
        write(&mut out).and_then(|()| out.flush()).map_err(io)?;
        out.hash.finalize()
    };
    file.as_file().sync_all().map_err(io)?;
    match existing {
        Existing::Replace => file.persist(path).map_err(|e| io(e.error))?,
        Existing::Refuse => file.persist_noclobber(path).map_err(|e| match e.error.kind() {
            std::io::ErrorKind::AlreadyExists => ModelError::Exists { path: path.into() },
            _ => io(e.error),
        })?,
    };
    // The rename itself must survive a crash; not every file system lets a folder be synced.
    if let Ok(folder) = std::fs::File::open(folder(path)) {
        let _ = folder.sync_all();
    }
    Ok(hex(&hash))
}

struct Hashing<W> {
    inner: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.hash.update(&bytes[..n]);
        Ok(n)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
