//! Writing a model: in a stream, whole or not at all, its external data with it.

use super::ModelError;
use super::file::{Entry, Head, Model, Part};
use super::files::{Existing, folder, write_whole};
use super::onnx::StringStringEntryProto;
use super::onnx::tensor_proto::DataLocation;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

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
                Head::Graph(header, was) => {
                    out.write_all(&Head::graph_header(header, *was, self.graph.encoded_len()))?;
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
            Head::Graph(header, was) => {
                let length = self.graph.encoded_len();
                length + Head::graph_header(header, *was, length).len()
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
    /// Tensors that edits brought are written into the file. Only where it would grow beyond the 2 GiB that protobuf allows, the largest of
    /// them go to a data file beside it, `NAME.edits.data`, or `NAME.edits-2.data` where the model has one of that name already.
    ///
    /// # Errors
    /// When the file exists and is not to be replaced, cannot be written, or is too large all the same; when external data are missing, or
    /// other data of the same name lie in the new folder. Nothing is half-written.
    pub fn save(&self, path: impl AsRef<Path>, existing: Existing) -> Result<String, ModelError> {
        self.save_within(path.as_ref(), existing, LARGEST)
    }

    fn save_within(&self, path: &Path, existing: Existing, limit: usize) -> Result<String, ModelError> {
        check_free(path, existing)?;
        let location = self.free_location(&path.file_name().unwrap_or_default().to_string_lossy());
        let (model, moved) = self.with_edits_outside(&location, limit);
        if model.encoded_len() > limit {
            let why = format!(
                "it would have {} bytes; an ONNX file has at most {limit}, larger weights belong into external data",
                model.encoded_len()
            );
            return Err(ModelError::Io { path: path.into(), why });
        }
        self.save_external(folder(path), existing)?;
        if !moved.is_empty() {
            let data = path.with_file_name(&location);
            check_free(&data, existing)?;
            put_hashed(&data, existing, |out| moved.iter().try_for_each(|tensor| out.write_all(tensor)))?;
        }
        put_hashed(path, existing, |out| model.write_to(out))
    }

    /// Where edited tensors may go beside a file of this name. The model may refer to `NAME.edits.data` itself, when it was saved with one
    /// before: those data stay what they are.
    fn free_location(&self, name: &str) -> String {
        let taken = self.external_locations();
        let mut location = format!("{name}.edits.data");
        let mut n = 1;
        while taken.iter().any(|l| Path::new(l).file_name().is_some_and(|f| f == location.as_str())) {
            n += 1;
            location = format!("{name}.edits-{n}.data");
        }
        location
    }

    /// As few of the tensors that edits brought as need be, the largest first, as external data; with these data, in order.
    fn with_edits_outside(&self, location: &str, limit: usize) -> (Self, Vec<Bytes>) {
        let mut size = self.encoded_len();
        let mut moved = Vec::new();
        let mut graph = (*self.graph).clone();
        let data = |part: &Part| match part {
            Part::Initializer(e) if e.is_new() => e.message.raw_data.clone(),
            _ => None,
        };
        let mut new: Vec<(usize, Bytes)> = graph.parts.iter().enumerate().filter_map(|(i, p)| Some((i, data(p)?))).collect();
        new.sort_by_key(|(_, data)| std::cmp::Reverse(data.len()));
        let mut offset = 0;
        for (place, data) in new {
            if size <= limit || data.is_empty() {
                break;
            }
            let before = graph.parts[place].encoded_len();
            if let Part::Initializer(e) = &graph.parts[place] {
                let entry = |key: &str, value: String| StringStringEntryProto { key: Some(key.into()), value: Some(value) };
                let mut tensor = e.message.clone();
                tensor.raw_data = None;
                tensor.data_location = Some(DataLocation::External as i32);
                tensor.external_data =
                    vec![entry("location", location.into()), entry("offset", offset.to_string()), entry("length", data.len().to_string())];
                graph.parts[place] = Part::Initializer(Entry::new(tensor));
            }
            size = size - before + graph.parts[place].encoded_len();
            offset += data.len();
            moved.push(data);
        }
        let mut model = self.clone();
        model.graph = Arc::new(graph);
        (model, moved)
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
            // The data that were loaded, not what may have come in their place since.
            put(&target, existing, |mut file| file.write_all(&data))?;
        }
        Ok(())
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
fn put_hashed(
    path: &Path,
    existing: Existing,
    write: impl FnOnce(&mut Hashing<BufWriter<&File>>) -> std::io::Result<()>,
) -> Result<String, ModelError> {
    put(path, existing, |file| {
        let mut out = Hashing { inner: BufWriter::with_capacity(1 << 16, file), hash: Sha256::new() };
        write(&mut out)?;
        out.flush()?;
        Ok(hex(&out.hash.finalize()))
    })
}

/// As [`write_whole`], in this module's errors.
fn put<T>(path: &Path, existing: Existing, fill: impl FnOnce(&File) -> std::io::Result<T>) -> Result<T, ModelError> {
    write_whole(path, existing, fill).map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => ModelError::Exists { path: path.into() },
        _ => ModelError::Io { path: path.into(), why: e.to_string() },
    })
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

/// Bytes in hexadecimal, as digests are written.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Edit;
    use crate::model::onnx::{GraphProto, ModelProto, TensorProto};
    use prost::Message;

    fn tensor(name: &str, size: usize, byte: u8) -> TensorProto {
        TensorProto {
            name: Some(name.into()),
            dims: vec![size as i64],
            data_type: Some(2),
            raw_data: Some(vec![byte; size].into()),
            ..TensorProto::default()
        }
    }

    #[test]
    fn edited_tensors_go_beside_a_file_that_would_grow_too_large() {
        let graph =
            GraphProto { initializer: vec![tensor("a", 100, 1), tensor("b", 3000, 2), tensor("c", 50, 3)], ..GraphProto::default() };
        let file = ModelProto { graph: Some(graph), ..ModelProto::default() }.encode_to_vec();
        let model = Model::read(file.into(), None).unwrap();
        let edits = [("a", 5000), ("c", 2000)].map(|(name, size)| Edit::ReplaceInitializer { tensor: tensor(name, size, 9) });
        let (model, _) = model.apply(&Edit::All(edits.to_vec())).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        model.save_within(&path, Existing::Refuse, 6000).unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() <= 6000);
        assert_eq!(std::fs::read(folder.path().join("m.onnx.edits.data")).unwrap(), [9; 5000]);
        let again = Model::open(&path).unwrap();
        for (name, bytes) in [("a", vec![9; 5000]), ("b", vec![2; 3000]), ("c", vec![9; 2000])] {
            assert_eq!(again.raw_data(again.initializer(name).unwrap()).unwrap().unwrap(), bytes, "{name}");
        }
        assert_eq!(again.initializer("c").unwrap().raw_data().len(), 2000, "what fits stays in the file");
        // Saved once more under that name, the data that it came with are not written over.
        let (more, _) = again.apply(&Edit::ReplaceInitializer { tensor: tensor("c", 5500, 7) }).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let path = elsewhere.path().join("m.onnx");
        more.save_within(&path, Existing::Replace, 6000).unwrap();
        let more = Model::open(&path).unwrap();
        assert_eq!(more.external_locations().into_iter().collect::<Vec<_>>(), ["m.onnx.edits-2.data", "m.onnx.edits.data"]);
        for (name, bytes) in [("a", vec![9; 5000]), ("b", vec![2; 3000]), ("c", vec![7; 5500])] {
            assert_eq!(more.raw_data(more.initializer(name).unwrap()).unwrap().unwrap(), bytes, "{name}");
        }
        // What the file had stays in it: that is the user's layout.
        let error = model.save_within(&folder.path().join("n.onnx"), Existing::Refuse, 2000).unwrap_err().to_string();
        assert!(error.contains("at most 2000"), "{error}");
        assert!(!folder.path().join("n.onnx").exists());
    }
}
