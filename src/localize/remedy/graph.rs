//! Nodes: wrong inputs, missing, extra and other operators.

use super::edits::fresh_name;
use super::restate::Restated;
use super::subgraph::partners_exact;
use super::{Bench, Remedy};
use crate::align::moves;
use crate::localize::Kind;
use crate::model::onnx::{NodeProto, tensor_proto::DataType};
use crate::model::{Edit, ValueId};
use crate::run::OpId;
use std::collections::{HashMap, HashSet};

/// Inputs that read the wrong value.
pub(super) fn rewired(bench: &Bench<'_>) -> Vec<Remedy> {
    let mut out = Vec::new();
    for wrong in bench.a.wrong_inputs() {
        if bench.ops.contains(&wrong.consumer) {
            out.extend(partners(bench, wrong.wanted).into_iter().flat_map(|v| rewire(bench, wrong.consumer, wrong.input, v)));
        }
    }
    for t in &bench.ops {
        out.extend(by_source(bench, *t));
        out.extend(from_unread(bench, *t));
        out.extend(exchanged(bench, *t));
        out.extend(reordered(bench, *t));
    }
    dedup(out)
}

fn dedup(remedies: Vec<Remedy>) -> Vec<Remedy> {
    let mut out: Vec<Remedy> = Vec::new();
    for r in remedies {
        if !out.iter().any(|o| o.edit == r.edit) {
            out.push(r);
        }
    }
    out
}

/// Target values that stand for a source value, up to rearrangement.
fn partners(bench: &Bench<'_>, s: ValueId) -> Vec<ValueId> {
    let origin = bench.a.source().origin(s);
    bench.a.pairs.iter().filter(|p| bench.a.source().origin(p.source) == origin).map(|p| p.target).collect()
}

fn rewire(bench: &Bench<'_>, t: OpId, from: ValueId, to: ValueId) -> Option<Remedy> {
    let op = bench.target().op(t);
    let slot = op.inputs.iter().position(|v| *v == Some(from))?;
    rewire_slot(bench, t, slot, to)
}

fn rewire_slot(bench: &Bench<'_>, t: OpId, slot: usize, to: ValueId) -> Option<Remedy> {
    let op = bench.target().op(t);
    let from = (*op.inputs.get(slot)?)?;
    // Nothing may read what is made after it.
    let above = bench.target().producer(to).is_none_or(|p| p < t);
    if from == to || !above {
        return None;
    }
    let edit = Edit::RewireInput { node: bench.key(t), slot, value: bench.name(to).to_string() };
    let words =
        format!("input {slot} of {} reads '{}', the source's node reads what '{}' is here", op.op_type(), bench.name(from), bench.name(to));
    Some(Remedy::new(Kind::CgRewired, edit, words).at(t).on(from).or(&[Kind::CgMissing]))
}

/// Any input from any value that stands for what the source's operator of the same type reads.
fn by_source(bench: &Bench<'_>, t: OpId) -> Vec<Remedy> {
    let op = bench.target().op(t);
    let mut out = Vec::new();
    for s in &bench.source {
        let theirs = bench.reference().op(*s);
        if moves(theirs.op_type()) {
            continue;
        }
        for i in &theirs.data {
            for v in partners(bench, *i) {
                for slot in 0..op.inputs.len() {
                    let data = op.inputs[slot].is_some_and(|u| bench.target().constant(u).is_none());
                    if data && !op.data.contains(&v) {
                        out.extend(rewire_slot(bench, t, slot, v));
                    }
                }
            }
        }
    }
    out
}

/// An input from what is made above and read by nobody, where it has the same shape: nodes are not there for nothing.
fn from_unread(bench: &Bench<'_>, t: OpId) -> Vec<Remedy> {
    const MOST: usize = 8;
    let target = bench.target();
    let op = target.op(t);
    let shape = |v: ValueId| bench.a.fed(v).and_then(|x| x.first()).map(|x| x.shape().to_vec());
    let unread = |v: &ValueId| bench.a.is_live(*v) && target.consumers(*v).is_empty() && !target.outputs().contains(v);
    let unread: Vec<ValueId> = (0..t.0).rev().flat_map(|i| target.op(OpId(i)).made()).filter(unread).take(MOST).collect();
    let mut out = Vec::new();
    for (slot, from) in op.inputs.iter().enumerate().filter_map(|(slot, v)| Some((slot, (*v)?))).filter(|(_, v)| op.data.contains(v)) {
        for to in unread.iter().filter(|to| shape(**to).is_some() && shape(**to) == shape(from)) {
            let Some(mut remedy) = rewire_slot(bench, t, slot, *to) else { continue };
            remedy.words =
                format!("input {slot} of {} reads '{}', while nothing reads '{}'", op.op_type(), bench.name(from), bench.name(*to));
            out.push(remedy);
        }
    }
    out
}

/// Operands the other way round, and outputs of a Split that are exchanged.
fn exchanged(bench: &Bench<'_>, t: OpId) -> Vec<Remedy> {
    let op = bench.target().op(t);
    let mut out = Vec::new();
    let key = bench.key(t);
    if let [Some(x), Some(y)] = op.inputs[..]
        && x != y
        && !matches!(op.op_type(), "Add" | "Mul" | "Max" | "Min" | "And" | "Or" | "Equal")
    {
        let (nx, ny) = (bench.target().model().node(op.node).input[0].clone(), bench.target().model().node(op.node).input[1].clone());
        let edit = Edit::All(vec![
            Edit::RewireInput { node: key.clone(), slot: 0, value: ny },
            Edit::RewireInput { node: key.clone(), slot: 1, value: nx },
        ]);
        out.push(Remedy::new(Kind::CgRewired, edit, format!("the operands of {} are exchanged", op.op_type())).at(t));
    }
    let outputs: Vec<ValueId> = op.made().collect();
    if outputs.len() >= 2 {
        for i in 0..outputs.len() {
            for j in i + 1..outputs.len() {
                out.extend(exchange_readers(bench, t, outputs[i], outputs[j]));
            }
        }
    }
    // Two nodes that pick parts of the same value, each the other's.
    for other in &bench.ops {
        if other > &t
            && let (Some(a), Some(b)) = (bench.target().op(t).made().next(), bench.target().op(*other).made().next())
            && bench.target().op(*other).op_type() == op.op_type()
            && bench.target().op(*other).data == op.data
        {
            out.extend(exchange_readers(bench, t, a, b));
        }
    }
    out
}

/// What reads `a` reads `b`, and the other way round.
fn exchange_readers(bench: &Bench<'_>, t: OpId, a: ValueId, b: ValueId) -> Option<Remedy> {
    let target = bench.target();
    if target.outputs().contains(&a) || target.outputs().contains(&b) {
        return None;
    }
    let mut edits = Vec::new();
    for (from, to) in [(a, b), (b, a)] {
        for c in target.consumers(from) {
            for (slot, v) in target.op(*c).inputs.iter().enumerate() {
                if *v == Some(from) {
                    edits.push(Edit::RewireInput { node: bench.key(*c), slot, value: bench.name(to).to_string() });
                }
            }
        }
    }
    (!edits.is_empty()).then(|| {
        let mut remedy =
            Remedy::new(Kind::CgRewired, Edit::All(edits), format!("'{}' and '{}' are exchanged", bench.name(a), bench.name(b))).at(t);
        remedy.ops.extend(target.consumers(a).iter().chain(target.consumers(b)));
        remedy
    })
}

/// Parts of a Concat in another order: the one in which the source's numbers stand.
fn reordered(bench: &Bench<'_>, t: OpId) -> Vec<Remedy> {
    let op = bench.target().op(t);
    let n = op.inputs.len();
    if op.op_type() != "Concat" || !(2..=8).contains(&n) {
        return Vec::new();
    }
    let node = bench.target().model().node(op.node);
    let mut orders: Vec<Vec<usize>> = Vec::new();
    for i in 0..n {
        for j in i + 1..n {
            let mut p: Vec<usize> = (0..n).collect();
            p.swap(i, j);
            orders.push(p);
        }
    }
    // The source's own order.
    for s in &bench.source {
        let theirs = bench.reference().op(*s);
        if theirs.op_type() == "Concat" && theirs.inputs.len() == n {
            let order: Vec<usize> = theirs
                .inputs
                .iter()
                .filter_map(|i| {
                    let p = partners(bench, (*i)?);
                    op.inputs.iter().position(|v| v.is_some_and(|v| p.contains(&v)))
                })
                .collect();
            if order.len() == n && order.iter().collect::<HashSet<_>>().len() == n {
                orders.insert(0, order);
            }
        }
    }
    orders
        .into_iter()
        .filter(|p| p.iter().enumerate().any(|(i, q)| i != *q))
        .map(|p| {
            let edits = p.iter().enumerate().filter(|(i, q)| i != *q).map(|(slot, q)| Edit::RewireInput {
                node: bench.key(t),
                slot,
                value: node.input[*q].clone(),
            });
            Remedy::new(Kind::CgRewired, Edit::All(edits.collect()), "the parts of Concat stand in another order than the source's").at(t)
        })
        .collect()
}

/// A node too many.
pub(super) fn extra(bench: &Bench<'_>) -> Vec<Remedy> {
    bench.ops.iter().filter_map(|t| removed(bench, *t)).collect()
}

/// Another operator, or a missing one.
pub(super) fn operators(bench: &Bench<'_>) -> Vec<Remedy> {
    let mut out = Vec::new();
    for t in &bench.ops {
        for s in &bench.source {
            out.extend(replaced(bench, *t, *s));
        }
    }
    for t in &bench.ops {
        out.extend(siblings(bench, *t));
    }
    // What the target has already is not missing.
    let there =
        |s: &OpId| bench.reference().op(*s).made().any(|v| !bench.checked_sources().contains(&v) && !partners_exact(bench, v).is_empty());
    // Nor is a normalisation that it says in steps; put in behind them it would undo whatever is wrong with one.
    let steps = bench.ops.iter().any(|t| bench.target().op(*t).op_type().starts_with("Reduce"));
    let in_steps = |s: &OpId| steps && bench.reference().op(*s).op_type().ends_with("Normalization");
    let missing: Vec<OpId> = bench.source.iter().copied().filter(|s| !there(s) && !in_steps(s)).collect();
    for t in &bench.ops {
        for s in &missing {
            out.extend(inserted(bench, *t, *s));
        }
    }
    out.extend(bench.ops.iter().flat_map(|t| inner(bench, *t)));
    out.extend(super::elementwise::missing(bench));
    dedup(out)
}

/// A function of one value that is missing behind a node, where the source has it inside a larger operator and so no node to take over.
fn inner(bench: &Bench<'_>, t: OpId) -> Vec<Remedy> {
    let inside = |s: &OpId| match bench.reference().op(*s).op_type() {
        "LayerNormalization"
        | "GroupNormalization"
        | "InstanceNormalization"
        | "RMSNormalization"
        | "SimplifiedLayerNormalization"
        | "LpNormalization"
        | "ReduceL2" => &["Sqrt", "Reciprocal"][..],
        "Gelu" | "FastGelu" => &["Erf", "Tanh"],
        "HardSwish" | "HardSigmoid" => &["HardSigmoid"],
        "Mish" => &["Softplus", "Tanh"],
        "Softmax" | "LogSoftmax" | "Softplus" => &["Exp", "Log"],
        "Swish" => &["Sigmoid"],
        _ => &[],
    };
    let mut functions: Vec<&str> = bench.source.iter().flat_map(|s| inside(s).iter().copied()).collect();
    functions.sort_unstable();
    functions.dedup();
    let target = bench.target();
    let op = target.op(t);
    let Some(output) = op.made().next().filter(|v| op.made().count() == 1 && bench.checks.iter().all(|(_, c)| c != v)) else {
        return Vec::new();
    };
    let name = bench.name(output).to_string();
    let remedy = |function: &&str| {
        let made = fresh_name(bench, &format!("{name}_{}", function.to_lowercase()));
        let node = NodeProto {
            op_type: Some(function.to_string()),
            name: Some(made.clone()),
            input: vec![name.clone()],
            output: vec![made.clone()],
            ..NodeProto::default()
        };
        let mut edits = vec![Edit::InsertNode { before: bench.next_key(t), node }];
        for c in target.consumers(output) {
            let slots = target.op(*c).inputs.iter().enumerate().filter(|(_, v)| **v == Some(output));
            edits.extend(slots.map(|(slot, _)| Edit::RewireInput { node: bench.key(*c), slot, value: made.clone() }));
        }
        let mut remedy = Remedy::new(Kind::CgMissing, Edit::All(edits), format!("{function} is missing behind {}", op.op_type())).at(t);
        remedy.ops.extend(target.consumers(output));
        remedy
    };
    functions.iter().map(remedy).collect()
}

/// The node away: what read it reads its input.
fn removed(bench: &Bench<'_>, t: OpId) -> Option<Remedy> {
    let target = bench.target();
    let op = target.op(t);
    let (input, output) = (*op.data.iter().find(|v| bench.a.is_live(**v))?, op.made().next()?);
    let shape = |v: ValueId| bench.a.computed(v).or_else(|| bench.a.fed(v)).map(|x| x[0].shape().to_vec());
    if shape(input) != shape(output) && shape(output).is_some() && op.op_type() != "Transpose" {
        return None;
    }
    let name = bench.name(output).to_string();
    let mut edits: Vec<Edit> = Vec::new();
    let mut checks = None;
    if target.outputs().contains(&output) {
        // The graph's output keeps its name: the node in front makes it.
        let before = target.producer(input)?;
        let mut node: NodeProto = target.model().node(target.op(before).node).clone();
        let place = node.output.iter().position(|o| o == bench.name(input))?;
        node.output[place] = name.clone();
        edits.push(Edit::RemoveNode { node: bench.key(t) });
        edits.push(Edit::ReplaceNode { node: bench.key(before), with: node });
        for c in target.consumers(input).iter().filter(|c| **c != t) {
            for (slot, v) in target.op(*c).inputs.iter().enumerate() {
                if *v == Some(input) {
                    edits.push(Edit::RewireInput { node: bench.key(*c), slot, value: name.clone() });
                }
            }
        }
    } else {
        for c in target.consumers(output) {
            for (slot, v) in target.op(*c).inputs.iter().enumerate() {
                if *v == Some(output) {
                    edits.push(Edit::RewireInput { node: bench.key(*c), slot, value: bench.name(input).to_string() });
                }
            }
        }
        edits.push(Edit::RemoveNode { node: bench.key(t) });
        let moved = |(n, v): &(String, ValueId)| if *n == name { (bench.name(input).to_string(), *v) } else { (n.clone(), *v) };
        checks = Some(bench.checks.iter().map(moved).collect());
    }
    let mut remedy =
        Remedy::new(Kind::CgExtra, Edit::All(edits), format!("{} is one too many: the source has no such node here", op.op_type())).at(t);
    if op.op_type() == "Transpose" {
        remedy = remedy.or(&[Kind::TsPerm]);
    }
    if matches!(op.op_type(), "Softmax" | "Sigmoid" | "LogSoftmax") && target.outputs().contains(&output) {
        remedy.kind = Kind::TsOutput;
        remedy.equivalents.push(Kind::CgExtra);
    }
    remedy.checks = checks;
    Some(remedy)
}

/// Attributes and constants of a source op as a node of the target, and the edits ahead of it: its constants as new initializers, and where the
/// target's operator set says it with several nodes, all but the last put in before `before`.
fn transplanted(
    bench: &Bench<'_>,
    s: OpId,
    inputs: &HashMap<ValueId, String>,
    output: &str,
    before: Option<&String>,
) -> Option<(NodeProto, Vec<Edit>)> {
    let op = bench.reference().op(s);
    let mut node: NodeProto = op.proto().clone();
    node.name = Some(fresh_name(bench, &format!("{output}_{}", node.op_type().to_lowercase())));
    node.output = vec![output.to_string()];
    let mut constants = Vec::new();
    node.input.clear();
    // What the target computes in here.
    let dtype = bench.checks.first().and_then(|(_, v)| bench.a.fed(*v)).map(|x| x[0].dtype());
    for (slot, v) in op.inputs.iter().enumerate() {
        let Some(v) = v else {
            node.input.push(String::new());
            continue;
        };
        match (inputs.get(v), bench.reference().constant(*v)) {
            (Some(name), _) => node.input.push(name.clone()),
            (None, Some(c)) => {
                let name = fresh_name(bench, &format!("{output}_{}_{slot}", op.op_type().to_lowercase()));
                let like = dtype.filter(|d| c.is_float() && matches!(d, DataType::Float16 | DataType::Bfloat16 | DataType::Float));
                constants.push((name.clone(), like.map_or(Some(c.clone()), |d| c.cast(d))?));
                node.input.push(name);
            }
            (None, None) => return None,
        }
    }
    let Restated { mut nodes, constants } = bench.restated(s, node, constants)?;
    let node = nodes.pop()?;
    let mut edits: Vec<Edit> = constants.iter().map(|(name, c)| Edit::AddInitializer { tensor: c.to_proto(name) }).collect();
    edits.extend(nodes.into_iter().map(|node| Edit::InsertNode { before: before.cloned(), node }));
    Some((node, edits))
}

const POOL: &[&str] = &["GlobalAveragePool", "GlobalMaxPool"];
const REDUCE: &[&str] = &["ReduceMean", "ReduceMax", "ReduceSum", "ReduceMin", "ReduceL2", "ReduceL1"];
const WINDOW: &[&str] = &["AveragePool", "MaxPool"];

/// An operator of the same shape in a node's place, where the source says it in other words.
fn siblings(bench: &Bench<'_>, t: OpId) -> Vec<Remedy> {
    const BINARY: &[&str] = &["Add", "Sub", "Mul", "Div"];
    const UNARY: &[&str] =
        &["Relu", "Sigmoid", "Tanh", "Erf", "Exp", "Sqrt", "Abs", "Neg", "Log", "Softplus", "HardSwish", "Elu", "LeakyRelu", "Identity"];
    const BOUND: &[&str] = &["Max", "Min"];
    let op = bench.target().op(t);
    let Some(family) = [BINARY, UNARY, POOL, REDUCE, WINDOW, BOUND].into_iter().find(|f| f.contains(&op.op_type())) else {
        return Vec::new();
    };
    let others = family.iter().filter(|o| **o != op.op_type());
    others
        .map(|other| {
            let mut node = bench.target().model().node(op.node).clone();
            node.op_type = Some((*other).to_string());
            match *other {
                "MaxPool" => node.attribute.retain(|a| a.name() != "count_include_pad"),
                "AveragePool" => node.attribute.retain(|a| a.name() != "storage_order"),
                _ if family == UNARY => node.attribute.clear(),
                _ => {}
            }
            let (kind, also) = match family {
                // A reduction is a pooling only where it goes over height and width.
                f if f == REDUCE => (Kind::CgOther, Kind::LhPool),
                f if f == POOL || f == WINDOW => (Kind::LhPool, Kind::CgOther),
                _ => (Kind::CgOther, Kind::LhAct),
            };
            let there = bench.source.iter().any(|s| bench.reference().op(*s).op_type() == *other);
            let asks = if there { "the source has" } else { "the source's numbers ask for" };
            let words = format!("{} stands where {asks} {other}", op.op_type());
            Remedy::new(kind, Edit::ReplaceNode { node: bench.key(t), with: node }, words).at(t).or(&[also])
        })
        .collect()
}

/// The source's operator in the target node's place, on the same inputs.
fn replaced(bench: &Bench<'_>, t: OpId, s: OpId) -> Vec<Remedy> {
    let target = bench.target();
    let (op, theirs) = (target.op(t), bench.reference().op(s));
    let live: Vec<ValueId> = op.data.iter().copied().filter(|v| bench.a.is_live(*v)).collect();
    let heavy = |o: &str| matches!(o, "Conv" | "Gemm" | "MatMul" | "ConvTranspose");
    // The node keeps its own axes and windows: those of another one may fit one image at a time by chance.
    let alike = [POOL, REDUCE, WINDOW].iter().any(|family| family.contains(&op.op_type()) && family.contains(&theirs.op_type()));
    // What quantises has integers to make, whatever the source has at its place.
    let quantises = op.op_type().contains("uantizeLinear") || op.op_type().starts_with("QLinear");
    if alike
        || quantises
        || theirs.data.len() != live.len()
        || theirs.op_type() == op.op_type()
        || moves(theirs.op_type())
        || moves(op.op_type())
        || heavy(theirs.op_type())
        || theirs.made().count() != 1
        || op.made().count() != 1
    {
        return Vec::new();
    }
    let Some(output) = op.made().next() else { return Vec::new() };
    let inputs: HashMap<ValueId, String> = theirs.data.iter().copied().zip(live.iter().map(|v| bench.name(*v).to_string())).collect();
    let Some((node, mut edits)) = transplanted(bench, s, &inputs, bench.name(output), Some(&bench.key(t))) else { return Vec::new() };
    edits.push(Edit::ReplaceNode { node: bench.key(t), with: node });
    let pools = |o: &str| o.ends_with("Pool") || o.starts_with("Reduce");
    let (kind, also) = match (op.op_type(), theirs.op_type()) {
        (a, b) if pools(a) && pools(b) => (Kind::LhPool, Kind::CgOther),
        _ => (Kind::CgOther, Kind::LhAct),
    };
    vec![
        Remedy::new(kind, Edit::All(edits), format!("{} stands where the source has {}", op.op_type(), theirs.op_type())).at(t).or(&[also]),
    ]
}

/// A source node put in behind a target node, or in front of it.
fn inserted(bench: &Bench<'_>, t: OpId, s: OpId) -> Vec<Remedy> {
    let target = bench.target();
    let theirs = bench.reference().op(s);
    if theirs.made().count() != 1 || matches!(theirs.op_type(), "Conv" | "Gemm" | "ConvTranspose") {
        return Vec::new();
    }
    let mut out = Vec::new();
    let op = target.op(t);
    // In front: between an input and this node.
    for (slot, v) in op.inputs.iter().enumerate() {
        let Some(v) = v.filter(|v| target.constant(*v).is_none() && bench.a.is_live(*v)) else { continue };
        let name = fresh_name(bench, &format!("{}_mended", bench.name(v)));
        out.extend(super::elementwise::added_to_bias(bench, s, v));
        for inputs in input_choices(bench, s, v, t) {
            let Some((node, mut edits)) = transplanted(bench, s, &inputs, &name, Some(&bench.key(t))) else { continue };
            edits.push(Edit::InsertNode { before: Some(bench.key(t)), node });
            edits.push(Edit::RewireInput { node: bench.key(t), slot, value: name.clone() });
            let mut remedy =
                Remedy::new(Kind::CgMissing, Edit::All(edits), format!("{} is missing before {}", theirs.op_type(), op.op_type())).at(t);
            remedy.ops.extend(target.producer(v));
            // What the region reads in several places is missing for all of them.
            let places = bench.ops.iter().flat_map(|c| target.op(*c).inputs.iter().enumerate().map(|(slot, i)| (*c, slot, *i)));
            let others: Vec<(OpId, usize)> =
                places.filter(|(c, at, i)| *i == Some(v) && (*c, *at) != (t, slot)).map(|(c, at, _)| (c, at)).collect();
            if !others.is_empty() && others.iter().all(|(c, _)| *c >= t) {
                let mut all = remedy.clone();
                let mut edits = all.parts().to_vec();
                edits.extend(others.iter().map(|(c, slot)| Edit::RewireInput { node: bench.key(*c), slot: *slot, value: name.clone() }));
                all.edit = Edit::All(edits);
                all.ops.extend(others.iter().map(|(c, _)| *c));
                out.push(all);
            }
            out.push(remedy);
        }
    }
    // Behind: what this node makes goes through the new one, which takes over its name.
    if let Some(output) = op.made().next().filter(|_| op.made().count() == 1) {
        let name = bench.name(output).to_string();
        let inner = fresh_name(bench, &format!("{name}_before"));
        let next = bench.next_key(t);
        for mut inputs in input_choices(bench, s, output, OpId(u32::MAX)) {
            inputs.values_mut().for_each(|n| {
                if *n == name {
                    *n = inner.clone()
                }
            });
            let Some((node, mut edits)) = transplanted(bench, s, &inputs, &name, next.as_ref()) else { continue };
            let mut renamed = target.model().node(op.node).clone();
            let Some(place) = renamed.output.iter().position(|o| *o == name) else { continue };
            renamed.output[place] = inner.clone();
            // Renamed first, so that what is put in behind it finds it.
            edits.insert(0, Edit::ReplaceNode { node: bench.key(t), with: renamed });
            edits.push(Edit::InsertNode { before: next.clone(), node });
            let mut remedy =
                Remedy::new(Kind::CgMissing, Edit::All(edits), format!("{} is missing behind {}", theirs.op_type(), op.op_type())).at(t);
            remedy.ops.extend(target.consumers(output));
            if target.outputs().contains(&output) && matches!(theirs.op_type(), "Softmax" | "Sigmoid" | "LogSoftmax") {
                remedy.kind = Kind::TsOutput;
                remedy.equivalents.push(Kind::CgMissing);
            }
            out.push(remedy);
        }
    }
    out
}

/// Which target values a transplanted op can read: `v` in one place, partners of the source's inputs in the others.
fn input_choices(bench: &Bench<'_>, s: OpId, v: ValueId, before: OpId) -> Vec<HashMap<ValueId, String>> {
    let theirs = bench.reference().op(s);
    let mut out = Vec::new();
    for own in &theirs.data {
        // A value that stands for another one than the node reads is not its input.
        let stands_for = bench.a.pair_of(v).map(|p| bench.a.source().origin(p.source));
        let checked = bench.checks.iter().any(|(_, c)| *c == v);
        if !checked && stands_for.is_some_and(|s| s != bench.a.source().origin(*own)) {
            continue;
        }
        let mut inputs: HashMap<ValueId, String> = [(*own, bench.name(v).to_string())].into();
        for other in theirs.data.iter().filter(|i| *i != own) {
            let made_before = |p: &ValueId| bench.target().producer(*p).is_none_or(|x| x < before);
            if let Some(p) = partners(bench, *other).into_iter().find(made_before) {
                inputs.insert(*other, bench.name(p).to_string());
            }
        }
        if inputs.len() == theirs.data.len() {
            out.push(inputs);
        }
    }
    out
}
