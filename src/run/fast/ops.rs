//! Our operators as tract has them.

use super::conv::{Convolve, Multiply};
use super::gemm::{Bias, Columns, Finish, Packed};
use super::planes::{Clamp, Kind, Slide, Window};
use tract_onnx::tract_hir::internal::*;

/// A window that slides over the planes of a value `[..., channels, height, width]`: depthwise convolution, or max pooling.
#[derive(Debug, Clone)]
pub(super) struct Planes {
    pub window: Window,
    pub output: TVec<usize>,
    pub clamp: Clamp,
    pub weights: Option<Arc<Weights>>,
}

/// A depthwise convolution's constants.
#[derive(Debug, Clone)]
pub(super) struct Weights {
    pub kernel: Vec<f32>,
    pub bias: Vec<f32>,
    pub channels: usize,
    pub multiplier: usize,
}

/// A convolution of all channels; a second input, if any, is added.
#[derive(Debug, Clone)]
pub(super) struct Convolution {
    pub window: Window,
    pub output: TVec<usize>,
    pub channels: usize,
    pub weights: Packed,
    pub bias: Arc<[f32]>,
    pub clamp: Clamp,
}

/// Rows times a constant matrix; a second input, if any, is added.
#[derive(Debug, Clone)]
pub(super) struct Linear {
    pub output: TVec<usize>,
    pub weights: Columns,
    pub bias: Arc<[f32]>,
    pub clamp: Clamp,
}

impl PartialEq for Planes {
    fn eq(&self, other: &Self) -> bool {
        let weights = match (&self.weights, &other.weights) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        weights && self.window == other.window && self.output == other.output && self.clamp == other.clamp
    }
}
impl Eq for Planes {}

impl PartialEq for Convolution {
    fn eq(&self, other: &Self) -> bool {
        self.weights.same(&other.weights) && self.window == other.window && self.output == other.output && self.clamp == other.clamp
    }
}
impl Eq for Convolution {}

impl PartialEq for Linear {
    fn eq(&self, other: &Self) -> bool {
        self.weights.same(&other.weights) && self.output == other.output && self.clamp == other.clamp
    }
}
impl Eq for Linear {}

impl Op for Planes {
    fn name(&self) -> StaticName {
        if self.weights.is_some() { "OwnDepthwise" } else { "OwnMaxPool" }.into()
    }
    op_as_typed_op!();
}

impl Op for Convolution {
    fn name(&self) -> StaticName {
        "OwnConv".into()
    }
    op_as_typed_op!();
}

impl Op for Linear {
    fn name(&self) -> StaticName {
        "OwnLinear".into()
    }
    op_as_typed_op!();
}

/// Makes an output of floats from inputs of floats.
fn made(output: &[usize], inputs: &[TValue], make: impl FnOnce(&[f32], Option<&[f32]>, &mut [f32])) -> TractResult<TVec<TValue>> {
    let mut tensor = Tensor::zero::<f32>(output)?;
    let first = inputs[0].try_as_plain_ram()?;
    let second = inputs.get(1).map(|v| v.try_as_plain_ram()).transpose()?;
    let second = second.as_ref().map(|v| v.as_slice::<f32>()).transpose()?;
    make(first.as_slice::<f32>()?, second, tensor.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?);
    Ok(tvec![tensor.into_tvalue()])
}

impl EvalOp for Planes {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (window, clamp) = (self.window, self.clamp);
        made(&self.output, &inputs, |input, _, output| {
            let kind = match &self.weights {
                Some(w) => Kind::Weigh { weights: &w.kernel, bias: &w.bias, channels: w.channels, multiplier: w.multiplier },
                None => Kind::Max,
            };
            Slide { window, kind, clamp, input, output }.run();
        })
    }
}

impl EvalOp for Convolution {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        made(&self.output, &inputs, |input, added, output| {
            let finish = Finish { bias: Bias::Rows(&self.bias), added, clamp: self.clamp };
            Convolve { window: self.window, weights: &self.weights, channels: self.channels, finish, input, output }.run();
        })
    }
}

impl EvalOp for Linear {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        made(&self.output, &inputs, |input, added, output| {
            let finish = Finish { bias: Bias::Columns(&self.bias), added, clamp: self.clamp };
            Multiply { weights: &self.weights, finish, input, output }.run();
        })
    }
}

impl TypedOp for Planes {
    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec![f32::fact(&self.output)])
    }
    as_op!();
}

impl TypedOp for Convolution {
    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec![f32::fact(&self.output)])
    }
    as_op!();
}

impl TypedOp for Linear {
    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec![f32::fact(&self.output)])
    }
    as_op!();
}
