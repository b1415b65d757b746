//! Element types and shapes of every value, for concrete input shapes, with small integer tensors followed through the graph.

mod compute;
mod known;
mod layout;
mod resize;
mod typing;
mod windows;

use super::finding::{Fault, Finding, Severity};
use super::onnx::NodeProto;
use super::onnx::tensor_proto::DataType;
use super::types::{self, Known, data_size, element_count};
use super::{Model, NodeExt, ValueId};

/// Element type and dimensions of a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fact {
    pub dtype: DataType,
    pub shape: Vec<usize>,
    /// The elements, where they are few, known before the network runs, and may be somebody's shape or bounds.
    pub known: Option<Known>,
}

impl Fact {
    fn new(dtype: DataType, shape: impl Into<Vec<usize>>) -> Self {
        Self { dtype, shape: shape.into(), known: None }
    }

    fn with(mut self, known: Option<Known>) -> Self {
        self.known = known.filter(|k| Some(k.len()) == element_count(&self.shape));
        self
    }

    /// Whether one can count with its dimensions.
    fn is_sane(&self) -> bool {
        self.dtype != DataType::Undefined
            && self.shape.iter().all(|d| *d <= LARGEST)
            && element_count(&self.shape).is_some_and(|n| n <= LARGEST)
    }

    fn rank(&self) -> usize {
        self.shape.len()
    }
}

/// Facts of a node's outputs by slot; those that are not there, or `None`, are unknown.
type Answer = Result<Vec<Option<Fact>>, Fault>;

/// What inference may find acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of one value.
    pub value: usize,
    /// Multiplications, or comparisons, of one node.
    pub work: u64,
}

impl Default for Budget {
    /// 2 GiB a value, 10¹³ multiplications a node: far above any network for images, far below what takes a machine down.
    fn default() -> Self {
        Self { value: 2 << 30, work: 10_000_000_000_000 }
    }
}

/// The result of [`infer`].
#[derive(Debug, Clone, Default)]
pub struct Shapes {
    facts: Vec<Option<Fact>>,
    /// Nodes whose inputs are known and contradict the operator, in order of running. What lies below them is unknown, not repeated.
    pub findings: Vec<Finding>,
}

impl Shapes {
    /// Element type and dimensions of a value; `None` when they cannot be known.
    pub fn get(&self, value: ValueId) -> Option<(DataType, &[usize])> {
        self.facts.get(value.0 as usize)?.as_ref().map(|f| (f.dtype, &f.shape[..]))
    }

    /// The elements of a small integer tensor that is known before the network runs: a shape, axes, bounds.
    pub fn ints(&self, value: ValueId) -> Option<&[i64]> {
        self.facts.get(value.0 as usize)?.as_ref()?.known.as_ref()?.ints()
    }
}

/// Infers the shapes of a model whose inputs (in the order of [`super::Index::inputs`]) have these element types and dimensions.
///
/// Never allocates by what a file declares: values larger than the budget are findings. Operators that are not known here, values of
/// sequences and results of sub-graphs stay unknown. Functions are not entered: inline them first.
pub fn infer(model: &Model, inputs: &[(DataType, Vec<usize>)], budget: Budget) -> Shapes {
    infer_some(model, &inputs.iter().cloned().map(Some).collect::<Vec<_>>(), budget)
}

/// As [`infer`], where inputs may be unknown: what depends on them is unknown too.
pub(super) fn infer_some(model: &Model, inputs: &[Option<(DataType, Vec<usize>)>], budget: Budget) -> Shapes {
    let index = model.index();
    let mut out = Shapes { facts: vec![None; index.value_count()], findings: Vec::new() };
    for (id, input) in index.inputs().iter().zip(inputs) {
        out.facts[id.0 as usize] = input.as_ref().map(|(dtype, shape)| Fact::new(*dtype, shape.clone())).filter(Fact::is_sane);
    }
    for tensor in model.initializers() {
        let Some(id) = index.value(tensor.name()) else { continue };
        out.facts[id.0 as usize] = tensor_fact(model, tensor);
    }
    for sparse in model.sparse_initializers() {
        let (Some(values), Ok(shape)) = (&sparse.values, super::sparse::dims(sparse)) else { continue };
        let (Some(id), Ok(dtype)) = (index.value(values.name()), DataType::try_from(values.data_type())) else { continue };
        out.facts[id.0 as usize] = Some(Fact::new(dtype, shape)).filter(Fact::is_sane);
    }
    for id in index.order() {
        let node = model.node(*id);
        let call = Call {
            model,
            node,
            opset: model.opset(node.domain_name()),
            budget,
            inputs: node.input.iter().map(|n| if n.is_empty() { None } else { out.facts[index.value(n)?.0 as usize].as_ref() }).collect(),
        };
        // A wrong element type leaves the shape as it is: what lies below is looked at too.
        let typed = call.typed().err();
        let fault = match call.answer().and_then(|facts| call.affordable(facts)) {
            Ok(facts) => {
                for (name, fact) in node.output.iter().zip(facts).filter(|(n, _)| !n.is_empty()) {
                    if let Some(value) = index.value(name) {
                        out.facts[value.0 as usize] = fact;
                    }
                }
                typed
            }
            Err(fault) => typed.or(Some(fault)),
        };
        out.findings.extend(fault.map(|f| f.at(Severity::Error, *id, node.label())));
    }
    out
}

fn tensor_fact(model: &Model, tensor: &super::onnx::TensorProto) -> Option<Fact> {
    let dtype = DataType::try_from(tensor.data_type()).ok()?;
    Some(Fact::new(dtype, types::dims(tensor).ok()?).with(types::known(model, tensor))).filter(Fact::is_sane)
}

/// One node with what is known of its inputs.
struct Call<'a> {
    model: &'a Model,
    node: &'a NodeProto,
    opset: i64,
    budget: Budget,
    inputs: Vec<Option<&'a Fact>>,
}

/// No dimension is larger, not even that of a tensor without elements; nor is any initializer, in bytes.
const LARGEST: usize = 1 << 40;

/// The value of an option; leaves the outputs unknown when there is none.
macro_rules! need {
    ($value:expr) => {
        match $value {
            Some(value) => value,
            None => return Ok(Vec::new()),
        }
    };
}
use need;

/// A fault of a field, in words.
macro_rules! fault {
    ($field:expr, $($why:tt)*) => { Err($crate::model::finding::Fault::new($field, format!($($why)*))) };
}
use fault;

impl<'a> Call<'a> {
    fn answer(&self) -> Answer {
        match self.node.domain_name() {
            "" => {}
            "com.microsoft" => return self.microsoft(),
            _ => return Ok(Vec::new()),
        }
        if let Some(answer) = self.windows() {
            return answer;
        }
        if let Some(answer) = self.layout() {
            return answer;
        }
        self.compute()
    }

    fn microsoft(&self) -> Answer {
        let like = |slot: usize| Ok(vec![self.fact(slot).map(|f| Fact::new(f.dtype, f.shape.clone()))]);
        match self.node.op_type() {
            "QLinearAdd" | "QLinearMul" => self.broadcast_of(&[0, 3], None),
            "QLinearSigmoid" | "QLinearLeakyRelu" | "QLinearSoftmax" | "Gelu" | "QuickGelu" | "FastGelu" | "BiasGelu" => like(0),
            "QLinearGlobalAveragePool" if self.int("channels_last", 0) == 0 => self.global_pool(),
            "QLinearAveragePool" if self.int("channels_last", 0) == 0 => self.pool(),
            "FusedConv" => self.conv(0, 1, None),
            "QuantizeLinear" | "DequantizeLinear" => self.compute(),
            _ => Ok(Vec::new()),
        }
    }

    /// Refuses values that are too large; the elements of large ones are forgotten.
    fn affordable(&self, facts: Vec<Option<Fact>>) -> Answer {
        for fact in facts.iter().flatten() {
            let elements = element_count(&fact.shape);
            let bytes = elements.and_then(|n| if fact.dtype == DataType::String { n.checked_mul(16) } else { data_size(fact.dtype, n) });
            if bytes.is_none_or(|b| b > self.budget.value) || fact.shape.iter().any(|d| *d > LARGEST) {
                return fault!(
                    "",
                    "its output {:?} of {} is larger than the {} that one value may have",
                    fact.shape,
                    types::type_name(fact.dtype),
                    types::size(self.budget.value as u64)
                );
            }
        }
        Ok(facts)
    }

    fn affordable_work(&self, factors: &[&[usize]]) -> Result<(), Fault> {
        let work = factors.iter().copied().flatten().try_fold(1u64, |n, f| n.checked_mul(*f as u64));
        if work.is_some_and(|w| w <= self.budget.work) {
            Ok(())
        } else {
            fault!("", "it needs more than {:e} multiplications", self.budget.work as f64)
        }
    }

    fn fact(&self, slot: usize) -> Option<&'a Fact> {
        self.inputs.get(slot).copied().flatten()
    }

    /// Whether an optional input is there.
    fn has(&self, slot: usize) -> bool {
        self.node.input.get(slot).is_some_and(|n| !n.is_empty())
    }

    fn known(&self, slot: usize) -> Option<&'a Known> {
        self.fact(slot)?.known.as_ref()
    }

    fn ints_of(&self, slot: usize) -> Option<&'a [i64]> {
        self.known(slot)?.ints()
    }

    fn int(&self, name: &str, default: i64) -> i64 {
        self.node.int(name).unwrap_or(default)
    }

    /// An integer list that is an attribute in old operator sets and an input in new ones. `Err(())` when it is there and unknown.
    fn ints_or_input(&self, name: &str, slot: usize) -> Result<Option<Vec<i64>>, ()> {
        if self.has(slot) {
            return self.ints_of(slot).map(|v| Some(v.to_vec())).ok_or(());
        }
        Ok(self.node.ints(name).map(<[i64]>::to_vec))
    }
}

/// An axis, counted from the front.
fn axis(field: &str, axis: i64, rank: usize) -> Result<usize, Fault> {
    let from_front = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
    match from_front.and_then(|a| usize::try_from(a).ok()) {
        Some(a) if a < rank => Ok(a),
        _ => fault!(field, "axis {axis} of a tensor with {rank} dimensions"),
    }
}

/// Axes, counted from the front, each once.
fn axes(field: &str, list: &[i64], rank: usize) -> Result<Vec<usize>, Fault> {
    let mut out = Vec::with_capacity(list.len().min(rank));
    for a in list {
        let a = axis(field, *a, rank)?;
        if out.contains(&a) {
            return fault!(field, "axis {a} is there twice");
        }
        out.push(a);
    }
    Ok(out)
}

/// The shape two tensors have together.
fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, Fault> {
    let rank = a.len().max(b.len());
    let at = |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).map_or(1, |i| s[i]);
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => Ok(x),
            (1, y) => Ok(y),
            (x, 1) => Ok(x),
            _ => fault!("", "shapes {a:?} and {b:?} do not broadcast"),
        })
        .collect()
}
