//! The program: arguments in, exit code out.

use clap::Parser;
use fixcon::cli::{self, Cli};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli::run(&cli).unwrap_or_else(|error| cli::failed(&error, &cli.common))
}
