//! Depthwise convolution and max pooling, one channel plane after the other.
//!
//! Each plane is copied once into `stride × stride` padded phase planes, so that every tap of the window becomes a constant offset and
//! the inner loop reads without gaps, whatever kernel, stride and dilation.

use super::simd::{self, Task, mul_add};

/// Outputs computed together: four AVX2 registers.
const BLOCK: usize = 32;
/// Outputs of a plane that are computed before they are written out; they stay in the first-level cache.
const PASS: usize = 2048;

/// One of the two spatial axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Axis {
    pub input: usize,
    pub output: usize,
    pub kernel: usize,
    pub stride: usize,
    pub dilation: usize,
    pub pad: usize,
}

impl Axis {
    /// Length of a phase plane along this axis: what all outputs of a phase read.
    pub fn phase_length(&self) -> usize {
        self.output + (self.kernel - 1) * self.dilation / self.stride
    }
}

impl Axis {
    /// The phases that any tap reads, as bits.
    fn phases_read(&self) -> u32 {
        (0..self.kernel).fold(0, |bits, k| bits | 1 << (k * self.dilation % self.stride))
    }

    /// Whether each element makes one of the output by itself, in order.
    pub fn taken_whole(&self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.pad == 0 && self.output == self.input
    }
}

/// A window that slides over planes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Window {
    pub y: Axis,
    pub x: Axis,
}

/// What a window does with the values under it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind<'a> {
    /// Weighted sum. `weights` has a window for each output channel; `bias` one value, or one for each output channel;
    /// each input plane makes `multiplier` output planes.
    Weigh { weights: &'a [f32], bias: &'a [f32], channels: usize, multiplier: usize },
    /// Largest value; NaN where there is one.
    Max,
}

/// Limits put on every output: NaN passes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Clamp {
    pub low: f32,
    pub high: f32,
}

impl Clamp {
    pub const NONE: Self = Self { low: f32::NEG_INFINITY, high: f32::INFINITY };

    #[inline(always)]
    pub fn of(self, v: f32) -> f32 {
        // Comparisons with NaN are false, so that NaN passes; both lines are one instruction.
        let v = if v < self.low { self.low } else { v };
        if v > self.high { self.high } else { v }
    }
}

/// All planes of a tensor under one window.
pub(super) struct Slide<'a> {
    pub window: Window,
    pub kind: Kind<'a>,
    pub clamp: Clamp,
    pub input: &'a [f32],
    pub output: &'a mut [f32],
}

impl Slide<'_> {
    /// Fills `output`.
    pub fn run(self) {
        simd::run(self);
    }
}

impl Task for Slide<'_> {
    type Out = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        match self.window.y.kernel * self.window.x.kernel {
            4 => self.planes::<FMA, 4>(),
            9 => self.planes::<FMA, 9>(),
            25 => self.planes::<FMA, 25>(),
            49 => self.planes::<FMA, 49>(),
            _ => self.planes::<FMA, 0>(),
        }
    }
}

impl Slide<'_> {
    /// `TAPS` is the size of the window, or 0 when it is not known at compile time.
    #[inline(always)]
    fn planes<const FMA: bool, const TAPS: usize>(self) {
        let Window { y, x } = self.window;
        let (pitch, rows) = (x.phase_length(), y.phase_length());
        let max = matches!(self.kind, Kind::Max);
        let fill = if max { f32::NEG_INFINITY } else { 0.0 };
        // The last block of a plane reads past its end.
        let size = rows * pitch + pitch - x.output + BLOCK;
        let mut phases = vec![fill; y.stride * x.stride * size];
        let mut offsets = Vec::with_capacity(y.kernel * x.kernel);
        for ky in (0..y.kernel).map(|k| k * y.dilation) {
            for kx in (0..x.kernel).map(|k| k * x.dilation) {
                offsets.push(((ky % y.stride) * x.stride + kx % x.stride) * size + (ky / y.stride) * pitch + kx / x.stride);
            }
        }
        let taps = offsets.len();
        let multiplier = if let Kind::Weigh { multiplier, .. } = self.kind { multiplier } else { 1 };
        let group = (PASS / pitch).clamp(1, y.output);
        let mut made = vec![0f32; group * pitch + BLOCK];
        let planes = self.input.chunks_exact(y.input * x.input);
        let outputs = self.output.chunks_exact_mut((y.output * x.output * multiplier).max(1));
        for (at, (plane, output)) in planes.zip(outputs).enumerate() {
            spread(plane, &self.window, pitch, rows, size, &mut phases);
            let nan = max && has_nan(plane);
            for (m, output) in output.chunks_exact_mut(y.output * x.output).enumerate() {
                let (weights, start) = match self.kind {
                    Kind::Weigh { weights, bias, channels, .. } => {
                        let channel = at % channels * multiplier + m;
                        (&weights[channel * taps..][..taps], bias[channel % bias.len()])
                    }
                    Kind::Max => (&[][..], fill),
                };
                for first in (0..y.output).step_by(group) {
                    let count = group.min(y.output - first);
                    let mut i = 0;
                    // Rows run into each other: what lies between them is computed and dropped.
                    while i < count * pitch {
                        let from = &phases[first * pitch + i..];
                        let block = match (max, nan) {
                            (false, _) => weigh::<FMA, TAPS>(from, &offsets, weights, start),
                            (true, false) => largest::<TAPS, false>(from, &offsets),
                            (true, true) => largest::<TAPS, true>(from, &offsets),
                        };
                        made[i..i + BLOCK].copy_from_slice(&block);
                        i += BLOCK;
                    }
                    for (row, to) in output[first * x.output..(first + count) * x.output].chunks_exact_mut(x.output).enumerate() {
                        for (to, v) in to.iter_mut().zip(&made[row * pitch..][..x.output]) {
                            *to = self.clamp.of(*v);
                        }
                    }
                }
            }
        }
    }
}

/// Copies a plane into its phases. The padding between stays as it was filled.
#[inline(always)]
pub(super) fn spread(plane: &[f32], window: &Window, pitch: usize, rows: usize, size: usize, phases: &mut [f32]) {
    let Window { y, x } = *window;
    let (rows_read, columns_read) = (y.phases_read(), x.phases_read());
    for (iy, row) in plane.chunks_exact(x.input).enumerate() {
        let py = iy + y.pad;
        if py / y.stride >= rows {
            break;
        }
        if rows_read >> (py % y.stride) & 1 == 0 {
            continue;
        }
        for phase in (0..x.stride).filter(|p| columns_read >> p & 1 == 1) {
            // The first column of this phase, and its place in the phase's row.
            let first = (phase + x.stride - x.pad % x.stride) % x.stride;
            let column = (first + x.pad) / x.stride;
            if column >= pitch || first >= x.input {
                continue;
            }
            let at = ((py % y.stride) * x.stride + phase) * size + (py / y.stride) * pitch;
            let to = &mut phases[at + column..at + pitch];
            let from = &row[first..];
            match x.stride {
                1 => {
                    let n = to.len().min(from.len());
                    to[..n].copy_from_slice(&from[..n]);
                }
                2 => {
                    let pairs = from.chunks_exact(2);
                    let whole = pairs.len();
                    if let ([last], Some(to)) = (pairs.remainder(), to.get_mut(whole)) {
                        *to = *last;
                    }
                    for (to, pair) in to.iter_mut().zip(pairs) {
                        *to = pair[0];
                    }
                }
                stride => {
                    for (to, from) in to.iter_mut().zip(from.iter().step_by(stride)) {
                        *to = *from;
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn block_at(from: &[f32], offset: usize) -> &[f32; BLOCK] {
    from[offset..].first_chunk().expect("phases have a block of slack")
}

#[inline(always)]
fn weigh<const FMA: bool, const TAPS: usize>(from: &[f32], offsets: &[usize], weights: &[f32], start: f32) -> [f32; BLOCK] {
    let mut sum = [start; BLOCK];
    let mut step = |offset: usize, weight: f32| {
        let values = block_at(from, offset);
        for (sum, v) in sum.iter_mut().zip(values) {
            *sum = mul_add::<FMA>(*v, weight, *sum);
        }
    };
    if TAPS > 0 {
        let (offsets, weights): (&[usize; TAPS], &[f32; TAPS]) =
            (offsets.try_into().expect("a window"), weights.try_into().expect("a window"));
        for tap in 0..TAPS {
            step(offsets[tap], weights[tap]);
        }
    } else {
        for (offset, weight) in offsets.iter().zip(weights) {
            step(*offset, *weight);
        }
    }
    sum
}

#[inline(always)]
fn has_nan(plane: &[f32]) -> bool {
    plane.iter().fold(false, |nan, v| nan | v.is_nan())
}

#[inline(always)]
fn largest<const TAPS: usize, const NAN: bool>(from: &[f32], offsets: &[usize]) -> [f32; BLOCK] {
    let mut most = [f32::NEG_INFINITY; BLOCK];
    let mut step = |offset: usize| {
        let values = block_at(from, offset);
        for (most, v) in most.iter_mut().zip(values) {
            // A NaN, once there, stays: no comparison with it is true.
            let larger = if *v > *most { *v } else { *most };
            *most = if NAN && v.is_nan() { *v } else { larger };
        }
    };
    if TAPS > 0 {
        let offsets: &[usize; TAPS] = offsets.try_into().expect("a window");
        for offset in offsets {
            step(*offset);
        }
    } else {
        for offset in offsets {
            step(*offset);
        }
    }
    most
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn axis(input: usize, kernel: usize, stride: usize, dilation: usize, pads: (usize, usize)) -> Axis {
        let output = (input + pads.0 + pads.1 - (kernel - 1) * dilation - 1) / stride + 1;
        Axis { input, output, kernel, stride, dilation, pad: pads.0 }
    }

    /// The definition, in double precision.
    fn slow(window: &Window, kind: &Kind<'_>, clamp: Clamp, input: &[f32]) -> Vec<f32> {
        let Window { y, x } = *window;
        let multiplier = if let Kind::Weigh { multiplier, .. } = kind { *multiplier } else { 1 };
        let mut out = Vec::new();
        for (at, plane) in input.chunks(y.input * x.input).enumerate() {
            for m in 0..multiplier {
                for oy in 0..y.output {
                    for ox in 0..x.output {
                        let mut sum = 0f64;
                        let mut most = f32::NEG_INFINITY;
                        for ky in 0..y.kernel {
                            for kx in 0..x.kernel {
                                let iy = (oy * y.stride + ky * y.dilation).wrapping_sub(y.pad);
                                let ix = (ox * x.stride + kx * x.dilation).wrapping_sub(x.pad);
                                if iy >= y.input || ix >= x.input {
                                    continue;
                                }
                                let v = plane[iy * x.input + ix];
                                most = if v.is_nan() || most.is_nan() { f32::NAN } else { most.max(v) };
                                if let Kind::Weigh { weights, channels, .. } = kind {
                                    let channel = at % channels * multiplier + m;
                                    sum += f64::from(v) * f64::from(weights[(channel * y.kernel + ky) * x.kernel + kx]);
                                }
                            }
                        }
                        let v = match kind {
                            Kind::Weigh { bias, channels, .. } => {
                                (sum + f64::from(bias[(at % channels * multiplier + m) % bias.len()])) as f32
                            }
                            Kind::Max => most,
                        };
                        out.push(if v.is_nan() { v } else { v.max(clamp.low).min(clamp.high) });
                    }
                }
            }
        }
        out
    }

    pub fn values(n: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..n).map(|_| next()).collect()
    }

    fn windows() -> Vec<Window> {
        let mut out = Vec::new();
        for (kernel, stride, dilation, pads) in [
            (3, 1, 1, (1, 1)),
            (3, 2, 1, (1, 1)),
            (3, 2, 1, (0, 1)),
            (5, 1, 1, (2, 2)),
            (5, 2, 1, (1, 2)),
            (7, 1, 1, (3, 3)),
            (3, 3, 1, (2, 0)),
            (3, 1, 2, (2, 2)),
            (3, 2, 3, (4, 1)),
            (2, 2, 1, (0, 0)),
            (4, 3, 1, (1, 1)),
            (1, 1, 1, (0, 0)),
            (1, 2, 1, (0, 0)),
        ] {
            for (h, w) in [(7, 7), (13, 9), (6, 37), (20, 70)] {
                out.push(Window { y: axis(h, kernel, stride, dilation, pads), x: axis(w, kernel, stride, dilation, pads) });
            }
        }
        // Kernel, stride and padding differ between the axes.
        out.push(Window { y: axis(9, 3, 2, 1, (1, 0)), x: axis(11, 2, 3, 2, (0, 1)) });
        out.push(Window { y: axis(1, 1, 1, 1, (0, 0)), x: axis(40, 3, 2, 1, (1, 1)) });
        out
    }

    #[test]
    fn a_window_of_weights_gives_the_weighted_sum() {
        for window in windows() {
            for multiplier in [1, 2] {
                let (channels, taps) = (3, window.y.kernel * window.x.kernel);
                let input = values(2 * channels * window.y.input * window.x.input, 1);
                let weights = values(channels * multiplier * taps, 2);
                let bias = values(channels * multiplier, 3);
                for (bias, clamp) in [(&bias[..], Clamp::NONE), (&bias[..1], Clamp { low: -0.5, high: 0.75 })] {
                    let kind = Kind::Weigh { weights: &weights, bias, channels, multiplier };
                    let mut output = vec![9.0; 2 * channels * multiplier * window.y.output * window.x.output];
                    Slide { window, kind, clamp, input: &input, output: &mut output }.run();
                    for (a, b) in output.iter().zip(slow(&window, &kind, clamp, &input)) {
                        assert!((a - b).abs() < 1e-5, "{window:?} {multiplier}: {a} not {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_window_of_maxima_gives_the_largest_value_and_keeps_nan() {
        for window in windows() {
            let mut input = values(4 * window.y.input * window.x.input, 5);
            input.iter_mut().for_each(|v| *v -= 2.0);
            let middle = input.len() / 2 + 3;
            input[middle] = f32::NAN;
            let mut output = vec![9.0; 4 * window.y.output * window.x.output];
            Slide { window, kind: Kind::Max, clamp: Clamp::NONE, input: &input, output: &mut output }.run();
            for (a, b) in output.iter().zip(slow(&window, &Kind::Max, Clamp::NONE, &input)) {
                assert!(*a == b || (a.is_nan() && b.is_nan()), "{window:?}: {a} not {b}");
            }
        }
    }

    #[test]
    fn nan_and_infinity_pass_weights_and_clamp() {
        let window = Window { y: axis(5, 3, 1, 1, (1, 1)), x: axis(5, 3, 1, 1, (1, 1)) };
        let mut input = vec![1.0; 25];
        input[12] = f32::NAN;
        let kind = Kind::Weigh { weights: &[1.0; 9], bias: &[0.0], channels: 1, multiplier: 1 };
        let mut output = vec![0.0; 25];
        Slide { window, kind, clamp: Clamp { low: 0.0, high: 6.0 }, input: &input, output: &mut output }.run();
        assert_eq!(output.iter().filter(|v| v.is_nan()).count(), 9);
        assert_eq!(output[0], 4.0);
    }
}
