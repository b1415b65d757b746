//! Deciding without a person: a policy says what may be accepted.

use super::job::{Job, RepairError};
use super::{Decision, Journal, Proposal};
use crate::localize::{Category, Findings};
use crate::run::Watch;
use std::collections::HashSet;

/// What may be accepted without asking.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Categories; all when empty.
    pub categories: HashSet<Category>,
    /// Whether edits that are not exact and local may be accepted: the source's sub-graph.
    pub unsafe_edits: bool,
    /// How many more images an edit may break than it mends.
    pub broken: usize,
    /// Rounds of looking and mending.
    pub rounds: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self { categories: HashSet::new(), unsafe_edits: true, broken: 0, rounds: 8 }
    }
}

impl Policy {
    /// Whether a proposal may be accepted at all.
    pub fn allows(&self, proposal: &Proposal) -> bool {
        (self.categories.is_empty() || self.categories.contains(&proposal.kind.category())) && (proposal.safe || self.unsafe_edits)
    }
}

/// One round: what was found, and what became of it.
#[derive(Debug, Clone)]
pub struct Round {
    /// The findings.
    pub findings: Findings,
    /// Flips before.
    pub before: usize,
    /// Flips after.
    pub after: usize,
}

/// What came of it all.
#[derive(Debug, Clone)]
pub struct Repaired {
    /// Flips at first.
    pub initial: usize,
    /// Flips at the end.
    pub left: usize,
    /// Images that can be compared.
    pub of: usize,
    /// Rounds.
    pub rounds: Vec<Round>,
}

/// Looks and mends until nothing is found or nothing helps.
///
/// # Errors
/// As [`Job::evaluate`] and [`Job::localize`].
pub fn run(job: &mut Job, policy: &Policy, journal: &mut dyn Journal, watch: &dyn Watch) -> Result<Repaired, RepairError> {
    job.evaluate(watch)?;
    journal.evaluated(job).map_err(RepairError::Journal)?;
    let initial = job.flips().len();
    let mut rounds = Vec::new();
    for _ in 0..policy.rounds {
        if watch.cancelled() {
            break;
        }
        let before = job.flips().len();
        let findings = job.localize(watch)?;
        journal.found(job, &findings).map_err(RepairError::Journal)?;
        let accepted = mend(job, policy, &findings, journal, watch)?;
        rounds.push(Round { findings, before, after: job.flips().len() });
        if accepted == 0 {
            break;
        }
    }
    Ok(Repaired { initial, left: job.flips().len(), of: job.count(), rounds })
}

/// Accepts what the policy allows, suspect by suspect; gives how many were accepted.
fn mend(job: &mut Job, policy: &Policy, findings: &Findings, journal: &mut dyn Journal, watch: &dyn Watch) -> Result<usize, RepairError> {
    let mut accepted = 0;
    // What makes things worse by itself can be right once the others are mended: it gets a second turn.
    let mut waiting: Vec<usize> = (0..findings.suspects.len()).collect();
    for turn in 0..2 {
        let mut still = Vec::new();
        for suspect in waiting {
            let Some(proposal) = job.proposals(findings).into_iter().find(|p| p.suspect == suspect && policy.allows(p)) else { continue };
            if watch.cancelled() {
                return Ok(accepted);
            }
            let before = job.clone();
            if job.accept(0, proposal.clone(), watch).is_err() {
                continue;
            }
            let failed = |j: &Job| j.target_labels.failure.is_some();
            let (was, is) = (before.flips().len(), job.flips().len());
            let worse = (!failed(&before) && is > was + policy.broken) || (failed(job) && !failed(&before));
            let keep = |r: Result<u32, String>| r.map_err(RepairError::Journal);
            if worse && turn == 0 {
                *job = before;
                still.push(suspect);
                continue;
            }
            let number = keep(journal.proposed(&before, &proposal, None))?;
            if worse {
                let note = format!("flips would go from {was} to {is}");
                *job = before;
                journal.decided(number, Decision::Reject, &note).map_err(RepairError::Journal)?;
                continue;
            }
            if let Some(last) = job.accepted.last_mut() {
                last.number = number;
            }
            let recipe = |j: &Job| j.target_feed.recipe.as_ref().map(crate::dataset::Recipe::to_toml);
            journal.decided(number, Decision::Accept, "").map_err(RepairError::Journal)?;
            journal.applied(number, &proposal, recipe(&before).as_deref(), recipe(job).as_deref()).map_err(RepairError::Journal)?;
            journal.evaluated(job).map_err(RepairError::Journal)?;
            accepted += 1;
        }
        waiting = still;
    }
    Ok(accepted)
}
