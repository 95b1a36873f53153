//! Standard input and output, and other streams, as sources and targets of vectors.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Returns whether a path means standard input or output.
pub(super) fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Returns standard input as a file with its length, if it is a regular file at its start.
pub(super) fn standard_input_file() -> Option<(File, u64)> {
    #[cfg(unix)]
    let handle = std::os::fd::AsFd::as_fd(&io::stdin()).try_clone_to_owned().ok()?;
    #[cfg(windows)]
    let handle = std::os::windows::io::AsHandle::as_handle(&io::stdin()).try_clone_to_owned().ok()?;
    let mut file = File::from(handle);
    let metadata = file.metadata().ok()?;
    (metadata.is_file() && file.stream_position().ok()? == 0).then_some((file, metadata.len()))
}

/// Copies a stream to a temporary file without a name. Returns the file, at its start, and its
/// length in bytes.
pub(super) fn copy_to_file(mut input: impl Read) -> io::Result<(File, u64)> {
    let (mut file, mut bytes, mut chunk) = (temporary()?, 0, vec![0; 1 << 18]);
    loop {
        let read = match input.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(why) if why.kind() == ErrorKind::Interrupted => continue,
            Err(why) => return Err(why),
        };
        file.write_all(&chunk[..read]).map_err(in_temporary)?;
        bytes += read as u64;
    }
    file.rewind().map_err(in_temporary)?;
    Ok((file, bytes))
}

fn temporary() -> io::Result<File> {
    tempfile::tempfile().map_err(in_temporary)
}

/// Tells an error of the temporary file from one of the stream.
fn in_temporary(why: io::Error) -> io::Error {
    io::Error::new(why.kind(), format!("a temporary copy in {}: {why}", std::env::temp_dir().display()))
}

/// A stream that seeks forward by reading.
#[derive(Debug)]
pub(super) struct Forward<R> {
    input: R,
    at: u64,
}

impl<R: Read> Forward<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, at: 0 }
    }
}

impl<R: Read> Read for Forward<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(bytes)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl<R: Read> Seek for Forward<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Current(n @ 0..) = to else {
            return Err(io::Error::new(ErrorKind::Unsupported, "a stream has no way back"));
        };
        let passed = io::copy(&mut self.by_ref().take(n as u64), &mut io::sink())?;
        if passed < n as u64 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(self.at)
    }
}

/// The target of written vectors: a file that appears when it is complete, or a stream.
pub(super) trait Target: Write + Send {
    /// Replaces the first bytes.
    fn replace_start(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Completes the output.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

impl Target for crate::file::AtomicFile {
    fn replace_start(&mut self, bytes: &[u8]) -> io::Result<()> {
        Self::replace_start(self, bytes)
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.commit()
    }
}

/// A stream of a format without a header, which is written in order.
pub(super) struct InOrder<W: Write>(BufWriter<W>);

impl<W: Write> InOrder<W> {
    pub(super) fn new(out: W) -> Self {
        Self(BufWriter::with_capacity(1 << 18, out))
    }
}

impl<W: Write> Write for InOrder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<W: Write + Send> Target for InOrder<W> {
    fn replace_start(&mut self, bytes: &[u8]) -> io::Result<()> {
        match bytes {
            [] => Ok(()),
            _ => Err(io::Error::new(ErrorKind::Unsupported, "a stream has no way back")),
        }
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.0.flush()
    }
}

/// A stream of a format whose header is complete last: a temporary file holds the vectors until
/// then.
pub(super) struct HeaderLast<W> {
    copy: BufWriter<File>,
    out: W,
}

impl<W: Write> HeaderLast<W> {
    pub(super) fn new(out: W) -> io::Result<Self> {
        Ok(Self { copy: BufWriter::with_capacity(1 << 18, temporary()?), out })
    }
}

impl<W: Write> Write for HeaderLast<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.copy.write(bytes).map_err(in_temporary)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.copy.flush().map_err(in_temporary)
    }
}

impl<W: Write + Send> Target for HeaderLast<W> {
    fn replace_start(&mut self, bytes: &[u8]) -> io::Result<()> {
        let replaced = self.copy.rewind().and_then(|()| self.copy.write_all(bytes));
        replaced.and_then(|()| self.copy.seek(SeekFrom::End(0))).map(drop).map_err(in_temporary)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.copy.rewind().map_err(in_temporary)?;
        io::copy(self.copy.get_mut(), &mut self.out)?;
        self.out.flush()
    }
}
