//! Changes of an index on a device: the device follows, or nothing changes. And k-means.

mod support;

use ivf_core::{Id, IdSelector, Index, Metric, Rows, SearchParams, TrainOptions};
use ivf_cuda::driver::faults::Faulty;
use ivf_cuda::driver::process::ProcessDevice;
use ivf_cuda::{ChangeError, CudaError, CudaIndex, CudaKMeans, Device, DeviceOptions};
use std::sync::Arc;
use support::{ORDERS, device, driver, index, numbers};

const DIM: usize = 8;

/// Ids and distances of a search of 16 lists.
fn results(index: &dyn Index, queries: Rows<'_, f32>) -> Vec<(Vec<Id>, Vec<f32>)> {
    let found = index.search(queries, 20, &SearchParams::new().nprobe(8)).unwrap();
    (0..queries.len()).map(|i| (found.hits.row(i).ids.to_vec(), found.hits.row(i).distances.to_vec())).collect()
}

/// Results of the device, after a check that they are those of the CPU.
fn checked(gpu: &CudaIndex, queries: Rows<'_, f32>) -> Vec<(Vec<Id>, Vec<f32>)> {
    let mut cpu = gpu.clone_index().unwrap();
    cpu.as_accelerate_mut().unwrap().set_accelerator(None).unwrap();
    let found = results(&**gpu, queries);
    assert_eq!(found, results(&*cpu, queries));
    found
}

#[test]
fn the_device_follows_every_change() {
    let Some(device) = device(ORDERS[0]) else { return };
    let (vectors, more) = (numbers(400 * DIM, 1), numbers(100 * DIM, 2));
    let (more, queries) = (Rows::new(&more, DIM).unwrap(), numbers(9 * DIM, 3));
    let queries = Rows::new(&queries, DIM).unwrap();
    let mut gpu = CudaIndex::new(&*index("IVF8,Flat", DIM, Metric::L2, &vectors), &device).unwrap();
    checked(&gpu, queries);
    gpu.add(more).unwrap();
    checked(&gpu, queries);
    let ids: Vec<Id> = (0..100).map(|i| Id(-i - 1)).collect();
    gpu.add_with_ids(more, &ids).unwrap();
    checked(&gpu, queries);
    gpu.change(|index| index.remove(&IdSelector::range(50..300))).unwrap();
    checked(&gpu, queries);
    gpu.change(|index| index.update(&[Id(1), Id(-5)], more.slice(0..2))).unwrap();
    checked(&gpu, queries);
    gpu.change(|index| index.reset()).unwrap();
    assert!(checked(&gpu, queries).iter().all(|(ids, _)| ids.is_empty()));
    gpu.add(more).unwrap();
    checked(&gpu, queries);
    gpu.change(|index| index.reset()).unwrap();
    gpu.change(|index| index.train(more)).unwrap();
    gpu.add(more).unwrap();
    checked(&gpu, queries);
    let cpu = gpu.into_cpu();
    assert!(cpu.len() == 100 && cpu.as_accelerate().unwrap().accelerator().is_none());
}

#[test]
fn memory_is_level_over_many_changes_and_free_at_the_end() {
    let Some(driver) = driver(ORDERS[0]) else { return };
    let driver = Arc::new(Faulty::new(driver));
    let device = Device::with_driver(driver.clone(), DeviceOptions::default().room(1 << 20));
    let vectors = numbers(300 * DIM, 1);
    let rows = Rows::new(&vectors, DIM).unwrap();
    let mut gpu = CudaIndex::new(&*index("IVF8,Flat", DIM, Metric::L2, &vectors), &device).unwrap();
    let mut used = Vec::new();
    for _ in 0..100 {
        gpu.add(rows.slice(0..64)).unwrap();
        results(&*gpu, rows.slice(0..2));
        let last = gpu.len() as i64;
        gpu.change(|index| index.remove(&IdSelector::range(330..1 << 40))).unwrap();
        assert!(gpu.len() == 330 && last == 394);
        used.push(device.used());
    }
    assert!(used[20..].iter().all(|bytes| *bytes == used[20]), "{used:?}");
    drop(gpu);
    device.trim();
    assert_eq!((device.used(), driver.live()), (0, (0, 0)));
}

#[test]
fn an_operation_that_fails_changes_nothing() {
    let Some(driver) = driver(ORDERS[0]) else { return };
    let driver = Arc::new(Faulty::<ProcessDevice>::new(driver));
    let device = Device::with_driver(driver.clone(), DeviceOptions::default().room(1 << 20));
    let (vectors, more) = (numbers(300 * DIM, 1), numbers(90 * DIM, 2));
    let (more, queries) = (Rows::new(&more, DIM).unwrap(), Rows::new(&vectors[..5 * DIM], DIM).unwrap());
    let cpu = index("IVF8,Flat", DIM, Metric::L2, &vectors);
    // Sending an index fails as a whole.
    for n in 0.. {
        let live = driver.live();
        driver.fail_at(n);
        let sent = CudaIndex::new(&*cpu, &device);
        driver.fail_at(u64::MAX);
        match sent {
            Ok(_) => break,
            Err(error) => assert!(!matches!(error, CudaError::Poisoned { .. }), "{error}"),
        }
        assert_eq!(driver.live(), live, "operation {n}");
    }
    let mut gpu = CudaIndex::new(&*cpu, &device).unwrap();
    let before = checked(&gpu, queries);
    // An addition and a removal leave the index as it was.
    let mut failures = 0;
    for n in 0.. {
        driver.fail_at(n);
        let added = gpu.add(more);
        driver.fail_at(u64::MAX);
        if added.is_ok() {
            break;
        }
        failures += 1;
        assert_eq!((gpu.len(), checked(&gpu, queries)), (330, before.clone()), "operation {n}");
    }
    assert!(failures > 4);
    let before = checked(&gpu, queries);
    for n in 0.. {
        driver.fail_at(n);
        let removed = gpu.change(|index| index.remove(&IdSelector::range(0..40)));
        driver.fail_at(u64::MAX);
        match removed {
            Ok(_) => break,
            Err(ChangeError::Device(_)) => {}
            Err(error) => panic!("{error}"),
        }
        assert_eq!((gpu.len(), checked(&gpu, queries)), (420, before.clone()), "operation {n}");
    }
    // A search returns the error, and the next one works.
    for n in 0.. {
        driver.fail_at(n);
        let found = gpu.search(queries, 3, &SearchParams::new());
        driver.fail_at(u64::MAX);
        checked(&gpu, queries);
        if found.is_ok() {
            break;
        }
    }
}

#[test]
fn the_budget_is_an_error_before_anything_changes() {
    let Some(driver) = driver(ORDERS[0]) else { return };
    let device = Device::with_driver(Arc::new(driver), DeviceOptions::default().budget(600_000).room(50_000));
    let vectors = numbers(300 * DIM, 1);
    let rows = Rows::new(&vectors, DIM).unwrap();
    let mut gpu = CudaIndex::new(&*index("IVF8,Flat", DIM, Metric::L2, &vectors), &device).unwrap();
    checked(&gpu, rows.slice(0..2));
    let mut len = gpu.len();
    let error = loop {
        match gpu.add(rows) {
            Ok(_) if gpu.len() < 30_000 => len = gpu.len(),
            Ok(_) => panic!("the budget is exceeded"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ChangeError::Device(CudaError::OutOfMemory { limit: 600_000, .. })), "{error}");
    assert_eq!(gpu.len(), len);
    checked(&gpu, rows.slice(0..2));
    assert!(device.used() <= 600_000);
}

#[test]
fn kmeans_on_the_device_finds_the_centroids_of_the_cpu() {
    let vectors = numbers(3000 * DIM, 9);
    let rows = Rows::new(&vectors, DIM).unwrap();
    for order in ORDERS {
        let Some(driver) = driver(order) else { return };
        let driver = Arc::new(driver);
        // With little room, the points are sent part by part in each round.
        for room in [1 << 20, 20_000] {
            let device = Device::with_driver(driver.clone(), DeviceOptions::default().room(room));
            let kmeans = CudaKMeans::new(&device);
            for metric in [Metric::L2, Metric::InnerProduct] {
                let train = |options: &TrainOptions<'_>| {
                    let mut index = ivf_factory::build("IVF70,Flat", DIM, metric).unwrap();
                    index.train_with(rows, options).unwrap();
                    let quantizer = index.as_ivf().unwrap().quantizer().unwrap();
                    let mut centroids = vec![0.0_f32; 70 * DIM];
                    quantizer.centroid_rows(ivf_core::ListNo(0), &mut centroids);
                    centroids.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
                };
                assert_eq!(train(&TrainOptions::new().device(&kmeans)), train(&TrainOptions::new()), "{order}");
            }
        }
    }
}
