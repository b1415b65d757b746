//! tract's ONNX operators with ours in place of those that it lacks or gets wrong.

mod attr;
mod linear;
mod misc;
mod own;
mod quantise;
mod recurrent;
mod sequence;
mod shape;

use std::sync::LazyLock;
use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// What tract itself has.
static TRACT: LazyLock<Onnx> = LazyLock::new(tract_onnx::onnx);

/// Operators of onnxruntime's domain that tract has under their bare names.
const CONTRIBUTED: [&str; 10] = [
    "BiasGelu",
    "FastGelu",
    "GatherBlockQuantized",
    "Gelu",
    "GroupQueryAttention",
    "MatMulNBits",
    "MultiHeadAttention",
    "QuickGelu",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
];

/// Resize with the attributes of opset 13, whatever opset the graph has.
fn resize_13(ctx: &ParsingContext<'_>, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let ctx = ParsingContext { onnx_operator_set_version: 13, ..ctx.clone() };
    TRACT.op_register.0["Resize"](&ctx, node)
}

/// The reader of ONNX graphs. Operators of other domains than ONNX's own are registered as `domain.Operator`.
pub(super) fn reader() -> Onnx {
    let mut onnx = tract_onnx::onnx().with_ignore_value_info(true);
    let own = &mut onnx.op_register;
    for op in CONTRIBUTED {
        if let Some(builder) = TRACT.op_register.0.get(op) {
            own.0.insert(format!("com.microsoft.{op}"), *builder);
        }
    }
    own.insert("AffineGrid", misc::affine_grid);
    own.insert("BatchNormalization", linear::batch_normalization);
    own.insert("Cast", shape::cast);
    own.insert("Celu", misc::celu);
    own.insert("ConcatFromSequence", sequence::concat_from_sequence);
    own.insert("ConstantOfShape", shape::constant_of_shape);
    own.insert("ConvTranspose", misc::conv_transpose);
    own.insert("DequantizeLinear", quantise::dequantize_linear);
    own.insert("DynamicQuantizeLinear", quantise::dynamic_quantize_linear);
    own.insert("Equal", misc::equal);
    own.insert("fixcon.Mask", misc::mask);
    own.insert("fixcon.Resize", resize_13);
    own.insert("fixcon.SwapLast", misc::swap_last);
    own.insert("GRU", recurrent::gru);
    own.insert("Gemm", linear::gemm);
    own.insert("GlobalLpPool", misc::global_lp_pool);
    own.insert("LSTM", recurrent::lstm);
    own.insert("LpPool", misc::lp_pool);
    own.insert("Pad", shape::pad);
    own.insert("QuantizeLinear", quantise::quantize_linear);
    own.insert("RNN", recurrent::rnn);
    own.insert("Range", shape::range);
    own.insert("ReverseSequence", misc::reverse_sequence);
    own.insert("SequenceAt", sequence::sequence_at);
    own.insert("SequenceConstruct", sequence::sequence_construct);
    own.insert("SequenceLength", sequence::sequence_length);
    own.insert("Slice", shape::slice);
    own.insert("SplitToSequence", sequence::split_to_sequence);
    own.insert("Sub", misc::sub);
    onnx
}
