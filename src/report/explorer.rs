//! Model Explorer: errors of every node to lay over both graphs, and which nodes stand for each other.

use crate::align::{Region, Verdict};
use crate::localize::Findings;
use crate::model::NodeId;
use crate::repair::Job;
use crate::run::{Network, OpId};
use serde_json::{Map, Value as Json, json};
use std::collections::HashSet;

/// A finite number for what is infinitely wrong: JSON has no infinity.
const INFINITE: f32 = 1e30;

/// The files for Model Explorer.
#[derive(Debug, Clone)]
pub struct Explorer {
    /// Node data of the source: graph to node to isolated error.
    pub source: Json,
    /// Node data of the target.
    pub target: Json,
    /// Navigation: nodes of the source (left) with those of the target (right).
    pub mapping: Json,
}

/// What localisation found, for Model Explorer and its ONNX adapter, which calls nodes by their names.
pub fn explorer(job: &Job, findings: &Findings) -> Explorer {
    Explorer {
        source: node_data(&job.source, findings, |r| &r.source),
        target: node_data(&job.target, findings, |r| &r.target),
        mapping: mapping(job, findings),
    }
}

/// The adapter's id of a node: its name; of a node without one its first output.
fn id(network: &Network, op: OpId) -> String {
    node_id(network, network.op(op).node)
}

fn node_id(network: &Network, node: NodeId) -> String {
    let proto = network.model().node(node);
    if proto.name().is_empty() { proto.output.first().cloned().unwrap_or_default() } else { proto.name().to_string() }
}

fn node_data(network: &Network, findings: &Findings, side: impl Fn(&Region) -> &Vec<OpId>) -> Json {
    let mut results = Map::new();
    for region in &findings.regions {
        let error = region.isolated.map(|e| if e.is_finite() { e } else { INFINITE });
        let mut entry = match (region.verdict, error) {
            (Verdict::Unchecked, None) => json!({ "value": -1, "bgColor": "#f0c060", "textColor": "#000000" }),
            (_, error) => json!({ "value": error.unwrap_or(0.0) }),
        };
        if region.verdict == Verdict::Faulty {
            entry["bgColor"] = "#d9534f".into();
            entry["textColor"] = "#ffffff".into();
        }
        for op in side(region) {
            results.insert(id(network, *op), entry.clone());
        }
    }
    let graph = network.model().graph().rest().name().to_string();
    let thresholds = json!([
        { "value": findings.floor, "bgColor": "#e3f4ea", "textColor": "#000000" },
        { "value": findings.threshold, "bgColor": "#fdf1d8", "textColor": "#000000" },
        { "value": INFINITE, "bgColor": "#d9534f", "textColor": "#ffffff" },
    ]);
    json!({ graph: { "results": results, "thresholds": thresholds } })
}

fn mapping(job: &Job, findings: &Findings) -> Json {
    // A node may stand in one entry only.
    let (mut left, mut right): (HashSet<String>, HashSet<String>) = Default::default();
    let mut entries = Vec::new();
    for region in &findings.regions {
        let theirs: Vec<String> = region.source.iter().map(|op| id(&job.source, *op)).filter(|n| left.insert(n.clone())).collect();
        let mine: Vec<String> = region.target.iter().map(|op| id(&job.target, *op)).filter(|n| right.insert(n.clone())).collect();
        if !theirs.is_empty() && !mine.is_empty() {
            entries.push(json!({ "leftNodeIds": theirs, "rightNodeIds": mine }));
        }
    }
    json!({ "type": "sync_navigation", "mappingEntries": entries, "disableMappingFallback": true, "showDiffHighlights": true })
}
