//! Models in one flat graph: functions put in place of their calls, `If` with a known condition replaced by its branch, sparse
//! initializers made dense, sequences that are only taken apart put as plain operators. This is what is run; what is edited and saved is the model as it came.

use super::file::{Entry, Part};
use super::onnx::attribute_proto::AttributeType;
use super::onnx::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto};
use super::shapes::{Budget, infer_some};
use super::{Edit, Model, ModelError, NodeExt, operators, sequences};
use prost::Message;
use std::collections::{HashMap, HashSet};

/// A file of a few lines can call functions that call functions, to any number of nodes. So many may come of it, beside the file's own.
const MOST_NODES: usize = 50_000;
/// So many bytes may they have, and so many times those of the functions: one with a long name or a large constant can be called as often.
const MOST_BYTES: (usize, usize) = (64 << 20, 64);
/// Functions within branches within functions.
const MOST_ROUNDS: usize = 64;

impl Model {
    /// The model as one flat graph without functions, without `If` nodes whose condition is known, without sparse tensors.
    ///
    /// Values of the main graph keep their names. The model itself, when there is nothing to do.
    ///
    /// # Errors
    /// When a function calls itself, needs another version of an operator set, or more than 50,000 nodes or bytes out of proportion come of them;
    /// when a
    /// sparse tensor is damaged.
    pub fn inlined(&self) -> Result<Self, ModelError> {
        if let Some(function) = recursive(&self.proto().functions).first() {
            return Err(ModelError::Invalid {
                place: format!("function '{}'", function.name()),
                why: "calls itself, or a function that does".into(),
            });
        }
        let mut model = self.clone();
        if self.is_flat() {
            return Ok(model);
        }
        for _ in 0..MOST_ROUNDS {
            match Inliner::new(&model, self.index().nodes().len() + MOST_NODES).round(&model)? {
                Some(next) => model = next,
                None => {
                    return match sequences::taken_apart(&model) {
                        Some(edit) => Ok(model.apply(&edit)?.0),
                        None => Ok(model),
                    };
                }
            }
        }
        Err(ModelError::Invalid { place: "functions".into(), why: format!("are nested more than {MOST_ROUNDS} deep") })
    }

    /// Whether there is nothing to put in place.
    fn is_flat(&self) -> bool {
        let sparse = |n: &NodeProto| n.op_type() == "Constant" && n.attr("sparse_value").is_some();
        self.proto().functions.is_empty()
            && self.sparse_initializers().next().is_none()
            && !self.nodes().any(|(_, n)| matches!(n.op_type(), "If" | "SplitToSequence" | "SequenceConstruct") || sparse(n))
    }

    /// The model with an edit of its flat form made: as it came where the edit leaves alone what functions and branches hold, flat otherwise.
    ///
    /// # Errors
    /// As [`Model::inlined`] and [`Model::apply`].
    pub fn edited(&self, edit: &Edit) -> Result<Self, ModelError> {
        let flat = self.inlined()?;
        let wanted = flat.apply(edit)?.0;
        if !self.is_flat()
            && let Ok((kept, _)) = self.apply(edit)
            && kept.inlined().is_ok_and(|same| same.sha256() == wanted.sha256())
        {
            return Ok(kept);
        }
        Ok(wanted)
    }
}

type Key = (String, String, String);

fn key_of_call(node: &NodeProto) -> Key {
    (node.domain_name().to_string(), node.op_type().to_string(), node.overload().to_string())
}

/// Functions that can never be put in place: they call themselves, or one that does.
pub(super) fn recursive(functions: &[FunctionProto]) -> Vec<&FunctionProto> {
    let mut callers: HashMap<(&str, &str), Vec<usize>> = functions.iter().map(|f| ((f.domain(), f.name()), Vec::new())).collect();
    let mut open = vec![0usize; functions.len()];
    for (i, f) in functions.iter().enumerate() {
        for node in &f.node {
            if let Some(callers) = callers.get_mut(&(node.domain(), node.op_type())) {
                callers.push(i);
                open[i] += 1;
            }
        }
    }
    let mut ready: Vec<usize> = (0..functions.len()).filter(|i| open[*i] == 0).collect();
    while let Some(done) = ready.pop() {
        for caller in callers.remove(&(functions[done].domain(), functions[done].name())).into_iter().flatten() {
            open[caller] -= 1;
            if open[caller] == 0 {
                ready.push(caller);
            }
        }
    }
    functions.iter().zip(open).filter(|(_, open)| *open > 0).map(|(f, _)| f).collect()
}

struct Inliner {
    functions: HashMap<Key, FunctionProto>,
    proto: ModelProto,
    /// All names of values that are taken.
    names: HashSet<String>,
    parts: Vec<Part>,
    nodes: usize,
    most: usize,
    bytes: usize,
    most_bytes: usize,
    changed: bool,
}

impl Inliner {
    fn new(model: &Model, most: usize) -> Self {
        let index = model.index();
        let names = (0..index.value_count()).map(|v| index.name(super::ValueId(v as u32)).to_string()).collect();
        let proto = model.proto().clone();
        let functions = proto.functions.iter().map(|f| {
            let domain = if f.domain() == "ai.onnx" { "" } else { f.domain() };
            ((domain.to_string(), f.name().to_string(), f.overload().to_string()), f.clone())
        });
        let most_bytes = MOST_BYTES.0 + MOST_BYTES.1.saturating_mul(proto.encoded_len());
        Self { functions: functions.collect(), names, parts: Vec::new(), nodes: 0, most, bytes: 0, most_bytes, changed: false, proto }
    }

    /// Every call in the main graph is replaced once. `None` when there was none.
    fn round(mut self, model: &Model) -> Result<Option<Model>, ModelError> {
        let conditions =
            if model.nodes().any(|(_, n)| n.op_type() == "If") { Some(infer_some(model, &[], Budget::default())) } else { None };
        for part in &model.graph.parts {
            match part {
                Part::Node(entry) => {
                    let node = &entry.message;
                    let known = || model.index().value(node.input.first()?).and_then(|v| conditions.as_ref()?.ints(v)?.first().copied());
                    if let Some(function) = self.functions.get(&key_of_call(node)).cloned() {
                        self.call(node, &function)?;
                    } else if node.op_type() == "If"
                        && node.domain_name().is_empty()
                        && let Some(condition) = known()
                        && let Some(branch) =
                            node.attr(if condition != 0 { "then_branch" } else { "else_branch" }).and_then(|a| a.g.as_ref())
                        && branch.output.len() == node.output.len()
                    {
                        self.branch(model, node, branch)?;
                    } else if node.op_type() == "Constant"
                        && let Some(sparse) = node.attr("sparse_value").and_then(|a| a.sparse_tensor.as_ref())
                    {
                        let dense = AttributeProto::of_tensor("value", model.densify(sparse)?);
                        self.node(NodeProto { attribute: vec![dense], ..node.clone() })?;
                        self.changed = true;
                    } else {
                        self.nodes += 1;
                        self.parts.push(part.clone());
                    }
                }
                Part::Sparse(entry) => {
                    self.parts.push(Part::Initializer(Entry::new(model.densify(&entry.message)?)));
                    self.changed = true;
                }
                other => self.parts.push(other.clone()),
            }
        }
        if !self.changed {
            return Ok(None);
        }
        Ok(Some(model.rebuilt(self.parts, &self.proto)))
    }

    fn node(&mut self, node: NodeProto) -> Result<(), ModelError> {
        self.nodes += 1;
        if self.nodes > self.most {
            return Err(ModelError::Invalid {
                place: format!("node '{}'", node.label()),
                why: format!("with functions in place there are more than {} nodes", self.most),
            });
        }
        self.bytes += node.encoded_len();
        if self.bytes > self.most_bytes {
            return Err(ModelError::Invalid {
                place: format!("node '{}'", node.label()),
                why: format!("with functions in place the nodes have more than {} bytes", self.most_bytes),
            });
        }
        self.parts.push(Part::Node(Entry::new(node)));
        Ok(())
    }

    /// A name that is not taken, as near to the wanted one as can be.
    fn fresh(&mut self, prefix: &str, name: &str) -> String {
        let wanted = format!("{prefix}/{name}");
        let mut out = wanted.clone();
        let mut n = 1;
        while !self.names.insert(out.clone()) {
            out = format!("{wanted}_{n}");
            n += 1;
        }
        out
    }

    fn call(&mut self, node: &NodeProto, function: &FunctionProto) -> Result<(), ModelError> {
        self.changed = true;
        self.import(function)?;
        let label = node.label().to_string();
        let mut names: HashMap<String, String> = HashMap::new();
        for (i, input) in function.input.iter().enumerate() {
            names.insert(input.clone(), node.input.get(i).cloned().unwrap_or_default());
        }
        let mut passed = Vec::new();
        for (i, output) in function.output.iter().enumerate() {
            let Some(outer) = node.output.get(i).filter(|o| !o.is_empty()) else { continue };
            match names.get(output) {
                // A function may give back what it was given, or one value twice.
                Some(inner) => passed.push((inner.clone(), outer.clone())),
                None => {
                    names.insert(output.clone(), outer.clone());
                }
            }
        }
        for made in function.node.iter().flat_map(|n| &n.output).filter(|o| !o.is_empty()) {
            if !names.contains_key(made) {
                let new = self.fresh(&label, made);
                names.insert(made.clone(), new);
            }
        }
        for inner in &function.node {
            let mut inner = inner.clone();
            bind(&mut inner, node, function);
            // Before its values are renamed: where it has no name of its own, one of them stands for it.
            inner.name = Some(format!("{label}/{}", inner.label()));
            rename(&mut inner, &names);
            self.node(inner)?;
        }
        self.pass(&label, passed)
    }

    /// Operator sets of a function: added, or the same as far as the operators go that it uses.
    fn import(&mut self, function: &FunctionProto) -> Result<(), ModelError> {
        for set in &function.opset_import {
            let norm = |d: &str| if d == "ai.onnx" { String::new() } else { d.to_string() };
            let domain = norm(set.domain());
            let Some(own) = self.proto.opset_import.iter().find(|o| norm(o.domain()) == domain) else {
                self.proto.opset_import.push(set.clone());
                continue;
            };
            let since = |op: &str, version| operators::find(&domain, op, version).ok().map(|o| o.since);
            let mut differs = function
                .node
                .iter()
                .filter(|n| n.domain_name() == domain && since(n.op_type(), own.version()) != since(n.op_type(), set.version()));
            if let Some(node) = differs.next() {
                let why = format!("its {} is of operator set {}, the model's of {}", node.op_type(), set.version(), own.version());
                return Err(ModelError::Invalid { place: format!("function '{}'", function.name()), why });
            }
        }
        Ok(())
    }

    fn branch(&mut self, model: &Model, node: &NodeProto, branch: &GraphProto) -> Result<(), ModelError> {
        self.changed = true;
        let label = node.label().to_string();
        let mut names: HashMap<String, String> = HashMap::new();
        let tensors = branch.initializer.iter().map(|t| t.name());
        let sparse = branch.sparse_initializer.iter().filter_map(|s| s.values.as_ref()).map(|t| t.name());
        let nodes = branch.node.iter().flat_map(|n| &n.output).map(String::as_str);
        let outputs: Vec<&str> = branch.output.iter().map(|o| o.name()).collect();
        for (by_node, made) in nodes.filter(|o| !o.is_empty()).map(|n| (true, n)).chain(tensors.chain(sparse).map(|n| (false, n))) {
            let outer = outputs.iter().position(|o| *o == made).and_then(|at| node.output.get(at)).filter(|o| by_node && !o.is_empty());
            let new = outer.cloned().unwrap_or_else(|| self.fresh(&label, made));
            names.insert(made.to_string(), new);
        }
        let dense = branch.sparse_initializer.iter().map(|s| model.densify(s)).collect::<Result<Vec<_>, _>>()?;
        for tensor in branch.initializer.iter().chain(&dense) {
            let name = names.get(tensor.name()).cloned();
            self.parts.push(Part::Initializer(Entry::new(TensorProto { name, ..tensor.clone() })));
        }
        for inner in &branch.node {
            let mut inner = inner.clone();
            inner.name = Some(format!("{label}/{}", inner.label()));
            rename(&mut inner, &names);
            self.node(inner)?;
        }
        let mut passed = Vec::new();
        for (inner, outer) in outputs.iter().zip(&node.output).filter(|(_, o)| !o.is_empty()) {
            let from = names.get(*inner).cloned().unwrap_or_else(|| (*inner).to_string());
            if from != *outer {
                passed.push((from, outer.clone()));
            }
        }
        self.pass(&label, passed)
    }

    /// Values that go through unchanged, under another name.
    fn pass(&mut self, label: &str, passed: Vec<(String, String)>) -> Result<(), ModelError> {
        for (from, to) in passed {
            let name = Some(format!("{label}/{to}"));
            self.node(NodeProto { name, op_type: Some("Identity".into()), input: vec![from], output: vec![to], ..NodeProto::default() })?;
        }
        Ok(())
    }
}

/// Puts the attributes of a call in the place of references to them.
fn bind(inner: &mut NodeProto, call: &NodeProto, function: &FunctionProto) {
    inner.attribute.retain_mut(|attribute| {
        let reference = attribute.ref_attr_name().to_string();
        if !reference.is_empty() {
            let default = || function.attribute_proto.iter().find(|a| a.name() == reference);
            let Some(value) = call.attr(&reference).or_else(default) else { return false };
            *attribute = AttributeProto { name: attribute.name.take(), ..value.clone() };
        }
        if attribute.r#type() == AttributeType::Graph || attribute.r#type() == AttributeType::Graphs {
            let nodes = attribute.g.iter_mut().chain(&mut attribute.graphs).flat_map(|g| &mut g.node);
            nodes.for_each(|n| bind(n, call, function));
        }
        true
    });
}

/// Renames the values of a node, and what its sub-graphs take from outside.
fn rename(node: &mut NodeProto, names: &HashMap<String, String>) {
    for name in node.input.iter_mut().chain(&mut node.output) {
        if let Some(new) = names.get(name) {
            name.clone_from(new);
        }
    }
    for graph in node.attribute.iter_mut().flat_map(|a| a.g.iter_mut().chain(&mut a.graphs)) {
        let mut outer = names.clone();
        for own in graph
            .node
            .iter()
            .flat_map(|n| &n.output)
            .map(String::as_str)
            .chain(graph.input.iter().map(|v| v.name()))
            .chain(graph.initializer.iter().map(|t| t.name()))
        {
            outer.remove(own);
        }
        graph.node.iter_mut().for_each(|n| rename(n, &outer));
        for output in &mut graph.output {
            if let Some(new) = outer.get(output.name()) {
                output.name = Some(new.clone());
            }
        }
    }
}
