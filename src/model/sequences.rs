//! Sequences that are made only to be taken apart: exporters write a split into parts of several sizes with them. What is run has the plain
//! operator in their place; what is edited and saved is the model as it came.

use super::onnx::{AttributeProto, NodeProto, TensorProto};
use super::types::{self, Known};
use super::{Edit, Model, NodeExt, NodeId};

/// The edit that puts plain operators in the place of sequences; `None` where there are none.
///
/// A `SplitToSequence` with constant sizes that only `SequenceAt` with constant places reads is a `Split`; a `SequenceConstruct` that only
/// `ConcatFromSequence` reads, a `Concat`. The values keep their names.
pub(super) fn taken_apart(model: &Model) -> Option<Edit> {
    let edits: Vec<Edit> = model.nodes().filter_map(|(_, node)| split(model, node).or_else(|| concat(model, node))).flatten().collect();
    (!edits.is_empty()).then_some(Edit::All(edits))
}

/// The nodes that read the only output of a node, where no output of the graph does.
fn readers<'a>(model: &'a Model, node: &NodeProto) -> Option<Vec<&'a NodeProto>> {
    let [output] = &node.output[..] else { return None };
    let value = model.index().value(output)?;
    let inner = !model.index().outputs().contains(&value);
    inner.then(|| model.index().consumers(value).iter().map(|id: &NodeId| model.node(*id)).collect())
}

/// The whole numbers of a constant, with its dimensions.
fn constant(model: &Model, name: &str) -> Option<(Vec<i64>, Vec<i64>)> {
    let of = |tensor: &TensorProto| Some((types::known(model, tensor).as_ref().and_then(Known::ints)?.to_vec(), tensor.dims.clone()));
    if let Some(tensor) = model.initializer(name) {
        return of(tensor);
    }
    let node = model.node(model.node_by_output(name).filter(|id| model.node(*id).op_type() == "Constant")?);
    match (node.attr("value"), node.ints("value_ints"), node.int("value_int")) {
        (Some(value), ..) => of(value.t.as_ref()?),
        (_, Some(ints), _) => Some((ints.to_vec(), vec![ints.len() as i64])),
        (.., Some(int)) => Some((vec![int], Vec::new())),
        _ => None,
    }
}

fn split(model: &Model, node: &NodeProto) -> Option<Vec<Edit>> {
    if node.op_type() != "SplitToSequence" || !node.domain_name().is_empty() {
        return None;
    }
    let (sizes, dims) = constant(model, node.input.get(1)?)?;
    let parts = sizes.len() as i64;
    let readers = readers(model, node)?;
    let mut names = vec![None; sizes.len()];
    let mut edits = Vec::new();
    for reader in readers {
        let [_, place] = &reader.input[..] else { return None };
        let ([place], [name]) = (&constant(model, place)?.0[..], &reader.output[..]) else { return None };
        let place = if *place < 0 { place + parts } else { *place };
        let slot: &mut Option<&String> = names.get_mut(usize::try_from(place).ok()?)?;
        if reader.op_type() != "SequenceAt" || dims.len() != 1 {
            return None;
        }
        match slot {
            None => {
                *slot = Some(name);
                edits.push(Edit::RemoveNode { node: name.clone() });
            }
            Some(first) => {
                let input = vec![(*first).clone()];
                let with = NodeProto {
                    op_type: Some("Identity".into()),
                    name: reader.name.clone(),
                    input,
                    output: vec![name.clone()],
                    ..NodeProto::default()
                };
                edits.push(Edit::ReplaceNode { node: name.clone(), with });
            }
        }
    }
    let output = names.iter().enumerate().map(|(i, name)| name.cloned().unwrap_or_else(|| format!("{}/part_{i}", node.output[0])));
    let mut with = NodeProto {
        op_type: Some("Split".into()),
        name: node.name.clone(),
        input: node.input[..1].to_vec(),
        output: output.collect(),
        attribute: node.attribute.iter().filter(|a| a.name() == "axis").cloned().collect(),
        ..NodeProto::default()
    };
    // The sizes are an input since operator set 13.
    match model.opset("") {
        13.. => with.input.push(node.input[1].clone()),
        _ => with.attribute.push(AttributeProto::of_ints("split", &sizes)),
    }
    edits.push(Edit::ReplaceNode { node: node.output[0].clone(), with });
    Some(edits)
}

fn concat(model: &Model, node: &NodeProto) -> Option<Vec<Edit>> {
    if node.op_type() != "SequenceConstruct" || !node.domain_name().is_empty() {
        return None;
    }
    let readers = readers(model, node)?;
    let mut edits = vec![Edit::RemoveNode { node: node.output.first()?.clone() }];
    for reader in readers {
        if reader.op_type() != "ConcatFromSequence" || reader.int("new_axis").unwrap_or(0) != 0 {
            return None;
        }
        let with = NodeProto {
            op_type: Some("Concat".into()),
            input: node.input.clone(),
            attribute: reader.attribute.iter().filter(|a| a.name() == "axis").cloned().collect(),
            ..reader.clone()
        };
        edits.push(Edit::ReplaceNode { node: reader.output.first()?.clone(), with });
    }
    Some(edits)
}
