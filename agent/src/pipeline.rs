//! The live data path: kernel -> ring -> pairing -> judge -> sinks, on one thread.
//!
//! The only module that knows all stages. In: settings. Out: events, and the agent's own numbers.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use lru::LruCache;
use wstap_common::counters::Counter;

use crate::{
    cli::Stop,
    clock,
    config::Settings,
    event::{Event, Outcome},
    handshake::{Limits, Pairing},
    judge::{Judge, Judged},
    kernel::{self, Kernel},
    ring::Reader,
    sink::{ActiveConnection, AgentStats, ProgramStats, Sinks, TableStats},
};

/// How many open connections the gauge follows. At the bound the oldest is no longer counted.
const ACTIVE_MAX: NonZeroUsize = NonZeroUsize::new(256 * 1024).unwrap();

/// Captures until `stop` turns true and publishes to the sinks.
pub fn run(settings: &Settings, sinks: Arc<Sinks>, stop: Stop) -> anyhow::Result<()> {
    let (mut path, kernel) = Path::open(settings)?;
    let numbers = Arc::clone(&path.numbers);
    sinks.set_stats_source(move || stats(&kernel, &numbers));
    sinks.set_ready();
    let mut active = LruCache::unbounded();
    let mut publish = |judged: Judged| {
        let cookie = judged.connection.cookie;
        match &judged.event {
            Event::Handshake(event) if event.outcome == Outcome::Accepted => {
                let open: ActiveConnection =
                    sinks.connection_opened(event.role, event.origin.as_deref());
                active.push(cookie, open);
                if active.len() > ACTIVE_MAX.get() {
                    active.pop_lru();
                }
            }
            Event::Closure(_) => drop(active.pop(&cookie)),
            Event::Handshake(_) | Event::Missed(_) => {}
        }
        sinks.publish(&judged.event);
    };
    while !*stop.borrow() {
        path.turn(&mut publish)?;
    }
    path.finish(&mut publish);
    Ok(())
}

/// Captures and gives each event to `take`, until it answers false.
pub fn capture(settings: &Settings, take: &mut dyn FnMut(Event) -> bool) -> anyhow::Result<()> {
    let (mut path, _kernel) = Path::open(settings)?;
    let mut wanted = true;
    while wanted {
        path.turn(&mut |judged| wanted = wanted && take(judged.event))?;
    }
    Ok(())
}

/// What the path counts, for whoever scrapes.
#[derive(Default)]
struct Numbers {
    delivered: AtomicU64,
    undecodable: AtomicU64,
    truncated_heads: AtomicU64,
    evicted_handshakes: AtomicU64,
    evicted_tunnels: AtomicU64,
    dropped_listener_segments: AtomicU64,
    forgotten: AtomicU64,
    handshakes: AtomicU64,
    tunnels: AtomicU64,
}

/// The stages between the kernel and the sinks.
struct Path {
    kernel: Arc<Kernel>,
    reader: Reader,
    pairing: Pairing,
    judge: Judge,
    numbers: Arc<Numbers>,
}

impl Path {
    fn open(settings: &Settings) -> anyhow::Result<(Self, Arc<Kernel>)> {
        let wanted =
            kernel::Settings { cgroup: settings.cgroup.clone(), ring_bytes: settings.ring_bytes };
        let (kernel, ring) = Kernel::attach(&wanted)?;
        let kernel = Arc::new(kernel);
        let limits = Limits { handshake_timeout: settings.handshake_timeout };
        let offset = clock::wall().saturating_sub(clock::monotonic());
        let path = Self {
            kernel: Arc::clone(&kernel),
            reader: Reader::new(ring),
            pairing: Pairing::new(limits, offset),
            judge: Judge::new(settings.policy.clone()),
            numbers: Arc::default(),
        };
        Ok((path, kernel))
    }

    /// Waits for records, takes them, and settles what waited long enough.
    fn turn(&mut self, out: &mut dyn FnMut(Judged)) -> anyhow::Result<()> {
        self.reader.wait()?;
        loop {
            let Self { reader, pairing, judge, .. } = self;
            let more = reader.drain(|record| {
                pairing.ring_record(record, &mut |seen| judge.observe(seen, out));
            });
            self.tick(out);
            if !more {
                return Ok(());
            }
        }
    }

    fn tick(&mut self, out: &mut dyn FnMut(Judged)) {
        let Self { kernel, pairing, judge, .. } = self;
        // Before a deadline is judged: was anything lost that may have been an answer?
        pairing.set_losses(kernel.count(Counter::RingFull) + kernel.count(Counter::StateRefused));
        let now = u64::try_from(clock::monotonic().as_nanos()).unwrap_or(u64::MAX);
        pairing.tick(now, &mut |seen| judge.observe(seen, out));
        judge.tick(clock::wall(), out);
        self.tell();
    }

    /// Takes what is left in the ring and settles everything.
    fn finish(&mut self, out: &mut dyn FnMut(Judged)) {
        let Self { reader, pairing, judge, .. } = self;
        while reader.drain(|record| {
            pairing.ring_record(record, &mut |seen| judge.observe(seen, out));
        }) {}
        let now = u64::try_from(clock::monotonic().as_nanos()).unwrap_or(u64::MAX);
        pairing.finish(now, &mut |seen| judge.observe(seen, out));
        judge.finish(out);
        self.tell();
    }

    /// Updates the numbers.
    fn tell(&self) {
        let Numbers {
            delivered,
            undecodable,
            truncated_heads,
            evicted_handshakes,
            evicted_tunnels,
            dropped_listener_segments,
            forgotten,
            handshakes,
            tunnels,
        } = &*self.numbers;
        let counters = self.pairing.counters();
        let (pending, open) = self.pairing.occupancy();
        for (number, value) in [
            (delivered, self.reader.delivered()),
            (undecodable, counters.undecodable),
            (truncated_heads, counters.truncated_heads),
            (evicted_handshakes, counters.evicted_handshakes),
            (evicted_tunnels, counters.evicted_tunnels),
            (dropped_listener_segments, counters.dropped_listener_segments),
            (forgotten, self.judge.forgotten()),
            (handshakes, pending as u64),
            (tunnels, open as u64),
        ] {
            number.store(value, Ordering::Relaxed);
        }
    }
}

/// The agent's own numbers at this moment.
fn stats(kernel: &Kernel, numbers: &Numbers) -> AgentStats {
    // What was delivered is read first: a record that comes in between is then seen, not delivered.
    let value = |number: &AtomicU64| number.load(Ordering::Relaxed);
    let delivered = value(&numbers.delivered);
    let kernel = kernel.stats();
    AgentStats {
        seen: kernel.count(Counter::Seen),
        delivered,
        lost: vec![("ring-full", kernel.count(Counter::RingFull))],
        heads_truncated: kernel.count(Counter::Truncated) + value(&numbers.truncated_heads),
        bounds: vec![
            ("state-refused", kernel.count(Counter::StateRefused)),
            ("decode-error", value(&numbers.undecodable)),
            ("handshakes", value(&numbers.evicted_handshakes)),
            ("connections", value(&numbers.evicted_tunnels)),
            ("listener-segments", value(&numbers.dropped_listener_segments)),
            ("evidence", value(&numbers.forgotten)),
        ],
        tables: vec![
            TableStats {
                name: "handshakes",
                entries: value(&numbers.handshakes),
                capacity: 32_768,
            },
            TableStats { name: "connections", entries: value(&numbers.tunnels), capacity: 262_144 },
        ],
        programs: kernel
            .programs
            .iter()
            .map(|program| ProgramStats {
                name: program.name,
                run_time: std::time::Duration::from_nanos(program.run_time_ns),
                run_count: program.run_count,
            })
            .collect(),
    }
}
