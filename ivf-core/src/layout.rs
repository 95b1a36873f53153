//! The memory layout of the codes of a list.

use crate::bytes::ALIGN;
use arrayvec::ArrayVec;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Maximum number of planes in a layout.
pub const MAX_PLANES: usize = 4;

/// One item per plane, stored inline without heap allocation.
pub type Planes<T> = ArrayVec<T, MAX_PLANES>;

/// Writes a code into a block and reads it back. Only the packer knows the positions of the bytes
/// of a code in a block.
///
/// A block has `block_len` slots, and `planes[p]` holds its `block_bytes(p)` bytes in plane `p`.
/// For all contents of a block and every slot, `get` after `put` returns the same code, and `put`
/// does not change the codes of other slots. `put` of the all-zero code leaves the slot as it is in
/// a zeroed block.
///
/// Codes of two bytes, whose upper bytes are in a plane of their own. A scan that needs only these
/// reads half of the memory:
///
/// ```
/// use ivf_core::CodeLayout;
/// use ivf_core::layout::BlockPacker;
/// use std::sync::Arc;
///
/// #[derive(Debug)]
/// struct Halves;
///
/// impl BlockPacker for Halves {
///     fn put(&self, planes: &mut [&mut [u8]], slot: usize, code: &[u8]) {
///         (planes[0][slot], planes[1][slot]) = (code[1], code[0]);
///     }
///
///     fn get(&self, planes: &[&[u8]], slot: usize, code: &mut [u8]) {
///         (code[1], code[0]) = (planes[0][slot], planes[1][slot]);
///     }
/// }
///
/// // Blocks of 4 codes take 4 bytes in each of the two planes. Six codes take two blocks.
/// let layout = CodeLayout::custom("halves", 2, 4, &[4, 4], Arc::new(Halves)).of_codec("mine");
/// assert_eq!((layout.name(), layout.codec(), layout.plane_count()), ("halves", "mine", 2));
/// assert_eq!((layout.blocks(6), layout.block_bytes(0), layout.plane_bytes(0, 6)), (2, 4, 8));
///
/// // A store packs, unpacks and moves codes.
/// let (mut upper, mut lower) = ([0; 8], [0; 8]);
/// let mut planes = [&mut upper[..], &mut lower[..]];
/// let mut scratch = Vec::new();
/// layout.pack(&mut planes, 0, b"aAbBcCdDeEfF");
/// layout.put(&mut planes, 1, b"zZ");
/// layout.copy(&mut planes, 5, 0, &mut scratch);
/// assert_eq!((&upper[..6], &lower[..6]), (&b"FZCDEF"[..], &b"fzcdef"[..]));
/// let mut code = [0; 2];
/// layout.get(&[&upper, &lower], 1, &mut code);
/// assert_eq!(&code, b"zZ");
/// let mut codes = [0; 4];
/// layout.unpack(&[&upper, &lower], 3, &mut codes);
/// assert_eq!(&codes, b"dDeE");
/// ```
///
/// # Panics
/// Implementations may panic if a slice has another length than the layout prescribes, or if `slot`
/// is not below `block_len`.
pub trait BlockPacker: Send + Sync + fmt::Debug {
    /// Writes `code` (`code_size` bytes) into `slot`.
    fn put(&self, planes: &mut [&mut [u8]], slot: usize, code: &[u8]);
    /// Reads `slot` into `code` (`code_size` bytes).
    fn get(&self, planes: &[&[u8]], slot: usize, code: &mut [u8]);
    /// Writes codes, one after the other, into the slots `slots`. A layout that can write many
    /// codes at once faster than one by one should override this.
    fn pack(&self, planes: &mut [&mut [u8]], slots: Range<usize>, codes: &[u8]) {
        let size = codes.len() / slots.len().max(1);
        slots.zip(codes.chunks_exact(size.max(1))).for_each(|(slot, code)| self.put(planes, slot, code));
    }
    /// Reads the codes of the slots `slots`, one after the other, into `codes`.
    fn unpack(&self, planes: &[&[u8]], slots: Range<usize>, codes: &mut [u8]) {
        let size = codes.len() / slots.len().max(1);
        slots.zip(codes.chunks_exact_mut(size.max(1))).for_each(|(slot, code)| self.get(planes, slot, code));
    }
    /// Copies a code from a slot of one block to a slot of another; `scratch` has room for one
    /// code. A layout that scatters the bytes of a code over a block may be faster without
    /// assembling the code first.
    fn copy(&self, from: &[&[u8]], from_slot: usize, to: &mut [&mut [u8]], to_slot: usize, scratch: &mut [u8]) {
        self.get(from, from_slot, scratch);
        self.put(to, to_slot, scratch);
    }
}

/// The memory layout of the codes of a list. The codec defines it, and every store follows it.
///
/// A list is a sequence of blocks of `block_len` codes; the last block may be partly filled. Each
/// block has `block_bytes` consecutive bytes in each plane. The blocks of a plane are contiguous,
/// so that a scan reads each plane sequentially:
///
/// ```text
/// 5 codes, block_len 4, two planes:
///   plane 0   | block 0: slots 0 1 2 3 | block 1: slot 4, three zeroed |     2 x block_bytes(0)
///   plane 1   | block 0                | block 1                       |     2 x block_bytes(1)
/// ```
///
/// Stores move blocks and call [`pack`](Self::pack), [`unpack`](Self::unpack), [`put`](Self::put),
/// [`get`](Self::get) and [`copy`](Self::copy). They never interpret the bytes of a block. A plane
/// starts on a 64-byte boundary. A writer zeroes the slots past the end of a list. A reader must
/// accept any bytes there, because the list may come from a file.
///
/// ```
/// use ivf_core::CodeLayout;
/// let layout = CodeLayout::interleaved(4, 3, 32); // f32, 3 dimensions, blocks of 32
/// assert_eq!((layout.code_size(), layout.block_len()), (12, 32));
/// assert_eq!(layout.plane_bytes(0, 33), 2 * 32 * 12);
/// ```
#[derive(Clone, Debug)]
pub struct CodeLayout {
    name: Arc<str>,
    /// The tag of the codec of the codes; empty if it is not given.
    codec: Arc<str>,
    /// True if codes are stored one after the other, which needs no packer.
    is_rows: bool,
    code_size: usize,
    block_len: usize,
    block_bytes: Planes<usize>,
    packer: Arc<dyn BlockPacker>,
}

/// Two layouts are equal if the same bytes represent the same codes: if codec, name, sizes and
/// planes are equal.
impl PartialEq for CodeLayout {
    fn eq(&self, other: &Self) -> bool {
        self.codec == other.codec
            && self.name == other.name
            && self.code_size == other.code_size
            && self.block_len == other.block_len
            && self.block_bytes == other.block_bytes
    }
}

impl fmt::Display for CodeLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes a code, blocks of {})", self.name, self.code_size, self.block_len)?;
        if self.codec.is_empty() { Ok(()) } else { write!(f, " of {}", self.codec) }
    }
}

impl CodeLayout {
    /// Creates a layout with one plane, in which codes follow one another without blocks. Every
    /// codec can use it as its first layout.
    ///
    /// ```
    /// use ivf_core::CodeLayout;
    /// let layout = CodeLayout::rows(3);
    /// assert_eq!((layout.code_size(), layout.block_len(), layout.plane_bytes(0, 5)), (3, 1, 15));
    /// ```
    ///
    /// # Panics
    /// If `code_size` is zero.
    pub fn rows(code_size: usize) -> Self {
        let layout = Self::custom("rows", code_size, 1, &[code_size], Arc::new(RowMajor { code_size }));
        Self { is_rows: true, ..layout }
    }

    /// Creates a layout with one plane. In a block of `block_len` codes, the first elements of all
    /// codes come first, then the second elements, and so on:
    ///
    /// ```text
    /// elements 3, block_len 4 (x = dimension 0 of codes a b c d, ...):
    ///   | xa xb xc xd | ya yb yc yd | za zb zc zd |
    /// ```
    ///
    /// # Panics
    /// If an argument is zero.
    pub fn interleaved(element_size: usize, elements: usize, block_len: usize) -> Self {
        let code_size = element_size * elements;
        Self::custom(
            &format!("interleaved{element_size}"),
            code_size,
            block_len,
            &[code_size * block_len],
            Arc::new(Interleaved { element_size, block_len }),
        )
    }

    /// Creates a layout that is specific to a codec. `name` distinguishes layouts of equal sizes
    /// and is stored in files.
    ///
    /// # Panics
    /// If `code_size` or `block_len` is zero, or there are no planes or more than [`MAX_PLANES`].
    pub fn custom(
        name: &str,
        code_size: usize,
        block_len: usize,
        block_bytes: &[usize],
        packer: Arc<dyn BlockPacker>,
    ) -> Self {
        assert!(code_size > 0 && block_len > 0, "code_size and block_len must be at least 1");
        assert!((1..=MAX_PLANES).contains(&block_bytes.len()), "a layout has 1 to {MAX_PLANES} planes");
        let block_bytes = block_bytes.iter().copied().collect();
        Self { name: name.into(), codec: "".into(), is_rows: false, code_size, block_len, block_bytes, packer }
    }

    /// Returns the same layout for codes of the codec with this tag. It differs from the layout of
    /// another codec even if the sizes are equal.
    #[must_use]
    pub fn of_codec(self, tag: &str) -> Self {
        Self { codec: tag.into(), ..self }
    }

    /// Returns the tag of the codec of the codes; empty if it was not given.
    pub fn codec(&self) -> &str {
        &self.codec
    }

    /// Returns the name of the layout, as stored in files.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the size of one code in bytes, in the form that [`put`](Self::put) accepts.
    pub fn code_size(&self) -> usize {
        self.code_size
    }

    /// Returns the number of codes per block.
    pub fn block_len(&self) -> usize {
        self.block_len
    }

    /// Returns the number of planes.
    pub fn plane_count(&self) -> usize {
        self.block_bytes.len()
    }

    /// Returns the number of bytes of one block in a plane.
    pub fn block_bytes(&self, plane: usize) -> usize {
        self.block_bytes[plane]
    }

    /// Returns the number of blocks that `len` codes take.
    pub fn blocks(&self, len: usize) -> usize {
        len.div_ceil(self.block_len)
    }

    /// Returns the number of bytes that `len` codes take in a plane.
    pub fn plane_bytes(&self, plane: usize, len: usize) -> usize {
        self.blocks(len) * self.block_bytes[plane]
    }

    /// Returns the smallest number of entries, other than 0, in whole blocks whose bytes are a
    /// multiple of 64 in every plane. At a multiple of it, a list can be cut into segments without
    /// a copy.
    ///
    /// ```
    /// use ivf_core::CodeLayout;
    /// // 16 codes of 12 bytes take 192 bytes, three times 64. Fewer take no multiple of 64.
    /// let layout = CodeLayout::rows(12);
    /// assert_eq!((layout.aligned_entries(), layout.plane_bytes(0, 16)), (16, 3 * 64));
    /// // A block of 32 such codes takes 384 bytes, six times 64.
    /// assert_eq!(CodeLayout::interleaved(4, 3, 32).aligned_entries(), 32);
    /// ```
    pub fn aligned_entries(&self) -> usize {
        // The blocks that a plane needs are a power of two, so the largest of them serves all.
        let blocks = |bytes: &usize| ALIGN >> bytes.trailing_zeros().min(ALIGN.trailing_zeros());
        self.block_len * self.block_bytes.iter().map(blocks).max().unwrap_or(1)
    }

    /// Writes a code into a slot of whole planes. Slots are counted across blocks, from slot 0 of
    /// block 0.
    ///
    /// # Panics
    /// If the slot lies outside the planes, or `code` does not have `code_size` bytes.
    pub fn put(&self, planes: &mut [&mut [u8]], slot: usize, code: &[u8]) {
        assert_eq!(code.len(), self.code_size, "a code must have code_size bytes");
        let block = slot / self.block_len;
        let mut parts: Planes<&mut [u8]> = planes
            .iter_mut()
            .zip(&self.block_bytes)
            .map(|(plane, &bytes)| &mut plane[block * bytes..][..bytes])
            .collect();
        self.packer.put(&mut parts, slot % self.block_len, code);
    }

    /// Reads the code in a slot of whole planes.
    ///
    /// # Panics
    /// As [`put`](Self::put).
    pub fn get(&self, planes: &[&[u8]], slot: usize, code: &mut [u8]) {
        assert_eq!(code.len(), self.code_size, "a code must have code_size bytes");
        let block = slot / self.block_len;
        let parts: Planes<&[u8]> =
            planes.iter().zip(&self.block_bytes).map(|(plane, &bytes)| &plane[block * bytes..][..bytes]).collect();
        self.packer.get(&parts, slot % self.block_len, code);
    }

    /// Writes codes, one after the other, into the slots from `first` on, block by block.
    ///
    /// # Panics
    /// If a slot lies outside the planes, or the length of `codes` is not a multiple of
    /// `code_size`.
    pub fn pack(&self, planes: &mut [&mut [u8]], first: usize, codes: &[u8]) {
        assert!(codes.len().is_multiple_of(self.code_size), "the length of codes must be a multiple of code_size");
        if self.is_rows {
            return planes[0][first * self.code_size..][..codes.len()].copy_from_slice(codes);
        }
        for (block, slots, range) in self.runs(first, codes.len() / self.code_size) {
            let blocks = planes.iter_mut().zip(&self.block_bytes);
            let mut parts: Planes<&mut [u8]> =
                blocks.map(|(plane, &bytes)| &mut plane[block * bytes..][..bytes]).collect();
            self.packer.pack(&mut parts, slots, &codes[range.start * self.code_size..range.end * self.code_size]);
        }
    }

    /// Reads the codes of the slots from `first` on, one after the other, into `codes`, block by
    /// block.
    ///
    /// # Panics
    /// As [`pack`](Self::pack).
    pub fn unpack(&self, planes: &[&[u8]], first: usize, codes: &mut [u8]) {
        assert!(codes.len().is_multiple_of(self.code_size), "the length of codes must be a multiple of code_size");
        if self.is_rows {
            return codes.copy_from_slice(&planes[0][first * self.code_size..][..codes.len()]);
        }
        for (block, slots, range) in self.runs(first, codes.len() / self.code_size) {
            let blocks = planes.iter().zip(&self.block_bytes);
            let parts: Planes<&[u8]> = blocks.map(|(plane, &bytes)| &plane[block * bytes..][..bytes]).collect();
            self.packer.unpack(&parts, slots, &mut codes[range.start * self.code_size..range.end * self.code_size]);
        }
    }

    /// Divides the `len` slots from `first` on at the block boundaries. Yields for each block its
    /// number, its slots, and the positions of these slots among the `len` slots.
    fn runs(&self, first: usize, len: usize) -> impl Iterator<Item = (usize, Range<usize>, Range<usize>)> {
        let block_len = self.block_len;
        let mut done = 0;
        std::iter::from_fn(move || {
            let start = (first + done) % block_len;
            let count = (block_len - start).min(len - done);
            let ranks = done..done + count;
            done += count;
            (count > 0).then_some(((first + ranks.start) / block_len, start..start + count, ranks))
        })
    }

    /// Copies the code in slot `from` to slot `to` of the same planes.
    ///
    /// # Panics
    /// As [`put`](Self::put).
    pub fn copy(&self, planes: &mut [&mut [u8]], from: usize, to: usize, scratch: &mut Vec<u8>) {
        scratch.resize(self.code_size, 0);
        let (from_block, to_block) = (from / self.block_len, to / self.block_len);
        if from_block <= to_block {
            self.get(&planes.iter().map(|plane| &**plane).collect::<Planes<_>>(), from, scratch);
            return self.put(planes, to, scratch);
        }
        // The source is in a later block: an entry from the end of a list fills a gap.
        let (mut source, mut target) = (Planes::<&[u8]>::new(), Planes::<&mut [u8]>::new());
        for (plane, &bytes) in planes.iter_mut().zip(&self.block_bytes) {
            let (before, after) = plane.split_at_mut(from_block * bytes);
            source.push(&after[..bytes]);
            target.push(&mut before[to_block * bytes..][..bytes]);
        }
        self.packer.copy(&source, from % self.block_len, &mut target, to % self.block_len, scratch);
    }

    /// Copies the code in slot `from` of some planes to slot `to` of others.
    ///
    /// ```
    /// use ivf_core::CodeLayout;
    /// let layout = CodeLayout::interleaved(1, 2, 2); // two bytes a code, blocks of two codes
    /// let mut merged = [0; 4];
    /// layout.copy_between(&[b"abAB"], 1, &mut [&mut merged], 0, &mut Vec::new());
    /// assert_eq!(&merged, b"b\0B\0"); // the second code, bB, is now the first
    /// ```
    ///
    /// # Panics
    /// As [`put`](Self::put).
    pub fn copy_between(
        &self,
        source: &[&[u8]],
        from: usize,
        target: &mut [&mut [u8]],
        to: usize,
        scratch: &mut Vec<u8>,
    ) {
        scratch.resize(self.code_size, 0);
        let block = |slot: usize, bytes: usize| slot / self.block_len * bytes..(slot / self.block_len + 1) * bytes;
        let source = source.iter().zip(&self.block_bytes).map(|(plane, &bytes)| &plane[block(from, bytes)]);
        let target = target.iter_mut().zip(&self.block_bytes).map(|(plane, &bytes)| &mut plane[block(to, bytes)]);
        let (source, mut target): (Planes<&[u8]>, Planes<&mut [u8]>) = (source.collect(), target.collect());
        self.packer.copy(&source, from % self.block_len, &mut target, to % self.block_len, scratch);
    }
}

#[derive(Debug)]
struct RowMajor {
    code_size: usize,
}

impl BlockPacker for RowMajor {
    fn put(&self, planes: &mut [&mut [u8]], slot: usize, code: &[u8]) {
        planes[0][slot * self.code_size..][..self.code_size].copy_from_slice(code);
    }

    fn get(&self, planes: &[&[u8]], slot: usize, code: &mut [u8]) {
        code.copy_from_slice(&planes[0][slot * self.code_size..][..self.code_size]);
    }
}

#[derive(Debug)]
struct Interleaved {
    element_size: usize,
    block_len: usize,
}

impl BlockPacker for Interleaved {
    fn put(&self, planes: &mut [&mut [u8]], slot: usize, code: &[u8]) {
        let (size, stride) = (self.element_size, self.element_size * self.block_len);
        for (element, column) in code.chunks_exact(size).zip(planes[0].chunks_exact_mut(stride)) {
            column[slot * size..][..size].copy_from_slice(element);
        }
    }

    fn get(&self, planes: &[&[u8]], slot: usize, code: &mut [u8]) {
        let (size, stride) = (self.element_size, self.element_size * self.block_len);
        for (element, column) in code.chunks_exact_mut(size).zip(planes[0].chunks_exact(stride)) {
            element.copy_from_slice(&column[slot * size..][..size]);
        }
    }

    fn pack(&self, planes: &mut [&mut [u8]], slots: Range<usize>, codes: &[u8]) {
        let (size, stride) = (self.element_size, self.element_size * self.block_len);
        let code_size = planes[0].len() / self.block_len;
        for (element, column) in planes[0].chunks_exact_mut(stride).enumerate() {
            let column = &mut column[slots.start * size..slots.end * size];
            if size == 1 {
                let codes = codes.chunks_exact(code_size);
                column.iter_mut().zip(codes).for_each(|(to, code)| *to = code[element]);
            } else {
                for (to, code) in column.chunks_exact_mut(size).zip(codes.chunks_exact(code_size)) {
                    to.copy_from_slice(&code[element * size..][..size]);
                }
            }
        }
    }

    fn unpack(&self, planes: &[&[u8]], slots: Range<usize>, codes: &mut [u8]) {
        let (size, stride) = (self.element_size, self.element_size * self.block_len);
        let code_size = planes[0].len() / self.block_len;
        for (element, column) in planes[0].chunks_exact(stride).enumerate() {
            let column = column[slots.start * size..slots.end * size].chunks_exact(size);
            for (from, code) in column.zip(codes.chunks_exact_mut(code_size)) {
                code[element * size..][..size].copy_from_slice(from);
            }
        }
    }

    fn copy(&self, from: &[&[u8]], from_slot: usize, to: &mut [&mut [u8]], to_slot: usize, _scratch: &mut [u8]) {
        let (size, stride) = (self.element_size, self.element_size * self.block_len);
        for (from, to) in from[0].chunks_exact(stride).zip(to[0].chunks_exact_mut(stride)) {
            to[to_slot * size..][..size].copy_from_slice(&from[from_slot * size..][..size]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that `put` then `get` works in every slot and does not change other slots. Checks
    /// `copy`, and that writing zero codes restores zeroed blocks.
    fn check(layout: &CodeLayout) {
        let len = 2 * layout.block_len() + 1;
        let mut planes: Vec<Vec<u8>> = (0..layout.plane_count()).map(|p| vec![0; layout.plane_bytes(p, len)]).collect();
        let code =
            |slot: usize| -> Vec<u8> { (0..layout.code_size()).map(|i| (slot * 31 + i * 7 + 1) as u8).collect() };
        fn views(planes: &mut [Vec<u8>]) -> Vec<&mut [u8]> {
            planes.iter_mut().map(|p| &mut p[..]).collect()
        }
        for slot in 0..len {
            layout.put(&mut views(&mut planes), slot, &code(slot));
        }
        layout.copy(&mut views(&mut planes), len - 1, 0, &mut Vec::new());
        let copies: Vec<Vec<u8>> = planes.clone();
        let shared: Vec<&[u8]> = copies.iter().map(|p| &p[..]).collect();
        layout.copy_between(&shared, 0, &mut views(&mut planes), len - 1, &mut Vec::new());
        layout.copy(&mut views(&mut planes), 0, len - 1, &mut Vec::new());
        let mut got = vec![0; layout.code_size()];
        for slot in 0..len {
            let shared: Vec<&[u8]> = planes.iter().map(|p| &p[..]).collect();
            layout.get(&shared, slot, &mut got);
            assert_eq!(got, code(if slot == 0 { len - 1 } else { slot }), "{layout}, slot {slot}");
        }
        let shared: Vec<&[u8]> = planes.iter().map(|p| &p[..]).collect();
        let size = layout.code_size();
        for (first, count) in [(0, len), (1, len - 1), (len / 2, 1), (layout.block_len() - 1, 2), (3, 0)] {
            let mut codes = vec![0xee; count * size];
            layout.unpack(&shared, first, &mut codes);
            let mut code = vec![0; size];
            for (slot, unpacked) in (first..).zip(codes.chunks_exact(size)) {
                layout.get(&shared, slot, &mut code);
                assert_eq!(code, unpacked, "{layout}, slot {slot} unpacked from {first} on");
            }
            let mut packed = planes.clone();
            (first..first + count).for_each(|slot| layout.put(&mut views(&mut packed), slot, &vec![7; size]));
            assert!(count == 0 || packed != planes);
            layout.pack(&mut views(&mut packed), first, &codes);
            assert_eq!(packed, planes, "{layout}, {count} slots packed from {first} on");
        }
        for slot in 0..len {
            layout.put(&mut views(&mut planes), slot, &vec![0; layout.code_size()]);
        }
        assert!(planes.iter().flatten().all(|&byte| byte == 0));
    }

    #[test]
    fn built_in_layouts_keep_codes() {
        check(&CodeLayout::rows(1));
        check(&CodeLayout::rows(13));
        check(&CodeLayout::interleaved(4, 5, 32));
        check(&CodeLayout::interleaved(1, 7, 64));
        check(&CodeLayout::interleaved(2, 3, 1));
    }

    #[test]
    fn equality_is_about_meaning() {
        assert_eq!(CodeLayout::rows(8), CodeLayout::rows(8));
        assert_ne!(CodeLayout::rows(8), CodeLayout::interleaved(8, 1, 1));
        let of = |codec| CodeLayout::rows(8).of_codec(codec);
        assert_eq!(of("pq"), of("pq"));
        assert_ne!(of("pq"), of("sq8"));
    }
}
