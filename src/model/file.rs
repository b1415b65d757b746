//! A model file: decoded for use, and kept as the bytes it was read from for writing.

use super::external::{self, External};
use super::onnx::{
    AttributeProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, StringStringEntryProto, TensorProto, ValueInfoProto,
};
use super::overlay::{Overlay, Place};
use super::{Index, ModelError, NodeExt, default_attribute, wire};
use bytes::Bytes;
use prost::Message;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One message of a graph, with the bytes of its field where they are known: as read, or as read but for what an edit changed.
#[derive(Debug, Clone)]
pub struct Entry<M> {
    /// The decoded message.
    pub message: M,
    wire: Option<wire::Field>,
}

impl<M: Message + Default + Clone + PartialEq> Entry<M> {
    pub(super) fn new(message: M) -> Arc<Self> {
        Arc::new(Self { message, wire: None })
    }

    fn read(field: wire::Field) -> Result<Arc<Self>, prost::DecodeError> {
        let message = match &field.content {
            Some(content) => M::decode(content.clone())?,
            // Not length-delimited: prost knows how to say so.
            None => M::decode_length_delimited(Bytes::new())?,
        };
        Ok(Arc::new(Self { message, wire: Some(field) }))
    }

    /// This entry with another message: itself when nothing changed, else with the bytes of all fields that stayed.
    pub(super) fn changed(self: &Arc<Self>, message: M) -> Arc<Self> {
        if same(&self.message, &message) {
            return self.clone();
        }
        let wire = self.wire.as_ref().and_then(|field| {
            let content = wire::splice(field.content.as_ref()?, &self.message, &message).ok()?;
            Some(wire::Field { number: field.number, whole: wire::delimited(field.number, &content), content: Some(content) })
        });
        Arc::new(Self { message, wire })
    }

    /// As [`Entry::changed`], without the bytes of what stayed: for messages whose bulk is one field.
    pub(super) fn replaced(self: &Arc<Self>, message: M) -> Arc<Self> {
        if same(&self.message, &message) { self.clone() } else { Self::new(message) }
    }

    /// Whether no file has these bytes: an edit brought it.
    pub(super) fn is_new(&self) -> bool {
        self.wire.is_none()
    }

    fn encoded_len(&self, number: u32) -> usize {
        match &self.wire {
            Some(field) => field.whole.len(),
            None => prost::encoding::message::encoded_len(number, &self.message),
        }
    }

    fn bytes(&self, number: u32) -> Bytes {
        match &self.wire {
            Some(field) => field.whole.clone(),
            None => {
                let mut out = Vec::with_capacity(self.encoded_len(number));
                prost::encoding::message::encode(number, &self.message, &mut out);
                out.into()
            }
        }
    }
}

/// Equal, NaN counting as equal to itself.
fn same<M: Message + PartialEq>(a: &M, b: &M) -> bool {
    a == b || (a.encoded_len() == b.encoded_len() && a.encode_to_vec() == b.encode_to_vec())
}

/// One field of a `GraphProto`, in the order of the file.
#[derive(Debug, Clone)]
pub(super) enum Part {
    Node(Arc<Entry<NodeProto>>),
    Initializer(Arc<Entry<TensorProto>>),
    Sparse(Arc<Entry<SparseTensorProto>>),
    Input(Arc<Entry<ValueInfoProto>>),
    Output(Arc<Entry<ValueInfoProto>>),
    Other(wire::Field),
}

/// Field numbers of `GraphProto` that [`Part`] tells apart.
pub(super) mod number {
    pub const NODE: u32 = 1;
    pub const INITIALIZER: u32 = 5;
    pub const INPUT: u32 = 11;
    pub const OUTPUT: u32 = 12;
    pub const SPARSE: u32 = 15;
    /// `ModelProto.graph`.
    pub const GRAPH: u32 = 7;
    /// `ModelProto.metadata_props`.
    pub const METADATA: u32 = 14;
}

impl Part {
    fn read(field: wire::Field) -> Result<Self, prost::DecodeError> {
        Ok(match field.number {
            number::NODE => Self::Node(Entry::read(field)?),
            number::INITIALIZER => Self::Initializer(Entry::read(field)?),
            number::SPARSE => Self::Sparse(Entry::read(field)?),
            number::INPUT => Self::Input(Entry::read(field)?),
            number::OUTPUT => Self::Output(Entry::read(field)?),
            _ => Self::Other(field),
        })
    }

    pub(super) fn encoded_len(&self) -> usize {
        match self {
            Self::Node(e) => e.encoded_len(number::NODE),
            Self::Initializer(e) => e.encoded_len(number::INITIALIZER),
            Self::Sparse(e) => e.encoded_len(number::SPARSE),
            Self::Input(e) => e.encoded_len(number::INPUT),
            Self::Output(e) => e.encoded_len(number::OUTPUT),
            Self::Other(field) => field.whole.len(),
        }
    }

    /// The whole field. Copies only what an edit brought.
    pub(super) fn bytes(&self) -> Bytes {
        match self {
            Self::Node(e) => e.bytes(number::NODE),
            Self::Initializer(e) => e.bytes(number::INITIALIZER),
            Self::Sparse(e) => e.bytes(number::SPARSE),
            Self::Input(e) => e.bytes(number::INPUT),
            Self::Output(e) => e.bytes(number::OUTPUT),
            Self::Other(field) => field.whole.clone(),
        }
    }
}

/// The main graph of a model.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    pub(super) parts: Vec<Part>,
    /// Where each part has its place in the file as it was read.
    pub(super) places: Vec<Place>,
}

impl Graph {
    /// The graph without nodes, initializers, inputs and outputs: name, value_info, quantisation annotations, metadata.
    pub fn rest(&self) -> GraphProto {
        let mut out = GraphProto::default();
        for part in &self.parts {
            if let Part::Other(field) = part {
                // Checked when the file was read; an unknown field is skipped.
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
pub(super) enum Head {
    /// Key and length as they were read, and that length: as some programs write them, they are longer than need be.
    Graph(Bytes, usize),
    Metadata(StringStringEntryProto, wire::Field),
    Other(wire::Field),
}

/// A file as it was read; edits lie over it.
#[derive(Debug, Default)]
pub(super) struct Base {
    pub parts: Vec<Part>,
    pub head: Vec<Head>,
    /// Everything but the graph and the metadata.
    pub proto: ModelProto,
    /// Names of the initializers, sparse ones included.
    pub initializers: HashSet<String>,
}

impl Base {
    fn read(bytes: &Bytes) -> Result<Self, String> {
        if bytes.is_empty() {
            return Err("the file is empty".into());
        }
        super::weigh::check(bytes)?;
        let (mut base, graph) = Self::read_head(bytes)?;
        let graph = graph.ok_or("it has no graph")?;
        let mut rest = GraphProto::default();
        for field in wire::fields(&graph).map_err(|e| format!("graph: {e}"))? {
            let (number, whole) = (field.number, field.whole.clone());
            let part = Part::read(field).map_err(|e| format!("graph: {e}"))?;
            if matches!(part, Part::Other(_)) {
                rest.merge(whole).map_err(|e| format!("graph, field {number}: {e}"))?;
            }
            base.parts.push(part);
        }
        Ok(base.named())
    }

    pub(super) fn metadata(&self) -> impl Iterator<Item = &StringStringEntryProto> {
        self.head.iter().filter_map(|h| if let Head::Metadata(e, _) = h { Some(e) } else { None })
    }

    /// All but the graph, and the graph's content.
    fn read_head(bytes: &Bytes) -> Result<(Self, Option<Bytes>), String> {
        let mut base = Self::default();
        let mut graph = None;
        for field in wire::fields(bytes).map_err(|e| e.to_string())? {
            match (field.number, &field.content) {
                (number::GRAPH, Some(content)) => {
                    if graph.replace(content.clone()).is_some() {
                        return Err("it has two graphs".into());
                    }
                    base.head.push(Head::Graph(field.whole.slice(..field.whole.len() - content.len()), content.len()));
                }
                (number::METADATA, Some(content)) => {
                    let entry = StringStringEntryProto::decode(content.clone()).map_err(|e| format!("metadata_props: {e}"))?;
                    base.head.push(Head::Metadata(entry, field));
                }
                _ => {
                    base.proto.merge(field.whole.clone()).map_err(|e| e.to_string())?;
                    base.head.push(Head::Other(field));
                }
            }
        }
        Ok((base, graph))
    }

    fn named(mut self) -> Self {
        self.initializers = self.parts.iter().filter_map(Part::initializer_name).map(str::to_string).collect();
        self
    }
}

impl Head {
    /// Key and length of the graph, when it has this length now.
    pub(super) fn graph_header(read: &Bytes, was: usize, length: usize) -> Bytes {
        if was == length {
            return read.clone();
        }
        let mut out = Vec::with_capacity(16);
        wire::put_header(number::GRAPH, length, &mut out);
        out.into()
    }
}

impl Part {
    pub(super) fn initializer_name(&self) -> Option<&str> {
        match self {
            Self::Initializer(e) => Some(e.message.name()),
            Self::Sparse(e) => Some(e.message.values.as_ref().map_or("", |v| v.name())),
            _ => None,
        }
    }
}

/// An ONNX model: immutable, cheap to clone, saved byte for byte as it was read but for its edits.
#[derive(Debug, Clone)]
pub struct Model {
    pub(super) base: Arc<Base>,
    pub(super) overlay: Overlay,
    pub(super) graph: Arc<Graph>,
    pub(super) index: Arc<Index>,
    pub(super) external: Arc<External>,
    pub(super) head: Arc<Vec<Head>>,
    proto: Arc<ModelProto>,
    path: Option<PathBuf>,
}

impl Model {
    /// Opens a file. Large ones stay in the file's memory map, and so do external data beside them.
    ///
    /// # Errors
    /// When the file cannot be read or is no ONNX model. A graph that contradicts itself is read all the same.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        let path = path.as_ref();
        let bytes = external::load(path).map_err(|e| ModelError::Io { path: path.into(), why: e.to_string() })?;
        Self::read(bytes, Some(path.into()))
    }

    /// Reads a model from memory. External data, if any, is looked for beside `path`.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn read(bytes: Bytes, path: Option<PathBuf>) -> Result<Self, ModelError> {
        let base = Base::read(&bytes).map_err(|why| ModelError::NotOnnx {
            file: path.as_ref().map_or_else(|| "(memory)".to_string(), |p| p.display().to_string()),
            why,
        })?;
        Ok(Self::over(Arc::new(base), Arc::new(External::new(path.as_deref())), path))
    }

    fn over(base: Arc<Base>, external: Arc<External>, path: Option<PathBuf>) -> Self {
        let overlay = Overlay::default();
        let empty = Self {
            base,
            overlay: overlay.clone(),
            graph: Arc::default(),
            index: Arc::default(),
            head: Arc::default(),
            external,
            proto: Arc::default(),
            path,
        };
        empty.with_overlay(overlay)
    }

    /// The file as it was read, under other edits.
    pub(super) fn with_overlay(&self, overlay: Overlay) -> Self {
        let graph = overlay.graph(&self.base);
        let index = Arc::new(Index::new(&graph));
        let mut out = Self { graph: Arc::new(graph), index, ..self.clone() };
        if out.head.is_empty() || overlay.metadata != self.overlay.metadata {
            let head = overlay.head(&self.base);
            let mut proto = self.base.proto.clone();
            proto.metadata_props = head.iter().filter_map(|h| if let Head::Metadata(e, _) = h { Some(e.clone()) } else { None }).collect();
            (out.head, out.proto) = (Arc::new(head), Arc::new(proto));
        }
        out.overlay = overlay;
        out
    }

    /// A model made of these parts in place of the graph's, as if it had been read so.
    pub(super) fn rebuilt(&self, parts: Vec<Part>, proto: &ModelProto) -> Self {
        let (base, _) = Base::read_head(&proto.encode_to_vec().into()).unwrap_or_default();
        let mut base = Base { parts, ..base };
        base.head.push(Head::Graph(Bytes::new(), usize::MAX));
        Self::over(Arc::new(base.named()), self.external.clone(), self.path.clone())
    }

    /// Where the model was read from.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Everything but the graph: producer, opsets, functions, metadata.
    pub fn proto(&self) -> &ModelProto {
        &self.proto
    }

    /// Name and version of the program that wrote it, as far as it says them.
    pub fn producer(&self) -> String {
        // Some converters write Python's word for a version that there is not.
        let version = Some(self.proto.producer_version()).filter(|v| *v != "None").unwrap_or_default();
        [self.proto.producer_name(), version].join(" ").trim().trim_end_matches(" None").to_string()
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
        let norm = |d: &str| {
            if d == "ai.onnx" { String::new() } else { d.to_string() }
        };
        let found = self.proto.opset_import.iter().find(|o| norm(o.domain()) == norm(domain));
        found.map_or(0, |o| o.version())
    }

    /// What a node's attribute is where it is not there, in the operator set that the model imports; see [`default_attribute`].
    pub fn default_attribute(&self, node: &NodeProto, like: &AttributeProto) -> Option<AttributeProto> {
        default_attribute(node.domain_name(), node.op_type(), self.opset(node.domain_name()), like)
    }

    /// The raw little-endian bytes of a tensor: `raw_data`, or external data. `None` when it is stored in a typed field.
    ///
    /// # Errors
    /// External data that is missing, short, or outside the model's folder.
    pub fn raw_data(&self, tensor: &TensorProto) -> Result<Option<Bytes>, ModelError> {
        self.external.raw_data(tensor)
    }
}
