//! `fixcon check`, `inspect` and the small commands, as a user sees them.

mod cases;
mod commands;
mod hostile;
mod inputs;
mod runtimes;
mod schemas;

use assert_cmd::Command;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The program, run from the repository's folder.
pub fn fixcon(args: &[&str]) -> Command {
    let mut command = Command::cargo_bin("fixcon").unwrap();
    command.current_dir(root()).args(args);
    command
}

/// The repository's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

/// The case file of a bundled case.
pub fn sample(case: &str) -> String {
    format!("sample_models/cases/{case}/case.toml")
}

/// Exit code, standard output, standard error.
pub fn run(args: &[&str]) -> (i32, String, String) {
    let out = fixcon(args).output().unwrap();
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    (out.status.code().unwrap_or(-1), text(&out.stdout), text(&out.stderr))
}

/// Exit code and standard output as JSON.
pub fn json(args: &[&str]) -> (i32, Value) {
    let mut all = args.to_vec();
    all.push("--json");
    let (code, out, err) = run(&all);
    (code, serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}")))
}
