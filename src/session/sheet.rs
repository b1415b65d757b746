//! Both graphs in rows: as two lists while nothing is known of how they hang together, as one diff of regions afterwards.

use super::words;
use crate::align::{Precision, Verdict};
use crate::localize::Findings;
use crate::model::{ValueId, harmless};
use crate::run::{Network, OpId};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

/// What the gutter between the two sides says of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sign {
    /// Nothing is known.
    Unknown,
    /// Isolation found it clean.
    Clean,
    /// An error arises here.
    Faulty,
    /// It could not be checked.
    Unchecked,
    /// It was faulty and an accepted edit mended it.
    Repaired,
    /// A proposal waits for a decision.
    Proposed,
}

impl Sign {
    /// Whether it calls for attention.
    pub fn calls(self) -> bool {
        !matches!(self, Self::Clean | Self::Unknown)
    }

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "not compared yet",
            Self::Clean => "clean",
            Self::Faulty => "faulty",
            Self::Unchecked => "unchecked",
            Self::Repaired => "repaired",
            Self::Proposed => "faulty, repair proposed",
        }
    }
}

/// One side of a row: what stands there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cell {
    /// The ops; empty for the row of the graph's inputs.
    pub ops: Vec<OpId>,
    /// What they do, in a few words.
    pub text: String,
    /// Shape of the last output, where it is known.
    pub shape: String,
    /// Values read from other rows.
    pub reads: Vec<ValueId>,
    /// Values that other rows read, or the graph gives out.
    pub makes: Vec<ValueId>,
}

/// What a person said of two values: that they are a pair, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Whether they are a pair.
    pub pair: bool,
    /// Name of the source's value.
    pub source: String,
    /// Name of the target's value.
    pub target: String,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, sign) = if self.pair { ("pinned", "=") } else { ("forbidden", "≠") };
        write!(f, "pair {word} by hand: {} (source) {sign} {} (target)", harmless(&self.source), harmless(&self.target))
    }
}

/// One row of the sheet.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Index into the findings' regions.
    pub region: Option<usize>,
    /// The source's side; `None` leaves a gap.
    pub source: Option<Cell>,
    /// The target's side; `None` leaves a gap.
    pub target: Option<Cell>,
    /// What the gutter says.
    pub sign: Sign,
    /// Isolated error, where it was measured.
    pub isolated: Option<f32>,
    /// Accumulated error, where it was measured.
    pub accumulated: Option<f32>,
    /// The layout that lies between both sides, unless it is the same.
    pub layout: String,
    /// Why it is unchecked.
    pub why: String,
    /// What a person said of values that are made here.
    pub said: Vec<Said>,
}

/// Both graphs in rows.
#[derive(Debug, Clone)]
pub struct Sheet {
    /// Whether rows are regions of a pairing; else the two sides have nothing to do with each other.
    pub aligned: bool,
    /// The rows, from the inputs down.
    pub rows: Vec<Row>,
    /// The source, when it could be loaded.
    pub source: Option<Arc<Network>>,
    /// The target, when it could be loaded.
    pub target: Option<Arc<Network>>,
    /// The floor of the isolated error and the threshold above which a region is a suspect.
    pub floor: Option<(f32, f32)>,
    /// How exactly the less exact of the two computes.
    pub precision: Precision,
}

/// Shapes of values that a run gave, by value.
pub type Shapes = HashMap<ValueId, Vec<usize>>;

/// The same by name, which an edit leaves to what it does not touch.
pub type NamedShapes = HashMap<String, Vec<usize>>;

/// The shapes of a network's own values.
pub(super) fn shapes_of(network: &Network, named: &NamedShapes) -> Shapes {
    let index = network.model().index();
    named.iter().filter_map(|(name, shape)| Some((index.value(name)?, shape.clone()))).collect()
}

impl Sheet {
    /// Two graphs of which nothing is known: each in its own order.
    pub fn unpaired(source: Option<Arc<Network>>, target: Option<Arc<Network>>, shapes: [&Shapes; 2]) -> Self {
        let list = |network: &Option<Arc<Network>>, shapes: &Shapes| -> Vec<Cell> {
            let Some(network) = network else { return Vec::new() };
            let input = inputs(network, shapes);
            std::iter::once(input).chain(network.op_ids().map(|id| cell(network, &[id], shapes))).collect()
        };
        let (a, b) = (list(&source, shapes[0]), list(&target, shapes[1]));
        let length = a.len().max(b.len());
        let (mut a, mut b) = (a.into_iter(), b.into_iter());
        let rows = (0..length).map(|_| Row {
            region: None,
            source: a.next(),
            target: b.next(),
            sign: Sign::Unknown,
            isolated: None,
            accumulated: None,
            layout: String::new(),
            why: String::new(),
            said: Vec::new(),
        });
        Self { aligned: false, rows: rows.collect(), source, target, floor: None, precision: Precision::Float }
    }

    /// The diff that localisation gives. `mended` holds what accepted edits touched: see [`crate::model::Edit::touched`].
    pub fn aligned(
        source: Option<Arc<Network>>,
        target: Option<Arc<Network>>,
        findings: &Findings,
        shapes: [&Shapes; 2],
        mended: &HashSet<String>,
    ) -> Self {
        let side = |network: &Option<Arc<Network>>, ops: &[OpId], shapes: &Shapes| {
            network.as_ref().filter(|_| !ops.is_empty()).map(|n| cell(n, ops, shapes))
        };
        let mut rows = Vec::with_capacity(findings.regions.len() + 1);
        let head = |network: &Option<Arc<Network>>, shapes: &Shapes| network.as_ref().map(|n| inputs(n, shapes));
        rows.push(Row {
            region: None,
            source: head(&source, shapes[0]),
            target: head(&target, shapes[1]),
            sign: if mended.contains("") { Sign::Repaired } else { Sign::Unknown },
            isolated: None,
            accumulated: None,
            layout: String::new(),
            why: String::new(),
            said: Vec::new(),
        });
        for (at, region) in findings.regions.iter().enumerate() {
            let layout = region.outputs.first().and_then(|p| findings.pairs.get(*p)).map(|p| &p.layout);
            rows.push(Row {
                region: Some(at),
                source: side(&source, &region.source, shapes[0]),
                target: side(&target, &region.target, shapes[1]),
                sign: match region.verdict {
                    Verdict::Clean if target.as_ref().is_some_and(|n| touches(n, &region.target, mended)) => Sign::Repaired,
                    Verdict::Clean => Sign::Clean,
                    Verdict::Faulty => Sign::Faulty,
                    Verdict::Unchecked => Sign::Unchecked,
                },
                isolated: region.isolated,
                accumulated: region.accumulated,
                layout: layout.filter(|l| !l.is_flat()).map(ToString::to_string).unwrap_or_default(),
                why: region.why.as_deref().map(|w| harmless(w).into_owned()).unwrap_or_default(),
                said: Vec::new(),
            });
        }
        let precision = source.as_ref().zip(target.as_ref()).map_or(Precision::Float, |(s, t)| Precision::between(s, t));
        Self { aligned: true, rows, source, target, floor: Some((findings.floor, findings.threshold)), precision }
    }

    /// Tells the rows what a person said of the values that they make.
    pub(super) fn mark(&mut self, said: &[Said]) {
        for (network, right) in [(self.source.clone(), false), (self.target.clone(), true)] {
            let Some(network) = network else { continue };
            for s in said {
                let Some(value) = network.model().index().value(if right { &s.target } else { &s.source }) else { continue };
                let makes = |c: &Cell| c.ops.iter().any(|id| network.op(*id).made().any(|v| v == value));
                let side = |r: &Row| if right { r.target.as_ref() } else { r.source.as_ref() }.is_some_and(makes);
                if let Some(row) = self.rows.iter_mut().find(|r| side(r) && !r.said.contains(s)) {
                    row.said.push(s.clone());
                }
            }
        }
    }

    /// The row of a region.
    pub fn row_of_region(&self, region: usize) -> Option<usize> {
        self.rows.iter().position(|r| r.region == Some(region))
    }
}

/// Whether any of these ops, or a constant that it reads, bears one of the names.
fn touches(network: &Network, ops: &[OpId], names: &HashSet<String>) -> bool {
    let index = network.model().index();
    let named = |v: ValueId| names.contains(index.name(v));
    let reads = |v: &ValueId| network.constant(*v).is_some() && named(*v);
    !names.is_empty() && ops.iter().any(|id| network.op(*id).made().any(named) || network.op(*id).inputs.iter().flatten().any(reads))
}

/// The row of a graph's inputs.
fn inputs(network: &Network, shapes: &Shapes) -> Cell {
    let index = network.model().index();
    let names: Vec<_> = network.inputs().iter().map(|v| harmless(index.name(*v))).collect();
    let shape = network
        .inputs()
        .first()
        .and_then(|v| shapes.get(v))
        .map(|s| words::shape(s))
        .unwrap_or_else(|| network.model().inputs().next().map(words::declared_shape).unwrap_or_default());
    let text = if names.is_empty() { "no input".into() } else { format!("input {}", names.join(", ")) };
    Cell { ops: Vec::new(), text, shape, reads: Vec::new(), makes: network.inputs().to_vec() }
}

fn cell(network: &Network, ops: &[OpId], shapes: &Shapes) -> Cell {
    let inside = |op: OpId| ops.contains(&op);
    let mut reads = Vec::new();
    let mut makes = Vec::new();
    for id in ops {
        for v in &network.op(*id).data {
            if !network.producer(*v).is_some_and(inside) && !reads.contains(v) {
                reads.push(*v);
            }
        }
        for v in network.op(*id).made() {
            if network.consumers(v).iter().any(|c| !inside(*c)) || network.outputs().contains(&v) {
                makes.push(v);
            }
        }
    }
    let shape = makes.last().or(None).and_then(|v| shapes.get(v)).map(|s| words::shape(s)).unwrap_or_default();
    Cell { ops: ops.to_vec(), text: summary(network, ops), shape, reads, makes }
}

/// Several ops in one line: the one with the most weight in full, the others by name around it.
fn summary(network: &Network, ops: &[OpId]) -> String {
    match ops {
        [] => String::new(),
        [one] => words::describe(network, *one),
        _ => {
            let weight = |id: &OpId| {
                let constants = network.op(*id).inputs.iter().flatten().filter_map(|v| network.constant(*v));
                constants.map(|v| v.len()).max().unwrap_or(0)
            };
            let main = ops.iter().enumerate().max_by_key(|(i, id)| (weight(id), std::cmp::Reverse(*i))).map_or(0, |(i, _)| i);
            let name = |id: &OpId| harmless(network.op(*id).op_type()).into_owned();
            let mut parts: Vec<String> = Vec::new();
            if ops.len() <= 4 {
                parts.extend(ops[..main].iter().map(&name));
                parts.push(words::describe(network, ops[main]));
                parts.extend(ops[main + 1..].iter().map(&name));
                parts.join(" + ")
            } else {
                format!("{} … {}  {} nodes", name(&ops[0]), name(&ops[ops.len() - 1]), ops.len())
            }
        }
    }
}
