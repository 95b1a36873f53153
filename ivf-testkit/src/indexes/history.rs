//! The suite of generated histories of an exact index, against a model.

use super::MakeIndex;
use super::model::Model;
use super::selectors;
use crate::data::{Random, Vectors, random, small_integers};
use ivf_core::error::{AddError, CodeError, MergeError, StoreError};
use ivf_core::params::NonFinite;
use ivf_core::{AddOptions, Id, IdSelector, Index, Rows};
use rand::RngExt;
use rand::seq::SliceRandom;

const STEPS: usize = 100;
/// Number of steps between two clones.
const CLONE_STEPS: usize = 20;

/// Runs generated histories of an exact index against a model, with all abilities that the index
/// has: add, add with ids (new, negative and repeated ones), remove, update, merge, add codes,
/// reset.
///
/// After each step it compares the length, k-NN and range results and some reconstructed vectors,
/// all of which must be bit-identical. Clones are taken on the way and must stay as the index was
/// at that moment. At the end it checks skipped rows and exhausted ids.
///
/// An index that takes only consecutive ids (an array direct map) may refuse others. It must then
/// be unchanged.
///
/// # Panics
/// If the index differs from the model or a call fails. The message names seed and step.
pub fn check_history(make: MakeIndex<'_>) {
    for seed in [51, 52, 53] {
        let mut index = make();
        let mut history = History { model: Model::new(&*index), random: random(seed), make };
        let mut earlier = None;
        for step in 0..STEPS {
            let at = format!("{}, seed {seed}, step {step}", index.spec());
            let done = history.step(&mut *index, &at);
            history.model.check(&*index, step as u64, &format!("{at}, after {done}"));
            if step % CLONE_STEPS == CLONE_STEPS - 1 {
                check_clone(earlier.take(), step as u64, &at);
                earlier = clone(&*index, &at).map(|clone| (clone, history.model.clone()));
            }
        }
    }
    check_skipped_rows(make);
    check_exhausted_ids(make);
}

/// Returns a clone of the index, or `None` if its store supports no snapshots.
fn clone(index: &dyn Index, at: &str) -> Option<Box<dyn Index>> {
    match index.clone_index() {
        Ok(clone) => Some(clone),
        Err(StoreError::NoSnapshot { .. }) => None,
        Err(error) => panic!("{at}: a clone: {error}"),
    }
}

/// Checks that an earlier clone still has its content, then resets it. The reset must not show in
/// the index.
fn check_clone(earlier: Option<(Box<dyn Index>, Model)>, step: u64, at: &str) {
    let Some((mut clone, model)) = earlier else { return };
    model.check(&*clone, step, &format!("{at}, a clone of {CLONE_STEPS} steps before"));
    if clone.as_reset().is_some() {
        // The index is compared after its next step.
        clone.reset().unwrap_or_else(|error| panic!("{at}: reset of a clone: {error}"));
    }
}

struct History<'a> {
    model: Model,
    random: Random,
    make: MakeIndex<'a>,
}

impl History<'_> {
    fn step(&mut self, index: &mut dyn Index, at: &str) -> String {
        match self.random.random_range(0..24) {
            0..5 => self.add(index, at),
            5..10 => self.add_with_ids(index, at),
            10..15 => self.remove(index, at),
            15..19 => self.update(index, at),
            19 | 20 => self.merge(index, at),
            21 | 22 => self.add_codes(index, at),
            _ => self.reset(index, at),
        }
        .unwrap_or_else(|| "nothing".to_owned())
    }

    fn add(&mut self, index: &mut dyn Index, at: &str) -> Option<String> {
        let first = self.next_id()?;
        index.as_add()?;
        let vectors = self.vectors();
        let report = index.add(vectors.rows()).unwrap_or_else(|error| panic!("{at}: add: {error}"));
        assert_eq!(report.added, vectors.len(), "{at}: vectors added");
        self.model_add((first..).map(Id), &vectors);
        Some(format!("add of {} vectors from id {first} on", vectors.len()))
    }

    fn add_with_ids(&mut self, index: &mut dyn Index, at: &str) -> Option<String> {
        index.as_add_with_ids()?;
        let vectors = self.vectors();
        let ids = self.ids(vectors.len());
        match index.add_with_ids(vectors.rows(), &ids) {
            Ok(report) => assert_eq!(report.added, vectors.len(), "{at}: vectors added with ids"),
            Err(AddError::IdNotSequential { .. }) => return Some(format!("refused ids {ids:?}")),
            Err(error) => panic!("{at}: add with ids {ids:?}: {error}"),
        }
        let what = format!("add with ids {ids:?}");
        self.model_add(ids, &vectors);
        Some(what)
    }

    fn remove(&mut self, index: &mut dyn Index, at: &str) -> Option<String> {
        index.as_remove()?;
        let ids: Vec<Id> = self.model.ids().into_iter().collect();
        let (share, turn) = (self.random.random_range(2..9), self.random.random_range(0..3));
        let some = |id: Id| id.0.rem_euclid(share) == 1;
        let mut kinds = selectors(&ids, &some);
        // Selectors of nearly everything would leave the index empty for most of a history.
        let kind = self.random.random_range(3..kinds.len());
        let selector = if turn == 0 { kinds.swap_remove(kind) } else { IdSelector::Fn(&some) };
        let removed = index.remove(&selector).unwrap_or_else(|error| panic!("{at}: removing {selector:?}: {error}"));
        assert_eq!(removed, self.model.remove(&selector), "{at}: entries removed by {selector:?}");
        Some(format!("removal of {removed} entries by {selector:?}"))
    }

    fn update(&mut self, index: &mut dyn Index, at: &str) -> Option<String> {
        index.as_update()?;
        let mut ids: Vec<Id> = self.model.ids().into_iter().collect();
        ids.shuffle(&mut self.random);
        ids.truncate(self.random.random_range(0..6));
        let vectors = small_integers(self.random.random(), ids.len(), index.dim(), 4);
        index.update(&ids, vectors.rows()).unwrap_or_else(|error| panic!("{at}: update of {ids:?}: {error}"));
        self.model.remove(&IdSelector::set(ids.iter().copied()));
        // Not `model_add`: an update adds no id.
        self.model.entries.extend(ids.iter().copied().zip(vectors.rows().iter().map(<[f32]>::to_vec)));
        Some(format!("update of {ids:?}"))
    }

    fn merge(&mut self, index: &mut dyn Index, at: &str) -> Option<String> {
        index.as_merge()?;
        let vectors = self.vectors();
        let mut other = (self.make)();
        let shift = self.random.random_range(0..1000);
        let ids: Vec<Id> = (0..vectors.len() as i64).map(Id).collect();
        let filled =
            if other.as_add().is_some() { other.add(vectors.rows()) } else { other.add_with_ids(vectors.rows(), &ids) };
        filled.unwrap_or_else(|error| panic!("{at}: filling the index to merge: {error}"));
        match index.as_merge()?.merge_from(&mut *other, shift, &AddOptions::new()) {
            Ok(()) => {}
            Err(MergeError::Add(AddError::IdNotSequential { .. })) => return Some("a refused merge".to_owned()),
            Err(error) => panic!("{at}: merge of {} vectors, shifted by {shift}: {error}", vectors.len()),
        }
        assert!(other.is_empty(), "{at}: the index merged keeps {} vectors", other.len());
        self.model_add(ids.into_iter().map(|id| Id(id.0 + shift)), &vectors);
        Some(format!("merge of {} vectors, shifted by {shift}", vectors.len()))
    }

    fn add_codes(&mut self, index: &mut dyn Index, at: &str) -> Option<String> {
        index.as_add_codes()?;
        let vectors = self.vectors();
        let coder = index.as_standalone_codec()?;
        let codes = coder
            .sa_encode(vectors.rows().into(), &AddOptions::new())
            .unwrap_or_else(|error| panic!("{at}: coding: {error}"));
        let size = coder.sa_code_size().unwrap_or_else(|error| panic!("{at}: the size of a code: {error}"));
        assert_eq!(codes.len(), size * vectors.len(), "{at}: bytes of {} standalone codes", vectors.len());
        let decoded = coder.sa_decode(&codes).unwrap_or_else(|error| panic!("{at}: decoding: {error}"));
        let kept: Vec<f32> = vectors.rows().iter().flat_map(|vector| self.model.kept(vector)).collect();
        assert_eq!(decoded, kept, "{at}: vectors coded and decoded");
        let counted = self.next_id().filter(|_| self.random.random());
        let ids =
            counted.map_or_else(|| self.ids(vectors.len()), |first| (first..).map(Id).take(vectors.len()).collect());
        match index.as_add_codes()?.add_codes(&codes, counted.is_none().then_some(&ids), &AddOptions::new()) {
            Ok(report) => assert_eq!(report.added, vectors.len(), "{at}: codes added"),
            Err(CodeError::Add(AddError::IdNotSequential { .. })) => return Some(format!("refused codes of {ids:?}")),
            Err(error) => panic!("{at}: adding codes of {ids:?}: {error}"),
        }
        let what = format!("adding of codes of {ids:?}");
        self.model_add(ids, &vectors);
        Some(what)
    }

    fn reset(&mut self, index: &mut dyn Index, at: &str) -> Option<String> {
        index.as_reset()?.reset().unwrap_or_else(|error| panic!("{at}: reset: {error}"));
        self.model = Model::new(index);
        Some("reset".to_owned())
    }

    fn model_add(&mut self, ids: impl IntoIterator<Item = Id>, vectors: &Vectors) {
        ids.into_iter().zip(vectors.rows().iter()).for_each(|(id, vector)| self.model.add(id, vector));
    }

    /// Returns the id that `add` gives next, or `None` if there were only negative ids, for which
    /// the contract defines none.
    fn next_id(&self) -> Option<i64> {
        self.model.largest.map_or(Some(0), |id| (id.0 >= 0).then_some(id.0 + 1))
    }

    fn vectors(&mut self) -> Vectors {
        let n = [0, 1, 3, 20][self.random.random_range(0..4)];
        small_integers(self.random.random(), n, self.model.dim, 4)
    }

    /// Returns new consecutive ids, ids near 0 (many of them in use), or negative ids.
    fn ids(&mut self, n: usize) -> Vec<Id> {
        let random = &mut self.random;
        match random.random_range(0..3) {
            0 => {
                let first = self.model.largest.map_or(0, |id| id.0.max(-1) + 1);
                (first..).map(Id).take(n).collect()
            }
            1 => (0..n).map(|_| Id(random.random_range(0..60))).collect(),
            _ => (0..n).map(|_| Id(random.random_range(-1_000_000..-1))).collect(),
        }
    }
}

/// Checks rows with a NaN that are skipped: they are reported, not counted, and use up their
/// implicit ids.
fn check_skipped_rows(make: MakeIndex<'_>) {
    let mut index = make();
    let (dim, at) = (index.dim(), format!("{}, rows skipped", index.spec()));
    let mut vectors = small_integers(54, 6, dim, 4);
    for row in [1, 5] {
        vectors.data[row * dim] = f32::NAN;
    }
    let options = AddOptions::new().non_finite(NonFinite::SkipRow);
    let mut model = Model::new(&*index);
    if let Some(add) = index.as_add() {
        for first in [0, 6] {
            let report = add.add(vectors.rows().into(), &options).unwrap_or_else(|error| panic!("{at}: {error}"));
            assert_eq!((report.added, &report.skipped[..]), (4, &[1, 5][..]), "{at}: report");
            [0, 2, 3, 4].iter().for_each(|&row| model.add(Id(first + row), vectors.rows().row(row as usize)));
        }
        model.check(&*index, 1, &at);
    }
    let mut index = make();
    let mut model = Model::new(&*index);
    if let Some(add) = index.as_add_with_ids() {
        let ids: Vec<Id> = (0..6).map(Id).collect();
        match add.add_with_ids(vectors.rows().into(), &ids, &options) {
            Ok(report) => assert_eq!((report.added, &report.skipped[..]), (4, &[1, 5][..]), "{at}: report, with ids"),
            Err(AddError::IdNotSequential { .. }) => return,
            Err(error) => panic!("{at}, with ids: {error}"),
        }
        [0, 2, 3, 4].iter().for_each(|&row| model.add(ids[row], vectors.rows().row(row)));
        model.check(&*index, 2, &format!("{at}, with ids"));
    }
}

/// Checks that `add` fails after the largest possible id.
fn check_exhausted_ids(make: MakeIndex<'_>) {
    let mut index = make();
    if index.as_add().is_none() || index.as_add_with_ids().is_none() {
        return;
    }
    let at = format!("{}, ids run out", index.spec());
    let vector = vec![1.0; index.dim()];
    let row = Rows::new(&vector, index.dim()).expect("one row");
    let mut model = Model::new(&*index);
    match index.add_with_ids(row, &[Id(i64::MAX)]) {
        Ok(_) => model.add(Id(i64::MAX), &vector),
        Err(AddError::IdNotSequential { .. }) => return,
        Err(error) => panic!("{at}: adding the largest id: {error}"),
    }
    let result = index.add(row);
    assert!(matches!(result, Err(AddError::IdsExhausted)), "{at}: adding one more gives {result:?}");
    model.check(&*index, 3, &at);
}
