//! Quantisation parameters, and weights that are quantised: mended in the target's own numbers.

use super::constants::{behind, laid_out, replace};
use super::fold::Linear;
use super::{Bench, Remedy};
use crate::align::{moves, relative_error};
use crate::localize::Kind;
use crate::model::onnx::{NodeProto, tensor_proto::DataType};
use crate::model::{Edit, NodeExt, ValueId};
use crate::run::{OpId, Value};

/// Least and largest number of an element type that weights and values are quantised to.
fn limits(dtype: DataType) -> Option<(f32, f32)> {
    match dtype {
        DataType::Int8 => Some((-128.0, 127.0)),
        DataType::Uint8 => Some((0.0, 255.0)),
        _ => None,
    }
}

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

/// Scales of QuantizeLinear and DequantizeLinear: what the source's own values or weights ask for.
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
        if !matches!(op.op_type(), "QuantizeLinear" | "DequantizeLinear") {
            continue;
        }
        let Some(Some(scale)) = op.inputs.get(1).copied() else { continue };
        let Some(now) = target.constant(scale).filter(|c| c.len() == 1) else { continue };
        let zero = op.inputs.get(2).copied().flatten().and_then(|z| target.constant(z)).cloned();
        let z = zero.as_ref().map_or(0.0, |z| z.to_f32().first().copied().unwrap_or(0.0));
        let signed = zero.as_ref().is_some_and(|z| z.dtype() == DataType::Int8);
        let (bottom, top) = if signed { (-128.0, 127.0) } else { (0.0, 255.0) };
        // Which of the source's values is quantised here is not known before it fits: each of the region is asked.
        let made = bench
            .source
            .iter()
            .flat_map(|s| bench.reference().op(*s).made().collect::<Vec<_>>())
            .filter_map(|v| bench.a.source().values(v));
        let mut fits: Vec<f32> = made
            .filter(|x| x[0].is_float())
            .map(|x| {
                let (lo, hi) = x.iter().flat_map(|x| x.to_f32().into_owned()).fold((0.0f32, 0.0f32), |(lo, hi), x| (lo.min(x), hi.max(x)));
                (hi / (top - z).max(1.0)).max(-lo / (z - bottom).max(1.0))
            })
            .collect();
        fits.sort_by(f32::total_cmp);
        fits.dedup();
        out.extend(zero_points(bench, *t, now.to_f32().first().copied().unwrap_or(1.0), (bottom, top)));
        let neighbours = neighbour_scales(bench, *t);
        for wanted in neighbours.into_iter().chain(fits) {
            if wanted <= 0.0 || (wanted - now.to_f32()[0]).abs() < 1e-6 * wanted {
                continue;
            }
            let new = Value::from_f32(now.shape(), vec![wanted]);
            let name = bench.name(scale);
            let edit = if target.model().initializer(name).is_some() {
                Edit::ReplaceInitializer { tensor: new.to_proto(name) }
            } else if let Some(edit) = replace(bench, *t, 1, &new) {
                edit
            } else {
                continue;
            };
            let words = format!("the scale of {} is {}, the source's values ask for {wanted}", op.op_type(), now.to_f32()[0]);
            let mut remedy = Remedy::new(Kind::WbQuant, edit, words).at(*t);
            remedy.tensors = behind(bench, scale);
            out.push(remedy);
        }
    }
    out
}

/// Zero points with which the range of some source value of the region fits in the steps that there are.
fn zero_points(bench: &Bench<'_>, t: OpId, scale: f32, (bottom, top): (f32, f32)) -> Vec<Remedy> {
    let target = bench.target();
    let Some(zero) = target.op(t).inputs.get(2).copied().flatten() else { return Vec::new() };
    let Some(now) = target.constant(zero).filter(|z| z.len() == 1 && limits(z.dtype()).is_some()) else { return Vec::new() };
    let made = bench.source.iter().flat_map(|s| bench.reference().op(*s).made().collect::<Vec<_>>());
    let mut wanted: Vec<f32> = Vec::new();
    for values in made.filter_map(|v| bench.a.source().values(v)).filter(|x| x[0].is_float()) {
        let (low, high) = values.iter().fold((0.0f32, 0.0f32), |range, v| {
            v.to_f32().iter().filter(|x| x.is_finite()).fold(range, |(low, high), x| (low.min(*x), high.max(*x)))
        });
        wanted.extend([bottom - low / scale, top - high / scale].map(|z| z.round().clamp(bottom, top)));
    }
    let present = now.to_f32().first().copied().unwrap_or(0.0);
    wanted.sort_by(f32::total_cmp);
    wanted.dedup();
    wanted.retain(|z| *z != present);
    let name = bench.name(zero);
    let remedy = |z: f32| {
        let new = Value::from_f32(now.shape(), vec![z]).cast(now.dtype())?;
        // The half of a pair that quantises and the one that dequantises share it.
        let edit = match target.model().initializer(name) {
            Some(_) => Edit::ReplaceInitializer { tensor: new.to_proto(name) },
            None => replace(bench, t, 2, &new)?,
        };
        let words = format!("the zero point of {} is {present}, the source's values ask for {z}", target.op(t).op_type());
        let mut remedy = Remedy::new(Kind::WbQuant, edit, words).at(t);
        remedy.tensors = behind(bench, zero);
        Some(remedy)
    };
    wanted.into_iter().filter_map(remedy).collect()
}

/// Scales of the other Q/DQ nodes on the same stretch: both halves of a pair share one, and so do all that only move what they are given.
fn neighbour_scales(bench: &Bench<'_>, t: OpId) -> Vec<f32> {
    const FAR: usize = 6;
    let target = bench.target();
    let keeps =
        |op: &str| moves(op) || matches!(op, "Concat" | "MaxPool" | "Slice" | "Split" | "Gather" | "QuantizeLinear" | "DequantizeLinear");
    let mut near = vec![t];
    let mut at = 0;
    while at < near.len() && near.len() < 4 * FAR {
        let op = target.op(near[at]);
        if at == 0 || keeps(op.op_type()) {
            let beside = op.data.iter().filter_map(|v| target.producer(*v)).chain(op.made().flat_map(|v| target.consumers(v).to_vec()));
            let new: Vec<OpId> = beside.filter(|n| !near.contains(n)).collect();
            near.extend(new);
        }
        at += 1;
    }
    let rounds = near[1..].iter().filter(|n| target.op(**n).op_type().contains("uantizeLinear"));
    let scale = |n: &OpId| target.constant((*target.op(*n).inputs.get(1)?)?).filter(|c| c.len() == 1).map(|c| c.to_f32()[0]);
    let mut out: Vec<f32> = Vec::new();
    rounds.filter_map(scale).for_each(|s| {
        if !out.contains(&s) {
            out.push(s)
        }
    });
    out.truncate(FAR);
    out
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
        let w = w.to_f32();
        let len = q.len() / channels;
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
