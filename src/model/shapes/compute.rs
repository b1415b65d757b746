//! Operators that compute: elementwise, products, reductions, normalisations, quantisation.

use super::{Answer, Call, Fact, axes, axis, broadcast, fault, need, tensor_fact};
use crate::model::NodeExt;
use crate::model::onnx::tensor_proto::DataType;
use crate::model::types::{Known, element_count};
use std::collections::HashMap;

impl Call<'_> {
    pub(super) fn compute(&self) -> Answer {
        let op = self.node.op_type();
        match op {
            "Identity"
            | "Abs"
            | "Neg"
            | "Not"
            | "Ceil"
            | "Floor"
            | "Round"
            | "Sqrt"
            | "Relu"
            | "LeakyRelu"
            | "Elu"
            | "Selu"
            | "Celu"
            | "ThresholdedRelu"
            | "Sigmoid"
            | "HardSigmoid"
            | "HardSwish"
            | "Swish"
            | "Mish"
            | "Gelu"
            | "Softplus"
            | "Softsign"
            | "Shrink"
            | "Tanh"
            | "Exp"
            | "Log"
            | "Erf"
            | "Reciprocal"
            | "Sign"
            | "Sin"
            | "Cos"
            | "Tan"
            | "Asin"
            | "Acos"
            | "Atan"
            | "Sinh"
            | "Cosh"
            | "Asinh"
            | "Acosh"
            | "Atanh"
            | "Clip"
            | "LRN"
            | "MeanVarianceNormalization"
            | "QuickGelu"
            | "FastGelu"
            | "BitwiseNot" => self.like_first(None),
            "Cast" => match self.cast_to() {
                Some(to) => self.like_first(Some(to)),
                None => fault!("to", "{} is no element type", self.int("to", 0)),
            },
            "CastLike" => self.fact(1).map_or(Ok(Vec::new()), |t| self.like_first(Some(t.dtype))),
            "IsNaN" | "IsInf" => self.like_first(Some(DataType::Bool)),
            "Dropout" => {
                let x = need!(self.fact(0));
                Ok(vec![Some(x.clone()), Some(Fact::new(DataType::Bool, x.shape.clone()))])
            }
            "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Mod" | "BitShift" | "BitwiseAnd" | "BitwiseOr" | "BitwiseXor" => {
                self.together(&[0, 1], None)
            }
            // Before version 7, one slope a channel.
            "PRelu" if self.opset < 7 => self.like_first(None),
            "PRelu" => self.together(&[0, 1], None),
            "And" | "Or" | "Xor" | "Equal" | "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual" => {
                self.together(&[0, 1], Some(DataType::Bool))
            }
            "Max" | "Min" | "Sum" | "Mean" => self.together(&(0..self.inputs.len()).collect::<Vec<_>>(), None),
            "Where" => {
                let dtype = need!(self.fact(1)).dtype;
                self.together(&[0, 1, 2], Some(dtype))
            }
            "Softmax" | "LogSoftmax" | "Hardmax" | "CumSum" | "LpNormalization" => {
                let default = if self.opset < 13 && op != "LpNormalization" { 1 } else { -1 };
                let x = need!(self.fact(0));
                if op != "CumSum" && !(x.rank() == 1 && default == 1) {
                    axis("axis", self.int("axis", default), x.rank())?;
                }
                self.like_first(None)
            }
            "BatchNormalization" => self.per_channel(&["scale", "B", "mean", "var"]),
            "InstanceNormalization" => self.per_channel(&["scale", "B"]),
            "GroupNormalization" => self.per_channel(&[]),
            "LayerNormalization" | "RMSNormalization" | "SimplifiedLayerNormalization" => self.layer_norm(),
            "Constant" => Ok(vec![self.constant()]),
            "MatMul" => self.matmul(0, 1, None),
            "MatMulInteger" => self.matmul(0, 1, Some(DataType::Int32)),
            "QLinearMatMul" => self.fact(7).map_or(Ok(Vec::new()), |y| self.matmul(0, 3, Some(y.dtype))),
            "Gemm" => self.gemm(),
            "Einsum" => self.einsum(),
            "ArgMax" | "ArgMin" => {
                let x = need!(self.fact(0));
                let a = axis("axis", self.int("axis", 0), x.rank())?;
                Ok(vec![Some(Fact::new(DataType::Int64, self.without(x, &[a])))])
            }
            "TopK" => self.top_k(),
            "OneHot" => self.one_hot(),
            "NonMaxSuppression" | "NonZero" => Ok(Vec::new()),
            "QuantizeLinear" | "DequantizeLinear" => self.quantize(),
            "DynamicQuantizeLinear" => {
                let x = need!(self.fact(0));
                Ok(vec![
                    Some(Fact::new(DataType::Uint8, x.shape.clone())),
                    Some(Fact::new(DataType::Float, [])),
                    Some(Fact::new(DataType::Uint8, [])),
                ])
            }
            "Trilu" | "ScatterElements" | "ScatterND" | "Scatter" | "ReverseSequence" | "CumProd" | "TensorScatter" => {
                self.like_first(None)
            }
            "EyeLike" | "RandomNormalLike" | "RandomUniformLike" | "Bernoulli" => self.like_first(self.dtype_attribute()),
            "RandomNormal" | "RandomUniform" => {
                let shape = super::resize::sizes("shape", need!(self.node.ints("shape")))?;
                Ok(vec![Some(Fact::new(self.dtype_attribute().unwrap_or(DataType::Float), shape))])
            }
            "GridSample" => {
                let (x, grid) = (need!(self.fact(0)), need!(self.fact(1)));
                if x.rank() < 3 || grid.rank() != x.rank() || grid.shape[0] != x.shape[0] || grid.shape[grid.rank() - 1] != x.rank() - 2 {
                    return fault!("grid", "{:?} for data {:?}", grid.shape, x.shape);
                }
                Ok(vec![Some(Fact::new(x.dtype, [&x.shape[..2], &grid.shape[1..grid.rank() - 1]].concat()))])
            }
            "RoiAlign" => {
                let (x, rois) = (need!(self.fact(0)), need!(self.fact(1)));
                let size = |name| usize::try_from(self.int(name, 1)).ok().filter(|s| *s > 0);
                match (x.rank(), rois.rank(), size("output_height"), size("output_width")) {
                    (4, 2, Some(h), Some(w)) => Ok(vec![Some(Fact::new(x.dtype, [rois.shape[0], x.shape[1], h, w]))]),
                    _ => fault!("rois", "{:?} for data {:?}", rois.shape, x.shape),
                }
            }
            "LSTM" | "GRU" | "RNN" => self.recurrent(),
            _ if op.starts_with("Reduce") => self.reduce(),
            _ => Ok(Vec::new()),
        }
    }

    fn dtype_attribute(&self) -> Option<DataType> {
        DataType::try_from(i32::try_from(self.node.int("dtype")?).ok()?).ok()
    }

    fn recurrent(&self) -> Answer {
        let (x, w, r) = (need!(self.fact(0)), need!(self.fact(1)), need!(self.fact(2)));
        let ([a, b, features], [directions, _, inner], [_, _, hidden]) = (&x.shape[..], &w.shape[..], &r.shape[..]) else {
            return fault!("X", "data {:?} for weights {:?} and {:?}", x.shape, w.shape, r.shape);
        };
        if features != inner {
            return fault!("W", "weights {:?} for data {:?}", w.shape, x.shape);
        }
        let (all, last) = match self.int("layout", 0) {
            0 => (vec![*a, *directions, *b, *hidden], vec![*directions, *b, *hidden]),
            _ => (vec![*a, *b, *directions, *hidden], vec![*a, *directions, *hidden]),
        };
        let last = Some(Fact::new(x.dtype, last));
        Ok(vec![Some(Fact::new(x.dtype, all)), last.clone(), last])
    }

    fn like_first(&self, dtype: Option<DataType>) -> Answer {
        let x = need!(self.fact(0));
        let known = self.folded(&x.shape);
        Ok(vec![Some(Fact::new(dtype.unwrap_or(x.dtype), x.shape.clone()).with(known))])
    }

    /// Elementwise on inputs that are broadcast.
    fn together(&self, slots: &[usize], dtype: Option<DataType>) -> Answer {
        if self.opset < 7 && self.int("broadcast", 0) != 0 {
            return self.like_first(dtype);
        }
        let mut out = self.broadcast_of(slots, dtype)?;
        if let Some(Some(fact)) = out.first_mut() {
            let known = self.folded(&fact.shape);
            *fact = fact.clone().with(known);
        }
        Ok(out)
    }

    /// One parameter a channel, axis 1.
    fn per_channel(&self, parameters: &[&str]) -> Answer {
        let x = need!(self.fact(0));
        if x.rank() < 2 && !parameters.is_empty() && self.node.op_type() != "BatchNormalization" {
            return fault!("X", "{:?} has no channels", x.shape);
        }
        let channels = x.shape.get(1).copied().unwrap_or(1);
        for (i, name) in parameters.iter().enumerate() {
            if let Some(p) = self.fact(i + 1)
                && p.shape != [channels]
            {
                return fault!(*name, "{:?} for {channels} channels", p.shape);
            }
        }
        Ok(vec![Some(Fact::new(x.dtype, x.shape.clone()))])
    }

    fn layer_norm(&self) -> Answer {
        let x = need!(self.fact(0));
        let a = axis("axis", self.int("axis", -1), x.rank())?;
        if let Some(scale) = self.fact(1)
            && broadcast(&x.shape, &scale.shape).ok().as_ref() != Some(&x.shape)
        {
            return fault!("Scale", "{:?} for data {:?}", scale.shape, x.shape);
        }
        let stats: Vec<usize> = x.shape.iter().enumerate().map(|(i, d)| if i < a { *d } else { 1 }).collect();
        let stat = Some(Fact::new(DataType::Float, stats));
        Ok(vec![Some(Fact::new(x.dtype, x.shape.clone())), stat.clone(), stat])
    }

    fn constant(&self) -> Option<Fact> {
        let node = self.node;
        if let Some(tensor) = node.tensor("value") {
            return tensor_fact(self.model, tensor);
        }
        if let Some(sparse) = node.attr("sparse_value").and_then(|a| a.sparse_tensor.as_ref()) {
            let dtype = DataType::try_from(sparse.values.as_ref()?.data_type()).ok()?;
            return Some(Fact::new(dtype, crate::model::sparse::dims(sparse).ok()?));
        }
        let list = |known: Known| {
            Fact::new(if matches!(known, Known::Ints(_)) { DataType::Int64 } else { DataType::Float }, [known.len()]).with(Some(known))
        };
        let scalar = |known: Known| Fact { shape: Vec::new(), ..list(known) };
        if let Some(i) = node.int("value_int") {
            return Some(scalar(Known::Ints(vec![i])));
        }
        if let Some(f) = node.float("value_float") {
            return Some(scalar(Known::Floats(vec![f.into()])));
        }
        if let Some(a) = node.attr("value_ints") {
            return Some(list(Known::Ints(a.ints.clone())));
        }
        node.attr("value_floats").map(|a| list(Known::Floats(a.floats.iter().map(|f| f64::from(*f)).collect())))
    }

    fn matmul(&self, a: usize, b: usize, dtype: Option<DataType>) -> Answer {
        let (a, b) = (need!(self.fact(a)), need!(self.fact(b)));
        if a.rank() == 0 || b.rank() == 0 {
            return fault!("", "a product of {:?} and {:?}", a.shape, b.shape);
        }
        let left = if a.rank() == 1 { vec![1, a.shape[0]] } else { a.shape.clone() };
        let right = if b.rank() == 1 { vec![b.shape[0], 1] } else { b.shape.clone() };
        let (la, lb) = (left.len(), right.len());
        if left[la - 1] != right[lb - 2] {
            return fault!("", "a product of {:?} and {:?}: {} is not {}", a.shape, b.shape, left[la - 1], right[lb - 2]);
        }
        let mut out = broadcast(&left[..la - 2], &right[..lb - 2])?;
        if a.rank() > 1 {
            out.push(left[la - 2]);
        }
        if b.rank() > 1 {
            out.push(right[lb - 1]);
        }
        self.affordable_work(&[&out, &left[la - 1..]])?;
        Ok(vec![Some(Fact::new(dtype.unwrap_or(a.dtype), out))])
    }

    fn gemm(&self) -> Answer {
        let (a, b) = (need!(self.fact(0)), need!(self.fact(1)));
        let ([a0, a1], [b0, b1]) = (&a.shape[..], &b.shape[..]) else {
            return fault!("", "matrices are needed, these are {:?} and {:?}", a.shape, b.shape);
        };
        let (m, k) = if self.int("transA", 0) == 0 { (a0, a1) } else { (a1, a0) };
        let (l, n) = if self.int("transB", 0) == 0 { (b0, b1) } else { (b1, b0) };
        if k != l {
            return fault!("B", "a product of {:?} and {:?}: {k} is not {l}", a.shape, b.shape);
        }
        let out = vec![*m, *n];
        if let Some(c) = self.fact(2)
            && broadcast(&out, &c.shape).ok().as_ref() != Some(&out)
        {
            return fault!("C", "{:?} cannot be added to {out:?}", c.shape);
        }
        self.affordable_work(&[&out, &[*k]])?;
        Ok(vec![Some(Fact::new(a.dtype, out))])
    }

    fn einsum(&self) -> Answer {
        let equation: String = self.node.string("equation").unwrap_or_default().split_whitespace().collect();
        let facts: Option<Vec<&Fact>> = (0..self.inputs.len()).map(|i| self.fact(i)).collect();
        let facts = need!(facts);
        if equation.contains('.') {
            return Ok(Vec::new());
        }
        let (terms, result) = equation.split_once("->").map_or((equation.as_str(), None), |(t, r)| (t, Some(r.to_string())));
        let terms: Vec<&str> = terms.split(',').collect();
        let mut sizes: HashMap<char, usize> = HashMap::new();
        if terms.len() != facts.len() {
            return fault!("equation", "'{equation}' for {} inputs", facts.len());
        }
        for (term, fact) in terms.iter().zip(&facts) {
            if term.chars().count() != fact.rank() {
                return fault!("equation", "'{term}' for {:?}", fact.shape);
            }
            for (letter, size) in term.chars().zip(&fact.shape) {
                let known = sizes.entry(letter).or_insert(*size);
                if *known == 1 {
                    *known = *size;
                } else if *size != 1 && *known != *size {
                    return fault!("equation", "'{letter}' is {known} and {size}");
                }
            }
        }
        let result = result.unwrap_or_else(|| {
            let mut once: Vec<char> = sizes.keys().copied().filter(|c| terms.concat().matches(*c).count() == 1).collect();
            once.sort_unstable();
            once.into_iter().collect()
        });
        let out: Option<Vec<usize>> = result.chars().map(|c| sizes.get(&c).copied()).collect();
        let Some(out) = out else { return fault!("equation", "'{equation}' makes a letter of nothing") };
        self.affordable_work(&[&sizes.into_values().collect::<Vec<_>>()])?;
        Ok(vec![facts.first().map(|f| Fact::new(f.dtype, out))])
    }

    /// The shape that is left when these axes are reduced.
    fn without(&self, x: &Fact, gone: &[usize]) -> Vec<usize> {
        let keep = self.int("keepdims", 1) != 0;
        (0..x.rank()).filter(|i| keep || !gone.contains(i)).map(|i| if gone.contains(&i) { 1 } else { x.shape[i] }).collect()
    }

    fn reduce(&self) -> Answer {
        let x = need!(self.fact(0));
        let Ok(list) = self.ints_or_input("axes", 1) else { return Ok(Vec::new()) };
        let gone = match list {
            Some(list) if !list.is_empty() => axes("axes", &list, x.rank())?,
            _ if self.int("noop_with_empty_axes", 0) != 0 => Vec::new(),
            _ => (0..x.rank()).collect(),
        };
        let known = if gone.len() == x.rank() { self.reduced(x) } else { None };
        Ok(vec![Some(Fact::new(x.dtype, self.without(x, &gone)).with(known))])
    }

    fn top_k(&self) -> Answer {
        let x = need!(self.fact(0));
        let k = match self.node.int("k") {
            Some(k) => k,
            None => *need!(need!(self.ints_of(1)).first()),
        };
        let a = axis("axis", self.int("axis", -1), x.rank())?;
        let mut out = x.shape.clone();
        match usize::try_from(k) {
            Ok(k) if k <= x.shape[a] => out[a] = k,
            _ => return fault!("K", "the largest {k} of {}", x.shape[a]),
        }
        Ok(vec![Some(Fact::new(x.dtype, out.clone())), Some(Fact::new(DataType::Int64, out))])
    }

    fn one_hot(&self) -> Answer {
        let (x, depth, values) = (need!(self.fact(0)), need!(self.known(1)), need!(self.fact(2)));
        let depth = depth.floats().first().copied().filter(|d| *d >= 1.0);
        let Some(depth) = depth else { return fault!("depth", "must be a number of at least 1") };
        let mut out = x.shape.clone();
        out.insert(axis("axis", self.int("axis", -1), x.rank() + 1)?, depth as usize);
        Ok(vec![Some(Fact::new(values.dtype, out))])
    }

    fn quantize(&self) -> Answer {
        let x = need!(self.fact(0));
        let scale = self.fact(1);
        // One scale an axis; blocks of scales are left to the runtime.
        if let Some(s) = scale
            && s.rank() == 1
            && s.shape[0] != 1
            && self.int("block_size", 0) == 0
        {
            let a = axis("axis", self.int("axis", 1), x.rank())?;
            if x.shape[a] != s.shape[0] {
                return fault!("scale", "{:?} for axis {a} of {:?}", s.shape, x.shape);
            }
        }
        if let (Some(s), Some(z)) = (scale, self.fact(2))
            && element_count(&s.shape) != element_count(&z.shape)
        {
            return fault!("zero_point", "{:?}, the scale has {:?}", z.shape, s.shape);
        }
        let asked = self
            .node
            .int("output_dtype")
            .and_then(|d| DataType::try_from(i32::try_from(d).ok()?).ok())
            .filter(|d| *d != DataType::Undefined);
        let dtype = match (self.node.op_type(), asked) {
            (_, Some(dtype)) => Some(dtype),
            ("QuantizeLinear", None) if self.has(2) => self.fact(2).map(|z| z.dtype),
            ("QuantizeLinear", None) => Some(DataType::Uint8),
            _ => scale.map(|s| s.dtype),
        };
        Ok(vec![Some(Fact::new(need!(dtype), x.shape.clone()))])
    }
}
