//! What is wrong with the suspect, the edit that would mend it, its evidence, and what has been decided.

use super::{flow, measured, open_frame, pane_lines, title, wrapped};
use crate::localize::{Category, Outcome, Suspect};
use crate::session::{DiffLine, Proposal, Snapshot, Standing};
use crate::tui::layout::Panes;
use crate::tui::state::{Pane, State};
use crate::tui::text;
use crate::tui::theme::{Role, Theme};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

/// Draws the pane.
pub fn draw(state: &State, panes: &Panes, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let count = state.alternatives().len();
    let heading = if count > 1 { format!("proposal {} of {count}", state.alternative.min(count - 1) + 1) } else { "proposal".into() };
    let mut inner = open_frame(state, panes, Pane::Proposal, area, vec![title(theme, heading)], buffer);
    inner.x += 1;
    inner.width = inner.width.saturating_sub(2);
    let content = content(state, inner.width as usize);
    pane_lines(buffer, inner, &content, state.scroll[1], state, panes.framed);
}

/// How many rows the pane needs in this width, its frame among them.
pub fn rows(state: &State, width: u16) -> u16 {
    2 + content(state, usize::from(width.saturating_sub(4))).len() as u16
}

/// The lines of the pane, for so many columns.
pub fn content(state: &State, columns: usize) -> Vec<Line<'static>> {
    let theme = &state.theme;
    let suspect = state.snapshot.findings.as_ref().and_then(|f| f.suspects.get(state.suspect));
    let mut out = Vec::new();
    let Some(proposal) = state.proposal() else {
        let Some(suspect) = suspect else { return nothing(state, columns) };
        out.extend(diagnosis(theme, Some(suspect), &suspect.words, None, columns));
        out.extend(suspect.evidence.iter().flat_map(|e| wrapped(&crate::model::harmless(e), columns, theme.style(Role::Dim))));
        if state.snapshot.work.is_none() {
            out.push(Line::styled("no repair of this is known", theme.style(Role::Warn)));
        }
        return out;
    };
    out.extend(diagnosis(theme, suspect, &proposal.words, Some(proposal), columns));
    // An edit can be long: what speaks for it comes first.
    out.extend(evidence(state, proposal, columns));
    proposal.diff.iter().for_each(|line| out.extend(edit(theme, line, columns)));
    let equivalents = suspect.map_or(&[][..], |s| &s.equivalents);
    if !equivalents.is_empty() {
        let names: Vec<&str> = equivalents.iter().map(|k| k.id()).collect();
        out.extend(wrapped(&format!("equally well described as {}", names.join(", ")), columns, theme.style(Role::Dim)));
    }
    for known in &proposal.known {
        out.extend(wrapped(&format!("looks like {}", crate::model::harmless(known)), columns, theme.style(Role::Dim)));
    }
    for (i, other) in state.alternatives().iter().enumerate().filter(|(_, p)| p.id != proposal.id) {
        let standing = match &other.standing {
            Standing::Open => None,
            Standing::Accepted => Some("✓ accepted"),
            Standing::Rejected(_) => Some("✗ rejected"),
            Standing::Skipped => Some("put off"),
            Standing::Undone => Some("taken back"),
        };
        let flips = other.flips.map(|(a, b)| format!("{a} → {b}"));
        let safety = (!other.safe).then_some("last resort");
        let more: Vec<&str> = flips.as_deref().into_iter().chain(safety).chain(standing).collect();
        let text = if more.is_empty() { other.title.clone() } else { format!("{} ({})", other.title, more.join(", ")) };
        out.extend(hanging(&format!("{}  ", i + 1), &text, columns, theme.style(Role::Dim)));
    }
    out
}

/// The proposal at hand in short: what is changed, its evidence, and what is wrong.
pub fn brief(state: &State, columns: usize) -> Vec<Line<'static>> {
    let theme = &state.theme;
    let Some(proposal) = state.proposal() else { return content(state, columns) };
    let suspect = state.snapshot.findings.as_ref().and_then(|f| f.suspects.get(state.suspect));
    let mut out = diagnosis(theme, suspect, &proposal.title, Some(proposal), columns);
    out.extend(evidence(state, proposal, columns));
    if proposal.title == proposal.words {
        proposal.diff.iter().for_each(|line| out.extend(edit(theme, line, columns)));
    } else {
        out.extend(wrapped(&proposal.words, columns, theme.style(Role::Dim)));
    }
    out
}

/// A line of the edit.
fn edit(theme: &Theme, line: &DiffLine, columns: usize) -> Vec<Line<'static>> {
    let (sign, text, role) = match line {
        DiffLine::Place(t) => ("  ", t, Role::Dim),
        DiffLine::Removed(t) => ("  - ", t, Role::Bad),
        DiffLine::Added(t) => ("  + ", t, Role::Good),
        DiffLine::Same(t) => ("    ", t, Role::Text),
    };
    hanging(sign, text, columns, theme.style(role))
}

/// Words behind a sign; long ones go on below, as deep as they began.
fn hanging(sign: &str, words: &str, columns: usize, style: Style) -> Vec<Line<'static>> {
    let lines = text::wrap(words, columns.saturating_sub(sign.len())).into_iter().enumerate();
    let before = |i: usize| if i == 0 { sign.to_string() } else { " ".repeat(sign.len()) };
    lines.map(|(i, part)| Line::styled(format!("{}{part}", before(i)), style)).collect()
}

/// Kind, words, and at the right what the edit touches.
fn diagnosis(theme: &Theme, suspect: Option<&Suspect>, words: &str, proposal: Option<&Proposal>, columns: usize) -> Vec<Line<'static>> {
    let kind = proposal.and_then(|p| p.kind).or(suspect.and_then(|s| s.kind));
    let category = proposal.map(|p| p.category).or(suspect.map(|s| s.category)).map(|c| c.id()).unwrap_or_default();
    let name = kind.map_or_else(|| category.to_string(), |k| k.id().to_string());
    let mut right = Vec::new();
    if let Some(p) = proposal {
        right.push(standing(theme, p));
        // Exact and local says nothing of what comes of it: that is told first where it is bad.
        let breaks = p.breaks.is_some_and(|(n, _)| n > 0);
        let (worth, role) = match (p.harm(), p.safe) {
            (Some((broken, of)), _) => (format!("breaks {broken} of {of}"), Role::Warn),
            (None, true) if p.by_hand => ("by hand".to_string(), Role::Text),
            (None, true) => ("safe".to_string(), if breaks { Role::Text } else { Role::Good }),
            (None, false) => ("last resort".to_string(), Role::Warn),
        };
        right.push(Span::styled(worth, theme.style(role)));
        right.push(Span::styled(format!(" · {}", p.touches), theme.style(Role::Dim)));
    }
    let right_width: usize = right.iter().map(Span::width).sum();
    let indent = text::width(&name) + 2;
    let room = columns.saturating_sub(indent);
    let words = crate::model::harmless(words);
    let mut out = Vec::new();
    for (i, text) in text::wrap_beside(&words, room.saturating_sub(right_width + 2), room).into_iter().enumerate() {
        if i > 0 {
            out.push(Line::raw(format!("{}{text}", " ".repeat(indent))));
            continue;
        }
        let gap = columns.saturating_sub(indent + text::width(&text) + right_width);
        let mut spans =
            vec![Span::styled(name.clone(), theme.style(Role::Proposed)), Span::raw("  "), Span::raw(text), Span::raw(" ".repeat(gap))];
        spans.append(&mut right);
        out.push(Line::from(spans));
    }
    out
}

/// What has become of a proposal, in a word; nothing while it is open.
fn standing(theme: &Theme, p: &Proposal) -> Span<'static> {
    match &p.standing {
        Standing::Open => Span::raw(""),
        Standing::Accepted => Span::styled("✓ accepted   ", theme.style(Role::Good)),
        Standing::Rejected(note) if note.is_empty() => Span::styled("✗ rejected   ", theme.style(Role::Bad)),
        Standing::Rejected(note) => Span::styled(format!("✗ rejected: {}   ", text::clip(note, 30)), theme.style(Role::Bad)),
        Standing::Skipped => Span::styled("put off   ", theme.style(Role::Warn)),
        Standing::Undone => Span::styled("taken back   ", theme.style(Role::Warn)),
    }
}

/// What trying it gave: the region's error, the labels, and on how many images.
fn evidence(state: &State, p: &Proposal, columns: usize) -> Vec<Line<'static>> {
    let theme = &state.theme;
    let dim = theme.style(Role::Dim);
    let part = |label: &str, value: String, role: Role, after: String| {
        vec![Span::styled(format!("{label} "), dim), Span::styled(value, theme.style(role)), Span::styled(after, dim)]
    };
    let better = |yes: bool| if yes { Role::Good } else { Role::Warn };
    let mut parts = Vec::new();
    if let Some((before, after)) = p.region.filter(|_| p.category != Category::PP) {
        parts.push(part("error", format!("{} → {}", measured(before), measured(after)), better(after < before), String::new()));
    }
    if let Some((before, after)) = p.flips {
        parts.push(part("flipped", format!("{before} → {after}"), better(after < before), String::new()));
    }
    match p.breaks {
        Some((0, of)) => parts.push(part("breaks", "none".into(), Role::Good, format!(" of {of}"))),
        Some((n, of)) => parts.push(part("breaks", n.to_string(), Role::Bad, format!(" of {of}"))),
        None => {}
    }
    // A sample says less than all images do.
    let images = &state.snapshot.images;
    let tried = p.flips.map_or(0, |f| f.0) + p.breaks.map_or(0, |b| b.1);
    let held = images.held.map_or(0, |h| h.2);
    if tried > 0 {
        let on = match images.done.saturating_sub(tried) {
            0 => format!("tried on all {tried}"),
            left if left == held => format!("tried on {tried}, all but the {held} held back"),
            _ => format!("tried on {tried} of {}", images.done),
        };
        parts.push(vec![Span::styled(on, dim)]);
    }
    flow(parts, if columns < 90 { "   " } else { "     " }, columns)
}

/// What there is to say when no suspect is at hand.
fn nothing(state: &State, columns: usize) -> Vec<Line<'static>> {
    let theme = &state.theme;
    let snap: &Snapshot = &state.snapshot;
    let mut out = Vec::new();
    match &snap.findings {
        Some(findings) if findings.outcome == Outcome::Clean => out.extend(super::clean::lines(state, columns)),
        Some(_) => out.push(Line::raw("No suspect.")),
        None => {
            let unreadable = snap.unreadable().map(|(side, why)| format!("The {side} cannot be read: {why}"));
            let (text, role) = match (&snap.work, unreadable, &snap.does_not_run) {
                (Some(work), ..) => (format!("{} …", work.name), Role::Dim),
                (None, Some(why), _) => (why, Role::Bad),
                (None, None, Some(why)) => (why.clone(), Role::Dim),
                (None, None, None) => ("Faults were not looked for yet.".into(), Role::Dim),
            };
            out.extend(wrapped(&text, columns, theme.style(role)));
        }
    }
    // What a coarse arithmetic loses was just told.
    let told = super::clean::reason(state).is_some() && super::clean::coarse(state).is_some();
    if let Some(findings) = snap.findings.as_ref().filter(|_| !told) {
        out.extend(findings.notes.iter().flat_map(|n| wrapped(&crate::model::harmless(n), columns, theme.style(Role::Text))));
    }
    out
}
