//! The graph's outputs: right up to them, and yet another value, or one step short of what the source gives.

use super::quantised::Ranges;
use super::remedy::{Bench, Found, Remedy, search};
use super::{Category, Kind, Subject, Suspect, suspects};
use crate::align::{Alignment, Precision, Region, Verdict, relative_error};
use crate::model::{Edit, ValueId};
use crate::run::{OpId, Value};

/// What is to be said of outputs that are not the source's outputs at their places.
pub(super) fn suspect(a: &Alignment<'_>, regions: &[Region], threshold: f32, precision: Precision, diagnose: bool) -> Option<Suspect> {
    let wrong: Vec<Wrong> = (0..a.source().network.outputs().len()).filter_map(|slot| Wrong::at(a, slot)).collect();
    let there: Option<Vec<(usize, ValueId)>> = wrong.iter().map(|w| Some((w.slot, w.there?))).collect();
    match there {
        _ if wrong.is_empty() => None,
        Some(places) => Some(misplaced(a, &places, diagnose)),
        // Whatever is wrong above shows in the outputs as well.
        None if regions.iter().all(|r| r.verdict == Verdict::Clean) => {
            wrong.iter().find_map(|w| unmade(a, w, threshold, precision, diagnose))
        }
        None => None,
    }
}

/// An output of the target that is not the source's at its place.
struct Wrong {
    slot: usize,
    /// What should be there: the source's output, or what it takes probabilities of.
    wanted: ValueId,
    /// The target value that is this.
    there: Option<ValueId>,
}

impl Wrong {
    fn at(a: &Alignment<'_>, slot: usize) -> Option<Self> {
        let s = *a.source().network.outputs().get(slot)?;
        let t = *a.target().outputs().get(slot)?;
        // Of indices nothing is paired: only their places can be told, by the scores beside them.
        if a.source().values(s).and_then(<[Value]>::first).is_some_and(|x| !x.is_float()) {
            return None;
        }
        let origin = |v: ValueId| a.source().origin(a.source().virtual_of(v).map_or(v, |(_, of)| of));
        // A target that gives probabilities where the source gives scores, or the other way round, is the converter's choice.
        let turns = |op: &str| matches!(op, "Softmax" | "Sigmoid" | "LogSoftmax");
        let scores = a.source().producer(s).filter(|p| turns(a.source().network.op(*p).op_type()));
        let before = scores.and_then(|p| a.source().network.op(p).data.first().copied());
        let stands_for = |v: ValueId| a.pair_of(t).is_some_and(|p| origin(p.source) == a.source().origin(v));
        let unpaired = a.pair_of(t).is_none();
        if stands_for(s) || before.is_some_and(stands_for) || (unpaired && !a.failures().is_empty()) {
            return None;
        }
        let made = |s: ValueId| a.pairs.iter().find(|p| origin(p.source) == a.source().origin(s) && p.error <= a.tau()).map(|p| p.target);
        let own = a.target().producer(t).is_some_and(|p| turns(a.target().op(p).op_type()));
        let wanted = before.filter(|_| !own).unwrap_or(s);
        Some(Self { slot, wanted, there: made(s).or_else(|| before.and_then(made)) })
    }
}

/// The right values are there, at other places or not declared at all.
fn misplaced(a: &Alignment<'_>, places: &[(usize, ValueId)], diagnose: bool) -> Suspect {
    let model = a.target().model();
    let declared: Vec<_> = model.outputs().cloned().collect();
    let mut new = declared.clone();
    let mut ops = Vec::new();
    let mut tensors = Vec::new();
    for (slot, wanted) in places {
        let now = a.target().outputs()[*slot];
        tensors.extend([now, *wanted]);
        ops.extend(a.target().producer(now));
        ops.extend(a.target().producer(*wanted));
        let name = model.index().name(*wanted);
        match new.iter().position(|o| o.name() == name) {
            Some(at) => new.swap(*slot, at),
            None => {
                let shape = a.fed(*wanted).map(|x| x[0].shape().to_vec()).unwrap_or_default();
                new[*slot] = declared_output(name, &declared[*slot], &shape);
            }
        }
    }
    let names: Vec<&str> = places.iter().map(|(s, _)| declared[*s].name()).collect();
    let words = format!("the output '{}' is not what the source gives at this place", names.join("', '"));
    let mut remedy = Remedy::new(Kind::TsOutput, Edit::SetOutputs { values: new }, words.clone());
    remedy.ops.clone_from(&ops);
    let made = a.source().network.outputs().iter().filter_map(|v| a.source().network.producer(*v));
    Suspect {
        region: None,
        kind: Some(Kind::TsOutput),
        category: Category::TS,
        target_nodes: ops.iter().map(|id| a.target().op(*id).node).collect(),
        target_tensors: tensors,
        source_nodes: made.map(|p| a.source().network.op(p).node).collect(),
        words,
        evidence: vec!["every value up to the outputs is right".into()],
        equivalents: Vec::new(),
        confidence: 0.95,
        error: f32::INFINITY,
        splice: None,
        remedies: if diagnose { vec![Found { remedy, after: 0.0 }] } else { Vec::new() },
    }
}

/// Every layer computes what the source computes, and yet far more labels differ than rounding could turn: what is compared is not the same.
pub(super) fn incomparable(subject: &Subject<'_>, a: &Alignment<'_>) -> Option<Suspect> {
    let (flips, of) = (subject.flipped.len(), subject.flipped.len() + subject.agreeing.len());
    if !subject.compared || flips * 4 <= of {
        return None;
    }
    let t = *a.target().outputs().get(subject.outputs.1)?;
    let s = *a.source().network.outputs().get(subject.outputs.0)?;
    let words = format!(
        "{flips} of {of} labels differ though every layer computes what the source computes: '{}' is not counted like the source's '{}', or is another output",
        a.target().model().index().name(t),
        a.source().name(s)
    );
    Some(Suspect {
        region: None,
        kind: Some(Kind::TsOutput),
        category: Category::TS,
        target_nodes: a.target().producer(t).map(|p| a.target().op(p).node).into_iter().collect(),
        target_tensors: vec![t],
        source_nodes: a.source().producer(s).map(|p| a.source().network.op(p).node).into_iter().collect(),
        words,
        evidence: vec!["every value up to the outputs is right".into()],
        equivalents: Vec::new(),
        confidence: 0.6,
        error: f32::INFINITY,
        splice: None,
        remedies: Vec::new(),
    })
}

/// Nothing in the target is what the source gives, and its output is a value from further up: what the source does behind that is missing.
fn unmade(a: &Alignment<'_>, wrong: &Wrong, threshold: f32, precision: Precision, diagnose: bool) -> Option<Suspect> {
    let t = *a.target().outputs().get(wrong.slot)?;
    let pair = a.pair_of(t).filter(|p| p.error <= a.tau())?;
    let now = a.fed(t)?;
    let wanted: Option<Vec<Value>> = a.source().values(wrong.wanted)?.iter().zip(now).map(|(s, t)| s.reshape(t.shape())).collect();
    let wanted = wanted?;
    let error = wanted.iter().zip(now).map(|(s, t)| relative_error(&t.to_f32(), &s.to_f32())).fold(0.0, f32::max);
    if error <= threshold.max(a.tau()) {
        return None;
    }
    let mut region = Region {
        source: behind(a, pair.source, wrong.wanted),
        target: a.target().producer(t).into_iter().collect(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        isolated: Some(error),
        accumulated: Some(error),
        verdict: Verdict::Faulty,
        why: None,
    };
    region.source.extend(a.source().producer(pair.source));
    let bench = Bench {
        a,
        ops: region.target.clone(),
        source: region.source.clone(),
        checks: vec![(a.target().model().index().name(t).to_string(), t)],
        wanted: [(t, wanted)].into(),
        ranges: &Ranges::new(),
        forbidden: None,
        floor: (threshold * 0.9).min(a.tau()),
        layout: false,
    };
    let found = if diagnose { search(&bench, error) } else { Vec::new() };
    Some(suspects::suspect(a, &bench, &region, found, error, precision))
}

/// The source's ops that make `to` from `from`, the last first.
fn behind(a: &Alignment<'_>, from: ValueId, to: ValueId) -> Vec<OpId> {
    const MOST: usize = 24;
    let network = a.source().network;
    let (mut open, mut out) = (vec![to], Vec::new());
    while let Some(v) = open.pop() {
        if a.source().origin(v) == a.source().origin(from) || out.len() >= MOST {
            continue;
        }
        if let Some(p) = network.producer(v).filter(|p| !out.contains(p)) {
            out.push(p);
            open.extend(&network.op(p).data);
        }
    }
    out
}

fn declared_output(name: &str, like: &crate::model::onnx::ValueInfoProto, shape: &[usize]) -> crate::model::onnx::ValueInfoProto {
    use crate::model::onnx::{TensorShapeProto, tensor_shape_proto::Dimension, tensor_shape_proto::dimension, type_proto};
    let mut out = like.clone();
    out.name = Some(name.into());
    if let Some(type_proto::Value::TensorType(t)) = out.r#type.as_mut().and_then(|t| t.value.as_mut()) {
        let batch = t.shape.as_ref().and_then(|s| s.dim.first().cloned());
        let mut dim: Vec<Dimension> =
            shape.iter().map(|d| Dimension { value: Some(dimension::Value::DimValue(*d as i64)), ..Dimension::default() }).collect();
        if let (Some(first), Some(batch)) = (dim.first_mut(), batch) {
            *first = batch;
        }
        t.shape = Some(TensorShapeProto { dim });
    }
    out
}
