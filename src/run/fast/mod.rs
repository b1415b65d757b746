//! Own operators for what tract does slowly: convolutions, products with constant matrices and max pooling, in single precision, with
//! what follows them done before the result is written.

mod conv;
mod gemm;
mod ops;
mod planes;
pub(super) mod simd;
mod tail;

use gemm::{Columns, Packed};
use ops::{Convolution, Linear, Planes, Weights};
use planes::{Axis, Clamp, Window};
use tail::Tail;
use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat, MaxPool, PoolSpec};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::nn::DataFormat;
use tract_onnx::tract_hir::internal::*;

/// Multiplications of the largest product that we take over. Without optimisation our loops are slower than tract's assembly; small
/// products still take them then, so that tests see them.
const LARGEST: usize = if cfg!(debug_assertions) { 100_000 } else { usize::MAX };

/// An operator in place of a node and its tail.
struct Replacement {
    op: Box<dyn TypedOp>,
    inputs: TVec<OutletId>,
    /// The node whose output the operator makes.
    last: usize,
}

/// Puts our operators into a decluttered model.
///
/// # Errors
/// When a patch contradicts the model.
pub(super) fn install(model: &mut TypedModel) -> TractResult<()> {
    let mut changed = false;
    for id in model.eval_order()? {
        let node = model.node(id).clone();
        let found = if let Some(conv) = node.op_as::<Conv>() {
            if conv.group == 1 { convolution(model, &node, conv)? } else { depthwise(model, &node, conv)? }
        } else if let Some(sum) = node.op_as::<EinSum>() {
            product(model, &node, sum)?
        } else if let Some(pool) = node.op_as::<MaxPool>().filter(|p| p.with_index_outputs.is_none()) {
            max_pool(model, &node, pool)?
        } else {
            None
        };
        let Some(Replacement { op, inputs, last }) = found else { continue };
        let mut patch = TypedModelPatch::default();
        let inputs: TVec<_> = inputs.iter().map(|i| patch.tap_model(model, *i)).collect::<TractResult<_>>()?;
        let y = patch.wire_node(format!("{}\u{1}own", node.name), op, &inputs)?[0];
        patch.shunt_outside(model, last.into(), y)?;
        patch.apply(model)?;
        changed = true;
    }
    if changed {
        model.compact()?;
    }
    Ok(())
}

/// Shapes of a node's first input and its output, both in single precision.
fn shapes(model: &TypedModel, node: &TypedNode, input: OutletId) -> Option<(TVec<usize>, TVec<usize>)> {
    let (i, o) = (model.outlet_fact(input).ok()?, model.outlet_fact(node.id.into()).ok()?);
    if i.datum_type != f32::datum_type() || o.datum_type != f32::datum_type() || node.outputs.len() != 1 {
        return None;
    }
    let (i, o) = (i.shape.as_concrete()?, o.shape.as_concrete()?);
    (!i.contains(&0) && !o.contains(&0)).then(|| (i.into(), o.into()))
}

/// A constant in single precision.
fn floats(model: &TypedModel, outlet: OutletId) -> Option<Arc<Tensor>> {
    let constant = model.outlet_fact(outlet).ok()?.konst.clone()?;
    (constant.datum_type() == f32::datum_type() && constant.is_plain_ram()).then_some(constant)
}

/// The window of a pool or convolution over planes of floats.
fn window(model: &TypedModel, node: &TypedNode, spec: &PoolSpec) -> Option<(Window, TVec<usize>)> {
    let (i, o) = shapes(model, node, node.inputs[0])?;
    let (rank, rank_out) = (i.len(), o.len());
    if !matches!(spec.data_format, DataFormat::NCHW | DataFormat::CHW) || spec.kernel_shape.len() != 2 || rank < 3 || rank_out != rank {
        return None;
    }
    let padding = spec.computed_padding(&i[rank - 2..]);
    let axis = |at: usize| Axis {
        input: i[rank - 2 + at],
        output: o[rank_out - 2 + at],
        kernel: spec.kernel_shape[at],
        stride: spec.stride(at),
        dilation: spec.dilation(at),
        pad: padding[at].pad_before,
    };
    let window = Window { y: axis(0), x: axis(1) };
    // Strange ones are better left alone: their phases would be large and empty.
    let sensible = |a: &Axis| a.kernel <= 64 && a.stride <= 16 && a.dilation <= 64 && a.pad <= a.kernel * a.dilation;
    (sensible(&window.y) && sensible(&window.x)).then_some((window, o))
}

fn max_pool(model: &TypedModel, node: &TypedNode, pool: &MaxPool) -> TractResult<Option<Replacement>> {
    let Some((window, output)) = window(model, node, &pool.pool_spec) else { return Ok(None) };
    let op = Planes { window, output, clamp: Clamp::NONE, weights: None };
    Ok(Some(Replacement { op: Box::new(op), inputs: tvec![node.inputs[0]], last: node.id }))
}

/// Kernel and bias of a plain convolution in single precision, with the window.
#[allow(clippy::type_complexity)]
fn parts(model: &TypedModel, node: &TypedNode, conv: &Conv) -> Option<(Window, TVec<usize>, Arc<Tensor>, Vec<f32>)> {
    if conv.q_params.is_some() || conv.kernel_fmt != KernelFormat::OIHW || node.inputs.len() != 3 {
        return None;
    }
    let (window, output) = window(model, node, &conv.pool_spec)?;
    let (kernel, bias) = (floats(model, node.inputs[1])?, floats(model, node.inputs[2])?);
    let bias = bias.try_as_plain_ram().ok()?.as_slice::<f32>().ok()?.to_vec();
    (bias.len() == 1 || bias.len() == conv.output_channels()).then_some((window, output, kernel, bias))
}

fn depthwise(model: &TypedModel, node: &TypedNode, conv: &Conv) -> TractResult<Option<Replacement>> {
    let (inputs, outputs) = (conv.input_channels(), conv.output_channels());
    if conv.group != inputs || outputs % inputs != 0 {
        return Ok(None);
    }
    let Some((window, output, kernel, bias)) = parts(model, node, conv) else { return Ok(None) };
    let tail = Tail::of(model, node.id, output.len() - 3, outputs, false);
    let taps = window.y.kernel * window.x.kernel;
    let plain = kernel.try_as_plain_ram()?;
    let kernel = plain.as_slice::<f32>()?.iter().enumerate().map(|(i, w)| w * tail.factors[i / taps]).collect();
    let weights = Weights { kernel, bias: tail.bias(&bias), channels: inputs, multiplier: outputs / inputs };
    let op = Planes { window, output, clamp: tail.clamp, weights: Some(Arc::new(weights)) };
    Ok(Some(Replacement { op: Box::new(op), inputs: tvec![node.inputs[0]], last: tail.last }))
}

fn convolution(model: &TypedModel, node: &TypedNode, conv: &Conv) -> TractResult<Option<Replacement>> {
    let Some((window, output, kernel, bias)) = parts(model, node, conv) else { return Ok(None) };
    let (channels, outputs) = (conv.input_channels(), conv.output_channels());
    let depth = channels * window.y.kernel * window.x.kernel;
    if depth * output.iter().product::<usize>() > LARGEST {
        return Ok(None);
    }
    let tail = Tail::of(model, node.id, output.len() - 3, outputs, true);
    let plain = kernel.try_as_plain_ram()?;
    let kernel = plain.as_slice::<f32>()?;
    let weights = Packed::new(outputs, depth, |row, k| kernel[row * depth + k] * tail.factors[row]);
    let op = Convolution { window, output, channels, weights, bias: tail.bias(&bias).into(), clamp: tail.clamp };
    Ok(Some(Replacement { op: Box::new(op), inputs: std::iter::once(node.inputs[0]).chain(tail.added).collect(), last: tail.last }))
}

/// A product with a constant matrix over one axis of a value: a convolution of single elements, or rows times a matrix.
fn product(model: &TypedModel, node: &TypedNode, sum: &EinSum) -> TractResult<Option<Replacement>> {
    if sum.q_params.is_some() || sum.operating_dt != f32::datum_type() || node.inputs.len() != 2 {
        return Ok(None);
    }
    let Some((side, matrix)) = (0..2).find_map(|side| Some((side, floats(model, node.inputs[side])?))) else { return Ok(None) };
    let value = node.inputs[1 - side];
    let Some((i, o)) = shapes(model, node, value) else { return Ok(None) };
    if matrix.rank() != 2 || i.len() != o.len() || i.len() < 2 || model.outlet_fact(value)?.konst.is_some() {
        return Ok(None);
    }
    let Some((axis, in_axis, out_axis)) = contracted(sum, side) else { return Ok(None) };
    let (depth, count) = (matrix.shape()[in_axis], matrix.shape()[out_axis]);
    if depth * o.iter().product::<usize>() > LARGEST {
        return Ok(None);
    }
    let plain = matrix.try_as_plain_ram()?;
    let matrix = plain.as_slice::<f32>()?;
    let at = |out: usize, k: usize| if in_axis == 1 { matrix[out * depth + k] } else { matrix[k * count + out] };
    let inner: usize = i[axis + 1..].iter().product();
    let outer: usize = i[..axis].iter().product();
    let tail = Tail::of(model, node.id, axis, count, true);
    let inputs = std::iter::once(value).chain(tail.added).collect();
    let bias = tail.bias(&[0.0]).into();
    let op: Box<dyn TypedOp> = if inner > 1 {
        let single = Axis { input: 1, output: 1, kernel: 1, stride: 1, dilation: 1, pad: 0 };
        let window = Window { y: single, x: Axis { input: inner, output: inner, ..single } };
        let weights = Packed::new(count, depth, |row, k| at(row, k) * tail.factors[row]);
        Box::new(Convolution { window, output: o, channels: depth, weights, bias, clamp: tail.clamp })
    } else if outer >= gemm::ROWS {
        let weights = Columns::new(count, depth, |k, c| at(c, k) * tail.factors[c]);
        Box::new(Linear { output: o, weights, bias, clamp: tail.clamp })
    } else {
        // A few rows read the whole matrix for little work; tract does that well.
        return Ok(None);
    };
    Ok(Some(Replacement { op, inputs, last: tail.last }))
}

/// Where a sum contracts one axis of a value with a matrix (input `side`) and puts the matrix's other axis in its place: that axis, and the
/// matrix's axes of the input and of the output. All other axes must stay where they are.
fn contracted(sum: &EinSum, side: usize) -> Option<(usize, usize, usize)> {
    let (mut from, mut to) = (None, None);
    for axis in sum.axes.iter_all_axes() {
        let (value, matrix, output) = (&axis.inputs[1 - side], &axis.inputs[side], &axis.outputs[0]);
        match (&value[..], &matrix[..], &output[..]) {
            ([v], [], [o]) if v == o => {}
            ([v], [m], []) if from.is_none() => from = Some((*v, *m)),
            ([], [m], [o]) if to.is_none() => to = Some((*o, *m)),
            _ => return None,
        }
    }
    let ((axis, in_axis), (place, out_axis)) = (from?, to?);
    (axis == place && in_axis != out_axis).then_some((axis, in_axis, out_axis))
}
