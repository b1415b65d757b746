//! fixcon finds and mends what a neural-network model conversion broke.
//!
//! See `ARCHITECTURE.md` for a map of the layers. Imports point down only:
//! `cli` → `tui` → `session` → `report` → `audit` → `repair` → `localize` → `align` → `compare` → `dataset` → `run` → `model`.

pub mod align;
pub mod audit;
pub mod cli;
pub mod compare;
pub mod dataset;
pub mod localize;
pub mod model;
pub mod repair;
pub mod report;
pub mod run;
pub mod session;
pub mod tui;
