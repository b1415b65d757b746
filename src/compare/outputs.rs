//! Which outputs are compared, in which numbering of classes, and what both models say of one image.

use super::measures::{Distance, NonFinite, is_probabilities, non_finite, softmax, within};
use super::{CompareError, Side, ranking};
use crate::dataset::{CompareKeys, Criterion, Scores};
use crate::model::Model;
use crate::run::Value;
use schemars::JsonSchema;
use serde::Serialize;

/// Length of the top lists.
const TOP: usize = 5;
/// Lead of one class over another below which they are a near-tie, of the spread of all scores.
const NEAR_TIE: f32 = 0.01;

/// Offsets beyond this are refused, so that sums of labels and offsets are always small.
const MOST_CLASSES: u64 = 1 << 40;

/// An output of one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Its place among the model's outputs.
    pub slot: usize,
    /// Its name.
    pub name: String,
}

/// How outputs are compared; fixed before the first image.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The source's output.
    pub source: Chosen,
    /// The target's output.
    pub target: Chosen,
    /// What makes an image a mismatch.
    pub criterion: Criterion,
    /// The target's class less the source's; `None` when nobody said one, which means 0.
    pub label_offset: Option<i64>,
    /// Relative tolerance.
    pub rtol: f64,
    /// Absolute tolerance.
    pub atol: f64,
    /// Form of the scores that are measured.
    pub scores: Scores,
}

/// A class with its score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Ranked {
    /// The class, in its own model's numbering.
    pub class: usize,
    /// Its score; null when it is not finite.
    pub score: f32,
}

/// What one model says of an image.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Opinion {
    /// Index of the largest score.
    pub label: usize,
    /// The best classes, best first.
    pub top: Vec<Ranked>,
    /// By how much the best leads the second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub margin: Option<f32>,
    /// What of the output is no number: its place in the output, and what it is.
    #[serde(skip)]
    pub non_finite: Option<(usize, NonFinite)>,
    /// Whether the scores can be probabilities.
    #[serde(skip)]
    pub probabilities: bool,
}

/// What both models say of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The source's opinion.
    pub source: Opinion,
    /// The target's opinion.
    pub target: Opinion,
    /// Whether they count as different.
    pub mismatch: bool,
    /// Whether the source itself sees both labels as nearly equal.
    pub near_tie: bool,
    /// Shapes of the source's and of the target's output.
    pub shapes: [Vec<usize>; 2],
    /// Distance of the scores, of the classes that both have; `None` where the outputs are of different lengths and no
    /// `label_offset` says how they stand to each other.
    pub distance: Option<Distance>,
    /// Share of the source's best five that are among the target's; `None` as for the distance.
    pub overlap: Option<f64>,
    /// Kendall's tau of the scores; `None` as for the distance, or where one side has only ties.
    pub tau: Option<f64>,
}

impl Comparison {
    /// Chooses outputs as a case says; by default the first of each model. Also gives notes for the user.
    ///
    /// # Errors
    /// [`CompareError::Outputs`] for an output that does not exist, or an offset beyond all classes.
    pub fn new(keys: &CompareKeys, source: &Model, target: &Model) -> Result<(Self, Vec<String>), CompareError> {
        if let Some(offset) = keys.label_offset.filter(|o| o.unsigned_abs() > MOST_CLASSES) {
            return Err(CompareError::Outputs(format!("label_offset = {offset} is farther than any network has classes")));
        }
        let mut notes = Vec::new();
        let mut choose = |side: Side, model: &Model, own: &Option<String>| -> Result<Chosen, CompareError> {
            let names: Vec<&str> = model.outputs().map(|o| o.name()).collect();
            let list = || names.iter().map(|n| format!("'{n}'")).collect::<Vec<_>>().join(", ");
            let find = |wanted: &str| names.iter().position(|n| *n == wanted).or_else(|| wanted.parse().ok().filter(|i| *i < names.len()));
            let slot = match (own, &keys.output) {
                (Some(wanted), _) => find(wanted)
                    .ok_or_else(|| CompareError::Outputs(format!("{side}: there is no output '{wanted}'; there are {}", list())))?,
                (None, Some(wanted)) => match find(wanted) {
                    Some(slot) => slot,
                    // A name that only the other side knows: with one output there is no doubt.
                    None if names.len() == 1 => 0,
                    None => {
                        return Err(CompareError::Outputs(format!(
                            "{side}: there is no output '{wanted}'; there are {} (--{side}-output NAME says it for one side)",
                            list()
                        )));
                    }
                },
                (None, None) => {
                    if names.len() > 1 {
                        notes.push(format!(
                            "the {side} has {} outputs ({}); the first is compared, --compare-output NAME says another",
                            names.len(),
                            list()
                        ));
                    }
                    0
                }
            };
            let name = names.get(slot).ok_or_else(|| CompareError::Outputs(format!("{side}: the model has no output")))?;
            Ok(Chosen { slot, name: (*name).to_string() })
        };
        let comparison = Self {
            source: choose(Side::Source, source, &keys.source_output)?,
            target: choose(Side::Target, target, &keys.target_output)?,
            criterion: keys.criterion.unwrap_or_default(),
            label_offset: keys.label_offset,
            rtol: keys.rtol.unwrap_or(1e-3),
            atol: keys.atol.unwrap_or(1e-5),
            scores: keys.scores.unwrap_or_default(),
        };
        if let Some(wanted) = &keys.output
            && keys.source_output.is_none()
            && keys.target_output.is_none()
            && comparison.source.name != *wanted
            && comparison.target.name != *wanted
            && wanted.parse::<usize>().is_err()
        {
            return Err(CompareError::Outputs(format!(
                "neither model has an output '{wanted}'; the source has '{}', the target '{}'",
                comparison.source.name, comparison.target.name
            )));
        }
        Ok((comparison, notes))
    }

    /// The target's class less the source's.
    pub fn offset(&self) -> i64 {
        self.label_offset.unwrap_or(0)
    }

    /// Whether an element of the target's output is out of tolerance, as the criterion has it that compares element by element.
    pub fn is_out_of_tolerance(&self, source: &[f32], target: &[f32]) -> bool {
        !within(source, target, self.rtol, self.atol)
    }

    /// Compares the outputs of one image.
    ///
    /// # Errors
    /// [`CompareError::Outputs`] when they are no class scores, or when their lengths differ by one and nobody said where the
    /// background class is, naming the flag that helps.
    pub fn judge(&self, source: &[Value], target: &[Value]) -> Result<Judged, CompareError> {
        let one = self.row(Side::Source, source, &self.source)?;
        let other = self.row(Side::Target, target, &self.target)?;
        let (s, t) = (&*one.to_f32(), &*other.to_f32());
        let offset = self.offset();
        if self.label_offset.is_none() && self.criterion == Criterion::Label && s.len().abs_diff(t.len()) == 1 {
            return Err(CompareError::Outputs(self.lengths(one.shape(), other.shape())));
        }
        let (source, target) = (opinion(s), opinion(t));
        let as_source = i64::try_from(target.label).unwrap_or(i64::MAX) - offset;
        let same_label = as_source == i64::try_from(source.label).unwrap_or(i64::MAX);
        let mismatch = match self.criterion {
            Criterion::Label => !same_label,
            Criterion::Tolerance => self.is_out_of_tolerance(s, t),
        };
        let near_tie =
            !same_label && usize::try_from(as_source).ok().and_then(|c| s.get(c)).is_some_and(|other| near_tie(s, s[source.label] - other));
        let mut out = Judged {
            mismatch,
            near_tie,
            shapes: [one.shape().to_vec(), other.shape().to_vec()],
            distance: None,
            overlap: None,
            tau: None,
            source,
            target,
        };
        if s.len() == t.len() || self.label_offset.is_some() {
            let (mine, yours) = common(s, t, offset);
            if mine.is_empty() && !s.is_empty() {
                return Err(CompareError::Outputs(format!(
                    "with --label-offset {offset} the {} classes of the source and {} of the target have none in common",
                    s.len(),
                    t.len()
                )));
            }
            let form = |row: &[f32], done: bool| if done { row.to_vec() } else { softmax(row) };
            out.distance = Some(match self.scores {
                Scores::AsIs => Distance::between(mine, yours),
                Scores::Probabilities => Distance::between(&form(mine, out.source.probabilities), &form(yours, out.target.probabilities)),
            });
            out.overlap = Some(ranking::overlap(&ranking::top(mine, TOP), &ranking::top(yours, TOP)));
            out.tau = ranking::kendall_tau(mine, yours);
        }
        Ok(out)
    }

    fn row<'a>(&self, side: Side, outputs: &'a [Value], chosen: &Chosen) -> Result<&'a Value, CompareError> {
        let value =
            outputs.get(chosen.slot).ok_or_else(|| CompareError::Outputs(format!("{side}: output '{}' was not made", chosen.name)))?;
        if self.criterion == Criterion::Label && !is_classes(value.shape()) {
            return Err(CompareError::Outputs(format!(
                "{side}: output '{}' of shape {:?} does not look like one score a class; --compare-output NAME says another one, --criterion tolerance compares element by element",
                chosen.name,
                value.shape()
            )));
        }
        Ok(value)
    }

    /// What to say of outputs of different lengths, with the flag that sets it right.
    pub(super) fn lengths(&self, source: &[usize], target: &[usize]) -> String {
        let (one, other) = (&self.source.name, &self.target.name);
        let both = format!("output '{one}' of the source has shape {source:?} for an image, '{other}' of the target {target:?}");
        let (source, target): (usize, usize) = (source.iter().product(), target.iter().product());
        let hint = match (self.criterion, target as i64 - source as i64) {
            (Criterion::Tolerance, _) => "; --compare-output NAME says other outputs",
            (_, 1) => ": if the target has a background class in front, say --label-offset 1, if it is the last one, --label-offset 0",
            (_, -1) => ": if the source has a background class in front, say --label-offset -1, if it is the last one, --label-offset 0",
            _ => {
                ": they hardly stand for the same classes, and the index of the largest is compared as it is; --compare-output NAME says other outputs, --label-offset N how the classes are numbered"
            }
        };
        both + hint
    }
}

/// Whether an output holds one score a class: beyond the batch only one axis is longer than one.
fn is_classes(shape: &[usize]) -> bool {
    let long = |axes: &[usize]| axes.iter().filter(|d| **d > 1).count();
    match shape {
        [] => false,
        [classes] => *classes > 1,
        [_, rest @ ..] => long(rest) == 1,
    }
}

/// The parts of both rows that speak of the same classes.
fn common<'a>(source: &'a [f32], target: &'a [f32], offset: i64) -> (&'a [f32], &'a [f32]) {
    let skip = |n: i64| usize::try_from(n).unwrap_or(0);
    let s = source.get(skip(offset.saturating_neg())..).unwrap_or_default();
    let t = target.get(skip(offset)..).unwrap_or_default();
    let n = s.len().min(t.len());
    (&s[..n], &t[..n])
}

fn opinion(row: &[f32]) -> Opinion {
    let top: Vec<Ranked> = ranking::top(row, TOP).into_iter().map(|class| Ranked { class, score: row[class] }).collect();
    let margin = match &top[..] {
        [a, b, ..] => Some(a.score - b.score).filter(|m| m.is_finite()),
        _ => None,
    };
    Opinion { label: top.first().map_or(0, |r| r.class), margin, top, non_finite: non_finite(row), probabilities: is_probabilities(row) }
}

fn near_tie(row: &[f32], lead: f32) -> bool {
    let finite = || row.iter().copied().filter(|v| v.is_finite());
    let spread = finite().fold(f32::NEG_INFINITY, f32::max) - finite().fold(f32::INFINITY, f32::min);
    lead.is_finite() && lead <= NEAR_TIE * spread
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(label_offset: Option<i64>, criterion: Criterion) -> Comparison {
        let chosen = |name: &str| Chosen { slot: 0, name: name.into() };
        Comparison {
            source: chosen("logits"),
            target: chosen("probs"),
            criterion,
            label_offset,
            rtol: 1e-3,
            atol: 1e-5,
            scores: Scores::AsIs,
        }
    }

    fn judge(c: &Comparison, s: &[f32], t: &[f32]) -> Result<Judged, CompareError> {
        let value = |row: &[f32]| vec![Value::from_f32(&[1, row.len()], row.to_vec())];
        c.judge(&value(s), &value(t))
    }

    #[test]
    fn a_flip_is_a_label_that_differs() {
        let c = comparison(None, Criterion::Label);
        let j = judge(&c, &[1.0, 2.0, 0.0], &[2.0, 1.0, 0.0]).unwrap();
        assert!(j.mismatch && !j.near_tie);
        assert_eq!((j.source.label, j.target.label), (1, 0));
        assert!(!judge(&c, &[1.0, 2.0], &[5.0, 6.0]).unwrap().mismatch);
    }

    #[test]
    fn a_near_tie_is_said_to_be_one() {
        let j = judge(&comparison(None, Criterion::Label), &[10.0, 10.05, 0.0], &[10.1, 10.0, 0.0]).unwrap();
        assert!(j.mismatch && j.near_tie);
    }

    #[test]
    fn other_class_counts_are_an_error_that_names_the_flag() {
        let why = judge(&comparison(None, Criterion::Label), &[0.0; 3], &[0.0; 4]).unwrap_err().to_string();
        assert!(why.contains("[1, 3]") && why.contains("--label-offset 1"), "{why}");
        // Farther apart they are compared as they are, and nothing is measured.
        let c = comparison(None, Criterion::Label);
        let j = judge(&c, &[0.0, 1.0, 0.0], &[0.0; 9]).unwrap();
        assert_eq!((j.mismatch, j.distance), (true, None));
        assert!(c.lengths(&[1, 3], &[1, 9]).contains("--compare-output"));
        let c = comparison(None, Criterion::Tolerance);
        assert!(judge(&c, &[0.0; 3], &[0.0; 4]).unwrap().mismatch);
    }

    #[test]
    fn an_offset_shifts_the_targets_classes() {
        let j = judge(&comparison(Some(1), Criterion::Label), &[1.0, 9.0, 0.0], &[0.0, 1.0, 9.0, 0.0]).unwrap();
        assert!(!j.mismatch);
        assert_eq!(j.distance.unwrap().max_abs, 0.0);
        let j = judge(&comparison(Some(-1), Criterion::Label), &[0.0, 1.0, 9.0, 0.0], &[1.0, 9.0, 0.0]).unwrap();
        assert!(!j.mismatch);
        assert_eq!(j.overlap, Some(1.0));
        // The target's background class stands for none of the source's.
        assert!(judge(&comparison(Some(1), Criterion::Label), &[9.0, 1.0], &[9.0, 1.0, 0.0]).unwrap().mismatch);
        assert!(judge(&comparison(Some(7), Criterion::Label), &[9.0, 1.0], &[9.0, 1.0, 0.0]).is_err());
    }

    #[test]
    fn outputs_that_are_no_classes_are_refused_under_the_label_criterion() {
        let value = || vec![Value::from_f32(&[1, 2, 2, 2], vec![0.0; 8])];
        let why = comparison(None, Criterion::Label).judge(&value(), &value()).unwrap_err().to_string();
        assert!(why.contains("--criterion tolerance"), "{why}");
        assert!(!comparison(None, Criterion::Tolerance).judge(&value(), &value()).unwrap().mismatch);
        assert!(is_classes(&[1, 10, 1, 1]) && is_classes(&[10]) && !is_classes(&[1, 1]) && !is_classes(&[]));
    }

    #[test]
    fn tolerance_counts_elements_apart() {
        let c = comparison(None, Criterion::Tolerance);
        assert!(judge(&c, &[1.0, 2.0], &[1.0, 2.1]).unwrap().mismatch);
        assert!(!judge(&c, &[1.0, 2.0], &[1.0, 2.0001]).unwrap().mismatch);
    }
}
