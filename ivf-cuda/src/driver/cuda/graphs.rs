//! Sequences of launches that start as one: a CUDA graph.
//!
//! A kernel takes 2 to 3 microseconds to launch, and a search of one query is a handful of short
//! kernels. A sequence is captured when it comes for the second time, since most that come once
//! never come again. By then its kernels are loaded, which a capture does not allow.

use super::handles::OwnStream;
use crate::driver::Launch;
use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys;

/// Number of sequences of a stream that are remembered.
const MOST: usize = 64;

/// The sequences that were last launched on a stream, with the graphs of some.
#[derive(Debug)]
pub(super) struct Graphs<G> {
    /// The last one that was met is first. Most often it is met again, so this is found faster than
    /// in a hash table.
    entries: Vec<Entry<G>>,
}

#[derive(Debug)]
struct Entry<G> {
    launches: Vec<Launch>,
    state: State<G>,
}

#[derive(Debug)]
enum State<G> {
    Launched,
    Captured(G),
    CannotBeCaptured,
}

/// What to do with a sequence.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Met<'a, G> {
    /// Launch its kernels.
    Launch,
    /// Capture it.
    Capture,
    /// Launch its graph.
    Graph(&'a G),
}

impl<G> Default for Graphs<G> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<G> Graphs<G> {
    /// Says what to do with a sequence, and remembers it.
    pub(super) fn meet(&mut self, launches: &[Launch]) -> Met<'_, G> {
        let Some(at) = self.entries.iter().position(|entry| entry.launches == launches) else {
            self.entries.truncate(MOST - 1);
            self.entries.insert(0, Entry { launches: launches.to_vec(), state: State::Launched });
            return Met::Launch;
        };
        self.entries[..=at].rotate_right(1);
        match &self.entries[0].state {
            State::Launched => Met::Capture,
            State::Captured(graph) => Met::Graph(graph),
            State::CannotBeCaptured => Met::Launch,
        }
    }

    /// Keeps the graph of the sequence that was met last, or that it has none.
    pub(super) fn keep(&mut self, graph: Option<G>) {
        if let Some(entry) = self.entries.first_mut() {
            entry.state = graph.map_or(State::CannotBeCaptured, State::Captured);
        }
    }
}

/// A captured sequence.
#[derive(Debug)]
pub(super) struct Graph(sys::CUgraphExec);

// SAFETY: the driver's objects can be used from every thread that has their context bound. A graph
// is used by one thread at a time, which is all that its type allows.
unsafe impl Send for Graph {}

impl Graph {
    /// Captures what `launch` does to the stream. Nothing is run.
    ///
    /// Returns None if that fails, and leaves it to an ordinary launch to say why.
    pub(super) fn capture(stream: &OwnStream, launch: impl FnOnce() -> Result<(), DriverError>) -> Option<Self> {
        // Other threads may allocate meanwhile, so only calls of this one are restricted.
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream exists.
        unsafe { result::stream::begin_capture(stream.raw(), mode) }.ok()?;
        let launched = launch();
        // A capture has to end, also one that failed.
        // SAFETY: the stream exists.
        let graph = unsafe { result::stream::end_capture(stream.raw()) }.ok().filter(|graph| !graph.is_null())?;
        let made = launched.ok().and_then(|()| {
            // SAFETY: the graph exists.
            unsafe { result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0)) }.ok()
        });
        // SAFETY: the graph exists, and is not used after.
        let _ = unsafe { result::graph::destroy(graph) };
        made.map(Self)
    }

    pub(super) fn launch(&self, stream: &OwnStream) -> Result<(), DriverError> {
        // SAFETY: both exist. Only this stream runs the graph, so it does not run twice at a time.
        unsafe { result::graph::launch(self.0, stream.raw()) }
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // The driver lets a graph that is running end.
        // SAFETY: the graph exists, and is not used after.
        let _ = unsafe { result::graph::exec_destroy(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(number: usize) -> Vec<Launch> {
        vec![Launch { kernel: "scan", grid: [1, 1], threads: 32, shared: number, args: Vec::new() }]
    }

    #[test]
    fn a_sequence_is_captured_at_its_second_time() {
        let mut graphs = Graphs::default();
        assert_eq!(graphs.meet(&sequence(1)), Met::Launch);
        assert_eq!(graphs.meet(&sequence(2)), Met::Launch);
        assert_eq!(graphs.meet(&sequence(1)), Met::Capture);
        graphs.keep(Some('g'));
        assert_eq!(graphs.meet(&sequence(2)), Met::Capture);
        graphs.keep(None);
        assert_eq!(graphs.meet(&sequence(1)), Met::Graph(&'g'));
        assert_eq!(graphs.meet(&sequence(2)), Met::Launch);
    }

    #[test]
    fn the_sequence_that_was_not_met_for_longest_is_forgotten() {
        let mut graphs = Graphs::default();
        for number in 0..MOST {
            graphs.meet(&sequence(number));
            graphs.keep(Some(number));
        }
        assert_eq!(graphs.meet(&sequence(0)), Met::Graph(&0));
        assert_eq!(graphs.meet(&sequence(MOST)), Met::Launch);
        assert_eq!(graphs.entries.len(), MOST);
        assert_eq!(graphs.meet(&sequence(0)), Met::Graph(&0));
        assert_eq!(graphs.meet(&sequence(1)), Met::Launch);
    }
}
