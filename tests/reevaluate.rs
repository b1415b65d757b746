//! After an edit only what lies below it runs again: the labels must be those of a run of the whole.

use fixcon::dataset::Case;
use fixcon::localize::Kind;
use fixcon::model::Edit;
use fixcon::repair::{Job, JobOptions, Proposal};
use fixcon::run::{OpId, Unwatched, Value};
use std::path::Path;

fn job(id: &str) -> Job {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models/cases").join(id).join("case.toml");
    Job::open(Case::open(&case).expect("the case is sound"), JobOptions::default()).expect("the models open")
}

/// An edit that turns the sign of a node's largest weight.
fn negated(job: &Job, id: OpId) -> Option<Proposal> {
    let network = &job.target;
    let model = network.model();
    let weights = network.op(id).inputs.iter().flatten().copied().filter(|v| model.index().is_initializer(*v));
    let largest = weights.max_by_key(|v| network.constant(*v).map_or(0, Value::len))?;
    let value = network.constant(largest).filter(|c| c.is_float())?;
    let turned = Value::from_f32(value.shape(), value.to_f32().iter().map(|x| -x).collect());
    let tensor = turned.to_proto(model.index().name(largest));
    Some(Proposal {
        suspect: 0,
        kind: Kind::WbValues,
        edit: Edit::ReplaceInitializer { tensor },
        recipe: None,
        words: "weights with the other sign".into(),
        nodes: Vec::new(),
        safe: true,
        isolated: (0.0, 0.0),
    })
}

#[test]
fn what_runs_below_an_edit_gives_the_labels_of_the_whole() {
    for id in ["1-mobilenet-pads", "2-resnet-swapped", "3-inception-two-faults"] {
        let mut job = job(id);
        job.evaluate_keeping(&Unwatched).expect("the source runs");
        let ops: Vec<OpId> = job.target.op_ids().filter(|op| negated(&job, *op).is_some()).collect();
        assert!(ops.len() > 4, "{id}");
        // Several edits on top of each other, from the bottom up, and one taken back.
        for at in [ops.len() - 1, ops.len() * 3 / 4, ops.len() / 2, 0] {
            let proposal = negated(&job, ops[at]).expect("it has weights");
            job.accept(at as u32, proposal, &Unwatched).expect("the edit fits");
            same_as_whole(&job, id);
        }
        // As the screen takes one back.
        (job.target, job.target_feed) = job.without(1, true).expect("the others stand without it");
        job.accepted[1].undone = true;
        job.reevaluate(&Unwatched);
        same_as_whole(&job, id);
    }
}

fn same_as_whole(job: &Job, id: &str) {
    let mut whole =
        Job::of(job.case.clone(), job.source.clone(), job.target.clone(), job.images.clone(), job.options.clone()).expect("it opens");
    whole.evaluate(&Unwatched).expect("the source runs");
    assert_eq!(job.target_labels.labels, whole.target_labels.labels, "{id}");
    for (image, (a, b)) in job.target_labels.scores.iter().zip(&whole.target_labels.scores).enumerate() {
        let (Some(a), Some(b)) = (a, b) else { panic!("{id}: image {image} was left out") };
        let largest = b.iter().fold(1.0f32, |m, x| m.max(x.abs()));
        assert!(a.iter().zip(b.iter()).all(|(x, y)| (x - y).abs() <= 1e-4 * largest), "{id}: image {image}");
    }
}
