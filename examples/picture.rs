//! Pictures of the screen for the documentation, from the real engine on a real case and the real drawing:
//!
//! ```text
//! cargo run --release --example picture -- sample_models/cases/1-mobilenet-pads --keys a --size 160x45 --out docs/repaired.svg
//! ```
//!
//! Keys are pressed one after the other, each once the engine has nothing left to do. Nothing is written but the picture.

use anyhow::{Context, Result, bail};
use clap::Parser;
use fixcon::session::{Engine, EngineOptions, Snapshot};
use fixcon::tui::commands::KeyMap;
use fixcon::tui::derived::Prepared;
use fixcon::tui::picture::Picture;
use fixcon::tui::state::{Effect, Screen, State};
use fixcon::tui::theme::{Look, Theme};
use fixcon::tui::update::{Input, update};
use fixcon::tui::view;
use ratatui::buffer::{Buffer, Cell};
use ratatui::crossterm::event::{KeyEvent, KeyModifiers};
use ratatui::layout::Size;
use ratatui::style::{Color, Modifier};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

#[derive(Parser)]
struct Args {
    /// The case; without one the list of demonstrations is drawn
    case: Option<PathBuf>,
    /// Columns and rows
    #[arg(long, default_value = "160x45")]
    size: String,
    /// Keys to press, separated by spaces
    #[arg(long, default_value = "")]
    keys: String,
    /// On a light background
    #[arg(long)]
    light: bool,
    /// Where the picture goes
    #[arg(long)]
    out: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let (width, height) = args.size.split_once('x').context("--size is COLUMNSxROWS")?;
    let theme = Theme { look: if args.light { Look::Light } else { Look::Dark }, ..Theme::default() };
    let demos = fixcon::cli::demos().into_iter();
    let demos = demos.map(|d| fixcon::tui::Demo { path: d.case, title: d.title, about: d.about.unwrap_or_default() }).collect();
    let mut state = State::new(Size::new(width.parse()?, height.parse()?), theme, KeyMap::default(), demos);
    let (outbox, inbox) = channel();
    let engine = Engine::start(EngineOptions::default(), move |s| drop(outbox.send(s)))?;
    if let Some(case) = args.case {
        let copy = copy(&case)?;
        state.screen = Screen::Case;
        engine.send(fixcon::session::Command::Open(copy.path().join(case.file_name().context("a case has a name")?)));
        settle(&mut state, &engine, &inbox)?;
        for key in args.keys.split_whitespace() {
            let key: fixcon::tui::keys::Key = key.parse().map_err(anyhow::Error::msg)?;
            let modifiers = if key.ctrl { KeyModifiers::CONTROL } else { KeyModifiers::NONE };
            let effects = update(&mut state, Input::Key(KeyEvent::new(key.code, modifiers)));
            obey(&mut state, &engine, effects);
            settle(&mut state, &engine, &inbox)?;
        }
    }
    let mut buffer = Buffer::empty(state.area());
    view::draw(&state, &mut buffer);
    std::fs::write(&args.out, svg(&buffer, args.light)).with_context(|| args.out.display().to_string())?;
    Ok(())
}

/// The case in a folder of its own, so that its log and model are written there; all else stays where it is.
fn copy(case: &std::path::Path) -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    let file = if case.is_dir() { case.join("case.toml") } else { case.to_path_buf() };
    let mut read = fixcon::dataset::CaseFile::open(&file)?;
    let to = folder.path().join(case.file_name().context("a case has a name")?);
    std::fs::create_dir_all(&to)?;
    let target = read.target.model.clone().context("the case names no target")?;
    std::fs::copy(&target, to.join("target.onnx"))?;
    read.target.model = Some("target.onnx".into());
    for path in [&mut read.source.model, &mut read.images.path, &mut read.images.labels, &mut read.images.truth].into_iter().flatten() {
        *path = std::fs::canonicalize(&*path)?;
    }
    std::fs::write(to.join("case.toml"), read.to_toml())?;
    Ok(folder)
}

fn obey(state: &mut State, engine: &Engine, effects: Vec<Effect>) {
    for effect in effects {
        match effect {
            Effect::Engine(command) => engine.send(command),
            Effect::Picture(path, size) => {
                let picture = Picture::new(&path, size, None);
                let more = update(state, Input::Picture(picture));
                obey(state, engine, more);
            }
            _ => {}
        }
    }
}

/// Takes in what the engine says until it has nothing left to do.
fn settle(state: &mut State, engine: &Engine, inbox: &Receiver<Arc<Snapshot>>) -> Result<()> {
    loop {
        let quiet = state.snapshot.is_settled() && state.snapshot.findings.is_some();
        match inbox.recv_timeout(if quiet { Duration::from_millis(1500) } else { Duration::from_secs(600) }) {
            Ok(snapshot) => {
                let before = Prepared { snapshot: state.snapshot.clone(), derived: state.derived.clone() };
                let effects = update(state, Input::Engine(Prepared::new(snapshot, &before)));
                obey(state, engine, effects);
            }
            Err(_) if quiet => return Ok(()),
            Err(_) => bail!("the engine says nothing more: {:?}", state.snapshot.error),
        }
    }
}

const WIDTH: f32 = 8.4;
const HEIGHT: f32 = 18.0;

/// The screen as text of an SVG: it can be searched and read aloud.
fn svg(buffer: &Buffer, light: bool) -> String {
    let (ground, ink) = if light { ("#ffffff", "#1f2328") } else { ("#16181d", "#d4d7dd") };
    let (w, h) = (f32::from(buffer.area.width) * WIDTH, f32::from(buffer.area.height) * HEIGHT);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w:.0} {h:.0}\" width=\"{w:.0}\" height=\"{h:.0}\" \
         font-family=\"ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{ground}\"/>\n"
    );
    for y in 0..buffer.area.height {
        let row: Vec<&Cell> = (0..buffer.area.width).map(|x| &buffer[(x, y)]).collect();
        grounds(&mut out, &row, y, ground, ink);
        texts(&mut out, &row, y, ground, ink);
    }
    out.push_str("</svg>\n");
    out
}

fn colours(cell: &Cell, ground: &str, ink: &str) -> (String, String) {
    let of = |c: Color, default: &str| match c {
        Color::Rgb(r, g, b) => format!("#{r:02x}{g:02x}{b:02x}"),
        _ => default.to_string(),
    };
    let (fg, bg) = (of(cell.fg, ink), of(cell.bg, ground));
    if cell.modifier.contains(Modifier::REVERSED) { (bg, fg) } else { (fg, bg) }
}

/// Backgrounds, and half cells, as rectangles: runs of one colour.
fn grounds(out: &mut String, row: &[&Cell], y: u16, ground: &str, ink: &str) {
    let top = f32::from(y) * HEIGHT;
    let mut paint = |x: usize, count: usize, top: f32, height: f32, colour: &str| {
        let (x, w) = (x as f32 * WIDTH, count as f32 * WIDTH);
        let _ = writeln!(out, "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{w:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>");
    };
    let mut x = 0;
    while x < row.len() {
        let (fg, bg) = colours(row[x], ground, ink);
        if row[x].symbol() == "▀" {
            paint(x, 1, top, HEIGHT / 2.0 + 0.5, &fg);
            paint(x, 1, top + HEIGHT / 2.0, HEIGHT / 2.0 + 0.5, &bg);
            x += 1;
            continue;
        }
        let end = (x..row.len()).find(|i| colours(row[*i], ground, ink).1 != bg || row[*i].symbol() == "▀").unwrap_or(row.len());
        if bg != ground {
            paint(x, end - x, top, HEIGHT, &bg);
        }
        x = end.max(x + 1);
    }
}

fn texts(out: &mut String, row: &[&Cell], y: u16, ground: &str, ink: &str) {
    let base = f32::from(y) * HEIGHT + 13.5;
    let mut x = 0;
    while x < row.len() {
        let style = |c: &Cell| (colours(c, ground, ink).0, c.modifier.intersection(Modifier::BOLD | Modifier::UNDERLINED));
        let blank = |c: &Cell| c.symbol() == " " || c.symbol() == "▀";
        if blank(row[x]) {
            x += 1;
            continue;
        }
        let first = style(row[x]);
        let end = (x..row.len()).find(|i| row[*i].symbol() == "▀" || (!blank(row[*i]) && style(row[*i]) != first)).unwrap_or(row.len());
        let text: String = row[x..end].iter().map(|c| c.symbol()).collect();
        let text = text.trim_end();
        let count = unicode_width::UnicodeWidthStr::width(text);
        let mut extra = String::new();
        if first.1.contains(Modifier::BOLD) {
            extra.push_str(" font-weight=\"bold\"");
        }
        if first.1.contains(Modifier::UNDERLINED) {
            extra.push_str(" text-decoration=\"underline\"");
        }
        // Renderers differ in whether spaces collapse.
        let escaped = text.replace(' ', "\u{a0}").replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{base:.1}\" fill=\"{}\" textLength=\"{:.1}\" lengthAdjust=\"spacingAndGlyphs\"{extra}>{escaped}</text>",
            x as f32 * WIDTH,
            first.0,
            count as f32 * WIDTH,
        );
        x = end;
    }
}
