//! What could not be done, as a value.

use crate::compare::{CompareError, Side};
use schemars::JsonSchema;
use serde::Serialize;

/// What a command writes with `--json` when it could not be done; the exit code is 2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FailureReport {
    /// Why.
    pub error: Failure,
}

/// Why a command could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Failure {
    /// In words, with what to do about it.
    pub message: String,
    /// The model that is to blame, when one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// The node that is to blame, when one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The input that is to blame, when one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
}

impl Failure {
    /// From any error of a command.
    pub fn of(error: &anyhow::Error) -> Self {
        let compare = error.chain().find_map(|e| e.downcast_ref::<CompareError>());
        Self {
            message: format!("{error:#}"),
            side: compare.and_then(CompareError::side),
            node: compare.and_then(CompareError::node).map(str::to_string),
            input: compare.and_then(CompareError::input).map(str::to_string),
        }
    }
}
