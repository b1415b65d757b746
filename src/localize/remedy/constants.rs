//! Putting another constant in a node's place, and the small ones: bounds, factors, shapes, pads.

use super::attributes::pad_amounts;
use super::{Bench, Remedy};
use crate::align::{Layout, candidates, relative_error};
use crate::localize::Kind;
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

/// Few constants of nodes without weights: Clip's bounds, factors of elementwise nodes, Pad's amounts, Pow's exponent.
pub(super) fn small(bench: &Bench<'_>) -> Vec<Remedy> {
    let mut out = Vec::new();
    for t in &bench.ops {
        let op = bench.target().op(*t);
        if op.op_type() == "Pad" {
            out.extend(pad(bench, *t));
            continue;
        }
        out.extend(dangling(bench, *t));
        // Scales are no choice of the network's.
        if op.op_type().contains("uantizeLinear") {
            continue;
        }
        for (slot, v) in op.inputs.iter().enumerate() {
            let Some(v) = v else { continue };
            let Some(now) = bench.target().constant(*v) else { continue };
            if now.len() > 4 || !now.is_float() {
                continue;
            }
            let mut tried: Vec<Vec<u8>> = vec![now.bytes().to_vec()];
            for s in &bench.source {
                let theirs = bench.reference().op(*s);
                for w in wanted_constants(bench, *s) {
                    if w.len() != now.len() {
                        continue;
                    }
                    let Some(w) = w.cast(now.dtype()).and_then(|w| w.reshape(now.shape())) else { continue };
                    if tried.iter().any(|b| b == w.bytes()) {
                        continue;
                    }
                    tried.push(w.bytes().to_vec());
                    let Some(edit) = replace(bench, *t, slot, &w) else { continue };
                    let words =
                        format!("a constant of {} is {}, the source has {} ({})", op.op_type(), show(now), show(&w), theirs.op_type());
                    // What is added ahead of a root is an epsilon.
                    let tiny = |c: &Value| c.len() == 1 && c.to_f32()[0].abs() < 0.05;
                    let root = op
                        .made()
                        .flat_map(|v| bench.target().consumers(v))
                        .any(|c| matches!(bench.target().op(*c).op_type(), "Sqrt" | "Pow" | "Rsqrt"));
                    let epsilon = op.op_type() == "Add" && root && tiny(&w);
                    let (kind, also) = if epsilon { (Kind::LhEps, Kind::LhAct) } else { (Kind::LhAct, Kind::WbValues) };
                    let mut remedy = Remedy::new(kind, edit, words).at(*t).or(&[also, Kind::WbValues]);
                    remedy.tensors = behind(bench, *v);
                    out.push(remedy);
                }
            }
        }
    }
    out
}

/// Inputs whose value nothing makes: a constant of the source's operator, or none where the input is optional.
fn dangling(bench: &Bench<'_>, t: OpId) -> Vec<Remedy> {
    let target = bench.target();
    let op = target.op(t);
    let mut out = Vec::new();
    for (slot, v) in op.inputs.iter().enumerate() {
        let Some(v) = v.filter(|v| target.constant(*v).is_none() && target.producer(*v).is_none() && !target.inputs().contains(v)) else {
            continue;
        };
        let like = op.inputs.iter().flatten().find_map(|i| bench.a.fed(*i)).map(|x| x[0].dtype());
        let words = format!("nothing makes '{}', which {} reads", bench.name(v), op.op_type());
        let mut seen: Vec<Vec<u8>> = Vec::new();
        for s in &bench.source {
            let constants = bench.reference().op(*s).inputs.iter().flatten().filter_map(|v| bench.reference().constant(*v)).cloned();
            for c in constants.chain(wanted_constants(bench, *s)) {
                let Some(c) = like.filter(|_| c.is_float()).map_or(Some(c.clone()), |d| c.cast(d)) else { continue };
                if seen.iter().any(|b| b == c.bytes()) {
                    continue;
                }
                seen.push(c.bytes().to_vec());
                let name = fresh_name(bench, &format!("{}_mended", bench.name(v)));
                let edit = Edit::All(vec![
                    Edit::AddInitializer { tensor: c.to_proto(&name) },
                    Edit::RewireInput { node: bench.key(t), slot, value: name },
                ]);
                out.push(Remedy::new(Kind::CgUnsupported, edit, format!("{words}; the source has {}", show(&c))).at(t).or(&[Kind::LhAct]));
            }
        }
        let edit = Edit::RewireInput { node: bench.key(t), slot, value: String::new() };
        out.push(Remedy::new(Kind::CgUnsupported, edit, words).at(t));
    }
    out
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

/// A Pad node: the source's padding on the axes that are spatial here.
fn pad(bench: &Bench<'_>, t: OpId) -> Vec<Remedy> {
    let op = bench.target().op(t);
    let Some(now) = pad_amounts(bench.target(), t) else { return Vec::new() };
    let rank = now.len() / 2;
    let mut wanted: Vec<Vec<i64>> = Vec::new();
    let shape = |v| bench.a.source().values(v).map(|x| x[0].shape().to_vec());
    let own = op
        .made()
        .next()
        .and_then(|v| bench.target().consumers(v).first().copied())
        .and_then(|c| bench.target().op(c).proto().ints("pads").map(<[i64]>::to_vec));
    for s in &bench.source {
        let pads = super::effective_pads(bench.reference(), *s, &shape);
        let Some(mut pads) = pads.filter(|p| p.len() == 4) else {
            if bench.reference().op(*s).op_type() == "Pad"
                && let Some(p) = pad_amounts(bench.reference(), *s)
            {
                wanted.push(p);
            }
            continue;
        };
        if let Some(own) = own.as_ref().filter(|o| o.len() == 4) {
            pads.iter_mut().zip(own).for_each(|(p, o)| *p -= o);
        }
        let axes: Vec<(usize, usize)> = (0..rank).flat_map(|i| (i + 1..rank).map(move |j| (i, j))).filter(|(i, j)| j - i == 1).collect();
        for (h, w) in axes.into_iter().rev() {
            let mut full = vec![0; 2 * rank];
            (full[h], full[w], full[rank + h], full[rank + w]) = (pads[0], pads[1], pads[2], pads[3]);
            wanted.push(full);
        }
    }
    let mut out = Vec::new();
    let mut tried = vec![now.clone()];
    for new in wanted {
        if new.len() != now.len() || tried.contains(&new) || new.iter().any(|p| *p < 0) {
            continue;
        }
        tried.push(new.clone());
        let edit = match op.proto().ints("pads") {
            Some(_) => Some(Edit::SetAttribute { node: bench.key(t), attribute: AttributeProto::of_ints("pads", &new) }),
            None => replace(bench, t, 1, &Value::from_i64(&[new.len()], new.clone())),
        };
        let Some(edit) = edit else { continue };
        let mut remedy = Remedy::new(Kind::LhPads, edit, format!("Pad adds {now:?}, the source pads by {new:?}")).at(t);
        if let Some(Some(v)) = op.inputs.get(1) {
            remedy.tensors = behind(bench, *v);
        }
        out.push(remedy);
    }
    out
}
