//! The order of axes, shapes, and which values are outputs.

use super::scene::Scene;
use super::weights::weight_slot;
use super::{Fault, Trial, Variant, pick};
use crate::localize::Kind;
use crate::model::onnx::{AttributeProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto};
use crate::model::{Edit, NodeExt, ValueId};
use crate::run::{OpId, Value};
use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

pub(super) const VARIANTS: &[Variant] = &[
    Variant { kind: Kind::TsPerm, name: "perm", make: perm },
    Variant { kind: Kind::TsPerm, name: "extra", make: extra_transpose },
    Variant { kind: Kind::TsPerm, name: "missing", make: missing_transpose },
    Variant { kind: Kind::TsFlatten, name: "other-order", make: flattened_in_other_order },
    Variant { kind: Kind::TsFlatten, name: "rows", make: rows_in_other_order },
    Variant { kind: Kind::TsAxis, name: "axis", make: axis },
    Variant { kind: Kind::TsAxis, name: "axes", make: axes },
    Variant { kind: Kind::TsReshape, name: "exchanged", make: reshape },
    Variant { kind: Kind::TsOutput, name: "another-first", make: another_output_first },
    Variant { kind: Kind::TsOutput, name: "replaced", make: output_replaced },
    Variant { kind: Kind::TsOutput, name: "exchanged", make: outputs_exchanged },
    Variant { kind: Kind::TsOutput, name: "softmax-doubled", make: softmax_doubled },
];

fn as_ints(perm: &[usize]) -> Vec<i64> {
    perm.iter().map(|p| *p as i64).collect()
}

fn transpose(perm: &[usize]) -> Vec<AttributeProto> {
    vec![AttributeProto::of_ints("perm", &as_ints(perm))]
}

fn perm(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    if scene.op_type(id) != "Transpose" {
        return None;
    }
    let shape = scene.input_shape(id, 0).filter(|s| s.len() > 1)?;
    let now: Vec<usize> = match scene.node(id).ints("perm") {
        Some(perm) => perm.iter().map(|p| *p as usize).collect(),
        None => (0..shape.len()).rev().collect(),
    };
    // Those that keep the shape run surely; others run where a Reshape follows.
    let keeps = |perm: &[usize]| perm.iter().zip(&now).all(|(a, b)| shape[*a] == shape[*b]);
    let mut drawn: Vec<Vec<usize>> = (0..24)
        .map(|_| {
            let mut perm = now.clone();
            perm[1..].shuffle(rng);
            perm
        })
        .filter(|p| *p != now)
        .collect();
    drawn.sort_by_key(|p| !keeps(p));
    let new = if rng.random_bool(0.7) { drawn.first()?.clone() } else { drawn.last()?.clone() };
    let edit = Edit::SetAttribute { node: scene.key(id), attribute: transpose(&new).remove(0) };
    Some(Fault::new(edit, format!("perm {new:?} in place of {now:?}")).at(scene.label(id)))
}

/// Exchanges two axes of the same length, so that all goes on to run.
fn extra_transpose(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let v = scene.output(id)?;
    let value = scene.value(v).filter(|v| v.is_float())?;
    let shape = value.shape();
    let mut equal = Vec::new();
    for i in 0..shape.len() {
        equal.extend((i + 1..shape.len()).filter(|j| shape[*j] == shape[i] && shape[i] > 1).map(|j| (i, j)));
    }
    let (i, j) = pick(rng, &equal)?;
    let mut perm: Vec<usize> = (0..shape.len()).collect();
    perm.swap(i, j);
    let (edits, label) = scene.insert_behind(v, "Transpose", transpose(&perm), 1)?;
    let note = format!("an extra Transpose {perm:?} after {}", scene.label(id));
    let mut fault = Fault::new(edits, note).at(label.clone()).on(label).or(&[Kind::CgExtra]).or(scene.flattened_behind(v));
    fault.nodes.extend(scene.transposes_beside(v));
    Some(fault)
}

fn missing_transpose(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    if scene.op_type(id) != "Transpose" {
        return None;
    }
    let (edits, beside) = scene.bypass(id, 0)?;
    let mut fault = Fault::new(edits, format!("Transpose {} removed", scene.label(id))).or(&[Kind::CgMissing]);
    fault.also.extend(scene.flattened_behind(scene.output(id)?));
    fault.nodes = beside;
    Some(fault)
}

/// An op that joins axes of a value of rank 4: its shape before.
fn flattens(scene: &Scene, id: OpId) -> Option<&[usize]> {
    let (before, after) = (scene.input_shape(id, 0)?, scene.output_shape(id)?);
    let joins = matches!(scene.op_type(id), "Flatten" | "Reshape" | "Squeeze") && before.len() == 4 && after.len() < 4;
    (joins && before[1..].iter().filter(|d| **d > 1).count() > 1).then_some(before)
}

/// The order of the other layout, and whether the value's is taken for NCHW.
fn other_layout(rng: &mut SmallRng) -> [usize; 4] {
    if rng.random_bool(0.7) { [0, 2, 3, 1] } else { [0, 3, 1, 2] }
}

fn flattened_in_other_order(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    flattens(scene, id)?;
    let perm = other_layout(rng);
    let (edits, label) = scene.insert_before(id, 0, "Transpose", transpose(&perm))?;
    let note = format!("flattened in the order {perm:?}");
    Some(Fault::new(edits, note).at(label).at(scene.label(id)).or(&[Kind::TsPerm, Kind::CgExtra]))
}

/// The rows of the weight behind a flattened value stand in the order of the other layout.
fn rows_in_other_order(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let before = flattens(scene, id)?.to_vec();
    let layer = scene.sole_reader(id)?;
    let slot = weight_slot(scene, layer).filter(|_| matches!(scene.op_type(layer), "Gemm" | "MatMul"))?;
    let w = scene.constant(layer, slot)?;
    let [r, c] = *w.shape() else { return None };
    let by_column = scene.op_type(layer) == "Gemm" && scene.node(layer).int("transB").unwrap_or(0) != 0;
    let (rows, columns) = if by_column { (c, r) } else { (r, c) };
    if rows != before[1] * before[2] * before[3] {
        return None;
    }
    let perm = other_layout(rng);
    let straight = if by_column { w.transpose(&[1, 0])? } else { w.clone() };
    let moved = straight.reshape(&[before[1], before[2], before[3], columns])?.transpose(&[perm[1] - 1, perm[2] - 1, perm[3] - 1, 3])?;
    let moved = moved.reshape(&[rows, columns])?;
    let new = if by_column { moved.transpose(&[1, 0])? } else { moved };
    let (edits, name) = scene.set_constant(layer, slot, &new)?;
    let note = format!("rows of the weight in the order {perm:?} of what is flattened");
    Some(Fault::new(edits, note).at(scene.label(layer)).at(scene.label(id)).on(name).or(&[
        Kind::WbLayout,
        Kind::WbValues,
        Kind::TsPerm,
        Kind::CgExtra,
    ]))
}

fn axis(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let default = match scene.op_type(id) {
        "Softmax" | "LogSoftmax" | "Hardmax" => Some(if scene.opset() < 13 { 1 } else { -1 }),
        "LayerNormalization" => Some(-1),
        "Gather" | "Split" | "ArgMax" | "ArgMin" => Some(0),
        "Concat" => None,
        "Flatten" => Some(1),
        _ => return None,
    };
    let now = scene.node(id).int("axis").or(default)?;
    let slot = usize::from(scene.op_type(id) == "Concat" && scene.constant(id, 0).is_some());
    let rank = scene.input_shape(id, slot)?.len() as i64;
    let others: Vec<i64> = (0..rank).filter(|a| *a != now.rem_euclid(rank.max(1))).collect();
    let new = pick(rng, &others)?;
    let edit = Edit::SetAttribute { node: scene.key(id), attribute: AttributeProto::of_int("axis", new) };
    Some(Fault::new(edit, format!("axis {new} in place of {now}")).at(scene.label(id)))
}

fn axes(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    if !scene.op_type(id).starts_with("Reduce") {
        return None;
    }
    let attribute = scene.node(id).ints("axes").map(<[i64]>::to_vec);
    let now = attribute.clone().or_else(|| Some(scene.constant(id, 1)?.to_i64()))?;
    let rank = scene.input_shape(id, 0).filter(|s| !s.is_empty())?.len() as i64;
    let free: Vec<i64> = (0..rank).filter(|a| !now.iter().any(|n| n.rem_euclid(rank) == *a)).collect();
    let at = rng.random_range(0..now.len().max(1));
    let mut new = now.clone();
    *new.get_mut(at)? = pick(rng, &free)?;
    new.sort_unstable();
    let note = format!("axes {new:?} in place of {now:?}");
    if attribute.is_some() {
        let edit = Edit::SetAttribute { node: scene.key(id), attribute: AttributeProto::of_ints("axes", &new) };
        return Some(Fault::new(edit, note).at(scene.label(id)));
    }
    let (edits, name) = scene.set_constant(id, 1, &Value::from_i64(&[new.len()], new))?;
    Some(Fault::new(edits, note).at(scene.label(id)).on(name))
}

fn reshape(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    if scene.op_type(id) != "Reshape" {
        return None;
    }
    let now = scene.constant(id, 1)?.to_i64();
    let shape = scene.output_shape(id)?;
    let mut pairs = Vec::new();
    for i in 0..shape.len() {
        pairs.extend((i + 1..shape.len()).filter(|j| shape[*j] != shape[i]).map(|j| (i, j)));
    }
    let (i, j) = pick(rng, &pairs)?;
    let mut new = now.clone();
    // A 0 stands for the dimension that was there before: it means another one in another place.
    if now[i] == 0 || now[j] == 0 {
        (new[i], new[j]) = (shape[i] as i64, shape[j] as i64);
    }
    new.swap(i, j);
    let (edits, name) = scene.set_constant(id, 1, &Value::from_i64(&[new.len()], new.clone()))?;
    Some(Fault::new(edits, format!("shape {new:?} in place of {now:?}")).at(scene.label(id)).on(name))
}

/// A declaration of a value as an output. Its batch axis is declared as the other output's.
fn declaration(scene: &Scene, v: ValueId, like: &ValueInfoProto) -> Option<ValueInfoProto> {
    use crate::model::onnx::tensor_shape_proto::{Dimension, dimension};
    let value = scene.value(v)?;
    let mut dims: Vec<_> =
        value.shape().iter().map(|d| Dimension { value: Some(dimension::Value::DimValue(*d as i64)), ..Dimension::default() }).collect();
    if let Some(type_proto::Value::TensorType(t)) = like.r#type.as_ref().and_then(|t| t.value.as_ref())
        && let (Some(mine), Some(theirs)) = (dims.first_mut(), t.shape.as_ref().and_then(|s| s.dim.first()))
    {
        mine.clone_from(theirs);
    }
    let tensor = type_proto::Tensor { elem_type: Some(value.dtype() as i32), shape: Some(TensorShapeProto { dim: dims }) };
    let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    Some(ValueInfoProto { name: Some(scene.name(v).into()), r#type: Some(r#type), ..ValueInfoProto::default() })
}

/// The graph's only output, and the op that makes it.
fn only_output(scene: &Scene) -> Option<(ValueId, OpId, ValueInfoProto)> {
    let [v] = *scene.network.outputs() else { return None };
    Some((v, scene.network.producer(v)?, scene.model().outputs().next()?.clone()))
}

fn another_output_first(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    let (out, maker, info) = only_output(scene)?;
    let v = scene.output(id).filter(|v| *v != out)?;
    let value = scene.value(v).filter(|v| v.is_float() && v.len() > 1)?;
    if value.shape().len() < 2 || value.shape().first() != scene.shape(out)?.first() {
        return None;
    }
    let edit = Edit::SetOutputs { values: vec![declaration(scene, v, &info)?, info] };
    let fault = Fault::new(edit, format!("two outputs, {} first and the right one second", scene.name(v))).tried(Trial::Runs);
    Some(fault.at(scene.label(id)).at(scene.label(maker)).on(scene.name(v)).on(scene.name(out)))
}

fn output_replaced(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    let (out, maker, info) = only_output(scene)?;
    let v = scene.output(id).filter(|v| *v != out)?;
    if scene.shape(v)? != scene.shape(out)? || scene.value(v)?.dtype() != scene.value(out)?.dtype() {
        return None;
    }
    let edit = Edit::SetOutputs { values: vec![declaration(scene, v, &info)?] };
    let fault = Fault::new(edit, format!("{} given as output in place of {}", scene.name(v), scene.name(out)));
    let fault = fault.at(scene.label(id)).at(scene.label(maker)).on(scene.name(v)).on(scene.name(out)).or(&[Kind::CgMissing]);
    // The last addition left out.
    let bias = scene.op_type(maker) == "Add" && scene.op(maker).data == [v];
    Some(if bias { fault.or(&[Kind::WbBias]) } else { fault })
}

fn outputs_exchanged(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    let outputs = scene.network.outputs();
    if outputs.len() < 2 || scene.output(id) != Some(outputs[0]) {
        return None;
    }
    let mut values: Vec<_> = scene.model().outputs().cloned().collect();
    values.swap(0, 1);
    let fault = Fault::new(Edit::SetOutputs { values }, "the first two outputs exchanged").tried(Trial::Runs);
    let other = scene.network.producer(outputs[1])?;
    Some(fault.at(scene.label(id)).at(scene.label(other)).on(scene.name(outputs[0])).on(scene.name(outputs[1])))
}

fn softmax_doubled(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    let (out, maker, _) = only_output(scene)?;
    if maker != id || scene.op_type(id) != "Softmax" {
        return None;
    }
    let attributes = scene.node(id).attribute.clone();
    let (edits, label) = scene.insert_behind(out, "Softmax", attributes, 1)?;
    Some(Fault::new(edits, "Softmax doubled at the end").at(label).at(scene.label(id)).on(scene.name(out)).or(&[Kind::CgExtra]))
}
