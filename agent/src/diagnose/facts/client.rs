//! Who made the request: a browser, which always sends `Origin` (RFC 6455 section 4.1), or a native client.

use crate::http::RequestHead;

/// What a browser says of the page and the host that it connects to (Fetch Metadata).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::diagnose) enum FetchSite {
    /// Scheme, host and port are equal.
    SameOrigin,
    /// Another page of the same site, or of another one.
    Other,
}

/// Whether the request has the features of a browser. The name alone is not enough: scripts borrow it.
pub(in crate::diagnose) fn is_browser(request: &RequestHead) -> bool {
    let headers = &request.headers;
    let fetch_metadata =
        ["sec-fetch-mode", "sec-fetch-site", "sec-fetch-dest"].iter().any(|name| headers.has(name));
    let named = headers.first("user-agent").is_some_and(|agent| agent.starts_with("Mozilla/"));
    let speaks = headers.has("accept-language") || offers_window_bits(request);
    fetch_metadata || (named && speaks)
}

/// Browsers offer `permessage-deflate; client_max_window_bits`; most native clients offer less.
fn offers_window_bits(request: &RequestHead) -> bool {
    request
        .headers
        .list("sec-websocket-extensions")
        .any(|extension| extension.contains("client_max_window_bits"))
}

/// The browser's own verdict, made before any proxy touched `Host`.
pub(in crate::diagnose) fn fetch_site(request: &RequestHead) -> Option<FetchSite> {
    match request.headers.first("sec-fetch-site")?.trim() {
        "same-origin" => Some(FetchSite::SameOrigin),
        "same-site" | "cross-site" => Some(FetchSite::Other),
        _ => None,
    }
}
