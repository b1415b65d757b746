//! The audit log as a user meets it: written, resumed, killed, altered, replayed.

mod cli;
mod common;
mod kill;
mod log;
mod refused;
mod repairs;
mod replay;
mod tamper;
