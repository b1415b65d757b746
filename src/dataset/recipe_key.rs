//! The keys of a recipe one by one: in which two recipes differ, and taking some of them over.

use super::recipe::{Recipe, Resize};

/// A key of a recipe. `resize_to` goes with `resize` and with `size`, of both of which it is a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecipeKey {
    /// How the picture gets the size of the input.
    Resize,
    /// Resampling.
    Filter,
    /// Channels and their order.
    Channels,
    /// What becomes of transparency.
    Alpha,
    /// What values are divided by.
    Scale,
    /// What is subtracted.
    Mean,
    /// What is divided by after that.
    Std,
    /// Height and width of the input.
    Size,
    /// Order of the axes.
    Layout,
    /// Element type.
    Dtype,
}

impl RecipeKey {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Resize,
        Self::Filter,
        Self::Channels,
        Self::Alpha,
        Self::Scale,
        Self::Mean,
        Self::Std,
        Self::Size,
        Self::Layout,
        Self::Dtype,
    ];

    /// As it stands in a case file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resize => "resize",
            Self::Filter => "filter",
            Self::Channels => "channels",
            Self::Alpha => "alpha",
            Self::Scale => "scale",
            Self::Mean => "mean",
            Self::Std => "std",
            Self::Size => "size",
            Self::Layout => "layout",
            Self::Dtype => "dtype",
        }
    }

    /// Whether the key is about what the model's declared input says as well.
    pub fn is_of_shape(self) -> bool {
        matches!(self, Self::Size | Self::Layout)
    }

    /// What a recipe has, in words.
    pub fn show(self, recipe: &Recipe) -> String {
        match self {
            Self::Resize => match recipe.resize_to.filter(|_| recipe.resize == Resize::ShorterSide) {
                Some(to) => format!("{} to {to}", recipe.resize),
                None => recipe.resize.to_string(),
            },
            Self::Filter => recipe.filter.to_string(),
            Self::Channels => recipe.channels.to_string(),
            Self::Alpha => recipe.alpha.to_string(),
            Self::Scale => recipe.scale.to_string(),
            Self::Mean => format!("{:?}", recipe.mean),
            Self::Std => format!("{:?}", recipe.std),
            Self::Size => format!("{:?}", recipe.size.unwrap_or_default()),
            Self::Layout => recipe.layout.to_string(),
            Self::Dtype => recipe.dtype.to_string(),
        }
    }

    /// Whether two recipes do something else by this key. Rounding of written numbers is no difference.
    fn differs(self, a: &Recipe, b: &Recipe) -> bool {
        let near = |x: &[f64], y: &[f64]| x.len() == y.len() && x.iter().zip(y).all(|(p, q)| (p - q).abs() <= 1e-9 * q.abs().max(1e-9));
        match self {
            Self::Resize => a.resize != b.resize || (a.resize == Resize::ShorterSide && a.resize_to != b.resize_to),
            Self::Filter => a.filter != b.filter && a.resize != Resize::None,
            Self::Channels => a.channels != b.channels,
            Self::Alpha => a.alpha != b.alpha,
            Self::Scale => (a.scale - b.scale).abs() > 1e-9 * b.scale.abs(),
            Self::Mean => !near(&a.mean, &b.mean),
            Self::Std => !near(&a.std, &b.std),
            Self::Size => a.size != b.size,
            Self::Layout => a.layout != b.layout,
            Self::Dtype => a.dtype != b.dtype,
        }
    }
}

impl Recipe {
    /// The keys by which another recipe does something else.
    pub fn differing(&self, other: &Self) -> Vec<RecipeKey> {
        RecipeKey::ALL.into_iter().filter(|key| key.differs(self, other)).collect()
    }

    /// Takes keys over from another recipe.
    pub fn take(&mut self, from: &Self, keys: &[RecipeKey]) {
        for key in keys {
            match key {
                RecipeKey::Resize => (self.resize, self.resize_to) = (from.resize, from.resize_to),
                RecipeKey::Filter => self.filter = from.filter,
                RecipeKey::Channels => self.channels = from.channels,
                RecipeKey::Alpha => self.alpha = from.alpha,
                RecipeKey::Scale => self.scale = from.scale,
                RecipeKey::Mean => self.mean.clone_from(&from.mean),
                RecipeKey::Std => self.std.clone_from(&from.std),
                RecipeKey::Size => (self.size, self.resize_to) = (from.size, from.resize_to),
                RecipeKey::Layout => self.layout = from.layout,
                RecipeKey::Dtype => self.dtype = from.dtype,
            }
        }
    }
}
