//! Tensor data outside the model's file, and the one place where files are memory-mapped.

use super::ModelError;
use super::onnx::TensorProto;
use super::onnx::tensor_proto::DataLocation;
use bytes::Bytes;
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;

/// A file as bytes, mapped and not read.
pub(super) fn map(path: &Path) -> std::io::Result<Bytes> {
    let file = std::fs::File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(std::io::Error::new(std::io::ErrorKind::IsADirectory, "is a folder, not a model"));
    }
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the map is read-only. As with any mapped file, another program that truncates it
    // while it is open can end this one with SIGBUS; fixcon itself only ever replaces files by renaming.
    #[allow(unsafe_code)]
    let map = unsafe { memmap2::Mmap::map(&file)? };
    Ok(Bytes::from_owner(map))
}

/// The external data files of one model, mapped when first needed.
#[derive(Debug)]
pub(super) struct External {
    folder: Option<PathBuf>,
    files: Mutex<HashMap<PathBuf, Bytes>>,
}

impl External {
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, files: Mutex::default() }
    }

    pub(super) fn raw_data(&self, tensor: &TensorProto) -> Result<Option<Bytes>, ModelError> {
        if tensor.data_location() != DataLocation::External {
            return Ok(tensor.raw_data.clone());
        }
        let bad = |why: String| ModelError::Tensor { tensor: tensor.name().into(), why };
        let entry = |key: &str| tensor.external_data.iter().find(|e| e.key() == key).map(|e| e.value());
        let number = |key: &str| match entry(key) {
            None => Ok(None),
            Some(text) => text.parse::<usize>().map(Some).map_err(|_| bad(format!("external_data {key} = '{text}' is no number"))),
        };
        let location = entry("location").ok_or_else(|| bad("external_data has no location".into()))?;
        let inside = Path::new(location).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if !inside {
            return Err(bad(format!("external data '{location}' lies outside the model's folder, which is refused")));
        }
        let folder = self.folder.as_ref().ok_or_else(|| bad("external data needs a model that was read from a file".into()))?;
        let path = folder.join(location);
        let data = {
            let mut files = self.files.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match files.get(&path) {
                Some(data) => data.clone(),
                None => {
                    let data = map(&path).map_err(|e| bad(format!("external data {}: {e}", path.display())))?;
                    files.insert(path.clone(), data.clone());
                    data
                }
            }
        };
        let offset = number("offset")?.unwrap_or(0);
        let length = number("length")?.unwrap_or(data.len().saturating_sub(offset));
        match offset.checked_add(length) {
            Some(end) if end <= data.len() => Ok(Some(data.slice(offset..end))),
            _ => Err(bad(format!("external data {} has {} bytes; {offset} + {length} are asked for", path.display(), data.len()))),
        }
    }
}
