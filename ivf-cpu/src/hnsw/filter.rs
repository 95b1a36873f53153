//! The filters of a call.

use super::vectors::Vectors;
use ivf_core::selector::Prepared;
use ivf_core::{Id, IdSelector, Ids, SearchParams, mask::Mask};

/// The filter of a query.
pub(super) enum Filter<'a> {
    All,
    /// The selected nodes, which are few.
    Listed(Vec<u32>),
    /// Ids are tested where they are met.
    Tested(&'a IdSelector<'a>),
    /// All ids were tested, since many queries share the filter.
    Mask(Mask),
}

/// The filters of the queries of a call.
pub(super) struct Filters<'a> {
    params: &'a SearchParams<'a>,
    vectors: &'a Vectors<'a>,
    few: usize,
    /// The filter of all queries, unless each has its own.
    shared: Option<Filter<'a>>,
}

impl<'a> Filters<'a> {
    /// Creates the filters of some queries. A filter that selects at most `few` ids is listed, if
    /// the selector can tell. `tests` is the number of ids that a query tests.
    pub(super) fn new(
        params: &'a SearchParams<'a>,
        queries: usize,
        vectors: &'a Vectors<'a>,
        few: usize,
        tests: usize,
    ) -> Self {
        // A range may have more ids than there are vectors.
        let few = few.min(vectors.len());
        let pays = queries.saturating_mul(tests) >= vectors.len();
        let shared = params.per_query.is_none().then(|| Filter::new(params.selector, vectors.ids(), few, pays));
        Self { params, vectors, few, shared }
    }

    /// Returns the filter of query `i`, which may be made in `own`.
    pub(super) fn of<'f>(&'f self, i: usize, own: &'f mut Option<Filter<'a>>) -> &'f Filter<'a> {
        match &self.shared {
            Some(shared) => shared,
            None => {
                let selector = self.params.of_query(i).selector;
                own.insert(Filter::new(selector, self.vectors.ids(), self.few, false))
            }
        }
    }
}

impl<'a> Filter<'a> {
    fn new(selector: Option<&'a IdSelector<'a>>, ids: Ids<'_>, few: usize, pays: bool) -> Self {
        match selector {
            None | Some(IdSelector::All) => Self::All,
            Some(selector) => match selector.listed(few) {
                Some(listed) => {
                    let mut nodes: Vec<u32> = listed.iter().filter_map(|id| node_of(ids, *id)).collect();
                    nodes.sort_unstable();
                    Self::Listed(nodes)
                }
                None if pays => {
                    let prepared: Prepared<'_> = selector.prepare(ids.len());
                    Self::Mask(prepared.select(ids).into_mask(ids.len()))
                }
                None => Self::Tested(selector),
            },
        }
    }

    pub(super) fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }

    /// Returns the selected nodes, if they are listed.
    pub(super) fn listed(&self) -> Option<&[u32]> {
        if let Self::Listed(nodes) = self { Some(nodes) } else { None }
    }

    #[inline(always)]
    pub(super) fn keeps(&self, node: u32, id: impl FnOnce() -> Id) -> bool {
        match self {
            Self::All => true,
            Self::Listed(nodes) => nodes.binary_search(&node).is_ok(),
            Self::Tested(selector) => selector.contains(id()),
            Self::Mask(mask) => mask.get(node as usize),
        }
    }
}

/// Returns the node that has an id. The ids of an index ascend.
fn node_of(ids: Ids<'_>, id: Id) -> Option<u32> {
    let place = match ids {
        Ids::Listed(listed) => listed.binary_search(&id).ok(),
        _ => ids.position(id),
    };
    place.map(|place| place as u32)
}
