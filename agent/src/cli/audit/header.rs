//! `--header NAME:VALUE`.

/// What every handshake sets by itself.
const OWN: &[&str] =
    &["host", "upgrade", "connection", "origin", "cookie", "content-length", "transfer-encoding"];

/// A field; its value may be secret.
#[derive(Clone)]
pub(super) struct Field(pub(super) (String, String));

impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.0.0, crate::http::MASKED)
    }
}

/// Takes a field apart; the message does not repeat the value.
pub(super) fn parse(text: &str) -> Result<Field, String> {
    let (name, value) = text.split_once(':').ok_or("write NAME:VALUE")?;
    let (name, value) = (name.trim(), value.trim());
    let lower = name.to_ascii_lowercase();
    if http::HeaderName::from_bytes(name.as_bytes()).is_err()
        || http::HeaderValue::from_str(value).is_err()
    {
        return Err("name or value cannot stand in a header field".to_owned());
    }
    if lower == "cookie" {
        return Err("cookies are given with --cookie-file".to_owned());
    }
    if OWN.contains(&&*lower) || lower.starts_with("sec-websocket-") {
        return Err(format!("{name} is the handshake's own: leave it out"));
    }
    Ok(Field((name.to_owned(), value.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_and_its_value_not_shown() {
        let field = parse("Authorization: Bearer s3cret").unwrap();
        assert_eq!(field.0, ("Authorization".to_owned(), "Bearer s3cret".to_owned()));
        assert!(!format!("{field:?}").contains("s3cret"));
        for wrong in
            ["a", "a b:c", "A:b\r\nX:y s3cret", "Host:x", "Sec-WebSocket-Key:x", "Cookie:a=b"]
        {
            assert!(!parse(wrong).unwrap_err().contains("s3cret"), "{wrong}");
        }
    }
}
