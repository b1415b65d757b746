//! `fixcon inject`: faulty copies of a model, with the truth about them.

use super::output::counted;
use super::progress::Bar;
use super::reads::Reads;
use super::{Common, print_json, print_text};
use crate::dataset::{Case, CaseFile, DatasetError, Feed, ImageSet, RecipeKeys, nearest_word};
use crate::localize::inject::{Injected, Injector, Truth, inject_recipe, variants_of};
use crate::localize::{Category, Kind};
use crate::model::{Existing, Model, write_whole};
use crate::run::Watch;
use anyhow::{Context, Result, bail};
use clap::{Args, ValueHint};
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `fixcon inject`.
#[derive(Debug, Default, Args)]
pub struct InjectArgs {
    /// Model that faults are put into; the case's target when absent
    #[arg(value_name = "MODEL", value_hint = ValueHint::FilePath, required_unless_present = "case")]
    pub model: Option<PathBuf>,
    /// Kinds of faults: ids such as WB-BIAS, categories such as LH, or all
    #[arg(long, value_name = "KIND", value_delimiter = ',', default_value = "all")]
    pub kind: Vec<String>,
    /// One fault for each way in which a kind comes about, not one for each kind
    #[arg(long)]
    pub every_way: bool,
    /// Folder for the faulty models
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath, required_unless_present = "list")]
    pub output_dir: Option<PathBuf>,
    /// Only list the kinds that fit the model, with their ways and the number of places
    #[arg(long)]
    pub list: bool,
    /// Case whose first image the faults are tried on. Recipes can have faults then, and each faulty model gets a case file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub case: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long)]
    pub force: bool,
}

/// What `fixcon inject --json` writes.
#[derive(Debug, Serialize, JsonSchema)]
pub struct InjectReport {
    /// The model without a fault.
    pub model: String,
    /// The seed.
    pub seed: u64,
    /// The faults that were made.
    pub faults: Vec<Made>,
    /// Kinds for which the model has no place, or none with an effect.
    pub without_place: Vec<&'static str>,
}

/// A fault that was made. The same stands beside the faulty model, under its name with `.json`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Made {
    /// The faulty model; absent where only the recipe is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The case file, where a case was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// The way in which the fault came about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub way: Option<&'static str>,
    /// Relative error of the worst output on the image that was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<f32>,
    /// The truth, as in a corpus's manifest.
    #[serde(flatten)]
    pub truth: Truth,
}

/// What `fixcon inject --list --json` writes.
#[derive(Debug, Serialize, JsonSchema)]
pub struct InjectList {
    /// The model.
    pub model: String,
    /// The kinds that fit it.
    pub kinds: Vec<Fitting>,
}

/// A kind that fits a model.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Fitting {
    /// Id.
    pub kind: &'static str,
    /// Short name.
    pub name: &'static str,
    /// Nodes at which it can be tried; 0 for a recipe.
    pub places: usize,
    /// Ways in which it comes about.
    pub ways: Vec<&'static str>,
}

/// The model, and the case when one is given.
struct Subject {
    path: PathBuf,
    model: Model,
    case: Option<(CaseFile, Feed)>,
    injector: Injector,
    /// What none of the faulty copies may replace.
    reads: Reads,
}

impl Subject {
    fn open(args: &InjectArgs) -> Result<Self> {
        let Some(file) = &args.case else {
            let path = args.model.clone().context("a model is wanted")?;
            let model = Model::open(&path)?;
            let injector = Injector::new(&model, None)?;
            let reads = Reads::default().and_model(&path);
            return Ok(Self { path, model, case: None, injector, reads });
        };
        let file = if file.is_dir() { file.join("case.toml") } else { file.clone() };
        let mut written = CaseFile::open(&file)?;
        if let Some(model) = &args.model {
            written.target.model = Some(model.clone());
        }
        let case = Case::new(written.clone())?;
        let reads = Reads::case(&case, Some(&file));
        let path = case.target.clone();
        let model = Model::open(&path)?;
        let theirs = case.source_recipe.map(RecipeKeys::resolve).transpose()?;
        let (feed, _) = Feed::following(&model, case.target_recipe, theirs.as_ref())?;
        let images = ImageSet::open(&case.images, None, None)?;
        let injector = Injector::new(&model, Some(first_image(&images, &feed)?))?;
        Ok(Self { path, model, case: Some((written, feed)), injector, reads })
    }
}

/// The first image that can be read, as the model's input.
fn first_image(images: &ImageSet, feed: &Feed) -> Result<Vec<crate::run::Value>, DatasetError> {
    for index in 0..images.len() {
        match images.inputs(index, &[feed]) {
            Err(DatasetError::Image { .. }) => {}
            other => return Ok(other?.remove(0)),
        }
    }
    Err(DatasetError::Missing("none of the images can be read".into()))
}

/// Runs the command.
pub fn run(args: &InjectArgs, common: &Common) -> Result<ExitCode> {
    let kinds = kinds(&args.kind)?;
    let subject = Subject::open(args)?;
    if args.list {
        return list(&subject, &kinds, common);
    }
    let folder = args.output_dir.as_deref().context("an output folder is wanted (--output-dir DIR)")?;
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let existing = if args.force { Existing::Replace } else { Existing::Refuse };
    let mut report =
        InjectReport { model: subject.path.display().to_string(), seed: common.seed, faults: Vec::new(), without_place: Vec::new() };
    let bar = Bar::new(common);
    for (done, kind) in kinds.iter().enumerate() {
        bar.progress("injecting", done, kinds.len());
        let before = report.faults.len();
        for fault in faults(&subject, *kind, args.every_way, common.seed) {
            report.faults.push(write(&subject, fault, folder, common.seed, args.every_way, existing)?);
        }
        if report.faults.len() == before {
            report.without_place.push(kind.id());
        }
    }
    drop(bar);
    if report.faults.is_empty() {
        let what: Vec<_> = kinds.iter().map(|k| k.id()).collect();
        bail!("no fault of {} fits this model (fixcon inject --list lists those that do)", what.join(", "));
    }
    if common.json {
        print_json(&report)?;
    } else {
        let mut out = String::new();
        for made in &report.faults {
            let file = made.model.as_ref().or(made.case.as_ref()).map_or("", String::as_str);
            let effect = made.effect.map(|e| format!("  ({e:.2e})")).unwrap_or_default();
            writeln!(out, "{:<15} {file}\n{:15} {}{effect}", made.truth.kind.id(), "", made.truth.note)?;
        }
        if !report.without_place.is_empty() {
            writeln!(out, "no place for {}", report.without_place.join(", "))?;
        }
        print_text(&out)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A fault of the graph or of the recipe.
enum Fault {
    Graph(Box<Injected>),
    Recipe(Box<CaseFile>, Truth),
}

fn faults(subject: &Subject, kind: Kind, every_way: bool, seed: u64) -> Vec<Fault> {
    let graph = |i: Injected| Fault::Graph(Box::new(i));
    if variants_of(kind).is_empty() {
        let made = subject.case.as_ref().and_then(|(file, feed)| {
            let made = inject_recipe(feed.recipe.as_ref()?, kind, seed)?;
            let mut file = file.clone();
            file.target.preprocess = Some(toml::from_str(&made.recipe.to_toml()).ok()?);
            Some(Fault::Recipe(Box::new(file), made.truth))
        });
        return made.into_iter().collect();
    }
    if every_way {
        return variants_of(kind).into_iter().filter_map(|way| subject.injector.inject_as(kind, way, seed)).map(graph).collect();
    }
    subject.injector.inject(kind, seed).map(graph).into_iter().collect()
}

/// Writes the faulty model, the case where there is one, and the truth.
fn write(subject: &Subject, fault: Fault, folder: &Path, seed: u64, every_way: bool, existing: Existing) -> Result<Made> {
    let stem = subject.path.file_stem().map_or_else(|| "model".into(), |s| s.to_string_lossy().into_owned());
    let path = |truth: &Truth, way: Option<&str>| {
        let way = way.filter(|_| every_way).map(|w| format!("-{w}")).unwrap_or_default();
        folder.join(format!("{stem}-{}{way}-{seed}", truth.kind.id()))
    };
    let with = |path: &Path, extension: &str| PathBuf::from(format!("{}.{extension}", path.display()));
    let (path, mut made, case) = match fault {
        Fault::Graph(fault) => {
            let path = path(&fault.truth, Some(fault.variant));
            let file = with(&path, "onnx");
            subject.reads.spare(&file)?;
            subject.reads.spare_data(&fault.model, &file)?;
            fault.model.save(&file, existing)?;
            let case = subject.case.as_ref().map(|(written, _)| {
                let mut written = written.clone();
                written.target.model = Some(file.clone());
                written
            });
            let made = Made {
                model: Some(file.display().to_string()),
                case: None,
                way: Some(fault.variant),
                effect: fault.effect,
                truth: fault.truth,
            };
            (path, made, case)
        }
        Fault::Recipe(written, truth) => {
            (path(&truth, None), Made { model: None, case: None, way: None, effect: None, truth }, Some(*written))
        }
    };
    if let Some(mut case) = case {
        let paths =
            [&mut case.source.model, &mut case.target.model, &mut case.images.path, &mut case.images.labels, &mut case.images.truth];
        for p in paths.into_iter().flatten() {
            *p = std::path::absolute(&*p)?;
        }
        let file = with(&path, "toml");
        subject.reads.spare(&file)?;
        put(&file, case.to_toml().as_bytes(), existing)?;
        made.case = Some(file.display().to_string());
    }
    let file = with(&path, "json");
    subject.reads.spare(&file)?;
    put(&file, &serde_json::to_vec_pretty(&made)?, existing)?;
    Ok(made)
}

/// Writes a small file, whole or not at all.
pub(super) fn put(path: &Path, bytes: &[u8], existing: Existing) -> Result<()> {
    write_whole(path, existing, |mut file| file.write_all(bytes)).with_context(|| path.display().to_string())
}

/// The kinds that these words name.
pub(super) fn kinds(words: &[String]) -> Result<Vec<Kind>> {
    let mut out: Vec<Kind> = Vec::new();
    for word in words {
        let word = word.trim();
        let named = |k: &&Kind| {
            word.eq_ignore_ascii_case("all") || k.id().eq_ignore_ascii_case(word) || k.category().id().eq_ignore_ascii_case(word)
        };
        let found: Vec<Kind> = Kind::ALL.iter().filter(named).copied().collect();
        if found.is_empty() {
            let upper = word.to_ascii_uppercase();
            let near = nearest_word(&upper, Kind::ALL.iter().map(|k| k.id())).map(|n| format!("; did you mean {n}?")).unwrap_or_default();
            bail!("there is no kind of fault '{word}'{near} (fixcon explain lists them)");
        }
        out.extend(found);
    }
    let mut seen = Vec::new();
    out.retain(|k| !seen.contains(k) && (seen.push(*k), true).1);
    Ok(out)
}

fn list(subject: &Subject, kinds: &[Kind], common: &Common) -> Result<ExitCode> {
    let recipe = |k: Kind| {
        k.category() == Category::PP && subject.case.as_ref().and_then(|(_, f)| inject_recipe(f.recipe.as_ref()?, k, common.seed)).is_some()
    };
    let fitting = kinds.iter().filter_map(|k| {
        let places = subject.injector.places(*k);
        (places > 0 || recipe(*k)).then(|| Fitting { kind: k.id(), name: k.name(), places, ways: variants_of(*k) })
    });
    let listed = InjectList { model: subject.path.display().to_string(), kinds: fitting.collect() };
    if common.json {
        print_json(&listed)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = String::new();
    for k in &listed.kinds {
        let places = if k.places == 0 { "recipe".into() } else { counted(k.places, "place") };
        writeln!(out, "{:<15} {:<28} {places:>11}  {}", k.kind, k.name, k.ways.join(", "))?;
    }
    writeln!(out, "{}", counted(subject.model.nodes().len(), "node"))?;
    print_text(&out)?;
    Ok(ExitCode::SUCCESS)
}
