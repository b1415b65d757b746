//! Sequences of tensors of one shape, each as one tensor with the elements along a new first axis: what `torch.split` and `torch.stack`
//! become where an exporter leaves them.

use super::attr::Attributes;
use super::own::{Known, Own};
use super::shape::{axis_of, integers};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// Parts of one value along an axis.
pub(super) fn split_to_sequence(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let axis = node.integer("axis").unwrap_or(0);
    let (given, kept) = (node.input.len() > 1, node.integer("keepdims").unwrap_or(1) != 0);
    // The number of parts and each one's extent.
    let parts = move |shape: &[usize], split: Option<&Tensor>| {
        let axis = axis_of(axis, shape.len())?;
        let extent = shape[axis];
        let each = match split.map(integers).transpose()?.as_deref() {
            None => 1,
            Some([]) => bail!("no sizes of parts are given"),
            Some(sizes @ [first, ..]) => {
                ensure!(sizes.iter().all(|s| s == first), "parts of different sizes, {sizes:?}, cannot be run as one");
                usize::try_from(*first)?
            }
        };
        ensure!(each > 0 && extent.is_multiple_of(each), "{extent} elements do not make parts of {each}");
        Ok((axis, extent / each, each))
    };
    let shape = move |k: &[Known]| {
        let (axis, count, each) = parts(&k[0].shape, k.get(1).and_then(|k| k.value.as_deref()))?;
        let mut shape = k[0].shape.clone();
        shape[axis] = each;
        if !given && !kept {
            shape.remove(axis);
        }
        shape.insert(0, count);
        Ok((k[0].dtype, shape))
    };
    let value = move |v: &[TValue]| {
        let (axis, count, each) = parts(v[0].shape(), v.get(1).map(|t| &**t))?;
        let mut apart: TVec<usize> = v[0].shape().into();
        apart[axis] = each;
        apart.insert(axis, count);
        let mut order: Vec<usize> = (0..apart.len()).filter(|a| *a != axis).collect();
        order.insert(0, axis);
        let mut out = (*v[0]).clone().into_shape(&apart)?.permute_axes(&order)?;
        if !given && !kept {
            out.remove_axis(axis + 1)?;
        }
        Ok(out)
    };
    Own::new("SplitToSequence", shape, value).wanting(given.then_some(1)).built()
}

/// One element.
pub(super) fn sequence_at(_: &ParsingContext<'_>, _: &NodeProto) -> Built {
    let shape = |k: &[Known]| {
        ensure!(!k[0].shape.is_empty(), "there is no sequence");
        Ok((k[0].dtype, k[0].shape[1..].into()))
    };
    let value = |v: &[TValue]| {
        let at = *integers(&v[1])?.first().context("a position")?;
        let at = axis_of(at, v[0].shape()[0])?;
        let mut out = v[0].slice(0, at, at + 1)?;
        out.remove_axis(0)?;
        Ok(out)
    };
    Own::new("SequenceAt", shape, value).built()
}

/// A sequence of the inputs.
pub(super) fn sequence_construct(_: &ParsingContext<'_>, _: &NodeProto) -> Built {
    let shape = |k: &[Known]| {
        let first = &k.first().context("an empty sequence")?.shape;
        ensure!(k.iter().all(|k| k.shape == *first), "elements of different shapes cannot be run as one");
        let mut shape = first.clone();
        shape.insert(0, k.len());
        Ok((k[0].dtype, shape))
    };
    let value = |v: &[TValue]| {
        let mut rows: Vec<Tensor> = v.iter().map(|t| (**t).clone()).collect();
        rows.iter_mut().try_for_each(|t| t.insert_axis(0))?;
        Tensor::stack_tensors(0, &rows)
    };
    Own::new("SequenceConstruct", shape, value).built()
}

/// The elements one after the other along an axis, an old one or a new one.
pub(super) fn concat_from_sequence(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let (axis, new) = (node.integer("axis").context("ConcatFromSequence has no axis")?, node.integer("new_axis").unwrap_or(0) != 0);
    // Where the elements' axis goes, and the shape that then is the result's.
    let laid = move |shape: &[usize]| {
        ensure!(!shape.is_empty(), "there is no sequence");
        let axis = axis_of(axis, shape.len() - usize::from(!new))?;
        let mut out: TVec<usize> = shape[1..].into();
        match new {
            true => out.insert(axis, shape[0]),
            false => out[axis] *= shape[0],
        }
        Ok((axis, out))
    };
    let value = move |v: &[TValue]| {
        let (axis, shape) = laid(v[0].shape())?;
        let mut order: Vec<usize> = (1..v[0].rank()).collect();
        order.insert(axis, 0);
        (*v[0]).clone().permute_axes(&order)?.into_shape(&shape)
    };
    Own::new("ConcatFromSequence", move |k| Ok((k[0].dtype, laid(&k[0].shape)?.1)), value).built()
}

/// How many elements there are.
pub(super) fn sequence_length(_: &ParsingContext<'_>, _: &NodeProto) -> Built {
    let value = |v: &[TValue]| Ok(tensor0(v[0].shape().first().copied().context("there is no sequence")? as i64));
    Own::new("SequenceLength", |_| Ok((i64::datum_type(), tvec![])), value).built()
}
