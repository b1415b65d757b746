//! Behind a fault nothing is equal until the walk is given a right value again: which source value belongs where?
//!
//! A guess is believed when it makes something further on equal: a node that tells right from wrong inputs, whose output was not
//! paired before and descends from the guessed value.

use super::layout::{Layout, candidates};
use super::numbers::worst_error;
use super::reference::{moves, weights_of};
use super::walk::{Dirty, Match, Walk};
use super::{PairKind, Precision};
use crate::model::ValueId;
use crate::run::{OpId, Value};
use std::collections::HashMap;

/// How many nodes a guess is followed at most.
const DEPTH: usize = 16;
/// Nodes looked at in one round.
const REACH: usize = 60;
/// Rounds.
const ROUNDS: usize = 64;
/// By what part of the largest error a value is off that is worth another look where rounding is coarse.
const THIN: f32 = 3.0;

impl Walk<'_> {
    /// Pairs values behind faults until everything is explained or nothing helps.
    pub fn resynchronise(&mut self) {
        for _ in 0..ROUNDS {
            let dirty = self.dirty();
            if dirty.ops.is_empty() || !self.resynchronise_once(&dirty) && !self.near_values(&dirty) && !self.pair_outputs(&dirty) {
                break;
            }
        }
        if self.tau <= Precision::Half.tau() {
            return;
        }
        // A fault in a branch can thin out into what rounding makes, and leave a long way unexplained that ends in a pair.
        for _ in 0..ROUNDS {
            let dirty = self.dirty_beyond(self.tau / THIN);
            if dirty.ops.is_empty() || !self.resynchronise_once(&dirty) {
                return;
            }
        }
    }

    /// Nothing equal confirms anything down to the outputs: from here on what is near will do.
    fn near_values(&mut self, dirty: &Dirty) -> bool {
        let lost = self.target.outputs().iter().any(|o| dirty.values.contains(o));
        if !lost || std::mem::replace(&mut self.near, true) {
            return false;
        }
        let before = self.pairs.len();
        for id in dirty.ops.iter().copied() {
            self.step(id);
        }
        self.rewalk(&dirty.values.iter().copied().collect::<Vec<_>>());
        self.pairs.len() > before
    }

    fn resynchronise_once(&mut self, dirty: &Dirty) -> bool {
        for id in dirty.ops.iter().copied().take(REACH).collect::<Vec<_>>() {
            let op = self.target.op(id);
            let open: Vec<ValueId> = op.data.iter().copied().filter(|v| dirty.values.contains(v)).collect();
            let done = match open[..] {
                [] if !self.failed.contains_key(&id) => self.own_output(id, dirty) || self.other_input(id, dirty),
                [v] if self.discriminates(id) || op.made().any(|o| self.target.outputs().contains(&o)) => self.guess_value(id, v, dirty),
                _ => false,
            };
            if done {
                return true;
            }
        }
        false
    }

    /// A source value laid out for the target, with the element type the target has there; none where a person said that it does not belong.
    pub(super) fn laid(&self, s: ValueId, layout: &Layout, like: ValueId, images: usize) -> Option<Vec<Value>> {
        if self.is_forbidden(like, s) {
            return None;
        }
        let dtype =
            self.computed.get(&like).or_else(|| self.fed.get(&like)).and_then(|c| c.first()).filter(|v| v.is_float()).map(Value::dtype);
        let theirs = self.source.values(s)?;
        theirs.iter().take(images).map(|x| layout.apply(x)?.cast(dtype.unwrap_or_else(|| x.dtype()))).collect()
    }

    /// Dimensions of what the target makes there, or is given.
    pub(super) fn shape_of(&self, v: ValueId) -> Option<Vec<usize>> {
        self.computed.get(&v).or_else(|| self.fed.get(&v)).and_then(|c| c.first()).map(|x| x.shape().to_vec())
    }

    /// Source values of a size, those just after `rank` first; earlier ones count three times as far.
    fn nearby(&self, rank: i32, limit: usize, fits: impl Fn(&Value) -> bool) -> Vec<ValueId> {
        let mut found: Vec<(i32, ValueId)> = Vec::new();
        for v in self.source.order() {
            let Some(first) = self.source.values(*v).and_then(<[Value]>::first) else { continue };
            if fits(first) {
                let r = self.source.rank(*v) - rank;
                found.push((if r >= 0 { r } else { -3 * r }, *v));
            }
        }
        found.sort_by_key(|(r, _)| *r);
        found.into_iter().take(limit).map(|(_, v)| v).collect()
    }

    /// Rank of the last paired value above `v`.
    fn last_rank(&self, v: ValueId) -> i32 {
        let mut rank = -1;
        let mut open = vec![v];
        let mut seen = std::collections::HashSet::new();
        while let Some(u) = open.pop() {
            if !seen.insert(u) {
                continue;
            }
            if let Some(known) = self.pairs.get(&u) {
                rank = rank.max(self.source.rank(known.source));
            } else if let Some(p) = self.target.producer(u) {
                open.extend(&self.target.op(p).data);
            }
        }
        rank
    }

    /// What source nodes read whose weights are nearly those of this node, up to order.
    pub(super) fn by_weights(&self, id: OpId) -> Vec<ValueId> {
        let mut found: Vec<(f64, i32, ValueId)> = Vec::new();
        for mine in weights_of(self.target, id) {
            for theirs in self.source.weights().iter().filter(|w| w.len == mine.len) {
                let Some(input) = self.source.network.op(theirs.op).data.first() else { continue };
                let distance = mine.print.distance(&theirs.print);
                if distance < 0.05 {
                    found.push((distance, theirs.op.0 as i32, *input));
                }
            }
        }
        found.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut out = Vec::new();
        for (_, _, v) in found {
            if !out.contains(&v) {
                out.push(v);
            }
        }
        out
    }

    /// Channels that a weighted node expects of its input.
    fn channels(&self, id: OpId) -> Option<usize> {
        let op = self.target.op(id);
        let weight = op.inputs.iter().flatten().filter_map(|v| self.target.constant(*v)).find(|c| c.is_float() && c.len() >= 4)?;
        if op.op_type() == "Conv" {
            let group = crate::model::NodeExt::int(op.proto(), "group").unwrap_or(1).max(1) as usize;
            return Some(weight.shape().get(1)? * group);
        }
        weight.shape().first().copied().max(weight.shape().last().copied())
    }

    /// Which source value belongs in the place of `v`, which `id` reads?
    fn guess_value(&mut self, id: OpId, v: ValueId, dirty: &Dirty) -> bool {
        let shape = self.shape_of(v);
        let rank = self.last_rank(v);
        let similar = self.by_weights(id);
        let len = shape.as_ref().map(|s| s.iter().product::<usize>());
        let mut first: Vec<ValueId> = Vec::new();
        let size_fits = |s: &ValueId| len.is_none_or(|n| self.source.values(*s).is_some_and(|x| x[0].len() == n));
        first.extend(similar.iter().filter(|s| size_fits(s)));
        if let Some(n) = len {
            first.extend(self.nearby(rank, 24, |x| x.len() == n));
        }
        first.retain(|s| !self.is_behind_its_twin(id, v, *s));
        dedup(&mut first);
        let mut found = self.try_values(v, &first, shape.as_deref(), dirty);
        if found.is_none() && (shape.is_none() || self.channels(id).is_some()) {
            // A fault that changes shapes: any size with the channels that the node expects.
            let channels = self.channels(id);
            let mut second = similar;
            second.extend(self.nearby(rank, 24, |x| channels.is_some_and(|c| x.shape().len() >= 2 && x.shape().contains(&c))));
            second.retain(|s| !first.contains(s));
            dedup(&mut second);
            found = self.try_values(v, &second, None, dirty);
        }
        let Some((s, layout)) = found else { return false };
        let why = format!("what '{}' makes of it is equal", self.target.label(id));
        let v = self.behind_idle(id, v, s, &layout).unwrap_or(v);
        self.suppose(v, s, layout, why);
        self.refine(v, dirty);
        self.rewalk(&[v]);
        true
    }

    /// The output of an op that changes nothing where it reads a source value (a bias of zeros): then it is that which stands for the
    /// value, and the op is under suspicion with what it reads.
    fn behind_idle(&self, id: OpId, v: ValueId, s: ValueId, layout: &Layout) -> Option<ValueId> {
        let op = self.target.op(id);
        let own = self.laid(s, layout, v, self.images)?;
        let made = self.eval(id, &[(v, own.clone())].into(), self.images).ok()?;
        let (o, made) = (op.made().next()?, made.first()?);
        let same = made.iter().zip(&own).all(|(m, x)| m.shape() == x.shape()) && worst_error(made, &own) <= self.tau;
        (same && op.data[..] == [v] && !moves(op.op_type())).then_some(o)
    }

    /// Clean inputs and an output that nothing explains: is it what the same operator makes of the same in the source? What reads it may
    /// join it with values that depend on it as well, and cannot be asked which of them is wrong.
    fn own_output(&mut self, id: OpId, dirty: &Dirty) -> bool {
        for o in self.target.op(id).made().filter(|o| dirty.values.contains(o)).collect::<Vec<_>>() {
            let Some(shape) = self.shape_of(o) else { continue };
            let mut values = self.counterparts(id, o);
            values.retain(|s| self.source.values(*s).is_some_and(|x| x[0].len() == shape.iter().product::<usize>()));
            if let Some((s, layout)) = self.try_values(o, &values, Some(&shape), dirty) {
                self.suppose(o, s, layout, "the same operator makes it of the same, and what follows is equal".into());
                self.rewalk(&[o]);
                return true;
            }
        }
        false
    }

    fn try_values(&self, v: ValueId, values: &[ValueId], shape: Option<&[usize]>, dirty: &Dirty) -> Option<(ValueId, Layout)> {
        // Shallow first: most guesses are refuted or confirmed by the next weighted node.
        for depth in [3, DEPTH] {
            for s in values {
                let Some(x) = self.source.values(*s).and_then(<[Value]>::first) else { continue };
                let layouts = match shape {
                    Some(shape) if shape.iter().product::<usize>() == x.len() => candidates(x.shape(), shape),
                    _ => usual(x.shape()),
                };
                let not = [self.source.origin(*s)];
                for layout in layouts.into_iter().take(8) {
                    let confirmed = [1, self.images].into_iter().all(|images| {
                        self.laid(*s, &layout, v, images)
                            .is_some_and(|x| self.confirm([(v, x)].into(), images, depth, dirty, Some(*s), &not).is_some())
                    });
                    if confirmed {
                        return Some((*s, layout));
                    }
                }
            }
        }
        None
    }

    /// Clean inputs and an output that nothing explains: would another source value at one input explain it?
    fn other_input(&mut self, id: OpId, dirty: &Dirty) -> bool {
        let op = self.target.op(id);
        if !op.made().any(|o| dirty.values.contains(&o)) {
            return false;
        }
        for u in &op.data {
            let Some(known) = self.pairs.get(u).cloned() else { continue };
            if (op.data.len() == 1 && moves(op.op_type())) || self.has_weights_from_elsewhere(id, known.source) {
                continue;
            }
            let Some(shape) = self.shape_of(*u) else { continue };
            let len: usize = shape.iter().product();
            let origin = self.source.origin(known.source);
            for s in self.nearby(self.source.rank(known.source), 14, |x| x.len() == len) {
                if self.source.origin(s) == origin {
                    continue;
                }
                let Some(x) = self.source.values(s) else { continue };
                let mut layouts = candidates(x[0].shape(), &shape);
                if self.source.values(known.source).is_some_and(|k| k[0].shape() == x[0].shape()) {
                    layouts.insert(0, known.layout.clone());
                }
                for layout in layouts.into_iter().take(4) {
                    let found = [1, self.images].into_iter().try_fold(None, |_, images| {
                        let x = self.laid(s, &layout, *u, images)?;
                        self.through(id, [(*u, x)].into(), images, Some(s), dirty).map(Some)
                    });
                    let Some(Some((o, m))) = found else { continue };
                    let why = format!(
                        "input '{}' of '{}' should be '{}'",
                        self.target.model().index().name(*u),
                        self.target.label(id),
                        self.source.name(s)
                    );
                    self.log.push(why.clone());
                    self.wrong_inputs.push((id, *u, s, layout));
                    self.suppose(o, m.source, m.layout, why);
                    self.refine(o, dirty);
                    self.rewalk(&[o]);
                    return true;
                }
            }
        }
        if let [a, b] = op.data[..]
            && let (Some(x), Some(y)) = (self.fed.get(&a).cloned(), self.fed.get(&b).cloned())
            && x[0].shape() == y[0].shape()
            && let Some((o, m)) = self.through(id, [(a, y), (b, x)].into(), self.images, None, dirty)
        {
            let why = format!("the operands of '{}' are exchanged", self.target.label(id));
            self.log.push(why.clone());
            self.suppose(o, m.source, m.layout, why);
            self.rewalk(&[o]);
            return true;
        }
        false
    }

    /// Runs one op on other inputs and goes on until something is confirmed; other consumers of these inputs keep theirs.
    fn through(
        &self,
        id: OpId,
        given: HashMap<ValueId, Vec<Value>>,
        images: usize,
        s: Option<ValueId>,
        dirty: &Dirty,
    ) -> Option<(ValueId, Match)> {
        let made = self.eval(id, &given, images).ok()?;
        for (o, values) in self.target.op(id).made().zip(made) {
            if !dirty.values.contains(&o) {
                continue;
            }
            let found = self.find(&values, Some(id), Some(o), images);
            let fresh = found.as_ref().is_some_and(|m| {
                !self.is_claimed(m.source)
                    && s.is_none_or(|s| self.source.descends(m.source, s) && self.source.origin(s) != self.source.origin(m.source))
            });
            if fresh && self.discriminates(id) {
                return found.map(|m| (o, m));
            }
            if fresh || found.is_none() {
                let further = self.confirm([(o, values)].into(), images, DEPTH, dirty, s, &[]);
                if let Some(further) = further {
                    return Some(if fresh && let Some(m) = found { (o, m) } else { further });
                }
            }
        }
        None
    }

    /// Takes a guess for true.
    pub(super) fn suppose(&mut self, v: ValueId, source: ValueId, layout: Layout, why: String) {
        self.pair(v, Match { source, layout, error: f32::INFINITY }, PairKind::Inferred(why));
        if let Some(known) = self.pairs.get_mut(&v) {
            let computed = self.computed.get(&v);
            known.error = computed.zip(self.fed.get(&v)).map_or(f32::INFINITY, |(c, f)| worst_error(c, f));
        }
    }

    /// The source's output as the target gives it: scores, where only the source goes on to probabilities.
    fn as_given(&self, o: ValueId, s: ValueId) -> ValueId {
        let turns = |op: &str| matches!(op, "Softmax" | "LogSoftmax");
        let mine = self.target.producer(o).map(|p| self.target.op(p).op_type());
        let theirs = self.source.producer(s).map(|p| self.source.network.op(p)).filter(|op| turns(op.op_type()));
        theirs.filter(|_| mine.is_some_and(|op| !turns(op))).and_then(|op| op.data.first().copied()).unwrap_or(s)
    }

    /// Nothing found: graph outputs pair by position.
    fn pair_outputs(&mut self, dirty: &Dirty) -> bool {
        let mut done = false;
        let outputs: Vec<(ValueId, ValueId)> =
            self.target.outputs().iter().copied().zip(self.source.network.outputs().iter().copied()).collect();
        for (o, s) in outputs {
            let s = self.as_given(o, s);
            if !dirty.values.contains(&o) || self.pairs.contains_key(&o) || self.is_forbidden(o, s) {
                continue;
            }
            let Some(x) = self.source.values(s).and_then(<[Value]>::first) else { continue };
            // The source's output is another one of the target's: that is another fault.
            let elsewhere = |v: &ValueId| self.target.outputs().contains(v) && self.pairs.get(v).is_some_and(|k| k.kind == PairKind::Equal);
            if self.claimed.get(&self.source.origin(s)).is_some_and(|set| set.iter().any(elsewhere)) {
                continue;
            }
            // Indices are no scores, whatever their place.
            if self.fed.get(&o).and_then(|made| made.first()).is_some_and(|made| made.is_float() != x.is_float()) {
                continue;
            }
            let shape = self.shape_of(o).filter(|sh| sh.iter().product::<usize>() == x.len()).unwrap_or_else(|| x.shape().to_vec());
            self.suppose(o, s, Layout::flat(&shape), "the output at this position".into());
            self.refine(o, dirty);
            self.rewalk(&[o]);
            done = true;
        }
        done
    }

    /// From a supposed value upward: which values above it can be paired so that it comes out as supposed? Shrinks the region to the fault.
    pub(super) fn refine(&mut self, v: ValueId, dirty: &Dirty) {
        let mut work = vec![v];
        for _ in 0..40 {
            let Some(v) = work.pop() else { return };
            let Some(producer) = self.target.producer(v) else { continue };
            let Some(known) = self.pairs.get(&v).cloned() else { continue };
            let open: Vec<ValueId> = self.target.op(producer).data.iter().copied().filter(|i| self.is_open(*i, dirty)).collect();
            let Some(wanted) = self.fed.get(&v).cloned() else { continue };
            if open.is_empty() {
                continue;
            }
            let mut sources = self.above(known.source, 5);
            sources.push(known.source);
            if let Some((a, s, layout)) = self.reproduce_one(v, &open, &sources, &wanted, dirty) {
                self.suppose(a, s, layout, "what follows is equal".into());
                self.mark_reproduced(v);
                if !open.contains(&a) || open.len() > 1 {
                    work.push(v);
                }
                work.push(a);
            } else if let [a, b] = open[..]
                && let Some(found) = self.reproduce_two(v, a, b, &sources, &wanted, dirty)
            {
                for (a, s, layout) in found {
                    self.suppose(a, s, layout, "what follows is equal".into());
                    work.push(a);
                }
                self.mark_reproduced(v);
            }
        }
    }

    fn is_open(&self, v: ValueId, dirty: &Dirty) -> bool {
        dirty.values.contains(&v) && !self.pairs.contains_key(&v)
    }

    fn mark_reproduced(&mut self, v: ValueId) {
        let Some(p) = self.target.producer(v) else { return };
        if let Ok(made) = self.eval(p, &HashMap::new(), self.images) {
            for (o, values) in self.target.op(p).made().zip(made) {
                if o == v
                    && let Some(fed) = self.fed.get(&v)
                {
                    let error = worst_error(&values, fed);
                    if let Some(known) = self.pairs.get_mut(&v) {
                        known.error = error;
                    }
                }
            }
        }
    }

    /// Source values up to `hops` steps above one.
    pub(super) fn above(&self, s: ValueId, hops: usize) -> Vec<ValueId> {
        let mut out = Vec::new();
        let mut level = vec![self.source.virtual_of(s).map_or(s, |(_, of)| of)];
        if level[0] != s {
            out.push(level[0]);
        }
        for _ in 0..hops {
            let mut next = Vec::new();
            for v in &level {
                let Some(p) = self.source.producer(*v) else { continue };
                for i in &self.source.network.op(p).data {
                    if !out.contains(i) && !next.contains(i) && self.source.values(*i).is_some_and(|x| x[0].is_float() && x[0].len() >= 2) {
                        next.push(*i);
                    }
                }
            }
            out.extend(&next);
            level = next;
        }
        out
    }

    /// Open target values above `v`, the nearest first.
    fn open_above(&self, open: &[ValueId], dirty: &Dirty) -> Vec<ValueId> {
        let mut out = open.to_vec();
        let mut level = open.to_vec();
        for _ in 0..8 {
            let mut next = Vec::new();
            for a in &level {
                let Some(p) = self.target.producer(*a) else { continue };
                for i in &self.target.op(p).data {
                    if self.is_open(*i, dirty) && !out.contains(i) && !next.contains(i) {
                        next.push(*i);
                    }
                }
            }
            out.extend(&next);
            level = next;
        }
        out.truncate(14);
        out
    }

    fn gives(&self, v: ValueId, given: HashMap<ValueId, Vec<Value>>, images: usize, wanted: &[Value], dirty: &Dirty) -> bool {
        // Only what is still open waits; supposed values are given.
        let open =
            Dirty { values: dirty.values.iter().copied().filter(|v| !self.pairs.contains_key(v)).collect(), ops: Default::default() };
        self.value_below(given, images, DEPTH, &open, v)
            .is_some_and(|made| worst_error(&made, &wanted[..images.min(wanted.len())]) <= self.tau)
    }

    fn reproduce_one(
        &self,
        v: ValueId,
        open: &[ValueId],
        sources: &[ValueId],
        wanted: &[Value],
        dirty: &Dirty,
    ) -> Option<(ValueId, ValueId, Layout)> {
        // That the op between changes nothing (a bias of zeros) is no reason to take what it reads for what it should make.
        let maker = self.target.producer(v).map(|p| self.target.op(p)).filter(|op| !moves(op.op_type()));
        let idle = |a: ValueId, s: ValueId| maker.is_some_and(|op| op.data[..] == [a]) && self.pairs.get(&v).is_some_and(|k| k.source == s);
        for a in self.open_above(open, dirty) {
            let shape = self.shape_of(a);
            // Means of a picture and of its mean are the same: what has as many elements comes first.
            let len: Option<usize> = shape.as_ref().map(|sh| sh.iter().product());
            let mut sources: Vec<ValueId> = sources.iter().copied().filter(|s| !idle(a, *s)).collect();
            sources.sort_by_key(|s| self.source.values(*s).and_then(<[Value]>::first).map(Value::len) != len);
            for s in &sources {
                let Some(x) = self.source.values(*s).and_then(<[Value]>::first) else { continue };
                let layouts = match &shape {
                    Some(sh) if sh.iter().product::<usize>() == x.len() => candidates(x.shape(), sh),
                    Some(sh) if sh.len() != x.shape().len() => Vec::new(),
                    _ => usual(x.shape()),
                };
                for layout in layouts.into_iter().take(8) {
                    let fits = [1, self.images].into_iter().all(|images| {
                        self.laid(*s, &layout, a, images).is_some_and(|x| self.gives(v, [(a, x)].into(), images, wanted, dirty))
                    });
                    if fits {
                        return Some((a, *s, layout));
                    }
                }
            }
        }
        None
    }

    fn reproduce_two(
        &self,
        v: ValueId,
        a: ValueId,
        b: ValueId,
        sources: &[ValueId],
        wanted: &[Value],
        dirty: &Dirty,
    ) -> Option<[(ValueId, ValueId, Layout); 2]> {
        let (sa, sb) = (self.shape_of(a)?, self.shape_of(b)?);
        let near = &sources[..sources.len().min(6)];
        for x in near {
            for y in near.iter().filter(|y| *y != x) {
                let (Some(vx), Some(vy)) = (self.source.values(*x), self.source.values(*y)) else { continue };
                let (Some(lx), Some(ly)) =
                    (candidates(vx[0].shape(), &sa).into_iter().next(), candidates(vy[0].shape(), &sb).into_iter().next())
                else {
                    continue;
                };
                let (Some(gx), Some(gy)) = (self.laid(*x, &lx, a, 1), self.laid(*y, &ly, b, 1)) else { continue };
                if self.gives(v, [(a, gx), (b, gy)].into(), 1, wanted, dirty) {
                    return Some([(a, *x, lx), (b, *y, ly)]);
                }
            }
        }
        None
    }
}

/// Layouts to try when the target's shape is not known: as it is, channels last, channels first.
fn usual(shape: &[usize]) -> Vec<Layout> {
    let mut out = vec![Layout::flat(shape)];
    match shape.len() {
        4 => out.extend([Layout::permuted(shape, &[0, 2, 3, 1]), Layout::permuted(shape, &[0, 3, 1, 2])]),
        3 => out.push(Layout::permuted(shape, &[0, 2, 1])),
        _ => {}
    }
    out
}

fn dedup(values: &mut Vec<ValueId>) {
    let mut seen = std::collections::HashSet::new();
    values.retain(|v| seen.insert(*v));
}
