//! The live data path: kernel -> ring -> pairing -> judge on one thread, names and sinks on another.
//!
//! The only module that knows all stages. In: settings. Out: events, and the agent's own numbers.

use std::{
    collections::HashMap,
    fmt::Write as _,
    path::{Path as FsPath, PathBuf},
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError, TrySendError},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use wstap_common::{counters::Counter, record::Record};

use crate::{
    cli::{Capture, Stop},
    clock,
    config::Settings,
    enrich::{self, Owners},
    event::{Event, Ids, Outcome},
    handshake::{Limits, Observation, Pairing},
    judge::{Judge, Judged},
    kernel::{self, Family, FolderNews, Kernel},
    ring::{Pace, Reader, Wait},
    selftest::{News, Report, SelfTest},
    sink::{ActiveConnection, Sinks},
};

mod numbers;

use numbers::Numbers;

/// How many open connections the gauge follows. Beyond the bound they are not counted.
const ACTIVE_MAX: usize = 256 * 1024;

/// How many events may wait for their names. At the bound an event goes on without them and is counted:
/// it never waits.
const UNNAMED_MAX: usize = 8192;

/// Workloads that have gone are looked for so often when there is no event.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// What was read is much when it had so many bytes; a reading that finds nothing then gives memory back.
const BUSY_BYTES: u64 = 16 << 20;

/// How far the time of day must have been set to be read again: reading two clocks takes a moment.
const CLOCK_STEP: Duration = Duration::from_millis(10);

/// The nice value of the threads that read and judge: against a busy thread of nice 0 on the same processor they
/// get a tenth of it (sched(7)).
const NICE: i32 = 10;

/// Attaches and gives up what that took.
pub fn attach(settings: &Settings) -> anyhow::Result<Capture> {
    let (path, cgroup) = Path::open(settings)?;
    match path.kernel.shed_privileges() {
        Ok(kept) => tracing::debug!(?kept, "attached; the other capabilities are given up"),
        Err(error) => tracing::warn!("attached, but the capabilities cannot be given up: {error}"),
    }
    let settings = settings.clone();
    Ok(Box::new(move |sinks, stop| run(path, cgroup.as_deref(), &settings, sinks, stop)))
}

/// Captures until `stop` turns true and publishes to the sinks.
fn run(
    mut path: Path,
    cgroup: Option<&FsPath>,
    settings: &Settings,
    sinks: Arc<Sinks>,
    stop: Stop,
) -> anyhow::Result<()> {
    give_way();
    give_back();
    let mut owners = Owners::new(cgroup.unwrap_or_else(|| FsPath::new("")), naming(settings))?;
    let (kernel, numbers, naming) =
        (Arc::clone(&path.kernel), Arc::clone(&path.numbers), owners.counters());
    sinks.set_stats_source(move || numbers.stats(&kernel, &naming));
    path.begin_self_test(cgroup)?;
    if path.own.is_none() {
        tracing::warn!(
            "no self-test: the agent itself is not in {}, so its own handshake would not be seen",
            cgroup.unwrap_or_else(|| FsPath::new("")).display()
        );
        sinks.set_ready();
    }
    let (waiting, names) = mpsc::sync_channel::<Judged>(UNNAMED_MAX);
    let for_owners = Arc::clone(&sinks);
    let owners = thread::Builder::new().name("owners".to_owned()).spawn(move || {
        loop {
            match names.recv_timeout(HOUSEKEEPING) {
                Ok(mut judged) => {
                    owners.name(&mut judged);
                    for_owners.publish(&judged.event);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // On the thread that counts: no event of theirs can come in between.
            owners.gone().iter().for_each(|workload| for_owners.forget(workload));
        }
    })?;
    let mut open = OpenConnections::default();
    let numbers = Arc::clone(&path.numbers);
    let mut ids = Ids::default();
    let mut publish = |mut judged: Judged| {
        ids.give(&mut judged.event);
        open.follow(&judged, &sinks);
        if !sinks.wants_names(&judged.event) {
            sinks.publish(&judged.event);
        } else if let Err(unnamed) = waiting.try_send(judged) {
            numbers.count_unnamed();
            let (TrySendError::Full(judged) | TrySendError::Disconnected(judged)) = unnamed;
            sinks.publish(&judged.event);
        }
    };
    while !*stop.borrow() {
        path.turn(&mut publish)?;
        path.tell_readiness(&sinks);
        match path.follow_folder() {
            Some(FolderNews::Gone(why)) => sinks.set_not_ready(&why),
            Some(FolderNews::Back(_)) => sinks.set_ready(),
            None => {}
        }
    }
    path.finish(&mut publish);
    drop(waiting);
    // It ends with the channel; a panic there has been told already.
    let _ = owners.join();
    sinks.finish();
    Ok(())
}

/// Gives free memory back to the kernel. The C library keeps what reading the kernel's types or a storm took.
fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// What is watched goes before the watching: on a processor that has no time left, records wait for this thread in
/// the ring, and are lost there and counted before the servers get slower.
fn give_way() {
    // It can only be refused by a seccomp filter, and is not worth a failure then.
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "the capture keeps its priority");
    }
}

/// What the naming is asked for.
fn naming(settings: &Settings) -> enrich::Settings {
    enrich::Settings {
        cri_socket: settings.cri_socket.clone(),
        pod_labels: settings.pod_labels.clone(),
        workload_grace: settings.workload_grace,
    }
}

/// Captures and gives each event to `take`, until it answers false.
pub fn capture(settings: &Settings, take: &mut dyn FnMut(Event) -> bool) -> anyhow::Result<()> {
    let (mut path, cgroup) = Path::open(settings)?;
    let mut owners = Owners::new(
        cgroup.unwrap_or_default(),
        enrich::Settings { workload_grace: None, ..naming(settings) },
    )?;
    let mut wanted = true;
    let mut ids = Ids::default();
    while wanted {
        path.turn(&mut |mut judged| {
            ids.give(&mut judged.event);
            owners.name(&mut judged);
            wanted = wanted && take(judged.event);
        })?;
        path.follow_folder();
    }
    Ok(())
}

/// Attaches, makes a handshake of its own, says whether it was seen, and detaches.
pub fn self_test(settings: &Settings) -> anyhow::Result<(Vec<Family>, Report)> {
    let (mut path, cgroup) = Path::open(settings)?;
    let families = path.kernel.families().to_vec();
    path.begin_self_test(cgroup.as_deref())?;
    while path.own.is_some() {
        path.turn(&mut |_| {})?;
        if let Some(news) = path.self_test_news() {
            return Ok((families, Report::Tried(news)));
        }
    }
    Ok((families, Report::Outside))
}

/// What is watched by which hooks, and why.
fn tell_choice(families: &[Family]) {
    for Family { name, sockets, means, reason } in families {
        if sockets.is_empty() {
            tracing::info!("hooks: no {name} hooks: {reason}");
        } else {
            tracing::info!("hooks: {sockets} by the {name} hooks ({means}): {reason}");
        }
    }
}

/// The connections that the gauge counts.
#[derive(Default)]
struct OpenConnections(HashMap<u64, ActiveConnection>);

impl OpenConnections {
    fn follow(&mut self, judged: &Judged, sinks: &Sinks) {
        let cookie = judged.connection.cookie;
        match &judged.event {
            // At the bound a connection is not counted: none is counted twice or for ever.
            Event::Handshake(event)
                if event.outcome == Outcome::Accepted && self.0.len() < ACTIVE_MAX =>
            {
                if sinks.leaves_out(event.audit.as_ref().map(|audit| &*audit.mark)) {
                    return;
                }
                let open = sinks.connection_opened(event.role, event.origin.as_deref());
                self.0.insert(cookie, open);
            }
            Event::Closure(_) => drop(self.0.remove(&cookie)),
            _ => {}
        }
    }
}

/// The stages between the kernel and the sinks.
struct Path {
    kernel: Arc<Kernel>,
    reader: Reader,
    ring_bytes: u64,
    /// How many bytes had been read when memory was given back.
    given_back: u64,
    pace: Pace,
    wait: Wait,
    pairing: Pairing,
    judge: Judge,
    /// The calls that the probes missed, and when that was read.
    missed: (u64, u64),
    /// From the records' clock to the time of day.
    offset: Duration,
    numbers: Arc<Numbers>,
    /// What the BPF programs say, when somebody listens.
    log: Option<kernel::Log>,
    /// The self-test, where there is one: what it made goes no further than the pairing.
    own: Option<SelfTest>,
}

impl Path {
    /// The path, and the cgroup that it captures.
    fn open(settings: &Settings) -> anyhow::Result<(Self, Option<PathBuf>)> {
        let cgroup = settings.cgroup.clone().or_else(kernel::cgroup2_mount);
        let wanted = kernel::Settings {
            hooks: settings.hooks,
            cgroup: cgroup.clone(),
            ring_bytes: settings.ring_bytes,
            tls: settings.tls.clone(),
        };
        let (kernel, ring, log) = Kernel::attach(&wanted)?;
        kernel::close_memory();
        tell_choice(kernel.families());
        let limits = Limits { handshake_timeout: settings.handshake_timeout };
        let offset = clock::wall().saturating_sub(clock::monotonic());
        let path = Self {
            kernel: Arc::new(kernel),
            reader: Reader::new(ring),
            ring_bytes: settings.ring_bytes.into(),
            given_back: 0,
            pace: Pace::default(),
            wait: Wait::No,
            pairing: Pairing::new(limits, offset),
            judge: Judge::new(settings.policy.clone()).with_answer_text(settings.answer_text),
            missed: (0, 0),
            offset,
            numbers: Arc::default(),
            log,
            own: None,
        };
        Ok((path, cgroup))
    }

    /// Begins the self-test, unless the agent's own traffic is not seen in this cgroup.
    fn begin_self_test(&mut self, cgroup: Option<&FsPath>) -> anyhow::Result<()> {
        if cgroup.is_none_or(kernel::holds_this_process) {
            let test = SelfTest::new(Instant::now()).context(
                "cannot listen on 127.0.0.1 for the self-test: bring loopback up (ip link set lo up)",
            )?;
            self.own = Some(test);
        }
        Ok(())
    }

    /// What has become of the folder that is watched, said in the log too.
    fn follow_folder(&self) -> Option<FolderNews> {
        let news = self.kernel.follow_folder(Instant::now())?;
        match &news {
            FolderNews::Gone(why) => tracing::error!("{why}"),
            FolderNews::Back(what) => tracing::info!("{what}"),
        }
        Some(news)
    }

    /// The time of day may be set, and a suspended host's clock stands still meanwhile.
    fn follow_clock(&mut self, out: &mut dyn FnMut(Judged)) {
        let offset = clock::wall().saturating_sub(clock::monotonic());
        if offset.abs_diff(self.offset) >= CLOCK_STEP {
            // What waits would wait by the old time.
            self.judge.finish(out);
            self.offset = offset;
            self.pairing.set_wall_offset(offset);
        }
    }

    /// What the self-test has to say now.
    fn self_test_news(&mut self) -> Option<News> {
        let mut news = self.own.as_mut()?.turn(Instant::now())?;
        let refused = self.kernel.count(Counter::StateRefused);
        if let News::Blind(missing) = &mut news
            && refused > 0
        {
            let _ = write!(
                missing,
                ": the kernel refused {refused} times to store a connection's state: raise \
                 net.core.optmem_max (sysctl -w net.core.optmem_max=20480)"
            );
        }
        Some(news)
    }

    /// Ready is an agent that saw its own handshake.
    fn tell_readiness(&mut self, sinks: &Sinks) {
        match self.self_test_news() {
            Some(News::Sees(after)) => {
                tracing::debug!("self-test: its own handshake was seen after {after:?}");
                sinks.set_ready();
            }
            Some(News::Blind(missing)) => {
                tracing::error!(
                    "attached, but blind: {missing}; it goes on trying: `wstap doctor` says more"
                );
                sinks.set_not_ready(&format!("attached, but blind: {missing}"));
            }
            None => {}
        }
    }

    /// Waits for records, takes them, at most as many as the ring holds, and settles what waited long enough.
    fn turn(&mut self, out: &mut dyn FnMut(Judged)) -> anyhow::Result<()> {
        self.reader.wait(self.wait)?;
        if let Some(log) = &mut self.log {
            log();
        }
        let (began, bytes) = (clock::monotonic(), self.reader.bytes());
        loop {
            let Self { reader, pairing, judge, own, .. } = self;
            // Time has passed as far as the records are read: what waits for one must not be settled
            // while it lies in the ring, however long this thread was kept from running.
            let mut now = monotonic_ns();
            let mut newest = 0;
            let more = reader.drain(|record| {
                newest = Record::split(record).map_or(newest, |(record, _)| record.time_ns);
                pairing.ring_record(record, &mut |seen| judge_others(own, judge, seen, out));
            });
            if more {
                now = newest;
            }
            self.tick(now, out);
            let read = self.reader.bytes();
            if read == bytes && read - self.given_back >= BUSY_BYTES {
                self.given_back = read;
                give_back();
            }
            if !more || read - bytes >= self.ring_bytes {
                let (delivered, shed) = (self.reader.delivered(), self.kernel.count(Counter::Shed));
                self.wait = self.pace.next((began, clock::monotonic()), delivered, shed, more);
                return Ok(());
            }
        }
    }

    fn tick(&mut self, now: u64, out: &mut dyn FnMut(Judged)) {
        // Before a deadline is judged: was anything lost that may have been an answer? Of a request that was shed
        // nobody waits for one.
        let losses = self.losses(now);
        self.follow_clock(out);
        let Self { pairing, judge, offset, own, .. } = self;
        pairing.set_losses(monotonic_ns(), losses);
        pairing.tick(now, &mut |seen| judge_others(own, judge, seen, out));
        judge.tick(*offset + Duration::from_nanos(now), out);
        self.numbers.update(&self.reader, &self.pairing, &self.judge);
    }

    /// What was lost so far. The calls that were missed cost a question for each program: those are asked once a
    /// second, and when it matters.
    fn losses(&mut self, now: u64) -> u64 {
        let (missed, asked) = &mut self.missed;
        if now.saturating_sub(*asked) >= 1_000_000_000 || self.pairing.is_due(now) {
            (*missed, *asked) = (self.kernel.missed_calls(), now);
        }
        let lost = [Counter::RingFull, Counter::StateRefused].map(|lost| self.kernel.count(lost));
        *missed + lost.iter().sum::<u64>()
    }

    /// Takes what is left in the ring and settles everything.
    fn finish(&mut self, out: &mut dyn FnMut(Judged)) {
        let Self { reader, pairing, judge, own, .. } = self;
        while reader.drain(|record| {
            pairing.ring_record(record, &mut |seen| judge_others(own, judge, seen, out));
        }) {}
        pairing.finish(monotonic_ns(), &mut |seen| judge_others(own, judge, seen, out));
        judge.finish(out);
        self.numbers.update(&self.reader, &self.pairing, &self.judge);
    }
}

/// The records' clock.
fn monotonic_ns() -> u64 {
    u64::try_from(clock::monotonic().as_nanos()).unwrap_or(u64::MAX)
}

/// Judges what is not the self-test's.
fn judge_others(
    own: &mut Option<SelfTest>,
    judge: &mut Judge,
    seen: Observation,
    out: &mut dyn FnMut(Judged),
) {
    if !own.as_mut().is_some_and(|own| own.takes(&seen)) {
        judge.observe(seen, out);
    }
}
