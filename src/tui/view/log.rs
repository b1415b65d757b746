//! What happened, the newest at the bottom.

use super::{open_frame, put, title};
use crate::tui::layout::Panes;
use crate::tui::state::{Pane, State};
use crate::tui::text;
use crate::tui::theme::Role;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Draws the pane.
pub fn draw(state: &State, panes: &Panes, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let inner = open_frame(state, panes, Pane::Log, area, vec![title(theme, "log")], buffer);
    let width = (inner.width as usize).saturating_sub(10);
    let mut rows: Vec<(String, String, Role)> = Vec::new();
    for line in state.snapshot.log.iter() {
        for (i, part) in text::wrap(&line.text, width.max(8)).into_iter().enumerate() {
            rows.push((if i == 0 { line.at.clone() } else { String::new() }, part, super::keybar::tone(line.tone)));
        }
    }
    if rows.is_empty() {
        put(buffer, inner, 1, 0, "nothing happened yet", theme.style(Role::Dim));
        return;
    }
    let height = inner.height as usize;
    let end = rows.len() - state.scroll[2].min(rows.len().saturating_sub(height));
    for (y, (at, text, role)) in rows[end.saturating_sub(height)..end].iter().enumerate() {
        put(buffer, inner, 0, y, at, theme.style(Role::Dim));
        put(buffer, inner, 9, y, text, theme.style(*role));
    }
}
