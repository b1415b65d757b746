//! Half precision. Value by value, operators compute in single precision and round, as hardware with half precision does. A whole
//! network as one plan ([`super::plan`]) rounds only where it says so (`Cast`, outputs), as onnxruntime on a processor does.
//!
//! tract's own half-precision kernels add up in half precision, which loses a digit, and are slow where the processor has none.

use super::value::Value;
use crate::model::NodeExt;
use crate::model::onnx::tensor_proto::DataType;
use crate::model::onnx::{AttributeProto, NodeProto, ValueInfoProto, type_proto};

/// Whether an operator rounds its result; the others move or pick values, which is exact in any precision.
fn rounds(op: &str) -> bool {
    matches!(
        op,
        "Add"
            | "Attention"
            | "AveragePool"
            | "BatchNormalization"
            | "BiasGelu"
            | "Celu"
            | "Conv"
            | "ConvTranspose"
            | "CumSum"
            | "Div"
            | "Einsum"
            | "Elu"
            | "Erf"
            | "Exp"
            | "FastGelu"
            | "FusedConv"
            | "FusedGemm"
            | "FusedMatMul"
            | "Gelu"
            | "Gemm"
            | "GlobalAveragePool"
            | "GlobalLpPool"
            | "GridSample"
            | "GroupNormalization"
            | "HardSigmoid"
            | "HardSwish"
            | "InstanceNormalization"
            | "LRN"
            | "LayerNormalization"
            | "LeakyRelu"
            | "Log"
            | "LogSoftmax"
            | "LpNormalization"
            | "LpPool"
            | "MatMul"
            | "Mean"
            | "MeanVarianceNormalization"
            | "Mish"
            | "Mul"
            | "PRelu"
            | "Pow"
            | "QuickGelu"
            | "RMSNormalization"
            | "SimplifiedLayerNormalization"
            | "Reciprocal"
            | "ReduceL1"
            | "ReduceL2"
            | "ReduceLogSum"
            | "ReduceLogSumExp"
            | "ReduceMean"
            | "ReduceProd"
            | "ReduceSum"
            | "ReduceSumSquare"
            | "Resize"
            | "Selu"
            | "Sigmoid"
            | "Softmax"
            | "Softplus"
            | "Softsign"
            | "Sqrt"
            | "Sub"
            | "Sum"
            | "Swish"
            | "Tanh"
            | "ThresholdedRelu"
            | "Upsample"
    )
}

fn cast(from: &str, to: &str, dtype: DataType) -> NodeProto {
    NodeProto {
        op_type: Some("Cast".into()),
        name: Some(format!("{to}\u{1}cast")),
        input: vec![from.into()],
        output: vec![to.into()],
        attribute: vec![AttributeProto::of_int("to", i64::from(dtype as i32))],
        ..NodeProto::default()
    }
}

/// The node between casts, when it computes in half precision; `types` are those of its inputs.
pub(super) fn widened(node: &NodeProto, types: &[Option<DataType>]) -> Option<Vec<NodeProto>> {
    let half = |i: usize| types.get(i).copied().flatten() == Some(DataType::Float16);
    if !rounds(node.op_type()) || !(0..types.len()).any(half) {
        return None;
    }
    let mut out = Vec::new();
    let mut wide = node.clone();
    for (_, name) in wide.input.iter_mut().enumerate().filter(|(i, _)| half(*i)) {
        let to = format!("{name}\u{1}wide");
        if !out.iter().any(|n: &NodeProto| n.output[0] == to) {
            out.push(cast(name, &to, DataType::Float));
        }
        *name = to;
    }
    let made = node.output.first()?;
    let to = format!("{made}\u{1}wide");
    wide.output[0] = to.clone();
    out.push(wide);
    out.push(cast(&to, made, DataType::Float16));
    Some(out)
}

/// A node of a graph that is in single precision throughout: a cast to half precision only rounds.
pub(super) fn rounding(node: &NodeProto) -> Option<Vec<NodeProto>> {
    let to_half = node.op_type() == "Cast" && node.domain_name().is_empty() && node.int("to") == Some(i64::from(DataType::Float16 as i32));
    if !to_half {
        return None;
    }
    let (from, to) = (node.input.first()?, node.output.first()?);
    let rounded = format!("{to}\u{1}half");
    Some(vec![cast(from, &rounded, DataType::Float16), cast(&rounded, to, DataType::Float)])
}

/// Whether a value is declared to be in half precision.
pub(super) fn declared(info: &ValueInfoProto) -> bool {
    match info.r#type.as_ref().and_then(|t| t.value.as_ref()) {
        Some(type_proto::Value::TensorType(t)) => t.elem_type() == DataType::Float16 as i32,
        _ => false,
    }
}

/// A half-precision value in single precision; any other as it is.
pub(super) fn wide(value: &Value) -> Value {
    if value.dtype() == DataType::Float16 { value.cast(DataType::Float).unwrap_or_else(|| value.clone()) } else { value.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_rounds_is_computed_wide() {
        let node = |op: &str| NodeProto {
            op_type: Some(op.into()),
            input: vec!["a".into(), "a".into()],
            output: vec!["y".into()],
            ..NodeProto::default()
        };
        let half = [Some(DataType::Float16), Some(DataType::Float16)];
        let ops =
            |n: &NodeProto, t: &[Option<DataType>]| widened(n, t).map(|v| v.iter().map(|n| n.op_type().to_string()).collect::<Vec<_>>());
        assert_eq!(ops(&node("Add"), &half).unwrap(), ["Cast", "Add", "Cast"]);
        assert_eq!(ops(&node("Reshape"), &half), None);
        assert_eq!(ops(&node("Add"), &[Some(DataType::Float), Some(DataType::Float)]), None);
    }
}
