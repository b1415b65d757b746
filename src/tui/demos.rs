//! The bundled demonstrations, as the list shows them.

use std::path::PathBuf;

/// A case that shows something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demo {
    /// The case file.
    pub path: PathBuf,
    /// What it is.
    pub title: String,
    /// What one will see.
    pub about: String,
}
