//! Weights that are quantised, and their scales and zero points: mended in the target's own numbers.

use super::edits::{behind, is_reordered, laid_out, replace};
use super::fold::Linear;
use super::steps::{both_halves, is_of_data, limits, steps_of};
use super::{Bench, Remedy};
use crate::align::relative_error;
use crate::localize::Kind;
use crate::model::onnx::NodeProto;
use crate::model::{Edit, NodeExt, ValueId};
use crate::run::{OpId, Steps, Value};

/// Another weight in the place of one that a DequantizeLinear makes of a quantised initializer: in the same steps.
pub(super) fn requantised(bench: &Bench<'_>, folded: ValueId, new: &Value) -> Option<Edit> {
    let (target, model) = (bench.target(), bench.target().model());
    let node = model.node(model.index().producer(folded)?);
    if node.op_type() != "DequantizeLinear" {
        return None;
    }
    let read = |slot: usize| node.input.get(slot).and_then(|n| model.index().value(n)).and_then(|v| target.constant(v));
    let name = node.input.first().filter(|n| model.initializer(n).is_some())?;
    let (q, scale) = (read(0)?, read(1)?.to_f32().into_owned());
    let zero = read(2).map_or_else(|| vec![0.0; scale.len()], |z| z.to_f32().into_owned());
    let (bottom, top) = limits(q.dtype())?;
    let shape = q.shape();
    let axis = usize::try_from(node.int("axis").unwrap_or(1).rem_euclid(shape.len().max(1) as i64)).ok()?;
    let channels = if scale.len() == 1 { 1 } else { *shape.get(axis)? };
    if new.len() != q.len() || scale.len() != channels || zero.len() != channels || scale.contains(&0.0) {
        return None;
    }
    let inner = if channels == 1 { q.len().max(1) } else { shape.get(axis + 1..)?.iter().product::<usize>().max(1) };
    let round = |(i, x): (usize, &f32)| {
        let c = (i / inner) % channels;
        ((x / scale[c]).round_ties_even() + zero[c]).clamp(bottom, top)
    };
    let data: Vec<f32> = new.to_f32().iter().enumerate().map(round).collect();
    Some(Edit::ReplaceInitializer { tensor: Value::from_f32(shape, data).cast(q.dtype())?.to_proto(name) })
}

/// Scales and zero points of what quantises or reads what is quantised: what the source's own values or weights ask for.
pub(super) fn quantisation(bench: &Bench<'_>) -> Vec<Remedy> {
    let mut out = Vec::new();
    let target = bench.target();
    for t in &bench.ops {
        let op = target.op(*t);
        // Weights behind a DequantizeLinear that was folded: the scale by least squares against the source's weight.
        for v in op.inputs.iter().flatten().filter(|v| target.constant(**v).is_some()) {
            out.extend(weight_scale(bench, *t, *v).unwrap_or_default());
        }
        out.extend(integer_zero_point(bench, *t));
        out.extend(integer_weight(bench, *t).unwrap_or_default());
        for steps in Steps::all(op.proto()).into_iter().filter(|s| is_of_data(target, *t, *s)) {
            out.extend(steps_of(bench, *t, steps).unwrap_or_default());
            out.extend(both_halves(bench, *t, steps).unwrap_or_default());
        }
    }
    out
}

/// Another weight of an operator on integers, in the steps that it has: the source's, with what is folded into it.
fn integer_weight(bench: &Bench<'_>, t: OpId) -> Option<Vec<Remedy>> {
    let target = bench.target();
    let op = target.op(t);
    let (channels_at, bias) = match op.op_type() {
        "QLinearConv" => (0, 8),
        "QLinearMatMul" => (1, usize::MAX),
        "QGemm" => (usize::from(op.proto().int("transB").unwrap_or(0) == 0), 6),
        _ => return None,
    };
    let constant = |slot: usize| op.inputs.get(slot).copied().flatten().and_then(|v| target.constant(v));
    let (q, scale, zero) = (constant(3)?, constant(4)?.to_f32().into_owned(), constant(5)?.to_f32().into_owned());
    let (bottom, top) = limits(q.dtype())?;
    let channels = *q.shape().get(channels_at)?;
    let inner: usize = q.shape()[channels_at + 1..].iter().product();
    let channel = |i: usize| (i / inner.max(1)) % channels.max(1);
    let at = |of: &[f32], c: usize| of.get(if of.len() == 1 { 0 } else { c }).copied();
    let given = constant(1).and_then(|s| s.to_f32().first().copied());
    let mut out = Vec::new();
    for s in &bench.source {
        let Some(theirs) = Linear::read(bench.reference(), *s, &bench.source, |_| false).filter(|l| l.affine.a.len() == channels) else {
            continue;
        };
        let Some(w) = theirs.value(bench.reference(), theirs.weight).and_then(|w| theirs.channels_first(w)).filter(|w| w.len() == q.len())
        else {
            continue;
        };
        let len = w.len() / channels.max(1);
        let folded: Vec<f32> = w.to_f32().iter().enumerate().map(|(i, x)| x * theirs.affine.a[i / len.max(1)]).collect();
        let first = Value::from_f32(w.shape(), folded);
        let own = if channels_at == 0 { first } else { first.transpose(&[1, 0])? };
        let biases: Vec<f32> =
            theirs.bias_values(bench.reference()).iter().zip(&theirs.affine.a).zip(&theirs.affine.b).map(|((b, a), c)| b * a + c).collect();
        let code = |(i, x): (usize, &f32)| {
            let c = channel(i);
            Some(((x / at(&scale, c)?).round_ties_even() + at(&zero, c)?).clamp(bottom, top))
        };
        for laid in laid_out(&own, q).into_iter().take(2) {
            let codes: Option<Vec<f32>> = laid.to_f32().iter().enumerate().map(code).collect();
            let new = Value::from_f32(q.shape(), codes?);
            let weight = (new.to_f32() != q.to_f32()).then(|| replace(bench, t, 3, &new)).flatten();
            let steps = |c: usize| Some(given? * at(&scale, c)?);
            let sums: Option<Vec<f32>> = biases.iter().enumerate().map(|(c, b)| Some((b / steps(c)?).round_ties_even())).collect();
            let bias_edit = constant(bias)
                .zip(sums)
                .filter(|(now, sums)| now.len() == sums.len() && now.to_f32().as_ref() != sums.as_slice())
                .and_then(|(now, sums)| replace(bench, t, bias, &Value::from_f32(now.shape(), sums)));
            let kind = if is_reordered(&q.to_f32(), &new.to_f32()) { Kind::WbLayout } else { Kind::WbValues };
            let mut push = |kind, edits: Vec<Edit>, slot: usize, what: &str| {
                let words = format!("{what} of {} in its steps is not the source's", op.op_type());
                let edit = if edits.len() > 1 { Edit::All(edits) } else { edits.into_iter().next()? };
                let mut remedy = Remedy::new(kind, edit, words).at(t).or(&[Kind::WbQuant]);
                remedy.tensors = op.inputs[slot].map(|v| behind(bench, v)).unwrap_or_default();
                out.push(remedy);
                Some(())
            };
            push(kind, weight.clone().into_iter().collect(), 3, "the weight");
            push(Kind::WbBias, bias_edit.clone().into_iter().collect(), bias, "the bias");
            if let (Some(w), Some(b)) = (weight, bias_edit) {
                push(kind, vec![w, b], 3, "the weight and the bias");
            }
        }
    }
    Some(out)
}

/// Slope and zero of the line that fits `w = slope · (q - zero)` best.
fn line(q: &[f32], w: &[f32]) -> (f32, f32) {
    let n = q.len().max(1) as f64;
    let (mq, mw) = (q.iter().map(|x| f64::from(*x)).sum::<f64>() / n, w.iter().map(|x| f64::from(*x)).sum::<f64>() / n);
    let (qw, qq) = q.iter().zip(w).fold((0.0, 0.0), |(qw, qq), (x, y)| {
        let d = f64::from(*x) - mq;
        (qw + d * (f64::from(*y) - mw), qq + d * d)
    });
    let slope = if qq > 0.0 { qw / qq } else { 0.0 };
    (slope as f32, if slope == 0.0 { 0.0 } else { (mq - mw / slope) as f32 })
}

/// The zero point of a quantised weight, where the scales fit and it does not.
fn zero_point(bench: &Bench<'_>, t: OpId, folded: ValueId, node: &NodeProto, scale: &Value, fitted: &[(f32, f32)]) -> Option<Remedy> {
    let model = bench.target().model();
    let name = node.input.get(2).filter(|n| model.initializer(n).is_some())?;
    let now = bench.target().constant(model.index().value(name)?)?;
    let scales_fit = fitted.iter().zip(scale.to_f32().iter()).all(|((s, _), now)| (s - now).abs() < 0.05 * s.abs());
    let wanted: Vec<f32> = fitted.iter().map(|(_, z)| z.round()).collect();
    let wanted =
        if now.len() == wanted.len() { wanted } else { vec![(wanted.iter().sum::<f32>() / wanted.len() as f32).round(); now.len()] };
    if !scales_fit || wanted == now.to_f32().as_ref() {
        return None;
    }
    let tensor = Value::from_f32(now.shape(), wanted.clone()).cast(now.dtype())?.to_proto(name);
    let words = format!("the zero point of the quantised weight is {}, the source's weight asks for {}", now.to_f32()[0], wanted[0]);
    let mut remedy = Remedy::new(Kind::WbQuant, Edit::ReplaceInitializer { tensor }, words).at(t);
    remedy.tensors = behind(bench, folded);
    Some(remedy)
}

/// The zero point of a weight that an operator on integers reads as it is, with as many for it as there are output channels, or one.
fn integer_zero_point(bench: &Bench<'_>, t: OpId) -> Vec<Remedy> {
    let target = bench.target();
    let op = target.op(t);
    let (weight, slot, last) = match op.op_type() {
        "ConvInteger" => (1, 3, false),
        "MatMulInteger" => (1, 3, true),
        "QLinearConv" => (3, 5, false),
        "QLinearMatMul" => (3, 5, true),
        _ => return Vec::new(),
    };
    let constant = |slot: usize| op.inputs.get(slot).copied().flatten().and_then(|v| target.constant(v));
    let (Some(q), Some(now)) = (constant(weight), constant(slot)) else { return Vec::new() };
    let numbers = q.to_f32();
    let channels = now.len();
    let channel = |i: usize| match (channels, last) {
        (1, _) => 0,
        (_, true) => i % channels,
        (_, false) => i / (numbers.len() / channels).max(1),
    };
    let theirs = bench.source.iter().flat_map(|s| bench.reference().op(*s).inputs.iter().filter_map(|v| bench.reference().constant((*v)?)));
    let mut out = Vec::new();
    for c in theirs.filter(|c| c.is_float() && c.len() == q.len() && channels > 0 && c.len() >= channels) {
        for w in laid_out(c, q).into_iter().take(6) {
            let mut parts = vec![(Vec::new(), Vec::new()); channels];
            for (i, (x, y)) in numbers.iter().zip(w.to_f32().iter()).enumerate() {
                parts[channel(i).min(channels - 1)].0.push(*x);
                parts[channel(i).min(channels - 1)].1.push(*y);
            }
            let fitted: Vec<(f32, f32)> = parts.iter().map(|(x, y)| line(x, y)).collect();
            // What rounding to steps leaves is half a step at the most; weights in another order leave far more.
            let on_line = |x: &[f32], y: &[f32], (slope, zero): (f32, f32)| {
                x.iter().zip(y).all(|(x, y)| (slope * (x - zero) - y).abs() <= 1.5 * slope.abs())
            };
            let wanted: Vec<f32> = fitted.iter().map(|(_, zero)| zero.round()).collect();
            if !parts.iter().zip(&fitted).all(|((x, y), line)| on_line(x, y, *line)) || wanted == now.to_f32().as_ref() {
                continue;
            }
            let Some(new) = Value::from_f32(now.shape(), wanted.clone()).cast(now.dtype()) else { continue };
            let Some(edit) = replace(bench, t, slot, &new) else { continue };
            let words =
                format!("the zero point of the quantised weight is {}, the source's weight asks for {}", now.to_f32()[0], wanted[0]);
            let mut remedy = Remedy::new(Kind::WbQuant, edit, words).at(t);
            remedy.tensors = op.inputs[slot].map(|v| behind(bench, v)).unwrap_or_default();
            out.push(remedy);
        }
    }
    out
}

fn weight_scale(bench: &Bench<'_>, t: OpId, folded: ValueId) -> Option<Vec<Remedy>> {
    let target = bench.target();
    let model = target.model();
    let node = model.node(model.index().producer(folded)?);
    if node.op_type() != "DequantizeLinear" {
        return None;
    }
    let read = |slot: usize| -> Option<Value> {
        node.input.get(slot).and_then(|n| model.index().value(n)).and_then(|v| target.constant(v)).cloned()
    };
    let (q, scale) = (read(0)?, read(1)?);
    let channels = scale.len();
    let scale_name = node.input.get(1)?.clone();
    let mine = Linear::read(target, t, &[], |_| true)?;
    let q = q.to_f32().into_owned();
    let mut out = Vec::new();
    for s in &bench.source {
        let Some(source) = Linear::read(bench.reference(), *s, &bench.source, |_| false) else { continue };
        let Some(w) = source.value(bench.reference(), source.weight).and_then(|w| source.channels_first(w)).filter(|w| w.len() == q.len())
        else {
            continue;
        };
        let Some(w) = mine.own_order(&w) else { continue };
        let mut w = w.to_f32().into_owned();
        let len = q.len() / channels;
        // What the target has folded in.
        if source.affine.a.len() == channels && mine.tail.is_empty() {
            w.iter_mut().enumerate().for_each(|(i, x)| *x *= source.affine.a[i / len.max(1)]);
        }
        // w = scale · (q - zero): a line through the points (q, w) of each channel.
        let fitted: Vec<(f32, f32)> = (0..channels).map(|c| line(&q[c * len..(c + 1) * len], &w[c * len..(c + 1) * len])).collect();
        out.extend(zero_point(bench, t, folded, node, &scale, &fitted));
        let wanted: Vec<f32> = fitted.iter().map(|(slope, _)| *slope).collect();
        let off = relative_error(&scale.to_f32(), &wanted);
        if off < 0.02 || wanted.iter().any(|x| !x.is_finite() || *x <= 0.0) || model.initializer(&scale_name).is_none() {
            continue;
        }
        // Channels whose scale is right keep it.
        let kept: Vec<f32> =
            scale.to_f32().iter().zip(&wanted).map(|(now, w)| if (now - w).abs() < 0.02 * w { *now } else { *w }).collect();
        let changed = kept.iter().zip(scale.to_f32().iter()).filter(|(a, b)| a != b).count();
        let edit = Edit::ReplaceInitializer { tensor: Value::from_f32(scale.shape(), kept).to_proto(&scale_name) };
        let words = format!("{changed} of {channels} scales of the quantised weight do not fit the source's weight");
        let mut remedy = Remedy::new(Kind::WbQuant, edit, words).at(t);
        remedy.tensors = behind(bench, folded);
        out.push(remedy);
    }
    Some(out)
}
