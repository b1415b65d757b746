//! Part of a graph as a model of its own.

use crate::model::onnx::tensor_shape_proto::{Dimension, dimension};
use crate::model::onnx::{GraphProto, ModelProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto};
use crate::model::{Model, NodeExt, ValueId};
use crate::run::{Network, OpId, Value};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Values that some ops read and neither make nor hold as constants, in order.
pub fn read_from_outside(network: &Network, ops: &BTreeSet<OpId>) -> Vec<ValueId> {
    let made: HashSet<ValueId> = ops.iter().flat_map(|id| network.op(*id).made()).collect();
    let mut seen = HashSet::new();
    let read = ops.iter().flat_map(|id| network.op(*id).data.iter().copied());
    read.filter(|v| !made.contains(v) && network.constant(*v).is_none() && seen.insert(*v)).collect()
}

/// Values that some ops make and others read, or that the graph gives, in order.
pub fn read_by_others(network: &Network, ops: &BTreeSet<OpId>) -> Vec<ValueId> {
    let leaves = |v: &ValueId| network.outputs().contains(v) || network.consumers(*v).iter().any(|c| !ops.contains(c));
    ops.iter().flat_map(|id| network.op(*id).made()).filter(leaves).collect()
}

/// The ops as a model: `inputs` are what it is given, `outputs` what it gives, both with an example. Declarations of the whole model's
/// inputs are kept as they are.
///
/// # Errors
/// In words, when a weight cannot be read.
pub fn cut(
    network: &Network,
    ops: &BTreeSet<OpId>,
    inputs: &[(ValueId, Value)],
    outputs: &[(ValueId, Option<Value>)],
) -> Result<ModelProto, String> {
    let model = network.model();
    let name = |v: ValueId| model.index().name(v).to_string();
    let mut initializers: Vec<TensorProto> = Vec::new();
    let mut held: HashSet<ValueId> = HashSet::new();
    for v in ops.iter().flat_map(|id| network.op(*id).inputs.iter().flatten().copied()) {
        if network.constant(v).is_some() && held.insert(v) {
            initializers.push(weight(network, v)?);
        }
    }
    let declared: HashMap<&str, &ValueInfoProto> = model.declared_inputs().map(|i| (i.name(), i)).collect();
    let input = |(v, value): &(ValueId, Value)| {
        let name = name(*v);
        declared.get(name.as_str()).map_or_else(|| info(&name, value.dtype() as i32, Some(value.shape())), |i| (*i).clone())
    };
    let float = crate::model::onnx::tensor_proto::DataType::Float as i32;
    let output = |(v, value): &(ValueId, Option<Value>)| info(&name(*v), value.as_ref().map_or(float, |x| x.dtype() as i32), None);
    let graph = GraphProto {
        name: Some("reproducer".into()),
        node: ops.iter().map(|id| model.node(network.op(*id).node).clone()).collect(),
        initializer: initializers,
        input: inputs.iter().map(input).collect(),
        output: outputs.iter().map(output).collect(),
        ..GraphProto::default()
    };
    let whole = model.proto();
    Ok(ModelProto {
        ir_version: whole.ir_version,
        opset_import: whole.opset_import.clone(),
        producer_name: whole.producer_name.clone(),
        producer_version: whole.producer_version.clone(),
        graph: Some(graph),
        ..ModelProto::default()
    })
}

/// A constant with its data in itself.
fn weight(network: &Network, v: ValueId) -> Result<TensorProto, String> {
    let model: &Model = network.model();
    let name = model.index().name(v);
    let constant = network.constant(v).ok_or_else(|| format!("'{name}' is no constant"))?;
    // As the model has it, also for element types that a runtime turns into others.
    match model.initializer(name) {
        Some(tensor) => {
            let raw = model.raw_data(tensor).map_err(|e| e.to_string())?;
            let plain = TensorProto { external_data: Vec::new(), data_location: None, doc_string: None, ..tensor.clone() };
            Ok(match raw {
                Some(raw) => TensorProto { raw_data: Some(raw), ..plain },
                None => plain,
            })
        }
        None => Ok(constant.to_proto(name)),
    }
}

fn info(name: &str, dtype: i32, shape: Option<&[usize]>) -> ValueInfoProto {
    let dim = |d: &usize| Dimension { value: Some(dimension::Value::DimValue(*d as i64)), ..Dimension::default() };
    let tensor = type_proto::Tensor { elem_type: Some(dtype), shape: shape.map(|s| TensorShapeProto { dim: s.iter().map(dim).collect() }) };
    let r#type = Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() });
    ValueInfoProto { name: Some(name.into()), r#type, ..ValueInfoProto::default() }
}

/// What people call some ops, at most `most`.
pub fn labels(network: &Network, ops: &BTreeSet<OpId>, most: usize) -> Vec<String> {
    ops.iter().take(most).map(|id| network.model().node(network.op(*id).node).label().to_string()).collect()
}
