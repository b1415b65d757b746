//! A model ready to run: constants folded with their origin kept, dead nodes marked, one evaluator for all nodes.

use super::codes::{Code, Part, codes};
use super::error::RunError;
use super::evaluator::{Evaluator, Input, Kernel};
use super::nested::{is_nested, opened};
use super::value::Value;
use crate::model::onnx::NodeProto;
use crate::model::{Model, ModelError, NodeExt, NodeId, ValueId, reads};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

/// A node of a network that is not constant, by its place in the order of running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpId(pub u32);

impl OpId {
    /// As an index into [`Network::ops`].
    pub fn at(self) -> usize {
        self.0 as usize
    }
}

/// A node that runs.
#[derive(Debug, Clone)]
pub struct Op {
    /// The model's node.
    pub node: NodeId,
    /// Inputs by slot; `None` where an optional one is missing.
    pub inputs: Vec<Option<ValueId>>,
    /// Outputs by slot; `None` where it has no name.
    pub outputs: Vec<Option<ValueId>>,
    /// The distinct inputs that are not constants.
    pub data: Vec<ValueId>,
    /// What is run.
    pub kernel: Kernel,
    /// Whether an output of the graph depends on it.
    pub live: bool,
}

impl Op {
    /// The node with names taken out.
    pub fn proto(&self) -> &NodeProto {
        self.kernel.node()
    }
    /// Operator type.
    pub fn op_type(&self) -> &str {
        self.kernel.node().op_type()
    }
    /// Outputs that have a name.
    pub fn made(&self) -> impl Iterator<Item = ValueId> + '_ {
        self.outputs.iter().flatten().copied()
    }
}

/// Where a constant comes from: initializers, and nodes that were folded.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// Initializers it was computed from.
    pub initializers: BTreeSet<ValueId>,
    /// Nodes that were folded into it, Constant nodes included.
    pub nodes: BTreeSet<NodeId>,
}

/// A model ready to run.
#[derive(Debug)]
pub struct Network {
    model: Model,
    /// As the file has it, functions and branches in their place.
    came: Model,
    ops: Vec<Op>,
    constants: HashMap<ValueId, Value>,
    origins: HashMap<ValueId, Origin>,
    producer: Vec<Option<OpId>>,
    consumers: Vec<Vec<OpId>>,
    broken: Vec<(NodeId, RunError)>,
    codes: HashMap<ValueId, Code>,
    evaluator: Arc<Evaluator>,
}

impl Network {
    /// Opens a model file and makes its flat form ready to run, with a limit for the bytes of one value.
    ///
    /// # Errors
    /// When it cannot be read or made flat, or as [`Network::new`].
    pub fn open(path: &Path, max_mem: u64) -> Result<Self, ModelError> {
        let came = Model::open(path)?;
        let mut out = Self::limited(&came.inlined()?, max_mem)?;
        out.came = came;
        Ok(out)
    }

    /// The model as its file has it, before any edit.
    pub fn came(&self) -> &Model {
        &self.came
    }

    /// Makes a model ready to run.
    ///
    /// # Errors
    /// When an initializer that a live node needs cannot be read.
    pub fn new(model: &Model) -> Result<Self, ModelError> {
        Self::with_evaluator(model, Arc::default(), None)
    }

    /// The same with another limit for the bytes of one value.
    ///
    /// # Errors
    /// As [`Network::new`].
    pub fn limited(model: &Model, max_mem: u64) -> Result<Self, ModelError> {
        Self::with_evaluator(model, Arc::new(Evaluator::limited(max_mem)), None)
    }

    /// Whether any weight is in half precision.
    pub fn has_halves(&self) -> bool {
        self.constants.values().any(|v| v.dtype() == crate::model::onnx::tensor_proto::DataType::Float16)
    }

    /// Bytes that one value may have.
    pub fn limit(&self) -> u64 {
        self.evaluator.limit()
    }

    /// The network of an edited model: plans and weights that the edit did not touch are shared with this one.
    ///
    /// # Errors
    /// As [`Network::new`].
    pub fn edited(&self, model: &Model) -> Result<Self, ModelError> {
        Self::with_evaluator(model, self.evaluator.clone(), Some(self))
    }

    /// [`Network::edited`] for an edit that is only tried: plans of weights that it brings are dropped with it.
    ///
    /// # Errors
    /// As [`Network::new`].
    pub fn tried(&self, model: &Model) -> Result<Self, ModelError> {
        Self::with_evaluator(model, Arc::new(Evaluator::upon(&self.evaluator)), Some(self))
    }

    fn with_evaluator(model: &Model, evaluator: Arc<Evaluator>, old: Option<&Self>) -> Result<Self, ModelError> {
        let index = model.index();
        let count = index.value_count();
        let mut read = vec![false; count];
        for v in index.outputs() {
            read[v.0 as usize] = true;
        }
        // Where a node reads what nothing makes, what nobody reads may be what it should: nothing counts as dead then.
        let known = |n: &str| {
            n.is_empty()
                || index.value(n).is_some_and(|v| index.producer(v).is_some() || index.is_initializer(v) || index.inputs().contains(&v))
        };
        if model.nodes().any(|(_, node)| node.input.iter().any(|n| !known(n))) {
            read.fill(true);
        }
        // What waits for a cycle never runs; it is kept out and named by the checker.
        let mut nodes = Vec::new();
        for id in index.order().iter().rev() {
            let node = model.node(*id);
            let live = node.output.iter().any(|o| index.value(o).is_some_and(|v| read[v.0 as usize]));
            nodes.push((*id, live));
            for v in reads(node).into_iter().filter(|_| live).filter_map(|n| index.value(n)) {
                read[v.0 as usize] = true;
            }
        }
        nodes.reverse();
        let mut out = Self {
            model: model.clone(),
            came: old.map_or(model, |old| &old.came).clone(),
            ops: Vec::new(),
            constants: HashMap::new(),
            origins: HashMap::new(),
            producer: vec![None; count],
            consumers: vec![Vec::new(); count],
            broken: Vec::new(),
            codes: HashMap::new(),
            evaluator,
        };
        for tensor in model.initializers() {
            let Some(id) = index.value(tensor.name()).filter(|id| read[id.0 as usize] || !index.consumers(*id).is_empty()) else {
                continue;
            };
            let kept = old.and_then(|old| old.unchanged(tensor));
            let value = match kept.map_or_else(|| Value::from_proto(model, tensor), Ok) {
                Ok(value) => value,
                Err(_) if !read[id.0 as usize] => continue,
                Err(why) => return Err(why),
            };
            out.constants.insert(id, value);
            out.origins.insert(id, Origin { initializers: [id].into(), nodes: BTreeSet::new() });
        }
        for (id, live) in nodes {
            out.add(id, live, old);
        }
        let parts: Vec<Part<'_>> = out.ops.iter().map(|op| Part { node: op.proto(), inputs: &op.inputs, outputs: &op.outputs }).collect();
        out.codes = codes(&parts, |v| out.constants.get(&v).cloned(), index.outputs());
        Ok(out)
    }

    /// The value of an initializer that this network read from the very same bytes.
    fn unchanged(&self, tensor: &crate::model::onnx::TensorProto) -> Option<Value> {
        let mine = self.model.initializer(tensor.name())?;
        let same = match (&mine.raw_data, &tensor.raw_data) {
            (Some(a), Some(b)) => {
                a.as_ptr() == b.as_ptr() && a.len() == b.len() && mine.dims == tensor.dims && mine.data_type == tensor.data_type
            }
            _ => mine == tensor,
        };
        if same { self.constants.get(&self.model.index().value(tensor.name())?).cloned() } else { None }
    }

    /// The kernel of a node, when this network has the very same one.
    fn kernel_of(&self, node: &NodeProto, opset: i64) -> Option<Kernel> {
        let made = self.model.index().value(node.output.iter().find(|o| !o.is_empty())?)?;
        let op = self.op(self.producer(made)?);
        (self.model.node(op.node) == node && op.kernel.opset() == opset).then(|| op.kernel.clone())
    }

    fn add(&mut self, id: NodeId, live: bool, old: Option<&Self>) {
        let model = self.model.clone();
        let node = &*match model.node(id) {
            node if is_nested(node) => Cow::Owned(opened(node)),
            node => Cow::Borrowed(node),
        };
        let value = |n: &String| if n.is_empty() { None } else { model.index().value(n) };
        let inputs: Vec<_> = node.input.iter().map(value).collect();
        let outputs: Vec<_> = node.output.iter().map(value).collect();
        let mut kernel = old.and_then(|old| old.kernel_of(node, model.opset(""))).unwrap_or_else(|| Kernel::new(node, model.opset("")));
        if let Some(constants) = self.fold(id, node, &kernel, &inputs, &outputs, old) {
            let mut origin = Origin { nodes: [id].into(), ..Origin::default() };
            for from in inputs.iter().flatten().filter_map(|v| self.origins.get(v)) {
                origin.initializers.extend(&from.initializers);
                origin.nodes.extend(&from.nodes);
            }
            for (v, value) in outputs.iter().flatten().zip(constants) {
                self.constants.insert(*v, value);
                self.origins.insert(*v, origin.clone());
            }
            return;
        }
        if !live {
            // What nothing reads does no harm.
            self.broken.retain(|(node, _)| *node != id);
        }
        let mut data: Vec<ValueId> = Vec::new();
        for v in inputs.iter().flatten().filter(|v| !self.constants.contains_key(v)) {
            if !data.contains(v) {
                data.push(*v);
            }
        }
        let op = OpId(self.ops.len() as u32);
        for v in &data {
            self.consumers[v.0 as usize].push(op);
        }
        for v in outputs.iter().flatten() {
            self.producer[v.0 as usize] = Some(op);
        }
        if kernel.node().op_type() == "Dropout" && inputs.len() > 1 {
            // Inference: ratio and training_mode do not matter, and tract wants them gone.
            let mut plain = node.clone();
            plain.input.truncate(1);
            kernel = Kernel::new(&plain, model.opset(""));
        }
        self.ops.push(Op { node: id, inputs, outputs, data, kernel, live });
    }

    /// The outputs of a node whose inputs are all constants.
    fn fold(
        &mut self,
        id: NodeId,
        node: &NodeProto,
        kernel: &Kernel,
        inputs: &[Option<ValueId>],
        outputs: &[Option<ValueId>],
        old: Option<&Self>,
    ) -> Option<Vec<Value>> {
        if node.op_type() == "Constant" {
            return match constant(&self.model, node) {
                Ok(value) => Some(vec![value]),
                Err(why) => {
                    self.broken.push((id, RunError::new(why.to_string()).at(node.label())));
                    None
                }
            };
        }
        let random = node.op_type().starts_with("Random") || matches!(node.op_type(), "Bernoulli" | "Multinomial");
        if random || inputs.is_empty() || !inputs.iter().flatten().all(|v| self.constants.contains_key(v)) {
            return None;
        }
        // An edited network takes over what was folded from the same constants.
        if let Some(old) = old
            && let Some(before) = old.model.node_by_output(node.output.first()?)
            && old.model.node(before) == node
        {
            let same = inputs.iter().flatten().all(|v| {
                let was = old.model.index().value(self.model.index().name(*v)).and_then(|v| old.constants.get(&v));
                was.is_some_and(|was| Arc::ptr_eq(&was.0, &self.constants[v].0))
            });
            let kept: Option<Vec<_>> = outputs
                .iter()
                .flatten()
                .map(|v| old.constants.get(&old.model.index().value(self.model.index().name(*v))?).cloned())
                .collect();
            if same && let Some(kept) = kept {
                return Some(kept);
            }
        }
        let given: Vec<_> = inputs.iter().map(|v| v.map_or(Input::Missing, |v| Input::Constant(&self.constants[&v]))).collect();
        self.evaluator.eval(kernel, &given).ok()
    }

    /// Values that an edit can have changed since `before`: what changed nodes make, and everything below them. Values are found by name.
    pub fn changed_since(&self, before: &Self) -> HashSet<ValueId> {
        let mut changed: HashSet<ValueId> = HashSet::new();
        for id in self.op_ids() {
            let op = self.op(id);
            if op.data.iter().any(|v| changed.contains(v)) || self.differs(before, id) {
                changed.extend(op.made());
            }
        }
        changed
    }

    /// Whether an op differs from the one that made the same value before.
    fn differs(&self, before: &Self, id: OpId) -> bool {
        let op = self.op(id);
        let old = op.made().next().and_then(|v| before.model.index().value(self.model.index().name(v))).and_then(|v| before.producer(v));
        let Some(old) = old.map(|id| before.op(id)) else { return true };
        if old.kernel != op.kernel || old.inputs.len() != op.inputs.len() {
            return true;
        }
        old.inputs.iter().zip(&op.inputs).any(|(x, y)| match (x, y) {
            (None, None) => false,
            (Some(x), Some(y)) => match (before.constant(*x), self.constant(*y)) {
                (Some(p), Some(q)) => !p.same(q),
                (None, None) => before.model.index().name(*x) != self.model.index().name(*y),
                _ => true,
            },
            _ => true,
        })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }
    /// The nodes that run, in order.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }
    /// One of them.
    pub fn op(&self, id: OpId) -> &Op {
        &self.ops[id.at()]
    }
    /// All of them with their ids.
    pub fn op_ids(&self) -> impl ExactSizeIterator<Item = OpId> + DoubleEndedIterator + use<> {
        (0..self.ops.len() as u32).map(OpId)
    }
    /// Whether an output of the graph depends on an op.
    pub fn is_live(&self, id: OpId) -> bool {
        self.op(id).live
    }
    /// What people call the node of an op.
    pub fn label(&self, id: OpId) -> &str {
        self.model.label(self.op(id).node)
    }
    /// The first output of an op's node: how edits name it. Empty where it makes nothing.
    pub fn key(&self, id: OpId) -> String {
        self.op(id).made().next().map(|v| self.model.index().name(v).to_string()).unwrap_or_default()
    }
    /// A constant: an initializer or what was folded.
    pub fn constant(&self, value: ValueId) -> Option<&Value> {
        self.constants.get(&value)
    }
    /// Where a constant comes from.
    pub fn origin(&self, value: ValueId) -> Option<&Origin> {
        self.origins.get(&value)
    }
    /// The op that makes a value.
    pub fn producer(&self, value: ValueId) -> Option<OpId> {
        self.producer[value.0 as usize]
    }
    /// The ops that read a value.
    pub fn consumers(&self, value: ValueId) -> &[OpId] {
        &self.consumers[value.0 as usize]
    }
    /// Inputs of the graph.
    pub fn inputs(&self) -> &[ValueId] {
        self.model.index().inputs()
    }
    /// Outputs of the graph.
    pub fn outputs(&self) -> &[ValueId] {
        self.model.index().outputs()
    }
    /// Constants that could not be read, with the reason.
    pub fn broken(&self) -> &[(NodeId, RunError)] {
        &self.broken
    }
    /// The evaluator, to run nodes that are not in the network on the same terms.
    pub fn evaluator(&self) -> &Evaluator {
        &self.evaluator
    }

    /// What the integers of a value between quantised operators stand for.
    pub fn code(&self, value: ValueId) -> Option<&Code> {
        self.codes.get(&value)
    }

    /// A value as the runtime makes it, in numbers that can be compared.
    pub fn numbers<'v>(&self, v: ValueId, made: &'v Value) -> Cow<'v, Value> {
        match self.codes.get(&v) {
            Some(code) if !made.is_float() => Cow::Owned(code.numbers(made)),
            _ => Cow::Borrowed(made),
        }
    }

    /// A value as the runtime takes it, from numbers.
    pub fn coded<'v>(&self, v: ValueId, numbers: &'v Value) -> Cow<'v, Value> {
        match self.codes.get(&v) {
            Some(code) if numbers.is_float() => code.codes(numbers).map_or(Cow::Borrowed(numbers), Cow::Owned),
            _ => Cow::Borrowed(numbers),
        }
    }

    /// Runs one op; `value` tells the values of its data inputs. What is held in codes is given and taken as the numbers meant.
    ///
    /// # Errors
    /// When an input is missing or the node does not run; the error names the node.
    pub fn eval<'a>(&'a self, id: OpId, value: impl Fn(ValueId) -> Option<&'a Value>) -> Result<Vec<Value>, RunError> {
        self.eval_as(id, &self.op(id).kernel, value)
    }

    /// Runs another kernel in an op's place.
    ///
    /// # Errors
    /// As [`Network::eval`].
    pub fn eval_as<'a>(&'a self, id: OpId, kernel: &Kernel, value: impl Fn(ValueId) -> Option<&'a Value>) -> Result<Vec<Value>, RunError> {
        if self.codes.is_empty() {
            return self.run(id, kernel, value);
        }
        let op = self.op(id);
        let coded: HashMap<ValueId, Value> = op.data.iter().filter_map(|v| Some((*v, self.coded(*v, value(*v)?).into_owned()))).collect();
        let made = self.run(id, kernel, |v| coded.get(&v))?;
        Ok(op.made().zip(made).map(|(v, made)| self.numbers(v, &made).into_owned()).collect())
    }

    /// Runs a kernel in an op's place, on what the runtime itself would give it.
    fn run<'a>(&'a self, id: OpId, kernel: &Kernel, value: impl Fn(ValueId) -> Option<&'a Value>) -> Result<Vec<Value>, RunError> {
        let op = self.op(id);
        let inputs: Result<Vec<_>, RunError> = op
            .inputs
            .iter()
            .map(|v| match v {
                None => Ok(Input::Missing),
                Some(v) => match self.constants.get(v) {
                    Some(c) => Ok(Input::Constant(c)),
                    None => value(*v)
                        .map(Input::Data)
                        .ok_or_else(|| RunError::new(format!("the value '{}' is missing", self.model.index().name(*v)))),
                },
            })
            .collect();
        inputs.and_then(|inputs| self.evaluator.eval(kernel, &inputs)).map_err(|e| e.at(self.label(id)))
    }

    /// Values at some places in a plain run on one image's inputs, in numbers; what does not run is left out.
    pub fn values_at(&self, inputs: &[Value], places: &HashSet<ValueId>) -> HashMap<ValueId, Value> {
        let given = self.inputs().iter().copied().zip(inputs.iter().cloned());
        let mut kept: HashMap<ValueId, Value> = given.filter(|(v, _)| places.contains(v)).collect();
        self.forward(inputs, |id, made| {
            let made = self.op(id).made().zip(made.iter().flatten()).filter(|(v, _)| places.contains(v));
            kept.extend(made.map(|(v, value)| (v, self.numbers(v, value).into_owned())));
        });
        kept
    }

    /// Runs the live ops on one image's inputs, node by node. `visit` sees the result of each, as the runtime makes it; a value is dropped
    /// after its last reader.
    pub fn forward(&self, inputs: &[Value], mut visit: impl FnMut(OpId, &Result<Vec<Value>, RunError>)) {
        let mut values: Vec<Option<Value>> = vec![None; self.producer.len()];
        let live = |c: &&OpId| self.is_live(**c);
        let mut readers: Vec<u32> = self.consumers.iter().map(|c| c.iter().filter(live).count() as u32).collect();
        for (id, value) in self.inputs().iter().zip(inputs) {
            values[id.0 as usize] = Some(value.clone());
        }
        for id in self.op_ids().filter(|id| self.is_live(*id)) {
            let result = self.run(id, &self.op(id).kernel, |v| values[v.0 as usize].as_ref());
            visit(id, &result);
            for v in &self.op(id).data {
                readers[v.0 as usize] -= 1;
                if readers[v.0 as usize] == 0 {
                    values[v.0 as usize] = None;
                }
            }
            if let Ok(made) = result {
                for (v, value) in self.op(id).made().zip(made) {
                    if readers[v.0 as usize] > 0 {
                        values[v.0 as usize] = Some(value);
                    }
                }
            }
        }
    }
}

/// The value of a Constant node.
pub(super) fn constant(model: &Model, node: &NodeProto) -> Result<Value, ModelError> {
    if let Some(tensor) = node.tensor("value") {
        return Value::from_proto(model, tensor);
    }
    if let Some(i) = node.int("value_int") {
        return Ok(Value::from_i64(&[], vec![i]));
    }
    if let Some(f) = node.float("value_float") {
        return Ok(Value::from_f32(&[], vec![f]));
    }
    if let Some(ints) = node.attr("value_ints") {
        return Ok(Value::from_i64(&[ints.ints.len()], ints.ints.clone()));
    }
    if let Some(floats) = node.attr("value_floats") {
        return Ok(Value::from_f32(&[floats.floats.len()], floats.floats.clone()));
    }
    Err(ModelError::Invalid {
        place: format!("node '{}'", node.label()),
        why: "a Constant needs one of value, value_int, value_ints, value_float, value_floats".into(),
    })
}
