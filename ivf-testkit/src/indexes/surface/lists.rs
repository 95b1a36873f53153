//! Steps of the write half of an inverted-file index.

use super::check::done;
use super::step::History;
use ivf_core::error::AddError;
use ivf_core::{AddOptions, Id, Index, ListNo, Rows};
use rand::RngExt;
use rand::seq::SliceRandom;

/// Adds vectors to lists that the caller chooses. Some vectors have no list.
pub(super) fn add_preassigned(history: &mut History<'_>, at: &str) -> Option<String> {
    history.index.as_ivf_mut()?;
    let vectors = history.vectors();
    let (n, nlist) = (vectors.len(), history.model.nlist() as u32);
    // Half of the time all vectors go to one list, so that it gets several blocks.
    let most = if history.random.random() { nlist } else { 1 };
    let first = history.random.random_range(0..=nlist - most);
    let mut list = || {
        let list = ListNo(first + history.random.random_range(0..most));
        history.random.random_ratio(7, 8).then_some(list)
    };
    let lists: Vec<Option<ListNo>> = (0..n).map(|_| list()).collect();
    let named = history.random.random::<bool>().then(|| history.ids(n));
    let ids = named.clone().unwrap_or_else(|| history.counted(n));
    let ivf = history.index.as_ivf_mut()?;
    match ivf.add_preassigned(vectors.rows().into(), &lists, named.as_deref(), &AddOptions::new()) {
        Err(AddError::IdNotSequential { .. }) if history.refuses(ids.iter().copied()) => {
            return Some(format!("{ids:?}, refused"));
        }
        report => {
            let report = done(report, at);
            let skipped: Vec<usize> = (0..n).filter(|&row| lists[row].is_none()).collect();
            assert_eq!((report.added, &report.skipped), (n - skipped.len(), &skipped), "{at}: report");
        }
    }
    let rows = ids.iter().zip(vectors.rows().iter()).zip(&lists);
    let entries = rows.filter(|(_, list)| list.is_some()).map(|((id, row), list)| history.model.entry(*id, row, *list));
    let entries = entries.collect();
    history.model.push(entries);
    history.model.count(ids.iter().copied());
    Some(format!("{ids:?} to {lists:?}"))
}

pub(super) fn sort_entries(history: &mut History<'_>, at: &str) -> Option<String> {
    done(history.index.as_ivf_mut()?.sort_entries(), at);
    let lists = history.index.as_ivf()?.lists()?;
    for no in (0..lists.nlist() as u32).map(ListNo) {
        assert!(done(lists.list(no), at).ids().is_sorted(), "{at}: list {no} is not in order");
    }
    Some("by id".to_owned())
}

pub(super) fn permute(history: &mut History<'_>, at: &str) -> Option<String> {
    history.index.as_ivf_mut()?;
    let mut order: Vec<ListNo> = (0..history.model.nlist() as u32).map(ListNo).collect();
    order.shuffle(&mut history.random);
    done(history.index.as_ivf_mut()?.permute_lists(&order), at);
    history.model.permute(&order);
    Some(format!("{order:?}"))
}

pub(super) fn sort_by_size(history: &mut History<'_>, at: &str) -> Option<String> {
    let mut lens = vec![0_usize; history.model.nlist()];
    history.model.entries.iter().for_each(|entry| lens[entry.list.index()] += 1);
    let mut expected: Vec<ListNo> = (0..lens.len() as u32).map(ListNo).collect();
    expected.sort_by_key(|list| std::cmp::Reverse(lens[list.index()]));
    let order = done(history.index.as_ivf_mut()?.sort_lists_by_size(), at);
    assert_eq!(order, expected, "{at}: the longest first");
    history.model.permute(&order);
    Some(format!("{order:?}"))
}

/// Makes calls that must fail, and returns whether they did.
pub(super) fn refused(index: &mut dyn Index) -> Vec<Option<bool>> {
    let (dim, nlist) = (index.dim(), index.as_ivf().map_or(1, |ivf| ivf.nlist()));
    let Some(ivf) = index.as_ivf_mut() else { return Vec::new() };
    let ones = vec![1.0; 2 * dim];
    let rows = || Rows::new(&ones, dim).expect("two rows").into();
    let options = AddOptions::new();
    let (here, past) = (Some(ListNo(0)), Some(ListNo(nlist as u32)));
    vec![
        Some(ivf.add_preassigned(rows(), &[here, past], None, &options).is_err()),
        Some(ivf.add_preassigned(rows(), &[here], None, &options).is_err()),
        Some(ivf.add_preassigned(rows(), &[here, here], Some(&[Id(1)]), &options).is_err()),
        Some(ivf.permute_lists(&vec![ListNo(0); nlist + 1]).is_err()),
    ]
}
