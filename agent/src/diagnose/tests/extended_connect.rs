//! Handshakes that were born on HTTP/2.

use super::{CERTAIN, LIKELY, judge, request, response, said};

const WORDS: &str = "Missing or invalid Sec-WebSocket-Key header";
const NO_KEY: (&str, &str) = ("Sec-WebSocket-Key", "");
/// What a browser sends, and scripts hardly ever do.
const BROWSER: [(&str, &str); 2] = [("Sec-Fetch-Mode", "websocket"), ("Accept-Language", "en")];

#[test]
fn what_the_gateway_wrote_tells_it() {
    for mark in [("x-envoy-expected-rq-timeout-ms", "15000"), ("Via", "2.0 gateway")] {
        let changes = [&[NO_KEY, mark][..], &BROWSER].concat();
        let verdict = judge(request(&changes), response(400, &[], WORDS));
        assert_eq!(said(&verdict), ("extended-connect-untranslated", CERTAIN), "{mark:?}");
        let verdict = judge(request(&changes), response(400, &[], ""));
        assert_eq!(said(&verdict), ("extended-connect-untranslated", LIKELY), "{mark:?}");
    }
}

#[test]
fn a_browser_without_a_key_is_likely_one_and_its_server_is_believed_first() {
    let bare = [&[NO_KEY, ("Upgrade", ""), ("Connection", "")][..], &BROWSER].concat();
    for (status, words) in [(400, WORDS), (404, ""), (200, "")] {
        let verdict = judge(request(&bare), response(status, &[], words));
        assert_eq!(said(&verdict), ("extended-connect-untranslated", LIKELY), "{status} {words}");
    }
    let login = [("WWW-Authenticate", "Bearer")];
    let verdict = judge(request(&bare), response(401, &login, "token expired"));
    assert_ne!(said(&verdict).0, "extended-connect-untranslated");
}

#[test]
fn without_a_sign_of_a_browser_or_with_a_key_it_is_something_else() {
    let verdict = judge(request(&[NO_KEY]), response(400, &[], WORDS));
    assert_eq!(said(&verdict), ("key-missing", CERTAIN));
    let envoy = [("x-envoy-expected-rq-timeout-ms", "15000"), ("Upgrade", "")];
    let verdict = judge(request(&[&envoy[..], &BROWSER].concat()), response(400, &[], ""));
    assert_eq!(said(&verdict).0, "upgrade-stripped");
    // A script that sends half a handshake through Envoy.
    let script = [NO_KEY, ("x-envoy-expected-rq-timeout-ms", "15000")];
    let verdict = judge(request(&script), response(400, &[], WORDS));
    assert_eq!(said(&verdict).0, "key-missing");
}
