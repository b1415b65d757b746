//! The names of the panes, where only one of them fits.

use super::{header, put, put_line};
use crate::tui::state::{Pane, State};
use crate::tui::theme::Role;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

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
    // At the right what is being done, or how to go from one to the next.
    let room = (area.width as usize).saturating_sub(end + 3);
    let mut right = Line::from(header::work(state, room));
    if right.spans.is_empty() {
        // The frames that name the two columns are not there.
        let sides = if state.focus == Pane::Graph { "← source   target →   " } else { "" };
        right = Line::styled(format!("{sides}tab switches"), theme.style(Role::Dim));
    }
    if right.width() <= room {
        let wide = right.width() as u16 + 1;
        put_line(buffer, Rect { x: area.right() - wide, width: wide, ..area }, 0, &right);
    }
}

/// The pane whose name is at this column.
pub fn at(area: Rect, column: u16) -> Option<Pane> {
    let x = usize::from(column.checked_sub(area.x)?);
    places().find(|(pane, at)| (*at..at + pane.name().len()).contains(&x)).map(|(p, _)| p)
}
