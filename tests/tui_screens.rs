//! Every pane and state at three sizes, as text; and the styles that carry meaning.

mod fixture;

use fixcon::session::{Snapshot, Tone};
use fixcon::tui::state::{Pane, Screen, State};
use fixcon::tui::theme::{Depth, Look, Theme};
use fixcon::tui::update::{Input, update};
use fixcon::tui::view;
use fixture::{accepted, comparing, done, localized, opening, press, state, type_in};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];

fn draw(state: &State) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(state.size.width, state.size.height)).expect("a test terminal");
    terminal
        .draw(|frame| {
            view::draw(state, frame.buffer_mut());
        })
        .expect("it draws");
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let width = buffer.area.width as usize;
    let rows = buffer.content.chunks(width).map(|row| row.iter().map(|c| c.symbol()).collect::<String>().trim_end().to_string());
    rows.collect::<Vec<_>>().join("\n")
}

/// The place where a text begins.
fn find(buffer: &Buffer, wanted: &str) -> (u16, u16) {
    for y in 0..buffer.area.height {
        for x in 0..buffer.area.width {
            let mut here = String::new();
            let mut at = x;
            while here.len() < wanted.len() && at < buffer.area.width {
                here.push_str(buffer[(at, y)].symbol());
                at += 1;
            }
            if here.starts_with(wanted) {
                return (x, y);
            }
        }
    }
    panic!("'{wanted}' is not on the screen:\n{}", text(buffer));
}

fn at_all_sizes(name: &str, make: impl Fn(u16, u16) -> State) {
    for (width, height) in SIZES {
        insta::assert_snapshot!(format!("{name}-{width}x{height}"), text(&draw(&make(width, height))));
    }
}

fn with(snapshot: fn() -> Snapshot, keys: &'static [&'static str]) -> impl Fn(u16, u16) -> State {
    move |width, height| {
        let mut state = state(snapshot(), width, height);
        press(&mut state, keys);
        state
    }
}

#[test]
fn the_list_of_demonstrations() {
    at_all_sizes("demos", |w, h| {
        let mut state = state(Snapshot::default(), w, h);
        state.screen = Screen::Demos;
        press(&mut state, &["down"]);
        state
    });
}

#[test]
fn a_case_while_it_opens() {
    at_all_sizes("opening", with(opening, &[]));
}

#[test]
fn a_case_while_images_are_compared() {
    at_all_sizes("comparing", with(comparing, &[]));
}

#[test]
fn a_suspect_with_its_proposal() {
    at_all_sizes("localized", with(localized, &[]));
}

#[test]
fn every_pane_by_itself_on_a_small_screen() {
    for (i, pane) in Pane::ALL.iter().enumerate().skip(1) {
        let mut state = state(localized(), 80, 24);
        for _ in 0..i {
            press(&mut state, &["tab"]);
        }
        assert_eq!(state.focus, *pane);
        insta::assert_snapshot!(format!("pane-{}-80x24", pane.name()), text(&draw(&state)));
    }
}

#[test]
fn the_log_takes_the_place_of_the_layer() {
    at_all_sizes("log", with(localized, &["shift-tab"]));
}

#[test]
fn after_a_repair_and_at_the_end() {
    at_all_sizes("accepted", with(accepted, &[]));
    at_all_sizes("done", with(done, &[]));
}

#[test]
fn help_palette_and_questions() {
    at_all_sizes("help", with(localized, &["?"]));
    at_all_sizes("palette", |w, h| {
        let mut state = state(localized(), w, h);
        press(&mut state, &[":"]);
        type_in(&mut state, "susp");
        state
    });
    at_all_sizes("reject", with(localized, &["r"]));
    at_all_sizes("confirm-quit", with(accepted, &["q"]));
    at_all_sizes("search", |w, h| {
        let mut state = state(localized(), w, h);
        press(&mut state, &["/"]);
        type_in(&mut state, "qlinear");
        state
    });
}

#[test]
fn a_terminal_that_is_too_small_says_so() {
    for (width, height) in [(1, 1), (2, 5), (10, 4), (39, 30), (80, 9)] {
        let mut state = state(localized(), 120, 40);
        update(&mut state, Input::Resize(width, height));
        let buffer = draw(&state);
        if width >= 10 {
            assert!(text(&buffer).contains("fixcon"), "{width}x{height}: {}", text(&buffer));
        }
        // And back.
        update(&mut state, Input::Resize(120, 40));
        assert!(text(&draw(&state)).contains("LH-PADS"));
    }
}

#[test]
fn every_size_draws_without_a_panic() {
    for width in (40..220).step_by(23) {
        for height in (10..70).step_by(11) {
            for snapshot in [opening, comparing, localized, done] {
                let mut state = state(snapshot(), width, height);
                draw(&state);
                for keys in [&["tab"][..], &["tab", "+"], &["?"], &["esc", ":"], &["esc", "enter", "z"]] {
                    press(&mut state, keys);
                    draw(&state);
                }
            }
        }
    }
}

#[test]
fn the_fault_is_where_the_eye_falls_first() {
    let state = state(localized(), 120, 40);
    let buffer = draw(&state);
    let theme = Theme::default();
    let proposed = theme.style(fixcon::tui::theme::Role::Proposed);
    let (_, y) = find(&buffer, "● Conv 3×3 /2 dw");
    let x = (0..120).find(|x| buffer[(*x, y)].symbol() == "±").expect("the sign of a proposal");
    assert_eq!(buffer[(x, y)].fg, proposed.fg.expect("a colour"));
    assert!(buffer[(x, y)].modifier.contains(Modifier::BOLD));
    // The cursor is on it.
    assert_eq!(buffer[(1, y)].symbol(), "▶");
    assert_eq!(buffer[(5, y)].bg, theme.style(fixcon::tui::theme::Role::Selected).bg.expect("a ground"));
    // Clean rows are quiet.
    let (x, y) = find(&buffer, "=");
    assert_eq!(buffer[(x, y)].fg, theme.style(fixcon::tui::theme::Role::Faint).fg.expect("a colour"));
    // What goes is red, what comes is green.
    let (x, y) = find(&buffer, "- pads");
    assert_eq!(buffer[(x, y)].fg, theme.style(fixcon::tui::theme::Role::Bad).fg.expect("a colour"));
    let (x, y) = find(&buffer, "+ pads");
    assert_eq!(buffer[(x, y)].fg, theme.style(fixcon::tui::theme::Role::Good).fg.expect("a colour"));
}

#[test]
fn a_key_that_does_nothing_now_is_faint_and_says_why_when_pressed() {
    let mut state = state(comparing(), 120, 40);
    press(&mut state, &["a"]);
    assert!(state.toast.as_ref().is_some_and(|t| t.tone == Tone::Warning && t.text.contains("not looked for")), "{:?}", state.toast);
    assert!(text(&draw(&state)).contains("faults were not looked for yet"));
}

#[test]
fn without_colour_nothing_is_coloured_and_signs_remain() {
    let mut state = state(localized(), 120, 40);
    state.theme = Theme { look: Look::Dark, depth: Depth::Mono, ascii: false };
    let buffer = draw(&state);
    assert!(buffer.content.iter().all(|c| c.fg == Color::Reset && c.bg == Color::Reset));
    let shown = text(&buffer);
    for sign in ["±", "?", "=", "≠", "▶"] {
        assert!(shown.contains(sign), "{sign}");
    }
}

#[test]
fn in_ascii_everything_is_ascii() {
    for snapshot in [opening, comparing, localized, accepted, done] {
        let mut state = state(snapshot(), 120, 40);
        state.theme.ascii = true;
        for _ in 0..5 {
            press(&mut state, &["tab"]);
            assert!(draw(&state).content.iter().all(|c| c.symbol().is_ascii()));
        }
        press(&mut state, &["esc", "?"]);
        assert!(draw(&state).content.iter().all(|c| c.symbol().is_ascii()));
    }
    let mut state = state(localized(), 80, 24);
    state.theme.ascii = true;
    insta::assert_snapshot!("ascii-80x24", text(&draw(&state)));
}
