//! Which node of the target stands for one of the source, as the paper pairs them.

use super::{Sides, of_types};
use crate::model::NodeId;
use crate::run::{Network, Value};

/// Parameters this close count as the same.
const CLOSE: (f32, f32) = (0.2, 1e-5);

/// By the order in which nodes of the type appear, where both sides have equally many; else the first that matches.
pub(super) fn partner(node: NodeId, sides: &Sides<'_>) -> Option<NodeId> {
    let op_type = sides.source_node(node).op_type();
    let mine = of_types(sides.source.model(), &[op_type]);
    let theirs = of_types(sides.target.model(), &[op_type]);
    if mine.len() == theirs.len() {
        return theirs.get(mine.iter().position(|n| *n == node)?).copied();
    }
    theirs.into_iter().find(|t| matches(node, *t, sides))
}

/// Equally many inputs and outputs, and the same name or parameters within 0.2.
fn matches(source: NodeId, target: NodeId, sides: &Sides<'_>) -> bool {
    let (s, t) = (sides.source_node(source), sides.target_node(target));
    if s.input.len() != t.input.len() || s.output.len() != t.output.len() {
        return false;
    }
    if s.name() == t.name() {
        return true;
    }
    s.input.iter().zip(&t.input).skip(1).all(|(a, b)| {
        let pair = parameter(sides.source, a).zip(parameter(sides.target, b));
        pair.is_some_and(|(a, b)| a.shape() == b.shape() && a.to_f32().iter().zip(b.to_f32().iter()).all(|(x, y)| close(*x, *y)))
    })
}

fn close(x: f32, y: f32) -> bool {
    (x - y).abs() <= CLOSE.0 + CLOSE.1 * y.abs()
}

/// An initializer that a live node reads.
pub(super) fn parameter<'a>(network: &'a Network, name: &str) -> Option<&'a Value> {
    network.model().initializer(name)?;
    network.constant(network.model().index().value(name)?)
}
