//! Activations and the scalars of layers: bounds, slopes, factors.

use super::norms::is_epsilon;
use super::scene::{Scene, mapped};
use super::{Fault, Variant, pick};
use crate::localize::Kind;
use crate::model::onnx::AttributeProto;
use crate::model::{Edit, NodeExt};
use crate::run::OpId;
use rand::rngs::SmallRng;

pub(super) const VARIANTS: &[Variant] = &[
    Variant { kind: Kind::LhAct, name: "upper-bound", make: upper_bound },
    Variant { kind: Kind::LhAct, name: "lower-bound", make: lower_bound },
    Variant { kind: Kind::LhAct, name: "slope", make: slope },
    Variant { kind: Kind::LhAct, name: "approximation", make: approximation },
    Variant { kind: Kind::LhAct, name: "scalar", make: scalar },
    Variant { kind: Kind::LhGemm, name: "alpha", make: gemm_alpha },
    Variant { kind: Kind::LhGemm, name: "beta", make: gemm_beta },
    Variant { kind: Kind::LhGemm, name: "transposed", make: gemm_transposed },
];

/// A bound of a Clip: in slot 1 or 2, an attribute before operator set 11.
fn bound(scene: &Scene, id: OpId, slot: usize) -> Option<f32> {
    if scene.op_type(id) != "Clip" {
        return None;
    }
    if scene.opset() < 11 {
        return scene.node(id).float(if slot == 1 { "min" } else { "max" });
    }
    scene.constant(id, slot)?.to_f32().first().copied()
}

fn with_bound(scene: &Scene, id: OpId, slot: usize, now: f32, new: f32) -> Option<Fault> {
    let which = if slot == 1 { "min" } else { "max" };
    let note = format!("{which} of Clip {new} in place of {now}");
    if scene.opset() < 11 {
        return Some(Fault::new(scene.set_attributes(id, vec![AttributeProto::of_float(which, new)], &[])?, note).at(scene.label(id)));
    }
    let value = mapped(scene.constant(id, slot)?, |data| data.fill(new))?;
    let (edits, name) = scene.set_constant(id, slot, &value)?;
    Some(Fault::new(edits, note).at(scene.label(id)).on(name).or(&[Kind::WbValues]))
}

fn upper_bound(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let now = bound(scene, id, 2).filter(|b| b.is_finite() && *b < 1e30)?;
    let low = bound(scene, id, 1).unwrap_or(0.0).max(-1e30);
    let new = low + (now - low) * pick(rng, &[1.0 / 6.0f32, 0.5, 2.0])?;
    with_bound(scene, id, 2, now, new)
}

fn lower_bound(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let now = bound(scene, id, 1).filter(|b| b.is_finite() && *b > -1e30)?;
    let new = now + pick(rng, &[-1.0f32, -0.5, 0.5])?;
    if bound(scene, id, 2).is_some_and(|high| high <= new) {
        return None;
    }
    with_bound(scene, id, 1, now, new)
}

/// Float attributes that shape an activation, with their defaults.
const SLOPES: &[(&str, &str, f32)] = &[
    ("LeakyRelu", "alpha", 0.01),
    ("Elu", "alpha", 1.0),
    ("Celu", "alpha", 1.0),
    ("ThresholdedRelu", "alpha", 1.0),
    ("Selu", "alpha", 1.673_263_2),
    ("Selu", "gamma", 1.050_701),
    ("HardSigmoid", "alpha", 0.2),
    ("HardSigmoid", "beta", 0.5),
    ("Swish", "alpha", 1.0),
    ("LRN", "alpha", 1e-4),
    ("LRN", "beta", 0.75),
    ("LRN", "bias", 1.0),
];

fn slope(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let op = scene.op_type(id);
    let of_op: Vec<(&str, f32)> = SLOPES.iter().filter(|(o, ..)| *o == op).map(|(_, name, default)| (*name, *default)).collect();
    let (name, default) = pick(rng, &of_op)?;
    let now = scene.node(id).float(name).unwrap_or(default);
    let new = now * pick(rng, &[0.5f32, 2.0, 10.0])?;
    let edits = scene.set_attributes(id, vec![AttributeProto::of_float(name, new)], &[])?;
    Some(Fault::new(edits, format!("{name} {new} in place of {now}")).at(scene.label(id)))
}

fn approximation(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    if scene.op_type(id) != "Gelu" {
        return None;
    }
    let now = scene.node(id).string("approximate").unwrap_or("none");
    let new = if now == "none" { "tanh" } else { "none" };
    let edits = scene.set_attributes(id, vec![AttributeProto::of_string("approximate", new)], &[])?;
    Some(Fault::new(edits, format!("approximate {new} in place of {now}")).at(scene.label(id)))
}

/// A number that data are multiplied with, divided by, raised to or moved by: part of an activation or of attention.
fn scalar(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    let op = scene.op_type(id);
    if !matches!(op, "Mul" | "Div" | "Add" | "Sub") || is_epsilon(scene, id) {
        return None;
    }
    let (slot, data) = scene.constant_operand(id)?;
    let old = scene.constant(id, slot).filter(|c| c.is_float() && c.len() == 1)?;
    // At the input it would be a normalisation that is built in.
    scene.before(id, data)?;
    let now = *old.to_f32().first()?;
    let new = now * pick(rng, &[0.5f32, 1.5, 2.0])?;
    // A factor of one would be a missing node.
    if now == 0.0 || new == 1.0 || !new.is_finite() {
        return None;
    }
    let (edits, name) = scene.set_constant(id, slot, &mapped(old, |data| data.fill(new))?)?;
    let fault = Fault::new(edits, format!("constant of {op} {new} in place of {now}")).at(scene.label(id)).on(name);
    Some(fault.or(if matches!(op, "Add" | "Sub") { &[Kind::WbValues, Kind::WbBias] } else { &[Kind::WbValues] }))
}

fn gemm_factor(scene: &Scene, id: OpId, name: &str, of: &[f32], rng: &mut SmallRng, also: Kind) -> Option<Fault> {
    if scene.op_type(id) != "Gemm" {
        return None;
    }
    let now = scene.node(id).float(name).unwrap_or(1.0);
    let others: Vec<f32> = of.iter().map(|f| f * now).filter(|f| *f != now).collect();
    let new = pick(rng, &others)?;
    let edits = scene.set_attributes(id, vec![AttributeProto::of_float(name, new)], &[])?;
    Some(Fault::new(edits, format!("{name} {new} in place of {now}")).at(scene.label(id)).or(&[also]))
}

fn gemm_alpha(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    gemm_factor(scene, id, "alpha", &[0.1, 0.5, 2.0], rng, Kind::WbValues)
}

fn gemm_beta(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    scene.input(id, 2)?;
    gemm_factor(scene, id, "beta", &[0.0, 0.5, 2.0, -1.0], rng, Kind::WbBias)
}

fn gemm_transposed(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    if scene.op_type(id) != "Gemm" || !scene.constant(id, 1).is_some_and(|w| matches!(w.shape(), [a, b] if a == b)) {
        return None;
    }
    let now = scene.node(id).int("transB").unwrap_or(0);
    let edit = Edit::SetAttribute { node: scene.key(id), attribute: AttributeProto::of_int("transB", i64::from(now == 0)) };
    Some(Fault::new(edit, "transB turned round").at(scene.label(id)).or(&[Kind::WbLayout, Kind::WbValues]))
}
