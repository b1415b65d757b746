//! Reports from a log alone, as their readers see them.

use assert_cmd::Command;
use serde_json::Value as Json;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models")
}

fn fixcon(folder: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let out = Command::cargo_bin("fixcon").unwrap().current_dir(folder).args(args).output().unwrap();
    (out.status.code(), String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap())
}

/// A repaired sample and its log, with nothing else beside it: neither models nor images.
fn session(case: &str, more: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let work = tempfile::tempdir().unwrap();
    let case = root().join("cases").join(case);
    let mut args = vec!["repair", case.to_str().unwrap(), "--yes", "--output", "out.onnx", "--audit-log", "log.jsonl", "--quiet"];
    args.extend(more);
    let (code, out, err) = fixcon(work.path(), &args);
    assert!(code.is_some_and(|c| c < 2), "{out}{err}");
    fs::rename(work.path().join("log.jsonl"), dir.path().join("log.jsonl")).unwrap();
    fs::create_dir(dir.path().join("log.jsonl.tensors")).unwrap();
    for file in fs::read_dir(work.path().join("log.jsonl.tensors")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), dir.path().join("log.jsonl.tensors").join(file.file_name())).unwrap();
    }
    dir
}

fn report(dir: &Path, format: &str) -> String {
    let (code, out, err) = fixcon(dir, &["report", "log.jsonl", "--format", format]);
    assert_eq!(code, Some(0), "{err}");
    out
}

fn json(dir: &Path) -> Json {
    serde_json::from_str(&report(dir, "json")).unwrap()
}

#[test]
fn a_repair_with_two_edits_is_told_in_every_form() {
    let dir = session("3-inception-two-faults", &[]);
    let r = json(dir.path());
    assert_eq!((r["before"]["flips"].as_u64(), r["after"]["flips"].as_u64()), (Some(43), Some(0)));
    assert_eq!(r["whole"], true);
    let edits = r["edits"].as_array().unwrap();
    let accepted: Vec<&Json> = edits.iter().filter(|e| e["standing"] == "accepted").collect();
    assert_eq!(accepted.len(), 2);
    for e in &accepted {
        assert!(e["diff"].as_array().is_some_and(|d| d.len() >= 2), "{e}");
        assert!(e["flips"].as_array().is_some(), "{e}");
        assert!(e["suspect"].is_u64() && e["evidence"]["error"].is_array() && !e["decisions"].as_array().unwrap().is_empty(), "{e}");
    }
    // Two looks: at first with both suspects, at the end with none.
    let looks = r["looks"].as_array().unwrap();
    assert_eq!(looks.first().unwrap()["suspects"].as_array().map(Vec::len), Some(2));
    assert_eq!(looks.last().unwrap()["suspects"].as_array().map(Vec::len), Some(0));
    assert!(looks.iter().all(|l| l["regions"].as_array().is_some_and(|r| r.len() > 10)));
    assert!(looks[0]["suspects"].as_array().unwrap().iter().all(|s| s["standing"] == "mended"));
    let images = r["images"].as_array().unwrap();
    // Those that differ for a while after one of two edits count too.
    let broken = images.iter().filter(|i| i["broken"] == true).count();
    assert_eq!(images.len(), 43 + broken);
    // Twenty-four at each evaluation, those that have one already left out.
    let pictures = images.iter().filter(|i| i["picture"].is_string()).count();
    assert!((24..=48).contains(&pictures), "{pictures}");
    assert!(images.iter().all(|i| i["differs"] == false && !i["source"].as_str().unwrap().is_empty()));

    let html = report(dir.path(), "html");
    assert!(html.matches("<img src=\"data:image/").count() == pictures && html.contains("43 → 0 of 100 images"));
    // A report of the same fault elsewhere is named once, not beside the edit and again beside its suspect.
    assert_eq!(html.matches("onnx/onnx#2677</a>").count() + html.matches("onnx&#x2f;onnx#2677</a>").count(), 1);
    assert!(html.contains("class=\"faulty\"") && html.contains("class=\"added\"") && html.contains("class=\"removed\""));
    stands_alone(&html);

    let markdown = report(dir.path(), "markdown");
    assert!(markdown.starts_with("# fixcon: 43 → 0 of 100 images"));
    assert!(markdown.contains("```diff\n@@ ") && markdown.contains("at first    ") && markdown.contains("✓ accepted"), "{markdown}");

    let (_, brief, _) = fixcon(dir.path(), &["report", "log.jsonl", "--brief"]);
    assert!(brief.starts_with("### fixcon: ✅ 43 → 0 of 100 images have another label"), "{brief}");
    assert!(brief.lines().count() < 20 && brief.contains("CG-REWIRED") && brief.contains("WB-BIAS"), "{brief}");

    let junit = report(dir.path(), "junit");
    assert!(junit.contains("name=\"100 images agree\"") && junit.contains("(mended)") && !junit.contains("<failure"), "{junit}");

    let sarif: Json = serde_json::from_str(&report(dir.path(), "sarif")).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    let run = &sarif["runs"][0];
    let rules: Vec<&str> = run["tool"]["driver"]["rules"].as_array().unwrap().iter().filter_map(|r| r["id"].as_str()).collect();
    assert_eq!(rules, ["CG-REWIRED", "WB-BIAS"]);
    for result in run["results"].as_array().unwrap() {
        let at = result["ruleIndex"].as_u64().unwrap() as usize;
        assert_eq!(result["ruleId"], rules[at]);
        assert_eq!((result["kind"].as_str(), result["level"].as_str()), (Some("pass"), Some("none")));
        assert!(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].as_str().unwrap().ends_with("target.onnx"));
        assert!(result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"].is_string());
    }
}

/// Nothing is loaded, no script runs.
fn stands_alone(html: &str) {
    for loading in ["<script", "<link", "<iframe", "<object", "@import", "url(", "src=\"http", "src=\"/", "srcset"] {
        assert!(!html.contains(loading), "{loading}");
    }
    assert!(html.contains("default-src 'none'"));
}

#[test]
fn what_is_left_fails() {
    let dir = session("1-mobilenet-pads", &["--categories", "WB"]);
    let r = json(dir.path());
    assert_eq!((r["before"]["flips"].as_u64(), r["after"]["flips"].as_u64()), (Some(10), Some(10)));
    assert!(r["looks"][0]["suspects"].as_array().unwrap().iter().all(|s| s["standing"] == "left"));
    // The converter's name is in the model, so a report of the same fault is named beside it.
    assert!(r["looks"][0]["suspects"][0]["known"].as_array().unwrap().iter().any(|k| k["issue"] == "taehoonlee/tensornets#25"), "{r}");
    let junit = report(dir.path(), "junit");
    assert_eq!(junit.matches("<failure").count(), 11, "ten images and a layer: {junit}");
    let sarif: Json = serde_json::from_str(&report(dir.path(), "sarif")).unwrap();
    let result = &sarif["runs"][0]["results"][0];
    assert_eq!((result["ruleId"].as_str(), result["level"].as_str()), (Some("LH-PADS"), Some("error")));
    assert!(report(dir.path(), "html").contains("✗ labels differ"));
    let (_, brief, _) = fixcon(dir.path(), &["report", "log.jsonl", "--brief"]);
    assert!(brief.contains("❌") && brief.contains("Left unmended") && brief.contains("LH-PADS"), "{brief}");
}

#[test]
fn a_target_that_did_not_run_is_not_counted_as_labels_that_differ() {
    let dir = tempfile::tempdir().unwrap();
    let case = root().join("cases/5-resnet-unloadable/case.toml");
    let args = ["repair", case.to_str().unwrap(), "--yes", "-q", "--audit-log", "log.jsonl"];
    let (code, out, err) = fixcon(dir.path(), &args);
    assert!(code == Some(0) && out.starts_with("the target did not run: ") && !out.contains("\u{2192} 0 of"), "{out}{err}");
    assert!(out.contains("\nnow 0 of 100 images have another label"), "{out}");
    let (text, found) = (report(dir.path(), "markdown"), json(dir.path()));
    assert!(text.contains("the target did not run; now none of 100 images has another label"), "{text}");
    let steps = found["evaluations"].as_array().unwrap();
    assert!(steps[0]["does_not_run"].is_string() && steps.last().unwrap()["does_not_run"].is_null(), "{found}");
}

#[test]
fn a_recipe_is_told_as_a_diff() {
    let dir = session("4-vit-preprocessing", &[]);
    let r = json(dir.path());
    let edit = r["edits"].as_array().unwrap().iter().find(|e| e["standing"] == "accepted").unwrap();
    assert_eq!(edit["category"], "PP");
    assert!(edit["diff"].as_array().unwrap().iter().any(|l| l.get("added").is_some()), "{edit}");
    assert_ne!(r["recipe_before"], r["recipe_after"]);
    let (html, markdown) = (report(dir.path(), "html"), report(dir.path(), "markdown"));
    assert!(html.contains("recipe with the edits"));
    // The input as a whole has no region of its own: no error of one and no node is spoken of.
    assert!(!html.contains("inf \u{2192}") && !html.contains("<dt>target</dt><dd></dd>"));
    assert!(!markdown.contains(" inf"), "{markdown}");
}

#[test]
fn a_report_is_a_function_of_the_log() {
    let dir = session("1-mobilenet-pads", &[]);
    for format in ["markdown", "html", "json", "junit", "sarif"] {
        assert_eq!(report(dir.path(), format), report(dir.path(), format), "{format}");
    }
}

#[test]
fn an_altered_log_is_reported_up_to_there_and_said_to_be_so() {
    let dir = session("1-mobilenet-pads", &[]);
    let log = dir.path().join("log.jsonl");
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replacen("\"decision\":\"accept\"", "\"decision\":\"reject\"", 1)).unwrap();
    for (format, sign) in [
        ("markdown", "Not to be trusted from record"),
        ("html", "Not to be trusted from record"),
        ("junit", "<failure"),
        ("sarif", "is not to be trusted from record"),
    ] {
        let (code, out, err) = fixcon(dir.path(), &["report", "log.jsonl", "--format", format]);
        assert_eq!(code, Some(1), "{format}");
        assert!(out.contains(sign), "{format}: {out}");
        assert!(err.contains("the log is not to be trusted from record"), "{format}: {err}");
    }
    let (_, sarif, _) = fixcon(dir.path(), &["report", "log.jsonl", "--format", "sarif"]);
    let sarif: Json = serde_json::from_str(&sarif).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    let broken = results.iter().find(|r| r["ruleId"] == "AUDIT-LOG").unwrap();
    assert_eq!((&broken["level"], &broken["kind"]), (&"error".into(), &"fail".into()), "{broken}");
    assert!(sarif["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap().iter().any(|r| r["id"] == "AUDIT-LOG"));
    let (_, brief, _) = fixcon(dir.path(), &["report", "log.jsonl", "--brief"]);
    assert!(!brief.contains('✅') && brief.contains("Not to be trusted"), "{brief}");
}

#[test]
fn a_changed_picture_is_not_shown() {
    let dir = session("1-mobilenet-pads", &[]);
    let mut changed = 0;
    for file in fs::read_dir(dir.path().join("log.jsonl.tensors")).unwrap() {
        let path = file.unwrap().path();
        let text = fs::read_to_string(&path).unwrap_or_default();
        if text.contains("\"picture\"") {
            fs::write(&path, text.replacen("iVBORw0KGgo", "iVBORw0KGgq", 1)).unwrap();
            changed += 1;
        }
    }
    assert_eq!(changed, 1);
    let html = report(dir.path(), "html");
    assert!(!html.contains("<img") && html.contains("Not shown: ") && html.contains("changed after it was written"));
    // The rest of the report needs none of it.
    fs::remove_dir_all(dir.path().join("log.jsonl.tensors")).unwrap();
    assert!(report(dir.path(), "markdown").contains("LH-PADS"));
}

#[test]
fn files_are_not_replaced_without_being_told() {
    let dir = session("1-mobilenet-pads", &[]);
    let run = |more: &[&str]| fixcon(dir.path(), &[&["report", "log.jsonl", "--format", "html", "-o", "r.html"][..], more].concat());
    assert_eq!(run(&[]).0, Some(0));
    let (code, _, err) = run(&[]);
    assert_eq!(code, Some(2));
    assert!(err.contains("--force"), "{err}");
    assert_eq!(run(&["--force"]).0, Some(0));
    let (code, all, err) = fixcon(dir.path(), &["report", "log.jsonl", "--all-images"]);
    assert!(code == Some(0) && all == report(dir.path(), "markdown"), "of ten images all are shown: {err}");
    assert!(all.contains(", 1 edit, SHA-256") && !all.contains("\n\n\n"), "{all}");
    let (code, _, err) = fixcon(dir.path(), &["report", "log.jsonl", "-o", "nowhere/r.md"]);
    assert!(code == Some(2) && err.contains("nowhere/r.md: there is no folder nowhere"), "{err}");
    let (code, _, err) = fixcon(dir.path(), &["report", "log.jsonl", "--format", "html", "--brief"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("--brief"), "{err}");
    assert_eq!(fixcon(dir.path(), &["report", "nowhere.jsonl"]).0, Some(2));
}
