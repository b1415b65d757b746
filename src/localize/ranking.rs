//! The ranking of Fix-Con / FetaFix (arXiv 2312.15101): in which layers do activations of flipped images differ otherwise than those of
//! agreeing ones?
//!
//! For each element of a layer, the signed difference between the target's and the source's activation in plain runs of both; a
//! Kruskal-Wallis test between the two groups of images; a layer's score is the share of elements that are significant. A correlation:
//! it also points at all that lies below a fault. There for comparison with the paper; the splice test is the proof.

use super::{Category, Kind, LocalizeError, Subject, Suspect};
use crate::align::Alignment;
use crate::dataset::DatasetError;
use crate::model::ValueId;
use crate::run::{Network, Value, Watch};
use statrs::distribution::{ChiSquared, ContinuousCDF};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// Images of either group, as in the paper.
const MOST: usize = 15;

/// Bytes of differences that are held at a time; more elements take more passes over the images.
const AT_A_TIME: usize = 128 << 20;

/// Elements below this p-value are significant.
const LEVEL: f64 = 0.05;

/// How suspects and regions are ordered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ranking {
    /// By what the splice test proves: flips that go when this place alone is right.
    #[default]
    Splice,
    /// As the paper does, by the share of elements that tell flipped images from agreeing ones.
    KruskalWallis,
}

impl Ranking {
    /// The word that the command line and JSON use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Splice => "splice",
            Self::KruskalWallis => "kruskal-wallis",
        }
    }
}

/// What the Kruskal-Wallis tests say of the regions.
#[derive(Debug, Clone, PartialEq)]
pub struct Significance {
    /// How many flipped and how many agreeing images were held against each other.
    pub images: (usize, usize),
    /// By region: the share of elements whose difference tells the groups apart; `None` where no activations can be compared.
    pub shares: Vec<Option<f32>>,
}

/// Some elements of what a region makes.
struct Part {
    region: usize,
    source: ValueId,
    target: ValueId,
    /// Index of the pair, for its layout.
    pair: usize,
    elements: Range<usize>,
}

/// Tests every region of an alignment; in words why not, where that is so.
///
/// # Errors
/// When an image list cannot be read at all, or somebody asked to stop.
pub(super) fn test(subject: &Subject<'_>, a: &Alignment<'_>, watch: &dyn Watch) -> Result<Result<Significance, String>, LocalizeError> {
    let readable = |list: &[usize]| -> Vec<usize> {
        let reads = |i: &usize| subject.images.inputs(*i, &[subject.source_feed, subject.target_feed]).is_ok();
        list.iter().copied().filter(reads).take(MOST).collect()
    };
    let (flipped, agreeing) = (readable(&subject.flipped), readable(&subject.agreeing));
    let (first, second) = (flipped.len(), agreeing.len());
    // The groups as far apart as can be.
    let apart: Vec<f32> = (0..first + second).map(|i| i as f32).collect();
    if first == 0 || second == 0 || kruskal_wallis(&apart[..first], &apart[first..], &mut Vec::new()).is_none_or(|(_, p)| p >= LEVEL) {
        return Ok(Err(format!("{first} flipped and {second} agreeing images are too few for any element to be significant")));
    }
    let images: Vec<usize> = flipped.iter().chain(&agreeing).copied().collect();
    let passes = passes(a, AT_A_TIME / size_of::<f32>() / images.len());
    // Significant elements and all of them.
    let mut counts: Vec<Option<(usize, usize)>> = vec![None; a.regions.len()];
    let mut uncomparable: HashSet<usize> = HashSet::new();
    let mut scratch = Vec::new();
    for (pass, parts) in passes.iter().enumerate() {
        let mut held: Vec<Vec<Vec<f32>>> = vec![Vec::with_capacity(images.len()); parts.len()];
        for (done, image) in images.iter().enumerate() {
            watch.progress("comparing activations", pass * images.len() + done, passes.len() * images.len());
            if watch.cancelled() {
                return Err(LocalizeError::Stopped);
            }
            for (kept, made) in held.iter_mut().zip(differences(subject, a, parts, *image)?) {
                kept.extend(made);
            }
        }
        for (part, held) in parts.iter().zip(&held) {
            if held.len() != images.len() {
                uncomparable.insert(part.region);
                continue;
            }
            let count = counts[part.region].get_or_insert((0, 0));
            let (mut one, mut other) = (vec![0.0; first], vec![0.0; second]);
            for element in 0..part.elements.len() {
                for (into, from) in one.iter_mut().chain(&mut other).zip(held) {
                    *into = from[element];
                }
                count.0 += usize::from(kruskal_wallis(&one, &other, &mut scratch).is_some_and(|(_, p)| p < LEVEL));
                count.1 += 1;
            }
        }
    }
    let share = |(region, count): (usize, &Option<(usize, usize)>)| {
        count.filter(|(_, of)| *of > 0 && !uncomparable.contains(&region)).map(|(n, of)| (n as f64 / of as f64) as f32)
    };
    let shares: Vec<Option<f32>> = counts.iter().enumerate().map(share).collect();
    if shares.iter().all(Option::is_none) {
        return Ok(Err("there are no activations of both models to compare".into()));
    }
    Ok(Ok(Significance { images: (first, second), shares }))
}

/// The elements of all paired values that regions make, as many at a time as there is room for.
fn passes(a: &Alignment<'_>, room: usize) -> Vec<Vec<Part>> {
    let room = room.max(1);
    let real = a.source().network.model().index().value_count();
    let mut out: Vec<Vec<Part>> = Vec::new();
    let mut left = 0;
    for (region, r) in a.regions.iter().enumerate() {
        for pair in r.outputs.iter().copied() {
            let Some(p) = a.pairs.get(pair).filter(|p| (p.source.0 as usize) < real) else { continue };
            let len = a.fed(p.target).and_then(<[Value]>::first).map_or(0, Value::len);
            let mut from = 0;
            while from < len {
                if left == 0 {
                    out.push(Vec::new());
                    left = room;
                }
                let to = len.min(from + left);
                left -= to - from;
                if let Some(last) = out.last_mut() {
                    last.push(Part { region, source: p.source, target: p.target, pair, elements: from..to });
                }
                from = to;
            }
        }
    }
    out
}

/// What the target makes on one image less what the source makes, for each part; none where either does not get so far.
fn differences(subject: &Subject<'_>, a: &Alignment<'_>, parts: &[Part], image: usize) -> Result<Vec<Option<Vec<f32>>>, DatasetError> {
    let sides = subject.images.inputs(image, &[subject.source_feed, subject.target_feed])?;
    let [theirs, own] = &sides[..] else { return Ok(vec![None; parts.len()]) };
    let wanted: HashSet<ValueId> = parts.iter().map(|p| p.source).collect();
    let mut source: HashMap<ValueId, Value> = HashMap::new();
    each_value(subject.source, theirs, |v, value| {
        if wanted.contains(&v) {
            source.insert(v, value.clone());
        }
    });
    let mut out: Vec<Option<Vec<f32>>> = vec![None; parts.len()];
    let mut of: HashMap<ValueId, Vec<usize>> = HashMap::new();
    for (i, part) in parts.iter().enumerate() {
        of.entry(part.target).or_default().push(i);
    }
    each_value(subject.target, own, |v, value| {
        let Some(places) = of.get(&v) else { return };
        let found = value.to_f32();
        for i in places {
            let part = &parts[*i];
            let Some(laid) = source.get(&part.source).and_then(|s| a.pairs[part.pair].layout.apply(s)) else { continue };
            let laid = laid.to_f32();
            if let (Some(x), Some(y)) = (found.get(part.elements.clone()), laid.get(part.elements.clone()))
                && found.len() == laid.len()
            {
                out[*i] = Some(x.iter().zip(y).map(|(x, y)| x - y).collect());
            }
        }
    });
    Ok(out)
}

/// All values of a network on one image, inputs too; one that a node fails to make is left out.
fn each_value(network: &Network, inputs: &[Value], mut visit: impl FnMut(ValueId, &Value)) {
    network.inputs().iter().zip(inputs).for_each(|(v, value)| visit(*v, value));
    network.forward(inputs, |id, made| {
        if let Ok(made) = made {
            network.op(id).made().zip(made).for_each(|(v, value)| visit(v, &network.numbers(v, value)));
        }
    });
}

/// H of a Kruskal-Wallis test of two groups, corrected for ties, and its p-value by the chi-squared distribution; `None` where all
/// values are the same, of which the test says nothing. `scratch` is there to be used again.
fn kruskal_wallis(first: &[f32], second: &[f32], scratch: &mut Vec<(f32, bool)>) -> Option<(f64, f64)> {
    // Adding zero makes -0 the 0 that it is tied with; one NaN is tied with any other.
    let plain = |x: f32| if x.is_nan() { f32::NAN } else { x + 0.0 };
    scratch.clear();
    scratch.extend(first.iter().map(|x| (plain(*x), true)).chain(second.iter().map(|x| (plain(*x), false))));
    scratch.sort_unstable_by(|x, y| x.0.total_cmp(&y.0));
    let n = scratch.len() as f64;
    let (mut rank_sum, mut ties, mut below) = (0.0, 0.0, 0.0);
    for tied in scratch.chunk_by(|x, y| x.0.total_cmp(&y.0).is_eq()) {
        let t = tied.len() as f64;
        // Tied values share the mean of their ranks.
        rank_sum += tied.iter().filter(|x| x.1).count() as f64 * (below + (t + 1.0) / 2.0);
        ties += t * t * t - t;
        below += t;
    }
    let correction = 1.0 - ties / (n * n * n - n);
    if first.is_empty() || second.is_empty() || correction <= 0.0 {
        return None;
    }
    let other = n * (n + 1.0) / 2.0 - rank_sum;
    let squares = rank_sum * rank_sum / first.len() as f64 + other * other / second.len() as f64;
    let h = (12.0 / (n * (n + 1.0)) * squares - 3.0 * (n + 1.0)) / correction;
    Some((h, ChiSquared::new(1.0).ok()?.sf(h.max(0.0))))
}

/// Puts the suspect with the largest share first. The input and what stops a run stay in front: the paper, too, clears the input first,
/// and neither has activations that could be compared.
pub(super) fn order(suspects: &mut [Suspect], significance: &Significance) {
    let share = |s: &Suspect| s.region.and_then(|r| *significance.shares.get(r)?);
    let first = |s: &Suspect| s.region.is_none() && s.category != Category::TS || s.kind == Some(Kind::CgUnsupported);
    suspects.sort_by(|x, y| first(y).cmp(&first(x)).then_with(|| share(y).unwrap_or(-1.0).total_cmp(&share(x).unwrap_or(-1.0))));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of scipy.stats.kruskal (1.17.1).
    #[test]
    fn h_and_p_are_those_of_scipy() {
        let far: (Vec<f32>, Vec<f32>) = ((0..15).map(|i| i as f32).collect(), (0..15).map(|i| i as f32 + 7.5).collect());
        let known: [(&[f32], &[f32], f64, f64); 5] = [
            (&[1.0, 3.0, 5.0, 7.0, 9.0], &[2.0, 4.0, 6.0, 8.0, 10.0], 0.272_727_272_727_273_4, 0.601_508_134_440_589_5),
            (&[0.5, 0.5, 1.25, -2.0, 3.0, 0.0], &[0.5, 4.0, 3.0, 7.5], 3.386_718_749_999_997_3, 0.065_723_620_945_415_21),
            (&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0], 3.857_142_857_142_854, 0.049_534_613_435_626_915),
            (&[1.0, 1.0, 2.0, 2.0], &[2.0, 2.0, 3.0, 3.0], 3.499_999_999_999_999_6, 0.061_368_829_139_402_274),
            (&far.0, &far.1, 12.284_301_075_268_814, 0.000_456_784_433_261_071_34),
        ];
        for (one, other, h, p) in known {
            let (found_h, found_p) = kruskal_wallis(one, other, &mut Vec::new()).unwrap();
            assert!((found_h - h).abs() < 1e-9 && (found_p - p).abs() < 1e-9, "{one:?} {other:?}: {found_h} {found_p}");
        }
    }

    #[test]
    fn equal_values_are_tied_whatever_their_sign_bit() {
        assert_eq!(kruskal_wallis(&[0.0, -0.0, 0.0], &[-0.0, 0.0, -0.0], &mut Vec::new()), None, "nothing differs");
        let with = |x: f32| kruskal_wallis(&[1.0, x, 2.0], &[3.0, f32::NAN, 4.0], &mut Vec::new());
        assert_eq!(with(f32::NAN), with(-f32::NAN));
    }
}
