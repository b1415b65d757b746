//! Constants of Add, Sub, Mul and Div: solved for from what should come out, where the source has no such node.
//!
//! A normalisation that a converter built into the graph has no counterpart in the source, whose recipe does it: its constants
//! follow from the values on both sides.

use super::edits::{behind, fresh_name, replace};
use super::{Bench, Remedy};
use crate::align::relative_error;
use crate::localize::Kind;
use crate::model::onnx::NodeProto;
use crate::model::{Edit, NodeExt, ValueId};
use crate::run::{Network, OpId, Value};

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

/// Sums over two lists of values, for each index of an axis or for all elements.
struct Sums {
    xy: Vec<f64>,
    xx: Vec<f64>,
    yy: Vec<f64>,
    difference: Vec<f64>,
    n: Vec<f64>,
}

impl Sums {
    fn of(given: &[Value], wanted: &[Value], axis: Option<usize>) -> Self {
        let count = axis.and_then(|a| given.first()?.shape().get(a).copied()).unwrap_or(1);
        let zeros = || vec![0.0f64; count];
        let mut out = Self { xy: zeros(), xx: zeros(), yy: zeros(), difference: zeros(), n: zeros() };
        for (x, y) in given.iter().zip(wanted) {
            let inner: usize = axis.map_or(1, |a| x.shape()[a + 1..].iter().product());
            for (i, (x, y)) in x.to_f32().iter().zip(y.to_f32().iter()).enumerate() {
                let c = (i / inner) % count;
                let (x, y) = (f64::from(*x), f64::from(*y));
                out.xy[c] += x * y;
                out.xx[c] += x * x;
                out.yy[c] += y * y;
                out.difference[c] += y - x;
                out.n[c] += 1.0;
            }
        }
        out
    }

    /// What to multiply by, in the least squares.
    fn factors(&self) -> Vec<f32> {
        self.xy.iter().zip(&self.xx).map(|(xy, xx)| (xy / xx) as f32).collect()
    }

    /// What to divide by.
    fn divisors(&self) -> Vec<f32> {
        self.xy.iter().zip(&self.yy).map(|(xy, yy)| (xy / yy) as f32).collect()
    }

    /// What to add.
    fn summands(&self) -> Vec<f32> {
        self.difference.iter().zip(&self.n).map(|(d, n)| (d / n) as f32).collect()
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
    if given.iter().zip(&wanted).any(|(x, y)| x.len() != y.len()) {
        return None;
    }
    let sums = Sums::of(given, &wanted, axis);
    let count = sums.n.len();
    let solved = match op.op_type() {
        "Add" => sums.summands(),
        "Sub" => sums.summands().iter().map(|x| -x).collect(),
        "Mul" => sums.factors(),
        _ => sums.divisors(),
    };
    if solved.iter().any(|x| !x.is_finite()) {
        return None;
    }
    let edit = replace(bench, t, slot, &Value::from_f32(now.shape(), if now.len() == count { solved } else { return None }))?;
    let kind = match op.op_type() {
        // One number a channel, added: a bias.
        "Add" | "Sub" if axis.is_some() => Kind::WbBias,
        _ => Kind::WbValues,
    };
    let words = format!("the constant of {} does not fit what the source has behind it", op.op_type());
    let mut remedy = Remedy::new(kind, edit, words).at(t).or(&[Kind::WbValues, Kind::WbBias]);
    remedy.tensors = behind(bench, constant);
    Some(remedy)
}

/// A factor or a summand that is missing, where the source has no node to take over: solved for from what should come out. In front of an
/// elementwise node with a constant, and behind any other.
pub(super) fn missing(bench: &Bench<'_>) -> Vec<Remedy> {
    let target = bench.target();
    let mut out = Vec::new();
    for t in &bench.ops {
        let op = target.op(*t);
        let Some(output) = op.made().next().filter(|_| op.made().count() == 1) else { continue };
        if let Some(made) = bench.a.computed(output)
            && let Some(wanted) = wanted(bench, output, 0)
        {
            for step in between(bench, made, &wanted) {
                out.extend(step.as_bias(bench, *t));
                out.extend(step.behind(bench, *t, output));
            }
        }
        if let Some((slot, input)) = op.inputs.iter().enumerate().find_map(|(i, v)| Some((i, v.filter(|v| op.data.contains(v))?)))
            && op.data.len() == 1
            && let Some(given) = bench.a.fed(input)
            && let Some(wanted) = wanted(bench, output, 0).and_then(|behind| undone(target, *t, slot, behind))
        {
            let maker = target.producer(input).filter(|_| target.consumers(input).len() == 1);
            for step in between(bench, given, &wanted) {
                out.extend(maker.and_then(|maker| step.as_bias(bench, maker)));
                out.extend(step.before(bench, *t, slot, input));
            }
        }
    }
    out
}

/// A constant that an Add of the source has, in the bias of the target's node behind which the Add is missing.
pub(super) fn added_to_bias(bench: &Bench<'_>, s: OpId, v: ValueId) -> Option<Remedy> {
    let (target, theirs) = (bench.target(), bench.reference().op(s));
    let maker = target.producer(v).filter(|_| theirs.op_type() == "Add" && target.consumers(v).len() == 1)?;
    let constant = theirs.inputs.iter().flatten().find_map(|v| bench.reference().constant(*v))?;
    let rank = bench.a.fed(v)?.first()?.shape().len();
    let mut shape = vec![1; rank.checked_sub(constant.shape().len())?];
    shape.extend(constant.shape());
    Step { op: "Add", constant: constant.reshape(&shape)? }.as_bias(bench, maker)
}

/// A node with one constant that makes some values of others.
struct Step {
    op: &'static str,
    constant: Value,
}

/// What makes `wanted` of `given`: one factor or one summand, for all or for each index of an axis.
fn between(bench: &Bench<'_>, given: &[Value], wanted: &[Value]) -> Vec<Step> {
    let Some(shape) = given.first().map(Value::shape) else { return Vec::new() };
    if given.len() != wanted.len() || given.iter().zip(wanted).any(|(x, y)| x.shape() != y.shape() || !x.is_float() || !y.is_float()) {
        return Vec::new();
    }
    // Axes as long as a row of channels is, and not as the picture is: too many constants explain anything.
    let few = |a: &usize| shape[*a] > 1 && shape[*a] * 16 <= given[0].len();
    let axes: Vec<Option<usize>> = std::iter::once(None).chain((1..shape.len()).filter(few).map(Some)).collect();
    let mut out = Vec::new();
    for axis in axes {
        let sums = Sums::of(given, wanted, axis);
        for (op, constant) in [("Mul", sums.factors()), ("Add", sums.summands())] {
            let inner: usize = axis.map_or(1, |a| shape[a + 1..].iter().product());
            let with = |i: usize, x: f32| {
                let c = constant[(i / inner) % constant.len()];
                if op == "Mul" { x * c } else { x + c }
            };
            let fits = given.iter().zip(wanted).all(|(x, y)| {
                let made: Vec<f32> = x.to_f32().iter().enumerate().map(|(i, x)| with(i, *x)).collect();
                relative_error(&made, &y.to_f32()) <= bench.floor
            });
            if fits && constant.iter().all(|c| c.is_finite()) {
                let mut dims = vec![1; shape.len().max(1)];
                axis.into_iter().for_each(|a| dims[a] = shape[a]);
                out.push(Step { op, constant: Value::from_f32(if axis.is_some() { &dims } else { &[] }, constant) });
            }
        }
        if !out.is_empty() {
            break;
        }
    }
    out
}

impl Step {
    fn words(&self) -> String {
        match self.constant.to_f32().as_ref() {
            [one] => format!("{} by {one}", self.op).replace("Add by", "Add of"),
            all => format!("{} with {} constants", self.op, all.len()),
        }
    }

    fn node(&self, name: &str, input: &str, constant: &str) -> NodeProto {
        NodeProto {
            op_type: Some(self.op.into()),
            name: Some(name.into()),
            input: vec![input.into(), constant.into()],
            output: vec![name.into()],
            ..NodeProto::default()
        }
    }

    /// A summand in the bias of the node that makes the value, where it has an input for one: what is missing behind it is a bias that is wrong.
    fn as_bias(&self, bench: &Bench<'_>, maker: OpId) -> Option<Remedy> {
        const SLOT: usize = 2;
        let target = bench.target();
        let op = target.op(maker);
        let long: Vec<usize> = (0..self.constant.shape().len()).filter(|i| self.constant.shape()[*i] > 1).collect();
        let ([axis], "Add") = (&long[..], self.op) else { return None };
        let last = *axis + 1 == self.constant.shape().len();
        let (fits, also) = match op.op_type() {
            "Conv" | "ConvTranspose" => (*axis == 1, Kind::CgMissing),
            "Gemm" => (last && op.proto().float("beta").unwrap_or(1.0) == 1.0, Kind::CgMissing),
            "LayerNormalization" => (last, Kind::WbNorm),
            "BatchNormalization" | "InstanceNormalization" => (*axis == 1, Kind::WbNorm),
            _ => return None,
        };
        let added = self.constant.to_f32();
        let (edit, tensors) = match op.inputs.get(SLOT).copied().flatten() {
            Some(v) => {
                let now = target.constant(v).filter(|c| c.len() == added.len())?;
                let sum = now.to_f32().iter().zip(added.iter()).map(|(now, add)| now + add).collect();
                (replace(bench, maker, SLOT, &Value::from_f32(now.shape(), sum))?, behind(bench, v))
            }
            None => {
                let name = fresh_name(bench, &format!("{}_bias", bench.key(maker)));
                let dtype = op.inputs.get(1).copied().flatten().and_then(|v| target.constant(v))?.dtype();
                let tensor = Value::from_f32(&[added.len()], added.to_vec()).cast(dtype)?.to_proto(&name);
                let rewire = Edit::RewireInput { node: bench.key(maker), slot: SLOT, value: name };
                (Edit::All(vec![Edit::AddInitializer { tensor }, rewire]), Vec::new())
            }
        };
        let words = format!("the bias of {} is not what the source adds", op.op_type());
        let mut remedy = fits.then(|| Remedy::new(Kind::WbBias, edit, words).at(maker).or(&[also]))?;
        remedy.tensors = tensors;
        Some(remedy)
    }

    /// In front of a node.
    fn before(&self, bench: &Bench<'_>, t: OpId, slot: usize, input: ValueId) -> Option<Remedy> {
        let name = fresh_name(bench, &format!("{}_{}", bench.name(input), self.op.to_lowercase()));
        let constant = fresh_name(bench, &format!("{name}_constant"));
        let edits = vec![
            Edit::AddInitializer { tensor: self.constant.cast(bench.a.fed(input)?.first()?.dtype())?.to_proto(&constant) },
            Edit::InsertNode { before: Some(bench.key(t)), node: self.node(&name, bench.name(input), &constant) },
            Edit::RewireInput { node: bench.key(t), slot, value: name },
        ];
        let words = format!("{} is missing before {}", self.words(), bench.target().op(t).op_type());
        let mut remedy = Remedy::new(Kind::CgMissing, Edit::All(edits), words).at(t).or(&[Kind::PpBaked]);
        remedy.ops.extend(bench.target().producer(input));
        Some(remedy)
    }

    /// Behind a node, for all that read what it makes.
    fn behind(&self, bench: &Bench<'_>, t: OpId, output: ValueId) -> Option<Remedy> {
        let target = bench.target();
        if target.outputs().contains(&output) {
            return None;
        }
        let name = fresh_name(bench, &format!("{}_{}", bench.name(output), self.op.to_lowercase()));
        let constant = fresh_name(bench, &format!("{name}_constant"));
        let mut edits = vec![
            Edit::AddInitializer { tensor: self.constant.cast(bench.a.computed(output)?.first()?.dtype())?.to_proto(&constant) },
            Edit::InsertNode { before: bench.next_key(t), node: self.node(&name, bench.name(output), &constant) },
        ];
        for c in target.consumers(output) {
            let slots = target.op(*c).inputs.iter().enumerate().filter(|(_, v)| **v == Some(output));
            edits.extend(slots.map(|(slot, _)| Edit::RewireInput { node: bench.key(*c), slot, value: name.clone() }));
        }
        let words = format!("{} is missing behind {}", self.words(), target.op(t).op_type());
        let mut remedy = Remedy::new(Kind::CgMissing, Edit::All(edits), words).at(t);
        remedy.ops.extend(target.consumers(output));
        remedy.checks = Some(bench.checks.iter().map(|(n, v)| (if *v == output { name.clone() } else { n.clone() }, *v)).collect());
        Some(remedy)
    }
}

/// What a value should be so that the next checked one comes out right: back through Add, Sub, Mul and Div with constants.
fn wanted(bench: &Bench<'_>, v: ValueId, hops: usize) -> Option<Vec<Value>> {
    if bench.checks.iter().any(|(_, c)| *c == v) {
        return bench.a.fed(v).map(<[Value]>::to_vec);
    }
    let target = bench.target();
    let [next] = target.consumers(v) else { return None };
    let op = target.op(*next);
    if op.inputs.first()? != &Some(v) {
        return None;
    }
    let behind = wanted(bench, op.made().next()?, hops.checked_sub(1)?)?;
    undone(target, *next, 0, behind)
}

/// What an elementwise node with a constant has to be given at a slot to make these values.
fn undone(target: &Network, id: OpId, slot: usize, behind: Vec<Value>) -> Option<Vec<Value>> {
    let op = target.op(id);
    let commutes = matches!(op.op_type(), "Add" | "Mul");
    if !(commutes || matches!(op.op_type(), "Sub" | "Div") && slot == 0) || op.inputs.len() != 2 {
        return None;
    }
    let constant = target.constant((*op.inputs.get(1 - slot)?)?)?;
    let shape = behind.first()?.shape();
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
