//! JPEG files, decoded to the very pixels of libjpeg-turbo, which Pillow decodes with: its inverse transform, its interpolation of
//! chroma, its colours. No crate gives these, and half a step of chroma is enough to turn a label that hangs in the balance.
//!
//! Baseline and progressive files of eight bits with one or three components. Whatever is odd about a file is for another decoder.

mod bits;
mod pixels;
mod scan;

use bits::Table;
use scan::{Order, Range};

/// Scans above which a file is not meant seriously.
const MOST_SCANS: usize = 100;

/// A component of the picture.
#[derive(Debug)]
struct Component {
    id: u8,
    /// Sampling factors.
    h: usize,
    v: usize,
    /// Which table its steps are in, and the steps that were valid when its first scan began.
    quantisation: usize,
    steps: Option<[u16; 64]>,
    /// Samples that mean something.
    width: usize,
    height: usize,
    /// Blocks in a row and in all that are stored, those that fill up the last units included.
    stride: usize,
    rows: usize,
    /// 64 for each block, in their natural order.
    coefficients: Vec<i16>,
    /// For each coefficient of the zigzag order, how many of its low bits are still to come; nothing was seen of it where -1.
    missing: [i8; 64],
}

/// What a frame header says.
#[derive(Debug)]
struct Frame {
    progressive: bool,
    width: usize,
    height: usize,
    h: usize,
    v: usize,
    components: Vec<Component>,
}

/// Everything read so far.
#[derive(Default)]
struct State {
    frame: Option<Frame>,
    steps: [Option<[u16; 64]>; 4],
    dc: [Option<Table>; 4],
    ac: [Option<Table>; 4],
    restart: usize,
    jfif: bool,
    adobe: Option<u8>,
}

/// Width, height and pixels, or `None` when this is no file for this decoder. `most` limits the number of pixels.
pub(super) fn decode(bytes: &[u8], most: u64) -> Option<(usize, usize, Vec<u8>)> {
    let mut rest = bytes.strip_prefix(&[0xff, 0xd8])?;
    let mut state = State::default();
    let mut scans = 0;
    loop {
        // Any number of fill bytes may stand in front of a marker.
        rest = rest.strip_prefix(&[0xff])?;
        while let [0xff, more @ ..] = rest {
            rest = more;
        }
        let (&marker, after) = rest.split_first()?;
        if marker == 0xd9 {
            return pixels::picture(&state.frame?, state.jfif, state.adobe);
        }
        let (length, _) = after.split_first_chunk::<2>()?;
        let (body, next) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let body = body.get(2..)?;
        rest = next;
        match marker {
            0xc0..=0xc2 if state.frame.is_none() => state.frame = Some(frame(body, marker == 0xc2, most)?),
            0xc4 => state.tables(body)?,
            0xdb => state.quantisation(body)?,
            0xdd => state.restart = usize::from(u16::from_be_bytes(*body.first_chunk::<2>()?)),
            0xda => {
                scans += 1;
                rest = (scans <= MOST_SCANS).then(|| state.scan(body, next))??;
            }
            0xe0 => state.jfif |= body.starts_with(b"JFIF\0"),
            0xee if body.starts_with(b"Adobe") => state.adobe = Some(*body.get(11)?),
            0xe1..=0xef | 0xfe => {}
            // Arithmetic coding, lossless and hierarchical files, heights that come later.
            _ => return None,
        }
    }
}

fn frame(body: &[u8], progressive: bool, most: u64) -> Option<Frame> {
    let [8, h1, h0, w1, w0, count, components @ ..] = body else { return None };
    let (height, width) = (usize::from(u16::from_be_bytes([*h1, *h0])), usize::from(u16::from_be_bytes([*w1, *w0])));
    let known = matches!(count, 1 | 3) && components.len() == usize::from(*count) * 3;
    if !known || width == 0 || height == 0 || width as u64 * height as u64 > most {
        return None;
    }
    let mut sampling: Vec<[usize; 4]> = Vec::new();
    for c in components.chunks_exact(3) {
        let (id, h, v, table) = (c[0], usize::from(c[1] >> 4), usize::from(c[1] & 15), usize::from(c[2]));
        if !(1..=4).contains(&h) || !(1..=4).contains(&v) || table > 3 || sampling.iter().any(|s| s[0] == usize::from(id)) {
            return None;
        }
        sampling.push([id.into(), h, v, table]);
    }
    let (most_h, most_v) = (sampling.iter().map(|s| s[1]).max()?, sampling.iter().map(|s| s[2]).max()?);
    let (across, down) = (width.div_ceil(8 * most_h), height.div_ceil(8 * most_v));
    let component = |[id, h, v, quantisation]: [usize; 4]| {
        let (stride, rows) = (across * h, down * v);
        Component {
            id: id as u8,
            h,
            v,
            quantisation,
            steps: None,
            width: (width * h).div_ceil(most_h),
            height: (height * v).div_ceil(most_v),
            stride,
            rows,
            coefficients: vec![0; stride * rows * 64],
            missing: [-1; 64],
        }
    };
    let components = sampling.into_iter().map(component).collect();
    Some(Frame { progressive, width, height, h: most_h, v: most_v, components })
}

impl State {
    fn tables(&mut self, mut body: &[u8]) -> Option<()> {
        while let Some((&kind, rest)) = body.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>()?;
            let (symbols, rest) = rest.split_at_checked(counts.iter().map(|c| usize::from(*c)).sum())?;
            body = rest;
            let tables = match kind >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return None,
            };
            *tables.get_mut(usize::from(kind & 15))? = Some(Table::new(counts, symbols)?);
        }
        Some(())
    }

    fn quantisation(&mut self, mut body: &[u8]) -> Option<()> {
        while let Some((&kind, rest)) = body.split_first() {
            let mut steps = [0; 64];
            let wide = kind >> 4 == 1;
            let (values, rest) = rest.split_at_checked(if wide { 128 } else { 64 })?;
            body = rest;
            for (k, at) in scan::ZIGZAG.iter().enumerate() {
                let step = if wide { u16::from_be_bytes([values[2 * k], values[2 * k + 1]]) } else { values[k].into() };
                steps[usize::from(*at)] = step;
            }
            *self.steps.get_mut(usize::from(kind & 15)).filter(|_| kind >> 4 <= 1)? = Some(steps);
        }
        Some(())
    }

    /// Reads a scan; gives what comes behind it.
    fn scan<'a>(&mut self, body: &[u8], data: &'a [u8]) -> Option<&'a [u8]> {
        let frame = self.frame.as_mut()?;
        let (&count, rest) = body.split_first()?;
        let (chosen, rest) = rest.split_at_checked(2 * usize::from(count))?;
        let [first, last, bits] = rest else { return None };
        let range = Range { first: (*first).into(), last: (*last).into(), high: bits >> 4, low: bits & 15 };
        let plain = Range { first: 0, last: 63, high: 0, low: 0 };
        // A progressive scan has the first coefficients of several components or others of one.
        let sound = match frame.progressive {
            false => range == plain,
            true => {
                let one = if range.first == 0 { range.last == 0 } else { range.first <= range.last && range.last < 64 && count == 1 };
                one && range.low < 14 && (range.high == 0 || range.high == range.low + 1)
            }
        };
        if !sound || !(1..=frame.components.len()).contains(&usize::from(count)) {
            return None;
        }
        let mut members = Vec::new();
        for c in chosen.chunks_exact(2) {
            let at = frame.components.iter().position(|f| f.id == c[0])?;
            if members.iter().any(|m: &scan::Member<'_>| m.component == at) {
                return None;
            }
            let component = &mut frame.components[at];
            if component.steps.is_none() {
                component.steps = Some((*self.steps.get(component.quantisation)?)?);
            }
            for k in &mut component.missing[range.first..=range.last] {
                let expected = if range.high == 0 { -1 } else { range.high as i8 };
                if *k != expected {
                    return None;
                }
                *k = range.low as i8;
            }
            let dc = self.dc.get(usize::from(c[1] >> 4)).and_then(Option::as_ref);
            let ac = self.ac.get(usize::from(c[1] & 15)).and_then(Option::as_ref);
            members.push(scan::Member { component: at, dc, ac });
        }
        let order = Order { restart: self.restart, across: frame.width.div_ceil(8 * frame.h), down: frame.height.div_ceil(8 * frame.v) };
        scan::read(frame, &members, range, order, data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> Vec<u8> {
        std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/images").join(name)).unwrap()
    }

    // That the pixels are right is shown beside the other formats, in `pillow_tests.rs`, where another decoder would give other ones.

    #[test]
    fn the_ordinary_kinds_are_decoded_here() {
        for name in ["420.jpg", "422.jpg", "444.jpg", "gray.jpg", "rgb.jpg", "progressive.jpg", "420_progressive.jpg", "422_restart.jpg"] {
            let (width, height, pixels) = decode(&file(name), 1 << 20).expect(name);
            assert_eq!((width, height, pixels.len()), (24, 17, 24 * 17 * 3), "{name}");
        }
    }

    #[test]
    fn what_is_odd_is_left_to_another_decoder() {
        assert!(decode(&file("cmyk.jpg"), 1 << 20).is_none());
        assert!(decode(&file("rgb.png"), 1 << 20).is_none());
        assert!(decode(&file("420.jpg"), 24 * 17 - 1).is_none(), "too many pixels");
        for name in ["420.jpg", "progressive.jpg", "422_restart.jpg"] {
            let bytes = file(name);
            for end in 0..bytes.len() {
                assert!(decode(&bytes[..end], 1 << 20).is_none(), "{name} cut off at {end}");
            }
        }
    }

    #[test]
    fn more_codes_than_there_is_room_for_are_no_table() {
        let counts = |pairs: &[(usize, u8)]| {
            let mut out = [0; 16];
            pairs.iter().for_each(|(length, count)| out[length - 1] = *count);
            out
        };
        assert!(Table::new(&counts(&[(1, 2)]), &[1, 2]).is_some());
        assert!(Table::new(&counts(&[(1, 3)]), &[1, 2, 3]).is_none());
        assert!(Table::new(&counts(&[(1, 2), (2, 1)]), &[1, 2, 3]).is_none());
    }
}
