//! What several families need: putting another constant in a node's place, what it may be called, and what the constants of both sides say.

use super::Bench;
use crate::align::{Layout, candidates, relative_error};
use crate::model::onnx::{AttributeProto, NodeProto};
use crate::model::{Edit, NodeExt, ValueId};
use crate::run::{Network, OpId, Value};

/// The smallest edit that gives an op of the target another constant at an input, in the element type of the one that is there: in place where
/// nobody else reads it, a new initializer otherwise. `None` where the input holds no constant, or not one of a type that `new` can have.
pub fn replaced(target: &Network, op: OpId, slot: usize, new: &Value) -> Option<Edit> {
    let v = (*target.op(op).inputs.get(slot)?)?;
    let model = target.model();
    let name = model.index().name(v);
    let old = target.constant(v)?;
    let new = new.cast(old.dtype())?;
    let alone = model.index().consumers(v).len() == 1 && target.op(op).inputs.iter().flatten().filter(|i| **i == v).count() == 1;
    let twice = model.initializers().filter(|t| t.name() == name).count() > 1;
    if alone && !twice && model.initializer(name).is_some() && !model.index().outputs().contains(&v) {
        return Some(Edit::ReplaceInitializer { tensor: new.to_proto(name) });
    }
    if alone
        && let Some(p) = model.index().producer(v)
        && model.node(p).op_type() == "Constant"
    {
        let mut node: NodeProto = model.node(p).clone();
        node.attribute = vec![AttributeProto::of_tensor("value", new.to_proto(""))];
        return Some(Edit::ReplaceNode { node: name.to_string(), with: node });
    }
    let fresh = fresh(target, &format!("{name}_mended"));
    Some(Edit::All(vec![
        Edit::AddInitializer { tensor: new.to_proto(&fresh) },
        Edit::RewireInput { node: target.key(op), slot, value: fresh },
    ]))
}

/// [`replaced`] in the target of a bench.
pub(super) fn replace(bench: &Bench<'_>, op: OpId, slot: usize, new: &Value) -> Option<Edit> {
    replaced(bench.target(), op, slot, new)
}

/// A name that the network uses neither for a value nor for a node.
fn fresh(network: &Network, base: &str) -> String {
    let model = network.model();
    let taken = |n: &str| model.index().value(n).is_some() || model.nodes().any(|(_, node)| node.name() == n);
    std::iter::once(base.to_string()).chain((2..).map(|i| format!("{base}_{i}"))).find(|n| !taken(n)).unwrap_or_default()
}

/// A name that the target uses neither for a value nor for a node.
pub(super) fn fresh_name(bench: &Bench<'_>, base: &str) -> String {
    fresh(bench.target(), base)
}

/// Initializers, constants and nodes behind a constant input, as suspects name them.
pub(super) fn behind(bench: &Bench<'_>, v: ValueId) -> Vec<ValueId> {
    let mut out = vec![v];
    if let Some(origin) = bench.target().origin(v) {
        out.extend(origin.initializers.iter().filter(|i| **i != v));
    }
    out
}

/// A constant in the layouts that another one can have, the one nearest to it first.
pub(super) fn laid_out(source: &Value, like: &Value) -> Vec<Value> {
    let now = like.to_f32();
    let mut out: Vec<(f32, Value)> = candidates(source.shape(), like.shape())
        .into_iter()
        .filter_map(|l: Layout| l.apply(source))
        .map(|v| (relative_error(&now, &v.to_f32()), v))
        .collect();
    out.sort_by(|a, b| a.0.total_cmp(&b.0));
    out.into_iter().map(|(_, v)| v).collect()
}

/// A constant as people read it.
pub(super) fn show(v: &Value) -> String {
    let x = v.to_f32();
    match x.len() {
        0 => "nothing".into(),
        1 => number(x[0]),
        2..=8 => format!("{x:?}"),
        n => format!("{n} values"),
    }
}

/// A number, with an exponent where it would be a row of noughts.
pub(super) fn number(x: f32) -> String {
    let size = x.abs();
    if x == 0.0 || !x.is_finite() || (1e-6..1e9).contains(&size) { format!("{x}") } else { format!("{x:e}") }
}

/// Whether two weights hold the same numbers in another order.
pub(super) fn is_reordered(now: &[f32], wanted: &[f32]) -> bool {
    let sorted = |x: &[f32]| {
        let mut x = x.to_vec();
        x.sort_unstable_by(f32::total_cmp);
        x
    };
    // Half precision rounds what is the same.
    let others = relative_error(&sorted(now), &sorted(wanted));
    others < 1e-3 && relative_error(now, wanted) > 10.0 * others
}

/// The amounts of a Pad node: an attribute in old operator sets, an input later.
pub(super) fn pad_amounts(network: &Network, id: OpId) -> Option<Vec<i64>> {
    let op = network.op(id);
    match op.proto().ints("pads") {
        Some(p) => Some(p.to_vec()),
        None => Some(network.constant((*op.inputs.get(1)?)?)?.to_i64()),
    }
}

/// All small numbers that a source op has: constant inputs, and attributes that say the same in other operator sets.
pub(super) fn wanted_constants(bench: &Bench<'_>, s: OpId) -> Vec<Value> {
    let op = bench.reference().op(s);
    let mut out: Vec<Value> = op
        .inputs
        .iter()
        .flatten()
        .filter_map(|v| bench.reference().constant(*v))
        .filter(|c| c.is_float() && c.len() <= 4)
        .cloned()
        .collect();
    for a in &op.proto().attribute {
        if let Some(f) = a.f {
            out.push(Value::from_f32(&[], vec![f]));
        }
    }
    out.extend(defining(op.op_type()).iter().map(|x| Value::from_f32(&[], vec![*x])));
    // The same factor said the other way round.
    let inverse: Vec<Value> = out
        .iter()
        .filter(|v| v.len() == 1 && v.to_f32()[0] != 0.0)
        .map(|v| Value::from_f32(v.shape(), vec![1.0 / v.to_f32()[0]]))
        .collect();
    out.extend(inverse);
    out
}

/// The numbers that an operator's definition holds, which a target that says it in simpler ones has as constants.
fn defining(op: &str) -> &'static [f32] {
    use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};
    match op {
        // sqrt(2 / pi) is that of the tanh approximation.
        "Gelu" | "FastGelu" | "BiasGelu" => &[0.5, 1.0, SQRT_2, FRAC_1_SQRT_2, 0.044_715, 0.797_884_6, 3.0, 1.702],
        "HardSwish" => &[3.0, 6.0, 0.0, 1.0, 0.5],
        "HardSigmoid" => &[0.2, 0.5, 0.0, 1.0],
        "LayerNormalization"
        | "GroupNormalization"
        | "InstanceNormalization"
        | "BatchNormalization"
        | "RMSNormalization"
        | "SimplifiedLayerNormalization" => &[1e-5, 2.0, 0.5],
        "Mish" | "Softplus" | "Swish" | "QuickGelu" => &[1.0, 1.702, -1.0],
        "LeakyRelu" => &[0.01],
        "Elu" | "Celu" => &[1.0],
        "Selu" => &[1.673_263_2, 1.050_701],
        _ => &[],
    }
}
