//! Batch commands run in a child process, so that a model on which the runtime aborts ends in a message and exit code 2.
//!
//! The checker, the budget and the guard around the runtime stop what they can see; an allocation that fails inside the runtime
//! aborts the process, and only another process can tell the user.

use super::{Cli, Command, FAILED, Failure, FailureReport, print_json, print_text};
use crate::run::{Limits, broken_limit};
use anyhow::{Context, Result};
use std::process::ExitCode;

/// Set in the child, so that it does the work itself; its value is the number of the process that started it.
const MARK: &str = "FIXCON_CHILD";

/// The exit code of a Rust program whose main thread panics.
const PANICKED: i32 = 101;

/// Runs the same command line in a child where that is due. `None`: this process is to do it.
pub fn run(cli: &Cli) -> Result<Option<ExitCode>> {
    let batch = matches!(cli.command, Some(Command::Check(_) | Command::Localize(_) | Command::Inspect(_) | Command::Export(_)));
    if !batch {
        return Ok(None);
    }
    if let Some(parent) = std::env::var_os(MARK) {
        // More than the machine has cannot be meant; without the limit the system would end another program first.
        let _ = Limits { memory: memory(), cpu_seconds: None }.apply();
        end_with(parent.to_str().and_then(|p| p.parse().ok()));
        return Ok(None);
    }
    let program = std::env::current_exe().context("the program does not find itself")?;
    let status = std::process::Command::new(program).args(std::env::args_os().skip(1)).env(MARK, std::process::id().to_string()).status();
    let status = status.context("the program cannot be started again for the work")?;
    let message = match status.code() {
        Some(PANICKED) => super::PANICKED.to_string(),
        Some(code) => return Ok(Some(ExitCode::from(u8::try_from(code).unwrap_or(FAILED)))),
        None => {
            let why = broken_limit(status).unwrap_or("it was ended from outside");
            format!("the work was not finished: {why}; --max-mem SIZE refuses large values before they are made")
        }
    };
    let junit = matches!(&cli.command, Some(Command::Check(args)) if args.format == super::check::Format::Junit);
    if junit && !cli.common.json {
        print_text(&super::check::junit_failure(&message)?)?;
    }
    if cli.common.json {
        print_json(&FailureReport { error: Failure { message, side: None, node: None, input: None } })?;
    } else {
        eprintln!("error: {message}");
    }
    Ok(Some(ExitCode::from(FAILED)))
}

/// Ends this process when the one that started it is gone: whoever kills that one means the work. It may be gone already, so that its
/// number comes from itself.
fn end_with(parent: Option<u32>) {
    #[cfg(unix)]
    if let Some(parent) = parent {
        std::thread::spawn(move || {
            while std::os::unix::process::parent_id() == parent {
                std::thread::sleep(std::time::Duration::from_millis(250));
            }
            std::process::exit(i32::from(FAILED));
        });
    }
    #[cfg(not(unix))]
    let _ = parent;
}

/// Address space that a child may take: what the machine has, and room for what is reserved without being used.
fn memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib.saturating_mul(1024).saturating_add(16 << 30))
}
