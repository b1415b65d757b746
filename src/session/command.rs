//! What one can ask of the engine.

use crate::dataset::Case;
use std::path::PathBuf;

/// What one can ask of the engine. Everything is answered by snapshots.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Opens a case file; what was open is closed.
    Open(PathBuf),
    /// Opens a case that is in no file.
    OpenCase(Box<Case>),
    /// Works out the details of a row of the sheet, for one of the case's images.
    Inspect {
        /// Row of the sheet.
        row: usize,
        /// Index of the image; `None` without one.
        image: Option<usize>,
    },
    /// Stops the work under way.
    Cancel,
    /// Looks for the regions that introduce errors.
    Localize,
    /// Puts a proposal's edit into the model and runs the images again.
    Accept(usize),
    /// Refuses a proposal.
    Reject(usize, String),
    /// Puts a proposal off.
    Skip(usize),
    /// Takes a decision back: the one on this proposal, or the last one.
    Undo(Option<usize>),
    /// Does it again.
    Redo,
    /// Tries a proposal on all images, not on some alone. Nothing is decided.
    TryAll(usize),
    /// Proposes the same with another value for the attribute that it sets.
    Change(usize, String),
    /// Proposes an attribute for the target's node in a row, written as `name = value`.
    Write {
        /// Row of the sheet.
        row: usize,
        /// The attribute.
        text: String,
    },
    /// Proposes to take over from the source all in which the target's node of a row differs.
    Take(usize),
    /// Says that what flows out of a row's two sides is no pair, and looks again.
    Forbid(usize),
    /// Says that what flows out of the source's side of one row and the target's side of another is a pair, and looks again.
    Pin {
        /// Row of the source's side.
        source: usize,
        /// Row of the target's side.
        target: usize,
    },
    /// Takes back what was said of a row's pairs, and looks again.
    Unpair(usize),
    /// Goes on with a session that ended before it was closed, from its log.
    Resume(PathBuf),
    /// Writes the repaired model; beside the target when no path is given.
    Save(Option<PathBuf>),
    /// Writes a report of the session, as a page and as Markdown, beside its log.
    Report,
    /// Ends the session: work stops, the log is closed.
    Quit,
    /// Ends the session without anybody having asked for it, as when the terminal is lost: a log with repairs that are in no file stays open,
    /// to be gone on with.
    Abandon,
}
