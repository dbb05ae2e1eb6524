//! Why a connection ended without a close frame: the reasons of [`Closure`]s.
//!
//! In: closures, as they are seen. Out: the same, a moment later where others of the same moment matter, with a
//! reason where there is one. No clock: time comes with the closures and with [`Endings::tick`].
//! Bounds: [`SERVICES`], [`RECENT`], [`HOLD`], [`HELD`].

use std::{
    collections::{BTreeSet, VecDeque},
    num::NonZeroUsize,
    ops::ControlFlow,
    time::Duration,
};

use lru::LruCache;

use super::Confidence;
use crate::handshake::{CloseBy, Closure, End, Role, Service};

/// The ends of connections of at most so many services are remembered; the one that was longest quiet goes
/// first, and is counted.
pub const SERVICES: NonZeroUsize = NonZeroUsize::new(256).unwrap();
/// Of one service so many ends are remembered; older ones no longer count.
pub const RECENT: usize = 32;
/// An end by the server's side waits so long for others: what ends together has one reason.
pub const HOLD: Duration = Duration::from_secs(1);
/// At most so many wait; at the bound the oldest goes on without waiting longer, and is counted.
pub const HELD: usize = 8192;

/// So many connections that the server's side drops within [`HOLD`] are one event.
const TOGETHER: usize = 3;
/// So many ends after the same silence, at different times, are a timer's; see [`SURE_TIMER`].
const TIMER: usize = 3;
/// So many leave no doubt.
const SURE_TIMER: usize = 6;
/// A silence shorter than this is no timer's: too many things end soon after they spoke.
const SILENCE: Duration = Duration::from_secs(10);
/// A pong takes no longer than this, as heartbeats go.
const PONG: Duration = Duration::from_secs(1);
/// The idle timeouts that proxies and load balancers have by default, in seconds: nginx, AWS ALB and Traefik 60,
/// Cloudflare 100, Azure 240, Envoy and Apache 300, AWS NLB 350, HAProxy's and GCP's examples 600 and 3600.
const DEFAULTS: &[u64] = &[60, 100, 240, 300, 350, 600, 3600];

/// Why a connection ended abnormally. The codes are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A rule of RFC 6455 section 5 was broken.
    ProtocolError,
    /// A timer ended a connection that was silent.
    IdleTimeout,
    /// The end that closed had asked with pings and got no pong.
    PingUnanswered,
    /// The server's side dropped many connections at once.
    BackendGone,
    /// The client's side closed TCP without a word.
    ClientGone,
    /// An RST ended it, and nothing tells more.
    Reset,
    /// Neither side sent a FIN or RST: the other end vanished, and the kernel gave up.
    TimedOut,
}

impl Reason {
    /// Every one.
    pub const ALL: &[Self] = &[
        Self::ProtocolError,
        Self::IdleTimeout,
        Self::PingUnanswered,
        Self::BackendGone,
        Self::ClientGone,
        Self::Reset,
        Self::TimedOut,
    ];

    /// What it means, in one sentence.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::ProtocolError => "a rule of RFC 6455 section 5 was broken",
            Self::IdleTimeout => "a timer ends connections that are silent",
            Self::PingUnanswered => "the end that closed had asked with pings and got no pong",
            Self::BackendGone => "the server's side dropped many connections at once",
            Self::ClientGone => "the client's side closed TCP without a word",
            Self::Reset => "an RST ended the connection, and nothing tells more",
            Self::TimedOut => "the other end vanished, and the kernel gave up",
        }
    }

    /// The code, as in events.
    pub const fn code(self) -> &'static str {
        match self {
            Self::ProtocolError => "protocol-error",
            Self::IdleTimeout => "idle-timeout",
            Self::PingUnanswered => "ping-unanswered",
            Self::BackendGone => "backend-gone",
            Self::ClientGone => "client-gone",
            Self::Reset => "reset",
            Self::TimedOut => "timed-out",
        }
    }
}

/// A reason and how sure it is.
pub type Why = (Reason, Confidence);

/// Whose ends are compared: what the same end of the same service does.
type Place = (Role, Option<End>, Service);

/// One remembered end.
#[derive(Clone, Copy, Debug)]
struct Ended {
    at: Duration,
    idle: Duration,
}

/// A bounded memory of how connections ended, and the ends that wait for others.
#[derive(Debug)]
pub struct Endings {
    services: LruCache<Place, VecDeque<Ended>>,
    held: VecDeque<Closure>,
    forgotten: u64,
}

impl Default for Endings {
    fn default() -> Self {
        Self { services: LruCache::new(SERVICES), held: VecDeque::new(), forgotten: 0 }
    }
}

type Out<'a> = &'a mut dyn FnMut(Closure, Option<Why>);

impl Endings {
    /// How many services were forgotten, and ends not held, at a bound.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Takes the end of a connection.
    pub fn take(&mut self, closure: Closure, out: Out<'_>) {
        self.tick(closure.time, out);
        if let ControlFlow::Break(why) = alone(&closure) {
            out(closure, why);
            return;
        }
        self.remember(&closure);
        if by_server(&closure) != Some(true) {
            let why = self.why(&closure);
            out(closure, why);
            return;
        }
        if self.held.len() >= HELD
            && let Some(oldest) = self.held.pop_front()
        {
            self.forgotten += 1;
            let why = self.why(&oldest);
            out(oldest, why);
        }
        self.held.push_back(closure);
    }

    /// The time is `now`, since the Unix epoch: tells what waited long enough.
    pub fn tick(&mut self, now: Duration, out: Out<'_>) {
        while self.held.front().is_some_and(|held| held.time + HOLD <= now)
            && let Some(closure) = self.held.pop_front()
        {
            let why = self.why(&closure);
            out(closure, why);
        }
    }

    /// Nothing more will come: tells everything.
    pub fn finish(&mut self, out: Out<'_>) {
        self.tick(Duration::MAX, out);
    }

    fn remember(&mut self, closure: &Closure) {
        let place = place(closure);
        if !self.services.contains(&place) {
            let evicted = self.services.push(place.clone(), VecDeque::new());
            self.forgotten += u64::from(evicted.is_some());
        }
        if let Some(recent) = self.services.get_mut(&place) {
            recent.truncate(RECENT - 1);
            recent.push_front(Ended { at: closure.time, idle: closure.idle });
        }
    }

    /// Why a connection ended that is not explained by itself.
    fn why(&self, closure: &Closure) -> Option<Why> {
        let recent = self.services.peek(&place(closure));
        let recent = || recent.into_iter().flatten();
        let server = by_server(closure);
        let alike = |end: &&Ended| same(end.idle, closure.idle);
        let together = || recent().filter(|end| end.at.abs_diff(closure.time) <= HOLD);
        let at_once = together().count() >= TOGETHER;
        let unlike = together().filter(|end| !alike(end)).count();
        if server == Some(true) && unlike + 1 >= TOGETHER {
            return Some((Reason::BackendGone, Confidence::Likely));
        }
        if closure.by == CloseBy::Fin && closure.idle >= SILENCE {
            // What spoke at the same moment falls silent at the same moment: it counts once.
            let moments: BTreeSet<u64> =
                recent().filter(alike).map(|end| end.at.as_secs() / 2).collect();
            let most = 2 * recent().filter(alike).count() > recent().count();
            let known = DEFAULTS.iter().any(|default| {
                let default = Duration::from_secs(*default);
                closure.idle + Duration::from_millis(200) >= default
                    && closure.idle <= default + default / 100 + Duration::from_secs(1)
            });
            let sure = match moments.len() {
                SURE_TIMER.. if most => Some(Confidence::Certain),
                TIMER.. if most || known => Some(Confidence::Likely),
                _ if known => Some(Confidence::Possible),
                _ => None,
            };
            if let Some(sure) = sure {
                return Some((Reason::IdleTimeout, sure));
            }
        }
        match (closure.by, server) {
            (_, Some(true)) if at_once => Some((Reason::BackendGone, Confidence::Possible)),
            (CloseBy::Rst, _) => Some((Reason::Reset, Confidence::Certain)),
            (CloseBy::Fin, Some(false)) => Some((Reason::ClientGone, Confidence::Possible)),
            _ => None,
        }
    }
}

/// What a closure says by itself, when others need not be asked.
fn alone(closure: &Closure) -> ControlFlow<Option<Why>> {
    if closure.violation.is_some() {
        // The other side says so itself.
        let sure = if closure.code == 1002 { Confidence::Certain } else { Confidence::Likely };
        return ControlFlow::Break(Some((Reason::ProtocolError, sure)));
    }
    if !closure.synchronised || (closure.by_close_frame && closure.code != 1011) {
        // A close frame may have passed unseen; or its code tells.
        return ControlFlow::Break(None);
    }
    let (asked, answered) = match closure.initiator {
        Some(End::Local) => (closure.pings_out, closure.pongs_in),
        Some(End::Peer) => (closure.pings_in, closure.pongs_out),
        None => (0, 0),
    };
    if asked > answered && closure.idle >= PONG {
        ControlFlow::Break(Some((Reason::PingUnanswered, Confidence::Likely)))
    } else if closure.by_close_frame {
        ControlFlow::Break(None)
    } else if closure.by == CloseBy::Timeout {
        ControlFlow::Break(Some((Reason::TimedOut, Confidence::Likely)))
    } else {
        ControlFlow::Continue(())
    }
}

/// Whether the server's side ended it.
fn by_server(closure: &Closure) -> Option<bool> {
    let local_serves = closure.connection.role == Role::Server;
    closure.initiator.map(|end| (end == End::Local) == local_serves)
}

fn place(closure: &Closure) -> Place {
    let connection = &closure.connection;
    (connection.role, closure.initiator, connection.service())
}

/// Whether two silences are as long as each other, as timers go.
fn same(one: Duration, other: Duration) -> bool {
    one.abs_diff(other) <= Duration::from_millis(500).max(one / 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::{Connection, Violation};

    /// An end without a close frame, of the `n`th connection of one listener.
    fn closure(n: u16, at_ms: u64, idle_ms: u64) -> Closure {
        Closure {
            connection: Connection {
                cookie: u64::from(n),
                role: Role::Server,
                local: "192.0.2.1:8080".parse().unwrap(),
                peer: std::net::SocketAddr::new("198.51.100.1".parse().unwrap(), 40_000 + n),
                cgroup: 0,
                holder: None,
            },
            handshake: None,
            time: Duration::from_millis(1_000_000_000 + at_ms),
            code: 1006,
            clean: false,
            initiator: Some(End::Local),
            by_close_frame: false,
            by: CloseBy::Fin,
            lasted: Duration::from_millis(idle_ms + 5000),
            older: false,
            idle: Duration::from_millis(idle_ms),
            messages_in: 1,
            messages_out: 1,
            pings_in: 0,
            pings_out: 0,
            pongs_in: 0,
            pongs_out: 0,
            synchronised: true,
            violation: None,
        }
    }

    fn reasons(closures: impl IntoIterator<Item = Closure>) -> Vec<Option<Why>> {
        let mut endings = Endings::default();
        let mut said = Vec::new();
        let mut count = 0;
        for closure in closures {
            count += 1;
            endings.take(closure, &mut |closure, why| said.push((closure.connection.cookie, why)));
        }
        endings.finish(&mut |closure, why| said.push((closure.connection.cookie, why)));
        assert_eq!(said.len(), count, "each is told once");
        said.sort_by_key(|(cookie, _)| *cookie);
        said.into_iter().map(|(_, why)| why).collect()
    }

    fn one(closure: Closure) -> Option<Why> {
        reasons([closure])[0]
    }

    #[test]
    fn a_broken_rule_is_certain_when_the_other_side_names_it() {
        let violation = Some((Violation::ReservedOpcode, End::Peer));
        let broken = Closure { violation, ..closure(1, 0, 5) };
        assert_eq!(one(broken.clone()), Some((Reason::ProtocolError, Confidence::Likely)));
        let named = Closure { code: 1002, by_close_frame: true, ..broken };
        assert_eq!(one(named), Some((Reason::ProtocolError, Confidence::Certain)));
    }

    #[test]
    fn a_close_frame_and_a_lost_place_have_no_reason() {
        let told = Closure { by_close_frame: true, code: 1011, ..closure(1, 0, 60_100) };
        assert_eq!(one(told), None);
        let unseen = Closure { synchronised: false, by: CloseBy::Rst, ..closure(1, 0, 60_100) };
        assert_eq!(one(unseen), None);
    }

    #[test]
    fn ends_after_the_same_silence_are_a_timer_whatever_its_length() {
        let ends = (0..8).map(|n| closure(n, u64::from(n) * 7000, 44_900 + u64::from(n) * 20));
        let said = reasons(ends);
        assert_eq!(said[0], None, "one silence of a length that nobody knows");
        assert_eq!(said[3], Some((Reason::IdleTimeout, Confidence::Likely)));
        assert_eq!(said[7], Some((Reason::IdleTimeout, Confidence::Certain)));
    }

    #[test]
    fn one_silence_of_a_known_length_is_possibly_a_timer() {
        assert_eq!(one(closure(1, 0, 60_050)), Some((Reason::IdleTimeout, Confidence::Possible)));
        assert_eq!(one(closure(1, 0, 47_000)), None);
        assert_eq!(one(closure(1, 0, 59_000)), None);
    }

    #[test]
    fn connections_that_end_together_after_different_silences_lost_their_backend() {
        let ends = (0..20).map(|n| closure(n, u64::from(n) * 5, 100 + u64::from(n) * 3100));
        for why in reasons(ends) {
            assert_eq!(why, Some((Reason::BackendGone, Confidence::Likely)));
        }
    }

    #[test]
    fn a_crash_after_a_broadcast_is_no_timer() {
        for idle in [17_000, 3] {
            let ends = (0..20).map(|n| closure(n, u64::from(n) * 5, idle + u64::from(n) * 5));
            for why in reasons(ends) {
                assert_eq!(why, Some((Reason::BackendGone, Confidence::Possible)), "{idle}");
            }
        }
    }

    #[test]
    fn connections_of_other_listeners_and_by_clients_do_not_make_a_burst() {
        let ends = (0..4).map(|n| {
            let mut end = closure(n, 0, u64::from(n) * 2000);
            end.connection.local.set_port(8080 + n % 2);
            end
        });
        assert_eq!(reasons(ends), [None; 4]);
        let gone = |n| Closure { initiator: Some(End::Peer), ..closure(n, 0, u64::from(n) * 2000) };
        let said = reasons((0..10).map(gone));
        assert_eq!(said, [Some((Reason::ClientGone, Confidence::Possible)); 10]);
    }

    #[test]
    fn the_servers_side_of_a_leg_to_a_backend_is_the_peer() {
        let ends = (0..5).map(|n| {
            let mut end = closure(n, 0, u64::from(n) * 2000);
            end.connection.role = Role::Client;
            end.connection.peer = "192.0.2.9:9000".parse().unwrap();
            end.initiator = Some(End::Peer);
            end
        });
        assert_eq!(reasons(ends), [Some((Reason::BackendGone, Confidence::Likely)); 5]);
    }

    #[test]
    fn pings_without_pongs_come_before_a_timer() {
        let asked =
            |n| Closure { pings_out: 3, pongs_in: 2, ..closure(n, u64::from(n) * 9000, 30_000) };
        let said = reasons((0..8).map(asked));
        assert_eq!(said, [Some((Reason::PingUnanswered, Confidence::Likely)); 8]);
        let told = Closure { by_close_frame: true, code: 1011, ..asked(1) };
        assert_eq!(one(told), Some((Reason::PingUnanswered, Confidence::Likely)));
        // What one side sends of its own accord asks for nothing.
        let unasked = Closure { pings_out: 0, pongs_in: 0, pongs_out: 9, ..asked(1) };
        assert_eq!(one(unasked), None);
        let just_sent = Closure { idle: Duration::from_millis(20), ..asked(1) };
        assert_eq!(one(just_sent), None);
    }

    #[test]
    fn what_tcp_shows_is_the_least_that_is_said() {
        let reset = Closure { by: CloseBy::Rst, ..closure(1, 0, 60_000) };
        assert_eq!(one(reset), Some((Reason::Reset, Confidence::Certain)));
        let silent = Closure { by: CloseBy::Timeout, initiator: None, ..closure(1, 0, 900_000) };
        assert_eq!(one(silent), Some((Reason::TimedOut, Confidence::Likely)));
    }

    #[test]
    fn the_memory_and_what_waits_are_bounded() {
        let mut endings = Endings::default();
        let mut told = 0;
        for n in 0..(HELD as u64 + 300) {
            let mut end = closure(1, 0, n);
            end.connection.local.set_port(n as u16);
            endings.take(end, &mut |_, _| told += 1);
        }
        assert_eq!((endings.held.len(), told), (HELD, 300));
        assert_eq!(endings.services.len(), SERVICES.get());
        assert_eq!(endings.forgotten(), 300 + HELD as u64 + 300 - SERVICES.get() as u64);
    }
}
