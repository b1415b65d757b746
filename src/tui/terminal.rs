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

    /// Hands text to the terminal's clipboard (OSC 52); a terminal that has none passes over it.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn copy(&mut self, text: &str) -> io::Result<()> {
        let mut out = io::stdout();
        write!(out, "\x1b]52;c;{}\x1b\\", base64_simd::STANDARD.encode_to_string(text))?;
        out.flush()
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
    /// Whether all answers came, or none will.
    pub complete: bool,
}

/// Asks the terminal for its picture protocol and background, and waits this long at most. To be called before its input is read.
pub fn ask(patience: Duration) -> Answer {
    let mut answer = Answer { complete: true, ..Answer::default() };
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
    answer.typed = typed.finish();
    answer.complete = responses.contains(&Response::Status);
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

/// Keys among the answers: characters, and the sequences that terminals send for keys but never as an answer.
#[derive(Default)]
struct Typed {
    state: Escape,
    /// Parameters of a sequence, or the bytes of a character that are there so far.
    pending: Vec<u8>,
    events: Vec<Event>,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Escape {
    #[default]
    None,
    Begun,
    /// `ESC [`, until a letter.
    Control,
    /// `ESC O`, before a letter.
    Function,
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
            (Escape::Begun, 27) => {
                self.key(KeyCode::Esc, KeyModifiers::NONE);
                Escape::Begun
            }
            (_, 27) => Escape::Begun,
            (Escape::Begun, b'[') => {
                self.pending.clear();
                Escape::Control
            }
            (Escape::Begun, b'O') => Escape::Function,
            (Escape::Begun, b']' | b'P' | b'_') => Escape::Text,
            (Escape::Begun, b) => {
                self.plain(b, KeyModifiers::ALT);
                Escape::None
            }
            (Escape::Control, b'0'..=b'9' | b';' | b'?' | b'<') => {
                self.pending.push(byte);
                Escape::Control
            }
            (Escape::Control | Escape::Function, b) => {
                let code = named(&std::mem::take(&mut self.pending), b);
                code.into_iter().for_each(|c| self.key(c, KeyModifiers::NONE));
                Escape::None
            }
            (Escape::None, b) => {
                self.plain(b, KeyModifiers::NONE);
                Escape::None
            }
        };
    }

    fn key(&mut self, code: KeyCode, modifiers: KeyModifiers) {
        self.events.push(Event::Key(KeyEvent::new(code, modifiers)));
    }

    fn plain(&mut self, byte: u8, modifiers: KeyModifiers) {
        match byte {
            b'\r' | b'\n' => self.key(KeyCode::Enter, modifiers),
            b'\t' => self.key(KeyCode::Tab, modifiers),
            1..=26 => self.key(KeyCode::Char(char::from(byte + b'a' - 1)), modifiers | KeyModifiers::CONTROL),
            b' '..=b'~' => self.key(KeyCode::Char(char::from(byte)), modifiers),
            127 => self.key(KeyCode::Backspace, modifiers),
            128.. => {
                self.pending.push(byte);
                if let Ok(text) = std::str::from_utf8(&self.pending) {
                    let chars: Vec<char> = text.chars().collect();
                    self.pending.clear();
                    chars.into_iter().for_each(|c| self.key(KeyCode::Char(c), modifiers));
                } else if self.pending.len() > 3 {
                    self.pending.clear();
                }
            }
            _ => {}
        }
    }

    /// The keys, an escape that nothing followed among them.
    fn finish(mut self) -> Vec<Event> {
        if self.state == Escape::Begun {
            self.key(KeyCode::Esc, KeyModifiers::NONE);
        }
        self.events
    }
}

/// The key of a sequence, by its parameters and its last byte; `None` for an answer.
fn named(parameters: &[u8], last: u8) -> Option<KeyCode> {
    Some(match (parameters, last) {
        (b"", b'A') => KeyCode::Up,
        (b"", b'B') => KeyCode::Down,
        (b"", b'C') => KeyCode::Right,
        (b"", b'D') => KeyCode::Left,
        (b"", b'H') | (b"1" | b"7", b'~') => KeyCode::Home,
        (b"", b'F') | (b"4" | b"8", b'~') => KeyCode::End,
        (b"", b'Z') => KeyCode::BackTab,
        (b"", b'P') => KeyCode::F(1),
        (b"3", b'~') => KeyCode::Delete,
        (b"5", b'~') => KeyCode::PageUp,
        (b"6", b'~') => KeyCode::PageDown,
        _ => return None,
    })
}

/// Keeps answers that come after the patience ran out from being read as keys: a slow terminal would accept a repair by itself.
pub struct Late {
    /// Until when answers may come.
    until: Option<Instant>,
    inside: bool,
}

impl Late {
    /// How long after the question an answer may still come.
    const WINDOW: Duration = Duration::from_secs(3);

    /// Whether all answers are there already.
    pub fn new(complete: bool) -> Self {
        Self { until: (!complete).then(|| Instant::now() + Self::WINDOW), inside: false }
    }

    /// Whether this is part of an answer. The reader of keys takes `ESC ]` and the like for Alt with a key.
    pub fn swallows(&mut self, event: &Event) -> bool {
        let Some(until) = self.until else { return false };
        if Instant::now() > until {
            self.until = None;
            return false;
        }
        let Event::Key(key) = event else { return false };
        let (alt, ctrl) = (key.modifiers.contains(KeyModifiers::ALT), key.modifiers.contains(KeyModifiers::CONTROL));
        match key.code {
            KeyCode::Char(']' | 'P' | '_') if alt => self.inside = true,
            KeyCode::Char('\\') if alt && self.inside => {
                self.inside = false;
                return true;
            }
            KeyCode::Char('g') if ctrl && self.inside => {
                self.inside = false;
                return true;
            }
            _ => {}
        }
        self.inside
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
        assert_eq!(codes(typed), [KeyCode::Char('a'), KeyCode::Char(']'), KeyCode::Char('c'), KeyCode::Enter]);
        let mut typed = Typed::default();
        for b in "\x1b[B\x1bOA\x1b[5~\x1b[6;18;9tü\x1b".bytes() {
            typed.push(b);
        }
        assert_eq!(codes(typed), [KeyCode::Down, KeyCode::Up, KeyCode::PageUp, KeyCode::Char('ü'), KeyCode::Esc]);
    }

    fn codes(typed: Typed) -> Vec<KeyCode> {
        typed.finish().iter().map(|e| if let Event::Key(k) = e { k.code } else { KeyCode::Null }).collect()
    }

    #[test]
    fn answers_that_come_late_are_no_keys() {
        let key = |c, modifiers| Event::Key(KeyEvent::new(KeyCode::Char(c), modifiers));
        let mut late = Late::new(false);
        assert!(!late.swallows(&key('a', KeyModifiers::NONE)));
        assert!(late.swallows(&key(']', KeyModifiers::ALT)));
        assert!("11;rgb:a".chars().all(|c| late.swallows(&key(c, KeyModifiers::NONE))));
        assert!(late.swallows(&key('\\', KeyModifiers::ALT)));
        assert!(!late.swallows(&key('a', KeyModifiers::NONE)));
        assert!(!Late::new(true).swallows(&key(']', KeyModifiers::ALT)));
    }
}
