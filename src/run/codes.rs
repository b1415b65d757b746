//! What the integers stand for that operators on quantised values hand to each other.
//!
//! QLinearConv and its like read and make numbers that are held in steps: `x = scale · (q - zero)`, with scale and zero point among the
//! node's inputs. Next to a model in floats it is `x` that can be compared, so whoever runs single nodes is given `x` and gives it.

use super::value::Value;
use crate::model::ValueId;
use crate::model::onnx::{NodeProto, tensor_proto::DataType};
use std::collections::HashMap;

/// The steps in which a value is held.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Code {
    /// One step.
    pub scale: f32,
    /// The integer that stands for 0.
    pub zero: f32,
    /// Of the integers.
    dtype: DataType,
    /// Least and greatest integer.
    limits: (f32, f32),
}

/// Where a node that quantises or reads what is quantised has the steps of one of its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// The slot of the value it reads; `None` for the value that it makes.
    pub reads: Option<usize>,
    /// The input slot of the scale.
    pub scale: usize,
    /// The input slot of the zero point.
    pub zero: usize,
}

/// onnxruntime's operators on integers with one value, whose steps stand behind it and whose result's steps stand behind these.
pub(super) const UNARY: [&str; 6] =
    ["QLinearSigmoid", "QLinearLeakyRelu", "QLinearGlobalAveragePool", "QLinearAveragePool", "QLinearSoftmax", "QLinearReduceMean"];

impl Steps {
    const fn of(reads: Option<usize>, scale: usize) -> Self {
        Self { reads, scale, zero: scale + 1 }
    }

    /// Those of a node, weights left aside.
    pub fn all(node: &NodeProto) -> Vec<Self> {
        let reads = |slot| Self::of(Some(slot), slot + 1);
        match node.op_type() {
            "QuantizeLinear" => vec![Self::of(None, 1)],
            "DequantizeLinear" => vec![reads(0)],
            "QLinearConv" | "QLinearMatMul" | "QLinearAdd" | "QLinearMul" => vec![reads(0), reads(3), Self::of(None, 6)],
            "QGemm" => vec![reads(0), reads(3), Self::of(None, 7)],
            op if UNARY.contains(&op) => vec![reads(0), Self::of(None, 3)],
            "QLinearConcat" => (2..node.input.len()).step_by(3).map(reads).chain([Self::of(None, 0)]).collect(),
            _ => Vec::new(),
        }
    }

    /// What they are, where both are known and hold for the whole value.
    pub(super) fn code(self, constant: impl Fn(usize) -> Option<Value>) -> Option<Code> {
        let (scale, zero) = (constant(self.scale)?, constant(self.zero)?);
        let limits = match zero.dtype() {
            DataType::Int8 => (-128.0, 127.0),
            DataType::Uint8 => (0.0, 255.0),
            DataType::Int16 => (-32768.0, 32767.0),
            DataType::Uint16 => (0.0, 65535.0),
            _ => return None,
        };
        let (s, z) = (scale.to_f32(), zero.to_f32());
        let ([scale], [of_zero]) = (&s[..], &z[..]) else { return None };
        (scale.is_finite() && *scale > 0.0).then_some(Code { scale: *scale, zero: *of_zero, dtype: zero.dtype(), limits })
    }
}

impl Code {
    /// The numbers that integers stand for.
    pub fn numbers(&self, codes: &Value) -> Value {
        Value::from_f32(codes.shape(), codes.to_f32().iter().map(|q| (q - self.zero) * self.scale).collect())
    }

    /// The integers that stand for numbers; those out of reach become the nearest.
    pub fn codes(&self, numbers: &Value) -> Option<Value> {
        let (low, high) = self.limits;
        let code = |x: &f32| ((x / self.scale).round_ties_even() + self.zero).clamp(low, high);
        Value::from_f32(numbers.shape(), numbers.to_f32().iter().map(code).collect()).cast(self.dtype)
    }
}

/// Whether an operator hands integers on as they are.
pub fn hands_on(op: &str) -> bool {
    matches!(
        op,
        "Identity"
            | "Reshape"
            | "Flatten"
            | "Squeeze"
            | "Unsqueeze"
            | "Transpose"
            | "Slice"
            | "Split"
            | "Gather"
            | "MaxPool"
            | "DepthToSpace"
            | "SpaceToDepth"
            | "Expand"
            | "Tile"
    )
}

/// An op as far as codes go.
pub(super) struct Part<'a> {
    pub node: &'a NodeProto,
    pub inputs: &'a [Option<ValueId>],
    pub outputs: &'a [Option<ValueId>],
}

/// The codes of all values that lie between operators on integers. Between a QuantizeLinear and its DequantizeLinear there is none to run.
pub(super) fn codes(parts: &[Part<'_>], constant: impl Fn(ValueId) -> Option<Value>, outputs: &[ValueId]) -> HashMap<ValueId, Code> {
    let integer = |node: &NodeProto| node.op_type().starts_with("QLinear") || node.op_type() == "QGemm";
    if !parts.iter().any(|p| integer(p.node)) {
        return HashMap::new();
    }
    // From below: what an operator on integers reads, through others that hand it on.
    let mut read: std::collections::HashSet<ValueId> = std::collections::HashSet::new();
    for part in parts.iter().rev() {
        if integer(part.node) {
            read.extend(Steps::all(part.node).iter().filter_map(|s| part.inputs.get(s.reads?).copied().flatten()));
        } else if hands_on(part.node.op_type()) && part.outputs.iter().flatten().any(|v| read.contains(v)) {
            read.extend(part.inputs.first().copied().flatten());
        }
    }
    let mut out: HashMap<ValueId, Code> = HashMap::new();
    for part in parts {
        let made = part.outputs.iter().flatten().copied();
        let code = if hands_on(part.node.op_type()) {
            part.inputs.first().copied().flatten().and_then(|v| out.get(&v).copied())
        } else {
            let steps = Steps::all(part.node).into_iter().find(|s| s.reads.is_none());
            let known = |slot: usize| part.inputs.get(slot).copied().flatten().and_then(&constant);
            let wanted = integer(part.node) || part.outputs.iter().flatten().any(|v| read.contains(v));
            steps.filter(|_| wanted).and_then(|s| s.code(known))
        };
        out.extend(made.zip(std::iter::repeat(code)).filter_map(|(v, c)| Some((v, c?))));
    }
    // What the model gives is what it says.
    out.retain(|v, _| !outputs.contains(v));
    out
}
