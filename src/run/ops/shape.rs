//! Slice, Pad, Range, ConstantOfShape and Cast as the specification has them: empty slices, negative pads, float ranges, large integers.

use super::attr::Attributes;
use super::own::{Known, Own};
use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::array::{Pad, PadMode, Slice};
use tract_onnx::tract_core::ops::cast::cast as wire_to;
use tract_onnx::tract_hir::internal::*;

type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// The integers of a tensor, whatever type they have.
pub(super) fn integers(t: &Tensor) -> TractResult<Vec<i64>> {
    Ok(t.cast_to::<i64>()?.try_as_plain_ram()?.as_slice::<i64>()?.to_vec())
}

/// An axis that may count from the end.
pub(super) fn axis_of(axis: i64, rank: usize) -> TractResult<usize> {
    let at = if axis < 0 { axis + rank as i64 } else { axis };
    ensure!((0..rank as i64).contains(&at), "axis {axis} is out of range for a value of rank {rank}");
    Ok(at as usize)
}

/// Elements `start`, `start + step`, ... of an axis, `length` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cut {
    axis: usize,
    start: usize,
    length: usize,
    step: i64,
}

/// What a slice takes; the bounds may lie far outside.
fn cuts(shape: &[usize], starts: &[i64], ends: &[i64], axes: Option<&[i64]>, steps: Option<&[i64]>) -> TractResult<Vec<Cut>> {
    ensure!(starts.len() == ends.len(), "{} starts and {} ends", starts.len(), ends.len());
    let mut out = Vec::new();
    for (i, (start, end)) in starts.iter().zip(ends).enumerate() {
        let axis = match axes {
            Some(axes) => axis_of(*axes.get(i).context("too few axes")?, shape.len())?,
            None => axis_of(i as i64, shape.len())?,
        };
        let step = steps.map_or(Some(1), |s| s.get(i).copied()).context("too few steps")?;
        ensure!(step != 0, "the step of axis {axis} is 0");
        let dim = shape[axis] as i64;
        let from_end = |v: i64| if v < 0 { v.saturating_add(dim) } else { v };
        let (start, end) = (from_end(*start), from_end(*end));
        let (start, length) = if step > 0 {
            let start = start.clamp(0, dim);
            (start, ceil_div((end.clamp(0, dim) - start).max(0), step))
        } else {
            let start = start.clamp(0, (dim - 1).max(0));
            (start, ceil_div((start - end.clamp(-1, dim - 1)).max(0), step).min(dim))
        };
        out.push(Cut { axis, start: start.max(0) as usize, length: length as usize, step });
    }
    Ok(out)
}

/// Both are positive, or the first is 0.
fn ceil_div(a: i64, b: i64) -> i64 {
    (a.unsigned_abs()).div_ceil(b.unsigned_abs()) as i64
}

/// Where a slice's bounds come from: attributes, or the inputs of these places.
#[derive(Debug, Clone)]
enum SliceOp {
    Fixed { starts: Vec<i64>, ends: Vec<i64>, axes: Option<Vec<i64>> },
    Inputs { axes: Option<usize>, steps: Option<usize> },
}

pub(super) fn slice(ctx: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let op = if (1..10).contains(&ctx.onnx_operator_set_version) {
        SliceOp::Fixed {
            starts: node.integers("starts").context("Slice has no starts")?.to_vec(),
            ends: node.integers("ends").context("Slice has no ends")?.to_vec(),
            axes: node.integers("axes").map(<[i64]>::to_vec),
        }
    } else {
        let mut optional = optional_inputs(node).skip(3);
        SliceOp::Inputs { axes: optional.next().flatten(), steps: optional.next().flatten() }
    };
    Ok((expand(op), vec![]))
}

impl SliceOp {
    /// `value` tells the constants among the inputs.
    fn cuts(&self, shape: &[usize], value: impl Fn(usize) -> Option<Arc<Tensor>>) -> TractResult<Vec<Cut>> {
        match self {
            Self::Fixed { starts, ends, axes } => cuts(shape, starts, ends, axes.as_deref(), None),
            Self::Inputs { axes, steps } => {
                let get =
                    |i: usize| integers(value(i).with_context(|| format!("the bounds of Slice (input {i}) must be constants"))?.as_ref());
                let (axes, steps) = (axes.map(get).transpose()?, steps.map(get).transpose()?);
                cuts(shape, &get(1)?, &get(2)?, axes.as_deref(), steps.as_deref())
            }
        }
    }
}

impl Expansion for SliceOp {
    fn name(&self) -> StaticName {
        "Slice".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(&'s self, s: &mut Solver<'r>, inputs: &'p [TensorProxy], outputs: &'p [TensorProxy]) -> InferenceResult {
        s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        s.equals(&inputs[0].rank, &outputs[0].rank)?;
        s.given(&inputs[0].shape, move |s, shape| {
            s.given_all(inputs[1..].iter().map(|i| &i.value), move |s, values| {
                let mut shape: Vec<usize> = shape.iter().map(TDim::to_usize).collect::<Result<_, _>>()?;
                for cut in self.cuts(&shape, |i| values.get(i - 1).cloned())? {
                    shape[cut.axis] = cut.length;
                }
                s.equals(&outputs[0].shape, shape.iter().map(|d| d.to_dim()).collect::<TVec<TDim>>())
            })
        })
    }

    fn wire(&self, name: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let shape = model.outlet_fact(inputs[0])?.shape.as_concrete().context("Slice of a value of unknown shape")?.to_vec();
        let cuts = self.cuts(&shape, |i| inputs.get(i).and_then(|o| model.outlet_fact(*o).ok()?.konst.clone()))?;
        let mut wire = inputs[0];
        for cut in cuts {
            let name = format!("{name}.axis{}", cut.axis);
            if cut.step == 1 || cut.length == 0 {
                if cut.length < shape[cut.axis] {
                    wire = model.wire_node(name, Slice::new(cut.axis, cut.start, cut.start + cut.length), &[wire])?[0];
                }
            } else {
                wire = model.wire_node(name, picked(cut), &[wire])?[0];
            }
        }
        Ok(tvec![wire])
    }
}

/// A cut whose step is not 1.
fn picked(cut: Cut) -> Own {
    let shape = move |k: &[Known]| {
        let mut shape = k[0].shape.clone();
        shape[cut.axis] = cut.length;
        Ok((k[0].dtype, shape))
    };
    let value = move |v: &[TValue]| {
        let at: Vec<usize> = (0..cut.length as i64).map(|i| (cut.start as i64 + i * cut.step) as usize).collect();
        select(&v[0], cut.axis, &at)
    };
    Own::new("Slice", shape, value)
}

/// The elements of an axis at these places.
fn select(x: &Tensor, axis: usize, at: &[usize]) -> TractResult<Tensor> {
    let mut shape: TVec<usize> = x.shape().into();
    let dim = shape[axis];
    shape[axis] = at.len();
    let row = x.shape()[axis + 1..].iter().product::<usize>() * x.datum_type().size_of();
    let mut out = Tensor::zero_dt(x.datum_type(), &shape)?;
    if row == 0 || dim == 0 || at.is_empty() {
        return Ok(out);
    }
    let from = x.as_bytes();
    for (to, from) in out.as_bytes_mut().chunks_exact_mut(row * at.len()).zip(from.chunks_exact(row * dim)) {
        for (to, at) in to.chunks_exact_mut(row).zip(at) {
            to.copy_from_slice(&from[at * row..][..row]);
        }
    }
    Ok(out)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Border {
    Constant,
    Reflect,
    Edge,
    Wrap,
}

#[derive(Debug, Clone)]
struct PadOp {
    border: Border,
    /// Pads and value as attributes, before opset 11.
    fixed: Option<(Vec<i64>, f32)>,
    value: Option<usize>,
    axes: Option<usize>,
}

pub(super) fn pad(ctx: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let border = match node.text("mode").unwrap_or("constant") {
        "" | "constant" => Border::Constant,
        "reflect" => Border::Reflect,
        "edge" => Border::Edge,
        "wrap" => Border::Wrap,
        other => bail!("Pad mode {other} is not supported"),
    };
    let fixed = if ctx.onnx_operator_set_version < 11 {
        let pads = node.integers("pads").or(node.integers("paddings")).context("Pad has no pads")?;
        Some((pads.to_vec(), node.number("value").unwrap_or(0.0)))
    } else {
        None
    };
    let mut optional = optional_inputs(node).skip(2);
    let (value, axes) = if fixed.is_some() { (None, None) } else { (optional.next().flatten(), optional.next().flatten()) };
    Ok((expand(PadOp { border, fixed, value, axes }), vec![]))
}

impl PadOp {
    /// Elements added before and after each axis; negative ones are cut off.
    fn pads(&self, rank: usize, value: impl Fn(usize) -> Option<Arc<Tensor>>) -> TractResult<Vec<(i64, i64)>> {
        let get = |i: usize| integers(value(i).with_context(|| format!("pads (input {i} of Pad) must be constants"))?.as_ref());
        let flat = match &self.fixed {
            Some((pads, _)) => pads.clone(),
            None => get(1)?,
        };
        let axes = self.axes.map(get).transpose()?;
        let count = axes.as_ref().map_or(rank, Vec::len);
        ensure!(flat.len() == 2 * count, "{} pads for {count} axes", flat.len());
        let mut out = vec![(0, 0); rank];
        for i in 0..count {
            let axis = axes.as_ref().map_or(Ok(i), |a| axis_of(a[i], rank))?;
            out[axis] = (flat[i], flat[i + count]);
        }
        Ok(out)
    }
}

fn padded(dim: usize, (before, after): (i64, i64)) -> TractResult<usize> {
    let sum = (dim as i64).checked_add(before).and_then(|d| d.checked_add(after)).context("pads overflow")?;
    usize::try_from(sum).map_err(|_| format_err!("pads ({before}, {after}) cut more than the {dim} that are there"))
}

impl Expansion for PadOp {
    fn name(&self) -> StaticName {
        "Pad".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(&'s self, s: &mut Solver<'r>, inputs: &'p [TensorProxy], outputs: &'p [TensorProxy]) -> InferenceResult {
        s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        s.equals(&inputs[0].rank, &outputs[0].rank)?;
        s.given(&inputs[0].shape, move |s, shape| {
            s.given_all(inputs[1..].iter().map(|i| &i.value), move |s, values| {
                let pads = self.pads(shape.len(), |i| values.get(i - 1).cloned())?;
                let dims =
                    shape.iter().zip(pads).map(|(d, p)| Ok(padded(d.to_usize()?, p)?.to_dim())).collect::<TractResult<TVec<TDim>>>()?;
                s.equals(&outputs[0].shape, dims)
            })
        })
    }

    fn wire(&self, name: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let fact = model.outlet_fact(inputs[0])?.clone();
        let shape = fact.shape.as_concrete().context("Pad of a value of unknown shape")?.to_vec();
        let konst = |i: usize| inputs.get(i).and_then(|o| model.outlet_fact(*o).ok()?.konst.clone());
        let pads = self.pads(shape.len(), konst)?;
        let fill = match (&self.fixed, self.value) {
            (Some((_, value)), _) => tensor0(*value),
            (None, Some(i)) => konst(i).context("the value of Pad must be a constant")?.into_tensor().into_shape(&[])?,
            (None, None) => tensor0(0f32),
        };
        let fill = fill.cast_to_dt(fact.datum_type)?.into_owned();
        let mut wire = inputs[0];
        for (axis, (pad, dim)) in pads.iter().zip(&shape).enumerate() {
            if pad.0 < 0 || pad.1 < 0 {
                let (start, end) = ((-pad.0).max(0) as usize, *dim as i64 + pad.1.min(0));
                ensure!(start as i64 <= end, "pads {pad:?} cut more than the {dim} that are there");
                wire = model.wire_node(format!("{name}.cut{axis}"), Slice::new(axis, start, end as usize), &[wire])?[0];
            }
        }
        let grow: Vec<(usize, usize)> = pads.iter().map(|(b, a)| ((*b).max(0) as usize, (*a).max(0) as usize)).collect();
        if grow.iter().all(|p| *p == (0, 0)) {
            return Ok(tvec![wire]);
        }
        let mode = match self.border {
            Border::Constant => PadMode::Constant(fill.into_arc_tensor()),
            Border::Edge => PadMode::Edge,
            Border::Reflect => PadMode::Reflect,
            Border::Wrap => return model.wire_node(name, wrapped(grow), &[wire]),
        };
        model.wire_node(name, Pad { pads: grow, mode }, &[wire])
    }
}

/// Pads with the other end of the axis.
fn wrapped(pads: Vec<(usize, usize)>) -> Own {
    let grow = pads.clone();
    let shape = move |k: &[Known]| Ok((k[0].dtype, k[0].shape.iter().zip(&grow).map(|(d, p)| d + p.0 + p.1).collect()));
    let value = move |v: &[TValue]| {
        let mut out: Tensor = (*v[0]).clone();
        for (axis, (before, after)) in pads.iter().enumerate().filter(|(_, p)| **p != (0, 0)) {
            let dim = out.shape()[axis];
            ensure!(dim > 0, "nothing to wrap around");
            let at: Vec<usize> = (0..before + dim + after).map(|i| (i + dim * before.div_ceil(dim) - before) % dim).collect();
            out = select(&out, axis, &at)?;
        }
        Ok(out)
    };
    Own::new("Pad", shape, value)
}

pub(super) fn range(_: &ParsingContext<'_>, _: &NodeProto) -> Built {
    fn made(start: &Tensor, limit: &Tensor, step: &Tensor) -> TractResult<Tensor> {
        let dtype = if start.datum_type() == TDim::datum_type() { i64::datum_type() } else { start.datum_type() };
        let float = |t: &Tensor| t.cast_to_scalar::<f64>();
        let integer = |t: &Tensor| t.cast_to_scalar::<i64>();
        if dtype.is_float() {
            let (mut at, limit, step) = (float(start)?, float(limit)?, float(step)?);
            let count = ((limit - at) / step).ceil().max(0.0);
            ensure!(count.is_finite(), "a range in steps of {step}");
            let mut out = Vec::with_capacity(count as usize);
            for _ in 0..count as usize {
                out.push(at);
                // Steps add up in the type itself.
                at = if dtype == DatumType::F32 { f64::from(at as f32 + step as f32) } else { at + step };
            }
            return Ok(tensor1(&out).cast_to_dt(dtype)?.into_owned());
        }
        let (start, limit, step) = (integer(start)?, integer(limit)?, integer(step)?);
        ensure!(step != 0, "a range in steps of 0");
        let span = if step > 0 { limit.saturating_sub(start) } else { start.saturating_sub(limit) };
        let count = ceil_div(span.max(0), step);
        let out: Vec<i64> = (0..count).map(|i| start + i * step).collect();
        Ok(tensor1(&out).cast_to_dt(dtype)?.into_owned())
    }
    let shape = |k: &[Known]| {
        let v: Vec<&Tensor> = k.iter().filter_map(|k| k.value.as_deref()).collect();
        let t = made(v[0], v[1], v[2])?;
        Ok((t.datum_type(), t.shape().into()))
    };
    Own::new("Range", shape, |v| made(&v[0], &v[1], &v[2])).wanting(0..3).built()
}

pub(super) fn constant_of_shape(ctx: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let value = match node.find("value").and_then(|a| a.t.as_ref()) {
        Some(t) => ctx.load_tensor(t)?,
        None => tensor0(0f32),
    };
    ensure!(value.len() == 1, "the value of ConstantOfShape has {} elements", value.len());
    let value = value.into_shape(&[])?;
    let dtype = value.datum_type();
    let dims = |t: &Tensor| {
        integers(t)?.into_iter().map(|d| usize::try_from(d).map_err(|_| format_err!("dimension {d}"))).collect::<TractResult<TVec<usize>>>()
    };
    let shape = move |k: &[Known]| Ok((dtype, dims(k[0].value.as_deref().context("a shape")?)?));
    Own::new("ConstantOfShape", shape, move |v| value.broadcast_to_shape(&dims(&v[0])?)).wanting([0]).built()
}

/// tract reads 64-bit integers as dimensions, whose largest values have a meaning of their own; here they stay integers.
#[derive(Debug, Clone)]
struct CastTo(DatumType);

pub(super) fn cast(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let to = match node.integer("to").context("Cast has no 'to'")? {
        1 => DatumType::F32,
        2 => DatumType::U8,
        3 => DatumType::I8,
        4 => DatumType::U16,
        5 => DatumType::I16,
        6 => DatumType::I32,
        7 => DatumType::I64,
        9 => DatumType::Bool,
        10 => DatumType::F16,
        11 => DatumType::F64,
        12 => DatumType::U32,
        13 => DatumType::U64,
        other => bail!("casting to element type {other} is not supported"),
    };
    Ok((expand(CastTo(to)), vec![]))
}

impl Expansion for CastTo {
    fn name(&self) -> StaticName {
        "Cast".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(&'s self, s: &mut Solver<'r>, inputs: &'p [TensorProxy], outputs: &'p [TensorProxy]) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        s.given(&inputs[0].datum_type, move |s, from| s.equals(&outputs[0].datum_type, self.target(from)))?;
        s.equals(&outputs[0].shape, &inputs[0].shape)
    }

    fn wire(&self, name: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let to = self.target(model.outlet_fact(inputs[0])?.datum_type);
        model.wire_node(name, wire_to(to), inputs)
    }
}

impl CastTo {
    fn target(&self, from: DatumType) -> DatumType {
        // A dimension is an integer already.
        if from == TDim::datum_type() && self.0 == DatumType::I64 { from } else { self.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_follow_the_specification_at_their_edges() {
        let one = |dim: usize, start: i64, end: i64, step: i64| {
            let cut = cuts(&[dim], &[start], &[end], None, Some(&[step])).unwrap()[0];
            (0..cut.length as i64).map(|i| cut.start as i64 + i * step).collect::<Vec<_>>()
        };
        assert_eq!(one(5, 0, i64::MAX, 2), [0, 2, 4]);
        assert_eq!(one(5, -1, i64::MIN, -1), [4, 3, 2, 1, 0]);
        assert_eq!(one(5, 4, 0, -2), [4, 2]);
        assert_eq!(one(5, 3, 1, 1), Vec::<i64>::new());
        assert_eq!(one(5, 9, 12, 1), Vec::<i64>::new());
        assert_eq!(one(5, -9, -3, 1), [0, 1]);
        assert_eq!(one(5, -9, i64::MIN, -1), [0]);
        assert_eq!(one(0, 0, 5, 1), Vec::<i64>::new());
        assert_eq!(one(0, 0, i64::MIN, -1), Vec::<i64>::new());
        assert!(cuts(&[5], &[0], &[1], None, Some(&[0])).is_err());
        assert!(cuts(&[5], &[0], &[1], Some(&[1]), None).is_err());
    }
}
