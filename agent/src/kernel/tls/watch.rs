//! The thread that attaches: looks at processes as they come, and lets go of those that cost too much.

use std::{
    collections::{BTreeMap, HashMap, HashSet, hash_map::Entry},
    io,
    num::NonZeroUsize,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use aya::{
    Ebpf,
    maps::{HashMap as BpfHashMap, MapData},
};
use lru::LruCache;

use super::{
    Process, Settings, Shared, State, Wanted,
    library::{self, PROGRAMS, Plan},
    price,
    process::{self, Mapped},
    uprobe::{Means, Place, Programs},
};

/// How many processes are probed at once. At the bound the next one is left out, and counted.
const PROCESSES_MAX: usize = 256;
/// How many files' functions are remembered. At the bound the one that was longest not asked for is read again.
const FILES_MAX: NonZeroUsize = NonZeroUsize::new(256).unwrap();
/// How often processes are looked for.
const TURN: Duration = Duration::from_millis(200);
/// How often it is looked whether an id is another process's by now.
const RECHECK: Duration = Duration::from_secs(5);
/// How old a process is when it is looked at again: libraries are loaded, and sockets bound, a while after the start.
const AGES: [Duration; 4] =
    [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];
/// How long a process that cost too much is let go.
const REST: Duration = Duration::from_secs(30);
/// The share of one processor that probes in one process may take, by default.
pub const BUDGET: f64 = 0.02;

/// A process that was seen.
struct Seen {
    began: u64,
    first: Instant,
    /// How often it was looked at.
    looks: usize,
    state: Option<State>,
    comm: String,
    /// In its code, until they are dropped.
    links: Vec<OwnedFd>,
    /// What was attached, for when it may be again.
    plans: Vec<(Mapped, Vec<Place>)>,
    /// Hits at the last look.
    hits: u64,
    rests_until: Option<Instant>,
}

/// What the thread does.
pub(crate) struct Watch {
    wanted: Wanted,
    programs: Programs,
    hits: BpfHashMap<MapData, u32, u64>,
    /// What a call through a probe costs here.
    hit: Duration,
    /// How many hits a process may have in a turn.
    budget: u64,
    files: LruCache<(u64, u64, i64), Plan>,
    seen: HashMap<u32, Seen>,
    rechecked: Instant,
    report: Shared,
}

/// Ends the thread and with it every link.
pub(crate) struct Stop {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic there has been told already.
            let _ = thread.join();
        }
    }
}

/// Starts the thread. It must be called before this thread gives up its capabilities.
pub(crate) fn start(mut watch: Watch) -> io::Result<Stop> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let (ready, looked) = std::sync::mpsc::sync_channel(0);
    let thread = thread::Builder::new().name("tls".to_owned()).spawn(move || {
        watch.keep_what_it_needs();
        watch.turn(Instant::now());
        // Nobody waits when the agent ends meanwhile.
        let _ = ready.send(());
        while !told.load(Ordering::Relaxed) {
            thread::park_timeout(TURN);
            watch.turn(Instant::now());
        }
    })?;
    // What runs already is probed before the agent says that it is ready.
    let _ = looked.recv();
    Ok(Stop { stop, thread: Some(thread) })
}

impl Watch {
    /// Loads the family's programs. `Err` says why the family cannot be had here.
    pub(crate) fn load(
        object: &[u8],
        ebpf: &mut Ebpf,
        settings: &Settings,
    ) -> Result<Self, String> {
        let report = Shared::default();
        let programs = Programs::load(object, ebpf, &PROGRAMS)?;
        let hits =
            ebpf.take_map("TLS_HITS").ok_or("the BPF object has no TLS_HITS: rebuild wstap")?;
        let hits = BpfHashMap::try_from(hits).map_err(|error| error.to_string())?;
        report.write(|report| report.means = programs.means().name());
        let hit = price::of_a_hit(&programs).unwrap_or(price::USUAL);
        // The share of a turn's time that hits may take.
        let budget = TURN.mul_f64(settings.budget).as_nanos() / hit.as_nanos().max(1);
        let budget = u64::try_from(budget.max(1)).unwrap_or(u64::MAX);
        tracing::debug!(
            ?hit,
            "TLS: what a call through a probe costs here; a process may make {budget} in a turn"
        );
        let (files, seen) = (LruCache::new(FILES_MAX), HashMap::new());
        let wanted = settings.wanted.clone();
        Ok(Self {
            wanted,
            programs,
            hits,
            hit,
            budget,
            files,
            seen,
            rechecked: Instant::now(),
            report,
        })
    }

    /// By which means the programs attach.
    pub(crate) fn means(&self) -> &'static str {
        self.programs.means().name()
    }

    /// What a call through a probe costs on this host.
    pub(crate) fn price(&self) -> Duration {
        self.hit
    }

    /// Where it reports what became of each process.
    pub(crate) fn report(&self) -> Shared {
        self.report.clone()
    }

    /// Gives up every capability that attaching does without.
    fn keep_what_it_needs(&self) {
        let needs_admin = self.programs.means() == Means::Perf;
        if let Err(error) = super::super::privileges::keep_for_probes(needs_admin) {
            tracing::warn!("the TLS thread cannot give up its capabilities: {error}");
        }
    }

    /// Looks at what came and went.
    fn turn(&mut self, now: Instant) {
        let all = process::all();
        let alive: HashSet<u32> = all.iter().copied().collect();
        let recheck = now.saturating_duration_since(self.rechecked) >= RECHECK;
        if recheck {
            self.rechecked = now;
        }
        self.seen.retain(|pid, seen| {
            alive.contains(pid) && (!recheck || process::began(*pid) == Some(seen.began))
        });
        let own = std::process::id();
        for pid in all.into_iter().filter(|pid| *pid != own) {
            let seen = match self.seen.entry(pid) {
                Entry::Occupied(seen) => seen.into_mut(),
                Entry::Vacant(new) => match process::began(pid) {
                    Some(began) => new.insert(Seen::new(began, now)),
                    None => continue,
                },
            };
            let age = now.saturating_duration_since(seen.first);
            if seen.links.is_empty()
                && seen.rests_until.is_none()
                && AGES.get(seen.looks).is_some_and(|due| age >= *due)
            {
                seen.looks += 1;
                self.look(pid);
            }
        }
        self.keep_budgets(now);
        let mut processes: BTreeMap<u32, Process> = BTreeMap::new();
        for (pid, seen) in &self.seen {
            if let Some(state) = seen.state.clone() {
                processes.insert(*pid, Process { pid: *pid, comm: seen.comm.clone(), state });
            }
        }
        self.report.write(|report| report.processes = processes.into_values().collect());
    }

    fn look(&mut self, pid: u32) {
        let names = process::names(pid);
        let named = self.wanted.names(&names);
        if !named && (self.wanted != Wanted::Auto || !process::listens(pid)) {
            return;
        }
        let (state, plans) = plans(pid, named, &mut self.files);
        let full =
            self.seen.values().filter(|seen| !seen.links.is_empty()).count() >= PROCESSES_MAX;
        let Some(seen) = self.seen.get_mut(&pid) else { return };
        (seen.comm, seen.plans) = (names.0, plans);
        seen.state = state;
        if seen.plans.is_empty() {
            return;
        }
        if full {
            seen.state =
                Some(State::Refused(format!("{PROCESSES_MAX} processes are probed already")));
            self.report.write(|report| report.beyond += 1);
            return;
        }
        self.attach(pid);
    }

    fn attach(&mut self, pid: u32) {
        let Some(seen) = self.seen.get_mut(&pid) else { return };
        for (file, places) in &seen.plans {
            match self.programs.attach(&file.open.to_string_lossy(), places, pid) {
                Ok(links) => seen.links.extend(links),
                Err(error) => {
                    // A half of the calls would be worse than none.
                    seen.links.clear();
                    seen.state = Some(State::Refused(format!("{}: {error}", file.path.display())));
                    tracing::debug!(pid, path = %file.path.display(), %error, "TLS: not attached");
                    return;
                }
            }
        }
        seen.hits = self.hits.get(&pid, 0).unwrap_or(0);
        tracing::debug!(pid, comm = seen.comm, links = seen.links.len(), "TLS: probed");
    }

    /// Lets go of processes whose probes cost more than they may, and takes those back that rested.
    fn keep_budgets(&mut self, now: Instant) {
        let mut back = Vec::new();
        for (pid, seen) in &mut self.seen {
            if seen.rests_until.is_some_and(|until| now >= until) {
                seen.rests_until = None;
                back.push(*pid);
            }
            if seen.links.is_empty() {
                continue;
            }
            let hits = self.hits.get(pid, 0).unwrap_or(seen.hits);
            let new = hits.saturating_sub(seen.hits);
            seen.hits = hits;
            if new > self.budget
                && let Some(State::Probed(library)) = seen.state
            {
                seen.links.clear();
                seen.rests_until = Some(now + REST);
                seen.state = Some(State::OverBudget(library));
                self.report.write(|report| report.let_go += 1);
                tracing::info!(
                    pid,
                    comm = seen.comm,
                    hits = new,
                    "TLS: let go for {REST:?}: more hits than its budget"
                );
            }
        }
        for pid in back {
            if let Some(seen) = self.seen.get_mut(&pid)
                && let Some(State::OverBudget(library)) = seen.state
            {
                seen.state = Some(State::Probed(library));
            }
            self.attach(pid);
        }
    }
}

impl Seen {
    fn new(began: u64, first: Instant) -> Self {
        Self {
            began,
            first,
            looks: 0,
            state: None,
            comm: String::new(),
            links: Vec::new(),
            plans: Vec::new(),
            hits: 0,
            rests_until: None,
        }
    }
}

type Plans = (Option<State>, Vec<(Mapped, Vec<Place>)>);

/// What can be probed in a process.
fn plans(pid: u32, costly: bool, files: &mut LruCache<(u64, u64, i64), Plan>) -> Plans {
    let (mut state, mut plans) = (None, Vec::new());
    let mut inodes = HashSet::new();
    for file in process::files(pid) {
        if !inodes.insert(file.file) {
            continue;
        }
        let plan = match files.get(&file.file) {
            Some(plan) if !costly => plan.clone(),
            _ => {
                let Ok(open) = file.open() else {
                    state = Some(State::Refused(format!(
                        "{} cannot be opened: binaries of containers need CAP_SYS_PTRACE",
                        file.path.display()
                    )));
                    continue;
                };
                let plan = library::plan(&file.path, open, costly);
                if !costly {
                    files.put(file.file, plan.clone());
                }
                plan
            }
        };
        match plan {
            Plan::Nothing => {}
            Plan::Not(why) => state = state.or(Some(State::Refused(why))),
            Plan::Places { library, places } => {
                state = Some(State::Probed(library));
                plans.push((file, places));
            }
        }
    }
    (state, plans)
}

/// What `auto` would find on this host, without attaching: for `wstap doctor`.
pub fn look() -> Vec<Process> {
    let mut files = LruCache::new(FILES_MAX);
    let own = std::process::id();
    let mut found: Vec<Process> = process::all()
        .into_iter()
        .filter(|pid| *pid != own && process::listens(*pid))
        .filter_map(|pid| {
            let (state, _) = plans(pid, false, &mut files);
            Some(Process { pid, comm: process::names(pid).0, state: state? })
        })
        .collect();
    found.sort_by_key(|process| process.pid);
    found
}
