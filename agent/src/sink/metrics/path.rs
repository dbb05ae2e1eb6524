//! Paths as label values: one value for all paths of an application that differ in an id only.
//!
//! In: the path of an event, which a client chose (without its query, and with what looks like a credential masked).
//! Out: a short path of plain characters. How many there are is bounded elsewhere.

/// More segments than so many are left out.
const SEGMENTS: usize = 6;
/// A longer segment is somebody's data.
const SEGMENT_BYTES: usize = 32;
/// A hexadecimal word of at least so many characters, with a digit in it, is an id.
const HEX_ID: usize = 8;
/// What stands for an id.
const ID: &str = "{id}";
/// What stands for the segments that were left out.
const REST: &str = "…";

/// The label value: `/rooms/4711/ws` is `/rooms/{id}/ws`.
pub(crate) fn template(path: &str) -> String {
    let Some(rest) = path.strip_prefix('/') else { return super::OTHER.to_owned() };
    let segments: Vec<&str> = rest.split('/').take(SEGMENTS + 1).collect();
    let sockjs = is_sockjs(&segments);
    let mut template = String::with_capacity(path.len().min(SEGMENTS * (SEGMENT_BYTES + 1)));
    for (index, segment) in segments.iter().enumerate() {
        template.push('/');
        template.push_str(match segment {
            _ if index == SEGMENTS => REST,
            // The session, in front of the transport; its server is a number.
            _ if sockjs && index + 2 == segments.len() => ID,
            segment if is_id(segment) => ID,
            segment => segment,
        });
    }
    template
}

/// `.../<server>/<session>/websocket`: both are made up by the client.
fn is_sockjs(segments: &[&str]) -> bool {
    let digits = |text: &str| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    matches!(segments, [.., server, _, "websocket"] if digits(server))
}

/// Whether a segment is a thing's and not the application's: a number, a UUID, a long hexadecimal word, a masked
/// credential, what is long, has many digits, or characters that no route is written with.
fn is_id(segment: &str) -> bool {
    let count = |is: fn(&u8) -> bool| segment.bytes().filter(is).count();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._~-".contains(byte);
    let (digits, hex) = (count(u8::is_ascii_digit), count(u8::is_ascii_hexdigit));
    let dashes = count(|byte| *byte == b'-');
    segment.len() > SEGMENT_BYTES
        || !segment.bytes().all(|byte| plain(&byte))
        || (digits > 0 && digits == segment.len())
        || (digits > 0 && hex + dashes == segment.len() && hex >= HEX_ID)
        || digits > 4
}

#[cfg(test)]
mod tests {
    use super::template;

    #[test]
    fn ids_are_masked_and_routes_are_kept() {
        for (path, want) in [
            ("/", "/"),
            ("/ws", "/ws"),
            ("/socket.io/", "/socket.io/"),
            ("/api/v2/chat", "/api/v2/chat"),
            ("/cable", "/cable"),
            ("/_next/webpack-hmr", "/_next/webpack-hmr"),
            ("/rooms/4711/ws", "/rooms/{id}/ws"),
            ("/rooms/6ba7b810-9dad-11d1-80b4-00c04fd430c8", "/rooms/{id}"),
            ("/rooms/deadbeef01", "/rooms/{id}"),
            ("/rooms/facade", "/rooms/facade"),
            ("/users/anna%40example.com/feed", "/users/{id}/feed"),
            ("/users/anna@example.com/feed", "/users/{id}/feed"),
            ("/t/<masked>", "/t/{id}"),
            ("/echo/000/k3v9aqzt/websocket", "/echo/{id}/{id}/websocket"),
            ("/order-20261125/ws", "/{id}/ws"),
            ("/a/b/c/d/e/f/g/h", "/a/b/c/d/e/f/…"),
            ("/ü", "/{id}"),
            ("/a\nb", "/{id}"),
            ("//", "//"),
            ("*", "other"),
            ("", "other"),
        ] {
            assert_eq!(template(path), want, "{path}");
        }
        let long = format!("/{}", "a".repeat(100));
        assert_eq!(template(&long), "/{id}");
    }
}
