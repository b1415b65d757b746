//! Element types and declared types: their sizes, and what of them is known.

use super::onnx::tensor_proto::DataType;
use super::onnx::tensor_shape_proto::dimension::Value as Dim;
use super::onnx::type_proto::Value as Type;
use super::onnx::{TensorProto, ValueInfoProto};
use super::{Model, ModelError};
use half::{bf16, f16};

/// Bits of one element in `raw_data`; `None` for strings and unknown types.
pub fn element_bits(dtype: DataType) -> Option<usize> {
    Some(match dtype {
        DataType::Complex128 => 128,
        DataType::Double | DataType::Int64 | DataType::Uint64 | DataType::Complex64 => 64,
        DataType::Float | DataType::Int32 | DataType::Uint32 => 32,
        DataType::Float16 | DataType::Bfloat16 | DataType::Int16 | DataType::Uint16 => 16,
        DataType::Int8 | DataType::Uint8 | DataType::Bool => 8,
        DataType::Float8e4m3fn | DataType::Float8e4m3fnuz | DataType::Float8e5m2 | DataType::Float8e5m2fnuz | DataType::Float8e8m0 => 8,
        DataType::Int4 | DataType::Uint4 | DataType::Float4e2m1 => 4,
        DataType::Int2 | DataType::Uint2 => 2,
        DataType::Float6e2m3 | DataType::Float6e3m2 => 6,
        DataType::String | DataType::Undefined => return None,
    })
}

/// Bytes of `raw_data` for this many elements.
pub fn data_size(dtype: DataType, elements: usize) -> Option<usize> {
    Some(elements.checked_mul(element_bits(dtype)?)?.div_ceil(8))
}

/// Number of elements of a shape; `None` when it overflows.
pub fn element_count(shape: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d))
}

/// The name of an element type as ONNX's documentation writes it: `float`, `int64`.
pub fn type_name(dtype: DataType) -> String {
    dtype.as_str_name().to_lowercase()
}

impl ValueInfoProto {
    /// The declared element type and dimensions, `None` where a dimension has no fixed size; `None` when it is no tensor or has no shape.
    /// Zero and less stand for an open dimension in files of older exporters.
    pub fn tensor_type(&self) -> Option<(DataType, Vec<Option<usize>>)> {
        let Some(Type::TensorType(tensor)) = self.r#type.as_ref()?.value.as_ref() else { return None };
        let dims = tensor.shape.as_ref()?.dim.iter().map(|d| match &d.value {
            Some(Dim::DimValue(n)) => usize::try_from(*n).ok().filter(|n| *n > 0),
            _ => None,
        });
        Some((DataType::try_from(tensor.elem_type()).ok()?, dims.collect()))
    }
}

/// The elements of a small tensor, widened.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Known {
    Ints(Vec<i64>),
    Floats(Vec<f64>),
}

/// Larger tensors are data, not shapes, axes or bounds.
pub(super) const KNOWN_UP_TO: usize = 4096;

/// Dimensions as sizes.
pub(super) fn dims(tensor: &TensorProto) -> Result<Vec<usize>, ModelError> {
    let bad = |why: String| ModelError::Tensor { tensor: tensor.name().into(), why };
    let shape: Vec<usize> = tensor
        .dims
        .iter()
        .map(|d| usize::try_from(*d))
        .collect::<Result<_, _>>()
        .map_err(|_| bad(format!("dims {:?} are negative", tensor.dims)))?;
    element_count(&shape).ok_or_else(|| bad(format!("dims {shape:?} overflow")))?;
    Ok(shape)
}

/// The elements of a small tensor of numbers; `None` when it is large, of another type, or damaged.
pub(super) fn known(model: &Model, tensor: &TensorProto) -> Option<Known> {
    let count = element_count(&dims(tensor).ok()?)?;
    if count > KNOWN_UP_TO {
        return None;
    }
    let dtype = DataType::try_from(tensor.data_type()).ok()?;
    let found = match model.raw_data(tensor).ok()? {
        Some(raw) => {
            if raw.len() != data_size(dtype, count)? {
                return None;
            }
            macro_rules! ints {
                ($t:ty) => {
                    Known::Ints(
                        raw.chunks_exact(size_of::<$t>()).filter_map(|c| Some(<$t>::from_le_bytes(c.try_into().ok()?) as i64)).collect(),
                    )
                };
            }
            macro_rules! floats {
                ($t:ty) => {
                    Known::Floats(
                        raw.chunks_exact(size_of::<$t>())
                            .filter_map(|c| Some(f64::from(<$t>::from_le_bytes(c.try_into().ok()?))))
                            .collect(),
                    )
                };
            }
            match dtype {
                DataType::Int64 => ints!(i64),
                DataType::Uint64 => ints!(u64),
                DataType::Int32 => ints!(i32),
                DataType::Uint32 => ints!(u32),
                DataType::Int16 => ints!(i16),
                DataType::Uint16 => ints!(u16),
                DataType::Int8 => ints!(i8),
                DataType::Uint8 | DataType::Bool => ints!(u8),
                DataType::Float => floats!(f32),
                DataType::Double => floats!(f64),
                DataType::Float16 => floats!(f16),
                DataType::Bfloat16 => floats!(bf16),
                _ => return None,
            }
        }
        None => match dtype {
            DataType::Int64 => Known::Ints(tensor.int64_data.clone()),
            DataType::Uint64 | DataType::Uint32 => Known::Ints(tensor.uint64_data.iter().map(|v| *v as i64).collect()),
            DataType::Int32 | DataType::Int16 | DataType::Uint16 | DataType::Int8 | DataType::Uint8 | DataType::Bool => {
                Known::Ints(tensor.int32_data.iter().map(|v| i64::from(*v)).collect())
            }
            DataType::Float => Known::Floats(tensor.float_data.iter().map(|v| f64::from(*v)).collect()),
            DataType::Double => Known::Floats(tensor.double_data.clone()),
            DataType::Float16 => Known::Floats(tensor.int32_data.iter().map(|v| f64::from(f16::from_bits(*v as u16))).collect()),
            _ => return None,
        },
    };
    if found.len() == count { Some(found) } else { None }
}

impl Known {
    pub fn len(&self) -> usize {
        match self {
            Self::Ints(v) => v.len(),
            Self::Floats(v) => v.len(),
        }
    }

    pub fn ints(&self) -> Option<&[i64]> {
        if let Self::Ints(v) = self { Some(v) } else { None }
    }

    pub fn floats(&self) -> Vec<f64> {
        match self {
            Self::Ints(v) => v.iter().map(|v| *v as f64).collect(),
            Self::Floats(v) => v.clone(),
        }
    }

    /// One after the other; floats when one of them is.
    pub fn joined(parts: &[&Self]) -> Self {
        match parts.iter().map(|p| p.ints()).collect::<Option<Vec<_>>>() {
            Some(ints) => Self::Ints(ints.concat()),
            None => Self::Floats(parts.iter().flat_map(|p| p.floats()).collect()),
        }
    }

    /// The elements at these places; `None` when one is outside.
    pub fn pick(&self, places: impl Iterator<Item = usize>) -> Option<Self> {
        Some(match self {
            Self::Ints(v) => Self::Ints(places.map(|i| v.get(i).copied()).collect::<Option<_>>()?),
            Self::Floats(v) => Self::Floats(places.map(|i| v.get(i).copied()).collect::<Option<_>>()?),
        })
    }
}

/// A number of bytes as people read it.
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["bytes", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "bytes" { format!("{bytes} bytes") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::tensor_shape_proto::Dimension;
    use crate::model::onnx::{TensorShapeProto, TypeProto, type_proto};

    #[test]
    fn zero_and_less_are_open_dimensions() {
        let dim = [3, 0, -1].map(|n| Dimension { value: Some(Dim::DimValue(n)), ..Dimension::default() }).to_vec();
        let tensor = type_proto::Tensor { elem_type: Some(DataType::Float as i32), shape: Some(TensorShapeProto { dim }) };
        let r#type = Some(TypeProto { value: Some(Type::TensorType(tensor)), ..TypeProto::default() });
        let value = ValueInfoProto { r#type, ..ValueInfoProto::default() };
        assert_eq!(value.tensor_type(), Some((DataType::Float, vec![Some(3), None, None])));
    }
}
