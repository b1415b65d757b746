//! A model while edits are made: what an edit asks for is found in the file and the edits over it, and nothing is indexed before the last one.

use super::file::{Entry, Part};
use super::onnx::{NodeProto, TensorProto, ValueInfoProto};
use super::overlay::{Overlay, canonical};
use super::{Model, Place};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Where a node stands, in the order of the graph: its place, whether it is the file's own there, and the first output of one that was added.
type Spot = (usize, bool, String);

/// Edits over a model, and which nodes make the values that they touched.
#[derive(Clone)]
pub(super) struct Draft<'a> {
    model: &'a Model,
    pub overlay: Overlay,
    /// Of values that an edit touched: all nodes that make them. Of the others the model's index knows.
    touched: HashMap<String, BTreeSet<Spot>>,
}

impl<'a> Draft<'a> {
    pub fn of(model: &'a Model) -> Self {
        Self { model, overlay: model.overlay.clone(), touched: HashMap::new() }
    }

    /// The edited model.
    pub fn finish(self) -> Model {
        self.model.with_overlay(self.overlay)
    }

    fn parts(&self) -> &'a [Part] {
        &self.model.base.parts
    }

    /// How many fields the graph has as it was read.
    pub fn len(&self) -> usize {
        self.parts().len()
    }

    /// The place behind the last node of the file.
    pub fn behind_nodes(&self) -> usize {
        self.parts().iter().rposition(|p| matches!(p, Part::Node(_))).map_or(0, |i| i + 1)
    }

    /// The place of the file's own node with this first output, whether or not it is still there.
    pub fn place_as_read(&self, first: &str) -> Option<usize> {
        self.parts().iter().position(|p| matches!(p, Part::Node(e) if first_output(&e.message) == Some(first)))
    }

    fn at(&self, spot: &Spot) -> Option<&Arc<Entry<NodeProto>>> {
        match spot {
            (at, false, key) => self.overlay.added_nodes.get(&(*at, key.clone())),
            (at, true, _) => match (self.overlay.nodes.get(at), self.parts().get(*at)) {
                (Some(edited), _) => edited.as_ref(),
                (None, Some(Part::Node(read))) => Some(read),
                _ => None,
            },
        }
    }

    /// The node that makes a value, the first one where there are several.
    pub fn maker(&self, output: &str) -> Option<(Place, &NodeProto)> {
        let spot = match self.touched.get(output) {
            Some(spots) => spots.first()?.clone(),
            None => {
                let id = self.model.node_by_output(output)?;
                spot(self.model.graph.places[self.model.index.node_place(id)], self.model.node(id))
            }
        };
        let place = if spot.1 { Place::At(spot.0) } else { Place::Before(spot.0) };
        Some((place, &self.at(&spot)?.message))
    }

    /// Puts a node at a place, or takes the one away that is there; `old` is what is there now.
    pub fn set_node(&mut self, place: Place, old: Option<&NodeProto>, new: Option<NodeProto>) {
        for name in old.into_iter().chain(&new).flat_map(|n| &n.output).filter(|o| !o.is_empty()) {
            self.touch(name);
        }
        self.forget(place, old);
        match place {
            Place::At(at) => {
                let Some(Part::Node(base)) = self.parts().get(at) else {
                    return;
                };
                let entry = new.map(|mut node| {
                    canonical(&mut node, Some(&base.message));
                    base.changed(node)
                });
                if let Some(entry) = &entry {
                    self.remember(place, &entry.message);
                }
                match entry {
                    Some(entry) if Arc::ptr_eq(&entry, base) => self.overlay.nodes.remove(&at),
                    entry => self.overlay.nodes.insert(at, entry),
                };
            }
            Place::Before(at) => {
                if let Some(key) = old.and_then(first_output) {
                    self.overlay.added_nodes.remove(&(at, key.to_string()));
                }
                if let Some(mut node) = new {
                    canonical(&mut node, None);
                    self.remember(place, &node);
                    let key = first_output(&node).unwrap_or_default().to_string();
                    self.overlay.added_nodes.insert((at, key), Entry::new(node));
                }
            }
        }
    }

    /// All makers of a value as the model has them, before the first edit that touches it.
    fn touch(&mut self, name: &str) {
        if self.touched.contains_key(name) {
            return;
        }
        let graph = &self.model.graph;
        let makers = graph.parts.iter().zip(&graph.places).filter_map(|(part, place)| match part {
            Part::Node(e) if e.message.output.iter().any(|o| o == name) => Some(spot(*place, &e.message)),
            _ => None,
        });
        let makers = makers.collect();
        self.touched.insert(name.to_string(), makers);
    }

    fn remember(&mut self, place: Place, node: &NodeProto) {
        for name in node.output.iter().filter(|o| !o.is_empty()) {
            self.touched.entry(name.clone()).or_default().insert(spot(place, node));
        }
    }

    fn forget(&mut self, place: Place, node: Option<&NodeProto>) {
        for (node, name) in node.into_iter().flat_map(|n| n.output.iter().map(move |o| (n, o))) {
            if let Some(spots) = self.touched.get_mut(name) {
                spots.remove(&spot(place, node));
            }
        }
    }

    /// How many initializers have this name, sparse ones included.
    pub fn initializers(&self, name: &str) -> usize {
        let gone = |at: &usize| matches!(self.overlay.initializers.get(at), Some(None));
        let read = self.places_of(name).filter(|at| !gone(at)).count();
        read + usize::from(self.overlay.added_initializers.contains_key(name))
    }

    /// The dense initializer of this name.
    pub fn initializer(&self, name: &str) -> Option<&TensorProto> {
        let read = self.places_of(name).find_map(|at| match (self.overlay.initializers.get(&at), &self.parts()[at]) {
            (Some(edited), _) => edited.as_ref(),
            (None, Part::Initializer(read)) => Some(read),
            _ => None,
        });
        read.or_else(|| self.overlay.added_initializers.get(name)).map(|e| &e.message)
    }

    fn places_of<'n>(&self, name: &'n str) -> impl Iterator<Item = usize> + use<'a, 'n> {
        let named = |part: &Part| part.initializer_name() == Some(name);
        let known = self.model.base.initializers.contains(name);
        self.parts().iter().enumerate().filter(move |(_, p)| known && named(p)).map(|(at, _)| at)
    }

    /// Puts a tensor in the place of the initializer of this name, adds it, or takes it away.
    pub fn set_initializer(&mut self, name: &str, new: Option<&TensorProto>) {
        let read = self.parts().iter().enumerate().find_map(|(at, p)| match p {
            Part::Initializer(e) if e.message.name() == name => Some((at, e)),
            _ => None,
        });
        match (read, new) {
            (Some((at, base)), new) => {
                match new.map(|t| base.replaced(t.clone())) {
                    Some(entry) if Arc::ptr_eq(&entry, base) => self.overlay.initializers.remove(&at),
                    entry => self.overlay.initializers.insert(at, entry),
                };
            }
            (None, Some(tensor)) => {
                self.overlay.added_initializers.insert(name.into(), Entry::new(tensor.clone()));
            }
            (None, None) => {
                self.overlay.added_initializers.remove(name);
            }
        }
    }

    /// Declares other inputs; gives those from before, initializers left out.
    pub fn set_inputs(&mut self, values: &[ValueInfoProto]) -> Vec<ValueInfoProto> {
        let own = self.declarations(|p| match p {
            Part::Input(e) if !self.model.base.initializers.contains(e.message.name()) => Some(e),
            _ => None,
        });
        swap(&mut self.overlay.inputs, &own, values)
    }

    /// Declares other outputs; gives those from before.
    pub fn set_outputs(&mut self, values: &[ValueInfoProto]) -> Vec<ValueInfoProto> {
        let own = self.declarations(|p| if let Part::Output(e) = p { Some(e) } else { None });
        swap(&mut self.overlay.outputs, &own, values)
    }

    fn declarations(&self, of: impl Fn(&'a Part) -> Option<&'a Arc<Entry<ValueInfoProto>>>) -> Vec<&'a Arc<Entry<ValueInfoProto>>> {
        self.parts().iter().filter_map(of).collect()
    }

    /// Sets an entry of the metadata, or takes it away; gives what was there.
    pub fn set_metadata(&mut self, key: &str, value: Option<&str>) -> Option<String> {
        let read = self.model.base.metadata().find(|e| e.key() == key).map(|e| e.value());
        let before = match self.overlay.metadata.get(key) {
            Some(edited) => edited.clone(),
            None => read.map(str::to_string),
        };
        if read == value {
            self.overlay.metadata.remove(key);
        } else {
            self.overlay.metadata.insert(key.into(), value.map(str::to_string));
        }
        before
    }
}

/// Declarations in the place of others, each with the bytes of what stayed in the one of its name; gives those from before.
fn swap(
    slot: &mut Option<Vec<Arc<Entry<ValueInfoProto>>>>,
    own: &[&Arc<Entry<ValueInfoProto>>],
    values: &[ValueInfoProto],
) -> Vec<ValueInfoProto> {
    let before = match slot.take() {
        Some(edited) => edited.iter().map(|e| e.message.clone()).collect(),
        None => own.iter().map(|e| e.message.clone()).collect(),
    };
    let new: Vec<_> = values
        .iter()
        .map(|v| own.iter().find(|e| e.message.name() == v.name()).map_or_else(|| Entry::new(v.clone()), |e| e.changed(v.clone())))
        .collect();
    let as_read = new.len() == own.len() && new.iter().zip(own).all(|(a, b)| Arc::ptr_eq(a, b));
    *slot = if as_read { None } else { Some(new) };
    before
}

fn spot(place: Place, node: &NodeProto) -> Spot {
    match place {
        Place::At(at) => (at, true, String::new()),
        Place::Before(at) => (at, false, first_output(node).unwrap_or_default().to_string()),
    }
}

/// What names a node: its first output that is there.
pub(super) fn first_output(node: &NodeProto) -> Option<&str> {
    node.output.iter().find(|o| !o.is_empty()).map(String::as_str)
}
