//! `params`, `params[conv]`: the source's parameters, to the letter and in the source's layout.

use super::pairing::{parameter, partner};
use super::{Change, Sides, of_types};
use crate::localize::Kind;
use crate::model::{Edit, NodeExt, NodeId};

/// Operators whose first parameter is compared.
pub(super) const TYPES: &[&str] = &[
    "Conv",
    "DequantizeLinear",
    "Add",
    "Mul",
    "Clip",
    "GlobalAveragePool",
    "Flatten",
    "Gemm",
    "AveragePool",
    "Relu",
    "MaxPool",
    "Squeeze",
    "Reshape",
    "BatchNormalization",
];

/// The parameters in these slots, where they differ. Only where both sides have equally many nodes of the type.
pub(super) fn change(node: NodeId, slots: &[usize], sides: &Sides<'_>) -> Option<Change> {
    let source = sides.source_node(node);
    let op = source.op_type();
    if of_types(sides.source.model(), &[op]).len() != of_types(sides.target.model(), &[op]).len() {
        return None;
    }
    let partner = partner(node, sides)?;
    let target = sides.target_node(partner);
    let mut edits = Vec::new();
    for slot in slots {
        let (Some(from), Some(to)) = (source.input.get(*slot), target.input.get(*slot)) else { continue };
        let (Some(theirs), Some(own)) = (parameter(sides.source, from), parameter(sides.target, to)) else { continue };
        if !theirs.same(own) {
            edits.push((*slot, Edit::ReplaceInitializer { tensor: theirs.to_proto(to) }));
        }
    }
    let kind = match (op, edits.first()?.0) {
        ("DequantizeLinear", _) => Kind::WbQuant,
        ("BatchNormalization", _) => Kind::WbNorm,
        ("Clip", _) => Kind::LhAct,
        ("Reshape" | "Squeeze", _) => Kind::TsReshape,
        (_, 2) => Kind::WbBias,
        _ => Kind::WbValues,
    };
    Some(Change {
        kind,
        edit: Edit::All(edits.into_iter().map(|(_, e)| e).collect()),
        recipe: None,
        words: format!("the parameters of {op} as the source has them"),
        nodes: vec![target.label().to_string()],
        safe: true,
    })
}
