//! The text that one copies from a browser's developer tools: names and values, with headings between them.
//!
//! Chrome's network panel gives a name and its value on two lines, or as `Name: value`; the heads as they were sent
//! (`view source`) are a request and a response already, and read as such.

use super::pairs::{Head, Pair, target};

/// What precedes the fields of a part.
const HEADINGS: [(&str, Part); 3] = [
    ("general", Part::General),
    ("response headers", Part::Response),
    ("request headers", Part::Request),
];

#[derive(Clone, Copy, PartialEq)]
enum Part {
    General,
    Request,
    Response,
}

/// The handshake in the text; `None` when it is no such text.
pub(super) fn pair(text: &str) -> Option<Pair> {
    let (mut url, mut method, mut status) = (None, None, None);
    let (mut request, mut response) = (Vec::new(), Vec::new());
    let mut part = Part::General;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
    while let Some(line) = lines.next() {
        let heading = line.trim_end_matches(':').to_ascii_lowercase();
        if let Some((_, next)) = HEADINGS.iter().find(|(name, _)| heading.starts_with(name)) {
            part = *next;
            continue;
        }
        let (name, value) = match line.split_once(':') {
            Some((name, value)) if is_name(name) && !value.trim().is_empty() => {
                (name.to_owned(), value.trim().to_owned())
            }
            // The value is on the next line.
            _ if is_name(line.trim_end_matches(':')) => {
                let Some(value) = lines.next() else { break };
                (line.trim_end_matches(':').to_owned(), value.to_owned())
            }
            _ => continue,
        };
        match (part, &*name.to_ascii_lowercase()) {
            (_, "request url") => url = Some(value),
            (_, "request method") => method = Some(value),
            (_, "status code") => status = Some(value),
            (Part::General, _) => {}
            (Part::Request, _) => request.push((name, value)),
            (Part::Response, _) => response.push((name, value)),
        }
    }
    let (path, authority) = target(&url?)?;
    let has = |fields: &[(String, String)], name: &str| {
        fields.iter().any(|(field, _)| field.eq_ignore_ascii_case(name))
    };
    let mut pair = Pair {
        cut_request: !(has(&request, "sec-websocket-key")
            && has(&request, "upgrade")
            && has(&request, "origin")),
        ..Pair::default()
    };
    let mut head = Head::new(&format!("{} {path} HTTP/1.1", method.as_deref().unwrap_or("GET")));
    if !has(&request, "host") {
        head.field("Host", &authority);
    }
    if pair.cut_request && !has(&request, "sec-websocket-version") {
        head.field("Sec-WebSocket-Version", "13");
    }
    for (name, value) in &request {
        head.field(name, value);
    }
    pair.request = head.end();
    let code = status.as_deref().and_then(|status| status.split_whitespace().next());
    if let Some(code) = code.and_then(|code| code.parse::<u16>().ok()).filter(|code| *code >= 100) {
        pair.cut_response =
            response.is_empty() || code == 101 && !has(&response, "sec-websocket-accept");
        let mut head = Head::new(&format!("HTTP/1.1 {}", status.unwrap_or_default()));
        let whole = response.iter().filter(|(name, _)| {
            !["content-length", "transfer-encoding"].iter().any(|of| name.eq_ignore_ascii_case(of))
        });
        whole.for_each(|(name, value)| head.field(name, value));
        pair.response = head.end();
    }
    Some(pair)
}

/// Whether this can be the name of a field, or of what stands under `General`.
fn is_name(text: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b' ' | b'_');
    !text.is_empty() && text.len() <= 64 && text.bytes().all(is_of_name)
}

#[cfg(test)]
mod tests {
    use super::pair;

    #[test]
    fn both_ways_of_copying_are_the_same() {
        let beside = "General\nRequest URL: wss://app.example/chat\nRequest Method: GET\nStatus Code: 403 Forbidden\n\
            Response Headers\nServer: nginx\nRequest Headers\nOrigin: https://app.example\nUpgrade: websocket\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n";
        let below = "Request URL\nwss://app.example/chat\nRequest Method\nGET\nStatus Code\n403 Forbidden\n\
            Response Headers\nserver\nnginx\nRequest Headers\norigin\nhttps://app.example\nupgrade\nwebsocket\n\
            sec-websocket-key\ndGhlIHNhbXBsZSBub25jZQ==\n";
        for text in [beside, below] {
            let told = pair(text).unwrap();
            let request = String::from_utf8(told.request).unwrap().to_ascii_lowercase();
            let response = String::from_utf8(told.response).unwrap().to_ascii_lowercase();
            assert!(
                request.starts_with("get /chat http/1.1\r\nhost: app.example\r\norigin: https://"),
                "{request}"
            );
            assert_eq!(response, "http/1.1 403 forbidden\r\nserver: nginx\r\n\r\n");
            assert!(!told.cut_request && !told.cut_response);
        }
        let cut =
            pair("Request URL: ws://app.example/\nStatus Code: 101 Switching Protocols\n").unwrap();
        assert!(cut.cut_request && cut.cut_response);
        assert_eq!(pair("notes\nHost: x\n"), None);
    }
}
