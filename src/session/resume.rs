//! Going on with a session that ended before it was closed: its log says which edits were made.

use super::engine::{Core, News};
use super::mending::Offer;
use super::offer;
use super::saving::{beside, person};
use super::snapshot::{Standing, Tone};
use super::worker::Work;
use crate::audit::{Chain, Change, Event, Log, Recorder};
use crate::dataset::{Feed, Recipe};
use crate::localize::{Category, Kind};
use crate::model::Edit;
use crate::repair::{Accepted, Job, Proposal};
use crate::run::Network;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A session as its log tells it, ready to be gone on with.
pub(super) struct Resumed {
    recorder: Recorder,
    edits: Vec<(u32, Proposal)>,
    changed: (Arc<Network>, Feed),
    cut_off: usize,
}

/// The last log beside a target whose session was not closed and left edits that are in no file.
pub(super) fn unfinished(target: &Path) -> Option<(PathBuf, usize)> {
    let paths = (1..100).map(|n| beside(target, "fixcon.jsonl", n)).take_while(|p| p.exists());
    let path = paths.last()?;
    let (records, state) = Chain::read(&path).ok()?.trusted().ok()?;
    let open = !matches!(records.last().map(|r| &r.event), Some(Event::Closed(_)));
    (open && !state.edits.is_empty() && state.is_unsaved()).then_some((path, state.edits.len()))
}

impl Core {
    /// Goes on with a session from its log.
    pub fn resume(&mut self, path: &Path) {
        if self.is_deciding() {
            return;
        }
        let Some(job) = self.open.as_ref().and_then(|o| o.job.clone()).filter(|j| !j.source_labels.labels.is_empty()) else {
            return self.fail("a session can be resumed once all images were compared");
        };
        let path = path.to_path_buf();
        self.start(Work::ReadingLog, move |to| match read(&job, &path) {
            Ok(resumed) => to.tell(News::Resumed(Box::new(resumed))),
            Err(why) => to.tell(News::Failed(format!("not resumed: {why}"))),
        });
    }

    /// The edits of the log are made.
    pub fn resumed(&mut self, resumed: Resumed) {
        self.stop_task();
        let Resumed { recorder, edits, changed, cut_off } = resumed;
        let Some(open) = &mut self.open else { return };
        let Some(job) = &mut open.job else { return };
        let before = job.flips().len();
        for (number, proposal) in &edits {
            let id = open.mending.offers.len();
            let shown = offer::describe(id, proposal, None, None, job);
            let mut offer = Offer::new(id, proposal.clone(), shown);
            offer.current = false;
            offer.standing = Standing::Accepted;
            offer.number = Some(*number);
            offer.accepted = Some(job.accepted.len());
            open.mending.offers.push(offer);
            open.mending.history.push(id);
            job.accepted.push(Accepted { number: *number, proposal: proposal.clone(), undone: false, flips: (before, before) });
        }
        (job.target, job.target_feed) = changed;
        open.mending.stale = true;
        self.snap.audit_log = Some(recorder.log().path().to_path_buf());
        open.mending.recorder = Some(recorder);
        self.snap.resumable = None;
        self.snap.unsaved = true;
        // What was found was found in the target as it was.
        self.snap.findings = None;
        open.mending.offers.iter_mut().for_each(|o| o.current = false);
        if cut_off > 0 {
            self.log(Tone::Warning, format!("{cut_off} bytes of a half-written record were cut off the log"));
        }
        self.log(
            Tone::Good,
            format!("resumed: {} accepted {} made again", edits.len(), if edits.len() == 1 { "repair was" } else { "repairs were" }),
        );
        self.offer_all();
        self.lay_out();
        self.evaluate();
    }
}

/// Checks the log, and makes its edits in the original target.
fn read(job: &Job, path: &Path) -> Result<Resumed, String> {
    let resumed = Log::resume(path).map_err(|e| e.to_string())?;
    let (log, cut_off) = (resumed.log, resumed.cut_off);
    let digest = crate::audit::ModelDigest::of(path, job.target.came()).map_err(|e| e.to_string())?;
    if let Some(how) = log.state().opened.target.differs(&digest) {
        return Err(format!("the log is about another target: {how}"));
    }
    let mut model = job.original.clone();
    let mut recipe = job.original_feed.recipe.clone();
    let mut edits = Vec::new();
    for edited in &log.state().edits {
        let applied = &edited.applied;
        let mut parts = Vec::new();
        let mut keys: Option<(Recipe, Vec<crate::dataset::RecipeKey>)> = None;
        for change in &applied.changes {
            if let Some(edit) = log.model_edit(change).map_err(|e| e.to_string())? {
                model = model.apply(&edit).map_err(|e| e.to_string())?.0;
                parts.push(edit);
            }
            if let (Change::Recipe(change), Some(now)) = (change, &recipe) {
                let new = Recipe::from_toml(&change.apply(&now.to_toml())?).map_err(|e| e.to_string())?;
                let names = now.differing(&new);
                recipe = Some(new.clone());
                keys = Some((new, names));
            }
        }
        let proposed = log.state().proposals.get(&applied.proposal).map(|(p, _)| p);
        let kind = proposed.and_then(|p| p.fault).map(|k| k.0).or_else(|| likely(proposed?.category.0)).unwrap_or(Kind::LhAct);
        let edit = if parts.len() == 1 { parts.remove(0) } else { Edit::All(parts) };
        let isolated = proposed.and_then(|p| p.evidence.error).map_or((f32::NAN, f32::NAN), |(a, b)| (a.0, b.0));
        let safe = proposed.is_none_or(|p| p.safe);
        edits.push((
            applied.proposal,
            Proposal { suspect: 0, kind, edit, recipe: keys, words: applied.words.clone(), nodes: Vec::new(), safe, isolated },
        ));
    }
    let network = job.target.edited(&model).map(Arc::new).map_err(|e| e.to_string())?;
    let feed = Feed::new(&model, recipe);
    Ok(Resumed { recorder: Recorder::resumed(log, person()), edits, changed: (network, feed), cut_off })
}

/// A kind of the category.
fn likely(category: Category) -> Option<Kind> {
    Kind::ALL.iter().copied().find(|k| k.category() == category)
}
