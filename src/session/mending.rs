//! From suspects to decisions: looking, trying, accepting, rejecting, taking back, saving.

use super::engine::{Core, News, Open};
use super::snapshot::{Decision as Shown, Standing, Tone};
use super::{offer, own};
use crate::audit::{AuditError, By, Recorder};
use crate::dataset::{Feed, Recipe};
use crate::localize::{Findings, Outcome};
use crate::model::{Existing, harmless};
use crate::repair::{Accepted, Decision, Evidence, Job, Journal, Proposal};
use crate::run::{Network, Watch};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Images of either kind that a proposal is tried on.
const TRIED: usize = 16;

/// A proposal with what has become of it.
pub(super) struct Offer {
    pub id: usize,
    pub proposal: Proposal,
    pub evidence: Option<Evidence>,
    pub standing: Standing,
    /// Its number in the log, once it is there.
    pub number: Option<u32>,
    /// Its place among the accepted edits, once it is there.
    pub accepted: Option<usize>,
    /// Whether it belongs to what was found last.
    pub current: bool,
    /// As it was shown when it was decided on.
    pub shown: super::snapshot::Proposal,
}

impl Offer {
    pub fn new(id: usize, proposal: Proposal, shown: super::snapshot::Proposal) -> Self {
        Self { id, proposal, evidence: None, standing: Standing::Open, number: None, accepted: None, current: true, shown }
    }
}

/// What was found and decided.
#[derive(Default)]
pub(super) struct Mending {
    /// The target in which faults were looked for last.
    pub looked_at: Option<Arc<Network>>,
    pub offers: Vec<Offer>,
    /// Decisions, the last one last: offers by id.
    pub history: Vec<usize>,
    /// Decisions that were taken back, with what they were.
    future: Vec<(usize, Standing)>,
    pub recorder: Option<Recorder>,
    /// Whether edits were made or taken back since faults were looked for.
    pub stale: bool,
}

/// A target with its feed, ready to take the old one's place.
type Changed = (Arc<Network>, Feed);

/// A decision that is ready to be kept.
pub(super) struct Decided {
    id: usize,
    decision: Decision,
    note: String,
    /// The log, when it was begun for this.
    recorder: Option<Recorder>,
    changed: Option<Changed>,
}

/// An accepted edit that is ready to be taken back, or made again.
pub(super) struct Turned {
    id: usize,
    undone: bool,
    changed: Changed,
}

impl Open {
    fn offer(&mut self, id: usize) -> Option<&mut Offer> {
        self.mending.offers.iter_mut().find(|o| o.id == id)
    }
}

impl Core {
    /// Looks for the regions that introduce errors.
    pub fn look(&mut self) {
        let Some(job) = self.open.as_ref().and_then(|o| o.job.clone()) else {
            return self.fail("faults can be looked for once both models are loaded");
        };
        self.start("looking for faults", move |to| match job.localize(to) {
            Ok(findings) => {
                let proposals = job.proposals(&findings);
                to.tell(News::Found(Box::new(findings), proposals));
            }
            Err(why) => {
                if !to.cancelled() {
                    to.tell(News::Failed(why.to_string()));
                }
            }
        });
    }

    /// Faults were looked for.
    pub fn found(&mut self, findings: Findings, proposals: Vec<Proposal>) {
        self.stop_task();
        let Some(open) = &mut self.open else { return };
        let Some(job) = &open.job else { return };
        let mending = &mut open.mending;
        mending.looked_at = Some(job.target.clone());
        mending.stale = false;
        mending.offers.iter_mut().for_each(|o| o.current = false);
        let mut recorded = Ok(());
        if let Some(recorder) = &mut mending.recorder {
            recorded = recorder.found(job, &findings);
        }
        let mut seen: Vec<(usize, crate::model::Edit, bool)> = Vec::new();
        for proposal in proposals {
            // Two kinds may lead to one edit: it is asked about once.
            let what = (proposal.suspect, proposal.edit.clone(), proposal.recipe.is_some());
            if proposal.recipe.is_none() && seen.contains(&what) {
                continue;
            }
            seen.push(what);
            let id = mending.offers.len();
            let shown = offer::describe(id, &proposal, findings.suspects.get(proposal.suspect), None, job);
            mending.offers.push(Offer::new(id, proposal, shown));
        }
        let (tone, text) = match (findings.outcome, findings.suspects.len()) {
            (Outcome::Clean, _) => (Tone::Good, "no region stands above the floor".to_string()),
            (_, n) => (Tone::Warning, format!("{n} {}", if n == 1 { "suspect" } else { "suspects" })),
        };
        self.log(tone, text);
        for suspect in &findings.suspects {
            let kind = suspect.kind.map_or(suspect.category.id(), |k| k.id());
            self.log(Tone::Plain, format!("{kind}: {}", suspect.words));
        }
        for note in &findings.notes {
            self.log(Tone::Plain, note.clone());
        }
        if let Err(why) = recorded {
            self.fail(why);
        }
        self.snap.findings = Some(Arc::new(findings));
        self.lay_out();
        self.offer_all();
        self.try_all();
    }

    /// Shows what can be decided on, and what was.
    pub fn offer_all(&mut self) {
        let Some(open) = &self.open else { return };
        let mending = &open.mending;
        let show = |o: &Offer| super::snapshot::Proposal { standing: o.standing.clone(), ..o.shown.clone() };
        self.snap.proposals = Arc::new(mending.offers.iter().filter(|o| o.current).map(show).collect());
        let decision = |id: &usize| {
            let o = mending.offers.iter().find(|o| o.id == *id)?;
            let flips = o.accepted.and_then(|at| Some(open.job.as_ref()?.accepted.get(at)?.flips));
            Some(Shown { proposal: show(o), flips })
        };
        self.snap.decided = Arc::new(mending.history.iter().filter_map(decision).collect());
        self.snap.can_undo = !mending.history.is_empty();
        self.snap.can_redo = !mending.future.is_empty();
    }

    /// Tries what is open on some images, the first proposal of each suspect first.
    fn try_all(&mut self) {
        let Some(open) = &self.open else { return };
        let Some(job) = open.job.clone() else { return };
        let waits =
            |o: &&Offer| o.current && o.evidence.is_none() && matches!(o.standing, Standing::Open | Standing::Undone | Standing::Skipped);
        let mut waiting: Vec<(usize, Proposal)> = open.mending.offers.iter().filter(waits).map(|o| (o.id, o.proposal.clone())).collect();
        let mut seen: Vec<usize> = Vec::new();
        waiting.sort_by_cached_key(|(id, p)| {
            let again = seen.contains(&p.suspect);
            seen.push(p.suspect);
            (again, *id)
        });
        if waiting.is_empty() || job.source_labels.labels.is_empty() {
            return;
        }
        self.start("trying the repairs", move |to| {
            for (id, proposal) in waiting {
                let evidence = job.preview(&proposal, TRIED, to).map_err(|e| e.to_string());
                if to.cancelled() {
                    return;
                }
                to.tell(News::Tried(id, evidence));
            }
            to.tell(News::TriedAll);
        });
    }

    /// A proposal was tried.
    pub fn tried(&mut self, id: usize, evidence: Result<Evidence, String>) {
        let findings = self.snap.findings.clone();
        let Some(open) = &mut self.open else { return };
        let Some(job) = open.job.take() else { return };
        if let (Some(offer), Ok(evidence)) = (open.offer(id), evidence) {
            offer.evidence = Some(evidence);
            let suspect = findings.as_ref().and_then(|f| f.suspects.get(offer.proposal.suspect)).filter(|_| offer.shown.row.is_none());
            let row = offer.shown.row;
            offer.shown = offer::describe(id, &offer.proposal, suspect, Some(evidence), &job);
            offer.shown.row = row;
        }
        open.job = Some(job);
        self.offer_all();
    }

    /// Tries one proposal on all images.
    pub fn try_on_all(&mut self, id: usize) {
        if self.is_deciding() {
            return;
        }
        let Some(open) = &mut self.open else { return };
        let Some(job) = open.job.clone() else { return };
        let Some(proposal) = open.offer(id).map(|o| o.proposal.clone()) else { return };
        self.start("trying the repair on all images", move |to| {
            let evidence = job.preview(&proposal, usize::MAX, to).map_err(|e| e.to_string());
            if !to.cancelled() {
                to.tell(News::Tried(id, evidence));
                to.tell(News::TriedAll);
            }
        });
    }

    /// Proposes the same with another value.
    pub fn change(&mut self, id: usize, text: &str) {
        let Some(open) = &mut self.open else { return };
        let Some(offer) = open.offer(id) else { return };
        let row = offer.shown.row;
        let made = own::changed(&offer.proposal, text);
        self.propose(made, row);
    }

    /// Proposes an edit of a row's node: the attribute that is written, or all that the source has.
    pub fn write(&mut self, row: usize, text: Option<&str>) {
        let (Some(open), Some(sheet)) = (&self.open, &self.snap.sheet) else { return };
        let (Some(job), Some(found)) = (&open.job, sheet.rows.get(row)) else { return };
        let suspects = self.snap.findings.as_ref().map_or(&[][..], |f| &f.suspects);
        // Rows of no suspect have places of their own behind the suspects.
        let suspect = suspects.iter().position(|s| s.region.is_some() && s.region == found.region).unwrap_or(suspects.len() + row);
        let made = match text {
            Some(text) => own::written(job, sheet, found, suspect, text),
            None => own::taken(job, sheet, found, suspect),
        };
        self.propose(made, Some(row));
    }

    /// Puts a proposal that a person made among the others and tries it.
    fn propose(&mut self, made: Result<Proposal, String>, row: Option<usize>) {
        let proposal = match made {
            Ok(proposal) => proposal,
            Err(why) => return self.fail(why),
        };
        let Some(open) = &mut self.open else { return };
        let Some(job) = &open.job else { return };
        if let Err(why) = job.with(&proposal) {
            return self.fail(why.to_string());
        }
        let id = open.mending.offers.len();
        let mut shown = offer::describe(id, &proposal, None, None, job);
        shown.row = row;
        let title = shown.title.clone();
        open.mending.offers.push(Offer::new(id, proposal, shown));
        self.log(Tone::Plain, format!("proposed by hand: {title}"));
        self.offer_all();
        if !self.is_deciding() {
            self.try_all();
        }
    }

    /// Says of two values that they are a pair, or none, and looks again.
    pub fn pair_up(&mut self, source: usize, target: usize, pair: bool) {
        let (Some(open), Some(sheet)) = (&mut self.open, &self.snap.sheet) else { return };
        let Some(job) = &mut open.job else { return };
        let name = |network: &Option<Arc<Network>>, cell: Option<&super::sheet::Cell>| {
            Some(network.as_ref()?.model().index().name(*cell?.makes.last()?).to_string())
        };
        let mine = name(&sheet.target, sheet.rows.get(target).and_then(|r| r.target.as_ref()));
        let theirs = name(&sheet.source, sheet.rows.get(source).and_then(|r| r.source.as_ref()));
        let (Some(mine), Some(theirs)) = (mine, theirs) else {
            return self.fail("nothing flows out of one of the two sides there");
        };
        let hints = &mut job.options.localize.hints;
        if pair {
            hints.forbidden.retain(|f| *f != (mine.clone(), theirs.clone()));
            hints.pins.insert(mine.clone(), theirs.clone());
        } else {
            hints.pins.remove(&mine);
            hints.forbidden.push((mine.clone(), theirs.clone()));
        }
        let what = if pair { "pinned" } else { "forbidden" };
        self.log(Tone::Plain, format!("pair {what}: {theirs} (source), {mine} (target)"));
        self.look();
    }

    /// Decides on a proposal: what takes time is done aside, then [`Core::decided`] keeps it.
    pub fn decide(&mut self, id: usize, decision: Decision, note: String) {
        if self.is_deciding() {
            return;
        }
        let Some(open) = &mut self.open else { return };
        let (Some(job), file) = (open.job.clone(), open.file.clone()) else { return };
        let needs_log = open.mending.recorder.is_none();
        let findings = self.snap.findings.clone();
        let Some(offer) = open.offer(id) else { return self.fail("there is no such proposal any more") };
        if offer.standing == Standing::Accepted {
            return self.fail("it is accepted already; take it back first");
        }
        let proposal = offer.proposal.clone();
        let work = match decision {
            Decision::Accept => "applying the repair",
            Decision::Reject | Decision::Skip => "writing the log",
        };
        self.start(work, move |to| {
            let changed = match decision {
                Decision::Accept => match job.with(&proposal) {
                    Ok(changed) => Some(changed),
                    Err(why) => return to.tell(News::Failed(format!("not accepted: {why}"))),
                },
                Decision::Reject | Decision::Skip => None,
            };
            let recorder = match needs_log.then(|| begin_log(&job, file.as_deref(), findings.as_deref())).transpose() {
                Ok(recorder) => recorder,
                Err(why) => return to.tell(News::Failed(format!("nothing was done, as the audit log cannot be written: {why}"))),
            };
            to.tell(News::Decided(Box::new(Decided { id, decision, note, recorder, changed })));
        });
    }

    /// Keeps a decision: first in the log, then in the model, then on the screen.
    pub fn decided(&mut self, decided: Decided) {
        self.stop_task();
        let Decided { id, decision, note, recorder, changed } = decided;
        let Some(open) = &mut self.open else { return };
        if open.mending.recorder.is_none() {
            self.snap.audit_log = recorder.as_ref().map(|r| r.log().path().to_path_buf());
            open.mending.recorder = recorder;
        }
        let before = open.differs[1].iter().filter(|d| **d).count();
        let Some(mut job) = open.job.take() else { return };
        let kept = keep(open, &mut job, id, decision, &note, changed, before);
        open.job = Some(job);
        match kept {
            Err(why) => self.fail(format!("nothing was done, as the audit log cannot be written: {why}")),
            Ok(title) => {
                self.offer_all();
                match decision {
                    Decision::Accept => {
                        self.snap.unsaved = true;
                        self.log(Tone::Good, format!("accepted, synced: {title}"));
                        self.lay_out();
                        self.evaluate();
                    }
                    Decision::Reject if note.is_empty() => self.log(Tone::Plain, format!("rejected: {title}")),
                    Decision::Reject => self.log(Tone::Plain, format!("rejected: {title} ({note})")),
                    Decision::Skip => self.log(Tone::Plain, format!("put off: {title}")),
                }
                if decision != Decision::Accept {
                    self.try_all();
                }
            }
        }
    }

    /// What comes after all images were run: the next suspect, another look, or the end.
    pub fn after_evaluation(&mut self, first_time: bool) {
        let Some(open) = &mut self.open else { return };
        let Some(job) = &open.job else { return };
        let left = job.flips().len();
        let mending = &mut open.mending;
        let recorded = mending.recorder.as_mut().map_or(Ok(()), |r| r.evaluated(job));
        // Evidence was about the target as it was.
        mending.offers.iter_mut().filter(|o| o.standing != Standing::Accepted).for_each(|o| o.evidence = None);
        let mut suspects: Vec<usize> = mending.offers.iter().filter(|o| o.current).map(|o| o.proposal.suspect).collect();
        suspects.dedup();
        let waits = |s: &usize| {
            mending
                .offers
                .iter()
                .filter(|o| o.current && o.proposal.suspect == *s)
                .all(|o| matches!(o.standing, Standing::Open | Standing::Undone))
        };
        let waiting = suspects.iter().any(waits);
        let again = first_time || self.snap.findings.is_none() || (left > 0 && !waiting && mending.stale);
        self.offer_all();
        if let Err(why) = recorded {
            self.fail(why);
        }
        if again {
            self.look();
        } else if left > 0 {
            self.try_all();
        }
    }

    /// Takes a decision back: the last one, or the one on this proposal.
    pub fn undo(&mut self, id: Option<usize>) {
        if self.is_deciding() {
            return;
        }
        let Some(open) = &mut self.open else { return };
        let history = &mut open.mending.history;
        let at = match id {
            Some(id) => history.iter().rposition(|h| *h == id),
            None => history.len().checked_sub(1),
        };
        let Some(id) = at.map(|at| history[at]) else { return self.fail("nothing was decided on it") };
        let Some(offer) = open.offer(id) else { return };
        match (offer.standing.clone(), offer.accepted) {
            (Standing::Accepted, Some(index)) => self.turn(id, index, true),
            (standing, _) => {
                offer.standing = Standing::Open;
                let (title, number) = (offer.shown.title.clone(), offer.number);
                if let (Some(number), Some(recorder)) = (number, &mut open.mending.recorder)
                    && let Err(why) = recorder.decided(number, Decision::Skip, "the decision was taken back")
                {
                    return self.fail(why);
                }
                open.mending.history.retain(|h| *h != id);
                open.mending.future.push((id, standing));
                self.log(Tone::Plain, format!("taken back: {title}"));
                self.offer_all();
            }
        }
    }

    /// Does again what was taken back last.
    pub fn redo(&mut self) {
        if self.is_deciding() {
            return;
        }
        let Some(open) = &mut self.open else { return };
        let Some((id, standing)) = open.mending.future.last().cloned() else { return self.fail("nothing was taken back") };
        let Some(offer) = open.offer(id) else { return };
        match (standing, offer.accepted) {
            (Standing::Accepted, Some(index)) => self.turn(id, index, false),
            (Standing::Rejected(note), _) => {
                open.mending.future.pop();
                self.decide(id, Decision::Reject, note);
            }
            (_, _) => {
                open.mending.future.pop();
                self.decide(id, Decision::Skip, String::new());
            }
        }
    }

    fn turn(&mut self, id: usize, index: usize, undone: bool) {
        let Some(job) = self.open.as_ref().and_then(|o| o.job.clone()) else { return };
        let work = if undone { "taking the repair back" } else { "applying the repair" };
        self.start(work, move |to| match job.without(index, undone) {
            Ok(changed) => to.tell(News::Turned(Box::new(Turned { id, undone, changed }))),
            Err(why) => to.tell(News::Failed(format!("not possible: {why}"))),
        });
    }

    /// An accepted edit is taken back, or made again: first in the log, then in the model.
    pub fn turned(&mut self, turned: Turned) {
        self.stop_task();
        let Turned { id, undone, changed } = turned;
        let Some(open) = &mut self.open else { return };
        let Some(mut job) = open.job.take() else { return };
        let kept = keep_turn(open, &mut job, id, undone, changed);
        open.job = Some(job);
        match kept {
            Err(why) => self.fail(format!("nothing was done, as the audit log cannot be written: {why}")),
            Ok(title) => {
                let any = self.open.as_ref().and_then(|o| o.job.as_ref()).is_some_and(|j| j.standing().next().is_some());
                self.snap.unsaved = any || self.snap.saved.is_some();
                self.log(Tone::Plain, format!("{}, synced: {title}", if undone { "taken back" } else { "accepted again" }));
                self.offer_all();
                self.lay_out();
                self.evaluate();
            }
        }
    }

    /// Writes the repaired model and, when it changed, the recipe.
    pub fn save(&mut self, path: Option<PathBuf>) {
        self.snap.work = Some(super::snapshot::Work { name: "saving", done: 0, of: 0, left: None });
        self.show();
        self.snap.work = None;
        let Some(open) = &mut self.open else { return };
        let (Some(job), Some(recorder)) = (&open.job, &mut open.mending.recorder) else {
            return self.fail("there is nothing to save: no repair was accepted");
        };
        match write(job, recorder, path) {
            Err(why) => self.fail(format!("not saved: {why}")),
            Ok((model, sha256, recipe)) => {
                self.snap.unsaved = false;
                self.log(Tone::Good, format!("saved as {}, SHA-256 {}…", model.display(), &sha256[..12.min(sha256.len())]));
                if let Some(recipe) = recipe {
                    self.log(Tone::Good, format!("its recipe: {}", recipe.display()));
                }
                self.snap.saved = Some(model);
            }
        }
        // A task that goes on is shown again with its next progress.
        self.dirty = true;
    }

    /// Ends the log.
    pub fn close(&mut self) {
        let Some(open) = &mut self.open else { return };
        let left = open.job.as_ref().map(|j| j.flips().len());
        if let Some(recorder) = &mut open.mending.recorder {
            // Whoever leaves can do nothing about it; what was decided is in the log.
            let _ = recorder.close(left);
        }
    }
}

fn recipe_of(feed: &Feed) -> Option<String> {
    feed.recipe.as_ref().map(Recipe::to_toml)
}

/// Keeps a decision in the log, and then in the job. The proposal's title.
fn keep(
    open: &mut Open,
    job: &mut Job,
    id: usize,
    decision: Decision,
    note: &str,
    changed: Option<Changed>,
    before: usize,
) -> Result<String, String> {
    let mending = &mut open.mending;
    let recorder = mending.recorder.as_mut().ok_or("it was not begun")?;
    let offer = mending.offers.iter_mut().find(|o| o.id == id).ok_or("there is no such proposal any more")?;
    let number = match offer.number {
        Some(number) => number,
        None => recorder.proposed(job, &offer.proposal, offer.evidence)?,
    };
    offer.number = Some(number);
    recorder.decided(number, decision, note)?;
    offer.standing = match decision {
        Decision::Accept => Standing::Accepted,
        Decision::Reject => Standing::Rejected(harmless(note).into_owned()),
        Decision::Skip => Standing::Skipped,
    };
    if let Some((target, feed)) = changed {
        let (old, new) = (recipe_of(&job.target_feed), recipe_of(&feed));
        recorder.applied(number, &offer.proposal, old.as_deref(), new.as_deref())?;
        (job.target, job.target_feed) = (target, feed);
        offer.accepted = Some(job.accepted.len());
        job.accepted.push(Accepted { number, proposal: offer.proposal.clone(), undone: false, flips: (before, before) });
        mending.stale = true;
    }
    let title = offer.shown.title.clone();
    mending.history.retain(|h| *h != id);
    mending.history.push(id);
    mending.future.clear();
    Ok(title)
}

fn keep_turn(open: &mut Open, job: &mut Job, id: usize, undone: bool, (target, feed): Changed) -> Result<String, String> {
    let mending = &mut open.mending;
    let recorder = mending.recorder.as_mut().ok_or("it was not begun")?;
    let offer = mending.offers.iter_mut().find(|o| o.id == id).ok_or("there is no such proposal any more")?;
    let (Some(number), Some(at)) = (offer.number, offer.accepted) else { return Err("it was never accepted".into()) };
    if undone {
        recorder.undone(number)?;
    } else {
        let (old, new) = (recipe_of(&job.target_feed), recipe_of(&feed));
        recorder.applied(number, &offer.proposal, old.as_deref(), new.as_deref())?;
    }
    (job.target, job.target_feed) = (target, feed);
    if let Some(accepted) = job.accepted.get_mut(at) {
        accepted.undone = undone;
    }
    mending.history.retain(|h| *h != id);
    if undone {
        mending.future.push((id, Standing::Accepted));
        offer.standing = Standing::Undone;
    } else {
        mending.future.retain(|(f, _)| *f != id);
        mending.history.push(id);
        offer.standing = Standing::Accepted;
    }
    mending.stale = true;
    Ok(offer.shown.title.clone())
}

/// Begins the log beside the target, under a name that is free, with what was found so far.
fn begin_log(job: &Job, case: Option<&Path>, findings: Option<&Findings>) -> Result<Recorder, String> {
    let name = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "unknown".into());
    let mut last = String::new();
    for n in 1..100 {
        let path = beside(&job.case.target, "fixcon.jsonl", n);
        match Recorder::create(&path, job, case, By::Person(name.clone()), Existing::Refuse) {
            Ok(mut recorder) => {
                recorder.evaluated(job)?;
                if let Some(findings) = findings {
                    recorder.found(job, findings)?;
                }
                return Ok(recorder);
            }
            Err(why @ AuditError::Exists { .. }) => last = why.to_string(),
            Err(why) => return Err(why.to_string()),
        }
    }
    Err(last)
}

/// `target.WORD`, `target-2.WORD`, ... beside the target.
pub(super) fn beside(target: &Path, word: &str, n: usize) -> PathBuf {
    let stem = target.file_stem().unwrap_or(target.as_os_str()).to_string_lossy();
    target.with_file_name(if n == 1 { format!("{stem}.{word}") } else { format!("{stem}-{n}.{word}") })
}

/// Writes model and recipe; gives their paths and the model's SHA-256.
fn write(job: &Job, recorder: &mut Recorder, path: Option<PathBuf>) -> Result<(PathBuf, String, Option<PathBuf>), String> {
    let path = match path {
        Some(path) => path,
        None => (1..1000)
            .map(|n| beside(&job.case.target, "repaired.onnx", n))
            .find(|p| !p.exists())
            .ok_or("a thousand repaired models are there already")?,
    };
    let saved = recorder.save(job, &path, Existing::Refuse).map_err(|e| e.to_string())?;
    let changed = job.target_feed.recipe != job.original_feed.recipe;
    let recipe = match &job.target_feed.recipe {
        Some(recipe) if changed => {
            let file = path.with_extension("recipe.toml");
            write_whole(&file, &format!("[preprocess]\n{}", recipe.to_toml())).map_err(|e| format!("{}: {e}", file.display()))?;
            Some(file)
        }
        _ => None,
    };
    Ok((path, saved.model.sha256, recipe))
}

/// Writes a file so that it is there whole or not at all.
fn write_whole(path: &Path, content: &str) -> std::io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|e| e.error)
}
