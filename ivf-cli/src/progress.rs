//! Progress bars.

use indicatif::{ProgressBar, ProgressStyle};
use ivf_core::params::Progress;

/// A progress bar on standard error. It is hidden if standard error is not a terminal, and removed
/// when it is dropped.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// Makes a bar at its start.
    pub(crate) fn new() -> Self {
        let style = ProgressStyle::with_template("{msg:>10} [{bar:40}] {human_pos}/{human_len} {elapsed}")
            .expect("the template is well formed")
            .progress_chars("=> ");
        Self(ProgressBar::new(0).with_style(style))
    }
}

impl Progress for Bar {
    fn step(&self, stage: &'static str, done: u64, total: u64) {
        self.0.set_message(stage);
        self.0.set_length(total);
        self.0.set_position(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
