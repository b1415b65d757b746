//! `fixcon triage`: every case of a folder, one line each.
//!
//! Each case is localised by a process of its own, so that a model on which one gives up takes no other with it. What is known of a case is
//! kept in a file as soon as it is known, so that a run that was ended goes on where it was.

use super::output::{counted, print_text};
use super::{Common, DIFFERENT, FAILED, SAME, Unreadable, print_json};
use crate::audit::file_sha256;
use crate::dataset::{Case, ImageSet};
use crate::model::{Model, harmless, harmless_json, hex, regular};
use anyhow::{Context, Result, bail};
use clap::{Args, ValueHint};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Folders below the one that is named in which cases are looked for.
const DEPTH: usize = 6;
/// What begins the file in which outcomes are kept.
const HEADER: &str = "{\"fixcon\":\"triage\"}";

/// Arguments of `fixcon triage`.
#[derive(Debug, Args)]
pub struct TriageArgs {
    /// Folder with cases: every case.toml in it and below
    #[arg(value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub folder: PathBuf,
    /// Cases at a time
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: u16,
    /// Go on with a run that was ended: leave out what is known and unchanged
    #[arg(long)]
    pub resume: bool,
    /// Where outcomes are kept as they come; fixcon-triage.jsonl in the folder when absent
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub state: Option<PathBuf>,
    /// Seconds after which a case is given up
    #[arg(long, value_name = "SECONDS")]
    pub time_limit: Option<u64>,
    /// What becomes of images that cannot be read.
    #[command(flatten)]
    pub unreadable: Unreadable,
}

/// What `fixcon triage --json` writes.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TriageReport {
    /// The folder.
    pub folder: String,
    /// All cases, by path.
    pub cases: Vec<CaseLine>,
    /// Cases by the kind of their worst suspect.
    pub kinds: Vec<KindCount>,
    /// Cases with no difference and no suspect; where images cannot be read, on those that can.
    pub clean: usize,
    /// Cases in which labels differ by precision: nothing is wrongly converted.
    pub precision: usize,
    /// Cases in which something is wrongly converted, or the target does not run.
    pub faulty: usize,
    /// Cases with images that cannot be read: nothing is known of these.
    pub with_unreadable: usize,
    /// Cases that could not be looked into.
    pub failed: usize,
}

/// What is known of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CaseVerdict {
    /// No label differs and nothing is suspected.
    Clean,
    /// Labels differ, and nothing is wrongly converted.
    Precision,
    /// Something is wrongly converted.
    Faulty,
    /// The target does not load or run.
    Unloadable,
    /// It could not be looked into.
    Failed,
}

impl CaseVerdict {
    /// The word that JSON uses.
    fn word(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Precision => "precision",
            Self::Faulty => "faulty",
            Self::Unloadable => "unloadable",
            Self::Failed => "failed",
        }
    }
}

/// A case in one line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CaseLine {
    /// Its file, below the folder.
    pub case: String,
    /// What is known of it.
    pub verdict: CaseVerdict,
    /// Images whose labels differ.
    pub flips: usize,
    /// Images compared.
    pub of: usize,
    /// Images that cannot be read.
    #[serde(default, skip_serializing_if = "none")]
    pub unreadable: usize,
    /// How many suspects.
    pub suspects: usize,
    /// Kind of the worst suspect's fault, or its category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The first node at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The fault in words, or why the case could not be looked into.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub words: String,
    /// SHA-256 over case file, models, external data, options and version, and names, sizes and times of the images.
    pub digest: String,
}

fn none(n: &usize) -> bool {
    *n == 0
}

/// How many cases have a kind of fault.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KindCount {
    /// The kind, or a category where no kind is known.
    pub kind: String,
    /// Cases.
    pub cases: usize,
}

/// Runs `fixcon triage`: the exit code is that of the worst case. Labels that differ by precision are a difference, as everywhere.
pub fn run(args: &TriageArgs, common: &Common) -> Result<ExitCode> {
    let cases = find(&args.folder)?;
    let path = args.state.clone().unwrap_or_else(|| args.folder.join("fixcon-triage.jsonl"));
    let child = child(args, common);
    let known = if args.resume { kept(&path)? } else { HashMap::new() };
    let state = Mutex::new(begin(&path, args.resume)?);
    let slots: Vec<Mutex<Option<CaseLine>>> = cases.iter().map(|_| Mutex::new(None)).collect();
    let (next, printed) = (AtomicUsize::new(0), Mutex::new(0));
    let failure: Mutex<Option<anyhow::Error>> = Mutex::new(None);
    let lock = |m| Mutex::lock(m).unwrap_or_else(PoisonError::into_inner);
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let at = cases.iter().position(|c| c == case).unwrap_or(0);
            let name = case.strip_prefix(&args.folder).unwrap_or(case).display().to_string();
            let digest = digest(case, &child);
            let line = match known.get(&name).filter(|k| k.digest == digest) {
                Some(line) => line.clone(),
                None => {
                    let line = look(case, name, digest, args, &child);
                    let mut file = state.lock().unwrap_or_else(PoisonError::into_inner);
                    let text = serde_json::to_string(&line).unwrap_or_default();
                    let written = writeln!(file, "{}", harmless_json(&text)).and_then(|()| file.sync_data());
                    if let Err(why) = written {
                        *lock(&failure) = Some(anyhow::Error::from(why).context(format!("{}: cannot be written", path.display())));
                        return;
                    }
                    line
                }
            };
            *slots[at].lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
            if common.json {
                continue;
            }
            // In the order of the cases, whatever ends first.
            let mut printed = printed.lock().unwrap_or_else(PoisonError::into_inner);
            while let Some(slot) = slots.get(*printed) {
                let Some(line) = slot.lock().unwrap_or_else(PoisonError::into_inner).clone() else { break };
                if let Err(why) = print_text(&text(&line)) {
                    *lock(&failure) = Some(why);
                    return;
                }
                *printed += 1;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..usize::from(args.jobs).min(cases.len()) {
            scope.spawn(work);
        }
        work();
    });
    if let Some(why) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(why);
    }
    let lines: Vec<CaseLine> = slots.into_iter().filter_map(|s| s.into_inner().unwrap_or_else(PoisonError::into_inner)).collect();
    let report = report(args, lines);
    if common.json {
        print_json(&report)?;
    } else {
        print_text(&summary(&report))?;
    }
    let unknown = report.with_unreadable > 0 && !args.unreadable.skip_unreadable;
    if unknown {
        eprintln!(
            "error: in {} images cannot be read: nothing is known of them; --skip-unreadable lets the others decide",
            counted(report.with_unreadable, "case")
        );
    }
    Ok(ExitCode::from(match () {
        () if report.failed > 0 || unknown => FAILED,
        () if report.clean < report.cases.len() => DIFFERENT,
        () => SAME,
    }))
}

/// Every case.toml in a folder and below, in the order of their paths, numbers as numbers.
fn find(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![(folder.to_path_buf(), 0)];
    while let Some((path, depth)) = open.pop() {
        let entries = std::fs::read_dir(&path).with_context(|| format!("{}: cannot be read", path.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| path.display().to_string())?;
            let kind = entry.file_type().with_context(|| entry.path().display().to_string())?;
            if kind.is_dir() && depth < DEPTH {
                open.push((entry.path(), depth + 1));
            } else if entry.file_name() == "case.toml" && entry.path().is_file() {
                found.push(entry.path());
            }
        }
    }
    if found.is_empty() {
        bail!("{}: no case.toml in it or below", folder.display());
    }
    found.sort_by_cached_key(|p| natural(&p.to_string_lossy()));
    Ok(found)
}

/// A text cut where digits begin and end, so that 2 comes before 10.
fn natural(text: &str) -> Vec<(u64, String)> {
    let mut out: Vec<(u64, String)> = vec![(0, String::new())];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c.to_digit(10) {
            Some(first) => {
                let mut number = u64::from(first);
                while let Some(d) = chars.peek().and_then(|c| c.to_digit(10)) {
                    number = number.saturating_mul(10).saturating_add(u64::from(d));
                    chars.next();
                }
                out.push((number, String::new()));
            }
            None => {
                if let Some((_, text)) = out.last_mut() {
                    text.push(c);
                }
            }
        }
    }
    out
}

/// What an outcome depends on; empty when a file cannot be read, so that it is looked into again. Images are many, so of them size and time
/// of the last change have to do.
fn digest(case: &Path, child: &Child) -> String {
    use sha2::{Digest, Sha256};
    let of = || -> Option<String> {
        let opened = Case::open(case).ok()?;
        let mut hash = Sha256::new();
        hash.update(env!("CARGO_PKG_VERSION"));
        hash.update(format!("{:?}", child.matters));
        hash.update(file_sha256(case).ok()?);
        for file in [&opened.source, &opened.target] {
            hash.update(file_sha256(file).ok()?);
            hash.update(format!("{:?}", Model::open(file).ok()?.external_sha256().ok()?));
        }
        let images = ImageSet::open(&opened.images, opened.labels.as_deref(), opened.truth.as_deref()).ok()?;
        hash.update(format!("{:?}", images.classes()));
        for item in images.items() {
            let file = std::fs::metadata(&item.path).ok()?;
            hash.update(format!("{:?}", (&item.name, item.truth, file.len(), file.modified().ok()?)));
        }
        Some(hex(&hash.finalize()))
    };
    of().unwrap_or_default()
}

/// Outcomes that an earlier run kept; a last line that was cut off is left out.
fn kept(path: &Path) -> Result<HashMap<String, CaseLine>> {
    let file = match regular(path).and_then(|_| File::open(path)) {
        Ok(file) => file,
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(why) => return Err(why).with_context(|| path.display().to_string()),
    };
    let mut out = HashMap::new();
    for (at, line) in BufReader::new(file).lines().enumerate() {
        let line = line.with_context(|| path.display().to_string())?;
        if at == 0 {
            if line != HEADER {
                bail!("{}: holds no outcomes of fixcon triage; name another file with --state", path.display());
            }
            continue;
        }
        if let Ok(line) = serde_json::from_str::<CaseLine>(&line)
            && !line.digest.is_empty()
        {
            out.insert(line.case.clone(), line);
        }
    }
    Ok(out)
}

/// The file in which outcomes are kept, ready for the next line. A file that something else wrote is not touched.
fn begin(path: &Path, resume: bool) -> Result<File> {
    let what = || path.display().to_string();
    let mut start = String::new();
    let there = match regular(path).and_then(|_| File::open(path)) {
        Ok(file) => {
            file.take(HEADER.len() as u64 + 1).read_to_string(&mut start).with_context(what)?;
            if start.trim_end() != HEADER {
                bail!("{}: holds no outcomes of fixcon triage; name another file with --state", path.display());
            }
            true
        }
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => false,
        Err(why) => return Err(why).with_context(what),
    };
    let mut file = File::options().append(resume).write(true).create(true).truncate(!resume).open(path).with_context(what)?;
    // A line break ends what a crash may have cut off; an empty line is no outcome.
    let begin = if there && resume { "\n".to_string() } else { format!("{HEADER}\n") };
    file.write_all(begin.as_bytes()).with_context(what)?;
    Ok(file)
}

/// One case, in a process of its own.
fn look(case: &Path, name: String, digest: String, args: &TriageArgs, child: &Child) -> CaseLine {
    let failed = |words: String| CaseLine {
        case: name.clone(),
        verdict: CaseVerdict::Failed,
        flips: 0,
        of: 0,
        unreadable: 0,
        suspects: 0,
        kind: None,
        node: None,
        words,
        // A case that failed is looked into again: what was in the way may be gone.
        digest: String::new(),
    };
    let out = match localize(case, args, child) {
        Ok(out) => out,
        Err(why) => return failed(format!("{why:#}")),
    };
    let text = |json: &Json| json.as_str().map(str::to_string);
    if let Some(why) = text(&out["error"]["message"]) {
        return failed(why);
    }
    let Ok(verdict) = CaseVerdict::deserialize(&out["verdict"]) else { return failed("localize said nothing".into()) };
    let number = |json: &Json| json.as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let first = &out["suspects"][0];
    let flips = number(&out["mismatches"]["count"]);
    let unreadable = out["left_out"].as_array().map_or(0, Vec::len);
    // What localize finds clean may give other labels all the same, where the target computes less exactly.
    let precision = verdict == CaseVerdict::Clean && flips > 0;
    CaseLine {
        case: name,
        verdict: if precision { CaseVerdict::Precision } else { verdict },
        flips,
        of: number(&out["mismatches"]["of"]),
        unreadable,
        suspects: out["suspects"].as_array().map_or(0, Vec::len),
        kind: text(&first["kind"]).or_else(|| text(&first["category"])),
        node: text(&first["target_nodes"][0]).or_else(|| text(&first["target_tensors"][0])),
        words: match text(&first["words"]) {
            Some(words) => words,
            None if precision => "labels differ by precision: nothing is wrongly converted".into(),
            None => String::new(),
        },
        // What could not be read may be readable by the next time.
        digest: if unreadable > 0 { String::new() } else { digest },
    }
}

/// What `fixcon localize` is told beside its case.
struct Child {
    /// What the outcome may depend on.
    matters: Vec<OsString>,
    threads: usize,
}

fn child(args: &TriageArgs, common: &Common) -> Child {
    let mut matters: Vec<OsString> = vec!["--seed".into(), common.seed.to_string().into()];
    if let Some(bytes) = common.max_mem {
        matters.extend(["--max-mem".into(), bytes.to_string().into()]);
    }
    if common.runtime == super::args::Engine::Ort {
        matters.extend(["--runtime".into(), "ort".into()]);
    }
    if let Some(library) = &common.ort_lib {
        matters.extend(["--ort-lib".into(), library.into()]);
    }
    // Cases share the cores.
    let threads = match (common.threads, args.jobs) {
        (0, 1) => 0,
        (0, jobs) => (std::thread::available_parallelism().map_or(1, usize::from) / usize::from(jobs)).max(1),
        (n, _) => n,
    };
    Child { matters, threads }
}

/// What `fixcon localize --json` says of a case.
fn localize(case: &Path, args: &TriageArgs, child: &Child) -> Result<Json> {
    let program = std::env::current_exe().context("the program does not find itself")?;
    let mut command = std::process::Command::new(program);
    command.args(["localize", "--json", "--quiet", "--threads", &child.threads.to_string()]).args(&child.matters);
    command.arg("--case").arg(case).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("the program cannot be started again for the work")?;
    let reader = |pipe: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            // What was written before a pipe broke is enough to tell why.
            let _ = pipe.map(|mut p| p.read_to_end(&mut text));
            text
        })
    };
    let out = reader(child.stdout.take().map(|p| Box::new(p) as _));
    let err = reader(child.stderr.take().map(|p| Box::new(p) as _));
    let begin = Instant::now();
    loop {
        if child.try_wait().context("the work cannot be waited for")?.is_some() {
            break;
        }
        if args.time_limit.is_some_and(|limit| begin.elapsed() > Duration::from_secs(limit)) {
            let _ = child.kill();
            let _ = child.wait();
            bail!("given up after {} s (--time-limit)", args.time_limit.unwrap_or(0));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let (out, err) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
    serde_json::from_slice(&out).with_context(|| {
        let said = String::from_utf8_lossy(&err);
        said.lines().last().map_or_else(|| "localize ended without a word".to_string(), str::to_string)
    })
}

fn report(args: &TriageArgs, cases: Vec<CaseLine>) -> TriageReport {
    let mut by_kind: BTreeMap<String, usize> = BTreeMap::new();
    for kind in cases.iter().filter_map(|c| c.kind.clone()) {
        *by_kind.entry(kind).or_default() += 1;
    }
    let mut kinds: Vec<KindCount> = by_kind.into_iter().map(|(kind, cases)| KindCount { kind, cases }).collect();
    kinds.sort_by_key(|k| std::cmp::Reverse(k.cases));
    let count = |verdicts: &[CaseVerdict]| cases.iter().filter(|c| verdicts.contains(&c.verdict)).count();
    TriageReport {
        folder: args.folder.display().to_string(),
        clean: count(&[CaseVerdict::Clean]),
        precision: count(&[CaseVerdict::Precision]),
        faulty: count(&[CaseVerdict::Faulty, CaseVerdict::Unloadable]),
        failed: count(&[CaseVerdict::Failed]),
        with_unreadable: cases.iter().filter(|c| c.unreadable > 0).count(),
        kinds,
        cases,
    }
}

/// A case in one line.
fn text(c: &CaseLine) -> String {
    let sign = match c.verdict {
        CaseVerdict::Failed => "!",
        CaseVerdict::Clean if c.unreadable > 0 => "?",
        CaseVerdict::Clean => "=",
        CaseVerdict::Precision => "~",
        CaseVerdict::Faulty | CaseVerdict::Unloadable => "✗",
    };
    let name = c.case.strip_suffix("case.toml").map_or(c.case.as_str(), |n| n.trim_end_matches(['/', '\\']));
    let name = if name.is_empty() { c.case.as_str() } else { name };
    let flips = match c.verdict {
        CaseVerdict::Failed => "-".into(),
        CaseVerdict::Unloadable => "no run".into(),
        _ => format!("{}/{}", c.flips, c.of),
    };
    let kind = c.kind.as_deref().unwrap_or(match c.verdict {
        CaseVerdict::Clean => "-",
        verdict => verdict.word(),
    });
    let unread = match (c.unreadable, c.words.is_empty()) {
        (0, _) => String::new(),
        (n, nothing) => format!("{}{} cannot be read", if nothing { "" } else { "; " }, counted(n, "image")),
    };
    let more = if c.suspects > 1 { format!(" (+{})", c.suspects - 1) } else { String::new() };
    let place = c.node.as_ref().map(|n| format!("{}: ", harmless(n))).unwrap_or_default();
    format!("{sign} {flips:>9}  {:<14} {:<28} {place}{}{unread}\n", format!("{kind}{more}"), harmless(name), harmless(&c.words))
        .trim_end()
        .to_string()
        + "\n"
}

fn summary(r: &TriageReport) -> String {
    let mut out = format!(
        "\n{}: {} clean, {} with other labels by precision alone, {} faulty, {} failed\n",
        counted(r.cases.len(), "case"),
        r.clean,
        r.precision,
        r.faulty,
        r.failed
    );
    if r.with_unreadable > 0 {
        out += &format!("{} with images that cannot be read\n", counted(r.with_unreadable, "case"));
    }
    for k in &r.kinds {
        out += &format!("  {:>4}  {}\n", k.cases, k.kind);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_are_numbers() {
        let mut names = ["b/10-x", "b/2-x", "a", "b/2-w", "b/2", "b/0010"];
        names.sort_by_cached_key(|n| natural(n));
        assert_eq!(names, ["a", "b/2", "b/2-w", "b/2-x", "b/0010", "b/10-x"]);
    }
}
