//! `fixcon repair`: mends a target without a person, as far as a policy allows.

use super::output::{check_outputs, write_file};
use super::policy::PolicyArgs;
use super::progress::Bar;
use super::{CaseArgs, Common, DIFFERENT, SAME, print_json, print_text};
use crate::audit::{By, Recorder};
use crate::localize::LocalizeOptions;
use crate::model::{Existing, harmless};
use crate::repair::{Job, JobOptions, Journal, Repaired, Unrecorded, paper, run as mend};
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use schemars::JsonSchema;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// How to go about it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Localise, mend where the error arises, check on all images
    #[default]
    Fixcon,
    /// The loop of the Fix-Con / FetaFix paper, for comparison: fixed order of edits, judged on one image at a time
    Paper,
}

/// Arguments of `fixcon repair`.
#[derive(Debug, Default, Args)]
pub struct RepairArgs {
    /// The case.
    #[command(flatten)]
    pub case: CaseArgs,
    /// Where the repaired model goes
    #[arg(long, short, value_name = "MODEL")]
    pub output: Option<PathBuf>,
    /// Where the target's recipe goes as it should be: a `[preprocess]` table
    #[arg(long, value_name = "FILE")]
    pub recipe_output: Option<PathBuf>,
    /// Where the audit log goes; the output's name with .fixcon.jsonl when absent
    #[arg(long, value_name = "LOG")]
    pub audit_log: Option<PathBuf>,
    /// Accept whatever the policy allows without asking
    #[arg(long, short)]
    pub yes: bool,
    /// Replace files that exist
    #[arg(long)]
    pub force: bool,
    /// What may be accepted.
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// How to go about it; with paper, --max-broken and --rounds mean nothing
    #[arg(long, value_enum, default_value_t = Strategy::Fixcon)]
    pub strategy: Strategy,
    /// Seconds after which --strategy paper begins no further trial
    #[arg(long, default_value_t = 7200, value_name = "SECONDS")]
    pub time_limit: u64,
}

/// What `--json` gives.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RepairReport {
    /// How it was gone about.
    pub strategy: Strategy,
    /// Images whose labels differed at first.
    pub initial_mismatches: usize,
    /// Images whose labels differ at the end.
    pub final_mismatches: usize,
    /// Images compared.
    pub of: usize,
    /// Of the images that only verified: those that differ at the end, of how many.
    pub held_back: (usize, usize),
    /// Images that agree, but by less than the target's lower precision moves their scores: another runtime may see another label.
    pub uncertain: Vec<String>,
    /// Edits that were accepted, in order.
    pub accepted: Vec<AcceptedReport>,
    /// Suspects that no edit mends, or whose edit was not accepted.
    pub left: Vec<LeftReport>,
    /// Where the repaired model is.
    pub output: Option<String>,
    /// SHA-256 of it.
    pub sha256: Option<String>,
    /// Whether the target's recipe changed: the repaired model is right with the new one alone.
    pub recipe_changed: bool,
    /// Where the new recipe is.
    pub recipe_output: Option<String>,
    /// Where the log is.
    pub audit_log: Option<String>,
    /// Remarks.
    pub notes: Vec<String>,
}

/// An accepted edit.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AcceptedReport {
    /// Two letters.
    pub category: &'static str,
    /// Id of the kind.
    pub kind: &'static str,
    /// Nodes that are touched.
    pub target_nodes: Vec<String>,
    /// The edit in words.
    pub edit: String,
    /// What was wrong, in words.
    pub words: String,
    /// Exact and local.
    pub safe: bool,
    /// Flips before and after.
    pub flips: (usize, usize),
}

/// A suspect that is left.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LeftReport {
    /// Two letters.
    pub category: &'static str,
    /// Id of the kind, when it is known.
    pub kind: Option<&'static str>,
    /// The difference in words.
    pub words: String,
    /// Why its edit was not accepted, where one was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// Runs the command.
pub fn run(args: &RepairArgs, common: &Common) -> Result<ExitCode> {
    if !args.yes {
        bail!("repair decides without a person: say --yes to accept what the policy allows, or decide yourself with fixcon debug");
    }
    let terms = args.policy.terms()?;
    let existing = if args.force { Existing::Replace } else { Existing::Refuse };
    let options = JobOptions { run: common.run_options(), localize: LocalizeOptions::default(), holdout: terms.holdout };
    let case = args.case.case()?;
    let log = args.audit_log.clone().or_else(|| args.output.as_ref().map(|o| o.with_extension("fixcon.jsonl")));
    let file = args.case.path();
    let read: Vec<&Path> = [
        Some(&case.source),
        Some(&case.target),
        Some(&case.images),
        case.labels.as_ref(),
        case.truth.as_ref(),
        file.as_ref(),
        args.policy.policy.as_ref(),
    ]
    .into_iter()
    .flatten()
    .map(PathBuf::as_path)
    .collect();
    check_outputs([&args.output, &args.recipe_output, &log].into_iter().flatten().map(PathBuf::as_path), &read)?;
    let mut job = Job::open(case, options)?;
    // What exists and is not to be replaced is said before the work, not after it.
    if let Some(path) = [&args.output, &args.recipe_output].into_iter().flatten().find(|p| !args.force && p.exists()) {
        bail!("{}: exists already; replace it with --force or name another file", path.display());
    }
    let mut recorder =
        log.as_ref().map(|path| Recorder::create(path, &job, file.as_deref(), By::Policy(terms.name.clone()), existing)).transpose()?;
    let repaired = {
        let bar = Bar::new(common);
        let mut unrecorded = Unrecorded::default();
        let journal: &mut dyn Journal = match &mut recorder {
            Some(recorder) => recorder,
            None => &mut unrecorded,
        };
        match args.strategy {
            Strategy::Fixcon => mend(&mut job, &terms.policy, journal, &bar)?,
            Strategy::Paper => paper::run(&mut job, &terms.policy, Duration::from_secs(args.time_limit), journal, &bar)?,
        }
    };
    let sha256 = match (&args.output, &mut recorder) {
        (Some(path), Some(recorder)) => Some(recorder.save(&job, path, existing)?.model.sha256),
        _ => None,
    };
    if let (Some(path), Some(recipe)) = (&args.recipe_output, &job.target_feed.recipe) {
        write_file(path, format!("[preprocess]\n{}", recipe.to_toml()).as_bytes(), args.force)?;
    }
    if let Some(recorder) = &mut recorder {
        recorder.close(Some(repaired.left))?;
    }
    let report = report(&job, &repaired, args, sha256, log.as_deref());
    if common.json {
        print_json(&report)?;
    } else {
        print_text(&text(&report))?;
    }
    Ok(ExitCode::from(if repaired.left == 0 { SAME } else { DIFFERENT }))
}

fn report(job: &Job, repaired: &Repaired, args: &RepairArgs, sha256: Option<String>, log: Option<&Path>) -> RepairReport {
    let flips = job.flips();
    let held: Vec<usize> = (0..job.images.len()).filter(|i| job.is_held_back(*i)).collect();
    let accepted = job.standing().map(|a| AcceptedReport {
        category: a.proposal.kind.category().id(),
        kind: a.proposal.kind.id(),
        target_nodes: a.proposal.nodes.clone(),
        edit: match (&a.proposal.recipe, a.proposal.safe) {
            (Some((_, keys)), _) if !keys.is_empty() => format!("recipe: {}", keys.join(", ")),
            (_, false) => format!("sub-graph: {}", a.proposal.words),
            _ => a.proposal.edit.to_string(),
        },
        words: a.proposal.words.clone(),
        safe: a.proposal.safe,
        flips: a.flips,
    });
    let last = repaired.rounds.last();
    let why = |suspect: usize| last.and_then(|r| r.refused.iter().find(|(s, _)| *s == suspect)).map(|(_, why)| why.clone());
    let left = last.iter().flat_map(|r| &r.findings.suspects).enumerate().map(|(i, s)| LeftReport {
        category: s.category.id(),
        kind: s.kind.map(crate::localize::Kind::id),
        words: s.words.clone(),
        refused: why(i),
    });
    RepairReport {
        strategy: args.strategy,
        initial_mismatches: repaired.initial,
        final_mismatches: repaired.left,
        of: repaired.of,
        held_back: (held.iter().filter(|i| flips.contains(i)).count(), held.len()),
        uncertain: job.uncertain().into_iter().filter_map(|i| job.images.items().get(i).map(|item| item.name.clone())).collect(),
        accepted: accepted.collect(),
        left: left.collect(),
        output: args.output.as_ref().map(|p| p.display().to_string()),
        sha256,
        recipe_changed: job.target_feed.recipe != job.original_feed.recipe,
        recipe_output: args.recipe_output.as_ref().map(|p| p.display().to_string()),
        audit_log: log.map(|p| p.display().to_string()),
        notes: job
            .notes
            .iter()
            .chain(&repaired.notes)
            .chain(last.iter().flat_map(|r| &r.findings.notes))
            .cloned()
            .chain(job.target_labels.failure.iter().map(|why| format!("the target does not run: {why}")))
            .collect(),
    }
}

fn text(r: &RepairReport) -> String {
    let mut out = format!("{} → {} of {} images have another label", r.initial_mismatches, r.final_mismatches, r.of);
    if r.held_back.1 > 0 {
        out += &format!("; {} of {} that only verify", r.held_back.0, r.held_back.1);
    }
    out.push('\n');
    for a in &r.accepted {
        out += &format!("  ✓ {:<12} {}  {} → {}\n", a.kind, harmless(&a.words), a.flips.0, a.flips.1);
    }
    for l in &r.left {
        out += &format!("  ? {:<12} {}\n", l.kind.unwrap_or(l.category), harmless(&l.words));
        if let Some(why) = &l.refused {
            out += &format!("                 not mended: {}\n", harmless(why));
        }
    }
    if let (Some(path), Some(sha256)) = (&r.output, &r.sha256) {
        out += &format!("saved as {}   sha256 {}…\n", harmless(path), &sha256[..12.min(sha256.len())]);
    }
    if r.output.is_none() && !r.accepted.is_empty() {
        out += "not saved: --output FILE keeps the repaired model, and its log beside it\n";
    }
    match &r.recipe_output {
        Some(path) => out += &format!("recipe {}: the target is right with this one alone\n", harmless(path)),
        None if r.recipe_changed => {
            out += "the target's recipe changed: it is right with the new one alone, which --recipe-output FILE keeps\n"
        }
        None => {}
    }
    if let Some(log) = &r.audit_log {
        out += &format!("log {}\n", harmless(log));
    }
    for note in &r.notes {
        out += &format!("note: {}\n", harmless(note));
    }
    out
}
