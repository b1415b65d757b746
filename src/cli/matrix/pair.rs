//! A clean pair of models, and the faults that can be put into its target.

use super::super::Common;
use super::trial::Trial;
use crate::dataset::{Case, Feed, ImageSet, Recipe};
use crate::localize::Kind;
use crate::localize::LocalizeOptions;
use crate::localize::inject::{Injected, InjectedRecipe, Injector, Truth, inject_recipe, variants_of};
use crate::model::Model;
use crate::repair::{Job, JobOptions};
use crate::run::{Network, Unwatched};
use anyhow::Result;
use rayon::prelude::*;
use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Share of images whose labels may differ in a pair that counts as clean: what a coarser number format does.
const MOST_FLIPS: f64 = 0.1;

/// A clean pair.
pub(super) struct Pair {
    pub name: String,
    job: Job,
    injector: Arc<Injector>,
    /// The list of images; kept for as long as the job reads it.
    _list: Arc<tempfile::NamedTempFile>,
}

/// Why there is no pair.
pub(super) enum Skipped {
    /// It was there already, or is not wanted.
    Known,
    Because(String),
}

/// A fault of the target's graph, or of its recipe.
pub(super) enum Fault {
    Graph(Box<Injected>, u64),
    Recipe(Box<InjectedRecipe>, u64),
}

impl Fault {
    pub fn truth(&self) -> &Truth {
        match self {
            Self::Graph(f, _) => &f.truth,
            Self::Recipe(f, _) => &f.truth,
        }
    }
    /// The way in which it came about.
    pub fn way(&self) -> &'static str {
        match self {
            Self::Graph(f, _) => f.variant,
            Self::Recipe(..) => "recipe",
        }
    }
    pub fn seed(&self) -> u64 {
        match self {
            Self::Graph(_, seed) | Self::Recipe(_, seed) => *seed,
        }
    }
    pub fn effect(&self) -> Option<f32> {
        match self {
            Self::Graph(f, _) => f.effect,
            Self::Recipe(..) => None,
        }
    }
    /// What tells it from all others of one study.
    pub fn key(&self, pair: &str) -> String {
        format!("{pair} {} {} {}", self.truth().kind, self.way(), self.seed())
    }
}

impl Pair {
    /// Opens a case as a clean pair: `alone` takes the source for its own target.
    pub fn open(
        file: &Path,
        alone: bool,
        images: usize,
        common: &Common,
        sources: &mut HashSet<PathBuf>,
        selves: bool,
    ) -> Result<Self, Skipped> {
        let because = |e: &dyn std::fmt::Display| Skipped::Because(e.to_string());
        let file = if file.is_dir() { file.join("case.toml") } else { file.to_path_buf() };
        let mut case = Case::open(&file).map_err(|e| because(&e))?;
        let stem = |p: &Path| p.file_stem().map_or_else(|| "model".into(), |s| s.to_string_lossy().into_owned());
        let mut name = file.parent().and_then(Path::file_name).map_or_else(|| stem(&file), |s| s.to_string_lossy().into_owned());
        if alone {
            let path = std::fs::canonicalize(&case.source).map_err(|e| because(&e))?;
            if !selves || !sources.insert(path) {
                return Err(Skipped::Known);
            }
            name = format!("{} itself", stem(&case.source));
            case.target.clone_from(&case.source);
            case.target_recipe = None;
        }
        let list = Arc::new(first_images(&case, images).map_err(|e| because(&e))?);
        if list.path().metadata().is_ok_and(|m| m.len() > 0) {
            case.images = list.path().to_path_buf();
            (case.labels, case.truth) = (None, None);
        }
        // Many faults are localised at a time: one thread for each is enough.
        let mut run = common.run_options();
        run.threads = 1;
        let options = JobOptions { run, localize: LocalizeOptions::default(), holdout: 0 };
        let mut job = Job::open(case.clone(), options.clone()).map_err(|e| because(&e))?;
        job.evaluate(&Unwatched).map_err(|e| because(&e))?;
        if job.flips().len() as f64 > MOST_FLIPS * job.count() as f64 || job.target_labels.failure.is_some() {
            // With a recipe that is wrong the graph may be right all the same.
            case.target_recipe = None;
            job = Job::open(case, options).map_err(|e| because(&e))?;
            job.evaluate(&Unwatched).map_err(|e| because(&e))?;
        }
        if let Some(why) = &job.target_labels.failure {
            return Err(Skipped::Because(format!("the target does not run: {why}")));
        }
        if job.flips().len() as f64 > MOST_FLIPS * job.count() as f64 {
            return Err(Skipped::Because(format!("{} of {} labels differ", job.flips().len(), job.count())));
        }
        let found = job.localize(&Unwatched).map_err(|e| because(&e))?;
        if let Some(suspect) = found.suspects.first() {
            let node = suspect.target_nodes.first().map_or("the input", |n| job.target.model().label(*n));
            return Err(Skipped::Because(format!("not clean: suspect at {node}, {}", suspect.words)));
        }
        let first = job.images.inputs(0, &[&job.target_feed]).map_err(|e| because(&e))?.remove(0);
        let injector = Injector::new(&job.original, Some(first)).map_err(|e| because(&e))?;
        Ok(Self { name, job, injector: Arc::new(injector), _list: list })
    }

    pub fn nodes(&self) -> usize {
        self.job.target.ops().len()
    }
    pub fn flips(&self) -> usize {
        self.job.flips().len()
    }
    pub fn images(&self) -> usize {
        self.job.count()
    }

    /// Distinct faults, in the order of kinds, ways and seeds.
    pub fn faults(&self, kinds: &[Kind], seeds: &[u64], one_way: bool) -> Vec<Fault> {
        let of_kind = |kind: &Kind| {
            let mut out: Vec<Fault> = Vec::new();
            for seed in seeds {
                let mut drawn: Vec<Fault> = match variants_of(*kind) {
                    ways if ways.is_empty() => {
                        let recipe = self.job.target_feed.recipe.as_ref();
                        recipe.and_then(|r| inject_recipe(r, *kind, *seed)).map(|f| Fault::Recipe(Box::new(f), *seed)).into_iter().collect()
                    }
                    _ if one_way => self.injector.inject(*kind, *seed).map(|f| Fault::Graph(Box::new(f), *seed)).into_iter().collect(),
                    ways => {
                        let drawn = ways.into_iter().filter_map(|w| self.injector.inject_as(*kind, w, *seed));
                        drawn.map(|f| Fault::Graph(Box::new(f), *seed)).collect()
                    }
                };
                // Where there is one place only, all seeds come to it.
                drawn.retain(|f| !out.iter().any(|o| same(o, f)));
                out.extend(drawn);
            }
            out.sort_by_key(|f| variants_of(*kind).iter().position(|w| *w == f.way()));
            out
        };
        kinds.par_iter().flat_map_iter(of_kind).collect()
    }

    /// The same pair with nothing kept of what ran.
    pub fn fresh(&self) -> Result<Self> {
        let mut job = self.job.clone();
        job.target = Arc::new(Network::new(&job.original)?);
        Ok(Self { name: self.name.clone(), job, injector: self.injector.clone(), _list: self._list.clone() })
    }

    /// Localises one fault.
    pub fn try_fault(&self, fault: &Fault) -> Trial {
        let start = std::time::Instant::now();
        let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let job = self.with(fault)?;
            let found = job.localize(&Unwatched)?;
            Ok::<_, anyhow::Error>((job, found))
        }));
        let seconds = start.elapsed().as_secs_f32();
        match tried {
            Ok(Ok((job, found))) => Trial::new(&self.name, fault, &job, &found, seconds),
            Ok(Err(why)) => Trial::failed(&self.name, fault, format!("{why:#}"), seconds),
            Err(_) => Trial::failed(&self.name, fault, "panic".into(), seconds),
        }
    }

    /// The job with the faulty target or recipe in it.
    fn with(&self, fault: &Fault) -> Result<Job> {
        let mut job = self.job.clone();
        match fault {
            Fault::Graph(f, _) => {
                job.target = Arc::new(self.job.target.edited(&f.model)?);
                job.original = f.model.clone();
                job.target_feed = self.feed_for(f.truth.kind, &f.model);
                if let Ok((comparison, _)) = crate::compare::Comparison::new(&job.case.compare, job.source.model(), &f.model) {
                    job.comparison = comparison;
                }
            }
            Fault::Recipe(f, _) => job.target_feed.recipe = Some(f.recipe.clone()),
        }
        job.original_feed = job.target_feed.clone();
        job.reevaluate(&Unwatched);
        Ok(job)
    }

    /// What the faulty target takes: who runs a model whose input is declared otherwise feeds it as declared.
    fn feed_for(&self, kind: Kind, model: &Model) -> Feed {
        let recipe: Option<Recipe> = self.job.target_feed.recipe.clone();
        match recipe {
            Some(recipe) if kind.category() == crate::localize::Category::ID => Feed::like(model, &recipe),
            recipe => Feed::new(model, recipe),
        }
    }
}

fn same(a: &Fault, b: &Fault) -> bool {
    match (a, b) {
        (Fault::Graph(a, _), Fault::Graph(b, _)) => a.edit == b.edit,
        (Fault::Recipe(a, _), Fault::Recipe(b, _)) => a.recipe == b.recipe,
        _ => false,
    }
}

/// A list file of a case's first images; empty where they are tensors.
fn first_images(case: &Case, count: usize) -> Result<tempfile::NamedTempFile> {
    let images = ImageSet::open(&case.images, None, None)?;
    let mut list = tempfile::Builder::new().suffix(".txt").tempfile()?;
    if !images.is_tensors() {
        for item in images.items().iter().take(count.max(1)) {
            writeln!(list, "{}", std::path::absolute(&item.path)?.display())?;
        }
    }
    list.flush()?;
    Ok(list)
}
