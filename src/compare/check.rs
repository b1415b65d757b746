//! A check: both models on all images, one image after the other on every thread.

use super::outputs::{Comparison, Judged};
use super::report::{CheckReport, Compared, ImageFinding, ImagesSummary, LeftOut, Mismatches, NonFiniteFinding, Summary};
use super::{CompareError, Side};
use crate::dataset::{Case, Criterion, DatasetError, Feed, ImageSet, Sides};
use crate::model::{Budget, Finding, Model, Severity, infer};
use crate::run::{RunOptions, Runner, Value, Watch, both, spread};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// How a check is done.
#[derive(Debug, Clone)]
pub struct CheckOptions {
    /// Threads, memory, engine of the source; threads count for the whole.
    pub run: RunOptions,
    /// Engine of the target, where it is another one.
    pub target_run: Option<RunOptions>,
    /// Images in [`CheckReport::worst`].
    pub worst: usize,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self { run: RunOptions::default(), target_run: None, worst: 10 }
    }
}

/// Compares both models of a case on its images.
///
/// # Errors
/// When a model cannot be loaded or run, an image set or recipe cannot be used, outputs cannot be compared as they are, or
/// `watch` asked to stop.
pub fn run_check(case: &Case, options: &CheckOptions, watch: &dyn Watch) -> Result<CheckReport, CompareError> {
    let threads = options.run.threads_for(2);
    let (source, target) = both(threads, || open(Side::Source, &case.source), || open(Side::Target, &case.target));
    let (source, target) = (source?, target?);
    let images = ImageSet::open(&case.images, case.labels.as_deref(), case.truth.as_deref())?;
    let (comparison, mut notes) = Comparison::new(&case.compare, &source, &target)?;
    let Sides { source: source_feed, target: target_feed, note } = feeds(case, &source, &target, &images)?;
    notes.extend(note);
    let (first, mut left_out) = first_usable(&images, &source_feed, &target_feed)?;
    let target_options = options.target_run.as_ref().unwrap_or(&options.run);
    let (source_runner, target_runner) = both(
        threads,
        || ready(Side::Source, &source, &source_feed, &first.inputs[0], &options.run),
        || ready(Side::Target, &target, &target_feed, &first.inputs[1], target_options),
    );
    let (source_runner, target_runner) = (source_runner?, target_runner?);
    let one = |index: usize| -> Result<Judged, CompareError> {
        let inputs = if index == first.index { first.inputs.clone() } else { images.inputs(index, &[&source_feed, &target_feed])? };
        let run = |side, runner: &Runner, inputs: &[Value]| runner.run(inputs).map_err(|error| CompareError::Run { side, error });
        let s = run(Side::Source, &source_runner, &inputs[0])?;
        let t = run(Side::Target, &target_runner, &inputs[1])?;
        comparison.judge(&s, &t)
    };
    // The first image shows whether anything fits at all, before all threads find out at once.
    let judged_first = one(first.index)?;
    let [a, b] = &judged_first.shapes;
    let count = |shape: &[usize]| shape.iter().product::<usize>();
    if count(a) != count(b) && comparison.label_offset.is_none() {
        notes.push(comparison.lengths(a, b));
    }
    notes.extend(images.names_remark(count(a)));
    let others: Vec<usize> = (first.index + 1..images.len()).collect();
    let rest = in_parallel(&others, one, options.run.threads_for(images.len()), watch)?;
    let offset = comparison.offset();
    let mut found = Vec::new();
    for (index, result) in std::iter::once((first.index, Ok(judged_first))).chain(rest) {
        let item = &images.items()[index];
        match result {
            Ok(judged) => found.push((ImageFinding::new(&item.name, index, item.truth, &judged, offset, images.classes()), judged)),
            Err(CompareError::Dataset(why @ DatasetError::Image { .. })) => {
                left_out.push(LeftOut { image: item.name.clone(), why: why.to_string() })
            }
            Err(why) => return Err(why),
        }
    }
    for (side, runner) in [(Side::Source, &source_runner), (Side::Target, &target_runner)] {
        notes.extend(runner.note().map(|n| format!("the {side} {n}")));
    }
    notes.extend(remarks(&comparison, &found));
    if !left_out.is_empty() {
        notes.push(format!("{} of {} images were left out", left_out.len(), images.len()));
    }
    let compared = Compared {
        source_output: comparison.source.name.clone(),
        target_output: comparison.target.name.clone(),
        criterion: comparison.criterion,
        label_offset: offset,
        scores: comparison.scores,
        rtol: (comparison.criterion == Criterion::Tolerance).then_some(comparison.rtol),
        atol: (comparison.criterion == Criterion::Tolerance).then_some(comparison.atol),
    };
    let non_finite = [Side::Source, Side::Target].into_iter().filter_map(|side| not_numbers(side, &comparison, &found)).collect();
    let summary = Summary::of(&found, offset);
    let mut worst: Vec<&ImageFinding> = found.iter().map(|(f, _)| f).collect();
    let far = |f: &ImageFinding| f.distance.map_or(0.0, |d| d.relative_l2);
    worst.sort_by(|a, b| far(b).total_cmp(&far(a)).then(a.index.cmp(&b.index)));
    Ok(CheckReport {
        source: case.source.display().to_string(),
        target: case.target.display().to_string(),
        images: ImagesSummary { path: case.images.display().to_string(), count: images.len(), left_out },
        compared,
        mismatches: Mismatches { count: found.iter().filter(|(f, _)| f.mismatch).count(), of: found.len() },
        worst: worst.into_iter().filter(|f| far(f) > 0.0).take(options.worst).cloned().collect(),
        flips: found.into_iter().map(|(f, _)| f).filter(|f| f.mismatch).collect(),
        summary,
        non_finite,
        notes,
    })
}

/// Opens a model and refuses one that contradicts itself.
fn open(side: Side, path: &Path) -> Result<Model, CompareError> {
    let bad = |error| CompareError::Model { side, error };
    let model = Model::open(path).map_err(bad)?;
    refuse(side, crate::model::check(&model))?;
    model.inlined().map_err(bad)
}

fn refuse(side: Side, findings: Vec<Finding>) -> Result<(), CompareError> {
    let findings: Vec<Finding> = findings.into_iter().filter(|f| f.severity == Severity::Error).collect();
    if findings.is_empty() { Ok(()) } else { Err(CompareError::Refused { side, findings }) }
}

/// A model ready to run on inputs like these, all of it.
fn ready(side: Side, model: &Model, feed: &Feed, example: &[Value], options: &RunOptions) -> Result<Runner, CompareError> {
    let shapes: Vec<_> = feed.inputs.iter().zip(example).map(|(d, v)| (v.dtype(), d.given(v.shape()))).collect();
    let budget = Budget { value: usize::try_from(options.max_mem).unwrap_or(usize::MAX), ..Budget::default() };
    refuse(side, infer(model, &shapes, budget).findings)?;
    let runner = Runner::new(model, example, options).map_err(|error| CompareError::Run { side, error })?;
    match runner.unsupported().first() {
        // Other runtimes refuse a model of which any node does not run, and so must a comparison.
        Some((_, error)) => Err(CompareError::Run { side, error: error.clone() }),
        None => Ok(runner),
    }
}

/// The recipes of both sides, with what the models' inputs add to them.
///
/// # Errors
/// A recipe that contradicts itself, or none where images need one.
pub fn feeds(case: &Case, source: &Model, target: &Model, images: &ImageSet) -> Result<Sides, CompareError> {
    if case.source_recipe.is_none() && !images.is_tensors() {
        let why = "images need a recipe: give --preset NAME, or a [source.preprocess] table in a case file";
        return Err(DatasetError::Missing(why.into()).into());
    }
    Ok(Sides::of([source, target], [&case.source_recipe, &case.target_recipe])?)
}

/// The first image that can be used, with its inputs of both sides.
struct First {
    index: usize,
    inputs: Vec<Vec<Value>>,
}

fn first_usable(images: &ImageSet, source: &Feed, target: &Feed) -> Result<(First, Vec<LeftOut>), CompareError> {
    let mut left_out = Vec::new();
    let mut reason = None;
    for (index, item) in images.items().iter().enumerate() {
        match images.inputs(index, &[source, target]) {
            Ok(inputs) => return Ok((First { index, inputs }, left_out)),
            Err(why @ DatasetError::Image { .. }) => {
                left_out.push(LeftOut { image: item.name.clone(), why: why.to_string() });
                reason.get_or_insert(why);
            }
            Err(error @ DatasetError::Input { .. }) => {
                // The source's inputs alone tell whose fault it is.
                let side = if images.inputs(index, &[source]).is_err() { Side::Source } else { Side::Target };
                return Err(CompareError::Input { side, error });
            }
            Err(other) => return Err(other.into()),
        }
    }
    let first = reason.unwrap_or(DatasetError::Missing("there is no image".into()));
    Err(CompareError::NoImages { count: images.len(), first })
}

/// What was found of each image, in order.
type Results = Vec<(usize, Result<Judged, CompareError>)>;

/// Judges images. After an error that no other image escapes the rest is not begun.
fn in_parallel(
    images: &[usize],
    one: impl Fn(usize) -> Result<Judged, CompareError> + Sync,
    threads: usize,
    watch: &dyn Watch,
) -> Result<Results, CompareError> {
    let failed = AtomicBool::new(false);
    let unless_failed = |index: usize| {
        if failed.load(Ordering::Relaxed) {
            return None;
        }
        let result = one(index);
        if result.as_ref().is_err_and(|e| !matches!(e, CompareError::Dataset(DatasetError::Image { .. }))) {
            failed.store(true, Ordering::Relaxed);
        }
        Some(result)
    };
    let results = spread(images, threads, "images", watch, unless_failed);
    if watch.cancelled() { Err(CompareError::Stopped) } else { Ok(results) }
}

/// What looks odd about the outputs, with the flag that sets it right.
fn remarks(comparison: &Comparison, found: &[(ImageFinding, Judged)]) -> Vec<String> {
    let mut notes = Vec::new();
    let all = |f: fn(&Judged) -> bool| !found.is_empty() && found.iter().all(|(_, j)| f(j));
    if comparison.criterion == Criterion::Label && comparison.scores == crate::dataset::Scores::AsIs {
        let forms = (all(|j| j.source.probabilities), all(|j| j.target.probabilities));
        let (a, b) = match forms {
            (true, false) => ("source", "target"),
            (false, true) => ("target", "source"),
            _ => ("", ""),
        };
        if !a.is_empty() {
            notes.push(format!("the {a} gives probabilities, the {b} does not: labels can be compared, distances cannot; --scores probabilities puts a softmax behind the {b}"));
        }
    }
    if comparison.criterion == Criterion::Label && found.len() >= 5 {
        let offset = comparison.offset();
        for shift in [1, -1] {
            let shifted = found.iter().filter(|(f, _)| f.target.label as i64 - f.source.label as i64 == offset + shift).count();
            if shifted * 10 >= found.len() * 8 {
                let word = if shift > 0 { "plus one" } else { "less one" };
                notes.push(format!(
                    "in {shifted} of {} images the target's label is the source's {word}: if its classes are numbered that way, say --label-offset {}",
                    found.len(),
                    offset + shift
                ));
            }
        }
    }
    let ties = found.iter().filter(|(f, _)| f.mismatch && f.near_tie).count();
    if ties > 0 {
        let are = if ties == 1 { "is a near-tie" } else { "are near-ties" };
        notes.push(format!("{ties} of the flips {are}: the source itself sees both labels as nearly equal"));
    }
    notes
}

fn not_numbers(side: Side, comparison: &Comparison, found: &[(ImageFinding, Judged)]) -> Option<NonFiniteFinding> {
    let (output, of): (_, fn(&Judged) -> _) = match side {
        Side::Source => (&comparison.source, |j| j.source.non_finite),
        Side::Target => (&comparison.target, |j| j.target.non_finite),
    };
    let mut all = found.iter().filter_map(|(f, j)| of(j).map(|n| (f, n)));
    let (first, (element, what)) = all.next()?;
    Some(NonFiniteFinding { side, output: output.name.clone(), what, image: first.image.clone(), element, images: 1 + all.count() })
}
