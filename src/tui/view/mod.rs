//! Drawing: one file a pane. Nothing here changes the state.

pub mod brief;
pub mod clean;
pub mod demos;
pub mod graph;
pub mod header;
pub mod help;
pub mod hints;
pub mod image;
pub mod keybar;
pub mod layer;
pub mod log;
pub mod palette;
pub mod popup;
pub mod proposal;
pub mod region;
pub mod scatter;
pub mod strip;
pub mod summary;
pub mod tabs;

use super::layout::{Panes, SMALLEST};
use super::state::{Overlay, Pane, Screen, State};
use super::text;
use super::theme::{Role, Theme};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Widget};

/// Draws everything. The place of the text cursor, when there is one.
pub fn draw(state: &State, buffer: &mut Buffer) -> Option<Position> {
    let area = state.area().intersection(buffer.area);
    let cursor = if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        too_small(area, buffer);
        None
    } else {
        draw_in(state, buffer)
    };
    state.theme.finish(buffer);
    cursor
}

fn too_small(area: Rect, buffer: &mut Buffer) {
    let text = format!("fixcon needs {} x {} characters; this is {} x {}.", SMALLEST.0, SMALLEST.1, area.width, area.height);
    for (i, line) in text::wrap(&text, area.width as usize).iter().enumerate() {
        put(buffer, area, 0, i, line, Style::default());
    }
}

fn draw_in(state: &State, buffer: &mut Buffer) -> Option<Position> {
    let panes = Panes::new(state);
    header::draw(state, &panes, panes.header, buffer);
    if state.screen == Screen::Demos {
        demos::draw(state, buffer);
    }
    if let Some(area) = panes.tabs {
        tabs::draw(state, area, buffer);
    }
    for (pane, area) in &panes.shown {
        match pane {
            Pane::Graph => graph::draw(state, &panes, *area, buffer),
            Pane::Image => image::draw(state, &panes, *area, buffer),
            Pane::Layer => layer::draw(state, &panes, *area, buffer),
            Pane::Proposal => proposal::draw(state, &panes, *area, buffer),
            Pane::Log => log::draw(state, &panes, *area, buffer),
        }
    }
    if let Some(area) = panes.brief {
        brief::draw(state, area, buffer);
    }
    if let Some(area) = panes.hints {
        hints::draw(state, area, buffer);
    }
    let cursor = keybar::draw(state, panes.keybar, buffer);
    match &state.overlay {
        None | Some(Overlay::Search { .. }) => cursor,
        Some(Overlay::Help { top }) => {
            help::draw(state, *top, buffer);
            None
        }
        Some(Overlay::Region { row, top }) => {
            region::draw(state, *row, *top, buffer);
            None
        }
        Some(Overlay::Palette { input, at, .. }) => palette::draw(state, input, *at, buffer),
        Some(Overlay::Summary) => {
            summary::draw(state, buffer);
            None
        }
        Some(other) => popup::draw(state, other, buffer),
    }
}

/// Writes text at a place of an area; what its edge cuts off leaves a mark.
pub(super) fn put(buffer: &mut Buffer, area: Rect, x: usize, y: usize, text: &str, style: Style) -> usize {
    let area = area.intersection(buffer.area);
    if y >= area.height as usize || x >= area.width as usize {
        return x;
    }
    let room = area.width as usize - x;
    let (end, _) = buffer.set_stringn(area.x + x as u16, area.y + y as u16, text::clip(text, room), room, style);
    usize::from(end - area.x)
}

/// Writes a styled line; what the area's edge cuts off leaves a mark.
pub(super) fn put_line(buffer: &mut Buffer, area: Rect, y: usize, line: &Line<'_>) {
    let area = area.intersection(buffer.area);
    if y >= area.height as usize || area.is_empty() {
        return;
    }
    let row = area.y + y as u16;
    buffer.set_line(area.x, row, line, area.width);
    if line.width() > area.width as usize
        && let Some(cell) = buffer.cell_mut((area.right() - 1, row))
    {
        cell.set_symbol("…");
    }
}

/// Marks part of a row as the one that keys are about.
pub(super) fn select(buffer: &mut Buffer, area: Rect, y: usize, theme: &Theme) {
    let area = area.intersection(buffer.area);
    if y >= area.height as usize {
        return;
    }
    let row = Rect::new(area.x, area.y + y as u16, area.width, 1);
    buffer.set_style(row, theme.style(Role::Selected));
    for at in row.positions() {
        if let (Some(ink), Some(cell)) = (theme.ink(), buffer.cell_mut(at))
            && cell.fg == Color::Reset
        {
            cell.set_fg(ink);
        }
    }
}

/// The frame of a pane; it shows where the keys go.
pub(super) fn frame<'a>(state: &State, pane: Pane, title: Vec<Span<'a>>) -> Block<'a> {
    let focused = state.focus == pane && state.overlay.is_none();
    let theme = &state.theme;
    let mut spans = vec![Span::raw(" ")];
    spans.extend(title);
    spans.push(Span::raw(" "));
    Block::bordered()
        .border_type(if focused { BorderType::Thick } else { BorderType::Plain })
        .border_style(theme.style(if focused { Role::Accent } else { Role::Faint }))
        .title(Line::from(spans))
}

/// Draws a frame where the layout has one, and gives the area inside.
pub(super) fn open_frame(state: &State, panes: &Panes, pane: Pane, area: Rect, title: Vec<Span<'_>>, buffer: &mut Buffer) -> Rect {
    if !panes.framed {
        return area;
    }
    frame(state, pane, title).render(area, buffer);
    super::layout::inside(area)
}

/// A title in the colour of titles.
pub(super) fn title<'a>(theme: &Theme, text: impl Into<std::borrow::Cow<'a, str>>) -> Span<'a> {
    Span::styled(text, theme.style(Role::Accent))
}

/// Lines in an area, from a first one on; gives how many there are.
pub(super) fn lines(buffer: &mut Buffer, area: Rect, lines: &[Line<'_>], top: usize) {
    let top = top.min(lines.len().saturating_sub(area.height as usize));
    for (y, line) in lines.iter().skip(top).take(area.height as usize).enumerate() {
        put_line(buffer, area, y, line);
    }
}

/// The same in a pane, which says how much is left below: on its frame, or at the end of its last line where it has none.
pub(super) fn pane_lines(buffer: &mut Buffer, area: Rect, all: &[Line<'_>], top: usize, state: &State, framed: bool) {
    lines(buffer, area, all, top);
    let below = all.len().saturating_sub(top + area.height as usize);
    let y = area.height as usize - usize::from(!framed && area.height > 0);
    if below > 0 {
        let mark = format!(" {below} more ");
        let x = (area.width as usize).saturating_sub(text::width(&mark));
        put(buffer, Rect { height: area.height + 1, ..area }, x, y, &mark, state.theme.style(Role::Warn));
    }
}

/// Words in lines, all in one style.
pub(super) fn wrapped(text: &str, columns: usize, style: Style) -> Vec<Line<'static>> {
    text::wrap(text, columns).into_iter().map(|l| Line::styled(l, style)).collect()
}

/// Parts one after the other, in as many lines as they need; only one that is wider than a line is cut.
pub(super) fn flow(parts: Vec<Vec<Span<'static>>>, gap: &'static str, columns: usize) -> Vec<Line<'static>> {
    let mut out: Vec<Line<'static>> = Vec::new();
    for part in parts {
        let needs = text::width(gap) + part.iter().map(Span::width).sum::<usize>();
        match out.last_mut().filter(|l| l.width() + needs <= columns) {
            Some(line) => line.spans.extend(std::iter::once(Span::raw(gap)).chain(part)),
            None => out.push(Line::from(part)),
        }
    }
    out
}

/// An isolated error; a region that does not run, or gives another shape, has none that could be told.
pub(super) fn measured(error: f32) -> String {
    if error.is_finite() { crate::session::words::number(error) } else { "fails".into() }
}
