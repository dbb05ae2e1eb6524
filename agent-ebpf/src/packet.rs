//! The view of a packet: where its TCP payload is, and the payload as the stream machine reads it.

use core::mem::MaybeUninit;

use aya_ebpf::{bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes};
use wstap_common::{
    payload::{Chunk, Payload},
    record::Record,
    stream::scan::Which,
};

use crate::{
    identity::{Identity, mapped},
    scans,
};

/// What the hooks need of the IP and TCP headers.
pub struct Packet {
    pub skb: *mut __sk_buff,
    /// Whether it is IPv6.
    v6: bool,
    /// The source's and the destination's port, in network byte order.
    pub ports: [u8; 4],
    pub seq: u32,
    pub fin: bool,
    pub rst: bool,
    pub syn: bool,
    /// The TCP payload.
    pub payload: SkbPayload,
}

/// A TCP segment's payload.
#[derive(Clone, Copy)]
pub struct SkbPayload {
    skb: *mut __sk_buff,
    start: u32,
    len: u32,
}

const IPPROTO_TCP: u8 = 6;
const IPV4_HEADER: u32 = 20;
const IPV6_HEADER: u32 = 40;
const TCP_HEADER: u32 = 20;

impl Packet {
    /// Reads the headers; `None` for anything but TCP. The packet begins at its IP header.
    ///
    /// Not seen: TCP behind IPv6 extension headers.
    #[inline(always)]
    pub fn parse(skb: *mut __sk_buff) -> Option<Self> {
        // SAFETY: the hook's context is valid while the program runs; the verifier checks the fields.
        let (data, end) = unsafe { ((*skb).data as usize, (*skb).data_end as usize) };
        if data + (IPV4_HEADER + TCP_HEADER) as usize > end {
            return None;
        }
        // SAFETY: 40 bytes from `data` on are inside the packet, checked above.
        let first = unsafe { *(data as *const u8) };
        let (tcp, v6) = match first >> 4 {
            4 => {
                // SAFETY: as above.
                if unsafe { *((data + 9) as *const u8) } != IPPROTO_TCP {
                    return None;
                }
                (u32::from(first & 0x0f) * 4, false)
            }
            6 => {
                // SAFETY: as above.
                if unsafe { *((data + 6) as *const u8) } != IPPROTO_TCP {
                    return None;
                }
                (IPV6_HEADER, true)
            }
            _ => return None,
        };
        let header = data + tcp as usize;
        if header + TCP_HEADER as usize > end {
            return None;
        }
        // SAFETY: 20 bytes from `header` on are inside the packet, checked above.
        let ports = unsafe { *(header as *const [u8; 4]) };
        // SAFETY: as above.
        let seq = unsafe { u32::from_be_bytes(*((header + 4) as *const [u8; 4])) };
        // SAFETY: as above.
        let [offset, flags] = unsafe { *((header + 12) as *const [u8; 2]) };
        let start = tcp + u32::from(offset >> 4) * 4;
        let payload = SkbPayload::at(skb, start);
        Some(Self {
            skb,
            v6,
            ports,
            seq,
            fin: flags & 0x01 != 0,
            syn: flags & 0x02 != 0,
            rst: flags & 0x04 != 0,
            payload,
        })
    }

    /// Addresses and ports, for the listener's table.
    #[inline(always)]
    pub fn identity(&self, incoming: bool) -> Option<Identity> {
        let (source, target) = if self.v6 {
            (load::<16>(self.skb, 8)?, load::<16>(self.skb, 24)?)
        } else {
            (mapped(load::<4>(self.skb, 12)?), mapped(load::<4>(self.skb, 16)?))
        };
        let [from, to] = self.ports();
        Some(if incoming {
            Identity { local_addr: target, peer_addr: source, local_port: to, peer_port: from }
        } else {
            Identity { local_addr: source, peer_addr: target, local_port: from, peer_port: to }
        })
    }

    /// Writes addresses and ports into a record, in place: the stack has no room for them.
    ///
    /// # Safety
    /// `record` must be valid for writes.
    #[inline(always)]
    pub unsafe fn write_identity(&self, incoming: bool, record: *mut Record) {
        let [from, to] = self.ports();
        // SAFETY: the caller vouches for `record`.
        unsafe {
            let (local, peer) = (&raw mut (*record).local_addr, &raw mut (*record).peer_addr);
            let (source, target) = if incoming { (peer, local) } else { (local, peer) };
            (*record).local_port = if incoming { to } else { from };
            (*record).peer_port = if incoming { from } else { to };
            if self.v6 {
                bpf_skb_load_bytes(self.skb.cast(), 8, source.cast(), 16);
                bpf_skb_load_bytes(self.skb.cast(), 24, target.cast(), 16);
            } else {
                map_prefix(source);
                map_prefix(target);
                bpf_skb_load_bytes(self.skb.cast(), 12, source.cast::<u8>().add(12).cast(), 4);
                bpf_skb_load_bytes(self.skb.cast(), 16, target.cast::<u8>().add(12).cast(), 4);
            }
        }
    }

    /// Source and destination port.
    #[inline(always)]
    fn ports(&self) -> [u16; 2] {
        let [a, b, c, d] = self.ports;
        [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]
    }
}

impl SkbPayload {
    /// The payload that begins at offset `start` of the packet.
    #[inline(always)]
    pub fn at(skb: *mut __sk_buff, start: u32) -> Self {
        // SAFETY: the hook's context is valid while the program runs; the verifier checks the field.
        let len = unsafe { (*skb).len };
        Self { skb, start, len: len.saturating_sub(start) }
    }

    /// Where it begins in the packet.
    pub const fn start(&self) -> u32 {
        self.start
    }

    /// Copies `len` bytes from `offset` to `into`; false when they are not all there.
    ///
    /// # Safety
    /// `into` must be valid for writes of `len` bytes, and the verifier must see that.
    #[inline(always)]
    pub unsafe fn copy(&self, offset: u32, into: *mut u8, len: u32) -> bool {
        // SAFETY: the caller vouches for `into`; the helper checks the packet's bounds.
        unsafe { bpf_skb_load_bytes(self.skb.cast(), self.start + offset, into.cast(), len) == 0 }
    }
}

impl Payload for SkbPayload {
    #[inline(always)]
    fn len(&self) -> u32 {
        self.len
    }

    #[inline(always)]
    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        load(self.skb, self.start + offset)
    }

    #[inline(always)]
    fn chunk<'a, const N: usize>(
        &self,
        offset: u32,
        room: &'a mut MaybeUninit<Chunk<N>>,
    ) -> &'a Chunk<N> {
        // SAFETY: the room has what is asked for.
        let copy = |into, len| unsafe { self.copy(offset, into, len) };
        // SAFETY: the copy writes so many bytes, or clears them.
        unsafe { fill(room, self.len.saturating_sub(offset), copy) }
    }

    #[inline(always)]
    fn names_websocket(&self, offset: u32) -> bool {
        scans::ws_names_word(self.skb, self.start, offset) != 0
    }

    #[inline(always)]
    fn signs(&self, offset: u32) -> u32 {
        scans::ws_signs(self.skb, self.start, offset)
    }

    #[inline(always)]
    fn head_end(&self, offset: u32, tail: u32, which: Which) -> u32 {
        scans::ws_head_end(self.skb, self.start, offset, tail, which as u32)
    }

    #[inline(always)]
    fn chunk_head_end(&self, offset: u32, which: Which, found: u32) -> u32 {
        scans::ws_chunk_end(self.skb, self.start, offset, which as u32, found)
    }

    #[inline(always)]
    fn head_end_near(&self, offset: u32) -> u32 {
        scans::ws_head_end_at(self.skb, self.start, offset)
    }

    #[inline(always)]
    fn status_line(&self, offset: u32, line: u32, tail: u32) -> u64 {
        scans::ws_status_line(self.skb, self.start, offset, line, tail)
    }

    #[inline(always)]
    fn whole_frame(&self, offset: u32) -> u32 {
        scans::ws_whole_frame(self.skb, self.start, offset)
    }
}

/// The `N` bytes at `offset` of the packet, or `None` when they are not all there.
#[inline(always)]
pub fn load<const N: usize>(skb: *mut __sk_buff, offset: u32) -> Option<[u8; N]> {
    let mut bytes = MaybeUninit::<[u8; N]>::uninit();
    // SAFETY: `bytes` has N bytes; the helper checks the packet's bounds.
    let got =
        unsafe { bpf_skb_load_bytes(skb.cast(), offset, bytes.as_mut_ptr().cast(), N as u32) };
    // SAFETY: the helper filled all N bytes.
    if got == 0 { Some(unsafe { bytes.assume_init() }) } else { None }
}

/// Writes what stands before an IPv4 address that is mapped into IPv6 (see [`mapped`]), by words as [`clear`].
///
/// # Safety
/// `address` must be valid for writes and aligned for words.
#[inline(always)]
unsafe fn map_prefix(address: *mut [u8; 16]) {
    // SAFETY: the caller vouches for the place.
    unsafe {
        address.cast::<u64>().write(0);
        address.cast::<u32>().add(2).write(u32::from_ne_bytes([0, 0, 0xff, 0xff]));
    }
}

/// Fills a chunk with the `left` bytes that there are, zeros behind them.
///
/// # Safety
/// `copy` must write as many bytes as it is asked for, or clear them, and nothing behind them.
#[inline(always)]
pub unsafe fn fill<const N: usize>(
    room: &mut MaybeUninit<Chunk<N>>,
    left: u32,
    copy: impl Fn(*mut u8, u32) -> bool,
) -> &Chunk<N> {
    const { assert!(N >= 8 && N.is_power_of_two(), "it is cleared by words, and a mask bounds it") };
    let bytes: *mut u8 = room.as_mut_ptr().cast();
    // SAFETY: the room has N bytes and is aligned for words. All of it is written: by the copy, or by the words and
    // then what there is.
    unsafe {
        if left >= N as u32 {
            copy(bytes, N as u32);
        } else {
            clear::<N>(bytes.cast());
            if left > 0 {
                copy(bytes, bounded::<N>(left));
            }
        }
        room.assume_init_ref()
    }
}

/// Writes `N` zero bytes, by words.
// For this target LLVM makes a call of every longer `memset`, to a loop over bytes.
///
/// # Safety
/// `words` must be valid for writes of `N` bytes, a multiple of a word's.
#[inline(always)]
pub unsafe fn clear<const N: usize>(words: *mut u64) {
    let mut at = 0;
    while at < N / 8 {
        // SAFETY: the caller vouches for the place.
        unsafe { words.add(at).write_volatile(0) };
        at += 1;
    }
}

/// `len`, of which the caller knows that it is 1 to `N` (a power of two), as a value of which the
/// verifier knows it too.
// VERIFIER: before 6.8 nothing is learnt from `len != 0`, and "R3 min value is outside of the allowed
// memory range" refuses the natural form; so the length is a mask plus one. LLVM proves the mask away,
// so the value passes through a move that it cannot see through first.
#[inline(always)]
pub fn bounded<const N: usize>(len: u32) -> u32 {
    let mut less = u64::from(len).wrapping_sub(1);
    // SAFETY: the instruction moves a register to itself.
    unsafe { core::arch::asm!("{0} = {0}", inout(reg) less) };
    (less & (N as u64 - 1)) as u32 + 1
}

/// `number`, of which the verifier no longer knows anything; of `any` it must not know anything either.
// VERIFIER: where several ways meet that know different ranges of a number, 5.10 and 6.1 go on once for each of them:
// 128,000 instructions in `ws_walk` alone.
#[inline(always)]
pub fn forgotten(number: u64, any: u64) -> u64 {
    let mut number = number;
    // SAFETY: what is done to the register is undone.
    unsafe {
        core::arch::asm!("{0} ^= {1}", "{0} ^= {1}", inout(reg) number, in(reg) any);
    }
    number
}
