//! The real program in a pseudo-terminal, seen through a terminal emulator.
#![allow(dead_code)]

// The bench takes this module by its path.
#[path = "../samples/mod.rs"]
mod cases;

use cases::copy_case;
use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};
use std::io::{Read, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What came from the program: the screen, and every byte.
struct Seen {
    parser: vt100::Parser,
    bytes: Vec<u8>,
    /// When how many of them were there.
    times: Vec<(Duration, usize)>,
    last: Instant,
}

/// The program in its terminal.
pub struct Terminal {
    seen: Arc<Mutex<Seen>>,
    keyboard: Arc<Mutex<Box<dyn Write + Send>>>,
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    pub began: Instant,
}

fn size(cols: u16, rows: u16) -> PtySize {
    PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }
}

fn cells(n: u16) -> NonZero<u16> {
    NonZero::new(n).expect("a terminal has cells")
}

/// A case of `sample_models` by the beginning of its name.
pub fn sample(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models/cases");
    let found = std::fs::read_dir(&folder).expect("sample_models").filter_map(Result::ok).map(|e| e.path());
    let mut found: Vec<PathBuf> = found.filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(name))).collect();
    found.sort();
    found.into_iter().next().expect("such a case")
}

/// A copy of a case in a folder of its own; models and images are linked.
pub fn copy(name: &str) -> (tempfile::TempDir, PathBuf) {
    let from = sample(name);
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models");
    let folder = tempfile::tempdir().expect("a folder");
    let case = folder.path().join("cases").join(from.file_name().expect("a name"));
    copy_case(&from, &case);
    for shared in ["models", "images", "labels.txt"] {
        std::os::unix::fs::symlink(samples.join(shared), folder.path().join(shared)).expect("a link");
    }
    (folder, case)
}

/// All of `sample_models` in a folder of its own; models and images are linked.
pub fn samples() -> tempfile::TempDir {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models");
    let folder = tempfile::tempdir().expect("a folder");
    let to = folder.path().join("sample_models");
    for case in std::fs::read_dir(from.join("cases")).expect("cases").filter_map(Result::ok) {
        let into = to.join("cases").join(case.file_name());
        copy_case(&case.path(), &into);
    }
    for shared in ["models", "images", "labels.txt"] {
        std::os::unix::fs::symlink(from.join(shared), to.join(shared)).expect("a link");
    }
    folder
}

impl Terminal {
    /// Starts the program.
    pub fn start(cols: u16, rows: u16, args: &[&str]) -> Self {
        Self::with(cols, rows, env!("CARGO_BIN_EXE_fixcon"), args, &[])
    }

    /// Starts a program with some variables set.
    pub fn with(cols: u16, rows: u16, program: &str, args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::within(Path::new(env!("CARGO_MANIFEST_DIR")), (cols, rows), program, args, env)
    }

    /// The same in a folder.
    pub fn within(folder: &Path, (cols, rows): (u16, u16), program: &str, args: &[&str], env: &[(&str, &str)]) -> Self {
        let pair = native_pty_system().openpty(size(cols, rows)).expect("a pseudo-terminal");
        let mut command = CommandBuilder::new(program);
        command.args(args);
        command.cwd(folder);
        for (name, value) in
            [("TERM", "xterm-256color"), ("COLORTERM", "truecolor"), ("LANG", "C.UTF-8"), ("LC_ALL", "C.UTF-8")].iter().chain(env)
        {
            command.env(name, value);
        }
        command.env_remove("NO_COLOR");
        let began = Instant::now();
        let child = pair.slave.spawn_command(command).expect("the program starts");
        drop(pair.slave);
        let seen = Arc::new(Mutex::new(Seen {
            parser: vt100::Parser::new(cells(rows), cells(cols), 0),
            bytes: Vec::new(),
            times: Vec::new(),
            last: Instant::now(),
        }));
        let keyboard = Arc::new(Mutex::new(pair.master.take_writer().expect("a keyboard")));
        let mut screen = pair.master.try_clone_reader().expect("a screen");
        let (seen_by_thread, answers) = (seen.clone(), keyboard.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 1 << 16];
            while let Ok(n) = screen.read(&mut buffer) {
                if n == 0 {
                    return;
                }
                let mut seen = seen_by_thread.lock().expect("no test panicked while it held this");
                seen.parser.process(&buffer[..n]);
                seen.bytes.extend_from_slice(&buffer[..n]);
                seen.last = Instant::now();
                let count = seen.bytes.len();
                seen.times.push((began.elapsed(), count));
                // As terminals do, it says that all is well when it is asked.
                if buffer[..n].windows(4).any(|w| w == b"\x1b[5n") {
                    let _ = answers.lock().expect("as above").write_all(b"\x1b[0n");
                }
            }
        });
        Self { seen, keyboard, child, master: pair.master, began }
    }

    /// What is on the screen.
    pub fn text(&self) -> String {
        self.seen.lock().expect("as above").parser.screen().contents()
    }

    /// Everything that was written, escape sequences and all.
    pub fn bytes(&self) -> Vec<u8> {
        self.seen.lock().expect("as above").bytes.clone()
    }

    /// When which part of it came, as text; whole characters only.
    pub fn pieces(&self) -> Vec<(Duration, String)> {
        let seen = self.seen.lock().expect("as above");
        let mut from = 0;
        let mut out = Vec::new();
        for (at, to) in &seen.times {
            let part = &seen.bytes[from..*to];
            let whole = std::str::from_utf8(part).map_or_else(|e| e.valid_up_to(), str::len);
            out.push((*at, String::from_utf8_lossy(&part[..whole]).into_owned()));
            from += whole;
        }
        out
    }

    /// Whether the text cursor is hidden, and whether the alternate screen is shown.
    pub fn modes(&self) -> (bool, bool) {
        let seen = self.seen.lock().expect("as above");
        (seen.parser.screen().hide_cursor(), seen.parser.screen().alternate_screen())
    }

    /// Waits until a condition on the screen holds.
    pub fn until(&self, what: &str, holds: impl Fn(&str) -> bool) {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if holds(&self.text()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("never seen: {what}\n{}", self.text());
    }

    /// Waits until a text is on the screen.
    pub fn wait_for(&self, wanted: &str) {
        self.until(wanted, |text| text.contains(wanted));
    }

    /// Waits until a text is no longer on the screen.
    pub fn wait_gone(&self, unwanted: &str) {
        self.until(&format!("the end of {unwanted}"), |text| !text.contains(unwanted));
    }

    /// Waits until nothing has changed for a while.
    pub fn settle(&self) {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if self.seen.lock().expect("as above").last.elapsed() > Duration::from_millis(400) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Types.
    pub fn press(&self, keys: &str) {
        let mut keyboard = self.keyboard.lock().expect("as above");
        keyboard.write_all(keys.as_bytes()).and_then(|()| keyboard.flush()).expect("the program reads keys");
    }

    /// Gives the terminal another size.
    pub fn resize(&self, cols: u16, rows: u16) {
        self.seen.lock().expect("as above").parser.screen_mut().set_size(cells(rows), cells(cols));
        self.master.resize(size(cols, rows)).expect("it can be resized");
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.process_id().expect("a process")
    }

    /// Waits for its end.
    pub fn end(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                // What it wrote last may still be on its way.
                std::thread::sleep(Duration::from_millis(100));
                return status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not end\n{}", self.text());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}
