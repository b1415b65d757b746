//! Opening a case: reading both models and the images, then comparing all of them.

use super::bench::{self, Bench, Compared, SourceSide};
use super::engine::{Core, News, Open, Reporter};
use super::sheet::{Shapes, Sheet, Sign};
use super::snapshot::{CaseInfo, Flip, Images, Load, Side, Snapshot, Tone};
use crate::compare::CompareError;
use crate::dataset::{Case, DatasetError, ImageSet};
use crate::model::harmless;
use crate::repair::{Evaluation, Job, JobOptions};
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
        let target_shapes = open.bench.as_ref().map_or(&nothing, |b| b.target_shapes());
        let shapes = [source_shapes, target_shapes];
        let sheet = match (&self.snap.findings, &open.mending.looked_at) {
            (Some(findings), Some(target)) => {
                let mended: HashSet<&str> =
                    open.job.iter().flat_map(|j| j.standing()).flat_map(|a| &a.proposal.nodes).map(String::as_str).collect();
                let touched = |region: usize| findings.regions[region].target.iter().any(|id| mended.contains(target.label(*id)));
                let clean = |region: usize| findings.regions[region].verdict == crate::align::Verdict::Clean;
                let sign = |region: usize| (clean(region) && touched(region)).then_some(Sign::Repaired);
                Sheet::aligned(open.source.clone(), Some(target.clone()), findings, shapes, sign)
            }
            _ => Sheet::unpaired(open.source.clone(), open.target.clone(), shapes),
        };
        self.snap.sheet = Some(Arc::new(sheet));
    }

    /// As soon as both models and the images are there: both are run on all of them.
    fn begin(&mut self) {
        let Some(open) = &mut self.open else { return };
        let (Some(case), Some(source), Some(target), Some(images)) = (&open.case, &open.source, &open.target, &open.images) else { return };
        let count = images.len();
        let options = JobOptions { run: self.options.run.clone(), localize: self.options.localize.clone(), holdout: self.options.holdout };
        match Job::of((**case).clone(), source.clone(), target.clone(), images.clone(), options) {
            Err(why) => return self.fail(why.to_string()),
            Ok(job) => open.job = Some(Box::new(job)),
        }
        open.differs = [vec![false; count], vec![false; count]];
        self.snap.images = Images { of: count, ..Images::default() };
        self.evaluate();
    }

    /// Runs the target on all images, flipped ones first; the source on those on which it was not run yet.
    pub fn evaluate(&mut self) {
        let Some(open) = &self.open else { return };
        let Some(job) = open.job.clone() else { return };
        let mut order: Vec<usize> = (0..job.images.len()).collect();
        order.sort_by_key(|i| !open.differs[1][*i]);
        let side = open.source_side.clone();
        let first_time = side.is_none();
        let work = if first_time { "comparing images" } else { "running the target again" };
        self.start(work, move |to| evaluation(*job, side, &order, to));
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
            Ok(at) => {
                flips[at].target = compared.target;
                flips[at].mended = !compared.mismatch;
                flips[at].broken = broken;
            }
            Err(at) if compared.mismatch => {
                let Compared { path, truth, source, target, .. } = compared;
                flips.insert(at, Flip { image, path, truth, source, target, mended: false, broken });
            }
            Err(_) => {}
        }
        self.dirty = true;
    }

    /// All images were compared.
    pub fn evaluated(&mut self, source: Evaluation, target: Evaluation) {
        self.stop_task();
        let Some(open) = &mut self.open else { return };
        let Some(job) = &mut open.job else { return };
        let first_time = job.source_labels.labels.is_empty();
        job.source_labels = source;
        job.target_labels = target;
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
        if self.snap.does_not_run.is_none() {
            let (tone, text) = match (left, first_time) {
                (0, true) => (Tone::Good, format!("no label differs on {count} images")),
                (0, false) => (Tone::Good, format!("0 of {count} images flipped: all labels agree")),
                (n, _) => (Tone::Warning, format!("{n} of {count} images flipped")),
            };
            self.log(tone, text);
        }
        self.after_evaluation(first_time);
    }
}

/// Compares images in an order and tells of each.
fn evaluation(mut job: Job, side: Option<Arc<SourceSide>>, order: &[usize], to: &Reporter) {
    let first_time = side.is_none();
    let side = match side {
        Some(side) => side,
        None => match SourceSide::new(&job, &mut |path, why| to.tell(News::LeftOut(path, why))) {
            Ok(side) => Arc::new(side),
            Err(why) => return to.tell(News::Failed(why)),
        },
    };
    to.tell(News::SourceReady(side.clone()));
    let bench = match Bench::new(&job, side) {
        Ok(bench) => Arc::new(bench),
        Err(why) => {
            to.tell(News::DoesNotRun(why.clone()));
            if first_time && let Err(why) = job.evaluate(to) {
                return to.tell(News::Failed(why.to_string()));
            }
            let failure = Evaluation::of(vec![None; job.images.len()], Some(why));
            if !to.cancelled() {
                to.tell(News::Evaluated(job.source_labels, failure));
            }
            return;
        }
    };
    to.tell(News::Ready(bench.clone()));
    let count = job.images.len();
    let nothing = || Evaluation::of(vec![None; count], None);
    let labels = Mutex::new((nothing(), nothing()));
    bench.compare_all(order, job.options.run.threads_for(count), to, &|image, result| {
        let mut labels = labels.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(compared) => {
                labels.0.labels[image] = Some(compared.labels.0);
                labels.1.labels[image] = Some(compared.labels.1);
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
        to.tell(News::Evaluated(source, target));
    }
}
