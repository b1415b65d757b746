//! The edited state of a model: what lies over the file as it was read.
//!
//! The state, and so the bytes of the edited file, is a function of *what* is changed, never of the order of the changes. That is why
//! independent edits commute and an inverse gives back the very bytes: a part that is again as it was read is that part.

use super::file::{Base, Entry, Graph, Head, Part};
use super::onnx::{AttributeProto, NodeProto, StringStringEntryProto, TensorProto, ValueInfoProto};
use super::wire;
use bytes::Bytes;
use prost::Message;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// A place in the graph, counted in the fields of the file as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// In front of this field, together with others that were added there.
    Before(usize),
    /// This field itself.
    At(usize),
}

/// All edits of a model, taken together. `None` stands for what was taken away.
#[derive(Debug, Clone, Default)]
pub(super) struct Overlay {
    pub nodes: BTreeMap<usize, Option<Arc<Entry<NodeProto>>>>,
    /// By the place in front of which they stand, and the first output.
    pub added_nodes: BTreeMap<(usize, String), Arc<Entry<NodeProto>>>,
    pub initializers: BTreeMap<usize, Option<Arc<Entry<TensorProto>>>>,
    pub added_initializers: BTreeMap<String, Arc<Entry<TensorProto>>>,
    /// All inputs that are no initializers.
    pub inputs: Option<Vec<Arc<Entry<ValueInfoProto>>>>,
    pub outputs: Option<Vec<Arc<Entry<ValueInfoProto>>>>,
    pub metadata: BTreeMap<String, Option<String>>,
}

impl Overlay {
    /// The edited graph, in the order in which it is written.
    pub fn graph(&self, base: &Base) -> Graph {
        let mut out = Graph::default();
        let last = |is: fn(&Part) -> bool| base.parts.iter().rposition(is).map(|i| i + 1);
        let after_nodes = last(|p| matches!(p, Part::Node(_))).unwrap_or(0);
        let new_initializers = last(|p| matches!(p, Part::Initializer(_))).unwrap_or(after_nodes);
        let own_input = |p: &Part| matches!(p, Part::Input(e) if !base.initializers.contains(e.message.name()));
        let is_output = |p: &Part| matches!(p, Part::Output(_));
        let new_inputs = base.parts.iter().rposition(own_input).map_or(base.parts.len(), |i| i + 1);
        let new_outputs = base.parts.iter().rposition(is_output).map_or(base.parts.len(), |i| i + 1);
        let gone = self.gone_initializers(base);
        let (mut inputs, mut outputs) = (self.inputs.iter().flatten(), self.outputs.iter().flatten());
        for at in 0..=base.parts.len() {
            for node in self.added_at(at) {
                out.push(Part::Node(node), Place::Before(at));
            }
            if at == new_initializers {
                for tensor in self.added_initializers.values() {
                    out.push(Part::Initializer(tensor.clone()), Place::Before(at));
                }
            }
            if at == new_inputs {
                inputs.by_ref().for_each(|e| out.push(Part::Input(e.clone()), Place::Before(at)));
            }
            if at == new_outputs {
                outputs.by_ref().for_each(|e| out.push(Part::Output(e.clone()), Place::Before(at)));
            }
            let Some(part) = base.parts.get(at) else {
                break;
            };
            let part = match part {
                Part::Node(e) => self.nodes.get(&at).unwrap_or(&Some(e.clone())).clone().map(Part::Node),
                Part::Initializer(e) => self.initializers.get(&at).unwrap_or(&Some(e.clone())).clone().map(Part::Initializer),
                Part::Input(e) if gone.contains(e.message.name()) => None,
                p if own_input(p) && self.inputs.is_some() => inputs.next().cloned().map(Part::Input),
                p if is_output(p) && self.outputs.is_some() => outputs.next().cloned().map(Part::Output),
                p => Some(p.clone()),
            };
            if let Some(part) = part {
                out.push(part, Place::At(at));
            }
        }
        out
    }

    /// Initializers of the file that are there no more: declarations of inputs that gave them a default go with them.
    fn gone_initializers<'a>(&self, base: &'a Base) -> HashSet<&'a str> {
        let removed = self.initializers.iter().filter(|(_, e)| e.is_none());
        removed
            .filter_map(|(at, _)| base.parts.get(*at)?.initializer_name())
            .filter(|n| !self.added_initializers.contains_key(*n))
            .collect()
    }

    /// Nodes that were added at one place, in an order in which they can run; among equals, by name.
    fn added_at(&self, at: usize) -> Vec<Arc<Entry<NodeProto>>> {
        let mut open: BTreeMap<&str, &Arc<Entry<NodeProto>>> =
            self.added_nodes.range((at, String::new())..(at + 1, String::new())).map(|((_, key), e)| (key.as_str(), e)).collect();
        let mut made: HashMap<&str, &str> = HashMap::new();
        for (key, node) in &open {
            made.extend(node.message.output.iter().map(|o| (o.as_str(), *key)));
        }
        let mut out = Vec::with_capacity(open.len());
        while !open.is_empty() {
            let waits = |node: &NodeProto| super::index::reads(node).iter().any(|n| made.get(n).is_some_and(|k| open.contains_key(k)));
            // On a cycle nothing can run: then the name alone decides.
            let next = open.iter().find(|(_, e)| !waits(&e.message)).or_else(|| open.iter().next()).map(|(k, _)| *k);
            out.extend(next.and_then(|k| open.remove(k)).cloned());
        }
        out
    }

    /// The fields of the edited model beside its graph, in the order in which they are written.
    pub fn head(&self, base: &Base) -> Vec<Head> {
        let mut seen = BTreeSet::new();
        let mut out = Vec::with_capacity(base.head.len() + self.metadata.len());
        for head in &base.head {
            match head {
                Head::Metadata(entry, _) => match self.metadata.get(entry.key()) {
                    None => out.push(head.clone()),
                    // A key that is there twice is set once.
                    Some(value) if seen.insert(entry.key()) => out.extend(value.as_ref().map(|v| metadata_entry(entry.key(), v))),
                    Some(_) => {}
                },
                _ => out.push(head.clone()),
            }
        }
        let new = self.metadata.iter().filter(|(k, _)| !seen.contains(k.as_str()));
        out.extend(new.filter_map(|(k, v)| Some(metadata_entry(k, v.as_ref()?))));
        out
    }
}

impl Graph {
    fn push(&mut self, part: Part, place: Place) {
        self.parts.push(part);
        self.places.push(place);
    }
}

fn metadata_entry(key: &str, value: &str) -> Head {
    let entry = StringStringEntryProto { key: Some(key.into()), value: Some(value.into()) };
    let content = Bytes::from(entry.encode_to_vec());
    let whole = wire::delimited(super::file::number::METADATA, &content);
    Head::Metadata(entry, wire::Field { number: super::file::number::METADATA, whole, content: Some(content) })
}

/// Brings a changed node into the one form that it has however it came to be: attributes in the order of the file, new ones by name
/// behind them; no missing inputs at the end, unless the file has them.
pub(super) fn canonical(node: &mut NodeProto, base: Option<&NodeProto>) {
    let mut left: Vec<Option<&str>> = base.map(|b| b.attribute.iter().map(|a| Some(a.name())).collect()).unwrap_or_default();
    let ranked = std::mem::take(&mut node.attribute).into_iter().map(|a| {
        let at = left.iter().position(|n| *n == Some(a.name())).unwrap_or(usize::MAX);
        if let Some(place) = left.get_mut(at) {
            *place = None;
        }
        (at, a)
    });
    let mut ranked: Vec<(usize, AttributeProto)> = ranked.collect();
    ranked.sort_by(|(i, a), (j, b)| i.cmp(j).then_with(|| a.name().cmp(b.name())));
    node.attribute = ranked.into_iter().map(|(_, a)| a).collect();
    let stripped = |names: &[String]| names.iter().rposition(|n| !n.is_empty()).map_or(0, |i| i + 1);
    node.input.truncate(stripped(&node.input));
    if let Some(base) = base
        && base.input[..stripped(&base.input)] == node.input[..]
    {
        node.input.clone_from(&base.input);
    }
}
