//! A repair's proposal as people read it: the edit as a diff, what it touches, its evidence.

use super::snapshot::{DiffLine, Proposal, Standing};
use super::words;
use crate::localize::Suspect;
use crate::model::onnx::{NodeProto, TensorProto, ValueInfoProto};
use crate::model::{Edit, Model, NodeExt, harmless};
use crate::repair::{self, Evidence, Job};
use std::collections::BTreeMap;

/// Makes a proposal readable. `evidence` is what trying it on some images gave.
pub fn describe(id: usize, proposal: &repair::Proposal, suspect: Option<&Suspect>, evidence: Option<Evidence>, job: &Job) -> Proposal {
    let mut diff = Vec::new();
    let mut touched = Touched::default();
    of_edit(&proposal.edit, job.target.model(), &mut diff, &mut touched);
    if let (Some((new, keys)), Some(now)) = (&proposal.recipe, &job.target_feed.recipe) {
        let (before, after) = (recipe_lines(&now.to_toml()), recipe_lines(&new.to_toml()));
        diff.push(DiffLine::Place("the target's recipe".into()));
        for key in keys {
            diff.extend(before.get(*key).map(|v| DiffLine::Removed(format!("{key} = {v}"))));
            diff.extend(after.get(*key).map(|v| DiffLine::Added(format!("{key} = {v}"))));
        }
        touched.keys += keys.len();
    }
    Proposal {
        id,
        suspect: proposal.suspect,
        row: None,
        category: suspect.map_or(proposal.kind.category(), |s| s.category),
        // What was found names it; an edit that several kinds share keeps one name on the screen.
        kind: suspect.and_then(|s| s.kind).or(Some(proposal.kind)),
        title: title(&diff, &proposal.words, &proposal.nodes),
        words: harmless(suspect.map_or(proposal.words.as_str(), |s| &s.words)).into_owned(),
        diff,
        region: Some(proposal.isolated).filter(|(_, b)| !b.is_nan()),
        flips: evidence.map(|e| e.flipped).filter(|(of, _)| *of > 0),
        breaks: evidence.map(|e| (e.agreeing.1, e.agreeing.0)).filter(|(_, of)| *of > 0),
        safe: proposal.safe,
        touches: touched.words(),
        known: Vec::new(),
        editable: super::own::single(&proposal.edit).map(|(_, a)| words::attribute(a)),
        standing: Standing::Open,
    }
}

/// `pads [1, 1, 1, 1] → [0, 0, 1, 1] in /b3/dw/Conv` where one thing changes into another, else the words.
fn title(diff: &[DiffLine], words: &str, nodes: &[String]) -> String {
    let place = nodes.first().map(|n| format!(" in {}", short(&harmless(n)))).unwrap_or_default();
    if let [DiffLine::Place(_), DiffLine::Removed(a), DiffLine::Added(b)] = diff
        && let (Some((name, old)), Some((other, new))) = (a.split_once(" = "), b.split_once(" = "))
        && name == other
    {
        return format!("{name} {old} → {new}{place}");
    }
    harmless(words).into_owned()
}

/// The last part of a name: TensorFlow's converters join the names of all that was fused into one.
fn short(name: &str) -> &str {
    name.rsplit(';').find(|part| !part.trim().is_empty()).unwrap_or(name)
}

/// What an edit touches, counted.
#[derive(Default)]
struct Touched {
    attributes: usize,
    inputs: usize,
    nodes: usize,
    tensors: usize,
    numbers: u64,
    declarations: usize,
    keys: usize,
}

impl Touched {
    fn words(&self) -> String {
        let count = |n: usize, one: &str, many: &str| (n > 0).then(|| format!("{n} {}", if n == 1 { one } else { many }));
        let tensors = count(self.tensors, "tensor", "tensors").map(|t| format!("{t} of {} numbers", self.numbers));
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
            let op = node(name).map(|n| n.op_type().to_string()).unwrap_or_default();
            let new = words::attribute(attribute);
            let old = old.or_else(|| super::detail::default_of(&op, attribute.name(), &new).map(|d| format!("{d} (by default)")));
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
            out.push(DiffLine::Place(format!("weights {}", harmless(tensor.name()))));
            if let Some(old) = model.initializer(tensor.name()) {
                out.push(DiffLine::Removed(of_tensor(old, model)));
            }
            out.push(DiffLine::Added(of_tensor(tensor, model)));
            touched.tensor(tensor);
        }
        Edit::AddInitializer { tensor } => {
            out.push(DiffLine::Added(format!("weights {}: {}", harmless(tensor.name()), of_tensor(tensor, model))));
            touched.tensor(tensor);
        }
        Edit::RemoveInitializer { name } => {
            let old = model.initializer(name).map(|t| of_tensor(t, model)).unwrap_or_default();
            out.push(DiffLine::Removed(format!("weights {}: {old}", harmless(name))));
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
