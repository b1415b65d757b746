//! The whole network as one plan, optimised for its outputs.

use super::budget;
use super::error::{RunError, guarded};
use super::half;
use super::lower::{Extent, Given, finish, lower};
use super::network::Network;
use super::value::Value;
use crate::model::onnx::tensor_proto::DataType;
use std::collections::HashMap;
use std::sync::Arc;
use tract_onnx::prelude::*;

/// tract's time to build grows with the square of the number of nodes; beyond this the network runs node by node.
const MOST_NODES: usize = 6000;

/// A network optimised for one set of input shapes. Runs on any number of threads at once.
#[derive(Debug, Clone)]
pub struct Plan {
    /// `None` when no output depends on an input.
    plan: Option<Arc<TypedSimplePlan>>,
    /// Outputs that are constants.
    fixed: Vec<Option<Value>>,
    /// Which outputs are in half precision.
    halves: Arc<[bool]>,
}

impl Plan {
    /// Optimises a network for inputs of the types and shapes of these.
    ///
    /// # Errors
    /// When tract cannot build the whole, or a value would be larger than the network's limit; [`Network::forward`] still
    /// runs what can be run.
    pub fn new(network: &Network, inputs: &[Value]) -> Result<Self, RunError> {
        let model = network.model();
        let name = |v| model.index().name(v);
        if network.inputs().len() != inputs.len() {
            return Err(RunError::new(format!("the model has {} inputs, {} are given", network.inputs().len(), inputs.len())));
        }
        let ops: Vec<_> = network.ops().iter().filter(|op| op.live).collect();
        if ops.len() > MOST_NODES {
            return Err(RunError::new(format!("{} nodes are too many for one plan", ops.len())));
        }
        // Half precision runs as single precision throughout; casts to it round.
        let rounding: Vec<_> = ops.iter().map(|op| half::rounding(model.node(op.node))).collect();
        let mut nodes = Vec::new();
        for (op, rounding) in ops.iter().zip(&rounding) {
            match rounding {
                Some(rounding) => nodes.extend(rounding),
                None => nodes.push(model.node(op.node)),
            }
        }
        let wide: Vec<_> = inputs.iter().map(half::wide).collect();
        let given: Vec<_> =
            network.inputs().iter().zip(&wide).map(|(v, x)| Given { name: name(*v), dtype: x.dtype(), shape: x.shape() }).collect();
        let mut constants = HashMap::new();
        for v in ops.iter().flat_map(|op| op.inputs.iter().flatten()) {
            if let Some(c) = network.constant(*v) {
                constants.entry(name(*v)).or_insert_with(|| half::wide(c));
            }
        }
        let fixed: Vec<_> = network.outputs().iter().map(|v| network.constant(*v).cloned()).collect();
        let outputs: Vec<&str> = network.outputs().iter().filter(|v| network.constant(**v).is_none()).map(|v| name(*v)).collect();
        let halves = model.outputs().map(half::declared).collect();
        if outputs.is_empty() {
            return Ok(Self { plan: None, fixed, halves });
        }
        let plan = guarded(|| {
            let typed = lower(Extent::Whole, model.opset(""), &nodes, &given, &constants, &outputs)?;
            budget::check(&typed, network.limit())?;
            finish(typed)
        })?;
        Ok(Self { plan: Some(plan), fixed, halves })
    }

    /// The outputs for one image.
    ///
    /// # Errors
    /// When a node fails on these values.
    pub fn run(&self, inputs: &[Value]) -> Result<Vec<Value>, RunError> {
        self.session()?.run(inputs)
    }

    /// What one thread needs to run many images.
    ///
    /// # Errors
    /// When tract cannot prepare the state of a node.
    pub fn session(&self) -> Result<Session, RunError> {
        let spawn = |p: &Arc<TypedSimplePlan>| p.spawn().map_err(RunError::from_tract);
        guarded(|| {
            Ok(Session { state: self.plan.as_ref().map(spawn).transpose()?, fixed: self.fixed.clone(), halves: self.halves.clone() })
        })
    }
}

/// The state of one thread that runs a [`Plan`].
#[derive(Debug)]
pub struct Session {
    state: Option<TypedSimpleState>,
    fixed: Vec<Option<Value>>,
    halves: Arc<[bool]>,
}

impl Session {
    /// The outputs for one image. After an error the session must not be used again.
    ///
    /// # Errors
    /// When a node fails on these values.
    pub fn run(&mut self, inputs: &[Value]) -> Result<Vec<Value>, RunError> {
        let Some(state) = &mut self.state else { return Ok(self.fixed.iter().flatten().cloned().collect()) };
        let made = guarded(|| {
            let inputs = inputs.iter().map(|v| TValue::from_const(half::wide(v).0)).collect();
            state.run(inputs).map_err(RunError::from_tract)
        })?;
        let mut made = made.into_iter().map(Value::from_tensor);
        let one = |(fixed, half): (&Option<Value>, &bool)| match fixed {
            Some(value) => Some(value.clone()),
            None if *half => made.next().map(|v| v.cast(DataType::Float16).unwrap_or(v)),
            None => made.next(),
        };
        Ok(self.fixed.iter().zip(&*self.halves).filter_map(one).collect())
    }
}
