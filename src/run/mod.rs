//! Running models: tract behind values and networks. The one layer that knows tract.
//!
//! A [`Network`] is a model ready to run: constants folded, dead nodes left out. It evaluates single nodes on given values (the
//! ground of isolation), every value of an image, or whole plans that are optimised for the outputs alone.

mod budget;
mod codes;
mod error;
mod evaluator;
mod fast;
mod half;
mod inputs;
mod limits;
mod lower;
mod nan;
mod nested;
mod network;
mod ops;
#[cfg(feature = "ort")]
mod ort;
mod plan;
mod rewrite;
mod runner;
mod spread;
mod stream;
mod types;
mod value;
mod watch;

pub use budget::DEFAULT as DEFAULT_MAX_MEM;
pub use codes::{Code, Steps, hands_on};
pub use error::{RunError, caught, panic_is_expected};
pub use evaluator::{Evaluator, Input, Kernel};
pub use limits::{Limits, broken_limit};
pub use network::{Network, Op, OpId, Origin};
pub use plan::{Plan, Session};
pub use runner::{RunOptions, Runner, Runtime};
pub use spread::{both, spread};
pub use stream::Stream;
pub use value::{Value, element_size};
pub use watch::{Unwatched, Watch};
