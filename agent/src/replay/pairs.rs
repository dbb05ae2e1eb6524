//! Requests with their responses, as heads: what a text, a HAR file or a browser's log comes to.

use std::time::Duration;

use wstap_common::record::{Kind, Record, Summary, flags, half};
use zerocopy::{FromZeros, IntoBytes};

use super::{Out, Report};
use crate::handshake::{Limits, Pairing};

/// A request and what came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pair {
    /// When it began, since the Unix epoch.
    pub(super) time: Duration,
    /// From the request to the response.
    pub(super) waited: Duration,
    pub(super) request: Vec<u8>,
    /// Empty: there is none in what was recorded, and it is not known whether there was one.
    pub(super) response: Vec<u8>,
    /// The request is not all that was sent: what is not in it was not recorded.
    pub(super) cut_request: bool,
    /// The same for the response.
    pub(super) cut_response: bool,
}

/// Takes the pairs through the same stages as a capture. The records' clock is the time of day.
pub(super) fn feed(pairs: &[Pair], limits: Limits, out: Out<'_>) -> Report {
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let mut pairing = Pairing::new(limits, Duration::ZERO);
    let mut record = Record::new_zeroed();
    for pair in pairs {
        record.cookie += 1;
        record.kind = Kind::Bytes as u8;
        record.half = half::REQUEST;
        record.time_ns = nanos(pair.time);
        record.flags = if pair.cut_request { flags::TRUNCATED } else { 0 };
        pairing.record(&record, &pair.request, out);
        record.half = half::RESPONSE;
        record.time_ns = nanos(pair.time + pair.waited);
        if !pair.response.is_empty() {
            record.flags = if pair.cut_response { flags::TRUNCATED } else { 0 };
            pairing.record(&record, &pair.response, out);
        }
        record.kind = Kind::Closed as u8;
        // Without a response in what was recorded it is not known whether there was one.
        record.flags = if pair.response.is_empty() { flags::ANSWERED } else { 0 };
        pairing.record(&record, Summary::default().as_bytes(), out);
        record.flags = 0;
    }
    pairing.finish(record.time_ns, out);
    Report { pairing: pairing.counters(), ..Report::default() }
}

/// A head of HTTP/1.1 from its parts. Line breaks in a part would make up fields: they are spaces.
#[derive(Debug, Default)]
pub(super) struct Head(Vec<u8>);

impl Head {
    pub(super) fn new(first_line: &str) -> Self {
        let mut head = Self::default();
        head.line(first_line);
        head
    }

    pub(super) fn field(&mut self, name: &str, value: &str) {
        self.line(&format!("{name}: {value}"));
    }

    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"\r\n");
        self.0
    }

    pub(super) fn line(&mut self, text: &str) {
        let plain = |byte: u8| if matches!(byte, b'\r' | b'\n' | 0) { b' ' } else { byte };
        self.0.extend(text.bytes().map(plain));
        self.0.extend_from_slice(b"\r\n");
    }
}

/// The target of a URL as a request has it, and its authority; `None` when it is no URL of a server.
pub(super) fn target(url: &str) -> Option<(String, String)> {
    let (scheme, rest) = url.split_once("://")?;
    let is_known =
        ["ws", "wss", "http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let path = path.split('#').next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    (is_known && !authority.is_empty()).then(|| (path.replace(' ', "%20"), authority.to_owned()))
}
