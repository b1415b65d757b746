//! What a session leaves behind: the log, the repaired model with its recipe, a report.

use super::engine::{Core, News};
use super::snapshot::Tone;
use crate::audit::{AuditError, By, Recorder};
use crate::dataset::Recipe;
use crate::localize::Findings;
use crate::model::{Existing, write_whole};
use crate::repair::{Job, Journal};
use crate::report::{self, Report};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

impl Core {
    /// Writes the repaired model and, when it changed, the recipe.
    pub fn save(&mut self, path: Option<PathBuf>) {
        self.snap.work = Some(super::snapshot::Work { name: "saving", done: 0, of: 0, left: None, keeps_labels: true });
        self.show();
        self.snap.work = None;
        let Some(open) = &mut self.open else { return };
        let (Some(job), Some(recorder)) = (&open.job, &mut open.mending.recorder) else {
            return self.fail("there is nothing to save: no repair was accepted");
        };
        // Where it goes by default this session may write again.
        let again = path.is_none() && self.options.output.is_some() && self.options.output == self.snap.saved;
        let existing = if again { Existing::Replace } else { Existing::Refuse };
        let path = path.or_else(|| self.options.output.clone());
        match write(job, recorder, path, existing, self.snap.saved_recipe.as_deref()) {
            Err(why) => self.fail(format!("not saved: {why}")),
            Ok(Written { model, sha256, recipe }) => {
                // The model without the recipe that it needs is half of it.
                self.snap.unsaved = recipe.is_err();
                let (left, count, failure) = (job.flips().len(), job.count(), job.target_labels.failure.clone());
                self.log(Tone::Good, format!("saved as {}, SHA-256 {}…", model.display(), &sha256[..12.min(sha256.len())]));
                if let Some(why) = failure {
                    self.log(Tone::Warning, format!("it does not run yet: {why}"));
                } else if left > 0 {
                    self.log(Tone::Warning, format!("it is not mended yet: {left} of {count} images have another label"));
                }
                match &recipe {
                    Ok(Some(recipe)) => self.log(Tone::Good, format!("its recipe: {}", recipe.display())),
                    Ok(None) => {}
                    Err(why) => self.fail(format!("its recipe is not saved: {why}")),
                }
                (self.snap.saved, self.snap.saved_recipe) = (Some(model), recipe.unwrap_or_default());
            }
        }
        // A task that goes on is shown again with its next progress.
        self.dirty = true;
    }

    /// Writes a report of what was found and done so far beside the log, which is begun if there is none.
    pub fn report(&mut self) {
        if self.is_deciding() {
            return self.fail("a decision is being kept; ask for the report again");
        }
        let findings = self.snap.findings.clone();
        let Some(open) = &mut self.open else { return };
        let Some(job) = &open.job else { return };
        if open.mending.recorder.is_none() {
            match begin_log(job, open.file.as_deref(), findings.as_deref()) {
                Ok(recorder) => open.mending.recorder = Some(recorder),
                Err(why) => return self.fail(format!("no report, as the audit log cannot be written: {why}")),
            }
        }
        let Some(log) = open.mending.recorder.as_ref().map(|r| r.log().path().to_path_buf()) else { return };
        self.snap.audit_log = Some(log.clone());
        let number = open.number;
        self.spawn(number, Default::default(), move |to| match write_report(&log) {
            Ok(page) => to.tell(News::Reported(page)),
            Err(why) => to.tell(News::ReportFailed(why)),
        });
    }

    /// Ends the log.
    pub fn close(&mut self) {
        let Some(open) = &mut self.open else { return };
        let left = open.job.as_ref().map(|j| j.flips().len());
        if let Some(recorder) = &mut open.mending.recorder {
            // Whoever leaves can do nothing about it; what was decided is in the log.
            let _ = recorder.close(left);
        }
    }
}

/// Who decides on the screen, for the log: the name of the login; empty where there is none.
pub(super) fn person() -> By {
    By::Person(std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default())
}

/// Begins the log beside the target, under a name that is free, with what was found so far.
pub(super) fn begin_log(job: &Job, case: Option<&Path>, findings: Option<&Findings>) -> Result<Recorder, String> {
    let mut last = String::new();
    for n in 1..100 {
        let path = beside(&job.case.target, "fixcon.jsonl", n);
        match Recorder::create(&path, job, case, person(), Existing::Refuse) {
            Ok(mut recorder) => {
                recorder.evaluated(job)?;
                if let Some(findings) = findings {
                    recorder.found(job, findings)?;
                }
                return Ok(recorder);
            }
            Err(why @ AuditError::Exists { .. }) => last = why.to_string(),
            Err(why) => return Err(why.to_string()),
        }
    }
    Err(last)
}

/// `target.WORD`, `target-2.WORD`, ... beside the target.
pub(super) fn beside(target: &Path, word: &str, n: usize) -> PathBuf {
    let stem = target.file_stem().unwrap_or(target.as_os_str()).to_string_lossy();
    target.with_file_name(if n == 1 { format!("{stem}.{word}") } else { format!("{stem}-{n}.{word}") })
}

/// What saving left behind.
struct Written {
    model: PathBuf,
    sha256: String,
    /// The recipe's file where the recipe changed, or why it could not be written: the model is there all the same.
    recipe: Result<Option<PathBuf>, String>,
}

/// Writes model and recipe. `ours` is the recipe that this session wrote last.
fn write(job: &Job, recorder: &mut Recorder, path: Option<PathBuf>, existing: Existing, ours: Option<&Path>) -> Result<Written, String> {
    let path = match path {
        Some(path) => path,
        None => (1..1000)
            .map(|n| beside(&job.case.target, "repaired.onnx", n))
            .find(|p| !p.exists())
            .ok_or("a thousand repaired models are there already")?,
    };
    let saved = recorder.save(job, &path, existing).map_err(|e| e.to_string())?;
    let changed = job.target_feed.recipe != job.original_feed.recipe;
    let recipe = match &job.target_feed.recipe {
        Some(recipe) if changed => write_recipe(recipe, &path, ours).map(Some),
        _ => Ok(None),
    };
    Ok(Written { model: path, sha256: saved.model.sha256, recipe })
}

/// Writes a recipe beside its model, in the place of `ours` or under a name that is free; gives its path.
fn write_recipe(recipe: &Recipe, model: &Path, ours: Option<&Path>) -> Result<PathBuf, String> {
    let text = format!("[preprocess]\n{}", recipe.to_toml());
    for n in 1..1000 {
        let file = model.with_extension(if n == 1 { "recipe.toml".into() } else { format!("{n}.recipe.toml") });
        let existing = if ours == Some(file.as_path()) { Existing::Replace } else { Existing::Refuse };
        match write_whole(&file, existing, |mut to| to.write_all(text.as_bytes())) {
            Err(why) if why.kind() == ErrorKind::AlreadyExists => {}
            written => return written.map(|()| file.clone()).map_err(|e| format!("{}: {e}", file.display())),
        }
    }
    Err("a thousand recipes are there already".into())
}

/// Writes the report of a log as a page and as Markdown, under names that are free; gives the page's path.
fn write_report(log: &Path) -> Result<PathBuf, String> {
    let report = Report::read(log).map_err(|e| e.to_string())?;
    let page = report::html(&report).map_err(|e| e.to_string())?;
    let at = |n: usize, word: &str| log.with_extension(if n == 1 { word.to_string() } else { format!("{n}.{word}") });
    let n = (1..1000).find(|n| !at(*n, "html").exists() && !at(*n, "md").exists()).ok_or("a thousand reports are there already")?;
    for (word, text) in [("html", page), ("md", report::markdown(&report))] {
        let path = at(n, word);
        write_whole(&path, Existing::Refuse, |mut file| file.write_all(text.as_bytes())).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(at(n, "html"))
}
