//! Why two models cannot be compared.

use crate::dataset::DatasetError;
use crate::model::{Finding, ModelError, Subject};
use crate::run::RunError;
use schemars::JsonSchema;
use serde::Serialize;

/// Which of the two models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// As the framework wrote it.
    Source,
    /// As the converter left it.
    Target,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Target => "target",
        })
    }
}

/// What keeps a case from being compared. Messages name the side, and the node, input, output or flag.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CompareError {
    /// Images or recipes.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A recipe that does not fit its model's input.
    #[error("{side}: {error}")]
    Input {
        /// Whose input.
        side: Side,
        /// Which input, and why.
        error: DatasetError,
    },
    /// A file that is no usable model.
    #[error("{side}: {error}")]
    Model {
        /// Which one.
        side: Side,
        /// What is wrong with it.
        error: ModelError,
    },
    /// A model that contradicts itself or the specification, so that a runtime must refuse it.
    #[error("{side}: {}", sum_up(.findings))]
    Refused {
        /// Which one.
        side: Side,
        /// What is wrong with it; never empty.
        findings: Vec<Finding>,
    },
    /// A model that does not run.
    #[error("{side}: {error}")]
    Run {
        /// Which one.
        side: Side,
        /// The node, and why.
        error: RunError,
    },
    /// Outputs that cannot be compared without being told how.
    #[error("{0}")]
    Outputs(String),
    /// Every image was left out.
    #[error("none of the {count} images can be used; the first: {first}")]
    NoImages {
        /// How many there were.
        count: usize,
        /// Why the first one was left out.
        first: DatasetError,
    },
    /// Somebody asked to stop.
    #[error("stopped before it was done")]
    Stopped,
}

impl CompareError {
    /// Whose fault it is, when it is a model's or its input's.
    pub fn side(&self) -> Option<Side> {
        match self {
            Self::Input { side, .. } | Self::Model { side, .. } | Self::Refused { side, .. } | Self::Run { side, .. } => Some(*side),
            _ => None,
        }
    }

    /// The node that is to blame, when there is one.
    pub fn node(&self) -> Option<&str> {
        match self {
            Self::Run { error, .. } => error.node.as_deref(),
            Self::Refused { findings, .. } => {
                findings.iter().find_map(|f| if let Subject::Node(name) = &f.subject { Some(&name[..]) } else { None })
            }
            _ => None,
        }
    }

    /// The input that is to blame, when there is one.
    pub fn input(&self) -> Option<&str> {
        match self {
            Self::Input { error: DatasetError::Input { input, .. }, .. } => Some(input),
            Self::Refused { findings, .. } => {
                findings.iter().find_map(|f| if let Subject::Input(name) = &f.subject { Some(&name[..]) } else { None })
            }
            _ => None,
        }
    }
}

/// The first finding, and how many more there are.
fn sum_up(findings: &[Finding]) -> String {
    match findings {
        [] => "refused".into(),
        [one] => one.to_string(),
        [first, rest @ ..] => format!("{first} (and {} more; fixcon inspect lists them)", rest.len()),
    }
}
