//! The terminal: taken over, given back whatever happens, and asked what it can show.

use super::theme::Look;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture};
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use ratatui::crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{execute, queue};
use ratatui::layout::{Position, Rect, Size};
use ratatui_image::picker::cap_parser::{Parser, QueryStdioOptions, Response};
use ratatui_image::picker::{Picker, ProtocolType};
use std::io::{self, BufWriter, Read, Stdout, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Whether the terminal is in our hands.
static OURS: AtomicBool = AtomicBool::new(false);
/// Where the audit log is, for the last words after a panic.
static LOG: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Remembers where the audit log is.
pub fn remember_log(path: Option<PathBuf>) {
    *LOG.lock().unwrap_or_else(PoisonError::into_inner) = path;
}

/// The terminal while it is ours. Dropping it gives it back.
pub struct Tty {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

impl Tty {
    /// Takes the terminal over. From now on a panic of this thread gives it back first; those of other threads stay off the screen.
    ///
    /// # Errors
    /// When there is no terminal.
    pub fn open() -> io::Result<Self> {
        let backend = CrosstermBackend::new(BufWriter::with_capacity(1 << 16, io::stdout()));
        take()?;
        let terminal = Terminal::new(backend).inspect_err(|_| give_back())?;
        let drawing = std::thread::current().id();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !OURS.load(Ordering::SeqCst) {
                return before(info);
            }
            // What another thread panics of is caught there and shown as an error.
            if std::thread::current().id() != drawing {
                return;
            }
            give_back();
            before(info);
            if let Some(log) = LOG.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
                eprintln!("Every acknowledged decision is in {}.", log.display());
            }
        }));
        Ok(Self { terminal })
    }

    /// Columns and rows.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn size(&self) -> io::Result<Size> {
        self.terminal.size()
    }

    /// Draws a screen, at once for the eye where the terminal can do so.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn draw(&mut self, paint: impl FnOnce(&mut Buffer) -> Option<Position>) -> io::Result<()> {
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        self.terminal.draw(|frame| {
            if let Some(at) = paint(frame.buffer_mut()) {
                frame.set_cursor_position(at);
            }
        })?;
        execute!(self.terminal.backend_mut(), EndSynchronizedUpdate)
    }

    /// Forgets what is on the screen, so that all of it is drawn again.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn clear(&mut self) -> io::Result<()> {
        // `Terminal::clear` would ask for the cursor's place and wait for an answer.
        let size = self.terminal.size()?;
        self.terminal.resize(Rect::from((Position::ORIGIN, size)))
    }

    /// Gives the terminal back, stops the whole job, and takes the terminal again when it goes on.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn suspend(&mut self) -> io::Result<()> {
        give_back();
        stop_job()?;
        take()?;
        self.clear()
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        give_back();
    }
}

fn take() -> io::Result<()> {
    enable_raw_mode()?;
    OURS.store(true, Ordering::SeqCst);
    execute!(io::stdout(), EnterAlternateScreen, EnableMouseCapture, EnableBracketedPaste).inspect_err(|_| give_back())
}

/// Gives the terminal back, once.
fn give_back() {
    if OURS.swap(false, Ordering::SeqCst) {
        // Nothing can be done about a terminal that is gone.
        let _ = execute!(io::stdout(), EndSynchronizedUpdate, DisableBracketedPaste, DisableMouseCapture, LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// What Ctrl-Z does to programs that leave it to the terminal: the whole job stops, whatever started us included.
#[cfg(unix)]
fn stop_job() -> io::Result<()> {
    // `kill 0` reaches the process group and is open to safe code only by way of a shell.
    std::process::Command::new("sh").args(["-c", "kill -TSTP 0"]).status().map(|_| ())
}

#[cfg(not(unix))]
fn stop_job() -> io::Result<()> {
    Ok(())
}

/// What the terminal answered.
#[derive(Default)]
pub struct Answer {
    /// How pictures are best shown; `None` for coloured half cells.
    pub picker: Option<Picker>,
    /// What its background asks for.
    pub look: Option<Look>,
    /// Keys that were typed meanwhile.
    pub typed: Vec<Event>,
}

/// Asks the terminal for its picture protocol and background, and waits this long at most. To be called before its input is read.
pub fn ask(patience: Duration) -> Answer {
    let mut answer = Answer::default();
    let Some(mut tty) = open_tty() else { return answer };
    // Neither draws pictures where kitty's protocol says.
    let partly = ["WEZTERM_EXECUTABLE", "KONSOLE_VERSION"].iter().any(|v| std::env::var_os(v).is_some());
    let blacklist_protocols = if partly { vec![ProtocolType::Kitty, ProtocolType::Sixel] } else { Vec::new() };
    let options = QueryStdioOptions { terminal_background_color_osc: true, blacklist_protocols, ..QueryStdioOptions::default() };
    let mut out = io::stdout();
    if out.write_all(Parser::query(false, options).as_bytes()).and_then(|()| out.flush()).is_err() {
        return answer;
    }
    let mut parser = Parser::new();
    let mut typed = Typed::default();
    let mut responses = Vec::new();
    let end = Instant::now() + patience;
    let mut bytes = [0; 256];
    while Instant::now() < end {
        match tty.read(&mut bytes) {
            Ok(0) => break,
            Ok(n) => {
                bytes[..n].iter().for_each(|b| typed.push(*b));
                responses.extend(bytes[..n].iter().flat_map(|b| parser.push(char::from(*b))));
                // The last answer of all.
                if responses.contains(&Response::Status) {
                    break;
                }
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                std::thread::sleep(Duration::from_millis(2))
            }
            Err(_) => break,
        }
    }
    answer.typed = typed.events;
    answer.picker = picker(&responses);
    answer.look = responses.iter().find_map(|r| match r {
        Response::Background(r, g, b) => {
            let light = 299 * u32::from(*r) + 587 * u32::from(*g) + 114 * u32::from(*b) > 140_000;
            Some(if light { Look::Light } else { Look::Dark })
        }
        _ => None,
    });
    answer
}

fn picker(responses: &[Response]) -> Option<Picker> {
    let has = |wanted: &Response| responses.contains(wanted);
    let program = std::env::var("TERM_PROGRAM").unwrap_or_default();
    let protocol = if has(&Response::Kitty) {
        ProtocolType::Kitty
    } else if ["iTerm", "WezTerm", "vscode", "mintty"].iter().any(|p| program.contains(p)) {
        ProtocolType::Iterm2
    } else if has(&Response::Sixel) {
        ProtocolType::Sixel
    } else {
        return None;
    };
    let (width, height) = responses.iter().find_map(|r| if let Response::CellSize(Some(size)) = r { Some(*size) } else { None })?;
    // The only way to a picker that reads nothing from the terminal itself.
    #[allow(deprecated)]
    let mut picker = Picker::from_fontsize(ratatui_image::FontSize::new(width, height));
    picker.set_protocol_type(protocol);
    Some(picker)
}

/// The terminal opened once more, so that reading it does not wait.
#[cfg(any(target_os = "linux", target_os = "macos"))]
fn open_tty() -> Option<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    const NONBLOCK: i32 = if cfg!(target_os = "macos") { 0x4 } else { 0o4000 };
    let term = std::env::var("TERM").unwrap_or_default();
    if term.is_empty() || term == "dumb" || term == "linux" {
        return None;
    }
    std::fs::OpenOptions::new().read(true).custom_flags(NONBLOCK).open("/dev/tty").ok()
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn open_tty() -> Option<std::fs::File> {
    None
}

/// Keys among the answers: what is in no escape sequence.
#[derive(Default)]
struct Typed {
    state: Escape,
    events: Vec<Event>,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Escape {
    #[default]
    None,
    Begun,
    /// `ESC [`, until a letter.
    Control,
    /// `ESC ]`, `ESC P` or `ESC _`, until BEL or `ESC \`.
    Text,
    TextEnd,
}

impl Typed {
    fn push(&mut self, byte: u8) {
        self.state = match (self.state, byte) {
            (Escape::Text, 7) | (Escape::TextEnd, _) => Escape::None,
            (Escape::Text, 27) => Escape::TextEnd,
            (Escape::Text, _) => Escape::Text,
            (_, 27) => Escape::Begun,
            (Escape::Begun, b'[') => Escape::Control,
            (Escape::Begun, b']' | b'P' | b'_') => Escape::Text,
            (Escape::Control, b'0'..=b'9' | b';' | b'?') => Escape::Control,
            (Escape::Begun | Escape::Control, _) => Escape::None,
            (Escape::None, b) => {
                let key = match b {
                    b'\r' | b'\n' => Some((KeyCode::Enter, KeyModifiers::NONE)),
                    b'\t' => Some((KeyCode::Tab, KeyModifiers::NONE)),
                    1..=26 => Some((KeyCode::Char(char::from(b + b'a' - 1)), KeyModifiers::CONTROL)),
                    b' '..=b'~' => Some((KeyCode::Char(char::from(b)), KeyModifiers::NONE)),
                    127 => Some((KeyCode::Backspace, KeyModifiers::NONE)),
                    _ => None,
                };
                self.events.extend(key.map(|(code, modifiers)| Event::Key(KeyEvent::new(code, modifiers))));
                Escape::None
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_typed_among_the_answers_are_not_lost() {
        let mut typed = Typed::default();
        for b in b"a\x1b[?62;4c]\x1b]11;rgb:ffff/ffff/ffff\x07\x1b_Gi=31;OK\x1b\\\x03\x1b[0n\r" {
            typed.push(*b);
        }
        let keys: Vec<KeyCode> = typed.events.iter().map(|e| if let Event::Key(k) = e { k.code } else { KeyCode::Null }).collect();
        assert_eq!(keys, [KeyCode::Char('a'), KeyCode::Char(']'), KeyCode::Char('c'), KeyCode::Enter]);
    }
}
