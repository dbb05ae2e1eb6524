//! The programs at a function's begin and end (fentry, fexit; Linux 5.5).
//!
//! VERIFIER: their arguments are read as the kernel keeps them, one word each and behind them what the function
//! returns: as plain numbers, which every kernel passes on to global functions (5.10 refuses pointers), and
//! at a place that only the running kernel knows ("dereference of modified ctx ptr" otherwise).

use aya_ebpf::{
    EbpfContext,
    macros::{fentry, fexit},
    programs::{FEntryContext, FExitContext},
};
use wstap_common::layout::Field;

use super::{
    calls,
    layout::{field, member, read},
};
use crate::arguments;

/// The words at the beginning of a context.
#[inline(always)]
fn words<const N: usize>(context: &impl EbpfContext) -> Option<[u64; N]> {
    read(context.as_ptr() as u64)
}

/// The word with this number.
#[inline(always)]
fn word(context: &impl EbpfContext, number: u32) -> Option<u64> {
    read((context.as_ptr() as u64).wrapping_add(u64::from(number) * 8))
}

/// What the function returned, behind so many arguments.
#[inline(always)]
fn result(context: &impl EbpfContext, arguments: Field) -> Option<i32> {
    Some(word(context, field(arguments))? as i32)
}

/// The `sock` of a `socket`; `None` without one.
#[inline(always)]
fn sock(socket: u64) -> Option<u64> {
    member(socket, Field::SocketSock).filter(|sk| *sk != 0)
}

/// `unix_stream_sendmsg(sock, msg, len)` begins.
#[fentry]
pub fn ws_unix_send(context: FEntryContext) -> i32 {
    let _ = unix_send(&context);
    0
}

#[inline(always)]
fn unix_send(context: &FEntryContext) -> Option<()> {
    let [socket, msg, size] = words(context)?;
    calls::sending(sock(socket)?, msg, size, 0)
}

/// `unix_stream_sendmsg` ends.
#[fexit]
pub fn ws_unix_sent(context: FExitContext) -> i32 {
    let _ = unix_sent(&context);
    0
}

#[inline(always)]
fn unix_sent(context: &FExitContext) -> Option<()> {
    let [socket] = words(context)?;
    calls::sent(sock(socket)?, result(context, Field::UnixSendArguments)?)
}

/// `unix_stream_recvmsg(sock, msg, size, flags)` begins.
#[fentry]
pub fn ws_unix_recv(context: FEntryContext) -> i32 {
    let _ = unix_receive(&context);
    0
}

#[inline(always)]
fn unix_receive(context: &FEntryContext) -> Option<()> {
    let [socket, msg, _, flags] = words(context)?;
    calls::wp_begins(sock(socket)?, msg, flags);
    Some(())
}

/// `unix_stream_recvmsg` ends.
#[fexit]
pub fn ws_unix_rcvd(context: FExitContext) -> i32 {
    let _ = unix_received(&context);
    0
}

#[inline(always)]
fn unix_received(context: &FExitContext) -> Option<()> {
    let [socket, _, _, flags] = words(context)?;
    if calls::is_peek(flags) {
        return None;
    }
    let call = calls::under_way();
    calls::received(sock(socket)?, call, result(context, Field::UnixReceiveArguments)?, 0)
}

/// `unix_shutdown(sock, mode)` begins.
#[fentry]
pub fn ws_unix_shut(context: FEntryContext) -> i32 {
    let _ = unix_shutdown(&context);
    0
}

#[inline(always)]
fn unix_shutdown(context: &FEntryContext) -> Option<()> {
    let [socket, mode] = words(context)?;
    if calls::ends_sending(mode) {
        calls::shut_down(sock(socket)?, 0);
    }
    Some(())
}

/// `unix_release(sock)` begins.
#[fentry]
pub fn ws_unix_end(context: FEntryContext) -> i32 {
    let _ = unix_release(&context);
    0
}

#[inline(always)]
fn unix_release(context: &FEntryContext) -> Option<()> {
    let [socket] = words(context)?;
    calls::closing(sock(socket)?, 0)
}

/// `tcp_sendmsg(sk, msg, size)` begins.
#[fentry]
pub fn ws_tcp_send(context: FEntryContext) -> i32 {
    let _ = tcp_send(&context);
    0
}

#[inline(always)]
fn tcp_send(context: &FEntryContext) -> Option<()> {
    let [sk, msg, size] = words(context)?;
    calls::sending(sk, msg, size, arguments::TCP)
}

/// `tcp_recvmsg` begins; its arguments behind the third are the kernel version's own.
#[fentry]
pub fn ws_tcp_recv(context: FEntryContext) -> i32 {
    let _ = tcp_receive(&context);
    0
}

#[inline(always)]
fn tcp_receive(context: &FEntryContext) -> Option<()> {
    let [sk, msg] = words(context)?;
    calls::wp_begins(sk, msg, word(context, field(Field::TcpReceiveFlags))?);
    Some(())
}

/// `tcp_recvmsg` ends.
#[fexit]
pub fn ws_tcp_rcvd(context: FExitContext) -> i32 {
    let _ = tcp_received(&context);
    0
}

#[inline(always)]
fn tcp_received(context: &FExitContext) -> Option<()> {
    if calls::is_peek(word(context, field(Field::TcpReceiveFlags))?) {
        return None;
    }
    let [sk] = words(context)?;
    let call = calls::under_way();
    calls::received(sk, call, result(context, Field::TcpReceiveArguments)?, arguments::TCP)
}

/// `tcp_shutdown(sk, how)` begins.
#[fentry]
pub fn ws_tcp_shut(context: FEntryContext) -> i32 {
    if let Some([sk, how]) = words(&context)
        && how & u64::from(calls::SEND_SHUTDOWN) != 0
    {
        calls::shut_down(sk, arguments::TCP);
    }
    0
}

/// `tcp_close(sk, timeout)` begins.
#[fentry]
pub fn ws_tcp_end(context: FEntryContext) -> i32 {
    if let Some([sk]) = words(&context) {
        let _ = calls::closing(sk, arguments::TCP);
    }
    0
}
