//! Mending: proposals with their evidence, applying them, re-evaluation, undo, and a policy that decides without a person.

mod accept;
mod batch;
mod checkpoint;
mod decide;
mod diff;
mod error;
mod evaluate;
mod job;
mod journal;
mod kinship;
mod minimise;
pub mod paper;
mod precision;
pub mod words;

pub use checkpoint::{Checkpoints, Cut};
pub use decide::{Policy, Repaired, Round, run};
pub use diff::{DiffLine, Touched, diff};
pub use error::RepairError;
pub use evaluate::Evaluation;
pub use job::{Accepted, Evidence, Job, JobOptions, Proposal};
pub use journal::{Decision, Journal, Unrecorded};
pub use kinship::Kinship;
