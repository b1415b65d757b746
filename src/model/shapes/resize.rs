//! Operators that enlarge: Resize, Upsample, Pad, Tile, Expand, Range, ConstantOfShape.

use super::{Answer, Call, Fact, Fault, axes, broadcast, fault, need, tensor_fact};
use crate::model::NodeExt;
use crate::model::onnx::tensor_proto::DataType;
use crate::model::types::{KNOWN_UP_TO, Known, element_count};

impl Call<'_> {
    pub(super) fn resize(&self) -> Answer {
        let x = need!(self.fact(0));
        let old = self.node.op_type() == "Upsample" || self.opset < 11;
        let (scales, sizes) = if old { (1, usize::MAX) } else { (2, 3) };
        let picked = match self.node.ints("axes") {
            Some(list) => axes("axes", list, x.rank())?,
            None => (0..x.rank()).collect(),
        };
        let mut out = x.shape.clone();
        if self.has(sizes) {
            let sizes = need!(self.ints_of(sizes));
            if sizes.len() != picked.len() {
                return fault!("sizes", "{sizes:?} for data {:?}", x.shape);
            }
            let wanted: Vec<usize> = sizes.iter().map(|s| usize::try_from(*s).unwrap_or(0)).collect();
            if wanted.contains(&0) {
                return fault!("sizes", "{sizes:?}; sizes of at least 1 are needed");
            }
            let ratio = |i: usize| wanted[i] as f64 / x.shape[picked[i]].max(1) as f64;
            let keep = match self.node.string("keep_aspect_ratio_policy") {
                Some("not_larger") => (0..wanted.len()).map(ratio).reduce(f64::min),
                Some("not_smaller") => (0..wanted.len()).map(ratio).reduce(f64::max),
                _ => None,
            };
            for (i, a) in picked.iter().enumerate() {
                out[*a] = keep.map_or(wanted[i], |k| (x.shape[*a] as f64 * k).round() as usize);
            }
        } else {
            let floats = match self.node.attr("scales") {
                Some(attribute) => attribute.floats.iter().map(|f| f64::from(*f)).collect(),
                None => need!(self.known(scales)).floats(),
            };
            if floats.len() != picked.len() || floats.iter().any(|s| !s.is_finite() || *s <= 0.0) {
                return fault!("scales", "{floats:?} for data {:?}", x.shape);
            }
            for (scale, a) in floats.iter().zip(&picked) {
                // In single precision, as ONNX and the runtimes have it: 10 * 0.7 is 7.
                out[*a] = (x.shape[*a] as f32 * *scale as f32).floor() as usize;
            }
        }
        Ok(vec![Some(Fact::new(x.dtype, out))])
    }

    pub(super) fn pad(&self) -> Answer {
        let x = need!(self.fact(0));
        let pads = match self.node.ints("pads").or(self.node.ints("paddings")) {
            Some(pads) => pads,
            None => need!(self.ints_of(1)),
        };
        let picked = match self.has(3) {
            true => axes("axes", need!(self.ints_of(3)), x.rank())?,
            false => (0..x.rank()).collect(),
        };
        if pads.len() != 2 * picked.len() {
            return fault!("pads", "{} numbers for data {:?}", pads.len(), x.shape);
        }
        let mut out = x.shape.clone();
        for (i, a) in picked.iter().enumerate() {
            let sum =
                i64::try_from(x.shape[*a]).ok().and_then(|s| s.checked_add(pads[i])).and_then(|s| s.checked_add(pads[i + picked.len()]));
            out[*a] = match sum.and_then(|s| usize::try_from(s).ok()) {
                Some(size) => size,
                None => return fault!("pads", "{pads:?} for data {:?}", x.shape),
            };
            if self.node.string("mode") == Some("reflect")
                && [pads[i], pads[i + picked.len()]].iter().any(|p| *p >= x.shape[*a].max(1) as i64)
            {
                return fault!("pads", "a reflection of {pads:?} needs more than the data {:?} have", x.shape);
            }
        }
        Ok(vec![Some(Fact::new(x.dtype, out))])
    }

    pub(super) fn tile(&self) -> Answer {
        let (x, repeats) = (need!(self.fact(0)), need!(self.ints_of(1)));
        if repeats.len() != x.rank() {
            return fault!("repeats", "{repeats:?} for data {:?}", x.shape);
        }
        let out: Option<Vec<usize>> = x.shape.iter().zip(repeats).map(|(d, r)| d.checked_mul(usize::try_from(*r).ok()?)).collect();
        let Some(out) = out else { return fault!("repeats", "{repeats:?} for data {:?}", x.shape) };
        let known = match (&x.known, out.len()) {
            (Some(k), 1) if out[0] <= KNOWN_UP_TO && k.len() > 0 => k.pick((0..out[0]).map(|i| i % k.len())),
            _ => None,
        };
        Ok(vec![Some(Fact::new(x.dtype, out).with(known))])
    }

    pub(super) fn expand(&self) -> Answer {
        let (x, shape) = (need!(self.fact(0)), need!(self.ints_of(1)));
        let shape = sizes("shape", shape)?;
        let out = broadcast(&x.shape, &shape)?;
        let known = match (&x.known, element_count(&out)) {
            (Some(k), Some(n)) if k.len() == 1 && n <= KNOWN_UP_TO => k.pick((0..n).map(|_| 0)),
            (Some(k), Some(n)) if k.len() == n => Some(k.clone()),
            _ => None,
        };
        Ok(vec![Some(Fact::new(x.dtype, out).with(known))])
    }

    pub(super) fn constant_of_shape(&self) -> Answer {
        let shape = sizes("input", need!(self.ints_of(0)))?;
        let fill = self.node.tensor("value").and_then(|t| tensor_fact(self.model, t));
        let (dtype, value) = match fill {
            Some(f) => (f.dtype, f.known),
            None => (DataType::Float, Some(Known::Floats(vec![0.0]))),
        };
        let count = element_count(&shape).filter(|n| *n <= KNOWN_UP_TO);
        let known = value.zip(count).and_then(|(v, n)| v.pick((0..n).map(|_| 0)));
        Ok(vec![Some(Fact::new(dtype, shape).with(known))])
    }

    pub(super) fn range(&self) -> Answer {
        let dtype = need!(self.fact(0)).dtype;
        let (start, limit, delta) = (need!(self.known(0)), need!(self.known(1)), need!(self.known(2)));
        let number = |k: &Known| k.floats().first().copied();
        let (Some(s), Some(l), Some(d)) = (number(start), number(limit), number(delta)) else {
            return fault!("", "start, limit and delta must be scalars");
        };
        if d == 0.0 || !(s.is_finite() && l.is_finite() && d.is_finite()) {
            return fault!("delta", "a range from {s} to {l} in steps of {d}");
        }
        let count = ((l - s) / d).ceil().max(0.0) as usize;
        let known = match (start.ints(), delta.ints()) {
            (Some(s), Some(d)) if count <= KNOWN_UP_TO => {
                Some(Known::Ints((0..count as i64).map(|i| s[0].wrapping_add(d[0].wrapping_mul(i))).collect()))
            }
            _ => None,
        };
        Ok(vec![Some(Fact::new(dtype, [count]).with(known))])
    }
}

/// Dimensions that an input gives.
pub(super) fn sizes(field: &str, list: &[i64]) -> Result<Vec<usize>, Fault> {
    let out: Option<Vec<usize>> = list.iter().map(|d| usize::try_from(*d).ok()).collect();
    out.map_or_else(|| fault!(field, "{list:?} has a negative dimension"), Ok)
}
