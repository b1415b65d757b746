//! Mending: proposals with their evidence, applying them, re-evaluation, undo, and a policy that decides without a person.

mod checkpoint;
mod decide;
mod evaluate;
mod job;
mod journal;

pub use decide::{Policy, Repaired, Round, run};
pub use evaluate::Evaluation;
pub use job::{Accepted, Evidence, Job, JobOptions, Proposal, RepairError};
pub use journal::{Decision, Journal, Unrecorded};
