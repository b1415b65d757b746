//! Weights, biases, normalisation and quantisation parameters: the source's, in the target's layout and folding.

use super::constants::{behind, laid_out, replace};
use super::difference::instead;
use super::linear::linear;
use super::normalisation::{missing_shift, normalisation};
use super::quantised::quantisation;
use super::{Bench, Remedy};
use crate::localize::Kind;
use crate::model::{Edit, ValueId};
use crate::run::{OpId, Value};

/// Candidates, one tensor at a time before two.
pub(super) fn weights(bench: &Bench<'_>) -> Vec<Remedy> {
    // What keeps the target's own numbers and only reads them otherwise comes first.
    let mut out = quantisation(bench);
    out.extend(linear(bench));
    out.extend(copied(bench));
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
