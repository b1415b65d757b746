//! From the models to what can be decided on: looking for faults, offering repairs, trying them, edits and pairs by hand.

use super::engine::{Core, News};
use super::mending::Offer;
use super::snapshot::{Decision as Shown, Standing, Tone};
use super::worker::Work;
use super::{fit, offer, own};
use crate::localize::{Findings, Outcome};
use crate::model::refused;
use crate::repair::{Evidence, Journal, Proposal};
use crate::run::Watch;
use std::sync::Arc;

/// Images of either kind that a proposal is tried on.
const TRIED: usize = 16;

impl Core {
    /// Looks for the regions that introduce errors.
    pub fn look(&mut self) {
        let Some(open) = self.open.as_mut().filter(|o| o.job.is_some()) else {
            return self.fail("faults can be looked for once both models are loaded");
        };
        if !open.compared {
            open.then_look = true;
            return self.evaluate();
        }
        let Some(job) = open.job.clone() else { return };
        self.start(Work::Looking, move |to| match job.localize(to) {
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
        mending.looked_with = job.standing().map(|a| a.number).collect();
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
            // What a person said of it stands, whenever it is found again.
            let said = |o: &&mut Offer| {
                let decided = matches!(o.standing, Standing::Rejected(_) | Standing::Skipped | Standing::Undone);
                decided && !o.current && o.proposal.edit == proposal.edit && o.proposal.recipe == proposal.recipe
            };
            if let Some(before) = mending.offers.iter_mut().rev().find(said) {
                before.shown = offer::describe(before.id, &proposal, findings.suspects.get(proposal.suspect), None, job);
                (before.proposal, before.current, before.evidence) = (proposal, true, None);
                continue;
            }
            let id = mending.offers.len();
            let shown = offer::describe(id, &proposal, findings.suspects.get(proposal.suspect), None, job);
            mending.offers.push(Offer::new(id, proposal, shown));
        }
        let (tone, text) = match (findings.outcome, findings.suspects.len()) {
            (Outcome::Clean, _) => (Tone::Good, "nothing is wrongly converted: no region stands above the floor".to_string()),
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
        let mut all: Vec<super::snapshot::Proposal> = mending.offers.iter().filter(|o| o.current).map(show).collect();
        if let Some(sheet) = &self.snap.sheet {
            let nodes = |id: usize| mending.offers.iter().find(|o| o.id == id).map_or(&[][..], |o| &o.proposal.nodes);
            offer::place(&mut all, sheet, nodes);
        }
        self.snap.proposals = Arc::new(all);
        let decision = |id: &usize| {
            let o = mending.offers.iter().find(|o| o.id == *id)?;
            let flips = o.accepted.and_then(|at| Some(open.job.as_ref()?.accepted.get(at)?.flips));
            Some(Shown { proposal: show(o), flips })
        };
        self.snap.decided = Arc::new(mending.history.iter().filter_map(decision).collect());
        self.snap.other_recipe = open.job.as_ref().is_some_and(|j| j.target_feed.recipe != j.original_feed.recipe);
        self.snap.can_undo = !mending.history.is_empty();
        self.snap.can_redo = !mending.future.is_empty();
    }

    /// Tries what is open on some images, the first proposal of each suspect first.
    pub fn try_all(&mut self) {
        let Some(open) = &self.open else { return };
        if !open.compared {
            return self.evaluate();
        }
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
        self.start(Work::Trying, move |to| {
            for (id, proposal) in waiting {
                let evidence = job.preview(&fit::fitted(job.target.model(), &proposal), TRIED, to).map_err(|e| e.to_string());
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
            let (row, known) = (offer.shown.row, std::mem::take(&mut offer.shown.known));
            offer.shown = offer::describe(id, &offer.proposal, suspect, Some(evidence), &job);
            // What is known was looked up for the nodes of the target that was looked into.
            (offer.shown.row, offer.shown.known) = (row, known);
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
        if !open.compared {
            return self.fail("not all images were run with the repaired target yet");
        }
        let Some(job) = open.job.clone() else { return };
        let Some(proposal) = open.offer(id).map(|o| o.proposal.clone()) else { return };
        self.start(Work::TryingOnAll, move |to| {
            let evidence = job.preview(&fit::fitted(job.target.model(), &proposal), usize::MAX, to).map_err(|e| e.to_string());
            if !to.cancelled() {
                to.tell(News::Tried(id, evidence));
                to.tell(News::TriedAll);
            }
        });
    }

    /// Proposes the same with another value.
    pub fn change(&mut self, id: usize, text: &str) {
        let Some(open) = &mut self.open else { return };
        let Some(proposal) = open.offer(id).map(|o| o.proposal.clone()) else { return };
        let Some(made) = open.job.as_ref().map(|job| own::changed(&proposal, text, job.target.model())) else { return };
        let Some(offer) = open.offer(id) else { return };
        let suspect = self.snap.findings.as_ref().and_then(|f| f.suspects.get(offer.proposal.suspect));
        let place = suspect.and_then(|s| self.snap.sheet.as_ref()?.row_of_region(s.region?));
        let row = offer.shown.row.or(place).or(Some(0));
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
        let with = match job.with(&proposal) {
            Ok((network, _)) => network,
            Err(why) => return self.fail(why.to_string()),
        };
        let before = refused(job.target.model()).len();
        if let Some((_, why)) = refused(with.model()).into_iter().nth(before) {
            return self.fail(format!("no runtime would load the target with it: {why}"));
        }
        if !proposal.edit.changes(job.target.model()) {
            return self.fail("the target is as this edit would make it");
        }
        let id = open.mending.offers.len();
        let mut shown = offer::describe(id, &proposal, None, None, job);
        (shown.row, shown.by_hand) = (row, true);
        let title = shown.title.clone();
        open.mending.offers.push(Offer::new(id, proposal, shown));
        self.log(Tone::Plain, format!("proposed by hand: {title}"));
        self.offer_all();
        if !self.is_deciding() {
            self.try_all();
        }
    }
}
