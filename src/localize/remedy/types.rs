//! Element types that do not fit: one input half, the other single precision.

use super::edits::{behind, fresh_name, replace};
use super::subgraph::cast_node;
use super::{Bench, Remedy};
use crate::localize::Kind;
use crate::model::onnx::tensor_proto::DataType;
use crate::model::{Budget, Edit, Shapes, ValueId, infer};
use crate::run::OpId;

/// Candidates for nodes whose float inputs are of different types.
pub(super) fn types(bench: &Bench<'_>) -> Vec<Remedy> {
    let shapes = inferred(bench);
    bench.ops.iter().flat_map(|t| of(bench, *t, &shapes)).collect()
}

/// The element types of all values as the specification has them; what is run may be wider.
fn inferred(bench: &Bench<'_>) -> Shapes {
    let given = |v: &ValueId| bench.a.fed(*v).map(|x| (x[0].dtype(), x[0].shape().to_vec()));
    let inputs: Option<Vec<(DataType, Vec<usize>)>> = bench.target().inputs().iter().map(given).collect();
    infer(bench.target().model(), &inputs.unwrap_or_default(), Budget::default())
}

fn of(bench: &Bench<'_>, t: OpId, shapes: &Shapes) -> Vec<Remedy> {
    let op = bench.target().op(t);
    let inputs: Vec<(usize, ValueId, DataType)> =
        op.inputs.iter().enumerate().filter_map(|(i, v)| Some((i, (*v)?, shapes.get((*v)?)?.0))).collect();
    let float = |d: &DataType| matches!(d, DataType::Float | DataType::Float16 | DataType::Double);
    let mut kinds: Vec<DataType> = inputs.iter().map(|(_, _, d)| *d).filter(float).collect();
    kinds.sort_by_key(|d| *d as i32);
    kinds.dedup();
    if kinds.len() < 2 || matches!(op.op_type(), "Cast" | "CastLike" | "QuantizeLinear" | "DequantizeLinear" | "Resize") {
        return Vec::new();
    }
    // The type of the data decides before that of the weights.
    let data = inputs.iter().find(|(_, v, _)| bench.target().constant(*v).is_none()).map(|(_, _, d)| *d);
    kinds.sort_by_key(|d| Some(*d) != data);
    kinds.into_iter().filter_map(|wanted| all_as(bench, t, &inputs, wanted)).collect()
}

fn all_as(bench: &Bench<'_>, t: OpId, inputs: &[(usize, ValueId, DataType)], wanted: DataType) -> Option<Remedy> {
    let op = bench.target().op(t);
    let key = bench.key(t);
    let mut edits = Vec::new();
    let mut tensors = Vec::new();
    for (slot, v, now) in
        inputs.iter().filter(|(_, _, d)| *d != wanted && matches!(d, DataType::Float | DataType::Float16 | DataType::Double))
    {
        let _ = now;
        if let Some(constant) = bench.target().constant(*v) {
            // A constant of another type is another constant, whoever else reads this one.
            let fresh = fresh_name(bench, &format!("{}_cast", bench.name(*v)));
            match replace(bench, t, *slot, constant) {
                Some(Edit::ReplaceInitializer { tensor }) => {
                    edits.push(Edit::ReplaceInitializer { tensor: constant.cast(wanted)?.to_proto(tensor.name()) })
                }
                _ => {
                    edits.push(Edit::AddInitializer { tensor: constant.cast(wanted)?.to_proto(&fresh) });
                    edits.push(Edit::RewireInput { node: key.clone(), slot: *slot, value: fresh });
                }
            }
            tensors.extend(behind(bench, *v));
        } else {
            let name = fresh_name(bench, &format!("{}_cast", bench.name(*v)));
            let node = cast_node(bench.name(*v), &name, wanted);
            edits.push(Edit::InsertNode { before: Some(key.clone()), node });
            edits.push(Edit::RewireInput { node: key.clone(), slot: *slot, value: name });
        }
    }
    let words = format!("inputs of {} are of different element types; all are to be {}", op.op_type(), wanted.as_str_name().to_lowercase());
    let mut remedy = Remedy::new(Kind::CgUnsupported, Edit::All(edits), words).at(t).or(&[Kind::IdDtype]);
    remedy.tensors = tensors;
    Some(remedy)
}
