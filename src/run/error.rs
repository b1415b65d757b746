//! What can go wrong when a network runs.

/// A node, or the whole, that does not run.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}{why}", .node.as_ref().map(|n| format!("node '{n}': ")).unwrap_or_default())]
pub struct RunError {
    /// Label of the node, when one is to blame.
    pub node: Option<String>,
    /// What is wrong.
    pub why: String,
}

impl RunError {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self { node: None, why: why.into() }
    }

    pub(crate) fn at(mut self, label: &str) -> Self {
        self.node.get_or_insert_with(|| label.to_string());
        self
    }

    /// The innermost causes of tract's chain, on one line: the outer ones speak of tract's own graph.
    pub(super) fn from_tract(error: tract_onnx::prelude::TractError) -> Self {
        let chain: Vec<String> = error.chain().map(|c| c.to_string().lines().next().unwrap_or_default().trim().to_string()).collect();
        let tail = &chain[chain.len().saturating_sub(2)..];
        Self::new(tail.join(": ").chars().take(300).collect::<String>())
    }
}

/// Runs foreign code that may panic on strange models.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, RunError>) -> Result<T, RunError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(RunError::new(format!("the runtime gave up: {}", text.unwrap_or("no reason given").lines().next().unwrap_or_default())))
    })
}
