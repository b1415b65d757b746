//! `fixcon matrix`: faults of every kind put into clean pairs, localised, and judged against the truth.

mod pair;
mod table;
mod trial;

pub use trial::{Named, Trial};

use super::inject::kinds;
use super::progress::Bar;
use super::reads::Reads;
use super::{CaseArgs, Common, demos, print_json, print_text};
use crate::localize::Kind;
use crate::model::Existing;
use crate::run::Watch;
use anyhow::{Context, Result, bail};
use clap::{Args, ValueHint};
use pair::{Pair, Skipped};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Faults that share one network's plans: more would keep more plans than are used again.
const AT_A_TIME: usize = 32;
/// What begins every line of kept outcomes.
const BEGIN: &str = "{\"key\":";

/// Arguments of `fixcon matrix`.
#[derive(Debug, Args)]
pub struct MatrixArgs {
    /// Cases whose pairs are clean; the bundled demonstrations when absent. Pairs that are not clean are left out and named
    #[arg(value_name = "CASE", value_hint = ValueHint::FilePath)]
    pub cases: Vec<PathBuf>,
    /// Kinds of faults: ids such as WB-BIAS, categories such as LH, or all
    #[arg(long, value_name = "KIND", value_delimiter = ',', default_value = "all")]
    pub kind: Vec<String>,
    /// Seeds, from --seed on
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub seeds: u64,
    /// Draw one way for each kind and seed, in place of all ways
    #[arg(long)]
    pub one_way: bool,
    /// Only pairs as they are, no model against itself
    #[arg(long)]
    pub no_selves: bool,
    /// Images for each pair, the first ones
    #[arg(long, default_value_t = 24, value_name = "N")]
    pub images: usize,
    /// Keep every outcome in this file (JSON Lines), and go on where it ends
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub results: Option<PathBuf>,
    /// Write the tables to this file (Markdown) instead of standard output
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
}

/// All outcomes; what `--json` gives.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct MatrixReport {
    /// The pairs, as they are without a fault.
    pub pairs: Vec<PairReport>,
    /// Cases that are left out, with the reason.
    pub left_out: Vec<LeftOut>,
    /// One entry for each fault.
    pub trials: Vec<Trial>,
}

/// A clean pair.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PairReport {
    /// Its name.
    pub pair: String,
    /// Nodes that run in the target.
    pub nodes: usize,
    /// Images whose labels differ without a fault: precision.
    pub flips: usize,
    /// Images.
    pub images: usize,
    /// Kinds that no fault was made of.
    pub without_place: Vec<String>,
}

/// A case that is left out.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct LeftOut {
    /// The case.
    pub case: String,
    /// Why.
    pub why: String,
}

/// Runs the command.
pub fn run(args: &MatrixArgs, common: &Common) -> Result<ExitCode> {
    let kinds = kinds(&args.kind)?;
    let cases = if args.cases.is_empty() { demos().into_iter().map(|d| d.case).collect() } else { args.cases.clone() };
    if cases.is_empty() {
        bail!("no case was given, and no demonstration was found (sample_models/cases)");
    }
    let reads = cases.iter().fold(Reads::default(), |reads, file| {
        let file = CaseArgs { file: Some(file.clone()), ..CaseArgs::default() };
        file.case().map_or_else(|_| Reads::default().and(file.path().as_deref()), |case| Reads::args(&file, &case)).with(reads)
    });
    reads.check([&args.results, &args.output].into_iter().flatten().map(PathBuf::as_path))?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(common.threads).build()?;
    let results = Results::open(args.results.as_deref())?;
    let mut report = MatrixReport::default();
    let mut sources = HashSet::new();
    let bar = Bar::new(common);
    for case in &cases {
        for alone in [true, false] {
            let opened = pool.install(|| Pair::open(case, alone, args.images, common, &mut sources, !args.no_selves));
            match opened {
                Ok(pair) => pool.install(|| study(&pair, &kinds, args, common, &results, &bar, &mut report))?,
                Err(Skipped::Known) => {}
                Err(Skipped::Because(why)) => report.left_out.push(LeftOut { case: case.display().to_string(), why }),
            }
        }
    }
    drop(bar);
    if report.trials.is_empty() {
        let why: Vec<_> = report.left_out.iter().map(|l| format!("{}: {}", l.case, l.why)).collect();
        bail!("no fault was tried; {}", if why.is_empty() { "the kinds fit none of the pairs".into() } else { why.join("; ") });
    }
    if common.json {
        print_json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = table::markdown(&report, args);
    match &args.output {
        Some(path) => super::inject::put(path, text.as_bytes(), Existing::Replace)?,
        None => {
            print_text(&text)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Puts every fault into a pair and judges what is found.
fn study(
    pair: &Pair,
    kinds: &[Kind],
    args: &MatrixArgs,
    common: &Common,
    results: &Results,
    bar: &Bar,
    report: &mut MatrixReport,
) -> Result<()> {
    let seeds: Vec<u64> = (0..args.seeds).map(|i| common.seed.wrapping_add(i)).collect();
    let faults = pair.faults(kinds, &seeds, args.one_way);
    let without = kinds.iter().filter(|k| !faults.iter().any(|f| f.truth().kind == **k));
    report.pairs.push(PairReport {
        pair: pair.name.clone(),
        nodes: pair.nodes(),
        flips: pair.flips(),
        images: pair.images(),
        without_place: without.map(|k| k.id().to_string()).collect(),
    });
    let done = AtomicUsize::new(0);
    for some in faults.chunks(AT_A_TIME) {
        let pair = pair.fresh()?;
        let tried: Result<Vec<Trial>> = some
            .par_iter()
            .map(|fault| {
                let key = fault.key(&pair.name);
                let trial = match results.known(&key) {
                    Some(known) => known,
                    None => {
                        let trial = pair.try_fault(fault);
                        results.keep(&trial)?;
                        trial
                    }
                };
                bar.progress("localising", done.fetch_add(1, Ordering::Relaxed) + 1, faults.len());
                Ok(trial)
            })
            .collect();
        report.trials.extend(tried?);
    }
    Ok(())
}

/// Outcomes of this run and of one that was broken off.
struct Results {
    known: Vec<Trial>,
    file: Option<Mutex<std::fs::File>>,
}

impl Results {
    fn open(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self { known: Vec::new(), file: None }) };
        let what = || path.display().to_string();
        let mut known = Vec::new();
        let mut whole = 0;
        if path.exists() {
            let mut lines = std::io::BufReader::new(std::fs::File::open(path).with_context(what)?);
            let mut line = String::new();
            while lines.read_line(&mut line).with_context(what)? > 0 {
                let Ok(trial) = serde_json::from_str(&line) else {
                    // A line that a crash cut off is done again; what something else wrote is not touched.
                    if line.ends_with('\n') || !(line.starts_with(BEGIN) || BEGIN.starts_with(&line)) {
                        bail!("{}: holds no outcomes of fixcon matrix; name another file with --results", path.display());
                    }
                    break;
                };
                known.push(trial);
                whole += line.len() as u64;
                line.clear();
            }
        }
        let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(path).with_context(what)?;
        file.set_len(whole).with_context(what)?;
        let mut file = file;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).with_context(what)?;
        Ok(Self { known, file: Some(Mutex::new(file)) })
    }

    fn known(&self, key: &str) -> Option<Trial> {
        self.known.iter().find(|t| t.key == key).cloned()
    }

    fn keep(&self, trial: &Trial) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut line = serde_json::to_vec(trial)?;
        line.push(b'\n');
        file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line)?;
        Ok(())
    }
}
