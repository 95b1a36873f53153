//! Checks of renumbered lists.

use super::assign::{Subject, check_assign};
use super::{Data, ReadQuantizer, bits, centroids, check_read_back, exported};
use crate::data::random;
use ivf_core::{Level1Quantizer, ListNo, Permute};
use rand::seq::SliceRandom;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Checks a quantizer that can renumber its lists: centroids, assignments and its export follow the
/// new order, and the inverse order restores the numbers.
pub(super) fn check_renumbered(subject: &Subject<'_>, data: &Data, read: ReadQuantizer<'_>) {
    let (quantizer, at) = (subject.quantizer, &subject.at);
    let Some(permute) = quantizer.as_permute() else { return };
    let mut order: Vec<ListNo> = (0..quantizer.nlist() as u32).map(ListNo).collect();
    check_bad_orders(permute, &order, at);
    order.shuffle(&mut random(77));
    // Avoids the identity order, if there is another one.
    if order.is_sorted() {
        order.reverse();
    }
    let at = format!("{at}, renumbered by {:?} ...", &order[..order.len().min(6)]);
    let renumbered = permute.permuted(&order);
    assert_eq!(renumbered.spec().to_string(), quantizer.spec().to_string(), "{at}: specification");
    let same = (renumbered.nlist(), renumbered.dim(), renumbered.metric(), renumbered.tag(), renumbered.promise());
    let expected = (quantizer.nlist(), quantizer.dim(), quantizer.metric(), quantizer.tag(), quantizer.promise());
    assert_eq!(same, expected, "{at}: lists, dimension, metric, tag and promise");
    check_centroids(&*renumbered, quantizer, &order, &at);
    check_assign(&Subject { quantizer: &*renumbered, at: at.clone() }, data);
    let back = read(&exported(&*renumbered, &at)).unwrap_or_else(|error| panic!("{at}: reading it back: {error}"));
    check_read_back(&*renumbered, &*back, data, &format!("{at}, read back"));
    let mut inverse = order.clone();
    (0..).map(ListNo).zip(&order).for_each(|(new, old)| inverse[old.index()] = new);
    let again = renumbered.as_permute().unwrap_or_else(|| panic!("{at}: it cannot be renumbered again"));
    let as_before: Vec<ListNo> = (0..order.len() as u32).map(ListNo).collect();
    check_centroids(&*again.permuted(&inverse), quantizer, &as_before, &format!("{at}, and back"));
}

/// Checks that the centroid of list `i` is the previous centroid of list `order[i]`.
fn check_centroids(found: &dyn Level1Quantizer, before: &dyn Level1Quantizer, order: &[ListNo], at: &str) {
    let (found, before) = (centroids(found), centroids(before));
    for (no, old) in order.iter().enumerate() {
        let same = bits(found.rows().row(no)) == bits(before.rows().row(old.index()));
        assert!(same, "{at}: the centroid of list {no} is not that of list {old} before");
    }
}

/// Checks that an order that does not name every list once causes a panic.
fn check_bad_orders(permute: &dyn Permute, order: &[ListNo], at: &str) {
    let with_last = |list: u32| [&order[..order.len() - 1], &[ListNo(list)]].concat();
    let mut wrong = vec![order[1..].to_vec(), with_last(order.len() as u32)];
    wrong.extend((order.len() > 1).then(|| with_last(0)));
    for order in wrong {
        let outcome = catch_unwind(AssertUnwindSafe(|| permute.permuted(&order)));
        assert!(outcome.is_err(), "{at}: it is renumbered by {order:?}, which does not name every list once");
    }
}
