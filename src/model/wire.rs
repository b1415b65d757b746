//! The protobuf wire format, as far as saving without loss needs it: a message as its fields, each with the bytes it was read from.
//!
//! Writing back those bytes is what makes an untouched file byte-identical, whatever fields the schema does not know.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};
use std::collections::{BTreeMap, BTreeSet};

/// One field of a message.
#[derive(Debug, Clone)]
pub struct Field {
    /// Field number in the schema.
    pub number: u32,
    /// The bytes of the whole field: key, length and content.
    pub whole: Bytes,
    /// The content alone, when the field is length-delimited (a message, string or bytes).
    pub content: Option<Bytes>,
}

/// Cuts a message into its fields, without copying.
///
/// # Errors
/// When a key, length or group is malformed or reaches past the end; the message says at which byte.
pub fn fields(message: &Bytes) -> Result<Vec<Field>, WireError> {
    Fields::new(message).collect()
}

/// The fields of a message, one by one; ends after the first that is malformed.
#[derive(Debug)]
pub struct Fields<'a> {
    message: &'a Bytes,
    rest: Bytes,
}

impl<'a> Fields<'a> {
    /// The fields of this message.
    pub fn new(message: &'a Bytes) -> Self {
        Self { message, rest: message.clone() }
    }

    fn read(&mut self) -> Result<Field, &'static str> {
        let start = self.message.len() - self.rest.remaining();
        let (number, wire_type) = decode_key(&mut self.rest).map_err(|_| "a field key is malformed")?;
        let content = match wire_type {
            WireType::LengthDelimited => {
                let length = decode_varint(&mut self.rest).map_err(|_| "a length is malformed")? as usize;
                if length > self.rest.remaining() {
                    return Err("a field is longer than what is left of the file");
                }
                Some(self.rest.copy_to_bytes(length))
            }
            other => {
                prost::encoding::skip_field(other, number, &mut self.rest, prost::encoding::DecodeContext::default())
                    .map_err(|_| "a field is malformed")?;
                None
            }
        };
        let end = self.message.len() - self.rest.remaining();
        Ok(Field { number, whole: self.message.slice(start..end), content })
    }
}

impl Iterator for Fields<'_> {
    type Item = Result<Field, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.message.len() - self.rest.remaining();
        if !self.rest.has_remaining() {
            return None;
        }
        Some(self.read().map_err(|what| {
            self.rest.clear();
            WireError { at, what }
        }))
    }
}

/// A message that was changed: the fields that stayed are taken from the bytes of the old one, unknown ones included.
///
/// `was` is what `old` decodes to, `now` what it shall become. A repeated field keeps the bytes of the elements that stayed.
/// The result depends on these three alone, and is `old` itself when nothing changed.
pub fn splice(old: &Bytes, was: &impl Message, now: &impl Message) -> Result<Bytes, WireError> {
    let (was, now) = (grouped(&was.encode_to_vec().into())?, grouped(&now.encode_to_vec().into())?);
    let raw = fields(old)?;
    let none = Vec::new();
    let group = |of: &BTreeMap<u32, Vec<Bytes>>, number| of.get(&number).unwrap_or(&none).clone();
    let mut out = BytesMut::with_capacity(old.len() + 64);
    let mut done = BTreeSet::new();
    for field in &raw {
        let (before, after) = (group(&was, field.number), group(&now, field.number));
        if before == after {
            out.put_slice(&field.whole);
        } else if done.insert(field.number) {
            let mut kept: Vec<Option<&Bytes>> = raw.iter().filter(|f| f.number == field.number).map(|f| Some(&f.whole)).collect();
            if kept.len() != before.len() {
                kept.clear();
            }
            for element in after {
                let same = (0..kept.len()).find(|k| kept[*k].is_some() && before[*k] == element);
                out.put_slice(same.and_then(|k| kept[k].take()).unwrap_or(&element));
            }
        }
    }
    let known: BTreeSet<u32> = raw.iter().map(|f| f.number).collect();
    for (_, elements) in now.iter().filter(|(number, _)| !known.contains(number)) {
        elements.iter().for_each(|e| out.put_slice(e));
    }
    Ok(out.freeze())
}

fn grouped(message: &Bytes) -> Result<BTreeMap<u32, Vec<Bytes>>, WireError> {
    let mut out = BTreeMap::<u32, Vec<Bytes>>::new();
    for field in fields(message)? {
        out.entry(field.number).or_default().push(field.whole);
    }
    Ok(out)
}

/// A length-delimited field, from its content.
pub fn delimited(number: u32, content: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(content.len() + 12);
    put_header(number, content.len(), &mut out);
    out.put_slice(content);
    out.freeze()
}

/// Key and length of a length-delimited field whose content the caller writes.
pub fn put_header(number: u32, length: usize, out: &mut impl BufMut) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(length as u64, out);
}

/// The file is no protobuf message.
#[derive(Debug, Clone, thiserror::Error)]
#[error("byte {at}: {what}")]
pub struct WireError {
    /// Offset within the message.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}
