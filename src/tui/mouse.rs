//! The mouse: clicks select and do what a key on the bottom line does, the wheel scrolls, borders are dragged.

use super::act::act;
use super::layout::{self, Panes};
use super::lines::Line;
use super::moves::{go, moved, open_demo, shift, with_sheet};
use super::overlay;
use super::state::{Effect, Pane, Screen, Split, State};
use ratatui::crossterm::event::{MouseButton, MouseEvent, MouseEventKind};

/// Takes in what was done with the mouse.
pub(super) fn on_mouse(state: &mut State, mouse: MouseEvent, effects: &mut Vec<Effect>) {
    if let (MouseEventKind::Drag(MouseButton::Left), Some(split)) = (mouse.kind, state.dragging) {
        let area = state.area();
        match split {
            Split::Side => state.splits[0] = Some(area.width.saturating_sub(mouse.column)),
            // The key bar is below the proposal.
            Split::Bottom => state.splits[1] = Some(area.height.saturating_sub(mouse.row + 1)),
        }
        return;
    }
    state.dragging = None;
    let wheel = match mouse.kind {
        MouseEventKind::ScrollDown => 3,
        MouseEventKind::ScrollUp => -3,
        MouseEventKind::Down(MouseButton::Left) => 0,
        _ => return,
    };
    if state.overlay.is_some() {
        return overlay::on_mouse(state, wheel);
    }
    let panes = Panes::new(state);
    if wheel == 0
        && mouse.row == panes.keybar.y
        && let Some(action) = super::view::keybar::at(state, panes.keybar, mouse.column)
    {
        state.toast = None;
        return act(state, action, effects);
    }
    if state.screen == Screen::Demos {
        if wheel != 0 {
            return shift(state, wheel.signum());
        }
        let at = super::view::demos::at(state, mouse.row);
        if let Some(at) = at {
            if state.demo == at { open_demo(state, effects) } else { state.demo = at }
        }
        return;
    }
    if wheel == 0
        && let Some(tabs) = panes.tabs.filter(|t| t.y == mouse.row)
    {
        if let Some(pane) = super::view::tabs::at(tabs, mouse.column) {
            state.focus = pane;
        }
        return;
    }
    if wheel == 0 {
        state.dragging = panes.split_at(mouse.column, mouse.row);
    }
    let Some(pane) = panes.at(mouse.column, mouse.row) else { return };
    state.focus = pane;
    if wheel != 0 {
        return shift(state, if pane == Pane::Image { wheel.signum() } else { wheel });
    }
    if let (Pane::Graph, Some(row)) = (pane, super::view::strip::row_at(state, &panes, mouse.column, mouse.row)) {
        return go(state, row);
    }
    if let (Pane::Graph, Some(rows)) = (pane, layout::graph_rows(&panes))
        && rows.contains((mouse.column, mouse.row).into())
    {
        let line = state.graph.top + usize::from(mouse.row - rows.y);
        if line < state.graph.lines.len() {
            let again = state.graph.cursor == line;
            state.graph.cursor = line;
            moved(state);
            if again || matches!(state.graph.lines.get(line), Some(Line::Fold(..))) {
                with_sheet(state, |g, s| g.toggle_details(s));
            }
        }
    }
}
