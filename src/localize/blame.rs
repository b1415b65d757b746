//! From a region that shows an error to the node that is to blame.
//!
//! Equality up to a permutation is blind to a wrong permutation until an operator cares about axes: the culprit can lie above the
//! region that shows it. And a node that reads the wrong value may read one that is itself some other source value.

use crate::align::{Alignment, Layout, Region, candidates, error_between, worst_error};
use crate::model::ValueId;
use crate::run::{OpId, Value};
use std::collections::{HashMap, HashSet};

/// Nodes to blame in place of a region, and why.
#[derive(Debug, Clone)]
pub(super) struct Blame {
    /// The culprits, the likeliest first.
    pub ops: Vec<OpId>,
    /// A line of evidence.
    pub why: String,
    /// Whether values stand in the wrong order of axes, rather than being wrong values.
    pub layout: bool,
}

/// Nodes that rearrange or pick elements.
fn rearranges(op: &str) -> bool {
    matches!(
        op,
        "Transpose" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Split" | "Slice" | "Gather" | "DepthToSpace" | "SpaceToDepth"
    )
}

/// Asks, for a faulty region, which node above or in it explains the error.
pub(super) fn blame(a: &Alignment<'_>, region: &Region) -> Option<Blame> {
    if region.target.len() > 40 {
        return None;
    }
    wrong_input(a, region).or_else(|| wrong_layout(a, region))
}

/// The output of a region that is most wrong, with what it should be.
fn worst_output<'a>(a: &'a Alignment<'_>, region: &Region) -> Option<(ValueId, &'a [Value])> {
    let i = region.outputs.iter().max_by(|x, y| a.pairs[**x].error.total_cmp(&a.pairs[**y].error))?;
    let v = a.pairs[*i].target;
    Some((v, a.fed(v)?))
}

/// The stretch of nodes that makes `v` from paired values: its nodes and these values.
fn stretch(a: &Alignment<'_>, v: ValueId) -> (Vec<OpId>, Vec<ValueId>) {
    let paired: HashSet<ValueId> = a.pairs.iter().map(|p| p.target).collect();
    let (mut ops, mut inputs, mut open) = (Vec::new(), Vec::new(), vec![v]);
    while let Some(v) = open.pop() {
        let Some(p) = a.target().producer(v) else { continue };
        if ops.contains(&p) || ops.len() >= 40 {
            continue;
        }
        ops.push(p);
        for i in &a.target().op(p).data {
            if paired.contains(i) {
                if !inputs.contains(i) {
                    inputs.push(*i);
                }
            } else if a.is_live(*i) {
                open.push(*i);
            }
        }
    }
    (ops, inputs)
}

fn gives(a: &Alignment<'_>, given: HashMap<ValueId, Vec<Value>>, v: ValueId, wanted: &Value) -> bool {
    // In the layout that the target has there at present, or not at all.
    a.value_below(given, 1, 40, v).is_some_and(|made| made[0].len() == wanted.len() && error_between(&made[0], wanted) <= a.tau())
}

/// Other layouts of what a target value is given: the usual ones, or all, with the shapes of the source's rearrangements.
fn alternatives(a: &Alignment<'_>, v: ValueId, all: bool) -> Vec<(Layout, Value)> {
    let (Some(pair), Some(fed)) = (a.pair_of(v), a.fed(v)) else { return Vec::new() };
    let (s, now) = (pair.source, &fed[0]);
    let mut out: Vec<(Layout, Value)> = Vec::new();
    let Some(theirs) = a.source().values(s) else { return out };
    for layout in candidates(theirs[0].shape(), now.shape()).into_iter().take(12) {
        if !all && !layout.is_usual() {
            continue;
        }
        if let Some(value) = layout.apply(&theirs[0]).and_then(|x| x.cast(now.dtype()))
            && error_between(&value, now) > 1e-3
        {
            out.push((layout, value));
        }
    }
    if all {
        let kin = a.source().order().iter().filter(|w| a.source().origin(**w) == a.source().origin(s)).take(8);
        for w in kin {
            let Some(x) = a.source().values(*w).map(|x| &x[0]) else { continue };
            let known = x.shape() == now.shape() || out.iter().any(|(_, y)| y.shape() == x.shape() && error_between(y, x) < 1e-6);
            if !known && let Some(value) = x.cast(now.dtype()) {
                out.push((Layout::flat(x.shape()), value));
            }
        }
    }
    out
}

/// The rearranging nodes directly above a value.
fn chain(a: &Alignment<'_>, v: ValueId) -> Vec<OpId> {
    let (mut out, mut at) = (Vec::new(), v);
    while let Some(p) = a.target().producer(at) {
        let op = a.target().op(p);
        if !rearranges(op.op_type()) || out.len() >= 5 {
            break;
        }
        out.push(p);
        match op.data.iter().find(|i| a.is_live(**i)) {
            Some(i) => at = *i,
            None => break,
        }
    }
    out
}

fn wide(a: &Alignment<'_>, inputs: Vec<ValueId>) -> Vec<ValueId> {
    let rank = |v: &Value| v.shape().iter().filter(|d| **d != 1).count();
    inputs.into_iter().filter(|u| a.fed(*u).is_some_and(|x| rank(&x[0]) >= 2)).collect()
}

/// Does the region come right when its inputs have other layouts? Then whatever gave them the present ones is to blame.
fn wrong_layout(a: &Alignment<'_>, region: &Region) -> Option<Blame> {
    let (v, wanted) = worst_output(a, region)?;
    let wanted = wanted[0].clone();
    let (_, inputs) = stretch(a, v);
    let inputs = wide(a, inputs);
    let name = |v: ValueId| a.target().model().index().name(v).to_string();
    for u in &inputs {
        for (layout, value) in alternatives(a, *u, false) {
            if !gives(a, [(*u, vec![value.clone()])].into(), v, &wanted) {
                continue;
            }
            let unusual = a.pair_of(*u).is_some_and(|p| !p.layout.is_usual());
            let ops = if unusual { upward(a, *u, value, 0) } else { chain(a, *u) };
            if !ops.is_empty() {
                return Some(Blame { ops, why: format!("right once '{}' has its axes in the order {layout}", name(*u)), layout: true });
            }
            // A Transpose is missing: the region's own first node reads the wrong layout.
            let own = region.target.iter().copied().find(|id| a.target().op(*id).data.contains(u))?;
            return Some(Blame {
                ops: vec![own],
                why: format!("right once '{}' has its axes in the order {layout}", name(*u)),
                layout: true,
            });
        }
    }
    if (2..=3).contains(&inputs.len()) {
        let choices: Vec<Vec<(Layout, Value)>> = inputs.iter().map(|u| alternatives(a, *u, true)).collect();
        for combination in combinations(&choices.iter().map(Vec::len).collect::<Vec<_>>()).into_iter().take(260) {
            let given: HashMap<ValueId, Vec<Value>> =
                inputs.iter().zip(&combination).zip(&choices).filter_map(|((u, c), all)| c.map(|c| (*u, vec![all[c].1.clone()]))).collect();
            if given.len() < 2 || !gives(a, given.clone(), v, &wanted) {
                continue;
            }
            let chains: Vec<Vec<OpId>> = inputs.iter().filter(|u| given.contains_key(u)).map(|u| chain(a, *u)).collect();
            let common: Vec<OpId> = chains[0].iter().copied().filter(|p| chains.iter().all(|c| c.contains(p))).collect();
            let ops = if common.is_empty() { chains.concat() } else { common };
            if !ops.is_empty() {
                return Some(Blame { ops, why: "right once several inputs have their axes in another order".into(), layout: true });
            }
        }
    }
    exchanged(a, &inputs, v, &wanted).map(|ops| Blame { ops, why: "right once two inputs are exchanged".into(), layout: false })
}

/// All choices of one or none of each list, those with fewer changes not first.
fn combinations(lengths: &[usize]) -> Vec<Vec<Option<usize>>> {
    let mut out: Vec<Vec<Option<usize>>> = vec![vec![]];
    for n in lengths {
        out = out
            .into_iter()
            .flat_map(|c| std::iter::once(None).chain((0..*n).map(Some)).map(move |x| c.iter().copied().chain([x]).collect()))
            .collect();
        out.truncate(2000);
    }
    out
}

/// Does it come right when two inputs are exchanged? K·Qᵀ is the transpose of Q·Kᵀ and pairs with it.
fn exchanged(a: &Alignment<'_>, inputs: &[ValueId], v: ValueId, wanted: &Value) -> Option<Vec<OpId>> {
    let [x, y] = inputs[..] else { return None };
    let (px, py) = (a.pair_of(x)?, a.pair_of(y)?);
    let (fx, fy) = (a.fed(x)?, a.fed(y)?);
    let (sx, sy) = (a.source().values(px.source)?, a.source().values(py.source)?);
    if fx[0].len() != fy[0].len() {
        return None;
    }
    for lx in candidates(sy[0].shape(), fx[0].shape()).into_iter().take(8) {
        for ly in candidates(sx[0].shape(), fy[0].shape()).into_iter().take(8) {
            let (Some(vx), Some(vy)) = (a.laid(py.source, &lx, x, 1), a.laid(px.source, &ly, y, 1)) else { continue };
            if gives(a, [(x, vx), (y, vy)].into(), v, wanted) {
                let ops: Vec<OpId> = chain(a, x).into_iter().chain(chain(a, y)).collect();
                return (!ops.is_empty()).then_some(ops);
            }
        }
    }
    None
}

/// Upward from a value that should be laid out as `wanted`: to the node that turns a usual layout into an unusual one.
fn upward(a: &Alignment<'_>, v: ValueId, wanted: Value, depth: usize) -> Vec<OpId> {
    let (ops, inputs) = stretch(a, v);
    let inputs = wide(a, inputs);
    if depth < 40 {
        for u in &inputs {
            if a.pair_of(*u).is_none_or(|p| p.layout.is_usual()) {
                continue;
            }
            for (_, value) in alternatives(a, *u, false) {
                if gives(a, [(*u, vec![value.clone()])].into(), v, &wanted) {
                    return upward(a, *u, value, depth + 1);
                }
            }
        }
        if inputs.len() > 1 {
            let all: Vec<Vec<(Layout, Value)>> = inputs
                .iter()
                .map(|u| if a.pair_of(*u).is_none_or(|p| p.layout.is_usual()) { Vec::new() } else { alternatives(a, *u, false) })
                .collect();
            for (layout, value) in &all[0] {
                let same: Option<Vec<Value>> =
                    all.iter().map(|c| c.iter().find(|(l, _)| l.perm == layout.perm).map(|(_, v)| v.clone())).collect();
                let Some(same) = same else { continue };
                let given = inputs.iter().copied().zip(same.into_iter().map(|v| vec![v])).collect();
                if gives(a, given, v, &wanted) {
                    return upward(a, inputs[0], value.clone(), depth + 1);
                }
            }
        }
        if let Some(ops) = exchanged(a, &inputs, v, &wanted) {
            return ops;
        }
    }
    let moving: Vec<OpId> = ops
        .iter()
        .copied()
        .filter(|p| rearranges(a.target().op(*p).op_type()) && a.target().op(*p).data.iter().any(|i| a.is_live(*i)))
        .collect();
    if moving.is_empty() { ops } else { moving }
}

/// A node reads a value that should be another: which node above it explains that when its own input is replaced?
fn wrong_input(a: &Alignment<'_>, region: &Region) -> Option<Blame> {
    for wrong in a.wrong_inputs() {
        if !region.target.contains(&wrong.consumer) {
            continue;
        }
        let mut best = None;
        let (mut u, mut s) = (wrong.input, wrong.wanted);
        let mut wanted = a.laid(s, &wrong.layout, u, 1)?.remove(0);
        for _ in 0..6 {
            let Some(p) = a.target().producer(u) else { break };
            let Some((i, source, value)) = replaced_input(a, p, u, s, &wanted) else { break };
            best = Some(p);
            (u, s, wanted) = (i, source, value);
            if a.pair_of(u).is_some_and(|k| a.source().origin(k.source) == a.source().origin(s)) {
                break;
            }
        }
        if let Some(p) = best
            && !region.target.contains(&p)
        {
            let mut ops = vec![p];
            ops.extend(&region.target);
            return Some(Blame { ops, why: format!("its input is wrong from '{}' on", a.target().label(p)), layout: false });
        }
    }
    None
}

/// An input of `p` and the source value which, put there, makes `u` as wanted.
fn replaced_input(a: &Alignment<'_>, p: OpId, u: ValueId, s: ValueId, wanted: &Value) -> Option<(ValueId, ValueId, Value)> {
    let op = a.target().op(p);
    for i in &op.data {
        let (Some(_), Some(fed)) = (a.pair_of(*i), a.fed(*i)) else { continue };
        for c in a.above(s, 3) {
            if a.source().origin(c) == a.source().origin(s) {
                continue;
            }
            let Some(theirs) = a.source().values(c) else { continue };
            for layout in candidates(theirs[0].shape(), fed[0].shape()).into_iter().take(4) {
                let Some(value) = a.laid(c, &layout, *i, 1) else { continue };
                let Ok(made) = a.eval(p, &[(*i, value.clone())].into(), 1) else { continue };
                let right = op.made().zip(made).any(|(o, x)| o == u && worst_error(&x, std::slice::from_ref(wanted)) <= a.tau());
                if right {
                    return Some((*i, c, value.into_iter().next()?));
                }
            }
        }
    }
    None
}

/// A region whose input and output stand for the same source value: the input's maker may be the faulty one, and match by accident.
pub(super) fn double_claim(a: &Alignment<'_>, region: &Region) -> Option<OpId> {
    if region.target.len() < 2 {
        return None;
    }
    let (v, _) = worst_output(a, region)?;
    let origin = a.source().origin(a.pair_of(v)?.source);
    let (_, inputs) = stretch(a, v);
    let same = |u: &&ValueId| a.pair_of(**u).is_some_and(|p| a.source().origin(p.source) == origin);
    inputs.iter().filter(same).filter_map(|u| a.target().producer(*u)).find(|p| !region.target.contains(p))
}

/// Nodes above a region that turn a usual layout into an unusual one, the nearest first: equality up to a permutation let them pass. So it
/// does with a Reshape, whatever its shape: the numbers stand in the same order.
pub(super) fn unusual_above(a: &Alignment<'_>, region: &Region) -> Vec<OpId> {
    let mut out = Vec::new();
    let mut seen: HashSet<OpId> = HashSet::new();
    let mut level: Vec<ValueId> = region.inputs.iter().map(|i| a.pairs[*i].target).collect();
    for _ in 0..12 {
        let mut next = Vec::new();
        for v in level {
            let Some(p) = a.target().producer(v).filter(|p| seen.insert(*p)) else { continue };
            let op = a.target().op(p);
            let usual = |v: &ValueId| a.pair_of(*v).is_none_or(|p| p.layout.is_usual());
            let permuted = op.op_type() == "Transpose" && !usual(&v) && op.data.iter().all(usual);
            if permuted || (op.op_type() == "Reshape" && is_shaped_otherwise(a, v)) {
                out.push(p);
            }
            if !usual(&v) || rearranges(op.op_type()) {
                next.extend(&op.data);
            }
        }
        level = next;
    }
    out
}

/// Whether the source has the same numbers in as many dimensions, but never in these. Dimensions of one say nothing.
fn is_shaped_otherwise(a: &Alignment<'_>, v: ValueId) -> bool {
    let Some(mine) = a.fed(v).and_then(<[_]>::first) else { return false };
    let told = |shape: &[usize]| shape.iter().copied().filter(|d| *d != 1).collect::<Vec<_>>();
    let shapes = a.pair_of(v).map(|p| a.source().shapes_of(p.source)).unwrap_or_default();
    let (shapes, mine): (Vec<Vec<usize>>, _) = (shapes.into_iter().map(told).collect(), told(mine.shape()));
    shapes.iter().any(|s| s.len() == mine.len()) && !shapes.contains(&mine)
}
