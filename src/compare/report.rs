//! What a check found: one value, from which JSON, text and JUnit are made.

use super::outputs::{Judged, Opinion};
use super::{Distance, NonFinite, Side};
use crate::dataset::{Criterion, Scores};
use schemars::JsonSchema;
use serde::Serialize;

/// The outcome of a check.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct CheckReport {
    /// The source model's file.
    pub source: String,
    /// The target model's file.
    pub target: String,
    /// The images that were compared and those that could not be.
    pub images: ImagesSummary,
    /// What was compared, and how.
    pub compared: Compared,
    /// Images that differ, of how many.
    pub mismatches: Mismatches,
    /// The images that differ, in their order.
    pub flips: Vec<ImageFinding>,
    /// The images whose scores lie farthest apart, flipped or not, the worst first.
    pub worst: Vec<ImageFinding>,
    /// Figures over all images.
    pub summary: Summary,
    /// Outputs that are no numbers; the first image of each.
    pub non_finite: Vec<NonFiniteFinding>,
    /// What the user should know.
    pub notes: Vec<String>,
}

impl CheckReport {
    /// Whether nothing differs: no image, and no NaN of the target's own. A NaN counts as the smallest score, so that a label can agree by chance.
    pub fn agrees(&self) -> bool {
        self.mismatches.count == 0 && self.own_nan().is_none()
    }

    /// NaN in the target's output, where the source has none.
    pub fn own_nan(&self) -> Option<&NonFiniteFinding> {
        let of = |side: Side| self.non_finite.iter().find(|n| n.side == side && n.what == NonFinite::Nan);
        of(Side::Target).filter(|_| of(Side::Source).is_none())
    }
}

/// The images of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ImagesSummary {
    /// Where they are.
    pub path: String,
    /// How many there are.
    pub count: usize,
    /// Those that could not be used, with the reason.
    pub left_out: Vec<LeftOut>,
}

/// An image that could not be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LeftOut {
    /// The image.
    pub image: String,
    /// Why.
    pub why: String,
}

/// What was compared, and how.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Compared {
    /// The source's output.
    pub source_output: String,
    /// The target's output.
    pub target_output: String,
    /// What makes an image a mismatch.
    pub criterion: Criterion,
    /// The target's class less the source's.
    pub label_offset: i64,
    /// Form of the scores that were measured.
    pub scores: Scores,
    /// Relative tolerance, under the criterion `tolerance`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtol: Option<f64>,
    /// Absolute tolerance, under the criterion `tolerance`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub atol: Option<f64>,
}

/// How many images differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Mismatches {
    /// Images that differ.
    pub count: usize,
    /// Images compared.
    pub of: usize,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ImageFinding {
    /// The image.
    pub image: String,
    /// Its place in the set, from 0.
    pub index: usize,
    /// Whether it counts as a mismatch.
    pub mismatch: bool,
    /// What the source says.
    pub source: Opinion,
    /// What the target says.
    pub target: Opinion,
    /// Name of the source's label, where class names are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_class: Option<String>,
    /// Name of the target's label, where class names are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_class: Option<String>,
    /// What it is known to show, by number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truth: Option<usize>,
    /// Whether the source itself sees both labels as nearly equal.
    pub near_tie: bool,
    /// Distance of the scores; absent where the outputs are of different lengths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance: Option<Distance>,
}

impl ImageFinding {
    pub(super) fn new(image: &str, index: usize, truth: Option<usize>, judged: &Judged, offset: i64, classes: Option<&[String]>) -> Self {
        let name = |label: i64| classes.and_then(|c| c.get(usize::try_from(label).ok()?).cloned());
        let number = |label: usize| i64::try_from(label).unwrap_or(i64::MAX);
        Self {
            image: image.into(),
            index,
            mismatch: judged.mismatch,
            source_class: name(number(judged.source.label)),
            target_class: name(number(judged.target.label) - offset),
            truth,
            near_tie: judged.near_tie,
            distance: judged.distance,
            source: judged.source.clone(),
            target: judged.target.clone(),
        }
    }
}

/// A count out of a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Share {
    /// How many.
    pub count: usize,
    /// Of how many.
    pub of: usize,
}

/// How often both sides are right, of the images whose class is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Accuracy {
    /// The source.
    pub source: Share,
    /// The target.
    pub target: Share,
}

/// Figures over all images.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Summary {
    /// Distances of the scores; absent where the outputs are of different lengths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance: Option<Distances>,
    /// Flips where the source itself sees both labels as nearly equal.
    pub near_ties: usize,
    /// How often both sides are right, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<Accuracy>,
}

/// Distances of the scores over all images.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Distances {
    /// Largest absolute difference of any element.
    pub max_abs: f64,
    /// Relative L2 distance, the mean.
    pub relative_l2_mean: f64,
    /// Relative L2 distance, the worst image.
    pub relative_l2_max: f64,
    /// Cosine, the worst image.
    pub cosine_min: f64,
    /// Signal to noise in decibels, the worst image; absent where there is no difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sqnr_db_min: Option<f64>,
    /// Share of the source's best five that are among the target's, the mean.
    pub top5_overlap_mean: f64,
    /// Kendall's tau of the scores, the mean; absent where one side has only ties.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kendall_tau_mean: Option<f64>,
}

impl Distances {
    fn of(images: &[(ImageFinding, Judged)]) -> Option<Self> {
        let all: Vec<Distance> = images.iter().filter_map(|(_, j)| j.distance).collect();
        if all.is_empty() {
            return None;
        }
        let mean = |values: &[f64]| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
        let relative: Vec<f64> = all.iter().map(|d| d.relative_l2).collect();
        let overlaps: Vec<f64> = images.iter().filter_map(|(_, j)| j.overlap).collect();
        let taus: Vec<f64> = images.iter().filter_map(|(_, j)| j.tau).collect();
        Some(Self {
            max_abs: all.iter().map(|d| d.max_abs).fold(0.0, f64::max),
            relative_l2_mean: mean(&relative)?,
            relative_l2_max: relative.iter().copied().fold(0.0, f64::max),
            cosine_min: all.iter().map(|d| d.cosine).fold(1.0, f64::min),
            sqnr_db_min: all.iter().filter_map(|d| d.sqnr_db).reduce(f64::min),
            top5_overlap_mean: mean(&overlaps)?,
            kendall_tau_mean: mean(&taus),
        })
    }
}

impl Summary {
    pub(super) fn of(images: &[(ImageFinding, Judged)], offset: i64) -> Self {
        let known: Vec<_> = images.iter().filter_map(|(f, _)| Some((f, i64::try_from(f.truth?).ok()?))).collect();
        let right = |label: &dyn Fn(&ImageFinding) -> i64| Share {
            count: known.iter().filter(|(f, truth)| label(f) == *truth).count(),
            of: known.len(),
        };
        let accuracy = Accuracy { source: right(&|f| f.source.label as i64), target: right(&|f| f.target.label as i64 - offset) };
        Self {
            distance: Distances::of(images),
            near_ties: images.iter().filter(|(_, j)| j.mismatch && j.near_tie).count(),
            accuracy: (!known.is_empty()).then_some(accuracy),
        }
    }
}

/// An output that is no number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NonFiniteFinding {
    /// Whose output.
    pub side: Side,
    /// Which output.
    pub output: String,
    /// NaN or infinity.
    pub what: NonFinite,
    /// The first image.
    pub image: String,
    /// The first such element of the output.
    pub element: usize,
    /// In how many images.
    pub images: usize,
}
