//! The loop of the paper itself, for comparison: Fix-Con / FetaFix (Louloudakis, Gibson, Cano, Rajan; arXiv 2312.15101).
//!
//! Each cycle takes the one differing image whose order of labels is farthest from the source's, and goes through the strategies in
//! their fixed order, layer by layer. An edit is tried on that image alone: it is kept when Kendall's tau does not fall, rolled back when
//! it falls or the model does not run. From a tau of 0.98 on the image counts as mended, and the target runs on all images again.
//!
//! The limits are the paper's, on purpose: nothing is measured inside the network, the recipe is never questioned, an edit may harm the
//! images that nobody looked at, and nothing that was kept is taken out again. Where the published program slips, its text is followed:
//! - its list of operators joins two names, and filters by one operator after the other what the first filter left, so that only
//!   convolutions get parameters; here each operator of the list has its turn, one node a step;
//! - a chain of nodes is followed along the data from the anchor upwards, not to every reader below it;
//! - `flatten` compares the shapes of the values that are flattened, not declarations that happen to stand at the same place;
//! - what makes the input alike is judged as every other edit is, and not simply done;
//! - nodes are paired by the order in which they appear wherever both sides have equally many of the type; its own match (the same name,
//!   or parameters within 0.2) only decides where they do not. It would take small weights for each other, so this favours the paper.
//!
//! Held-back images are never looked at by themselves, as in the other strategy. Ranking layers by activations is `--ranking`.

mod attributes;
mod chain;
mod flatten;
mod input;
mod pairing;
mod params;
mod probe;

use super::decide::{Policy, Repaired, Start};
use super::{Decision, Journal, Proposal};
use super::{Job, RepairError};
use crate::dataset::Recipe;
use crate::localize::Kind;
use crate::model::onnx::tensor_proto::DataType;
use crate::model::{Edit, Model, NodeId};
use crate::run::{Network, OpId, Watch};
use probe::{FIXED, Probe, tau};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Cycles with the same number of flips after which it stops.
const SAME: usize = 6;

/// What one strategy would change at one layer.
struct Change {
    kind: Kind,
    edit: Edit,
    recipe: Option<(Recipe, Vec<crate::dataset::RecipeKey>)>,
    words: String,
    nodes: Vec<String>,
    safe: bool,
}

/// Both networks as they are when a strategy looks at a layer.
struct Sides<'a> {
    source: &'a Network,
    target: &'a Network,
    /// Types and shapes of the inputs of both.
    given: [&'a [(DataType, Vec<usize>)]; 2],
}

impl Sides<'_> {
    fn source_node(&self, id: NodeId) -> &crate::model::onnx::NodeProto {
        self.source.model().node(id)
    }
    fn target_node(&self, id: NodeId) -> &crate::model::onnx::NodeProto {
        self.target.model().node(id)
    }
    /// How edits name a node of the target.
    fn key(&self, id: NodeId) -> Option<String> {
        self.target_node(id).output.iter().find(|o| !o.is_empty()).cloned()
    }
}

/// The op of a node, where it runs.
fn op_of(network: &Network, id: NodeId) -> Option<OpId> {
    let made = network.model().node(id).output.iter().find_map(|o| network.model().index().value(o))?;
    network.producer(made)
}

/// Nodes of some types, in the order of the file.
fn of_types(model: &Model, types: &[&str]) -> Vec<NodeId> {
    model.nodes().filter(|(_, n)| types.contains(&n.op_type())).map(|(id, _)| id).collect()
}

/// The strategies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Strategy {
    Input,
    Outputs,
    Params,
    ParamsConv,
    GraphAdd,
    Graph,
    Hyperparams,
    Flatten,
}

impl Strategy {
    /// In the order in which they have their turn.
    const ORDER: [Self; 6] = [Self::Params, Self::ParamsConv, Self::GraphAdd, Self::Graph, Self::Hyperparams, Self::Flatten];

    /// Nodes of the source, one step each.
    fn layers(self, source: &Model) -> Vec<NodeId> {
        match self {
            Self::Params => of_types(source, params::TYPES),
            Self::ParamsConv | Self::Graph | Self::Hyperparams => of_types(source, &["Conv"]),
            Self::GraphAdd => of_types(source, &["Add"]),
            Self::Flatten => of_types(source, flatten::TYPES),
            Self::Input | Self::Outputs => Vec::new(),
        }
    }

    fn change(self, layer: NodeId, sides: &Sides<'_>) -> Option<Change> {
        match self {
            Self::Params => params::change(layer, &[1], sides),
            Self::ParamsConv => params::change(layer, &[1, 2], sides),
            Self::GraphAdd | Self::Graph => chain::change(layer, sides),
            Self::Hyperparams => attributes::change(layer, sides),
            Self::Flatten => flatten::change(layer, sides),
            Self::Input | Self::Outputs => None,
        }
    }
}

/// Works as the paper does, until no label differs, the same number of them differs six times running, or time is up.
///
/// # Errors
/// As [`Job::evaluate`], and when the journal cannot be kept.
pub fn run(job: &mut Job, policy: &Policy, limit: Duration, journal: &mut dyn Journal, watch: &dyn Watch) -> Result<Repaired, RepairError> {
    let deadline = Instant::now().checked_add(limit);
    job.evaluate_keeping(watch)?;
    journal.evaluated(job).map_err(RepairError::Journal)?;
    let first = Start::of(job);
    let mut work =
        Work { job, policy, journal, watch, deadline, explored: HashSet::new(), refused: HashSet::new(), prepared: false, trials: 0 };
    let why = work.cycles()?;
    let (trials, cycles) = (work.trials, work.explored.len());
    let note =
        format!("the paper's loop: {trials} trials on {cycles} {}; it ended because {why}", if cycles == 1 { "image" } else { "images" });
    Ok(Repaired::of(job, first, Vec::new(), vec![note]))
}

struct Work<'a> {
    job: &'a mut Job,
    policy: &'a Policy,
    journal: &'a mut dyn Journal,
    watch: &'a dyn Watch,
    deadline: Option<Instant>,
    /// Images that had their cycle.
    explored: HashSet<usize>,
    /// Steps that were rolled back, and are in the journal as such.
    refused: HashSet<(Strategy, Option<NodeId>)>,
    /// Whether inputs and outputs were made alike.
    prepared: bool,
    trials: usize,
}

impl Work<'_> {
    /// All cycles; says why there is none more.
    fn cycles(&mut self) -> Result<String, RepairError> {
        let (mut last, mut same) = (None, 0);
        loop {
            let flips = self.job.flips();
            same = if last == Some(flips.len()) { same + 1 } else { 1 };
            last = Some(flips.len());
            if flips.is_empty() {
                return Ok("no label differs".into());
            }
            if same >= SAME {
                return Ok(format!("the same number of labels differed {SAME} times running"));
            }
            if self.watch.cancelled() {
                return Ok("it was stopped".into());
            }
            if self.late() {
                return Ok("time was up".into());
            }
            let Some(image) = self.worst(&flips) else { return Ok("every image that differs had its turn".into()) };
            self.explored.insert(image);
            self.cycle(image, flips.len())?;
        }
    }

    fn late(&self) -> bool {
        self.deadline.is_some_and(|d| Instant::now() >= d)
    }

    /// The image whose order of labels is farthest from the source's, of those that had no turn yet.
    fn worst(&self, flips: &[usize]) -> Option<usize> {
        let job = &self.job;
        let open = flips.iter().copied().filter(|i| job.usable(*i) && !self.explored.contains(i));
        let scores = |of: &super::Evaluation, i: usize| of.scores.get(i).cloned().flatten();
        let tau_of = |i: usize| match (scores(&job.source_labels, i), scores(&job.target_labels, i)) {
            (Some(s), Some(t)) => tau(&s, &t, job.offset()),
            _ => f64::NEG_INFINITY,
        };
        open.map(|i| (tau_of(i), i)).min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))).map(|(_, i)| i)
    }

    /// Everything that is tried for one image.
    fn cycle(&mut self, image: usize, before: usize) -> Result<(), RepairError> {
        let mut kept = Vec::new();
        if let Some(mut probe) = Probe::new(self.job, image) {
            self.steps(&mut probe, &mut kept)?;
        }
        self.job.reevaluate(self.watch);
        let after = self.job.flips().len();
        for (number, proposal) in kept {
            self.job.record(number, proposal, (before, after));
        }
        self.journal.evaluated(self.job).map_err(RepairError::Journal)
    }

    fn steps(&mut self, probe: &mut Probe, kept: &mut Vec<(u32, Proposal)>) -> Result<(), RepairError> {
        if !std::mem::replace(&mut self.prepared, true) {
            for strategy in [Strategy::Input, Strategy::Outputs] {
                let change = match strategy {
                    Strategy::Input => input::alike(self.job, probe.network.model()),
                    _ => input::first_output(self.job, probe.network.model()),
                };
                if let Some(change) = change
                    && self.step((strategy, None), change, probe, kept)?
                    && probe.tau.is_some_and(|t| t >= FIXED)
                {
                    return Ok(());
                }
            }
        }
        let source = self.job.source.clone();
        for strategy in Strategy::ORDER {
            let layers = strategy.layers(source.model());
            for (at, layer) in layers.iter().enumerate() {
                if self.late() || self.watch.cancelled() {
                    return Ok(());
                }
                self.watch.progress("trying edits on one image", at, layers.len());
                let given = [&probe.source_given[..], &probe.target_given[..]];
                let change = strategy.change(*layer, &Sides { source: &source, target: &probe.network, given });
                let Some(change) = change else { continue };
                if self.step((strategy, Some(*layer)), change, probe, kept)? && probe.tau.is_some_and(|t| t >= FIXED) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Tries one edit on the image; whether it was kept.
    fn step(
        &mut self,
        key: (Strategy, Option<NodeId>),
        change: Change,
        probe: &mut Probe,
        kept: &mut Vec<(u32, Proposal)>,
    ) -> Result<bool, RepairError> {
        let Change { kind, edit, recipe, words, nodes, safe } = change;
        let isolated = (f32::NAN, f32::NAN);
        let proposal = Proposal { suspect: Proposal::NO_SUSPECT, kind, edit, recipe, words, nodes, safe, isolated };
        if !self.policy.allows(&proposal) {
            return Ok(false);
        }
        self.trials += 1;
        let tried = probe.with(self.job, &proposal);
        let image = self.job.images.items().get(probe.image).map_or("", |i| i.name.as_str());
        let number = |tau: Option<f64>| tau.map_or("nothing, as it does not run,".to_string(), |t| format!("{t:.2}"));
        let now = tried.as_ref().and_then(|t| t.tau);
        let note = format!("Kendall's tau of {image} from {} to {}", number(probe.tau), number(now)).trim_end_matches(',').to_string();
        let Some(tried) = tried.filter(|t| t.tau.is_some() && t.tau >= probe.tau) else {
            if self.refused.insert(key) {
                let number = self.journal.proposed(self.job, &proposal, None).map_err(RepairError::Journal)?;
                self.journal.decided(number, Decision::Reject, &note).map_err(RepairError::Journal)?;
            }
            return Ok(false);
        };
        let number = self.journal.proposed(self.job, &proposal, None).map_err(RepairError::Journal)?;
        self.journal.decided(number, Decision::Accept, &note).map_err(RepairError::Journal)?;
        let before = self.job.recipe_text();
        (self.job.target, self.job.target_feed) = (tried.network.clone(), tried.feed.clone());
        let after = self.job.recipe_text();
        self.journal.applied(number, &proposal, before.as_deref(), after.as_deref()).map_err(RepairError::Journal)?;
        kept.push((number, proposal));
        *probe = tried;
        Ok(true)
    }
}
