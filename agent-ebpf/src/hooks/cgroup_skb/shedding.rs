//! What is told to nobody, because the ring was crowded when it began.

use aya_ebpf::bindings::__sk_buff;

use crate::{
    connection::{self, state::Stream},
    ring::emit::is_crowded,
    socket::full_socket,
};

/// Whether nothing of a candidate is told because the ring was crowded when it began: `begins` asks that of the ring. As
/// [`super::machine::ws_request`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_sheds(skb: *mut __sk_buff, args: u32, begins: u32, epoch: u32) -> u32 {
    let Some(sk) = full_socket(skb) else { return 1 };
    let Some(stream) = connection::stream(skb, sk, args) else { return 1 };
    let epoch = epoch as u16;
    // SAFETY: the stream lives as long as the program runs.
    if unsafe { Stream::is_shed(stream, epoch) } {
        return 1;
    }
    if begins == 0 {
        return 0;
    }
    if is_crowded() {
        // SAFETY: as above, and this is the request half.
        unsafe { Stream::shed(stream, epoch) };
        return 1;
    }
    // SAFETY: as above.
    unsafe { Stream::shed_none(stream) };
    0
}
