//! TCP connections of a capture, each through the stream machine that the kernel runs.
//!
//! In: segments in the capture's order. Out: the records that the kernel would send, taken by the pairing.
//! Connections are seen from the accepting end: the receiver of the SYN, or, in a capture that began later, of
//! the first request.

use std::num::NonZeroUsize;

use lru::LruCache;
use wstap_common::{
    frame::Walk,
    payload::Payload,
    record::{HalfSummary, Kind, Record, Summary, flags, half, role},
    stream::{
        self, RequestHalf, ResponseHalf, Step,
        observe::{self, Host, Interest},
        scan,
    },
};
use zerocopy::{FromZeros, IntoBytes};

use super::{
    Out, Report,
    segment::{Endpoint, Segment},
};
use crate::{
    assemble::bounded,
    handshake::{Limits, Pairing},
};

/// How many connections are followed at once. At the bound the one that was quiet longest is forgotten and
/// counted ([`Report::evicted_connections`]).
const FLOWS_MAX: NonZeroUsize = NonZeroUsize::new(64 * 1024).unwrap();

/// How long a connection may be quiet, in nanoseconds of the capture: as long as TCP waits before it asks whether
/// the other end is still there. Then it is forgotten and counted ([`Report::idle_connections`]).
const IDLE_NS: u64 = 2 * 60 * 60 * 1_000_000_000;

/// Both ends, the lower one first.
type Ends = (Endpoint, Endpoint);

/// The connections of a capture.
pub(super) struct Flows<'a> {
    table: LruCache<Ends, Flow>,
    pairing: Pairing,
    out: Out<'a>,
    next_cookie: u64,
    evicted: u64,
    idle: u64,
}

/// One connection.
struct Flow {
    /// Its fixed part of every record.
    record: Record,
    /// Whether the client is the lower end.
    client_is_lower: bool,
    /// The client's initial sequence number, if its SYN was seen.
    syn: Option<u32>,
    request: RequestHalf,
    response: ResponseHalf,
    /// How far each half was acknowledged.
    acknowledged: [Option<u32>; 2],
    /// What the capture has of each half.
    seen: [Seen; 2],
    tunnel: Option<Box<Tunnel>>,
    ended: bool,
    last_ns: u64,
}

/// What the capture has of one half.
#[derive(Clone, Copy, Default)]
struct Seen {
    /// The end of the furthest segment so far.
    end: Option<u32>,
    /// Bytes that were never captured, unless they still come: the first and the one behind the last.
    gap: Option<(u32, u32)>,
    /// The furthest segment was cut by the capture.
    cut: bool,
}

impl Seen {
    /// Takes notice of the segment `from..to`, of which the capture has less when it is `cut`.
    fn segment(&mut self, from: u32, to: u32, cut: bool) {
        let behind = |a: u32, b: u32| a.wrapping_sub(b).cast_signed() > 0;
        let end = self.end.unwrap_or(from);
        if behind(from, end) && self.gap.is_none() {
            self.gap = Some((end, from));
        }
        if self.gap.is_some_and(|(first, last)| !behind(from, first) && !behind(last, to)) && !cut {
            self.gap = None;
        }
        if cut {
            // It will not come.
            self.gap = Some((from, to));
        }
        if self.end.is_none() || behind(to, end) {
            self.end = Some(to);
            self.cut = cut;
        }
    }
}

#[derive(Default)]
struct Tunnel {
    opened_ns: u64,
    walks: [Walk; 2],
}

impl<'a> Flows<'a> {
    pub(super) fn new(limits: Limits, out: Out<'a>) -> Self {
        Self {
            table: bounded(FLOWS_MAX),
            pairing: Pairing::new(limits, std::time::Duration::ZERO),
            out,
            next_cookie: 1,
            evicted: 0,
            idle: 0,
        }
    }

    /// The capture's time is `now_ns`.
    pub(super) fn tick(&mut self, now_ns: u64) {
        self.pairing.tick(now_ns, self.out);
        while let Some((_, flow)) = self.table.peek_lru()
            && flow.last_ns.saturating_add(IDLE_NS) < now_ns
        {
            self.idle += u64::from(!flow.ended);
            if let Some((_, flow)) = self.table.pop_lru() {
                self.close(flow);
            }
        }
    }

    pub(super) fn segment(&mut self, segment: &Segment<'_>, now_ns: u64) {
        let from_lower = segment.source <= segment.destination;
        let ends = if from_lower {
            (segment.source, segment.destination)
        } else {
            (segment.destination, segment.source)
        };
        let is_new = match self.table.get(&ends) {
            None => true,
            // The same ends again: a new connection, not a SYN that was sent twice.
            Some(flow) => segment.syn && segment.ack.is_none() && !flow.began_with(segment.seq),
        };
        if is_new {
            let Some(flow) = self.begin(segment, from_lower) else { return };
            if let Some((other, old)) = self.table.push(ends, flow) {
                self.evicted += u64::from(other != ends && !old.ended);
                self.close(old);
            }
        }
        if let Some(flow) = self.table.peek_mut(&ends) {
            flow.last_ns = now_ns;
            flow.segment(segment, from_lower, now_ns, &mut self.pairing, self.out);
        }
    }

    /// A connection whose first segment is this one; `None` when it is none that can be followed.
    fn begin(&mut self, segment: &Segment<'_>, from_lower: bool) -> Option<Flow> {
        let answers = segment.syn && segment.ack.is_some();
        let next = match (segment.syn, segment.ack) {
            (true, None) => segment.seq.wrapping_add(1),
            (true, Some(ack)) => ack,
            // A connection older than the capture is followed from its next request on.
            (false, _) => {
                if scan::start(segment.payload, 0) == scan::Start::Other {
                    return None;
                }
                segment.seq
            }
        };
        let (client, server) = if answers {
            (segment.destination, segment.source)
        } else {
            (segment.source, segment.destination)
        };
        let mut record = Record::new_zeroed();
        record.cookie = self.next_cookie;
        self.next_cookie += 1;
        record.role = role::SERVER;
        (record.local_addr, record.local_port) = server;
        (record.peer_addr, record.peer_port) = client;
        Some(Flow {
            record,
            client_is_lower: from_lower != answers,
            syn: (segment.syn && !answers).then_some(segment.seq),
            request: RequestHalf::new(next),
            response: ResponseHalf::default(),
            acknowledged: [None; 2],
            seen: [Seen { end: Some(next), ..Seen::default() }, Seen::default()],
            tunnel: None,
            ended: false,
            last_ns: 0,
        })
    }

    /// Nothing more will come of a connection: if an end of it has stopped sending, it has ended.
    fn close(&mut self, mut flow: Flow) {
        let lost = flow.has_gap();
        let interest = observe::interest(flow.request.word, flow.response.word, lost);
        if flow.ended && interest != Interest::None {
            let last_ns = flow.last_ns;
            let (mut driver, ..) = flow.driver(&[], 0, last_ns, &mut self.pairing, self.out);
            driver.send_summary(Kind::Closed, half::REQUEST, driver.epoch, false);
        }
    }

    /// The capture is over: settles what is pending and closes what has begun to end.
    pub(super) fn finish(mut self, now_ns: u64, mut report: Report) -> Report {
        while let Some((_, flow)) = self.table.pop_lru() {
            self.close(flow);
        }
        self.pairing.finish(now_ns, self.out);
        report.evicted_connections = self.evicted;
        report.idle_connections = self.idle;
        report.pairing = self.pairing.counters();
        report
    }
}

impl Flow {
    /// Whether the capture lacks bytes of it.
    fn has_gap(&self) -> bool {
        self.seen.iter().any(|seen| seen.gap.is_some())
    }

    /// Whether a SYN with this sequence number is the one that this connection began with, sent again.
    fn began_with(&self, seq: u32) -> bool {
        let [request, _] = &self.seen;
        self.syn == Some(seq) && !self.ended && request.end == Some(seq.wrapping_add(1))
    }

    fn segment(
        &mut self,
        segment: &Segment<'_>,
        from_lower: bool,
        now_ns: u64,
        pairing: &mut Pairing,
        out: Out<'_>,
    ) {
        let from_client = from_lower == self.client_is_lower;
        // Of the half that this segment travels in, and of the other one.
        let (of, other) = if from_client { (0, 1) } else { (1, 0) };
        if let (Some(ack), Some(acknowledged)) = (segment.ack, self.acknowledged.get_mut(other)) {
            let newer = |before: u32| ack.wrapping_sub(before).cast_signed() > 0;
            if acknowledged.is_none_or(newer) {
                *acknowledged = Some(ack);
            }
        }
        if segment.syn
            && let Some(seen) = self.seen.get_mut(of)
        {
            seen.end.get_or_insert(segment.seq.wrapping_add(1));
        }
        if segment.payload.is_empty() && !segment.fin && !segment.rst {
            return;
        }
        let seq = segment.seq.wrapping_add(u32::from(segment.syn));
        let end = seq.wrapping_add(segment.wire_len);
        let cut = (segment.payload.len() as u32) < segment.wire_len;
        let acknowledged = self.acknowledged.get(of).copied().flatten();
        let (mut received, mut end_received) =
            (acknowledged.unwrap_or(seq), acknowledged.unwrap_or(end));
        let mut in_place = false;
        if let Some(seen) = self.seen.get_mut(of) {
            in_place = seen.end.is_none_or(|end| end == seq);
            if seen.cut && seen.end == Some(seq) {
                // What was cut off is not still on its way.
                (received, end_received) = (seq, end);
            }
            seen.segment(seq, end, cut);
        }
        let data = stream::Segment { seq, received, now_ns };
        let ending = stream::Segment { seq: end, received: end_received, now_ns };
        let (mut driver, request, response) =
            self.driver(segment.payload, seq, now_ns, pairing, out);
        let has_data = !segment.payload.is_empty();
        if from_client {
            if has_data {
                let other = (response.word, response.answers);
                observe::request_data(&mut driver, request, other, &data, segment.payload);
            }
            if segment.fin || segment.rst {
                let words = (request.word, response.word);
                observe::ending(
                    &mut driver,
                    half::REQUEST,
                    words,
                    request.next,
                    &ending,
                    segment.rst,
                );
            }
        } else {
            if has_data {
                observe::response_data(&mut driver, response, request.word, &data, segment.payload);
            }
            if segment.fin || segment.rst {
                let words = (request.word, response.word);
                observe::ending(
                    &mut driver,
                    half::RESPONSE,
                    words,
                    response.next,
                    &ending,
                    segment.rst,
                );
            }
        }
        // A FIN or RST elsewhere in the sequence space is forged, or stands behind bytes that are missing.
        self.ended |= (segment.fin || segment.rst) && (in_place || end_received == end);
    }

    /// What the stream machine talks to while it takes one segment, and the two halves.
    fn driver<'a>(
        &'a mut self,
        payload: &'a [u8],
        seq: u32,
        now_ns: u64,
        pairing: &'a mut Pairing,
        out: Out<'a>,
    ) -> (Driver<'a>, &'a mut RequestHalf, &'a mut ResponseHalf) {
        let mut record = self.record;
        record.seq = seq;
        record.time_ns = now_ns;
        if self.has_gap() {
            record.flags |= flags::LOST;
        }
        let epoch = self.request.word as u16;
        let driver = Driver { record, payload, tunnel: &mut self.tunnel, epoch, pairing, out };
        (driver, &mut self.request, &mut self.response)
    }
}

/// The host of the stream machine: what it sends goes to the pairing.
struct Driver<'a> {
    record: Record,
    payload: &'a [u8],
    tunnel: &'a mut Option<Box<Tunnel>>,
    epoch: u16,
    pairing: &'a mut Pairing,
    out: Out<'a>,
}

impl Host for Driver<'_> {
    fn send_bytes(&mut self, half: u8, epoch: u16, step: &Step) {
        let at = step.from as usize;
        let Some(bytes) = self.payload.get(at..at + step.len as usize) else { return };
        let mut record = self.record;
        record.kind = Kind::Bytes as u8;
        record.half = half;
        record.epoch = epoch;
        record.seq = record.seq.wrapping_add(step.from);
        record.flags |= if step.truncated { flags::TRUNCATED } else { 0 };
        self.pairing.record(&record, bytes, self.out);
    }

    fn send_summary(&mut self, kind: Kind, half: u8, epoch: u16, rst: bool) {
        let mut record = self.record;
        record.kind = kind as u8;
        record.half = half;
        record.epoch = epoch;
        record.flags |= if rst { flags::RST } else { 0 };
        let mut summary = Summary::default();
        if let Some(tunnel) = self.tunnel.as_ref().filter(|tunnel| tunnel.opened_ns != 0) {
            record.flags |= flags::TUNNEL;
            let [request, response]: [HalfSummary; 2] = tunnel.walks.each_ref().map(Walk::summary);
            summary = Summary { opened_ns: tunnel.opened_ns, request, response };
        }
        self.pairing.record(&record, summary.as_bytes(), self.out);
    }

    fn walk<P: Payload + ?Sized>(
        &mut self,
        half: u8,
        step: &Step,
        segment: &stream::Segment,
        payload: &P,
    ) -> bool {
        if step.begin && self.tunnel.is_none() {
            *self.tunnel = Some(Box::default());
        }
        let from_client = half == half::REQUEST;
        self.walk_of(half).is_some_and(|walk| walk.segment(step, segment, payload, from_client))
    }

    fn walk_of(&mut self, half: u8) -> Option<&mut Walk> {
        self.tunnel.as_mut()?.walks.get_mut(usize::from(half))
    }

    fn opened(&mut self, now_ns: u64) {
        if let Some(tunnel) = self.tunnel {
            tunnel.opened_ns = now_ns;
        }
    }

    fn is_open(&mut self) -> bool {
        self.tunnel.as_ref().is_some_and(|tunnel| tunnel.opened_ns != 0)
    }
}
