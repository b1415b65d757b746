//! Pairing two graphs by their numbers: values that stand for each other, and the regions between them.
//!
//! The target is walked in topological order while every paired value is replaced by the source's own (teacher forcing), so that
//! each node is judged on right inputs and only the node that introduces an error shows one.

mod layout;

pub use layout::Layout;

use crate::model::ValueId;
use crate::run::OpId;

/// A source value and the target value that stands for it.
#[derive(Debug, Clone)]
pub struct Pair {
    /// Value of the source.
    pub source: ValueId,
    /// Value of the target.
    pub target: ValueId,
    /// How the source's value is laid out in the target.
    pub layout: Layout,
    /// Isolated error: of what the target computes here from the source's values, relative L2, the worst image.
    pub error: f32,
    /// Why the two are taken for a pair.
    pub kind: PairKind,
    /// From 0 to 1.
    pub confidence: f32,
}

/// Why two values are taken for a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PairKind {
    /// Their numbers are equal up to the layout and the floor.
    Equal,
    /// What follows is equal once they are taken for a pair.
    Inferred(String),
    /// The user said so.
    Pinned,
}

/// What isolation says of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// At the floor.
    Clean,
    /// Above the floor: an error arises here.
    Faulty,
    /// Cannot run, or cannot be compared.
    Unchecked,
}

/// The nodes between paired values, on both sides. Every op of the target lies in one region.
#[derive(Debug, Clone)]
pub struct Region {
    /// Ops of the source, in order; empty for a node that only the target has.
    pub source: Vec<OpId>,
    /// Ops of the target, in order; empty for a node that only the source has.
    pub target: Vec<OpId>,
    /// Indices into the pairs: values the region's target side reads.
    pub inputs: Vec<usize>,
    /// Indices into the pairs: values the region's target side makes.
    pub outputs: Vec<usize>,
    /// Worst isolated error over the outputs.
    pub isolated: Option<f32>,
    /// Worst accumulated error over the outputs, in a plain run of the target.
    pub accumulated: Option<f32>,
    /// What isolation says.
    pub verdict: Verdict,
    /// Why it is unchecked.
    pub why: Option<String>,
}
