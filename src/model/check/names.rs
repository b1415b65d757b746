//! Names: defined once, before they are read, by something that can run.

use super::{Report, Scope};
use crate::model::finding::{Severity, Subject};
use crate::model::onnx::{GraphProto, TensorProto};
use crate::model::{Model, NodeExt, NodeId};
use std::collections::{HashMap, HashSet};

pub(super) fn check(model: &Model, report: &mut Report) {
    let index = model.index();
    let mut made: HashMap<&str, String> = HashMap::new();
    let mut labels = HashSet::new();
    for input in model.inputs() {
        if made.insert(input.name(), "an input".into()).is_some() {
            report.error(Subject::Input(input.name().into()), "name", "is declared twice");
        }
    }
    let sparse = model.sparse_initializers().filter_map(|s| s.values.as_ref()).map(|t| (t, false));
    let mut dense: HashMap<&str, &TensorProto> = HashMap::new();
    for (tensor, is_dense) in model.initializers().map(|t| (t, true)).chain(sparse) {
        let subject = Subject::Tensor(tensor.name().into());
        if tensor.name().is_empty() {
            report.error(subject, "name", "is empty");
            continue;
        }
        let taken = made.insert(tensor.name(), "an initializer".into()).is_some();
        // Twice the same does no harm: runtimes take either.
        let same = is_dense && dense.insert(tensor.name(), tensor) == Some(tensor);
        match (taken, same) {
            (false, _) => {}
            (true, true) => report.warn(subject, "name", "is there twice, with the same numbers"),
            (true, false) => report.error(subject, "name", "stands for something else too"),
        }
    }
    let mut place = vec![usize::MAX; index.value_count()];
    for (at, (id, node)) in model.nodes().enumerate() {
        let subject = Subject::Node(node.label().into());
        if !node.name().is_empty() && !labels.insert(node.name()) {
            report.add(Severity::Warning, subject.clone(), Some(id), "name", "is that of another node too");
        }
        for output in node.output.iter().filter(|o| !o.is_empty()) {
            if let Some(other) = made.insert(output, format!("node '{}'", node.label())) {
                report.add(Severity::Error, subject.clone(), Some(id), "output", format!("'{output}' is made by {other} too"));
            }
            if let Some(v) = index.value(output) {
                place[v.0 as usize] = at;
            }
        }
    }
    for (at, (id, node)) in model.nodes().enumerate() {
        let subject = Subject::Node(node.label().into());
        for name in crate::model::index::reads(node) {
            match index.value(name) {
                Some(v) if made.contains_key(name) => {
                    if place[v.0 as usize] != usize::MAX && place[v.0 as usize] > at {
                        report.add(
                            Severity::Warning,
                            subject.clone(),
                            Some(id),
                            "input",
                            format!("'{name}' is made further down in the file"),
                        );
                    }
                }
                _ => report.add(Severity::Error, subject.clone(), Some(id), "input", format!("nothing makes '{name}'")),
            }
        }
    }
    cycles(model, report);
    functions(model, report);
}

fn cycles(model: &Model, report: &mut Report) {
    let index = model.index();
    let waiting: HashSet<NodeId> = index.cyclic().iter().copied().collect();
    let behind = |id: NodeId| -> Option<NodeId> {
        let mut read = crate::model::index::reads(model.node(id)).into_iter().filter_map(|n| index.producer(index.value(n)?));
        read.find(|p| waiting.contains(p))
    };
    for id in index.cyclic() {
        // Walking up from a node that waits always ends on a cycle.
        let (mut path, mut at) = (vec![*id], *id);
        while let Some(next) = behind(at).filter(|_| path.len() < 50) {
            path.push(next);
            if path.iter().filter(|n| **n == next).count() > 1 {
                break;
            }
            at = next;
        }
        let names: Vec<_> = path.iter().take(8).map(|n| format!("'{}'", model.label(*n))).collect();
        let why = format!(
            "can never run, as it waits for itself or for a cycle: {}{}",
            names.join(" reads "),
            if path.len() > 8 { " ..." } else { "" }
        );
        report.add(Severity::Error, Subject::Node(model.label(*id).into()), Some(*id), "input", why);
        if report.findings.len() >= super::MOST {
            break;
        }
    }
}

/// Names inside a sub-graph: what it takes from outside has been checked with the node that holds it.
pub(super) fn inside(graph: &GraphProto, scope: &Scope<'_>, report: &mut Report) {
    let mut own: HashSet<&str> = HashSet::new();
    let given = graph.input.iter().map(|v| v.name()).chain(graph.initializer.iter().map(|t| t.name()));
    for name in given.chain(graph.node.iter().flat_map(|n| &n.output).map(String::as_str)).filter(|n| !n.is_empty()) {
        let default = graph.input.iter().any(|v| v.name() == name) && graph.initializer.iter().any(|t| t.name() == name);
        if !own.insert(name) && !default {
            report.add(
                Severity::Error,
                scope.subject.clone(),
                scope.node,
                format!("{}output", scope.path),
                format!("'{name}' is made twice"),
            );
        }
    }
}

fn functions(model: &Model, report: &mut Report) {
    let all = &model.proto().functions;
    let mut seen = HashSet::new();
    for function in all {
        let subject = Subject::Function(function.name().into());
        if !seen.insert((function.domain(), function.name(), function.overload())) {
            report.error(subject.clone(), "name", "there are two of this name");
        }
        let mut known: HashSet<&str> = function.input.iter().map(String::as_str).collect();
        for node in &function.node {
            for name in crate::model::index::reads(node).into_iter().filter(|n| !known.contains(n)) {
                report.error(subject.clone(), format!("node '{}'", node.label()), format!("nothing makes '{name}' before"));
            }
            known.extend(node.output.iter().map(String::as_str));
        }
        for output in function.output.iter().filter(|o| !known.contains(o.as_str())) {
            report.error(subject.clone(), "output", format!("no node makes '{output}'"));
        }
    }
    for function in super::super::inline::recursive(all) {
        report.error(Subject::Function(function.name().into()), "node", "it calls itself, or a function that does");
    }
}
