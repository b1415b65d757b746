//! Faults of converters that were reported before: a data file, matched on producer, operator and kind.

use crate::localize::Kind;
use crate::model::{Model, NodeId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// Reports that are named beside one diagnosis.
const MOST: usize = 3;

/// A report of a converter's fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct KnownBug {
    /// Where it was reported: `owner/repository#number`, `!` in place of `#` for a change.
    pub issue: String,
    /// What was seen, and the cause where it is known.
    pub what: String,
    /// The page.
    pub url: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    issue: String,
    what: String,
    kinds: Vec<String>,
    #[serde(default)]
    operators: Vec<String>,
    #[serde(default)]
    producers: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entries {
    bug: Vec<Entry>,
}

fn entries() -> &'static [Entry] {
    static ALL: OnceLock<Vec<Entry>> = OnceLock::new();
    // A test reads the file too, so that a damaged one never gets here.
    ALL.get_or_init(|| toml::from_str::<Entries>(include_str!("known.toml")).map(|e| e.bug).unwrap_or_default())
}

/// The same for nodes of a model, whose producer is asked.
pub fn known_of(model: &Model, nodes: &[NodeId], kind: Kind) -> Vec<KnownBug> {
    let operators: Vec<String> = nodes.iter().map(|n| model.node(*n).op_type().to_string()).collect();
    known_bugs(model.proto().producer_name(), &operators, kind)
}

/// Reports that look like a diagnosis: those that name the target's producer first, at most three. A resemblance, no proof.
pub fn known_bugs(producer: &str, operators: &[String], kind: Kind) -> Vec<KnownBug> {
    let producer = producer.to_ascii_lowercase();
    let by_producer = |e: &Entry| e.producers.iter().any(|p| producer.contains(p.as_str()));
    let fits = |e: &&Entry| {
        e.kinds.iter().any(|k| k == kind.id())
            && (e.operators.is_empty() || e.operators.iter().any(|o| operators.contains(o)))
            && (e.producers.is_empty() || by_producer(e))
    };
    let mut found: Vec<&Entry> = entries().iter().filter(fits).collect();
    found.sort_by_key(|e| (!by_producer(e), e.operators.is_empty()));
    found.into_iter().take(MOST).map(|e| KnownBug { issue: e.issue.clone(), what: e.what.clone(), url: url(&e.issue) }).collect()
}

fn url(issue: &str) -> String {
    match (issue.split_once('#'), issue.split_once('!')) {
        (Some((repository, number)), _) => format!("https://github.com/{repository}/issues/{number}"),
        (None, Some((repository, number))) => format!("https://github.com/{repository}/pull/{number}"),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_can_be_found() {
        let all: Entries = toml::from_str(include_str!("known.toml")).unwrap();
        assert!(all.bug.len() >= 30);
        let schema = include_str!("../model/schema/operators.tsv");
        for e in &all.bug {
            assert!(url(&e.issue).starts_with("https://"), "{}", e.issue);
            assert!(!e.what.is_empty() && !e.kinds.is_empty(), "{}", e.issue);
            for kind in &e.kinds {
                assert!(Kind::from_id(kind).is_some_and(|k| k.id() == kind), "{}: {kind}", e.issue);
            }
            for op in &e.operators {
                assert!(schema.lines().any(|l| l.split('\t').any(|w| w == op)), "{}: {op} is no operator", e.issue);
            }
            assert!(e.producers.iter().all(|p| p.chars().all(|c| !c.is_ascii_uppercase())), "{}: producers are in lower case", e.issue);
        }
    }

    #[test]
    fn producer_operator_and_kind_decide() {
        let ops = |o: &str| vec![o.to_string()];
        let names = |p: &str, o: &str, k: Kind| known_bugs(p, &ops(o), k).into_iter().map(|b| b.issue).collect::<Vec<_>>();
        assert!(names("tf2onnx 1.16", "Resize", Kind::LhResize).contains(&"onnx/tensorflow-onnx#914".to_string()));
        assert!(!names("pytorch 2.5", "Resize", Kind::LhResize).contains(&"onnx/tensorflow-onnx#914".to_string()));
        assert!(names("pytorch 2.5", "Resize", Kind::LhResize).contains(&"pytorch/pytorch#183523".to_string()));
        assert!(names("tf2onnx", "Resize", Kind::LhPads).is_empty());
        assert!(names("tf2onnx", "Conv", Kind::LhResize).is_empty());
        assert!(names("any", "Conv", Kind::PpChannels).len() <= MOST);
    }
}
