//! The command line: one file a subcommand. Text and JSON are made from the same value.

mod args;
mod case;
mod check;
mod child;
mod debug;
mod demos;
mod export;
mod failure;
mod golden;
mod inject;
mod inspect;
mod localize;
mod log;
mod matrix;
mod output;
mod page;
mod policy;
mod progress;
mod reads;
mod repair;
mod replay;
mod report;
mod triage;
mod unreadable;

pub use args::{Cli, Command, Common};
pub use case::CaseArgs;
pub use check::CheckArgs;
pub use debug::{DebugArgs, ScreenArgs};
pub use demos::{Demo, demos};
pub use export::{ExportArgs, ExportReport};
pub use failure::{Failure, FailureReport};
pub use golden::{GoldenLine, GoldenReport};
pub use inject::{InjectArgs, InjectList, InjectReport};
pub use inspect::{InspectArgs, InspectReport, NodeReport};
pub use localize::{LocalizeArgs, LocalizeReport};
pub use log::{LogArgs, LogProblem, LogReport};
pub use matrix::{MatrixArgs, MatrixReport, Named, Trial};
pub use page::{ExplainReport, KindPage};
pub use repair::{RepairArgs, RepairReport};
pub use replay::{Output, ReplayArgs, ReplayReport, ReplayedEdit};
pub use report::ReportArgs;
pub use triage::{CaseLine, CaseVerdict, KindCount, TriageArgs, TriageReport};
pub use unreadable::Unreadable;

use anyhow::{Result, bail};
use output::{print_json, print_text};
use std::process::ExitCode;

/// No difference.
pub const SAME: u8 = 0;
/// Differences remain.
pub const DIFFERENT: u8 = 1;
/// It could not be done.
pub const FAILED: u8 = 2;

/// What is said where the program itself is at fault; what happened stands on standard error.
const PANICKED: &str = "fixcon gave up: that is a fault of fixcon itself, and not of the models; nothing was written over. Please report it with the lines above";

/// Runs a command line.
///
/// # Errors
/// What could not be done; [`failed`] says it and gives the exit code.
pub fn run(cli: &Cli) -> Result<ExitCode> {
    if let Some(code) = child::run(cli)? {
        return Ok(code);
    }
    if cli.command.is_some() && cli.screen != ScreenArgs::default() {
        bail!(
            "--theme and --config before a command are for the screen that opens without one; fixcon debug takes them too, behind its name"
        );
    }
    match &cli.command {
        Some(Command::Check(args)) => check::run(args, &cli.common),
        Some(Command::Localize(args)) => localize::run(args, &cli.common),
        Some(Command::Repair(args)) => guarded(|| repair::run(args, &cli.common)),
        Some(Command::Replay(args)) => replay::run(args, &cli.common),
        Some(Command::Log(args)) => log::run(args, &cli.common),
        Some(Command::Report(args)) => report::run(args, &cli.common),
        Some(Command::Export(args)) => export::run(args, &cli.common),
        Some(Command::Triage(args)) => triage::run(args, &cli.common),
        Some(Command::Inspect(args)) => inspect::run(args, &cli.common),
        Some(Command::Debug(args)) => debug::run(args, &cli.common),
        Some(Command::Explain(args)) => page::explain(args, &cli.common),
        Some(Command::Inject(args)) => inject::run(args, &cli.common),
        Some(Command::Matrix(args)) => guarded(|| matrix::run(args, &cli.common)),
        Some(Command::Completions(args)) => page::completions(args),
        Some(Command::Man(args)) => page::man(args),
        None if debug::has_terminal() => debug::run(&DebugArgs { screen: cli.screen.clone(), ..DebugArgs::default() }, &cli.common),
        None => demos::run_first(&cli.common),
    }
}

/// A panic as an error, for commands that do their work in this process: they have a log to lock, or children of their own.
fn guarded(command: impl FnOnce() -> Result<ExitCode>) -> Result<ExitCode> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(command)).unwrap_or_else(|_| bail!(PANICKED))
}

/// Says what could not be done: as JSON on standard output when that was asked for, else in words on standard error.
pub fn failed(error: &anyhow::Error, common: &Common) -> ExitCode {
    if broken_pipe(error) {
        // Whoever read our output has seen enough.
        return ExitCode::from(SAME);
    }
    let failure = Failure::of(error);
    if common.json {
        let _ = print_json(&FailureReport { error: failure });
    } else {
        // Messages name files and nodes: line by line, so that none of them moves the cursor, and indented, so that none begins a line.
        let lines: Vec<_> = failure.message.lines().map(crate::model::harmless).collect();
        eprintln!("error: {}", lines.join("\n  "));
    }
    ExitCode::from(FAILED)
}

/// Says what is wrong with a command line, or shows the help that it asks for: as JSON where that was asked for, as in [`failed`].
pub fn misused(error: &clap::Error) -> ExitCode {
    // Options are read no further than to the mistake.
    let json = std::env::args_os().skip(1).take_while(|arg| arg != "--").any(|arg| arg == "--json");
    if json && error.use_stderr() {
        let text = error.render().to_string();
        let message = text.trim().strip_prefix("error: ").unwrap_or(text.trim()).to_string();
        let _ = print_json(&FailureReport { error: Failure { message, side: None, node: None, input: None } });
    } else {
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(FAILED))
}

fn broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|c| c.downcast_ref::<std::io::Error>()).any(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}
