//! The audit log: what was found, proposed, decided and done, in an order that can be checked, and enough to do it again.
//!
//! A log is a file of JSON Lines. Every record holds the hash of the one before, so that a changed, missing or moved record is found and
//! named. It is no signature: whoever can write the file can write another one from the start. A record is on the disk before
//! [`Log::append`] returns, so what was acknowledged survives a crash.
//!
//! Tensors too large for a line, and what a report shows of a record (tables, pictures), lie in a folder beside the log, named after it, each
//! in a file named by its SHA-256.

mod canonical;
mod chain;
mod digest;
mod error;
mod exhibit;
mod log;
mod recipe;
mod record;
mod recorder;
mod replay;
mod side;
mod state;
mod words;

pub use canonical::canonical;
pub use chain::Chain;
pub use digest::{FileDigest, ImagesDigest, ModelDigest, far, file_sha256, near};
pub use error::{AuditError, Problem};
pub use exhibit::{Exhibit, FlippedImage, Flips, RegionFigures};
pub use log::{Log, Resumed};
pub use recipe::RecipeChange;
pub use record::{
    Applied, By, CategoryId, Change, Closed, Decided, Decision, Evaluated, Event, Evidence, Figure, KindId, Localized, Opened, Proposed,
    Record, Saved, Subset, Suspected, Undone,
};
pub use recorder::Recorder;
pub use replay::{Check, Replayed, replay, stamp};
pub use side::side_folder;
pub use state::{Edited, State};
