//! Taking back what turns out not to be needed, or to do harm: later edits can have made an earlier one needless, and of many that were accepted
//! together, one may break what the others mend.

use super::Journal;
use super::accept::MANY;
use super::{Job, RepairError};
use crate::run::Watch;

/// Evaluations on all images that many edits are worth.
const EVALUATIONS: usize = 32;
/// What rounding does to the mean error of the scores. An edit that mends anything shows in them, far above this.
const ROUNDING: f32 = 1e-6;

/// Leaves edits out and takes back those without which neither labels nor scores are worse: few of them each in turn, the last first; of many,
/// each on the images that still differ, then by halves those that measured nothing exact.
pub(super) fn minimise(job: &mut Job, journal: &mut dyn Journal, watch: &dyn Watch) -> Result<(), RepairError> {
    let standing: Vec<usize> = (0..job.accepted.len()).filter(|i| !job.accepted[*i].undone).rev().collect();
    let mut work = Work { job, journal, watch, left: EVALUATIONS };
    if standing.len() <= MANY {
        if standing.len() > 1 {
            for index in standing {
                work.drop_needless(&[index])?;
            }
        }
        return Ok(());
    }
    for index in &standing {
        work.drop_harmful(*index)?;
    }
    // What was brought to the floor by an exact edit was at fault; the others may be there for nothing.
    let doubt =
        |i: &usize| work.job.accepted.get(*i).is_some_and(|a| !a.undone && (!a.proposal.safe || !a.proposal.isolated.1.is_finite()));
    let doubtful: Vec<usize> = standing.iter().copied().filter(doubt).collect();
    work.halve(&doubtful)
}

struct Work<'a> {
    job: &'a mut Job,
    journal: &'a mut dyn Journal,
    watch: &'a dyn Watch,
    /// Evaluations that may still be spent.
    left: usize,
}

impl Work<'_> {
    /// The job without some accepted edits, evaluated.
    fn without(&mut self, indices: &[usize]) -> Option<Job> {
        let mut trial = self.job.clone();
        trial.leave_out(indices).ok()?;
        self.left = self.left.saturating_sub(1);
        trial.reevaluate(self.watch);
        (trial.target_labels.failure.is_none() && !self.watch.cancelled()).then_some(trial)
    }

    fn take_back(&mut self, indices: &[usize], trial: Job, note: &str) -> Result<(), RepairError> {
        for index in indices {
            let Some(accepted) = self.job.accepted.get(*index) else { continue };
            self.journal.undone(accepted.number, note).map_err(RepairError::Journal)?;
        }
        *self.job = trial;
        self.journal.evaluated(self.job).map_err(RepairError::Journal)
    }

    /// Takes edits back where neither labels nor scores are worse without them; whether they were.
    fn drop_needless(&mut self, indices: &[usize]) -> Result<bool, RepairError> {
        if self.watch.cancelled() {
            return Ok(false);
        }
        let Some(trial) = self.without(indices) else { return Ok(false) };
        let errors = trial.score_error().zip(self.job.score_error());
        let (was, is) = (self.job.flips().len(), trial.flips().len());
        // Where scores are no numbers, nothing can be said of them.
        let needless = errors.is_some_and(|(without, with)| without.is_finite() && without <= with + ROUNDING) && is <= was;
        if needless {
            self.take_back(indices, trial, &format!("not needed: without it {is} labels differ, with it {was}"))?;
        }
        Ok(needless)
    }

    /// Takes an edit back where fewer labels differ without it. Only images that differ are asked at first.
    fn drop_harmful(&mut self, index: usize) -> Result<(), RepairError> {
        let differing = self.job.flips();
        if differing.is_empty() || self.left == 0 || self.watch.cancelled() {
            return Ok(());
        }
        let mut quick = self.job.clone();
        if quick.leave_out(&[index]).is_err() || quick.flips_of(&differing, self.watch) >= differing.len() {
            return Ok(());
        }
        let Some(trial) = self.without(&[index]) else { return Ok(()) };
        let is = trial.flips().len();
        if is < differing.len() {
            self.take_back(&[index], trial, &format!("does harm: without it {is} labels differ, with it {}", differing.len()))?;
        }
        Ok(())
    }

    /// Takes back what is needless among these: all at once, else each half by itself.
    fn halve(&mut self, indices: &[usize]) -> Result<(), RepairError> {
        if indices.is_empty() || self.left == 0 || self.drop_needless(indices)? || indices.len() == 1 {
            return Ok(());
        }
        let (first, second) = indices.split_at(indices.len() / 2);
        self.halve(first)?;
        self.halve(second)
    }
}

#[cfg(test)]
mod tests {
    use super::super::accept::together;
    use super::super::{JobOptions, Proposal, Unrecorded};
    use super::*;
    use crate::dataset::Case;
    use crate::localize::Kind;
    use crate::model::{Edit, Existing, Model};
    use crate::run::{Unwatched, Value};
    use std::path::Path;

    /// A tensor of the model with all values times a factor.
    fn times(model: &Model, name: &str, factor: f32) -> Edit {
        let tensor = model.initializer(name).unwrap();
        let value = Value::from_proto(model, tensor).unwrap();
        let values = value.to_f32().iter().map(|x| x * factor).collect();
        Edit::ReplaceInitializer { tensor: Value::from_f32(value.shape(), values).to_proto(name) }
    }

    fn proposal(edit: Edit, safe: bool) -> Proposal {
        let isolated = (1.0, 0.0);
        Proposal { suspect: 0, kind: Kind::WbValues, edit, recipe: None, words: String::new(), nodes: Vec::new(), safe, isolated }
    }

    #[test]
    fn of_many_edits_those_that_do_harm_or_nothing_are_taken_back() {
        let mut case =
            Case::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models/cases/8-mobilenet-clean-torch/case.toml")).unwrap();
        let right = Model::open(&case.target).unwrap();
        let weights: Vec<String> =
            right.initializers().filter(|t| t.dims.len() == 4).map(|t| t.name().to_string()).take(MANY + 3).collect();
        let (wrong, rest) = weights.split_at(MANY + 1);
        let target = right.apply(&Edit::All(wrong.iter().map(|w| times(&right, w, 1.4)).collect())).unwrap().0;
        let folder = tempfile::tempdir().unwrap();
        case.target = folder.path().join("target.onnx");
        target.save(&case.target, Existing::Refuse).unwrap();
        let mut job = Job::open(case, JobOptions::default()).unwrap();
        job.evaluate(&Unwatched).unwrap();
        let mut lot: Vec<Proposal> = wrong.iter().map(|w| proposal(times(&right, w, 1.0), true)).collect();
        // One that breaks images, and one that does nothing.
        lot.insert(4, proposal(times(&right, &rest[0], 1.3), true));
        lot.push(proposal(times(&right, &rest[1], 1.0), false));
        let before = job.flips().len();
        let mut nobody = Unrecorded::default();
        assert_eq!(together(&mut job, &lot, true, &mut nobody, &Unwatched).unwrap(), lot.len());
        let broken = job.flips().len();
        assert!(0 < broken && broken < before, "{before} → {broken}");
        minimise(&mut job, &mut nobody, &Unwatched).unwrap();
        assert_eq!(job.flips().len(), 0);
        let undone: Vec<usize> = (0..job.accepted.len()).filter(|i| job.accepted[*i].undone).collect();
        assert_eq!(undone, [4, lot.len() - 1]);
    }
}
