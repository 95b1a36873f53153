//! An index whose lists a device searches.

use crate::accelerator::OnDevice;
use crate::device::Device;
use crate::error::CudaError;
use ivf_core::accelerator::AcceleratedParts;
use ivf_core::error::{AddError, StoreError};
use ivf_core::{Accelerate, AddReport, AnyRows, Id, Index, ListNo};
use std::ops::Deref;
use std::sync::Arc;

/// An error of a change of a [`CudaIndex`]. The index and the device are as they were before.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError<E> {
    /// The change itself failed.
    #[error(transparent)]
    Index(E),
    /// The device could not follow the change.
    #[error("the device could not follow the change: {0}")]
    Device(CudaError),
    /// The state before the change could not be kept.
    #[error("the index cannot be changed: {0}")]
    Store(StoreError),
}

/// An index whose lists a device searches.
///
/// It derefs to [`Index`], so searches, range searches, reconstruction and saving are those of any
/// index. Results are those of the CPU, bit for bit: the device computes the same distances, and
/// breaks ties alike. Many threads may search at the same time. What the device has no kernels for
/// (searches with parameters of the codec or of the quantizer, and single queries with a collector)
/// is searched on the CPU.
///
/// The lists are on the CPU, too: the device has a copy, which [`change`](Self::change) keeps up to
/// date. So [`into_cpu`](Self::into_cpu) copies nothing, and still works if the device fails. Lists
/// of a file that is opened in place ([`open_index`](https://docs.rs/ivf-index)) take no memory of
/// the CPU.
///
/// ```
/// use ivf_core::{Metric, Rows, SearchParams};
/// use ivf_cuda::{CudaError, CudaIndex, Device, DeviceOptions, LoadOptions};
/// let vectors: Vec<f32> = (0..200).map(|i| i as f32).collect();
/// let rows = Rows::new(&vectors, 2)?;
/// let mut index = ivf_factory::build("IVF4,Flat", 2, Metric::L2)?;
/// index.train(rows)?;
/// index.add(rows)?;
///
/// let device = match Device::open(0, &LoadOptions::default(), DeviceOptions::default()) {
///     Ok(device) => device,
///     Err(CudaError::Unavailable(why)) => return Ok(println!("{why}")), // the CPU goes on
///     Err(error) => return Err(error.into()),
/// };
/// let mut on_device = CudaIndex::new(&*index, &device)?;
/// let found = on_device.search(rows.slice(7..8), 1, &SearchParams::new())?;
/// on_device.change(|index| index.add(rows))?;
/// assert_eq!((found.hits.row(0).ids[0].0, on_device.len()), (7, 200));
/// println!("{} bytes on {}", on_device.device_memory(), on_device.device().info().name);
/// let back = on_device.into_cpu();
/// assert_eq!(back.len(), 200);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CudaIndex {
    inner: Box<dyn Index>,
    device: Device,
    /// What the inner index has as its accelerator. `None` while it is not trained.
    lists: Option<Arc<OnDevice>>,
}

impl Deref for CudaIndex {
    type Target = dyn Index;

    fn deref(&self) -> &dyn Index {
        &*self.inner
    }
}

fn no_lists(index: &dyn Index) -> CudaError {
    CudaError::Unsupported { what: format!("{}, which has no lists to scan,", index.spec()) }
}

impl CudaIndex {
    /// Copies an index to a device. The given index does not change; both share the lists on the
    /// CPU until one of them is changed.
    ///
    /// # Errors
    /// [`CudaError::Unsupported`] if the index has no lists (graphs, groups), or lists of codes, or
    /// a metric, that the device has no kernels for. [`CudaError::OutOfMemory`],
    /// [`CudaError::Lists`] if the index cannot be copied or read, and errors of the driver.
    pub fn new(index: &dyn Index, device: &Device) -> Result<Self, CudaError> {
        let inner = index.clone_index().map_err(|error| CudaError::Lists(error.to_string()))?;
        let mut new = Self { inner, device: device.clone(), lists: None };
        new.copy_all()?;
        Ok(new)
    }

    /// Returns the device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Returns the memory that the index takes on the device, in bytes.
    pub fn device_memory(&self) -> u64 {
        self.lists.as_ref().map_or(0, |lists| lists.bytes())
    }

    /// Returns the index without its copy on the device.
    pub fn into_cpu(mut self) -> Box<dyn Index> {
        detach(&mut *self.inner);
        self.inner
    }

    /// Changes the index: trains it, adds or removes vectors, merges, or sets parameters. Then the
    /// device follows: only what has changed is copied. Vectors that were added at the ends of
    /// lists cost no more than their blocks.
    ///
    /// # Errors
    /// [`ChangeError`]: of the change, or of the device (such as [`CudaError::OutOfMemory`]). The
    /// index is as it was before.
    pub fn change<R, E>(&mut self, change: impl FnOnce(&mut dyn Index) -> Result<R, E>) -> Result<R, ChangeError<E>> {
        let mut before = self.inner.clone_index().map_err(ChangeError::Store)?;
        detach(&mut *before);
        let old = parts_of(&*self.inner);
        let changed = change(&mut *self.inner).map_err(ChangeError::Index);
        match changed.and_then(|result| self.follow(old.as_ref()).map(|()| result).map_err(ChangeError::Device)) {
            Ok(result) => Ok(result),
            Err(error) => {
                // The device still has the lists of this state.
                self.inner = before;
                self.attach().map_err(ChangeError::Device)?;
                Err(error)
            }
        }
    }

    /// Adds vectors with consecutive ids. Unlike [`change`](Self::change), it does not copy the
    /// lists that it appends to.
    ///
    /// # Errors
    /// As [`change`](Self::change).
    pub fn add<'r>(&mut self, rows: impl Into<AnyRows<'r>>) -> Result<AddReport, ChangeError<AddError>> {
        let rows = rows.into();
        self.append(|index| index.add(rows))
    }

    /// Adds vectors with the caller's ids, as [`add`](Self::add) does.
    ///
    /// # Errors
    /// As [`change`](Self::change).
    pub fn add_with_ids<'r>(
        &mut self,
        rows: impl Into<AnyRows<'r>>,
        ids: &[Id],
    ) -> Result<AddReport, ChangeError<AddError>> {
        let rows = rows.into();
        self.append(|index| index.add_with_ids(rows, ids))
    }

    /// Adds vectors, and takes them back if the device cannot follow.
    fn append<R, E>(&mut self, add: impl FnOnce(&mut dyn Index) -> Result<R, E>) -> Result<R, ChangeError<E>> {
        let mark = self.inner.as_undo().map(|undo| undo.mark()).transpose().map_err(ChangeError::Store)?;
        let (Some(mark), Some(lens)) = (mark, self.lens()?) else { return self.change(add) };
        let added = add(&mut *self.inner).map_err(ChangeError::Index)?;
        match self.follow_added(&lens) {
            Ok(()) => Ok(added),
            Err(error) => {
                // The device still has the lists of this state.
                let undo = self.inner.as_undo().map_or(Ok(()), |undo| undo.undo(mark));
                let attached = self.attach();
                Err(undo
                    .map_err(ChangeError::Store)
                    .and(attached.map_err(ChangeError::Device))
                    .err()
                    .unwrap_or(ChangeError::Device(error)))
            }
        }
    }

    /// Returns the lengths of the lists; `None` if the index is not trained.
    fn lens<E>(&self) -> Result<Option<Vec<usize>>, ChangeError<E>> {
        let Some(parts) = parts_of(&*self.inner) else { return Ok(None) };
        let lists = (0..parts.lists.nlist()).map(|no| parts.lists.list_len(ListNo(no as u32)));
        lists.collect::<Result<_, _>>().map(Some).map_err(ChangeError::Store)
    }

    fn follow_added(&mut self, before: &[usize]) -> Result<(), CudaError> {
        detach(&mut *self.inner);
        let (Some(new), Some(lists)) = (parts_of(&*self.inner), &mut self.lists) else { return Ok(()) };
        match Arc::get_mut(lists) {
            Some(own) => own.sync_added(&new, before)?,
            // Another holder keeps the state before.
            None => *lists = Arc::new(OnDevice::new(&self.device, &new)?),
        }
        self.attach()
    }

    /// Brings the device up to date after any change.
    fn follow(&mut self, old: Option<&AcceleratedParts>) -> Result<(), CudaError> {
        let Some(new) = parts_of(&*self.inner) else {
            self.lists = None;
            return Ok(());
        };
        let is_same = |old: &&AcceleratedParts| {
            Arc::ptr_eq(&old.quantizer, &new.quantizer) && Arc::ptr_eq(&old.bound, &new.bound)
        };
        match (old.filter(is_same), self.lists.take()) {
            (Some(old), Some(mut lists)) => {
                if !Arc::ptr_eq(&old.lists, &new.lists) {
                    detach(&mut *self.inner);
                    let done = match Arc::get_mut(&mut lists) {
                        Some(own) => own.sync_changed(&new, &old.lists),
                        // Another holder keeps the state before.
                        None => OnDevice::new(&self.device, &new).map(|copy| lists = Arc::new(copy)),
                    };
                    self.lists = Some(lists);
                    done?;
                } else {
                    self.lists = Some(lists);
                }
                self.attach()
            }
            (_, kept) => {
                self.lists = kept;
                let copy = OnDevice::new(&self.device, &new)?;
                self.lists = Some(Arc::new(copy));
                self.attach()
            }
        }
    }

    fn copy_all(&mut self) -> Result<(), CudaError> {
        if self.inner.as_accelerate().is_none() {
            return Err(no_lists(&*self.inner));
        }
        detach(&mut *self.inner);
        if let Some(parts) = parts_of(&*self.inner) {
            self.lists = Some(Arc::new(OnDevice::new(&self.device, &parts)?));
        }
        self.attach()
    }

    fn attach(&mut self) -> Result<(), CudaError> {
        let lists = self.lists.clone();
        let no_lists = no_lists(&*self.inner);
        let ability = self.inner.as_accelerate_mut().ok_or(no_lists)?;
        let lists = lists.map(|lists| lists as _);
        ability.set_accelerator(lists).map_err(|error| CudaError::Unsupported { what: error.to_string() })
    }
}

fn detach(index: &mut dyn Index) {
    if let Some(ability) = index.as_accelerate_mut() {
        // Nothing to attach, so nothing can be refused.
        let _ = ability.set_accelerator(None);
    }
}

/// Returns what a device copies of an index; `None` if it is not trained.
fn parts_of(index: &dyn Index) -> Option<AcceleratedParts> {
    index.as_accelerate().and_then(Accelerate::accelerated)
}
