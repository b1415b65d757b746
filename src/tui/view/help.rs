//! All keys and signs.

use super::{lines, popup};
use crate::session::Sign;
use crate::tui::commands::{COMMANDS, Group, OF_LIST, Spec, of_pane};
use crate::tui::state::{Pane, Screen, State};
use crate::tui::text;
use crate::tui::theme::Role;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// Draws the window.
pub fn draw(state: &State, top: usize, buffer: &mut Buffer) {
    let area = state.area();
    let inner = popup::window(state, 100, area.height.saturating_sub(2), "help", buffer);
    let content = content(state, inner.width as usize);
    let body = Rect { height: inner.height.saturating_sub(1), ..inner };
    lines(buffer, body, &content, top);
    let more = content.len() > body.height as usize;
    let text = if more { "↑ ↓ scroll   esc closes" } else { "esc closes" };
    super::put(buffer, inner, 0, inner.height.saturating_sub(1) as usize, text, state.theme.style(Role::Dim));
}

/// The lines of the help.
pub fn content(state: &State, columns: usize) -> Vec<Line<'static>> {
    let theme = &state.theme;
    let mut out = Vec::new();
    // First what the keys do where one is.
    let here = if state.screen == Screen::Case { of_pane(state.focus) } else { OF_LIST };
    if state.screen == Screen::Case {
        out.push(Line::styled(format!("In this pane: {}", state.focus.name()), theme.style(Role::Accent)));
        out.extend(text::wrap(about(state.focus), columns).into_iter().map(|l| Line::styled(l, theme.style(Role::Dim))));
        here.iter().for_each(|a| out.extend(command(state, a.spec(), columns, false)));
        out.push(Line::raw(""));
    }
    if state.screen == Screen::Demos {
        out.push(Line::styled("In this list", theme.style(Role::Accent)));
        let first = "a demonstration: enter opens the selected one, 1 to 9 open theirs at once";
        out.extend(text::wrap(first, columns).into_iter().map(|l| Line::styled(l, theme.style(Role::Dim))));
        here.iter().for_each(|a| out.extend(command(state, a.spec(), columns, false)));
        out.push(Line::raw(""));
    }
    out.push(Line::styled("Signs between the graphs", theme.style(Role::Accent)));
    for s in [Sign::Clean, Sign::Faulty, Sign::Proposed, Sign::Repaired, Sign::Unchecked] {
        let (mark, style) = super::graph::sign(state, s);
        let what = match s {
            Sign::Clean => "clean: fed with the source's values, the target's region gives the source's result",
            Sign::Faulty => "faulty: an error arises in this region",
            Sign::Proposed => "faulty, and a repair waits for your decision",
            Sign::Repaired => "mended by an edit that was accepted",
            Sign::Unchecked => "unchecked: it cannot be run or compared",
            Sign::Unknown => "",
        };
        out.extend(entry(vec![Span::styled(text::fill(mark, 14), style)], what, columns, state));
    }
    let more = [
        ("·", "only one side has something here"),
        ("P X", "a pair that was pinned, or forbidden, by hand"),
        ("● │ ├ ╯", "a region in its lane; lanes are values that are read further down"),
        ("╭ ▶ ╰", "at the left edge: what the row under the cursor reads, and who reads it"),
        ("┆", "a folded run of clean regions"),
        ("isolated", "error of a region alone, relative to the source; the bar is logarithmic, from the floor to 1"),
    ];
    for (mark, what) in more {
        out.extend(entry(vec![Span::styled(text::fill(mark, 14), theme.style(Role::Dim))], what, columns, state));
    }
    for group in Group::ALL {
        out.push(Line::raw(""));
        out.push(Line::styled(group.name(), theme.style(Role::Accent)));
        for spec in COMMANDS.iter().filter(|s| s.group == group && !here.contains(&s.action)) {
            out.extend(command(state, spec, columns, true));
        }
    }
    let mut part = |name: &'static str, entries: &[(&'static str, &str)], role: Role| {
        out.push(Line::raw(""));
        out.push(Line::styled(name, theme.style(Role::Accent)));
        for (what, does) in entries {
            out.extend(entry(vec![Span::styled(text::fill(what, 14), theme.style(role))], does, columns, state));
        }
    };
    let words = [
        ("WB-BIAS, …", "what kind of fault it is: 'fixcon explain WB-BIAS' tells more, 'fixcon explain' lists all"),
        (
            "safe",
            "the edit is local and exact: it puts right what was found to be wrong. What it does to labels stands beside it, and is not promised",
        ),
        ("last resort", "the edit takes over the source's own nodes, which are right by themselves and tell nothing of the fault"),
        ("floor", "the isolated error that rounding alone makes; suspicion begins above it, at the threshold"),
        ("accumulated", "the error in a plain run, with all that was wrong above"),
        ("held back", "images that nothing is chosen by: they only verify, at the end"),
        ("lead, margin", "how far the first score is ahead of the second"),
    ];
    part("Words", &words, Role::Text);
    let mouse = [
        ("click", "selects a row or a pane, opens the selected row, does what a key on the bottom line does"),
        ("wheel", "scrolls; over the image, goes to the next one"),
        ("drag", "moves the border between two panes"),
    ];
    part("Mouse", &mouse, Role::Key);
    out
}

/// A command with its keys, and on demand why it cannot be done now; what cannot is faint in any case.
fn command(state: &State, spec: &Spec, columns: usize, reasons: bool) -> Vec<Line<'static>> {
    let theme = &state.theme;
    let keys = state.keys.keys(spec.action).join(" ");
    let possible = spec.action.possible(state);
    let key = Span::styled(text::fill(&keys, 14), theme.style(if possible.is_ok() { Role::Key } else { Role::Faint }));
    let mut out = entry(vec![key], spec.help, columns, state);
    if let Err(why) = possible.as_ref().copied().map_err(|w| *w)
        && reasons
    {
        let lines = entry(vec![Span::raw(" ".repeat(14))], &format!("(not now: {why})"), columns, state);
        out.extend(lines.into_iter().map(|l| l.style(theme.style(Role::Faint))));
    }
    out
}

/// What a pane shows, and how it is read.
fn about(pane: Pane) -> &'static str {
    match pane {
        Pane::Graph => {
            "Both graphs as one diff, the source on the left, a row a region. The bar is the region's own error when it is fed the source's values; the strip at the edge is that error over the whole depth, a click goes there."
        }
        Pane::Image => {
            "An image on which the labels differ: the picture, what both models say, and by how much the first leads the second; a near tie is one that the source itself finds nearly undecided. Below, all such images, a sign for each run so far: ✗ differs, ✓ agrees, ! broken by an edit."
        }
        Pane::Layer => {
            "The row under the cursor. First what differs (≠) in attributes and weights; then the region's output for the image shown: values of both sides, the difference by channel, where in the picture, and over images, those that flip first. Last the weights: figures, and the target's numbers over the source's; equal ones lie on the diagonal."
        }
        Pane::Proposal => {
            "What is wrong with the suspect, the edit that mends it (- goes, + comes), and its evidence on images that were tried. Nothing is edited until you accept it."
        }
        Pane::Log => {
            "What happened in this session, the newest at the bottom. What was decided is also in the audit log beside the target."
        }
    }
}

fn entry(first: Vec<Span<'static>>, what: &str, columns: usize, state: &State) -> Vec<Line<'static>> {
    let style = state.theme.style(Role::Text);
    let mut out: Vec<Line<'static>> = Vec::new();
    for (i, part) in text::wrap(what, columns.saturating_sub(16).max(20)).into_iter().enumerate() {
        let mut spans = if i == 0 { first.clone() } else { vec![Span::raw(" ".repeat(14))] };
        spans.push(Span::raw(" "));
        spans.push(Span::styled(part, style));
        out.push(Line::from(spans));
    }
    out
}
