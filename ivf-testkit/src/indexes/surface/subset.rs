//! Steps that copy subsets of an index.

use super::Tally;
use super::check::{Check, done};
use super::model::{Entry, Model};
use super::step::History;
use crate::indexes::selectors;
use ivf_core::{AddOptions, Id, Index, Subset};
use rand::RngExt;

/// The kinds of subsets, as steps name them.
pub(super) const KINDS: [&str; 5] = ["chosen ids", "ids modulo", "elements", "fractions of lists", "whole lists"];

/// Copies one subset, then all subsets of a partition, which together must hold all entries.
pub(super) fn copy(history: &mut History<'_>, at: &str) -> Option<String> {
    history.index.as_copy_subset()?;
    let kind = history.random.random_range(0..KINDS.len());
    let at = &format!("{at}: {}", KINDS[kind]);
    let of = history.random.random_range(1..6);
    if kind == 0 {
        let ids: Vec<Id> = history.model.ids().into_iter().collect();
        let share = history.random.random_range(2..9);
        let some = |id: Id| id.0.rem_euclid(share) == 1;
        let mut all = selectors(&ids, &some);
        let chosen = history.random.random_range(0..all.len());
        let selector = all.swap_remove(chosen);
        compare(history, &Subset::Ids(&selector), &|_, _, entry| selector.contains(entry.id), at);
        return Some(format!("{}, {selector:?}", KINDS[kind]));
    }
    let (total, nlist) = (history.model.entries.len(), history.model.nlist());
    let ends = |n: usize| (0..=of).map(|part| n * part / of).collect::<Vec<usize>>();
    let (elements, lists) = (ends(total), ends(nlist));
    let subset = |part: usize| match kind {
        1 => Subset::IdModulo { modulus: of as i64, remainder: part as i64 },
        2 => Subset::Elements(elements[part]..elements[part + 1]),
        3 => Subset::ListFraction { part, of },
        _ => Subset::Lists(lists[part]..lists[part + 1]),
    };
    let part = history.random.random_range(0..of);
    let sizes = sizes(&history.model);
    // Rank of entry `i` of a list of `n` entries: it follows entry `j` of another list of `m`
    // entries if `(2 j + 1) / 2m` is less than `(2 i + 1) / 2n`, or equal and the other list has
    // a lower number.
    let rank = |no: usize, i: usize| {
        let before = |(other, m): (usize, &usize)| {
            (0..*m).filter(|j| ((2 * j + 1) * sizes[no], other) < ((2 * i + 1) * m, no)).count()
        };
        sizes.iter().enumerate().map(before).sum::<usize>()
    };
    let is_chosen = |no: usize, offset: usize, entry: &Entry| match kind {
        1 => entry.id.0.rem_euclid(of as i64) == part as i64,
        2 => (elements[part]..elements[part + 1]).contains(&rank(no, offset)),
        3 => (sizes[no] * part / of..sizes[no] * (part + 1) / of).contains(&offset),
        _ => (lists[part]..lists[part + 1]).contains(&no),
    };
    compare(history, &subset(part), &is_chosen, at);

    let mut whole = history.other();
    let copied: usize = (0..of).map(|part| done(history.index.copy_subset_to(&mut *whole, &subset(part)), at)).sum();
    assert_eq!(copied, total, "{at}: entries of all {of} parts");
    compare_with(history, &history.model.entries.clone(), &*whole, &format!("{at}, all {of} parts"));
    for wrong in [
        Subset::IdModulo { modulus: 0, remainder: 0 },
        Subset::IdModulo { modulus: 2, remainder: 2 },
        Subset::Elements(0..total + 1),
        Subset::ListFraction { part: 1, of: 1 },
        Subset::Lists(0..nlist + 1),
    ] {
        let result = history.index.copy_subset_to(&mut *whole, &wrong);
        assert!(result.is_err() && whole.len() == total, "{at}: {wrong:?} gives {result:?}");
    }
    Some(format!("{}, part {part} of {of}", KINDS[kind]))
}

fn sizes(model: &Model) -> Vec<usize> {
    let mut sizes = vec![0; model.nlist()];
    model.entries.iter().for_each(|entry| sizes[entry.list.index()] += 1);
    sizes
}

/// Copies a subset to an empty index and compares the copy with the entries that `is_chosen`
/// selects by list and offset.
fn compare(history: &mut History<'_>, subset: &Subset<'_>, is_chosen: &dyn Fn(usize, usize, &Entry) -> bool, at: &str) {
    let mut other = history.other();
    let copier = history.index.as_copy_subset().expect("checked above");
    let copied = done(copier.copy_subset_to(&mut *other, subset, &AddOptions::new()), at);
    assert_eq!(copied, other.len(), "{at}: entries that the copy of {subset:?} has");
    let (lists, is_placed) = history.model.lists(&*history.index, at);
    let chosen = lists.iter().enumerate().flat_map(|(no, list)| {
        list.iter().enumerate().filter(move |(offset, entry)| is_chosen(no, *offset, entry)).map(|(_, entry)| *entry)
    });
    let chosen: Vec<Entry> = chosen.cloned().collect();
    assert_eq!(copied, chosen.len(), "{at}: entries in {subset:?}");
    // The offsets of entries are not known if the index does not show its lists.
    if is_placed || matches!(subset, Subset::Ids(_) | Subset::IdModulo { .. } | Subset::Lists(_)) {
        compare_with(history, &chosen, &*other, &format!("{at}, the copy of {subset:?}"));
    }
}

fn compare_with(history: &mut History<'_>, entries: &[Entry], other: &dyn Index, at: &str) {
    let mut model = Model::new(history.subject, other);
    model.permute(&history.model.order);
    model.push(entries.to_vec());
    Check::run(history.subject, &model, other, &mut history.random, &mut Tally::default(), at);
}
