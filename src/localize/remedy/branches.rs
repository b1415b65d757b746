//! A convolution that stands for several branches of the source: convolutions of one input, each with a batch norm, and the input itself, added up.
//! Converters and deployment scripts merge them into one kernel (Ding et al., "RepVGG", arXiv 2101.03697, section 3.3); which weight and bias it should
//! have follows from the branches.

use super::bias::bias_remedy;
use super::difference::instead;
use super::fold::{Affine, Linear, affine};
use super::{Bench, Remedy, effective_pads};
use crate::model::{Edit, NodeExt, ValueId};
use crate::run::{Network, OpId, Value};

/// Nodes between the input and the sum, at the most.
const DEEPEST: usize = 12;

/// The weight, the bias, or both, of convolutions that stand for branches.
pub(super) fn branches(bench: &Bench<'_>) -> Vec<Remedy> {
    let reads = |t: &OpId| Linear::read(bench.target(), *t, &all(bench.target()), |v| bench.checks.iter().any(|(_, c)| *c == v));
    bench.ops.iter().filter_map(reads).filter_map(|mine| merged(bench, &mine)).flatten().collect()
}

fn all(network: &Network) -> Vec<OpId> {
    network.op_ids().collect()
}

/// Where the taps of a convolution lie.
struct Place {
    group: i64,
    strides: Vec<i64>,
    dilations: Vec<i64>,
    /// At the top and at the left.
    pads: [i64; 2],
}

impl Place {
    fn of(network: &Network, id: OpId, shape: &dyn Fn(ValueId) -> Option<Vec<usize>>) -> Option<Self> {
        let node = network.op(id).proto();
        let list = |name: &str| node.ints(name).map_or_else(|| vec![1, 1], <[i64]>::to_vec);
        let [top, left, ..] = effective_pads(network, id, shape)?[..] else { return None };
        Some(Self { group: node.int("group").unwrap_or(1), strides: list("strides"), dilations: list("dilations"), pads: [top, left] })
    }
}

/// A kernel in the target's place, `[output channels, input channels of a group, height, width]`, and what is added for each channel.
struct Kernel {
    weight: Vec<f64>,
    bias: Vec<f64>,
}

/// The branches of a source value, read into kernels of the target's convolution.
struct Reader<'a> {
    bench: &'a Bench<'a>,
    place: Place,
    /// Of the target's weight.
    shape: [usize; 4],
    /// What the target's convolution stands behind, in the source.
    root: ValueId,
    /// Convolutions that were read: one alone is no branch.
    products: usize,
}

fn merged(bench: &Bench<'_>, mine: &Linear) -> Option<Vec<Remedy>> {
    let op = bench.target().op(mine.op);
    let now = mine.value(bench.target(), mine.weight)?;
    let ("Conv", [o, i, h, w]) = (op.op_type(), now.shape()) else { return None };
    let shape = [*o, *i, *h, *w];
    let input = *op.data.first()?;
    let root = bench.a.pair_of(input)?;
    let place = Place::of(bench.target(), mine.op, &|v| bench.a.fed(v).map(|x| x[0].shape().to_vec()))?;
    let mut reader = Reader { bench, place, shape, root: root.source, products: 0 };
    let source = bench.checked_sources().into_iter().find_map(|v| {
        reader.products = 0;
        let kernel = reader.read(v, DEEPEST)?;
        (reader.products > 0 && reader.is_sum(v)).then_some(kernel)
    })?;
    let len = shape[1..].iter().product::<usize>();
    let Affine { a, b } = &mine.affine;
    let weight = source.weight.iter().enumerate().map(|(at, x)| (*x / f64::from(a[at / len])) as f32).collect();
    let bias: Vec<f32> = source.bias.iter().zip(a.iter().zip(b)).map(|(x, (a, b))| ((*x - f64::from(*b)) / f64::from(*a)) as f32).collect();
    let slot = op.inputs.get(mine.weight).copied().flatten()?;
    let weight = instead(bench, mine.op, mine.weight, slot, now, &Value::from_f32(now.shape(), weight));
    let bias = bias_remedy(bench, mine, &bias);
    let both = weight.as_ref().zip(bias.as_ref()).map(|(weight, bias)| {
        let mut both = weight.clone();
        both.edit = Edit::All(vec![weight.edit.clone(), bias.edit.clone()]);
        both.words = format!("{}; {}", weight.words, bias.words);
        both.tensors.extend(&bias.tensors);
        both
    });
    Some([bias, weight, both].into_iter().flatten().collect())
}

impl Reader<'_> {
    /// Whether more than a product and what is folded into it lies behind a value: that is read elsewhere.
    fn is_sum(&self, v: ValueId) -> bool {
        let network = self.bench.reference();
        let mut at = v;
        while let Some(id) = network.producer(at) {
            match network.op(id).data[..] {
                [_, _] => return true,
                [input] => at = input,
                _ => return false,
            }
        }
        false
    }

    fn is_root(&self, v: ValueId) -> bool {
        v == self.root || self.bench.a.source().origin(v) == self.bench.a.source().origin(self.root)
    }

    /// The kernel of what makes a value of the root.
    fn read(&mut self, v: ValueId, hops: usize) -> Option<Kernel> {
        if self.is_root(v) {
            return self.same();
        }
        let network = self.bench.reference();
        let id = network.producer(v)?;
        let op = network.op(id);
        let hops = hops.checked_sub(1)?;
        match op.data[..] {
            [x, y] if op.op_type() == "Add" => {
                let (x, y) = (self.read(x, hops)?, self.read(y, hops)?);
                let sum = |x: Vec<f64>, y: Vec<f64>| x.into_iter().zip(y).map(|(x, y)| x + y).collect();
                Some(Kernel { weight: sum(x.weight, y.weight), bias: sum(x.bias, y.bias) })
            }
            [x] if op.op_type() == "Conv" => self.is_root(x).then(|| self.convolution(id))?,
            [x] => {
                let channels = self.shape[0];
                let step = affine(network, id, x, channels)?;
                let mut kernel = self.read(x, hops)?;
                let len = kernel.weight.len() / channels;
                for (c, row) in kernel.weight.chunks_mut(len).enumerate() {
                    row.iter_mut().for_each(|x| *x *= f64::from(step.a[c]));
                    kernel.bias[c] = kernel.bias[c] * f64::from(step.a[c]) + f64::from(step.b[c]);
                }
                Some(kernel)
            }
            _ => None,
        }
    }

    /// The input itself: each channel's own tap is 1.
    fn same(&self) -> Option<Kernel> {
        let [o, i, h, w] = self.shape;
        let group = usize::try_from(self.place.group).ok().filter(|g| i * g == o)?;
        if self.place.strides.iter().any(|s| *s != 1) {
            return None;
        }
        let tap = |axis: usize, count: usize| {
            let (pad, step) = (self.place.pads[axis], *self.place.dilations.get(axis)?);
            (pad % step == 0).then_some(usize::try_from(pad / step).ok()?).filter(|t| *t < count)
        };
        let (y, x) = (tap(0, h)?, tap(1, w)?);
        let mut weight = vec![0.0; o * i * h * w];
        let per_group = o / group;
        for c in 0..o {
            weight[((c * i + c % per_group) * h + y) * w + x] = 1.0;
        }
        Some(Kernel { weight, bias: vec![0.0; o] })
    }

    /// A convolution of the root, its taps where the target's lie.
    fn convolution(&mut self, id: OpId) -> Option<Kernel> {
        let network = self.bench.reference();
        let op = network.op(id);
        let constant = |slot: usize| op.inputs.get(slot).copied().flatten().and_then(|v| network.constant(v));
        let weight = constant(1)?;
        let theirs = Place::of(network, id, &|v| self.bench.a.source().values(v).map(|x| x[0].shape().to_vec()))?;
        let [o, i, h, w] = self.shape;
        let (same, [wo, wi, wh, ww]) = (&self.place, weight.shape()) else { return None };
        if (*wo, *wi) != (o, i) || theirs.group != same.group || theirs.strides != same.strides {
            return None;
        }
        if theirs.dilations != same.dilations && (*wh, *ww) != (1, 1) {
            return None;
        }
        // Tap `t` reads at `t * dilation - pad`.
        let shift = |axis: usize| {
            let (by, step) = (same.pads[axis] - theirs.pads[axis], *same.dilations.get(axis)?);
            (by % step == 0).then_some(usize::try_from(by / step).ok()?)
        };
        let (dy, dx) = (shift(0)?, shift(1)?);
        if dy + wh > h || dx + ww > w {
            return None;
        }
        let mut out = vec![0.0; o * i * h * w];
        for (at, value) in weight.to_f32().iter().enumerate() {
            let (plane, rest) = (at / (wh * ww), at % (wh * ww));
            out[(plane * h + rest / ww + dy) * w + rest % ww + dx] = f64::from(*value);
        }
        let bias = constant(2).map_or_else(|| vec![0.0; o], |b| b.to_f32().iter().map(|x| f64::from(*x)).collect());
        self.products += 1;
        (bias.len() == o).then_some(Kernel { weight: out, bias })
    }
}
