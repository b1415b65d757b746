//! What the paper does before any layer: the target's input in the source's shape, and one output.

use super::{Change, of_types};
use crate::localize::Kind;
use crate::model::onnx::tensor_shape_proto::Dimension;
use crate::model::onnx::type_proto::Value as Type;
use crate::model::onnx::{AttributeProto, ValueInfoProto};
use crate::model::{Edit, Model, NodeExt};
use crate::repair::Job;

/// Where the declared inputs differ: every Transpose is made to leave the order of axes alone, and the source's dimensions are declared;
/// where the first Concat works along another axis, it and all Gather and Unsqueeze take the source's.
pub(super) fn alike(job: &Job, target: &Model) -> Option<Change> {
    let (theirs, own) = (job.source.model().inputs().next()?, target.inputs().next()?);
    let (dims, own_dims) = (theirs.tensor_type()?.1, own.tensor_type()?.1);
    // One image stands in either, whatever the batch is declared to be.
    if dims.len() != own_dims.len() || dims.get(1..) == own_dims.get(1..) {
        return None;
    }
    let mut edits = Vec::new();
    let mut nodes = Vec::new();
    for id in of_types(target, &["Transpose"]) {
        let node = target.node(id);
        let Some(perm) = node.ints("perm") else { continue };
        let neutral: Vec<i64> = (0..perm.len() as i64).collect();
        edits.push(set(target, id, AttributeProto::of_ints("perm", &neutral))?);
        nodes.push(node.label().to_string());
    }
    edits.extend(axes(job.source.model(), target));
    edits.push(Edit::SetInputs {
        values: target.inputs().enumerate().map(|(i, v)| if i == 0 { reshaped(v, theirs) } else { v.clone() }).collect(),
    });
    let recipe = job.target_feed.recipe.clone().zip(job.source_feed.recipe.as_ref()).map(|(now, source)| {
        let mut new = now.clone();
        (new.layout, new.size, new.resize_to) = (source.layout, source.size, source.resize_to);
        let keys = now.differing(&new);
        (new, keys)
    });
    let sorted = |dims: &[Option<usize>]| {
        let mut dims = dims.to_vec();
        dims.sort_unstable();
        dims
    };
    Some(Change {
        kind: if sorted(&dims) == sorted(&own_dims) { Kind::IdLayout } else { Kind::IdSize },
        edit: Edit::All(edits),
        recipe,
        words: match nodes.len() {
            0 => "the input in the source's shape".into(),
            n => format!("the input in the source's shape, and no order of axes changed by {n} Transpose"),
        },
        nodes,
        safe: true,
    })
}

/// The first output alone, where that is the one compared.
pub(super) fn first_output(job: &Job, target: &Model) -> Option<Change> {
    let outputs: Vec<ValueInfoProto> = target.outputs().cloned().collect();
    if outputs.len() < 2 || job.comparison.target.slot != 0 {
        return None;
    }
    Some(Change {
        kind: Kind::TsOutput,
        edit: Edit::SetOutputs { values: outputs.into_iter().take(1).collect() },
        recipe: None,
        words: "only the first output is kept".into(),
        nodes: Vec::new(),
        safe: true,
    })
}

fn set(target: &Model, id: crate::model::NodeId, attribute: AttributeProto) -> Option<Edit> {
    let node = target.node(id).output.iter().find(|o| !o.is_empty())?.clone();
    Some(Edit::SetAttribute { node, attribute })
}

fn axes(source: &Model, target: &Model) -> Vec<Edit> {
    let first = |model: &Model, op: &str, name: &str| {
        let id = *of_types(model, &[op]).first()?;
        model.node(id).attr(name).cloned()
    };
    let (theirs, own) = (first(source, "Concat", "axis"), first(target, "Concat", "axis"));
    let (Some(theirs), Some(own)) = (theirs, own) else { return Vec::new() };
    if theirs.i == own.i {
        return Vec::new();
    }
    let mut edits: Vec<Edit> = of_types(target, &["Concat"]).first().and_then(|id| set(target, *id, theirs)).into_iter().collect();
    for (op, name) in [("Gather", "axis"), ("Unsqueeze", "axes")] {
        let Some(wanted) = first(source, op, name) else { continue };
        let there = of_types(target, &[op]).into_iter().filter(|id| target.node(*id).attr(name).is_some());
        edits.extend(there.filter_map(|id| set(target, id, wanted.clone())));
    }
    edits
}

/// A declaration with another one's dimensions.
fn reshaped(own: &ValueInfoProto, like: &ValueInfoProto) -> ValueInfoProto {
    let dims = |v: &ValueInfoProto| -> Option<Vec<Dimension>> {
        match v.r#type.as_ref()?.value.as_ref()? {
            Type::TensorType(t) => Some(t.shape.as_ref()?.dim.clone()),
            _ => None,
        }
    };
    let mut out = own.clone();
    if let Some(wanted) = dims(like)
        && let Some(Type::TensorType(tensor)) = out.r#type.as_mut().and_then(|t| t.value.as_mut())
        && let Some(shape) = tensor.shape.as_mut()
    {
        shape.dim = wanted;
    }
    out
}
