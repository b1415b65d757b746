//! Constants of Add, Sub, Mul and Div: solved for from what should come out, where the source has no such node.
//!
//! A normalisation that a converter built into the graph has no counterpart in the source, whose recipe does it: its constants
//! follow from the values on both sides.

use super::constants::{behind, replace};
use super::{Bench, Remedy};
use crate::localize::Kind;
use crate::model::ValueId;
use crate::run::{OpId, Value};

/// Candidates for each such node of the region.
pub(super) fn elementwise(bench: &Bench<'_>) -> Vec<Remedy> {
    bench.ops.iter().filter_map(|t| solve(bench, *t)).collect()
}

/// The axis of a value along which a constant varies; `None` for one number.
fn varying_axis(constant: &[usize], value: &[usize]) -> Option<Option<usize>> {
    let long: Vec<usize> = (0..constant.len()).filter(|i| constant[*i] != 1).collect();
    match long[..] {
        [] => Some(None),
        [i] => {
            let axis = (value.len() + i).checked_sub(constant.len())?;
            (value[axis] == constant[i]).then_some(Some(axis))
        }
        _ => None,
    }
}

fn solve(bench: &Bench<'_>, t: OpId) -> Option<Remedy> {
    let target = bench.target();
    let op = target.op(t);
    if !matches!(op.op_type(), "Add" | "Sub" | "Mul" | "Div") || op.inputs.len() != 2 {
        return None;
    }
    let slot = (0..2).find(|s| op.inputs[*s].is_some_and(|v| target.constant(v).is_some_and(|c| c.is_float())))?;
    let constant = op.inputs[slot]?;
    let now = target.constant(constant)?;
    // What the source has to the bit is not what is wrong.
    let theirs = bench.source.iter().flat_map(|s| bench.reference().op(*s).inputs.iter().flatten());
    if now.len() > 1 && theirs.filter_map(|v| bench.reference().constant(*v)).any(|c| c.len() == now.len() && c.to_f32() == now.to_f32()) {
        return None;
    }
    if slot == 0 && matches!(op.op_type(), "Sub" | "Div") {
        return None;
    }
    let input = op.inputs[1 - slot]?;
    let output = op.made().next()?;
    let given = bench.a.computed(input).filter(|_| bench.a.pair_of(input).is_none()).or_else(|| bench.a.fed(input))?;
    let wanted = wanted(bench, output, 4)?;
    let axis = varying_axis(now.shape(), given[0].shape())?;
    let count = axis.map_or(1, |a| given[0].shape()[a]);
    let (mut xy, mut xx, mut difference, mut n) = (vec![0.0f64; count], vec![0.0f64; count], vec![0.0f64; count], vec![0.0f64; count]);
    for (x, y) in given.iter().zip(&wanted) {
        if x.len() != y.len() {
            return None;
        }
        let inner: usize = axis.map_or(1, |a| x.shape()[a + 1..].iter().product());
        for (i, (x, y)) in x.to_f32().iter().zip(y.to_f32().iter()).enumerate() {
            let c = (i / inner) % count;
            let (x, y) = (f64::from(*x), f64::from(*y));
            xy[c] += x * y;
            xx[c] += if op.op_type() == "Div" { y * y } else { x * x };
            difference[c] += y - x;
            n[c] += 1.0;
        }
    }
    let solved: Vec<f32> = (0..count)
        .map(|c| match op.op_type() {
            "Add" => difference[c] / n[c],
            "Sub" => -difference[c] / n[c],
            _ => xy[c] / xx[c],
        } as f32)
        .collect();
    if solved.iter().any(|x| !x.is_finite()) {
        return None;
    }
    let edit = replace(bench, t, slot, &Value::from_f32(now.shape(), if now.len() == count { solved } else { return None }))?;
    let built_in = (0..3).try_fold(input, |v, _| match target.producer(v) {
        None => Err(true),
        Some(p) => target.op(p).data.first().copied().ok_or(false),
    });
    let kind = match op.op_type() {
        _ if built_in == Err(true) || target.inputs().contains(&input) => Kind::PpBaked,
        // One number a channel, added: a bias.
        "Add" | "Sub" if axis.is_some() => Kind::WbBias,
        _ => Kind::WbValues,
    };
    let words = format!("the constant of {} does not fit what the source has behind it", op.op_type());
    let mut remedy = Remedy::new(kind, edit, words).at(t).or(&[Kind::WbValues, Kind::WbBias]);
    remedy.tensors = behind(bench, constant);
    Some(remedy)
}

/// What a value should be so that the next checked one comes out right: back through Add, Sub, Mul and Div with constants.
fn wanted(bench: &Bench<'_>, v: ValueId, hops: usize) -> Option<Vec<Value>> {
    if bench.checks.iter().any(|(_, c)| *c == v) {
        return bench.a.fed(v).map(<[Value]>::to_vec);
    }
    let target = bench.target();
    let [next] = target.consumers(v) else { return None };
    let op = target.op(*next);
    let behind = wanted(bench, op.made().next()?, hops.checked_sub(1)?)?;
    if !matches!(op.op_type(), "Add" | "Sub" | "Mul" | "Div") || op.inputs.first()? != &Some(v) {
        return None;
    }
    let constant = target.constant(op.inputs[1]?)?;
    let shape = behind[0].shape();
    let axis = varying_axis(constant.shape(), shape)?;
    let c = constant.to_f32();
    let inner: usize = axis.map_or(1, |a| shape[a + 1..].iter().product());
    let undo = |y: f32, c: f32| match op.op_type() {
        "Add" => y - c,
        "Sub" => y + c,
        "Mul" => y / c,
        _ => y * c,
    };
    let undone = behind.iter().map(|y| {
        let data = y.to_f32().iter().enumerate().map(|(i, y)| undo(*y, c[(i / inner) % c.len()])).collect();
        Value::from_f32(y.shape(), data)
    });
    Some(undone.collect())
}
