//! Faults in places that no sample has: two small networks that say the same, one of them with a fault, and what is said of it.

mod nets;

use fixcon::model::onnx::AttributeProto;
use nets::{Net, desk, first_suspect, int, ints, is, noise};

#[test]
fn groups_of_a_normalisation_that_an_older_operator_set_says_in_several_nodes() {
    let (scale, shift) = (noise(8, 2), noise(8, 3));
    let mut source = Net::new(21);
    source.floats("s", &[8], scale.clone()).floats("t", &[8], shift.clone());
    source.node("GroupNormalization", "norm", &["a", "s", "t"], &["b"], vec![int("num_groups", 4)]);
    let mut target = Net::new(17);
    target.numbers("apart", &[0, 1, -1]).numbers("together", &[1, 8, 8, 8]);
    target.floats("one", &[1], vec![1.0]).floats("zero", &[1], vec![0.0]).floats("s", &[8, 1, 1], scale).floats("t", &[8, 1, 1], shift);
    target.node("Reshape", "apart", &["a", "apart"], &["g"], Vec::new());
    target.node("InstanceNormalization", "norm", &["g", "one", "zero"], &["n"], Vec::new());
    target.node("Reshape", "together", &["n", "together"], &["m"], Vec::new());
    target.node("Mul", "scale", &["m", "s"], &["k"], Vec::new()).node("Add", "shift", &["k", "t"], &["b"], Vec::new());
    is(&first_suspect(&mut source, &mut target), "LH-GROUP", "norm");
}

#[test]
fn starts_of_a_slice() {
    let net = |from: i64, to: i64| {
        let mut net = Net::new(17);
        net.numbers("from", &[from]).numbers("to", &[to]).numbers("axis", &[1]);
        net.node("Slice", "cut", &["a", "from", "to", "axis"], &["c"], Vec::new());
        net.node("Concat", "twice", &["c", "c"], &["b"], vec![int("axis", 1)]);
        net
    };
    is(&first_suspect(&mut net(0, 4), &mut net(4, 8)), "TS-AXIS", "cut");
}

#[test]
fn a_roll_that_moves_nothing_is_where_the_fault_is_and_not_what_reads_it() {
    let net = |first: &str, second: &str| {
        let mut net = Net::new(17);
        net.numbers("zero", &[0]).numbers("three", &[3]).numbers("eight", &[8]).numbers("axis", &[2]);
        net.node("Slice", "head", &["a", "zero", "three", "axis"], &["h"], Vec::new());
        net.node("Slice", "tail", &["a", "three", "eight", "axis"], &["t"], Vec::new());
        net.node("Concat", "roll", &[first, second], &["r"], vec![int("axis", 2)]);
        net.floats("k", &[8, 8, 1, 1], noise(64, 5)).node("Conv", "mix", &["r", "k"], &["c"], Vec::new());
        net.floats("k2", &[8, 8, 3, 3], noise(576, 6));
        net.node("Conv", "border", &["c", "k2"], &["b"], vec![ints("pads", &[1, 1, 1, 1])]);
        net
    };
    is(&first_suspect(&mut net("t", "h"), &mut net("h", "t")), "CG-REWIRED", "roll");
}

#[test]
fn the_shift_that_a_layer_normalisation_lacks() {
    let net = |shifted: bool| {
        let mut net = Net::new(17);
        net.floats("s", &[8], noise(8, 2)).floats("t", &[8], noise(8, 3));
        let inputs = if shifted { &["a", "s", "t"][..] } else { &["a", "s"] };
        net.node("LayerNormalization", "norm", inputs, &["b"], Vec::new());
        net
    };
    is(&first_suspect(&mut net(true), &mut net(false)), "WB-BIAS", "norm");
}

#[test]
fn a_constant_of_an_activation_that_the_source_has_as_one_operator() {
    let mut source = Net::new(20);
    source.node("Gelu", "gelu", &["a"], &["b"], vec![AttributeProto::of_string("approximate", "tanh")]);
    let mut target = Net::new(13);
    for (name, x) in [("half", 0.5), ("one", 1.0), ("cubic", 0.447_15), ("root", 0.797_884_6)] {
        target.floats(name, &[], vec![x]);
    }
    target.node("Mul", "square", &["a", "a"], &["a2"], Vec::new()).node("Mul", "cube", &["a2", "a"], &["a3"], Vec::new());
    target.node("Mul", "little", &["a3", "cubic"], &["l"], Vec::new()).node("Add", "sum", &["a", "l"], &["u"], Vec::new());
    target.node("Mul", "scaled", &["u", "root"], &["s"], Vec::new()).node("Tanh", "tanh", &["s"], &["h"], Vec::new());
    target.node("Add", "gate", &["h", "one"], &["g"], Vec::new()).node("Mul", "halved", &["g", "half"], &["q"], Vec::new());
    target.node("Mul", "gelu", &["a", "q"], &["b"], Vec::new());
    is(&first_suspect(&mut source, &mut target), "LH-ACT", "little");
}

#[test]
fn a_missing_function_is_put_in_as_the_targets_operator_set_says_it() {
    let net = |version: i64, whole: bool| {
        let mut net = Net::new(version);
        net.floats("k", &[8, 8, 1, 1], noise(64, 5));
        if whole {
            net.node("Gelu", "gelu", &["a"], &["g"], Vec::new());
        }
        net.node("Conv", "mix", &[if whole { "g" } else { "a" }, "k"], &["b"], Vec::new());
        net
    };
    is(&first_suspect(&mut net(20, true), &mut net(13, false)), "CG-MISSING", "mix");
}

#[test]
fn an_order_of_six_axes() {
    let net = |perm: &[i64]| {
        let mut net = Net::new(17);
        net.numbers("windows", &[1, 8, 2, 4, 2, 4]).numbers("image", &[1, 8, 8, 8]);
        net.node("Reshape", "apart", &["a", "windows"], &["parts"], Vec::new());
        net.node("Transpose", "windows", &["parts"], &["p"], vec![ints("perm", perm)]);
        net.node("Reshape", "together", &["p", "image"], &["t"], Vec::new());
        net.floats("k", &[8, 8, 3, 3], noise(576, 6));
        net.node("Conv", "border", &["t", "k"], &["b"], vec![ints("pads", &[1, 1, 1, 1])]);
        net
    };
    is(&first_suspect(&mut net(&[0, 1, 2, 4, 3, 5]), &mut net(&[0, 1, 2, 3, 4, 5])), "TS-PERM", "windows");
}

/// Blocks of rows in another order.
fn blocks(data: &[f32], block: usize, order: &[usize]) -> Vec<f32> {
    let all = data.chunks(block * order.len());
    all.flat_map(|part| order.iter().flat_map(|i| part[i * block..(i + 1) * block].iter().copied()).collect::<Vec<_>>()).collect()
}

#[test]
fn gates_of_a_recurrent_layer_in_another_order() {
    let net = |order: &[usize], biased: bool| {
        let mut net = Net::new(17);
        let small = |count, seed| noise(count, seed).iter().map(|x| x * 0.1).collect::<Vec<f32>>();
        net.numbers("rows", &[8, 1, 64]).numbers("image", &[1, 8, 8, 8]);
        net.floats("W", &[1, 192, 64], blocks(&small(12_288, 10), 4096, order));
        net.floats("R", &[1, 192, 64], blocks(&small(12_288, 11), 4096, order));
        net.floats("B", &[1, 384], blocks(&noise(384, 12), 64, order));
        net.node("Reshape", "rows", &["a", "rows"], &["r"], Vec::new());
        net.node("GRU", "gru", if biased { &["r", "W", "R", "B"] } else { &["r", "W", "R"] }, &["s"], vec![int("hidden_size", 64)]);
        net.node("Reshape", "together", &["s", "image"], &["b"], Vec::new());
        net
    };
    let right = [0, 1, 2];
    is(&first_suspect(&mut net(&right, true), &mut net(&[1, 0, 2], true)), "WB-LAYOUT", "gru");
    is(&first_suspect(&mut net(&right, true), &mut net(&right, false)), "WB-BIAS", "gru");
}

#[test]
fn parameters_of_a_normalisation_in_each_others_place() {
    let net = |scale: &str, shift: &str, version| {
        let mut net = Net::new(version);
        net.floats("s", &[8], noise(8, 2)).floats("t", &[8], noise(8, 3));
        net.node("InstanceNormalization", "norm", &["a", scale, shift], &["b"], Vec::new());
        net
    };
    is(&first_suspect(&mut net("s", "t", 17), &mut net("t", "s", 13)), "WB-NORM", "norm");
}

#[test]
fn a_node_that_is_missing_for_two_that_read_it_is_one_fault() {
    let net = |whole: bool| {
        let mut net = Net::new(17);
        net.floats("k", &[8, 8, 1, 1], noise(64, 5)).floats("l", &[8, 8, 3, 3], noise(576, 6));
        if whole {
            net.node("LeakyRelu", "leaky", &["a"], &["g"], vec![AttributeProto::of_float("alpha", 0.3)]);
        }
        let from = if whole { "g" } else { "a" };
        net.node("Conv", "mix", &[from, "k"], &["c"], Vec::new()).node("Relu", "cut", &["c"], &["d"], Vec::new());
        net.node("Conv", "border", &[from, "l"], &["e"], vec![ints("pads", &[1, 1, 1, 1])]).node(
            "Sigmoid",
            "squash",
            &["e"],
            &["h"],
            Vec::new(),
        );
        net.node("Add", "join", &["d", "h"], &["b"], Vec::new());
        net
    };
    let suspect = first_suspect(&mut net(true), &mut net(false));
    is(&suspect, "CG-MISSING", "mix");
    is(&suspect, "CG-MISSING", "border");
}

#[test]
fn a_bias_of_the_scores_that_is_lost_leaves_every_pair_equal_and_is_found() {
    let net = |shifted: bool| {
        let mut net = Net::new(17);
        net.node("Relu", "cut", &["a"], &["b"], Vec::new());
        net.shifted = shifted;
        net
    };
    let suspect = first_suspect(&mut net(true), &mut net(false));
    assert!(["WB-BIAS", "CG-MISSING"].contains(&suspect["kind"].as_str().unwrap_or_default()), "{suspect}");
    is(&suspect, suspect["kind"].as_str().unwrap_or_default(), "scores");
}

#[test]
fn an_operator_that_nobody_knows_is_no_matter_of_the_declared_type() {
    let net = |own: bool| {
        let mut net = Net::new(17);
        net.node("Relu", "cut", &["a"], &["r"], Vec::new()).node("Neg", "turn", &["r"], &["b"], Vec::new());
        if own {
            net.nodes.last_mut().expect("a node").domain = Some("ai.vendor".into());
        }
        net
    };
    let (_dir, run) = desk(&mut net(false), &mut net(true));
    let found = run(&["localize"], "target.onnx");
    assert_eq!((&found["verdict"], &found["suspects"][0]["kind"]), (&"unloadable".into(), &"CG-UNSUPPORTED".into()), "{found}");
    assert!(found["suspects"].as_array().is_some_and(|all| all.iter().all(|s| s["kind"] != "ID-DTYPE")), "{found}");
}

/// Three branches of one input and their sum, or the one convolution that they are merged into, with its bias times a factor.
fn branches(merged: Option<f32>) -> Net {
    let (wide, narrow) = (noise(576, 5), noise(64, 6));
    let (scale, shift, mean, variance) = (noise(8, 2), noise(8, 3), noise(8, 4), vec![1.5; 8]);
    let epsilon = 1e-5f32;
    let mut net = Net::new(17);
    let pads = ints("pads", &[1, 1, 1, 1]);
    let Some(factor) = merged else {
        net.floats("k3", &[8, 8, 3, 3], wide).floats("k1", &[8, 8, 1, 1], narrow);
        net.floats("s", &[8], scale).floats("t", &[8], shift).floats("m", &[8], mean).floats("v2", &[8], variance);
        net.node("Conv", "wide", &["a", "k3"], &["w3"], vec![pads]).node("Conv", "narrow", &["a", "k1"], &["w1"], Vec::new());
        net.node("BatchNormalization", "same", &["a", "s", "t", "m", "v2"], &["w0"], Vec::new());
        net.node("Add", "two", &["w3", "w1"], &["sum"], Vec::new()).node("Add", "three", &["sum", "w0"], &["r"], Vec::new());
        net.node("Relu", "relu", &["r"], &["b"], Vec::new());
        return net;
    };
    let mut kernel = wide;
    for (plane, x) in narrow.iter().enumerate() {
        kernel[plane * 9 + 4] += x;
    }
    let by: Vec<f32> = scale.iter().zip(&variance).map(|(s, v)| s / (v + epsilon).sqrt()).collect();
    for (c, by) in by.iter().enumerate() {
        kernel[(c * 8 + c) * 9 + 4] += by;
    }
    let bias = (0..8).map(|c| (shift[c] - mean[c] * by[c]) * factor).collect();
    net.floats("k", &[8, 8, 3, 3], kernel).floats("c", &[8], bias);
    net.node("Conv", "merged", &["a", "k", "c"], &["r"], vec![pads]).node("Relu", "relu", &["r"], &["b"], Vec::new());
    net
}

#[test]
fn the_bias_of_a_convolution_that_stands_for_several_branches() {
    let (_dir, run) = desk(&mut branches(None), &mut branches(Some(1.0)));
    assert_eq!(run(&["localize"], "target.onnx")["verdict"], "clean");
    is(&first_suspect(&mut branches(None), &mut branches(Some(-3.0))), "WB-BIAS", "merged");
}

#[test]
fn the_weight_of_a_convolution_that_stands_for_several_branches() {
    let mut turned = branches(Some(1.0));
    let kernel = turned.tensors.iter_mut().find(|t| t.name() == "k").expect("it is there");
    let data = kernel.float_data.clone();
    for (i, x) in kernel.float_data.iter_mut().enumerate() {
        *x = data[i / 9 * 9 + 8 - i % 9];
    }
    is(&first_suspect(&mut branches(None), &mut turned), "WB-LAYOUT", "merged");
}

#[test]
fn a_batch_norm_that_was_left_in_training() {
    let net = |training: bool| {
        let mut net = Net::new(17);
        net.floats("s", &[8], noise(8, 2)).floats("t", &[8], noise(8, 3)).floats("m", &[8], noise(8, 4)).floats("v2", &[8], vec![4.0; 8]);
        let (outputs, mode) = if training { (&["n", "rm", "rv"][..], vec![int("training_mode", 1)]) } else { (&["n"][..], Vec::new()) };
        net.node("BatchNormalization", "norm", &["a", "s", "t", "m", "v2"], outputs, mode).node("Relu", "relu", &["n"], &["b"], Vec::new());
        net
    };
    is(&first_suspect(&mut net(false), &mut net(true)), "WB-NORM", "norm");
}

#[test]
fn an_attribute_that_the_source_leaves_to_its_default() {
    let net = |mode: Option<&str>| {
        let mut net = Net::new(17);
        net.floats("k", &[32, 8, 1, 1], noise(256, 5)).node("Conv", "more", &["a", "k"], &["c"], Vec::new());
        let mut attributes = vec![int("blocksize", 2)];
        attributes.extend(mode.map(|m| AttributeProto::of_string("mode", m)));
        net.node("DepthToSpace", "shuffle", &["c"], &["d"], attributes);
        net.node("MaxPool", "pool", &["d"], &["b"], vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])]);
        net
    };
    let suspect = first_suspect(&mut net(None), &mut net(Some("CRD")));
    assert!(suspect["target_nodes"].as_array().is_some_and(|n| n.contains(&"shuffle".into())), "{suspect}");
    assert!(suspect["words"].as_str().is_some_and(|w| w.contains("mode of DepthToSpace is CRD, the source has DCR")), "{suspect}");
}

#[test]
fn the_activation_of_a_fused_convolution() {
    let net = |fused: Option<&str>| {
        let mut net = Net::new(17);
        net.floats("k", &[8, 8, 1, 1], noise(64, 5));
        match fused {
            None => net.node("Conv", "mix", &["a", "k"], &["c"], Vec::new()).node("Tanh", "tanh", &["c"], &["b"], Vec::new()),
            Some(activation) => {
                net.node("FusedConv", "mix", &["a", "k"], &["b"], vec![AttributeProto::of_string("activation", activation)])
            }
        };
        if let Some(mix) = net.nodes.iter_mut().find(|n| n.op_type() == "FusedConv") {
            mix.domain = Some("com.microsoft".into());
        }
        net
    };
    is(&first_suspect(&mut net(None), &mut net(Some("Sigmoid"))), "CG-OTHER", "mix");
}

#[test]
fn another_reduction_keeps_the_axes_that_the_node_has() {
    let net = |op: &str| {
        let mut net = Net::new(13);
        net.node("ReduceMax", "other", &["a"], &["o"], vec![ints("axes", &[2, 3]), int("keepdims", 1)]);
        net.node(op, "over", &["a"], &["m"], vec![ints("axes", &[1]), int("keepdims", 1)]);
        net.node("Mul", "gate", &["a", "o"], &["g"], Vec::new()).node("Add", "sum", &["g", "m"], &["b"], Vec::new());
        net
    };
    let suspect = first_suspect(&mut net("ReduceMax"), &mut net("ReduceMin"));
    is(&suspect, "CG-OTHER", "over");
}
