//! The names of the panes, where only one of them fits.

use super::put;
use crate::tui::state::{Pane, State};
use crate::tui::theme::Role;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

fn places() -> impl Iterator<Item = (Pane, usize)> {
    let mut x = 1;
    Pane::ALL.into_iter().map(move |pane| {
        let at = x;
        x += pane.name().len() + 3;
        (pane, at)
    })
}

/// Draws the line.
pub fn draw(state: &State, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let mut end = 0;
    for (pane, x) in places() {
        let here = pane == state.focus;
        let style = theme.style(if here { Role::Accent } else { Role::Dim });
        end = put(buffer, area, x, 0, pane.name(), if here { style.add_modifier(ratatui::style::Modifier::UNDERLINED) } else { style });
        if pane != Pane::Log {
            put(buffer, area, end + 1, 0, "│", theme.style(Role::Faint));
        }
    }
    let hint = "tab switches ";
    if area.width as usize > end + hint.len() + 2 {
        put(buffer, area, area.width as usize - hint.len(), 0, hint, theme.style(Role::Dim));
    }
}

/// The pane whose name is at this column.
pub fn at(area: Rect, column: u16) -> Option<Pane> {
    let x = usize::from(column.checked_sub(area.x)?);
    places().find(|(pane, at)| (*at..at + pane.name().len()).contains(&x)).map(|(p, _)| p)
}
