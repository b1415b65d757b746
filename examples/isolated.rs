//! Runs every node of a model on given values: `isolated MODEL VALUES.json VALUES.bin`. For `benches/nodes_against_onnxruntime.py`.
//!
//! VALUES.json is a list of `{"name", "dtype" (ONNX number), "shape", "at" (offset)}`. One line a node that differs or does not run:
//! operator, label, largest difference relative to the largest value.

use fixcon::model::Model;
use fixcon::model::onnx::tensor_proto::DataType;
use fixcon::run::{Network, Value};
use std::collections::HashMap;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let [_, model, list, data] = &args[..] else { anyhow::bail!("isolated MODEL VALUES.json VALUES.bin") };
    let model = Model::open(model)?;
    let bytes = std::fs::read(data)?;
    let mut values = HashMap::new();
    for entry in serde_json::from_slice::<Vec<serde_json::Value>>(&std::fs::read(list)?)? {
        let shape: Vec<usize> = serde_json::from_value(entry["shape"].clone())?;
        let dtype = DataType::try_from(entry["dtype"].as_i64().unwrap_or(0) as i32)?;
        let size = fixcon::run::element_size(dtype).unwrap_or(1) * shape.iter().product::<usize>();
        let at = entry["at"].as_u64().unwrap_or(0) as usize;
        if let Ok(value) = Value::from_bytes(dtype, &shape, &bytes[at..at + size]) {
            values.insert(entry["name"].as_str().unwrap_or("").to_string(), value);
        }
    }
    let network = Network::new(&model)?;
    let given = |v| values.get(model.index().name(v));
    for id in network.op_ids() {
        let op = network.op(id);
        let made = match network.eval(id, given) {
            Ok(made) => made,
            Err(why) => {
                println!("FAILS {} {}: {why}", op.op_type(), network.label(id));
                continue;
            }
        };
        for (v, a) in op.made().zip(made) {
            let Some(b) = given(v) else { continue };
            if a.shape() != b.shape() || a.dtype() != b.dtype() {
                println!(
                    "SHAPE {} {}: {:?} {:?} not {:?} {:?}",
                    op.op_type(),
                    network.label(id),
                    a.dtype(),
                    a.shape(),
                    b.dtype(),
                    b.shape()
                );
                continue;
            }
            let (x, y) = (a.to_f32(), b.to_f32());
            let largest = y.iter().filter(|v| v.is_finite()).fold(1e-30f32, |m, v| m.max(v.abs()));
            let off = x
                .iter()
                .zip(y.iter())
                .map(|(x, y)| if x == y || (x.is_nan() && y.is_nan()) { 0.0 } else { (x - y).abs() })
                .fold(0f32, f32::max);
            let count = x.iter().zip(y.iter()).filter(|(x, y)| x != y).count();
            if off / largest > 2e-6 {
                println!("OFF {} {}: {:.1e}, {count} of {}", op.op_type(), network.label(id), off / largest, x.len());
            }
        }
    }
    Ok(())
}
