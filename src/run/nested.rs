//! Loop and If: their graphs as networks of their own, run as often as is said.

use super::error::RunError;
use super::evaluator::Input;
use super::network::Network;
use super::value::Value;
use crate::model::onnx::tensor_proto::DataType;
use crate::model::onnx::{AttributeProto, ModelProto, NodeProto, OperatorSetIdProto, ValueInfoProto};
use crate::model::{Model, NodeExt, reads};
use prost::Message;
use std::collections::HashMap;

/// More turns than any network takes: a condition that never fails.
const MOST: i64 = 100_000;

/// The attribute that names what the body reads from outside, in the order of the inputs that stand for it.
const CAPTURED: &str = "fixcon_captured";

/// Whether a node has graphs of its own that are run here.
pub(super) fn is_nested(node: &NodeProto) -> bool {
    matches!(node.op_type(), "Loop" | "If") && node.domain_name().is_empty()
}

/// The node with what its graphs read from outside as further inputs.
pub(super) fn opened(node: &NodeProto) -> NodeProto {
    let mut out = node.clone();
    // Its own inputs come first among what it reads.
    let own = node.input.iter().filter(|n| !n.is_empty()).count();
    let mut captured: Vec<&str> = Vec::new();
    for name in reads(node).into_iter().skip(own) {
        if !captured.contains(&name) {
            captured.push(name);
        }
    }
    out.input.extend(captured.iter().map(|n| (*n).to_string()));
    out.attribute.push(AttributeProto::of_strings(CAPTURED, &captured));
    out
}

/// A node with graphs of its own, made ready.
#[derive(Debug)]
pub(super) enum Nested {
    /// A Loop.
    Loop(Box<Loop>),
    /// An If: what it does where its condition holds, and where it does not.
    If(Box<[Network; 2]>),
}

impl Nested {
    /// Makes the graphs of an [`opened`] node ready.
    ///
    /// # Errors
    /// When one is missing, or cannot be read.
    pub fn new(node: &NodeProto, opset: i64, limit: u64) -> Result<Self, RunError> {
        if node.op_type() == "Loop" {
            return Loop::new(node, opset, limit).map(|body| Self::Loop(Box::new(body)));
        }
        let branch = |name| graph(node, name, opset, limit).map(|(network, _)| network);
        Ok(Self::If(Box::new([branch("then_branch")?, branch("else_branch")?])))
    }

    /// Runs it. The result has one entry for each output that the node names.
    ///
    /// # Errors
    /// When what it runs does not run or does not end.
    pub fn run(&self, node: &NodeProto, inputs: &[Input<'_>]) -> Result<Vec<Value>, RunError> {
        match self {
            Self::Loop(body) => body.run(node, inputs),
            Self::If(branches) => {
                let mut given = inputs.iter().map(|i| match i {
                    Input::Constant(v) | Input::Data(v) => Ok((*v).clone()),
                    Input::Missing => Err(RunError::new("an input of an If is missing")),
                });
                let condition = given.next().ok_or_else(|| RunError::new("an If without a condition"))??;
                let [holds, fails] = &**branches;
                let branch = if condition.to_i64().first().is_some_and(|c| *c != 0) { holds } else { fails };
                let made = outputs(branch, &given.collect::<Result<Vec<_>, _>>()?)?;
                Ok(made.into_iter().zip(&node.output).filter(|(_, name)| !name.is_empty()).map(|(v, _)| v).collect())
            }
        }
    }
}

/// A graph of a node as a network whose last inputs stand for what it reads from outside, with how many these are.
fn graph(node: &NodeProto, attribute: &str, opset: i64, limit: u64) -> Result<(Network, usize), RunError> {
    let op = node.op_type();
    let mut graph = node.attr(attribute).and_then(|a| a.g.clone()).ok_or_else(|| RunError::new(format!("{op} without a {attribute}")))?;
    let names = node.attr(CAPTURED).map(|a| a.strings.clone()).unwrap_or_default();
    let outside = names.iter().map(|n| String::from_utf8_lossy(n).into_owned());
    graph.input.extend(outside.map(|name| ValueInfoProto { name: Some(name), ..ValueInfoProto::default() }));
    let set = |domain: &str, version| OperatorSetIdProto { domain: Some(domain.into()), version: Some(version) };
    let proto = ModelProto {
        ir_version: Some(10),
        opset_import: vec![set("", opset), set("com.microsoft", 1)],
        graph: Some(graph),
        ..ModelProto::default()
    };
    let unreadable = |e: crate::model::ModelError| RunError::new(format!("the {attribute} of {op}: {e}"));
    let model = Model::read(proto.encode_to_vec().into(), None).map_err(unreadable)?;
    Ok((Network::limited(&model, limit).map_err(unreadable)?, names.len()))
}

/// What a network gives for these inputs.
fn outputs(network: &Network, given: &[Value]) -> Result<Vec<Value>, RunError> {
    let outputs = network.outputs();
    let mut values: HashMap<_, Value> = network.inputs().iter().copied().zip(given.iter().cloned()).collect();
    values.retain(|v, _| outputs.contains(v));
    let mut failure = None;
    network.forward(given, |id, made| match made {
        Ok(made) => values.extend(network.op(id).made().zip(made.iter().cloned()).filter(|(v, _)| outputs.contains(v))),
        Err(why) => {
            failure.get_or_insert_with(|| why.clone());
        }
    });
    if let Some(why) = failure {
        return Err(why);
    }
    let one = |v| values.get(&v).or_else(|| network.constant(v)).cloned();
    outputs.iter().map(|v| one(*v).ok_or_else(|| RunError::new("a graph within a node lacks an output"))).collect()
}

/// A Loop made ready.
#[derive(Debug)]
pub(super) struct Loop {
    body: Network,
    /// Values that go round.
    carried: usize,
    /// Inputs that stand for what the body reads from outside.
    captured: usize,
}

impl Loop {
    fn new(node: &NodeProto, opset: i64, limit: u64) -> Result<Self, RunError> {
        let (body, captured) = graph(node, "body", opset, limit)?;
        let own = body.inputs().len().saturating_sub(captured);
        let carried = own.checked_sub(2).filter(|n| body.outputs().len() > *n);
        let carried = carried.ok_or_else(|| RunError::new("the body of a Loop takes a number and a condition, and gives a condition"))?;
        let given = node.input.len().saturating_sub(2 + captured);
        if given != carried {
            return Err(RunError::new(format!("{given} values go round, the body takes {carried}")));
        }
        Ok(Self { body, carried, captured })
    }

    /// Runs it. The result has one entry for each output that the node names.
    ///
    /// # Errors
    /// When the body does not run, does not end, or does not run even once where it was to collect values.
    fn run(&self, node: &NodeProto, inputs: &[Input<'_>]) -> Result<Vec<Value>, RunError> {
        let value = |at: usize| match inputs.get(at) {
            Some(Input::Constant(v) | Input::Data(v)) => Some((*v).clone()),
            _ => None,
        };
        let first = |v: Value| v.to_i64().first().copied();
        let turns = value(0).and_then(first).unwrap_or(i64::MAX);
        let mut goes_on = value(1).and_then(first).is_none_or(|c| c != 0);
        let needed = |at: usize| value(at).ok_or_else(|| RunError::new(format!("input {at} of a Loop is missing")));
        let mut carried: Vec<Value> = (2..2 + self.carried).map(needed).collect::<Result<_, _>>()?;
        let outside: Vec<Value> = (2 + self.carried..2 + self.carried + self.captured).map(needed).collect::<Result<_, _>>()?;
        let mut collected: Vec<Vec<Value>> = vec![Vec::new(); self.body.outputs().len() - 1 - self.carried];
        let mut turn = 0;
        while turn < turns && goes_on {
            if turn == MOST {
                return Err(RunError::new(format!("a Loop does not end within {MOST} turns")));
            }
            let condition = Value::from_bytes(DataType::Bool, &[], &[1])?;
            let given = [Value::from_i64(&[], vec![turn]), condition].into_iter().chain(carried).chain(outside.iter().cloned());
            let mut made = outputs(&self.body, &given.collect::<Vec<_>>())?.into_iter();
            goes_on = made.next().and_then(first).is_some_and(|c| c != 0);
            carried = made.by_ref().take(self.carried).collect();
            collected.iter_mut().zip(made).for_each(|(all, v)| all.push(v));
            turn += 1;
        }
        let all = carried.into_iter().map(Ok).chain(collected.iter().map(|values| stacked(values)));
        all.zip(&node.output).filter(|(_, name)| !name.is_empty()).map(|(v, _)| v).collect()
    }
}

/// Values of one shape along a new first axis.
fn stacked(values: &[Value]) -> Result<Value, RunError> {
    let first = values.first().ok_or_else(|| RunError::new("a Loop that never runs collects nothing"))?;
    if values.iter().any(|v| v.shape() != first.shape() || v.dtype() != first.dtype()) {
        return Err(RunError::new("a Loop collects values of different shapes"));
    }
    let shape: Vec<usize> = std::iter::once(values.len()).chain(first.shape().iter().copied()).collect();
    Value::from_bytes(first.dtype(), &shape, &values.iter().flat_map(|v| v.bytes().iter().copied()).collect::<Vec<u8>>())
}
