//! Cases of `sample_models` for tests that write beside them.

use std::path::Path;

/// Copies what belongs to a case: whoever tried the demonstrations has models, logs and reports beside it.
pub fn copy_case(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for name in ["case.toml", "labels.txt", "target.onnx"] {
        std::fs::copy(from.join(name), to.join(name)).expect("a copy");
    }
}
