//! Pairing two graphs by their numbers: values that stand for each other, and the regions between them.
//!
//! The target is walked in topological order while every paired value is replaced by the source's own (teacher forcing), so that
//! each node is judged on right inputs and only the node that introduces an error shows one. Structure gives candidates, numbers
//! decide; names are never looked at.

mod counterparts;
mod exact;
mod layout;
mod numbers;
mod reference;
mod regions;
mod resync;
mod rivals;
mod swaps;
mod walk;

pub use layout::{Layout, candidates};
pub use numbers::{Fingerprint, error_between, relative_error, worst_error};
pub use reference::Reference;
pub(crate) use reference::moves;

use crate::model::ValueId;
use crate::model::onnx::tensor_proto::DataType;
use crate::run::{Network, OpId, RunError, Value};
use std::collections::{HashMap, HashSet};
use walk::Walk;

/// A source value and the target value that stands for it.
#[derive(Debug, Clone)]
pub struct Pair {
    /// Value of the source; beyond the source's values: see [`Reference::virtual_of`].
    pub source: ValueId,
    /// Value of the target.
    pub target: ValueId,
    /// How the source's value is laid out in the target.
    pub layout: Layout,
    /// Element type of the target's value.
    pub dtype: DataType,
    /// Isolated error: of what the target computes here from the source's values, relative L2, the worst image.
    pub error: f32,
    /// Why the two are taken for a pair.
    pub kind: PairKind,
    /// From 0 to 1.
    pub confidence: f32,
}

/// Why two values are taken for a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PairKind {
    /// Their numbers are equal up to the layout and the floor.
    Equal,
    /// What follows is equal once they are taken for a pair.
    Inferred(String),
    /// The user said so.
    Pinned,
}

/// What isolation says of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// At the floor.
    Clean,
    /// Above the floor: an error arises here.
    Faulty,
    /// Cannot run, or cannot be compared.
    Unchecked,
}

/// The nodes between paired values, on both sides. Every op of the target lies in one region.
#[derive(Debug, Clone)]
pub struct Region {
    /// Ops of the source, in order; empty for a node that only the target has.
    pub source: Vec<OpId>,
    /// Ops of the target, in order; empty for a node that only the source has.
    pub target: Vec<OpId>,
    /// Indices into the pairs: values the region's target side reads.
    pub inputs: Vec<usize>,
    /// Indices into the pairs: values the region's target side makes.
    pub outputs: Vec<usize>,
    /// Worst isolated error over the outputs.
    pub isolated: Option<f32>,
    /// Worst accumulated error over the outputs, in a plain run of the target.
    pub accumulated: Option<f32>,
    /// What isolation says.
    pub verdict: Verdict,
    /// Why it is unchecked.
    pub why: Option<String>,
}

/// What the user says of pairs, by name of value.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    /// Target value to source value.
    pub pins: HashMap<String, String>,
    /// Target and source values that are no pair.
    pub forbidden: Vec<(String, String)>,
}

/// How exactly the target computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Precision {
    /// Single precision throughout.
    Float,
    /// Half precision somewhere.
    Half,
    /// Quantised somewhere.
    Quantized,
}

impl Precision {
    /// Looks at operators and element types of a network.
    pub fn of(network: &Network) -> Self {
        // Weights alone may be: what is behind a DequantizeLinear then computes in floats, off by the steps of its weights.
        let model = network.model();
        if model.nodes().any(|(_, n)| Self::quantises(n.op_type())) {
            return Self::Quantized;
        }
        let half = |t: DataType| matches!(t, DataType::Float16 | DataType::Bfloat16);
        if model.initializers().any(|t| half(DataType::try_from(t.data_type()).unwrap_or_default()))
            || network.ops().iter().any(|o| o.inputs.iter().flatten().filter_map(|v| network.constant(*v)).any(|c| half(c.dtype())))
        {
            return Self::Half;
        }
        Self::Float
    }

    /// How exactly the two can agree: the lower precision of both, and half precision where all weights of the target, and not those of the
    /// source, are numbers that have it (bfloat16 has fewer digits still), whatever they are stored as.
    pub fn between(source: &Network, target: &Network) -> Self {
        let rounded = |network: &Network| {
            let weights = network.ops().iter().flat_map(|op| op.inputs.iter().flatten()).filter_map(|v| network.constant(*v));
            let weights = weights.filter(|c| c.dtype() == DataType::Float && c.len() >= 16);
            let (short, all) = weights.fold((0usize, 0usize), |(short, all), c| {
                let bits = |x: &&f32| x.to_bits() & 0x1fff == 0;
                (short + c.to_f32().iter().filter(bits).count(), all + c.len())
            });
            all > 0 && short * 10 >= all * 9
        };
        let least = Self::of(target).max(Self::of(source));
        if least == Self::Float && rounded(target) && !rounded(source) { Self::Half } else { least }
    }

    /// Whether an operator quantises, or computes with what is quantised.
    fn quantises(op: &str) -> bool {
        ["uantizeLinear", "QLinear", "MatMulInteger", "ConvInteger", "MatMulNBits", "BlockQuantized", "DynamicQuantize"]
            .iter()
            .any(|w| op.contains(w))
            || matches!(op, "QGemm" | "QAttention" | "MatMulBnb4")
    }

    /// The largest relative error at which two values are taken for equal. Kept tight: a loose one takes x and relu(x) for a pair.
    pub fn tau(self) -> f32 {
        match self {
            Self::Float => 1e-4,
            Self::Half => 1e-2,
            Self::Quantized => 0.12,
        }
    }
}

/// One input of the target: what it is fed, and the source input that it stands for.
#[derive(Debug, Clone)]
pub struct Feed {
    /// One value for each image.
    pub values: Vec<Value>,
    /// The source's input and the layout between them; `None` where the tensors differ by more than a layout.
    pub partner: Option<(ValueId, Layout)>,
}

/// A target aligned with its source.
pub struct Alignment<'a> {
    walk: Walk<'a>,
    /// Pairs, in the target's order.
    pub pairs: Vec<Pair>,
    /// Regions, in the target's order.
    pub regions: Vec<Region>,
}

/// An input of a node that should read another source value.
#[derive(Debug, Clone)]
pub struct WrongInput {
    /// The node.
    pub consumer: OpId,
    /// The target value that it reads.
    pub input: ValueId,
    /// The source value whose partner it should read.
    pub wanted: ValueId,
    /// The layout in which it should have it.
    pub layout: Layout,
}

/// Aligns a target with its source on a few images.
///
/// # Errors
/// None at present: what does not run is unchecked.
pub fn align<'a>(
    target: &'a Network,
    source: &'a Reference<'a>,
    feeds: &[Feed],
    tau: f32,
    hints: &'a Hints,
) -> Result<Alignment<'a>, RunError> {
    let given: Vec<_> = feeds.iter().map(|f| (f.values.clone(), f.partner.clone())).collect();
    let mut walk = Walk::start(target, source, &given, tau, hints);
    walk.run();
    tracing::debug!(pairs = walk.pairs.len(), "walked");
    walk.resynchronise();
    tracing::debug!(pairs = walk.pairs.len(), "resynchronised");
    if walk.pairs.values().any(|k| matches!(k.kind, PairKind::Inferred(_))) {
        walk.measure();
        walk.drop_needless();
        walk.measure();
    }
    tracing::debug!("measured");
    let accumulated = walk.accumulated(&given);
    tracing::debug!("run plainly");
    let (pairs, regions) = walk.finish(&accumulated);
    Ok(Alignment { walk, pairs, regions })
}

/// How many weighted nodes before `end` make, fed like this, what some node of the source makes.
pub(crate) fn paired_up_to(target: &Network, source: &Reference<'_>, feeds: &[Feed], tau: f32, hints: &Hints, end: OpId) -> usize {
    let given: Vec<_> = feeds.iter().map(|f| (f.values.clone(), f.partner.clone())).collect();
    let mut walk = Walk::start(target, source, &given, tau, hints);
    let mut paired = 0;
    let mut weighted: HashSet<ValueId> = HashSet::new();
    for id in target.op_ids().take_while(|id| *id < end) {
        walk.step(id);
        let op = target.op(id);
        let telling = walk.discriminates(id) || op.data.iter().any(|v| weighted.contains(v));
        for v in op.made() {
            if telling && walk.pairs.contains_key(&v) {
                paired += 1;
            } else if telling {
                weighted.insert(v);
            }
        }
    }
    paired
}

impl<'a> Alignment<'a> {
    /// The target.
    pub fn target(&self) -> &'a Network {
        self.walk.target
    }
    /// The source on the images.
    pub fn source(&self) -> &'a Reference<'a> {
        self.walk.source
    }
    /// Largest error at which values are taken for equal.
    pub fn tau(&self) -> f32 {
        self.walk.tau
    }
    /// How many images were looked at.
    pub fn images(&self) -> usize {
        self.walk.images
    }
    /// What consumers of a target value are given, image by image: the source's value where paired. `None` where no image has one.
    pub fn fed(&self, v: ValueId) -> Option<&[Value]> {
        self.walk.fed.get(&v).map(Vec::as_slice).filter(|x| !x.is_empty())
    }
    /// What the target makes there from what it is given; kept for values that are not equal.
    pub fn computed(&self, v: ValueId) -> Option<&[Value]> {
        self.walk.computed.get(&v).map(Vec::as_slice).filter(|x| !x.is_empty())
    }
    /// The pair of a target value.
    pub fn pair_of(&self, v: ValueId) -> Option<&Pair> {
        self.pairs.iter().find(|p| p.target == v)
    }
    /// Whether a target value depends on the image through anything but shapes.
    pub fn is_live(&self, v: ValueId) -> bool {
        self.walk.live.contains(&v)
    }
    /// Why an op does not run.
    pub fn failure(&self, id: OpId) -> Option<&RunError> {
        self.walk.failed.get(&id)
    }
    /// Ops that do not run, in order.
    pub fn failures(&self) -> Vec<OpId> {
        let mut ids: Vec<OpId> = self.walk.failed.keys().copied().collect();
        ids.sort();
        ids
    }
    /// Inputs that should be other source values.
    pub fn wrong_inputs(&self) -> Vec<WrongInput> {
        let found = self.walk.wrong_inputs.iter();
        found.map(|(c, i, w, l)| WrongInput { consumer: *c, input: *i, wanted: *w, layout: l.clone() }).collect()
    }
    /// Values of the target that have no partner though something depends on them.
    pub fn unexplained(&self) -> HashSet<ValueId> {
        self.walk.dirty().values
    }
    /// Largest isolated error of a region in which nothing is rounded though the target rounds elsewhere; `None` for any other region.
    pub fn exact(&self, region: &Region) -> Option<f32> {
        region.target.iter().all(|id| self.walk.is_exact(*id)).then_some(exact::EXACT)
    }
    /// What was noticed, in words.
    pub fn log(&self) -> &[String] {
        &self.walk.log
    }
    /// Runs one op of the target on what it is given, `instead` in place of some values; a list of images for each output.
    ///
    /// # Errors
    /// When the node does not run.
    pub fn eval(&self, id: OpId, instead: &HashMap<ValueId, Vec<Value>>, images: usize) -> Result<Vec<Vec<Value>>, RunError> {
        self.walk.eval(id, instead, images)
    }
    /// What `stop` becomes when some values are replaced, over at most `depth` nodes.
    pub fn value_below(&self, given: HashMap<ValueId, Vec<Value>>, images: usize, depth: usize, stop: ValueId) -> Option<Vec<Value>> {
        self.walk.value_below(given, images, depth, &walk::Dirty::default(), stop)
    }
    /// Source values up to `hops` steps above one.
    pub fn above(&self, s: ValueId, hops: usize) -> Vec<ValueId> {
        self.walk.above(s, hops)
    }
    /// A source value laid out for the target, in the element type of the target value `like`.
    pub fn laid(&self, s: ValueId, layout: &Layout, like: ValueId, images: usize) -> Option<Vec<Value>> {
        self.walk.laid(s, layout, like, images)
    }
}
