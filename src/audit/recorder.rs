//! A job's journal: everything that is found, proposed, decided and done, as records of a log.

use super::record::{
    Applied, By, CategoryId, Decided, Evaluated, Event, Evidence, Figure, KindId, Opened, Proposed, Subset, Suspected, Undone,
};
use super::{AuditError, Change, ImagesDigest, Log, RecipeChange, Saved};
use crate::localize::Findings;
use crate::model::{Edit, Existing};
use crate::repair::{Decision, Evidence as Tried, Job, Journal, Proposal};
use std::collections::HashSet;
use std::path::Path;

/// Writes a job into a log.
pub struct Recorder {
    log: Log,
    by: By,
    before: Option<HashSet<usize>>,
}

impl Recorder {
    /// Begins a log for a job. `case` is the case file, where there is one.
    ///
    /// # Errors
    /// When a file cannot be read, or the log cannot be written.
    pub fn create(path: &Path, job: &Job, case: Option<&Path>, by: By, existing: Existing) -> Result<Self, AuditError> {
        let images: Vec<(&str, &Path)> = job.images.items().iter().map(|i| (i.name.as_str(), i.path.as_path())).collect();
        let digest = ImagesDigest::of(path, &job.case.images, &images)?;
        let mut opened = Opened::of(path, job.source.model(), &job.original, case, digest)?;
        opened.source_recipe = job.source_feed.recipe.as_ref().map(crate::dataset::Recipe::to_toml);
        opened.target_recipe = job.original_feed.recipe.as_ref().map(crate::dataset::Recipe::to_toml);
        Ok(Self { log: Log::create(path, opened, existing)?, by, before: None })
    }

    /// Goes on with a log that was resumed.
    pub fn resumed(log: Log, by: By) -> Self {
        Self { log, by, before: None }
    }

    /// The log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Writes the repaired model and records it.
    ///
    /// # Errors
    /// As [`Log::save`].
    pub fn save(&mut self, job: &Job, path: &Path, existing: Existing) -> Result<Saved, AuditError> {
        let recipe = job.target_feed.recipe.as_ref().map(crate::dataset::Recipe::to_toml);
        self.log.save(job.target.model(), path, existing, recipe)
    }

    /// Ends the session.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn close(&mut self, flips: Option<usize>) -> Result<(), AuditError> {
        self.log.append(Event::Closed(super::Closed { flips, words: String::new() })).map(drop)
    }

    fn append(&mut self, event: Event) -> Result<(), String> {
        self.log.append(event).map(drop).map_err(|e| e.to_string())
    }
}

impl Journal for Recorder {
    fn evaluated(&mut self, job: &Job) -> Result<(), String> {
        let flips: HashSet<usize> = job.flips().into_iter().collect();
        let items = job.images.items();
        let names = |mut set: Vec<usize>| {
            set.sort_unstable();
            set.into_iter().map(|i| items[i].name.clone()).collect::<Vec<_>>()
        };
        let (mended, broken) = match &self.before {
            Some(before) => (names(before.difference(&flips).copied().collect()), names(flips.difference(before).copied().collect())),
            None => (Vec::new(), Vec::new()),
        };
        let unreadable = names((0..items.len()).filter(|i| job.source_labels.labels.get(*i).copied().flatten().is_none()).collect());
        let evaluated = Evaluated { on: Subset::All, images: job.count(), flips: flips.len(), mended, broken, unreadable };
        self.before = Some(flips);
        self.append(Event::Evaluated(evaluated))
    }

    fn found(&mut self, job: &Job, findings: &Findings) -> Result<(), String> {
        let model = job.target.model();
        for suspect in &findings.suspects {
            let record = Suspected {
                suspect: self.log.state().next_suspect(),
                category: CategoryId(suspect.category),
                fault: suspect.kind.map(KindId),
                target_nodes: suspect.target_nodes.iter().map(|n| model.label(*n).to_string()).collect(),
                target_tensors: suspect.target_tensors.iter().map(|v| model.index().name(*v).to_string()).collect(),
                words: suspect.words.clone(),
                error: Figure(suspect.error),
            };
            self.append(Event::Suspect(record))?;
        }
        Ok(())
    }

    fn proposed(&mut self, proposal: &Proposal, evidence: Option<Tried>) -> Result<u32, String> {
        let number = self.log.state().next_proposal();
        let record = Proposed {
            proposal: number,
            suspect: None,
            category: CategoryId(proposal.kind.category()),
            fault: Some(KindId(proposal.kind)),
            words: proposal.words.clone(),
            safe: proposal.safe,
            evidence: Evidence {
                error: Some((Figure(proposal.isolated.0), Figure(proposal.isolated.1))),
                flips: evidence.map(|e| e.flipped),
                tried: evidence.map(|e| e.flipped.0 + e.agreeing.0),
                parameters: None,
                bytes: None,
            },
        };
        self.append(Event::Proposed(record))?;
        Ok(number)
    }

    fn decided(&mut self, number: u32, decision: Decision, note: &str) -> Result<(), String> {
        let decision = match decision {
            Decision::Accept => super::Decision::Accept,
            Decision::Reject => super::Decision::Reject,
            Decision::Skip => super::Decision::Skip,
        };
        self.append(Event::Decided(Decided { proposal: number, decision, note: note.into(), by: self.by.clone() }))
    }

    fn applied(&mut self, number: u32, proposal: &Proposal, before: Option<&str>, after: Option<&str>) -> Result<(), String> {
        let mut changes = Vec::new();
        if proposal.edit != Edit::All(Vec::new()) {
            changes.push(self.log.model_change(&proposal.edit).map_err(|e| e.to_string())?);
        }
        if let (Some(before), Some(after)) = (before, after)
            && before != after
        {
            changes.push(Change::Recipe(RecipeChange::between(before, after)?));
        }
        self.append(Event::Applied(Applied { proposal: number, words: proposal.words.clone(), changes }))
    }

    fn undone(&mut self, number: u32) -> Result<(), String> {
        self.append(Event::Undone(Undone { proposal: number, note: String::new(), by: self.by.clone() }))
    }
}
