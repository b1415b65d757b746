//! Pictures of images, decoded and made small away from the thread that draws.

use ratatui::layout::Size;
use ratatui_image::Resize;
use ratatui_image::picker::Picker;
use ratatui_image::protocol::Protocol;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};

/// A picture in the form in which it is drawn.
pub struct Picture {
    /// The file.
    pub path: PathBuf,
    /// What there is to draw.
    pub form: Form,
}

/// What there is to draw.
pub enum Form {
    /// Coloured half cells: two pixels a cell, one above the other.
    Halves {
        /// Columns.
        width: u16,
        /// Rows of cells.
        height: u16,
        /// `width` times twice `height` pixels, from the upper left.
        pixels: Vec<[u8; 3]>,
    },
    /// What the terminal's own picture protocol takes.
    Native(Box<Protocol>),
    /// Why there is none.
    None(String),
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture({})", self.path.display())
    }
}

impl Picture {
    /// Reads a file and makes it fit so many cells, as coloured half cells when the terminal has nothing better.
    pub fn new(path: &Path, size: Size, picker: Option<&Picker>) -> Self {
        let form = decode(path).and_then(|image| {
            let Some(picker) = picker else { return Ok(halves(&image, size)) };
            let made = picker.new_protocol(image, size, Resize::Scale(None));
            made.map(|p| Form::Native(Box::new(p))).map_err(|e| e.to_string())
        });
        Self { path: path.into(), form: form.unwrap_or_else(Form::None) }
    }
}

fn decode(path: &Path) -> Result<image::DynamicImage, String> {
    let picture = crate::dataset::Picture::open(path, crate::dataset::Alpha::Black).map_err(|e| e.to_string())?;
    let image = image::RgbImage::from_raw(picture.width as u32, picture.height as u32, picture.rgb);
    image.map(image::DynamicImage::ImageRgb8).ok_or_else(|| "it has no pixels".to_string())
}

fn halves(image: &image::DynamicImage, size: Size) -> Form {
    let (w, h) = (f64::from(image.width().max(1)), f64::from(image.height().max(1)));
    let scale = (f64::from(size.width) / w).min(f64::from(size.height) * 2.0 / h);
    let width = ((w * scale).round() as u32).clamp(1, u32::from(size.width.max(1)));
    let height = ((h * scale / 2.0).round() as u32).clamp(1, u32::from(size.height.max(1)));
    let small = image.resize_exact(width, height * 2, image::imageops::FilterType::Triangle).into_rgb8();
    Form::Halves { width: width as u16, height: height as u16, pixels: small.pixels().map(|p| p.0).collect() }
}

/// Makes pictures on a thread of its own; of several wishes the last one counts.
pub struct Maker {
    wishes: Sender<Wish>,
}

enum Wish {
    Picture(PathBuf, Size),
    Use(Box<Picker>),
}

impl Maker {
    /// Starts the thread; `done` takes each picture.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(done: impl Fn(Picture) + Send + 'static) -> std::io::Result<Self> {
        let (wishes, inbox) = channel();
        std::thread::Builder::new().name("pictures".into()).spawn(move || {
            let mut picker = None;
            let mut last = None;
            while let Ok(first) = inbox.recv() {
                for wish in std::iter::once(first).chain(inbox.try_iter()) {
                    match wish {
                        Wish::Picture(path, size) => last = Some((path, size)),
                        Wish::Use(p) => picker = Some(*p),
                    }
                }
                if let Some((path, size)) = &last {
                    done(Picture::new(path, *size, picker.as_ref()));
                }
            }
        })?;
        Ok(Self { wishes })
    }

    /// Asks for a picture.
    pub fn wish(&self, path: PathBuf, size: Size) {
        // The thread ends with the program only.
        let _ = self.wishes.send(Wish::Picture(path, size));
    }

    /// From now on pictures are made for this terminal; the last one is made again.
    pub fn use_picker(&self, picker: Picker) {
        let _ = self.wishes.send(Wish::Use(Box::new(picker)));
    }
}
