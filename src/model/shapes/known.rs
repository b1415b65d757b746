//! Arithmetic on small integer tensors that are known before the network runs: what shapes are computed with.

use super::{Call, Fact};
use crate::model::NodeExt;
use crate::model::onnx::tensor_proto::DataType;
use crate::model::types::{KNOWN_UP_TO, Known, element_count};

impl Call<'_> {
    /// The elements of an elementwise result, when those of all inputs are known. `shape` is the result's.
    pub(super) fn folded(&self, shape: &[usize]) -> Option<Known> {
        let count = element_count(shape).filter(|n| *n <= KNOWN_UP_TO)?;
        if self.node.op_type() == "Clip" {
            return self.clipped();
        }
        let inputs: Vec<&Fact> = (0..self.inputs.len()).map(|i| self.fact(i)).collect::<Option<_>>()?;
        let column = |f: &Fact| -> Option<Vec<f64>> {
            let known = f.known.as_ref()?.floats();
            (0..count).map(|i| known.get(place(i, shape, &f.shape)).copied()).collect()
        };
        let ints = |f: &Fact| -> Option<Vec<i64>> {
            let known = f.known.as_ref()?.ints()?;
            (0..count).map(|i| known.get(place(i, shape, &f.shape)).copied()).collect()
        };
        let op = self.node.op_type();
        match (op, &inputs[..]) {
            ("Identity" | "Abs" | "Neg" | "Not" | "Ceil" | "Floor" | "Round" | "Sqrt", [x]) => match ints(x) {
                Some(v) if op != "Sqrt" => Some(Known::Ints(v.into_iter().map(|v| unary_int(op, v)).collect())),
                _ => Some(Known::Floats(column(x)?.into_iter().map(|v| held(x.dtype, unary_float(op, v))).collect())),
            },
            ("Cast", [x]) => {
                let to = self.cast_to()?;
                Some(match (ints(x), is_integer(to)) {
                    (Some(v), true) => Known::Ints(v.into_iter().map(|v| wrapped(to, v)).collect()),
                    (None, true) if to == DataType::Bool => Known::Ints(column(x)?.into_iter().map(|v| i64::from(v != 0.0)).collect()),
                    (None, true) => Known::Ints(column(x)?.into_iter().map(|v| wrapped(to, v as i64)).collect()),
                    (_, false) => Known::Floats(column(x)?.into_iter().map(|v| held(to, v)).collect()),
                })
            }
            ("Where", [c, a, b]) => {
                let (c, a, b) = (ints(c)?, ints(a)?, ints(b)?);
                Some(Known::Ints((0..count).map(|i| if c[i] != 0 { a[i] } else { b[i] }).collect()))
            }
            (_, [a, b]) => match (ints(a), ints(b)) {
                (Some(a), Some(b)) => a.iter().zip(&b).map(|(a, b)| binary_int(op, *a, *b)).collect::<Option<_>>().map(Known::Ints),
                _ => {
                    let of = a.dtype;
                    let (a, b) = (column(a)?, column(b)?);
                    let compared = matches!(op, "Equal" | "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual");
                    let result = |(x, y): (&f64, &f64)| binary_float(op, *x, *y).map(|v| held(of, v));
                    let out: Vec<f64> = a.iter().zip(&b).map(result).collect::<Option<_>>()?;
                    Some(if compared { Known::Ints(out.iter().map(|v| *v as i64).collect()) } else { Known::Floats(out) })
                }
            },
            _ => None,
        }
    }

    fn clipped(&self) -> Option<Known> {
        let bound = |slot: usize, none: f64| if self.has(slot) { self.known(slot)?.floats().first().copied() } else { Some(none) };
        let (least, most) = (bound(1, f64::NEG_INFINITY)?, bound(2, f64::INFINITY)?);
        if self.opset < 11 {
            return None;
        }
        Some(match self.known(0)? {
            Known::Ints(v) => Known::Ints(v.iter().map(|v| (*v).max(least as i64).min(most as i64)).collect()),
            Known::Floats(v) => Known::Floats(v.iter().map(|v| v.max(least).min(most)).collect()),
        })
    }

    /// The elements of a reduction of all of a list of integers.
    pub(super) fn reduced(&self, x: &Fact) -> Option<Known> {
        let list = x.known.as_ref().filter(|_| x.rank() <= 1)?.ints()?;
        let value = match self.node.op_type() {
            "ReduceProd" => list.iter().try_fold(1i64, |n, v| n.checked_mul(*v))?,
            "ReduceSum" => list.iter().try_fold(0i64, |n, v| n.checked_add(*v))?,
            "ReduceMax" => *list.iter().max()?,
            "ReduceMin" => *list.iter().min()?,
            _ => return None,
        };
        Some(Known::Ints(vec![value]))
    }

    pub(super) fn cast_to(&self) -> Option<DataType> {
        DataType::try_from(i32::try_from(self.node.int("to")?).ok()?).ok()
    }
}

/// Where element `i` of the result comes from in an input that is broadcast.
fn place(i: usize, out: &[usize], shape: &[usize]) -> usize {
    let (mut rest, mut place, mut stride) = (i, 0, 1);
    for (d, size) in out.iter().enumerate().rev() {
        let at = rest % size.max(&1);
        rest /= size.max(&1);
        if let Some(own) = (d + shape.len()).checked_sub(out.len()).map(|j| shape[j]) {
            place += if own == 1 { 0 } else { at * stride };
            stride *= own;
        }
    }
    place
}

/// Places in the input of the elements of a result that walks it from `start` with one stride an axis of `shape`.
pub(super) fn walk(start: isize, shape: &[usize], strides: &[isize]) -> Option<Vec<usize>> {
    let count = element_count(shape).filter(|n| *n <= KNOWN_UP_TO)?;
    let at = |i: usize| {
        let (mut rest, mut place) = (i, start);
        for (size, stride) in shape.iter().zip(strides).rev() {
            place += (rest % size) as isize * stride;
            rest /= size;
        }
        usize::try_from(place).ok()
    };
    (0..count).map(at).collect()
}

/// Distance in memory from one element to the next along each axis.
pub(super) fn strides(shape: &[usize]) -> Vec<isize> {
    let mut out = vec![1isize; shape.len()];
    for i in (1..shape.len()).rev() {
        out[i - 1] = out[i].saturating_mul(shape[i] as isize);
    }
    out
}

pub(super) fn is_integer(dtype: DataType) -> bool {
    !matches!(dtype, DataType::Float | DataType::Double | DataType::Float16 | DataType::Bfloat16)
}

/// A number as a float type holds it: runtimes compute with what the type has, and a floor behind may tell the difference.
fn held(dtype: DataType, v: f64) -> f64 {
    match dtype {
        DataType::Float => f64::from(v as f32),
        DataType::Float16 => half::f16::from_f64(v).to_f64(),
        DataType::Bfloat16 => half::bf16::from_f64(v).to_f64(),
        _ => v,
    }
}

/// An integer as an integer type holds it.
fn wrapped(dtype: DataType, v: i64) -> i64 {
    match dtype {
        DataType::Bool => i64::from(v != 0),
        DataType::Int8 => i64::from(v as i8),
        DataType::Uint8 => i64::from(v as u8),
        DataType::Int16 => i64::from(v as i16),
        DataType::Uint16 => i64::from(v as u16),
        DataType::Int32 => i64::from(v as i32),
        DataType::Uint32 => i64::from(v as u32),
        _ => v,
    }
}

fn unary_int(op: &str, v: i64) -> i64 {
    match op {
        "Abs" => v.saturating_abs(),
        "Neg" => v.saturating_neg(),
        "Not" => i64::from(v == 0),
        _ => v,
    }
}

fn unary_float(op: &str, v: f64) -> f64 {
    match op {
        "Abs" => v.abs(),
        "Neg" => -v,
        "Ceil" => v.ceil(),
        "Floor" => v.floor(),
        "Round" => v.round_ties_even(),
        "Sqrt" => v.sqrt(),
        _ => v,
    }
}

fn binary_int(op: &str, a: i64, b: i64) -> Option<i64> {
    Some(match op {
        "Add" => a.checked_add(b)?,
        "Sub" => a.checked_sub(b)?,
        "Mul" => a.checked_mul(b)?,
        "Div" => a.checked_div(b)?,
        "Mod" if b > 0 => a.rem_euclid(b),
        "Max" => a.max(b),
        "Min" => a.min(b),
        "Pow" => a.checked_pow(u32::try_from(b).ok()?)?,
        "And" => i64::from(a != 0 && b != 0),
        "Or" => i64::from(a != 0 || b != 0),
        "Equal" => i64::from(a == b),
        "Less" => i64::from(a < b),
        "LessOrEqual" => i64::from(a <= b),
        "Greater" => i64::from(a > b),
        "GreaterOrEqual" => i64::from(a >= b),
        _ => return None,
    })
}

fn binary_float(op: &str, a: f64, b: f64) -> Option<f64> {
    let truth = |t: bool| if t { 1.0 } else { 0.0 };
    Some(match op {
        "Add" => a + b,
        "Sub" => a - b,
        "Mul" => a * b,
        "Div" => a / b,
        "Max" => a.max(b),
        "Min" => a.min(b),
        "Pow" => a.powf(b),
        "Equal" => truth(a == b),
        "Less" => truth(a < b),
        "LessOrEqual" => truth(a <= b),
        "Greater" => truth(a > b),
        "GreaterOrEqual" => truth(a >= b),
        _ => return None,
    })
}
