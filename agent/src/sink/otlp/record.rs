//! An event's line as a log record, with the names of the semantic conventions where there are any; every other field
//! is `wstap.FIELD`, so that no field is left out.

use serde_json::{Map, Value};

use super::proto::{Any, AnyValue, ArrayValue, KeyValue, LogRecord};

/// Severity numbers of the logs data model.
const INFO: (i32, &str) = (9, "INFO");
const WARN: (i32, &str) = (13, "WARN");
const ERROR: (i32, &str) = (17, "ERROR");

/// The record for a line; `None` for what is no event of a connection. `now`: nanoseconds since the Unix epoch.
pub(super) fn record(line: &str, now: u64) -> Option<LogRecord> {
    let Value::Object(mut event) = serde_json::from_str(line).ok()? else { return None };
    let kind = text(event.remove("type"))?;
    let severity = severity(&kind, &event)?;
    let body = body(&kind, &event);
    let bytes = |value| text(value).map(|hex| unhex(&hex)).unwrap_or_default();
    let time = text(event.remove("time"));
    let time = time.and_then(|time| time.parse::<jiff::Timestamp>().ok());
    let nanos = time.and_then(|time| u64::try_from(time.as_nanosecond()).ok());
    let mut record = LogRecord {
        time_unix_nano: nanos.unwrap_or(now),
        observed_time_unix_nano: now,
        severity_number: severity.0,
        severity_text: severity.1.to_owned(),
        body: Some(AnyValue { value: Some(Any::Text(body)) }),
        trace_id: bytes(event.remove("trace_id")),
        span_id: bytes(event.remove("span_id")),
        event_name: format!("wstap.{kind}"),
        attributes: Vec::new(),
    };
    let out = &mut record.attributes;
    if kind == "handshake" {
        // The programs in the kernel take nothing else for a handshake.
        put(out, "http.request.method", Value::from("GET"));
    }
    for (name, value) in event {
        attribute(out, &kind, &name, value);
    }
    Some(record)
}

fn severity(kind: &str, event: &Map<String, Value>) -> Option<(i32, &'static str)> {
    let is = |name: &str, wanted: &str| event.get(name).is_some_and(|value| value == wanted);
    Some(match kind {
        "handshake" if is("outcome", "accepted") || is("outcome", "unobserved") => INFO,
        // A foreign page that was turned away: as intended, most likely.
        "handshake" if is("policy", "foreign") => WARN,
        "handshake" | "storm" => ERROR,
        "closure" => match event.get("code").and_then(Value::as_u64) {
            Some(1000 | 1001 | 1005) => INFO,
            _ => WARN,
        },
        "gave-up" => WARN,
        _ => return None,
    })
}

/// The verdict in one line.
fn body(kind: &str, event: &Map<String, Value>) -> String {
    let of = |name: &str| match event.get(name) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let origin = of("origin").unwrap_or_else(|| "(no origin)".to_owned());
    let place = || format!("{}{}", of("host").unwrap_or_default(), of("path").unwrap_or_default());
    let mut words = match kind {
        "handshake" => {
            vec![of("outcome"), of("status"), Some(origin), Some("->".into()), Some(place())]
        }
        "closure" => {
            vec![Some("closed".into()), of("code"), Some(origin), Some("->".into()), of("path")]
        }
        "storm" => vec![
            Some("reconnect storm:".into()),
            of("ended"),
            Some("connections ended,".into()),
            of("reconnects"),
            Some("handshakes followed".into()),
            Some(origin),
        ],
        _ => vec![Some("gave up".into()), Some(origin), Some("->".into()), of("path")],
    };
    words.extend([of("cause").or_else(|| of("reason"))]);
    words.extend([of("confidence").map(|confidence| format!("({confidence})"))]);
    let line: Vec<_> = words.into_iter().flatten().collect();
    match of("summary") {
        Some(summary) => format!("{}: {summary}", line.join(" ")),
        None => line.join(" "),
    }
}

fn attribute(out: &mut Vec<KeyValue>, kind: &str, name: &str, value: Value) {
    match name {
        "id" => put(out, "log.record.uid", value),
        "status" => put(out, "http.response.status_code", value),
        "path" => put(out, "url.path", value),
        "cause" => put(out, "error.type", value),
        "host" => end(out, "server", value),
        "peer" => end(out, "network.peer", value),
        "local" => end(out, "network.local", value),
        "origin" if !value.is_null() => {
            put(out, "http.request.header.origin", Value::Array(vec![value]));
        }
        "code" => put(out, "websocket.close.code", value),
        "reason" if kind == "closure" => {
            // Why it was abnormal: a code of ours, as `cause` is for a handshake.
            put(out, "error.type", value);
        }
        "close_reason" => put(out, "websocket.close.reason", value),
        "process" => named(
            out,
            value,
            &[
                ("pid", "process.pid"),
                ("name", "process.executable.name"),
                ("started", "process.creation.time"),
            ],
            "process",
        ),
        "container" => named(
            out,
            value,
            &[
                ("id", "container.id"),
                ("name", "k8s.container.name"),
                ("pod", "k8s.pod.name"),
                ("namespace", "k8s.namespace.name"),
            ],
            "wstap.container",
        ),
        _ => flat(out, &format!("wstap.{name}"), value),
    }
}

/// An address with its port, in two attributes.
fn end(out: &mut Vec<KeyValue>, name: &str, value: Value) {
    let Some(text) = text(Some(value)) else { return };
    let (address, port) = match text.rsplit_once(':') {
        // An IPv6 address without a port has colons, too, and a bracket around it.
        Some((address, port)) if !address.contains(':') || address.ends_with(']') => {
            (address, port.parse::<u16>().ok())
        }
        _ => (&*text, None),
    };
    let is_address = port.is_some() || !text.starts_with("unix:");
    let address = if is_address { address.trim_matches(['[', ']']) } else { &text };
    put(out, &format!("{name}.address"), Value::from(address));
    if let Some(port) = port {
        put(out, &format!("{name}.port"), Value::from(port));
    }
}

/// The fields of an object under their own names; others below `rest`.
fn named(out: &mut Vec<KeyValue>, value: Value, names: &[(&str, &str)], rest: &str) {
    let Value::Object(object) = value else { return };
    for (field, value) in object {
        match names.iter().find(|(name, _)| *name == field) {
            Some((_, name)) => put(out, name, value),
            None => flat(out, &format!("{rest}.{field}"), value),
        }
    }
}

/// A value below its name; an object as a name for each of its fields.
fn flat(out: &mut Vec<KeyValue>, name: &str, value: Value) {
    match value {
        Value::Object(object) => {
            for (field, value) in object {
                flat(out, &format!("{name}.{field}"), value);
            }
        }
        value => put(out, name, value),
    }
}

fn put(out: &mut Vec<KeyValue>, key: &str, value: Value) {
    if let Some(value) = any(value) {
        out.push(KeyValue { key: key.to_owned(), value: Some(value) });
    }
}

fn any(value: Value) -> Option<AnyValue> {
    let value = match value {
        Value::Null => return None,
        Value::Bool(flag) => Any::Flag(flag),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => Any::Integer(integer),
            None => Any::Number(number.as_f64()?),
        },
        Value::String(text) => Any::Text(text),
        Value::Array(list) if list.is_empty() => return None,
        Value::Array(list) => {
            Any::List(ArrayValue { values: list.into_iter().filter_map(item).collect() })
        }
        Value::Object(object) => Any::Text(Value::Object(object).to_string()),
    };
    Some(AnyValue { value: Some(value) })
}

/// A piece of evidence reads `name: value`.
fn item(value: Value) -> Option<AnyValue> {
    if let Value::Object(object) = &value
        && let (2, Some(Value::String(name)), Some(Value::String(text))) =
            (object.len(), object.get("name"), object.get("value"))
    {
        return any(Value::from(format!("{name}: {text}")));
    }
    any(value)
}

fn text(value: Option<Value>) -> Option<String> {
    match value {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// The bytes of an even number of hexadecimal digits.
fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks_exact(2);
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    pairs.map(byte).collect::<Option<Vec<u8>>>().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{ClosureEvent, Event, HandshakeEvent, sample},
        sink::json,
    };

    fn of(event: Event) -> LogRecord {
        record(&json::line(&event), 5).unwrap()
    }

    fn find<'a>(record: &'a LogRecord, key: &str) -> Option<&'a Any> {
        let attribute = record.attributes.iter().find(|attribute| attribute.key == key)?;
        attribute.value.as_ref()?.value.as_ref()
    }

    #[test]
    fn a_refused_handshake_has_the_names_of_the_conventions() {
        let told = of(Event::Handshake(HandshakeEvent {
            id: Some("00000000000000ab".to_owned()),
            trace_id: Some("0af7651916cd43dd8448eb211c80319c".to_owned()),
            span_id: Some("b7ad6b7169203331".to_owned()),
            peer: "[2001:db8::1]:40000".to_owned(),
            host: Some("app.example:8443".to_owned()),
            ..sample::refused()
        }));
        assert_eq!(told.severity_number, 17);
        assert_eq!(told.event_name, "wstap.handshake");
        assert_eq!((told.trace_id.len(), told.span_id.len()), (16, 8));
        assert_eq!(told.trace_id.first(), Some(&0x0a));
        assert_eq!(told.time_unix_nano, 1_777_863_721_123_456_000);
        let text = |text: &str| Any::Text(text.to_owned());
        for (key, want) in [
            ("log.record.uid", text("00000000000000ab")),
            ("http.request.method", text("GET")),
            ("http.response.status_code", Any::Integer(403)),
            ("url.path", text("/chat")),
            ("error.type", text("origin-not-allowed")),
            ("server.address", text("app.example")),
            ("server.port", Any::Integer(8443)),
            ("network.peer.address", text("2001:db8::1")),
            ("network.peer.port", Any::Integer(40000)),
            ("network.local.address", text("127.0.0.1")),
            ("process.pid", Any::Integer(42)),
            ("wstap.outcome", text("rejected")),
            ("wstap.confidence", text("certain")),
        ] {
            assert_eq!(find(&told, key), Some(&want), "{key}");
        }
        let Some(Any::List(evidence)) = find(&told, "wstap.evidence") else { panic!("{told:?}") };
        assert_eq!(
            evidence.values.first().and_then(|value| value.value.clone()),
            Some(text("Origin: https://evil.example"))
        );
        let Some(AnyValue { value: Some(Any::Text(body)) }) = told.body else { panic!() };
        assert_eq!(
            body,
            "rejected 403 https://evil.example -> app.example:8443/chat origin-not-allowed (certain)"
        );
    }

    #[test]
    fn every_field_is_there_and_what_is_about_the_stream_is_not_told() {
        let Value::Object(fields) = serde_json::to_value(sample::closure()).unwrap() else {
            panic!()
        };
        let told = of(Event::Closure(ClosureEvent { ..sample::closure() }));
        let renamed = ["time", "code", "origin", "path", "local", "peer"];
        for (field, value) in fields {
            let is_there = find(&told, &format!("wstap.{field}")).is_some();
            assert!(is_there || value.is_null() || renamed.contains(&&*field), "{field}: {told:?}");
        }
        assert_eq!(find(&told, "websocket.close.code"), Some(&Any::Integer(1006)));
        assert_eq!(told.severity_text, "WARN");
        for event in [
            Event::Missed(crate::event::MissedEvent { missed: 1 }),
            Event::Accepted(crate::event::AcceptedEvent::default()),
        ] {
            assert_eq!(record(&json::line(&event), 0), None);
        }
        assert_eq!(record("no json", 0), None);
    }

    #[test]
    fn a_unix_socket_has_no_port() {
        let told = of(Event::Closure(ClosureEvent {
            local: "unix:/run/app.sock".to_owned(),
            peer: "unix:".to_owned(),
            ..sample::closure()
        }));
        let text = |text: &str| Any::Text(text.to_owned());
        assert_eq!(find(&told, "network.local.address"), Some(&text("unix:/run/app.sock")));
        assert_eq!(find(&told, "network.peer.address"), Some(&text("unix:")));
        assert_eq!(find(&told, "network.peer.port"), None);
    }
}
