//! onnxruntime as second runtime, from a library that is already on the machine. Nothing of it is built in.

use super::error::{RunError, guarded};
use super::value::Value;
use crate::model::Model;
use crate::model::onnx::tensor_proto::DataType;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Tensor};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The environment of the library that was loaded; a process has one.
static LOADED: Mutex<Option<(PathBuf, ort::environment::Environment)>> = Mutex::new(None);

fn failed(what: &str) -> impl Fn(ort::Error) -> RunError + '_ {
    move |e| RunError::new(format!("onnxruntime {what}: {}", e.to_string().lines().next().unwrap_or_default()))
}

/// The library: as asked for, as `ORT_DYLIB_PATH` says, or wherever the system looks.
fn library(asked: Option<&Path>) -> PathBuf {
    let from_environment = || std::env::var_os("ORT_DYLIB_PATH").filter(|p| !p.is_empty()).map(PathBuf::from);
    let name = if cfg!(windows) {
        "onnxruntime.dll"
    } else if cfg!(target_os = "macos") {
        "libonnxruntime.dylib"
    } else {
        "libonnxruntime.so"
    };
    asked.map(Path::to_path_buf).or_else(from_environment).unwrap_or_else(|| name.into())
}

fn environment(asked: Option<&Path>) -> Result<ort::environment::Environment, RunError> {
    let path = library(asked);
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    match &*loaded {
        Some((from, environment)) if *from == path => return Ok(environment.clone()),
        Some((from, _)) => return Err(RunError::new(format!("onnxruntime is already loaded from {}", from.display()))),
        None => {}
    }
    let missing = |why: String| {
        let why = why.lines().next().unwrap_or_default().to_string();
        RunError::new(format!(
            "onnxruntime cannot be loaded from {}: {why}; name its library with --ort-lib or ORT_DYLIB_PATH",
            path.display()
        ))
    };
    let environment = guarded(|| {
        let builder = ort::init_from(&path).map_err(|e| missing(e.to_string()))?;
        builder.with_telemetry(false).build().map_err(|e| missing(e.to_string()))
    })?;
    *loaded = Some((path, environment.clone()));
    Ok(environment)
}

/// A model in onnxruntime: one session for each thread that runs it.
pub(super) struct OrtModel {
    environment: ort::environment::Environment,
    model: Vec<u8>,
    folder: Option<PathBuf>,
    idle: Mutex<Vec<Session>>,
}

impl std::fmt::Debug for OrtModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OrtModel").finish_non_exhaustive()
    }
}

impl OrtModel {
    /// Loads a model.
    ///
    /// # Errors
    /// When the library is not there, or refuses the model.
    pub fn new(model: &Model, asked: Option<&Path>) -> Result<Self, RunError> {
        let folder = model.path().and_then(Path::parent).map(Path::to_path_buf);
        let out = Self { environment: environment(asked)?, model: model.to_bytes(), folder, idle: Mutex::default() };
        let first = guarded(|| out.session())?;
        out.idle.lock().unwrap_or_else(PoisonError::into_inner).push(first);
        Ok(out)
    }

    fn session(&self) -> Result<Session, RunError> {
        let refused = failed("refuses the model");
        let build = || {
            let mut builder =
                Session::builder(&self.environment)?.with_intra_threads(1)?.with_inter_threads(1)?.with_intra_op_spinning(false)?;
            if let Some(folder) = self.folder.as_ref().and_then(|f| f.to_str()).filter(|f| !f.is_empty()) {
                // Where weights outside the file are looked for, as the model is handed over in memory.
                builder = builder.with_config_entry("session.model_external_initializers_file_folder_path", folder)?;
            }
            builder.commit_from_memory(&self.model)
        };
        build().map_err(refused)
    }

    /// The outputs for one image.
    ///
    /// # Errors
    /// When the library refuses the values or a node fails.
    pub fn run(&self, inputs: &[Value]) -> Result<Vec<Value>, RunError> {
        let ready = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        guarded(|| {
            let mut session = ready.map_or_else(|| self.session(), Ok)?;
            let inputs: Vec<SessionInputValue<'_>> =
                inputs.iter().map(|v| given(v).map(SessionInputValue::from)).collect::<Result<_, _>>()?;
            let out = session.run(&inputs[..]).map_err(failed("does not run the model"))?;
            let made = out.values().map(|v| taken(&v)).collect();
            drop(out);
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
            made
        })
    }
}

macro_rules! each_type {
    ($dtype:expr, $do:ident, $otherwise:expr) => {
        match $dtype {
            DataType::Float => $do!(f32),
            DataType::Double => $do!(f64),
            DataType::Float16 => $do!(half::f16),
            DataType::Uint8 => $do!(u8),
            DataType::Int8 => $do!(i8),
            DataType::Uint16 => $do!(u16),
            DataType::Int16 => $do!(i16),
            DataType::Uint32 => $do!(u32),
            DataType::Int32 => $do!(i32),
            DataType::Uint64 => $do!(u64),
            DataType::Int64 => $do!(i64),
            other => $otherwise(other),
        }
    };
}

fn unsupported(dtype: DataType) -> RunError {
    RunError::new(format!("element type {} is not handed to onnxruntime", dtype.as_str_name().to_lowercase()))
}

/// A value for onnxruntime.
fn given(value: &Value) -> Result<DynValue, RunError> {
    let shape = value.shape().to_vec();
    macro_rules! hand_over {
        ($t:ty) => {{
            let data: Vec<$t> = value.elements::<$t>().ok_or_else(|| unsupported(value.dtype()))?.to_vec();
            Ok(Tensor::from_array((shape, data)).map_err(failed("refuses a value"))?.into_dyn())
        }};
    }
    each_type!(value.dtype(), hand_over, |other| Err(unsupported(other)))
}

/// A value from onnxruntime.
fn taken(value: &DynValue) -> Result<Value, RunError> {
    use ort::value::TensorElementType as T;
    let dtype = match value.dtype().tensor_type() {
        Some(T::Float32) => DataType::Float,
        Some(T::Float64) => DataType::Double,
        Some(T::Float16) => DataType::Float16,
        Some(T::Uint8) => DataType::Uint8,
        Some(T::Int8) => DataType::Int8,
        Some(T::Uint16) => DataType::Uint16,
        Some(T::Int16) => DataType::Int16,
        Some(T::Uint32) => DataType::Uint32,
        Some(T::Int32) => DataType::Int32,
        Some(T::Uint64) => DataType::Uint64,
        Some(T::Int64) => DataType::Int64,
        other => return Err(RunError::new(format!("onnxruntime gave a value of type {other:?}, which is not read"))),
    };
    macro_rules! take_over {
        ($t:ty) => {{
            let (shape, data) = value.try_extract_tensor::<$t>().map_err(failed("gave a strange value"))?;
            let shape: Vec<usize> = shape.iter().map(|d| (*d).max(0) as usize).collect();
            Value::from_elements(&shape, data.to_vec())
        }};
    }
    each_type!(dtype, take_over, |other| Err(unsupported(other)))
}
