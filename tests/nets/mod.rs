//! Small networks written in a test, and the commands run on pairs of them.
#![allow(dead_code)]

use assert_cmd::Command;
use fixcon::model::onnx::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto,
    tensor_shape_proto::{Dimension, dimension},
    type_proto,
};
use prost::Message;
use serde_json::Value as Json;
use std::path::Path;

/// A network from `x` (1×3×32×32) over `a` (1×8×8×8, what the middle reads) and `b` (1×8×8×8, what it makes) to ten scores.
pub struct Net {
    pub version: i64,
    /// Whether a bias is added to the scores.
    pub shifted: bool,
    /// Images at once; as many as are given where it is nought.
    pub batch: i64,
    pub nodes: Vec<NodeProto>,
    pub tensors: Vec<TensorProto>,
    pub functions: Vec<FunctionProto>,
    /// Outputs declared ahead of the scores: name, element type, dimensions behind the batch.
    pub before: Vec<(&'static str, i32, Vec<i64>)>,
}

pub fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto::of_int(name, i)
}

pub fn ints(name: &str, i: &[i64]) -> AttributeProto {
    AttributeProto::of_ints(name, i)
}

/// Numbers between -1 and 1 that are the same in each run.
pub fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

impl Net {
    pub fn new(version: i64) -> Self {
        let mut net =
            Self { version, shifted: false, batch: 1, nodes: Vec::new(), tensors: Vec::new(), functions: Vec::new(), before: Vec::new() };
        net.floats("w", &[8, 3, 4, 4], noise(384, 1)).node("Conv", "conv", &["x", "w"], &["a"], vec![ints("strides", &[4, 4])]);
        net
    }

    pub fn floats(&mut self, name: &str, dims: &[i64], data: Vec<f32>) -> &mut Self {
        let (name, dims) = (Some(name.into()), dims.to_vec());
        self.tensors.push(TensorProto { name, dims, data_type: Some(1), float_data: data, ..TensorProto::default() });
        self
    }

    pub fn numbers(&mut self, name: &str, data: &[i64]) -> &mut Self {
        let (name, dims) = (Some(name.into()), vec![data.len() as i64]);
        self.tensors.push(TensorProto { name, dims, data_type: Some(7), int64_data: data.to_vec(), ..TensorProto::default() });
        self
    }

    pub fn node(&mut self, op: &str, name: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) -> &mut Self {
        self.nodes.push(NodeProto {
            op_type: Some(op.into()),
            name: Some(name.into()),
            input: inputs.iter().map(|i| i.to_string()).collect(),
            output: outputs.iter().map(|o| o.to_string()).collect(),
            attribute,
            ..NodeProto::default()
        });
        self
    }

    pub fn save(&mut self, path: &Path) {
        let batch = if self.batch == 0 { -1 } else { self.batch };
        self.floats("v", &[512, 10], noise(5120, 7)).numbers("flat", &[batch, 512]);
        self.node("Reshape", "flatten", &["b", "flat"], &["f"], Vec::new());
        self.node("MatMul", "scores", &["f", "v"], &[if self.shifted { "m" } else { "y" }], Vec::new());
        if self.shifted {
            self.floats("t", &[10], noise(10, 8).iter().map(|x| x * 20.0).collect());
            self.node("Add", "shift", &["m", "t"], &["y"], Vec::new());
        }
        let graph = GraphProto {
            name: Some("net".into()),
            node: self.nodes.clone(),
            initializer: self.tensors.clone(),
            input: vec![declared("x", 1, &[self.batch, 3, 32, 32])],
            output: self
                .before
                .iter()
                .map(|(name, of, dims)| declared(name, *of, &[&[self.batch], &dims[..]].concat()))
                .chain([declared("y", 1, &[self.batch, 10])])
                .collect(),
            ..GraphProto::default()
        };
        let set = |domain: &str, version| OperatorSetIdProto { domain: Some(domain.into()), version: Some(version) };
        let mut opset_import = vec![set("", self.version), set("com.microsoft", 1)];
        opset_import.extend((!self.functions.is_empty()).then(|| set("local", 1)));
        let functions = self.functions.clone();
        let proto = ModelProto { ir_version: Some(8), graph: Some(graph), opset_import, functions, ..ModelProto::default() };
        std::fs::write(path, proto.encode_to_vec()).expect("a file");
    }
}

pub fn declared(name: &str, of: i32, dims: &[i64]) -> ValueInfoProto {
    let open = || dimension::Value::DimParam("n".into());
    let value = |d: &i64| if *d == 0 { open() } else { dimension::Value::DimValue(*d) };
    let dim = dims.iter().map(|d| Dimension { value: Some(value(d)), ..Dimension::default() }).collect();
    let tensor = type_proto::Tensor { elem_type: Some(of), shape: Some(TensorShapeProto { dim }) };
    let r#type = Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() });
    ValueInfoProto { name: Some(name.into()), r#type, ..ValueInfoProto::default() }
}

/// What makes the tensors of all these networks, unless it is said otherwise.
const RECIPE: &str = "size = [32, 32]\nscale = 255.0\nmean = [0.5, 0.5, 0.5]\nstd = [0.25, 0.25, 0.25]\n";

/// A folder with both models and a case, and a way to run commands there that answer in JSON.
pub fn desk(source: &mut Net, target: &mut Net) -> (tempfile::TempDir, impl Fn(&[&str], &str) -> Json + use<>) {
    desk_of(source, target, RECIPE)
}

/// The same with another recipe for the target.
pub fn desk_of(source: &mut Net, target: &mut Net, recipe: &str) -> (tempfile::TempDir, impl Fn(&[&str], &str) -> Json + use<>) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name);
    source.save(&path("source.onnx"));
    target.save(&path("target.onnx"));
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models/images/probe");
    let sides = [("source", RECIPE), ("target", recipe)];
    let sides = sides.map(|(side, recipe)| format!("[{side}]\nmodel = \"{side}.onnx\"\n[{side}.preprocess]\n{recipe}"));
    std::fs::write(path("case.toml"), format!("{}\n[images]\npath = {images:?}\n", sides.join("\n"))).expect("a file");
    let at = dir.path().to_path_buf();
    let run = move |command: &[&str], target: &str| {
        let mut run = Command::cargo_bin("fixcon").expect("the program is built");
        run.current_dir(&at).args(command).args([".", "--json", "-q", "--target", target]);
        let done = run.output().expect("it runs");
        serde_json::from_slice::<Json>(&done.stdout)
            .unwrap_or_else(|e| panic!("{command:?}: {e}: {}", String::from_utf8_lossy(&done.stderr)))
    };
    (dir, run)
}

/// What `localize` and then `repair` say, and whether the repaired model has no suspect any more.
pub fn first_suspect(source: &mut Net, target: &mut Net) -> Json {
    let (_dir, run) = desk(source, target);
    let found = run(&["localize"], "target.onnx");
    assert_eq!(found["verdict"], "faulty", "{found}");
    assert_eq!(found["suspects"].as_array().map(Vec::len), Some(1), "{}", found["suspects"]);
    let repaired = run(&["repair", "--yes", "--holdout", "0", "-o", "mended.onnx"], "target.onnx");
    assert_eq!((&repaired["final_mismatches"], repaired["output"].is_string()), (&0.into(), true), "{repaired}");
    assert!(repaired["accepted"].as_array().is_some_and(|a| a.iter().all(|e| e["safe"] == true)), "{repaired}");
    let again = run(&["localize"], "mended.onnx");
    assert_eq!(again["verdict"], "clean", "{again}");
    found["suspects"][0].clone()
}

pub fn is(suspect: &Json, kind: &str, node: &str) {
    assert_eq!(suspect["kind"], kind, "{suspect}");
    assert!(suspect["target_nodes"].as_array().is_some_and(|n| n.contains(&node.into())), "{suspect}");
}
