//! Errors between tensors, and fingerprints that do not depend on the order of elements.

use crate::run::Value;

/// Relative L2 error of `found` against `wanted`: ‖found − wanted‖ / ‖wanted‖. Infinite when sizes differ or something is not finite.
pub fn relative_error(found: &[f32], wanted: &[f32]) -> f32 {
    if found.len() != wanted.len() {
        return f32::INFINITY;
    }
    let (mut difference, mut norm) = (0.0f64, 0.0f64);
    // In blocks of f32 sums: as exact as needed, and the compiler can vectorise them.
    for (f, w) in found.chunks(256).zip(wanted.chunks(256)) {
        let (mut d, mut n) = ([0.0f32; 8], [0.0f32; 8]);
        let (fc, wc) = (f.chunks_exact(8), w.chunks_exact(8));
        for (a, b) in fc.remainder().iter().zip(wc.remainder()) {
            d[0] += (a - b) * (a - b);
            n[0] += b * b;
        }
        for (a, b) in fc.zip(wc) {
            for i in 0..8 {
                let e = a[i] - b[i];
                d[i] += e * e;
                n[i] += b[i] * b[i];
            }
        }
        difference += f64::from(d.iter().sum::<f32>());
        norm += f64::from(n.iter().sum::<f32>());
    }
    // Squares that single precision does not hold: too large ones, or none of which the sum is more than the smallest.
    if !norm.is_finite() || !difference.is_finite() || norm < f64::from(f32::MIN_POSITIVE) * found.len() as f64 {
        let square = |x: f64| x * x;
        difference = found.iter().zip(wanted).map(|(f, w)| square(f64::from(*f) - f64::from(*w))).sum();
        norm = wanted.iter().map(|w| square(f64::from(*w))).sum();
    }
    if !difference.is_finite() || !norm.is_finite() {
        return f32::INFINITY;
    }
    if norm == 0.0 {
        return if difference == 0.0 { 0.0 } else { f32::INFINITY };
    }
    (difference / norm).sqrt() as f32
}

/// [`relative_error`] of two values of any float type and of any shape.
pub fn error_between(found: &Value, wanted: &Value) -> f32 {
    relative_error(&found.to_f32(), &wanted.to_f32())
}

/// The worst image's error.
pub fn worst_error(found: &[Value], wanted: &[Value]) -> f32 {
    found.iter().zip(wanted).map(|(f, w)| error_between(f, w)).fold(0.0, f32::max)
}

/// Means over all elements of functions that change no faster than their argument, and the root mean square.
///
/// For such functions the difference of the means is at most the root mean square of the elements' differences, in whatever order
/// the elements stand: pruning by fingerprints never loses a true pair.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fingerprint {
    means: [f64; 5],
    /// Root mean square.
    pub rms: f64,
}

impl Fingerprint {
    /// The fingerprint of a value; `None` for one that is not finite.
    pub fn of(values: &[f32]) -> Option<Self> {
        let mut sums = [0.0f64; 6];
        for block in values.chunks(512) {
            let mut s = [[0.0f32; 8]; 6];
            let mut add = |i: usize, x: f32| {
                s[0][i] += x;
                s[1][i] += x.abs();
                s[2][i] += (x - 0.25).max(0.0);
                s[3][i] += (x - 1.0).max(0.0);
                s[4][i] += (x + 0.5).min(0.0);
                s[5][i] += x * x;
            };
            let chunks = block.chunks_exact(8);
            for (i, x) in chunks.remainder().iter().enumerate() {
                add(i, *x);
            }
            for c in chunks {
                for (i, x) in c.iter().enumerate() {
                    add(i, *x);
                }
            }
            for (sum, s) in sums.iter_mut().zip(&s) {
                *sum += f64::from(s.iter().sum::<f32>());
            }
        }
        let n = values.len() as f64;
        let [a, b, c, d, e, square] = sums.map(|s| s / n);
        let out = Self { means: [a, b, c, d, e], rms: square.sqrt() };
        out.rms.is_finite().then_some(out)
    }

    /// A lower bound of the relative error between the two values, whatever the order of their elements.
    pub fn distance(&self, other: &Self) -> f64 {
        let means = self.means.iter().zip(&other.means).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        means.max((self.rms - other.rms).abs()) / other.rms.max(1e-12)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_bounds_the_error_from_below() {
        let wanted: Vec<f32> = (0..4001).map(|i| ((i * 7919) % 1000) as f32 / 250.0 - 2.0).collect();
        for scale in [0.0f32, 1e-3, 0.1, 2.0] {
            let found: Vec<f32> = wanted.iter().enumerate().map(|(i, x)| x + scale * ((i % 13) as f32 - 6.0) / 6.0).collect();
            let (f, w) = (Fingerprint::of(&found).expect("finite"), Fingerprint::of(&wanted).expect("finite"));
            let error = f64::from(relative_error(&found, &wanted));
            assert!(f.distance(&w) <= error + 1e-6, "{scale}: {} > {error}", f.distance(&w));
        }
    }

    #[test]
    fn order_does_not_matter() {
        let a: Vec<f32> = (0..1000).map(|i| (i as f32).sin()).collect();
        let mut b = a.clone();
        b.reverse();
        assert!(Fingerprint::of(&a).expect("finite").distance(&Fingerprint::of(&b).expect("finite")) < 1e-6);
    }

    #[test]
    fn what_is_not_finite_is_infinitely_wrong() {
        assert_eq!(relative_error(&[f32::NAN, 1.0], &[1.0, 1.0]), f32::INFINITY);
        assert!(Fingerprint::of(&[f32::NAN]).is_none());
    }
}
