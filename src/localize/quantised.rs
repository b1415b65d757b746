//! Loss that quantisation makes by itself, told from wrong quantisation parameters.
//!
//! A scale is chosen for the widest values that any image has. On an image whose values stay far below them the same step is a large
//! error, and the region looks faulty on that image alone. It is not when every operator in it is right, and parameters measured on the
//! images would lose no less.

use super::Subject;
use super::remedy::{contradicted, limits};
use crate::align::{Alignment, Region, Verdict, relative_error, worst_error};
use crate::model::ValueId;
use crate::model::onnx::tensor_proto::DataType;
use crate::run::{OpId, Steps, Value, Watch, hands_on};
use std::collections::{HashMap, HashSet};

/// Images that ranges are measured on, of the flipped and of the agreeing ones; more where they do not explain all.
const FEW: usize = 12;
/// The most.
const MOST: usize = 48;

/// Parameters that lose so much more than measured ones are wrong.
const WRONG: f32 = 1.7;

/// The same where the loss by itself is no reason for suspicion.
const FAR: f32 = 4.0;

/// So many times the floor is a loss that is looked into, however small,
const MUCH: f32 = 4.0;

/// and no less than this.
const LEAST: f32 = 0.03;

/// What quantises, with the values at its place as they were if nothing were quantised.
struct Step {
    /// What it makes.
    output: ValueId,
    /// The source's value that it stands for, where that is measured in place of what a QuantizeLinear is given.
    source: Option<ValueId>,
    scale: f32,
    zero: f32,
    bottom: f32,
    top: f32,
    values: Vec<Value>,
}

/// Least and greatest number that each quantised value has on the images, were nothing quantised; by what the QuantizeLinear makes.
pub(super) type Ranges = HashMap<ValueId, (f32, f32)>;

/// Calls regions clean whose loss is that of their quantisation, and says so; calls those faulty whose loss is not large but would be a
/// fraction of it with parameters that fit the images. Gives the ranges that were measured for it.
pub(super) fn explain(
    subject: &Subject<'_>,
    a: &Alignment<'_>,
    regions: &mut [Region],
    (floor, threshold): (f32, f32),
    notes: &mut Vec<String>,
    watch: &dyn Watch,
) -> Ranges {
    let least = (floor * MUCH).max(LEAST);
    let asked = |r: &Region| r.verdict == Verdict::Faulty || (r.verdict == Verdict::Clean && r.isolated.is_some_and(|e| e > least));
    let asked = regions.iter().enumerate().filter(|(_, r)| asked(r));
    let of = |r: &Region| steps(a, r, threshold).or_else(|| rounding(a, r));
    let found: Vec<(usize, Vec<Step>)> = asked.filter_map(|(i, r)| Some((i, of(r)?))).collect();
    let mut ranges = Ranges::default();
    let contradicted = contradicted_values(a, regions);
    if found.is_empty() && contradicted.is_empty() {
        return ranges;
    }
    for step in found.iter().flat_map(|(_, steps)| steps) {
        step.values.iter().for_each(|v| widen(ranges.entry(step.output).or_insert((0.0, 0.0)), v));
    }
    let places: Vec<&Region> = found.iter().map(|(i, _)| &regions[*i]).collect();
    let measured: Vec<(ValueId, ValueId)> =
        found.iter().flat_map(|(_, s)| s).filter_map(|s| Some((s.output, s.source?))).chain(contradicted).collect();
    for (output, _) in &measured {
        ranges.entry(*output).or_insert((0.0, 0.0));
    }
    let inputs = places.iter().flat_map(|r| &r.inputs).map(|i| a.pairs[*i].source);
    let needed: HashSet<ValueId> = inputs.chain(measured.iter().map(|(_, source)| *source)).collect();
    let fit = |ranges: &Ranges, i: usize, steps: &[Step]| {
        let times = if regions[i].verdict == Verdict::Faulty { WRONG } else { FAR };
        steps.iter().all(|s| ranges.get(&s.output).is_some_and(|range| s.fits(*range, times)))
    };
    let part = |from: usize, most: usize| {
        let of = |all: &'_ [usize]| all.iter().take(most).skip(from).copied().collect::<Vec<usize>>();
        [of(&subject.flipped), of(&subject.agreeing)].concat()
    };
    let (first, more) = (part(0, FEW), part(FEW, MOST));
    for (done, image) in first.iter().chain(&more).enumerate() {
        if done >= first.len() && found.iter().all(|(i, steps)| fit(&ranges, *i, steps)) {
            break;
        }
        watch.progress("measuring ranges", done, first.len() + more.len());
        if watch.cancelled() {
            return ranges;
        }
        let Ok(mut sides) = subject.images.inputs(*image, &[subject.source_feed]) else { continue };
        let given = sides.remove(0);
        let mut values: HashMap<ValueId, Value> = subject.source.inputs().iter().copied().zip(given.iter().cloned()).collect();
        values.retain(|v, _| needed.contains(v));
        subject.source.forward(&given, |id, made| {
            let made = subject.source.op(id).made().zip(made.iter().flatten());
            values.extend(made.filter(|(v, _)| needed.contains(v)).map(|(v, x)| (v, subject.source.numbers(v, x).into_owned())));
        });
        for region in &places {
            unquantised(a, region, &values, &mut ranges);
        }
        for (output, source) in &measured {
            if let (Some(range), Some(x)) = (ranges.get_mut(output), values.get(source)) {
                widen(range, x);
            }
        }
    }
    let outcome: Vec<(usize, bool)> = found.iter().map(|(i, steps)| (*i, fit(&ranges, *i, steps))).collect();
    for (i, fits) in outcome {
        let region = &mut regions[i];
        if region.verdict == Verdict::Clean {
            region.verdict = if fits { Verdict::Clean } else { Verdict::Faulty };
        } else if fits {
            region.verdict = Verdict::Clean;
            let name = region.target.first().map(|id| a.target().label(*id)).unwrap_or_default();
            notes.push(format!(
                "'{name}' loses {:.1} % on some images: loss explained by the steps of its quantisation, whose scale has to hold larger values of other images; no fault",
                region.isolated.unwrap_or(0.0) * 100.0
            ));
        }
    }
    ranges
}

fn widen(range: &mut (f32, f32), value: &Value) {
    for x in value.to_f32().iter().filter(|x| x.is_finite()) {
        *range = (range.0.min(*x), range.1.max(*x));
    }
}

/// Runs a region on an image's values of the source with nothing quantised, as far as it goes, and widens the ranges of what it quantises.
fn unquantised(a: &Alignment<'_>, region: &Region, source: &HashMap<ValueId, Value>, ranges: &mut Ranges) {
    let target = a.target();
    let mut local: HashMap<ValueId, Value> = HashMap::new();
    for pair in region.inputs.iter().map(|i| &a.pairs[*i]) {
        let x = source.get(&pair.source).and_then(|x| pair.layout.apply(x)?.cast(pair.dtype));
        local.extend(x.map(|x| (pair.target, x)));
    }
    for id in &region.target {
        let op = target.op(*id);
        let made: Vec<(ValueId, Value)> = match (op.op_type(), op.data.first().and_then(|v| local.get(v)), op.made().next()) {
            ("QuantizeLinear" | "DequantizeLinear", Some(x), Some(output)) => {
                if let Some(range) = ranges.get_mut(&output) {
                    widen(range, x);
                }
                vec![(output, x.clone())]
            }
            ("QuantizeLinear" | "DequantizeLinear", ..) => Vec::new(),
            _ => target.eval(*id, |v| local.get(&v)).map(|made| op.made().zip(made).collect()).unwrap_or_default(),
        };
        local.extend(made);
    }
}

/// The quantising steps of a region in which everything else is right. `None` where something is not, or nothing is quantised.
fn steps(a: &Alignment<'_>, region: &Region, threshold: f32) -> Option<Vec<Step>> {
    let target = a.target();
    // Values as the source has them, quantised or not.
    let mut right: HashMap<ValueId, Vec<Value>> = HashMap::new();
    let mut quantised: Vec<(OpId, ValueId)> = Vec::new();
    let mut from: HashMap<ValueId, usize> = HashMap::new();
    let constant = |id: OpId, slot: usize| target.op(id).inputs.get(slot).copied().flatten().and_then(|v| target.constant(v));
    for id in &region.target {
        let op = target.op(*id);
        let (input, output) = (op.data.first().copied(), op.made().next()?);
        match op.op_type() {
            "QuantizeLinear" => {
                let input = input?;
                let values = right.get(&input).cloned().or_else(|| a.fed(input).map(<[Value]>::to_vec))?;
                if a.pair_of(output).is_some() && a.fed(output).is_some_and(|wanted| worst_error(&values, wanted) > threshold * 0.5) {
                    return None;
                }
                from.insert(output, quantised.len());
                quantised.push((*id, output));
                right.insert(output, values);
            }
            "DequantizeLinear" => {
                let input = input?;
                let values = right.get(&input)?.clone();
                if let Some(step) = from.get(&input) {
                    let shared = |slot: usize| match (constant(quantised[*step].0, slot), constant(*id, slot)) {
                        (Some(x), Some(y)) => x.same(y),
                        (None, None) => true,
                        _ => false,
                    };
                    if !shared(1) || !shared(2) {
                        return None;
                    }
                }
                if a.fed(output).is_some_and(|wanted| a.pair_of(output).is_some() && worst_error(&values, wanted) > threshold * 0.5) {
                    return None;
                }
                right.insert(output, values);
            }
            _ => {
                let made = a.eval(*id, &right, a.images()).ok()?;
                for (v, values) in op.made().zip(made) {
                    if a.pair_of(v).is_some() && a.fed(v).is_some_and(|wanted| worst_error(&values, wanted) > threshold * 0.5) {
                        return None;
                    }
                    right.insert(v, values);
                }
            }
        }
    }
    let read = |(id, output): (OpId, ValueId)| Step::new(output, constant(id, 1)?, constant(id, 2), right.get(&output)?.clone());
    let steps: Option<Vec<Step>> = quantised.into_iter().map(read).collect();
    steps.filter(|s| !s.is_empty())
}

/// What is made in other steps than it is read in, in regions at fault, with the source's value that it stands for.
fn contradicted_values(a: &Alignment<'_>, regions: &[Region]) -> Vec<(ValueId, ValueId)> {
    let target = a.target();
    let faulty = regions.iter().filter(|r| r.verdict == Verdict::Faulty);
    let makers = faulty.flat_map(|r| &r.target).flat_map(|t| contradicted(target, *t));
    let stands_for = |p: OpId| {
        let output = target.op(p).made().next()?;
        let pair = a.pair_of(output).or_else(|| a.pair_of(*target.op(p).data.first()?))?;
        Some((output, pair.source))
    };
    makers.filter_map(stands_for).collect()
}

/// The step of a region that is one operator between integers, where what it loses is no more than its rounding.
fn rounding(a: &Alignment<'_>, region: &Region) -> Option<Vec<Step>> {
    let target = a.target();
    let mut all = region.target.iter().filter(|id| !hands_on(target.op(**id).op_type()));
    let (Some(id), None) = (all.next(), all.next()) else { return None };
    let op = target.op(*id);
    let slots = Steps::all(op.proto()).into_iter().find(|s| s.reads.is_none())?;
    let constant = |slot: usize| op.inputs.get(slot).copied().flatten().and_then(|v| target.constant(v));
    let output = op.made().next()?;
    let pair = a.pair_of(output)?;
    let mut step = Step::new(output, constant(slots.scale)?, constant(slots.zero), a.fed(output)?.to_vec())?;
    step.source = Some(pair.source);
    let lost = step.values.iter().map(|v| step.loss(&v.to_f32(), step.scale, step.zero)).fold(0.0, f32::max);
    (region.isolated? <= lost * WRONG).then(|| vec![step])
}

impl Step {
    /// `None` where the parameters are not those of a whole value, or of another type.
    fn new(output: ValueId, scale: &Value, zero: Option<&Value>, values: Vec<Value>) -> Option<Self> {
        let (bottom, top) = limits(zero.map_or(DataType::Uint8, Value::dtype))?;
        let number = |x: &Value| x.to_f32().first().copied().filter(|_| x.len() == 1);
        let zero = zero.map_or(Some(0.0), number)?;
        Some(Self { output, source: None, scale: number(scale)?, zero, bottom, top, values })
    }

    /// Whether these parameters lose no more than so many times what those measured on this range would.
    fn fits(&self, (low, high): (f32, f32), times: f32) -> bool {
        let scale = (high - low) / (self.top - self.bottom);
        // Probabilities are given all of 0 to 1, whatever they come to.
        let unit = [1.0 / 256.0, 1.0 / 255.0].iter().any(|u| (self.scale - u).abs() < 1e-6);
        if unit && self.zero == self.bottom && low >= 0.0 && high <= 1.0 {
            return true;
        }
        if scale.is_nan() || scale <= 0.0 || self.scale.is_nan() || self.scale <= 0.0 {
            return false;
        }
        let zero = (self.bottom - low / scale).round().clamp(self.bottom, self.top);
        self.values.iter().all(|v| {
            let x = v.to_f32();
            self.loss(&x, self.scale, self.zero) <= self.loss(&x, scale, zero) * times
        })
    }

    fn loss(&self, x: &[f32], scale: f32, zero: f32) -> f32 {
        let rounded: Vec<f32> =
            x.iter().map(|x| (((x / scale).round_ties_even() + zero).clamp(self.bottom, self.top) - zero) * scale).collect();
        relative_error(&rounded, x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(scale: f32, zero: f32) -> Step {
        let values = vec![Value::from_f32(&[100], (0..100).map(|i| (i as f32 - 50.0) * 0.013).collect())];
        Step { scale, zero, bottom: 0.0, top: 255.0, values, output: ValueId(0), source: None }
    }

    #[test]
    fn probabilities_have_the_steps_of_all_probabilities() {
        let few = vec![Value::from_f32(&[3], vec![0.001, 0.002, 0.005])];
        let step = |scale| Step { scale, zero: 0.0, bottom: 0.0, top: 255.0, values: few.clone(), output: ValueId(0), source: None };
        assert!(step(1.0 / 256.0).fits((0.0, 0.005), WRONG));
        assert!(!step(2.0 / 256.0).fits((0.0, 0.005), WRONG));
    }

    /// Values within ±0.65 where other images reach ±16: a coarse step that is right, and parameters that are not.
    #[test]
    fn a_coarse_step_is_right_where_other_images_need_it() {
        let range = (-16.0, 16.0);
        assert!(step(32.0 / 255.0, 128.0).fits(range, WRONG));
        assert!(!step(32.0 / 255.0, 128.0).fits((-0.65, 0.65), WRONG), "no image needs that step");
        assert!(!step(3.0 * 32.0 / 255.0, 128.0).fits(range, WRONG), "the scale is three times too large");
        assert!(!step(32.0 / 255.0, 1.0).fits(range, WRONG), "the zero point cuts off what is negative");
    }
}
