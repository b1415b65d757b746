//! Two models made ready to be compared: what both say of an image.

use super::sheet::Shapes;
use super::snapshot::{Load, Opinion, Scored};
use crate::compare::{self, Chosen, CompareError, Comparison, softmax};
use crate::dataset::{Case, DatasetError, Feed, ImageSet};
use crate::model::{Model, harmless};
use crate::run::{Network, RunOptions, Runner, Value, Watch};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a bench is made of.
pub struct Parts {
    /// The case.
    pub case: Arc<Case>,
    /// The source.
    pub source: Arc<Network>,
    /// The target.
    pub target: Arc<Network>,
    /// The images.
    pub images: Arc<ImageSet>,
}

/// Two models made ready to be compared.
pub struct Bench {
    /// The images.
    pub images: Arc<ImageSet>,
    /// What each side takes.
    pub feeds: [Feed; 2],
    /// How outputs are compared.
    pub comparison: Comparison,
    /// The models; the target's is missing when it takes no image of this set.
    pub runners: [Option<Arc<Runner>>; 2],
    /// Shapes of all values for the first image.
    pub shapes: [Shapes; 2],
    /// The first image that can be used.
    pub first: usize,
    /// Why the target does not run as a whole.
    pub does_not_run: Option<String>,
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

impl Bench {
    /// Makes both models ready. Images that cannot be read are told to `left_out`.
    ///
    /// # Errors
    /// In words: what of the case cannot be used.
    pub fn new(parts: Parts, options: &RunOptions, left_out: &mut dyn FnMut(PathBuf, String)) -> Result<Self, String> {
        let Parts { case, source, target, images } = parts;
        let (comparison, _) = Comparison::new(&case.compare, source.model(), target.model()).map_err(|e| e.to_string())?;
        let (a, b) = compare::feeds(&case, source.model(), target.model(), &images).map_err(|e| e.to_string())?;
        let feeds = [a, b];
        let mut first = None;
        for (index, item) in images.items().iter().enumerate() {
            match images.inputs(index, &[&feeds[0]]) {
                Ok(inputs) => {
                    first = inputs.into_iter().next().map(|x| (index, x));
                    break;
                }
                Err(why @ DatasetError::Image { .. }) => left_out(item.path.clone(), why.to_string()),
                Err(other) => return Err(other.to_string()),
            }
        }
        let (first, example) = first.ok_or("there is no image that can be read")?;
        let mut does_not_run = None;
        let theirs = match images.inputs(first, &[&feeds[0], &feeds[1]]) {
            Ok(mut both) => both.pop(),
            Err(why) => {
                does_not_run = Some(format!("target: {why}"));
                None
            }
        };
        let ready = |network: &Arc<Network>, example: &[Value]| {
            let runner = Runner::of(network.clone(), example, options).map_err(|e| e.to_string())?;
            let mut shapes = Shapes::new();
            for (v, x) in network.inputs().iter().zip(example) {
                shapes.insert(*v, x.shape().to_vec());
            }
            network.forward(example, |id, made| {
                for (v, value) in network.op(id).made().zip(made.iter().flatten()) {
                    shapes.insert(v, value.shape().to_vec());
                }
            });
            Ok::<_, String>((Arc::new(runner), shapes))
        };
        let (ours, theirs) = std::thread::scope(|scope| {
            let other = scope.spawn(|| theirs.as_ref().map(|x| ready(&target, x)));
            (ready(&source, &example), other.join().unwrap_or_else(|_| Some(Err("the runtime gave up".into()))))
        });
        let (source_runner, source_shapes) = ours.map_err(|e| format!("source: {e}"))?;
        let (target_runner, target_shapes) = match theirs {
            Some(Ok((runner, shapes))) => (Some(runner), shapes),
            Some(Err(why)) => {
                does_not_run.get_or_insert(format!("target: {why}"));
                (None, Shapes::new())
            }
            None => (None, Shapes::new()),
        };
        let mut out = Self {
            images,
            feeds,
            comparison,
            runners: [Some(source_runner), target_runner],
            shapes: [source_shapes, target_shapes],
            first,
            does_not_run,
        };
        // One image shows whether anything fits at all, before all threads find out at once.
        if out.does_not_run.is_none() {
            match out.compare(first) {
                Ok(_) => {}
                Err(CompareError::Run { side: compare::Side::Target, error }) => out.does_not_run = Some(format!("target: {error}")),
                Err(why) => return Err(why.to_string()),
            }
        }
        Ok(out)
    }

    /// What both models say of one image.
    ///
    /// # Errors
    /// When the image cannot be read, or a model does not run on it.
    pub fn compare(&self, image: usize) -> Result<Compared, CompareError> {
        let inputs = self.images.inputs(image, &[&self.feeds[0], &self.feeds[1]])?;
        let run = |at: usize, side: compare::Side| match &self.runners[at] {
            Some(runner) => runner.run(&inputs[at]).map_err(|error| CompareError::Run { side, error }),
            None => Err(CompareError::Outputs(format!("the {side} does not run"))),
        };
        let (s, t) = (run(0, compare::Side::Source)?, run(1, compare::Side::Target)?);
        let judged = self.comparison.judge(&s, &t)?;
        let offset = self.comparison.label_offset.unwrap_or(0);
        let item = &self.images.items()[image];
        Ok(Compared {
            path: item.path.clone(),
            truth: item.truth.map(|c| self.class(c as i64)),
            source: self.opinion(&s, &self.comparison.source, &judged.source, 0),
            target: self.opinion(&t, &self.comparison.target, &judged.target, offset),
            mismatch: judged.mismatch,
        })
    }

    /// All images, on so many threads. `done` hears of each as soon as it is compared; those that cannot be read come as errors.
    pub fn compare_all(&self, threads: usize, watch: &dyn Watch, done: &(dyn Fn(usize, Result<Compared, String>) + Sync)) {
        let count = self.images.len();
        let (next, ready) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || {
            loop {
                let image = next.fetch_add(1, Ordering::Relaxed);
                if image >= count || watch.cancelled() {
                    return;
                }
                // Those before the first usable one were named already.
                if image >= self.first {
                    done(image, self.compare(image).map_err(|e| e.to_string()));
                }
                watch.progress("comparing images", ready.fetch_add(1, Ordering::Relaxed) + 1, count);
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
