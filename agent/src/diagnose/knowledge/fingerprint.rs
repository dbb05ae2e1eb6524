//! Which server gave an answer, and what its exact words prove. The servers themselves are data: `servers`.

use crate::diagnose::{Cause, Confidence, servers};
use crate::http::{RequestHead, ResponseHead};

/// A known answer of a known server. All conditions must hold; an empty one always does.
pub(in crate::diagnose) struct Fingerprint {
    /// The server, or the library that speaks WebSocket for it.
    pub(in crate::diagnose) server: &'static str,
    /// The status codes that it answers with.
    pub(in crate::diagnose) status: &'static [u16],
    /// Header conditions.
    pub(in crate::diagnose) headers: &'static [(&'static str, Want)],
    /// Conditions on the answer's words, in lower case: reason phrase, reject reason, body.
    pub(in crate::diagnose) words: Words,
    /// A part of the request's path; empty for any.
    pub(in crate::diagnose) path: &'static str,
    /// A subprotocol that the request offers; empty for any.
    pub(in crate::diagnose) offers: &'static str,
    /// What the answer proves.
    pub(in crate::diagnose) says: Says,
    /// The server's origin check lets a request without `Origin` pass.
    pub(in crate::diagnose) passes_absent: bool,
    /// The answer in a few words, for the evidence. Never bytes from the wire.
    pub(in crate::diagnose) quote: &'static str,
    /// A fix that knows more than the cause's own.
    pub(in crate::diagnose) fix: Option<&'static str>,
}

impl Fingerprint {
    /// An answer about which nothing is known; the tables fill in the rest.
    pub(in crate::diagnose) const ANY: Self = Self {
        server: "",
        status: &[],
        headers: &[],
        words: Words::Any,
        path: "",
        offers: "",
        says: Says::Refused(Comparison::Unknown),
        passes_absent: false,
        quote: "",
        fix: None,
    };

    fn fits(&self, request: &RequestHead, response: &ResponseHead, words: &str) -> bool {
        // What is cheap and rarely fits comes first: a storm of refusals asks every row.
        (self.status.is_empty() || self.status.contains(&response.status))
            && self.headers.iter().all(|(name, want)| want.fits(response, name))
            && (self.path.is_empty() || request.path.contains(self.path))
            && (self.offers.is_empty()
                || request.subprotocols.iter().any(|offer| offer.reveal() == self.offers))
            && self.words.fit(response, words)
    }
}

/// A condition on a response header; values are compared in lower case.
pub(in crate::diagnose) enum Want {
    /// Not there.
    Absent,
    /// Exactly this value.
    Is(&'static str),
    /// This is in the value.
    Has(&'static str),
    /// This product, of this version or a later one (`PRODUCT/MAJOR.MINOR...`).
    Since(&'static str, (u16, u16)),
}

impl Want {
    fn fits(&self, response: &ResponseHead, name: &str) -> bool {
        let value = response.headers.first(name);
        match self {
            Self::Absent => value.is_none() && !response.truncated,
            Self::Since(product, version) => {
                value.and_then(|value| version_of(value, product)).is_some_and(|v| v >= *version)
            }
            Self::Is(wanted) => value.is_some_and(|value| value.eq_ignore_ascii_case(wanted)),
            Self::Has(wanted) => {
                // An empty part is in every value, and there are no windows of no bytes.
                let holds = |value: &str| {
                    let mut parts = value.as_bytes().windows(wanted.len().max(1));
                    wanted.is_empty() || parts.any(|p| p.eq_ignore_ascii_case(wanted.as_bytes()))
                };
                value.is_some_and(holds)
            }
        }
    }
}

/// The version that a field like `Server` gives for `product`.
fn version_of(value: &str, product: &str) -> Option<(u16, u16)> {
    let mut parts = value.split([' ', ',']).filter_map(|part| part.split_once('/'));
    let (_, version) = parts.find(|(name, _)| name.eq_ignore_ascii_case(product))?;
    let mut numbers = version.split('.');
    let major = numbers.next()?.parse().ok()?;
    Some((major, numbers.next().and_then(|minor| minor.parse().ok()).unwrap_or(0)))
}

/// Whether `words` hold `part`. The standard library's search prepares each needle anew, which cost more than
/// all else in a storm.
fn hold(words: &str, part: &str) -> bool {
    memchr::memmem::find(words.as_bytes(), part.as_bytes()).is_some()
}

/// A condition on the answer's words.
pub(in crate::diagnose) enum Words {
    /// None.
    Any,
    /// No body at all.
    NoBody,
    /// Neither a body nor a reason phrase.
    Nothing,
    /// The body is exactly this, but for white space around it (lower case).
    Body(&'static str),
    /// Reason phrase, reject reason or body hold this (lower case).
    Have(&'static str),
    /// They hold all of these (lower case).
    HaveAll(&'static [&'static str]),
}

impl Words {
    fn fit(&self, response: &ResponseHead, words: &str) -> bool {
        match self {
            Self::Any => true,
            Self::NoBody => has_no_body(response),
            Self::Nothing => has_no_body(response) && response.reason.is_empty(),
            Self::Body(wanted) => {
                response.body.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes())
            }
            Self::Have(wanted) => hold(words, wanted),
            Self::HaveAll(all) => all.iter().all(|wanted| hold(words, wanted)),
        }
    }
}

fn has_no_body(response: &ResponseHead) -> bool {
    !response.truncated
        && response.body.is_empty()
        && response.headers.first("content-length").is_none_or(|length| length == "0")
        && !response.headers.has("transfer-encoding")
}

/// What an answer proves.
pub(in crate::diagnose) enum Says {
    /// The origin check failed, as surely as this, and this is what it compares.
    Origin(Comparison, Confidence),
    /// The host is not one that the server serves.
    Host,
    /// This cause.
    Cause(Cause, Confidence),
    /// A refusal that does not say which check failed; this is what an origin check there compares.
    Refused(Comparison),
    /// The proxy refused by itself.
    Proxy(Cause, Confidence, &'static str),
}

/// What an origin check compares with `Origin`. Only this may explain its refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::diagnose) enum Comparison {
    /// Host and port with `Host`, literally; the scheme does not count.
    HostPort,
    /// Scheme, host and port with the forwarded scheme and `Host`.
    SchemeHostPort,
    /// As `SchemeHostPort`, and also with `X-Forwarded-Host`.
    ForwardedSchemeHostPort,
    /// What the browser says (`Sec-Fetch-Site`), and a list; only without that, as `HostPort`.
    FetchSite,
    /// A list in the configuration; neither `Host` nor the scheme of the connection counts.
    AllowList,
    /// Not known.
    Unknown,
}

/// The known answer that `response` is, if it is one.
pub(in crate::diagnose) fn recognise(
    request: &RequestHead,
    response: &ResponseHead,
    words: &str,
) -> Option<&'static Fingerprint> {
    servers::ANSWERS.iter().copied().flatten().find(|known| known.fits(request, response, words))
}

/// What the server says, in lower case: reason phrase, reject reason, first bytes of the body.
pub(in crate::diagnose) fn words(response: &ResponseHead) -> String {
    let rejected = response.headers.first("x-websocket-reject-reason").unwrap_or_default();
    let body = String::from_utf8_lossy(&response.body);
    format!("{}\n{rejected}\n{body}", response.reason).to_lowercase()
}

/// The longest server name that a `Server` header may give.
const SERVER_NAME: usize = 32;

/// The name of the server that gave `response`: that of the known answer, else the product in `Server`.
pub(in crate::diagnose) fn server_name(
    known: Option<&Fingerprint>,
    response: &ResponseHead,
) -> Option<String> {
    if let Some(known) = known
        && !known.server.is_empty()
    {
        return Some(known.server.to_owned());
    }
    let field =
        response.headers.first("server").or_else(|| response.headers.first("x-powered-by"))?;
    let lower = field.to_ascii_lowercase();
    if let Some((_, name)) = servers::PRODUCTS.iter().find(|(token, _)| lower.contains(token)) {
        return Some((*name).to_owned());
    }
    let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let product: String = lower.chars().take_while(allowed).take(SERVER_NAME).collect();
    (!product.is_empty()).then_some(product)
}

#[cfg(test)]
mod tests {
    use super::version_of;

    #[test]
    fn a_products_version_is_read_from_its_field() {
        assert_eq!(version_of("TornadoServer/6.6.1", "tornadoserver"), Some((6, 6)));
        assert_eq!(version_of("proxy/1.2 TornadoServer/7", "tornadoserver"), Some((7, 0)));
        for other in ["TornadoServer", "Tornado/6.6", "TornadoServer/new", ""] {
            assert_eq!(version_of(other, "tornadoserver"), None, "{other}");
        }
    }
}
