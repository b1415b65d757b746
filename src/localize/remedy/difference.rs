//! How a constant differs from the one that should be there: the kind, and the words for it.

use super::edits::{behind, is_reordered, laid_out, replace};
use super::quantised::requantised;
use super::{Bench, Remedy};
use crate::align::{Fingerprint, relative_error};
use crate::localize::Kind;
use crate::model::ValueId;
use crate::run::{OpId, Value};
use std::collections::HashSet;

/// A remedy that puts a constant in the place of another, named by how the two differ. `None` when they do not.
pub(super) fn instead(bench: &Bench<'_>, t: OpId, slot: usize, v: ValueId, now: &Value, new: &Value) -> Option<Remedy> {
    let error = relative_error(&now.to_f32(), &new.to_f32());
    if error < 1e-6 {
        return None;
    }
    let op = bench.target().op(t).op_type();
    let edit = requantised(bench, v, new).or_else(|| replace(bench, t, slot, new))?;
    let role = role(op, slot);
    let recurrent = matches!(op, "LSTM" | "GRU" | "RNN");
    let kind = match role {
        Kind::WbValues => difference(bench, now, new),
        // Gates in another order.
        Kind::WbBias if recurrent && is_reordered(&now.to_f32(), &new.to_f32()) => Kind::WbLayout,
        _ => role,
    };
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
    if kind != role && role == Kind::WbBias {
        remedy.equivalents.push(Kind::WbBias);
    }
    Some(remedy)
}

/// The role of a constant, by operator and slot.
fn role(op: &str, slot: usize) -> Kind {
    match (op, slot) {
        ("BatchNormalization" | "InstanceNormalization" | "LayerNormalization" | "GroupNormalization", _) => Kind::WbNorm,
        ("SkipLayerNormalization" | "SkipSimplifiedLayerNormalization", 2 | 3)
        | ("RMSNormalization" | "SimplifiedLayerNormalization", _) => Kind::WbNorm,
        ("Conv" | "Gemm" | "ConvTranspose" | "FusedConv", 2) | ("Add", _) => Kind::WbBias,
        ("LSTM" | "GRU" | "RNN", 3) | ("BiasGelu" | "FastGelu", 1) | ("SkipLayerNormalization", 4) | ("QLinearConv", 8) => Kind::WbBias,
        ("QuantizeLinear" | "DequantizeLinear", 1 | 2) => Kind::WbQuant,
        _ => Kind::WbValues,
    }
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
        if a.distance(&b) < 1e-3 && is_reordered(&n, &w) {
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
    let others = bench.a.source().weights().iter().filter(|other| other.len == now.len());
    others.filter_map(|other| Some((other, bench.reference().constant(other.value)?))).any(|(other, c)| {
        let close = other.print.distance(print) < 1e-3;
        let is = |like: &Value, data: &[f32]| {
            let near = |v: &Value| relative_error(data, &v.to_f32()) < 1e-3;
            (close && laid_out(c, like).first().is_some_and(near)) || proportional(data, &c.to_f32(), c.shape())
        };
        is(now, &n) && !is(wanted, &w)
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
    let few = levels(now, 4096);
    if !(2..=4096).contains(&few) || few * 4 > now.len() || levels(wanted, few * 4) < few * 4 {
        return false;
    }
    let worst = now.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max);
    let range = wanted.iter().map(|x| x.abs()).fold(0.0f32, f32::max);
    worst <= range / (few as f32 / 4.0).max(2.0)
}

/// How many different numbers there are; one more than `most` where there are more.
fn levels(x: &[f32], most: usize) -> usize {
    let mut seen = HashSet::new();
    x.iter().find(|v| seen.insert(v.to_bits()) && seen.len() > most);
    seen.len()
}
