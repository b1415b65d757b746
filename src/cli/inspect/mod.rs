//! `fixcon inspect`: what is in a model, and what of it cannot run.

mod node;
mod report;
mod text;

pub use node::NodeReport;
pub use report::InspectReport;

use super::{Common, FAILED, SAME, print_json, print_text};
use crate::model::{Model, Severity};
use anyhow::{Context, Result};
use clap::{Args, ValueHint};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `fixcon inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// ONNX file
    #[arg(value_hint = ValueHint::FilePath)]
    pub model: PathBuf,
    /// One node, by its name or its first output: attributes, and statistics of its weights
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Shape of the first input, where the model leaves it open: 1,3,224,224
    #[arg(long, value_name = "DIMS", value_delimiter = ',')]
    pub shape: Vec<usize>,
}

/// Runs the command. Exit code 2 when the model contradicts itself.
pub fn run(args: &InspectArgs, common: &Common) -> Result<ExitCode> {
    let model = Model::open(&args.model)?;
    if let Some(name) = &args.node {
        let report = NodeReport::of(&model, name).with_context(|| args.model.display().to_string())?;
        return write(common, &report, text::node(&report)).map(|()| ExitCode::from(SAME));
    }
    let report = InspectReport::of(&model, &args.shape, common.run_options().max_mem);
    write(common, &report, text::model(&report))?;
    Ok(ExitCode::from(if report.problems.iter().any(|p| p.severity == Severity::Error) { FAILED } else { SAME }))
}

fn write(common: &Common, report: &impl serde::Serialize, text: String) -> Result<()> {
    if common.json {
        return print_json(report);
    }
    print_text(&text)?;
    Ok(())
}
