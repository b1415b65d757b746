//! What a message would take in memory once decoded, found without decoding it. Two bytes of a file can ask for a message of a
//! thousand: a file made of such is refused before it is decoded.

use super::onnx::*;
use super::wire;
use bytes::Bytes;

/// A message that holds others.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Sparse,
    Value,
    Type,
    Shape,
    Function,
    Training,
    /// Entries, operator sets, dimensions: nothing large inside.
    Small,
}
use Kind::*;

/// A field of numbers or text, as an element of a vector.
const PLAIN: usize = 24;
/// Messages nested deeper than the decoder goes are its to refuse.
const DEEPEST: usize = 120;

impl Kind {
    fn size(self) -> usize {
        match self {
            Model => size_of::<ModelProto>(),
            Graph => size_of::<GraphProto>(),
            Node => size_of::<NodeProto>(),
            Attribute => size_of::<AttributeProto>(),
            Tensor => size_of::<TensorProto>(),
            Sparse => size_of::<SparseTensorProto>(),
            Value => size_of::<ValueInfoProto>(),
            Type => size_of::<TypeProto>(),
            Shape | Small => 64,
            Function => size_of::<FunctionProto>(),
            Training => size_of::<TrainingInfoProto>(),
        }
    }

    /// The message in a field of this number, by the schema.
    fn inside(self, number: u32) -> Option<Self> {
        Some(match (self, number) {
            (Model, 7) | (Attribute, 6 | 11) | (Training, 1 | 2) => Graph,
            (Model, 25) => Function,
            (Model, 20) => Training,
            (Graph, 1) | (Function, 7) => Node,
            (Graph, 5) | (Attribute, 5 | 10) | (Sparse, 1 | 2) => Tensor,
            (Graph, 15) | (Attribute, 22 | 23) => Sparse,
            (Graph, 11..=13) | (Function, 12) => Value,
            (Node, 5) | (Function, 11) => Attribute,
            (Attribute, 14 | 15) | (Value, 2) => Type,
            // Element type and shape; a shape's dimensions.
            (Type, _) => Shape,
            (Shape, _) => Small,
            (Model, 8 | 14 | 26)
            | (Graph, 14 | 16)
            | (Node, 9 | 10)
            | (Tensor, 13 | 16)
            | (Value, 4)
            | (Function, 9 | 14)
            | (Training, 3 | 4) => Small,
            _ => return None,
        })
    }
}

/// Refuses a file whose messages would take more memory than a few times what any real file of its size does.
pub(super) fn check(file: &Bytes) -> Result<(), String> {
    let mut left = (256usize << 20).saturating_add(file.len().saturating_mul(128));
    weigh(Model, file, 0, &mut left)
        .ok_or_else(|| format!("it has {} bytes and holds far more messages than a model of that size has", file.len()))
}

/// `None` when the budget is spent. What is malformed is the decoder's to name.
fn weigh(kind: Kind, message: &Bytes, depth: usize, left: &mut usize) -> Option<()> {
    let mut fields = wire::Fields::new(message);
    while let Some(Ok(field)) = fields.next() {
        let inner = field.content.as_ref().zip(kind.inside(field.number));
        // Vectors grow by doubling.
        *left = left.checked_sub(2 * inner.map_or(PLAIN, |(_, k)| k.size()))?;
        if let Some((content, kind)) = inner
            && depth < DEEPEST
            && !content.is_empty()
        {
            weigh(kind, content, depth + 1, left)?;
        }
    }
    Some(())
}
