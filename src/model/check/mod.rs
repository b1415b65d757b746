//! The checker: what contradicts itself, the specification, or what a machine can hold. It runs before anything else looks at a model.

mod names;
mod nodes;
mod tensors;

use super::finding::{Finding, Severity, Subject};
use super::onnx::tensor_proto::DataType;
use super::onnx::tensor_shape_proto::dimension::Value as Dim;
use super::onnx::type_proto::Value as Type;
use super::onnx::{NodeProto, OperatorSetIdProto, ValueInfoProto};
use super::shapes::{Budget, infer_some};
use super::{Model, NodeId, operators};
use std::collections::HashSet;

/// Findings of one kind are cut off here: a file made to annoy has no right to a long answer.
const MOST: usize = 1000;

/// Checks a model. Errors come first, each part in the order of the file.
///
/// Errors name what must not be run; what is only unusual, or cannot be run but does no harm, is a warning. Nothing is evaluated, and
/// nothing is allocated beyond the scale of the file.
pub fn check(model: &Model) -> Vec<Finding> {
    let mut report = Report::default();
    opsets(model, &mut report);
    declarations(model, &mut report);
    names::check(model, &mut report);
    nodes::check(model, &mut report);
    tensors::check(model, &mut report);
    // Shapes last: what is wrong by itself has been said already.
    let found: HashSet<NodeId> = report.findings.iter().filter(|f| f.severity == Severity::Error).filter_map(|f| f.node).collect();
    let shapes = infer_some(model, &declared_inputs(model), Budget::default());
    report.findings.extend(shapes.findings.into_iter().filter(|f| f.node.is_none_or(|n| !found.contains(&n))));
    report.findings.sort_by_key(|f| std::cmp::Reverse(f.severity));
    report.findings
}

/// What contradicts itself or the specification, in words, with the node where it is one: a strict runtime refuses such a model.
pub fn refused(model: &Model) -> Vec<(Option<NodeId>, String)> {
    check(model).into_iter().filter(|f| f.severity == Severity::Error).map(|f| (f.node, f.to_string())).collect()
}

/// Whether the attributes of a node have values that a runtime can do something with, whatever the shapes are.
///
/// # Errors
/// In words, naming the attribute.
pub(crate) fn values(node: &NodeProto) -> Result<(), String> {
    nodes::values(node).map_err(|fault| format!("{}: {}", fault.field, fault.why))
}

/// Shapes that the inputs declare, one image where the batch is open; `None` where more is open.
pub(super) fn declared_inputs(model: &Model) -> Vec<Option<(DataType, Vec<usize>)>> {
    let shape = |v: &ValueInfoProto| {
        let (dtype, dims) = v.tensor_type()?;
        let dims = dims.iter().enumerate().map(|(i, d)| if i == 0 { Some(d.unwrap_or(1)) } else { *d });
        Some((dtype, dims.collect::<Option<Vec<_>>>()?))
    };
    model.inputs().map(shape).collect()
}

#[derive(Default)]
struct Report {
    findings: Vec<Finding>,
}

impl Report {
    fn add(&mut self, severity: Severity, subject: Subject, node: Option<NodeId>, field: impl Into<String>, why: impl Into<String>) {
        if self.findings.len() < MOST {
            self.findings.push(Finding { severity, subject, node, field: field.into(), why: why.into() });
        }
    }

    fn error(&mut self, subject: Subject, field: impl Into<String>, why: impl Into<String>) {
        self.add(Severity::Error, subject, None, field, why);
    }

    fn warn(&mut self, subject: Subject, field: impl Into<String>, why: impl Into<String>) {
        self.add(Severity::Warning, subject, None, field, why);
    }
}

/// Where nodes stand: whose findings are told under which subject, and which operator sets count.
#[derive(Clone)]
struct Scope<'a> {
    subject: Subject,
    node: Option<NodeId>,
    /// Says where inside the subject, such as `then_branch: `.
    path: String,
    opsets: &'a [OperatorSetIdProto],
    /// Whether attributes may refer to those of a function.
    in_function: bool,
}

fn opsets(model: &Model, report: &mut Report) {
    let proto = model.proto();
    if proto.ir_version() < 1 {
        report.warn(Subject::Model, "ir_version", "is missing");
    }
    if proto.opset_import.is_empty() {
        report.error(Subject::Model, "opset_import", "no operator set is imported");
    }
    let mut seen = HashSet::new();
    for set in &proto.opset_import {
        let domain = if set.domain() == "ai.onnx" { "" } else { set.domain() };
        if !seen.insert(domain) {
            report.warn(Subject::Model, "opset_import", format!("domain '{domain}' is imported twice; the first counts"));
        }
        if set.version() < 1 {
            report.error(Subject::Model, "opset_import", format!("version {} of domain '{domain}'", set.version()));
        } else if domain.is_empty() && set.version() > operators::newest() {
            report.warn(
                Subject::Model,
                "opset_import",
                format!("operator set {} is newer than {}, the newest that is known here", set.version(), operators::newest()),
            );
        }
    }
}

fn declarations(model: &Model, report: &mut Report) {
    let index = model.index();
    for value in model.inputs() {
        declaration(value, Subject::Input(value.name().into()), report);
    }
    if index.outputs().is_empty() {
        report.error(Subject::Model, "output", "the graph declares no output");
    }
    let mut seen = HashSet::new();
    for value in model.outputs() {
        let subject = Subject::Output(value.name().into());
        declaration(value, subject.clone(), report);
        if !seen.insert(value.name()) {
            report.warn(subject.clone(), "name", "is declared twice");
        }
        let made = index
            .value(value.name())
            .is_some_and(|v| index.producer(v).is_some() || index.is_initializer(v) || index.inputs().contains(&v));
        if !made {
            report.error(subject, "name", "no node makes it");
        }
    }
}

fn declaration(value: &ValueInfoProto, subject: Subject, report: &mut Report) {
    if value.name().is_empty() {
        report.error(subject.clone(), "name", "is empty");
    }
    let Some(r#type) = value.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
        return report.warn(subject, "type", "is missing");
    };
    let Type::TensorType(tensor) = r#type else { return report.warn(subject, "type", "is no tensor, and cannot be run here") };
    if DataType::try_from(tensor.elem_type()).is_ok_and(|d| d != DataType::Undefined) {
        if let Some(why) = tensors::not_runnable(tensor.elem_type()) {
            report.warn(subject.clone(), "elem_type", why);
        }
    } else {
        report.error(subject.clone(), "elem_type", format!("{} is no element type", tensor.elem_type()));
    }
    let mut bytes = 1u64;
    for (i, dim) in tensor.shape.iter().flat_map(|s| &s.dim).enumerate() {
        if let Some(Dim::DimValue(size)) = dim.value {
            match u64::try_from(size) {
                Ok(size) => bytes = bytes.saturating_mul(size.max(1)),
                // Older exporters write -1 for a dimension that is open.
                Err(_) if size == -1 => report.warn(subject.clone(), format!("dim {i}"), "is -1; an open dimension has a name or nothing"),
                Err(_) => report.error(subject.clone(), format!("dim {i}"), format!("is {size}")),
            }
        }
    }
    if bytes > Budget::default().value as u64 {
        report.error(subject, "shape", "the declared dimensions are larger than any value may be");
    }
}
