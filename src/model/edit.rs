//! Edits as values: a small closed set, each of which gives a new model and the edit that takes it back.

use super::file::{Entry, Part};
use super::onnx::{AttributeProto, NodeProto, TensorProto, ValueInfoProto};
use super::{Model, ModelError, NodeExt, NodeId};

/// One change of a model. Nodes are named by their first output, which is unique in a valid graph.
#[derive(Debug, Clone, PartialEq)]
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
    /// Adds a node in front of another one in the file, or at the end.
    InsertNode {
        /// First output of the node in front of which it goes.
        before: Option<String>,
        /// The new node.
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
        /// All declared inputs.
        values: Vec<ValueInfoProto>,
    },
    /// Declares other outputs.
    SetOutputs {
        /// All declared outputs.
        values: Vec<ValueInfoProto>,
    },
    /// Several edits that belong together, in order.
    All(Vec<Edit>),
}

impl Model {
    /// The model with an edit made, and the edit that takes it back.
    ///
    /// # Errors
    /// When the edit names a node, attribute, initializer or input that is not there, or adds one that is.
    pub fn apply(&self, edit: &Edit) -> Result<(Self, Edit), ModelError> {
        let mut graph = self.graph.clone();
        let fail = |why: String| ModelError::Edit { edit: edit.to_string(), why };
        let find = |name: &str| -> Result<NodeId, ModelError> {
            let id = self.node_by_output(name).ok_or_else(|| fail(format!("no node makes '{name}'")))?;
            let first = self.node(id).output.iter().find(|o| !o.is_empty());
            if first.is_some_and(|f| f == name) { Ok(id) } else { Err(fail(format!("'{name}' is not the first output of '{}'", self.label(id)))) }
        };
        let tensor_place = |name: &str| self.index.value(name).and_then(|v| self.index.initializer_place(v));
        let change = |graph: &mut super::file::Graph, id: NodeId, node: NodeProto| graph.parts[self.index.node_place(id)] = Part::Node(Entry::new(node));
        let inverse = match edit {
            Edit::SetAttribute { node: name, attribute } => {
                let id = find(name)?;
                let mut node = self.node(id).clone();
                let inverse = match node.attribute.iter_mut().find(|a| a.name() == attribute.name()) {
                    Some(old) => Edit::SetAttribute { node: name.clone(), attribute: std::mem::replace(old, attribute.clone()) },
                    None => {
                        node.attribute.push(attribute.clone());
                        Edit::RemoveAttribute { node: name.clone(), attribute: attribute.name().into() }
                    }
                };
                change(&mut graph, id, node);
                inverse
            }
            Edit::RemoveAttribute { node: name, attribute } => {
                let id = find(name)?;
                let mut node = self.node(id).clone();
                let at = node.attribute.iter().position(|a| a.name() == attribute).ok_or_else(|| fail(format!("'{}' has no such attribute", node.label())))?;
                node.attribute.remove(at);
                change(&mut graph, id, node);
                Edit::ReplaceNode { node: name.clone(), with: self.node(id).clone() }
            }
            Edit::ReplaceInitializer { tensor } => {
                let place = tensor_place(tensor.name()).ok_or_else(|| fail("there is no such initializer".into()))?;
                let old = self.initializer(tensor.name()).cloned().unwrap_or_default();
                graph.parts[place] = Part::Initializer(Entry::new(tensor.clone()));
                Edit::ReplaceInitializer { tensor: old }
            }
            Edit::AddInitializer { tensor } => {
                if tensor_place(tensor.name()).is_some() || self.node_by_output(tensor.name()).is_some() {
                    return Err(fail("the name is taken".into()));
                }
                let at = graph.parts.iter().rposition(|p| matches!(p, Part::Initializer(_) | Part::Node(_))).map_or(0, |i| i + 1);
                graph.parts.insert(at, Part::Initializer(Entry::new(tensor.clone())));
                Edit::RemoveInitializer { name: tensor.name().into() }
            }
            Edit::RemoveInitializer { name } => {
                let place = tensor_place(name).ok_or_else(|| fail("there is no such initializer".into()))?;
                let old = self.initializer(name).cloned().unwrap_or_default();
                graph.parts.remove(place);
                Edit::AddInitializer { tensor: old }
            }
            Edit::InsertNode { before, node } => {
                let key = node.output.iter().find(|o| !o.is_empty()).ok_or_else(|| fail("it has no output".into()))?;
                if self.node_by_output(key).is_some() || tensor_place(key).is_some() {
                    return Err(fail(format!("'{key}' is made already")));
                }
                let place = match before {
                    Some(name) => self.index.node_place(find(name)?),
                    None => graph.parts.iter().rposition(|p| matches!(p, Part::Node(_))).map_or(0, |i| i + 1),
                };
                graph.parts.insert(place, Part::Node(Entry::new(node.clone())));
                Edit::RemoveNode { node: key.clone() }
            }
            Edit::RemoveNode { node: name } => {
                let id = find(name)?;
                let next = self.index.nodes().map(|n| n.0).find(|n| *n > id.0).map(NodeId);
                let before = next.and_then(|n| self.node(n).output.iter().find(|o| !o.is_empty()).cloned());
                graph.parts.remove(self.index.node_place(id));
                Edit::InsertNode { before, node: self.node(id).clone() }
            }
            Edit::ReplaceNode { node: name, with } => {
                let id = find(name)?;
                let key = with.output.iter().find(|o| !o.is_empty()).ok_or_else(|| fail("the new node has no output".into()))?;
                change(&mut graph, id, with.clone());
                Edit::ReplaceNode { node: key.clone(), with: self.node(id).clone() }
            }
            Edit::RewireInput { node: name, slot, value } => {
                let id = find(name)?;
                let mut node = self.node(id).clone();
                if node.input.len() <= *slot {
                    node.input.resize(*slot + 1, String::new());
                }
                node.input[*slot] = value.clone();
                change(&mut graph, id, node);
                Edit::ReplaceNode { node: name.clone(), with: self.node(id).clone() }
            }
            Edit::SetInputs { values } => {
                let old = graph.parts.iter().filter_map(|p| if let Part::Input(e) = p { Some(e.message.clone()) } else { None }).collect();
                replace_all(&mut graph.parts, |p| matches!(p, Part::Input(_)), values.iter().map(|v| Part::Input(Entry::new(v.clone()))));
                Edit::SetInputs { values: old }
            }
            Edit::SetOutputs { values } => {
                let old = self.outputs().cloned().collect();
                replace_all(&mut graph.parts, |p| matches!(p, Part::Output(_)), values.iter().map(|v| Part::Output(Entry::new(v.clone()))));
                Edit::SetOutputs { values: old }
            }
            Edit::All(edits) => {
                let mut model = self.clone();
                let mut inverses = Vec::with_capacity(edits.len());
                for edit in edits {
                    let (next, inverse) = model.apply(edit)?;
                    model = next;
                    inverses.push(inverse);
                }
                inverses.reverse();
                return Ok((model, Edit::All(inverses)));
            }
        };
        Ok((self.with_graph(graph), inverse))
    }
}

fn replace_all(parts: &mut Vec<Part>, is: impl Fn(&Part) -> bool, new: impl Iterator<Item = Part>) {
    let at = parts.iter().position(&is).unwrap_or(parts.len());
    parts.retain(|p| !is(p));
    let at = at.min(parts.len());
    parts.splice(at..at, new);
}

impl std::fmt::Display for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SetAttribute { node, attribute } => write!(f, "set attribute {} of '{node}'", attribute.name()),
            Self::RemoveAttribute { node, attribute } => write!(f, "remove attribute {attribute} of '{node}'"),
            Self::ReplaceInitializer { tensor } => write!(f, "replace initializer '{}'", tensor.name()),
            Self::AddInitializer { tensor } => write!(f, "add initializer '{}'", tensor.name()),
            Self::RemoveInitializer { name } => write!(f, "remove initializer '{name}'"),
            Self::InsertNode { node, .. } => write!(f, "insert {} '{}'", node.op_type(), node.label()),
            Self::RemoveNode { node } => write!(f, "remove node '{node}'"),
            Self::ReplaceNode { node, with } => write!(f, "replace node '{node}' by {} '{}'", with.op_type(), with.label()),
            Self::RewireInput { node, slot, value } => write!(f, "let input {slot} of '{node}' read '{value}'"),
            Self::SetInputs { .. } => write!(f, "change the declared inputs"),
            Self::SetOutputs { .. } => write!(f, "change the declared outputs"),
            Self::All(edits) => {
                for (i, edit) in edits.iter().enumerate() {
                    write!(f, "{}{edit}", if i > 0 { "; " } else { "" })?;
                }
                Ok(())
            }
        }
    }
}
