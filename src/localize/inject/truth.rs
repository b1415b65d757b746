//! What is known of an injected fault, in the words of a corpus's manifest.

use super::{Fault, Variant};
use crate::localize::Kind;
use crate::model::{Edit, Model};
use serde::{Serialize, Serializer};

/// The truth about a fault. As JSON it is a fault of a corpus's `manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Truth {
    /// Category, two letters.
    pub category: String,
    /// Kind, by its id.
    #[serde(serialize_with = "id")]
    #[schemars(with = "String")]
    pub kind: Kind,
    /// Nodes of the faulty model at fault, by name, or by first output where they have none. For a missing node those beside the gap.
    pub nodes: Vec<String>,
    /// Initializers, constants or values that are touched.
    pub tensors: Vec<String>,
    /// The fault in words.
    pub note: String,
    /// Kinds that describe the same difference equally well.
    #[serde(serialize_with = "ids", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub also: Vec<Kind>,
}

fn id<S: Serializer>(kind: &Kind, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(kind.id())
}

fn ids<S: Serializer>(kinds: &[Kind], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(kinds.iter().map(|k| k.id()))
}

impl Truth {
    /// Whether this kind describes the fault.
    pub fn is_kind(&self, kind: Kind) -> bool {
        kind == self.kind || self.also.contains(&kind)
    }

    pub(super) fn of_recipe(kind: Kind, note: String, also: &[Kind]) -> Self {
        Self { category: kind.category().id().into(), kind, nodes: Vec::new(), tensors: Vec::new(), note, also: also.to_vec() }
    }
}

/// A faulty model.
#[derive(Debug, Clone)]
pub struct Injected {
    /// How it was made from the model; the inverse mends it.
    pub edit: Edit,
    /// The faulty model.
    pub model: Model,
    /// What was done.
    pub truth: Truth,
    /// In which way; see [`super::variants_of`].
    pub variant: &'static str,
    /// Relative error of the worst output on the image that was tried; `None` where outputs cannot be compared.
    pub effect: Option<f32>,
}

impl Injected {
    pub(super) fn new(variant: &Variant, fault: Fault, model: Model, effect: Option<f32>) -> Self {
        let mut also = fault.also;
        also.retain(|k| *k != variant.kind);
        also.dedup();
        let truth = Truth {
            category: variant.kind.category().id().into(),
            kind: variant.kind,
            nodes: fault.nodes,
            tensors: fault.tensors,
            note: fault.note,
            also,
        };
        Self { edit: fault.edit, model, truth, variant: variant.name, effect }
    }
}
