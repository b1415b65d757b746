//! Alignment by numbers: with itself, and with every name replaced.

use fixcon::align::{Feed, Hints, Layout, PairKind, Precision, Reference, Verdict, align};
use fixcon::model::Model;
use fixcon::run::{Network, Value};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

fn sample(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models").join(path)
}

/// A picture of smooth stripes in the layout of a model's declared input.
fn picture(channels_last: bool) -> Value {
    let shape = if channels_last { [1, 32, 32, 3] } else { [1, 3, 32, 32] };
    let data = (0..3 * 32 * 32).map(|i| ((i as f32 * 0.37).sin() + (i as f32 * 0.011).cos()) * 0.8).collect();
    Value::from_f32(&shape, data)
}

#[test]
fn a_model_with_itself_is_the_identity() {
    for (name, channels_last) in [("mobilenet", true), ("resnet", false), ("inception", false), ("vit", false)] {
        let model = Model::open(sample(&format!("models/{name}.onnx"))).expect("a sample opens");
        let network = Network::new(&model).expect("its weights are there");
        let x = picture(channels_last);
        let reference = Reference::new(&network, &[vec![x.clone()]]).expect("it runs");
        let feeds = [Feed { values: vec![x.clone()], partner: Some((network.inputs()[0], Layout::flat(x.shape()))) }];
        let hints = Hints::default();
        let aligned = align(&network, &reference, &feeds, Precision::Float.tau(), &hints).expect("it runs");
        assert!(aligned.unexplained().is_empty(), "{name}");
        for pair in &aligned.pairs {
            assert_eq!(pair.kind, PairKind::Equal, "{name}");
            assert_eq!(pair.error, 0.0, "{name}");
            assert!(pair.layout.is_flat(), "{name}: {}", pair.layout);
            // A rearranged value equals what it was made from: the same up to that.
            assert_eq!(reference.origin(pair.source), reference.origin(pair.target), "{name}: {}", model.index().name(pair.target));
        }
        assert!(aligned.regions.iter().all(|r| r.verdict == Verdict::Clean), "{name}");
    }
}

/// The model with every name of nodes and values replaced, those of inputs and outputs too.
fn scrambled(path: &Path) -> Model {
    use fixcon::model::onnx::ModelProto;
    use prost::Message;
    let bytes = std::fs::read(path).expect("a sample is there");
    let mut proto = ModelProto::decode(&bytes[..]).expect("a sample is ONNX");
    let graph = proto.graph.as_mut().expect("it has a graph");
    let mut names: HashMap<String, String> = HashMap::new();
    let mut new = |old: &str| -> String {
        if old.is_empty() {
            return String::new();
        }
        let next = names.len().wrapping_mul(2_654_435_761) % 1_000_003;
        names.entry(old.to_string()).or_insert_with(|| format!("v{next}")).clone()
    };
    for tensor in &mut graph.initializer {
        tensor.name = Some(new(tensor.name()));
    }
    for value in graph.input.iter_mut().chain(&mut graph.output) {
        value.name = Some(new(value.name()));
    }
    graph.value_info.clear();
    for (i, node) in graph.node.iter_mut().enumerate() {
        node.name = Some(format!("n{}", i * 7919 % 10_007));
        node.input.iter_mut().chain(&mut node.output).for_each(|n| *n = new(n));
    }
    Model::read(proto.encode_to_vec().into(), None).expect("it is still a model")
}

#[test]
fn names_are_never_evidence() {
    for (source, case) in [
        ("resnet", "2-resnet-swapped"),
        ("inception", "3-inception-two-faults"),
        ("mobilenet", "1-mobilenet-pads"),
        ("vit", "9-vit-clean-decomposed"),
        ("resnet", "7-resnet-clean-tensorflow"),
        ("vit", "18-vit-epsilon"),
    ] {
        let channels_last = source == "mobilenet";
        let (s, t) = (sample(&format!("models/{source}.onnx")), sample(&format!("cases/{case}/target.onnx")));
        let plain = regions(&Model::open(&s).expect("a sample opens"), &Model::open(&t).expect("a sample opens"), channels_last);
        let other = regions(&scrambled(&s), &scrambled(&t), channels_last);
        assert_eq!(plain, other, "{case}");
    }
}

/// Regions as places of nodes with their errors: what does not depend on names.
fn regions(source: &Model, target: &Model, channels_last: bool) -> Vec<(Vec<u32>, Vec<u32>, Option<f32>)> {
    let (source, target) = (Network::new(source).expect("weights"), Network::new(target).expect("weights"));
    let x = picture(channels_last);
    let reference = Reference::new(&source, &[vec![x.clone()]]).expect("the source runs");
    let declared = target.model().inputs().next().and_then(|i| i.r#type.clone()).and_then(|t| t.value);
    let last = match declared {
        Some(fixcon::model::onnx::type_proto::Value::TensorType(t)) => {
            use fixcon::model::onnx::tensor_shape_proto::dimension::Value::DimValue;
            t.shape.is_some_and(|s| s.dim.last().is_some_and(|d| d.value == Some(DimValue(3))))
        }
        _ => false,
    };
    let layout = match (channels_last, last) {
        (false, true) => Layout::permuted(x.shape(), &[0, 2, 3, 1]),
        (true, false) => Layout::permuted(x.shape(), &[0, 3, 1, 2]),
        _ => Layout::flat(x.shape()),
    };
    let fed = layout.apply(&x).expect("sizes fit");
    let hints = Hints::default();
    let feeds = [Feed { values: vec![fed], partner: Some((source.inputs()[0], layout)) }];
    let aligned = align(&target, &reference, &feeds, Precision::Float.tau(), &hints).expect("it runs");
    let ids = |ids: &[fixcon::run::OpId]| ids.iter().map(|i| i.0).collect::<Vec<u32>>();
    aligned.regions.iter().map(|r| (ids(&r.source), ids(&r.target), r.isolated)).collect()
}

/// A model of nodes, each by operator, inputs and output, on a picture of 3 × 32 × 32.
fn graph(nodes: &[(&str, &[&str], &str)], constants: &[(&str, &Value)], output: &str) -> Model {
    use fixcon::model::onnx::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto, ValueInfoProto};
    use prost::Message;
    let node = |(op, inputs, output): &(&str, &[&str], &str)| NodeProto {
        op_type: Some((*op).into()),
        input: inputs.iter().map(|i| (*i).into()).collect(),
        output: vec![(*output).into()],
        ..NodeProto::default()
    };
    let value = |name: &str| ValueInfoProto { name: Some(name.into()), ..ValueInfoProto::default() };
    let graph = GraphProto {
        name: Some("graph".into()),
        node: nodes.iter().map(node).collect(),
        initializer: constants.iter().map(|(name, v)| v.to_proto(name)).collect(),
        input: vec![value("x")],
        output: vec![value(output)],
        ..GraphProto::default()
    };
    let opset_import = vec![OperatorSetIdProto { version: Some(17), ..OperatorSetIdProto::default() }];
    let model = ModelProto { ir_version: Some(8), graph: Some(graph), opset_import, ..ModelProto::default() };
    Model::read(model.encode_to_vec().into(), None).expect("a model")
}

/// Where values are rounded coarsely, a convolution whose small bias is still to be added is near to what it should be with it.
#[test]
fn a_bias_that_is_added_apart_belongs_to_its_layer_where_rounding_is_coarse() {
    use fixcon::model::onnx::tensor_proto::DataType;
    let weight = Value::from_f32(&[8, 3, 1, 1], (0..24).map(|i| (i as f32 * 1.7).sin()).collect());
    let bias: Vec<f32> = (0..8).map(|i| 0.05 + 0.01 * i as f32).collect();
    let (flat, spread) = (Value::from_f32(&[8], bias.clone()), Value::from_f32(&[1, 8, 1, 1], bias));
    let scale = Value::from_f32(&[], vec![0.09]);
    let zero = Value::from_f32(&[], vec![128.0]).cast(DataType::Uint8).expect("a byte");
    let source = graph(&[("Conv", &["x", "w", "b"], "y"), ("Relu", &["y"], "z")], &[("w", &weight), ("b", &flat)], "z");
    let target = graph(
        &[
            ("QuantizeLinear", &["x", "s", "n"], "q"),
            ("DequantizeLinear", &["q", "s", "n"], "d"),
            ("Conv", &["d", "w"], "c"),
            ("Add", &["c", "b"], "y"),
            ("Relu", &["y"], "z"),
        ],
        &[("s", &scale), ("n", &zero), ("w", &weight), ("b", &spread)],
        "z",
    );
    let (source, target) = (Network::new(&source).expect("weights"), Network::new(&target).expect("weights"));
    let x = picture(false);
    let reference = Reference::new(&source, &[vec![x.clone()]]).expect("the source runs");
    let hints = Hints::default();
    let feeds = [Feed { values: vec![x.clone()], partner: Some((source.inputs()[0], Layout::flat(x.shape()))) }];
    let aligned = align(&target, &reference, &feeds, Precision::Quantized.tau(), &hints).expect("it runs");
    let name = |v| target.model().index().name(v);
    let pairs: Vec<(&str, f32)> = aligned.pairs.iter().map(|p| (name(p.target), p.error)).collect();
    assert!(!pairs.iter().any(|(n, _)| *n == "c"), "without its bias it is not the layer's output: {pairs:?}");
    let y = pairs.iter().find(|(n, _)| *n == "y").expect("with it it is").1;
    assert!(y < 0.05, "what is lost is lost by rounding, not by the bias: {pairs:?}");
}
