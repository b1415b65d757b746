//! Deciding without a person: a policy says what may be accepted.

use super::{Job, RepairError};
use super::{Journal, Proposal, accept, minimise, precision};
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
    /// By how many the images that differ may become more with one edit: those it breaks, less those it mends.
    pub broken: usize,
    /// Rounds of looking and mending.
    pub rounds: usize,
    /// Whether to go on where the two models do not look like the same network.
    pub unrelated: bool,
    /// What names the categories: the policy's file, or the flags.
    pub categories_from: String,
    /// What forbids edits that are not exact and local: the policy's file, or the flags.
    pub safety_from: String,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            categories: HashSet::new(),
            unsafe_edits: true,
            raise_precision: false,
            broken: 0,
            rounds: 8,
            unrelated: false,
            categories_from: "the policy".into(),
            safety_from: "the policy".into(),
        }
    }
}

impl Policy {
    /// Whether a proposal may be accepted at all.
    pub fn allows(&self, proposal: &Proposal) -> bool {
        self.forbids(proposal).is_none()
    }

    /// Why a proposal may not be accepted.
    pub fn forbids(&self, proposal: &Proposal) -> Option<String> {
        let category = proposal.kind.category();
        if !self.categories.is_empty() && !self.categories.contains(&category) {
            let mut allowed: Vec<&str> = self.categories.iter().map(|c| c.id()).collect();
            allowed.sort_unstable();
            let by = &self.categories_from;
            return Some(format!("not allowed by {by}: it is of category {}, allowed are {}", category.id(), allowed.join(", ")));
        }
        let forbidden = !proposal.safe && !self.unsafe_edits;
        forbidden
            .then(|| format!("not allowed by {}: only exact and local edits are, and this one takes the source's nodes", self.safety_from))
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
    /// Suspects whose edit was tried and not accepted, with the reason.
    pub refused: Vec<(usize, String)>,
}

/// What came of it all.
#[derive(Debug, Clone)]
pub struct Repaired {
    /// Flips at first; where the target did not run, every image.
    pub initial: usize,
    /// Why the target did not run at first, where it did not.
    pub did_not_run: Option<String>,
    /// Flips at the end.
    pub left: usize,
    /// Images that flip at the end and agreed at first.
    pub broken: Vec<usize>,
    /// Images that can be compared.
    pub of: usize,
    /// Rounds.
    pub rounds: Vec<Round>,
    /// Remarks.
    pub notes: Vec<String>,
}

/// How a job stood before anything was mended.
pub(super) struct Start {
    flips: Vec<usize>,
    did_not_run: Option<String>,
}

impl Start {
    pub(super) fn of(job: &Job) -> Self {
        Self { flips: job.flips(), did_not_run: job.target_labels.failure.clone() }
    }
}

impl Repaired {
    /// What came of a job that stood like this at first.
    pub(super) fn of(job: &Job, first: Start, rounds: Vec<Round>, notes: Vec<String>) -> Self {
        let flips = job.flips();
        let broken = flips.iter().copied().filter(|i| !first.flips.contains(i)).collect();
        let Start { flips: initial, did_not_run } = first;
        Self { initial: initial.len(), did_not_run, left: flips.len(), broken, of: job.count(), rounds, notes }
    }
}

/// Looks and mends until nothing is found or nothing helps.
///
/// # Errors
/// As [`Job::evaluate`] and [`Job::localize`]; [`RepairError::Unrelated`] for two networks that have next to nothing in common.
pub fn run(job: &mut Job, policy: &Policy, journal: &mut dyn Journal, watch: &dyn Watch) -> Result<Repaired, RepairError> {
    job.evaluate_keeping(watch)?;
    journal.evaluated(job).map_err(RepairError::Journal)?;
    let first = Start::of(job);
    let mut rounds = Vec::new();
    for _ in 0..policy.rounds {
        if watch.cancelled() {
            break;
        }
        let before = job.flips().len();
        let findings = job.localize(watch)?;
        journal.found(job, &findings).map_err(RepairError::Journal)?;
        if rounds.is_empty() && !policy.unrelated {
            job.kinship(&findings).refuse()?;
        }
        let mended = accept::mend(job, policy, &findings, journal, watch)?;
        rounds.push(Round { findings, before, after: job.flips().len(), refused: mended.refused });
        if mended.accepted == 0 {
            break;
        }
    }
    minimise::minimise(job, journal, watch)?;
    let mut notes = Vec::new();
    if policy.raise_precision && !watch.cancelled() {
        notes = precision::raise(job, policy, journal, watch)?;
    } else if !job.flips().is_empty() && Precision::between(&job.source, &job.target) > Precision::of(&job.source) {
        notes.push(
            "the target computes less exactly than the source; --raise-precision lets the layers that matter compute as the source does"
                .into(),
        );
    }
    let uncertain = job.uncertain();
    if !uncertain.is_empty() {
        let name = |i: &usize| job.images.items().get(*i).map_or_else(String::new, |item| format!("'{}'", item.name));
        let more = if uncertain.len() > 3 { ", ..." } else { "" };
        notes.push(format!(
            "{} more images agree by less than the target's precision moves their scores ({}{more}): another runtime may see another label",
            uncertain.len(),
            uncertain.iter().take(3).map(name).collect::<Vec<_>>().join(", ")
        ));
    }
    Ok(Repaired::of(job, first, rounds, notes))
}
