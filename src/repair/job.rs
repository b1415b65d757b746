//! One pair of models being mended: what was accepted, and what the target is now.

use super::RepairError;
use super::batch::takes_several;
use super::checkpoint::Checkpoints;
use super::evaluate::{Evaluation, Labelling, Ready};
use super::kinship::Kinship;
use crate::align::Precision;
use crate::compare::{Comparison, LeftOut};
use crate::dataset::{Case, Criterion, Feed, ImageSet, Recipe, RecipeKey, Sides};
use crate::localize::{Findings, Kind, LocalizeOptions, Raise, Reach, Remedy, Subject, localize};
use crate::model::{Edit, Model, ModelError, refused};
use crate::run::{Network, RunOptions, Watch, both};
use std::path::Path;
use std::sync::Arc;

/// How to work.
#[derive(Debug, Clone, Default)]
pub struct JobOptions {
    /// Threads, memory, engine.
    pub run: RunOptions,
    /// How to look for faults.
    pub localize: LocalizeOptions,
    /// One image in so many only verifies and is never used to choose an edit; 0 for none. Counts from 50 images on.
    pub holdout: usize,
}

/// One edit, or a few that belong together, which brings a suspect back to the floor.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// Index of the suspect in the findings; [`Proposal::NO_SUSPECT`] where none stands behind it.
    pub suspect: usize,
    /// What is wrong.
    pub kind: Kind,
    /// The edit of the model; empty where the recipe alone changes.
    pub edit: Edit,
    /// The target's recipe as it should be, and the keys of it that change.
    pub recipe: Option<(Recipe, Vec<RecipeKey>)>,
    /// The difference in words.
    pub words: String,
    /// Labels of the target's nodes that are touched.
    pub nodes: Vec<String>,
    /// Exact and local.
    pub safe: bool,
    /// Isolated error before and with the edit; NaN where it was not measured.
    pub isolated: (f32, f32),
}

impl Proposal {
    /// In the place of a suspect's index, where there is none.
    pub const NO_SUSPECT: usize = usize::MAX;
}

/// What a proposal does to the labels of some images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Flipped images that were tried, and how many still flip.
    pub flipped: (usize, usize),
    /// Agreeing images that were tried, and how many flip now.
    pub agreeing: (usize, usize),
}

/// An accepted edit.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// Its number in the log.
    pub number: u32,
    /// What was accepted.
    pub proposal: Proposal,
    /// Whether it was taken back.
    pub undone: bool,
    /// Flips before and after.
    pub flips: (usize, usize),
}

/// Both models, the images, and what was accepted so far.
#[derive(Debug, Clone)]
pub struct Job {
    /// The case.
    pub case: Case,
    /// The source.
    pub source: Arc<Network>,
    /// The target as it was.
    pub original: Model,
    /// The target as it is.
    pub target: Arc<Network>,
    /// The images.
    pub images: Arc<ImageSet>,
    /// What the source takes.
    pub source_feed: Feed,
    /// What the target takes at present.
    pub target_feed: Feed,
    /// What it took at first.
    pub original_feed: Feed,
    /// Which outputs are compared.
    pub comparison: Comparison,
    /// Remarks on opening.
    pub notes: Vec<String>,
    /// Accepted edits, in order.
    pub accepted: Vec<Accepted>,
    /// Labels of the source.
    pub source_labels: Evaluation,
    /// Labels of the target at present.
    pub target_labels: Evaluation,
    /// How to work.
    pub options: JobOptions,
    /// What was kept of the last evaluation of the whole target.
    pub checkpoints: Option<Arc<Checkpoints>>,
}

impl Job {
    /// Opens both models and the images. Nothing runs yet.
    ///
    /// # Errors
    /// When a file cannot be read, or a recipe does not fit the source.
    pub fn open(case: Case, options: JobOptions) -> Result<Self, RepairError> {
        let network = |path: &Path| -> Result<Arc<Network>, RepairError> { Ok(Arc::new(Network::open(path, options.run.max_mem)?)) };
        let (source, target) = both(options.run.threads_for(2), || network(&case.source), || network(&case.target));
        let images = ImageSet::open(&case.images, case.labels.as_deref(), case.truth.as_deref())?;
        Self::of(case, source?, target?, Arc::new(images), options)
    }

    /// The same of models and images that are open already.
    ///
    /// # Errors
    /// When outputs or recipes do not fit the models.
    pub fn of(
        case: Case,
        source: Arc<Network>,
        target: Arc<Network>,
        images: Arc<ImageSet>,
        options: JobOptions,
    ) -> Result<Self, RepairError> {
        let (comparison, mut notes) = Comparison::new(&case.compare, source.model(), target.model())?;
        let Sides { source: source_feed, target: target_feed, note } =
            Sides::of([source.model(), target.model()], [&case.source_recipe, &case.target_recipe])?;
        notes.extend(note);
        if comparison.criterion == Criterion::Tolerance {
            let Comparison { rtol, atol, .. } = comparison;
            notes.push(format!("compared element by element: an image counts as one of another label where an element is out of tolerance (rtol {rtol}, atol {atol})"));
        }
        Ok(Self {
            original: target.model().clone(),
            source,
            target,
            images,
            source_feed,
            original_feed: target_feed.clone(),
            target_feed,
            comparison,
            notes,
            accepted: Vec::new(),
            source_labels: Evaluation::default(),
            target_labels: Evaluation::default(),
            options,
            case,
            checkpoints: None,
        })
    }

    /// Runs both models on all images, each of which is read once.
    ///
    /// # Errors
    /// When the source does not run; a target that does not is a finding.
    pub fn evaluate(&mut self, watch: &dyn Watch) -> Result<(), RepairError> {
        self.evaluate_as(|labelling, all| labelling.ready(all), watch)
    }

    /// The same, with values of the target kept, from which what is edited below them can go on.
    ///
    /// # Errors
    /// As [`Job::evaluate`].
    pub fn evaluate_keeping(&mut self, watch: &dyn Watch) -> Result<(), RepairError> {
        self.evaluate_as(|labelling, all| labelling.ready_keeping(all), watch)
    }

    fn evaluate_as(
        &mut self,
        ready: for<'a> fn(&'a Labelling<'a>, &[usize]) -> Result<Ready<'a>, Evaluation>,
        watch: &dyn Watch,
    ) -> Result<(), RepairError> {
        let all: Vec<usize> = (0..self.images.len()).collect();
        let source = Labelling {
            network: &self.source,
            images: &self.images,
            feed: &self.source_feed,
            slot: self.comparison.source.slot,
            options: &self.options.run,
            work: "running the source",
        };
        let target = self.target_as(&self.target, &self.target_feed, "running the target");
        let readied = || match self.refusal() {
            // What a strict runtime refuses does not run.
            Some(why) => Err(Evaluation::of(vec![None; all.len()], Some(why))),
            None => ready(&target, &all),
        };
        let of_source = match both(self.options.run.threads_for(2), || source.ready(&all), readied) {
            (Err(failed), _) => failed,
            (Ok(source), Ok(target)) => {
                let [(of_source, _), (of_target, kept)] = source.run_with(target, &all, "running both models", watch);
                (self.checkpoints, self.target_labels) = (keeping(kept, &of_target, watch), of_target);
                of_source
            }
            (Ok(source), Err(failed)) => {
                let of_source = source.run(&all, watch).0;
                (self.checkpoints, self.target_labels) = (None, failed);
                of_source
            }
        };
        self.source_labels = of_source;
        match self.source_labels.failure.take() {
            Some(why) => Err(RepairError::Source(why)),
            None => {
                self.remark();
                Ok(())
            }
        }
    }

    /// What is odd about images and labels, once the source has run.
    fn remark(&mut self) {
        let left_out = self.source_labels.labels.iter().filter(|l| l.is_none()).count();
        let mut new = Vec::new();
        if left_out > 0 {
            new.push(format!("{left_out} of {} images cannot be read and are left out: nothing is known of them", self.images.len()));
        }
        let classes = self.source_labels.scores.iter().flatten().next().map(|s| s.len());
        new.extend(classes.and_then(|n| self.images.names_remark(n)));
        new.retain(|n| !self.notes.contains(n));
        self.notes.extend(new);
    }

    /// Why a strict runtime would not load the target as it is, where ours would go on.
    pub fn refusal(&self) -> Option<String> {
        refused(self.target.model()).into_iter().next().map(|(_, why)| why)
    }

    /// Runs the target on all images: below what changed, where values above it were kept.
    pub fn reevaluate(&mut self, watch: &dyn Watch) {
        // What a strict runtime refuses does not run.
        if let Some(why) = self.refusal() {
            self.target_labels = Evaluation::of(vec![None; self.images.len()], Some(why));
            return;
        }
        let all: Vec<usize> = (0..self.images.len()).collect();
        if let Some(found) = self.labels_below(&self.target, &self.target_feed, &all, "running the target", watch) {
            self.target_labels = found;
            return;
        }
        let (found, checkpoints) = self.target_as(&self.target, &self.target_feed, "running the target").run_keeping(watch);
        (self.checkpoints, self.target_labels) = (keeping(checkpoints, &found, watch), found);
    }

    /// Labels of an edited target from the last kept values above the edit on; `None` where there are none.
    fn labels_below(&self, network: &Network, feed: &Feed, wanted: &[usize], work: &'static str, watch: &dyn Watch) -> Option<Evaluation> {
        let (cut, below) = self.checkpoints.as_ref()?.below(network, feed)?;
        self.target_as(&below, feed, work).run_below(cut, wanted, watch)
    }

    /// Labels of some images with another network or feed in the target's place.
    fn labels_with(&self, network: &Arc<Network>, feed: &Feed, wanted: &[usize], work: &'static str, watch: &dyn Watch) -> Evaluation {
        let below = self.labels_below(network, feed, wanted, work, watch);
        below.unwrap_or_else(|| self.target_as(network, feed, work).run(wanted, watch))
    }

    fn target_as<'a>(&'a self, network: &'a Arc<Network>, feed: &'a Feed, work: &'static str) -> Labelling<'a> {
        Labelling { network, images: &self.images, feed, slot: self.comparison.target.slot, options: &self.options.run, work }
    }

    pub(super) fn offset(&self) -> i64 {
        self.comparison.offset()
    }

    /// Images whose labels differ at present.
    pub fn flips(&self) -> Vec<usize> {
        self.target_labels.flips(&self.source_labels, &self.comparison)
    }

    /// Images that agree at present, but for which rounding decides; none where the target computes as exactly as the source.
    pub fn uncertain(&self) -> Vec<usize> {
        let less = Precision::between(&self.source, &self.target) > Precision::of(&self.source);
        if less { self.target_labels.uncertain(&self.source_labels, &self.comparison) } else { Vec::new() }
    }

    /// Images that cannot be read, with the reason, once both models have run: nothing is known of them.
    pub fn left_out(&self) -> Vec<LeftOut> {
        let label = |of: &Evaluation, i: usize| of.labels.get(i).copied().flatten();
        let unknown = |i: &usize| {
            let runs = self.target_labels.failure.is_none();
            label(&self.source_labels, *i).is_none() || (runs && label(&self.target_labels, *i).is_none())
        };
        let why = |i: usize| {
            let why = self.images.inputs(i, &[&self.source_feed, &self.target_feed]).err()?;
            Some(LeftOut { image: self.images.items()[i].name.clone(), why: why.to_string() })
        };
        (0..self.images.len()).filter(unknown).filter_map(why).collect()
    }

    /// How many images can be compared.
    pub fn count(&self) -> usize {
        self.source_labels.count()
    }

    /// Whether an image only verifies.
    pub fn is_held_back(&self, index: usize) -> bool {
        let every = self.options.holdout;
        every > 0 && self.images.len() >= 50 && index % every == every - 1
    }

    pub(super) fn usable(&self, index: usize) -> bool {
        !self.is_held_back(index) && self.source_labels.labels.get(index).copied().flatten().is_some()
    }

    /// Finds what is at fault at present.
    ///
    /// # Errors
    /// As [`localize`].
    pub fn localize(&self, watch: &dyn Watch) -> Result<Findings, RepairError> {
        self.localize_as(&self.options.localize, watch)
    }

    /// Regions that could compute as exactly as the source's, the greatest loss first, each with its edit.
    ///
    /// # Errors
    /// As [`localize`].
    pub fn raises(&self, watch: &dyn Watch) -> Result<Vec<Raise>, RepairError> {
        let options = LocalizeOptions { raise: true, diagnose: false, splice: 0, ..self.options.localize.clone() };
        Ok(self.localize_as(&options, watch)?.raises)
    }

    fn localize_as(&self, options: &LocalizeOptions, watch: &dyn Watch) -> Result<Findings, RepairError> {
        let flips = self.flips();
        let subject = Subject {
            source: &self.source,
            target: &self.target,
            images: &self.images,
            source_feed: &self.source_feed,
            target_feed: &self.target_feed,
            agreeing: (0..self.images.len()).filter(|i| self.usable(*i) && !flips.contains(i)).collect(),
            flipped: flips.iter().copied().filter(|i| self.usable(*i)).collect(),
            compared: self.target_labels.failure.is_none(),
            unloadable: self.target_labels.failure.clone(),
            refused: refused(self.target.model()).into_iter().filter_map(|(node, why)| Some((node?, why))).collect(),
            outputs: (self.comparison.source.slot, self.comparison.target.slot),
            threads: self.options.run.threads_for(self.images.len()),
        };
        let mut findings = localize(&subject, options, watch)?;
        let kinship = self.kinship(&findings);
        findings.notes.extend(kinship.is_none().then(|| kinship.to_string()));
        Ok(findings)
    }

    /// How much of both networks is alike.
    pub(super) fn kinship(&self, findings: &Findings) -> Kinship {
        Kinship::of(self.source.model(), self.target.model(), findings)
    }

    /// What can be proposed, suspect by suspect, the best edit of each first.
    pub fn proposals(&self, findings: &Findings) -> Vec<Proposal> {
        let suspects = findings.suspects.iter().enumerate();
        suspects.flat_map(|(i, s)| s.remedies.iter().map(move |f| self.proposal(i, s.error, &f.remedy, f.after))).collect()
    }

    pub(super) fn proposal(&self, suspect: usize, before: f32, remedy: &Remedy, after: f32) -> Proposal {
        let now = self.target_feed.recipe.as_ref();
        let recipe = remedy.recipe.clone().zip(now).map(|(new, now)| {
            let keys = now.differing(&new);
            (new, keys)
        });
        let mut nodes: Vec<String> = Vec::new();
        for label in remedy.ops.iter().map(|id| self.target.label(*id).to_string()) {
            if !nodes.contains(&label) {
                nodes.push(label);
            }
        }
        Proposal {
            suspect,
            kind: remedy.kind,
            edit: remedy.edit.clone(),
            recipe,
            words: remedy.words.clone(),
            nodes,
            safe: remedy.safe,
            isolated: if after.is_nan() { (f32::NAN, f32::NAN) } else { (before, after) },
        }
    }

    /// The target and its feed as a proposal would leave them.
    ///
    /// # Errors
    /// When the edit does not fit the target as it is at present.
    pub fn with(&self, proposal: &Proposal) -> Result<(Arc<Network>, Feed), RepairError> {
        let unchanged = proposal.edit == Edit::All(Vec::new());
        let model = if unchanged { self.target.model().clone() } else { self.target.model().apply(&proposal.edit)?.0 };
        let network = if unchanged { self.target.clone() } else { Arc::new(self.target.edited(&model)?) };
        let mut recipe = self.target_feed.recipe.clone();
        take_over(&mut recipe, proposal);
        Ok((network, Feed::new(&model, recipe)))
    }

    /// What a proposal does to the labels of up to `most` flipped and as many agreeing images, held-back ones left out.
    ///
    /// # Errors
    /// As [`Job::with`].
    pub fn preview(&self, proposal: &Proposal, most: usize, watch: &dyn Watch) -> Result<Evidence, RepairError> {
        let (network, feed) = self.with(proposal)?;
        let flips = self.flips();
        let flipped: Vec<usize> = flips.iter().copied().filter(|i| self.usable(*i)).take(most).collect();
        let agreeing: Vec<usize> = (0..self.images.len()).filter(|i| self.usable(*i) && !flips.contains(i)).take(most).collect();
        let wanted: Vec<usize> = flipped.iter().chain(&agreeing).copied().collect();
        let found = self.labels_with(&network, &feed, &wanted, "trying the edit", watch);
        let now = found.flips(&self.source_labels, &self.comparison);
        let still = |of: &[usize]| of.iter().filter(|i| now.contains(i)).count();
        Ok(Evidence { flipped: (flipped.len(), still(&flipped)), agreeing: (agreeing.len(), still(&agreeing)) })
    }

    /// Applies a proposal and runs the target again.
    ///
    /// # Errors
    /// As [`Job::with`]; nothing is changed then.
    pub fn accept(&mut self, number: u32, proposal: Proposal, watch: &dyn Watch) -> Result<(), RepairError> {
        let before = self.flips().len();
        self.take(&proposal)?;
        self.reevaluate(watch);
        self.record(number, proposal, (before, self.flips().len()));
        Ok(())
    }

    /// Applies a proposal; nothing runs.
    pub(super) fn take(&mut self, proposal: &Proposal) -> Result<(), RepairError> {
        (self.target, self.target_feed) = self.with(proposal)?;
        Ok(())
    }

    /// Applies many proposals, leaving out those that do not fit any more; gives those that were made. Nothing runs.
    pub(super) fn take_all(&mut self, proposals: &[Proposal]) -> Vec<Proposal> {
        let (model, fits) = self.target.model().apply_fitting(proposals.iter().map(|p| &p.edit));
        let made = proposals.iter().zip(fits).filter(|(_, fits)| *fits).map(|(p, _)| p.clone()).collect();
        match self.target.edited(&model) {
            Ok(network) => {
                self.target_feed = Feed::new(&model, self.target_feed.recipe.clone());
                self.target = Arc::new(network);
                made
            }
            Err(_) => Vec::new(),
        }
    }

    /// Labels of these images at present, run alone.
    pub(super) fn labels_of(&self, images: &[usize], watch: &dyn Watch) -> Evaluation {
        self.labels_with(&self.target, &self.target_feed, images, "trying the edits", watch)
    }

    /// How many of these images flip at present, run alone.
    pub(super) fn flips_of(&self, images: &[usize], watch: &dyn Watch) -> usize {
        let found = self.labels_of(images, watch);
        let flips = found.flips(&self.source_labels, &self.comparison);
        images.iter().filter(|i| flips.contains(i)).count()
    }

    /// Whether the target gives two images at once what it gives each alone; `None` where it does not say that it takes several.
    pub(super) fn takes_several(&self) -> Option<bool> {
        takes_several(&self.target, &self.target_feed, self.comparison.target.slot, &self.images)
    }

    /// How far the target gets.
    pub(super) fn reach(&self) -> Reach {
        Reach::of(&self.target, &self.target_feed, &self.images, 0..self.images.len())
    }

    /// Keeps an applied proposal in the list of those accepted, with flips before and after.
    pub(super) fn record(&mut self, number: u32, proposal: Proposal, flips: (usize, usize)) {
        self.accepted.push(Accepted { number, proposal, undone: false, flips });
    }

    /// The target's recipe at present, as a case file has it.
    pub(super) fn recipe_text(&self) -> Option<String> {
        self.target_feed.recipe.as_ref().map(Recipe::to_toml)
    }

    /// How far the target's scores are from the source's: mean relative L2 error over the images.
    pub fn score_error(&self) -> Option<f32> {
        self.target_labels.score_error(&self.source_labels)
    }

    /// The target and its feed with an accepted edit taken back, or put in again.
    ///
    /// # Errors
    /// When a later edit does not fit without this one.
    pub fn without(&self, index: usize, undone: bool) -> Result<(Arc<Network>, Feed), RepairError> {
        self.standing_with(|i, accepted| if i == index { !undone } else { !accepted.undone })
    }

    /// Takes accepted edits back; nothing runs.
    pub(super) fn leave_out(&mut self, indices: &[usize]) -> Result<(), RepairError> {
        (self.target, self.target_feed) = self.standing_with(|i, accepted| !accepted.undone && !indices.contains(&i))?;
        for index in indices {
            if let Some(accepted) = self.accepted.get_mut(*index) {
                accepted.undone = true;
            }
        }
        Ok(())
    }

    /// The target and its feed made anew from the original and those accepted edits that `stands` says.
    fn standing_with(&self, stands: impl Fn(usize, &Accepted) -> bool) -> Result<(Arc<Network>, Feed), RepairError> {
        let mut recipe = self.original_feed.recipe.clone();
        let standing: Vec<&Accepted> = self.accepted.iter().enumerate().filter(|(i, a)| stands(*i, a)).map(|(_, a)| a).collect();
        standing.iter().for_each(|a| take_over(&mut recipe, &a.proposal));
        let edits = standing.into_iter().map(|a| a.proposal.edit.clone()).collect();
        let model = self.original.apply(&Edit::All(edits))?.0;
        Ok((Arc::new(self.target.edited(&model)?), Feed::new(&model, recipe)))
    }

    /// The target as it is to be written: its file with the edits that stand.
    ///
    /// # Errors
    /// When an edit does not fit; none that was accepted does.
    pub fn to_write(&self) -> Result<Model, ModelError> {
        let edits: Vec<Edit> = self.standing().map(|a| a.proposal.edit.clone()).collect();
        if edits.is_empty() { Ok(self.target.came().clone()) } else { self.target.came().edited(&Edit::All(edits)) }
    }

    /// Edits that stand.
    pub fn standing(&self) -> impl Iterator<Item = &Accepted> {
        self.accepted.iter().filter(|a| !a.undone)
    }
}

/// Takes the keys that a proposal changes over into a recipe.
pub(super) fn take_over(recipe: &mut Option<Recipe>, proposal: &Proposal) {
    if let (Some(mine), Some((new, keys))) = (recipe.as_mut(), &proposal.recipe) {
        mine.take(new, keys);
    }
}

/// Values that a whole evaluation left to go on from.
fn keeping(kept: Option<Checkpoints>, found: &Evaluation, watch: &dyn Watch) -> Option<Arc<Checkpoints>> {
    kept.filter(|_| found.failure.is_none() && !watch.cancelled()).map(Arc::new)
}
