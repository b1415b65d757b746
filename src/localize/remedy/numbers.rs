//! Whole numbers that say how an operator picks, cuts or repeats: the starts and ends of a Slice, the sizes of a Split, the indices of a Gather,
//! the `k` of a TopK, the repeats of a Tile. Inputs in newer operator sets, attributes in older ones.

use super::edits::{behind, replace};
use super::{Bench, Remedy};
use crate::localize::Kind;
use crate::model::Edit;
use crate::model::NodeExt;
use crate::model::onnx::AttributeProto;
use crate::run::{Network, OpId, Value};

/// More numbers than this are data, and no way of saying how.
const LONGEST: usize = 64;

/// Names of such numbers, with the input that holds them.
fn names(op: &str) -> &'static [(&'static str, usize)] {
    match op {
        "Slice" => &[("starts", 1), ("ends", 2), ("axes", 3), ("steps", 4)],
        "Split" => &[("split", 1)],
        "Gather" | "GatherElements" | "GatherND" => &[("indices", 1)],
        "TopK" => &[("k", 1)],
        "Tile" => &[("repeats", 1)],
        "Expand" => &[("shape", 1)],
        "Trilu" => &[("k", 1)],
        "CumSum" => &[("axis", 1)],
        "Resize" => &[("sizes", 3)],
        "CenterCropPad" => &[("shape", 1)],
        _ => &[],
    }
}

fn kind(op: &str) -> (Kind, &'static [Kind]) {
    match op {
        "Tile" | "Expand" | "CenterCropPad" => (Kind::TsReshape, &[Kind::TsAxis]),
        "Resize" => (Kind::LhResize, &[]),
        "TopK" => (Kind::TsAxis, &[Kind::LhPool, Kind::WbValues]),
        _ => (Kind::TsAxis, &[Kind::CgRewired, Kind::TsReshape, Kind::WbValues]),
    }
}

fn read(network: &Network, id: OpId, name: &str, slot: usize) -> Option<Vec<i64>> {
    let op = network.op(id);
    let constant = op.inputs.get(slot).copied().flatten().and_then(|v| network.constant(v));
    let found = match (constant, op.proto().ints(name), op.proto().int(name)) {
        (Some(c), _, _) if !c.is_float() => c.to_i64(),
        (_, Some(ints), _) => ints.to_vec(),
        (_, _, Some(int)) => vec![int],
        _ => return None,
    };
    (found.len() <= LONGEST).then_some(found)
}

/// Other numbers in the place of those that `t` has.
fn put(bench: &Bench<'_>, t: OpId, (name, slot): (&str, usize), new: &[i64]) -> Option<Edit> {
    let op = bench.target().op(t);
    if let Some(constant) = op.inputs.get(slot).copied().flatten().and_then(|v| bench.target().constant(v)) {
        let shape = if constant.len() == new.len() { constant.shape().to_vec() } else { vec![new.len()] };
        return replace(bench, t, slot, &Value::from_i64(&shape, new.to_vec()));
    }
    let attribute = match (op.proto().ints(name), new) {
        (None, [one]) => AttributeProto::of_int(name, *one),
        _ => AttributeProto::of_ints(name, new),
    };
    Some(Edit::SetAttribute { node: bench.key(t), attribute })
}

/// What the source's operators of the same type have, one by one and then together; and other places to pick from.
pub(super) fn numbers(bench: &Bench<'_>) -> Vec<Remedy> {
    let mut out = Vec::new();
    for t in &bench.ops {
        let op = bench.target().op(*t);
        let names = names(op.op_type());
        let remedy = |place: (&str, usize), now: &[i64], new: &[i64], theirs: bool| {
            let edit = put(bench, *t, place, new)?;
            let words = match theirs {
                true => format!("{} of {} is {now:?}, the source has {new:?}", place.0, op.op_type()),
                false => format!("{} of {} is {now:?}, the source's numbers ask for {new:?}", place.0, op.op_type()),
            };
            let (kind, also) = kind(op.op_type());
            let mut remedy = Remedy::new(kind, edit, words).at(*t).or(also);
            remedy.tensors = op.inputs.get(place.1).copied().flatten().map(|v| behind(bench, v)).unwrap_or_default();
            Some(remedy)
        };
        for s in bench.source.iter().filter(|s| bench.reference().op(**s).op_type() == op.op_type()) {
            let mut all: Vec<Remedy> = Vec::new();
            for place in names {
                let (Some(now), Some(new)) = (read(bench.target(), *t, place.0, place.1), read(bench.reference(), *s, place.0, place.1))
                else {
                    continue;
                };
                if now != new {
                    all.extend(remedy(*place, &now, &new, true));
                }
            }
            if all.len() > 1 {
                let mut together = all[0].clone();
                together.edit = Edit::All(all.iter().map(|r| r.edit.clone()).collect());
                together.words = all.iter().map(|r| r.words.clone()).collect::<Vec<_>>().join("; ");
                together.tensors = all.iter().flat_map(|r| r.tensors.clone()).collect();
                all.push(together);
            }
            out.extend(all);
        }
        out.extend(elsewhere(bench, *t).into_iter().filter_map(|(places, words)| {
            let edits: Option<Vec<Edit>> = places.iter().map(|(place, new)| put(bench, *t, *place, new)).collect();
            let (kind, also) = kind(op.op_type());
            Some(Remedy::new(kind, Edit::All(edits?), words).at(*t).or(also))
        }));
    }
    out
}

type Places = Vec<((&'static str, usize), Vec<i64>)>;

/// As much as before from another place on the same axis, where the source may say it with another operator: a Gather's one index, a window of a
/// Slice.
fn elsewhere(bench: &Bench<'_>, t: OpId) -> Vec<(Places, String)> {
    let op = bench.target().op(t);
    let shape = op.data.first().and_then(|v| bench.a.fed(*v)).map(|x| x[0].shape().to_vec()).unwrap_or_default();
    let extent =
        |axis: i64| usize::try_from(if axis < 0 { axis + shape.len() as i64 } else { axis }).ok().and_then(|a| shape.get(a)).copied();
    let number = |name, slot| read(bench.target(), t, name, slot);
    match op.op_type() {
        "Gather" => {
            let (Some(now), Some(n)) = (number("indices", 1), extent(op.proto().int("axis").unwrap_or(0))) else { return Vec::new() };
            let [index] = now[..] else { return Vec::new() };
            let here = if index < 0 { index + n as i64 } else { index };
            (0..n.min(LONGEST) as i64)
                .filter(|i| *i != here)
                .map(|i| (vec![(("indices", 1), vec![i])], format!("Gather picks {index}, the source's numbers ask for {i}")))
                .collect()
        }
        "Slice" => {
            let (Some(starts), Some(ends)) = (number("starts", 1), number("ends", 2)) else { return Vec::new() };
            let axes = number("axes", 3).unwrap_or_else(|| vec![0]);
            let ([start], [end], [axis]) = (&starts[..], &ends[..], &axes[..]) else { return Vec::new() };
            let Some(n) = extent(*axis) else { return Vec::new() };
            let n = n as i64;
            let within = |x: i64| (if x < 0 { x + n } else { x }).clamp(0, n);
            let (from, length) = (within(*start), within(*end) - within(*start));
            if length <= 0 || length >= n {
                return Vec::new();
            }
            let mut places: Vec<i64> = (0..n / length).map(|i| i * length).chain([n - length]).take(LONGEST).collect();
            places.dedup();
            let window = |at: i64| {
                let words = format!("Slice takes {from}..{}, the source's numbers ask for {at}..{}", from + length, at + length);
                (vec![(("starts", 1), vec![at]), (("ends", 2), vec![at + length])], words)
            };
            places.into_iter().filter(|at| *at != from).map(window).collect()
        }
        _ => Vec::new(),
    }
}
