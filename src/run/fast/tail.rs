//! What follows a convolution or product and can be done before its result is written: factors and terms of channels, a value added,
//! limits.

use super::planes::Clamp;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::math::{Add, Max, Min, Mul, Sub};
use tract_onnx::tract_hir::internal::*;

/// `clamp((result * factor + term) + added)`, and the node after which the model goes on.
#[derive(Debug, Clone)]
pub(super) struct Tail {
    /// One for each channel.
    pub factors: Vec<f32>,
    /// One for each channel.
    pub terms: Vec<f32>,
    pub added: Option<OutletId>,
    pub clamp: Clamp,
    pub last: usize,
}

impl Tail {
    /// Follows a node as long as it has one reader that fits; `axis` is where the result has its channels, `count` of them.
    /// `adding` says whether another value may be added.
    pub fn of(model: &TypedModel, id: usize, axis: usize, count: usize, adding: bool) -> Self {
        let mut tail = Self { factors: vec![1.0; count], terms: vec![0.0; count], added: None, clamp: Clamp::NONE, last: id };
        while let Some(next) = tail.next(model, axis, adding) {
            tail.last = next;
        }
        tail
    }

    /// Takes in the next node, if it can be.
    fn next(&mut self, model: &TypedModel, axis: usize, adding: bool) -> Option<usize> {
        let from = OutletId::from(self.last);
        if model.output_outlets().ok()?.contains(&from) {
            return None;
        }
        let next = model.single_succ(self.last).ok()??;
        let op = &next.op_as::<TypedBinOp>()?.0;
        let (here, there) = (model.outlet_fact(from).ok()?, model.outlet_fact(next.id.into()).ok()?);
        if here.shape != there.shape || there.datum_type != f32::datum_type() || next.inputs.len() != 2 {
            return None;
        }
        let slot = next.inputs.iter().position(|i| *i == from)?;
        let other = *next.inputs.get(1 - slot)?;
        // A value combined with itself is no tail.
        if other == from {
            return None;
        }
        let fact = model.outlet_fact(other).ok()?;
        let open = self.added.is_none() && self.clamp == Clamp::NONE;
        let Some(constant) = &fact.konst else {
            let fits = adding && open && op.is::<Add>() && fact.shape == here.shape && fact.datum_type == f32::datum_type();
            if !fits {
                return None;
            }
            self.added = Some(other);
            return Some(next.id);
        };
        let values = along(constant, axis, self.terms.len())?;
        let each = |v: &mut [f32], f: &dyn Fn(f32, f32) -> f32| v.iter_mut().zip(&values).for_each(|(v, c)| *v = f(*v, *c));
        if op.is::<Add>() && open {
            each(&mut self.terms, &|t, c| t + c);
        } else if op.is::<Sub>() && open && slot == 0 {
            each(&mut self.terms, &|t, c| t - c);
        } else if op.is::<Mul>() && open {
            each(&mut self.terms, &|t, c| t * c);
            each(&mut self.factors, &|f, c| f * c);
        } else {
            let limit = *values.first().filter(|v| !v.is_nan() && values.iter().all(|o| o == *v))?;
            let Clamp { low, high } = self.clamp;
            // The later limit wins where they cross.
            if op.is::<Max>() {
                self.clamp = Clamp { low: low.max(limit), high: high.max(limit) };
            } else if op.is::<Min>() {
                self.clamp = Clamp { low: low.min(limit), high: high.min(limit) };
            } else {
                return None;
            }
        }
        Some(next.id)
    }

    /// The term of each channel, with the bias that was there before.
    pub fn bias(&self, before: &[f32]) -> Vec<f32> {
        let at = |i: usize| before.get(i % before.len().max(1)).copied().unwrap_or(0.0);
        self.terms.iter().zip(&self.factors).enumerate().map(|(i, (t, f))| at(i) * f + t).collect()
    }
}

/// A constant's value for each channel, where it has one for each or one for all.
fn along(constant: &Tensor, axis: usize, count: usize) -> Option<Vec<f32>> {
    let plain = constant.try_as_plain_ram().ok()?;
    let values = plain.as_slice::<f32>().ok()?;
    if let [one] = values {
        return Some(vec![*one; count]);
    }
    let fits = values.len() == count && constant.shape().get(axis) == Some(&count);
    fits.then(|| values.to_vec())
}
