//! Who is told of everything that is found, proposed, decided and done, before it counts.

use super::{Evidence, Job, Proposal};
use crate::localize::Findings;

/// What is decided about a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is applied.
    Accept,
    /// It is not applied, and not proposed again.
    Reject,
    /// It is left for later.
    Skip,
}

/// Who is told. An error means that it could not be kept; the act is then not done.
pub trait Journal {
    /// Labels were compared.
    ///
    /// # Errors
    /// In words, when it could not be kept.
    fn evaluated(&mut self, job: &Job) -> Result<(), String>;
    /// Suspects were found.
    ///
    /// # Errors
    /// In words, when it could not be kept.
    fn found(&mut self, job: &Job, findings: &Findings) -> Result<(), String>;
    /// An edit of the target as it is in the job is proposed; gives its number.
    ///
    /// # Errors
    /// In words, when it could not be kept.
    fn proposed(&mut self, job: &Job, proposal: &Proposal, evidence: Option<Evidence>) -> Result<u32, String>;
    /// It was decided.
    ///
    /// # Errors
    /// In words, when it could not be kept.
    fn decided(&mut self, number: u32, decision: Decision, note: &str) -> Result<(), String>;
    /// An accepted edit is made, which turns the recipe `before` into `after`.
    ///
    /// # Errors
    /// In words, when it could not be kept.
    fn applied(&mut self, number: u32, proposal: &Proposal, before: Option<&str>, after: Option<&str>) -> Result<(), String>;
    /// An edit is taken back, or a rejection or skip, for the reason that `note` says.
    ///
    /// # Errors
    /// In words, when it could not be kept.
    fn undone(&mut self, number: u32, note: &str) -> Result<(), String>;
}

/// Nobody is told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unrecorded {
    count: u32,
}

impl Journal for Unrecorded {
    fn evaluated(&mut self, _: &Job) -> Result<(), String> {
        Ok(())
    }
    fn found(&mut self, _: &Job, _: &Findings) -> Result<(), String> {
        Ok(())
    }
    fn proposed(&mut self, _: &Job, _: &Proposal, _: Option<Evidence>) -> Result<u32, String> {
        self.count += 1;
        Ok(self.count)
    }
    fn decided(&mut self, _: u32, _: Decision, _: &str) -> Result<(), String> {
        Ok(())
    }
    fn applied(&mut self, _: u32, _: &Proposal, _: Option<&str>, _: Option<&str>) -> Result<(), String> {
        Ok(())
    }
    fn undone(&mut self, _: u32, _: &str) -> Result<(), String> {
        Ok(())
    }
}
