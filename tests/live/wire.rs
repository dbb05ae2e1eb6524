//! A TCP client made by hand on a TUN device: it sends the segments that a test wants, in the order
//! and as often as it wants, to a real server of this host.

use std::cell::Cell;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use etherparse::{NetHeaders, PacketBuilder, PacketHeaders, TransportHeader};
use tun_rs::{DeviceBuilder, SyncDevice};
use wstap_tests::PATIENCE;

/// The host's end of the device, for a server to listen on.
pub(crate) const HERE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// The hand-made client's address.
const THERE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
/// The client's initial sequence number: so near the end that a request wraps it around.
const INITIAL: u32 = u32::MAX - 40;
const WINDOW: u16 = 65_000;

/// The device; it goes with this guard.
pub(crate) struct Wire(SyncDevice);

impl Wire {
    /// Makes the device.
    pub(crate) fn new() -> Result<Self> {
        let device = DeviceBuilder::new().name("wstap-wire").ipv4(HERE, 30, None).build_sync()?;
        device.set_nonblocking(true)?;
        Ok(Self(device))
    }

    /// Opens a connection to a port of [`HERE`].
    pub(crate) fn connect(&self, from: u16, to: u16) -> Result<Connection<'_>> {
        let mut connection =
            Connection { wire: self, from, to, acknowledged: 0, sent: Cell::new(0) };
        connection.segment(INITIAL, Flags { syn: true, ..Flags::default() }, &[])?;
        let (sequence, _) = connection.receive(|flags, _| flags.syn)?;
        connection.acknowledged = sequence.wrapping_add(1);
        connection.at(0, &[])?;
        Ok(connection)
    }
}

/// A connection made by hand.
pub(crate) struct Connection<'a> {
    wire: &'a Wire,
    from: u16,
    to: u16,
    /// The next byte that is expected of the server.
    acknowledged: u32,
    /// How much of the stream was sent.
    sent: Cell<usize>,
}

/// The flags that tests set; all but a SYN carry an ACK.
#[derive(Clone, Copy, Default)]
pub(crate) struct Flags {
    pub(crate) syn: bool,
    pub(crate) rst: bool,
    pub(crate) fin: bool,
}

impl Connection<'_> {
    /// Sends bytes of the stream, from this offset on.
    pub(crate) fn at(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        self.sent.set(self.sent.get().max(offset + bytes.len()));
        self.segment(sequence(offset), Flags::default(), bytes)
    }

    /// Sends a segment with any flags at an offset that need not fit.
    pub(crate) fn forge(&self, offset: i64, flags: Flags, bytes: &[u8]) -> Result<()> {
        #[expect(clippy::cast_sign_loss, reason = "sequence numbers wrap around")]
        let sequence = INITIAL.wrapping_add(1).wrapping_add(offset as u32);
        self.segment(sequence, flags, bytes)
    }

    fn segment(&self, sequence: u32, flags: Flags, bytes: &[u8]) -> Result<()> {
        let mut builder = PacketBuilder::ipv4(THERE.octets(), HERE.octets(), 64)
            .tcp(self.from, self.to, sequence, WINDOW);
        builder = if flags.syn { builder.syn() } else { builder.ack(self.acknowledged) };
        if flags.rst {
            builder = builder.rst();
        }
        if flags.fin {
            builder = builder.fin();
        }
        let mut packet = Vec::with_capacity(builder.size(bytes.len()));
        builder.write(&mut packet, bytes)?;
        ensure!(self.wire.0.send(&packet)? == packet.len());
        Ok(())
    }

    /// Reads and acknowledges until the head of an answer is there; returns its status.
    pub(crate) fn status(&mut self) -> Result<u16> {
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            let next = self.acknowledged;
            let (start, bytes) = self.receive(|_, bytes| bytes > 0)?;
            if start == next {
                self.acknowledged = start.wrapping_add(bytes.len() as u32);
                head.extend(bytes);
            }
            self.segment(sequence(self.sent.get()), Flags::default(), &[])?;
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        head.split(' ').nth(1).and_then(|code| code.parse().ok()).context(head)
    }

    /// Reads to the server's FIN, and acknowledges it all when so long has passed; gives how many bytes
    /// there were.
    pub(crate) fn finish(&mut self, acknowledges_after: Duration) -> Result<usize> {
        let begin = Instant::now();
        let (first, mut last) = (self.acknowledged, None);
        loop {
            let waits = begin.elapsed() < acknowledges_after;
            let mut fin = false;
            let got = self.receive_within(Duration::from_millis(20), |flags, bytes| {
                fin = flags.fin;
                bytes > 0 || flags.fin
            });
            if let Some((start, bytes)) = got? {
                let end = start.wrapping_add(bytes.len() as u32);
                if fin {
                    last = Some(end);
                }
                // What is missing will come again.
                if start == self.acknowledged && !waits {
                    self.acknowledged = end;
                }
            }
            if waits {
                continue;
            }
            self.segment(sequence(self.sent.get()), Flags::default(), &[])?;
            if last == Some(self.acknowledged) {
                return Ok(self.acknowledged.wrapping_sub(first) as usize);
            }
            ensure!(begin.elapsed() < PATIENCE, "no FIN of the server");
        }
    }

    /// The next segment of the server that is as wanted: its sequence number and its bytes.
    fn receive(&self, wanted: impl FnMut(Flags, usize) -> bool) -> Result<(u32, Vec<u8>)> {
        self.receive_within(PATIENCE, wanted)?.context("no segment of the server")
    }

    /// The same, if one comes in the given time.
    fn receive_within(
        &self,
        time: Duration,
        mut wanted: impl FnMut(Flags, usize) -> bool,
    ) -> Result<Option<(u32, Vec<u8>)>> {
        let mut buffer = vec![0; 65_536];
        let end = Instant::now() + time;
        loop {
            match self.wire.0.recv(&mut buffer) {
                Ok(length) => {
                    let segment = self.read(buffer.get(..length).unwrap_or_default());
                    if let Some((sequence, flags, bytes)) = segment
                        && wanted(flags, bytes.len())
                    {
                        return Ok(Some((sequence, bytes)));
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_micros(200));
                }
                Err(error) => return Err(error.into()),
            }
            if Instant::now() >= end {
                return Ok(None);
            }
        }
    }

    /// A segment of the server on this connection.
    fn read(&self, packet: &[u8]) -> Option<(u32, Flags, Vec<u8>)> {
        let packet = PacketHeaders::from_ip_slice(packet).ok()?;
        let (Some(NetHeaders::Ipv4(..)), Some(TransportHeader::Tcp(tcp))) =
            (packet.net, packet.transport)
        else {
            return None;
        };
        let flags = Flags { syn: tcp.syn, rst: tcp.rst, fin: tcp.fin };
        let ours = tcp.destination_port == self.from;
        ours.then(|| (tcp.sequence_number, flags, packet.payload.slice().to_vec()))
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        // The server need not wait for the end of a client that is gone.
        let _sent =
            self.segment(sequence(self.sent.get()), Flags { rst: true, ..Flags::default() }, &[]);
    }
}

fn sequence(offset: usize) -> u32 {
    INITIAL.wrapping_add(1).wrapping_add(offset as u32)
}
