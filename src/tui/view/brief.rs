//! The proposal in three lines, for a small terminal.

use super::{put, put_line};
use crate::session::DiffLine;
use crate::tui::state::State;
use crate::tui::text;
use crate::tui::theme::Role;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

/// Draws it, a rule above.
pub fn draw(state: &State, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let width = area.width as usize;
    put(buffer, area, 0, 0, &"─".repeat(width), theme.style(Role::Faint));
    let inner = Rect::new(area.x + 1, area.y + 1, area.width.saturating_sub(2), area.height.saturating_sub(1));
    let Some(proposal) = state.proposal() else {
        let all = super::proposal::content(state, inner.width as usize);
        return super::pane_lines(buffer, inner, &all, 0, state, false);
    };
    let count = state.alternatives().len();
    if count > 1 {
        let text = format!(" {} of {count} ", state.alternative.min(count - 1) + 1);
        put(buffer, area, width.saturating_sub(text::width(&text) + 2), 0, &text, theme.style(Role::Dim));
    }
    let kind = proposal.kind.map_or(proposal.category.id(), |k| k.id());
    let safety = if proposal.safe { "safe" } else { "last resort" };
    let right = format!("{safety}, {}", proposal.touches);
    let x = put(buffer, inner, 0, 0, kind, theme.style(Role::Proposed)) + 2;
    let room = (inner.width as usize).saturating_sub(x + text::width(&right) + 2);
    put(buffer, inner, x, 0, &text::clip(&proposal.title, room), theme.style(Role::Text));
    let at = (inner.width as usize).saturating_sub(text::width(&right));
    put(buffer, inner, at, 0, &right, theme.style(if proposal.safe { Role::Good } else { Role::Warn }));
    put_line(buffer, inner, 1, &Line::from(super::proposal::evidence(theme, proposal, "   ")));
    let standing = super::proposal::standing(theme, proposal);
    if standing.content.is_empty() {
        // The title is often these words already: then the edit itself.
        let edit = || {
            let line = |of: fn(&DiffLine) -> Option<&String>| proposal.diff.iter().find_map(of);
            let gone = line(|d| if let DiffLine::Removed(t) = d { Some(t) } else { None });
            let come = line(|d| if let DiffLine::Added(t) = d { Some(t) } else { None });
            // A tensor whose figures stay the same says nothing here.
            if gone == come {
                return proposal.words.clone();
            }
            [("- ", gone), ("+ ", come)]
                .iter()
                .filter_map(|(sign, t)| Some(format!("{sign}{}", t.as_ref()?)))
                .collect::<Vec<_>>()
                .join("   ")
        };
        let line = if proposal.title == proposal.words { edit() } else { proposal.words.clone() };
        put(buffer, inner, 0, 2, &text::clip(&line, inner.width as usize), theme.style(Role::Dim));
    } else {
        put_line(buffer, inner, 2, &Line::from(standing));
    }
}
