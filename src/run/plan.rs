//! The whole network as one plan, optimised for its outputs.

use super::budget;
use super::error::{RunError, guarded};
use super::lower::{Given, lower};
use super::network::Network;
use super::value::Value;
use crate::model::NodeExt;
use std::collections::HashMap;
use std::sync::Arc;
use tract_onnx::prelude::*;

/// tract's time to build grows with the square of the number of nodes; beyond this the network runs node by node.
const MOST_NODES: usize = 6000;

/// A network optimised for one set of input shapes. Runs on any number of threads at once.
#[derive(Debug, Clone)]
pub struct Plan {
    plan: Arc<TypedSimplePlan>,
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
        let nodes: Vec<_> = network.ops().iter().map(|op| model.node(op.node)).collect();
        let given: Vec<_> =
            network.inputs().iter().zip(inputs).map(|(v, x)| Given { name: name(*v), dtype: x.dtype(), shape: x.shape() }).collect();
        if given.len() < network.inputs().len() {
            return Err(RunError::new(format!("the model has {} inputs, {} are given", network.inputs().len(), given.len())));
        }
        if nodes.len() > MOST_NODES {
            return Err(RunError::new(format!("{} nodes are too many for one plan", nodes.len())));
        }
        let mut constants = HashMap::new();
        for v in network.ops().iter().flat_map(|op| op.inputs.iter().flatten()).chain(network.outputs()) {
            if let Some(c) = network.constant(*v) {
                constants.insert(name(*v), c.clone());
            }
        }
        let outputs: Vec<&str> = network.outputs().iter().map(|v| name(*v)).collect();
        for node in &nodes {
            if !super::lower::knows(node) {
                return Err(
                    RunError::new(format!("operator {} of domain '{}' cannot be run", node.op_type(), node.domain_name())).at(node.label())
                );
            }
        }
        guarded(|| {
            let typed = lower(model.opset(""), &nodes, &given, &constants, &outputs)?;
            budget::check(&typed, network.limit())?;
            let plan = typed.into_optimized().and_then(|m| m.into_runnable()).map_err(RunError::from_tract)?;
            Ok(Self { plan })
        })
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
        guarded(|| Ok(Session { state: self.plan.spawn().map_err(RunError::from_tract)? }))
    }
}

/// The state of one thread that runs a [`Plan`].
#[derive(Debug)]
pub struct Session {
    state: TypedSimpleState,
}

impl Session {
    /// The outputs for one image. After an error the session must not be used again.
    ///
    /// # Errors
    /// When a node fails on these values.
    pub fn run(&mut self, inputs: &[Value]) -> Result<Vec<Value>, RunError> {
        guarded(|| {
            let inputs = inputs.iter().map(|v| TValue::from_const(v.0.clone())).collect();
            let out = self.state.run(inputs).map_err(RunError::from_tract)?;
            Ok(out.into_iter().map(Value::from_tensor).collect())
        })
    }
}
