//! What a browser saved: a HAR file or Chrome's net-export log. Both are one JSON object.

use std::io::Read;

use super::{Error, Out, Report, failed, har, netlog, pairs::feed};
use crate::handshake::Limits;

/// How long a file may be; a browser's log of an hour has some megabytes.
const MOST: u64 = 256 * 1024 * 1024;

pub(super) fn run(name: String, reader: impl Read, limits: Limits, out: Out<'_>) -> Report {
    let mut bytes = Vec::new();
    if let Err(source) = reader.take(MOST + 1).read_to_end(&mut bytes) {
        return failed(Error::Unreadable { name, source });
    }
    if bytes.len() as u64 > MOST {
        return failed(Error::Damaged { name, offset: MOST, what: "longer than is read" });
    }
    let text = String::from_utf8_lossy(&bytes);
    let saved = netlog::parse(text.trim_start_matches('\u{feff}'));
    let pairs = saved.and_then(|saved| har::pairs(&saved).or_else(|| netlog::pairs(&saved)));
    match pairs {
        Some(pairs) => feed(&pairs, limits, out),
        None => failed(Error::Unrecognised { name }),
    }
}
