//! Thousands of damaged and malicious model files: never a panic, never memory out of proportion to the file.

use fixcon::model::onnx::tensor_proto::DataType;
use fixcon::model::onnx::*;
use fixcon::model::{Budget, Model, check, infer};
use prost::Message;
use rand::prelude::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts what the current thread holds, and the most it ever held.
struct Counting;

thread_local! {
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(change: isize) {
    let _ = HELD.try_with(|held| {
        let now = held.get().0 + change;
        held.set((now, held.get().1.max(now)));
    });
}

// SAFETY: every call goes to the system's allocator unchanged.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Everything that is done to a file before it is run. Gives the most memory that was held, in bytes.
fn take_in(bytes: Vec<u8>) -> isize {
    HELD.with(|held| held.set((0, 0)));
    if let Ok(model) = Model::read(bytes.into(), None) {
        for finding in check(&model) {
            assert!(!finding.why.is_empty());
            finding.to_string();
        }
        let inputs: Vec<_> = model
            .inputs()
            .map(|v| {
                let (dtype, dims) = v.tensor_type().unwrap_or((DataType::Float, vec![None; 4]));
                (dtype, dims.iter().map(|d| d.unwrap_or(1)).collect())
            })
            .collect();
        infer(&model, &inputs, Budget::default());
        model.to_bytes();
        let most = HELD.with(|held| held.replace((0, 0)).1);
        if let Ok(flat) = model.inlined() {
            check(&flat);
        }
        // Sparse tensors and functions stand for more than they are: to a limit.
        let held = HELD.with(|held| held.get().1);
        assert!(held < most + (80 << 20), "inlining held {held} bytes");
        return most;
    }
    HELD.with(|held| held.get().1)
}

/// What a file of this size may take: decoded, an attribute is a hundred times what it is in the file; texts of findings come to it.
fn allowed(size: usize) -> isize {
    (8 << 20) + 300 * size as isize
}

fn node(op: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: Some(op.into()),
        input: inputs.iter().map(|s| (*s).to_string()).collect(),
        output: outputs.iter().map(|s| (*s).to_string()).collect(),
        attribute,
        ..NodeProto::default()
    }
}

fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = dims
        .iter()
        .map(|d| tensor_shape_proto::Dimension { value: Some(tensor_shape_proto::dimension::Value::DimValue(*d)), ..Default::default() });
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
        raw_data: Some(vec![60; 4 * count as usize].into()),
        ..TensorProto::default()
    }
}

fn ints(name: &str, data: &[i64]) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        dims: vec![data.len() as i64],
        data_type: Some(7),
        int64_data: data.to_vec(),
        ..TensorProto::default()
    }
}

/// A small network with one of everything: windows, shapes, a branch, a function, sparse weights.
fn network() -> ModelProto {
    let i = AttributeProto::of_ints;
    let branch = |op: &str| GraphProto {
        node: vec![node(op, &["flat"], &["r"], vec![])],
        output: vec![value("r", &[1, 64])],
        ..GraphProto::default()
    };
    let of_graph = |name: &str, g| AttributeProto {
        name: Some(name.into()),
        r#type: Some(attribute_proto::AttributeType::Graph as i32),
        g: Some(g),
        ..AttributeProto::default()
    };
    let sets = vec![
        OperatorSetIdProto { domain: Some(String::new()), version: Some(17) },
        OperatorSetIdProto { domain: Some("mine".into()), version: Some(1) },
    ];
    let nodes = vec![
        node("Conv", &["x", "w", "b"], &["c"], vec![i("pads", &[1, 1, 1, 1]), i("strides", &[2, 2]), AttributeProto::of_int("group", 1)]),
        node("Relu", &["c"], &["d"], vec![]),
        node("MaxPool", &["d"], &["e"], vec![i("kernel_shape", &[2, 2]), i("strides", &[2, 2])]),
        node("Transpose", &["e"], &["f"], vec![i("perm", &[0, 2, 3, 1])]),
        node("Pad", &["f", "pads"], &["p"], vec![AttributeProto::of_string("mode", "constant")]),
        node("Shape", &["p"], &["s"], vec![]),
        node("Slice", &["s", "zero", "one"], &["n"], vec![]),
        node("Concat", &["n", "minus"], &["to"], vec![AttributeProto::of_int("axis", 0)]),
        node("Reshape", &["p", "to"], &["flat"], vec![]),
        node("If", &["yes"], &["g"], vec![of_graph("then_branch", branch("Abs")), of_graph("else_branch", branch("Neg"))]),
        NodeProto { domain: Some("mine".into()), ..node("F", &["g"], &["h"], vec![AttributeProto::of_float("alpha", 0.1)]) },
        node("Gemm", &["h", "fw", "fb"], &["k"], vec![AttributeProto::of_int("transB", 1)]),
        node("Add", &["k", "sp"], &["l"], vec![]),
        node("Softmax", &["l"], &["y"], vec![AttributeProto::of_int("axis", 1)]),
    ];
    let yes = TensorProto { name: Some("yes".into()), data_type: Some(9), int32_data: vec![1], ..TensorProto::default() };
    let sparse = SparseTensorProto { values: Some(floats("sp", &[1])), indices: Some(ints("", &[2])), dims: vec![10] };
    let function = FunctionProto {
        name: Some("F".into()),
        domain: Some("mine".into()),
        input: vec!["p".into()],
        output: vec!["q".into()],
        node: vec![node("LeakyRelu", &["p"], &["q"], vec![])],
        opset_import: sets.clone(),
        ..FunctionProto::default()
    };
    ModelProto {
        ir_version: Some(8),
        producer_name: Some("test".into()),
        opset_import: sets,
        functions: vec![function],
        graph: Some(GraphProto {
            name: Some("g".into()),
            node: nodes,
            initializer: vec![
                floats("w", &[4, 3, 3, 3]),
                floats("b", &[4]),
                floats("fw", &[10, 64]),
                floats("fb", &[10]),
                ints("pads", &[0, 0, 0, 0, 0, 2, 2, 0]),
                ints("zero", &[0]),
                ints("one", &[1]),
                ints("minus", &[-1]),
                yes,
            ],
            sparse_initializer: vec![sparse],
            input: vec![value("x", &[1, 3, 8, 8])],
            output: vec![value("y", &[1, 10])],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    }
}

#[test]
fn the_network_that_is_damaged_below_is_sound() {
    let model = Model::read(network().encode_to_vec().into(), None).unwrap();
    assert_eq!(check(&model), []);
    assert_eq!(check(&model.inlined().unwrap()), []);
}

#[test]
fn damaged_bytes() {
    let file = network().encode_to_vec();
    let mut rng = SmallRng::seed_from_u64(1);
    let most = allowed(file.len() * 2);
    for round in 0..4000 {
        let mut bytes = file.clone();
        match round % 5 {
            0 => bytes.truncate(rng.random_range(0..file.len())),
            1 => (0..rng.random_range(1..9)).for_each(|_| bytes[rng.random_range(0..file.len())] ^= 1 << rng.random_range(0..8)),
            2 => (0..rng.random_range(1..5))
                .for_each(|_| bytes[rng.random_range(0..file.len())] = *[0, 1, 0x7f, 0x80, 0xff].choose(&mut rng).unwrap()),
            3 => {
                let (from, to) = (rng.random_range(0..file.len()), rng.random_range(0..file.len()));
                let piece = file[from..(from + rng.random_range(1..200)).min(file.len())].to_vec();
                bytes.splice(to..to, piece);
            }
            _ => {
                let from = rng.random_range(0..file.len());
                bytes.drain(from..(from + rng.random_range(1..60)).min(file.len()));
            }
        }
        let held = take_in(bytes);
        assert!(held < most, "round {round} held {held} bytes for a file of {}", file.len());
    }
}

const NUMBERS: &[i64] = &[0, -1, 1, 2, 7, 65_536, 1 << 31, -(1 << 31), 1 << 40, i64::MAX, i64::MIN, 1_000_003];

/// Changes one thing that is well-formed as protobuf.
fn damage(model: &mut ModelProto, rng: &mut SmallRng) {
    let number = |rng: &mut SmallRng| *NUMBERS.choose(rng).unwrap();
    if rng.random_bool(0.05) {
        model.opset_import[0].version = Some(number(rng));
        return;
    }
    let functions = &mut model.functions;
    if rng.random_bool(0.05) {
        functions[0].node.push(NodeProto { domain: Some("mine".into()), ..node("F", &["q"], &["r"], vec![]) });
        return;
    }
    let graph = model.graph.as_mut().unwrap();
    let names: Vec<String> =
        graph.node.iter().flat_map(|n| n.input.iter().chain(&n.output)).cloned().chain(["absent".into(), String::new()]).collect();
    let at = rng.random_range(0..graph.node.len());
    match rng.random_range(0..12) {
        0 => {
            // Cycles, dangling names, names made twice.
            let slots: Vec<&mut String> = {
                let n = &mut graph.node[at];
                n.input.iter_mut().chain(&mut n.output).collect()
            };
            if let Some(slot) = slots.into_iter().choose(rng) {
                slot.clone_from(names.choose(rng).unwrap());
            }
        }
        1 => {
            let ops = [
                "Conv",
                "Tile",
                "Expand",
                "Range",
                "Resize",
                "Gather",
                "Split",
                "Einsum",
                "ConstantOfShape",
                "ConvTranspose",
                "TopK",
                "OneHot",
                "DepthToSpace",
                "Unsqueeze",
                "QuantizeLinear",
                "Loop",
                "",
            ];
            graph.node[at].op_type = Some((*ops.choose(rng).unwrap()).into());
        }
        2 | 3 => {
            if let Some(a) = graph.node[at].attribute.iter_mut().choose(rng) {
                if let Some(i) = a.i.as_mut() {
                    *i = number(rng);
                }
                if let Some(i) = a.ints.iter_mut().choose(rng) {
                    *i = number(rng);
                }
            }
        }
        4 => {
            let name =
                ["axis", "axes", "perm", "to", "blocksize", "equation", "kernel_shape", "split", "num_outputs", "keepdims", "allowzero"]
                    .choose(rng)
                    .unwrap();
            let list: Vec<i64> = (0..rng.random_range(0..6)).map(|_| number(rng)).collect();
            let a = if rng.random_bool(0.5) { AttributeProto::of_ints(name, &list) } else { AttributeProto::of_int(name, number(rng)) };
            graph.node[at].attribute.push(a);
        }
        5 | 6 => {
            // Absurd dims.
            let t = graph.initializer.iter_mut().choose(rng).unwrap();
            match t.dims.iter_mut().choose(rng) {
                Some(d) => *d = number(rng),
                None => t.dims.push(number(rng)),
            }
        }
        7 => {
            let t = graph.initializer.iter_mut().choose(rng).unwrap();
            if let Some(v) = t.int64_data.iter_mut().choose(rng) {
                *v = number(rng);
            } else {
                t.data_type = Some(rng.random_range(-1..30));
            }
        }
        8 => {
            let s = &mut graph.sparse_initializer[0];
            s.dims = vec![number(rng), number(rng)];
        }
        9 => graph.input[0] = value("x", &[1, number(rng), number(rng), 8]),
        10 => {
            let copy = graph.node[at].clone();
            graph.node.insert(rng.random_range(0..=at), copy);
        }
        _ => {
            let name = graph.initializer.choose(rng).unwrap().name.clone();
            if let Some(input) = graph.node[at].input.iter_mut().choose(rng) {
                *input = name.unwrap();
            }
        }
    }
}

#[test]
fn well_formed_nonsense() {
    let mut rng = SmallRng::seed_from_u64(2);
    let most = allowed(network().encoded_len() * 2);
    for round in 0..6000 {
        let mut model = network();
        for _ in 0..rng.random_range(1..6) {
            damage(&mut model, &mut rng);
        }
        let held = take_in(model.encode_to_vec());
        assert!(held < most, "round {round} held {held} bytes");
    }
}

#[test]
fn bombs() {
    // Nested as deep as the decoder goes, and deeper.
    for depth in [50, 5000] {
        let mut graph = GraphProto::default().encode_to_vec();
        for _ in 0..depth {
            let mut attribute = Vec::new();
            prost::encoding::bytes::encode(6, &graph, &mut attribute);
            let mut node = Vec::new();
            prost::encoding::bytes::encode(5, &attribute, &mut node);
            graph.clear();
            prost::encoding::bytes::encode(1, &node, &mut graph);
        }
        let mut file = Vec::new();
        prost::encoding::bytes::encode(7, &graph, &mut file);
        let most = allowed(file.len());
        assert!(take_in(file) < most);
    }
    // Two bytes a message: empty attributes, nodes, initializers.
    for (outer, inner) in [(1u32, 5u32), (0, 1), (0, 5)] {
        let mut many = Vec::new();
        (0..1_500_000).for_each(|_| prost::encoding::bytes::encode(inner, &Vec::<u8>::new(), &mut many));
        let mut graph = many.clone();
        if outer != 0 {
            graph.clear();
            prost::encoding::bytes::encode(outer, &many, &mut graph);
        }
        let mut file = Vec::new();
        prost::encoding::bytes::encode(7, &graph, &mut file);
        let size = file.len() as isize;
        let held = take_in(file);
        assert!(held < (300 << 20) + 200 * size, "{held} bytes for {size}");
    }
    // A long chain, and a wide node.
    let name = |i: usize| format!("v{i}");
    let chain: Vec<_> =
        (0..20_000).map(|i| node("Relu", &[&if i == 0 { "x".to_string() } else { name(i - 1) }], &[&name(i)], vec![])).collect();
    let wide: Vec<String> = (0..20_000).map(name).collect();
    let join = node("Concat", &wide.iter().map(String::as_str).collect::<Vec<_>>(), &["y"], vec![AttributeProto::of_int("axis", 1)]);
    let mut model = network();
    let graph = model.graph.as_mut().unwrap();
    graph.node = chain.into_iter().chain([join]).collect();
    let model = Model::read(model.encode_to_vec().into(), None).unwrap();
    assert!(check(&model).iter().all(|f| f.node.is_none()), "it is long, and sound");
    // A ring of twenty thousand.
    let ring: Vec<_> = (0..20_000).map(|i| node("Relu", &[&name((i + 1) % 20_000)], &[&name(i)], vec![])).collect();
    let mut model = network();
    model.graph.as_mut().unwrap().node = ring;
    let bytes = model.encode_to_vec();
    let most = allowed(bytes.len());
    assert!(take_in(bytes) < most);
}
