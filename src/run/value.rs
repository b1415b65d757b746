//! One tensor: what flows along an edge of a graph, or a weight.

use super::RunError;
use crate::model::onnx::tensor_proto::DataType;
use crate::model::onnx::tensor_shape_proto::{Dimension, dimension};
use crate::model::onnx::{TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto};
use crate::model::{Model, ModelError};
use std::borrow::Cow;
use std::sync::Arc;
use tract_onnx::prelude::*;

/// A dense, row-major tensor. Cloning shares the data.
#[derive(Debug, Clone)]
pub struct Value(pub(super) Arc<Tensor>);

/// The element types that can be run, in ONNX's words.
pub(super) fn to_tract(dtype: DataType) -> Option<DatumType> {
    Some(match dtype {
        DataType::Float => DatumType::F32,
        DataType::Double => DatumType::F64,
        DataType::Float16 => DatumType::F16,
        DataType::Uint8 => DatumType::U8,
        DataType::Int8 => DatumType::I8,
        DataType::Uint16 => DatumType::U16,
        DataType::Int16 => DatumType::I16,
        DataType::Uint32 => DatumType::U32,
        DataType::Int32 => DatumType::I32,
        DataType::Uint64 => DatumType::U64,
        DataType::Int64 => DatumType::I64,
        DataType::Bool => DatumType::Bool,
        _ => return None,
    })
}

fn from_tract(dt: DatumType) -> DataType {
    match dt.unquantized() {
        DatumType::F32 => DataType::Float,
        DatumType::F64 => DataType::Double,
        DatumType::F16 => DataType::Float16,
        DatumType::U8 => DataType::Uint8,
        DatumType::I8 => DataType::Int8,
        DatumType::U16 => DataType::Uint16,
        DatumType::I16 => DataType::Int16,
        DatumType::U32 => DataType::Uint32,
        DatumType::I32 => DataType::Int32,
        DatumType::U64 => DataType::Uint64,
        DatumType::I64 | DatumType::TDim => DataType::Int64,
        DatumType::Bool => DataType::Bool,
        DatumType::String => DataType::String,
        _ => DataType::Undefined,
    }
}

/// Bytes of one element in `raw_data`; `None` for types that cannot be run.
pub fn element_size(dtype: DataType) -> Option<usize> {
    to_tract(dtype).map(|d| d.size_of())
}

impl Value {
    /// From little-endian bytes, row-major.
    ///
    /// # Errors
    /// When the element type cannot be run or the length does not fit the shape.
    pub fn from_bytes(dtype: DataType, shape: &[usize], bytes: &[u8]) -> Result<Self, RunError> {
        let dt = to_tract(dtype).ok_or_else(|| RunError::new(format!("element type {} cannot be run", dtype.as_str_name())))?;
        let want = shape.iter().try_fold(dt.size_of(), |n, d| n.checked_mul(*d));
        // Strides are counted in front of a dimension of zero as well.
        if shape.iter().filter(|d| **d > 0).try_fold(dt.size_of(), |n, d| n.checked_mul(*d)).is_none() {
            return Err(RunError::new(format!("shape {shape:?} is larger than any value may be")));
        }
        if want != Some(bytes.len()) {
            return Err(RunError::new(format!(
                "shape {shape:?} of {} needs {} bytes, there are {}",
                dtype.as_str_name(),
                want.unwrap_or(usize::MAX),
                bytes.len()
            )));
        }
        let mut tensor = Tensor::zero_dt(dt, shape).map_err(RunError::from_tract)?;
        tensor.as_bytes_mut().copy_from_slice(bytes);
        Ok(Self(tensor.into_arc_tensor()))
    }

    /// From floats, row-major.
    ///
    /// # Panics
    /// When the number of elements does not fit the shape.
    pub fn from_f32(shape: &[usize], data: Vec<f32>) -> Self {
        let array = ndarray::ArrayD::from_shape_vec(shape.to_vec(), data).expect("as many elements as the shape says");
        Self(Tensor::from(array).into_arc_tensor())
    }

    /// From integers, row-major.
    ///
    /// # Panics
    /// When the number of elements does not fit the shape.
    pub fn from_i64(shape: &[usize], data: Vec<i64>) -> Self {
        let array = ndarray::ArrayD::from_shape_vec(shape.to_vec(), data).expect("as many elements as the shape says");
        Self(Tensor::from(array).into_arc_tensor())
    }

    /// From elements of any type that can be run, row-major.
    #[cfg(feature = "ort")]
    pub(super) fn from_elements<T: Datum>(shape: &[usize], data: Vec<T>) -> Result<Self, RunError> {
        let array = ndarray::ArrayD::from_shape_vec(shape.to_vec(), data).map_err(|e| RunError::new(e.to_string()))?;
        Ok(Self(Tensor::from(array).into_arc_tensor()))
    }

    /// The elements, when they are of this type.
    #[cfg(feature = "ort")]
    pub(super) fn elements<T: Datum>(&self) -> Option<&[T]> {
        self.0.as_plain_ram().and_then(|v| v.as_slice::<T>().ok())
    }

    pub(super) fn from_tensor(value: TValue) -> Self {
        let tensor = value.into_arc_tensor();
        let plain = match tensor.datum_type() {
            DatumType::TDim => tensor.cast_to::<i64>().ok().map(|t| t.into_owned().into_arc_tensor()),
            dt if dt.is_quantized() => tensor.cast_to_dt(dt.unquantized()).ok().map(|t| t.into_owned().into_arc_tensor()),
            _ => None,
        };
        Self(plain.unwrap_or(tensor))
    }

    /// Decodes an initializer or the tensor of a Constant.
    ///
    /// # Errors
    /// When the data is missing, of the wrong length, or of a type that cannot be run.
    pub fn from_proto(model: &Model, tensor: &TensorProto) -> Result<Self, ModelError> {
        let bad = |why: String| ModelError::Tensor { tensor: tensor.name().into(), why };
        let shape: Vec<usize> = tensor
            .dims
            .iter()
            .map(|d| usize::try_from(*d))
            .collect::<Result<_, _>>()
            .map_err(|_| bad(format!("dims {:?} are negative", tensor.dims)))?;
        let count = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).ok_or_else(|| bad(format!("dims {shape:?} overflow")))?;
        let dtype = tensor.data_type();
        let dtype = DataType::try_from(dtype).map_err(|_| bad(format!("data_type {dtype} is unknown")))?;
        if dtype == DataType::Bfloat16 {
            // Nothing computes in it here: single precision has the same numbers.
            let raw = model.raw_data(tensor)?;
            let halves: Vec<u16> = match &raw {
                Some(raw) => raw.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect(),
                None => tensor.int32_data.iter().map(|v| *v as u16).collect(),
            };
            if halves.len() != count {
                return Err(bad(format!("dims {shape:?} need {count} elements, there are {}", halves.len())));
            }
            return Ok(Self::from_f32(&shape, halves.into_iter().map(|h| f32::from_bits(u32::from(h) << 16)).collect()));
        }
        if let Some(raw) = model.raw_data(tensor)? {
            return Self::from_bytes(dtype, &shape, &raw).map_err(|e| bad(e.to_string()));
        }
        let check =
            |have: usize| if have == count { Ok(()) } else { Err(bad(format!("dims {shape:?} need {count} elements, there are {have}"))) };
        macro_rules! cast {
            ($field:expr, $t:ty) => {{
                check($field.len())?;
                $field.iter().flat_map(|v| (*v as $t).to_le_bytes()).collect::<Vec<u8>>()
            }};
        }
        let bytes = match dtype {
            DataType::Float => cast!(tensor.float_data, f32),
            DataType::Double => cast!(tensor.double_data, f64),
            DataType::Int64 => cast!(tensor.int64_data, i64),
            DataType::Uint64 => cast!(tensor.uint64_data, u64),
            DataType::Uint32 => cast!(tensor.uint64_data, u32),
            DataType::Int32 => cast!(tensor.int32_data, i32),
            DataType::Int16 => cast!(tensor.int32_data, i16),
            DataType::Uint16 | DataType::Float16 => cast!(tensor.int32_data, u16),
            DataType::Int8 => cast!(tensor.int32_data, i8),
            DataType::Uint8 | DataType::Bool => cast!(tensor.int32_data, u8),
            other => return Err(bad(format!("element type {} cannot be run", other.as_str_name()))),
        };
        Self::from_bytes(dtype, &shape, &bytes).map_err(|e| bad(e.to_string()))
    }

    /// As an initializer, with `raw_data`.
    pub fn to_proto(&self, name: &str) -> TensorProto {
        TensorProto {
            name: Some(name.into()),
            dims: self.shape().iter().map(|d| *d as i64).collect(),
            data_type: Some(self.dtype() as i32),
            raw_data: Some(self.bytes().to_vec().into()),
            ..TensorProto::default()
        }
    }

    /// Dimensions.
    pub fn shape(&self) -> &[usize] {
        self.0.shape()
    }
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Element type.
    pub fn dtype(&self) -> DataType {
        from_tract(self.0.datum_type())
    }
    /// Whether the elements are floats of any width.
    pub fn is_float(&self) -> bool {
        self.0.datum_type().is_float()
    }
    /// Little-endian bytes, row-major.
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
    /// The elements, when they are `f32`.
    pub fn f32s(&self) -> Option<&[f32]> {
        self.0.as_plain_ram().and_then(|v| v.as_slice::<f32>().ok())
    }
    /// The elements as floats, whatever numbers they are. Empty for strings.
    pub fn to_f32(&self) -> Cow<'_, [f32]> {
        match self.f32s() {
            Some(slice) => Cow::Borrowed(slice),
            None => Cow::Owned(self.cast(DataType::Float).and_then(|v| v.f32s().map(<[f32]>::to_vec)).unwrap_or_default()),
        }
    }
    /// The elements as integers, whatever numbers they are. Empty for strings.
    pub fn to_i64(&self) -> Vec<i64> {
        let cast = self.0.cast_to::<i64>().ok();
        cast.and_then(|t| t.as_plain_ram().and_then(|v| v.as_slice::<i64>().ok().map(<[i64]>::to_vec))).unwrap_or_default()
    }
    /// Another element type; floats to integers truncate.
    pub fn cast(&self, dtype: DataType) -> Option<Self> {
        if dtype == self.dtype() {
            return Some(self.clone());
        }
        Some(Self(self.0.cast_to_dt(to_tract(dtype)?).ok()?.into_owned().into_arc_tensor()))
    }
    /// The same elements under other dimensions; `None` when their product differs.
    pub fn reshape(&self, shape: &[usize]) -> Option<Self> {
        if shape == self.shape() {
            return Some(self.clone());
        }
        Some(Self(Tensor::clone(&self.0).into_shape(shape).ok()?.into_arc_tensor()))
    }
    /// Axes in another order: axis `i` of the result is axis `perm[i]` of this one; `None` when `perm` is no permutation.
    pub fn transpose(&self, perm: &[usize]) -> Option<Self> {
        let mut seen = vec![false; perm.len()];
        if perm.len() != self.shape().len() || !perm.iter().all(|p| seen.get_mut(*p).is_some_and(|s| !std::mem::replace(s, true))) {
            return None;
        }
        if perm.iter().enumerate().all(|(i, p)| i == *p) {
            return Some(self.clone());
        }
        Some(Self(Tensor::clone(&self.0).permute_axes(perm).ok()?.into_arc_tensor()))
    }
    /// The value `k` times along its first axis; itself when `k` is 1 or it has no axis.
    pub fn repeated(&self, k: usize) -> Self {
        if k == 1 || self.shape().is_empty() {
            return self.clone();
        }
        let parts: Vec<&Tensor> = vec![&self.0; k];
        Tensor::stack_tensors(0, &parts).map_or_else(|_| self.clone(), |t| Self(t.into_arc_tensor()))
    }
    /// The first of `k` equal parts along the first axis.
    pub(super) fn first_of(&self, k: usize) -> Self {
        let end = self.shape().first().map_or(0, |d| d / k.max(1));
        self.0.slice(0, 0, end).map_or_else(|_| self.clone(), |t| Self(t.into_arc_tensor()))
    }
    /// Size in memory, in bytes.
    pub fn size(&self) -> usize {
        self.len() * self.0.datum_type().size_of()
    }
    /// A declaration of a graph input or output of this type and shape.
    pub fn declared(&self, name: &str) -> ValueInfoProto {
        let dim = |d: &usize| Dimension { value: Some(dimension::Value::DimValue(*d as i64)), ..Dimension::default() };
        let shape = Some(TensorShapeProto { dim: self.shape().iter().map(dim).collect() });
        let tensor = type_proto::Tensor { elem_type: Some(self.dtype() as i32), shape };
        let r#type = Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() });
        ValueInfoProto { name: Some(name.into()), r#type, ..ValueInfoProto::default() }
    }
    /// Same type, shape and bits.
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.0.datum_type() == other.0.datum_type() && self.shape() == other.shape() && self.bytes() == other.bytes())
    }
}
