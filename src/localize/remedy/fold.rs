//! Convolutions and matrix products with what is folded into them: a weight, a bias, and an affine map for each channel behind it.
//!
//! Batch norm is folded on one side and not on the other; compared are the folded parameters (Jacob et al., arXiv 1712.05877, section 3.2).

use crate::model::{NodeExt, ValueId};
use crate::run::{Network, OpId, Value};

/// `y = a·x + b`, one entry a channel.
#[derive(Debug, Clone)]
pub(super) struct Affine {
    pub a: Vec<f32>,
    pub b: Vec<f32>,
}

/// A convolution or matrix product with constant weights.
#[derive(Debug, Clone)]
pub(super) struct Linear {
    pub op: OpId,
    /// Input slot of the weight.
    pub weight: usize,
    /// Input slot of the bias, where the operator has one.
    pub bias: Option<usize>,
    /// Axis of the weight that counts output channels.
    pub axis: usize,
    /// The ops behind it that are an affine map for each channel.
    pub tail: Vec<OpId>,
    /// That map.
    pub affine: Affine,
    /// Gemm's alpha, 1 otherwise.
    pub alpha: f32,
    /// Gemm's beta, 1 otherwise.
    pub beta: f32,
}

impl Linear {
    /// Reads an op and what follows it, as long as it lies within `inside` and `stop` does not hold for the value reached.
    pub fn read(network: &Network, id: OpId, inside: &[OpId], stop: impl Fn(ValueId) -> bool) -> Option<Self> {
        let op = network.op(id);
        let constant = |slot: usize| op.inputs.get(slot).copied().flatten().and_then(|v| network.constant(v));
        let (weight, bias, axis) = match op.op_type() {
            "Conv" | "FusedConv" => (1, Some(2), 0),
            "ConvTranspose" => (1, Some(2), 1),
            "Gemm" => (1, Some(2), if op.proto().int("transB").unwrap_or(0) != 0 { 0 } else { 1 }),
            "MatMul" => (1, None, constant(1)?.shape().len().checked_sub(1)?),
            _ => return None,
        };
        let w = constant(weight)?;
        if !w.is_float() {
            return None;
        }
        let channels = *w.shape().get(axis)?;
        let float = |name: &str| if op.op_type() == "Gemm" { op.proto().float(name).unwrap_or(1.0) } else { 1.0 };
        let mut out = Self {
            op: id,
            weight,
            bias,
            axis,
            tail: Vec::new(),
            affine: Affine { a: vec![1.0; channels], b: vec![0.0; channels] },
            alpha: float("alpha"),
            beta: float("beta"),
        };
        let mut at = op.made().next()?;
        while !stop(at) {
            let [next] = network.consumers(at) else { break };
            if !inside.contains(next) || network.outputs().contains(&at) {
                break;
            }
            let Some(step) = affine(network, *next, at, channels) else { break };
            for i in 0..channels {
                out.affine.b[i] = out.affine.b[i] * step.a[i] + step.b[i];
                out.affine.a[i] *= step.a[i];
            }
            out.tail.push(*next);
            at = network.op(*next).made().next()?;
        }
        Some(out)
    }

    /// The weight with output channels first, two axes for matrix products.
    pub fn channels_first(&self, w: &Value) -> Option<Value> {
        if self.axis == 0 {
            return Some(w.clone());
        }
        let mut perm: Vec<usize> = (0..w.shape().len()).collect();
        perm.swap(0, self.axis);
        w.transpose(&perm)
    }

    /// Back from [`Linear::channels_first`].
    pub fn own_order(&self, w: &Value) -> Option<Value> {
        self.channels_first(w)
    }

    /// The weight itself.
    pub fn value<'a>(&self, network: &'a Network, slot: usize) -> Option<&'a Value> {
        network.constant((*network.op(self.op).inputs.get(slot)?)?)
    }

    /// The bias as one entry a channel, zeros where there is none.
    pub fn bias_values(&self, network: &Network) -> Vec<f32> {
        let n = self.affine.a.len();
        let own = self.bias.and_then(|slot| self.value(network, slot)).map(|b| per_channel(b, n));
        own.flatten().unwrap_or_else(|| vec![0.0; n])
    }
}

/// A constant as one entry a channel, when it has that many elements or one.
pub(super) fn per_channel(v: &Value, channels: usize) -> Option<Vec<f32>> {
    let x = v.to_f32();
    match x.len() {
        1 => Some(vec![x[0]; channels]),
        n if n == channels => Some(x.into_owned()),
        _ => None,
    }
}

/// One op as an affine map for each channel.
pub(super) fn affine(network: &Network, id: OpId, input: ValueId, channels: usize) -> Option<Affine> {
    let op = network.op(id);
    let constant =
        |slot: usize| op.inputs.get(slot).copied().flatten().and_then(|v| network.constant(v)).and_then(|c| per_channel(c, channels));
    let first = op.inputs.first().copied().flatten() == Some(input);
    let (ones, zeros) = (vec![1.0; channels], vec![0.0; channels]);
    Some(match op.op_type() {
        "BatchNormalization" => {
            let (scale, shift, mean, var) = (constant(1)?, constant(2)?, constant(3)?, constant(4)?);
            let epsilon = op.proto().float("epsilon").unwrap_or(1e-5);
            let a: Vec<f32> = scale.iter().zip(&var).map(|(s, v)| s / (v + epsilon).sqrt()).collect();
            let b = shift.iter().zip(&mean).zip(&a).map(|((s, m), a)| s - m * a).collect();
            Affine { a, b }
        }
        "Identity" => Affine { a: ones, b: zeros },
        "Add" => Affine { a: ones, b: constant(usize::from(first))? },
        "Sub" if first => Affine { a: ones, b: constant(1)?.iter().map(|x| -x).collect() },
        "Mul" => Affine { a: constant(usize::from(first))?, b: zeros },
        "Div" if first => Affine { a: constant(1)?.iter().map(|x| 1.0 / x).collect(), b: zeros },
        _ => return None,
    })
}
