//! Reports of a session, from its audit log and the files beside it alone: nothing runs again.
//!
//! [`Report::read`] collects what the records say; every format is made from that one value. What came from files (names of nodes, labels,
//! notes) goes through [`harmless`](crate::model::harmless) and the format's own escaping before it is shown.

mod explorer;
mod facts;
mod gather;
mod html;
mod junit;
mod known;
mod markdown;
mod reproducer;
mod sarif;
mod strip;

pub use explorer::{Explorer, explorer};
pub use facts::{
    DecisionLine, EditLine, EvaluationLine, FileLine, FlipCount, ImageLine, Look, ModelLine, Report, Saved, Standing, SuspectLine,
    SuspectStanding,
};
pub use html::html;
pub use junit::junit;
pub use known::{KnownBug, known_bugs, known_of};
pub use markdown::{brief, markdown, markdown_of_all};
pub(crate) use markdown::{code, plain};
pub use reproducer::{Reproducer, ReproducerError, Shown, TestSet, reproduce};
pub use sarif::sarif;

/// A script that runs a reproducer with onnxruntime; it lies in the folder with it.
pub const SHOW: &str = include_str!("reproducer/show.py");

/// Why a report cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A template that does not fit what it is filled with.
    #[error("the page cannot be made")]
    Template(#[from] minijinja::Error),
    /// A format that does not take what it is given.
    #[error("the report cannot be written: {0}")]
    Format(String),
}
