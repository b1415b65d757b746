//! Edits as JSON, for the audit log: enough to make them again, and readable.

use super::onnx::attribute_proto::AttributeType;
use super::onnx::tensor_proto::DataType;
use super::onnx::tensor_shape_proto::dimension::Value as Dim;
use super::onnx::type_proto::Value as Type;
use super::onnx::{AttributeProto, NodeProto, TensorProto, ValueInfoProto};
use super::save::hex;
use super::{Edit, ModelError, NodeExt, Place};
use bytes::Bytes;
use prost::Message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

/// Messages up to this many bytes stand in the record itself.
pub const INLINE_UP_TO: usize = 4096;

/// An [`Edit`] as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "edit", rename_all = "kebab-case", deny_unknown_fields)]
#[allow(missing_docs)] // The variants and fields of Edit.
pub enum EditRecord {
    SetAttribute { node: String, attribute: ProtoRecord },
    RemoveAttribute { node: String, attribute: String },
    ReplaceInitializer { tensor: ProtoRecord },
    AddInitializer { tensor: ProtoRecord },
    RemoveInitializer { name: String },
    InsertNode { before: Option<String>, node: ProtoRecord },
    PutNode { place: Place, node: ProtoRecord },
    RemoveNode { node: String },
    ReplaceNode { node: String, with: ProtoRecord },
    RewireInput { node: String, slot: usize, value: String },
    SetInputs { values: Vec<ProtoRecord> },
    SetOutputs { values: Vec<ProtoRecord> },
    SetMetadata { key: String, value: Option<String> },
    All { edits: Vec<EditRecord> },
}

/// A protobuf message: what it says, for people, and its encoding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProtoRecord {
    /// What it says. Made from the encoding, and checked against it when the record is read.
    pub says: Json,
    /// The encoding.
    #[serde(flatten)]
    pub data: Data,
}

/// The encoding of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Data {
    /// In the record.
    Inline {
        /// The bytes in base64.
        base64: String,
    },
    /// In a file of its own, as it is large.
    Stored {
        /// SHA-256 of the file, in hexadecimal.
        sha256: String,
        /// Its size.
        bytes: usize,
        /// Its name, as the keeper of the log gave it.
        file: String,
    },
}

/// Keeps the bytes of a large message, whose SHA-256 is given, and says under which file name.
pub type Store<'a> = dyn FnMut(&[u8], &str) -> Result<String, ModelError> + 'a;
/// Finds the bytes kept under a file name.
pub type Load<'a> = dyn FnMut(&str) -> Result<Bytes, ModelError> + 'a;

impl Edit {
    /// The edit as JSON. `store` keeps messages larger than [`INLINE_UP_TO`].
    ///
    /// # Errors
    /// Those of `store`.
    pub fn record(&self, store: &mut Store<'_>) -> Result<EditRecord, ModelError> {
        Ok(match self {
            Self::SetAttribute { node, attribute } => EditRecord::SetAttribute { node: node.clone(), attribute: write(attribute, store)? },
            Self::RemoveAttribute { node, attribute } => EditRecord::RemoveAttribute { node: node.clone(), attribute: attribute.clone() },
            Self::ReplaceInitializer { tensor } => EditRecord::ReplaceInitializer { tensor: write(tensor, store)? },
            Self::AddInitializer { tensor } => EditRecord::AddInitializer { tensor: write(tensor, store)? },
            Self::RemoveInitializer { name } => EditRecord::RemoveInitializer { name: name.clone() },
            Self::InsertNode { before, node } => EditRecord::InsertNode { before: before.clone(), node: write(node, store)? },
            Self::PutNode { place, node } => EditRecord::PutNode { place: *place, node: write(node, store)? },
            Self::RemoveNode { node } => EditRecord::RemoveNode { node: node.clone() },
            Self::ReplaceNode { node, with } => EditRecord::ReplaceNode { node: node.clone(), with: write(with, store)? },
            Self::RewireInput { node, slot, value } => EditRecord::RewireInput { node: node.clone(), slot: *slot, value: value.clone() },
            Self::SetInputs { values } => {
                EditRecord::SetInputs { values: values.iter().map(|v| write(v, store)).collect::<Result<_, _>>()? }
            }
            Self::SetOutputs { values } => {
                EditRecord::SetOutputs { values: values.iter().map(|v| write(v, store)).collect::<Result<_, _>>()? }
            }
            Self::SetMetadata { key, value } => EditRecord::SetMetadata { key: key.clone(), value: value.clone() },
            Self::All(edits) => EditRecord::All { edits: edits.iter().map(|e| e.record(store)).collect::<Result<_, _>>()? },
        })
    }
}

impl EditRecord {
    /// The edit. `load` finds what was kept outside the record.
    ///
    /// # Errors
    /// When an encoding is damaged, does not fit its SHA-256 or says something else than the record does; those of `load`.
    pub fn edit(&self, load: &mut Load<'_>) -> Result<Edit, ModelError> {
        Ok(match self {
            Self::SetAttribute { node, attribute } => Edit::SetAttribute { node: node.clone(), attribute: read(attribute, load)? },
            Self::RemoveAttribute { node, attribute } => Edit::RemoveAttribute { node: node.clone(), attribute: attribute.clone() },
            Self::ReplaceInitializer { tensor } => Edit::ReplaceInitializer { tensor: read(tensor, load)? },
            Self::AddInitializer { tensor } => Edit::AddInitializer { tensor: read(tensor, load)? },
            Self::RemoveInitializer { name } => Edit::RemoveInitializer { name: name.clone() },
            Self::InsertNode { before, node } => Edit::InsertNode { before: before.clone(), node: read(node, load)? },
            Self::PutNode { place, node } => Edit::PutNode { place: *place, node: read(node, load)? },
            Self::RemoveNode { node } => Edit::RemoveNode { node: node.clone() },
            Self::ReplaceNode { node, with } => Edit::ReplaceNode { node: node.clone(), with: read(with, load)? },
            Self::RewireInput { node, slot, value } => Edit::RewireInput { node: node.clone(), slot: *slot, value: value.clone() },
            Self::SetInputs { values } => Edit::SetInputs { values: values.iter().map(|v| read(v, load)).collect::<Result<_, _>>()? },
            Self::SetOutputs { values } => Edit::SetOutputs { values: values.iter().map(|v| read(v, load)).collect::<Result<_, _>>()? },
            Self::SetMetadata { key, value } => Edit::SetMetadata { key: key.clone(), value: value.clone() },
            Self::All { edits } => Edit::All(edits.iter().map(|e| e.edit(load)).collect::<Result<_, _>>()?),
        })
    }
}

fn write<M: Message + Says>(message: &M, store: &mut Store<'_>) -> Result<ProtoRecord, ModelError> {
    let bytes = message.encode_to_vec();
    let data = if bytes.len() <= INLINE_UP_TO {
        Data::Inline { base64: base64_simd::STANDARD.encode_to_string(&bytes) }
    } else {
        let sha256 = hex(&Sha256::digest(&bytes));
        Data::Stored { bytes: bytes.len(), file: store(&bytes, &sha256)?, sha256 }
    };
    Ok(ProtoRecord { says: message.says(), data })
}

fn read<M: Message + Default + Says>(record: &ProtoRecord, load: &mut Load<'_>) -> Result<M, ModelError> {
    let bad = |why: String| ModelError::Record { what: record.says.to_string().chars().take(120).collect(), why };
    let bytes = match &record.data {
        Data::Inline { base64 } => base64_simd::STANDARD.decode_to_vec(base64).map_err(|_| bad("its base64 is damaged".into()))?.into(),
        Data::Stored { sha256, file, .. } => {
            let bytes = load(file)?;
            if hex(&Sha256::digest(&bytes)) != *sha256 {
                return Err(bad(format!("{file} is not the file that was recorded: its SHA-256 differs")));
            }
            bytes
        }
    };
    let message = M::decode(bytes).map_err(|e| bad(e.to_string()))?;
    if agrees(&message.says(), &record.says) { Ok(message) } else { Err(bad("its encoding says something else".into())) }
}

/// Whether two messages say the same. Reading JSON text can change the last bit of a double; all fractions here are single floats.
fn agrees(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| agrees(a, b)),
        (Json::Object(a), Json::Object(b)) => a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| agrees(v, w))),
        (Json::Number(m), Json::Number(n)) if m.is_f64() && n.is_f64() => {
            m.as_f64().map(|x| (x as f32).to_bits()) == n.as_f64().map(|x| (x as f32).to_bits())
        }
        _ => a == b,
    }
}

/// What a message says, for people; large data left out.
trait Says {
    fn says(&self) -> Json;
}

fn dtype(number: i32) -> String {
    DataType::try_from(number).map_or_else(|_| format!("unknown ({number})"), |d| d.as_str_name().to_lowercase())
}

impl Says for TensorProto {
    fn says(&self) -> Json {
        json!({ "name": self.name(), "dtype": dtype(self.data_type()), "dims": self.dims })
    }
}

impl Says for AttributeProto {
    fn says(&self) -> Json {
        let float = |f: f32| if f.is_finite() { json!(f) } else { json!(f.to_string()) };
        let text = |s: &Bytes| json!(String::from_utf8_lossy(s));
        let value = match self.r#type() {
            AttributeType::Float => float(self.f()),
            AttributeType::Int => json!(self.i()),
            AttributeType::String => text(self.s.as_ref().unwrap_or(&Bytes::new())),
            AttributeType::Tensor => self.t.as_ref().map_or(Json::Null, Says::says),
            AttributeType::Floats => self.floats.iter().map(|f| float(*f)).collect(),
            AttributeType::Ints => json!(self.ints),
            AttributeType::Strings => self.strings.iter().map(text).collect(),
            AttributeType::Graph => json!(format!("a graph of {} nodes", self.g.as_ref().map_or(0, |g| g.node.len()))),
            _ => Json::Null,
        };
        json!({ "name": self.name(), "type": self.r#type().as_str_name().to_lowercase(), "value": value })
    }
}

impl Says for NodeProto {
    fn says(&self) -> Json {
        let attributes: Vec<_> = self.attribute.iter().map(Says::says).collect();
        json!({ "op": self.op_type(), "domain": self.domain_name(), "name": self.name(), "inputs": self.input, "outputs": self.output, "attributes": attributes })
    }
}

impl Says for ValueInfoProto {
    fn says(&self) -> Json {
        let Some(Type::TensorType(tensor)) = self.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
            return json!({ "name": self.name() });
        };
        let dims = tensor.shape.iter().flat_map(|s| &s.dim).map(|d| match &d.value {
            Some(Dim::DimValue(n)) => json!(n),
            Some(Dim::DimParam(p)) => json!(p),
            None => Json::Null,
        });
        json!({ "name": self.name(), "dtype": dtype(tensor.elem_type()), "dims": dims.collect::<Vec<_>>() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn node() -> NodeProto {
        let big = TensorProto {
            name: Some("t".into()),
            dims: vec![5000],
            data_type: Some(2),
            raw_data: Some(vec![7; 5000].into()),
            ..TensorProto::default()
        };
        NodeProto {
            op_type: Some("Constant".into()),
            output: vec!["y".into()],
            attribute: vec![AttributeProto::of_tensor("value", big), AttributeProto::of_float("f", f32::NAN)],
            ..NodeProto::default()
        }
    }

    fn edits() -> Edit {
        let small = TensorProto {
            name: Some("w".into()),
            dims: vec![2],
            data_type: Some(1),
            float_data: vec![1.0, -0.0],
            ..TensorProto::default()
        };
        Edit::All(vec![
            Edit::SetAttribute { node: "y".into(), attribute: AttributeProto::of_ints("pads", &[1, 0, 1, 0]) },
            Edit::RemoveAttribute { node: "y".into(), attribute: "group".into() },
            Edit::ReplaceInitializer { tensor: small.clone() },
            Edit::AddInitializer { tensor: small },
            Edit::RemoveInitializer { name: "w".into() },
            Edit::InsertNode { before: None, node: node() },
            Edit::PutNode { place: Place::At(3), node: node() },
            Edit::RemoveNode { node: "y".into() },
            Edit::ReplaceNode { node: "y".into(), with: node() },
            Edit::RewireInput { node: "y".into(), slot: 1, value: "a".into() },
            Edit::SetInputs { values: vec![ValueInfoProto { name: Some("x".into()), ..ValueInfoProto::default() }] },
            Edit::SetOutputs { values: vec![] },
            Edit::SetMetadata { key: "k".into(), value: None },
        ])
    }

    #[test]
    fn a_record_gives_the_edit_again_through_text() {
        let mut files = HashMap::new();
        let record = edits().record(&mut |bytes, sha| {
            files.insert(sha.to_string(), Bytes::copy_from_slice(bytes));
            Ok(sha.to_string())
        });
        let text = serde_json::to_string(&record.unwrap()).unwrap();
        assert_eq!(files.len(), 1, "the same bytes are kept once under their digest");
        assert!(text.contains(r#""says":{"name":"pads","type":"ints","value":[1,0,1,0]}"#), "{text}");
        let back: EditRecord = serde_json::from_str(&text).unwrap();
        let again = back.edit(&mut |name| Ok(files[name].clone())).unwrap();
        // NaN is not equal to itself: compare what is written.
        assert_eq!(format!("{again:?}"), format!("{:?}", edits()));
    }

    #[test]
    fn every_float_is_read_again_through_text() {
        // JSON text of 8.413816369345499e-41 is read as its neighbour.
        for bits in (1..0x7f80_0000u32).step_by(99_991) {
            let attribute = AttributeProto::of_float("alpha", f32::from_bits(bits));
            let edit = Edit::SetAttribute { node: "y".into(), attribute };
            let text = serde_json::to_string(&edit.record(&mut |_, _| unreachable!()).unwrap()).unwrap();
            let record: EditRecord = serde_json::from_str(&text).unwrap();
            assert_eq!(record.edit(&mut |_| unreachable!()).unwrap(), edit);
        }
    }

    #[test]
    fn what_was_changed_afterwards_is_found() {
        let edit = Edit::SetAttribute { node: "y".into(), attribute: AttributeProto::of_int("axis", 1) };
        let text = serde_json::to_string(&edit.record(&mut |_, _| unreachable!()).unwrap()).unwrap();
        let forged: EditRecord = serde_json::from_str(&text.replace(r#""value":1"#, r#""value":2"#)).unwrap();
        assert!(forged.edit(&mut |_| unreachable!()).unwrap_err().to_string().contains("says something else"));

        let big = Edit::InsertNode { before: None, node: node() }.record(&mut |_, _| Ok("side".into())).unwrap();
        let error = big.edit(&mut |_| Ok(Bytes::from_static(b"other"))).unwrap_err().to_string();
        assert!(error.contains("side") && error.contains("SHA-256"), "{error}");
        assert!(serde_json::from_str::<EditRecord>(r#"{"edit":"remove-node","node":"y","more":1}"#).is_err());
    }
}
