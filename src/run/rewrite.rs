//! Operators that are written as others: those of onnxruntime's own domain, and old forms of ONNX's.

use super::codes::UNARY;
use super::error::RunError;
use super::value::Value;
use crate::model::NodeExt;
use crate::model::onnx::{AttributeProto, NodeProto};

/// The nodes that mean the same, in order; `None` when the node is run as it is.
///
/// # Errors
/// When the node lacks what its operator needs.
pub(super) fn rewrite(node: &NodeProto, opset: i64) -> Result<Option<Vec<NodeProto>>, RunError> {
    let mut out = Rewriting::new(node);
    match (node.domain_name(), node.op_type()) {
        ("", "Upsample") => out.upsample()?,
        ("", "Resize") if opset < 11 => out.upsample()?,
        ("", "TopK") if opset < 10 => {
            let k = out.integers(&[node.int("k").ok_or_else(|| lacks(node, "k"))?]);
            out.last("TopK", &[node.input_at(0), &k], &["k"]);
        }
        ("", "BatchNormalization") if node.int("training_mode") == Some(1) => out.training_norm(opset),
        ("", "Attention") if !node.input_at(3).is_empty() => {
            let mask = out.add("Mask", &[node.input_at(3)], vec![]);
            out.nodes.last_mut().expect("just added").domain = Some("fixcon".into());
            let mut inputs: Vec<&str> = node.input.iter().map(String::as_str).collect();
            inputs[3] = &mask;
            out.last("Attention", &inputs, &[]);
        }
        ("com.microsoft", op) => {
            if !out.contributed(op)? {
                return Ok(None);
            }
        }
        _ => return Ok(None),
    }
    Ok(Some(out.nodes))
}

fn lacks(node: &NodeProto, what: &str) -> RunError {
    RunError::new(format!("{} has no {what}", node.op_type())).at(node.label())
}

/// Inputs by place; the empty name where there is none.
trait Inputs {
    fn input_at(&self, at: usize) -> &str;
}

impl Inputs for NodeProto {
    fn input_at(&self, at: usize) -> &str {
        self.input.get(at).map_or("", String::as_str)
    }
}

/// A node that is being rewritten.
struct Rewriting<'a> {
    node: &'a NodeProto,
    nodes: Vec<NodeProto>,
}

impl<'a> Rewriting<'a> {
    fn new(node: &'a NodeProto) -> Self {
        Self { node, nodes: Vec::new() }
    }

    /// A name that no value of the graph has, unless somebody wished for trouble.
    fn fresh(&self) -> String {
        format!("{}\u{1}{}", self.node.output.iter().find(|o| !o.is_empty()).map_or("", |o| o), self.nodes.len())
    }

    fn push(&mut self, op: &str, inputs: &[&str], outputs: Vec<String>, attribute: Vec<AttributeProto>) {
        let input = inputs.iter().map(|i| (*i).to_string()).collect();
        let name = Some(format!("{}\u{1}{}", self.node.label(), self.nodes.len()));
        self.nodes.push(NodeProto { op_type: Some(op.into()), name, input, output: outputs, attribute, ..NodeProto::default() });
    }

    /// A node with one output; its name.
    fn add(&mut self, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let name = self.fresh();
        self.push(op, inputs, vec![name.clone()], attributes);
        name
    }

    /// The node that makes the outputs, with the attributes of the node rewritten but for those named.
    fn last(&mut self, op: &str, inputs: &[&str], without: &[&str]) {
        let attributes = self.kept(without);
        self.push(op, inputs, self.node.output.clone(), attributes);
    }

    /// The node that makes the outputs, with these attributes.
    fn finish(&mut self, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) {
        self.push(op, inputs, self.node.output.clone(), attributes);
    }

    fn kept(&self, without: &[&str]) -> Vec<AttributeProto> {
        self.node.attribute.iter().filter(|a| !without.contains(&a.name())).cloned().collect()
    }

    fn constant(&mut self, value: &Value) -> String {
        self.add("Constant", &[], vec![AttributeProto::of_tensor("value", value.to_proto("value"))])
    }

    fn integers(&mut self, values: &[i64]) -> String {
        self.constant(&Value::from_i64(&[values.len()], values.to_vec()))
    }

    fn number(&mut self, value: f32) -> String {
        self.constant(&Value::from_f32(&[], vec![value]))
    }

    /// The value dequantised, where `at` is the place of a value, its scale and its zero point among the inputs.
    fn floats(&mut self, at: usize) -> String {
        let n = self.node;
        self.add("DequantizeLinear", &[n.input_at(at), n.input_at(at + 1), n.input_at(at + 2)], vec![])
    }

    /// Makes the output by quantising `value` with the scale and zero point at these places.
    fn quantised(&mut self, value: &str, at: usize) {
        let n = self.node;
        self.finish("QuantizeLinear", &[value, n.input_at(at), n.input_at(at + 1)], vec![]);
    }

    /// Upsample, and Resize before its coordinates could be chosen.
    fn upsample(&mut self) -> Result<(), RunError> {
        let node = self.node;
        let scales = match node.input_at(1) {
            "" => {
                let scales = node.attr("scales").ok_or_else(|| lacks(node, "scales"))?.floats.clone();
                self.constant(&Value::from_f32(&[scales.len()], scales))
            }
            given => given.to_string(),
        };
        let mode = node.string("mode").unwrap_or("nearest");
        let mode = if matches!(mode, "bilinear" | "trilinear") { "linear" } else { mode };
        let set = |name: &str, value: &str| AttributeProto::of_string(name, value);
        let attributes = vec![set("mode", mode), set("coordinate_transformation_mode", "asymmetric"), set("nearest_mode", "floor")];
        // An operator of ours: a graph of old operators has no Resize with these attributes.
        self.finish("Resize", &[node.input_at(0), "", &scales], attributes);
        self.nodes.last_mut().expect("just added").domain = Some("fixcon".into());
        Ok(())
    }

    /// A batch norm by the statistics of what it is given (ScaledStdConv exports one over its weights), with the running ones it may be asked for.
    fn training_norm(&mut self, opset: i64) {
        let node = self.node;
        let (x, scale, shift) = (node.input_at(0), node.input_at(1), node.input_at(2));
        let mean_over = |this: &mut Self, value: &str| {
            let keep = AttributeProto::of_int("keepdims", 1);
            if opset < 18 {
                return this.add("ReduceMean", &[value], vec![AttributeProto::of_ints("axes", &[0, 2]), keep]);
            }
            let axes = this.integers(&[0, 2]);
            this.add("ReduceMean", &[value, &axes], vec![keep])
        };
        let (flat, row, line) = (self.integers(&[0, 0, -1]), self.integers(&[1, -1, 1]), self.integers(&[-1]));
        let values = self.add("Reshape", &[x, &flat], vec![]);
        let mean = mean_over(self, &values);
        let centred = self.add("Sub", &[&values, &mean], vec![]);
        let squares = self.add("Mul", &[&centred, &centred], vec![]);
        let variance = mean_over(self, &squares);
        let epsilon = self.number(node.float("epsilon").unwrap_or(1e-5));
        let above = self.add("Add", &[&variance, &epsilon], vec![]);
        let deviation = self.add("Sqrt", &[&above], vec![]);
        let normal = self.add("Div", &[&centred, &deviation], vec![]);
        let (scale, shift) = (self.add("Reshape", &[scale, &row], vec![]), self.add("Reshape", &[shift, &row], vec![]));
        let scaled = self.add("Mul", &[&normal, &scale], vec![]);
        let shifted = self.add("Add", &[&scaled, &shift], vec![]);
        let shape = self.add("Shape", &[x], vec![]);
        let momentum = node.float("momentum").unwrap_or(0.9);
        for (slot, now) in [(1, mean), (2, variance)] {
            let Some(output) = node.output.get(slot).filter(|o| !o.is_empty()) else { continue };
            let (old, new) = (self.number(momentum), self.number(1.0 - momentum));
            let now = self.add("Reshape", &[&now, &line], vec![]);
            let (old, new) = (self.add("Mul", &[node.input_at(slot + 2), &old], vec![]), self.add("Mul", &[&now, &new], vec![]));
            self.push("Add", &[&old, &new], vec![output.clone()], vec![]);
        }
        let output = node.output.first().cloned().unwrap_or_default();
        self.push("Reshape", &[&shifted, &shape], vec![output], vec![]);
    }

    /// An operator of onnxruntime's own domain; false when it is run as it is, or not at all.
    fn contributed(&mut self, op: &str) -> Result<bool, RunError> {
        let node = self.node;
        let x = node.input_at(0);
        match op {
            "QuantizeLinear" | "DequantizeLinear" => {
                let inputs: Vec<&str> = node.input.iter().map(String::as_str).collect();
                self.last(op, &inputs, &[]);
            }
            "QLinearAdd" | "QLinearMul" => {
                let (a, b) = (self.floats(0), self.floats(3));
                let y = self.add(&op["QLinear".len()..], &[&a, &b], vec![]);
                self.quantised(&y, 6);
            }
            op if UNARY.contains(&op) => {
                if node.int("channels_last").unwrap_or(0) != 0 {
                    return Err(RunError::new(format!("{op} with channels_last = 1 cannot be run")).at(node.label()));
                }
                let attributes = self.kept(&["channels_last", "opset"]);
                let a = self.floats(0);
                let y = self.add(&op["QLinear".len()..], &[&a], attributes);
                self.quantised(&y, 3);
            }
            "QLinearConcat" => {
                let parts: Vec<String> = (2..node.input.len()).step_by(3).map(|at| self.floats(at)).collect();
                let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                let attributes = self.kept(&[]);
                let y = self.add("Concat", &parts, attributes);
                self.quantised(&y, 0);
            }
            "QGemm" => {
                let (a, b) = (self.floats(0), self.weights(3, node.int("transB").unwrap_or(0) == 0));
                let attributes = self.kept(&[]);
                let mut y = self.add("Gemm", &[&a, &b], attributes);
                if !node.input_at(6).is_empty() {
                    // The bias is in steps of both scales, and of alpha.
                    let steps = self.add("Mul", &[node.input_at(1), node.input_at(4)], vec![]);
                    let bias = self.add("Cast", &[node.input_at(6)], vec![AttributeProto::of_int("to", 1)]);
                    let bias = self.add("Mul", &[&bias, &steps], vec![]);
                    y = self.add("Add", &[&y, &bias], vec![]);
                }
                match node.input_at(7) {
                    "" => self.finish("Identity", &[&y], vec![]),
                    _ => self.quantised(&y, 7),
                }
            }
            "MatMulIntegerToFloat" => {
                let scale = |n: &'a NodeProto, at: usize| n.input_at(at);
                let a = self.add("DequantizeLinear", &[x, scale(node, 2), node.input_at(4)], vec![]);
                let b = self.add(
                    "DequantizeLinear",
                    &[node.input_at(1), scale(node, 3), node.input_at(5)],
                    vec![AttributeProto::of_int("axis", -1)],
                );
                self.product_and_bias(&a, &b, 6);
            }
            "DynamicQuantizeMatMul" => {
                let (q, s, z) = (self.fresh(), format!("{}s", self.fresh()), format!("{}z", self.fresh()));
                self.push("DynamicQuantizeLinear", &[x], vec![q.clone(), s.clone(), z.clone()], vec![]);
                let a = self.add("DequantizeLinear", &[&q, &s, &z], vec![]);
                let b = self.add(
                    "DequantizeLinear",
                    &[node.input_at(1), node.input_at(2), node.input_at(3)],
                    vec![AttributeProto::of_int("axis", -1)],
                );
                self.product_and_bias(&a, &b, 4);
            }
            "FusedMatMul" | "TransposeMatMul" => {
                if node.int("transBatchA").or(node.int("transBatchB")).unwrap_or(0) != 0 {
                    return Err(RunError::new(format!("{op} over transposed batches cannot be run")).at(node.label()));
                }
                let mut sides = Vec::new();
                for (at, flag) in [(0, "transA"), (1, "transB")] {
                    let input = node.input_at(at);
                    sides.push(if node.int(flag).unwrap_or(0) == 0 { input.to_string() } else { self.add_own("SwapLast", &[input]) });
                }
                let alpha = node.float("alpha").unwrap_or(1.0);
                if alpha == 1.0 {
                    self.finish("MatMul", &[&sides[0], &sides[1]], vec![]);
                } else {
                    let y = self.add("MatMul", &[&sides[0], &sides[1]], vec![]);
                    let alpha = self.number(alpha);
                    let alpha = self.add("CastLike", &[&alpha, &y], vec![]);
                    self.finish("Mul", &[&y, &alpha], vec![]);
                }
            }
            "FusedConv" => {
                let attributes = self.kept(&["activation", "activation_params"]);
                let inputs: Vec<&str> = node.input.iter().take(3).map(String::as_str).collect();
                let inputs = if inputs.last() == Some(&"") { &inputs[..2] } else { &inputs[..] };
                let mut y = self.add("Conv", inputs, attributes);
                if !node.input_at(3).is_empty() {
                    y = self.add("Add", &[&y, node.input_at(3)], vec![]);
                }
                self.activation(&y)?;
            }
            "FusedGemm" => {
                let inputs: Vec<&str> = node.input.iter().map(String::as_str).collect();
                let attributes = self.kept(&["activation", "activation_alpha", "activation_beta", "activation_gamma"]);
                let y = self.add("Gemm", &inputs, attributes);
                self.activation(&y)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn add_own(&mut self, op: &str, inputs: &[&str]) -> String {
        let name = self.add(op, inputs, vec![]);
        self.nodes.last_mut().expect("just added").domain = Some("fixcon".into());
        name
    }

    /// Weights at this place, one scale for all or for each column.
    fn weights(&mut self, at: usize, columns_last: bool) -> String {
        let n = self.node;
        let axis = AttributeProto::of_int("axis", i64::from(columns_last));
        self.add("DequantizeLinear", &[n.input_at(at), n.input_at(at + 1), n.input_at(at + 2)], vec![axis])
    }

    fn product_and_bias(&mut self, a: &str, b: &str, bias: usize) {
        match self.node.input_at(bias) {
            "" => self.finish("MatMul", &[a, b], vec![]),
            bias => {
                let y = self.add("MatMul", &[a, b], vec![]);
                self.finish("Add", &[&y, bias], vec![]);
            }
        }
    }

    /// The activation that a fused operator ends with.
    fn activation(&mut self, y: &str) -> Result<(), RunError> {
        let node = self.node;
        let parameters = node.attr("activation_params").map_or(&[][..], |a| &a.floats);
        let parameter = |at: usize, name: &str| parameters.get(at).copied().or(node.float(name));
        let set = |name: &str, value: Option<f32>| value.map(|v| AttributeProto::of_float(name, v));
        match node.string("activation").unwrap_or("") {
            "" => self.finish("Identity", &[y], vec![]),
            op @ ("Relu" | "Sigmoid" | "Tanh") => self.finish(op, &[y], vec![]),
            "LeakyRelu" => {
                let alpha = set("alpha", parameter(0, "activation_alpha")).into_iter().collect();
                self.finish("LeakyRelu", &[y], alpha);
            }
            "HardSigmoid" => {
                let (alpha, beta) = (set("alpha", parameter(0, "activation_alpha")), set("beta", parameter(1, "activation_beta")));
                self.finish("HardSigmoid", &[y], alpha.into_iter().chain(beta).collect());
            }
            "Clip" => {
                let (low, high) =
                    (parameter(0, "activation_alpha").unwrap_or(f32::MIN), parameter(1, "activation_beta").unwrap_or(f32::MAX));
                let (low, high) = (self.number(low), self.number(high));
                let y = self.add("Max", &[y, &low], vec![]);
                self.finish("Min", &[&y, &high], vec![]);
            }
            other => return Err(RunError::new(format!("activation {other} cannot be run")).at(node.label())),
        }
        Ok(())
    }
}
