//! `fixcon debug`, and `fixcon` alone: the screen.

use super::output::print_text;
use super::reads::Reads;
use super::{CaseArgs, Common, SAME, demos};
use crate::session::{Command, EngineOptions};
use crate::tui::{self, Config, Left, Options, Theme};
use anyhow::{Result, bail};
use clap::{Args, ValueEnum, ValueHint};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `fixcon debug`.
#[derive(Debug, Clone, Default, Args)]
pub struct DebugArgs {
    /// The case; without one the demonstrations are listed.
    #[command(flatten)]
    pub case: CaseArgs,
    /// Where the repaired model goes; beside the target when absent
    #[arg(long, short, value_name = "MODEL")]
    pub output: Option<PathBuf>,
    /// How it looks.
    #[command(flatten)]
    pub screen: ScreenArgs,
}

/// How the screen looks, and which keys it takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct ScreenArgs {
    /// Colours of the screen; the terminal is asked when absent
    #[arg(long, value_enum, value_name = "NAME")]
    pub theme: Option<Colours>,
    /// Configuration file of the screen, with keys and theme; fixcon/config.toml in the user's configuration folder when absent
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
    // What cannot be opened is said where it was typed.
    let named = args.case.path().is_some() || args.case.has_flags();
    let case = named.then(|| args.case.case()).transpose()?;
    if let Some(output) = &args.output {
        case.as_ref().map_or_else(Reads::default, |case| Reads::args(&args.case, case)).check([output.as_path()])?;
        if output.exists() {
            bail!("{}: exists already; name another file", output.display());
        }
    }
    // A file is opened by its path, beside which its log is looked for.
    let open = match (args.case.path(), case) {
        (Some(path), _) if !args.case.has_flags() => Some(Command::Open(path)),
        (_, case) => case.map(|c| Command::OpenCase(Box::new(c))),
    };
    let list = demos().into_iter().map(|d| tui::Demo { path: d.case, title: d.title, about: d.about.unwrap_or_default() }).collect();
    let config = match &args.screen.config {
        Some(path) => Config::open(path),
        None => Config::place().filter(|p| p.exists()).map_or_else(|| Ok(Config::default()), |p| Config::open(&p)),
    };
    let config = config.map_err(anyhow::Error::msg)?;
    let asked = args.screen.theme.map(|t| if t == Colours::Light { tui::Look::Light } else { tui::Look::Dark });
    let theme = asked.or(config.look).map(|look| Theme { look, ..Theme::from_env(|name| std::env::var(name).ok()) });
    let engine = EngineOptions { run: common.run_options(), output: args.output.clone(), ..EngineOptions::default() };
    let left = tui::run(Options { open, demos: list, theme, keys: config.keys, no_hints: config.no_hints, engine })?;
    if !common.quiet {
        // A terminal that is gone wants no farewell.
        let _ = print_text(&farewell(&left));
    }
    Ok(ExitCode::from(SAME))
}

/// Where everything is, for the shell that is there again; empty where nothing was left behind.
fn farewell(left: &Left) -> String {
    let mut out = String::new();
    for (what, why) in &left.not_done {
        out += &format!("not done: {what}: {why}\n");
    }
    // As it was called: not every shell finds it by its name.
    let program = std::env::args().next().filter(|p| p.contains('/')).unwrap_or_else(|| "fixcon".into());
    let program = quoted(Path::new(&program));
    let mut line = |what: &str, path: &Path| out += &format!("{what:<9} {}\n", path.display());
    left.model.iter().for_each(|p| line("repaired", p));
    left.recipe.iter().for_each(|p| line("recipe", p));
    if let Some(log) = &left.log {
        line("log", log);
        if left.model.is_some() {
            out += &format!("replay    {program} replay {}\n", quoted(log));
        }
        if left.unsaved {
            out += &format!("not saved: {program} replay {} --output MODEL makes the repaired model\n", quoted(log));
        }
    }
    out
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+:,@%".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
