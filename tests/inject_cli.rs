//! `fixcon inject`: files that load, a truth beside each, cases that can be run at once.

use assert_cmd::Command;
use fixcon::dataset::Case;
use fixcon::model::Model;
use serde_json::Value;
use std::path::PathBuf;

fn sample(path: &str) -> String {
    format!("{}/sample_models/{path}", env!("CARGO_MANIFEST_DIR"))
}

fn fixcon(args: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_fixcon")).args(args).output().expect("the program starts")
}

fn json(output: &std::process::Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON on standard output")
}

#[test]
fn a_category_is_injected_with_the_truth_beside_each_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().to_str().expect("UTF-8");
    let report =
        json(&fixcon(&["inject", &sample("models/resnet.onnx"), "--kind", "wb,LH-PADS", "--seed", "7", "--output-dir", out, "--json"]));
    let faults = report["faults"].as_array().expect("faults");
    let kinds: Vec<&str> = faults.iter().filter_map(|f| f["kind"].as_str()).collect();
    assert_eq!(kinds, ["WB-VALUES", "WB-PRECISION", "WB-BIAS", "WB-LAYOUT", "WB-SWAP", "WB-NORM", "LH-PADS"]);
    assert_eq!(report["without_place"], serde_json::json!(["WB-QUANT"]), "it is not quantised");
    for fault in faults {
        let file = PathBuf::from(fault["model"].as_str().expect("a file"));
        Model::open(&file).expect("it loads");
        let beside: Value = serde_json::from_slice(&std::fs::read(file.with_extension("json")).expect("a truth")).expect("JSON");
        assert_eq!(&beside, fault);
        assert!(!fault["nodes"].as_array().expect("nodes").is_empty() && fault["note"].is_string());
        assert_eq!(fault["category"], fault["kind"].as_str().expect("a kind")[..2]);
    }
    // Files that are there stay, unless it is said that they need not.
    let again = ["inject", &sample("models/resnet.onnx"), "--kind", "WB-BIAS", "--seed", "7", "--output-dir", out];
    let refused = fixcon(&again);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("exists already"), "{}", String::from_utf8_lossy(&refused.stderr));
    let before = std::fs::read(folder.path().join("resnet-WB-BIAS-7.onnx")).expect("a file");
    assert!(fixcon(&[&again[..], &["--force"]].concat()).status.success());
    assert_eq!(std::fs::read(folder.path().join("resnet-WB-BIAS-7.onnx")).expect("a file"), before, "the same seed, the same bytes");
}

#[test]
fn a_case_gives_cases() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().to_str().expect("UTF-8");
    let case = sample("cases/8-mobilenet-clean-torch/case.toml");
    let report = json(&fixcon(&["inject", "--case", &case, "--kind", "PP-CHANNELS,LH-ACT", "--output-dir", out, "--json"]));
    let [recipe, graph] = &report["faults"].as_array().expect("faults")[..] else { panic!("two faults: {report}") };
    assert!(recipe["model"].is_null(), "the graph is right");
    let open = |f: &Value| Case::open(f["case"].as_str().expect("a case").as_ref()).expect("a case file");
    let clean = Case::open(case.as_ref()).expect("the sample");
    let (recipe, graph) = (open(recipe), open(graph));
    let same = |a: &std::path::Path, b: &std::path::Path| assert_eq!(a.canonicalize().expect("there"), b.canonicalize().expect("there"));
    same(&recipe.target, &clean.target);
    same(&graph.source, &clean.source);
    same(&graph.images, &clean.images);
    assert_ne!(graph.target, clean.target);
    assert_eq!(graph.target_recipe, clean.target_recipe);
    assert_ne!(recipe.target_recipe, clean.target_recipe);
    let check = fixcon(&["check", &folder.path().join("target-PP-CHANNELS-0.toml").display().to_string(), "--json"]);
    assert_eq!(check.status.code(), Some(1), "with red and blue exchanged some labels flip");
}

#[test]
fn kinds_that_fit_are_listed() {
    let list = json(&fixcon(&["inject", &sample("models/vit.onnx"), "--list", "--json"]));
    let of = |id: &str| list["kinds"].as_array().expect("kinds").iter().find(|k| k["kind"] == id).cloned();
    assert!(of("TS-PERM").expect("it transposes")["places"].as_u64().expect("a number") > 1);
    assert!(of("WB-QUANT").is_none() && of("PP-SCALE").is_none());
    let text = fixcon(&["inject", &sample("models/vit.onnx"), "--list"]);
    assert!(String::from_utf8_lossy(&text.stdout).lines().any(|l| l.starts_with("LH-EPS") && l.contains("places")));
}

#[test]
fn what_cannot_be_done_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().to_str().expect("UTF-8");
    let resnet = sample("models/resnet.onnx");
    let says = |args: &[&str], words: &str| {
        let output = fixcon(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(words), "{args:?}: {text}");
    };
    says(&["inject", &resnet, "--kind", "LH-RESIZE", "-o", out], "no fault of LH-RESIZE fits this model");
    says(&["inject", &resnet, "--kind", "WB-BIAZ", "-o", out], "did you mean WB-BIAS?");
    says(&["inject", &sample("labels.txt"), "-o", out], "not an ONNX model");
    says(&["inject", &resnet], "--output-dir");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "nothing was written");
}
