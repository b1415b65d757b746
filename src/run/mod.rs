//! Running models: tract behind values and networks. The one layer that knows tract.
//!
//! A [`Network`] is a model ready to run: constants folded, dead nodes left out. It evaluates single nodes on given values (the
//! ground of isolation), every value of an image, or whole plans that are optimised for the outputs alone.

mod error;
mod evaluator;
mod lower;
mod network;
mod plan;
mod value;
mod watch;

pub use error::RunError;
pub use evaluator::{Evaluator, Input, Kernel};
pub use network::{Network, Op, OpId, Origin};
pub use plan::Plan;
pub use value::{Value, element_size};
pub use watch::{Unwatched, Watch};
