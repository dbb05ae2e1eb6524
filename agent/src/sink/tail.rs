//! The live tail: events for readers on a unix socket, one JSON object a line.
//!
//! In: events from the pipeline's thread. Out: lines. Each reader has a queue of its own; when it is
//! full, what comes is dropped for that reader until it has read the queue empty, and then it is told
//! how many it missed. A slow or dead reader costs the agent its queue and nothing else.
//!
//! A reader that sends nothing gets every event. It may send a [`Filter`](super::filter::Filter) as a line of JSON, at any
//! time, and then gets only what that filter passes; or an [`Ask`], and then gets what the agent remembers first.

mod ask;

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

pub use ask::Ask;
use ask::Command;

use super::{Told, history::History, json::line};
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
pub(super) struct Hub {
    /// Locked before `readers` and before a reader's queue.
    history: Mutex<History>,
    remembers: bool,
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
    /// Since when it has not taken what is sent.
    stalled: Option<Instant>,
    ask: Option<Ask>,
    /// The part of the agent's memory that the reader is still to get: from the first place to the second.
    remembered: Option<(u64, u64)>,
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
    /// A hub without readers, whose memory holds so many bytes.
    pub(super) fn new(history_bytes: usize) -> Self {
        let history = History::new(history_bytes);
        Self {
            remembers: history.is_kept(),
            history: Mutex::new(history),
            readers: Mutex::default(),
            connected: AtomicUsize::default(),
            missed: AtomicU64::default(),
            refused: AtomicU64::default(),
            left: AtomicU64::default(),
        }
    }

    /// Whether this event is remembered or read.
    pub(super) fn wants(&self, event: &Event) -> bool {
        self.is_read() || self.remembers && event.is_trouble()
    }

    /// Remembers the event, and puts it into every reader's queue that has room.
    pub(super) fn publish(&self, told: &Told<'_>) {
        let event = told.event;
        // Held to the end: a reader who asks for what is remembered gets the event once, here or there.
        let is_kept = self.remembers && (event.is_trouble() || matches!(event, Event::Accepted(_)));
        let mut history = is_kept.then(|| self.history());
        if let Some(history) = &mut history {
            history.push(told.line());
        }
        if !self.is_read() {
            return;
        }
        for reader in self.readers().iter() {
            let mut waiting = reader.waiting();
            if waiting.ask.as_ref().is_some_and(|ask| !ask.passes(event)) {
                continue;
            }
            let text = told.line();
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

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much is remembered: events, bytes, and how many were forgotten.
    pub(super) fn remembered(&self) -> (u64, u64, u64) {
        self.history().figures()
    }

    /// From now on the reader gets what it asks for: first what is remembered, to this moment.
    fn ask(&self, reader: &Reader, ask: Ask) {
        let history = self.history();
        let mut waiting = reader.waiting();
        waiting.lines.clear();
        waiting.bytes = 0;
        waiting.ask = Some(ask);
        waiting.remembered = Some((0, history.end()));
        drop(waiting);
        drop(history);
        reader.arrived.notify_one();
    }

    /// The next piece of what is remembered, as far as the reader asked for it; `None` when it has got it all.
    fn piece(&self, reader: &Reader) -> Option<String> {
        let (ask, (place, end)) = {
            let waiting = reader.waiting();
            (waiting.ask.clone()?, waiting.remembered?)
        };
        let (lines, next) = self.history().from(place, end);
        let wanted = |line: &&Arc<str>| {
            serde_json::from_str(line).is_ok_and(|event: Event| ask.passes(&event))
        };
        let mut text: String = lines.iter().filter(wanted).map(|line| &**line).collect();
        let rest = (next < end).then_some((next, end));
        if rest.is_none() {
            text += &line(&Event::History(self.history().told()));
        }
        reader.waiting().remembered = rest;
        Some(text)
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
                    serve(stream, &reader, &sinks).await;
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
async fn serve(stream: UnixStream, reader: &Reader, sinks: &super::Sinks) {
    let (commands, lines) = stream.into_split();
    tokio::select! {
        () = reader.ended.notified() => {}
        () = receive_commands(commands, reader, sinks) => {}
        () = send_lines(lines, reader, &sinks.tail) => {}
    }
}

/// Takes what the reader asks for; ends when the reader does, or sends what is no question.
async fn receive_commands(commands: impl AsyncRead + Unpin, reader: &Reader, sinks: &super::Sinks) {
    let mut commands = BufReader::new(commands);
    loop {
        let mut command = String::new();
        match (&mut commands).take(MAX_FILTER_BYTES).read_line(&mut command).await {
            Ok(1..) => match serde_json::from_str(&command) {
                Ok(Command::Ask(ask)) => {
                    // What is being summed up belongs to what is remembered.
                    sinks.tick(true);
                    sinks.tail.ask(reader, ask);
                }
                Ok(Command::Filter(filter)) => {
                    reader.waiting().ask = Some(Ask { filter, ..Ask::default() });
                }
                Err(_) => return,
            },
            _ => return,
        }
    }
}

/// Sends what is remembered and what waits, whenever something does; ends when the reader is gone.
async fn send_lines(mut lines: impl AsyncWrite + Unpin, reader: &Reader, hub: &Hub) {
    loop {
        reader.arrived.notified().await;
        loop {
            let text = match hub.piece(reader) {
                Some(piece) => piece,
                None => reader.take(),
            };
            if text.is_empty() && reader.waiting().remembered.is_none() {
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
