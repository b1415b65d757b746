//! The checker, shape inference and inlining, on models made here: what is wrong is named by node and field.

use fixcon::model::onnx::tensor_proto::DataType;
use fixcon::model::onnx::*;
use fixcon::model::{Budget, Finding, Model, Severity, check, infer};
use prost::Message;

fn node(op: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: Some(op.into()),
        name: Some(format!("n_{}", outputs.first().unwrap_or(&""))),
        input: inputs.iter().map(|s| (*s).to_string()).collect(),
        output: outputs.iter().map(|s| (*s).to_string()).collect(),
        attribute,
        ..NodeProto::default()
    }
}

fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = dims.iter().map(|d| tensor_shape_proto::Dimension {
        value: if *d >= 0 { Some(tensor_shape_proto::dimension::Value::DimValue(*d)) } else { None },
        ..Default::default()
    });
    let tensor = type_proto::Tensor { elem_type: Some(1), shape: Some(TensorShapeProto { dim: dim.collect() }) };
    let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: Some(name.into()), r#type: Some(r#type), ..ValueInfoProto::default() }
}

fn floats(name: &str, dims: &[i64]) -> TensorProto {
    let count: i64 = dims.iter().product();
    TensorProto {
        name: Some(name.into()),
        dims: dims.to_vec(),
        data_type: Some(1),
        raw_data: Some(vec![0; 4 * count as usize].into()),
        ..TensorProto::default()
    }
}

fn ints(name: &str, data: &[i64]) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        dims: vec![data.len() as i64],
        data_type: Some(DataType::Int64 as i32),
        int64_data: data.to_vec(),
        ..TensorProto::default()
    }
}

fn graph(nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> GraphProto {
    GraphProto {
        name: Some("g".into()),
        node: nodes,
        initializer,
        input: vec![value("x", &[-1, 3, 8, 8])],
        output: vec![value("y", &[])],
        ..GraphProto::default()
    }
}

fn file(graph: GraphProto) -> ModelProto {
    ModelProto {
        ir_version: Some(8),
        opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(17) }],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

fn read(file: &ModelProto) -> Model {
    Model::read(file.encode_to_vec().into(), None).unwrap()
}

fn one(op: &str, inputs: &[&str], attribute: Vec<AttributeProto>, initializers: Vec<TensorProto>) -> Model {
    read(&file(graph(vec![node(op, inputs, &["y"], attribute)], initializers)))
}

fn errors(model: &Model) -> Vec<String> {
    let is_error = |f: &&Finding| f.severity == Severity::Error;
    check(model).iter().filter(is_error).map(ToString::to_string).collect()
}

/// The one error there is.
fn error(model: &Model) -> String {
    let all = errors(model);
    assert_eq!(all.len(), 1, "{all:?}");
    all[0].clone()
}

#[test]
fn a_sound_model_gives_no_finding() {
    let weights = vec![floats("w", &[4, 3, 3, 3]), floats("b", &[4])];
    let model = one("Conv", &["x", "w", "b"], vec![AttributeProto::of_ints("pads", &[1, 1, 1, 1])], weights);
    assert_eq!(check(&model), []);
}

#[test]
fn what_takes_a_runtime_down_is_refused_by_node_and_field() {
    let i = AttributeProto::of_ints;
    let w = || vec![floats("w", &[4, 3, 3, 3])];
    let conv = |a| one("Conv", &["x", "w"], vec![a], w());
    let pool = |a: Vec<_>| one("MaxPool", &["x"], a, vec![]);
    let with = |op: &str, inputs: &[&str], tensors: Vec<TensorProto>| one(op, inputs, vec![], tensors);
    let big = 1i64 << 40;
    let cases: Vec<(Model, &str)> = vec![
        (conv(i("strides", &[0, 1])), "strides: 0 is not within"),
        (conv(i("dilations", &[1, 0])), "dilations: 0 is not within"),
        (conv(i("pads", &[1 << 31, 0, 0, 0])), "pads: 2147483648 is not within"),
        (conv(i("pads", &[-1, 0, 0, 0])), "pads: -1 is not within"),
        (conv(AttributeProto::of_int("group", 0)), "group: 0 is not within"),
        (conv(AttributeProto::of_int("group", 7)), "21 channels"),
        (conv(i("kernel_shape", &[5, 5])), "kernel_shape: [5, 5], the weights have [3, 3]"),
        (pool(vec![i("kernel_shape", &[0, 2])]), "kernel_shape: 0 is not within"),
        (pool(vec![i("kernel_shape", &[1_000_000, 1])]), "kernel_shape: 1000000 is not within"),
        (pool(vec![i("kernel_shape", &[20, 20])]), "does not fit"),
        (pool(vec![]), "needs the attribute"),
        (one("Transpose", &["x"], vec![i("perm", &[0, 1, 2, 9])], vec![]), "perm: [0, 1, 2, 9] is no permutation"),
        (one("Transpose", &["x"], vec![i("perm", &[0, 1])], vec![]), "perm: [0, 1] for data"),
        (one("Softmax", &["x"], vec![AttributeProto::of_int("axis", 9)], vec![]), "axis 9 of a tensor with 4"),
        (one("Concat", &["x", "x"], vec![AttributeProto::of_int("axis", 99)], vec![]), "axis: 99 is not within"),
        (with("Expand", &["x", "s"], vec![ints("s", &[big, 3, 8, 8])]), "is larger than"),
        (with("Tile", &["x", "s"], vec![ints("s", &[1, 1, big, 1])]), "is larger than"),
        (with("Pad", &["x", "s"], vec![ints("s", &[0, 0, big, 0, 0, 0, 0, 0])]), "is larger than"),
        (with("ConstantOfShape", &["s"], vec![ints("s", &[big])]), "is larger than"),
        (with("Reshape", &["x", "s"], vec![ints("s", &[7, -1])]), "cannot be reshaped"),
        (
            with("Slice", &["x", "s", "e", "a", "z"], vec![ints("s", &[0]), ints("e", &[2]), ints("a", &[1]), ints("z", &[0])]),
            "steps: a step of 0",
        ),
        (one("Gather", &["x", "s"], vec![AttributeProto::of_int("axis", 1)], vec![ints("s", &[3])]), "index 3 of axis 1, which has 3"),
        (one("Cast", &["x"], vec![AttributeProto::of_int("to", 99)], vec![]), "to: 99 is no element type"),
    ];
    for (model, says) in cases {
        let error = error(&model);
        assert!(error.contains(says) && error.contains("node 'n_y'"), "'{says}' is not in: {error}");
    }
    // By scalars: a range without end, and one of 2^40.
    let scalar = |name: &str, v: i64| TensorProto { dims: vec![], ..ints(name, &[v]) };
    for (delta, says) in [(0, "delta"), (1, "is larger than")] {
        let model = with("Range", &["a", "b", "c"], vec![scalar("a", 0), scalar("b", big), scalar("c", delta)]);
        assert!(error(&model).contains(says));
    }
    let scales = TensorProto {
        name: Some("r".into()),
        dims: vec![4],
        data_type: Some(1),
        float_data: vec![1.0, 1.0, 1e5, 1e5],
        ..TensorProto::default()
    };
    let model = one("Resize", &["x", "", "r"], vec![], vec![scales]);
    assert!(error(&model).contains("is larger than"));
}

#[test]
fn sizes_are_reckoned_in_the_precision_that_their_type_has() {
    // 10 * 0.7 is 7 in single precision, and a little less in double.
    let scales = TensorProto {
        name: Some("r".into()),
        dims: vec![4],
        data_type: Some(1),
        float_data: vec![1.0, 1.0, 0.7, 0.7],
        ..TensorProto::default()
    };
    let model = one("Resize", &["x", "", "r"], vec![], vec![scales]);
    let shapes = infer(&model, &[(DataType::Float, vec![1, 3, 10, 10])], Budget::default());
    let y = model.index().value("y").expect("it is made");
    assert_eq!(shapes.get(y), Some((DataType::Float, &[1, 3, 7, 7][..])));
}

#[test]
fn names_are_defined_once_and_by_something_that_can_run() {
    let sound = || graph(vec![node("Relu", &["x"], &["a"], vec![]), node("Relu", &["a"], &["y"], vec![])], vec![]);
    let changed = |change: fn(&mut GraphProto)| {
        let mut g = sound();
        change(&mut g);
        errors(&read(&file(g)))
    };
    assert!(changed(|_| {}).is_empty());
    assert!(changed(|g| g.output[0].name = Some("z".into())).contains(&"output 'z', name: no node makes it".to_string()));
    assert!(changed(|g| g.node[1].input[0] = "absent".into())[0].contains("node 'n_y', input: nothing makes 'absent'"));
    assert!(changed(|g| g.node[0].output[0] = "y".into()).iter().any(|e| e.contains("'y' is made by node")));
    assert!(
        changed(|g| g.node[0].input[0] = "y".into())
            .iter()
            .any(|e| e.contains("waits for itself or for a cycle: 'n_a' reads 'n_y' reads 'n_a'"))
    );
    assert!(changed(|g| g.initializer.push(floats("a", &[1]))).iter().any(|e| e.contains("'a' is made by an initializer too")));
    assert!(changed(|g| g.output.clear())[0].contains("declares no output"));
    // Out of order is unusual, and runs.
    let mut g = sound();
    g.node.reverse();
    let found = check(&read(&file(g)));
    assert_eq!(found.len(), 1);
    assert!(found[0].severity == Severity::Warning && found[0].to_string().contains("further down"), "{}", found[0]);
}

#[test]
fn operators_are_known_by_version_with_their_inputs_and_attributes() {
    assert!(error(&one("FusedRelu", &["x"], vec![], vec![])).contains("no operator FusedRelu"));
    assert!(error(&one("Gelu", &["x"], vec![], vec![])).contains("exists since version 20"));
    assert!(error(&one("Upsample", &["x", "x"], vec![], vec![])).contains("withdrawn"));
    assert!(error(&one("Add", &["x"], vec![], vec![])).contains("Add has 2 inputs in version 17, here are 1"));
    assert!(
        error(&one("Softmax", &["x"], vec![AttributeProto::of_float("axis", 1.0)], vec![])).contains("axis: is float, Softmax wants int")
    );
    let warning = check(&one("Relu", &["x"], vec![AttributeProto::of_int("alpha", 1)], vec![]));
    assert!(warning.len() == 1 && warning[0].to_string().contains("no such attribute"), "{warning:?}");

    let mut other = file(graph(vec![node("Magic", &["x"], &["y"], vec![])], vec![]));
    other.graph.as_mut().unwrap().node[0].domain = Some("my.domain".into());
    assert!(error(&read(&other)).contains("is not imported"));
    other.opset_import.push(OperatorSetIdProto { domain: Some("my.domain".into()), version: Some(1) });
    let found = check(&read(&other));
    assert!(found.len() == 1 && found[0].severity == Severity::Warning && found[0].to_string().contains("cannot be run"), "{found:?}");
    other.opset_import.clear();
    assert!(errors(&read(&other)).iter().any(|e| e.contains("no operator set is imported")));
}

#[test]
fn element_types_that_do_not_go_together_are_named_with_both_inputs() {
    let model = one("Mul", &["x", "s"], vec![], vec![ints("s", &[2])]);
    let error = error(&model);
    assert!(error.contains("input 1 ('s'): is int64, input 0 ('x') is float"), "{error}");
    assert!(
        errors(&one("Conv", &["x", "w"], vec![], vec![TensorProto { dims: vec![4, 3, 1, 1], ..ints("w", &[0; 12]) }]))[0].contains("int64")
    );
}

#[test]
fn tensors_have_as_much_data_as_they_say() {
    let with = |tensor| errors(&one("Add", &["x", "w"], vec![], vec![tensor]));
    let plain = || floats("w", &[8]);
    assert!(with(plain()).is_empty());
    assert!(with(TensorProto { dims: vec![4], ..plain() })[0].contains("has 32 bytes, dims [4] of float need 16"));
    assert!(with(TensorProto { dims: vec![1 << 40, 1 << 40], ..plain() })[0].contains("overflow"));
    assert!(with(TensorProto { dims: vec![-8], ..plain() })[0].contains("negative"));
    assert!(with(TensorProto { data_type: Some(77), ..plain() })[0].contains("77 is no element type"));
    assert!(with(TensorProto { raw_data: None, ..plain() })[0].contains("need 8 elements, there are 0"));
    assert!(
        with(TensorProto { data_type: Some(DataType::String as i32), ..plain() }).iter().any(|e| e.contains("strings cannot be raw data"))
    );
    let outside = TensorProto {
        raw_data: None,
        data_location: Some(tensor_proto::DataLocation::External as i32),
        external_data: vec![StringStringEntryProto { key: Some("location".into()), value: Some("../w".into()) }],
        ..plain()
    };
    assert!(with(outside)[0].contains("initializer 'w', external_data"));
    // Four bits an element, and types that are kept and not run.
    let packed = TensorProto { data_type: Some(DataType::Int4 as i32), dims: vec![7], raw_data: Some(vec![0; 4].into()), ..plain() };
    let found = check(&one("Identity", &["w"], vec![], vec![packed]));
    assert!(
        found.iter().any(|f| f.severity == Severity::Warning && f.to_string().contains("int4 is kept as it is, but cannot be run")),
        "{found:?}"
    );
    assert!(found.iter().all(|f| !f.to_string().contains("bytes")), "{found:?}");
}

#[test]
fn shapes_follow_small_integers_through_the_graph() {
    // y = x reshaped to [batch, -1] as exporters write it; then joined, sliced, reduced.
    let nodes = vec![
        node("Shape", &["x"], &["s"], vec![]),
        node("Gather", &["s", "zero"], &["n"], vec![]),
        node("Concat", &["n", "rest"], &["to"], vec![AttributeProto::of_int("axis", 0)]),
        node("Reshape", &["x", "to"], &["flat"], vec![]),
        node("Concat", &["flat", "flat"], &["two"], vec![AttributeProto::of_int("axis", 1)]),
        node("ReduceMean", &["two"], &["y"], vec![AttributeProto::of_ints("axes", &[-1]), AttributeProto::of_int("keepdims", 0)]),
    ];
    let model = read(&file(graph(nodes, vec![ints("zero", &[0]), ints("rest", &[-1])])));
    let shapes = infer(&model, &[(DataType::Float, vec![5, 3, 8, 8])], Budget::default());
    let of = |name: &str| shapes.get(model.index().value(name).unwrap()).map(|(d, s)| (d, s.to_vec()));
    assert!(shapes.findings.is_empty(), "{:?}", shapes.findings);
    assert_eq!(shapes.ints(model.index().value("to").unwrap()), Some(&[5, -1][..]));
    assert_eq!(of("flat"), Some((DataType::Float, vec![5, 192])));
    assert_eq!(of("two"), Some((DataType::Float, vec![5, 384])));
    assert_eq!(of("y"), Some((DataType::Float, vec![5])));
}

#[test]
fn only_the_first_contradiction_on_a_path_is_reported() {
    let nodes = vec![
        node("MatMul", &["x", "w"], &["a"], vec![]),
        node("Relu", &["a"], &["b"], vec![]),
        node("MatMul", &["b", "w"], &["y"], vec![]),
    ];
    let model = read(&file(graph(nodes, vec![floats("w", &[7, 2])])));
    let shapes = infer(&model, &[(DataType::Float, vec![1, 3, 8, 8])], Budget::default());
    assert_eq!(shapes.findings.len(), 1);
    assert!(shapes.findings[0].to_string().contains("node 'n_a'"), "{}", shapes.findings[0]);
    assert_eq!(shapes.get(model.index().value("y").unwrap()), None);
}

#[test]
fn a_small_budget_names_the_node_that_exceeds_it() {
    let model = one("Relu", &["x"], vec![], vec![]);
    let shapes = infer(&model, &[(DataType::Float, vec![1, 3, 8, 8])], Budget { value: 767, ..Budget::default() });
    assert!(shapes.findings[0].to_string().contains("n_y"));
    let shapes = infer(&model, &[(DataType::Float, vec![1, 3, 8, 8])], Budget { value: 768, ..Budget::default() });
    assert!(shapes.findings.is_empty());
}

fn reference(name: &str, to: &str, kind: attribute_proto::AttributeType) -> AttributeProto {
    AttributeProto { name: Some(name.into()), ref_attr_name: Some(to.into()), r#type: Some(kind as i32), ..AttributeProto::default() }
}

#[test]
fn functions_are_put_in_place_of_their_calls_attributes_and_nesting_included() {
    let mine = |n: NodeProto| NodeProto { domain: Some("mine".into()), ..n };
    let sets = vec![
        OperatorSetIdProto { domain: Some(String::new()), version: Some(17) },
        OperatorSetIdProto { domain: Some("mine".into()), version: Some(1) },
    ];
    let inner = FunctionProto {
        name: Some("Inner".into()),
        domain: Some("mine".into()),
        input: vec!["p".into()],
        output: vec!["q".into()],
        attribute: vec!["slope".into()],
        node: vec![
            node("LeakyRelu", &["p"], &["t"], vec![reference("alpha", "slope", attribute_proto::AttributeType::Float)]),
            node("Neg", &["t"], &["q"], vec![]),
        ],
        opset_import: sets.clone(),
        ..FunctionProto::default()
    };
    let outer = FunctionProto {
        name: Some("Outer".into()),
        domain: Some("mine".into()),
        input: vec!["p".into()],
        output: vec!["q".into()],
        attribute_proto: vec![AttributeProto::of_float("s", 0.5)],
        node: vec![
            mine(node("Inner", &["p"], &["t"], vec![reference("slope", "s", attribute_proto::AttributeType::Float)])),
            node("Abs", &["t"], &["q"], vec![]),
        ],
        opset_import: sets.clone(),
        ..FunctionProto::default()
    };
    let calls =
        vec![mine(node("Outer", &["x"], &["t"], vec![])), mine(node("Outer", &["t"], &["y"], vec![AttributeProto::of_float("s", 0.25)]))];
    let mut model = file(graph(calls, vec![]));
    model.opset_import = sets;
    model.functions = vec![inner, outer];
    let model = read(&model);
    assert_eq!(errors(&model), Vec::<String>::new());
    let flat = model.inlined().unwrap();
    let ops: Vec<_> = flat.nodes().map(|(_, n)| n.op_type()).collect();
    assert_eq!(ops, ["LeakyRelu", "Neg", "Abs", "LeakyRelu", "Neg", "Abs"]);
    let slopes: Vec<_> = flat.nodes().filter_map(|(_, n)| n.attribute.first().map(|a| (a.name().to_string(), a.f()))).collect();
    assert_eq!(slopes, [("alpha".to_string(), 0.5), ("alpha".to_string(), 0.25)]);
    assert_eq!(errors(&flat), Vec::<String>::new(), "every name is made once");
    assert!(flat.node_by_output("t").is_some(), "values of the main graph keep their names");
    assert!(!flat.index().order().is_empty());
    assert_eq!(model.to_bytes(), read_again(&model), "the model itself stays as it is");
}

fn read_again(model: &Model) -> Vec<u8> {
    Model::read(model.to_bytes().into(), None).unwrap().to_bytes()
}

#[test]
fn functions_that_grow_without_end_are_refused() {
    let sets = vec![
        OperatorSetIdProto { domain: Some("mine".into()), version: Some(1) },
        OperatorSetIdProto { domain: Some(String::new()), version: Some(17) },
    ];
    let call = |name: &str, from: &str, to: &str| NodeProto { domain: Some("mine".into()), ..node(name, &[from], &[to], vec![]) };
    let function = |i: usize, next: String| FunctionProto {
        name: Some(format!("F{i}")),
        domain: Some("mine".into()),
        input: vec!["p".into()],
        output: vec!["q".into()],
        node: vec![call(&next, "p", "r"), call(&next, "r", "q")],
        opset_import: sets.clone(),
        ..FunctionProto::default()
    };
    let mut model = file(graph(vec![call("F0", "x", "y")], vec![]));
    model.opset_import = sets.clone();
    model.functions = (0..40).map(|i| function(i, format!("F{}", i + 1))).collect();
    let why = read(&model).inlined().unwrap_err().to_string();
    // A node without a name is called after its output, which may carry the name of the call already: not twice.
    assert!(why.contains("nodes") && why.len() < 500, "{why}");
    // A large constant in a function that is called a thousand times.
    let (first, last) = (function(0, "F1".into()), function(10, "F11".into()));
    let constant = TensorProto { data_type: Some(1), dims: vec![250_000], float_data: vec![0.5; 250_000], ..TensorProto::default() };
    let large = FunctionProto {
        node: vec![
            node("Constant", &[], &["c"], vec![AttributeProto::of_tensor("value", constant)]),
            node("Add", &["p", "c"], &["q"], vec![]),
        ],
        ..last
    };
    model.functions = (1..10).map(|i| function(i, format!("F{}", i + 1))).chain([first, large]).collect();
    assert!(read(&model).inlined().unwrap_err().to_string().contains("bytes"));
    model.functions = vec![function(0, "F0".into())];
    let model = read(&model);
    assert!(model.inlined().is_err());
    assert!(errors(&model).iter().any(|e| e.contains("function 'F0'") && e.contains("calls itself")));
}

#[test]
fn a_branch_whose_condition_is_known_takes_the_place_of_its_if() {
    let branch = |op: &str| GraphProto {
        name: Some("b".into()),
        node: vec![node(op, &["a", "c"], &["r"], vec![])],
        initializer: vec![floats("c", &[8])],
        output: vec![value("r", &[])],
        ..GraphProto::default()
    };
    let of_graph = |name: &str, g| AttributeProto {
        name: Some(name.into()),
        r#type: Some(attribute_proto::AttributeType::Graph as i32),
        g: Some(g),
        ..AttributeProto::default()
    };
    let model = |condition: i32| {
        let condition = TensorProto {
            name: Some("cond".into()),
            data_type: Some(DataType::Bool as i32),
            int32_data: vec![condition],
            ..TensorProto::default()
        };
        let choice = node("If", &["cond"], &["y"], vec![of_graph("then_branch", branch("Add")), of_graph("else_branch", branch("Mul"))]);
        read(&file(graph(vec![node("Relu", &["x"], &["a"], vec![]), choice], vec![condition])))
    };
    for (condition, op) in [(1, "Add"), (0, "Mul")] {
        let model = model(condition);
        assert_eq!(errors(&model), Vec::<String>::new());
        let flat = model.inlined().unwrap();
        let ops: Vec<_> = flat.nodes().map(|(_, n)| n.op_type()).collect();
        assert_eq!(ops, ["Relu", op]);
        assert_eq!(errors(&flat), Vec::<String>::new());
        assert_eq!(flat.node(flat.node_by_output("y").unwrap()).input[0], "a");
    }
}

#[test]
fn sparse_initializers_become_dense_and_stay_sparse_in_the_file() {
    let mut g = graph(vec![node("Add", &["x", "w"], &["y"], vec![])], vec![]);
    let values = TensorProto { name: Some("w".into()), dims: vec![1], data_type: Some(1), float_data: vec![3.0], ..TensorProto::default() };
    g.sparse_initializer.push(SparseTensorProto { values: Some(values), indices: Some(ints("", &[2])), dims: vec![8] });
    let model = read(&file(g));
    assert_eq!(errors(&model), Vec::<String>::new());
    let flat = model.inlined().unwrap();
    let dense = flat.initializer("w").unwrap();
    assert_eq!(dense.dims, [8]);
    assert_eq!(dense.raw_data().len(), 32);
    assert_eq!(dense.raw_data()[8..12], 3.0f32.to_le_bytes());
    assert!(model.initializer("w").is_none() && model.sparse_initializer("w").is_some());
    assert_eq!(model.to_bytes(), read_again(&model));
}
