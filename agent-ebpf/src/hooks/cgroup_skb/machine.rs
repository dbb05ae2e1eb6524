//! The stream machine's host: feeds it a packet, and does what it asks for.

use aya_ebpf::{
    bindings::{__sk_buff, bpf_sock},
    helpers::generated::bpf_ktime_get_ns,
};
use wstap_common::{
    counters::Counter,
    frame::Walk,
    payload::Payload,
    record::{Kind, flags, half},
    stream::{
        Segment, Step,
        observe::{self, Host},
    },
};

use super::shedding::ws_sheds;
use crate::{
    arguments::{self, pair},
    connection::{
        self,
        frame_walk::ws_walk,
        state::{Stream, Tunnel},
        summary::ws_send_summary,
    },
    counters::count,
    packet::SkbPayload,
    ring::emit::{Meta, ws_send_bytes},
    socket::full_socket,
};

/// Tells what is new of a walk: the first close frame or the first broken rule.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_news(skb: *mut __sk_buff, args: u32) -> u32 {
    let Some(mut hook) = Hook::new(skb, args) else { return 0 };
    let half = if args & arguments::REQUEST != 0 { half::REQUEST } else { half::RESPONSE };
    // SAFETY: the stream lives as long as the program runs.
    let epoch = unsafe { (*hook.stream).request.word } as u16;
    hook.send_summary(Kind::Frame, half, epoch, false);
    1
}

/// A segment with data of the half that requests; see `packet/scans.rs` for why it is a global function.
/// `args` holds bits of [`arguments`], `numbers` the sequence number and RCV.NXT.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_request(skb: *mut __sk_buff, start: u32, args: u32, numbers: u64) -> u32 {
    let Some(mut hook) = Hook::new(skb, args) else { return 0 };
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

/// A segment with data of the half that responds; as [`ws_request`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_response(skb: *mut __sk_buff, start: u32, args: u32, numbers: u64) -> u32 {
    let Some(mut hook) = Hook::new(skb, args) else { return 0 };
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
pub extern "C" fn ws_ending(skb: *mut __sk_buff, args: u32, numbers: u64) -> u32 {
    let Some(mut hook) = Hook::new(skb, args) else { return 0 };
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
        (words, if args & arguments::REQUEST != 0 { (*request).next } else { (*response).next })
    };
    let half = if args & arguments::REQUEST != 0 { half::REQUEST } else { half::RESPONSE };
    observe::ending(&mut hook, half, words, next, &segment, args & arguments::RST != 0);
    1
}

/// The segment of a packet. Its time is asked for where it is needed ([`Hook::now_ns`]): of most segments it is not, and
/// a reading of the clock costs as much as a look-up.
#[inline(always)]
pub const fn segment(numbers: u64) -> Segment {
    Segment { seq: (numbers >> 32) as u32, received: numbers as u32, now_ns: 0 }
}

/// One packet on its way through the stream machine.
struct Hook {
    skb: *mut __sk_buff,
    sk: *mut bpf_sock,
    stream: *mut Stream,
    args: u32,
    /// When it passed; 0 until somebody asks.
    now_ns: u64,
}

impl Hook {
    #[inline(always)]
    fn new(skb: *mut __sk_buff, args: u32) -> Option<Self> {
        let sk = full_socket(skb)?;
        let stream = connection::stream(skb, sk, args)?;
        Some(Self { skb, sk, stream, args, now_ns: 0 })
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
        Meta { kind, half, epoch, flags, role, args: self.args }.pack()
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
        if ws_sheds(self.skb, self.args, u32::from(begins), u32::from(epoch)) != 0 {
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
        let shed = kind == Kind::Ending && unsafe { Stream::is_shed(self.stream, epoch) };
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
        if self.args & arguments::LISTENER != 0 {
            return false;
        }
        let mut args = self.args;
        if step.begin {
            args |= arguments::BEGIN;
        }
        if step.join {
            args |= arguments::JOIN;
        }
        let place = pair(payload.len(), step.frames);
        ws_walk(self.skb, args, place, segment.seq) != 0
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
