//! Graphs of kinds that no sample has: functions, branches, fixed batches, rounded weights, operators on integers, outputs beside the scores.

mod nets;

use fixcon::model::Model;
use fixcon::model::onnx::{FunctionProto, GraphProto, NodeProto, OperatorSetIdProto, TensorProto};
use nets::{Net, declared, desk, desk_of, first_suspect, int, ints, is, noise};
use serde_json::Value as Json;

/// A network whose middle is one Relu.
fn plain() -> Net {
    let mut net = Net::new(17);
    net.node("Relu", "act", &["a"], &["b"], Vec::new());
    net
}

fn found(source: &mut Net, target: &mut Net) -> Json {
    desk(source, target).1(&["localize"], "target.onnx")
}

fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: Some(op.into()),
        name: Some(format!("{output}_{op}")),
        input: inputs.iter().map(|i| i.to_string()).collect(),
        output: vec![output.into()],
        ..NodeProto::default()
    }
}

#[test]
fn functions_stay_in_the_model_that_is_saved() {
    let mut target = Net::new(17);
    target.functions.push(FunctionProto {
        name: Some("Act".into()),
        domain: Some("local".into()),
        input: vec!["p".into()],
        output: vec!["q".into()],
        node: vec![node("Relu", &["p"], "q")],
        opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(17) }],
        ..FunctionProto::default()
    });
    target.node("Act", "call", &["a"], &["b"], Vec::new());
    target.nodes.last_mut().expect("it was just added").domain = Some("local".into());
    target.tensors[0].float_data.iter_mut().take(48).for_each(|x| *x *= 3.0);
    let (dir, run) = desk(&mut plain(), &mut target);
    let repaired = run(&["repair", "--yes", "--holdout", "0", "-o", "mended.onnx", "--audit-log", "log.jsonl"], "target.onnx");
    assert_eq!(repaired["final_mismatches"], 0, "{repaired}");
    let model = Model::open(dir.path().join("mended.onnx")).expect("it is a model");
    assert!(model.nodes().any(|(_, n)| n.op_type() == "Act"), "the call was put in place");
    let mut replay = assert_cmd::Command::cargo_bin("fixcon").expect("the program is built");
    replay.current_dir(dir.path()).args(["replay", "log.jsonl"]).assert().success();
}

#[test]
fn a_branch_reads_values_from_outside() {
    let mut target = Net::new(17);
    let branch = |op: &str, output: &str| GraphProto {
        name: Some(output.into()),
        node: vec![node(op, &["a"], output)],
        output: vec![declared(output, 1, &[1, 8, 8, 8])],
        ..GraphProto::default()
    };
    let graph = |name: &str, g: GraphProto| fixcon::model::onnx::AttributeProto {
        name: Some(name.into()),
        r#type: Some(5),
        g: Some(g),
        ..fixcon::model::onnx::AttributeProto::default()
    };
    target.floats("low", &[], vec![-1000.0]);
    target.node("ReduceMax", "most", &["a"], &["m"], vec![int("keepdims", 0)]);
    target.node("Greater", "above", &["m", "low"], &["c"], Vec::new());
    target.node("If", "choose", &["c"], &["b"], vec![graph("then_branch", branch("Relu", "t")), graph("else_branch", branch("Neg", "e"))]);
    let said = found(&mut plain(), &mut target);
    assert_eq!((&said["verdict"], &said["mismatches"]["count"]), (&"clean".into(), &0.into()), "{said}");
}

#[test]
fn weights_that_are_rounded_throughout_are_no_fault() {
    let mut target = plain();
    let round = |x: &mut f32| *x = f32::from_bits((x.to_bits() + 0x8000) & 0xffff_0000);
    target.tensors[0].float_data.iter_mut().for_each(round);
    let (dir, run) = desk(&mut plain(), &mut target);
    // The last weight is written by the builder.
    let path = dir.path().join("target.onnx");
    let model = Model::open(&path).expect("it is a model");
    let mut tensor: TensorProto = model.initializer("v").expect("it is there").clone();
    tensor.float_data.iter_mut().for_each(round);
    let model = model.apply(&fixcon::model::Edit::ReplaceInitializer { tensor }).expect("it can be replaced").0;
    model.save(&path, fixcon::model::Existing::Replace).expect("it is written");
    let said = run(&["localize"], "target.onnx");
    assert_eq!(said["verdict"], "clean", "{said}");
    // One layer alone that is rounded is one.
    let mut one = plain();
    one.tensors[0].float_data.iter_mut().for_each(round);
    assert_eq!(found(&mut plain(), &mut one)["verdict"], "faulty");
}

#[test]
fn a_batch_that_is_built_into_the_graph_is_no_fault() {
    let (mut source, mut target) = (plain(), plain());
    (source.batch, target.batch) = (0, 3);
    let said = found(&mut source, &mut target);
    assert_eq!((&said["verdict"], &said["mismatches"]["count"]), (&"clean".into(), &0.into()), "{said}");
}

#[test]
fn indices_in_the_place_of_the_scores() {
    let mut target = plain();
    target.before.push(("index", 7, vec![]));
    target.nodes.push(NodeProto { attribute: vec![int("axis", 1), int("keepdims", 0)], ..node("ArgMax", &["y"], "index") });
    is(&first_suspect(&mut plain(), &mut target), "TS-OUTPUT", "scores");
}

#[test]
fn a_factor_that_a_built_in_recipe_lacks() {
    let mut target = Net::new(17);
    target.floats("mean", &[1, 3, 1, 1], vec![0.5; 3]).floats("std", &[1, 3, 1, 1], vec![0.25; 3]);
    target.node("Relu", "act", &["a"], &["b"], Vec::new());
    target.nodes[0].input[0] = "n".into();
    target.nodes.insert(0, node("Div", &["d", "std"], "n"));
    target.nodes.insert(0, node("Sub", &["x", "mean"], "d"));
    let raw = "size = [32, 32]\nscale = 1.0\nmean = [0.0, 0.0, 0.0]\nstd = [1.0, 1.0, 1.0]\n";
    let (_dir, run) = desk_of(&mut plain(), &mut target, raw);
    let repaired = run(&["repair", "--yes", "--holdout", "0", "-o", "mended.onnx"], "target.onnx");
    assert_eq!(repaired["final_mismatches"], 0, "{repaired}");
}

/// The middle in integers: a convolution that the source has in floats.
fn in_integers(zero: i32) -> (Net, Net) {
    let weight = noise(576, 5);
    let mut source = Net::new(17);
    source.floats("u", &[8, 8, 3, 3], weight.clone());
    source.node("Conv", "middle", &["a", "u"], &["b"], vec![ints("pads", &[1, 1, 1, 1])]);
    let mut target = Net::new(17);
    let bytes = |name: &str, dims: &[i64], data: Vec<i32>| TensorProto {
        name: Some(name.into()),
        dims: dims.to_vec(),
        data_type: Some(3),
        int32_data: data,
        ..TensorProto::default()
    };
    let steps = weight.iter().map(|x| (x * 127.0).round() as i32).collect();
    target.floats("sx", &[], vec![0.2]).floats("su", &[], vec![1.0 / 127.0]).floats("sy", &[], vec![0.8]);
    target.tensors.extend([bytes("u", &[8, 8, 3, 3], steps), bytes("nought", &[], vec![0]), bytes("zx", &[], vec![zero])]);
    target.node("QuantizeLinear", "quantise", &["a", "sx", "nought"], &["qa"], Vec::new());
    let inputs = ["qa", "sx", "zx", "u", "su", "nought", "sy", "nought"];
    target.node("QLinearConv", "middle", &inputs, &["qb"], vec![ints("pads", &[1, 1, 1, 1])]);
    target.node("DequantizeLinear", "back", &["qb", "sy", "nought"], &["b"], Vec::new());
    (source, target)
}

#[test]
fn operators_on_integers_are_seen_as_the_numbers_they_stand_for() {
    let (mut source, mut target) = in_integers(0);
    let said = found(&mut source, &mut target);
    assert_eq!(said["verdict"], "clean", "{said}");
    let one_to_one = |r: &Json| r["target"] == serde_json::json!(["middle"]) && r["source"] == serde_json::json!(["middle"]);
    assert!(said["regions"].as_array().is_some_and(|all| all.iter().any(one_to_one)), "{}", said["regions"]);
}

#[test]
fn a_value_is_read_in_other_steps_than_it_was_made_in() {
    let (mut source, mut target) = in_integers(40);
    let said = found(&mut source, &mut target);
    is(&said["suspects"][0], "WB-QUANT", "middle");
    assert_eq!(said["suspects"].as_array().map(Vec::len), Some(1), "{}", said["suspects"]);
}
