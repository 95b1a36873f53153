//! The scan against the sums of the whole tables, over tables that are random, flat, steep, huge and broken.

use crate::inner_product::Sums;
use crate::product::Table;
use crate::scan::{BLOCK, Scan};
use crate::tables::{ByteTables, Whole};
use crate::{ProductQuantizer, equal_parts};
use ivf_core::bytes::AlignedBytes;
use ivf_core::lists::{ListRef, PlaneBytes, Segment, SegmentIds};
use ivf_core::mask::Mask;
use ivf_core::scanner::Piece;
use ivf_core::{CodeLayout, Id, Ids, ListNo, Neighbor, Rows, Sink, TrainOptions};
use ivf_cpu::simd::Level;

/// Numbers that look random, the same on every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn float(&mut self) -> f32 {
        (self.next() % 20_001) as f32 / 10_000.0 - 1.0
    }
}

/// Every kind of table that has a trap of its own.
fn tables(parts: usize, kind: usize, noise: &mut Noise) -> Vec<Table> {
    (0..parts)
        .map(|m| {
            std::array::from_fn(|i| match kind {
                0 => noise.float(),
                1 => 0.25,
                // One part decides, the others hardly differ.
                2 if m == 0 => noise.float() * 1e6,
                2 => noise.float() * 1e-6,
                3 => noise.float() * 1e37,
                4 => noise.float() * 1e-40,
                // Sums that cancel.
                5 => [1e7, -1e7][m % 2] + noise.float(),
                6 => (i % 3) as f32,
                7 if i % 50 == 0 => [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][i / 50 % 3],
                7 => noise.float(),
                // Sums that overflow on their way and would come back.
                9 => [-3e38, -3e38, 3.3e38, 3.3e38][m % 4],
                // Steps of exactly a byte.
                8 => i as f32,
                _ => f32::from_bits((noise.next() as u32) << 1),
            })
        })
        .collect()
}

#[test]
fn the_scan_finds_what_the_whole_tables_find() {
    let mut noise = Noise(7);
    for parts in [1, 2, 3, 8, 16, 20, 25, 64, 257, 300] {
        let layout = CodeLayout::interleaved(1, parts, BLOCK);
        for (kind, len) in (0..11).zip([1, 63, 64, 65, 700, 129, 300, 577, 1000, 450, 200]) {
            let codes: Vec<u8> = (0..len * parts).map(|_| noise.next() as u8).collect();
            let mut plane = AlignedBytes::zeroed(layout.plane_bytes(0, len));
            for (slot, code) in codes.chunks_exact(parts).enumerate() {
                layout.put(&mut [&mut plane], slot, code);
            }
            let planes = [PlaneBytes::Borrowed(&plane)].into_iter().collect();
            let ids = SegmentIds::Borrowed(Ids::Run { first: Id(5), len });
            let list = ListRef::new([Segment::new(&layout, ids, planes).unwrap()]);
            let mask = Mask::from_fn(len, |slot| slot % 7 != 3);
            let tables = tables(parts, kind, &mut noise);
            for (k, start) in [(1, 0.0), (10, -3.5), (100, 1e6), (2000, 0.0)] {
                for mask in [None, Some(&mask)] {
                    let piece = Piece::of_list(ListNo(0), &list, &layout, 0..len).next().unwrap().masked(mask);
                    let all = piece.slots().map(|slot| {
                        let code = &codes[slot * parts..][..parts];
                        piece.neighbor(slot, Sums { start, tables: &tables }.of(code.iter().copied()))
                    });
                    let all: Vec<Neighbor> = all.collect();
                    for sink in [Sink::top_k(k), Sink::range(start), Sink::range(start + parts as f32 * 0.1)] {
                        let mut expected = sink.fork();
                        all.iter().for_each(|&neighbor| expected.push(neighbor));
                        let expected = expected.into_sorted();
                        for level in Level::available() {
                            let mut bytes = ByteTables::default();
                            let mut scan = |sink: &mut Sink| {
                                let (exact, source) = (Sums { start, tables: &tables }, Some(Whole(&tables)));
                                let (start, bytes) = (f64::from(start), &mut bytes);
                                level.run(Scan { exact, start, source, bytes, piece: &piece, sink });
                            };
                            let mut found = sink.fork();
                            scan(&mut found);
                            // The second time, the threshold is there from the first code on.
                            let mut again = found.fork();
                            scan(&mut again);
                            for found in [found, again] {
                                assert_eq!(
                                    found.into_sorted(),
                                    expected,
                                    "{level}, {parts} parts, tables {kind}, k {k}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn codes_are_the_nearest_centroids_and_training_does_not_depend_on_threads() {
    let mut noise = Noise(3);
    let data: Vec<f32> = (0..3000 * 12).map(|_| noise.float()).collect();
    let far: Vec<f32> = data.iter().map(|x| x + 1e4).collect();
    for (data, parts, centred) in
        [(&data, equal_parts(12, 3), false), (&far, equal_parts(12, 3), false), (&far, vec![0..1, 1..7, 7..12], true)]
    {
        let rows = Rows::new(data, 12).unwrap();
        let pool = ivf_cpu::RayonPool::new(3).unwrap();
        let options = TrainOptions::new().iterations(4);
        let (pq, report) = ProductQuantizer::train(rows, parts.clone(), centred, &options).unwrap();
        let (other, _) = ProductQuantizer::train(rows, parts.clone(), centred, &options.executor(&pool)).unwrap();
        let objectives = &report.objectives[0];
        assert!(objectives.windows(2).all(|pair| 0.0 <= pair[1] && pair[1] <= pair[0] * 1.000_001), "{objectives:?}");
        let mut codes = vec![0; rows.len() * parts.len()];
        pq.encode(rows, &mut codes);
        let zero = vec![0.0; 12];
        let mean = pq.mean().unwrap_or(&zero);
        assert_eq!(pq.mean().is_some(), centred);
        for (m, part) in parts.iter().enumerate() {
            assert_eq!(pq.codebook(m).as_slice(), other.codebook(m).as_slice());
            for (row, code) in rows.iter().zip(codes.chunks_exact(parts.len())) {
                let off = |c: &[f32]| -> f64 {
                    part.clone().zip(c).map(|(d, &c)| (f64::from(row[d] - mean[d]) - f64::from(c)).powi(2)).sum()
                };
                let best = pq.codebook(m).iter().map(off).fold(f64::INFINITY, f64::min);
                assert!(off(pq.codebook(m).row(code[m].into())) <= best + 2e-3 * (1.0 + best));
            }
        }
        let mut vector = vec![0.0; 12];
        pq.decode(&codes[..parts.len()], &mut vector);
        assert_eq!(vector[0], pq.codebook(0).row(codes[0].into())[0] + mean[0]);
    }
}
