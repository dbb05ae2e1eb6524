//! Captures built byte by byte, and bytes that are no captures.

use std::sync::Arc;

use etherparse::PacketBuilder;
use proptest::prelude::*;

use super::*;
use crate::handshake::{Answer, CloseBy, Closure, End, Exchange};

const GET: &[u8] = b"GET /chat HTTP/1.1\r\nHost: x\r\nOrigin: http://o\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const FORBIDDEN: &[u8] = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nnope!";
const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
const CLIENT: u32 = 1000;
const SERVER: u32 = 900_000;

/// One TCP segment on its way into a capture.
#[derive(Clone, Default)]
struct Packet {
    from_client: bool,
    flags: &'static str,
    seq: u32,
    ack: u32,
    data: Vec<u8>,
}

fn client(flags: &'static str, seq: u32, ack: u32, data: &[u8]) -> Packet {
    Packet { from_client: true, flags, seq, ack, data: data.to_vec() }
}

fn server(flags: &'static str, seq: u32, ack: u32, data: &[u8]) -> Packet {
    Packet { from_client: false, ..client(flags, seq, ack, data) }
}

impl Packet {
    fn ip(&self) -> Vec<u8> {
        self.build(PacketBuilder::ipv4(
            [10, 0, 0, 1 + u8::from(!self.from_client)],
            [10, 0, 0, 1 + u8::from(self.from_client)],
            64,
        ))
    }

    fn ipv6(&self) -> Vec<u8> {
        let mut ends = [[1; 16], [2; 16]];
        if !self.from_client {
            ends.reverse();
        }
        self.build(PacketBuilder::ipv6(ends[0], ends[1], 64))
    }

    fn build(&self, ip: etherparse::PacketBuilderStep<etherparse::IpHeaders>) -> Vec<u8> {
        let (source, destination) = if self.from_client { (5000, 80) } else { (80, 5000) };
        let mut tcp = ip.tcp(source, destination, self.seq, 1000);
        for flag in self.flags.chars() {
            tcp = match flag {
                'S' => tcp.syn(),
                'F' => tcp.fin(),
                'R' => tcp.rst(),
                _ => tcp.ack(self.ack),
            };
        }
        let mut bytes = Vec::new();
        tcp.write(&mut bytes, &self.data).unwrap();
        bytes
    }
}

/// A connection: SYN, request, answer, and what comes behind.
fn conversation(answer: &[u8], behind: &[Packet]) -> Vec<Packet> {
    let mut packets = vec![
        client("S", CLIENT - 1, 0, b""),
        server("SA", SERVER - 1, CLIENT, b""),
        client("A", CLIENT, SERVER, GET),
        server("A", SERVER, CLIENT + GET.len() as u32, answer),
    ];
    packets.extend_from_slice(behind);
    packets
}

fn pcap_of(link_type: u32, frames: &[Vec<u8>], cut: usize) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 0xffff, link_type] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    for (i, frame) in frames.iter().enumerate() {
        let kept = frame.len().min(cut);
        for word in [1000, i * 1000, kept, frame.len()] {
            file.extend_from_slice(&(word as u32).to_le_bytes());
        }
        file.extend_from_slice(&frame[..kept]);
    }
    file
}

fn pcap(packets: &[Packet]) -> Vec<u8> {
    let frames: Vec<_> = packets.iter().map(Packet::ip).collect();
    pcap_of(101, &frames, usize::MAX)
}

/// What a replay says.
struct Said {
    exchanges: Vec<Exchange>,
    closures: Vec<Closure>,
    report: Report,
}

fn replay(file: &[u8]) -> Said {
    let (mut exchanges, mut closures) = (Vec::new(), Vec::new());
    let report = run_reader("test", file, Limits::default(), &mut |said| match said {
        Observation::Exchange(exchange) => exchanges.push(exchange),
        Observation::Closure(closure) => closures.push(closure),
        Observation::Switched(_) => {}
    });
    Said { exchanges, closures, report }
}

fn only_status(file: &[u8]) -> Option<u16> {
    let said = replay(file);
    match &said.exchanges[..] {
        [Exchange { answer: Answer::Response(head), .. }] => Some(head.status),
        _ => None,
    }
}

#[test]
fn the_accepting_end_is_local_and_time_is_the_captures() {
    let said = replay(&pcap(&conversation(FORBIDDEN, &[])));
    let [exchange] = &said.exchanges[..] else { panic!("one exchange, not {:?}", said.exchanges) };
    assert_eq!(exchange.connection.local.to_string(), "10.0.0.2:80");
    assert_eq!(exchange.connection.peer.to_string(), "10.0.0.1:5000");
    assert_eq!(exchange.time, std::time::Duration::from_millis(1_000_002));
    assert_eq!(exchange.duration, std::time::Duration::from_millis(1));
    assert_eq!((said.report.packets, said.report.segments), (4, 4));
}

#[test]
fn a_capture_that_began_later() {
    let packets = conversation(FORBIDDEN, &[]);
    assert_eq!(only_status(&pcap(&packets[1..])), Some(403));
    assert_eq!(only_status(&pcap(&packets[2..])), Some(403));
}

#[test]
fn every_link_type() {
    let packets = conversation(FORBIDDEN, &[]);
    let with = |head: &[u8], six: bool| -> Vec<Vec<u8>> {
        let ip = if six { Packet::ipv6 } else { Packet::ip };
        packets.iter().map(|packet| [head, &ip(packet)].concat()).collect()
    };
    let mac = [0; 12];
    let sll = [0; 14];
    let cases: [(u32, Vec<u8>, bool); 9] = [
        (1, [&mac[..], &[8, 0]].concat(), false),
        (1, [&mac[..], &[0x81, 0, 0, 1, 0x86, 0xdd]].concat(), true),
        (113, [&sll[..], &[8, 0]].concat(), false),
        (276, [&[0x86, 0xdd][..], &[0; 18]].concat(), true),
        (0, vec![2, 0, 0, 0], false),
        (108, vec![0, 0, 0, 24], true),
        (101, vec![], true),
        (228, vec![], false),
        (229, vec![], true),
    ];
    for (link_type, head, six) in cases {
        assert_eq!(
            only_status(&pcap_of(link_type, &with(&head, six), usize::MAX)),
            Some(403),
            "{link_type} {six}"
        );
    }
    let said = replay(&pcap_of(147, &with(&[], false), usize::MAX));
    assert!(
        matches!(said.report.damage, Some(Error::LinkType { link_type: 147, .. })),
        "{:?}",
        said.report
    );
}

#[test]
fn pcapng_with_its_own_clock() {
    fn block(file: &mut Vec<u8>, kind: u32, body: &[u8]) {
        let length = body.len() as u32 + 12;
        file.extend_from_slice(&kind.to_be_bytes());
        file.extend_from_slice(&length.to_be_bytes());
        file.extend_from_slice(body);
        file.extend_from_slice(&length.to_be_bytes());
    }
    let mut file = Vec::new();
    block(
        &mut file,
        0x0a0d_0d0a,
        &[0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255],
    );
    // Nanoseconds (option 9), and 5 seconds to add (option 14).
    block(
        &mut file,
        1,
        &[
            0, 101, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 9, 0, 0, 0, 0, 14, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5,
            0, 0, 0, 0,
        ],
    );
    for packet in conversation(FORBIDDEN, &[]) {
        let mut frame = packet.ip();
        let length = (frame.len() as u32).to_be_bytes();
        let ticks = 7_000_000_001_u64.to_be_bytes();
        frame.resize(frame.len().next_multiple_of(4), 0);
        block(&mut file, 6, &[&[0; 4][..], &ticks, &length, &length, &frame].concat());
    }
    let said = replay(&file);
    assert!(said.report.damage.is_none(), "{:?}", said.report);
    assert_eq!(said.exchanges[0].time, std::time::Duration::new(12, 1));
    let whole = file.len();
    file.truncate(whole - 1);
    let said = replay(&file);
    assert!(
        matches!(said.report.damage, Some(Error::Damaged { offset, .. }) if offset > 400),
        "{:?}",
        said.report
    );
}

#[test]
fn damage_loses_nothing_that_came_before() {
    let whole = pcap(&conversation(FORBIDDEN, &[client("A", CLIENT, SERVER, b"")]));
    let said = replay(&whole[..whole.len() - 3]);
    assert_eq!(said.exchanges.len(), 1);
    let Some(error @ Error::Damaged { .. }) = &said.report.damage else {
        panic!("{:?}", said.report)
    };
    assert!(error.to_string().starts_with("test: damaged at byte "), "{error}");
    let header_only = replay(&whole[..20]);
    assert!(matches!(header_only.report.damage, Some(Error::Damaged { offset: 0, .. })));
    for (bytes, tool) in [(&[0x1f, 0x8b, 8, 0][..], "zcat"), (&[0x28, 0xb5, 0x2f, 0xfd], "zstdcat")]
    {
        assert!(replay(bytes).report.damage.is_some_and(|error| error.to_string().contains(tool)));
    }
    assert!(matches!(replay(b"hello").report.damage, Some(Error::Unrecognised { .. })));
    assert!(matches!(replay(b"").report.damage, Some(Error::Unrecognised { .. })));
}

#[test]
fn what_the_capture_cut_off_is_not_invented() {
    // The snapshot length cuts the answer's head: there was an answer, and it is not known.
    let end = SERVER + FORBIDDEN.len() as u32;
    let packets = conversation(FORBIDDEN, &[server("FA", end, CLIENT + GET.len() as u32, b"")]);
    let frames: Vec<_> = packets.iter().map(Packet::ip).collect();
    let mut cut = frames.clone();
    cut[3].truncate(60);
    let mut file = pcap_of(101, &cut, usize::MAX);
    // The record says how long the packet was.
    let at = 24 + 16 * 4 + frames[..3].iter().map(Vec::len).sum::<usize>() - 4;
    file[at..at + 4].copy_from_slice(&(frames[3].len() as u32).to_le_bytes());
    let said = replay(&file);
    assert_eq!(said.report.cut, 1);
    assert_eq!(said.exchanges.len(), 1);
    assert_eq!(said.exchanges[0].answer, Answer::Unobserved);

    // The answer is missing altogether.
    let mut packets = packets;
    packets.remove(3);
    packets.push(client("A", CLIENT + GET.len() as u32, end + 1, b""));
    assert_eq!(replay(&pcap(&packets)).exchanges[0].answer, Answer::Unobserved);
}

#[test]
fn large_packets() {
    // Larger than what is held at first, and than anything.
    let frames = [vec![0x45; 1_000_000], vec![0x45; 10]];
    let said = replay(&pcap_of(101, &frames, usize::MAX));
    assert!(said.report.damage.is_none() && said.report.packets == 2, "{:?}", said.report);
    let said = replay(&pcap_of(101, &[vec![0; 10], vec![0; 5_000_000]], usize::MAX));
    assert!(
        matches!(said.report.damage, Some(Error::Damaged { offset: 50, .. })),
        "{:?}",
        said.report
    );
}

#[test]
fn fragments_are_counted() {
    let mut frames: Vec<_> = conversation(FORBIDDEN, &[]).iter().map(Packet::ip).collect();
    frames[3][6] |= 0x20;
    let said = replay(&pcap_of(101, &frames, usize::MAX));
    assert_eq!(said.report.fragments, 1);
}

#[test]
fn ends() {
    let asked = CLIENT + GET.len() as u32;
    let silent =
        |last: Packet| replay(&pcap(&conversation(b"", &[last]))).exchanges.remove(0).answer;
    let closed = |by, initiator| Answer::Closed { by, initiator };
    assert_eq!(silent(server("FA", SERVER, asked, b"")), closed(CloseBy::Fin, End::Local));
    assert_eq!(silent(server("RA", SERVER, asked, b"")), closed(CloseBy::Rst, End::Local));
    assert_eq!(silent(client("FA", asked, SERVER, b"")), closed(CloseBy::Fin, End::Peer));
    assert_eq!(silent(client("RA", asked, SERVER, b"")), closed(CloseBy::Rst, End::Peer));
    // A forged RST elsewhere in the sequence space changes nothing.
    assert_eq!(silent(server("RA", SERVER + 5000, asked, b"")), Answer::Unobserved);
}

#[test]
fn a_tunnel_to_its_end() {
    let asked = CLIENT + GET.len() as u32;
    let open = SERVER + SWITCHING.len() as u32;
    let behind = [
        server("A", open, asked, b"\x81\x02hi"),
        client("A", asked, open + 4, b"\x88\x82\0\0\0\0\x03\xe8"),
        server("A", open + 4, asked + 8, b"\x88\x02\x03\xe8"),
        server("FA", open + 8, asked + 8, b""),
        client("FA", asked + 8, open + 9, b""),
        server("A", open + 9, asked + 9, b""),
    ];
    let said = replay(&pcap(&conversation(SWITCHING, &behind)));
    let [closure] = &said.closures[..] else { panic!("one closure, not {:?}", said.closures) };
    assert_eq!((closure.code, closure.clean, closure.initiator), (1000, true, Some(End::Peer)));
    assert_eq!((closure.messages_in, closure.messages_out), (0, 1));
    assert!(closure.synchronised);
    let opening = said.exchanges[0].opening.clone().expect("a 101");
    assert_eq!(
        opening.close.map(|close| (close.code, close.sender)),
        Some((1000, Some(End::Peer)))
    );

    // The same ends again are another connection, also with the same sequence numbers (recordings in a row).
    for shift in [0, 77_777] {
        let again = conversation(SWITCHING, &behind).into_iter().map(|packet| Packet {
            seq: packet.seq + shift,
            ack: packet.ack + shift,
            ..packet
        });
        let twice: Vec<_> = conversation(SWITCHING, &behind).into_iter().chain(again).collect();
        let said = replay(&pcap(&twice));
        assert_eq!((said.exchanges.len(), said.closures.len()), (2, 2));
    }
    // A SYN that is sent twice is not.
    let mut packets = conversation(SWITCHING, &behind);
    packets.insert(1, packets[0].clone());
    assert_eq!(replay(&pcap(&packets)).closures.len(), 1);
}

#[test]
fn a_head_that_is_longer_than_what_is_told_of_it() {
    let cookie = format!("Set-Cookie: {}\r\n", "c".repeat(4000));
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n{cookie}{cookie}{cookie}\r\n"
    );
    let asked = CLIENT + GET.len() as u32;
    for size in [1460, 100_000] {
        let mut packets = conversation(b"", &[]);
        packets.pop();
        let mut seq = SERVER;
        for segment in head.as_bytes().chunks(size) {
            packets.push(server("A", seq, asked, segment));
            seq += segment.len() as u32;
        }
        for frame in [&b"\x81\x02hi"[..], b"\x81\x02ho", b"\x88\x02\x03\xe8"] {
            packets.push(server("A", seq, asked, frame));
            seq += frame.len() as u32;
        }
        packets.push(client("A", asked, seq, b"\x88\x82\0\0\0\0\x03\xe8"));
        packets.push(server("FA", seq, asked + 8, b""));
        packets.push(client("FA", asked + 8, seq + 1, b""));
        packets.push(server("A", seq + 1, asked + 9, b""));
        let said = replay(&pcap(&packets));
        let Answer::Response(head) = &said.exchanges[0].answer else {
            panic!("a response, not {:?}", said.exchanges)
        };
        assert_eq!((head.status, head.truncated, said.exchanges.len()), (101, true, 1), "{size}");
        // The machine goes on to look for the head's end, but not far into one segment.
        let [closure] = &said.closures[..] else { panic!("one closure, not {:?}", said.closures) };
        let followed = size == 1460;
        assert_eq!((closure.synchronised, closure.messages_out == 2), (followed, followed));
        assert_eq!(closure.code, 1000);
    }
}

#[test]
fn a_pasted_text() {
    let text =
        b"GET /ws HTTP/1.1\nHost: x\nSec-WebSocket-Key: k\n\nHTTP/1.1 426 Upgrade Required\n\nno\n";
    assert_eq!(only_status(text), Some(426));
    let said = replay(b"GET /ws HTTP/1.1\nSec-WebSocket-Key: k\n");
    assert_eq!(said.exchanges[0].answer, Answer::Unobserved);
}

/// What must not depend on how the bytes were cut into segments.
fn essence(said: Said) -> Vec<(crate::http::RequestHead, Answer)> {
    said.exchanges
        .into_iter()
        .map(|exchange| (Arc::unwrap_or_clone(exchange.request), exchange.answer))
        .collect()
}

proptest! {
    #[test]
    fn cuts_duplicates_and_swaps_change_nothing(
        cuts in proptest::collection::vec(1..GET.len(), 0..6),
        answer_cuts in proptest::collection::vec(1..FORBIDDEN.len(), 0..4),
        twice in proptest::collection::vec(0_usize..12, 0..4),
        swap in 0_usize..12,
    ) {
        let expected = essence(replay(&pcap(&conversation(FORBIDDEN, &[]))));
        let asked = CLIENT + GET.len() as u32;
        let pieces = |bytes: &[u8], mut cuts: Vec<usize>, of: &dyn Fn(usize, &[u8]) -> Packet| {
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut packets: Vec<_> =
                cuts.windows(2).filter(|w| w[0] < w[1]).map(|w| of(w[0], &bytes[w[0]..w[1]])).collect();
            // Neighbours change places, and some come again.
            let at = swap % packets.len();
            if at > 0 {
                packets.swap(at - 1, at);
            }
            for again in &twice {
                packets.push(packets[again % packets.len()].clone());
            }
            packets
        };
        let mut packets = conversation(b"", &[]);
        packets.truncate(2);
        packets.extend(pieces(GET, cuts, &|at, data| client("A", CLIENT + at as u32, SERVER, data)));
        packets.extend(pieces(FORBIDDEN, answer_cuts, &|at, data| server("A", SERVER + at as u32, asked, data)));
        prop_assert_eq!(essence(replay(&pcap(&packets))), expected);
    }

    #[test]
    fn no_bytes_panic(magic in 0_usize..7, bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let start = [&capture::PCAP.concat()[..], &capture::PCAPNG, b"GET "].concat();
        replay(&[&start[magic * 4..magic * 4 + 4], &bytes].concat());
    }

    #[test]
    fn no_damage_panics(at in 0_usize..2000, byte: u8, cut in 0_usize..2000) {
        let mut file = pcap(&conversation(SWITCHING, &[server("FA", SERVER + 60, CLIENT, b"")]));
        let length = file.len();
        file[at % length] = byte;
        replay(&file);
        file.truncate(cut % length);
        replay(&file);
    }
}
