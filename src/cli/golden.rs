//! `fixcon localize --golden`: the target is a run elsewhere, of which only the values are at hand.

use super::output::print_text;
use super::{Common, DIFFERENT, SAME, print_json};
use crate::dataset::{Case, CaseFile, Feed, ImageSet, RecipeKeys, golden as read};
use crate::localize::{GoldenFindings, GoldenValue, THRESHOLD, golden};
use crate::model::{Model, harmless};
use crate::run::Network;
use anyhow::{Context, Result, bail};
use schemars::JsonSchema;
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;

/// What `fixcon localize --golden --json` writes.
#[derive(Debug, Serialize, JsonSchema)]
pub struct GoldenReport {
    /// `clean` or `faulty`.
    pub verdict: &'static str,
    /// Images that were held against golden values.
    pub images: usize,
    /// Isolated error above which the run elsewhere is at fault.
    pub threshold: f32,
    /// Golden values in the order of the model.
    pub values: Vec<GoldenLine>,
    /// Names in the file that are no value of the model, or have another size.
    pub unplaced: Vec<String>,
}

/// A golden value.
#[derive(Debug, Serialize, JsonSchema)]
pub struct GoldenLine {
    /// Its name.
    pub value: String,
    /// Nodes between it and the golden values above it.
    pub nodes: Vec<String>,
    /// How the model's value is laid out there.
    pub layout: String,
    /// Error of what these nodes alone make; absent when it is no finite number.
    pub isolated: Option<f32>,
    /// Error of the value in a plain run; absent when it is no finite number.
    pub accumulated: Option<f32>,
    /// `clean` or `faulty`.
    pub verdict: &'static str,
}

/// Holds the source against golden values.
pub fn run(mut written: CaseFile, file: &Path, common: &Common) -> Result<ExitCode> {
    // There is no target but the values.
    written.target = written.source.clone();
    let case = Case::new(written)?;
    let network = Network::new(&Model::open(&case.source)?.inlined()?)?;
    let images = ImageSet::open(&case.images, None, None)?;
    let recipe = case.source_recipe.clone().map(RecipeKeys::resolve).transpose()?;
    let feed = Feed::new(network.model(), recipe);
    let mut sets = Vec::new();
    for (at, values) in read(file)?.into_iter().enumerate().take(images.len()) {
        let inputs = images.inputs(at, &[&feed])?.remove(0);
        sets.push((inputs, values));
    }
    let findings = golden(&network, &sets).context("the source does not run")?;
    if findings.values.is_empty() {
        bail!(
            "{}: nothing to compare: golden values go by the names of the source's values and have as many elements; these do not: {}",
            file.display(),
            findings.unplaced.join(", ")
        );
    }
    let report = report(&network, &findings, sets.len());
    if common.json {
        print_json(&report)?;
    } else {
        print_text(&text(&report))?;
    }
    Ok(ExitCode::from(if report.verdict == "clean" { SAME } else { DIFFERENT }))
}

fn report(network: &Network, found: &GoldenFindings, images: usize) -> GoldenReport {
    let line = |v: &GoldenValue| GoldenLine {
        value: v.name.clone(),
        nodes: v.nodes.iter().map(|id| network.label(*id).to_string()).collect(),
        layout: v.layout.to_string(),
        isolated: Some(v.isolated).filter(|e| e.is_finite()),
        accumulated: Some(v.accumulated).filter(|e| e.is_finite()),
        verdict: if v.isolated <= THRESHOLD { "clean" } else { "faulty" },
    };
    let verdict = if found.faulty().next().is_none() { "clean" } else { "faulty" };
    GoldenReport {
        verdict,
        images,
        threshold: THRESHOLD,
        values: found.values.iter().map(line).collect(),
        unplaced: found.unplaced.clone(),
    }
}

fn text(r: &GoldenReport) -> String {
    let faulty: Vec<&GoldenLine> = r.values.iter().filter(|v| v.verdict == "faulty").collect();
    let mut out = format!("{}: {} of {} golden values arise wrongly, on {} images\n", r.verdict, faulty.len(), r.values.len(), r.images);
    let figure = |e: Option<f32>| e.map_or("∞".into(), |e| format!("{e:.1e}"));
    for v in &faulty {
        out += &format!("  ✗ {}  isolated {}, accumulated {}\n", harmless(&v.value), figure(v.isolated), figure(v.accumulated));
        out += &format!("      made by {}\n", harmless(&v.nodes.join(", ")));
    }
    if let Some(worst) = r.values.last() {
        out += &format!("last value {}: accumulated error {}\n", harmless(&worst.value), figure(worst.accumulated));
    }
    if !r.unplaced.is_empty() {
        out += &format!(
            "note: {} names are no value of the source, or have another size: {}\n",
            r.unplaced.len(),
            harmless(&r.unplaced.join(", "))
        );
    }
    out
}
