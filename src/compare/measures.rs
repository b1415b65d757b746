//! How far two rows of scores are apart.

use schemars::JsonSchema;
use serde::Serialize;

/// Distances between two outputs of the same length, summed in 64 bits. Elements that are not finite on either side are left out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Distance {
    /// Largest absolute difference.
    pub max_abs: f64,
    /// Euclidean length of the difference over that of the source.
    pub relative_l2: f64,
    /// Cosine of the angle between both; 1 where both are zero.
    pub cosine: f64,
    /// Signal to noise in decibels, the source being the signal; absent where there is no difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sqnr_db: Option<f64>,
}

impl Distance {
    /// Between a source's output and a target's.
    pub fn between(source: &[f32], target: &[f32]) -> Self {
        let (mut max_abs, mut noise, mut signal, mut other, mut dot) = (0f64, 0f64, 0f64, 0f64, 0f64);
        for (s, t) in source.iter().zip(target).filter(|(s, t)| s.is_finite() && t.is_finite()) {
            let (s, t) = (f64::from(*s), f64::from(*t));
            let d = t - s;
            max_abs = max_abs.max(d.abs());
            noise += d * d;
            signal += s * s;
            other += t * t;
            dot += s * t;
        }
        let relative_l2 = match (noise == 0.0, signal == 0.0) {
            (true, _) => 0.0,
            (false, true) => f64::MAX,
            (false, false) => (noise / signal).sqrt(),
        };
        let cosine = match (signal == 0.0, other == 0.0) {
            (true, true) => 1.0,
            (false, false) => (dot / (signal.sqrt() * other.sqrt())).clamp(-1.0, 1.0),
            _ => 0.0,
        };
        let sqnr_db = (noise > 0.0 && signal > 0.0).then(|| 10.0 * (signal / noise).log10());
        Self { max_abs, relative_l2, cosine, sqnr_db }
    }
}

/// What a row holds that is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NonFinite {
    /// At least one NaN.
    Nan,
    /// No NaN, but an infinity.
    Infinity,
}

/// The first element that is not finite, a NaN before an infinity.
pub fn non_finite(row: &[f32]) -> Option<(usize, NonFinite)> {
    let nan = row.iter().position(|v| v.is_nan()).map(|i| (i, NonFinite::Nan));
    nan.or_else(|| row.iter().position(|v| v.is_infinite()).map(|i| (i, NonFinite::Infinity)))
}

/// Whether every element of the target lies within the tolerance of the source's, as numpy's `allclose` has it; NaN equals NaN.
pub fn within(source: &[f32], target: &[f32], rtol: f64, atol: f64) -> bool {
    let close = |s: f32, t: f32| {
        let (s, t) = (f64::from(s), f64::from(t));
        s == t || (s.is_nan() && t.is_nan()) || (s.is_finite() && (t - s).abs() <= atol + rtol * s.abs())
    };
    source.len() == target.len() && source.iter().zip(target).all(|(s, t)| close(*s, *t))
}

/// Softmax, for sides that give logits.
pub fn softmax(row: &[f32]) -> Vec<f32> {
    let most = row.iter().copied().filter(|v| !v.is_nan()).fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = row.iter().map(|v| f64::from(*v - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|p| (p / sum) as f32).collect()
}

/// Whether a row can be probabilities of classes that exclude each other.
pub fn is_probabilities(row: &[f32]) -> bool {
    let sum: f64 = row.iter().map(|v| f64::from(*v)).sum();
    row.iter().all(|v| (0.0..=1.0).contains(v)) && (sum - 1.0).abs() < 1e-3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_of_a_known_pair() {
        let d = Distance::between(&[3.0, 4.0], &[3.0, 3.0]);
        assert_eq!(d.max_abs, 1.0);
        assert!((d.relative_l2 - 0.2).abs() < 1e-12);
        assert!((d.cosine - 21.0 / (5.0 * 18f64.sqrt())).abs() < 1e-12);
        assert!((d.sqnr_db.unwrap() - 10.0 * 25f64.log10()).abs() < 1e-12);
    }

    #[test]
    fn equal_and_empty_rows_have_no_distance() {
        for row in [&[1.0f32, -2.0][..], &[0.0, 0.0], &[]] {
            let d = Distance::between(row, row);
            assert_eq!((d.max_abs, d.relative_l2, d.sqnr_db), (0.0, 0.0, None));
            assert!((d.cosine - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn what_is_not_finite_is_found_and_left_out_of_distances() {
        assert_eq!(non_finite(&[1.0, f32::INFINITY, f32::NAN]), Some((2, NonFinite::Nan)));
        assert_eq!(non_finite(&[1.0, f32::NEG_INFINITY]), Some((1, NonFinite::Infinity)));
        assert_eq!(non_finite(&[1.0]), None);
        assert_eq!(Distance::between(&[1.0, f32::NAN], &[1.0, 5.0]).max_abs, 0.0);
    }

    #[test]
    fn tolerance_is_relative_to_the_source() {
        assert!(within(&[100.0], &[100.1], 1e-3, 0.0));
        assert!(!within(&[1.0], &[1.1], 1e-3, 0.05));
        assert!(within(&[f32::NAN, f32::INFINITY], &[f32::NAN, f32::INFINITY], 0.0, 0.0));
        assert!(!within(&[1.0], &[f32::NAN], 1.0, 1.0));
        assert!(!within(&[f32::INFINITY], &[1.0], 1.0, 1.0));
        assert!(!within(&[1.0], &[1.0, 1.0], 1.0, 1.0));
    }

    #[test]
    fn softmax_gives_probabilities() {
        assert!(is_probabilities(&softmax(&[10.0, 2000.0, -5.0])));
        assert!(!is_probabilities(&[0.5, 0.6]));
        assert!(!is_probabilities(&[1.5, -0.5]));
        assert!(!is_probabilities(&[f32::NAN, 1.0]));
    }
}
