//! `graph`: the chain of nodes above an anchor (a convolution, an addition), where its operators are others than the source's.

use super::pairing::partner;
use super::{Change, Sides, attributes, op_of};
use crate::localize::Kind;
use crate::model::onnx::NodeProto;
use crate::model::{Edit, Model, NodeId};
use crate::run::{Network, OpId};
use std::collections::{HashMap, HashSet};

/// The nodes between an input of an anchor and the anchor above, from the top down.
struct Chain {
    ops: Vec<OpId>,
    /// The value above them.
    from: String,
    /// Operator of what makes it; empty for an input of the graph.
    made_by: String,
}

impl Chain {
    /// Above one input: up to a node of the anchor's type, or one that joins several values.
    fn above(network: &Network, anchor: NodeId, slot: usize) -> Option<Self> {
        let node = network.model().node(anchor);
        let mut at = network.model().index().value(node.input.get(slot)?)?;
        if network.constant(at).is_some() {
            return None;
        }
        let mut ops = Vec::new();
        let mut made_by = String::new();
        while let Some(id) = network.producer(at) {
            let op = network.op(id);
            match op.data[..] {
                [one] if op.op_type() != node.op_type() => {
                    ops.push(id);
                    at = one;
                }
                _ => {
                    made_by = op.op_type().to_string();
                    break;
                }
            }
        }
        ops.reverse();
        Some(Self { ops, from: network.model().index().name(at).to_string(), made_by })
    }

    fn types<'a>(&self, network: &'a Network) -> Vec<&'a str> {
        self.ops.iter().map(|id| network.model().node(network.op(*id).node).op_type()).collect()
    }
}

/// Puts the source's chain in the place of the target's, for the first input above which they differ; then the attributes of the anchor.
pub(super) fn change(node: NodeId, sides: &Sides<'_>) -> Option<Change> {
    let partner = partner(node, sides)?;
    op_of(sides.target, partner)?;
    let slots = sides.source_node(node).input.len();
    (0..slots).find_map(|slot| at_input(node, partner, slot, sides))
}

fn at_input(node: NodeId, partner: NodeId, slot: usize, sides: &Sides<'_>) -> Option<Change> {
    let theirs = Chain::above(sides.source, node, slot)?;
    let own = Chain::above(sides.target, partner, slot)?;
    let (wanted, there) = (theirs.types(sides.source), own.types(sides.target));
    // Above the first anchor of the network there is nothing to compare with.
    if wanted == there || theirs.made_by.is_empty() || theirs.made_by != own.made_by {
        return None;
    }
    let kind = match wanted.len().cmp(&there.len()) {
        std::cmp::Ordering::Greater => Kind::CgMissing,
        std::cmp::Ordering::Less => Kind::CgExtra,
        std::cmp::Ordering::Equal => Kind::CgOther,
    };
    let mut edits = vec![substitute(&theirs, &own, partner, slot, sides)?];
    edits.extend(attributes::change(node, sides).map(|c| c.edit));
    let list = |types: &[&str]| if types.is_empty() { "nothing".to_string() } else { types.join(", ") };
    Some(Change {
        kind,
        edit: Edit::All(edits),
        recipe: None,
        words: format!("{} in the place of {}, as in the source", list(&wanted), list(&there)),
        nodes: own.ops.iter().map(|id| sides.target.label(*id)).chain([sides.target.model().label(partner)]).map(str::to_string).collect(),
        safe: false,
    })
}

fn substitute(theirs: &Chain, own: &Chain, partner: NodeId, slot: usize, sides: &Sides<'_>) -> Option<Edit> {
    let key = sides.key(partner)?;
    let model = sides.target.model();
    let first_output = |id: &OpId| sides.key(sides.target.op(*id).node);
    let removed: Vec<String> = own.ops.iter().map(first_output).collect::<Option<_>>()?;
    let mut names = Names { model, taken: HashSet::new(), renamed: HashMap::new() };
    let above = theirs.ops.first().and_then(|id| sides.source.op(*id).data.first()).map(|v| sides.source.model().index().name(*v));
    names.renamed.extend(above.map(|a| (a.to_string(), own.from.clone())));
    // The last value keeps the name under which the target knows it, for others that read it.
    let read = sides.target_node(partner).input.get(slot)?;
    let last = theirs.ops.last().and_then(|id| sides.source.model().node(sides.source.op(*id).node).output.first());
    if let Some(last) = last.filter(|_| !removed.is_empty()) {
        names.renamed.insert(last.clone(), read.clone());
    }
    let mut tensors = Vec::new();
    let mut nodes: Vec<NodeProto> = Vec::new();
    for id in &theirs.ops {
        let op = sides.source.op(*id);
        let mut copy = sides.source.model().node(op.node).clone();
        for (name, value) in copy.input.iter_mut().zip(&op.inputs) {
            let constant = value.and_then(|v| sides.source.constant(v)).filter(|_| !names.renamed.contains_key(name));
            let new = names.of(name);
            tensors.extend(constant.map(|c| c.to_proto(&new)));
            *name = new;
        }
        for name in copy.output.iter_mut().filter(|n| !n.is_empty()) {
            *name = names.of(name);
        }
        copy.name = copy.output.first().cloned();
        nodes.push(copy);
    }
    let now = nodes.last().and_then(|n| n.output.first()).unwrap_or(&own.from).clone();
    let graft = Edit::graft(&removed, tensors, nodes, Some(key.clone()));
    Some(if now == *read { graft } else { Edit::All(vec![graft, Edit::RewireInput { node: key, slot, value: now }]) })
}

/// Names of the source's values in the target.
struct Names<'a> {
    model: &'a Model,
    taken: HashSet<String>,
    renamed: HashMap<String, String>,
}

impl Names<'_> {
    fn of(&mut self, name: &str) -> String {
        if name.is_empty() {
            return String::new();
        }
        if let Some(new) = self.renamed.get(name) {
            return new.clone();
        }
        let free = |n: &String| self.model.index().value(n).is_none() && !self.taken.contains(n);
        let numbered = (1..).map(|i| format!("{name}_{i}"));
        let new = std::iter::once(name.to_string()).chain(numbered).find(free).unwrap_or_default();
        self.taken.insert(new.clone());
        self.renamed.insert(name.to_string(), new.clone());
        new
    }
}
