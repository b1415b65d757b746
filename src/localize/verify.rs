//! The alignment held against further images: a fault can be silent on the few that it was made on.
//!
//! One image at a time, and of that only what a node still waits for: what this takes in memory does not grow with the number of images.

use super::Subject;
use super::input::Chosen;
use crate::align::{Alignment, error_between};
use crate::model::ValueId;
use crate::run::{Value, Watch};
use std::collections::{HashMap, HashSet};

/// The image on which most pairs are off that are equal on the images of the alignment, if there is one.
pub(super) fn telling(subject: &Subject<'_>, a: &Alignment<'_>, chosen: &Chosen, images: &[usize], watch: &dyn Watch) -> Option<usize> {
    let mut most = (0, None);
    for (done, image) in images.iter().enumerate() {
        watch.progress("checking further images", done, images.len());
        if watch.cancelled() {
            return None;
        }
        let Some(errors) = errors_on(subject, a, chosen, *image) else { continue };
        let off = errors.iter().zip(&a.pairs).filter(|(e, p)| **e > a.tau() && p.error <= a.tau()).count();
        if off > most.0 {
            most = (off, Some(*image));
        }
    }
    most.1
}

/// Each pair's isolated error on one image; `None` when it cannot be read.
fn errors_on(subject: &Subject<'_>, a: &Alignment<'_>, chosen: &Chosen, image: usize) -> Option<Vec<f32>> {
    let target = a.target();
    let theirs = subject.images.inputs(image, &[subject.source_feed]).ok()?.pop()?;
    let mine = chosen.inputs(subject, image)?;
    let needed: HashSet<ValueId> = a.pairs.iter().map(|p| p.source).collect();
    let values = subject.source.values_at(&theirs, &needed);
    let at: HashMap<ValueId, usize> = a.pairs.iter().enumerate().map(|(i, p)| (p.target, i)).collect();
    let mut readers: HashMap<ValueId, usize> = HashMap::new();
    for v in target.ops().iter().flat_map(|op| &op.data) {
        *readers.entry(*v).or_default() += 1;
    }
    let mut errors = vec![0.0f32; a.pairs.len()];
    let mut fed: HashMap<ValueId, Value> = target.inputs().iter().copied().zip(mine).collect();
    for id in target.op_ids() {
        let op = target.op(id);
        if let Ok(made) = target.eval(id, |v| fed.get(&v)) {
            for (v, value) in op.made().zip(made) {
                let partner = at.get(&v).map(|i| (*i, &a.pairs[*i]));
                let right = partner.and_then(|(_, p)| p.layout.apply(values.get(&p.source)?)?.cast(value.dtype()));
                if let (Some((i, _)), Some(right)) = (partner, &right) {
                    let error = error_between(&value, right);
                    // What is not finite in the source tells nothing.
                    if error.is_finite() || right.to_f32().iter().all(|x| x.is_finite()) {
                        errors[i] = error;
                    }
                }
                if readers.contains_key(&v) {
                    fed.insert(v, right.unwrap_or(value));
                }
            }
        }
        for v in &op.data {
            let left = readers.entry(*v).or_default();
            *left = left.saturating_sub(1);
            if *left == 0 {
                fed.remove(v);
            }
        }
    }
    Some(errors)
}
