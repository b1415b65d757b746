//! SARIF 2.1.0: a result for each suspect; the rules are the kinds of faults.

use super::ReportError;
use super::facts::{Report, SuspectLine, SuspectStanding};
use crate::localize::{Category, Kind};
use crate::model::harmless;
use serde_sarif::sarif::{
    ArtifactLocation, Location, LogicalLocation, Message, MultiformatMessageString, PhysicalLocation, PropertyBag, Region,
    ReportingDescriptor, Result as Finding, ResultKind, ResultLevel, Run, SCHEMA_URL, Sarif, Tool, ToolComponent,
};
use std::collections::BTreeMap;

/// Rule of a log that is not to be trusted.
const LOG: &str = "AUDIT-LOG";

/// The report as SARIF. A suspect that is left fails, a mended one passes.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn sarif(report: &Report) -> Result<String, ReportError> {
    let suspects: Vec<&SuspectLine> = report.left().chain(report.suspects(SuspectStanding::Mended)).collect();
    let mut ids: Vec<&'static str> = suspects.iter().map(|s| rule(s)).collect();
    ids.sort_unstable();
    ids.dedup();
    let version = env!("CARGO_PKG_VERSION");
    let mut rules: Vec<ReportingDescriptor> = ids.iter().filter_map(|id| descriptor(id)).collect();
    rules.extend(report.problem.is_some().then(|| {
        let base = ReportingDescriptor::builder().id(LOG).short_description(text("audit log not to be trusted"));
        base.full_description(text(
            "A record of the audit log was changed, moved or taken away, so that what comes behind it proves nothing.",
        ))
        .build()
    }));
    let driver = ToolComponent::builder().name("fixcon").version(version).rules(rules);
    let mut results: Vec<Finding> = suspects.iter().map(|s| finding(report, s, &ids)).collect();
    results.extend(report.problem.as_ref().map(|problem| distrust(report, problem)));
    let run = Run::builder().tool(Tool::builder().driver(driver.build()).build()).results(results).build();
    let sarif = Sarif::builder().schema(SCHEMA_URL).version("2.1.0").runs(vec![run]).build();
    serde_json::to_string_pretty(&sarif).map(|s| s + "\n").map_err(|e| ReportError::Format(e.to_string()))
}

/// A log that is not to be trusted to its end.
fn distrust(report: &Report, problem: &str) -> Finding {
    let artifact = ArtifactLocation::builder().uri(uri(&report.log)).build();
    let region = Region::builder().start_line(report.records as i64 + 1).build();
    let physical = PhysicalLocation::builder().artifact_location(artifact).region(region).build();
    let words = format!("the log is not to be trusted from record {} on: {}", report.records + 1, harmless(problem));
    Finding::builder()
        .rule_id(LOG)
        .kind(ResultKind::Fail)
        .level(ResultLevel::Error)
        .message(Message::builder().text(words).build())
        .locations(vec![Location::builder().physical_location(physical).build()])
        .build()
}

/// The kind; where none was found the category, which has two letters.
fn rule(suspect: &SuspectLine) -> &'static str {
    suspect.kind.unwrap_or(suspect.category)
}

fn text(text: &str) -> MultiformatMessageString {
    MultiformatMessageString::builder().text(text).build()
}

fn descriptor(id: &str) -> Option<ReportingDescriptor> {
    let of = |name: &str, full: &str| {
        let base = ReportingDescriptor::builder().id(id).short_description(text(name)).full_description(text(full));
        base.help(text(&format!("{full} fixcon explain {id} says the same."))).build()
    };
    match Kind::from_id(id) {
        Some(kind) => Some(of(kind.name(), kind.explanation())),
        None => {
            let category = Kind::ALL.iter().map(|k| k.category()).find(|c: &Category| c.id() == id)?;
            Some(of(category.name(), &format!("A fault of {} that no edit explains.", category.name())))
        }
    }
}

fn finding(report: &Report, s: &SuspectLine, ids: &[&str]) -> Finding {
    let mended = s.standing == SuspectStanding::Mended;
    let (kind, level) = if mended { (ResultKind::Pass, ResultLevel::None) } else { (ResultKind::Fail, ResultLevel::Error) };
    let mut words = s.words.clone();
    for line in &s.evidence {
        words += &format!("; {line}");
    }
    if mended {
        words += "; mended";
    }
    let name = s.target_nodes.first().or(s.target_tensors.first());
    let artifact = ArtifactLocation::builder().uri(uri(&report.target.path)).build();
    // A model has no lines; services that show results in a file want one all the same.
    let region = Region::builder().start_line(1).build();
    let physical = PhysicalLocation::builder().artifact_location(artifact).region(region).build();
    let logical: Vec<LogicalLocation> = s
        .target_nodes
        .iter()
        .map(|n| LogicalLocation::builder().name(harmless(n)).fully_qualified_name(harmless(n)).kind("node").build())
        .collect();
    let location = Location::builder().physical_location(physical).logical_locations(logical).build();
    let mut prints = BTreeMap::new();
    prints.insert("fixcon/place/v1".to_string(), format!("{}/{}", rule(s), name.map(|n| harmless(n)).unwrap_or_default()));
    let mut figures: BTreeMap<String, serde_json::Value> = BTreeMap::new();
    figures.insert("isolatedError".into(), serde_json::to_value(s.error).unwrap_or_default());
    figures.insert("operators".into(), s.operators.clone().into());
    let at = ids.iter().position(|id| *id == rule(s)).unwrap_or(0);
    Finding::builder()
        .rule_id(rule(s))
        .rule_index(at as i64)
        .kind(kind)
        .level(level)
        .message(Message::builder().text(harmless(&words)).build())
        .locations(vec![location])
        .partial_fingerprints(prints)
        .properties(PropertyBag::builder().additional_properties(figures).build())
        .build()
}

/// A path as a URI reference.
fn uri(path: &str) -> String {
    let mut out = String::new();
    for byte in path.replace('\\', "/").bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => out.push(byte as char),
            other => out += &format!("%{other:02X}"),
        }
    }
    if out.starts_with('/') { format!("file://{out}") } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_and_category_is_a_rule() {
        for kind in Kind::ALL {
            assert_eq!(descriptor(kind.id()).unwrap().id, kind.id());
            assert!(descriptor(kind.category().id()).is_some());
        }
        assert!(descriptor("XX").is_none());
    }

    #[test]
    fn paths_are_uris() {
        assert_eq!(uri("a b/é.onnx"), "a%20b/%C3%A9.onnx");
        assert_eq!(uri("/m/t.onnx"), "file:///m/t.onnx");
        assert_eq!(uri("x:y\u{1b}"), "x%3Ay%1B");
    }
}
