//! From a picture to an input tensor, by a recipe.
//!
//! The arithmetic is that of numpy on `float32`: `(value / scale - mean) / std`, rounded after each step. A byte has 256 values, so
//! it is done once a value and channel.

use super::recipe::{AxisOrder, Channels, Element, Geometry, Recipe, Resize};
use super::resize::{Window, resize};
use super::{DatasetError, Picture};
use crate::run::Value;

/// Resizes and crops a picture as a recipe says.
///
/// # Errors
/// When the recipe has no size and needs one.
pub fn shaped(picture: &Picture, how: &Geometry) -> Result<Picture, DatasetError> {
    if how.resize == Resize::None {
        return Ok(picture.clone());
    }
    let [height, width] = how
        .size
        .ok_or_else(|| DatasetError::Recipe("size is missing, and the model does not declare one: say size = [height, width]".into()))?;
    let (w, h) = (picture.width, picture.height);
    Ok(match how.resize {
        Resize::Squash | Resize::None => resize(picture, width, height, how.filter, Window::whole(width, height)),
        Resize::ShorterSide => {
            let short = how.resize_to.unwrap_or(height.min(width));
            let (rw, rh) = if w <= h { (short, short * h / w) } else { (short * w / h, short) };
            let (x, columns, left) = middle(rw, width);
            let (y, rows, top) = middle(rh, height);
            let part = resize(picture, rw, rh, how.filter, Window { x, y, width: columns, height: rows });
            on_black(part, width, height, left, top)
        }
        Resize::Letterbox => {
            let k = (height as f64 / h as f64).min(width as f64 / w as f64);
            let fit = |side: usize, most: usize| ((side as f64 * k + 0.5) as usize).clamp(1, most);
            let (rw, rh) = (fit(w, width), fit(h, height));
            let part = resize(picture, rw, rh, how.filter, Window::whole(rw, rh));
            on_black(part, width, height, (width - rw) / 2, (height - rh) / 2)
        }
    })
}

/// The middle `want` of `have` places, the offset rounded down: first place, how many there are, and how many come before it.
fn middle(have: usize, want: usize) -> (usize, usize, usize) {
    if have >= want {
        ((have - want) / 2, want, 0)
    } else {
        // Floor of a negative offset is the ceiling of what lies outside.
        (0, have, (want - have).div_ceil(2))
    }
}

/// A picture on a black ground.
fn on_black(picture: Picture, width: usize, height: usize, left: usize, top: usize) -> Picture {
    if (picture.width, picture.height) == (width, height) {
        return picture;
    }
    let mut rgb = vec![0; width * height * 3];
    for y in 0..picture.height {
        let at = ((top + y) * width + left) * 3;
        rgb[at..at + picture.width * 3].copy_from_slice(picture.row(y));
    }
    Picture { width, height, rgb }
}

/// The tensor of a picture that already has its shape; batch axis of 1 in front.
///
/// # Errors
/// [`DatasetError::Recipe`] for a recipe that [`Recipe::validate`] refuses.
pub fn tensor(picture: &Picture, recipe: &Recipe) -> Result<Value, DatasetError> {
    recipe.validate()?;
    let planes = Planes::of(picture, recipe.channels);
    let shape = match recipe.layout {
        AxisOrder::Nchw => vec![1, planes.channels, picture.height, picture.width],
        AxisOrder::Nhwc => vec![1, picture.height, picture.width, planes.channels],
    };
    let normal = |v: u8, c: usize| (f32::from(v) / recipe.scale as f32 - recipe.mean[c] as f32) / recipe.std[c] as f32;
    macro_rules! bytes {
        ($make:expr) => {{
            let data = planes.fill(recipe.layout, $make);
            let bytes: Vec<u8> = data.iter().flat_map(|v| v.to_le_bytes()).collect();
            Value::from_bytes(recipe.dtype.data_type(), &shape, &bytes).map_err(|e| DatasetError::Recipe(e.to_string()))
        }};
    }
    match recipe.dtype {
        Element::Float32 => Ok(Value::from_f32(&shape, planes.fill(recipe.layout, normal))),
        Element::Float16 => bytes!(|v, c| half::f16::from_f32(normal(v, c))),
        Element::Float64 => bytes!(|v, c| f64::from(normal(v, c))),
        Element::Uint8 => bytes!(|v, _| v),
        Element::Uint16 => bytes!(|v, _| u16::from(v)),
        Element::Int8 => bytes!(|v, c| normal(v, c) as i8),
        Element::Int16 => bytes!(|v, c| normal(v, c) as i16),
        Element::Int32 => bytes!(|v, c| normal(v, c) as i32),
        Element::Int64 => bytes!(|v, c| normal(v, c) as i64),
    }
}

/// Bytes of a picture in the recipe's channels, pixel by pixel.
struct Planes<'a> {
    bytes: std::borrow::Cow<'a, [u8]>,
    channels: usize,
    /// Channel `c` of the tensor is byte `order[c]` of a pixel.
    order: [usize; 3],
}

impl<'a> Planes<'a> {
    fn of(picture: &'a Picture, channels: Channels) -> Self {
        match channels {
            Channels::Rgb => Self { bytes: (&picture.rgb).into(), channels: 3, order: [0, 1, 2] },
            Channels::Bgr => Self { bytes: (&picture.rgb).into(), channels: 3, order: [2, 1, 0] },
            Channels::Gray => {
                // Pillow's convert("L").
                let luma =
                    |p: &[u8]| ((u32::from(p[0]) * 19_595 + u32::from(p[1]) * 38_470 + u32::from(p[2]) * 7_471 + 0x8000) >> 16) as u8;
                Self { bytes: picture.rgb.chunks_exact(3).map(luma).collect::<Vec<_>>().into(), channels: 1, order: [0; 3] }
            }
        }
    }

    fn fill<T: Copy>(&self, layout: AxisOrder, make: impl Fn(u8, usize) -> T) -> Vec<T> {
        let tables: Vec<Vec<T>> = (0..self.channels).map(|c| (0..=255).map(|v| make(v, c)).collect()).collect();
        let n = self.channels;
        let mut out = Vec::with_capacity(self.bytes.len());
        match layout {
            AxisOrder::Nchw => {
                for (c, table) in tables.iter().enumerate() {
                    out.extend(self.bytes.chunks_exact(n).map(|p| table[usize::from(p[self.order[c]])]));
                }
            }
            AxisOrder::Nhwc => {
                for pixel in self.bytes.chunks_exact(n) {
                    out.extend(tables.iter().enumerate().map(|(c, table)| table[usize::from(pixel[self.order[c]])]));
                }
            }
        }
        out
    }
}
