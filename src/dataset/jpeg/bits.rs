//! Bits of a scan, and the Huffman codes in them.

/// Bits of a code that are looked up at once.
const FAST: u32 = 9;

/// A Huffman table.
#[derive(Debug)]
pub(super) struct Table {
    /// For each beginning of [`FAST`] bits the symbol and the length of its code; length 0 where the code is longer.
    fast: Vec<(u8, u8)>,
    /// For each length the first code that is too large for it, moved up to 16 bits.
    end: [u32; 17],
    /// For each length what is added to a code to give the place of its symbol.
    offset: [i32; 17],
    symbols: Vec<u8>,
}

impl Table {
    /// From the number of codes of each length and their symbols; `None` when there are more codes than fit.
    pub fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut table = Self { fast: vec![(0, 0); 1 << FAST], end: [0; 17], offset: [0; 17], symbols: symbols.to_vec() };
        let (mut code, mut place) = (0u32, 0usize);
        for length in 1..=16u32 {
            let count = u32::from(counts[length as usize - 1]);
            table.offset[length as usize] = place as i32 - code as i32;
            for _ in 0..count {
                if code >> length != 0 {
                    return None;
                }
                if length <= FAST {
                    let from = (code << (FAST - length)) as usize;
                    table.fast[from..from + (1 << (FAST - length))].fill((*symbols.get(place)?, length as u8));
                }
                code += 1;
                place += 1;
            }
            table.end[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Some(table)
    }
}

/// The bits of a scan up to the next marker.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    buffer: u64,
    count: u32,
    /// How many zeros were put behind the last bit.
    invented: u32,
}

impl<'a> Bits<'a> {
    /// Begins at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, buffer: 0, count: 0, invented: 0 }
    }

    #[inline]
    fn fill(&mut self) {
        while self.count <= 56 {
            let byte = match self.bytes {
                [0xff, 0, rest @ ..] => {
                    self.bytes = rest;
                    0xff
                }
                [0xff, ..] | [] => {
                    self.invented += 8;
                    0
                }
                [byte, rest @ ..] => {
                    self.bytes = rest;
                    *byte
                }
            };
            self.buffer |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// That many bits, at most 16.
    #[inline]
    pub fn take(&mut self, count: u32) -> i32 {
        if count == 0 {
            return 0;
        }
        if self.count < count {
            self.fill();
        }
        let out = (self.buffer >> (64 - count)) as i32;
        self.skip(count);
        out
    }

    #[inline]
    fn skip(&mut self, count: u32) {
        self.buffer <<= count;
        self.count -= count;
    }

    /// A number of that many bits with its sign: small ones stand for negative numbers.
    #[inline]
    pub fn signed(&mut self, count: u32) -> i32 {
        let value = self.take(count);
        if count > 0 && value < 1 << (count - 1) { value - (1 << count) + 1 } else { value }
    }

    /// The symbol of the next code.
    #[inline]
    pub fn symbol(&mut self, table: &Table) -> Option<u8> {
        if self.count < 16 {
            self.fill();
        }
        let (symbol, length) = table.fast[(self.buffer >> (64 - FAST)) as usize];
        if length > 0 {
            self.skip(length.into());
            return Some(symbol);
        }
        let next = (self.buffer >> 48) as u32;
        let length = (FAST + 1..=16).find(|l| next < table.end[*l as usize])?;
        self.skip(length);
        let place = (next >> (16 - length)) as i32 + table.offset[length as usize];
        table.symbols.get(usize::try_from(place).ok()?).copied()
    }

    /// Ends at a marker; gives what begins with it. `None` when bits were wanted that are not there, or bytes are left.
    pub fn end(self) -> Option<&'a [u8]> {
        let left = self.count.checked_sub(self.invented)?;
        (left < 8 && self.bytes.first() == Some(&0xff)).then_some(self.bytes)
    }
}
