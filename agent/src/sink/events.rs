//! Events on standard output (`--events`), one JSON line each, for whatever collects the output of services.
//!
//! In: events from the pipeline. Out: lines. Publishing only puts a line into a queue; a thread of its own writes, so a
//! pipe that nobody reads stops that thread and nothing else. Bounds: `--events-rate` lines a second and
//! [`QUEUE_LINES`] that wait: what is beyond either is summed up by cause, in one line a second.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, SyncSender},
    },
    thread,
    time::{Duration, Instant},
};

use super::{Told, json};
use crate::{
    clock,
    config::EventsWanted,
    event::{Event, SuppressedEvent, timestamp},
};

/// Lines that may wait for the pipe: some seconds at the default rate. At the bound a line is dropped and counted.
const QUEUE_LINES: usize = 1024;
/// The rate is counted so long, and what it suppressed is told so often.
const SECOND: Duration = Duration::from_secs(1);
/// At its end the agent waits so long for lines that are still to be written.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Writes events to standard output.
pub(super) struct Stream {
    wanted: EventsWanted,
    rate: u32,
    queue: SyncSender<Arc<str>>,
    pace: Mutex<Pace>,
    counts: Arc<Counts>,
    ended: Mutex<Receiver<()>>,
}

/// What became of the events that were wanted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) sent: AtomicU64,
    /// Beyond the rate.
    pub(super) suppressed: AtomicU64,
    /// Beyond the queue.
    pub(super) dropped: AtomicU64,
    /// The pipe took it not.
    pub(super) failed: AtomicU64,
}

impl Counts {
    pub(super) fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let Self { sent, suppressed, dropped, failed } = self;
        let named =
            [("sent", sent), ("suppressed", suppressed), ("dropped", dropped), ("failed", failed)];
        named.into_iter().map(|(result, count)| (result, count.load(Ordering::Relaxed)))
    }
}

/// The lines of this second, and those that were kept back.
#[derive(Default)]
struct Pace {
    began: Option<Instant>,
    written: u32,
    kept_back: BTreeMap<String, u64>,
}

impl Stream {
    /// Starts the thread that writes to `out`.
    pub(super) fn start(
        wanted: EventsWanted,
        rate: u32,
        out: impl Write + Send + 'static,
    ) -> io::Result<Self> {
        let (queue, lines) = mpsc::sync_channel(QUEUE_LINES);
        let (end, ended) = mpsc::channel();
        let counts: Arc<Counts> = Arc::default();
        let counted = Arc::clone(&counts);
        thread::Builder::new().name("events".to_owned()).spawn(move || {
            write(&lines, out, &counted);
            // Whoever waited for it has gone otherwise.
            let _ = end.send(());
        })?;
        Ok(Self { wanted, rate, queue, pace: Mutex::default(), counts, ended: Mutex::new(ended) })
    }

    /// Whether this event is for the stream.
    pub(super) fn wants(&self, event: &Event) -> bool {
        match self.wanted {
            EventsWanted::Failed => event.is_trouble() || matches!(event, Event::Accepted(_)),
            EventsWanted::All => true,
        }
    }

    /// Takes an event, as far as rate and queue allow. Never blocks.
    pub(super) fn publish(&self, told: &Told<'_>) {
        if !self.wants(told.event) {
            return;
        }
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        self.pass(&mut pace, Instant::now());
        if pace.written >= self.rate {
            self.counts.suppressed.fetch_add(1, Ordering::Relaxed);
            *pace.kept_back.entry(cause(told.event)).or_default() += 1;
        } else if self.send(Arc::clone(told.line())) {
            pace.written += 1;
        } else {
            *pace.kept_back.entry(cause(told.event)).or_default() += 1;
        }
    }

    /// Time passes: what was kept back is told, also when no further event comes.
    pub(super) fn tick(&self) {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        self.pass(&mut pace, Instant::now());
    }

    fn pass(&self, pace: &mut Pace, now: Instant) {
        if pace.began.is_some_and(|began| now.saturating_duration_since(began) < SECOND) {
            return;
        }
        (pace.began, pace.written) = (Some(now), 0);
        let suppressed = pace.kept_back.values().sum();
        if suppressed > 0 {
            let causes = pace.kept_back.clone();
            let time = timestamp(clock::wall());
            let told = Event::Suppressed(SuppressedEvent { time, suppressed, causes });
            if self.send(json::line(&told).into()) {
                pace.kept_back.clear();
            }
        }
    }

    fn send(&self, line: Arc<str>) -> bool {
        let sent = self.queue.try_send(line).is_ok();
        if !sent {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
        sent
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Lets what waits be written, as far as that takes no time. Nothing can be published behind it.
    pub(super) fn finish(&self) {
        self.tick();
        // An empty line ends the thread.
        if self.queue.try_send("".into()).is_ok() {
            let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = ended.recv_timeout(LAST_LINES);
        }
    }
}

/// What an event is summed up under: causes are a closed list.
fn cause(event: &Event) -> String {
    match event {
        Event::Handshake(event) => event.cause.map_or("none", |cause| cause.code()),
        Event::Closure(_) => "closed",
        Event::Storm(_) => "storm",
        Event::GaveUp(_) => "gave-up",
        _ => "none",
    }
    .to_owned()
}

/// Writes lines until there is no more, whatever becomes of them.
fn write(lines: &Receiver<Arc<str>>, mut out: impl Write, counts: &Counts) {
    let mut is_told = false;
    // An empty line is the last one.
    for line in lines.iter().take_while(|line| !line.is_empty()) {
        match out.write_all(line.as_bytes()) {
            Ok(()) => counts.sent.fetch_add(1, Ordering::Relaxed),
            Err(error) => {
                if !std::mem::replace(&mut is_told, true) {
                    tracing::warn!(%error, "events cannot be written to standard output");
                }
                counts.failed.fetch_add(1, Ordering::Relaxed)
            }
        };
    }
}

#[cfg(test)]
mod tests;
