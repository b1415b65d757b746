//! A model for its outputs only: one optimised plan, images in parallel.

use super::error::RunError;
use super::inputs::Fit;
use super::network::Network;
use super::plan::{Plan, Session};
use super::value::Value;
use super::watch::Watch;
use crate::model::{Model, NodeId};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Which engine gives a model's outputs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Runtime {
    /// tract, built in.
    #[default]
    Tract,
    /// onnxruntime, from this library, or from the one that `ORT_DYLIB_PATH` names. Needs the cargo feature `ort`.
    Ort {
        /// Path of `libonnxruntime.so`.
        library: Option<PathBuf>,
    },
}

/// How to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOptions {
    /// Threads; 0 is one for each core.
    pub threads: usize,
    /// Bytes that one value may take.
    pub max_mem: u64,
    /// Engine.
    pub runtime: Runtime,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self { threads: 0, max_mem: super::budget::DEFAULT, runtime: Runtime::Tract }
    }
}

impl RunOptions {
    /// Threads to start for this many pieces of work; at least one.
    pub fn threads_for(&self, work: usize) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let wanted = if self.threads == 0 { cores() } else { self.threads };
        wanted.min(work).max(1)
    }
}

/// What gives the outputs.
#[derive(Debug)]
enum Engine {
    Whole(Plan),
    /// Node by node, because the whole cannot be built or is not to be trusted.
    Nodes,
    #[cfg(feature = "ort")]
    Ort(super::ort::OrtModel),
}

/// What one image gives.
type Outputs = Result<Vec<Value>, RunError>;

/// Shapes of one image's inputs.
type Shapes = Vec<Vec<usize>>;

/// A model made ready to give its outputs for many images.
#[derive(Debug)]
pub struct Runner {
    network: Arc<Network>,
    engine: Engine,
    options: RunOptions,
    fit: Fit,
    shapes: Shapes,
    others: Mutex<Vec<(Shapes, Option<Plan>)>>,
    unsupported: Vec<(NodeId, RunError)>,
    note: Option<String>,
}

impl Runner {
    /// Makes a model ready. `example` are the inputs of one image, in the model's order: they give the shapes, and show on a
    /// first run node by node what cannot run and whether the optimised plan is to be trusted.
    ///
    /// # Errors
    /// When a weight cannot be read, the inputs contradict the declared ones, or the runtime asked for is not there. A node
    /// that cannot run is no error here: see [`Runner::unsupported`].
    pub fn new(model: &Model, example: &[Value], options: &RunOptions) -> Result<Self, RunError> {
        let network = Network::limited(model, options.max_mem).map_err(|e| RunError::new(e.to_string()))?;
        Self::of(Arc::new(network), example, options)
    }

    /// The same for a network that is there already.
    ///
    /// # Errors
    /// As [`Runner::new`].
    pub fn of(network: Arc<Network>, example: &[Value], options: &RunOptions) -> Result<Self, RunError> {
        let fit = Fit::new(network.model(), example, network.limit())?;
        let shapes: Shapes = example.iter().map(|v| v.shape().to_vec()).collect();
        let mut out = Self {
            network,
            engine: Engine::Nodes,
            options: options.clone(),
            fit,
            shapes,
            others: Mutex::default(),
            unsupported: Vec::new(),
            note: None,
        };
        match &options.runtime {
            Runtime::Tract => out.choose(example),
            #[cfg(feature = "ort")]
            Runtime::Ort { library } => out.engine = Engine::Ort(super::ort::OrtModel::new(out.network.model(), library.as_deref())?),
            #[cfg(not(feature = "ort"))]
            Runtime::Ort { .. } => {
                return Err(RunError::new("this fixcon was built without onnxruntime; build it with --features ort"));
            }
        }
        Ok(out)
    }

    /// Builds the whole plan and holds it against a run node by node.
    fn choose(&mut self, example: &[Value]) {
        let inputs = self.fit.apply(example);
        let (by_nodes, unsupported) = self.node_by_node(&inputs);
        self.unsupported = unsupported;
        let Ok(by_nodes) = by_nodes else { return };
        let whole = Plan::new(&self.network, &inputs).and_then(|plan| Ok((plan.run(&inputs)?, plan)));
        match whole {
            Err(why) => self.note = Some(format!("runs node by node: {why}")),
            Ok((outputs, plan)) => {
                // How far apart rounding alone brings them, relative to the largest value: single nodes round half precision each.
                let tolerance = if self.network.has_halves() { 2e-2 } else { 1e-4 };
                if outputs.iter().zip(&by_nodes).all(|(a, b)| agree(a, b, tolerance)) {
                    self.engine = Engine::Whole(plan);
                } else {
                    self.note = Some("runs node by node: the optimised plan gives other values".into());
                }
            }
        }
    }

    /// The outputs node by node, and the nodes that do not run by themselves (those that only lack their input left out).
    fn node_by_node(&self, inputs: &[Value]) -> (Outputs, Vec<(NodeId, RunError)>) {
        let network = &self.network;
        let mut unsupported = Vec::new();
        let mut outputs: Vec<Option<Value>> = network.outputs().iter().map(|v| network.constant(*v).cloned()).collect();
        for (slot, v) in outputs.iter_mut().zip(network.outputs()) {
            if let Some(at) = network.inputs().iter().position(|i| i == v) {
                *slot = inputs.get(at).cloned();
            }
        }
        let mut lost = std::collections::HashSet::new();
        network.forward(inputs, |id, result| {
            let op = network.op(id);
            match result {
                Ok(made) => {
                    for (v, value) in op.made().zip(made) {
                        for (slot, _) in outputs.iter_mut().zip(network.outputs()).filter(|(_, o)| **o == v) {
                            *slot = Some(value.clone());
                        }
                    }
                }
                Err(why) => {
                    if !op.data.iter().any(|v| lost.contains(v)) {
                        unsupported.push((op.node, why.clone()));
                    }
                    lost.extend(op.made());
                }
            }
        });
        unsupported.extend(network.broken().iter().cloned());
        let missing = || match unsupported.first() {
            Some((_, why)) => why.clone(),
            None => RunError::new("an output is made by no node"),
        };
        (outputs.into_iter().collect::<Option<Vec<_>>>().ok_or_else(missing), unsupported)
    }

    /// The network.
    pub fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// Nodes that cannot run, with the reason; empty when all can.
    pub fn unsupported(&self) -> &[(NodeId, RunError)] {
        &self.unsupported
    }

    /// Whether an image is given several times, because the model's batch is fixed.
    pub fn repeats(&self) -> bool {
        self.fit.repeats()
    }

    /// Why the model does not run as one optimised plan, if it does not.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// The outputs for images `0..count`, in order; `inputs` gives an image's inputs and is called on the threads that run them.
    /// The result is the same for any number of threads. When `watch` asks to stop, the images left out say so.
    pub fn outputs(
        &self,
        count: usize,
        inputs: impl Fn(usize) -> Result<Vec<Value>, RunError> + Sync,
        watch: &dyn Watch,
    ) -> Vec<Result<Vec<Value>, RunError>> {
        let next = AtomicUsize::new(0);
        let done = AtomicUsize::new(0);
        let work = || {
            let mut mine = Vec::new();
            let mut session = None;
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= count || watch.cancelled() {
                    return mine;
                }
                mine.push((at, inputs(at).and_then(|x| self.one(&x, &mut session))));
                watch.progress("running", done.fetch_add(1, Ordering::Relaxed) + 1, count);
            }
        };
        let mut out: Vec<_> = (0..count).map(|_| Err(RunError::stopped())).collect();
        let threads = self.options.threads_for(count);
        let parts: Vec<Vec<(usize, Outputs)>> = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let first = work();
            std::iter::once(first).chain(others.into_iter().map(|t| t.join().unwrap_or_default())).collect()
        });
        for (at, result) in parts.into_iter().flatten() {
            out[at] = result;
        }
        out
    }

    /// The outputs for one image.
    ///
    /// # Errors
    /// When the inputs contradict the declared ones or a node does not run.
    pub fn run(&self, inputs: &[Value]) -> Result<Vec<Value>, RunError> {
        self.one(inputs, &mut None)
    }

    fn one(&self, inputs: &[Value], session: &mut Option<Session>) -> Result<Vec<Value>, RunError> {
        self.fit.check(self.network.model(), inputs, self.network.limit())?;
        let fitted = self.fit.apply(inputs);
        let outputs = match &self.engine {
            #[cfg(feature = "ort")]
            Engine::Ort(model) => model.run(&fitted),
            Engine::Nodes => self.node_by_node(&fitted).0,
            Engine::Whole(plan) if inputs.iter().map(Value::shape).eq(self.shapes.iter().map(|s| &s[..])) => {
                let mut ready = match session.take() {
                    Some(s) => s,
                    None => plan.session()?,
                };
                let outputs = ready.run(&fitted);
                // What a failed run leaves behind is not used again.
                *session = outputs.is_ok().then_some(ready);
                outputs
            }
            Engine::Whole(_) => match self.other(inputs, &fitted) {
                Some(plan) => plan.run(&fitted),
                None => self.node_by_node(&fitted).0,
            },
        };
        outputs.map(|o| self.fit.undo(o))
    }

    /// The plan for inputs of other shapes than the example's.
    fn other(&self, inputs: &[Value], fitted: &[Value]) -> Option<Plan> {
        let shapes: Shapes = inputs.iter().map(|v| v.shape().to_vec()).collect();
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, plan)) = others.iter().find(|(s, _)| *s == shapes) {
            return plan.clone();
        }
        let plan = Plan::new(&self.network, fitted).ok();
        // Images of many sizes would otherwise keep a packed copy of the weights for each.
        if others.len() >= 4 {
            others.remove(0);
        }
        others.push((shapes, plan.clone()));
        plan
    }
}

/// Whether two values are the same but for rounding.
fn agree(a: &Value, b: &Value, tolerance: f32) -> bool {
    if a.shape() != b.shape() || a.dtype() != b.dtype() {
        return false;
    }
    if !a.is_float() {
        return a.same(b);
    }
    let (x, y) = (a.to_f32(), b.to_f32());
    let largest = y.iter().filter(|v| v.is_finite()).fold(0f32, |m, v| m.max(v.abs()));
    x.iter().zip(y.iter()).all(|(x, y)| x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= tolerance * largest)
}
