//! The loop: an input, a new state, a new screen.

use super::commands::KeyMap;
use super::demos::Demo;
use super::derived::Prepared;
use super::picture::Maker;
use super::state::{Effect, Screen, State, Toast};
use super::terminal::{self, Tty};
use super::theme::Theme;
use super::update::{Input, update};
use super::view;
use crate::session::{Command, Engine, EngineOptions};
use ratatui::crossterm::event::{self, Event};
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a terminal may take to say what it can show.
const PATIENCE: Duration = Duration::from_millis(150);
/// How long a refusal stands in the place of the keys.
const READ: Duration = Duration::from_secs(6);
/// A wait that something always ends before.
const FOREVER: Duration = Duration::from_secs(3600);

/// What the screen begins with.
#[derive(Debug, Default)]
pub struct Options {
    /// What the engine is asked for at once; without it the demonstrations are listed.
    pub open: Option<Command>,
    /// The demonstrations.
    pub demos: Vec<Demo>,
    /// Colours; asked of environment and terminal when absent.
    pub theme: Option<Theme>,
    /// Keys.
    pub keys: KeyMap,
    /// Whether demonstrations are opened without hints.
    pub no_hints: bool,
    /// How the engine works.
    pub engine: EngineOptions,
}

/// What a session left behind.
#[derive(Debug, Default)]
pub struct Left {
    /// The repaired model.
    pub model: Option<PathBuf>,
    /// The recipe that goes with it.
    pub recipe: Option<PathBuf>,
    /// The audit log.
    pub log: Option<PathBuf>,
    /// Whether accepted repairs are in no file.
    pub unsaved: bool,
    /// What was asked for while things still loaded, and why nothing came of it.
    pub not_done: Vec<(&'static str, &'static str)>,
}

/// Shows the screen until the user leaves; the terminal is as it was then.
///
/// # Errors
/// When there is no terminal, or it goes away.
pub fn run(options: Options) -> io::Result<Left> {
    let (inputs, inbox) = channel::<Input>();
    let asked = options.theme.is_none();
    let theme = options.theme.unwrap_or_else(|| Theme::from_env(|name| std::env::var(name).ok()));
    let engine = Engine::start(options.engine, publish(inputs.clone()))?;
    // Before the terminal is ours: whoever is told to leave gives it back.
    signals(inputs.clone())?;
    let mut tty = Tty::open()?;
    let mut state = State::new(tty.size()?, theme, options.keys, options.demos);
    state.hints_away = options.no_hints;
    if let Some(command) = options.open {
        state.screen = Screen::Case;
        state.hints = !options.no_hints;
        engine.send(command);
    }
    tty.draw(|buffer| view::draw(&state, buffer))?;

    let pictures = {
        let inputs = inputs.clone();
        Maker::start(move |picture| drop(inputs.send(Input::Picture(picture))))?
    };
    // The first screen is there; now there is time to ask. A terminal that does not know the question may print it.
    let answer = terminal::ask(PATIENCE);
    tty.clear()?;
    tty.draw(|buffer| view::draw(&state, buffer))?;
    if let Some(picker) = answer.picker {
        pictures.use_picker(picker);
    }
    if let Some(look) = answer.look.filter(|_| asked) {
        let _ = inputs.send(Input::Background(look));
    }
    // Who resizes it before anybody listens is not heard: so it is asked once more.
    let size = tty.size()?;
    if size != state.size {
        let _ = inputs.send(Input::Resize(size.width, size.height));
    }
    for event in answer.typed {
        let _ = inputs.send(translate(event));
    }
    listen(inputs, terminal::Late::new(answer.complete))?;

    // What was said last, and until when it is left there.
    let mut said: Option<(Toast, Instant)> = None;
    loop {
        if state.toast.as_ref() != said.as_ref().map(|s| &s.0) {
            said = state.toast.clone().map(|t| (t, Instant::now() + READ));
        }
        // Only a refusal goes by itself; news of work under way come more often than that.
        let end = said.as_ref().filter(|(toast, _)| toast.refused.is_some()).map(|(_, end)| *end);
        let wait = end.map_or(FOREVER, |end| end.saturating_duration_since(Instant::now()));
        // The channel closes only when all other threads are gone.
        let first = match inbox.recv_timeout(wait) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => Input::Quiet,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let over = end.filter(|end| *end <= Instant::now()).map(|_| Input::Quiet);
        let mut leave = false;
        for input in over.into_iter().chain(std::iter::once(first)).chain(inbox.try_iter()) {
            #[cfg(debug_assertions)]
            injected_panic(&input);
            for effect in update(&mut state, input) {
                match effect {
                    Effect::Engine(command) => engine.send(command),
                    Effect::Picture(path, size) => pictures.wish(path, size),
                    Effect::Copy(text) => tty.copy(&text)?,
                    Effect::Redraw => tty.clear()?,
                    Effect::Suspend => tty.suspend()?,
                    Effect::Quit => leave = true,
                }
            }
            if leave {
                // What was asked of the engine before (saving) is done first.
                engine.finish();
                let last = inbox.try_iter().filter_map(|i| if let Input::Engine(p) = i { Some(p) } else { None }).last();
                last.into_iter().for_each(|p| state.take(p));
                let snap = &state.snapshot;
                return Ok(Left {
                    model: snap.saved.clone(),
                    recipe: snap.saved_recipe.clone(),
                    log: snap.audit_log.clone(),
                    unsaved: snap.unsaved,
                    not_done: state.not_done.clone(),
                });
            }
        }
        terminal::remember_log(state.snapshot.audit_log.clone());
        tty.draw(|buffer| view::draw(&state, buffer))?;
    }
    Ok(Left::default())
}

/// Works out, on the engine's thread, what the screen needs of a snapshot, and passes both on.
fn publish(inputs: Sender<Input>) -> impl Fn(std::sync::Arc<crate::session::Snapshot>) + Send + Sync + 'static {
    let before = Mutex::new(Prepared::default());
    move |snapshot| {
        let mut before = before.lock().unwrap_or_else(PoisonError::into_inner);
        let prepared = Prepared::new(snapshot, &before);
        *before = prepared.clone();
        // A screen that is gone needs no news.
        let _ = inputs.send(Input::Engine(prepared));
    }
}

fn translate(event: Event) -> Input {
    match event {
        Event::Key(key) => Input::Key(key),
        Event::Mouse(mouse) => Input::Mouse(mouse),
        Event::Paste(text) => Input::Paste(text),
        Event::Resize(width, height) => Input::Resize(width, height),
        Event::FocusGained | Event::FocusLost => Input::Nothing,
    }
}

/// Reads the terminal's input on a thread of its own.
fn listen(inputs: Sender<Input>, mut late: terminal::Late) -> io::Result<()> {
    std::thread::Builder::new().name("input".into()).spawn(move || {
        loop {
            let input = match event::read() {
                Ok(event) if late.swallows(&event) => continue,
                Ok(event) => translate(event),
                // The terminal is gone.
                Err(_) => Input::Leave,
            };
            let end = matches!(input, Input::Leave);
            if inputs.send(input).is_err() || end {
                return;
            }
        }
    })?;
    Ok(())
}

/// Signals from outside: leave, or go on after a stop.
#[cfg(unix)]
fn signals(inputs: Sender<Input>) -> io::Result<()> {
    use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGHUP, SIGINT, SIGCONT])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            let input = if signal == SIGCONT { Input::Redraw } else { Input::Leave };
            if inputs.send(input).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

#[cfg(not(unix))]
fn signals(_: Sender<Input>) -> io::Result<()> {
    Ok(())
}

/// For the test that a panic gives the terminal back: `FIXCON_TEST_PANIC=f12` panics at that key, in builds with assertions only.
#[cfg(debug_assertions)]
fn injected_panic(input: &Input) {
    if let (Input::Key(key), Ok(name)) = (input, std::env::var("FIXCON_TEST_PANIC")) {
        assert!(super::keys::Key::from(*key).to_string() != name, "a panic was asked for");
    }
}
