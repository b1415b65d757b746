//! Whole repairs by the program: replayed, and killed.

use crate::cli::{fixcon, json};
use fixcon::audit::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn sample(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models").join(path)
}

/// A list of some of the probe images, so that a repair is quick.
fn few_images(folder: &Path, count: usize) -> PathBuf {
    let mut files: Vec<_> = fs::read_dir(sample("images/probe")).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    let list = folder.join("images.txt");
    let lines: String = files.iter().take(count).map(|f| format!("{}\n", f.display())).collect();
    fs::write(&list, lines).unwrap();
    list
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn every_sample_that_is_repaired_is_replayed_to_the_same_digest_on_one_thread_and_on_two() {
    let mut edits = 0;
    for case in fs::read_dir(sample("cases")).unwrap() {
        let case = case.unwrap().path().join("case.toml");
        let root = tempfile::tempdir().unwrap();
        let images = few_images(root.path(), 50);
        let arguments =
            ["repair", text(&case), "--images", text(&images), "--output", "out.onnx", "--audit-log", "audit.jsonl", "--yes", "--json"];
        let out = fixcon(root.path(), &arguments);
        assert!(matches!(out.code, Some(0 | 1)), "{}: {}", case.display(), out.stdout);
        let repaired = json(&out);
        for threads in ["1", "2"] {
            let replay = fixcon(root.path(), &["replay", "audit.jsonl", "--json", "--threads", threads]);
            assert_eq!(replay.code, Some(0), "{}: {}", case.display(), replay.stdout);
            assert_eq!(json(&replay)["saved"][0]["made"], repaired["sha256"]);
        }
        assert_eq!(file_sha256(&root.path().join("out.onnx")).unwrap(), repaired["sha256"].as_str().unwrap());
        edits += repaired["accepted"].as_array().unwrap().len();
    }
    assert!(edits >= 10, "{edits} edits in all");
}

#[cfg(unix)]
#[test]
fn a_repair_killed_at_any_moment_leaves_a_log_that_goes_on_and_no_half_model() {
    let root = tempfile::tempdir().unwrap();
    let (case, images) = (sample("cases/3-inception-two-faults/case.toml"), few_images(root.path(), 20));
    let path = |name: &str| root.path().join(name);
    let repair = || {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("fixcon"));
        command.current_dir(root.path()).args(["repair", text(&case), "--images", text(&images), "--yes", "--force", "--quiet"]);
        command.args(["--output", "out.onnx", "--audit-log", "audit.jsonl"]).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let begin = Instant::now();
    assert!(repair().status().unwrap().code().is_some_and(|c| c < 2));
    let whole = begin.elapsed();
    let sha256 = file_sha256(&path("out.onnx")).unwrap();
    let (mut begun, mut decided) = (0, 0);
    for kill in 0..50u32 {
        for file in ["audit.jsonl", "out.onnx"] {
            let _ = fs::remove_file(path(file));
        }
        let mut child = repair().spawn().unwrap();
        std::thread::sleep(whole.mul_f64(f64::from(kill * 37 % 50) / 50.0) + Duration::from_millis(1));
        child.kill().unwrap();
        child.wait().unwrap();
        // The model is there as a whole or not at all, and never without the log that explains it.
        if path("out.onnx").exists() {
            assert_eq!(file_sha256(&path("out.onnx")).unwrap(), sha256);
            assert!(path("audit.jsonl").exists());
        }
        if !path("audit.jsonl").exists() {
            continue;
        }
        begun += 1;
        let mut log = Log::resume(path("audit.jsonl")).unwrap().log;
        decided += usize::from(!log.state().decisions.is_empty());
        let again = log.state().opened.clone();
        log.append(Event::Opened(again)).unwrap();
        // What was made so far can be made again.
        let replayed = replay(&path("audit.jsonl"), None).unwrap();
        assert_eq!(replayed.state.made(), log.state().made());
        assert!(replayed.is_same());
    }
    assert!(begun >= 10 && decided >= 1, "{begun} logs, {decided} with decisions: killed too early to say anything");
    assert!(repair().status().unwrap().code().is_some_and(|c| c < 2));
    assert_eq!(file_sha256(&path("out.onnx")).unwrap(), sha256);
}
