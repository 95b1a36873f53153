//! A kind's own fields in a file: serde structs, through bincode 2 with fixed-size integers, little-endian.
//!
//! The only module that names bincode (pinned at 2.0.1: version 3 is an empty tombstone).

use crate::error::DecodeError;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// No kind's fields are longer; bulk data stands in arrays.
pub const MAX_META: usize = 1 << 20;

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_little_endian().with_fixed_int_encoding().with_limit::<MAX_META>()
}

/// The bytes of `meta`.
///
/// # Panics
/// If they pass [`MAX_META`], or if the type's `Serialize` fails: faults of the kind, not of its data.
pub fn to_bytes<M: Serialize>(meta: &M) -> Vec<u8> {
    let bytes = bincode::serde::encode_to_vec(meta, config()).expect("fields that serialise");
    assert!(bytes.len() <= MAX_META, "the fields of a kind fit {MAX_META} bytes; bulk data belongs in arrays");
    bytes
}

/// The value whose bytes these are, all of them.
///
/// # Errors
/// [`DecodeError::Meta`] for anything else: too short, too long, left over, no such variant.
pub fn from_bytes<M: DeserializeOwned>(tag: &str, bytes: &[u8]) -> Result<M, DecodeError> {
    let fault = |why: String| DecodeError::Meta { tag: tag.to_owned(), why };
    let (meta, used) = bincode::serde::decode_from_slice(bytes, config()).map_err(|error| fault(error.to_string()))?;
    if used != bytes.len() {
        return Err(fault(format!("{} bytes are left over", bytes.len() - used)));
    }
    Ok(meta)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_width_little_endian_all_used() {
        let bytes = to_bytes(&(1u32, "ab".to_owned()));
        assert_eq!(bytes, [1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, b'a', b'b']);
        assert_eq!(from_bytes::<(u32, String)>("t", &bytes).unwrap(), (1, "ab".to_owned()));
        for cut in 0..bytes.len() {
            assert!(from_bytes::<(u32, String)>("t", &bytes[..cut]).is_err());
        }
        assert!(from_bytes::<u32>("t", &bytes).is_err());
    }

    #[test]
    fn a_length_from_hell_takes_no_memory() {
        let mut bytes = vec![0xff; 8];
        bytes.extend([0; 16]);
        assert!(from_bytes::<Vec<u64>>("t", &bytes).is_err());
        assert!(from_bytes::<String>("t", &bytes).is_err());
    }
}
