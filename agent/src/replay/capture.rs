//! Capture files: pcap and pcapng blocks as packets with a time and a link type.

use std::io::Read;

use pcap_parser::{
    Block, LegacyPcapReader, Linktype, OptionCode, PcapBlockOwned, PcapError, PcapNGOption,
    PcapNGReader, traits::PcapNGPacketBlock, traits::PcapReaderIterator,
};

use super::{Error, Out, Report, failed, flow::Flows, segment};
use crate::handshake::Limits;

/// The first bytes of a pcapng file (a section header block).
pub(super) const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// The first bytes of a pcap file: microseconds and nanoseconds, both byte orders, and Kuznetzov's variant.
pub(super) const PCAP: [[u8; 4]; 5] = [
    [0xd4, 0xc3, 0xb2, 0xa1],
    [0xa1, 0xb2, 0xc3, 0xd4],
    [0x4d, 0x3c, 0xb2, 0xa1],
    [0xa1, 0xb2, 0x3c, 0x4d],
    [0x34, 0xcd, 0xb2, 0xa1],
];

/// How much of the file is held at once, at first.
const BUFFER: usize = 128 * 1024;

/// How much of the file is held at once, at most. A block that is larger is damage: tcpdump's largest packet has
/// 256 KiB.
const BUFFER_MAX: usize = 4 * 1024 * 1024;

/// An interface of a pcapng file.
struct Interface {
    link_type: Linktype,
    /// Ticks a second.
    resolution: u64,
    /// Seconds to add.
    offset: i64,
}

pub(super) fn run_pcap(name: String, reader: impl Read, limits: Limits, out: Out<'_>) -> Report {
    let Ok(mut reader) = LegacyPcapReader::new(BUFFER, reader) else {
        return failed(Error::Damaged {
            name,
            offset: 0,
            what: "the file's header is not complete",
        });
    };
    let mut replay = Replay::new(name, limits, out);
    let mut link_type = Linktype(0);
    let mut nanoseconds = false;
    replay.read(&mut reader, |replay, block| {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                link_type = header.network;
                nanoseconds = header.is_nanosecond_precision();
                if !segment::is_supported(link_type) {
                    let name = replay.name.clone();
                    return Err(Error::LinkType { name, link_type: link_type.0 });
                }
            }
            PcapBlockOwned::Legacy(packet) => {
                let fraction = u64::from(packet.ts_usec) * if nanoseconds { 1 } else { 1000 };
                let time_ns = u64::from(packet.ts_sec) * 1_000_000_000 + fraction;
                replay.packet(time_ns, link_type, packet.data, packet.origlen);
            }
            PcapBlockOwned::NG(_) => {}
        }
        Ok(())
    });
    replay.finish()
}

pub(super) fn run_pcapng(name: String, reader: impl Read, limits: Limits, out: Out<'_>) -> Report {
    let Ok(mut reader) = PcapNGReader::new(BUFFER, reader) else {
        return failed(Error::Damaged {
            name,
            offset: 0,
            what: "the file's header is not complete",
        });
    };
    let mut replay = Replay::new(name, limits, out);
    let mut interfaces: Vec<Interface> = Vec::new();
    let mut big_endian = false;
    replay.read(&mut reader, |replay, block| {
        match block {
            PcapBlockOwned::NG(Block::SectionHeader(section)) => {
                interfaces.clear();
                big_endian = section.big_endian();
            }
            PcapBlockOwned::NG(Block::InterfaceDescription(block)) => interfaces.push(Interface {
                link_type: block.linktype,
                resolution: resolution(block.if_tsresol().and_then(Result::ok)),
                offset: seconds(&block.options, big_endian),
            }),
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                let Some(interface) = interfaces.get(packet.if_id as usize) else {
                    let name = replay.name.clone();
                    let what = "a packet of an interface that was not described";
                    return Err(Error::Damaged { name, offset: replay.offset, what });
                };
                let ticks = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                let time_ns = nanoseconds(ticks, interface);
                replay.packet(time_ns, interface.link_type, packet.packet_data(), packet.origlen);
            }
            PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                // It has no time of its own, and belongs to the first interface.
                if let Some(interface) = interfaces.first() {
                    let time_ns = replay.now_ns;
                    replay.packet(
                        time_ns,
                        interface.link_type,
                        packet.packet_data(),
                        packet.origlen,
                    );
                }
            }
            _ => {}
        }
        Ok(())
    });
    replay.finish()
}

/// Ticks a second, from the option `if_tsresol`: a power of ten, or of two when the highest bit is set.
fn resolution(option: Option<u8>) -> u64 {
    const DEFAULT: u64 = 1_000_000;
    let Some(option) = option else { return DEFAULT };
    let exponent = u32::from(option & 0x7f);
    let base: u64 = if option & 0x80 == 0 { 10 } else { 2 };
    base.checked_pow(exponent).unwrap_or(DEFAULT)
}

/// The option `if_tsoffset` (pcap-parser's own accessor takes it for little-endian always).
fn seconds(options: &[PcapNGOption<'_>], big_endian: bool) -> i64 {
    let option = options.iter().find(|option| option.code == OptionCode::IfTsoffset);
    let value = option.and_then(|option| option.value().first_chunk());
    value.map_or(0, |value| {
        if big_endian { i64::from_be_bytes(*value) } else { i64::from_le_bytes(*value) }
    })
}

fn nanoseconds(ticks: u64, interface: &Interface) -> u64 {
    let ns = u128::from(ticks) * 1_000_000_000 / u128::from(interface.resolution);
    let ns = i128::try_from(ns)
        .unwrap_or(i128::MAX)
        .saturating_add(i128::from(interface.offset) * 1_000_000_000);
    u64::try_from(ns.max(0)).unwrap_or(u64::MAX)
}

/// A capture on its way through the stages.
struct Replay<'a> {
    name: String,
    flows: Flows<'a>,
    report: Report,
    /// The latest time so far.
    now_ns: u64,
    /// Where the current block begins.
    offset: u64,
}

impl<'a> Replay<'a> {
    fn new(name: String, limits: Limits, out: Out<'a>) -> Self {
        Self {
            name,
            flows: Flows::new(limits, out),
            report: Report::default(),
            now_ns: 0,
            offset: 0,
        }
    }

    /// Reads block after block until the end, the first damage, or the first error of `block`.
    fn read(
        &mut self,
        reader: &mut impl PcapReaderIterator,
        mut block: impl FnMut(&mut Self, PcapBlockOwned<'_>) -> Result<(), Error>,
    ) {
        let mut capacity = BUFFER;
        loop {
            self.offset = reader.consumed() as u64;
            let what = match reader.next() {
                Ok((size, found)) => {
                    if let Err(error) = block(self, found) {
                        self.report.damage = Some(error);
                        return;
                    }
                    reader.consume_noshift(size);
                    continue;
                }
                Err(PcapError::Eof) => return,
                Err(PcapError::Incomplete(_)) => {
                    let before = reader.data().len();
                    let refilled = reader.refill().is_ok();
                    if refilled && (reader.data().len() > before || reader.reader_exhausted()) {
                        continue;
                    }
                    "it cannot be read further"
                }
                Err(PcapError::BufferTooSmall) => {
                    capacity *= 2;
                    if capacity <= BUFFER_MAX && reader.grow(capacity) {
                        continue;
                    }
                    "a packet that claims to be larger than any"
                }
                Err(PcapError::UnexpectedEof) => "the file ends inside a packet",
                Err(PcapError::ReadError) => "reading failed",
                Err(_) => "this is not a packet",
            };
            let damage = Error::Damaged { name: self.name.clone(), offset: self.offset, what };
            self.report.damage = Some(damage);
            return;
        }
    }

    fn packet(&mut self, time_ns: u64, link_type: Linktype, data: &[u8], wire_len: u32) {
        self.report.packets += 1;
        if time_ns > self.now_ns {
            self.now_ns = time_ns;
            self.flows.tick(time_ns);
        }
        self.report.cut += u64::from((data.len() as u64) < u64::from(wire_len));
        match segment::decode(link_type, data) {
            Ok(Some(segment)) => {
                self.report.segments += 1;
                self.flows.segment(&segment, time_ns);
            }
            Ok(None) => {}
            Err(segment::Unread::Fragment) => self.report.fragments += 1,
            Err(segment::Unread::Undecodable) => self.report.undecodable += 1,
            Err(segment::Unread::LinkType) => self.report.other_links += 1,
        }
    }

    fn finish(self) -> Report {
        self.flows.finish(self.now_ns, self.report)
    }
}
