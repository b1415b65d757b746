//! Large tensors beside the log: a folder named after it, each in a file named by its SHA-256.

use super::digest::{file_sha256, sha256_hex};
use crate::model::{Existing, ModelError, folder, read_file, sync_folder, write_whole};
use bytes::Bytes;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Bytes above which a file is not read.
const LARGEST: u64 = 4 << 30;

/// The folder beside a log.
#[derive(Debug, Clone)]
pub(super) struct SideFiles {
    folder: PathBuf,
}

/// The folder beside a log in which its large tensors and exhibits lie.
pub fn side_folder(log: &Path) -> PathBuf {
    let mut name = log.file_name().unwrap_or_default().to_os_string();
    name.push(".tensors");
    log.with_file_name(name)
}

impl SideFiles {
    pub fn of(log: &Path) -> Self {
        Self { folder: side_folder(log) }
    }

    /// Keeps bytes whose SHA-256 is given: they are on the disk when this returns. Gives the file's name.
    pub fn keep(&self, bytes: &[u8], sha256: &str) -> Result<String, ModelError> {
        let name = format!("{sha256}.bin");
        let path = self.folder.join(&name);
        let io = |e: std::io::Error| ModelError::Io { path: path.clone(), why: e.to_string() };
        // What a crash or another hand left there is not trusted by its name.
        if path.is_file() && file_sha256(&path).is_ok_and(|found| found == sha256) {
            return Ok(name);
        }
        std::fs::create_dir_all(&self.folder).map_err(io)?;
        sync_folder(folder(&self.folder));
        write_whole(&path, Existing::Replace, |mut file| file.write_all(bytes)).map_err(io)?;
        Ok(name)
    }

    /// The bytes kept under a name.
    pub fn load(&self, name: &str) -> Result<Bytes, ModelError> {
        let path = self.folder.join(name);
        let bad = |why: String| ModelError::Io { path: path.clone(), why };
        let sha256 = name.strip_suffix(".bin").unwrap_or_default();
        if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ModelError::Record { what: name.into(), why: "it names a file that no log writes".into() });
        }
        let bytes = read_file(&path, LARGEST).map_err(|e| bad(e.to_string()))?;
        if sha256_hex(&bytes) != sha256 {
            return Err(bad("was changed after it was written: its SHA-256 is not its name".into()));
        }
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_and_what_was_changed_is_not_trusted() {
        let root = tempfile::tempdir().unwrap();
        let side = SideFiles::of(&root.path().join("a.jsonl"));
        let sha = sha256_hex(b"data");
        let name = side.keep(b"data", &sha).unwrap();
        let file = root.path().join("a.jsonl.tensors").join(&name);
        assert_eq!(side.load(&name).unwrap(), &b"data"[..]);
        std::fs::write(&file, "dat").unwrap();
        assert!(side.load(&name).unwrap_err().to_string().contains("SHA-256"));
        // Kept again, it is whole again.
        assert_eq!(side.keep(b"data", &sha).unwrap(), name);
        assert_eq!(side.load(&name).unwrap(), &b"data"[..]);
        std::fs::remove_file(&file).unwrap();
        assert!(side.load(&name).unwrap_err().to_string().contains(&name));
        for outside in ["../a.jsonl", "/etc/passwd", "x.bin", &format!("../{sha}.bin")] {
            assert!(side.load(outside).unwrap_err().to_string().contains("no log writes"), "{outside}");
        }
    }
}
