//! The audit log as a user meets it: written, resumed, killed, altered, replayed.

mod common;
mod kill;
mod log;
mod refused;
mod replay;
mod tamper;
