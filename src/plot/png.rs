//! PNG: pixels that are drawn larger and averaged, so that all edges are smooth, and the file around them. Not here: drawing.

use libdeflater::{CompressionLvl, Compressor};
use plotters_bitmap::BitMapBackend;

use super::Chart;
use super::picture::{Measures, SIZE, draw};
use crate::error::{Context, ErrorKind, Result};

/// Pixels of the file for a pixel of the chart: screens with twice the usual density show it sharply.
const DENSITY: u32 = 2;
/// The file's pixels are averages of squares of this many pixels.
const SMOOTHING: u32 = 2;
/// Red, green, blue.
const CHANNELS: usize = 3;
const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";
/// 8 bits a channel, true colour, deflate, the filters of PNG, not interlaced.
const PIXEL_FORM: [u8; 5] = [8, 2, 0, 0, 0];
/// The filter of a row that stores the difference from the row above.
const UP: u8 = 2;

/// Returns the chart as a PNG file.
pub(super) fn png(chart: &Chart) -> Result<Vec<u8>> {
    let factor = DENSITY * SMOOTHING;
    let (width, height) = (SIZE.0 * factor, SIZE.1 * factor);
    let mut large = vec![0; width as usize * height as usize * CHANNELS];
    draw(chart, BitMapBackend::with_buffer(&mut large, (width, height)), Measures::of_pixels(factor))?;
    let pixels = averaged(&large, width as usize);
    encode(&pixels, SIZE.0 * DENSITY, SIZE.1 * DENSITY)
}

/// Averages squares of [`SMOOTHING`] pixels.
fn averaged(large: &[u8], width: usize) -> Vec<u8> {
    let side = SMOOTHING as usize;
    let columns = width / side;
    let mut pixels = Vec::with_capacity(large.len() / (side * side));
    for rows in large.chunks_exact(width * CHANNELS * side) {
        let mut sums = vec![0_u32; columns * CHANNELS];
        for row in rows.chunks_exact(width * CHANNELS) {
            for (at, &value) in row.iter().enumerate() {
                sums[at / (CHANNELS * side) * CHANNELS + at % CHANNELS] += u32::from(value);
            }
        }
        pixels.extend(sums.into_iter().map(|sum| (sum / (SMOOTHING * SMOOTHING)) as u8));
    }
    pixels
}

/// Makes a PNG file of pixels, row by row.
fn encode(pixels: &[u8], width: u32, height: u32) -> Result<Vec<u8>> {
    let row_bytes = width as usize * CHANNELS;
    let mut filtered = Vec::with_capacity(pixels.len() + height as usize);
    let mut above: &[u8] = &vec![0; row_bytes];
    for row in pixels.chunks_exact(row_bytes) {
        filtered.push(UP);
        filtered.extend(row.iter().zip(above).map(|(value, above)| value.wrapping_sub(*above)));
        above = row;
    }
    let mut compressor = Compressor::new(CompressionLvl::best());
    let mut compressed = vec![0; compressor.zlib_compress_bound(filtered.len())];
    let length = compressor
        .zlib_compress(&filtered, &mut compressed)
        .or_error(ErrorKind::Internal, || "the picture cannot be compressed".to_owned())?;
    let mut file = SIGNATURE.to_vec();
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &PIXEL_FORM].concat();
    for (kind, bytes) in [(b"IHDR", &header[..]), (b"IDAT", &compressed[..length]), (b"IEND", &[])] {
        let length = u32::try_from(bytes.len())
            .or_error(ErrorKind::Internal, || "the picture is too large for PNG".to_owned())?;
        let checked = [kind, bytes].concat();
        file.extend(length.to_be_bytes());
        file.extend(&checked);
        file.extend(libdeflater::crc32(&checked).to_be_bytes());
    }
    Ok(file)
}
