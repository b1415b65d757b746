use fixcon::align::*;
use fixcon::model::Model;
use fixcon::run::*;
use ndarray_npy::read_npy;

fn load(p: &str, n: usize) -> Vec<Value> {
    if let Ok(a) = read_npy::<_, ndarray::Array4<f32>>(p) {
        return a
            .outer_iter()
            .take(n)
            .map(|x| {
                let s: Vec<usize> = [1].into_iter().chain(x.shape().iter().copied()).collect();
                Value::from_f32(&s, x.iter().copied().collect())
            })
            .collect();
    }
    let a = read_npy::<_, ndarray::Array4<u8>>(p).unwrap();
    a.outer_iter()
        .take(n)
        .map(|x| {
            let s: Vec<usize> = [1].into_iter().chain(x.shape().iter().copied()).collect();
            Value::from_bytes(fixcon::model::onnx::tensor_proto::DataType::Uint8, &s, &x.iter().copied().collect::<Vec<_>>()).unwrap()
        })
        .collect()
}

fn main() {
    let man: serde_json::Value = serde_json::from_str(&std::fs::read_to_string("/work/shared/corpus/manifest.json").unwrap()).unwrap();
    let only: Vec<String> = std::env::args().skip(1).collect();
    let n = 2;
    for c in man["cases"].as_array().unwrap() {
        let id = c["id"].as_str().unwrap();
        if !only.is_empty() && !only.iter().any(|o| o == id) {
            continue;
        }
        let t0 = std::time::Instant::now();
        let source = Network::new(&Model::open(format!("/work/shared/corpus/{}", c["source"].as_str().unwrap())).unwrap()).unwrap();
        let model = Model::open(format!("/work/shared/corpus/{}", c["target"].as_str().unwrap())).unwrap();
        let target = match Network::new(&model) {
            Ok(t) => t,
            Err(e) => {
                println!("{id} ERR {e}");
                continue;
            }
        };
        let xs = load(&format!("/work/build/tensors/{id}_s.npy"), n);
        let images: Vec<Vec<Value>> = xs.iter().map(|x| vec![x.clone()]).collect();
        let reference = match Reference::new(&source, &images) {
            Ok(r) => r,
            Err(e) => {
                println!("{id} SRC {e}");
                continue;
            }
        };
        let tau = Precision::of(&target).max(Precision::of(&source)).tau();
        let declared: Vec<i64> = {
            let i = model.inputs().next().unwrap();
            match &i.r#type.as_ref().unwrap().value {
                Some(fixcon::model::onnx::type_proto::Value::TensorType(t)) => t
                    .shape
                    .as_ref()
                    .unwrap()
                    .dim
                    .iter()
                    .map(|d| match d.value {
                        Some(fixcon::model::onnx::tensor_shape_proto::dimension::Value::DimValue(v)) => v,
                        _ => 0,
                    })
                    .collect(),
                _ => vec![],
            }
        };
        let sh = xs[0].shape().to_vec();
        let layout = [vec![0usize, 1, 2, 3], vec![0, 2, 3, 1], vec![0, 3, 1, 2]]
            .iter()
            .map(|p| Layout::permuted(&sh, p))
            .find(|l| declared.len() == 4 && declared[1..].iter().zip(&l.shape[1..]).all(|(d, s)| *d <= 0 || *d as usize == *s))
            .unwrap_or(Layout::flat(&sh));
        let feeds =
            vec![Feed { values: xs.iter().map(|x| layout.apply(x).unwrap()).collect(), partner: Some((source.inputs()[0], layout)) }];
        let hints = Hints::default();
        let a = align(&target, &reference, &feeds, tau, &hints).unwrap();
        let kinds: Vec<&str> = c["faults"].as_array().unwrap().iter().map(|f| f["kind"].as_str().unwrap()).collect();
        let th = tau * 0.3;
        let mut sus: Vec<_> = a.regions.iter().filter(|r| r.isolated.is_some_and(|e| e > th) || r.verdict == Verdict::Unchecked).collect();
        sus.sort_by(|x, y| y.isolated.unwrap_or(9.).min(0.3).total_cmp(&x.isolated.unwrap_or(9.).min(0.3)));
        println!(
            "{id} {} {:?} {:?} ops {}/{} pairs {} regions {} dirty {} t {:.2}",
            c["class"].as_str().unwrap(),
            c["route"].as_str().unwrap(),
            kinds,
            source.ops().len(),
            target.ops().len(),
            a.pairs.len(),
            a.regions.len(),
            a.unexplained().len(),
            t0.elapsed().as_secs_f32()
        );
        for f in c["faults"].as_array().unwrap() {
            println!("    truth {} {}", f["kind"], f["nodes"]);
        }
        for r in sus.iter().take(5) {
            println!(
                "    {:?} iso {:?} n {} : {:?} | src {:?} {:?}",
                r.verdict,
                r.isolated,
                r.target.len(),
                r.target.iter().take(4).map(|i| target.label(*i)).collect::<Vec<_>>(),
                r.source.iter().take(4).map(|i| source.label(*i)).collect::<Vec<_>>(),
                r.why
            );
        }
    }
}
