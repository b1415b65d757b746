//! `fixcon debug`, and `fixcon` alone: the screen.

use super::{CaseArgs, Common, SAME, demos};
use crate::session::{Command, EngineOptions};
use crate::tui::{self, Options, Theme};
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use std::io::IsTerminal;
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
    let theme = args.theme.map(|t| {
        let look = if t == Colours::Light { tui::Look::Light } else { tui::Look::Dark };
        Theme { look, ..Theme::from_env(|name| std::env::var(name).ok()) }
    });
    let engine = EngineOptions { run: common.run_options(), ..EngineOptions::default() };
    tui::run(Options { open, demos: list, theme, keys: tui::KeyMap::default(), engine })?;
    Ok(ExitCode::from(SAME))
}
