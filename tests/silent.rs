//! A fault that shows on none of the images that are aligned on is found all the same.

use assert_cmd::Command;
use fixcon::dataset::{Case, Feed, ImageSet, RecipeKeys};
use fixcon::model::onnx::{NodeProto, TensorProto};
use fixcon::model::{Edit, Existing, Model};
use fixcon::run::Network;
use serde_json::Value as Json;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

const IMAGES: usize = 8;

fn case_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models/cases/8-mobilenet-clean-torch/case.toml")
}

/// The largest element of each value of the target, image by image.
fn largest(case: &Case, model: &Model) -> Vec<(String, Vec<f32>)> {
    let network = Network::new(model).unwrap();
    let recipe = case.target_recipe.clone().map(RecipeKeys::resolve).transpose().unwrap();
    let feed = Feed::new(model, recipe);
    let set = ImageSet::open(&case.images, None, None).unwrap();
    let mut order = Vec::new();
    let mut out: HashMap<String, Vec<f32>> = HashMap::new();
    for image in 0..IMAGES {
        let inputs = set.inputs(image, &[&feed]).unwrap().remove(0);
        network.forward(&inputs, |id, made| {
            for (v, value) in network.op(id).made().zip(made.iter().flatten()) {
                let name = network.model().index().name(v).to_string();
                if image == 0 {
                    order.push(name.clone());
                }
                out.entry(name).or_default().push(value.to_f32().iter().copied().fold(f32::MIN, f32::max));
            }
        });
    }
    order.into_iter().filter_map(|name| Some((name.clone(), out.remove(&name)?))).collect()
}

fn scalar(name: &str, value: f32) -> TensorProto {
    TensorProto { name: Some(name.into()), data_type: Some(1), float_data: vec![value], ..TensorProto::default() }
}

/// The model with a bound above one of its values.
fn bounded(model: &Model, value: &str, most: f32) -> Model {
    let index = model.index();
    let id = index.value(value).unwrap();
    let mut edits = vec![
        Edit::AddInitializer { tensor: scalar("least", -1e30) },
        Edit::AddInitializer { tensor: scalar("most", most) },
        Edit::InsertNode {
            before: index.consumers(id).first().map(|n| model.node(*n).output[0].clone()),
            node: NodeProto {
                name: Some("bound".into()),
                op_type: Some("Clip".into()),
                input: vec![value.into(), "least".into(), "most".into()],
                output: vec!["bounded".into()],
                ..NodeProto::default()
            },
        },
    ];
    for reader in index.consumers(id) {
        let node = model.node(*reader);
        for slot in node.input.iter().enumerate().filter(|(_, name)| *name == value).map(|(slot, _)| slot) {
            edits.push(Edit::RewireInput { node: node.output[0].clone(), slot, value: "bounded".into() });
        }
    }
    model.apply(&Edit::All(edits)).unwrap().0
}

fn fixcon(command: &str, target: &Path) -> (Option<i32>, Json) {
    let run = Command::cargo_bin("fixcon")
        .unwrap()
        .args([command, "--json", "--quiet", "--case"])
        .arg(case_file())
        .arg("--target")
        .arg(target)
        .output()
        .unwrap();
    (run.status.code(), serde_json::from_slice(&run.stdout).unwrap())
}

#[test]
fn a_bound_that_only_some_images_reach_is_named() {
    let case = Case::open(&case_file()).unwrap();
    let model = Model::open(&case.target).unwrap();
    let all = largest(&case, &model);
    // In the middle of the network, a value that is larger on some later image than on the first two, which are those aligned on.
    let middle = all.len() / 3..all.len() * 2 / 3;
    let (value, most) = all[middle]
        .iter()
        .filter(|(name, _)| model.index().value(name).is_some_and(|v| !model.index().consumers(v).is_empty()))
        .find_map(|(name, x)| {
            let (first, later) = (x[0].max(x[1]), x[2..].iter().copied().fold(f32::MIN, f32::max));
            (first > 0.1 && later > first * 1.1).then(|| (name.clone(), (first + later) / 2.0))
        })
        .expect("images differ");
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("target.onnx");
    bounded(&model, &value, most).save(&target, Existing::Replace).unwrap();

    let (code, compared) = fixcon("check", &target);
    assert_eq!((code, &compared["mismatches"]["count"]), (Some(0), &Json::from(0)), "no label tells");
    let (code, found) = fixcon("localize", &target);
    assert_eq!((code, found["verdict"].as_str()), (Some(1), Some("faulty")), "{found}");
    let nodes = &found["suspects"][0]["target_nodes"];
    assert!(nodes.as_array().unwrap().contains(&Json::from("bound")), "{nodes}");
}
