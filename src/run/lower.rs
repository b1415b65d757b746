//! From ONNX nodes to a tract model. Weights are shared with it, never copied through protobuf.

use super::error::RunError;
use super::rewrite::rewrite;
use super::value::{Value, to_tract};
use crate::model::NodeExt;
use crate::model::onnx::{NodeProto, tensor_proto::DataType};
use prost::Message;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use tract_onnx::pb;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::tract_core::ops::konst::Const;
use tract_onnx::tract_hir::tract_core::optim::Optimizer;

static ONNX: LazyLock<tract_onnx::Onnx> = LazyLock::new(super::ops::reader);

/// The name an operator is registered under. tract looks at the operator alone, and would take one of any domain for ONNX's own.
fn registered(node: &NodeProto) -> String {
    match node.domain_name() {
        "" => node.op_type().into(),
        domain => format!("{domain}.{}", node.op_type()),
    }
}

/// The nodes that stand for this one in the lowered graph.
///
/// # Errors
/// When there is no such operator, or it cannot be run.
fn lowered(node: &NodeProto, opset: i64) -> Result<Vec<pb::NodeProto>, RunError> {
    let rewritten = rewrite(node, opset)?;
    let nodes = rewritten.as_deref().unwrap_or(std::slice::from_ref(node));
    let lower = |node: &NodeProto| {
        let mut copy = pb::NodeProto::decode(&*node.encode_to_vec()).map_err(|e| RunError::new(e.to_string()))?;
        copy.op_type = registered(node);
        if !ONNX.op_register.0.contains_key(&copy.op_type) {
            let why = match node.domain_name() {
                "" => format!("operator {} cannot be run", node.op_type()),
                "com.microsoft.nchwc" => format!(
                    "operator {} in blocks of channels is onnxruntime's own, for one processor: save the model at its level extended or below",
                    node.op_type()
                ),
                domain => format!("operator {} of domain '{domain}' cannot be run", node.op_type()),
            };
            return Err(RunError::new(why).at(node.label()));
        }
        Ok(copy)
    };
    nodes.iter().map(lower).collect()
}

/// An input of the lowered model.
pub(super) struct Given<'a> {
    pub name: &'a str,
    pub dtype: DataType,
    pub shape: &'a [usize],
}

/// How much of a network is lowered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it.
    Whole,
    /// One node, or the few that stand for it.
    Node,
}

impl Extent {
    /// tract's passes ahead of code generation. Most move things from node to node: in a single one there is nowhere to move to, and
    /// looking for it is half the cost of making it ready.
    fn passes(self) -> Optimizer {
        let mut all = Optimizer::declutter();
        if self == Self::Node {
            all.passes.retain(|pass| ["PropConst", "declutter"].iter().any(|name| format!("{pass:?}").starts_with(name)));
        }
        all
    }
}

/// Builds a tract model from nodes in any order that can run. Names that are neither given nor made must be in `constants`.
pub(super) fn lower(
    extent: Extent,
    opset: i64,
    nodes: &[&NodeProto],
    given: &[Given<'_>],
    constants: &HashMap<&str, Value>,
    outputs: &[&str],
) -> Result<TypedModel, RunError> {
    let mut graph = pb::GraphProto { name: "part".into(), ..Default::default() };
    for node in nodes {
        graph.node.extend(lowered(node, opset)?);
    }
    for g in given {
        let dims = g.shape.iter().map(|d| pb::tensor_shape_proto::Dimension {
            value: Some(pb::tensor_shape_proto::dimension::Value::DimValue(*d as i64)),
            ..Default::default()
        });
        let tensor = pb::type_proto::Tensor { elem_type: g.dtype as i32, shape: Some(pb::TensorShapeProto { dim: dims.collect() }) };
        let r#type = pb::TypeProto { value: Some(pb::type_proto::Value::TensorType(tensor)), ..Default::default() };
        graph.input.push(pb::ValueInfoProto { name: g.name.into(), r#type: Some(r#type), ..Default::default() });
    }
    graph.output = outputs.iter().map(|n| pb::ValueInfoProto { name: (*n).into(), ..Default::default() }).collect();
    let proto = pb::ModelProto {
        ir_version: 8,
        opset_import: vec![pb::OperatorSetIdProto { domain: String::new(), version: opset }],
        graph: Some(graph),
        ..Default::default()
    };
    let parsed = ONNX.parse(&proto, None).map_err(RunError::from_tract)?;
    let mut model = parsed.model;
    for name in &parsed.unresolved_inputs {
        let outlet = parsed.outlets_by_name[name];
        let value = constants.get(name.as_str()).ok_or_else(|| RunError::new(format!("nothing makes the value '{name}'")))?;
        let konst = Const::new(value.0.clone()).map_err(RunError::from_tract)?;
        let node = &mut model.nodes_mut()[outlet.node];
        node.op = Box::new(konst);
        node.outputs[0].fact = InferenceFact::try_from(&value.0).map_err(RunError::from_tract)?;
        model.inputs.retain(|i| *i != outlet);
    }
    for (i, g) in given.iter().enumerate() {
        let dt = to_tract(g.dtype).ok_or_else(|| RunError::new(format!("element type {} cannot be run", g.dtype.as_str_name())))?;
        model.set_input_fact(i, InferenceFact::dt_shape(dt, g.shape)).map_err(RunError::from_tract)?;
    }
    let mut typed = model.into_typed().map_err(RunError::from_tract)?;
    extent.passes().optimize(&mut typed).map_err(RunError::from_tract)?;
    Ok(typed)
}

/// Optimises a lowered model and makes it runnable.
pub(super) fn finish(model: TypedModel) -> Result<Arc<TypedSimplePlan>, RunError> {
    let optimise = || {
        let mut model = model;
        super::fast::install(&mut model)?;
        model.optimize()?;
        super::nan::keep(&mut model);
        model.into_runnable()
    };
    optimise().map_err(RunError::from_tract)
}
