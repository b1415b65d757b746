//! Two models made ready to be compared image by image, for what both say and not for the label alone.

use super::sheet::Shapes;
use super::snapshot::{Load, Opinion, Scored};
use crate::compare::{self, Chosen, CompareError, Comparison, softmax};
use crate::dataset::{DatasetError, Feed, ImageSet};
use crate::model::{Model, harmless};
use crate::repair::Job;
use crate::run::{Network, RunOptions, Runner, Value, Watch};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

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
    /// Whether they count as different.
    pub mismatch: bool,
}

/// Reads a model and makes it ready to run.
pub fn load(path: &Path, max_mem: u64) -> Result<Arc<Network>, String> {
    let model = Model::open(path).map_err(|e| e.to_string())?;
    Network::limited(&model, max_mem).map(Arc::new).map_err(|e| e.to_string())
}

/// What is said of a model that was read.
pub fn describe(network: &Network) -> Load {
    let model = network.model();
    let size = |dims: &[i64]| dims.iter().map(|d| d.unsigned_abs()).try_fold(1u64, u64::checked_mul).unwrap_or(u64::MAX);
    let parameters = model.initializers().map(|t| size(&t.dims)).fold(0, u64::saturating_add);
    let proto = model.proto();
    let producer = harmless(&format!("{} {}", proto.producer_name(), proto.producer_version())).trim().to_string();
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
        let mut shapes = Shapes::new();
        for (v, x) in network.inputs().iter().zip(example) {
            shapes.insert(*v, x.shape().to_vec());
        }
        network.forward(example, |id, made| {
            for (v, value) in network.op(id).made().zip(made.iter().flatten()) {
                shapes.insert(v, value.shape().to_vec());
            }
        });
        Ok(Self { feed: feed.clone(), runner, shapes })
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
    /// Makes the target of a job ready beside its source.
    ///
    /// # Errors
    /// In words: why the target does not run.
    pub fn new(job: &Job, source: Arc<SourceSide>) -> Result<Self, String> {
        let mut inputs = job.images.inputs(source.first, &[&job.target_feed]).map_err(|e| e.to_string())?;
        let target = Ready::new(&job.target, &job.target_feed, &inputs.pop().unwrap_or_default(), &job.options.run)?;
        let out = Self { images: job.images.clone(), comparison: job.comparison.clone(), source, target };
        // One image shows whether anything fits at all, before all threads find out at once.
        out.compare(out.source.first).map(|_| out).map_err(|e| e.to_string())
    }

    /// Shapes of the target's values.
    pub fn target_shapes(&self) -> &Shapes {
        &self.target.shapes
    }

    /// What both models say of one image.
    ///
    /// # Errors
    /// When the image cannot be read, or a model does not run on it.
    pub fn compare(&self, image: usize) -> Result<Compared, CompareError> {
        let known = self.source.outputs[image].get();
        let (s, t);
        let run = |ready: &Ready, side, inputs: &[Value]| ready.runner.run(inputs).map_err(|error| CompareError::Run { side, error });
        let source = match known {
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
        let target = run(&self.target, compare::Side::Target, &t)?;
        let judged = self.comparison.judge(source, &target)?;
        let offset = self.comparison.label_offset.unwrap_or(0);
        let item = &self.images.items()[image];
        Ok(Compared {
            path: item.path.clone(),
            truth: item.truth.map(|c| self.class(c as i64)),
            source: self.opinion(source, &self.comparison.source, &judged.source, 0),
            target: self.opinion(&target, &self.comparison.target, &judged.target, offset),
            labels: (judged.source.label, judged.target.label),
            mismatch: judged.mismatch,
        })
    }

    /// Images in an order, on so many threads. `done` hears of each as soon as it is compared; those that cannot be read come as
    /// errors.
    pub fn compare_all(
        &self,
        order: &[usize],
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
                watch.progress("", ready.fetch_add(1, Ordering::Relaxed) + 1, order.len());
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
        name.map_or_else(|| class.to_string(), |n| harmless(n).into_owned())
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
