//! The calls that move bytes through a socket or end it, as the programs of both kinds (fentry with fexit,
//! kprobe with kretprobe) tell them: in plain numbers.
//!
//! What a program sends is taken as the call begins: by its end the answer may have been received on another
//! CPU. When the kernel then takes less, the program sends the rest again, and the machine knows it by its sequence
//! number, as it knows a packet that TCP sends again. What it receives is taken as the call ends.

use aya_ebpf::{btf_maps::HashMap, helpers::generated::bpf_get_current_pid_tgid, macros::btf_map};
use wstap_common::{
    counters::Counter,
    layout::Field,
    record::{Kind, flags, half, role},
    stream::{
        RequestHalf,
        observe::{Interest, interest},
    },
};

use super::{
    connection::{Connection, ended},
    emit::{wp_name, wp_send_summary},
    iter::{ELEMENTS, Iter},
    layout::member,
    segment::{segment, wp_ending},
};
use crate::{
    arguments::{self, pair},
    counters::count,
    ring::emit::Meta,
    verifier::forget_bounds,
};

/// The calls that are under way and whose end must know how they began, by their thread. When it is
/// full, what a call brings is not read, and counted.
#[btf_map]
static CALLS: HashMap<u64, Call, 8192> = HashMap::new();

/// A call under way, by the thread that makes it.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Call {
    /// Where the bytes will lie: the kernel moves its own iterator on meanwhile.
    iter: Iter,
    /// What a kretprobe is not told again.
    pub sk: u64,
    pub msg: u64,
}

/// Only looked at, not taken (`MSG_PEEK`, include/linux/socket.h; part of the system call interface).
const MSG_PEEK: u64 = 2;
/// Bits of `sock.sk_shutdown` (include/net/sock.h).
const RCV_SHUTDOWN: u8 = 1;
pub const SEND_SHUTDOWN: u8 = 2;
/// Errors and states of the system call interface.
const EPIPE: i32 = 32;
const ECONNRESET: i32 = 104;
const ETIMEDOUT: u32 = 110;
const TCP_CLOSE: u8 = 7;
const TCP_CLOSE_WAIT: u8 = 8;
/// The longest piece that is taken as one segment; no call moves more (MAX_RW_COUNT).
const PIECE_MAX: u64 = 0x7fff_ffff;

/// A program sends `size` bytes.
#[inline(always)]
pub fn sending(sk: u64, msg: u64, size: u64, args: u32) -> Option<()> {
    if member::<u8>(sk, Field::Shutdown)? & SEND_SHUTDOWN != 0 {
        // It will be refused: nothing of it is sent.
        return None;
    }
    let iter = Iter::of(msg)?;
    take(sk, &iter, size, Connection::seq(sk, args), args);
    Some(())
}

/// It sent so much, or the error, of a unix socket.
#[inline(always)]
pub fn sent(sk: u64, result: i32) -> Option<()> {
    // SAFETY: not null means that it lives as long as the program runs; senders alone write the word.
    let connection = unsafe { Connection::of(sk).as_mut() }?;
    if result > 0 {
        connection.sent = connection.sent.wrapping_add(result as u32);
    } else {
        broken(sk, result, 0);
    }
    Some(())
}

/// A call begins whose end must know what it was told, with these flags; 0 when there is nothing to remember, or no room.
// VERIFIER: a function of its own, for its stack.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wp_begins(sk: u64, msg: u64, flags: u64) -> u32 {
    if is_peek(flags) {
        return 0;
    }
    let Some(iter) = Iter::of(msg) else { return 0 };
    let call = Call { iter, sk, msg };
    // SAFETY: the helper has no preconditions.
    let thread = unsafe { bpf_get_current_pid_tgid() };
    u32::from(CALLS.insert(thread, &call, 0).is_ok())
}

/// Whether the call only looks at what it will receive again.
#[inline(always)]
pub fn is_peek(flags: u64) -> bool {
    flags & MSG_PEEK != 0
}

/// The call that is under way on this thread, which is then none.
#[inline(always)]
pub fn under_way() -> Option<Call> {
    // SAFETY: the helper has no preconditions.
    let thread = unsafe { bpf_get_current_pid_tgid() };
    let call = CALLS.get_ptr(thread)?;
    // SAFETY: the entry lives as long as the program runs.
    let call = unsafe { *call };
    let _ = CALLS.remove(thread);
    Some(call)
}

/// It received so much, or the error. `call` is what it was when it began.
#[inline(always)]
pub fn received(sk: u64, call: Option<Call>, result: i32, args: u32) -> Option<()> {
    let args = args | arguments::INCOMING;
    let Some(call) = call else {
        // There was no room to remember it.
        if result > 0 && !Connection::of(sk).is_null() {
            count(Counter::Unread);
            advance(sk, result as u32);
        }
        return None;
    };
    if result == 0 {
        if call.iter.count > 0 {
            wp_ending(sk, args, 0);
        }
        return None;
    }
    if result < 0 {
        broken(sk, result, args);
        return None;
    }
    // What a call drops (MSG_TRUNC) is in its result and not in its memory: what was there before must not be
    // read for it.
    let copied = call.iter.count.saturating_sub(Iter::count(call.msg)?);
    let result = result as u32;
    let seq = Connection::seq(sk, args);
    let seq = if args & arguments::TCP != 0 { seq.wrapping_sub(result) } else { seq };
    take(
        sk,
        &call.iter,
        if copied < u64::from(result) { copied } else { result.into() },
        seq,
        args,
    );
    advance(sk, result);
    Some(())
}

/// A unix socket's program received so many bytes.
#[inline(always)]
fn advance(sk: u64, bytes: u32) {
    // SAFETY: not null means that it lives as long as the program runs; receivers alone write the word.
    if let Some(connection) = unsafe { Connection::of(sk).as_mut() } {
        connection.received = connection.received.wrapping_add(bytes);
    }
}

/// A call failed because the peer is gone.
#[inline(always)]
fn broken(sk: u64, result: i32, args: u32) {
    let args = args | arguments::INCOMING;
    if result == -ECONNRESET {
        wp_ending(sk, args | arguments::RST, 0);
    } else if result == -EPIPE {
        wp_ending(sk, args, 0);
    }
}

/// Whether shutdown(2) in this mode ends the sending: SHUT_WR or SHUT_RDWR.
#[inline(always)]
pub fn ends_sending(mode: u64) -> bool {
    mode as u32 >= 1
}

/// A program sends no more (shutdown(2)).
#[inline(always)]
pub fn shut_down(sk: u64, args: u32) {
    wp_ending(sk, args, 0);
}

/// A program, or its end, closes the socket.
#[inline(always)]
pub fn closing(sk: u64, args: u32) -> Option<()> {
    // SAFETY: not null means that it lives as long as the program runs.
    let told = unsafe { Connection::of(sk).as_ref() }?.ended;
    let peer = args | arguments::INCOMING;
    let unread = if args & arguments::TCP != 0 {
        let next: u32 = member(sk, Field::ReceivedSeq)?;
        let gone = told & ended::PEER != 0 || member::<u8>(sk, Field::State)? == TCP_CLOSE_WAIT;
        // A FIN has a sequence number of its own.
        next.wrapping_sub(member(sk, Field::CopiedSeq)?).wrapping_sub(u32::from(gone)) != 0
    } else {
        member::<u32>(sk, Field::Unread)? != 0
    };
    if told == 0 {
        let state: u8 = member(sk, Field::State)?;
        let shutdown: u8 = member(sk, Field::Shutdown)?;
        let broke = args & arguments::TCP != 0 && state == TCP_CLOSE;
        if broke && member::<u32>(sk, Field::Error)? == ETIMEDOUT {
            // Neither end said so.
            finish(sk, args);
            return None;
        }
        // The peer ended first, and nobody looked.
        if broke {
            wp_ending(sk, peer | arguments::RST, 0);
        } else if shutdown & RCV_SHUTDOWN != 0 {
            wp_ending(sk, peer, u32::from(unread));
        }
    }
    // To close with unread bytes breaks the connection off (RFC 1122 section 4.2.2.13; unix sockets do the same).
    wp_ending(sk, if unread { args | arguments::RST } else { args }, 0);
    finish(sk, args);
    Some(())
}

/// The socket is gone.
#[inline(always)]
fn finish(sk: u64, args: u32) {
    wp_closed(sk, args);
    Connection::forget(sk);
}

/// Tells that the socket is closed, to whoever waits for it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wp_closed(sk: u64, args: u32) -> u32 {
    // SAFETY: not null means that it lives as long as the program runs.
    let Some(connection) = (unsafe { Connection::of(sk).as_mut() }) else { return 0 };
    let stream = &connection.stream;
    let lost = stream.request_lost | stream.response_lost != 0;
    let answered = match interest(stream.request.word, stream.response.word, lost) {
        Interest::None => return 0,
        Interest::Pending => 0,
        Interest::Lost => flags::ANSWERED,
    };
    let flags = stream.flags | answered | if lost { flags::LOST } else { 0 };
    let epoch = stream.request.word as u16;
    let (role, next) = (stream.role, stream.request.next);
    if connection.named == 0 {
        connection.named = wp_name(sk, args);
    }
    let meta = Meta { kind: Kind::Closed, half: half::REQUEST, epoch, flags, role, args };
    wp_send_summary(sk, meta.pack(), next)
}

/// Takes the first `total` bytes of a call's memory, which begin at `seq`.
#[inline(always)]
fn take(sk: u64, iter: &Iter, total: u64, seq: u32, args: u32) {
    let args = args | iter.in_kernel();
    let mut left = if total < PIECE_MAX { total } else { PIECE_MAX };
    let mut seq = seq;
    let mut number = 0;
    while number < ELEMENTS && left > 0 {
        let Some(element) = iter.element(number) else { break };
        number += 1;
        let len = if element.len < left { element.len } else { left };
        let len = forget_bounds(len, sk) as u32;
        if len > 0 && !segment(sk, element.base, pair(args, len), seq) {
            return;
        }
        seq = seq.wrapping_add(len);
        left -= u64::from(len);
    }
    if left > 0 {
        wp_gap(sk, args);
    }
}

/// Bytes passed that were not read.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wp_gap(sk: u64, args: u32) -> u32 {
    // SAFETY: not null means that it lives as long as the program runs.
    let Some(connection) = (unsafe { Connection::of(sk).as_mut() }) else { return 0 };
    let stream = &mut connection.stream;
    if !RequestHalf::is_candidate(stream.request.word) {
        return 0;
    }
    let incoming = args & arguments::INCOMING != 0;
    if incoming == (stream.role == role::SERVER) {
        stream.request_lost = 1;
    } else {
        stream.response_lost = 1;
    }
    count(Counter::Unread);
    1
}
