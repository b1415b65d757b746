//! Axes, permutations, shapes, flatten orders.

use super::edits::{behind, fresh_name, replace};
use super::{Bench, Remedy};
use crate::localize::Kind;
use crate::model::onnx::{AttributeProto, NodeProto};
use crate::model::{Edit, NodeExt, ValueId};
use crate::run::{OpId, Value};

/// All orders of `0..n`, for as many axes as it is worth trying.
fn orders(n: usize) -> Vec<Vec<i64>> {
    let mut out: Vec<Vec<i64>> = vec![vec![]];
    for _ in 0..n {
        out = out
            .into_iter()
            .flat_map(|p: Vec<i64>| {
                (0..n as i64).filter(|i| !p.contains(i)).map(|i| p.iter().copied().chain([i]).collect()).collect::<Vec<Vec<i64>>>()
            })
            .collect();
    }
    out
}

/// The orders that the source's Transposes of so many axes have, and those that two exchanged axes give.
fn source_perms(bench: &Bench<'_>, rank: usize) -> Vec<Vec<i64>> {
    let theirs = bench.source.iter().map(|s| bench.reference().op(*s)).filter(|op| op.op_type() == "Transpose");
    let mut out: Vec<Vec<i64>> = theirs.filter_map(|op| op.proto().ints("perm").map(<[i64]>::to_vec)).filter(|p| p.len() == rank).collect();
    for i in 0..rank {
        for j in i + 1..rank {
            let mut perm: Vec<i64> = (0..rank as i64).collect();
            perm.swap(i, j);
            out.push(perm);
        }
    }
    out
}

fn rank(bench: &Bench<'_>, v: ValueId) -> Option<usize> {
    bench.a.fed(v).and_then(|x| x.first()).map(|x| x.shape().len())
}

/// Axes of Softmax, Concat, Reduce, ...; permutations of Transposes; shapes of Reshapes.
pub(super) fn axes(bench: &Bench<'_>) -> Vec<Remedy> {
    let mut out = Vec::new();
    for t in &bench.ops {
        let op = bench.target().op(*t);
        let node = op.proto();
        let Some(input) = op.data.first() else { continue };
        let Some(rank) = rank(bench, *input) else { continue };
        match op.op_type() {
            "Transpose" => {
                let now = node.ints("perm").map_or_else(|| (0..rank as i64).rev().collect(), <[i64]>::to_vec);
                // Of so many axes not every order is tried.
                let perms = if rank <= 5 { orders(rank) } else { source_perms(bench, rank) };
                for perm in perms.into_iter().filter(|p| *p != now) {
                    let edit = Edit::SetAttribute { node: bench.key(*t), attribute: AttributeProto::of_ints("perm", &perm) };
                    let words = format!("perm of Transpose is {now:?}, the source's numbers ask for {perm:?}");
                    let identity = perm.iter().enumerate().all(|(i, p)| i as i64 == *p);
                    let also: &[Kind] = if identity { &[Kind::CgExtra, Kind::TsFlatten] } else { &[Kind::TsFlatten] };
                    out.push(Remedy::new(Kind::TsPerm, edit, words).at(*t).or(also));
                }
            }
            "Reshape" => out.extend(reshape(bench, *t)),
            "Softmax" | "LogSoftmax" | "Concat" | "Gather" | "Split" | "LayerNormalization" | "Hardmax" | "Flatten" | "ArgMax"
            | "CumSum" | "LpNormalization" => {
                let name = "axis";
                let default = match op.op_type() {
                    "Softmax" | "LogSoftmax" | "Hardmax" if bench.target().model().opset("") < 13 => 1,
                    "Softmax" | "LogSoftmax" | "Hardmax" | "LayerNormalization" | "LpNormalization" => -1,
                    "Flatten" => 1,
                    _ => 0,
                };
                let now = node.int(name).unwrap_or(default);
                let norm = |a: i64| if a < 0 { a + rank as i64 } else { a };
                for axis in (0..=rank as i64).filter(|a| *a != norm(now)) {
                    if axis == rank as i64 && op.op_type() != "Flatten" {
                        continue;
                    }
                    let edit = Edit::SetAttribute { node: bench.key(*t), attribute: AttributeProto::of_int(name, axis) };
                    out.push(
                        Remedy::new(Kind::TsAxis, edit, format!("axis of {} is {now}, the source's numbers ask for {axis}", op.op_type()))
                            .at(*t),
                    );
                }
            }
            reduce if reduce.starts_with("Reduce") || matches!(reduce, "Squeeze" | "Unsqueeze") => out.extend(reduce_axes(bench, *t, rank)),
            _ => {}
        }
    }
    out
}

fn reduce_axes(bench: &Bench<'_>, t: OpId, rank: usize) -> Vec<Remedy> {
    let op = bench.target().op(t);
    let constant = op.inputs.get(1).copied().flatten();
    let now = match (op.proto().ints("axes"), constant.and_then(|v| bench.target().constant(v))) {
        (Some(a), _) => a.to_vec(),
        (None, Some(c)) => c.to_i64(),
        _ => return Vec::new(),
    };
    let mut norm: Vec<i64> = now.iter().map(|a| if *a < 0 { a + rank as i64 } else { *a }).collect();
    norm.sort_unstable();
    // Every set of axes, those of as many as now first. Of one image nobody sees whether the batch is among them: it is no choice.
    let members = |bits: u32| (0..rank as i64).filter(|a| bits >> a & 1 == 1).collect::<Vec<i64>>();
    let mut sets: Vec<Vec<i64>> =
        (1..1u32 << rank.min(6)).map(members).filter(|s| *s != norm && s.contains(&0) == norm.contains(&0)).collect();
    sets.sort_by_key(|s| s.len().abs_diff(now.len()));
    let mut out = Vec::new();
    for axes in sets {
        let (edit, tensors) = match constant {
            Some(v) => (replace(bench, t, 1, &Value::from_i64(&[axes.len()], axes.clone())), behind(bench, v)),
            None => (Some(Edit::SetAttribute { node: bench.key(t), attribute: AttributeProto::of_ints("axes", &axes) }), Vec::new()),
        };
        let Some(edit) = edit else { continue };
        let mut remedy =
            Remedy::new(Kind::TsAxis, edit, format!("axes of {} are {now:?}, the source's numbers ask for {axes:?}", op.op_type())).at(t);
        remedy.tensors = tensors;
        out.push(remedy);
    }
    if op.op_type().starts_with("Reduce") {
        let keeps = op.proto().int("keepdims").unwrap_or(1);
        let edit = Edit::SetAttribute { node: bench.key(t), attribute: AttributeProto::of_int("keepdims", 1 - keeps.clamp(0, 1)) };
        let words = format!("keepdims of {} is {keeps}, what follows asks for the other", op.op_type());
        out.push(Remedy::new(Kind::TsAxis, edit, words).at(t).or(&[Kind::TsReshape]));
    }
    out
}

/// A chain of nodes that only move elements, all at once as the source's chain of the same types has them: the shape of a Reshape is of no use
/// without the order of the Transpose behind it.
pub(super) fn chains(bench: &Bench<'_>) -> Vec<Remedy> {
    let moves = |op: &str| matches!(op, "Reshape" | "Transpose");
    let mut out = Vec::new();
    for t in &bench.ops {
        for s in &bench.source {
            let (mut mine, mut theirs) = (*t, *s);
            let (mut edits, mut words, mut ops, mut tensors) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            while let (op, other) = (bench.target().op(mine), bench.reference().op(theirs))
                && op.op_type() == other.op_type()
                && moves(op.op_type())
            {
                ops.push(mine);
                if let Some((edit, what)) = as_theirs(bench, mine, theirs) {
                    edits.push(edit);
                    words.push(what);
                    tensors.extend(op.inputs.get(1).copied().flatten().map(|v| behind(bench, v)).unwrap_or_default());
                }
                let above = op.data.first().and_then(|v| bench.target().producer(*v));
                let Some((m, s)) = above.zip(other.data.first().and_then(|v| bench.reference().producer(*v))) else { break };
                (mine, theirs) = (m, s);
            }
            if edits.len() > 1 {
                let mut remedy = Remedy::new(Kind::TsReshape, Edit::All(edits), words.join("; ")).or(&[Kind::TsPerm, Kind::TsFlatten]);
                (remedy.ops, remedy.tensors) = (ops, tensors);
                out.push(remedy);
            }
        }
    }
    out
}

/// What makes a Reshape or Transpose the source's, where it differs.
fn as_theirs(bench: &Bench<'_>, t: OpId, s: OpId) -> Option<(Edit, String)> {
    let (op, theirs) = (bench.target().op(t), bench.reference().op(s));
    if op.op_type() == "Transpose" {
        let (now, perm) = (op.proto().ints("perm")?, theirs.proto().ints("perm")?);
        let edit = Edit::SetAttribute { node: bench.key(t), attribute: AttributeProto::of_ints("perm", perm) };
        return (now != perm).then(|| (edit, format!("perm of Transpose is {now:?}, the source has {perm:?}")));
    }
    let shape = |v: Option<ValueId>, network: &crate::run::Network| network.constant(v?).map(Value::to_i64);
    let now = shape(op.inputs.get(1).copied().flatten(), bench.target())?;
    let wanted = shape(theirs.inputs.get(1).copied().flatten(), bench.reference())?;
    let edit = replace(bench, t, 1, &Value::from_i64(&[wanted.len()], wanted.clone())).filter(|_| now != wanted)?;
    Some((edit, format!("shape of Reshape is {now:?}, the source has {wanted:?}")))
}

/// Another target shape: the source's own there, its permutations, and the shape that what follows was made for.
fn reshape(bench: &Bench<'_>, t: OpId) -> Vec<Remedy> {
    let op = bench.target().op(t);
    let Some(Some(v)) = op.inputs.get(1).copied() else { return Vec::new() };
    let Some(now) = bench.target().constant(v).map(Value::to_i64) else { return Vec::new() };
    let Some(len) = op.data.first().and_then(|i| bench.a.fed(*i)).map(|x| x[0].len() as i64) else { return Vec::new() };
    let pair = op.made().next().and_then(|o| bench.a.pair_of(o));
    let alike = pair.map(|p| bench.a.source().shapes_of(p.source)).unwrap_or_default();
    let mut wanted: Vec<Vec<i64>> = alike.iter().map(|s| s.iter().map(|d| *d as i64).collect()).collect();
    wanted.retain(|w| w.len() == now.len());
    for s in &bench.source {
        for o in bench.reference().op(*s).made() {
            if let Some(x) = bench.a.source().values(o) {
                wanted.push(x[0].shape().iter().map(|d| *d as i64).collect());
            }
        }
    }
    let made: Option<Vec<i64>> = op
        .made()
        .next()
        .and_then(|o| bench.a.computed(o).or_else(|| bench.a.fed(o)))
        .map(|x| x[0].shape().iter().map(|d| *d as i64).collect());
    if let Some(made) = made.filter(|m| m.len() <= 5) {
        wanted.extend(orders(made.len()).into_iter().map(|p| p.iter().map(|i| made[*i as usize]).collect()));
    }
    if now.len() == 2 {
        wanted.extend([vec![1, -1], vec![-1, 1]]);
    }
    let concrete = |s: &Vec<i64>| s.iter().filter(|d| **d > 0).product::<i64>();
    let mut seen = vec![now.clone()];
    let mut out = Vec::new();
    for shape in wanted {
        if seen.contains(&shape) || (!shape.contains(&-1) && concrete(&shape) != len) {
            continue;
        }
        seen.push(shape.clone());
        // A batch that the target leaves open stays open.
        let mut open = shape.clone();
        if open.first() == Some(&1) && (now.first().is_some_and(|d| *d <= 0) || batch_is_open(bench)) {
            let left = now.first().copied().filter(|d| *d <= 0).unwrap_or(-1);
            open[0] = if left == -1 && open[1..].contains(&-1) { 0 } else { left };
        }
        let Some(edit) = replace(bench, t, 1, &Value::from_i64(&[open.len()], open.clone())) else { continue };
        let mut remedy = Remedy::new(Kind::TsReshape, edit, format!("shape of Reshape is {now:?}, the source's is {open:?}")).at(t);
        remedy.tensors = behind(bench, v);
        out.push(remedy);
    }
    out
}

/// Whether the target leaves the extent of its first axis to whoever runs it.
fn batch_is_open(bench: &Bench<'_>) -> bool {
    use crate::model::onnx::{tensor_shape_proto::dimension::Value as Extent, type_proto};
    let first = bench.target().model().inputs().next().and_then(|v| match v.r#type.as_ref()?.value.as_ref()? {
        type_proto::Value::TensorType(t) => t.shape.as_ref()?.dim.first()?.value.clone(),
        _ => None,
    });
    !matches!(first, Some(Extent::DimValue(_)))
}

/// A Transpose put in front of an input, or taken away.
pub(super) fn transposes(bench: &Bench<'_>) -> Vec<Remedy> {
    let mut out = Vec::new();
    for t in &bench.ops {
        let op = bench.target().op(*t);
        if op.op_type() == "Transpose" {
            continue;
        }
        let flattens = matches!(op.op_type(), "Flatten" | "Reshape");
        for (slot, v) in op.inputs.iter().enumerate() {
            let Some(v) = v.filter(|v| bench.target().constant(*v).is_none() && bench.a.is_live(*v)) else { continue };
            let Some(rank) = rank(bench, v).filter(|r| (2..=5).contains(r)) else { continue };
            for perm in orders(rank) {
                if perm.iter().enumerate().all(|(i, p)| i as i64 == *p) || (rank > 2 && perm[0] != 0 && rank == 4) {
                    continue;
                }
                out.push(insert_transpose(bench, *t, slot, v, &perm, if flattens { Kind::TsFlatten } else { Kind::TsPerm }));
            }
        }
    }
    out
}

fn insert_transpose(bench: &Bench<'_>, t: OpId, slot: usize, v: ValueId, perm: &[i64], kind: Kind) -> Remedy {
    let name = fresh_name(bench, &format!("{}_transposed", bench.name(v)));
    let node = transpose_node(bench.name(v), &name, perm);
    let key = bench.key(t);
    let edit = Edit::All(vec![Edit::InsertNode { before: Some(key.clone()), node }, Edit::RewireInput { node: key, slot, value: name }]);
    let op = bench.target().op(t).op_type().to_string();
    let mut remedy =
        Remedy::new(kind, edit, format!("{op} reads axes in another order than the source: a Transpose {perm:?} is missing before it"))
            .at(t);
    remedy.ops.extend(bench.target().producer(v));
    remedy.equivalents = vec![Kind::TsPerm, Kind::TsFlatten, Kind::CgMissing].into_iter().filter(|k| *k != kind).collect();
    remedy
}

/// A Transpose node.
pub(super) fn transpose_node(input: &str, output: &str, perm: &[i64]) -> NodeProto {
    NodeProto {
        input: vec![input.into()],
        output: vec![output.into()],
        name: Some(output.into()),
        op_type: Some("Transpose".into()),
        attribute: vec![AttributeProto::of_ints("perm", perm)],
        ..NodeProto::default()
    }
}
