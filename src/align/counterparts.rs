//! What the source makes of the same by the same operator: structure says what a value should be where numbers do not.

use super::reference::moves;
use super::walk::{Match, Walk};
use crate::model::ValueId;
use crate::run::{Op, OpId, Value};
use std::collections::{HashMap, HashSet};

/// Largest error at which a value that is not equal is still near.
const CLOSE: f32 = 0.5;

impl Walk<'_> {
    /// The source value that is near without being equal, where structure leaves no doubt: the same operator makes it from what stands
    /// for the same, and no other one is nearly as near. Where many layers are off, nothing behind one of them is ever equal to
    /// confirm a guess.
    pub fn close(&self, values: &[Value], id: OpId, v: ValueId) -> Option<Match> {
        let first = values.first()?;
        if !self.near || self.tau > CLOSE / 10.0 || !first.is_float() || first.len() < 16 || !self.discriminates(id) {
            return None;
        }
        // A sample can look worse than the whole.
        let within = |s: ValueId| self.layout_within(values, s, CLOSE * 3.0).map(|(layout, error)| Match { source: s, layout, error });
        let mut near: Vec<Match> = self.counterparts(id, v).into_iter().filter_map(within).collect();
        near.sort_by(|a, b| a.error.total_cmp(&b.error));
        let doubtful = near.get(1).is_some_and(|second| second.error < near[0].error * 1.5);
        near.into_iter().next().filter(|m| m.error <= CLOSE && !doubtful)
    }

    /// Source values that nothing stands for yet and that the same operator makes from what stands for the inputs of `id`; behind a
    /// normalisation or a bias, too, since the target may have folded these.
    pub fn counterparts(&self, id: OpId, v: ValueId) -> Vec<ValueId> {
        let (op, network) = (self.target.op(id), self.source.network);
        let Some(reads) = op.data.iter().map(|i| self.stands_for(*i)).collect::<Option<HashSet<ValueId>>>() else { return Vec::new() };
        let mut out: Vec<ValueId> = Vec::new();
        for other in network.op_ids().filter(|o| network.op(*o).op_type() == op.op_type()) {
            let theirs: HashSet<ValueId> = network.op(other).data.iter().map(|i| self.unpadded(*i)).collect();
            if theirs != reads {
                continue;
            }
            let made: Vec<ValueId> = network.op(other).made().collect();
            let folded = made.iter().flat_map(|m| network.consumers(*m)).map(|c| network.op(*c));
            let folded = folded.filter(|c| c.data.len() == 1 && matches!(c.op_type(), "BatchNormalization" | "Add" | "Mul"));
            let behind: Vec<ValueId> = folded.flat_map(Op::made).collect();
            out.extend(made.into_iter().chain(behind).filter(|s| !self.is_claimed(*s) && !self.is_forbidden(v, *s)));
        }
        out
    }

    /// The source value that an op should make which changes nothing here, where the same operator on the same value changes something
    /// in the source: a bias of zeros, a bound that nothing reaches. What it makes equals its input, which is no reason to take it for that.
    pub fn idle(&self, id: OpId, v: ValueId, values: &[Value], found: &Match) -> Option<Match> {
        let op = self.target.op(id);
        let [input] = op.data[..] else { return None };
        if moves(op.op_type()) || self.source.origin(self.pairs.get(&input)?.source) != self.source.origin(found.source) {
            return None;
        }
        let (own, given) = (values.first()?, self.fed.get(&input)?.first()?);
        if own.shape() != given.shape() {
            return None;
        }
        let source = *self.counterparts(id, v).first()?;
        let (layout, theirs) = (self.pairs.get(&input)?.layout.clone(), self.source.values(source)?);
        if theirs.first()?.shape() != self.source.values(self.pairs.get(&input)?.source)?.first()?.shape() {
            return None;
        }
        // Nor is it idle for good reason: because another one behind it does the work.
        let fed: HashMap<ValueId, Vec<Value>> = [(v, values.to_vec())].into();
        let mut behind = self.target.consumers(v).iter().filter(|c| self.target.op(**c).op_type() == op.op_type());
        let done_later = behind.any(|c| {
            let made = self.eval(*c, &fed, 1).ok().and_then(|mut made| made.pop());
            made.is_some_and(|made| self.layout_error(&made, source, &layout) <= self.tau)
        });
        (!done_later).then_some(Match { source, layout, error: f32::INFINITY })
    }

    /// The source value that a target value is, but for padding and rearrangement.
    fn stands_for(&self, v: ValueId) -> Option<ValueId> {
        let mut at = v;
        loop {
            if let Some(known) = self.pairs.get(&at) {
                return Some(self.unpadded(known.source));
            }
            let op = self.target.op(self.target.producer(at)?);
            at = *op.data.first().filter(|_| op.op_type() == "Pad" || moves(op.op_type()))?;
        }
    }

    /// The source value of which this one is a rearrangement, or which it pads.
    fn unpadded(&self, s: ValueId) -> ValueId {
        let mut at = self.source.origin(s);
        while let Some(op) = self.source.producer(at).map(|p| self.source.network.op(p)).filter(|op| op.op_type() == "Pad") {
            let Some(input) = op.data.first() else { break };
            at = self.source.origin(*input);
        }
        at
    }
}
