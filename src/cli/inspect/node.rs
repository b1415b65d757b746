//! One node: attributes, inputs and outputs, statistics of its weights.

use crate::model::onnx::AttributeProto;
use crate::model::onnx::attribute_proto::AttributeType;
use crate::model::{Model, NodeExt, NodeId, harmless, type_name};
use crate::run::Value;
use anyhow::{Result, bail};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// Elements of a weight that are shown as they are.
const SHOWN: usize = 16;

/// A node.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct NodeReport {
    /// Its name, or its first output.
    pub name: String,
    /// Operator type.
    pub operator: String,
    /// Domain; `ai.onnx` is ONNX's own.
    pub domain: String,
    /// Attributes in words, by name.
    pub attributes: BTreeMap<String, String>,
    /// Inputs by slot.
    pub inputs: Vec<Port>,
    /// Outputs by slot.
    pub outputs: Vec<Port>,
}

/// An input or output of a node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct Port {
    /// Name of the value; empty where an optional one is missing.
    pub value: String,
    /// The node that makes it, or the nodes that read it.
    pub nodes: Vec<String>,
    /// For a weight: element type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub dtype: Option<String>,
    /// For a weight: dimensions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<Vec<usize>>,
    /// For a weight: its elements, when they are few.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elements: Option<Vec<f32>>,
    /// For a weight: what its elements are like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statistics: Option<Statistics>,
    /// For a weight that cannot be read: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

/// What the elements of a weight are like.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Statistics {
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Mean.
    pub mean: f64,
    /// Standard deviation, of the whole.
    pub std: f64,
    /// Elements that are zero.
    pub zeros: usize,
    /// Elements that are no numbers; left out of the figures above.
    pub non_finite: usize,
}

impl Statistics {
    /// Of these elements.
    pub fn of(elements: &[f32]) -> Self {
        let finite: Vec<f64> = elements.iter().filter(|v| v.is_finite()).map(|v| f64::from(*v)).collect();
        let n = finite.len().max(1) as f64;
        let mean = finite.iter().sum::<f64>() / n;
        Self {
            min: finite.iter().copied().reduce(f64::min).unwrap_or(0.0),
            max: finite.iter().copied().reduce(f64::max).unwrap_or(0.0),
            mean,
            std: (finite.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt(),
            zeros: finite.iter().filter(|v| **v == 0.0).count(),
            non_finite: elements.len() - finite.len(),
        }
    }
}

impl NodeReport {
    /// Looks up a node by its name or its first output.
    ///
    /// # Errors
    /// When there is none, or when several have that name.
    pub fn of(model: &Model, name: &str) -> Result<Self> {
        let named: Vec<NodeId> = model.nodes().filter(|(_, n)| n.name() == name).map(|(id, _)| id).collect();
        let id = match &named[..] {
            [one] => *one,
            [] => match model.node_by_output(name) {
                Some(id) => id,
                None => {
                    let known = model.nodes().map(|(_, n)| n.label());
                    let near = crate::dataset::nearest_word(name, known).map(|n| format!("; did you mean '{}'?", harmless(n)));
                    bail!("there is no node '{}'{}", harmless(name), near.unwrap_or_default());
                }
            },
            many => bail!("{} nodes are called '{}'; give the first output of one", many.len(), harmless(name)),
        };
        let node = model.node(id);
        let domain = if node.domain_name().is_empty() { "ai.onnx" } else { node.domain_name() };
        Ok(Self {
            name: node.label().into(),
            operator: node.op_type().into(),
            domain: domain.into(),
            attributes: node.attribute.iter().map(|a| (a.name().to_string(), attribute(a))).collect(),
            inputs: node.input.iter().map(|n| input(model, n)).collect(),
            outputs: node.output.iter().map(|n| output(model, n)).collect(),
        })
    }
}

fn output(model: &Model, name: &str) -> Port {
    let readers = model.index().value(name).map(|v| model.index().consumers(v).to_vec()).unwrap_or_default();
    Port { value: name.into(), nodes: readers.into_iter().map(|n| model.label(n).to_string()).collect(), ..Port::default() }
}

fn input(model: &Model, name: &str) -> Port {
    let mut port = Port { value: name.into(), ..Port::default() };
    let maker = model.node_by_output(name);
    port.nodes = maker.map(|n| model.label(n).to_string()).into_iter().collect();
    // A Constant node is a weight like any other.
    let constant = maker.map(|n| model.node(n)).filter(|n| n.op_type() == "Constant").and_then(|n| n.tensor("value"));
    let Some(tensor) = model.initializer(name).or(constant) else { return port };
    match Value::from_proto(model, tensor) {
        Ok(value) => {
            let elements = value.to_f32();
            port.dtype = Some(type_name(value.dtype()));
            port.shape = Some(value.shape().to_vec());
            port.elements = (elements.len() <= SHOWN).then(|| elements.to_vec());
            port.statistics = Some(Statistics::of(&elements));
        }
        Err(why) => port.unreadable = Some(why.to_string()),
    }
    port
}

fn attribute(a: &AttributeProto) -> String {
    fn list<T: std::fmt::Display>(all: &[T]) -> String {
        let shown: Vec<String> = all.iter().take(SHOWN).map(ToString::to_string).collect();
        let more = if all.len() > SHOWN { ", ..." } else { "" };
        format!("[{}{more}]", shown.join(", "))
    }
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    match a.r#type() {
        AttributeType::Int => a.i().to_string(),
        AttributeType::Float => a.f().to_string(),
        AttributeType::String => text(a.s()),
        AttributeType::Ints => list(&a.ints),
        AttributeType::Floats => list(&a.floats),
        AttributeType::Strings => list(&a.strings.iter().map(|s| text(s)).collect::<Vec<_>>()),
        AttributeType::Tensor => a.t.as_ref().map_or("tensor".into(), |t| format!("tensor {:?}", t.dims)),
        AttributeType::Graph => a.g.as_ref().map_or("graph".into(), |g| format!("graph of {} nodes", g.node.len())),
        AttributeType::Undefined if !a.ref_attr_name().is_empty() => format!("attribute {} of the function", a.ref_attr_name()),
        other => other.as_str_name().to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_leave_out_what_is_no_number() {
        let s = Statistics::of(&[1.0, 3.0, 0.0, f32::NAN, f32::INFINITY]);
        assert_eq!((s.min, s.max, s.zeros, s.non_finite), (0.0, 3.0, 1, 2));
        assert!((s.mean - 4.0 / 3.0).abs() < 1e-12);
        assert!((s.std - (14.0f64 / 9.0).sqrt()).abs() < 1e-12);
        assert_eq!(Statistics::of(&[]).std, 0.0);
    }
}
