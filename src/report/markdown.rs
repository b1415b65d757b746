//! Markdown: for an issue, and in brief for a comment on a pull request.

use super::facts::{EditLine, Report, Standing, SuspectLine, SuspectStanding};
use super::strip;
use crate::model::harmless;
use crate::repair::DiffLine;
use std::fmt::{Result, Write};

/// Images that are listed.
const IMAGES: usize = 50;
/// Nodes that are named on one line.
const NODES: usize = 6;

/// Text from a file as Markdown that says the same and does nothing: no link, no markup, no table cell of its own.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in harmless(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // A mention or a reference to an issue would tell strangers.
            '@' => out.push_str("@\u{2060}"),
            '#' => out.push_str("#\u{2060}"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '(' | ')' | '|' | '~' | '!' | '$' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    // Bare addresses become links by themselves.
    out.replace("://", ":\u{2060}//")
}

/// Text from a file as code.
pub(crate) fn code(text: &str) -> String {
    let text = harmless(text).replace('|', "\u{2502}");
    if text.trim().is_empty() {
        return "\u{2013}".into();
    }
    // The fence is longer than any row of backticks within.
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let space = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{space}{text}{space}{fence}")
}

fn nodes(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(NODES).map(|n| code(n)).collect();
    let more = if names.len() > NODES { format!(" and {} more", names.len() - NODES) } else { String::new() };
    shown.join(", ") + &more
}

/// Names of a file in the last part of their path: whole paths say more about a machine than about a model.
fn file(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// A comment for a pull request: the outcome, the edits, what is left.
pub fn brief(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_brief(&mut out, report);
    out
}

/// The whole report, with the first images of many.
pub fn markdown(report: &Report) -> String {
    whole(report, IMAGES)
}

/// The whole report, with every image.
pub fn markdown_of_all(report: &Report) -> String {
    whole(report, usize::MAX)
}

fn whole(report: &Report, most: usize) -> String {
    let mut out = String::new();
    let _ = write_whole(&mut out, report, most);
    out
}

fn sign(report: &Report) -> &'static str {
    match report.after {
        _ if !report.whole => "\u{26a0}\u{fe0f}",
        Some(a) if a.flips == 0 => "\u{2705}",
        _ => "\u{274c}",
    }
}

fn write_brief(out: &mut String, r: &Report) -> Result {
    writeln!(out, "### fixcon: {} {}\n", sign(r), r.headline())?;
    distrust(out, r)?;
    writeln!(out, "{} against {}\n", code(file(&r.target.path)), code(file(&r.source.path)))?;
    let broken: Vec<&str> = r.images.iter().filter(|i| i.broken && i.differs).map(|i| i.image.as_str()).collect();
    if !broken.is_empty() {
        let named: Vec<String> = broken.iter().take(NODES).map(|name| code(name)).collect();
        let more = if broken.len() > NODES { format!(" and {} more", broken.len() - NODES) } else { String::new() };
        writeln!(out, "Newly broken, they agreed at first: {} ({}{more})\n", broken.len(), named.join(", "))?;
    }
    let unreadable = r.evaluations.last().map_or(0, |e| e.unreadable.len());
    if unreadable > 0 {
        writeln!(out, "Images that cannot be read, of which nothing is known: {unreadable}\n")?;
    }
    let shown: Vec<&EditLine> = r.edits.iter().filter(|e| e.standing != Standing::Open).collect();
    if !shown.is_empty() {
        writeln!(out, "| | kind | what | where | flips |\n|---|---|---|---|---|")?;
        for e in shown {
            let flips = flips(e).unwrap_or_default();
            let words = if e.safe { plain(&e.words) } else { format!("{} (last resort)", plain(&e.words)) };
            writeln!(out, "| {} | {} | {words} | {} | {flips} |", standing(e.standing), kind(e), nodes(&e.nodes))?;
        }
        writeln!(out)?;
    }
    let left: Vec<&SuspectLine> = r.left().collect();
    if !left.is_empty() {
        writeln!(out, "Left unmended:\n")?;
        for s in &left {
            writeln!(out, "- **{}** {} ({})", s.kind.unwrap_or(s.category), plain(&s.words), nodes(&s.target_nodes))?;
        }
        writeln!(out)?;
    }
    writeln!(out, "<sub>From {}, {} records, last hash {}</sub>", code(&r.log), r.records, code(short(&r.hash)))
}

fn write_whole(out: &mut String, r: &Report, most: usize) -> Result {
    writeln!(out, "# fixcon: {}\n", r.headline())?;
    distrust(out, r)?;
    writeln!(out, "| | |\n|---|---|")?;
    for (what, model) in [("source", &r.source), ("target", &r.target)] {
        let by = if model.producer.is_empty() { String::new() } else { format!(", written by {}", plain(&model.producer)) };
        writeln!(out, "| {what} | {}{by}, SHA-256 {} |", code(&model.path), code(&model.sha256))?;
    }
    if let Some(case) = &r.case {
        writeln!(out, "| case | {}, SHA-256 {} |", code(&case.path), code(&case.sha256))?;
    }
    writeln!(out, "| images | {} |", code(&r.images_path))?;
    match &r.saved {
        Some(s) => {
            let stale = if s.stale { ", without the last changes" } else { "" };
            writeln!(out, "| repaired | {}, {}{stale}, SHA-256 {} |", code(&s.path), edits_of(s.edits), code(&s.sha256))?;
        }
        None => writeln!(out, "| repaired | not saved |")?,
    }
    writeln!(out, "| session | {} to {}{} |", r.opened, r.last, if r.closed { "" } else { ", not closed" })?;
    writeln!(out, "| log | {}, {} records, written by {}, last hash {} |\n", code(&r.log), r.records, plain(&r.program), code(&r.hash))?;
    course(out, r)?;
    layers(out, r)?;
    edits(out, r)?;
    suspects(out, r)?;
    images(out, r, most)?;
    if let (Some(before), Some(after)) = (&r.recipe_before, &r.recipe_after)
        && before != after
    {
        writeln!(out, "## The target's recipe\n\n{}", fenced("toml", after))?;
    }
    for missing in &r.missing {
        writeln!(out, "> Not shown: {}\n", plain(missing))?;
    }
    Ok(())
}

fn edits_of(n: usize) -> String {
    if n == 1 { "1 edit".into() } else { format!("{n} edits") }
}

fn distrust(out: &mut String, r: &Report) -> Result {
    match &r.problem {
        Some(problem) => writeln!(out, "> **Not to be trusted from record {} on**: {}\n", r.records + 1, plain(problem)),
        None => Ok(()),
    }
}

fn course(out: &mut String, r: &Report) -> Result {
    if r.evaluations.len() < 2 {
        return Ok(());
    }
    writeln!(out, "## Course\n\n| record | flips | mended | newly broken |\n|---|---|---|---|")?;
    for e in &r.evaluations {
        let flips = match e.does_not_run {
            Some(_) => "does not run".into(),
            None => format!("{} of {}", e.count.flips, e.count.of),
        };
        writeln!(out, "| {} | {flips} | {} | {} |", e.seq, e.mended.len(), nodes(&e.broken))?;
    }
    writeln!(out)
}

fn layers(out: &mut String, r: &Report) -> Result {
    let seen: Vec<_> = r.looks.iter().filter(|l| !l.regions.is_empty()).collect();
    let Some(first) = seen.first() else { return Ok(()) };
    writeln!(out, "## Layers\n\nIsolated error over the depth of the target, on a logarithmic scale.\n")?;
    writeln!(out, "```text\nat first    {}", strip::line(&strip::bars(&first.regions), 100))?;
    if let Some(last) = seen.last().filter(|_| seen.len() > 1) {
        writeln!(out, "at the end  {}", strip::line(&strip::bars(&last.regions), 100))?;
    }
    writeln!(out, "```\n")?;
    let notes = &seen.last().unwrap_or(first).notes;
    for note in notes {
        writeln!(out, "- {}", plain(note))?;
    }
    if notes.is_empty() { Ok(()) } else { writeln!(out) }
}

fn edits(out: &mut String, r: &Report) -> Result {
    if r.edits.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Edits\n")?;
    for e in &r.edits {
        writeln!(out, "### {} {} {}\n", e.proposal, kind(e), plain(&e.words))?;
        let mut facts = vec![standing(e.standing).to_string()];
        facts.extend(flips(e).map(|f| format!("flips {f}")));
        // A recipe, or what does not run, has no error to begin with.
        let measured = e.evidence.error.filter(|(before, _)| before.0.is_finite());
        facts.extend(measured.map(|(a, b)| format!("isolated error {a} \u{2192} {b}")));
        facts.extend((!e.safe).then(|| "not local or not exact".to_string()));
        writeln!(out, "{}\n", facts.join("; "))?;
        if !e.diff.is_empty() {
            let lines: Vec<String> = e.diff.iter().map(line).collect();
            writeln!(out, "{}", fenced("diff", &lines.join("\n")))?;
        }
        for d in &e.decisions {
            let by = if d.by.is_empty() { String::new() } else { format!(" by {}", plain(&d.by)) };
            let note = if d.note.is_empty() { String::new() } else { format!(": {}", plain(&d.note)) };
            writeln!(out, "- {} {}{by}{note}", d.at, d.what)?;
        }
        for k in &e.known {
            writeln!(out, "- looks like [{}]({}): {}", k.issue, k.url, plain(&k.what))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn suspects(out: &mut String, r: &Report) -> Result {
    let shown: Vec<&SuspectLine> = r.suspects(SuspectStanding::Mended).chain(r.left()).collect();
    if shown.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Suspects\n\n| | kind | what | target | isolated error | evidence |\n|---|---|---|---|---|---|")?;
    for s in shown {
        let mut evidence: Vec<String> = s.evidence.iter().map(|e| plain(e)).collect();
        evidence.extend(
            s.splice
                .map(|(n, of)| format!("{n} of {of} flipped images come right with the source's values put in right behind this place")),
        );
        let state = if s.standing == SuspectStanding::Mended { "mended" } else { "left" };
        let name = s.kind.unwrap_or(s.category);
        let error = if s.error.0.is_finite() { s.error.to_string() } else { "\u{2013}".into() };
        writeln!(out, "| {state} | {name} | {} | {} | {error} | {} |", plain(&s.words), nodes(&s.target_nodes), evidence.join("; "))?;
    }
    writeln!(out)
}

fn images(out: &mut String, r: &Report, most: usize) -> Result {
    if r.images.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Images\n\n| | image | source | target at first | at the end |\n|---|---|---|---|---|")?;
    for i in r.images.iter().take(most) {
        let sign = if i.differs { "\u{2717}" } else { "\u{2713}" };
        let now = i.now.as_deref().map_or_else(|| "agrees".to_string(), plain);
        writeln!(out, "| {sign} | {} | {} | {} | {now} |", code(&i.image), plain(&i.source), plain(&i.target))?;
    }
    if r.images.len() > most {
        writeln!(out, "\nand {} more (`--all-images` lists all)", r.images.len() - most)?;
    }
    writeln!(out)
}

/// A line of an edit as `diff` writes it.
pub(super) fn line(line: &DiffLine) -> String {
    match line {
        DiffLine::Place(t) => format!("@@ {} @@", harmless(t)),
        DiffLine::Removed(t) => format!("- {}", harmless(t)),
        DiffLine::Added(t) => format!("+ {}", harmless(t)),
        DiffLine::Same(t) => format!("  {}", harmless(t)),
    }
}

/// A block of code that its content cannot end.
pub(super) fn fenced(language: &str, content: &str) -> String {
    let longest = content.lines().map(|l| l.trim_start().chars().take_while(|c| *c == '`').count()).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let lines: Vec<_> = content.lines().map(harmless).collect();
    format!("{fence}{language}\n{}\n{fence}\n", lines.join("\n"))
}

fn kind(e: &EditLine) -> &'static str {
    e.kind.unwrap_or(e.category)
}

/// Flips before and after an edit, with a word on what else was done in between.
fn flips(e: &EditLine) -> Option<String> {
    let with = if e.together > 0 { format!(" (with {} more)", e.together) } else { String::new() };
    e.flips.map(|(a, b)| format!("{a} \u{2192} {b}{with}"))
}

/// What became of a proposal, with a sign that needs no colour.
pub(super) fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Accepted => "\u{2713} accepted",
        Standing::Rejected => "\u{2717} rejected",
        Standing::Skipped => "\u{2013} skipped",
        Standing::Undone => "\u{21b6} taken back",
        Standing::Unfinished => "? accepted, not made",
        Standing::Open => "? open",
    }
}

pub(super) fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_nothing_in_markdown() {
        assert_eq!(plain("a|b*c"), "a\\|b\\*c");
        assert_eq!(plain("<script>"), "&lt;script&gt;");
        assert_eq!(plain("![x](http://e)"), "\\!\\[x\\]\\(http:\u{2060}//e\\)");
        assert!(!plain("@someone #12").contains("@s") && !plain("#12").contains("#1"));
        assert_eq!(plain("a\nb\u{1b}[2J"), "a\\\\nb\\\\e\\[2J");
        assert_eq!(code("a`b``c"), "```a`b``c```");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(code(""), "\u{2013}");
        assert!(!code("a|b").contains('|'));
        assert!(fenced("diff", "```\nx").starts_with("````diff"));
    }
}
