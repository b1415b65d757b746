//! From one state to the next. Nothing here reads or writes anything outside: what is to be done there comes back as effects.

use super::act::act;
use super::commands::{Action, COMMANDS};
use super::derived::Prepared;
use super::keys::Key;
use super::layout::{self, Panes};
use super::mouse::on_mouse;
use super::moves::open_demo;
use super::news::on_engine;
use super::overlay;
use super::picture::Picture;
use super::state::{Effect, Pane, Screen, State};
use super::theme::Look;
use crate::session::{Command, Tone};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseEvent};
use ratatui::layout::Size;

/// What happens to the screen.
#[derive(Debug)]
pub enum Input {
    /// A key was pressed.
    Key(KeyEvent),
    /// Something was done with the mouse.
    Mouse(MouseEvent),
    /// Text was pasted.
    Paste(String),
    /// The terminal has another size.
    Resize(u16, u16),
    /// The engine's state changed.
    Engine(Prepared),
    /// A picture is ready.
    Picture(Picture),
    /// The terminal said what its background is.
    Background(Look),
    /// The terminal is gone, or a signal asks to leave: no questions.
    Leave,
    /// Nothing was typed for a while since something was said.
    Quiet,
    /// Nothing that matters.
    Nothing,
    /// The terminal is ours again: draw everything.
    Redraw,
}

/// Takes one input in. What is to be done outside comes back.
pub fn update(state: &mut State, input: Input) -> Vec<Effect> {
    let mut effects = Vec::new();
    match input {
        Input::Key(key) => {
            if key.kind != KeyEventKind::Release {
                state.toast = None;
                // Escape and a key in quick succession arrive as one key with Alt, in tmux above all.
                let both = matches!(key.code, KeyCode::Char(_)) && key.modifiers == KeyModifiers::ALT;
                if both && state.keys.action(Key::from(key)).is_none() {
                    on_key(state, KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE), &mut effects);
                    on_key(state, KeyEvent::new(key.code, KeyModifiers::NONE), &mut effects);
                } else {
                    on_key(state, key, &mut effects);
                }
            }
        }
        Input::Mouse(mouse) => on_mouse(state, mouse, &mut effects),
        Input::Paste(text) => overlay::paste(state, &text),
        Input::Resize(width, height) => {
            state.size = Size::new(width, height);
            effects.push(Effect::Redraw);
        }
        Input::Engine(prepared) => on_engine(state, prepared),
        Input::Picture(picture) => {
            if state.wanted.as_ref().is_some_and(|(path, _)| *path == picture.path) {
                state.picture = Some(picture);
            }
        }
        Input::Background(look) => state.theme.look = look,
        Input::Leave => effects.extend([Effect::Engine(Command::Abandon), Effect::Quit]),
        Input::Quiet => {
            // A refusal was read by now; the keys have their place back.
            if state.toast.as_ref().is_some_and(|t| t.refused.is_some()) {
                state.toast = None;
            }
        }
        Input::Nothing => {}
        Input::Redraw => effects.push(Effect::Redraw),
    }
    settle(state, &mut effects);
    effects
}

/// What follows from any change: the window over the graph, the picture and the details to ask for.
fn settle(state: &mut State, effects: &mut Vec<Effect>) {
    let panes = Panes::new(state);
    if let Some(rows) = layout::graph_rows(&panes) {
        if let Some(sheet) = state.snapshot.sheet.clone() {
            state.graph.fit(rows.height as usize, &sheet);
        }
        state.graph.scroll(rows.height as usize);
    }
    if state.screen != Screen::Case {
        return;
    }
    state.image = state.image.min(state.snapshot.images.listed().len().saturating_sub(1));
    if let (Some(inner), Some(flip)) = (panes.inner(Pane::Image), state.flip()) {
        let area = layout::picture(inner, state.zoomed);
        let wanted = (flip.path.clone(), Size::new(area.width, area.height));
        if state.wanted.as_ref() != Some(&wanted) && area.width >= 4 && area.height >= 2 {
            if state.picture.as_ref().is_some_and(|p| p.path != wanted.0) {
                state.picture = None;
            }
            state.wanted = Some(wanted.clone());
            effects.push(Effect::Picture(wanted.0, wanted.1));
        }
    }
    // While one types what to search for, the cursor only looks about.
    if matches!(state.overlay, Some(super::state::Overlay::Search { .. })) {
        return;
    }
    let aligned = state.snapshot.sheet.as_ref().map(|s| u64::from(s.aligned) + 2 * state.snapshot.generation);
    if let (Some(sheet), Some(row)) = (aligned, state.graph.row()) {
        let image = state.flip().map(|f| f.image);
        let key = (sheet, row, image.unwrap_or(usize::MAX));
        if state.inspected != Some(key) && panes.of(Pane::Layer).is_some() {
            state.inspected = Some(key);
            effects.push(Effect::Engine(Command::Inspect { row, image }));
        }
    }
}

fn on_key(state: &mut State, key: KeyEvent, effects: &mut Vec<Effect>) {
    let short = Key::from(key);
    // These work everywhere, whatever lies over the panes.
    let action = state.keys.action(short);
    if let Some(action @ (Action::Suspend | Action::Redraw)) = action {
        return act(state, action, effects);
    }
    if state.overlay.is_some() {
        return overlay::on_key(state, key, effects);
    }
    match action {
        Some(action) => act(state, action, effects),
        None if short.code == KeyCode::Esc => {
            state.search.clear();
            state.zoomed = false;
            if state.pinning.take().is_some() {
                state.say("nothing was pinned", Tone::Plain);
            }
        }
        None if state.screen == Screen::Demos => {
            if let KeyCode::Char(c @ '1'..='9') = short.code {
                let at = c as usize - '1' as usize;
                if at < state.demos.len() {
                    state.demo = at;
                    open_demo(state, effects);
                }
            }
        }
        None => {}
    }
}

/// Commands that match the letters, the best first, and how many of them match by name; those that cannot be done now are among them.
/// First come names of which a word begins so, then names that hold the letters in order, last what is only described so.
pub fn palette(letters: &str) -> (Vec<Action>, usize) {
    use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
    use nucleo_matcher::{Config, Matcher, Utf32Str};
    if letters.trim().is_empty() {
        return (COMMANDS.iter().map(|s| s.action).collect(), COMMANDS.len());
    }
    let begin = letters.trim().to_lowercase();
    let pattern = Pattern::parse(letters, CaseMatching::Ignore, Normalization::Smart);
    let mut matcher = Matcher::new(Config::DEFAULT);
    let mut buffer = Vec::new();
    let mut score = |text: &str| pattern.score(Utf32Str::new(text, &mut buffer), &mut matcher);
    let mut found: Vec<(u8, u32, Action)> = Vec::new();
    for spec in COMMANDS {
        let begins = spec.short.starts_with(&begin) || spec.short.split(' ').any(|w| w.starts_with(&begin));
        let named = score(spec.short).max(score(spec.id));
        let rank = match (begins, named, score(spec.help)) {
            (true, named, _) => Some((if spec.short.starts_with(&begin) { 0 } else { 1 }, named.unwrap_or(0))),
            (false, Some(named), _) => Some((2, named)),
            (false, None, described) => described.map(|d| (3, d)),
        };
        found.extend(rank.map(|(rank, score)| (rank, score, spec.action)));
    }
    found.sort_by_key(|(rank, score, _)| (*rank, std::cmp::Reverse(*score)));
    let named = found.iter().filter(|f| f.0 < 3).count();
    (found.into_iter().map(|f| f.2).collect(), named)
}
