//! `fixcon check`: do source and target agree on these images?

use super::progress::Bar;
use super::{CaseArgs, Common, Unreadable, print_json, print_text};
use crate::compare::{CheckOptions, CheckReport, ImageFinding, run_check};
use crate::model::harmless;
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use std::fmt::Write as _;
use std::process::ExitCode;
use unicode_width::UnicodeWidthStr;

/// Arguments of `fixcon check`.
#[derive(Debug, Default, Args)]
pub struct CheckArgs {
    /// The case.
    #[command(flatten)]
    pub case: CaseArgs,
    /// How the outcome is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Mismatched images that are listed as text; 0 is all
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub list: usize,
    /// Images listed as the worst
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub worst: usize,
    /// What becomes of images that cannot be read.
    #[command(flatten)]
    pub unreadable: Unreadable,
    /// Run the source on both runtimes, and compare these
    #[arg(long = "self", conflicts_with_all = ["target", "target_preset", "target_output"])]
    pub own: bool,
}

/// How the outcome is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// As JSON; the same as --json
    Json,
    /// As a JUnit test suite
    Junit,
}

/// Runs the command.
pub fn run(args: &CheckArgs, common: &Common) -> Result<ExitCode> {
    let done = compare(args, common);
    // Whoever collects test reports must find the failure there, too.
    if let Err(why) = &done
        && args.format == Format::Junit
        && !common.json
    {
        print_text(&junit_failure(&format!("{why:#}"))?)?;
    }
    done
}

fn compare(args: &CheckArgs, common: &Common) -> Result<ExitCode> {
    let mut options = CheckOptions { run: common.run_options(), target_run: None, worst: args.worst };
    let case = if args.own {
        let mut written = args.case.written()?;
        written.target = written.source.clone();
        if !cfg!(feature = "ort") {
            bail!("--self compares both runtimes, and this fixcon was built with one; build it with cargo build --release --features ort");
        }
        let mut other = options.run.clone();
        other.runtime = super::args::Engine::Ort.runtime(common.ort_lib.clone());
        options.target_run = Some(other);
        options.run.runtime = super::args::Engine::Tract.runtime(None);
        crate::dataset::Case::new(written)?
    } else {
        args.case.case()?
    };
    let report = {
        let bar = Bar::new(common);
        run_check(&case, &options, &bar)?
    };
    if common.json || args.format == Format::Json {
        print_json(&report)?;
    } else {
        let text = match args.format {
            Format::Junit => junit(&report, args.unreadable.skip_unreadable)?,
            _ => text(&report, args.list),
        };
        print_text(&text)?;
    }
    Ok(args.unreadable.code(report.agrees(), report.images.left_out.len(), report.images.count))
}

/// The report for people.
fn text(report: &CheckReport, list: usize) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_text(&mut out, report, list);
    out
}

fn write_text(out: &mut String, r: &CheckReport, list: usize) -> std::fmt::Result {
    writeln!(out, "source  {}", harmless(&r.source))?;
    writeln!(out, "target  {}", harmless(&r.target))?;
    let left = if r.images.left_out.is_empty() { String::new() } else { format!(", {} left out", r.images.left_out.len()) };
    writeln!(out, "images  {} in {}{left}", r.images.count, harmless(&r.images.path))?;
    for l in &r.images.left_out {
        writeln!(out, "        left out: {}", harmless(&l.why))?;
    }
    let m = r.mismatches;
    let what = r.compared.criterion.difference();
    let percent = 100.0 * m.count as f64 / m.of.max(1) as f64;
    if m.count == 0 {
        writeln!(out, "\nnone of {} images {what}", m.of)?;
    } else {
        writeln!(out, "\n{} of {} images {what} ({percent:.1} %)", m.count, m.of)?;
    }
    let shown = if list == 0 { r.flips.len() } else { list.min(r.flips.len()) };
    table(out, &r.flips[..shown])?;
    if shown < r.flips.len() {
        writeln!(out, "  and {} more (--list 0 lists all)", r.flips.len() - shown)?;
    }
    if !r.worst.is_empty() {
        writeln!(out, "\nfarthest apart")?;
        table(out, &r.worst)?;
    }
    let s = &r.summary;
    let (one, other) = (harmless(&r.compared.source_output), harmless(&r.compared.target_output));
    writeln!(out)?;
    match &s.distance {
        None => writeln!(out, "outputs  '{one}' and '{other}'")?,
        Some(d) => {
            let sqnr = d.sqnr_db_min.map(|d| format!(", SQNR from {d:.1} dB")).unwrap_or_default();
            writeln!(
                out,
                "outputs  '{one}' and '{other}': max abs {}, relative L2 {} (worst {}), cosine from {:.6}{sqnr}",
                short(d.max_abs),
                short(d.relative_l2_mean),
                short(d.relative_l2_max),
                d.cosine_min
            )?;
            let tau = d.kendall_tau_mean.map(|t| format!(", Kendall's tau {t:.4}")).unwrap_or_default();
            writeln!(out, "order    top-5 overlap {:.4}{tau}", d.top5_overlap_mean)?;
        }
    }
    if let Some(a) = s.accuracy {
        writeln!(out, "truth    source right in {} of {}, target in {} of {}", a.source.count, a.source.of, a.target.count, a.target.of)?;
    }
    for n in &r.non_finite {
        let what = match n.what {
            crate::compare::NonFinite::Nan => "NaN",
            crate::compare::NonFinite::Infinity => "infinity",
        };
        writeln!(
            out,
            "{what} in the {}'s output '{}' for {} images, first {} at element {}",
            n.side,
            harmless(&n.output),
            n.images,
            harmless(&n.image),
            n.element
        )?;
    }
    for note in &r.notes {
        writeln!(out, "note: {}", harmless(note))?;
    }
    Ok(())
}

/// A figure with three digits that count.
fn short(v: f64) -> String {
    match v {
        0.0 => "0".into(),
        v if (1e-3..1e5).contains(&v.abs()) => format!("{v:.4}"),
        v => format!("{v:.2e}"),
    }
}

fn table(out: &mut String, images: &[ImageFinding]) -> std::fmt::Result {
    if images.is_empty() {
        return Ok(());
    }
    let class =
        |label: usize, name: &Option<String>| name.as_ref().map_or_else(|| label.to_string(), |n| format!("{label} {}", harmless(n)));
    let lead = |m: Option<f32>| m.map_or("-".into(), |m| short(f64::from(m)));
    let mut rows = vec![["image", "source", "lead", "target", "lead", "relative L2", ""].map(String::from).to_vec()];
    rows.extend(images.iter().map(|i| {
        vec![
            harmless(&i.image).into_owned(),
            class(i.source.label, &i.source_class),
            lead(i.source.margin),
            class(i.target.label, &i.target_class),
            lead(i.target.margin),
            i.distance.map_or("-".into(), |d| short(d.relative_l2)),
            if i.near_tie { "near-tie".into() } else { String::new() },
        ]
    }));
    let widths: Vec<usize> = (0..rows[0].len()).map(|c| rows.iter().map(|r| r[c].width()).max().unwrap_or(0)).collect();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, w)| format!("{cell}{}", " ".repeat(w - cell.width()))).collect();
        writeln!(out, "  {}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

/// A JUnit test suite that says why nothing could be compared.
pub(super) fn junit_failure(why: &str) -> Result<String> {
    use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_message(why);
    let mut suite = TestSuite::new("fixcon check");
    suite.add_test_case(TestCase::new("comparison", status));
    let mut out = Report::new("fixcon check");
    out.add_test_suite(suite);
    Ok(out.to_string()?)
}

/// The report as a JUnit test suite: a failed test for each image that differs, an error for each left out, or a skipped test where that was
/// allowed.
fn junit(report: &CheckReport, skip: bool) -> Result<String> {
    use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
    let mut suite = TestSuite::new(format!("{} against {}", report.target, report.source));
    for flip in &report.flips {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        let name = |label: usize, class: &Option<String>| class.as_ref().map_or(label.to_string(), |c| format!("{label} ({c})"));
        status.set_message(format!(
            "source says {}, target {}{}",
            name(flip.source.label, &flip.source_class),
            name(flip.target.label, &flip.target_class),
            flip.distance.map_or(String::new(), |d| format!("; relative L2 {}", short(d.relative_l2)))
        ));
        suite.add_test_case(TestCase::new(flip.image.clone(), status));
    }
    for left in &report.images.left_out {
        let mut status = if skip { TestCaseStatus::skipped() } else { TestCaseStatus::non_success(NonSuccessKind::Error) };
        status.set_message(left.why.clone());
        suite.add_test_case(TestCase::new(left.image.clone(), status));
    }
    if let Some(nan) = report.own_nan() {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_message(format!("NaN in the target's output '{}' for {} images, and none in the source's", nan.output, nan.images));
        suite.add_test_case(TestCase::new(nan.image.clone(), status));
    }
    let same = report.mismatches.of - report.mismatches.count;
    if same > 0 || suite.test_cases.is_empty() {
        suite.add_test_case(TestCase::new(format!("{same} images agree"), TestCaseStatus::success()));
    }
    let mut out = Report::new("fixcon check");
    out.add_test_suite(suite);
    Ok(out.to_string()?)
}
