//! Values kept part of the way down, image by image, so that after an edit only what lies below it runs again.

use crate::dataset::Feed;
use crate::model::onnx::ValueInfoProto;
use crate::model::{Edit, Model, ValueId};
use crate::run::{Network, OpId, Value};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Stretches of the network, as parts of its depth, in which a place to keep values is looked for.
const STRETCHES: [(f32, f32); 4] = [(0.2, 0.4), (0.4, 0.65), (0.65, 0.82), (0.82, 0.95)];
/// Bytes that one place may take, over all images.
const MOST: usize = 256 << 20;
/// Networks with fewer nodes run again as a whole.
const FEWEST: usize = 12;

/// A place where the network is cut: all that anything below reads.
#[derive(Debug)]
pub struct Cut {
    /// Names of the values, in order.
    pub names: Vec<String>,
    /// The values of each image, where it was run.
    pub values: Vec<Option<Vec<Value>>>,
}

/// What was kept of one evaluation of the target.
#[derive(Debug)]
pub struct Checkpoints {
    made_by: Arc<Network>,
    feed: Feed,
    /// From the top down.
    pub cuts: Vec<Cut>,
}

impl Checkpoints {
    /// Chooses where to cut, and gives the network that has the values there as further outputs. `example` is what one image gives its inputs.
    /// `None` where it is not worth it, or values would not be the same when they are put in again.
    pub fn place(network: &Arc<Network>, feed: &Feed, example: &[Value], images: usize) -> Option<(Self, Arc<Network>)> {
        // Half precision runs as single precision inside a plan, and would round at the cut.
        if network.ops().len() < FEWEST || network.has_halves() {
            return None;
        }
        let mut sizes: HashMap<ValueId, usize> = HashMap::new();
        let mut infos: HashMap<ValueId, ValueInfoProto> = HashMap::new();
        network.forward(example, |id, made| {
            for (v, value) in network.op(id).made().zip(made.iter().flatten()) {
                sizes.insert(v, value.bytes().len());
                infos.insert(v, value.declared(network.model().index().name(v)));
            }
        });
        let mut chosen: Vec<Vec<ValueId>> = Vec::new();
        for (from, to) in STRETCHES {
            let end = network.ops().len() as f32;
            let places = ((from * end) as u32)..((to * end) as u32);
            let crossing = places.filter_map(|at| {
                let values = crossing(network, OpId(at))?;
                let bytes: usize = values.iter().map(|v| sizes.get(v).copied()).sum::<Option<usize>>()?;
                (bytes * images <= MOST).then_some((bytes, values))
            });
            if let Some((_, values)) = crossing.min_by_key(|(bytes, _)| *bytes)
                && !chosen.contains(&values)
            {
                chosen.push(values);
            }
        }
        let mut outputs: Vec<ValueInfoProto> = network.model().outputs().cloned().collect();
        let mut seen: HashSet<ValueId> = network.outputs().iter().copied().collect();
        for v in chosen.iter().flatten().filter(|v| seen.insert(**v)) {
            outputs.push(infos.get(v)?.clone());
        }
        let model = network.model().apply(&Edit::SetOutputs { values: outputs }).ok()?.0;
        let kept = Arc::new(network.edited(&model).ok()?);
        let name = |v: &ValueId| network.model().index().name(*v).to_string();
        let cuts = chosen.iter().map(|values| Cut { names: values.iter().map(name).collect(), values: vec![None; images] }).collect();
        Some((Self { made_by: network.clone(), feed: feed.clone(), cuts }, kept))
    }

    /// Takes what the network with further outputs gave for an image.
    pub fn keep(&mut self, network: &Network, image: usize, outputs: &[Value]) {
        let named: HashMap<&str, &Value> = network.outputs().iter().map(|v| network.model().index().name(*v)).zip(outputs).collect();
        for cut in &mut self.cuts {
            cut.values[image] = cut.names.iter().map(|n| named.get(n.as_str()).map(|v| (*v).clone())).collect();
        }
    }

    /// The last cut above which the edited network is as it was, with the network from there on.
    pub fn below(&self, edited: &Network, feed: &Feed) -> Option<(&Cut, Arc<Network>)> {
        if *feed != self.feed {
            return None;
        }
        let changed = edited.changed_since(&self.made_by);
        let holds = |cut: &&Cut| {
            cut.names.iter().all(|n| edited.model().index().value(n).is_some_and(|v| edited.producer(v).is_some() && !changed.contains(&v)))
        };
        let cut = self.cuts.iter().rev().find(holds)?;
        let first = cut.values.iter().flatten().next()?;
        let model = tail(edited, cut, first)?;
        Some((cut, Arc::new(edited.edited(&model).ok()?)))
    }
}

/// What ops behind `at` read of what stands before them; `None` when an output of the graph is made before, or an input is read behind.
fn crossing(network: &Network, at: OpId) -> Option<Vec<ValueId>> {
    let above = |v: ValueId| network.producer(v).is_none_or(|p| p <= at);
    if network.outputs().iter().any(|v| above(*v)) {
        return None;
    }
    let mut out: Vec<ValueId> = Vec::new();
    for id in network.op_ids().skip(at.at() + 1).filter(|id| network.is_live(*id)) {
        for v in network.op(id).data.iter().copied().filter(|v| above(*v)) {
            network.producer(v)?;
            if !out.contains(&v) {
                out.push(v);
            }
        }
    }
    (!out.is_empty() && out.len() <= 8).then_some(out)
}

/// The model from a cut on, whose inputs are the values there.
fn tail(network: &Network, cut: &Cut, first: &[Value]) -> Option<Model> {
    let model = network.model();
    let mut needed: HashSet<OpId> = HashSet::new();
    let mut open: Vec<ValueId> = network.outputs().to_vec();
    let inputs: HashSet<ValueId> = cut.names.iter().map(|n| model.index().value(n)).collect::<Option<_>>()?;
    while let Some(v) = open.pop() {
        if inputs.contains(&v) || network.constant(v).is_some() {
            continue;
        }
        let producer = network.producer(v)?;
        if needed.insert(producer) {
            open.extend(&network.op(producer).data);
        }
    }
    let gone = network.op_ids().filter(|id| !needed.contains(id));
    let key = |id: OpId| model.node(network.op(id).node).output.iter().find(|o| !o.is_empty()).cloned();
    let mut edits: Vec<Edit> = gone.filter_map(key).map(|node| Edit::RemoveNode { node }).collect();
    edits.push(Edit::SetInputs { values: cut.names.iter().zip(first).map(|(name, value)| value.declared(name)).collect() });
    Some(model.apply(&Edit::All(edits)).ok()?.0)
}
