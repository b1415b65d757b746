//! What a policy accepts of one look: edits that have something to show for themselves.
//!
//! An edit is kept when fewer labels differ with it, or when it is exact and local and brought the error measured at its place to the floor:
//! of several faults, one alone often changes no label. The source's own nodes agree with the source wherever they are put, and a recipe
//! that was only guessed was measured nowhere: these need the labels. What shows nothing alone may do so together with others.

use super::decide::Policy;
use super::{Decision, Journal, Proposal};
use super::{Job, RepairError};
use crate::localize::Findings;
use crate::run::Watch;

/// Beyond this many suspects, edits that help together are accepted together.
pub(super) const MANY: usize = 12;

/// What came of one look.
pub(super) struct Mended {
    pub accepted: usize,
    /// Suspects whose edit was not accepted, with the reason.
    pub refused: Vec<(usize, String)>,
}

/// Accepts what the policy allows.
pub(super) fn mend(
    job: &mut Job,
    policy: &Policy,
    findings: &Findings,
    journal: &mut dyn Journal,
    watch: &dyn Watch,
) -> Result<Mended, RepairError> {
    let proposals = job.proposals(findings);
    let best = |suspect| proposals.iter().find(|p: &&Proposal| p.suspect == suspect && policy.allows(p)).cloned();
    let best: Vec<Proposal> = (0..findings.suspects.len()).filter_map(best).collect();
    // Where the policy allows none of a suspect's edits, the first says why.
    let forbidden = |suspect| {
        let mut theirs = proposals.iter().filter(|p| p.suspect == suspect).peekable();
        let first = (*theirs.peek()?).clone();
        let why = policy.forbids(&first)?;
        theirs.all(|p| !policy.allows(p)).then_some((first, why))
    };
    let forbidden: Vec<(Proposal, String)> = (0..findings.suspects.len()).filter_map(forbidden).collect();
    // The source's own nodes hide what is wrong above them: where the exact edits are enough, they are not needed.
    let exact: Vec<Proposal> = best.iter().filter(|p| p.safe).cloned().collect();
    let mut accepted = if exact.len() < best.len() { together(job, &exact, false, journal, watch)? } else { 0 };
    if accepted == 0 && best.len() > 1 {
        accepted = together(job, &best, best.len() > MANY, journal, watch)?;
    }
    let mut refused: Vec<(usize, String)> = forbidden.iter().map(|(p, why)| (p.suspect, why.clone())).collect();
    if accepted > 0 {
        return Ok(Mended { accepted, refused });
    }
    let mut turns = Turns { job, policy, threshold: findings.threshold, journal, watch, accepted: 0 };
    let waiting = turns.one_by_one(best)?;
    let waiting = turns.as_a_set(waiting)?;
    // What shows nothing, or makes things worse, can be right once the others are mended: it gets a second turn.
    let waiting = if turns.accepted > 0 { turns.one_by_one(waiting.into_iter().map(|(p, _)| p).collect())? } else { waiting };
    let accepted = turns.accepted;
    refused.extend(waiting.iter().map(|(p, why)| (p.suspect, why.clone())));
    // What is forbidden stays so: the journal is told once, when there is nothing else to do.
    let told = forbidden.into_iter().filter(|_| accepted == 0);
    for (proposal, why) in waiting.into_iter().chain(told) {
        if watch.cancelled() {
            break;
        }
        let number = journal.proposed(job, &proposal, None).map_err(RepairError::Journal)?;
        journal.decided(number, Decision::Reject, &why).map_err(RepairError::Journal)?;
    }
    Ok(Mended { accepted, refused })
}

/// All edits at once, where no label differs with them: most faults do not stand in each other's way, and one evaluation is enough. With
/// `helps`, fewer labels that differ are enough. Gives how many were accepted.
pub(super) fn together(
    job: &mut Job,
    proposals: &[Proposal],
    helps: bool,
    journal: &mut dyn Journal,
    watch: &dyn Watch,
) -> Result<usize, RepairError> {
    if proposals.is_empty() {
        return Ok(0);
    }
    let mut trial = job.clone();
    // What was made, with the recipe before and after.
    let mut made: Vec<(Proposal, Option<String>, Option<String>)> = Vec::new();
    for proposal in proposals {
        let before = trial.recipe_text();
        if trial.take(proposal).is_ok() {
            made.push((proposal.clone(), before, trial.recipe_text()));
        }
    }
    trial.reevaluate(watch);
    let (was, is) = (job.flips().len(), trial.flips().len());
    if watch.cancelled() || trial.target_labels.failure.is_some() || !(is == 0 || (helps && is < was)) || loses_batches(job, &trial) {
        return Ok(0);
    }
    for (proposal, before, after) in &made {
        let number = journal.proposed(job, proposal, None).map_err(RepairError::Journal)?;
        journal.decided(number, Decision::Accept, "").map_err(RepairError::Journal)?;
        journal.applied(number, proposal, before.as_deref(), after.as_deref()).map_err(RepairError::Journal)?;
        trial.record(number, proposal.clone(), (was, is));
    }
    *job = trial;
    journal.evaluated(job).map_err(RepairError::Journal)?;
    Ok(made.len())
}

/// Whether a target that took several images at once does not any more.
fn loses_batches(before: &Job, after: &Job) -> bool {
    after.takes_several() == Some(false) && before.takes_several() == Some(true)
}

/// Edits that wait, each with what speaks against it.
type Waiting = Vec<(Proposal, String)>;

/// Suspect by suspect.
struct Turns<'a> {
    job: &'a mut Job,
    policy: &'a Policy,
    /// Isolated error up to which a region is right.
    threshold: f32,
    journal: &'a mut dyn Journal,
    watch: &'a dyn Watch,
    accepted: usize,
}

impl Turns<'_> {
    /// Each edit by itself; gives those that were not accepted.
    fn one_by_one(&mut self, proposals: Vec<Proposal>) -> Result<Waiting, RepairError> {
        let mut waiting = Vec::new();
        for proposal in proposals {
            if self.watch.cancelled() {
                break;
            }
            let before = self.job.clone();
            if let Err(why) = self.job.take(&proposal) {
                waiting.push((proposal, format!("it does not fit the target as it is now: {why}")));
                continue;
            }
            self.job.reevaluate(self.watch);
            let (was, is) = (before.flips().len(), self.job.flips().len());
            if self.watch.cancelled() {
                *self.job = before;
                break;
            }
            if let Some(why) = self.objection(&before, &proposal) {
                *self.job = before;
                waiting.push((proposal, why));
                continue;
            }
            let number = self.journal.proposed(&before, &proposal, None).map_err(RepairError::Journal)?;
            self.journal.decided(number, Decision::Accept, "").map_err(RepairError::Journal)?;
            let recipes = (before.recipe_text(), self.job.recipe_text());
            self.journal.applied(number, &proposal, recipes.0.as_deref(), recipes.1.as_deref()).map_err(RepairError::Journal)?;
            self.job.record(number, proposal, (was, is));
            self.journal.evaluated(self.job).map_err(RepairError::Journal)?;
            self.accepted += 1;
        }
        Ok(waiting)
    }

    /// What shows nothing alone, all at once: accepted where fewer labels differ then.
    fn as_a_set(&mut self, waiting: Waiting) -> Result<Waiting, RepairError> {
        let all: Vec<Proposal> = waiting.iter().map(|(p, _)| p.clone()).collect();
        if all.len() < 2 {
            return Ok(waiting);
        }
        match together(self.job, &all, true, self.journal, self.watch)? {
            0 => Ok(waiting),
            accepted => {
                self.accepted += accepted;
                Ok(Vec::new())
            }
        }
    }

    /// What speaks against an edit that was just made, where `before` is how things were.
    fn objection(&self, before: &Job, proposal: &Proposal) -> Option<String> {
        let failed = |j: &Job| j.target_labels.failure.is_some();
        let (was, is) = (before.flips().len(), self.job.flips().len());
        if let Some(why) = self.job.target_labels.failure.as_ref().filter(|_| !failed(before)) {
            return Some(format!("the target would not run: {why}"));
        }
        if !failed(before) && is > was.saturating_add(self.policy.broken) {
            return Some(format!("flips would go from {was} to {is}"));
        }
        if loses_batches(before, self.job) {
            return Some("the target would no longer treat each image of a batch as it treats it alone".into());
        }
        if is < was {
            return None;
        }
        let (error, after) = proposal.isolated;
        if after.is_nan() {
            return Some(format!("flips stay at {is}, and nothing was measured at its place: nothing shows that it mends anything"));
        }
        if !proposal.safe {
            return Some(format!("flips stay at {is}; that the source's own nodes make what the source makes is no evidence"));
        }
        // Of a node that does not run at all, that it runs may be all that can be asked.
        let runs = error.is_infinite() && after.is_finite() && failed(before) && self.job.reach().is_beyond(&before.reach());
        (after > self.threshold && !runs).then(|| format!("flips stay at {is}, and the error of its region at {after:.1e}"))
    }
}
