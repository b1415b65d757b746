//! How large a value may become, looked at before anything is allocated.

use super::error::RunError;
use super::evaluator::Input;
use crate::model::NodeExt;
use crate::model::onnx::NodeProto;
use tract_onnx::prelude::*;

/// Bytes that one value may have when nothing else is said.
pub const DEFAULT: u64 = 2 << 30;

/// Places of a window above which it is refused: the runtime lists them one by one.
const LARGEST_WINDOW: u64 = 1 << 24;

/// Refuses a model in which any value is larger than `limit`, by the shapes that were inferred.
pub(super) fn check(model: &TypedModel, limit: u64) -> Result<(), RunError> {
    for node in model.nodes() {
        for output in &node.outputs {
            let Some(shape) = output.fact.shape.as_concrete() else { continue };
            let bytes = shape.iter().try_fold(output.fact.datum_type.size_of() as u64, |n, d| n.checked_mul(*d as u64));
            refuse(bytes, shape, limit).map_err(|e| e.at(&node.name))?;
        }
    }
    Ok(())
}

fn refuse(bytes: Option<u64>, shape: &[usize], limit: u64) -> Result<(), RunError> {
    match bytes {
        Some(bytes) if bytes <= limit => Ok(()),
        _ => Err(RunError::new(format!("it would make a value of shape {shape:?}, more than the {limit} bytes allowed (--max-mem)"))),
    }
}

/// The same for operators whose inputs alone say the size, or how long it takes, which the runtime would evaluate while it looks at shapes.
pub(super) fn check_inputs(node: &NodeProto, inputs: &[Input<'_>], limit: u64) -> Result<(), RunError> {
    let value = |i: usize| match inputs.get(i) {
        Some(Input::Constant(v) | Input::Data(v)) => Some(*v),
        _ => None,
    };
    match node.op_type() {
        "ConstantOfShape" => {
            let Some(shape) = value(0) else { return Ok(()) };
            let shape: Vec<usize> = shape.to_i64().iter().map(|d| usize::try_from(*d).unwrap_or(usize::MAX)).collect();
            let size = node.tensor("value").and_then(|t| crate::model::onnx::tensor_proto::DataType::try_from(t.data_type()).ok());
            let size = size.and_then(super::element_size).unwrap_or(8) as u64;
            refuse(shape.iter().try_fold(size, |n, d| n.checked_mul(*d as u64)), &shape, limit)
        }
        "Range" => {
            let (Some(start), Some(end), Some(step)) = (value(0), value(1), value(2)) else { return Ok(()) };
            let [start, end, step] = [start, end, step].map(|v| {
                v.cast(crate::model::onnx::tensor_proto::DataType::Double)
                    .map_or(f64::NAN, |v| v.to_f32().first().map_or(f64::NAN, |f| f64::from(*f)))
            });
            let count = ((end - start) / step).ceil().max(0.0);
            if step == 0.0 || !count.is_finite() || count * 8.0 > limit as f64 {
                return Err(RunError::new(format!("a range from {start} to {end} in steps of {step} is refused")));
            }
            Ok(())
        }
        "AveragePool" | "LpPool" | "MaxPool" => {
            let window = node.ints("kernel_shape").unwrap_or_default();
            let places = window.iter().try_fold(1u64, |n, k| n.checked_mul(u64::try_from(*k).ok()?));
            if places.is_none_or(|n| n > LARGEST_WINDOW) {
                return Err(RunError::new(format!("a window of {window:?} is refused: more than {LARGEST_WINDOW} places")));
            }
            Ok(())
        }
        "Upsample" => {
            let scales = value(1).map(|v| v.to_f32().into_owned()).or_else(|| Some(node.attr("scales")?.floats.clone()));
            let (Some(data), Some(scales)) = (value(0), scales) else { return Ok(()) };
            let shape: Vec<usize> = data.shape().iter().zip(&scales).map(|(d, s)| (*d as f64 * f64::from(*s)) as usize).collect();
            let size = (data.size() / data.len().max(1)) as u64;
            refuse(shape.iter().try_fold(size, |n, d| n.checked_mul(*d as u64)), &shape, limit)
        }
        // The runtime would count up to an axis in front of the first without end.
        "LayerNormalization" | "OneHot" => {
            let Some(rank) = value(0).map(|v| v.shape().len() as i64 + i64::from(node.op_type() == "OneHot")) else { return Ok(()) };
            let axis = node.int("axis").unwrap_or(-1);
            if axis < -rank {
                return Err(RunError::new(format!("axis {axis} of a tensor with {rank} dimensions")));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
