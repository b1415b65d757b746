//! Weights and biases of layers that multiply: convolutions and matrix products; and the numbers of quantisation.

use super::scene::{Scene, mapped};
use super::{Fault, Variant, pick};
use crate::localize::Kind;
use crate::model::onnx::tensor_proto::DataType;
use crate::model::{Edit, NodeExt};
use crate::run::{OpId, Value};
use rand::Rng;
use rand::rngs::SmallRng;

pub(super) const VARIANTS: &[Variant] = &[
    Variant { kind: Kind::WbValues, name: "noise", make: noise },
    Variant { kind: Kind::WbValues, name: "zeros", make: zeros },
    Variant { kind: Kind::WbValues, name: "scaled", make: scaled },
    Variant { kind: Kind::WbPrecision, name: "rounded", make: rounded },
    Variant { kind: Kind::WbBias, name: "zeroed", make: bias_zeroed },
    Variant { kind: Kind::WbBias, name: "negated", make: bias_negated },
    Variant { kind: Kind::WbBias, name: "rotated", make: bias_rotated },
    Variant { kind: Kind::WbBias, name: "dropped", make: bias_dropped },
    Variant { kind: Kind::WbBias, name: "of-another", make: bias_of_another },
    Variant { kind: Kind::WbLayout, name: "height-width", make: height_width },
    Variant { kind: Kind::WbLayout, name: "flipped", make: flipped },
    Variant { kind: Kind::WbLayout, name: "outputs-rotated", make: outputs_rotated },
    Variant { kind: Kind::WbLayout, name: "inputs-reversed", make: inputs_reversed },
    Variant { kind: Kind::WbLayout, name: "read-in-other-order", make: other_order },
    Variant { kind: Kind::WbLayout, name: "transposed", make: transposed },
    Variant { kind: Kind::WbSwap, name: "swapped", make: swapped },
    Variant { kind: Kind::WbQuant, name: "scale", make: quant_scale },
    Variant { kind: Kind::WbQuant, name: "zero-point", make: quant_zero_point },
];

/// The slot of a layer's weight: a constant that data are multiplied with, in floats.
pub(super) fn weight_slot(scene: &Scene, id: OpId) -> Option<usize> {
    let slot = match scene.op_type(id) {
        "Conv" | "ConvTranspose" | "Gemm" | "FusedConv" => 1,
        "MatMul" => scene.constant_operand(id)?.0,
        _ => return None,
    };
    let value = scene.constant(id, slot)?;
    (value.is_float() && value.shape().len() >= 2 && value.len() >= 4).then_some(slot)
}

/// The axis of a weight along which its output channels lie.
fn output_axis(scene: &Scene, id: OpId, slot: usize) -> Option<usize> {
    let rank = scene.constant(id, slot)?.shape().len();
    Some(match scene.op_type(id) {
        "Conv" | "FusedConv" => 0,
        "ConvTranspose" => 1,
        "Gemm" => usize::from(scene.node(id).int("transB").unwrap_or(0) == 0),
        _ if slot == 1 => rank - 1,
        _ => rank - 2,
    })
}

/// A fault that gives a layer another weight.
fn with_weight(scene: &Scene, id: OpId, note: String, change: impl FnOnce(&Value) -> Option<Value>) -> Option<Fault> {
    let slot = weight_slot(scene, id)?;
    let value = scene.constant(id, slot)?;
    let new = change(value)?;
    if new.shape() != value.shape() || new.same(value) {
        return None;
    }
    let (edits, name) = scene.set_constant(id, slot, &new)?;
    Some(Fault::new(edits, note).at(scene.label(id)).on(name))
}

fn noise(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let sigma = pick(rng, &[0.3f32, 0.5, 0.8])?;
    with_weight(scene, id, format!("noise of {sigma} sigma"), |w| {
        mapped(w, |data| {
            let n = data.len() as f32;
            let mean = data.iter().sum::<f32>() / n;
            let deviation = (data.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / n).sqrt();
            for x in data.iter_mut() {
                // Twelve uniform numbers have variance 1 and lie nearly normally.
                let normal: f32 = (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0;
                *x += normal * sigma * deviation;
            }
        })
    })
}

fn zeros(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let slot = weight_slot(scene, id)?;
    let axis = output_axis(scene, id, slot)?;
    let channels = scene.constant(id, slot)?.shape()[axis];
    if channels < 4 {
        return None;
    }
    let count = rng.random_range(channels / 8..=channels / 3).max(1);
    let from = rng.random_range(0..=channels - count);
    with_weight(scene, id, format!("output channels {from}..{} zeroed", from + count - 1), |w| {
        along(w, axis, |data, start, inner| {
            for c in from..from + count {
                data[start + c * inner..start + (c + 1) * inner].fill(0.0);
            }
        })
    })
}

fn scaled(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let factor = pick(rng, &[0.25f32, 0.5, 2.0, 3.0])?;
    let fault = with_weight(scene, id, format!("scaled by {factor}"), |w| mapped(w, |data| data.iter_mut().for_each(|x| *x *= factor)))?;
    Some(if scene.op_type(id) == "Gemm" { fault.or(&[Kind::LhGemm]) } else { fault })
}

fn rounded(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let bits = pick(rng, &[2u32, 3, 4])?;
    let fault = with_weight(scene, id, format!("rounded to {bits} bits per tensor"), |w| {
        mapped(w, |data| {
            let step = data.iter().fold(0.0f32, |m, x| m.max(x.abs())) / ((1 << (bits - 1)) as f32 - 0.5);
            data.iter_mut().filter(|_| step > 0.0).for_each(|x| *x = (*x / step).round() * step);
        })
    })?;
    Some(fault.or(&[Kind::WbValues]))
}

/// Visits each block of a tensor that lies behind the axes before `axis`: its start, and the length of one step along the axis.
fn along(value: &Value, axis: usize, mut change: impl FnMut(&mut [f32], usize, usize)) -> Option<Value> {
    let inner: usize = value.shape().get(axis + 1..)?.iter().product();
    let block = inner * value.shape()[axis];
    mapped(value, |data| {
        for start in (0..data.len()).step_by(block.max(1)) {
            change(data, start, inner);
        }
    })
}

/// Takes the elements of one axis in another order.
pub(super) fn reordered(value: &Value, axis: usize, from: impl Fn(usize) -> usize) -> Option<Value> {
    let n = *value.shape().get(axis)?;
    let old = value.to_f32().into_owned();
    along(value, axis, |data, start, inner| {
        for i in 0..n {
            let (to, take) = (start + i * inner, start + from(i) * inner);
            data[to..to + inner].copy_from_slice(&old[take..take + inner]);
        }
    })
}

/// Where a layer's bias is: the op that adds it, and the slot.
fn bias_slot(scene: &Scene, id: OpId) -> Option<usize> {
    let slot = match scene.op_type(id) {
        "Conv" | "ConvTranspose" | "Gemm" | "FusedConv" => 2,
        "Add" => {
            let (slot, data) = scene.constant_operand(id)?;
            let before = scene.before(id, data)?;
            if !matches!(scene.op_type(before), "Conv" | "ConvTranspose" | "Gemm" | "MatMul") {
                return None;
            }
            slot
        }
        _ => return None,
    };
    let value = scene.constant(id, slot)?;
    (value.is_float() && value.len() > 1).then_some(slot)
}

/// Kinds that describe a changed bias equally well.
fn like_bias(scene: &Scene, id: OpId, gone: bool) -> Vec<Kind> {
    let mut also = scene.norm_behind(id).to_vec();
    match scene.op_type(id) {
        "Add" if gone => also.push(Kind::CgMissing),
        "Gemm" if gone => also.push(Kind::LhGemm),
        _ => {}
    }
    also
}

fn with_bias(scene: &Scene, id: OpId, note: &str, gone: bool, change: impl FnOnce(&mut Vec<f32>)) -> Option<Fault> {
    let slot = bias_slot(scene, id)?;
    let new = mapped(scene.constant(id, slot)?, change)?;
    let (edits, name) = scene.set_constant(id, slot, &new)?;
    Some(Fault::new(edits, note).at(scene.label(id)).on(name).or(&like_bias(scene, id, gone)))
}

fn bias_zeroed(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    with_bias(scene, id, "bias zeroed", true, |b| b.fill(0.0))
}

fn bias_negated(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    with_bias(scene, id, "bias negated", false, |b| b.iter_mut().for_each(|x| *x = -*x))
}

fn bias_rotated(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let turn = rng.random_range(1..4usize);
    with_bias(scene, id, "bias rotated", false, |b| {
        let n = b.len();
        b.rotate_right(turn % n);
    })
}

fn bias_of_another(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let mine = scene.constant(id, bias_slot(scene, id)?)?;
    let others: Vec<OpId> = scene
        .network
        .op_ids()
        .filter(|o| *o != id)
        .filter(|o| bias_slot(scene, *o).and_then(|s| scene.constant(*o, s)).is_some_and(|b| b.len() == mine.len() && !b.same(mine)))
        .collect();
    let other = pick(rng, &others)?;
    let theirs = scene.constant(other, bias_slot(scene, other)?)?.to_f32().into_owned();
    with_bias(scene, id, &format!("bias of {} in its place", scene.label(other)), false, |b| *b = theirs)
}

fn bias_dropped(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    let slot = bias_slot(scene, id)?;
    let name = scene.name(scene.input(id, slot)?).to_string();
    if scene.op_type(id) != "Add" {
        let edit = Edit::RewireInput { node: scene.key(id), slot, value: String::new() };
        return Some(Fault::new(edit, "bias dropped").at(scene.label(id)).on(name).or(&like_bias(scene, id, true)));
    }
    let layer = scene.before(id, 1 - slot)?;
    let (edits, beside) = scene.bypass(id, 1 - slot)?;
    let fault = Fault::new(edits, format!("bias dropped with its {}", scene.label(id))).at(scene.label(layer)).on(name);
    Some(beside.into_iter().fold(fault, |f, n| if f.nodes.contains(&n) { f } else { f.at(n) }).or(&[Kind::CgMissing]))
}

/// A fault that puts the elements of a weight into another order.
fn with_order(scene: &Scene, id: OpId, note: &str, change: impl FnOnce(&Value) -> Option<Value>) -> Option<Fault> {
    Some(with_weight(scene, id, note.into(), change)?.or(&[Kind::WbValues]))
}

/// Whether a weight is a kernel of two dimensions, larger than 1×1.
fn is_kernel(w: &Value) -> bool {
    w.shape().len() == 4 && w.shape()[2] * w.shape()[3] > 1
}

fn height_width(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    with_order(scene, id, "kernel height and width transposed", |w| if is_kernel(w) { w.transpose(&[0, 1, 3, 2]) } else { None })
}

fn flipped(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    with_order(scene, id, "kernel flipped in height and width", |w| {
        let [_, _, h, x] = *w.shape() else { return None };
        if !is_kernel(w) {
            return None;
        }
        reordered(w, 2, |i| h - 1 - i).and_then(|w| reordered(&w, 3, |i| x - 1 - i))
    })
}

fn outputs_rotated(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let axis = output_axis(scene, id, weight_slot(scene, id)?)?;
    let turn = rng.random_range(1..4usize);
    with_order(scene, id, "output channels rotated", |w| {
        let n = w.shape()[axis];
        reordered(w, axis, |i| (i + turn) % n)
    })
}

fn inputs_reversed(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    let slot = weight_slot(scene, id)?;
    let rank = scene.constant(id, slot)?.shape().len();
    let axis = match scene.op_type(id) {
        "Conv" | "FusedConv" => 1,
        "ConvTranspose" => 0,
        "Gemm" => usize::from(scene.node(id).int("transB").unwrap_or(0) != 0),
        _ if slot == 1 => rank - 2,
        _ => rank - 1,
    };
    with_order(scene, id, "input channels in reverse order", |w| {
        let n = w.shape()[axis];
        reordered(w, axis, |i| n - 1 - i)
    })
}

fn other_order(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let perm = pick(rng, &[[0usize, 2, 3, 1], [3, 2, 0, 1], [1, 0, 2, 3]])?;
    with_order(scene, id, &format!("read in the wrong order of dimensions: transposed by {perm:?}, its shape kept"), |w| {
        if is_kernel(w) && w.shape()[1] > 1 { w.transpose(&perm)?.reshape(w.shape()) } else { None }
    })
}

fn transposed(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    let fault = with_order(scene, id, "square matrix transposed", |w| if w.shape().len() == 2 { w.transpose(&[1, 0]) } else { None })?;
    Some(if scene.op_type(id) == "Gemm" { fault.or(&[Kind::LhGemm]) } else { fault })
}

fn swapped(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let slot = weight_slot(scene, id)?;
    let mine = scene.constant(id, slot)?;
    let partner = |o: &OpId| {
        let w = weight_slot(scene, *o).and_then(|s| scene.constant(*o, s));
        *o != id
            && scene.op_type(*o) == scene.op_type(id)
            && w.is_some_and(|w| w.shape() == mine.shape() && w.dtype() == mine.dtype() && !w.same(mine))
    };
    let partners: Vec<OpId> = scene.network.op_ids().filter(partner).collect();
    let other = pick(rng, &partners)?;
    let theirs_slot = weight_slot(scene, other)?;
    let (mut edits, a) = scene.set_constant(id, slot, scene.constant(other, theirs_slot)?)?;
    let (more, b) = scene.set_constant(other, theirs_slot, mine)?;
    edits.extend(more);
    if a == b {
        return None;
    }
    Some(Fault::new(edits, "weights of two layers of equal shape exchanged").at(scene.label(id)).at(scene.label(other)).on(a).on(b))
}

/// Where a scale or zero point is: an initializer's name, and the nodes whose numbers it changes.
struct Quant {
    name: String,
    nodes: Vec<String>,
    of_weight: bool,
}

/// The scale or zero point of a quantising op, or of the DequantizeLinear that a layer's weight was folded from.
fn quant(scene: &Scene, id: OpId, scale: bool) -> Option<Quant> {
    let model = scene.model();
    let op = scene.op_type(id);
    let slot = match (op, scale) {
        ("QuantizeLinear" | "DequantizeLinear", true) => Some(1),
        ("QuantizeLinear" | "DequantizeLinear", false) => Some(2),
        ("MatMulInteger" | "ConvInteger", false) => Some(3),
        ("QLinearConv" | "QLinearMatMul", true) => Some(4),
        ("QLinearConv" | "QLinearMatMul", false) => Some(5),
        _ => None,
    };
    let (name, mut nodes, of_weight) = match slot {
        Some(slot) => (scene.name(scene.input(id, slot)?).to_string(), vec![scene.label(id)], slot > 2),
        None => {
            let v = scene.input(id, weight_slot(scene, id)?)?;
            let node = model.node(model.index().producer(v)?);
            if node.op_type() != "DequantizeLinear" {
                return None;
            }
            let name = node.input.get(if scale { 1 } else { 2 }).filter(|n| !n.is_empty())?;
            (name.clone(), vec![node.label().to_string(), scene.label(id)], true)
        }
    };
    model.initializer(&name)?;
    // Quantising and dequantising share their numbers.
    nodes.extend(scene.readers(model.index().value(&name)?));
    let mut seen = Vec::new();
    nodes.retain(|n| !seen.contains(n) && (seen.push(n.clone()), true).1);
    Some(Quant { name, nodes, of_weight })
}

fn with_quant(q: Quant, note: String, new: &Value) -> Fault {
    let edit = Edit::ReplaceInitializer { tensor: new.to_proto(&q.name) };
    let mut fault = Fault::new(edit, note).on(q.name.clone());
    fault.nodes = q.nodes;
    fault
}

fn quant_scale(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let q = quant(scene, id, true)?;
    let old = scene.network.constant(scene.model().index().value(&q.name)?)?;
    let factor = pick(rng, &[0.3f32, 0.5, 2.0, 3.0])?;
    let new = mapped(old, |data| data.iter_mut().for_each(|x| *x *= factor))?;
    let of_weight = q.of_weight;
    let fault = with_quant(q, format!("scale times {factor}"), &new);
    Some(if of_weight { fault.or(&[Kind::WbValues]) } else { fault })
}

fn quant_zero_point(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let q = quant(scene, id, false)?;
    let old = scene.network.constant(scene.model().index().value(&q.name)?)?;
    let by = pick(rng, &[-40i64, -20, 20, 40])?;
    let range = match old.dtype() {
        DataType::Uint8 => 0..=255,
        DataType::Int8 => -128..=127,
        _ => return None,
    };
    let moved = old.to_i64().into_iter().map(|z| (z + by).clamp(*range.start(), *range.end())).collect();
    let new = Value::from_i64(old.shape(), moved).cast(old.dtype())?;
    Some(with_quant(q, format!("zero point moved by {by}"), &new))
}
