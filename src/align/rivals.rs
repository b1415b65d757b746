//! Values in a row that are all near the same source value: where rounding is coarse, what a factor near one or a small bias is still to be
//! applied to looks like what it should be already.

use super::reference::moves;
use super::walk::{Match, Walk};
use super::{PairKind, Precision};
use crate::model::ValueId;
use crate::run::{OpId, Value};
use std::collections::HashMap;

/// By how much the last has to be nearer, reckoned from what the first really is.
const NEARER: f32 = 0.7;
/// Ops in a row that are looked at.
const LONGEST: usize = 12;

/// Ops from the one that makes the first of the row to the one that reads the last, without both.
struct Row {
    maker: OpId,
    between: Vec<OpId>,
}

/// A value with what it is on each image.
type Own = (ValueId, Vec<Value>);

impl Walk<'_> {
    /// Gives a source value to the last of a row that are near it, where that is the nearest one and nothing else reads the others.
    /// Gives whether it did: the pair of what `id` makes is settled then.
    pub(super) fn overtakes(&mut self, id: OpId, v: ValueId, found: &Match) -> bool {
        let op = self.target.op(id);
        if self.tau <= Precision::Float.tau() || rounds(op.op_type()) || moves(op.op_type()) {
            return false;
        }
        let Some((own, values)) = self.row(id, found.source).and_then(|row| self.by_itself(&row, id)) else { return false };
        let Some(first) = own.first().and_then(|(v, _)| self.pairs.get(v)) else { return false };
        let least = first.error.min(found.error);
        let error = self.layout_error(&values, found.source, &found.layout);
        if error > least * NEARER {
            return false;
        }
        for (v, own) in own {
            self.unpair(v);
            self.feed(v, own.clone());
            self.computed.insert(v, own);
        }
        self.computed.insert(v, values);
        self.pair(v, Match { error, ..found.clone() }, PairKind::Equal);
        self.computed.remove(&v);
        true
    }

    /// The row in front of `id` whose values all stand for `source`, as far up as it goes.
    fn row(&self, id: OpId, source: ValueId) -> Option<Row> {
        let only = |id: OpId| {
            let op = self.target.op(id);
            // What a Reshape reads beside may be computed as well.
            let first = op.data.first().copied().filter(|_| op.data.len() == 1 || moves(op.op_type()));
            first.filter(|v| self.target.consumers(*v) == [id])
        };
        let stands = |v: ValueId| match self.pairs.get(&v) {
            Some(known) => known.kind == PairKind::Equal && self.source.origin(known.source) == self.source.origin(source),
            // What a QuantizeLinear makes are steps, which stand for nothing.
            None => self.target.producer(v).is_some_and(|p| self.target.op(p).op_type() == "QuantizeLinear"),
        };
        let mut between = Vec::new();
        let mut at = only(id).filter(|v| stands(*v))?;
        loop {
            let p = self.target.producer(at)?;
            match only(p).filter(|v| stands(*v)) {
                Some(above) if between.len() < LONGEST => {
                    between.push(p);
                    at = above;
                }
                Some(_) => return None,
                None => return self.pairs.contains_key(&at).then_some(Row { maker: p, between }),
            }
        }
    }

    /// What each op of a row makes when none of its values is put right, and what `id` makes then.
    fn by_itself(&self, row: &Row, id: OpId) -> Option<(Vec<Own>, Vec<Value>)> {
        let below = row.between.last().copied().unwrap_or(id);
        let first = self.target.op(below).data.first().copied()?;
        let slot = self.target.op(row.maker).made().position(|m| m == first)?;
        let mut own = vec![(first, self.eval(row.maker, &HashMap::new(), self.images).ok()?.swap_remove(slot))];
        for id in row.between.iter().rev() {
            let (v, values) = own.last()?.clone();
            let made = self.target.op(*id).made().next()?;
            own.push((made, self.eval(*id, &HashMap::from([(v, values)]), self.images).ok()?.swap_remove(0)));
        }
        let (v, values) = own.last()?.clone();
        let mut made = self.eval(id, &HashMap::from([(v, values)]), self.images).ok()?;
        let values = made.pop().filter(|_| made.is_empty())?;
        Some((own, values))
    }
}

pub(super) fn rounds(op: &str) -> bool {
    matches!(op, "QuantizeLinear" | "DequantizeLinear" | "Cast")
}
