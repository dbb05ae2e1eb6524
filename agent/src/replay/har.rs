//! HAR files (HTTP Archive 1.2), as Chrome, Firefox and Playwright save them.
//!
//! It is the browser's leg. A browser leaves fields out of what it saves: a request without the fields that every
//! browser sends with a handshake is cut, and so what is absent in it was not recorded.

use serde_json::Value;

use super::pairs::{Head, Pair, target};

/// The handshakes in a HAR file; `None` when it is none.
pub(super) fn pairs(text: &Value) -> Option<Vec<Pair>> {
    let entries = text.get("log")?.get("entries")?.as_array()?;
    Some(entries.iter().filter_map(pair).collect())
}

fn pair(entry: &Value) -> Option<Pair> {
    let (request, response) = (entry.get("request")?, entry.get("response"));
    let url = request.get("url")?.as_str()?;
    let (path, authority) = target(url)?;
    let fields = fields(request);
    let has = |name: &str| fields.iter().any(|(field, _)| field.eq_ignore_ascii_case(name));
    let is_websocket = url.starts_with("ws")
        || entry.get("_resourceType").is_some_and(|kind| kind == "websocket")
        || has("sec-websocket-key")
        || has("sec-websocket-version");
    if !is_websocket {
        return None;
    }
    let method = request.get("method").and_then(Value::as_str).unwrap_or("GET");
    let mut head = Head::new(&format!("{method} {path} HTTP/1.1"));
    if !has("host") {
        head.field("Host", &authority);
    }
    let cut_request = !(has("sec-websocket-key") && has("upgrade") && has("origin"));
    for (name, value) in fields.iter().filter(|(name, _)| !name.starts_with(':')) {
        head.field(name, value);
    }
    if cut_request && !has("sec-websocket-version") {
        // The browser sent one: it asked for a WebSocket.
        head.field("Sec-WebSocket-Version", "13");
    }
    let status = response.and_then(|response| response.get("status")).and_then(Value::as_u64);
    // 0 is what browsers write when they show no answer: blocked, refused, or not kept.
    let status = status.filter(|status| (100..=599).contains(status));
    let mut pair = Pair { request: head.end(), cut_request, ..Pair::default() };
    let time = entry.get("startedDateTime").and_then(Value::as_str);
    let time = time.and_then(|time| time.parse::<jiff::Timestamp>().ok());
    pair.time = time
        .and_then(|time| {
            std::time::SystemTime::from(time).duration_since(std::time::UNIX_EPOCH).ok()
        })
        .unwrap_or_default();
    let of = |name: &str| entry.get("timings").and_then(|timings| timings.get(name)?.as_f64());
    let waited: f64 = ["blocked", "dns", "connect", "send", "wait"]
        .iter()
        .filter_map(|name| of(name))
        .filter(|ms| *ms > 0.0)
        .sum();
    pair.waited = std::time::Duration::try_from_secs_f64(waited / 1000.0).unwrap_or_default();
    if let (Some(status), Some(response)) = (status, response) {
        let text = response.get("statusText").and_then(Value::as_str).unwrap_or_default();
        let mut head = Head::new(&format!("HTTP/1.1 {status} {text}"));
        let fields = self::fields(response);
        let has = |name: &str| fields.iter().any(|(field, _)| field.eq_ignore_ascii_case(name));
        for (name, value) in fields.iter().filter(|(name, _)| !name.starts_with(':')) {
            // The content is what the browser made of it, whole and without its encoding.
            if !["content-length", "transfer-encoding", "content-encoding"]
                .iter()
                .any(|of| name.eq_ignore_ascii_case(of))
            {
                head.field(name, value);
            }
        }
        pair.cut_response =
            fields.is_empty() || status == 101 && !(has("upgrade") && has("sec-websocket-accept"));
        pair.response = head.end();
        let content = response.get("content").and_then(|content| content.get("text")?.as_str());
        pair.response.extend(content.unwrap_or_default().bytes().take(4096));
    }
    Some(pair)
}

fn fields(of: &Value) -> Vec<(String, String)> {
    let list = of.get("headers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |field: &Value, name: &str| Some(field.get(name)?.as_str()?.to_owned());
    list.iter().filter_map(|field| Some((text(field, "name")?, text(field, "value")?))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refused_handshake_as_chrome_saves_it() {
        let har = json!({"log": {"version": "1.2", "entries": [
            {"request": {"url": "https://app.example/logo.png", "method": "GET", "headers": []}, "response": {"status": 200}},
            {"startedDateTime": "2026-05-04T03:02:01.123Z", "_resourceType": "websocket",
             "timings": {"blocked": -1, "send": 1.0, "wait": 20.5},
             "request": {"url": "wss://app.example/chat?token=s3cret", "method": "GET", "headers": [
                {"name": "Origin", "value": "https://app.example"}, {"name": "Upgrade", "value": "websocket"},
                {"name": "Connection", "value": "Upgrade"}, {"name": "Sec-WebSocket-Version", "value": "13"},
                {"name": "Sec-WebSocket-Key", "value": "dGhlIHNhbXBsZSBub25jZQ=="}]},
             "response": {"status": 403, "statusText": "Forbidden\r\nX: y", "headers": [
                {"name": "Content-Length", "value": "9999"}, {"name": "Server", "value": "nginx"}],
                "content": {"text": "no"}}}]}});
        let pairs = pairs(&har).unwrap();
        let [pair] = &pairs[..] else { panic!("{pairs:?}") };
        let (request, response) =
            (String::from_utf8_lossy(&pair.request), String::from_utf8_lossy(&pair.response));
        assert!(
            request.starts_with("GET /chat?token=s3cret HTTP/1.1\r\nHost: app.example\r\nOrigin: "),
            "{request}"
        );
        assert_eq!(response, "HTTP/1.1 403 Forbidden  X: y\r\nServer: nginx\r\n\r\nno");
        assert!(!pair.cut_request && !pair.cut_response);
        assert_eq!(pair.waited, std::time::Duration::from_micros(21_500));
    }

    #[test]
    fn what_a_browser_left_out_was_not_recorded() {
        let har = json!({"log": {"entries": [{"request": {"url": "ws://app.example/", "headers": []},
            "response": {"status": 0}}, {"request": {"url": 7}}, 7]}});
        let pairs = pairs(&har).unwrap();
        let [pair] = &pairs[..] else { panic!("{pairs:?}") };
        assert!(pair.cut_request && pair.response.is_empty());
        assert_eq!(super::pairs(&json!({"log": 1})), None);
    }
}
