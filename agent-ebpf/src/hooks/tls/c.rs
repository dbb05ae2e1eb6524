//! Libraries with C's calling convention: OpenSSL, GnuTLS, mbedTLS and wolfSSL. User space knows which function of which
//! library has which shape.

use aya_ebpf::{
    macros::{uprobe, uretprobe},
    programs::{ProbeContext, RetProbeContext},
};

use super::{
    calls::{Call, EXTENDED, SENDS, TELLS_END, begins, closes, key, returns, thread},
    end::freed,
};

#[inline(always)]
fn argument(context: &ProbeContext, number: usize) -> u64 {
    context.arg(number).unwrap_or(0)
}

/// `read(object, buffer, length)`: returns how much there was. With [`EXTENDED`], `read(object, buffer, length, &moved)`
/// returns 1.
#[inline(always)]
fn call(context: &ProbeContext, kind: u64) {
    let call = Call {
        key: key(argument(context, 0)),
        buffer: argument(context, 1),
        length_at: if kind & EXTENDED != 0 { argument(context, 3) } else { 0 },
        kind,
    };
    begins(thread(), &call, argument(context, 2));
}

#[uprobe]
pub fn wt_read(context: ProbeContext) -> u32 {
    call(&context, TELLS_END);
    0
}

#[uprobe]
pub fn wt_read_ex(context: ProbeContext) -> u32 {
    call(&context, EXTENDED);
    0
}

/// OpenSSL's `ssl_read_internal`: as `SSL_read_ex`, and 0 is the peer's end, where `SSL_read_ex` says so of every failure.
#[uprobe]
pub fn wt_read_in(context: ProbeContext) -> u32 {
    call(&context, EXTENDED | TELLS_END);
    0
}

#[uprobe]
pub fn wt_write(context: ProbeContext) -> u32 {
    call(&context, SENDS);
    0
}

#[uprobe]
pub fn wt_write_ex(context: ProbeContext) -> u32 {
    call(&context, SENDS | EXTENDED);
    0
}

/// Any of those returns.
#[uretprobe]
pub fn wt_done(context: RetProbeContext) -> u32 {
    returns(thread(), context.ret());
    0
}

/// `shutdown(object)`: the program says that it sends no more.
#[uprobe]
pub fn wt_shut(context: ProbeContext) -> u32 {
    closes(argument(&context, 0));
    0
}

/// `free(object)`: the same address may be the next connection's.
#[uprobe]
pub fn wt_free(context: ProbeContext) -> u32 {
    let object = argument(&context, 0);
    if object != 0 {
        freed(key(object));
    }
    0
}
