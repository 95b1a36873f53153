//! Small vector files, written and read without the library.

use std::path::{Path, PathBuf};

/// A temporary folder with files that `ivf` reads and writes.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Returns the path of a file in it, which may not exist.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Returns the path of a file in it as an argument.
    pub(crate) fn arg(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Writes an fvecs file of vectors of dimension `dim`.
    pub(crate) fn fvecs(&self, name: &str, dim: usize, vectors: &[f32]) -> String {
        self.vecs(name, dim, vectors.iter().map(|v| v.to_le_bytes()))
    }

    /// Writes an ivecs file of rows of length `dim`.
    pub(crate) fn ivecs(&self, name: &str, dim: usize, ids: &[i32]) -> String {
        self.vecs(name, dim, ids.iter().map(|id| id.to_le_bytes()))
    }

    /// Writes a file of any bytes.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.arg(name)
    }

    fn vecs(&self, name: &str, dim: usize, elements: impl Iterator<Item = [u8; 4]>) -> String {
        let mut bytes = Vec::new();
        for (i, element) in elements.enumerate() {
            if i % dim == 0 {
                bytes.extend((dim as u32).to_le_bytes());
            }
            bytes.extend(element);
        }
        self.write(name, &bytes)
    }
}

/// Returns the rows of an fvecs or ivecs file, as raw elements.
pub(crate) fn read_vecs(path: &Path) -> Vec<Vec<[u8; 4]>> {
    let bytes = std::fs::read(path).unwrap();
    let mut words = bytes.chunks_exact(4).map(|word| <[u8; 4]>::try_from(word).unwrap());
    let mut rows = Vec::new();
    while let Some(dim) = words.next() {
        rows.push(words.by_ref().take(u32::from_le_bytes(dim) as usize).collect());
    }
    rows
}

/// Returns different vectors of pseudorandom numbers in -1..1.
pub(crate) fn vectors(n: usize, dim: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n * dim).map(|_| next()).collect()
}

/// Returns the `k` nearest base vectors of each query by squared distance, found by brute force.
pub(crate) fn nearest(base: &[f32], queries: &[f32], dim: usize, k: usize) -> Vec<i32> {
    let mut all = Vec::new();
    for query in queries.chunks(dim) {
        let mut order: Vec<(f32, i32)> = base
            .chunks(dim)
            .zip(0..)
            .map(|(vector, id)| (vector.iter().zip(query).map(|(x, y)| (x - y) * (x - y)).sum(), id))
            .collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        all.extend(order.iter().take(k).map(|&(_, id)| id));
    }
    all
}
