//! Biases: that of the operator itself, one that is an Add behind it, and one that is not there at all.

use super::edits::{behind, fresh_name, replace};
use super::fold::{Linear, per_channel};
use super::{Bench, Remedy};
use crate::align::relative_error;
use crate::localize::Kind;
use crate::model::onnx::NodeProto;
use crate::model::{Edit, NodeExt};
use crate::run::{OpId, Value};

/// The bias of the operator itself: replaced, or added where it is missing.
pub(super) fn bias_remedy(bench: &Bench<'_>, mine: &Linear, wanted: &[f32]) -> Option<Remedy> {
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
pub(super) fn tail_bias(bench: &Bench<'_>, mine: &Linear, source: &Linear, theirs_bias: &[f32]) -> Vec<Remedy> {
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

fn show_bias(now: &[f32], wanted: &[f32]) -> String {
    let norm = |x: &[f32]| x.iter().map(|v| v * v).sum::<f32>().sqrt();
    if now.iter().all(|x| *x == 0.0) {
        return "is missing or zero".into();
    }
    if wanted.iter().all(|x| x.abs() < 1e-12) {
        return "is there, the source has none".into();
    }
    if now.iter().zip(wanted).all(|(a, b)| (a + b).abs() <= 1e-4 * b.abs().max(1e-3)) {
        return "is the source's with the sign turned".into();
    }
    let difference: Vec<f32> = now.iter().zip(wanted).map(|(a, b)| a - b).collect();
    format!("is off by {:.2} % of the source's", 100.0 * norm(&difference) / norm(wanted).max(1e-12))
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
    let next = bench.next_key(mine.op);
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
