//! The bundled demonstrations: small cases that come with the program.

use super::{CaseArgs, Common, check};
use crate::dataset::CaseFile;
use anyhow::{Result, bail};
use etcetera::BaseStrategy;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A bundled demonstration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demo {
    /// Its case file.
    pub case: PathBuf,
    /// Its title, or the name of its folder.
    pub title: String,
    /// What it shows.
    pub about: Option<String>,
}

/// The demonstrations, by name of folder: from `sample_models` in or above the working directory's place, beside the program, or
/// in the user's and the system's data folders; the first place that has any.
pub fn demos() -> Vec<Demo> {
    let mut places = vec![PathBuf::from("sample_models")];
    if let Ok(program) = std::env::current_exe() {
        // target/release/fixcon lies two folders below the sources.
        places.extend(program.ancestors().skip(1).take(3).map(|p| p.join("sample_models")));
        places.extend(program.ancestors().nth(2).map(|p| p.join("share/fixcon/sample_models")));
    }
    if let Ok(base) = etcetera::choose_base_strategy() {
        places.push(base.data_dir().join("fixcon/sample_models"));
    }
    places.push("/usr/share/fixcon/sample_models".into());
    places.iter().map(|p| in_folder(p)).find(|d| !d.is_empty()).unwrap_or_default()
}

fn in_folder(folder: &Path) -> Vec<Demo> {
    let Ok(entries) = std::fs::read_dir(folder.join("cases")) else { return Vec::new() };
    let mut cases: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path().join("case.toml"))).filter(|p| p.is_file()).collect();
    // "2-..." comes before "10-...".
    cases.sort_by_cached_key(|c| {
        let name = c.parent().and_then(|p| p.file_name()).map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let number: String = name.chars().take_while(char::is_ascii_digit).collect();
        (number.parse().unwrap_or(u64::MAX), name)
    });
    let demo = |case: PathBuf| {
        let file = CaseFile::open(&case).ok()?;
        let name = case.parent()?.file_name()?.to_string_lossy().into_owned();
        Some(Demo { title: file.title.unwrap_or(name), about: file.about, case })
    };
    cases.into_iter().filter_map(demo).collect()
}

/// Without a command and without a terminal: checks the first demonstration and says so.
pub fn run_first(common: &Common) -> Result<ExitCode> {
    let all = demos();
    let Some(first) = all.first() else {
        bail!("no demonstration was found (sample_models/cases); give a command, fixcon --help lists them");
    };
    if !common.quiet {
        eprintln!("no command and no terminal: checking the demonstration {} ({})", first.title, first.case.display());
        eprintln!("the same by hand: fixcon check {}", first.case.display());
    }
    let args = CaseArgs { file: Some(first.case.clone()), ..CaseArgs::default() };
    check::run(&check::CheckArgs { case: args, ..check::CheckArgs::default() }, common)
}
