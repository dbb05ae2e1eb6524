//! What an answer says to a person: a line of its own text, with what looks like a credential masked.
//!
//! In: an answer's head and the first bytes of its content, or bytes that are no head. Out: a bounded line, or nothing.

use super::{BODY_PREFIX, MASKED, ResponseHead, mask, secrets};

/// The most characters of an answer's text in an event; a longer one is cut and ends in `…`.
pub const ANSWER_TEXT: usize = 160;

/// Members of a JSON object in which servers put their message, the most telling first.
const MEMBERS: &[&str] =
    &["message", "error_description", "detail", "reason", "description", "error", "title"];

/// The message of an answer: plain text, a JSON object's message, an HTML page's title; else the reason phrase.
pub fn answer_text(response: &ResponseHead) -> Option<String> {
    let body = String::from_utf8_lossy(&response.body);
    let body = body.trim();
    let message = match body.as_bytes().first() {
        Some(b'<') => title(body),
        Some(b'{' | b'[') => MEMBERS.iter().find_map(|name| member(body, name)),
        _ => Some(body.to_owned()),
    };
    let message = message.filter(|message| !message.trim().is_empty());
    shown(&message.unwrap_or_else(|| response.reason.to_string()))
}

/// The text of an answer that has no head.
pub fn headless_text(bytes: &[u8]) -> Option<String> {
    let start = bytes.get(..BODY_PREFIX).unwrap_or(bytes);
    let text = std::str::from_utf8(start).ok()?;
    if text.trim_start().starts_with('<') { shown(&title(text)?) } else { shown(text) }
}

/// The title of an HTML page.
pub fn title(html: &str) -> Option<String> {
    let lower = html.to_ascii_lowercase();
    let open = lower.find("<title")?;
    let start = open + lower.get(open..)?.find('>')? + 1;
    let end = start + lower.get(start..)?.find("</title")?;
    Some(html.get(start..end)?.trim().to_owned())
}

/// The string of the member `name` of a JSON text, which may be cut off behind it.
fn member(json: &str, name: &str) -> Option<String> {
    let quoted = format!("\"{name}\"");
    let at = json.find(&quoted)? + quoted.len();
    let value = json.get(at..)?.trim_start().strip_prefix(':')?.trim_start();
    let value: String = serde_json::Deserializer::from_str(value).into_iter().next()?.ok()?;
    Some(value)
}

/// `text` as one printable line, cut, with what looks like a credential masked.
fn shown(text: &str) -> Option<String> {
    let mut secret = false;
    let mut words = Vec::new();
    let text = secrets::masked(text);
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        if word.is_empty() {
            continue;
        }
        words.push(hidden(word, secret));
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        secret = mask::is_marker(&bare.to_ascii_lowercase());
    }
    let line = words.join(" ");
    let mut cut: String = line.chars().take(ANSWER_TEXT).collect();
    if cut.len() < line.len() {
        cut.push('…');
    }
    (!cut.is_empty()).then_some(cut)
}

/// A word, or what stands for it. `secret`: the word before it says that a credential follows.
fn hidden(word: &str, secret: bool) -> String {
    // What is left out of every URL is left out here.
    let word = word.split_once('?').map_or(word, |(before, _)| before);
    if let Some((name, value)) = word.split_once(['=', ':'])
        && !value.is_empty()
        && mask::is_marker(&name.trim_matches(|c: char| !c.is_alphanumeric()).to_ascii_lowercase())
    {
        return format!("{name}={MASKED}");
    }
    let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
    // A name is spelt with letters; a value that follows "token" has digits.
    let follows = secret && bare.bytes().any(|byte| byte.is_ascii_digit());
    let user = word.contains("://") && word.contains('@');
    if follows || user || mask::looks_like_credential(bare) {
        return MASKED.to_owned();
    }
    word.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::parse_response;

    fn said(body: &str) -> Option<String> {
        let text =
            format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        answer_text(&parse_response(text.as_bytes(), false).unwrap().head)
    }

    #[test]
    fn a_person_reads_the_message() {
        for (body, want) in [
            ("origin not allowed\n", "origin not allowed"),
            ("{\"statusCode\":403,\"message\":\"tenant is\\nsuspended\"}", "tenant is suspended"),
            ("{\"error\":{\"message\":\"no such room\"}}", "no such room"),
            ("<html><head><title>403 Forbidden</title></head>", "403 Forbidden"),
            ("", "Forbidden"),
            ("{\"message\":\"cut off", "Forbidden"),
        ] {
            assert_eq!(said(body).as_deref(), Some(want), "{body}");
        }
        assert_eq!(
            headless_text(b"Error 404: Not Found\r\n").as_deref(),
            Some("Error 404: Not Found")
        );
        assert_eq!(headless_text(&[0x15, 3, 3, 0xff]), None);
        assert_eq!(said(&"word ".repeat(100)).unwrap().chars().count(), ANSWER_TEXT + 1);
    }

    #[test]
    fn what_looks_like_a_credential_is_masked() {
        for body in [
            "invalid token hunter2",
            "token=hunter2 expired",
            "bad key: hunter2",
            "see https://app.example/login?next=hunter2",
            "https://bob:hunter2@app.example/",
            "{\"message\":\"jwt eyJhbGciOiJIUzI1NiJ9.hunter2 expired\"}",
            "session hunter2 unknown",
        ] {
            let shown = said(body).unwrap();
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        assert_eq!(said("the token is missing").as_deref(), Some("the token is missing"));
    }
}
