//! The forward walk: every node of the target on the source's own values, wherever these are known.

use super::exact::{EXACT, exact, has_bias, is_before_bias};
use super::layout::{Layout, candidates};
use super::numbers::{Fingerprint, error_between, worst_error};
use super::reference::{Reference, is_rounded, moves};
use super::{Hints, PairKind, Precision};
use crate::model::ValueId;
use crate::run::{Network, OpId, RunError, Value};
use std::collections::{BTreeSet, HashMap, HashSet};

/// How many times as far off as the nearest a value may be, and still be told from it by structure.
const FAR: f32 = 4.0;

/// A value found to stand for a source value.
#[derive(Debug, Clone)]
pub(super) struct Match {
    pub source: ValueId,
    pub layout: Layout,
    pub error: f32,
}

/// What is known of a target value.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub source: ValueId,
    pub layout: Layout,
    /// Isolated error; infinite while nothing was computed.
    pub error: f32,
    pub kind: PairKind,
}

/// The target while it is walked. Values are lists with one entry an image.
pub(super) struct Walk<'a> {
    pub target: &'a Network,
    pub source: &'a Reference<'a>,
    pub images: usize,
    /// Largest error at which values are taken for equal.
    pub tau: f32,
    pub hints: &'a Hints,
    pub pairs: HashMap<ValueId, Known>,
    /// What consumers are given: the source's value where paired, else what was computed.
    pub fed: HashMap<ValueId, Vec<Value>>,
    /// What the target made from what it was given. Kept for values that are not equal.
    pub computed: HashMap<ValueId, Vec<Value>>,
    pub failed: HashMap<OpId, RunError>,
    /// Ops that were given something else since they were last run.
    stale: HashSet<OpId>,
    /// Source origins that are paired, with the target values.
    pub claimed: HashMap<ValueId, BTreeSet<ValueId>>,
    /// Target values that depend on the image through anything but shapes.
    pub live: HashSet<ValueId>,
    /// Where the next node would have to read another source value: consumer, its input, that value, its layout.
    pub wrong_inputs: Vec<(OpId, ValueId, ValueId, Layout)>,
    /// Ops in which nothing is rounded, of a target that is quantised elsewhere: what they make of the source's values is the source's.
    pub exact: HashSet<OpId>,
    /// Whether values that are near are taken for pairs: where equal ones to confirm a guess will not come.
    pub near: bool,
    /// What was noticed, in words.
    pub log: Vec<String>,
}

/// What an input of the target is fed, image by image, with the source's input and the layout where the two are one.
pub(super) type Given = (Vec<Value>, Option<(ValueId, Layout)>);

impl<'a> Walk<'a> {
    /// Starts with the inputs: `given` is what the target's inputs are fed (by slot, one for each image); a layout pairs it with the source's input.
    pub fn start(target: &'a Network, source: &'a Reference<'a>, given: &[Given], tau: f32, hints: &'a Hints) -> Self {
        let images = given.first().map_or(0, |(v, _)| v.len());
        let mut walk = Self {
            target,
            source,
            images,
            tau,
            hints,
            pairs: HashMap::new(),
            fed: HashMap::new(),
            computed: HashMap::new(),
            failed: HashMap::new(),
            stale: HashSet::new(),
            claimed: HashMap::new(),
            live: HashSet::new(),
            wrong_inputs: Vec::new(),
            exact: exact(target, tau),
            near: is_rounded(target, source),
            log: Vec::new(),
        };
        for (v, (values, partner)) in target.inputs().iter().zip(given) {
            walk.feed(*v, values.clone());
            walk.live.insert(*v);
            if let Some((s, layout)) = partner {
                walk.claimed.entry(source.origin(*s)).or_default().insert(*v);
                walk.pairs.insert(*v, Known { source: *s, layout: layout.clone(), error: 0.0, kind: PairKind::Equal });
            }
        }
        for op in target.ops() {
            let depends = match op.op_type() {
                "Shape" | "Size" => false,
                // Of the second input it takes the type alone.
                "CastLike" => op.inputs.first().copied().flatten().is_some_and(|v| walk.live.contains(&v)),
                _ => op.data.iter().any(|v| walk.live.contains(v)),
            };
            if depends {
                walk.live.extend(op.made());
            }
        }
        walk
    }

    /// Gives a value to the ops that read it.
    pub fn feed(&mut self, v: ValueId, values: Vec<Value>) {
        self.stale.extend(self.target.consumers(v));
        self.fed.insert(v, values);
    }

    /// Walks all nodes.
    pub fn run(&mut self) {
        for id in self.target.op_ids() {
            self.step(id);
        }
    }

    /// Runs one op on all images, with other values in place of some.
    pub fn eval(&self, id: OpId, instead: &HashMap<ValueId, Vec<Value>>, images: usize) -> Result<Vec<Vec<Value>>, RunError> {
        let mut made: Vec<Vec<Value>> = Vec::new();
        for image in 0..images {
            let value = |v: ValueId| instead.get(&v).or_else(|| self.fed.get(&v)).and_then(|x| x.get(image));
            for (slot, out) in self.target.eval(id, value)?.into_iter().enumerate() {
                if made.len() <= slot {
                    made.push(Vec::new());
                }
                made[slot].push(out);
            }
        }
        Ok(made)
    }

    /// Runs one op and pairs what it makes.
    pub fn step(&mut self, id: OpId) {
        self.stale.remove(&id);
        let op = self.target.op(id);
        let outputs: Vec<ValueId> = op.made().collect();
        let missing = op.data.iter().any(|v| !self.fed.contains_key(v));
        let made = if missing { Err(None) } else { self.eval(id, &HashMap::new(), self.images).map_err(Some) };
        match made {
            Ok(made) => {
                self.failed.remove(&id);
                for (v, values) in outputs.into_iter().zip(made) {
                    self.settle(id, v, values);
                }
            }
            Err(why) => {
                for v in outputs {
                    self.computed.remove(&v);
                    match self.pairs.get_mut(&v) {
                        Some(known) if known.kind != PairKind::Equal => known.error = f32::INFINITY,
                        _ => {
                            self.unpair(v);
                            self.stale.extend(self.target.consumers(v));
                            self.fed.remove(&v);
                        }
                    }
                }
                // A value that nothing makes is this node's own fault; one that a failing node should have made is not.
                let dangling = op.data.iter().find(|v| self.target.producer(**v).is_none() && !self.fed.contains_key(v));
                let why = why.or_else(|| {
                    dangling.map(|v| RunError::new(format!("nothing makes its input '{}'", self.target.model().index().name(*v))))
                });
                // What nothing reads may fail.
                if let Some(why) = why.filter(|_| self.target.is_live(id)) {
                    self.failed.insert(id, why);
                }
            }
        }
    }

    fn settle(&mut self, id: OpId, v: ValueId, values: Vec<Value>) {
        if let Some(known) = self.pairs.get_mut(&v)
            && known.kind != PairKind::Equal
        {
            known.error = self.fed.get(&v).map_or(f32::INFINITY, |fed| worst_error(&values, fed));
            self.computed.insert(v, values);
            return;
        }
        let name = self.target.model().index().name(v);
        if let Some(pinned) = self.hints.pins.get(name)
            && let Some(s) = self.source.network.model().index().value(pinned)
            && let Some(theirs) = self.source.values(s)
        {
            let layout = candidates(theirs[0].shape(), values[0].shape())
                .into_iter()
                .min_by(|a, b| {
                    let e = |l: &Layout| self.layout_error(&values, s, l);
                    e(a).total_cmp(&e(b))
                })
                .unwrap_or_else(|| Layout::flat(theirs[0].shape()));
            self.computed.insert(v, values);
            self.pair(v, Match { source: s, layout, error: f32::INFINITY }, PairKind::Pinned);
            return;
        }
        let found = self.find(&values, Some(id), Some(v), self.images);
        tracing::trace!(target = name, ?found, "settled");
        // Where nothing is rounded, what is only near is another value.
        let off = found.as_ref().is_some_and(|m| m.error > EXACT) && self.is_exact(id);
        match found {
            Some(found) if !off && self.overtakes(id, v, &found) => {}
            Some(found) if !off && !self.is_joined(id, &found) => match self.idle(id, v, &values, &found) {
                Some(other) => {
                    self.computed.insert(v, values);
                    self.pair(v, other, PairKind::Inferred("the same operator changes the same value in the source".into()));
                }
                None => {
                    self.computed.insert(v, values);
                    self.pair(v, found, PairKind::Equal);
                    self.computed.remove(&v);
                }
            },
            found => {
                self.unpair(v);
                let op_of = |s: ValueId| self.source.producer(s).map(|p| self.source.network.op(p).op_type());
                let alike = |m: &Match| off && op_of(m.source) == Some(self.target.op(id).op_type());
                let close = found.filter(alike).or_else(|| self.close(&values, id, v));
                self.feed(v, values.clone());
                self.computed.insert(v, values);
                if let Some(found) = close {
                    self.pair(v, found, PairKind::Inferred("the nearest value, and made of the same by the same operator".into()));
                }
            }
        }
    }

    /// Takes two values for a pair, and feeds consumers with the source's.
    pub fn pair(&mut self, v: ValueId, found: Match, kind: PairKind) {
        self.unpair(v);
        let Some(theirs) = self.source.values(found.source) else { return };
        let dtype = self.computed.get(&v).and_then(|c| c.first()).map_or_else(|| theirs[0].dtype(), Value::dtype);
        let fed: Option<Vec<Value>> = theirs.iter().map(|x| found.layout.apply(x)?.cast(dtype)).collect();
        let Some(fed) = fed else { return };
        let mut error = found.error;
        if !error.is_finite()
            && let Some(c) = self.computed.get(&v)
        {
            error = worst_error(c, &fed);
        }
        tracing::trace!(target = self.target.model().index().name(v), source = self.source.name(found.source), ?kind, error, "paired");
        self.feed(v, fed);
        self.claimed.entry(self.source.origin(found.source)).or_default().insert(v);
        self.pairs.insert(v, Known { source: found.source, layout: found.layout, error, kind });
    }

    /// Takes a pair apart; what consumers are given stays until the next step.
    pub fn unpair(&mut self, v: ValueId) {
        if let Some(known) = self.pairs.remove(&v)
            && let Some(set) = self.claimed.get_mut(&self.source.origin(known.source))
        {
            set.remove(&v);
        }
    }

    /// Whether a source value is paired already, up to rearrangement.
    pub fn is_claimed(&self, s: ValueId) -> bool {
        self.claimed.get(&self.source.origin(s)).is_some_and(|set| !set.is_empty())
    }

    pub fn layout_error(&self, values: &[Value], s: ValueId, layout: &Layout) -> f32 {
        let Some(theirs) = self.source.values(s) else { return f32::INFINITY };
        values.iter().zip(theirs).map(|(t, s)| layout.apply(s).map_or(f32::INFINITY, |s| error_between(t, &s))).fold(0.0, f32::max)
    }

    /// The layout under which target values equal a source value best, with its error.
    pub fn best_layout(&self, values: &[Value], s: ValueId) -> Option<(Layout, f32)> {
        self.layout_within(values, s, self.tau * 20.0 + 1e-3)
    }

    /// The same among layouts under which a sample of the elements is off by no more than `most`.
    pub fn layout_within(&self, values: &[Value], s: ValueId, most: f32) -> Option<(Layout, f32)> {
        let theirs = self.source.values(s)?;
        let mut best: Option<(Layout, f32)> = None;
        let (t, x) = (values.first()?.to_f32(), theirs.first()?.to_f32());
        if t.len() != x.len() {
            return None;
        }
        for layout in candidates(theirs[0].shape(), values[0].shape()) {
            if layout.sampled_error(&x, &t) > f64::from(most) {
                continue;
            }
            let error = self.layout_error(values, s, &layout);
            if best.as_ref().is_none_or(|(_, e)| error < *e) {
                best = Some((layout, error));
            }
            if best.as_ref().is_some_and(|(_, e)| *e < self.tau * 0.05) {
                break;
            }
        }
        best
    }

    /// Whether the user said that these two are no pair.
    pub fn is_forbidden(&self, v: ValueId, s: ValueId) -> bool {
        let name = self.target.model().index().name(v);
        self.hints.forbidden.iter().any(|(t, theirs)| *t == name && *theirs == self.source.name(s))
    }

    /// The source value that equals these, if any: by numbers, and among equals by structure.
    pub fn find(&self, values: &[Value], by: Option<OpId>, v: Option<ValueId>, images: usize) -> Option<Match> {
        let first = values.first()?;
        if !first.is_float() || first.len() < 2 {
            return None;
        }
        let prints: Vec<Fingerprint> = values.iter().take(images).map(|x| Fingerprint::of(&x.to_f32())).collect::<Option<_>>()?;
        let near = self.source.near(&prints, first.len(), f64::from(self.tau) * 1.2);
        let op = by.map(|id| self.target.op(id));
        // What is quantised and taken back is what it was, but for rounding.
        let rounds = op.is_some_and(|op| matches!(op.op_type(), "QuantizeLinear" | "DequantizeLinear"));
        let read: HashSet<ValueId> = op.map_or_else(HashSet::new, |op| {
            let above = |i: &ValueId| self.target.producer(*i).filter(|_| rounds).map(|p| &self.target.op(p).data);
            let reads = op.data.iter().chain(op.data.iter().filter_map(above).flatten());
            reads.filter_map(|i| self.pairs.get(i)).map(|k| self.source.origin(k.source)).collect()
        });
        // What rounds takes no probabilities.
        let forbidden = |s: ValueId| {
            v.is_some_and(|v| self.is_forbidden(v, s))
                || (rounds && self.source.virtual_of(s).is_some() && !read.contains(&self.source.origin(s)))
        };
        let candidates = near.into_iter().take(14).filter(|s| !forbidden(*s)).filter_map(|s| {
            let (layout, error) = self.best_layout(values, s)?;
            (error <= self.tau).then_some((s, layout, error))
        });
        let candidates: Vec<(ValueId, Layout, f32)> = candidates.collect();
        let biased = self.tau > Precision::Float.tau() && by.is_some_and(|id| has_bias(self.target, id));
        let all: Vec<ValueId> = candidates.iter().map(|(s, ..)| *s).collect();
        let least = candidates.iter().map(|(.., error)| *error).fold(f32::INFINITY, f32::min);
        let mut best: Option<(_, Match)> = None;
        for (s, layout, error) in candidates {
            // Where rounding is coarse, a value before its bias is within the tolerance of the one behind it.
            let far = self.tau > Precision::Float.tau() && error > self.tau / FAR && error > least * FAR;
            let far = far || (biased && is_before_bias(self.source, s, &all));
            let moving = rounds || op.is_some_and(|op| moves(op.op_type()));
            let mut structure = 0;
            if let (Some(p), Some(op)) = (self.source.producer(s), op) {
                let theirs = self.source.network.op(p);
                structure += 2 * i32::from(theirs.data.iter().any(|i| read.contains(&self.source.origin(*i))));
                structure += i32::from(theirs.op_type() == op.op_type());
                structure += 2 * i32::from(moving && read.contains(&self.source.origin(s)));
            }
            let key = (far, -structure, layout.cost(), self.is_claimed(s) && !moving, coarse(error / self.tau), self.source.rank(s));
            if best.as_ref().is_none_or(|(k, _)| key < *k) {
                best = Some((key, Match { source: s, layout, error }));
            }
        }
        best.map(|(_, m)| m)
    }

    /// Values that nothing explains yet, with the ops that make them, in order: not paired, and a graph output or read by such an op.
    pub fn dirty(&self) -> Dirty {
        self.dirty_beyond(f32::INFINITY)
    }

    /// The same with values that are off by more than this counted as not explained: where rounding is coarse, a fault can thin out into it.
    pub fn dirty_beyond(&self, limit: f32) -> Dirty {
        let weak = |v: &ValueId| self.pairs.get(v).is_some_and(|k| k.kind == PairKind::Equal && k.error > limit);
        let outputs: HashSet<ValueId> = self.target.outputs().iter().copied().collect();
        let mut dirty = Dirty::default();
        for id in self.target.op_ids().rev() {
            for v in self.target.op(id).made() {
                if (self.pairs.contains_key(&v) && !weak(&v)) || !self.live.contains(&v) {
                    continue;
                }
                if weak(&v) || outputs.contains(&v) || self.target.consumers(v).iter().any(|c| dirty.ops.contains(c)) {
                    dirty.values.insert(v);
                    dirty.ops.insert(id);
                }
            }
        }
        dirty
    }

    /// Whether a node tells right from wrong inputs: it has weights, or joins two values by other than a product.
    ///
    /// Mul, Div and elementwise functions carry a wrong factor forward and would confirm it.
    pub fn discriminates(&self, id: OpId) -> bool {
        discriminates(self.target, id)
    }

    /// Runs what lies below some given values until `until` says stop. Ops that wait for values nothing explains are left out.
    pub fn forward<R>(
        &self,
        given: HashMap<ValueId, Vec<Value>>,
        images: usize,
        depth: usize,
        dirty: &Dirty,
        mut until: impl FnMut(&Self, OpId, bool, ValueId, &[Value]) -> Option<R>,
    ) -> Option<R> {
        let mut heap: BTreeSet<OpId> = given.keys().flat_map(|v| self.target.consumers(*v).iter().copied()).collect();
        let mut seen = heap.clone();
        let mut telling: HashSet<ValueId> = HashSet::new();
        let mut local = given;
        let mut count = 0;
        while let Some(id) = heap.pop_first() {
            if count >= depth {
                return None;
            }
            let op = self.target.op(id);
            let waits = |v: &ValueId| !local.contains_key(v) && (dirty.values.contains(v) || !self.fed.contains_key(v));
            if op.data.iter().any(waits) {
                continue;
            }
            let Ok(made) = self.eval(id, &local, images) else { continue };
            count += 1;
            let tells = self.discriminates(id) || op.data.iter().any(|v| telling.contains(v));
            for (v, values) in op.made().zip(made) {
                if local.contains_key(&v) {
                    continue;
                }
                if let Some(found) = until(self, id, tells, v, &values) {
                    return Some(found);
                }
                local.insert(v, values);
                if tells {
                    telling.insert(v);
                }
                for c in self.target.consumers(v) {
                    if seen.insert(*c) {
                        heap.insert(*c);
                    }
                }
            }
        }
        None
    }

    /// Runs below some given values until a discriminating node's output equals a source value that was not paired before and descends
    /// from `above`.
    pub fn confirm(
        &self,
        given: HashMap<ValueId, Vec<Value>>,
        images: usize,
        depth: usize,
        dirty: &Dirty,
        above: Option<ValueId>,
        not: &[ValueId],
    ) -> Option<(ValueId, Match)> {
        let outputs = self.target.outputs();
        self.forward(given, images, depth, dirty, |walk, id, tells, v, values| {
            if !tells && !outputs.contains(&v) {
                return None;
            }
            let m = walk.find(values, Some(id), Some(v), images)?;
            let fresh = !walk.is_claimed(m.source) && !not.contains(&walk.source.origin(m.source));
            (fresh && above.is_none_or(|a| walk.source.descends(m.source, a))).then_some((v, m))
        })
    }

    /// Runs below some given values and gives what `stop` becomes.
    pub fn value_below(
        &self,
        given: HashMap<ValueId, Vec<Value>>,
        images: usize,
        depth: usize,
        dirty: &Dirty,
        stop: ValueId,
    ) -> Option<Vec<Value>> {
        self.forward(given, images, depth, dirty, |_, _, _, v, values| (v == stop).then(|| values.to_vec()))
    }

    /// Steps through everything that reads one of these values, directly or not.
    pub fn rewalk(&mut self, from: &[ValueId]) {
        let mut changed: HashSet<ValueId> = from.iter().copied().collect();
        for id in self.target.op_ids() {
            let op = self.target.op(id);
            if op.data.iter().any(|v| changed.contains(v)) {
                self.step(id);
                changed.extend(op.made());
            }
        }
    }

    /// Isolated errors on the final values: what was judged on inputs that a later pair changed is run again.
    pub fn measure(&mut self) {
        for id in self.target.op_ids() {
            let op = self.target.op(id);
            if !self.stale.remove(&id) || op.data.iter().any(|v| !self.fed.contains_key(v)) {
                continue;
            }
            let outputs: Vec<ValueId> = op.made().collect();
            match self.eval(id, &HashMap::new(), self.images) {
                Ok(made) => {
                    self.failed.remove(&id);
                    for (v, values) in outputs.into_iter().zip(made) {
                        if self.pairs.contains_key(&v) {
                            let error = self.fed.get(&v).map_or(f32::INFINITY, |fed| worst_error(&values, fed));
                            if let Some(known) = self.pairs.get_mut(&v) {
                                known.error = error;
                            }
                        } else {
                            self.feed(v, values.clone());
                        }
                        self.computed.insert(v, values);
                    }
                }
                Err(why) if self.target.is_live(id) => {
                    self.failed.insert(id, why);
                }
                Err(_) => {}
            }
        }
    }
}

/// An error as a share of the tolerance, in steps that mean something.
fn coarse(share: f32) -> u8 {
    [0.1, 0.3].iter().map(|step| u8::from(share > *step)).sum()
}

/// What is not explained yet.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    pub values: HashSet<ValueId>,
    pub ops: BTreeSet<OpId>,
}

/// See [`Walk::discriminates`].
pub(super) fn discriminates(network: &Network, id: OpId) -> bool {
    let op = network.op(id);
    let weights = op.inputs.iter().flatten().filter_map(|v| network.constant(*v)).any(|c| c.is_float() && c.len() >= 4);
    let joins = matches!(op.op_type(), "MatMul" | "Add" | "Sub" | "Concat" | "Einsum" | "Attention" | "Gemm") && op.data.len() > 1;
    (weights && !matches!(op.op_type(), "Mul" | "Div")) || joins
}
