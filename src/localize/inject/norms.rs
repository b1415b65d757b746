//! Parameters of normalisations, and their epsilon.

use super::scene::{Scene, mapped};
use super::weights::reordered;
use super::{Fault, Variant, pick};
use crate::localize::Kind;
use crate::model::NodeExt;
use crate::model::onnx::AttributeProto;
use crate::run::{OpId, Value};
use rand::rngs::SmallRng;

pub(super) const VARIANTS: &[Variant] = &[
    Variant { kind: Kind::WbNorm, name: "gamma-reversed", make: gamma_reversed },
    Variant { kind: Kind::WbNorm, name: "gamma-one", make: gamma_one },
    Variant { kind: Kind::WbNorm, name: "beta-zeroed", make: beta_zeroed },
    Variant { kind: Kind::WbNorm, name: "beta-negated", make: beta_negated },
    Variant { kind: Kind::WbNorm, name: "mean-zeroed", make: mean_zeroed },
    Variant { kind: Kind::WbNorm, name: "variance-scaled", make: variance_scaled },
    Variant { kind: Kind::LhEps, name: "epsilon", make: epsilon },
    Variant { kind: Kind::LhEps, name: "epsilon-constant", make: epsilon_constant },
];

fn is_norm(op: &str) -> bool {
    matches!(op, "BatchNormalization" | "LayerNormalization" | "InstanceNormalization" | "GroupNormalization")
}

/// Whether a multiplication by a constant is the gain of a normalisation written as primitives: a division's result, or a factor for
/// each channel with a shift for each channel behind it.
fn is_gain(scene: &Scene, id: OpId) -> bool {
    let Some((slot, data)) = (scene.op_type(id) == "Mul").then(|| scene.constant_operand(id)).flatten() else { return false };
    if scene.constant(id, slot).is_none_or(|c| c.len() < 2) {
        return false;
    }
    let divided = scene.before(id, data).is_some_and(|b| matches!(scene.op_type(b), "Div" | "Mul") && scene.constant_operand(b).is_none());
    let shifted = scene.sole_reader(id).is_some_and(|r| {
        scene.op_type(r) == "Add" && scene.constant_operand(r).and_then(|(s, _)| scene.constant(r, s)).is_some_and(|c| c.len() > 1)
    });
    divided || (shifted && scene.before(id, data).is_some_and(|b| scene.op_type(b) == "Conv"))
}

/// The slot of gamma.
fn gain_slot(scene: &Scene, id: OpId) -> Option<usize> {
    match scene.op_type(id) {
        op if is_norm(op) => Some(1),
        "Mul" if is_gain(scene, id) => Some(scene.constant_operand(id)?.0),
        _ => None,
    }
}

/// The slot of beta.
fn shift_slot(scene: &Scene, id: OpId) -> Option<usize> {
    match scene.op_type(id) {
        op if is_norm(op) => Some(2),
        "Add" => {
            let (slot, data) = scene.constant_operand(id)?;
            (is_gain(scene, scene.before(id, data)?) && scene.constant(id, slot)?.len() > 1).then_some(slot)
        }
        _ => None,
    }
}

fn with(scene: &Scene, id: OpId, slot: usize, note: &str, change: impl FnOnce(&Value) -> Option<Value>) -> Option<Fault> {
    let old = scene.constant(id, slot).filter(|c| c.is_float())?;
    let new = change(old)?;
    let (edits, name) = scene.set_constant(id, slot, &new)?;
    let fault = Fault::new(edits, note).at(scene.label(id)).on(name);
    Some(match scene.op_type(id) {
        "Mul" => fault.or(&[Kind::WbValues, Kind::WbLayout]),
        "Add" => fault.or(&[Kind::WbBias]),
        // A bias of the layer before it can say the same.
        "BatchNormalization" if slot == 2 || slot == 3 => match scene.before(id, 0).map(|b| scene.op_type(b)) {
            Some("Conv" | "ConvTranspose" | "Gemm") => fault.or(&[Kind::WbBias]),
            _ => fault,
        },
        _ => fault,
    })
}

fn gamma_reversed(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    with(scene, id, gain_slot(scene, id)?, "gamma reversed", |g| {
        let axis = (0..g.shape().len()).find(|a| g.shape()[*a] > 1)?;
        let n = g.shape()[axis];
        reordered(g, axis, |i| n - 1 - i)
    })
}

fn gamma_one(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    with(scene, id, gain_slot(scene, id)?, "gamma one", |g| mapped(g, |data| data.fill(1.0)))
}

fn beta_zeroed(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    let fault = with(scene, id, shift_slot(scene, id)?, "beta zeroed", |b| mapped(b, |data| data.fill(0.0)))?;
    Some(if scene.op_type(id) == "Add" { fault.or(&[Kind::CgMissing]) } else { fault })
}

fn beta_negated(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    with(scene, id, shift_slot(scene, id)?, "beta negated", |b| mapped(b, |data| data.iter_mut().for_each(|x| *x = -*x)))
}

fn mean_zeroed(scene: &Scene, id: OpId, _: &mut SmallRng) -> Option<Fault> {
    if scene.op_type(id) != "BatchNormalization" {
        return None;
    }
    with(scene, id, 3, "mean zeroed", |m| mapped(m, |data| data.fill(0.0)))
}

fn variance_scaled(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    if scene.op_type(id) != "BatchNormalization" {
        return None;
    }
    let factor = pick(rng, &[0.25f32, 2.0, 4.0])?;
    with(scene, id, 4, &format!("variance times {factor}"), |v| mapped(v, |data| data.iter_mut().for_each(|x| *x *= factor)))
}

const EPSILONS: &[f32] = &[1e-3, 1e-2, 0.1, 0.5, 1.0];

fn epsilon(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    if !scene.op_type(id).ends_with("Normalization") || scene.op_type(id) == "LpNormalization" {
        return None;
    }
    let now = scene.node(id).float("epsilon").unwrap_or(1e-5);
    let larger: Vec<f32> = EPSILONS.iter().copied().filter(|e| *e > now * 2.0).collect();
    let new = pick(rng, &larger)?;
    let edits = scene.set_attributes(id, vec![AttributeProto::of_float("epsilon", new)], &[])?;
    Some(Fault::new(edits, format!("epsilon {new} in place of {now}")).at(scene.label(id)))
}

/// The epsilon of a normalisation written as primitives: the constant that is added before a square root.
fn epsilon_constant(scene: &Scene, id: OpId, rng: &mut SmallRng) -> Option<Fault> {
    if !is_epsilon(scene, id) {
        return None;
    }
    let (slot, _) = scene.constant_operand(id)?;
    let now = *scene.constant(id, slot)?.to_f32().first()?;
    let larger: Vec<f32> = EPSILONS.iter().copied().filter(|e| *e > now * 2.0).collect();
    let new = pick(rng, &larger)?;
    let fault = with(scene, id, slot, &format!("epsilon {new} in place of {now}"), |e| mapped(e, |data| data.fill(new)))?;
    Some(fault.or(&[Kind::WbBias, Kind::WbValues, Kind::LhAct]))
}

/// Whether an addition is that of an epsilon.
pub(super) fn is_epsilon(scene: &Scene, id: OpId) -> bool {
    let constant = || scene.constant_operand(id).and_then(|(slot, _)| scene.constant(id, slot));
    scene.op_type(id) == "Add"
        && constant().is_some_and(|c| c.is_float() && c.len() == 1)
        && scene.sole_reader(id).is_some_and(|r| scene.op_type(r) == "Sqrt")
}
