//! The faulty region alone: a model of a few nodes with its inputs and what they should give, as ONNX lays its own tests out, so that a
//! converter's authors see the fault without the network that it was found in.

mod cut;
mod issue;

use crate::align::{Pair, Reference, relative_error};
use crate::dataset::Feed;
use crate::localize::{Category, Findings, Suspect};
use crate::model::onnx::ModelProto;
use crate::model::{Model, Severity, ValueId, check};
use crate::repair::Job;
use crate::run::{Network, OpId, Value};
use cut::{cut, labels, read_by_others, read_from_outside};
use prost::Message;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Images that are tried until one shows the fault.
const IMAGES: usize = 6;
/// Ops beyond which a part is no longer small.
const MOST: usize = 200;

/// Inputs and what they should give, by name.
#[derive(Debug, Clone, Default)]
pub struct TestSet {
    /// What the model is given.
    pub inputs: Vec<(String, Value)>,
    /// What it should give; empty when that is not known.
    pub outputs: Vec<(String, Value)>,
}

/// What a reproducer shows, run on the engine that is built in.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    /// An output differs: relative L2 and the largest difference of an element.
    Differs {
        /// The output.
        output: String,
        /// Relative L2; infinite when the shapes differ.
        relative: f32,
        /// Largest difference of an element; infinite when the shapes differ.
        largest: f32,
    },
    /// It does not load or run.
    Fails(String),
    /// Nothing: the part alone gives what it should on the images that were tried.
    Nothing,
}

/// A part of the target that shows a fault by itself.
#[derive(Debug, Clone)]
pub struct Reproducer {
    /// The target's nodes.
    pub model: ModelProto,
    /// The first set shows the fault; a second one, where there is one, is the same with the recipe put right, and agrees.
    pub sets: Vec<TestSet>,
    /// The source's nodes with the same image: what is right.
    pub source: Option<(ModelProto, TestSet)>,
    /// What the built-in engine says.
    pub shown: Shown,
    /// Image whose values it holds.
    pub image: String,
    /// Text for the converter's issue tracker, in Markdown.
    pub issue: String,
}

/// Why there is no reproducer.
#[derive(Debug, thiserror::Error)]
pub enum ReproducerError {
    /// There are fewer suspects.
    #[error("there is no suspect {wanted}; localize found {count}")]
    NoSuspect {
        /// Asked for, from 1.
        wanted: usize,
        /// How many there are.
        count: usize,
    },
    /// No image gives the values that are needed.
    #[error("no image gives the values that lead into the region: {0}")]
    NoValues(String),
    /// The part cannot be made a model.
    #[error("the region cannot be made a model of its own: {0}")]
    Cut(String),
}

/// The reproducer of a suspect, which is counted from 0. `job` must have been evaluated.
///
/// # Errors
/// See [`ReproducerError`].
pub fn reproduce(job: &Job, findings: &Findings, suspect: usize) -> Result<Reproducer, ReproducerError> {
    let found = findings.suspects.get(suspect);
    let found = found.ok_or(ReproducerError::NoSuspect { wanted: suspect + 1, count: findings.suspects.len() })?;
    let part = Part::of(job, findings, found);
    let flips = job.flips();
    let rest = (0..job.images.len()).filter(|i| !flips.contains(i));
    let mut best: Option<Reproducer> = None;
    let mut why = "there is no image".to_string();
    for image in flips.iter().copied().chain(rest).take(IMAGES) {
        let one = match part.on(image) {
            Ok(one) => one,
            Err(ReproducerError::NoValues(reason)) => {
                why = reason;
                continue;
            }
            Err(other) => return Err(other),
        };
        let shows = match &one.shown {
            Shown::Fails(_) => true,
            Shown::Differs { relative, .. } => *relative > findings.threshold,
            Shown::Nothing => false,
        };
        if shows {
            best = Some(one);
            break;
        }
        best.get_or_insert(one);
    }
    let mut best = best.ok_or(ReproducerError::NoValues(why))?;
    best.issue = issue::text(job, findings, suspect, &best, &labels(&job.target, &part.ops, 12));
    Ok(best)
}

/// The target's ops that a suspect is about, and what leads in and out.
struct Part<'a> {
    job: &'a Job,
    findings: &'a Findings,
    suspect: &'a Suspect,
    pairs: HashMap<ValueId, &'a Pair>,
    ops: BTreeSet<OpId>,
}

impl<'a> Part<'a> {
    fn of(job: &'a Job, findings: &'a Findings, suspect: &'a Suspect) -> Self {
        let pairs: HashMap<ValueId, &Pair> = findings.pairs.iter().map(|p| (p.target, p)).collect();
        let mut part = Self { job, findings, suspect, pairs, ops: BTreeSet::new() };
        let network = &job.target;
        match suspect.region {
            Some(at) => {
                part.ops = findings.regions[at].target.iter().copied().collect();
                part.ops.extend(part.between(&part.named()));
            }
            None if matches!(suspect.category, Category::PP | Category::ID) => part.ops = part.head(),
            None => {
                part.ops = network.outputs().iter().filter_map(|v| network.producer(*v)).collect();
                part.ops.extend(part.named());
            }
        }
        part.grow();
        part
    }

    /// Ops of the nodes that are named as being at fault.
    fn named(&self) -> BTreeSet<OpId> {
        let network = &self.job.target;
        network.op_ids().filter(|id| self.suspect.target_nodes.contains(&network.op(*id).node)).collect()
    }

    /// The named ops, and all between them and the part: a wrong permutation shows further down than it arises.
    fn between(&self, named: &BTreeSet<OpId>) -> BTreeSet<OpId> {
        let network = &self.job.target;
        let all: BTreeSet<OpId> = self.ops.union(named).copied().collect();
        let mut below: HashSet<OpId> = named.iter().copied().collect();
        for id in network.op_ids() {
            if network.op(id).data.iter().filter_map(|v| network.producer(*v)).any(|p| below.contains(&p)) {
                below.insert(id);
            }
        }
        let mut above: HashSet<OpId> = all.iter().copied().collect();
        for id in network.op_ids().rev() {
            if network.op(id).made().any(|v| network.consumers(v).iter().any(|c| above.contains(c))) {
                above.insert(id);
            }
        }
        let path: BTreeSet<OpId> = network.op_ids().filter(|id| all.contains(id) || (below.contains(id) && above.contains(id))).collect();
        if path.len() <= MOST / 4 { path } else { all }
    }

    /// The first layers, up to one that has weights.
    fn head(&self) -> BTreeSet<OpId> {
        let network = &self.job.target;
        let weighted = |id: &OpId| {
            let constants = network.op(*id).inputs.iter().flatten().filter_map(|v| network.constant(*v));
            constants.into_iter().any(|c| c.is_float() && c.len() > 4)
        };
        let mut ops: BTreeSet<OpId> = network.inputs().iter().flat_map(|v| network.consumers(*v).iter().copied()).collect();
        for _ in 0..8 {
            ops = self.whole_regions(ops);
            if ops.iter().any(weighted) || ops.len() > MOST / 4 {
                break;
            }
            let next: Vec<OpId> = read_by_others(network, &ops).into_iter().flat_map(|v| network.consumers(v).iter().copied()).collect();
            ops.extend(next);
        }
        ops
    }

    fn whole_regions(&self, mut ops: BTreeSet<OpId>) -> BTreeSet<OpId> {
        for region in &self.findings.regions {
            if region.target.iter().any(|id| ops.contains(id)) {
                ops.extend(&region.target);
            }
        }
        ops
    }

    /// Takes what makes an unpaired input in, until every input is the whole graph's or has a partner in the source.
    fn grow(&mut self) {
        let network = &self.job.target;
        while self.ops.len() < MOST {
            let open = read_from_outside(network, &self.ops);
            let more: Vec<OpId> = open.into_iter().filter(|v| !self.pairs.contains_key(v)).filter_map(|v| network.producer(v)).collect();
            if more.is_empty() {
                return;
            }
            self.ops.extend(more);
        }
    }

    fn on(&self, image: usize) -> Result<Reproducer, ReproducerError> {
        let job = self.job;
        let none = |why: String| ReproducerError::NoValues(why);
        let read = |feed: &Feed| job.images.inputs(image, &[feed]).map(|mut sides| sides.remove(0)).map_err(|e| none(e.to_string()));
        let theirs = read(&job.source_feed)?;
        let own = read(&job.target_feed);
        let reference = Reference::new(&job.source, std::slice::from_ref(&theirs)).map_err(|e| none(e.to_string()))?;
        let laid = |v: ValueId| {
            let pair = self.pairs.get(&v)?;
            let value = pair.layout.apply(reference.values(pair.source)?.first()?)?;
            Some(job.target.coded(v, &value).into_owned())
        };
        let mut inputs = Vec::new();
        let open = read_from_outside(&job.target, &self.ops);
        let types = self.types(&open, own.as_deref().unwrap_or_default());
        for v in &open {
            let slot = job.target.inputs().iter().position(|i| i == v);
            let whole = slot.and_then(|s| own.as_ref().ok().and_then(|x| x.get(s)).or_else(|| theirs.get(s)).cloned());
            let given = laid(*v).map(|x| types.get(v).and_then(|t| x.cast(*t)).unwrap_or(x));
            // The recipe is at fault: its own tensor shows it. Elsewhere the source's values single the region out.
            let recipe = matches!(self.suspect.category, Category::PP | Category::ID) && self.suspect.region.is_none();
            let value = if recipe { whole.or(given) } else { given.or(whole) };
            match value {
                Some(value) => inputs.push((*v, value)),
                // What nothing makes stays open: that it is read is the fault.
                None if slot.is_none() && job.target.producer(*v).is_none() => {}
                None => return Err(none(format!("'{}' has no partner in the source", job.target.model().index().name(*v)))),
            }
        }
        let outputs = self.outputs(&reference, laid);
        let model = cut(&job.target, &self.ops, &inputs, &outputs).map_err(ReproducerError::Cut)?;
        let named = |of: &[(ValueId, Value)]| {
            of.iter().map(|(v, x)| (job.target.model().index().name(*v).to_string(), x.clone())).collect::<Vec<_>>()
        };
        let expected: Vec<(ValueId, Value)> = outputs.iter().filter_map(|(v, x)| Some((*v, x.clone()?))).collect();
        let set = TestSet { inputs: named(&inputs), outputs: named(&expected) };
        let shown = show(&model, &set);
        let mut sets = vec![set];
        sets.extend(self.mended(image, &inputs, &expected));
        let source = self.source(&reference, &expected);
        let image = job.images.items()[image].name.clone();
        Ok(Reproducer { model, sets, source, shown, image, issue: String::new() })
    }

    /// What the part gives, with what it should be where that is known.
    fn outputs(&self, reference: &Reference<'_>, laid: impl Fn(ValueId) -> Option<Value>) -> Vec<(ValueId, Option<Value>)> {
        let target = &self.job.target;
        if self.suspect.region.is_none() && self.suspect.category == Category::TS {
            // The outputs themselves are at fault: each is held against the source's at its place.
            let at = |slot: usize| self.job.source.outputs().get(slot).and_then(|v| reference.values(*v)?.first().cloned());
            return target.outputs().iter().enumerate().map(|(slot, v)| (*v, at(slot))).collect();
        }
        let all: Vec<(ValueId, Option<Value>)> = read_by_others(target, &self.ops).into_iter().map(|v| (v, laid(v))).collect();
        let known: Vec<_> = all.iter().filter(|(_, x)| x.is_some()).cloned().collect();
        if known.is_empty() { all } else { known }
    }

    /// Element types of some values in a run of the target.
    fn types(&self, of: &[ValueId], inputs: &[Value]) -> HashMap<ValueId, crate::model::onnx::tensor_proto::DataType> {
        let mut out = HashMap::new();
        let network = &self.job.target;
        network.forward(inputs, |id, made| {
            if let Ok(made) = made {
                out.extend(network.op(id).made().zip(made).filter(|(v, _)| of.contains(v)).map(|(v, x)| (v, x.dtype())));
            }
        });
        out
    }

    /// The same with the recipe put right.
    fn mended(&self, image: usize, inputs: &[(ValueId, Value)], expected: &[(ValueId, Value)]) -> Option<TestSet> {
        let recipe = self.suspect.remedies.first().and_then(|f| f.remedy.recipe.clone())?;
        let feed = Feed::new(self.job.target.model(), Some(recipe));
        let given = self.job.images.inputs(image, &[&feed]).ok()?.remove(0);
        let target = &self.job.target;
        let name = |v: ValueId| target.model().index().name(v).to_string();
        let input = |(v, x): &(ValueId, Value)| {
            let slot = target.inputs().iter().position(|i| i == v);
            (name(*v), slot.and_then(|s| given.get(s)).unwrap_or(x).clone())
        };
        let outputs = expected.iter().map(|(v, x)| (name(*v), x.clone())).collect();
        Some(TestSet { inputs: inputs.iter().map(input).collect(), outputs })
    }

    /// The source's nodes in the place of the part, with the same image.
    fn source(&self, reference: &Reference<'_>, expected: &[(ValueId, Value)]) -> Option<(ModelProto, TestSet)> {
        let network = &self.job.source;
        let regions = self.findings.regions.iter().filter(|r| r.target.iter().any(|id| self.ops.contains(id)));
        let mut ops: BTreeSet<OpId> = regions.flat_map(|r| r.source.iter().copied()).collect();
        let of_outputs = self.suspect.region.is_none() && self.suspect.category == Category::TS;
        if of_outputs {
            ops.extend(network.outputs().iter().filter_map(|v| network.producer(*v)));
        }
        let made: HashSet<ValueId> = ops.iter().flat_map(|id| network.op(*id).made()).collect();
        let wanted: Vec<ValueId> = match of_outputs {
            true => network.outputs().to_vec(),
            false => expected.iter().filter_map(|(v, _)| self.pairs.get(v)).map(|p| p.source).collect(),
        };
        let value = |v: ValueId| reference.values(v).and_then(|x| x.first()).cloned();
        let mut outputs: Vec<(ValueId, Option<Value>)> = Vec::new();
        for v in wanted.into_iter().filter(|v| made.contains(v)) {
            if !outputs.iter().any(|(o, _)| *o == v) {
                outputs.push((v, value(v)));
            }
        }
        let inputs: Vec<(ValueId, Value)> =
            read_from_outside(network, &ops).into_iter().map(|v| Some((v, value(v)?))).collect::<Option<_>>()?;
        if outputs.is_empty() || ops.len() > MOST {
            return None;
        }
        let model = cut(network, &ops, &inputs, &outputs).ok()?;
        let name = |v: ValueId| network.model().index().name(v).to_string();
        let outputs = outputs.into_iter().filter_map(|(v, x)| Some((name(v), x?))).collect();
        Some((model, TestSet { inputs: inputs.into_iter().map(|(v, x)| (name(v), x)).collect(), outputs }))
    }
}

/// What a part shows on the engine that is built in.
fn show(proto: &ModelProto, set: &TestSet) -> Shown {
    let network = Model::read(proto.encode_to_vec().into(), None).map_err(|e| e.to_string()).and_then(|model| {
        // What a strict runtime refuses does not run, even where ours would go on.
        match check(&model).into_iter().find(|f| f.severity == Severity::Error) {
            Some(refused) => Err(refused.to_string()),
            None => Network::new(&model).map_err(|e| e.to_string()),
        }
    });
    let network = match network {
        Ok(network) => network,
        Err(why) => return Shown::Fails(why),
    };
    let index = network.model().index();
    let inputs: Vec<Value> =
        network.inputs().iter().filter_map(|v| set.inputs.iter().find(|(n, _)| n == index.name(*v))).map(|(_, x)| x.clone()).collect();
    let mut made: HashMap<String, Value> = HashMap::new();
    let mut failure = None;
    network.forward(&inputs, |id, results| match results {
        Ok(results) => made.extend(network.op(id).made().map(|v| index.name(v).to_string()).zip(results.iter().cloned())),
        Err(why) => drop(failure.get_or_insert(why.to_string())),
    });
    if let Some(why) = failure {
        return Shown::Fails(why);
    }
    let mut worst = Shown::Nothing;
    for (name, wanted) in &set.outputs {
        let (relative, largest) = match made.get(name) {
            Some(x) if x.shape() == wanted.shape() => {
                let (x, y) = (x.to_f32(), wanted.to_f32());
                (relative_error(&x, &y), x.iter().zip(y.iter()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max))
            }
            Some(_) => (f32::INFINITY, f32::INFINITY),
            None => continue,
        };
        let before = if let Shown::Differs { relative, .. } = &worst { *relative } else { 0.0 };
        if relative > before || relative.is_nan() {
            worst = Shown::Differs { output: name.clone(), relative, largest };
        }
    }
    worst
}
