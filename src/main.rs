//! The program: arguments in, exit code out.

use clap::Parser;
use fixcon::cli::{self, Cli};
use std::io::IsTerminal;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return cli::misused(&error),
    };
    narrate();
    cli::run(&cli).unwrap_or_else(|error| cli::failed(&error, &cli.common))
}

/// Says on standard error what is being done and when, as far as `FIXCON_LOG` asks for it (`FIXCON_LOG=debug`). Never on a terminal, where the
/// screen may be drawn.
fn narrate() {
    let Ok(filter) = tracing_subscriber::EnvFilter::try_from_env("FIXCON_LOG") else { return };
    if std::io::stderr().is_terminal() {
        return;
    }
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(tracing_subscriber::fmt::time::uptime())
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
}
