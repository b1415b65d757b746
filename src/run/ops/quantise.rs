//! QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear, in floats as the specification has them.
//!
//! tract's own are fused into integer convolutions and products, and its plans then differ from the graph's meaning in some models.

use super::attr::Attributes;
use super::own::{Known, Own};
use crate::run::fast::simd::{self, Task};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// Which parameter belongs to which element.
#[derive(Debug, Clone, Copy)]
struct Layout {
    /// Elements in a row that share a parameter.
    run: usize,
    /// Rows until the parameters start over.
    parameters: usize,
    /// Elements along the axis that share one parameter, in blocked quantisation; else `None`.
    block: Option<usize>,
    /// Elements along the axis.
    axis: usize,
}

impl Layout {
    fn new(shape: &[usize], parameters: &[usize], axis: i64, block: usize) -> TractResult<Self> {
        let count: usize = parameters.iter().product();
        if count == 1 {
            return Ok(Self { run: shape.iter().product::<usize>().max(1), parameters: 1, block: None, axis: 1 });
        }
        let rank = shape.len() as i64;
        let axis = if axis < 0 { axis + rank } else { axis };
        ensure!((0..rank).contains(&axis), "axis {axis} is out of range");
        let at = axis as usize;
        let run = shape[at + 1..].iter().product();
        if block > 0 {
            let mut wanted = shape.to_vec();
            wanted[at] = shape[at].div_ceil(block);
            ensure!(parameters == wanted, "scales of shape {parameters:?} do not fit blocks of {block}: {wanted:?} would");
            return Ok(Self { run, parameters: count, block: Some(block), axis: shape[at] });
        }
        ensure!(count == shape[at], "{count} scales for an axis of {}", shape[at]);
        Ok(Self { run, parameters: count, block: None, axis: shape[at] })
    }

    /// The parameter of the `row`th run, and of element `i` in it.
    fn of(&self, row: usize, i: usize) -> usize {
        let Some(block) = self.block else { return row % self.parameters };
        let blocks = self.axis.div_ceil(block);
        let (outer, along) = (row / self.axis, row % self.axis);
        ((outer * blocks + along / block) * self.run + i) % self.parameters
    }
}

/// Integers that floats are quantised to.
trait Quantised: Datum + Copy {
    const LOWEST: f32;
    const HIGHEST: f32;
    fn of(v: f32) -> Self;
    fn float(self) -> f32;
}

macro_rules! quantised { ($($t:ty),*) => { $(
    impl Quantised for $t {
        const LOWEST: f32 = <$t>::MIN as f32;
        const HIGHEST: f32 = <$t>::MAX as f32;
        #[inline(always)]
        fn of(v: f32) -> Self { v as i32 as $t }
        #[inline(always)]
        fn float(self) -> f32 { self as f32 }
    }
)* }; }
quantised!(u8, i8, u16, i16);

/// One run of elements with one scale and zero point.
struct Quantise<'a, T> {
    from: &'a [f32],
    to: &'a mut [T],
    scale: f32,
    zero: f32,
}

impl<T: Quantised> Task for Quantise<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for (to, v) in self.to.iter_mut().zip(self.from) {
            // The zero point is added after rounding; both are whole, so that the sum is exact.
            let v = (v / self.scale).round_ties_even() + self.zero;
            let v = if v < T::LOWEST { T::LOWEST } else { v };
            *to = T::of(if v > T::HIGHEST { T::HIGHEST } else { v });
        }
    }
}

struct Dequantise<'a, T> {
    from: &'a [T],
    to: &'a mut [f32],
    scale: f32,
    zero: f32,
}

impl<T: Quantised> Task for Dequantise<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for (to, v) in self.to.iter_mut().zip(self.from) {
            *to = (v.float() - self.zero) * self.scale;
        }
    }
}

fn quantise_as<T: Quantised>(x: &[f32], shape: &[usize], scales: &[f32], zeros: &[f32], layout: Layout) -> TractResult<Tensor> {
    let mut out = Tensor::zero_dt(T::datum_type(), shape)?;
    let mut plain = out.try_as_plain_ram_mut()?;
    let to = plain.as_slice_mut::<T>()?;
    for (row, (from, to)) in x.chunks(layout.run.max(1)).zip(to.chunks_mut(layout.run.max(1))).enumerate() {
        if layout.block.is_none() {
            let at = layout.of(row, 0);
            simd::run(Quantise { from, to, scale: scales[at], zero: zeros[at] });
        } else {
            for (i, (from, to)) in from.chunks(1).zip(to.chunks_mut(1)).enumerate() {
                let at = layout.of(row, i);
                Quantise { from, to, scale: scales[at], zero: zeros[at] }.run::<false>();
            }
        }
    }
    Ok(out)
}

fn dequantise_from<T: Quantised>(x: &[T], shape: &[usize], scales: &[f32], zeros: &[f32], layout: Layout) -> TractResult<Tensor> {
    let mut out = Tensor::zero::<f32>(shape)?;
    let mut plain = out.try_as_plain_ram_mut()?;
    let to = plain.as_slice_mut::<f32>()?;
    for (row, (from, to)) in x.chunks(layout.run.max(1)).zip(to.chunks_mut(layout.run.max(1))).enumerate() {
        if layout.block.is_none() {
            let at = layout.of(row, 0);
            simd::run(Dequantise { from, to, scale: scales[at], zero: zeros[at] });
        } else {
            for (i, (from, to)) in from.chunks(1).zip(to.chunks_mut(1)).enumerate() {
                let at = layout.of(row, i);
                Dequantise { from, to, scale: scales[at], zero: zeros[at] }.run::<false>();
            }
        }
    }
    Ok(out)
}

/// Scales and zero points as floats, and which element has which.
fn parameters(inputs: &[TValue], axis: i64, block: usize) -> TractResult<(Vec<f32>, Vec<f32>, Layout)> {
    let floats = |t: &TValue| Ok(t.cast_to::<f32>()?.try_as_plain_ram()?.as_slice::<f32>()?.to_vec()) as TractResult<Vec<f32>>;
    let scales = floats(&inputs[1])?;
    let zeros = inputs.get(2).map_or_else(|| Ok(vec![0.0; scales.len()]), floats)?;
    ensure!(zeros.len() == scales.len(), "{} scales and {} zero points", scales.len(), zeros.len());
    let layout = Layout::new(inputs[0].shape(), inputs[1].shape(), axis, block)?;
    Ok((scales, zeros, layout))
}

pub(super) fn quantize_linear(_: &ParsingContext<'_>, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let (axis, block) = (node.integer("axis").unwrap_or(1), node.integer("block_size").unwrap_or(0) as usize);
    let asked = match node.integer("output_dtype").unwrap_or(0) {
        0 => None,
        2 => Some(DatumType::U8),
        3 => Some(DatumType::I8),
        4 => Some(DatumType::U16),
        5 => Some(DatumType::I16),
        other => bail!("quantising to element type {other} is not supported"),
    };
    let dtype = move |zero: Option<DatumType>| zero.or(asked).unwrap_or(DatumType::U8);
    let shape = move |k: &[Known]| {
        let dtype = dtype(k.get(2).map(|z| z.dtype));
        ensure!(
            matches!(dtype, DatumType::U8 | DatumType::I8 | DatumType::U16 | DatumType::I16),
            "quantising to {dtype:?} is not supported"
        );
        ensure!(k[0].dtype.is_float(), "QuantizeLinear of {:?} is not supported", k[0].dtype);
        Ok((dtype, k[0].shape.clone()))
    };
    let value = move |v: &[TValue]| {
        let (scales, zeros, layout) = parameters(v, axis, block)?;
        let x = v[0].cast_to::<f32>()?;
        let plain = x.try_as_plain_ram()?;
        let (x, shape) = (plain.as_slice::<f32>()?, v[0].shape());
        match dtype(v.get(2).map(|z| z.datum_type())) {
            DatumType::I8 => quantise_as::<i8>(x, shape, &scales, &zeros, layout),
            DatumType::U16 => quantise_as::<u16>(x, shape, &scales, &zeros, layout),
            DatumType::I16 => quantise_as::<i16>(x, shape, &scales, &zeros, layout),
            _ => quantise_as::<u8>(x, shape, &scales, &zeros, layout),
        }
    };
    Own::new("QuantizeLinear", shape, value).built()
}

pub(super) fn dequantize_linear(_: &ParsingContext<'_>, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let (axis, block) = (node.integer("axis").unwrap_or(1), node.integer("block_size").unwrap_or(0) as usize);
    let shape = move |k: &[Known]| Ok((k[1].dtype, k[0].shape.clone()));
    let value = move |v: &[TValue]| {
        let (scales, zeros, layout) = parameters(v, axis, block)?;
        let (plain, shape) = (v[0].try_as_plain_ram()?, v[0].shape());
        let out = match v[0].datum_type() {
            DatumType::U8 => dequantise_from(plain.as_slice::<u8>()?, shape, &scales, &zeros, layout),
            DatumType::I8 => dequantise_from(plain.as_slice::<i8>()?, shape, &scales, &zeros, layout),
            DatumType::U16 => dequantise_from(plain.as_slice::<u16>()?, shape, &scales, &zeros, layout),
            DatumType::I16 => dequantise_from(plain.as_slice::<i16>()?, shape, &scales, &zeros, layout),
            DatumType::I32 => {
                // Biases: their zero point is nought.
                let mut out = Tensor::zero::<f32>(shape)?;
                let x = plain.as_slice::<i32>()?;
                for (i, (to, v)) in out.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?.iter_mut().zip(x).enumerate() {
                    let at = layout.of(i / layout.run.max(1), i % layout.run.max(1));
                    *to = (f64::from(*v) - f64::from(zeros[at])) as f32 * scales[at];
                }
                Ok(out)
            }
            other => bail!("dequantising {other:?} is not supported"),
        }?;
        Ok(out.cast_to_dt(v[1].datum_type())?.into_owned())
    };
    Own::new("DequantizeLinear", shape, value).built()
}

pub(super) fn dynamic_quantize_linear(_: &ParsingContext<'_>, _: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let shapes = |k: &[Known]| Ok(vec![(DatumType::U8, k[0].shape.clone()), (DatumType::F32, tvec![]), (DatumType::U8, tvec![])]);
    let values = |v: &[TValue]| {
        let plain = v[0].try_as_plain_ram()?;
        let x = plain.as_slice::<f32>()?;
        // The range always holds nought.
        let (low, high) = x.iter().fold((0f32, 0f32), |(l, h), v| (l.min(*v), h.max(*v)));
        let scale = if high == low { 1.0 } else { (high - low) / 255.0 };
        let zero = (-low / scale).clamp(0.0, 255.0).round_ties_even();
        let layout = Layout { run: x.len().max(1), parameters: 1, block: None, axis: 1 };
        let y = quantise_as::<u8>(x, v[0].shape(), &[scale], &[zero], layout)?;
        Ok(vec![y, tensor0(scale), tensor0(zero as u8)])
    };
    Own::many("DynamicQuantizeLinear", 3, shapes, values).built()
}
