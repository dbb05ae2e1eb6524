//! Writes a large capture: downloads over keep-alive HTTP, busy WebSocket connections, and the recorded cases
//! of the replay tests among them. The same bytes each time.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use etherparse::PacketBuilder;
use wstap_tests::http::{ACCEPTED, upgrade};

use crate::command::workspace;

/// Where the WebSocket traffic goes.
pub(super) const WEB_SOCKET: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 1), 8080);
/// Where the HTTP traffic goes.
const HTTP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 1), 80);
/// Connections that are open at the same time.
const OPEN: usize = 64;
/// Exchanges in a connection's life.
const LIFE: u32 = 40;
/// Payload of a segment on Ethernet.
const SEGMENT: usize = 1448;
/// Between two packets, in microseconds.
const PACE: u64 = 20;
/// The first packet's time, in seconds since the Unix epoch.
const START: u64 = 1_700_000_000;
/// What a capture holds.
#[derive(Default)]
pub(super) struct Written {
    pub(super) bytes: u64,
    pub(super) packets: u64,
    /// Handshakes to [`WEB_SOCKET`].
    pub(super) handshakes: usize,
    pub(super) cases: usize,
}

/// Writes a capture of at least this size.
pub(super) fn write(file: &Path, bytes: u64) -> Result<Written> {
    let mut capture = Capture::create(file)?;
    let mut cases = recorded()?;
    let between_cases = bytes / (cases.len() as u64 + 1);
    let mut open: VecDeque<Connection> = VecDeque::new();
    let mut number = 0;
    while capture.written.bytes < bytes {
        if open.len() < OPEN {
            let mut connection = Connection::new(number);
            number += 1;
            capture.open(&mut connection)?;
            open.push_back(connection);
            continue;
        }
        // Each in its turn, so that all are mixed.
        let Some(mut connection) = open.pop_front() else { continue };
        connection.exchange(&mut capture)?;
        if connection.left == 0 {
            capture.close(&mut connection)?;
        } else {
            open.push_back(connection);
        }
        if capture.written.bytes > between_cases * (capture.written.cases as u64 + 1)
            && let Some(case) = cases.pop()
        {
            capture.recorded(&case)?;
        }
    }
    for mut connection in open {
        capture.close(&mut connection)?;
    }
    for case in cases {
        capture.recorded(&case)?;
    }
    capture.file.flush()?;
    Ok(capture.written)
}

/// The recorded cases; all are Ethernet captures in pcap's little-endian form.
fn recorded() -> Result<Vec<Vec<u8>>> {
    let folder = workspace().join("tests/replay/cases");
    let mut files = Vec::new();
    for case in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        files.push(case?.path().join("capture.pcap"));
    }
    files.sort();
    let captures = files.iter().filter(|file| file.is_file()).map(std::fs::read);
    Ok(captures.collect::<Result<Vec<_>, _>>()?)
}

/// One TCP connection.
struct Connection {
    client: SocketAddrV4,
    server: SocketAddrV4,
    /// The next sequence number of the client and of the server.
    next: [u32; 2],
    left: u32,
    number: u32,
    refused: bool,
}

impl Connection {
    fn new(number: u32) -> Self {
        let server = if number.is_multiple_of(2) { WEB_SOCKET } else { HTTP };
        let [_, _, high, low] = (number / 40_000).to_be_bytes();
        let port = 20_000 + (number % 40_000) as u16;
        let client = SocketAddrV4::new(Ipv4Addr::new(203, 0, high, low), port);
        let next = [number.wrapping_mul(2_654_435_761), number.wrapping_mul(40_503)];
        Self { client, server, next, left: LIFE, number, refused: number.is_multiple_of(8) }
    }

    fn exchange(&mut self, capture: &mut Capture) -> Result<()> {
        let step = LIFE - self.left;
        self.left -= 1;
        // Sizes that differ, and are the same each time.
        let varied =
            self.number.wrapping_mul(31).wrapping_add(step).wrapping_mul(2_654_435_761) >> 16;
        if self.server == HTTP {
            let request = format!(
                "GET /page/{step} HTTP/1.1\r\nHost: www.example\r\nUser-Agent: Mozilla/5.0\r\n\
                 Accept: */*\r\nCookie: session={}\r\n\r\n",
                "0123456789abcdef".repeat(20)
            );
            capture.send(self, 0, request.as_bytes())?;
            let length = 500 + varied as usize % 20_000;
            let mut answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\r\n"
            )
            .into_bytes();
            answer.resize(answer.len() + length, b'x');
            return capture.send(self, 1, &answer);
        }
        if step == 0 {
            capture.written.handshakes += 1;
            let request = upgrade("/chat", "chat.example", "https://chat.example");
            capture.send(self, 0, request.as_bytes())?;
            if self.refused {
                self.left = 0;
                let answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 10\r\n\r\nforbidden\n";
                return capture.send(self, 1, answer.as_bytes());
            }
            return capture.send(self, 1, ACCEPTED);
        }
        // RFC 6455 section 5.2: a masked text of 100 bytes, and a binary message.
        let mut question = vec![0x81, 0xe4, 1, 2, 3, 4];
        question.resize(question.len() + 100, b'q');
        capture.send(self, 0, &question)?;
        let length = 200 + (varied % 16_000) as u16;
        let mut answer = vec![0x82, 126];
        answer.extend(length.to_be_bytes());
        answer.resize(answer.len() + usize::from(length), b'a');
        capture.send(self, 1, &answer)
    }
}

/// Where the packets go.
struct Capture {
    file: BufWriter<File>,
    written: Written,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flag {
    Syn,
    Ack,
    Push,
    Fin,
}

impl Capture {
    fn create(file: &Path) -> Result<Self> {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(file)?);
        // pcap, version 2.4, 256 KiB a packet, Ethernet.
        for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 0x0004_0000, 1] {
            file.write_all(&word.to_le_bytes())?;
        }
        Ok(Self { file, written: Written { bytes: 24, ..Written::default() } })
    }

    fn packet(&mut self, bytes: &[u8]) -> Result<()> {
        let time = START * 1_000_000 + self.written.packets * PACE;
        let length = u32::try_from(bytes.len())?;
        for word in [(time / 1_000_000) as u32, (time % 1_000_000) as u32, length, length] {
            self.file.write_all(&word.to_le_bytes())?;
        }
        self.file.write_all(bytes)?;
        self.written.packets += 1;
        self.written.bytes += 16 + u64::from(length);
        Ok(())
    }

    /// A segment of the client (0) or the server (1).
    fn segment(
        &mut self,
        connection: &mut Connection,
        from: usize,
        flag: Flag,
        payload: &[u8],
    ) -> Result<()> {
        let [client, server] = connection.next;
        let (source, target, own, other) = match from {
            0 => (connection.client, connection.server, client, server),
            _ => (connection.server, connection.client, server, client),
        };
        let packet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ipv4(source.ip().octets(), target.ip().octets(), 64)
            .tcp(source.port(), target.port(), own, 64_000);
        let first = flag == Flag::Syn && from == 0;
        let packet = if first { packet } else { packet.ack(other) };
        let packet = match flag {
            Flag::Syn => packet.syn(),
            Flag::Ack => packet,
            Flag::Push => packet.psh(),
            Flag::Fin => packet.fin(),
        };
        let mut bytes = Vec::with_capacity(54 + payload.len());
        packet.write(&mut bytes, payload)?;
        let counted = u32::from(matches!(flag, Flag::Syn | Flag::Fin));
        let sent = counted.wrapping_add(payload.len() as u32);
        if let Some(next) = connection.next.get_mut(from) {
            *next = next.wrapping_add(sent);
        }
        self.packet(&bytes)
    }

    fn open(&mut self, connection: &mut Connection) -> Result<()> {
        self.segment(connection, 0, Flag::Syn, b"")?;
        self.segment(connection, 1, Flag::Syn, b"")?;
        self.segment(connection, 0, Flag::Ack, b"")
    }

    fn close(&mut self, connection: &mut Connection) -> Result<()> {
        self.segment(connection, 1, Flag::Fin, b"")?;
        self.segment(connection, 0, Flag::Fin, b"")?;
        self.segment(connection, 1, Flag::Ack, b"")
    }

    /// In segments; the other end acknowledges every second one.
    fn send(&mut self, connection: &mut Connection, from: usize, payload: &[u8]) -> Result<()> {
        for (number, segment) in payload.chunks(SEGMENT).enumerate() {
            self.segment(connection, from, Flag::Push, segment)?;
            if number % 2 == 1 {
                self.segment(connection, 1 - from, Flag::Ack, b"")?;
            }
        }
        Ok(())
    }

    /// The packets of a recorded case, at the time where the capture is.
    fn recorded(&mut self, case: &[u8]) -> Result<()> {
        let (header, mut rest) = case.split_at_checked(24).context("a case without a header")?;
        ensure!(header.ends_with(&[1, 0, 0, 0]), "a case that is no Ethernet capture");
        while let Some((head, behind)) = rest.split_at_checked(16) {
            let length = head.last_chunk::<8>().and_then(|words| words.first_chunk::<4>());
            let length = u32::from_le_bytes(*length.context("a packet's head")?) as usize;
            let (packet, behind) = behind.split_at_checked(length).context("a case is cut")?;
            self.packet(packet)?;
            rest = behind;
        }
        self.written.cases += 1;
        Ok(())
    }
}
