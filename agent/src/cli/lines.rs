//! JSON lines of any log system: events, and what else stands between them.
//!
//! In: bytes, as `kubectl logs`, `journalctl`, a file or a collector gives them. Out: events, and how many lines were
//! none. Before an event may stand whatever a log system puts there (`kubectl logs --prefix`, a time, a container's
//! name); or the event is a field of the system's own object. Bound: [`LINE_BYTES`].

use std::io::{self, BufRead};

use serde_json::Value;

use crate::event::Event;

/// A longer line is no event: an event of this agent has some kilobytes at most.
const LINE_BYTES: usize = 1024 * 1024;
/// How every event of this agent begins.
const BEGIN: &str = "{\"type\":\"";
/// Where log systems put the line: Docker's files, Fluent Bit, Vector and Loki, journald, OpenTelemetry.
const FIELDS: &[&str] = &["log", "message", "line", "MESSAGE", "msg", "body"];

/// What was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Read {
    /// Lines that were events.
    pub(super) events: u64,
    /// Lines that were none; empty ones do not count.
    pub(super) others: u64,
}

impl Read {
    /// What the user must know of it.
    pub(super) fn note(&self, name: &str) -> Option<String> {
        match self {
            Self { others: 0, .. } => None,
            Self { events: 0, others } => Some(format!(
                "{name}: no event in {others} lines: are these lines of wstap run --events failed, or \
                 of wstap tail --json?"
            )),
            Self { others, .. } => {
                Some(format!("{name}: {others} lines that are no events were skipped"))
            }
        }
    }
}

/// Gives every event to `take`, until that answers false.
pub(super) fn each(
    mut input: impl BufRead,
    take: &mut dyn FnMut(Event) -> bool,
) -> io::Result<Read> {
    let mut read = Read::default();
    let mut line = Vec::new();
    while next(&mut input, &mut line)? {
        let Some(event) = event(&line) else {
            read.others += u64::from(!line.trim_ascii().is_empty());
            continue;
        };
        read.events += 1;
        if !take(event) {
            break;
        }
    }
    Ok(read)
}

/// The next line, without what of it is longer than the bound; false: there is none.
fn next(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let mut any = false;
    loop {
        let piece = match input.fill_buf() {
            Ok(piece) => piece,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if piece.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = memchr::memchr(b'\n', piece);
        let taken = end.map_or(piece.len(), |end| end + 1);
        let room = (LINE_BYTES + 1).saturating_sub(line.len());
        line.extend(piece.iter().take(taken.min(room)));
        input.consume(taken);
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// The event in a line.
fn event(line: &[u8]) -> Option<Event> {
    if line.len() > LINE_BYTES {
        return None;
    }
    let line = String::from_utf8_lossy(line);
    if let Some((_, rest)) = line.split_once(BEGIN) {
        // What a log system writes behind it is left alone.
        let whole = [BEGIN, rest].concat();
        let mut values = serde_json::Deserializer::from_str(&whole).into_iter();
        if let Some(Ok(event)) = values.next() {
            return Some(event);
        }
    }
    let (_, object) = line.split_once('{')?;
    let object: Value = serde_json::from_str(&["{", object].concat()).ok()?;
    // Its keys may have been put into another order.
    serde_json::from_value(object.clone()).ok().or_else(|| {
        FIELDS.iter().filter_map(|field| object.get(field)).find_map(|value| match value {
            Value::String(text) => {
                let (_, rest) = text.split_once('{')?;
                let whole = ["{", rest].concat();
                serde_json::Deserializer::from_str(&whole).into_iter().next()?.ok()
            }
            Value::Object(_) => serde_json::from_value(value.clone()).ok(),
            _ => None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::sample::refused;

    #[test]
    fn an_event_is_found_in_what_log_systems_make_of_its_line() {
        let want = Event::Handshake(refused());
        let json = serde_json::to_string(&want).unwrap();
        let text = serde_json::to_string(&json).unwrap();
        let sorted: Value = serde_json::from_str(&json).unwrap();
        for line in [
            json.clone(),
            format!("[pod/wstap-7zq2x/wstap] {json}"),
            format!("2026-05-04T03:02:01.5Z stdout F {json}"),
            format!("wstap-1  | {json}\r"),
            format!("{{\"log\":{text},\"stream\":\"stdout\"}}"),
            format!("{{\"__REALTIME_TIMESTAMP\":\"1\",\"MESSAGE\":{text}}}"),
            format!("{{\"message\":{json},\"kubernetes\":{{\"pod\":\"x\"}}}}"),
            sorted.to_string(),
            format!("{json} (tail)"),
        ] {
            let mut found = Vec::new();
            let read = each(format!("\n{line}\n").as_bytes(), &mut |event| {
                found.push(event);
                true
            });
            assert_eq!(read.unwrap(), Read { events: 1, others: 0 }, "{line}");
            assert_eq!(found, std::slice::from_ref(&want), "{line}");
        }
    }

    #[test]
    fn lines_that_are_no_events_are_counted() {
        let cut = serde_json::to_string(&Event::Handshake(refused())).unwrap();
        let cut = cut.get(..cut.len() / 2).unwrap();
        let long = format!("{{\"type\":\"{}", "x".repeat(3 * LINE_BYTES));
        let text = format!(
            "GET / HTTP/1.1\n{{\"type\":\"other\"}}\n{{}}\n\u{1b}[2m{{\n\n{cut}\n{long}\n\u{fffd}"
        );
        let mut bytes = text.into_bytes();
        bytes.extend([0xff, b'\n', 0]);
        let read = each(bytes.as_slice(), &mut |event| panic!("{event:?}")).unwrap();
        assert_eq!(read, Read { events: 0, others: 8 });
        assert!(read.note("x").unwrap().contains("no event in 8 lines"));
    }
}
