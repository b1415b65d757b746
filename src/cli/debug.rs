//! `fixcon debug`, and `fixcon` alone: the screen.

use super::{CaseArgs, Common, SAME, demos};
use crate::session::{Command, EngineOptions};
use crate::tui::{self, Config, Options, Theme};
use anyhow::{Result, bail};
use clap::{Args, ValueEnum, ValueHint};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `fixcon debug`.
#[derive(Debug, Clone, Default, Args)]
pub struct DebugArgs {
    /// The case; without one the demonstrations are listed.
    #[command(flatten)]
    pub case: CaseArgs,
    /// Colours; the terminal is asked when absent
    #[arg(long, value_enum, value_name = "NAME")]
    pub theme: Option<Colours>,
    /// Configuration file with keys and theme; fixcon/config.toml in the user's configuration folder when absent
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
}

/// Colours of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Colours {
    /// For a dark background
    Dark,
    /// For a light background
    Light,
}

/// Whether there is a terminal to show the screen on.
pub fn has_terminal() -> bool {
    std::io::stdout().is_terminal() && std::io::stdin().is_terminal()
}

/// Shows the screen.
pub fn run(args: &DebugArgs, common: &Common) -> Result<ExitCode> {
    if !has_terminal() {
        bail!("fixcon debug needs a terminal; fixcon check, localize and repair do the same work without one");
    }
    let open =
        if args.case.has_flags() { Some(Command::OpenCase(Box::new(args.case.case()?))) } else { args.case.path().map(Command::Open) };
    let list = demos().into_iter().map(|d| tui::Demo { path: d.case, title: d.title, about: d.about.unwrap_or_default() }).collect();
    let config = match &args.config {
        Some(path) => Config::open(path),
        None => Config::place().filter(|p| p.exists()).map_or_else(|| Ok(Config::default()), |p| Config::open(&p)),
    };
    let config = config.map_err(anyhow::Error::msg)?;
    let asked = args.theme.map(|t| if t == Colours::Light { tui::Look::Light } else { tui::Look::Dark });
    let theme = asked.or(config.look).map(|look| Theme { look, ..Theme::from_env(|name| std::env::var(name).ok()) });
    let engine = EngineOptions { run: common.run_options(), ..EngineOptions::default() };
    tui::run(Options { open, demos: list, theme, keys: config.keys, no_hints: config.no_hints, engine })?;
    Ok(ExitCode::from(SAME))
}
