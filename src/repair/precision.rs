//! Raising precision where a policy allows it: as few layers as bring the labels back.
//!
//! Every layer loses a little, and no single one is to blame. So layers are raised together, those that lose most first and twice as
//! many each time, until no label differs and none agrees by mere luck of rounding: what is enough for these images would not be for others.
//! Then what turns out not to be needed is left out again, in ever smaller parts.

use super::{Decision, Journal, Policy, Proposal};
use super::{Job, RepairError};
use crate::localize::Raise;
use crate::run::Watch;

/// Evaluations on all images, and attempts on the images that were open at first, that are spent on leaving out what is not needed.
const EVALUATIONS: usize = 48;
const ATTEMPTS: usize = 96;
/// Rounds: some edits only fit once others are made.
const ROUNDS: usize = 3;
/// Layers that a remark names.
const NAMED: usize = 8;

/// A job with some layers raised, which ones, and how many images are still open (see `open`).
struct Tried {
    job: Job,
    made: Vec<Proposal>,
    open: usize,
}

/// Raises as few layers as bring the labels back, where that helps at all; gives remarks.
pub(super) fn raise(job: &mut Job, policy: &Policy, journal: &mut dyn Journal, watch: &dyn Watch) -> Result<Vec<String>, RepairError> {
    let mut notes = Vec::new();
    let before = job.flips().len();
    if before == 0 {
        return Ok(notes);
    }
    let (mut best, mut possible): (Option<Tried>, usize) = (None, 0);
    for _ in 0..ROUNDS {
        let now = best.as_ref().map_or(&*job, |b| &b.job);
        if open(now).is_empty() || now.target_labels.failure.is_some() {
            break;
        }
        let proposals: Vec<Proposal> = now.raises(watch)?.iter().map(|r| proposal(now, r)).filter(|p| policy.allows(p)).collect();
        possible += proposals.len();
        let Some(mut more) = enough(now, &proposals, watch) else { break };
        if let Some(earlier) = best.take() {
            more.made.splice(0..0, earlier.made);
        }
        best = Some(more);
    }
    match best {
        Some(best) => {
            let least = leave_out(job, best, watch);
            if watch.cancelled() {
                return Ok(notes);
            }
            let named: Vec<&str> = least.made.iter().take(NAMED).map(|p| p.words.split(';').next().unwrap_or_default()).collect();
            notes.push(format!(
                "of {possible} layers that round, these {} matter and compute as in the source now: {before} → {} images have another label",
                least.made.len(),
                least.job.flips().len()
            ));
            let more = if least.made.len() > NAMED { format!(", and {} more", least.made.len() - NAMED) } else { String::new() };
            notes.push(format!("layers that matter: {}{more}", named.join(", ")));
            keep(job, least, journal)?;
        }
        None => notes.push("no layer was found that brings labels back when it alone, or with others, computes as in the source".into()),
    }
    if open(job).is_empty() && !job.flips().is_empty() {
        notes.push("an image that only verifies has another label; with --holdout 0 edits are chosen by it too".into());
    }
    Ok(notes)
}

/// Images of those that edits are chosen by that flip, or for which rounding decides: another image like these flips.
fn open(job: &Job) -> Vec<usize> {
    let mut all = job.flips();
    all.extend(job.uncertain());
    all.sort_unstable();
    all.retain(|i| job.usable(*i));
    all
}

/// How many of these images are open, run alone.
fn open_of(job: &Job, images: &[usize], watch: &dyn Watch) -> usize {
    let found = job.labels_of(images, watch);
    let (flips, uncertain) = (found.flips(&job.source_labels, &job.comparison), found.uncertain(&job.source_labels, &job.comparison));
    images.iter().filter(|i| flips.contains(i) || uncertain.contains(i)).count()
}

fn proposal(job: &Job, raise: &Raise) -> Proposal {
    let mut out = job.proposal(Proposal::NO_SUSPECT, raise.error, &raise.remedy, raise.after);
    out.nodes.truncate(8);
    out
}

/// What is left with these layers raised; `None` where that is more than `most`. The images that are open now are asked first.
fn with(job: &Job, proposals: &[Proposal], most: usize, watch: &dyn Watch) -> Option<Tried> {
    let mut trial = job.clone();
    let made = trial.take_all(proposals);
    if made.is_empty() || open_of(&trial, &open(job), watch) > most {
        return None;
    }
    trial.reevaluate(watch);
    let left = open(&trial).len();
    (trial.target_labels.failure.is_none() && left <= most).then_some(Tried { job: trial, made, open: left })
}

/// The first of 1, 2, 4, ... layers with which no image is open, else what helps most.
fn enough(job: &Job, proposals: &[Proposal], watch: &dyn Watch) -> Option<Tried> {
    let mut best: Option<Tried> = None;
    let mut left = open(job).len();
    let mut count = 1;
    while left > 0 && !proposals.is_empty() && !watch.cancelled() {
        if let Some(tried) = with(job, proposals.get(..count).unwrap_or(proposals), left - 1, watch) {
            left = tried.open;
            best = Some(tried);
        }
        if count >= proposals.len() {
            break;
        }
        count *= 2;
    }
    best
}

/// Leaves out parts, halves first and single layers last, as long as no more images are open without them. A part that is needed mostly
/// shows on the images that were open at first, which are asked first.
fn leave_out(job: &Job, best: Tried, watch: &dyn Watch) -> Tried {
    let mut best = best;
    let mut part = best.made.len() / 2;
    let (mut evaluations, mut attempts) = (EVALUATIONS, ATTEMPTS);
    let asked = open(job);
    while part > 0 {
        // The layers that lose least first.
        let mut end = best.made.len();
        while end > 0 && evaluations > 0 && attempts > 0 && !watch.cancelled() {
            let start = end.saturating_sub(part);
            let without: Vec<Proposal> = best.made.iter().take(start).chain(best.made.iter().skip(end)).cloned().collect();
            end = start;
            if without.is_empty() {
                continue;
            }
            attempts -= 1;
            let mut trial = job.clone();
            if trial.take_all(&without).len() < without.len() || open_of(&trial, &asked, watch) > best.open {
                continue;
            }
            evaluations -= 1;
            trial.reevaluate(watch);
            let left = open(&trial).len();
            // Images that only verify choose nothing, but have a veto.
            if trial.target_labels.failure.is_none() && left <= best.open && trial.flips().len() <= best.job.flips().len() {
                best = Tried { job: trial, made: without, open: left };
            }
        }
        part /= 2;
    }
    best
}

fn keep(job: &mut Job, tried: Tried, journal: &mut dyn Journal) -> Result<(), RepairError> {
    let flips = (job.flips().len(), tried.job.flips().len());
    let mut new = tried.job;
    for proposal in tried.made {
        let number = journal.proposed(job, &proposal, None).map_err(RepairError::Journal)?;
        journal.decided(number, Decision::Accept, "").map_err(RepairError::Journal)?;
        journal.applied(number, &proposal, None, None).map_err(RepairError::Journal)?;
        new.record(number, proposal, flips);
    }
    *job = new;
    journal.evaluated(job).map_err(RepairError::Journal)
}
