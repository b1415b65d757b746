//! Every pane and state at three sizes, as text; and the styles that carry meaning.

mod fixture;

use fixcon::localize::Outcome;
use fixcon::session::{Command, Flip, Images, Load, Sign, Snapshot, Standing, Tone, Work};
use fixcon::tui::state::{Effect, Pane, Screen, State};
use fixcon::tui::theme::{Depth, Look, Theme};
use fixcon::tui::update::{Input, update};
use fixcon::tui::view;
use fixture::{accepted, comparing, done, engine, localized, opening, press, state, type_in};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::style::{Color, Modifier};
use std::sync::Arc;
use std::time::Duration;

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

const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// The text, and below it the style of every cell as a letter, with what the letters mean.
fn styled(buffer: &Buffer) -> String {
    let mut styles: Vec<String> = Vec::new();
    let mut grid = String::new();
    for row in buffer.content.chunks(buffer.area.width as usize) {
        let mut line = String::new();
        for cell in row {
            let style = format!("{:?} on {:?} {:?}", cell.fg, cell.bg, cell.modifier);
            let blank = cell.symbol() == " " && cell.bg == Color::Reset && cell.modifier.is_empty();
            if blank || style == "Reset on Reset NONE" {
                line.push(if blank { ' ' } else { '.' });
                continue;
            }
            let at = styles.iter().position(|s| *s == style).unwrap_or_else(|| {
                styles.push(style);
                styles.len() - 1
            });
            line.push(LETTERS.chars().nth(at).unwrap_or('#'));
        }
        grid.push_str(line.trim_end());
        grid.push('\n');
    }
    let legend: String = styles.iter().zip(LETTERS.chars()).map(|(s, c)| format!("{c}  {s}\n")).collect();
    format!("{}\n\n{grid}\n{legend}", text(buffer))
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
        insta::assert_snapshot!(format!("{name}-{width}x{height}"), styled(&draw(&make(width, height))));
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
fn every_pane_by_itself() {
    for (i, pane) in Pane::ALL.iter().enumerate() {
        at_all_sizes(&format!("pane-{}", pane.name()), |w, h| {
            let mut state = state(localized(), w, h);
            (0..i).for_each(|_| drop(press(&mut state, &["tab"])));
            press(&mut state, &["+"]);
            assert_eq!(state.focus, *pane);
            state
        });
    }
}

#[test]
fn every_pane_with_the_keys_and_the_proposal_below_on_a_small_screen() {
    for (i, pane) in Pane::ALL.iter().enumerate().skip(1) {
        let mut state = state(localized(), 80, 24);
        (0..i).for_each(|_| drop(press(&mut state, &["tab"])));
        insta::assert_snapshot!(format!("tab-{}-80x24", pane.name()), styled(&draw(&state)));
    }
}

#[test]
fn what_goes_wrong_is_said_where_it_belongs() {
    at_all_sizes("model-unreadable", |w, h| {
        let mut snapshot = opening();
        snapshot.source = Load::Ready { nodes: 61, parameters: 245_000, producer: "tf2onnx 1.16".into() };
        snapshot.target = Load::Failed("target.onnx: node '/b3/dw/Conv', attribute pads: 3 numbers where 4 are needed".into());
        state(snapshot, w, h)
    });
    at_all_sizes("target-does-not-run", |w, h| {
        let mut snapshot = localized();
        snapshot.does_not_run = Some("node '/b7/Conv': there is no operator QLinearConv".into());
        snapshot.images.flips = Default::default();
        state(snapshot, w, h)
    });
    at_all_sizes("error", |w, h| {
        let mut state = state(localized(), w, h);
        let mut snapshot = localized();
        snapshot.error = Some("not saved: cases/a/target.repaired.onnx: the disk is full".into());
        engine(&mut state, snapshot);
        state
    });
    // A key that can do nothing now says why.
    at_all_sizes("not-now", with(comparing, &["a"]));
}

#[test]
fn a_clean_pair_says_so() {
    at_all_sizes("clean", |w, h| {
        let mut snapshot = localized();
        let mut found = fixture::findings();
        (found.outcome, found.suspects) = (Outcome::Clean, Vec::new());
        let mut sheet = fixture::sheet(true);
        sheet.rows.iter_mut().filter(|r| r.sign == Sign::Faulty).for_each(|r| (r.sign, r.isolated) = (Sign::Clean, Some(2e-7)));
        snapshot.findings = Some(Arc::new(found));
        snapshot.sheet = Some(Arc::new(sheet));
        snapshot.proposals = Default::default();
        snapshot.detail = None;
        // Where no label differs, those that come closest to it can be looked at.
        let agreeing = |flip: &Flip| Flip { target: flip.source.clone(), trail: Vec::new(), ..flip.clone() };
        let closest = Arc::new(localized().images.flips.iter().take(20).map(agreeing).collect());
        snapshot.images = Images { done: 120, of: 120, closest, ..Images::default() };
        state(snapshot, w, h)
    });
}

/// A target that computes in int8: labels differ, and nothing is wrong.
fn quantised() -> Snapshot {
    let mut snapshot = localized();
    let mut found = fixture::findings();
    (found.outcome, found.suspects, found.floor, found.threshold) = (Outcome::Clean, Vec::new(), 0.021, 0.08);
    found.notes = vec!["the target computes in quantisation: nine of ten layers lose up to 2.10 % each".into()];
    let mut sheet = fixture::sheet(true);
    (sheet.precision, sheet.floor) = (fixcon::align::Precision::Quantized, Some((0.021, 0.08)));
    for (i, row) in sheet.rows.iter_mut().enumerate().skip(1) {
        (row.sign, row.isolated) = (Sign::Clean, Some(0.001 * (i * 7 % 31) as f32));
    }
    snapshot.findings = Some(Arc::new(found));
    snapshot.sheet = Some(Arc::new(sheet));
    snapshot.proposals = Default::default();
    snapshot.detail = None;
    snapshot.images.flipped = 3;
    snapshot
}

#[test]
fn an_image_pane_that_fills_a_small_screen_lists_all_flipped_images() {
    let mut state = state(accepted(), 80, 24);
    press(&mut state, &["tab", "+"]);
    let shown = text(&draw(&state));
    assert!(shown.contains("✓ p0051") && shown.contains("13 more"), "{shown}");
    press(&mut state, &["end"]);
    assert!(text(&draw(&state)).contains("p0561") && !text(&draw(&state)).contains(" more "));
}

#[test]
fn what_quantisation_loses_is_no_fault() {
    at_all_sizes("quantised", with(quantised, &[]));
    for keys in [&["tab"][..], &["tab", "tab", "tab"]] {
        let mut state = state(quantised(), 80, 24);
        press(&mut state, keys);
        let shown = text(&draw(&state));
        assert!(shown.contains("no fault") && !shown.contains("✗"), "{shown}");
        insta::assert_snapshot!(format!("quantised-{}-80x24", state.focus.name()), styled(&draw(&state)));
    }
}

#[test]
fn a_long_list_of_demonstrations_says_what_is_above_and_below() {
    let mut state = state(Snapshot::default(), 80, 24);
    state.screen = Screen::Demos;
    state.demos = (1..=30).map(|i| fixcon::tui::Demo { title: format!("case {i}"), ..state.demos[0].clone() }).collect();
    let shown = |state: &State| text(&draw(state));
    assert!(shown(&state).contains("↓ 10 more below") && !shown(&state).contains("above"));
    press(&mut state, &["pgdn", "down"]);
    assert!(shown(&state).contains("↑ 1 more above   ↓ 9 more below"), "{}", shown(&state));
    press(&mut state, &["end"]);
    assert!(shown(&state).contains("↑ 10 more above") && !shown(&state).contains("below"));
    assert!(shown(&state).lines().any(|l| l.contains("▶") && l.contains("case 30")));
    press(&mut state, &["home"]);
    assert!(shown(&state).lines().any(|l| l.contains("▶") && l.contains("case 1 ")));
}

#[test]
fn what_became_of_a_proposal() {
    for (name, standing) in [
        ("rejected", Standing::Rejected("the converter means it".into())),
        ("skipped", Standing::Skipped),
        ("taken-back", Standing::Undone),
    ] {
        at_all_sizes(name, |w, h| {
            let mut all = fixture::proposals();
            all[0].standing = standing.clone();
            let mut snapshot = localized();
            snapshot.proposals = Arc::new(all);
            state(snapshot, w, h)
        });
    }
    at_all_sizes("trying", |w, h| {
        let mut snapshot = localized();
        snapshot.work = Some(Work {
            name: "trying the repair on all images",
            done: 30,
            of: 120,
            left: Some(Duration::from_secs(3)),
            keeps_labels: false,
        });
        state(snapshot, w, h)
    });
    at_all_sizes("evaluating", |w, h| {
        let mut snapshot = accepted();
        snapshot.work =
            Some(Work { name: "running the target again", done: 12, of: 120, left: Some(Duration::from_secs(1)), keeps_labels: false });
        state(snapshot, w, h)
    });
}

#[test]
fn the_graph_in_its_forms() {
    at_all_sizes("unfolded", with(localized, &["Z"]));
    at_all_sizes("nodes-of-a-region", with(localized, &["enter", "m"]));
    at_all_sizes("names", with(localized, &["<"]));
    at_all_sizes("consumers", with(localized, &["(", ")", ")"]));
}

#[test]
fn the_other_questions() {
    at_all_sizes("edit", with(localized, &["e"]));
    at_all_sizes("own-edit", with(localized, &["E"]));
    at_all_sizes("open", with(localized, &["o"]));
    at_all_sizes("hints", with(localized, &["H"]));
    at_all_sizes("resume", |w, h| {
        let mut snapshot = comparing();
        snapshot.images.done = 120;
        snapshot.work = None;
        snapshot.resumable = Some(("cases/a/target.fixcon.jsonl".into(), 1));
        state(snapshot, w, h)
    });
    at_all_sizes("light", with(localized, &["T"]));
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
fn help_begins_with_the_pane_that_has_the_keys() {
    for (i, pane) in Pane::ALL.iter().enumerate() {
        let mut state = state(localized(), 120, 40);
        (0..i).for_each(|_| drop(press(&mut state, &["tab"])));
        press(&mut state, &["?"]);
        let shown = text(&draw(&state));
        let first = shown.lines().nth(2).unwrap_or_default();
        assert!(first.contains(&format!("In this pane: {}", pane.name())), "{shown}");
        insta::assert_snapshot!(format!("help-{}-120x40", pane.name()), shown);
    }
}

#[test]
fn one_region_alone() {
    at_all_sizes("region", with(localized, &["i"]));
    at_all_sizes("save-as", with(accepted, &["S"]));
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
    insta::assert_snapshot!("ascii-80x24", styled(&draw(&state)));
}

#[test]
fn a_choice_of_edges_says_which_keys_it_takes() {
    let shown = text(&draw(&with(localized, &[")"])(80, 24)));
    let last = shown.lines().last().unwrap();
    assert!(last.contains("enter goes there") && last.contains("esc goes back") && !last.contains("accept"), "{shown}");
}

#[test]
fn what_does_not_fit_a_line_goes_on_below_and_nothing_is_cut() {
    let long = "pads [1, 1, 1, 1] → [0, 0, 1, 1] in /features/block_12/expanded/depthwise/Conv".to_string();
    let mut snapshot = accepted();
    let mut all = snapshot.proposals.to_vec();
    all[0].title = long.clone();
    snapshot.proposals = Arc::new(all.clone());
    let words = |shown: &str| shown.split_whitespace().collect::<Vec<_>>().join(" ").replace(" ││ ", " ").replace(" │ │ ", " ");
    let mut small = state(snapshot.clone(), 80, 24);
    let shown = text(&draw(&small));
    let brief = shown.lines().skip_while(|l| !l.starts_with("──")).collect::<Vec<_>>().join(" ");
    assert!(words(&brief).contains("/features/block_12/expanded/depthwise/Conv") && !brief.contains('…'), "{shown}");
    assert!(words(&brief).contains("(TensorFlow's SAME with stride 2)"), "{shown}");
    // What is said takes more lines for once.
    press(&mut small, &["U"]);
    small.say(format!("tried: {}", "as many words as it takes ".repeat(6)), Tone::Plain);
    let shown = text(&draw(&small));
    let last: Vec<&str> = shown.lines().rev().take(3).collect();
    assert!(last.iter().all(|l| l.contains("takes")) && !last[0].contains('…'), "{shown}");
    // At the end.
    let mut end = done();
    let mut decided = end.decided.to_vec();
    decided[0].proposal.title = long;
    end.decided = Arc::new(decided);
    end.saved = Some(format!("a/very/{}target.repaired.onnx", "long/".repeat(16)).into());
    let shown = text(&draw(&state(end, 80, 24)));
    let window: Vec<&str> = shown.lines().skip_while(|l| !l.contains("╭ done")).take_while(|l| !l.contains("╰─")).collect();
    assert!(window.iter().all(|l| !l.contains('…')) && window.concat().contains("target.repaired.onnx"), "{shown}");
}

#[test]
fn every_hint_fits_a_small_screen() {
    for snapshot in [opening, comparing, localized, accepted, done] {
        let mut state = state(snapshot(), 80, 24);
        press(&mut state, &["esc", "H"]);
        let shown = text(&draw(&state));
        let hint = shown.lines().rev().nth(1).unwrap_or_default();
        assert!(hint.starts_with(" → ") && !hint.contains('…'), "{shown}");
    }
}

#[test]
fn a_pair_that_was_pinned_is_marked_and_the_key_bar_leads_through_pinning() {
    let mut snapshot = localized();
    let mut sheet = fixture::sheet(true);
    for (row, pair) in [(3, true), (8, false)] {
        sheet.rows[row].said.push(fixcon::session::Said { pair, source: "a".into(), target: "b".into() });
    }
    snapshot.sheet = Some(Arc::new(sheet));
    at_all_sizes("pinned", |w, h| {
        let mut state = state(snapshot.clone(), w, h);
        press(&mut state, &["P"]);
        state
    });
    let mut state = state(snapshot, 80, 24);
    press(&mut state, &["tab", "tab"]);
    let shown = text(&draw(&state));
    assert!(shown.contains("pair forbidden by hand: a (source) ≠ b (target); U takes it back"), "{shown}");
}

#[test]
fn a_recipe_that_goes_with_the_model_is_named_at_the_end() {
    let mut snapshot = done();
    snapshot.other_recipe = true;
    assert!(text(&draw(&state(snapshot.clone(), 80, 24))).contains("saving writes it beside the model"));
    snapshot.saved_recipe = Some("cases/a/target.repaired.recipe.toml".into());
    at_all_sizes("done-recipe", |w, h| state(snapshot.clone(), w, h));
}

#[test]
fn a_sample_is_called_one() {
    let mut snapshot = localized();
    assert!(text(&draw(&state(snapshot.clone(), 120, 40))).contains("breaks none of 16     tried on 32 of 120"));
    let mut all = snapshot.proposals.to_vec();
    (all[0].flips, all[0].breaks) = (Some((34, 2)), Some((1, 86)));
    snapshot.proposals = Arc::new(all);
    assert!(text(&draw(&state(snapshot, 120, 40))).contains("flipped 34 → 2     breaks 1 of 86     tried on all 120"));
}

#[test]
fn in_ascii_an_arrow_is_no_comparison() {
    let mut state = state(accepted(), 120, 40);
    state.theme.ascii = true;
    let shown = text(&draw(&state));
    assert!(shown.contains("34-> 2 of 120") && !shown.contains("34 > 2"), "{shown}");
}

#[test]
fn the_selected_row_can_be_read_on_any_background() {
    // Whatever the terminal's own colours are: both sides of the pair are ours, or the row is reversed.
    for depth in [Depth::True, Depth::Indexed, Depth::Sixteen, Depth::Mono] {
        for keys in [&[][..], &["tab", "+"], &[":"], &["tab", "tab"]] {
            let mut state = state(localized(), 80, 24);
            state.theme.depth = depth;
            press(&mut state, keys);
            for cell in &draw(&state).content {
                let ours = cell.bg == Color::Reset || cell.fg != Color::Reset;
                assert!(ours, "{depth:?} {keys:?} {cell:?}");
            }
        }
    }
}

#[test]
fn the_proposal_takes_the_rows_that_the_graphs_leave_empty() {
    let mut snapshot = localized();
    let mut sheet = fixture::sheet(true);
    sheet.rows.truncate(10);
    let mut all = snapshot.proposals.to_vec();
    let diff = (0..9).map(|i| fixcon::session::DiffLine::Added(format!("line {i}"))).collect();
    (all[0].title, all[0].diff) = (all[0].words.clone(), diff);
    (snapshot.sheet, snapshot.proposals) = (Some(Arc::new(sheet)), Arc::new(all));
    let mut state = state(snapshot.clone(), 80, 24);
    // Whatever comes next, nothing moves.
    for _ in 0..3 {
        engine(&mut state, snapshot.clone());
        let shown = text(&draw(&state));
        assert!(shown.contains("● input input") && shown.contains("+ line 8") && !shown.contains(" more"), "{shown}");
    }
    // In another pane there is a third of the rows.
    press(&mut state, &["tab"]);
    assert!(text(&draw(&state)).contains(" more"));
}

#[test]
fn a_proposal_that_does_harm_is_not_called_safe() {
    let mut all = fixture::proposals();
    (all[0].flips, all[0].breaks) = (Some((16, 16)), Some((16, 16)));
    let mut snapshot = localized();
    snapshot.proposals = Arc::new(all);
    let mut state = state(snapshot, 120, 40);
    let buffer = draw(&state);
    assert!(!text(&buffer).contains(" safe "), "{}", text(&buffer));
    let place = find(&buffer, "breaks 16 of 16");
    assert_eq!(Some(buffer[place].fg), Theme::default().style(fixcon::tui::theme::Role::Warn).fg);
    let accepted = |effects: &[Effect]| effects.iter().any(|e| matches!(e, Effect::Engine(Command::Accept(_))));
    // Pressed twice in haste, the key that asks does not answer as well.
    assert!(!accepted(&press(&mut state, &["a", "a"])));
    insta::assert_snapshot!("harmful-120x40", styled(&draw(&state)));
    assert!(accepted(&press(&mut state, &["y"])));
}

#[test]
fn the_list_says_its_own_keys_first_and_the_bar_offers_what_is_possible() {
    let mut state = state(Snapshot::default(), 80, 24);
    state.screen = Screen::Demos;
    assert!(text(&draw(&state)).contains("T theme"));
    press(&mut state, &["?"]);
    let shown = text(&draw(&state));
    let (list, signs) = (shown.find("In this list"), shown.find("Signs between"));
    assert!(list.is_some() && list < signs.or(Some(usize::MAX)), "{shown}");
    let mut without = localized();
    without.proposals = Arc::default();
    let mut state = fixture::state(without, 120, 40);
    press(&mut state, &["esc"]);
    let shown = text(&draw(&state));
    assert!(!shown.contains("a accept") && shown.contains("t take from source"), "{shown}");
}

#[test]
fn a_click_on_the_bottom_line_does_what_the_key_there_does() {
    for (width, height) in SIZES {
        let mut state = state(localized(), width, height);
        let bottom = text(&draw(&state)).lines().last().expect("a line").to_string();
        let at = |word: &str| bottom[..bottom.find(word).expect("it is offered")].chars().count() as u16;
        let click = |state: &mut State, column| {
            let (kind, modifiers) = (MouseEventKind::Down(MouseButton::Left), KeyModifiers::NONE);
            update(state, Input::Mouse(MouseEvent { kind, column, row: height - 1, modifiers }))
        };
        assert!(matches!(click(&mut state, at("a accept"))[..], [Effect::Engine(Command::Accept(1))]), "{bottom}");
        assert!(click(&mut state, at("a accept") + "a accept".len() as u16).is_empty(), "between two keys is nothing");
        click(&mut state, at("help"));
        assert!(state.overlay.is_some());
    }
}
