//! What the checker and shape inference have to say about a model.

use super::NodeId;
use schemars::JsonSchema;
use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Runs all the same, though perhaps not everywhere.
    Warning,
    /// Contradicts itself or the specification: what it is about must not be run.
    Error,
}

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase", tag = "kind", content = "name")]
pub enum Subject {
    /// The model as a whole.
    Model,
    /// A node of the main graph, by its label: name, or first output.
    Node(String),
    /// An initializer.
    Tensor(String),
    /// A declared input.
    Input(String),
    /// A declared output.
    Output(String),
    /// A function of the model, by its name.
    Function(String),
}

/// One thing that is wrong with a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub subject: Subject,
    /// The node, when it is about one of the main graph.
    #[serde(skip)]
    pub node: Option<NodeId>,
    /// Attribute, input or other field; empty when it is about the whole.
    pub field: String,
    /// What is wrong.
    pub why: String,
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Model => write!(f, "model"),
            Self::Node(name) => write!(f, "node '{name}'"),
            Self::Tensor(name) => write!(f, "initializer '{name}'"),
            Self::Input(name) => write!(f, "input '{name}'"),
            Self::Output(name) => write!(f, "output '{name}'"),
            Self::Function(name) => write!(f, "function '{name}'"),
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.subject)?;
        if !self.field.is_empty() {
            write!(f, ", {}", self.field)?;
        }
        write!(f, ": {}", self.why)
    }
}

/// A finding about a node, before it is known which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub field: String,
    pub why: String,
}

impl Fault {
    pub fn new(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self { field: field.into(), why: why.into() }
    }

    pub fn at(self, severity: Severity, id: NodeId, label: &str) -> Finding {
        Finding { severity, subject: Subject::Node(label.into()), node: Some(id), field: self.field, why: self.why }
    }
}
