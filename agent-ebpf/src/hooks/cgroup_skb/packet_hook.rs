//! The two programs, and the steps that a packet goes through, the cheapest first.

use aya_ebpf::{
    bindings::{__sk_buff, bpf_sock},
    helpers::generated::bpf_get_socket_cookie,
    macros::cgroup_skb,
    programs::SkBuffContext,
};
use wstap_common::{
    payload::Payload,
    record::{half, role},
    stream::{RequestHalf, ResponseHalf, observe},
};

use super::{
    begin::{BEGAN, OTHER, ws_begin},
    machine::{segment, ws_ending, ws_news, ws_request, ws_response},
    ordinary::{NOT_HANDLED, ORDINARY, take},
};
use crate::{
    arguments::{self, pair},
    connection::{
        adopt::{self, ws_older},
        fast_path::{self, Hints},
        frame_walk::{ws_catch_up, ws_quick, ws_walk},
        state::Stream,
    },
    packet::Packet,
    socket::{full_socket, passed},
};

/// Allows the packet, whatever was seen.
const ALLOW: i32 = 1;

const TCP_LISTEN: u32 = 10;

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

/// The steps of a packet; `None` where it needs no more of them.
#[inline(always)]
fn observe(skb: *mut __sk_buff, incoming: bool) -> Option<()> {
    let packet = Passing::of(skb, incoming)?;
    if packet.takes_the_fast_path() {
        return None;
    }
    packet.catch_up();
    let sk = full_socket(skb)?;
    let args = packet.arguments(sk);
    let stored =
        if args & arguments::LISTENER != 0 { core::ptr::null_mut() } else { Stream::of(sk) };
    if packet.walk_frames(stored, args) && !packet.is_end() {
        return None;
    }
    let received = packet.received(sk, args)?;
    let numbers = pair(packet.seq, received);
    let known = packet.known_or_begun(stored, args, numbers)?;
    packet.takes_data(stored, &known, numbers);
    packet.takes_an_end(&known, received);
    Some(())
}

/// A packet with data or an end.
struct Passing {
    packet: Packet,
    incoming: bool,
    /// Of its first byte of data: a SYN's (TCP Fast Open, RFC 7413) begins behind the SYN itself.
    seq: u32,
    cookie: u64,
    hints: &'static Hints,
    /// The class of its connection, by the hints.
    class: u64,
}

/// What the state of its connection says, read once.
struct Known {
    /// What the packet is: bits of [`arguments`].
    args: u32,
    request: u32,
    response: u32,
}

impl Known {
    const fn requests(&self) -> bool {
        self.args & arguments::REQUEST != 0
    }
}

impl Passing {
    #[inline(always)]
    fn of(skb: *mut __sk_buff, incoming: bool) -> Option<Self> {
        let packet = Packet::parse(skb)?;
        if packet.payload.len() == 0 && !packet.fin && !packet.rst {
            return None;
        }
        let seq = packet.seq.wrapping_add(u32::from(packet.syn));
        // SAFETY: the helper takes the hook's own context.
        let cookie = unsafe { bpf_get_socket_cookie(skb.cast()) };
        let hints = Hints::of(cookie)?;
        Some(Self { packet, incoming, seq, cookie, hints, class: hints.class(cookie) })
    }

    #[inline(always)]
    fn has_data(&self) -> bool {
        self.packet.payload.len() > 0
    }

    #[inline(always)]
    const fn is_end(&self) -> bool {
        self.packet.fin || self.packet.rst
    }

    /// Whether the segment was taken without its connection's state: an answer that nobody waits for, bytes inside a
    /// frame, or a frame of a connection that carries nothing else.
    #[inline(always)]
    fn takes_the_fast_path(&self) -> bool {
        let Self { packet, incoming, seq, cookie, hints, class } = self;
        let (skb, payload) = (packet.skb, &packet.payload);
        let answers = if *incoming { fast_path::ANSWERS_IN } else { fast_path::ANSWERS_OUT };
        self.has_data()
            && !self.is_end()
            && (*class == answers
                || hints.pass(*cookie, *incoming, *seq, payload.len())
                || (*class == fast_path::FRAMES_ONLY
                    && ws_quick(skb, *cookie, u32::from(*incoming), payload.start(), *seq) != 0))
    }

    /// The walk catches up with what passed inside a frame.
    #[inline(always)]
    fn catch_up(&self) {
        if self.hints.passed(self.cookie, self.incoming).is_some() {
            ws_catch_up(self.packet.skb, self.cookie, u32::from(self.incoming));
        }
    }

    /// What the packet is, as far as its socket says: bits of [`arguments`].
    #[inline(always)]
    fn arguments(&self, sk: *mut bpf_sock) -> u32 {
        let incoming = if self.incoming { arguments::INCOMING } else { 0 };
        // SAFETY: `sk` is a full socket; the verifier checks the field.
        let listener = unsafe { (*sk).state } == TCP_LISTEN;
        if listener { incoming | arguments::LISTENER } else { incoming }
    }

    /// Whether the data is all frames, which are then walked. After a 101 there is only the walk, which asks TCP when it
    /// has to.
    #[inline(always)]
    fn walk_frames(&self, stored: *mut Stream, args: u32) -> bool {
        if !self.has_data() {
            return false;
        }
        // SAFETY: not null means that it points to a Stream that lives as long as the program runs; of a
        // half that another hook writes, one aligned word is read.
        let Some(stream) = (unsafe { stored.as_ref() }) else { return false };
        let requests = self.incoming == (stream.role == role::SERVER);
        let half = if requests { half::REQUEST } else { half::RESPONSE };
        if !observe::is_walked(half, stream.request.word, stream.response.word) {
            return false;
        }
        let mut args = if requests { args | arguments::REQUEST } else { args };
        if observe::stays_walked(stream.request.word, stream.response.word) {
            args |= arguments::STAYS;
            self.hints.set_class(self.cookie, fast_path::FRAMES_ONLY);
        }
        self.walk(args);
        true
    }

    #[inline(always)]
    fn walk(&self, args: u32) {
        let place = pair(self.packet.payload.len(), 0);
        if ws_walk(self.packet.skb, args, place, self.seq) != 0 {
            ws_news(self.packet.skb, args);
        }
    }

    /// How far every byte of the direction has passed.
    #[inline(always)]
    fn received(&self, sk: *mut bpf_sock, args: u32) -> Option<u32> {
        if args & arguments::LISTENER != 0 || self.packet.syn {
            Some(self.seq)
        } else {
            passed(sk, self.incoming)
        }
    }

    /// What is known of the connection: from its state, or from that which the segment makes.
    #[inline(always)]
    fn known_or_begun(&self, stored: *mut Stream, args: u32, numbers: u64) -> Option<Known> {
        let (skb, start) = (self.packet.skb, self.packet.payload.start());
        // SAFETY: as in `walk_frames`.
        let (role, request, response) = match unsafe { stored.as_ref() } {
            Some(stream) => (stream.role, stream.request.word, stream.response.word),
            None if self.has_data() => match ws_begin(skb, start, args, numbers) {
                BEGAN => (if self.incoming { role::SERVER } else { role::CLIENT }, 0, 0),
                // VERIFIER: called here and not where it is found out, or on 5.10 the stacks of the functions that call
                // each other were together too large.
                OTHER => match ws_older(skb, start, args, self.seq) {
                    adopt::FOUND_SERVER => (role::SERVER, FOUND.0, FOUND.1),
                    adopt::FOUND_CLIENT => (role::CLIENT, FOUND.0, FOUND.1),
                    _ => return None,
                },
                _ => return None,
            },
            None => return None,
        };
        let requests = self.incoming == (role == role::SERVER);
        let args = if requests { args | arguments::REQUEST } else { args };
        Some(Known { args, request, response })
    }

    /// Takes the data to the half that it belongs to.
    #[inline(always)]
    fn takes_data(&self, stored: *mut Stream, known: &Known, numbers: u64) {
        let (requests, args) = (known.requests(), known.args);
        // The answers to ordinary requests, most of a server's segments, end here.
        if !self.has_data() || !(requests || !RequestHalf::is_idle(known.request)) {
            return;
        }
        let half = if requests { half::REQUEST } else { half::RESPONSE };
        if observe::is_walked(half, known.request, known.response) {
            // What was walked above, unless it was found just now.
            if stored.is_null() {
                self.walk(args);
            }
            return;
        }
        let (skb, payload) = (self.packet.skb, &self.packet.payload);
        let taken = if stored.is_null() {
            NOT_HANDLED
        } else {
            // SAFETY: it lives as long as the program runs; this hook is the half's only writer.
            unsafe { take(stored, requests, &segment(numbers), skb, payload) }
        };
        if requests {
            self.hint(taken == ORDINARY);
        }
        match (taken, requests) {
            (NOT_HANDLED, true) => ws_request(skb, payload.start(), args, numbers),
            (NOT_HANDLED, false) => ws_response(skb, payload.start(), args, numbers),
            _ => 1,
        };
    }

    /// Leaves a hint for the answers: whether nobody waits for them.
    #[inline(always)]
    fn hint(&self, is_ordinary: bool) {
        let answers = if self.incoming { fast_path::ANSWERS_OUT } else { fast_path::ANSWERS_IN };
        let now = if is_ordinary { answers } else { fast_path::UNKNOWN };
        if now != self.class {
            self.hints.set_class(self.cookie, now);
        }
    }

    /// Takes a FIN or an RST.
    #[inline(always)]
    fn takes_an_end(&self, known: &Known, received: u32) {
        if self.is_end() {
            let end = self.seq.wrapping_add(self.packet.payload.len());
            let rst = if self.packet.rst { arguments::RST } else { 0 };
            ws_ending(self.packet.skb, known.args | rst, pair(end, received));
        }
    }
}
