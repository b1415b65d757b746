//! The proposal in a few lines, for a small terminal.

use super::{pane_lines, proposal, put};
use crate::tui::state::State;
use crate::tui::text;
use crate::tui::theme::Role;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// How many rows it needs on a screen of this width, the rule above it among them.
pub fn rows(state: &State, width: u16) -> u16 {
    1 + proposal::brief(state, usize::from(width.saturating_sub(2))).len() as u16
}

/// Draws it, a rule above.
pub fn draw(state: &State, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let width = area.width as usize;
    put(buffer, area, 0, 0, &"─".repeat(width), theme.style(Role::Faint));
    let inner = Rect::new(area.x + 1, area.y + 1, area.width.saturating_sub(2), area.height.saturating_sub(1));
    let count = state.alternatives().len();
    if count > 1 {
        let text = format!(" {} of {count} ", state.alternative.min(count - 1) + 1);
        put(buffer, area, width.saturating_sub(text::width(&text) + 2), 0, &text, theme.style(Role::Dim));
    }
    pane_lines(buffer, inner, &proposal::brief(state, inner.width as usize), 0, state, false);
}
