//! The list of demonstrations.

use super::{put, select};
use crate::tui::state::State;
use crate::tui::text;
use crate::tui::theme::Role;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// First row of the list.
const TOP: u16 = 4;

fn body(state: &State) -> Rect {
    let area = state.area();
    Rect::new(area.x, area.y, area.width, area.height.saturating_sub(1))
}

fn first(state: &State) -> usize {
    let rows = body(state).height.saturating_sub(TOP + 3) as usize;
    (state.demo + 1).saturating_sub(rows.max(1))
}

/// Draws the list.
pub fn draw(state: &State, buffer: &mut Buffer) {
    let theme = &state.theme;
    let area = body(state);
    let width = area.width as usize;
    if state.demos.is_empty() {
        let key = state.keys.key(crate::tui::commands::Action::OpenCase);
        put(buffer, area, 3, 2, "The demonstrations are not beside this program.", theme.style(Role::Text));
        put(buffer, area, 3, 3, "They are the folder sample_models of the sources: start fixcon there.", theme.style(Role::Dim));
        put(buffer, area, 3, 5, &key, theme.style(Role::Key));
        put(buffer, area, 6, 5, "open a case file of your own …", theme.style(Role::Text));
        put(
            buffer,
            area,
            3,
            7,
            "Without a case file: fixcon debug --source A.onnx --target B.onnx --images FOLDER",
            theme.style(Role::Dim),
        );
        return;
    }
    let title_width = state.demos.iter().map(|d| text::width(&d.title)).max().unwrap_or(20).clamp(12, width / 2);
    put(buffer, area, 6, TOP as usize - 2, "A case", theme.style(Role::Dim));
    put(buffer, area, 6 + title_width + 3, TOP as usize - 2, "what you will see", theme.style(Role::Dim));
    let rows = area.height.saturating_sub(TOP + 3) as usize;
    let from = first(state);
    for (i, demo) in state.demos.iter().enumerate().skip(from).take(rows) {
        let y = TOP as usize + i - from;
        let number = if i < 9 { format!("{}", i + 1) } else { String::new() };
        put(buffer, area, 3, y, &number, theme.style(Role::Key));
        put(buffer, area, 6, y, &text::clip(&demo.title, title_width), theme.style(Role::Text));
        let at = 6 + title_width + 3;
        put(buffer, area, at, y, &text::clip(&demo.about, width.saturating_sub(at + 1)), theme.style(Role::Dim));
        if i == state.demo {
            select(buffer, area, y, theme);
            put(buffer, area, 1, y, "▶", theme.style(Role::Accent));
        }
    }
    // What the list has no room for, of the one that is selected.
    if let Some(demo) = state.demos.get(state.demo) {
        let line = text::clip(&format!("{}: {}", demo.title, demo.about), width.saturating_sub(7));
        put(buffer, area, 6, area.height as usize - 1, &line, theme.style(Role::Accent));
    }
    let y = TOP as usize + state.demos.len().min(rows) + 1;
    put(buffer, area, 3, y, &state.keys.key(crate::tui::commands::Action::OpenCase), theme.style(Role::Key));
    put(buffer, area, 6, y, "open a case file of your own …", theme.style(Role::Text));
}

/// The demonstration at a row of the screen.
pub fn at(state: &State, row: u16) -> Option<usize> {
    let at = first(state) + usize::from(row.checked_sub(TOP)?);
    (at < state.demos.len()).then_some(at)
}
