//! The real program in a pseudo-terminal: how soon the first screen is there with a model of 100 MB, how long a key takes to show while
//! the engine keeps both models running, what it takes when nothing happens. Figures are printed; docs/performance-screen.md has some.

#[path = "../tests/terminal/mod.rs"]
mod terminal;

use fixcon::model::onnx::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, tensor_shape_proto,
    type_proto,
};
use prost::Message;
use std::path::Path;
use std::time::{Duration, Instant};
use terminal::Terminal;

/// Hidden layers of 1024 to 1024: 4 MB each.
const LAYERS: usize = 22;

fn tensor(name: &str, dims: &[i64], seed: u32) -> TensorProto {
    let count = dims.iter().product::<i64>() as usize;
    let mut state = seed | 1;
    let data = (0..count).flat_map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state as f32 / u32::MAX as f32 - 0.5) * 0.1).to_le_bytes()
    });
    let raw: Vec<u8> = data.collect();
    TensorProto { name: Some(name.into()), dims: dims.to_vec(), data_type: Some(1), raw_data: Some(raw.into()), ..TensorProto::default() }
}

fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = |d: &i64| tensor_shape_proto::Dimension {
        value: Some(tensor_shape_proto::dimension::Value::DimValue(*d)),
        ..tensor_shape_proto::Dimension::default()
    };
    let shape = TensorShapeProto { dim: dims.iter().map(dim).collect() };
    let tensor = type_proto::Tensor { elem_type: Some(1), shape: Some(shape) };
    let of = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: Some(name.into()), r#type: Some(of), ..ValueInfoProto::default() }
}

/// A perceptron of 100 MB over pictures of 32 by 32.
fn model() -> Vec<u8> {
    let mut graph = GraphProto { name: Some("wide".into()), ..GraphProto::default() };
    graph.input.push(value("x", &[1, 3, 32, 32]));
    graph.output.push(value("y", &[1, 10]));
    let mut node = |op: &str, inputs: &[&str], output: &str| {
        graph.node.push(NodeProto {
            op_type: Some(op.into()),
            name: Some(output.into()),
            input: inputs.iter().map(|i| (*i).into()).collect(),
            output: vec![output.into()],
            ..NodeProto::default()
        });
    };
    node("Flatten", &["x"], "h0");
    let mut weights = Vec::new();
    for i in 0..LAYERS {
        let (from, made, to, w) = (format!("h{i}"), format!("m{i}"), format!("h{}", i + 1), format!("w{i}"));
        node("MatMul", &[&from, &w], &made);
        node("Relu", &[&made], &to);
        weights.push(tensor(&w, &[if i == 0 { 3072 } else { 1024 }, 1024], 7 * i as u32));
    }
    node("MatMul", &[&format!("h{LAYERS}"), "last"], "y");
    weights.push(tensor("last", &[1024, 10], 99));
    graph.initializer = weights;
    let opset = OperatorSetIdProto { version: Some(13), ..OperatorSetIdProto::default() };
    ModelProto { ir_version: Some(8), opset_import: vec![opset], graph: Some(graph), ..ModelProto::default() }.encode_to_vec()
}

/// A case with that model on both sides and so many pictures.
fn case(folder: &Path, pictures: usize) {
    let bytes = model();
    println!("model: {:.0} MB a side", bytes.len() as f64 / 1e6);
    for name in ["source.onnx", "target.onnx"] {
        std::fs::write(folder.join(name), &bytes).expect("room for the model");
    }
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models/images/probe");
    let mut all: Vec<_> = std::fs::read_dir(samples).expect("sample_models").filter_map(|e| Some(e.ok()?.path())).collect();
    all.sort();
    let list: String = (0..pictures).map(|i| format!("{}\n", all[i % all.len()].display())).collect();
    std::fs::write(folder.join("list.txt"), list).expect("a list");
    let recipe = "size = [32, 32]\nresize = \"squash\"\nscale = 255.0\nlayout = \"nchw\"\n";
    let text = format!(
        "[source]\nmodel = \"source.onnx\"\n[source.preprocess]\n{recipe}[target]\nmodel = \"target.onnx\"\n\
         [target.preprocess]\n{recipe}[images]\npath = \"list.txt\"\n"
    );
    std::fs::write(folder.join("case.toml"), text).expect("a case");
}

fn percentile(times: &mut [Duration], of: usize) -> Duration {
    times.sort();
    times.get((times.len() * of / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// From a key to the screen that answers it: help opens and closes.
fn keys(terminal: &Terminal, count: usize, busy: impl Fn(&str) -> bool) -> (Vec<Duration>, usize) {
    let (mut times, mut while_busy) = (Vec::new(), 0);
    for i in 0..count {
        let open = i % 2 == 0;
        let began = Instant::now();
        terminal.press("?");
        while terminal.text().contains("Signs between the graphs") != open {
            assert!(began.elapsed() < terminal::PATIENCE, "a key was not answered");
            std::thread::sleep(Duration::from_micros(200));
        }
        times.push(began.elapsed());
        if !open {
            while_busy += usize::from(busy(&terminal.text()));
        }
        std::thread::sleep(Duration::from_millis(15));
    }
    (times, while_busy)
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    case(folder.path(), 6000);
    let path = folder.path().to_string_lossy().into_owned();

    let mut first: Vec<Duration> = Vec::new();
    for _ in 0..11 {
        let terminal = Terminal::start(160, 50, &["debug", &path]);
        terminal.wait_for("fixcon");
        first.push(terminal.pieces().iter().find(|(_, p)| p.contains("fixcon")).map(|(at, _)| *at).unwrap_or_default());
    }
    println!("first screen with a 100 MB model: median {:?}, worst of 11 {:?}", percentile(&mut first, 50), percentile(&mut first, 100));

    let terminal = Terminal::start(160, 50, &["debug", &path]);
    terminal.wait_for("fixcon");
    let (mut times, _) = keys(&terminal, 40, |_| false);
    println!("key to paint while both models load: p50 {:?}, p99 {:?}", percentile(&mut times, 50), percentile(&mut times, 99));
    terminal.wait_for("comparing images");
    let (mut times, busy) = keys(&terminal, 400, |t| t.contains("comparing images"));
    println!(
        "key to paint while all images are run on all cores: p50 {:?}, p99 {:?}, worst {:?}; the engine was busy at {busy} of 200 looks",
        percentile(&mut times, 50),
        percentile(&mut times, 99),
        percentile(&mut times, 100)
    );
    drop(terminal);
    #[cfg(target_os = "linux")]
    idle();
}

/// Time on the processor in five idle seconds.
#[cfg(target_os = "linux")]
fn idle() {
    let terminal = Terminal::start(120, 40, &["debug", &terminal::sample("8-").to_string_lossy()]);
    terminal.wait_for("Nothing is wrong here");
    terminal.settle();
    std::thread::sleep(Duration::from_secs(1));
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", terminal.pid())).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let number = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
        number(11) + number(12)
    };
    let before = ticks();
    std::thread::sleep(Duration::from_secs(5));
    println!("idle: {} ms of processor time in 5 s", 10 * (ticks() - before));
}
