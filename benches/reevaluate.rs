//! After an edit in the last tenth of a network: what running the target again costs, against running it as a whole.
//!
//!     cargo bench --bench reevaluate -- CASE.toml
//!
//! Prints the median of several rounds, turn about, and the ratio. Without a case a sample model is taken.

use fixcon::dataset::Case;
use fixcon::localize::Kind;
use fixcon::model::Edit;
use fixcon::repair::{Job, JobOptions, Proposal};
use fixcon::run::{OpId, Unwatched, Value};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const ROUNDS: usize = 7;

/// The same weights again, a little larger: what is edited last in the network.
fn edit(job: &Job) -> Option<(OpId, Proposal)> {
    let network = &job.target;
    let (model, count) = (network.model(), network.ops().len());
    for id in network.op_ids().skip(count - count / 10) {
        let weights = network.op(id).inputs.iter().flatten().copied().filter(|v| model.index().is_initializer(*v));
        let Some((v, value)) = weights.filter_map(|v| Some((v, network.constant(v)?))).find(|(_, c)| c.is_float() && c.len() > 8) else {
            continue;
        };
        let tensor = Value::from_f32(value.shape(), value.to_f32().iter().map(|x| x * 1.01).collect()).to_proto(model.index().name(v));
        let proposal = Proposal {
            suspect: 0,
            kind: Kind::WbValues,
            edit: Edit::ReplaceInitializer { tensor },
            recipe: None,
            words: String::new(),
            nodes: Vec::new(),
            safe: true,
            isolated: (0.0, 0.0),
        };
        return Some((id, proposal));
    }
    None
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

fn main() {
    let sample = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("sample_models/cases/1-mobilenet-pads/case.toml");
    let case = std::env::args().skip(1).find(|a| !a.starts_with("--")).map_or_else(sample, PathBuf::from);
    let mut job = Job::open(Case::open(&case).expect("the case is sound"), JobOptions::default()).expect("the models open");
    job.evaluate_keeping(&Unwatched).expect("the source runs");
    let (id, proposal) = edit(&job).expect("the last tenth has weights");
    let mut edited = job.clone();
    edited.accept(1, proposal, &Unwatched).expect("the edit fits");
    let (mut below, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        edited.reevaluate(&Unwatched);
        below.push(begun.elapsed());
        // Nothing is kept of a job that is new: the whole target runs.
        let mut fresh = Job::of(job.case.clone(), job.source.clone(), edited.target.clone(), job.images.clone(), job.options.clone())
            .expect("it opens");
        fresh.source_labels = job.source_labels.clone();
        let begun = Instant::now();
        fresh.reevaluate(&Unwatched);
        whole.push(begun.elapsed());
        assert_eq!(fresh.target_labels.labels, edited.target_labels.labels);
    }
    let (below, whole) = (median(below), median(whole));
    let (at, of) = (id.0 + 1, job.target.ops().len());
    println!("edit at node {at} of {of}, {} images: whole {whole:.3} s, below {below:.3} s, ratio {:.2}", job.images.len(), below / whole);
}
