//! Labels of all images, and which of them differ from the source's.

use crate::compare::label;
use crate::dataset::{Feed, ImageSet};
use crate::run::{Network, RunError, RunOptions, Runner, Watch};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Labels of a model, image by image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evaluation {
    /// Label of each image; `None` for an image that was not run or cannot be read.
    pub labels: Vec<Option<usize>>,
    /// Why the model does not run, when it does not.
    pub failure: Option<String>,
}

impl Evaluation {
    /// Images on which the label is another than the source's, `offset` being the target's label less the source's. All of them
    /// where the target does not run.
    pub fn flips(&self, source: &Self, offset: i64) -> Vec<usize> {
        let differs = |i: &usize| match (source.labels[*i], self.labels.get(*i).copied().flatten()) {
            (Some(s), Some(t)) => s as i64 + offset != t as i64,
            (Some(_), None) => self.failure.is_some(),
            (None, _) => false,
        };
        (0..source.labels.len()).filter(differs).collect()
    }

    /// Images that can be compared.
    pub fn count(&self) -> usize {
        self.labels.iter().filter(|l| l.is_some()).count()
    }
}

/// How a model is run for its labels.
pub(super) struct Labelling<'a> {
    pub network: &'a Arc<Network>,
    pub images: &'a ImageSet,
    pub feed: &'a Feed,
    /// Which output is compared.
    pub slot: usize,
    pub options: &'a RunOptions,
    /// What progress calls it.
    pub work: &'static str,
}

/// An image with its label, or why there is none.
type Labelled = (usize, Result<Option<usize>, RunError>);

impl Labelling<'_> {
    /// Labels of some images, which are spread over threads.
    pub fn run(&self, wanted: &[usize], watch: &dyn Watch) -> Evaluation {
        let mut out = Evaluation { labels: vec![None; self.images.len()], failure: None };
        let inputs = |i: usize| self.images.inputs(i, &[self.feed]).map(|mut sides| sides.remove(0));
        let Some(first) = wanted.iter().find_map(|i| inputs(*i).ok()) else {
            out.failure = wanted.first().and_then(|i| inputs(*i).err()).map(|e| e.to_string());
            return out;
        };
        let runner = match Runner::of(self.network.clone(), &first, self.options) {
            Ok(runner) => runner,
            Err(why) => {
                out.failure = Some(why.to_string());
                return out;
            }
        };
        if let Some((_, why)) = runner.unsupported().first() {
            out.failure = Some(why.to_string());
            return out;
        }
        let results: Mutex<Vec<Labelled>> = Mutex::default();
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let step = || {
            while let Some(index) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                if watch.cancelled() {
                    return;
                }
                let Ok(x) = inputs(*index) else { continue };
                let result = runner.run(&x).map(|o| o.get(self.slot).and_then(|v| label(&v.to_f32())));
                results.lock().unwrap_or_else(PoisonError::into_inner).push((*index, result));
                watch.progress(self.work, done.fetch_add(1, Ordering::Relaxed) + 1, wanted.len());
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.options.threads_for(wanted.len()) {
                scope.spawn(step);
            }
            step();
        });
        let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.sort_by_key(|(i, _)| *i);
        for (index, result) in results {
            match result {
                Ok(label) => out.labels[index] = label,
                Err(why) => {
                    out.failure.get_or_insert(why.to_string());
                }
            }
        }
        out
    }
}
