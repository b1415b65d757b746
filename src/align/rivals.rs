//! Two values in a row that are both near the same source value: where rounding is coarse, what a small bias is still to be added to looks
//! like what it should be already.

use super::reference::moves;
use super::walk::{Match, Walk};
use super::{PairKind, Precision};
use crate::model::ValueId;
use crate::run::OpId;
use std::collections::HashMap;

/// By how much the second has to be nearer, reckoned from what the first really is.
const NEARER: f32 = 0.7;

impl Walk<'_> {
    /// Gives a source value to the second of two that are near it, where that is the nearer one and nothing else reads the first.
    /// Gives whether it did: the pair of what `id` makes is settled then.
    pub(super) fn overtakes(&mut self, id: OpId, v: ValueId, found: &Match) -> bool {
        let op = self.target.op(id);
        let [input] = op.data[..] else { return false };
        let rounds = matches!(op.op_type(), "QuantizeLinear" | "DequantizeLinear" | "Cast");
        if self.tau <= Precision::Float.tau() || rounds || moves(op.op_type()) || self.target.consumers(input) != [id] {
            return false;
        }
        let Some(first) = self.pairs.get(&input).filter(|k| k.kind == PairKind::Equal && k.source == found.source) else { return false };
        let (least, maker) = (first.error.min(found.error), self.target.producer(input));
        let Some((slot, maker)) = maker.and_then(|p| Some((self.target.op(p).made().position(|m| m == input)?, p))) else { return false };
        let Ok(mut made) = self.eval(maker, &HashMap::new(), self.images) else { return false };
        let own = made.swap_remove(slot);
        let Ok(mut made) = self.eval(id, &HashMap::from([(input, own.clone())]), self.images) else { return false };
        let Some(values) = made.pop().filter(|_| made.is_empty()) else { return false };
        let error = self.layout_error(&values, found.source, &found.layout);
        if error > least * NEARER {
            return false;
        }
        self.unpair(input);
        self.feed(input, own.clone());
        self.computed.insert(input, own);
        self.computed.insert(v, values);
        self.pair(v, Match { error, ..found.clone() }, PairKind::Equal);
        self.computed.remove(&v);
        true
    }
}
