//! A selector of every kind.

use ivf_core::{Id, IdSelector};

/// Returns selectors of every kind that select some of `ids`. The last one uses the function
/// `keep`.
pub fn selectors<'a>(ids: &[Id], keep: &'a (dyn Fn(Id) -> bool + Sync)) -> Vec<IdSelector<'a>> {
    let some = |step: usize| ids.iter().copied().step_by(step);
    let non_negative = || some(2).filter_map(|id| u64::try_from(id.0).ok());
    let mut bitmap = vec![0u8; 64];
    for id in non_negative().filter(|&id| id < 512) {
        bitmap[id as usize / 8] |= 1 << (id % 8);
    }
    let middle = ids.iter().copied().max().map_or(0, |id| id.0 / 2);
    vec![
        IdSelector::All,
        IdSelector::range(i64::MIN..middle),
        IdSelector::range(3..i64::MAX),
        IdSelector::range(7..7),
        IdSelector::sorted(some(3).collect()),
        IdSelector::set(some(2)),
        IdSelector::Bitmap(bitmap),
        IdSelector::Roaring(non_negative().collect()),
        !IdSelector::set(some(4)),
        IdSelector::set(some(2)) & IdSelector::range(0..middle),
        IdSelector::set(some(5)) | IdSelector::set(some(7)),
        IdSelector::set(some(2)) ^ IdSelector::sorted(some(3).collect()),
        IdSelector::Fn(keep),
    ]
}
