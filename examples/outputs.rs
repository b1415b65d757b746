//! Runs a model over a batch of ready-made inputs: `outputs MODEL INPUTS.npy OUTPUTS.npy [whole|plan|nodes|values|ort|best|best-ort] [THREADS]`.
//!
//! INPUTS.npy holds float32, one image after the other along the first axis; OUTPUTS.npy gets all outputs of an image, flattened to one
//! row. For comparing with other runtimes (`benches/against_onnxruntime.py`).

use fixcon::model::Model;
use fixcon::model::onnx::tensor_proto::DataType;
use fixcon::model::onnx::type_proto::Value as Kind;
use fixcon::run::{Network, Plan, RunError, RunOptions, Runner, Runtime, Unwatched, Value};
use ndarray::{Array2, ArrayD, Axis};
use std::time::Instant;

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn by_nodes(network: &Network, inputs: &[Value]) -> Result<Vec<Value>, RunError> {
    let mut outputs: Vec<Option<Value>> = vec![None; network.outputs().len()];
    let mut failed = None;
    network.forward(inputs, |id, made| match made {
        Ok(made) => {
            for (v, value) in network.op(id).made().zip(made) {
                for (slot, o) in outputs.iter_mut().zip(network.outputs()) {
                    if *o == v {
                        *slot = Some(value.clone());
                    }
                }
            }
        }
        Err(e) => {
            failed.get_or_insert_with(|| e.clone());
        }
    });
    match failed {
        Some(e) => Err(e),
        None => Ok(outputs.into_iter().flatten().collect()),
    }
}

/// The fastest of many runs: other work on the machine only ever makes them slower.
fn fastest(input: Vec<Value>, run: impl Fn(&[Value]) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let begun = Instant::now();
    run(&input)?;
    let (built, mut best) = (begun.elapsed().as_secs_f64(), f64::MAX);
    for done in 0.. {
        let one = Instant::now();
        run(&input)?;
        best = best.min(one.elapsed().as_secs_f64());
        if done >= 12 && begun.elapsed().as_secs() >= 2 {
            break;
        }
    }
    eprintln!("built {built:.3} s, 1 images {best:.6} s");
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let [_, model, inputs, outputs, rest @ ..] = &args[..] else {
        anyhow::bail!("outputs MODEL INPUTS.npy OUTPUTS.npy [whole|plan|nodes|values|ort|best|best-ort] [THREADS]")
    };
    let mode = rest.first().map_or("whole", String::as_str);
    let threads = rest.get(1).map_or(Ok(0), |t| t.parse())?;
    let model = Model::open(model)?;
    let dtype = model.inputs().next().and_then(|i| match i.r#type.as_ref()?.value.as_ref()? {
        Kind::TensorType(t) => DataType::try_from(t.elem_type()).ok(),
        _ => None,
    });
    let batch: ArrayD<f32> = ndarray_npy::read_npy(inputs)?;
    let image = |at: usize| {
        let one = batch.index_axis(Axis(0), at).insert_axis(Axis(0));
        let value = Value::from_f32(one.shape(), one.iter().copied().collect());
        let value = dtype.and_then(|d| value.cast(d)).unwrap_or(value);
        Ok(vec![value])
    };
    let count = batch.shape()[0];
    let begun = Instant::now();
    let (built, results);
    if mode == "values" {
        // Every value kept.
        let network = Network::new(&model)?;
        return fastest(image(0)?, |input| {
            let mut kept = Vec::new();
            network.forward(input, |_, made| kept.push(made.clone()));
            Ok(())
        });
    }
    if let "best" | "best-ort" = mode {
        let runtime = if mode == "best" { Runtime::Tract } else { Runtime::Ort { library: None } };
        let runner = Runner::new(&model, &image(0)?, &RunOptions { threads: 1, runtime, ..RunOptions::default() })?;
        // From one request for an input to the next is one run; a session goes on from image to image.
        let requests = std::sync::Mutex::new(Vec::new());
        let input = image(0)?;
        let asked = |_| {
            requests.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(Instant::now());
            Ok(input.clone())
        };
        let begun = Instant::now();
        while begun.elapsed().as_secs() < 2 {
            runner.outputs(12, asked, &Unwatched).into_iter().collect::<Result<Vec<_>, _>>()?;
        }
        let requests = requests.into_inner().unwrap_or_default();
        let best = requests.windows(2).map(|w| (w[1] - w[0]).as_secs_f64()).fold(f64::MAX, f64::min);
        eprintln!("built 0 s, 1 images {best:.6} s");
        return Ok(());
    }
    if mode == "plan" {
        // The optimised plan, whether it is to be trusted or not.
        let plan = Plan::new(&Network::new(&model)?, &image(0)?)?;
        built = begun.elapsed();
        results = (0..count).map(|i| image(i).and_then(|x| plan.run(&x))).collect();
    } else if mode == "nodes" {
        let network = Network::new(&model)?;
        let first = by_nodes(&network, &image(0)?);
        built = begun.elapsed();
        results = std::iter::once(first).chain((1..count).map(|i| image(i).and_then(|x| by_nodes(&network, &x)))).collect();
    } else {
        let runtime = if mode == "ort" { Runtime::Ort { library: None } } else { Runtime::Tract };
        let runner = Runner::new(&model, &image(0)?, &RunOptions { threads, runtime, ..RunOptions::default() })?;
        for (node, why) in runner.unsupported() {
            eprintln!("unsupported {}: {why}", model.label(*node));
        }
        if let Some(note) = runner.note() {
            eprintln!("note: {note}");
        }
        built = begun.elapsed();
        results = runner.outputs(count, image, &Unwatched);
    }
    let all = begun.elapsed();
    let rows: Vec<Vec<f32>> = results
        .into_iter()
        .map(|r: Result<Vec<Value>, RunError>| r.map(|o| o.iter().flat_map(|v| v.to_f32().into_owned()).collect()))
        .collect::<Result<_, _>>()?;
    let width = rows.first().map_or(0, Vec::len);
    ndarray_npy::write_npy(outputs, &Array2::from_shape_vec((count, width), rows.concat())?)?;
    eprintln!(
        "built {:.3} s, {count} images {:.3} s, {:.1} images a second",
        built.as_secs_f64(),
        (all - built).as_secs_f64(),
        count as f64 / (all - built).as_secs_f64()
    );
    Ok(())
}
