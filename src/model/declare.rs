//! What a graph declares of its outputs, held against what its nodes make.

use super::check::declared_inputs;
use super::onnx::tensor_shape_proto::dimension::Value as Dim;
use super::onnx::type_proto::Value as Type;
use super::onnx::{ValueInfoProto, type_proto::Tensor};
use super::shapes::{Budget, infer_some};
use super::{Edit, Model};

/// The edit that makes the declared outputs true, where inference from the declared inputs gives other dimensions than declared. Dimensions
/// that are a name, or not given, are left so. `None` where nothing is contradicted.
///
/// An edit that changes a shape on the way leaves the declaration behind, and a strict checker refuses the model then.
pub fn true_outputs(model: &Model) -> Option<Edit> {
    let shapes = infer_some(model, &declared_inputs(model), Budget::default());
    let found = |v: &ValueInfoProto| shapes.get(model.index().value(v.name())?).map(|(_, shape)| shape.to_vec());
    let declared: Vec<ValueInfoProto> = model.outputs().cloned().collect();
    let values: Vec<ValueInfoProto> = declared.iter().map(|v| found(v).map_or_else(|| v.clone(), |shape| with_dims(v, &shape))).collect();
    (values != declared).then_some(Edit::SetOutputs { values })
}

/// The declaration with the dimensions that are numbers as they are.
fn with_dims(info: &ValueInfoProto, shape: &[usize]) -> ValueInfoProto {
    let mut out = info.clone();
    if let Some(Type::TensorType(Tensor { shape: Some(declared), .. })) = out.r#type.as_mut().and_then(|t| t.value.as_mut())
        && declared.dim.len() == shape.len()
    {
        for (dim, now) in declared.dim.iter_mut().zip(shape) {
            if let (Some(Dim::DimValue(n)), Ok(now)) = (&mut dim.value, i64::try_from(*now)) {
                *n = now;
            }
        }
    }
    out
}
