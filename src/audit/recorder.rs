//! A job's journal: everything that is found, proposed, decided and done, as records of a log.

use super::chain::LARGEST;
use super::record::{
    Applied, By, CategoryId, Decided, Evaluated, Event, Evidence, Figure, KindId, Opened, Proposed, Subset, Suspected, Undone,
};
use super::{
    AuditError, Change, Exhibit, FlippedImage, Flips, ImagesDigest, Localized, Log, RecipeChange, RegionFigures, Saved, side_folder,
};
use crate::align::{Region, Verdict};
use crate::dataset::Alpha;
use crate::localize::{Findings, Suspect};
use crate::model::{Edit, Existing, NodeId, read_file, write_whole};
use crate::repair::{Decision, Evidence as Tried, Job, Journal, Proposal, diff};
use std::collections::HashSet;
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

/// Pictures that one evaluation keeps, and that a log keeps altogether.
const PICTURES: (usize, usize) = (24, 48);
/// Columns or rows of a picture that is kept.
const PICTURE_SIDE: usize = 128;

/// Writes a job into a log.
pub struct Recorder {
    log: Log,
    by: By,
    before: Option<HashSet<usize>>,
    /// Images of which the log has a picture.
    pictured: HashSet<usize>,
    /// Number of the first suspect that was found last, and of how many.
    suspects: (u32, usize),
    /// What was there before the log was begun.
    earlier: Earlier,
}

/// A log that another took the place of, and names of the files beside it.
#[derive(Debug, Default)]
struct Earlier {
    log: Option<Vec<u8>>,
    beside: HashSet<OsString>,
}

impl Earlier {
    /// What a new log would take the place of; a log that is not to be replaced is not read.
    fn at(path: &Path, existing: Existing) -> Self {
        let entries = std::fs::read_dir(side_folder(path)).into_iter().flatten();
        let log = if existing == Existing::Replace { read_file(path, LARGEST).ok() } else { None };
        Self { log, beside: entries.filter_map(|e| Some(e.ok()?.file_name())).collect() }
    }
}

impl Recorder {
    /// Begins a log for a job. `case` is the case file, where there is one.
    ///
    /// # Errors
    /// When a file cannot be read, or the log cannot be written.
    pub fn create(path: &Path, job: &Job, case: Option<&Path>, by: By, existing: Existing) -> Result<Self, AuditError> {
        let images: Vec<(&str, &Path)> = job.images.items().iter().map(|i| (i.name.as_str(), i.path.as_path())).collect();
        let digest = ImagesDigest::of(path, &job.case.images, &images)?;
        let mut opened = Opened::of(path, job.source.came(), job.target.came(), case, digest)?;
        opened.source_recipe = job.source_feed.recipe.as_ref().map(crate::dataset::Recipe::to_toml);
        opened.target_recipe = job.original_feed.recipe.as_ref().map(crate::dataset::Recipe::to_toml);
        let earlier = Earlier::at(path, existing);
        Ok(Self { earlier, ..Self::resumed(Log::create(path, opened, existing)?, by) })
    }

    /// Goes on with a log that was resumed.
    pub fn resumed(log: Log, by: By) -> Self {
        Self { log, by, before: None, pictured: HashSet::new(), suspects: (0, 0), earlier: Earlier::default() }
    }

    /// The log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Takes the log away again where nothing was decided in it, with what was put beside it; a log whose place it took is there again. For
    /// work that failed: what could be said was said, and the log would stand in the way of the next attempt.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn discard(self) -> std::io::Result<()> {
        if !self.log.state().decisions.is_empty() {
            return Ok(());
        }
        let Self { log, earlier, .. } = self;
        let path = log.path().to_path_buf();
        drop(log);
        match &earlier.log {
            Some(bytes) => write_whole(&path, Existing::Replace, |mut file| file.write_all(bytes))?,
            None => std::fs::remove_file(&path)?,
        }
        let side = side_folder(&path);
        for entry in std::fs::read_dir(&side).into_iter().flatten() {
            let entry = entry?;
            if !earlier.beside.contains(&entry.file_name()) {
                std::fs::remove_file(entry.path())?;
            }
        }
        // A folder in which anything is left stays.
        let _ = std::fs::remove_dir(&side);
        Ok(())
    }

    /// Writes the repaired model and records it.
    ///
    /// # Errors
    /// As [`Log::save`].
    pub fn save(&mut self, job: &Job, path: &Path, existing: Existing) -> Result<Saved, AuditError> {
        let recipe = job.target_feed.recipe.as_ref().map(crate::dataset::Recipe::to_toml);
        self.log.save(&job.to_write()?, path, existing, recipe)
    }

    /// Ends the session.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn close(&mut self, flips: Option<usize>) -> Result<(), AuditError> {
        self.log.append(Event::Closed(super::Closed { flips, words: String::new() })).map(drop)
    }

    /// The images that differ, with what both sides say; pictures of some that have none yet.
    fn flips(&mut self, job: &Job, flips: &[usize]) -> Flips {
        let classes = job.images.classes();
        let offset = job.comparison.offset();
        let name = |label: Option<i64>| classes.and_then(|c| c.get(usize::try_from(label?).ok()?).cloned());
        let label = |of: &crate::repair::Evaluation, i: usize| of.labels.get(i).copied().flatten();
        let alpha = job.source_feed.recipe.as_ref().map_or(Alpha::Drop, |r| r.alpha);
        let mut left = PICTURES.0.min(PICTURES.1.saturating_sub(self.pictured.len()));
        let mut one = |i: usize| {
            let (source, target) = (label(&job.source_labels, i), label(&job.target_labels, i));
            let wanted = left > 0 && !self.pictured.contains(&i);
            let picture = wanted.then(|| job.images.picture(i, alpha).ok()?.small(PICTURE_SIDE)).flatten();
            if picture.is_some() {
                left -= 1;
                self.pictured.insert(i);
            }
            FlippedImage {
                image: job.images.items()[i].name.clone(),
                source,
                source_class: name(source.map(|l| l as i64)),
                target,
                target_class: name(target.map(|l| l as i64 - offset)),
                picture: picture.map(|bytes| base64_simd::STANDARD.encode_to_string(bytes)),
            }
        };
        Flips { flips: flips.iter().map(|i| one(*i)).collect() }
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
        let mut sorted: Vec<usize> = flips.iter().copied().collect();
        sorted.sort_unstable();
        let details = self.flips(job, &sorted);
        let details = Some(Exhibit::keep(self.log.path(), &details).map_err(|e| e.to_string())?);
        let evaluated = Evaluated {
            on: Subset::All,
            images: job.count(),
            flips: flips.len(),
            mended,
            broken,
            does_not_run: job.target_labels.failure.clone(),
            unreadable,
            details,
        };
        self.before = Some(flips);
        self.append(Event::Evaluated(evaluated))
    }

    fn found(&mut self, job: &Job, findings: &Findings) -> Result<(), String> {
        let regions: Vec<RegionFigures> = findings.regions.iter().map(|r| figures(r, job)).collect();
        let details = Exhibit::keep(self.log.path(), &regions).map_err(|e| e.to_string())?;
        let first = self.log.state().next_suspect();
        let localized = Localized {
            outcome: findings.outcome.word().into(),
            floor: Figure(findings.floor),
            threshold: Figure(findings.threshold),
            notes: findings.notes.clone(),
            details: Some(details),
        };
        let suspects = (first..).zip(&findings.suspects).map(|(number, s)| Event::Suspect(suspected(number, s, job)));
        let events: Vec<Event> = std::iter::once(Event::Localized(localized)).chain(suspects).collect();
        self.log.append_all(&events).map_err(|e| e.to_string())?;
        self.suspects = (first, findings.suspects.len());
        Ok(())
    }

    fn proposed(&mut self, job: &Job, proposal: &Proposal, evidence: Option<Tried>) -> Result<u32, String> {
        let number = self.log.state().next_proposal();
        let (first, count) = self.suspects;
        let record = Proposed {
            proposal: number,
            suspect: u32::try_from(proposal.suspect).ok().filter(|_| proposal.suspect < count).map(|at| first + at),
            category: CategoryId(proposal.kind.category()),
            fault: Some(KindId(proposal.kind)),
            words: proposal.words.clone(),
            nodes: proposal.nodes.clone(),
            diff: diff(proposal, job).0,
            safe: proposal.safe,
            evidence: Evidence {
                error: (!proposal.isolated.0.is_nan()).then_some((Figure(proposal.isolated.0), Figure(proposal.isolated.1))),
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

    fn undone(&mut self, number: u32, note: &str) -> Result<(), String> {
        self.append(Event::Undone(Undone { proposal: number, note: note.into(), by: self.by.clone() }))
    }
}

fn figures(region: &Region, job: &Job) -> RegionFigures {
    let nodes: Vec<NodeId> = region.target.iter().map(|id| job.target.op(*id).node).collect();
    RegionFigures {
        source: region.source.iter().map(|id| job.source.label(*id).to_string()).collect(),
        target: region.target.iter().map(|id| job.target.label(*id).to_string()).collect(),
        operators: operators(&nodes, job),
        isolated: region.isolated.map(Figure),
        accumulated: region.accumulated.map(Figure),
        verdict: match region.verdict {
            Verdict::Clean => "clean",
            Verdict::Faulty => "faulty",
            Verdict::Unchecked => "unchecked",
        }
        .into(),
        why: region.why.clone(),
    }
}

fn suspected(number: u32, suspect: &Suspect, job: &Job) -> Suspected {
    let (target, source) = (job.target.model(), job.source.model());
    Suspected {
        suspect: number,
        category: CategoryId(suspect.category),
        fault: suspect.kind.map(KindId),
        target_nodes: suspect.target_nodes.iter().map(|n| target.label(*n).to_string()).collect(),
        target_tensors: suspect.target_tensors.iter().map(|v| target.index().name(*v).to_string()).collect(),
        operators: operators(&suspect.target_nodes, job),
        source_nodes: suspect.source_nodes.iter().map(|n| source.label(*n).to_string()).collect(),
        words: suspect.words.clone(),
        error: Figure(suspect.error),
        evidence: suspect.evidence.clone(),
        equivalents: suspect.equivalents.iter().copied().map(KindId).collect(),
        splice: suspect.splice,
    }
}

/// Operators of some nodes of the target, each once, in order.
fn operators(nodes: &[NodeId], job: &Job) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for op in nodes.iter().map(|n| job.target.model().node(*n).op_type()) {
        if !out.iter().any(|o| o == op) {
            out.push(op.into());
        }
    }
    out
}
