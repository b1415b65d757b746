//! Going about: rows, suspects, panes, cases.

use super::layout::Panes;
use super::lines::Graph;
use super::state::{Effect, Overlay, Pane, Screen, State};
use crate::session::{Command, Sheet, Tone};
use std::path::PathBuf;

/// Makes a suspect the one at hand and goes to its row.
pub(super) fn select_suspect(state: &mut State, suspect: usize) {
    state.suspect = suspect;
    state.alternative = 0;
    state.scroll = [0, 0, state.scroll[2]];
    if let (Some(row), Some(sheet)) = (state.suspect_row(suspect), state.snapshot.sheet.clone()) {
        state.graph.go_to(row, &sheet);
    }
}

/// After the cursor moved: a row of a suspect makes it the one at hand.
pub(super) fn moved(state: &mut State) {
    state.scroll[0] = 0;
    let own = |row: usize| state.snapshot.proposals.iter().find(|p| p.row == Some(row)).map(|p| p.suspect);
    if let Some(suspect) = state.graph.row().and_then(|r| state.suspect_at(r).or_else(|| own(r)))
        && suspect != state.suspect
    {
        state.suspect = suspect;
        state.alternative = 0;
        state.scroll[1] = 0;
    }
}

pub(super) fn with_sheet(state: &mut State, change: impl FnOnce(&mut Graph, &Sheet)) {
    if let Some(sheet) = state.snapshot.sheet.clone() {
        change(&mut state.graph, &sheet);
        moved(state);
    }
}

/// Shows a row; what is shown beside stays.
pub(super) fn look_at(state: &mut State, row: usize) {
    if let Some(sheet) = state.snapshot.sheet.clone() {
        state.graph.go_to(row, &sheet);
    }
}

/// Goes to a row of the sheet.
pub(super) fn go(state: &mut State, row: usize) {
    with_sheet(state, |g, s| g.go_to(row, s));
}

/// Opens a case file.
pub(super) fn open(state: &mut State, path: PathBuf, effects: &mut Vec<Effect>) {
    state.screen = Screen::Case;
    state.focus = Pane::Graph;
    state.zoomed = false;
    state.asked_to_resume = false;
    state.not_done.clear();
    effects.push(Effect::Engine(Command::Open(path)));
}

pub(super) fn open_demo(state: &mut State, effects: &mut Vec<Effect>) {
    if let Some(path) = state.demos.get(state.demo).map(|d| d.path.clone()) {
        // Whoever opens a demonstration wants to be led through it, until the hints are put away.
        state.hints = !state.hints_away;
        open(state, path, effects);
    }
}

pub(super) fn follow(state: &mut State, up: bool) {
    let Some(row) = state.graph.row() else { return };
    let rows = if up { &state.derived.up } else { &state.derived.down }.get(row).cloned().unwrap_or_default();
    match rows[..] {
        [] => state.say(if up { "nothing makes this: it is an input" } else { "nothing reads this: it is an output" }, Tone::Plain),
        [one] => go(state, one),
        _ => {
            let text = |r: usize| {
                let found = state.snapshot.sheet.as_ref().and_then(|s| s.rows.get(r));
                let text = found.and_then(|r| r.target.as_ref().or(r.source.as_ref())).map(|c| c.text.clone()).unwrap_or_default();
                format!("{text}   {} {}", r.abs_diff(row), if r < row { "up" } else { "down" })
            };
            let items = rows.iter().map(|r| (text(*r), *r)).collect();
            let title = if up { "reads" } else { "is read by" };
            state.overlay = Some(Overlay::Choose { title, items, at: 0, before: Box::new(state.graph.clone()) });
            look_at(state, rows[0]);
        }
    }
}

pub(super) fn page(state: &State) -> isize {
    if state.screen == Screen::Demos {
        return (super::view::demos::rows(state) as isize - 1).max(1);
    }
    let panes = Panes::new(state);
    panes.inner(state.focus).map_or(10, |r| isize::from(r.height as i16).max(2) - 1)
}

/// Moves the cursor, or scrolls, in the pane that has the keys.
pub(super) fn shift(state: &mut State, by: isize) {
    let add = |at: usize, last: usize| (at as isize).saturating_add(by).clamp(0, last as isize) as usize;
    if state.screen == Screen::Demos {
        state.demo = add(state.demo, state.demos.len().saturating_sub(1));
        return;
    }
    match state.focus {
        Pane::Graph => {
            state.graph.cursor = add(state.graph.cursor, state.graph.lines.len().saturating_sub(1));
            moved(state);
        }
        Pane::Image => state.image = add(state.image, state.snapshot.images.listed().len().saturating_sub(1)),
        Pane::Layer => state.scroll[0] = add(state.scroll[0], 500),
        Pane::Proposal => state.scroll[1] = add(state.scroll[1], 500),
        // The log is read from its end.
        Pane::Log => state.scroll[2] = (state.scroll[2] as isize).saturating_sub(by).clamp(0, state.snapshot.log.len() as isize) as usize,
    }
}

pub(super) fn step_pane(state: &mut State, forward: bool) {
    if state.screen == Screen::Demos {
        return;
    }
    let count = Pane::ALL.len();
    let at = Pane::ALL.iter().position(|p| *p == state.focus).unwrap_or(0);
    state.focus = Pane::ALL[if forward { at + 1 } else { at + count - 1 } % count];
}
