//! A model file: decoded for use, and kept as the bytes it was read from for writing.

use super::external::External;
use super::onnx::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use super::{Index, ModelError, wire};
use bytes::{BufMut, Bytes};
use prost::Message;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One message of a graph, with the bytes of its field when it was read from a file and not changed since.
#[derive(Debug, Clone)]
pub struct Entry<M> {
    /// The decoded message.
    pub message: M,
    wire: Option<Bytes>,
}

impl<M: Message + Default> Entry<M> {
    pub(super) fn new(message: M) -> Arc<Self> {
        Arc::new(Self { message, wire: None })
    }

    fn read(field: &wire::Field) -> Result<Arc<Self>, prost::DecodeError> {
        let content = field.content.clone().unwrap_or_default();
        Ok(Arc::new(Self { message: M::decode(content)?, wire: Some(field.whole.clone()) }))
    }

    fn encoded_len(&self, number: u32) -> usize {
        match &self.wire {
            Some(bytes) => bytes.len(),
            None => prost::encoding::message::encoded_len(number, &self.message),
        }
    }

    fn encode(&self, number: u32, out: &mut Vec<u8>) {
        match &self.wire {
            Some(bytes) => out.put_slice(bytes),
            None => prost::encoding::message::encode(number, &self.message, out),
        }
    }
}

/// One field of a `GraphProto`, in the order of the file.
#[derive(Debug, Clone)]
pub(super) enum Part {
    Node(Arc<Entry<NodeProto>>),
    Initializer(Arc<Entry<TensorProto>>),
    Input(Arc<Entry<ValueInfoProto>>),
    Output(Arc<Entry<ValueInfoProto>>),
    Other(wire::Field),
}

/// Field numbers of `GraphProto` that [`Part`] tells apart.
mod number {
    pub const NODE: u32 = 1;
    pub const INITIALIZER: u32 = 5;
    pub const INPUT: u32 = 11;
    pub const OUTPUT: u32 = 12;
    /// `ModelProto.graph`.
    pub const GRAPH: u32 = 7;
    /// `ModelProto.metadata_props`.
    pub const METADATA: u32 = 14;
}

impl Part {
    fn read(field: wire::Field) -> Result<Self, prost::DecodeError> {
        Ok(match field.number {
            number::NODE => Self::Node(Entry::read(&field)?),
            number::INITIALIZER => Self::Initializer(Entry::read(&field)?),
            number::INPUT => Self::Input(Entry::read(&field)?),
            number::OUTPUT => Self::Output(Entry::read(&field)?),
            _ => Self::Other(field),
        })
    }

    fn encoded_len(&self) -> usize {
        match self {
            Self::Node(e) => e.encoded_len(number::NODE),
            Self::Initializer(e) => e.encoded_len(number::INITIALIZER),
            Self::Input(e) => e.encoded_len(number::INPUT),
            Self::Output(e) => e.encoded_len(number::OUTPUT),
            Self::Other(field) => field.whole.len(),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Node(e) => e.encode(number::NODE, out),
            Self::Initializer(e) => e.encode(number::INITIALIZER, out),
            Self::Input(e) => e.encode(number::INPUT, out),
            Self::Output(e) => e.encode(number::OUTPUT, out),
            Self::Other(field) => out.put_slice(&field.whole),
        }
    }
}

/// The main graph of a model.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    pub(super) parts: Vec<Part>,
}

impl Graph {
    fn read(content: &Bytes) -> Result<Self, String> {
        let fields = wire::fields(content).map_err(|e| format!("graph: {e}"))?;
        let parts = fields.into_iter().map(|f| {
            let number = f.number;
            Part::read(f).map_err(|e| format!("graph, field {number}: {e}"))
        });
        Ok(Self { parts: parts.collect::<Result<_, _>>()? })
    }

    /// The graph without nodes and initializers: name, value_info, quantisation annotations, metadata.
    pub fn rest(&self) -> GraphProto {
        let mut out = GraphProto::default();
        for part in &self.parts {
            if let Part::Other(field) = part {
                // A field that was read once decodes again; an unknown one is skipped.
                let _ = out.merge(field.whole.clone());
            }
        }
        out
    }

    pub(super) fn encoded_len(&self) -> usize {
        self.parts.iter().map(Part::encoded_len).sum()
    }
}

/// One field of a `ModelProto`, in the order of the file.
#[derive(Debug, Clone)]
enum Head {
    Graph,
    Other(wire::Field),
}

/// An ONNX model: immutable, cheap to clone, saved byte for byte as it was read but for its edits.
#[derive(Debug, Clone)]
pub struct Model {
    pub(super) graph: Graph,
    pub(super) index: Arc<Index>,
    head: Vec<Head>,
    proto: Arc<ModelProto>,
    path: Option<PathBuf>,
    external: Arc<External>,
}

impl Model {
    /// Opens a file. Weights stay in the file's memory map, here or in external data beside it.
    ///
    /// # Errors
    /// When the file cannot be read, is no ONNX model, or contradicts itself where the index needs it not to
    /// (a value made twice, a cycle).
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        let path = path.as_ref();
        let bytes = super::external::map(path).map_err(|e| ModelError::Io { path: path.into(), why: e.to_string() })?;
        Self::read(bytes, Some(path.into()))
    }

    /// Reads a model from memory. External data, if any, is looked for beside `path`.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn read(bytes: Bytes, path: Option<PathBuf>) -> Result<Self, ModelError> {
        let file = path.as_ref().map_or_else(|| "(memory)".to_string(), |p| p.display().to_string());
        let bad = |why: String| ModelError::NotOnnx { file: file.clone(), why };
        if bytes.is_empty() {
            return Err(bad("the file is empty".into()));
        }
        let mut graph = None;
        let mut head = Vec::new();
        let mut proto = ModelProto::default();
        for field in wire::fields(&bytes).map_err(|e| bad(e.to_string()))? {
            match &field.content {
                Some(content) if field.number == number::GRAPH && graph.is_none() => {
                    graph = Some(Graph::read(content).map_err(&bad)?);
                    head.push(Head::Graph);
                }
                _ => {
                    proto.merge(field.whole.clone()).map_err(|e| bad(e.to_string()))?;
                    head.push(Head::Other(field));
                }
            }
        }
        let graph = graph.ok_or_else(|| bad("it has no graph".into()))?;
        let index = Index::new(&graph);
        let folder = path.as_ref().and_then(|p| p.parent().map(Path::to_path_buf));
        Ok(Self { graph, index: Arc::new(index), head, proto: Arc::new(proto), path, external: Arc::new(External::new(folder)) })
    }

    pub(super) fn with_graph(&self, graph: Graph) -> Self {
        let index = Arc::new(Index::new(&graph));
        Self { graph, index, ..self.clone() }
    }

    /// The same model with a metadata entry set (appended, or replaced where the key is there).
    pub fn with_metadata(&self, key: &str, value: &str) -> Self {
        let mut out = self.clone();
        let mut proto = (*self.proto).clone();
        proto.metadata_props.retain(|e| e.key() != key);
        let entry = super::onnx::StringStringEntryProto { key: Some(key.into()), value: Some(value.into()) };
        out.head.retain(|h| {
            !matches!(h, Head::Other(f) if f.number == number::METADATA
                && f.content.clone().and_then(|c| super::onnx::StringStringEntryProto::decode(c).ok()).is_some_and(|e| e.key() == key))
        });
        let whole = wire::delimited(number::METADATA, &entry.encode_to_vec());
        out.head.push(Head::Other(wire::Field { number: number::METADATA, content: None, whole }));
        proto.metadata_props.push(entry);
        out.proto = Arc::new(proto);
        out
    }

    /// The model as a file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for head in &self.head {
            match head {
                Head::Graph => {
                    let length = self.graph.encoded_len();
                    out.reserve(length + 16);
                    wire::put_header(number::GRAPH, length, &mut out);
                    for part in &self.graph.parts {
                        part.encode(&mut out);
                    }
                }
                Head::Other(field) => out.put_slice(&field.whole),
            }
        }
        out
    }

    /// Where the model was read from.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Everything but the graph: producer, opsets, functions, metadata.
    pub fn proto(&self) -> &ModelProto {
        &self.proto
    }

    /// The main graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Nodes, values and how they hang together.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Version of an operator set; `""` and `"ai.onnx"` are the same domain. 0 when it is not imported.
    pub fn opset(&self, domain: &str) -> i64 {
        let norm = |d: &str| if d == "ai.onnx" { String::new() } else { d.to_string() };
        let found = self.proto.opset_import.iter().find(|o| norm(o.domain()) == norm(domain));
        found.map_or(0, |o| o.version())
    }

    /// The raw little-endian bytes of a tensor: `raw_data`, or external data. `None` when it is stored in a typed field.
    ///
    /// # Errors
    /// External data that is missing, short, or outside the model's folder.
    pub fn raw_data(&self, tensor: &TensorProto) -> Result<Option<Bytes>, ModelError> {
        self.external.raw_data(tensor)
    }
}
