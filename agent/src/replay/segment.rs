//! Packets of the supported link types as TCP segments.

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TransportSlice};
use pcap_parser::Linktype;

/// One end of a connection: an address (IPv4 as `::ffff:a.b.c.d`) and a port.
pub(super) type Endpoint = ([u8; 16], u16);

/// A TCP segment.
pub(super) struct Segment<'a> {
    pub(super) source: Endpoint,
    pub(super) destination: Endpoint,
    pub(super) seq: u32,
    /// The acknowledgment number, if the segment has one.
    pub(super) ack: Option<u32>,
    pub(super) syn: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    /// The data, as far as the capture has it.
    pub(super) payload: &'a [u8],
    /// How much data there was on the wire.
    pub(super) wire_len: u32,
}

/// Why a packet is not a segment that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is a fragment of an IP packet.
    Fragment,
    /// Its headers are cut or wrong.
    Undecodable,
    /// The link type is not supported.
    LinkType,
}

// Numbers of https://www.tcpdump.org/linktypes.html.
const NULL: i32 = 0;
const ETHERNET: i32 = 1;
const RAW_BSD: i32 = 12;
const RAW_OPENBSD: i32 = 14;
const RAW: i32 = 101;
const LOOP: i32 = 108;
const LINUX_SLL: i32 = 113;
const IPV4: i32 = 228;
const IPV6: i32 = 229;
const LINUX_SLL2: i32 = 276;

/// Whether packets of this link type can be read.
pub(super) fn is_supported(link_type: Linktype) -> bool {
    matches!(
        link_type.0,
        NULL | ETHERNET | RAW_BSD | RAW_OPENBSD | RAW | LOOP | LINUX_SLL | IPV4 | IPV6 | LINUX_SLL2
    )
}

/// Reads a packet; `Ok(None)` is one that is not TCP over IP.
pub(super) fn decode(link_type: Linktype, data: &[u8]) -> Result<Option<Segment<'_>>, Unread> {
    let ip = |data| LaxSlicedPacket::from_ip(data).ok();
    let packet = match link_type.0 {
        ETHERNET => LaxSlicedPacket::from_ethernet(data).ok(),
        NULL | LOOP => data.get(4..).and_then(ip),
        RAW | RAW_BSD | RAW_OPENBSD | IPV4 | IPV6 => ip(data),
        LINUX_SLL => cooked(data, 14, 16),
        LINUX_SLL2 => cooked(data, 0, 20),
        _ => return Err(Unread::LinkType),
    };
    let packet = packet.ok_or(Unread::Undecodable)?;
    let (source, destination, ip_len, payload) = match &packet.net {
        Some(LaxNetSlice::Ipv4(ip)) => {
            let header = ip.header();
            let ip_len = usize::from(header.total_len()).saturating_sub(header.slice().len());
            (mapped(header.source()), mapped(header.destination()), ip_len, ip.payload())
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            let header = ip.header();
            let ip_len =
                usize::from(header.payload_length()).saturating_sub(ip.extensions().slice().len());
            (header.source(), header.destination(), ip_len, ip.payload())
        }
        _ => return Ok(None),
    };
    if payload.fragmented {
        return Err(Unread::Fragment);
    }
    let Some(TransportSlice::Tcp(tcp)) = &packet.transport else {
        let is_tcp = payload.ip_number == etherparse::IpNumber::TCP;
        return if is_tcp { Err(Unread::Undecodable) } else { Ok(None) };
    };
    let data = tcp.payload();
    // Segments that the card still has to cut (TSO) may say 0 for their length.
    let wire_len = ip_len.saturating_sub(tcp.header_slice().len()).max(data.len());
    Ok(Some(Segment {
        source: (source, tcp.source_port()),
        destination: (destination, tcp.destination_port()),
        seq: tcp.sequence_number(),
        ack: tcp.ack().then(|| tcp.acknowledgment_number()),
        syn: tcp.syn(),
        fin: tcp.fin(),
        rst: tcp.rst(),
        payload: data,
        wire_len: wire_len as u32,
    }))
}

/// A Linux cooked packet, whose protocol and payload stand at these offsets.
fn cooked(data: &[u8], protocol: usize, payload: usize) -> Option<LaxSlicedPacket<'_>> {
    let protocol = data.get(protocol..)?.first_chunk().copied()?;
    Some(LaxSlicedPacket::from_ether_type(
        EtherType(u16::from_be_bytes(protocol)),
        data.get(payload..)?,
    ))
}

fn mapped([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}
