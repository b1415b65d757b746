//! What a command reads stays as it is, whatever `--force` says; and what failed leaves nothing in the way of the next attempt.

mod samples;

use assert_cmd::Command;
use fixcon::model::onnx::{ModelProto, StringStringEntryProto, tensor_proto::DataLocation};
use prost::Message;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models")
}

fn fixcon(folder: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let out = Command::cargo_bin("fixcon").unwrap().current_dir(folder).args(args).output().unwrap();
    (out.status.code(), String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap())
}

/// A case with all that it reads in its own folder: both models, four photos, names of classes. The target keeps its largest weight outside.
fn desk() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    samples::copy_case(&root().join("cases/1-mobilenet-pads"), dir.path());
    fs::copy(root().join("models/mobilenet.onnx"), dir.path().join("source.onnx")).unwrap();
    fs::create_dir(dir.path().join("photos")).unwrap();
    for name in ["p000.png", "p001.png", "p023.png", "p038.png"] {
        fs::copy(root().join("images/probe").join(name), dir.path().join("photos").join(name)).unwrap();
    }
    let case = fs::read_to_string(dir.path().join("case.toml")).unwrap();
    let case = case.replace("../../models/mobilenet.onnx", "source.onnx").replace("../../images/probe", "photos");
    assert!(!case.contains("../"), "{case}");
    fs::write(dir.path().join("case.toml"), case).unwrap();
    move_weights_out(&dir.path().join("target.onnx"), "weights.bin");
    dir
}

fn move_weights_out(model: &Path, location: &str) {
    let mut proto = ModelProto::decode(&*fs::read(model).unwrap()).unwrap();
    let tensors = &mut proto.graph.as_mut().unwrap().initializer;
    let largest = tensors.iter_mut().filter(|t| t.raw_data.is_some()).max_by_key(|t| t.encoded_len()).unwrap();
    let data = largest.raw_data.take().unwrap();
    largest.data_location = Some(DataLocation::External as i32);
    largest.external_data = vec![StringStringEntryProto { key: Some("location".into()), value: Some(location.into()) }];
    fs::write(model.with_file_name(location), &data).unwrap();
    fs::write(model, proto.encode_to_vec()).unwrap();
}

/// Everything below a folder.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => drop(out.insert(path.clone(), fs::read(&path).unwrap())),
            }
        }
    }
    out
}

#[test]
fn what_a_command_reads_is_never_replaced() {
    let dir = desk();
    let (code, out, err) = fixcon(dir.path(), &["repair", ".", "--yes", "-q", "-o", "out/m.onnx"]);
    assert_eq!(code, Some(2), "there is no folder: {out}{err}");
    let (code, out, err) = fixcon(dir.path(), &["repair", ".", "--yes", "-q", "-o", "mended.onnx", "--audit-log", "log.jsonl"]);
    assert_eq!(code, Some(0), "{out}{err}");
    fs::write(dir.path().join("policy.toml"), "max_broken = 0\n").unwrap();
    let beside = fs::read_dir(dir.path().join("log.jsonl.tensors")).unwrap().next().unwrap().unwrap().file_name();
    let beside = format!("log.jsonl.tensors/{}", beside.to_str().unwrap());
    let before = contents(dir.path());
    for (command, outputs) in [
        ("report log.jsonl", vec!["log.jsonl", "target.onnx", "photos/p000.png", &beside]),
        ("replay log.jsonl", vec!["log.jsonl", "target.onnx", "source.onnx", "weights.bin", "case.toml", "labels.txt", "photos/p001.png"]),
        ("replay log.jsonl --target ./target.onnx", vec!["target.onnx", "./target.onnx"]),
        (
            "repair . --yes -q --policy policy.toml",
            vec!["source.onnx", "target.onnx", "weights.bin", "case.toml", "labels.txt", "photos/p000.png", "policy.toml", "photos"],
        ),
        ("repair . --yes -q --audit-log log.jsonl --recipe-output", vec!["photos/p023.png"]),
        ("repair . --yes -q --output new.onnx --audit-log", vec!["labels.txt", "weights.bin"]),
    ] {
        for output in outputs {
            let mut args: Vec<&str> = command.split(' ').collect();
            if !args.last().is_some_and(|a| a.ends_with("-output") || a.ends_with("-log")) {
                args.push("--output");
            }
            args.extend([output, "--force"]);
            let (code, _, err) = fixcon(dir.path(), &args);
            assert!(code == Some(2) && err.contains("is read by this very command"), "{args:?}: {code:?} {err}");
            assert!(contents(dir.path()) == before, "{args:?}");
        }
    }
    // What is no input may be replaced.
    assert_eq!(fixcon(dir.path(), &["replay", "log.jsonl", "-o", "mended.onnx", "--force"]).0, Some(0));
}

#[test]
fn weights_outside_a_model_are_not_put_over_those_of_another() {
    let dir = desk();
    fs::create_dir(dir.path().join("theirs")).unwrap();
    let source = dir.path().join("theirs/source.onnx");
    fs::rename(dir.path().join("source.onnx"), &source).unwrap();
    move_weights_out(&source, "weights.bin");
    let before = contents(&dir.path().join("theirs"));
    let args = ["repair", ".", "--source", "theirs/source.onnx", "--yes", "-q", "--output", "theirs/new.onnx", "--force"];
    let (code, _, err) = fixcon(dir.path(), &args);
    assert!(code == Some(2) && err.contains("theirs/weights.bin: is read by this very command"), "{err}");
    assert!(contents(&dir.path().join("theirs")) == before);
}

#[test]
fn folders_that_are_filled_spare_the_models_too() {
    let dir = desk();
    fs::rename(dir.path().join("source.onnx"), dir.path().join("model.onnx")).unwrap();
    let before = contents(dir.path());
    let export = |more: &[&str]| fixcon(dir.path(), &[&["export", ".", "--source", "model.onnx", "-q", "-o"], more].concat());
    // A folder with other things in it is not mixed with what is written.
    let (code, _, err) = export(&["photos"]);
    assert!(code == Some(2) && err.contains("photos: is not empty") && err.contains("--force"), "{err}");
    let (code, _, err) = export(&[".", "--force"]);
    assert!(code == Some(2) && err.contains("model.onnx: is read by this very command"), "{err}");
    assert!(contents(dir.path()) == before);
    // Outcomes of a measurement are kept in no file of another kind.
    for flag in ["--results", "--output"] {
        let (code, _, err) = fixcon(dir.path(), &["matrix", "case.toml", flag, "case.toml"]);
        assert!(code == Some(2) && err.contains("is read by this very command"), "{err}");
    }
    fs::write(dir.path().join("notes.txt"), "mine\nas well\n").unwrap();
    let (code, _, err) = fixcon(dir.path(), &["matrix", "case.toml", "--results", "notes.txt"]);
    assert!(code == Some(2) && err.contains("--results"), "{err}");
    assert_eq!(fs::read_to_string(dir.path().join("notes.txt")).unwrap(), "mine\nas well\n");
}

#[test]
fn a_repair_that_fails_leaves_nothing_behind() {
    let dir = desk();
    let before = contents(dir.path());
    let resnet = root().join("models/resnet.onnx");
    let wrong = ["repair", ".", "--source", resnet.to_str().unwrap(), "--yes", "-q", "-o", "mended.onnx"];
    let (code, _, err) = fixcon(dir.path(), &wrong);
    assert!(code == Some(2) && err.contains("the source does not run"), "{err}");
    assert!(contents(dir.path()) == before && !dir.path().join("mended.fixcon.jsonl.tensors").exists());
    // So the corrected command runs as it is.
    let right = ["repair", ".", "--yes", "-q", "-o", "mended.onnx"];
    assert_eq!(fixcon(dir.path(), &right).0, Some(0));
    // A log that stood there before a failure stands there after it; and what to do about it is what there is.
    let before = contents(dir.path());
    assert_eq!(fixcon(dir.path(), &[&wrong[..], &["--force"]].concat()).0, Some(2));
    assert!(contents(dir.path()) == before);
    fs::remove_file(dir.path().join("mended.onnx")).unwrap();
    let (code, _, err) = fixcon(dir.path(), &right);
    assert!(code == Some(2) && err.contains("--force") && err.contains("--audit-log") && !err.contains("--resume"), "{err}");
}
