//! What was wrong, what was done, and what came of it.

use super::{popup, put};
use crate::session::{Decision, Sign, Standing};
use crate::tui::commands::Action;
use crate::tui::state::State;
use crate::tui::text;
use crate::tui::theme::Role;
use ratatui::buffer::Buffer;

/// The first line: flips before and after, and what was broken.
fn outcome(state: &State) -> String {
    let images = &state.snapshot.images;
    let broken = images.flips.iter().filter(|f| f.broken).count();
    let broken = if broken == 0 { "none newly broken".to_string() } else { format!("{broken} newly broken") };
    let left = if images.flipped == 0 { ": all labels agree" } else { "" };
    format!("{} → {} of {} flipped{left}; {broken}", images.at_start, images.flipped, images.done)
}

/// Images that only verify, and suspects that are left.
fn remarks(state: &State) -> Vec<String> {
    let mut out = Vec::new();
    if let Some((before, now, of)) = state.snapshot.images.held {
        out.push(format!("of {of} images that only verify, {before} → {now} flipped"));
    }
    let left = (0..state.suspect_count()).filter_map(|s| state.suspect_row(s)).filter(|r| state.sign(*r) != Sign::Repaired).count();
    if left > 0 {
        let what = if left == 1 { "1 suspect is".to_string() } else { format!("{left} suspects are") };
        let labels = if state.snapshot.images.flipped == 0 { "; no label depends on it" } else { "" };
        out.push(format!("{what} left undecided{labels}; {} looks again", state.keys.key(Action::Localize)));
    }
    out
}

/// What became of each proposal: sign, kind, edit, outcome.
fn decisions(state: &State) -> Vec<(&'static str, Role, &'static str, String, String)> {
    let line = |decision: &Decision| {
        let p = &decision.proposal;
        let kind = p.kind.map_or(p.category.id(), |k| k.id());
        let (mark, role, after) = match &p.standing {
            Standing::Rejected(note) => ("✗", Role::Bad, if note.is_empty() { "rejected".into() } else { format!("rejected: {note}") }),
            Standing::Accepted => ("✓", Role::Good, decision.flips.map(|(a, b)| format!("{a} → {b}")).unwrap_or_default()),
            _ => ("·", Role::Dim, "put off".into()),
        };
        (mark, role, kind, p.title.clone(), after)
    };
    state.snapshot.decided.iter().map(line).collect()
}

/// Where the model, the log and the report are.
fn files(state: &State) -> Vec<(&'static str, String)> {
    let snap = &state.snapshot;
    let path = |p: &std::path::PathBuf| crate::model::harmless(&p.display().to_string()).into_owned();
    let mut out = Vec::new();
    match &snap.saved {
        Some(saved) if !snap.unsaved => out.push(("saved as", path(saved))),
        _ if snap.unsaved => out.push(("not saved yet", String::new())),
        _ => {}
    }
    out.extend(snap.audit_log.as_ref().map(|p| ("log", path(p))));
    out.extend(snap.reported.as_ref().map(|p| ("report", path(p))));
    out
}

/// All of it as text.
pub fn text(state: &State) -> String {
    let case = state.snapshot.case.as_ref().map(|c| c.title.clone()).unwrap_or_default();
    let mut out = format!("{case}\n{}\n", outcome(state));
    for remark in remarks(state) {
        out.push_str(&format!("{remark}\n"));
    }
    for (mark, _, kind, title, after) in decisions(state) {
        out.push_str(&format!("  {mark} {kind}  {title}  {after}\n"));
    }
    for (what, path) in files(state) {
        out.push_str(&format!("{what} {path}\n"));
    }
    out
}

/// Draws the window.
pub fn draw(state: &State, buffer: &mut Buffer) {
    let theme = &state.theme;
    let snap = &state.snapshot;
    let (remarks, decisions, files) = (remarks(state), decisions(state), files(state));
    let height = (remarks.len() + decisions.len() + files.len() + 6) as u16;
    let area = popup::window(state, 84, height, "done", buffer);
    let width = area.width as usize;
    put(buffer, area, 0, 0, &outcome(state), theme.style(if snap.images.flipped == 0 { Role::Good } else { Role::Warn }));
    let mut y = 1;
    for remark in &remarks {
        put(buffer, area, 0, y, remark, theme.style(Role::Dim));
        y += 1;
    }
    y += 1;
    let kinds = decisions.iter().map(|d| text::width(d.2)).max().unwrap_or(0);
    for (mark, role, kind, title, after) in &decisions {
        put(buffer, area, 0, y, mark, theme.style(*role));
        put(buffer, area, 2, y, kind, theme.style(Role::Proposed));
        let after = text::clip(after, width / 3);
        let at = 2 + kinds + 2;
        put(buffer, area, at, y, &text::clip(title, width.saturating_sub(at + 2 + text::width(&after))), theme.style(Role::Text));
        put(buffer, area, width.saturating_sub(text::width(&after)), y, &after, theme.style(Role::Dim));
        y += 1;
    }
    y += 1;
    for (what, path) in &files {
        let x = put(buffer, area, 0, y, what, theme.style(Role::Dim));
        put(buffer, area, x + 1, y, &text::clip_start(path, width.saturating_sub(x + 1)), theme.style(Role::Text));
        y += 1;
    }
    let mut x = 0;
    let keys =
        [(Action::Save, "save"), (Action::SaveAs, "save as"), (Action::Report, "report"), (Action::Copy, "copy"), (Action::Undo, "undo")];
    for (action, what) in keys {
        if action.possible(state).is_ok() {
            x = put(buffer, area, x, y, &state.keys.key(action), theme.style(Role::Key));
            x = put(buffer, area, x + 1, y, what, theme.style(Role::Text)) + 2;
        }
    }
    for (key, what) in [("esc", "back to the graphs"), ("q", "quit")] {
        x = put(buffer, area, x, y, key, theme.style(Role::Key));
        x = put(buffer, area, x + 1, y, what, theme.style(Role::Text)) + 2;
    }
}
