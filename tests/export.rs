//! Reproducers and files for Model Explorer.

use assert_cmd::Command;
use fixcon::model::onnx::{ModelProto, TensorProto};
use fixcon::model::{Model, Severity, check};
use prost::Message;
use serde_json::Value as Json;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models")
}

fn export(case: &str, to: &Path, more: &[&str]) -> (Option<i32>, Json) {
    let mut command = Command::cargo_bin("fixcon").unwrap();
    let out = command.arg("export").arg(root().join("cases").join(case)).arg("-o").arg(to).args(more).args(["--json", "--quiet"]).output();
    let out = out.unwrap();
    let json = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out.stderr)));
    (out.status.code(), json)
}

#[test]
fn a_reproducer_is_small_whole_and_shows_the_fault() {
    // One of each category.
    for (case, category, shows) in [
        ("1-mobilenet-pads", "LH", "differs"),
        ("3-inception-two-faults", "CG", "differs"),
        ("4-vit-preprocessing", "PP", "differs"),
        ("5-resnet-unloadable", "CG", "fails"),
        ("15-resnet-flatten", "TS", "differs"),
        ("20-inception-noise", "WB", "differs"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("r");
        let (code, said) = export(case, &folder, &[]);
        assert_eq!(code, Some(0), "{case}: {said}");
        assert_eq!((said["shows"].as_str(), &said["kind"].as_str().unwrap()[..2]), (Some(shows), category), "{case}");
        let model = ModelProto::decode(&*fs::read(folder.join("model.onnx")).unwrap()).unwrap();
        let graph = model.graph.unwrap();
        assert!((1..=40).contains(&graph.node.len()), "{case}: {} nodes", graph.node.len());
        let load = |name: &str| TensorProto::decode(&*fs::read(folder.join(name)).unwrap()).unwrap();
        assert_eq!(load("test_data_set_0/input_0.pb").name(), graph.input[0].name(), "{case}");
        if shows == "differs" {
            assert_eq!(load("test_data_set_0/output_0.pb").name(), graph.output[0].name(), "{case}");
            let model = Model::open(folder.join("model.onnx")).unwrap();
            let errors: Vec<_> = check(&model).into_iter().filter(|f| f.severity == Severity::Error).collect();
            assert!(errors.is_empty(), "{case}: {errors:?}");
        }
        assert_eq!(folder.join("test_data_set_1").exists(), category == "PP", "{case}");
        assert!(folder.join("source/model.onnx").exists(), "{case}");
        let issue = fs::read_to_string(folder.join("ISSUE.md")).unwrap();
        for part in ["# ", "converted by", "## What is expected", "## How to see it", "## What mends it", "show.py"] {
            assert!(issue.contains(part), "{case}: {part}: {issue}");
        }
        assert!(issue.contains(said["kind"].as_str().unwrap()));
        // Not over what is there, unless told.
        assert_eq!(export(case, &folder, &[]).0, Some(2));
        assert_eq!(export(case, &folder, &["--force"]).0, Some(0));
    }
}

#[test]
fn a_value_that_nothing_makes_is_the_fault_and_stays_open() {
    let dir = tempfile::tempdir().unwrap();
    let case = root().join("cases/8-mobilenet-clean-torch");
    let mut model = ModelProto::decode(&*fs::read(case.join("target.onnx")).unwrap()).unwrap();
    let nodes = &mut model.graph.as_mut().unwrap().node;
    let at = nodes.iter().rposition(|n| n.op_type() == "Conv").unwrap();
    nodes[at].input[0].push_str("_absent");
    let absent = nodes[at].input[0].clone();
    fs::write(dir.path().join("target.onnx"), model.encode_to_vec()).unwrap();
    let (target, folder) = (dir.path().join("target.onnx"), dir.path().join("r"));
    let (code, said) = export("8-mobilenet-clean-torch", &folder, &["--target", target.to_str().unwrap()]);
    assert_eq!((code, said["shows"].as_str()), (Some(0), Some("fails")), "{said}");
    let cut = ModelProto::decode(&*fs::read(folder.join("model.onnx")).unwrap()).unwrap().graph.unwrap();
    assert!(cut.node.iter().any(|n| n.input.contains(&absent)), "the node reads it");
    assert!(cut.input.iter().all(|i| i.name() != absent), "and nothing gives it");
}

#[test]
fn what_is_not_there_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let (code, said) = export("8-mobilenet-clean-torch", dir.path(), &[]);
    assert_eq!(code, Some(2));
    assert!(said["error"]["message"].as_str().unwrap().contains("no suspect"), "{said}");
    let (code, said) = export("1-mobilenet-pads", dir.path(), &["--suspect", "9"]);
    assert_eq!(code, Some(2));
    assert!(said["error"]["message"].as_str().unwrap().contains("no suspect 9"), "{said}");
}

#[test]
fn model_explorer_gets_every_node_of_both_sides() {
    let dir = tempfile::tempdir().unwrap();
    let (code, said) = export("3-inception-two-faults", dir.path(), &["--format", "model-explorer"]);
    assert_eq!(code, Some(0), "{said}");
    let read = |name: &str| -> Json { serde_json::from_str(&fs::read_to_string(dir.path().join(name)).unwrap()).unwrap() };
    let target = Model::open(root().join("cases/3-inception-two-faults/target.onnx")).unwrap();
    let data = read("target.node_data.json");
    let (graph, data) = data.as_object().unwrap().iter().next().unwrap();
    let proto = ModelProto::decode(&*fs::read(root().join("cases/3-inception-two-faults/target.onnx")).unwrap()).unwrap();
    assert_eq!(graph, proto.graph.unwrap().name());
    let names: HashSet<&str> = target.nodes().map(|(_, n)| n.name()).collect();
    let results = data["results"].as_object().unwrap();
    assert!(results.len() > 40 && results.keys().all(|k| names.contains(k.as_str())));
    assert!(results["/m3/Concat"]["value"].as_f64().unwrap() > 0.1);
    assert!(data["thresholds"].as_array().is_some_and(|t| t.len() == 3));
    let mapping = read("mapping.json");
    assert_eq!((mapping["type"].as_str(), mapping["disableMappingFallback"].as_bool()), (Some("sync_navigation"), Some(true)));
    // A node stands in one entry only.
    let mut seen = HashSet::new();
    for entry in mapping["mappingEntries"].as_array().unwrap() {
        for id in entry["rightNodeIds"].as_array().unwrap() {
            assert!(names.contains(id.as_str().unwrap()) && seen.insert(id.clone()), "{id}");
        }
        assert!(!entry["leftNodeIds"].as_array().unwrap().is_empty());
    }
}
