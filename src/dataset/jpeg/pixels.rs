//! From coefficients to pixels, step by step as libjpeg-turbo does it by default.

use super::{Component, Frame};

/// The picture of a frame; `None` when something of it did not come, or is sampled in a way that is not known.
pub(super) fn picture(frame: &Frame, jfif: bool, adobe: Option<u8>) -> Option<(usize, usize, Vec<u8>)> {
    let (width, height) = (frame.width, frame.height);
    let planes: Vec<Plane<'_>> = frame.components.iter().map(|c| Plane::new(c, frame)).collect::<Option<_>>()?;
    let ids: Vec<u8> = frame.components.iter().map(|c| c.id).collect();
    let coloured = match adobe {
        _ if jfif => true,
        Some(transform) => transform != 0,
        None => ids != *b"RGB",
    };
    let mut out = Vec::with_capacity(width * height * 3);
    let mut rows: Vec<Vec<u8>> = planes.iter().map(|p| vec![0; p.across * p.component.width]).collect();
    for y in 0..height {
        for (plane, row) in planes.iter().zip(&mut rows) {
            plane.row(y, row);
        }
        match &rows[..] {
            [grey] => out.extend(grey[..width].iter().flat_map(|v| [*v; 3])),
            [a, b, c] => {
                let pixels = a[..width].iter().zip(&b[..width]).zip(&c[..width]);
                if coloured {
                    out.extend(pixels.flat_map(|((y, cb), cr)| rgb(*y, *cb, *cr)));
                } else {
                    out.extend(pixels.flat_map(|((r, g), b)| [*r, *g, *b]));
                }
            }
            _ => return None,
        }
    }
    Some((width, height, out))
}

/// Colours in fixed point with 16 bits behind the point.
#[inline]
fn rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let r = y + ((91_881 * cr + HALF) >> 16);
    let g = y + ((-22_554 * cb - 46_802 * cr + HALF) >> 16);
    let b = y + ((116_130 * cb + HALF) >> 16);
    [r, g, b].map(|v| v.clamp(0, 255) as u8)
}

/// The samples of a component.
struct Plane<'a> {
    component: &'a Component,
    samples: Vec<u8>,
    pitch: usize,
    /// How many pixels of the picture a sample stands for.
    across: usize,
    down: usize,
}

impl<'a> Plane<'a> {
    fn new(component: &'a Component, frame: &Frame) -> Option<Self> {
        // What is not complete would be smoothed.
        let steps = component.steps.filter(|_| component.missing.iter().all(|m| *m == 0))?;
        let (across, down) = (frame.h / component.h, frame.v / component.v);
        if across * component.h != frame.h || down * component.v != frame.v {
            return None;
        }
        let pitch = component.stride * 8;
        let mut samples = vec![0; pitch * component.rows * 8];
        for (at, block) in component.coefficients.chunks_exact(64).enumerate() {
            let corner = at / component.stride * 8 * pitch + at % component.stride * 8;
            inverse(block.try_into().ok()?, &steps, &mut samples[corner..], pitch);
        }
        Some(Self { component, samples, pitch, across, down })
    }

    /// A row of samples; beyond the picture the last one again.
    fn samples(&self, row: usize) -> &[u8] {
        &self.samples[row.min(self.component.height - 1) * self.pitch..][..self.component.width]
    }

    /// A row of the picture, as wide as the samples reach.
    fn row(&self, y: usize, out: &mut [u8]) {
        let near = self.samples(y / self.down);
        let far = |y: usize| self.samples(if y.is_multiple_of(2) { (y / 2).saturating_sub(1) } else { y / 2 + 1 });
        match (self.across, self.down) {
            (1, 1) => out.copy_from_slice(near),
            (2, 1) if near.len() > 2 => wider(near, out),
            (1, 2) => {
                let bias = 1 + (y % 2) as u32;
                for ((to, near), far) in out.iter_mut().zip(near).zip(far(y)) {
                    *to = ((u32::from(*near) * 3 + u32::from(*far) + bias) >> 2) as u8;
                }
            }
            (2, 2) if near.len() > 2 => wider_and_taller(near, far(y), out),
            (times, _) => {
                for (to, v) in out.chunks_exact_mut(times).zip(near) {
                    to.fill(*v);
                }
            }
        }
    }
}

/// Three parts of the nearer sample and one of the farther, rounded up and down in turn.
fn wider(near: &[u8], out: &mut [u8]) {
    let at = |i: usize| u32::from(near[i]);
    let last = near.len() - 1;
    for (i, to) in out.chunks_exact_mut(2).enumerate() {
        to[0] = if i == 0 { near[0] } else { ((3 * at(i) + at(i - 1) + 1) >> 2) as u8 };
        to[1] = if i == last { near[last] } else { ((3 * at(i) + at(i + 1) + 2) >> 2) as u8 };
    }
}

/// The same both ways.
fn wider_and_taller(near: &[u8], far: &[u8], out: &mut [u8]) {
    let at = |i: usize| 3 * u32::from(near[i]) + u32::from(far[i]);
    let last = near.len() - 1;
    let (mut before, mut here) = (at(0), at(0));
    for (i, to) in out.chunks_exact_mut(2).enumerate() {
        let next = at((i + 1).min(last));
        // At the borders there is the sample itself in place of the neighbour.
        to[0] = ((3 * here + before + 8) >> 4) as u8;
        to[1] = ((3 * here + next + 7) >> 4) as u8;
        (before, here) = (here, next);
    }
}

/// The accurate integer transform: 13 bits behind the point of the factors, two more kept between the passes.
fn inverse(block: &[i16; 64], steps: &[u16; 64], out: &mut [u8], pitch: usize) {
    let mut between = [0i32; 64];
    for x in 0..8 {
        let column = |k: usize| i32::from(block[8 * k + x]).wrapping_mul(i32::from(steps[8 * k + x]));
        let sums = butterfly(std::array::from_fn(column));
        for (k, sum) in sums.into_iter().enumerate() {
            between[8 * k + x] = sum.wrapping_add(1 << 10) >> 11;
        }
    }
    for (row, out) in between.chunks_exact(8).zip(out.chunks_mut(pitch)) {
        let sums = butterfly(std::array::from_fn(|k| row[k]));
        for (to, sum) in out.iter_mut().zip(sums) {
            *to = ((sum.wrapping_add(1 << 17) >> 18) + 128).clamp(0, 255) as u8;
        }
    }
}

/// Eight values transformed, 13 bits larger.
#[inline]
fn butterfly(v: [i32; 8]) -> [i32; 8] {
    let times = |a: i32, factor: i32| a.wrapping_mul(factor);
    let add = i32::wrapping_add;
    let sub = i32::wrapping_sub;
    let z = times(add(v[2], v[6]), 4_433);
    let (even2, even3) = (sub(z, times(v[6], 15_137)), add(z, times(v[2], 6_270)));
    let (even0, even1) = (times(add(v[0], v[4]), 1 << 13), times(sub(v[0], v[4]), 1 << 13));
    let even = [add(even0, even3), add(even1, even2), sub(even1, even2), sub(even0, even3)];
    let (a, b, c, d) = (v[7], v[5], v[3], v[1]);
    let z5 = times(add(add(a, c), add(b, d)), 9_633);
    let (z1, z2) = (times(add(a, d), -7_373), times(add(b, c), -20_995));
    let (z3, z4) = (add(times(add(a, c), -16_069), z5), add(times(add(b, d), -3_196), z5));
    let odd = [
        add(times(d, 12_299), add(z1, z4)),
        add(times(c, 25_172), add(z2, z3)),
        add(times(b, 16_819), add(z2, z4)),
        add(times(a, 2_446), add(z1, z3)),
    ];
    std::array::from_fn(|k| if k < 4 { add(even[k], odd[k]) } else { sub(even[7 - k], odd[7 - k]) })
}
