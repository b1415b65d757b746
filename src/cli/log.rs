//! `fixcon log`: an audit log for people.

use super::{Common, DIFFERENT, SAME, print_json, print_text};
use crate::audit::{AuditError, Chain, Decision, Record, State};
use anyhow::Result;
use clap::{Args, ValueHint};
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `fixcon log`.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// Audit log
    #[arg(value_name = "LOG", value_hint = ValueHint::FilePath)]
    pub log: PathBuf,
}

/// What `fixcon log --json` writes.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LogReport {
    /// The log.
    pub log: String,
    /// Whether every record is whole and follows the one before.
    pub whole: bool,
    /// What is wrong with the record behind the last of `records`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<LogProblem>,
    /// Bytes of a last line that a crash cut off.
    pub cut_off: usize,
    /// Whether the session was closed; one that was not may go on, or its end is missing.
    pub closed: bool,
    /// Proposals whose edits are made, in the order in which they were.
    pub made: Vec<u32>,
    /// The records that are to be trusted.
    pub records: Vec<Record>,
}

/// What is wrong with a record.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LogProblem {
    /// Number of the record, which is that of its line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// What is wrong.
    pub message: String,
}

/// Runs `fixcon log`: exit code 0 when the log is whole, 1 when it is not.
pub fn run(args: &LogArgs, common: &Common) -> Result<ExitCode> {
    let chain = Chain::read(&args.log)?;
    let problem = chain.problem.as_ref().map(|error| {
        let seq = if let AuditError::Record { seq, .. } = error { Some(*seq) } else { None };
        LogProblem { seq, message: error.to_string() }
    });
    let report = LogReport {
        log: args.log.display().to_string(),
        whole: problem.is_none(),
        problem,
        cut_off: chain.cut_off,
        closed: chain.state.as_ref().is_some_and(|s| s.closed.is_some()),
        made: chain.state.as_ref().map(State::made).unwrap_or_default(),
        records: chain.records,
    };
    if common.json {
        print_json(&report)?;
    } else {
        print_text(&text(&report, chain.state.as_ref(), &TimeZone::system()))?;
    }
    Ok(ExitCode::from(if report.whole { SAME } else { DIFFERENT }))
}

/// A line for each record; the time in this zone.
fn text(report: &LogReport, state: Option<&State>, zone: &TimeZone) -> String {
    let mut out = String::new();
    let mut day = None;
    for record in &report.records {
        let at = record.at.to_zoned(zone.clone());
        if day.replace(at.date()) != Some(at.date()) {
            let _ = writeln!(out, "{}", at.strftime("%A, %-d %B %Y (%Z)"));
        }
        let _ = writeln!(out, "{:>5}  {}  {}", record.seq, at.strftime("%H:%M:%S"), one_line(&record.event.to_string()));
    }
    out.push('\n');
    if let Some(state) = state {
        let _ = writeln!(out, "{}", summary(state));
    }
    if report.cut_off > 0 {
        let _ = writeln!(
            out,
            "note: the last line was cut off after {} bytes, in a crash; whoever goes on with the session (fixcon debug) goes on behind the last whole record",
            report.cut_off
        );
    }
    match &report.problem {
        Some(problem) => {
            let _ = writeln!(out, "NOT TO BE TRUSTED from there on: {}", one_line(&problem.message));
        }
        None if report.closed => out.push_str("the chain is whole\n"),
        None => out.push_str("the chain is whole; the session was not closed: it goes on, crashed, or its last records were taken away\n"),
    }
    out
}

fn summary(state: &State) -> String {
    let decided = |what: Decision| state.proposals.values().filter(|(_, d)| d.as_ref().is_some_and(|d| d.decision == what)).count();
    let mut out = format!(
        "{} proposed, {} accepted, {} rejected, {} skipped; {} made, {} taken back",
        state.proposals.len(),
        decided(Decision::Accept),
        decided(Decision::Reject),
        decided(Decision::Skip),
        state.edits.len(),
        state.undone.len()
    );
    match &state.saved {
        Some(saved) => {
            let _ = write!(out, "; saved as {}", one_line(&saved.model.path));
            if state.is_unsaved() {
                out.push_str(" without the last changes");
            }
        }
        None => out.push_str("; not saved"),
    }
    out
}

/// Text without line breaks or other control characters: names come from files.
pub(super) fn one_line(text: &str) -> String {
    let plain = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(plain).collect()
}
