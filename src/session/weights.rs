//! Weights of both sides: figures of each, and how the numbers of one stand to those of the other.

use super::flow;
use super::sheet::Cell;
use crate::align::{candidates, relative_error};
use crate::model::harmless;
use crate::run::{Network, Value};

/// Dots of a scatter, across and down.
const DOTS: (usize, usize) = (40, 32);
/// Numbers that a scatter is made of at most; of more, one in so many is taken.
const MOST: usize = 1 << 20;
/// Constants with fewer numbers are shown as they are, beside the attributes.
const FEWEST: usize = 9;

/// A constant of either side, or both.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Weights {
    /// What it is called on the target's side, on the source's where the target has none.
    pub name: String,
    /// Least, greatest, mean, standard deviation on the source's side.
    pub source: Option<[f32; 4]>,
    /// The same on the target's.
    pub target: Option<[f32; 4]>,
    /// Relative L2 error of the target's numbers, where both have as many.
    pub error: Option<f32>,
    /// How many numbers are equal but for rounding, of how many.
    pub equal: Option<(usize, usize)>,
    /// The target's numbers over the source's, where they differ.
    pub scatter: Option<Scatter>,
}

/// Points in a grid over the common range of both sides, the source's numbers from left to right, the target's from the bottom up.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scatter {
    /// Dots across.
    pub columns: usize,
    /// Dots down.
    pub rows: usize,
    /// How many points fall on each dot, row by row from the top.
    pub counts: Vec<u32>,
    /// Ends of the range.
    pub range: (f32, f32),
}

/// A side of a row.
pub type Side<'a> = Option<(&'a Network, &'a Cell)>;

/// The weights of a row, those first that differ most. What stands for what is told by the number of elements, in order.
pub fn of_row(source: Side<'_>, target: Side<'_>) -> Vec<Weights> {
    let mut theirs = constants(source);
    let mut out: Vec<Weights> = Vec::new();
    for (name, mine) in constants(target) {
        let at = theirs.iter().position(|(_, v)| v.len() == mine.len());
        let yours = at.map(|i| theirs.remove(i).1);
        out.push(compare(name, yours.as_ref(), Some(&mine)));
    }
    out.extend(theirs.into_iter().map(|(name, v)| compare(name, Some(&v), None)));
    out.sort_by(|a, b| b.error.unwrap_or(f32::INFINITY).total_cmp(&a.error.unwrap_or(f32::INFINITY)));
    out
}

/// The constants of a side that have figures worth showing, without repetition.
fn constants(side: Side<'_>) -> Vec<(String, Value)> {
    let Some((network, cell)) = side else { return Vec::new() };
    let mut seen = Vec::new();
    let mut out = Vec::new();
    for v in cell.ops.iter().flat_map(|id| network.op(*id).inputs.iter().flatten()) {
        let Some(value) = network.constant(*v).filter(|c| c.is_float() && c.len() >= FEWEST) else { continue };
        if !seen.contains(v) {
            seen.push(*v);
            out.push((harmless(network.model().index().name(*v)).into_owned(), value.clone()));
        }
    }
    out
}

fn compare(name: String, source: Option<&Value>, target: Option<&Value>) -> Weights {
    let mut out = Weights {
        name,
        source: source.map(|v| flow::stats(&v.to_f32())),
        target: target.map(|v| flow::stats(&v.to_f32())),
        ..Weights::default()
    };
    let (Some(a), Some(b)) = (source, target) else { return out };
    let mine = b.to_f32();
    let layouts = candidates(a.shape(), b.shape());
    let laid = layouts.iter().filter_map(|l| l.apply(a)).map(|v| (relative_error(&mine, &v.to_f32()), v));
    let best = laid.min_by(|x, y| x.0.total_cmp(&y.0));
    let (error, yours) = best.unwrap_or_else(|| (relative_error(&mine, &a.to_f32()), a.clone()));
    let yours = yours.to_f32();
    let scale = yours.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let same = yours.iter().zip(mine.iter()).filter(|(x, y)| (*x - *y).abs() <= 1e-6 * scale || x == y).count();
    out.error = Some(error);
    out.equal = Some((same, mine.len()));
    out.scatter = (same < mine.len()).then(|| scatter(&yours, &mine));
    out
}

fn scatter(source: &[f32], target: &[f32]) -> Scatter {
    let (columns, rows) = DOTS;
    let finite = source.iter().chain(target).filter(|v| v.is_finite());
    let (low, high) = finite.fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    let mut counts = vec![0u32; columns * rows];
    let place = |v: f32, of: usize| {
        let at = if high > low { (v - low) / (high - low) * of as f32 } else { 0.0 };
        (at as usize).min(of - 1)
    };
    let step = source.len().div_ceil(MOST).max(1);
    for (x, y) in source.iter().zip(target).step_by(step).filter(|(x, y)| x.is_finite() && y.is_finite()) {
        if let Some(count) = counts.get_mut((rows - 1 - place(*y, rows)) * columns + place(*x, columns)) {
            *count += 1;
        }
    }
    Scatter { columns, rows, counts, range: (low, high) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(shape: &[usize], data: Vec<f32>) -> Value {
        Value::from_f32(shape, data)
    }

    #[test]
    fn equal_numbers_in_another_layout_are_equal_and_have_no_scatter() {
        let a = value(&[3, 4], (0..12).map(|i| i as f32).collect());
        let b = value(&[4, 3], (0..12).map(|i| (i % 3 * 4 + i / 3) as f32).collect());
        let found = compare("w".into(), Some(&a), Some(&b));
        assert_eq!(found.equal, Some((12, 12)));
        assert_eq!((found.error, found.scatter), (Some(0.0), None));
        assert_eq!(found.source.map(|s| (s[0], s[1])), Some((0.0, 11.0)));
    }

    #[test]
    fn a_scatter_has_its_points_on_the_diagonal_but_for_those_that_differ() {
        let a: Vec<f32> = (0..32).map(|i| i as f32).collect();
        let mut b = a.clone();
        b[31] = 0.0;
        let found = compare("w".into(), Some(&value(&[32], a)), Some(&value(&[32], b)));
        assert_eq!(found.equal, Some((31, 32)));
        let scatter = found.scatter.expect("they differ");
        assert_eq!(scatter.counts.iter().sum::<u32>(), 32);
        let dot = |x: usize, y: usize| scatter.counts[y * scatter.columns + x];
        // Low with low at the lower left, and the source's greatest with the target's zero at the lower right.
        assert!(dot(0, scatter.rows - 1) > 0 && dot(scatter.columns - 1, scatter.rows - 1) == 1);
        assert_eq!(dot(scatter.columns - 1, 0), 0);
    }

    #[test]
    fn what_only_one_side_has_is_told_without_a_comparison() {
        let a = value(&[10], vec![0.5; 10]);
        let found = compare("b".into(), Some(&a), None);
        assert_eq!((found.target, found.equal, found.error), (None, None, None));
    }
}
