//! Every operator that vision models use, alone, against what onnxruntime gave (see `operators/generate.py`).

use fixcon::model::Model;
use fixcon::run::{Network, Plan, Value};

struct Case {
    name: String,
    model: Model,
    inputs: Vec<Value>,
    expected: Vec<Value>,
}

fn cases() -> Vec<Case> {
    let mut bytes: &[u8] = include_bytes!("operators/cases.bin");
    let mut out = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (record, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        bytes = rest;
        let model = Model::read(record.to_vec().into(), None).unwrap();
        let name = model.proto().metadata_props[0].value().to_string();
        let value = |key: String| Value::from_proto(&model, model.initializer(&key).unwrap()).unwrap();
        let inputs = model.inputs().map(|i| value(format!("value:{}", i.name()))).collect();
        let expected = model.outputs().map(|o| value(format!("expect:{}", o.name()))).collect();
        out.push(Case { name, model, inputs, expected });
    }
    out
}

/// What is wrong with `got`, if anything. Halves carry three digits, floats six; integers are exact, but for quantised operators, which
/// onnxruntime computes in integers and we in floats: they may be a step apart.
fn difference(case: &Case, got: &[Value]) -> Option<String> {
    let expected = &case.expected;
    if got.len() != expected.len() {
        return Some(format!("{} outputs, not {}", got.len(), expected.len()));
    }
    let step_apart = |a: &Value, b: &Value| {
        let apart = a.to_f32().iter().zip(b.to_f32().iter()).any(|(a, b)| (a - b).abs() > 1.0);
        apart.then(|| format!("{:?} not {:?}", a.to_i64(), b.to_i64()))
    };
    for (a, b) in got.iter().zip(expected) {
        if a.shape() != b.shape() || a.dtype() != b.dtype() {
            return Some(format!("{:?} {:?}, not {:?} {:?}", a.dtype(), a.shape(), b.dtype(), b.shape()));
        }
        let tolerance = match (a.is_float(), b.dtype().as_str_name()) {
            (true, "FLOAT16") => 4e-3,
            (true, _) => 4e-6,
            _ if case.name.starts_with("QLinear") || case.name.starts_with("QGemm") => return step_apart(a, b),
            _ => 0.0,
        };
        let (x, y) = (a.to_f32(), b.to_f32());
        let scale = y.iter().filter(|v| v.is_finite()).fold(1f32, |m, v| m.max(v.abs()));
        let mut worst = 0f32;
        for (x, y) in x.iter().zip(y.iter()) {
            if x.to_bits() != y.to_bits() && x != y && !(x.is_nan() && y.is_nan()) {
                let d = (x - y).abs();
                worst = worst.max(if d.is_nan() { f32::INFINITY } else { d });
            }
        }
        if worst > tolerance * scale {
            return Some(format!("off by {worst:e} of {scale:e}: {:?} not {:?}", &x[..x.len().min(8)], &y[..y.len().min(8)]));
        }
    }
    None
}

fn by_nodes(case: &Case) -> Result<Vec<Value>, String> {
    let network = Network::new(&case.model).map_err(|e| e.to_string())?;
    let mut out = None;
    network.forward(&case.inputs, |_, made| out = Some(made.clone().map_err(|e| e.to_string())));
    out.unwrap_or_else(|| network.outputs().iter().map(|v| network.constant(*v).cloned().ok_or("nothing ran".to_string())).collect())
}

fn whole(case: &Case) -> Result<Vec<Value>, String> {
    let network = Network::new(&case.model).map_err(|e| e.to_string())?;
    Plan::new(&network, &case.inputs).and_then(|p| p.run(&case.inputs)).map_err(|e| e.to_string())
}

fn check(run: impl Fn(&Case) -> Result<Vec<Value>, String>) {
    let mut wrong = Vec::new();
    let cases = cases();
    for case in &cases {
        let result = run(case).and_then(|got| difference(case, &got).map_or(Ok(()), Err));
        if let Err(why) = result {
            wrong.push(format!("{}: {why}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ from onnxruntime:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn each_operator_alone_gives_what_onnxruntime_gives() {
    check(by_nodes);
}

/// Whole plans need shapes that do not depend on data, and have no loops; a runner runs such a model node by node.
const WITHOUT_PLAN: [&str; 11] = [
    "Reshape-14-data",
    "Slice-13-data",
    "Pad-13-data",
    "ConstantOfShape-9-data",
    "ConstantOfShape-9-default",
    "Range-11",
    "Range-11-f32",
    "graph-loop-counted-v",
    "graph-loop-counted-s",
    "graph-loop-ended-v",
    "graph-loop-ended-s",
];

#[test]
fn each_operator_in_an_optimised_plan_gives_what_onnxruntime_gives() {
    check(|case| match whole(case) {
        Err(_) if WITHOUT_PLAN.contains(&&*case.name) => Ok(case.expected.clone()),
        Ok(_) if WITHOUT_PLAN.contains(&&*case.name) => Err("it has a plan now: take it off the list".into()),
        result => result,
    });
}
