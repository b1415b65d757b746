//! What can be said on the command line.

use super::check::CheckArgs;
use super::debug::{DebugArgs, ScreenArgs};
use super::export::ExportArgs;
use super::inject::InjectArgs;
use super::inspect::InspectArgs;
use super::localize::LocalizeArgs;
use super::log::LogArgs;
use super::matrix::MatrixArgs;
use super::page::{CompletionsArgs, ExplainArgs, ManArgs};
use super::repair::RepairArgs;
use super::replay::ReplayArgs;
use super::report::ReportArgs;
use super::triage::TriageArgs;
use crate::run::{RunOptions, Runtime};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Finds and mends what a neural-network model conversion broke.
///
/// Without a command it opens the screen with the bundled demonstrations; without a terminal it checks the first of them.
#[derive(Debug, Parser)]
#[command(name = "fixcon", version, max_term_width = 100)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How the screen looks that is opened without a command.
    #[command(flatten)]
    pub screen: ScreenArgs,
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compare source and target on images: exit code 0 when all agree, 1 when some differ, 2 when it could not be done
    Check(CheckArgs),
    /// Find the layers that introduce the error, and say why: exit code 0 when no label differs and nothing is at fault, 1 otherwise (also
    /// where labels differ by precision and nothing is wrongly converted)
    Localize(LocalizeArgs),
    /// Mend the target as far as a policy allows, with a log: exit code 0 when no label differs at the end, 1 when some do
    Repair(RepairArgs),
    /// Make the repaired model again from its audit log: exit code 0 when it is the same to the bit, 1 when not, 2 when the log is refused
    Replay(ReplayArgs),
    /// Show an audit log and check its chain: exit code 0 when it is whole, 1 when not
    Log(LogArgs),
    /// Write a report of a session from its audit log, without running anything again: exit code 1 when the log is not to be trusted to its end
    Report(ReportArgs),
    /// Write a suspect as a small reproducer for the converter's issue tracker, or what was found for Model Explorer
    Export(ExportArgs),
    /// Localize every case of a folder, one line each: exit code of the worst. Signs: = clean, ~ labels differ by precision alone, ✗ at fault,
    /// ? images that cannot be read, ! could not be looked into
    Triage(TriageArgs),
    /// Make faulty copies of a model, with the truth about them: a test instrument
    Inject(InjectArgs),
    /// Show what is in a model: inputs, outputs, operators, parameters, what cannot run, what the checker finds
    Inspect(InspectArgs),
    /// Open a case on the screen: find the fault, decide on each repair, save
    Debug(DebugArgs),
    /// Explain a kind of fault, or list them all
    Explain(ExplainArgs),
    /// Put faults of every kind into clean pairs, localise them, and print how often the place and the kind are right
    Matrix(MatrixArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Print the manual page, in roff
    Man(ManArgs),
}

/// Options of every command.
#[derive(Debug, Clone, Default, Args)]
pub struct Common {
    /// Write JSON to standard output (schemas are in docs/schemas)
    #[arg(long, global = true)]
    pub json: bool,
    /// No progress and no messages on standard error but errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Threads; 0 is one for each core
    #[arg(long, global = true, default_value_t = 0, value_name = "N")]
    pub threads: usize,
    /// Bytes that the values of one image may take: 500M, 2G, ...
    #[arg(long, global = true, value_parser = bytes, value_name = "SIZE")]
    pub max_mem: Option<u64>,
    /// Where chance is involved, begin here
    #[arg(long, global = true, default_value_t = 0, value_name = "N")]
    pub seed: u64,
    /// Engine that runs the models
    #[arg(long, global = true, value_enum, default_value_t = Engine::Tract)]
    pub runtime: Engine,
    /// onnxruntime's library, for --runtime ort, in place of the one that ORT_DYLIB_PATH names
    #[arg(long, global = true, value_name = "FILE")]
    pub ort_lib: Option<PathBuf>,
}

/// Engines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// Built in
    #[default]
    Tract,
    /// onnxruntime, from a library on this machine; needs a build with --features ort
    Ort,
}

impl Engine {
    /// The same in the runner's words.
    pub fn runtime(self, library: Option<PathBuf>) -> Runtime {
        match self {
            Self::Tract => Runtime::Tract,
            Self::Ort => Runtime::Ort { library },
        }
    }
}

impl Common {
    /// How models run.
    pub fn run_options(&self) -> RunOptions {
        let default = RunOptions::default();
        RunOptions {
            threads: self.threads,
            max_mem: self.max_mem.unwrap_or(default.max_mem),
            runtime: self.runtime.runtime(self.ort_lib.clone()),
        }
    }
}

/// A number of bytes with an optional K, M, G or T, powers of 1024.
fn bytes(text: &str) -> Result<u64, String> {
    let text = text.trim().trim_end_matches(['b', 'B']).trim_end_matches(['i']);
    let (number, power) = match text.chars().last().map(|c| c.to_ascii_lowercase()) {
        Some('k') => (&text[..text.len() - 1], 1),
        Some('m') => (&text[..text.len() - 1], 2),
        Some('g') => (&text[..text.len() - 1], 3),
        Some('t') => (&text[..text.len() - 1], 4),
        _ => (text, 0),
    };
    let number: f64 = number.trim().parse().map_err(|_| "a number of bytes is wanted, such as 500M or 2G".to_string())?;
    let bytes = number * 1024f64.powi(power);
    if (1.0..1e18).contains(&bytes) { Ok(bytes as u64) } else { Err("a number of bytes from 1 is wanted".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_are_read() {
        assert_eq!(bytes("512"), Ok(512));
        assert_eq!(bytes("2G"), Ok(2 << 30));
        assert_eq!(bytes("1.5 MiB"), Ok(3 << 19));
        assert!(bytes("many").is_err() && bytes("-1").is_err() && bytes("0").is_err() && bytes("").is_err());
    }
}
