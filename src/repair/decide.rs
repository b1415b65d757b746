//! Deciding without a person: a policy says what may be accepted.

use super::job::{Job, RepairError};
use super::{Decision, Journal, Proposal, precision};
use crate::align::Precision;
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
    /// Whether layers of a quantised or half-precision target may be raised to the source's precision.
    pub raise_precision: bool,
    /// How many more images an edit may break than it mends.
    pub broken: usize,
    /// Rounds of looking and mending.
    pub rounds: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self { categories: HashSet::new(), unsafe_edits: true, raise_precision: false, broken: 0, rounds: 8 }
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
    /// Remarks.
    pub notes: Vec<String>,
}

/// Looks and mends until nothing is found or nothing helps.
///
/// # Errors
/// As [`Job::evaluate`] and [`Job::localize`].
pub fn run(job: &mut Job, policy: &Policy, journal: &mut dyn Journal, watch: &dyn Watch) -> Result<Repaired, RepairError> {
    job.evaluate_keeping(watch)?;
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
    let mut notes = Vec::new();
    if policy.raise_precision && !watch.cancelled() {
        notes = precision::raise(job, policy, journal, watch)?;
    } else if !job.flips().is_empty() && Precision::of(&job.target) > Precision::of(&job.source) {
        notes.push(
            "the target computes less exactly than the source; --raise-precision lets the layers that matter compute as the source does"
                .into(),
        );
    }
    minimise(job, journal, watch)?;
    Ok(Repaired { initial, left: job.flips().len(), of: job.count(), rounds, notes })
}

/// Beyond this many suspects, edits that help together are accepted together.
const MANY: usize = 12;

/// Accepts what the policy allows; gives how many were accepted.
fn mend(job: &mut Job, policy: &Policy, findings: &Findings, journal: &mut dyn Journal, watch: &dyn Watch) -> Result<usize, RepairError> {
    let proposals = job.proposals(findings);
    let best = |suspect| proposals.iter().find(|p: &&Proposal| p.suspect == suspect && policy.allows(p)).cloned();
    let best: Vec<Proposal> = (0..findings.suspects.len()).filter_map(best).collect();
    match together(job, policy, &best, journal, watch)? {
        0 => one_by_one(job, policy, best, journal, watch),
        accepted => Ok(accepted),
    }
}

/// Whether labels are worse than the policy lets an edit make them.
fn is_worse(before: &Job, after: &Job, policy: &Policy) -> bool {
    let failed = |j: &Job| j.target_labels.failure.is_some();
    (!failed(before) && after.flips().len() > before.flips().len() + policy.broken) || (failed(after) && !failed(before))
}

/// All edits at once, where no label differs with them: most faults do not stand in each other's way, and one evaluation is enough.
/// Where suspects are many, it is enough that they help. Gives how many were accepted.
fn together(
    job: &mut Job,
    policy: &Policy,
    proposals: &[Proposal],
    journal: &mut dyn Journal,
    watch: &dyn Watch,
) -> Result<usize, RepairError> {
    if proposals.len() < 2 {
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
    let helps = is == 0 || (proposals.len() > MANY && is < was);
    if watch.cancelled() || trial.target_labels.failure.is_some() || !helps {
        return Ok(0);
    }
    debug_assert!(!is_worse(job, &trial, policy));
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

/// Suspect by suspect, each judged by what it does to the labels; gives how many were accepted.
fn one_by_one(
    job: &mut Job,
    policy: &Policy,
    proposals: Vec<Proposal>,
    journal: &mut dyn Journal,
    watch: &dyn Watch,
) -> Result<usize, RepairError> {
    let mut accepted = 0;
    // What makes things worse by itself can be right once the others are mended: it gets a second turn.
    let mut waiting = proposals;
    for turn in 0..2 {
        let mut still = Vec::new();
        for proposal in waiting {
            if watch.cancelled() {
                return Ok(accepted);
            }
            let before = job.clone();
            if job.take(&proposal).is_err() {
                continue;
            }
            job.reevaluate(watch);
            let (was, is) = (before.flips().len(), job.flips().len());
            let worse = is_worse(&before, job, policy);
            if worse && turn == 0 {
                *job = before;
                still.push(proposal);
                continue;
            }
            let number = journal.proposed(&before, &proposal, None).map_err(RepairError::Journal)?;
            if worse {
                let note = format!("flips would go from {was} to {is}");
                *job = before;
                journal.decided(number, Decision::Reject, &note).map_err(RepairError::Journal)?;
                continue;
            }
            journal.decided(number, Decision::Accept, "").map_err(RepairError::Journal)?;
            let recipes = (before.recipe_text(), job.recipe_text());
            journal.applied(number, &proposal, recipes.0.as_deref(), recipes.1.as_deref()).map_err(RepairError::Journal)?;
            job.record(number, proposal, (was, is));
            journal.evaluated(job).map_err(RepairError::Journal)?;
            accepted += 1;
        }
        waiting = still;
    }
    Ok(accepted)
}

/// Leaves each accepted edit out in turn, the last first, and takes back what changes neither labels nor scores for the worse: later
/// edits can have made an earlier one needless.
fn minimise(job: &mut Job, journal: &mut dyn Journal, watch: &dyn Watch) -> Result<(), RepairError> {
    let standing: Vec<usize> = (0..job.accepted.len()).filter(|i| !job.accepted[*i].undone).collect();
    if !(2..=MANY).contains(&standing.len()) {
        return Ok(());
    }
    for index in standing.into_iter().rev() {
        if watch.cancelled() {
            break;
        }
        let mut trial = job.clone();
        if trial.set_undone(index, true, watch).is_err() {
            continue;
        }
        let errors = trial.score_error().zip(job.score_error());
        // An edit that mends anything shows in the scores, far above what rounding does.
        let needless = errors.is_some_and(|(without, with)| without <= with + 1e-6) && trial.flips().len() <= job.flips().len();
        if needless && trial.target_labels.failure.is_none() {
            journal.undone(job.accepted[index].number).map_err(RepairError::Journal)?;
            *job = trial;
            journal.evaluated(job).map_err(RepairError::Journal)?;
        }
    }
    Ok(())
}
