//! The stream machine's driver: takes what passes on a connection and tells the host of the machine
//! (the kernel hook, or the replay) what to send and where to keep the walks.

use super::{
    halves::{RequestHalf, ResponseHalf, request_word, response_word},
    request::request,
    response::response,
    scan::Scan,
    segment::{Segment, Step},
    sequence::{Place, place},
};
use crate::{
    frame::Walk,
    payload::Payload,
    record::{Kind, half},
};

/// What the machine asks of whoever runs it.
pub trait Host {
    /// Sends the bytes of the current segment that `step` names to user space.
    fn send_bytes(&mut self, half: u8, epoch: u16, step: &Step);

    /// Sends what the walks know now.
    fn send_summary(&mut self, kind: Kind, half: u8, epoch: u16, rst: bool);

    /// Walks the frames of the current segment, as `step` says; whether there is news. Makes the walk
    /// when `step.begin` is set and there is none.
    fn walk<P: Payload + ?Sized>(
        &mut self,
        half: u8,
        step: &Step,
        segment: &Segment,
        payload: &P,
    ) -> bool;

    /// The walk of one half, if there is one.
    fn walk_of(&mut self, half: u8) -> Option<&mut Walk>;

    /// A 101's head ended.
    fn opened(&mut self, now_ns: u64);

    /// Whether a 101's head ended on this connection.
    fn is_open(&mut self) -> bool;
}

/// Whether a segment is all frames, whatever it holds, so that whoever runs the machine may walk it at
/// once: what [`request_data`] and [`response_data`] would do, without reading the halves.
#[inline(always)]
pub const fn is_walked(half: u8, request: u32, response: u32) -> bool {
    if !ResponseHalf::is_tunnel(response) {
        return false;
    }
    if half == half::REQUEST {
        return RequestHalf::is_tunnel(request);
    }
    // Also of a server whose client never sent a byte after its request.
    !RequestHalf::is_candidate(request)
        || request_word::epoch(request) == response_word::epoch(response)
}

/// Whether a half that [`is_walked`] is so for the rest of the connection: the answer is that of the last request. There
/// is no other request then: all that follows on the request half is taken for frames.
#[inline(always)]
pub const fn stays_walked(request: u32, response: u32) -> bool {
    request_word::epoch(request) == response_word::epoch(response)
}

/// A segment with data of the half that requests.
#[inline(always)]
pub fn request_data<H: Host, P: Scan + ?Sized>(
    host: &mut H,
    half: &mut RequestHalf,
    other: (u32, u32),
    segment: &Segment,
    payload: &P,
) {
    let step = request(half, other.0, other.1, segment, payload);
    apply(host, half::REQUEST, request_word::epoch(half.word), &step, segment, payload);
}

/// A segment with data of the half that responds.
#[inline(always)]
pub fn response_data<H: Host, P: Scan + ?Sized>(
    host: &mut H,
    half: &mut ResponseHalf,
    other: u32,
    segment: &Segment,
    payload: &P,
) {
    let step = response(half, other, segment, payload);
    apply(host, half::RESPONSE, response_word::epoch(half.word), &step, segment, payload);
}

#[inline(always)]
fn apply<H: Host, P: Payload + ?Sized>(
    host: &mut H,
    half: u8,
    epoch: u16,
    step: &Step,
    segment: &Segment,
    payload: &P,
) {
    let told = step.frames <= payload.len() && host.walk(half, step, segment, payload);
    if step.opened {
        host.opened(segment.now_ns);
    }
    if step.len > 0 {
        host.send_bytes(half, epoch, step);
    }
    if told && host.is_open() {
        host.send_summary(Kind::Frame, half, epoch, false);
    }
}

/// A FIN or RST of one half, behind its data, at sequence number `seq`.
///
/// It is told while someone waits for it: after a 101, while a candidate's answer is pending, and, of
/// the half that responds, while the answer's content may still grow.
#[inline(always)]
pub fn ending<H: Host>(
    host: &mut H,
    half: u8,
    words: (u32, u32),
    next: u32,
    segment: &Segment,
    rst: bool,
) {
    let (request, response) = words;
    let candidate = RequestHalf::is_candidate(request);
    let answered = response_word::epoch(response) == request_word::epoch(request);
    let open = answered && ResponseHalf::is_tunnel(response);
    if !open && !(candidate && (!answered || half == half::RESPONSE)) {
        return;
    }
    let next = match if open { host.walk_of(half) } else { None } {
        Some(walk) if walk.is_started() => walk.next(),
        _ => next,
    };
    // A FIN or RST elsewhere than at the next byte is old, early, or forged (RFC 5961 section 3).
    if segment.seq != segment.received {
        match place(next, segment.received, segment.seq, 1) {
            Place::Next(0) => {}
            Place::Ahead if open && !rst => {
                return host.send_summary(
                    Kind::EarlyFin,
                    half,
                    request_word::epoch(request),
                    false,
                );
            }
            _ => return,
        }
    }
    if open && let Some(walk) = host.walk_of(half) {
        if walk.has_ended() && !rst {
            // Sent again: a peer that is gone does not acknowledge it, and TCP goes on for minutes.
            return;
        }
        walk.ended(segment.seq != next, rst);
    }
    host.send_summary(Kind::Ending, half, request_word::epoch(request), rst);
}

/// What the end of a connection means to whoever waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Nobody waits.
    None,
    /// A candidate has no answer, or the frames after a 101 are followed.
    Pending,
    /// A candidate's answer passed, but some of what told of it was lost.
    Lost,
}

/// Whether the end of a connection is worth telling; `lost` says that a record of it was lost.
pub const fn interest(request: u32, response: u32, lost: bool) -> Interest {
    let answered = response_word::epoch(response) == request_word::epoch(request);
    let candidate = RequestHalf::is_candidate(request);
    if (answered && ResponseHalf::is_tunnel(response)) || (candidate && !answered) {
        Interest::Pending
    } else if candidate && lost {
        Interest::Lost
    } else {
        Interest::None
    }
}
