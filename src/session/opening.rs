//! Opening a case: reading both models and the images, then comparing all of them.

use super::bench::{self, Bench, Compared, SourceSide};
use super::engine::{Core, News, Open};
use super::sheet::{NamedShapes, Shapes, Sheet, shapes_of};
use super::snapshot::{CaseInfo, Flip, Images, Load, Side, Snapshot, Tone};
use super::worker::{Reporter, Work};
use crate::compare::CompareError;
use crate::dataset::{Case, DatasetError, ImageSet};
use crate::model::harmless;
use crate::repair::{Checkpoints, Evaluation, Job, JobOptions};
use crate::run::{Network, Watch};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

impl Core {
    /// Opens a case, named after this file until its title is known.
    pub fn open(&mut self, file: Option<PathBuf>, path: PathBuf, read: impl FnOnce() -> Result<Case, String> + Send + 'static) {
        self.stop_task();
        self.close();
        let number = self.number();
        self.open = Some(Open {
            number,
            file,
            case: None,
            source: None,
            target: None,
            images: None,
            job: None,
            source_side: None,
            bench: None,
            differs: Default::default(),
            compared: false,
            then_look: false,
            mending: Default::default(),
        });
        self.inspecting = None;
        let name = path.parent().and_then(Path::file_name).unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let info = CaseInfo { title: harmless(&name).into_owned(), path: path.clone(), ..CaseInfo::default() };
        self.snap = Snapshot {
            generation: self.snap.generation + 1,
            case: Some(Arc::new(info)),
            source: Load::Loading,
            target: Load::Loading,
            ..Snapshot::default()
        };
        self.log(Tone::Plain, format!("opening {}", path.display()));
        let max_mem = self.options.run.max_mem;
        self.spawn(number, Arc::default(), move |to| match read() {
            Err(why) => to.tell(News::Failed(why)),
            Ok(case) => {
                to.tell(News::Case(Box::new(case.clone())));
                if let Some((log, edits)) = super::resume::unfinished(&case.target) {
                    to.tell(News::Resumable(log, edits));
                }
                std::thread::scope(|scope| {
                    for (side, path) in [(Side::Source, &case.source), (Side::Target, &case.target)] {
                        scope.spawn(move || to.tell(News::Model(side, bench::load(path, max_mem))));
                    }
                    match ImageSet::open(&case.images, case.labels.as_deref(), case.truth.as_deref()) {
                        Ok(images) => to.tell(News::Images(Arc::new(images))),
                        Err(why) => to.tell(News::Failed(why.to_string())),
                    }
                });
            }
        });
    }

    /// What was not loaded by now will not be.
    pub fn loading_failed(&mut self) {
        for load in [&mut self.snap.source, &mut self.snap.target] {
            if *load == Load::Loading {
                *load = Load::Waiting;
            }
        }
    }

    /// The case file was read.
    pub fn case(&mut self, case: Case) {
        let name = |p: &Path| harmless(&p.file_name().unwrap_or(p.as_os_str()).to_string_lossy()).into_owned();
        if let Some(info) = &mut self.snap.case {
            let info = Arc::make_mut(info);
            if let Some(title) = &case.title {
                info.title = harmless(title).into_owned();
            }
            info.about = harmless(case.about.as_deref().unwrap_or_default()).into_owned();
            info.source = name(&case.source);
            info.target = name(&case.target);
        }
        if let Some(open) = &mut self.open {
            open.case = Some(Arc::new(case));
        }
    }

    /// A model was read, or cannot be.
    pub fn model(&mut self, side: Side, loaded: Result<Arc<Network>, String>) {
        let load = match &loaded {
            Ok(network) => bench::describe(network),
            Err(why) => Load::Failed(harmless(why).into_owned()),
        };
        match &load {
            Load::Ready { nodes, parameters, producer } => {
                self.log(Tone::Plain, format!("{} loaded: {nodes} nodes, {parameters} parameters, written by {producer}", side.name()));
            }
            Load::Failed(why) => self.log(Tone::Error, format!("{}: {why}", side.name())),
            Load::Waiting | Load::Loading => {}
        }
        let Some(open) = &mut self.open else { return };
        match side {
            Side::Source => (open.source, self.snap.source) = (loaded.ok(), load),
            Side::Target => (open.target, self.snap.target) = (loaded.ok(), load),
        }
        self.lay_out();
        self.begin();
    }

    /// The images were listed.
    pub fn images(&mut self, images: Arc<ImageSet>) {
        self.snap.images.of = images.len();
        if let Some(open) = &mut self.open {
            open.images = Some(images);
        }
        self.begin();
    }

    /// The target runs: shapes of its values are known.
    pub fn ready(&mut self, bench: Arc<Bench>) {
        self.snap.does_not_run = None;
        if let Some(open) = &mut self.open {
            open.bench = Some(bench);
        }
        self.lay_out();
    }

    /// Makes the sheet of what is known by now.
    pub fn lay_out(&mut self) {
        let Some(open) = &self.open else { return };
        let nothing = Shapes::new();
        let source_shapes = open.source_side.as_ref().map_or(&nothing, |s| s.shapes());
        // The target that is shown can be another one than the edited one that ran last.
        let shown = open.mending.looked_at.as_ref().filter(|_| self.snap.findings.is_some()).or(open.target.as_ref());
        let target_shapes = open.bench.as_ref().zip(shown).map(|(b, network)| shapes_of(network, b.target_shapes()));
        let shapes = [source_shapes, target_shapes.as_ref().unwrap_or(&nothing)];
        let sheet = match (&self.snap.findings, &open.mending.looked_at) {
            (Some(findings), Some(target)) => {
                let standing = || open.job.iter().flat_map(|j| j.standing());
                let mut mended: HashSet<String> = standing().flat_map(|a| a.proposal.edit.touched()).collect();
                // A recipe is what the inputs are made by.
                if standing().any(|a| a.proposal.recipe.is_some()) {
                    mended.insert(String::new());
                }
                let mut sheet = Sheet::aligned(open.source.clone(), Some(target.clone()), findings, shapes, &mended);
                sheet.mark(&self.snap.said);
                sheet
            }
            _ => Sheet::unpaired(open.source.clone(), open.target.clone(), shapes),
        };
        self.snap.sheet = Some(Arc::new(sheet));
    }

    /// As soon as both models and the images are there: both are run on all of them.
    fn begin(&mut self) {
        let Some(open) = &mut self.open else { return };
        let (Some(case), Some(source), Some(target), Some(images)) = (&open.case, &open.source, &open.target, &open.images) else { return };
        let options = JobOptions { run: self.options.run.clone(), localize: self.options.localize.clone(), holdout: self.options.holdout };
        match Job::of((**case).clone(), source.clone(), target.clone(), images.clone(), options) {
            Err(why) => return self.fail(why.to_string()),
            Ok(job) => open.job = Some(Box::new(job)),
        }
        self.evaluate();
    }

    /// Runs the target on all images, flipped ones first; the source on those on which it was not run yet.
    pub fn evaluate(&mut self) {
        let Some(open) = &mut self.open else { return };
        let Some(job) = open.job.clone() else { return };
        let count = job.images.len();
        open.compared = false;
        // An evaluation that was cut short before anything was known begins anew.
        let first_time = job.source_labels.labels.is_empty();
        if first_time {
            open.differs = [vec![false; count], vec![false; count]];
            self.snap.images = Images { of: count, ..Images::default() };
        }
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(|i| !open.differs[1][*i]);
        let side = open.source_side.clone().filter(|_| !first_time);
        let known = Known { side, shapes: open.bench.as_ref().map(|b| b.target_shapes().clone()) };
        let flipped = if known.side.is_some() { open.differs[1].iter().filter(|d| **d).count() } else { 0 };
        let work = if known.side.is_none() { Work::Comparing } else { Work::RunningAgain };
        self.start(work, move |to| evaluation(*job, known, &order, flipped, to));
    }

    /// An image was compared.
    pub fn compared(&mut self, image: usize, compared: Compared) {
        let Some(open) = &mut self.open else { return };
        let first_time = open.job.as_ref().is_none_or(|j| j.source_labels.labels.is_empty());
        let images = &mut self.snap.images;
        let [start, now] = &mut open.differs;
        let Some(was) = now.get_mut(image) else { return };
        *was = compared.mismatch;
        if first_time {
            images.done += 1;
            start[image] = compared.mismatch;
        }
        images.flipped = now.iter().filter(|d| **d).count();
        if first_time {
            images.at_start = images.flipped;
        }
        let broken = compared.mismatch && !start[image];
        let flips = Arc::make_mut(&mut images.flips);
        match flips.binary_search_by_key(&image, |f| f.image) {
            // An edit had broken it, and is taken back or mended.
            Ok(at) if !compared.mismatch && !start[image] => drop(flips.remove(at)),
            Ok(at) => {
                flips[at].target = compared.target;
                flips[at].near_tie = compared.near_tie;
                flips[at].mended = !compared.mismatch;
                flips[at].broken = broken;
            }
            Err(at) if compared.mismatch => {
                let Compared { path, truth, source, target, near_tie, .. } = compared;
                flips.insert(at, Flip { image, path, truth, source, target, near_tie, mended: false, broken, trail: Vec::new() });
            }
            Err(_) if first_time => {
                let Compared { path, truth, source, target, near_tie, .. } = compared;
                let closest = Arc::make_mut(&mut images.closest);
                let nearer = |f: &Flip| f.target.margin.total_cmp(&target.margin).then(f.image.cmp(&image)).is_lt();
                let at = closest.partition_point(nearer);
                if at < Images::CLOSEST {
                    closest
                        .insert(at, Flip { image, path, truth, source, target, near_tie, mended: false, broken: false, trail: Vec::new() });
                    closest.truncate(Images::CLOSEST);
                }
            }
            Err(_) => {}
        }
        self.dirty = true;
    }

    /// All images were compared.
    pub fn evaluated(&mut self, source: Evaluation, target: Evaluation, kept: Option<Arc<Checkpoints>>) {
        self.stop_task();
        let Some(open) = &mut self.open else { return };
        let Some(job) = &mut open.job else { return };
        let first_time = job.source_labels.labels.is_empty();
        let ran_before = job.target_labels.failure.is_none();
        job.source_labels = source;
        job.target_labels = target;
        open.compared = true;
        let look = std::mem::take(&mut open.then_look);
        if kept.is_some() {
            job.checkpoints = kept;
        }
        let runs_now = !ran_before && job.target_labels.failure.is_none();
        let left = job.flips().len();
        let count = job.count();
        if let Some(last) = job.accepted.last_mut().filter(|a| !a.undone) {
            last.flips.1 = left;
        }
        if job.target_labels.failure.is_some() {
            // Nothing agrees with a model that does not run.
            open.differs[1] = (0..job.images.len()).map(|i| job.source_labels.labels[i].is_some()).collect();
            self.snap.images.flipped = left;
            if first_time {
                open.differs[0] = open.differs[1].clone();
                self.snap.images.at_start = left;
            }
        }
        self.snap.images.done = count;
        let held: Vec<usize> = (0..job.images.len()).filter(|i| job.is_held_back(*i) && job.source_labels.labels[*i].is_some()).collect();
        let differ = |of: &[bool]| held.iter().filter(|i| of.get(**i).copied().unwrap_or(false)).count();
        self.snap.images.held = (!held.is_empty()).then(|| (differ(&open.differs[0]), differ(&open.differs[1]), held.len()));
        for flip in Arc::make_mut(&mut self.snap.images.flips) {
            flip.trail.push(open.differs[1].get(flip.image).copied().unwrap_or(false));
        }
        if self.snap.does_not_run.is_none() {
            let (tone, text) = match (left, first_time) {
                (0, true) => (Tone::Good, format!("no label differs on {count} images")),
                (0, false) => (Tone::Good, format!("0 of {count} images flipped: all labels agree")),
                (n, _) => (Tone::Warning, format!("{n} of {count} images flipped")),
            };
            let part = self.open.as_ref().and_then(|o| o.bench.as_ref()).is_some_and(|b| b.is_partial());
            self.log(tone, if part && !first_time { format!("{text} (what lies below the edit ran)") } else { text });
        }
        self.after_evaluation(first_time || runs_now || look);
    }
}

/// What is known from an evaluation before.
struct Known {
    side: Option<Arc<SourceSide>>,
    shapes: Option<NamedShapes>,
}

/// Compares images in an order, the first so many of which flip, and tells of each.
fn evaluation(mut job: Job, known: Known, order: &[usize], flipped: usize, to: &Reporter) {
    let first_time = known.side.is_none();
    let side = match known.side {
        Some(side) => side,
        None => match SourceSide::new(&job, &mut |path, why| to.tell(News::LeftOut(path, why))) {
            Ok(side) => Arc::new(side),
            Err(why) => return to.tell(News::Failed(why)),
        },
    };
    to.tell(News::SourceReady(side.clone()));
    let bench = match Bench::new(&job, side, known.shapes.as_ref()) {
        Ok(bench) => Arc::new(bench),
        Err(why) => {
            to.tell(News::DoesNotRun(why.clone()));
            if first_time && let Err(why) = job.evaluate(to) {
                return to.tell(News::Failed(why.to_string()));
            }
            let failure = Evaluation::of(vec![None; job.images.len()], Some(why));
            if !to.cancelled() {
                to.tell(News::Evaluated(job.source_labels, failure, None));
            }
            return;
        }
    };
    to.tell(News::Ready(bench.clone()));
    let count = job.images.len();
    let nothing = || Evaluation::of(vec![None; count], None);
    let labels = Mutex::new((nothing(), nothing()));
    bench.compare_all(order, flipped, job.options.run.threads_for(count), to, &|image, result| {
        let mut labels = labels.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(compared) => {
                labels.0.labels[image] = Some(compared.labels.0);
                labels.1.labels[image] = Some(compared.labels.1);
                if let Some([source, target]) = &compared.scores {
                    labels.0.scores[image] = Some(source.clone());
                    labels.1.scores[image] = Some(target.clone());
                }
                to.tell(News::Compared(image, Box::new(compared)));
            }
            Err(CompareError::Dataset(why @ DatasetError::Image { .. })) => {
                if first_time {
                    to.tell(News::LeftOut(bench.images.items()[image].path.clone(), why.to_string()));
                }
            }
            Err(why) => drop(labels.1.failure.get_or_insert(why.to_string())),
        }
    });
    if !to.cancelled() {
        let (source, target) = labels.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = &target.failure {
            to.tell(News::DoesNotRun(why.clone()));
        }
        to.tell(News::Evaluated(source, target, bench.checkpoints()));
    }
}
