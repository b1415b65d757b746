//! Convolution as a product of matrices, its columns gathered while they are packed.

use super::gemm::{COLUMNS, Columns, Finish, Packed, product, product_by};
use super::planes::{Window, spread};
use super::simd::{self, Task};
use std::cell::Cell;

/// A convolution over planes `[images, channels, height, width]`.
pub(super) struct Convolve<'a> {
    pub window: Window,
    /// Output channels times input channels and taps.
    pub weights: &'a Packed,
    pub channels: usize,
    pub finish: Finish<'a>,
    pub input: &'a [f32],
    pub output: &'a mut [f32],
}

/// Memory that is kept from one operator to the next.
#[derive(Default)]
struct Scratch {
    /// Operands being packed.
    packed: Vec<f32>,
    /// Phases of the input.
    phases: Vec<f32>,
}

thread_local! {
    static SCRATCH: Cell<Scratch> = const { Cell::new(Scratch { packed: Vec::new(), phases: Vec::new() }) };
}

impl Convolve<'_> {
    /// Fills `output`.
    pub fn run(self) {
        simd::run(self);
    }
}

impl Task for Convolve<'_> {
    type Out = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Window { y, x } = self.window;
        let (pixels, positions) = (y.input * x.input, y.output * x.output);
        let (image, made) = (self.channels * pixels, self.weights.rows * positions);
        let plain = y.taken_whole() && x.taken_whole();
        // Taken and put back, as a closure would be compiled without the instructions enabled here.
        let mut scratch = SCRATCH.take();
        let images = self.input.chunks_exact(image).zip(self.output.chunks_exact_mut(made)).enumerate();
        for (at, (input, output)) in images {
            let finish = Finish { added: self.finish.added.map(|a| &a[at * made..(at + 1) * made]), ..self.finish };
            if plain {
                // A row of the input is a row of the matrix.
                product::<FMA>(self.weights, positions, output, finish, &mut scratch.packed, |first, count, column, width, panel| {
                    for (k, panel) in (first..first + count).zip(panel.chunks_exact_mut(COLUMNS)) {
                        copy(&input[k * positions + column..], width, panel);
                    }
                });
            } else {
                gathered::<FMA>(&self.window, self.weights, input, output, finish, &mut scratch);
            }
        }
        SCRATCH.set(scratch);
    }
}

/// Rows times a constant matrix.
pub(super) struct Multiply<'a> {
    pub weights: &'a Columns,
    pub finish: Finish<'a>,
    pub input: &'a [f32],
    pub output: &'a mut [f32],
}

impl Multiply<'_> {
    /// Fills `output`.
    pub fn run(self) {
        simd::run(self);
    }
}

impl Task for Multiply<'_> {
    type Out = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let mut scratch = SCRATCH.take();
        product_by::<FMA>(self.input, self.weights, self.output, self.finish, &mut scratch.packed);
        SCRATCH.set(scratch);
    }
}

/// Copies a part of a row into a panel's row; the rest of which is left as it is, as nobody reads what comes of it.
#[inline(always)]
fn copy(from: &[f32], width: usize, to: &mut [f32]) {
    match (from.first_chunk::<COLUMNS>(), to.first_chunk_mut::<COLUMNS>()) {
        (Some(from), Some(to)) if width == COLUMNS => *to = *from,
        _ => to[..width].copy_from_slice(&from[..width]),
    }
}

/// A part of a panel that lies in one row of the output.
#[derive(Clone, Copy)]
struct Piece {
    from: usize,
    to: usize,
    length: usize,
}

#[inline(always)]
fn gathered<const FMA: bool>(
    window: &Window,
    weights: &Packed,
    input: &[f32],
    output: &mut [f32],
    finish: Finish<'_>,
    scratch: &mut Scratch,
) {
    let Scratch { packed, phases } = scratch;
    let Window { y, x } = *window;
    let (pitch, rows) = (x.phase_length(), y.phase_length());
    let size = rows * pitch;
    let plane = y.stride * x.stride * size;
    let pixels = y.input * x.input;
    let channels = input.len() / pixels;
    phases.clear();
    phases.resize(channels * plane, 0.0);
    for (input, phases) in input.chunks_exact(pixels).zip(phases.chunks_exact_mut(plane)) {
        spread(input, window, pitch, rows, size, phases);
    }
    let mut offsets = Vec::with_capacity(weights.depth);
    for channel in 0..channels {
        for ky in (0..y.kernel).map(|k| k * y.dilation) {
            for kx in (0..x.kernel).map(|k| k * x.dilation) {
                let phase = (ky % y.stride) * x.stride + kx % x.stride;
                offsets.push(channel * plane + phase * size + (ky / y.stride) * pitch + kx / x.stride);
            }
        }
    }
    product::<FMA>(weights, y.output * x.output, output, finish, packed, |first, count, column, width, panel| {
        let mut pieces = [Piece { from: 0, to: 0, length: 0 }; COLUMNS];
        let mut used = 0;
        let mut done = 0;
        while done < width {
            let (row, at) = ((column + done) / x.output, (column + done) % x.output);
            let length = (x.output - at).min(width - done);
            pieces[used] = Piece { from: row * pitch + at, to: done, length };
            used += 1;
            done += length;
        }
        let offsets = &offsets[first..first + count];
        if used == 1 {
            for (offset, panel) in offsets.iter().zip(panel.chunks_exact_mut(COLUMNS)) {
                copy(&phases[offset + pieces[0].from..], width, panel);
            }
            return;
        }
        for (offset, panel) in offsets.iter().zip(panel.chunks_exact_mut(COLUMNS)) {
            for piece in &pieces[..used] {
                let from = &phases[offset + piece.from..][..piece.length];
                for (to, from) in panel[piece.to..].iter_mut().zip(from) {
                    *to = *from;
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::gemm::Bias;
    use super::super::planes::tests::{axis, values};
    use super::super::planes::{Axis, Clamp};
    use super::*;

    fn slow(window: &Window, weights: &[f32], channels: usize, outputs: usize, bias: &[f32], input: &[f32]) -> Vec<f32> {
        let Window { y, x } = *window;
        let mut out = Vec::new();
        for image in input.chunks(channels * y.input * x.input) {
            for o in 0..outputs {
                for oy in 0..y.output {
                    for ox in 0..x.output {
                        let mut sum = f64::from(bias[o % bias.len()]);
                        for c in 0..channels {
                            for ky in 0..y.kernel {
                                for kx in 0..x.kernel {
                                    let iy = (oy * y.stride + ky * y.dilation).wrapping_sub(y.pad);
                                    let ix = (ox * x.stride + kx * x.dilation).wrapping_sub(x.pad);
                                    if iy < y.input && ix < x.input {
                                        let w = weights[((o * channels + c) * y.kernel + ky) * x.kernel + kx];
                                        sum += f64::from(w) * f64::from(image[(c * y.input + iy) * x.input + ix]);
                                    }
                                }
                            }
                        }
                        out.push(sum as f32);
                    }
                }
            }
        }
        out
    }

    #[test]
    fn it_is_the_definition_for_all_sorts_of_windows() {
        let one = |kernel, stride, dilation, pads| move |n: usize| axis(n, kernel, stride, dilation, pads);
        let kinds: [(usize, usize, usize, (usize, usize)); 9] = [
            (1, 1, 1, (0, 0)),
            (1, 2, 1, (0, 0)),
            (3, 1, 1, (1, 1)),
            (3, 2, 1, (1, 1)),
            (3, 2, 1, (0, 1)),
            (5, 1, 2, (4, 4)),
            (7, 2, 1, (3, 3)),
            (2, 3, 1, (1, 0)),
            (4, 4, 1, (0, 0)),
        ];
        for (kernel, stride, dilation, pads) in kinds {
            let make = one(kernel, stride, dilation, pads);
            for (h, w) in [(9, 9), (11, 23), (17, 40)] {
                // Depths below, at and above a block; rows that fill panels and that do not.
                for (channels, outputs) in [(3, 7), (16, 12), (300, 5)] {
                    let window = Window { y: make(h), x: make(w) };
                    let (input, weights) = (values(2 * channels * h * w, 1), values(outputs * channels * kernel * kernel, 2));
                    let bias = values(outputs, 3);
                    let expected = slow(&window, &weights, channels, outputs, &bias, &input);
                    let depth = channels * kernel * kernel;
                    let packed = Packed::new(outputs, depth, |r, k| weights[r * depth + k]);
                    let mut output = vec![9.0; expected.len()];
                    let finish = Finish { bias: Bias::Rows(&bias), added: None, clamp: Clamp::NONE };
                    Convolve { window, weights: &packed, channels, finish, input: &input, output: &mut output }.run();
                    let largest = expected.iter().fold(1f32, |m, v| m.max(v.abs()));
                    for (a, b) in output.iter().zip(&expected) {
                        assert!((a - b).abs() < 2e-5 * largest, "{window:?} {channels} {outputs}: {a} not {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn rows_times_a_constant_matrix() {
        for (rows, depth, columns) in [(1, 5, 3), (6, 256, 16), (13, 300, 50), (65, 700, 10)] {
            let (a, b, bias) = (values(rows * depth, 1), values(depth * columns, 2), values(columns, 3));
            let packed = Columns::new(columns, depth, |k, c| b[k * columns + c]);
            let mut output = vec![9.0; rows * columns];
            let finish = Finish { bias: Bias::Columns(&bias), added: None, clamp: Clamp { low: -1.0, high: f32::INFINITY } };
            Multiply { weights: &packed, finish, input: &a, output: &mut output }.run();
            for (i, v) in output.iter().enumerate() {
                let (r, c) = (i / columns, i % columns);
                let sum: f64 = (0..depth).map(|k| f64::from(a[r * depth + k]) * f64::from(b[k * columns + c])).sum();
                let expected = ((sum + f64::from(bias[c])) as f32).max(-1.0);
                assert!((v - expected).abs() < 1e-4, "{rows} {depth} {columns}: {v} not {expected}");
            }
        }
    }

    #[test]
    fn what_is_added_comes_before_the_limits_and_nan_passes() {
        let side: Axis = axis(5, 1, 1, 1, (0, 0));
        let window = Window { y: side, x: side };
        let packed = Packed::new(1, 600, |_, k| if k == 0 || k == 599 { 1.0 } else { 0.0 });
        let mut input = vec![0.0; 600 * 25];
        input[..25].fill(1.0);
        input[599 * 25..].fill(1.0);
        input[3] = f32::NAN;
        let added: Vec<f32> = (0..25).map(|i| i as f32 - 10.0).collect();
        let mut output = vec![0.0; 25];
        let finish = Finish { bias: Bias::Rows(&[0.5]), added: Some(&added), clamp: Clamp { low: 0.0, high: 6.0 } };
        Convolve { window, weights: &packed, channels: 600, finish, input: &input, output: &mut output }.run();
        for (i, v) in output.iter().enumerate() {
            let expected = (2.5 + i as f32 - 10.0).clamp(0.0, 6.0);
            assert!(if i == 3 { v.is_nan() } else { *v == expected }, "{i}: {v}");
        }
    }
}
