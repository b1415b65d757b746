//! Many cases, one line each.

mod samples;

use assert_cmd::Command;
use serde_json::Value as Json;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models")
}

fn triage(folder: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let out = Command::cargo_bin("fixcon").unwrap().arg("triage").arg(folder).args(more).output().unwrap();
    (out.status.code(), String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap())
}

/// A folder with some of the samples; their models and images are found from there.
fn folder(cases: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for part in ["models", "images"] {
        std::os::unix::fs::symlink(root().join(part), dir.path().join(part)).unwrap();
    }
    for case in cases {
        samples::copy_case(&root().join("cases").join(case), &dir.path().join("cases").join(case));
    }
    dir
}

#[test]
fn every_case_has_its_line_and_the_worst_decides() {
    let dir = folder(&["1-mobilenet-pads", "8-mobilenet-clean-torch", "10-vit-float16"]);
    let cases = dir.path().join("cases");
    let (code, one, err) = triage(&cases, &[]);
    assert_eq!(code, Some(1), "{err}");
    let lines: Vec<&str> = one.lines().collect();
    assert!(lines[0].contains("10/100") && lines[0].contains("LH-PADS") && lines[0].contains("1-mobilenet-pads"), "{one}");
    assert!(lines[1].starts_with('=') && lines[1].contains("8-mobilenet-clean-torch"), "2 comes before 10: {one}");
    assert!(one.contains("3 cases:") && one.contains("1  LH-PADS"), "{one}");
    // The same with two at a time, and in the same order.
    let (_, two, _) = triage(&cases, &["--jobs", "2"]);
    assert_eq!(one, two);
    // A case that cannot be looked into is the worst, and stops no other.
    fs::write(cases.join("10-vit-float16/target.onnx"), "no model").unwrap();
    let (code, out, _) = triage(&cases, &["--json"]);
    assert_eq!(code, Some(2));
    let report: Json = serde_json::from_str(&out).unwrap();
    assert_eq!((report["failed"].as_u64(), report["clean"].as_u64()), (Some(1), Some(1)));
    assert_eq!(report["cases"][2]["verdict"], "failed");
    assert!(report["cases"][2]["words"].as_str().unwrap().contains("target.onnx"));
    assert_eq!(report["kinds"][0]["kind"], "LH-PADS");
    // Nothing wrong at all is exit code 0.
    fs::remove_dir_all(cases.join("1-mobilenet-pads")).unwrap();
    fs::remove_dir_all(cases.join("10-vit-float16")).unwrap();
    assert_eq!(triage(&cases, &[]).0, Some(0));
}

#[test]
fn a_run_that_was_ended_goes_on() {
    let dir = folder(&["1-mobilenet-pads", "8-mobilenet-clean-torch"]);
    let state = dir.path().join("state.jsonl");
    let named = state.to_str().unwrap().to_string();
    let cases = dir.path().join("cases");
    let (_, first, _) = triage(&cases, &["--state", &named]);
    // Ended in the middle of the second line.
    let text = fs::read_to_string(&state).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3);
    let known = lines.iter().position(|l| l.contains("1-mobilenet-pads")).unwrap();
    let marked = lines[known].replace("LH-PADS", "LH-POOL");
    fs::write(&state, format!("{}\n{marked}\n{}", lines[0], &lines[3 - known][..20])).unwrap();
    let (_, second, _) = triage(&cases, &["--state", &named, "--resume"]);
    assert_eq!(second, first.replace("LH-PADS", "LH-POOL"), "what is known is not looked into again");
    // A changed case is.
    let case = cases.join("1-mobilenet-pads/case.toml");
    fs::write(&case, fs::read_to_string(&case).unwrap() + "\n# changed\n").unwrap();
    let (_, third, _) = triage(&cases, &["--state", &named, "--resume"]);
    assert_eq!(third, first);
    // Without --resume everything is; and a file of somebody else's is left alone.
    assert_eq!(triage(&cases, &["--state", &named]).1, first);
    fs::write(&state, "mine").unwrap();
    for more in [&["--state", &named][..], &["--state", &named, "--resume"]] {
        let (code, _, err) = triage(&cases, more);
        assert_eq!(code, Some(2));
        assert!(err.contains("--state"), "{err}");
    }
    assert_eq!(fs::read_to_string(&state).unwrap(), "mine");
    assert_eq!(triage(&dir.path().join("models"), &[]).0, Some(2), "no case in it");
}
