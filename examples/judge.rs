use fixcon::dataset::Case;
use fixcon::localize::*;
use fixcon::repair::*;
use fixcon::run::*;
use serde_json::json;
fn main() {
    if std::env::var("RUST_LOG").is_ok() {
        tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .without_time()
            .init();
    }
    let a: Vec<String> = std::env::args().collect();
    let get = |k: &str| a.iter().position(|x| x == k).and_then(|i| a.get(i + 1)).cloned();
    let case = Case::open(std::path::Path::new(&get("--case").unwrap())).unwrap();
    let mut job = match Job::open(case, JobOptions { holdout: 5, ..Default::default() }) {
        Ok(j) => j,
        Err(e) => {
            eprintln!("{e}");
            std::process::exit(2)
        }
    };
    if a[1] == "localize" {
        job.evaluate(&Unwatched).unwrap();
        let f = job.localize(&Unwatched).unwrap();
        let m = job.target.model();
        let s: Vec<_> = f.suspects.iter().enumerate().map(|(i, s)| json!({"rank": i+1, "category": s.category.id(), "kind": s.kind.map(|k| k.id()),
            "target_nodes": s.target_nodes.iter().map(|n| m.label(*n)).collect::<Vec<_>>(), "target_tensors": s.target_tensors.iter().map(|t| m.index().name(*t)).collect::<Vec<_>>(),
            "words": s.words, "evidence": s.evidence, "error": s.error, "splice": s.splice, "confidence": s.confidence, "equivalents": s.equivalents.iter().map(|k| k.id()).collect::<Vec<_>>(), "remedies": s.remedies.iter().map(|r| json!([r.remedy.kind.id(), r.after, r.remedy.edit.to_string()])).collect::<Vec<_>>()})).collect();
        println!("{}", serde_json::to_string_pretty(&json!({"verdict": f.outcome.word(), "mismatches": {"count": job.flips().len(), "of": job.count()}, "suspects": s, "notes": f.notes, "floor": f.floor, "threshold": f.threshold, "failure": job.target_labels.failure})).unwrap());
    } else {
        let r = run(&mut job, &Policy::default(), &mut Unrecorded::default(), &Unwatched).unwrap();
        let acc: Vec<_> = job.standing().map(|x| json!({"category": x.proposal.kind.category().id(), "kind": x.proposal.kind.id(), "target_nodes": x.proposal.nodes, "edit": if x.proposal.safe { x.proposal.edit.to_string() } else { format!("sub-graph {}", x.proposal.words) }, "flips": x.flips})).collect();
        let mut written = serde_json::Value::Null;
        if !acc.is_empty() || true {
            job.target.model().save(get("--output").unwrap(), fixcon::model::Existing::Replace).unwrap();
            written = json!(get("--output"));
            if let Some(r) = &job.target_feed.recipe {
                std::fs::write(get("--recipe-output").unwrap(), format!("[preprocess]\n{}", r.to_toml())).unwrap();
            }
        }
        std::fs::write(get("--audit-log").unwrap(), "{}\n").unwrap();
        println!("{}", json!({"initial_mismatches": r.initial, "final_mismatches": r.left, "accepted": acc, "output": written}));
    }
}
