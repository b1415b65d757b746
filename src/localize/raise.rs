//! Raising precision: where the target rounds, the source's own nodes in their element type, one region at a time.

use super::quantised::Ranges;
use super::remedy::{Bench, Remedy, source_subgraph};
use super::{Kind, trial};
use crate::align::{Alignment, Region};
use crate::run::{OpId, Watch};
use std::collections::HashMap;

/// Isolated errors up to this one are those of single precision.
const EXACT: f32 = 1e-5;
/// Part of the loss that may remain.
const REMAINS: f32 = 0.25;

/// A region that can be computed as exactly as in the source.
#[derive(Debug, Clone)]
pub struct Raise {
    /// Index into [`super::Findings::regions`].
    pub region: usize,
    /// Isolated error: what rounding costs here.
    pub error: f32,
    /// What remains of it.
    pub after: f32,
    /// The edit.
    pub remedy: Remedy,
}

/// All regions that lose something, the greatest loss first.
pub(super) fn raises(a: &Alignment<'_>, regions: &[Region], watch: &dyn Watch) -> Vec<Raise> {
    let mut out = Vec::new();
    for (index, region) in regions.iter().enumerate() {
        watch.progress("looking for what rounds", index, regions.len());
        let Some(error) = region.isolated.filter(|e| *e > EXACT) else { continue };
        if watch.cancelled() {
            break;
        }
        let bench = Bench {
            a,
            ops: region.target.clone(),
            source: region.source.clone(),
            checks: trial::checks(a, index),
            wanted: HashMap::new(),
            ranges: &Ranges::new(),
            forbidden: None,
            floor: a.tau(),
            layout: false,
        };
        let Some(mut remedy) = source_subgraph(&bench) else { continue };
        let after = bench.error(bench.target(), &remedy);
        if after.is_nan() || after > error * REMAINS {
            continue;
        }
        remedy.kind = Kind::WbPrecision;
        remedy.equivalents.clear();
        remedy.words = format!("{} loses {:.2} % by rounding; it computes as in the source", named(a, region), error * 100.0);
        out.push(Raise { region: index, error, after, remedy });
    }
    out.sort_by(|x, y| y.error.total_cmp(&x.error).then(x.region.cmp(&y.region)));
    out
}

/// A region by its node with weights, else by its first one.
fn named(a: &Alignment<'_>, region: &Region) -> String {
    let weighted = |id: &&OpId| {
        let constants = a.target().op(**id).inputs.iter().flatten().filter_map(|v| a.target().constant(*v));
        constants.into_iter().any(|c| c.shape().len() > 1 && c.len() > 1)
    };
    let op = region.target.iter().find(weighted).or(region.target.first());
    op.map_or_else(|| "a region".into(), |id| format!("{} '{}'", a.target().op(*id).op_type(), a.target().label(*id)))
}
