//! From one state to the next. Nothing here reads or writes anything outside: what is to be done there comes back as effects.

use super::commands::{Action, COMMANDS};
use super::derived::Prepared;
use super::keys::Key;
use super::layout::{self, Panes};
use super::lines::Line;
use super::overlay;
use super::picture::Picture;
use super::state::{Effect, Overlay, Pane, Screen, Split, State};
use super::theme::Look;
use crate::session::{Command, Sign, Snapshot, Standing, Tone};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Size;
use std::path::PathBuf;

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
        Input::Leave => effects.extend([Effect::Engine(Command::Quit), Effect::Quit]),
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
    state.image = state.image.min(state.snapshot.images.flips.len().saturating_sub(1));
    if let (Some(inner), Some(flip)) = (panes.inner(Pane::Image), state.flip()) {
        let area = layout::picture(inner);
        let wanted = (flip.path.clone(), Size::new(area.width, area.height));
        if state.wanted.as_ref() != Some(&wanted) && area.width >= 4 && area.height >= 2 {
            if state.picture.as_ref().is_some_and(|p| p.path != wanted.0) {
                state.picture = None;
            }
            state.wanted = Some(wanted.clone());
            effects.push(Effect::Picture(wanted.0, wanted.1));
        }
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

fn on_engine(state: &mut State, prepared: Prepared) {
    let before = state.snapshot.clone();
    state.take(prepared);
    state.beat = state.beat.wrapping_add(1);
    let now = state.snapshot.clone();
    if now.generation != before.generation {
        state.suspect = 0;
        state.alternative = 0;
        state.image = 0;
        state.scroll = [0; 3];
        state.picture = None;
        state.wanted = None;
        state.inspected = None;
        state.summed_up = false;
        state.asked_to_resume = false;
        state.pinning = None;
    }
    match (&now.sheet, &before.sheet) {
        (Some(sheet), Some(old)) if std::sync::Arc::ptr_eq(sheet, old) => {}
        (Some(sheet), old) => {
            let same = now.generation == before.generation
                && old.as_ref().is_some_and(|o| o.aligned == sheet.aligned && o.rows.len() == sheet.rows.len());
            if same {
                state.graph.layout(sheet)
            } else {
                state.graph.reset(sheet)
            }
            state.inspected = None;
        }
        (None, _) => state.graph.clear(),
    }
    let others = |of: &Snapshot| of.proposals.iter().filter(|p| p.row.is_some()).map(|p| p.id).max();
    if now.findings.is_some()
        && before.findings.as_ref().is_none_or(|f| now.findings.as_ref().is_some_and(|n| !std::sync::Arc::ptr_eq(f, n)))
    {
        select_suspect(state, 0);
    } else if others(&now) > others(&before) {
        // A proposal that was just written is the one at hand.
        let written = now.proposals.iter().filter(|p| p.row.is_some()).max_by_key(|p| p.id);
        if let Some(suspect) = written.map(|p| p.suspect) {
            state.suspect = suspect;
            state.alternative = state.alternatives().len().saturating_sub(1);
        }
    }
    if now.resumable.is_some() && now.images.are_compared() && !state.asked_to_resume && state.overlay.is_none() {
        state.asked_to_resume = true;
        state.overlay = Some(Overlay::Resume);
    }
    // A decision on the suspect at hand: the next one that waits comes up by itself.
    let decided = |s: &Standing| matches!(s, Standing::Accepted | Standing::Rejected(_) | Standing::Skipped);
    let was_open = |id: usize| before.proposals.iter().any(|p| p.id == id && !decided(&p.standing));
    let just = now.proposals.iter().find(|p| p.suspect == state.suspect && decided(&p.standing) && was_open(p.id));
    if let Some(just) = just {
        let rejected = matches!(just.standing, Standing::Rejected(_));
        let open_here = now.proposals.iter().filter(|p| p.suspect == state.suspect).position(|p| p.standing == Standing::Open);
        match open_here {
            Some(at) if rejected => state.alternative = at,
            _ => {
                let count = state.suspect_count();
                let waits = |s: usize| {
                    let mut of = now.proposals.iter().filter(|p| p.suspect == s).peekable();
                    of.peek().is_some() && of.all(|p| p.standing == Standing::Open)
                };
                let next = (1..count).map(|d| (state.suspect + d) % count).find(|s| waits(*s));
                if let Some(next) = next {
                    select_suspect(state, next);
                }
            }
        }
    }
    if now.error.is_some() && now.error != before.error {
        state.say(now.error.clone().unwrap_or_default(), Tone::Error);
    }
    let all_gone = now.images.at_start > 0
        && now.images.flipped == 0
        && now.work.is_none()
        && now.decided.iter().any(|d| d.proposal.standing == Standing::Accepted);
    if all_gone && !state.summed_up && state.overlay.is_none() {
        state.summed_up = true;
        state.overlay = Some(Overlay::Summary);
    }
    if !all_gone && now.images.flipped > 0 {
        state.summed_up = false;
    }
}

/// Makes a suspect the one at hand and goes to its row.
fn select_suspect(state: &mut State, suspect: usize) {
    state.suspect = suspect;
    state.alternative = 0;
    state.scroll = [0, 0, state.scroll[2]];
    if let (Some(row), Some(sheet)) = (state.suspect_row(suspect), state.snapshot.sheet.clone()) {
        state.graph.go_to(row, &sheet);
    }
}

/// After the cursor moved: a row of a suspect makes it the one at hand.
fn moved(state: &mut State) {
    state.scroll[0] = 0;
    let own = |row: usize| state.snapshot.proposals.iter().find(|p| p.row == Some(row)).map(|p| p.suspect);
    if let Some(suspect) = state.graph.row().and_then(|r| state.suspect_at(r).or_else(|| own(r)))
        && suspect != state.suspect
    {
        state.suspect = suspect;
        state.alternative = 0;
        state.scroll[1] = 0;
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
            state.pinning = None;
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

/// Does what a command says, or tells why it cannot be done.
pub(super) fn act(state: &mut State, action: Action, effects: &mut Vec<Effect>) {
    if let Err(why) = action.possible(state) {
        return state.say(format!("{}: {why}", action.spec().short), Tone::Warning);
    }
    let sheet = state.snapshot.sheet.clone();
    match action {
        Action::Accept => {
            if let Some(id) = state.proposal().map(|p| p.id) {
                effects.push(Effect::Engine(Command::Accept(id)));
            }
        }
        Action::Reject => {
            if let Some(proposal) = state.proposal().map(|p| p.id) {
                state.overlay = Some(Overlay::Note { input: Default::default(), proposal });
            }
        }
        Action::Skip => {
            if let Some(id) = state.proposal().map(|p| p.id) {
                effects.push(Effect::Engine(Command::Skip(id)));
            }
        }
        Action::Undo => {
            // The one at hand if it is accepted, else whatever was decided last.
            let here = state.proposal().filter(|p| p.standing == Standing::Accepted).map(|p| p.id);
            effects.push(Effect::Engine(Command::Undo(here)));
        }
        Action::Redo => effects.push(Effect::Engine(Command::Redo)),
        Action::Alternative => state.alternative = (state.alternative + 1) % state.alternatives().len().max(1),
        Action::Localize => effects.push(Effect::Engine(Command::Localize)),
        Action::Save => effects.push(Effect::Engine(Command::Save(None))),
        Action::Cancel => effects.push(Effect::Engine(Command::Cancel)),

        Action::NextSuspect => select_suspect(state, (state.suspect + 1) % state.suspect_count().max(1)),
        Action::PreviousSuspect => {
            let count = state.suspect_count().max(1);
            select_suspect(state, (state.suspect + count - 1) % count);
        }
        Action::NextImage | Action::PreviousImage => {
            let count = state.snapshot.images.flips.len().max(1);
            state.image = if action == Action::NextImage { state.image + 1 } else { state.image + count - 1 } % count;
        }
        Action::Worst => {
            let Some(sheet) = sheet else { return };
            let worst = sheet.rows.iter().enumerate().filter_map(|(i, r)| Some((i, r.isolated?)));
            if let Some((row, _)) = worst.max_by(|a, b| a.1.total_cmp(&b.1)) {
                go(state, row);
            }
        }

        Action::Details if state.screen == Screen::Demos => open_demo(state, effects),
        Action::Details if state.focus == Pane::Graph => with_sheet(state, |g, s| g.toggle_details(s)),
        Action::Details => state.zoomed = !state.zoomed,
        Action::Fold => with_sheet(state, |g, s| g.toggle_fold(s)),
        Action::FoldAll => with_sheet(state, |g, s| g.toggle_all(s)),
        Action::Producer => follow(state, true),
        Action::Consumer => follow(state, false),
        Action::Search => {
            let from = state.graph.row().unwrap_or(0);
            state.overlay = Some(Overlay::Search { input: Default::default(), from });
        }
        Action::NextMatch => find(state, true),
        Action::PreviousMatch => find(state, false),
        Action::Bookmark => {
            if let Some(row) = state.graph.row()
                && !state.graph.bookmarks.remove(&row)
            {
                state.graph.bookmarks.insert(row);
            }
        }
        Action::NextBookmark => {
            let at = state.graph.row().unwrap_or(0);
            let marks = &state.graph.bookmarks;
            let next = marks.range(at + 1..).next().or_else(|| marks.iter().next()).copied();
            if let Some(row) = next {
                go(state, row);
            }
        }
        Action::Names => state.graph.names = !state.graph.names,
        Action::WhatIf => {
            if let Some(id) = state.proposal().map(|p| p.id) {
                effects.push(Effect::Engine(Command::TryAll(id)));
            }
        }
        Action::Edit => {
            if let Some((id, value)) = state.proposal().and_then(|p| Some((p.id, p.editable.clone()?))) {
                state.overlay = Some(Overlay::Edit { input: value.into(), proposal: id });
            }
        }
        Action::Write => {
            if let Some(row) = state.graph.row() {
                // What differs most likely is what one wants to change.
                let differs = state.snapshot.detail.as_ref().filter(|d| d.row == row).and_then(|d| d.facts.iter().find(|f| f.differs));
                let text = differs.map(|f| format!("{} = {}", f.name, f.target)).unwrap_or_default();
                state.overlay = Some(Overlay::Write { input: text.into(), row });
            }
        }
        Action::Take => {
            if let Some(row) = state.graph.row() {
                effects.push(Effect::Engine(Command::Take(row)));
            }
        }
        Action::Forbid => {
            if let Some(row) = state.graph.row() {
                effects.push(Effect::Engine(Command::Forbid(row)));
            }
        }
        Action::Pin => match (state.graph.row(), state.pinning.take()) {
            (Some(target), Some(source)) => effects.push(Effect::Engine(Command::Pin { source, target })),
            (Some(source), None) => {
                state.pinning = Some(source);
                let key = state.keys.key(Action::Pin);
                state
                    .say(format!("the source's side is marked; go to the target's row and press {key} again, esc forgets it"), Tone::Plain);
            }
            (None, _) => {}
        },

        Action::Up => shift(state, -1),
        Action::Down => shift(state, 1),
        Action::PageUp => shift(state, -page(state)),
        Action::PageDown => shift(state, page(state)),
        Action::Top => shift(state, isize::MIN / 2),
        Action::Bottom => shift(state, isize::MAX / 2),
        Action::Left => step_pane(state, false),
        Action::Right => step_pane(state, true),
        Action::NextPane => step_pane(state, true),
        Action::PreviousPane => step_pane(state, false),
        Action::Zoom => state.zoomed = !state.zoomed,

        Action::Palette => state.overlay = Some(Overlay::Palette { input: Default::default(), at: 0 }),
        Action::Help => state.overlay = Some(Overlay::Help { top: 0 }),
        Action::OpenCase => state.overlay = Some(Overlay::Path { input: Default::default(), error: None }),
        Action::Demos => {
            effects.push(Effect::Engine(Command::Cancel));
            state.screen = Screen::Demos;
        }
        Action::Theme => state.theme = state.theme.turned(),
        Action::Hints => {
            state.hints = !state.hints;
            state.hints_away = !state.hints;
        }
        Action::Resume => {
            if let Some((path, _)) = state.snapshot.resumable.clone() {
                effects.push(Effect::Engine(Command::Resume(path)));
            }
        }
        Action::Redraw => effects.push(Effect::Redraw),
        Action::Suspend => effects.push(Effect::Suspend),
        Action::Quit => {
            if state.snapshot.unsaved && state.screen == Screen::Case {
                state.overlay = Some(Overlay::ConfirmQuit);
            } else {
                effects.push(Effect::Engine(Command::Quit));
                effects.push(Effect::Quit);
            }
        }
    }
}

fn with_sheet(state: &mut State, change: impl FnOnce(&mut super::lines::Graph, &crate::session::Sheet)) {
    if let Some(sheet) = state.snapshot.sheet.clone() {
        change(&mut state.graph, &sheet);
        moved(state);
    }
}

/// Goes to a row of the sheet.
pub(super) fn go(state: &mut State, row: usize) {
    with_sheet(state, |g, s| g.go_to(row, s));
}

/// Opens a case file.
pub(super) fn open(state: &mut State, path: PathBuf, effects: &mut Vec<Effect>) {
    state.screen = Screen::Case;
    state.focus = Pane::Graph;
    state.zoomed = false;
    state.asked_to_resume = false;
    effects.push(Effect::Engine(Command::Open(path)));
}

fn open_demo(state: &mut State, effects: &mut Vec<Effect>) {
    if let Some(path) = state.demos.get(state.demo).map(|d| d.path.clone()) {
        // Whoever opens a demonstration wants to be led through it, until the hints are put away.
        state.hints = !state.hints_away;
        open(state, path, effects);
    }
}

fn follow(state: &mut State, up: bool) {
    let Some(row) = state.graph.row() else { return };
    let rows = if up { &state.derived.up } else { &state.derived.down }.get(row).cloned().unwrap_or_default();
    match rows[..] {
        [] => state.say(if up { "nothing makes this: it is an input" } else { "nothing reads this: it is an output" }, Tone::Plain),
        [one] => go(state, one),
        _ => {
            let text = |r: usize| {
                let row = state.snapshot.sheet.as_ref().and_then(|s| s.rows.get(r));
                row.and_then(|r| r.target.as_ref().or(r.source.as_ref())).map(|c| c.text.clone()).unwrap_or_default()
            };
            let items = rows.iter().map(|r| (text(*r), *r)).collect();
            state.overlay = Some(Overlay::Choose { title: if up { "reads" } else { "is read by" }, items, at: 0 });
        }
    }
}

/// The next row that holds the text searched for.
pub(super) fn find(state: &mut State, down: bool) {
    let needle = state.search.to_lowercase();
    let count = state.derived.haystack.len();
    let at = state.graph.row().unwrap_or(0);
    if needle.is_empty() || count == 0 {
        return;
    }
    let found = (1..=count).map(|d| if down { (at + d) % count } else { (at + count - d % count) % count });
    match found.into_iter().find(|r| state.derived.haystack[*r].contains(&needle)) {
        Some(row) => go(state, row),
        None => state.say(format!("'{}' is nowhere in the two graphs", state.search), Tone::Warning),
    }
}

fn page(state: &State) -> isize {
    let panes = Panes::new(state);
    panes.inner(state.focus).map_or(10, |r| isize::from(r.height as i16).max(2) - 1)
}

/// Moves the cursor, or scrolls, in the pane that has the keys.
fn shift(state: &mut State, by: isize) {
    let add = |at: usize, last: usize| (at as isize).saturating_add(by).clamp(0, last as isize) as usize;
    if state.screen == Screen::Demos {
        state.demo = add(state.demo, state.demos.len().saturating_sub(1));
        return;
    }
    match state.focus {
        Pane::Graph => {
            state.graph.cursor = add(state.graph.cursor, state.graph.lines.len().saturating_sub(1));
            moved(state);
        }
        Pane::Image => state.image = add(state.image, state.snapshot.images.flips.len().saturating_sub(1)),
        Pane::Layer => state.scroll[0] = add(state.scroll[0], 500),
        Pane::Proposal => state.scroll[1] = add(state.scroll[1], 500),
        // The log is read from its end.
        Pane::Log => state.scroll[2] = (state.scroll[2] as isize).saturating_sub(by).clamp(0, state.snapshot.log.len() as isize) as usize,
    }
}

fn step_pane(state: &mut State, forward: bool) {
    if state.screen == Screen::Demos {
        return;
    }
    let count = Pane::ALL.len();
    let at = Pane::ALL.iter().position(|p| *p == state.focus).unwrap_or(0);
    state.focus = Pane::ALL[if forward { at + 1 } else { at + count - 1 } % count];
}

fn on_mouse(state: &mut State, mouse: MouseEvent, effects: &mut Vec<Effect>) {
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
    let panes = Panes::new(state);
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

/// Commands that match the letters, the best first; those that cannot be done now are among them.
pub fn palette(letters: &str) -> Vec<Action> {
    use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
    use nucleo_matcher::{Config, Matcher, Utf32Str};
    if letters.trim().is_empty() {
        return COMMANDS.iter().map(|s| s.action).collect();
    }
    let pattern = Pattern::parse(letters, CaseMatching::Ignore, Normalization::Smart);
    let mut matcher = Matcher::new(Config::DEFAULT);
    let mut buffer = Vec::new();
    let mut score = |text: &str| pattern.score(Utf32Str::new(text, &mut buffer), &mut matcher);
    let mut found: Vec<(u32, Action)> = Vec::new();
    for spec in COMMANDS {
        // A match in the name counts double.
        let best = score(spec.short).map(|s| 2 * s).max(score(spec.id).map(|s| 2 * s)).max(score(spec.help));
        found.extend(best.map(|s| (s, spec.action)));
    }
    found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    found.into_iter().map(|(_, a)| a).collect()
}

/// Rows that call for attention, for the strip of errors: sign by row.
pub fn calls(sign: Sign) -> bool {
    !matches!(sign, Sign::Clean | Sign::Unknown)
}
