//! Tensors: dimensions that can be counted, and as much data as they say.

use super::{Report, Scope};
use crate::model::finding::{Severity, Subject};
use crate::model::onnx::tensor_proto::DataType;
use crate::model::onnx::{SparseTensorProto, TensorProto};
use crate::model::types::{data_size, dims, element_count, type_name};
use crate::model::{Model, sparse};

pub(super) fn check(model: &Model, report: &mut Report) {
    let scope = |tensor: &TensorProto| Scope {
        subject: Subject::Tensor(tensor.name().into()),
        node: None,
        path: String::new(),
        opsets: &[],
        in_function: false,
    };
    for tensor in model.initializers() {
        check_tensor(model, tensor, "", &scope(tensor), report);
    }
    for sparse in model.sparse_initializers() {
        check_sparse(model, sparse, "", &scope(&sparse.values.clone().unwrap_or_default()), report);
    }
}

/// Why values of an element type cannot be run here.
pub(super) fn not_runnable(dtype: i32) -> Option<String> {
    let dtype = DataType::try_from(dtype).ok()?;
    let runs = matches!(
        dtype,
        DataType::Float
            | DataType::Double
            | DataType::Float16
            | DataType::Uint8
            | DataType::Int8
            | DataType::Uint16
            | DataType::Int16
            | DataType::Uint32
            | DataType::Int32
            | DataType::Uint64
            | DataType::Int64
            | DataType::Bool
    );
    if runs { None } else { Some(format!("element type {} is kept as it is, but cannot be run here", type_name(dtype))) }
}

pub(super) fn check_tensor(model: &Model, tensor: &TensorProto, field: &str, scope: &Scope<'_>, report: &mut Report) {
    let mut say = |severity, what: &str, why: String| {
        let field = if field.is_empty() { what.to_string() } else { format!("{field}, {what}") };
        report.add(severity, scope.subject.clone(), scope.node, field, why);
    };
    let dtype = match DataType::try_from(tensor.data_type()) {
        Ok(dtype) if dtype != DataType::Undefined => dtype,
        _ => return say(Severity::Error, "data_type", format!("{} is no element type", tensor.data_type())),
    };
    if let Some(why) = not_runnable(tensor.data_type()) {
        say(Severity::Warning, "data_type", why);
    }
    let shape = match dims(tensor) {
        Ok(shape) => shape,
        Err(_) => return say(Severity::Error, "dims", format!("{:?} are negative or overflow", tensor.dims)),
    };
    if tensor.segment.is_some() {
        say(Severity::Error, "segment", "tensors in segments are not supported, by no runtime".into());
    }
    let count = element_count(&shape).unwrap_or(usize::MAX);
    let typed = typed_len(tensor, dtype);
    match model.raw_data(tensor) {
        Err(e) => say(Severity::Error, "external_data", e.to_string()),
        Ok(Some(raw)) => {
            if dtype == DataType::String {
                return say(Severity::Error, "raw_data", "strings cannot be raw data".into());
            }
            match data_size(dtype, count) {
                Some(need) if need == raw.len() => {}
                need => say(
                    Severity::Error,
                    "raw_data",
                    format!(
                        "has {} bytes, dims {shape:?} of {} need {}",
                        raw.len(),
                        type_name(dtype),
                        need.map_or("more than there are".into(), |n| n.to_string())
                    ),
                ),
            }
            if typed > 0 {
                say(Severity::Warning, "raw_data", "there is data in a typed field too; raw_data counts".into());
            }
        }
        Ok(None) => {
            // Several elements of the small types share one number.
            let bits = crate::model::element_bits(dtype).unwrap_or(8);
            let need = if bits < 8 && bits != 6 { count.div_ceil(8 / bits) } else { count };
            let have = if matches!(dtype, DataType::Complex64 | DataType::Complex128) { typed / 2 } else { typed };
            if have != need {
                say(Severity::Error, "data", format!("dims {shape:?} need {need} elements, there are {have}"));
            }
        }
    }
}

/// Numbers in the typed field of an element type.
fn typed_len(tensor: &TensorProto, dtype: DataType) -> usize {
    match dtype {
        DataType::Float | DataType::Complex64 => tensor.float_data.len(),
        DataType::Double | DataType::Complex128 => tensor.double_data.len(),
        DataType::Int64 => tensor.int64_data.len(),
        DataType::Uint64 | DataType::Uint32 => tensor.uint64_data.len(),
        DataType::String => tensor.string_data.len(),
        _ => tensor.int32_data.len(),
    }
}

pub(super) fn check_sparse(model: &Model, tensor: &SparseTensorProto, field: &str, scope: &Scope<'_>, report: &mut Report) {
    for part in tensor.values.iter().chain(&tensor.indices) {
        check_tensor(model, part, field, scope, report);
    }
    if let Err(e) = sparse::check(model, tensor) {
        report.add(Severity::Error, scope.subject.clone(), scope.node, field, e.to_string());
    }
}
