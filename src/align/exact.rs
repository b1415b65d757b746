//! What is near and yet another value: in a quantised target the tolerance is coarse, and what is computed without rounding, joined to a value
//! or added to it hides behind it.

use super::reference::{Reference, moves};
use super::rivals::rounds;
use super::walk::{Match, Walk};
use super::{PairKind, Precision};
use crate::model::ValueId;
use crate::run::{Network, Op, OpId};
use std::collections::HashSet;

/// How far off a value may be that is computed from the source's own without rounding.
pub(super) const EXACT: f32 = 2e-3;
/// Over how many ops that is followed up.
const HOPS: usize = 6;

impl Walk<'_> {
    /// Whether what an op makes is exact: nothing is rounded in it, nor in the few ops between it and values that are the source's own.
    pub(super) fn is_exact(&self, id: OpId) -> bool {
        self.is_exact_over(id, HOPS)
    }

    fn is_exact_over(&self, id: OpId, hops: usize) -> bool {
        let above = |v: &ValueId| match self.target.producer(*v) {
            Some(p) if self.live.contains(v) => hops > 0 && self.is_exact_over(p, hops - 1),
            _ => true,
        };
        self.exact.contains(&id) && self.target.op(id).data.iter().all(|v| self.pairs.contains_key(v) || above(v))
    }

    /// Whether a value is one that stands for the same source value already with something joined to it: where rounding is coarse, a small
    /// summand or a factor near one hides behind it, but what is exact where it is computed is not equal.
    pub(super) fn is_joined(&self, id: OpId, found: &Match) -> bool {
        // What rounds or moves it is no reason to take it for the other.
        let mut id = id;
        while let [only] = self.target.op(id).data[..]
            && (rounds(self.target.op(id).op_type()) || moves(self.target.op(id).op_type()))
            && !self.pairs.contains_key(&only)
            && let Some(above) = self.target.producer(only)
        {
            id = above;
        }
        let op = self.target.op(id);
        let same = |v: &ValueId| {
            self.pairs
                .get(v)
                .is_some_and(|known| known.kind == PairKind::Equal && self.source.origin(known.source) == self.source.origin(found.source))
        };
        self.tau > Precision::Float.tau()
            && found.error > 10.0 * Precision::Float.tau()
            && matches!(op.op_type(), "Add" | "Sub" | "Mul" | "Div")
            && op.data.len() > 1
            && op.data.iter().any(same)
    }
}

/// Ops of a quantised target in which nothing is rounded: those without weights that compute in floats. Elsewhere all ops round alike.
pub(super) fn exact(target: &Network, tau: f32) -> HashSet<OpId> {
    if tau <= Precision::Half.tau() {
        return HashSet::new();
    }
    let plain = |id: &OpId| {
        let op = target.op(*id);
        let few = |v: &ValueId| target.constant(*v).is_none_or(|c| !c.is_float() || c.len() < 4);
        let from_steps = |v: &ValueId| {
            let nodes = target.origin(*v).into_iter().flat_map(|o| &o.nodes);
            nodes.into_iter().any(|n| target.model().node(*n).op_type().contains("uantizeLinear"))
        };
        let coded = op.data.iter().copied().chain(op.made()).any(|v| target.code(v).is_some());
        let quantised = coded || Precision::quantises(op.op_type()) || rounds(op.op_type());
        !quantised && op.inputs.iter().flatten().all(|v| few(v) && !from_steps(v))
    };
    target.op_ids().filter(plain).collect()
}

/// Whether an op adds a bias of its own.
pub(super) fn has_bias(target: &Network, id: OpId) -> bool {
    let op = target.op(id);
    let slot = match op.op_type() {
        "Conv" | "ConvTranspose" | "Gemm" | "FusedConv" | "FusedGemm" => 2,
        "QLinearConv" => 8,
        "QGemm" => 6,
        _ => return false,
    };
    let bias = op.inputs.get(slot).copied().flatten().and_then(|v| target.constant(v));
    bias.is_some_and(|b| b.to_f32().iter().any(|x| *x != 0.0))
}

/// Whether one of some source values is another one with a constant added.
pub(super) fn is_before_bias(source: &Reference<'_>, s: ValueId, all: &[ValueId]) -> bool {
    if source.virtual_of(s).is_some() {
        return false;
    }
    let adds = source.network.consumers(s).iter().map(|c| source.network.op(*c)).filter(|op| op.op_type() == "Add" && op.data.len() == 1);
    adds.flat_map(Op::made).any(|v| all.contains(&v))
}
