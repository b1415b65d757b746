//! Order among scores: labels, top lists, rank correlation.

use std::cmp::Ordering;

/// How scores are ordered: larger first, the earlier class first among equals, NaN as minus infinity.
fn before(row: &[f32], a: usize, b: usize) -> Ordering {
    let key = |i: usize| if row[i].is_nan() { f32::NEG_INFINITY } else { row[i] };
    key(b).partial_cmp(&key(a)).unwrap_or(Ordering::Equal).then(a.cmp(&b))
}

/// The class with the largest score, the first one among equals; NaN counts as minus infinity. `None` for an empty row.
pub fn label(row: &[f32]) -> Option<usize> {
    (0..row.len()).min_by(|a, b| before(row, *a, *b))
}

/// The `k` classes with the largest scores, best first.
pub fn top(row: &[f32], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..row.len()).collect();
    if k < order.len() {
        order.select_nth_unstable_by(k, |a, b| before(row, *a, *b));
        order.truncate(k);
    }
    order.sort_unstable_by(|a, b| before(row, *a, *b));
    order
}

/// Share of one top list that is in the other, whatever the order.
pub fn overlap(a: &[usize], b: &[usize]) -> f64 {
    let k = a.len().min(b.len());
    if k == 0 {
        return 1.0;
    }
    a[..k].iter().filter(|c| b[..k].contains(c)).count() as f64 / k as f64
}

/// By how much the best score leads the second; `None` for fewer than two classes.
pub fn margin(row: &[f32]) -> Option<f32> {
    let best = top(row, 2);
    Some(row[*best.first()?] - row[*best.get(1)?])
}

/// Kendall's tau-b between two rows of scores, in `n log n` (Knight's method). `None` when one of them has only ties.
pub fn kendall_tau(a: &[f32], b: &[f32]) -> Option<f64> {
    let n = a.len().min(b.len());
    let cmp = |x: f32, y: f32| x.partial_cmp(&y).unwrap_or_else(|| y.is_nan().cmp(&x.is_nan()));
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|i, j| cmp(a[*i], a[*j]).then(cmp(b[*i], b[*j])));
    let pairs = |n: u64| n * n.saturating_sub(1) / 2;
    let tied = |same: &dyn Fn(usize, usize) -> bool, order: &[usize]| -> u64 {
        order.chunk_by(|i, j| same(*i, *j)).map(|c| pairs(c.len() as u64)).sum()
    };
    let same_a = |i: usize, j: usize| cmp(a[i], a[j]).is_eq();
    let same_b = |i: usize, j: usize| cmp(b[i], b[j]).is_eq();
    let ties_a = tied(&same_a, &order);
    let ties_both = tied(&|i, j| same_a(i, j) && same_b(i, j), &order);
    let swaps = sort_counting(&mut order, &|i, j| cmp(b[i], b[j]));
    let ties_b = tied(&same_b, &order);
    let all = pairs(n as u64);
    let (free_a, free_b) = (all - ties_a, all - ties_b);
    if free_a == 0 || free_b == 0 {
        return None;
    }
    let concordant_less_discordant = all as f64 - ties_a as f64 - ties_b as f64 + ties_both as f64 - 2.0 * swaps as f64;
    Some(concordant_less_discordant / ((free_a as f64).sqrt() * (free_b as f64).sqrt()))
}

/// Merge sort that counts exchanges.
fn sort_counting(order: &mut [usize], cmp: &impl Fn(usize, usize) -> Ordering) -> u64 {
    let n = order.len();
    if n < 2 {
        return 0;
    }
    let (left, right) = order.split_at_mut(n / 2);
    let mut swaps = sort_counting(left, cmp) + sort_counting(right, cmp);
    let mut merged = Vec::with_capacity(n);
    let (mut i, mut j) = (0, 0);
    while i < left.len() && j < right.len() {
        if cmp(right[j], left[i]).is_lt() {
            swaps += (left.len() - i) as u64;
            merged.push(right[j]);
            j += 1;
        } else {
            merged.push(left[i]);
            i += 1;
        }
    }
    merged.extend_from_slice(&left[i..]);
    merged.extend_from_slice(&right[j..]);
    order.copy_from_slice(&merged);
    swaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_is_numpys_argmax_with_nan_last() {
        assert_eq!(label(&[1.0, 3.0, 3.0]), Some(1));
        assert_eq!(label(&[f32::NAN, -1.0]), Some(1));
        assert_eq!(label(&[f32::NAN, f32::NEG_INFINITY]), Some(0));
        assert_eq!(label(&[f32::NAN, f32::NAN]), Some(0));
        assert_eq!(label(&[]), None);
    }

    #[test]
    fn top_lists_are_in_order() {
        let row = [0.1, 0.5, 0.2, 0.5, f32::NAN];
        assert_eq!(top(&row, 3), [1, 3, 2]);
        assert_eq!(top(&row, 99).len(), 5);
        assert_eq!(top(&row, 0), [0usize; 0]);
        assert_eq!(overlap(&[1, 2, 3], &[3, 1, 9]), 2.0 / 3.0);
        assert_eq!(margin(&row), Some(0.0));
        assert_eq!(margin(&[1.0]), None);
    }

    /// The definition, pair by pair.
    fn slow_tau(a: &[f32], b: &[f32]) -> Option<f64> {
        let (mut s, mut fa, mut fb) = (0f64, 0f64, 0f64);
        for i in 0..a.len() {
            for j in 0..i {
                let sign = |x: f32, y: f32| f64::from(i8::from(x > y) - i8::from(x < y));
                let (da, db) = (sign(a[i], a[j]), sign(b[i], b[j]));
                s += da * db;
                fa += da.abs();
                fb += db.abs();
            }
        }
        (fa > 0.0 && fb > 0.0).then(|| s / (fa.sqrt() * fb.sqrt()))
    }

    proptest::proptest! {
        #[test]
        fn tau_is_what_its_definition_says(pairs in proptest::collection::vec((0u8..6, 0u8..6), 0..40)) {
            let a: Vec<f32> = pairs.iter().map(|p| f32::from(p.0)).collect();
            let b: Vec<f32> = pairs.iter().map(|p| f32::from(p.1)).collect();
            match (kendall_tau(&a, &b), slow_tau(&a, &b)) {
                (Some(x), Some(y)) => assert!((x - y).abs() < 1e-9, "{x} {y}"),
                (x, y) => assert_eq!(x, y),
            }
        }
    }
}
