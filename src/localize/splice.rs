//! The splice test: the source's value put in behind a suspect, the rest of the target run as it is. How many flips go?
//!
//! A proof where a correlation would be a hint: what the label becomes when this place alone is right.

use super::input::Chosen;
use super::{Subject, Suspect, label_of};
use crate::align::Alignment;
use crate::dataset::Feed;
use crate::model::ValueId;
use crate::run::{Network, OpId, RunError, Value, Watch};
use std::collections::{HashMap, HashSet};

/// Weighs all suspects on up to `most` flipped images.
pub(super) fn weigh(subject: &Subject<'_>, a: &Alignment<'_>, chosen: &Chosen, suspects: &mut [Suspect], most: usize, watch: &dyn Watch) {
    let images: Vec<usize> = subject.flipped.iter().copied().take(most).collect();
    if images.is_empty() || suspects.len() < 2 || suspects.len() > 40 {
        return;
    }
    let cuts: Vec<Vec<usize>> = suspects.iter().map(|s| s.region.map(|r| a.regions[r].outputs.clone()).unwrap_or_default()).collect();
    let needed: HashSet<ValueId> = cuts.iter().flatten().map(|i| a.pairs[*i].source).collect();
    let mended = chosen.recipe.clone().map(|recipe| {
        let mut inputs = subject.target_feed.inputs.clone();
        inputs.iter_mut().for_each(|i| i.dims = None);
        Feed { recipe: Some(recipe), inputs }
    });
    let mut cured = vec![0; suspects.len()];
    let mut of = 0;
    for (done, index) in images.iter().enumerate() {
        watch.progress("weighing suspects", done, images.len());
        if watch.cancelled() {
            return;
        }
        let Ok(sides) = subject.images.inputs(*index, &[subject.source_feed, subject.target_feed]) else { continue };
        let (theirs, wanted) = source_values(subject.source, &sides[0], &needed, subject.outputs.0);
        let Some(wanted) = wanted else { continue };
        of += 1;
        for (i, cut) in cuts.iter().enumerate() {
            let spliced: Option<HashMap<ValueId, Value>> = cut
                .iter()
                .map(|p| {
                    let pair = &a.pairs[*p];
                    let dtype = a.fed(pair.target)?.first()?.dtype();
                    Some((pair.target, pair.layout.apply(theirs.get(&pair.source)?)?.cast(dtype)?))
                })
                .collect();
            let Some(spliced) = spliced else { continue };
            let inputs = match (&suspects[i].region, &mended) {
                // The recipe put right, the graph as it is.
                (None, Some(feed)) => match subject.images.inputs(*index, &[feed]) {
                    Ok(mut sides) => sides.remove(0),
                    Err(_) => continue,
                },
                _ => sides[1].clone(),
            };
            if label_with(subject.target, &inputs, &spliced, subject.outputs.1) == Some(wanted) {
                cured[i] += 1;
            }
        }
    }
    for (suspect, cured) in suspects.iter_mut().zip(cured) {
        suspect.splice = Some((cured, of));
    }
}

/// The source's values at some places, and its label.
fn source_values(source: &Network, inputs: &[Value], needed: &HashSet<ValueId>, slot: usize) -> (HashMap<ValueId, Value>, Option<usize>) {
    let mut kept = HashMap::new();
    let outputs = source.outputs();
    let mut last: HashMap<ValueId, Value> = HashMap::new();
    source.forward(inputs, |id: OpId, made: &Result<Vec<Value>, RunError>| {
        if let Ok(made) = made {
            for (v, value) in source.op(id).made().zip(made) {
                if needed.contains(&v) {
                    kept.insert(v, value.clone());
                }
                if outputs.contains(&v) {
                    last.insert(v, value.clone());
                }
            }
        }
    });
    let label = outputs.get(slot).and_then(|o| last.get(o)).map(|v| vec![v.clone()]).and_then(|v| label_of(&v, 0));
    (kept, label)
}

/// The target's label with some values put in.
fn label_with(target: &Network, inputs: &[Value], spliced: &HashMap<ValueId, Value>, slot: usize) -> Option<usize> {
    let mut values: HashMap<ValueId, Value> = target.inputs().iter().copied().zip(inputs.iter().cloned()).collect();
    values.extend(spliced.iter().map(|(k, v)| (*k, v.clone())));
    for id in target.op_ids() {
        let op = target.op(id);
        if op.made().all(|v| spliced.contains_key(&v)) {
            continue;
        }
        let made = target.eval(id, |v| values.get(&v)).ok()?;
        for (v, value) in op.made().zip(made) {
            values.entry(v).or_insert(value);
        }
    }
    let output = *target.outputs().get(slot)?;
    label_of(&[values.get(&output)?.clone()], 0)
}
