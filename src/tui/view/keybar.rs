//! The bottom line: what can be done now, or what was just said.

use super::put;
use crate::session::Tone;
use crate::tui::commands::{Action, offered};
use crate::tui::state::{Overlay, Screen, State};
use crate::tui::text;
use crate::tui::theme::Role;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

/// The style of a tone.
pub fn tone(tone: Tone) -> Role {
    match tone {
        Tone::Plain => Role::Text,
        Tone::Good => Role::Good,
        Tone::Warning => Role::Warn,
        Tone::Error => Role::Bad,
    }
}

/// Draws the line; the text cursor is here while one types what to search for.
pub fn draw(state: &State, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    let theme = &state.theme;
    if let Some(Overlay::Search { input, .. }) = &state.overlay {
        let x = put(buffer, area, 1, 0, "/ ", theme.style(Role::Key));
        let end = put(buffer, area, x, 0, input.value(), theme.style(Role::Text));
        put(buffer, area, end + 3, 0, "enter keeps   esc puts away", theme.style(Role::Dim));
        return Some(Position::new(area.x + (x + input.visual_cursor()) as u16, area.y));
    }
    if let Some(toast) = &state.toast {
        put(buffer, area, 1, 0, &text::clip(&toast.text, (area.width as usize).saturating_sub(2)), theme.style(tone(toast.tone)));
        return None;
    }
    // In the list of demonstrations the same key opens one.
    let word = |action: &Action| match (action, state.screen) {
        (Action::Details, Screen::Demos) => "open",
        (Action::OpenCase, Screen::Demos) => "own case",
        _ => action.spec().short,
    };
    let width = |action: &Action| text::width(&state.keys.key(*action)) + 1 + text::width(word(action));
    let offered = offered(state);
    // Help and the palette are there on the narrowest screen.
    let last = [Action::Palette, Action::Help, Action::Quit];
    let mut room = (area.width as usize).saturating_sub(1 + last.iter().map(|a| width(a) + 2).sum::<usize>());
    let mut x = 1;
    for action in offered.into_iter().chain(last) {
        let key = state.keys.key(action);
        if !last.contains(&action) {
            let Some(left) = room.checked_sub(width(&action) + 2).filter(|_| !key.is_empty()) else { continue };
            room = left;
        }
        let possible = action.possible(state).is_ok();
        x = put(buffer, area, x, 0, &key, theme.style(if possible { Role::Key } else { Role::Faint }));
        x = put(buffer, area, x + 1, 0, word(&action), theme.style(if possible { Role::Text } else { Role::Faint })) + 2;
    }
    None
}
