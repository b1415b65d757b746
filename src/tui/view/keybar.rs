//! The bottom line: what can be done now, or what was just said.

use super::put;
use crate::session::Tone;
use crate::tui::commands::{Action, offered};
use crate::tui::search;
use crate::tui::state::{Overlay, Screen, State};
use crate::tui::text;
use crate::tui::theme::Role;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::widgets::{Clear, Widget};
use std::ops::Range;

/// Lines that what was just said takes at most.
const MOST_SAID: usize = 4;

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
        let found = search::standing(state);
        let role = if found == "no match" { Role::Bad } else { Role::Match };
        let (found, keys) = if input.value().is_empty() {
            (String::new(), "a part of a name, operator, fault kind or verdict   esc goes back")
        } else {
            (found, "↑ ↓ other matches   enter keeps   esc goes back")
        };
        let room = (area.width as usize).saturating_sub(text::width(&found) + text::width(keys) + 6).max(16);
        let line = Rect { width: (room as u16).min(area.width), ..area };
        let cursor = super::popup::line(state, Rect { x: line.x + 1, ..line }, 0, "/ ", input, buffer);
        let end = text::width(input.value()).min(room.saturating_sub(3)) + 3;
        let x = put(buffer, area, end + 2, 0, &found, theme.style(role));
        put(buffer, area, x + 3, 0, keys, theme.style(Role::Dim));
        return Some(cursor);
    }
    if let Some(Overlay::Choose { .. }) = &state.overlay {
        put(buffer, area, 1, 0, "↑ ↓ other rows   enter goes there   esc goes back", theme.style(Role::Dim));
        return None;
    }
    if state.pinning.is_some() && state.toast.is_none() {
        let key = state.keys.key(Action::Pin);
        let text = format!("source marked   ↑ ↓ to the target's row   {key} pins the pair   esc forgets it");
        put(buffer, area, 1, 0, &text, theme.style(Role::Proposed));
        return None;
    }
    // A window has its own keys in it.
    if matches!(&state.overlay, Some(o) if !matches!(o, Overlay::Summary | Overlay::Palette { .. })) && state.toast.is_none() {
        put(buffer, area, 1, 0, "esc goes back", theme.style(Role::Dim));
        return None;
    }
    if let Some(toast) = &state.toast {
        say(&text::wrap(&toast.text, (area.width as usize).saturating_sub(2)), toast.tone, area, state, buffer);
    }
    let mut x = start(state, area)?;
    for (key, role, word) in lead(state) {
        x = put(buffer, area, x, 0, &key, theme.style(role));
        x = put(buffer, area, x + 1, 0, &word, theme.style(Role::Text)) + 2;
    }
    for (action, columns) in offers(state, x, area.width as usize) {
        let possible = action.possible(state).is_ok();
        let x = put(buffer, area, columns.start, 0, &state.keys.key(action), theme.style(if possible { Role::Key } else { Role::Faint }));
        put(buffer, area, x + 1, 0, word(action, state), theme.style(if possible { Role::Text } else { Role::Faint }));
    }
    None
}

/// The action whose key and word stand in a column of the line.
pub fn at(state: &State, area: Rect, column: u16) -> Option<Action> {
    let mut x = start(state, area).filter(|_| state.overlay.is_none() && state.pinning.is_none())?;
    for (key, _, word) in lead(state) {
        x += text::width(&key) + 1 + text::width(&word) + 2;
    }
    let column = usize::from(column.checked_sub(area.x)?);
    offers(state, x, area.width as usize).into_iter().find(|(_, columns)| columns.contains(&column)).map(|(action, _)| action)
}

/// The column that keys begin in; none where what was just said takes the line.
fn start(state: &State, area: Rect) -> Option<usize> {
    let Some(toast) = &state.toast else { return Some(1) };
    let end = text::width(&toast.text) + 4;
    (end < area.width as usize / 2 && text::wrap(&toast.text, (area.width as usize).saturating_sub(2)).len() <= 1).then_some(end)
}

/// What stands before the keys: the list's numbers, what is searched for.
fn lead(state: &State) -> Vec<(String, Role, String)> {
    let mut out = Vec::new();
    if state.screen == Screen::Demos && !state.demos.is_empty() {
        let digits = match state.demos.len().min(9) {
            1 => "1".to_string(),
            n => format!("1-{n}"),
        };
        out.push((digits, Role::Key, "open at once".to_string()));
    }
    if !state.search.is_empty() && state.screen == Screen::Case {
        out.push((text::clip(&format!("/{}", state.search), 20), Role::Match, search::standing(state)));
    }
    out
}

/// The word beside a key. In the list of demonstrations the same keys do other things.
fn word(action: Action, state: &State) -> &'static str {
    match (action, state.screen) {
        (Action::Details, Screen::Demos) => "open",
        (Action::OpenCase, Screen::Demos) => "own case",
        _ => action.spec().short,
    }
}

/// The actions that there is room for, each with its columns.
fn offers(state: &State, start: usize, width: usize) -> Vec<(Action, Range<usize>)> {
    // Help and the palette are there on the narrowest screen.
    let last = [Action::Palette, Action::Help, Action::Quit];
    let wide = |action: Action| text::width(&state.keys.key(action)) + 1 + text::width(word(action, state));
    let mut room = width.saturating_sub(start + last.iter().map(|a| wide(*a) + 2).sum::<usize>());
    let mut x = start;
    let mut out = Vec::new();
    for action in offered(state).into_iter().chain(last) {
        if !last.contains(&action) {
            let Some(left) = room.checked_sub(wide(action) + 2).filter(|_| !state.keys.key(action).is_empty()) else { continue };
            room = left;
        }
        out.push((action, x..x + wide(action)));
        x += wide(action) + 2;
    }
    out
}

/// What was just said, for once over the lines above where one is not enough.
fn say(lines: &[String], tone_of: Tone, area: Rect, state: &State, buffer: &mut Buffer) {
    let theme = &state.theme;
    let count = lines.len().min(MOST_SAID).min(usize::from(state.size.height) / 3).max(1);
    let above = Rect { y: (area.y + 1).saturating_sub(count as u16), height: count as u16, ..area };
    Clear.render(above, buffer);
    for (y, line) in lines.iter().take(count).enumerate() {
        let cut = if y + 1 == count && lines.len() > count { " …" } else { "" };
        put(buffer, above, 1, y, &format!("{line}{cut}"), theme.style(tone(tone_of)));
    }
}
