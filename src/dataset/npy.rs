//! Tensors in numpy's `.npy` and `.npz` files.
//!
//! Read by hand because the files may be hostile: nothing is allocated for a header's claim that the file's own length does not bear
//! out, and half-precision floats are wanted.

use crate::model::onnx::tensor_proto::DataType;
use crate::model::read_file;
use crate::run::{Value, element_size};
use std::io::{Cursor, Read};
use std::path::Path;

/// Bytes above which a tensor is not read.
pub(super) const MAX_BYTES: u64 = 4 << 30;
/// Dimensions above which a tensor is not read: numpy makes none of more.
const MOST_AXES: usize = 64;

/// All arrays of a file with their names; of an `.npy` file the one array, without a name.
pub(super) fn read(path: &Path) -> Result<Vec<(String, Value)>, String> {
    let bytes = read_file(path, MAX_BYTES).map_err(|e| e.to_string())?;
    if bytes.starts_with(b"PK") { archive(bytes) } else { Ok(vec![(String::new(), array(&bytes)?)]) }
}

/// The arrays of an `.npz` file.
pub(super) fn archive(bytes: Vec<u8>) -> Result<Vec<(String, Value)>, String> {
    let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|e| e.to_string())?;
    let mut out = Vec::new();
    let mut left = MAX_BYTES;
    for i in 0..zip.len() {
        let entry = zip.by_index(i).map_err(|e| e.to_string())?;
        let name = entry.name().trim_end_matches(".npy").to_string();
        let mut content = Vec::new();
        let read = entry.take(left).read_to_end(&mut content).map_err(|e| format!("array '{name}': {e}"))? as u64;
        left -= read;
        if left == 0 {
            return Err(format!("its arrays are larger than the limit of {MAX_BYTES} bytes"));
        }
        out.push((name.clone(), array(&content).map_err(|e| format!("array '{name}': {e}"))?));
    }
    if out.is_empty() {
        return Err("it holds no array".into());
    }
    Ok(out)
}

/// One array: magic, version, length of the header, header, data.
pub(super) fn array(bytes: &[u8]) -> Result<Value, String> {
    let short = || "the file is cut off".to_string();
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or("not a .npy file")?;
    let (version, rest) = rest.split_at_checked(2).ok_or_else(short)?;
    let (length, rest) = if version[0] == 1 {
        let (n, rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
        (u16::from_le_bytes(*n) as usize, rest)
    } else {
        let (n, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        (u32::from_le_bytes(*n) as usize, rest)
    };
    let (header, data) = rest.split_at_checked(length).ok_or_else(short)?;
    let header = std::str::from_utf8(header).map_err(|_| "its header is no text")?;
    let field =
        |key: &str| header.split_once(&format!("'{key}':")).map(|(_, rest)| rest.trim_start()).ok_or(format!("its header lacks '{key}'"));
    let descr =
        field("descr")?.strip_prefix('\'').and_then(|r| r.split_once('\'')).map(|(d, _)| d).ok_or("arrays of records are not supported")?;
    let fortran = field("fortran_order")?.starts_with("True");
    let dims = field("shape")?.strip_prefix('(').and_then(|r| r.split_once(')')).map(|(d, _)| d).ok_or("its shape is no tuple")?;
    let dims = dims.split(',').map(str::trim).filter(|d| !d.is_empty());
    let mut shape = dims.map(|d| d.parse::<usize>().map_err(|_| format!("its shape holds '{d}'"))).collect::<Result<Vec<_>, _>>()?;
    if shape.len() > MOST_AXES {
        return Err(format!("it has {} dimensions; at most {MOST_AXES} are read", shape.len()));
    }
    let (order, kind) = descr.split_at_checked(1).ok_or("its descr is empty")?;
    let dtype = match kind {
        "f4" => DataType::Float,
        "f2" => DataType::Float16,
        "f8" => DataType::Double,
        "u1" => DataType::Uint8,
        "i1" => DataType::Int8,
        "b1" => DataType::Bool,
        "u2" => DataType::Uint16,
        "i2" => DataType::Int16,
        "u4" => DataType::Uint32,
        "i4" => DataType::Int32,
        "u8" => DataType::Uint64,
        "i8" => DataType::Int64,
        _ => return Err(format!("element type '{descr}' is not supported")),
    };
    if fortran {
        shape.reverse();
    }
    let value = if order == ">" {
        let size = element_size(dtype).unwrap_or(1);
        let swapped: Vec<u8> = data.chunks(size).flat_map(|e| e.iter().rev().copied()).collect();
        Value::from_bytes(dtype, &shape, &swapped)
    } else {
        Value::from_bytes(dtype, &shape, data)
    }
    .map_err(|e| e.to_string())?;
    if !fortran {
        return Ok(value);
    }
    let back: Vec<usize> = (0..shape.len()).rev().collect();
    value.transpose(&back).ok_or_else(|| "its axes cannot be reversed".to_string())
}
