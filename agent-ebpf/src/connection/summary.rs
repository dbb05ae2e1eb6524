//! What the walks of a connection know, as a record's content.

use core::mem::size_of;

use aya_ebpf::bindings::{__sk_buff, bpf_sock};
use wstap_common::{
    frame::Walk,
    record::{Record, Summary, flags},
};

use super::{fast_path::ws_passed, state::Tunnel};
use crate::{
    packet::Packet,
    ring::emit::{fill, reserve},
    socket::full_socket,
};

impl Tunnel {
    /// Writes what a socket's walks know behind a record; all zero when there are none.
    ///
    /// # Safety
    /// `record` and `summary` must be valid for writes.
    #[inline(always)]
    pub unsafe fn write_summary(sk: *mut bpf_sock, record: *mut Record, summary: *mut Summary) {
        // SAFETY: the caller vouches for the places; a tunnel that is not null lives as long as the
        // program runs.
        unsafe { Self::write(Self::of(sk, false).as_ref(), record, summary, true) }
    }

    /// As [`Self::write_summary`], of these walks; `spared` when they may have something to catch up with.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    pub unsafe fn write(
        tunnel: Option<&Self>,
        record: *mut Record,
        summary: *mut Summary,
        spared: bool,
    ) {
        // SAFETY: the caller vouches for the places.
        unsafe {
            (*record).len = size_of::<Summary>() as u16;
            match tunnel {
                Some(tunnel) => {
                    if tunnel.opened_ns != 0 {
                        (*record).flags |= flags::TUNNEL;
                    }
                    (*summary).opened_ns = tunnel.opened_ns;
                    (*summary).request = tunnel.request.summary();
                    (*summary).response = tunnel.response.summary();
                    if spared {
                        let (cookie, role) = ((*record).cookie, u32::from((*record).role));
                        let uncounted = |walk: &Walk, incoming: u32| {
                            walk.uncounted(ws_passed(cookie, incoming, walk.next()))
                        };
                        // VERIFIER: not a question, or 5.10 and 6.1 go on twice: requests come in where the role is
                        // SERVER, 0, and answers where it is CLIENT, 1.
                        (*summary).request.messages += uncounted(&tunnel.request, role ^ 1);
                        (*summary).response.messages += uncounted(&tunnel.response, role);
                    }
                }
                None => *summary = Summary::default(),
            }
        }
    }
}

/// Sends what the connection's walks know; 0 when it was lost.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_send_summary(skb: *mut __sk_buff, meta: u64) -> u32 {
    let Some(packet) = Packet::parse(skb) else { return 0 };
    let Some(sk) = full_socket(skb) else { return 0 };
    let Some(mut entry) = reserve::<{ size_of::<Summary>() }>() else { return 0 };
    let place = entry.as_mut_ptr();
    // SAFETY: the entry has room for a Record and a Summary.
    unsafe {
        let record = &raw mut (*place).record;
        fill(record, &packet, meta);
        Tunnel::write_summary(sk, record, (&raw mut (*place).content).cast());
    }
    entry.submit(0);
    1
}
