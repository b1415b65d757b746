//! `kill -9` at any moment: what was acknowledged is in the log.
#![cfg(unix)]

use crate::common::*;
use fixcon::audit::*;
use fixcon::model::{Edit, Existing, Model};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How often the process is killed.
const KILLS: u32 = 50;
const FOLDER: &str = "FIXCON_TEST_KILL_FOLDER";

/// Goes on with the log and decides on one proposal after the other, for ever. Every third edit has a tensor beside the log, every fifth
/// decision a note that takes long to write.
#[test]
#[ignore = "run by the test below in a process of its own"]
fn child_decides_for_ever() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let mut log = Log::resume(Path::new(&folder).join("audit.jsonl")).unwrap().log;
    let mut out = std::io::stdout().lock();
    let again = log.state().opened.clone();
    log.append(Event::Opened(again)).unwrap();
    // An edit that was proposed or decided on, and not made, comes once more.
    for number in made(log.state()).len() as u32 + 1.. {
        let size = if number.is_multiple_of(3) { 20_000 } else { 2 };
        let tensor = tensor(&format!("t{number}"), &vec![number as f32; size]);
        let change = log.model_change(&Edit::AddInitializer { tensor }).unwrap();
        log.append(proposed(number, "add a tensor")).unwrap();
        log.append_all(&[decided(number, Decision::Accept, &note(number)), applied(number, "add a tensor", vec![change])]).unwrap();
        writeln!(out, "\nmade {number}").and_then(|()| out.flush()).unwrap();
        if number.is_multiple_of(4) {
            log.append(undone(number)).unwrap();
            writeln!(out, "\nundone {number}").and_then(|()| out.flush()).unwrap();
        }
    }
}

#[test]
fn every_acknowledged_decision_survives_kill_9() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("audit.jsonl");
    let base = Model::open(model(&root.path().join("target.onnx"))).unwrap();
    drop(Log::create(&path, opened(&path, &base), Existing::Refuse).unwrap());
    let (mut acknowledged, mut undone, mut cut_off) = (0, Vec::new(), 0);
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::child_decides_for_ever", "--ignored", "--nocapture", "--test-threads=1"])
            .env(FOLDER, root.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        // From when it works on, so that most kills fall into its work.
        out.by_ref().map(Result::unwrap).find(|line| line.starts_with("made ")).map(|line| acknowledged = number(&line)).unwrap();
        std::thread::sleep(Duration::from_micros(u64::from(kill * 7919 % 50) * 400));
        child.kill().unwrap();
        child.wait().unwrap();
        for line in out.map_while(Result::ok) {
            match line.split_once(' ') {
                Some(("made", _)) => acknowledged = number(&line),
                Some(("undone", _)) => undone.push(number(&line)),
                _ => {}
            }
        }

        let resumed = Log::resume(&path).unwrap();
        cut_off += usize::from(resumed.cut_off > 0);
        let state = resumed.log.state();
        // The edit under way may have come in, more cannot.
        let there = made(state);
        assert!(there.iter().copied().eq(1..=there.len() as u32));
        assert!((acknowledged..=acknowledged + 1).contains(&(there.len() as u32)), "{acknowledged} acknowledged, {} there", there.len());
        let accepted = |n| state.decisions.iter().any(|d| d.proposal == n && d.decision == Decision::Accept && d.note == note(n));
        assert!(there.iter().all(|n| accepted(*n)));
        assert!(undone.iter().all(|n| !state.is_made(*n)));
        acknowledged = there.len() as u32;
    }
    println!("{acknowledged} edits, {cut_off} of {KILLS} kills left half a line");

    // And the model is the one that all of this makes.
    let mut log = Log::resume(&path).unwrap().log;
    let edited = log.state().edits.iter().flat_map(|e| &e.applied.changes);
    let edits: Vec<Edit> = edited.map(|c| log.model_edit(c).unwrap().unwrap()).collect();
    let again = log.state().opened.clone();
    log.append(Event::Opened(again)).unwrap();
    let recipe = log.state().recipe().unwrap();
    log.save(&remade(&base, &edits), &root.path().join("out.onnx"), Existing::Refuse, recipe).unwrap();
    drop(log);
    assert!(replay(&path, None).unwrap().is_same());
}

fn number(line: &str) -> u32 {
    line.split_once(' ').unwrap().1.parse().unwrap()
}

fn note(number: u32) -> String {
    if number.is_multiple_of(5) { "n".repeat(300_000) } else { format!("note {number}") }
}

/// Edits that were ever made, in order.
fn made(state: &State) -> Vec<u32> {
    let mut made: Vec<u32> = state.edits.iter().chain(&state.undone).map(|e| e.applied.proposal).collect();
    made.sort_unstable();
    made
}
