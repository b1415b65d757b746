//! Convolutions and matrix products: the source's folded parameters in the place of the target's.

use super::bias::{bias_remedy, tail_bias};
use super::difference::instead;
use super::edits::{behind, laid_out, replace};
use super::fold::Linear;
use super::{Bench, Remedy};
use crate::localize::Kind;
use crate::model::onnx::{AttributeProto, NodeProto};
use crate::model::{Edit, NodeExt, ValueId};
use crate::run::{Network, OpId, Value};
use std::collections::HashSet;

/// Convolutions and matrix products: the source's folded parameters, divided by what the target does behind them.
pub(super) fn linear(bench: &Bench<'_>) -> Vec<Remedy> {
    pairs(bench).iter().flat_map(|(mine, source)| linear_pair(bench, mine, source)).collect()
}

/// Every product of the region, each with those of the source that make as many channels. What follows is folded in as far as the checked values.
pub(super) fn pairs(bench: &Bench<'_>) -> Vec<(Linear, Linear)> {
    let checked: HashSet<ValueId> = bench.checks.iter().map(|(_, v)| *v).collect();
    let reached: HashSet<ValueId> = bench.checked_sources().into_iter().collect();
    let all = |network: &Network| network.op_ids().collect::<Vec<OpId>>();
    let (region, theirs) = (all(bench.target()), all(bench.reference()));
    let mine = bench.ops.iter().filter_map(|t| Linear::read(bench.target(), *t, &region, |v| checked.contains(&v)));
    let source = bench.source.iter().filter_map(|s| Linear::read(bench.reference(), *s, &theirs, |v| reached.contains(&v)));
    let source: Vec<Linear> = source.collect();
    let fitting = |mine: Linear| {
        let alike = source.iter().filter(|s| s.affine.a.len() == mine.affine.a.len());
        alike.map(|s| (mine.clone(), s.clone())).collect::<Vec<_>>()
    };
    mine.flat_map(fitting).collect()
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
