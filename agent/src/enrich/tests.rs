use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::fs::MetadataExt as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use super::{LAST_EVENTS, MISS, Owners, RECHECK, Settings, holder};
use crate::{
    clock::worked,
    event::{Event, Process, sample},
    handshake::{Connection, Role},
    judge::Judged,
};

/// A process that has the listener as its standard input; ended with the value.
struct Server(Child);

impl Server {
    fn start(listener: &TcpListener) -> Self {
        let input = OwnedFd::from(listener.try_clone().unwrap());
        Self(Command::new("sleep").arg("600").stdin(Stdio::from(input)).spawn().unwrap())
    }

    fn process(&self) -> Process {
        Process { started: Some(started(self.0.id())), ..Process::new(self.0.id(), "sleep".into()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// One test at a time: between fork and exec a new process holds the listeners of all threads.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen(address: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(address).unwrap();
    let local = listener.local_addr().unwrap();
    (listener, local)
}

fn connection(role: Role, local: SocketAddr, peer: SocketAddr) -> Connection {
    Connection { cookie: 7, role, local, peer, cgroup: 0, holder: None }
}

fn server(local: SocketAddr) -> Connection {
    connection(Role::Server, local, "192.0.2.1:40000".parse().unwrap())
}

fn owners() -> Owners {
    Owners::new("/nowhere", Settings::default()).unwrap()
}

/// When a process started, checked against the clock: no test runs for an hour, and none is started later.
fn started(pid: u32) -> String {
    let ticks = procfs::process::Process::new(pid.cast_signed()).unwrap().stat().unwrap().starttime;
    let text = holder::started(ticks);
    let then: jiff::Timestamp = text.parse().unwrap();
    let ago = jiff::Timestamp::now().duration_since(then).as_secs();
    assert!((0..3600).contains(&ago), "{text}");
    text
}

fn myself() -> Process {
    let stat = procfs::process::Process::myself().unwrap().stat().unwrap();
    Process {
        started: Some(started(std::process::id())),
        ..Process::new(std::process::id(), stat.comm)
    }
}

fn is_root() -> bool {
    let root = procfs::process::Process::myself().unwrap().uid().unwrap() == 0;
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

#[test]
fn an_event_names_the_process_that_listens_and_the_proxy_in_front() {
    let _alone = alone();
    let (_backend, backend) = listen("127.0.0.1:0");
    let (proxy, front) = listen("[::1]:0");
    let process = Server::start(&proxy);
    drop(proxy);
    let mut judged = Judged {
        event: Event::Handshake(sample::refused()),
        connection: server(backend),
        proxy: Some(server(front)),
        scene: None,
    };
    owners().name(&mut judged);
    let Event::Handshake(event) = judged.event else { panic!("{judged:?}") };
    assert_eq!(event.process, Some(myself()));
    assert_eq!(event.proxy, Some(process.process()));

    let mut judged = Judged {
        event: Event::Closure(sample::closure()),
        connection: server(front),
        proxy: None,
        scene: None,
    };
    owners().name(&mut judged);
    let Event::Closure(event) = judged.event else { panic!("{judged:?}") };
    assert_eq!(event.process, Some(process.process()));
}

#[test]
fn a_listener_on_all_addresses_is_found_for_each_unless_one_is_nearer() {
    let _alone = alone();
    let (any, local) = listen("0.0.0.0:0");
    let (dual, dual_local) = listen("[::]:0");
    let (on_any, on_dual) = (Server::start(&any), Server::start(&dual));
    drop((any, dual));
    let now = Instant::now();
    let mut owners = owners();
    for (address, port, want) in [
        ("127.0.0.1", local, &on_any),
        ("192.0.2.7", local, &on_any),
        ("127.0.0.1", dual_local, &on_dual),
        ("::1", dual_local, &on_dual),
        ("::ffff:127.0.0.1", dual_local, &on_dual),
    ] {
        let local = SocketAddr::new(address.parse().unwrap(), port.port());
        assert_eq!(owners.owner(&server(local), now).process, Some(want.process()), "{local}");
    }
    // A listener for IPv4 does not take IPv6.
    let local = SocketAddr::new("::1".parse().unwrap(), local.port());
    assert_eq!(owners.owner(&server(local), now).process, None);
}

#[test]
fn of_several_that_share_a_listener_a_worker_is_named_and_not_its_parent() {
    let _alone = alone();
    let (listener, local) = listen("127.0.0.1:0");
    let workers = [Server::start(&listener), Server::start(&listener)];
    let first = workers.iter().map(|worker| worker.0.id()).min();
    let named = owners().owner(&server(local), Instant::now());
    assert_eq!(named.process.map(|process| process.pid), first);
}

#[test]
fn a_client_is_named_while_its_connection_is_open_and_again_when_that_has_ended() {
    let _alone = alone();
    let (listener, local) = listen("127.0.0.1:0");
    let stream = TcpStream::connect(local).unwrap();
    let client = connection(Role::Client, stream.local_addr().unwrap(), local);
    let (mut owners, now) = (owners(), Instant::now());
    assert_eq!(owners.owner(&client, now).process, Some(myself()));
    drop((stream, listener));
    assert_eq!(owners.owner(&client, now + Duration::from_secs(3600)).process, Some(myself()));
    let other = Connection { cookie: 8, ..client };
    assert_eq!(owners.owner(&other, now).process, None);
}

#[test]
fn a_storm_is_served_from_memory() {
    let _alone = alone();
    let (_listener, local) = listen("127.0.0.1:0");
    let (vacant, nobody) = listen("127.0.0.1:0");
    drop(vacant);
    let (mut owners, now) = (owners(), Instant::now());
    for _ in 0..10_000 {
        assert_eq!(owners.owner(&server(local), now).process, Some(myself()));
        assert_eq!(owners.owner(&server(nobody), now).process, None);
    }
    assert_eq!(owners.counters().searches.load(Relaxed), 2);
    assert_eq!(owners.counters().not_found.load(Relaxed), 1);
    // What is still true is not searched again; what was missed is, after a while.
    let later = now + RECHECK.max(MISS);
    assert_eq!(owners.owner(&server(local), later).process, Some(myself()));
    assert_eq!(owners.counters().searches.load(Relaxed), 2);
    assert_eq!(owners.owner(&server(nobody), later).process, None);
    assert_eq!(owners.counters().searches.load(Relaxed), 3);
}

#[test]
fn searches_beyond_their_share_of_the_time_are_left_out_and_counted() {
    let _alone = alone();
    let (_listener, local) = listen("127.0.0.1:0");
    let (mut owners, now) = (owners(), Instant::now());
    owners.budget.spend(now, Duration::from_secs(60));
    assert_eq!(owners.owner(&server(local), now).process, None);
    assert_eq!(owners.counters().over_budget.load(Relaxed), 1);
    assert_eq!(
        owners.owner(&server(local), now + Duration::from_secs(600)).process,
        Some(myself())
    );
}

/// A busy host: the thread waits in the middle of its searches, and works no more for it.
#[test]
fn waiting_for_a_processor_is_not_counted_as_work() {
    let before = (Instant::now(), worked());
    std::thread::sleep(Duration::from_millis(300));
    let (passed, worked_then) = (before.0.elapsed(), worked().saturating_sub(before.1));
    assert!(worked_then < passed / 3, "{worked_then:?} of {passed:?}");
    let begin = worked();
    while worked() < begin + Duration::from_millis(20) {
        std::hint::spin_loop();
    }
}

#[test]
fn a_server_that_ended_is_named_for_its_last_events_and_then_its_successor() {
    let _alone = alone();
    let (listener, local) = listen("127.0.0.1:0");
    let old = Server::start(&listener);
    let was = old.process();
    drop(listener);
    let (mut owners, now) = (owners(), Instant::now());
    assert_eq!(owners.owner(&server(local), now).process, Some(was.clone()));
    drop(old);
    assert_eq!(owners.owner(&server(local), now + RECHECK).process, Some(was));
    assert_eq!(owners.owner(&server(local), now + LAST_EVENTS).process, None);

    let new = Server::start(&TcpListener::bind(local).unwrap());
    assert_eq!(owners.owner(&server(local), now + LAST_EVENTS + MISS).process, Some(new.process()));
}

#[test]
fn a_later_process_with_the_same_pid_or_another_socket_is_not_taken_for_the_owner() {
    let _alone = alone();
    let (listener, local) = listen("127.0.0.1:0");
    let process = Server::start(&listener);
    drop(listener);
    let pid = i32::try_from(process.0.id()).unwrap();
    let found = holder::find(&[pid], &server(local)).holder.unwrap();
    assert!(found.holds());
    assert!(!found.as_if_started_later().holds());
    assert!(!found.as_if_socket_was("socket:[1]").holds());
}

/// In a network namespace of its own: runs `inside` on a thread that is in it.
fn in_new_namespace<T: Send>(inside: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                // SAFETY: takes no pointer; moves this thread only.
                assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0);
                let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
                assert!(up.success());
                inside()
            })
            .join()
            .unwrap()
    })
}

#[test]
fn listeners_with_one_address_in_several_namespaces_are_told_apart_by_the_connection() {
    let _alone = alone();
    if !is_root() {
        return;
    }
    let (_here, local) = listen("127.0.0.1:0");
    let (process, connected, _open) = in_new_namespace(|| {
        let listener = TcpListener::bind(local).unwrap();
        let stream = TcpStream::connect(local).unwrap();
        let peer = stream.local_addr().unwrap();
        (Server::start(&listener), connection(Role::Server, local, peer), stream)
    });
    let (mut owners, now) = (owners(), Instant::now());
    assert_eq!(owners.owner(&connected, now).process, Some(process.process()));
    // Nothing tells: nobody is named rather than the wrong one.
    assert_eq!(owners.owner(&server(local), now).process, None);
    assert_eq!(owners.owner(&connected, now).process, Some(process.process()));
}

#[test]
fn an_address_tells_the_namespace() {
    let _alone = alone();
    if !is_root() {
        return;
    }
    let (_here, local) = listen("0.0.0.0:0");
    for (address, length) in [("192.0.2.99", 24), ("2001:db8::99", 64)] {
        let process = in_new_namespace(|| {
            let network = format!("{address}/{length}");
            let added = Command::new("ip").args(["addr", "add", &network, "dev", "lo"]).status();
            assert!(added.unwrap().success());
            Server::start(&TcpListener::bind(("::", local.port())).unwrap())
        });
        let local = SocketAddr::new(address.parse().unwrap(), local.port());
        assert_eq!(owners().owner(&server(local), Instant::now()).process, Some(process.process()));
    }
}

fn cgroup2() -> PathBuf {
    let mut mounts = procfs::process::Process::myself().unwrap().mountinfo().unwrap().into_iter();
    mounts.find(|mount| mount.fs_type == "cgroup2").unwrap().mount_point
}

/// A cgroup of its own; removed with the value.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(name: &str) -> (PathBuf, Self) {
        let root = cgroup2();
        let folder = root.join(format!("wstap-test-{}-{name}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        (root, Self(folder))
    }

    fn id(&self) -> u64 {
        fs::metadata(&self.0).unwrap().ino()
    }

    fn take(&self, server: &Server) {
        fs::write(self.0.join("cgroup.procs"), server.0.id().to_string()).unwrap();
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        fs::remove_dir(&self.0).unwrap();
    }
}

#[test]
fn the_cgroup_tells_the_namespace_too() {
    let _alone = alone();
    if !is_root() {
        return;
    }
    let (root, cgroup) = Cgroup::new("namespace");
    let (_here, local) = listen("127.0.0.1:0");
    let process = in_new_namespace(|| Server::start(&TcpListener::bind(local).unwrap()));
    cgroup.take(&process);
    let mut owners = Owners::new(root, Settings::default()).unwrap();
    let inside = Connection { cgroup: cgroup.id(), ..server(local) };
    assert_eq!(owners.owner(&inside, Instant::now()).process, Some(process.process()));
    // A listener that a process outside holds is found all the same.
    let (_passed_on, local) = listen("127.0.0.1:0");
    let inside = Connection { cgroup: cgroup.id(), ..server(local) };
    assert_eq!(owners.owner(&inside, Instant::now()).process, Some(myself()));
    drop(process);
}

/// Where the test below, running again without capabilities, finds what to ask for.
const CGROUP_AND_PORT: &str = "WSTAP_TEST_CGROUP_AND_PORT";

#[test]
fn without_capabilities_the_only_program_of_a_cgroup_is_named_and_nothing_fails() {
    if let Ok(told) = std::env::var(CGROUP_AND_PORT) {
        let (id, port) = told.split_once(' ').unwrap();
        let local = SocketAddr::new("127.0.0.1".parse().unwrap(), port.parse().unwrap());
        let mut owners = Owners::new(cgroup2(), Settings::default()).unwrap();
        let inside = Connection { cgroup: id.parse().unwrap(), ..server(local) };
        println!("named {:?}", owners.owner(&inside, Instant::now()).process);
        return;
    }
    if !is_root() {
        return;
    }
    let _alone = alone();
    let (_, cgroup) = Cgroup::new("unprivileged");
    let (listener, local) = listen("127.0.0.1:0");
    let process = Server::start(&listener);
    drop(listener);
    cgroup.take(&process);
    let name = "enrich::tests::\
                without_capabilities_the_only_program_of_a_cgroup_is_named_and_nothing_fails";
    let ask = |port: u16| {
        let output = Command::new("setpriv")
            .args(["--bounding-set=-all", "--inh-caps=-all"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(CGROUP_AND_PORT, format!("{} {port}", cgroup.id()))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let told = ask(local.port());
    // When it began is told to the clock's tick, by each process as it reads it.
    let named = format!(
        "named Some(Process {{ pid: {}, name: {:?}",
        process.process().pid,
        process.process().name
    );
    assert!(told.contains(&named), "{told}");
    // It does not listen there.
    let told = ask(local.port() ^ 1);
    assert!(told.contains("named None"), "{told}");
    drop(process);
}
