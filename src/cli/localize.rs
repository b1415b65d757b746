//! `fixcon localize`: which layer introduces the error, and why.

use super::progress::Bar;
use super::{CaseArgs, Common, DIFFERENT, SAME, print_json, print_text};
use crate::align::{Hints, Verdict};
use crate::localize::{Findings, LocalizeOptions, Outcome, Suspect};
use crate::model::harmless;
use crate::repair::{Job, JobOptions};
use crate::report::{KnownBug, code, known_of, plain};
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt::Write as _;
use std::process::ExitCode;
use unicode_width::UnicodeWidthStr;

/// Arguments of `fixcon localize`.
#[derive(Debug, Default, Args)]
pub struct LocalizeArgs {
    /// The case.
    #[command(flatten)]
    pub case: CaseArgs,
    /// How the outcome is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Images to align on, flipped ones first
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub probes: usize,
    /// List every region, clean ones too
    #[arg(long)]
    pub all: bool,
    /// Take a target value for the partner of a source value: TARGET=SOURCE
    #[arg(long, value_name = "TARGET=SOURCE")]
    pub pin: Vec<String>,
    /// Never take these two values for a pair: TARGET=SOURCE
    #[arg(long, value_name = "TARGET=SOURCE")]
    pub forbid: Vec<String>,
    /// Values of a run elsewhere in the target's place: what polygraphy run --save-outputs wrote for the same images, or an .npz of the first
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, conflicts_with_all = ["target", "pin", "forbid"])]
    pub golden: Option<std::path::PathBuf>,
}

/// How the outcome is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// As JSON; the same as --json
    Json,
    /// As Markdown, for an issue or a pull request
    Markdown,
}

/// What `--json` gives.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LocalizeReport {
    /// `clean`, `faulty` or `unloadable`.
    pub verdict: String,
    /// Images whose labels differ.
    pub mismatches: crate::compare::Mismatches,
    /// The worst first.
    pub suspects: Vec<SuspectReport>,
    /// Regions of both graphs, in the target's order.
    pub regions: Vec<RegionReport>,
    /// Isolated error that rounding alone makes.
    pub floor: f32,
    /// Isolated error above which a region is a suspect.
    pub threshold: f32,
    /// Remarks.
    pub notes: Vec<String>,
    /// Why the target does not run, when it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// A suspect.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SuspectReport {
    /// From 1.
    pub rank: usize,
    /// Two letters.
    pub category: &'static str,
    /// Id of the kind; absent when nothing explains it.
    pub kind: Option<&'static str>,
    /// Nodes of the target at fault.
    pub target_nodes: Vec<String>,
    /// Initializers, constants or values of the target at fault.
    pub target_tensors: Vec<String>,
    /// What stands for them in the source.
    pub source_nodes: Vec<String>,
    /// The difference in words.
    pub words: String,
    /// Lines of evidence.
    pub evidence: Vec<String>,
    /// Kinds that describe the same difference equally well.
    pub equivalents: Vec<&'static str>,
    /// From 0 to 1.
    pub confidence: f32,
    /// Isolated error; absent when it is infinite or there is no region.
    pub isolated: Option<f32>,
    /// Flipped images whose label is right once this place alone is right, of how many.
    pub splice: Option<(usize, usize)>,
    /// Edits that mend it, in words, the smallest first.
    pub edits: Vec<String>,
    /// Reports of converters' faults that look like it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<KnownBug>,
}

/// A region.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RegionReport {
    /// Nodes of the source.
    pub source: Vec<String>,
    /// Nodes of the target.
    pub target: Vec<String>,
    /// Order of the axes of its first output in the target, as axes of the source; `same` when nothing moves.
    pub layout: Option<String>,
    /// Isolated error.
    pub isolated: Option<f32>,
    /// Accumulated error.
    pub accumulated: Option<f32>,
    /// `clean`, `faulty` or `unchecked`.
    pub verdict: &'static str,
    /// Why it is unchecked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Runs the command.
pub fn run(args: &LocalizeArgs, common: &Common) -> Result<ExitCode> {
    if let Some(file) = &args.golden {
        return super::golden::run(args.case.written()?, file, common);
    }
    let hints = Hints { pins: pairs(&args.pin)?.into_iter().collect(), forbidden: pairs(&args.forbid)? };
    let options = JobOptions {
        run: common.run_options(),
        localize: LocalizeOptions { images: args.probes.max(1), hints, ..LocalizeOptions::default() },
        holdout: 0,
    };
    let mut job = Job::open(args.case.case()?, options)?;
    let findings = {
        let bar = Bar::new(common);
        job.evaluate(&bar)?;
        job.localize(&bar)?
    };
    let report = report(&job, &findings);
    match args.format {
        _ if common.json => print_json(&report)?,
        Format::Json => print_json(&report)?,
        format => {
            let text = if format == Format::Markdown { markdown(&report) } else { text(&report, args.all) };
            print_text(&text)?;
        }
    }
    let same = findings.outcome == Outcome::Clean && report.mismatches.count == 0;
    Ok(ExitCode::from(if same { SAME } else { DIFFERENT }))
}

fn pairs(list: &[String]) -> Result<Vec<(String, String)>> {
    let split = |text: &String| match text.split_once('=') {
        Some((t, s)) if !t.is_empty() && !s.is_empty() => Ok((t.to_string(), s.to_string())),
        _ => bail!("'{text}' is no pair; write TARGET=SOURCE, both names of values"),
    };
    list.iter().map(split).collect()
}

/// All that was found, with names in place of ids.
pub fn report(job: &Job, findings: &Findings) -> LocalizeReport {
    let (target, source) = (job.target.model(), job.source.model());
    let suspect = |(i, s): (usize, &Suspect)| SuspectReport {
        rank: i + 1,
        category: s.category.id(),
        kind: s.kind.map(crate::localize::Kind::id),
        target_nodes: s.target_nodes.iter().map(|n| target.label(*n).to_string()).collect(),
        target_tensors: s.target_tensors.iter().map(|v| target.index().name(*v).to_string()).collect(),
        source_nodes: s.source_nodes.iter().map(|n| source.label(*n).to_string()).collect(),
        words: s.words.clone(),
        evidence: s.evidence.clone(),
        equivalents: s.equivalents.iter().map(|k| k.id()).collect(),
        confidence: s.confidence,
        isolated: Some(s.error).filter(|e| e.is_finite()),
        splice: s.splice,
        edits: s.remedies.iter().map(|f| f.remedy.words.clone()).collect(),
        known: s.kind.map(|k| known_of(target, &s.target_nodes, k)).unwrap_or_default(),
    };
    let region = |r: &crate::align::Region| RegionReport {
        source: r.source.iter().map(|id| job.source.label(*id).to_string()).collect(),
        target: r.target.iter().map(|id| job.target.label(*id).to_string()).collect(),
        layout: r.outputs.first().map(|i| findings.pairs[*i].layout.to_string()),
        isolated: r.isolated.filter(|e| e.is_finite()),
        accumulated: r.accumulated.filter(|e| e.is_finite()),
        verdict: match r.verdict {
            Verdict::Clean => "clean",
            Verdict::Faulty => "faulty",
            Verdict::Unchecked => "unchecked",
        },
        why: r.why.clone(),
    };
    LocalizeReport {
        verdict: findings.outcome.word().into(),
        mismatches: crate::compare::Mismatches { count: job.flips().len(), of: job.count() },
        suspects: findings.suspects.iter().enumerate().map(suspect).collect(),
        regions: findings.regions.iter().map(region).collect(),
        floor: findings.floor,
        threshold: findings.threshold,
        notes: job.notes.iter().chain(&findings.notes).cloned().collect(),
        failure: job.target_labels.failure.clone(),
    }
}

fn figure(error: Option<f32>) -> String {
    match error {
        None => "-".into(),
        Some(0.0) => "0".into(),
        Some(e) if e >= 0.01 => format!("{e:.2}"),
        Some(e) => format!("{e:.1e}"),
    }
}

fn sign(verdict: &str) -> &'static str {
    match verdict {
        "clean" => "=",
        "faulty" => "✗",
        _ => "?",
    }
}

/// Isolated errors over the whole depth in at most `width` characters, on a logarithmic scale: the eye finds the fault.
fn heat_strip(regions: &[RegionReport], width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let checked: Vec<&RegionReport> = regions.iter().filter(|r| !r.target.is_empty()).collect();
    let columns = checked.len().min(width).max(1);
    (0..columns)
        .map(|c| {
            let part = &checked[c * checked.len() / columns..(c + 1) * checked.len() / columns];
            if part.iter().any(|r| r.verdict == "unchecked") {
                return '?';
            }
            let worst = part.iter().filter_map(|r| r.isolated).fold(0.0f32, f32::max);
            // 1e-7 and below is the lowest bar, 1 and above the highest.
            let level = ((worst.max(1e-7).log10() + 7.0) / 7.0).clamp(0.0, 1.0);
            BARS[(level * 7.0).round() as usize]
        })
        .collect()
}

fn names(list: &[String]) -> String {
    match list {
        [] => "-".into(),
        [one] => harmless(one).into_owned(),
        [first, .., last] => format!("{} … {} ({})", harmless(first), harmless(last), list.len()),
    }
}

fn rows(report: &LocalizeReport, all: bool) -> Vec<[String; 6]> {
    let shown = |r: &&RegionReport| all || r.verdict != "clean";
    let row = |r: &RegionReport| {
        let layout = r.layout.clone().unwrap_or_else(|| "-".into());
        [
            names(&r.source),
            sign(r.verdict).to_string(),
            names(&r.target),
            layout,
            figure(r.isolated),
            harmless(r.why.as_deref().unwrap_or_default()).into_owned(),
        ]
    };
    report.regions.iter().filter(shown).map(row).collect()
}

fn text(report: &LocalizeReport, all: bool) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_text(&mut out, report, all);
    out
}

fn write_text(out: &mut String, r: &LocalizeReport, all: bool) -> std::fmt::Result {
    writeln!(
        out,
        "{}: {} of {} images have another label; {}",
        r.verdict,
        r.mismatches.count,
        r.mismatches.of,
        counted(r.suspects.len(), "suspect")
    )?;
    if let Some(why) = &r.failure {
        writeln!(out, "the target does not run: {}", harmless(why))?;
    }
    for s in &r.suspects {
        writeln!(out, "\n{}. {}  {}", s.rank, s.kind.unwrap_or(s.category), harmless(&s.words))?;
        writeln!(out, "   target   {}", harmless(&s.target_nodes.join(", ")))?;
        if !s.source_nodes.is_empty() {
            writeln!(out, "   source   {}", harmless(&s.source_nodes.join(", ")))?;
        }
        writeln!(out, "   evidence {}", harmless(&s.evidence.join("; ")))?;
        if let Some((cured, of)) = s.splice {
            writeln!(out, "   splice   {cured} of {of} flipped images come right when this place alone is right")?;
        }
        if !s.equivalents.is_empty() {
            writeln!(out, "   as well  {}", s.equivalents.join(", "))?;
        }
        for edit in s.edits.iter().take(3) {
            writeln!(out, "   mend     {}", harmless(edit))?;
        }
        for known in &s.known {
            writeln!(out, "   known    {}: {}", known.issue, known.what)?;
        }
    }
    let clean = r.regions.iter().filter(|x| x.verdict == "clean" && !x.target.is_empty()).count();
    writeln!(
        out,
        "\nregions  {clean} clean, {} not; floor {}, suspicious above {}",
        r.regions.iter().filter(|x| x.verdict != "clean").count(),
        figure(Some(r.floor)),
        figure(Some(r.threshold))
    )?;
    writeln!(out, "depth    {}", heat_strip(&r.regions, 100))?;
    let mut table = vec![["source", "", "target", "layout", "isolated", ""].map(String::from)];
    table.extend(rows(r, all));
    if table.len() > 1 {
        let widths: Vec<usize> = (0..6).map(|c| table.iter().map(|row| row[c].width()).max().unwrap_or(0).min(60)).collect();
        for row in &table {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, w)| format!("{cell}{}", " ".repeat(w.saturating_sub(cell.width())))).collect();
            writeln!(out, "  {}", cells.join("  ").trim_end())?;
        }
    }
    for note in &r.notes {
        writeln!(out, "note: {}", harmless(note))?;
    }
    Ok(())
}

fn counted(n: usize, word: &str) -> String {
    match n {
        0 => format!("no {word}"),
        1 => format!("1 {word}"),
        n => format!("{n} {word}s"),
    }
}

fn markdown(r: &LocalizeReport) -> String {
    let mut out = String::new();
    let _ = write_markdown(&mut out, r);
    out
}

fn write_markdown(out: &mut String, r: &LocalizeReport) -> std::fmt::Result {
    let code = |names: &[String]| names.iter().map(|n| code(n)).collect::<Vec<_>>().join(", ");
    writeln!(out, "**{}**: {} of {} images have another label.\n", r.verdict, r.mismatches.count, r.mismatches.of)?;
    if !r.suspects.is_empty() {
        writeln!(out, "| # | kind | target nodes | what | isolated |\n|---|---|---|---|---|")?;
        for s in &r.suspects {
            writeln!(
                out,
                "| {} | {} | {} | {} | {} |",
                s.rank,
                s.kind.unwrap_or(s.category),
                code(&s.target_nodes),
                plain(&s.words),
                figure(s.isolated)
            )?;
        }
        writeln!(out)?;
    }
    writeln!(out, "Isolated error over depth: `{}`\n", heat_strip(&r.regions, 60))?;
    for note in &r.notes {
        writeln!(out, "- {}", plain(note))?;
    }
    Ok(())
}
