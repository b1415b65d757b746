//! Small constants: bounds, factors, shapes, pads.

use super::edits::{behind, fresh_name, pad_amounts, replace, show, wanted_constants};
use super::{Bench, Remedy};
use crate::localize::Kind;
use crate::model::onnx::AttributeProto;
use crate::model::{Edit, NodeExt};
use crate::run::{OpId, Value};

/// Few constants of nodes without weights: Clip's bounds, factors of elementwise nodes, Pad's amounts, Pow's exponent.
pub(super) fn small(bench: &Bench<'_>) -> Vec<Remedy> {
    let mut out = Vec::new();
    for t in &bench.ops {
        let op = bench.target().op(*t);
        if op.op_type() == "Pad" {
            out.extend(pad(bench, *t));
            continue;
        }
        out.extend(dangling(bench, *t));
        // Scales are no choice of the network's.
        if op.op_type().contains("uantizeLinear") {
            continue;
        }
        for (slot, v) in op.inputs.iter().enumerate() {
            let Some(v) = v else { continue };
            let Some(now) = bench.target().constant(*v) else { continue };
            if now.len() > 4 || !now.is_float() {
                continue;
            }
            let mut tried: Vec<Vec<u8>> = vec![now.bytes().to_vec()];
            for s in &bench.source {
                let theirs = bench.reference().op(*s);
                for w in wanted_constants(bench, *s) {
                    if w.len() != now.len() {
                        continue;
                    }
                    let Some(w) = w.cast(now.dtype()).and_then(|w| w.reshape(now.shape())) else { continue };
                    if tried.iter().any(|b| b == w.bytes()) {
                        continue;
                    }
                    tried.push(w.bytes().to_vec());
                    let Some(edit) = replace(bench, *t, slot, &w) else { continue };
                    let words =
                        format!("a constant of {} is {}, the source has {} ({})", op.op_type(), show(now), show(&w), theirs.op_type());
                    // What is added ahead of a root is an epsilon.
                    let tiny = |c: &Value| c.len() == 1 && c.to_f32()[0].abs() < 0.05;
                    let root = op
                        .made()
                        .flat_map(|v| bench.target().consumers(v))
                        .any(|c| matches!(bench.target().op(*c).op_type(), "Sqrt" | "Pow" | "Rsqrt"));
                    let epsilon = op.op_type() == "Add" && root && tiny(&w);
                    let (kind, also) = if epsilon { (Kind::LhEps, Kind::LhAct) } else { (Kind::LhAct, Kind::WbValues) };
                    let mut remedy = Remedy::new(kind, edit, words).at(*t).or(&[also, Kind::WbValues]);
                    remedy.tensors = behind(bench, *v);
                    out.push(remedy);
                }
            }
        }
    }
    out
}

/// Inputs whose value nothing makes: a constant of the source's operator, or none where the input is optional.
fn dangling(bench: &Bench<'_>, t: OpId) -> Vec<Remedy> {
    let target = bench.target();
    let op = target.op(t);
    let mut out = Vec::new();
    for (slot, v) in op.inputs.iter().enumerate() {
        let Some(v) = v.filter(|v| target.constant(*v).is_none() && target.producer(*v).is_none() && !target.inputs().contains(v)) else {
            continue;
        };
        let like = op.inputs.iter().flatten().find_map(|i| bench.a.fed(*i)).map(|x| x[0].dtype());
        let words = format!("nothing makes '{}', which {} reads", bench.name(v), op.op_type());
        let mut seen: Vec<Vec<u8>> = Vec::new();
        for s in &bench.source {
            let constants = bench.reference().op(*s).inputs.iter().flatten().filter_map(|v| bench.reference().constant(*v)).cloned();
            for c in constants.chain(wanted_constants(bench, *s)) {
                let Some(c) = like.filter(|_| c.is_float()).map_or(Some(c.clone()), |d| c.cast(d)) else { continue };
                if seen.iter().any(|b| b == c.bytes()) {
                    continue;
                }
                seen.push(c.bytes().to_vec());
                let name = fresh_name(bench, &format!("{}_mended", bench.name(v)));
                let edit = Edit::All(vec![
                    Edit::AddInitializer { tensor: c.to_proto(&name) },
                    Edit::RewireInput { node: bench.key(t), slot, value: name },
                ]);
                out.push(Remedy::new(Kind::CgUnsupported, edit, format!("{words}; the source has {}", show(&c))).at(t).or(&[Kind::LhAct]));
            }
        }
        let edit = Edit::RewireInput { node: bench.key(t), slot, value: String::new() };
        out.push(Remedy::new(Kind::CgUnsupported, edit, words).at(t));
    }
    out
}

/// A Pad node: the source's padding on the axes that are spatial here.
fn pad(bench: &Bench<'_>, t: OpId) -> Vec<Remedy> {
    let op = bench.target().op(t);
    let Some(now) = pad_amounts(bench.target(), t) else { return Vec::new() };
    let rank = now.len() / 2;
    let mut wanted: Vec<Vec<i64>> = Vec::new();
    let shape = |v| bench.a.source().values(v).map(|x| x[0].shape().to_vec());
    let own = op
        .made()
        .next()
        .and_then(|v| bench.target().consumers(v).first().copied())
        .and_then(|c| bench.target().op(c).proto().ints("pads").map(<[i64]>::to_vec));
    for s in &bench.source {
        let pads = super::effective_pads(bench.reference(), *s, &shape);
        let Some(mut pads) = pads.filter(|p| p.len() == 4) else {
            if bench.reference().op(*s).op_type() == "Pad"
                && let Some(p) = pad_amounts(bench.reference(), *s)
            {
                wanted.push(p);
            }
            continue;
        };
        if let Some(own) = own.as_ref().filter(|o| o.len() == 4) {
            pads.iter_mut().zip(own).for_each(|(p, o)| *p -= o);
        }
        let axes: Vec<(usize, usize)> = (0..rank).flat_map(|i| (i + 1..rank).map(move |j| (i, j))).filter(|(i, j)| j - i == 1).collect();
        for (h, w) in axes.into_iter().rev() {
            let mut full = vec![0; 2 * rank];
            (full[h], full[w], full[rank + h], full[rank + w]) = (pads[0], pads[1], pads[2], pads[3]);
            wanted.push(full);
        }
    }
    let mut out = Vec::new();
    let mut tried = vec![now.clone()];
    for new in wanted {
        if new.len() != now.len() || tried.contains(&new) || new.iter().any(|p| *p < 0) {
            continue;
        }
        tried.push(new.clone());
        let edit = match op.proto().ints("pads") {
            Some(_) => Some(Edit::SetAttribute { node: bench.key(t), attribute: AttributeProto::of_ints("pads", &new) }),
            None => replace(bench, t, 1, &Value::from_i64(&[new.len()], new.clone())),
        };
        let Some(edit) = edit else { continue };
        let mut remedy = Remedy::new(Kind::LhPads, edit, format!("Pad adds {now:?}, the source pads by {new:?}")).at(t);
        if let Some(Some(v)) = op.inputs.get(1) {
            remedy.tensors = behind(bench, *v);
        }
        out.push(remedy);
    }
    out
}
