//! Text that comes with the program: explanations, completions, the manual.

use super::{Cli, Common, print_json};
use crate::localize::Kind;
use anyhow::{Result, bail};
use clap::{Args, CommandFactory};
use schemars::JsonSchema;
use serde::Serialize;
use std::io::Write;
use std::process::ExitCode;

/// Arguments of `fixcon explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Kind of fault, such as LH-PADS, or a category, such as LH; all are listed without it
    pub kind: Option<String>,
}

/// Arguments of `fixcon completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Shell
    pub shell: clap_complete::Shell,
}

/// Arguments of `fixcon man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Command whose page it is; the program's own without it
    pub command: Option<String>,
}

/// A kind of fault, for JSON.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KindPage {
    /// Id.
    pub kind: &'static str,
    /// Category.
    pub category: &'static str,
    /// Short name.
    pub name: &'static str,
    /// What is wrong, how it shows, how it is mended.
    pub explanation: &'static str,
}

/// What `fixcon explain --json` writes.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ExplainReport {
    /// The kinds asked for.
    pub kinds: Vec<KindPage>,
}

/// Runs `fixcon explain`.
pub fn explain(args: &ExplainArgs, common: &Common) -> Result<ExitCode> {
    let asked = |k: &&Kind| match &args.kind {
        None => true,
        Some(word) => k.id().eq_ignore_ascii_case(word) || k.category().id().eq_ignore_ascii_case(word),
    };
    let kinds: Vec<Kind> = Kind::ALL.iter().filter(asked).copied().collect();
    if kinds.is_empty() {
        let word = args.kind.clone().unwrap_or_default().to_ascii_uppercase();
        let near = crate::dataset::nearest_word(&word, Kind::ALL.iter().map(|k| k.id()))
            .map(|n| format!("; did you mean {n}?"))
            .unwrap_or_default();
        bail!("there is no kind of fault '{word}'{near} (fixcon explain lists them)");
    }
    if common.json {
        let page = |k: &Kind| KindPage { kind: k.id(), category: k.category().id(), name: k.name(), explanation: k.explanation() };
        print_json(&ExplainReport { kinds: kinds.iter().map(page).collect() })?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = std::io::stdout().lock();
    match (&kinds[..], &args.kind) {
        ([one], Some(_)) => {
            writeln!(out, "{}  {} ({})\n\n{}", one.id(), one.name(), one.category().name(), wrapped(one.explanation(), 100))?;
        }
        (many, _) => {
            let mut category = None;
            for k in many {
                if category != Some(k.category()) {
                    category = Some(k.category());
                    writeln!(out, "{}  {}", k.category().id(), k.category().name())?;
                }
                writeln!(out, "  {:<15} {}", k.id(), k.name())?;
            }
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Text broken at spaces into lines of at most `width` characters where words allow it.
fn wrapped(text: &str, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_string()),
        }
    }
    lines.join("\n")
}

/// Runs `fixcon completions`.
pub fn completions(args: &CompletionsArgs) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "fixcon", &mut script);
    let mut out = std::io::stdout().lock();
    out.write_all(&script)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Runs `fixcon man`.
pub fn man(args: &ManArgs) -> Result<ExitCode> {
    let mut command = Cli::command();
    command.build();
    if let Some(name) = &args.command {
        let Some(sub) = command.find_subcommand(name) else { bail!("there is no command '{name}'") };
        command = sub.clone();
    }
    let mut page = Vec::new();
    let source = format!("fixcon {}", env!("CARGO_PKG_VERSION"));
    clap_mangen::Man::new(command).source(source).render(&mut page)?;
    if args.command.as_deref() == Some("debug") {
        page.extend(crate::tui::commands::manual().into_bytes());
    }
    let mut out = std::io::stdout().lock();
    out.write_all(&page)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
