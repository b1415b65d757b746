//! `fixcon repair`: mends a target without a person, as far as a policy allows.

use super::output::{check_free, write_file};
use super::policy::{PolicyArgs, Terms};
use super::progress::Bar;
use super::reads::Reads;
use super::{CaseArgs, Common, Unreadable, print_json, print_text, unreadable};
use crate::audit::{By, Recorder};
use crate::compare::LeftOut;
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
    /// Where the repaired model goes; nothing is written where labels differ and no edit was accepted
    #[arg(long, short, value_name = "MODEL")]
    pub output: Option<PathBuf>,
    /// Where the target's recipe goes as it should be, where it was wrong: a `[preprocess]` table
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
    /// Write the model to --output also where labels differ and no edit was accepted
    #[arg(long, requires = "output")]
    pub save_unchanged: bool,
    /// What becomes of images that cannot be read.
    #[command(flatten)]
    pub unreadable: Unreadable,
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
    /// Images whose labels differed at first; where the target did not run, every image.
    pub initial_mismatches: usize,
    /// Why the target did not run at first, where it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub did_not_run: Option<String>,
    /// Images whose labels differ at the end.
    pub final_mismatches: usize,
    /// Why the target does not run at the end, where it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub does_not_run: Option<String>,
    /// Images compared.
    pub of: usize,
    /// Images whose labels differ at the end and did not at first.
    pub broken: Vec<String>,
    /// Images that cannot be read, with the reason: nothing is known of them.
    pub left_out: Vec<LeftOut>,
    /// Of the images that only verified: those that differ at the end, of how many.
    pub held_back: (usize, usize),
    /// Images that agree, but by less than the target's lower precision moves their scores: another runtime may see another label.
    pub uncertain: Vec<String>,
    /// Edits that were accepted, in order.
    pub accepted: Vec<AcceptedReport>,
    /// Suspects that no edit mends, or whose edit was not accepted.
    pub left: Vec<LeftReport>,
    /// Where the repaired model is; absent where it was not written, as no edit was accepted.
    pub output: Option<String>,
    /// SHA-256 of it.
    pub sha256: Option<String>,
    /// Whether the target's recipe changed: the repaired model is right with the new one alone.
    pub recipe_changed: bool,
    /// Where the new recipe is; absent where the target's recipe did not change.
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
    /// Flips before and after; those of edits that were made together are of all of them.
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
    let options = JobOptions { run: common.run_options(), localize: LocalizeOptions::default(), holdout: terms.holdout };
    let case = args.case.case()?;
    let log = args.audit_log.clone().or_else(|| args.output.as_ref().map(|o| o.with_extension("fixcon.jsonl")));
    let reads = Reads::args(&args.case, &case).and(args.policy.policy.as_deref());
    reads.check([&args.output, &args.recipe_output, &log].into_iter().flatten().map(PathBuf::as_path))?;
    let mut job = Job::open(case, options)?;
    // What exists and is not to be replaced is said before the work, not after it.
    for path in [&args.output, &args.recipe_output].into_iter().flatten() {
        check_free(path, args.force)?;
    }
    if let Some(output) = &args.output {
        reads.spare_data(&job.original, output)?;
    }
    let begin = |path: &PathBuf| Recorder::create(path, &job, args.case.path().as_deref(), By::Policy(terms.name.clone()), existing(args));
    let mut recorder = log.as_ref().map(begin).transpose()?;
    let (repaired, written) = match mended(&mut job, &mut recorder, &terms, args, common) {
        Ok(done) => done,
        Err(why) => {
            // That nothing is left behind is worth less than the reason.
            let _ = recorder.map(Recorder::discard);
            return Err(why);
        }
    };
    let report = report(&job, &repaired, args, written, log.as_deref());
    if common.json {
        print_json(&report)?;
    } else {
        print_text(&text(&report, args))?;
    }
    Ok(args.unreadable.code(repaired.left == 0, report.left_out.len(), job.images.len()))
}

fn existing(args: &RepairArgs) -> Existing {
    if args.force { Existing::Replace } else { Existing::Refuse }
}

/// Files that were written.
#[derive(Debug, Default)]
struct Written {
    /// SHA-256 of the repaired model.
    model: Option<String>,
    recipe: bool,
}

/// Mends the target, and writes what came of it.
fn mended(
    job: &mut Job,
    recorder: &mut Option<Recorder>,
    terms: &Terms,
    args: &RepairArgs,
    common: &Common,
) -> Result<(Repaired, Written)> {
    let repaired = {
        let bar = Bar::new(common);
        let mut unrecorded = Unrecorded::default();
        let journal: &mut dyn Journal = match recorder {
            Some(recorder) => recorder,
            None => &mut unrecorded,
        };
        match args.strategy {
            Strategy::Fixcon => mend(job, &terms.policy, journal, &bar)?,
            Strategy::Paper => paper::run(job, &terms.policy, Duration::from_secs(args.time_limit), journal, &bar)?,
        }
    };
    let mut written = Written::default();
    // What agrees is written as it is, so that whoever goes on with the file finds it; what was not mended is not passed on as repaired.
    let worth = job.standing().next().is_some() || repaired.left == 0 || args.save_unchanged;
    if let (Some(path), Some(recorder)) = (args.output.as_ref().filter(|_| worth), &mut *recorder) {
        written.model = Some(recorder.save(job, path, existing(args))?.model.sha256);
    }
    if let (Some(path), Some(recipe)) = (&args.recipe_output, &job.target_feed.recipe)
        && recipe_changed(job)
    {
        write_file(path, format!("[preprocess]\n{}", recipe.to_toml()).as_bytes(), args.force)?;
        written.recipe = true;
    }
    if let Some(recorder) = recorder {
        recorder.close(Some(repaired.left))?;
    }
    Ok((repaired, written))
}

fn recipe_changed(job: &Job) -> bool {
    job.target_feed.recipe != job.original_feed.recipe
}

fn report(job: &Job, repaired: &Repaired, args: &RepairArgs, written: Written, log: Option<&Path>) -> RepairReport {
    let flips = job.flips();
    let held: Vec<usize> = (0..job.images.len()).filter(|i| job.is_held_back(*i)).collect();
    let accepted = job.standing().map(|a| AcceptedReport {
        category: a.proposal.kind.category().id(),
        kind: a.proposal.kind.id(),
        target_nodes: a.proposal.nodes.clone(),
        edit: match (&a.proposal.recipe, a.proposal.safe) {
            (Some((_, keys)), _) if !keys.is_empty() => format!("recipe: {}", keys.iter().map(|k| k.name()).collect::<Vec<_>>().join(", ")),
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
        did_not_run: repaired.did_not_run.clone(),
        final_mismatches: repaired.left,
        does_not_run: job.target_labels.failure.clone(),
        of: repaired.of,
        broken: names(job, &repaired.broken),
        left_out: job.left_out(),
        held_back: (held.iter().filter(|i| flips.contains(i)).count(), held.len()),
        uncertain: names(job, &job.uncertain()),
        accepted: accepted.collect(),
        left: left.collect(),
        output: args.output.as_ref().filter(|_| written.model.is_some()).map(|p| p.display().to_string()),
        sha256: written.model,
        recipe_changed: recipe_changed(job),
        recipe_output: args.recipe_output.as_ref().filter(|_| written.recipe).map(|p| p.display().to_string()),
        audit_log: log.map(|p| p.display().to_string()),
        notes: job.notes.iter().chain(&repaired.notes).chain(last.iter().flat_map(|r| &r.findings.notes)).cloned().collect(),
    }
}

fn names(job: &Job, images: &[usize]) -> Vec<String> {
    images.iter().filter_map(|i| Some(job.images.items().get(*i)?.name.clone())).collect()
}

fn text(r: &RepairReport, args: &RepairArgs) -> String {
    let mut out = match (&r.does_not_run, &r.did_not_run) {
        (Some(why), _) => format!("the target does not run: {}", harmless(why)),
        (None, Some(why)) => {
            format!("the target did not run: {}\nnow {} of {} images have another label", harmless(why), r.final_mismatches, r.of)
        }
        (None, None) => format!("{} → {} of {} images have another label", r.initial_mismatches, r.final_mismatches, r.of),
    };
    if r.held_back.1 > 0 {
        out += &format!("; of {} that only verify, {} do", r.held_back.1, r.held_back.0);
    }
    out.push('\n');
    if !r.broken.is_empty() {
        out += &format!("newly broken, they agreed at first: {}\n", few(&r.broken));
    }
    out += &unreadable::lines(&r.left_out, "");
    let mut accepted = &r.accepted[..];
    while let Some(first) = accepted.first() {
        // What was made together has its figures together.
        let (was, is) = first.flips;
        let count = if was == is { 1 } else { accepted.iter().take_while(|a| a.flips == first.flips).count() };
        let (together, rest) = accepted.split_at(count);
        for a in together {
            let arrow = if count == 1 { format!("  {was} → {is}") } else { String::new() };
            out += &format!("  ✓ {:<12} {}{arrow}\n", a.kind, harmless(&a.words));
        }
        if count > 1 {
            out += &format!("    {:<12} {was} → {is}\n", "together");
        }
        accepted = rest;
    }
    for l in &r.left {
        out += &format!("  ? {:<12} {}\n", l.kind.unwrap_or(l.category), harmless(&l.words));
        if let Some(why) = &l.refused {
            out += &format!("                 not mended: {}\n", harmless(why));
        }
    }
    match (&r.output, &r.sha256, &args.output) {
        (Some(path), Some(sha256), _) => out += &format!("saved as {}   sha256 {}…\n", harmless(path), &sha256[..12.min(sha256.len())]),
        (_, _, Some(path)) => {
            let path = path.display().to_string();
            out += &format!("no edit was accepted, so {} was not written (--save-unchanged writes it all the same)\n", harmless(&path));
        }
        (_, _, None) if !r.accepted.is_empty() => out += "not saved: --output FILE keeps the repaired model, and its log beside it\n",
        _ => {}
    }
    match (&r.recipe_output, &args.recipe_output) {
        (Some(path), _) => out += &format!("recipe {}: the target is right with this one alone\n", harmless(path)),
        (None, Some(path)) => {
            let path = path.display().to_string();
            out += &format!("the target's recipe is as it was, so {} was not written\n", harmless(&path));
        }
        (None, None) if r.recipe_changed => {
            out += "the target's recipe changed: it is right with the new one alone, which --recipe-output FILE keeps\n"
        }
        (None, None) => {}
    }
    if let Some(log) = &r.audit_log {
        out += &format!("log {}\n", harmless(log));
    }
    for note in &r.notes {
        out += &format!("note: {}\n", harmless(note));
    }
    out
}

/// How many there are, and the names of the first few.
fn few(names: &[String]) -> String {
    const NAMED: usize = 5;
    let shown: Vec<_> = names.iter().take(NAMED).map(|n| harmless(n)).collect();
    let more = if names.len() > NAMED { ", …" } else { "" };
    format!("{} ({}{more})", names.len(), shown.join(", "))
}
