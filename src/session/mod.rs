//! A session: one case, from opening it to the repaired model. An engine on threads of its own takes commands and shows itself in
//! immutable snapshots; the screen and the headless commands use the same one.

mod bench;
mod command;
mod detail;
mod engine;
mod fit;
mod flow;
mod history;
mod looking;
mod mending;
mod offer;
mod opening;
mod own;
mod pairs;
mod resume;
mod saving;
mod sheet;
mod snapshot;
mod weights;
mod worker;

pub use crate::repair::words;
pub use command::Command;
pub use detail::{Activations, Detail, Fact};
pub use engine::{Engine, EngineOptions};
pub use own::{attributes, check_attribute, check_value};
pub use sheet::{Cell, NamedShapes, Row, Said, Shapes, Sheet, Sign};
pub use snapshot::{
    CaseInfo, Decision, DiffLine, Flip, Images, Load, LogLine, Opinion, Proposal, Scored, Side, Snapshot, Standing, Tone, Work,
};
pub use weights::{Scatter, Weights};
