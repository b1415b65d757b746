//! Remedies: edits that may bring a suspect back to the floor, the smallest first. The first that does names the kind.
//!
//! One file a family. Each proposes candidates from what the source has in the same region; none is believed before its trial.

mod attributes;
mod bias;
mod branches;
mod constants;
mod difference;
mod edits;
mod elementwise;
mod fold;
mod graph;
mod linear;
mod normalisation;
mod numbers;
mod quantised;
mod restate;
mod shape;
mod steps;
mod subgraph;
mod types;
mod weights;

use super::quantised::Ranges;
use super::trial::{Check, error_after};
use super::{Category, Kind};
use crate::align::Alignment;
use crate::model::onnx::NodeProto;
use crate::model::{Edit, NodeExt, ValueId};
use crate::run::{Network, OpId, Value};
use std::collections::HashMap;

pub use attributes::attribute_kind;
pub(super) use attributes::effective_pads;
pub use edits::replaced as replaced_constant;
pub(super) use steps::{agreed, agreement, contradicted, limits};
pub(super) use subgraph::source_subgraph;

/// An edit that may mend a suspect.
#[derive(Debug, Clone)]
pub struct Remedy {
    /// What is wrong, if this mends it.
    pub kind: Kind,
    /// The edit.
    pub edit: Edit,
    /// The difference in words.
    pub words: String,
    /// Ops of the target that are touched.
    pub ops: Vec<OpId>,
    /// Initializers or values of the target that are touched.
    pub tensors: Vec<ValueId>,
    /// Kinds that describe the same difference equally well.
    pub equivalents: Vec<Kind>,
    /// What the edited target must make, where the edit renames or removes an output.
    pub(super) checks: Option<Vec<Check>>,
    /// The target's recipe as it should be, where that is what is wrong.
    pub recipe: Option<crate::dataset::Recipe>,
    /// What it mends contradicts itself within the target, whatever the source has.
    pub(super) contradiction: bool,
    /// Exact and local; `false` for the last resort and for raised precision.
    pub safe: bool,
    /// The words for a single node, where the change is made in several.
    rule: Option<String>,
}

impl Remedy {
    pub(super) fn new(kind: Kind, edit: Edit, words: impl Into<String>) -> Self {
        Self {
            kind,
            edit,
            words: words.into(),
            ops: Vec::new(),
            tensors: Vec::new(),
            equivalents: Vec::new(),
            checks: None,
            recipe: None,
            contradiction: false,
            safe: true,
            rule: None,
        }
    }
    /// How many primitive edits it takes.
    pub(super) fn size(&self) -> usize {
        fn count(edit: &Edit) -> usize {
            match edit {
                Edit::All(edits) => edits.iter().map(count).sum(),
                _ => 1,
            }
        }
        count(&self.edit)
    }
    /// The edits that it is made of.
    pub(super) fn parts(&self) -> &[Edit] {
        if let Edit::All(parts) = &self.edit { parts } else { std::slice::from_ref(&self.edit) }
    }
    /// The change as it is told of each single node.
    pub(super) fn rule(&self) -> &str {
        self.rule.as_deref().unwrap_or(&self.words)
    }
    pub(super) fn at(mut self, op: OpId) -> Self {
        self.ops.push(op);
        self
    }
    pub(super) fn on(mut self, tensor: ValueId) -> Self {
        self.tensors.push(tensor);
        self
    }
    pub(super) fn or(mut self, kinds: &[Kind]) -> Self {
        self.equivalents.extend(kinds);
        self
    }
}

/// A suspect on the bench: the target's ops that may be at fault, and what the source has in their place.
pub(super) struct Bench<'a> {
    pub a: &'a Alignment<'a>,
    /// Ops of the target, the likeliest first.
    pub ops: Vec<OpId>,
    /// Ops of the source in the same place, and their neighbours.
    pub source: Vec<OpId>,
    /// What must come out right.
    pub checks: Vec<Check>,
    /// What checked values should be, where that is another thing than their pair says.
    pub wanted: HashMap<ValueId, Vec<Value>>,
    /// Ranges of quantised values over more images than those that were aligned.
    pub ranges: &'a Ranges,
    /// First output of a node that the specification forbids as it is: an edit that leaves it so mends nothing.
    pub forbidden: Option<String>,
    /// Error at which it is right.
    pub floor: f32,
    /// Whether axes are in the wrong order, rather than values wrong.
    pub layout: bool,
}

impl Bench<'_> {
    pub fn target(&self) -> &Network {
        self.a.target()
    }
    pub fn reference(&self) -> &Network {
        self.a.source().network
    }
    /// What the checked values stand for.
    pub fn checked_sources(&self) -> Vec<ValueId> {
        self.checks.iter().filter_map(|(_, v)| self.a.pair_of(*v)).map(|p| p.source).collect()
    }
    /// First output of a target op: how edits name it.
    pub fn key(&self, id: OpId) -> String {
        self.target().key(id)
    }
    /// First output of the node that stands behind a target op in the file: before it something can be inserted. `None` behind the last one.
    pub fn next_key(&self, id: OpId) -> Option<String> {
        let model = self.target().model();
        let node = self.target().op(id).node;
        let next = model.index().nodes().find(|n| n.0 == node.0 + 1)?;
        model.node(next).output.iter().find(|o| !o.is_empty()).cloned()
    }
    pub fn name(&self, v: ValueId) -> &str {
        self.target().model().index().name(v)
    }
    /// A node of the source, with the names it has in the target for what it reads and makes, as the target's operator sets say it.
    fn restated(&self, s: OpId, node: NodeProto, constants: Vec<(String, Value)>) -> Option<restate::Restated> {
        let (mine, theirs) = (self.target().model(), self.reference().model());
        let versions = restate::Versions { from: theirs.opset(node.domain_name()), to: mine.opset(node.domain_name()) };
        let first = self.reference().op(s).inputs.first().copied().flatten();
        let rank = first.and_then(|v| self.a.source().values(v)).and_then(|x| x.first()).map(|x| x.shape().len());
        let fresh = |name: &str| edits::fresh_name(self, name);
        (versions.to > 0).then_some(())?;
        restate::restate(node, versions, restate::Surroundings { constants, rank, fresh: &fresh })
    }
    /// Runs a remedy's region; infinite when it cannot be applied or does not run.
    pub fn error(&self, base: &Network, remedy: &Remedy) -> f32 {
        let Ok((model, _)) = base.model().apply(&remedy.edit) else { return f32::INFINITY };
        if let Some(key) = &self.forbidden
            && crate::model::check(&model)
                .iter()
                .any(|f| f.severity == crate::model::Severity::Error && f.node.is_some_and(|n| model.node(n).output.contains(key)))
        {
            return f32::INFINITY;
        }
        let Ok(edited) = base.tried(&model) else { return f32::INFINITY };
        let checks = remedy.checks.as_ref().unwrap_or(&self.checks);
        // One image sorts out most candidates.
        let first = error_after(self.a, &edited, checks, &self.wanted, 1);
        if first > self.floor || self.a.images() == 1 { first } else { error_after(self.a, &edited, checks, &self.wanted, self.a.images()) }
    }
}

/// A remedy that passed its trial.
#[derive(Debug, Clone)]
pub struct Found {
    /// The remedy.
    pub remedy: Remedy,
    /// Isolated error with it.
    pub after: f32,
}

/// Tries remedies, the smallest edits first, until some bring the suspect to the floor: all of that size, the best first.
pub(super) fn search(bench: &Bench<'_>, before: f32) -> Vec<Found> {
    let mut found = tried(bench, before);
    found.iter_mut().for_each(|f| as_recipe(bench.target(), &mut f.remedy));
    found
}

/// Constants and orders of channels ahead of the first layer with weights are a recipe that is built into the graph.
fn as_recipe(target: &Network, remedy: &mut Remedy) {
    let of_a_recipe = |id: &OpId| matches!(target.op(*id).op_type(), "Add" | "Sub" | "Mul" | "Div" | "Gather") && prepares(target, *id);
    let constant = matches!(remedy.kind, Kind::LhAct | Kind::TsAxis | Kind::WbValues | Kind::WbBias);
    if constant && !remedy.ops.is_empty() && remedy.ops.iter().all(of_a_recipe) {
        remedy.equivalents.push(std::mem::replace(&mut remedy.kind, Kind::PpBaked));
    }
}

/// Whether an op stands between the graph's input and its first layer with weights.
fn prepares(target: &Network, id: OpId) -> bool {
    const MOST: usize = 12;
    let mut open = vec![id];
    let mut seen = 0;
    while let Some(id) = open.pop() {
        seen += 1;
        let op = target.op(id);
        let weighs = |v: &ValueId| target.constant(*v).is_some_and(|c| c.len() >= 16 && c.shape().len() > 1);
        if seen > MOST || op.inputs.iter().flatten().any(weighs) {
            return false;
        }
        open.extend(op.data.iter().filter_map(|v| target.producer(*v)));
    }
    true
}

fn tried(bench: &Bench<'_>, before: f32) -> Vec<Found> {
    let found = stages(bench, bench.target());
    if !found.is_empty() {
        return found;
    }
    // Two edits that belong together: the single one that helps most, then another on top.
    let mut partial: Vec<(f32, Remedy)> = Vec::new();
    let all: Vec<Remedy> = FAMILIES.iter().flat_map(|family| family(bench).into_iter().take(MOST / 4)).collect();
    for remedy in &all {
        let error = bench.error(bench.target(), remedy);
        if error < before.min(1.0) * 0.7 {
            partial.push((error, remedy.clone()));
        }
    }
    partial.sort_by(|x, y| x.0.total_cmp(&y.0));
    for (_, first) in partial.into_iter().take(3) {
        if first.checks.is_some() {
            continue;
        }
        for second in &all {
            if second.ops == first.ops && second.kind == first.kind && second.tensors == first.tensors {
                continue;
            }
            let mut both = second.clone();
            both.edit = Edit::All(vec![first.edit.clone(), second.edit.clone()]);
            let after = bench.error(bench.target(), &both);
            if after <= bench.floor {
                both.kind = first.kind;
                both.words = format!("{}; {}", first.words, second.words);
                both.ops = first.ops.iter().chain(&second.ops).copied().collect();
                both.tensors = first.tensors.iter().chain(&second.tensors).copied().collect();
                both.equivalents.push(second.kind);
                return vec![Found { remedy: both, after }];
            }
        }
    }
    source_subgraph(bench)
        .map(|remedy| (bench.error(bench.target(), &remedy), remedy))
        .into_iter()
        .filter(|(e, _)| *e <= bench.floor)
        .map(|(after, remedy)| Found { remedy, after })
        .collect()
}

/// The same change in all nodes that ask for it: what a converter gets wrong by rule it gets wrong wherever the rule applies, and no single node
/// then brings the region right. Candidates that are told in the same words are the same change.
fn everywhere(single: &[Remedy]) -> Vec<Remedy> {
    let mut groups: Vec<Vec<&Remedy>> = Vec::new();
    for remedy in single.iter().filter(|r| r.checks.is_none() && matches!(r.kind.category(), Category::LH | Category::TS)) {
        match groups.iter_mut().find(|g| g[0].words == remedy.words && g[0].kind == remedy.kind) {
            Some(group) if group.iter().all(|r| r.ops != remedy.ops) => group.push(remedy),
            Some(_) => {}
            None => groups.push(vec![remedy]),
        }
    }
    groups.iter().filter(|g| g.len() > 1).map(|g| together(g)).collect()
}

/// The same change in several places, as one.
pub(super) fn together(group: &[&Remedy]) -> Remedy {
    let mut all = group[0].clone();
    let mut edits: Vec<Edit> = Vec::new();
    all.ops.clear();
    for remedy in group {
        // Nodes that share a constant share the new one as well.
        let new: Vec<&Edit> = remedy.parts().iter().filter(|e| !edits.contains(e)).collect();
        edits.extend(new.into_iter().cloned());
        all.ops.extend(&remedy.ops);
    }
    all.tensors = group.iter().flat_map(|r| r.tensors.iter().copied()).collect();
    all.edit = Edit::All(edits);
    let rule = group[0].rule().to_string();
    all.words = format!("{rule}; so in {} nodes", all.ops.len());
    all.rule = Some(rule);
    all
}

/// One node put in for the readers of both remedies, where each puts the same one in behind the same value. `None` where they do other things.
pub(super) fn for_all_readers(a: &Remedy, b: &Remedy) -> Option<Remedy> {
    let rewires = |e: &&Edit| matches!(e, Edit::RewireInput { .. });
    // Where in the file it goes does not matter.
    let what = |r: &Remedy| {
        let placed = |e: &Edit| match e {
            Edit::InsertNode { node, .. } => Edit::InsertNode { before: None, node: node.clone() },
            other => other.clone(),
        };
        r.parts().iter().filter(|e| !rewires(e)).map(placed).collect::<Vec<_>>()
    };
    let readers = |r: &Remedy| r.parts().iter().filter(rewires).count();
    let fits = |r: &Remedy| r.kind == Kind::CgMissing && r.safe && r.checks.is_none() && readers(r) > 0;
    if !fits(a) || !fits(b) || what(a) != what(b) {
        return None;
    }
    // It has to stand ahead of the first that reads it.
    let (first, other) = if b.ops.first() < a.ops.first() { (b, a) } else { (a, b) };
    let mut edits = first.parts().to_vec();
    edits.extend(other.parts().iter().filter(rewires).filter(|e| !first.parts().contains(e)).cloned());
    let mut all = first.clone();
    all.edit = Edit::All(edits);
    all.ops.extend(&other.ops);
    all.tensors.extend(&other.tensors);
    let rule = first.rule().to_string();
    all.words = format!("{rule}; so for {} that read it", readers(&all));
    all.rule = Some(rule);
    Some(all)
}

/// Of several orders of axes for one node that fit equally well only the first stays: they differ in axes of one element, which no image tells
/// apart, and the first is the likeliest.
fn one_order_each(found: &mut Vec<Found>) {
    let mut seen: Vec<String> = Vec::new();
    found.retain(|f| match &f.remedy.edit {
        Edit::SetAttribute { node, attribute } if attribute.name() == "perm" => {
            let first = !seen.contains(node);
            seen.push(node.clone());
            first
        }
        _ => true,
    });
}

/// Remedies that make a failing node run, where that is all that can be asked.
pub(super) fn search_running(bench: &Bench<'_>) -> Vec<Found> {
    let families: [Family; 3] = [types::types, constants::small, graph::operators];
    let tried = families.iter().flat_map(|f| f(bench)).filter(|r| r.kind == Kind::CgUnsupported || r.kind == Kind::CgOther).take(MOST);
    tried.map(|remedy| Found { after: bench.error(bench.target(), &remedy), remedy }).find(|f| f.after.is_finite()).into_iter().collect()
}

/// A floor above this is a low precision's.
const COARSE: f32 = 0.01;

/// Candidates of one family that are tried.
const MOST: usize = 240;

type Family = fn(&Bench<'_>) -> Vec<Remedy>;

/// The families, the smallest edits first.
const FAMILIES: &[Family] = &[
    agreement,
    types::types,
    shape::axes,
    attributes::attributes,
    numbers::numbers,
    constants::small,
    weights::weights,
    graph::extra,
    graph::rewired,
    graph::operators,
    shape::transposes,
    shape::chains,
];

fn stages(bench: &Bench<'_>, base: &Network) -> Vec<Found> {
    let mut families = FAMILIES.to_vec();
    if bench.layout {
        // Where axes are in the wrong order, what moves axes is asked first.
        let first: [Family; 5] = [types::types, shape::axes, graph::rewired, shape::transposes, shape::chains];
        families.retain(|f| !first.iter().any(|x| std::ptr::fn_addr_eq(*f, *x)));
        families.splice(0..0, first);
    }
    for family in families {
        let mut found: Vec<Found> = Vec::new();
        let mut tried: Vec<Edit> = Vec::new();
        // A family that has hundreds of candidates has none that is likely.
        let single: Vec<Remedy> = family(bench).into_iter().take(MOST).collect();
        let common = everywhere(&single);
        for remedy in single.into_iter().chain(common) {
            // Many places of the source suggest the same.
            if remedy.checks.is_none() && tried.contains(&remedy.edit) {
                continue;
            }
            tried.push(remedy.edit.clone());
            let after = bench.error(base, &remedy);
            tracing::debug!(kind = remedy.kind.id(), after, words = remedy.words, "tried");
            if after <= bench.floor {
                let exact = after <= bench.floor * 0.05;
                found.push(Found { remedy, after });
                if exact && found.len() >= 3 {
                    break;
                }
            }
        }
        if !found.is_empty() {
            // Candidates come the likeliest first; a much smaller error speaks louder. Where the floor is rounding, it leaves much to choose from.
            match bench.floor > COARSE {
                true => found.sort_by_key(|f| (f.after / bench.floor * 10.0) as u32),
                false => found.sort_by_key(|f| f.after > bench.floor * 0.1),
            }
            one_order_each(&mut found);
            return found;
        }
    }
    Vec::new()
}
