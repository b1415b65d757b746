//! Tensor data outside the model's file, and the one place where files are memory-mapped.

use super::onnx::tensor_proto::DataLocation;
use super::onnx::{AttributeProto, GraphProto, TensorProto};
use super::{Model, ModelError, regular};
use bytes::Bytes;
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;

/// Files up to this size are read: another program may truncate a file while it is open, which would end this one when it is mapped.
const READ_UP_TO: u64 = 256 << 20;

/// The bytes of a file; mapped when it is large.
pub(super) fn load(path: &Path) -> std::io::Result<Bytes> {
    if regular(path)?.len() <= READ_UP_TO {
        return std::fs::read(path).map(Bytes::from);
    }
    let file = std::fs::File::open(path)?;
    // SAFETY: the map is read-only. As with any mapped file, another program that truncates it
    // while it is open can end this one with SIGBUS; fixcon itself only ever replaces files by renaming.
    #[allow(unsafe_code)]
    let map = unsafe { memmap2::Mmap::map(&file)? };
    Ok(Bytes::from_owner(map))
}

/// The external data files of one model, loaded when first needed.
#[derive(Debug, Default)]
pub(super) struct External {
    /// The folder of the model, and that of the file which it links to: caches of downloads keep model and data as links to one folder.
    folders: Vec<PathBuf>,
    files: Mutex<HashMap<PathBuf, Bytes>>,
}

/// Where the data of a tensor lie, when outside the file.
pub(super) fn location(tensor: &TensorProto) -> Option<&str> {
    if tensor.data_location() != DataLocation::External {
        return None;
    }
    tensor.external_data.iter().find(|e| e.key() == "location").map(|e| e.value())
}

impl External {
    pub(super) fn new(model: Option<&Path>) -> Self {
        let Some(model) = model else {
            return Self::default();
        };
        let folder = match model.parent() {
            Some(p) if !p.as_os_str().is_empty() => p.to_path_buf(),
            _ => PathBuf::from("."),
        };
        let linked = model.canonicalize().ok().and_then(|p| p.parent().map(Path::to_path_buf));
        Self { folders: [Some(folder), linked].into_iter().flatten().collect(), files: Mutex::default() }
    }

    /// The file of a location, links followed.
    pub(super) fn resolve(&self, location: &str) -> Result<PathBuf, ModelError> {
        let bad = |why: String| ModelError::External { location: location.into(), why };
        let inside =
            !location.is_empty() && Path::new(location).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if !inside {
            return Err(bad("lies outside the model's folder, which is refused".into()));
        }
        let folder = self.folders.first().ok_or_else(|| bad("needs a model that was read from a file".into()))?;
        let path = folder.join(location).canonicalize().map_err(|e| bad(e.to_string()))?;
        let allowed = self.folders.iter().filter_map(|f| f.canonicalize().ok()).any(|f| path.starts_with(f));
        if allowed { Ok(path) } else { Err(bad("links to outside the model's folder, which is refused".into())) }
    }

    /// The bytes of a whole file.
    pub(super) fn file(&self, location: &str) -> Result<Bytes, ModelError> {
        let path = self.resolve(location)?;
        let mut files = self.files.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(data) = files.get(&path) {
            return Ok(data.clone());
        }
        let data = load(&path).map_err(|e| ModelError::External { location: location.into(), why: e.to_string() })?;
        files.insert(path, data.clone());
        Ok(data)
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
        let data = self.file(location).map_err(|e| bad(e.to_string()))?;
        let offset = number("offset")?.unwrap_or(0);
        let length = number("length")?.unwrap_or(data.len().saturating_sub(offset));
        match offset.checked_add(length) {
            Some(end) if end <= data.len() => Ok(Some(data.slice(offset..end))),
            _ => Err(bad(format!("external data '{location}' has {} bytes; {offset} + {length} are asked for", data.len()))),
        }
    }
}

/// Every tensor of a model: initializers, those in attributes, in sub-graphs, in functions.
pub(super) fn visit_tensors<'a>(model: &'a Model, visit: &mut impl FnMut(&'a TensorProto)) {
    model.initializers().for_each(&mut *visit);
    for sparse in model.sparse_initializers() {
        sparse.values.iter().chain(&sparse.indices).for_each(&mut *visit);
    }
    let functions = model.proto().functions.iter();
    let attributes = model.nodes().map(|(_, n)| n).chain(functions.flat_map(|f| &f.node)).flat_map(|n| &n.attribute);
    attributes.chain(model.proto().functions.iter().flat_map(|f| &f.attribute_proto)).for_each(|a| in_attribute(a, visit));
    for info in &model.proto().training_info {
        info.initialization.iter().chain(&info.algorithm).for_each(|g| in_graph(g, visit));
    }
}

fn in_attribute<'a>(attribute: &'a AttributeProto, visit: &mut impl FnMut(&'a TensorProto)) {
    attribute.t.iter().chain(&attribute.tensors).for_each(&mut *visit);
    for sparse in attribute.sparse_tensor.iter().chain(&attribute.sparse_tensors) {
        sparse.values.iter().chain(&sparse.indices).for_each(&mut *visit);
    }
    attribute.g.iter().chain(&attribute.graphs).for_each(|g| in_graph(g, visit));
}

fn in_graph<'a>(graph: &'a GraphProto, visit: &mut impl FnMut(&'a TensorProto)) {
    graph.initializer.iter().for_each(&mut *visit);
    for sparse in &graph.sparse_initializer {
        sparse.values.iter().chain(&sparse.indices).for_each(&mut *visit);
    }
    graph.node.iter().flat_map(|n| &n.attribute).for_each(|a| in_attribute(a, visit));
}
