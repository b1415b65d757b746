//! What keys, mouse and news do to the screen's state, and what is asked of the engine.

mod fixture;

use fixcon::session::{Command, LogLine, Standing, Tone, Work};
use fixcon::tui::commands::{Action, COMMANDS};
use fixcon::tui::layout::Panes;
use fixcon::tui::lines::Line;
use fixcon::tui::state::{Effect, Overlay, Pane, Screen};
use fixcon::tui::update::{Input, palette, update};
use fixture::{accepted, comparing, done, engine, localized, opening, press, proposals, state, type_in};
use ratatui::crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use std::sync::Arc;

fn commands(effects: &[Effect]) -> Vec<Command> {
    effects.iter().filter_map(|e| if let Effect::Engine(c) = e { Some(c.clone()) } else { None }).collect()
}

#[test]
fn the_first_suspect_comes_up_by_itself() {
    let mut state = state(comparing(), 120, 40);
    press(&mut state, &["down", "down"]);
    engine(&mut state, localized());
    assert_eq!(state.graph.row(), Some(8));
    assert_eq!(state.proposal().map(|p| p.id), Some(1));
}

#[test]
fn accepting_asks_the_engine_and_the_next_suspect_comes_up() {
    let mut state = state(localized(), 120, 40);
    assert!(commands(&press(&mut state, &["a"])).contains(&Command::Accept(1)));
    engine(&mut state, accepted());
    assert_eq!(state.suspect, 1);
    assert_eq!(state.graph.row(), Some(0));
    // What is accepted cannot be accepted again.
    press(&mut state, &["{"]);
    assert!(commands(&press(&mut state, &["a"])).is_empty());
    assert!(state.toast.is_some());
    assert!(commands(&press(&mut state, &["u"])).contains(&Command::Undo(Some(1))));
    // What was taken back is at hand again, and once the other is accepted it comes up by itself.
    press(&mut state, &["}"]);
    let with = |standings: [Standing; 2]| {
        let mut next = accepted();
        let mut all = proposals();
        let [first, other] = standings;
        let second = all.iter().position(|p| p.suspect == 1).expect("there are two suspects");
        (all[0].standing, all[second].standing) = (first, other);
        next.proposals = Arc::new(all);
        next
    };
    engine(&mut state, with([Standing::Undone, Standing::Open]));
    assert_eq!(state.suspect, 0);
    press(&mut state, &["}"]);
    engine(&mut state, with([Standing::Undone, Standing::Accepted]));
    assert_eq!(state.suspect, 0);
}

#[test]
fn a_rejection_takes_a_note_and_the_alternative_comes_up() {
    let mut state = state(localized(), 120, 40);
    press(&mut state, &["r"]);
    type_in(&mut state, "same thing, q and a are letters here");
    let sent = commands(&press(&mut state, &["enter"]));
    assert!(sent.contains(&Command::Reject(1, "same thing, q and a are letters here".into())), "{sent:?}");
    let mut all = proposals();
    all[0].standing = Standing::Rejected("same thing".into());
    let mut next = localized();
    next.proposals = Arc::new(all);
    engine(&mut state, next);
    assert_eq!(state.proposal().map(|p| p.id), Some(2));
    // Escape leaves a proposal as it was.
    press(&mut state, &["r", "x"]);
    assert!(commands(&press(&mut state, &["esc"])).is_empty());
    assert!(state.overlay.is_none());
}

#[test]
fn an_empty_note_is_fine() {
    let mut state = state(localized(), 120, 40);
    assert!(commands(&press(&mut state, &["r", "enter"])).contains(&Command::Reject(1, String::new())));
}

#[test]
fn suspects_and_images_are_stepped_through_in_a_circle() {
    let mut state = state(localized(), 120, 40);
    press(&mut state, &["}"]);
    assert_eq!((state.suspect, state.graph.row()), (1, Some(0)));
    press(&mut state, &["}"]);
    assert_eq!((state.suspect, state.graph.row()), (0, Some(8)));
    press(&mut state, &["["]);
    assert_eq!(state.image, 33);
    press(&mut state, &["]", "]"]);
    assert_eq!(state.image, 1);
}

#[test]
fn moving_onto_a_suspect_makes_it_the_one_at_hand() {
    let mut state = state(localized(), 120, 40);
    press(&mut state, &["home"]);
    assert_eq!(state.suspect, 1);
    press(&mut state, &["!"]);
    assert_eq!((state.suspect, state.graph.row()), (0, Some(8)));
}

#[test]
fn edges_are_followed_up_and_down() {
    let mut state = state(localized(), 120, 40);
    press(&mut state, &["("]);
    assert_eq!(state.graph.row(), Some(7));
    press(&mut state, &[")"]);
    assert_eq!(state.graph.row(), Some(8));
    // Two readers: one chooses.
    press(&mut state, &[")"]);
    assert!(matches!(&state.overlay, Some(Overlay::Choose { items, .. }) if items.len() == 2), "{:?}", state.overlay);
    press(&mut state, &["down", "enter"]);
    assert_eq!(state.graph.row(), Some(10));
}

#[test]
fn search_goes_as_one_types_and_escape_goes_back() {
    let mut state = state(localized(), 120, 40);
    press(&mut state, &["/"]);
    type_in(&mut state, "qlinear");
    let found = state.graph.row();
    assert_ne!(found, Some(8));
    press(&mut state, &["esc"]);
    assert_eq!(state.graph.row(), Some(8));
    // Verdicts and kinds are found too.
    press(&mut state, &["/"]);
    type_in(&mut state, "unchecked");
    press(&mut state, &["enter"]);
    assert_eq!(state.graph.row(), found);
    press(&mut state, &["/"]);
    type_in(&mut state, "lh-pads");
    press(&mut state, &["enter", "n"]);
    assert_eq!(state.graph.row(), Some(8));
    // In folded rows as well.
    press(&mut state, &["/"]);
    type_in(&mut state, "dw 96");
    press(&mut state, &["enter"]);
    assert_eq!(state.graph.row(), Some(14));
    press(&mut state, &["n"]);
    assert_eq!(state.graph.row(), Some(20));
    press(&mut state, &["N"]);
    assert_eq!(state.graph.row(), Some(14));
}

#[test]
fn a_search_counts_its_matches_and_typing_leaves_nothing_behind() {
    use fixcon::tui::search::standing;
    let mut state = state(localized(), 120, 24);
    let (lines, cursor) = (state.graph.lines.clone(), state.graph.cursor);
    // From any pane: what is found has to be seen.
    press(&mut state, &["tab", "/"]);
    assert_eq!(state.focus, Pane::Graph);
    // Each letter finds something in another fold, and opens that alone.
    type_in(&mut state, "c");
    type_in(&mut state, "lip 0");
    assert_eq!(standing(&state), "4 of 10");
    press(&mut state, &["down", "down", "up"]);
    assert_eq!(standing(&state), "5 of 10");
    // What is shown beside does not run along.
    assert_eq!(state.suspect, 0);
    type_in(&mut state, "xyz");
    assert_eq!((state.graph.cursor, standing(&state).as_str()), (cursor, "no match"));
    press(&mut state, &["esc"]);
    assert_eq!((state.graph.lines.clone(), state.graph.cursor, state.search.as_str()), (lines, cursor, ""));
    // Kept, gone round the end, and taken up again by an empty search.
    press(&mut state, &["/"]);
    type_in(&mut state, "gemm");
    press(&mut state, &["enter"]);
    let row = state.graph.row();
    press(&mut state, &["g", "/", "enter"]);
    assert_eq!((state.graph.row(), state.search.as_str()), (row, "gemm"));
    press(&mut state, &["/"]);
    type_in(&mut state, "nowhere");
    press(&mut state, &["enter"]);
    assert!(state.toast.as_ref().is_some_and(|t| t.text.contains("nowhere")));
    assert_eq!(state.graph.row(), row);
    press(&mut state, &["esc"]);
    assert_eq!(state.search, "");
}

#[test]
fn a_choice_of_edges_shows_where_each_leads_and_escape_goes_back() {
    let mut state = state(localized(), 120, 40);
    press(&mut state, &[")"]);
    assert_eq!(state.graph.row(), Some(9));
    press(&mut state, &[")"]);
    assert_eq!(state.graph.row(), Some(10));
    press(&mut state, &["esc"]);
    assert_eq!(state.graph.row(), Some(8));
    press(&mut state, &[")", ")", "enter"]);
    assert_eq!((state.graph.row(), state.overlay.is_none()), (Some(10), true));
}

#[test]
fn a_proposal_that_was_written_comes_up_and_what_if_tells_what_it_would_do() {
    let mut state = state(localized(), 120, 40);
    let mut snapshot = (*state.snapshot).clone();
    let mut all = snapshot.proposals.to_vec();
    all.push(fixcon::session::Proposal { id: 9, title: "pads by hand".into(), flips: None, breaks: None, ..all[0].clone() });
    snapshot.proposals = Arc::new(all.clone());
    engine(&mut state, snapshot);
    assert_eq!(state.proposal().map(|p| p.id), Some(9));
    let mut snapshot = (*state.snapshot).clone();
    snapshot.proposals = Arc::new(all.clone());
    let asked = press(&mut state, &["space"]);
    assert_eq!(commands(&asked), [Command::TryAll(9)]);
    snapshot.work = Some(Work { name: "running the images", done: 1, of: 120, left: None, keeps_labels: false });
    engine(&mut state, snapshot.clone());
    (all[3].flips, all[3].breaks, snapshot.work) = (Some((34, 3)), Some((1, 86)), None);
    snapshot.proposals = Arc::new(all);
    engine(&mut state, snapshot);
    let said = state.toast.clone().expect("an answer, when the work has ended");
    assert!(said.text.contains("34 → 3 flipped, breaks 1 of 86") && said.tone == Tone::Warning, "{said:?}");
}

#[test]
fn a_region_is_looked_into_alone_and_a_report_a_copy_and_another_name_are_asked_for() {
    let mut state = state(accepted(), 120, 40);
    press(&mut state, &["i"]);
    assert!(matches!(state.overlay, Some(Overlay::Region { row: 8 | 0, .. })), "{:?}", state.overlay);
    press(&mut state, &["esc"]);
    assert!(commands(&press(&mut state, &["W"])).contains(&Command::Report));
    let copied = press(&mut state, &["y"]);
    assert!(copied.iter().any(|e| matches!(e, Effect::Copy(text) if text.contains("34 → 2 of 120 flipped"))), "{copied:?}");
    press(&mut state, &["S", "ctrl-u"]);
    type_in(&mut state, "/tmp/other.onnx");
    assert_eq!(commands(&press(&mut state, &["enter"])), [Command::Save(Some("/tmp/other.onnx".into()))]);
}

#[test]
fn a_row_that_is_mended_is_found_as_repaired() {
    let mut state = state(accepted(), 120, 40);
    press(&mut state, &["home", "/"]);
    type_in(&mut state, "repaired");
    assert_eq!(state.graph.row(), Some(8));
}

#[test]
fn a_click_on_the_strip_goes_there() {
    let mut state = state(localized(), 80, 16);
    press(&mut state, &["home"]);
    let click = |column, row| {
        Input::Mouse(MouseEvent { kind: MouseEventKind::Down(MouseButton::Left), column, row, modifiers: KeyModifiers::NONE })
    };
    let panes = Panes::new(&state);
    let graph = panes.of(Pane::Graph).expect("the graphs");
    update(&mut state, click(graph.right() - 3, graph.bottom() - 1));
    let last = state.snapshot.sheet.as_ref().map_or(0, |s| s.rows.len() - 1);
    assert!(state.graph.row().is_some_and(|r| r + 3 > last), "{:?} of {last}", state.graph.row());
}

#[test]
fn folds_and_bookmarks() {
    // Low enough that not all rows fit.
    let mut state = state(localized(), 120, 32);
    let folded = state.graph.lines.len();
    press(&mut state, &["home", "down"]);
    assert!(matches!(state.graph.lines[state.graph.cursor], Line::Fold(..)));
    press(&mut state, &["enter"]);
    assert!(state.graph.lines.len() > folded);
    press(&mut state, &["z"]);
    assert_eq!(state.graph.lines.len(), folded);
    press(&mut state, &["Z", "down", "down", "m", "Z", "end", "'"]);
    assert_eq!(state.graph.bookmarks.len(), 1);
    assert!(state.graph.row().is_some_and(|r| state.graph.bookmarks.contains(&r)));
    assert!(matches!(state.graph.lines[state.graph.cursor], Line::Row(_)), "a bookmark is never folded away");
}

#[test]
fn the_mouse_selects_and_scrolls() {
    let mut state = state(localized(), 120, 32);
    let mut mouse = |kind, column, row| update(&mut state, Input::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }));
    mouse(MouseEventKind::Down(MouseButton::Left), 10, 5);
    mouse(MouseEventKind::ScrollDown, 90, 20);
    assert_eq!(state.graph.cursor, 3);
    assert_eq!((state.focus, state.scroll[0]), (Pane::Layer, 3));
    // A click on a fold opens it.
    let lines = state.graph.lines.len();
    update(
        &mut state,
        Input::Mouse(MouseEvent { kind: MouseEventKind::Down(MouseButton::Left), column: 10, row: 3, modifiers: KeyModifiers::NONE }),
    );
    assert!(state.graph.lines.len() > lines);
}

#[test]
fn the_mouse_moves_the_borders() {
    let mut state = state(localized(), 160, 50);
    let width = |state: &fixcon::tui::state::State| Panes::new(state).of(Pane::Graph).map(|r| (r.width, r.height)).expect("the graphs");
    let (before, mouse) = (width(&state), |state: &mut _, kind, (column, row)| {
        update(state, Input::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }));
    });
    mouse(&mut state, MouseEventKind::Down(MouseButton::Left), (before.0 - 1, 10));
    mouse(&mut state, MouseEventKind::Drag(MouseButton::Left), (before.0 + 9, 12));
    mouse(&mut state, MouseEventKind::Up(MouseButton::Left), (before.0 + 9, 12));
    assert_eq!(width(&state), (before.0 + 9, before.1));
    mouse(&mut state, MouseEventKind::Down(MouseButton::Left), (20, before.1));
    mouse(&mut state, MouseEventKind::Drag(MouseButton::Left), (20, before.1 - 5));
    assert!(width(&state).1 < before.1);
    // Whatever is done, every pane keeps some room, in a smaller terminal too.
    mouse(&mut state, MouseEventKind::Drag(MouseButton::Left), (20, 0));
    update(&mut state, Input::Resize(110, 30));
    assert!(Panes::new(&state).shown.iter().all(|(_, r)| r.width >= 30 && r.height >= 5));
}

#[test]
fn leaving_asks_when_something_is_not_saved() {
    let mut state = state(accepted(), 80, 24);
    assert!(!press(&mut state, &["q"]).contains(&Effect::Quit));
    assert!(matches!(state.overlay, Some(Overlay::Unsaved(_))));
    assert!(!press(&mut state, &["esc"]).contains(&Effect::Quit));
    press(&mut state, &["q"]);
    // Only the keys that the box lists do something.
    assert!(press(&mut state, &["y", "n", "Q", "enter"]).is_empty());
    assert!(matches!(state.overlay, Some(Overlay::Unsaved(_))));
    let effects = press(&mut state, &["w"]);
    assert_eq!(commands(&effects), [Command::Save(None), Command::Quit]);
    assert_eq!(effects.last(), Some(&Effect::Quit));
}

#[test]
fn the_list_of_demonstrations_is_not_gone_to_over_repairs_that_are_in_no_file() {
    for (key, saved) in [("w", true), ("q", false)] {
        let mut state = state(accepted(), 80, 24);
        assert!(press(&mut state, &["D"]).is_empty());
        assert!(matches!((&state.overlay, state.screen), (Some(Overlay::Unsaved(_)), Screen::Case)));
        let effects = press(&mut state, &[key]);
        assert_eq!(commands(&effects).contains(&Command::Save(None)), saved);
        assert!(!effects.contains(&Effect::Quit));
        assert!(matches!((&state.overlay, state.screen), (None, Screen::Demos)));
    }
}

#[test]
fn the_end_is_summed_up_once() {
    let mut state = state(accepted(), 120, 40);
    engine(&mut state, done());
    assert!(matches!(state.overlay, Some(Overlay::Summary)));
    press(&mut state, &["esc"]);
    engine(&mut state, done());
    assert!(state.overlay.is_none());
}

#[test]
fn another_case_forgets_what_belonged_to_the_old_one() {
    let mut state = state(localized(), 120, 40);
    press(&mut state, &["]", "]", "}"]);
    let mut next = opening();
    next.generation = 2;
    engine(&mut state, next);
    assert_eq!((state.image, state.suspect), (0, 0));
    assert!(state.graph.lines.is_empty());
}

#[test]
fn details_and_pictures_are_asked_for_once() {
    let mut state = state(localized(), 120, 40);
    let effects = press(&mut state, &["down"]);
    let asked = commands(&effects);
    assert!(asked.iter().any(|c| matches!(c, Command::Inspect { row: 9, .. })), "{asked:?}");
    assert!(commands(&press(&mut state, &["T"])).is_empty());
    let effects = press(&mut state, &["]"]);
    assert!(effects.iter().any(|e| matches!(e, Effect::Picture(path, _) if path.ends_with("p0017.png"))), "{effects:?}");
}

#[test]
fn the_palette_finds_commands_by_a_few_letters() {
    assert_eq!(palette("nxsus").0.first(), Some(&Action::NextSuspect));
    assert_eq!(palette("accept").0.first(), Some(&Action::Accept));
    assert_eq!(palette("re").0.first(), Some(&Action::Reject));
    assert_eq!(palette("").0.len(), COMMANDS.len());
    let mut state = state(localized(), 120, 40);
    press(&mut state, &[":"]);
    type_in(&mut state, "reject");
    press(&mut state, &["enter"]);
    assert!(matches!(state.overlay, Some(Overlay::Note { .. })));
}

#[test]
fn every_command_answers_in_every_state() {
    for snapshot in [opening, comparing, localized, accepted, done] {
        for spec in COMMANDS {
            let mut state = state(snapshot(), 80, 24);
            for key in spec.keys {
                state.overlay = None;
                let possible = spec.action.possible(&state).is_ok();
                press(&mut state, &[key]);
                assert!(possible || state.toast.is_some(), "{} says nothing", spec.id);
            }
        }
    }
}

/// `FIXCON_UPDATE=1` writes the list into the README.
#[test]
fn the_readme_lists_the_keys_of_the_table() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let text = std::fs::read_to_string(file).expect("a README");
    let (begin, end) = ("<!-- keys: made from the command table -->\n", "<!-- end of keys -->");
    let (before, rest) = text.split_once(begin).expect("the place where the list begins");
    let (list, after) = rest.split_once(end).expect("and where it ends");
    let wanted = fixcon::tui::commands::markdown();
    if std::env::var_os("FIXCON_UPDATE").is_some() {
        std::fs::write(file, format!("{before}{begin}{wanted}{end}{after}")).expect("it can be written");
    } else {
        assert!(list == wanted, "README.md is behind the command table; run this test with FIXCON_UPDATE=1");
    }
}

#[test]
fn escape_and_a_key_in_quick_succession_are_two_keys() {
    let mut state = state(accepted(), 120, 40);
    engine(&mut state, done());
    assert!(matches!(state.overlay, Some(Overlay::Summary)));
    // As a terminal sends them when they come together.
    press(&mut state, &["alt-D"]);
    assert_eq!(state.screen, Screen::Demos);
    assert!(state.overlay.is_none());
}

#[test]
fn a_pair_is_pinned_with_the_keys_that_are_shown_and_what_came_of_it_is_said() {
    let mut state = state(localized(), 120, 40);
    press(&mut state, &["g", "down", "P"]);
    assert_eq!((state.pinning, state.toast.is_none()), (Some(1), true));
    // A row without a target's side keeps the mark.
    press(&mut state, &["down"]);
    let pin = commands(&press(&mut state, &["P"]));
    assert!(pin.contains(&Command::Pin { source: 1, target: 2 }), "{pin:?}");
    assert_eq!(state.pinning, None);
    let said = fixcon::session::Said { pair: true, source: "a".into(), target: "b".into() };
    let mut next = localized();
    next.said = Arc::new(vec![said.clone()]);
    next.log = Arc::new([next.log.to_vec(), vec![LogLine { at: String::new(), text: said.to_string(), tone: Tone::Plain }]].concat());
    next.work = Some(Work { name: "looking for faults", done: 1, of: 2, left: None, keeps_labels: true });
    engine(&mut state, next.clone());
    let mut sheet = fixture::sheet(true);
    sheet.rows[2].said.push(said);
    (next.sheet, next.work) = (Some(Arc::new(sheet)), None);
    engine(&mut state, next);
    let toast = state.toast.clone().expect("what came of it");
    assert!(
        toast.text.contains("pinned by hand: a (source) = b (target)") && toast.text.contains("U in its row takes it back"),
        "{toast:?}"
    );
    assert_eq!(state.graph.row(), Some(2));
    assert!(commands(&press(&mut state, &["U"])).contains(&Command::Unpair(2)));
    // Escape forgets the mark.
    press(&mut state, &["P", "esc"]);
    assert_eq!((state.pinning, state.toast.map(|t| t.text)), (None, Some("nothing was pinned".into())));
}

#[test]
fn what_was_cancelled_and_what_stands_is_said() {
    let mut state = state(comparing(), 80, 24);
    assert!(commands(&press(&mut state, &["x"])).contains(&Command::Cancel));
    let mut next = comparing();
    next.work = None;
    let line =
        LogLine { at: String::new(), text: "cancelled: comparing images; 40 of 120 images were compared".into(), tone: Tone::Warning };
    next.log = Arc::new([next.log.to_vec(), vec![line]].concat());
    engine(&mut state, next);
    assert!(state.toast.as_ref().is_some_and(|t| t.text.contains("40 of 120")), "{:?}", state.toast);
}

#[test]
fn a_demonstration_is_opened_by_its_number() {
    let mut state = state(opening(), 80, 24);
    state.screen = Screen::Demos;
    let sent = commands(&press(&mut state, &["3"]));
    assert!(matches!(&sent[..], [Command::Open(path), ..] if *path == fixture::demos()[2].path), "{sent:?}");
    assert_eq!(state.screen, Screen::Case);
}

#[test]
fn a_proposal_that_breaks_more_than_it_mends_is_asked_about() {
    let mut all = proposals();
    (all[0].flips, all[0].breaks) = (Some((16, 16)), Some((16, 16)));
    let mut snapshot = localized();
    snapshot.proposals = Arc::new(all);
    let mut state = state(snapshot, 120, 40);
    assert!(commands(&press(&mut state, &["a"])).is_empty());
    assert!(matches!(state.overlay, Some(Overlay::Harmful { proposal: 1 })), "{:?}", state.overlay);
    assert!(commands(&press(&mut state, &["enter", "a"])).is_empty());
    assert!(commands(&press(&mut state, &["y"])).contains(&Command::Accept(1)));
    assert!(state.overlay.is_none());
}

#[test]
fn the_palette_does_not_guess_what_matches_by_its_description_alone() {
    let mut state = state(accepted(), 120, 40);
    press(&mut state, &[":"]);
    type_in(&mut state, "repl");
    assert_eq!(palette("repl").1, 0);
    assert!(commands(&press(&mut state, &["enter"])).is_empty());
    assert!(state.toast.as_ref().is_some_and(|t| t.text.contains("no command is called 'repl'")), "{:?}", state.toast);
    assert!(matches!(state.overlay, Some(Overlay::Palette { .. })));
    // Whoever asks again means it.
    assert!(commands(&press(&mut state, &["enter"])).contains(&Command::Save(None)));
}

#[test]
fn the_worst_region_is_one_that_was_not_mended_and_the_same_key_goes_on_to_the_next() {
    let mut snapshot = accepted();
    let mut sheet = fixture::sheet(true);
    sheet.rows[10].isolated = Some(0.01);
    sheet.rows[12].isolated = Some(0.005);
    snapshot.sheet = Some(Arc::new(sheet));
    let mut state = state(snapshot, 120, 40);
    assert_eq!(state.sign(8), fixcon::session::Sign::Repaired);
    press(&mut state, &["end", "!"]);
    assert_eq!(state.graph.row(), Some(10));
    press(&mut state, &["!"]);
    assert_eq!(state.graph.row(), Some(12));
    // The others are at the floor.
    press(&mut state, &["!"]);
    assert_eq!(state.graph.row(), Some(12));
    assert!(state.toast.as_ref().is_some_and(|t| t.text.contains("no other region")), "{:?}", state.toast);
}

#[test]
fn a_rejection_that_is_taken_back_is_at_hand_again() {
    let mut all = proposals();
    all[0].standing = Standing::Rejected("no".into());
    let mut rejected = localized();
    rejected.decided = Arc::new(vec![fixcon::session::Decision { proposal: all[0].clone(), flips: None }]);
    rejected.proposals = Arc::new(all);
    let mut state = state(rejected, 120, 40);
    press(&mut state, &["}"]);
    assert_eq!(state.suspect, 1);
    engine(&mut state, localized());
    assert_eq!((state.suspect, state.proposal().map(|p| p.id)), (0, Some(1)));
    assert!(state.toast.as_ref().is_some_and(|t| t.text.starts_with("rejection of 1/2 taken back")), "{:?}", state.toast);
}

#[test]
fn another_look_says_what_came_of_it() {
    let mut state = state(localized(), 120, 40);
    assert!(commands(&press(&mut state, &["L"])).contains(&Command::Localize));
    let mut next = localized();
    next.work = Some(Work { name: "looking for faults", done: 1, of: 2, left: None, keeps_labels: true });
    engine(&mut state, next);
    engine(&mut state, localized());
    assert_eq!(state.toast.as_ref().map(|t| t.text.as_str()), Some("looked again: 2 suspects, as before"));
}

#[test]
fn a_refusal_goes_when_it_is_no_longer_true_or_was_read() {
    let mut state = state(comparing(), 80, 24);
    press(&mut state, &["a"]);
    assert!(state.toast.as_ref().is_some_and(|t| t.text.starts_with("accept (a): ")), "{:?}", state.toast);
    assert_eq!(state.not_done.len(), 1);
    engine(&mut state, comparing());
    assert!(state.toast.is_some());
    engine(&mut state, localized());
    assert_eq!((state.toast.clone(), state.not_done.len()), (None, 0));
    press(&mut state, &["w"]);
    assert!(state.toast.is_some());
    update(&mut state, Input::Quiet);
    assert_eq!(state.toast, None);
}
