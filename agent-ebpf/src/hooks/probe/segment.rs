//! One element of a call on its way through the stream machine. Its shape is that of the packets' hook; what
//! is simpler is that the bytes come in order and once.

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use wstap_common::{
    counters::Counter,
    frame::{STEPS, Walk},
    payload::Payload,
    record::{Kind, flags, half, role},
    stream::{
        RequestHalf, Segment, Step,
        observe::{self, Host},
        scan::{self, Start},
    },
};

use super::{
    connection::{Connection, ended, walks},
    emit::{wp_name, wp_send_bytes, wp_send_summary},
    memory::Memory,
};
use crate::{
    arguments::{self, pair},
    atomic::add,
    connection::state::{Stream, Tunnel},
    counters::count,
    ring::emit::Meta,
    verifier::forget_bounds,
};

/// What [`wp_turn`] says of an element.
mod turn {
    /// Its connection is none that is followed.
    pub const NONE: u32 = 0;
    /// Nobody waits for it.
    pub const PASSES: u32 = 1;
    /// It requests, or is behind a request's head.
    pub const REQUEST: u32 = 2;
    /// It responds.
    pub const RESPONSE: u32 = 3;
    /// It is all frames, from the client.
    pub const FRAMES_OF_CLIENT: u32 = 4;
    /// It is all frames, from the server.
    pub const FRAMES_OF_SERVER: u32 = 5;
}

/// Takes an element that begins at sequence number `seq`; false when its connection is none that is followed.
/// `place` holds bits of [`arguments`] and the element's length.
#[inline(always)]
pub fn segment(sk: u64, base: u64, place: u64, seq: u32) -> bool {
    let requests = place | pair(arguments::REQUEST, 0);
    match wp_turn(sk, base, place, seq) {
        turn::NONE => return false,
        turn::REQUEST => wp_request(sk, base, requests, seq),
        turn::RESPONSE => wp_response(sk, base, place, seq),
        turn::FRAMES_OF_CLIENT => wp_frames(sk, base, requests, seq),
        turn::FRAMES_OF_SERVER => wp_frames(sk, base, place, seq),
        _ => 0,
    };
    true
}

/// What an element is; makes the state of a connection that has none when it may begin a request.
// VERIFIER: all functions here are global, see `packet/scans.rs`, and take at most five numbers; this one calls
// none of the others, or their stacks together were too large.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wp_turn(sk: u64, base: u64, place: u64, seq: u32) -> u32 {
    let args = (place >> 32) as u32;
    let mut connection = Connection::of(sk);
    if connection.is_null() {
        let memory = Memory::new(base, place);
        if scan::start(&memory, 0) == Start::Other || scan::is_lone_preamble(&memory, 0) {
            return turn::NONE;
        }
        connection = Connection::begin(sk, args, seq);
    }
    // SAFETY: not null means that it lives as long as the program runs; of a half that another call
    // writes, one aligned word is read.
    let Some(connection) = (unsafe { connection.as_ref() }) else { return turn::NONE };
    let stream = &connection.stream;
    let (request, response) = (stream.request.word, stream.response.word);
    let requests = (args & arguments::INCOMING != 0) == (stream.role == role::SERVER);
    // The answers to ordinary requests, most of a server's elements, end here.
    if !requests && RequestHalf::is_idle(request) {
        return turn::PASSES;
    }
    let half = if requests { half::REQUEST } else { half::RESPONSE };
    match (observe::is_walked(half, request, response), requests) {
        (true, true) => turn::FRAMES_OF_CLIENT,
        (true, false) => turn::FRAMES_OF_SERVER,
        (false, true) => turn::REQUEST,
        (false, false) => turn::RESPONSE,
    }
}

/// An element that is all frames.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wp_frames(sk: u64, base: u64, place: u64, seq: u32) -> u32 {
    if wp_walk(sk, base, place, pair(0, seq), now()) != 0 {
        wp_news(sk, (place >> 32) as u32, seq);
    }
    1
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_ns() }
}

/// An element of the half that requests.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wp_request(sk: u64, base: u64, place: u64, seq: u32) -> u32 {
    let Some(mut hook) = Hook::new(sk, base, place, seq) else { return 0 };
    let segment = Segment { seq, received: seq, now_ns: now() };
    let connection = hook.connection;
    // SAFETY: it points into a map value that lives as long as the program runs. This direction's calls
    // are the request half's only writers; of the other half aligned words are read.
    let (request, other) = unsafe {
        let response = &raw const (*connection).stream.response;
        let other = (
            (&raw const (*response).word).read_volatile(),
            (&raw const (*response).answers).read_volatile(),
        );
        (&mut (*connection).stream.request, other)
    };
    observe::request_data(&mut hook, request, other, &segment, &Memory::new(base, place));
    1
}

/// An element of the half that responds.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wp_response(sk: u64, base: u64, place: u64, seq: u32) -> u32 {
    let Some(mut hook) = Hook::new(sk, base, place, seq) else { return 0 };
    let segment = Segment { seq, received: seq, now_ns: now() };
    let connection = hook.connection;
    // SAFETY: as in `wp_request`, with the halves exchanged.
    let (response, other) = unsafe {
        let stream = &raw mut (*connection).stream;
        (&mut (*stream).response, (&raw const (*stream).request.word).read_volatile())
    };
    observe::response_data(&mut hook, response, other, &segment, &Memory::new(base, place));
    1
}

/// Tells what is new of a walk: the first close frame or the first broken rule.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wp_news(sk: u64, args: u32, seq: u32) -> u32 {
    let Some(mut hook) = Hook::new(sk, 0, pair(args, 0), seq) else { return 0 };
    let half = if args & arguments::REQUEST != 0 { half::REQUEST } else { half::RESPONSE };
    // SAFETY: it lives as long as the program runs.
    let epoch = unsafe { (*hook.connection).stream.request.word } as u16;
    hook.send_summary(Kind::Frame, half, epoch, false);
    1
}

/// One end of the connection sends no more: this one or, with [`arguments::INCOMING`], the peer; with [`arguments::RST`]
/// it broke off. `unread` says that bytes of its half were never read. Told once for each end.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wp_ending(sk: u64, args: u32, unread: u32) -> u32 {
    let incoming = args & arguments::INCOMING != 0;
    let seq = Connection::seq(sk, args).wrapping_add(u32::from(unread != 0));
    let Some(mut hook) = Hook::new(sk, 0, pair(args, 0), seq) else { return 0 };
    let connection = hook.connection;
    let end = if incoming { ended::PEER } else { ended::LOCAL };
    // SAFETY: it lives as long as the program runs; aligned words are read and written.
    let (requests, words, next) = unsafe {
        if (*connection).ended & end != 0 {
            return 0;
        }
        (*connection).ended |= end;
        let stream = &raw const (*connection).stream;
        let requests = incoming == ((*stream).role == role::SERVER);
        let words = (
            (&raw const (*stream).request.word).read_volatile(),
            (&raw const (*stream).response.word).read_volatile(),
        );
        (requests, words, if requests { (*stream).request.next } else { (*stream).response.next })
    };
    let segment = Segment { seq, received: seq, now_ns: 0 };
    let half = if requests { half::REQUEST } else { half::RESPONSE };
    observe::ending(&mut hook, half, words, next, &segment, args & arguments::RST != 0);
    1
}

/// Walks the element's frames; 1 when there is news. `numbers` holds the first frame byte's offset and the
/// element's sequence number.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wp_walk(sk: u64, base: u64, place: u64, numbers: u64, now_ns: u64) -> u32 {
    let args = (place >> 32) as u32;
    let seq = numbers as u32;
    let begin = args & arguments::BEGIN != 0;
    let segment = Segment { seq, received: seq, now_ns };
    let frames = (numbers >> 32) as u32;
    let step = Step { frames, begin, join: args & arguments::JOIN != 0, ..Step::NONE };
    let len = place as u32;
    let Some(walk) = walk(sk, args, begin) else { return 0 };
    if !walk.lock.try_lock(add) {
        return 0;
    }
    let mut at = forget_bounds(u64::from(walk.enter(&step, &segment, len)), sk) as u32;
    let mut steps = 0;
    while steps < STEPS && at < len {
        steps += 1;
        at = wp_walk_step(sk, base, place, at);
    }
    let Some(walk) = self::walk(sk, args, false) else { return 0 };
    let news = walk.leave(at, len);
    walk.lock.unlock(add);
    u32::from(news)
}

/// One step of [`wp_walk`] from `at`; gives the offset behind it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wp_walk_step(sk: u64, base: u64, place: u64, at: u32) -> u32 {
    let args = (place >> 32) as u32;
    let memory = Memory::new(base, place);
    match walk(sk, args, false) {
        Some(walk) => walk.step(at, &memory, args & arguments::REQUEST != 0),
        None => memory.len(),
    }
}

/// The walk of the half of a socket's connection that `args` names.
#[inline(always)]
fn walk<'a>(sk: u64, args: u32, create: bool) -> Option<&'a mut Walk> {
    // SAFETY: not null means that it lives as long as the program runs; each half has one writer.
    let tunnel = unsafe { walks(sk, create).as_mut() }?;
    Some(tunnel.half(args))
}

/// One element on its way through the stream machine.
struct Hook {
    sk: u64,
    base: u64,
    place: u64,
    seq: u32,
    connection: *mut Connection,
}

impl Hook {
    #[inline(always)]
    fn new(sk: u64, base: u64, place: u64, seq: u32) -> Option<Self> {
        let connection = Connection::of(sk);
        if connection.is_null() { None } else { Some(Self { sk, base, place, seq, connection }) }
    }

    #[inline(always)]
    fn args(&self) -> u32 {
        (self.place >> 32) as u32
    }

    /// What a record says of this connection; before its first one its owner is told.
    #[inline(always)]
    fn meta(&self, kind: Kind, half: u8, epoch: u16, flags: u8) -> u64 {
        let connection = self.connection;
        // SAFETY: it lives as long as the program runs; this is a single word.
        let (role, flags) = unsafe {
            if (*connection).named == 0 {
                (*connection).named = wp_name(self.sk, self.args());
            }
            Stream::role_and_flags(&raw const (*connection).stream, flags)
        };
        Meta { kind, half, epoch, flags, role, args: self.args() }.pack()
    }

    #[inline(always)]
    fn lost(&mut self, half: u8) {
        // SAFETY: as above, and this is the half's hook.
        unsafe { Stream::lose(&raw mut (*self.connection).stream, half) };
    }
}

impl Host for Hook {
    #[inline(always)]
    fn send_bytes(&mut self, half: u8, epoch: u16, step: &Step) {
        let mut flags = 0;
        if step.truncated {
            count(Counter::Truncated);
            flags = flags::TRUNCATED;
        }
        let meta = self.meta(Kind::Bytes, half, epoch, flags);
        let range = pair(step.from, step.len);
        if wp_send_bytes(self.sk, self.base, meta, range, self.seq) == 0 {
            self.lost(half);
        }
    }

    #[inline(always)]
    fn send_summary(&mut self, kind: Kind, half: u8, epoch: u16, rst: bool) {
        let flags = if rst { flags::RST } else { 0 };
        let meta = self.meta(kind, half, epoch, flags);
        if wp_send_summary(self.sk, meta, self.seq) == 0 {
            self.lost(half);
        }
    }

    #[inline(always)]
    fn walk<P: Payload + ?Sized>(&mut self, _: u8, step: &Step, segment: &Segment, _: &P) -> bool {
        let mut place = self.place;
        if step.begin {
            place |= pair(arguments::BEGIN, 0);
        }
        if step.join {
            place |= pair(arguments::JOIN, 0);
        }
        let numbers = pair(step.frames, segment.seq);
        wp_walk(self.sk, self.base, place, numbers, segment.now_ns) != 0
    }

    #[inline(always)]
    fn walk_of(&mut self, half: u8) -> Option<&mut Walk> {
        walk(self.sk, if half == half::REQUEST { arguments::REQUEST } else { 0 }, false)
    }

    #[inline(always)]
    fn opened(&mut self, now_ns: u64) {
        count(Counter::Opened);
        // SAFETY: as in `walk`; only the response half's calls write this word.
        if let Some(tunnel) = unsafe { walks(self.sk, false).as_mut() } {
            tunnel.open(now_ns);
        }
    }

    #[inline(always)]
    fn is_open(&mut self) -> bool {
        // SAFETY: as above.
        unsafe { walks(self.sk, false).as_ref() }
            .is_some_and(|tunnel: &Tunnel| tunnel.opened_ns != 0)
    }
}
