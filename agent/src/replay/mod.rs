//! The same verdicts offline: captures and pasted texts through the very same stages, no root, no kernel.
//!
//! In: a pcap, a pcapng, a HAR file, Chrome's net-export log, or a text with a request and a response. Out: exchanges and closures, and a [`Report`].
//! Damage ends the reading; everything before it has been told by then.

mod browser;
mod capture;
mod devtools;
mod flow;
mod har;
mod netlog;
mod pairs;
mod segment;
mod text;

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use crate::handshake::{Counters, Limits, Observation};

/// Why a file could not be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened or read.
    #[error("{name}: cannot be read: {source}")]
    Unreadable {
        /// The file.
        name: String,
        /// The system's word.
        source: io::Error,
    },
    /// The file is neither a capture, nor what a browser saved, nor a text with a request.
    #[error(
        "{name}: neither a capture (pcap or pcapng), nor what a browser saved (HAR, net-export), nor a text that holds \
         an HTTP/1.x request"
    )]
    Unrecognised {
        /// The file.
        name: String,
    },
    /// The file is compressed.
    #[error("{name}: compressed: decompress it and pipe it in: `{tool} {name} | wstap replay -`")]
    Compressed {
        /// The file.
        name: String,
        /// What decompresses it.
        tool: &'static str,
    },
    /// The capture's link type is not one of those that are read.
    #[error("{name}: link type {link_type} is not supported; `tcpdump -i any` makes one that is")]
    LinkType {
        /// The file.
        name: String,
        /// Its number in the list of tcpdump.org.
        link_type: i32,
    },
    /// The file is damaged or ends too early.
    #[error("{name}: damaged at byte {offset}: {what}; what stands before it was read")]
    Damaged {
        /// The file.
        name: String,
        /// Where the first unreadable block begins.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
}

/// What was read, and what could not be.
#[derive(Debug, Default)]
pub struct Report {
    /// Packets in the capture.
    pub packets: u64,
    /// TCP segments among them.
    pub segments: u64,
    /// IP fragments, which are not put together: what they carry is missing.
    pub fragments: u64,
    /// Packets that the capture cut (its snapshot length): what was cut off is missing.
    pub cut: u64,
    /// Packets whose headers could not be read.
    pub undecodable: u64,
    /// Packets of an interface whose link type is not supported.
    pub other_links: u64,
    /// Connections that were forgotten because there were too many at once.
    pub evicted_connections: u64,
    /// Connections that were forgotten because they were quiet for long.
    pub idle_connections: u64,
    /// What happened at the bounds of the pairing.
    pub pairing: Counters,
    /// Why the reading ended before the end of the file.
    pub damage: Option<Error>,
}

/// Where observations go.
pub type Out<'a> = &'a mut dyn FnMut(Observation);

/// Replays a file; `-` is standard input.
pub fn run(path: &Path, limits: Limits, out: Out<'_>) -> Report {
    if path == Path::new("-") {
        return run_reader("standard input", io::stdin().lock(), limits, out);
    }
    let name = path.display().to_string();
    match File::open(path) {
        Ok(file) => run_reader(&name, file, limits, out),
        Err(source) => failed(Error::Unreadable { name, source }),
    }
}

/// Replays what `reader` gives; `name` names it in errors.
pub fn run_reader(name: &str, reader: impl Read, limits: Limits, out: Out<'_>) -> Report {
    let name = name.to_owned();
    let mut reader = Greedy(reader);
    let mut magic = [0; 4];
    let read = match reader.read(&mut magic) {
        Ok(read) => read,
        Err(source) => return failed(Error::Unreadable { name, source }),
    };
    let start = magic.get(..read).unwrap_or_default();
    let whole = Greedy(start.chain(reader));
    match magic {
        capture::PCAPNG => capture::run_pcapng(name, whole, limits, out),
        magic if capture::PCAP.contains(&magic) => capture::run_pcap(name, whole, limits, out),
        [0x1f, 0x8b, ..] => failed(Error::Compressed { name, tool: "zcat" }),
        [0x28, 0xb5, 0x2f, 0xfd] => failed(Error::Compressed { name, tool: "zstdcat" }),
        [b'{', ..] | [0xef, 0xbb, 0xbf, b'{'] => browser::run(name, whole, limits, out),
        _ => text::run(name, whole, limits, out),
    }
}

fn failed(error: Error) -> Report {
    Report { damage: Some(error), ..Report::default() }
}

/// A reader that fills the buffer as long as there is something: pipes give little at a time.
struct Greedy<R>(R);

impl<R: Read> Read for Greedy<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.0.read(rest) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests;
