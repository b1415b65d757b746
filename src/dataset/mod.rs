//! Cases, recipes and image sets: from files to input tensors.
//!
//! A [`Case`] names two models, a folder of images and a recipe for each side. An [`ImageSet`] decodes each image once and makes the
//! tensors of both sides from it, batch axis first.

mod case;
mod error;
mod feed;
mod folder;
mod golden;
mod image;
mod jpeg;
mod npy;
#[cfg(test)]
mod pillow_tests;
mod presets;
mod recipe;
mod recipe_key;
mod resize;
mod tensor;

pub use self::image::{MAX_PIXELS, Picture};
pub use case::{Case, CaseFile, CompareKeys, Criterion, ImagesKeys, Scores, SideKeys};
pub use error::{DatasetError, explain_toml, nearest_word};
pub use feed::{Declared, Feed, Sides};
pub use folder::{ImageSet, Item};
pub use golden::{Golden, golden};
pub use presets::{PRESETS, Preset};
pub use recipe::{Alpha, AxisOrder, Channels, Element, Filter, Geometry, Recipe, RecipeKeys, Resize};
pub use recipe_key::RecipeKey;
pub use resize::{Window, resize};
pub use tensor::{shaped, tensor};
