//! One fault, what localisation said of it, and whether that is right.

use super::pair::Fault;
use crate::localize::inject::Truth;
use crate::localize::{Category, Findings, Suspect};
use crate::model::Model;
use crate::repair::Job;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A suspect that names more nodes than this names no place.
const LARGEST_PLACE: usize = 16;

/// The outcome of one fault.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Trial {
    /// What tells it from the others.
    pub key: String,
    /// The pair.
    pub pair: String,
    /// True kind.
    pub kind: String,
    /// In which way it came about.
    pub way: String,
    /// The seed.
    pub seed: u64,
    /// The fault in words.
    pub note: String,
    /// Nodes at fault.
    pub nodes: Vec<String>,
    /// Tensors at fault.
    pub tensors: Vec<String>,
    /// Kinds that describe it equally well.
    pub also: Vec<String>,
    /// Relative error of the worst output on the first image.
    pub effect: Option<f32>,
    /// Images whose label differs with the fault.
    pub flips: usize,
    /// `clean`, `faulty` or `unloadable`; `failed` when localisation came to no end.
    pub verdict: String,
    /// The first suspect.
    pub first: Option<Named>,
    /// Rank of the first suspect that names the right place, from 1.
    pub rank: Option<usize>,
    /// Whether the first suspect that names the right place also names a right kind.
    pub right_kind: bool,
    /// Suspects that name another place.
    pub others: usize,
    /// Why localisation came to no end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<String>,
    /// How long the flips and localisation took.
    pub seconds: f32,
}

/// A place and a kind, as a suspect names them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Named {
    /// Kind; absent when nothing explains the error.
    pub kind: Option<String>,
    /// Category.
    pub category: String,
    /// Nodes of the target.
    pub nodes: Vec<String>,
    /// Tensors of the target.
    pub tensors: Vec<String>,
    /// The difference in words.
    pub words: String,
}

impl Named {
    fn of(suspect: &Suspect, model: &Model) -> Self {
        Self {
            kind: suspect.kind.map(|k| k.id().to_string()),
            category: suspect.category.id().into(),
            nodes: suspect.target_nodes.iter().map(|n| model.label(*n).to_string()).collect(),
            tensors: suspect.target_tensors.iter().map(|t| model.index().name(*t).to_string()).collect(),
            words: suspect.words.clone(),
        }
    }

    /// Whether this is the place of a fault. Of a recipe or the declared input the category is all that can be named.
    fn is_place_of(&self, truth: &Truth) -> bool {
        if matches!(truth.kind.category(), Category::PP | Category::ID) && self.category == truth.category {
            return true;
        }
        let names = |n: &String| truth.nodes.contains(n) || truth.tensors.contains(n);
        self.nodes.len() <= LARGEST_PLACE.max(truth.nodes.len()) && self.nodes.iter().chain(&self.tensors).any(names)
    }
}

impl Trial {
    pub(super) fn new(pair: &str, fault: &Fault, job: &Job, found: &Findings, seconds: f32) -> Self {
        let truth = fault.truth();
        let named: Vec<Named> = found.suspects.iter().map(|s| Named::of(s, job.target.model())).collect();
        let rank = named.iter().position(|n| n.is_place_of(truth));
        let right_kind = rank.and_then(|r| found.suspects[r].kind).is_some_and(|k| truth.is_kind(k));
        Self {
            flips: job.flips().len(),
            verdict: found.outcome.word().into(),
            others: named.iter().filter(|n| !n.is_place_of(truth)).count(),
            first: named.into_iter().next(),
            rank: rank.map(|r| r + 1),
            right_kind,
            ..Self::empty(pair, fault, seconds)
        }
    }

    pub(super) fn failed(pair: &str, fault: &Fault, why: String, seconds: f32) -> Self {
        Self { failure: Some(why), ..Self::empty(pair, fault, seconds) }
    }

    fn empty(pair: &str, fault: &Fault, seconds: f32) -> Self {
        let truth = fault.truth();
        Self {
            key: fault.key(pair),
            pair: pair.into(),
            kind: truth.kind.id().into(),
            way: fault.way().into(),
            seed: fault.seed(),
            note: truth.note.clone(),
            nodes: truth.nodes.clone(),
            tensors: truth.tensors.clone(),
            also: truth.also.iter().map(|k| k.id().to_string()).collect(),
            effect: fault.effect(),
            flips: 0,
            verdict: "failed".into(),
            first: None,
            rank: None,
            right_kind: false,
            others: 0,
            failure: None,
            seconds,
        }
    }

    /// Whether the first suspect names the right place.
    pub fn first_right(&self) -> bool {
        self.rank == Some(1)
    }

    /// Whether the first suspect names the right place and a right kind.
    pub fn first_kind_right(&self) -> bool {
        self.first_right() && self.right_kind
    }

    /// What the first suspect says, in one word.
    pub fn said(&self) -> &str {
        match &self.first {
            Some(first) => first.kind.as_deref().unwrap_or("unexplained"),
            None if self.failure.is_some() => "failed",
            None => "nothing",
        }
    }
}
