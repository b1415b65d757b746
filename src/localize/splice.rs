//! The splice test: the source's value put in behind a suspect, the rest of the target run as it is. How many flips go?
//!
//! A proof where a correlation would be a hint: what the label becomes when this place alone is right.

use super::input::Chosen;
use super::{Subject, Suspect, label_of};
use crate::align::Alignment;
use crate::model::ValueId;
use crate::run::{Network, Value, Watch};
use std::collections::{HashMap, HashSet};

/// Weighs all suspects on up to `most` flipped images.
pub(super) fn weigh(subject: &Subject<'_>, a: &Alignment<'_>, chosen: &Chosen, suspects: &mut [Suspect], most: usize, watch: &dyn Watch) {
    let images: Vec<usize> = subject.flipped.iter().copied().take(most).collect();
    if images.is_empty() || suspects.len() < 2 || suspects.len() > 40 {
        return;
    }
    let cuts: Vec<Vec<usize>> = suspects.iter().map(|s| s.region.map(|r| a.regions[r].outputs.clone()).unwrap_or_default()).collect();
    let output = subject.source.outputs().get(subject.outputs.0).copied();
    let needed: HashSet<ValueId> = cuts.iter().flatten().map(|i| a.pairs[*i].source).chain(output).collect();
    let mut cured = vec![0; suspects.len()];
    let mut of = 0;
    for (done, index) in images.iter().enumerate() {
        watch.progress("weighing suspects", done, images.len());
        if watch.cancelled() {
            return;
        }
        let Ok(sides) = subject.images.inputs(*index, &[subject.source_feed, subject.target_feed]) else { continue };
        let theirs = subject.source.values_at(&sides[0], &needed);
        let Some(wanted) = output.and_then(|o| theirs.get(&o)).and_then(|v| label_of(std::slice::from_ref(v), 0)) else { continue };
        of += 1;
        let plain = plain_values(subject.target, &sides[1]);
        for (i, cut) in cuts.iter().enumerate() {
            let spliced: Option<HashMap<ValueId, Value>> = match suspects[i].region {
                // The recipe put right, the graph as it is.
                None if chosen.recipe.is_some() => {
                    chosen.inputs(subject, *index).map(|x| subject.target.inputs().iter().copied().zip(x).collect())
                }
                _ => cut
                    .iter()
                    .map(|p| {
                        let pair = &a.pairs[*p];
                        Some((pair.target, pair.layout.apply(theirs.get(&pair.source)?)?.cast(pair.dtype)?))
                    })
                    .collect(),
            };
            if spliced.and_then(|s| label_with(subject.target, &plain, s, subject.outputs.1)) == Some(wanted) {
                cured[i] += 1;
            }
        }
    }
    for (suspect, cured) in suspects.iter_mut().zip(cured) {
        suspect.splice = Some((cured, of));
    }
}

/// All values of a plain run of the target that can be made.
fn plain_values(target: &Network, inputs: &[Value]) -> HashMap<ValueId, Value> {
    let mut values: HashMap<ValueId, Value> = target.inputs().iter().copied().zip(inputs.iter().cloned()).collect();
    for id in target.op_ids().filter(|id| target.is_live(*id)) {
        if let Ok(made) = target.eval(id, |v| values.get(&v)) {
            values.extend(target.op(id).made().zip(made));
        }
    }
    values
}

/// The target's label with some values put in: what lies below them runs again.
fn label_with(target: &Network, plain: &HashMap<ValueId, Value>, mut changed: HashMap<ValueId, Value>, slot: usize) -> Option<usize> {
    for id in target.op_ids().filter(|id| target.is_live(*id)) {
        let op = target.op(id);
        if op.made().all(|v| changed.contains_key(&v)) || !op.data.iter().any(|v| changed.contains_key(v)) {
            continue;
        }
        let made = target.eval(id, |v| changed.get(&v).or_else(|| plain.get(&v))).ok()?;
        for (v, value) in op.made().zip(made) {
            changed.entry(v).or_insert(value);
        }
    }
    let output = target.outputs().get(slot)?;
    let value = changed.get(output).or_else(|| plain.get(output))?;
    label_of(std::slice::from_ref(value), 0)
}
