//! The matrix as Markdown.

use super::super::output::counted;
use super::{MatrixArgs, MatrixReport, Trial};
use crate::localize::{Category, Kind};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Misses that are listed one by one.
const MOST_LISTED: usize = 200;

pub(super) fn markdown(report: &MatrixReport, args: &MatrixArgs) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut out, report, args);
    out
}

fn write(out: &mut String, report: &MatrixReport, args: &MatrixArgs) -> std::fmt::Result {
    let trials = &report.trials;
    let all: Vec<&Trial> = trials.iter().collect();
    writeln!(out, "# Injected faults\n")?;
    writeln!(
        out,
        "{} in {}, {}: each was put into the target, localised with nothing but the two models and {}, and held\nagainst the truth. Written by `fixcon matrix`; `fixcon inject` makes the faults.\n",
        counted(trials.len(), "fault"),
        counted(report.pairs.len(), "clean pair"),
        counted(usize::try_from(args.seeds).unwrap_or(usize::MAX), "seed"),
        counted(args.images, "image")
    )?;
    writeln!(
        out,
        "*Place*: the first suspect names a node or tensor at fault (of a recipe or a declared input: its category), and at most 16 nodes. *In list*: any suspect\ndoes. *Kind*: the first suspect names the place, and the kind or one that describes the same difference equally well. *False*: suspects for each fault\nthat name another place. *Nodes*: median size of the first suspect's place.\n"
    )?;
    writeln!(out, "## By kind\n")?;
    writeln!(out, "| kind | faults | place | in list | kind | false | nodes | named instead |\n|---|---|---|---|---|---|---|---|")?;
    for kind in Kind::ALL {
        let of: Vec<&Trial> = trials.iter().filter(|t| t.kind == kind.id()).collect();
        if !of.is_empty() {
            row(out, kind.id(), &of, true)?;
        }
    }
    row(out, "**all**", &all, false)?;
    let flipping: Vec<&Trial> = trials.iter().filter(|t| t.flips > 0).collect();
    row(out, "that flip a label", &flipping, false)?;
    writeln!(out, "\n## Named category by true category\n")?;
    let categories = [Category::PP, Category::ID, Category::TS, Category::WB, Category::LH, Category::CG];
    let heads: Vec<&str> = categories.iter().map(|c| c.id()).collect();
    writeln!(out, "| true | {} | nothing | failed |\n|---|{}---|---|", heads.join(" | "), "---|".repeat(heads.len()))?;
    for category in categories {
        let of: Vec<&Trial> = trials.iter().filter(|t| t.kind.starts_with(category.id())).collect();
        if of.is_empty() {
            continue;
        }
        let count = |f: &dyn Fn(&Trial) -> bool| match of.iter().filter(|t| f(t)).count() {
            0 => String::new(),
            n => n.to_string(),
        };
        let cells: Vec<String> = heads.iter().map(|h| count(&|t| t.first.as_ref().is_some_and(|n| n.category == *h))).collect();
        let (nothing, failed) = (count(&|t| t.first.is_none() && t.failure.is_none()), count(&|t| t.failure.is_some()));
        writeln!(out, "| {} | {} | {nothing} | {failed} |", category.id(), cells.join(" | "))?;
    }
    writeln!(out, "\n## By pair\n")?;
    writeln!(out, "| pair | nodes | flips without a fault | faults | place | in list | kind | false |\n|---|---|---|---|---|---|---|---|")?;
    for pair in &report.pairs {
        let of: Vec<&Trial> = trials.iter().filter(|t| t.pair == pair.pair).collect();
        let rate = |f: fn(&Trial) -> bool| percent(of.iter().filter(|t| f(t)).count(), of.len());
        writeln!(
            out,
            "| {} | {} | {} of {} | {} | {} | {} | {} | {} |",
            pair.pair,
            pair.nodes,
            pair.flips,
            pair.images,
            of.len(),
            rate(Trial::first_right),
            rate(|t| t.rank.is_some()),
            rate(Trial::first_kind_right),
            false_ones(&of)
        )?;
    }
    if !report.left_out.is_empty() {
        writeln!(out, "\nLeft out, as they are not clean:\n")?;
        for l in &report.left_out {
            writeln!(out, "- `{}`: {}", short_case(&l.case), l.why.lines().next().unwrap_or_default())?;
        }
    }
    let missed: Vec<&Trial> = trials.iter().filter(|t| !t.first_right()).collect();
    writeln!(out, "\n## Misses\n")?;
    writeln!(out, "Faults whose place the first suspect does not name: {} of {}.\n", missed.len(), trials.len())?;
    writeln!(out, "| pair | kind | way, seed | fault | at | said | rank of the right one |\n|---|---|---|---|---|---|---|")?;
    for t in missed.iter().take(MOST_LISTED) {
        let said = match (&t.first, &t.failure) {
            (Some(n), _) => format!("{} at {}", t.said(), n.nodes.first().or(n.tensors.first()).map_or("the input", String::as_str)),
            (None, Some(why)) => format!("failed: {why}"),
            (None, None) => t.verdict.clone(),
        };
        let at = t.nodes.first().or(t.tensors.first()).map_or("recipe", String::as_str);
        let rank = t.rank.map_or_else(|| "–".into(), |r| r.to_string());
        writeln!(out, "| {} | {} | {}, {} | {} | {at} | {said} | {rank} |", t.pair, t.kind, t.way, t.seed, t.note)?;
    }
    if missed.len() > MOST_LISTED {
        writeln!(out, "\nand {} more", missed.len() - MOST_LISTED)?;
    }
    Ok(())
}

/// The last two parts of a case's path.
fn short_case(path: &str) -> String {
    let parts: Vec<&str> = path.split(['/', '\\']).collect();
    parts[parts.len().saturating_sub(2)..].join("/")
}

fn percent(n: usize, of: usize) -> String {
    if of == 0 { "–".into() } else { format!("{:.1} %", 100.0 * n as f64 / of as f64) }
}

fn false_ones(of: &[&Trial]) -> String {
    format!("{:.2}", of.iter().map(|t| t.others).sum::<usize>() as f64 / of.len().max(1) as f64)
}

fn row(out: &mut String, name: &str, of: &[&Trial], confusions: bool) -> std::fmt::Result {
    let rate = |f: fn(&Trial) -> bool| percent(of.iter().filter(|t| f(t)).count(), of.len());
    let mut sizes: Vec<usize> = of.iter().filter(|t| t.first_right()).filter_map(|t| Some(t.first.as_ref()?.nodes.len())).collect();
    sizes.sort_unstable();
    let median = sizes.get(sizes.len() / 2).map_or_else(|| "–".into(), usize::to_string);
    let mut instead: BTreeMap<&str, usize> = BTreeMap::new();
    for t in of.iter().filter(|t| confusions && !t.first_kind_right()) {
        *instead.entry(t.said()).or_default() += 1;
    }
    let mut instead: Vec<_> = instead.into_iter().collect();
    instead.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let instead: Vec<String> = instead.into_iter().take(5).map(|(k, n)| format!("{k} {n}")).collect();
    writeln!(
        out,
        "| {name} | {} | {} | {} | {} | {} | {median} | {} |",
        of.len(),
        rate(Trial::first_right),
        rate(|t| t.rank.is_some()),
        rate(Trial::first_kind_right),
        false_ones(of),
        instead.join(", ")
    )
}
