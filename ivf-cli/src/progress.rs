//! Progress of long commands: a bar on a terminal, or else a line now and then.

use crate::failure;
use indicatif::{ProgressBar, ProgressStyle};
use ivf_core::params::Progress;
use std::io::{self, IsTerminal};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Time before the first line. Commands that end sooner print none.
const FIRST: Duration = Duration::from_secs(5);

/// Minimum time between two lines.
const EVERY: Duration = Duration::from_secs(10);

/// The `--quiet` option of every command that shows progress.
#[derive(clap::Args)]
pub(crate) struct ProgressArg {
    /// Show no progress. Without this option, progress is a bar on a terminal, and otherwise a line
    /// on standard error after 5 seconds and then every 10 seconds
    #[arg(long, short)]
    quiet: bool,
}

impl ProgressArg {
    /// Starts the clock of a command.
    pub(crate) fn start(&self) -> Stages {
        if self.quiet {
            Stages::Hidden
        } else if io::stderr().is_terminal() {
            Stages::Bars
        } else {
            Stages::Lines(Mutex::new(Lines::new()))
        }
    }
}

/// The progress of a command, which has one or more stages.
pub(crate) enum Stages {
    /// Nothing is shown.
    Hidden,
    /// Each stage has a bar.
    Bars,
    /// The stages share lines, so that short stages do not each print one.
    Lines(Mutex<Lines>),
}

impl Stages {
    /// Starts a stage.
    pub(crate) fn stage(&self) -> Bar<'_> {
        match self {
            Self::Hidden => Bar::Hidden,
            Self::Bars => {
                let style = ProgressStyle::with_template("{msg:>10} [{bar:40}] {human_pos}/{human_len} {elapsed}")
                    .expect("the template is well formed")
                    .progress_chars("=> ");
                Bar::Shown(ProgressBar::new(0).with_style(style))
            }
            Self::Lines(lines) => Bar::Lines(lines),
        }
    }
}

/// The progress of one stage. A bar is removed when it is dropped.
pub(crate) enum Bar<'a> {
    /// Nothing is shown.
    Hidden,
    /// A bar on standard error.
    Shown(ProgressBar),
    /// Lines on standard error.
    Lines(&'a Mutex<Lines>),
}

impl Progress for Bar<'_> {
    fn step(&self, stage: &'static str, done: u64, total: u64) {
        match self {
            Self::Hidden => {}
            Self::Shown(bar) => {
                bar.set_message(stage);
                bar.set_length(total);
                bar.set_position(done);
            }
            Self::Lines(lines) => {
                let mut lines = lines.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                let elapsed = lines.started.elapsed();
                if let Some(line) = lines.line(elapsed, stage, done, total) {
                    failure::say(format_args!("{line}"));
                }
            }
        }
    }
}

impl Drop for Bar<'_> {
    fn drop(&mut self) {
        if let Self::Shown(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// Lines of progress, each at its time.
pub(crate) struct Lines {
    started: Instant,
    /// Time since the start before which no line is due.
    next: Duration,
}

impl Lines {
    fn new() -> Self {
        Self { started: Instant::now(), next: FIRST }
    }

    /// Returns the line of a step that is made `elapsed` after the start, if one is due.
    fn line(&mut self, elapsed: Duration, stage: &str, done: u64, total: u64) -> Option<String> {
        if elapsed < self.next {
            return None;
        }
        self.next = elapsed + EVERY;
        let percent = (done.min(total) as f64 / total.max(1) as f64 * 100.0).floor();
        Some(format!("{stage}: {done} of {total} ({percent:.0} %) after {} s", elapsed.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_printed_now_and_then() {
        let mut lines = Lines::new();
        let mut printed = Vec::new();
        for second in 0..40 {
            let stage = if second < 12 { "train" } else { "add" };
            printed.extend(lines.line(Duration::from_secs(second), stage, second * 10, 400));
        }
        // The clock runs on from stage to stage.
        let expected = [
            "train: 50 of 400 (12 %) after 5 s",
            "add: 150 of 400 (37 %) after 15 s",
            "add: 250 of 400 (62 %) after 25 s",
            "add: 350 of 400 (87 %) after 35 s",
        ];
        assert_eq!(printed, expected);
    }

    #[test]
    fn steps_that_are_rare_or_odd_print_what_they_say() {
        let mut lines = Lines::new();
        assert_eq!(lines.line(Duration::from_millis(4999), "add", 1, 2), None);
        assert_eq!(lines.line(Duration::from_secs(60), "add", 0, 0).as_deref(), Some("add: 0 of 0 (0 %) after 60 s"));
        assert_eq!(lines.line(Duration::from_secs(69), "add", 3, 2), None);
        let line = lines.line(Duration::from_secs(70), "add", 3, 2);
        assert_eq!(line.as_deref(), Some("add: 3 of 2 (100 %) after 70 s"));
    }

    #[test]
    fn quiet_is_quiet() {
        let stages = ProgressArg { quiet: true }.start();
        assert!(matches!(stages, Stages::Hidden) && matches!(stages.stage(), Bar::Hidden));
    }
}
