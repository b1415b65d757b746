//! A network with all its values on one image: what a fault is made from, and how edits of it are written.

use super::super::Kind;
use crate::model::onnx::{AttributeProto, NodeProto};
use crate::model::{Edit, Model, NodeExt, ValueId};
use crate::run::{Kernel, Network, Op, OpId, RunError, Value};
use std::collections::{HashMap, HashSet};

/// A network and its values on one image.
pub(super) struct Scene {
    pub network: Network,
    pub inputs: Vec<Value>,
    pub outputs: Vec<Value>,
    values: HashMap<ValueId, Value>,
}

impl Scene {
    pub fn new(network: Network, inputs: Vec<Value>) -> Result<Self, RunError> {
        let mut scene = Self { inputs, outputs: Vec::new(), values: HashMap::new(), network };
        let given: Vec<_> = scene.network.inputs().iter().copied().zip(scene.inputs.iter().cloned()).collect();
        scene.values.extend(given);
        for id in scene.network.op_ids() {
            let made = scene.network.eval(id, |v| scene.values.get(&v))?;
            let made: Vec<_> = scene.network.op(id).made().zip(made).collect();
            scene.values.extend(made);
        }
        let network = &scene.network;
        let output = |v: &ValueId| scene.values.get(v).or_else(|| network.constant(*v)).cloned();
        let outputs: Option<Vec<_>> = network.outputs().iter().map(output).collect();
        scene.outputs = outputs.ok_or_else(|| RunError::new("an output is not made"))?;
        Ok(scene)
    }

    /// The outputs of an edited model on these inputs. Only what lies below the edit is run.
    pub fn rerun(&self, model: &Model, inputs: &[Value]) -> Result<Vec<Value>, RunError> {
        let edited = self.network.edited(model).map_err(|e| RunError::new(e.to_string()))?;
        let before = |v: ValueId| self.network.model().index().value(edited.model().index().name(v));
        let mut values: HashMap<ValueId, Value> = HashMap::new();
        let mut same: HashSet<ValueId> = HashSet::new();
        for (v, x) in edited.inputs().iter().zip(inputs) {
            if before(*v).and_then(|b| self.values.get(&b)).is_some_and(|b| b.same(x)) {
                same.insert(*v);
            }
            values.insert(*v, x.clone());
        }
        let kept = |v: ValueId, same: &HashSet<ValueId>| match (edited.constant(v), before(v)) {
            (Some(c), Some(b)) => self.network.constant(b).is_some_and(|b| b.same(c)),
            (Some(_), None) => false,
            (None, _) => same.contains(&v),
        };
        for id in edited.op_ids() {
            let op = edited.op(id);
            let twin = op.made().next().and_then(before).and_then(|v| self.network.producer(v)).map(|p| self.network.op(p));
            if let Some(twin) = twin
                && twin.kernel == op.kernel
                && self.reads_the_same(&edited, op, twin)
                && op.inputs.iter().flatten().all(|v| kept(*v, &same))
                && twin.made().count() == op.made().count()
            {
                for (v, b) in op.made().zip(twin.made()) {
                    if let Some(x) = self.values.get(&b) {
                        values.insert(v, x.clone());
                        same.insert(v);
                    }
                }
                continue;
            }
            let made = edited.eval(id, |v| values.get(&v))?;
            values.extend(op.made().zip(made));
        }
        let output = |v: &ValueId| values.get(v).or_else(|| edited.constant(*v)).cloned();
        let outputs: Option<Vec<_>> = edited.outputs().iter().map(output).collect();
        outputs.ok_or_else(|| RunError::new("an output is not made"))
    }

    fn reads_the_same(&self, edited: &Network, op: &Op, twin: &Op) -> bool {
        let name = |n: &Network, v: &Option<ValueId>| v.map(|v| n.model().index().name(v).to_string());
        op.inputs.len() == twin.inputs.len() && op.inputs.iter().zip(&twin.inputs).all(|(a, b)| name(edited, a) == name(&self.network, b))
    }

    pub fn model(&self) -> &Model {
        self.network.model()
    }
    pub fn op(&self, id: OpId) -> &Op {
        self.network.op(id)
    }
    pub fn op_type(&self, id: OpId) -> &str {
        self.op(id).op_type()
    }
    /// The node with its own names.
    pub fn node(&self, id: OpId) -> &NodeProto {
        self.model().node(self.op(id).node)
    }
    pub fn label(&self, id: OpId) -> String {
        self.network.label(id).to_string()
    }
    /// First output: how edits name a node.
    pub fn key(&self, id: OpId) -> String {
        self.network.key(id)
    }
    pub fn name(&self, v: ValueId) -> &str {
        self.model().index().name(v)
    }
    /// A value or constant on the image.
    pub fn value(&self, v: ValueId) -> Option<&Value> {
        self.values.get(&v).or_else(|| self.network.constant(v))
    }
    pub fn shape(&self, v: ValueId) -> Option<&[usize]> {
        Some(self.value(v)?.shape())
    }
    /// What an op reads in a slot.
    pub fn input(&self, id: OpId, slot: usize) -> Option<ValueId> {
        self.op(id).inputs.get(slot).copied().flatten()
    }
    pub fn input_shape(&self, id: OpId, slot: usize) -> Option<&[usize]> {
        self.shape(self.input(id, slot)?)
    }
    pub fn output(&self, id: OpId) -> Option<ValueId> {
        self.op(id).outputs.first().copied().flatten()
    }
    pub fn output_shape(&self, id: OpId) -> Option<&[usize]> {
        self.shape(self.output(id)?)
    }
    pub fn constant(&self, id: OpId, slot: usize) -> Option<&Value> {
        self.network.constant(self.input(id, slot)?)
    }
    /// The slot of the one constant among two inputs, and the slot of the other one.
    pub fn constant_operand(&self, id: OpId) -> Option<(usize, usize)> {
        if self.op(id).inputs.len() != 2 {
            return None;
        }
        match (self.constant(id, 0).is_some(), self.constant(id, 1).is_some()) {
            (true, false) => Some((0, 1)),
            (false, true) => Some((1, 0)),
            _ => None,
        }
    }
    /// The op that makes what another one reads in a slot.
    pub fn before(&self, id: OpId, slot: usize) -> Option<OpId> {
        self.network.producer(self.input(id, slot)?)
    }
    /// The only reader of an op's only output.
    pub fn sole_reader(&self, id: OpId) -> Option<OpId> {
        let v = self.output(id)?;
        let readers = self.network.consumers(v);
        (readers.len() == 1 && !self.is_output(v)).then(|| readers[0])
    }
    pub fn is_output(&self, v: ValueId) -> bool {
        self.network.outputs().contains(&v)
    }
    pub fn opset(&self) -> i64 {
        self.model().opset("")
    }

    /// The output shape of an op with other attributes, on the values it reads. `None` when that does not run.
    pub fn shape_as(&self, id: OpId, node: &NodeProto) -> Option<Vec<usize>> {
        let kernel = Kernel::new(node, self.opset());
        let made = self.network.eval_as(id, &kernel, |v| self.values.get(&v)).ok()?;
        Some(made.first()?.shape().to_vec())
    }

    /// An edit that sets attributes of a node; `None` where the output has another shape then, or does not come about.
    pub fn set_attributes(&self, id: OpId, attributes: Vec<AttributeProto>, remove: &[&str]) -> Option<Vec<Edit>> {
        let mut node = self.node(id).clone();
        let mut edits = Vec::new();
        for name in remove.iter().filter(|n| self.node(id).attr(n).is_some()) {
            node.attribute.retain(|a| a.name() != *name);
            edits.push(Edit::RemoveAttribute { node: self.key(id), attribute: (*name).into() });
        }
        for attribute in attributes {
            node.attribute.retain(|a| a.name() != attribute.name());
            node.attribute.push(attribute.clone());
            edits.push(Edit::SetAttribute { node: self.key(id), attribute });
        }
        (self.shape_as(id, &node)?[..] == *self.output_shape(id)?).then_some(edits)
    }

    /// A name that nothing has yet.
    pub fn fresh(&self, like: &str) -> String {
        let taken = |n: &str| self.model().index().value(n).is_some() || self.model().nodes().any(|(_, node)| node.name() == n);
        (1..).map(|i| format!("{like}_{i}")).find(|n| !taken(n)).unwrap_or_default()
    }

    /// Edits that let an op read another constant in a slot, and the constant's name. What others read stays. `None` where the
    /// constant is computed from others: then they are at fault, not it.
    pub fn set_constant(&self, id: OpId, slot: usize, value: &Value) -> Option<(Vec<Edit>, String)> {
        let v = self.input(id, slot)?;
        let origin = self.network.origin(v)?;
        let index = self.model().index();
        let moves = |op: &str| matches!(op, "Constant" | "Identity");
        if !origin.nodes.iter().all(|n| moves(self.model().node(*n).op_type())) {
            return None;
        }
        let alone =
            index.consumers(v).len() == 1 && self.node(id).input.iter().filter(|n| *n == self.name(v)).count() == 1 && !self.is_output(v);
        let name = self.name(v).to_string();
        if alone && self.model().initializer(&name).is_some() {
            return Some((vec![Edit::ReplaceInitializer { tensor: value.to_proto(&name) }], name));
        }
        if alone && let Some(node) = index.producer(v).map(|p| self.model().node(p)).filter(|n| n.op_type() == "Constant") {
            let mut with = node.clone();
            with.attribute = vec![AttributeProto::of_tensor("value", value.to_proto(""))];
            return Some((vec![Edit::ReplaceNode { node: name.clone(), with }], name));
        }
        let (make, new) = self.new_constant(id, &name, value);
        Some((vec![make, Edit::RewireInput { node: self.key(id), slot, value: new.clone() }], new))
    }

    /// An edit that adds a constant for an op to read, and its name.
    pub fn new_constant(&self, id: OpId, like: &str, value: &Value) -> (Edit, String) {
        let name = self.fresh(like);
        // Before IR version 4 an initializer had to be an input as well.
        if self.model().proto().ir_version() < 4 {
            let mut node = new_node("Constant", &[], &name);
            node.attribute.push(AttributeProto::of_tensor("value", value.to_proto("")));
            return (Edit::InsertNode { before: Some(self.key(id)), node }, name);
        }
        (Edit::AddInitializer { tensor: value.to_proto(&name) }, name)
    }

    /// Edits that let all readers of a value read another one. `None` where a sub-graph reads it, or it is an output.
    pub fn redirect(&self, from: ValueId, to: &str) -> Option<Vec<Edit>> {
        if self.is_output(from) {
            return None;
        }
        let mut edits = Vec::new();
        for reader in self.model().index().consumers(from) {
            let node = self.model().node(*reader);
            let key = node.output.iter().find(|o| !o.is_empty())?;
            let slots: Vec<usize> = (0..node.input.len()).filter(|s| node.input[*s] == self.name(from)).collect();
            if slots.is_empty() {
                return None;
            }
            edits.extend(slots.into_iter().map(|slot| Edit::RewireInput { node: key.clone(), slot, value: to.into() }));
        }
        Some(edits)
    }

    /// Labels of the nodes that read a value.
    pub fn readers(&self, v: ValueId) -> Vec<String> {
        self.model().index().consumers(v).iter().map(|n| self.model().label(*n).to_string()).collect()
    }

    /// Edits that put a node behind a value, for all its readers, and the node's label. At an output the value's maker gets another
    /// name for what it makes, so that the output keeps its own.
    pub fn insert_behind(&self, v: ValueId, op_type: &str, attributes: Vec<AttributeProto>, copies: usize) -> Option<(Vec<Edit>, String)> {
        let new = self.fresh(op_type);
        if !self.is_output(v) {
            let first = *self.model().index().consumers(v).first()?;
            let before = self.model().node(first).output.iter().find(|o| !o.is_empty())?.clone();
            let inputs = vec![self.name(v); copies];
            let mut node = new_node(op_type, &inputs, &new);
            node.attribute = attributes;
            let mut edits = self.redirect(v, &new)?;
            edits.push(Edit::InsertNode { before: Some(before), node });
            return Some((edits, new));
        }
        let maker = self.network.producer(v)?;
        if !self.model().index().consumers(v).is_empty() || self.node(maker).output.iter().filter(|o| !o.is_empty()).count() != 1 {
            return None;
        }
        let inner = self.fresh(self.name(v));
        let mut with = self.node(maker).clone();
        with.output = vec![inner.clone()];
        let mut node = new_node(op_type, &vec![inner.as_str(); copies], self.name(v));
        node.name = Some(new.clone());
        node.attribute = attributes;
        Some((vec![Edit::ReplaceNode { node: self.key(maker), with }, Edit::InsertNode { before: None, node }], new))
    }

    /// Edits that put a node between an op and what it reads in a slot, and the node's label.
    pub fn insert_before(&self, id: OpId, slot: usize, op_type: &str, attributes: Vec<AttributeProto>) -> Option<(Vec<Edit>, String)> {
        let new = self.fresh(op_type);
        let mut node = new_node(op_type, &[self.name(self.input(id, slot)?)], &new);
        node.attribute = attributes;
        let insert = Edit::InsertNode { before: Some(self.key(id)), node };
        Some((vec![Edit::RewireInput { node: self.key(id), slot, value: new.clone() }, insert], new))
    }

    /// Labels of the nodes that read a value, and of those behind them where they only pass it on.
    pub fn readers_beyond(&self, v: ValueId) -> Vec<String> {
        let (mut out, mut open) = (Vec::new(), vec![v]);
        while let Some(v) = open.pop() {
            for id in self.network.consumers(v) {
                let label = self.label(*id);
                if out.len() < MOST_BESIDE && !out.contains(&label) {
                    out.push(label);
                    open.extend(self.op(*id).made().filter(|_| passes(self.op_type(*id))));
                }
            }
        }
        out
    }

    /// The label of the node that makes a value, and of those before it where it only passes on.
    pub fn makers_beyond(&self, v: ValueId) -> Vec<String> {
        let (mut out, mut open) = (Vec::new(), Some(v));
        while let Some(id) = open.and_then(|v| self.network.producer(v)).filter(|_| out.len() < MOST_BESIDE) {
            out.push(self.label(id));
            open = self.op(id).data.first().copied().filter(|_| passes(self.op_type(id)));
        }
        out
    }

    /// Labels of Transposes right before and behind a value: two in a row are one, and either can make up for the other.
    pub fn transposes_beside(&self, v: ValueId) -> Vec<String> {
        let around = self.network.producer(v).into_iter().chain(self.network.consumers(v).iter().copied());
        around.filter(|id| self.op_type(*id) == "Transpose").map(|id| self.label(id)).collect()
    }

    /// TS-FLATTEN where the only reader of a value joins axes of it: the order in which it does is all that can be seen.
    pub fn flattened_behind(&self, v: ValueId) -> &'static [Kind] {
        let joins = |id: &OpId| {
            matches!(self.op_type(*id), "Reshape" | "Flatten")
                && self.output_shape(*id).map(<[usize]>::len) < self.shape(v).map(<[usize]>::len)
        };
        match self.network.consumers(v) {
            [only] if joins(only) => &[Kind::TsFlatten],
            _ => &[],
        }
    }

    /// Edits that take a node away and give its readers what it reads in a slot; and the labels beside the gap.
    pub fn bypass(&self, id: OpId, slot: usize) -> Option<(Vec<Edit>, Vec<String>)> {
        let (v, from) = (self.output(id)?, self.input(id, slot)?);
        if self.op(id).made().count() != 1 {
            return None;
        }
        let mut edits = self.redirect(v, self.name(from))?;
        edits.push(Edit::RemoveNode { node: self.key(id) });
        let mut beside = self.readers_beyond(v);
        beside.extend(self.makers_beyond(from));
        Some((edits, beside))
    }

    /// WB-NORM where only a batch normalisation reads the op: its mean and shift can make up for a constant for each channel.
    pub fn norm_behind(&self, id: OpId) -> &'static [Kind] {
        match self.sole_reader(id).map(|r| self.op_type(r)) {
            Some("BatchNormalization") => &[Kind::WbNorm],
            _ => &[],
        }
    }
}

/// Nodes beside a gap that are named at most, on either side.
const MOST_BESIDE: usize = 8;

/// Whether an operator only passes its input on: in another shape, order, type or coding.
pub(super) fn passes(op: &str) -> bool {
    matches!(
        op,
        "Identity" | "Cast" | "QuantizeLinear" | "DequantizeLinear" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Transpose"
    )
}

/// A node without attributes, named as its output.
pub(super) fn new_node(op_type: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        name: Some(output.into()),
        op_type: Some(op_type.into()),
        input: inputs.iter().map(|s| (*s).to_string()).collect(),
        output: vec![output.into()],
        ..NodeProto::default()
    }
}

/// The value with its elements changed, in its own element type.
pub(super) fn mapped(value: &Value, change: impl FnOnce(&mut Vec<f32>)) -> Option<Value> {
    let mut data = value.to_f32().into_owned();
    change(&mut data);
    if data.len() != value.len() {
        return None;
    }
    Value::from_f32(value.shape(), data).cast(value.dtype())
}
