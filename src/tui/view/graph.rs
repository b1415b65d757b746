//! The two graphs side by side, a gutter with signs between them, the isolated error at the right.

use super::{measured, open_frame, put, select, strip, title};
use crate::align::Precision;
use crate::session::{Cell, Load, Row, Sign};
use crate::tui::layout::{Panes, graph_rows};
use crate::tui::lines::Line;
use crate::tui::state::{Overlay, Pane, State};
use crate::tui::text;
use crate::tui::theme::{Depth, Role};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Where the columns of a row are, from the left of the area.
struct Columns {
    side: usize,
    gutter: usize,
    right: usize,
    error: usize,
    error_width: usize,
    strip: usize,
}

impl Columns {
    fn new(width: usize, measured: bool) -> Self {
        let error_width = if !measured {
            0
        } else if width >= 96 {
            15
        } else if width >= 76 {
            9
        } else {
            0
        };
        let strip = 2;
        let side = width.saturating_sub(3 + error_width + strip) / 2;
        let error = width.saturating_sub(error_width + strip);
        Self { side, gutter: side, right: side + 3, error, error_width, strip: width.saturating_sub(strip) }
    }
}

/// The sign of the gutter, with its style.
pub fn sign(state: &State, sign: Sign) -> (&'static str, Style) {
    let (text, role) = match sign {
        Sign::Unknown => (" ", Role::Faint),
        Sign::Clean => ("=", Role::Faint),
        Sign::Faulty => ("✗", Role::Bad),
        Sign::Unchecked => ("?", Role::Warn),
        Sign::Repaired => ("✓", Role::Good),
        Sign::Proposed => ("±", Role::Proposed),
    };
    (text, state.theme.style(role))
}

/// Draws the pane.
pub fn draw(state: &State, panes: &Panes, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let inner = open_frame(state, panes, Pane::Graph, area, Vec::new(), buffer);
    let measured = state.snapshot.sheet.as_ref().is_some_and(|s| s.aligned);
    let columns = Columns::new(inner.width as usize, measured);
    if panes.framed {
        let names = state.snapshot.case.as_ref().map(|c| (c.source.as_str(), c.target.as_str())).unwrap_or_default();
        let over = Rect::new(inner.x, area.y, inner.width, 1);
        let heading = |word: &str, name: &str| format!(" {word} {} ", text::shorten(name, columns.side.saturating_sub(12)));
        put(buffer, over, 0, 0, &heading("source", names.0), title(theme, "").style);
        put(buffer, over, columns.right.saturating_sub(1), 0, &heading("target", names.1), title(theme, "").style);
        if columns.error_width > 0 {
            put(buffer, over, columns.error, 0, " isolated ", theme.style(Role::Dim));
        }
    }
    let Some(rows) = graph_rows(panes) else { return };
    if state.snapshot.sheet.is_none() {
        return empty(state, rows, buffer);
    }
    for (y, line) in state.graph.lines.iter().skip(state.graph.top).take(rows.height as usize).enumerate() {
        draw_line(state, *line, rows, y, &columns, buffer);
        if state.graph.top + y == state.graph.cursor {
            // Reversed, a bar would be a hole.
            let width = if theme.depth > Depth::Sixteen { columns.strip } else { columns.error };
            select(buffer, Rect { width: width as u16, ..rows }, y, theme);
            put(buffer, rows, 0, y, "▶", theme.style(Role::Accent));
        }
    }
    edges(state, rows, buffer);
    let strip = Rect::new(rows.x + columns.strip as u16, rows.y, 2, rows.height).intersection(rows);
    strip::vertical(state, strip, buffer);
    if !panes.framed {
        strip::horizontal(state, Rect::new(area.x, area.bottom().saturating_sub(1), area.width, 1), buffer);
    }
}

/// At the left edge, what the row under the cursor reads (from above) and who reads it (below).
fn edges(state: &State, area: Rect, buffer: &mut Buffer) {
    let graph = &state.graph;
    // While one chooses where to go on to, the row that it is about stays the same.
    let from = if let Some(Overlay::Choose { before, .. }) = &state.overlay { before.row() } else { graph.row() };
    let Some(row) = from else { return };
    let cursor = graph.line_of(row);
    let lines = |rows: &[Vec<usize>]| -> Vec<usize> { rows.get(row).into_iter().flatten().map(|r| graph.line_of(*r)).collect() };
    let (up, down) = (lines(&state.derived.up), lines(&state.derived.down));
    let (first, last) = (up.iter().min(), down.iter().max());
    for y in 0..area.height as usize {
        let at = graph.top + y;
        let above = first.is_some_and(|f| *f <= at) && at < cursor;
        let below = last.is_some_and(|l| at <= *l) && at > cursor;
        if (!above && !below) || at == graph.cursor {
            continue;
        }
        let mark = match at {
            at if above && first == Some(&at) => "╭",
            at if below && last == Some(&at) => "╰",
            at if up.contains(&at) || down.contains(&at) => "├",
            _ => "│",
        };
        put(buffer, area, 0, y, mark, state.theme.style(if mark == "│" { Role::Faint } else { Role::Accent }));
    }
}

/// Before the graphs are there: how far each model has come, or why it cannot be read.
fn empty(state: &State, area: Rect, buffer: &mut Buffer) {
    let snap = &state.snapshot;
    let mut y = 1;
    for (name, load) in [("source", &snap.source), ("target", &snap.target)] {
        let (text, role) = match load {
            Load::Waiting => ("waiting".to_string(), Role::Dim),
            Load::Loading => ("loading …".to_string(), Role::Dim),
            Load::Ready { nodes, .. } => (format!("{nodes} nodes"), Role::Text),
            Load::Failed(why) => (why.clone(), Role::Bad),
        };
        put(buffer, area, 1, y, name, state.theme.style(Role::Accent));
        for line in text::wrap(&text, (area.width as usize).saturating_sub(11)) {
            put(buffer, area, 9, y, &line, state.theme.style(role));
            y += 1;
        }
    }
}

fn draw_line(state: &State, line: Line, area: Rect, y: usize, columns: &Columns, buffer: &mut Buffer) {
    let Some(sheet) = &state.snapshot.sheet else { return };
    let theme = &state.theme;
    match line {
        Line::Row(at) => {
            let Some(row) = sheet.rows.get(at) else { return };
            let shown = state.sign(at);
            draw_side(state, at, row.source.as_ref(), 0, shown, area, y, columns, buffer);
            draw_side(state, at, row.target.as_ref(), 1, shown, area, y, columns, buffer);
            let (mark, style) = sign(state, shown);
            let one_sided = row.source.is_some() != row.target.is_some() && sheet.aligned && shown == Sign::Clean;
            put(buffer, area, columns.gutter + 1, y, if one_sided { "·" } else { mark }, style);
            if state.graph.bookmarks.contains(&at) {
                put(buffer, area, columns.gutter, y, "⚑", theme.style(Role::Warn));
            }
            if let Some((mark, role)) = said(state, at, row) {
                put(buffer, area, columns.gutter + 2, y, mark, theme.style(role));
            }
            error(state, at, row, shown, area, y, columns, buffer);
        }
        Line::Fold(from, to) => {
            let rows = &sheet.rows[from..=to.min(sheet.rows.len() - 1)];
            let nodes = |of: fn(&Row) -> Option<&Cell>| rows.iter().filter_map(of).map(|c| c.ops.len()).sum::<usize>();
            let regions = format!("{} regions, all clean", rows.len());
            let sides = [(0, 1, regions), (1, columns.right, format!("{} nodes", nodes(|r| r.target.as_ref())))];
            for (side, x, text) in sides {
                let rail = state.derived.rails[side].get(to).map(|r| r.draw_folded(lanes(columns.side))).unwrap_or_default();
                let room = columns.side.saturating_sub(1);
                let at = put(buffer, area, x, y, &text::clip(&rail, room), theme.style(Role::Faint));
                put(buffer, area, at + 1, y, &text::clip(&text, (x + room).saturating_sub(at + 1)), theme.style(Role::Dim));
            }
            put(buffer, area, columns.gutter + 1, y, "=", theme.style(Role::Faint));
            let worst = rows.iter().filter_map(|r| r.isolated).fold(None, |a: Option<f32>, b| Some(a.map_or(b, |a| a.max(b))));
            if let Some(worst) = worst {
                bar(state, worst, area, y, columns, buffer);
            }
        }
        Line::Node(at, i) => {
            let Some(row) = sheet.rows.get(at) else { return };
            for (side, x, cell, network) in [(0, 1, &row.source, &sheet.source), (1, columns.right, &row.target, &sheet.target)] {
                let (Some(cell), Some(network)) = (cell, network) else { continue };
                let Some(op) = cell.ops.get(i) else { continue };
                let indent = 2 + state.derived.rails[side].get(at).map_or(0, |r| 2 * r.width().min(lanes(columns.side)));
                let room = columns.side.saturating_sub(indent + 1);
                let name = crate::model::harmless(network.label(*op));
                let text = format!("{}  {name}", crate::session::words::describe(network, *op));
                put(buffer, area, x + indent, y, &text::clip(&text, room), theme.style(Role::Dim));
            }
        }
    }
}

/// What a person said of the row's pairs, as the key that says it.
fn said(state: &State, at: usize, row: &Row) -> Option<(&'static str, Role)> {
    match row.said.last() {
        _ if state.pinning == Some(at) => Some(("P", Role::Warn)),
        Some(s) if s.pair => Some(("P", Role::Accent)),
        Some(_) => Some(("X", Role::Accent)),
        None => None,
    }
}

/// How many lanes a side of this width has room for.
fn lanes(side: usize) -> usize {
    (side / 6).clamp(2, 9)
}

#[allow(clippy::too_many_arguments)]
fn draw_side(
    state: &State,
    at: usize,
    cell: Option<&Cell>,
    side: usize,
    shown: Sign,
    area: Rect,
    y: usize,
    columns: &Columns,
    buffer: &mut Buffer,
) {
    let theme = &state.theme;
    let (x, room) = if side == 0 { (1, columns.side.saturating_sub(1)) } else { (columns.right, columns.side) };
    let edge = x + room;
    let rail = state.derived.rails[side].get(at).map(|r| r.draw(lanes(columns.side))).unwrap_or_default();
    let calls = shown.calls();
    let mark_style = if calls { sign(state, shown).1 } else { theme.style(Role::Dim) };
    let mut x = x;
    for c in rail.chars() {
        let style = if c == crate::tui::lanes::MARK { mark_style } else { theme.style(Role::Faint) };
        x = put(buffer, area, x, y, c.encode_utf8(&mut [0; 4]), style);
    }
    let Some(cell) = cell else { return };
    let room = edge.saturating_sub(x + 1);
    let text = if state.graph.names { &state.derived.names[side][at] } else { &cell.text };
    let shape_width = text::width(&cell.shape);
    let shape_fits = !cell.shape.is_empty() && room >= text::width(text).min(16) + 2 + shape_width;
    let text_room = if shape_fits { room - shape_width - 1 } else { room };
    let style = match shown {
        Sign::Clean | Sign::Unknown | Sign::Repaired => theme.style(Role::Text),
        other => sign(state, other).1,
    };
    let found = !state.search.is_empty() && state.matches(at, &state.search.to_lowercase());
    let style = if found { style.patch(theme.style(Role::Match)) } else { style };
    put(buffer, area, x + 1, y, &text::clip(text, text_room), style);
    if shape_fits {
        put(buffer, area, edge - shape_width, y, &cell.shape, theme.style(Role::Dim));
    }
}

/// The level of an isolated error between the floor and one, logarithmic.
pub fn level(state: &State, error: f32) -> f64 {
    let floor = state.snapshot.sheet.as_ref().and_then(|s| s.floor).map_or(1e-7, |f| f.0).max(1e-7);
    if !error.is_finite() {
        return 1.0;
    }
    let low = f64::from(floor).log10();
    ((f64::from(error.max(1e-12)).log10() - low) / (0.0 - low)).clamp(0.0, 1.0)
}

fn bar(state: &State, error: f32, area: Rect, y: usize, columns: &Columns, buffer: &mut Buffer) {
    // In single precision what lies below the threshold is rounding; a coarser arithmetic loses something everywhere, which is worth seeing.
    let sheet = state.snapshot.sheet.as_ref();
    let rounding = sheet.filter(|s| s.precision == Precision::Float).and_then(|s| s.floor).is_some_and(|(_, threshold)| error <= threshold);
    if columns.error_width == 0 || rounding {
        return;
    }
    let room = columns.error_width.min(8) - 2;
    let level = level(state, error);
    put(buffer, area, columns.error + 1, y, &text::bar(level, room), state.theme.heat(level));
}

#[allow(clippy::too_many_arguments)]
fn error(state: &State, at: usize, row: &Row, shown: Sign, area: Rect, y: usize, columns: &Columns, buffer: &mut Buffer) {
    if shown == Sign::Unchecked && columns.error_width > 0 {
        let why = if row.why.is_empty() { "unchecked" } else { &row.why };
        put(buffer, area, columns.error + 1, y, &text::clip(why, columns.error_width - 1), state.theme.style(Role::Warn));
        return;
    }
    // Of a mended region, the error that its edit left.
    let Some(error) = state.mended_error(at).filter(|_| row.isolated.is_some()).or(row.isolated) else { return };
    bar(state, error, area, y, columns, buffer);
    if columns.error_width > 12 && shown.calls() {
        put(buffer, area, columns.error + 8, y, &text::clip(&measured(error), 7), state.theme.style(Role::Text));
    }
}
