//! The codes of an index of one list, read at random.

use super::Entries;
use crate::codec::are_rows;
use ivf_core::bytes::AlignedBytes;
use ivf_core::error::StoreError;
use ivf_core::lists::{ListRef, Segment};
use ivf_core::{BoundCodec, Id, Ids, InvertedListScanner, ListNo, Settings};

/// The contiguous codes of an index of one list.
pub(crate) struct StoredCodes<'a> {
    bound: &'a dyn BoundCodec,
    code_size: usize,
    place: Place<'a>,
}

/// Where the codes are.
enum Place<'a> {
    /// In the store, which has them in one segment.
    One(ListRef<'a>),
    /// In a copy, since the store has several segments.
    Copy(AlignedBytes, Vec<Id>),
}

impl<'a> StoredCodes<'a> {
    pub(super) fn new(entries: &'a Entries) -> Result<Self, StoreError> {
        let layout = entries.layout();
        if (layout.block_len(), layout.plane_count()) != (1, 1) {
            return Err(StoreError::Inconsistent(format!("codes of layout {layout} are not contiguous")));
        }
        let list = entries.lists.list(ListNo(0))?;
        let place = match list.segments().count() {
            0 | 1 => Place::One(list),
            _ => Place::Copy(AlignedBytes::copy_of(&list.unpack(layout)), list.ids().collect()),
        };
        Ok(Self { bound: &*entries.bound, code_size: layout.code_size(), place })
    }

    fn segment(&self) -> Option<&Segment<'a>> {
        match &self.place {
            Place::One(list) => list.segments().next(),
            Place::Copy(..) => None,
        }
    }

    pub(crate) fn ids(&self) -> Ids<'_> {
        match &self.place {
            Place::Copy(_, ids) => Ids::Listed(ids),
            Place::One(_) => self.segment().map_or(Ids::Listed(&[]), Segment::ids),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.ids().len()
    }

    pub(crate) fn code_size(&self) -> usize {
        self.code_size
    }

    /// Returns all codes, one after the other.
    pub(crate) fn codes(&self) -> &[u8] {
        let bytes = match &self.place {
            Place::Copy(bytes, _) => bytes,
            Place::One(_) => self.segment().map_or(&[][..], |segment| segment.plane(0)),
        };
        &bytes[..self.len() * self.code_size]
    }

    pub(crate) fn code(&self, i: usize) -> &[u8] {
        &self.codes()[i * self.code_size..][..self.code_size]
    }

    /// Returns whether a code is the vector itself, as `f32`.
    pub(crate) fn are_vectors(&self) -> bool {
        are_rows(self.bound.codec())
    }

    pub(crate) fn scanner(&self, settings: &Settings) -> Box<dyn InvertedListScanner + 'a> {
        self.bound.scanner(settings)
    }

    /// Writes the vector that code `i` stands for.
    pub(crate) fn decode(&self, i: usize, vector: &mut [f32]) {
        self.bound.decode(ListNo(0), self.code(i), vector);
    }
}
