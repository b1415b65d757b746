//! A node in a few words: the operator and what distinguishes it from others of its type.

use crate::model::onnx::attribute_proto::AttributeType;
use crate::model::onnx::{AttributeProto, NodeProto, ValueInfoProto, tensor_shape_proto::dimension, type_proto};
use crate::model::{NodeExt, harmless};
use crate::run::{Network, Op, OpId, Value};

/// `Conv 3×3 /2 dw 96`, `Clip 0..6`, `Transpose 0,3,1,2`.
pub fn describe(network: &Network, id: OpId) -> String {
    let op = network.op(id);
    let node = network.model().node(op.node);
    let name = node.op_type();
    let constant = |slot: usize| op.inputs.get(slot).copied().flatten().and_then(|v| network.constant(v));
    let details = match name {
        "Conv" | "ConvTranspose" | "QLinearConv" | "ConvInteger" => conv(node, constant(if name == "QLinearConv" { 3 } else { 1 })),
        "MaxPool" | "AveragePool" | "LpPool" => pool(node),
        "Gemm" | "MatMul" => matmul(node, constant(1)),
        "Clip" => clip(node, op, constant(1), constant(2)),
        "Transpose" => node.ints("perm").map(join).unwrap_or_default(),
        "Reshape" | "Expand" | "Tile" => constant(1).map(|v| small(&v.to_i64(), '×')).unwrap_or_default(),
        "Squeeze" | "Unsqueeze" => axes(node, constant(1)),
        "Pad" => pads(node, constant(1)),
        "Resize" | "Upsample" => node.string("mode").unwrap_or("nearest").to_string(),
        "Cast" => node.int("to").and_then(|t| i32::try_from(t).ok()).and_then(dtype_name).unwrap_or_default(),
        _ if name.starts_with("Reduce") => axes(node, constant(1)),
        "Softmax" | "LogSoftmax" | "Concat" | "Split" | "Gather" | "ArgMax" | "Flatten" | "LayerNormalization" | "Hardmax" => {
            node.int("axis").map(|a| format!("axis {a}")).unwrap_or_default()
        }
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Max" | "Min" => operand(constant(0).or_else(|| constant(1))),
        _ => String::new(),
    };
    let name = harmless(name);
    if details.is_empty() { name.into_owned() } else { format!("{name} {details}") }
}

fn dims(of: &[i64]) -> String {
    of.iter().map(ToString::to_string).collect::<Vec<_>>().join("×")
}

fn join(of: &[i64]) -> String {
    of.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn small(of: &[i64], by: char) -> String {
    let text: Vec<String> = of.iter().take(6).map(ToString::to_string).collect();
    format!("{}{}", text.join(&by.to_string()), if of.len() > 6 { "…" } else { "" })
}

fn conv(node: &NodeProto, weight: Option<&Value>) -> String {
    let shape = weight.map_or(&[][..], Value::shape);
    let kernel = node.ints("kernel_shape").map(<[i64]>::to_vec).or_else(|| Some(shape.get(2..)?.iter().map(|d| *d as i64).collect()));
    let mut words = vec![kernel.map(|k| dims(&k)).unwrap_or_default()];
    if let Some(strides) = node.ints("strides").filter(|s| s.iter().any(|s| *s != 1)) {
        words.push(format!("/{}", if strides.windows(2).all(|w| w[0] == w[1]) { strides[0].to_string() } else { dims(strides) }));
    }
    if let Some(dilations) = node.ints("dilations").filter(|s| s.iter().any(|s| *s != 1)) {
        words.push(format!("dil {}", dilations[0]));
    }
    let group = node.int("group").unwrap_or(1);
    let transposed = node.op_type() == "ConvTranspose";
    let out = if transposed { shape.get(1).map(|d| d * group.max(1) as usize) } else { shape.first().copied() };
    match (group, out) {
        (g, Some(n)) if g > 1 && g as usize == n => words.push("dw".into()),
        (g, _) if g > 1 => words.push(format!("g{g}")),
        _ => {}
    }
    words.extend(out.map(|n| n.to_string()));
    words.retain(|w| !w.is_empty());
    words.join(" ")
}

fn pool(node: &NodeProto) -> String {
    let mut words: Vec<String> = node.ints("kernel_shape").map(dims).into_iter().collect();
    if let Some(strides) = node.ints("strides").filter(|s| s.iter().any(|s| *s != 1)) {
        words.push(format!("/{}", strides[0]));
    }
    words.join(" ")
}

fn matmul(node: &NodeProto, weight: Option<&Value>) -> String {
    let Some(shape) = weight.map(Value::shape) else { return String::new() };
    let at = if node.int("transB") == Some(1) { shape.len().saturating_sub(2) } else { shape.len().saturating_sub(1) };
    shape.get(at).map(ToString::to_string).unwrap_or_default()
}

fn clip(node: &NodeProto, op: &Op, low: Option<&Value>, high: Option<&Value>) -> String {
    let bound = |constant: Option<&Value>, attribute: &str, slot: usize| {
        let given = constant.and_then(|v| v.to_f32().first().copied()).or_else(|| node.float(attribute));
        match given {
            Some(v) => number(v),
            None if op.inputs.get(slot).copied().flatten().is_some() => "?".into(),
            None => String::new(),
        }
    };
    format!("{}..{}", bound(low, "min", 1), bound(high, "max", 2))
}

fn axes(node: &NodeProto, given: Option<&Value>) -> String {
    let axes = given.map(Value::to_i64).or_else(|| node.ints("axes").map(<[i64]>::to_vec));
    axes.map(|a| format!("axes {}", small(&a, ','))).unwrap_or_default()
}

fn pads(node: &NodeProto, given: Option<&Value>) -> String {
    let pads = given.map(Value::to_i64).or_else(|| node.ints("pads").map(<[i64]>::to_vec));
    pads.map(|p| small_from(&p)).unwrap_or_default()
}

fn small_from(pads: &[i64]) -> String {
    let shown: Vec<String> = pads.iter().take(10).map(ToString::to_string).collect();
    shown.join(",")
}

fn operand(constant: Option<&Value>) -> String {
    match constant {
        Some(v) if v.len() == 1 => v.to_f32().first().map(|x| number(*x)).unwrap_or_default(),
        Some(v) => format!("const {}", dims(&v.shape().iter().map(|d| *d as i64).collect::<Vec<_>>())),
        None => String::new(),
    }
}

fn dtype_name(number: i32) -> Option<String> {
    Some(crate::model::onnx::tensor_proto::DataType::try_from(number).ok()?.as_str_name().to_lowercase())
}

/// A number with no more digits than mean something: `0.43`, `1.8e-7`, `6`.
pub fn number(x: f32) -> String {
    if !x.is_finite() {
        return if x.is_nan() {
            "NaN".into()
        } else if x > 0.0 {
            "∞".into()
        } else {
            "-∞".into()
        };
    }
    let size = x.abs();
    if x == x.trunc() && size < 1e6 {
        format!("{x:.0}")
    } else if (0.01..1e4).contains(&size) {
        let text = if size >= 100.0 {
            format!("{x:.0}")
        } else if size >= 1.0 {
            format!("{x:.2}")
        } else {
            format!("{x:.3}")
        };
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
    } else {
        format!("{x:.1e}")
    }
}

/// An attribute's value in words.
pub fn attribute(a: &AttributeProto) -> String {
    let list = |items: Vec<String>| {
        let more = if items.len() > 12 { ", …" } else { "" };
        format!("[{}{more}]", items.into_iter().take(12).collect::<Vec<_>>().join(", "))
    };
    match a.r#type() {
        AttributeType::Int => a.i().to_string(),
        AttributeType::Float => format!("{:?}", a.f()),
        AttributeType::String => harmless(&String::from_utf8_lossy(a.s())).into_owned(),
        AttributeType::Ints => list(a.ints.iter().map(ToString::to_string).collect()),
        AttributeType::Floats => list(a.floats.iter().map(|f| number(*f)).collect()),
        AttributeType::Strings => list(a.strings.iter().map(|s| harmless(&String::from_utf8_lossy(s)).into_owned()).collect()),
        AttributeType::Tensor => a.t.as_ref().map_or_else(String::new, |t| format!("tensor {}", dims(&t.dims))),
        AttributeType::Graph | AttributeType::Graphs => "sub-graph".into(),
        _ if a.i.is_some() => a.i().to_string(),
        _ if a.f.is_some() => format!("{:?}", a.f()),
        _ if !a.ints.is_empty() => list(a.ints.iter().map(ToString::to_string).collect()),
        _ => "…".into(),
    }
}

/// Dimensions as `1×3×224×224`.
pub fn shape(dims: &[usize]) -> String {
    if dims.is_empty() {
        return "scalar".into();
    }
    dims.iter().map(ToString::to_string).collect::<Vec<_>>().join("×")
}

/// Declared dimensions of an input or output, symbols and all; empty when there are none.
pub fn declared_shape(info: &ValueInfoProto) -> String {
    let Some(type_proto::Value::TensorType(tensor)) = info.r#type.as_ref().and_then(|t| t.value.as_ref()) else { return String::new() };
    let Some(shape) = &tensor.shape else { return String::new() };
    let dims = shape.dim.iter().map(|d| match &d.value {
        Some(dimension::Value::DimValue(n)) => n.to_string(),
        Some(dimension::Value::DimParam(name)) => harmless(name).into_owned(),
        None => "?".into(),
    });
    dims.collect::<Vec<_>>().join("×")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_mean_something() {
        for (x, text) in [
            (0.0, "0"),
            (6.0, "6"),
            (0.43, "0.43"),
            (0.5, "0.5"),
            (1.8e-7, "1.8e-7"),
            (12.345, "12.35"),
            (250.7, "251"),
            (3.2e7, "3.2e7"),
            (-0.25, "-0.25"),
        ] {
            assert_eq!(number(x), text);
        }
        assert_eq!(number(f32::NAN), "NaN");
        assert_eq!(number(f32::NEG_INFINITY), "-∞");
    }

    #[test]
    fn attributes_in_words() {
        assert_eq!(attribute(&AttributeProto::of_ints("pads", &[0, 0, 1, 1])), "[0, 0, 1, 1]");
        assert_eq!(attribute(&AttributeProto::of_float("epsilon", 1e-3)), "0.001");
        assert_eq!(attribute(&AttributeProto::of_string("mode", "a\x1b[31m")), "a\\e[31m");
        assert_eq!(shape(&[1, 3, 48, 48]), "1×3×48×48");
        assert_eq!(shape(&[]), "scalar");
    }
}
