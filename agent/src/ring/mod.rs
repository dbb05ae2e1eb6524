//! The ring's reading end: waits for records and hands them on, in the order in which they came.
//!
//! In: the kernel's ring. Out: each record's bytes, and a tick at least every [`TICK`], in a storm every 200 ms.

mod pace;

use std::{io, os::fd::AsRawFd, thread, time::Duration};

use aya::maps::{MapData, RingBuf};

pub use pace::{Pace, Wait};

/// How long the reader sleeps at most: the grain of every deadline behind it, and how long a record
/// that did not wake it (a request, whose answer will) may lie.
pub const TICK: Duration = Duration::from_millis(50);

/// How many records are handed on before the reader looks at its clock again.
const BATCH: usize = 1024;

/// The ring's reading end.
pub struct Reader {
    ring: RingBuf<MapData>,
    delivered: u64,
    bytes: u64,
}

impl Reader {
    /// A reader of this ring.
    pub fn new(ring: RingBuf<MapData>) -> Self {
        Self { ring, delivered: 0, bytes: 0 }
    }

    /// How many records were handed on so far.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// How many bytes they had.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Hands on what lies in the ring, at most a batch; whether there may be more.
    pub fn drain(&mut self, mut take: impl FnMut(&[u8])) -> bool {
        for _ in 0..BATCH {
            let Some(record) = self.ring.next() else { return false };
            take(&record);
            self.delivered += 1;
            self.bytes += record.len() as u64;
        }
        true
    }

    /// Sleeps as `wait` says; for a record at most [`TICK`].
    pub fn wait(&self, wait: Wait) -> io::Result<()> {
        let gather = match wait {
            Wait::No => return Ok(()),
            Wait::Record(gather) => gather,
            Wait::Pause(pause) => {
                thread::sleep(pause);
                return Ok(());
            }
        };
        let mut ring = libc::pollfd { fd: self.ring.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let timeout = TICK.as_millis() as libc::c_int;
        // SAFETY: the pointer is to one pollfd that lives through the call.
        let ready = unsafe { libc::poll(&raw mut ring, 1, timeout) };
        let error = io::Error::last_os_error();
        if ready < 0 && error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
        if ready > 0 {
            thread::sleep(gather);
        }
        Ok(())
    }
}
