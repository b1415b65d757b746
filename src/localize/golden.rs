//! Golden values: where does a run elsewhere (another device, another engine) leave the model, when only its activations are at hand?
//!
//! The same lockstep as between two graphs, turned around: every node of the model runs here on the *golden* values that lead into it, so
//! that what came from upstream counts for nothing, and its result is held against the golden one.

use crate::align::{Layout, candidates, relative_error};
use crate::dataset::Golden;
use crate::model::ValueId;
use crate::run::{Network, OpId, RunError, Value};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

/// Isolated error above which the run elsewhere is at fault.
pub const THRESHOLD: f32 = 1e-3;

/// A golden value, held against what the model gives.
#[derive(Debug, Clone)]
pub struct GoldenValue {
    /// Name in the file.
    pub name: String,
    /// How the model's value is laid out there.
    pub layout: Layout,
    /// Nodes between it and the golden values above it.
    pub nodes: Vec<OpId>,
    /// Error of what these nodes alone make, relative L2, the worst image.
    pub isolated: f32,
    /// Error of the value in a plain run, the worst image.
    pub accumulated: f32,
}

/// What golden values say.
#[derive(Debug, Clone, Default)]
pub struct GoldenFindings {
    /// In the order of the model.
    pub values: Vec<GoldenValue>,
    /// Names in the file that are no value of the model, or have another size.
    pub unplaced: Vec<String>,
}

impl GoldenFindings {
    /// Values whose own nodes are at fault, in the order of the model.
    pub fn faulty(&self) -> impl Iterator<Item = &GoldenValue> {
        self.values.iter().filter(|v| v.isolated.is_nan() || v.isolated > THRESHOLD)
    }
}

/// Holds golden values against a model, image by image: the model's inputs, and the values of the run elsewhere by name.
///
/// # Errors
/// When a node of the model does not run here.
pub fn golden(network: &Network, images: &[(Vec<Value>, Golden)]) -> Result<GoldenFindings, RunError> {
    let mut out = GoldenFindings::default();
    for (at, (inputs, theirs)) in images.iter().enumerate() {
        let found = one(network, inputs, theirs)?;
        if at == 0 {
            out = found;
            continue;
        }
        for value in found.values {
            match out.values.iter_mut().find(|v| v.name == value.name) {
                Some(known) => {
                    known.isolated = worse(known.isolated, value.isolated);
                    known.accumulated = worse(known.accumulated, value.accumulated);
                }
                None => out.values.push(value),
            }
        }
    }
    Ok(out)
}

/// The larger of two errors; what is no number is the largest.
fn worse(a: f32, b: f32) -> f32 {
    if a.is_nan() || b.is_nan() { f32::NAN } else { a.max(b) }
}

fn one(network: &Network, inputs: &[Value], theirs: &[(String, Value)]) -> Result<GoldenFindings, RunError> {
    let index = network.model().index();
    let by_name: HashMap<ValueId, (&str, Cow<'_, Value>)> = theirs
        .iter()
        .filter_map(|(n, x)| {
            let v = index.value(n)?;
            Some((v, (n.as_str(), network.numbers(v, x))))
        })
        .collect();
    let unplaced = theirs.iter().filter(|(n, _)| index.value(n).is_none()).map(|(n, _)| n.clone()).collect();
    let mut out = GoldenFindings { values: Vec::new(), unplaced };
    // Plain values, and those that golden ones stand in.
    let mut plain: HashMap<ValueId, Value> = network.inputs().iter().copied().zip(inputs.iter().cloned()).collect();
    let mut given = plain.clone();
    let mut above: HashMap<ValueId, BTreeSet<OpId>> = HashMap::new();
    for v in network.inputs() {
        let (Some((_, golden)), Some(own)) = (by_name.get(v), plain.get(v)) else { continue };
        if let Some((_, laid)) = best(own, golden) {
            given.insert(*v, laid);
        }
    }
    for id in network.op_ids() {
        let op = network.op(id);
        let straight = network.eval(id, |v| plain.get(&v))?;
        let isolated = network.eval(id, |v| given.get(&v))?;
        let mut nodes: BTreeSet<OpId> = op.data.iter().filter_map(|v| above.get(v)).flatten().copied().collect();
        nodes.insert(id);
        for ((v, straight), isolated) in op.made().zip(straight).zip(isolated) {
            match by_name.get(&v) {
                Some((name, golden)) => match best(&straight, golden) {
                    Some((layout, laid)) => {
                        out.values.push(GoldenValue {
                            name: (*name).to_string(),
                            layout,
                            nodes: nodes.iter().copied().collect(),
                            isolated: error(&laid, &isolated),
                            accumulated: error(&laid, &straight),
                        });
                        given.insert(v, laid);
                    }
                    None => {
                        out.unplaced.push((*name).to_string());
                        given.insert(v, isolated);
                        above.insert(v, nodes.clone());
                    }
                },
                None => {
                    given.insert(v, isolated);
                    above.insert(v, nodes.clone());
                }
            }
            plain.insert(v, straight);
        }
    }
    Ok(out)
}

fn error(theirs: &Value, mine: &Value) -> f32 {
    relative_error(&theirs.to_f32(), &mine.to_f32())
}

/// A golden value laid out as the model has it, by the layout under which both are nearest.
fn best(own: &Value, golden: &Value) -> Option<(Layout, Value)> {
    let tried = candidates(own.shape(), golden.shape()).into_iter().filter_map(|layout| {
        let laid = layout.invert(golden, own.shape())?.cast(own.dtype())?;
        Some((error(&laid, own), layout, laid))
    });
    // Without a number the first layout, which changes nothing, stays.
    let (_, layout, laid) = tried.reduce(|a, b| if b.0 < a.0 { b } else { a })?;
    Some((layout, laid))
}
