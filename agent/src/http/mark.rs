//! The header field with the mark of a handshake that `wstap audit` made: `NAME.RUN.PROBE`.

/// The header field with the mark.
pub const FIELD: &str = "X-Wstap-Audit";
/// The same as parsed heads have it.
pub const FIELD_LOWER: &str = "x-wstap-audit";
/// The longest name of an audit, in bytes.
pub const MAX_NAME: usize = 32;

/// A name that may stand in a mark; the message says what may.
pub fn name(text: &str) -> Result<String, String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if text.is_empty() || text.len() > MAX_NAME || !text.bytes().all(allowed) {
        return Err(format!("write at most {MAX_NAME} letters, digits, - and _"));
    }
    Ok(text.to_owned())
}

/// Whether `mark` is of an audit called `name`.
pub fn is_of(mark: &str, name: &str) -> bool {
    mark.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
}
