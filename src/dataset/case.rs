//! Case files: two models, a recipe for each, images, and how outputs are compared.

use super::recipe::RecipeKeys;
use super::{DatasetError, explain_toml};
use crate::model::{read_file, regular};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Component, Path, PathBuf};

/// Bytes above which a case file is not read: it holds a page of text.
const MAX_FILE: u64 = 1 << 20;

/// What is said of a model where a case is expected.
const A_MODEL: &str = "is a model, not a case file; without a case file say --source MODEL --target MODEL --images PATH";

/// `[source]` or `[target]` of a case file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SideKeys {
    /// The ONNX file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<PathBuf>,
    /// How images become its input. The target's is the source's, with size and layout of its declared input, when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preprocess: Option<RecipeKeys>,
}

/// `[images]` of a case file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImagesKeys {
    /// A folder of images, a folder of class folders, a list file, one image, or `.npy` / `.npz` tensors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// A text file with one class name a line, in the order of the outputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<PathBuf>,
    /// A JSON file that maps images to the class they show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truth: Option<PathBuf>,
}

/// What makes an image a mismatch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Criterion {
    /// The label differs: the index of the largest score.
    #[default]
    Label,
    /// An element differs by more than `atol + rtol * |source|`: for models that are no classifiers.
    Tolerance,
}

impl Criterion {
    /// What is said of images that count as different, behind their number.
    pub fn difference(self) -> &'static str {
        match self {
            Self::Label => "have another label",
            Self::Tolerance => "are out of tolerance",
        }
    }
}

/// In which form scores are measured against each other. Labels do not depend on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scores {
    /// As the models give them.
    #[default]
    AsIs,
    /// A softmax is put behind a side that gives logits.
    Probabilities,
}

/// `[compare]` of a case file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CompareKeys {
    /// Which output is compared, by name or number from 0; the first when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// The source's output, where the names differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_output: Option<String>,
    /// The target's output, where the names differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_output: Option<String>,
    /// The target's class of a source's class, less that class: 1 when the target has a background class in front.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_offset: Option<i64>,
    /// What makes an image a mismatch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub criterion: Option<Criterion>,
    /// Tolerance relative to the source's element; 1e-3 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtol: Option<f64>,
    /// Absolute tolerance; 1e-5 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub atol: Option<f64>,
    /// Form of the scores that are measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scores: Option<Scores>,
}

/// A case as it is written: everything may be absent, since flags can stand in for it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaseFile {
    /// One line for lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What the case shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// The model as the framework wrote it.
    #[serde(default)]
    pub source: SideKeys,
    /// The model as the converter left it.
    #[serde(default)]
    pub target: SideKeys,
    /// The images.
    #[serde(default)]
    pub images: ImagesKeys,
    /// How outputs are compared.
    #[serde(default)]
    pub compare: CompareKeys,
}

impl CaseFile {
    /// Reads a case from text; paths stay as they are written.
    ///
    /// # Errors
    /// In words: a syntax error or an unknown key, with its line and the nearest known key.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|e| explain_toml(&e, text))
    }

    /// Reads a case file; its paths become relative to the file's folder.
    ///
    /// # Errors
    /// [`DatasetError::Case`] when it cannot be read or holds an unknown key.
    pub fn open(path: &Path) -> Result<Self, DatasetError> {
        let bad = |why: String| DatasetError::Case { path: path.into(), why };
        let meta = regular(path).map_err(|e| bad(e.to_string()))?;
        if meta.len() > MAX_FILE && path.extension().is_some_and(|e| e.eq_ignore_ascii_case("onnx")) {
            return Err(bad(A_MODEL.into()));
        }
        if meta.len() > MAX_FILE {
            return Err(bad(format!("has {} bytes; a case file is a page of text", meta.len())));
        }
        let bytes = read_file(path, MAX_FILE).map_err(|e| bad(e.to_string()))?;
        let model = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("onnx"));
        let text = String::from_utf8(bytes).map_err(|_| bad(if model { A_MODEL.into() } else { "is no UTF-8 text".into() }))?;
        let mut case = Self::parse(&text).map_err(bad)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let paths =
            [&mut case.source.model, &mut case.target.model, &mut case.images.path, &mut case.images.labels, &mut case.images.truth];
        // What is empty stays so, and is not taken for the folder.
        for p in paths.into_iter().flatten().filter(|p| !p.as_os_str().is_empty()) {
            *p = short(folder.join(&*p));
        }
        Ok(case)
    }

    /// As a case file's text.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a case holds only words, numbers, paths and tables")
    }
}

/// The path without `name/..`, where that is the same place; links can make it another.
fn short(path: PathBuf) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir && matches!(out.components().next_back(), Some(Component::Normal(_))) {
            out.pop();
        } else {
            out.push(part);
        }
    }
    match (out.canonicalize(), path.canonicalize()) {
        (Ok(a), Ok(b)) if a == b => out,
        _ => path,
    }
}

/// A case with both models and the images named.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// One line for lists.
    pub title: Option<String>,
    /// What the case shows.
    pub about: Option<String>,
    /// Source model.
    pub source: PathBuf,
    /// Target model.
    pub target: PathBuf,
    /// The source's recipe as written; `None` where the images are tensors.
    pub source_recipe: Option<RecipeKeys>,
    /// The target's recipe as written; `None` when it follows from the source's.
    pub target_recipe: Option<RecipeKeys>,
    /// Where the images are.
    pub images: PathBuf,
    /// Class names.
    pub labels: Option<PathBuf>,
    /// What the images show.
    pub truth: Option<PathBuf>,
    /// How outputs are compared.
    pub compare: CompareKeys,
}

impl Case {
    /// Reads a case file that names everything itself.
    ///
    /// # Errors
    /// As [`CaseFile::open`] and [`Case::new`].
    pub fn open(path: &Path) -> Result<Self, DatasetError> {
        Self::new(CaseFile::open(path)?)
    }

    /// Takes a case as written for complete.
    ///
    /// # Errors
    /// [`DatasetError::Missing`], naming the flag and the key.
    pub fn new(file: CaseFile) -> Result<Self, DatasetError> {
        let need = |what: Option<PathBuf>, flag: &str, key: &str| {
            what.filter(|path| !path.as_os_str().is_empty())
                .ok_or_else(|| DatasetError::Missing(format!("nothing says {key}: give {flag} or a case file (--case FILE)")))
        };
        let written = |keys: Option<RecipeKeys>| keys.filter(|k| !k.is_empty());
        let compare = file.compare;
        for (key, value) in [("rtol", compare.rtol), ("atol", compare.atol)] {
            if value.is_some_and(|v| v.is_nan() || v < 0.0) {
                return Err(DatasetError::Missing(format!("{key} must be a number from 0 up")));
            }
        }
        Ok(Self {
            title: file.title,
            about: file.about,
            source: need(file.source.model, "--source MODEL", "the source model")?,
            target: need(file.target.model, "--target MODEL", "the target model")?,
            source_recipe: written(file.source.preprocess),
            target_recipe: written(file.target.preprocess),
            images: need(file.images.path, "--images PATH", "the images")?,
            labels: file.images.labels,
            truth: file.images.truth,
            compare,
        })
    }
}
