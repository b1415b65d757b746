//! What `check` says of the bundled cases, against the counts that onnxruntime gave.

use super::{json, root, run, sample};
use serde_json::Value;

fn manifest() -> Vec<Value> {
    let text = std::fs::read_to_string(root().join("sample_models/manifest.json")).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    all["cases"].as_array().unwrap().clone()
}

#[test]
fn every_bundled_case_has_the_flips_that_onnxruntime_counts() {
    let mut wrong = Vec::new();
    for case in manifest() {
        let id = case["id"].as_str().unwrap();
        let (code, out) = json(&["check", "--case", &sample(id)]);
        match case["mismatch_before"]["probe"].as_i64() {
            None => {
                let named = out["error"]["node"].is_string() || out["error"]["input"].is_string();
                if code != 2 || !named || out["error"]["side"] != "target" {
                    wrong.push(format!("{id}: exit code {code}, {}", out["error"]));
                }
            }
            Some(want) => {
                let got = out["mismatches"]["count"].as_i64().unwrap_or(-1000);
                let allowed = if case["route"].as_str().unwrap().contains("int8") { 3 } else { 1 };
                if (got - want).abs() > allowed || code != i32::from(got > 0) || out["mismatches"]["of"] != case["mismatch_before"]["of"] {
                    wrong.push(format!("{id}: {got} flips, exit code {code}, wanted {want}; {}", out["error"]));
                }
                assert_eq!(out["flips"].as_array().unwrap().len() as i64, got, "{id}");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn text_names_the_images_and_both_labels() {
    let (code, out, err) = run(&["check", &sample("1-mobilenet-pads")]);
    assert_eq!((code, err.as_str()), (1, ""));
    assert!(out.contains("of 100 images have another label"), "{out}");
    let flip = out.lines().find(|l| l.contains("p023.png")).unwrap();
    assert!(flip.contains("frog") && flip.contains("bird"), "{flip}");
    assert!(out.contains("relative L2") && out.contains("Kendall's tau"), "{out}");
}

#[test]
fn the_outcome_does_not_depend_on_the_number_of_threads() {
    let one = json(&["check", &sample("17-mobilenet-clip"), "--threads", "1"]);
    for threads in ["2", "5"] {
        assert_eq!(json(&["check", &sample("17-mobilenet-clip"), "--threads", threads]), one);
    }
}

#[test]
fn a_target_that_does_not_load_is_refused_with_its_name() {
    let (code, out, err) = run(&["check", &sample("5-resnet-unloadable")]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.starts_with("error: target: node '"), "{err}");
    let (code, _, err) = run(&["check", &sample("13-inception-layout")]);
    assert_eq!(code, 2);
    assert!(err.contains("input '") || err.contains("node '"), "{err}");
}

#[test]
fn junit_has_a_failure_for_each_flip() {
    let (code, out, _) = run(&["check", &sample("1-mobilenet-pads"), "--format", "junit"]);
    assert_eq!(code, 1);
    let (_, report) = json(&["check", &sample("1-mobilenet-pads")]);
    let flips = report["mismatches"]["count"].as_u64().unwrap() as usize;
    assert!(out.starts_with("<?xml"), "{out}");
    assert_eq!(out.matches("<failure").count(), flips);
    assert!(out.contains(&format!("{} images agree", 100 - flips)), "{out}");
}

#[test]
fn without_a_command_and_a_terminal_the_first_demonstration_is_checked() {
    let (code, out, err) = run(&[]);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("no command and no terminal") && err.contains("1-mobilenet-pads"), "{err}");
    assert!(out.contains("images have another label"), "{out}");
}
