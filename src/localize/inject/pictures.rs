//! Inputs made up where no image is given.

use super::InjectError;
use crate::model::Model;
use crate::model::onnx::{ValueInfoProto, tensor_proto::DataType, tensor_shape_proto::dimension, type_proto};
use crate::run::Value;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// More elements than any image has that one would try a fault on.
const MOST_ELEMENTS: usize = 1 << 27;

/// The declared shape of an input, `None` where a dimension is not fixed; and its element type.
pub(super) fn declared(input: &ValueInfoProto) -> Option<(Vec<Option<i64>>, DataType)> {
    let type_proto::Value::TensorType(tensor) = input.r#type.as_ref()?.value.as_ref()? else { return None };
    let dims = tensor.shape.as_ref()?.dim.iter().map(|d| match d.value {
        Some(dimension::Value::DimValue(n)) if n > 0 => Some(n),
        _ => None,
    });
    Some((dims.collect(), DataType::try_from(tensor.elem_type()).ok()?))
}

/// One tensor for each input: something smooth, as pictures are, with mean 0 and deviation 1; whole numbers from 0 to 255 for integers.
pub(super) fn inputs(model: &Model) -> Result<Vec<Value>, InjectError> {
    model.inputs().map(|input| made_up(input).map_err(|why| InjectError::Input { input: input.name().into(), why })).collect()
}

fn made_up(input: &ValueInfoProto) -> Result<Value, String> {
    let (dims, dtype) = declared(input).ok_or("its shape is not declared")?;
    let fixed = |(i, d): (usize, &Option<i64>)| match d {
        Some(d) => usize::try_from(*d).map_err(|e| e.to_string()),
        None if i == 0 => Ok(1),
        None => Err(format!("dimension {i} is not fixed")),
    };
    let shape: Vec<usize> = dims.iter().enumerate().map(fixed).collect::<Result<_, _>>()?;
    let count = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).filter(|n| *n <= MOST_ELEMENTS).ok_or("it is too large")?;
    let mut rng = SmallRng::seed_from_u64(count as u64);
    let mut data = vec![0.0f32; count];
    for _ in 0..6 {
        let waves: Vec<(f32, f32)> = shape.iter().map(|n| (rng.random_range(0.0..2.5) / *n as f32, rng.random())).collect();
        for (at, x) in data.iter_mut().enumerate() {
            let mut rest = at;
            let mut phase = 0.0;
            for (n, (frequency, start)) in shape.iter().zip(&waves).rev() {
                phase += (rest % n) as f32 * frequency + start;
                rest /= n;
            }
            *x += (phase * std::f32::consts::TAU).sin() * 0.5;
        }
    }
    for x in &mut data {
        *x += rng.random_range(-0.5..0.5);
    }
    let floats = Value::from_f32(&shape, data);
    let value = match dtype {
        DataType::Float | DataType::Double | DataType::Float16 => floats,
        _ => Value::from_f32(&shape, floats.to_f32().iter().map(|x| (x * 60.0 + 128.0).clamp(0.0, 255.0).round()).collect()),
    };
    value.cast(dtype).ok_or_else(|| format!("its element type {} cannot be run", dtype.as_str_name()))
}
