//! Plots as PNG: drawn larger than they are, and then averaged, so that edges are smooth.

use super::{Drawn, Pixels};
use plotters::prelude::BitMapBackend;

/// Number of pixels of the file per point, for screens of high resolution.
const SCALE: u32 = 2;

/// Number of drawn pixels per pixel of the file, in each direction.
const SAMPLES: u32 = 2;

/// [`Pixels::text_shift`] of the backend, which places text by the height of its line.
const TEXT_SHIFT: f64 = 0.22;

/// Number of bytes of a pixel: red, green, blue.
const BYTES: usize = 3;

/// Draws a picture of this size in points, and returns the bytes of the file. `draw` gets a
/// backend and its pixels.
pub(super) fn render(
    (width, height): (u32, u32),
    draw: impl FnOnce(BitMapBackend<'_>, Pixels) -> Drawn<()>,
) -> Drawn<Vec<u8>> {
    let (width, height) = (width * SCALE, height * SCALE);
    let drawn = (width * SAMPLES, height * SAMPLES);
    let mut pixels = vec![0; drawn.0 as usize * drawn.1 as usize * BYTES];
    let per_point = SCALE * SAMPLES;
    draw(BitMapBackend::with_buffer(&mut pixels, drawn), Pixels { per_point, text_shift: TEXT_SHIFT })?;
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(&averaged(&pixels, drawn.0 as usize))?;
    Ok(file)
}

/// Returns an image whose pixels are the averages of squares of pixels. `width` is that of the
/// squares' image.
fn averaged(pixels: &[u8], width: usize) -> Vec<u8> {
    let samples = SAMPLES as usize;
    let mut image = Vec::with_capacity(pixels.len() / (samples * samples));
    for rows in pixels.chunks_exact(samples * width * BYTES) {
        for x in 0..width / samples {
            for byte in 0..BYTES {
                let square = (0..samples * samples).map(|i| {
                    let (dx, dy) = (i % samples, i / samples);
                    u32::from(rows[(dy * width + x * samples + dx) * BYTES + byte])
                });
                image.push((square.sum::<u32>() / (SAMPLES * SAMPLES)) as u8);
            }
        }
    }
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_is_the_average_of_a_square() {
        // Two rows of four pixels.
        let dark_and_light: Vec<u8> =
            [[10, 20, 0, 0], [30, 40, 0, 200]].concat().into_iter().flat_map(|p| [p, 0, p]).collect();
        assert_eq!(averaged(&dark_and_light, 4), [25, 0, 25, 50, 0, 50]);
    }
}
