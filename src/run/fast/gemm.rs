//! Matrix products over packed operands: the loop nest around one small kernel.
//!
//! `A` (weights) is packed into panels of [`ROWS`] rows, `B` into panels of [`COLUMNS`] columns, so that the kernel reads both without
//! gaps and keeps its block of the result in registers.

use super::planes::Clamp;
use super::simd::mul_add;
use std::sync::Arc;

/// Rows of the result that the kernel computes together.
pub(super) const ROWS: usize = 6;
/// Columns of the result that the kernel computes together: two AVX2 registers.
pub(super) const COLUMNS: usize = 16;
/// Depth of a block: a panel of `B` stays in the first-level cache.
const DEPTH: usize = 256;
/// Elements of a block of `A` or `B`, which stays in the second-level cache.
const BLOCK: usize = 64 * 1024;

/// A matrix in panels of [`ROWS`] rows.
#[derive(Debug, Clone)]
pub(super) struct Packed {
    pub rows: usize,
    pub depth: usize,
    /// For each block of depth, for each panel: `depth` times [`ROWS`] elements.
    data: Arc<Vec<f32>>,
}

impl Packed {
    /// Packs a matrix; `at(row, k)` tells its elements.
    pub fn new(rows: usize, depth: usize, at: impl Fn(usize, usize) -> f32) -> Self {
        let mut data = Vec::with_capacity(rows.div_ceil(ROWS) * ROWS * depth);
        for first in (0..depth).step_by(DEPTH) {
            for row in (0..rows).step_by(ROWS) {
                for k in first..(first + DEPTH).min(depth) {
                    data.extend((row..row + ROWS).map(|r| if r < rows { at(r, k) } else { 0.0 }));
                }
            }
        }
        Self { rows, depth, data: Arc::new(data) }
    }

    /// The panel of `row` (a multiple of [`ROWS`]) in the block of depth that starts at `first`.
    #[inline(always)]
    fn panel(&self, first: usize, row: usize) -> &[f32] {
        let count = DEPTH.min(self.depth - first);
        let padded = self.rows.div_ceil(ROWS) * ROWS;
        let start = first * padded + row * count;
        &self.data[start..start + count * ROWS]
    }

    /// Whether the packed data are the same.
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.data, &other.data)
    }
}

/// Terms of the result.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bias<'a> {
    /// One for each row.
    Rows(&'a [f32]),
    /// One for each column.
    Columns(&'a [f32]),
}

/// What is done to the product before it is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finish<'a> {
    pub bias: Bias<'a>,
    /// Added to the result, of its shape.
    pub added: Option<&'a [f32]>,
    pub clamp: Clamp,
}

/// `C = A B`, with `C` row-major and `fill` packing columns of `B`: `fill(first, count, column, width, panel)` writes rows
/// `first..first + count` of columns `column..column + width` into a panel of [`COLUMNS`] columns.
#[inline(always)]
pub(super) fn product<const FMA: bool>(
    a: &Packed,
    columns: usize,
    c: &mut [f32],
    finish: Finish<'_>,
    scratch: &mut Vec<f32>,
    mut fill: impl FnMut(usize, usize, usize, usize, &mut [f32]),
) {
    let wide = (BLOCK / DEPTH.min(a.depth.max(1))).next_multiple_of(COLUMNS).max(COLUMNS);
    for left in (0..columns).step_by(wide) {
        let right = (left + wide).min(columns);
        for first in (0..a.depth).step_by(DEPTH) {
            let count = DEPTH.min(a.depth - first);
            let panel = count * COLUMNS;
            scratch.resize((right - left).div_ceil(COLUMNS) * panel, 0.0);
            for (column, panel) in (left..right).step_by(COLUMNS).zip(scratch.chunks_exact_mut(panel)) {
                fill(first, count, column, COLUMNS.min(columns - column), panel);
            }
            let step = Step { begins: first == 0, ends: first + count == a.depth };
            let tall = (BLOCK / count).next_multiple_of(ROWS).max(ROWS);
            for top in (0..a.rows).step_by(tall) {
                let bottom = (top + tall).min(a.rows);
                for (column, b) in (left..right).step_by(COLUMNS).zip(scratch.chunks_exact(panel)) {
                    for row in (top..bottom).step_by(ROWS) {
                        let place = Place { row, rows: a.rows, column, columns };
                        block::<FMA>(a.panel(first, row), b, place, c, finish, step);
                    }
                }
            }
        }
    }
}

/// A matrix in panels of [`COLUMNS`] columns, for products whose right side is known beforehand.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    pub columns: usize,
    pub depth: usize,
    /// For each block of depth, for each panel: `depth` times [`COLUMNS`] elements.
    data: Arc<Vec<f32>>,
}

impl Columns {
    /// Packs a matrix; `at(k, column)` tells its elements.
    pub fn new(columns: usize, depth: usize, at: impl Fn(usize, usize) -> f32) -> Self {
        let mut data = Vec::with_capacity(columns.next_multiple_of(COLUMNS) * depth);
        for first in (0..depth).step_by(DEPTH) {
            for column in (0..columns).step_by(COLUMNS) {
                for k in first..(first + DEPTH).min(depth) {
                    data.extend((column..column + COLUMNS).map(|c| if c < columns { at(k, c) } else { 0.0 }));
                }
            }
        }
        Self { columns, depth, data: Arc::new(data) }
    }

    /// Whether the packed data are the same.
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.data, &other.data)
    }
}

/// `C = A B` with both `A` and `C` row-major, `B` packed.
#[inline(always)]
pub(super) fn product_by<const FMA: bool>(a: &[f32], b: &Columns, c: &mut [f32], finish: Finish<'_>, scratch: &mut Vec<f32>) {
    let (rows, width) = (a.len() / b.depth, b.columns.next_multiple_of(COLUMNS));
    for first in (0..b.depth).step_by(DEPTH) {
        let count = DEPTH.min(b.depth - first);
        scratch.clear();
        scratch.resize(rows.next_multiple_of(ROWS) * count, 0.0);
        for (row, panel) in (0..rows).step_by(ROWS).zip(scratch.chunks_exact_mut(count * ROWS)) {
            for (r, a) in a[row * b.depth..].chunks_exact(b.depth).take(ROWS).enumerate() {
                for (to, v) in panel[r..].iter_mut().step_by(ROWS).zip(&a[first..first + count]) {
                    *to = *v;
                }
            }
        }
        let step = Step { begins: first == 0, ends: first + count == b.depth };
        let panels = &b.data[first * width..][..count * width];
        for (column, panel) in (0..b.columns).step_by(COLUMNS).zip(panels.chunks_exact(count * COLUMNS)) {
            for (row, a) in (0..rows).step_by(ROWS).zip(scratch.chunks_exact(count * ROWS)) {
                let place = Place { row, rows, column, columns: b.columns };
                block::<FMA>(a, panel, place, c, finish, step);
            }
        }
    }
}

/// Which of the blocks of depth this is.
#[derive(Clone, Copy)]
struct Step {
    begins: bool,
    ends: bool,
}

/// Where a block of the result lies.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    rows: usize,
    column: usize,
    columns: usize,
}

/// The sums of one block, `W` columns wide.
#[inline(always)]
fn sums<const FMA: bool, const W: usize>(a: &[f32], b: &[f32]) -> [[f32; W]; ROWS] {
    let mut sum = [[0f32; W]; ROWS];
    for (a, b) in a.chunks_exact(ROWS).zip(b.chunks_exact(COLUMNS)) {
        let (a, b): (&[f32; ROWS], &[f32; W]) = (a.try_into().expect("a row"), b.first_chunk().expect("a column"));
        for (sum, a) in sum.iter_mut().zip(a) {
            for (sum, b) in sum.iter_mut().zip(b) {
                *sum = mul_add::<FMA>(*a, *b, *sum);
            }
        }
    }
    sum
}

/// One block of the result; narrow ones take half the work.
#[inline(always)]
fn block<const FMA: bool>(a: &[f32], b: &[f32], place: Place, c: &mut [f32], finish: Finish<'_>, step: Step) {
    let Place { row, rows, column, columns } = place;
    let width = COLUMNS.min(columns - column);
    let mut sum = [[0f32; COLUMNS]; ROWS];
    if width > COLUMNS / 2 {
        sum = sums::<FMA, COLUMNS>(a, b);
    } else {
        for (to, from) in sum.iter_mut().zip(sums::<FMA, { COLUMNS / 2 }>(a, b)) {
            to[..COLUMNS / 2].copy_from_slice(&from);
        }
    }
    for (r, sum) in sum.iter().enumerate().take(rows - row) {
        let at = (row + r) * columns + column;
        let to = &mut c[at..at + width];
        let mut bias = [0f32; COLUMNS];
        match finish.bias {
            Bias::Rows(b) => bias = [b[row + r]; COLUMNS],
            Bias::Columns(b) => bias[..width].copy_from_slice(&b[column..column + width]),
        }
        let added = finish.added.filter(|_| step.ends).map(|x| &x[at..at + width]);
        let clamp = if step.ends { finish.clamp } else { Clamp::NONE };
        if let Some(to) = to.first_chunk_mut::<COLUMNS>() {
            write(sum, to, &bias, step.begins, added.and_then(|x| x.first_chunk()), clamp);
        } else {
            // The last columns go through a whole block of their own.
            let mut own = [0f32; COLUMNS];
            own[..width].copy_from_slice(to);
            let mut other = [0f32; COLUMNS];
            if let Some(x) = added {
                other[..width].copy_from_slice(x);
            }
            write(sum, &mut own, &bias, step.begins, added.map(|_| &other), clamp);
            to.copy_from_slice(&own[..width]);
        }
    }
}

#[inline(always)]
fn write(sum: &[f32; COLUMNS], to: &mut [f32; COLUMNS], bias: &[f32; COLUMNS], begins: bool, added: Option<&[f32; COLUMNS]>, clamp: Clamp) {
    let mut out = [0f32; COLUMNS];
    let before = if begins { bias } else { &*to };
    for ((out, sum), before) in out.iter_mut().zip(sum).zip(before) {
        *out = *sum + *before;
    }
    if let Some(added) = added {
        for (out, x) in out.iter_mut().zip(added) {
            *out += *x;
        }
    }
    for (to, v) in to.iter_mut().zip(out) {
        *to = clamp.of(v);
    }
}
