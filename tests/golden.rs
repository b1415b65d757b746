//! A run elsewhere as the target, when only its values are at hand.

use assert_cmd::Command;
use fixcon::dataset::{Feed, ImageSet, RecipeKeys};
use fixcon::model::Model;
use fixcon::run::{Network, Value};
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models")
}

fn npy(value: &Value) -> String {
    let shape: String = value.shape().iter().map(|d| format!("{d}, ")).collect();
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(value.to_f32().iter().flat_map(|v| v.to_le_bytes()));
    base64_simd::STANDARD.encode_to_string(bytes)
}

/// A run on a device that gets one node wrong: what comes from there is 5 % too large, and everything below follows.
fn device(network: &Network, inputs: &[Value], wrong: Option<usize>, nhwc: bool) -> serde_json::Map<String, Json> {
    let mut values: HashMap<_, Value> = network.inputs().iter().copied().zip(inputs.iter().cloned()).collect();
    let mut out = serde_json::Map::new();
    for (at, id) in network.op_ids().enumerate() {
        let made = network.eval(id, |v| values.get(&v)).unwrap();
        for (v, mut value) in network.op(id).made().zip(made) {
            if wrong == Some(at) {
                value = Value::from_f32(value.shape(), value.to_f32().iter().map(|x| x * 1.05).collect());
            }
            let shown = if nhwc && value.shape().len() == 4 { value.transpose(&[0, 2, 3, 1]).unwrap() } else { value.clone() };
            if value.is_float() {
                let name = network.model().index().name(v).to_string();
                out.insert(
                    name,
                    json!({ "values": { "array": npy(&shown), "polygraphy_class": "ndarray" }, "polygraphy_class": "LazyArray" }),
                );
            }
            values.insert(v, value);
        }
    }
    out
}

fn localize(folder: &Path, outputs: &[serde_json::Map<String, Json>]) -> (Option<i32>, Json, String) {
    let runs: Vec<Json> = outputs.iter().map(|o| json!({ "outputs": o, "runtime": 0.1, "runner_name": "trt" })).collect();
    let file = folder.join("golden.json");
    fs::write(&file, json!({ "lst": [["trt", runs]], "polygraphy_class": "RunResults" }).to_string()).unwrap();
    let case = root().join("cases/8-mobilenet-clean-torch/case.toml");
    let run = |more: &[&str]| {
        Command::cargo_bin("fixcon")
            .unwrap()
            .args(["localize", "--golden"])
            .arg(&file)
            .arg("--case")
            .arg(&case)
            .args(more)
            .output()
            .unwrap()
    };
    let out = run(&["--json"]);
    let json = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out.stderr)));
    (out.status.code(), json, String::from_utf8(run(&[]).stdout).unwrap())
}

#[test]
fn the_node_that_another_device_gets_wrong_is_named() {
    let case = fixcon::dataset::Case::open(&root().join("cases/8-mobilenet-clean-torch/case.toml")).unwrap();
    let network = Network::new(&Model::open(&case.source).unwrap().inlined().unwrap()).unwrap();
    let recipe = case.source_recipe.clone().map(RecipeKeys::resolve).transpose().unwrap();
    let feed = Feed::new(network.model(), recipe);
    let images = ImageSet::open(&case.images, None, None).unwrap();
    let inputs: Vec<Vec<Value>> = (0..2).map(|i| images.inputs(i, &[&feed]).unwrap().remove(0)).collect();
    let dir = tempfile::tempdir().unwrap();

    let right: Vec<_> = inputs.iter().map(|x| device(&network, x, None, false)).collect();
    let (code, found, _) = localize(dir.path(), &right);
    assert_eq!((code, found["verdict"].as_str(), found["images"].as_u64()), (Some(0), Some("clean"), Some(2)));

    let wrong = network.ops().len() / 2;
    let label = network.label(network.op_ids().nth(wrong).unwrap()).to_string();
    for nhwc in [false, true] {
        let values: Vec<_> = inputs.iter().map(|x| device(&network, x, Some(wrong), nhwc)).collect();
        let (code, found, text) = localize(dir.path(), &values);
        assert_eq!((code, found["verdict"].as_str()), (Some(1), Some("faulty")));
        let faulty: Vec<&Json> = found["values"].as_array().unwrap().iter().filter(|v| v["verdict"] == "faulty").collect();
        assert_eq!(faulty.len(), 1, "only where it arises, not where it arrives: {faulty:?}");
        assert_eq!(faulty[0]["nodes"], json!([label]));
        assert!((faulty[0]["isolated"].as_f64().unwrap() - 0.05).abs() < 0.01);
        assert!(text.contains(&label) && text.starts_with("faulty: 1 of "), "{text}");
        // The last value is off in a plain run, and clean in isolation.
        let last = found["values"].as_array().unwrap().last().unwrap();
        assert!(last["accumulated"].as_f64().unwrap() > 1e-3 && last["verdict"] == "clean", "{last}");
    }

    // With every fourth value only, the nodes between are named together.
    let mut some = device(&network, &inputs[0], Some(wrong), false);
    let kept: Vec<String> = some.keys().enumerate().filter(|(i, _)| i % 4 == 3).map(|(_, k)| k.clone()).collect();
    some.retain(|k, _| kept.contains(k));
    some.insert("no such value".into(), json!({ "array": npy(&Value::from_f32(&[1], vec![1.0])) }));
    let (_, found, _) = localize(dir.path(), &[some.clone()]);
    let faulty: Vec<&Json> = found["values"].as_array().unwrap().iter().filter(|v| v["verdict"] == "faulty").collect();
    assert!(!faulty.is_empty() && faulty.iter().all(|f| f["nodes"].as_array().unwrap().iter().any(|n| *n == label.as_str())), "{faulty:?}");
    assert_eq!(found["unplaced"], json!(["no such value"]));

    // Where nothing was compared nothing is clean.
    some.retain(|k, _| k == "no such value");
    let (code, found, _) = localize(dir.path(), &[some]);
    assert_eq!(code, Some(2));
    assert!(found["error"]["message"].as_str().unwrap().contains("no such value"), "{found}");
}
