//! The suite for bad input: calls that must fail with the right error and change nothing.

use super::params::{check_knobs, check_params};
use super::{Want, answers};
use crate::data::{clusters, sequential_ids};
use crate::executor::Threads;
use half::f16;
use ivf_core::error::{AddError, EditError, InputError, ReconstructError, SearchError};
use ivf_core::params::NonFinite;
use ivf_core::{
    AddOptions, AnyRows, Cancel, Id, IdSelector, Index, Metric, ParallelMode, QueryParams, Rows, SearchParam,
    SearchParams,
};

/// Number of vectors in a batch: more than any internal block, to check that an error names a row
/// by its number in the caller's batch.
const ROWS: usize = 300;
/// Number of the invalid row.
const BAD: usize = 257;
/// An id that no vector has.
const NOBODY: Id = Id(i64::MIN + 4711);

/// Checks that bad input gives the right error and leaves the index unchanged. It tries vectors of
/// another dimension, NaN and infinities (the error names the row), a vector without direction
/// under cosine, `k = 0`, a NaN radius, a number of ids that differs from the number of vectors,
/// unknown ids, and cancelled calls. Bad vectors and queries that the caller asks to skip must not
/// change what happens to the others.
///
/// Of all search parameters ([`SearchParam::ALL`](ivf_core::SearchParam::ALL) and those of its
/// components) the index must take exactly those that it [declares](Index::takes), with all values
/// in range. It must refuse every other one by its name. The same holds for range search. Each knob
/// of its parts must accept its current value and refuse values out of range.
///
/// The index must hold vectors with at least two ids.
///
/// # Panics
/// If a call succeeds, fails with another error, or changes the index. The message names the call.
pub fn check_bad_input(index: &mut dyn Index) {
    let sample = clusters(41, 4, index.dim(), 2);
    let before = answers(index, sample.rows().into());
    assert!(before.0 >= 2, "{}: the index to check holds vectors", index.spec());
    let unchanged = |index: &dyn Index, what: &str| {
        assert!(
            answers(index, sample.rows().into()) == before,
            "{}: {what} failed, and the index changed",
            index.spec()
        );
    };
    check_searches(index);
    check_params(index);
    unchanged(index, "searches");
    check_knobs(index);
    unchanged(index, "setting of knobs");
    let vectors = clusters(42, ROWS, index.dim(), 4);
    for fault in faults(index.dim(), index.metric()) {
        let rows = fault.rows();
        check_skipped_row(index, &fault);
        if let Some(add) = index.as_add() {
            let result = add.add(rows, &AddOptions::new());
            fault.expect("add", result.as_ref().err().and_then(add_input), &result);
            unchanged(index, "add");
        }
        if let Some(add) = index.as_add_with_ids() {
            let result = add.add_with_ids(rows, &sequential_ids(rows.len()), &AddOptions::new());
            fault.expect("add with ids", result.as_ref().err().and_then(add_input), &result);
            unchanged(index, "add with ids");
        }
    }
    check_edits(index, &unchanged);
    if let Some(add) = index.as_add_with_ids() {
        for ids in [0, ROWS - 1, ROWS + 1] {
            let result = add.add_with_ids(vectors.rows().into(), &sequential_ids(ids), &AddOptions::new());
            let named = matches!(result, Err(AddError::Input(InputError::IdCount { rows: ROWS, ids: n })) if n == ids);
            assert!(named, "{ids} ids for {ROWS} vectors give {result:?}");
        }
        unchanged(index, "add with too few ids");
    }
    let cancel = Cancel::new();
    cancel.cancel();
    if let Some(add) = index.as_add() {
        let result = add.add(vectors.rows().into(), &AddOptions::new().cancel(&cancel).executor(&Threads(2)));
        assert!(matches!(result, Err(AddError::Cancelled)), "a cancelled add gives {result:?}");
        unchanged(index, "a cancelled add");
    }
}

/// Vectors that every index must refuse, and the expected error.
struct Fault {
    data: Data,
    dim: usize,
    error: InputError,
}

enum Data {
    F32(Vec<f32>),
    F16(Vec<f16>),
}

impl Fault {
    fn rows(&self) -> AnyRows<'_> {
        match &self.data {
            Data::F32(data) => Rows::new(data, self.dim).expect("whole rows").into(),
            Data::F16(data) => Rows::new(data, self.dim).expect("whole rows").into(),
        }
    }

    fn expect<T: std::fmt::Debug>(&self, what: &str, found: Option<&InputError>, result: &T) {
        assert!(found == Some(&self.error), "{what}: {result:?} instead of {:?}", self.error);
    }
}

fn faults(dim: usize, metric: Metric) -> Vec<Fault> {
    let good = clusters(43, ROWS, dim, 4).data;
    let fault = |data, dim, error| Fault { data, dim, error };
    let mut all = vec![fault(
        Data::F32(clusters(44, ROWS, dim + 1, 4).data),
        dim + 1,
        InputError::Dim { expected: dim, found: dim + 1 },
    )];
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut data = good.clone();
        data[BAD * dim + dim - 1] = bad;
        all.push(fault(
            Data::F16(data.iter().map(|&x| f16::from_f32(x)).collect()),
            dim,
            InputError::NonFinite { row: BAD },
        ));
        all.push(fault(Data::F32(data), dim, InputError::NonFinite { row: BAD }));
    }
    if metric == Metric::Cosine {
        let mut data = good;
        data[BAD * dim..(BAD + 1) * dim].fill(0.0);
        all.push(fault(Data::F32(data), dim, InputError::ZeroVector { row: BAD }));
    }
    all
}

fn add_input(error: &AddError) -> Option<&InputError> {
    if let AddError::Input(input) = error { Some(input) } else { None }
}

fn check_searches(index: &dyn Index) {
    let plain = SearchParams::new();
    let wants = [Want::K(3), Want::Radius(1.0)]
        .into_iter()
        .filter(|want| want.k().is_some() || index.as_range_search().is_some());
    let good = clusters(45, 5, index.dim(), 2);
    for want in wants {
        for fault in faults(index.dim(), index.metric()) {
            let result = want.search(index, fault.rows(), &plain);
            let input = if let Err(SearchError::Input(input)) = &result { Some(input) } else { None };
            fault.expect(&format!("{want:?}"), input, &result);
            check_skipped_query(index, want, &fault);
        }
        let cancel = Cancel::new();
        cancel.cancel();
        let result = want.search(index, good.rows().into(), &plain.clone().cancel(&cancel));
        assert!(matches!(result, Err(SearchError::Cancelled)), "a cancelled search, {want:?}, gives {result:?}");
    }
    let result = index.search(good.rows(), 0, &plain);
    assert!(matches!(result, Err(SearchError::InvalidParam { .. })), "k = 0 gives {result:?}");
    if let Some(range) = index.as_range_search() {
        let result = range.range_search(good.rows().into(), f32::NAN, &plain);
        assert!(matches!(result, Err(SearchError::InvalidParam { .. })), "a NaN radius gives {result:?}");
    }
}

/// Checks that a search which skips bad queries finds nothing for the bad one, and for the others
/// what it finds for good ones.
fn check_skipped_query(index: &dyn Index, want: Want, fault: &Fault) {
    let takes = match index.as_range_search() {
        Some(range) if want.radius().is_some() => range.range_takes(),
        _ => index.takes(),
    };
    if !takes.contains(SearchParam::SkipBadQueries) {
        return;
    }
    let good = clusters(43, ROWS, index.dim(), 4);
    let each = [QueryParams::new(); ROWS];
    let plain = SearchParams::new().skip_bad_queries(true);
    let mut skipping = vec![plain.clone()];
    let is_converted = matches!(fault.data, Data::F16(_));
    if !is_converted && takes.contains(SearchParam::Mode) && takes.contains(SearchParam::PerQuery) {
        skipping.push(plain.clone().mode(ParallelMode::ListMajor).per_query(&each).executor(&Threads(3)));
    }
    if !is_converted && takes.contains(SearchParam::EnsureK) {
        skipping.push(plain.ensure_k(true));
    }
    for params in &skipping {
        let at = format!("{}: {want:?}, {params:?}", index.spec());
        let result = want.search(index, fault.rows(), params);
        if let InputError::Dim { .. } = fault.error {
            let is_refused = matches!(&result, Err(SearchError::Input(input)) if *input == fault.error);
            assert!(is_refused, "{at}: {result:?} instead of {:?}", fault.error);
            continue;
        }
        let found = result.unwrap_or_else(|error| panic!("{at}: a query that is skipped: {error}")).hits;
        // The vectors of the fault may be rounded to another element type.
        let mut rounded = good.clone();
        if is_converted {
            rounded.data.iter_mut().for_each(|x| *x = f16::from_f32(*x).to_f32());
        }
        let all = want.search(index, rounded.rows().into(), params);
        let all = all.unwrap_or_else(|error| panic!("{at}: good queries: {error}")).hits;
        assert!(found.row(BAD).is_empty(), "{at}: a query that is skipped finds {:?}", found.row(BAD));
        for row in (0..ROWS).filter(|&row| row != BAD) {
            assert_eq!(found.row(row), all.row(row), "{at}: query {row}, beside one that is skipped");
        }
    }
}

/// Checks that an add which skips rows takes all but the bad one. The copy of the index is thrown
/// away.
fn check_skipped_row(index: &dyn Index, fault: &Fault) {
    let Ok(mut copy) = index.clone_index() else { return };
    let (len, at) = (index.len(), format!("{}: add without {:?}", index.spec(), fault.error));
    if let Some(add) = copy.as_add() {
        let result = add.add(fault.rows(), &AddOptions::new().non_finite(NonFinite::SkipRow));
        if let InputError::Dim { .. } = fault.error {
            fault.expect(&at, result.as_ref().err().and_then(add_input), &result);
            return;
        }
        let report = result.unwrap_or_else(|error| panic!("{at}: {error}"));
        assert_eq!((report.added, report.skipped), (ROWS - 1, vec![BAD]), "{at}");
        assert_eq!(copy.len(), len + ROWS - 1, "{at}");
    }
}

fn check_edits(index: &mut dyn Index, unchanged: &dyn Fn(&dyn Index, &str)) {
    let dim = index.dim();
    let found = index.search(clusters(47, 1, dim, 1).rows(), 5, &SearchParams::new());
    let mut known =
        found.unwrap_or_else(|error| panic!("{}: a plain search: {error}", index.spec())).hits.row(0).ids.to_vec();
    known.dedup();
    let mut vectors = clusters(48, 2, dim, 1);
    if let Some(update) = index.as_update()
        && let [a, b, ..] = known[..]
    {
        let rows = vectors.rows().into();
        let result = update.update(&[a, NOBODY], rows, &AddOptions::new());
        assert!(matches!(result, Err(EditError::NoSuchId(NOBODY))), "update of an unknown id gives {result:?}");
        let result = update.update(&[a, a], rows, &AddOptions::new());
        assert!(matches!(result, Err(EditError::TwiceNamed(id)) if id == a), "update of an id twice gives {result:?}");
        let result = update.update(&[a], rows, &AddOptions::new());
        let counted = matches!(result, Err(EditError::Input(InputError::IdCount { rows: 2, ids: 1 })));
        assert!(counted, "update of 1 id by 2 vectors gives {result:?}");
        vectors.data[2 * dim - 1] = f32::NAN;
        let result = update.update(&[a, b], vectors.rows().into(), &AddOptions::new());
        let input = match &result {
            Err(EditError::Input(input) | EditError::Add(AddError::Input(input))) => Some(input),
            _ => None,
        };
        assert!(input == Some(&InputError::NonFinite { row: 1 }), "update by a NaN gives {result:?}");
        unchanged(index, "update");
    }
    if let Some(reconstruct) = index.as_reconstruct() {
        let result = reconstruct.reconstruct(NOBODY, &mut vec![0.0; dim]);
        assert!(matches!(result, Err(ReconstructError::NoSuchId(NOBODY))), "an unknown id reconstructs to {result:?}");
        let result = known.first().map(|id| reconstruct.reconstruct(*id, &mut vec![0.0; dim + 1]));
        let counted = matches!(
            result,
            Some(Err(ReconstructError::OutputLength { expected, found })) if (expected, found) == (dim, dim + 1)
        );
        assert!(counted, "reconstructing into {} elements gives {result:?}", dim + 1);
    }
    if let Some(remove) = index.as_remove() {
        let result = remove.remove(&IdSelector::set([NOBODY]));
        assert!(matches!(result, Ok(0)), "removing an unknown id gives {result:?}");
        unchanged(index, "a removal of nothing");
    }
}
