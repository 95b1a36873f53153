//! Recomputed checksums for damaged index files, so that the damage passes the checksum tests.

/// Number of bytes of a preamble, and of a row of the section table (`docs/format.md`).
const PREAMBLE: usize = 64;
const SECTION: usize = 20;

/// Recomputes the checksums of the sections, the header and the preamble of a container from their
/// current bytes. `sections` is the number of sections before the damage. Parts that do not lie
/// inside of the file are left alone.
pub fn reseal(file: &mut [u8], sections: usize) {
    let Some(header_len) = number(file, 16).and_then(|len| usize::try_from(len).ok()) else { return };
    let Some(header_end) = header_len.checked_add(PREAMBLE).filter(|end| *end <= file.len()) else { return };
    for row in (1..=sections).rev() {
        let Some(at) = header_end.checked_sub(row * SECTION) else { continue };
        let extent = number(file, at).zip(number(file, at + 8));
        let bytes = extent.and_then(|(offset, len)| {
            let (start, len) = (usize::try_from(offset).ok()?, usize::try_from(len).ok()?);
            file.get(start..start.checked_add(len)?)
        });
        if let Some(crc) = bytes.map(crc32c::crc32c) {
            file[at + 16..at + 20].copy_from_slice(&crc.to_le_bytes());
        }
    }
    let crc = crc32c::crc32c(&file[PREAMBLE..header_end]);
    file[12..16].copy_from_slice(&crc.to_le_bytes());
    let crc = crc32c::crc32c(&file[..PREAMBLE - 4]);
    file[PREAMBLE - 4..PREAMBLE].copy_from_slice(&crc.to_le_bytes());
}

fn number(file: &[u8], at: usize) -> Option<u64> {
    let bytes = file.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().expect("8 bytes")))
}
