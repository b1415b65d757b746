//! Many cases, one line each.

mod samples;

use assert_cmd::Command;
use fixcon::model::onnx::tensor_proto::DataLocation;
use fixcon::model::onnx::{ModelProto, StringStringEntryProto};
use prost::Message;
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

#[test]
fn an_outcome_is_not_kept_when_images_external_data_or_options_change() {
    let dir = folder(&["1-mobilenet-pads"]);
    let case = dir.path().join("cases/1-mobilenet-pads");
    // Images of its own, and the largest weights beside the model.
    let images = dir.path().join("few");
    fs::create_dir(&images).unwrap();
    let mut names: Vec<_> = fs::read_dir(root().join("images/probe")).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    for file in &names[..8] {
        fs::copy(file, images.join(file.file_name().unwrap())).unwrap();
    }
    let text = fs::read_to_string(case.join("case.toml")).unwrap();
    fs::write(case.join("case.toml"), text.replace("../../images/probe", "../../few")).unwrap();
    let mut model = ModelProto::decode(&fs::read(case.join("target.onnx")).unwrap()[..]).unwrap();
    let largest = model.graph.as_mut().unwrap().initializer.iter_mut().max_by_key(|t| t.raw_data().len()).unwrap();
    fs::write(case.join("w.data"), largest.raw_data.take().unwrap()).unwrap();
    largest.data_location = Some(DataLocation::External as i32);
    largest.external_data = vec![StringStringEntryProto { key: Some("location".into()), value: Some("w.data".into()) }];
    fs::write(case.join("target.onnx"), model.encode_to_vec()).unwrap();

    let cases = dir.path().join("cases");
    let state = dir.path().join("state.jsonl");
    let named = state.to_str().unwrap().to_string();
    // Whether the outcome that was written down is believed: it is one that no run has.
    let believed = |more: &[&str]| {
        let text = fs::read_to_string(&state).unwrap();
        let mut lines: Vec<Json> = text.lines().filter(|l| !l.is_empty()).map(|l| serde_json::from_str(l).unwrap()).collect();
        let last = lines.last_mut().unwrap();
        assert_ne!(last["digest"], "", "{text}");
        last["of"] = 4711.into();
        fs::write(&state, lines.iter().map(|l| format!("{l}\n")).collect::<String>()).unwrap();
        let (_, out, err) = triage(&cases, &[&["--state", &named, "--resume"], more].concat());
        assert!(out.contains("1 case:"), "{out}{err}");
        out.contains("4711")
    };
    triage(&cases, &["--state", &named]);
    assert!(believed(&[]), "nothing changed");
    assert!(!believed(&["--max-mem", "3G"]), "another option");
    triage(&cases, &["--state", &named, "--resume"]);
    let mut data = fs::read(case.join("w.data")).unwrap();
    data[..4].copy_from_slice(&1f32.to_le_bytes());
    fs::write(case.join("w.data"), data).unwrap();
    assert!(!believed(&[]), "other external data");
    fs::copy(&names[8], images.join(names[0].file_name().unwrap())).unwrap();
    assert!(!believed(&[]), "another image");
    assert!(believed(&[]), "nothing changed since");
}

#[test]
fn labels_that_differ_by_precision_have_one_account() {
    let dir = folder(&["6-mobilenet-int8", "8-mobilenet-clean-torch"]);
    let cases = dir.path().join("cases");
    let (code, out, err) = triage(&cases, &[]);
    assert_eq!(code, Some(1), "{err}");
    let line = out.lines().find(|l| l.contains("6-mobilenet-int8")).unwrap();
    assert!(line.starts_with("~ ") && line.contains("1/100") && line.contains("precision"), "{line}");
    assert!(out.contains("2 cases: 1 clean, 1 with other labels by precision alone, 0 faulty, 0 failed"), "{out}");
    let (_, json, _) = triage(&cases, &["--json"]);
    let report: Json = serde_json::from_str(&json).unwrap();
    let tally = ["clean", "precision", "faulty", "failed"].map(|k| report[k].as_u64().unwrap());
    assert_eq!((tally, &report["cases"][0]["verdict"]), ([1, 1, 0, 0], &"precision".into()), "{report}");
    // localize says why its exit code is 1.
    let case = cases.join("6-mobilenet-int8");
    let out = Command::cargo_bin("fixcon").unwrap().args(["localize", "-q"]).arg(&case).output().unwrap();
    let said = String::from_utf8(out.stdout).unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert!(said.starts_with("clean: 1 of 100") && said.contains("differ by precision") && said.contains("exit code 1"), "{said}");
}

#[test]
fn an_image_that_cannot_be_read_is_no_success_of_any_command() {
    let dir = folder(&["8-mobilenet-clean-torch"]);
    let case = dir.path().join("cases/8-mobilenet-clean-torch");
    let images = dir.path().join("some");
    fs::create_dir(&images).unwrap();
    for name in ["p000.png", "p001.png"] {
        fs::copy(root().join("images/probe").join(name), images.join(name)).unwrap();
    }
    fs::write(images.join("broken.png"), b"\x89PNG\r\n\x1a\nnothing").unwrap();
    let text = fs::read_to_string(case.join("case.toml")).unwrap().replace("../../images/probe", "../../some");
    fs::write(case.join("case.toml"), text).unwrap();
    let run = |args: &[&str]| {
        let out = Command::cargo_bin("fixcon").unwrap().args(args).arg("--case").arg(case.join("case.toml")).output().unwrap();
        (out.status.code(), String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap())
    };
    for command in [&["check"][..], &["localize"], &["repair", "--yes"]] {
        let (code, out, err) = run(command);
        assert_eq!(code, Some(2), "{command:?}: {out}{err}");
        assert!(out.contains("left out") && out.contains("broken.png"), "{command:?}: {out}");
        assert!(err.contains("1 of 3 images cannot be read") && err.contains("--skip-unreadable"), "{command:?}: {err}");
        let (code, json, _) = run(&[command, &["--json", "--skip-unreadable"]].concat());
        assert_eq!(code, Some(0), "{command:?}");
        let json: Json = serde_json::from_str(&json).unwrap();
        let left_out = if command == ["check"] { &json["images"]["left_out"] } else { &json["left_out"] };
        assert_eq!(left_out[0]["image"], "broken.png", "{command:?}: {json}");
    }
    let cases = dir.path().join("cases");
    let (code, out, err) = triage(&cases, &[]);
    assert_eq!(code, Some(2), "{out}{err}");
    assert!(
        out.starts_with("? ") && out.contains("1 image cannot be read") && out.contains("1 case with images that cannot be read"),
        "{out}"
    );
    let (code, json, _) = triage(&cases, &["--json", "--skip-unreadable"]);
    let report: Json = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &report["with_unreadable"], &report["cases"][0]["unreadable"]), (Some(0), &1.into(), &1.into()), "{report}");
}
