//! Labels of all images, and which of them differ from the source's.

use super::checkpoint::{Checkpoints, Cut};
use crate::align::relative_error;
use crate::compare::label;
use crate::dataset::{Feed, ImageSet};
use crate::run::{Network, RunError, RunOptions, Runner, Runtime, Value, Watch};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Labels and scores of a model, image by image.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evaluation {
    /// Label of each image; `None` for an image that was not run or cannot be read.
    pub labels: Vec<Option<usize>>,
    /// Scores of each image, where they were kept.
    pub scores: Vec<Option<Arc<[f32]>>>,
    /// Why the model does not run, when it does not.
    pub failure: Option<String>,
}

impl Evaluation {
    /// Labels without scores.
    pub fn of(labels: Vec<Option<usize>>, failure: Option<String>) -> Self {
        Self { scores: vec![None; labels.len()], labels, failure }
    }

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

    /// Mean relative L2 error of the scores against the source's, over the images of which both are known.
    pub fn score_error(&self, source: &Self) -> Option<f32> {
        let both = self.scores.iter().zip(&source.scores).filter_map(|(t, s)| Some((t.as_ref()?, s.as_ref()?)));
        let errors: Vec<f32> = both.map(|(t, s)| relative_error(t, s)).collect();
        (!errors.is_empty()).then(|| errors.iter().sum::<f32>() / errors.len() as f32)
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

/// What one image gives.
type Scored = (usize, Result<Option<Arc<[f32]>>, RunError>);

impl Labelling<'_> {
    /// Labels of some images, which are spread over threads.
    pub fn run(&self, wanted: &[usize], watch: &dyn Watch) -> Evaluation {
        let runner = match self.runner(wanted) {
            Ok((runner, _)) => runner,
            Err(failed) => return failed,
        };
        self.each(&runner, wanted, |i| self.inputs(i), |_, _| {}, watch)
    }

    /// Labels of all images, with values kept from which an edited network can go on.
    pub fn run_keeping(&self, watch: &dyn Watch) -> (Evaluation, Option<Checkpoints>) {
        let all: Vec<usize> = (0..self.images.len()).collect();
        let (runner, example) = match self.runner(&all) {
            Ok(found) => found,
            Err(failed) => return (failed, None),
        };
        let plain = |watch| (self.each(&runner, &all, |i| self.inputs(i), |_, _| {}, watch), None);
        if runner.repeats() || self.options.runtime != Runtime::Tract {
            return plain(watch);
        }
        let Some((checkpoints, network)) = Checkpoints::place(self.network, self.feed, &example, self.images.len()) else {
            return plain(watch);
        };
        // Further outputs can make what runs as a whole run node by node, which is not worth it.
        let keeping = Runner::of(network.clone(), &example, self.options).ok().filter(|k| k.note().is_none() && k.unsupported().is_empty());
        let Some(keeping) = keeping else { return plain(watch) };
        let kept = Mutex::new(checkpoints);
        let keep = |i: usize, outputs: &[Value]| kept.lock().unwrap_or_else(PoisonError::into_inner).keep(&network, i, outputs);
        let found = self.each(&keeping, &all, |i| self.inputs(i), keep, watch);
        (found, Some(kept.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Labels of some images from a cut on: `self.network` takes the values there. `None` when it does not run from there.
    pub fn run_below(&self, cut: &Cut, wanted: &[usize], watch: &dyn Watch) -> Option<Evaluation> {
        let example = cut.values.iter().flatten().next()?;
        let runner = Runner::of(self.network.clone(), example, self.options).ok().filter(|r| r.unsupported().is_empty())?;
        let inputs = |i: usize| cut.values.get(i).cloned().flatten();
        let wanted: Vec<usize> = wanted.iter().copied().filter(|i| inputs(*i).is_some()).collect();
        let found = self.each(&runner, &wanted, inputs, |_, _| {}, watch);
        found.failure.is_none().then_some(found)
    }

    fn inputs(&self, image: usize) -> Option<Vec<Value>> {
        self.images.inputs(image, &[self.feed]).map(|mut sides| sides.remove(0)).ok()
    }

    /// The model made ready, with the first image's inputs; what there is to say when it does not run.
    fn runner(&self, wanted: &[usize]) -> Result<(Runner, Vec<Value>), Evaluation> {
        let failed = |why: Option<String>| Evaluation::of(vec![None; self.images.len()], why);
        let Some(first) = wanted.iter().find_map(|i| self.inputs(*i)) else {
            let why = wanted.first().and_then(|i| self.images.inputs(*i, &[self.feed]).err());
            return Err(failed(why.map(|e| e.to_string())));
        };
        let runner = Runner::of(self.network.clone(), &first, self.options).map_err(|why| failed(Some(why.to_string())))?;
        match runner.unsupported().first() {
            Some((_, why)) => Err(failed(Some(why.to_string()))),
            None => Ok((runner, first)),
        }
    }

    /// Runs images, spread over threads; `keep` sees all outputs of each.
    fn each(
        &self,
        runner: &Runner,
        wanted: &[usize],
        inputs: impl Fn(usize) -> Option<Vec<Value>> + Sync,
        keep: impl Fn(usize, &[Value]) + Sync,
        watch: &dyn Watch,
    ) -> Evaluation {
        let results: Mutex<Vec<Scored>> = Mutex::default();
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let step = || {
            while let Some(index) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                if watch.cancelled() {
                    return;
                }
                let Some(x) = inputs(*index) else { continue };
                let result = runner.run(&x).map(|outputs| {
                    keep(*index, &outputs);
                    outputs.get(self.slot).map(|v| v.to_f32().as_ref().into())
                });
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
        let mut out = Evaluation::of(vec![None; self.images.len()], None);
        for (index, result) in results {
            match result {
                Ok(scores) => {
                    out.labels[index] = scores.as_deref().and_then(label);
                    out.scores[index] = scores;
                }
                Err(why) => {
                    out.failure.get_or_insert(why.to_string());
                }
            }
        }
        out
    }
}
