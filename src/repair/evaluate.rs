//! Labels of all images, and which of them differ from the source's.

use super::checkpoint::{Checkpoints, Cut};
use crate::align::relative_error;
use crate::compare::{Comparison, is_probabilities, label, softmax};
use crate::dataset::{Criterion, Feed, ImageSet};
use crate::run::{Network, RunError, RunOptions, Runner, Runtime, Value, Watch, spread};
use std::borrow::Cow;
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

    /// What was found of `count` images.
    fn gathered(count: usize, found: Vec<(usize, Scored)>) -> Self {
        let mut out = Self::of(vec![None; count], None);
        for (image, scored) in found {
            match scored {
                Ok(scores) => {
                    out.labels[image] = scores.as_deref().and_then(label);
                    out.scores[image] = scores;
                }
                Err(why) => {
                    out.failure.get_or_insert(why.to_string());
                }
            }
        }
        out
    }

    /// Images that count as different: on which the label is another than the source's, or an element out of tolerance. All of them where the target
    /// does not run.
    pub fn flips(&self, source: &Self, by: &Comparison) -> Vec<usize> {
        let scores = |of: &Self, i: usize| of.scores.get(i).cloned().flatten();
        let differs = |i: &usize| match (source.labels[*i], self.labels.get(*i).copied().flatten()) {
            (Some(s), Some(t)) => match (by.criterion, scores(source, *i), scores(self, *i)) {
                (Criterion::Tolerance, Some(s), Some(t)) => by.is_out_of_tolerance(&s, &t),
                _ => s as i64 + by.offset() != t as i64,
            },
            (Some(_), None) => self.failure.is_some(),
            (None, _) => false,
        };
        (0..source.labels.len()).filter(differs).collect()
    }

    /// Images whose labels agree by less than the scores of the two best classes are off: rounding decides what a runtime says of them.
    pub fn uncertain(&self, source: &Self, by: &Comparison) -> Vec<usize> {
        if by.criterion == Criterion::Tolerance {
            return Vec::new();
        }
        let (flips, offset) = (self.flips(source, by), by.offset());
        let rounded = |i: &usize| {
            let (Some(Some(mine)), Some(Some(theirs))) = (self.scores.get(*i), source.scores.get(*i)) else { return false };
            let (mine, theirs) = alike(mine, theirs);
            let Some(best) = label(&mine) else { return false };
            let others = mine.iter().enumerate().filter(|(c, x)| *c != best && x.is_finite());
            let Some((second, runner_up)) = others.max_by(|a, b| a.1.total_cmp(b.1)) else { return false };
            let there = |class: usize| usize::try_from(class as i64 - offset).ok().and_then(|c| theirs.get(c)).copied();
            let off = |class: usize| there(class).map_or(0.0, |s| (mine[class] - s).abs());
            mine[best] - runner_up <= off(best).max(off(second))
        };
        (0..self.labels.len()).filter(|i| !flips.contains(i)).filter(rounded).collect()
    }

    /// Images that can be compared.
    pub fn count(&self) -> usize {
        self.labels.iter().filter(|l| l.is_some()).count()
    }

    /// Mean relative L2 error of the scores against the source's, over the images of which both are known.
    pub fn score_error(&self, source: &Self) -> Option<f32> {
        let both = self.scores.iter().zip(&source.scores).filter_map(|(t, s)| Some((t.as_ref()?, s.as_ref()?)));
        let error = |(t, s): (&Arc<[f32]>, &Arc<[f32]>)| {
            let (t, s) = alike(t, s);
            relative_error(&t, &s)
        };
        let errors: Vec<f32> = both.map(error).collect();
        (!errors.is_empty()).then(|| errors.iter().sum::<f32>() / errors.len() as f32)
    }
}

/// The scores of two models in one measure: probabilities, where only one of them gives these.
fn alike<'a>(a: &'a [f32], b: &'a [f32]) -> (Cow<'a, [f32]>, Cow<'a, [f32]>) {
    match (is_probabilities(a), is_probabilities(b)) {
        (true, false) => (a.into(), softmax(b).into()),
        (false, true) => (softmax(a).into(), b.into()),
        _ => (a.into(), b.into()),
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
type Scored = Result<Option<Arc<[f32]>>, RunError>;

/// A model that can be run for its labels.
pub(super) struct Ready<'a> {
    of: &'a Labelling<'a>,
    runner: Runner,
    /// Values that are kept on the way, and the network that has them as outputs.
    kept: Option<(Arc<Network>, Mutex<Checkpoints>)>,
}

impl Labelling<'_> {
    /// Labels of some images, which are spread over threads.
    pub fn run(&self, wanted: &[usize], watch: &dyn Watch) -> Evaluation {
        match self.ready(wanted) {
            Ok(ready) => ready.run(wanted, watch).0,
            Err(failed) => failed,
        }
    }

    /// Labels of all images, with values kept from which an edited network can go on.
    pub fn run_keeping(&self, watch: &dyn Watch) -> (Evaluation, Option<Checkpoints>) {
        let all: Vec<usize> = (0..self.images.len()).collect();
        match self.ready_keeping(&all) {
            Ok(ready) => ready.run(&all, watch),
            Err(failed) => (failed, None),
        }
    }

    /// Labels of some images from a cut on: `self.network` takes the values there. `None` when it does not run from there.
    pub fn run_below(&self, cut: &Cut, wanted: &[usize], watch: &dyn Watch) -> Option<Evaluation> {
        let example = cut.values.iter().flatten().next()?;
        let runner = Runner::of(self.network.clone(), example, self.options).ok().filter(|r| r.unsupported().is_empty())?;
        let ready = Ready { of: self, runner, kept: None };
        let inputs = |i: usize| cut.values.get(i).cloned().flatten();
        let found = spread(wanted, self.threads(wanted), self.work, watch, |i| Some(ready.scores(i, &inputs(i)?)));
        Some(Evaluation::gathered(self.images.len(), found)).filter(|found| found.failure.is_none())
    }

    fn threads(&self, wanted: &[usize]) -> usize {
        self.options.threads_for(wanted.len())
    }

    fn inputs(&self, image: usize) -> Option<Vec<Value>> {
        self.images.inputs(image, &[self.feed]).map(|mut sides| sides.remove(0)).ok()
    }

    /// What the first image gives the model; what there is to say when none can be read.
    fn example(&self, wanted: &[usize]) -> Result<Vec<Value>, Evaluation> {
        wanted.iter().find_map(|i| self.inputs(*i)).ok_or_else(|| {
            let why = wanted.first().and_then(|i| self.images.inputs(*i, &[self.feed]).err());
            self.failed(why.map(|e| e.to_string()))
        })
    }

    fn failed(&self, why: Option<String>) -> Evaluation {
        Evaluation::of(vec![None; self.images.len()], why)
    }

    /// The model made ready; what there is to say when it does not run.
    pub fn ready(&self, wanted: &[usize]) -> Result<Ready<'_>, Evaluation> {
        let example = self.example(wanted)?;
        self.ready_for(&example)
    }

    fn ready_for(&self, example: &[Value]) -> Result<Ready<'_>, Evaluation> {
        let runner = Runner::of(self.network.clone(), example, self.options).map_err(|why| self.failed(Some(why.to_string())))?;
        match runner.unsupported().first() {
            Some((_, why)) => Err(self.failed(Some(why.to_string()))),
            None => Ok(Ready { of: self, runner, kept: None }),
        }
    }

    /// The same, with values kept on the way where that is worth it.
    pub fn ready_keeping(&self, wanted: &[usize]) -> Result<Ready<'_>, Evaluation> {
        let example = self.example(wanted)?;
        if self.options.runtime == Runtime::Tract
            && let Some((checkpoints, network)) = Checkpoints::place(self.network, self.feed, &example, self.images.len())
            && let Ok(runner) = Runner::of(network.clone(), &example, self.options)
            // Further outputs can make what runs as a whole run node by node, which is not worth it.
            && runner.note().is_none()
            && runner.unsupported().is_empty()
            && !runner.repeats()
        {
            return Ok(Ready { of: self, runner, kept: Some((network, Mutex::new(checkpoints))) });
        }
        self.ready_for(&example)
    }
}

impl Ready<'_> {
    /// Labels of some images, which are spread over threads, and what was kept.
    pub fn run(self, wanted: &[usize], watch: &dyn Watch) -> (Evaluation, Option<Checkpoints>) {
        let of = self.of;
        let found = spread(wanted, of.threads(wanted), of.work, watch, |i| Some(self.scores(i, &of.inputs(i)?)));
        (Evaluation::gathered(of.images.len(), found), self.checkpoints())
    }

    /// The same of two models, with every image read once for both.
    pub fn run_with(self, other: Self, wanted: &[usize], work: &'static str, watch: &dyn Watch) -> [(Evaluation, Option<Checkpoints>); 2] {
        let (a, b) = (self.of, other.of);
        let one = |i: usize| {
            let inputs = a.images.inputs(i, &[a.feed, b.feed]).ok();
            // Where only one of them can be fed, it runs all the same.
            let [x, y] = inputs.and_then(|x| x.try_into().ok()).map_or_else(|| [a.inputs(i), b.inputs(i)], |both: [_; 2]| both.map(Some));
            Some((x.map(|x| self.scores(i, &x)), y.map(|y| other.scores(i, &y))))
        };
        let found = spread(wanted, a.threads(wanted), work, watch, one);
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        for (i, (x, y)) in found {
            mine.extend(x.map(|x| (i, x)));
            theirs.extend(y.map(|y| (i, y)));
        }
        let count = a.images.len();
        [(Evaluation::gathered(count, mine), self.checkpoints()), (Evaluation::gathered(count, theirs), other.checkpoints())]
    }

    fn scores(&self, image: usize, inputs: &[Value]) -> Scored {
        let outputs = self.runner.run(inputs)?;
        if let Some((network, kept)) = &self.kept {
            kept.lock().unwrap_or_else(PoisonError::into_inner).keep(network, image, &outputs);
        }
        Ok(outputs.get(self.of.slot).map(|v| v.to_f32().as_ref().into()))
    }

    fn checkpoints(self) -> Option<Checkpoints> {
        self.kept.map(|(_, kept)| kept.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}
