//! With every name of nodes and values replaced, the findings are the same: names are never evidence.

use assert_cmd::Command;
use fixcon::model::onnx::ModelProto;
use prost::Message;
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models")
}

/// Writes a model with other names for nodes and values, those of inputs and outputs too; gives the old name of each new one.
fn scramble(from: &Path, to: &Path) -> HashMap<String, String> {
    let mut proto = ModelProto::decode(&std::fs::read(from).expect("a sample is there")[..]).expect("a sample is ONNX");
    let graph = proto.graph.as_mut().expect("it has a graph");
    let mut new_of: HashMap<String, String> = HashMap::new();
    let mut old_of: HashMap<String, String> = HashMap::new();
    let mut new = |old: &str, kind: &str| -> String {
        if old.is_empty() {
            return String::new();
        }
        let next = (new_of.len() + 1).wrapping_mul(2_654_435_761) % 1_000_003;
        let name = new_of.entry(format!("{kind} {old}")).or_insert_with(|| format!("{kind}{next}")).clone();
        old_of.insert(name.clone(), old.to_string());
        name
    };
    for tensor in &mut graph.initializer {
        tensor.name = Some(new(tensor.name(), "v"));
    }
    for value in graph.input.iter_mut().chain(&mut graph.output) {
        value.name = Some(new(value.name(), "v"));
    }
    graph.value_info.clear();
    for node in &mut graph.node {
        node.name = Some(new(node.name(), "n"));
        node.input.iter_mut().chain(&mut node.output).for_each(|name| *name = new(name, "v"));
    }
    std::fs::write(to, proto.encode_to_vec()).expect("it is written");
    old_of
}

fn localize(case: &Path) -> Value {
    let mut command = Command::cargo_bin("fixcon").expect("the program is built");
    let output = command.args(["localize", "--json", "--quiet", "--case"]).arg(case).output().expect("it runs");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{}: {e}: {}", case.display(), String::from_utf8_lossy(&output.stderr)))
}

/// Verdict and suspects: kind, nodes, tensors and isolated error, with the names of the model as it was.
fn findings(found: &Value, old: &HashMap<String, String>) -> Vec<String> {
    let list = |v: &Value| -> Vec<String> {
        let names = v.as_array().into_iter().flatten().filter_map(Value::as_str);
        names.map(|n| old.get(n).cloned().unwrap_or_else(|| n.to_string())).collect()
    };
    let one = |s: &Value| {
        let error = s["isolated"].as_f64().map_or(-1.0, |e| (e * 1e3).round() / 1e3);
        format!("{} {:?} {:?} {error}", s["kind"], list(&s["target_nodes"]), list(&s["target_tensors"]))
    };
    let suspects = found["suspects"].as_array().into_iter().flatten().map(one);
    std::iter::once(found["verdict"].to_string()).chain(suspects).collect()
}

#[test]
fn findings_do_not_depend_on_names() {
    let mut compared = 0;
    for folder in std::fs::read_dir(root().join("cases")).expect("there are cases").map(|e| e.expect("it is listed").path()) {
        let text = std::fs::read_to_string(folder.join("case.toml")).expect("a case has a file");
        let mut case: toml::Table = toml::from_str(&text).expect("it is TOML");
        let path_of = |table: &toml::Table, side: &str, key: &str| folder.join(table[side][key].as_str().expect("a path"));
        let (source, target) = (path_of(&case, "source", "model"), path_of(&case, "target", "model"));
        // Models whose values carry their names elsewhere too (functions, sub-graphs) are left to other tests.
        let scratch = tempfile::tempdir().expect("a folder");
        scramble(&source, &scratch.path().join("source.onnx"));
        let old = scramble(&target, &scratch.path().join("target.onnx"));
        let there = |path: PathBuf| path.canonicalize().expect("the file is there").to_string_lossy().into_owned();
        let paths = [
            ("source", "model", "source.onnx".to_string()),
            ("target", "model", "target.onnx".to_string()),
            ("images", "path", there(path_of(&case, "images", "path"))),
            ("images", "labels", there(path_of(&case, "images", "labels"))),
        ];
        for (side, key, value) in paths {
            case[side].as_table_mut().expect("a table").insert(key.into(), value.into());
        }
        std::fs::write(scratch.path().join("case.toml"), case.to_string()).expect("it is written");
        let plain = findings(&localize(&folder.join("case.toml")), &HashMap::new());
        let other = findings(&localize(&scratch.path().join("case.toml")), &old);
        assert_eq!(plain, other, "{}", folder.display());
        compared += 1;
    }
    assert!(compared >= 12);
}
