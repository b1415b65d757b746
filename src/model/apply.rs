//! Making an edit, and finding the edit that takes it back.

use super::file::{Entry, Part};
use super::onnx::{NodeProto, TensorProto, ValueInfoProto};
use super::overlay::{Overlay, canonical};
use super::{Edit, Model, ModelError, NodeExt, NodeId, Place};
use std::sync::Arc;

/// No operator has nearly as many inputs.
const MOST_INPUTS: usize = 1 << 16;

impl Model {
    /// The model with an edit made, and the edit that takes it back.
    ///
    /// # Errors
    /// When the edit names a node, attribute or initializer that is not there, or adds one that is.
    pub fn apply(&self, edit: &Edit) -> Result<(Self, Edit), ModelError> {
        let mut overlay = self.overlay.clone();
        let inverse = match edit {
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
            Edit::ReplaceInitializer { .. } | Edit::AddInitializer { .. } | Edit::RemoveInitializer { .. } => {
                self.edit_initializer(edit, &mut overlay)
            }
            Edit::SetInputs { values } => {
                let own: Vec<_> = self.base.parts.iter().filter_map(|p| self.own_input(p)).collect();
                let now = overlay.inputs.take().unwrap_or_else(|| own.iter().map(|e| (*e).clone()).collect());
                overlay.inputs = declared(&own, values);
                Ok(Edit::SetInputs { values: now.iter().map(|e| e.message.clone()).collect() })
            }
            Edit::SetOutputs { values } => {
                let own: Vec<_> = self.base.parts.iter().filter_map(|p| if let Part::Output(e) = p { Some(e) } else { None }).collect();
                let now = self.outputs().cloned().collect();
                overlay.outputs = declared(&own, values);
                Ok(Edit::SetOutputs { values: now })
            }
            Edit::SetMetadata { key, value } => {
                let now = self.metadata(key).map(str::to_string);
                self.set_metadata(&mut overlay, key, value.as_deref());
                Ok(Edit::SetMetadata { key: key.clone(), value: now })
            }
            _ => self.edit_node(edit, &mut overlay),
        };
        let inverse = inverse.map_err(|why| ModelError::Edit { edit: edit.to_string(), why })?;
        Ok((self.with_overlay(overlay), inverse))
    }

    /// The same model with a metadata entry set (added, or replaced where the key is there).
    pub fn with_metadata(&self, key: &str, value: &str) -> Self {
        let mut overlay = self.overlay.clone();
        self.set_metadata(&mut overlay, key, Some(value));
        self.with_overlay(overlay)
    }

    /// A metadata entry of the model.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.proto().metadata_props.iter().find(|e| e.key() == key).map(|e| e.value())
    }

    fn set_metadata(&self, overlay: &mut Overlay, key: &str, value: Option<&str>) {
        let read = self.base.metadata().find(|e| e.key() == key).map(|e| e.value());
        if read == value {
            overlay.metadata.remove(key);
        } else {
            overlay.metadata.insert(key.into(), value.map(str::to_string));
        }
    }

    fn own_input<'a>(&self, part: &'a Part) -> Option<&'a Arc<Entry<ValueInfoProto>>> {
        match part {
            Part::Input(e) if !self.base.initializers.contains(e.message.name()) => Some(e),
            _ => None,
        }
    }

    fn edit_initializer(&self, edit: &Edit, overlay: &mut Overlay) -> Result<Edit, String> {
        let (name, new) = match edit {
            Edit::ReplaceInitializer { tensor } | Edit::AddInitializer { tensor } => (tensor.name(), Some(tensor)),
            Edit::RemoveInitializer { name } => (name.as_str(), None),
            _ => unreachable!("edits of initializers only"),
        };
        let there: Vec<usize> = (0..self.graph.parts.len()).filter(|i| self.graph.parts[*i].initializer_name() == Some(name)).collect();
        if there.len() > 1 {
            return Err("the name stands for two initializers".into());
        }
        let old = self.initializer(name);
        match (edit, there.is_empty(), old) {
            (Edit::AddInitializer { .. }, false, _) => return Err("the name is taken".into()),
            (Edit::AddInitializer { .. }, true, _) if self.node_by_output(name).is_some() => {
                return Err("the name is taken by a node's output".into());
            }
            (Edit::AddInitializer { .. }, true, _) => {}
            (_, true, _) => return Err("there is no such initializer".into()),
            (_, false, None) => {
                return Err("it is sparse, and sparse initializers are kept as they are".into());
            }
            _ => {}
        }
        let read = self.base.parts.iter().position(|p| matches!(p, Part::Initializer(e) if e.message.name() == name));
        match read {
            Some(at) => {
                let Part::Initializer(base) = &self.base.parts[at] else { unreachable!("the place of an initializer") };
                match new.map(|t| base.replaced(t.clone())) {
                    Some(entry) if Arc::ptr_eq(&entry, base) => overlay.initializers.remove(&at),
                    entry => overlay.initializers.insert(at, entry),
                };
            }
            None => {
                match new {
                    Some(t) => overlay.added_initializers.insert(name.into(), Entry::new(t.clone())),
                    None => overlay.added_initializers.remove(name),
                };
            }
        }
        Ok(match (edit, old) {
            (Edit::AddInitializer { .. }, _) | (_, None) => Edit::RemoveInitializer { name: name.into() },
            (Edit::ReplaceInitializer { .. }, Some(old)) => Edit::ReplaceInitializer { tensor: old.clone() },
            (_, Some(old)) => Edit::AddInitializer { tensor: TensorProto::clone(old) },
        })
    }

    fn edit_node(&self, edit: &Edit, overlay: &mut Overlay) -> Result<Edit, String> {
        match edit {
            Edit::InsertNode { before, node } => {
                let key = self.free_key(node, None)?;
                let at = match before {
                    Some(name) => self.place_before(name)?,
                    None => self.base.parts.iter().rposition(|p| matches!(p, Part::Node(_))).map_or(0, |i| i + 1),
                };
                self.set_node(overlay, Place::Before(at), None, Some(node.clone()));
                Ok(Edit::RemoveNode { node: key })
            }
            Edit::PutNode { place, node } => {
                let key = first_output(node).ok_or("it has no output")?;
                let free = match place {
                    Place::At(at) => matches!(overlay.nodes.get(at), Some(None)),
                    Place::Before(at) => *at <= self.base.parts.len() && !overlay.added_nodes.contains_key(&(*at, key.to_string())),
                };
                if !free {
                    return Err("its place is taken".into());
                }
                self.set_node(overlay, *place, None, Some(node.clone()));
                Ok(Edit::RemoveNode { node: key.into() })
            }
            Edit::RemoveNode { node: name } => {
                let id = self.find(name)?;
                let place = self.graph.places[self.index.node_place(id)];
                self.set_node(overlay, place, Some(name), None);
                Ok(Edit::PutNode { place, node: self.node(id).clone() })
            }
            Edit::ReplaceNode { node: name, with } => {
                let id = self.find(name)?;
                let key = self.free_key(with, Some(id))?;
                self.change(overlay, id, with.clone());
                Ok(Edit::ReplaceNode { node: key, with: self.node(id).clone() })
            }
            Edit::SetAttribute { node: name, attribute } => {
                let id = self.find(name)?;
                let mut node = self.node(id).clone();
                let inverse = match node.attribute.iter_mut().find(|a| a.name() == attribute.name()) {
                    Some(old) => Edit::SetAttribute { node: name.clone(), attribute: std::mem::replace(old, attribute.clone()) },
                    None => {
                        node.attribute.push(attribute.clone());
                        Edit::RemoveAttribute { node: name.clone(), attribute: attribute.name().into() }
                    }
                };
                self.change(overlay, id, node);
                Ok(inverse)
            }
            Edit::RemoveAttribute { node: name, attribute } => {
                let id = self.find(name)?;
                let mut node = self.node(id).clone();
                let at = node
                    .attribute
                    .iter()
                    .position(|a| a.name() == attribute)
                    .ok_or_else(|| format!("'{}' has no such attribute", node.label()))?;
                let old = node.attribute.remove(at);
                // Where the name is there twice, setting it would change the other one.
                let inverse = match node.attr(attribute) {
                    Some(_) => Edit::ReplaceNode { node: name.clone(), with: self.node(id).clone() },
                    None => Edit::SetAttribute { node: name.clone(), attribute: old },
                };
                self.change(overlay, id, node);
                Ok(inverse)
            }
            Edit::RewireInput { node: name, slot, value } => {
                let id = self.find(name)?;
                let mut node = self.node(id).clone();
                if *slot >= MOST_INPUTS {
                    return Err("no node has so many inputs".into());
                }
                if node.input.len() <= *slot {
                    node.input.resize(*slot + 1, String::new());
                }
                let old = std::mem::replace(&mut node.input[*slot], value.clone());
                self.change(overlay, id, node);
                Ok(Edit::RewireInput { node: name.clone(), slot: *slot, value: old })
            }
            _ => unreachable!("edits of nodes only"),
        }
    }

    /// The node whose first output has this name.
    fn find(&self, name: &str) -> Result<NodeId, String> {
        let id = self.node_by_output(name).ok_or_else(|| format!("no node makes '{name}'"))?;
        if first_output(self.node(id)) == Some(name) {
            Ok(id)
        } else {
            Err(format!("'{name}' is not the first output of '{}'", self.label(id)))
        }
    }

    /// The first output of a node that comes to the graph, or in the place of another one.
    fn free_key(&self, node: &NodeProto, instead: Option<NodeId>) -> Result<String, String> {
        let key = first_output(node).ok_or("the new node has no output")?;
        let maker = self.node_by_output(key).filter(|id| Some(*id) != instead);
        if maker.is_some() || self.index.value(key).is_some_and(|v| self.index.is_initializer(v)) {
            return Err(format!("'{key}' is made already"));
        }
        Ok(key.to_string())
    }

    /// The place in front of a node, which may be one that an edit took away or gave another name.
    fn place_before(&self, name: &str) -> Result<usize, String> {
        if self.node_by_output(name).is_some() {
            return Ok(match self.graph.places[self.index.node_place(self.find(name)?)] {
                Place::At(at) | Place::Before(at) => at,
            });
        }
        let read = self.base.parts.iter().position(|p| matches!(p, Part::Node(e) if first_output(&e.message) == Some(name)));
        read.ok_or_else(|| format!("no node makes '{name}'"))
    }

    fn change(&self, overlay: &mut Overlay, id: NodeId, node: NodeProto) {
        let place = self.graph.places[self.index.node_place(id)];
        self.set_node(overlay, place, first_output(self.node(id)), Some(node));
    }

    fn set_node(&self, overlay: &mut Overlay, place: Place, key: Option<&str>, node: Option<NodeProto>) {
        match place {
            Place::At(at) => {
                let Some(Part::Node(base)) = self.base.parts.get(at) else {
                    return;
                };
                let entry = node.map(|mut node| {
                    canonical(&mut node, Some(&base.message));
                    base.changed(node)
                });
                match entry {
                    Some(entry) if Arc::ptr_eq(&entry, base) => overlay.nodes.remove(&at),
                    entry => overlay.nodes.insert(at, entry),
                };
            }
            Place::Before(at) => {
                if let Some(key) = key {
                    overlay.added_nodes.remove(&(at, key.to_string()));
                }
                if let Some(mut node) = node {
                    canonical(&mut node, None);
                    let key = first_output(&node).unwrap_or_default().to_string();
                    overlay.added_nodes.insert((at, key), Entry::new(node));
                }
            }
        }
    }
}

/// What names a node: its first output that is there.
pub(super) fn first_output(node: &NodeProto) -> Option<&str> {
    node.output.iter().find(|o| !o.is_empty()).map(String::as_str)
}

/// Declarations in the place of others, each with the bytes of what stayed in the one of its name. `None`: as they were.
fn declared(own: &[&Arc<Entry<ValueInfoProto>>], values: &[ValueInfoProto]) -> Option<Vec<Arc<Entry<ValueInfoProto>>>> {
    let new: Vec<_> = values
        .iter()
        .map(|v| own.iter().find(|e| e.message.name() == v.name()).map_or_else(|| Entry::new(v.clone()), |e| e.changed(v.clone())))
        .collect();
    let as_read = new.len() == own.len() && new.iter().zip(own).all(|(a, b)| Arc::ptr_eq(a, b));
    if as_read { None } else { Some(new) }
}
