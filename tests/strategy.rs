//! What `fixcon repair` is told to do otherwise: the paper's loop, and raising precision, as a user of the command sees them.

use assert_cmd::Command;
use serde_json::Value;
use std::path::{Path, PathBuf};

fn case(id: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models/cases").join(id).join("case.toml")
}

fn fixcon(args: &[&str]) -> std::process::Output {
    Command::cargo_bin("fixcon").expect("the program is built").args(args).output().expect("it runs")
}

fn repair(id: &str, more: &[&str]) -> Value {
    let case = case(id);
    let case = case.to_str().expect("a plain path");
    let output = fixcon(&[&["repair", "--yes", "--json", "--quiet", "--case", case], more].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{id}: {e}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn paper(id: &str, more: &[&str]) -> Value {
    repair(id, &[&["--strategy", "paper"], more].concat())
}

/// Records of a log.
fn records(log: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(log).expect("the log is there");
    text.lines().map(|l| serde_json::from_str(l).expect("a record is JSON")).collect()
}

#[test]
fn the_papers_loop_mends_pads_and_its_log_replays() {
    let folder = tempfile::tempdir().expect("a folder");
    let (model, log) = (folder.path().join("mended.onnx"), folder.path().join("log.jsonl"));
    let (model, log_path) = (model.to_str().expect("a plain path"), log.to_str().expect("a plain path"));
    let done = paper("1-mobilenet-pads", &["--output", model, "--audit-log", log_path]);
    assert_eq!((&done["strategy"], &done["initial_mismatches"]), (&"paper".into(), &10.into()), "{done}");
    assert_eq!(done["final_mismatches"], 0, "{done}");
    assert!(done["accepted"].as_array().is_some_and(|a| a.iter().any(|e| e["kind"] == "LH-PADS")), "{done}");
    assert!(done["notes"].to_string().contains("no label differs"), "{done}");

    let notes: Vec<String> =
        records(&log).iter().filter(|r| r["kind"] == "decided").filter_map(|r| Some(r["note"].as_str()?.to_string())).collect();
    assert!(notes.iter().all(|n| n.starts_with("Kendall's tau of ")), "{notes:?}");
    assert!(fixcon(&["replay", log_path]).status.success());
}

#[test]
fn the_papers_loop_never_questions_the_recipe() {
    let done = paper("4-vit-preprocessing", &["--time-limit", "20"]);
    assert_eq!(done["final_mismatches"], done["initial_mismatches"], "{done}");
    assert!(done["accepted"].as_array().is_some_and(|a| a.iter().all(|e| e["category"] != "PP")), "{done}");
}

#[test]
fn the_papers_loop_ends_when_time_is_up() {
    let done = paper("1-mobilenet-pads", &["--time-limit", "0"]);
    assert_eq!(done["final_mismatches"], done["initial_mismatches"], "{done}");
    assert_eq!(done["accepted"].as_array().map(Vec::len), Some(0), "{done}");
    assert!(done["notes"].to_string().contains("time was up"), "{done}");
}

#[test]
fn raised_precision_brings_a_quantised_network_to_zero_and_no_edit_is_called_safe() {
    let folder = tempfile::tempdir().expect("a folder");
    let (model, log) = (folder.path().join("mended.onnx"), folder.path().join("log.jsonl"));
    let (model, log) = (model.to_str().expect("a plain path"), log.to_str().expect("a plain path"));
    let left = repair("6-mobilenet-int8", &["--holdout", "0"]);
    assert_eq!((&left["initial_mismatches"], &left["final_mismatches"]), (&1.into(), &1.into()), "{left}");
    assert!(left["notes"].to_string().contains("--raise-precision"), "{left}");

    let done = repair("6-mobilenet-int8", &["--raise-precision", "--output", model, "--audit-log", log]);
    assert_eq!(done["final_mismatches"], 0, "{done}");
    assert_eq!(done["held_back"], serde_json::json!([0, 0]), "every image chooses, unless it is said otherwise: {done}");
    let edits = done["accepted"].as_array().cloned().unwrap_or_default();
    // A few of its layers, not all.
    assert!((1..20).contains(&edits.len()), "{done}");
    assert!(edits.iter().all(|e| e["safe"] == false && e["kind"] == "WB-PRECISION"), "{done}");
    assert!(fixcon(&["replay", log]).status.success());
    let case = case("6-mobilenet-int8");
    let checked = fixcon(&["check", "--quiet", "--target", model, "--case", case.to_str().expect("a plain path")]);
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stdout));
}

#[test]
fn precision_is_never_raised_where_only_safe_edits_may_be_made() {
    let case = case("6-mobilenet-int8");
    let output = fixcon(&["repair", "--yes", "--raise-precision", "--safe-only", "--case", case.to_str().expect("a plain path")]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_policy_file_says_what_may_be_accepted_and_flags_win_over_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let policy = folder.path().join("team.toml");
    std::fs::write(&policy, "categories = [\"WB\"]\nmax_broken = 0\nholdout = 0\n").expect("a file");
    let policy = policy.to_str().expect("a plain path");
    let log = folder.path().join("log.jsonl");

    // One fault of two is of that category.
    let done = repair("3-inception-two-faults", &["--policy", policy, "--audit-log", log.to_str().expect("a plain path")]);
    let categories: Vec<&Value> = done["accepted"].as_array().into_iter().flatten().map(|a| &a["category"]).collect();
    assert_eq!(categories, ["WB"], "{done}");
    assert_eq!(done["held_back"], serde_json::json!([0, 0]), "{done}");
    let decided = records(&log).into_iter().find(|r| r["kind"] == "decided").expect("something was decided");
    assert_eq!(decided["by"]["policy"], policy, "{decided}");

    // As much as can be said at all is no less than nothing.
    let any = usize::MAX.to_string();
    let both = repair("3-inception-two-faults", &["--policy", policy, "--categories", "wb,cg", "--max-broken", &any]);
    assert_eq!((both["accepted"].as_array().map(Vec::len), &both["final_mismatches"]), (Some(2), &0.into()), "{both}");
}

#[test]
fn a_policy_file_that_is_none_is_named_with_what_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let case = case("1-mobilenet-pads");
    for (text, wanted) in [
        ("max_brokn = 1", "line 1: unknown field 'max_brokn'"),
        ("max_brokn = 1", "did you mean 'max_broken'?"),
        ("categories = [\"XY\"]", "'XY' is no category"),
        ("safe_only = true\nraise_precision = true", "leave one of both out"),
        ("holdout = 1", "holds every image back"),
    ] {
        let policy = folder.path().join("policy.toml");
        std::fs::write(&policy, text).expect("a file");
        let output = fixcon(&[
            "repair",
            "--yes",
            "--policy",
            policy.to_str().expect("a plain path"),
            "--case",
            case.to_str().expect("a plain path"),
        ]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}: {said}");
        assert!(said.contains(wanted), "{text}: {said}");
    }
}

#[test]
fn a_new_recipe_without_which_the_model_stays_wrong_is_spoken_of() {
    let case = case("11-inception-bgr");
    let case = case.to_str().expect("a plain path");
    let said = fixcon(&["repair", "--yes", "--quiet", "--case", case]).stdout;
    assert!(String::from_utf8_lossy(&said).contains("--recipe-output FILE keeps"), "{}", String::from_utf8_lossy(&said));
}

fn text(id: &str, more: &[&str]) -> (Option<i32>, String) {
    let case = case(id);
    let mut args = vec!["repair", "--yes", "--quiet", "--case", case.to_str().expect("a plain path")];
    args.extend(more);
    let output = fixcon(&args);
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_recipe_that_was_right_is_not_written_and_one_that_was_wrong_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let recipe = folder.path().join("recipe.toml");
    let path = recipe.to_str().expect("a plain path");
    let (_, said) = text("1-mobilenet-pads", &["--recipe-output", path]);
    assert!(said.contains("recipe is as it was") && !said.contains("this one alone"), "{said}");
    assert!(!recipe.exists());
    let done = repair("1-mobilenet-pads", &["--recipe-output", path]);
    assert_eq!((&done["recipe_changed"], &done["recipe_output"]), (&false.into(), &Value::Null), "{done}");
    let (_, said) = text("11-inception-bgr", &["--recipe-output", path]);
    assert!(said.contains("the target is right with this one alone"), "{said}");
    assert!(std::fs::read_to_string(&recipe).expect("it is written").starts_with("[preprocess]"));
}

#[test]
fn images_that_a_repair_breaks_are_named_and_a_forbidden_edit_says_by_whom() {
    let folder = tempfile::tempdir().expect("a folder");
    let policy = folder.path().join("team.toml");
    std::fs::write(&policy, "categories = [\"WB\"]\nholdout = 0\n").expect("a file");
    let (policy, log) = (policy.to_str().expect("a plain path"), folder.path().join("log.jsonl"));
    let log = log.to_str().expect("a plain path");
    let (code, said) = text("3-inception-two-faults", &["--policy", policy, "--audit-log", log]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("newly broken, they agreed at first: 3 (p015.png, p039.png, p041.png)"), "{said}");
    assert!(said.contains(&format!("not allowed by {policy}")) && said.contains("category CG, allowed are WB"), "{said}");
    let brief = fixcon(&["report", log, "--brief"]).stdout;
    let brief = String::from_utf8_lossy(&brief).into_owned();
    assert!(brief.contains("Newly broken, they agreed at first: 3 (`p015.png`, `p039.png`, `p041.png`)"), "{brief}");
    // The log says it, too.
    let rejected =
        records(Path::new(log)).into_iter().any(|r| r["decision"] == "reject" && r["note"].to_string().contains("not allowed by"));
    assert!(rejected);
    let done = repair("3-inception-two-faults", &["--policy", policy]);
    assert_eq!(done["broken"], serde_json::json!(["p015.png", "p039.png", "p041.png"]), "{done}");
}

#[test]
fn edits_that_were_made_together_share_one_arrow() {
    let (code, said) = text("3-inception-two-faults", &[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches("43 → 0").count(), 2, "in the first line, and once for both edits: {said}");
    assert!(said.contains("together     43 → 0") && said.contains("of 20 that only verify, 0 do"), "{said}");
    let (_, one) = text("1-mobilenet-pads", &[]);
    assert!(!one.contains("together") && one.contains("  10 → 0\n"), "{one}");
}

#[test]
fn a_model_in_which_nothing_was_changed_is_written_only_when_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = folder.path().join("out.onnx");
    let path = model.to_str().expect("a plain path");
    let (code, said) = text("1-mobilenet-pads", &["--categories", "PP", "--output", path]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("no edit was accepted") && said.contains("--save-unchanged") && said.contains("not allowed by the flags"),
        "{said}"
    );
    assert!(!model.exists());
    let done = repair("1-mobilenet-pads", &["--categories", "PP", "--output", path, "--force", "--save-unchanged"]);
    assert_eq!((&done["output"], done["accepted"].as_array().map(Vec::len)), (&path.into(), Some(0)), "{done}");
    assert!(model.exists());
}
