//! Gemm and BatchNormalization: tract's refuse half precision beside single precision, and parameters that are not constants.

use super::attr::Attributes;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::cast::wire_cast;
use tract_onnx::tract_core::ops::change_axes::wire_with_rank_broadcast;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Clone)]
struct Gemm {
    alpha: f32,
    beta: f32,
    trans_a: bool,
    trans_b: bool,
}

pub(super) fn gemm(_: &ParsingContext<'_>, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let op = Gemm {
        alpha: node.number("alpha").unwrap_or(1.0),
        beta: node.number("beta").unwrap_or(1.0),
        trans_a: node.integer("transA").unwrap_or(0) != 0,
        trans_b: node.integer("transB").unwrap_or(0) != 0,
    };
    Ok((expand(op), vec![]))
}

/// A value times a number, in the value's own element type.
fn scaled(model: &mut TypedModel, name: &str, value: OutletId, by: f32) -> TractResult<OutletId> {
    if by == 1.0 {
        return Ok(value);
    }
    let fact = model.outlet_fact(value)?;
    let by = tensor0(by).cast_to_dt(fact.datum_type)?.into_owned().broadcast_into_rank(fact.rank())?;
    let by = model.add_const(format!("{name}.by"), by)?;
    Ok(model.wire_node(name, math::mul(), &[by, value])?[0])
}

impl Expansion for Gemm {
    fn name(&self) -> StaticName {
        "Gemm".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(&'s self, s: &mut Solver<'r>, inputs: &'p [TensorProxy], outputs: &'p [TensorProxy]) -> InferenceResult {
        ensure!((2..=3).contains(&inputs.len()), "Gemm has {} inputs", inputs.len());
        s.equals(&inputs[0].rank, 2)?;
        s.equals(&inputs[1].rank, 2)?;
        s.equals(&outputs[0].rank, 2)?;
        s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        s.equals(&inputs[1].datum_type, &outputs[0].datum_type)?;
        let (ra, ca) = if self.trans_a { (1, 0) } else { (0, 1) };
        let (rb, cb) = if self.trans_b { (1, 0) } else { (0, 1) };
        s.equals(&inputs[0].shape[ra], &outputs[0].shape[0])?;
        s.equals(&inputs[0].shape[ca], &inputs[1].shape[rb])?;
        s.equals(&inputs[1].shape[cb], &outputs[0].shape[1])
    }

    fn wire(&self, name: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let axes = AxesMapping::for_numpy_matmul(2, self.trans_a, self.trans_b, false)?;
        let dtype = model.outlet_fact(inputs[0])?.datum_type;
        let product = model.wire_node(format!("{name}.ab"), EinSum::new(axes, dtype), &inputs[..2])?[0];
        let product = scaled(model, &format!("{name}.alpha"), product, self.alpha)?;
        match inputs.get(2) {
            Some(c) if self.beta != 0.0 => {
                let c = scaled(model, &format!("{name}.beta"), *c, self.beta)?;
                wire_with_rank_broadcast(name, model, math::add(), &[product, c])
            }
            _ => Ok(tvec![product]),
        }
    }
}

#[derive(Debug, Clone)]
struct BatchNorm {
    epsilon: f32,
}

pub(super) fn batch_normalization(_: &ParsingContext<'_>, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    ensure!(node.integer("spatial").unwrap_or(1) == 1, "BatchNormalization with spatial = 0 is not supported");
    ensure!(node.output.iter().filter(|o| !o.is_empty()).count() == 1, "BatchNormalization with statistics as outputs is not supported");
    Ok((expand(BatchNorm { epsilon: node.number("epsilon").unwrap_or(1e-5) }), vec![]))
}

impl Expansion for BatchNorm {
    fn name(&self) -> StaticName {
        "BatchNormalization".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(&'s self, s: &mut Solver<'r>, inputs: &'p [TensorProxy], outputs: &'p [TensorProxy]) -> InferenceResult {
        check_input_arity(inputs, 5)?;
        s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        s.equals(&inputs[0].shape, &outputs[0].shape)?;
        s.given(&inputs[0].rank, move |s, rank| {
            ensure!(rank >= 2, "BatchNormalization of a value of rank {rank}");
            for parameter in &inputs[1..] {
                s.equals(&parameter.rank, 1)?;
                s.equals(&parameter.shape[0], &inputs[0].shape[1])?;
            }
            Ok(())
        })
    }

    fn wire(&self, name: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let fact = model.outlet_fact(inputs[0])?.clone();
        // Parameters are folded in single precision, whatever the value's type.
        let wide = if fact.datum_type == DatumType::F64 { DatumType::F64 } else { DatumType::F32 };
        let p = wire_cast(format!("{name}.parameter"), model, &inputs[1..], wide)?;
        let epsilon = model.add_const(format!("{name}.epsilon"), tensor1(&[self.epsilon]).cast_to_dt(wide)?.into_owned())?;
        let variance = model.wire_node(format!("{name}.variance"), math::add(), &[p[3], epsilon])?[0];
        let deviation = model.wire_node(format!("{name}.deviation"), math::sqrt(), &[variance])?[0];
        let slope = model.wire_node(format!("{name}.slope"), math::div(), &[p[0], deviation])?[0];
        let shift = model.wire_node(format!("{name}.shift"), math::mul(), &[p[2], slope])?[0];
        let offset = model.wire_node(format!("{name}.offset"), math::sub(), &[p[1], shift])?[0];
        let mut along = wire_cast(format!("{name}.narrow"), model, &[slope, offset], fact.datum_type)?;
        for (which, wire) in ["slope", "offset"].into_iter().zip(along.iter_mut()) {
            *wire = model.wire_node(format!("{name}.{which}.channel"), AxisOp::Add(0), &[*wire])?[0];
            for axis in 2..fact.rank() {
                *wire = model.wire_node(format!("{name}.{which}.axis{axis}"), AxisOp::Add(axis), &[*wire])?[0];
            }
        }
        let scaled = model.wire_node(format!("{name}.scaled"), math::mul(), &[inputs[0], along[0]])?[0];
        model.wire_node(name, math::add(), &[scaled, along[1]])
    }
}
