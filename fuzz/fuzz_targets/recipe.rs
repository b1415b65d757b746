//! Any text as a recipe: an error in words, or one that gives the tensor it promises and can be written and read again.

#![no_main]

use fixcon::dataset::{Picture, Recipe, shaped, tensor};
use libfuzzer_sys::fuzz_target;

/// Pixels of the shaped picture above which a recipe is only read, so that an input takes milliseconds.
const MOST: usize = 1 << 18;

fuzz_target!(|text: &str| {
    let recipe = match Recipe::from_toml(text) {
        Ok(recipe) => recipe,
        Err(why) => return assert!(!why.to_string().is_empty()),
    };
    assert_eq!(Recipe::from_toml(&recipe.to_toml()).expect("what was written"), recipe);
    let (width, height) = (23, 17);
    let rgb = (0..width * height * 3).map(|i| (i * 7 % 256) as u8).collect();
    let picture = Picture { width, height, rgb };
    let [h, w] = recipe.size.unwrap_or([height, width]);
    // A shorter side is resized before it is cut.
    let to = recipe.resize_to.unwrap_or(0);
    if h.max(to).saturating_mul(w.max(to)) > MOST {
        return;
    }
    let Ok(cut) = shaped(&picture, &recipe.geometry()) else { return };
    if let Ok(value) = tensor(&cut, &recipe) {
        assert_eq!(value.shape(), recipe.shape([height, width]));
    }
});
