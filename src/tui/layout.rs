//! Where the panes are, for a size of the terminal.

use super::state::{Pane, Screen, Split, State};
use super::view;
use ratatui::layout::{Constraint, Layout, Rect};

/// The smallest terminal that shows more than a message.
pub const SMALLEST: (u16, u16) = (40, 10);

/// Where everything is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Panes {
    /// The top line.
    pub header: Rect,
    /// Names of the panes, when only one fits.
    pub tabs: Option<Rect>,
    /// The panes that are shown, frames included.
    pub shown: Vec<(Pane, Rect)>,
    /// A short form of the proposal, when its pane is not shown.
    pub brief: Option<Rect>,
    /// The line above the bottom line, while hints are shown.
    pub hints: Option<Rect>,
    /// The bottom line.
    pub keybar: Rect,
    /// Whether panes have frames.
    pub framed: bool,
}

impl Panes {
    /// Lays the screen out.
    pub fn new(state: &State) -> Self {
        let area = state.area();
        let hint = u16::from(state.hints && state.screen == Screen::Case && area.height >= 16);
        let rows = [Constraint::Length(1), Constraint::Min(0), Constraint::Length(hint), Constraint::Length(1)];
        let [header, body, hints, keybar] = Layout::vertical(rows).areas(area);
        let mut out = Self { header, hints: (hint > 0).then_some(hints), keybar, framed: true, ..Self::default() };
        if state.screen == Screen::Demos {
            return out;
        }
        if area.width < 110 || area.height < 30 {
            return out.small(state, body);
        }
        if state.zoomed {
            out.shown.push((state.focus, body));
            return out;
        }
        // As many rows as the proposal needs, as far as the panes above keep the larger part.
        let usual = if area.height >= 45 { 11 } else { 9 };
        let bottom = view::proposal::rows(state, body.width).clamp(usual, (body.height * 2 / 5).max(usual));
        let side = if area.width >= 150 { 54 } else { 44 }.min(area.width * 2 / 5);
        // Where a person moved the borders to, as far as all panes keep some room.
        let bottom = state.splits[1].unwrap_or(bottom).clamp(5, body.height.saturating_sub(14).max(5));
        let side = state.splits[0].unwrap_or(side).clamp(30, area.width.saturating_sub(60).max(30));
        let [upper, proposal] = Layout::vertical([Constraint::Min(8), Constraint::Length(bottom)]).areas(body);
        let [graph, right] = Layout::horizontal([Constraint::Min(40), Constraint::Length(side)]).areas(upper);
        let image_height = (upper.height * 2 / 5).clamp(9, 20);
        let [image, layer] = Layout::vertical([Constraint::Length(image_height), Constraint::Min(6)]).areas(right);
        let lower = if state.focus == Pane::Log { Pane::Log } else { Pane::Layer };
        out.shown = vec![(Pane::Graph, graph), (Pane::Image, image), (lower, layer), (Pane::Proposal, proposal)];
        out
    }

    /// One pane at a time, the proposal in short below.
    fn small(mut self, state: &State, body: Rect) -> Self {
        self.framed = false;
        let brief = if state.focus == Pane::Proposal || state.zoomed || body.height < 12 {
            0
        } else {
            // A third of the rows, and what the folded graphs leave; tabs and strip have a row each.
            let least = u16::try_from(state.graph.least).unwrap_or(u16::MAX - 2);
            let empty = if state.focus == Pane::Graph && least > 0 { body.height.saturating_sub(least.max(6) + 2) } else { 0 };
            view::brief::rows(state, body.width).clamp(4, (body.height / 3).max(empty).max(4))
        };
        let [tabs, pane, below] = Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(brief)]).areas(body);
        self.tabs = Some(tabs);
        self.shown = vec![(state.focus, pane)];
        self.brief = (brief > 0).then_some(below);
        self
    }

    /// Where a pane is, when it is shown.
    pub fn of(&self, pane: Pane) -> Option<Rect> {
        self.shown.iter().find(|(p, _)| *p == pane).map(|(_, r)| *r)
    }

    /// The inside of a pane, its frame taken away.
    pub fn inner(&self, pane: Pane) -> Option<Rect> {
        let area = self.of(pane)?;
        Some(if self.framed { inside(area) } else { area })
    }

    /// The border under a place of the screen, when there are several panes.
    pub fn split_at(&self, x: u16, y: u16) -> Option<Split> {
        let (graph, proposal) = (self.of(Pane::Graph)?, self.of(Pane::Proposal)?);
        if !self.framed || self.shown.len() < 2 {
            None
        } else if y + 1 == proposal.y || y == proposal.y {
            Some(Split::Bottom)
        } else if graph.contains((graph.x, y).into()) && (x + 1 == graph.right() || x == graph.right()) {
            Some(Split::Side)
        } else {
            None
        }
    }

    /// The pane under a place of the screen.
    pub fn at(&self, x: u16, y: u16) -> Option<Pane> {
        self.shown.iter().find(|(_, r)| r.contains((x, y).into())).map(|(p, _)| *p)
    }
}

/// An area without its frame.
pub fn inside(area: Rect) -> Rect {
    Rect::new(area.x + 1, area.y + 1, area.width.saturating_sub(2), area.height.saturating_sub(2)).intersection(area)
}

/// The rows of the graph pane's list: its title line taken away when there is no frame that shows it.
pub fn graph_rows(panes: &Panes) -> Option<Rect> {
    let mut area = panes.inner(Pane::Graph)?;
    // Without a frame the last line is the strip of errors over depth.
    if !panes.framed {
        area.height = area.height.saturating_sub(1);
    }
    Some(area)
}

/// An area of this size in the middle of another, as far as it fits.
pub fn centred(area: Rect, width: u16, height: u16) -> Rect {
    let (w, h) = (width.min(area.width), height.min(area.height));
    Rect::new(area.x + (area.width - w) / 2, area.y + (area.height - h) / 2, w, h)
}

/// The place of the picture within the image pane, beside which the two lists stand.
pub fn picture(inner: Rect, zoomed: bool) -> Rect {
    // Three fifths of a wide pane at most; a cell is twice as high as wide.
    // A high pane, and one that fills the screen, has a list of all flipped images below.
    let height = if inner.height > 24 || (zoomed && inner.height > 15) { inner.height * 3 / 5 } else { inner.height.saturating_sub(1) };
    let width = (height * 2).min(inner.width.saturating_sub(26)).min(inner.width * 3 / 5);
    Rect::new(inner.x, inner.y, width, height.min(width.div_ceil(2)))
}
