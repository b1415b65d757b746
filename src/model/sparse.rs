//! Sparse tensors: kept as they are in the file, made dense where a model is to run.

use super::onnx::tensor_proto::DataType;
use super::onnx::{SparseTensorProto, TensorProto};
use super::types::{Known, data_size, element_count, known};
use super::{Model, ModelError};
use bytes::Bytes;

/// The dense form of a sparse tensor has at most this many bytes, or this many for each stored one.
const DENSE_UP_TO: usize = 64 << 20;
const DENSE_PER_STORED: usize = 4096;

/// Dimensions of the dense form.
pub(super) fn dims(sparse: &SparseTensorProto) -> Result<Vec<usize>, ModelError> {
    let bad = |why: String| ModelError::Tensor { tensor: sparse.values.as_ref().map_or("", |v| v.name()).into(), why };
    let shape: Option<Vec<usize>> = sparse.dims.iter().map(|d| usize::try_from(*d).ok()).collect();
    shape.filter(|s| element_count(s).is_some()).ok_or_else(|| bad(format!("dims {:?} are negative or overflow", sparse.dims)))
}

/// Whether values, indices and dims fit each other. Allocates no more than the indices have.
pub(super) fn check(model: &Model, sparse: &SparseTensorProto) -> Result<(), ModelError> {
    let bad = |why: &str| ModelError::Tensor { tensor: sparse.values.as_ref().map_or("", |v| v.name()).into(), why: why.into() };
    let shape = dims(sparse)?;
    let count = sparse.values.as_ref().and_then(|v| v.dims.first()).and_then(|d| usize::try_from(*d).ok());
    let count = count.ok_or_else(|| bad("the values of a sparse tensor must be one list"))?;
    model.places(sparse, &shape, count).map(|_| ()).ok_or_else(|| bad("its indices do not fit its values and dims"))
}

impl Model {
    /// The dense form of a sparse tensor, under the name of its values.
    ///
    /// # Errors
    /// When its parts contradict each other, an index lies outside, or the dense form is out of all proportion to the file.
    pub fn densify(&self, sparse: &SparseTensorProto) -> Result<TensorProto, ModelError> {
        let values = sparse.values.clone().unwrap_or_default();
        let bad = |why: String| ModelError::Tensor { tensor: values.name().into(), why };
        let shape = dims(sparse)?;
        let dtype = DataType::try_from(values.data_type()).map_err(|_| bad(format!("data_type {} is unknown", values.data_type())))?;
        let elements = element_count(&shape).unwrap_or(usize::MAX);
        let one = data_size(dtype, 1).filter(|_| super::types::element_bits(dtype).is_some_and(|b| b % 8 == 0));
        let one = one.ok_or_else(|| bad(format!("a sparse tensor of {} is not made dense", super::types::type_name(dtype))))?;
        let count = usize::try_from(values.dims.first().copied().unwrap_or(0)).unwrap_or(usize::MAX);
        let data = self.stored_bytes(&values, dtype).filter(|d| Some(d.len()) == count.checked_mul(one));
        let data = data.ok_or_else(|| bad(format!("its values are not {count} elements of {}", super::types::type_name(dtype))))?;
        let most = DENSE_UP_TO.max(data.len().saturating_mul(DENSE_PER_STORED));
        let size = data_size(dtype, elements)
            .filter(|s| *s <= most)
            .ok_or_else(|| bad(format!("its dense form {shape:?} is out of proportion to its {count} values")))?;
        let places = self.places(sparse, &shape, count).ok_or_else(|| bad("its indices do not fit its values and dims".into()))?;
        let mut out = vec![0u8; size];
        for (place, value) in places.into_iter().zip(data.chunks_exact(one)) {
            out.get_mut(place * one..(place + 1) * one).ok_or_else(|| bad("an index lies outside".into()))?.copy_from_slice(value);
        }
        Ok(TensorProto {
            dims: sparse.dims.clone(),
            raw_data: Some(out.into()),
            data_type: values.data_type,
            name: values.name.clone(),
            ..TensorProto::default()
        })
    }

    /// The elements of the values, from whichever field of the specification they lie in.
    fn stored_bytes(&self, values: &TensorProto, dtype: DataType) -> Option<Bytes> {
        if let Some(raw) = self.raw_data(values).ok()? {
            return Some(raw);
        }
        Some(match dtype {
            DataType::Float | DataType::Complex64 => values.float_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
            DataType::Double | DataType::Complex128 => values.double_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
            DataType::Int64 => values.int64_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
            DataType::Uint64 => values.uint64_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
            DataType::Uint32 => values.uint64_data.iter().flat_map(|v| (*v as u32).to_le_bytes()).collect(),
            DataType::Int32 => values.int32_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
            DataType::Float16 | DataType::Bfloat16 | DataType::Int16 | DataType::Uint16 => {
                values.int32_data.iter().flat_map(|v| (*v as u16).to_le_bytes()).collect()
            }
            DataType::Int8
            | DataType::Uint8
            | DataType::Bool
            | DataType::Float8e4m3fn
            | DataType::Float8e4m3fnuz
            | DataType::Float8e5m2
            | DataType::Float8e5m2fnuz => values.int32_data.iter().map(|v| *v as u8).collect(),
            _ => return None,
        })
    }

    /// Places of the values in the dense form: indices are places already, or one row of coordinates a value.
    fn places(&self, sparse: &SparseTensorProto, shape: &[usize], count: usize) -> Option<Vec<usize>> {
        let indices = sparse.indices.as_ref()?;
        let list: Vec<i64> = match self.raw_data(indices).ok()? {
            Some(raw) => raw.chunks_exact(8).map(|c| c.try_into().map(i64::from_le_bytes)).collect::<Result<_, _>>().ok()?,
            None => match known(self, indices) {
                Some(Known::Ints(list)) => list,
                _ => indices.int64_data.clone(),
            },
        };
        let elements = element_count(shape)?;
        let inside = |i: i64, size: usize| usize::try_from(i).ok().filter(|i| *i < size);
        if indices.dims.len() <= 1 {
            return if list.len() == count { list.into_iter().map(|i| inside(i, elements)).collect() } else { None };
        }
        if shape.is_empty() || Some(list.len()) != count.checked_mul(shape.len()) {
            return None;
        }
        let row = |row: &[i64]| row.iter().zip(shape).try_fold(0usize, |place, (i, size)| Some(place * size + inside(*i, *size)?));
        list.chunks_exact(shape.len()).map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::{GraphProto, ModelProto};
    use prost::Message;

    fn sparse(indices: &[i64], rows: Vec<i64>) -> SparseTensorProto {
        let tensor = |dims: Vec<i64>, dtype| TensorProto { dims, data_type: Some(dtype as i32), ..TensorProto::default() };
        let values = TensorProto { name: Some("w".into()), float_data: vec![5.0, 6.0], ..tensor(vec![2], DataType::Float) };
        SparseTensorProto {
            values: Some(values),
            indices: Some(TensorProto { int64_data: indices.to_vec(), ..tensor(rows, DataType::Int64) }),
            dims: vec![2, 3],
        }
    }

    fn bytes(sparse: &SparseTensorProto) -> Result<Bytes, String> {
        let file = ModelProto { graph: Some(GraphProto::default()), ..ModelProto::default() };
        let model = Model::read(file.encode_to_vec().into(), None).unwrap();
        Ok(model.densify(sparse).map_err(|e| e.to_string())?.raw_data.unwrap())
    }

    fn dense(sparse: &SparseTensorProto) -> Result<Vec<f32>, String> {
        Ok(bytes(sparse)?.chunks(4).map(|c| f32::from_le_bytes(c.try_into().unwrap())).collect())
    }

    #[test]
    fn both_forms_of_indices_give_the_dense_tensor() {
        assert_eq!(dense(&sparse(&[1, 5], vec![2])).unwrap(), [0.0, 5.0, 0.0, 0.0, 0.0, 6.0]);
        assert_eq!(dense(&sparse(&[0, 1, 1, 2], vec![2, 2])).unwrap(), [0.0, 5.0, 0.0, 0.0, 0.0, 6.0]);
    }

    #[test]
    fn elements_are_found_in_the_field_of_their_type() {
        let of = |values: TensorProto| {
            let values = TensorProto { name: Some("w".into()), dims: vec![2], ..values };
            bytes(&SparseTensorProto { values: Some(values), dims: vec![2], ..sparse(&[0, 1], vec![2]) }).unwrap()
        };
        let typed = |dtype| TensorProto { data_type: Some(dtype as i32), ..TensorProto::default() };
        let wide = u32::MAX;
        assert_eq!(of(TensorProto { uint64_data: vec![7, wide.into()], ..typed(DataType::Uint32) }), [[7, 0, 0, 0], [255; 4]].concat());
        // One and minus two.
        let halves = TensorProto { int32_data: vec![0x3f80, 0xc000], ..typed(DataType::Bfloat16) };
        assert_eq!(of(halves), [0x80, 0x3f, 0, 0xc0][..]);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        assert!(dense(&sparse(&[1, 6], vec![2])).unwrap_err().contains("'w'"));
        assert!(dense(&sparse(&[1], vec![1])).is_err());
        assert!(dense(&sparse(&[0, -1, 1, 2], vec![2, 2])).is_err());
        let huge = SparseTensorProto { dims: vec![1 << 40, 1 << 10], ..sparse(&[1, 5], vec![2]) };
        assert!(dense(&huge).unwrap_err().contains("out of proportion"));
        assert!(dense(&SparseTensorProto { dims: vec![i64::MAX, i64::MAX], ..huge }).unwrap_err().contains("overflow"));
    }
}
