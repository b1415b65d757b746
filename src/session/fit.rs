//! An edit that was made for the target as it was, fitted to the target as it is.

use crate::model::onnx::{NodeProto, TensorProto};
use crate::model::{Edit, Model};
use crate::repair::Proposal;
use std::collections::HashMap;

/// The proposal as it fits the model. Several proposals may each add the constant they need under the name that was free when they were
/// made: one that is there already with the same numbers is used, any other gets a name of its own.
pub fn fitted(model: &Model, proposal: &Proposal) -> Proposal {
    let mut added = Vec::new();
    constants(&proposal.edit, &mut added);
    let mut names: HashMap<String, String> = HashMap::new();
    let mut there: Vec<String> = Vec::new();
    for tensor in added {
        let taken = |name: &str| model.index().value(name).is_some();
        if !taken(tensor.name()) {
            continue;
        }
        if model.initializer(tensor.name()) == Some(tensor) {
            there.push(tensor.name().to_string());
        } else if let Some(free) = (2..10_000).map(|n| format!("{}_{n}", tensor.name())).find(|n| !taken(n)) {
            names.insert(tensor.name().to_string(), free);
        }
    }
    if names.is_empty() && there.is_empty() {
        return proposal.clone();
    }
    Proposal { edit: renamed(&proposal.edit, &names, &there), ..proposal.clone() }
}

/// The initializers that an edit adds.
fn constants<'a>(edit: &'a Edit, out: &mut Vec<&'a TensorProto>) {
    match edit {
        Edit::AddInitializer { tensor } => out.push(tensor),
        Edit::All(edits) => edits.iter().for_each(|e| constants(e, out)),
        _ => {}
    }
}

/// The edit with other names for values, and without the initializers that are there.
fn renamed(edit: &Edit, names: &HashMap<String, String>, there: &[String]) -> Edit {
    let of = |name: &String| names.get(name).unwrap_or(name).clone();
    let node = |node: &NodeProto| NodeProto { input: node.input.iter().map(of).collect(), ..node.clone() };
    match edit {
        Edit::All(edits) => {
            let is_there = |e: &&Edit| matches!(e, Edit::AddInitializer { tensor } if there.iter().any(|n| n == tensor.name()));
            Edit::All(edits.iter().filter(|e| !is_there(e)).map(|e| renamed(e, names, there)).collect())
        }
        Edit::AddInitializer { tensor } => {
            Edit::AddInitializer { tensor: TensorProto { name: tensor.name.as_ref().map(of), ..tensor.clone() } }
        }
        Edit::RewireInput { node, slot, value } => Edit::RewireInput { node: node.clone(), slot: *slot, value: of(value) },
        Edit::InsertNode { before, node: new } => Edit::InsertNode { before: before.clone(), node: node(new) },
        Edit::ReplaceNode { node: name, with } => Edit::ReplaceNode { node: name.clone(), with: node(with) },
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::localize::Kind;
    use crate::model::onnx::{GraphProto, ModelProto};
    use prost::Message;

    fn constant(name: &str, value: f32) -> TensorProto {
        let raw = value.to_le_bytes().to_vec();
        TensorProto { name: Some(name.into()), dims: vec![1], data_type: Some(1), raw_data: Some(raw.into()), ..TensorProto::default() }
    }

    fn proposal(value: f32) -> Proposal {
        let rewire = Edit::RewireInput { node: "y".into(), slot: 1, value: "c_mended".into() };
        Proposal {
            suspect: 0,
            kind: Kind::LhPads,
            edit: Edit::All(vec![Edit::AddInitializer { tensor: constant("c_mended", value) }, rewire]),
            recipe: None,
            words: String::new(),
            nodes: Vec::new(),
            safe: true,
            isolated: (1.0, 0.0),
        }
    }

    fn model(initializers: Vec<TensorProto>) -> Model {
        let graph = GraphProto { initializer: initializers, ..GraphProto::default() };
        let proto = ModelProto { ir_version: Some(8), graph: Some(graph), ..ModelProto::default() };
        Model::read(proto.encode_to_vec().into(), None).expect("a model")
    }

    #[test]
    fn a_constant_that_is_there_is_used_and_another_one_gets_a_name_of_its_own() {
        let free = fitted(&model(Vec::new()), &proposal(1.0)).edit;
        assert_eq!(free, proposal(1.0).edit);
        let have = model(vec![constant("c_mended", 1.0)]);
        let rewire = |value: &str| Edit::RewireInput { node: "y".into(), slot: 1, value: value.into() };
        assert_eq!(fitted(&have, &proposal(1.0)).edit, Edit::All(vec![rewire("c_mended")]));
        let other = Edit::All(vec![Edit::AddInitializer { tensor: constant("c_mended_2", 2.0) }, rewire("c_mended_2")]);
        assert_eq!(fitted(&have, &proposal(2.0)).edit, other);
    }
}
