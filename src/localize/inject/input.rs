//! The declared input, and a normalisation that is built into the graph.

use super::pictures::declared;
use super::scene::{Scene, mapped};
use super::{Declared, Fault, Trial, Variant, pick};
use crate::localize::Kind;
use crate::model::onnx::tensor_shape_proto::{Dimension, dimension};
use crate::model::onnx::{AttributeProto, ValueInfoProto, tensor_proto::DataType, type_proto};
use crate::model::{Edit, ValueId};
use crate::run::OpId;
use rand::rngs::SmallRng;

pub(super) const VARIANTS: &[Variant] = &[
    Variant { kind: Kind::PpBaked, name: "constant", make: baked_constant },
    Variant { kind: Kind::PpBaked, name: "missing", make: baked_missing },
    Variant { kind: Kind::PpBaked, name: "doubled", make: baked_doubled },
    Variant { kind: Kind::IdLayout, name: "declared", make: layout_declared },
    Variant { kind: Kind::IdLayout, name: "transposed", make: layout_transposed },
    Variant { kind: Kind::IdSize, name: "size", make: size },
    Variant { kind: Kind::IdBatch, name: "missing", make: batch_missing },
    Variant { kind: Kind::IdBatch, name: "fixed", make: batch_fixed },
    Variant { kind: Kind::IdDtype, name: "dtype", make: dtype },
];

/// The declared input, when it is the only one and this is the first op that reads it.
fn first_reader(scene: &Scene, id: OpId) -> Option<(ValueId, ValueInfoProto)> {
    let [input] = *scene.network.inputs() else { return None };
    (scene.network.consumers(input).first() == Some(&id)).then_some((input, scene.model().inputs().next()?.clone()))
}

/// A fault in the declaration of the input.
fn with_declaration(scene: &Scene, id: OpId, note: String, change: impl FnOnce(&mut type_proto::Tensor) -> Option<()>) -> Option<Fault> {
    let (input, mut info) = first_reader(scene, id)?;
    let Some(type_proto::Value::TensorType(tensor)) = info.r#type.as_mut()?.value.as_mut() else { return None };
    change(tensor)?;
    let mut fault = Fault::new(Edit::SetInputs { values: vec![info] }, note).on(scene.name(input)).tried(Trial::Untried);
    fault.nodes = scene.network.consumers(input).iter().map(|o| scene.label(*o)).collect();
    Some(fault)
}

fn fixed(n: i64) -> Dimension {
    Dimension { value: Some(dimension::Value::DimValue(n)), ..Dimension::default() }
}

/// Whether a picture's channels come first, from its shape; `None` where that cannot be told, or it is no picture.
fn channels_first(shape: &[usize]) -> Option<bool> {
    match *shape {
        [_, a, b, c] if a <= 4 && a < b.min(c) => Some(true),
        [_, a, b, c] if c <= 4 && c < a.min(b) => Some(false),
        _ => None,
    }
}

const LIKE_LAYOUT: &[Kind] = &[Kind::TsPerm, Kind::TsFlatten, Kind::TsReshape];

fn layout_declared(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    let order: [usize; 4] = if channels_first(scene.input_shape(id, 0)?)? { [0, 2, 3, 1] } else { [0, 3, 1, 2] };
    let fault = with_declaration(scene, id, "input declared in the other layout, graph unchanged".into(), |t| {
        let dims = &mut t.shape.as_mut()?.dim;
        *dims = order.iter().map(|i| dims.get(*i).cloned()).collect::<Option<_>>()?;
        Some(())
    })?;
    Some(fault.or(LIKE_LAYOUT))
}

/// The input in the other layout, and a Transpose that exchanges height and width as well.
fn layout_transposed(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    let (input, mut info) = first_reader(scene, id)?;
    let shape = scene.input_shape(id, 0)?;
    let (order, perm) = if channels_first(shape)? { ([0, 2, 3, 1], [0, 3, 2, 1]) } else { ([0, 3, 1, 2], [0, 3, 2, 1]) };
    let Some(type_proto::Value::TensorType(tensor)) = info.r#type.as_mut()?.value.as_mut() else { return None };
    let dims = &mut tensor.shape.as_mut()?.dim;
    *dims = order.iter().map(|i| dims.get(*i).cloned()).collect::<Option<_>>()?;
    let (mut edits, label) = scene.insert_behind(input, "Transpose", vec![AttributeProto::of_ints("perm", &perm)], 1)?;
    edits.push(Edit::SetInputs { values: vec![info] });
    let fault = Fault::new(edits, "input in the other layout; Transpose exchanges height and width as well");
    Some(fault.at(label).on(scene.name(input)).or(LIKE_LAYOUT).tried(Trial::Permuted(order.to_vec())))
}

fn size(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let (_, info) = first_reader(scene, id)?;
    let (dims, _) = declared(&info)?;
    let shape = scene.input_shape(id, 0)?;
    let axes = if channels_first(shape)? { [2, 3] } else { [1, 2] };
    let factor = pick(rng, &[0.875f64, 0.75, 1.25])?;
    let new: Vec<i64> = axes.iter().map(|a| (shape[*a] as f64 * factor).round() as i64).collect();
    let now: Vec<i64> = axes.iter().map(|a| dims[*a]).collect::<Option<_>>()?;
    with_declaration(scene, id, format!("height and width declared {new:?} in place of {now:?}"), |t| {
        for (a, n) in axes.iter().zip(&new) {
            *t.shape.as_mut()?.dim.get_mut(*a)? = fixed(*n);
        }
        Some(())
    })
}

fn batch_missing(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    if scene.input_shape(id, 0)?.len() < 2 {
        return None;
    }
    with_declaration(scene, id, "declared input lacks the batch axis".into(), |t| {
        let dims = &mut t.shape.as_mut()?.dim;
        (!dims.is_empty()).then(|| drop(dims.remove(0)))
    })
}

fn batch_fixed(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let n = pick(rng, &[2i64, 4, 8])?;
    let fault = with_declaration(scene, id, format!("batch declared {n}"), |t| {
        *t.shape.as_mut()?.dim.first_mut()? = fixed(n);
        Some(())
    })?;
    Some(fault.tried(Trial::Declared(Declared::Batch(n as usize))))
}

fn dtype(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let now = scene.value(scene.input(id, 0)?)?.dtype();
    let others: Vec<DataType> =
        [DataType::Float, DataType::Double, DataType::Float16, DataType::Uint8].into_iter().filter(|t| *t != now).collect();
    let new = pick(rng, &others)?;
    let name = |t: DataType| t.as_str_name().to_lowercase();
    let note = format!("element type declared {} in place of {}", name(new), name(now));
    let fault = with_declaration(scene, id, note, |t| {
        t.elem_type = Some(new as i32);
        Some(())
    })?;
    Some(fault.tried(Trial::Declared(Declared::Type(new))))
}

/// Whether an op is part of a normalisation at the input: a small constant, and nothing but its like between it and the input.
fn is_baked(scene: &Scene, id: OpId) -> Option<usize> {
    if !matches!(scene.op_type(id), "Add" | "Sub" | "Mul" | "Div") {
        return None;
    }
    let (slot, mut data) = scene.constant_operand(id)?;
    let small = |c: &crate::run::Value| c.is_float() && c.len() <= 4;
    scene.constant(id, slot).filter(|c| small(c))?;
    let mut at = id;
    while let Some(before) = scene.before(at, data) {
        data = match scene.op_type(before) {
            "Cast" | "Transpose" | "Identity" => 0,
            "Add" | "Sub" | "Mul" | "Div" => {
                let (slot, data) = scene.constant_operand(before)?;
                scene.constant(before, slot).filter(|c| small(c))?;
                data
            }
            _ => return None,
        };
        at = before;
    }
    Some(slot)
}

const LIKE_BAKED: &[Kind] = &[Kind::PpNorm, Kind::PpScale, Kind::WbValues, Kind::WbBias];

fn baked_constant(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let slot = is_baked(scene, id)?;
    let factor = pick(rng, &[0.6f32, 1.7, 2.0])?;
    let new = mapped(scene.constant(id, slot)?, |data| data.iter_mut().for_each(|x| *x *= factor))?;
    let (edits, name) = scene.set_constant(id, slot, &new)?;
    Some(
        Fault::new(edits, format!("built-in {name}: times {factor}"))
            .at(scene.label(id))
            .on(name)
            .or(LIKE_BAKED)
            .or(&[Kind::CgMissing, Kind::LhAct]),
    )
}

fn baked_missing(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    let slot = is_baked(scene, id)?;
    let (edits, beside) = scene.bypass(id, 1 - slot)?;
    let mut fault =
        Fault::new(edits, format!("built-in {} {} removed", scene.op_type(id), scene.label(id))).or(LIKE_BAKED).or(&[Kind::CgMissing]);
    fault.tensors.extend(scene.input(id, 1 - slot).map(|v| scene.name(v).to_string()));
    fault.nodes = beside;
    Some(fault)
}

fn baked_doubled(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    let slot = is_baked(scene, id)?;
    let new = scene.fresh(scene.op_type(id));
    let v = scene.output(id)?;
    let mut node = scene.node(id).clone();
    node.input[1 - slot] = scene.name(v).into();
    node.output = vec![new.clone()];
    node.name = Some(new.clone());
    let mut edits = scene.redirect(v, &new)?;
    let first = *scene.model().index().consumers(v).first()?;
    let before = scene.model().node(first).output.iter().find(|o| !o.is_empty()).cloned();
    edits.push(Edit::InsertNode { before, node });
    Some(Fault::new(edits, format!("built-in {} twice", scene.op_type(id))).at(new).at(scene.label(id)).or(LIKE_BAKED).or(&[Kind::CgExtra]))
}
