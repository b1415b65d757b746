//! The list of demonstrations.

use super::{put, select};
use crate::tui::commands::Action;
use crate::tui::state::State;
use crate::tui::text;
use crate::tui::theme::Role;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Where the parts of the list are, as rows of the screen.
struct Places {
    /// The heading of the columns.
    heading: u16,
    /// The first case.
    top: u16,
    /// How many cases there is room for.
    rows: usize,
    /// The first case that is shown.
    first: usize,
}

impl Places {
    fn new(state: &State) -> Self {
        // Header, heading, a line for the selected case, and the key bar stay free.
        let room = usize::from(state.size.height).saturating_sub(4).max(1);
        let air = u16::from(room >= state.demos.len() + 6);
        let rows = room.min(state.demos.len());
        let first = (state.demo + 1).saturating_sub(rows);
        Self { heading: 1 + air, top: 2 + 2 * air, rows, first }
    }
}

/// How many cases are seen at once.
pub fn rows(state: &State) -> usize {
    Places::new(state).rows
}

/// The demonstration at a row of the screen.
pub fn at(state: &State, row: u16) -> Option<usize> {
    let places = Places::new(state);
    let line = usize::from(row.checked_sub(places.top)?);
    Some(places.first + line).filter(|i| line < places.rows && *i < state.demos.len())
}

/// Draws the list.
pub fn draw(state: &State, buffer: &mut Buffer) {
    let theme = &state.theme;
    let screen = state.area();
    let area = Rect { height: screen.height.saturating_sub(1), ..screen };
    if state.demos.is_empty() {
        return none(state, area, buffer);
    }
    let width = area.width as usize;
    let places = Places::new(state);
    let title_width = state.demos.iter().map(|d| text::width(&d.title)).max().unwrap_or(20).clamp(12, width * 9 / 20);
    let second = 6 + title_width + 2;
    put(buffer, area, 6, places.heading.into(), "A case", theme.style(Role::Dim));
    put(buffer, area, second, places.heading.into(), "what you will see", theme.style(Role::Dim));
    for (line, (i, demo)) in state.demos.iter().enumerate().skip(places.first).take(places.rows).enumerate() {
        let y = usize::from(places.top) + line;
        let number = if i < 9 { (i + 1).to_string() } else { String::new() };
        put(buffer, area, 3, y, &number, theme.style(Role::Key));
        put(buffer, area, 6, y, &text::clip(&demo.title, title_width), theme.style(Role::Text));
        put(buffer, area, second, y, &text::clip(&demo.about, width.saturating_sub(second + 1)), theme.style(Role::Dim));
        if i == state.demo {
            select(buffer, area, y, theme);
            put(buffer, area, 1, y, "▶", theme.style(Role::Accent));
        }
    }
    let (above, below) = (places.first, state.demos.len().saturating_sub(places.first + places.rows));
    let hidden: Vec<String> =
        [("↑", above, "above"), ("↓", below, "below")].iter().filter(|h| h.1 > 0).map(|(a, n, w)| format!("{a} {n} more {w}")).collect();
    let hidden = hidden.join("   ");
    put(buffer, area, width.saturating_sub(text::width(&hidden) + 1), places.heading.into(), &hidden, theme.style(Role::Warn));
    let begin = usize::from(places.top) + places.rows;
    let left = usize::from(area.height).saturating_sub(begin);
    let air = usize::from(left >= 4);
    // What the columns have no room for, of the one that is selected.
    if let Some(demo) = state.demos.get(state.demo) {
        let text = if left > 1 { format!("{}: {}", demo.title, demo.about) } else { demo.about.clone() };
        for (i, line) in text::wrap(&text, width.saturating_sub(7)).iter().take(left.min(2)).enumerate() {
            put(buffer, area, 6, begin + air + i, line, theme.style(Role::Accent));
        }
    }
    // The key bar offers it too.
    if left >= 4 {
        let y = usize::from(area.height) - 1;
        put(buffer, area, 3, y, &state.keys.key(Action::OpenCase), theme.style(Role::Key));
        put(buffer, area, 6, y, "open a case file of your own …", theme.style(Role::Text));
    }
}

/// What there is to say without demonstrations.
fn none(state: &State, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    put(buffer, area, 3, 2, "The demonstrations are not beside this program.", theme.style(Role::Text));
    put(buffer, area, 3, 3, "They are the folder sample_models of the sources: start fixcon there.", theme.style(Role::Dim));
    put(buffer, area, 3, 5, &state.keys.key(Action::OpenCase), theme.style(Role::Key));
    put(buffer, area, 6, 5, "open a case file of your own …", theme.style(Role::Text));
    let line = "Without a case file: fixcon debug --source A.onnx --target B.onnx --images FOLDER";
    for (i, line) in text::wrap(line, (area.width as usize).saturating_sub(4)).iter().enumerate() {
        put(buffer, area, 3, 7 + i, line, theme.style(Role::Dim));
    }
}
