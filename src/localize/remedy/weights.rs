//! Weights, biases, normalisation and quantisation parameters: the source's, in the target's layout and folding.

use super::constants::{behind, fresh_name, replace};
use super::fold::{Linear, per_channel};
use super::quantised::{quantisation, requantised};
use super::{Bench, Remedy};
use crate::align::{Fingerprint, Layout, candidates, relative_error};
use crate::localize::Kind;
use crate::model::onnx::{AttributeProto, NodeProto};
use crate::model::{Edit, NodeExt, ValueId};
use crate::run::{OpId, Value};
use std::collections::{BTreeSet, HashSet};

/// Candidates, one tensor at a time before two.
pub(super) fn weights(bench: &Bench<'_>) -> Vec<Remedy> {
    // What keeps the target's own numbers and only reads them otherwise comes first.
    let mut out = quantisation(bench);
    out.extend(linear(bench));
    out.extend(copied(bench));
    out.extend(normalisation(bench));
    out.extend(super::elementwise::elementwise(bench));
    out.extend(exchanged(bench));
    out.sort_by_key(Remedy::size);
    out
}

/// The role of a constant, by operator and slot.
fn role(op: &str, slot: usize) -> Kind {
    match (op, slot) {
        ("BatchNormalization" | "InstanceNormalization" | "LayerNormalization" | "GroupNormalization", _) => Kind::WbNorm,
        ("Conv" | "Gemm" | "ConvTranspose" | "FusedConv", 2) | ("Add", _) => Kind::WbBias,
        ("QuantizeLinear" | "DequantizeLinear", 1 | 2) => Kind::WbQuant,
        _ => Kind::WbValues,
    }
}

/// Any constant of the source's region with as many elements as one of the target's, in the layout that fits best.
fn copied(bench: &Bench<'_>) -> Vec<Remedy> {
    let mut theirs: Vec<(OpId, usize, &Value)> = Vec::new();
    for s in &bench.source {
        let op = bench.reference().op(*s);
        for (slot, v) in op.inputs.iter().enumerate() {
            if let Some(c) = v.and_then(|v| bench.reference().constant(v)).filter(|c| c.is_float() && c.len() > 4) {
                theirs.push((*s, slot, c));
            }
        }
    }
    let mut out = Vec::new();
    for t in &bench.ops {
        let op = bench.target().op(*t);
        for (slot, v) in op.inputs.iter().enumerate() {
            let Some(v) = *v else { continue };
            let Some(now) = bench.target().constant(v).filter(|c| c.is_float() && c.len() > 4) else { continue };
            // The same slot of the same operator first.
            let mut fitting: Vec<&(OpId, usize, &Value)> = theirs.iter().filter(|(_, _, c)| c.len() == now.len()).collect();
            fitting.sort_by_key(|(s, k, _)| bench.reference().op(*s).op_type() != op.op_type() || *k != slot);
            for (_, _, c) in fitting.into_iter().take(8) {
                for new in laid_out(c, now).into_iter().take(4) {
                    if let Some(remedy) = instead(bench, *t, slot, v, now, &new) {
                        out.push(remedy);
                    }
                }
            }
        }
    }
    out
}

/// Two layers in a row that carry each other's weights: nothing between them comes right by one of them alone.
fn exchanged(bench: &Bench<'_>) -> Vec<Remedy> {
    let target = bench.target();
    let weight = |t: OpId| {
        let slot = matches!(target.op(t).op_type(), "Conv" | "Gemm" | "MatMul" | "ConvTranspose").then_some(1)?;
        let v = target.op(t).inputs.get(slot).copied().flatten()?;
        Some((t, slot, v, target.constant(v).filter(|c| c.is_float() && c.len() >= 16)?))
    };
    let all: Vec<(OpId, usize, ValueId, &Value)> = bench.ops.iter().filter_map(|t| weight(*t)).collect();
    let mut out = Vec::new();
    for (i, (t, slot, v, w)) in all.iter().enumerate() {
        for (t2, slot2, v2, w2) in &all[i + 1..] {
            if w.shape() != w2.shape() || v == v2 || w.same(w2) {
                continue;
            }
            let (Some(one), Some(other)) = (replace(bench, *t, *slot, w2), replace(bench, *t2, *slot2, w)) else { continue };
            let words = format!("'{}' and '{}' carry each other's weights", target.label(*t), target.label(*t2));
            let mut remedy = Remedy::new(Kind::WbSwap, Edit::All(vec![one, other]), words).at(*t).at(*t2);
            remedy.tensors = behind(bench, *v).into_iter().chain(behind(bench, *v2)).collect();
            out.push(remedy);
        }
    }
    out
}

/// A constant in the layouts that another one can have, the one nearest to it first.
fn laid_out(source: &Value, like: &Value) -> Vec<Value> {
    let now = like.to_f32();
    let mut out: Vec<(f32, Value)> = candidates(source.shape(), like.shape())
        .into_iter()
        .filter_map(|l: Layout| l.apply(source))
        .map(|v| (relative_error(&now, &v.to_f32()), v))
        .collect();
    out.sort_by(|a, b| a.0.total_cmp(&b.0));
    out.into_iter().map(|(_, v)| v).collect()
}

/// A remedy that puts a constant in the place of another, named by how the two differ. `None` when they do not.
fn instead(bench: &Bench<'_>, t: OpId, slot: usize, v: ValueId, now: &Value, new: &Value) -> Option<Remedy> {
    let error = relative_error(&now.to_f32(), &new.to_f32());
    if error < 1e-6 {
        return None;
    }
    let op = bench.target().op(t).op_type();
    let edit = requantised(bench, v, new).or_else(|| replace(bench, t, slot, new))?;
    let role = role(op, slot);
    let kind = if role == Kind::WbValues { difference(bench, now, new) } else { role };
    let what = match (kind, op) {
        (Kind::WbBias, _) => "the bias",
        (Kind::WbNorm, _) => "a normalisation parameter",
        _ => "the weight",
    };
    let words = format!("{what} '{}' of {op} {}", bench.name(v), describe(kind, now, new, error));
    let mut remedy = Remedy::new(kind, edit, words).at(t);
    remedy.tensors = behind(bench, v);
    if matches!(kind, Kind::WbLayout | Kind::WbPrecision) {
        remedy.equivalents.push(Kind::WbValues);
    }
    Some(remedy)
}

fn describe(kind: Kind, now: &Value, new: &Value, error: f32) -> String {
    let (n, w) = (now.to_f32(), new.to_f32());
    let differing = n.iter().zip(w.iter()).filter(|(a, b)| (**a - **b).abs() > 1e-6 * b.abs().max(1e-6)).count();
    let all_zero = n.iter().all(|x| *x == 0.0);
    let ratio = n
        .iter()
        .zip(w.iter())
        .filter(|(_, b)| b.abs() > 1e-6)
        .map(|(a, b)| a / b)
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(lo, hi), r| (lo.min(r), hi.max(r)));
    match kind {
        Kind::WbLayout => "holds the source's numbers in another order".into(),
        Kind::WbSwap => "is that of another layer".into(),
        Kind::WbPrecision => format!("is rounded coarsely: off by {:.2} %", error * 100.0),
        _ if all_zero => "is all zero, the source's is not".into(),
        _ if (ratio.1 - ratio.0).abs() < 1e-3 * ratio.1.abs() => format!("is {:.4} times the source's", ratio.0),
        _ => format!("differs from the source's in {differing} of {} elements, by {:.2} % in all", n.len(), error * 100.0),
    }
}

/// How a weight differs from what it should be.
fn difference(bench: &Bench<'_>, now: &Value, new: &Value) -> Kind {
    let (n, w) = (now.to_f32(), new.to_f32());
    if let (Some(a), Some(b)) = (Fingerprint::of(&n), Fingerprint::of(&w)) {
        let sorted = |x: &[f32]| {
            let mut x = x.to_vec();
            x.sort_by(f32::total_cmp);
            x
        };
        // Half precision rounds what is the same.
        let others = relative_error(&sorted(&n), &sorted(&w));
        if a.distance(&b) < 1e-3 && others < 1e-3 && relative_error(&n, &w) > 10.0 * others {
            return Kind::WbLayout;
        }
        if is_elsewhere(bench, now, &a, new) {
            return Kind::WbSwap;
        }
    }
    if on_a_grid(&n, &w) { Kind::WbPrecision } else { Kind::WbValues }
}

/// Whether these weights are, up to a factor for each channel that folding makes, those of another layer of the source than those that
/// should be here.
fn is_elsewhere(bench: &Bench<'_>, now: &Value, print: &Fingerprint, wanted: &Value) -> bool {
    let (n, w) = (now.to_f32(), wanted.to_f32());
    // One factor for all of them is no other layer's doing.
    if proportional(&n, &w, &[1]) {
        return false;
    }
    bench.reference().op_ids().any(|id| {
        let op = bench.reference().op(id);
        let weights = op
            .inputs
            .iter()
            .flatten()
            .filter_map(|v| bench.reference().constant(*v))
            .filter(|c| c.is_float() && c.len() == now.len() && c.len() >= 16);
        weights.into_iter().any(|c| {
            let close = Fingerprint::of(&c.to_f32()).is_some_and(|p| p.distance(print) < 1e-3);
            let is = |like: &Value, data: &[f32]| {
                let near = |v: &Value| relative_error(data, &v.to_f32()) < 1e-3;
                (close && laid_out(c, like).first().is_some_and(near)) || proportional(data, &c.to_f32(), c.shape())
            };
            is(now, &n) && !is(wanted, &w)
        })
    })
}

/// Whether two weights with the channels first are equal up to one factor for each channel.
fn proportional(a: &[f32], b: &[f32], shape: &[usize]) -> bool {
    let channels = shape.first().copied().unwrap_or(1).max(1);
    let len = b.len() / channels;
    len >= 4
        && a.chunks(len).zip(b.chunks(len)).all(|(x, y)| {
            let dot = |p: &[f32], q: &[f32]| p.iter().zip(q).map(|(a, b)| f64::from(a * b)).sum::<f64>();
            let (xy, xx, yy) = (dot(x, y), dot(x, x), dot(y, y));
            xx * yy > 0.0 && (xy * xy / (xx * yy)) > 0.9999
        })
}

/// Whether `now` looks like `wanted` rounded to few levels.
fn on_a_grid(now: &[f32], wanted: &[f32]) -> bool {
    let levels = |x: &[f32]| x.iter().map(|v| v.to_bits()).collect::<BTreeSet<u32>>().len();
    let (few, many) = (levels(now), levels(wanted));
    let worst = now.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max);
    let range = wanted.iter().map(|x| x.abs()).fold(0.0f32, f32::max);
    few * 4 <= many.min(now.len()) && (2..=4096).contains(&few) && worst <= range / (few as f32 / 4.0).max(2.0)
}

/// Convolutions and matrix products: the source's folded parameters, divided by what the target does behind them.
fn linear(bench: &Bench<'_>) -> Vec<Remedy> {
    let mut out = Vec::new();
    let checked: HashSet<ValueId> = bench.checks.iter().map(|(_, v)| *v).collect();
    let reached: HashSet<ValueId> = bench.checks.iter().filter_map(|(_, v)| bench.a.pair_of(*v)).map(|p| p.source).collect();
    let region: Vec<OpId> = bench.target().op_ids().collect();
    let theirs: Vec<OpId> = bench.reference().op_ids().collect();
    for t in &bench.ops {
        let Some(mine) = Linear::read(bench.target(), *t, &region, |v| checked.contains(&v)) else { continue };
        for s in &bench.source {
            let Some(source) = Linear::read(bench.reference(), *s, &theirs, |v| reached.contains(&v)) else { continue };
            if source.affine.a.len() != mine.affine.a.len() {
                continue;
            }
            out.extend(linear_pair(bench, &mine, &source));
        }
    }
    out
}

fn linear_pair(bench: &Bench<'_>, mine: &Linear, source: &Linear) -> Vec<Remedy> {
    let mut out = Vec::new();
    let channels = mine.affine.a.len();
    let (Some(now), Some(theirs)) = (mine.value(bench.target(), mine.weight), source.value(bench.reference(), source.weight)) else {
        return out;
    };
    let slot_value = |slot: usize| bench.target().op(mine.op).inputs.get(slot).copied().flatten();
    // The weight.
    let mut weight: Option<(Value, ValueId)> = None;
    let mut flattened = false;
    if now.len() == theirs.len()
        && let (Some(ordered), Some(like)) = (source.channels_first(theirs), mine.channels_first(now))
    {
        let len = ordered.len() / channels;
        let factor: Vec<f32> = (0..channels).map(|c| source.alpha * source.affine.a[c] / (mine.alpha * mine.affine.a[c])).collect();
        let mut scaled = ordered.to_f32().into_owned();
        for (c, chunk) in scaled.chunks_mut(len).enumerate() {
            chunk.iter_mut().for_each(|x| *x *= factor[c]);
        }
        let scaled = Value::from_f32(ordered.shape(), scaled);
        let reordered = reorder_inputs(bench, mine, source, &scaled);
        flattened = reordered.is_some();
        let scaled = reordered.unwrap_or(scaled);
        if let Some(new) = nearest(&scaled, &like).and_then(|v| mine.own_order(&v))
            && let Some(v) = slot_value(mine.weight)
        {
            weight = Some((new, v));
        }
    }
    if now.len() != theirs.len() {
        out.extend(regrouped(bench, mine, source, theirs));
    }
    // The bias.
    let theirs_bias = source.bias_values(bench.reference());
    let wanted: Vec<f32> = (0..channels)
        .map(|c| {
            (theirs_bias[c] * source.beta * source.affine.a[c] + source.affine.b[c] - mine.affine.b[c]) / (mine.affine.a[c] * mine.beta)
        })
        .collect();
    let bias = bias_remedy(bench, mine, &wanted);
    out.extend(bias.clone());
    if bias.is_none() || mine.bias.is_none() {
        out.extend(tail_bias(bench, mine, source, &theirs_bias));
    }
    if let Some((new, v)) = weight
        && let Some(mut remedy) = instead(bench, mine.op, mine.weight, v, now, &new)
    {
        if flattened && remedy.kind == Kind::WbLayout {
            // The weight is the source's as it stands: what is wrong is the order in which its input was flattened.
            remedy.kind = Kind::TsFlatten;
            remedy.words = format!(
                "what {} reads is flattened in the order of another layout than its weight has",
                bench.target().op(mine.op).op_type()
            );
            remedy.equivalents = vec![Kind::WbLayout, Kind::TsPerm];
            let input = bench.target().op(mine.op).data.first();
            remedy.ops.extend(input.and_then(|v| bench.target().producer(*v)));
        }
        if let Some(bias) = bias {
            let mut both = remedy.clone();
            both.edit = Edit::All(vec![remedy.edit.clone(), bias.edit.clone()]);
            both.words = format!("{}; {}", remedy.words, bias.words);
            both.tensors.extend(&bias.tensors);
            out.push(remedy);
            out.push(both);
        } else {
            out.push(remedy);
        }
    }
    out
}

/// A convolution in other groups than the source's: its groups, and its weight with what the target folds.
fn regrouped(bench: &Bench<'_>, mine: &Linear, source: &Linear, theirs: &Value) -> Option<Remedy> {
    let (op, other) = (bench.target().op(mine.op), bench.reference().op(source.op));
    let group = |proto: &NodeProto| proto.int("group").unwrap_or(1);
    let (now, wanted) = (group(op.proto()), group(other.proto()));
    if op.op_type() != "Conv" || other.op_type() != "Conv" || now == wanted {
        return None;
    }
    let channels = mine.affine.a.len();
    let mut data = theirs.to_f32().into_owned();
    for (c, chunk) in data.chunks_mut((theirs.len() / channels).max(1)).enumerate() {
        let factor = source.affine.a.get(c)? / mine.affine.a.get(c)?;
        chunk.iter_mut().for_each(|x| *x *= factor);
    }
    let weight = replace(bench, mine.op, mine.weight, &Value::from_f32(theirs.shape(), data))?;
    let attribute = AttributeProto::of_int("group", wanted);
    let edit = Edit::All(vec![weight, Edit::SetAttribute { node: bench.key(mine.op), attribute }]);
    let words = format!("group of Conv is {now}, the source has {wanted}; its weight has other groups as well");
    let mut remedy = Remedy::new(Kind::LhGroup, edit, words).at(mine.op).or(&[Kind::WbValues]);
    remedy.tensors = op.inputs.get(mine.weight).copied().flatten().map(|v| behind(bench, v)).unwrap_or_default();
    Some(remedy)
}

/// The layout, of those that keep the channels first, in which a weight is nearest to the present one.
fn nearest(new: &Value, like: &Value) -> Option<Value> {
    if new.shape() == like.shape() {
        return Some(new.clone());
    }
    let flat = new.reshape(like.shape());
    flat.or_else(|| laid_out(new, like).into_iter().next())
}

/// The columns of a matrix behind a flatten follow the layout in which the target flattens.
fn reorder_inputs(bench: &Bench<'_>, mine: &Linear, source: &Linear, weight: &Value) -> Option<Value> {
    let input = *bench.target().op(mine.op).data.first()?;
    let their_input = *bench.reference().op(source.op).data.first()?;
    let pair = bench.a.pair_of(input)?;
    if pair.layout.is_flat() || bench.a.source().origin(pair.source) != bench.a.source().origin(their_input) {
        return None;
    }
    let columns: usize = weight.shape()[1..].iter().product();
    let split: Vec<usize> = pair.layout.split.iter().copied().filter(|d| *d != 1).collect();
    if split.iter().product::<usize>() != columns || pair.layout.perm.len() != split.len() {
        return None;
    }
    let shape: Vec<usize> = [weight.shape()[0]].into_iter().chain(split).collect();
    let perm: Vec<usize> = [0].into_iter().chain(pair.layout.perm.iter().map(|p| p + 1)).collect();
    weight.reshape(&shape)?.transpose(&perm)?.reshape(weight.shape())
}

fn show_bias(now: &[f32], wanted: &[f32]) -> String {
    let norm = |x: &[f32]| x.iter().map(|v| v * v).sum::<f32>().sqrt();
    if now.iter().all(|x| *x == 0.0) {
        return "is missing or zero".into();
    }
    if now.iter().zip(wanted).all(|(a, b)| (a + b).abs() <= 1e-4 * b.abs().max(1e-3)) {
        return "is the source's with the sign turned".into();
    }
    let difference: Vec<f32> = now.iter().zip(wanted).map(|(a, b)| a - b).collect();
    format!("is off by {:.2} % of the source's", 100.0 * norm(&difference) / norm(wanted).max(1e-12))
}

/// The bias of the operator itself: replaced, or added where it is missing.
fn bias_remedy(bench: &Bench<'_>, mine: &Linear, wanted: &[f32]) -> Option<Remedy> {
    let op = bench.target().op(mine.op);
    let n = wanted.len();
    let now = mine.bias_values(bench.target());
    if relative_error(&now, wanted) < 1e-6 || wanted.iter().any(|x| !x.is_finite()) {
        return None;
    }
    let words = format!("the bias of {} {}", op.op_type(), show_bias(&now, wanted));
    let slot = mine.bias?;
    match op.inputs.get(slot).copied().flatten() {
        Some(v) => {
            let shape = bench.target().constant(v)?.shape().to_vec();
            let shape = if shape.iter().product::<usize>() == n { shape } else { vec![n] };
            let edit = replace(bench, mine.op, slot, &Value::from_f32(&shape, wanted.to_vec()))?;
            let mut remedy = Remedy::new(Kind::WbBias, edit, words).at(mine.op);
            remedy.tensors = behind(bench, v);
            Some(remedy)
        }
        None => {
            let dtype = mine.value(bench.target(), mine.weight)?.dtype();
            let name = fresh_name(bench, &format!("{}_bias", bench.key(mine.op)));
            let tensor = Value::from_f32(&[n], wanted.to_vec()).cast(dtype)?.to_proto(&name);
            let edit = Edit::All(vec![Edit::AddInitializer { tensor }, Edit::RewireInput { node: bench.key(mine.op), slot, value: name }]);
            Some(Remedy::new(Kind::WbBias, edit, words).at(mine.op))
        }
    }
}

/// A bias that is an Add behind the product: its constant replaced, or the Add put in where it is missing.
fn tail_bias(bench: &Bench<'_>, mine: &Linear, source: &Linear, theirs_bias: &[f32]) -> Vec<Remedy> {
    let channels = mine.affine.a.len();
    let total: Vec<f32> = (0..channels).map(|c| theirs_bias[c] * source.beta * source.affine.a[c] + source.affine.b[c]).collect();
    let own = mine.bias_values(bench.target());
    let have: Vec<f32> = (0..channels).map(|c| own[c] * mine.beta * mine.affine.a[c] + mine.affine.b[c]).collect();
    let missing: Vec<f32> = total.iter().zip(&have).map(|(t, h)| t - h).collect();
    if relative_error(&have, &total) < 1e-6 || missing.iter().any(|x| !x.is_finite()) {
        return Vec::new();
    }
    let mut out = Vec::new();
    let mut behind_it = vec![1.0f32; channels];
    for id in mine.tail.iter().rev() {
        let op = bench.target().op(*id);
        let slot = (0..2).find(|s| op.inputs.get(*s).copied().flatten().is_some_and(|v| bench.target().constant(v).is_some()));
        let Some((slot, now)) = slot.and_then(|s| Some((s, bench.target().constant(op.inputs[s]?)?))) else { break };
        let Some(values) = per_channel(now, channels) else { break };
        match op.op_type() {
            "Add" | "Sub" => {
                let sign = if op.op_type() == "Sub" { -1.0 } else { 1.0 };
                let wanted: Vec<f32> = (0..channels).map(|c| values[c] + sign * missing[c] / behind_it[c]).collect();
                let shape = if now.len() == channels { now.shape().to_vec() } else { channel_shape(bench, *id, channels) };
                if let Some(edit) = replace(bench, *id, slot, &Value::from_f32(&shape, wanted.clone())) {
                    let mut remedy =
                        Remedy::new(Kind::WbBias, edit, format!("the bias in {} {}", op.op_type(), show_bias(&values, &wanted))).at(*id);
                    remedy.ops.push(mine.op);
                    remedy.tensors = op.inputs[slot].map(|v| behind(bench, v)).unwrap_or_default();
                    out.push(remedy);
                }
            }
            "Mul" => behind_it.iter_mut().zip(&values).for_each(|(b, v)| *b *= v),
            "Div" => behind_it.iter_mut().zip(&values).for_each(|(b, v)| *b /= v),
            _ => break,
        }
    }
    if out.is_empty() && mine.bias.is_none() {
        out.extend(insert_add(bench, mine, &missing));
    }
    out
}

fn channel_shape(bench: &Bench<'_>, id: OpId, channels: usize) -> Vec<usize> {
    let rank = bench.target().op(id).made().next().and_then(|v| bench.a.fed(v)).map_or(1, |x| x[0].shape().len());
    if rank == 4 { vec![1, channels, 1, 1] } else { vec![channels] }
}

/// An Add behind a product without one. What reads the product reads the sum, and a graph output keeps its name.
fn insert_add(bench: &Bench<'_>, mine: &Linear, bias: &[f32]) -> Option<Remedy> {
    let target = bench.target();
    let op = target.op(mine.op);
    let out = op.made().next()?;
    let name = bench.name(out).to_string();
    let dtype = mine.value(target, mine.weight)?.dtype();
    let constant = fresh_name(bench, &format!("{name}_bias"));
    let tensor = Value::from_f32(&[bias.len()], bias.to_vec()).cast(dtype)?.to_proto(&constant);
    let product = fresh_name(bench, &format!("{name}_product"));
    let mut node = target.model().node(op.node).clone();
    node.output[0] = product.clone();
    let add = NodeProto {
        input: vec![product.clone(), constant.clone()],
        output: vec![name.clone()],
        name: Some(fresh_name(bench, &format!("{}_bias_add", node.label()))),
        op_type: Some("Add".into()),
        ..Default::default()
    };
    // Replaced first, so that the name is free for the sum.
    let next = target
        .model()
        .index()
        .nodes()
        .find(|n| n.0 == op.node.0 + 1)
        .and_then(|n| target.model().node(n).output.iter().find(|o| !o.is_empty()).cloned());
    let edit = Edit::All(vec![
        Edit::AddInitializer { tensor },
        Edit::ReplaceNode { node: name, with: node },
        Edit::InsertNode { before: next, node: add },
    ]);
    Some(
        Remedy::new(Kind::WbBias, edit, format!("{} has no bias, the source adds one", op.op_type()))
            .at(mine.op)
            .on(out)
            .or(&[Kind::CgMissing]),
    )
}

/// Parameters of a batch norm whose counterpart the source folded away: each one solved for alone.
fn normalisation(bench: &Bench<'_>) -> Vec<Remedy> {
    let mut out = Vec::new();
    let checked: HashSet<ValueId> = bench.checks.iter().map(|(_, v)| *v).collect();
    let reached: HashSet<ValueId> = bench.checks.iter().filter_map(|(_, v)| bench.a.pair_of(*v)).map(|p| p.source).collect();
    let all: Vec<OpId> = bench.target().op_ids().collect();
    let theirs: Vec<OpId> = bench.reference().op_ids().collect();
    for t in &bench.ops {
        let Some(mine) = Linear::read(bench.target(), *t, &all, |v| checked.contains(&v)) else { continue };
        let Some(norm) = mine.tail.iter().copied().find(|id| bench.target().op(*id).op_type() == "BatchNormalization") else { continue };
        for s in &bench.source {
            let Some(source) = Linear::read(bench.reference(), *s, &theirs, |v| reached.contains(&v)) else { continue };
            if source.affine.a.len() == mine.affine.a.len() {
                out.extend(solve_norm(bench, &mine, norm, &source).unwrap_or_default());
            }
        }
    }
    out
}

fn solve_norm(bench: &Bench<'_>, mine: &Linear, norm: OpId, source: &Linear) -> Option<Vec<Remedy>> {
    let n = mine.affine.a.len();
    let op = bench.target().op(norm);
    let constant = |slot: usize| bench.target().constant((*op.inputs.get(slot)?)?).and_then(|c| per_channel(c, n));
    let (scale, shift, mean, var) = (constant(1)?, constant(2)?, constant(3)?, constant(4)?);
    let epsilon = op.proto().float("epsilon").unwrap_or(1e-5);
    let (w, v) = (mine.value(bench.target(), mine.weight)?, source.value(bench.reference(), source.weight)?);
    let (w, v) = (mine.channels_first(w)?, source.channels_first(v)?);
    if w.len() != v.len() {
        return None;
    }
    let (w, v) = (w.to_f32(), v.to_f32());
    let len = w.len() / n;
    // What the map behind the product has to multiply by and to add, from the source's folded weight and bias.
    let dot = |p: &[f32], q: &[f32]| p.iter().zip(q).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let a: Vec<f32> = (0..n)
        .map(|c| {
            let (p, q) = (&w[c * len..(c + 1) * len], &v[c * len..(c + 1) * len]);
            (dot(p, q) / dot(p, p).max(1e-30)) as f32 * source.affine.a[c] * source.alpha / mine.alpha
        })
        .collect();
    let theirs = source.bias_values(bench.reference());
    let own = mine.bias_values(bench.target());
    let b: Vec<f32> =
        (0..n).map(|c| theirs[c] * source.beta * source.affine.a[c] + source.affine.b[c] - own[c] * mine.beta * a[c]).collect();
    let std: Vec<f32> = var.iter().map(|v| (v + epsilon).sqrt()).collect();
    let each = |f: &dyn Fn(usize) -> f32| (0..n).map(f).collect::<Vec<f32>>();
    let solved = [
        (2usize, "shift (B)", each(&|c| b[c] + mean[c] * a[c])),
        (3, "mean", each(&|c| (shift[c] - b[c]) / a[c])),
        (1, "scale", each(&|c| a[c] * std[c])),
        (4, "variance", each(&|c| (scale[c] / a[c]).powi(2) - epsilon)),
    ];
    let mut out = Vec::new();
    for (slot, name, wanted) in solved {
        let Some(value) = op.inputs.get(slot).copied().flatten() else { continue };
        if wanted.iter().any(|x| !x.is_finite()) || (slot == 4 && wanted.iter().any(|x| *x < 0.0)) {
            continue;
        }
        let Some(edit) = replace(bench, norm, slot, &Value::from_f32(&[n], wanted)) else { continue };
        let mut remedy =
            Remedy::new(Kind::WbNorm, edit, format!("{name} of the BatchNormalization does not fit the source's folded weights")).at(norm);
        remedy.tensors = behind(bench, value);
        out.push(remedy);
    }
    Some(out)
}
