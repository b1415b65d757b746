//! Attributes: what the source's operator of the same type has, one at a time and then together.

use super::edits::{number, pad_amounts, wanted_constants};
use super::normalisation::groups;
use super::{Bench, Remedy};
use crate::localize::Kind;
use crate::model::onnx::{AttributeProto, NodeProto, attribute_proto::AttributeType};
use crate::model::{Edit, NodeExt, attribute_names};
use crate::run::{Network, OpId};

/// The kind of fault that a wrong attribute of an operator is.
pub fn attribute_kind(op: &str, attribute: &str) -> Kind {
    match (op, attribute) {
        ("Gemm" | "FusedGemm" | "FusedMatMul", "alpha" | "beta" | "transA" | "transB") | ("Einsum", "equation") => Kind::LhGemm,
        (_, "pads" | "auto_pad" | "output_padding" | "output_shape") => Kind::LhPads,
        (_, "strides" | "dilations") => Kind::LhStride,
        (_, "group") => Kind::LhGroup,
        (_, "kernel_shape" | "ceil_mode" | "count_include_pad" | "storage_order" | "p") => Kind::LhPool,
        (_, "epsilon") => Kind::LhEps,
        ("Resize" | "Upsample", _) => Kind::LhResize,
        ("Pad", "mode" | "value") => Kind::LhPads,
        (_, "blocksize") => Kind::TsReshape,
        (_, "perm") => Kind::TsPerm,
        (_, "axis" | "axes") => Kind::TsAxis,
        _ => Kind::LhAct,
    }
}

/// Whether an attribute is tried by itself. Axes and perms depend on the layout and are tried apart; numbers that newer operator sets have as inputs
/// are tried as those are.
fn is_tried(op: &str, attribute: &str) -> bool {
    match (op, attribute) {
        ("Resize" | "Upsample", _) => true,
        ("Slice" | "Split" | "TopK" | "Tile", "starts" | "ends" | "split" | "k" | "repeats") => false,
        ("Softmax" | "LogSoftmax" | "Constant", _) | (_, "axis" | "axes" | "perm" | "keepdims" | "allowzero" | "to") => false,
        ("Conv", _) => attribute_kind(op, attribute) != Kind::LhAct,
        _ => true,
    }
}

/// An attribute's value as people read it.
pub(super) fn show(a: &AttributeProto) -> String {
    match a.r#type() {
        AttributeType::Float => number(a.f()),
        AttributeType::Int => a.i().to_string(),
        AttributeType::Ints => format!("{:?}", a.ints),
        AttributeType::Floats => format!("{:?}", a.floats),
        AttributeType::String => String::from_utf8_lossy(a.s()).into_owned(),
        AttributeType::Strings => a.strings.iter().map(|s| String::from_utf8_lossy(s)).collect::<Vec<_>>().join(", "),
        other => other.as_str_name().to_lowercase(),
    }
}

fn same(a: &AttributeProto, b: &AttributeProto) -> bool {
    a.f == b.f && a.i == b.i && a.s == b.s && a.ints == b.ints && a.floats == b.floats && a.strings == b.strings
}

/// Candidates from attributes that differ between operators of the same type.
pub(super) fn attributes(bench: &Bench<'_>) -> Vec<Remedy> {
    let mut out = Vec::new();
    for t in &bench.ops {
        let mine = bench.target().op(*t).proto();
        out.extend(pads(bench, *t));
        out.extend(unknown(bench, *t));
        for s in &bench.source {
            let theirs = bench.reference().op(*s).proto();
            if theirs.op_type() != mine.op_type() {
                continue;
            }
            let mut all = Vec::new();
            for Difference { name, now, wanted } in differing(bench, mine, theirs) {
                if !is_tried(mine.op_type(), &name) || !has(bench, mine, &name) {
                    continue;
                }
                // Where no default is one value, saying nothing is what the source does.
                let edit = match &wanted {
                    None => Edit::RemoveAttribute { node: bench.key(*t), attribute: name.clone() },
                    Some(wanted) => Edit::SetAttribute { node: bench.key(*t), attribute: wanted.clone() },
                };
                let shown = |a: &Option<AttributeProto>| a.as_ref().map_or("the operator's own".to_string(), show);
                let words = format!("{name} of {} is {}, the source has {}", mine.op_type(), shown(&now), shown(&wanted));
                all.push(Remedy::new(attribute_kind(mine.op_type(), &name), edit, words).at(*t));
            }
            if all.len() > 1 {
                // Whoever changes strides or groups changes pads to keep the shape.
                let leads = all.iter().find(|r| matches!(r.kind, Kind::LhStride | Kind::LhGroup)).unwrap_or(&all[0]);
                let mut both = leads.clone();
                both.edit = Edit::All(all.iter().map(|r| r.edit.clone()).collect());
                both.words = all.iter().map(|r| r.words.clone()).collect::<Vec<_>>().join("; ");
                both.equivalents = all.iter().map(|r| r.kind).filter(|k| *k != both.kind).collect();
                all.push(both);
            }
            out.extend(all);
        }
        out.extend(epsilons(bench, *t));
        out.extend(other_choices(bench, *t));
        out.extend(fused_activations(bench, *t));
        out.extend(gemm(bench, *t));
    }
    out.extend(groups(bench));
    // Single attributes before all of a node at once.
    out.sort_by_key(|r| matches!(r.edit, Edit::All(_)) && !(matches!(r.kind, Kind::LhPads) && r.equivalents.is_empty()));
    out
}

/// Attributes that the operator does not have in the target's operator set, taken away: runtimes refuse the model for them.
fn unknown(bench: &Bench<'_>, t: OpId) -> Option<Remedy> {
    let node = bench.target().op(t).proto();
    let (domain, op) = (node.domain_name(), node.op_type());
    let version = bench.target().model().opset(domain);
    let known: Vec<&str> = attribute_names(domain, op, version).collect();
    let names: Vec<&str> = node.attribute.iter().map(AttributeProto::name).filter(|a| !known.contains(a) && !a.starts_with("__")).collect();
    if bench.forbidden.is_none() || !domain.is_empty() || known.is_empty() || names.is_empty() {
        return None;
    }
    let edits = names.iter().map(|a| Edit::RemoveAttribute { node: bench.key(t), attribute: a.to_string() });
    let words = format!("{op} of version {version} has no attribute '{}'", names.join("', '"));
    Some(Remedy::new(Kind::CgUnsupported, Edit::All(edits.collect()), words).at(t))
}

/// Whether an operator has an attribute in the target's operator set.
fn has(bench: &Bench<'_>, node: &NodeProto, attribute: &str) -> bool {
    let (domain, op) = (node.domain_name(), node.op_type());
    let mut known = attribute_names(domain, op, bench.target().model().opset(domain)).peekable();
    known.peek().is_none() || known.any(|a| a == attribute)
}

/// An attribute in which two operators of a type differ: `None` where it is not there, and has no default that is one value.
struct Difference {
    name: String,
    now: Option<AttributeProto>,
    wanted: Option<AttributeProto>,
}

/// Attributes in which two operators of a type differ, each with what its own operator set says of those that are not there.
fn differing(bench: &Bench<'_>, mine: &NodeProto, theirs: &NodeProto) -> Vec<Difference> {
    let mut names: Vec<&str> = theirs.attribute.iter().chain(&mine.attribute).map(|a| a.name()).collect();
    names.sort_unstable();
    names.dedup();
    let mut out = Vec::new();
    for name in names {
        let Some(like) = theirs.attr(name).or_else(|| mine.attr(name)) else { continue };
        if like.g.is_some() || like.t.is_some() {
            continue;
        }
        let wanted = theirs.attr(name).cloned().or_else(|| bench.reference().model().default_attribute(theirs, like));
        let now = mine.attr(name).cloned().or_else(|| bench.target().model().default_attribute(mine, like));
        let differ = match (&now, &wanted) {
            (Some(now), Some(wanted)) => !same(now, wanted),
            // What a kernel's size is follows from its weights.
            (None, _) | (_, None) => name != "kernel_shape",
        };
        if differ {
            out.push(Difference { name: name.to_string(), now, wanted });
        }
    }
    out
}

/// A Gemm as plain as it comes, where the source says it with a MatMul that has none of these attributes.
fn gemm(bench: &Bench<'_>, t: OpId) -> Vec<Remedy> {
    let node = bench.target().op(t).proto();
    if node.op_type() != "Gemm" {
        return Vec::new();
    }
    let one = |name: &str, also: Kind| {
        let now = node.float(name).filter(|f| *f != 1.0)?;
        let edit = Edit::SetAttribute { node: bench.key(t), attribute: AttributeProto::of_float(name, 1.0) };
        Some(Remedy::new(Kind::LhGemm, edit, format!("{name} of Gemm is {now}, the source computes with 1")).at(t).or(&[also]))
    };
    let now = node.int("transB").unwrap_or(0);
    let edit = Edit::SetAttribute { node: bench.key(t), attribute: AttributeProto::of_int("transB", 1 - now.clamp(0, 1)) };
    let turned = Remedy::new(Kind::LhGemm, edit, format!("transB of Gemm is {now}, the source's numbers ask for the other")).at(t);
    [one("alpha", Kind::WbValues), one("beta", Kind::WbBias)].into_iter().flatten().chain([turned.or(&[Kind::WbLayout])]).collect()
}

/// The activation that a fused operator of onnxruntime has for attributes, as the source's region has it for a node.
fn fused_activations(bench: &Bench<'_>, t: OpId) -> Vec<Remedy> {
    let node = bench.target().op(t).proto();
    let Some(now) = node.string("activation").filter(|_| matches!(node.op_type(), "FusedConv" | "FusedGemm")) else { return Vec::new() };
    let of = |s: &OpId| {
        let theirs = bench.reference().op(*s).proto();
        let number = |name: &str, usual: f32| theirs.float(name).unwrap_or(usual);
        let params = match theirs.op_type() {
            "Relu" | "Sigmoid" | "Tanh" => Vec::new(),
            "LeakyRelu" => vec![number("alpha", 0.01)],
            "HardSigmoid" => vec![number("alpha", 0.2), number("beta", 0.5)],
            _ => return None,
        };
        let op = theirs.op_type();
        let mut edits = vec![Edit::SetAttribute { node: bench.key(t), attribute: AttributeProto::of_string("activation", op) }];
        if !params.is_empty() {
            edits.push(Edit::SetAttribute { node: bench.key(t), attribute: AttributeProto::of_floats("activation_params", &params) });
        } else if node.attr("activation_params").is_some() {
            edits.push(Edit::RemoveAttribute { node: bench.key(t), attribute: "activation_params".into() });
        }
        let words = format!("activation of {} is {now}, the source has {op}", node.op_type());
        (op != now).then(|| Remedy::new(Kind::CgOther, Edit::All(edits), words).at(t).or(&[Kind::LhAct]))
    };
    bench.source.iter().filter_map(of).collect()
}

/// Attributes with few values, tried even where the source has no such operator: it may say the same in other words.
fn other_choices(bench: &Bench<'_>, t: OpId) -> Vec<Remedy> {
    let node = bench.target().op(t).proto();
    let op = node.op_type();
    let words: &[(&str, &[&str])] = match op {
        "Pad" => &[("mode", &["constant", "reflect", "edge"])],
        "Gelu" => &[("approximate", &["none", "tanh"])],
        "Resize" => &[
            (
                "coordinate_transformation_mode",
                &["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric"],
            ),
            ("nearest_mode", &["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]),
            ("mode", &["nearest", "linear", "cubic"]),
        ],
        _ => &[],
    };
    let flags: &[&str] = match op {
        "AveragePool" => &["count_include_pad", "ceil_mode"],
        "MaxPool" => &["ceil_mode"],
        _ => &[],
    };
    let mut out = Vec::new();
    let mut add = |wanted: AttributeProto| {
        let Some(now) = node.attr(wanted.name()).cloned().or_else(|| bench.target().model().default_attribute(node, &wanted)) else {
            return;
        };
        if !same(&now, &wanted) {
            let words = format!("{} of {op} is {}; the source's numbers ask for {}", wanted.name(), show(&now), show(&wanted));
            out.push(
                Remedy::new(attribute_kind(op, wanted.name()), Edit::SetAttribute { node: bench.key(t), attribute: wanted }, words).at(t),
            );
        }
    };
    for (name, values) in words {
        values.iter().for_each(|v| add(AttributeProto::of_string(name, v)));
    }
    for name in flags {
        add(AttributeProto::of_int(name, 1 - node.int(name).unwrap_or(0).clamp(0, 1)));
    }
    for (name, values) in slopes(bench, op) {
        values.iter().for_each(|v| add(AttributeProto::of_float(name, *v)));
    }
    if op == "Einsum" {
        exchanged_letters(node.string("equation").unwrap_or_default()).iter().for_each(|e| add(AttributeProto::of_string("equation", e)));
    }
    out
}

/// Numbers of an activation: the usual ones, and those that the source has as constants where it says the same in other words.
fn slopes(bench: &Bench<'_>, op: &str) -> Vec<(&'static str, Vec<f32>)> {
    let usual: &[(&str, &[f32])] = match op {
        "QuickGelu" => &[("alpha", &[1.0, 1.702])],
        "HardSigmoid" => &[("alpha", &[1.0 / 6.0, 0.2]), ("beta", &[0.5])],
        "LeakyRelu" => &[("alpha", &[0.01, 0.1, 0.2, 0.3])],
        "Elu" | "Celu" => &[("alpha", &[1.0])],
        "Selu" => &[("alpha", &[1.673_263_2]), ("gamma", &[1.050_701])],
        "FusedMatMul" | "FusedGemm" => &[("alpha", &[1.0])],
        _ => return Vec::new(),
    };
    let theirs: Vec<f32> =
        bench.source.iter().flat_map(|s| wanted_constants(bench, *s)).filter(|c| c.len() == 1).map(|c| c.to_f32()[0]).collect();
    // A factor that the source takes half of on each side of a product.
    let squares = theirs.iter().filter(|_| op.starts_with("Fused")).map(|x| x * x);
    usual.iter().map(|(name, values)| (*name, values.iter().chain(&theirs).copied().chain(squares.clone()).collect())).collect()
}

/// The equation with two axes of one operand exchanged, for each operand and each two of its axes.
fn exchanged_letters(equation: &str) -> Vec<String> {
    let letters: Vec<char> = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let operands = letters.iter().position(|c| *c == '-').unwrap_or(letters.len());
    let mut out = Vec::new();
    for i in 0..operands {
        for j in i + 1..operands {
            if letters[j] == ',' {
                break;
            }
            if letters[i].is_alphabetic() && letters[j].is_alphabetic() && letters[i] != letters[j] {
                let mut other = letters.clone();
                other.swap(i, j);
                out.push(other.into_iter().collect());
            }
        }
    }
    out
}

/// Where the source folded its normalisation away there is no epsilon to copy: the usual ones.
fn epsilons(bench: &Bench<'_>, t: OpId) -> Vec<Remedy> {
    let mine = bench.target().op(t).proto();
    let known = bench.source.iter().any(|s| bench.reference().op(*s).proto().op_type() == mine.op_type());
    if !mine.op_type().ends_with("Normalization") || known {
        return Vec::new();
    }
    let now = mine.float("epsilon").unwrap_or(1e-5);
    let usual = [1e-5f32, 1e-3, 1e-6, 2e-5, 1e-4, 1e-12, 1e-8, 1e-2, 1e-7];
    let other = usual.iter().filter(|e| (**e - now).abs() > now * 1e-3);
    other
        .map(|e| {
            let edit = Edit::SetAttribute { node: bench.key(t), attribute: AttributeProto::of_float("epsilon", *e) };
            Remedy::new(Kind::LhEps, edit, format!("epsilon of {} is {now:e}; the source's numbers ask for {e:e}", mine.op_type())).at(t)
        })
        .collect()
}

/// The padding of a convolution or pooling as numbers, begins then ends: its `pads`, what `auto_pad` comes to, and a Pad node in front of it.
pub(in crate::localize) fn effective_pads(
    network: &Network,
    id: OpId,
    shape: &dyn Fn(crate::model::ValueId) -> Option<Vec<usize>>,
) -> Option<Vec<i64>> {
    let op = network.op(id);
    let node = op.proto();
    let input = op.data.first()?;
    let dims = shape(*input)?;
    let spatial = dims.len().checked_sub(2).filter(|n| *n > 0)?;
    let kernel: Vec<i64> = match node.ints("kernel_shape") {
        Some(k) => k.to_vec(),
        None => network.constant((*op.inputs.get(1)?)?)?.shape().get(2..)?.iter().map(|d| *d as i64).collect(),
    };
    let list = |name: &str| node.ints(name).map_or_else(|| vec![1; spatial], <[i64]>::to_vec);
    let (strides, dilations) = (list("strides"), list("dilations"));
    let mut pads = match node.string("auto_pad").unwrap_or("NOTSET") {
        "NOTSET" => node.ints("pads").map_or_else(|| vec![0; 2 * spatial], <[i64]>::to_vec),
        "VALID" => vec![0; 2 * spatial],
        auto => {
            let mut pads = vec![0; 2 * spatial];
            for i in 0..spatial {
                let (n, stride) = (dims[i + 2] as i64, *strides.get(i).filter(|s| **s > 0)?);
                let out = (n + stride - 1) / stride;
                let total = ((out - 1) * stride + (kernel.get(i)? - 1) * dilations.get(i)? + 1 - n).max(0);
                let small = total / 2;
                (pads[i], pads[i + spatial]) = if auto == "SAME_UPPER" { (small, total - small) } else { (total - small, small) };
            }
            pads
        }
    };
    // A Pad in front of it, of zeros on the spatial axes.
    if let Some(p) = network.producer(*input)
        && network.op(p).op_type() == "Pad"
        && let Some(more) = pad_amounts(network, p)
        && more.len() == 2 * dims.len()
    {
        for i in 0..spatial {
            pads[i] += more[i + 2];
            pads[i + spatial] += more[dims.len() + i + 2];
        }
    }
    (pads.len() == 2 * spatial).then_some(pads)
}

fn takes_pads(op: &str) -> bool {
    matches!(op, "Conv" | "ConvTranspose" | "ConvInteger" | "QLinearConv" | "MaxPool" | "AveragePool" | "LpPool" | "FusedConv")
}

/// The source's padding for a convolution or pooling, wherever either side has it.
fn pads(bench: &Bench<'_>, t: OpId) -> Vec<Remedy> {
    let node = bench.target().op(t).proto();
    if !takes_pads(node.op_type()) {
        return Vec::new();
    }
    let mine = |v| bench.a.fed(v).map(|x| x[0].shape().to_vec());
    let theirs = |v| bench.a.source().values(v).map(|x| x[0].shape().to_vec());
    let mut out = Vec::new();
    let total = effective_pads(bench.target(), t, &mine);
    let own = node.ints("pads").map(<[i64]>::to_vec);
    for s in &bench.source {
        if !takes_pads(bench.reference().op(*s).op_type()) {
            continue;
        }
        let Some(wanted) = effective_pads(bench.reference(), *s, &theirs) else { continue };
        let auto = node.string("auto_pad").is_some_and(|a| a != "NOTSET");
        // What a Pad node in front of it adds stays.
        let before = match (&total, &own, auto) {
            (Some(total), Some(own), false) if total.len() == own.len() => total.iter().zip(own).map(|(t, o)| t - o).collect(),
            _ => vec![0; wanted.len()],
        };
        let new: Vec<i64> =
            if before.len() == wanted.len() { wanted.iter().zip(&before).map(|(w, b)| w - b).collect() } else { wanted.clone() };
        if new.iter().any(|p| *p < 0) || (!auto && own.as_deref().unwrap_or(&vec![0; new.len()]) == &new[..]) {
            continue;
        }
        let set = Edit::SetAttribute { node: bench.key(t), attribute: AttributeProto::of_ints("pads", &new) };
        let edit = if auto {
            Edit::All(vec![Edit::SetAttribute { node: bench.key(t), attribute: AttributeProto::of_string("auto_pad", "NOTSET") }, set])
        } else {
            set
        };
        let now = match (&own, node.string("auto_pad")) {
            (_, Some(a)) if auto => a.to_string(),
            (Some(p), _) => format!("{p:?}"),
            _ => "none".into(),
        };
        out.push(Remedy::new(Kind::LhPads, edit, format!("pads of {} is {now}, the source pads by {new:?}", node.op_type())).at(t));
    }
    out
}
