//! An edit as people read it: what goes, what comes, and how much it touches.

use super::{Job, Proposal, words};
use crate::model::onnx::{NodeProto, TensorProto, ValueInfoProto};
use crate::model::{Edit, Model, NodeExt, harmless};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How a line of an edit reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DiffLine {
    /// Where it is.
    Place(String),
    /// What goes.
    Removed(String),
    /// What comes.
    Added(String),
    /// What stays.
    Same(String),
}

/// A proposal's edit, line by line, in the target as it is at present.
pub fn diff(proposal: &Proposal, job: &Job) -> (Vec<DiffLine>, Touched) {
    let mut lines = Vec::new();
    let mut touched = Touched::default();
    of_edit(&proposal.edit, job.target.model(), &mut lines, &mut touched);
    if let (Some((new, keys)), Some(now)) = (&proposal.recipe, &job.target_feed.recipe) {
        let (before, after) = (recipe_lines(&now.to_toml()), recipe_lines(&new.to_toml()));
        lines.push(DiffLine::Place("the target's recipe".into()));
        for key in keys {
            lines.extend(before.get(key.name()).map(|v| DiffLine::Removed(format!("{} = {v}", key.name()))));
            lines.extend(after.get(key.name()).map(|v| DiffLine::Added(format!("{} = {v}", key.name()))));
        }
        touched.keys += keys.len();
    }
    (lines, touched)
}

/// What an edit touches, counted.
#[derive(Default)]
pub struct Touched {
    attributes: usize,
    inputs: usize,
    nodes: usize,
    tensors: usize,
    numbers: u64,
    declarations: usize,
    keys: usize,
}

impl Touched {
    /// In words: `1 attribute, 2 nodes`.
    pub fn words(&self) -> String {
        let count = |n: usize, one: &str, many: &str| (n > 0).then(|| format!("{n} {}", if n == 1 { one } else { many }));
        let tensors = count(self.tensors, "tensor", "tensors")
            .map(|t| if self.numbers == 1 { format!("{t} of 1 number") } else { format!("{t} of {} numbers", self.numbers) });
        let parts = [
            count(self.keys, "key of the recipe", "keys of the recipe"),
            count(self.attributes, "attribute", "attributes"),
            count(self.inputs, "input", "inputs"),
            count(self.nodes, "node", "nodes"),
            tensors,
            count(self.declarations, "declaration", "declarations"),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() { "nothing".into() } else { parts.join(", ") }
    }
}

fn of_edit(edit: &Edit, model: &Model, out: &mut Vec<DiffLine>, touched: &mut Touched) {
    let node = |name: &str| model.node_by_output(name).map(|id| model.node(id));
    let label = |name: &str| harmless(node(name).map_or(name, NodeExt::label)).into_owned();
    match edit {
        Edit::SetAttribute { node: name, attribute } => {
            out.push(DiffLine::Place(label(name)));
            let key = harmless(attribute.name()).into_owned();
            let old = node(name).and_then(|n| n.attr(attribute.name())).map(words::attribute);
            let default = || node(name).and_then(|n| model.default_attribute(n, attribute));
            let new = words::attribute(attribute);
            let old = old.or_else(|| default().map(|d| format!("{} (by default)", words::attribute(&d))));
            out.push(DiffLine::Removed(format!("{key} = {}", old.unwrap_or_else(|| "–".into()))));
            out.push(DiffLine::Added(format!("{key} = {new}")));
            touched.attributes += 1;
        }
        Edit::RemoveAttribute { node: name, attribute } => {
            out.push(DiffLine::Place(label(name)));
            let old = node(name).and_then(|n| n.attr(attribute)).map(words::attribute).unwrap_or_default();
            out.push(DiffLine::Removed(format!("{} = {old}", harmless(attribute))));
            touched.attributes += 1;
        }
        Edit::ReplaceInitializer { tensor } => {
            out.push(DiffLine::Place(format!("{} {}", sort_of(tensor), harmless(tensor.name()))));
            let (old, new) = (model.initializer(tensor.name()), of_tensor(tensor, model));
            match old.map(|old| (of_tensor(old, model), old)) {
                // The same figures: the first numbers tell them apart.
                Some((text, old)) if text == new => {
                    out.push(DiffLine::Removed(format!("{text}  {}", first_numbers(old, model))));
                    out.push(DiffLine::Added(format!("{new}  {}", first_numbers(tensor, model))));
                }
                old => {
                    out.extend(old.map(|(text, _)| DiffLine::Removed(text)));
                    out.push(DiffLine::Added(new));
                }
            }
            touched.tensor(tensor);
        }
        Edit::AddInitializer { tensor } => {
            out.push(DiffLine::Added(format!("{} {}: {}", sort_of(tensor), harmless(tensor.name()), of_tensor(tensor, model))));
            touched.tensor(tensor);
        }
        Edit::RemoveInitializer { name } => {
            let old = model.initializer(name);
            let text = old.map(|t| of_tensor(t, model)).unwrap_or_default();
            out.push(DiffLine::Removed(format!("{} {}: {text}", old.map_or("weights", sort_of), harmless(name))));
            touched.tensors += 1;
        }
        Edit::InsertNode { node, .. } | Edit::PutNode { node, .. } => {
            out.push(DiffLine::Added(of_node(node)));
            touched.nodes += 1;
        }
        Edit::RemoveNode { node: name } => {
            out.push(DiffLine::Removed(node(name).map_or_else(|| label(name), of_node)));
            touched.nodes += 1;
        }
        Edit::ReplaceNode { node: name, with } => {
            out.push(DiffLine::Place(label(name)));
            if let Some(old) = node(name) {
                out.push(DiffLine::Removed(of_node(old)));
            }
            out.push(DiffLine::Added(of_node(with)));
            touched.nodes += 1;
        }
        Edit::RewireInput { node: name, slot, value } => {
            out.push(DiffLine::Place(label(name)));
            let old = node(name).and_then(|n| n.input.get(*slot)).map(String::as_str).unwrap_or_default();
            out.push(DiffLine::Removed(format!("input {slot} = {}", harmless(old))));
            out.push(DiffLine::Added(format!("input {slot} = {}", harmless(value))));
            touched.inputs += 1;
        }
        Edit::SetInputs { values } => declared("input", model.inputs(), values, out, touched),
        Edit::SetOutputs { values } => declared("output", model.outputs(), values, out, touched),
        Edit::SetMetadata { key, value } => {
            let key = harmless(key).into_owned();
            out.push(match value {
                Some(value) => DiffLine::Added(format!("metadata {key} = {}", harmless(value))),
                None => DiffLine::Removed(format!("metadata {key}")),
            });
            touched.declarations += 1;
        }
        Edit::All(edits) => edits.iter().for_each(|e| of_edit(e, model, out, touched)),
    }
}

impl Touched {
    fn tensor(&mut self, tensor: &TensorProto) {
        self.tensors += 1;
        self.numbers += tensor.dims.iter().map(|d| d.unsigned_abs()).product::<u64>();
    }
}

fn declared<'a>(
    what: &str,
    old: impl Iterator<Item = &'a ValueInfoProto>,
    new: &[ValueInfoProto],
    out: &mut Vec<DiffLine>,
    touched: &mut Touched,
) {
    let show = |v: &ValueInfoProto| format!("{what} {} {}", harmless(v.name()), words::declared_shape(v)).trim_end().to_string();
    let (old, new): (Vec<String>, Vec<String>) = (old.map(show).collect(), new.iter().map(show).collect());
    out.extend(old.iter().filter(|o| !new.contains(o)).cloned().map(DiffLine::Removed));
    out.extend(new.iter().filter(|n| !old.contains(n)).cloned().map(DiffLine::Added));
    touched.declarations += 1;
}

/// `Transpose /fix/t (x → y) perm=[0, 2, 3, 1]`
fn of_node(node: &NodeProto) -> String {
    let list = |names: &[String]| names.iter().map(|n| harmless(n).into_owned()).collect::<Vec<_>>().join(", ");
    let attributes: Vec<String> = node.attribute.iter().map(|a| format!(" {}={}", harmless(a.name()), words::attribute(a))).collect();
    format!(
        "{} {}  ({} → {}){}",
        harmless(node.op_type()),
        harmless(node.label()),
        list(&node.input),
        list(&node.output),
        attributes.concat()
    )
}

/// What a tensor is, by how many numbers it has.
fn sort_of(tensor: &TensorProto) -> &'static str {
    if tensor.dims.iter().product::<i64>() == 1 { "constant" } else { "weights" }
}

/// `0.1, -0.03, 0.2, …`
fn first_numbers(tensor: &TensorProto, model: &Model) -> String {
    let Ok(value) = crate::run::Value::from_proto(model, tensor) else { return String::new() };
    let numbers: Vec<String> = value.to_f32().iter().take(4).map(|x| words::number(*x)).collect();
    format!("[{}, …]", numbers.join(", "))
}

/// `16×3×3×3  mean 0.012  sd 0.21`
fn of_tensor(tensor: &TensorProto, model: &Model) -> String {
    let dims: Vec<usize> = tensor.dims.iter().map(|d| usize::try_from(*d).unwrap_or(0)).collect();
    let shape = words::shape(&dims);
    let Ok(value) = crate::run::Value::from_proto(model, tensor) else { return shape };
    if !value.is_float() && value.len() <= 12 {
        let numbers: Vec<String> = value.to_i64().iter().map(ToString::to_string).collect();
        return format!("[{}]", numbers.join(", "));
    }
    let x = value.to_f32();
    if x.len() <= 4 {
        return format!("[{}]", x.iter().map(|v| words::number(*v)).collect::<Vec<_>>().join(", "));
    }
    let mean = x.iter().map(|v| f64::from(*v)).sum::<f64>() / x.len() as f64;
    let sd = (x.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / x.len() as f64).sqrt();
    format!("{shape}  mean {}  sd {}", words::number(mean as f32), words::number(sd as f32))
}

/// A recipe's keys with their values as TOML.
fn recipe_lines(toml: &str) -> BTreeMap<String, String> {
    let table: toml::Table = toml.parse().unwrap_or_default();
    table.into_iter().map(|(k, v)| (k, v.to_string())).collect()
}
