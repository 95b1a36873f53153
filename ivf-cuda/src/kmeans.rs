//! k-means on a device: the nearest centroid of each point, and the sums of the points.

use crate::device::{Buffer, Device, RoomGuard};
use crate::driver::DevicePtr;
use crate::error::CudaError;
use crate::kernels::{Args, MembersArgs, NearestArgs, SumsArgs, launch, shared};
use ivf_core::accelerator::{KMeansDevice, KMeansPoints};
use ivf_core::error::TrainError;
use ivf_core::{Metric, Rows};

/// Points that a block of threads compares with all centroids.
const TILE: usize = 64;

/// Bytes on the device for each point beside its coordinates: its number, its distance, and its
/// place among the members of its centroid.
const PER_POINT: u64 = 12;

/// A device as the assignment of k-means
/// ([`TrainOptions::device`](method@ivf_core::TrainOptions::device)).
///
/// The centroids are those of the CPU, bit for bit. Points that do not fit the device's memory are
/// sent to it in each round, part by part. (The assignment never writes a matrix of distances, and
/// the points of a centroid are sorted before they are added up: Yang et al., "Flash-KMeans",
/// arXiv:2603.09229.)
///
/// ```
/// use ivf_core::{Metric, Rows, TrainOptions};
/// use ivf_cuda::{CudaError, CudaKMeans, Device, DeviceOptions, LoadOptions};
/// let device = match Device::open(0, &LoadOptions::default(), DeviceOptions::default()) {
///     Ok(device) => CudaKMeans::new(&device),
///     Err(CudaError::Unavailable(why)) => return Ok(println!("{why}")),
///     Err(error) => return Err(error.into()),
/// };
/// let vectors: Vec<f32> = (0..2000).map(|i| (i % 97) as f32).collect();
/// let mut index = ivf_factory::build("IVF4,Flat", 2, Metric::L2)?;
/// index.train_with(Rows::new(&vectors, 2)?, &TrainOptions::new().device(&device))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct CudaKMeans {
    device: Device,
}

impl CudaKMeans {
    /// Creates the assignment on a device.
    pub fn new(device: &Device) -> Self {
        Self { device: device.clone() }
    }
}

fn failed(error: CudaError) -> TrainError {
    TrainError::Device(Box::new(error))
}

impl KMeansDevice for CudaKMeans {
    fn points<'p>(
        &'p self,
        points: Rows<'p, f32>,
        metric: Metric,
    ) -> Result<Option<Box<dyn KMeansPoints + 'p>>, TrainError> {
        let nearest = match metric {
            Metric::L2 => "nearest_l2",
            Metric::InnerProduct => "nearest_ip",
            _ => return Ok(None),
        };
        let device = &self.device;
        let room = device.room().map_err(failed)?;
        let row = (points.dim() * size_of::<f32>()) as u64;
        let most = device.room_bytes().map_err(failed)? / (row + PER_POINT);
        let chunk = points.len().clamp(1, (most as usize).clamp(1, 1 << 30));
        let work = Work::new(device, chunk, points.dim()).map_err(failed)?;
        let mut points = Points { points, nearest, device, room, work, chunk, held: None, centroids: None };
        if chunk >= points.points.len() {
            points.send(0).map_err(failed)?;
        }
        Ok(Some(Box::new(points)))
    }
}

/// Arrays for a part of the points.
struct Work {
    points: Buffer,
    numbers: Buffer,
    distances: Buffer,
    members: Buffer,
}

impl Work {
    fn new(device: &Device, chunk: usize, dim: usize) -> Result<Self, CudaError> {
        let alloc = |each: usize| device.alloc((chunk * each) as u64, "the points of k-means");
        Ok(Self { points: alloc(dim * 4)?, numbers: alloc(4)?, distances: alloc(4)?, members: alloc(4)? })
    }
}

/// Arrays for the centroids.
struct OfCentroids {
    k: usize,
    centroids: Buffer,
    sums: Buffer,
    counts: Buffer,
    cursors: Buffer,
    starts: Buffer,
}

impl OfCentroids {
    fn new(device: &Device, k: usize, dim: usize) -> Result<Self, CudaError> {
        let alloc = |bytes: usize| device.alloc(bytes as u64, "the centroids of k-means");
        Ok(Self {
            k,
            centroids: alloc(k * dim * 4)?,
            sums: alloc(k * dim * 8)?,
            counts: alloc(k * 4)?,
            cursors: alloc(k * 4)?,
            starts: alloc((k + 1) * 4)?,
        })
    }
}

struct Points<'p> {
    points: Rows<'p, f32>,
    nearest: &'static str,
    device: &'p Device,
    room: RoomGuard,
    work: Work,
    /// Number of points that are on the device at a time.
    chunk: usize,
    /// The first of the points that are there now.
    held: Option<usize>,
    centroids: Option<OfCentroids>,
}

impl Points<'_> {
    /// Sends the points from `start` on to the device, unless they are there. Returns their number.
    fn send(&mut self, start: usize) -> Result<usize, CudaError> {
        let end = self.points.len().min(start + self.chunk);
        if self.held != Some(start) {
            let rows = self.points.slice(start..end);
            self.held = None;
            let bytes = bytemuck::cast_slice(rows.as_slice());
            self.device.driver().write(self.room.stream(), self.work.points.at(), bytes)?;
            self.held = Some(start);
        }
        Ok(end - start)
    }

    fn round(&mut self, centroids: Rows<'_, f32>, numbers: &mut [u32], distances: &mut [f32]) -> Result<(), CudaError> {
        let (k, dim, stream) = (centroids.len(), centroids.dim(), self.room.stream());
        if self.centroids.as_ref().is_none_or(|known| known.k != k) {
            self.centroids = Some(OfCentroids::new(self.device, k, dim)?);
        }
        let (mut start, driver) = (0, self.device.driver());
        let at = |buffer: &Buffer| -> DevicePtr { buffer.at() };
        if let Some(of) = &self.centroids {
            driver.write(stream, at(&of.centroids), bytemuck::cast_slice(centroids.as_slice()))?;
            driver.fill(stream, at(&of.sums), 0, k * dim * 8)?;
            driver.fill(stream, at(&of.counts), 0, k * 4)?;
        }
        while start < self.points.len() {
            let count = self.send(start)?;
            let (Some(of), work) = (&self.centroids, &self.work) else { break };
            let nearest = NearestArgs {
                points: at(&work.points),
                centroids: at(&of.centroids),
                numbers: at(&work.numbers),
                distances: at(&work.distances),
                count: count as u32,
                k: k as u32,
                dim: dim as u32,
                pad: 0,
            };
            let members = MembersArgs {
                numbers: at(&work.numbers),
                counts: at(&of.counts),
                cursors: at(&of.cursors),
                starts: at(&of.starts),
                members: at(&work.members),
                count: count as u32,
                k: k as u32,
            };
            let sums = SumsArgs {
                points: at(&work.points),
                starts: at(&of.starts),
                members: at(&work.members),
                sums: at(&of.sums),
                k: k as u32,
                dim: dim as u32,
            };
            let blocks = count.div_ceil(MembersArgs::THREADS as usize).min(4096);
            driver.launch(
                stream,
                &[
                    launch(self.nearest, [count.div_ceil(TILE), 1], shared::NEAREST, &nearest),
                    launch("count_members", [blocks, 1], 0, &members),
                    launch("start_members", [1, 1], shared::START, &members),
                    launch("place_members", [blocks, 1], 0, &members),
                    launch("sort_members", [k.min(1 << 16), 1], 0, &members),
                    launch("add_members", [k, dim.div_ceil(SumsArgs::THREADS as usize)], 0, &sums),
                ],
            )?;
            let range = start..start + count;
            driver.read(stream, at(&work.numbers), bytemuck::cast_slice_mut(&mut numbers[range.clone()]))?;
            driver.read(stream, at(&work.distances), bytemuck::cast_slice_mut(&mut distances[range]))?;
            start += count;
        }
        Ok(())
    }
}

impl KMeansPoints for Points<'_> {
    fn assign(
        &mut self,
        centroids: Rows<'_, f32>,
        numbers: &mut [u32],
        distances: &mut [f32],
    ) -> Result<(), TrainError> {
        self.round(centroids, numbers, distances).map_err(failed)
    }

    fn sums(&mut self, sums: &mut [f64]) -> Result<(), TrainError> {
        let Some(of) = &self.centroids else {
            sums.fill(0.0);
            return Ok(());
        };
        let from = of.sums.at();
        let bytes = bytemuck::cast_slice_mut(sums);
        self.device.driver().read(self.room.stream(), from, bytes).map_err(failed)
    }
}
