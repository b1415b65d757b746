//! What can be wrong with an ONNX file or an edit.

use std::path::PathBuf;

/// A model that cannot be read, written or edited. Messages name the file, and the node, tensor or field.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ModelError {
    /// The operating system refused.
    #[error("{}: {why}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
    /// The file is there, and replacing it was not asked for.
    #[error("{}: exists already; nothing was written", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// An external data file cannot be had.
    #[error("external data '{location}': {why}")]
    External {
        /// Path as the model gives it.
        location: String,
        /// What is wrong.
        why: String,
    },
    /// The bytes are no ONNX model.
    #[error("{file}: not an ONNX model: {why}")]
    NotOnnx {
        /// The file, as given.
        file: String,
        /// What is wrong, where.
        why: String,
    },
    /// A part of the model contradicts another, or the specification.
    #[error("{place}: {why}")]
    Invalid {
        /// Node, tensor, input or output, by name.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// The data of a tensor cannot be had.
    #[error("tensor '{tensor}': {why}")]
    Tensor {
        /// Name of the tensor.
        tensor: String,
        /// What is wrong.
        why: String,
    },
    /// A recorded edit cannot be read again.
    #[error("recorded edit {what}: {why}")]
    Record {
        /// What the record says.
        what: String,
        /// What is wrong.
        why: String,
    },
    /// An edit does not fit the model.
    #[error("cannot {edit}: {why}")]
    Edit {
        /// The edit in words.
        edit: String,
        /// Why not.
        why: String,
    },
}
