//! The bundled vectors of the demo. `data/README.md` documents their source.

use crate::failure::Failure;
use half::f16;
use ivf_core::Rows;

/// Dimension of the vectors.
pub(crate) const DIM: usize = 100;

const WORDS: &str = include_str!("../data/words.txt");
const VECTORS: &[u8] = include_bytes!("../data/words.f16");

/// Words, the most frequent first, and their vectors in the same order.
pub(crate) struct Words {
    words: Vec<&'static str>,
    vectors: Vec<f16>,
}

impl Words {
    /// Returns the 20,000 words in the program.
    ///
    /// # Errors
    /// [`Failure`] if there is not exactly one vector per word.
    pub(crate) fn bundled() -> Result<Self, Failure> {
        let words: Vec<&str> = WORDS.lines().collect();
        let expected = words.len() * DIM * size_of::<f16>();
        if VECTORS.len() != expected {
            return Err(Failure::Failed(format!(
                "the bundled vectors are damaged: {} bytes for {} words, not {expected}",
                VECTORS.len(),
                words.len()
            )));
        }
        let vectors = VECTORS.chunks_exact(2).map(|pair| f16::from_le_bytes([pair[0], pair[1]])).collect();
        Ok(Self { words, vectors })
    }

    /// Returns the number of words.
    pub(crate) fn len(&self) -> usize {
        self.words.len()
    }

    /// Returns the word with number `i`.
    pub(crate) fn word(&self, i: usize) -> &'static str {
        self.words[i]
    }

    /// Returns the number of a word.
    pub(crate) fn find(&self, word: &str) -> Option<usize> {
        self.words.iter().position(|other| *other == word)
    }

    /// Returns all vectors.
    pub(crate) fn rows(&self) -> Rows<'_, f16> {
        rows(&self.vectors)
    }

    /// Splits the vectors into every `step`th one, from the first on, and all others.
    pub(crate) fn hold_out(&self, step: usize) -> (Vec<f16>, Vec<f16>) {
        let (mut held, mut rest) = (Vec::new(), Vec::new());
        for (i, vector) in self.rows().iter().enumerate() {
            if i.is_multiple_of(step) { &mut held } else { &mut rest }.extend_from_slice(vector);
        }
        (held, rest)
    }
}

/// Returns word vectors as rows.
///
/// # Panics
/// If their length is not a multiple of [`DIM`].
pub(crate) fn rows(vectors: &[f16]) -> Rows<'_, f16> {
    Rows::new(vectors, DIM).expect("whole vectors of the bundled dimension")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_words_are_whole() {
        let words = Words::bundled().unwrap();
        assert_eq!(words.len(), 20_000);
        assert_eq!((words.word(0), words.find("coffee")), ("the", Some(3230)));
        assert!(
            words.rows().iter().all(|row| row.iter().all(|v| v.is_finite()) && row.iter().any(|v| v.to_f32() != 0.0))
        );
    }

    #[test]
    fn holding_out_loses_nothing() {
        let words = Words::bundled().unwrap();
        let (held, rest) = words.hold_out(20);
        assert_eq!((rows(&held).len(), rows(&rest).len()), (1000, 19_000));
        assert_eq!(rows(&held).row(1), words.rows().row(20));
        assert_eq!(rows(&rest).row(19), words.rows().row(21));
    }
}
