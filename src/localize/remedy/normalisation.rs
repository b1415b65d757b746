//! Parameters of a batch norm whose counterpart the source folded away.

use super::constants::{behind, replace};
use super::fold::{Linear, per_channel};
use super::linear::pairs;
use super::{Bench, Remedy};
use crate::localize::Kind;
use crate::model::NodeExt;
use crate::run::{OpId, Value};

/// Parameters of a batch norm whose counterpart the source folded away: each one solved for alone.
pub(super) fn normalisation(bench: &Bench<'_>) -> Vec<Remedy> {
    let is_norm = |id: &OpId| bench.target().op(*id).op_type() == "BatchNormalization";
    let solved = pairs(bench).into_iter().filter_map(|(mine, source)| {
        let norm = mine.tail.iter().copied().find(is_norm)?;
        solve_norm(bench, &mine, norm, &source)
    });
    solved.flatten().collect()
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
