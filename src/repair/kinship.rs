//! Are source and target the same network at all?

use super::RepairError;
use crate::align::Verdict;
use crate::localize::Findings;
use crate::model::Model;
use std::collections::{HashMap, HashSet};

/// Part of the target's nodes that has its like in the source, below which the two may be two networks. Faulty conversions have four of five
/// and more; but one fault at the very beginning can hide all that follows.
const NODES: f64 = 0.25;
/// Part of the weights that has one of the same size on the other side, below which they are. Conversions have all, two networks a third.
const WEIGHTS: f64 = 0.5;
/// With fewer nodes or weights nothing is said.
const FEWEST: usize = 6;
/// Elements of the smallest weight that counts.
const SMALLEST: i64 = 64;

/// How much of two networks is alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinship {
    /// Nodes of the target that stand for something in the source: those that make the same of the same values, and those of which an exact
    /// and local edit would; of how many.
    pub nodes: (usize, usize),
    /// Weights with one of the same size on the other side, of how many on the side that has more.
    pub weights: (usize, usize),
}

impl Kinship {
    /// What the findings and the models say.
    pub(super) fn of(source: &Model, target: &Model, findings: &Findings) -> Self {
        let mended: HashSet<usize> =
            findings.suspects.iter().filter(|s| s.remedies.iter().any(|f| f.remedy.safe)).filter_map(|s| s.region).collect();
        let regions = || findings.regions.iter().enumerate();
        let akin = regions().filter(|(i, r)| r.verdict == Verdict::Clean || mended.contains(i)).map(|(_, r)| r.target.len()).sum();
        let (mine, theirs) = (sizes(target), sizes(source));
        let common = mine.iter().map(|(size, n)| (*n).min(theirs.get(size).copied().unwrap_or(0))).sum();
        let all = |of: &HashMap<i64, usize>| of.values().sum::<usize>();
        Self { nodes: (akin, regions().map(|(_, r)| r.target.len()).sum()), weights: (common, all(&mine).max(all(&theirs))) }
    }

    /// Whether these are two networks rather than two copies of one.
    pub fn is_none(self) -> bool {
        let below = |(akin, of): (usize, usize), part: f64| of >= FEWEST && (akin as f64) < part * of as f64;
        below(self.nodes, NODES) && below(self.weights, WEIGHTS)
    }

    /// # Errors
    /// [`RepairError::Unrelated`] for two networks: putting the source in the target's place mends nothing.
    pub(super) fn refuse(self) -> Result<(), RepairError> {
        if self.is_none() { Err(RepairError::Unrelated(self)) } else { Ok(()) }
    }
}

impl std::fmt::Display for Kinship {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ((nodes, of), (weights, all)) = (self.nodes, self.weights);
        write!(
            f,
            "source and target do not look like the same network: only {nodes} of the target's {of} nodes have their like in the source, \
             and {weights} of {all} weights one of the same size"
        )
    }
}

/// How many weights there are of each number of elements, whatever their layout.
fn sizes(model: &Model) -> HashMap<i64, usize> {
    let constants =
        model.nodes().filter(|(_, n)| n.op_type() == "Constant").flat_map(|(_, n)| n.attribute.iter().filter_map(|a| a.t.as_ref()));
    let mut out = HashMap::new();
    for tensor in model.initializers().chain(constants) {
        let size = tensor.dims.iter().copied().fold(1i64, i64::saturating_mul);
        if size >= SMALLEST && tensor.dims.iter().filter(|d| **d > 1).count() >= 2 {
            *out.entry(size).or_default() += 1;
        }
    }
    out
}
