//! A declared input that the graph below it cannot take: another element type, or a batch that it is not made for.
//!
//! All that follows fails in consequence, and each failure would look like a fault of its own. So the declaration is put right first,
//! and the target is looked into as it is then.

use super::{Category, Findings, Found, Kind, LocalizeError, LocalizeOptions, Outcome, Remedy, Subject, Suspect};
use crate::dataset::{Declared, Element, Feed, ImageSet};
use crate::model::onnx::tensor_shape_proto::{Dimension, dimension};
use crate::model::onnx::{ValueInfoProto, tensor_proto::DataType, type_proto};
use crate::model::{Edit, NodeId, refused};
use crate::run::{Network, Value, Watch};
use std::cmp::Ordering;

/// What could be declared in place of what is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    Type(DataType),
    /// One image at a time.
    OneImage,
}

/// A target with another declaration, and what is to be said of the one it has.
pub(super) struct Redeclared {
    target: Network,
    feed: Feed,
    refused: Vec<(NodeId, String)>,
    /// Why it still does not run.
    unloadable: Option<String>,
    /// Whether the specification has nothing against the present declaration: then it is what the images become that speaks against it.
    lawful: bool,
    suspect: Suspect,
}

/// How far a target gets: what contradicts the specification, then the first node that does not run.
#[derive(Debug, Clone)]
pub struct Reach {
    /// Findings of the checker that are errors; nothing is run where there are any.
    errors: usize,
    /// Place in the order of running and label of the first node that fails.
    stop: Option<(usize, String)>,
    /// The first error in words.
    why: Option<String>,
}

impl Reach {
    /// How far a target gets on the first of these images that can be read.
    pub fn of(target: &Network, feed: &Feed, images: &ImageSet, wanted: impl IntoIterator<Item = usize>) -> Self {
        let errors = refused(target.model());
        if let Some((_, why)) = errors.first() {
            return Self { errors: errors.len(), stop: None, why: Some(why.clone()) };
        }
        let mut out = Self { errors: 0, stop: None, why: None };
        for image in wanted.into_iter().take(8) {
            let given = match images.inputs(image, &[feed]) {
                Ok(mut sides) => sides.remove(0),
                Err(crate::dataset::DatasetError::Image { .. }) => continue,
                Err(why) => return Self { errors: 1, stop: None, why: Some(why.to_string()) },
            };
            let given: Vec<Value> = given.iter().zip(&feed.inputs).map(|(v, d)| filled(v, &d.given(v.shape()), target.limit())).collect();
            target.forward(&given, |id, made| {
                if let (None, Err(why)) = (&out.stop, made) {
                    (out.stop, out.why) = (Some((id.at(), target.label(id).to_string())), Some(why.to_string()));
                }
            });
            break;
        }
        out
    }

    fn runs(&self) -> bool {
        self.errors == 0 && self.stop.is_none()
    }

    /// Whether it gets further than another.
    pub fn is_beyond(&self, other: &Self) -> bool {
        match self.errors.cmp(&other.errors) {
            Ordering::Less => true,
            Ordering::Greater => false,
            Ordering::Equal => match (&self.stop, &other.stop) {
                (_, None) => false,
                (None, Some(_)) => true,
                // A node that was put in front moves the same stop.
                (Some((here, mine)), Some((there, theirs))) => here > there && mine != theirs,
            },
        }
    }
}

/// The declaration with which a target that does not run does run, or gets further.
pub(super) fn redeclare(subject: &Subject<'_>) -> Option<Redeclared> {
    if subject.unloadable.is_none() && subject.refused.is_empty() {
        return None;
    }
    let model = subject.target.model();
    let reach = |target: &Network, feed: &Feed| {
        let first = subject.flipped.iter().chain(&subject.agreeing).copied();
        Reach::of(target, feed, subject.images, first.chain(0..subject.images.len()))
    };
    let before = reach(subject.target, subject.target_feed);
    let mut best: Option<(Reach, Redeclared)> = None;
    for slot in 0..subject.target_feed.inputs.len() {
        for change in changes(subject, slot) {
            let Some((values, words)) = declaration(subject, slot, change) else { continue };
            let edit = Edit::SetInputs { values };
            let Ok((edited, _)) = model.apply(&edit) else { continue };
            let Ok(target) = subject.target.edited(&edited) else { continue };
            let mut recipe = subject.target_feed.recipe.clone();
            if let (Change::Type(to), Some(recipe)) = (change, recipe.as_mut()) {
                recipe.dtype = Element::of(to).unwrap_or(recipe.dtype);
            }
            let feed = Feed::new(&edited, recipe);
            let after = reach(&target, &feed);
            if !after.is_beyond(best.as_ref().map_or(&before, |(furthest, _)| furthest)) {
                continue;
            }
            let kind = if change == Change::OneImage { Kind::IdBatch } else { Kind::IdDtype };
            let suspect = suspect(subject, slot, kind, edit, words, &feed, (&before, &after));
            let refused = refused(&edited).into_iter().filter_map(|(node, why)| Some((node?, why))).collect();
            let lawful = self::refused(model).is_empty();
            let unloadable = after.why.clone();
            best = Some((after, Redeclared { target, feed, refused, unloadable, lawful, suspect }));
        }
    }
    best.map(|(_, found)| found)
}

impl Redeclared {
    /// What is at fault beside the declaration. `None` where the declaration is not to blame after all.
    ///
    /// # Errors
    /// As [`super::localize`].
    pub fn look(self, subject: &Subject<'_>, options: &LocalizeOptions, watch: &dyn Watch) -> Result<Option<Findings>, LocalizeError> {
        let inner = Subject {
            target: &self.target,
            target_feed: &self.feed,
            unloadable: self.unloadable,
            refused: self.refused,
            flipped: subject.flipped.clone(),
            agreeing: subject.agreeing.clone(),
            ..*subject
        };
        let mut findings = super::as_declared(&inner, options, watch)?;
        // A target that takes raw pixels wants another recipe, not another declaration.
        if self.lawful && findings.suspects.iter().any(|s| s.category == Category::PP) {
            return Ok(None);
        }
        findings.outcome = Outcome::Unloadable;
        findings.suspects.insert(0, self.suspect);
        Ok(Some(findings))
    }
}

/// One image repeated to fill a fixed batch; itself where that would take more bytes than `limit`.
fn filled(value: &Value, shape: &[usize], limit: u64) -> Value {
    let wanted = shape.iter().try_fold(1, |n: usize, d| n.checked_mul(*d));
    let times = wanted.map_or(usize::MAX, |n| n / value.len().max(1));
    let fits = value.size().checked_mul(times).is_some_and(|bytes| bytes as u64 <= limit);
    let full = (times > 1 && fits).then(|| Value::from_bytes(value.dtype(), shape, &value.bytes().repeat(times)).ok()).flatten();
    full.unwrap_or_else(|| value.clone())
}

/// What an input could be declared as: the source's element type first, then the usual ones; one image where the batch is fixed.
fn changes(subject: &Subject<'_>, slot: usize) -> Vec<Change> {
    let Some(now) = subject.target_feed.inputs.get(slot) else { return Vec::new() };
    let theirs = subject.source_feed.inputs.get(slot).map(|d| d.dtype);
    let mut out = Vec::new();
    for dtype in theirs.into_iter().chain([DataType::Float, DataType::Float16, DataType::Double]) {
        if dtype != now.dtype && dtype != DataType::Undefined && !out.contains(&Change::Type(dtype)) {
            out.push(Change::Type(dtype));
        }
    }
    let batch = now.dims.as_ref().filter(|d| d.len() > 1).and_then(|d| *d.first()?);
    if batch.is_some_and(|n| n > 1) {
        out.insert(0, Change::OneImage);
    }
    out
}

/// All declared inputs with one of them changed, and the change in words.
fn declaration(subject: &Subject<'_>, slot: usize, change: Change) -> Option<(Vec<ValueInfoProto>, String)> {
    let model = subject.target.model();
    let now: &Declared = subject.target_feed.inputs.get(slot)?;
    let mut values: Vec<ValueInfoProto> = model.declared_inputs().cloned().collect();
    let value = values.iter_mut().find(|v| v.name() == now.name)?;
    let Some(type_proto::Value::TensorType(tensor)) = value.r#type.as_mut()?.value.as_mut() else { return None };
    let name = |t: DataType| t.as_str_name().to_lowercase();
    let words = match change {
        Change::Type(to) => {
            tensor.elem_type = Some(to as i32);
            format!("the input '{}' is declared {}, the network takes {}", now.name, name(now.dtype), name(to))
        }
        Change::OneImage => {
            let first = tensor.shape.as_mut()?.dim.first_mut()?;
            *first = Dimension { value: Some(dimension::Value::DimValue(1)), ..first.clone() };
            format!("the input '{}' is declared {}, the network takes one image at a time", now.name, now.shape_words())
        }
    };
    Some((values, words))
}

fn suspect(
    subject: &Subject<'_>,
    slot: usize,
    kind: Kind,
    edit: Edit,
    words: String,
    feed: &Feed,
    (before, after): (&Reach, &Reach),
) -> Suspect {
    let mut remedy = Remedy::new(kind, edit, words.clone());
    remedy.recipe.clone_from(&feed.recipe);
    let input = subject.target.inputs().get(slot).copied();
    let readers = input.map(|v| subject.target.consumers(v)).unwrap_or_default();
    let mut evidence: Vec<String> = before.why.iter().map(|why| format!("as declared: {why}")).collect();
    evidence.push(match &after.why {
        _ if after.runs() => "declared so it runs".into(),
        Some(why) => format!("declared so it gets further, to: {why}"),
        None => "declared so it gets further".into(),
    });
    Suspect {
        region: None,
        kind: Some(kind),
        category: Category::ID,
        target_nodes: readers.iter().map(|id| subject.target.op(*id).node).collect(),
        target_tensors: input.into_iter().collect(),
        source_nodes: Vec::new(),
        words,
        evidence,
        equivalents: if kind == Kind::IdDtype { vec![Kind::CgUnsupported] } else { Vec::new() },
        confidence: 0.95,
        error: f32::INFINITY,
        splice: None,
        remedies: vec![Found { remedy, after: 0.0 }],
    }
}
