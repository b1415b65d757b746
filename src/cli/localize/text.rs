//! `fixcon localize` for people: as text and as Markdown.

use super::report::{LocalizeReport, RegionReport};
use super::unreadable;
use crate::model::harmless;
use crate::report::{code, plain};
use std::fmt::Write as _;
use unicode_width::UnicodeWidthStr;

/// Rows of a ranking that are shown when not all are asked for.
const MOST_RANKED: usize = 20;

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

/// Regions in the order of the ranking, those without a score last.
fn ranked(report: &LocalizeReport, all: bool) -> Vec<&RegionReport> {
    let mut regions: Vec<&RegionReport> = report.regions.iter().collect();
    if report.ranking_images.is_some() {
        regions.sort_by(|x, y| y.significant.unwrap_or(-1.0).total_cmp(&x.significant.unwrap_or(-1.0)));
        regions.truncate(if all { usize::MAX } else { MOST_RANKED });
    } else {
        regions.retain(|r| all || r.verdict != "clean");
    }
    regions
}

fn percent(share: Option<f32>) -> String {
    share.map_or_else(|| "-".into(), |s| format!("{:.1} %", s * 100.0))
}

fn rows(report: &LocalizeReport, all: bool) -> Vec<[String; 7]> {
    let row = |r: &RegionReport| {
        let layout = r.layout.clone().unwrap_or_else(|| "-".into());
        [
            names(&r.source),
            sign(r.verdict).to_string(),
            names(&r.target),
            layout,
            figure(r.isolated),
            percent(r.significant),
            harmless(r.why.as_deref().unwrap_or_default()).into_owned(),
        ]
    };
    ranked(report, all).into_iter().map(row).collect()
}

pub(super) fn text(report: &LocalizeReport, all: bool) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_text(&mut out, report, all);
    out
}

fn write_text(out: &mut String, r: &LocalizeReport, all: bool) -> std::fmt::Result {
    writeln!(out, "{}: {}; {}", r.verdict, labels(r), counted(r.suspects.len(), "suspect"))?;
    if let Some(why) = &r.failure {
        writeln!(out, "it does not run: {}", harmless(why))?;
    }
    if r.suspects.is_empty() && r.failure.is_none() && r.mismatches.count > 0 && r.verdict == "clean" {
        writeln!(out, "labels differ by precision: nothing is wrongly converted (exit code 1 all the same, as labels differ)")?;
    }
    write!(out, "{}", unreadable::lines(&r.left_out, ""))?;
    for s in &r.suspects {
        writeln!(out, "\n{}. {}  {}", s.rank, s.kind.unwrap_or(s.category), harmless(&s.words))?;
        let target = if s.target_nodes.is_empty() { &s.target_tensors } else { &s.target_nodes };
        // The recipe stands nowhere in the target.
        if !target.is_empty() {
            writeln!(out, "   target   {}", harmless(&target.join(", ")))?;
        }
        if !s.source_nodes.is_empty() {
            writeln!(out, "   source   {}", harmless(&s.source_nodes.join(", ")))?;
        }
        writeln!(out, "   evidence {}", harmless(&s.evidence.join("; ")))?;
        if let Some((cured, of)) = s.splice {
            writeln!(out, "   splice   {cured} of {of} flipped images come right with the source's values put in right behind this place")?;
        }
        if s.significant.is_some() {
            writeln!(out, "   ranking  {} of its elements tell flipped from agreeing images", percent(s.significant))?;
        }
        if !s.equivalents.is_empty() {
            writeln!(out, "   as well  {}", s.equivalents.join(", "))?;
        }
        for (edit, change) in s.edits.iter().zip(&s.changes).take(3) {
            // What is wrong was said already; another edit says what it would change.
            let words = if *edit == s.words { change } else { edit };
            writeln!(out, "   mend     {}", harmless(words))?;
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
    if let Some((flipped, agreeing)) = r.ranking_images {
        writeln!(out, "ranking  Kruskal-Wallis, {flipped} flipped against {agreeing} agreeing images, p < 0.05")?;
    }
    let mut table = vec![["source", "", "target", "layout", "isolated", "significant", ""].map(String::from)];
    table.extend(rows(r, all));
    if table.len() > 1 {
        if r.ranking_images.is_none() {
            table.iter_mut().for_each(|row| row[5].clear());
        }
        let widths: Vec<usize> = (0..7).map(|c| table.iter().map(|row| row[c].width()).max().unwrap_or(0).min(60)).collect();
        for row in &table {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .filter(|(_, w)| **w > 0)
                .map(|(cell, w)| format!("{cell}{}", " ".repeat(w.saturating_sub(cell.width()))))
                .collect();
            writeln!(out, "  {}", cells.join("  ").trim_end())?;
        }
    }
    for note in &r.notes {
        writeln!(out, "note: {}", harmless(note))?;
    }
    Ok(())
}

/// How many labels differ; of a target that does not run there is none.
fn labels(r: &LocalizeReport) -> String {
    match (&r.failure, r.mismatches) {
        (Some(_), _) => "the target does not run".into(),
        (None, m) => format!("{} of {} images have another label", m.count, m.of),
    }
}

fn counted(n: usize, word: &str) -> String {
    match n {
        0 => format!("no {word}"),
        1 => format!("1 {word}"),
        n => format!("{n} {word}s"),
    }
}

pub(super) fn markdown(r: &LocalizeReport) -> String {
    let mut out = String::new();
    let _ = write_markdown(&mut out, r);
    out
}

fn write_markdown(out: &mut String, r: &LocalizeReport) -> std::fmt::Result {
    let code = |names: &[String]| names.iter().map(|n| code(n)).collect::<Vec<_>>().join(", ");
    writeln!(out, "**{}**: {}.\n", r.verdict, labels(r))?;
    let by_rank = r.ranking_images.is_some();
    if !r.suspects.is_empty() {
        let (head, line) = if by_rank { (" significant |", "---|") } else { ("", "") };
        writeln!(out, "| # | kind | target nodes | what | isolated |{head}\n|---|---|---|---|---|{line}")?;
        for s in &r.suspects {
            writeln!(
                out,
                "| {} | {} | {} | {} | {} |{}",
                s.rank,
                s.kind.unwrap_or(s.category),
                code(&s.target_nodes),
                plain(&s.words),
                figure(s.isolated),
                if by_rank { format!(" {} |", percent(s.significant)) } else { String::new() }
            )?;
        }
        writeln!(out)?;
    }
    writeln!(out, "Isolated error over depth: `{}`\n", heat_strip(&r.regions, 60))?;
    if let Some((flipped, agreeing)) = r.ranking_images {
        writeln!(out, "Layers by Kruskal-Wallis, {flipped} flipped against {agreeing} agreeing images, p < 0.05:\n")?;
        writeln!(out, "| # | source | target | significant | isolated |\n|---|---|---|---|---|")?;
        for (i, region) in ranked(r, false).into_iter().enumerate() {
            let (share, error) = (percent(region.significant), figure(region.isolated));
            writeln!(out, "| {} | {} | {} | {share} | {error} |", i + 1, code(&region.source), code(&region.target))?;
        }
        writeln!(out)?;
    }
    for note in &r.notes {
        writeln!(out, "- {}", plain(note))?;
    }
    Ok(())
}
