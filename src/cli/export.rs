//! `fixcon export`: what was found, for other tools and their authors.

use super::output::{print_text, write_file};
use super::progress::Bar;
use super::reads::Reads;
use super::{CaseArgs, Common, DIFFERENT, SAME, print_json};
use crate::localize::LocalizeOptions;
use crate::model::harmless_json;
use crate::repair::{Job, JobOptions};
use crate::report::{Reproducer, SHOW, Shown, TestSet, explorer, reproduce};
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum, ValueHint};
use prost::Message;
use schemars::JsonSchema;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `fixcon export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The case.
    #[command(flatten)]
    pub case: CaseArgs,
    /// What is written
    #[arg(long, value_enum, default_value_t = Format::Reproducer)]
    pub format: Format,
    /// Which suspect of localize, the worst first
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub suspect: u32,
    /// Folder that it goes to
    #[arg(long, short, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub output: PathBuf,
    /// Replace files that exist
    #[arg(long)]
    pub force: bool,
}

/// What is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The faulty region alone as an ONNX test, with a text for the issue tracker
    #[default]
    Reproducer,
    /// Errors of every node, and which nodes stand for each other, for Model Explorer
    ModelExplorer,
}

/// What `fixcon export --json` writes.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ExportReport {
    /// The folder.
    pub folder: String,
    /// Files in it that were written.
    pub files: Vec<String>,
    /// Kind of the suspect's fault, or its category.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// `differs`, `fails` or `nothing`: what the reproducer shows on the engine that is built in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shows: Option<&'static str>,
    /// Relative L2 distance from what is expected, when it is finite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relative: Option<f32>,
    /// Image whose values it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// In words.
    pub words: String,
}

/// Runs `fixcon export`: exit code 0 when it was written and shows the fault, 1 when the part alone does not show it.
pub fn run(args: &ExportArgs, common: &Common) -> Result<ExitCode> {
    let options = JobOptions { run: common.run_options(), localize: LocalizeOptions::default(), holdout: 0 };
    let case = args.case.case()?;
    let mut out = Folder::new(args, Reads::args(&args.case, &case))?;
    let mut job = Job::open(case, options)?;
    let findings = {
        let bar = Bar::new(common);
        job.evaluate(&bar)?;
        job.localize(&bar)?
    };
    let report = match args.format {
        Format::ModelExplorer => {
            let made = explorer(&job, &findings);
            for (name, json) in
                [("source.node_data.json", &made.source), ("target.node_data.json", &made.target), ("mapping.json", &made.mapping)]
            {
                out.write(name, (harmless_json(&serde_json::to_string_pretty(json)?).into_owned() + "\n").as_bytes())?;
            }
            let words =
                "open the source on the left and the target on the right, load a node data file into each pane, and the mapping as \
                         navigation syncing"
                    .to_string();
            ExportReport { folder: shown(&args.output), files: out.files, kind: None, shows: None, relative: None, image: None, words }
        }
        Format::Reproducer => {
            if let (true, Some(why)) = (findings.suspects.is_empty(), &job.target_labels.failure) {
                bail!("localize finds no place to mend, so there is nothing to reproduce; the target does not run: {why}");
            }
            if findings.suspects.is_empty() {
                bail!("nothing is at fault: localize finds no suspect, so there is nothing to reproduce");
            }
            let at = args.suspect as usize - 1;
            let made = reproduce(&job, &findings, at)?;
            write(&mut out, &made)?;
            let suspect = &findings.suspects[at];
            let (shows, relative, words) = match &made.shown {
                Shown::Differs { output, relative, .. } => {
                    ("differs", Some(*relative).filter(|r| r.is_finite()), format!("'{output}' is off by a relative L2 of {relative:.2e}"))
                }
                Shown::Fails(why) => ("fails", None, format!("it does not run: {why}")),
                Shown::Nothing => ("nothing", None, "the part alone gives what it should on the images that were tried".into()),
            };
            let kind = suspect.kind.map_or_else(|| suspect.category.id(), |k| k.id());
            let image = Some(made.image.clone());
            ExportReport { folder: shown(&args.output), files: out.files, kind: Some(kind), shows: Some(shows), relative, image, words }
        }
    };
    if common.json {
        print_json(&report)?;
    } else {
        let kind = report.kind.map(|k| format!("{k}: ")).unwrap_or_default();
        print_text(&format!("{}\n{}\n", report.folder, kind + &crate::model::harmless(&report.words)))?;
        print_text(&report.files.iter().map(|f| format!("  {f}\n")).collect::<String>())?;
    }
    Ok(ExitCode::from(if report.shows == Some("nothing") { DIFFERENT } else { SAME }))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// A folder that is filled.
struct Folder<'a> {
    path: &'a Path,
    force: bool,
    reads: Reads,
    files: Vec<String>,
}

impl<'a> Folder<'a> {
    /// The folder that is named: one that holds other things is not mixed with what is written, unless that is asked for.
    fn new(args: &'a ExportArgs, reads: Reads) -> Result<Self> {
        let path = args.output.as_path();
        if path.exists() && !path.is_dir() {
            bail!("{}: is no folder; name one, there or not", path.display());
        }
        if !args.force && std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()) {
            bail!("{}: is not empty; name another folder, or write into this one with --force", path.display());
        }
        Ok(Self { path, force: args.force, reads, files: Vec::new() })
    }

    fn write(&mut self, name: &str, content: &[u8]) -> Result<()> {
        let path = self.path.join(name);
        let folder = path.parent().unwrap_or(self.path);
        self.reads.spare(&path)?;
        std::fs::create_dir_all(folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
        write_file(&path, content, self.force)?;
        self.files.push(name.into());
        Ok(())
    }

    fn set(&mut self, name: &str, set: &TestSet) -> Result<()> {
        for (what, tensors) in [("input", &set.inputs), ("output", &set.outputs)] {
            for (at, (tensor, value)) in tensors.iter().enumerate() {
                self.write(&format!("{name}/{what}_{at}.pb"), &value.to_proto(tensor).encode_to_vec())?;
            }
        }
        Ok(())
    }
}

fn write(out: &mut Folder<'_>, made: &Reproducer) -> Result<()> {
    out.write("model.onnx", &made.model.encode_to_vec())?;
    for (at, set) in made.sets.iter().enumerate() {
        out.set(&format!("test_data_set_{at}"), set)?;
    }
    if let Some((model, set)) = &made.source {
        out.write("source/model.onnx", &model.encode_to_vec())?;
        out.set("source/test_data_set_0", set)?;
    }
    out.write("show.py", SHOW.as_bytes())?;
    out.write("ISSUE.md", made.issue.as_bytes())
}
