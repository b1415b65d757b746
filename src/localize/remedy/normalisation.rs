//! Normalisations: parameters of a batch norm whose counterpart the source folded away, groups, a shift that is missing.

use super::edits::{behind, fresh_name, replace};
use super::fold::{Linear, per_channel};
use super::linear::pairs;
use super::{Bench, Remedy};
use crate::localize::Kind;
use crate::model::{Edit, NodeExt};
use crate::run::{OpId, Value};

/// A batch norm that was left in training; parameters of one whose counterpart the source folded away, each one solved for alone.
pub(super) fn normalisation(bench: &Bench<'_>) -> Vec<Remedy> {
    let is_norm = |id: &OpId| bench.target().op(*id).op_type() == "BatchNormalization";
    let solved = pairs(bench).into_iter().filter_map(|(mine, source)| {
        let norm = mine.tail.iter().copied().find(is_norm)?;
        solve_norm(bench, &mine, norm, &source)
    });
    bench.ops.iter().filter_map(|t| inferring(bench, *t)).chain(solved.flatten()).collect()
}

/// A batch norm that was left in training: it normalises by the mean and variance of the batch that it is given, and makes them outputs.
fn inferring(bench: &Bench<'_>, t: OpId) -> Option<Remedy> {
    let node = bench.target().model().node(bench.target().op(t).node);
    let trains = node.int("training_mode").unwrap_or(0) != 0 || node.output.len() > 1;
    if node.op_type() != "BatchNormalization" || !trains {
        return None;
    }
    let mut with = node.clone();
    let statistics = with.output.split_off(1);
    with.attribute.retain(|a| a.name() != "training_mode");
    let edit = Edit::ReplaceNode { node: bench.key(t), with };
    let words = "BatchNormalization is in training mode: it normalises by the batch's own statistics, and not by those it was given";
    let mut remedy = Remedy::new(Kind::WbNorm, edit, words).at(t).or(&[Kind::LhAct]);
    // Whatever they agree with goes with them.
    remedy.checks = Some(bench.checks.iter().filter(|(name, _)| !statistics.contains(name)).cloned().collect());
    Some(remedy)
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
    // Where mean or variance are wrong past solving, scale and shift still follow from what the source computes.
    let (scale, shift) = (each(&|c| a[c] * std[c]), each(&|c| b[c] + mean[c] * a[c]));
    if let (Some(one), Some(two)) =
        (replace(bench, norm, 1, &Value::from_f32(&[n], scale)), replace(bench, norm, 2, &Value::from_f32(&[n], shift)))
        && std.iter().chain(&a).chain(&b).all(|x| x.is_finite())
    {
        let words = "scale and shift of the BatchNormalization do not fit the source's folded weights, given its mean and variance";
        let mut remedy = Remedy::new(Kind::WbNorm, Edit::All(vec![one, two]), words).at(norm);
        remedy.tensors = op.inputs[1..].iter().flatten().flat_map(|v| behind(bench, *v)).collect();
        out.push(remedy);
    }
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

/// The groups of a GroupNormalization that is said as an InstanceNormalization between Reshapes, as exporters to older operator sets do: the
/// shape in front and its scale and shift, which have one number for each group.
pub(super) fn groups(bench: &Bench<'_>) -> Vec<Remedy> {
    let count = |s: &OpId| {
        let op = bench.reference().op(*s);
        match op.op_type() {
            "GroupNormalization" => usize::try_from(op.proto().int("num_groups")?).ok(),
            "InstanceNormalization" => op.inputs.get(1).copied().flatten().and_then(|v| bench.reference().constant(v)).map(Value::len),
            _ => None,
        }
    };
    let mut wanted: Vec<usize> = bench.source.iter().filter_map(count).filter(|g| *g > 0).collect();
    wanted.dedup();
    let norms = bench.ops.iter().filter(|t| bench.target().op(**t).op_type() == "InstanceNormalization");
    norms.flat_map(|t| wanted.iter().filter_map(|groups| in_groups(bench, *t, *groups)).collect::<Vec<_>>()).collect()
}

fn in_groups(bench: &Bench<'_>, norm: OpId, groups: usize) -> Option<Remedy> {
    let target = bench.target();
    let reshape = target.producer((*target.op(norm).inputs.first()?)?).filter(|p| target.op(*p).op_type() == "Reshape")?;
    let mut shape = target.constant((*target.op(reshape).inputs.get(1)?)?)?.to_i64();
    let now = std::mem::replace(shape.get_mut(1)?, groups as i64);
    let mut edits = vec![replace(bench, reshape, 1, &Value::from_i64(&[shape.len()], shape))?];
    let mut tensors = Vec::new();
    for slot in [1, 2] {
        let v = (*target.op(norm).inputs.get(slot)?)?;
        let old = target.constant(v)?.to_f32();
        let first = *old.first().filter(|x| old.iter().all(|y| y == *x))?;
        edits.push(replace(bench, norm, slot, &Value::from_f32(&[groups], vec![first; groups]))?);
        tensors.extend(behind(bench, v));
    }
    let words = format!("the normalisation is over {now} groups, the source's over {groups}");
    let mut remedy = Remedy::new(Kind::LhGroup, Edit::All(edits), words).at(norm).at(reshape).or(&[Kind::TsReshape, Kind::WbNorm]);
    remedy.tensors = tensors;
    (now != groups as i64).then_some(remedy)
}

/// The shift of a LayerNormalization that has none: a constant of the source's region of as many elements as the scale.
pub(super) fn missing_shift(bench: &Bench<'_>) -> Vec<Remedy> {
    let target = bench.target();
    let mut out = Vec::new();
    for t in bench.ops.iter().filter(|t| target.op(**t).op_type() == "LayerNormalization") {
        let op = target.op(*t);
        let (Some(scale), None) = (op.inputs.get(1).copied().flatten(), op.inputs.get(2).copied().flatten()) else { continue };
        let Some(scale) = target.constant(scale) else { continue };
        let theirs = bench.source.iter().flat_map(|s| {
            let op = bench.reference().op(*s);
            let known = op.op_type() == "LayerNormalization";
            op.inputs
                .iter()
                .enumerate()
                .filter(move |(slot, _)| !known || *slot == 2)
                .filter_map(|(_, v)| bench.reference().constant((*v)?))
        });
        for c in theirs.filter(|c| c.is_float() && c.len() == scale.len()) {
            let Some(value) = c.cast(scale.dtype()).and_then(|c| c.reshape(scale.shape())) else { continue };
            let name = fresh_name(bench, &format!("{}_shift", bench.key(*t)));
            let edit = Edit::All(vec![
                Edit::AddInitializer { tensor: value.to_proto(&name) },
                Edit::RewireInput { node: bench.key(*t), slot: 2, value: name },
            ]);
            out.push(Remedy::new(Kind::WbBias, edit, "LayerNormalization has no bias, the source adds one").at(*t).or(&[Kind::WbNorm]));
        }
    }
    out
}
