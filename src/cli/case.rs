//! A case on the command line: a file, flags in its place, or both.

use crate::dataset::{Case, CaseFile, Criterion, DatasetError, RecipeKeys, Scores};
use clap::{Args, ValueHint};
use std::path::PathBuf;

/// Which models, which images, compared how. Flags win over the case file.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct CaseArgs {
    /// Case file, or a folder with a case.toml
    #[arg(value_name = "CASE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// The same as CASE
    #[arg(long = "case", value_name = "FILE", conflicts_with = "file", value_hint = ValueHint::FilePath)]
    pub case: Option<PathBuf>,
    /// Source model: as the framework wrote it
    #[arg(long, value_name = "MODEL", value_hint = ValueHint::FilePath)]
    pub source: Option<PathBuf>,
    /// Target model: as the converter left it
    #[arg(long, value_name = "MODEL", value_hint = ValueHint::FilePath)]
    pub target: Option<PathBuf>,
    /// Folder of images or of class folders, list file, image, .npy or .npz
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub images: Option<PathBuf>,
    /// Text file with one class name a line
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub labels: Option<PathBuf>,
    /// Recipe of both sides by name; its keys stand below those of the case file
    #[arg(long, value_name = "NAME")]
    pub preset: Option<String>,
    /// Recipe of the target alone by name
    #[arg(long, value_name = "NAME")]
    pub target_preset: Option<String>,
    /// Output that is compared, by name or number
    #[arg(long = "compare-output", value_name = "NAME")]
    pub compare_output: Option<String>,
    /// The source's output, where the names differ
    #[arg(long, value_name = "NAME")]
    pub source_output: Option<String>,
    /// The target's output, where the names differ
    #[arg(long, value_name = "NAME")]
    pub target_output: Option<String>,
    /// The target's class of a source's class, less that class
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub label_offset: Option<i64>,
    /// What makes an image a mismatch: label or tolerance
    #[arg(long, value_parser = criterion, value_name = "WORD")]
    pub criterion: Option<Criterion>,
    /// Tolerance relative to the source's element
    #[arg(long, value_name = "X")]
    pub rtol: Option<f64>,
    /// Absolute tolerance
    #[arg(long, value_name = "X")]
    pub atol: Option<f64>,
    /// Form of the scores that are measured: as-is or probabilities
    #[arg(long, value_parser = scores, value_name = "WORD")]
    pub scores: Option<Scores>,
}

fn criterion(text: &str) -> Result<Criterion, String> {
    match text {
        "label" => Ok(Criterion::Label),
        "tolerance" => Ok(Criterion::Tolerance),
        _ => Err("label or tolerance is wanted".into()),
    }
}

fn scores(text: &str) -> Result<Scores, String> {
    match text {
        "as-is" => Ok(Scores::AsIs),
        "probabilities" => Ok(Scores::Probabilities),
        _ => Err("as-is or probabilities is wanted".into()),
    }
}

impl CaseArgs {
    /// The case file that is named, if any.
    pub fn path(&self) -> Option<PathBuf> {
        let path = self.file.as_ref().or(self.case.as_ref())?;
        Some(if path.is_dir() { path.join("case.toml") } else { path.clone() })
    }

    /// Whether anything beside the case file is said.
    pub fn has_flags(&self) -> bool {
        Self { file: None, case: None, ..self.clone() } != Self::default()
    }

    /// The case file with the flags put over it.
    ///
    /// # Errors
    /// A case file that cannot be read.
    pub fn written(&self) -> Result<CaseFile, DatasetError> {
        let mut case = self.path().map_or_else(|| Ok(CaseFile::default()), |p| CaseFile::open(&p))?;
        fn put<T: Clone>(slot: &mut Option<T>, flag: &Option<T>) {
            if flag.is_some() {
                slot.clone_from(flag);
            }
        }
        put(&mut case.source.model, &self.source);
        put(&mut case.target.model, &self.target);
        put(&mut case.images.path, &self.images);
        put(&mut case.images.labels, &self.labels);
        let compare = &mut case.compare;
        put(&mut compare.output, &self.compare_output);
        put(&mut compare.source_output, &self.source_output);
        put(&mut compare.target_output, &self.target_output);
        put(&mut compare.label_offset, &self.label_offset);
        put(&mut compare.criterion, &self.criterion);
        put(&mut compare.rtol, &self.rtol);
        put(&mut compare.atol, &self.atol);
        put(&mut compare.scores, &self.scores);
        if let Some(preset) = &self.preset {
            name_preset(&mut case.source.preprocess, preset);
            // Without a table of its own the target follows the source.
            if case.target.preprocess.is_some() {
                name_preset(&mut case.target.preprocess, preset);
            }
        }
        if let Some(preset) = &self.target_preset {
            name_preset(&mut case.target.preprocess, preset);
        }
        Ok(case)
    }

    /// The case that file and flags say together.
    ///
    /// # Errors
    /// A case file that cannot be read, or something that neither says.
    pub fn case(&self) -> Result<Case, DatasetError> {
        Case::new(self.written()?)
    }
}

fn name_preset(keys: &mut Option<RecipeKeys>, preset: &str) {
    keys.get_or_insert_with(RecipeKeys::default).preset = Some(preset.into());
}
