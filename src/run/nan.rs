//! Keeps NaN alive through operators whose kernels lose it.
//!
//! tract's maxima, minima, sigmoid and tanh turn NaN into a number, and a debugger that does so hides what it is asked to find.
//! After optimisation these operators are wrapped: values without NaN take tract's kernel as before; the others take a slow path.

use super::fast::simd::{self, Task};
use tract_onnx::tract_core::broadcast::multi_broadcast;
use tract_onnx::tract_core::ops::binary::{BinMiniOp, OptBinByScalar, OptBinChain, OptBinChainStep, OptBinUnicast, TypedBinOp};
use tract_onnx::tract_core::ops::cnn::{MaxPool, OptMaxPool};
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::math::{Max, Min};
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};
use tract_onnx::tract_hir::internal::*;

/// How NaN is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Keep {
    /// Elements that were NaN are NaN again.
    Elements,
    /// An output is NaN where an input under its window or axis was; the operator picks the largest value.
    Largest,
    /// The same for the smallest.
    Smallest,
    /// The larger, or smaller, of two values.
    Pair(Side),
    /// Steps one after the other, some of them of [`Side`].
    Chain(Vec<(Option<Side>, Step)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Max,
    Min,
}

/// A step of a chain that is no maximum or minimum.
#[derive(Debug, Clone)]
struct Step(Box<dyn BinMiniOp>);

impl PartialEq for Step {
    fn eq(&self, other: &Self) -> bool {
        *self.0 == *other.0
    }
}
impl Eq for Step {}

/// Wraps what loses NaN.
pub(super) fn keep(model: &mut TypedModel) {
    for node in model.nodes_mut() {
        let float = node.outputs.first().is_some_and(|o| o.fact.datum_type.is_float());
        if let Some(keep) = how(&*node.op).filter(|_| float) {
            let inner = node.op.clone();
            node.op = Box::new(Kept { inner, keep });
        }
    }
}

fn side(op: &dyn BinMiniOp) -> Option<Side> {
    if op.is::<Max>() {
        Some(Side::Max)
    } else if op.is::<Min>() {
        Some(Side::Min)
    } else {
        None
    }
}

fn how(op: &dyn TypedOp) -> Option<Keep> {
    let op = op.as_op();
    if let Some(op) = op.downcast_ref::<TypedBinOp>() {
        return side(&*op.0).map(Keep::Pair);
    }
    if let Some(op) = op.downcast_ref::<OptBinByScalar>() {
        return side(&*op.binop).map(Keep::Pair);
    }
    if let Some(op) = op.downcast_ref::<OptBinUnicast>() {
        return side(&*op.binop).map(Keep::Pair);
    }
    if let Some(op) = op.downcast_ref::<OptBinChain>() {
        let step = |s: &OptBinChainStep| (side(&*s.binop), Step(s.binop.clone()));
        let steps: Vec<_> = op.steps.iter().map(step).collect();
        return steps.iter().any(|(side, _)| side.is_some()).then_some(Keep::Chain(steps));
    }
    if op.is::<ElementWiseOp>() {
        return Some(Keep::Elements);
    }
    if let Some(op) = op.downcast_ref::<Reduce>() {
        return match op.reducer {
            Reducer::Max => Some(Keep::Largest),
            Reducer::Min => Some(Keep::Smallest),
            _ => None,
        };
    }
    // Where a pool's maxima lie is left as it is.
    let pool = op.downcast_ref::<MaxPool>().is_some_and(|p| p.with_index_outputs.is_none());
    let pool = pool || op.downcast_ref::<OptMaxPool>().is_some_and(|p| p.with_index_outputs.is_none());
    pool.then_some(Keep::Largest)
}

/// An operator that would lose NaN.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    inner: Box<dyn TypedOp>,
    keep: Keep,
}

impl Op for Kept {
    fn name(&self) -> StaticName {
        self.inner.name()
    }
    fn info(&self) -> TractResult<Vec<String>> {
        self.inner.info()
    }
    op_as_typed_op!();
}

impl EvalOp for Kept {
    fn eval_out_of_plan(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        Ok(Some(self.eval(&EvalContext::out_of_plan(), inputs)?))
    }

    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        // Sums and products of ordinary numbers make no NaN on the way through a chain.
        let limit = if matches!(self.keep, Keep::Chain(_)) { 1e18 } else { f32::INFINITY };
        if inputs.iter().all(|v| within(v, limit)) {
            return self.inner.eval(ctx, inputs);
        }
        let out = match &self.keep {
            Keep::Elements => {
                let mut out = self.inner.eval(ctx, inputs.clone())?.remove(0).into_tensor();
                let nan = nan_at(&inputs[0])?;
                poison(&mut out, |i| nan[i])?;
                out
            }
            Keep::Largest => self.picked(ctx, &inputs[0], 1.0)?,
            Keep::Smallest => self.picked(ctx, &inputs[0], -1.0)?,
            Keep::Pair(side) => extreme(*side, &inputs[0], &inputs[1])?,
            Keep::Chain(steps) => {
                let mut inputs = inputs.into_iter();
                let mut out = inputs.next().context("a chain without a value")?.into_tensor();
                for ((side, step), b) in steps.iter().zip(inputs) {
                    let dtype = out.datum_type();
                    out = match side {
                        Some(side) => extreme(*side, &out, &b)?,
                        None => step.0.eval(out.into_tvalue(), b, dtype)?,
                    };
                }
                out
            }
        };
        Ok(tvec![out.into_tvalue()])
    }

    fn state(&self, ctx: &EvalContext) -> TractResult<Option<Box<dyn OpState>>> {
        self.inner.state(ctx)
    }
}

impl TypedOp for Kept {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.inner.output_facts(inputs)
    }
    as_op!();
}

impl Kept {
    /// What an operator that picks the largest (`mark` 1) or smallest (-1) value gives, with NaN where it saw one.
    fn picked(&self, ctx: &EvalContext, x: &Tensor, mark: f32) -> TractResult<Tensor> {
        let dtype = x.datum_type();
        let nan = nan_at(x)?;
        let replaced = |with: f32, other: Option<f32>| {
            let mut t = x.cast_to::<f32>()?.into_owned();
            for (v, nan) in t.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?.iter_mut().zip(&nan) {
                *v = if *nan { with } else { other.unwrap_or(*v) };
            }
            Ok(t.cast_to_dt(dtype)?.into_owned().into_tvalue()) as TractResult<TValue>
        };
        let without = replaced(-mark * f32::INFINITY, None)?;
        let mut out = self.inner.eval(ctx, tvec![without])?.remove(0).into_tensor();
        let marks = self.inner.eval(ctx, tvec![replaced(mark, Some(0.0))?])?.remove(0);
        let marks = marks.cast_to::<f32>()?;
        let plain = marks.try_as_plain_ram()?;
        let marks = plain.as_slice::<f32>()?;
        poison(&mut out, |i| marks[i] == mark)?;
        Ok(out)
    }
}

/// Largest magnitude, as bits: they order like the numbers, with NaN on top.
struct Largest<'a>(&'a [f32]);

impl Task for Largest<'_> {
    type Out = u32;
    #[inline(always)]
    fn run<const FMA: bool>(self) -> u32 {
        self.0.iter().fold(0, |most, v| most.max(v.to_bits() & 0x7fff_ffff))
    }
}

/// Whether no element is NaN or larger than `limit`.
fn within(x: &Tensor, limit: f32) -> bool {
    let Ok(plain) = x.try_as_plain_ram() else { return false };
    if let Ok(x) = plain.as_slice::<f32>() {
        return simd::run(Largest(x)) <= limit.to_bits();
    }
    x.cast_to::<f32>()
        .is_ok_and(|x| x.try_as_plain_ram().is_ok_and(|p| p.as_slice::<f32>().is_ok_and(|x| simd::run(Largest(x)) <= limit.to_bits())))
}

fn nan_at(x: &Tensor) -> TractResult<Vec<bool>> {
    Ok(x.cast_to::<f32>()?.try_as_plain_ram()?.as_slice::<f32>()?.iter().map(|v| v.is_nan()).collect())
}

/// Makes elements NaN.
fn poison(x: &mut Tensor, at: impl Fn(usize) -> bool) -> TractResult<()> {
    let dtype = x.datum_type();
    let mut floats = x.cast_to::<f32>()?.into_owned();
    for (i, v) in floats.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?.iter_mut().enumerate() {
        if at(i) {
            *v = f32::NAN;
        }
    }
    *x = floats.cast_to_dt(dtype)?.into_owned();
    Ok(())
}

/// The larger or smaller of two values that broadcast; NaN where either is.
fn extreme(side: Side, a: &Tensor, b: &Tensor) -> TractResult<Tensor> {
    let dtype = a.datum_type();
    let shape = multi_broadcast(&[a.shape(), b.shape()])?;
    let (a, b) = (a.cast_to::<f64>()?.broadcast_to_shape(&shape)?, b.cast_to::<f64>()?.broadcast_to_shape(&shape)?);
    let mut out = a;
    let other = b.try_as_plain_ram()?;
    for (a, b) in out.try_as_plain_ram_mut()?.as_slice_mut::<f64>()?.iter_mut().zip(other.as_slice::<f64>()?) {
        let other = match side {
            Side::Max => *b > *a,
            Side::Min => *b < *a,
        };
        if b.is_nan() || (other && !a.is_nan()) {
            *a = *b;
        }
    }
    Ok(out.cast_to_dt(dtype)?.into_owned())
}
