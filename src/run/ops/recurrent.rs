//! LSTM, GRU and RNN as the specification has them: any batch, both directions, all activation functions, lengths, initial states.

use super::attr::Attributes;
use super::own::{Known, Own};
use super::shape::integers;
use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ndarray::{Array2, ArrayView2, ArrayView3, ArrayViewD, Axis};
use tract_onnx::tract_hir::internal::*;

type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;
type Function = Arc<dyn Fn(f32) -> f32 + Send + Sync>;

/// Which of the three it is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cell {
    Lstm,
    Gru,
    Rnn,
}

impl Cell {
    /// Blocks of rows in the weights: one a gate.
    fn gates(self) -> usize {
        match self {
            Self::Lstm => 4,
            Self::Gru => 3,
            Self::Rnn => 1,
        }
    }

    fn functions(self) -> &'static [&'static str] {
        match self {
            Self::Lstm => &["Sigmoid", "Tanh", "Tanh"],
            Self::Gru => &["Sigmoid", "Tanh"],
            Self::Rnn => &["Tanh"],
        }
    }
}

/// A recurrent node: what its attributes say, and at which places its optional inputs are.
#[derive(Clone)]
struct Recurrent {
    cell: Cell,
    /// Whether each direction runs backwards.
    backwards: Vec<bool>,
    /// Each direction's activation functions.
    functions: Vec<Vec<Function>>,
    hidden: usize,
    /// Whether the batch is the first axis of everything.
    batch_first: bool,
    clip: Option<f32>,
    /// GRU: whether the hidden gate's product is reset, and not the state in it.
    linear_before_reset: bool,
    /// LSTM: whether the forget gate is what the input gate leaves.
    input_forget: bool,
    bias: Option<usize>,
    lengths: Option<usize>,
    state: Option<usize>,
    memory: Option<usize>,
    peepholes: Option<usize>,
}

pub(super) fn lstm(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    Recurrent::new(Cell::Lstm, node)?.built("LSTM", node)
}

pub(super) fn gru(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    Recurrent::new(Cell::Gru, node)?.built("GRU", node)
}

pub(super) fn rnn(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    Recurrent::new(Cell::Rnn, node)?.built("RNN", node)
}

/// An activation function; its parameters are taken from the lists by those that have any.
fn function(name: &str, alphas: &mut impl Iterator<Item = f32>, betas: &mut impl Iterator<Item = f32>) -> TractResult<Function> {
    let mut both = |alpha: f32, beta: f32| (alphas.next().unwrap_or(alpha), betas.next().unwrap_or(beta));
    Ok(match name.to_ascii_lowercase().as_str() {
        "sigmoid" => Arc::new(|x: f32| 1.0 / (1.0 + (-x).exp())),
        "tanh" => Arc::new(f32::tanh),
        "relu" => Arc::new(|x: f32| if x > 0.0 || x.is_nan() { x } else { 0.0 }),
        "softsign" => Arc::new(|x: f32| x / (1.0 + x.abs())),
        "softplus" => Arc::new(|x: f32| if x > 20.0 { x } else { x.exp().ln_1p() }),
        "affine" => {
            let (a, b) = both(1.0, 0.0);
            Arc::new(move |x| a * x + b)
        }
        "scaledtanh" => {
            let (a, b) = both(1.0, 1.0);
            Arc::new(move |x| a * (b * x).tanh())
        }
        "hardsigmoid" => {
            let (a, b) = both(0.2, 0.5);
            Arc::new(move |x| (a * x + b).clamp(0.0, 1.0))
        }
        "leakyrelu" => {
            let a = alphas.next().unwrap_or(0.01);
            Arc::new(move |x| if x >= 0.0 || x.is_nan() { x } else { a * x })
        }
        "thresholdedrelu" => {
            let a = alphas.next().unwrap_or(1.0);
            Arc::new(move |x| if x > a || x.is_nan() { x } else { 0.0 })
        }
        "elu" => {
            let a = alphas.next().unwrap_or(1.0);
            Arc::new(move |x| if x >= 0.0 || x.is_nan() { x } else { a * x.exp_m1() })
        }
        _ => bail!("there is no activation function '{name}'"),
    })
}

impl Recurrent {
    fn new(cell: Cell, node: &NodeProto) -> TractResult<Self> {
        let backwards = match node.text("direction").unwrap_or("forward") {
            "forward" => vec![false],
            "reverse" => vec![true],
            "bidirectional" => vec![false, true],
            other => bail!("direction '{other}' is none of forward, reverse, bidirectional"),
        };
        let named = node.find("activations").map(|a| a.strings.iter().map(|s| String::from_utf8_lossy(s).into_owned()).collect::<Vec<_>>());
        let usual = cell.functions().len();
        let names = match named {
            Some(names) if !names.is_empty() => names,
            _ => cell.functions().iter().cycle().take(usual * backwards.len()).map(|n| (*n).to_string()).collect(),
        };
        ensure!(names.len() == usual * backwards.len(), "{} activations, not {}", names.len(), usual * backwards.len());
        let floats = |name: &str| node.find(name).map(|a| a.floats.clone()).unwrap_or_default().into_iter();
        let (mut alphas, mut betas) = (floats("activation_alpha"), floats("activation_beta"));
        let functions: Vec<Function> = names.iter().map(|n| function(n, &mut alphas, &mut betas)).collect::<TractResult<_>>()?;
        let mut optional = optional_inputs(node).skip(3);
        let mut next = || optional.next().flatten();
        Ok(Self {
            cell,
            functions: functions.chunks(usual).map(<[Function]>::to_vec).collect(),
            backwards,
            hidden: usize::try_from(node.integer("hidden_size").context("no hidden_size")?)?,
            batch_first: node.integer("layout").unwrap_or(0) != 0,
            clip: node.number("clip"),
            linear_before_reset: node.integer("linear_before_reset").unwrap_or(0) != 0,
            input_forget: node.integer("input_forget").unwrap_or(0) != 0,
            bias: next(),
            lengths: next(),
            state: next(),
            memory: next(),
            peepholes: next(),
        })
    }

    fn built(self, name: &'static str, node: &NodeProto) -> Built {
        // tract's reader leaves out outputs without a name.
        let named: Vec<usize> = (0..node.output.len()).filter(|i| !node.output[*i].is_empty()).collect();
        ensure!(!named.is_empty() && named.len() <= 3, "one to three outputs need a name");
        let (shapes, run) = (Arc::new(self.clone()), Arc::new(self));
        let (count, wanted) = (named.len(), named.clone());
        let made = move |k: &[Known]| {
            let all = shapes.shapes(k)?;
            Ok(named.iter().map(|i| (k[0].dtype, all[*i].clone())).collect())
        };
        let value = move |v: &[TValue]| {
            let all = run.values(v)?;
            Ok(wanted.iter().map(|i| all[*i].clone()).collect())
        };
        Own::many(name, count, made, value).built()
    }

    /// Steps, batch.
    fn extents(&self, x: &[usize]) -> TractResult<(usize, usize)> {
        ensure!(x.len() == 3, "the data are of rank {}, not 3", x.len());
        Ok(if self.batch_first { (x[1], x[0]) } else { (x[0], x[1]) })
    }

    /// The shapes of all outputs, and a check of those of all inputs.
    fn shapes(&self, k: &[Known]) -> TractResult<Vec<TVec<usize>>> {
        ensure!(k.len() >= 3, "data, W and R are needed");
        let (steps, batch) = self.extents(&k[0].shape)?;
        let (d, h, g) = (self.backwards.len(), self.hidden, self.cell.gates());
        let state: TVec<usize> = if self.batch_first { tvec![batch, d, h] } else { tvec![d, batch, h] };
        let mut wanted: Vec<(&str, usize, TVec<usize>)> = vec![("W", 1, tvec![d, g * h, k[0].shape[2]]), ("R", 2, tvec![d, g * h, h])];
        wanted.extend(self.bias.map(|i| ("B", i, tvec![d, 2 * g * h])));
        wanted.extend(self.lengths.map(|i| ("sequence_lens", i, tvec![batch])));
        wanted.extend(self.state.map(|i| ("initial_h", i, state.clone())));
        wanted.extend(self.memory.map(|i| ("initial_c", i, state.clone())));
        wanted.extend(self.peepholes.map(|i| ("P", i, tvec![d, 3 * h])));
        for (name, at, shape) in wanted {
            let has = &k.get(at).with_context(|| format!("{name} is not there"))?.shape;
            ensure!(*has == shape, "{name} is {has:?}, the data and hidden_size ask for {shape:?}");
        }
        let y = if self.batch_first { tvec![batch, steps, d, h] } else { tvec![steps, d, batch, h] };
        Ok(vec![y, state.clone(), state])
    }

    fn values(&self, v: &[TValue]) -> TractResult<Vec<Tensor>> {
        let dtype = v[0].datum_type();
        let known: Vec<Known> = v.iter().map(|t| Known { dtype: t.datum_type(), shape: t.shape().into(), value: None }).collect();
        let shapes = self.shapes(&known)?;
        let (steps, batch) = self.extents(v[0].shape())?;
        let (d, h) = (self.backwards.len(), self.hidden);
        let wide = |at: usize| Ok::<_, TractError>(v[at].cast_to::<f32>()?.into_owned());
        let maybe = |at: Option<usize>| at.map(wide).transpose();
        let mut x = wide(0)?;
        if self.batch_first {
            x = x.permute_axes(&[1, 0, 2])?;
        }
        let (w, r, b, p) = (wide(1)?, wide(2)?, maybe(self.bias)?, maybe(self.peepholes)?);
        let [mut state, mut memory] =
            [maybe(self.state)?, maybe(self.memory)?].map(|t| t.unwrap_or_else(|| Tensor::zero::<f32>(&shapes[1]).unwrap_or_default()));
        if self.batch_first {
            (state, memory) = (state.permute_axes(&[1, 0, 2])?, memory.permute_axes(&[1, 0, 2])?);
        }
        let lengths: Vec<usize> = match self.lengths {
            Some(at) => integers(&v[at])?.iter().map(|n| (*n).clamp(0, steps as i64) as usize).collect(),
            None => vec![steps; batch],
        };
        let mut y = Tensor::zero::<f32>(&[steps, d, batch, h])?;
        {
            let (x, w, r) = (x.to_plain_array_view::<f32>()?, w.to_plain_array_view::<f32>()?, r.to_plain_array_view::<f32>()?);
            let (x, w, r): (ArrayView3<'_, f32>, ArrayView3<'_, f32>, ArrayView3<'_, f32>) =
                (x.into_dimensionality()?, w.into_dimensionality()?, r.into_dimensionality()?);
            let b = b.as_ref().map(|b| b.to_plain_array_view::<f32>()).transpose()?;
            let p = p.as_ref().map(|p| p.to_plain_array_view::<f32>()).transpose()?;
            let mut states = state.to_plain_array_view_mut::<f32>()?;
            let mut memories = memory.to_plain_array_view_mut::<f32>()?;
            let mut made = y.to_plain_array_view_mut::<f32>()?;
            for direction in 0..d {
                let row = |all: &ArrayViewD<'_, f32>| all.index_axis(Axis(0), direction).iter().copied().collect::<Vec<f32>>();
                let weights = Weights {
                    w: w.index_axis(Axis(0), direction),
                    r: r.index_axis(Axis(0), direction),
                    b: b.as_ref().map(row).unwrap_or_else(|| vec![0.0; 2 * self.cell.gates() * h]),
                    p: p.as_ref().map(row).unwrap_or_else(|| vec![0.0; 3 * h]),
                };
                let mut state: Array2<f32> = states.index_axis(Axis(0), direction).to_owned().into_dimensionality()?;
                let mut memory: Array2<f32> = memories.index_axis(Axis(0), direction).to_owned().into_dimensionality()?;
                let inputs: Vec<Array2<f32>> = (0..steps).map(|t| x.index_axis(Axis(0), t).dot(&weights.w.t())).collect();
                for step in 0..steps {
                    // Sequences end where they end; backwards, each begins at its own end.
                    let at = |i: usize| match self.backwards[direction] {
                        true => lengths[i].checked_sub(step + 1),
                        false => (step < lengths[i]).then_some(step),
                    };
                    let mut input = Array2::<f32>::zeros((batch, self.cell.gates() * h));
                    for i in 0..batch {
                        if let Some(t) = at(i) {
                            input.row_mut(i).assign(&inputs[t].row(i));
                        }
                    }
                    let (next, kept) = self.step(direction, &weights, &input, &state, &memory);
                    for i in 0..batch {
                        let Some(t) = at(i) else { continue };
                        state.row_mut(i).assign(&next.row(i));
                        memory.row_mut(i).assign(&kept.row(i));
                        made.index_axis_mut(Axis(0), t).index_axis_mut(Axis(0), direction).index_axis_mut(Axis(0), i).assign(&next.row(i));
                    }
                }
                states.index_axis_mut(Axis(0), direction).assign(&state);
                memories.index_axis_mut(Axis(0), direction).assign(&memory);
            }
        }
        if self.batch_first {
            y = y.permute_axes(&[2, 0, 1, 3])?;
            (state, memory) = (state.permute_axes(&[1, 0, 2])?, memory.permute_axes(&[1, 0, 2])?);
        }
        [y, state, memory].into_iter().map(|t| Ok(t.cast_to_dt(dtype)?.into_owned())).collect()
    }

    /// One step: the next state and memory, each batch by hidden. `input` is what W makes of the data, batch by gates.
    fn step(
        &self,
        direction: usize,
        weights: &Weights<'_>,
        input: &Array2<f32>,
        state: &Array2<f32>,
        memory: &Array2<f32>,
    ) -> (Array2<f32>, Array2<f32>) {
        let (h, g) = (self.hidden, self.cell.gates());
        let functions = &self.functions[direction];
        let clipped = |x: f32| self.clip.map_or(x, |c| x.clamp(-c, c));
        let apply = |f: usize, x: f32| functions[f](clipped(x));
        let recurrent = state.dot(&weights.r.t());
        let (wb, rb) = weights.b.split_at(g * h);
        let (mut next, mut kept) = (state.clone(), memory.clone());
        for i in 0..state.nrows() {
            // What a gate's activation function is given.
            let sum = |gate: usize, j: usize| {
                let at = gate * h + j;
                input[[i, at]] + recurrent[[i, at]] + wb[at] + rb[at]
            };
            match self.cell {
                Cell::Rnn => (0..h).for_each(|j| next[[i, j]] = apply(0, sum(0, j))),
                Cell::Lstm => {
                    for j in 0..h {
                        let before = memory[[i, j]];
                        let input = apply(0, sum(0, j) + weights.p[j] * before);
                        let forget = match self.input_forget {
                            true => 1.0 - input,
                            false => apply(0, sum(2, j) + weights.p[2 * h + j] * before),
                        };
                        let now = forget * before + input * apply(1, sum(3, j));
                        kept[[i, j]] = now;
                        next[[i, j]] = apply(0, sum(1, j) + weights.p[h + j] * now) * apply(2, now);
                    }
                }
                Cell::Gru => {
                    let reset: Vec<f32> = (0..h).map(|j| apply(0, sum(1, j))).collect();
                    let hidden: Vec<f32> = match self.linear_before_reset {
                        true => (0..h).map(|j| reset[j] * (recurrent[[i, 2 * h + j]] + rb[2 * h + j])).collect(),
                        false => {
                            let of = |j: usize| (0..h).map(|k| reset[k] * state[[i, k]] * weights.r[[2 * h + j, k]]).sum::<f32>();
                            (0..h).map(|j| of(j) + rb[2 * h + j]).collect()
                        }
                    };
                    for j in 0..h {
                        let update = apply(0, sum(0, j));
                        let candidate = apply(1, input[[i, 2 * h + j]] + hidden[j] + wb[2 * h + j]);
                        next[[i, j]] = (1.0 - update) * candidate + update * state[[i, j]];
                    }
                }
            }
        }
        (next, kept)
    }
}

/// One direction's weights.
struct Weights<'a> {
    /// Gates by inputs.
    w: ArrayView2<'a, f32>,
    /// Gates by hidden.
    r: ArrayView2<'a, f32>,
    /// Those of W, then those of R.
    b: Vec<f32>,
    /// Input, output, forget.
    p: Vec<f32>,
}
