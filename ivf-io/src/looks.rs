//! What a file of an unexpected format looks like, and what its owner can do.

use std::borrow::Cow;
use std::fmt;

/// What a file of an unexpected format looks like, with advice.
///
/// Displays both in one clause: "it looks like gzip-compressed data: unpack it first". It is a
/// guess from the first bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Looks {
    /// What the file looks like, with an article: "an HTML page".
    pub what: Cow<'static, str>,
    /// What to do about it: "unpack it first".
    pub advice: Cow<'static, str>,
}

impl fmt::Display for Looks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it looks like {}: {}", self.what, self.advice)
    }
}

/// Number of bytes at the start of a file that are looked at.
pub(crate) const START: usize = 4096;

/// What the reader expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected<'a> {
    /// An index file.
    Index,
    /// A file of vectors, in the format of this name.
    Vectors(&'a str),
    /// A file of vectors whose name has no known extension.
    AnyVectors,
}

/// Advice for a look.
#[derive(Clone, Copy, Debug)]
enum Advice {
    /// Something to do, whatever was expected.
    Do(&'static str),
    /// The file holds vectors, in the format of this name.
    Vectors(&'static str),
    /// The file is an index file of this library.
    Index,
}

use Advice::{Do, Index, Vectors};

/// The formats that the first bytes tell: what they are, their magic numbers, and advice.
const MAGICS: &[(&str, &[&[u8]], Advice)] = &[
    (
        "a git-lfs pointer instead of the file itself",
        &[b"version https://git-lfs", b"version http://git-media"],
        Do("fetch the file with `git lfs pull`"),
    ),
    ("gzip-compressed data", &[b"\x1f\x8b\x08"], Do("unpack it first (gunzip)")),
    (
        "a zip archive, such as .zip or .npz",
        &[b"PK\x03\x04", b"PK\x05\x06"],
        Do("unpack it first (unzip); an .npz holds .npy files"),
    ),
    ("zstd-compressed data", &[b"\x28\xb5\x2f\xfd"], Do("unpack it first (unzstd)")),
    ("bzip2-compressed data", &[b"BZh"], Do("unpack it first (bunzip2)")),
    ("xz-compressed data", &[b"\xfd7zXZ\0"], Do("unpack it first (unxz)")),
    ("lz4-compressed data", &[b"\x04\x22\x4d\x18"], Do("unpack it first (unlz4)")),
    ("a 7-zip archive", &[b"7z\xbc\xaf\x27\x1c"], Do("unpack it first")),
    ("a NumPy file", &[b"\x93NUMPY"], Vectors("npy")),
    ("an HDF5 file", &[b"\x89HDF\r\n\x1a\n"], Vectors("hdf5")),
    ("an index file of this library", &[b"\x89IVF\r\n\x1a\n"], Index),
    (
        "an index file of this library that a transfer in text mode has changed",
        &[b"\x89IVF", b"\xc2\x89IVF", b"\xef\xbf\xbdIVF", b"\tIVF"],
        Do("transfer it again, in binary mode"),
    ),
    (
        "an index file of Faiss",
        &[
            b"IxF2", b"IxFI", b"IxFl", b"IxFP", b"IxFp", b"IxHe", b"IxHE", b"IxPq", b"IxPQ", b"IxPo", b"IxSQ", b"IxRq",
            b"IxRQ", b"IxLS", b"IxPR", b"IxPL", b"ImRQ", b"Imiq", b"Ix2L", b"IxLa", b"IPfs", b"ILfs", b"IRfs", b"IPLf",
            b"IPRf", b"IwFl", b"IvFl", b"IvFL", b"IwFd", b"IwP2", b"IwPn", b"IwSq", b"IwSQ", b"IvSQ", b"IwPQ", b"IvPQ",
            b"IwQR", b"IvQR", b"IwPf", b"IwRQ", b"IwLS", b"IwPR", b"IwPL", b"IVRf", b"IVLf", b"NPRf", b"NPLf", b"IwSh",
            b"IwIQ", b"Ixrq", b"Ixrr", b"Iwrq", b"Iwrr", b"Irfn", b"Irfs", b"Iwrn", b"Iwrf", b"IxEe", b"IxEd", b"IwEe",
            b"IwEd", b"IHNf", b"IHNp", b"IHNs", b"IHN2", b"IHc2", b"IHNc", b"IHfP", b"IH00", b"INSf", b"INSp", b"INSs",
            b"INNf", b"IxPT", b"IxRF", b"IxRP", b"IxMp", b"IxM2", b"IRMf", b"IRMh", b"IBxF", b"IBwF", b"IBFf", b"IBHf",
            b"IBHc", b"IBMp", b"IBM2", b"IBHh", b"IBHm",
        ],
        Do("this library does not read those; build an index from the vectors instead"),
    ),
    ("a Parquet file", &[b"PAR1"], Do("save the column of vectors with np.save")),
    ("an Arrow file", &[b"ARROW1"], Do("save the column of vectors with np.save")),
    (
        "a Python pickle",
        &[b"\x80\x04\x95", b"\x80\x05\x95", b"\x80\x03c", b"\x80\x02c"],
        Do("load it in Python and save the array with np.save"),
    ),
    ("a SQLite database", &[b"SQLite format 3\0"], Do("export the vectors, for example with np.save")),
    ("a picture", &[b"\x89PNG", b"\xff\xd8\xff", b"GIF8"], Do("check the name of the file")),
    ("a PDF document", &[b"%PDF-"], Do("check the name of the file")),
    ("a program", &[b"\x7fELF"], Do("check the name of the file")),
];

/// Beginnings of markup, in lower case.
const MARKUP: &[(&str, &[&str], &str)] = &[
    (
        "an HTML page",
        &["<!doctype html", "<html", "<head", "<!--"],
        "the download probably failed; open the page to see why, and download the file again",
    ),
    ("an XML document", &["<?xml", "<error"], "the download probably failed; the document may say why"),
];

impl Looks {
    /// Guesses the format of a file from its first bytes and, if known, its length. Returns `None`
    /// for bytes that look like nothing in particular, or like the expected format itself.
    pub(crate) fn of(start: &[u8], len: Option<u64>, expected: Expected<'_>) -> Option<Self> {
        let starts = |magics: &[&[u8]]| magics.iter().any(|magic| start.starts_with(magic));
        if let Some(&(what, _, advice)) = MAGICS.iter().find(|(_, magics, _)| starts(magics)) {
            return Self::new(what.into(), advice, expected);
        }
        if start.get(257..262) == Some(b"ustar") {
            return Self::new("a tar archive".into(), Do("unpack it first (tar xf)"), expected);
        }
        if start.get(8..10) == Some(b"{\"") && start[4..8] == [0; 4] {
            let advice = Do("load it in Python and save the array with np.save");
            return Self::new("a safetensors file".into(), advice, expected);
        }
        text(start).or_else(|| {
            let (what, format) = shaped(start, len?)?;
            Self::new(what.into(), Vectors(format), expected)
        })
    }

    fn new(what: Cow<'static, str>, advice: Advice, expected: Expected<'_>) -> Option<Self> {
        let advice = match (advice, expected) {
            (Do(advice), _) => advice.into(),
            (Vectors(format), Expected::Vectors(own)) if is_same(format, own) => return None,
            (Vectors("hdf5"), Expected::Vectors(_) | Expected::AnyVectors) => {
                "read FILE.hdf5:DATASET, or give the format hdf5 (a build with the feature `hdf5` reads it)".into()
            }
            (Vectors(format), Expected::Vectors(_) | Expected::AnyVectors) => {
                format!("let its name end in .{format}, or give the format {format}").into()
            }
            (Vectors(_), Expected::Index) => "build an index from its vectors first".into(),
            (Index, Expected::Index) => return None,
            (Index, Expected::Vectors(_) | Expected::AnyVectors) => "a file of vectors is expected here".into(),
        };
        Some(Self { what, advice })
    }
}

/// Returns whether two names mean one format of bytes, or formats that no reader can tell apart:
/// those whose numbers have the same size.
fn is_same(a: &str, b: &str) -> bool {
    const ALIKE: [&[&str]; 4] = [&["hdf5", "h5"], &["fvecs", "ivecs"], &["fbin", "ibin"], &["u8bin", "i8bin"]];
    a == b || ALIKE.iter().any(|names| names.contains(&a) && names.contains(&b))
}

/// Maximum number of bytes of a text that a message quotes.
const QUOTED: usize = 40;

fn text(start: &[u8]) -> Option<Looks> {
    let start = &start[..start.len().min(512)];
    // The cut may be inside a character.
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&start[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().len() < 4 || text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return None;
    }
    let lower = text.trim_start().to_ascii_lowercase();
    let begins = |heads: &[&str]| heads.iter().any(|head| lower.starts_with(head));
    if let Some(&(what, _, advice)) = MARKUP.iter().find(|(_, heads, _)| begins(heads)) {
        return Some(Looks { what: what.into(), advice: advice.into() });
    }
    let line = text.trim().lines().next().unwrap_or_default();
    let is_number = |field: &str| field.trim_matches(['[', ']', '"', ' ']).parse::<f64>().is_ok();
    // A first line of names, as in a CSV file, may precede the numbers.
    let rows = || text.trim().lines().take(2);
    for (separator, delimiter) in [(',', "','"), (';', "';'"), ('\t', "'\\t'"), (' ', "None")] {
        if rows().any(|row| row.split(separator).filter(|field| is_number(field)).nth(1).is_some()) {
            let advice = format!("save it with np.save('x.npy', np.loadtxt(FILE, 'float32', delimiter={delimiter}))");
            return Some(Looks { what: "a table of numbers in text, such as CSV".into(), advice: advice.into() });
        }
    }
    let end = line.floor_char_boundary(QUOTED);
    let more = if end < line.len() { "..." } else { "" };
    let what = format!("text that begins with '{}{more}'", line[..end].escape_debug());
    Some(Looks { what: what.into(), advice: "check the name of the file, and its download".into() })
}

/// Guesses one of the formats of vectors that have no magic number, from the length of the file.
fn shaped(start: &[u8], len: u64) -> Option<(String, &'static str)> {
    let word = |at: usize| Some(u32::from_le_bytes(start.get(at..at + 4)?.try_into().ok()?));
    let (first, second) = (word(0)?, word(4)?);
    let is_dim = |dim: u32| (1..=crate::vectors::MAX_DIM as u32).contains(&dim);
    for (size, format, like) in [(4_u64, "fvecs", "an fvecs or ivecs"), (1, "bvecs", "a bvecs")] {
        let record = 4 + u64::from(first) * size;
        // The second record begins with the dimension too, if it lies in the bytes at hand.
        let agrees = usize::try_from(record).ok().and_then(word).is_none_or(|dim| dim == first);
        if is_dim(first) && len.is_multiple_of(record) && agrees {
            return Some((format!("{like} file of {} vectors x {first}", len / record), format));
        }
    }
    for (size, format, like) in [(4_u64, "fbin", "an fbin or ibin"), (1, "u8bin", "a u8bin or i8bin")] {
        let body = u64::from(first).checked_mul(second.into()).and_then(|n| n.checked_mul(size));
        if first > 0 && is_dim(second) && body.is_some_and(|body| Some(len) == body.checked_add(8)) {
            return Some((format!("{like} file of {first} vectors x {second}"), format));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_magic_number_is_told_and_none_hides_behind_another() {
        for (what, magics, advice) in MAGICS {
            for magic in *magics {
                for expected in [Expected::AnyVectors, Expected::Vectors("fvecs"), Expected::Index] {
                    let start = [magic, &[0xff_u8; 300][..]].concat();
                    let looks = Looks::of(&start, None, expected);
                    let own = matches!((advice, expected), (Index, Expected::Index));
                    assert_eq!(looks.map(|looks| looks.what), (!own).then_some(Cow::Borrowed(*what)), "{magic:?}");
                }
            }
        }
    }

    #[test]
    fn the_expected_format_is_not_told() {
        for (start, own) in
            [(&b"\x93NUMPY\x01\0"[..], "npy"), (b"\x89HDF\r\n\x1a\n", "h5"), (b"\x89HDF\r\n\x1a\n", "hdf5")]
        {
            assert_eq!(Looks::of(start, Some(8), Expected::Vectors(own)), None);
        }
        let vecs = [1_u32, 0, 1, 0].map(u32::to_le_bytes).concat();
        assert_eq!(Looks::of(&vecs, Some(16), Expected::Vectors("ivecs")), None);
        for other in ["npy", "bvecs"] {
            assert!(Looks::of(&vecs, Some(16), Expected::Vectors(other)).is_some());
        }
        for nothing in [&b""[..], b"\x01", b"\xff\xfe\xfd\xfc\xfb", &[0; 64]] {
            assert_eq!(Looks::of(nothing, Some(nothing.len() as u64), Expected::Index), None, "{nothing:?}");
        }
    }
}
