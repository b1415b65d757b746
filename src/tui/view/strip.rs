//! The isolated error over the whole depth, squeezed into one line: where to look in a thousand layers.

use super::graph::level;
use super::put;
use crate::session::Sign;
use crate::tui::state::State;
use crate::tui::text;
use crate::tui::theme::Role;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// What a stretch of rows comes to.
struct Stretch {
    level: Option<f64>,
    sign: Sign,
    here: bool,
}

fn stretches(state: &State, count: usize) -> Vec<Stretch> {
    let Some(sheet) = &state.snapshot.sheet else { return Vec::new() };
    let rows = sheet.rows.len();
    let cursor = state.graph.row().unwrap_or(0);
    let of = |i: usize| {
        let (from, to) = (i * rows / count.max(1), ((i + 1) * rows / count.max(1)).max(i * rows / count.max(1) + 1).min(rows));
        let mut out = Stretch { level: None, sign: Sign::Unknown, here: (from..to).contains(&cursor) };
        for (at, row) in sheet.rows.iter().enumerate().take(to).skip(from) {
            if let Some(error) = row.isolated {
                out.level = Some(out.level.unwrap_or(0.0).max(level(state, error)));
            }
            let sign = state.sign(at);
            if rank(sign) > rank(out.sign) {
                out.sign = sign;
            }
        }
        out
    };
    (0..count).map(of).collect()
}

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

/// From top to bottom, two columns: a mark where the cursor is, and the error.
pub fn vertical(state: &State, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    for (y, s) in stretches(state, area.height as usize).iter().enumerate() {
        if s.here {
            put(buffer, area, 0, y, "▸", theme.style(Role::Accent));
        }
        let (text, style) = match (s.level, s.sign) {
            (_, Sign::Unchecked) => ('?', theme.style(Role::Warn)),
            (_, Sign::Repaired) => ('✓', theme.style(Role::Good)),
            (Some(level), _) => (text::shade(0.25 + 0.75 * level), theme.heat(level)),
            (None, _) => ('│', theme.style(Role::Faint)),
        };
        put(buffer, area, 1, y, text.encode_utf8(&mut [0; 4]), style);
    }
}

/// From left to right, with its name.
pub fn horizontal(state: &State, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let x = put(buffer, area, 1, 0, "error over depth ", theme.style(Role::Dim));
    let room = (area.width as usize).saturating_sub(x + 1);
    for (i, s) in stretches(state, room).iter().enumerate() {
        let (text, style) = match (s.level, s.sign) {
            (_, Sign::Unchecked) => ('?', theme.style(Role::Warn)),
            (_, Sign::Repaired) => ('✓', theme.style(Role::Good)),
            (Some(level), _) => (text::spark(level), theme.heat(level)),
            (None, _) => ('─', theme.style(Role::Faint)),
        };
        let style = if s.here { style.patch(theme.style(Role::Selected)) } else { style };
        put(buffer, area, x + i, 0, text.encode_utf8(&mut [0; 4]), style);
    }
}
