//! `flatten`: a Transpose before a value is flattened, where its dimensions stand in another order than in the source.

use super::{Change, Sides, of_types};
use crate::localize::Kind;
use crate::model::onnx::tensor_proto::DataType;
use crate::model::onnx::{AttributeProto, NodeProto};
use crate::model::{Budget, Edit, NodeExt, NodeId, infer};
use crate::run::Network;

/// Operators that flatten.
pub(super) const TYPES: &[&str] = &["Flatten", "Reshape"];

/// The Transpose that the dimensions ask for.
pub(super) fn change(node: NodeId, sides: &Sides<'_>) -> Option<Change> {
    let at = of_types(sides.source.model(), TYPES).iter().position(|n| *n == node)?;
    let partner = *of_types(sides.target.model(), TYPES).get(at)?;
    let (made_by, wanted) = flattened(sides.source, node, sides.given[0])?;
    let (own_made_by, own) = flattened(sides.target, partner, sides.given[1])?;
    if made_by != own_made_by {
        return None;
    }
    let perm = permutation(&wanted, &own)?;
    let key = sides.key(partner)?;
    let value = sides.target_node(partner).input.first()?.clone();
    let base = format!("{value}_transpose");
    let mut names = std::iter::once(base.clone()).chain((1..).map(|i| format!("{base}_{i}")));
    let turned = names.find(|n| sides.target.model().index().value(n).is_none())?;
    let transpose = NodeProto {
        op_type: Some("Transpose".into()),
        name: Some(turned.clone()),
        input: vec![value],
        output: vec![turned.clone()],
        attribute: vec![AttributeProto::of_ints("perm", &perm)],
        ..NodeProto::default()
    };
    Some(Change {
        kind: Kind::TsFlatten,
        edit: Edit::All(vec![
            Edit::InsertNode { before: Some(key.clone()), node: transpose },
            Edit::RewireInput { node: key, slot: 0, value: turned },
        ]),
        recipe: None,
        words: format!("a Transpose with perm {perm:?} before the value is flattened"),
        nodes: vec![sides.target_node(partner).label().to_string()],
        safe: true,
    })
}

/// Operator that makes the value that a node flattens, and the value's dimensions.
fn flattened<'a>(network: &'a Network, node: NodeId, given: &[(DataType, Vec<usize>)]) -> Option<(&'a str, Vec<usize>)> {
    let model = network.model();
    let value = model.index().value(model.node(node).input.first()?)?;
    let producer = model.index().producer(value)?;
    let shapes = infer(model, given, Budget::default());
    let (_, dims) = shapes.get(value)?;
    Some((model.node(producer).op_type(), dims.to_vec()))
}

/// For each dimension of the target its place in the source, as the paper's program infers it; `None` when that is no other order.
fn permutation(source: &[usize], target: &[usize]) -> Option<Vec<i64>> {
    if source.len() != target.len() || source == target {
        return None;
    }
    let mut perm: Vec<usize> = Vec::new();
    for (at, dim) in target.iter().enumerate() {
        let same = (source[at] == *dim).then_some(at);
        perm.push(same.or_else(|| (0..source.len()).find(|s| source[*s] == *dim && !perm.contains(s)))?);
    }
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    (sorted.iter().copied().eq(0..perm.len())).then(|| perm.into_iter().map(|p| p as i64).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_dimensions_is_inferred_from_their_lengths() {
        assert_eq!(permutation(&[1, 64, 3, 5], &[1, 3, 5, 64]), Some(vec![0, 2, 3, 1]));
        assert_eq!(permutation(&[1, 8, 4, 2], &[1, 2, 4, 8]), Some(vec![0, 3, 2, 1]));
        assert_eq!(permutation(&[1, 8, 4], &[1, 8, 4]), None);
        assert_eq!(permutation(&[1, 8], &[1, 8, 1]), None);
        assert_eq!(permutation(&[1, 8, 4], &[1, 8, 5]), None);
    }
}
