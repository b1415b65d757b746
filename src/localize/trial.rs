//! Does an edit bring a region to the floor? Runs the edited region alone, on the source's values.

use crate::align::{Alignment, relative_error};
use crate::model::ValueId;
use crate::run::{Network, OpId, Value};
use std::collections::{BTreeSet, HashMap, HashSet};

/// What an edited target must make: a value, by its name after the edit, and the target value whose place it takes.
pub(super) type Check = (String, ValueId);

/// The worst relative error of what the edited target makes, over all images; infinite when it does not run. `instead` says what a
/// checked value should be where that is another thing than its pair says.
pub(super) fn error_after(
    a: &Alignment<'_>,
    edited: &Network,
    checks: &[Check],
    instead: &HashMap<ValueId, Vec<Value>>,
    images: usize,
) -> f32 {
    let stale = edited.changed_since(a.target());
    let paired: HashSet<ValueId> = a.pairs.iter().map(|p| p.target).collect();
    let original = |v: ValueId| a.target().model().index().value(edited.model().index().name(v));
    let checked: HashSet<ValueId> = checks.iter().map(|(_, v)| *v).collect();
    // What the edited target is given: the source's values, but for what the edit changes.
    let fed = |v: ValueId| original(v).filter(|o| !stale.contains(&v) && paired.contains(o) && !checked.contains(o)).and_then(|o| a.fed(o));
    let mut needed: BTreeSet<OpId> = BTreeSet::new();
    let mut open: Vec<ValueId> = Vec::new();
    for (name, _) in checks {
        match edited.model().index().value(name) {
            Some(v) => open.push(v),
            None => return f32::INFINITY,
        }
    }
    let mut seen: HashSet<ValueId> = open.iter().copied().collect();
    while let Some(v) = open.pop() {
        if edited.constant(v).is_some() || fed(v).is_some() {
            continue;
        }
        match edited.producer(v) {
            Some(p) => {
                needed.insert(p);
                open.extend(edited.op(p).data.iter().filter(|i| seen.insert(**i)));
            }
            // An input of the graph.
            None if original(v).and_then(|o| a.fed(o)).is_some() => {}
            None => return f32::INFINITY,
        }
    }
    if needed.len() > 400 {
        return f32::INFINITY;
    }
    let mut worst = 0.0f32;
    for image in 0..images {
        let mut local: HashMap<ValueId, Value> = HashMap::new();
        for id in &needed {
            let value = |v: ValueId| {
                local.get(&v).or_else(|| {
                    fed(v)
                        .or_else(|| original(v).filter(|_| edited.producer(v).is_none()).and_then(|o| a.fed(o)))
                        .and_then(|x| x.get(image))
                })
            };
            let made = match edited.eval(*id, value) {
                Ok(made) => made,
                Err(why) => {
                    tracing::debug!(%why, "the edited region does not run");
                    return f32::INFINITY;
                }
            };
            let made: Vec<_> = edited.op(*id).made().zip(made).collect();
            local.extend(made);
        }
        for (name, v) in checks {
            let Some(wanted) = instead.get(v).map(Vec::as_slice).or_else(|| a.fed(*v)).and_then(|x| x.get(image)) else { continue };
            let Some(at) = edited.model().index().value(name) else { return f32::INFINITY };
            let found = local.get(&at).or_else(|| edited.constant(at)).or_else(|| fed(at).and_then(|x| x.get(image)));
            // As many numbers in another shape are of no use to what reads them.
            let own = a.computed(*v).and_then(|c| c.get(image)).map(Value::shape);
            let theirs = a.pair_of(*v).and_then(|p| a.source().values(p.source)).and_then(|x| x.get(image)).map(Value::shape);
            let fits = |f: &Value| f.len() == wanted.len() && [Some(wanted.shape()), own, theirs].contains(&Some(f.shape()));
            let error = found.filter(|f| fits(f)).map_or(f32::INFINITY, |f| relative_error(&f.to_f32(), &wanted.to_f32()));
            worst = worst.max(error);
            if worst > 1e3 {
                return worst;
            }
        }
    }
    worst
}

/// The outputs of a region that nothing but it explains, as checks.
pub(super) fn checks(a: &Alignment<'_>, region: usize) -> Vec<Check> {
    let region = &a.regions[region];
    let outputs = region.outputs.iter().map(|i| a.pairs[*i].target);
    outputs.map(|v| (a.target().model().index().name(v).to_string(), v)).collect()
}
