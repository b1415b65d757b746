//! The text that goes with a reproducer to a converter's issue tracker.

use super::{Reproducer, Shown};
use crate::localize::Findings;
use crate::repair::{Job, diff};
use crate::report::known::known_bugs;
use crate::report::markdown::{code, fenced, line, plain};
use std::fmt::{Result, Write};

/// The text, in Markdown.
pub fn text(job: &Job, findings: &Findings, suspect: usize, made: &Reproducer, nodes: &[String]) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut out, job, findings, suspect, made, nodes);
    out
}

fn write(out: &mut String, job: &Job, findings: &Findings, suspect: usize, made: &Reproducer, nodes: &[String]) -> Result {
    let s = &findings.suspects[suspect];
    let target = job.target.model();
    let kind = s.kind.map_or_else(|| s.category.id(), |k| k.id());
    let name = s.kind.map_or_else(|| s.category.name(), |k| k.name());
    let mut operators: Vec<String> = Vec::new();
    for op in s.target_nodes.iter().map(|n| target.node(*n).op_type()) {
        if !operators.iter().any(|o| o == op) {
            operators.push(op.into());
        }
    }
    let proto = target.proto();
    let producer = target.producer();
    let shown = if producer.is_empty() { "the converter".to_string() } else { plain(&producer) };
    let place = if operators.is_empty() { "the input".into() } else { plain(&operators.join(", ")) };
    writeln!(out, "# {place}: {name} after conversion ({kind})\n")?;
    writeln!(out, "{}\n", plain(&s.words))?;
    writeln!(out, "| | |\n|---|---|\n| converted by | {shown} |")?;
    let opsets: Vec<String> = proto
        .opset_import
        .iter()
        .map(|o| format!("{} {}", if o.domain().is_empty() { "ai.onnx" } else { o.domain() }, o.version()))
        .collect();
    writeln!(out, "| operator sets | {} |\n| IR version | {} |", plain(&opsets.join(", ")), proto.ir_version())?;
    let from = job.source.model().producer();
    writeln!(out, "| from a model of | {} |", if from.is_empty() { "unknown".into() } else { plain(&from) })?;
    writeln!(out, "| operators | {} |", if operators.is_empty() { "–".into() } else { plain(&operators.join(", ")) })?;
    writeln!(out, "| nodes | {} |\n", nodes.iter().map(|n| code(n)).collect::<Vec<_>>().join(", "))?;
    writeln!(out, "## What is expected\n")?;
    let rel = |e: f32| if e.is_finite() { format!("{e:.2e}") } else { "another shape".into() };
    match &made.shown {
        Shown::Fails(why) => writeln!(out, "The model loads and runs. It does not: {}\n", plain(why))?,
        Shown::Differs { output, relative, largest } if made.sets.len() > 1 => writeln!(
            out,
            "`test_data_set_0/input_*.pb` is what the target's preprocessing makes of the image, `output_*.pb` what the source has behind its \
             first layers for the same image. {} is off by a relative L2 of {} (largest difference of an element {}).\n",
            code(output),
            rel(*relative),
            rel(*largest)
        )?,
        Shown::Differs { output, relative, largest } => writeln!(
            out,
            "`test_data_set_0/output_*.pb`, which is what the source gives for the same values. The converted nodes give something else: \
             {} is off by a relative L2 of {} (largest difference of an element {}).\n",
            code(output),
            rel(*relative),
            rel(*largest)
        )?,
        Shown::Nothing => writeln!(
            out,
            "`test_data_set_0/output_*.pb`. On the images that were tried this part alone gives it; the fault shows with others.\n"
        )?,
    }
    writeln!(out, "Over the whole network {} of {} images get another label.\n", job.flips().len(), job.count())?;
    writeln!(out, "## How to see it\n")?;
    let two = if made.sets.len() > 1 { " `test_data_set_1` is the same image with the preprocessing put right: it agrees." } else { "" };
    let source = if made.source.is_some() { " `source/` has the nodes before conversion with the same values: they agree." } else { "" };
    writeln!(
        out,
        "The attached folder is laid out as ONNX lays out its tests (`model.onnx`, `test_data_set_0/input_0.pb`, `output_0.pb`); its values \
         are those of one image.{two}{source} `python show.py` runs it with onnxruntime and prints the differences.\n"
    )?;
    if let Some(p) = job.proposals(findings).into_iter().find(|p| p.suspect == suspect) {
        let lines: Vec<String> = diff(&p, job).0.iter().map(line).take(60).collect();
        if !lines.is_empty() {
            writeln!(out, "## What mends it\n\n{}", fenced("diff", &lines.join("\n")))?;
        }
    }
    let known = s.kind.map(|k| known_bugs(&producer, &operators, k)).unwrap_or_default();
    if !known.is_empty() {
        writeln!(out, "## Reports that look like it\n")?;
        known.iter().try_for_each(|k| writeln!(out, "- [{}]({}): {}", k.issue, k.url, plain(&k.what)))?;
        writeln!(out)?;
    }
    writeln!(out, "Found with fixcon {}.", env!("CARGO_PKG_VERSION"))
}
