//! Recipes: how an image becomes an input tensor.
//!
//! Order: decode to RGB → resize and crop → channels → float, divided by `scale` → minus `mean` → divided by `std` → layout → element
//! type. An unsigned element type takes the bytes as they are.

use super::{DatasetError, nearest_word};
use crate::model::onnx::tensor_proto::DataType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Rows, columns or pixels of one side above which a recipe is refused.
const MAX_SIDE: usize = 32_768;
/// Pixels of an input above which a recipe is refused.
const MAX_INPUT: usize = 1 << 26;

/// An enum whose members have one name each in recipes, listed for messages and flags.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$mdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum $name { $($(#[$mdoc])* #[serde(rename = $word)] $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            /// The word that recipes use.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|v| v.word() == text).ok_or_else(|| {
                    let all: Vec<_> = Self::ALL.iter().map(|v| v.word()).collect();
                    format!("'{text}' is none of {}", all.join(", "))
                })
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

words! {
    /// How a picture of any size gets the size of the input.
    Resize {
        /// To `size`, whatever the proportions.
        Squash = "squash",
        /// The shorter side to `resize_to`, then the middle of it; black where that lies outside.
        ShorterSide = "shorter-side",
        /// Whole within `size`, with black bars.
        Letterbox = "letterbox",
        /// Not at all: the picture has the size of the input.
        None = "none",
    }
}

words! {
    /// Resampling, as Pillow does it (antialiased when shrinking, but for `nearest`).
    Filter {
        /// The nearest pixel.
        Nearest = "nearest",
        /// Triangle.
        Bilinear = "bilinear",
        /// Cubic with a = -0.5.
        Bicubic = "bicubic",
        /// Lanczos with three lobes.
        Lanczos = "lanczos",
    }
}

words! {
    /// Channels and their order.
    Channels {
        /// Red, green, blue.
        Rgb = "rgb",
        /// Blue, green, red.
        Bgr = "bgr",
        /// One: luma as in ITU-R 601-2, rounded.
        Gray = "gray",
    }
}

impl Channels {
    /// How many there are.
    pub fn count(self) -> usize {
        if self == Self::Gray { 1 } else { 3 }
    }
}

words! {
    /// Order of the axes.
    AxisOrder {
        /// Batch, channel, row, column.
        Nchw = "nchw",
        /// Batch, row, column, channel.
        Nhwc = "nhwc",
    }
}

words! {
    /// What becomes of transparency.
    Alpha {
        /// It is dropped, as Pillow's `convert("RGB")` drops it.
        Drop = "drop",
        /// The picture lies on black.
        Black = "black",
        /// The picture lies on white.
        White = "white",
    }
}

words! {
    /// Element type of the tensor.
    Element {
        /// 32-bit float.
        Float32 = "float32",
        /// 16-bit float.
        Float16 = "float16",
        /// 64-bit float.
        Float64 = "float64",
        /// The bytes as they are.
        Uint8 = "uint8",
        /// The bytes as they are.
        Uint16 = "uint16",
        /// Cut towards zero.
        Int8 = "int8",
        /// Cut towards zero.
        Int16 = "int16",
        /// Cut towards zero.
        Int32 = "int32",
        /// Cut towards zero.
        Int64 = "int64",
    }
}

impl Element {
    /// The same in ONNX's words.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Float32 => DataType::Float,
            Self::Float16 => DataType::Float16,
            Self::Float64 => DataType::Double,
            Self::Uint8 => DataType::Uint8,
            Self::Uint16 => DataType::Uint16,
            Self::Int8 => DataType::Int8,
            Self::Int16 => DataType::Int16,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
        }
    }

    /// The recipe's word for one of ONNX's types, where there is one.
    pub fn of(dtype: DataType) -> Option<Self> {
        Self::ALL.iter().copied().find(|e| e.data_type() == dtype)
    }
}

/// A `[preprocess]` table as it is written: everything may be absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecipeKeys {
    /// Name of a preset that gives every key not written here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// `squash`, `shorter-side`, `letterbox` or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize: Option<Resize>,
    /// Height and width of the input; the model's declared ones when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<[usize; 2]>,
    /// Length of the shorter side before the crop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize_to: Option<usize>,
    /// `nearest`, `bilinear`, `bicubic` or `lanczos`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    /// `rgb`, `bgr` or `gray`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<Channels>,
    /// `drop`, `black` or `white`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<Alpha>,
    /// Values 0..255 are divided by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// Subtracted after that, in the order of `channels`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<Vec<f64>>,
    /// Divided by after that, in the order of `channels`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std: Option<Vec<f64>>,
    /// `nchw` or `nhwc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<AxisOrder>,
    /// `float32`, `float16`, `float64`, `uint8`, ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtype: Option<Element>,
}

impl RecipeKeys {
    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These keys, and those of `below` where there are none.
    pub fn over(self, below: Self) -> Self {
        Self {
            preset: self.preset.or(below.preset),
            resize: self.resize.or(below.resize),
            size: self.size.or(below.size),
            resize_to: self.resize_to.or(below.resize_to),
            filter: self.filter.or(below.filter),
            channels: self.channels.or(below.channels),
            alpha: self.alpha.or(below.alpha),
            scale: self.scale.or(below.scale),
            mean: self.mean.or(below.mean),
            std: self.std.or(below.std),
            layout: self.layout.or(below.layout),
            dtype: self.dtype.or(below.dtype),
        }
    }

    /// The recipe these keys say, a preset's keys put in below them.
    ///
    /// # Errors
    /// An unknown preset, or values that contradict each other.
    pub fn resolve(self) -> Result<Recipe, DatasetError> {
        let below = match &self.preset {
            None => Self::default(),
            Some(name) => super::presets::keys(name).ok_or_else(|| {
                let names: Vec<_> = super::presets::PRESETS.iter().map(|p| p.name).collect();
                let near = nearest_word(name, names.iter().copied()).map(|n| format!("; did you mean '{n}'?")).unwrap_or_default();
                DatasetError::Recipe(format!("there is no preset '{name}'{near} (presets: {})", names.join(", ")))
            })?,
        };
        let keys = self.over(below);
        let channels = keys.channels.unwrap_or(Channels::Rgb);
        let each = |given: Option<Vec<f64>>, otherwise: f64| match given {
            Some(one) if one.len() == 1 => vec![one[0]; channels.count()],
            Some(many) => many,
            None => vec![otherwise; channels.count()],
        };
        let recipe = Recipe {
            resize: keys.resize.unwrap_or(Resize::Squash),
            size: keys.size,
            resize_to: keys.resize_to,
            filter: keys.filter.unwrap_or(Filter::Bilinear),
            channels,
            alpha: keys.alpha.unwrap_or(Alpha::Drop),
            scale: keys.scale.unwrap_or(1.0),
            mean: each(keys.mean, 0.0),
            std: each(keys.std, 1.0),
            layout: keys.layout.unwrap_or(AxisOrder::Nchw),
            dtype: keys.dtype.unwrap_or(Element::Float32),
        };
        recipe.validate()?;
        Ok(recipe)
    }
}

/// A recipe with nothing left open but the size, which a model's declared input may give.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// How the picture gets the size of the input.
    pub resize: Resize,
    /// Height and width of the input; `None` until the model has told it, or for [`Resize::None`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<[usize; 2]>,
    /// [`Resize::ShorterSide`]: length of the shorter side before the crop; the smaller of `size` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize_to: Option<usize>,
    /// Resampling.
    pub filter: Filter,
    /// Channels and their order.
    pub channels: Channels,
    /// What becomes of transparency.
    pub alpha: Alpha,
    /// Values 0..255 are divided by it.
    pub scale: f64,
    /// Subtracted after that, one a channel.
    pub mean: Vec<f64>,
    /// Divided by after that, one a channel.
    pub std: Vec<f64>,
    /// Order of the axes.
    pub layout: AxisOrder,
    /// Element type.
    pub dtype: Element,
}

/// What of a recipe happens on the picture: recipes that agree in it share their work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Geometry {
    pub(super) resize: Resize,
    pub(super) size: Option<[usize; 2]>,
    pub(super) resize_to: Option<usize>,
    pub(super) filter: Filter,
    pub(super) alpha: Alpha,
}

impl Recipe {
    /// What happens on the picture.
    pub fn geometry(&self) -> Geometry {
        Geometry { resize: self.resize, size: self.size, resize_to: self.resize_to, filter: self.filter, alpha: self.alpha }
    }

    /// Whether the values can be used.
    ///
    /// # Errors
    /// [`DatasetError::Recipe`], naming the key.
    pub fn validate(&self) -> Result<(), DatasetError> {
        let bad = |why: String| Err(DatasetError::Recipe(why));
        if let Some([h, w]) = self.size
            && (h == 0 || w == 0 || h > MAX_SIDE || w > MAX_SIDE || h * w > MAX_INPUT)
        {
            return bad(format!("size = [{h}, {w}]: sides of 1 to {MAX_SIDE} and at most {MAX_INPUT} pixels are possible"));
        }
        if let Some(side) = self.resize_to
            && !(1..=MAX_SIDE).contains(&side)
        {
            return bad(format!("resize_to = {side}: 1 to {MAX_SIDE} are possible"));
        }
        if !self.scale.is_finite() || self.scale as f32 == 0.0 {
            return bad(format!("scale = {}: values are divided by it", self.scale));
        }
        for (key, values) in [("mean", &self.mean), ("std", &self.std)] {
            if values.len() != self.channels.count() {
                return bad(format!("{key} has {} values, channels = \"{}\" needs {}", values.len(), self.channels, self.channels.count()));
            }
            if let Some(v) = values.iter().find(|v| !v.is_finite()) {
                return bad(format!("{key} has the value {v}"));
            }
        }
        if self.std.iter().any(|v| *v as f32 == 0.0) {
            return bad("std has a zero: values are divided by it".into());
        }
        Ok(())
    }

    /// As a TOML table that says every key, for a case's `[source.preprocess]` or a file of its own.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a recipe holds only words, numbers and lists of numbers")
    }

    /// From a TOML table; keys may be absent, a preset may be named.
    ///
    /// # Errors
    /// A syntax error or an unknown key, with the nearest known one; values that contradict each other.
    pub fn from_toml(text: &str) -> Result<Self, DatasetError> {
        let keys: RecipeKeys = toml::from_str(text).map_err(|e| DatasetError::Recipe(super::explain_toml(&e, text)))?;
        keys.resolve()
    }

    /// Shape of the tensor it makes of a picture of this size, batch axis first.
    pub fn shape(&self, [height, width]: [usize; 2]) -> [usize; 4] {
        let [h, w] = self.size.filter(|_| self.resize != Resize::None).unwrap_or([height, width]);
        match self.layout {
            AxisOrder::Nchw => [1, self.channels.count(), h, w],
            AxisOrder::Nhwc => [1, h, w, self.channels.count()],
        }
    }
}
