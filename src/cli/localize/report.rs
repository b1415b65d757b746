//! What `fixcon localize` says, with names in place of ids: text and JSON are made of it.

use crate::align::Verdict;
use crate::compare::LeftOut;
use crate::localize::{Findings, Ranking, Suspect};
use crate::model::onnx::NodeProto;
use crate::model::{Model, NodeExt};
use crate::repair::Job;
use crate::report::{KnownBug, known_of};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::HashSet;

/// What `--json` gives.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LocalizeReport {
    /// `clean`, `faulty` or `unloadable`.
    pub verdict: String,
    /// Images whose labels differ.
    pub mismatches: crate::compare::Mismatches,
    /// Images that cannot be read, with the reason: nothing is known of them.
    pub left_out: Vec<LeftOut>,
    /// The worst first.
    pub suspects: Vec<SuspectReport>,
    /// Regions of both graphs, in the target's order.
    pub regions: Vec<RegionReport>,
    /// Isolated error that rounding alone makes.
    pub floor: f32,
    /// Isolated error above which a region is a suspect.
    pub threshold: f32,
    /// What suspects are ordered by: `splice` or `kruskal-wallis`.
    pub ranking: &'static str,
    /// How many flipped and agreeing images the Kruskal-Wallis tests held against each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranking_images: Option<(usize, usize)>,
    /// Remarks.
    pub notes: Vec<String>,
    /// Why the target does not run, when it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// A suspect.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SuspectReport {
    /// From 1.
    pub rank: usize,
    /// Two letters.
    pub category: &'static str,
    /// Id of the kind; absent when nothing explains it.
    pub kind: Option<&'static str>,
    /// Nodes of the target at fault.
    pub target_nodes: Vec<String>,
    /// Initializers, constants or values of the target at fault.
    pub target_tensors: Vec<String>,
    /// What stands for them in the source.
    pub source_nodes: Vec<String>,
    /// The difference in words.
    pub words: String,
    /// Lines of evidence.
    pub evidence: Vec<String>,
    /// Kinds that describe the same difference equally well.
    pub equivalents: Vec<&'static str>,
    /// From 0 to 1.
    pub confidence: f32,
    /// Isolated error; absent when it is infinite or there is no region.
    pub isolated: Option<f32>,
    /// Flipped images whose label is right once this place alone is right, of how many.
    pub splice: Option<(usize, usize)>,
    /// Share of its region's elements whose error tells flipped from agreeing images, under `--ranking kruskal-wallis`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub significant: Option<f32>,
    /// Edits that mend it, in words, the smallest first.
    pub edits: Vec<String>,
    /// The same edits as they are made.
    pub changes: Vec<String>,
    /// Reports of converters' faults that look like it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<KnownBug>,
}

/// A region.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RegionReport {
    /// Nodes of the source.
    pub source: Vec<String>,
    /// Nodes of the target.
    pub target: Vec<String>,
    /// Order of the axes of its first output in the target, as axes of the source; `same` when nothing moves.
    pub layout: Option<String>,
    /// Isolated error.
    pub isolated: Option<f32>,
    /// Accumulated error.
    pub accumulated: Option<f32>,
    /// Share of elements whose error tells flipped from agreeing images, under `--ranking kruskal-wallis`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub significant: Option<f32>,
    /// `clean`, `faulty` or `unchecked`.
    pub verdict: &'static str,
    /// Why it is unchecked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// An edit as it is made; of the last resort, what it comes to.
fn change(remedy: &crate::localize::Remedy) -> String {
    let text = remedy.edit.to_string();
    match (text.is_empty(), remedy.safe) {
        (true, _) => "change the recipe".into(),
        (_, false) => "put the source's nodes in their place".into(),
        _ => text,
    }
}

/// Labels of nodes; ahead of those of a function's body that of the node which calls it, as only this one has the name in the file.
fn in_file<'a>(original: &Model, labels: impl Iterator<Item = &'a str>) -> Vec<String> {
    let called = |n: &NodeProto| original.proto().functions.iter().any(|f| f.name() == n.op_type() && f.domain() == n.domain());
    let calls: HashSet<&str> = original.nodes().map(|(_, n)| n).filter(|n| called(n)).map(NodeExt::label).collect();
    let mut out: Vec<String> = Vec::new();
    for label in labels {
        let caller = label.match_indices('/').map(|(at, _)| &label[..at]).find(|part| calls.contains(part));
        for name in caller.into_iter().chain([label]) {
            if !out.iter().any(|o| o == name) {
                out.push(name.to_string());
            }
        }
    }
    out
}

/// All that was found, with names in place of ids.
pub fn report(job: &Job, findings: &Findings) -> LocalizeReport {
    let (target, source) = (job.target.model(), job.source.model());
    let significance = findings.significance.as_ref();
    let share = |region: usize| significance.and_then(|s| *s.shares.get(region)?);
    let suspect = |(i, s): (usize, &Suspect)| SuspectReport {
        rank: i + 1,
        category: s.category.id(),
        kind: s.kind.map(crate::localize::Kind::id),
        target_nodes: in_file(&job.original, s.target_nodes.iter().map(|n| target.label(*n))),
        target_tensors: s.target_tensors.iter().map(|v| target.index().name(*v).to_string()).collect(),
        source_nodes: s.source_nodes.iter().map(|n| source.label(*n).to_string()).collect(),
        words: s.words.clone(),
        evidence: s.evidence.clone(),
        equivalents: s.equivalents.iter().map(|k| k.id()).collect(),
        confidence: s.confidence,
        isolated: Some(s.error).filter(|e| e.is_finite()),
        splice: s.splice,
        significant: s.region.and_then(share),
        edits: s.remedies.iter().map(|f| f.remedy.words.clone()).collect(),
        changes: s.remedies.iter().map(|f| change(&f.remedy)).collect(),
        known: s.kind.map(|k| known_of(target, &s.target_nodes, k)).unwrap_or_default(),
    };
    let region = |(i, r): (usize, &crate::align::Region)| RegionReport {
        source: r.source.iter().map(|id| job.source.label(*id).to_string()).collect(),
        target: r.target.iter().map(|id| job.target.label(*id).to_string()).collect(),
        layout: r.outputs.first().map(|i| findings.pairs[*i].layout.to_string()),
        isolated: r.isolated.filter(|e| e.is_finite()),
        accumulated: r.accumulated.filter(|e| e.is_finite()),
        significant: share(i),
        verdict: match r.verdict {
            Verdict::Clean => "clean",
            Verdict::Faulty => "faulty",
            Verdict::Unchecked => "unchecked",
        },
        why: r.why.clone(),
    };
    LocalizeReport {
        verdict: findings.outcome.word().into(),
        mismatches: crate::compare::Mismatches { count: job.flips().len(), of: job.count() },
        left_out: job.left_out(),
        suspects: findings.suspects.iter().enumerate().map(suspect).collect(),
        regions: findings.regions.iter().enumerate().map(region).collect(),
        floor: findings.floor,
        threshold: findings.threshold,
        ranking: if significance.is_some() { Ranking::KruskalWallis } else { Ranking::Splice }.word(),
        ranking_images: significance.map(|s| s.images),
        notes: job.notes.iter().chain(&findings.notes).cloned().collect(),
        failure: job.target_labels.failure.clone(),
    }
}
