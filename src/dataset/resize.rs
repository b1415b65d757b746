//! Resizing equal to Pillow's, to the bit.
//!
//! A debugger whose own preprocessing differs from the user's reports flips that are not there, so this follows Pillow's
//! `Resample.c`: one pass for each axis, eight bits between them, coefficients in fixed point with 22 bits of fraction. The horizontal
//! pass comes first, but since Pillow 13 the vertical one does where height shrinks by more than twice what width shrinks; bytes
//! between the passes make that visible. Nearest is not a resampling there but an affine copy that adds up the step, and so it is
//! here. Only the part of the result that a crop keeps is ever computed.

use super::Picture;
use super::recipe::Filter;
use std::ops::Range;

/// Bits of fraction of a coefficient: `32 - 8 - 2` in Pillow.
const PRECISION: u32 = 22;

/// A part of the resized picture, in pixels; it lies within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Left edge.
    pub x: usize,
    /// Upper edge.
    pub y: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Window {
    /// The whole of a picture.
    pub fn whole(width: usize, height: usize) -> Self {
        Self { x: 0, y: 0, width, height }
    }
}

/// The `window` of `picture` resized to `width` x `height`, as `Image.resize((width, height), filter)` gives it.
pub fn resize(picture: &Picture, width: usize, height: usize, filter: Filter, window: Window) -> Picture {
    if (width, height) == (picture.width, picture.height) {
        return picture.crop(window);
    }
    let Some(kernel) = Kernel::of(filter) else {
        return nearest(picture, width, height, window);
    };
    let across = window.x..window.x + window.width;
    let down = window.y..window.y + window.height;
    let columns = (width != picture.width).then(|| Coefficients::new(picture.width, width, across.clone(), &kernel));
    let rows = (height != picture.height).then(|| Coefficients::new(picture.height, height, down.clone(), &kernel));
    match (&columns, &rows) {
        (None, None) => picture.crop(window),
        (Some(columns), None) => horizontal(picture, down, 0, columns),
        (None, Some(rows)) => vertical(picture, across, 0, rows),
        (Some(columns), Some(rows)) if is_tall(picture, width, height) => {
            let read = columns.reach();
            let first = read.start;
            let low = vertical(picture, read, 0, rows);
            horizontal(&low, 0..low.height, first, columns)
        }
        (Some(columns), Some(rows)) => {
            let read = rows.reach();
            let first = read.start;
            let narrow = horizontal(picture, read, 0, columns);
            vertical(&narrow, 0..narrow.width, first, rows)
        }
    }
}

/// Whether Pillow begins with the vertical pass.
fn is_tall(picture: &Picture, width: usize, height: usize) -> bool {
    let shrinks = |from: usize, to: usize| from as i64 - to as i64;
    let (down, across) = (shrinks(picture.height, height), shrinks(picture.width, width));
    down > 0 && down > 2 * across
}

/// A filter's curve and how far it reaches on either side.
struct Kernel {
    support: f64,
    curve: fn(f64) -> f64,
}

impl Kernel {
    fn of(filter: Filter) -> Option<Self> {
        let (support, curve): (f64, fn(f64) -> f64) = match filter {
            Filter::Nearest => return None,
            Filter::Bilinear => (1.0, |x| if x.abs() < 1.0 { 1.0 - x.abs() } else { 0.0 }),
            Filter::Bicubic => (2.0, bicubic),
            Filter::Lanczos => (3.0, |x| if (-3.0..3.0).contains(&x) { sinc(x) * sinc(x / 3.0) } else { 0.0 }),
        };
        Some(Self { support, curve })
    }
}

fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let x = x * std::f64::consts::PI;
    x.sin() / x
}

/// For each place of the result: where its source begins, and the weights from there on.
struct Coefficients {
    /// Start in the source, start in `weights`, number of weights.
    spans: Vec<(usize, usize, usize)>,
    weights: Vec<i32>,
}

impl Coefficients {
    /// `precompute_coeffs` and `normalize_coeffs_8bpc`, for the places of `range` alone.
    fn new(input: usize, output: usize, range: Range<usize>, kernel: &Kernel) -> Self {
        let scale = input as f64 / output as f64;
        let stretch = scale.max(1.0);
        let support = kernel.support * stretch;
        let shrink = 1.0 / stretch;
        let mut out = Self { spans: Vec::with_capacity(range.len()), weights: Vec::new() };
        let mut raw: Vec<f64> = Vec::new();
        for place in range {
            let centre = (place as f64 + 0.5) * scale;
            // Casts truncate towards zero, as in C.
            let first = ((centre - support + 0.5) as i64).max(0) as usize;
            let end = ((centre + support + 0.5) as i64).min(input as i64) as usize;
            raw.clear();
            raw.extend((0..end - first).map(|i| (kernel.curve)((i as f64 + first as f64 - centre + 0.5) * shrink)));
            let sum: f64 = raw.iter().sum();
            out.spans.push((first, out.weights.len(), raw.len()));
            out.weights.extend(raw.iter().map(|w| {
                let w = if sum == 0.0 { *w } else { *w / sum } * f64::from(1 << PRECISION);
                (w + if w < 0.0 { -0.5 } else { 0.5 }) as i32
            }));
        }
        out
    }

    fn of(&self, place: usize) -> (usize, &[i32]) {
        let (first, at, count) = self.spans[place];
        (first, &self.weights[at..at + count])
    }

    /// What is read of the source.
    fn reach(&self) -> Range<usize> {
        let first = self.spans.iter().map(|(f, ..)| *f).min().unwrap_or(0);
        let end = self.spans.iter().map(|(f, _, n)| f + n).max().unwrap_or(0);
        first..end
    }
}

/// The sum without its fraction, within a byte.
fn byte(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// Half of the last place kept, so that the shift rounds.
const HALF: i32 = 1 << (PRECISION - 1);

/// Resamples `rows` of a picture whose first column is column `offset` of the source.
fn horizontal(picture: &Picture, rows: Range<usize>, offset: usize, columns: &Coefficients) -> Picture {
    let width = columns.spans.len();
    let height = rows.len();
    let mut rgb = vec![0u8; width * height * 3];
    for (y, out) in rows.zip(rgb.chunks_mut((width * 3).max(1))) {
        let row = picture.row(y);
        for (x, pixel) in out.chunks_exact_mut(3).enumerate() {
            let (from, weights) = columns.of(x);
            let mut sum = [HALF; 3];
            for (p, w) in row[(from - offset) * 3..].chunks_exact(3).zip(weights) {
                for c in 0..3 {
                    sum[c] = sum[c].wrapping_add(i32::from(p[c]).wrapping_mul(*w));
                }
            }
            for c in 0..3 {
                pixel[c] = byte(sum[c]);
            }
        }
    }
    Picture { width, height, rgb }
}

/// Resamples `columns` of a picture whose first row is row `offset` of the source.
fn vertical(picture: &Picture, columns: Range<usize>, offset: usize, rows: &Coefficients) -> Picture {
    /// Bytes whose sums stay in registers.
    const STRIP: usize = 32;
    let (first, length) = (columns.start * 3, columns.len() * 3);
    let height = rows.spans.len();
    let mut rgb = vec![0u8; length * height];
    for (y, out) in rgb.chunks_mut(length.max(1)).enumerate() {
        let (from, weights) = rows.of(y);
        for (s, out) in out.chunks_mut(STRIP).enumerate() {
            let mut sums = [HALF; STRIP];
            for (r, w) in weights.iter().enumerate() {
                let source = &picture.row(from - offset + r)[first + s * STRIP..][..out.len()];
                for (sum, p) in sums.iter_mut().zip(source) {
                    *sum = sum.wrapping_add(i32::from(*p).wrapping_mul(*w));
                }
            }
            for (o, sum) in out.iter_mut().zip(sums) {
                *o = byte(sum);
            }
        }
    }
    Picture { width: columns.len(), height, rgb }
}

/// `ImagingScaleAffine`: the step is added up, not multiplied; what falls outside is black.
fn nearest(picture: &Picture, width: usize, height: usize, window: Window) -> Picture {
    let places = |input: usize, output: usize, first: usize, count: usize| -> Vec<Option<usize>> {
        let step = input as f64 / output as f64;
        let mut at = step * 0.5;
        let mut out = Vec::with_capacity(count);
        for i in 0..first + count {
            if i >= first {
                out.push(Some(at as usize).filter(|p| *p < input));
            }
            at += step;
        }
        out
    };
    let columns = places(picture.width, width, window.x, window.width);
    let mut rgb = Vec::with_capacity(window.width * window.height * 3);
    for y in places(picture.height, height, window.y, window.height) {
        for x in &columns {
            match (x, y) {
                (Some(x), Some(y)) => rgb.extend_from_slice(&picture.row(y)[x * 3..x * 3 + 3]),
                _ => rgb.extend_from_slice(&[0; 3]),
            }
        }
    }
    Picture { width: window.width, height: window.height, rgb }
}
