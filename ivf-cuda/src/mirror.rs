//! The lists of an index, as a device has them: block by block as on the CPU, with the ids of the
//! codes and the terms that bounds need (`kernels/args.cuh` has a picture).

use crate::arena::Arena;
use crate::codec::DeviceCodec;
use crate::device::{Buffer, Device};
use crate::driver::{DevicePtr, Stream};
use crate::error::CudaError;
use crate::kernels::{self, TermsArgs, launch};
use ivf_core::bytes::AlignedBytes;
use ivf_core::error::StoreError;
use ivf_core::layout::Planes;
use ivf_core::lists::ListRef;
use ivf_core::{BoundCodec, CodeLayout, Id, InvertedLists, ListNo};
use std::sync::Arc;

/// Largest number of bytes that are written to the device at once.
const STAGED: usize = 16 << 20;

/// Bytes of the terms of a code: the struct `Terms` of `kernels/blocks.cuh`.
const TERMS: usize = 8;

/// Blocks begin at multiples of this.
const BLOCK_ALIGN: usize = 128;

/// Number of blocks of threads that make terms.
const TERMS_GRID: usize = 1024;

/// The lists of an index on a device.
#[derive(Debug)]
pub(crate) struct Mirror {
    device: Device,
    pub(crate) codec: DeviceCodec,
    layout: CodeLayout,
    arena: Arena,
    /// The blocks of each list.
    blocks: Vec<Vec<DevicePtr>>,
    lens: Vec<u32>,
    table: Table,
}

/// Where the blocks of each list are, for kernels.
#[derive(Debug)]
struct Table {
    blocks: Buffer,
    first: Buffer,
    lens: Buffer,
}

fn unread(error: StoreError) -> CudaError {
    CudaError::Lists(error.to_string())
}

impl Mirror {
    /// Copies lists to a device.
    ///
    /// # Errors
    /// [`CudaError::Unsupported`] if there are no kernels for the codec,
    /// [`CudaError::OutOfMemory`], [`CudaError::Lists`], and those of the driver.
    pub(crate) fn new(
        device: &Device,
        stream: Stream,
        bound: &dyn BoundCodec,
        lists: &dyn InvertedLists,
    ) -> Result<Self, CudaError> {
        let codec = DeviceCodec::new(device, stream, bound)?;
        let layout = bound.codec().layout().clone();
        let planes: usize = (0..layout.plane_count()).map(|p| layout.block_bytes(p)).sum();
        let bytes = planes + layout.block_len() * (size_of::<Id>() + TERMS);
        let arena = Arena::new(device, bytes.next_multiple_of(BLOCK_ALIGN));
        let empty = |what| device.alloc(1, what);
        let table = Table { blocks: empty("the lists")?, first: empty("the lists")?, lens: empty("the lists")? };
        let (blocks, lens) = (vec![Vec::new(); lists.nlist()], vec![0; lists.nlist()]);
        let mut mirror = Self { device: device.clone(), codec, layout, arena, blocks, lens, table };
        mirror.sync(stream, lists, |_, _| 0)?;
        Ok(mirror)
    }

    /// Brings the device up to date with lists. `keep(list, blocks)` is the number of leading
    /// blocks of a list that have not changed, of the number that the device has.
    ///
    /// # Errors
    /// As [`new`](Self::new). The device has the lists as they were before.
    pub(crate) fn sync(
        &mut self,
        stream: Stream,
        lists: &dyn InvertedLists,
        keep: impl Fn(ListNo, usize) -> usize,
    ) -> Result<(), CudaError> {
        let mut changed = Vec::new();
        let mut missing = 0;
        for (no, blocks) in self.blocks.iter().enumerate() {
            let list = ListNo(no as u32);
            let len = lists.list_len(list).map_err(unread)?;
            let wanted = self.layout.blocks(len);
            let kept = keep(list, blocks.len()).min(blocks.len()).min(wanted);
            if kept < wanted || kept < blocks.len() || len != self.lens[no] as usize {
                changed.push((list, kept, len));
                missing += wanted - kept;
            }
        }
        if changed.is_empty() && self.table.first.bytes() > 1 {
            return Ok(());
        }
        let fresh = self.arena.take(missing)?;
        match self.write_changed(stream, lists, &changed, &fresh) {
            Ok((blocks, table)) => {
                let mut old = Vec::new();
                for ((list, kept, len), blocks) in changed.into_iter().zip(blocks) {
                    let no = list.index();
                    old.extend_from_slice(&self.blocks[no][kept..]);
                    self.blocks[no] = blocks;
                    self.lens[no] = len as u32;
                }
                self.table = table;
                self.arena.give_back(old);
                Ok(())
            }
            Err(error) => {
                self.arena.give_back(fresh);
                Err(error)
            }
        }
    }

    /// Writes the changed lists to fresh blocks. Returns the blocks of each of them, and the table
    /// with them.
    fn write_changed(
        &self,
        stream: Stream,
        lists: &dyn InvertedLists,
        changed: &[(ListNo, usize, usize)],
        fresh: &[DevicePtr],
    ) -> Result<(Vec<Vec<DevicePtr>>, Table), CudaError> {
        let mut writer = Writer { mirror: self, stream, staged: Vec::new(), start: None };
        let (mut rest, mut all) = (fresh, Vec::new());
        for &(list, kept, len) in changed {
            let (own, left) = rest.split_at(self.layout.blocks(len) - kept);
            rest = left;
            if !own.is_empty() {
                writer.write_list(&lists.list(list).map_err(unread)?, kept, own)?;
            }
            all.push(self.blocks[list.index()][..kept].iter().chain(own).copied().collect());
        }
        writer.flush()?;

        let mut blocks = self.blocks.iter().map(Vec::as_slice).collect::<Vec<_>>();
        let mut lens = self.lens.clone();
        for ((list, _, len), own) in changed.iter().zip(&all) {
            let own: &Vec<DevicePtr> = own;
            (blocks[list.index()], lens[list.index()]) = (own, *len as u32);
        }
        let mut first = vec![0_u32];
        let (mut addresses, mut of_lists) = (Vec::new(), Vec::new());
        for (no, own) in blocks.iter().enumerate() {
            addresses.extend_from_slice(own);
            of_lists.extend(std::iter::repeat_n(no as u32, own.len()));
            let end = u32::try_from(addresses.len()).map_err(|_| CudaError::Unsupported {
                what: format!("an index of {} blocks of codes", addresses.len()),
            })?;
            first.push(end);
        }
        let table = Table {
            blocks: self.device.upload(stream, &addresses, "the lists")?,
            first: self.device.upload(stream, &first, "the lists")?,
            lens: self.device.upload(stream, &lens, "the lists")?,
        };
        let chosen =
            changed.iter().flat_map(|&(list, kept, _)| first[list.index()] + kept as u32..first[list.index() + 1]);
        let chosen: Vec<u32> = chosen.collect();
        if !chosen.is_empty() {
            let (of_lists, numbers) = (
                self.device.upload(stream, &of_lists, "the lists")?,
                self.device.upload(stream, &chosen, "the lists")?,
            );
            let args = TermsArgs {
                lists: self.lists_with(&table),
                codec: self.codec.args(),
                block_lists: of_lists.at(),
                chosen: numbers.at(),
                blocks: chosen.len() as u32,
                pad: 0,
            };
            let terms = launch(self.codec.kernels.terms, [chosen.len().min(TERMS_GRID), 1], 0, &args);
            let done = self.device.driver().launch(stream, &[terms]);
            // The buffers must not be freed, nor the lists read by another stream, before.
            self.device.driver().synchronize(stream).and(done)?;
        }
        Ok((all, table))
    }

    fn lists_with(&self, table: &Table) -> kernels::Lists {
        let layout = &self.layout;
        let planes: usize = (0..layout.plane_count()).map(|p| layout.block_bytes(p)).sum();
        let ids = planes;
        kernels::Lists {
            blocks: table.blocks.at(),
            first: table.first.at(),
            lens: table.lens.at(),
            nlist: self.blocks.len() as u32,
            block_len: layout.block_len() as u32,
            plane1: layout.block_bytes(0) as u32,
            ids: ids as u32,
            terms: (ids + layout.block_len() * size_of::<Id>()) as u32,
            pad: 0,
        }
    }

    /// Returns the lists as kernels take them.
    pub(crate) fn lists(&self) -> kernels::Lists {
        self.lists_with(&self.table)
    }

    /// Returns the number of lists.
    pub(crate) fn nlist(&self) -> usize {
        self.lens.len()
    }

    /// Returns the length of a list.
    pub(crate) fn len_of(&self, list: usize) -> u32 {
        self.lens[list]
    }

    /// Returns the length of the longest list.
    pub(crate) fn longest(&self) -> u32 {
        self.lens.iter().copied().max().unwrap_or(0)
    }

    /// Returns the number of codes in a block.
    pub(crate) fn block_len(&self) -> usize {
        self.layout.block_len()
    }

    /// Returns the number of the first word of a list in a mask of all codes, and the number of
    /// words of the mask for `list = nlist`.
    pub(crate) fn first_words(&self) -> Vec<usize> {
        let mut sum = 0;
        let ends = self.blocks.iter().map(|blocks| {
            sum += blocks.len() * self.layout.block_len() / 32;
            sum
        });
        std::iter::once(0).chain(ends).collect()
    }

    /// Returns the number of words of a mask of all codes.
    pub(crate) fn mask_words(&self) -> usize {
        self.blocks.iter().map(Vec::len).sum::<usize>() * self.layout.block_len() / 32
    }

    /// Returns the memory on the device, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        let Table { blocks, first, lens } = &self.table;
        self.arena.bytes() + self.codec.bytes() + blocks.bytes() + first.bytes() + lens.bytes()
    }
}

/// Writes blocks, many at once where they follow one another.
struct Writer<'a> {
    mirror: &'a Mirror,
    stream: Stream,
    staged: Vec<u8>,
    start: Option<DevicePtr>,
}

impl Writer<'_> {
    /// Writes the blocks of a list from number `first` on.
    fn write_list(&mut self, list: &ListRef<'_>, first: usize, blocks: &[DevicePtr]) -> Result<(), CudaError> {
        let layout = &self.mirror.layout;
        let mut ids = list.ids().skip(first * layout.block_len());
        let mut segments = list.segments();
        match (segments.next(), segments.next()) {
            (Some(only), None) => {
                let planes: Planes<&[u8]> = (0..layout.plane_count()).map(|p| only.plane(p)).collect();
                self.write_planes(&planes, &mut ids, first, blocks)
            }
            _ => {
                let codes = list.unpack(layout);
                let blank = |p| AlignedBytes::zeroed(layout.plane_bytes(p, list.len()));
                let mut planes: Planes<AlignedBytes> = (0..layout.plane_count()).map(blank).collect();
                layout.pack(&mut planes.iter_mut().map(|plane| &mut **plane).collect::<Planes<_>>(), 0, &codes);
                let planes: Planes<&[u8]> = planes.iter().map(|plane| &**plane).collect();
                self.write_planes(&planes, &mut ids, first, blocks)
            }
        }
    }

    fn write_planes(
        &mut self,
        planes: &[&[u8]],
        ids: &mut impl Iterator<Item = Id>,
        first: usize,
        blocks: &[DevicePtr],
    ) -> Result<(), CudaError> {
        let layout = &self.mirror.layout;
        let bytes = self.mirror.arena.block_bytes();
        for (number, &block) in (first..).zip(blocks) {
            let follows = self.start.is_some_and(|start| start.plus(self.staged.len()) == block);
            if !follows || self.staged.len() + bytes > STAGED {
                self.flush()?;
                self.start = Some(block);
            }
            let end = self.staged.len() + bytes;
            for (p, plane) in planes.iter().enumerate() {
                let size = layout.block_bytes(p);
                self.staged.extend_from_slice(&plane[number * size..][..size]);
            }
            for id in ids.by_ref().take(layout.block_len()) {
                self.staged.extend_from_slice(&id.0.to_le_bytes());
            }
            self.staged.resize(end, 0);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), CudaError> {
        if let Some(start) = self.start.take().filter(|_| !self.staged.is_empty()) {
            self.mirror.device.driver().write(self.stream, start, &self.staged)?;
        }
        self.staged.clear();
        Ok(())
    }
}

/// Returns the number of leading blocks of a list that two versions share: all, if their codes lie
/// at the same places in memory, and otherwise none. Both versions must be alive.
pub(crate) fn shared_blocks(
    layout: &CodeLayout,
    old: &Arc<dyn InvertedLists>,
    new: &dyn InvertedLists,
    list: ListNo,
    blocks: usize,
) -> usize {
    let (Ok(old), Ok(new)) = (old.list(list), new.list(list)) else { return 0 };
    let places = |list: &ListRef<'_>| -> Vec<(usize, usize)> {
        let planes = list.segments().flat_map(|segment| {
            (0..layout.plane_count()).map(|p| (segment.plane(p).as_ptr() as usize, segment.plane(p).len()))
        });
        planes.collect()
    };
    let same = old.len() == new.len() && places(&old) == places(&new) && old.ids().eq(new.ids());
    if same { blocks } else { 0 }
}
