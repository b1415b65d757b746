//! Why a repair cannot go on.

use super::Kinship;
use crate::compare::CompareError;
use crate::dataset::DatasetError;
use crate::localize::LocalizeError;
use crate::model::ModelError;

/// Why a job cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// A model that cannot be read or edited.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Images or recipes.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// Outputs that cannot be compared.
    #[error(transparent)]
    Compare(#[from] CompareError),
    /// Nothing can be said of the pair.
    #[error(transparent)]
    Localize(#[from] LocalizeError),
    /// The source does not run.
    #[error("the source does not run: {0}")]
    Source(String),
    /// Two networks that have next to nothing in common.
    #[error("{0}. Are these the models that are meant? To put the source's nodes in the target's all the same, say --unrelated")]
    Unrelated(Kinship),
    /// The audit log cannot be written; nothing was done.
    #[error("{0}")]
    Journal(String),
}
