//! `fixcon replay`: the saved model once more, from the log.

use super::log::one_line;
use super::output::check_free;
use super::reads::Reads;
use super::{Common, DIFFERENT, SAME, print_json, print_text};
use crate::audit::{AuditError, Check, Replayed, replay};
use crate::model::Existing;
use anyhow::Result;
use clap::{Args, ValueHint};
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `fixcon replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Audit log
    #[arg(value_name = "LOG", value_hint = ValueHint::FilePath)]
    pub log: PathBuf,
    /// The target model, when it no longer lies where the log says; it must be the same file
    #[arg(long, value_name = "MODEL", value_hint = ValueHint::FilePath)]
    pub target: Option<PathBuf>,
    /// Write the model here
    #[arg(long, short, value_name = "MODEL", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Replace the output when it exists
    #[arg(long, requires = "output")]
    pub force: bool,
}

/// What `fixcon replay --json` writes.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReplayReport {
    /// The log.
    pub log: String,
    /// How many records it has.
    pub records: usize,
    /// The target that the edits were made in.
    pub target: String,
    /// Whether every saved model was made again to the bit.
    pub same: bool,
    /// Every model that was saved, against the one made again.
    pub saved: Vec<Check>,
    /// Edits that are made at the end of the log.
    pub edits: Vec<ReplayedEdit>,
    /// Recipe that goes with the model, as TOML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
    /// Whether the file that was saved last is still the one that was written; absent when it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_same: Option<bool>,
    /// The model that was written here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Output>,
    /// What else there is to know.
    pub notes: Vec<String>,
}

/// An edit that was made again.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReplayedEdit {
    /// Number of the record.
    pub seq: u64,
    /// The proposal it belongs to.
    pub proposal: u32,
    /// The edit in words.
    pub edit: String,
}

/// A model that was written.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// The file.
    pub path: String,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

/// Runs `fixcon replay`: exit code 0 when every saved model was made again to the bit, 1 when one was not.
pub fn run(args: &ReplayArgs, common: &Common) -> Result<ExitCode> {
    let reads = args.target.iter().fold(Reads::log(&args.log), |reads, target| reads.and_model(target));
    if let Some(path) = &args.output {
        reads.check([path.as_path()])?;
        check_free(path, args.force)?;
    }
    let replayed = replay(&args.log, args.target.as_deref())?;
    if replayed.checks.is_empty() && args.output.is_none() {
        return Err(AuditError::NothingSaved { path: args.log.clone() }.into());
    }
    let mut report = report(args, &replayed);
    match &args.output {
        Some(path) if report.same => {
            reads.spare_data(&replayed.model, path)?;
            let existing = if args.force { Existing::Replace } else { Existing::Refuse };
            let sha256 = replayed.model.save(path, existing)?;
            report.output = Some(Output { path: path.display().to_string(), sha256 });
        }
        Some(_) => report.notes.push("nothing was written, as it would not be the model that was saved".into()),
        None => {}
    }
    if common.json {
        print_json(&report)?;
    } else {
        print_text(&text(&report)?)?;
    }
    Ok(ExitCode::from(if report.same { SAME } else { DIFFERENT }))
}

fn report(args: &ReplayArgs, replayed: &Replayed) -> ReplayReport {
    let mut notes = Vec::new();
    if replayed.checks.is_empty() {
        notes.push("no model was saved in this session; this one holds the edits that are made at its end".into());
    } else if replayed.unsaved {
        notes.push("edits were made or taken back after the last save; they are not in the model".into());
    }
    if replayed.cut_off > 0 {
        notes.push(format!("the last line was cut off after {} bytes, in a crash; it was left out", replayed.cut_off));
    } else if replayed.state.closed.is_none() {
        notes.push("the session was not closed: it goes on, crashed, or the last records of the log were taken away".into());
    }
    let edit = |e: &crate::audit::Edited| ReplayedEdit { seq: e.seq, proposal: e.applied.proposal, edit: e.applied.words.clone() };
    ReplayReport {
        log: args.log.display().to_string(),
        records: replayed.records,
        target: replayed.target.display().to_string(),
        same: replayed.is_same(),
        saved: replayed.checks.clone(),
        edits: replayed.state.edits.iter().map(edit).collect(),
        recipe: replayed.state.saved.as_ref().and_then(|s| s.recipe.clone()),
        file_same: replayed.is_file_same(&args.log),
        output: None,
        notes,
    }
}

fn text(r: &ReplayReport) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    writeln!(out, "{}: {} records, the chain is whole", one_line(&r.log), r.records)?;
    writeln!(out, "target  {} is the file that was opened", one_line(&r.target))?;
    for edit in &r.edits {
        writeln!(out, "edit    {} ({}): {}", edit.proposal, edit.seq, one_line(&edit.edit))?;
    }
    for check in &r.saved {
        let word = if check.same { "the same" } else { "DIFFERENT" };
        writeln!(out, "saved   {} (record {}): {word}", one_line(&check.path), check.seq)?;
        writeln!(out, "        recorded {}", check.recorded)?;
        writeln!(out, "        made     {}", check.made)?;
        if !check.same && check.made == check.recorded {
            writeln!(out, "        the recipe or the external data are others")?;
        }
    }
    match r.file_same {
        Some(true) => writeln!(out, "        the file there is the one that was saved")?,
        Some(false) => writeln!(out, "        the file there was changed since")?,
        None => {}
    }
    if let Some(output) = &r.output {
        writeln!(out, "written {}  {}", output.sha256, output.path)?;
    }
    for note in &r.notes {
        writeln!(out, "note: {note}")?;
    }
    Ok(out)
}
