//! Operators that slide a window: convolutions and pools.

use super::{Answer, Call, Fact, Fault, fault, need};
use crate::model::NodeExt;
use crate::model::onnx::tensor_proto::DataType;

impl Call<'_> {
    pub(super) fn windows(&self) -> Option<Answer> {
        Some(match self.node.op_type() {
            "Conv" => self.conv(0, 1, None),
            "ConvInteger" => self.conv(0, 1, Some(DataType::Int32)),
            "QLinearConv" => self.fact(7).map_or(Ok(Vec::new()), |y| self.conv(0, 3, Some(y.dtype))),
            "ConvTranspose" => self.conv_transpose(),
            "MaxPool" | "AveragePool" | "LpPool" => self.pool(),
            "GlobalAveragePool" | "GlobalMaxPool" | "GlobalLpPool" => self.global_pool(),
            _ => return None,
        })
    }

    /// `x` and `w` are the slots of data and weights.
    pub(super) fn conv(&self, x: usize, w: usize, dtype: Option<DataType>) -> Answer {
        let (Some(x), Some(w)) = (self.fact(x), self.fact(w)) else { return Ok(Vec::new()) };
        if x.rank() < 3 || w.rank() != x.rank() {
            return fault!("W", "weights {:?} for data {:?}", w.shape, x.shape);
        }
        let group = self.group()?;
        if w.shape[1].checked_mul(group) != Some(x.shape[1]) {
            return fault!(
                "W",
                "weights {:?} in {group} {} take {} channels, the data {:?} have {}",
                w.shape,
                if group == 1 { "group" } else { "groups" },
                w.shape[1].saturating_mul(group),
                x.shape,
                x.shape[1]
            );
        }
        if w.shape[0] % group != 0 {
            return fault!("group", "{} channels cannot be made in {group} groups", w.shape[0]);
        }
        let kernel = &w.shape[2..];
        if let Some(said) = self.node.ints("kernel_shape")
            && !said.iter().map(|k| *k as usize).eq(kernel.iter().copied())
        {
            return fault!("kernel_shape", "{said:?}, the weights have {kernel:?}");
        }
        if matches!(self.node.op_type(), "Conv" | "FusedConv")
            && let Some(b) = self.fact(2)
            && b.shape != [w.shape[0]]
        {
            return fault!("B", "bias {:?} for {} channels", b.shape, w.shape[0]);
        }
        let mut out = vec![x.shape[0], w.shape[0]];
        out.extend(self.slide(&x.shape[2..], kernel, false)?);
        self.affordable_work(&[&out, &w.shape[1..]])?;
        Ok(vec![Some(Fact::new(dtype.unwrap_or(x.dtype), out))])
    }

    fn group(&self) -> Result<usize, Fault> {
        match usize::try_from(self.int("group", 1)) {
            Ok(g) if g > 0 => Ok(g),
            _ => fault!("group", "{} groups", self.int("group", 1)),
        }
    }

    pub(super) fn pool(&self) -> Answer {
        let x = need!(self.fact(0));
        if x.rank() < 3 {
            return fault!("X", "a pool needs spatial dimensions, the data are {:?}", x.shape);
        }
        let Some(kernel) = self.node.ints("kernel_shape") else { return fault!("kernel_shape", "is missing") };
        let kernel: Vec<usize> = kernel.iter().map(|k| usize::try_from(*k).unwrap_or(0)).collect();
        if kernel.len() != x.rank() - 2 || kernel.contains(&0) {
            return fault!("kernel_shape", "{:?} for data {:?}", self.node.ints("kernel_shape").unwrap_or_default(), x.shape);
        }
        let mut out = x.shape[..2].to_vec();
        out.extend(self.slide(&x.shape[2..], &kernel, self.int("ceil_mode", 0) != 0)?);
        self.affordable_work(&[&out, &kernel])?;
        let indices = Fact::new(DataType::Int64, out.clone());
        Ok(vec![Some(Fact::new(x.dtype, out)), Some(indices)])
    }

    pub(super) fn global_pool(&self) -> Answer {
        let x = need!(self.fact(0));
        if x.rank() < 2 {
            return fault!("X", "a pool needs channels, the data are {:?}", x.shape);
        }
        let shape = x.shape.iter().enumerate().map(|(i, d)| if i < 2 { *d } else { 1 });
        Ok(vec![Some(Fact::new(x.dtype, shape.collect::<Vec<_>>()))])
    }

    /// One positive number an axis.
    fn steps(&self, name: &str, rank: usize) -> Result<Vec<usize>, Fault> {
        let Some(list) = self.node.ints(name) else { return Ok(vec![1; rank]) };
        let out: Vec<usize> = list.iter().map(|s| usize::try_from(*s).unwrap_or(0)).collect();
        if out.len() != rank || out.contains(&0) {
            return fault!(name, "{list:?}; {rank} numbers of at least 1 are needed");
        }
        Ok(out)
    }

    fn pads(&self, rank: usize) -> Result<Vec<usize>, Fault> {
        let Some(list) = self.node.ints("pads") else { return Ok(vec![0; 2 * rank]) };
        let out: Vec<usize> = list.iter().filter_map(|p| usize::try_from(*p).ok()).collect();
        if out.len() != 2 * rank {
            return fault!("pads", "{list:?}; {} numbers of at least 0 are needed", 2 * rank);
        }
        Ok(out)
    }

    /// Output size of a window along each axis.
    fn slide(&self, size: &[usize], kernel: &[usize], ceil: bool) -> Result<Vec<usize>, Fault> {
        let rank = size.len();
        let (strides, dilations, pads) = (self.steps("strides", rank)?, self.steps("dilations", rank)?, self.pads(rank)?);
        let auto = self.node.string("auto_pad").unwrap_or("NOTSET");
        (0..rank)
            .map(|i| {
                if auto.starts_with("SAME") {
                    return Ok(size[i].div_ceil(strides[i]));
                }
                let reach = kernel[i].checked_sub(1).and_then(|k| k.checked_mul(dilations[i])).and_then(|k| k.checked_add(1));
                let pad = if auto == "VALID" { 0 } else { pads[i].saturating_add(pads[i + rank]) };
                let padded = size[i].saturating_add(pad);
                let Some(free) = reach.and_then(|reach| padded.checked_sub(reach)) else {
                    return fault!(
                        "",
                        "a window of {} (dilation {}) does not fit into {} with pads of {pad}",
                        kernel[i],
                        dilations[i],
                        size[i]
                    );
                };
                let steps = if ceil { free.div_ceil(strides[i]) } else { free / strides[i] };
                // A window that starts in the padding at the end is left out.
                let past = ceil
                    && steps > 0
                    && steps.saturating_mul(strides[i]) >= size[i].saturating_add(if auto == "VALID" { 0 } else { pads[i] });
                Ok(if past { steps } else { steps + 1 })
            })
            .collect()
    }

    fn conv_transpose(&self) -> Answer {
        let (Some(x), Some(w)) = (self.fact(0), self.fact(1)) else { return Ok(Vec::new()) };
        if x.rank() < 3 || w.rank() != x.rank() || x.shape[1] != w.shape[0] {
            return fault!("W", "weights {:?} for data {:?}", w.shape, x.shape);
        }
        let rank = x.rank() - 2;
        let channels = w.shape[1].saturating_mul(self.group()?);
        let (strides, dilations, pads) = (self.steps("strides", rank)?, self.steps("dilations", rank)?, self.pads(rank)?);
        let extra = self.node.ints("output_padding").unwrap_or_default();
        let mut out = vec![x.shape[0], channels];
        for i in 0..rank {
            let size = match self.node.ints("output_shape") {
                Some(said) => said.get(i).and_then(|s| usize::try_from(*s).ok()),
                None if self.node.string("auto_pad").is_some_and(|a| a.starts_with("SAME")) => x.shape[2 + i].checked_mul(strides[i]),
                None => {
                    let reach = w.shape[2 + i].checked_sub(1).and_then(|k| k.checked_mul(dilations[i])).and_then(|k| k.checked_add(1));
                    let full = x.shape[2 + i]
                        .checked_sub(1)
                        .and_then(|s| s.checked_mul(strides[i]))
                        .zip(reach)
                        .and_then(|(a, b)| a.checked_add(b));
                    let full = full.and_then(|f| f.checked_add(extra.get(i).and_then(|e| usize::try_from(*e).ok()).unwrap_or(0)));
                    full.and_then(|f| f.checked_sub(pads[i].saturating_add(pads[i + rank])))
                }
            };
            match size {
                Some(size) => out.push(size),
                None => return fault!("pads", "no size is left of {:?}", x.shape),
            }
        }
        self.affordable_work(&[&out, &w.shape[2..], &x.shape[1..2]])?;
        Ok(vec![Some(Fact::new(x.dtype, out))])
    }
}
