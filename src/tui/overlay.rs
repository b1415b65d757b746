//! Keys for what lies over the panes.

use super::act::act;
use super::commands::Action;
use super::complete::{Completion, case_file, complete, complete_path, new_file};
use super::keys::Key;
use super::moves::{go, look_at, open};
use super::search;
use super::state::{Effect, Entry, Overlay, Screen, State};
use super::update::palette;
use crate::session::{Command, Tone, check_attribute, check_value};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tui_input::{Input as TextInput, InputRequest};

/// What a key does to a line of text; `None` when it is none of its keys.
fn request(key: KeyEvent) -> Option<InputRequest> {
    let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
    let alt = key.modifiers.contains(KeyModifiers::ALT);
    Some(match key.code {
        KeyCode::Char('a') if ctrl => InputRequest::GoToStart,
        KeyCode::Char('e') if ctrl => InputRequest::GoToEnd,
        KeyCode::Char('u') if ctrl => InputRequest::DeleteFromStart,
        KeyCode::Char('k') if ctrl => InputRequest::DeleteTillEnd,
        KeyCode::Char('w') if ctrl => InputRequest::DeletePrevWord,
        KeyCode::Char('y') if ctrl => InputRequest::Yank,
        KeyCode::Char(c) if !ctrl && !alt => InputRequest::InsertChar(c),
        KeyCode::Backspace => InputRequest::DeletePrevChar,
        KeyCode::Delete => InputRequest::DeleteNextChar,
        KeyCode::Left if ctrl || alt => InputRequest::GoToPrevWord,
        KeyCode::Right if ctrl || alt => InputRequest::GoToNextWord,
        KeyCode::Left => InputRequest::GoToPrevChar,
        KeyCode::Right => InputRequest::GoToNextChar,
        KeyCode::Home => InputRequest::GoToStart,
        KeyCode::End => InputRequest::GoToEnd,
        _ => return None,
    })
}

fn edit(input: &mut TextInput, key: KeyEvent) -> bool {
    request(key).and_then(|r| input.handle(r)).is_some_and(|c| c.value)
}

/// A key for a line; tab goes on with its text. The text, once it is entered.
fn typed(entry: &mut Entry, key: KeyEvent, complete: impl Fn(&str) -> Completion) -> Option<String> {
    match key.code {
        KeyCode::Enter => return Some(entry.input.value().trim().to_string()),
        KeyCode::Tab => {
            let found = complete(entry.input.value());
            *entry = Entry { offers: found.offers, ..Entry::new(found.text) };
        }
        _ => {
            if edit(&mut entry.input, key) {
                (entry.offers, entry.error) = (Vec::new(), None);
            }
        }
    }
    None
}

/// Text pasted into a line.
pub fn paste(state: &mut State, text: &str) {
    let input = match &mut state.overlay {
        Some(Overlay::Palette { input, .. } | Overlay::Note { input, .. } | Overlay::Search { input, .. }) => input,
        Some(Overlay::Edit { entry, .. } | Overlay::Write { entry, .. } | Overlay::SaveAs { entry } | Overlay::Path { entry }) => {
            &mut entry.input
        }
        _ => return,
    };
    for c in text.chars().filter(|c| !c.is_control()) {
        input.handle(InputRequest::InsertChar(c));
    }
}

/// A key while something lies over the panes.
pub fn on_key(state: &mut State, key: KeyEvent, effects: &mut Vec<Effect>) {
    let Some(mut overlay) = state.overlay.take() else { return };
    let action = state.keys.action(Key::from(key));
    let interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    if key.code == KeyCode::Esc || interrupt {
        match overlay {
            // As if nothing had been typed.
            Overlay::Search { before, last, .. } => (state.graph, state.search) = (*before, last),
            Overlay::Choose { before, .. } => state.graph = *before,
            Overlay::Unsaved(_) if interrupt => effects.extend([Effect::Engine(Command::Quit), Effect::Quit]),
            _ => {}
        }
        return;
    }
    match &mut overlay {
        Overlay::Help { top } => match (key.code, action) {
            (_, Some(Action::Down)) => *top += 1,
            (_, Some(Action::Up)) => *top = top.saturating_sub(1),
            (KeyCode::Char(' '), _) | (_, Some(Action::PageDown)) => *top += 10,
            (_, Some(Action::PageUp)) => *top = top.saturating_sub(10),
            (_, Some(Action::Top)) => *top = 0,
            (_, Some(Action::Bottom)) => *top = usize::MAX / 2,
            (_, Some(Action::Help | Action::Quit)) | (KeyCode::Enter, _) => return,
            _ => {}
        },
        Overlay::Region { top, .. } => match (key.code, action) {
            (_, Some(Action::Down)) => *top += 1,
            (_, Some(Action::Up)) => *top = top.saturating_sub(1),
            (KeyCode::Char(' '), _) | (_, Some(Action::PageDown)) => *top += 10,
            (_, Some(Action::PageUp)) => *top = top.saturating_sub(10),
            (_, Some(Action::Top)) => *top = 0,
            (_, Some(Action::Region | Action::Quit)) | (KeyCode::Enter, _) => return,
            _ => {}
        },
        Overlay::Palette { input, at, chosen } => match key.code {
            KeyCode::Down | KeyCode::Tab => (*at, *chosen) = (*at + 1, true),
            KeyCode::Up | KeyCode::BackTab => (*at, *chosen) = (at.saturating_sub(1), true),
            KeyCode::Enter => {
                let (found, named) = palette(input.value());
                if *chosen || named > 0 {
                    if let Some(chosen) = found.get((*at).min(found.len().saturating_sub(1))) {
                        act(state, *chosen, effects);
                    }
                    return;
                }
                *chosen = !found.is_empty();
                let other = if *chosen { "; enter again does the one marked" } else { "" };
                state.say(format!("no command is called '{}'{other}", input.value().trim()), Tone::Warning);
            }
            _ => {
                if edit(input, key) {
                    (*at, *chosen) = (0, false);
                }
            }
        },
        Overlay::Note { input, proposal } => {
            if key.code == KeyCode::Enter {
                effects.push(Effect::Engine(Command::Reject(*proposal, input.value().trim().to_string())));
                return;
            }
            edit(input, key);
        }
        // What cannot be is said here, and the text stays.
        Overlay::Edit { entry, now, proposal } => {
            if let Some(text) = typed(entry, key, Completion::none) {
                match check_value(&text, now) {
                    Ok(()) => return effects.push(Effect::Engine(Command::Change(*proposal, text))),
                    Err(why) => entry.error = Some(why),
                }
            }
        }
        Overlay::Write { entry, attributes, row } => {
            if let Some(text) = typed(entry, key, |text| complete(text, attributes)) {
                match check_attribute(&text, attributes) {
                    Ok(()) => return effects.push(Effect::Engine(Command::Write { row: *row, text })),
                    Err(why) => entry.error = Some(why),
                }
            }
        }
        Overlay::SaveAs { entry } => {
            if let Some(text) = typed(entry, key, complete_path) {
                match new_file(&text) {
                    Ok(path) => return effects.push(Effect::Engine(Command::Save(Some(path)))),
                    Err(why) => entry.error = Some(why),
                }
            }
        }
        Overlay::Resume => match (key.code, action) {
            (KeyCode::Enter | KeyCode::Char('r'), _) | (_, Some(Action::Resume)) => {
                if let Some((path, _)) = state.snapshot.resumable.clone() {
                    effects.push(Effect::Engine(Command::Resume(path)));
                }
                return;
            }
            (KeyCode::Char('n'), _) => return,
            _ => {}
        },
        Overlay::Search { input, before, last } => match key.code {
            KeyCode::Enter => return search::keep(state, std::mem::take(before), std::mem::take(last)),
            KeyCode::Down | KeyCode::Tab => search::look_on(state, true),
            KeyCode::Up | KeyCode::BackTab => search::look_on(state, false),
            _ => {
                if edit(input, key) {
                    state.search = input.value().to_string();
                    search::preview(state, before);
                }
            }
        },
        Overlay::Path { entry } => {
            if let Some(text) = typed(entry, key, complete_path) {
                match case_file(&text) {
                    Ok(path) => return open(state, path, effects),
                    Err(why) => entry.error = Some(why),
                }
            }
        }
        Overlay::Choose { items, at, before, .. } => {
            let count = items.len().max(1);
            match (key.code, action) {
                // The key that asked goes on to the next one.
                (_, Some(Action::Down | Action::NextPane | Action::Producer | Action::Consumer)) => *at = (*at + 1) % count,
                (_, Some(Action::Up | Action::PreviousPane)) => *at = (*at + count - 1) % count,
                (KeyCode::Enter, _) => {
                    if let Some((_, row)) = items.get(*at) {
                        go(state, *row);
                    }
                    return;
                }
                (_, Some(Action::Quit)) => {
                    state.graph = std::mem::take(&mut **before);
                    return;
                }
                _ => {}
            }
            if let Some((_, row)) = items.get(*at) {
                state.graph = (**before).clone();
                look_at(state, *row);
            }
        }
        Overlay::Harmful { proposal } => {
            // Another key than the one that led here: pressed twice in haste, that one changes nothing.
            if key.code == KeyCode::Char('y') {
                effects.push(Effect::Engine(Command::Accept(*proposal)));
                return;
            }
        }
        Overlay::Unsaved(then) => match key.code {
            KeyCode::Char('w') => {
                effects.push(Effect::Engine(Command::Save(None)));
                return leave(state, *then, effects);
            }
            KeyCode::Char('q') => return leave(state, *then, effects),
            // Only what the box lists: any other letter may have been meant for something else.
            _ => {}
        },
        Overlay::Summary => match (key.code, action) {
            // Saving shows here where the model is.
            (_, Some(action @ (Action::Save | Action::Report | Action::Copy))) => act(state, action, effects),
            (
                _,
                Some(
                    action @ (Action::Quit
                    | Action::Undo
                    | Action::SaveAs
                    | Action::Localize
                    | Action::Help
                    | Action::Demos
                    | Action::OpenCase),
                ),
            ) => return act(state, action, effects),
            _ => return,
        },
    }
    state.overlay = Some(overlay);
}

/// Leaves the case: for good, for the list, or for another one.
pub(super) fn leave(state: &mut State, to: Action, effects: &mut Vec<Effect>) {
    match to {
        Action::OpenCase => state.overlay = Some(Overlay::Path { entry: Entry::default() }),
        Action::Demos => {
            effects.push(Effect::Engine(Command::Cancel));
            state.screen = Screen::Demos;
        }
        _ => effects.extend([Effect::Engine(Command::Quit), Effect::Quit]),
    }
}

/// The wheel, or a click (0), while something lies over the panes.
pub fn on_mouse(state: &mut State, wheel: isize) {
    match &mut state.overlay {
        Some(Overlay::Help { top } | Overlay::Region { top, .. }) => *top = top.saturating_add_signed(wheel),
        Some(Overlay::Palette { at, chosen, .. }) => (*at, *chosen) = (at.saturating_add_signed(wheel.signum()), true),
        Some(Overlay::Summary) if wheel == 0 => state.overlay = None,
        _ => {}
    }
}
