//! Whether a target treats each image of a batch as it treats it alone. Everything else here runs one image at a time, and a Reshape with a
//! number in the batch's place passes that.

use crate::align::relative_error;
use crate::dataset::{Feed, ImageSet};
use crate::run::{Network, Value};

/// Relative error of an image's scores in a batch that is no rounding.
const OFF: f32 = 1e-2;

/// Whether two images at once get the scores that each gets alone. `None` where the target does not say that it takes several at once, or does
/// not run.
pub(super) fn takes_several(target: &Network, feed: &Feed, slot: usize, images: &ImageSet) -> Option<bool> {
    let open = feed.inputs.iter().all(|d| d.dims.as_ref().is_some_and(|d| d.first().is_some_and(Option::is_none)));
    if !open {
        return None;
    }
    let mut pair = (0..images.len()).filter_map(|i| images.inputs(i, &[feed]).ok()?.pop());
    let (first, second) = (pair.next()?, pair.next()?);
    let both: Option<Vec<Value>> = first.iter().zip(&second).map(|(a, b)| behind(a, b)).collect();
    let output = target.outputs().get(slot).copied()?;
    let scores = |inputs: &[Value]| target.values_at(inputs, &[output].into()).remove(&output).map(|v| v.to_f32().into_owned());
    let alone = [scores(&first)?, scores(&second)?].concat();
    let Some(found) = scores(&both?) else { return Some(false) };
    Some(found.len() == alone.len() && relative_error(&found, &alone) < OFF)
}

/// Two values as a batch.
fn behind(a: &Value, b: &Value) -> Option<Value> {
    let mut shape = a.shape().to_vec();
    (a.shape() == b.shape() && shape.first() == Some(&1)).then_some(())?;
    shape[0] = 2;
    Value::from_bytes(a.dtype(), &shape, &[a.bytes(), b.bytes()].concat()).ok()
}

#[cfg(test)]
mod tests {
    use super::super::{Job, JobOptions, Proposal};
    use crate::dataset::Case;
    use crate::localize::Kind;
    use crate::model::Edit;
    use crate::model::onnx::NodeProto;
    use crate::run::Value;
    use std::path::Path;

    #[test]
    fn a_reshape_to_one_image_is_seen() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models/cases/8-mobilenet-clean-torch/case.toml");
        let mut job = Job::open(Case::open(&path).unwrap(), JobOptions::default()).unwrap();
        assert_eq!(job.takes_several(), Some(true));
        let model = job.target.model();
        let output = model.outputs().next().unwrap().name().to_string();
        let mut maker = model.node(model.node_by_output(&output).unwrap()).clone();
        maker.output[0] = "open".into();
        let reshape = NodeProto {
            op_type: Some("Reshape".into()),
            input: vec!["open".into(), "closed".into()],
            output: vec![output.clone()],
            ..NodeProto::default()
        };
        let edit = Edit::All(vec![
            Edit::AddInitializer { tensor: Value::from_i64(&[2], vec![1, 10]).to_proto("closed") },
            Edit::ReplaceNode { node: output, with: maker },
            Edit::InsertNode { before: None, node: reshape },
        ]);
        let (kind, isolated) = (Kind::CgOther, (1.0, 0.0));
        let words = String::new();
        job.take(&Proposal { suspect: 0, kind, edit, recipe: None, words, nodes: Vec::new(), safe: true, isolated }).unwrap();
        assert_eq!(job.takes_several(), Some(false));
    }
}
