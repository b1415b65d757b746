//! `hyperparams`: attributes of a convolution as the source has them. Strides are left out, and `auto_pad` is not known.

use super::pairing::partner;
use super::{Change, Sides};
use crate::localize::Kind;
use crate::model::onnx::AttributeProto;
use crate::model::{Edit, NodeExt, NodeId};

/// Lists of integers that are compared; of others the paper's program reads nothing.
const NAMES: [&str; 3] = ["pads", "kernel_shape", "dilations"];

/// What is unlike the source is set; what the source does not have is taken away.
pub(super) fn change(node: NodeId, sides: &Sides<'_>) -> Option<Change> {
    let partner = partner(node, sides)?;
    let key = sides.key(partner)?;
    let (source, target) = (sides.source_node(node), sides.target_node(partner));
    let mut edits = Vec::new();
    let mut names = Vec::new();
    for name in NAMES {
        match (source.ints(name), target.ints(name)) {
            (Some(theirs), own) if own != Some(theirs) => {
                edits.push(Edit::SetAttribute { node: key.clone(), attribute: AttributeProto::of_ints(name, theirs) });
            }
            (None, Some(_)) => edits.push(Edit::RemoveAttribute { node: key.clone(), attribute: name.into() }),
            _ => continue,
        }
        names.push(name);
    }
    let kind = if names.first()? == &"pads" { Kind::LhPads } else { Kind::LhStride };
    Some(Change {
        kind,
        edit: Edit::All(edits),
        recipe: None,
        words: format!("{} of {} as the source has them", names.join(", "), source.op_type()),
        nodes: vec![target.label().to_string()],
        safe: true,
    })
}
