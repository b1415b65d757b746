//! What is in a model, as one value.

use crate::model::onnx::tensor_proto::DataType;
use crate::model::onnx::{TensorProto, ValueInfoProto};
use crate::model::{Budget, Finding, Model, NodeExt, Severity, check, data_size, element_count, infer, type_name};
use crate::run::{Network, Value};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// A model.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct InspectReport {
    /// The file.
    pub file: String,
    /// Version of the file format.
    pub ir_version: i64,
    /// The program that wrote it.
    pub producer: String,
    /// Operator sets.
    pub opsets: Vec<Opset>,
    /// Inputs that are not initializers.
    pub inputs: Vec<Declaration>,
    /// Outputs.
    pub outputs: Vec<Declaration>,
    /// Nodes of the main graph.
    pub nodes: usize,
    /// Functions of the model.
    pub functions: usize,
    /// Operators, the most frequent first.
    pub operators: Vec<OperatorCount>,
    /// Initializers.
    pub parameters: Parameters,
    /// What one image makes, where the shapes are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// Metadata of the model, by key.
    pub metadata: BTreeMap<String, String>,
    /// What the checker has to say, errors first.
    pub problems: Vec<Finding>,
}

/// An operator set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Opset {
    /// Domain; `ai.onnx` is ONNX's own.
    pub domain: String,
    /// Version.
    pub version: i64,
}

/// A declared input or output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Declaration {
    /// Its name.
    pub name: String,
    /// Element type.
    #[serde(rename = "type")]
    pub dtype: String,
    /// Dimensions: numbers, or names of open ones; absent when none are declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<Vec<String>>,
}

/// How often an operator is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OperatorCount {
    /// Domain; `ai.onnx` is ONNX's own.
    pub domain: String,
    /// Operator type.
    pub operator: String,
    /// Nodes.
    pub count: usize,
}

/// Initializers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Parameters {
    /// How many.
    pub tensors: usize,
    /// Elements of all.
    pub elements: u64,
    /// Bytes of all.
    pub bytes: u64,
    /// Elements by type.
    pub by_type: BTreeMap<String, u64>,
    /// Those whose data lies in another file.
    pub external: usize,
}

/// What one image makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Run {
    /// Shape of each input, one image.
    pub inputs: Vec<Vec<usize>>,
    /// Values whose shape is known.
    pub values: usize,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Name of the largest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest: Option<String>,
    /// Bytes of the largest.
    pub largest_bytes: u64,
    /// Nodes that cannot run, found on an input of zeros.
    pub cannot_run: Vec<Broken>,
}

/// A node that cannot run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Broken {
    /// Its name, or its first output.
    pub node: String,
    /// Its operator.
    pub operator: String,
    /// Why.
    pub why: String,
}

impl InspectReport {
    /// Looks at a model. `shape` stands for the first input's where that is open; empty says nothing.
    pub fn of(model: &Model, shape: &[usize], max_mem: u64) -> Self {
        let proto = model.proto();
        let problems = check(model);
        // What the checker refuses is not run, not even to look.
        let sound = problems.iter().all(|p| p.severity != Severity::Error);
        Self {
            file: model.path().map(|p| p.display().to_string()).unwrap_or_default(),
            ir_version: proto.ir_version(),
            producer: model.producer(),
            opsets: proto.opset_import.iter().map(|o| Opset { domain: domain(o.domain()), version: o.version() }).collect(),
            inputs: model.inputs().map(declaration).collect(),
            outputs: model.outputs().map(declaration).collect(),
            nodes: model.nodes().len(),
            functions: proto.functions.len(),
            operators: operators(model),
            parameters: parameters(model),
            run: if sound { run(model, shape, max_mem) } else { None },
            metadata: proto.metadata_props.iter().map(|e| (e.key().to_string(), e.value().to_string())).collect(),
            problems,
        }
    }
}

fn domain(name: &str) -> String {
    if name.is_empty() { "ai.onnx".into() } else { name.into() }
}

fn declaration(v: &ValueInfoProto) -> Declaration {
    use crate::model::onnx::{tensor_shape_proto::dimension::Value as Dim, type_proto::Value as Type};
    let tensor = match v.r#type.as_ref().and_then(|t| t.value.as_ref()) {
        Some(Type::TensorType(t)) => Some(t),
        _ => None,
    };
    let dtype = tensor.map(|t| DataType::try_from(t.elem_type()).map_or_else(|_| format!("type {}", t.elem_type()), type_name));
    let shape = tensor.and_then(|t| t.shape.as_ref()).map(|s| {
        let word = |d: &crate::model::onnx::tensor_shape_proto::Dimension| match &d.value {
            Some(Dim::DimValue(n)) => n.to_string(),
            Some(Dim::DimParam(name)) => name.clone(),
            None => "?".into(),
        };
        s.dim.iter().map(word).collect()
    });
    Declaration { name: v.name().into(), dtype: dtype.unwrap_or_else(|| "no tensor".into()), shape }
}

fn operators(model: &Model) -> Vec<OperatorCount> {
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (_, node) in model.nodes() {
        *counts.entry((domain(node.domain_name()), node.op_type().to_string())).or_default() += 1;
    }
    let mut out: Vec<_> = counts.into_iter().map(|((domain, operator), count)| OperatorCount { domain, operator, count }).collect();
    out.sort_by_key(|o| std::cmp::Reverse(o.count));
    out
}

/// Elements and bytes that a tensor declares.
fn extent(tensor: &TensorProto) -> (DataType, u64, u64) {
    let dtype = DataType::try_from(tensor.data_type()).unwrap_or(DataType::Undefined);
    let shape: Option<Vec<usize>> = tensor.dims.iter().map(|d| usize::try_from(*d).ok()).collect();
    let elements = shape.and_then(|s| element_count(&s)).unwrap_or(0);
    (dtype, elements as u64, data_size(dtype, elements).unwrap_or(0) as u64)
}

fn parameters(model: &Model) -> Parameters {
    let mut out = Parameters { tensors: 0, elements: 0, bytes: 0, by_type: BTreeMap::new(), external: 0 };
    for tensor in model.initializers() {
        let (dtype, elements, bytes) = extent(tensor);
        out.tensors += 1;
        out.elements = out.elements.saturating_add(elements);
        out.bytes = out.bytes.saturating_add(bytes);
        let of_type = out.by_type.entry(type_name(dtype)).or_default();
        *of_type = of_type.saturating_add(elements);
        out.external += usize::from(!tensor.external_data.is_empty());
    }
    out
}

/// Shapes and types of the inputs for one image; `None` where something stays open.
fn inputs(model: &Model, shape: &[usize]) -> Option<Vec<(DataType, Vec<usize>)>> {
    let one = |(at, v): (usize, &ValueInfoProto)| {
        let (dtype, dims) = v.tensor_type()?;
        if at == 0 && !shape.is_empty() {
            return Some((dtype, shape.to_vec()));
        }
        let fixed = dims.iter().enumerate().map(|(i, d)| d.or((i == 0).then_some(1)));
        Some((dtype, fixed.collect::<Option<Vec<_>>>()?))
    };
    model.inputs().enumerate().map(one).collect()
}

fn run(model: &Model, shape: &[usize], max_mem: u64) -> Option<Run> {
    let inputs = inputs(model, shape)?;
    let flat = model.inlined().ok()?;
    let budget = Budget { value: usize::try_from(max_mem).unwrap_or(usize::MAX), ..Budget::default() };
    let shapes = infer(&flat, &inputs, budget);
    let mut out = Run {
        inputs: inputs.iter().map(|(_, s)| s.clone()).collect(),
        values: 0,
        bytes: 0,
        largest: None,
        largest_bytes: 0,
        cannot_run: Vec::new(),
    };
    let index = flat.index();
    for id in index.nodes() {
        for name in &flat.node(id).output {
            let Some(v) = index.value(name) else { continue };
            let Some(bytes) = shapes.get(v).and_then(|(dtype, shape)| data_size(dtype, element_count(shape)?)) else { continue };
            out.values += 1;
            out.bytes = out.bytes.saturating_add(bytes as u64);
            if bytes as u64 > out.largest_bytes {
                out.largest_bytes = bytes as u64;
                out.largest = Some(name.clone());
            }
        }
    }
    let broken = |node: String, operator: String, why: String| Broken { node, operator, why };
    out.cannot_run = shapes
        .findings
        .iter()
        .filter(|f| f.severity == Severity::Error)
        .map(|f| {
            let node = f.node.map(|n| flat.node(n));
            broken(
                node.map(|n| n.label().to_string()).unwrap_or_default(),
                node.map(|n| n.op_type().to_string()).unwrap_or_default(),
                f.to_string(),
            )
        })
        .collect();
    if out.cannot_run.is_empty() {
        out.cannot_run = on_zeros(&flat, &inputs, max_mem).unwrap_or_else(|why| vec![broken(String::new(), String::new(), why)]);
    }
    Some(out)
}

/// Runs every node once on an input of zeros and gives those that fail by themselves.
fn on_zeros(model: &Model, inputs: &[(DataType, Vec<usize>)], max_mem: u64) -> Result<Vec<Broken>, String> {
    let zeros = |(dtype, shape): &(DataType, Vec<usize>)| {
        let bytes = element_count(shape).and_then(|n| data_size(*dtype, n)).filter(|n| *n as u64 <= max_mem);
        Value::from_bytes(*dtype, shape, &vec![0; bytes.ok_or("the inputs are larger than --max-mem allows")?]).map_err(|e| e.to_string())
    };
    let values = inputs.iter().map(zeros).collect::<Result<Vec<_>, _>>()?;
    let network = Network::limited(model, max_mem).map_err(|e| e.to_string())?;
    let mut lost = std::collections::HashSet::new();
    let mut out: Vec<Broken> = network
        .broken()
        .iter()
        .map(|(id, e)| Broken { node: model.label(*id).into(), operator: model.node(*id).op_type().into(), why: e.why.clone() })
        .collect();
    network.forward(&values, |id, result| {
        let op = network.op(id);
        if let Err(e) = result {
            if !op.data.iter().any(|v| lost.contains(v)) {
                out.push(Broken { node: network.label(id).into(), operator: op.op_type().into(), why: e.why.clone() });
            }
            lost.extend(op.made());
        }
    });
    Ok(out)
}
