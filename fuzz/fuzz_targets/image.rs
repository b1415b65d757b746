//! Any bytes as an image file: an error in words, or a picture of the size it says, which can be made into a tensor. What panics inside a
//! decoder is caught where it is called and is an error in words too: only what gets past that boundary is a finding.

#![no_main]

use fixcon::dataset::{Alpha, Picture, RecipeKeys, shaped, tensor};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: std::panic::set_hook(Box::new(|_| ())), |data: &[u8]| {
    for alpha in [Alpha::Drop, Alpha::Black, Alpha::White] {
        match Picture::decode(data, alpha) {
            Err(why) => assert!(!why.is_empty()),
            Ok(picture) => {
                assert!(picture.width > 0 && picture.height > 0);
                assert_eq!(picture.rgb.len(), picture.width * picture.height * 3);
                let keys = RecipeKeys { size: Some([8, 8]), ..RecipeKeys::default() };
                let recipe = keys.resolve().expect("a size is enough");
                let cut = shaped(&picture, &recipe.geometry()).expect("a sound picture and a sound recipe");
                let value = tensor(&cut, &recipe).expect("a sound picture and a sound recipe");
                assert_eq!(value.shape(), recipe.shape([8, 8]));
            }
        }
    }
});
