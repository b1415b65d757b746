//! From an image file to a picture: eight bits of red, green and blue a pixel.
//!
//! Where nothing else is said this gives what Pillow's `Image.open(path).convert("RGB")` gives, as training code is mostly written
//! against that: grey is repeated, a palette looked up, transparency dropped, 16 bits cut to their upper eight. Two differences are
//! meant: EXIF orientation is honoured, and 16-bit grey is cut as 16-bit colour is (Pillow makes nearly all of it white).

use super::DatasetError;
use super::jpeg;
use super::recipe::Alpha;
use super::resize::Window;
use crate::model::read_file;
use crate::run::caught;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};
use std::io::Cursor;
use std::path::Path;

/// Pixels above which a picture is refused: Pillow's threshold for a decompression bomb.
pub const MAX_PIXELS: u64 = 89_478_485;
/// Bytes above which the decoded form of a picture is refused.
const MAX_BYTES: u64 = 512 << 20;

/// A decoded picture, row by row, three bytes a pixel.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// Columns, at least one.
    pub width: usize,
    /// Rows, at least one.
    pub height: usize,
    /// Red, green, blue, from the upper left.
    pub rgb: Vec<u8>,
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture({} x {})", self.width, self.height)
    }
}

impl Picture {
    /// One row.
    pub fn row(&self, y: usize) -> &[u8] {
        &self.rgb[y * self.width * 3..(y + 1) * self.width * 3]
    }

    /// A part of it, which must lie within.
    pub(super) fn crop(&self, window: Window) -> Self {
        if window == Window::whole(self.width, self.height) {
            return self.clone();
        }
        let mut rgb = Vec::with_capacity(window.width * window.height * 3);
        for y in window.y..window.y + window.height {
            rgb.extend_from_slice(&self.row(y)[window.x * 3..(window.x + window.width) * 3]);
        }
        Self { width: window.width, height: window.height, rgb }
    }

    /// A copy of at most `side` columns and rows, encoded: as PNG when small, else as JPEG. `None` when it cannot be encoded.
    pub fn small(&self, side: usize) -> Option<Vec<u8>> {
        let (width, height) = (u32::try_from(self.width).ok()?, u32::try_from(self.height).ok()?);
        let side = u32::try_from(side).ok()?.max(1);
        let mut picture = RgbImage::from_raw(width, height, self.rgb.clone())?;
        let largest = width.max(height);
        if largest > side {
            let scaled = |n: u32| u32::try_from(u64::from(n) * u64::from(side) / u64::from(largest)).unwrap_or(side).max(1);
            picture = image::imageops::thumbnail(&picture, scaled(width), scaled(height));
        }
        let format = if largest <= 64 { ImageFormat::Png } else { ImageFormat::Jpeg };
        let mut out = Cursor::new(Vec::new());
        picture.write_to(&mut out, format).ok()?;
        Some(out.into_inner())
    }

    /// Decodes a file.
    ///
    /// # Errors
    /// [`DatasetError::Image`], naming the file, when it cannot be read, is no image, or is larger than [`MAX_PIXELS`].
    pub fn open(path: &Path, alpha: Alpha) -> Result<Self, DatasetError> {
        let bad = |why: String| DatasetError::Image { path: path.into(), why };
        let bytes = read_file(path, MAX_BYTES).map_err(|e| bad(e.to_string()))?;
        Self::decode(&bytes, alpha).map_err(bad)
    }

    /// Decodes the bytes of a JPEG, PNG, BMP, WebP or GIF file; of an animation the first frame.
    ///
    /// # Errors
    /// In words, without the file's name.
    pub fn decode(bytes: &[u8], alpha: Alpha) -> Result<Self, String> {
        if bytes.is_empty() {
            return Err("the file is empty".into());
        }
        // Decoders of foreign bytes: a panic in one of them must not end the program.
        caught(|| decode(bytes, alpha)).unwrap_or_else(|_| Err("the decoder gave up on it".into()))
    }
}

fn decode(bytes: &[u8], alpha: Alpha) -> Result<Picture, String> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| e.to_string())?;
    let Some(format) = reader.format() else { return Err("not a JPEG, PNG, BMP, WebP or GIF image".into()) };
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|e| e.to_string())?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(format!("it has no pixels ({width} x {height})"));
    }
    if u64::from(width) * u64::from(height) > MAX_PIXELS || decoder.total_bytes() > MAX_BYTES {
        return Err(format!("{width} x {height} pixels are more than the limit of {MAX_PIXELS}"));
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let exact = (format == ImageFormat::Jpeg).then(|| jpeg::decode(bytes, MAX_PIXELS)).flatten();
    let exact = exact.filter(|(w, h, _)| [*w, *h] == [width as usize, height as usize]);
    let mut image = match exact.and_then(|(_, _, rgb)| RgbImage::from_raw(width, height, rgb)) {
        Some(image) => image.into(),
        None => DynamicImage::from_decoder(decoder).map_err(|e| e.to_string())?,
    };
    image.apply_orientation(orientation);
    let (width, height) = (image.width() as usize, image.height() as usize);
    Ok(Picture { width, height, rgb: to_rgb(image, alpha) })
}

fn to_rgb(image: DynamicImage, alpha: Alpha) -> Vec<u8> {
    let upper = |v: u16| (v >> 8) as u8;
    match image {
        DynamicImage::ImageRgb8(i) => i.into_raw(),
        DynamicImage::ImageLuma8(i) => i.into_raw().into_iter().flat_map(|v| [v; 3]).collect(),
        DynamicImage::ImageLumaA8(i) => i.pixels().flat_map(|p| blend([p.0[0]; 3], p.0[1], alpha)).collect(),
        DynamicImage::ImageRgba8(i) => i.pixels().flat_map(|p| blend([p.0[0], p.0[1], p.0[2]], p.0[3], alpha)).collect(),
        DynamicImage::ImageLuma16(i) => i.into_raw().into_iter().flat_map(|v| [upper(v); 3]).collect(),
        DynamicImage::ImageLumaA16(i) => i.pixels().flat_map(|p| blend([upper(p.0[0]); 3], upper(p.0[1]), alpha)).collect(),
        DynamicImage::ImageRgb16(i) => i.into_raw().into_iter().map(upper).collect(),
        DynamicImage::ImageRgba16(i) => {
            i.pixels().flat_map(|p| blend([upper(p.0[0]), upper(p.0[1]), upper(p.0[2])], upper(p.0[3]), alpha)).collect()
        }
        other => other.into_rgb8().into_raw(),
    }
}

/// A pixel over its background, rounded as Pillow's `alpha_composite` on an opaque ground rounds.
fn blend(rgb: [u8; 3], a: u8, alpha: Alpha) -> [u8; 3] {
    let ground = match alpha {
        Alpha::Drop => return rgb,
        Alpha::Black => 0,
        Alpha::White => 255,
    };
    rgb.map(|v| ((u32::from(v) * u32::from(a) + ground * (255 - u32::from(a)) + 127) / 255) as u8)
}
