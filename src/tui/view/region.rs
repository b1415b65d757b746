//! One region alone: the nodes of both sides, what they read and what they make.

use super::{lines, popup, put, wrapped};
use crate::model::{ValueId, harmless};
use crate::run::{Network, OpId};
use crate::session::words;
use crate::session::{Cell, Sign};
use crate::tui::state::State;
use crate::tui::text;
use crate::tui::theme::Role;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// Draws the window.
pub fn draw(state: &State, row: usize, top: usize, buffer: &mut Buffer) {
    let screen = state.area();
    let title = format!("row {}: {}", row + 1, state.sign(row).name());
    let inner = popup::window(state, screen.width.saturating_sub(2).min(160), screen.height.saturating_sub(2), &title, buffer);
    let body = Rect { height: inner.height.saturating_sub(1), ..inner };
    let half = (inner.width.saturating_sub(3)) / 2;
    // Side by side where there is room, else one below the other.
    let longest = if half >= 46 {
        let right = Rect { x: body.x + half + 3, width: body.width - half - 3, ..body };
        let sides =
            [(0, Rect { width: half, ..body }), (1, right)].map(|(side, area)| (content(state, row, side, area.width as usize), area));
        for (content, area) in &sides {
            lines(buffer, *area, content, top);
        }
        sides.iter().map(|(c, _)| c.len()).max().unwrap_or(0)
    } else {
        let mut all = content(state, row, 0, body.width as usize);
        all.push(Line::raw(""));
        all.extend(content(state, row, 1, body.width as usize));
        lines(buffer, body, &all, top);
        all.len()
    };
    let text = if longest > body.height as usize { "↑ ↓ scroll   esc goes back" } else { "esc goes back" };
    put(buffer, inner, 0, inner.height.saturating_sub(1) as usize, text, state.theme.style(Role::Dim));
}

/// One side of a row, node by node.
pub fn content(state: &State, row: usize, side: usize, columns: usize) -> Vec<Line<'static>> {
    let theme = &state.theme;
    let Some((sheet, found)) = state.snapshot.sheet.as_ref().and_then(|s| Some((s, s.rows.get(row)?))) else { return Vec::new() };
    let (name, network, cell) = if side == 0 { ("source", &sheet.source, &found.source) } else { ("target", &sheet.target, &found.target) };
    let mut out = vec![Line::styled(name, theme.style(Role::Accent))];
    let (Some(network), Some(cell)) = (network, cell) else {
        out.push(Line::styled(cell.as_ref().map_or("nothing stands here on this side", |_| "not loaded"), theme.style(Role::Dim)));
        return out;
    };
    for id in &cell.ops {
        out.extend(node(state, network, *id, columns));
    }
    out.push(Line::raw(""));
    out.extend(links(state, sheet.rows.iter().enumerate(), cell, side, columns));
    if found.sign == Sign::Unchecked && !found.why.is_empty() && side == 1 {
        out.extend(wrapped(&format!("unchecked: {}", found.why), columns, theme.style(Role::Warn)));
    }
    out
}

/// A node with its name, its constants, what it reads and makes.
fn node(state: &State, network: &Network, id: OpId, columns: usize) -> Vec<Line<'static>> {
    let theme = &state.theme;
    let op = network.op(id);
    let name = |v: &ValueId| harmless(network.model().index().name(*v)).into_owned();
    let mut out = vec![Line::styled(text::clip(&words::describe(network, id), columns), theme.style(Role::Text))];
    let mut entry = |word: &str, text: &str| {
        let room = columns.saturating_sub(11);
        out.push(Line::from(vec![
            Span::styled(format!("  {word:<8} "), theme.style(Role::Dim)),
            Span::styled(text::shorten(text, room), theme.style(Role::Dim)),
        ]));
    };
    entry("name", &harmless(network.label(id)));
    for v in op.inputs.iter().flatten() {
        match network.constant(*v) {
            Some(constant) => entry("constant", &format!("{}  {}", name(v), words::shape(constant.shape()))),
            None => entry("reads", &name(v)),
        }
    }
    for v in op.made() {
        entry("makes", &name(&v));
    }
    // In one order on both sides.
    let mut attributes: Vec<_> = op.proto().attribute.iter().collect();
    attributes.sort_by_key(|a| a.name());
    for attribute in attributes {
        entry("has", &format!("{} = {}", harmless(attribute.name()), words::attribute(attribute)));
    }
    out
}

/// The rows that make what a cell reads, and those that read what it makes.
fn links<'a>(
    state: &State,
    rows: impl Iterator<Item = (usize, &'a crate::session::Row)> + Clone,
    cell: &Cell,
    side: usize,
    columns: usize,
) -> Vec<Line<'static>> {
    let of = |row: &'a crate::session::Row| if side == 0 { row.source.as_ref() } else { row.target.as_ref() };
    let mut out = Vec::new();
    let mut list = |word: &str, found: Vec<String>| {
        if !found.is_empty() {
            out.extend(wrapped(&format!("{word} {}", found.join(", ")), columns, state.theme.style(Role::Text)));
        }
    };
    let above = rows.clone().filter_map(|(i, r)| of(r).filter(|c| c.makes.iter().any(|v| cell.reads.contains(v))).map(|c| (i, c)));
    list("from", above.map(|(i, c)| format!("{} (row {})", c.text, i + 1)).collect());
    let below = rows.filter_map(|(i, r)| of(r).filter(|c| c.reads.iter().any(|v| cell.makes.contains(v))).map(|c| (i, c)));
    list("to", below.map(|(i, c)| format!("{} (row {})", c.text, i + 1)).collect());
    out
}
