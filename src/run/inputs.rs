//! What a model declares about its inputs, held against what it is given.

use super::error::RunError;
use super::value::Value;
use crate::model::Model;
use crate::model::onnx::ValueInfoProto;
use crate::model::onnx::tensor_proto::DataType;
use crate::model::onnx::tensor_shape_proto::dimension;
use crate::model::onnx::type_proto;

/// A declared dimension: fixed, or free.
fn declared(info: &ValueInfoProto) -> (Option<DataType>, Option<Vec<Option<i64>>>) {
    let Some(type_proto::Value::TensorType(tensor)) = info.r#type.as_ref().and_then(|t| t.value.as_ref()) else { return (None, None) };
    let dtype = DataType::try_from(tensor.elem_type()).ok().filter(|d| *d != DataType::Undefined);
    let fixed = |d: &crate::model::onnx::tensor_shape_proto::Dimension| match d.value {
        Some(dimension::Value::DimValue(n)) if n > 0 => Some(n),
        _ => None,
    };
    (dtype, tensor.shape.as_ref().map(|s| s.dim.iter().map(fixed).collect()))
}

/// How one image's inputs are made to fit: a model whose batch is fixed to `k` gets the image `k` times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fit {
    repeat: Vec<usize>,
}

impl Fit {
    /// Looks at an image's inputs.
    ///
    /// # Errors
    /// When they are too few, contradict the declared types and shapes, or take more than `limit` bytes as often as they are given; the
    /// error names the input.
    pub fn new(model: &Model, inputs: &[Value], limit: u64) -> Result<Self, RunError> {
        let infos: Vec<_> = model.inputs().collect();
        if infos.len() != inputs.len() {
            return Err(RunError::new(format!("the model has {} inputs, {} are given", infos.len(), inputs.len())));
        }
        let repeat = infos.iter().zip(inputs).map(|(info, value)| repeats(info, value, limit)).collect::<Result<_, _>>()?;
        Ok(Self { repeat })
    }

    /// Whether any input is given several times.
    pub fn repeats(&self) -> bool {
        self.repeat.iter().any(|k| *k > 1)
    }

    /// Whether these inputs fit the model in the same way.
    ///
    /// # Errors
    /// As [`Fit::new`].
    pub fn check(&self, model: &Model, inputs: &[Value], limit: u64) -> Result<(), RunError> {
        match Self::new(model, inputs, limit)? {
            other if other == *self => Ok(()),
            _ => Err(RunError::new("the inputs have another batch than the first image's")),
        }
    }

    /// The inputs as the model wants them.
    pub fn apply(&self, inputs: &[Value]) -> Vec<Value> {
        inputs.iter().zip(&self.repeat).map(|(v, k)| v.repeated(*k)).collect()
    }

    /// The outputs as if the batch were one.
    pub fn undo(&self, outputs: Vec<Value>) -> Vec<Value> {
        let k = self.repeat.iter().copied().max().unwrap_or(1);
        if k == 1 {
            return outputs;
        }
        outputs.into_iter().map(|v| if v.shape().first().is_some_and(|d| d % k == 0) { v.first_of(k) } else { v }).collect()
    }
}

/// How often the value must be repeated along its first axis.
fn repeats(info: &ValueInfoProto, value: &Value, limit: u64) -> Result<usize, RunError> {
    let (dtype, dims) = declared(info);
    let name = info.name();
    if let Some(dtype) = dtype.filter(|d| *d != value.dtype()) {
        let (is, given) = (dtype.as_str_name().to_lowercase(), value.dtype().as_str_name().to_lowercase());
        return Err(RunError::new(format!("input '{name}' is declared {is} and is given {given}")));
    }
    let Some(dims) = dims else { return Ok(1) };
    let given = value.shape();
    let fits =
        |from: usize| dims.len() == given.len() && dims[from..].iter().zip(&given[from..]).all(|(d, g)| d.is_none_or(|d| d == *g as i64));
    if fits(0) {
        return Ok(1);
    }
    match dims.first() {
        Some(Some(k)) if given.first() == Some(&1) && fits(1) => {
            let k = usize::try_from(*k).unwrap_or(usize::MAX);
            if value.size().checked_mul(k).is_none_or(|bytes| bytes as u64 > limit) {
                let why = format!("input '{name}' is declared with a batch of {k}, more than the {limit} bytes allowed (--max-mem)");
                return Err(RunError::new(why));
            }
            Ok(k)
        }
        _ => {
            let want: Vec<String> = dims.iter().map(|d| d.map_or("?".into(), |d| d.to_string())).collect();
            Err(RunError::new(format!("input '{name}' is declared with shape [{}] and is given {given:?}", want.join(", "))))
        }
    }
}
