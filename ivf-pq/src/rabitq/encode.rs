//! Encoding: the point of the grid that has nearly the same direction as a vector, and the factors
//! of the estimates.

use super::code::{CodeMut, Form};
use super::total;
use ivf_core::Metric;
use ivf_cpu::simd::{Kernel, LANES, Level, Simd};

/// Number of scales that are tried for the grid of a vector in a round. The next round tries scales
/// between the neighbours of the best one.
const SCALES: usize = 10;

/// Number of rounds.
const ROUNDS: usize = 3;

/// Returns the nearest finite `f32`.
fn finite(x: f64) -> f32 {
    if x.is_nan() { 0.0 } else { x.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32 }
}

/// Encodes a vector `r`, which is relative to `centroid`. All bytes of the code are written.
pub(super) fn encode(form: Form, metric: Metric, r: &[f32], centroid: &[f32], code: &mut [u8]) {
    code.fill(0);
    let mut code = CodeMut(form, code);
    let (mut squares, mut sizes, mut of_centroid, mut with_centroid) = (0.0, 0.0, 0.0, 0.0);
    for (i, (&r, &c)) in r.iter().zip(centroid).enumerate() {
        let (r, c) = (f64::from(r), f64::from(c));
        squares += r * r;
        sizes += r.abs();
        with_centroid += r * c;
        if r > 0.0 {
            code.set_sign(i);
            of_centroid += c;
        } else {
            of_centroid -= c;
        }
    }
    // The estimate of `r z` is `f y z`, where `y` are the signs.
    let f = if sizes > 0.0 { squares / sizes } else { 0.0 };
    let factors = |f: f64, y_c: f64| match metric {
        Metric::L2 => [squares + 2.0 * f * y_c, -2.0 * f],
        // The negated product is -q c - (c r - f y c) - f y q.
        _ => [f * y_c - with_centroid, -f],
    };
    let [add, rescale] = factors(f, of_centroid);
    code.set_factor(0, finite(add));
    code.set_factor(1, finite(rescale));
    if form.low == 0 {
        return;
    }
    // The squared cosine of the angle between `r` and its signs is `sizes^2 / (squares dim)`.
    let cosine = if squares > 0.0 { sizes * sizes / (squares * r.len() as f64) } else { 1.0 };
    let spread = ((1.0 - cosine).max(0.0) / cosine.max(1e-30) / (r.len() as f64 - 1.0).max(1.0)).sqrt();
    let scale = if metric == Metric::L2 { 2.0 } else { 1.0 };
    code.set_factor(2, finite(scale * squares.sqrt() * spread));

    let most = u8::MAX >> (8 - form.low);
    let scale = Level::get().run(BestScale { r, most: f32::from(most) });
    let (mut y_r, mut y_c) = (0.0, 0.0);
    for (eight, (r, c)) in r.chunks(8).zip(centroid.chunks(8)).enumerate() {
        let mut numbers = [0; 8];
        for (number, (&r, &c)) in numbers.iter_mut().zip(r.iter().zip(c)) {
            let size = (r.abs() * scale).min(f32::from(most)) as u8;
            let y = f64::from(size) + 0.5;
            y_r += y * f64::from(r.abs());
            // A negative number has the complement of its size, so that all bits together count up.
            *number = if r > 0.0 { size } else { most - size };
            y_c += if r > 0.0 { y * f64::from(c) } else { -y * f64::from(c) };
        }
        code.set_low(eight, numbers);
    }
    let f = if y_r > 0.0 { squares / y_r } else { 0.0 };
    let [add, rescale] = factors(f, y_c);
    code.set_whole_factor(0, finite(add));
    code.set_whole_factor(1, finite(rescale));
}

/// Finds the scale for which the rounded vector has the smallest angle to the vector. `most` is the
/// largest size of a rounded coordinate; larger ones are cut.
struct BestScale<'a> {
    r: &'a [f32],
    most: f32,
}

impl Kernel for BestScale<'_> {
    type Output = f32;
    const BYTES: bool = false;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> f32 {
        let Self { r, most } = self;
        let largest = r.iter().fold(0.0_f32, |largest, r| largest.max(r.abs()));
        let unit = (most + 1.0) / largest;
        if !(unit.is_finite() && unit > 0.0) {
            return 1.0;
        }
        // At `unit`, no coordinate is cut. Coarser grids leave values unused, finer ones cut the
        // largest coordinates.
        let (mut low, mut high) = (0.7_f32, 4.0_f32);
        let mut best = (f32::NEG_INFINITY, 1.0);
        for _ in 0..ROUNDS {
            let step = (high - low) / (SCALES - 1) as f32;
            for i in 0..SCALES {
                let factor = low + step * i as f32;
                let cosine = cosine(r, unit * factor, most);
                if cosine > best.0 {
                    best = (cosine, factor);
                }
            }
            (low, high) = (best.1 - step, best.1 + step);
        }
        unit * best.1
    }
}

/// Returns the cosine of the angle between a vector and its rounded form, times the norm of the
/// vector.
#[inline(always)]
fn cosine(r: &[f32], scale: f32, most: f32) -> f32 {
    let (mut product, mut squares) = ([0.0_f32; LANES], [0.0_f32; LANES]);
    let (whole, rest) = r.as_chunks::<LANES>();
    for lanes in whole {
        add(lanes, [1.0; LANES], scale, most, &mut product, &mut squares);
    }
    if !rest.is_empty() {
        // Lanes past the end must not count.
        let (mut lanes, mut counts) = ([0.0; LANES], [0.0; LANES]);
        lanes[..rest.len()].copy_from_slice(rest);
        counts[..rest.len()].fill(1.0);
        add(&lanes, counts, scale, most, &mut product, &mut squares);
    }
    total(product) / total(squares).sqrt()
}

/// Adds the products of 16 coordinates with their rounded forms, and the squares of these.
#[inline(always)]
fn add(
    r: &[f32; LANES],
    counts: [f32; LANES],
    scale: f32,
    most: f32,
    product: &mut [f32; LANES],
    squares: &mut [f32; LANES],
) {
    for i in 0..LANES {
        let size = r[i].abs();
        // Sizes are below 2^15, so the conversions are exact.
        let y = (((size * scale).min(most) as i32) as f32 + 0.5) * counts[i];
        product[i] += y * size;
        squares[i] += y * y;
    }
}
