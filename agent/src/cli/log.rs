//! The log, on standard error. It never ends the program, and never holds it up.
//!
//! In: lines. Out: what standard error takes at once. A line that it does not take (its reader has gone or does not
//! read, its disk is full) is dropped, and the next one that it takes says how many were.

use std::{
    io::{self, IsTerminal as _, Write},
    os::fd::{AsFd, BorrowedFd},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// The longest piece that a pipe takes at once when it takes any (PIPE_BUF, pipe(7)). The rest of a longer line is
/// dropped.
const LINE_MAX: usize = 4096;

/// Sends the log to standard error; `WSTAP_LOG` overrides the level.
pub(super) fn to_stderr(level: &str) {
    let filter = EnvFilter::try_from_env("WSTAP_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    // A second subscriber changes nothing.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Lossy::new(io::stderr()))
        .with_ansi(io::stderr().is_terminal())
        // It would tell a failure to write by a line on standard error, and panic as that fails too.
        .log_internal_errors(false)
        .try_init();
}

/// A stream that lines are written to as far as it takes them.
struct Lossy<W>(Mutex<Stream<W>>);

struct Stream<W> {
    out: W,
    dropped: u64,
}

impl<W: AsFd + Write> Lossy<W> {
    fn new(out: W) -> Self {
        Self(Mutex::new(Stream { out, dropped: 0 }))
    }

    fn stream(&self) -> MutexGuard<'_, Stream<W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, line: &[u8]) {
        let mut stream = self.stream();
        let mut text = Vec::new();
        if stream.dropped > 0 {
            text = format!("{} lines of the log were lost here\n", stream.dropped).into_bytes();
        }
        text.extend(line);
        if text.len() > LINE_MAX {
            text.truncate(LINE_MAX - 1);
            text.push(b'\n');
        }
        let taken = has_room(stream.out.as_fd()) && stream.out.write_all(&text).is_ok();
        stream.dropped = if taken { 0 } else { stream.dropped + 1 };
    }
}

/// Whether a write of [`LINE_MAX`] bytes returns at once.
fn has_room(out: BorrowedFd<'_>) -> bool {
    let mut asked = [PollFd::from_borrowed_fd(out, PollFlags::OUT)];
    let ready = poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    ready.is_ok() && asked.iter().all(|asked| asked.revents() == PollFlags::OUT)
}

/// One line: tracing-subscriber writes each event as a whole.
struct Line<'a, W>(&'a Lossy<W>);

impl<W: AsFd + Write> Write for Line<'_, W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a, W: AsFd + Write + 'a> MakeWriter<'a> for Lossy<W> {
    type Writer = Line<'a, W>;

    fn make_writer(&'a self) -> Self::Writer {
        Line(self)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::OpenOptions,
        io::{Read as _, pipe},
    };

    use super::*;

    #[test]
    fn a_pipe_that_nobody_reads_takes_no_time_and_the_loss_is_told() {
        let (mut reader, writer) = pipe().unwrap();
        let log = Lossy::new(writer);
        let line = [&b"x".repeat(99)[..], b"\n"].concat();
        while log.stream().dropped < 3 {
            log.line(&line);
        }
        let mut taken = vec![0; 64 * 1024];
        let length = reader.read(&mut taken).unwrap();
        assert!(length >= 32 * 1024, "{length}");
        log.line(&line);
        drop(log);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert!(rest.contains("3 lines of the log were lost here\nxxx"), "{rest}");
    }

    #[test]
    fn a_stream_that_fails_is_no_failure() {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let log = Lossy::new(writer);
        log.line(b"to nobody\n");
        assert_eq!(log.stream().dropped, 1);
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let log = Lossy::new(full);
        log.line(b"to a full disk\n");
        log.line(b"to a full disk\n");
        assert_eq!(log.stream().dropped, 2);
    }

    #[test]
    fn a_line_is_cut_to_what_a_pipe_takes_at_once() {
        let (mut reader, writer) = pipe().unwrap();
        let log = Lossy::new(writer);
        log.line(&[b'x'; 3 * LINE_MAX]);
        log.line(b"next\n");
        drop(log);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!((text.len(), text.lines().last()), (LINE_MAX + 5, Some("next")));
    }
}
