//! Test data for scanners: lists of several lengths and segments, filters, ranges, sinks.

use crate::centroids::FixedCentroids;
use crate::codecs::{settings, vectors};
use crate::data::{Vectors, any_ids, bytes, random};
use crate::layouts::pack;
use crate::oracle;
use ivf_core::error::BindError;
use ivf_core::lists::{ListRef, PlaneBytes, Segment, SegmentIds};
use ivf_core::mask::Mask;
use ivf_core::plan::PlannedProbe;
use ivf_core::scanner::ScanRange;
use ivf_core::{
    Binding, BoundCodec, CodeLayout, Codec, Id, Ids, InvertedListScanner, ListNo, ListOffset, Location, Metric,
    Neighbor, Settings, Sink,
};
use rand::RngExt;
use std::ops::Range;
use std::sync::Arc;

/// Lengths of the segments of each list.
const LISTS: [&[usize]; 10] = [&[0], &[1], &[31], &[32], &[33], &[64], &[65], &[100], &[33, 1, 64, 30], &[5, 5]];
pub(super) const QUERIES: usize = 20;

/// For each segment of a list, all entries with their distances from the query.
pub(super) type Reference = Vec<Vec<Neighbor>>;

pub(super) struct Fixture {
    pub(super) bound: Arc<dyn BoundCodec>,
    settings: Settings,
    metric: Metric,
    centroids: FixedCentroids,
    pub(super) queries: Vectors,
    pub(super) lists: Vec<List>,
}

pub(super) struct List {
    pub(super) no: ListNo,
    pub(super) entries: ListRef<'static>,
    /// The vectors that were encoded.
    members: Vectors,
    /// The filters, each with one mask per segment.
    pub(super) filters: Vec<(&'static str, Option<Vec<Mask>>)>,
}

impl Fixture {
    /// Returns the codec bound in each way that it allows.
    pub(super) fn of(codec: &Arc<dyn Codec>) -> Vec<Self> {
        let allowed = [false, true].into_iter().filter(|choice| codec.spec().residuals().allows(*choice));
        let fixtures: Vec<Self> = allowed.filter_map(|by_residual| Self::new(codec.clone(), by_residual)).collect();
        assert!(!fixtures.is_empty(), "{}: it allows no binding", codec.spec());
        fixtures
    }

    /// Returns `None` if binding reports that the codec was trained for the other choice of
    /// residuals.
    fn new(codec: Arc<dyn Codec>, by_residual: bool) -> Option<Self> {
        let (dim, metric) = (codec.dim(), codec.metric());
        let centroids = FixedCentroids(vectors(21, LISTS.len(), dim, metric));
        let settings = settings(&*codec, by_residual);
        let spec = codec.spec();
        let bound = match codec.bind(&Binding::new(Arc::new(centroids.clone())).by_residual(by_residual)) {
            Ok(bound) => bound,
            Err(BindError::Unsupported { .. }) if by_residual != spec.residuals().default_choice() => return None,
            Err(error) => panic!("{spec}: binding it to a few lists, by_residual {by_residual}: {error}"),
        };
        let lists = LISTS.iter().enumerate().map(|(no, lens)| List::new(no, lens, &*bound)).collect();
        Some(Self { bound, settings, metric, centroids, queries: vectors(22, QUERIES, dim, metric), lists })
    }

    pub(super) fn name(&self) -> String {
        let codec = self.bound.codec();
        let of = if self.bound.by_residual() { "residuals" } else { "vectors" };
        format!("{}, {} dimensions, {}, codes of {of}", codec.spec(), codec.dim(), self.metric)
    }

    pub(super) fn scanner(&self) -> Box<dyn InvertedListScanner + '_> {
        self.bound.scanner(&self.settings)
    }

    /// Returns all lists as the probes of a query.
    pub(super) fn probes(&self, query: &[f32]) -> Vec<PlannedProbe> {
        let probe = |list: &List| PlannedProbe {
            list: list.no,
            codes: list.entries.len().max(1) as u32,
            coarse_distance: self.coarse(query, list.no),
        };
        self.lists.iter().map(probe).collect()
    }

    pub(super) fn layout(&self) -> &CodeLayout {
        self.bound.codec().layout()
    }

    /// Returns the query's distance from the list's centroid, as a coarse quantizer reports it.
    pub(super) fn coarse(&self, query: &[f32], list: ListNo) -> f32 {
        oracle::distance(self.metric, query, self.centroids.0.rows().row(list.index()))
    }

    /// Returns the oracle's distance from the query to the encoded vector of an entry, and the
    /// bound of rounding errors.
    pub(super) fn true_distance(&self, query: &[f32], list: &List, offset: ListOffset) -> (f32, f32) {
        self.rounded_distance(query, list, list.members.rows().row(offset.index()))
    }

    /// Returns the same for the decoded vector of an entry.
    pub(super) fn decoded_distance(&self, query: &[f32], list: &List, offset: ListOffset) -> (f32, f32) {
        let mut code = vec![0; self.layout().code_size()];
        list.entries.entry(self.layout(), offset, &mut code).expect("an entry of the list");
        let mut vector = vec![0.0; query.len()];
        self.bound.decode(list.no, &code, &mut vector);
        self.rounded_distance(query, list, &vector)
    }

    fn rounded_distance(&self, query: &[f32], list: &List, vector: &[f32]) -> (f32, f32) {
        let centroid = self.centroids.0.rows().row(list.no.index());
        // A sum of n terms is off by at most about n roundings of its largest partial sum. Its
        // terms are squares or products of elements of the vector, the query and the centroid.
        let size: f32 =
            vector.iter().zip(query).zip(centroid).map(|((x, q), c)| (x.abs() + q.abs() + c.abs()).powi(2)).sum();
        (oracle::distance(self.metric, query, vector), 4.0 * query.len() as f32 * f32::EPSILON * (1.0 + size))
    }

    /// Returns the distances by the only required scan method, `distance`, of a fresh scanner.
    pub(super) fn reference(&self, query: &[f32], list: &List) -> Reference {
        let mut scanner = self.scanner();
        scanner.set_query(query);
        scanner.set_probes(&self.probes(query));
        scanner.set_list(list.no, self.coarse(query, list.no));
        let mut code = vec![0; self.layout().code_size()];
        let mut neighbor = |first: usize, segment: &Segment<'_>, slot: usize| {
            segment.code(self.layout(), slot, &mut code);
            let location = Location { list: list.no, offset: ListOffset((first + slot) as u32) };
            Neighbor { distance: scanner.distance(&code), id: segment.ids().get(slot), location }
        };
        let placed = list.entries.placed();
        placed.map(|(first, segment)| (0..segment.len()).map(|slot| neighbor(first, segment, slot)).collect()).collect()
    }
}

impl List {
    fn new(no: usize, lens: &[usize], bound: &dyn BoundCodec) -> Self {
        let (codec, layout) = (bound.codec(), bound.codec().layout());
        let (seed, len) = (100 + no as u64, lens.iter().sum());
        let no = ListNo(no as u32);
        // Residuals need vectors around the centroid of the list, as a quantizer would assign them.
        let mut centroid = vec![0.0; codec.dim()];
        if bound.by_residual() {
            bound.centroids().centroid(no, &mut centroid);
        }
        let mut members = vectors(seed, len, codec.dim(), codec.metric()).with_duplicates(seed);
        for row in members.data.chunks_exact_mut(codec.dim()) {
            row.iter_mut().zip(&centroid).for_each(|(x, c)| *x += c);
        }
        let mut codes = vec![0; len * layout.code_size()];
        bound.encode(members.rows(), &vec![no; len], &mut codes);
        let ids = any_ids(seed, len);
        let (mut ids, mut codes) = (&ids[..], &codes[..]);
        let segments = lens.iter().map(|&len| {
            let (head, tail) = ids.split_at(len);
            let (code_head, code_tail) = codes.split_at(len * layout.code_size());
            (ids, codes) = (tail, code_tail);
            segment(layout, head, code_head)
        });
        let entries = ListRef::new(segments);
        let filters = filters(&entries, seed);
        Self { no, entries, members, filters }
    }

    /// Returns the index of the segment that a range lies in.
    pub(super) fn segment_of(&self, scan_range: &ScanRange<'_>) -> usize {
        self.entries
            .placed()
            .position(|(first, _)| first == scan_range.first_offset())
            .expect("a scan_range of this list")
    }
}

/// Returns a segment that owns its memory, with random codes after its end. Segments of 5 entries
/// have consecutive ids.
pub(super) fn segment(layout: &CodeLayout, ids: &[Id], codes: &[u8]) -> Segment<'static> {
    let mut planes = pack(layout, codes);
    let (mut random, mut views) = (random(9), planes.iter_mut().map(|plane| &mut **plane).collect::<Vec<_>>());
    for slot in ids.len()..layout.blocks(ids.len()) * layout.block_len() {
        layout.put(&mut views, slot, &bytes(&mut random, layout.code_size()));
    }
    let planes = planes.into_iter().map(|plane| PlaneBytes::Shared(plane.into())).collect();
    let ids = match ids.len() {
        5 => SegmentIds::Borrowed(Ids::Run { first: Id(-2), len: 5 }),
        _ => SegmentIds::Shared(ids.into()),
    };
    Segment::new(layout, ids, planes).expect("packed planes fit their layout")
}

fn filters(entries: &ListRef<'_>, seed: u64) -> Vec<(&'static str, Option<Vec<Mask>>)> {
    let mut random = random(seed);
    let masks = |keep: &mut dyn FnMut(usize, usize) -> bool| -> Option<Vec<Mask>> {
        Some(entries.segments().map(|s| Mask::from_fn(s.len(), |slot| keep(slot, s.len()))).collect())
    };
    vec![
        ("no filter", None),
        ("a filter that keeps all", masks(&mut |_, _| true)),
        ("a filter that keeps none", masks(&mut |_, _| false)),
        ("a filter that keeps half", masks(&mut |_, _| random.random())),
        ("a filter that keeps the last", masks(&mut |slot, len| slot + 1 == len)),
    ]
}

/// Returns ranges of a list of `len` entries, each with a range that applies within every segment.
pub(super) fn windows(len: usize) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let all = 0..usize::MAX;
    let of_list = [0..0, 0..1, 0..31, 0..len / 2, 0..len, 0..len + 5, 10..50, 34..35, len / 2..len];
    let of_segment = [3..40, 32..64, 31..33, 5..5, 63..usize::MAX];
    let narrow = of_segment.map(|range| (all.clone(), range));
    of_list.map(|window| (window, all.clone())).into_iter().chain(narrow)
}

/// Returns empty sinks of every kind. The range sink accepts about half of these neighbours.
pub(super) fn sinks(neighbors: &Reference) -> [(&'static str, Sink); 4] {
    let mut distances: Vec<f32> = neighbors.iter().flatten().map(|n| n.distance).filter(|d| !d.is_nan()).collect();
    distances.sort_by(f32::total_cmp);
    let radius = distances.get(distances.len() / 2).copied().unwrap_or(1.0);
    [("k 1", Sink::top_k(1)), ("k 3", Sink::top_k(3)), ("k 1000", Sink::top_k(1000)), ("a range", Sink::range(radius))]
}
