//! Rare events: counted, and told to the agent's log at debug level. Below that level the loader's constant
//! `AYA_LOG_LEVEL` makes the verifier leave out what tells them.

use aya_log_ebpf::debug;
use wstap_common::counters::Counter;

use crate::counters::count;

/// The ring had no room for a record.
pub const RING_FULL: u32 = 0;
/// The kernel refused to store a connection's state.
pub const STATE_REFUSED: u32 = 1;
/// The listener's table took no entry.
pub const LISTENED_FULL: u32 = 2;

/// Counts and tells one of the events above.
// VERIFIER: global, so that it is verified once and not wherever it is called.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_log_event(event: u32) -> u32 {
    match event {
        RING_FULL => {
            count(Counter::RingFull);
            debug!((), "the ring is full: a record was lost");
        }
        STATE_REFUSED => {
            count(Counter::StateRefused);
            debug!((), "the kernel refused to store a connection's state");
        }
        _ => debug!((), "the listener's table took no entry"),
    }
    0
}
