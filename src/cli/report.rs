//! `fixcon report`: a session's log as a report. Nothing runs again.

use super::output::{check_free, print_text, write_file};
use super::reads::Reads;
use super::{Common, DIFFERENT, SAME, print_json};
use crate::model::harmless_json;
use crate::report::{self, Report};
use anyhow::Result;
use clap::{Args, ValueEnum, ValueHint};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `fixcon report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Audit log
    #[arg(value_name = "LOG", value_hint = ValueHint::FilePath)]
    pub log: PathBuf,
    /// Form of the report
    #[arg(long, value_enum, default_value_t = Format::Markdown)]
    pub format: Format,
    /// The outcome in short, for a comment on a pull request (Markdown)
    #[arg(long)]
    pub brief: bool,
    /// List every image that differs or did, not the first 50 alone (Markdown)
    #[arg(long, conflicts_with = "brief")]
    pub all_images: bool,
    /// Where the report goes; standard output when absent
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long, requires = "output")]
    pub force: bool,
}

/// Form of a report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For an issue or a wiki
    #[default]
    Markdown,
    /// A page that stands alone
    Html,
    /// Everything, for programs; the same as --json
    Json,
    /// For test dashboards: a case for each image that differs and each suspect
    Junit,
    /// For code scanning: a result for each suspect, the rules are the kinds of faults
    Sarif,
}

/// Runs `fixcon report`: exit code 0 when the log is whole, 1 when it is reported up to the first record that is not to be trusted.
pub fn run(args: &ReportArgs, common: &Common) -> Result<ExitCode> {
    let format = if common.json { Format::Json } else { args.format };
    if args.brief && format != Format::Markdown {
        anyhow::bail!("--brief is a form of the Markdown report; leave it out or give --format markdown");
    }
    if let Some(path) = &args.output {
        Reads::log(&args.log).check([path.as_path()])?;
        check_free(path, args.force)?;
    }
    if args.all_images && format != Format::Markdown {
        anyhow::bail!("--all-images is for the Markdown report; --format json has all of them");
    }
    let report = Report::read(&args.log)?;
    let text = match format {
        Format::Markdown if args.brief => report::brief(&report),
        Format::Markdown if args.all_images => report::markdown_of_all(&report),
        Format::Markdown => report::markdown(&report),
        Format::Html => report::html(&report)?,
        Format::Json => harmless_json(&serde_json::to_string_pretty(&report)?).into_owned() + "\n",
        Format::Junit => report::junit(&report)?,
        Format::Sarif => harmless_json(&report::sarif(&report)?).into_owned(),
    };
    if let Some(problem) = &report.problem {
        eprintln!("error: the log is not to be trusted from record {} on: {}", report.records + 1, crate::model::harmless(problem));
    }
    match &args.output {
        Some(path) => {
            write_file(path, text.as_bytes(), args.force)?;
            if !common.quiet {
                eprintln!("{}", crate::model::harmless(&format!("written: {}", path.display())));
            }
        }
        None if format == Format::Json => print_json(&report)?,
        None => print_text(&text)?,
    }
    Ok(ExitCode::from(if report.whole { SAME } else { DIFFERENT }))
}
