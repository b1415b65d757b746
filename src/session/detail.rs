//! One row of the sheet in detail: attributes and weights of both sides, and what flows out of it.

use super::engine::{Core, News};
use super::flow::{self, Place};
use super::sheet::{Cell, Sheet};
use super::weights::{self, Weights};
use super::words;
use crate::align::{Pair, Verdict, candidates, relative_error};
use crate::dataset::{Feed, ImageSet};
use crate::localize::Findings;
use crate::model::onnx::{AttributeProto, NodeProto};
use crate::model::{Model, NodeExt, ValueId};
use crate::run::{Network, OpId, Value};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// An attribute or a weight, on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What it is called.
    pub name: String,
    /// On the source's side; empty where there is none.
    pub source: String,
    /// On the target's side; empty where there is none.
    pub target: String,
    /// Whether the difference matters.
    pub differs: bool,
}

/// What flows out of a row, for one image: the source's value and what the target's side makes of the source's inputs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Activations {
    /// Least, greatest, mean, standard deviation of the source's value.
    pub source: [f32; 4],
    /// The same of the target's.
    pub target: [f32; 4],
    /// How often values fall into equal parts of the common range, 0 to 1, relative to the fullest part of either.
    pub bins: [Vec<f64>; 2],
    /// Root mean square of the difference by channel, relative to that of the source's value.
    pub channels: Vec<f32>,
    /// Height, width and root mean square of the difference over the channels, for values with two spatial axes.
    pub map: Option<(usize, usize, Vec<f32>)>,
}

/// All about one row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Detail {
    /// Row of the sheet.
    pub row: usize,
    /// The image it was worked out for.
    pub image: Option<usize>,
    /// Attributes and weights.
    pub facts: Vec<Fact>,
    /// What flows out, where it can be told.
    pub activations: Option<Activations>,
    /// Isolated error by image, for the images that were tried.
    pub images: Vec<(usize, f32)>,
    /// Why nothing can be told of what flows out.
    pub problem: Option<String>,
    /// Weights of both sides with their figures, those first that differ most.
    pub weights: Vec<Weights>,
    /// Whether the target has changed since it was looked into, so that this is about the target as it was.
    pub is_old: bool,
}

/// Where images come from, and what the source takes.
pub(super) type Images = (Arc<ImageSet>, Feed);

/// What a row is looked into with.
pub(super) struct Look {
    pub sheet: Arc<Sheet>,
    pub findings: Option<Arc<Findings>>,
    /// The target as it is at present.
    pub target: Option<Arc<Network>>,
    pub images: Option<Images>,
    /// Images to take the error over, those that flip first.
    pub order: Vec<usize>,
}

impl Look {
    /// The target to look into, and whether it is the one that was looked into for faults, before an edit: an edit that leaves nodes and
    /// values where they were can be seen at once.
    fn target(&self) -> (Option<Arc<Network>>, bool) {
        match (&self.sheet.target, &self.target) {
            (Some(old), Some(now)) if !Arc::ptr_eq(old, now) => {
                let same = self.sheet.aligned && is_built_alike(old, now);
                (Some(if same { now.clone() } else { old.clone() }), !same)
            }
            (old, _) => (old.clone(), false),
        }
    }

    /// The region of a row, where an error arises.
    fn faulty<'a>(&'a self, target: &'a Network, row: usize) -> Option<(Place<'a>, &'a Images)> {
        let (findings, images) = (self.findings.as_deref()?, self.images.as_ref()?);
        let region = findings.regions.get(self.sheet.rows.get(row)?.region?).filter(|r| r.verdict == Verdict::Faulty)?;
        Some((Place { source: self.sheet.source.as_deref()?, target, pairs: &findings.pairs, region }, images))
    }

    /// Takes the error of a row over some images, one after the other; `tell` has the detail after each and says whether to go on.
    pub fn over_images(&self, mut detail: Detail, mut tell: impl FnMut(&Detail) -> bool) {
        let (Some(target), _) = self.target() else { return };
        let Some((place, images)) = self.faulty(&target, detail.row) else { return };
        for image in self.order.iter().take(MOST_IMAGES) {
            if let Ok(error) = flow::error(place, images, *image) {
                detail.images.push((*image, error));
                if !tell(&detail) {
                    return;
                }
            }
        }
    }
}

/// Images over which the error of a row is taken.
const MOST_IMAGES: usize = 16;

/// Whether ops and values of two networks have the same numbers.
fn is_built_alike(a: &Network, b: &Network) -> bool {
    let made = |n: &Network, id: OpId| n.op(id).made().collect::<Vec<_>>();
    let name = |n: &Network, id: OpId| n.op(id).made().next().map(|v| n.model().index().name(v).to_string());
    a.ops().len() == b.ops().len() && a.op_ids().all(|id| made(a, id) == made(b, id) && name(a, id) == name(b, id))
}

/// Works out all about a row.
pub(super) fn work_out(look: &Look, row: usize, image: Option<usize>) -> Detail {
    let (sheet, findings) = (&look.sheet, look.findings.as_deref());
    let (now, is_old) = look.target();
    let mut out = Detail { row, image, is_old, ..Detail::default() };
    let Some(found) = sheet.rows.get(row) else { return out };
    fn side<'a>(network: &'a Option<Arc<Network>>, cell: &'a Option<Cell>) -> Option<(&'a Network, &'a [OpId])> {
        Some((network.as_deref()?, &cell.as_ref()?.ops[..]))
    }
    let (source, target) = (side(&sheet.source, &found.source), side(&now, &found.target));
    if sheet.aligned {
        out.weights = weights::of_row(sheet.source.as_deref().zip(found.source.as_ref()), now.as_deref().zip(found.target.as_ref()));
    }
    if sheet.aligned {
        out.facts = findings.map(|f| inputs(source, target, &f.pairs)).unwrap_or_default();
        out.facts.extend(facts(source, target));
    } else {
        // Rows of an unpaired sheet have nothing to do with each other.
        out.facts = facts(source, None);
        for fact in facts(None, target) {
            match out.facts.iter_mut().find(|f| f.name == fact.name && f.target.is_empty()) {
                Some(have) => have.target = fact.target,
                None => out.facts.push(fact),
            }
        }
        out.facts.iter_mut().for_each(|f| f.differs = false);
    }
    let (Some(findings), Some(region), Some(images)) = (findings, found.region, &look.images) else { return out };
    let (Some(source), Some(target), Some(region)) = (&sheet.source, &now, findings.regions.get(region)) else { return out };
    match flow::isolated(Place { source, target, pairs: &findings.pairs, region }, images, image.unwrap_or(0)) {
        Ok(activations) => out.activations = Some(activations),
        Err(why) => out.problem = Some(crate::model::harmless(&why).into_owned()),
    }
    out
}

impl Core {
    /// Works out the details of a row, one row at a time; of several wishes the last one counts.
    pub fn inspect(&mut self, row: usize, image: Option<usize>) {
        if let Some(next) = &mut self.inspecting {
            *next = Some((row, image));
            return;
        }
        let (Some(open), Some(sheet)) = (&self.open, &self.snap.sheet) else { return };
        let number = open.number;
        let mut order: Vec<usize> = (0..open.differs[1].len()).collect();
        order.sort_by_key(|i| !open.differs[0][*i]);
        let look = Look {
            sheet: sheet.clone(),
            findings: self.snap.findings.clone(),
            target: open.job.as_ref().map(|j| j.target.clone()),
            images: open.job.as_ref().map(|j| (j.images.clone(), j.source_feed.clone())),
            order,
        };
        self.inspecting = Some(None);
        let looks = self.looks.clone();
        let mine = looks.fetch_add(1, Ordering::Relaxed) + 1;
        self.spawn(number, Arc::default(), move |to| {
            let detail = work_out(&look, row, image);
            to.tell(News::Detail(Box::new(detail.clone())));
            // The errors over images come one by one, until another row is looked into.
            look.over_images(detail, |detail| {
                let wanted = looks.load(Ordering::Relaxed) == mine;
                if wanted {
                    to.tell(News::OverImages(Box::new(detail.clone())));
                }
                wanted
            });
        });
    }
}

/// What both sides of one node read, where the target reads it in another order.
fn inputs(source: Option<(&Network, &[OpId])>, target: Option<(&Network, &[OpId])>, pairs: &[Pair]) -> Vec<Fact> {
    let (Some((source, &[a])), Some((target, &[b]))) = (source, target) else { return Vec::new() };
    let (theirs, mine) = (&source.op(a).inputs, &target.op(b).inputs);
    // Which of the source's inputs stands for each of the target's.
    let place = |v: &Option<ValueId>| {
        let pair = pairs.iter().find(|p| Some(p.target) == *v)?;
        theirs.iter().position(|s| *s == Some(pair.source))
    };
    let places: Vec<Option<usize>> = mine.iter().map(place).collect();
    if theirs.len() != mine.len() || !places.iter().enumerate().any(|(i, p)| p.is_some_and(|p| p != i)) {
        return Vec::new();
    }
    let name = |network: &Network, v: Option<ValueId>| {
        v.map(|v| crate::model::harmless(network.model().index().name(v)).into_owned()).unwrap_or_default()
    };
    let fact = |(i, p): (usize, &Option<usize>)| {
        let p = (*p)?;
        let target = if p == i { name(target, mine[i]) } else { format!("the source's {p}: {}", name(target, mine[i])) };
        Some(Fact { name: format!("input {i}"), source: name(source, theirs[i]), target, differs: p != i })
    };
    places.iter().enumerate().filter_map(fact).collect()
}

/// Attributes and weights of two groups of ops, those of one operator paired in order.
fn facts(source: Option<(&Network, &[OpId])>, target: Option<(&Network, &[OpId])>) -> Vec<Fact> {
    let mut out = Vec::new();
    let (ours, theirs) = (source.map_or(&[][..], |s| s.1), target.map_or(&[][..], |t| t.1));
    let type_of = |side: Option<(&Network, &[OpId])>, id: &OpId| side.map(|(n, _)| n.op(*id).op_type().to_string()).unwrap_or_default();
    let mut left: Vec<OpId> = theirs.to_vec();
    let single = ours.len() == 1 && theirs.len() == 1;
    for a in ours {
        let at = left.iter().position(|b| single || type_of(target, b) == type_of(source, a));
        let b = at.map(|i| left.remove(i));
        let many = ours.len().max(theirs.len()) > 1;
        let prefix = if many { format!("{} ", type_of(source, a)) } else { String::new() };
        match b {
            Some(b) if type_of(target, &b) != type_of(source, a) => {
                out.push(Fact { name: "operator".into(), source: type_of(source, a), target: type_of(target, &b), differs: true });
                out.extend(of_pair(source.map(|s| (s.0, *a)), target.map(|t| (t.0, b)), &prefix));
            }
            Some(b) => out.extend(of_pair(source.map(|s| (s.0, *a)), target.map(|t| (t.0, b)), &prefix)),
            None => out.extend(of_pair(source.map(|s| (s.0, *a)), None, &prefix)),
        }
    }
    for b in left {
        let prefix = if theirs.len() > 1 { format!("{} ", type_of(target, &b)) } else { String::new() };
        out.extend(of_pair(None, target.map(|t| (t.0, b)), &prefix));
    }
    out
}

fn of_pair(source: Option<(&Network, OpId)>, target: Option<(&Network, OpId)>, prefix: &str) -> Vec<Fact> {
    let both = source.is_some() && target.is_some();
    let [a, b] = [source, target].map(|side| side.map(|(network, id)| (network.model(), network.op(id).proto())));
    let mut all: Vec<&AttributeProto> = [a, b].into_iter().flatten().flat_map(|(_, node)| &node.attribute).collect();
    all.sort_by_key(|a| a.name());
    all.dedup_by_key(|a| a.name());
    let mut out = Vec::new();
    for like in all {
        let name = crate::model::harmless(like.name());
        // What is not written is shown as what it counts for.
        let shown = |side: Option<(&Model, &NodeProto)>| match side {
            None => String::new(),
            Some((model, node)) => {
                let value = node.attr(like.name()).cloned().or_else(|| model.default_attribute(node, like));
                value.map_or("–".to_string(), |v| words::attribute(&v))
            }
        };
        let (x, y) = (shown(a), shown(b));
        let differs = both && x != y && x.parse::<f64>().ok().zip(y.parse::<f64>().ok()).is_none_or(|(x, y)| x != y);
        out.push(Fact { name: format!("{prefix}{name}"), source: x, target: y, differs });
    }
    out.extend(weights(source, target, prefix));
    out
}

/// Constants by slot, compared up to the order of axes.
fn weights(source: Option<(&Network, OpId)>, target: Option<(&Network, OpId)>, prefix: &str) -> Vec<Fact> {
    let constant = |side: Option<(&Network, OpId)>, slot: usize| -> Option<Value> {
        let (network, id) = side?;
        network.constant((*network.op(id).inputs.get(slot)?)?).cloned()
    };
    let slots = [source, target].into_iter().flatten().map(|(n, id)| n.op(id).inputs.len()).max().unwrap_or(0);
    let op = source.or(target).map(|(n, id)| n.op(id).op_type().to_string()).unwrap_or_default();
    let mut out = Vec::new();
    for slot in 0..slots {
        let (a, b) = (constant(source, slot), constant(target, slot));
        if a.is_none() && b.is_none() {
            continue;
        }
        let show = |v: &Option<Value>| match v {
            None => String::new(),
            Some(v) if v.len() == 1 => words::number(v.to_f32().first().copied().unwrap_or_default()),
            Some(v) if v.len() <= 8 && !v.is_float() => {
                format!("[{}]", v.to_i64().iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
            }
            Some(v) => words::shape(v.shape()),
        };
        let (x, mut y) = (show(&a), show(&b));
        let mut differs = false;
        if let (Some(a), Some(b)) = (&a, &b) {
            let verdict = against(a, b, op == "Reshape" && slot == 1);
            differs = verdict.1;
            if a.len() > 1 {
                y = format!("{y} {}", verdict.0).trim_end().to_string();
            }
        } else if source.is_some() && target.is_some() {
            differs = true;
            if a.is_none() { y.push_str(" (only here)") } else { y = "missing".into() }
        }
        out.push(Fact { name: format!("{prefix}{}", slot_name(&op, slot)), source: x, target: y, differs });
    }
    out
}

/// How a constant stands to its counterpart, in words, and whether the difference matters.
fn against(a: &Value, b: &Value, is_shape: bool) -> (String, bool) {
    if a.len() != b.len() {
        return ("other size".into(), true);
    }
    if !a.is_float() && !b.is_float() && a.shape() == b.shape() {
        // A shape that leaves an extent to be worked out, or copies it, says the same as one that names it.
        let open = |d: i64| matches!(d, -1 | 0);
        let (x, y) = (a.to_i64(), b.to_i64());
        let same = x.iter().zip(&y).all(|(x, y)| x == y || (is_shape && (open(*x) || open(*y))));
        return (if x == y { "equal".into() } else { String::new() }, !same);
    }
    let theirs = b.to_f32();
    for layout in candidates(a.shape(), b.shape()) {
        let Some(laid) = layout.apply(a) else { continue };
        if relative_error(&theirs, &laid.to_f32()) <= 1e-6 {
            return (if layout.is_flat() { "equal".into() } else { format!("equal, axes {layout}") }, false);
        }
    }
    let error = relative_error(&theirs, &a.to_f32());
    (if error.is_finite() { format!("off by {} %", words::number(error * 100.0)) } else { "differs".into() }, true)
}

fn slot_name(op: &str, slot: usize) -> String {
    let names: &[&str] = match op {
        "Conv" | "ConvTranspose" => &["input", "weight", "bias"],
        "Gemm" => &["A", "B", "C"],
        "MatMul" => &["A", "B"],
        "BatchNormalization" => &["input", "scale", "shift", "mean", "variance"],
        "LayerNormalization" | "InstanceNormalization" => &["input", "scale", "shift"],
        "Clip" => &["input", "min", "max"],
        "QuantizeLinear" | "DequantizeLinear" => &["input", "scale", "zero point"],
        "Reshape" => &["input", "shape"],
        _ => &[],
    };
    names.get(slot).map_or_else(|| format!("input {slot}"), |n| (*n).to_string())
}
