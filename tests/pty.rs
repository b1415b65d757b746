//! The screen of the real program, end to end.
#![cfg(unix)]

mod terminal;

use std::time::{Duration, Instant};
use terminal::{Terminal, copy, sample, samples};

fn debug(case: &str, cols: u16, rows: u16) -> Terminal {
    Terminal::start(cols, rows, &["debug", &sample(case).to_string_lossy()])
}

/// The terminal is as it was found.
fn assert_restored(terminal: &Terminal) {
    assert_eq!(terminal.modes(), (false, false), "cursor hidden, alternate screen");
    let bytes = terminal.bytes();
    let has = |wanted: &[u8]| bytes.windows(wanted.len()).any(|w| w == wanted);
    assert!(has(b"\x1b[?1000l") && has(b"\x1b[?2004l"), "mouse and paste modes are off");
}

#[test]
fn the_list_of_demonstrations_leads_to_flipped_images() {
    let mut terminal = Terminal::start(80, 24, &[]);
    // All texts have room.
    for (key, last) in [("G", "weights spoilt"), ("g", "MobileNet, Keras")] {
        terminal.wait_for("MobileNet, Keras");
        terminal.press(key);
        terminal.until(last, |text| text.lines().any(|l| l.contains("▶") && l.contains(last)));
        let cut = terminal.text().lines().any(|l| l.contains('…') && !l.contains("of your own"));
        assert!(!cut, "{}", terminal.text());
    }
    terminal.press("\r");
    terminal.until("flips", |text| text.contains(" flipped") && text.contains("Conv"));
    terminal.press("\t");
    terminal.wait_for("labels differ");
    // Not while there is only one so far.
    terminal.wait_for("10 of 100 flipped");
    terminal.wait_for("image 1 of 10");
    terminal.press("]");
    terminal.wait_for("image 2 of");
    terminal.press("[[");
    terminal.until("the last image", |text| text.contains("image ") && !text.contains("image 1 of") && !text.contains("image 2 of"));
    terminal.press("q");
    assert_eq!(terminal.end().exit_code(), 0);
    assert_restored(&terminal);
}

#[test]
fn a_case_of_ones_own_is_opened_from_the_list() {
    let (_folder, case) = copy("1-");
    let mut terminal = Terminal::start(120, 30, &[]);
    terminal.wait_for("open a case file of your own");
    terminal.press("o");
    terminal.wait_for("Path of a case.toml");
    // Both files of the folder begin with no letter in common; one more letter decides.
    terminal.press(&format!("{}/\t", case.display()));
    terminal.wait_for("case.toml   ");
    terminal.press("c\t");
    terminal.wait_for("/case.toml");
    terminal.press("\r");
    terminal.wait_for("breaks none");
    terminal.press("q");
    assert_eq!(terminal.end().exit_code(), 0);
}

#[test]
fn keys_are_answered_while_models_load() {
    let terminal = debug("1-", 120, 40);
    terminal.wait_for("fixcon");
    // At once, whatever the engine does.
    terminal.press("?");
    terminal.wait_for("Signs between the graphs");
    terminal.press("\x1b");
    terminal.wait_gone("Signs between the graphs");
    terminal.press(":");
    terminal.wait_for("commands");
    terminal.press("quit");
    terminal.wait_for("leave; asks when something is not saved");
    terminal.press("\x1b");
    terminal.wait_for("source");
    terminal.wait_for("target");
}

#[test]
fn any_size_is_survived() {
    let mut terminal = debug("2-", 120, 40);
    terminal.wait_for(" flipped");
    for (cols, rows) in [(10, 4), (1, 1), (80, 24), (3, 60), (200, 60), (160, 50)] {
        terminal.resize(cols, rows);
        std::thread::sleep(Duration::from_millis(60));
    }
    terminal.wait_for("proposal");
    terminal.wait_for("layer");
    terminal.press("q");
    assert_eq!(terminal.end().exit_code(), 0);
    assert_restored(&terminal);
}

#[test]
fn search_goes_to_the_row() {
    let terminal = debug("2-", 120, 40);
    terminal.wait_for("suspect 1");
    terminal.press("/gemm");
    terminal.wait_for("enter keeps");
    terminal.press("\r");
    terminal.until("the cursor on the Gemm", |text| text.lines().any(|l| l.contains("▶") && l.contains("Gemm")));
    // The region alone, with its nodes on both sides.
    terminal.press("i");
    terminal.until("the region's nodes", |text| text.contains("row ") && text.contains("constant") && text.contains("makes"));
    terminal.press("\x1b");
    terminal.wait_gone("constant");
    terminal.press("/nowhere-at-all");
    terminal.wait_for("nowhere-at-all");
    terminal.press("\r");
    terminal.press("n");
    terminal.wait_for("is nowhere in the two graphs");
}

/// From the case on the screen to the saved model and back from its log.
fn repaired(cols: u16, rows: u16) {
    let (_folder, case) = copy("1-");
    let mut terminal = Terminal::start(cols, rows, &["debug", &case.to_string_lossy()]);
    terminal.wait_for("LH-PADS");
    terminal.wait_for("breaks none");
    terminal.press("a");
    terminal.wait_for("all labels agree");
    terminal.wait_for("10 → 0 of 100");
    terminal.press("w");
    terminal.wait_for("saved as");
    terminal.press("\x1b");
    terminal.wait_gone("back to the graphs");
    terminal.press("q");
    assert_eq!(terminal.end().exit_code(), 0);
    assert_restored(&terminal);
    let log = case.join("target.fixcon.jsonl");
    // The shell is told where everything is.
    let told = terminal.text().replace('\n', "");
    for part in [format!("repaired  {}", case.join("target.repaired.onnx").display()), format!("fixcon replay {}", log.display())] {
        assert!(told.contains(&part), "{part} in {told}");
    }
    let replayed = fixcon::audit::replay(&log, None).expect("it replays");
    assert!(replayed.is_same() && replayed.checks.len() == 1 && !replayed.unsaved);
    assert_eq!(replayed.is_file_same(&log), Some(true));
}

/// The walk through the README's first repair, six keys from the list to the end. `FIXCON_RECORD=docs/pictures/repair.cast` writes
/// what is seen as a recording for asciinema, at a pace that can be followed.
#[test]
fn six_keys_from_the_list_to_a_repaired_model() {
    let record = std::env::var_os("FIXCON_RECORD");
    let pause = || std::thread::sleep(Duration::from_millis(if record.is_some() { 2500 } else { 0 }));
    for (cols, rows) in [(80, 24), (160, 50), (120, 34)] {
        let folder = samples();
        let mut terminal = Terminal::within(folder.path(), (cols, rows), env!("CARGO_BIN_EXE_fixcon"), &[], &[("HOME", "/nonexistent")]);
        terminal.wait_for("one wrong padding");
        pause();
        terminal.press("\r");
        terminal.wait_for("breaks none");
        pause();
        terminal.press("]");
        terminal.settle();
        pause();
        terminal.press("a");
        terminal.wait_for("10 → 0 of 100 flipped: all labels agree");
        pause();
        terminal.press("w");
        terminal.wait_for("saved as");
        pause();
        terminal.press("\x1b");
        terminal.wait_gone("back to the graphs");
        pause();
        let pieces = terminal.pieces();
        terminal.press("q");
        assert_eq!(terminal.end().exit_code(), 0);
        assert_restored(&terminal);
        let case = folder.path().join("sample_models/cases/1-mobilenet-pads");
        assert!(case.join("target.repaired.onnx").exists());
        assert!(fixcon::audit::replay(&case.join("target.fixcon.jsonl"), None).expect("it replays").is_same());
        if let (Some(file), 120) = (&record, cols) {
            let head =
                serde_json::json!({"version": 2, "width": cols, "height": rows, "title": "fixcon: from six keys to a repaired model"});
            let mut text = format!("{head}\n");
            for (at, piece) in pieces.iter().filter(|(_, p)| !p.is_empty()) {
                text.push_str(&format!("{}\n", serde_json::json!([at.as_millis() as f64 / 1000.0, "o", piece])));
            }
            std::fs::write(file, text).expect("the recording");
        }
    }
}

/// The recording that the README links to shows what it says.
#[test]
fn the_recording_ends_with_a_repaired_model() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/pictures/repair.cast")).expect("the recording");
    let mut lines = text.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).expect("a line of JSON"));
    let head = lines.next().expect("a head");
    let size = |name: &str| u16::try_from(head[name].as_u64().expect("a size")).ok().and_then(std::num::NonZero::new).expect("a size");
    let mut parser = vt100::Parser::new(size("height"), size("width"), 0);
    let mut wanted = ["one wrong padding", "LH-PADS", "all labels agree", "saved as"].iter().peekable();
    for line in lines {
        parser.process(line[2].as_str().expect("text").as_bytes());
        while wanted.peek().is_some_and(|w| parser.screen().contents().contains(**w)) {
            wanted.next();
        }
    }
    assert_eq!(wanted.next(), None, "never seen in this order");
}

#[test]
fn the_list_takes_the_flags_of_the_screen() {
    let mut terminal = Terminal::start(80, 24, &["--theme", "light"]);
    terminal.wait_for("MobileNet, Keras");
    // The selected row on a light ground.
    terminal.until("light colours", |_| terminal.bytes().windows(16).any(|w| w == b"48;2;220;230;247"));
    terminal.press("q");
    assert_eq!(terminal.end().exit_code(), 0);
    assert_restored(&terminal);
    // Nothing was left behind, nothing is said of it.
    assert!(!terminal.text().contains("log"), "{}", terminal.text());
    let mut terminal = Terminal::start(100, 24, &["--theme", "light", "check", &sample("1-").to_string_lossy()]);
    assert_eq!(terminal.end().exit_code(), 2);
    terminal.wait_for("are for the screen");
}

#[test]
fn a_model_is_saved_where_it_was_asked_for() {
    let (folder, case) = copy("1-");
    let output = folder.path().join("mended.onnx");
    let mut terminal = Terminal::start(100, 30, &["debug", &case.to_string_lossy(), "-o", &output.to_string_lossy()]);
    terminal.wait_for("breaks none");
    terminal.press("a");
    terminal.wait_for("10 → 0 of 100");
    terminal.wait_for("back to the graphs");
    terminal.press("w");
    terminal.wait_for("saved as");
    terminal.press("q");
    assert_eq!(terminal.end().exit_code(), 0);
    assert!(output.exists() && !case.join("target.repaired.onnx").exists());
    // What is there is never replaced.
    let mut terminal = Terminal::start(100, 30, &["debug", &case.to_string_lossy(), "-o", &output.to_string_lossy()]);
    assert_eq!(terminal.end().exit_code(), 2);
    terminal.wait_for("exists already");
}

#[test]
fn whoever_leaves_without_saving_is_told_how_to_get_the_model() {
    let (folder, case) = copy("1-");
    let mut terminal = Terminal::start(100, 30, &["debug", &case.to_string_lossy()]);
    terminal.wait_for("breaks none");
    terminal.press("a");
    terminal.wait_for("10 → 0 of 100");
    terminal.wait_for("back to the graphs");
    terminal.press("q");
    terminal.wait_for("leave without saving");
    terminal.press("q");
    assert_eq!(terminal.end().exit_code(), 0);
    let (log, model) = (case.join("target.fixcon.jsonl"), folder.path().join("later.onnx"));
    let told = terminal.text().replace('\n', "");
    // As it was called: not every shell finds it by its name.
    let program = env!("CARGO_BIN_EXE_fixcon");
    assert!(told.contains(&format!("not saved: {program} replay {} --output MODEL", log.display())), "{told}");
    let (log, model) = (log.to_string_lossy().into_owned(), model.to_string_lossy().into_owned());
    let mut terminal = Terminal::start(100, 30, &["replay", &log, "--output", &model]);
    assert_eq!(terminal.end().exit_code(), 0);
    assert!(std::path::Path::new(&model).exists());
}

#[test]
fn keys_typed_before_the_first_screen_are_not_lost() {
    let terminal = Terminal::start(80, 24, &[]);
    // At once, and by a terminal whose arrow keys are sequences.
    terminal.press("\x1b[Bj");
    terminal.until("the cursor on the third", |t| t.lines().any(|l| l.contains("▶ 3")));
}

#[test]
fn a_repair_on_a_small_screen() {
    repaired(80, 24);
}

#[test]
fn a_repair_on_a_large_screen() {
    repaired(160, 50);
}

#[test]
fn a_rejection_with_a_note_an_undo_and_an_own_edit() {
    let (_folder, case) = copy("1-");
    let mut terminal = Terminal::start(140, 40, &["debug", &case.to_string_lossy()]);
    terminal.wait_for("breaks none");
    terminal.press("r");
    terminal.wait_for("The note goes into the log");
    terminal.press("want to see it wrong first\r");
    terminal.wait_for("rejected: want to see");
    terminal.press("u");
    terminal.wait_gone("rejected: want to see");
    terminal.press("a");
    terminal.wait_for("10 → 0 of 100");
    terminal.wait_for("back to the graphs");
    terminal.press("\x1b");
    terminal.press("u");
    terminal.wait_for("10 of 100 flipped");
    terminal.wait_for("taken back");
    // The same by an edit of one's own.
    terminal.settle();
    terminal.press("E");
    terminal.wait_for("own edit of the target's node");
    terminal.wait_for("pads = [1, 1, 1, 1]");
    // The tab key knows what the node can have, and what it has.
    terminal.press("\x15ker\t");
    terminal.wait_for("> kernel_shape = [3, 3]");
    terminal.press("\x15\t");
    terminal.wait_for("auto_pad = ");
    // What cannot be is said where it was typed.
    terminal.press("\x15pads = [0,x]\r");
    terminal.wait_for("is no list of whole numbers");
    terminal.press("\x15pads = [1,1,1,1]\r");
    terminal.wait_for("the target is as this edit would make it");
    // An edit that makes it worse, taken back: what is found is about the target as it is again.
    terminal.press("E");
    terminal.wait_for("own edit of the target's node");
    terminal.press("\x15pads = [0,1,1,0]\r");
    terminal.wait_for("by hand");
    terminal.wait_for("tried on");
    terminal.press("a");
    terminal.wait_for("accepted, synced");
    terminal.wait_for("is [0, 1, 1, 0]");
    terminal.press("u");
    terminal.wait_for("10 of 100 flipped");
    terminal.wait_for("is [1, 1, 1, 1]");
    terminal.settle();
    terminal.press("E");
    terminal.wait_for("pads = [1, 1, 1, 1]");
    terminal.press("\x15pads = [0,0,1,1]\r");
    terminal.wait_for("by hand");
    terminal.press("a");
    terminal.wait_for("10 → 0 of 100");
    terminal.wait_for("back to the graphs");
    terminal.press("w");
    terminal.wait_for("saved as");
    terminal.press("\x1b");
    terminal.wait_gone("back to the graphs");
    terminal.press("q");
    assert_eq!(terminal.end().exit_code(), 0);
    let log = case.join("target.fixcon.jsonl");
    let text = std::fs::read_to_string(&log).expect("a log");
    assert!(text.contains("want to see it wrong first") && text.contains("\"undone\"") && text.contains("by hand"), "{text}");
    assert!(fixcon::audit::replay(&log, None).expect("it replays").is_same());
}

#[test]
fn a_report_is_written_from_the_screen() {
    let (_folder, case) = copy("1-");
    let mut terminal = Terminal::start(100, 30, &["debug", &case.to_string_lossy()]);
    terminal.wait_for("breaks none");
    terminal.press("W");
    terminal.wait_for("report: ");
    let page = std::fs::read_to_string(case.join("target.fixcon.html")).expect("a page");
    assert!(page.contains("LH-PADS"));
    terminal.press("q");
    assert_eq!(terminal.end().exit_code(), 0);
}

#[test]
fn what_was_accepted_before_a_kill_is_there_again() {
    cut_short_by("KILL");
}

#[test]
fn what_was_accepted_before_the_terminal_was_lost_is_there_again() {
    cut_short_by("HUP");
}

fn cut_short_by(signal: &str) {
    let (_folder, case) = copy("1-");
    let terminal = Terminal::start(100, 30, &["debug", &case.to_string_lossy()]);
    terminal.wait_for("breaks none");
    terminal.press("a");
    terminal.wait_for("accepted");
    terminal.wait_for("10 → 0 of 100");
    let killed = std::process::Command::new("sh").args(["-c", &format!("kill -{signal} {}", terminal.pid())]).status();
    assert!(killed.is_ok_and(|s| s.success()));
    let mut terminal = terminal;
    terminal.end();
    drop(terminal);
    let mut terminal = Terminal::start(100, 30, &["debug", &case.to_string_lossy()]);
    terminal.wait_for("An earlier session ended with 1 accepted repair");
    terminal.press("r");
    terminal.wait_for("10 → 0 of 100");
    terminal.wait_for("back to the graphs");
    terminal.press("w");
    terminal.wait_for("saved as");
    terminal.press("\x1b");
    terminal.wait_gone("back to the graphs");
    terminal.press("q");
    assert_eq!(terminal.end().exit_code(), 0);
    let log = case.join("target.fixcon.jsonl");
    assert!(fixcon::audit::replay(&log, None).expect("it replays").is_same());
}

#[test]
fn ctrl_c_gives_the_terminal_back() {
    let mut terminal = debug("1-", 80, 24);
    terminal.wait_for("fixcon");
    terminal.press("\x03");
    assert_eq!(terminal.end().exit_code(), 0);
    assert_restored(&terminal);
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let mut terminal = debug("1-", 80, 24);
    terminal.wait_for("graph");
    let sent = std::process::Command::new("sh").args(["-c", &format!("kill -TERM {}", terminal.pid())]).status();
    assert!(sent.is_ok_and(|s| s.success()));
    terminal.end();
    assert_restored(&terminal);
}

#[test]
#[cfg(debug_assertions)]
fn a_panic_gives_the_terminal_back_and_is_told() {
    let case = sample("1-").to_string_lossy().into_owned();
    let mut terminal = Terminal::with(80, 24, env!("CARGO_BIN_EXE_fixcon"), &["debug", &case], &[("FIXCON_TEST_PANIC", "f12")]);
    terminal.wait_for("graph");
    terminal.settle();
    terminal.press("\x1b[24~");
    assert_ne!(terminal.end().exit_code(), 0);
    assert_restored(&terminal);
    terminal.wait_for("a panic was asked for");
}

#[test]
fn a_case_that_is_not_there_is_told_in_the_shell() {
    for path in ["no/such/case.toml", "sample_models/models/mobilenet.onnx"] {
        let mut terminal = Terminal::start(100, 30, &["debug", path]);
        assert_eq!(terminal.end().exit_code(), 2);
        assert!(terminal.text().contains(path), "{}", terminal.text());
        assert!(!String::from_utf8_lossy(&terminal.bytes()).contains("\x1b[?1049h"), "the screen was opened");
    }
}

#[test]
fn what_was_typed_too_early_is_told_in_the_shell() {
    let (_folder, case) = copy("1");
    let mut terminal = Terminal::start(100, 30, &["debug", &case.to_string_lossy()]);
    terminal.press("awq");
    assert_eq!(terminal.end().exit_code(), 0);
    let text = terminal.text();
    assert!(text.contains("not done: accept: faults were not looked for yet") && text.contains("not done: save:"), "{text}");
}

#[test]
fn the_job_can_be_stopped_and_goes_on() {
    if !std::path::Path::new("/bin/bash").exists() {
        return;
    }
    // Only a shell with job control can stop and continue a job.
    let case = sample("1-").to_string_lossy().into_owned();
    let terminal = Terminal::with(100, 30, "/bin/bash", &["--norc", "--noprofile", "-i"], &[("PS1", "ready> ")]);
    terminal.wait_for("ready>");
    terminal.press(&format!("{} debug {case}\r", env!("CARGO_BIN_EXE_fixcon")));
    terminal.until("the screen", |t| t.contains("graph") && t.contains("flipped"));
    terminal.settle();
    terminal.press("\x1a");
    terminal.wait_for("Stopped");
    assert!(!terminal.modes().1, "the alternate screen is gone");
    terminal.press("fg\r");
    terminal.until("the screen again", |t| t.contains("graph") && t.contains("flipped"));
    terminal.press("q");
    terminal.until("the shell again", |t| !t.contains("graph │"));
    terminal.press("echo all-$((1+1))-well\r");
    terminal.wait_for("all-2-well");
}

#[test]
#[cfg(target_os = "linux")]
fn an_idle_screen_takes_no_time() {
    let terminal = debug("2-", 120, 40);
    terminal.wait_for(" of 100 flipped");
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", terminal.pid())).expect("it runs");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        fields[11].parse::<u64>().expect("user time") + fields[12].parse::<u64>().expect("system time")
    };
    // Until the engine has nothing more to do.
    let mut before = ticks();
    let end = Instant::now() + terminal::PATIENCE;
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let now = ticks();
        if now == before {
            break;
        }
        assert!(Instant::now() < end, "it never comes to rest");
        before = now;
    }
    std::thread::sleep(Duration::from_secs(2));
    // Hundredths of a second.
    assert!(ticks() - before <= 1, "{} ticks in two idle seconds", ticks() - before);
}
