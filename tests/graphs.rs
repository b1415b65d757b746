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

#[test]
fn sequences_of_unequal_parts_that_are_only_taken_apart_run() {
    let mut target = Net::new(17);
    target.numbers("sizes", &[3, 5]);
    for (name, place) in [("first", 0), ("second", 1)] {
        let at = TensorProto { name: Some(name.into()), data_type: Some(7), int64_data: vec![place], ..TensorProto::default() };
        target.tensors.push(at);
    }
    target.node("Relu", "act", &["a"], &["r"], Vec::new());
    target.node("SplitToSequence", "apart", &["r", "sizes"], &["s"], vec![int("axis", 1)]);
    target.node("SequenceAt", "head", &["s", "first"], &["h"], Vec::new()).node("SequenceAt", "tail", &["s", "second"], &["t"], Vec::new());
    target.node("SequenceConstruct", "again", &["h", "t"], &["q"], Vec::new());
    target.node("ConcatFromSequence", "together", &["q"], &["b"], vec![int("axis", 1)]);
    assert_eq!(found(&mut plain(), &mut target)["verdict"], "clean");
    // An edit elsewhere leaves them as they came.
    target.tensors.retain(|t| t.name() != "v" && t.name() != "flat");
    target.nodes.retain(|n| n.name() != "flatten" && n.name() != "scores");
    target.tensors[0].float_data.iter_mut().take(48).for_each(|x| *x *= 3.0);
    let (dir, run) = desk(&mut plain(), &mut target);
    let repaired = run(&["repair", "--yes", "--holdout", "0", "-o", "mended.onnx"], "target.onnx");
    assert_eq!(repaired["final_mismatches"], 0, "{repaired}");
    let model = Model::open(dir.path().join("mended.onnx")).expect("it is a model");
    assert!(model.nodes().any(|(_, n)| n.op_type() == "SequenceAt"), "the sequence was written out");
}

#[test]
fn the_normalisation_that_onnxruntimes_optimiser_writes_into_onnxs_own_domain() {
    let mut source = Net::new(17);
    source.floats("s", &[8], noise(8, 2)).floats("two", &[], vec![2.0]).floats("little", &[], vec![1e-5]);
    source.node("Pow", "square", &["a", "two"], &["p"], Vec::new());
    source.node("ReduceMean", "mean", &["p"], &["m"], vec![ints("axes", &[-1]), int("keepdims", 1)]);
    source.node("Add", "raised", &["m", "little"], &["e"], Vec::new()).node("Sqrt", "root", &["e"], &["r"], Vec::new());
    source.node("Div", "norm", &["a", "r"], &["n"], Vec::new()).node("Mul", "scale", &["n", "s"], &["b"], Vec::new());
    let mut target = Net::new(17);
    target.floats("s", &[8], noise(8, 2));
    target.node("SimplifiedLayerNormalization", "norm", &["a", "s"], &["b"], Vec::new());
    assert_eq!(found(&mut source, &mut target)["verdict"], "clean");
}

#[test]
fn an_input_with_two_readers_of_which_one_has_its_channels_turned() {
    let net = |turned: bool| {
        let mut net = plain();
        if turned {
            let weight = &mut net.tensors[0].float_data;
            let old = weight.clone();
            for (i, x) in weight.iter_mut().enumerate() {
                let (filter, channel) = (i / 48, i / 16 % 3);
                *x = old[filter * 48 + (2 - channel) * 16 + i % 16];
            }
        }
        net.nodes.retain(|n| n.name() != "act");
        net.node("AveragePool", "small", &["x"], &["p"], vec![ints("kernel_shape", &[4, 4]), ints("strides", &[4, 4])]);
        net.floats("k", &[8, 3, 1, 1], noise(24, 5)).node("Conv", "other", &["p", "k"], &["o"], Vec::new());
        net.node("Relu", "act", &["a"], &["r"], Vec::new()).node("Mul", "both", &["r", "o"], &["b"], Vec::new());
        net
    };
    is(&first_suspect(&mut net(false), &mut net(true)), "WB-LAYOUT", "conv");
}

#[test]
fn transparency_is_a_key_of_the_recipe_like_others() {
    let recipe =
        |alpha: &str| format!("size = [32, 32]\nscale = 255.0\nmean = [0.5, 0.5, 0.5]\nstd = [0.25, 0.25, 0.25]\nalpha = \"{alpha}\"\n");
    let (dir, run) = desk_of(&mut plain(), &mut plain(), &recipe("white"));
    // Half of each picture is transparent.
    std::fs::create_dir(dir.path().join("images")).expect("a folder");
    for i in 0..8u32 {
        let pixel =
            |x: u32, y: u32| image::Rgba([(x * 7 + i * 31) as u8, (y * 5 + i * 17) as u8, (x * y + i) as u8, if x < 16 { 0 } else { 255 }]);
        image::RgbaImage::from_fn(32, 32, pixel).save(dir.path().join(format!("images/{i}.png"))).expect("a picture");
    }
    let case = std::fs::read_to_string(dir.path().join("case.toml")).expect("a case");
    let head = case.split("[images]").next().expect("a head").to_string();
    std::fs::write(dir.path().join("case.toml"), format!("{head}[images]\npath = \"images\"\n")).expect("a case");
    let found = run(&["localize"], "target.onnx");
    assert_eq!(found["suspects"][0]["kind"], "PP-CHANNELS", "{found}");
    assert!(found["suspects"][0]["words"].as_str().is_some_and(|w| w.contains("alpha is white")), "{found}");
}

#[test]
fn a_target_that_gives_no_numbers_does_not_agree() {
    let net = |nan: bool| {
        let mut net = plain();
        net.floats("hole", &[1], vec![if nan { f32::NAN } else { 0.0 }]);
        net.node("Add", "holed", &["r", "hole"], &["b"], Vec::new());
        net.nodes.iter_mut().filter(|n| n.name() == "act").for_each(|n| n.output = vec!["r".into()]);
        net
    };
    let (dir, run) = desk(&mut net(false), &mut net(true));
    // NaN counts as the smallest score, so that the label is the first class: with classes numbered otherwise it can agree by chance.
    let all = run(&["check", "--list", "0"], "target.onnx");
    let flips = all["flips"].as_array().expect("flips");
    let label = flips[0]["source"]["label"].as_i64().expect("a label");
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models/images/probe");
    let same = flips.iter().filter(|f| f["source"]["label"] == label).filter_map(|f| f["image"].as_str());
    let by_chance: Vec<String> = same.map(|name| folder.join(name).display().to_string()).collect();
    std::fs::write(dir.path().join("few.txt"), by_chance.join("\n")).expect("a list");
    let offset = format!("--label-offset={}", -label);
    let mut check = assert_cmd::Command::cargo_bin("fixcon").expect("the program is built");
    let done = check.current_dir(dir.path()).args(["check", ".", "--images", "few.txt", &offset]).output().expect("it runs");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(said.contains("none of") && said.contains("NaN in the target's output"), "{said}");
    assert_eq!(done.status.code(), Some(1), "{said}");
}

#[test]
fn what_is_no_classifier_is_compared_by_tolerance_in_every_command() {
    let net = |factor: f32| {
        let mut net = Net::new(17);
        net.floats("k", &[1], vec![factor]).node("Mul", "scale", &["a", "k"], &["b"], Vec::new());
        net
    };
    // Twice as much is the same label, and another value.
    let (_dir, run) = desk(&mut net(1.0), &mut net(2.0));
    assert_eq!(run(&["localize"], "target.onnx")["mismatches"]["count"], 0);
    let by = ["--criterion", "tolerance"];
    let found = run(&[&["localize"], &by[..]].concat(), "target.onnx");
    assert!(found["mismatches"]["count"].as_u64().is_some_and(|n| n > 50), "{}", found["mismatches"]);
    let repaired = run(&[&["repair", "--yes", "--holdout", "0", "-o", "mended.onnx"], &by[..]].concat(), "target.onnx");
    assert!(repaired["initial_mismatches"].as_u64().is_some_and(|n| n > 50), "{repaired}");
    assert_eq!(repaired["final_mismatches"], 0, "{repaired}");
    assert_eq!(run(&[&["check"], &by[..]].concat(), "mended.onnx")["mismatches"]["count"], 0);
}
