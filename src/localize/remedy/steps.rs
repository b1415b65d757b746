//! Scales and zero points of values: halves that contradict each other, and steps that do not fit what the source has.

use super::edits::{behind, replace, replaced};
use super::{Bench, Remedy};
use crate::localize::Kind;
use crate::model::onnx::tensor_proto::DataType;
use crate::model::{Edit, ValueId};
use crate::run::{Network, OpId, Steps, Value, hands_on};

/// Least and largest number of an element type that weights and values are quantised to.
pub(in crate::localize) fn limits(dtype: DataType) -> Option<(f32, f32)> {
    match dtype {
        DataType::Int8 => Some((-128.0, 127.0)),
        DataType::Uint8 => Some((0.0, 255.0)),
        DataType::Int16 => Some((-32768.0, 32767.0)),
        DataType::Uint16 => Some((0.0, 65535.0)),
        _ => None,
    }
}

/// Scale and zero point of steps that hold for a whole value.
fn read_steps(target: &Network, t: OpId, steps: Steps) -> Option<(Value, Option<Value>)> {
    let constant = |slot: usize| target.op(t).inputs.get(slot).copied().flatten().and_then(|v| target.constant(v)).cloned();
    Some((constant(steps.scale).filter(|s| s.len() == 1)?, constant(steps.zero).filter(|z| z.len() == 1)))
}

/// What makes the value that an op reads, past nodes that hand on the integers they are given, with the steps it makes it in.
fn maker(target: &Network, t: OpId, steps: Steps) -> Option<(OpId, Steps)> {
    let mut v = target.op(t).inputs.get(steps.reads?).copied().flatten()?;
    loop {
        let p = target.producer(v)?;
        let made = Steps::all(target.op(p).proto()).into_iter().find(|s| s.reads.is_none());
        match made {
            Some(steps) => return Some((p, steps)),
            None if hands_on(target.op(p).op_type()) => v = *target.op(p).data.first()?,
            None => return None,
        }
    }
}

/// Whether two ops hold the same value in steps that differ.
fn differ((scale, zero): &(Value, Option<Value>), (other, of_other): &(Value, Option<Value>)) -> bool {
    let number = |z: &Option<Value>| z.as_ref().map_or(0.0, |z| z.to_f32()[0]);
    scale.to_f32()[0] != other.to_f32()[0] || number(zero) != number(of_other)
}

/// What makes the values that an op reads in other steps than they were made in: one of the two is wrong, whatever the source says.
pub(in crate::localize) fn contradicted(target: &Network, t: OpId) -> Vec<OpId> {
    let wrong = |steps: Steps| {
        let (p, made) = maker(target, t, steps)?;
        differ(&read_steps(target, t, steps)?, &read_steps(target, p, made)?).then_some(p)
    };
    Steps::all(target.op(t).proto()).into_iter().filter_map(wrong).collect()
}

/// The edit that puts the larger of two steps in the place of the smaller wherever a value is read in others than it was made in, and what those make that
/// read it. `None` where nothing contradicts itself.
pub(in crate::localize) fn agreed(target: &Network) -> Option<(Edit, Vec<ValueId>)> {
    let mut edits: Vec<Edit> = Vec::new();
    let mut made_of: Vec<ValueId> = Vec::new();
    for t in target.op_ids() {
        for steps in Steps::all(target.op(t).proto()) {
            let Some((p, made)) = maker(target, t, steps) else { continue };
            let (Some(read), Some(given)) = (read_steps(target, t, steps), read_steps(target, p, made)) else { continue };
            if !differ(&read, &given) {
                continue;
            }
            made_of.extend(target.op(t).made());
            // The one with the smaller steps takes the larger ones over.
            let reads_wider = read.0.to_f32()[0] > given.0.to_f32()[0];
            let (op, slots, (scale, zero)) = if reads_wider { (p, made, &read) } else { (t, steps, &given) };
            let new = [(slots.scale, Some(scale)), (slots.zero, zero.as_ref())];
            let new = new.into_iter().filter_map(|(slot, x)| replaced(target, op, slot, x?)).filter(|e| !edits.contains(e));
            edits.extend(new.collect::<Vec<_>>());
        }
    }
    (!edits.is_empty()).then_some((Edit::All(edits), made_of))
}

/// The same steps for what makes a value and what reads it, where they differ: one's or the other's.
pub(in crate::localize) fn agreement(bench: &Bench<'_>) -> Vec<Remedy> {
    let target = bench.target();
    let mut out = Vec::new();
    for t in &bench.ops {
        for steps in Steps::all(target.op(*t).proto()) {
            let Some((p, made)) = maker(target, *t, steps) else { continue };
            let (Some(read), Some(given)) = (read_steps(target, *t, steps), read_steps(target, p, made)) else { continue };
            if !differ(&read, &given) {
                continue;
            }
            // The more hold the same value in the same steps, the less likely those are wrong.
            let holders = readers(target, p, made);
            let votes = |for_it: &(Value, Option<Value>)| {
                holders.iter().filter_map(|(op, s)| read_steps(target, *op, *s)).filter(|held| !differ(held, for_it)).count()
            };
            let (mut of_read, mut of_given) = (votes(&read), votes(&given));
            // Among as many, steps that do not reach as far as the values do are wrong.
            if of_read == of_given
                && let Some(range) = range(bench, p)
            {
                (of_read, of_given) = (usize::from(reaches(&read, range)), usize::from(reaches(&given, range)));
            }
            let sides = [((*t, steps, &read, of_read), (p, &given, of_given)), ((p, made, &given, of_given), (*t, &read, of_read))];
            for ((op, steps, now, mine), (other, wanted, theirs)) in sides {
                if mine > theirs {
                    continue;
                }
                let put = |slot: usize, now: Option<&Value>, wanted: Option<&Value>| match (now, wanted) {
                    (Some(now), Some(wanted)) if now.to_f32() != wanted.to_f32() => replace(bench, op, slot, wanted).into_iter().collect(),
                    _ => Vec::new(),
                };
                let mut edits: Vec<Edit> = put(steps.scale, Some(&now.0), Some(&wanted.0));
                edits.extend(put(steps.zero, now.1.as_ref(), wanted.1.as_ref()));
                let Some(edit) = (if edits.len() > 1 { Some(Edit::All(edits)) } else { edits.pop() }) else { continue };
                let told = |(scale, zero): &(Value, Option<Value>)| match zero.as_ref().map_or(0.0, |z| z.to_f32()[0]) {
                    0.0 => format!("{}", scale.to_f32()[0]),
                    zero => format!("{} from {zero}", scale.to_f32()[0]),
                };
                let words = format!(
                    "{} has its values in steps of {}, {} has the same ones in steps of {}",
                    target.op(op).op_type(),
                    told(now),
                    target.op(other).op_type(),
                    told(wanted)
                );
                // Which of the two is wrong is what the trial says; the place is both.
                let mut remedy = Remedy::new(Kind::WbQuant, edit, words).at(op).at(other);
                let slots = [steps.scale, steps.zero].into_iter().filter_map(|slot| target.op(op).inputs.get(slot).copied().flatten());
                remedy.tensors = slots.flat_map(|v| behind(bench, v)).collect();
                remedy.contradiction = true;
                out.push(remedy);
            }
        }
    }
    out
}

/// Whether they are not a weight's.
pub(super) fn is_of_data(target: &Network, t: OpId, steps: Steps) -> bool {
    let op = target.op(t);
    steps.reads.is_none_or(|slot| op.inputs.get(slot).copied().flatten().is_some_and(|v| op.data.contains(&v)))
}

/// Other scales and zero points for one value of a node.
pub(super) fn steps_of(bench: &Bench<'_>, t: OpId, steps: Steps) -> Option<Vec<Remedy>> {
    let mut out = Vec::new();
    let target = bench.target();
    let op = target.op(t);
    let scale = (*op.inputs.get(steps.scale)?)?;
    let (now, zero) = read_steps(target, t, steps)?;
    let z = zero.as_ref().map_or(0.0, |z| z.to_f32().first().copied().unwrap_or(0.0));
    let (bottom, top) = limits(zero.as_ref().map_or(DataType::Uint8, Value::dtype)).unwrap_or((0.0, 255.0));
    // Which of the source's values is quantised here is not known before it fits: each of the region is asked.
    let made =
        bench.source.iter().flat_map(|s| bench.reference().op(*s).made().collect::<Vec<_>>()).filter_map(|v| bench.a.source().values(v));
    let mut fits: Vec<f32> = made
        .filter(|x| x[0].is_float())
        .map(|x| {
            let (lo, hi) = x.iter().flat_map(|x| x.to_f32().into_owned()).fold((0.0f32, 0.0f32), |(lo, hi), x| (lo.min(x), hi.max(x)));
            (hi / (top - z).max(1.0)).max(-lo / (z - bottom).max(1.0))
        })
        .collect();
    fits.sort_by(f32::total_cmp);
    fits.dedup();
    let present = now.to_f32()[0];
    out.extend(zero_points(bench, t, steps, present, (bottom, top)));
    for wanted in neighbour_scales(bench, t).into_iter().chain(fits) {
        if wanted <= 0.0 || (wanted - present).abs() < 1e-6 * wanted {
            continue;
        }
        let new = Value::from_f32(now.shape(), vec![wanted]);
        let name = bench.name(scale);
        // The half of a pair that quantises and the one that dequantises share it.
        let edit = match target.model().initializer(name) {
            Some(_) => Edit::ReplaceInitializer { tensor: new.to_proto(name) },
            None => match replace(bench, t, steps.scale, &new) {
                Some(edit) => edit,
                None => continue,
            },
        };
        let words = format!("the scale of {} is {present}, the source's values ask for {wanted}", op.op_type());
        let mut remedy = Remedy::new(Kind::WbQuant, edit, words).at(t);
        remedy.tensors = behind(bench, scale);
        out.push(remedy);
    }
    Some(out)
}

/// Least and greatest number that is quantised here, zero included: of as many images as were measured, or of those that were aligned.
fn range(bench: &Bench<'_>, t: OpId) -> Option<(f32, f32)> {
    let op = bench.target().op(t);
    let made = op.made().next()?;
    if let Some(measured) = bench.ranges.get(&made) {
        return Some(*measured);
    }
    // What a QLinear operator quantises is only known by what the source has for it.
    let given = if op.op_type() == "QuantizeLinear" { bench.a.fed(*op.data.first()?)? } else { bench.a.fed(made)? };
    let numbers = given.iter().filter(|x| x.is_float()).flat_map(|x| x.to_f32().into_owned()).filter(|x| x.is_finite());
    Some(numbers.fold((0.0, 0.0), |(low, high), x| (f32::min(low, x), f32::max(high, x))))
}

/// Whether steps hold all numbers of a range, but for half a step.
fn reaches((scale, zero): &(Value, Option<Value>), (low, high): (f32, f32)) -> bool {
    let Some((bottom, top)) = limits(zero.as_ref().map_or(DataType::Uint8, Value::dtype)) else { return true };
    let (scale, z) = (scale.to_f32()[0], zero.as_ref().map_or(0.0, |z| z.to_f32()[0]));
    low >= (bottom - z - 0.5) * scale && high <= (top - z + 0.5) * scale
}

/// The steps that the range of the values asks for, in what makes a value and in all that reads it.
pub(super) fn both_halves(bench: &Bench<'_>, t: OpId, steps: Steps) -> Option<Vec<Remedy>> {
    let target = bench.target();
    if steps.reads.is_some() {
        return None;
    }
    let (scale, zero) = read_steps(target, t, steps)?;
    let (bottom, top) = limits(zero.as_ref().map_or(DataType::Uint8, Value::dtype))?;
    let (low, high) = range(bench, t)?;
    let z = zero.as_ref().map_or(0.0, |z| z.to_f32()[0]);
    let fitted = (high - low) / (top - bottom);
    let kept = (high / (top - z).max(1.0)).max(-low / (z - bottom).max(1.0));
    // With the zero point as it is, then with another.
    let wanted = [(kept, z), (fitted, (bottom - low / fitted).round().clamp(bottom, top))];
    let halves = readers(target, t, steps);
    let mut out = Vec::new();
    for (s, z) in wanted.into_iter().filter(|(s, _)| s.is_finite() && *s > 0.0) {
        let mut edits: Vec<Edit> = Vec::new();
        let mut tensors = Vec::new();
        for (op, half) in &halves {
            for (slot, number) in [(half.scale, s), (half.zero, z)] {
                let Some(v) = target.op(*op).inputs.get(slot).copied().flatten() else { continue };
                let Some(now) = target.constant(v).filter(|now| now.len() == 1 && now.to_f32()[0] != number) else { continue };
                let new = Value::from_f32(now.shape(), vec![number]).cast(now.dtype())?;
                let name = bench.name(v);
                // The halves may share it.
                let edit = match target.model().initializer(name) {
                    Some(_) => Edit::ReplaceInitializer { tensor: new.to_proto(name) },
                    None => replace(bench, *op, slot, &new)?,
                };
                if !edits.contains(&edit) {
                    edits.push(edit);
                    tensors.extend(behind(bench, v));
                }
            }
        }
        let edit = if edits.len() > 1 { Edit::All(edits) } else { edits.pop()? };
        let words = format!(
            "{} makes steps of {}, the values that it is given, {low} to {high}, ask for {s}",
            target.op(t).op_type(),
            scale.to_f32()[0]
        );
        let mut remedy = Remedy::new(Kind::WbQuant, edit, words).at(t);
        remedy.ops.extend(halves.iter().skip(1).map(|(op, _)| *op));
        remedy.tensors = tensors;
        out.push(remedy);
    }
    Some(out)
}

/// An op that quantises and all that read what it makes, with the place of their steps.
fn readers(target: &Network, t: OpId, steps: Steps) -> Vec<(OpId, Steps)> {
    let mut out = vec![(t, steps)];
    let mut open: Vec<ValueId> = target.op(t).made().collect();
    while let Some(v) = open.pop() {
        for c in target.consumers(v) {
            let op = target.op(*c);
            let reads = Steps::all(op.proto()).into_iter().filter(|s| s.reads.is_some_and(|slot| op.inputs.get(slot) == Some(&Some(v))));
            out.extend(reads.map(|s| (*c, s)));
            if hands_on(op.op_type()) {
                open.extend(op.made());
            }
        }
    }
    out
}

/// Zero points with which the range of some source value of the region fits in the steps that there are.
fn zero_points(bench: &Bench<'_>, t: OpId, steps: Steps, scale: f32, (bottom, top): (f32, f32)) -> Vec<Remedy> {
    let target = bench.target();
    let Some(zero) = target.op(t).inputs.get(steps.zero).copied().flatten() else { return Vec::new() };
    let Some(now) = target.constant(zero).filter(|z| z.len() == 1 && limits(z.dtype()).is_some()) else { return Vec::new() };
    let made = bench.source.iter().flat_map(|s| bench.reference().op(*s).made().collect::<Vec<_>>());
    let mut wanted: Vec<f32> = Vec::new();
    for values in made.filter_map(|v| bench.a.source().values(v)).filter(|x| x[0].is_float()) {
        let (low, high) = values.iter().fold((0.0f32, 0.0f32), |range, v| {
            v.to_f32().iter().filter(|x| x.is_finite()).fold(range, |(low, high), x| (low.min(*x), high.max(*x)))
        });
        wanted.extend([bottom - low / scale, top - high / scale].map(|z| z.round().clamp(bottom, top)));
    }
    let present = now.to_f32().first().copied().unwrap_or(0.0);
    wanted.sort_by(f32::total_cmp);
    wanted.dedup();
    wanted.retain(|z| *z != present);
    let name = bench.name(zero);
    let remedy = |z: f32| {
        let new = Value::from_f32(now.shape(), vec![z]).cast(now.dtype())?;
        // The half of a pair that quantises and the one that dequantises share it.
        let edit = match target.model().initializer(name) {
            Some(_) => Edit::ReplaceInitializer { tensor: new.to_proto(name) },
            None => replace(bench, t, steps.zero, &new)?,
        };
        let words = format!("the zero point of {} is {present}, the source's values ask for {z}", target.op(t).op_type());
        let mut remedy = Remedy::new(Kind::WbQuant, edit, words).at(t);
        remedy.tensors = behind(bench, zero);
        Some(remedy)
    };
    wanted.into_iter().filter_map(remedy).collect()
}

/// Scales of the other nodes that quantise on the same stretch: both halves of a pair share one, and so do all that only move what they are given.
fn neighbour_scales(bench: &Bench<'_>, t: OpId) -> Vec<f32> {
    const FAR: usize = 6;
    let target = bench.target();
    let keeps = |op: &str| hands_on(op) || matches!(op, "Concat" | "QuantizeLinear" | "DequantizeLinear");
    let mut near = vec![t];
    let mut at = 0;
    while at < near.len() && near.len() < 4 * FAR {
        let op = target.op(near[at]);
        if at == 0 || keeps(op.op_type()) {
            let beside = op.data.iter().filter_map(|v| target.producer(*v)).chain(op.made().flat_map(|v| target.consumers(v).to_vec()));
            let new: Vec<OpId> = beside.filter(|n| !near.contains(n)).collect();
            near.extend(new);
        }
        at += 1;
    }
    let all = near[1..].iter().flat_map(|n| Steps::all(target.op(*n).proto()).into_iter().map(|s| (*n, s)));
    let scales = all.filter(|(n, s)| is_of_data(target, *n, *s)).filter_map(|(n, s)| Some(read_steps(target, n, s)?.0.to_f32()[0]));
    let mut out: Vec<f32> = Vec::new();
    scales.for_each(|s| {
        if !out.contains(&s) {
            out.push(s)
        }
    });
    out.truncate(FAR);
    out
}
