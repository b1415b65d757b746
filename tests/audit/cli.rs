//! `fixcon replay` and `fixcon log`.

use crate::common::*;
use assert_cmd::Command;
use serde_json::Value as Json;
use std::fs;
use std::path::Path;

pub struct Out {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

pub fn fixcon(folder: &Path, args: &[&str]) -> Out {
    let out = Command::cargo_bin("fixcon").unwrap().current_dir(folder).env("TZ", "UTC").args(args).output().unwrap();
    let text = |b: Vec<u8>| String::from_utf8(b).unwrap();
    Out { code: out.status.code(), stdout: text(out.stdout), stderr: text(out.stderr) }
}

pub fn json(out: &Out) -> Json {
    serde_json::from_str(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}{}", out.stdout, out.stderr))
}

fn begun() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    session(root.path(), &model(&root.path().join("target.onnx")));
    root
}

#[test]
fn replay_makes_the_saved_model_again() {
    let root = begun();
    let out = fixcon(root.path(), &["replay", "audit.jsonl", "--output", "again.onnx"]);
    assert_eq!(out.code, Some(0), "{}", out.stderr);
    assert!(out.stdout.contains("the chain is whole") && out.stdout.contains("the same"), "{}", out.stdout);
    assert_eq!(fs::read(root.path().join("again.onnx")).unwrap(), fs::read(root.path().join("repaired.onnx")).unwrap());
    // Not over a file, unless told.
    let refused = fixcon(root.path(), &["replay", "audit.jsonl", "--output", "target.onnx"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("target.onnx"), "{}", refused.stderr);
    let forced = fixcon(root.path(), &["replay", "audit.jsonl", "--output", "again.onnx", "--force", "--json"]);
    assert_eq!(forced.code, Some(0));
    let report = json(&forced);
    assert_eq!(report["same"], true);
    assert_eq!(report["saved"].as_array().unwrap().len(), 2);
    assert_eq!(report["output"]["sha256"], report["saved"][1]["made"]);
    assert_eq!(report["edits"].as_array().unwrap().iter().map(|e| e["proposal"].as_u64().unwrap()).collect::<Vec<_>>(), [3, 4, 1, 6]);
    assert!(report["recipe"].as_str().unwrap().contains("bgr"));
    assert_eq!(report["file_same"], true);
    assert_eq!(report["notes"], serde_json::json!([]));
}

#[test]
fn replay_is_the_same_on_one_thread_and_on_two() {
    let root = begun();
    let one = fixcon(root.path(), &["replay", "audit.jsonl", "--json", "--threads", "1"]);
    let two = fixcon(root.path(), &["replay", "audit.jsonl", "--json", "--threads", "2"]);
    assert_eq!(one.code, Some(0));
    assert_eq!(one.stdout, two.stdout);
}

#[test]
fn an_altered_log_is_refused_and_the_record_named() {
    let root = begun();
    let path = root.path().join("audit.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("\"flips\":1", "\"flips\":7", 1)).unwrap();
    let replay = fixcon(root.path(), &["replay", "audit.jsonl", "--output", "again.onnx"]);
    assert_eq!(replay.code, Some(2));
    assert!(replay.stderr.contains("record 2 (evaluated) was changed after it was written"), "{}", replay.stderr);
    assert!(!root.path().join("again.onnx").exists());
    let log = fixcon(root.path(), &["log", "audit.jsonl"]);
    assert_eq!(log.code, Some(1));
    assert!(log.stdout.contains("    1  ") && !log.stdout.contains("    2  "), "{}", log.stdout);
    assert!(log.stdout.contains("NOT TO BE TRUSTED") && log.stdout.contains("record 2 (evaluated)"), "{}", log.stdout);
    let report = json(&fixcon(root.path(), &["log", "audit.jsonl", "--json"]));
    assert_eq!((report["whole"].as_bool(), report["problem"]["seq"].as_u64()), (Some(false), Some(2)));
    assert_eq!(report["records"].as_array().unwrap().len(), 1);
}

#[test]
fn a_model_that_is_not_made_again_is_exit_code_1_and_not_written() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("audit.jsonl");
    let base = fixcon::model::Model::open(model(&root.path().join("target.onnx"))).unwrap();
    let mut log = fixcon::audit::Log::create(&path, opened(&path, &base), fixcon::model::Existing::Refuse).unwrap();
    let recipe = log.state().recipe().unwrap();
    // Nothing was saved.
    let none = fixcon(root.path(), &["replay", "audit.jsonl"]);
    assert_eq!(none.code, Some(2));
    assert!(none.stderr.contains("no model was saved") && none.stderr.contains("--output"), "{}", none.stderr);
    let start = fixcon(root.path(), &["replay", "audit.jsonl", "--output", "start.onnx"]);
    assert_eq!(start.code, Some(0));
    assert!(start.stdout.contains("was not closed"), "{}", start.stdout);
    assert_eq!(fs::read(root.path().join("start.onnx")).unwrap(), base.to_bytes());
    // Then one that no edit of the log makes.
    let other = remade(&base, &edits(&base)[..1]);
    log.save(&other, &root.path().join("repaired.onnx"), fixcon::model::Existing::Refuse, recipe).unwrap();
    let out = fixcon(root.path(), &["replay", "audit.jsonl", "--output", "again.onnx"]);
    assert_eq!(out.code, Some(1), "{}", out.stderr);
    assert!(out.stdout.contains("DIFFERENT") && out.stdout.contains("nothing was written"), "{}", out.stdout);
    assert!(!root.path().join("again.onnx").exists());
}

#[test]
fn a_person_reads_what_happened() {
    let root = begun();
    let out = fixcon(root.path(), &["log", "audit.jsonl"]);
    assert_eq!(out.code, Some(0), "{}", out.stderr);
    // Without what differs from run to run: the day, the times.
    let lines_of = out.stdout.lines().map(|line| match line.get(7..15) {
        Some(time) if time.as_bytes()[2] == b':' => line.replacen(time, "hh:mm:ss", 1),
        _ if line.contains("day, ") => "day".into(),
        _ => line.to_string(),
    });
    insta::assert_snapshot!(
        lines_of.collect::<Vec<_>>().join("\n").replace(concat!("fixcon ", env!("CARGO_PKG_VERSION")), "fixcon VERSION")
    );
    // Names come from files: what would move the cursor is shown, not done.
    assert!(!out.stdout.contains('\u{1b}'));
    let report = json(&fixcon(root.path(), &["log", "audit.jsonl", "--json"]));
    let lines: Vec<Json> = lines(&root.path().join("audit.jsonl")).iter().map(|l| serde_json::from_slice(l).unwrap()).collect();
    assert_eq!(report["records"], Json::from(lines), "as they are in the file");
    assert_eq!(report["made"], serde_json::json!([3, 4, 1, 6]));
}

#[test]
fn a_log_cut_off_in_a_crash_is_shown_up_to_there() {
    let root = begun();
    let path = root.path().join("audit.jsonl");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 40]).unwrap();
    let log = fixcon(root.path(), &["log", "audit.jsonl"]);
    assert_eq!(log.code, Some(0));
    assert!(log.stdout.contains("the last line was cut off") && log.stdout.contains("not closed"), "{}", log.stdout);
    let replay = fixcon(root.path(), &["replay", "audit.jsonl"]);
    assert_eq!(replay.code, Some(0));
    assert!(replay.stdout.contains("cut off"), "{}", replay.stdout);
}

#[test]
fn what_is_no_log_is_exit_code_2() {
    let root = begun();
    for command in ["log", "replay"] {
        for file in ["target.onnx", "nowhere.jsonl", "."] {
            let out = fixcon(root.path(), &[command, file]);
            assert_eq!(out.code, Some(2), "{command} {file}: {}", out.stdout);
            assert!(out.stderr.contains(file), "{}", out.stderr);
            let report = json(&fixcon(root.path(), &[command, file, "--json"]));
            assert!(report["error"]["message"].as_str().unwrap().contains(file));
        }
    }
    assert_eq!(fixcon(root.path(), &["replay", "audit.jsonl", "--force"]).code, Some(2));
}
