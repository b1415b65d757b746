//! Faults on demand: a copy of any model with one fault of a known kind in it, and the truth about it.
//!
//! The inverse view of diagnosis. A fault is an [`Edit`] like any remedy, so that taking it back is what a repair should do. Each kind
//! has one or more *variants*, ways in which such a fault comes about; a variant looks at one op and makes an edit of it or passes. Ops
//! are asked in an order that the seed decides until a fault runs and is felt at the outputs. Only structure and numbers count, as in
//! diagnosis: the faults fit any model.

mod activations;
mod graph;
mod input;
mod norms;
mod pictures;
mod recipes;
mod scene;
mod shapes;
mod truth;
mod weights;
mod windows;

pub use recipes::{InjectedRecipe, inject_recipe};
pub use truth::{Injected, Truth};

use super::Kind;
use crate::align::{Precision, relative_error};
use crate::model::onnx::tensor_proto::DataType;
use crate::model::{Edit, Model, ModelError, Severity, check};
use crate::run::{Network, OpId, RunError, Value};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use scene::Scene;

/// The smallest relative error of an output that counts as an effect. Rounding stays two orders below it; where the model itself computes
/// more coarsely, an effect must be larger than what the coarser numbers do.
pub const LEAST_EFFECT: f32 = 3e-3;

/// Ops that are asked for one fault before the variant is given up: on a deep network most places are alike.
const MOST_TRIALS: usize = 48;

/// Why faults cannot be put into a model.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InjectError {
    /// The model cannot be read.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// It does not run as it is, so that the effect of a fault cannot be measured.
    #[error("the model does not run as it is")]
    Run(#[from] RunError),
    /// The checker refuses it.
    #[error("the model does not run as it is: {0}")]
    Unsound(String),
    /// A tensor for the model's input cannot be made up.
    #[error("input '{input}': {why}; give an image to run on")]
    Input {
        /// Name of the input.
        input: String,
        /// What is missing.
        why: String,
    },
}

/// One way in which a fault of a kind comes about.
#[derive(Debug, Clone, Copy)]
struct Variant {
    kind: Kind,
    /// Unique within the kind.
    name: &'static str,
    /// The fault at this op, where the variant has one there. The edit need not run yet.
    make: fn(&Scene, OpId, &mut SmallRng) -> Option<Fault>,
}

/// How a fault is tried.
#[derive(Debug, Clone, PartialEq)]
enum Trial {
    /// It must run, keep the shapes of all outputs, and change them.
    Effect,
    /// It must run; the outputs are others.
    Runs,
    /// It must run on the input with its axes in this order, and change the outputs.
    Permuted(Vec<usize>),
    /// It must not run.
    Fails,
    /// It must not run, or change the outputs, on the input as somebody gives it who believes the declaration.
    Declared(Declared),
    /// What it does depends on how the input is made.
    Untried,
}

/// How the input is changed to fit a declaration.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Declared {
    /// Repeated along the batch axis.
    Batch(usize),
    /// Of another element type.
    Type(DataType),
}

/// A fault that was not tried yet.
#[derive(Debug, Clone)]
struct Fault {
    edit: Edit,
    nodes: Vec<String>,
    tensors: Vec<String>,
    note: String,
    also: Vec<Kind>,
    trial: Trial,
}

impl Fault {
    fn new(edit: impl Into<Edits>, note: impl Into<String>) -> Self {
        let Edits(mut edits) = edit.into();
        let edit = if edits.len() == 1 { edits.remove(0) } else { Edit::All(edits) };
        Self { edit, nodes: Vec::new(), tensors: Vec::new(), note: note.into(), also: Vec::new(), trial: Trial::Effect }
    }
    fn at(mut self, node: impl Into<String>) -> Self {
        self.nodes.push(node.into());
        self
    }
    fn on(mut self, tensor: impl Into<String>) -> Self {
        self.tensors.push(tensor.into());
        self
    }
    fn or(mut self, kinds: &[Kind]) -> Self {
        self.also.extend(kinds);
        self
    }
    fn tried(mut self, trial: Trial) -> Self {
        self.trial = trial;
        self
    }
}

/// One edit or several.
struct Edits(Vec<Edit>);

impl From<Edit> for Edits {
    fn from(edit: Edit) -> Self {
        Self(vec![edit])
    }
}

impl From<Vec<Edit>> for Edits {
    fn from(edits: Vec<Edit>) -> Self {
        Self(edits)
    }
}

/// All variants, by kind in the order of the catalogue.
fn variants() -> impl Iterator<Item = &'static Variant> {
    let all =
        [input::VARIANTS, shapes::VARIANTS, weights::VARIANTS, norms::VARIANTS, windows::VARIANTS, activations::VARIANTS, graph::VARIANTS];
    all.into_iter().flatten()
}

/// The ways in which faults of a kind are made in a graph; empty for the kinds of a recipe.
pub fn variants_of(kind: Kind) -> Vec<&'static str> {
    variants().filter(|v| v.kind == kind).map(|v| v.name).collect()
}

/// Puts faults into one model. Runs it once; what a fault does not touch is not run again.
pub struct Injector {
    scene: Scene,
    least_effect: f32,
}

impl Injector {
    /// Makes a model ready. `inputs` are the tensors of one image; without them they are made up from the declared shapes.
    ///
    /// # Errors
    /// When the model cannot be read or does not run.
    pub fn new(model: &Model, inputs: Option<Vec<Value>>) -> Result<Self, InjectError> {
        if let Some(finding) = check(model).into_iter().find(|f| f.severity == Severity::Error) {
            return Err(InjectError::Unsound(finding.to_string()));
        }
        let inputs = inputs.map_or_else(|| pictures::inputs(model), Ok)?;
        let network = Network::new(model)?;
        let least_effect = match Precision::of(&network) {
            Precision::Float => LEAST_EFFECT,
            coarse => coarse.tau(),
        };
        Ok(Self { scene: Scene::new(network, inputs)?, least_effect })
    }

    /// A fault of this kind, the same for the same seed. `None` when no fault of the kind fits the model and has an effect.
    pub fn inject(&self, kind: Kind, seed: u64) -> Option<Injected> {
        let mut of_kind: Vec<_> = variants().filter(|v| v.kind == kind).collect();
        of_kind.shuffle(&mut SmallRng::seed_from_u64(mixed(seed, kind.id())));
        of_kind.into_iter().find_map(|v| self.draw(v, seed))
    }

    /// A fault of this kind that comes about in one way; see [`variants_of`].
    pub fn inject_as(&self, kind: Kind, variant: &str, seed: u64) -> Option<Injected> {
        variants().find(|v| v.kind == kind && v.name == variant).and_then(|v| self.draw(v, seed))
    }

    /// At how many ops a fault of this kind can be tried. Those without an effect count, too.
    pub fn places(&self, kind: Kind) -> usize {
        let fits = |op: &OpId| {
            variants().filter(|v| v.kind == kind).any(|v| (v.make)(&self.scene, *op, &mut SmallRng::seed_from_u64(0)).is_some())
        };
        self.scene.network.op_ids().filter(fits).count()
    }

    fn draw(&self, variant: &Variant, seed: u64) -> Option<Injected> {
        let mut rng = SmallRng::seed_from_u64(mixed(seed, &format!("{} {}", variant.kind.id(), variant.name)));
        let mut ops: Vec<OpId> = self.scene.network.op_ids().collect();
        ops.shuffle(&mut rng);
        let mut trials = 0;
        for op in ops {
            // Each place has its own chance, so that it does not depend on how much others took.
            let mut own = SmallRng::seed_from_u64(rng.random());
            let Some(fault) = (variant.make)(&self.scene, op, &mut own) else { continue };
            if let Some((model, effect)) = self.trial(&fault) {
                return Some(Injected::new(variant, fault, model, effect));
            }
            trials += 1;
            if trials >= MOST_TRIALS {
                break;
            }
        }
        None
    }

    /// The faulty model and the relative error of its outputs, when the fault does what is wanted of it.
    fn trial(&self, fault: &Fault) -> Option<(Model, Option<f32>)> {
        let (model, _) = self.scene.network.model().apply(&fault.edit).ok()?;
        let run = |inputs: &[Value]| self.scene.rerun(&model, inputs);
        match &fault.trial {
            Trial::Untried => Some((model, None)),
            Trial::Fails => run(&self.scene.inputs).is_err().then_some((model, None)),
            Trial::Runs => run(&self.scene.inputs).is_ok_and(|o| o.iter().all(finite)).then_some((model, None)),
            Trial::Effect => self.felt(model.clone(), run(&self.scene.inputs).ok()?),
            Trial::Declared(how) => {
                let given: Option<Vec<_>> = self.scene.inputs.iter().map(|v| how.of(v)).collect();
                let works = run(&given?).is_ok_and(|made| made.iter().zip(&self.scene.outputs).all(|(a, b)| self.begins_alike(a, b)));
                (!works).then_some((model, None))
            }
            Trial::Permuted(perm) => {
                let inputs: Option<Vec<_>> = self.scene.inputs.iter().map(|v| v.transpose(perm)).collect();
                let made = run(&inputs?).ok()?;
                self.felt(model, made)
            }
        }
    }

    fn felt(&self, model: Model, outputs: Vec<Value>) -> Option<(Model, Option<f32>)> {
        let wanted = &self.scene.outputs;
        if outputs.len() != wanted.len() || outputs.iter().zip(wanted).any(|(a, b)| a.shape() != b.shape()) {
            return None;
        }
        let errors = outputs.iter().zip(wanted).map(|(a, b)| relative_error(&a.to_f32(), &b.to_f32()));
        let effect = errors.fold(0.0f32, f32::max);
        (effect.is_finite() && effect > self.least_effect).then_some((model, Some(effect)))
    }

    /// Whether an output of one or more images begins with what it was for the first.
    fn begins_alike(&self, made: &Value, wanted: &Value) -> bool {
        let (made, wanted) = (made.to_f32(), wanted.to_f32());
        made.get(..wanted.len()).is_some_and(|first| relative_error(first, &wanted) <= self.least_effect)
    }
}

impl Declared {
    fn of(self, value: &Value) -> Option<Value> {
        match self {
            Self::Type(dtype) => value.cast(dtype),
            Self::Batch(n) => {
                let mut shape = value.shape().to_vec();
                *shape.first_mut()? *= n;
                Value::from_bytes(value.dtype(), &shape, &value.bytes().repeat(n)).ok()
            }
        }
    }
}

/// Puts a fault of this kind into a model: [`Injector::inject`] for one fault alone, on inputs that are made up.
///
/// # Errors
/// When the model cannot be read or does not run as it is.
pub fn inject(model: &Model, kind: Kind, seed: u64) -> Result<Option<Injected>, InjectError> {
    Ok(Injector::new(model, None)?.inject(kind, seed))
}

fn finite(value: &Value) -> bool {
    value.to_f32().iter().all(|x| x.is_finite())
}

/// A seed of its own for each purpose (FNV-1a).
fn mixed(seed: u64, purpose: &str) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    purpose.bytes().fold(start, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// One of these.
fn pick<T: Copy>(rng: &mut SmallRng, of: &[T]) -> Option<T> {
    if of.is_empty() { None } else { Some(of[rng.random_range(0..of.len())]) }
}
