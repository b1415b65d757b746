//! Nodes: wrong inputs, missing, extra and other operators, and at last the source's own sub-graph.

use super::constants::fresh_name;
use super::shape::transpose_node;
use super::{Bench, Remedy};
use crate::align::moves;
use crate::localize::Kind;
use crate::model::onnx::NodeProto;
use crate::model::{Edit, NodeExt, ValueId};
use crate::run::{OpId, Value};
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
    let missing: Vec<OpId> = bench.source.iter().copied().filter(|s| !there(s)).collect();
    for t in &bench.ops {
        for s in &missing {
            out.extend(inserted(bench, *t, *s));
        }
    }
    dedup(out)
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

/// Attributes and constants of a source op as a node of the target. The constants come as new initializers.
fn transplanted(bench: &Bench<'_>, s: OpId, inputs: &HashMap<ValueId, String>, output: &str) -> Option<(NodeProto, Vec<Edit>)> {
    let op = bench.reference().op(s);
    let mut node: NodeProto = op.proto().clone();
    node.name = Some(fresh_name(bench, &format!("{output}_{}", node.op_type().to_lowercase())));
    node.output = vec![output.to_string()];
    let mut edits = Vec::new();
    node.input.clear();
    for (slot, v) in op.inputs.iter().enumerate() {
        let Some(v) = v else {
            node.input.push(String::new());
            continue;
        };
        match (inputs.get(v), bench.reference().constant(*v)) {
            (Some(name), _) => node.input.push(name.clone()),
            (None, Some(c)) => {
                let name = fresh_name(bench, &format!("{output}_{}_{slot}", op.op_type().to_lowercase()));
                edits.push(Edit::AddInitializer { tensor: c.to_proto(&name) });
                node.input.push(name);
            }
            (None, None) => return None,
        }
    }
    Some((node, edits))
}

/// An operator of the same shape in a node's place, where the source says it in other words.
fn siblings(bench: &Bench<'_>, t: OpId) -> Vec<Remedy> {
    const BINARY: &[&str] = &["Add", "Sub", "Mul", "Div"];
    const UNARY: &[&str] =
        &["Relu", "Sigmoid", "Tanh", "Erf", "Exp", "Sqrt", "Abs", "Neg", "Softplus", "HardSwish", "Elu", "LeakyRelu", "Identity"];
    const POOL: &[&str] = &["GlobalAveragePool", "GlobalMaxPool"];
    const REDUCE: &[&str] = &["ReduceMean", "ReduceMax", "ReduceSum", "ReduceMin"];
    const WINDOW: &[&str] = &["AveragePool", "MaxPool"];
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
            let pool = family == POOL || family == REDUCE || family == WINDOW;
            let (kind, also) = if pool { (Kind::LhPool, Kind::CgOther) } else { (Kind::CgOther, Kind::LhAct) };
            let words = format!("{} stands where the source's numbers ask for {other}", op.op_type());
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
    if theirs.data.len() != live.len()
        || theirs.op_type() == op.op_type()
        || moves(theirs.op_type())
        || heavy(theirs.op_type())
        || theirs.made().count() != 1
        || op.made().count() != 1
    {
        return Vec::new();
    }
    let Some(output) = op.made().next() else { return Vec::new() };
    let inputs: HashMap<ValueId, String> = theirs.data.iter().copied().zip(live.iter().map(|v| bench.name(*v).to_string())).collect();
    let Some((node, mut edits)) = transplanted(bench, s, &inputs, bench.name(output)) else { return Vec::new() };
    edits.push(Edit::ReplaceNode { node: bench.key(t), with: node });
    let pools = |o: &str| o.ends_with("Pool") || o.starts_with("Reduce");
    let kind = if pools(op.op_type()) && pools(theirs.op_type()) { Kind::LhPool } else { Kind::CgOther };
    let also = if kind == Kind::LhPool { Kind::CgOther } else { Kind::LhAct };
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
        for inputs in input_choices(bench, s, v, t) {
            let Some((node, mut edits)) = transplanted(bench, s, &inputs, &name) else { continue };
            edits.push(Edit::InsertNode { before: Some(bench.key(t)), node });
            edits.push(Edit::RewireInput { node: bench.key(t), slot, value: name.clone() });
            let mut remedy =
                Remedy::new(Kind::CgMissing, Edit::All(edits), format!("{} is missing before {}", theirs.op_type(), op.op_type())).at(t);
            remedy.ops.extend(target.producer(v));
            out.push(remedy);
        }
    }
    // Behind: what this node makes goes through the new one, which takes over its name.
    if let Some(output) = op.made().next().filter(|_| op.made().count() == 1) {
        let name = bench.name(output).to_string();
        let inner = fresh_name(bench, &format!("{name}_before"));
        let next = target
            .model()
            .index()
            .nodes()
            .find(|n| n.0 == op.node.0 + 1)
            .and_then(|n| target.model().node(n).output.iter().find(|o| !o.is_empty()).cloned());
        for mut inputs in input_choices(bench, s, output, OpId(u32::MAX)) {
            inputs.values_mut().for_each(|n| {
                if *n == name {
                    *n = inner.clone()
                }
            });
            let Some((node, mut edits)) = transplanted(bench, s, &inputs, &name) else { continue };
            let mut renamed = target.model().node(op.node).clone();
            let Some(place) = renamed.output.iter().position(|o| *o == name) else { continue };
            renamed.output[place] = inner.clone();
            edits.push(Edit::ReplaceNode { node: bench.key(t), with: renamed });
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

/// The last resort: the source's ops of the region in the place of the target's, with Transposes and Reshapes where the layouts differ.
pub(super) fn source_subgraph(bench: &Bench<'_>) -> Option<Remedy> {
    let target = bench.target();
    let mut edits = Vec::new();
    let mut values: HashMap<ValueId, String> = HashMap::new();
    let mut needed: Vec<OpId> = Vec::new();
    let mut open: Vec<ValueId> = Vec::new();
    for (_, v) in &bench.checks {
        let pair = bench.a.pair_of(*v)?;
        open.push(bench.a.source().virtual_of(pair.source).map_or(pair.source, |(_, of)| of));
    }
    let checked: HashSet<ValueId> = bench.checks.iter().map(|(_, v)| *v).collect();
    let first = bench.ops.iter().min().copied()?;
    let anchor = bench.checks.iter().filter_map(|(_, v)| target.producer(*v)).min()?;
    let mut seen: HashSet<ValueId> = HashSet::new();
    let mut usable_names: HashSet<&str> = HashSet::new();
    while let Some(s) = open.pop() {
        if !seen.insert(s) || bench.reference().constant(s).is_some() {
            continue;
        }
        // A value that the target has, made before the region.
        let usable = partners_exact(bench, s)
            .into_iter()
            .find(|p| !checked.contains(p) && target.producer(*p).is_none_or(|x| x < anchor && (x < first || !bench.ops.contains(&x))));
        if let Some(p) = usable {
            usable_names.insert(bench.name(p));
            let name = adapt(bench, p, s, &mut edits, target.op(anchor).made().next().map(|v| bench.name(v).to_string()))?;
            values.insert(s, name);
            continue;
        }
        let p = bench.reference().producer(s)?;
        if !needed.contains(&p) {
            needed.push(p);
            open.extend(&bench.reference().op(p).data);
        }
        if needed.len() > 60 {
            return None;
        }
    }
    needed.sort();
    let before = target.op(anchor).made().next().map(|v| bench.name(v).to_string());
    for s in &needed {
        let op = bench.reference().op(*s);
        let mut node = op.proto().clone();
        node.name = Some(fresh_name(bench, &format!("source_{}", bench.reference().label(*s))));
        node.input = Vec::new();
        for (slot, v) in op.inputs.iter().enumerate() {
            let name = match v {
                None => String::new(),
                Some(v) => match (values.get(v), bench.reference().constant(*v)) {
                    (Some(n), _) => n.clone(),
                    (None, Some(c)) => {
                        let name = fresh_name(bench, &format!("source_{}_{slot}", bench.reference().label(*s)));
                        edits.push(Edit::AddInitializer { tensor: c.to_proto(&name) });
                        name
                    }
                    (None, None) => return None,
                },
            };
            node.input.push(name);
        }
        node.output = op
            .outputs
            .iter()
            .map(|v| v.map_or_else(String::new, |v| fresh_name(bench, &format!("source_{}", bench.reference().model().index().name(v)))))
            .collect();
        for (v, name) in op.outputs.iter().zip(&node.output) {
            if let Some(v) = v {
                values.insert(*v, name.clone());
            }
        }
        edits.push(Edit::InsertNode { before: before.clone(), node });
    }
    let mut ops = bench.ops.clone();
    for (name, v) in &bench.checks {
        let pair = bench.a.pair_of(*v)?;
        let s = values.get(&pair.source)?.clone();
        let producer = target.producer(*v)?;
        let steps = layout_nodes(bench, &s, name, bench.a.source().values(pair.source)?[0].shape(), &pair.layout);
        // The old maker keeps its other outputs and loses this name.
        let mut node = target.model().node(target.op(producer).node).clone();
        let place = node.output.iter().position(|o| o == name)?;
        if node.output.len() > 1 {
            return None;
        }
        node.output[place] = fresh_name(bench, &format!("{name}_unused"));
        edits.push(Edit::ReplaceNode { node: bench.key(producer), with: node.clone() });
        for (node, constants) in steps {
            edits.extend(constants.into_iter().map(|tensor| Edit::AddInitializer { tensor }));
            edits.push(Edit::InsertNode { before: next_key(bench, producer), node });
        }
        edits.push(Edit::RemoveNode { node: node.output[place].clone() });
        if !ops.contains(&producer) {
            ops.push(producer);
        }
    }
    // Nodes whose values nobody reads any more go as well, the last ones first.
    let mut gone: HashSet<OpId> = bench.checks.iter().filter_map(|(_, v)| target.producer(*v)).collect();
    let mut old: Vec<OpId> = target.op_ids().filter(|id| *id < *gone.iter().max().unwrap_or(id)).collect();
    old.reverse();
    for id in old {
        let op = target.op(id);
        let unread = op.made().all(|v| {
            !target.outputs().contains(&v) && !usable_names.contains(bench.name(v)) && target.consumers(v).iter().all(|c| gone.contains(c))
        });
        if unread && !gone.contains(&id) {
            gone.insert(id);
            edits.push(Edit::RemoveNode { node: bench.key(id) });
        }
    }
    let words = format!("the source's sub-graph of {} nodes in the place of this region", needed.len());
    let kind = difference(bench, &needed);
    let mut remedy = Remedy::new(kind, Edit::All(edits), words);
    remedy.equivalents.extend(Some(Kind::CgOther).filter(|k| *k != kind));
    remedy.ops = ops;
    remedy.safe = false;
    Some(remedy)
}

fn next_key(bench: &Bench<'_>, id: OpId) -> Option<String> {
    let model = bench.target().model();
    let node = bench.target().op(id).node;
    model.index().nodes().find(|n| n.0 == node.0 + 1).and_then(|n| model.node(n).output.iter().find(|o| !o.is_empty()).cloned())
}

/// Target values that stand for exactly this source value.
fn partners_exact(bench: &Bench<'_>, s: ValueId) -> Vec<ValueId> {
    bench.a.pairs.iter().filter(|p| p.source == s && p.error <= bench.a.tau()).map(|p| p.target).collect()
}

/// A target value turned into the source's layout; gives the name to read.
fn adapt(bench: &Bench<'_>, target: ValueId, source: ValueId, edits: &mut Vec<Edit>, before: Option<String>) -> Option<String> {
    let pair = bench.a.pairs.iter().find(|p| p.target == target && p.source == source)?;
    let shape = bench.a.source().values(source)?.first()?.shape().to_vec();
    let mut at = bench.name(target).to_string();
    if !pair.layout.is_flat()
        && let Some(perm) = full_perm(&shape, &pair.layout)
    {
        let mut back = vec![0i64; perm.len()];
        perm.iter().enumerate().for_each(|(i, p)| back[*p as usize] = i as i64);
        let name = fresh_name(bench, &format!("{}_as_source", bench.name(target)));
        edits.push(Edit::InsertNode { before, node: transpose_node(&at, &name, &back) });
        return Some(name);
    }
    let mut step = |at: &mut String, node: NodeProto| {
        *at = node.output[0].clone();
        edits.push(Edit::InsertNode { before: before.clone(), node });
    };
    let permuted: Vec<usize> = pair.layout.perm.iter().map(|p| pair.layout.split[*p]).collect();
    if !pair.layout.is_flat() {
        if permuted != pair.layout.shape {
            let (node, tensor) = reshape_node(bench, &at, &format!("{at}_split"), &permuted);
            step(&mut at, node);
            edits_insert_first(edits, tensor);
        }
        let mut back = vec![0i64; pair.layout.perm.len()];
        pair.layout.perm.iter().enumerate().for_each(|(i, p)| back[*p] = i as i64);
        let name = fresh_name(bench, &format!("{}_as_source", bench.name(target)));
        let node = transpose_node(&at, &name, &back);
        at = name;
        edits.push(Edit::InsertNode { before: before.clone(), node });
    }
    let now = if pair.layout.is_flat() { pair.layout.shape.clone() } else { pair.layout.split.clone() };
    if now != shape {
        let (node, tensor) = reshape_node(bench, &at, &format!("{at}_shaped"), &shape);
        at = node.output[0].clone();
        edits_insert_first(edits, tensor);
        edits.push(Edit::InsertNode { before, node });
    }
    Some(at)
}

fn edits_insert_first(edits: &mut Vec<Edit>, tensor: crate::model::onnx::TensorProto) {
    edits.insert(0, Edit::AddInitializer { tensor });
}

/// The permutation of all axes that a layout amounts to, where the number of axes stays: one Transpose then does.
fn full_perm(source: &[usize], layout: &crate::align::Layout) -> Option<Vec<i64>> {
    if source.len() != layout.shape.len() {
        return None;
    }
    let long: Vec<usize> = (0..source.len()).filter(|i| source[*i] != 1).collect();
    let mut short = (0..source.len()).filter(|i| source[*i] == 1);
    if layout.split.len() == source.len() && layout.split == source {
        return Some(layout.perm.iter().map(|p| *p as i64).collect());
    }
    if layout.split.len() != long.len() {
        return None;
    }
    let mut moved = layout.perm.iter().map(|p| long[*p]);
    let perm: Option<Vec<usize>> = layout.shape.iter().map(|d| if *d == 1 { short.next() } else { moved.next() }).collect();
    let perm = perm?;
    perm.iter().zip(&layout.shape).all(|(p, d)| source[*p] == *d).then(|| perm.iter().map(|p| *p as i64).collect())
}

fn reshape_node(bench: &Bench<'_>, input: &str, output: &str, shape: &[usize]) -> (NodeProto, crate::model::onnx::TensorProto) {
    let output = fresh_name(bench, output);
    let constant = fresh_name(bench, &format!("{output}_shape"));
    // The batch is left to whoever runs the model: 0 copies it.
    let dims = shape.iter().enumerate().map(|(i, d)| if i == 0 && *d == 1 && shape.len() > 1 { 0 } else { *d as i64 }).collect();
    let tensor = Value::from_i64(&[shape.len()], dims).to_proto(&constant);
    let node = NodeProto {
        input: vec![input.into(), constant],
        output: vec![output.clone()],
        name: Some(output),
        op_type: Some("Reshape".into()),
        ..NodeProto::default()
    };
    (node, tensor)
}

/// Nodes that lay a source value out as the target has it, the last one making `output`.
fn layout_nodes(
    bench: &Bench<'_>,
    input: &str,
    output: &str,
    shape: &[usize],
    layout: &crate::align::Layout,
) -> Vec<(NodeProto, Vec<crate::model::onnx::TensorProto>)> {
    let mut out = Vec::new();
    let mut at = input.to_string();
    if !layout.is_flat()
        && let Some(perm) = full_perm(shape, layout)
    {
        return vec![(transpose_node(&at, output, &perm), Vec::new())];
    }
    if layout.is_flat() && layout.shape == shape {
        let node = NodeProto {
            input: vec![at],
            output: vec![output.into()],
            name: Some(fresh_name(bench, &format!("{output}_same"))),
            op_type: Some("Identity".into()),
            ..NodeProto::default()
        };
        return vec![(node, Vec::new())];
    }
    if !layout.is_flat() {
        if layout.split != shape {
            let (node, tensor) = reshape_node(bench, &at, &format!("{output}_split"), &layout.split);
            at = node.output[0].clone();
            out.push((node, vec![tensor]));
        }
        let name = fresh_name(bench, &format!("{output}_as_target"));
        let perm: Vec<i64> = layout.perm.iter().map(|p| *p as i64).collect();
        out.push((transpose_node(&at, &name, &perm), Vec::new()));
        at = name;
    }
    let (mut node, tensor) = reshape_node(bench, &at, output, &layout.shape);
    node.output = vec![output.to_string()];
    node.name = Some(fresh_name(bench, &format!("{output}_laid_out")));
    out.push((node, vec![tensor]));
    out
}

/// What the source's sub-graph differs in from the region whose place it takes, as far as structure says.
fn difference(bench: &Bench<'_>, needed: &[OpId]) -> Kind {
    let one = |id: &OpId| bench.reference().op(*id).proto();
    let makers: Vec<OpId> = bench.checks.iter().filter_map(|(_, v)| bench.target().producer(*v)).collect();
    if let ([theirs], [mine]) = (needed, &makers[..]) {
        let (theirs, mine) = (one(theirs), bench.target().op(*mine).proto());
        let group = |n: &NodeProto| n.int("group").unwrap_or(1);
        if theirs.op_type() == "Conv" && mine.op_type() == "Conv" && group(theirs) != group(mine) {
            return Kind::LhGroup;
        }
    }
    let found = bench.checks.iter().find_map(|(_, v)| {
        let s = bench.a.pair_of(*v)?.source;
        let s = bench.a.source().virtual_of(s).map_or(s, |(_, of)| of);
        first_difference(bench, *v, s, true, 20)
    });
    found.unwrap_or(Kind::CgOther)
}

/// Upward from two values that should be the same, through operators of the same types, to where the sides part. `None` where they do not.
fn first_difference(bench: &Bench<'_>, t: ValueId, s: ValueId, checked: bool, depth: u32) -> Option<Kind> {
    let origin = |v: ValueId| bench.a.source().origin(v);
    if let Some(pair) = bench.a.pair_of(t).filter(|_| !checked) {
        if origin(pair.source) == origin(s) {
            return None;
        }
        return Some(if is_skipped(bench, pair.source, s) { Kind::CgMissing } else { Kind::CgRewired });
    }
    let (mine, theirs) = (bench.target().producer(t)?, bench.reference().producer(s)?);
    let (mine, theirs) = (bench.target().op(mine), bench.reference().op(theirs));
    if depth == 0 {
        return None;
    }
    if mine.op_type() == theirs.op_type() && mine.data.len() == theirs.data.len() {
        return mine.data.iter().zip(&theirs.data).find_map(|(t, s)| first_difference(bench, *t, *s, false, depth - 1));
    }
    // The source has one more operator here: what it reads is what the target makes.
    let goes_on = |s: &ValueId| bench.reference().producer(*s).is_some_and(|p| bench.reference().op(p).op_type() == mine.op_type());
    Some(if theirs.data.iter().any(goes_on) { Kind::CgMissing } else { Kind::CgOther })
}

/// Whether `s` is made from `from` by one operator, or a short chain of them, which the target passes over.
fn is_skipped(bench: &Bench<'_>, from: ValueId, s: ValueId) -> bool {
    let origin = |v: ValueId| bench.a.source().origin(v);
    let mut at = s;
    for _ in 0..4 {
        let Some(op) = bench.reference().producer(at).map(|p| bench.reference().op(p)) else { return false };
        if op.data.iter().any(|v| origin(*v) == origin(from)) {
            return true;
        }
        match op.data[..] {
            [only] => at = only,
            _ => return false,
        }
    }
    false
}
