//! One image in the target: its order of labels, and what an edit makes of it. Only what lies below the edit runs again.

use crate::compare::{kendall_tau, top};
use crate::dataset::Feed;
use crate::model::onnx::tensor_proto::DataType;
use crate::model::{Model, refused};
use crate::repair::Proposal;
use crate::repair::job::{Job, take_over};
use crate::run::{Network, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// From this tau on an image counts as mended.
pub(super) const FIXED: f64 = 0.98;
/// Labels that are compared.
const LABELS: usize = 5;

/// Kendall's tau as the paper's program takes it: of the numbers of the first five classes on both sides, place by place.
pub(super) fn tau(source: &[f32], target: &[f32], offset: i64) -> f64 {
    let classes = |row: &[f32], shift: i64| top(row, LABELS).into_iter().map(|c| (c as i64 - shift) as f32).collect::<Vec<_>>();
    kendall_tau(&classes(source, 0), &classes(target, offset)).unwrap_or(-1.0)
}

/// One image in the target as it is.
pub(super) struct Probe {
    pub image: usize,
    pub network: Arc<Network>,
    pub feed: Feed,
    /// Types and shapes of what the source takes.
    pub source_given: Vec<(DataType, Vec<usize>)>,
    /// Types and shapes of what the target takes.
    pub target_given: Vec<(DataType, Vec<usize>)>,
    /// `None` when the target does not run.
    pub tau: Option<f64>,
    source_scores: Arc<[f32]>,
    /// Every value, by name.
    values: HashMap<String, Value>,
}

impl Probe {
    /// The image in the job's target; `None` when the source gives nothing for it.
    pub fn new(job: &Job, image: usize) -> Option<Self> {
        let source_scores = job.source_labels.scores.get(image).cloned().flatten()?;
        let source = job.images.inputs(image, &[&job.source_feed]).ok()?.into_iter().next()?;
        // A network of its own: the plans of weights that are tried go with it at the end of the cycle.
        let network = Arc::new(Network::limited(job.target.model(), job.options.run.max_mem).ok()?);
        let mut out = Self {
            image,
            network,
            feed: job.target_feed.clone(),
            source_given: source.iter().map(|v| (v.dtype(), v.shape().to_vec())).collect(),
            target_given: Vec::new(),
            tau: None,
            source_scores,
            values: HashMap::new(),
        };
        if refuses(out.network.model()) {
            return Some(out);
        }
        if let Some(inputs) = given(job, image, &out.feed) {
            out.target_given = inputs.iter().map(|v| (v.dtype(), v.shape().to_vec())).collect();
            out.values = out.run(&inputs, None);
            out.tau = out.order(job);
        }
        Some(out)
    }

    /// The image with an edit made; `None` when the edit does not fit, or the model is refused.
    pub fn with(&self, job: &Job, proposal: &Proposal) -> Option<Self> {
        let model = self.network.model().apply(&proposal.edit).ok()?.0;
        if refuses(&model) {
            return None;
        }
        let network = Arc::new(self.network.edited(&model).ok()?);
        let mut recipe = self.feed.recipe.clone();
        take_over(&mut recipe, proposal);
        let feed = Feed::new(&model, recipe);
        let inputs = given(job, self.image, &feed)?;
        let mut out = Self {
            image: self.image,
            network,
            source_given: self.source_given.clone(),
            target_given: inputs.iter().map(|v| (v.dtype(), v.shape().to_vec())).collect(),
            tau: None,
            source_scores: self.source_scores.clone(),
            values: HashMap::new(),
            feed,
        };
        out.values = out.run(&inputs, (out.feed == self.feed).then_some(self));
        out.tau = out.order(job);
        Some(out)
    }

    /// All values; those that lie above an edit are taken from before it.
    fn run(&self, inputs: &[Value], before: Option<&Self>) -> HashMap<String, Value> {
        let network = &self.network;
        let name = |v| network.model().index().name(v);
        let mut values: HashMap<String, Value> =
            network.inputs().iter().map(|v| name(*v).to_string()).zip(inputs.iter().cloned()).collect();
        let changed = before.map(|b| network.changed_since(&b.network));
        for id in network.op_ids() {
            let op = network.op(id);
            let old = before.zip(changed.as_ref()).filter(|(_, c)| !op.made().any(|v| c.contains(&v)));
            let kept: Option<Vec<(String, Value)>> =
                old.and_then(|(b, _)| op.made().map(|v| Some((name(v).to_string(), b.values.get(name(v))?.clone()))).collect());
            match kept {
                Some(kept) => values.extend(kept),
                None => {
                    let Ok(made) = network.eval(id, |v| values.get(name(v))) else { continue };
                    let names = op.outputs.iter().map(|v| v.map(name));
                    let made: Vec<_> = names.zip(made).filter_map(|(n, value)| Some((n?.to_string(), value))).collect();
                    values.extend(made);
                }
            }
        }
        values
    }

    /// Tau of the compared output, where the model gives one.
    fn order(&self, job: &Job) -> Option<f64> {
        let output = *self.network.outputs().get(job.comparison.target.slot)?;
        let value = self.values.get(self.network.model().index().name(output)).or_else(|| self.network.constant(output))?;
        let batch = self.target_given.first().and_then(|(_, s)| s.first()).copied().unwrap_or(1).max(1);
        let row = value.to_f32();
        // A fixed batch holds the same image again and again.
        let row = row.get(..row.len() / if value.shape().first() == Some(&batch) { batch } else { 1 })?;
        Some(tau(&self.source_scores, row, job.offset()))
    }
}

fn refuses(model: &Model) -> bool {
    !refused(model).is_empty()
}

/// What the target is given for an image, a fixed batch filled by repeating it.
fn given(job: &Job, image: usize, feed: &Feed) -> Option<Vec<Value>> {
    let inputs = job.images.inputs(image, &[feed]).ok()?.into_iter().next()?;
    let filled = feed.inputs.iter().zip(inputs).map(|(declared, value)| {
        let shape = declared.given(value.shape());
        let times = shape.iter().product::<usize>() / value.len().max(1);
        if times <= 1 { Some(value) } else { Value::from_bytes(value.dtype(), &shape, &value.bytes().repeat(times)).ok() }
    });
    filled.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tau_is_of_the_numbers_of_the_classes() {
        let source = [9.0, 8.0, 7.0, 6.0, 5.0, 0.0];
        let is = |target: &[f32], offset: i64, wanted: f64| {
            let found = tau(&source, target, offset);
            assert!((found - wanted).abs() < 1e-9, "{target:?}: {found}");
        };
        is(&source, 0, 1.0);
        // The first five are 0, 1, 2, 3, 4 on one side and 0, 1, 2, 4, 3 on the other: one of ten pairs is turned around.
        is(&[9.0, 8.0, 7.0, 5.0, 6.0, 0.0], 0, 0.8);
        // Another class on top, but in the same order of numbers: the measure does not see it.
        is(&[0.0, 9.0, 8.0, 7.0, 6.0, 5.0], 0, 1.0);
        // The target's background class in front.
        is(&[0.0, 9.0, 8.0, 7.0, 6.0, 5.0, 0.0], 1, 1.0);
        is(&[0.0, 5.0, 6.0, 7.0, 8.0, 9.0, 0.0], 1, -1.0);
    }
}
