//! Requests and answers with a marked secret in every place where one may be, malformed in every way: none of them
//! shows it.

use std::fmt::Write as _;

use wstap::http::{self, Extent};

/// A generator of numbers that are the same in every run (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of.get(self.below(of.len())).copied().unwrap_or_default()
    }
}

/// The secret: nothing in its own look gives it away.
const SECRET: &str = "hunter2secret";

/// Where a secret may stand in a target, a URL or a value; `@S` is the secret.
const TEXTS: &[&str] = &[
    "//u:@S@b.example/p",
    "///u:@S@b.example/p",
    "/proxy/https://u:@S@b.example/p",
    "http://u:@S@b.example/p",
    "https:/u:@S@b.example",
    "https://u:@S/x@b.example",
    "https://u:@S?x@b.example",
    "https://@S@b.example",
    "https://a.example, https://u:@S@b.example",
    "https://a.example https://u:@S@b.example",
    "u:@S@b.example",
    "/ws?token=@S",
    "/ws?@S",
    "/ws#access_token=@S",
    "/ws;jsessionid=@S",
    "/ws/access_token=@S",
    "/ws%3Ftoken%3D@S",
    "https://b.example/?a=b&password=@S&c=d",
    "a=b; session_id=@S",
    "secret=\"@S\"",
    "{\"password\":\"@S\"}",
    "Bearer @S",
    "basic  @S",
    "x eyJ@S@S.e30.@S",
    "ghp_@S@S",
];

/// Fields of which the whole value is secret.
const SECRET_FIELDS: &[&str] = &[
    "Cookie",
    "Authorization",
    "Proxy-Authorization",
    "X-Api-Key",
    "X-Auth-Token",
    "Sec-WebSocket-Key",
    "X-Made-Up",
    "Set-Cookie",
];

/// Fields that are shown, also those that a secret has no business in.
const FIELDS: &[&str] = &[
    "Origin",
    "Host",
    "X-Forwarded-Host",
    "X-Forwarded-For",
    "X-Forwarded-Prefix",
    "Forwarded",
    "Via",
    "User-Agent",
    "Referer",
    "X-Original-URL",
    "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Extensions",
    "Sec-WebSocket-Origin",
    "Connection",
    "Upgrade",
    "Location",
    "Server",
    "Retry-After",
    "WWW-Authenticate",
];

/// How a field and the one behind it are joined, well formed or not.
const ENDS: &[&str] = &["\r\n", "\r\n", "\r\n", "\n", "\r", "\r\n ", "\r\n\t", "\n\r\n "];

/// Bytes that have no business between the parts of a head.
const JUNK: &[&str] = &["", "", "", "", "\0", "\u{1}", "\u{7f}", "\u{e9}", "\"", ";", ","];

fn head(random: &mut Random, first: &str) -> Vec<u8> {
    let mut text = first.to_owned();
    text.push_str("\r\nSec-WebSocket-Version: 13");
    for _ in 0..=random.below(4) {
        text.push_str(random.one(JUNK));
        text.push_str(random.one(ENDS));
        text.push_str(random.one(JUNK));
        let colon = random.one(&[": ", ":", " : ", "\t:"]);
        if random.below(2) == 0 {
            let _ = write!(text, "{}{colon}{SECRET}", random.one(SECRET_FIELDS));
        } else {
            let _ = write!(text, "{}{colon}{}", random.one(FIELDS), random.one(TEXTS));
        }
    }
    text.push_str("\r\n\r\n");
    text.replace("@S", SECRET).into_bytes()
}

fn shows(said: &impl std::fmt::Debug) -> bool {
    format!("{said:?}").contains(SECRET)
}

#[test]
fn a_hundred_thousand_heads_show_no_secret() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut requests, mut answers) = (0, 0);
    for _ in 0..50_000 {
        let target = random.one(TEXTS).replace(' ', "%20");
        let target = if random.below(2) == 0 { "/ws".to_owned() } else { target };
        let bytes = head(&mut random, &format!("GET {target} HTTP/1.1\r\nUpgrade: websocket"));
        let cut = random.below(bytes.len());
        let told = http::parse_truncated_request(&bytes[..cut]);
        assert!(!shows(&told), "{:?}\n{told:?}", String::from_utf8_lossy(&bytes));
        if let Ok(request) = http::parse_request(&bytes) {
            assert!(!shows(&request), "{:?}\n{request:?}", String::from_utf8_lossy(&bytes));
            requests += usize::from(request.handshake.is_some());
        }

        let reason = random.one(TEXTS).replace("@S", SECRET);
        let bytes = head(&mut random, &format!("HTTP/1.1 403 {reason}"));
        if let Ok(answer) = http::parse_response(&bytes, false) {
            assert!(!shows(&answer), "{:?}\n{answer:?}", String::from_utf8_lossy(&bytes));
            answers += usize::from(answer.extent == Extent::Open);
        }
    }
    assert!(requests > 25_000 && answers > 25_000, "{requests} {answers}");
}
