//! What flows out of a region for one image: the source's value, and what the target's side makes of the source's inputs.

use super::detail::{Activations, Images};
use crate::align::{Pair, Region, relative_error};
use crate::model::ValueId;
use crate::run::{Network, Value};
use std::collections::{HashMap, HashSet};

/// Parts of a histogram.
const BINS: usize = 32;

/// A region between two networks.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub source: &'a Network,
    pub target: &'a Network,
    pub pairs: &'a [Pair],
    pub region: &'a Region,
}

/// What flows out of a region, alone on the source's values of an image, beside what the source has there.
///
/// # Errors
/// In words: what cannot be run or compared.
pub(super) fn isolated(place: Place<'_>, images: &Images, image: usize) -> Result<Activations, String> {
    let (expected, found, perm) = both(place, images, image)?;
    Ok(compare(&expected, &found, perm))
}

/// The isolated error of a region for an image.
///
/// # Errors
/// As [`isolated`].
pub(super) fn error(place: Place<'_>, images: &Images, image: usize) -> Result<f32, String> {
    let (expected, found, _) = both(place, images, image)?;
    Ok(relative_error(&found.to_f32(), &expected.to_f32()))
}

/// What the source has behind a region, what the region makes of the source's values, and the order of axes between them.
fn both<'a>(
    Place { source, target, pairs, region }: Place<'a>,
    images: &Images,
    image: usize,
) -> Result<(Value, Value, &'a [usize]), String> {
    let output = region.outputs.iter().filter_map(|i| pairs.get(*i)).next().ok_or("nothing that flows out of it is paired")?;
    let given: Vec<&Pair> = region.inputs.iter().filter_map(|i| pairs.get(*i)).collect();
    let wanted: HashSet<ValueId> = given.iter().copied().chain([output]).map(|p| p.source).collect();
    if wanted.iter().any(|v| v.0 as usize >= source.model().index().value_count()) {
        return Err("it is compared with a value that the source does not make itself".into());
    }
    let (set, feed) = images;
    let inputs = set.inputs(image, &[feed]).map_err(|e| e.to_string())?.pop().unwrap_or_default();
    let values = record(source, &inputs, &wanted)?;
    let missing = || "the source does not make a value that it needs".to_string();
    let laid = |p: &Pair| p.layout.apply(values.get(&p.source).ok_or_else(missing)?).ok_or_else(|| "the shapes do not fit".to_string());
    let mut local: HashMap<ValueId, Value> = HashMap::new();
    for pair in given {
        let x = laid(pair)?.cast(pair.dtype).ok_or_else(|| "the element types do not fit".to_string())?;
        local.insert(pair.target, x);
    }
    let expected = laid(output)?;
    for id in &region.target {
        let made = target.eval(*id, |v| local.get(&v)).map_err(|e| e.to_string())?;
        let made: Vec<(ValueId, Value)> = target.op(*id).made().zip(made).collect();
        local.extend(made);
    }
    let found = local.get(&output.target).ok_or_else(missing)?;
    if found.len() != expected.len() {
        return Err(format!("the target makes {:?} where the source has {:?}", found.shape(), expected.shape()));
    }
    Ok((expected, found.clone(), &output.layout.perm))
}

/// The wanted values of a run, the inputs among them.
fn record(network: &Network, inputs: &[Value], wanted: &HashSet<ValueId>) -> Result<HashMap<ValueId, Value>, String> {
    let mut out: HashMap<ValueId, Value> = HashMap::new();
    out.extend(network.inputs().iter().copied().zip(inputs.iter().cloned()).filter(|(v, _)| wanted.contains(v)));
    for v in wanted {
        out.extend(network.constant(*v).map(|c| (*v, c.clone())));
    }
    let mut failure = None;
    network.forward(inputs, |id, made| match made {
        Ok(made) => {
            let made = network.op(id).made().zip(made).filter(|(v, _)| wanted.contains(v));
            out.extend(made.map(|(v, x)| (v, network.numbers(v, x).into_owned())));
        }
        Err(why) => drop(failure.get_or_insert(why.to_string())),
    });
    match failure {
        Some(why) if out.len() < wanted.len() => Err(why),
        _ => Ok(out),
    }
}

/// Least, greatest, mean, standard deviation.
pub(super) fn stats(x: &[f32]) -> [f32; 4] {
    if x.is_empty() {
        return [0.0; 4];
    }
    let (low, high) = x.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    let mean = x.iter().map(|v| f64::from(*v)).sum::<f64>() / x.len() as f64;
    let variance = x.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / x.len() as f64;
    [low, high, mean as f32, variance.sqrt() as f32]
}

/// `perm` tells where the target has the channels: axis 1 of four in the source's NCHW, else the last.
fn compare(expected: &Value, found: &Value, perm: &[usize]) -> Activations {
    let (a, b) = (expected.to_f32(), found.to_f32());
    let (source, target) = (stats(&a), stats(&b));
    let (low, high) = (source[0].min(target[0]), source[1].max(target[1]));
    let histogram = |x: &[f32]| {
        let mut bins = vec![0usize; BINS];
        for v in x.iter().filter(|v| v.is_finite()) {
            let at = if high > low { (v - low) / (high - low) * BINS as f32 } else { 0.0 };
            bins[(at as usize).min(BINS - 1)] += 1;
        }
        bins
    };
    let (p, q) = (histogram(&a), histogram(&b));
    let most = p.iter().chain(&q).copied().max().unwrap_or(1).max(1) as f64;
    let bins = [p, q].map(|h| h.into_iter().map(|n| n as f64 / most).collect());
    let rms = (a.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / a.len().max(1) as f64).sqrt().max(1e-30);
    let square = |i: usize| f64::from(a[i] - b[i]).powi(2);
    let (mut channels, mut map) = (Vec::new(), None);
    if let [_, x, y, z] = *found.shape() {
        // Channels first unless the layout, or the shape, says that they come last.
        let last = perm == [0, 2, 3, 1] || (perm != [0, 3, 1, 2] && z > x && z > y);
        let (c, h, w) = if last { (z, x, y) } else { (x, y, z) };
        let at = |n: usize, i: usize, j: usize| if last { (i * w + j) * c + n } else { (n * h + i) * w + j };
        let mut by_channel = vec![0.0f64; c];
        let mut by_place = vec![0.0f64; h * w];
        if c * h * w <= a.len() {
            for (n, sum) in by_channel.iter_mut().enumerate() {
                for i in 0..h {
                    for j in 0..w {
                        let d = square(at(n, i, j));
                        *sum += d;
                        by_place[i * w + j] += d;
                    }
                }
            }
            channels = by_channel.iter().map(|s| ((s / (h * w).max(1) as f64).sqrt() / rms) as f32).collect();
            map = Some(squeeze(h, w, by_place.iter().map(|s| ((s / c.max(1) as f64).sqrt() / rms) as f32).collect()));
        }
    } else if let Some(n) = found.shape().last().copied().filter(|n| *n > 1) {
        let mut by_channel = vec![0.0f64; n];
        for i in 0..a.len() {
            by_channel[i % n] += square(i);
        }
        let rows = (a.len() / n).max(1) as f64;
        channels = by_channel.iter().map(|s| ((s / rows).sqrt() / rms) as f32).collect();
    }
    Activations { source, target, bins, channels, map }
}

/// A map of at most 16 rows and 24 columns: the largest of each stretch.
fn squeeze(h: usize, w: usize, values: Vec<f32>) -> (usize, usize, Vec<f32>) {
    let (rows, columns) = (h.min(16), w.min(24));
    if (rows, columns) == (h, w) {
        return (h, w, values);
    }
    let mut out = vec![0.0f32; rows * columns];
    for i in 0..h {
        for j in 0..w {
            let to = &mut out[(i * rows / h) * columns + j * columns / w];
            *to = to.max(values[i * w + j]);
        }
    }
    (rows, columns, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_at_the_border_shows_where_it_is() {
        let a = Value::from_f32(&[1, 2, 3, 3], vec![1.0; 18]);
        let mut changed = vec![1.0; 18];
        changed[8] = 2.0;
        let b = Value::from_f32(&[1, 2, 3, 3], changed);
        let found = compare(&a, &b, &[0, 1, 2, 3]);
        assert!(found.channels[0] > 0.3 && found.channels[1] == 0.0);
        let (h, w, map) = found.map.expect("a map");
        assert_eq!((h, w), (3, 3));
        assert!(map[8] > 0.5 && map[..8].iter().all(|v| *v == 0.0));
        assert_eq!(found.source, [1.0, 1.0, 1.0, 0.0]);
    }

    #[test]
    fn channels_that_come_last_are_found() {
        let a = Value::from_f32(&[1, 2, 2, 4], (0..16).map(|i| i as f32).collect());
        let mut changed: Vec<f32> = (0..16).map(|i| i as f32).collect();
        changed[3] = 30.0;
        let found = compare(&a, &Value::from_f32(&[1, 2, 2, 4], changed), &[0, 2, 3, 1]);
        assert_eq!(found.channels.iter().filter(|c| **c > 0.0).count(), 1);
        assert!(found.channels[3] > 0.0);
    }

    #[test]
    fn large_maps_keep_their_largest_values() {
        let mut values = vec![0.0; 64 * 64];
        values[63 * 64 + 63] = 1.0;
        let (h, w, map) = squeeze(64, 64, values);
        assert_eq!((h, w, map[16 * 24 - 1]), (16, 24, 1.0));
    }
}
