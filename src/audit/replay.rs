//! Making the saved model again from the log and the target, and comparing digests.

use super::chain::Chain;
use super::digest::{ModelDigest, far, file_sha256};
use super::side::SideFiles;
use super::{AuditError, Change, Edited, Event, Problem, Record, Saved, State};
use crate::model::{Edit, Model, ModelError};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A model made again from a log.
#[derive(Debug)]
pub struct Replayed {
    /// The model as it was saved last; with the edits that are made at the end of the log, when it never was.
    pub model: Model,
    /// What the log says altogether.
    pub state: State,
    /// How many records it has.
    pub records: usize,
    /// The target that the edits were made in.
    pub target: PathBuf,
    /// Every model that was saved, against the one made again.
    pub checks: Vec<Check>,
    /// Edits made or taken back after the last save.
    pub unsaved: bool,
    /// Bytes of a half-written last line, which were left out.
    pub cut_off: usize,
}

/// A model that was saved, against the one made again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Check {
    /// Number of the record that says it was saved.
    pub seq: u64,
    /// Where it was saved.
    pub path: String,
    /// How many edits it holds.
    pub edits: usize,
    /// SHA-256 that was recorded.
    pub recorded: String,
    /// SHA-256 of the model made again.
    pub made: String,
    /// Whether both are the same, and the recipe with them.
    pub same: bool,
}

impl Replayed {
    /// Whether every saved model was made again to the bit.
    pub fn is_same(&self) -> bool {
        self.checks.iter().all(|c| c.same)
    }

    /// Whether the file that was saved last is still the one that was written; `None` when it is not there.
    pub fn is_file_same(&self, log: &Path) -> Option<bool> {
        let saved = self.state.saved.as_ref()?;
        Some(file_sha256(&far(log, &saved.model.path)).ok()? == saved.model.sha256)
    }
}

/// The repaired model with the log's name and the number of edits in its metadata, and these entries.
pub fn stamp(model: &Model, log: &Path, edits: usize) -> (Model, BTreeMap<String, String>) {
    let name = log.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let entries = BTreeMap::from([("fixcon.log".to_string(), name), ("fixcon.edits".to_string(), edits.to_string())]);
    (with_entries(model, &entries), entries)
}

/// The model with the declaration of its outputs that belongs to it, where that is another one.
pub(super) fn with_outputs(model: &Model, declared: Option<&Edit>) -> Result<Model, ModelError> {
    declared.map_or_else(|| Ok(model.clone()), |edit| Ok(model.apply(edit)?.0))
}

fn with_entries(model: &Model, entries: &BTreeMap<String, String>) -> Model {
    entries.iter().fold(model.clone(), |model, (key, value)| model.with_metadata(key, value))
}

/// Makes every saved model again. `target` stands in for the target model that the log names, when it lies elsewhere by now.
///
/// # Errors
/// When the log is not to be trusted, the target is not the one that was opened, or an edit cannot be made; the record is named.
pub fn replay(log: &Path, target: Option<&Path>) -> Result<Replayed, AuditError> {
    let chain = Chain::read(log)?;
    let cut_off = chain.cut_off;
    let (records, _) = chain.trusted()?;
    Replay::open(log, &records, target)?.run(&records, cut_off)
}

struct Replay<'a> {
    log: &'a Path,
    side: SideFiles,
    target: PathBuf,
    base: Model,
    state: State,
}

impl<'a> Replay<'a> {
    fn open(log: &'a Path, records: &[Record], target: Option<&Path>) -> Result<Self, AuditError> {
        // A trusted chain begins with such a record.
        let state = records.first().ok_or_else(|| "there is no record".to_string()).and_then(|r| State::start(&r.event));
        let state = state.map_err(|why| AuditError::NotALog { path: log.into(), why })?;
        let opened = &state.opened.target;
        let path = target.map_or_else(|| far(log, &opened.path), Path::to_path_buf);
        let named = |why: String| record_error(log, 1, "opened", Problem::File(why));
        let base = Model::open(&path).map_err(|e| {
            let elsewhere = if path.exists() { "" } else { "; where it lies elsewhere by now, --target MODEL names it" };
            named(format!("{e}{elsewhere}"))
        })?;
        let digest = ModelDigest::of(log, &base).map_err(|e| named(e.to_string()))?;
        match opened.differs(&digest) {
            Some(how) => Err(named(how)),
            None => Ok(Self { log, side: SideFiles::of(log), target: path, base, state }),
        }
    }

    fn run(mut self, records: &[Record], cut_off: usize) -> Result<Replayed, AuditError> {
        let mut last = None;
        let mut checks = Vec::new();
        for record in records.iter().skip(1) {
            let contradiction = |why| record_error(self.log, record.seq, record.event.kind(), Problem::Contradiction(why));
            self.state.take(record.seq, &record.event).map_err(contradiction)?;
            if let Event::Saved(saved) = &record.event {
                let (model, check) = self.check(record.seq, saved)?;
                last = Some(model);
                checks.push(check);
            }
        }
        // Even when nothing was saved: every edit that the log holds must be one that can be made.
        let end = self.edited()?;
        let unsaved = self.state.is_unsaved();
        let model = last.unwrap_or(end);
        Ok(Replayed { model, records: records.len(), target: self.target, checks, unsaved, cut_off, state: self.state })
    }

    fn check(&self, seq: u64, saved: &Saved) -> Result<(Model, Check), AuditError> {
        let failed = |e| record_error(self.log, seq, "saved", Problem::Edit(e));
        let outputs = saved.outputs.as_ref().map(|record| record.edit(&mut |name| self.side.load(name))).transpose().map_err(failed)?;
        let model = with_outputs(&self.edited()?, outputs.as_ref()).map_err(failed)?;
        let model = with_entries(&model, &saved.metadata);
        let made = model.sha256();
        let recipe = self.state.has_recipe(saved.recipe.as_deref());
        let recipe = recipe.map_err(|(seq, why)| record_error(self.log, seq, "applied", Problem::Contradiction(why)))?;
        let external = model.external_sha256()?.into_iter().collect::<BTreeMap<_, _>>() == saved.model.external;
        let same = made == saved.model.sha256 && recipe && external;
        let (path, recorded) = (saved.model.path.clone(), saved.model.sha256.clone());
        Ok((model, Check { seq, path, edits: saved.edits.len(), recorded, made, same }))
    }

    /// The target with the edits that are made now.
    fn edited(&self) -> Result<Model, AuditError> {
        if self.state.edits.is_empty() {
            return Ok(self.base.clone());
        }
        let mut flat = self.base.inlined()?;
        let mut edits = Vec::new();
        for Edited { seq, applied } in &self.state.edits {
            let failed = |e| record_error(self.log, *seq, "applied", Problem::Edit(e));
            for change in &applied.changes {
                if let Change::Model(record) = change {
                    let edit = record.edit(&mut |name| self.side.load(name)).map_err(failed)?;
                    flat = flat.apply(&edit).map_err(failed)?.0;
                    edits.push(edit);
                }
            }
        }
        Ok(self.base.edited(&Edit::All(edits))?)
    }
}

fn record_error(log: &Path, seq: u64, kind: &str, problem: Problem) -> AuditError {
    AuditError::Record { path: log.into(), seq, kind: kind.into(), problem }
}
