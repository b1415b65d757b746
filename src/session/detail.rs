//! One row of the sheet in detail: attributes and weights of both sides, and what flows out of it.

/// An attribute or a weight, on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What it is called.
    pub name: String,
    /// On the source's side; empty where there is none.
    pub source: String,
    /// On the target's side; empty where there is none.
    pub target: String,
    /// Whether the difference matters.
    pub differs: bool,
}

/// What flows out of a row, for one image: the source's value and what the target's side makes of the source's inputs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Activations {
    /// Least, greatest, mean, standard deviation of the source's value.
    pub source: [f32; 4],
    /// The same of the target's.
    pub target: [f32; 4],
    /// How often values fall into equal parts of the common range, 0 to 1, relative to the fullest part of either.
    pub bins: [Vec<f64>; 2],
    /// Root mean square of the difference by channel, relative to that of the source's value.
    pub channels: Vec<f32>,
    /// Height, width and root mean square of the difference over the channels, for values with two spatial axes.
    pub map: Option<(usize, usize, Vec<f32>)>,
}

/// All about one row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Detail {
    /// Row of the sheet.
    pub row: usize,
    /// The image it was worked out for.
    pub image: Option<usize>,
    /// Attributes and weights.
    pub facts: Vec<Fact>,
    /// What flows out, where it can be told.
    pub activations: Option<Activations>,
    /// Isolated error by image, for the images that were tried.
    pub images: Vec<(usize, f32)>,
    /// Why nothing can be told of what flows out.
    pub problem: Option<String>,
}
