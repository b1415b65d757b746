//! Edits: an inverse gives back the very bytes, independent edits commute, nothing else changes.

use fixcon::model::onnx::tensor_proto::DataType;
use fixcon::model::onnx::*;
use fixcon::model::{Edit, Model};
use proptest::prelude::*;
use prost::Message;

fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    NodeProto {
        op_type: Some(op.into()),
        input: inputs.iter().map(|s| (*s).to_string()).collect(),
        output: outputs.iter().map(|s| (*s).to_string()).collect(),
        ..NodeProto::default()
    }
}

fn value(name: &str, size: i64) -> ValueInfoProto {
    let dim = tensor_shape_proto::Dimension { value: Some(tensor_shape_proto::dimension::Value::DimValue(size)), ..Default::default() };
    let tensor = type_proto::Tensor { elem_type: Some(1), shape: Some(TensorShapeProto { dim: vec![dim] }) };
    let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: Some(name.into()), r#type: Some(r#type), ..ValueInfoProto::default() }
}

fn tensor(name: &str, data: &[f32]) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        dims: vec![data.len() as i64],
        data_type: Some(DataType::Float as i32),
        float_data: data.to_vec(),
        ..TensorProto::default()
    }
}

/// A file whose every node has an unknown field, and one node attributes out of order and a missing input at the end.
fn file() -> Vec<u8> {
    let mut unknown = Vec::new();
    prost::encoding::bytes::encode(4000, &b"new".to_vec(), &mut unknown);
    let mut odd = node("Clip", &["b", "w1", ""], &["c"]);
    odd.attribute = vec![AttributeProto::of_int("z", 1), AttributeProto::of_float("c", f32::NAN), AttributeProto::of_ints("k", &[1, 2])];
    let nodes = [
        node("Add", &["x", "w0"], &["a"]),
        node("Relu", &["a"], &["b"]),
        odd,
        node("Split", &["c"], &["d", "e"]),
        node("Mul", &["d", "e"], &["y"]),
    ];
    let mut graph = Vec::new();
    for node in &nodes {
        let mut bytes = node.encode_to_vec();
        bytes.extend(&unknown);
        prost::encoding::bytes::encode(1, &bytes, &mut graph);
    }
    graph.extend(
        GraphProto {
            name: Some("g".into()),
            initializer: (0..4).map(|i| tensor(&format!("w{i}"), &[i as f32, f32::NAN])).collect(),
            // As before IR version 4: an initializer among the inputs.
            input: vec![value("x", 4), value("w0", 2), value("x2", 4)],
            output: vec![value("y", 4), value("e", 2)],
            ..GraphProto::default()
        }
        .encode_to_vec(),
    );
    let entry = |k: &str, v: &str| StringStringEntryProto { key: Some(k.into()), value: Some(v.into()) };
    let head = ModelProto {
        ir_version: Some(3),
        metadata_props: vec![entry("k0", "a"), entry("k1", "b"), entry("k0", "again")],
        ..ModelProto::default()
    };
    let mut out = head.encode_to_vec();
    prost::encoding::bytes::encode(7, &graph, &mut out);
    out.extend(&unknown);
    out
}

const NODES: &[&str] = &["a", "b", "c", "d", "y", "n0", "n1", "n2", "nowhere"];
const ATTRIBUTES: &[&str] = &["z", "c", "k", "axis", "m", "q"];

fn edit() -> impl Strategy<Value = Edit> {
    let name = || prop::sample::select(NODES).prop_map(String::from);
    let key = || prop::sample::select(ATTRIBUTES);
    let tensor_name = || prop::sample::select(&["w0", "w1", "w2", "w3", "v0", "v1"][..]);
    let attribute = || {
        (key(), 0..3i64).prop_map(|(k, v)| if v == 0 { AttributeProto::of_float(k, f32::NAN) } else { AttributeProto::of_ints(k, &[v, v]) })
    };
    let new = || {
        (name(), prop::sample::select(&["b", "n0", "n1", "x", ""][..]), prop::collection::vec(attribute(), 0..3))
            .prop_map(|(out, input, attribute)| NodeProto { attribute, ..node("Abs", &["x", input], &[&out]) })
    };
    let numbers = || prop::collection::vec(0..9i32, 1..3).prop_map(|v| v.into_iter().map(|x| x as f32).collect::<Vec<_>>());
    let inputs = prop::sample::select(&["a", "x", "w0", "", "n0"][..]).prop_map(String::from);
    let values =
        || prop::collection::vec((prop::sample::select(&["x", "x2", "y", "e", "i"][..]), 1..5i64).prop_map(|(n, d)| value(n, d)), 0..4);
    prop_oneof![
        3 => (name(), attribute()).prop_map(|(node, attribute)| Edit::SetAttribute { node, attribute }),
        2 => (name(), key()).prop_map(|(node, a)| Edit::RemoveAttribute { node, attribute: a.into() }),
        2 => (tensor_name(), numbers()).prop_map(|(n, d)| Edit::ReplaceInitializer { tensor: tensor(n, &d) }),
        2 => (tensor_name(), numbers()).prop_map(|(n, d)| Edit::AddInitializer { tensor: tensor(n, &d) }),
        2 => tensor_name().prop_map(|n| Edit::RemoveInitializer { name: n.into() }),
        4 => (prop::option::of(name()), new()).prop_map(|(before, node)| Edit::InsertNode { before, node }),
        3 => name().prop_map(|node| Edit::RemoveNode { node }),
        2 => (name(), new()).prop_map(|(node, with)| Edit::ReplaceNode { node, with }),
        3 => (name(), 0..5usize, inputs).prop_map(|(node, slot, value)| Edit::RewireInput { node, slot, value }),
        1 => values().prop_map(|values| Edit::SetInputs { values }),
        1 => values().prop_map(|values| Edit::SetOutputs { values }),
        1 => (prop::sample::select(&["k0", "k1", "k2"][..]), prop::option::of("[ab]")).prop_map(|(k, value)| Edit::SetMetadata { key: k.into(), value }),
    ]
}

/// What an edit changes of the node or model that it names, where that is not all of it.
fn part(edit: &Edit) -> Option<String> {
    match edit {
        Edit::SetAttribute { attribute, .. } => Some(format!("attribute {}", attribute.name())),
        Edit::RemoveAttribute { attribute, .. } => Some(format!("attribute {attribute}")),
        Edit::RewireInput { slot, .. } => Some(format!("input {slot}")),
        Edit::SetInputs { .. } => Some("inputs".into()),
        Edit::SetOutputs { .. } => Some("outputs".into()),
        Edit::SetMetadata { key, .. } => Some(format!("metadata {key}")),
        _ => None,
    }
}

/// Whether two edits change different things, and neither takes away where the other one puts something.
fn independent(a: &Edit, b: &Edit) -> bool {
    let place = |edit: &Edit| if let Edit::InsertNode { before, .. } = edit { before.clone() } else { None };
    let of_parts = part(a).zip(part(b)).is_some_and(|(a, b)| a != b);
    let (mine, theirs) = (a.touched(), b.touched());
    let beside = |place: Option<String>, whole: bool, names: &[String]| !whole || place.is_none_or(|p| !names.contains(&p));
    (of_parts || !mine.iter().any(|n| theirs.contains(n)))
        && beside(place(a), part(b).is_none(), &theirs)
        && beside(place(b), part(a).is_none(), &mine)
}

fn read() -> Model {
    Model::read(file().into(), None).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn taking_edits_back_gives_the_bytes_of_each_step(edits in prop::collection::vec(edit(), 1..14)) {
        let mut model = read();
        let mut undo = Vec::new();
        for edit in edits {
            let Ok((next, inverse)) = model.apply(&edit) else { continue };
            prop_assert_eq!(next.to_bytes().len(), next.encoded_len());
            let back = next.apply(&inverse);
            prop_assert!(back.is_ok(), "{} cannot be taken back: {}", edit, back.err().unwrap());
            undo.push((model.to_bytes(), inverse));
            model = next;
        }
        while let Some((bytes, inverse)) = undo.pop() {
            let (before, redo) = model.apply(&inverse).unwrap();
            prop_assert!(before.to_bytes() == bytes, "not the same after: {}", inverse);
            // The inverse of the inverse does it again.
            prop_assert!(before.apply(&redo).unwrap().0.to_bytes() == model.to_bytes(), "not the same after: {}", redo);
            model = before;
        }
        prop_assert!(model.to_bytes() == file());
    }

    #[test]
    fn independent_edits_commute(before in prop::collection::vec(edit(), 0..8), a in edit(), b in edit()) {
        let mut model = read();
        for edit in before {
            if let Ok((next, _)) = model.apply(&edit) { model = next; }
        }
        if !independent(&a, &b) { return Ok(()); }
        let one = model.apply(&a).and_then(|(m, _)| m.apply(&b));
        let two = model.apply(&b).and_then(|(m, _)| m.apply(&a));
        match (one, two) {
            (Ok((one, _)), Ok((two, _))) => prop_assert!(one.to_bytes() == two.to_bytes(), "{} and {} do not commute", a, b),
            (Err(_), Err(_)) => {}
            _ => prop_assert!(false, "{} and {} work in one order only", a, b),
        }
    }

    #[test]
    fn what_is_written_is_read_again(edits in prop::collection::vec(edit(), 1..10)) {
        let mut model = read();
        for edit in edits {
            if let Ok((next, _)) = model.apply(&edit) { model = next; }
        }
        let again = Model::read(model.to_bytes().into(), None).unwrap();
        prop_assert!(again.nodes().map(|(_, n)| n.encode_to_vec()).eq(model.nodes().map(|(_, n)| n.encode_to_vec())));
        prop_assert!(again.initializers().map(|t| t.encode_to_vec()).eq(model.initializers().map(|t| t.encode_to_vec())));
        prop_assert_eq!(again.index().order(), model.index().order());
        prop_assert_eq!(&again.proto().metadata_props, &model.proto().metadata_props);
    }
}

#[test]
fn an_edit_changes_its_own_field_only() {
    let model = read();
    let (edited, _) = model.apply(&Edit::SetAttribute { node: "c".into(), attribute: AttributeProto::of_ints("k", &[1, 3]) }).unwrap();
    let (before, after) = (file(), edited.to_bytes());
    assert_eq!(before.len(), after.len());
    let differ: Vec<_> = (0..before.len()).filter(|i| before[*i] != after[*i]).collect();
    assert_eq!(differ.len(), 1, "one integer of one byte");
}

#[test]
fn a_graft_stands_where_the_removed_nodes_stood_in_an_order_that_runs() {
    let model = read();
    let nodes = vec![node("Sigmoid", &["g1"], &["c"]), node("Add", &["b", "bias"], &["g1"])];
    let graft = Edit::graft(&["c".into()], vec![tensor("bias", &[1.0])], nodes, None);
    let (edited, inverse) = model.apply(&graft).unwrap();
    let ops: Vec<_> = edited.nodes().map(|(_, n)| n.op_type().to_string()).collect();
    assert_eq!(ops, ["Add", "Relu", "Add", "Sigmoid", "Split", "Mul"]);
    assert!(edited.initializer("bias").is_some());
    assert_eq!(edited.apply(&inverse).unwrap().0.to_bytes(), file());
}

#[test]
fn what_does_not_fit_is_refused_with_its_name() {
    let model = read();
    let says = |edit: Edit| model.apply(&edit).unwrap_err().to_string();
    assert!(says(Edit::RemoveNode { node: "nowhere".into() }).contains("nowhere"));
    assert!(says(Edit::RemoveNode { node: "e".into() }).contains("not the first output"));
    assert!(says(Edit::RemoveAttribute { node: "c".into(), attribute: "alpha".into() }).contains("alpha"));
    assert!(says(Edit::AddInitializer { tensor: tensor("w1", &[1.0]) }).contains("taken"));
    assert!(says(Edit::RewireInput { node: "a".into(), slot: usize::MAX, value: "x".into() }).contains("so many inputs"));
    assert!(says(Edit::InsertNode { before: None, node: node("Abs", &["x"], &["a"]) }).contains("made already"));
    // All or nothing.
    let both = Edit::All(vec![Edit::RemoveNode { node: "b".into() }, Edit::RemoveNode { node: "b".into() }]);
    assert!(model.apply(&both).is_err());
    assert_eq!(model.to_bytes(), file());
}
