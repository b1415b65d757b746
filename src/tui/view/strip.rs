//! The isolated error over the whole depth, squeezed into one line: where to look in a thousand layers.

use super::graph::level;
use super::put;
use crate::session::{Sheet, Sign};
use crate::tui::layout::{Panes, graph_rows};
use crate::tui::lines::Line;
use crate::tui::state::{Pane, State};
use crate::tui::text;
use crate::tui::theme::{Depth, Role};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;

/// What a stretch of rows comes to.
struct Stretch {
    level: Option<f64>,
    sign: Sign,
    here: bool,
}

/// What the rows from one to another come to.
fn stretch(state: &State, sheet: &Sheet, from: usize, to: usize, here: bool) -> Stretch {
    let mut out = Stretch { level: None, sign: Sign::Unknown, here };
    for (at, row) in sheet.rows.iter().enumerate().take(to).skip(from) {
        let sign = state.sign(at);
        if let Some(error) = row.isolated {
            let error = if sign == Sign::Repaired { state.mended_error(at).unwrap_or(error) } else { error };
            out.level = Some(out.level.unwrap_or(0.0).max(level(state, error)));
        }
        if rank(sign) > rank(out.sign) {
            out.sign = sign;
        }
    }
    out
}

/// The rows that one of so many stretches stands for.
fn span(at: usize, of: usize, rows: usize) -> (usize, usize) {
    let from = at * rows / of.max(1);
    (from, ((at + 1) * rows / of.max(1)).max(from + 1).min(rows))
}

/// The whole depth in so many stretches.
fn stretches(state: &State, count: usize) -> Vec<Stretch> {
    let Some(sheet) = &state.snapshot.sheet else { return Vec::new() };
    let rows = sheet.rows.len();
    let cursor = state.graph.row().unwrap_or(0);
    let of = |i: usize| {
        let (from, to) = span(i, count, rows);
        stretch(state, sheet, from, to, (from..to).contains(&cursor))
    };
    (0..count).map(of).collect()
}

/// Whether all lines fit beside the strip: then each has its own place there.
fn all_fit(state: &State, height: usize) -> bool {
    state.graph.lines.len() <= height
}

/// One stretch a line.
fn by_lines(state: &State) -> Vec<Stretch> {
    let Some(sheet) = &state.snapshot.sheet else { return Vec::new() };
    let of = |(i, line): (usize, &Line)| {
        let (from, to) = match *line {
            Line::Row(r) => (r, r + 1),
            Line::Fold(from, to) => (from, to + 1),
            Line::Node(r, _) => (r, r),
        };
        stretch(state, sheet, from, to, i == state.graph.cursor)
    };
    state.graph.lines.iter().enumerate().map(of).collect()
}

/// The row of the sheet that a place of either strip stands for; none beside them, or where each line has its own place.
pub fn row_at(state: &State, panes: &Panes, x: u16, y: u16) -> Option<usize> {
    let (area, rows) = (panes.inner(Pane::Graph)?, graph_rows(panes)?);
    let sheet = state.snapshot.sheet.as_ref()?;
    // Of the rows that a place stands for, the one that gives it its colour.
    let part = |at: u16, of: u16| {
        let (from, to) = span(at.into(), of.into(), sheet.rows.len());
        let worst = |row: &usize| {
            let one = stretch(state, sheet, *row, *row + 1, false);
            (rank(one.sign), one.level.map_or(0, |level| (level * 1000.0) as u32))
        };
        (from..to).rev().max_by_key(worst)
    };
    if rows.contains((x, y).into()) && x + 2 >= rows.right() && !all_fit(state, rows.height.into()) {
        return part(y - rows.y, rows.height);
    }
    let left = area.x + 1 + NAME.len() as u16;
    if !panes.framed && y + 1 == area.bottom() && (left..area.right().saturating_sub(1)).contains(&x) {
        return part(x - left, area.right().saturating_sub(left + 1));
    }
    None
}

/// Stands before the horizontal strip.
const NAME: &str = "error over depth ";

fn rank(sign: Sign) -> u8 {
    match sign {
        Sign::Unknown => 0,
        Sign::Clean => 1,
        Sign::Repaired => 2,
        Sign::Unchecked => 3,
        Sign::Proposed => 4,
        Sign::Faulty => 5,
    }
}

/// From top to bottom, two columns: a mark where the cursor is, and the error. Beside lines that have their own places it is drawn like their bars; where
/// it stands for the whole depth, as a line, as what it shows is not about the lines beside it.
pub fn vertical(state: &State, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let height = area.height as usize;
    let own = all_fit(state, height);
    let all = if own { by_lines(state) } else { stretches(state, height) };
    for (y, s) in all.iter().enumerate() {
        if s.here {
            put(buffer, area, 0, y, if own { "▸" } else { "·" }, theme.style(Role::Accent));
        }
        let (text, style) = match (s.level, s.sign) {
            (_, Sign::Unchecked) => ('?', theme.style(Role::Warn)),
            (_, Sign::Repaired) if own => ('✓', theme.style(Role::Good)),
            (_, Sign::Repaired) => ('┃', theme.style(Role::Good)),
            (Some(level), _) if own => (text::shade(0.25 + 0.75 * level), theme.heat(level)),
            (Some(level), _) if level > 0.3 => ('┃', theme.heat(level)),
            _ => ('│', theme.style(Role::Faint)),
        };
        put(buffer, area, 1, y, text.encode_utf8(&mut [0; 4]), style);
    }
}

/// From left to right, with its name.
pub fn horizontal(state: &State, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let x = put(buffer, area, 1, 0, NAME, theme.style(Role::Dim));
    let room = (area.width as usize).saturating_sub(x + 1);
    for (i, s) in stretches(state, room).iter().enumerate() {
        let (text, style) = match (s.level, s.sign) {
            (_, Sign::Unchecked) => ('?', theme.style(Role::Warn)),
            (_, Sign::Repaired) => ('✓', theme.style(Role::Good)),
            (Some(level), _) => (text::spark(level), theme.heat(level)),
            (None, _) => ('─', theme.style(Role::Faint)),
        };
        // Reversed, a bar would be a hole.
        let style = match s.here {
            true if theme.depth > Depth::Sixteen => style.patch(theme.style(Role::Selected)),
            true => style.add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
            false => style,
        };
        put(buffer, area, x + i, 0, text.encode_utf8(&mut [0; 4]), style);
    }
}
