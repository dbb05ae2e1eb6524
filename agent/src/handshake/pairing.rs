//! Records in, exchanges and closures out: the table of connections and its clock.

use std::{collections::VecDeque, num::NonZeroUsize, sync::Arc, time::Duration};

use lru::LruCache;
use wstap_common::record::{Kind, Owner, Record, Summary, flags};
use zerocopy::FromBytes;

use super::{
    Answer, CloseBy, Connection, Holder, Observation,
    candidates::{Candidates, HANDSHAKES_MAX, Handshaking, OPENING},
    h2::{ExtendedConnect, H2Connections},
    losses::Losses,
    nanos,
    open::{TUNNELS_MAX, Tunnels},
    pending::{Pending, Settled, Why},
    tunnel::{self, Tunnel},
    unbound::Unbound,
    values::{address, exchange, remembered, role_of, switched, wall},
};
use crate::assemble::{Listener, bounded};

/// How many connections' holders are remembered. At the bound the one that was quiet longest is forgotten: its next
/// handshake has no process and no name.
const HOLDERS_MAX: NonZeroUsize = NonZeroUsize::new(32 * 1024).unwrap();

/// How long a socket that the kernel closed before either end's FIN or RST passed waits for the RST: a close
/// that aborts (unread data, SO_LINGER 0) changes the state first and sends the RST after it.
const RST_WAIT: Duration = Duration::from_millis(50);

/// How many such sockets may wait. At the bound the next one is settled at once, as ended without a word.
const CLOSING_MAX: usize = 8 * 1024;

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
    /// Handshakes over TLS that went on without the addresses of their socket.
    pub tls_without_socket: u64,
}

/// Pairs requests with answers and follows accepted connections to their end.
///
/// It takes no clock: time comes with the records and with [`Pairing::tick`].
pub struct Pairing {
    /// Added to a record's time to give the time since the Unix epoch.
    wall_offset_ns: i64,
    losses: Losses,
    candidates: Candidates,
    tunnels: Tunnels,
    /// Sockets that were closed and whose RST may still come, in the order of their time.
    closing: VecDeque<(Record, Summary)>,
    listener: Listener,
    holders: LruCache<u64, Arc<Holder>>,
    unbound: Unbound,
    counters: Counters,
}

type Out<'a> = &'a mut dyn FnMut(Observation);

impl Pairing {
    /// `wall_offset` is what has to be added to a record's time to give the time since the Unix epoch.
    pub fn new(limits: Limits, wall_offset: Duration) -> Self {
        Self {
            wall_offset_ns: i64::try_from(wall_offset.as_nanos()).unwrap_or(i64::MAX),
            losses: Losses::default(),
            candidates: Candidates::new(limits.handshake_timeout),
            tunnels: Tunnels::default(),
            closing: VecDeque::new(),
            listener: Listener::default(),
            holders: bounded(HOLDERS_MAX),
            unbound: Unbound::default(),
            counters: Counters::default(),
        }
    }

    /// The time of day was set: what is told from now on has it.
    pub fn set_wall_offset(&mut self, wall_offset: Duration) {
        self.wall_offset_ns = i64::try_from(wall_offset.as_nanos()).unwrap_or(i64::MAX);
    }

    /// What had been lost by `now_ns`, by the records' clock, for any reason that the connection's own flags do not tell.
    pub fn set_losses(&mut self, now_ns: u64, losses: u64) {
        self.losses.read(now_ns, losses);
    }

    /// Whether a connection is to be looked at by `now_ns`, so that what was lost must be known.
    pub fn is_due(&self, now_ns: u64) -> bool {
        self.candidates.due(now_ns).is_some()
    }

    /// What happened at the bounds so far.
    pub fn counters(&self) -> Counters {
        Counters {
            dropped_listener_segments: self.listener.dropped(),
            evicted_tunnels: self.tunnels.evicted(),
            tls_without_socket: self.unbound.without,
            ..self.counters
        }
    }

    /// How many of each [`Self::occupancy`] may count at most.
    pub const CAPACITY: (usize, usize) = (HANDSHAKES_MAX.get(), TUNNELS_MAX.get());

    /// How many handshakes are under way and how many connections are open.
    pub fn occupancy(&self) -> (usize, usize) {
        (self.candidates.len(), self.tunnels.len())
    }

    /// How many open connections there are whose handshake was not seen, of this host as the server and as
    /// the client.
    pub fn unseen(&self) -> (usize, usize) {
        self.tunnels.unseen()
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
                    let holder = Holder::new(&owner, record.flags);
                    self.holders.put(record.cookie, Arc::new(holder));
                }
                Err(_) => self.counters.undecodable += 1,
            },
            Some(Kind::Bound) => self.bound(record, out),
            None => self.counters.undecodable += 1,
        }
    }

    /// The socket of a TLS connection was found.
    fn bound(&mut self, record: &Record, out: Out<'_>) {
        let local = address(record.local_addr, record.local_port);
        let peer = address(record.peer_addr, record.peer_port);
        let under_way = self.candidates.touch(record.cookie).map(|state| &mut state.connection);
        let open = self.tunnels.peek_mut(record.cookie).map(|tunnel| &mut tunnel.connection);
        for connection in under_way.into_iter().chain(open) {
            (connection.local, connection.peer) = (local, peer);
        }
        for exchange in self.unbound.bound(record.cookie, local, peer) {
            out(Observation::Exchange(exchange));
        }
    }

    fn bytes(&mut self, record: &Record, content: &[u8], out: Out<'_>) {
        let cookie = record.cookie;
        let known = self.candidates.touch(cookie).map(|state| state.pending.epoch);
        let age = known.map(|epoch| record.epoch.wrapping_sub(epoch).cast_signed());
        match age {
            Some(0) => {}
            // Late bytes of a candidate whose successor is known.
            Some(..0) => return,
            Some(1..) => {
                self.settle(cookie, Why::Abandoned, record.time_ns, out);
                self.begin(record, out);
            }
            None => self.begin(record, out),
        }
        let offset = self.wall_offset_ns;
        let taken =
            self.candidates.change(cookie, |Handshaking { connection, pending, .. }| {
                pending.lost |= record.flags & flags::LOST != 0;
                let whole = !pending.is_truncated();
                let settled =
                    pending.bytes(record.half, record.seq, content, record.flags, record.time_ns);
                let offer = pending.h2_offer();
                if offer.is_some() {
                    pending.finish();
                }
                let opened = pending.opened.as_ref();
                let switched = opened.map(|opened| switched(connection, &opened.settled, offset));
                let truncated = whole && pending.is_truncated();
                (settled, switched, truncated, offer, connection.clone())
            });
        let Some((settled, switched_to, truncated, offer, connection)) = taken else { return };
        if let Some(offer) = offer {
            self.counters.h2.count(connection.role, offer);
        }
        self.counters.truncated_heads += u64::from(truncated);
        self.tell(&connection, settled, record.time_ns, out);
        if let Some(switched) = switched_to {
            let handshake = remembered(&switched.request);
            out(Observation::Switched(switched));
            self.tunnels.remember(cookie, Tunnel::new(connection, Some(handshake)));
        }
        self.candidates.set_deadline(cookie);
        while let Some(cookie) = self.candidates.held_too_long() {
            self.evict(cookie, record.time_ns, out);
        }
    }

    /// A candidate begins.
    fn begin(&mut self, record: &Record, out: Out<'_>) {
        self.candidates.forget(record.cookie);
        if let Some(cookie) = self.candidates.crowded_out() {
            self.evict(cookie, record.time_ns, out);
        }
        let pending = Pending::new(record.epoch, self.losses.before(record.time_ns));
        let connection = self.connection(record);
        self.candidates.begin(connection, pending);
    }

    /// There is no room for a candidate.
    fn evict(&mut self, cookie: u64, now_ns: u64, out: Out<'_>) {
        self.counters.evicted_handshakes += 1;
        self.settle(cookie, Why::Abandoned, now_ns, out);
        self.candidates.forget(cookie);
    }

    /// Whether a FIN or RST of this connection passed.
    fn has_ended(&self, cookie: u64) -> bool {
        let pending = self.candidates.peek(cookie).and_then(|state| state.pending.end);
        let open = self.tunnels.peek(cookie).and_then(|tunnel| tunnel.end);
        pending.or(open).is_some() || self.tunnels.has_ended(cookie)
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
        if let Some(state) = self.candidates.touch(cookie)
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
            self.tunnels.take(cookie);
        }
        if kind == Kind::Closed {
            self.candidates.forget(cookie);
            self.holders.pop(&cookie);
        }
    }

    /// The connection that a record is about.
    fn connection(&mut self, record: &Record) -> Connection {
        let unknown = || (record.flags & flags::TLS != 0).then(|| Arc::new(Holder::unknown_tls()));
        let holder = self.holders.get(&record.cookie).cloned().or_else(unknown);
        Connection {
            cookie: record.cookie,
            role: role_of(record),
            local: address(record.local_addr, record.local_port),
            peer: address(record.peer_addr, record.peer_port),
            cgroup: record.cgroup,
            holder,
        }
    }

    /// A record of an open connection.
    fn tunnel(&mut self, kind: Kind, record: &Record, summary: &Summary, out: Out<'_>) {
        let cookie = record.cookie;
        if self.tunnels.has_ended(cookie) {
            return;
        }
        let over = tunnel::is_over(summary);
        if !self.tunnels.contains(cookie) {
            if kind == Kind::Closed && over && record.flags & flags::LOST == 0 {
                // Told when it was over, so long ago that this was forgotten.
                return;
            }
            let connection = self.connection(record);
            self.tunnels.remember(cookie, Tunnel::new(connection, None));
        }
        let older = record.flags & flags::FOUND != 0;
        let Some(tunnel) = self.tunnels.peek_mut(cookie) else { return };
        if matches!(kind, Kind::Ending | Kind::EarlyFin) && tunnel.end.is_none() {
            let by = if record.flags & flags::RST != 0 { CloseBy::Rst } else { CloseBy::Fin };
            tunnel.end =
                Some((by, tunnel::sender(tunnel.connection.role, record.half), record.time_ns));
        }
        let has_end = tunnel.end.is_some();
        let over = kind == Kind::Ending && (over || record.flags & flags::RST != 0);
        if kind == Kind::Closed || over {
            self.close(cookie, summary, record.time_ns, older, out);
        } else if older && has_end {
            self.tunnels.half_close(cookie, summary, record.time_ns);
        }
    }

    /// Tells the end of an open connection.
    fn close(&mut self, cookie: u64, summary: &Summary, now_ns: u64, older: bool, out: Out<'_>) {
        let Some(tunnel) = self.tunnels.end(cookie) else { return };
        let offset = self.wall_offset_ns;
        let mut closure = tunnel::closure(tunnel, summary, now_ns, |ns| wall(offset, ns));
        closure.older = older;
        out(Observation::Closure(closure));
    }

    /// The time is `now_ns`, by the records' clock: settles what waited long enough.
    pub fn tick(&mut self, now_ns: u64, out: Out<'_>) {
        self.settle_closed(now_ns, out);
        while let Some(exchange) = self.unbound.expired(now_ns) {
            out(Observation::Exchange(exchange));
        }
        while let Some((cookie, summary)) = self.tunnels.half_closed(now_ns) {
            self.close(cookie, &summary, now_ns, true, out);
        }
        let losses = self.losses.now();
        while let Some((entry, cookie)) = self.candidates.due(now_ns) {
            let deadline = self.candidates.deadline_ns(cookie).unwrap_or(entry);
            if deadline > now_ns {
                self.candidates.enter_deadline(cookie, deadline);
                continue;
            }
            let (waits, was_patient) = self
                .candidates
                .change(cookie, |Handshaking { pending, .. }| {
                    let was_patient = pending.was_patient();
                    (pending.is_within_a_head(losses), was_patient)
                })
                .unwrap_or_default();
            if waits {
                let deadline = self.candidates.deadline_ns(cookie).unwrap_or(u64::MAX);
                self.candidates.enter_deadline(cookie, deadline);
                continue;
            }
            let told = self.settle(cookie, Why::Timeout, deadline, out);
            self.counters.evicted_handshakes += u64::from(was_patient && told == 0);
            self.candidates.forget(cookie);
        }
    }

    /// Nothing more will come: settles everything.
    pub fn finish(&mut self, now_ns: u64, out: Out<'_>) {
        self.settle_closed(u64::MAX, out);
        self.tick(now_ns, out);
        while let Some(cookie) = self.candidates.eldest() {
            let ended =
                self.candidates.peek(cookie).is_some_and(|state| state.pending.end.is_some());
            self.settle(cookie, if ended { Why::Ended } else { Why::Abandoned }, now_ns, out);
            self.candidates.forget(cookie);
        }
        while let Some(exchange) = self.unbound.expired(u64::MAX) {
            out(Observation::Exchange(exchange));
        }
    }

    /// Settles a connection's candidate with what is known now, and says how many handshakes were told.
    fn settle(&mut self, cookie: u64, why: Why, now: u64, out: Out<'_>) -> usize {
        let losses = self.losses.now();
        let taken =
            self.candidates.change(cookie, |Handshaking { connection, pending, .. }| {
                let is_h2 = pending.is_h2();
                let settled = pending.settle(why, losses, now, nanos(OPENING));
                (settled, pending.opened.take(), is_h2, connection.clone())
            });
        let Some((mut settled, opened, is_h2, connection)) = taken else { return 0 };
        if is_h2 {
            self.counters.h2.count(connection.role, ExtendedConnect::Unknown);
        }
        let mut opening = None;
        if let Some(opened) = opened {
            opening = Some(opened.opening);
            settled.push(opened.settled);
        }
        let told = settled.len();
        for done in settled {
            let answered = matches!(&done.answer, Answer::Response(head) if head.status == 101);
            let opening = if answered { Some(opening.take().unwrap_or_default()) } else { None };
            let exchange = exchange(&connection, done, opening, self.wall_offset_ns);
            if let Some(exchange) = self.unbound.pass(now, exchange) {
                out(Observation::Exchange(exchange));
            }
        }
        told
    }

    fn tell(&mut self, connection: &Connection, settled: Vec<Settled>, now: u64, out: Out<'_>) {
        for done in settled {
            let exchange = exchange(connection, done, None, self.wall_offset_ns);
            if let Some(exchange) = self.unbound.pass(now, exchange) {
                out(Observation::Exchange(exchange));
            }
        }
    }
}
