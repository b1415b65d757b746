//! Recipes by name: what the well-known model collections evaluate with.

use super::recipe::{AxisOrder, Channels, Element, Filter, RecipeKeys, Resize};

/// A named recipe.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// Its name in `preset = "..."` and `--preset`.
    pub name: &'static str,
    /// Where it comes from.
    pub about: &'static str,
    resize: (Resize, [usize; 2], Option<usize>, Filter),
    channels: Channels,
    scale: f64,
    mean: [f64; 3],
    std: [f64; 3],
    layout: AxisOrder,
    dtype: Element,
}

const IMAGENET_MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f64; 3] = [0.229, 0.224, 0.225];
const HALF: [f64; 3] = [0.5; 3];
const ONE: [f64; 3] = [1.0; 3];
const ZERO: [f64; 3] = [0.0; 3];

/// All presets. A model's own declared size does not change them: say `size` where it differs.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "torchvision-imagenet",
        about: "torchvision's classification weights: shorter side to 256, centre 224, ImageNet mean and std",
        resize: (Resize::ShorterSide, [224, 224], Some(256), Filter::Bilinear),
        channels: Channels::Rgb,
        scale: 255.0,
        mean: IMAGENET_MEAN,
        std: IMAGENET_STD,
        layout: AxisOrder::Nchw,
        dtype: Element::Float32,
    },
    Preset {
        name: "keras-imagenet-caffe",
        about: "Keras preprocess_input, mode 'caffe' (ResNet50, VGG): BGR with the mean subtracted; load_img's nearest filter",
        resize: (Resize::Squash, [224, 224], None, Filter::Nearest),
        channels: Channels::Bgr,
        scale: 1.0,
        mean: [103.939, 116.779, 123.68],
        std: ONE,
        layout: AxisOrder::Nhwc,
        dtype: Element::Float32,
    },
    Preset {
        name: "keras-imagenet-tf",
        about: "Keras preprocess_input, mode 'tf' (MobileNet, Inception, Xception): -1..1; load_img's nearest filter",
        resize: (Resize::Squash, [224, 224], None, Filter::Nearest),
        channels: Channels::Rgb,
        scale: 127.5,
        mean: ONE,
        std: ONE,
        layout: AxisOrder::Nhwc,
        dtype: Element::Float32,
    },
    Preset {
        name: "keras-imagenet-torch",
        about: "Keras preprocess_input, mode 'torch' (DenseNet): 0..1, ImageNet mean and std; load_img's nearest filter",
        resize: (Resize::Squash, [224, 224], None, Filter::Nearest),
        channels: Channels::Rgb,
        scale: 255.0,
        mean: IMAGENET_MEAN,
        std: IMAGENET_STD,
        layout: AxisOrder::Nhwc,
        dtype: Element::Float32,
    },
    Preset {
        name: "tflite-mobilenet",
        about: "TensorFlow Lite float classifiers: squashed to 224, -1..1",
        resize: (Resize::Squash, [224, 224], None, Filter::Bilinear),
        channels: Channels::Rgb,
        scale: 127.5,
        mean: ONE,
        std: ONE,
        layout: AxisOrder::Nhwc,
        dtype: Element::Float32,
    },
    Preset {
        name: "tflite-mobilenet-uint8",
        about: "TensorFlow Lite quantised classifiers: squashed to 224, bytes as they are",
        resize: (Resize::Squash, [224, 224], None, Filter::Bilinear),
        channels: Channels::Rgb,
        scale: 1.0,
        mean: ZERO,
        std: ONE,
        layout: AxisOrder::Nhwc,
        dtype: Element::Uint8,
    },
    Preset {
        name: "vit-imagenet",
        about: "Vision transformers of the augreg kind: squashed to 224, mean and std 0.5",
        resize: (Resize::Squash, [224, 224], None, Filter::Bilinear),
        channels: Channels::Rgb,
        scale: 255.0,
        mean: HALF,
        std: HALF,
        layout: AxisOrder::Nchw,
        dtype: Element::Float32,
    },
    Preset {
        name: "clip",
        about: "CLIP's image tower: shorter side to 224, bicubic, its own mean and std",
        resize: (Resize::ShorterSide, [224, 224], Some(224), Filter::Bicubic),
        channels: Channels::Rgb,
        scale: 255.0,
        mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
        std: [0.268_629_54, 0.261_302_58, 0.275_777_11],
        layout: AxisOrder::Nchw,
        dtype: Element::Float32,
    },
];

/// The keys of a preset.
pub fn keys(name: &str) -> Option<RecipeKeys> {
    let p = PRESETS.iter().find(|p| p.name == name)?;
    let (resize, size, resize_to, filter) = p.resize;
    Some(RecipeKeys {
        preset: None,
        resize: Some(resize),
        size: Some(size),
        resize_to,
        filter: Some(filter),
        channels: Some(p.channels),
        alpha: None,
        scale: Some(p.scale),
        mean: Some(p.mean.to_vec()),
        std: Some(p.std.to_vec()),
        layout: Some(p.layout),
        dtype: Some(p.dtype),
    })
}
