//! The last resort: the source's own sub-graph in the place of a region, with adapters of layout and element type; and what it differs in.

use super::edits::fresh_name;
use super::restate::Restated;
use super::shape::transpose_node;
use super::{Bench, Remedy};
use crate::localize::Kind;
use crate::model::onnx::tensor_proto::DataType;
use crate::model::onnx::{AttributeProto, NodeProto, TensorProto};
use crate::model::{Edit, Model, NodeExt, NodeId, ValueId};
use crate::run::{OpId, Value};
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

/// The largest number of half precision.
const HALF_MAX: f32 = 65504.0;

/// The last resort: the source's ops of the region in the place of the target's, with Transposes and Reshapes where the layouts differ, and
/// Casts where the float types do.
pub(in crate::localize) fn source_subgraph(bench: &Bench<'_>) -> Option<Remedy> {
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
    // Two regions can need the same nodes of the source: each has its own.
    let here = bench.checks.first().map(|(name, _)| name.as_str()).unwrap_or_default();
    let named = |what: &str| fresh_name(bench, &format!("{here}_source_{what}"));
    for s in &needed {
        let op = bench.reference().op(*s);
        let mut node = op.proto().clone();
        node.name = Some(named(bench.reference().label(*s)));
        node.input = Vec::new();
        let mut constants: Vec<(String, Value)> = Vec::new();
        for (slot, v) in op.inputs.iter().enumerate() {
            let name = match v {
                None => String::new(),
                Some(v) => match (values.get(v), bench.reference().constant(*v)) {
                    (Some(n), _) => n.clone(),
                    (None, Some(c)) => {
                        let name = named(&format!("{}_{slot}", bench.reference().label(*s)));
                        constants.push((name.clone(), c.clone()));
                        name
                    }
                    (None, None) => return None,
                },
            };
            node.input.push(name);
        }
        node.output = op.outputs.iter().map(|v| v.map_or_else(String::new, |v| named(bench.reference().model().index().name(v)))).collect();
        for (v, name) in op.outputs.iter().zip(&node.output) {
            if let Some(v) = v {
                values.insert(*v, name.clone());
            }
        }
        let Restated { nodes, constants } = bench.restated(*s, node, constants)?;
        edits.extend(constants.iter().map(|(name, c)| Edit::AddInitializer { tensor: c.to_proto(name) }));
        edits.extend(nodes.into_iter().map(|node| Edit::InsertNode { before: before.clone(), node }));
    }
    let mut ops = bench.ops.clone();
    for (name, v) in &bench.checks {
        let pair = bench.a.pair_of(*v)?;
        let s = values.get(&pair.source)?.clone();
        let producer = target.producer(*v)?;
        let cast = float_types(bench, *v, pair.source).map(|(mine, _)| mine);
        let steps = layout_nodes(bench, &s, name, bench.a.source().values(pair.source)?[0].shape(), &pair.layout, cast);
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
            edits.push(Edit::InsertNode { before: bench.next_key(producer), node });
        }
        edits.push(Edit::RemoveNode { node: node.output[place].clone() });
        if !ops.contains(&producer) {
            ops.push(producer);
        }
    }
    let makers = bench.checks.iter().filter_map(|(_, v)| target.producer(*v)).map(|id| target.op(id).node);
    edits.extend(unread(target.model(), makers.collect(), &usable_names));
    let kind = if needed.is_empty() { Kind::CgExtra } else { difference(bench, &needed) };
    let words = match kind {
        Kind::CgExtra if needed.is_empty() => {
            let names: Vec<&str> = bench.ops.iter().map(|t| target.op(*t).op_type()).collect();
            format!("{} too many: the source has no such nodes here", names.join(", "))
        }
        Kind::WbPrecision => format!("{}: {} nodes compute as in the source, between casts", beyond_half(bench, &needed), needed.len()),
        _ => format!("the source's sub-graph of {} nodes in the place of this region", needed.len()),
    };
    let mut remedy = Remedy::new(kind, Edit::All(edits), words);
    remedy.equivalents.extend(Some(Kind::CgOther).filter(|k| *k != kind));
    remedy.ops = ops;
    remedy.safe = false;
    Some(remedy)
}

/// Target values that stand for exactly this source value.
pub(super) fn partners_exact(bench: &Bench<'_>, s: ValueId) -> Vec<ValueId> {
    bench.a.pairs.iter().filter(|p| p.source == s && p.error <= bench.a.tau()).map(|p| p.target).collect()
}

/// The float types of a target value and of the source value that it stands for, where they differ.
fn float_types(bench: &Bench<'_>, target: ValueId, source: ValueId) -> Option<(DataType, DataType)> {
    let mine = bench.a.computed(target).or_else(|| bench.a.fed(target))?.first()?;
    let theirs = bench.a.source().values(source)?.first()?;
    (mine.is_float() && theirs.is_float() && mine.dtype() != theirs.dtype()).then(|| (mine.dtype(), theirs.dtype()))
}

pub(super) fn cast_node(input: &str, output: &str, to: DataType) -> NodeProto {
    NodeProto {
        input: vec![input.into()],
        output: vec![output.into()],
        name: Some(output.into()),
        op_type: Some("Cast".into()),
        attribute: vec![AttributeProto::of_int("to", to as i64)],
        ..NodeProto::default()
    }
}

/// A target value turned into the source's layout and element type; gives the name to read.
fn adapt(bench: &Bench<'_>, target: ValueId, source: ValueId, edits: &mut Vec<Edit>, before: Option<String>) -> Option<String> {
    let pair = bench.a.pairs.iter().find(|p| p.target == target && p.source == source)?;
    let shape = bench.a.source().values(source)?.first()?.shape().to_vec();
    let mut at = bench.name(target).to_string();
    if let Some((_, theirs)) = float_types(bench, target, source) {
        let name = fresh_name(bench, &format!("{at}_cast"));
        edits.push(Edit::InsertNode { before: before.clone(), node: cast_node(&at, &name, theirs) });
        at = name;
    }
    if !pair.layout.is_flat()
        && let Some(perm) = full_perm(&shape, &pair.layout)
    {
        let mut back = vec![0i64; perm.len()];
        perm.iter().enumerate().for_each(|(i, p)| back[*p as usize] = i as i64);
        let name = fresh_name(bench, &format!("{}_as_source", bench.name(target)));
        edits.push(Edit::InsertNode { before, node: transpose_node(&at, &name, &back) });
        return Some(name);
    }
    let mut back = vec![0; pair.layout.perm.len()];
    pair.layout.perm.iter().enumerate().for_each(|(i, p)| back[*p] = i);
    let permuted: Vec<usize> = pair.layout.perm.iter().map(|p| pair.layout.split[*p]).collect();
    let turn = if pair.layout.is_flat() { None } else { Some((&permuted[..], &back[..])) };
    // One value of the target can stand for several of the source.
    let base = format!("{}_as_{}", bench.name(target), bench.a.source().name(source));
    for (node, tensor) in relaid(bench, &at, &base, &pair.layout.shape, turn, &shape) {
        at = node.output[0].clone();
        tensor.into_iter().for_each(|tensor| edits.insert(0, Edit::AddInitializer { tensor }));
        edits.push(Edit::InsertNode { before: before.clone(), node });
    }
    Some(at)
}

/// Nodes that give a value of shape `from` the shape `to`, with the weights that they read; `turn` says as what and in which order of axes it is
/// to be taken on the way.
///
/// The batch, which is of one here, is kept apart from the other axes: what is right for one image is right for several.
fn relaid(
    bench: &Bench<'_>,
    input: &str,
    base: &str,
    from: &[usize],
    turn: Option<(&[usize], &[usize])>,
    to: &[usize],
) -> Vec<(NodeProto, Option<TensorProto>)> {
    let mut out: Vec<(NodeProto, Option<TensorProto>)> = Vec::new();
    let (mut at, mut now) = (input.to_string(), from.to_vec());
    let one = |shape: &[usize]| shape.iter().position(|d| *d == 1);
    let batch = one(from).zip(one(to));
    let with = |shape: &[usize]| batch.iter().map(|_| 1).chain(shape.iter().copied()).collect::<Vec<usize>>();
    let transpose = |at: &mut String, now: &mut Vec<usize>, out: &mut Vec<_>, perm: Vec<usize>| {
        if perm.iter().enumerate().any(|(i, p)| i != *p) {
            let name = fresh_name(bench, &format!("{base}_{}", out.len()));
            out.push((transpose_node(at, &name, &perm.iter().map(|p| *p as i64).collect::<Vec<_>>()), None));
            (*at, *now) = (name, perm.iter().map(|p| now[*p]).collect());
        }
    };
    let reshape = |at: &mut String, now: &mut Vec<usize>, out: &mut Vec<(NodeProto, Option<TensorProto>)>, shape: Vec<usize>| {
        if *now != shape {
            let (node, tensor) = reshape_node(bench, at, &format!("{base}_{}", out.len()), &shape);
            *at = node.output[0].clone();
            out.push((node, Some(tensor)));
            *now = shape;
        }
    };
    if let Some((first, _)) = batch {
        let perm = std::iter::once(first).chain((0..from.len()).filter(|i| *i != first)).collect();
        transpose(&mut at, &mut now, &mut out, perm);
    }
    if let Some((shape, perm)) = turn {
        reshape(&mut at, &mut now, &mut out, with(shape));
        let ahead = usize::from(batch.is_some());
        transpose(&mut at, &mut now, &mut out, (0..ahead).chain(perm.iter().map(|p| p + ahead)).collect());
    }
    match batch {
        Some((_, last)) => {
            let others: Vec<usize> = to.iter().enumerate().filter(|(i, _)| *i != last).map(|(_, d)| *d).collect();
            reshape(&mut at, &mut now, &mut out, with(&others));
            let perm = (0..to.len()).map(|i| match i.cmp(&last) {
                Ordering::Less => i + 1,
                Ordering::Equal => 0,
                Ordering::Greater => i,
            });
            transpose(&mut at, &mut now, &mut out, perm.collect());
        }
        None => reshape(&mut at, &mut now, &mut out, to.to_vec()),
    }
    out
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

fn reshape_node(bench: &Bench<'_>, input: &str, output: &str, shape: &[usize]) -> (NodeProto, TensorProto) {
    let output = fresh_name(bench, output);
    let constant = fresh_name(bench, &format!("{output}_shape"));
    // The batch is left to whoever runs the model, wherever it stands: the first extent of one is whatever is left; without one, the batch is
    // in the first axis with others.
    let batch = Some(shape.iter().position(|d| *d == 1).unwrap_or(0)).filter(|_| shape.len() > 1);
    let dims = shape.iter().enumerate().map(|(i, d)| if Some(i) == batch { -1 } else { *d as i64 }).collect();
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

/// Nodes that lay a source value out as the target has it, in the element type `cast` where there is one, the last one making `output`.
fn layout_nodes(
    bench: &Bench<'_>,
    input: &str,
    output: &str,
    shape: &[usize],
    layout: &crate::align::Layout,
    cast: Option<DataType>,
) -> Vec<(NodeProto, Vec<TensorProto>)> {
    let mut out = Vec::new();
    let mut at = input.to_string();
    let same = layout.is_flat() && layout.shape == shape;
    if let Some(to) = cast {
        let name = if same { output.to_string() } else { fresh_name(bench, &format!("{output}_cast")) };
        out.push((cast_node(&at, &name, to), Vec::new()));
        if same {
            return out;
        }
        at = name;
    }
    if !layout.is_flat()
        && let Some(perm) = full_perm(shape, layout)
    {
        out.push((transpose_node(&at, output, &perm), Vec::new()));
        return out;
    }
    if same {
        let node = NodeProto {
            input: vec![at],
            output: vec![output.into()],
            name: Some(fresh_name(bench, &format!("{output}_same"))),
            op_type: Some("Identity".into()),
            ..NodeProto::default()
        };
        out.push((node, Vec::new()));
        return out;
    }
    let turn = if layout.is_flat() { None } else { Some((&layout.split[..], &layout.perm[..])) };
    let steps = relaid(bench, &at, &format!("{output}_as_target"), shape, turn, &layout.shape);
    out.extend(steps.into_iter().map(|(node, tensor)| (node, tensor.into_iter().collect())));
    // The last one makes what the target reads.
    if let Some((node, _)) = out.last_mut() {
        node.output = vec![output.to_string()];
    }
    out
}

/// Takes away what nobody reads once these nodes are gone, weights too; `read` are values that what takes their place reads.
fn unread(model: &Model, nodes: HashSet<NodeId>, read: &HashSet<&str>) -> Vec<Edit> {
    let index = model.index();
    let declared: HashSet<&str> = model.declared_inputs().map(|v| v.name()).collect();
    let mut open: Vec<NodeId> = nodes.iter().copied().collect();
    open.sort();
    let (mut gone, mut edits) = (nodes, Vec::new());
    let mut seen: HashSet<&str> = HashSet::new();
    while let Some(node) = open.pop() {
        for name in model.node(node).input.iter().filter(|n| !n.is_empty()) {
            let is_read = |v: ValueId, gone: &HashSet<NodeId>| {
                index.outputs().contains(&v) || read.contains(index.name(v)) || index.consumers(v).iter().any(|c| !gone.contains(c))
            };
            let Some(v) = index.value(name).filter(|v| !is_read(*v, &gone)) else { continue };
            if let Some(producer) = index.producer(v) {
                let made = &model.node(producer).output;
                let Some(key) = made.iter().find(|o| !o.is_empty()) else { continue };
                if made.iter().filter_map(|o| index.value(o)).all(|v| !is_read(v, &gone)) && gone.insert(producer) {
                    edits.push(Edit::RemoveNode { node: key.clone() });
                    open.push(producer);
                }
            } else if model.initializer(name).is_some() && !declared.contains(name.as_str()) && seen.insert(name) {
                edits.push(Edit::RemoveInitializer { name: name.clone() });
            }
        }
    }
    edits
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
    let narrow =
        |v: ValueId| bench.a.pair_of(v).and_then(|p| float_types(bench, v, p.source)).is_some_and(|(mine, _)| mine == DataType::Float16);
    found.unwrap_or_else(|| if bench.checks.iter().any(|(_, v)| narrow(*v)) { Kind::WbPrecision } else { Kind::CgOther })
}

/// What half precision cannot hold of these ops' values.
fn beyond_half(bench: &Bench<'_>, ops: &[OpId]) -> String {
    let largest = |id: &OpId| {
        let made = bench.reference().op(*id).made().filter_map(|v| bench.a.source().values(v)).flatten();
        let finite = made.flat_map(|x| x.to_f32().into_owned()).map(f32::abs).filter(|x| x.is_finite());
        finite.fold(0.0, f32::max)
    };
    let found = ops.iter().map(|id| (id, largest(id))).find(|(_, x)| *x > HALF_MAX);
    found.map_or_else(
        || "half precision loses too much here".into(),
        |(id, x)| format!("'{}' reaches {x:.0}, half precision ends at {HALF_MAX:.0}", bench.reference().label(*id)),
    )
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
