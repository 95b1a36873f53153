//! Tests of the wrapper suite: a tiny wrapper that only delegates passes, and its faulty variants
//! are caught.

use crate::assert_caught;
use crate::naive::{Fault as Inner, Naive};
use ivf_core::ability::{Add, AddWithIds, RangeSearch};
use ivf_core::error::{AddError, BuildError, DecodeError, KnobError, SearchError, StoreError, Unable};
use ivf_core::param::{Param, ParamRange};
use ivf_core::part::{below, unknown_knob, unknown_part};
use ivf_core::registry::WrapperSpec;
use ivf_core::{
    AddOptions, AddReport, AnyRows, Id, Index, Knob, KnobValue, Metric, Node, Part, SearchParams, SearchResult,
    SpecText, StoredNode, Takes,
};
use ivf_testkit::wrappers::check_wrapper;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    HidesInnerParts,
    HidesInnerKnobs,
    TakesNoInnerParameters,
    IgnoresSelectors,
    SharesItsLength,
    SharesItsKnobs,
    ForgetsSpecification,
    WrapsFullOnes,
    ForgetsInnerMemory,
    CannotBeChangedInside,
    HasAnotherTag,
}

const TAG: &str = "tiny wrapper";
const INNER: &str = "inner";

/// A knob without effect.
const COLOR: Param = Param::new(
    "color",
    ParamRange::Word(&["red", "blue"]),
    KnobValue::Word(std::borrow::Cow::Borrowed("red")),
    "its color",
);

#[derive(Clone, Copy, Debug)]
struct Spec(Fault);

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TinyWrap")
    }
}

impl WrapperSpec for Spec {
    fn wrap(&self, inner: Box<dyn Index>) -> Result<Box<dyn Index>, BuildError> {
        if !inner.is_empty() && self.0 != Fault::WrapsFullOnes {
            let unable = Unable { help: None, ability: "begin empty", index: inner.spec() };
            return Err(BuildError::Unable { wrapper: self.to_string(), unable });
        }
        Ok(Box::new(Wrapper::new(inner, self.0)))
    }
}

#[derive(Debug)]
struct Wrapper {
    inner: Box<dyn Index>,
    len: Arc<AtomicUsize>,
    color: Arc<AtomicUsize>,
    fault: Fault,
}

impl Wrapper {
    fn new(inner: Box<dyn Index>, fault: Fault) -> Self {
        let len = Arc::new(AtomicUsize::new(inner.len()));
        Self { inner, len, color: Arc::default(), fault }
    }

    fn read(node: &StoredNode) -> Result<Box<dyn Index>, DecodeError> {
        node.expect_version(0)?;
        node.fields(&[])?;
        Ok(Box::new(Self::new(Naive::read(node.child(INNER)?)?, Fault::None)))
    }

    /// Returns the parameters that are passed on.
    fn passed<'p>(&self, params: &SearchParams<'p>) -> SearchParams<'p> {
        let mut passed = params.clone();
        if self.fault == Fault::IgnoresSelectors {
            passed.selector = None;
        }
        passed
    }

    fn declared(&self, inner: Takes) -> Takes {
        if self.fault == Fault::TakesNoInnerParameters { Takes::default() } else { inner }
    }

    fn own(&self) -> Part {
        let tag = if self.fault == Fault::HasAnotherTag { "another" } else { TAG };
        let color = ["red", "blue"][self.color.load(Ordering::Relaxed)];
        Part::new("", tag).with_knobs(vec![Knob::new(COLOR, color)])
    }

    fn counted(&self, added: Result<AddReport, AddError>) -> Result<AddReport, AddError> {
        if let Ok(report) = &added {
            self.len.fetch_add(report.added, Ordering::Relaxed);
        }
        added
    }
}

impl Index for Wrapper {
    fn dim(&self) -> usize {
        self.inner.dim()
    }
    fn metric(&self) -> Metric {
        self.inner.metric()
    }
    fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }
    fn is_trained(&self) -> bool {
        self.inner.is_trained()
    }
    fn spec_text(&self) -> SpecText {
        let text = self.inner.spec_text();
        if self.fault == Fault::ForgetsSpecification { text } else { text.after(1, "TinyWrap") }
    }
    fn search_rows(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        self.inner.search_rows(queries, k, &self.passed(params))
    }
    fn takes(&self) -> Takes {
        self.declared(self.inner.takes())
    }
    fn parts(&self) -> Vec<Part> {
        let inner = self.inner.parts().into_iter().map(|part| part.under(INNER));
        let inner = inner.filter(|_| self.fault != Fault::HidesInnerParts);
        [self.own()].into_iter().chain(inner).collect()
    }
    fn set_knob_at(&mut self, path: &str, name: &str, value: KnobValue) -> Result<(), KnobError> {
        if path.is_empty() {
            if !COLOR.is_named(name) {
                return Err(unknown_knob(name, &[self.own()]));
            }
            let word = COLOR.range.check(name, &value)?;
            self.color.store(usize::from(word == KnobValue::from("blue")), Ordering::Relaxed);
            return Ok(());
        }
        match below(path, INNER).filter(|_| self.fault != Fault::HidesInnerKnobs) {
            Some(rest) => self.inner.set_knob_at(rest, name, value),
            None => Err(unknown_part(path, &self.parts())),
        }
    }
    fn memory(&self) -> usize {
        if self.fault == Fault::ForgetsInnerMemory { 8 } else { self.inner.memory() }
    }
    fn memory_with(&self, vectors: usize) -> usize {
        self.inner.memory_with(vectors)
    }
    fn export(&self) -> Result<Node<'_>, StoreError> {
        let mut node = Node::new(TAG, 0);
        node.push_child(INNER, self.inner.export()?);
        Ok(node)
    }
    fn clone_index(&self) -> Result<Box<dyn Index>, StoreError> {
        let copy = |state: &Arc<AtomicUsize>, shares| match self.fault == shares {
            true => state.clone(),
            false => Arc::new(AtomicUsize::new(state.load(Ordering::Relaxed))),
        };
        let (len, color) = (copy(&self.len, Fault::SharesItsLength), copy(&self.color, Fault::SharesItsKnobs));
        Ok(Box::new(Self { inner: self.inner.clone_index()?, len, color, fault: self.fault }))
    }
    fn as_add(&mut self) -> Option<&mut dyn Add> {
        Some(self)
    }
    fn as_add_with_ids(&mut self) -> Option<&mut dyn AddWithIds> {
        Some(self)
    }
    fn as_range_search(&self) -> Option<&dyn RangeSearch> {
        Some(self)
    }
    fn wrapped(&self) -> Option<&dyn Index> {
        Some(&*self.inner)
    }
    fn wrapped_mut(&mut self) -> Option<&mut dyn Index> {
        Some(&mut *self.inner).filter(|_| self.fault != Fault::CannotBeChangedInside)
    }
}

impl Add for Wrapper {
    fn add(&mut self, rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<AddReport, AddError> {
        let added = self.inner.add_with(rows, options);
        self.counted(added)
    }
}

impl AddWithIds for Wrapper {
    fn add_with_ids(&mut self, rows: AnyRows<'_>, ids: &[Id], options: &AddOptions<'_>) -> Result<AddReport, AddError> {
        let added = self.inner.add_with_ids_with(rows, ids, options);
        self.counted(added)
    }
}

impl RangeSearch for Wrapper {
    fn range_search(
        &self,
        queries: AnyRows<'_>,
        radius: f32,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        self.inner.range_search_with(queries, radius, &self.passed(params))
    }
    fn range_takes(&self) -> Takes {
        self.declared(self.inner.as_range_search().map_or_else(Takes::default, |search| search.range_takes()))
    }
}

fn check(metric: Metric, fault: Fault) {
    check_wrapper(&Spec(fault), &|| Box::new(Naive::new(6, metric, Inner::None)), &Wrapper::read);
}

#[test]
fn a_tiny_wrapper_passes() {
    for metric in [Metric::L2, Metric::InnerProduct, Metric::Cosine] {
        check(metric, Fault::None);
    }
}

#[test]
fn faulty_wrappers_are_caught() {
    for (fault, words) in [
        (Fault::HidesInnerParts, "are not all under one path"),
        (Fault::HidesInnerKnobs, "setting effort of 'inner' to 1 gives"),
        (Fault::TakesNoInnerParameters, "the index inside takes"),
        (Fault::IgnoresSelectors, "Range("),
        (Fault::SharesItsLength, "after the other clone was added to: vectors and parts"),
        (Fault::SharesItsKnobs, "after knobs of a clone were set: vectors and parts"),
        (Fault::ForgetsSpecification, "does not contain"),
        (Fault::WrapsFullOnes, "it wraps an index that holds 300 vectors"),
        (Fault::ForgetsInnerMemory, "it takes 8 bytes, what is inside"),
        (Fault::CannotBeChangedInside, "the index inside, and the one to change"),
        (Fault::HasAnotherTag, "the wrapper's part"),
    ] {
        assert_caught(words, || check(Metric::L2, fault));
    }
}
