//! Weights, biases, normalisation and quantisation parameters: the source's, in the target's layout and folding.

use super::branches::branches;
use super::difference::instead;
use super::edits::{behind, fresh_name, is_reordered, laid_out, replace};
use super::linear::linear;
use super::normalisation::{missing_shift, normalisation};
use super::quantised::quantisation;
use super::{Bench, Remedy};
use crate::localize::Kind;
use crate::model::{Edit, ValueId};
use crate::run::{Network, OpId, Value};

/// Candidates, one tensor at a time before two.
pub(super) fn weights(bench: &Bench<'_>) -> Vec<Remedy> {
    // What keeps the target's own numbers and only reads them otherwise comes first.
    let mut out = quantisation(bench);
    out.extend(linear(bench));
    out.extend(branches(bench));
    out.extend(copied(bench));
    out.extend(turned(bench));
    out.extend(two_parameters(bench));
    out.extend(all_parameters(bench));
    out.extend(missing_parameter(bench));
    out.extend(normalisation(bench));
    out.extend(missing_shift(bench));
    out.extend(super::elementwise::elementwise(bench));
    out.extend(exchanged(bench));
    out.sort_by_key(Remedy::size);
    out
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

/// Whether an operator's constant inputs are parameters of one layer, in slots of their own.
fn has_parameters(op: &str) -> bool {
    op.ends_with("Normalization") || matches!(op, "LSTM" | "GRU" | "RNN")
}

/// The float parameters of an op by slot; the data stand first.
fn parameters(network: &Network, id: OpId) -> Vec<(usize, ValueId, &Value)> {
    let slots = network.op(id).inputs.iter().enumerate().skip(1);
    slots.filter_map(|(slot, v)| Some((slot, (*v)?, network.constant((*v)?).filter(|c| c.is_float())?))).collect()
}

/// One kind for parameters of a layer of which several are wrong: those of a recurrent layer in another order are a matter of layout.
fn kind_of_parameters(op: &str, differing: &[(&Value, &Value)]) -> (Kind, &'static [Kind]) {
    match op {
        "LSTM" | "GRU" | "RNN" if differing.iter().all(|(now, new)| is_reordered(&now.to_f32(), &new.to_f32())) => {
            (Kind::WbLayout, &[Kind::WbValues, Kind::WbSwap])
        }
        "LSTM" | "GRU" | "RNN" => (Kind::WbValues, &[Kind::WbLayout]),
        _ => (Kind::WbNorm, &[Kind::WbValues, Kind::WbSwap]),
    }
}

/// Two parameters of one shape of a layer that stand in each other's place: mean and variance, scale and shift.
fn two_parameters(bench: &Bench<'_>) -> Vec<Remedy> {
    let target = bench.target();
    let mut out = Vec::new();
    for t in bench.ops.iter().filter(|t| has_parameters(target.op(**t).op_type())) {
        let all = parameters(target, *t);
        for (i, (slot, v, c)) in all.iter().enumerate() {
            for (other, w, d) in all[i + 1..].iter().filter(|(_, w, d)| d.shape() == c.shape() && w != v && !d.same(c)) {
                let (Some(one), Some(two)) = (replace(bench, *t, *slot, d), replace(bench, *t, *other, c)) else { continue };
                let op = target.op(*t).op_type();
                let words = format!("'{}' and '{}' of {op} stand in each other's place", bench.name(*v), bench.name(*w));
                let (kind, also) = kind_of_parameters(op, &[(c, d), (d, c)]);
                let mut remedy = Remedy::new(kind, Edit::All(vec![one, two]), words).at(*t).or(also);
                remedy.tensors = behind(bench, *v).into_iter().chain(behind(bench, *w)).collect();
                out.push(remedy);
            }
        }
    }
    out
}

/// All parameters of a layer as the source's layer of the same type has them, where more than one differs.
fn all_parameters(bench: &Bench<'_>) -> Vec<Remedy> {
    let (target, reference) = (bench.target(), bench.reference());
    let mut out = Vec::new();
    for t in bench.ops.iter().filter(|t| has_parameters(target.op(**t).op_type())) {
        let op = target.op(*t).op_type();
        let mine = parameters(target, *t);
        for s in bench.source.iter().filter(|s| reference.op(**s).op_type() == op) {
            let theirs = parameters(reference, *s);
            let new = |slot: usize, now: &Value| {
                theirs.iter().find(|(k, _, c)| *k == slot && c.shape() == now.shape() && !c.same(now)).map(|(_, _, c)| *c)
            };
            let differing: Vec<_> = mine.iter().filter_map(|(slot, v, now)| Some((*slot, *v, *now, new(*slot, now)?))).collect();
            let edits: Vec<Edit> = differing.iter().filter_map(|(slot, _, _, new)| replace(bench, *t, *slot, new)).collect();
            if differing.len() < 2 || edits.len() < differing.len() {
                continue;
            }
            let names = differing.iter().map(|(_, v, ..)| format!("'{}'", bench.name(*v))).collect::<Vec<_>>().join(", ");
            let values: Vec<_> = differing.iter().map(|(_, _, now, new)| (*now, *new)).collect();
            let (kind, also) = kind_of_parameters(op, &values);
            let how = if kind == Kind::WbLayout { "hold the source's numbers in another order" } else { "differ from the source's" };
            let mut remedy = Remedy::new(kind, Edit::All(edits), format!("{names} of {op} {how}")).at(*t).or(also);
            remedy.tensors = differing.iter().flat_map(|(_, v, ..)| behind(bench, *v)).collect();
            out.push(remedy);
        }
    }
    out
}

/// A parameter that the source's layer has and the target's has not: that of the same type by its place, and the bias of a recurrent layer by its
/// size where the source says the layer in other words.
fn missing_parameter(bench: &Bench<'_>) -> Vec<Remedy> {
    let (target, reference) = (bench.target(), bench.reference());
    let mut out = Vec::new();
    for t in bench.ops.iter().filter(|t| has_parameters(target.op(**t).op_type())) {
        let op = target.op(*t);
        let there = |slot: usize| op.inputs.get(slot).copied().flatten().is_some();
        // Directions by twice as many numbers as the recurrent weight has rows.
        let bias = parameters(target, *t).into_iter().find(|(slot, ..)| *slot == 2).and_then(|(.., r)| match *r.shape() {
            [d, rows, _] => Some([d, 2 * rows]),
            _ => None,
        });
        for s in &bench.source {
            let same = reference.op(*s).op_type() == op.op_type();
            for (slot, _, c) in parameters(reference, *s) {
                let by_size = bias.filter(|b| !same && b.iter().product::<usize>() == c.len());
                let (slot, shape) = match by_size {
                    Some(shape) => (3, shape.to_vec()),
                    None if same => (slot, c.shape().to_vec()),
                    None => continue,
                };
                let Some(c) = c.reshape(&shape).filter(|_| !there(slot)) else { continue };
                let name = fresh_name(bench, &format!("{}_mended", bench.key(*t)));
                let edit = Edit::All(vec![
                    Edit::AddInitializer { tensor: c.to_proto(&name) },
                    Edit::RewireInput { node: bench.key(*t), slot, value: name },
                ]);
                let words = format!("{} lacks its input {slot}, which the source's has", op.op_type());
                out.push(Remedy::new(Kind::WbBias, edit, words).at(*t).or(&[Kind::WbNorm, Kind::WbValues]));
            }
        }
    }
    out
}

/// The target's own weight with two axes of one extent exchanged, or a kernel turned round: what can be read off no constant of the source where it
/// says the layer in other words.
fn turned(bench: &Bench<'_>) -> Vec<Remedy> {
    let target = bench.target();
    let mut out = Vec::new();
    for t in bench.ops.iter().filter(|t| matches!(target.op(**t).op_type(), "Conv" | "ConvTranspose" | "Gemm" | "MatMul")) {
        let op = target.op(*t);
        let Some(v) = op.inputs.get(1).copied().flatten() else { continue };
        let Some(now) = target.constant(v).filter(|c| c.is_float() && c.shape().len() >= 2) else { continue };
        let [.., h, w] = *now.shape() else { continue };
        let (kernel, data) = (h * w, now.to_f32());
        let square = |at: usize| at / kernel * kernel + at % kernel % h * w + at % kernel / h;
        let round = |at: usize| at / kernel * kernel + kernel - 1 - at % kernel;
        let conv = op.op_type().starts_with("Conv");
        let mut add = |words: &str, from: &dyn Fn(usize) -> usize| {
            let turned: Vec<f32> = (0..data.len()).map(|i| data[from(i)]).collect();
            let Some(edit) = (turned[..] != data[..]).then(|| replace(bench, *t, 1, &Value::from_f32(now.shape(), turned))).flatten()
            else {
                return;
            };
            let words = format!("the weight '{}' of {} {words}", bench.name(v), op.op_type());
            let mut remedy = Remedy::new(Kind::WbLayout, edit, words).at(*t).or(&[Kind::WbValues, Kind::LhGemm]);
            remedy.tensors = behind(bench, v);
            out.push(remedy);
        };
        if h == w && h > 1 {
            add(if conv { "has height and width exchanged" } else { "is transposed" }, &square);
        }
        if conv && kernel > 1 {
            add("is turned round", &round);
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
