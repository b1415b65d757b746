//! Inputs that must share an element type: tract would quietly convert one, where the specification and other runtimes refuse.

use super::error::RunError;
use crate::model::NodeExt;
use crate::model::onnx::NodeProto;
use crate::model::onnx::tensor_proto::DataType;

/// Sets of inputs that have one element type; `None` for operators about which nothing is said.
fn alike(op: &str) -> Option<&'static [&'static [usize]]> {
    Some(match op {
        "Add" | "And" | "Div" | "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "MatMul" | "Mod" | "Mul" | "Or"
        | "PRelu" | "Sub" | "Xor" => &[&[0, 1]],
        "Clip" | "Conv" | "ConvTranspose" | "Gemm" | "GroupNormalization" | "InstanceNormalization" | "LayerNormalization" | "Range" => {
            &[&[0, 1, 2]]
        }
        "BatchNormalization" => &[&[1, 2], &[3, 4]],
        "Pad" => &[&[0, 2]],
        "ScatterElements" | "ScatterND" => &[&[0, 2]],
        "Where" => &[&[1, 2]],
        "Attention" => &[&[0, 1]],
        _ => return None,
    })
}

/// Operators of any number of inputs, all of one type.
fn all_alike(op: &str) -> bool {
    matches!(op, "Concat" | "Einsum" | "Max" | "Mean" | "Min" | "Sum")
}

/// Refuses inputs whose element types contradict each other; `types` has `None` where an input is missing.
pub(super) fn check(node: &NodeProto, types: &[Option<DataType>]) -> Result<(), RunError> {
    if !node.domain_name().is_empty() {
        return Ok(());
    }
    let every: Vec<usize> = (0..types.len()).collect();
    let sets: &[&[usize]] = match alike(node.op_type()) {
        Some(sets) => sets,
        None if all_alike(node.op_type()) => &[&every],
        None => return Ok(()),
    };
    for set in sets {
        let mut present = set.iter().filter_map(|i| types.get(*i).copied().flatten());
        let Some(first) = present.next() else { continue };
        if let Some(other) = present.find(|t| *t != first) {
            let [a, b] = [first, other].map(|t| t.as_str_name().to_lowercase());
            return Err(RunError::new(format!("{} has inputs of different element types, {a} and {b}", node.op_type())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(op: &str, types: &[Option<DataType>]) -> bool {
        check(&NodeProto { op_type: Some(op.into()), ..NodeProto::default() }, types).is_err()
    }

    #[test]
    fn mixed_types_are_refused_where_the_specification_refuses_them() {
        let (float, half, int) = (Some(DataType::Float), Some(DataType::Float16), Some(DataType::Int64));
        assert!(refused("Mul", &[half, float]));
        assert!(!refused("Mul", &[half, half]));
        assert!(!refused("Pow", &[float, int]));
        assert!(refused("Concat", &[float, float, half]));
        assert!(refused("Clip", &[float, None, half]));
        assert!(!refused("Where", &[Some(DataType::Bool), float, float]));
        assert!(!refused("Reshape", &[float, int]));
        assert!(!refused("BatchNormalization", &[half, float, float, float, float]));
    }
}
