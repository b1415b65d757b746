//! Scans: from bits to coefficients.

use super::Frame;
use super::bits::{Bits, Table};

/// Where the coefficients of a scan lie in a block.
#[rustfmt::skip]
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Which coefficients a scan has, and which of their bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub first: usize,
    pub last: usize,
    /// The lowest bit that was there before; 0 when nothing was.
    pub high: u8,
    /// The lowest bit that is there afterwards.
    pub low: u8,
}

/// A component of a scan with its tables.
pub(super) struct Member<'a> {
    pub component: usize,
    pub dc: Option<&'a Table>,
    pub ac: Option<&'a Table>,
}

/// How units follow each other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    /// Units between restarts; 0 is none.
    pub restart: usize,
    /// Units in a row, of several components.
    pub across: usize,
    /// Rows of these.
    pub down: usize,
}

/// What is carried from block to block until a restart.
#[derive(Default)]
struct Carried {
    predicted: [i32; 3],
    /// Blocks still to come that have nothing new.
    empty: u32,
}

/// Reads a scan; gives what begins with the next marker.
pub(super) fn read<'a>(frame: &mut Frame, members: &[Member<'_>], range: Range, order: Order, data: &'a [u8]) -> Option<&'a [u8]> {
    let alone = members.len() == 1;
    let first = &frame.components[members.first()?.component];
    // A component alone has no blocks that only fill up.
    let (across, down) = if alone { (first.width.div_ceil(8), first.height.div_ceil(8)) } else { (order.across, order.down) };
    let mut bits = Bits::new(data);
    let mut carried = Carried::default();
    let mut restarts = 0u8;
    for unit in 0..across * down {
        if order.restart > 0 && unit > 0 && unit.is_multiple_of(order.restart) {
            let [0xff, marker, rest @ ..] = bits.end()? else { return None };
            if *marker != 0xd0 + restarts % 8 {
                return None;
            }
            restarts = restarts.wrapping_add(1);
            bits = Bits::new(rest);
            carried = Carried::default();
        }
        let (row, column) = (unit / across, unit % across);
        for (at, member) in members.iter().enumerate() {
            let component = &mut frame.components[member.component];
            let (h, v) = if alone { (1, 1) } else { (component.h, component.v) };
            for y in row * v..(row + 1) * v {
                for x in column * h..(column + 1) * h {
                    let block = (y * component.stride + x) * 64;
                    let block: &mut [i16; 64] = component.coefficients.get_mut(block..block + 64)?.try_into().ok()?;
                    let predicted = &mut carried.predicted[at];
                    match (frame.progressive, range.first, range.high) {
                        (false, ..) => whole(&mut bits, block, predicted, member.dc?, member.ac?)?,
                        (true, 0, 0) => block[0] = (dc(&mut bits, predicted, member.dc?)? << range.low) as i16,
                        (true, 0, _) => block[0] |= (bits.take(1) << range.low) as i16,
                        (true, _, 0) => begun(&mut bits, block, &mut carried.empty, member.ac?, range)?,
                        (true, ..) => refined(&mut bits, block, &mut carried.empty, member.ac?, range)?,
                    }
                }
            }
        }
    }
    bits.end()
}

fn dc(bits: &mut Bits<'_>, predicted: &mut i32, table: &Table) -> Option<i32> {
    let size = bits.symbol(table)?;
    if size > 15 {
        return None;
    }
    *predicted = predicted.wrapping_add(bits.signed(size.into()));
    Some(*predicted)
}

/// A block of a file that is not progressive.
fn whole(bits: &mut Bits<'_>, block: &mut [i16; 64], predicted: &mut i32, first: &Table, others: &Table) -> Option<()> {
    block[0] = dc(bits, predicted, first)? as i16;
    let mut k = 1;
    while k < 64 {
        let symbol = bits.symbol(others)?;
        let (zeros, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 {
            if zeros < 15 {
                break;
            }
            k += 16;
            continue;
        }
        k += zeros;
        block[usize::from(*ZIGZAG.get(k)?)] = bits.signed(size) as i16;
        k += 1;
    }
    Some(())
}

/// The high bits of a range.
fn begun(bits: &mut Bits<'_>, block: &mut [i16; 64], empty: &mut u32, table: &Table, range: Range) -> Option<()> {
    if *empty > 0 {
        *empty -= 1;
        return Some(());
    }
    let mut k = range.first;
    while k <= range.last {
        let symbol = bits.symbol(table)?;
        let (zeros, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 {
            if zeros < 15 {
                *empty = (1 << zeros) - 1 + bits.take(zeros as u32) as u32;
                break;
            }
            k += 16;
            continue;
        }
        k += zeros;
        if k > range.last {
            return None;
        }
        block[usize::from(ZIGZAG[k])] = (bits.signed(size) << range.low) as i16;
        k += 1;
    }
    Some(())
}

/// One more bit of a range.
fn refined(bits: &mut Bits<'_>, block: &mut [i16; 64], empty: &mut u32, table: &Table, range: Range) -> Option<()> {
    let bit = 1i16 << range.low;
    let refine = |bits: &mut Bits<'_>, c: &mut i16| {
        if bits.take(1) == 1 && *c & bit == 0 {
            *c = c.wrapping_add(if *c >= 0 { bit } else { -bit });
        }
    };
    let mut k = range.first;
    if *empty == 0 {
        while k <= range.last {
            let symbol = bits.symbol(table)?;
            let (mut zeros, size) = (u32::from(symbol >> 4), symbol & 15);
            let mut new = 0;
            match size {
                0 if zeros < 15 => {
                    *empty = (1 << zeros) + bits.take(zeros) as u32;
                    break;
                }
                0 => {}
                1 => new = if bits.take(1) == 1 { bit } else { -bit },
                _ => return None,
            }
            // Over as many zeros as are told; what lies between them gets its bit.
            while k <= range.last {
                let c = &mut block[usize::from(ZIGZAG[k])];
                if *c != 0 {
                    refine(bits, c);
                } else if zeros == 0 {
                    break;
                } else {
                    zeros -= 1;
                }
                k += 1;
            }
            if new != 0 {
                if k > range.last {
                    return None;
                }
                block[usize::from(ZIGZAG[k])] = new;
            }
            k += 1;
        }
    }
    if *empty > 0 {
        for at in ZIGZAG.get(k..=range.last).unwrap_or_default() {
            let c = &mut block[usize::from(*at)];
            if *c != 0 {
                refine(bits, c);
            }
        }
        *empty -= 1;
    }
    Some(())
}
