//! What can be wrong with a log.

use crate::model::ModelError;
use std::path::PathBuf;

/// A log that cannot be written, read or replayed. Messages name the file, and the record where one is to blame.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuditError {
    /// The operating system refused.
    #[error("{}: {why}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
    /// The file is there, and replacing it was not asked for.
    #[error("{}: a log exists already; replace it with --force, or name another with --audit-log", .path.display())]
    Exists {
        /// The log.
        path: PathBuf,
    },
    /// Another process has the log open for writing.
    #[error("{}: another fixcon is writing it; end that session or name another file", .path.display())]
    Locked {
        /// The log.
        path: PathBuf,
    },
    /// The file holds no log.
    #[error("{}: not a log of fixcon: {why}", .path.display())]
    NotALog {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        why: String,
    },
    /// A record is not to be trusted, or cannot be done again.
    #[error("{}: record {seq} ({kind}) {problem}", .path.display())]
    Record {
        /// The log.
        path: PathBuf,
        /// Which record; the number of its line.
        seq: u64,
        /// Its kind, as far as it can be told.
        kind: String,
        /// What is wrong.
        problem: Problem,
    },
    /// What was to be recorded contradicts what the log says.
    #[error("{}: not recorded: {why}", .path.display())]
    Contradiction {
        /// The log.
        path: PathBuf,
        /// Which rule it breaks.
        why: String,
    },
    /// An earlier write could not be taken back, so that nobody knows what the file holds.
    #[error("{}: a write failed before and the end of the file is uncertain; resume the log to go on", .path.display())]
    Broken {
        /// The log.
        path: PathBuf,
    },
    /// Nothing says which model the log made.
    #[error("{}: no model was saved in this session; --output MODEL writes what its accepted edits make", .path.display())]
    NothingSaved {
        /// The log.
        path: PathBuf,
    },
    /// A model cannot be read or written.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// What is wrong with a record.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Problem {
    /// Its text is not the one that was hashed.
    #[error("was changed after it was written: its SHA-256 does not fit")]
    Changed,
    /// It is no record.
    #[error("cannot be read: {0}")]
    Garbled(String),
    /// It has a hash that fits and says something unknown.
    #[error("is whole, but not understood (was it written by a newer fixcon?): {0}")]
    Unknown(String),
    /// It is not there.
    #[error("is missing: record {found} stands in its place")]
    Missing {
        /// The record that comes instead.
        found: u64,
    },
    /// It stands further down.
    #[error("was moved: record {found} stands in its place, and it comes later")]
    Moved {
        /// The record that comes instead.
        found: u64,
    },
    /// It stands there already.
    #[error("is there twice")]
    Repeated,
    /// It does not follow the record before it.
    #[error("does not follow record {before} as that stands here: one of the two was replaced")]
    Unchained {
        /// The record before.
        before: u64,
    },
    /// It contradicts earlier ones.
    #[error("contradicts earlier records: {0}")]
    Contradiction(String),
    /// A file that it names is not the one it was.
    #[error("names a file that is not the one it was: {0}")]
    File(String),
    /// Its edit cannot be read or made.
    #[error("holds an edit that cannot be made again: {0}")]
    Edit(ModelError),
}
