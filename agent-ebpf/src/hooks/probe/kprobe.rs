//! The same calls by kprobe and kretprobe, for kernels that refuse fentry. A kretprobe is not told the call's
//! arguments again, and the kernel drops some when very many threads wait in the function at once (its `maxactive`).

use aya_ebpf::{
    macros::{kprobe, kretprobe},
    programs::{ProbeContext, RetProbeContext},
};
use wstap_common::{counters::Counter, layout::Field, record::half};

use super::{
    calls,
    connection::Connection,
    layout::{field, member},
};
use crate::{arguments, connection::state::Stream, counters::count};

/// The argument with this number.
#[inline(always)]
fn argument(context: &ProbeContext, number: usize) -> Option<u64> {
    context.arg(number)
}

/// The `sock` of the `socket` that is the first argument.
#[inline(always)]
fn sock(context: &ProbeContext) -> Option<u64> {
    member(argument(context, 0)?, Field::SocketSock).filter(|sk| *sk != 0)
}

/// A call begins, and its kretprobe will know of it only this: where there is no room, the connection's records say that
/// something is missing.
#[inline(always)]
fn begins(sk: u64, msg: u64, flags: u64) {
    if calls::wp_begins(sk, msg, flags) != 0 || calls::is_peek(flags) {
        return;
    }
    let connection = Connection::of(sk);
    if !connection.is_null() {
        count(Counter::Unread);
        // SAFETY: not null means that it lives as long as the program runs; whoever writes these bytes writes the same.
        unsafe {
            Stream::lose(&raw mut (*connection).stream, half::REQUEST);
            Stream::lose(&raw mut (*connection).stream, half::RESPONSE);
        }
    }
}

/// As `trace::ws_unix_send`.
#[kprobe]
pub fn wk_unix_send(context: ProbeContext) -> u32 {
    let _ = unix_send(&context);
    0
}

#[inline(always)]
fn unix_send(context: &ProbeContext) -> Option<()> {
    let (sk, msg, size) = (sock(context)?, argument(context, 1)?, argument(context, 2)?);
    begins(sk, msg, 0);
    calls::sending(sk, msg, size, 0)
}

/// As `trace::ws_unix_sent`.
#[kretprobe]
pub fn wk_unix_sent(context: RetProbeContext) -> u32 {
    if let Some(call) = calls::under_way() {
        let _ = calls::sent(call.sk, context.ret::<i32>());
    }
    0
}

/// As `trace::ws_unix_recv`.
#[kprobe]
pub fn wk_unix_recv(context: ProbeContext) -> u32 {
    let _ = unix_receive(&context);
    0
}

#[inline(always)]
fn unix_receive(context: &ProbeContext) -> Option<()> {
    begins(sock(context)?, argument(context, 1)?, argument(context, 3)?);
    Some(())
}

/// As `trace::ws_unix_rcvd`.
#[kretprobe]
pub fn wk_unix_rcvd(context: RetProbeContext) -> u32 {
    if let Some(call) = calls::under_way() {
        let _ = calls::received(call.sk, Some(call), context.ret::<i32>(), 0);
    }
    0
}

/// As `trace::ws_unix_shut`.
#[kprobe]
pub fn wk_unix_shut(context: ProbeContext) -> u32 {
    if argument(&context, 1).is_some_and(calls::ends_sending)
        && let Some(sk) = sock(&context)
    {
        calls::shut_down(sk, 0);
    }
    0
}

/// As `trace::ws_unix_end`.
#[kprobe]
pub fn wk_unix_end(context: ProbeContext) -> u32 {
    if let Some(sk) = sock(&context) {
        let _ = calls::closing(sk, 0);
    }
    0
}

/// As `trace::ws_tcp_send`.
#[kprobe]
pub fn wk_tcp_send(context: ProbeContext) -> u32 {
    let _ = tcp_send(&context);
    0
}

#[inline(always)]
fn tcp_send(context: &ProbeContext) -> Option<()> {
    let (sk, msg, size) = (argument(context, 0)?, argument(context, 1)?, argument(context, 2)?);
    calls::sending(sk, msg, size, arguments::TCP)
}

/// As `trace::ws_tcp_recv`.
#[kprobe]
pub fn wk_tcp_recv(context: ProbeContext) -> u32 {
    let _ = tcp_receive(&context);
    0
}

#[inline(always)]
fn tcp_receive(context: &ProbeContext) -> Option<()> {
    let (third, fourth) = (argument(context, 3)?, argument(context, 4)?);
    let flags = if field(Field::TcpReceiveFlags) == 3 { third } else { fourth };
    begins(argument(context, 0)?, argument(context, 1)?, flags);
    Some(())
}

/// As `trace::ws_tcp_rcvd`.
#[kretprobe]
pub fn wk_tcp_rcvd(context: RetProbeContext) -> u32 {
    if let Some(call) = calls::under_way() {
        let _ = calls::received(call.sk, Some(call), context.ret::<i32>(), arguments::TCP);
    }
    0
}

/// As `trace::ws_tcp_shut`.
#[kprobe]
pub fn wk_tcp_shut(context: ProbeContext) -> u32 {
    if let (Some(sk), Some(how)) = (argument(&context, 0), argument(&context, 1))
        && how & u64::from(calls::SEND_SHUTDOWN) != 0
    {
        calls::shut_down(sk, arguments::TCP);
    }
    0
}

/// As `trace::ws_tcp_end`.
#[kprobe]
pub fn wk_tcp_end(context: ProbeContext) -> u32 {
    if let Some(sk) = argument(&context, 0) {
        let _ = calls::closing(sk, arguments::TCP);
    }
    0
}
