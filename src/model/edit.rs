//! Edits as values: a small closed set. [`Model::apply`](super::Model::apply) gives a new model and the edit that takes it back.

use super::onnx::{AttributeProto, NodeProto, TensorProto, ValueInfoProto};
use super::{Model, NodeExt, Place};

/// One change of a model. Nodes are named by their first output, which is unique in a valid graph.
///
/// Independent edits give the same bytes in any order, and an edit followed by its inverse gives the bytes from before: new
/// initializers and attributes stand in the order of their names, new nodes at one place in an order in which they can run.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant)] // Edits are few; a box in each would be in the way of whoever makes one.
pub enum Edit {
    /// Sets an attribute, or adds it.
    SetAttribute {
        /// First output of the node.
        node: String,
        /// The attribute with its name.
        attribute: AttributeProto,
    },
    /// Takes an attribute away, so that the operator's default counts.
    RemoveAttribute {
        /// First output of the node.
        node: String,
        /// Name of the attribute.
        attribute: String,
    },
    /// Puts another tensor in the place of the initializer of the same name.
    ReplaceInitializer {
        /// The new tensor.
        tensor: TensorProto,
    },
    /// Adds an initializer.
    AddInitializer {
        /// The new tensor.
        tensor: TensorProto,
    },
    /// Takes an initializer away.
    RemoveInitializer {
        /// Its name.
        name: String,
    },
    /// Adds a node in front of another one in the file, or behind all.
    InsertNode {
        /// First output of the node in front of which it goes; a node that an earlier edit took away still names its place.
        before: Option<String>,
        /// The new node.
        node: NodeProto,
    },
    /// Puts a node back to where it was taken from: the inverse of [`Edit::RemoveNode`].
    PutNode {
        /// Where.
        place: Place,
        /// The node.
        node: NodeProto,
    },
    /// Takes a node away. Its consumers are left as they are.
    RemoveNode {
        /// First output of the node.
        node: String,
    },
    /// Puts another node in the place of one.
    ReplaceNode {
        /// First output of the node.
        node: String,
        /// The new node.
        with: NodeProto,
    },
    /// Lets one input of a node read another value.
    RewireInput {
        /// First output of the node.
        node: String,
        /// Which input, from 0.
        slot: usize,
        /// The value to read; empty for a missing optional input.
        value: String,
    },
    /// Declares other inputs.
    SetInputs {
        /// All declared inputs, initializers left out.
        values: Vec<ValueInfoProto>,
    },
    /// Declares other outputs.
    SetOutputs {
        /// All declared outputs.
        values: Vec<ValueInfoProto>,
    },
    /// Sets an entry of the model's metadata, or takes it away.
    SetMetadata {
        /// Key of the entry.
        key: String,
        /// Its value; `None` takes it away.
        value: Option<String>,
    },
    /// Several edits that belong together, in order.
    All(Vec<Edit>),
}

impl Edit {
    /// Puts a sub-graph in the place of some nodes.
    ///
    /// The nodes of `remove` (by first output) go, and `nodes` with their `initializers` come: in front of `before`, or to where the first
    /// removed node was, or behind all. Outputs of removed nodes that others read must be made by the new ones under the same names.
    pub fn graft(remove: &[String], initializers: Vec<TensorProto>, nodes: Vec<NodeProto>, before: Option<String>) -> Self {
        let before = before.or_else(|| remove.first().cloned());
        let mut edits: Vec<_> = remove.iter().map(|node| Self::RemoveNode { node: node.clone() }).collect();
        edits.extend(initializers.into_iter().map(|tensor| Self::AddInitializer { tensor }));
        edits.extend(nodes.into_iter().map(|node| Self::InsertNode { before: before.clone(), node }));
        Self::All(edits)
    }

    /// Whether the model would be another one. Nodes and initializers that are not there count as changed: applying says what is wrong.
    pub fn changes(&self, model: &Model) -> bool {
        let node = |output: &str| model.node_by_output(output).map(|id| model.node(id));
        match self {
            Self::SetAttribute { node: n, attribute } => node(n).and_then(|n| n.attr(attribute.name())) != Some(attribute),
            Self::RemoveAttribute { node: n, attribute } => node(n).is_none_or(|n| n.attr(attribute).is_some()),
            Self::ReplaceInitializer { tensor } => model.initializer(tensor.name()) != Some(tensor),
            Self::ReplaceNode { node: n, with } => node(n) != Some(with),
            Self::RewireInput { node: n, slot, value } => node(n).and_then(|n| n.input.get(*slot)) != Some(value),
            Self::All(edits) => edits.iter().any(|e| e.changes(model)),
            _ => true,
        }
    }

    /// Names of the values whose node or tensor it makes or changes; an empty one stands for what the graph declares.
    pub fn touched(&self) -> Vec<String> {
        let made = |node: &NodeProto| node.output.iter().filter(|o| !o.is_empty()).cloned().collect::<Vec<_>>();
        match self {
            Self::SetAttribute { node, .. }
            | Self::RemoveAttribute { node, .. }
            | Self::RewireInput { node, .. }
            | Self::RemoveNode { node } => vec![node.clone()],
            Self::ReplaceInitializer { tensor } | Self::AddInitializer { tensor } => vec![tensor.name().into()],
            Self::RemoveInitializer { name } => vec![name.clone()],
            Self::InsertNode { node, .. } | Self::PutNode { node, .. } => made(node),
            Self::ReplaceNode { node, with } => {
                let mut out = made(with);
                out.push(node.clone());
                out
            }
            Self::SetInputs { .. } | Self::SetOutputs { .. } | Self::SetMetadata { .. } => vec![String::new()],
            Self::All(edits) => edits.iter().flat_map(Self::touched).collect(),
        }
    }
}

impl std::fmt::Display for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SetAttribute { node, attribute } => {
                write!(f, "set attribute {} of '{node}'", attribute.name())
            }
            Self::RemoveAttribute { node, attribute } => {
                write!(f, "remove attribute {attribute} of '{node}'")
            }
            Self::ReplaceInitializer { tensor } => {
                write!(f, "replace initializer '{}'", tensor.name())
            }
            Self::AddInitializer { tensor } => write!(f, "add initializer '{}'", tensor.name()),
            Self::RemoveInitializer { name } => write!(f, "remove initializer '{name}'"),
            Self::InsertNode { node, .. } => {
                write!(f, "insert {} '{}'", node.op_type(), node.label())
            }
            Self::PutNode { node, .. } => {
                write!(f, "put back {} '{}'", node.op_type(), node.label())
            }
            Self::RemoveNode { node } => write!(f, "remove node '{node}'"),
            Self::ReplaceNode { node, with } => write!(f, "replace node '{node}' by {} '{}'", with.op_type(), with.label()),
            Self::RewireInput { node, slot, value } => {
                write!(f, "let input {slot} of '{node}' read '{value}'")
            }
            Self::SetInputs { .. } => write!(f, "change the declared inputs"),
            Self::SetOutputs { .. } => write!(f, "change the declared outputs"),
            Self::SetMetadata { key, value: Some(value) } => write!(f, "set metadata {key} to '{value}'"),
            Self::SetMetadata { key, value: None } => write!(f, "remove metadata {key}"),
            Self::All(edits) => {
                for (i, edit) in edits.iter().enumerate() {
                    write!(f, "{}{edit}", if i > 0 { "; " } else { "" })?;
                }
                Ok(())
            }
        }
    }
}
