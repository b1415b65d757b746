//! Smaller operators that tract lacks or gets wrong.

use super::TRACT;
use super::attr::Attributes;
use super::own::{Known, Own};
use super::shape::integers;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::broadcast::multi_broadcast;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::wire_cast;
use tract_onnx::tract_core::ops::change_axes::wire_rank_broadcast;
use tract_onnx::tract_core::ops::logic::comp_eq;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::binary::rules;

type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// A function of single floats, for an operator that is rare enough not to be worth more.
fn pointwise(name: &'static str, f: impl Fn(f32) -> f32 + Send + Sync + 'static) -> Built {
    let value = move |v: &[TValue]| {
        let mut x = v[0].cast_to::<f32>()?.into_owned();
        x.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?.iter_mut().for_each(|x| *x = f(*x));
        Ok(x.cast_to_dt(v[0].datum_type())?.into_owned())
    };
    Own::new(name, |k| Ok((k[0].dtype, k[0].shape.clone())), value).built()
}

pub(super) fn celu(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let alpha = node.number("alpha").unwrap_or(1.0);
    pointwise("Celu", move |x| if x > 0.0 || x.is_nan() { x } else { alpha * (x / alpha).exp_m1() })
}

#[derive(Debug, Clone)]
struct Equal;

pub(super) fn equal(_: &ParsingContext<'_>, _: &NodeProto) -> Built {
    Ok((expand(Equal), vec![]))
}

impl Expansion for Equal {
    fn name(&self) -> StaticName {
        "Equal".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(&'s self, s: &mut Solver<'r>, inputs: &'p [TensorProxy], outputs: &'p [TensorProxy]) -> InferenceResult {
        check_input_arity(inputs, 2)?;
        s.equals(&outputs[0].datum_type, bool::datum_type())?;
        s.given_2(&inputs[0].shape, &inputs[1].shape, move |s, a, b| s.equals(&outputs[0].shape, multi_broadcast(&[a, b])?))
    }

    fn wire(&self, name: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let types = [model.outlet_fact(inputs[0])?.datum_type, model.outlet_fact(inputs[1])?.datum_type];
        let common = match types[0].common_super_type(types[1]) {
            // tract compares numbers only.
            Some(DatumType::Bool) => DatumType::U8,
            Some(other) => other,
            None => bail!("Equal of {:?} and {:?}", types[0], types[1]),
        };
        let wires = wire_rank_broadcast(name, model, inputs)?;
        let wires = wire_cast(name, model, &wires, common)?;
        model.wire_node(name, TypedBinOp(comp_eq(), None), &wires)
    }
}

/// The mask of Attention, added to scores: what a mask of truths excludes gets minus infinity.
pub(super) fn mask(_: &ParsingContext<'_>, _: &NodeProto) -> Built {
    let dtype = |k: &[Known]| if k[0].dtype == DatumType::Bool { DatumType::F32 } else { k[0].dtype };
    let value = |v: &[TValue]| {
        if v[0].datum_type() != DatumType::Bool {
            return Ok((*v[0]).clone());
        }
        let mut out = Tensor::zero::<f32>(v[0].shape())?;
        let plain = v[0].try_as_plain_ram()?;
        for (to, keep) in out.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?.iter_mut().zip(plain.as_slice::<bool>()?) {
            *to = if *keep { 0.0 } else { f32::NEG_INFINITY };
        }
        Ok(out)
    };
    Own::new("Mask", move |k| Ok((dtype(k), k[0].shape.clone())), value).built()
}

/// A window over one axis of a pool.
#[derive(Debug, Clone, Copy)]
struct Span {
    output: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    before: i64,
}

#[derive(Debug, Clone)]
struct Pool {
    kernel: Vec<usize>,
    strides: Option<Vec<usize>>,
    dilations: Option<Vec<usize>>,
    pads: Option<Vec<i64>>,
    same: Option<bool>,
    ceil: bool,
}

impl Pool {
    fn new(node: &NodeProto) -> TractResult<Self> {
        let sizes = |name: &str| node.integers(name).map(|v| v.iter().map(|v| *v as usize).collect::<Vec<_>>());
        let same = match node.text("auto_pad").unwrap_or("NOTSET") {
            "SAME_UPPER" => Some(true),
            "SAME_LOWER" => Some(false),
            _ => None,
        };
        let kernel = sizes("kernel_shape").context("a pool without kernel_shape")?;
        let (strides, dilations, pads) = (sizes("strides"), sizes("dilations"), node.integers("pads").map(<[i64]>::to_vec));
        let fits = [strides.as_ref().map(Vec::len), dilations.as_ref().map(Vec::len), pads.as_ref().map(|p| p.len() / 2)];
        ensure!(fits.iter().flatten().all(|n| *n == kernel.len()), "the attributes of a pool differ in length");
        ensure!(
            strides.iter().chain(&dilations).flatten().chain(&kernel).all(|v| (1..1 << 20).contains(v)),
            "kernel, strides or dilations out of range"
        );
        Ok(Self { kernel, strides, dilations, pads, same, ceil: node.integer("ceil_mode").unwrap_or(0) != 0 })
    }

    fn spans(&self, shape: &[usize]) -> TractResult<Vec<Span>> {
        ensure!(shape.len() == self.kernel.len() + 2, "a pool over {} axes of a value of rank {}", self.kernel.len(), shape.len());
        let one = |axis: usize| {
            let (input, kernel) = (shape[axis + 2] as i64, self.kernel[axis]);
            let of = |v: &Option<Vec<usize>>| v.as_ref().map_or(1, |v| v[axis]);
            let (stride, dilation) = (of(&self.strides), of(&self.dilations));
            let field = ((kernel - 1) * dilation + 1) as i64;
            let step = stride as i64;
            if let Some(upper) = self.same {
                let output = (input + step - 1) / step;
                let all = ((output - 1) * step + field - input).max(0);
                let before = if upper { all / 2 } else { all - all / 2 };
                return Ok(Span { output: output.max(0) as usize, kernel, stride, dilation, before });
            }
            let (before, after) = self.pads.as_ref().map_or((0, 0), |p| (p[axis], p[axis + self.kernel.len()]));
            let free = input + before + after - field;
            ensure!(free >= 0, "the window is larger than the padded value");
            let output = if self.ceil { (free + step - 1) / step } else { free / step } + 1;
            // The last window starts inside.
            let output = if self.ceil && (output - 1) * step >= input + before { output - 1 } else { output };
            Ok(Span { output: output as usize, kernel, stride, dilation, before })
        };
        (0..self.kernel.len()).map(one).collect()
    }
}

/// Calls `visit` with every place of a grid of these sizes, in order.
fn each(sizes: &[usize], mut visit: impl FnMut(&[usize])) {
    let mut at = vec![0; sizes.len()];
    for _ in 0..sizes.iter().product::<usize>() {
        visit(&at);
        for axis in (0..sizes.len()).rev() {
            at[axis] += 1;
            if at[axis] < sizes[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
}

pub(super) fn lp_pool(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let (pool, p) = (Pool::new(node)?, node.integer("p").unwrap_or(2) as f32);
    let spans = pool.clone();
    let shape = move |k: &[Known]| {
        let mut shape: TVec<usize> = k[0].shape[..2].into();
        shape.extend(spans.spans(&k[0].shape)?.iter().map(|s| s.output));
        Ok((k[0].dtype, shape))
    };
    let value = move |v: &[TValue]| {
        let spans = pool.spans(v[0].shape())?;
        let (inner, outer) = (&v[0].shape()[2..], &v[0].shape()[..2]);
        let outputs: Vec<usize> = spans.iter().map(|s| s.output).collect();
        let kernel: Vec<usize> = spans.iter().map(|s| s.kernel).collect();
        let x = v[0].cast_to::<f32>()?;
        let plain = x.try_as_plain_ram()?;
        let mut out = Vec::with_capacity(outer.iter().chain(&outputs).product());
        for plane in plain.as_slice::<f32>()?.chunks(inner.iter().product::<usize>().max(1)) {
            each(&outputs, |o| {
                let mut sum = 0f32;
                each(&kernel, |k| {
                    let mut at = Some(0);
                    for (axis, s) in spans.iter().enumerate() {
                        let i = (o[axis] * s.stride + k[axis] * s.dilation) as i64 - s.before;
                        at = at.filter(|_| (0..inner[axis] as i64).contains(&i)).map(|a| a * inner[axis] + i as usize);
                    }
                    sum += at.map_or(0.0, |at| plane[at].abs().powf(p));
                });
                out.push(sum.powf(1.0 / p));
            });
        }
        let shape: Vec<usize> = outer.iter().chain(&outputs).copied().collect();
        Ok(tensor1(&out).into_shape(&shape)?.cast_to_dt(v[0].datum_type())?.into_owned())
    };
    Own::new("LpPool", shape, value).built()
}

pub(super) fn global_lp_pool(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let p = node.integer("p").unwrap_or(2) as f32;
    let shape = |k: &[Known]| {
        ensure!(k[0].shape.len() > 2, "GlobalLpPool of a value of rank {}", k[0].shape.len());
        Ok((k[0].dtype, k[0].shape.iter().enumerate().map(|(i, d)| if i < 2 { *d } else { 1 }).collect()))
    };
    let value = move |v: &[TValue]| {
        let x = v[0].cast_to::<f32>()?;
        let plain = x.try_as_plain_ram()?;
        let size = v[0].shape()[2..].iter().product::<usize>().max(1);
        let norm = |plane: &[f32]| plane.iter().map(|v| v.abs().powf(p)).sum::<f32>().powf(1.0 / p);
        let out: Vec<f32> = plain.as_slice::<f32>()?.chunks(size).map(norm).collect();
        let mut shape = v[0].shape().to_vec();
        shape[2..].fill(1);
        Ok(tensor1(&out).into_shape(&shape)?.cast_to_dt(v[0].datum_type())?.into_owned())
    };
    Own::new("GlobalLpPool", shape, value).built()
}

pub(super) fn reverse_sequence(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let (batch, time) = (node.integer("batch_axis").unwrap_or(1), node.integer("time_axis").unwrap_or(0));
    ensure!((batch, time) == (0, 1) || (batch, time) == (1, 0), "ReverseSequence over axes {batch} and {time}");
    let value = move |v: &[TValue]| {
        let shape = v[0].shape();
        ensure!(shape.len() >= 2, "ReverseSequence of a value of rank {}", shape.len());
        let lengths = integers(&v[1])?;
        let row = shape[2..].iter().product::<usize>() * v[0].datum_type().size_of();
        let place = |b: usize, t: usize| if batch == 0 { b * shape[1] + t } else { t * shape[1] + b } * row;
        let mut out = (*v[0]).clone();
        let from = v[0].as_bytes();
        for (b, length) in lengths.iter().enumerate().take(shape[batch as usize]) {
            let length = (*length).clamp(0, shape[time as usize] as i64) as usize;
            for t in 0..length {
                out.as_bytes_mut()[place(b, t)..][..row].copy_from_slice(&from[place(b, length - 1 - t)..][..row]);
            }
        }
        Ok(out)
    };
    Own::new("ReverseSequence", |k| Ok((k[0].dtype, k[0].shape.clone())), value).built()
}

pub(super) fn affine_grid(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let corners = node.integer("align_corners").unwrap_or(0) != 0;
    let shape = |k: &[Known]| {
        let size = integers(k[1].value.as_deref().context("a size")?)?;
        ensure!(size.len() == 4 || size.len() == 5, "AffineGrid for a value of rank {}", size.len());
        let mut shape: TVec<usize> = tvec![size[0].max(0) as usize];
        shape.extend(size[2..].iter().map(|d| (*d).max(0) as usize));
        shape.push(size.len() - 2);
        Ok((k[0].dtype, shape))
    };
    let value = move |v: &[TValue]| {
        let size: Vec<usize> = integers(&v[1])?.iter().map(|d| (*d).max(0) as usize).collect();
        let (inner, n) = (&size[2..], size.len() - 2);
        let theta = v[0].cast_to::<f32>()?;
        let plain = theta.try_as_plain_ram()?;
        let theta = plain.as_slice::<f32>()?;
        ensure!(theta.len() == size[0] * n * (n + 1), "theta does not fit the size");
        let along = |i: usize, d: usize| {
            let (i, d) = (i as f32, d as f32);
            if corners { if d > 1.0 { 2.0 * i / (d - 1.0) - 1.0 } else { 0.0 } } else { (2.0 * i + 1.0) / d - 1.0 }
        };
        let mut out = Vec::new();
        for theta in theta.chunks(n * (n + 1)) {
            each(inner, |at| {
                for row in theta.chunks(n + 1) {
                    // Coordinates run from the last axis to the first.
                    let sum: f32 = (0..n).map(|j| row[j] * along(at[n - 1 - j], inner[n - 1 - j])).sum();
                    out.push(sum + row[n]);
                }
            });
        }
        let shape: Vec<usize> = std::iter::once(size[0]).chain(inner.iter().copied()).chain([n]).collect();
        Ok(tensor1(&out).into_shape(&shape)?.cast_to_dt(v[0].datum_type())?.into_owned())
    };
    Own::new("AffineGrid", shape, value).wanting([1]).built()
}

/// The last two axes exchanged, for products of transposed operands of any rank.
#[derive(Debug, Clone)]
struct SwapLast;

pub(super) fn swap_last(_: &ParsingContext<'_>, _: &NodeProto) -> Built {
    Ok((expand(SwapLast), vec![]))
}

impl Expansion for SwapLast {
    fn name(&self) -> StaticName {
        "SwapLast".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(&'s self, s: &mut Solver<'r>, inputs: &'p [TensorProxy], outputs: &'p [TensorProxy]) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        s.given(&inputs[0].shape, move |s, mut shape| {
            ensure!(shape.len() >= 2, "a matrix of rank {}", shape.len());
            let last = shape.len() - 1;
            shape.swap(last - 1, last);
            s.equals(&outputs[0].shape, shape)
        })
    }

    fn wire(&self, name: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let rank = model.outlet_fact(inputs[0])?.rank();
        model.wire_node(name, AxisOp::Move(rank - 2, rank - 1), inputs)
    }
}

/// ConvTranspose whose output shape is given, from which its padding follows.
#[derive(Debug, Clone)]
struct ConvTransposeTo {
    node: NodeProto,
    output: Vec<i64>,
}

pub(super) fn conv_transpose(ctx: &ParsingContext<'_>, node: &NodeProto) -> Built {
    match node.integers("output_shape") {
        Some(output) if !output.is_empty() => Ok((expand(ConvTransposeTo { node: node.clone(), output: output.to_vec() }), vec![])),
        _ => TRACT.op_register.0["ConvTranspose"](ctx, node),
    }
}

impl Expansion for ConvTransposeTo {
    fn name(&self) -> StaticName {
        "ConvTranspose".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(&'s self, s: &mut Solver<'r>, inputs: &'p [TensorProxy], outputs: &'p [TensorProxy]) -> InferenceResult {
        s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        let group = self.node.integer("group").unwrap_or(1);
        s.given_2(&inputs[0].shape, &inputs[1].shape, move |s, x, w| {
            ensure!(x.len() >= 3 && w.len() == x.len(), "ConvTranspose of a value of rank {}", x.len());
            let given = &self.output[self.output.len().saturating_sub(x.len() - 2)..];
            let mut shape: TVec<TDim> = tvec![x[0].clone(), w[1].clone() * group];
            shape.extend(given.iter().map(|d| d.to_dim()));
            s.equals(&outputs[0].shape, shape)
        })
    }

    fn wire(&self, name: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let concrete = |m: &TypedModel, i: usize| {
            Ok(m.outlet_fact(inputs[i])?.shape.as_concrete().context("unknown shape")?.to_vec()) as TractResult<Vec<usize>>
        };
        let (x, w) = (concrete(model, 0)?, concrete(model, 1)?);
        let n = x.len() - 2;
        let list = |name: &str, default: i64| self.node.integers(name).map_or_else(|| vec![default; n], <[i64]>::to_vec);
        let (strides, dilations, mut adjust) = (list("strides", 1), list("dilations", 1), list("output_padding", 0));
        ensure!(
            [strides.len(), dilations.len(), adjust.len()] == [n; 3] && self.output.len() >= n,
            "the attributes of ConvTranspose differ in length"
        );
        let upper = self.node.text("auto_pad") == Some("SAME_UPPER");
        let mut pads = vec![0; 2 * n];
        for axis in 0..n {
            let wanted = self.output[self.output.len() - n + axis];
            let field = (w[axis + 2] as i64 - 1) * dilations[axis] + 1;
            let full = (x[axis + 2] as i64 - 1) * strides[axis] + adjust[axis] + field;
            let extra = full - wanted;
            if extra < 0 {
                adjust[axis] -= extra;
                continue;
            }
            let (small, large) = (extra / 2, extra - extra / 2);
            (pads[axis], pads[axis + n]) = if upper { (small, large) } else { (large, small) };
        }
        let mut node = self.node.clone();
        node.attribute.retain(|a| !matches!(a.name.as_str(), "output_shape" | "auto_pad" | "pads" | "output_padding"));
        let set = |name: &str, ints: Vec<i64>| tract_onnx::pb::AttributeProto { name: name.into(), r#type: 7, ints, ..Default::default() };
        node.attribute.extend([set("pads", pads), set("output_padding", adjust)]);
        let empty = tract_onnx::pb::ModelProto::default();
        let ctx = ParsingContext {
            onnx_operator_set_version: 11,
            framework: &TRACT,
            model: &empty,
            parent_graphs: vec![],
            model_dir: None,
            template: InferenceModel::default(),
        };
        let (op, _) = TRACT.op_register.0["ConvTranspose"](&ctx, &node)?;
        let op = (*op).as_op().downcast_ref::<Box<dyn Expansion>>().context("ConvTranspose is no expansion")?;
        op.wire(name, model, inputs)
    }
}

/// tract folds a convolution into the subtraction that follows it, and forgets its sign where it is what is subtracted.
#[derive(Debug, Clone)]
struct Sub;

pub(super) fn sub(_: &ParsingContext<'_>, _: &NodeProto) -> Built {
    Ok((expand(Sub), vec![]))
}

impl Expansion for Sub {
    fn name(&self) -> StaticName {
        "Sub".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(&'s self, s: &mut Solver<'r>, inputs: &'p [TensorProxy], outputs: &'p [TensorProxy]) -> InferenceResult {
        let common = |a: DatumType, b: DatumType| a.common_super_type(b).with_context(|| format!("Sub of {a:?} and {b:?}"));
        rules(s, inputs, outputs, common)
    }

    fn wire(&self, name: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let facts = [model.outlet_fact(inputs[0])?, model.outlet_fact(inputs[1])?];
        let common = facts[0].datum_type.common_super_type(facts[1].datum_type).context("no common type")?;
        let negate = common.is_float() && facts[0].konst.is_some() && facts[1].konst.is_none();
        let wires = wire_rank_broadcast(name, model, inputs)?;
        let wires = wire_cast(name, model, &wires, common)?;
        if !negate {
            return model.wire_node(name, math::sub(), &wires);
        }
        let negative = model.wire_node(format!("{name}.negative"), math::neg(), &[wires[1]])?[0];
        model.wire_node(name, math::add(), &[wires[0], negative])
    }
}
