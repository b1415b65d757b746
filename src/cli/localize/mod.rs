//! `fixcon localize`: which layer introduces the error, and why.

mod report;
mod text;

pub use report::{LocalizeReport, report};

use super::progress::Bar;
use super::{CaseArgs, Common, Unreadable, print_json, print_text, unreadable};
use crate::align::Hints;
use crate::localize::{LocalizeOptions, Outcome, Ranking};
use crate::repair::{Job, JobOptions};
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use std::process::ExitCode;
use text::{markdown, text};

/// Arguments of `fixcon localize`.
#[derive(Debug, Default, Args)]
pub struct LocalizeArgs {
    /// The case.
    #[command(flatten)]
    pub case: CaseArgs,
    /// How the outcome is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Images to look at, flipped ones first: one is aligned on, the others show what is silent on it
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub probes: usize,
    /// How suspects and the table of regions are ordered
    #[arg(long, value_enum, default_value_t = RankBy::Splice, value_name = "HOW")]
    pub ranking: RankBy,
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
    /// What becomes of images that cannot be read.
    #[command(flatten)]
    pub unreadable: Unreadable,
}

/// How suspects and the table of regions are ordered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum RankBy {
    /// By the flips that go when this place alone is right
    #[default]
    Splice,
    /// As Fix-Con does: by the share of elements whose error tells flipped from agreeing images (Kruskal-Wallis, p < 0.05, up to 15 of each)
    KruskalWallis,
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

/// Runs the command.
pub fn run(args: &LocalizeArgs, common: &Common) -> Result<ExitCode> {
    if let Some(file) = &args.golden {
        return super::golden::run(args.case.written()?, file, common);
    }
    let ranking = match args.ranking {
        RankBy::Splice => Ranking::Splice,
        RankBy::KruskalWallis => Ranking::KruskalWallis,
    };
    let hints = Hints { pins: pairs(&args.pin)?.into_iter().collect(), forbidden: pairs(&args.forbid)? };
    let options = JobOptions {
        run: common.run_options(),
        localize: LocalizeOptions { images: args.probes.max(1), hints, ranking, ..LocalizeOptions::default() },
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
    Ok(args.unreadable.code(same, report.left_out.len(), job.images.len()))
}

fn pairs(list: &[String]) -> Result<Vec<(String, String)>> {
    let split = |text: &String| match text.split_once('=') {
        Some((t, s)) if !t.is_empty() && !s.is_empty() => Ok((t.to_string(), s.to_string())),
        _ => bail!("'{text}' is no pair; write TARGET=SOURCE, both names of values"),
    };
    list.iter().map(split).collect()
}
