//! Two models made ready to be compared image by image, for what both say and not for the label alone.

use super::sheet::{NamedShapes, Shapes};
use super::snapshot::{Load, Opinion, Scored};
use crate::compare::{self, Chosen, CompareError, Comparison, softmax};
use crate::dataset::{Criterion, DatasetError, Feed, ImageSet};
use crate::model::harmless;
use crate::repair::{Checkpoints, Job};
use crate::run::{Network, RunOptions, Runner, Runtime, Value, Watch};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Work on the images that flip, after an edit.
pub(super) const FLIPPED_AGAIN: &str = "running the flipped images again";
/// Work on the images that agree, after an edit.
pub(super) const REST_AGAIN: &str = "running the other images again";

/// One side made ready.
struct Ready {
    feed: Feed,
    runner: Runner,
    /// Shapes of all values for the first image.
    shapes: Shapes,
}

/// The source, with what it said of each image so far: edits do not change that.
pub struct SourceSide {
    ready: Ready,
    outputs: Vec<OnceLock<Vec<Value>>>,
    /// The first image that can be used.
    first: usize,
}

/// Two models made ready to be compared.
pub struct Bench {
    /// The images.
    pub images: Arc<ImageSet>,
    /// How outputs are compared.
    comparison: Comparison,
    /// The source.
    pub source: Arc<SourceSide>,
    target: Ready,
    /// Shapes of the target's values, by name: an edited target goes on from a cut, and above it they are as they were.
    shapes: NamedShapes,
    /// Where the target goes on from, when only what lies below an edit runs.
    from: Option<(Arc<Checkpoints>, usize)>,
    /// What is kept of this run, for edits to come.
    keeps: Option<Mutex<Option<Checkpoints>>>,
}

/// What both models say of one image.
pub struct Compared {
    /// The file.
    pub path: PathBuf,
    /// What it shows, where that is known.
    pub truth: Option<String>,
    /// The source's opinion.
    pub source: Opinion,
    /// The target's opinion.
    pub target: Opinion,
    /// Labels of the source and of the target, each in its own numbering.
    pub labels: (usize, usize),
    /// What both models give, where elements are compared.
    pub scores: Option<[Arc<[f32]>; 2]>,
    /// Whether they count as different.
    pub mismatch: bool,
    /// Whether the source itself finds both labels nearly equal, as `check` says it.
    pub near_tie: bool,
}

/// Reads a model and makes it ready to run.
pub fn load(path: &Path, max_mem: u64) -> Result<Arc<Network>, String> {
    Network::open(path, max_mem).map(Arc::new).map_err(|e| e.to_string())
}

/// What is said of a model that was read.
pub fn describe(network: &Network) -> Load {
    let model = network.model();
    let size = |dims: &[i64]| dims.iter().map(|d| d.unsigned_abs()).try_fold(1u64, u64::checked_mul).unwrap_or(u64::MAX);
    let parameters = model.initializers().map(|t| size(&t.dims)).fold(0, u64::saturating_add);
    let producer = harmless(&model.producer()).into_owned();
    Load::Ready {
        nodes: model.index().nodes().len(),
        parameters,
        producer: if producer.is_empty() { "an unnamed program".into() } else { producer },
    }
}

impl Ready {
    fn new(network: &Arc<Network>, feed: &Feed, example: &[Value], options: &RunOptions) -> Result<Self, String> {
        let runner = Runner::of(network.clone(), example, options).map_err(|e| e.to_string())?;
        if let Some((_, why)) = runner.unsupported().first() {
            return Err(why.to_string());
        }
        Ok(Self::of(network, feed, example, runner))
    }

    fn of(network: &Network, feed: &Feed, example: &[Value], runner: Runner) -> Self {
        let mut shapes = Shapes::new();
        for (v, x) in network.inputs().iter().zip(example) {
            shapes.insert(*v, x.shape().to_vec());
        }
        network.forward(example, |id, made| {
            for (v, value) in network.op(id).made().zip(made.iter().flatten()) {
                shapes.insert(v, value.shape().to_vec());
            }
        });
        Self { feed: feed.clone(), runner, shapes }
    }

    /// A target that also gives out the values from which an edited one can go on; as it is where that is not worth it.
    fn keeping(job: &Job, example: &[Value]) -> Result<(Self, Option<Checkpoints>), String> {
        let options = &job.options.run;
        if options.runtime == Runtime::Tract
            && let Some((checkpoints, network)) = Checkpoints::place(&job.target, &job.target_feed, example, job.images.len())
            && let Ok(runner) = Runner::of(network.clone(), example, options)
            // Further outputs can make what runs as a whole run node by node.
            && runner.note().is_none()
            && runner.unsupported().is_empty()
            && !runner.repeats()
        {
            return Ok((Self::of(&network, &job.target_feed, example, runner), Some(checkpoints)));
        }
        Ok((Self::new(&job.target, &job.target_feed, example, options)?, None))
    }

    /// The shapes by the names of the values.
    fn named(&self) -> NamedShapes {
        let index = self.runner.network().model().index();
        self.shapes.iter().map(|(v, shape)| (index.name(*v).to_string(), shape.clone())).collect()
    }
}

impl SourceSide {
    /// Makes the source of a job ready. Images that cannot be read are told to `left_out`.
    ///
    /// # Errors
    /// In words: what of the case cannot be used.
    pub fn new(job: &Job, left_out: &mut dyn FnMut(PathBuf, String)) -> Result<Self, String> {
        for (index, item) in job.images.items().iter().enumerate() {
            match job.images.inputs(index, &[&job.source_feed]) {
                Ok(mut inputs) => {
                    let example = inputs.pop().unwrap_or_default();
                    let ready = Ready::new(&job.source, &job.source_feed, &example, &job.options.run);
                    let ready = ready.map_err(|e| format!("the source does not run: {e}"))?;
                    let outputs = (0..job.images.len()).map(|_| OnceLock::new()).collect();
                    return Ok(Self { ready, outputs, first: index });
                }
                Err(why @ DatasetError::Image { .. }) => left_out(item.path.clone(), why.to_string()),
                Err(other) => return Err(other.to_string()),
            }
        }
        Err("there is no image that can be read".into())
    }

    /// Shapes of its values.
    pub fn shapes(&self) -> &Shapes {
        &self.ready.shapes
    }
}

impl Bench {
    /// Makes the target of a job ready beside its source; from the last kept values above what changed on, where there are any.
    /// `before` is what was known of the target's shapes.
    ///
    /// # Errors
    /// In words: why the target does not run.
    pub fn new(job: &Job, source: Arc<SourceSide>, before: Option<&NamedShapes>) -> Result<Self, String> {
        if let Some(why) = job.refusal() {
            return Err(why);
        }
        let (images, comparison) = (job.images.clone(), job.comparison.clone());
        if let Some((from, target)) = Self::below(job, &source) {
            let mut shapes = before.cloned().unwrap_or_default();
            shapes.extend(target.named());
            return Ok(Self { images, comparison, source, target, shapes, from: Some(from), keeps: None });
        }
        let mut inputs = job.images.inputs(source.first, &[&job.target_feed]).map_err(|e| e.to_string())?;
        let (target, checkpoints) = Ready::keeping(job, &inputs.pop().unwrap_or_default())?;
        let shapes = target.named();
        let out = Self { images, comparison, source, target, shapes, from: None, keeps: checkpoints.map(|c| Mutex::new(Some(c))) };
        // One image shows whether anything fits at all, before all threads find out at once.
        out.compare(out.source.first).map(|_| out).map_err(|e| e.to_string())
    }

    /// The target from a cut on, when every image that was run has its values there.
    fn below(job: &Job, source: &SourceSide) -> Option<((Arc<Checkpoints>, usize), Ready)> {
        let checkpoints = job.checkpoints.as_ref()?;
        let (cut, network) = checkpoints.below(&job.target, &job.target_feed)?;
        let at = checkpoints.cuts.iter().position(|c| std::ptr::eq(c, cut))?;
        let mut both = source.outputs.iter().zip(&cut.values);
        if !both.all(|(known, kept)| known.get().is_none() || kept.is_some()) {
            return None;
        }
        let example = cut.values.get(source.first)?.as_ref()?;
        let target = Ready::new(&network, &job.target_feed, example, &job.options.run).ok()?;
        Some(((checkpoints.clone(), at), target))
    }

    /// Shapes of the target's values.
    pub fn target_shapes(&self) -> &NamedShapes {
        &self.shapes
    }

    /// Whether only a part of the target runs.
    pub fn is_partial(&self) -> bool {
        self.from.is_some()
    }

    /// What was kept of a run that came to its end.
    pub fn checkpoints(&self) -> Option<Arc<Checkpoints>> {
        self.keeps.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).take().map(Arc::new)
    }

    /// What both models say of one image.
    ///
    /// # Errors
    /// When the image cannot be read, or a model does not run on it.
    pub fn compare(&self, image: usize) -> Result<Compared, CompareError> {
        let known = self.source.outputs[image].get();
        let kept = self.from.as_ref().and_then(|(c, at)| c.cuts.get(*at)?.values.get(image)?.as_deref());
        let (s, t);
        let run = |ready: &Ready, side, inputs: &[Value]| ready.runner.run(inputs).map_err(|error| CompareError::Run { side, error });
        let source = match known {
            Some(outputs) if kept.is_some() => {
                t = Vec::new();
                outputs
            }
            Some(outputs) => {
                t = self.images.inputs(image, &[&self.target.feed])?.pop().unwrap_or_default();
                outputs
            }
            None => {
                let mut both = self.images.inputs(image, &[&self.source.ready.feed, &self.target.feed])?;
                t = both.pop().unwrap_or_default();
                s = run(&self.source.ready, compare::Side::Source, &both.pop().unwrap_or_default())?;
                self.source.outputs[image].get_or_init(|| s)
            }
        };
        let target = run(&self.target, compare::Side::Target, kept.unwrap_or(&t))?;
        if let Some(keeps) = &self.keeps {
            let mut keeps = keeps.lock().unwrap_or_else(PoisonError::into_inner);
            keeps.iter_mut().for_each(|k| k.keep(self.target.runner.network(), image, &target));
        }
        let judged = self.comparison.judge(source, &target)?;
        let offset = self.comparison.offset();
        let item = &self.images.items()[image];
        let row =
            |outputs: &[Value], chosen: &Chosen| outputs.get(chosen.slot).map_or_else(|| Vec::new().into(), |v| v.to_f32().as_ref().into());
        Ok(Compared {
            path: item.path.clone(),
            truth: item.truth.map(|c| self.class(c as i64)),
            source: self.opinion(source, &self.comparison.source, &judged.source, 0),
            target: self.opinion(&target, &self.comparison.target, &judged.target, offset),
            labels: (judged.source.label, judged.target.label),
            scores: (self.comparison.criterion == Criterion::Tolerance)
                .then(|| [row(source, &self.comparison.source), row(&target, &self.comparison.target)]),
            mismatch: judged.mismatch,
            near_tie: judged.near_tie,
        })
    }

    /// Images in an order, on so many threads; of the first `flipped` progress is told apart from that of the rest. `done` hears of
    /// each as soon as it is compared; those that cannot be read come as errors.
    pub fn compare_all(
        &self,
        order: &[usize],
        flipped: usize,
        threads: usize,
        watch: &dyn Watch,
        done: &(dyn Fn(usize, Result<Compared, CompareError>) + Sync),
    ) {
        let (next, ready) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || {
            while let Some(image) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                if watch.cancelled() {
                    return;
                }
                // Those before the first usable one were named already.
                if *image >= self.source.first {
                    done(*image, self.compare(*image));
                }
                let ready = ready.fetch_add(1, Ordering::Relaxed) + 1;
                match ready.checked_sub(flipped) {
                    _ if flipped == 0 => watch.progress("", ready, order.len()),
                    None => watch.progress(FLIPPED_AGAIN, ready, flipped),
                    Some(rest) => watch.progress(REST_AGAIN, rest, order.len() - flipped),
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
    }

    /// Name of a class in the source's numbering.
    fn class(&self, class: i64) -> String {
        let name = usize::try_from(class).ok().and_then(|c| self.images.classes()?.get(c));
        name.map_or_else(|| format!("class {class}"), |n| harmless(n).into_owned())
    }

    /// Scores as probabilities, with names.
    fn opinion(&self, outputs: &[Value], chosen: &Chosen, judged: &compare::Opinion, offset: i64) -> Opinion {
        let row = outputs.get(chosen.slot).map(|v| v.to_f32().into_owned()).unwrap_or_default();
        let row = if judged.probabilities { row } else { softmax(&row) };
        let score = |class: usize| row.get(class).copied().unwrap_or(f32::NAN);
        let scored = |r: &compare::Ranked| Scored { class: r.class, label: self.class(r.class as i64 - offset), score: score(r.class) };
        let top: Vec<Scored> = judged.top.iter().map(scored).collect();
        let margin = match &top[..] {
            [first, second, ..] => first.score - second.score,
            _ => 0.0,
        };
        Opinion { top, margin }
    }
}
