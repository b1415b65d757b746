//! ONNX files and graphs: reading and writing without loss, an index over the graph, edits as values, a checker.
//!
//! A [`Model`] is immutable. An [`Edit`] gives a new one that shares everything it does not touch, tensors above all.

mod apply;
mod attributes;
mod check;
mod declare;
mod draft;
mod edit;
mod error;
mod external;
mod file;
mod files;
mod finding;
mod harmless;
mod index;
mod inline;
#[rustfmt::skip]
#[allow(missing_docs, clippy::all, rustdoc::all)]
pub mod onnx;
mod operators;
mod overlay;
mod record;
mod save;
mod sequences;
mod shapes;
mod sparse;
mod types;
mod weigh;
pub mod wire;

pub use attributes::NodeExt;
pub(crate) use check::values;
pub use check::{check, refused};
pub use declare::true_outputs;
pub use edit::Edit;
pub use error::ModelError;
pub use file::{Entry, Graph, Model};
pub use files::{Existing, folder, put_in_place, read_file, read_text, regular, sync_folder, temporary, write_whole};
pub use finding::{Finding, Severity, Subject};
pub use harmless::{harmless, harmless_json};
pub use index::{Index, NodeId, ValueId, reads};
pub use operators::{attribute_names, default_attribute, first_version, input_names};
pub use overlay::Place;
pub use record::{Data, EditRecord, INLINE_UP_TO, Load, ProtoRecord, Store};
pub use save::hex;
pub use shapes::{Budget, Shapes, infer};
pub use types::{data_size, element_bits, element_count, size, type_name};
