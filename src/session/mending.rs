//! Decisions: accepting, rejecting, putting off, and what follows from it.

use super::engine::{Core, News, Open};
use super::fit;
use super::saving::begin_log;
use super::snapshot::{Standing, Tone};
use super::worker::Work;
use crate::audit::Recorder;
use crate::dataset::{Feed, Recipe};
use crate::model::harmless;
use crate::repair::{Accepted, Decision, Evidence, Job, Journal, Proposal};
use crate::run::Network;
use std::sync::Arc;

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
    pub future: Vec<(usize, Standing)>,
    pub recorder: Option<Recorder>,
    /// Numbers of the edits that stood when faults were looked for last.
    pub looked_with: Vec<u32>,
    /// Whether edits were made or taken back since faults were looked for.
    pub stale: bool,
}

/// A target with its feed, ready to take the old one's place.
pub(super) type Changed = (Arc<Network>, Feed);

/// A decision that is ready to be kept.
pub(super) struct Decided {
    id: usize,
    decision: Decision,
    note: String,
    /// As it fits the target at present.
    proposal: Proposal,
    /// The log, when it was begun for this.
    recorder: Option<Recorder>,
    changed: Option<Changed>,
}

impl Open {
    pub(super) fn offer(&mut self, id: usize) -> Option<&mut Offer> {
        self.mending.offers.iter_mut().find(|o| o.id == id)
    }
}

impl Core {
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
        let proposal = fit::fitted(job.target.model(), &offer.proposal);
        if decision == Decision::Accept && proposal.recipe.is_none() && !proposal.edit.changes(job.target.model()) {
            return self.fail("not accepted: the target is as this edit would make it");
        }
        let outdated = open.mending.stale;
        let work = match decision {
            Decision::Accept => Work::Applying,
            Decision::Reject | Decision::Skip => Work::WritingLog,
        };
        self.start(work, move |to| {
            let changed = match decision {
                Decision::Accept => match job.with(&proposal) {
                    Ok(changed) => Some(changed),
                    Err(why) if outdated => return to.tell(News::Outdated(why.to_string())),
                    Err(why) => return to.tell(News::Failed(format!("not accepted: {why}"))),
                },
                Decision::Reject | Decision::Skip => None,
            };
            let recorder = match needs_log.then(|| begin_log(&job, file.as_deref(), findings.as_deref())).transpose() {
                Ok(recorder) => recorder,
                Err(why) => return to.tell(News::Failed(format!("nothing was done, as the audit log cannot be written: {why}"))),
            };
            to.tell(News::Decided(Box::new(Decided { id, decision, note, proposal, recorder, changed })));
        });
    }

    /// Keeps a decision: first in the log, then in the model, then on the screen.
    pub fn decided(&mut self, decided: Decided) {
        self.stop_task();
        let Decided { id, decision, note, proposal, recorder, changed } = decided;
        let Some(open) = &mut self.open else { return };
        if open.mending.recorder.is_none() {
            self.snap.audit_log = recorder.as_ref().map(|r| r.log().path().to_path_buf());
            open.mending.recorder = recorder;
        }
        let before = open.differs[1].iter().filter(|d| **d).count();
        let Some(mut job) = open.job.take() else { return };
        if let Some(offer) = open.offer(id) {
            offer.proposal = proposal;
        }
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

    /// A proposal was made for the target as it was, and does not fit it any more.
    pub fn outdated(&mut self, why: &str) {
        self.stop_task();
        self.log(Tone::Warning, format!("the proposal no longer fits the repaired target ({why}); faults are looked for again"));
        self.look();
    }

    /// What comes after all images were run: the next suspect, another look, or the end.
    pub fn after_evaluation(&mut self, look: bool) {
        let Some(open) = &mut self.open else { return };
        let Some(job) = &open.job else { return };
        let left = job.flips().len();
        let mending = &mut open.mending;
        let recorded = mending.recorder.as_mut().map_or(Ok(()), |r| r.evaluated(job));
        // Evidence was about the target as it was.
        for offer in mending.offers.iter_mut().filter(|o| o.standing != Standing::Accepted) {
            offer.evidence = None;
            (offer.shown.flips, offer.shown.breaks) = (None, None);
        }
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
        // Findings hold until the target lacks an edit that it had then: what waits was found in the same target, or in one with fewer edits.
        let lacks = mending.looked_with.iter().any(|n| !job.standing().any(|a| a.number == *n));
        // At the end the mended target is looked at too: both graphs, the log and the report are about it.
        let again = look || self.snap.findings.is_none() || (mending.stale && (left == 0 || !waiting || lacks));
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
}

pub(super) fn recipe_of(feed: &Feed) -> Option<String> {
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
