//! What the source says: all values of a few images, and an index over them.

use super::layout::candidates;
use super::numbers::Fingerprint;
use crate::model::ValueId;
use crate::run::{Network, OpId, RunError, Value};
use std::collections::HashMap;
use std::sync::OnceLock;

/// Operators that move elements or pass them on, and change none.
pub(crate) fn moves(op: &str) -> bool {
    matches!(op, "Identity" | "Dropout" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Transpose" | "Cast")
}

/// The source on a few images. Source values have the ids of the source's model; ids beyond these stand for the Softmax and the
/// Sigmoid of flat outputs, so that a target with or without a last Softmax pairs.
#[derive(Debug)]
pub struct Reference<'a> {
    /// The source.
    pub network: &'a Network,
    /// By value: one for each image.
    values: Vec<Option<Vec<Value>>>,
    /// Place in the order of running; -1 for inputs.
    rank: Vec<i32>,
    /// The value of which this one is a mere rearrangement.
    origin: Vec<ValueId>,
    /// Bit sets over values.
    ancestors: Vec<Vec<u64>>,
    /// All values that can be paired, in order of running.
    order: Vec<ValueId>,
    by_len: HashMap<usize, Vec<(ValueId, Vec<Fingerprint>)>>,
    virtuals: Vec<(&'static str, ValueId)>,
    weights: OnceLock<Vec<Weight>>,
}

/// A weight of an op.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weight {
    pub op: OpId,
    pub value: ValueId,
    pub len: usize,
    pub print: Fingerprint,
}

/// The weights of an op that are large enough to tell it from others.
pub(super) fn weights_of(network: &Network, op: OpId) -> impl Iterator<Item = Weight> + use<'_> {
    let constants = network.op(op).inputs.iter().flatten().filter_map(|v| Some((*v, network.constant(*v)?)));
    let weights = constants.filter(|(_, c)| c.is_float() && c.len() >= 16);
    weights.filter_map(move |(value, c)| Some(Weight { op, value, len: c.len(), print: Fingerprint::of(&c.to_f32())? }))
}

impl<'a> Reference<'a> {
    /// Runs the source, node by node, on each image (one list of inputs an image).
    ///
    /// # Errors
    /// The first node that does not run, or at which the values of an image have more bytes than the network's limit allows.
    pub fn new(network: &'a Network, images: &[Vec<Value>]) -> Result<Self, RunError> {
        let count = network.model().index().value_count();
        let mut out = Self {
            network,
            values: vec![None; count],
            rank: vec![-1; count],
            origin: (0..count as u32).map(ValueId).collect(),
            ancestors: vec![Vec::new(); count],
            order: Vec::new(),
            by_len: HashMap::new(),
            virtuals: Vec::new(),
            weights: OnceLock::new(),
        };
        for (slot, v) in network.inputs().iter().enumerate() {
            let inputs: Vec<Value> = images.iter().filter_map(|x| x.get(slot).cloned()).collect();
            out.add(*v, inputs, -1, *v, &[]);
        }
        let mut bytes: Vec<u64> = images.iter().map(|inputs| inputs.iter().map(|v| v.bytes().len() as u64).sum()).collect();
        for id in network.op_ids() {
            let op = network.op(id);
            let mut made: Vec<Vec<Value>> = Vec::new();
            for (image, bytes) in bytes.iter_mut().enumerate() {
                let results = match network.eval(id, |v| out.values[v.0 as usize].as_ref().and_then(|x| x.get(image))) {
                    Ok(results) => results,
                    // What nothing reads may fail.
                    Err(_) if !op.live => break,
                    Err(why) => return Err(why),
                };
                *bytes += results.iter().map(|v| v.bytes().len() as u64).sum::<u64>();
                if *bytes > network.limit() {
                    let why = format!("the values of one image down to here have {bytes} bytes; --max-mem allows {}", network.limit());
                    return Err(RunError::new(why).at(network.label(id)));
                }
                for (slot, value) in results.into_iter().enumerate() {
                    if made.len() <= slot {
                        made.push(Vec::new());
                    }
                    made[slot].push(value);
                }
            }
            for (v, values) in op.made().zip(made).filter(|(_, values)| values.len() == images.len()) {
                let origin = match op.data.first() {
                    Some(first) if moves(op.op_type()) => out.origin[first.0 as usize],
                    _ => v,
                };
                out.add(v, values, id.0 as i32, origin, &op.data);
            }
        }
        for v in network.outputs() {
            out.add_virtuals(*v);
        }
        Ok(out)
    }

    fn add(&mut self, v: ValueId, values: Vec<Value>, rank: i32, origin: ValueId, from: &[ValueId]) {
        let at = v.0 as usize;
        if at >= self.values.len() {
            self.values.resize(at + 1, None);
            self.rank.resize(at + 1, 0);
            self.origin.resize(at + 1, v);
            self.ancestors.resize(at + 1, Vec::new());
        }
        let mut bits = vec![0u64; at / 64 + 1];
        for a in from {
            let other = &self.ancestors[a.0 as usize];
            if other.len() > bits.len() {
                bits.resize(other.len(), 0);
            }
            for (b, o) in bits.iter_mut().zip(other) {
                *b |= o;
            }
        }
        bits[at / 64] |= 1 << (at % 64);
        self.ancestors[at] = bits;
        self.rank[at] = rank;
        self.origin[at] = origin;
        let pairable = values.first().is_some_and(|x| x.is_float() && x.len() >= 2);
        if pairable {
            let prints: Option<Vec<_>> = values.iter().map(|x| Fingerprint::of(&x.to_f32())).collect();
            if let Some(prints) = prints {
                self.order.push(v);
                self.by_len.entry(values[0].len()).or_default().push((v, prints));
            }
        }
        self.values[at] = Some(values);
    }

    fn add_virtuals(&mut self, v: ValueId) {
        let flat = |x: &Value| x.is_float() && x.len() > 2 && x.shape().iter().filter(|d| **d != 1).count() <= 1;
        let made_by = self.network.producer(v).map(|p| self.network.op(p).op_type().to_string());
        let Some(values) = self.values(v).filter(|x| x.first().is_some_and(flat)).map(<[Value]>::to_vec) else { return };
        if matches!(made_by.as_deref(), Some("Softmax" | "Sigmoid")) {
            return;
        }
        let rank = self.network.ops().len() as i32;
        for (name, function) in [("Softmax", softmax as fn(&[f32]) -> Vec<f32>), ("Sigmoid", sigmoid)] {
            let id = ValueId(self.values.len() as u32);
            let made = values.iter().map(|x| Value::from_f32(x.shape(), function(&x.to_f32()))).collect();
            self.virtuals.push((name, v));
            self.add(id, made, rank, id, &[v]);
        }
    }

    /// Weights of all ops.
    pub(crate) fn weights(&self) -> &[Weight] {
        self.weights.get_or_init(|| self.network.op_ids().flat_map(|id| weights_of(self.network, id)).collect())
    }
    /// The values of the images, when the source makes this one.
    pub fn values(&self, v: ValueId) -> Option<&[Value]> {
        self.values.get(v.0 as usize)?.as_deref()
    }
    /// Place in the order of running.
    pub fn rank(&self, v: ValueId) -> i32 {
        self.rank[v.0 as usize]
    }
    /// The value of which this one is a mere rearrangement, itself otherwise.
    pub fn origin(&self, v: ValueId) -> ValueId {
        self.origin[v.0 as usize]
    }
    /// Dimensions of all rearrangements of a value.
    pub fn shapes_of(&self, v: ValueId) -> Vec<&[usize]> {
        let same = self.order.iter().filter(|s| self.origin(**s) == self.origin(v));
        same.filter_map(|s| Some(self.values(*s)?.first()?.shape())).collect()
    }
    /// Whether `v` is `above` or computed from it.
    pub fn descends(&self, v: ValueId, above: ValueId) -> bool {
        let at = above.0 as usize;
        self.ancestors[v.0 as usize].get(at / 64).is_some_and(|b| b >> (at % 64) & 1 == 1)
    }
    /// All values that can be paired, in order of running.
    pub fn order(&self) -> &[ValueId] {
        &self.order
    }
    /// The op that makes a value.
    pub fn producer(&self, v: ValueId) -> Option<OpId> {
        if (v.0 as usize) < self.network.model().index().value_count() { self.network.producer(v) } else { None }
    }
    /// The operator and the output that a virtual value is computed from.
    pub fn virtual_of(&self, v: ValueId) -> Option<(&'static str, ValueId)> {
        let at = (v.0 as usize).checked_sub(self.network.model().index().value_count())?;
        self.virtuals.get(at).copied()
    }
    /// What people call the value.
    pub fn name(&self, v: ValueId) -> String {
        match self.virtual_of(v) {
            Some((op, of)) => format!("{op} of {}", self.network.model().index().name(of)),
            None => self.network.model().index().name(v).to_string(),
        }
    }
    /// Values whose fingerprint is within `tolerance`, the nearest first. `images` is how many images to look at.
    pub(super) fn near(&self, prints: &[Fingerprint], len: usize, tolerance: f64) -> Vec<ValueId> {
        let Some(all) = self.by_len.get(&len) else { return Vec::new() };
        let distance = |theirs: &[Fingerprint]| prints.iter().zip(theirs).map(|(a, b)| a.distance(b)).fold(0.0, f64::max);
        let mut found: Vec<(f64, ValueId)> = all
            .iter()
            // All-zero values match everything that is nearly zero: never pair them.
            .filter(|(_, theirs)| theirs.iter().any(|f| f.rms >= 1e-7))
            .map(|(v, theirs)| (distance(theirs), *v))
            .filter(|(d, _)| *d <= tolerance)
            .collect();
        found.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        found.into_iter().map(|(_, v)| v).collect()
    }
}

/// Whether most weights of the target are nearly those of the source without being equal: then each layer is off.
pub(super) fn is_rounded(target: &Network, source: &Reference<'_>) -> bool {
    let sampled = |mine: ValueId, theirs: ValueId| {
        let (Some(x), Some(y)) = (source.network.constant(theirs), target.constant(mine)) else { return false };
        let layouts = candidates(x.shape(), y.shape());
        let (x, y) = (x.to_f32(), y.to_f32());
        layouts.iter().any(|l| l.sampled_error(&x, &y) < 0.3)
    };
    // Folded batch normalisation scales weights a little, too.
    let norms = |n: &Network| n.ops().iter().filter(|op| op.op_type() == "BatchNormalization").count();
    if norms(target) != norms(source.network) {
        return false;
    }
    // Biases are as a rule left as they are.
    let is_matrix = |v: ValueId| target.constant(v).is_some_and(|c| c.shape().iter().filter(|d| **d > 1).count() > 1);
    let (mut equal, mut near) = (0, 0);
    for mine in target.op_ids().flat_map(|id| weights_of(target, id)).filter(|w| is_matrix(w.value)) {
        let distances = source.weights().iter().filter(|w| w.len == mine.len).map(|w| (mine.print.distance(&w.print), w.value));
        let theirs: Vec<(f64, ValueId)> = distances.filter(|(d, _)| *d < 0.2).collect();
        if theirs.iter().any(|(d, _)| *d <= 1e-4) {
            equal += 1;
        } else if theirs.iter().any(|(_, w)| sampled(mine.value, *w)) {
            near += 1;
        }
    }
    near > equal
}

fn softmax(x: &[f32]) -> Vec<f32> {
    let top = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let e: Vec<f64> = x.iter().map(|v| f64::from(v - top).exp()).collect();
    let sum: f64 = e.iter().sum();
    e.iter().map(|v| (v / sum) as f32).collect()
}

fn sigmoid(x: &[f32]) -> Vec<f32> {
    x.iter().map(|v| (1.0 / (1.0 + (-f64::from(*v)).exp())) as f32).collect()
}
