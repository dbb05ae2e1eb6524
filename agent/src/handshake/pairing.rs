//! Records in, exchanges and closures out: the table of connections and its clock.

use std::{
    collections::{BTreeSet, VecDeque},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

use lru::LruCache;
use wstap_common::record::{Kind, Owner, Record, Summary, flags, role};
use zerocopy::FromBytes;

use super::{
    Answer, CloseBy, Connection, Exchange, Holder, Observation, Opened, Opening, Role, Switched,
    h2::{ExtendedConnect, H2Connections},
    losses::Losses,
    pending::{Pending, Settled, Why},
    tunnel::{self, Tunnel},
};
use crate::{
    assemble::{Listener, bounded},
    http::{self, RequestHead, mark::FIELD_LOWER},
};

/// How many connections may have a handshake under way. At the bound the one that was quiet longest is
/// settled as unobserved and counted ([`Counters::evicted_handshakes`]).
const HANDSHAKES_MAX: NonZeroUsize = NonZeroUsize::new(32 * 1024).unwrap();

/// How many open connections are remembered. At the bound the one that was opened first is forgotten and
/// counted ([`Counters::evicted_tunnels`]); its closure then has no origin.
const TUNNELS_MAX: NonZeroUsize = NonZeroUsize::new(256 * 1024).unwrap();

/// How many bytes of origins and paths are remembered of them. At the bound the same happens.
const TUNNEL_BYTES: usize = 32 * 1024 * 1024;

/// How many ended connections are remembered, so that what still comes of them is no other end: the socket is
/// closed, or, behind that, segments of the other side that crossed it are answered with RST. At the bound the
/// oldest is forgotten.
// Less than half of what a hash table of 16,384 places takes: then it is cleaned now and again. With 8,192 it was
// doubled, after some 150,000 ends.
const ENDED_MAX: NonZeroUsize = NonZeroUsize::new(7_000).unwrap();

/// How many connections' holders are remembered. At the bound the one that was quiet longest is forgotten: its next
/// handshake has no process and no name.
const HOLDERS_MAX: NonZeroUsize = NonZeroUsize::new(32 * 1024).unwrap();

/// How many bytes of heads are held in all, of handshakes under way and of those whose first moments are not over. At the bound the same happens as at [`HANDSHAKES_MAX`].
const HELD_MAX: usize = 64 * 1024 * 1024;

/// How long an answer may be without all of the content that fingerprints want, once its head is there.
const CONTENT_WAIT: Duration = Duration::from_millis(500);

/// How long after a 101 its first moments last: a server that asks others whether it should have accepted says so a second
/// later.
const OPENING: Duration = Duration::from_millis(1500);

/// How long a socket that the kernel closed before either end's FIN or RST passed waits for the RST: a close
/// that aborts (unread data, SO_LINGER 0) changes the state first and sends the RST after it.
const RST_WAIT: Duration = Duration::from_millis(50);

/// How many such sockets may wait. At the bound the next one is settled at once, as ended without a word.
const CLOSING_MAX: usize = 8 * 1024;

/// How long an older connection of which one side has ended waits for the other's end. Of such a one the kernel does not
/// tell when it closes, and the peer's FIN passes no hook once TCP has put the socket into TIME_WAIT, which it keeps for a
/// minute (`net.ipv4.tcp_fin_timeout`).
const HALF_CLOSED_WAIT: Duration = Duration::from_secs(65);

/// The bounds that the user sets.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a server may take to answer.
    pub handshake_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { handshake_timeout: Duration::from_secs(10) }
    }
}

/// What happened at the bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records that could not be read.
    pub undecodable: u64,
    /// Handshakes that were settled early because a table was full.
    pub evicted_handshakes: u64,
    /// Open connections that were forgotten because the table was full.
    pub evicted_tunnels: u64,
    /// Requests whose head was larger than what is read.
    pub truncated_heads: u64,
    /// Segments seen on a listener that never found their connection.
    pub dropped_listener_segments: u64,
    /// HTTP/2 connections.
    pub h2: H2Connections,
}

struct Handshaking {
    connection: Connection,
    pending: Pending,
    /// Its entry among the deadlines: never later than its deadline.
    deadline_ns: u64,
}

/// Pairs requests with answers and follows accepted connections to their end.
///
/// It takes no clock: time comes with the records and with [`Pairing::tick`].
pub struct Pairing {
    timeout_ns: u64,
    /// Added to a record's time to give the time since the Unix epoch.
    wall_offset_ns: i64,
    losses: Losses,
    held: usize,
    connections: LruCache<u64, Handshaking>,
    tunnels: LruCache<u64, Tunnel>,
    tunnel_bytes: usize,
    /// How many of `tunnels` have no handshake, of this host as the server and as the client.
    unseen: (usize, usize),
    /// Connections whose end was told, and of which something may still come.
    ended: LruCache<u64, ()>,
    /// Sockets that were closed and whose RST may still come, in the order of their time.
    closing: VecDeque<(Record, Summary)>,
    /// Older connections of which one side has ended, in the order of their time.
    half_closed: VecDeque<(u64, u64)>,
    listener: Listener,
    holders: LruCache<u64, Arc<Holder>>,
    deadlines: BTreeSet<(u64, u64)>,
    counters: Counters,
}

type Out<'a> = &'a mut dyn FnMut(Observation);

impl Pairing {
    /// `wall_offset` is what has to be added to a record's time to give the time since the Unix epoch.
    pub fn new(limits: Limits, wall_offset: Duration) -> Self {
        Self {
            timeout_ns: nanos(limits.handshake_timeout),
            wall_offset_ns: i64::try_from(wall_offset.as_nanos()).unwrap_or(i64::MAX),
            losses: Losses::default(),
            held: 0,
            connections: bounded(HANDSHAKES_MAX),
            tunnels: bounded(TUNNELS_MAX),
            tunnel_bytes: 0,
            unseen: (0, 0),
            ended: bounded(ENDED_MAX),
            closing: VecDeque::new(),
            half_closed: VecDeque::new(),
            listener: Listener::default(),
            holders: bounded(HOLDERS_MAX),
            deadlines: BTreeSet::new(),
            counters: Counters::default(),
        }
    }

    /// What had been lost by `now_ns`, by the records' clock, for any reason that the connection's own flags do not tell.
    pub fn set_losses(&mut self, now_ns: u64, losses: u64) {
        self.losses.read(now_ns, losses);
    }

    /// Whether a connection is to be looked at by `now_ns`, so that what was lost must be known.
    pub fn is_due(&self, now_ns: u64) -> bool {
        self.deadlines.first().is_some_and(|(entry, _)| *entry <= now_ns)
    }

    /// What happened at the bounds so far.
    pub fn counters(&self) -> Counters {
        Counters { dropped_listener_segments: self.listener.dropped(), ..self.counters }
    }

    /// How many of each [`Self::occupancy`] may count at most.
    pub const CAPACITY: (usize, usize) = (HANDSHAKES_MAX.get(), TUNNELS_MAX.get());

    /// How many handshakes are under way and how many connections are open.
    pub fn occupancy(&self) -> (usize, usize) {
        (self.connections.len(), self.tunnels.len())
    }

    /// How many open connections there are whose handshake was not seen, of this host as the server and as
    /// the client.
    pub fn unseen(&self) -> (usize, usize) {
        self.unseen
    }

    /// Takes one record as it lay on the ring.
    pub fn ring_record(&mut self, bytes: &[u8], out: Out<'_>) {
        match Record::split(bytes) {
            Some((record, content)) => self.record(&record, content, out),
            None => self.counters.undecodable += 1,
        }
    }

    /// Takes one record.
    pub fn record(&mut self, record: &Record, content: &[u8], out: Out<'_>) {
        match Kind::from_wire(record.kind) {
            Some(Kind::Bytes) if record.cookie == 0 => self.listener.keep(record, content),
            Some(Kind::Bytes) => self.bytes(record, content, out),
            Some(Kind::Adopted) => {
                for (record, content) in self.listener.adopt(record) {
                    self.bytes(&record, &content, out);
                }
            }
            Some(
                kind @ (Kind::Frame | Kind::Ending | Kind::EarlyFin | Kind::Closed | Kind::Found),
            ) => {
                let Ok((summary, _)) = Summary::read_from_prefix(content) else {
                    self.counters.undecodable += 1;
                    return;
                };
                if kind == Kind::Closed
                    && !self.has_ended(record.cookie)
                    && self.closing.len() < CLOSING_MAX
                {
                    self.closing.push_back((*record, summary));
                } else {
                    self.summary(kind, record, &summary, out);
                }
            }
            Some(Kind::Owner) => match Owner::read_from_prefix(content) {
                Ok((owner, _)) => {
                    let holder = Holder::new(&owner, record.flags & flags::UNIX != 0);
                    self.holders.put(record.cookie, Arc::new(holder));
                }
                Err(_) => self.counters.undecodable += 1,
            },
            None => self.counters.undecodable += 1,
        }
    }

    fn bytes(&mut self, record: &Record, content: &[u8], out: Out<'_>) {
        let known = self.connections.get(&record.cookie).map(|state| state.pending.epoch);
        let age = known.map(|epoch| record.epoch.wrapping_sub(epoch).cast_signed());
        match age {
            Some(0) => {}
            // Late bytes of a candidate whose successor is known.
            Some(..0) => return,
            Some(1..) => {
                self.settle(record.cookie, Why::Abandoned, record.time_ns, out);
                self.begin(record, out);
            }
            None => self.begin(record, out),
        }
        let Some(state) = self.connections.get_mut(&record.cookie) else { return };
        let pending = &mut state.pending;
        pending.lost |= record.flags & flags::LOST != 0;
        let (held, truncated) = (pending.held(), pending.is_truncated());
        let settled = pending.bytes(record.half, record.seq, content, record.flags, record.time_ns);
        if let Some(offer) = pending.h2_offer() {
            pending.finish();
            self.counters.h2.count(state.connection.role, offer);
        }
        self.held = (self.held + pending.held()).saturating_sub(held);
        self.counters.truncated_heads += u64::from(!truncated && pending.is_truncated());
        let connection = state.connection.clone();
        let offset = self.wall_offset_ns;
        let switched =
            pending.opened.as_ref().map(|opened| switched(&connection, &opened.settled, offset));
        self.tell(&connection, settled, out);
        if let Some(switched) = switched {
            let handshake = remembered(&switched.request);
            out(Observation::Switched(switched));
            self.remember(record.cookie, Tunnel::new(connection, Some(handshake)));
        }
        self.set_deadline(record.cookie);
        while self.held > HELD_MAX
            && let Some((cookie, _)) = self.connections.peek_lru()
        {
            let cookie = *cookie;
            self.counters.evicted_handshakes += 1;
            self.settle(cookie, Why::Abandoned, record.time_ns, out);
            self.forget(cookie);
        }
    }

    /// A candidate begins.
    fn begin(&mut self, record: &Record, out: Out<'_>) {
        self.forget(record.cookie);
        if self.connections.len() >= HANDSHAKES_MAX.get()
            && let Some((cookie, _)) = self.connections.peek_lru()
        {
            let cookie = *cookie;
            self.counters.evicted_handshakes += 1;
            self.settle(cookie, Why::Abandoned, record.time_ns, out);
            self.forget(cookie);
        }
        let pending = Pending::new(record.epoch, self.losses.before(record.time_ns));
        let connection = self.connection(record);
        let state = Handshaking { connection, pending, deadline_ns: u64::MAX };
        self.connections.push(record.cookie, state);
    }

    /// Whether a FIN or RST of this connection passed.
    fn has_ended(&self, cookie: u64) -> bool {
        let pending = self.connections.peek(&cookie).and_then(|state| state.pending.end);
        let open = self.tunnels.peek(&cookie).and_then(|tunnel| tunnel.end);
        pending.or(open).is_some() || self.ended.contains(&cookie)
    }

    /// Settles the closed sockets whose RST has not come by `now_ns`.
    fn settle_closed(&mut self, now_ns: u64, out: Out<'_>) {
        while let Some((record, _)) = self.closing.front()
            && record.time_ns.saturating_add(nanos(RST_WAIT)) <= now_ns
            && let Some((record, summary)) = self.closing.pop_front()
        {
            self.summary(Kind::Closed, &record, &summary, out);
        }
    }

    fn summary(&mut self, kind: Kind, record: &Record, summary: &Summary, out: Out<'_>) {
        let cookie = record.cookie;
        let now = record.time_ns;
        let role = role_of(record);
        let by = if record.flags & flags::RST != 0 { CloseBy::Rst } else { CloseBy::Fin };
        let end = (kind == Kind::Ending).then(|| (by, tunnel::sender(role, record.half)));
        if let Some(state) = self.connections.get_mut(&cookie)
            && state.pending.epoch == record.epoch
        {
            let pending = &mut state.pending;
            pending.lost |= record.flags & flags::LOST != 0;
            pending.end = pending.end.or(end.map(|(by, initiator)| (by, initiator, now)));
            let window = nanos(OPENING);
            if let Some(opened) = &mut pending.opened {
                let extended = matches!(&opened.settled.answer,
                    Answer::Response(head) if head.truncated || head.headers.has("sec-websocket-extensions"));
                tunnel::open(&mut opened.opening, summary, role, extended, window);
                if let Some(end) = end {
                    let after = now.saturating_sub(summary.opened_ns.max(opened.at_ns));
                    tunnel::end(&mut opened.opening, end, after, window);
                }
            } else if kind == Kind::Closed {
                // An answer passed of which nothing came here.
                pending.lost |= record.flags & (flags::ANSWERED | flags::TUNNEL) != 0;
            }
            // Behind a client's FIN an answer may still come; behind all else none will.
            let from_client = record.half == wstap_common::record::half::REQUEST;
            let over = kind == Kind::Closed
                || end.is_some_and(|(by, _)| {
                    by == CloseBy::Rst || !from_client || pending.opened.is_some()
                });
            if over {
                self.settle(cookie, Why::Ended, now, out);
            }
        }
        if record.flags & flags::TUNNEL != 0 {
            self.tunnel(kind, record, summary, out);
        } else if kind == Kind::Closed {
            self.take_tunnel(cookie);
        }
        if kind == Kind::Closed {
            self.forget(cookie);
            self.holders.pop(&cookie);
        }
    }

    /// The connection that a record is about.
    fn connection(&mut self, record: &Record) -> Connection {
        Connection {
            cookie: record.cookie,
            role: role_of(record),
            local: address(record.local_addr, record.local_port),
            peer: address(record.peer_addr, record.peer_port),
            cgroup: record.cgroup,
            holder: self.holders.get(&record.cookie).cloned(),
        }
    }

    /// A record of an open connection.
    fn tunnel(&mut self, kind: Kind, record: &Record, summary: &Summary, out: Out<'_>) {
        let cookie = record.cookie;
        if self.ended.contains(&cookie) {
            return;
        }
        let over = tunnel::is_over(summary);
        if !self.tunnels.contains(&cookie) {
            if kind == Kind::Closed && over && record.flags & flags::LOST == 0 {
                // Told when it was over, so long ago that `ended` has forgotten it.
                return;
            }
            let connection = self.connection(record);
            self.remember(cookie, Tunnel::new(connection, None));
        }
        let older = record.flags & flags::FOUND != 0;
        let Some(tunnel) = self.tunnels.peek_mut(&cookie) else { return };
        if matches!(kind, Kind::Ending | Kind::EarlyFin) && tunnel.end.is_none() {
            let by = if record.flags & flags::RST != 0 { CloseBy::Rst } else { CloseBy::Fin };
            tunnel.end =
                Some((by, tunnel::sender(tunnel.connection.role, record.half), record.time_ns));
        }
        let over = kind == Kind::Ending && (over || record.flags & flags::RST != 0);
        if kind == Kind::Closed || over {
            self.close(cookie, summary, record.time_ns, older, out);
        } else if older
            && tunnel.end.is_some()
            && tunnel.half_closed.replace(Box::new(*summary)).is_none()
        {
            self.half_closed.push_back((record.time_ns, cookie));
        }
    }

    /// Tells the end of an open connection.
    fn close(&mut self, cookie: u64, summary: &Summary, now_ns: u64, older: bool, out: Out<'_>) {
        let Some(tunnel) = self.take_tunnel(cookie) else { return };
        self.ended.push(cookie, ());
        let offset = self.wall_offset_ns;
        let mut closure = tunnel::closure(tunnel, summary, now_ns, |ns| wall(offset, ns));
        closure.older = older;
        out(Observation::Closure(closure));
    }

    /// Tells the ends of older connections of which one side ended long before `now_ns`.
    fn settle_half_closed(&mut self, now_ns: u64, out: Out<'_>) {
        while let Some(&(since_ns, cookie)) = self.half_closed.front()
            && since_ns.saturating_add(nanos(HALF_CLOSED_WAIT)) <= now_ns
        {
            self.half_closed.pop_front();
            let summary = self.tunnels.peek_mut(&cookie).and_then(|t| t.half_closed.take());
            if let Some(summary) = summary {
                self.close(cookie, &summary, now_ns, true, out);
            }
        }
    }

    fn remember(&mut self, cookie: u64, tunnel: Tunnel) {
        self.tunnel_bytes += tunnel.held();
        if let Some(unseen) = self.unseen_of(&tunnel) {
            *unseen += 1;
        }
        if let Some((other, old)) = self.tunnels.push(cookie, tunnel) {
            self.counters.evicted_tunnels += u64::from(other != cookie);
            self.uncount(&old);
        }
        while self.tunnel_bytes > TUNNEL_BYTES
            && let Some((_, old)) = self.tunnels.pop_lru()
        {
            self.counters.evicted_tunnels += 1;
            self.uncount(&old);
        }
    }

    fn take_tunnel(&mut self, cookie: u64) -> Option<Tunnel> {
        let tunnel = self.tunnels.pop(&cookie)?;
        self.uncount(&tunnel);
        Some(tunnel)
    }

    /// A connection is no longer remembered.
    fn uncount(&mut self, tunnel: &Tunnel) {
        self.tunnel_bytes -= tunnel.held();
        if let Some(unseen) = self.unseen_of(tunnel) {
            *unseen -= 1;
        }
    }

    /// Where a connection is counted whose handshake was not seen.
    fn unseen_of(&mut self, tunnel: &Tunnel) -> Option<&mut usize> {
        match (&tunnel.handshake, tunnel.connection.role) {
            (Some(_), _) => None,
            (None, Role::Server) => Some(&mut self.unseen.0),
            (None, Role::Client) => Some(&mut self.unseen.1),
        }
    }

    /// The time is `now_ns`, by the records' clock: settles what waited long enough.
    pub fn tick(&mut self, now_ns: u64, out: Out<'_>) {
        self.settle_closed(now_ns, out);
        self.settle_half_closed(now_ns, out);
        while let Some(&(entry, cookie)) = self.deadlines.first()
            && entry <= now_ns
        {
            let deadline = self.deadline_ns(cookie).unwrap_or(entry);
            if deadline > now_ns {
                self.enter_deadline(cookie, deadline);
                continue;
            }
            self.settle(cookie, Why::Timeout, deadline, out);
            self.forget(cookie);
        }
    }

    /// Nothing more will come: settles everything.
    pub fn finish(&mut self, now_ns: u64, out: Out<'_>) {
        self.settle_closed(u64::MAX, out);
        self.tick(now_ns, out);
        while let Some((&cookie, state)) = self.connections.peek_lru() {
            let ended = state.pending.end.is_some();
            self.settle(cookie, if ended { Why::Ended } else { Why::Abandoned }, now_ns, out);
            self.forget(cookie);
        }
    }

    /// Settles a connection's candidate with what is known now.
    fn settle(&mut self, cookie: u64, why: Why, now: u64, out: Out<'_>) {
        let Some(state) = self.connections.peek_mut(&cookie) else { return };
        let held = state.pending.held();
        if state.pending.is_h2() {
            self.counters.h2.count(state.connection.role, ExtendedConnect::Unknown);
        }
        let mut settled = state.pending.settle(why, self.losses.now(), now, nanos(OPENING));
        let opened = state.pending.opened.take();
        self.held = (self.held + state.pending.held()).saturating_sub(held);
        let connection = state.connection.clone();
        let mut opening = None;
        if let Some(opened) = opened {
            opening = Some(opened.opening);
            settled.push(opened.settled);
        }
        for done in settled {
            let answered = matches!(&done.answer, Answer::Response(head) if head.status == 101);
            let opening = if answered { Some(opening.take().unwrap_or_default()) } else { None };
            let exchange = exchange(&connection, done, opening, self.wall_offset_ns);
            out(Observation::Exchange(exchange));
        }
    }

    fn tell(&self, connection: &Connection, settled: Vec<Settled>, out: Out<'_>) {
        for done in settled {
            out(Observation::Exchange(exchange(connection, done, None, self.wall_offset_ns)));
        }
    }

    /// When a connection has to be looked at again.
    fn deadline_ns(&self, cookie: u64) -> Option<u64> {
        let pending = &self.connections.peek(&cookie)?.pending;
        Some(pending.deadline_ns(self.timeout_ns, nanos(CONTENT_WAIT), nanos(OPENING)))
    }

    /// Sees to it that a connection is looked at again in time. An entry that is too early costs one more look
    /// when it is due; to move it with every record costs more.
    fn set_deadline(&mut self, cookie: u64) {
        let entry = self.connections.peek(&cookie).map_or(0, |state| state.deadline_ns);
        if let Some(deadline) = self.deadline_ns(cookie).filter(|deadline| *deadline < entry) {
            self.enter_deadline(cookie, deadline);
        }
    }

    fn enter_deadline(&mut self, cookie: u64, deadline: u64) {
        let Some(state) = self.connections.peek_mut(&cookie) else { return };
        self.deadlines.remove(&(state.deadline_ns, cookie));
        self.deadlines.insert((deadline, cookie));
        state.deadline_ns = deadline;
    }

    /// Drops a connection's candidate.
    fn forget(&mut self, cookie: u64) {
        if let Some(state) = self.connections.pop(&cookie) {
            self.deadlines.remove(&(state.deadline_ns, cookie));
            self.held = self.held.saturating_sub(state.pending.held());
        }
    }
}

fn exchange(
    connection: &Connection,
    done: Settled,
    opening: Option<Opening>,
    offset: i64,
) -> Exchange {
    Exchange {
        connection: connection.clone(),
        time: wall(offset, done.first_ns),
        request: done.request,
        answer: done.answer,
        duration: Duration::from_nanos(done.answered_ns.saturating_sub(done.first_ns)),
        opening,
    }
}

fn switched(connection: &Connection, done: &Settled, offset: i64) -> Switched {
    Switched {
        connection: connection.clone(),
        time: wall(offset, done.first_ns),
        request: Arc::clone(&done.request),
        duration: Duration::from_nanos(done.answered_ns.saturating_sub(done.first_ns)),
    }
}

/// What a closure will say of a handshake.
fn remembered(request: &RequestHead) -> Opened {
    let origins: Vec<_> = request.headers.all("origin").collect();
    Opened {
        origin: (!origins.is_empty()).then(|| http::bounded(&origins.join(", ")).into()),
        path: http::bounded(&request.path).into(),
        audit: request.headers.first(FIELD_LOWER).map(|mark| http::bounded(mark).into()),
    }
}

fn role_of(record: &Record) -> Role {
    if record.role == role::CLIENT { Role::Client } else { Role::Server }
}

fn address(address: [u8; 16], port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::from(address)).to_canonical(), port)
}

fn wall(offset: i64, ns: u64) -> Duration {
    Duration::from_nanos(ns.saturating_add_signed(offset))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
