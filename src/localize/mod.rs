//! Finding the fault: is it the input, which region introduces the error, and what kind of fault it is.

mod blame;
mod catalogue;
mod declared;
mod golden;
pub mod inject;
mod input;
mod outputs;
mod quantised;
mod raise;
mod ranking;
pub mod remedy;
mod splice;
mod suspects;
mod trial;
mod verify;

pub use catalogue::{Category, Kind};
pub use declared::Reach;
pub use golden::{GoldenFindings, GoldenValue, THRESHOLD, golden};
pub use raise::Raise;
pub use ranking::{Ranking, Significance};
pub use remedy::{Found, Remedy, attribute_kind, replaced_constant};

use crate::align::{Alignment, Feed as Given, Hints, Pair, Precision, Reference, Region, Verdict, align};
use crate::compare::label;
use crate::dataset::{DatasetError, Feed, ImageSet};
use crate::model::{NodeId, ValueId};
use crate::run::{Network, RunError, Value, Watch};

/// A place that is to blame, with its diagnosis.
#[derive(Debug, Clone)]
pub struct Suspect {
    /// Index into [`Findings::regions`]; `None` for the recipe or the declared input.
    pub region: Option<usize>,
    /// What is wrong; the category's likeliest kind when no edit was found that mends it.
    pub kind: Option<Kind>,
    /// Its category, which can be known without the kind.
    pub category: Category,
    /// Nodes of the target at fault.
    pub target_nodes: Vec<NodeId>,
    /// Initializers, constants or values of the target at fault.
    pub target_tensors: Vec<ValueId>,
    /// What stands for them in the source.
    pub source_nodes: Vec<NodeId>,
    /// The difference in words, with its figures.
    pub words: String,
    /// Lines of evidence.
    pub evidence: Vec<String>,
    /// Kinds that describe the same difference equally well.
    pub equivalents: Vec<Kind>,
    /// From 0 to 1.
    pub confidence: f32,
    /// Isolated error.
    pub error: f32,
    /// Flipped probe images whose label is right once the source's value is put in behind this region, of how many.
    pub splice: Option<(usize, usize)>,
    /// Edits that bring it to the floor, the smallest first.
    pub remedies: Vec<Found>,
}

/// What can be said of a pair of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// No suspect.
    Clean,
    /// At least one suspect.
    Faulty,
    /// The target does not load or run.
    Unloadable,
}

impl Outcome {
    /// The word that JSON uses.
    pub fn word(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Faulty => "faulty",
            Self::Unloadable => "unloadable",
        }
    }
}

/// All that localisation found.
#[derive(Debug, Clone)]
pub struct Findings {
    /// The whole in one word.
    pub outcome: Outcome,
    /// Pairs of values, in the target's order.
    pub pairs: Vec<Pair>,
    /// Regions, in the target's order.
    pub regions: Vec<Region>,
    /// Suspects, the worst first.
    pub suspects: Vec<Suspect>,
    /// Isolated error that rounding alone makes for this pair of models: the 90th percentile over all regions at the floor.
    pub floor: f32,
    /// Isolated error above which a region is a suspect.
    pub threshold: f32,
    /// Things the user should know that are no suspects: precision, unchecked operators, ties.
    pub notes: Vec<String>,
    /// What the paper's test says of the regions, where suspects are ranked by it.
    pub significance: Option<Significance>,
    /// Regions that could compute more exactly, the greatest loss first; only where that was asked for.
    pub raises: Vec<Raise>,
}

/// A pair of models with the images, ready to be looked into.
pub struct Subject<'a> {
    /// The source.
    pub source: &'a Network,
    /// The target.
    pub target: &'a Network,
    /// The images.
    pub images: &'a ImageSet,
    /// What the source takes.
    pub source_feed: &'a Feed,
    /// What the target takes, as the case says.
    pub target_feed: &'a Feed,
    /// Images whose labels differ.
    pub flipped: Vec<usize>,
    /// Images whose labels agree.
    pub agreeing: Vec<usize>,
    /// Whether there are labels of the target: one that does not run has none, and all images count as flipped.
    pub compared: bool,
    /// Why the target cannot be loaded or run at all, when that is known.
    pub unloadable: Option<String>,
    /// Nodes of the target that a checker refuses, with the reason.
    pub refused: Vec<(NodeId, String)>,
    /// Slots of the compared outputs: the source's and the target's.
    pub outputs: (usize, usize),
    /// Threads for work on several images.
    pub threads: usize,
}

/// How to look.
#[derive(Debug, Clone)]
pub struct LocalizeOptions {
    /// How many images to look at: one is aligned on, the others then show what is silent on it.
    pub images: usize,
    /// How many flipped images to splice.
    pub splice: usize,
    /// Pairs that the user pinned or forbade.
    pub hints: Hints,
    /// Whether to look for edits that mend the suspects.
    pub diagnose: bool,
    /// How suspects are ordered.
    pub ranking: Ranking,
    /// Whether to look for edits that raise the precision of single regions.
    pub raise: bool,
}

impl Default for LocalizeOptions {
    fn default() -> Self {
        Self { images: 8, splice: 8, hints: Hints::default(), diagnose: true, ranking: Ranking::default(), raise: false }
    }
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum LocalizeError {
    /// No image can be read, or a recipe does not fit the source.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The source does not run.
    #[error("the source does not run: {0}")]
    Source(RunError),
    /// Somebody asked to stop.
    #[error("stopped")]
    Stopped,
}

impl<'a> Subject<'a> {
    /// The same with other feeds.
    fn fed_by(&self, source: &'a Feed, target: &'a Feed) -> Self {
        Self {
            source_feed: source,
            target_feed: target,
            flipped: self.flipped.clone(),
            agreeing: self.agreeing.clone(),
            unloadable: self.unloadable.clone(),
            refused: self.refused.clone(),
            ..*self
        }
    }

    /// Images to align on: flipped ones first, since a fault can be silent on others; one that agrees as a control.
    fn probes(&self, count: usize) -> Vec<usize> {
        let flipped = count.saturating_sub(usize::from(count > 2)).max(1);
        let mut out: Vec<usize> = self.flipped.iter().copied().take(flipped).collect();
        out.extend(self.agreeing.iter().copied().take(count - out.len().min(count)));
        out.extend(self.flipped.iter().copied().skip(flipped).take(count.saturating_sub(out.len())));
        out
    }
}

/// Finds what is at fault, and what would mend it.
///
/// # Errors
/// When no image can be read or the source does not run; a target that does not run is a finding.
pub fn localize(subject: &Subject<'_>, options: &LocalizeOptions, watch: &dyn Watch) -> Result<Findings, LocalizeError> {
    if let Some(redeclared) = declared::redeclare(subject)
        && let Some(findings) = redeclared.look(subject, options, watch)?
    {
        return Ok(findings);
    }
    let findings = as_declared(subject, options, watch)?;
    // A batch that is built into the graph shows in single images as shapes that do not fit.
    if findings.outcome == Outcome::Unloadable
        && subject.unloadable.is_none()
        && let Some((source, target)) = batches(subject)
    {
        return as_declared(&subject.fed_by(&source, &target), options, watch);
    }
    Ok(findings)
}

/// The most copies of an image that are looked at together.
const COPIES: usize = 16;

/// Feeds that give both sides as many copies of an image as the target's batch is fixed to, where the source takes these too.
fn batches(subject: &Subject<'_>) -> Option<(Feed, Feed)> {
    let batch = subject.target_feed.batch().filter(|n| (2..=COPIES).contains(n))?;
    let open =
        |feed: &Feed| feed.inputs.iter().all(|i| i.dims.as_ref().is_none_or(|d| d.first().is_none_or(|n| n.is_none_or(|n| n == batch))));
    open(subject.source_feed).then(|| (subject.source_feed.times(batch), subject.target_feed.times(batch)))
}

/// What is at fault in the target as it stands.
fn as_declared(subject: &Subject<'_>, options: &LocalizeOptions, watch: &dyn Watch) -> Result<Findings, LocalizeError> {
    let probes = subject.probes(options.images.max(1));
    let (mut first, mut further) = (Vec::new(), Vec::new());
    for image in probes {
        if !first.is_empty() {
            further.push(image);
            continue;
        }
        match subject.images.inputs(image, &[subject.source_feed]) {
            Ok(mut sides) => first.push((image, sides.remove(0))),
            Err(DatasetError::Image { .. }) => {}
            Err(other) => return Err(other.into()),
        }
    }
    loop {
        match look(subject, options, &first, &further, watch)? {
            Look::Done(findings) => return Ok(*findings),
            // A fault was silent so far: the image that shows it becomes the first to align on, and no further ones are asked.
            Look::Again(telling) => {
                first.insert(0, (telling, subject.images.inputs(telling, &[subject.source_feed])?.remove(0)));
                first.truncate(ALIGNED_AT_MOST);
                further.clear();
            }
        }
    }
}

/// Images that are aligned on; their values are all kept. One finds the pairs; a second joins it where it shows what the first one hides.
const ALIGNED_AT_MOST: usize = 2;

/// What looking at some images gives.
enum Look {
    /// All there is to say.
    Done(Box<Findings>),
    /// A fault that is silent on these images shows on this one.
    Again(usize),
}

/// Pairs for what is read in other steps than it was made in, as they are where both agree: such a value is off by a factor, and with it much that
/// lies below, which would find other partners.
fn with_steps_agreed(subject: &Subject<'_>, reference: &Reference<'_>, given: &[Given], precision: Precision, said: &Hints) -> Hints {
    let mut hints = said.clone();
    let found = (precision == Precision::Quantized).then(|| remedy::agreed(subject.target)).flatten();
    let Some((edit, values)) = found else { return hints };
    let agreed = subject.target.model().apply(&edit).ok().and_then(|(model, _)| subject.target.tried(&model).ok());
    let Some(aligned) = agreed.as_ref().and_then(|agreed| align(agreed, reference, given, precision.tau(), said).ok()) else {
        return hints;
    };
    for v in values {
        let name = subject.target.model().index().name(v);
        let pair = aligned.target().model().index().value(name).and_then(|v| aligned.pair_of(v));
        if let Some(pair) = pair {
            let theirs = subject.source.model().index().name(pair.source).to_string();
            hints.pins.entry(name.to_string()).or_insert(theirs);
        }
    }
    hints
}

/// Aligns on `first` (an image and what it gives the source), and holds the outcome against `further` images.
fn look(
    subject: &Subject<'_>,
    options: &LocalizeOptions,
    first: &[(usize, Vec<Value>)],
    further: &[usize],
    watch: &dyn Watch,
) -> Result<Look, LocalizeError> {
    let (first, images): (Vec<usize>, Vec<Vec<Value>>) = first.iter().cloned().unzip();
    if images.is_empty() {
        return Err(DatasetError::Missing("no image can be read".into()).into());
    }
    phase(watch, "running the source");
    let reference = Reference::new(subject.source, &images).map_err(LocalizeError::Source)?;
    let stop = || if watch.cancelled() { Err(LocalizeError::Stopped) } else { Ok(()) };
    stop()?;
    let precision = Precision::between(subject.source, subject.target);
    phase(watch, "looking at the input");
    let chosen = input::choose(subject, &reference, &first, precision, &options.hints);
    stop()?;
    phase(watch, "aligning");
    let hints = with_steps_agreed(subject, &reference, &chosen.given, precision, &options.hints);
    let aligned = align(subject.target, &reference, &chosen.given, precision.tau(), &hints).map_err(LocalizeError::Source)?;
    stop()?;
    let (floor, threshold) = floor(&aligned, precision);
    // What a low precision loses differs from image to image.
    if precision == Precision::Float
        && aligned.failures().is_empty()
        && let Some(telling) = verify::telling(subject, &aligned, &chosen, further, watch)
    {
        return Ok(Look::Again(telling));
    }
    let mut regions = aligned.regions.clone();
    for region in &mut regions {
        let limit = aligned.exact(region).unwrap_or(threshold);
        if region.verdict == Verdict::Clean && region.isolated.is_some_and(|e| e > limit) {
            region.verdict = Verdict::Faulty;
        }
    }
    let mut notes = chosen.notes.clone();
    let mut ranges = quantised::Ranges::default();
    if precision == Precision::Quantized {
        ranges = quantised::explain(subject, &aligned, &mut regions, (floor, threshold), &mut notes, watch);
    }
    if precision != Precision::Float {
        notes.push(precision_note(&aligned, precision, floor));
    }
    let mut suspects = chosen.suspects.clone();
    phase(watch, "diagnosing");
    let terms = suspects::Terms { threshold, precision, ranges: &ranges, diagnose: options.diagnose };
    suspects.extend(suspects::find(subject, &aligned, &regions, &terms, watch));
    stop()?;
    phase(watch, "weighing suspects");
    if options.splice > 0 && !suspects.is_empty() {
        splice::weigh(subject, &aligned, &chosen, &mut suspects, options.splice, watch);
    }
    tracing::debug!("localised");
    suspects::rank(&mut suspects, &regions);
    let significance = match options.ranking {
        Ranking::Splice => None,
        Ranking::KruskalWallis => match ranking::test(subject, &aligned, watch)? {
            Ok(found) => {
                ranking::order(&mut suspects, &found);
                Some(found)
            }
            Err(why) => {
                notes.push(format!("no ranking by Kruskal-Wallis: {why}; suspects are ranked by the splice test"));
                None
            }
        },
    };
    let failing = !aligned.failures().is_empty() || !subject.refused.is_empty() || subject.unloadable.is_some();
    if suspects.is_empty() && !failing && precision == Precision::Float {
        suspects.extend(outputs::incomparable(subject, &aligned));
    }
    let outcome = match (failing, suspects.is_empty()) {
        (true, _) => Outcome::Unloadable,
        (false, true) => Outcome::Clean,
        (false, false) => Outcome::Faulty,
    };
    let raises = if options.raise { raise::raises(&aligned, &regions, watch) } else { Vec::new() };
    stop()?;
    let findings = Findings { outcome, pairs: aligned.pairs.clone(), regions, suspects, floor, threshold, notes, significance, raises };
    Ok(Look::Done(Box::new(findings)))
}

/// Says what begins, to who watches and to the debug log, whose times tell where a run's time goes.
fn phase(watch: &dyn Watch, what: &'static str) {
    tracing::debug!("{what}");
    watch.progress(what, 0, 1);
}

/// What rounding alone makes, and where suspicion begins. Measured on the pair: most regions of any pair are clean.
fn floor(a: &Alignment<'_>, precision: Precision) -> (f32, f32) {
    let mut errors: Vec<f32> =
        a.pairs.iter().filter(|p| p.kind == crate::align::PairKind::Equal && p.error.is_finite()).map(|p| p.error).collect();
    errors.sort_by(f32::total_cmp);
    let floor = errors.get(errors.len() * 9 / 10).copied().unwrap_or(0.0);
    let threshold = match precision {
        Precision::Float => (floor * 20.0).clamp(3e-5, 1e-4),
        Precision::Half => (floor * 8.0).clamp(6e-3, 1e-2),
        Precision::Quantized => (floor * 4.0).max(0.08),
    };
    (floor, threshold)
}

/// Loss that every layer shares is precision, not a fault: which layers lose most.
fn precision_note(a: &Alignment<'_>, precision: Precision, floor: f32) -> String {
    let mut worst: Vec<&Region> = a.regions.iter().filter(|r| r.isolated.is_some_and(f32::is_finite)).collect();
    worst.sort_by(|x, y| y.isolated.unwrap_or(0.0).total_cmp(&x.isolated.unwrap_or(0.0)));
    let name = |r: &Region| r.target.first().map(|id| a.target().label(*id).to_string()).unwrap_or_default();
    let list: Vec<String> = worst.iter().take(5).map(|r| format!("'{}' {:.2} %", name(r), r.isolated.unwrap_or(0.0) * 100.0)).collect();
    let what = if precision == Precision::Half { "half precision" } else { "quantisation" };
    format!("the target computes in {what}: nine of ten layers lose up to {:.2} % each; most lose {}", floor * 100.0, list.join(", "))
}

/// The label of an output row: index of its largest element.
pub(crate) fn label_of(outputs: &[Value], slot: usize) -> Option<usize> {
    outputs.get(slot).and_then(|v| label(&v.to_f32()))
}

/// What the target is fed, image by image, with its partner in the source.
pub(crate) fn feeds(values: Vec<Vec<Value>>, partners: Vec<Option<(ValueId, crate::align::Layout)>>) -> Vec<Given> {
    partners
        .into_iter()
        .enumerate()
        .map(|(slot, partner)| Given { values: values.iter().filter_map(|image| image.get(slot).cloned()).collect(), partner })
        .collect()
}
