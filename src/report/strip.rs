//! The heat strip: isolated errors of all layers over the depth of the target, on a logarithmic scale, so that the eye finds the fault.

use crate::audit::RegionFigures;
use crate::model::harmless;
use serde::Serialize;

/// Bars beyond which neighbours share one.
const MOST: usize = 400;
/// Errors of the lowest and of the highest bar, as powers of ten.
const RANGE: (f32, f32) = (-7.0, 0.0);

/// One bar.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bar {
    /// From 0 to 1.
    pub height: f32,
    /// `clean`, `faulty` or `unchecked`: the worst of the regions that share it.
    pub verdict: &'static str,
    /// The worst of them in words.
    pub title: String,
}

/// The bars of all regions that the target has nodes in.
pub fn bars(regions: &[RegionFigures]) -> Vec<Bar> {
    let shown: Vec<&RegionFigures> = regions.iter().filter(|r| !r.target.is_empty()).collect();
    let columns = shown.len().min(MOST);
    (0..columns).filter_map(|c| bar(&shown[c * shown.len() / columns..(c + 1) * shown.len() / columns])).collect()
}

fn bar(regions: &[&RegionFigures]) -> Option<Bar> {
    let worst = regions.iter().max_by(|a, b| rank(a).cmp(&rank(b)).then(error(a).total_cmp(&error(b))))?;
    let (low, high) = RANGE;
    let height = match worst.isolated {
        None => 1.0,
        Some(e) if e.0.is_nan() => 1.0,
        Some(e) => ((e.0.max(1e-30).log10() - low) / (high - low)).clamp(0.02, 1.0),
    };
    let error = worst.isolated.map_or_else(|| worst.why.clone().unwrap_or_else(|| "unchecked".into()), |e| format!("isolated error {e}"));
    let name = worst.target.first().map(String::as_str).unwrap_or_default();
    let title = format!("{} {}: {}", worst.operators.join(", "), harmless(name), harmless(&error));
    Some(Bar { height, verdict: verdict(worst), title })
}

fn rank(region: &RegionFigures) -> u8 {
    match verdict(region) {
        "faulty" => 2,
        "unchecked" => 1,
        _ => 0,
    }
}

fn error(region: &RegionFigures) -> f32 {
    region.isolated.map_or(0.0, |e| e.0)
}

fn verdict(region: &RegionFigures) -> &'static str {
    match region.verdict.as_str() {
        "faulty" => "faulty",
        "unchecked" => "unchecked",
        _ => "clean",
    }
}

/// The bars as a line of text.
pub fn line(bars: &[Bar], width: usize) -> String {
    const SIGNS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let columns = bars.len().min(width);
    let column = |c: usize| {
        let part = &bars[c * bars.len() / columns..(c + 1) * bars.len() / columns];
        let highest = part.iter().map(|b| b.height).fold(0.0, f32::max);
        match part.iter().any(|b| b.verdict == "unchecked") {
            true => '?',
            false => SIGNS[(highest * 7.0).round() as usize % 8],
        }
    };
    (0..columns).map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Figure;

    fn region(error: Option<f32>, verdict: &str) -> RegionFigures {
        RegionFigures {
            source: vec![],
            target: vec!["n\u{1b}[31m".into()],
            operators: vec!["Conv".into()],
            isolated: error.map(Figure),
            accumulated: None,
            verdict: verdict.into(),
            why: None,
        }
    }

    #[test]
    fn a_fault_is_seen_however_many_layers_share_a_bar() {
        let mut regions = vec![region(Some(1e-7), "clean"); 5000];
        regions[1234] = region(Some(0.5), "faulty");
        let bars = bars(&regions);
        assert_eq!(bars.len(), MOST);
        let faulty: Vec<usize> = (0..bars.len()).filter(|i| bars[*i].verdict == "faulty").collect();
        assert_eq!(faulty, [1234 * MOST / 5000]);
        assert!(bars[faulty[0]].height > 0.9 && bars[0].height < 0.05);
        assert_eq!(line(&bars, 50).chars().count(), 50);
        assert!(line(&bars, 50).contains('▇') || line(&bars, 50).contains('█'));
        assert!(!bars[0].title.contains('\u{1b}'));
    }

    #[test]
    fn what_cannot_be_measured_is_no_low_bar() {
        for error in [None, Some(f32::INFINITY), Some(f32::NAN)] {
            assert_eq!(bars(&[region(error, "faulty")])[0].height, 1.0);
        }
        assert!(bars(&[]).is_empty() && line(&[], 10).is_empty());
        assert_eq!(line(&bars(&[region(None, "unchecked")]), 10), "?");
    }
}
