//! Commands by a few of their letters.

use super::popup::{line, window};
use super::{put, select};
use crate::tui::state::State;
use crate::tui::text;
use crate::tui::theme::Role;
use crate::tui::update::palette;
use ratatui::buffer::Buffer;
use ratatui::layout::Position;
use tui_input::Input;

/// Draws the window.
pub fn draw(state: &State, input: &Input, at: usize, buffer: &mut Buffer) -> Option<Position> {
    let theme = &state.theme;
    let height = state.size.height.saturating_sub(4).min(22);
    let area = window(state, 92, height, "commands", buffer);
    let cursor = line(state, area, 0, ": ", input, buffer);
    let (found, _) = palette(input.value());
    let at = at.min(found.len().saturating_sub(1));
    // Two lines at the bottom for what the selected one does, in full, where there is room.
    let room = area.height as usize;
    let told = room > 8;
    let rows = room.saturating_sub(if told { 5 } else { 2 });
    let top = (at + 1).saturating_sub(rows);
    for (y, action) in found.iter().enumerate().skip(top).take(rows) {
        let spec = action.spec();
        let possible = action.possible(state);
        let line = 2 + y - top;
        let role = if possible.is_ok() { Role::Text } else { Role::Faint };
        put(buffer, area, 2, line, &text::clip(spec.short, 18), theme.style(role));
        put(
            buffer,
            area,
            21,
            line,
            &text::clip(&state.keys.keys(*action).join(" "), 12),
            theme.style(if possible.is_ok() { Role::Key } else { Role::Faint }),
        );
        let why = possible.err().map(|w| format!("not now: {w}")).unwrap_or_else(|| spec.help.to_string());
        put(buffer, area, 34, line, &why, theme.style(Role::Dim));
        if y == at {
            let said = text::wrap(&format!("{why}  [{}]", spec.id), area.width as usize);
            for (i, part) in said.iter().take(if told { 2 } else { 0 }).enumerate() {
                put(buffer, area, 0, 3 + rows + i, part, theme.style(Role::Accent));
            }
            select(buffer, area, line, theme);
            put(buffer, area, 0, line, "▶", theme.style(Role::Accent));
        }
    }
    let (above, below) = (top, found.len().saturating_sub(top + rows));
    if above + below > 0 {
        let text = format!("{} of {}", at + 1, found.len());
        put(buffer, area, (area.width as usize).saturating_sub(text::width(&text)), 0, &text, theme.style(Role::Dim));
    }
    if found.is_empty() {
        put(buffer, area, 2, 2, "no command matches", theme.style(Role::Dim));
    }
    Some(cursor)
}
