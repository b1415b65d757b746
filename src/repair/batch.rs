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
