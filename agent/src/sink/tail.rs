//! The live tail: events for readers on a unix socket, one JSON object a line.
//!
//! In: events from the pipeline's thread. Out: lines. Each reader has a queue of its own; when it is
//! full, what comes is dropped for that reader until it has read the queue empty, and then it is told
//! how many it missed. A slow or dead reader costs the agent its queue and nothing else.
//!
//! A reader that sends nothing gets every event. It may send a [`Filter`] as a line of JSON, at any
//! time, and then gets only what that filter passes.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::Notify,
    time::Instant,
};

use super::{filter::Filter, json::line};
use crate::event::{Event, MissedEvent};

/// Owner and group may read the tail; nobody else.
pub const SOCKET_MODE: u32 = 0o660;
/// Bytes of events that wait for one reader; what does not fit is missed, and counted. As much again
/// may be on its way to the reader.
pub(super) const QUEUE_BYTES: usize = 1024 * 1024;
/// Readers at the same time. For one more the reader that has taken nothing for longest, [`STALL`] at least, is
/// disconnected; when there is none, the new one is. Both are counted.
pub(super) const MAX_READERS: usize = 16;
/// A reader that takes nothing for so long while something waits may lose its place to another.
const STALL: Duration = Duration::from_secs(10);
/// The longest line that a reader may send; a longer one ends the connection.
const MAX_FILTER_BYTES: u64 = 16 * 1024;

/// Figures for the agent's own metrics.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TailStats {
    pub(super) readers: u64,
    pub(super) missed: u64,
    pub(super) refused: u64,
    pub(super) left: u64,
}

/// The readers that are connected.
#[derive(Default)]
pub(super) struct Hub {
    readers: Mutex<Vec<Arc<Reader>>>,
    /// The length of `readers`, so that publishing without a reader takes no lock.
    connected: AtomicUsize,
    missed: AtomicU64,
    refused: AtomicU64,
    left: AtomicU64,
}

/// One reader's end of the hub.
#[derive(Default)]
struct Reader {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    /// Its place goes to another.
    ended: Notify,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<Arc<str>>,
    bytes: usize,
    missed: u64,
    filter: Option<Filter>,
    /// Since when it has not taken what is sent.
    stalled: Option<Instant>,
}

impl Reader {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all that waits, as the bytes to send.
    fn take(&self) -> String {
        let mut waiting = self.waiting();
        let lines = std::mem::take(&mut waiting.lines);
        waiting.bytes = 0;
        let missed = std::mem::take(&mut waiting.missed);
        drop(waiting);
        let mut text = lines.concat();
        if missed > 0 {
            text.push_str(&line(&Event::Missed(MissedEvent { missed })));
        }
        text
    }
}

impl Hub {
    /// Puts the event into every reader's queue that has room.
    pub(super) fn publish(&self, event: &Event) {
        if !self.is_read() {
            return;
        }
        let mut text: Option<Arc<str>> = None;
        for reader in self.readers().iter() {
            let mut waiting = reader.waiting();
            if waiting.filter.as_ref().is_some_and(|filter| !filter.passes(event)) {
                continue;
            }
            let text = text.get_or_insert_with(|| line(event).into());
            // Once something is missed all is, until the reader has been told: the order stays.
            if waiting.missed > 0 || waiting.bytes + text.len() > QUEUE_BYTES {
                waiting.missed += 1;
                self.missed.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            waiting.bytes += text.len();
            waiting.lines.push(Arc::clone(text));
            drop(waiting);
            reader.arrived.notify_one();
        }
    }

    /// Whether there is a reader.
    pub(super) fn is_read(&self) -> bool {
        self.connected.load(Ordering::Acquire) > 0
    }

    pub(super) fn stats(&self) -> TailStats {
        TailStats {
            readers: self.connected.load(Ordering::Relaxed) as u64,
            missed: self.missed.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            left: self.left.load(Ordering::Relaxed),
        }
    }

    fn readers(&self) -> MutexGuard<'_, Vec<Arc<Reader>>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a reader; `None` when there are too many that read.
    fn join(&self) -> Option<Arc<Reader>> {
        let mut readers = self.readers();
        if readers.len() >= MAX_READERS {
            let Some(stalled) = longest_stalled(&readers) else {
                self.refused.fetch_add(1, Ordering::Relaxed);
                return None;
            };
            readers.remove(stalled).ended.notify_one();
            self.left.fetch_add(1, Ordering::Relaxed);
        }
        let reader = Arc::<Reader>::default();
        readers.push(Arc::clone(&reader));
        self.connected.store(readers.len(), Ordering::Release);
        Some(reader)
    }

    fn leave(&self, reader: &Arc<Reader>) {
        let mut readers = self.readers();
        readers.retain(|other| !Arc::ptr_eq(other, reader));
        self.connected.store(readers.len(), Ordering::Release);
    }
}

/// Which reader has taken nothing for longest, if for [`STALL`].
fn longest_stalled(readers: &[Arc<Reader>]) -> Option<usize> {
    let since = |reader: &Arc<Reader>| reader.waiting().stalled;
    let stalled = readers.iter().enumerate().filter_map(|(at, reader)| Some((since(reader)?, at)));
    stalled.min().filter(|(since, _)| since.elapsed() >= STALL).map(|(_, at)| at)
}

/// Accepts readers for as long as it is polled.
pub(super) async fn accept(listener: UnixListener, sinks: Arc<super::Sinks>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let Some(reader) = sinks.tail.join() else { continue };
                let sinks = Arc::clone(&sinks);
                tokio::spawn(async move {
                    serve(stream, &reader).await;
                    sinks.tail.leave(&reader);
                });
            }
            // Out of file descriptors, most likely: other readers may leave.
            Err(error) => {
                tracing::warn!(%error, "a live-tail reader could not be accepted");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Serves one reader until either side ends.
async fn serve(stream: UnixStream, reader: &Reader) {
    let (commands, lines) = stream.into_split();
    tokio::select! {
        () = receive_filters(commands, reader) => {}
        () = send_lines(lines, reader) => {}
        () = reader.ended.notified() => {}
    }
}

/// Takes the reader's filters; ends when the reader does, or sends what is no filter.
async fn receive_filters(commands: impl AsyncRead + Unpin, reader: &Reader) {
    let mut commands = BufReader::new(commands);
    loop {
        let mut command = String::new();
        match (&mut commands).take(MAX_FILTER_BYTES).read_line(&mut command).await {
            Ok(1..) => match serde_json::from_str(&command) {
                Ok(filter) => reader.waiting().filter = Some(filter),
                Err(_) => return,
            },
            _ => return,
        }
    }
}

/// Sends what waits, whenever something does; ends when the reader is gone.
async fn send_lines(mut lines: impl AsyncWrite + Unpin, reader: &Reader) {
    loop {
        reader.arrived.notified().await;
        loop {
            let text = reader.take();
            if text.is_empty() {
                break;
            }
            reader.waiting().stalled = Some(Instant::now());
            if lines.write_all(text.as_bytes()).await.is_err() {
                return;
            }
            reader.waiting().stalled = None;
        }
    }
}

#[cfg(test)]
mod tests;
