//! cgroup_skb, ingress and egress: every packet of every socket below the cgroup.
//!
//! When: ingress runs in `sk_filter`, before TCP's own checks; egress in `ip_output`, after TCP has
//! built the segment. Both since Linux 4.10, with socket storage since 5.2.
//! Misses: bytes that never become packets (sockets joined by a sockmap, unix sockets).

use aya_ebpf::{
    bindings::{__sk_buff, bpf_sock},
    helpers::generated::{bpf_get_socket_cookie, bpf_ktime_get_ns, bpf_sk_fullsock, bpf_tcp_sock},
    macros::cgroup_skb,
    programs::SkBuffContext,
};
use wstap_common::{
    counters::Counter,
    frame::Walk,
    payload::Payload,
    record::{Kind, flags, half, role},
    stream::{
        RequestHalf, ResponseHalf, Segment, Step,
        observe::{self, Host},
        scan::{self, Start},
        sequence::WINDOW,
    },
};

use crate::{
    emit::{Meta, is_crowded, was_crowded, ws_send_bytes, ws_send_summary},
    flows::{self, Flow},
    maps::{LISTENED, count},
    older::{self, ws_older},
    packet::{Packet, SkbPayload},
    rare::{self, ws_rare},
    streams::{SHED, Stream, Tunnel},
    walk::{ws_catch_up, ws_quick, ws_walk},
    ways::{self, pair},
};

/// Allows the packet, whatever was seen.
const ALLOW: i32 = 1;

const TCP_LISTEN: u32 = 10;

/// What [`ws_begin`] gives when a request may begin with the segment.
const BEGAN: u32 = 1;
/// What it gives when the segment is in order and begins none: it may hold frames.
const OTHER: u32 = 2;

/// The words of both halves of a connection that was found.
const FOUND: (u32, u32) = (RequestHalf::found().word, ResponseHalf::found().word);

/// Packets that come in.
#[cgroup_skb]
pub fn ws_skb_in(context: SkBuffContext) -> i32 {
    let _ = observe(context.skb.skb, true);
    ALLOW
}

/// Packets that go out.
#[cgroup_skb]
pub fn ws_skb_out(context: SkBuffContext) -> i32 {
    let _ = observe(context.skb.skb, false);
    ALLOW
}

#[inline(always)]
fn observe(skb: *mut __sk_buff, incoming: bool) -> Option<()> {
    let packet = Packet::parse(skb)?;
    let has_data = packet.payload.len() > 0;
    let is_end = packet.fin || packet.rst;
    if !has_data && !is_end {
        return None;
    }
    // A SYN's data (TCP Fast Open, RFC 7413) begins behind the SYN itself.
    let seq = packet.seq.wrapping_add(u32::from(packet.syn));
    // SAFETY: the helper takes the hook's own context.
    let cookie = unsafe { bpf_get_socket_cookie(skb.cast()) };
    let flow = Flow::of(cookie)?;
    let known = flow.known(cookie);
    if has_data && !is_end {
        let payload = &packet.payload;
        if known == if incoming { flows::ANSWERS_IN } else { flows::ANSWERS_OUT }
            || flow.pass(cookie, incoming, seq, payload.len())
            || (known == flows::WALKED
                && ws_quick(skb, cookie, u32::from(incoming), payload.start(), seq) != 0)
        {
            return None;
        }
    }
    if flow.passed(cookie, incoming).is_some() {
        ws_catch_up(skb, cookie, u32::from(incoming));
    }
    let sk = full_socket(skb)?;
    // SAFETY: `sk` is a full socket; the verifier checks the field.
    let listener = unsafe { (*sk).state } == TCP_LISTEN;
    let mut way = if incoming { ways::INCOMING } else { 0 };
    if listener {
        way |= ways::LISTENER;
    }
    let start = packet.payload.start();
    let stream = if listener { core::ptr::null_mut() } else { Stream::of(sk) };
    // After a 101 there is only the walk, which asks TCP when it has to.
    // SAFETY: as below.
    if has_data && let Some(stream) = unsafe { stream.as_ref() } {
        let requests = incoming == (stream.role == role::SERVER);
        let half = if requests { half::REQUEST } else { half::RESPONSE };
        if observe::is_walked(half, stream.request.word, stream.response.word) {
            let mut way = if requests { way | ways::REQUEST } else { way };
            if observe::stays_walked(stream.request.word, stream.response.word) {
                way |= ways::STAYS;
                flow.set_known(cookie, flows::WALKED);
            }
            if ws_walk(skb, way, pair(packet.payload.len(), 0), seq) != 0 {
                ws_news(skb, way);
            }
            if !is_end {
                return None;
            }
        }
    }
    let received = if listener || packet.syn { seq } else { passed(sk, incoming)? };
    let numbers = pair(seq, received);
    // SAFETY: not null means that it points to a Stream that lives as long as the program runs; of a
    // half that another hook writes, one aligned word is read.
    let (role, request, response) = match unsafe { stream.as_ref() } {
        Some(stream) => (stream.role, stream.request.word, stream.response.word),
        None if has_data => match ws_begin(skb, start, way, numbers) {
            BEGAN => (if incoming { role::SERVER } else { role::CLIENT }, 0, 0),
            // VERIFIER: called here and not where it is found out, or on 5.10 the stacks of the functions that call
            // each other were together too large.
            OTHER => match ws_older(skb, start, way, seq) {
                older::FOUND_SERVER => (role::SERVER, FOUND.0, FOUND.1),
                older::FOUND_CLIENT => (role::CLIENT, FOUND.0, FOUND.1),
                _ => return None,
            },
            _ => return None,
        },
        None => return None,
    };
    let requests = incoming == (role == role::SERVER);
    if requests {
        way |= ways::REQUEST;
    }
    let half = if requests { half::REQUEST } else { half::RESPONSE };
    // The answers to ordinary requests, most of a server's segments, end here.
    let awaited = requests || !RequestHalf::is_idle(request);
    if has_data && awaited {
        if observe::is_walked(half, request, response) {
            // What was walked above, unless it was found just now.
            if stream.is_null() && ws_walk(skb, way, pair(packet.payload.len(), 0), seq) != 0 {
                ws_news(skb, way);
            }
        } else {
            let taken = if stream.is_null() {
                TAKEN_NOT
            } else {
                // SAFETY: it lives as long as the program runs; this hook is the half's only writer.
                unsafe { take(stream, requests, &segment(numbers), skb, &packet.payload) }
            };
            if requests {
                let answers = if incoming { flows::ANSWERS_OUT } else { flows::ANSWERS_IN };
                let now = if taken == TAKEN_ORDINARY { answers } else { flows::UNKNOWN };
                if now != known {
                    flow.set_known(cookie, now);
                }
            }
            match (taken, requests) {
                (TAKEN_NOT, true) => ws_request(skb, start, way, numbers),
                (TAKEN_NOT, false) => ws_response(skb, start, way, numbers),
                _ => 1,
            };
        }
    }
    if is_end {
        let end = seq.wrapping_add(packet.payload.len());
        ws_ending(skb, way | if packet.rst { ways::RST } else { 0 }, pair(end, received));
    }
    Some(())
}

/// [`take`] did nothing.
const TAKEN_NOT: u32 = 0;
/// It took an ordinary request, whose answer nobody waits for.
const TAKEN_ORDINARY: u32 = 1;
/// It took a request that is shed without a look, or the answer to one.
const TAKEN_SHED: u32 = 2;

/// Takes what nearly every segment is at the least cost, before the stream machine. It gives the same state for an
/// ordinary request; to look for the word in a request that is shed is spared.
///
/// # Safety
/// The stream must live, and this be the hook of the half that `requests` names.
#[inline(always)]
unsafe fn take(
    stream: *mut Stream,
    requests: bool,
    segment: &Segment,
    skb: *mut __sk_buff,
    payload: &SkbPayload,
) -> u32 {
    // SAFETY: it lives as long as the program runs; each half is written by its hook, and of the other an aligned
    // word is read.
    unsafe {
        let request = &raw mut (*stream).request;
        let response = &raw mut (*stream).response;
        if !requests {
            let other = (&raw const (*request).word).read_volatile();
            let shed = is_shed(stream, other as u16) && (*response).pass(other, segment, payload);
            return if shed { TAKEN_SHED } else { TAKEN_NOT };
        }
        let other = (&raw const (*response).word).read_volatile();
        if !(*request).awaits(other, segment) {
            return TAKEN_NOT;
        }
        let kind = ws_get(skb, payload.start());
        match kind {
            TAKEN_ORDINARY => (*request).pass(segment, payload.len()),
            TAKEN_SHED => {
                (*request).presume(segment, payload.len());
                shed(stream, (*request).word as u16);
            }
            _ => {}
        }
        kind
    }
}

/// What kind of GET a segment is: TAKEN_ORDINARY for a plain one, TAKEN_SHED for any while the ring is crowded. As
/// [`ws_request`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_get(skb: *mut __sk_buff, start: u32) -> u32 {
    let payload = SkbPayload::at(skb, start);
    if was_crowded() && is_crowded() {
        return if scan::is_get(&payload) { TAKEN_SHED } else { TAKEN_NOT };
    }
    if scan::is_plain_get(&payload) { TAKEN_ORDINARY } else { TAKEN_NOT }
}

/// Whether the candidate is not told because the ring was crowded when it came.
///
/// # Safety
/// The stream must live.
#[inline(always)]
unsafe fn is_shed(stream: *const Stream, epoch: u16) -> bool {
    // SAFETY: as the caller vouches; an aligned word with one writer.
    unsafe { (&raw const (*stream).shed).read_volatile() == SHED | u32::from(epoch) }
}

/// Sheds a candidate: a handshake that cannot be told whole is not told at all, which costs the traffic the least.
///
/// # Safety
/// The stream must live, and this be the request half's hook.
#[inline(always)]
unsafe fn shed(stream: *mut Stream, epoch: u16) {
    count(Counter::Shed);
    // SAFETY: as the caller vouches.
    unsafe { (&raw mut (*stream).shed).write_volatile(SHED | u32::from(epoch)) };
}

/// Tells what is new of a walk: the first close frame or the first broken rule.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_news(skb: *mut __sk_buff, way: u32) -> u32 {
    let Some(mut hook) = Hook::new(skb, way) else { return 0 };
    let half = if way & ways::REQUEST != 0 { half::REQUEST } else { half::RESPONSE };
    // SAFETY: the stream lives as long as the program runs.
    let epoch = unsafe { (*hook.stream).request.word } as u16;
    hook.send_summary(Kind::Frame, half, epoch, false);
    1
}

/// A segment with data of the half that requests; see `scans.rs` for why it is a global function.
/// `way` holds bits of [`ways`], `numbers` the sequence number and RCV.NXT.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_request(skb: *mut __sk_buff, start: u32, way: u32, numbers: u64) -> u32 {
    let Some(mut hook) = Hook::new(skb, way) else { return 0 };
    let segment = segment(numbers);
    let stream = hook.stream;
    // SAFETY: `stream` points into a map value that lives as long as the program runs. This hook is
    // the request half's only writer; of the other half aligned words are read.
    let (request, other) = unsafe {
        let response = &raw const (*stream).response;
        let other = (
            (&raw const (*response).word).read_volatile(),
            (&raw const (*response).answers).read_volatile(),
        );
        (&mut (*stream).request, other)
    };
    observe::request_data(&mut hook, request, other, &segment, &SkbPayload::at(skb, start));
    1
}

/// Whether nothing of a candidate is told because the ring was crowded when it began: `begins` asks that of the ring. As
/// [`ws_request`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_sheds(skb: *mut __sk_buff, way: u32, begins: u32, epoch: u32) -> u32 {
    let Some(hook) = Hook::new(skb, way) else { return 1 };
    let epoch = epoch as u16;
    // SAFETY: the stream lives as long as the program runs.
    if unsafe { is_shed(hook.stream, epoch) } {
        return 1;
    }
    if begins == 0 {
        return 0;
    }
    if is_crowded() {
        // SAFETY: as above, and this is the request half.
        unsafe { shed(hook.stream, epoch) };
        return 1;
    }
    // Or it would be believed of another candidate, 65,536 later.
    // SAFETY: as in `ws_request`.
    unsafe { (&raw mut (*hook.stream).shed).write_volatile(0) };
    0
}

/// A segment with data of the half that responds; as [`ws_request`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_response(skb: *mut __sk_buff, start: u32, way: u32, numbers: u64) -> u32 {
    let Some(mut hook) = Hook::new(skb, way) else { return 0 };
    let segment = segment(numbers);
    let stream = hook.stream;
    // SAFETY: as in `ws_request`, with the halves exchanged.
    let (response, other) =
        unsafe { (&mut (*stream).response, (&raw const (*stream).request.word).read_volatile()) };
    observe::response_data(&mut hook, response, other, &segment, &SkbPayload::at(skb, start));
    1
}

/// A FIN or RST at the given sequence number; as [`ws_request`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_ending(skb: *mut __sk_buff, way: u32, numbers: u64) -> u32 {
    let Some(mut hook) = Hook::new(skb, way) else { return 0 };
    let segment = segment(numbers);
    let stream = hook.stream;
    // SAFETY: as in `ws_request`; aligned words are read.
    let (words, next) = unsafe {
        let request = &raw const (*stream).request;
        let response = &raw const (*stream).response;
        let words = (
            (&raw const (*request).word).read_volatile(),
            (&raw const (*response).word).read_volatile(),
        );
        (words, if way & ways::REQUEST != 0 { (*request).next } else { (*response).next })
    };
    let half = if way & ways::REQUEST != 0 { half::REQUEST } else { half::RESPONSE };
    observe::ending(&mut hook, half, words, next, &segment, way & ways::RST != 0);
    1
}

/// The segment of a packet. Its time is asked for where it is needed ([`Hook::now_ns`]): of most segments it is not, and
/// a reading of the clock costs as much as a look-up.
#[inline(always)]
const fn segment(numbers: u64) -> Segment {
    Segment { seq: (numbers >> 32) as u32, received: numbers as u32, now_ns: 0 }
}

/// The packet's socket, of whatever kind.
#[inline(always)]
pub fn socket(skb: *mut __sk_buff) -> Option<*mut bpf_sock> {
    // SAFETY: the verifier checks the field.
    let sk = unsafe { (*skb).__bindgen_anon_2.sk };
    if sk.is_null() { None } else { Some(sk) }
}

#[inline(always)]
pub fn full_socket(skb: *mut __sk_buff) -> Option<*mut bpf_sock> {
    let sk = socket(skb)?;
    // SAFETY: not null, as checked.
    let sk = unsafe { bpf_sk_fullsock(sk) };
    if sk.is_null() { None } else { Some(sk) }
}

/// How far every byte has passed: RCV.NXT of what comes in, SND.NXT of what goes out (which TCP moves
/// on after the hook, so new bytes begin there and what is sent again begins before it).
#[inline(always)]
pub fn passed(sk: *mut bpf_sock, incoming: bool) -> Option<u32> {
    // SAFETY: `sk` is a full socket.
    let tcp = unsafe { bpf_tcp_sock(sk) };
    if tcp.is_null() {
        return None;
    }
    // VERIFIER: both are read, or LLVM chooses the field's offset first: "pointer arithmetic on tcp_sock
    // prohibited".
    // SAFETY: not null, as checked; the verifier checks the fields.
    let (received, sent) = unsafe {
        ((&raw const (*tcp).rcv_nxt).read_volatile(), (&raw const (*tcp).snd_nxt).read_volatile())
    };
    Some(if incoming { received } else { sent })
}

/// Whether TCP has not yet received a byte on this connection.
#[inline(always)]
fn is_fresh(sk: *mut bpf_sock) -> bool {
    // SAFETY: `sk` is a full socket.
    let tcp = unsafe { bpf_tcp_sock(sk) };
    // SAFETY: not null, as checked; the verifier checks the field.
    !tcp.is_null() && unsafe { (*tcp).bytes_received } == 0
}

/// Makes the state of a connection that has none, when this segment may begin a request; [`BEGAN`], [`OTHER`] or 0. As
/// [`ws_request`].
// VERIFIER: a function of its own, for its stack; global as those in `scans.rs`.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_begin(skb: *mut __sk_buff, start: u32, way: u32, numbers: u64) -> u32 {
    let (incoming, listener) = (way & ways::INCOMING != 0, way & ways::LISTENER != 0);
    let (seq, received) = ((numbers >> 32) as u32, numbers as u32);
    let Some(sk) = full_socket(skb) else { return 0 };
    let payload = SkbPayload::at(skb, start);
    let behind = seq.wrapping_sub(received);
    if scan::start(&payload, 0) == Start::Other {
        if behind == 0 && !listener {
            return OTHER;
        }
        // Bytes that overtook a connection's first ones may be the rest of its first head.
        if !incoming || listener || behind > WINDOW || !is_fresh(sk) {
            return 0;
        }
    } else if behind > WINDOW || scan::is_lone_preamble(&payload, 0) {
        // Old or forged; or nothing yet.
        return 0;
    }
    let new = Stream::new(received, if incoming { role::SERVER } else { role::CLIENT });
    let stored = if listener {
        // Never a listener's own storage: it is shared by all its connections.
        let taken = LISTENED.insert(ws_key(skb), new, 0).is_ok();
        if !taken {
            ws_rare(rare::LISTENED_FULL);
        }
        taken
    } else {
        !new.store(sk).is_null()
    };
    u32::from(stored)
}

/// The key of an incoming packet's connection in the listener's table.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_key(skb: *mut __sk_buff) -> u64 {
    Packet::parse(skb).and_then(|packet| packet.identity(true)).map_or(0, |identity| identity.key())
}

/// One packet on its way through the stream machine.
struct Hook {
    skb: *mut __sk_buff,
    sk: *mut bpf_sock,
    stream: *mut Stream,
    way: u32,
    /// When it passed; 0 until somebody asks.
    now_ns: u64,
}

impl Hook {
    #[inline(always)]
    fn new(skb: *mut __sk_buff, way: u32) -> Option<Self> {
        let sk = full_socket(skb)?;
        let stream = if way & ways::LISTENER == 0 {
            Stream::of(sk)
        } else {
            LISTENED.get_ptr_mut(ws_key(skb))?
        };
        if stream.is_null() { None } else { Some(Self { skb, sk, stream, way, now_ns: 0 }) }
    }

    /// When the packet passed.
    #[inline(always)]
    fn now_ns(&mut self) -> u64 {
        if self.now_ns == 0 {
            // SAFETY: the helper has no preconditions.
            self.now_ns = unsafe { bpf_ktime_get_ns() };
        }
        self.now_ns
    }

    /// What a record says of this connection.
    #[inline(always)]
    fn meta(&self, kind: Kind, half: u8, epoch: u16, flags: u8) -> u64 {
        // SAFETY: the stream lives as long as the program runs.
        let (role, flags) = unsafe { Stream::role_and_flags(self.stream, flags) };
        Meta { kind, half, epoch, flags, role, way: self.way }.pack()
    }

    #[inline(always)]
    fn lost(&mut self, half: u8) {
        // SAFETY: as above, and this is the half's hook.
        unsafe { Stream::lose(self.stream, half) };
    }
}

impl Host for Hook {
    #[inline(always)]
    fn send_bytes(&mut self, half: u8, epoch: u16, step: &Step) {
        // SAFETY: the stream lives as long as the program runs; this is the half's hook.
        let begins = half == half::REQUEST && unsafe { (*self.stream).request.begins(step) };
        if ws_sheds(self.skb, self.way, u32::from(begins), u32::from(epoch)) != 0 {
            return;
        }
        let mut flags = 0;
        if step.truncated {
            count(Counter::Truncated);
            flags = flags::TRUNCATED;
        }
        let meta = self.meta(Kind::Bytes, half, epoch, flags);
        if ws_send_bytes(self.skb, meta, step.from, step.len) == 0 {
            self.lost(half);
        }
    }

    #[inline(always)]
    fn send_summary(&mut self, kind: Kind, half: u8, epoch: u16, rst: bool) {
        // Whether it is an RST, the packet itself says.
        let _ = rst;
        // SAFETY: the stream lives as long as the program runs.
        let shed = kind == Kind::Ending && unsafe { is_shed(self.stream, epoch) };
        if shed && !self.is_open() {
            return;
        }
        let meta = self.meta(kind, half, epoch, 0);
        if ws_send_summary(self.skb, meta) == 0 {
            self.lost(half);
        }
    }

    #[inline(always)]
    fn walk<P: Payload + ?Sized>(
        &mut self,
        _: u8,
        step: &Step,
        segment: &Segment,
        payload: &P,
    ) -> bool {
        if self.way & ways::LISTENER != 0 {
            return false;
        }
        let mut way = self.way;
        if step.begin {
            way |= ways::BEGIN;
        }
        if step.join {
            way |= ways::JOIN;
        }
        let place = pair(payload.len(), step.frames);
        ws_walk(self.skb, way, place, segment.seq) != 0
    }

    #[inline(always)]
    fn walk_of(&mut self, half: u8) -> Option<&mut Walk> {
        // SAFETY: not null means that it lives as long as the program runs; this hook is the only
        // writer of the half that it walks.
        let tunnel = unsafe { Tunnel::of(self.sk, false).as_mut() }?;
        Some(if half == half::REQUEST { &mut tunnel.request } else { &mut tunnel.response })
    }

    #[inline(always)]
    fn opened(&mut self, _: u64) {
        count(Counter::Opened);
        // SAFETY: as above; only the response half's hook writes this word.
        if let Some(tunnel) = unsafe { Tunnel::of(self.sk, false).as_mut() } {
            tunnel.open(self.now_ns());
        }
    }

    #[inline(always)]
    fn is_open(&mut self) -> bool {
        // SAFETY: as above.
        unsafe { Tunnel::of(self.sk, false).as_ref() }.is_some_and(|tunnel| tunnel.opened_ns != 0)
    }
}
