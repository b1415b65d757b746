//! Nodes that are missing, too many, others, wired wrongly, or that nothing can run.

use super::scene::{Scene, passes};
use super::weights::weight_slot;
use super::{Fault, Trial, Variant, pick};
use crate::localize::Kind;
use crate::model::onnx::AttributeProto;
use crate::model::{Edit, NodeExt, ValueId};
use crate::run::OpId;
use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

pub(super) const VARIANTS: &[Variant] = &[
    Variant { kind: Kind::CgMissing, name: "activation", make: activation_missing },
    Variant { kind: Kind::CgMissing, name: "layer", make: layer_missing },
    Variant { kind: Kind::CgMissing, name: "join", make: join_missing },
    Variant { kind: Kind::CgExtra, name: "activation", make: activation_extra },
    Variant { kind: Kind::CgExtra, name: "doubling", make: doubling_extra },
    Variant { kind: Kind::CgExtra, name: "pooling", make: pooling_extra },
    Variant { kind: Kind::CgOther, name: "activation", make: other_activation },
    Variant { kind: Kind::CgOther, name: "arithmetic", make: other_arithmetic },
    Variant { kind: Kind::CgOther, name: "reduction", make: other_reduction },
    Variant { kind: Kind::CgRewired, name: "input", make: rewired },
    Variant { kind: Kind::CgRewired, name: "operands", make: operands_exchanged },
    Variant { kind: Kind::CgRewired, name: "parts", make: parts_reordered },
    Variant { kind: Kind::CgRewired, name: "results", make: results_exchanged },
    Variant { kind: Kind::CgUnsupported, name: "operator", make: unknown_operator },
    Variant { kind: Kind::CgUnsupported, name: "domain", make: unknown_domain },
    Variant { kind: Kind::CgUnsupported, name: "dangling", make: dangling },
];

/// Functions of one value, element by element.
const ACTIVATIONS: &[&str] = &[
    "Relu",
    "Clip",
    "Tanh",
    "Sigmoid",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Elu",
    "Selu",
    "Celu",
    "Softplus",
    "Softsign",
    "Erf",
    "Gelu",
    "Mish",
    "Swish",
    "PRelu",
    "Abs",
    "Sqrt",
    "Exp",
    "Log",
];

fn without(scene: &Scene, id: OpId, slot: usize) -> Option<Fault> {
    if scene.input_shape(id, slot)? != scene.output_shape(id)? {
        return None;
    }
    let (edits, beside) = scene.bypass(id, slot)?;
    let mut fault = Fault::new(edits, format!("{} {} removed; input {slot} passed on", scene.op_type(id), scene.label(id)));
    fault.nodes = beside;
    Some(fault)
}

fn activation_missing(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    if ACTIVATIONS.contains(&scene.op_type(id)) { without(scene, id, 0) } else { None }
}

fn layer_missing(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    match scene.op_type(id) {
        "BatchNormalization"
        | "LayerNormalization"
        | "InstanceNormalization"
        | "GroupNormalization"
        | "Softmax"
        | "MaxPool"
        | "AveragePool" => without(scene, id, 0),
        "Conv" | "Gemm" | "MatMul" => without(scene, id, 1 - weight_slot(scene, id).filter(|s| *s < 2)?),
        _ => None,
    }
}

/// An addition or product of two values, one of them passed on: a skip connection or a gate that is not there.
fn join_missing(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let two = scene.op(id).data.len() == 2 && scene.op(id).inputs.len() == 2;
    if two && matches!(scene.op_type(id), "Add" | "Mul" | "Sub" | "Div") { without(scene, id, rng.random_range(0..2)) } else { None }
}

fn extra(scene: &Scene, id: OpId, op: &str, attributes: Vec<AttributeProto>, copies: usize) -> Option<Fault> {
    let v = scene.output(id)?;
    scene.value(v).filter(|x| x.is_float() && x.len() > 1)?;
    let (edits, label) = scene.insert_behind(v, op, attributes, copies)?;
    Some(Fault::new(edits, format!("an extra {op} after {}", scene.label(id))).at(label.clone()).on(label))
}

fn activation_extra(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let op = pick(rng, &["Relu", "Tanh", "Sigmoid"])?;
    extra(scene, id, op, Vec::new(), 1)
}

fn doubling_extra(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    extra(scene, id, "Add", Vec::new(), 2)
}

fn pooling_extra(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let shape = scene.output_shape(id)?;
    if shape.len() != 4 || shape[2].min(shape[3]) < 3 {
        return None;
    }
    let attributes = vec![
        AttributeProto::of_ints("kernel_shape", &[3, 3]),
        AttributeProto::of_ints("pads", &[1, 1, 1, 1]),
        AttributeProto::of_ints("strides", &[1, 1]),
    ];
    extra(scene, id, pick(rng, &["MaxPool", "AveragePool"])?, attributes, 1)
}

/// Puts another operator in an op's place, with the same inputs but for those from `inputs` on, and without attributes.
fn replaced(scene: &Scene, id: OpId, op: &str, inputs: usize) -> Option<Fault> {
    let mut with = scene.node(id).clone();
    if with.op_type() == op {
        return None;
    }
    with.op_type = Some(op.into());
    with.input.truncate(inputs);
    with.attribute.clear();
    with.domain = None;
    let edit = Edit::ReplaceNode { node: scene.key(id), with };
    Some(Fault::new(edit, format!("{op} in place of {}", scene.op_type(id))).at(scene.label(id)))
}

fn other_activation(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let now = scene.op_type(id);
    let others: &[&str] = match now {
        "Relu" | "LeakyRelu" | "PRelu" => &["Abs", "LeakyRelu", "Elu", "Softplus", "Sigmoid"],
        "Clip" => &["Relu", "Sigmoid", "Abs", "Elu"],
        "Sigmoid" | "HardSigmoid" => &["Tanh", "HardSigmoid", "Softplus"],
        "Tanh" | "Erf" | "Softsign" => &["Tanh", "Sigmoid", "Softsign"],
        "Gelu" | "HardSwish" | "Mish" | "Swish" | "Elu" | "Selu" | "Celu" => &["Relu", "Elu", "Tanh"],
        "Sqrt" => &["Abs", "Log"],
        "Softmax" => &["LogSoftmax", "Sigmoid"],
        _ => return None,
    };
    let op = pick(rng, others)?;
    let mut fault = replaced(scene, id, op, 1)?;
    if now == "Softmax"
        && let (Some(axis), Edit::ReplaceNode { with, .. }) = (scene.node(id).attr("axis"), &mut fault.edit)
        && op == "LogSoftmax"
    {
        with.attribute.push(axis.clone());
    }
    // A rectifier is a Clip without an upper bound, a leaky one a rectifier with a slope.
    let parameters = matches!((now, op), ("Clip", "Relu") | ("LeakyRelu", "Relu") | ("PRelu", "LeakyRelu"));
    Some(if parameters { fault.or(&[Kind::LhAct]) } else { fault })
}

fn other_arithmetic(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    if scene.op(id).data.len() != 2 || scene.op(id).inputs.len() != 2 {
        return None;
    }
    let others: &[&str] = match scene.op_type(id) {
        "Add" => &["Sub", "Mul", "Max"],
        "Sub" => &["Add"],
        "Mul" => &["Add", "Max"],
        "Div" => &["Mul"],
        "Max" => &["Min", "Add"],
        "Min" => &["Max"],
        _ => return None,
    };
    replaced(scene, id, pick(rng, others)?, 2)
}

fn other_reduction(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let now = scene.op_type(id);
    let others: Vec<&str> = ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2"].into_iter().filter(|o| *o != now).collect();
    if !matches!(now, "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceL2") {
        return None;
    }
    let op = pick(rng, &others)?;
    // ReduceSum takes its axes as an input since operator set 13, the others since 18.
    if (13..18).contains(&scene.opset()) && (op == "ReduceSum" || now == "ReduceSum") {
        return None;
    }
    let mut with = scene.node(id).clone();
    with.op_type = Some(op.into());
    // Over height and width it is a pooling.
    let also: &[Kind] = if scene.input_shape(id, 0)?.len() == 4 { &[Kind::LhPool] } else { &[] };
    let edit = Edit::ReplaceNode { node: scene.key(id), with };
    Some(Fault::new(edit, format!("{op} in place of {now}")).at(scene.label(id)).or(also))
}

/// Values that an op could read in place of another: of the same shape and type, made earlier.
fn like(scene: &Scene, id: OpId, v: ValueId) -> Vec<ValueId> {
    let Some(now) = scene.value(v) else { return Vec::new() };
    let here = scene.op(id).node;
    let earlier = scene.network.op_ids().filter(|o| *o < id && scene.op(*o).node < here);
    earlier
        .flat_map(|o| scene.op(o).made().collect::<Vec<_>>())
        .filter(|o| *o != v && !scene.op(id).data.contains(o))
        .filter(|o| scene.value(*o).is_some_and(|x| x.shape() == now.shape() && x.dtype() == now.dtype() && !x.same(now)))
        .collect()
}

fn rewired(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let op = scene.op(id);
    let mut slots: Vec<usize> = (0..op.inputs.len()).filter(|s| scene.input(id, *s).is_some_and(|v| op.data.contains(&v))).collect();
    slots.shuffle(rng);
    let slot = *slots.first()?;
    let now = scene.input(id, slot)?;
    scene.value(now).filter(|v| v.is_float() && v.len() > 1)?;
    let new = pick(rng, &like(scene, id, now))?;
    let edit = Edit::RewireInput { node: scene.key(id), slot, value: scene.name(new).into() };
    let note = format!("input {slot} taken from {} in place of {}", scene.name(new), scene.name(now));
    // From one node further up, as if that node were missing; or from one further down, as if it were there too often.
    let reads = |maker: Option<OpId>, v: ValueId| maker.is_some_and(|m| scene.op(m).data.contains(&v));
    let also: &[Kind] = match (reads(scene.network.producer(now), new), reads(scene.network.producer(new), now)) {
        (true, _) => &[Kind::CgMissing],
        (_, true) => &[Kind::CgExtra],
        _ => &[],
    };
    let mut fault = Fault::new(edit, note).at(scene.label(id)).or(also);
    if passes(scene.op_type(id)) {
        // Those behind it read what they should not as well.
        fault.nodes.extend(scene.readers_beyond(scene.output(id)?));
    }
    Some(fault)
}

/// Edits that let an op read what it reads in another order.
fn in_order(scene: &Scene, id: OpId, order: &[usize]) -> Vec<Edit> {
    let node = scene.node(id);
    let moved = order.iter().enumerate().filter(|(slot, from)| slot != *from && node.input[*slot] != node.input[**from]);
    moved.map(|(slot, from)| Edit::RewireInput { node: scene.key(id), slot, value: node.input[*from].clone() }).collect()
}

fn operands_exchanged(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    let op = scene.op(id);
    if !matches!(scene.op_type(id), "Sub" | "Div" | "Pow" | "MatMul") || op.inputs.len() != 2 || op.data.len() != 2 {
        return None;
    }
    Some(Fault::new(in_order(scene, id, &[1, 0]), "both operands exchanged").at(scene.label(id)))
}

fn parts_reordered(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let op = scene.op(id);
    if scene.op_type(id) != "Concat" || op.data.len() < 2 || !scene.value(op.data[0])?.is_float() {
        return None;
    }
    let mut order: Vec<usize> = (0..op.inputs.len()).collect();
    let (i, j) = (rng.random_range(0..order.len()), rng.random_range(1..order.len()));
    let j = (i + j) % order.len();
    order.swap(i, j);
    Some(Fault::new(in_order(scene, id, &order), format!("inputs of Concat in the order {order:?}")).at(scene.label(id)))
}

fn results_exchanged(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let made: Vec<ValueId> = scene.op(id).made().collect();
    if scene.op_type(id) != "Split" || made.len() < 2 {
        return None;
    }
    let i = rng.random_range(0..made.len());
    let j = (i + rng.random_range(1..made.len())) % made.len();
    if scene.shape(made[i])? != scene.shape(made[j])? {
        return None;
    }
    let mut edits = scene.redirect(made[i], scene.name(made[j]))?;
    edits.extend(scene.redirect(made[j], scene.name(made[i]))?);
    let mut fault = Fault::new(edits, "two outputs of Split exchanged").at(scene.label(id));
    fault.nodes.extend(scene.readers_beyond(made[i]).into_iter().chain(scene.readers_beyond(made[j])));
    Some(fault)
}

fn unknown_operator(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    let mut with = scene.node(id).clone();
    let (now, new) = (with.op_type().to_string(), format!("Fused{}", with.op_type()));
    with.op_type = Some(new.clone());
    let edit = Edit::ReplaceNode { node: scene.key(id), with };
    Some(Fault::new(edit, format!("operator {new} unknown to ONNX in place of {now}")).at(scene.label(id)).tried(Trial::Fails))
}

fn unknown_domain(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    let mut with = scene.node(id).clone();
    with.domain = Some("com.example".into());
    let edit = Edit::ReplaceNode { node: scene.key(id), with };
    Some(
        Fault::new(edit, format!("{} of domain com.example, which is not imported", scene.op_type(id)))
            .at(scene.label(id))
            .tried(Trial::Fails),
    )
}

fn dangling(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let slots: Vec<usize> = (0..scene.op(id).inputs.len()).filter(|s| scene.input(id, *s).is_some()).collect();
    let slot = pick(rng, &slots)?;
    let now = scene.name(scene.input(id, slot)?);
    let edit = Edit::RewireInput { node: scene.key(id), slot, value: scene.fresh(now) };
    Some(
        Fault::new(edit, format!("input {slot} names a value that does not exist, in place of {now}"))
            .at(scene.label(id))
            .tried(Trial::Fails),
    )
}
