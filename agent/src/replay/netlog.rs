//! Chrome's net-export log (`chrome://net-export`, `--log-net-log`): the heads as they were on the wire.
//!
//! The log names its numbers itself, in `constants`. A request's events share a source; the head that was sent and
//! the one that came back are events of it. A log that a crashed browser left has no end: what stands before it is read.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use super::pairs::{Head, Pair};

/// The events that hold heads.
const SENT: &str = "HTTP_TRANSACTION_SEND_REQUEST_HEADERS";
const CAME: &str = "HTTP_TRANSACTION_READ_RESPONSE_HEADERS";

/// The log as JSON, also when its end is missing; `None` when it is no such log.
pub(super) fn parse(text: &str) -> Option<Value> {
    if let Ok(whole) = serde_json::from_str(text) {
        return Some(whole);
    }
    // One event a line, each but the last one with a comma.
    let cut = text.trim_end().trim_end_matches(',');
    let last = cut.rfind("},\n").map_or(cut, |at| cut.get(..=at).unwrap_or(cut));
    [cut, last].iter().find_map(|text| serde_json::from_str(&format!("{text}]}}")).ok())
}

/// The handshakes in a log; `None` when it is none.
pub(super) fn pairs(log: &Value) -> Option<Vec<Pair>> {
    let constants = log.get("constants")?;
    let events = log.get("events")?.as_array()?;
    let types = constants.get("logEventTypes")?;
    let number = |name: &str| types.get(name).and_then(Value::as_u64);
    let (sent, came) = (number(SENT)?, number(CAME)?);
    let offset = constants.get("timeTickOffset");
    let offset = offset.and_then(|o| o.as_u64().or_else(|| o.as_str()?.parse().ok())).unwrap_or(0);
    let mut of_source: BTreeMap<u64, Vec<Pair>> = BTreeMap::new();
    for event in events {
        let kind = event.get("type").and_then(Value::as_u64);
        let source = event.get("source").and_then(|source| source.get("id")?.as_u64());
        let (Some(source), Some(params)) = (source, event.get("params")) else { continue };
        let time = event.get("time");
        let ticks = time.and_then(|t| t.as_u64().or_else(|| t.as_str()?.parse().ok())).unwrap_or(0);
        let time = Duration::from_millis(offset.saturating_add(ticks));
        let pairs = of_source.entry(source).or_default();
        if kind == Some(sent) {
            let line = params.get("line").and_then(Value::as_str).unwrap_or_default();
            let request = head(line.trim_end(), params);
            pairs.push(Pair { time, request, ..Pair::default() });
        } else if kind == Some(came)
            && let Some(pair) = pairs.last_mut()
        {
            pair.waited = time.saturating_sub(pair.time);
            pair.response = response(params);
        }
    }
    let all = of_source.into_values().flatten();
    let mut pairs: Vec<Pair> = all.filter(is_handshake).collect();
    pairs.sort_by_key(|pair| pair.time);
    Some(pairs)
}

fn head(line: &str, params: &Value) -> Vec<u8> {
    let mut head = Head::new(line);
    for field in list(params) {
        head.line(field);
    }
    head.end()
}

/// The status line is the first of the list.
fn response(params: &Value) -> Vec<u8> {
    let mut fields = list(params);
    let mut head = Head::new(fields.next().unwrap_or_default());
    for field in fields {
        // The content is not in the log.
        let name = field.split(':').next().unwrap_or_default();
        if !["content-length", "transfer-encoding"].iter().any(|of| name.eq_ignore_ascii_case(of)) {
            head.line(field);
        }
    }
    head.end()
}

fn list(params: &Value) -> impl Iterator<Item = &str> {
    params.get("headers").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn is_handshake(pair: &Pair) -> bool {
    let text = pair.request.to_ascii_lowercase();
    memchr::memmem::find(&text, b"websocket").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"{"constants": {"logEventTypes": {"HTTP_TRANSACTION_SEND_REQUEST_HEADERS": 1,
"HTTP_TRANSACTION_READ_RESPONSE_HEADERS": 2, "OTHER": 3}, "timeTickOffset": "1777863721000"},
"events": [
{"type": 3, "source": {"id": 4, "type": 1}, "time": "1"},
{"type": 1, "source": {"id": 4, "type": 1}, "time": "100", "params": {"line": "GET /chat HTTP/1.1\r\n", "headers": ["Host: app.example", "Upgrade: websocket", "Origin: https://app.example"]}},
{"type": 1, "source": {"id": 9, "type": 1}, "time": "110", "params": {"line": "GET /logo HTTP/1.1\r\n", "headers": ["Host: app.example"]}},
{"type": 2, "source": {"id": 4, "type": 1}, "time": "123", "params": {"headers": ["HTTP/1.1 403 Forbidden", "Content-Length: 7", "Server: nginx"]}}"#;

    #[test]
    fn the_heads_of_a_source_belong_together() {
        // With its end, without it, and cut within an event.
        let cut = format!("{LOG},\n{{\"type\": 1, \"source\": {{\"id\": 10");
        for text in [format!("{LOG}]}}"), format!("{LOG},\n"), cut] {
            let log = parse(&text).unwrap();
            let pairs = pairs(&log).unwrap();
            let [pair] = &pairs[..] else { panic!("{text}: {pairs:?}") };
            assert!(pair.request.starts_with(b"GET /chat HTTP/1.1\r\nHost: app.example\r\n"));
            assert_eq!(pair.response, b"HTTP/1.1 403 Forbidden\r\nServer: nginx\r\n\r\n");
            assert_eq!(pair.time, Duration::from_millis(1_777_863_721_100));
            assert_eq!(pair.waited, Duration::from_millis(23));
        }
        assert_eq!(pairs(&serde_json::json!({"events": []})), None);
        assert_eq!(parse("{\"constants\": {"), None);
    }
}
