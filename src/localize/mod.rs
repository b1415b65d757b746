//! Finding the fault: is it the input, which region introduces the error, and what kind of fault it is.

mod blame;
mod catalogue;
pub mod inject;
pub mod remedy;
mod trial;

pub use catalogue::{Category, Kind};

use crate::align::{Pair, Region};
use crate::model::{NodeId, ValueId};

/// A place that is to blame, with its diagnosis.
#[derive(Debug, Clone)]
pub struct Suspect {
    /// Index into [`Findings::regions`]; `None` for the recipe or the declared input.
    pub region: Option<usize>,
    /// What is wrong, when an edit was found that brings the region to the floor.
    pub kind: Option<Kind>,
    /// Its category, which can be known without the kind.
    pub category: Category,
    /// Nodes of the target at fault.
    pub target_nodes: Vec<NodeId>,
    /// Initializers, constants or values of the target at fault.
    pub target_tensors: Vec<ValueId>,
    /// What stands for them in the source.
    pub source_nodes: Vec<NodeId>,
    /// The difference in words, with its figures.
    pub words: String,
    /// Lines of evidence.
    pub evidence: Vec<String>,
    /// Kinds that describe the same difference equally well.
    pub equivalents: Vec<Kind>,
    /// From 0 to 1.
    pub confidence: f32,
    /// Isolated error.
    pub error: f32,
    /// Flipped probe images whose label is right once the source's value is put in behind this region, of how many.
    pub splice: Option<(usize, usize)>,
}

/// What can be said of a pair of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// No suspect.
    Clean,
    /// At least one suspect.
    Faulty,
    /// The target does not load or run.
    Unloadable,
}

/// All that localisation found.
#[derive(Debug, Clone)]
pub struct Findings {
    /// The whole in one word.
    pub outcome: Outcome,
    /// Pairs of values, in the target's order.
    pub pairs: Vec<Pair>,
    /// Regions, in the target's order.
    pub regions: Vec<Region>,
    /// Suspects, the worst first.
    pub suspects: Vec<Suspect>,
    /// Isolated error that rounding alone makes for this pair of models.
    pub floor: f32,
    /// Isolated error above which a region is a suspect.
    pub threshold: f32,
    /// Things the user should know that are no suspects: precision, unchecked operators, ties.
    pub notes: Vec<String>,
}
