//! Single nodes on given values: one optimised tract plan for each, kept.
//!
//! A plan is found again by what determines it: operator, attributes, element types and shapes of the inputs, the constants. So
//! networks that differ in one node share all other plans.

use super::budget;
use super::error::{RunError, guarded};
use super::half;
use super::lower::{Extent, Given, finish, lower};
use super::nested::{Nested, is_nested};
use super::types;
use super::value::Value;
use crate::model::onnx::NodeProto;
use prost::Message;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tract_onnx::prelude::*;

/// One input of a node.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// An optional input that is not there.
    Missing,
    /// A weight: built into the plan.
    Constant(&'a Value),
    /// A value that differs from image to image.
    Data(&'a Value),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Slot {
    Missing,
    /// A constant, by address; the plan keeps it alive.
    Constant(usize),
    /// A small constant, by content: shapes and axes, which tract must know when it builds.
    Bound(i32, Vec<usize>, Vec<u8>),
    Data(i32, Vec<usize>),
}

type Key = (i64, Arc<[u8]>, Vec<Slot>);

/// Operator set and signature.
type NestedKey = (i64, Arc<[u8]>);

struct NodePlan {
    plan: Arc<TypedSimplePlan>,
    /// The slots whose values the plan takes.
    data: Vec<usize>,
    /// The weights in it; that they are kept keeps the addresses in the key from being used again.
    constants: Vec<Value>,
}

/// Evaluates nodes and keeps their plans.
pub struct Evaluator {
    /// Where plans without weights go, and all are looked for first.
    base: Option<Arc<Self>>,
    plans: Mutex<HashMap<Key, Arc<NodePlan>>>,
    nested: Mutex<HashMap<NestedKey, Arc<Nested>>>,
    limit: u64,
}

impl Default for Evaluator {
    fn default() -> Self {
        Self::limited(budget::DEFAULT)
    }
}

impl std::fmt::Debug for Evaluator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Evaluator").finish_non_exhaustive()
    }
}

/// A node with its names taken out, so that equal nodes have equal plans.
#[derive(Debug, Clone)]
pub struct Kernel {
    node: Arc<NodeProto>,
    opset: i64,
    signature: Arc<[u8]>,
}

impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        self.opset == other.opset && self.signature == other.signature
    }
}

impl Kernel {
    /// Takes operator, attributes and number of inputs and outputs of a node; `opset` is ONNX's own, in which nodes of other domains are
    /// rewritten too.
    pub fn new(node: &NodeProto, opset: i64) -> Self {
        let mut node = node.clone();
        node.name = Some("node".into());
        node.doc_string = None;
        node.metadata_props.clear();
        for (i, name) in node.input.iter_mut().enumerate().filter(|(_, n)| !n.is_empty()) {
            *name = format!("i{i}");
        }
        for (i, name) in node.output.iter_mut().enumerate().filter(|(_, n)| !n.is_empty()) {
            *name = format!("o{i}");
        }
        let signature = node.encode_to_vec().into();
        Self { node: Arc::new(node), opset, signature }
    }

    /// The opset that says what the operator means.
    pub(super) fn opset(&self) -> i64 {
        self.opset
    }

    /// The node, its names replaced by `i0`, `i1`, ... and `o0`, ...
    pub fn node(&self) -> &NodeProto {
        &self.node
    }
}

/// Inputs that tract must know when it builds: shapes, axes, counts, bounds.
fn is_bound(op: &str, slot: usize) -> bool {
    match op {
        "ConstantOfShape" | "Range" => true,
        "Reshape" | "Expand" | "Slice" | "Pad" | "Squeeze" | "Unsqueeze" | "Resize" | "Upsample" | "Tile" | "TopK" | "OneHot" | "Split"
        | "SplitToSequence" | "CumSum" | "Trilu" | "Clip" | "NonMaxSuppression" | "CenterCropPad" => slot > 0,
        _ => op.starts_with("Reduce") && slot > 0,
    }
}

impl Evaluator {
    /// An evaluator that refuses to make values of more bytes than this.
    pub fn limited(limit: u64) -> Self {
        Self { base: None, plans: Mutex::default(), nested: Mutex::default(), limit }
    }

    /// An evaluator for a network that is soon dropped: it has the plans of `base`, and those of weights that only it has go with it.
    pub fn upon(base: &Arc<Self>) -> Self {
        Self { base: Some(base.clone()), ..Self::limited(base.limit) }
    }

    fn find(&self, key: &Key) -> Option<Arc<NodePlan>> {
        let in_base = self.base.as_ref().and_then(|base| base.find(key));
        in_base.or_else(|| self.plans.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    fn keep(&self, key: Key, plan: Arc<NodePlan>) -> Arc<NodePlan> {
        match &self.base {
            Some(base) if plan.constants.is_empty() => base.keep(key, plan),
            _ => self.plans.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_insert(plan).clone(),
        }
    }

    /// Bytes that one value may have.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Runs one node. The result has one entry for each output that the node names.
    ///
    /// # Errors
    /// When tract cannot build or run the node, or gives up in a panic.
    pub fn eval(&self, kernel: &Kernel, inputs: &[Input<'_>]) -> Result<Vec<Value>, RunError> {
        let op = kernel.node.op_type();
        if is_nested(&kernel.node) {
            return self.nested(kernel)?.run(&kernel.node, inputs);
        }
        // What is folded runs once: its inputs are not built into the plan, so that the size of its outputs is seen before they are made.
        let folding = !inputs.iter().any(|i| matches!(i, Input::Data(_)));
        let slots = inputs.iter().enumerate().map(|(i, input)| match input {
            Input::Missing => Slot::Missing,
            Input::Constant(v) | Input::Data(v) if is_bound(op, i) && v.len() <= 256 => {
                Slot::Bound(v.dtype() as i32, v.shape().to_vec(), v.bytes().to_vec())
            }
            Input::Constant(v) if !folding => Slot::Constant(Arc::as_ptr(&v.0) as usize),
            Input::Constant(v) | Input::Data(v) => Slot::Data(v.dtype() as i32, v.shape().to_vec()),
        });
        let key: Key = (kernel.opset, kernel.signature.clone(), slots.collect());
        let plan = match self.find(&key) {
            Some(plan) => plan,
            None => {
                // The kernel's own names mean nothing outside.
                let built = guarded(|| self.build(kernel, inputs, &key.2)).map_err(|e| RunError { node: None, ..e })?;
                self.keep(key, Arc::new(built))
            }
        };
        guarded(|| {
            let values = plan.data.iter().map(|i| match inputs[*i] {
                Input::Data(v) | Input::Constant(v) => TValue::from_const(v.0.clone()),
                Input::Missing => unreachable!("data slots hold data"),
            });
            let out = plan.plan.run(values.collect()).map_err(RunError::from_tract)?;
            Ok(out.into_iter().map(Value::from_tensor).collect())
        })
    }

    fn nested(&self, kernel: &Kernel) -> Result<Arc<Nested>, RunError> {
        let key = (kernel.opset, kernel.signature.clone());
        if let Some(found) = self.nested.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(found.clone());
        }
        let built = Arc::new(Nested::new(&kernel.node, kernel.opset, self.limit)?);
        Ok(self.nested.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_insert(built).clone())
    }

    fn build(&self, kernel: &Kernel, inputs: &[Input<'_>], slots: &[Slot]) -> Result<NodePlan, RunError> {
        let node = kernel.node();
        let types: Vec<_> = inputs
            .iter()
            .map(|i| match i {
                Input::Missing => None,
                Input::Constant(v) | Input::Data(v) => Some(v.dtype()),
            })
            .collect();
        // What the checker refuses is looked at all the same when a fault is sought; the runtime would take for ever over some of it.
        crate::model::values(node).map_err(RunError::new)?;
        types::check(node, &types)?;
        budget::check_inputs(node, inputs, self.limit)?;
        let mut constants = HashMap::new();
        let mut given = Vec::new();
        let mut data = Vec::new();
        for (i, (input, slot)) in inputs.iter().zip(slots).enumerate() {
            let Some(name) = node.input.get(i) else { break };
            match (slot, input) {
                (Slot::Data(..), Input::Data(v) | Input::Constant(v)) => {
                    given.push(Given { name, dtype: v.dtype(), shape: v.shape() });
                    data.push(i);
                }
                (_, Input::Constant(v) | Input::Data(v)) => {
                    constants.insert(name.as_str(), (*v).clone());
                }
                (_, Input::Missing) => {}
            }
        }
        let outputs: Vec<&str> = node.output.iter().filter(|o| !o.is_empty()).map(String::as_str).collect();
        let wide = half::widened(node, &types);
        let nodes: Vec<_> = wide.as_ref().map_or_else(|| vec![node], |n| n.iter().collect());
        let model = lower(Extent::Node, kernel.opset, &nodes, &given, &constants, &outputs)?;
        budget::check(&model, self.limit)?;
        let plan = finish(model)?;
        Ok(NodePlan { plan, data, constants: constants.into_values().collect() })
    }
}
