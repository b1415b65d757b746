//! What was wrong, what was done, and what came of it.

use super::{popup, put};
use crate::session::Standing;
use crate::tui::state::State;
use crate::tui::text;
use crate::tui::theme::Role;
use ratatui::buffer::Buffer;

/// Draws the window.
pub fn draw(state: &State, buffer: &mut Buffer) {
    let theme = &state.theme;
    let snap = &state.snapshot;
    let decided = &snap.decided;
    let area = popup::window(state, 84, decided.len() as u16 + 8, "done", buffer);
    let width = area.width as usize;
    let broken = snap.images.flips.iter().filter(|f| f.broken).count();
    let broken = if broken == 0 { "none newly broken".to_string() } else { format!("{broken} newly broken") };
    let left = if snap.images.flipped == 0 { ": all labels agree" } else { "" };
    let text = format!("{} → {} of {} flipped{left}; {broken}", snap.images.at_start, snap.images.flipped, snap.images.done);
    put(buffer, area, 0, 0, &text, theme.style(Role::Good));
    for (i, decision) in decided.iter().enumerate() {
        let p = &decision.proposal;
        let kind = p.kind.map_or(p.category.id(), |k| k.id());
        let (mark, role, after) = match &p.standing {
            Standing::Rejected(note) => ("✗", Role::Bad, if note.is_empty() { "rejected".into() } else { format!("rejected: {note}") }),
            Standing::Accepted => ("✓", Role::Good, decision.flips.map(|(a, b)| format!("{a} → {b}")).unwrap_or_default()),
            _ => ("·", Role::Dim, "put off".into()),
        };
        let y = 2 + i;
        put(buffer, area, 0, y, mark, theme.style(role));
        put(buffer, area, 2, y, kind, theme.style(Role::Proposed));
        let after = text::clip(&after, width / 3);
        let room = width.saturating_sub(16 + text::width(&after));
        put(buffer, area, 15, y, &text::clip(&p.title, room), theme.style(Role::Text));
        put(buffer, area, width.saturating_sub(text::width(&after)), y, &after, theme.style(Role::Dim));
    }
    let y = decided.len() + 3;
    let saved = match &snap.saved {
        Some(path) if !snap.unsaved => format!("saved as {}", text::clip_start(&path.display().to_string(), width.saturating_sub(10))),
        _ => "not saved yet".into(),
    };
    put(buffer, area, 0, y, &saved, theme.style(Role::Text));
    if let Some(log) = &snap.audit_log {
        put(
            buffer,
            area,
            0,
            y + 1,
            &format!("log {}", text::clip_start(&log.display().to_string(), width.saturating_sub(5))),
            theme.style(Role::Dim),
        );
    }
    let mut x = 0;
    for (key, what, possible) in
        [("w", "save", snap.unsaved), ("u", "undo the last", snap.can_undo), ("esc", "back to the graphs", true), ("q", "quit", true)]
    {
        if possible {
            x = put(buffer, area, x, y + 2, key, theme.style(Role::Key));
            x = put(buffer, area, x + 1, y + 2, what, theme.style(Role::Text)) + 3;
        }
    }
}
