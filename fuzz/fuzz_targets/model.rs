//! The loader, the checker, shape inference and inlining on arbitrary bytes.
#![no_main]

use fixcon::model::onnx::tensor_proto::DataType;
use fixcon::model::{Budget, Model, check, infer};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(model) = Model::read(bytes::Bytes::copy_from_slice(data), None) else { return };
    assert_eq!(model.to_bytes(), data, "what is read is what is written");
    check(&model);
    let inputs: Vec<_> = model
        .inputs()
        .map(|v| {
            let (dtype, dims) = v.tensor_type().unwrap_or((DataType::Float, vec![None; 4]));
            (dtype, dims.iter().map(|d| d.unwrap_or(1)).collect())
        })
        .collect();
    infer(&model, &inputs, Budget::default());
    if let Ok(flat) = model.inlined() {
        check(&flat);
    }
});
