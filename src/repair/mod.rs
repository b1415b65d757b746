//! Mending: proposals with their evidence, applying them, re-evaluation, undo, and a policy that decides without a person.

mod checkpoint;
mod decide;
mod diff;
mod evaluate;
mod job;
mod journal;
pub mod paper;
mod precision;
pub mod words;

pub use checkpoint::{Checkpoints, Cut};
pub use decide::{Policy, Repaired, Round, run};
pub use diff::{DiffLine, Touched, diff};
pub use evaluate::Evaluation;
pub use job::{Accepted, Evidence, Job, JobOptions, Proposal, RepairError};
pub use journal::{Decision, Journal, Unrecorded};
