//! What was wrong, what was done, and what came of it.

use super::{popup, put, wrapped};
use crate::session::{Decision, Sign, Standing};
use crate::tui::commands::Action;
use crate::tui::state::State;
use crate::tui::text;
use crate::tui::theme::Role;
use ratatui::buffer::Buffer;
use ratatui::text::{Line, Span};

/// Columns of the window, where there are so many.
const WIDTH: u16 = 84;

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
    if state.snapshot.other_recipe && state.snapshot.saved_recipe.is_none() {
        out.push("the target's recipe is repaired too: saving writes it beside the model".into());
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
    if let Some(recipe) = snap.saved_recipe.as_ref().filter(|_| snap.other_recipe) {
        out.push(("recipe", path(recipe)));
        out.push(("the repaired model needs it: prepare its images so, in a case under [target.preprocess]", String::new()));
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

/// The lines of the window but its last, for so many columns: what came of it, what was decided, where everything is.
fn lines(state: &State, columns: usize) -> [Vec<Line<'static>>; 3] {
    let theme = &state.theme;
    let mut head = wrapped(&outcome(state), columns, theme.style(if state.snapshot.images.flipped == 0 { Role::Good } else { Role::Warn }));
    head.extend(remarks(state).iter().flat_map(|r| wrapped(r, columns, theme.style(Role::Dim))));
    head.push(Line::raw(""));
    let decisions = decisions(state);
    let indent = 2 + decisions.iter().map(|d| text::width(d.2)).max().unwrap_or(0) + 2;
    let mut middle = Vec::new();
    for (mark, role, kind, title, after) in decisions {
        let after = text::clip(&after, columns / 3);
        let room = columns.saturating_sub(indent);
        for (i, part) in text::wrap_beside(&title, room.saturating_sub(text::width(&after) + 2), room).into_iter().enumerate() {
            if i > 0 {
                middle.push(Line::raw(format!("{}{part}", " ".repeat(indent))));
                continue;
            }
            let gap = room.saturating_sub(text::width(&part) + text::width(&after));
            middle.push(Line::from(vec![
                Span::styled(mark, theme.style(role)),
                Span::styled(format!(" {}", text::fill(kind, indent - 2)), theme.style(Role::Proposed)),
                Span::raw(format!("{part}{}", " ".repeat(gap))),
                Span::styled(after.clone(), theme.style(Role::Dim)),
            ]));
        }
    }
    let mut tail = vec![Line::raw("")];
    for (what, path) in files(state) {
        // Whole, so that it can be copied.
        for (i, part) in text::wrap_beside(&path, columns.saturating_sub(text::width(what) + 1), columns).into_iter().enumerate() {
            let before = if i == 0 { format!("{what} ") } else { String::new() };
            tail.push(Line::from(vec![Span::styled(before, theme.style(Role::Dim)), Span::styled(part, theme.style(Role::Text))]));
        }
        if path.is_empty() {
            tail.extend(wrapped(what, columns, theme.style(Role::Warn)));
        }
    }
    [head, middle, tail]
}

/// Draws the window.
pub fn draw(state: &State, buffer: &mut Buffer) {
    let theme = &state.theme;
    let columns = usize::from(state.size.width.min(WIDTH)).saturating_sub(4);
    let [head, mut middle, tail] = lines(state, columns);
    // Frame and keys; of too many decisions the last ones are in the log.
    let most = usize::from(state.size.height).saturating_sub(head.len() + tail.len() + 3);
    if middle.len() > most {
        let left = middle.split_off(most.saturating_sub(1)).len();
        middle.push(Line::styled(format!("… {left} more lines, in the log"), theme.style(Role::Warn)));
    }
    let all: Vec<Line<'_>> = head.into_iter().chain(middle).chain(tail).collect();
    let area = popup::window(state, WIDTH, all.len() as u16 + 3, "done", buffer);
    super::lines(buffer, area, &all, 0);
    let y = usize::from(area.height).saturating_sub(1);
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
