//! Nodes one by one: operator, number of inputs and outputs, attributes and their values.

use super::{Report, Scope, names, tensors};
use crate::model::finding::{Fault, Severity, Subject};
use crate::model::onnx::attribute_proto::AttributeType;
use crate::model::onnx::tensor_proto::DataType;
use crate::model::onnx::{AttributeProto, GraphProto, NodeProto};
use crate::model::{Model, NodeExt, operators};
use std::collections::HashSet;

/// Windows, steps and pads beyond this are no network's. A runtime would take for ever over them.
const LARGEST_STEP: i64 = 1 << 16;
/// No tensor has so many dimensions.
const MOST_AXES: i64 = 64;

pub(super) fn check(model: &Model, report: &mut Report) {
    let proto = model.proto();
    for (id, node) in model.nodes() {
        let scope = Scope {
            subject: Subject::Node(node.label().into()),
            node: Some(id),
            path: String::new(),
            opsets: &proto.opset_import,
            in_function: false,
        };
        check_node(model, node, &scope, report);
    }
    for function in &proto.functions {
        for node in &function.node {
            let path = format!("node '{}', ", node.label());
            let scope = Scope {
                subject: Subject::Function(function.name().into()),
                node: None,
                path,
                opsets: &function.opset_import,
                in_function: true,
            };
            check_node(model, node, &scope, report);
        }
    }
}

fn check_graph(model: &Model, graph: &GraphProto, scope: &Scope<'_>, report: &mut Report) {
    names::inside(graph, scope, report);
    for tensor in &graph.initializer {
        tensors::check_tensor(model, tensor, &format!("{}initializer '{}'", scope.path, tensor.name()), scope, report);
    }
    for node in &graph.node {
        let inner = Scope { path: format!("{}node '{}', ", scope.path, node.label()), ..scope.clone() };
        check_node(model, node, &inner, report);
    }
}

fn check_node(model: &Model, node: &NodeProto, scope: &Scope<'_>, report: &mut Report) {
    let mut say =
        |severity, field: &str, why: String| report.add(severity, scope.subject.clone(), scope.node, format!("{}{field}", scope.path), why);
    if node.op_type().is_empty() {
        return say(Severity::Error, "op_type", "is empty".into());
    }
    operator(model, node, scope, &mut say);
    let mut seen = HashSet::new();
    for attribute in &node.attribute {
        let name = attribute.name();
        if !seen.insert(name) {
            say(Severity::Error, name, "the attribute is there twice".into());
        }
        if !attribute.ref_attr_name().is_empty() && !scope.in_function {
            say(Severity::Error, name, "refers to an attribute of a function, outside of one".into());
        }
        if !well_typed(attribute) {
            say(Severity::Error, name, format!("its type is {}, its value another", kind(attribute.r#type())));
        }
    }
    if matches!(node.domain_name(), "" | "com.microsoft")
        && let Err(fault) = values(node)
    {
        say(Severity::Error, &fault.field, fault.why);
    }
    for attribute in &node.attribute {
        let path = format!("{}{}", scope.path, attribute.name());
        for tensor in attribute.t.iter().chain(&attribute.tensors) {
            tensors::check_tensor(model, tensor, &path, scope, report);
        }
        for sparse in attribute.sparse_tensor.iter().chain(&attribute.sparse_tensors) {
            tensors::check_sparse(model, sparse, &path, scope, report);
        }
        for graph in attribute.g.iter().chain(&attribute.graphs) {
            check_graph(model, graph, &Scope { path: format!("{path}: "), ..scope.clone() }, report);
        }
    }
}

fn operator(model: &Model, node: &NodeProto, scope: &Scope<'_>, say: &mut impl FnMut(Severity, &str, String)) {
    let (domain, op) = (node.domain_name(), node.op_type());
    if model.proto().functions.iter().any(|f| f.name() == op && normal(f.domain()) == domain) {
        return;
    }
    let version = scope.opsets.iter().find(|o| normal(o.domain()) == domain).map(|o| o.version());
    let Some(version) = version else {
        return say(Severity::Error, "domain", format!("operator {op} is of domain '{domain}', which is not imported"));
    };
    if !operators::knows_domain(domain) {
        return say(Severity::Warning, "domain", format!("operator {op} of domain '{domain}' is not known here and cannot be run"));
    }
    let found = match operators::find(domain, op, version) {
        Ok(found) => found,
        Err(Some(since)) => {
            return say(Severity::Error, "op_type", format!("{op} exists since version {since}; version {version} is imported"));
        }
        Err(None) => {
            return say(
                Severity::Error,
                "op_type",
                format!("there is no operator {op}{}", if domain.is_empty() { String::new() } else { format!(" in domain '{domain}'") }),
            );
        }
    };
    let count = |names: &[String]| names.iter().rposition(|n| !n.is_empty()).map_or(0, |i| i + 1);
    for (field, have, (least, most)) in [("inputs", count(&node.input), found.inputs), ("outputs", count(&node.output), found.outputs)] {
        if have < least || have > most {
            let range = if most == usize::MAX {
                format!("at least {least}")
            } else if least == most {
                format!("{least}")
            } else {
                format!("{least} to {most}")
            };
            say(Severity::Error, field, format!("{op} has {range} {field} in version {version}, here are {have}"));
        }
    }
    let Some(attributes) = &found.attributes else {
        return say(Severity::Error, "op_type", format!("{op} was withdrawn in version {} and {version} is imported", found.since));
    };
    for missing in attributes.iter().filter(|a| a.required && node.attr(a.name).is_none()) {
        say(Severity::Error, missing.name, format!("{op} needs the attribute"));
    }
    for attribute in &node.attribute {
        match attributes.iter().find(|a| a.name == attribute.name()) {
            // Names that begin so are for whoever wrote the file; runtimes pass over them.
            None if attribute.name().starts_with("__") => {}
            None => {
                // Other domains add attributes without a new version.
                let severity = if domain.is_empty() { Severity::Error } else { Severity::Warning };
                say(severity, attribute.name(), format!("{op} of version {version} has no such attribute"));
            }
            Some(a) if attribute.r#type() != a.kind && attribute.r#type() != AttributeType::Undefined => {
                say(Severity::Error, attribute.name(), format!("is {}, {op} wants {}", kind(attribute.r#type()), kind(a.kind)));
            }
            Some(_) => {}
        }
    }
}

fn normal(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

fn kind(kind: AttributeType) -> String {
    kind.as_str_name().to_lowercase()
}

/// Whether the value of an attribute lies in the field that its type says.
fn well_typed(a: &AttributeProto) -> bool {
    if !a.ref_attr_name().is_empty() {
        return true;
    }
    let held = [
        (a.f.is_some(), AttributeType::Float),
        (a.i.is_some(), AttributeType::Int),
        (a.s.is_some(), AttributeType::String),
        (a.t.is_some(), AttributeType::Tensor),
        (a.g.is_some(), AttributeType::Graph),
        (!a.floats.is_empty(), AttributeType::Floats),
        (!a.ints.is_empty(), AttributeType::Ints),
        (!a.strings.is_empty(), AttributeType::Strings),
    ];
    // Files before IR version 2 have no type; an empty list has no value.
    let r#type = a.r#type();
    r#type == AttributeType::Undefined || held.iter().all(|(held, of)| !held || *of == r#type)
}

/// Values that no runtime can do anything sensible with, whatever the shapes are.
pub(super) fn values(node: &NodeProto) -> Result<(), Fault> {
    let op = node.op_type();
    let window = op.ends_with("Pool") || op.contains("Conv") || op == "MaxUnpool";
    if window {
        for name in ["strides", "dilations", "kernel_shape"] {
            within(node, name, 1, LARGEST_STEP)?;
        }
        within(node, "pads", 0, LARGEST_STEP)?;
        within(node, "output_padding", 0, LARGEST_STEP)?;
        within(node, "output_shape", 1, i64::from(i32::MAX))?;
        within(node, "group", 1, i64::from(i32::MAX))?;
        if let Some(auto) = node.string("auto_pad")
            && !matches!(auto, "NOTSET" | "SAME_UPPER" | "SAME_LOWER" | "VALID" | "")
        {
            return Err(Fault::new("auto_pad", format!("'{auto}' is none of NOTSET, SAME_UPPER, SAME_LOWER, VALID")));
        }
    }
    for name in ["axis", "axes"] {
        within(node, name, -MOST_AXES, MOST_AXES)?;
    }
    for name in ["blocksize", "num_outputs"] {
        within(node, name, 1, LARGEST_STEP)?;
    }
    if let Some(perm) = node.ints("perm") {
        let mut seen = HashSet::new();
        if !perm.iter().all(|p| (0..perm.len() as i64).contains(p) && seen.insert(*p)) {
            return Err(Fault::new("perm", format!("{perm:?} is no permutation of 0 to {}", perm.len().saturating_sub(1))));
        }
    }
    if op == "Cast" && node.attr("to").is_some_and(|a| a.ref_attr_name().is_empty()) {
        let to = node.int("to").unwrap_or(0);
        if !i32::try_from(to).is_ok_and(|to| DataType::try_from(to).is_ok_and(|d| d != DataType::Undefined)) {
            return Err(Fault::new("to", format!("{to} is no element type")));
        }
    }
    if op == "Constant" {
        let given = node.attribute.iter().filter(|a| a.name().starts_with("value") || a.name() == "sparse_value").count();
        if given != 1 {
            return Err(Fault::new("value", format!("a Constant needs one value, here are {given}")));
        }
    }
    if matches!(op, "Resize" | "Upsample")
        && let Some(scales) = node.attr("scales")
        && let Some(bad) = scales.floats.iter().find(|s| !(s.is_finite() && **s > 0.0))
    {
        return Err(Fault::new("scales", format!("{bad} is no scale")));
    }
    for name in ["epsilon", "alpha", "beta"] {
        if let Some(f) = node.float(name).filter(|f| !f.is_finite()) {
            return Err(Fault::new(name, format!("is {f}")));
        }
    }
    Ok(())
}

/// An integer, or a list of them, that must lie in a range.
fn within(node: &NodeProto, name: &str, least: i64, most: i64) -> Result<(), Fault> {
    let Some(attribute) = node.attr(name) else { return Ok(()) };
    let bad = attribute.i.iter().chain(&attribute.ints).find(|v| **v < least || **v > most);
    bad.map_or(Ok(()), |v| Err(Fault::new(name, format!("{v} is not within {least} to {most}"))))
}
