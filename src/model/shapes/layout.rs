//! Operators that move elements without computing.

use super::known::{strides, walk};
use super::resize::sizes;
use super::{Answer, Call, Fact, axes, axis, broadcast, fault, need};
use crate::model::NodeExt;
use crate::model::onnx::tensor_proto::DataType;
use crate::model::types::{Known, element_count};

impl Call<'_> {
    pub(super) fn layout(&self) -> Option<Answer> {
        Some(match self.node.op_type() {
            "Reshape" => self.reshape(),
            "Flatten" => self.flatten(),
            "Transpose" => self.transpose(),
            "Concat" => self.concat(),
            "Split" => self.split(),
            "Slice" => self.slice(),
            "Squeeze" => self.squeeze(),
            "Unsqueeze" => self.unsqueeze(),
            "Gather" => self.gather(),
            "GatherElements" => self.gather_elements(),
            "GatherND" => self.gather_nd(),
            "DepthToSpace" | "SpaceToDepth" => self.depth(),
            "Shape" => self.shape(),
            "Size" => self.fact(0).map_or(Ok(Vec::new()), |x| {
                let count = element_count(&x.shape).map(|n| Known::Ints(vec![n as i64]));
                Ok(vec![Some(Fact::new(DataType::Int64, []).with(count))])
            }),
            "Resize" | "Upsample" => self.resize(),
            "Pad" => self.pad(),
            "Tile" if self.opset >= 6 => self.tile(),
            "Expand" => self.expand(),
            "ConstantOfShape" => self.constant_of_shape(),
            "Range" => self.range(),
            _ => return None,
        })
    }

    fn reshape(&self) -> Answer {
        let x = need!(self.fact(0));
        let wanted = match self.node.ints("shape") {
            Some(shape) if !self.has(1) => shape,
            _ => need!(self.ints_of(1)),
        };
        let copies = self.int("allowzero", 0) == 0;
        let mut out = Vec::with_capacity(wanted.len());
        let mut open = None;
        for (i, d) in wanted.iter().enumerate() {
            out.push(match d {
                0 if copies => match x.shape.get(i) {
                    Some(d) => *d,
                    None => return fault!("shape", "{wanted:?} copies dimension {i} of data {:?}", x.shape),
                },
                -1 if open.is_none() => {
                    open = Some(i);
                    1
                }
                d => match usize::try_from(*d) {
                    Ok(d) => d,
                    Err(_) => return fault!("shape", "{wanted:?} has more than one -1, or a negative dimension"),
                },
            });
        }
        let have = element_count(&x.shape);
        if let (Some(open), Some(have), Some(rest)) = (open, have, element_count(&out)) {
            if rest == 0 || have % rest != 0 {
                return fault!("shape", "data {:?} cannot be reshaped to {wanted:?}", x.shape);
            }
            out[open] = have / rest;
        }
        if element_count(&out) != have {
            return fault!("shape", "data {:?} have {} elements, {wanted:?} has another number", x.shape, have.unwrap_or(usize::MAX));
        }
        Ok(vec![Some(Fact::new(x.dtype, out).with(x.known.clone()))])
    }

    fn flatten(&self) -> Answer {
        let x = need!(self.fact(0));
        let at = match self.int("axis", 1) {
            a if a == x.rank() as i64 => x.rank(),
            a => axis("axis", a, x.rank())?,
        };
        let part = |dims: &[usize]| element_count(dims).unwrap_or(usize::MAX);
        Ok(vec![Some(Fact::new(x.dtype, [part(&x.shape[..at]), part(&x.shape[at..])]).with(x.known.clone()))])
    }

    fn transpose(&self) -> Answer {
        let x = need!(self.fact(0));
        let perm = match self.node.ints("perm") {
            Some(perm) => axes("perm", perm, x.rank())?,
            None => (0..x.rank()).rev().collect(),
        };
        if perm.len() != x.rank() {
            return fault!("perm", "{perm:?} for data {:?}", x.shape);
        }
        let out: Vec<usize> = perm.iter().map(|p| x.shape[*p]).collect();
        let known = x.known.as_ref().and_then(|k| {
            let own = strides(&x.shape);
            k.pick(walk(0, &out, &perm.iter().map(|p| own[*p]).collect::<Vec<_>>())?.into_iter())
        });
        Ok(vec![Some(Fact::new(x.dtype, out).with(known))])
    }

    fn concat(&self) -> Answer {
        let all: Option<Vec<&Fact>> = (0..self.inputs.len()).map(|i| self.fact(i)).collect();
        let all = need!(all);
        let Some(first) = all.first() else { return fault!("inputs", "there are none") };
        let at = axis("axis", self.int("axis", 1), first.rank())?;
        let mut out = first.shape.clone();
        for (i, other) in all.iter().enumerate().skip(1) {
            let fits = other.rank() == out.len() && (0..out.len()).all(|d| d == at || other.shape[d] == out[d]);
            if !fits {
                return fault!(format!("input {i}"), "{:?} cannot be joined to {:?} along axis {at}", other.shape, first.shape);
            }
            out[at] = out[at].saturating_add(other.shape[at]);
        }
        let parts: Option<Vec<&Known>> = all.iter().map(|f| f.known.as_ref().filter(|_| f.rank() == 1)).collect();
        Ok(vec![Some(Fact::new(first.dtype, out).with(parts.map(|p| Known::joined(&p))))])
    }

    fn split(&self) -> Answer {
        let x = need!(self.fact(0));
        let at = axis("axis", self.int("axis", 0), x.rank())?;
        let Ok(given) = self.ints_or_input("split", 1) else { return Ok(Vec::new()) };
        let parts = match given {
            Some(parts) => sizes("split", &parts)?,
            None => {
                let count = self.node.output.len().max(1);
                let size = x.shape[at].div_ceil(count);
                if self.node.int("num_outputs").is_none() && x.shape[at] % count != 0 {
                    return fault!("split", "{} cannot be cut into {count} equal parts", x.shape[at]);
                }
                (0..count).map(|i| size.min(x.shape[at].saturating_sub(i.saturating_mul(size)))).collect()
            }
        };
        let sum = parts.iter().try_fold(0usize, |n, p| n.checked_add(*p));
        if parts.len() != self.node.output.len() || sum != Some(x.shape[at]) {
            return fault!("split", "{parts:?} for {} outputs of axis {at} of {:?}", self.node.output.len(), x.shape);
        }
        let mut start = 0;
        let pieces = parts.iter().map(|p| {
            let mut shape = x.shape.clone();
            shape[at] = *p;
            let known = x.known.as_ref().filter(|_| x.rank() == 1).and_then(|k| k.pick(start..start + p));
            start += p;
            Some(Fact::new(x.dtype, shape).with(known))
        });
        Ok(pieces.collect())
    }

    fn slice(&self) -> Answer {
        let x = need!(self.fact(0));
        let (starts, ends) = match (self.node.ints("starts"), self.node.ints("ends")) {
            (Some(s), Some(e)) => (s, e),
            _ => (need!(self.ints_of(1)), need!(self.ints_of(2))),
        };
        let Ok(list) = self.ints_or_input("axes", 3) else { return Ok(Vec::new()) };
        let picked = match list {
            Some(list) => axes("axes", &list, x.rank())?,
            None => (0..starts.len()).collect(),
        };
        let steps = match self.has(4) {
            true => need!(self.ints_of(4)).to_vec(),
            false => vec![1; starts.len()],
        };
        if [ends.len(), picked.len(), steps.len()].iter().any(|n| *n != starts.len()) || starts.len() > x.rank() {
            return fault!("starts", "{} starts, {} ends, {} axes, {} steps", starts.len(), ends.len(), picked.len(), steps.len());
        }
        let mut out = x.shape.clone();
        let (mut first, mut pace) = (0isize, strides(&x.shape));
        for (i, a) in picked.iter().enumerate() {
            let size = x.shape[*a] as i128;
            let step = i128::from(steps[i]);
            let from_front = |v: i64| if v < 0 { i128::from(v) + size } else { i128::from(v) };
            let (start, end) = match step {
                0 => return fault!("steps", "a step of 0"),
                1.. => (from_front(starts[i]).clamp(0, size), from_front(ends[i]).clamp(0, size)),
                _ => (from_front(starts[i]).clamp(0, (size - 1).max(0)), from_front(ends[i]).clamp(-1, size)),
            };
            let span = if step > 0 { end - start } else { start - end };
            let count = if span > 0 { (span + step.abs() - 1) / step.abs() } else { 0 } as usize;
            out[*a] = count.min(x.shape[*a]);
            first = first.saturating_add(pace[*a].saturating_mul(start as isize));
            pace[*a] = pace[*a].saturating_mul(steps[i] as isize);
        }
        let known = x.known.as_ref().and_then(|k| k.pick(walk(first, &out, &pace)?.into_iter()));
        Ok(vec![Some(Fact::new(x.dtype, out).with(known))])
    }

    fn squeeze(&self) -> Answer {
        let x = need!(self.fact(0));
        let Ok(list) = self.ints_or_input("axes", 1) else { return Ok(Vec::new()) };
        let gone = match list {
            Some(list) => axes("axes", &list, x.rank())?,
            None => (0..x.rank()).filter(|i| x.shape[*i] == 1).collect(),
        };
        if let Some(a) = gone.iter().find(|a| x.shape[**a] != 1) {
            return fault!("axes", "axis {a} of {:?} is not 1", x.shape);
        }
        let out: Vec<_> = (0..x.rank()).filter(|i| !gone.contains(i)).map(|i| x.shape[i]).collect();
        Ok(vec![Some(Fact::new(x.dtype, out).with(x.known.clone()))])
    }

    fn unsqueeze(&self) -> Answer {
        let x = need!(self.fact(0));
        let Ok(list) = self.ints_or_input("axes", 1) else { return Ok(Vec::new()) };
        let Some(list) = list else { return fault!("axes", "are missing") };
        let rank = x.rank().saturating_add(list.len());
        let new = axes("axes", &list, rank)?;
        let mut old = x.shape.iter();
        let out: Vec<_> = (0..rank).map(|i| if new.contains(&i) { 1 } else { old.next().copied().unwrap_or(1) }).collect();
        Ok(vec![Some(Fact::new(x.dtype, out).with(x.known.clone()))])
    }

    fn gather(&self) -> Answer {
        let (x, at) = (need!(self.fact(0)), need!(self.fact(1)));
        let a = axis("axis", self.int("axis", 0), x.rank())?;
        let mut known = None;
        if let Some(indices) = at.known.as_ref().and_then(Known::ints) {
            let size = x.shape[a] as i64;
            if let Some(bad) = indices.iter().find(|i| **i >= size || **i < -size) {
                return fault!("indices", "index {bad} of axis {a}, which has {size}");
            }
            known = x
                .known
                .as_ref()
                .filter(|_| x.rank() == 1)
                .and_then(|k| k.pick(indices.iter().map(|i| if *i < 0 { i + size } else { *i } as usize)));
        }
        let out = [&x.shape[..a], &at.shape, &x.shape[a + 1..]].concat();
        Ok(vec![Some(Fact::new(x.dtype, out).with(known))])
    }

    fn gather_elements(&self) -> Answer {
        let (x, at) = (need!(self.fact(0)), need!(self.fact(1)));
        axis("axis", self.int("axis", 0), x.rank())?;
        if at.rank() != x.rank() {
            return fault!("indices", "{:?} for data {:?}", at.shape, x.shape);
        }
        Ok(vec![Some(Fact::new(x.dtype, at.shape.clone()))])
    }

    fn gather_nd(&self) -> Answer {
        let (x, at) = (need!(self.fact(0)), need!(self.fact(1)));
        let batch = usize::try_from(self.int("batch_dims", 0)).unwrap_or(usize::MAX);
        let Some((depth, outer)) = at.shape.split_last() else { return fault!("indices", "is a scalar") };
        match batch.checked_add(*depth).and_then(|n| x.shape.get(n..)) {
            Some(rest) if batch < at.rank() => Ok(vec![Some(Fact::new(x.dtype, [outer, rest].concat()))]),
            _ => fault!("indices", "{:?} for data {:?}", at.shape, x.shape),
        }
    }

    fn depth(&self) -> Answer {
        let x = need!(self.fact(0));
        let block = usize::try_from(self.int("blocksize", 0)).unwrap_or(0);
        let [n, c, h, w] = x.shape[..] else { return fault!("input", "{:?} is not N, C, H, W", x.shape) };
        let square = block.checked_mul(block).filter(|b| *b > 0);
        let out = match (self.node.op_type(), square) {
            ("DepthToSpace", Some(b)) if c % b == 0 => [Some(n), Some(c / b), h.checked_mul(block), w.checked_mul(block)],
            ("SpaceToDepth", Some(b)) if h % block == 0 && w % block == 0 => [Some(n), c.checked_mul(b), Some(h / block), Some(w / block)],
            _ => return fault!("blocksize", "{block} for data {:?}", x.shape),
        };
        let out: Option<Vec<usize>> = out.into_iter().collect();
        Ok(vec![out.map(|out| Fact::new(x.dtype, out))])
    }

    fn shape(&self) -> Answer {
        let x = need!(self.fact(0));
        let clamp = |v: i64| (if v < 0 { v.saturating_add(x.rank() as i64) } else { v }).clamp(0, x.rank() as i64) as usize;
        let (start, end) = (clamp(self.int("start", 0)), clamp(self.int("end", i64::MAX)));
        let dims: Vec<i64> = x.shape.get(start..end.max(start)).unwrap_or_default().iter().map(|d| *d as i64).collect();
        Ok(vec![Some(Fact::new(DataType::Int64, [dims.len()]).with(Some(Known::Ints(dims))))])
    }

    /// The shape that some inputs have together; the element type is that of the first.
    pub(super) fn broadcast_of(&self, slots: &[usize], dtype: Option<DataType>) -> Answer {
        let facts: Option<Vec<&Fact>> = slots.iter().map(|s| self.fact(*s)).collect();
        let facts = need!(facts);
        let mut shape = Vec::new();
        for fact in &facts {
            shape = broadcast(&shape, &fact.shape)?;
        }
        Ok(vec![facts.first().map(|f| Fact::new(dtype.unwrap_or(f.dtype), shape))])
    }
}
