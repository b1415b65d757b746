//! A node of one operator set, said in another: what the source has in its own may not be there in the target's, or be said otherwise.

use crate::model::onnx::{AttributeProto, NodeProto};
use crate::model::{NodeExt, first_version};
use crate::run::Value;
use std::collections::HashMap;

/// Nodes that stand for one, in order; the last makes its output.
pub(super) struct Restated {
    pub nodes: Vec<NodeProto>,
    /// The constants that they read, by name.
    pub constants: Vec<(String, Value)>,
}

/// The versions of ONNX's operator set to translate between.
#[derive(Debug, Clone, Copy)]
pub(super) struct Versions {
    pub from: i64,
    pub to: i64,
}

/// What a node reads and makes: the constants by name, the number of axes of its first input, and a maker of names that are free.
pub(super) struct Surroundings<'a> {
    pub constants: Vec<(String, Value)>,
    pub rank: Option<usize>,
    pub fresh: &'a dyn Fn(&str) -> String,
}

/// The node in the operator set `to`. `None` where it cannot be said there.
pub(super) fn restate(node: NodeProto, versions: Versions, around: Surroundings<'_>) -> Option<Restated> {
    let version = |v: i64| first_version(node.domain_name(), node.op_type(), v);
    if node.domain_name().is_empty() && version(versions.from) != version(versions.to) {
        return Saying { node, versions, around, nodes: Vec::new() }.said();
    }
    Some(Restated { nodes: vec![node], constants: around.constants })
}

struct Saying<'a> {
    node: NodeProto,
    versions: Versions,
    around: Surroundings<'a>,
    nodes: Vec<NodeProto>,
}

impl Saying<'_> {
    fn said(mut self) -> Option<Restated> {
        let op = self.node.op_type().to_string();
        match op.as_str() {
            "Squeeze" | "Unsqueeze" | "ReduceSum" => self.input_or_attribute("axes", 1, 13)?,
            reduce if reduce.starts_with("Reduce") => self.input_or_attribute("axes", 1, 18)?,
            "Split" => self.split()?,
            "Clip" => {
                self.input_or_attribute("min", 1, 11)?;
                self.input_or_attribute("max", 2, 11)?;
            }
            "Pad" => self.pad()?,
            "TopK" => self.input_or_attribute("k", 1, 10)?,
            "Slice" => self.slice()?,
            "Softmax" | "LogSoftmax" | "Hardmax" => self.softmax()?,
            "Dropout" => {
                self.node.input.truncate(1);
                self.node.output.truncate(1);
                self.node.attribute.clear();
                self.node.op_type = Some("Identity".into());
            }
            "Gelu" if self.versions.to < 20 => self.gelu(),
            "HardSwish" if self.versions.to < 14 => {
                let x = self.input(0);
                let gate = vec![AttributeProto::of_float("alpha", 1.0 / 6.0), AttributeProto::of_float("beta", 0.5)];
                let y = self.step("HardSigmoid", &[&x], gate);
                self.last("Mul", &[&x, &y], Vec::new());
            }
            "Mish" if self.versions.to < 18 => {
                let x = self.input(0);
                let y = self.step("Softplus", &[&x], Vec::new());
                let y = self.step("Tanh", &[&y], Vec::new());
                self.last("Mul", &[&x, &y], Vec::new());
            }
            "Swish" if self.versions.to < 24 => {
                let x = self.input(0);
                let alpha = self.node.float("alpha").unwrap_or(1.0);
                let scaled = if alpha == 1.0 {
                    x.clone()
                } else {
                    let alpha = self.number(alpha);
                    self.step("Mul", &[&x, &alpha], Vec::new())
                };
                let y = self.step("Sigmoid", &[&scaled], Vec::new());
                self.last("Mul", &[&x, &y], Vec::new());
            }
            "LayerNormalization" if self.versions.to < 17 => self.layer_norm(true)?,
            "RMSNormalization" if self.versions.to < 23 => self.layer_norm(false)?,
            "GroupNormalization" => self.group_norm()?,
            _ => {}
        }
        if self.nodes.is_empty() {
            self.forget_defaults()?;
            self.nodes.push(self.node.clone());
        }
        let there = |n: &NodeProto| first_version(n.domain_name(), n.op_type(), self.versions.to).is_some();
        let read = |name: &String| self.nodes.iter().any(|n| n.input.contains(name));
        let constants = self.around.constants.iter().filter(|(name, _)| read(name)).cloned().collect();
        self.nodes.iter().all(there).then(|| Restated { nodes: self.nodes.clone(), constants })
    }

    fn input(&self, slot: usize) -> String {
        self.node.input.get(slot).cloned().unwrap_or_default()
    }

    fn constant(&self, slot: usize) -> Option<&Value> {
        let name = self.node.input.get(slot).filter(|n| !n.is_empty())?;
        self.around.constants.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    fn keep(&mut self, what: &str, value: Value) -> String {
        let output = self.node.output.first().cloned().unwrap_or_default();
        let name = (self.around.fresh)(&format!("{output}_{what}_{}", self.around.constants.len()));
        self.around.constants.push((name.clone(), value));
        name
    }

    fn number(&mut self, x: f32) -> String {
        self.keep("number", Value::from_f32(&[], vec![x]))
    }

    fn integers(&mut self, x: &[i64]) -> String {
        self.keep("numbers", Value::from_i64(&[x.len()], x.to_vec()))
    }

    fn push(&mut self, op: &str, inputs: &[&str], output: String, attribute: Vec<AttributeProto>) {
        let name = if self.node.output.first() == Some(&output) { self.node.name.clone() } else { Some(output.clone()) };
        self.nodes.push(NodeProto {
            op_type: Some(op.into()),
            input: inputs.iter().map(|i| i.to_string()).collect(),
            output: vec![output],
            name,
            attribute,
            ..NodeProto::default()
        });
    }

    /// A node on the way; gives the name of what it makes.
    fn step(&mut self, op: &str, inputs: &[&str], attribute: Vec<AttributeProto>) -> String {
        let output = self.node.output.first().cloned().unwrap_or_default();
        let name = (self.around.fresh)(&format!("{output}_{}_{}", op.to_lowercase(), self.nodes.len()));
        self.push(op, inputs, name.clone(), attribute);
        name
    }

    /// The node that makes what the whole makes.
    fn last(&mut self, op: &str, inputs: &[&str], attribute: Vec<AttributeProto>) {
        let output = self.node.output.first().cloned().unwrap_or_default();
        self.push(op, inputs, output, attribute);
    }

    /// What is an input from the version `since` on, and an attribute before.
    fn input_or_attribute(&mut self, name: &str, slot: usize, since: i64) -> Option<()> {
        let Versions { from, to } = self.versions;
        if (from >= since) == (to >= since) {
            return Some(());
        }
        if to < since {
            let given = self.node.input.get(slot).is_some_and(|n| !n.is_empty());
            if given {
                let value = self.constant(slot)?;
                let attribute = match (value.is_float(), name) {
                    (true, _) => AttributeProto::of_float(name, *value.to_f32().first()?),
                    (false, "k") => AttributeProto::of_int(name, *value.to_i64().first()?),
                    (false, _) => AttributeProto::of_ints(name, &value.to_i64()),
                };
                self.node.attribute.push(attribute);
                self.node.input[slot] = String::new();
            } else if self.node.int("noop_with_empty_axes").unwrap_or(0) != 0 {
                return None;
            }
            while self.node.input.last().is_some_and(String::is_empty) {
                self.node.input.pop();
            }
            return Some(());
        }
        let value = match self.node.attr(name) {
            Some(a) if a.f.is_some() => Value::from_f32(&[], vec![a.f()]),
            Some(a) if a.i.is_some() => Value::from_i64(&[1], vec![a.i()]),
            Some(a) => Value::from_i64(&[a.ints.len()], a.ints.clone()),
            None => return Some(()),
        };
        self.node.attribute.retain(|a| a.name() != name);
        let constant = self.keep(name, value);
        self.node.input.resize(self.node.input.len().max(slot + 1), String::new());
        self.node.input[slot] = constant;
        Some(())
    }

    fn split(&mut self) -> Option<()> {
        self.input_or_attribute("split", 1, 13)?;
        let told = self.node.input.get(1).is_some_and(|n| !n.is_empty()) || self.node.ints("split").is_some();
        if self.versions.to < 18 {
            // Equal parts need not be told there.
            self.node.attribute.retain(|a| a.name() != "num_outputs");
        } else if !told && self.node.int("num_outputs").is_none() {
            self.node.attribute.push(AttributeProto::of_int("num_outputs", self.node.output.len() as i64));
        }
        Some(())
    }

    fn pad(&mut self) -> Option<()> {
        if self.versions.to < 18 && self.node.input.get(3).is_some_and(|n| !n.is_empty()) {
            let (pads, axes, rank) = (self.constant(1)?.to_i64(), self.constant(3)?.to_i64(), self.around.rank?);
            let mut all = vec![0; 2 * rank];
            for (i, axis) in axes.iter().enumerate() {
                let axis = usize::try_from(if *axis < 0 { axis + rank as i64 } else { *axis }).ok().filter(|a| *a < rank)?;
                all[axis] = *pads.get(i)?;
                all[rank + axis] = *pads.get(axes.len() + i)?;
            }
            self.node.input.truncate(3);
            self.node.input[1] = self.integers(&all);
        }
        self.input_or_attribute("pads", 1, 11)?;
        self.input_or_attribute("value", 2, 11)
    }

    fn slice(&mut self) -> Option<()> {
        if self.versions.to < 10 && self.constant(4).is_some_and(|steps| steps.to_i64().iter().any(|s| *s != 1)) {
            return None;
        }
        if self.versions.to < 10 {
            self.node.input.truncate(4);
        }
        self.input_or_attribute("axes", 3, 10)?;
        self.input_or_attribute("ends", 2, 10)?;
        self.input_or_attribute("starts", 1, 10)
    }

    /// Over one axis from version 13 on, over all from that axis before: the same for the last one.
    fn softmax(&mut self) -> Option<()> {
        let Versions { from, to } = self.versions;
        if (from >= 13) == (to >= 13) {
            return Some(());
        }
        let rank = self.around.rank? as i64;
        let axis = self.node.int("axis").unwrap_or(if from >= 13 { -1 } else { 1 });
        if axis != -1 && axis != rank - 1 {
            return None;
        }
        self.node.attribute.retain(|a| a.name() != "axis");
        self.node.attribute.push(AttributeProto::of_int("axis", rank - 1));
        Some(())
    }

    fn gelu(&mut self) {
        let x = self.input(0);
        let half = self.number(0.5);
        let one = self.number(1.0);
        let inner = if self.node.string("approximate") == Some("tanh") {
            let (c, factor) = (self.number(0.044_715), self.number((2.0 / std::f32::consts::PI).sqrt()));
            let cube = self.step("Mul", &[&x, &x], Vec::new());
            let cube = self.step("Mul", &[&cube, &x], Vec::new());
            let cube = self.step("Mul", &[&cube, &c], Vec::new());
            let sum = self.step("Add", &[&x, &cube], Vec::new());
            let sum = self.step("Mul", &[&sum, &factor], Vec::new());
            self.step("Tanh", &[&sum], Vec::new())
        } else {
            let root = self.number(std::f32::consts::FRAC_1_SQRT_2);
            let scaled = self.step("Mul", &[&x, &root], Vec::new());
            self.step("Erf", &[&scaled], Vec::new())
        };
        let gate = self.step("Add", &[&inner, &one], Vec::new());
        let gate = self.step("Mul", &[&gate, &half], Vec::new());
        self.last("Mul", &[&x, &gate], Vec::new());
    }

    /// A LayerNormalization, or without the mean taken away an RMSNormalization, step by step.
    fn layer_norm(&mut self, centred: bool) -> Option<()> {
        let rank = self.around.rank? as i64;
        let axis = self.node.int("axis").unwrap_or(-1);
        let first = if axis < 0 { axis + rank } else { axis };
        let axes: Vec<i64> = (first..rank).collect();
        let epsilon = self.node.float("epsilon").unwrap_or(1e-5);
        if self.node.output.iter().filter(|o| !o.is_empty()).count() > 1 {
            return None;
        }
        let mut x = self.input(0);
        let mean = |this: &mut Self, of: &str| {
            if this.versions.to >= 18 {
                let axes = this.integers(&axes);
                return this.step("ReduceMean", &[of, &axes], Vec::new());
            }
            this.step("ReduceMean", &[of], vec![AttributeProto::of_ints("axes", &axes)])
        };
        if centred {
            let m = mean(self, &x);
            x = self.step("Sub", &[&x, &m], Vec::new());
        }
        let square = self.step("Mul", &[&x, &x], Vec::new());
        let variance = mean(self, &square);
        let epsilon = self.number(epsilon);
        let variance = self.step("Add", &[&variance, &epsilon], Vec::new());
        let deviation = self.step("Sqrt", &[&variance], Vec::new());
        let (scale, shift) = (self.input(1), self.input(2));
        let y = self.step("Div", &[&x, &deviation], Vec::new());
        if shift.is_empty() {
            self.last("Mul", &[&y, &scale], Vec::new());
        } else {
            let y = self.step("Mul", &[&y, &scale], Vec::new());
            self.last("Add", &[&y, &shift], Vec::new());
        }
        Some(())
    }

    /// An InstanceNormalization over the groups. Up to version 20 a GroupNormalization has one scale a group, later one a channel.
    fn group_norm(&mut self) -> Option<()> {
        let (groups, rank) = (self.node.int("num_groups").filter(|g| *g > 0)?, self.around.rank?);
        let (scale, shift) = (self.constant(1)?.clone(), self.constant(2)?.clone());
        let epsilon = AttributeProto::of_float("epsilon", self.node.float("epsilon").unwrap_or(1e-5));
        let x = self.input(0);
        let apart = self.integers(&[0, groups, -1]);
        let of_group = self.versions.from < 21;
        let uniform = |this: &mut Self, x: f32| this.keep("groups", Value::from_f32(&[groups as usize], vec![x; groups as usize]));
        let (one, zero) = if of_group { (self.input(1), self.input(2)) } else { (uniform(self, 1.0), uniform(self, 0.0)) };
        let shape = self.step("Shape", &[&x], Vec::new());
        let y = self.step("Reshape", &[&x, &apart], Vec::new());
        let y = self.step("InstanceNormalization", &[&y, &one, &zero], vec![epsilon]);
        if of_group {
            self.last("Reshape", &[&y, &shape], Vec::new());
            return Some(());
        }
        let y = self.step("Reshape", &[&y, &shape], Vec::new());
        let mut channels = vec![1; rank.checked_sub(1)?];
        *channels.first_mut()? = scale.len();
        let (scale, shift) = (scale.reshape(&channels)?, shift.reshape(&channels)?);
        let (scale, shift) = (self.keep("scale", scale), self.keep("shift", shift));
        let y = self.step("Mul", &[&y, &scale], Vec::new());
        self.last("Add", &[&y, &shift], Vec::new());
        Some(())
    }

    /// Takes away attributes that the other version does not know, as long as they say what goes without saying.
    fn forget_defaults(&mut self) -> Option<()> {
        let known: Vec<&str> = crate::model::attribute_names(self.node.domain_name(), self.node.op_type(), self.versions.to).collect();
        let plain: HashMap<&str, i64> = [("momentum", 0), ("spatial", 1), ("consumed_inputs", 0), ("saturate", 1)].into();
        let idle = |a: &AttributeProto| match (a.name(), a.i, &a.s) {
            ("momentum" | "consumed_inputs", ..) => true,
            ("dilations", ..) => a.ints.iter().all(|d| *d == 1),
            ("keep_aspect_ratio_policy", _, Some(s)) => s == "stretch",
            ("reduction", _, Some(s)) => s == "none",
            (name, Some(i), _) => i == plain.get(name).copied().unwrap_or(0),
            _ => false,
        };
        let unknown: Vec<String> =
            self.node.attribute.iter().filter(|a| !known.contains(&a.name())).map(|a| a.name().to_string()).collect();
        if self.node.attribute.iter().any(|a| !known.contains(&a.name()) && !idle(a)) {
            return None;
        }
        self.node.attribute.retain(|a| !unknown.iter().any(|u| u == a.name()));
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::{GraphProto, ModelProto, OperatorSetIdProto};
    use crate::model::{Model, Severity, check};
    use crate::run::Network;
    use prost::Message;

    fn node(op: &str, inputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
        NodeProto {
            op_type: Some(op.into()),
            name: Some("n".into()),
            input: inputs.iter().map(|i| i.to_string()).collect(),
            output: vec!["y".into()],
            attribute,
            ..NodeProto::default()
        }
    }

    /// What nodes make of `x` in a version of the operator set that allows them.
    fn made(version: i64, nodes: Vec<NodeProto>, constants: &[(String, Value)], x: &Value) -> Value {
        let output = Value::from_f32(&[1], vec![0.0]).declared("y");
        let graph = GraphProto {
            name: Some("g".into()),
            node: nodes,
            initializer: constants.iter().map(|(name, c)| c.to_proto(name)).collect(),
            input: vec![x.declared("x")],
            output: vec![crate::model::onnx::ValueInfoProto { r#type: None, ..output }],
            ..GraphProto::default()
        };
        let set = OperatorSetIdProto { domain: None, version: Some(version) };
        let proto = ModelProto { ir_version: Some(8), graph: Some(graph), opset_import: vec![set], ..ModelProto::default() };
        let model = Model::read(proto.encode_to_vec().into(), None).expect("a model");
        let about_nodes = |f: &crate::model::Finding| f.severity == Severity::Error && f.node.is_some();
        let wrong: Vec<String> = check(&model).iter().filter(|f| about_nodes(f)).map(ToString::to_string).collect();
        assert!(wrong.is_empty(), "{version}: {wrong:?}");
        let network = Network::new(&model).expect("a network");
        let mut last = None;
        network.forward(std::slice::from_ref(x), |_, made| last = Some(made.as_ref().expect("it runs")[0].clone()));
        last.expect("something is made")
    }

    fn same(op: &str, constants: &[(&str, Value)], attributes: Vec<AttributeProto>, x: &Value, from: i64, to: i64) {
        let constants: Vec<(String, Value)> = constants.iter().map(|(n, v)| (n.to_string(), v.clone())).collect();
        let inputs: Vec<&str> = ["x"].into_iter().chain(constants.iter().map(|(n, _)| n.as_str())).collect();
        let one = node(op, &inputs, attributes);
        let expected = made(from, vec![one.clone()], &constants, x);
        let fresh = |name: &str| name.to_string();
        let around = Surroundings { constants, rank: Some(x.shape().len()), fresh: &fresh };
        let said = restate(one, Versions { from, to }, around).unwrap_or_else(|| panic!("{op} of {from} cannot be said in {to}"));
        let found = made(to, said.nodes, &said.constants, x);
        assert_eq!(found.shape(), expected.shape(), "{op} of {from} in {to}");
        let off = crate::align::relative_error(&found.to_f32(), &expected.to_f32());
        assert!(off < 1e-5, "{op} of {from} in {to} is off by {off}");
    }

    fn image() -> Value {
        Value::from_f32(&[1, 4, 3, 2], (0..24).map(|i| ((i * 7 % 11) as f32 - 5.0) / 3.0).collect())
    }

    #[test]
    fn what_is_an_input_in_one_version_is_an_attribute_in_another_and_the_numbers_stay() {
        let x = image();
        let (ints, float) = (|x: &[i64]| Value::from_i64(&[x.len()], x.to_vec()), |x: f32| Value::from_f32(&[], vec![x]));
        let axes = || vec![AttributeProto::of_ints("axes", &[2, 3])];
        same("ReduceMean", &[("axes", ints(&[2, 3]))], Vec::new(), &x, 18, 13);
        same("ReduceMean", &[], axes(), &x, 13, 18);
        same("ReduceSum", &[("axes", ints(&[1]))], Vec::new(), &x, 13, 11);
        same("Unsqueeze", &[], vec![AttributeProto::of_ints("axes", &[0])], &x, 11, 13);
        same("Squeeze", &[("axes", ints(&[0]))], Vec::new(), &x, 21, 11);
        same("Clip", &[("low", float(-0.5)), ("high", float(0.5))], Vec::new(), &x, 13, 6);
        same("Clip", &[], vec![AttributeProto::of_float("max", 0.25)], &x, 10, 17);
        same("Slice", &[("from", ints(&[1])), ("to", ints(&[3])), ("axes", ints(&[1]))], Vec::new(), &x, 13, 9);
        let pads = ints(&[1, 0, 0, 2]);
        same("Pad", &[("pads", pads), ("value", float(0.5)), ("axes", ints(&[2, 3]))], Vec::new(), &x, 18, 13);
        same("Softmax", &[], vec![AttributeProto::of_int("axis", -1)], &x, 13, 11);
        same("Reshape", &[("shape", ints(&[1, -1]))], vec![AttributeProto::of_int("allowzero", 0)], &x, 21, 13);
    }

    #[test]
    fn functions_of_newer_versions_are_said_in_simpler_operators() {
        let x = image();
        let floats = |x: &[f32]| Value::from_f32(&[x.len()], x.to_vec());
        same("Gelu", &[], Vec::new(), &x, 20, 13);
        same("Gelu", &[], vec![AttributeProto::of_string("approximate", "tanh")], &x, 20, 17);
        same("HardSwish", &[], Vec::new(), &x, 14, 13);
        same("Mish", &[], Vec::new(), &x, 18, 15);
        let (scale, shift) = (floats(&[0.5, 2.0]), floats(&[0.1, -0.2]));
        let epsilon = || vec![AttributeProto::of_float("epsilon", 1e-3)];
        same("LayerNormalization", &[("scale", scale.clone()), ("shift", shift)], epsilon(), &x, 17, 13);
        same("LayerNormalization", &[("scale", scale)], epsilon(), &x, 20, 16);
        let groups = || vec![AttributeProto::of_int("num_groups", 2)];
        let (scale, shift) = (floats(&[0.5, 2.0, 1.0, -1.0]), floats(&[0.1, -0.2, 0.3, 0.0]));
        same("GroupNormalization", &[("scale", scale), ("shift", shift)], groups(), &x, 21, 17);
    }

    #[test]
    fn what_cannot_be_said_is_not_said() {
        let fresh = |name: &str| name.to_string();
        let around = || Surroundings { constants: Vec::new(), rank: Some(4), fresh: &fresh };
        // Over the axes from the first on, there, and over one axis, here.
        let softmax = node("Softmax", &["x"], vec![AttributeProto::of_int("axis", 1)]);
        assert!(restate(softmax, Versions { from: 13, to: 11 }, around()).is_none());
        assert!(restate(node("Einsum", &["x"], Vec::new()), Versions { from: 12, to: 11 }, around()).is_none());
        // The axes are made by the network itself: no attribute can hold them.
        let mean = node("ReduceMean", &["x", "made"], Vec::new());
        assert!(restate(mean, Versions { from: 18, to: 17 }, around()).is_none());
    }
}
