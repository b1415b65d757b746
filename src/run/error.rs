//! What can go wrong when a network runs, and how panics of foreign code become errors.

use std::cell::Cell;
use std::sync::Once;

/// A node, or the whole, that does not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{why}", .node.as_ref().map(|n| format!("node '{n}': ")).unwrap_or_default())]
pub struct RunError {
    /// Label of the node, when one is to blame.
    pub node: Option<String>,
    /// What is wrong.
    pub why: String,
}

impl RunError {
    /// An error that no node is to blame for.
    pub fn new(why: impl Into<String>) -> Self {
        Self { node: None, why: why.into() }
    }

    /// What is left undone when somebody asked to stop.
    pub fn stopped() -> Self {
        Self::new("stopped before it was done")
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

thread_local! {
    /// How many guards this thread is inside of.
    static GUARDS: Cell<u32> = const { Cell::new(0) };
}

/// Whether this thread runs code whose panics are caught and become errors. A panic hook that is installed later than
/// fixcon's own must ask this and stay silent, or a refused model tears the screen.
pub fn panic_is_expected() -> bool {
    GUARDS.with(Cell::get) > 0
}

/// Makes panics that are caught print nothing, whatever hook is in place.
fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !panic_is_expected() {
                before(info);
            }
        }));
    });
}

struct Guard;

impl Guard {
    fn enter() -> Self {
        quiet();
        GUARDS.with(|g| g.set(g.get() + 1));
        Self
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        GUARDS.with(|g| g.set(g.get() - 1));
    }
}

/// Runs foreign code that may panic on strange files. Nothing is printed; the first line of what it said is the error.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let _guard = Guard::enter();
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        text.unwrap_or("no reason given").lines().next().unwrap_or_default().to_string()
    })
}

/// The same of the runtime.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, RunError>) -> Result<T, RunError> {
    caught(work).unwrap_or_else(|why| Err(RunError::new(format!("the runtime gave up: {why}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_and_is_expected_only_inside() {
        assert!(!panic_is_expected());
        let error = guarded::<()>(|| {
            assert!(panic_is_expected());
            panic!("index {} out of range\nand more", 7)
        })
        .unwrap_err();
        assert_eq!(error.why, "the runtime gave up: index 7 out of range");
        assert!(!panic_is_expected());
    }
}
