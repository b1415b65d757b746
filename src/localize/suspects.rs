//! From regions above the floor to suspects with a diagnosis.

use super::blame::{blame, double_claim, unusual_above};
use super::quantised::Ranges;
use super::remedy::{Bench, Found, Remedy, agreement, contradicted, for_all_readers, search, search_running, together};
use super::{Category, Kind, Subject, Suspect, outputs, trial};
use crate::align::{Alignment, Precision, Region, Verdict, moves};
use crate::model::{Edit, NodeId, ValueId};
use crate::run::{OpId, Value, Watch};
use std::collections::{HashMap, HashSet};

/// How many suspects are diagnosed, the earliest first; more is one cause seen many times.
const MOST: usize = 160;

/// Nodes of a region on which edits are tried.
const NODES: usize = 24;

/// What is asked of a search, and what is known of the pair as a whole.
pub(super) struct Terms<'a> {
    /// Isolated error above which a region is suspected.
    pub threshold: f32,
    /// How exactly the target computes.
    pub precision: Precision,
    /// Ranges of quantised values, as far as they were measured.
    pub ranges: &'a Ranges,
    /// Whether to look for edits.
    pub diagnose: bool,
}

/// All suspects of the graph.
pub(super) fn find(subject: &Subject<'_>, a: &Alignment<'_>, regions: &[Region], terms: &Terms<'_>, watch: &dyn Watch) -> Vec<Suspect> {
    let Terms { threshold, precision, ranges, diagnose } = *terms;
    let refused: HashSet<NodeId> = subject.refused.iter().map(|(n, _)| *n).collect();
    let mut seen: HashSet<OpId> = HashSet::new();
    let mut out = Vec::new();
    let asked = |r: &Region| is_suspicious(a, r, &refused) || is_contradictory(a, r);
    let suspicious: Vec<usize> = (0..regions.len()).filter(|i| asked(&regions[*i])).collect();
    for (done, index) in suspicious.iter().copied().take(MOST).enumerate() {
        watch.progress("diagnosing", done, suspicious.len());
        if watch.cancelled() {
            return out;
        }
        let region = &regions[index];
        let failing = region.target.iter().copied().find(|id| a.failure(*id).is_some() || refused.contains(&a.target().op(*id).node));
        let blamed = blame(a, region);
        if let Some(b) = &blamed
            && b.layout
            && !seen.insert(b.ops[0])
        {
            continue;
        }
        let mut ops: Vec<OpId> = failing.into_iter().collect();
        ops.extend(failing.iter().flat_map(|id| joined_above(a, *id)));
        ops.extend(blamed.iter().flat_map(|b| b.ops.iter().copied()));
        let unusual = unusual_above(a, region);
        ops.extend(&unusual);
        ops.extend(double_claim(a, region));
        ops.extend(&region.target);
        ops.extend(idle_above(a, regions, region));
        dedup(&mut ops);
        let mut source = region.source.clone();
        for other in regions.iter().filter(|r| r.target.iter().any(|id| ops.contains(id))) {
            source.extend(&other.source);
        }
        source.extend(around(a, region));
        dedup(&mut source);
        let mut tried = ops.clone();
        tried.truncate(NODES);
        let checks = trial::checks(a, index);
        // A loss that is small for a low precision has to become much smaller.
        let small = region.isolated.filter(|e| *e < threshold).map_or(f32::INFINITY, |e| e * 0.5);
        let floor = a.exact(region).unwrap_or((threshold * 0.9).min(a.tau()).min(small));
        let mut bench = Bench {
            a,
            ops: tried,
            source,
            checks,
            wanted: HashMap::new(),
            ranges,
            forbidden: None,
            floor,
            layout: blamed.as_ref().is_some_and(|b| b.layout) || !unusual.is_empty(),
        };
        let error = region.isolated.unwrap_or(f32::INFINITY);
        bench.forbidden = failing.filter(|id| refused.contains(&a.target().op(*id).node)).map(|id| bench.key(id));
        if !is_suspicious(a, region, &refused) {
            let found = agreeing(&bench);
            if !found.is_empty() {
                out.push(Suspect { region: Some(index), ..suspect(a, &bench, region, found, error, precision) });
            }
            continue;
        }
        let mut found = if diagnose { search(&bench, error) } else { Vec::new() };
        if diagnose && found.first().is_none_or(|f| !f.remedy.safe) {
            // The pair itself may be one step off: a saturating function hides the difference from what follows.
            for (v, other) in one_step_off(a, region) {
                bench.wanted = [(v, other)].into();
                let again = search(&bench, error);
                if again.first().is_some_and(|f| f.remedy.safe) {
                    found = again;
                    break;
                }
            }
        }
        if diagnose
            && found.is_empty()
            && let Some(id) = failing
        {
            // Other nodes of the region fail as well, or nothing is known of what it should make: that this one runs is all that can be asked.
            bench.checks = a.target().op(id).made().map(|v| (a.target().model().index().name(v).to_string(), v)).collect();
            bench.ops = vec![id];
            found = search_running(&bench);
        }
        let mut suspect = Suspect { region: Some(index), ..suspect(a, &bench, region, found, error, precision) };
        if let Some(b) = &blamed {
            suspect.evidence.push(b.why.clone());
        }
        if let Some(id) = failing {
            explain_failure(subject, a, &mut suspect, id);
        }
        out.push(suspect);
    }
    out.extend(outputs::suspect(a, regions, threshold, precision, diagnose));
    merge_swaps(&mut out);
    merge_rules(out)
}

/// What a guessed output of a region could stand for instead: the source value before or behind an elementwise function.
fn one_step_off(a: &Alignment<'_>, region: &Region) -> Vec<(ValueId, Vec<Value>)> {
    let network = a.source().network;
    let saturates =
        |op: &str| matches!(op, "Relu" | "Clip" | "LeakyRelu" | "Sigmoid" | "HardSigmoid" | "HardSwish" | "Tanh" | "Elu" | "PRelu");
    let mut out = Vec::new();
    for i in &region.outputs {
        let pair = &a.pairs[*i];
        if !matches!(pair.kind, crate::align::PairKind::Inferred(_)) || pair.source.0 as usize >= network.model().index().value_count() {
            continue;
        }
        let behind = network
            .consumers(pair.source)
            .iter()
            .filter(|c| saturates(network.op(**c).op_type()))
            .filter_map(|c| network.op(*c).made().next());
        let before =
            network.producer(pair.source).filter(|p| saturates(network.op(*p).op_type())).and_then(|p| network.op(p).data.first().copied());
        for s in behind.chain(before) {
            if let Some(values) = a.laid(s, &pair.layout, pair.target, a.images()) {
                out.push((pair.target, values));
            }
        }
    }
    out
}

/// What joins or cuts the inputs of a node that does not run: along another axis the numbers are the same, and only the shape is wrong.
fn joined_above(a: &Alignment<'_>, failing: OpId) -> Vec<OpId> {
    let joins = |id: &OpId| matches!(a.target().op(*id).op_type(), "Concat" | "Split" | "Gather" | "Slice" | "Tile" | "Expand" | "Pad");
    a.target().op(failing).data.iter().filter_map(|v| a.target().producer(*v)).filter(joins).collect()
}

/// Nodes above a region that are right by their numbers though what they fail to do shows below them: those that make nothing but what the
/// source has already, and so have no counterpart in it (a Transpose that moves nothing, a Concat that puts together what a Slice had taken
/// apart), and those that only move numbers, which stay whatever shape they are given and whatever is missing between two of them.
fn idle_above(a: &Alignment<'_>, regions: &[Region], region: &Region) -> Vec<OpId> {
    let mut out: Vec<OpId> = Vec::new();
    let mut open: Vec<ValueId> = region.inputs.iter().map(|i| a.pairs[*i].target).collect();
    while let Some(v) = open.pop() {
        let Some(p) = a.target().producer(v) else { continue };
        let alone = |r: &Region| r.source.is_empty() || (r.target.len() == 1 && moves(a.target().op(p).op_type()));
        let idle = regions.iter().find(|r| r.target.contains(&p) && alone(r));
        let beside = Some(p).filter(|p| idle.is_none() && moves(a.target().op(*p).op_type()));
        for id in idle.into_iter().flat_map(|r| r.target.iter().rev().copied()).chain(beside) {
            if !out.contains(&id) && out.len() < NODES {
                out.push(id);
                open.extend(&a.target().op(id).data);
            }
        }
    }
    out
}

fn dedup<T: PartialEq + Copy>(list: &mut Vec<T>) {
    let mut seen: Vec<T> = Vec::new();
    list.retain(|x| {
        !seen.contains(x) && {
            seen.push(*x);
            true
        }
    });
}

fn is_suspicious(a: &Alignment<'_>, region: &Region, refused: &HashSet<NodeId>) -> bool {
    let failing = |id: &OpId| a.failure(*id).is_some() || refused.contains(&a.target().op(*id).node);
    region.verdict == Verdict::Faulty || region.target.iter().any(failing)
}

/// Whether a region is at the floor though a value is read in it in other steps than it was made in.
fn is_contradictory(a: &Alignment<'_>, region: &Region) -> bool {
    region.verdict == Verdict::Clean && region.target.iter().any(|id| !contradicted(a.target(), *id).is_empty())
}

/// What makes steps agree, and so lowers the error enough.
fn agreeing(bench: &Bench<'_>) -> Vec<Found> {
    let tried = agreement(bench).into_iter().map(|remedy| Found { after: bench.error(bench.target(), &remedy), remedy });
    let mut found: Vec<Found> = tried.filter(|f| f.after <= bench.floor).collect();
    found.sort_by(|x, y| x.after.total_cmp(&y.after));
    found
}

/// Source ops beside a region: those that make what it reads and those that read what it makes. A missing node is one of them.
fn around(a: &Alignment<'_>, region: &Region) -> Vec<OpId> {
    let network = a.source().network;
    let count = network.model().index().value_count();
    let real = |i: &usize| Some(a.pairs[*i].source).filter(|v| (v.0 as usize) < count);
    let above = region.inputs.iter().filter_map(real).filter_map(|v| network.producer(v));
    let below = region.outputs.iter().filter_map(real).flat_map(|v| network.consumers(v).iter().copied());
    let beside = region.inputs.iter().filter_map(real).flat_map(|v| network.consumers(v).iter().copied());
    beside.chain(above).chain(below).take(12).collect()
}

/// A suspect of what was tried on the bench.
pub(super) fn suspect(
    a: &Alignment<'_>,
    bench: &Bench<'_>,
    region: &Region,
    found: Vec<Found>,
    error: f32,
    precision: Precision,
) -> Suspect {
    let node = |id: &OpId| a.target().op(*id).node;
    let best = found.first();
    let (ops, tensors): (Vec<OpId>, Vec<ValueId>) = match best {
        Some(f) => {
            let mut ops = f.remedy.ops.clone();
            dedup(&mut ops);
            (ops, f.remedy.tensors.clone())
        }
        None => (bench.ops.iter().copied().take(8).collect(), Vec::new()),
    };
    let mut target_nodes: Vec<NodeId> = ops.iter().map(node).collect();
    for v in &tensors {
        if let Some(origin) = a.target().origin(*v) {
            target_nodes.extend(origin.nodes.iter().take(3));
        }
    }
    dedup(&mut target_nodes);
    target_nodes.truncate(12);
    let kind = best.map(|f| f.remedy.kind);
    let category = kind.map_or_else(|| likely(a, &ops), Kind::category);
    let words = match best {
        Some(f) => f.remedy.words.clone(),
        None => unexplained(a, region, error),
    };
    let mut equivalents: Vec<Kind> =
        found.iter().flat_map(|f| f.remedy.equivalents.iter().copied().chain([f.remedy.kind])).filter(|k| Some(*k) != kind).collect();
    dedup(&mut equivalents);
    let mut evidence = vec![format!("isolated error {}", figure(error))];
    if let Some(f) = best {
        evidence.push(format!("with the edit {}", figure(f.after)));
    }
    if precision != Precision::Float && best.is_none() {
        evidence.push("the target's precision may make this by itself".into());
    }
    let confidence = match best {
        Some(f) if f.after < bench.floor * 0.1 => 0.97,
        Some(_) => 0.9,
        None => 0.5,
    };
    Suspect {
        region: None,
        kind,
        category,
        target_nodes,
        target_tensors: tensors,
        source_nodes: region.source.iter().map(|id| a.source().network.op(*id).node).collect(),
        words,
        evidence,
        equivalents,
        confidence,
        error,
        splice: None,
        remedies: found,
    }
}

/// An error with as many digits as mean something.
pub(crate) fn figure(error: f32) -> String {
    if !error.is_finite() {
        return "not measured".into();
    }
    match error {
        0.0 => "0".into(),
        e if e >= 1e6 => format!("{e:.1e}"),
        e if e >= 0.01 => format!("{e:.2}"),
        e => format!("{e:.1e}"),
    }
}

fn likely(a: &Alignment<'_>, ops: &[OpId]) -> Category {
    let weighted = ops
        .iter()
        .any(|id| a.target().op(*id).inputs.iter().flatten().any(|v| a.target().constant(*v).is_some_and(|c| c.is_float() && c.len() > 4)));
    if weighted { Category::WB } else { Category::CG }
}

fn unexplained(a: &Alignment<'_>, region: &Region, error: f32) -> String {
    let names: Vec<&str> = region.target.iter().take(3).map(|id| a.target().op(*id).op_type()).collect();
    format!("{} gives other values than the source (isolated error {}); no edit explains it", names.join(", "), figure(error))
}

fn explain_failure(subject: &Subject<'_>, a: &Alignment<'_>, suspect: &mut Suspect, id: OpId) {
    let node = a.target().op(id).node;
    let refused = subject.refused.iter().find(|(n, _)| *n == node).map(|(_, why)| why.clone());
    let why = refused.or_else(|| a.failure(id).map(|e| e.why.clone())).unwrap_or_default();
    let label = a.target().label(id).to_string();
    suspect.evidence.insert(0, format!("'{label}' does not run: {why}"));
    // The kind behind it is the remedy's; what the user meets is a target that does not run.
    let behind = suspect.kind;
    let keeps = matches!(behind, Some(k) if matches!(k.category(), Category::ID | Category::TS) || k == Kind::LhGroup);
    if !keeps {
        suspect.kind = Some(Kind::CgUnsupported);
        suspect.category = Category::CG;
        suspect.equivalents.extend(behind.filter(|k| *k != Kind::CgUnsupported));
    }
    suspect.words = format!("'{label}' does not run: {why}");
    if !suspect.target_nodes.contains(&node) {
        suspect.target_nodes.insert(0, node);
    }
}

/// Two layers that carry each other's weights are one fault.
fn merge_swaps(suspects: &mut Vec<Suspect>) {
    let swaps: Vec<usize> = (0..suspects.len()).filter(|i| suspects[*i].kind == Some(Kind::WbSwap)).collect();
    let [first, second] = swaps[..] else { return };
    let other = suspects.remove(second);
    let suspect = &mut suspects[first];
    suspect.words = format!("two layers carry each other's weights: {}; {}", suspect.words, other.words);
    suspect.target_nodes.extend(other.target_nodes);
    suspect.target_tensors.extend(other.target_tensors);
    suspect.source_nodes.extend(other.source_nodes);
    suspect.evidence.extend(other.evidence);
    if let (Some(mine), Some(theirs)) = (suspect.remedies.first_mut(), other.remedies.into_iter().next()) {
        mine.remedy.edit = Edit::All(vec![mine.remedy.edit.clone(), theirs.remedy.edit]);
        mine.remedy.ops.extend(theirs.remedy.ops);
        mine.remedy.tensors.extend(theirs.remedy.tensors);
        mine.remedy.words.clone_from(&suspect.words);
        suspect.remedies.truncate(1);
    }
}

/// What differs in the same words in several regions is one decision of the converter's, and so one suspect with one change.
fn merge_rules(suspects: Vec<Suspect>) -> Vec<Suspect> {
    let mut out: Vec<Suspect> = Vec::new();
    for suspect in suspects {
        match out.iter_mut().find_map(|first| Some((joined(first, &suspect)?, first))) {
            Some((remedy, first)) => join(first, suspect, remedy),
            None => out.push(suspect),
        }
    }
    out
}

/// The one remedy of two suspects that are one: made by one rule, or lacking the same node.
fn joined(first: &Suspect, other: &Suspect) -> Option<Remedy> {
    let (a, b) = (&first.remedies.first()?.remedy, &other.remedies.first()?.remedy);
    for_all_readers(a, b).or_else(|| (first.kind == other.kind && same_rule(a, b)).then(|| together(&[a, b])))
}

fn same_rule(a: &Remedy, b: &Remedy) -> bool {
    let of_a_rule =
        |r: &Remedy| r.safe && r.checks.is_none() && r.recipe.is_none() && matches!(r.kind.category(), Category::LH | Category::TS);
    // Names that both add for different constants would collide.
    let added = |r: &Remedy| {
        let is_added = |e: &Edit| if let Edit::AddInitializer { tensor } = e { Some(tensor.clone()) } else { None };
        r.parts().iter().filter_map(is_added).collect::<Vec<_>>()
    };
    let collide = || added(a).iter().any(|x| added(b).iter().any(|y| x.name() == y.name() && x != y));
    a.kind == b.kind && a.rule() == b.rule() && of_a_rule(a) && of_a_rule(b) && !collide()
}

fn join(first: &mut Suspect, other: Suspect, remedy: Remedy) {
    first.target_nodes.extend(other.target_nodes);
    dedup(&mut first.target_nodes);
    first.target_tensors.extend(other.target_tensors);
    dedup(&mut first.target_tensors);
    first.source_nodes.extend(other.source_nodes);
    dedup(&mut first.source_nodes);
    first.error = first.error.max(other.error);
    first.confidence = first.confidence.min(other.confidence);
    if let (Some(mine), Some(theirs)) = (first.remedies.first_mut(), other.remedies.into_iter().next()) {
        mine.remedy = remedy;
        mine.after = mine.after.max(theirs.after);
        first.words.clone_from(&mine.remedy.words);
        first.remedies.truncate(1);
        let most = if first.error.is_finite() { "up to " } else { "" };
        first.evidence =
            vec![format!("isolated error {most}{}", figure(first.error)), format!("with the edit {}", figure(first.remedies[0].after))];
    }
}

/// The worst first: what cures most flips, then the larger error, then the earlier node.
pub(super) fn rank(suspects: &mut [Suspect], regions: &[Region]) {
    let cured = |s: &Suspect| s.splice.map_or(0, |(n, _)| n);
    let place = |s: &Suspect| s.region.and_then(|r| regions[r].target.first().copied()).map_or(-1, |id| id.0 as i32);
    // A huge error says little about guilt.
    let capped = |s: &Suspect| (s.error.min(0.3) * 1e4) as i64;
    let fails = |s: &Suspect| s.kind == Some(Kind::CgUnsupported) || s.category == Category::ID;
    let contradicts = |s: &Suspect| s.remedies.first().is_some_and(|f| f.remedy.contradiction);
    suspects.sort_by(|x, y| {
        fails(y)
            .cmp(&fails(x))
            .then(contradicts(y).cmp(&contradicts(x)))
            .then((y.kind.is_some()).cmp(&x.kind.is_some()))
            .then(cured(y).cmp(&cured(x)))
            .then(capped(y).cmp(&capped(x)))
            .then(place(x).cmp(&place(y)))
    });
}
