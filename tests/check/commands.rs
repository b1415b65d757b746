//! `inspect`, `explain`, `completions`, `man`, and habits of the command line.

use super::{json, root, run, sample};
use std::process::{Command, Stdio};

#[test]
fn inspect_tells_what_is_in_a_model() {
    let (code, out) = json(&["inspect", "sample_models/models/mobilenet.onnx"]);
    assert_eq!(code, 0);
    assert_eq!(out["inputs"].as_array().unwrap().len(), 1);
    let operators = out["operators"].as_array().unwrap();
    assert!(operators.iter().any(|o| o["operator"] == "Conv" && o["count"].as_u64().unwrap() > 5), "{out}");
    let total: u64 = operators.iter().map(|o| o["count"].as_u64().unwrap()).sum();
    assert_eq!(total, out["nodes"].as_u64().unwrap());
    assert_eq!(out["run"]["cannot_run"].as_array().unwrap().len(), 0);
    assert!(out["parameters"]["elements"].as_u64().unwrap() > 10_000);
    let (_, text, _) = run(&["inspect", "sample_models/models/mobilenet.onnx"]);
    assert!(text.contains("every node does"), "{text}");
}

#[test]
fn inspect_names_what_cannot_run() {
    let (code, out) = json(&["inspect", "sample_models/cases/5-resnet-unloadable/target.onnx"]);
    let told = format!("{}{}", out["problems"], out["run"]["cannot_run"]);
    assert!(told.contains("node"), "{out}");
    assert!(code == 2 || !out["run"]["cannot_run"].as_array().unwrap().is_empty(), "{out}");
}

#[test]
fn inspect_shows_one_node_with_its_weights() {
    let (_, model) = json(&["inspect", "sample_models/models/resnet.onnx"]);
    assert!(model["nodes"].as_u64().unwrap() > 10);
    let (code, _, err) = run(&["inspect", "sample_models/models/resnet.onnx", "--node", "/nothing/like/it"]);
    assert_eq!(code, 2);
    assert!(err.contains("there is no node"), "{err}");
    let bytes = std::fs::read(root().join("sample_models/models/resnet.onnx")).unwrap();
    let model = fixcon::model::Model::read(bytes.into(), None).unwrap();
    let conv = model.nodes().find(|(_, n)| n.op_type() == "Conv").unwrap().0;
    let (code, out) = json(&["inspect", "sample_models/models/resnet.onnx", "--node", model.label(conv)]);
    assert_eq!((code, &out["operator"]), (0, &"Conv".into()));
    assert!(out["attributes"]["strides"].is_string() || out["attributes"]["kernel_shape"].is_string(), "{out}");
    let weight = &out["inputs"][1];
    assert_eq!(weight["shape"].as_array().unwrap().len(), 4);
    assert!(weight["statistics"]["std"].as_f64().unwrap() > 0.0);
}

#[test]
fn explain_knows_kinds_and_categories() {
    let (code, out, _) = run(&["explain", "lh-pads"]);
    assert_eq!(code, 0);
    assert!(out.contains("LH-PADS") && out.contains("padding"), "{out}");
    let (_, out) = json(&["explain", "WB"]);
    assert!(out["kinds"].as_array().unwrap().len() >= 5);
    let (code, _, err) = run(&["explain", "LH-PAD"]);
    assert_eq!(code, 2);
    assert!(err.contains("did you mean LH-PADS"), "{err}");
}

#[test]
fn completions_and_manual_pages_are_made() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = run(&["completions", shell]);
        assert!(code == 0 && out.contains("inspect"), "{shell}");
    }
    let (code, out, _) = run(&["man"]);
    assert!(code == 0 && out.contains(".TH fixcon"), "{out}");
    let (code, out, _) = run(&["man", "check"]);
    assert!(code == 0 && out.contains("label\\-offset") && !out.contains("\"check \""), "{out}");
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let mut child = Command::new(assert_cmd::cargo::cargo_bin("fixcon"))
        .current_dir(root())
        .args(["inspect", "sample_models/models/vit.onnx", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let out = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stderr), "");
    assert_eq!(out.status.code(), Some(0));
}

#[test]
fn failures_are_json_when_that_is_asked_for() {
    let (code, out) = json(&["inspect", "tests/data/pillow.npz"]);
    assert_eq!(code, 2);
    assert!(out["error"]["message"].as_str().unwrap().contains("pillow.npz"), "{out}");
    // So are those of the command line itself.
    for wrong in [&["check", "--imagse", "x"][..], &["report"], &["chek"]] {
        let (code, out) = json(wrong);
        assert!(code == 2 && out["error"]["message"].as_str().is_some_and(|m| !m.is_empty()), "{out}");
        let (code, out, err) = run(wrong);
        assert!(code == 2 && out.is_empty() && err.starts_with("error: "), "{err}");
    }
    let (code, out, _) = run(&["check", "--json", "--help"]);
    assert!(code == 0 && out.contains("Usage: fixcon check"), "{out}");
}

/// A check of so many images that it can be ended from outside before it is done.
#[cfg(target_os = "linux")]
struct Busy {
    parent: std::process::Child,
    work: String,
    _folder: tempfile::TempDir,
}

#[cfg(target_os = "linux")]
impl Busy {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("list.txt");
        let line = format!("{}\n", root().join("sample_models/images/probe/p000.png").display());
        std::fs::write(&list, line.repeat(100_000)).unwrap();
        let parent = Command::new(assert_cmd::cargo::cargo_bin("fixcon"))
            .current_dir(root())
            .args(["check", "--threads", "1", &sample("8-mobilenet-clean-torch"), "--images"])
            .arg(&list)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let children = format!("/proc/{0}/task/{0}/children", parent.id());
        let work = wait_for(|| std::fs::read_to_string(&children).ok()?.split_whitespace().next().map(str::to_string));
        Self { parent, work, _folder: folder }
    }
}

/// Asks again and again, for ten seconds.
#[cfg(target_os = "linux")]
fn wait_for<T>(ask: impl Fn() -> Option<T>) -> T {
    for _ in 0..500 {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("it did not come about");
}

#[cfg(target_os = "linux")]
#[test]
fn work_that_aborts_ends_in_a_message_and_exit_code_two() {
    let busy = Busy::new();
    assert!(Command::new("kill").args(["-ABRT", &busy.work]).status().unwrap().success());
    let out = busy.parent.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(2));
    let err = String::from_utf8_lossy(&out.stderr);
    assert!(err.contains("error: the work was not finished") && err.contains("--max-mem"), "{err}");
}

#[cfg(target_os = "linux")]
#[test]
fn whoever_kills_the_program_ends_its_work() {
    let mut busy = Busy::new();
    busy.parent.kill().unwrap();
    busy.parent.wait().unwrap();
    let gone = || {
        let state = std::fs::read_to_string(format!("/proc/{}/stat", busy.work)).unwrap_or_default();
        // A zombie has ended too; nobody may be there to fetch it.
        (state.is_empty() || state.contains(") Z ")).then_some(())
    };
    wait_for(gone);
}

/// `fixcon check … | head -1` in a script with pipefail is a gate as well.
#[test]
#[cfg(unix)]
fn who_stops_reading_gets_the_same_exit_code() {
    for format in [&["--list", "0"][..], &["--format", "junit"], &["--json"]] {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("fixcon"));
        command.args(["check", "--quiet", &sample("1-mobilenet-pads")]).args(format);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(1), "{format:?}");
    }
}

#[test]
fn localize_keeps_no_more_values_than_max_mem_allows() {
    let case = sample("1-mobilenet-pads");
    let (code, _, err) = run(&["localize", &case, "--max-mem", "200K"]);
    assert!(code == 2 && err.contains("the source does not run: node '") && err.contains("--max-mem allows 20"), "{err}");
    assert_eq!(run(&["localize", &case, "--max-mem", "20M"]).0, 1);
}
