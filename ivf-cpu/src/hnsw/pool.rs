//! Memory that searches use again.

use super::beam::Scratch;
use std::sync::Mutex;

/// The memory of earlier searches. A clone has none.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Vec<Scratch>>);

impl Clone for Pool {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Pool {
    /// Runs `with` with the memory of an earlier search, or with new memory.
    pub(super) fn with<T>(&self, with: impl FnOnce(&mut Scratch) -> T) -> T {
        let mut scratch = self.lock().pop().unwrap_or_default();
        let result = with(&mut scratch);
        self.lock().push(scratch);
        result
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Scratch>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
