//! Fault injection: every fault is felt, says truly where it is, and is taken back by its inverse.

use fixcon::localize::Kind;
use fixcon::localize::inject::{Injected, Injector, LEAST_EFFECT, inject, variants_of};
use fixcon::model::onnx::*;
use fixcon::model::{Edit, Model, NodeExt};
use fixcon::run::Value;
use prost::Message;
use std::collections::HashSet;

/// Networks that together have a place for every kind.
const MODELS: &[&str] = &[
    "models/mobilenet.onnx",
    "models/resnet.onnx",
    "models/vit.onnx",
    "cases/9-vit-clean-decomposed/target.onnx",
    "cases/6-mobilenet-int8/target.onnx",
    "cases/11-inception-bgr/target.onnx",
];

/// Kinds of a recipe, which no graph has.
const NOT_IN_A_GRAPH: &[Kind] = &[Kind::PpScale, Kind::PpNorm, Kind::PpChannels, Kind::PpResize, Kind::PpCrop];

fn sample(path: &str) -> Model {
    Model::open(format!("{}/sample_models/{path}", env!("CARGO_MANIFEST_DIR"))).expect("a sample model")
}

/// A network with what the samples lack: pixels are normalised in the graph, resized, padded, and go through a Gelu.
fn small() -> Model {
    let node = |op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>| NodeProto {
        op_type: Some(op.into()),
        input: inputs.iter().map(|s| (*s).to_string()).collect(),
        output: vec![output.into()],
        attribute,
        ..NodeProto::default()
    };
    let value = |name: &str, shape: &[i64]| {
        let dim = |n: &i64| tensor_shape_proto::Dimension {
            value: Some(tensor_shape_proto::dimension::Value::DimValue(*n)),
            ..Default::default()
        };
        let tensor = type_proto::Tensor { elem_type: Some(1), shape: Some(TensorShapeProto { dim: shape.iter().map(dim).collect() }) };
        let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
        ValueInfoProto { name: Some(name.into()), r#type: Some(r#type), ..ValueInfoProto::default() }
    };
    let floats = |name: &str, shape: &[usize]| {
        let n: usize = shape.iter().product();
        Value::from_f32(shape, (0..n).map(|i| ((i * 37 % 23) as f32 - 11.0) / 15.0).collect()).to_proto(name)
    };
    let graph = GraphProto {
        name: Some("small".into()),
        node: vec![
            node("Sub", &["pixels", "mean"], "centred", vec![]),
            node("Div", &["centred", "std"], "normal", vec![]),
            node("Resize", &["normal", "", "scales"], "large", vec![AttributeProto::of_string("mode", "linear")]),
            node("Pad", &["large", "pads"], "padded", vec![]),
            node("Conv", &["padded", "w", "b"], "conv", vec![AttributeProto::of_ints("strides", &[2, 2])]),
            node("Relu", &["conv"], "relu", vec![]),
            node("ReduceMean", &["relu"], "pooled", vec![AttributeProto::of_ints("axes", &[2, 3]), AttributeProto::of_int("keepdims", 0)]),
            node("Gemm", &["pooled", "square", "b"], "logits", vec![AttributeProto::of_int("transB", 1)]),
            node("Softmax", &["logits"], "scores", vec![AttributeProto::of_int("axis", 1)]),
        ],
        initializer: vec![
            floats("mean", &[1, 3, 1, 1]),
            Value::from_f32(&[], vec![0.25]).to_proto("std"),
            Value::from_f32(&[4], vec![1.0, 1.0, 2.0, 2.0]).to_proto("scales"),
            Value::from_i64(&[8], vec![0, 0, 0, 0, 0, 0, 1, 1]).to_proto("pads"),
            floats("w", &[4, 3, 3, 3]),
            floats("b", &[4]),
            floats("square", &[4, 4]),
        ],
        input: vec![value("pixels", &[1, 3, 12, 12])],
        output: vec![value("scores", &[1, 4])],
        ..GraphProto::default()
    };
    let opset = OperatorSetIdProto { domain: Some(String::new()), version: Some(13) };
    let model = ModelProto { ir_version: Some(8), opset_import: vec![opset], graph: Some(graph), ..ModelProto::default() };
    Model::read(model.encode_to_vec().into(), None).expect("a model")
}

fn all(injector: &Injector, seed: u64) -> Vec<Injected> {
    let ways = Kind::ALL.iter().flat_map(|k| variants_of(*k).into_iter().map(move |v| (*k, v)));
    ways.filter_map(|(k, v)| injector.inject_as(k, v, seed)).collect()
}

fn names(model: &Model) -> HashSet<String> {
    let nodes = model.nodes().flat_map(|(_, n)| n.output.iter().cloned().chain([n.label().to_string()]).collect::<Vec<_>>());
    let rest = model.inputs().chain(model.outputs()).map(|v| v.name().to_string());
    nodes.chain(rest).chain(model.initializers().map(|t| t.name().to_string())).collect()
}

#[test]
fn every_fault_is_felt_and_taken_back() {
    let mut kinds = HashSet::new();
    let samples = MODELS.iter().map(|path| (*path, sample(path))).chain([("a small model", small())]);
    for (path, model) in samples {
        let bytes = model.to_bytes();
        let injector = Injector::new(&model, None).expect("the sample runs");
        for fault in all(&injector, 3) {
            let what = format!("{path}: {} {} ({})", fault.truth.kind, fault.variant, fault.truth.note);
            let (faulty, inverse) = model.apply(&fault.edit).expect(&what);
            assert_eq!(faulty.to_bytes(), fault.model.to_bytes(), "{what}: the edit makes the model");
            assert_ne!(faulty.to_bytes(), bytes, "{what}: nothing changed");
            assert_eq!(faulty.apply(&inverse).expect(&what).0.to_bytes(), bytes, "{what}: the inverse gives the very bytes");
            assert!(fault.effect.is_none_or(|e| e.is_finite() && e > LEAST_EFFECT), "{what}: effect {:?}", fault.effect);
            assert_eq!(fault.truth.category, &fault.truth.kind.id()[..2]);
            assert!(!fault.truth.also.contains(&fault.truth.kind));
            assert!(!fault.truth.nodes.is_empty(), "{what}: no place");
            let known = names(&faulty);
            let gone = names(&model);
            for name in fault.truth.nodes.iter() {
                assert!(known.contains(name), "{what}: no node '{name}'");
            }
            for name in &fault.truth.tensors {
                assert!(known.contains(name) || gone.contains(name), "{what}: no tensor '{name}'");
            }
            kinds.insert(fault.truth.kind);
        }
    }
    let missing: Vec<_> = Kind::ALL.iter().filter(|k| !kinds.contains(k) && !NOT_IN_A_GRAPH.contains(k)).map(|k| k.id()).collect();
    assert!(missing.is_empty(), "kinds that no sample has a place for: {missing:?}");
}

#[test]
fn the_seed_decides() {
    let model = sample("models/resnet.onnx");
    let first = Injector::new(&model, None).expect("the sample runs");
    let again = Injector::new(&model, None).expect("the sample runs");
    let places = |seed: u64| -> Vec<_> { all(&first, seed).into_iter().map(|f| (f.truth, f.edit)).collect() };
    assert_eq!(places(1), all(&again, 1).into_iter().map(|f| (f.truth, f.edit)).collect::<Vec<_>>());
    // Noise, places and factors are drawn: three seeds do not agree throughout.
    assert!(places(1) != places(2) && places(2) != places(3));
}

#[test]
fn a_kind_without_a_place_gives_none() {
    let model = sample("models/resnet.onnx");
    assert!(inject(&model, Kind::LhResize, 0).expect("the sample runs").is_none(), "there is no Resize in it");
    assert!(inject(&model, Kind::PpScale, 0).expect("the sample runs").is_none(), "a recipe's kind is in no graph");
    assert_eq!(Injector::new(&model, None).expect("the sample runs").places(Kind::LhResize), 0);
}

#[test]
fn a_swap_exchanges_two_tensors() {
    let model = sample("models/resnet.onnx");
    let fault = inject(&model, Kind::WbSwap, 5).expect("the sample runs").expect("it has layers of equal shape");
    let [a, b] = &fault.truth.tensors[..] else { panic!("two tensors: {:?}", fault.truth) };
    let data = |m: &Model, n: &String| m.raw_data(m.initializer(n).expect("an initializer")).expect("readable").expect("raw");
    assert_eq!(data(&model, a), data(&fault.model, b));
    assert_eq!(data(&model, b), data(&fault.model, a));
}

#[test]
fn a_shared_constant_stays_what_it_is_for_others() {
    // All activations of this network read the same bounds.
    let model = sample("cases/8-mobilenet-clean-torch/target.onnx");
    let fault = Injector::new(&model, None).expect("the sample runs").inject_as(Kind::LhAct, "upper-bound", 0).expect("it has Clip");
    let Edit::All(edits) = &fault.edit else { panic!("a new constant and a reader: {}", fault.edit) };
    assert!(matches!(&edits[..], [Edit::AddInitializer { .. }, Edit::RewireInput { slot: 2, .. }]), "{}", fault.edit);
}
