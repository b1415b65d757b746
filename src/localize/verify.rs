//! The alignment held against further images: a fault can be silent on the few that it was made on.
//!
//! One image at a time on every thread, and of that only what a node still waits for: what this takes in memory does not grow with the number
//! of images.

use super::Subject;
use super::input::Chosen;
use crate::align::{Alignment, error_between};
use crate::model::ValueId;
use crate::run::{Stream, Value, Watch, spread};
use std::collections::HashMap;

/// The image on which most pairs are off that are equal on the images of the alignment, if there is one.
pub(super) fn telling(subject: &Subject<'_>, a: &Alignment<'_>, chosen: &Chosen, images: &[usize], watch: &dyn Watch) -> Option<usize> {
    let found = spread(images, subject.threads, "checking further images", watch, |image| {
        let errors = errors_on(subject, a, chosen, image)?;
        Some(errors.iter().zip(&a.pairs).filter(|(e, p)| **e > a.tau() && p.error <= a.tau()).count())
    });
    // The first of those that tell as much.
    let most = found.into_iter().filter(|(_, off)| *off > 0).rev().max_by_key(|(_, off)| *off);
    most.filter(|_| !watch.cancelled()).map(|(image, _)| image)
}

/// Each pair's isolated error on one image; `None` when it cannot be read.
fn errors_on(subject: &Subject<'_>, a: &Alignment<'_>, chosen: &Chosen, image: usize) -> Option<Vec<f32>> {
    let target = a.target();
    let theirs = subject.images.inputs(image, &[subject.source_feed]).ok()?.pop()?;
    let mine = chosen.inputs(subject, image)?;
    let mut source = Stream::new(subject.source, &theirs, a.pairs.iter().map(|p| p.source));
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
                let right = partner.and_then(|(_, p)| p.layout.apply(&source.take(p.source)?)?.cast(value.dtype()));
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
