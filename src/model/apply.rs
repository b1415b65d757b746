//! Making an edit, and finding the edit that takes it back.

use super::draft::{Draft, first_output};
use super::onnx::{NodeProto, TensorProto};
use super::{Edit, Model, ModelError, NodeExt, Place};

/// No operator has nearly as many inputs.
const MOST_INPUTS: usize = 1 << 16;

impl Model {
    /// The model with an edit made, and the edit that takes it back.
    ///
    /// # Errors
    /// When the edit names a node, attribute or initializer that is not there, or adds one that is.
    pub fn apply(&self, edit: &Edit) -> Result<(Self, Edit), ModelError> {
        let mut draft = Draft::of(self);
        let inverse = draft.make(edit)?;
        Ok((draft.finish(), inverse))
    }

    /// The model with those of some edits made that fit, one after the other, and whether each did.
    pub fn apply_fitting<'e>(&self, edits: impl IntoIterator<Item = &'e Edit>) -> (Self, Vec<bool>) {
        let mut draft = Draft::of(self);
        let fits = |edit| {
            let mut next = draft.clone();
            let made = next.make(edit).is_ok();
            if made {
                draft = next;
            }
            made
        };
        let made = edits.into_iter().map(fits).collect();
        (draft.finish(), made)
    }

    /// The same model with a metadata entry set (added, or replaced where the key is there).
    pub fn with_metadata(&self, key: &str, value: &str) -> Self {
        let mut draft = Draft::of(self);
        draft.set_metadata(key, Some(value));
        draft.finish()
    }

    /// A metadata entry of the model.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.proto().metadata_props.iter().find(|e| e.key() == key).map(|e| e.value())
    }
}

impl Draft<'_> {
    /// Makes an edit; gives the one that takes it back. After an error the draft is of no use.
    fn make(&mut self, edit: &Edit) -> Result<Edit, ModelError> {
        if let Edit::All(edits) = edit {
            let mut inverses = edits.iter().map(|e| self.make(e)).collect::<Result<Vec<_>, _>>()?;
            inverses.reverse();
            return Ok(Edit::All(inverses));
        }
        self.make_one(edit).map_err(|why| ModelError::Edit { edit: edit.to_string(), why })
    }

    fn make_one(&mut self, edit: &Edit) -> Result<Edit, String> {
        match edit {
            Edit::ReplaceInitializer { tensor } => {
                let old = self.present(tensor.name())?;
                self.set_initializer(tensor.name(), Some(tensor));
                Ok(Edit::ReplaceInitializer { tensor: old })
            }
            Edit::AddInitializer { tensor } => {
                let name = tensor.name();
                match self.initializers(name) {
                    0 if self.maker(name).is_some() => return Err("the name is taken by a node's output".into()),
                    0 => {}
                    1 => return Err("the name is taken".into()),
                    _ => return Err(TWICE.into()),
                }
                self.set_initializer(name, Some(tensor));
                Ok(Edit::RemoveInitializer { name: name.into() })
            }
            Edit::RemoveInitializer { name } => {
                let old = self.present(name)?;
                self.set_initializer(name, None);
                Ok(Edit::AddInitializer { tensor: old })
            }
            Edit::SetInputs { values } => Ok(Edit::SetInputs { values: self.set_inputs(values) }),
            Edit::SetOutputs { values } => Ok(Edit::SetOutputs { values: self.set_outputs(values) }),
            Edit::SetMetadata { key, value } => Ok(Edit::SetMetadata { key: key.clone(), value: self.set_metadata(key, value.as_deref()) }),
            Edit::InsertNode { before, node } => {
                let key = self.free_key(node, None)?;
                let at = match before {
                    Some(name) => self.place_before(name)?,
                    None => self.behind_nodes(),
                };
                self.set_node(Place::Before(at), None, Some(node.clone()));
                Ok(Edit::RemoveNode { node: key })
            }
            Edit::PutNode { place, node } => {
                let key = first_output(node).ok_or("it has no output")?;
                let free = match place {
                    Place::At(at) => matches!(self.overlay.nodes.get(at), Some(None)),
                    Place::Before(at) => *at <= self.len() && !self.overlay.added_nodes.contains_key(&(*at, key.to_string())),
                };
                if !free {
                    return Err("its place is taken".into());
                }
                self.set_node(*place, None, Some(node.clone()));
                Ok(Edit::RemoveNode { node: key.into() })
            }
            Edit::RemoveNode { node: name } => {
                let (place, node) = self.find(name)?;
                self.set_node(place, Some(&node), None);
                Ok(Edit::PutNode { place, node })
            }
            Edit::ReplaceNode { node: name, with } => {
                let (place, old) = self.find(name)?;
                let key = self.free_key(with, Some((place, name)))?;
                self.set_node(place, Some(&old), Some(with.clone()));
                Ok(Edit::ReplaceNode { node: key, with: old })
            }
            Edit::SetAttribute { node: name, attribute } => {
                let (place, old) = self.find(name)?;
                let mut node = old.clone();
                let inverse = match node.attribute.iter_mut().find(|a| a.name() == attribute.name()) {
                    Some(old) => Edit::SetAttribute { node: name.clone(), attribute: std::mem::replace(old, attribute.clone()) },
                    None => {
                        node.attribute.push(attribute.clone());
                        Edit::RemoveAttribute { node: name.clone(), attribute: attribute.name().into() }
                    }
                };
                self.set_node(place, Some(&old), Some(node));
                Ok(inverse)
            }
            Edit::RemoveAttribute { node: name, attribute } => {
                let (place, old) = self.find(name)?;
                let mut node = old.clone();
                let at = node.attribute.iter().position(|a| a.name() == attribute);
                let at = at.ok_or_else(|| format!("'{}' has no such attribute", node.label()))?;
                let taken = node.attribute.remove(at);
                // Where the name is there twice, setting it would change the other one.
                let inverse = match node.attr(attribute) {
                    Some(_) => Edit::ReplaceNode { node: name.clone(), with: old.clone() },
                    None => Edit::SetAttribute { node: name.clone(), attribute: taken },
                };
                self.set_node(place, Some(&old), Some(node));
                Ok(inverse)
            }
            Edit::RewireInput { node: name, slot, value } => {
                let (place, old) = self.find(name)?;
                let mut node = old.clone();
                if *slot >= MOST_INPUTS {
                    return Err("no node has so many inputs".into());
                }
                if node.input.len() <= *slot {
                    node.input.resize(*slot + 1, String::new());
                }
                let before = std::mem::replace(&mut node.input[*slot], value.clone());
                self.set_node(place, Some(&old), Some(node));
                Ok(Edit::RewireInput { node: name.clone(), slot: *slot, value: before })
            }
            Edit::All(_) => Err("several edits are made one by one".into()),
        }
    }

    /// The one dense initializer of this name.
    fn present(&self, name: &str) -> Result<TensorProto, String> {
        match self.initializers(name) {
            0 => Err("there is no such initializer".into()),
            1 => self.initializer(name).cloned().ok_or_else(|| "it is sparse, and sparse initializers are kept as they are".into()),
            _ => Err(TWICE.into()),
        }
    }

    /// The node whose first output has this name, and its place.
    fn find(&self, name: &str) -> Result<(Place, NodeProto), String> {
        let (place, node) = self.maker(name).ok_or_else(|| format!("no node makes '{name}'"))?;
        match first_output(node) == Some(name) {
            true => Ok((place, node.clone())),
            false => Err(format!("'{name}' is not the first output of '{}'", node.label())),
        }
    }

    /// The first output of a node that comes to the graph, or in the place of another one, which is given by place and first output.
    fn free_key(&self, node: &NodeProto, instead: Option<(Place, &str)>) -> Result<String, String> {
        let key = first_output(node).ok_or("the new node has no output")?;
        let made = self.maker(key).is_some_and(|(place, old)| instead != first_output(old).map(|first| (place, first)));
        if made || self.initializers(key) > 0 {
            return Err(format!("'{key}' is made already"));
        }
        Ok(key.to_string())
    }

    /// The place in front of a node, which may be one that an edit took away or gave another name.
    fn place_before(&self, name: &str) -> Result<usize, String> {
        if self.maker(name).is_some() {
            let (Place::At(at) | Place::Before(at)) = self.find(name)?.0;
            return Ok(at);
        }
        self.place_as_read(name).ok_or_else(|| format!("no node makes '{name}'"))
    }
}

/// Why an initializer cannot be edited by its name.
const TWICE: &str = "the name stands for two initializers";
