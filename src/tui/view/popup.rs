//! Small windows that ask for something.

use super::{put, select};
use crate::tui::commands::Action;
use crate::tui::layout::{centred, inside};
use crate::tui::state::{Entry, Overlay, State};
use crate::tui::text;
use crate::tui::theme::Role;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::Line;
use ratatui::widgets::{Block, BorderType, Clear, Widget};
use tui_input::Input;

/// A window in the middle of the screen, emptied, with a frame; gives the area inside.
pub fn window(state: &State, width: u16, height: u16, title: &str, buffer: &mut Buffer) -> Rect {
    window_in(state, state.area(), width, height, title, buffer)
}

fn window_in(state: &State, place: Rect, width: u16, height: u16, title: &str, buffer: &mut Buffer) -> Rect {
    let area = centred(place.intersection(state.area()), width, height);
    Clear.render(area, buffer);
    Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(state.theme.style(Role::Accent))
        .title(Line::styled(format!(" {title} "), state.theme.style(Role::Accent)))
        .render(area, buffer);
    let inner = inside(area);
    Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner }
}

/// A line to type in; gives the place of the cursor.
pub fn line(state: &State, area: Rect, y: usize, prompt: &str, input: &Input, buffer: &mut Buffer) -> Position {
    let x = put(buffer, area, 0, y, prompt, state.theme.style(Role::Key));
    let room = (area.width as usize).saturating_sub(x + 1);
    let scroll = input.visual_scroll(room);
    let mut skipped = 0;
    let visible: String = input
        .value()
        .chars()
        .skip_while(|c| {
            let skip = skipped < scroll;
            skipped += text::width(c.encode_utf8(&mut [0; 4]));
            skip
        })
        .collect();
    put(buffer, area, x, y, &visible, state.theme.style(Role::Text));
    let at = x + input.visual_cursor().saturating_sub(scroll).min(room);
    Position::new(area.x + at as u16, area.y + y as u16)
}

/// A line to type in, below it what it could become, and why it was not taken or else which keys there are; gives the place of the cursor.
fn typed(state: &State, area: Rect, entry: &Entry, keys: &str, buffer: &mut Buffer) -> Position {
    let (theme, width) = (&state.theme, area.width as usize);
    let cursor = line(state, area, 1, "> ", &entry.input, buffer);
    put(buffer, area, 2, 2, &text::clip(&entry.offers.join("   "), width.saturating_sub(2)), theme.style(Role::Dim));
    match &entry.error {
        Some(why) => put(buffer, area, 0, 3, &text::clip(why, width), theme.style(Role::Bad)),
        None => put(buffer, area, 0, 3, keys, theme.style(Role::Dim)),
    };
    cursor
}

/// Draws one of the small windows.
pub fn draw(state: &State, overlay: &Overlay, buffer: &mut Buffer) -> Option<Position> {
    let theme = &state.theme;
    let dim = theme.style(Role::Dim);
    match overlay {
        Overlay::Note { input, .. } => {
            let area = window(state, 64, 6, "reject this proposal", buffer);
            put(buffer, area, 0, 0, "Why? The note goes into the log; it may be empty.", dim);
            let cursor = line(state, area, 1, "> ", input, buffer);
            put(buffer, area, 0, 3, "enter rejects   esc leaves it open", dim);
            Some(cursor)
        }
        Overlay::Edit { entry, .. } => {
            let area = window(state, 64, 6, "another value", buffer);
            put(buffer, area, 0, 0, "It is tried before it is shown; nothing is decided yet.", dim);
            Some(typed(state, area, entry, "enter proposes it   esc goes back", buffer))
        }
        Overlay::Write { entry, row, .. } => {
            let area = window(state, 72, 6, "own edit of the target's node", buffer);
            let node = state.derived.names[1].get(*row).cloned().unwrap_or_default();
            put(buffer, area, 0, 0, &text::shorten(&node, area.width as usize), dim);
            Some(typed(state, area, entry, "name = value   tab completes   enter proposes it   esc goes back", buffer))
        }
        Overlay::SaveAs { entry } => {
            let area = window(state, 76, 6, "save the repaired model", buffer);
            put(buffer, area, 0, 0, "Path of the new file; one that is there is never replaced.", dim);
            Some(typed(state, area, entry, "tab completes   enter saves   esc goes back", buffer))
        }
        Overlay::Resume => {
            let area = window(state, 70, 8, "cut short", buffer);
            let (path, count) = state.snapshot.resumable.clone().unwrap_or_default();
            let repairs = if count == 1 { "1 accepted repair".to_string() } else { format!("{count} accepted repairs") };
            put(buffer, area, 0, 0, &format!("An earlier session ended with {repairs} in no file:"), theme.style(Role::Text));
            put(buffer, area, 0, 1, &text::shorten(&path.display().to_string(), area.width as usize), dim);
            for (y, (key, what)) in [("r", "go on with it"), ("n", "begin anew; its log stays as it is")].into_iter().enumerate() {
                put(buffer, area, 0, 3 + y, key, theme.style(Role::Key));
                put(buffer, area, 5, 3 + y, what, theme.style(Role::Text));
            }
            None
        }
        Overlay::Path { entry } => {
            let area = window(state, 76, 6, "open a case file", buffer);
            put(buffer, area, 0, 0, "Path of a case.toml", dim);
            Some(typed(state, area, entry, "tab completes   enter opens   esc goes back", buffer))
        }
        Overlay::Choose { title, items, at, .. } => {
            let width = items.iter().map(|(t, _)| text::width(t)).max().unwrap_or(10).clamp(24, 70) as u16 + 8;
            // Out of the way of the rows that it is about.
            let place =
                Rect { y: state.size.height.saturating_sub(items.len() as u16 + 3), height: items.len() as u16 + 2, ..state.area() };
            let area = window_in(state, place, width, items.len() as u16 + 2, title, buffer);
            for (y, (text, _)) in items.iter().enumerate() {
                put(buffer, area, 2, y, &text::clip(text, (area.width as usize).saturating_sub(2)), theme.style(Role::Text));
                if y == *at {
                    select(buffer, area, y, theme);
                    put(buffer, area, 0, y, "▶", theme.style(Role::Accent));
                }
            }
            None
        }
        Overlay::Harmful { proposal } => {
            let area = window(state, 70, 7, "it breaks more than it mends", buffer);
            let found = state.snapshot.proposals.iter().find(|p| p.id == *proposal);
            let (broken, of) = found.and_then(|p| p.harm()).unwrap_or_default();
            let mended = found.and_then(|p| p.flips).map_or(0, |(before, after)| before.saturating_sub(after));
            let text = format!("Of the images tried it mends {mended} and breaks {broken} of {of} that agree.");
            put(buffer, area, 0, 0, &text, theme.style(Role::Warn));
            for (y, (key, what)) in [("y", "accept it all the same"), ("esc", "leave it open")].into_iter().enumerate() {
                put(buffer, area, 0, 2 + y, key, theme.style(Role::Key));
                put(buffer, area, 5, 2 + y, what, theme.style(Role::Text));
            }
            None
        }
        Overlay::Unsaved(then) => {
            let leave = match then {
                Action::Demos => "go to the list",
                Action::OpenCase => "open another case",
                _ => "leave",
            };
            let area = window(state, 52, 7, "not saved", buffer);
            put(buffer, area, 0, 0, "The accepted repairs are not in a file yet.", theme.style(Role::Text));
            for (y, (key, what)) in [("w", format!("save and {leave}")), ("q", format!("{leave} without saving")), ("esc", "stay".into())]
                .into_iter()
                .enumerate()
            {
                put(buffer, area, 0, 2 + y, key, theme.style(Role::Key));
                put(buffer, area, 5, 2 + y, &what, theme.style(Role::Text));
            }
            None
        }
        _ => None,
    }
}
