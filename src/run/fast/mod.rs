//! Own operators for what tract does slowly: depthwise convolution, with the limits put on its outputs, and max pooling.

mod planes;
pub(super) mod simd;

use planes::{Axis, Clamp, Kind, Slide, Window};
use std::sync::Arc;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat, MaxPool, PoolSpec};
use tract_onnx::tract_core::ops::math::{Max, Min};
use tract_onnx::tract_core::ops::nn::DataFormat;
use tract_onnx::tract_hir::internal::*;

/// A window that slides over the planes of a value `[..., channels, height, width]`.
#[derive(Debug, Clone)]
struct Planes {
    window: Window,
    output: TVec<usize>,
    clamp: Clamp,
    weights: Option<Weights>,
}

/// A depthwise convolution's constants.
#[derive(Debug, Clone)]
struct Weights {
    kernel: Arc<Tensor>,
    bias: Arc<Tensor>,
    channels: usize,
    multiplier: usize,
}

impl PartialEq for Planes {
    fn eq(&self, other: &Self) -> bool {
        let same = |a: &Weights, b: &Weights| Arc::ptr_eq(&a.kernel, &b.kernel) && Arc::ptr_eq(&a.bias, &b.bias);
        let weights = match (&self.weights, &other.weights) {
            (Some(a), Some(b)) => same(a, b),
            (None, None) => true,
            _ => false,
        };
        weights && self.window == other.window && self.output == other.output && self.clamp == other.clamp
    }
}
impl Eq for Planes {}

impl Op for Planes {
    fn name(&self) -> StaticName {
        if self.weights.is_some() { "OwnDepthwise" } else { "OwnMaxPool" }.into()
    }
    op_as_typed_op!();
}

impl EvalOp for Planes {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut output = Tensor::zero::<f32>(&self.output)?;
        let (plain, mut to) = (inputs[0].try_as_plain_ram()?, output.try_as_plain_ram_mut()?);
        let (input, to) = (plain.as_slice::<f32>()?, to.as_slice_mut::<f32>()?);
        let (window, clamp) = (self.window, self.clamp);
        match &self.weights {
            Some(w) => {
                let (kernel, bias) = (w.kernel.try_as_plain_ram()?, w.bias.try_as_plain_ram()?);
                let kind =
                    Kind::Weigh { weights: kernel.as_slice()?, bias: bias.as_slice()?, channels: w.channels, multiplier: w.multiplier };
                Slide { window, kind, clamp, input, output: to }.run();
            }
            None => Slide { window, kind: Kind::Max, clamp, input, output: to }.run(),
        }
        Ok(tvec![output.into_tvalue()])
    }
}

impl TypedOp for Planes {
    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec![f32::fact(&self.output)])
    }
    as_op!();
}

/// Puts our operators into a decluttered model.
///
/// # Errors
/// When a patch contradicts the model.
pub(super) fn install(model: &mut TypedModel) -> TractResult<()> {
    let mut changed = false;
    for id in model.eval_order()? {
        let node = model.node(id).clone();
        let mut last = id;
        let planes = match (node.op_as::<Conv>(), node.op_as::<MaxPool>()) {
            (Some(conv), _) => depthwise(model, &node, conv)?.map(|mut planes| {
                (planes.clamp, last) = limits(model, id);
                planes
            }),
            (_, Some(pool)) if pool.with_index_outputs.is_none() => over_planes(model, &node, &pool.pool_spec)?,
            _ => None,
        };
        let Some(planes) = planes else { continue };
        let mut patch = TypedModelPatch::default();
        let x = patch.tap_model(model, node.inputs[0])?;
        let y = patch.wire_node(format!("{}\u{1}own", node.name), planes, &[x])?[0];
        patch.shunt_outside(model, last.into(), y)?;
        patch.apply(model)?;
        changed = true;
    }
    if changed {
        model.compact()?;
    }
    Ok(())
}

/// The window of a pool or convolution, where we can slide it.
fn over_planes(model: &TypedModel, node: &TypedNode, spec: &PoolSpec) -> TractResult<Option<Planes>> {
    let (input, output) = (model.outlet_fact(node.inputs[0])?, model.outlet_fact(node.id.into())?);
    let rows_of_floats = input.datum_type == f32::datum_type() && matches!(spec.data_format, DataFormat::NCHW | DataFormat::CHW);
    let (Some(i), Some(o)) = (input.shape.as_concrete(), output.shape.as_concrete()) else { return Ok(None) };
    let (rank, rank_out) = (i.len(), o.len());
    if !rows_of_floats
        || spec.kernel_shape.len() != 2
        || rank < 3
        || rank_out < 3
        || node.outputs.len() != 1
        || o.contains(&0)
        || i.contains(&0)
    {
        return Ok(None);
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
    // A window over everything is better served row by row.
    let sensible = |a: &Axis| a.kernel <= 64 && a.stride <= 16 && a.dilation <= 64 && a.pad <= a.kernel * a.dilation;
    Ok((sensible(&window.y) && sensible(&window.x)).then(|| Planes { window, output: o.into(), clamp: Clamp::NONE, weights: None }))
}

fn depthwise(model: &TypedModel, node: &TypedNode, conv: &Conv) -> TractResult<Option<Planes>> {
    let (inputs, outputs) = (conv.input_channels(), conv.output_channels());
    if conv.group < 2 || conv.group != inputs || outputs % inputs != 0 || conv.q_params.is_some() || conv.kernel_fmt != KernelFormat::OIHW {
        return Ok(None);
    }
    let constant = |slot: usize| Ok(model.outlet_fact(node.inputs[slot])?.konst.clone()) as TractResult<Option<Arc<Tensor>>>;
    let (Some(kernel), Some(bias)) = (constant(1)?, constant(2)?) else { return Ok(None) };
    let floats = |t: &Tensor| t.datum_type() == f32::datum_type() && t.is_plain_ram();
    if !floats(&kernel) || !floats(&bias) || !(bias.len() == 1 || bias.len() == outputs) {
        return Ok(None);
    }
    let planes = over_planes(model, node, &conv.pool_spec)?;
    let weights = Weights { kernel, bias, channels: inputs, multiplier: outputs / inputs };
    Ok(planes.map(|p| Planes { weights: Some(weights), ..p }))
}

/// Limits put on a node's only output by the maxima and minima that follow it, and the last of these.
fn limits(model: &TypedModel, id: usize) -> (Clamp, usize) {
    let (mut clamp, mut last) = (Clamp::NONE, id);
    loop {
        let outlet = OutletId::from(last);
        let alone = model.output_outlets().is_ok_and(|o| !o.contains(&outlet));
        let next = model.single_succ(last).ok().flatten().filter(|_| alone);
        let Some((next, op)) = next.and_then(|n| Some((n, n.op_as::<TypedBinOp>()?))) else { return (clamp, last) };
        let constant = |i: &OutletId| model.outlet_fact(*i).ok()?.konst.as_ref()?.as_uniform()?.cast_to_scalar::<f32>().ok();
        let Some(limit) = next.inputs.iter().find_map(constant).filter(|v| !v.is_nan()) else { return (clamp, last) };
        let same_shape = model.outlet_fact(next.id.into()).is_ok_and(|a| model.outlet_fact(last.into()).is_ok_and(|b| a.shape == b.shape));
        // The later limit wins where they cross.
        if op.0.is::<Max>() && same_shape {
            clamp = Clamp { low: clamp.low.max(limit), high: clamp.high.max(limit) };
        } else if op.0.is::<Min>() && same_shape {
            clamp = Clamp { low: clamp.low.min(limit), high: clamp.high.min(limit) };
        } else {
            return (clamp, last);
        }
        last = next.id;
    }
}
