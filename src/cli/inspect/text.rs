//! Models and nodes for people.

use super::node::{NodeReport, Port};
use super::report::{Declaration, InspectReport};
use crate::model::{Severity, harmless, size};
use std::fmt::Write;

/// Problems and metadata entries that are listed.
const LISTED: usize = 20;

/// A figure with as many digits as count.
fn figure(v: f64) -> String {
    match v {
        0.0 => "0".into(),
        v if (1e-3..1e6).contains(&v.abs()) => format!("{v:.5}").trim_end_matches('0').trim_end_matches('.').to_string(),
        v => format!("{v:.3e}"),
    }
}

/// A model. Writing to a string cannot fail, so results are dropped.
pub fn model(r: &InspectReport) -> String {
    let mut out = String::new();
    let _ = write_model(&mut out, r);
    out
}

fn write_model(out: &mut String, r: &InspectReport) -> std::fmt::Result {
    let opsets: Vec<_> = r.opsets.iter().map(|o| format!("{} {}", harmless(&o.domain), o.version)).collect();
    writeln!(out, "file        {}", harmless(&r.file))?;
    writeln!(out, "producer    {}", if r.producer.is_empty() { "not said".into() } else { harmless(&r.producer) })?;
    writeln!(out, "format      IR version {}, operator sets {}", r.ir_version, opsets.join(", "))?;
    let declared = |d: &Declaration| {
        let shape = d.shape.as_ref().map_or("any shape".into(), |s| format!("[{}]", harmless(&s.join(", "))));
        format!("{}  {} {shape}", harmless(&d.name), d.dtype)
    };
    for (what, all) in [("input", &r.inputs), ("output", &r.outputs)] {
        for d in all {
            writeln!(out, "{what:<12}{}", declared(d))?;
        }
    }
    let by_type: Vec<_> = r.parameters.by_type.iter().map(|(t, n)| format!("{n} {t}")).collect();
    let p = &r.parameters;
    writeln!(out, "parameters  {} in {} initializers, {} ({})", p.elements, p.tensors, size(p.bytes), by_type.join(", "))?;
    if p.external > 0 {
        writeln!(out, "            {} of them in other files", p.external)?;
    }
    let functions = if r.functions == 0 { String::new() } else { format!(", {} functions", r.functions) };
    writeln!(out, "nodes       {}{functions}", r.nodes)?;
    for o in &r.operators {
        let domain = if o.domain == "ai.onnx" { String::new() } else { format!("  ({})", harmless(&o.domain)) };
        writeln!(out, "  {:>6}  {}{domain}", o.count, harmless(&o.operator))?;
    }
    match &r.run {
        Some(run) => {
            let largest = run
                .largest
                .as_ref()
                .map(|n| format!(", the largest '{}' with {}", harmless(n), size(run.largest_bytes)))
                .unwrap_or_default();
            writeln!(out, "values      {} for one image, {} in all{largest}", run.values, size(run.bytes))?;
            if run.cannot_run.is_empty() {
                writeln!(out, "runs        every node does (tried on zeros, shape {})", shapes(&run.inputs))?;
            }
            for b in &run.cannot_run {
                // Without a node it is the whole that does not run.
                let place = if b.node.is_empty() { String::new() } else { format!("{} {}: ", b.operator, b.node) };
                writeln!(out, "cannot run  {}{}", harmless(&place), harmless(&b.why))?;
            }
        }
        None if r.problems.iter().any(|p| p.severity == Severity::Error) => {
            writeln!(out, "runs        not tried, because of the errors below")?
        }
        None => writeln!(out, "runs        not tried: the shape of the input is open (--shape 1,3,224,224)")?,
    }
    for (key, value) in r.metadata.iter().take(LISTED) {
        let (key, value) = (harmless(key), harmless(value));
        let short: String = value.chars().take(80).collect();
        writeln!(out, "metadata    {key} = {short}{}", if short.len() < value.len() { "..." } else { "" })?;
    }
    for problem in r.problems.iter().take(LISTED) {
        let word = if problem.severity == Severity::Error { "error" } else { "warning" };
        writeln!(out, "{word}: {}", harmless(&problem.to_string()))?;
    }
    if r.problems.len() > LISTED {
        writeln!(out, "and {} more (--json lists all)", r.problems.len() - LISTED)?;
    }
    Ok(())
}

fn shapes(all: &[Vec<usize>]) -> String {
    all.iter().map(|s| format!("{s:?}")).collect::<Vec<_>>().join(", ")
}

/// A node.
pub fn node(r: &NodeReport) -> String {
    let mut out = String::new();
    let _ = write_node(&mut out, r);
    out
}

fn write_node(out: &mut String, r: &NodeReport) -> std::fmt::Result {
    let domain = if r.domain == "ai.onnx" { String::new() } else { format!(" of {}", harmless(&r.domain)) };
    writeln!(out, "{}  {}{domain}", harmless(&r.name), harmless(&r.operator))?;
    for (name, value) in &r.attributes {
        writeln!(out, "  {} = {}", harmless(name), harmless(value))?;
    }
    for (what, ports) in [("input", &r.inputs), ("output", &r.outputs)] {
        for (slot, port) in ports.iter().enumerate() {
            writeln!(out, "  {what} {slot}  {}", words(port, what == "input"))?;
        }
    }
    Ok(())
}

fn words(port: &Port, input: bool) -> String {
    if port.value.is_empty() {
        return "(none)".into();
    }
    let mut out = harmless(&port.value).into_owned();
    if let (Some(dtype), Some(shape)) = (&port.dtype, &port.shape) {
        out += &format!("  {dtype} {shape:?}");
        if let Some(elements) = &port.elements {
            let list: Vec<_> = elements.iter().map(|v| figure(f64::from(*v))).collect();
            out += &format!("  = [{}]", list.join(", "));
        } else if let Some(s) = &port.statistics {
            out += &format!("  min {}, max {}, mean {}, std {}", figure(s.min), figure(s.max), figure(s.mean), figure(s.std));
            if s.zeros > 0 {
                out += &format!(", {} zeros", s.zeros);
            }
            if s.non_finite > 0 {
                out += &format!(", {} not finite", s.non_finite);
            }
        }
    } else if let Some(why) = &port.unreadable {
        out += &format!("  cannot be read: {}", harmless(why));
    } else if !port.nodes.is_empty() {
        out += &format!("  {} {}", if input { "from" } else { "read by" }, harmless(&port.nodes.join(", ")));
    }
    out
}
