//! The IP and TCP headers of a packet.

use aya_ebpf::bindings::__sk_buff;

use super::payload::{SkbPayload, load};

/// What the hooks need of the IP and TCP headers.
pub struct Packet {
    pub skb: *mut __sk_buff,
    /// Whether it is IPv6.
    pub v6: bool,
    /// The source's and the destination's port, in network byte order.
    pub ports: [u8; 4],
    pub seq: u32,
    pub fin: bool,
    pub rst: bool,
    pub syn: bool,
    /// The TCP payload.
    pub payload: SkbPayload,
}

const IPPROTO_TCP: u8 = 6;
const IPV4_HEADER: u32 = 20;
const IPV6_HEADER: u32 = 40;
const TCP_HEADER: u32 = 20;

/// IPv6 extension headers that may stand before TCP (RFC 8200 section 4.1): Hop-by-Hop Options, Routing, Destination Options.
/// A Fragment header is none of them: the hooks run behind the reassembly and before the fragmentation.
const EXTENSIONS: [u8; 3] = [0, 43, 60];
/// RFC 8200 has each of them once, Destination Options twice.
const MOST_EXTENSIONS: u32 = 4;
/// Where TCP begins at most, as the verifier wants it bounded; a packet with longer extensions is not seen.
const OFFSET_MASK: u32 = 0x0fff;

impl Packet {
    /// Reads the headers; `None` for anything but TCP. The packet begins at its IP header.
    ///
    /// Not seen: TCP behind IPv6 extension headers other than those that [`ws_tcp_offset`] skips.
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
                let next = unsafe { *((data + 6) as *const u8) };
                let tcp = if next == IPPROTO_TCP { IPV6_HEADER } else { ws_tcp_offset(skb) };
                if tcp < IPV6_HEADER {
                    return None;
                }
                (tcp & OFFSET_MASK, true)
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

    /// Source and destination port.
    #[inline(always)]
    pub fn ports(&self) -> [u16; 2] {
        let [a, b, c, d] = self.ports;
        [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]
    }
}

/// Where TCP begins behind IPv6 extension headers; 0 when something else does.
// VERIFIER: global, so that its loop is verified once and not wherever a packet is parsed.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ws_tcp_offset(skb: *mut __sk_buff) -> u32 {
    let Some([mut next]) = load::<1>(skb, 6) else { return 0 };
    let mut at = IPV6_HEADER;
    let mut seen = 0;
    while seen < MOST_EXTENSIONS && EXTENSIONS.contains(&next) {
        // The next header's kind, and this one's length beyond 8 bytes in units of 8 bytes.
        let Some([kind, units]) = load::<2>(skb, at) else { return 0 };
        next = kind;
        at += (u32::from(units) + 1) * 8;
        seen += 1;
    }
    if next == IPPROTO_TCP && at <= OFFSET_MASK { at } else { 0 }
}
