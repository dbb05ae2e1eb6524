//! Refused because of the origin: which part of it, judged only by what the answering server compares.

use crate::diagnose::{
    Cause, Confidence, Evidence,
    case::{Case, Finding},
    client::{self, FetchSite},
    fingerprint::Comparison,
    forwarded,
    origin::{Authority, Origin, OriginField, Seclusion},
};

/// Explains a refusal by the server's origin check. `sure` is how sure it is that this check refused.
pub(in crate::diagnose) fn origin_refused(
    case: &Case<'_>,
    comparison: Comparison,
    sure: Confidence,
) -> Finding {
    if let Some(finding) = not_an_origin(case) {
        return finding.with([case.answer()]).at_most(sure);
    }
    let OriginField::One(origin) = &case.origin else {
        return Finding::possible(Cause::Unknown, "the origin check refused");
    };
    let comparison = if comparison == Comparison::Unknown && names_its_own(case, origin) {
        Comparison::SchemeHostPort
    } else {
        comparison
    };
    let finding = match comparison {
        Comparison::AllowList => allow_list(case, origin),
        Comparison::HostPort => host_port(case, origin),
        Comparison::SchemeHostPort => scheme_host_port(case, origin),
        Comparison::ForwardedSchemeHostPort => forwarded_scheme_host_port(case, origin),
        Comparison::Unknown => unknown_check(case, origin),
    };
    finding.at_most(sure)
}

/// Whether `Origin` is another one than the page's own host, as far as `Host` and the proxies tell.
pub(in crate::diagnose) fn is_foreign(case: &Case<'_>) -> bool {
    match &case.origin {
        OriginField::One(origin) => {
            let named = |host: &Authority| host.host == origin.authority.host;
            !case.host.iter().any(named)
                && !forwarded::hosts(&case.request.headers).iter().any(named)
                && client::fetch_site(case.request) != Some(FetchSite::SameOrigin)
        }
        OriginField::Opaque | OriginField::Malformed | OriginField::Several => true,
        OriginField::Absent => false,
    }
}

/// Values of `Origin` that no check can match with a page.
pub(in crate::diagnose) fn not_an_origin(case: &Case<'_>) -> Option<Finding> {
    let value = case.header("Origin");
    match &case.origin {
        OriginField::One(_) => None,
        OriginField::Absent if client::is_browser(case.request) => Some(
            Finding::likely(
                Cause::OriginStripped,
                "a browser always sends Origin, and it is gone: a hop removed it",
            )
            .with([Evidence::absent("Origin"), browser_mark(case)]),
        ),
        OriginField::Absent => Some(
            Finding::likely(Cause::OriginAbsent, "there is no Origin, and this server wants one")
                .with([Evidence::absent("Origin"), case.header("User-Agent")]),
        ),
        OriginField::Opaque => Some(
            Finding::certain(
                Cause::OriginNull,
                "the page has no origin of its own (a sandboxed frame, a file, a web view)",
            )
            .with([value]),
        ),
        OriginField::Several if forwarded::proxied(case.request) => Some(
            Finding::likely(
                Cause::OriginRewritten,
                "there is more than one Origin: a hop added one",
            )
            .with([value]),
        ),
        OriginField::Several => Some(
            Finding::likely(Cause::OriginMalformed, "there is more than one Origin").with([value]),
        ),
        OriginField::Malformed => Some(
            Finding::certain(
                Cause::OriginMalformed,
                "Origin is not scheme://host[:port] of a page, as RFC 6454 wants it",
            )
            .with([value]),
        ),
    }
}

fn browser_mark(case: &Case<'_>) -> Evidence {
    let marks = ["Sec-Fetch-Site", "Sec-Fetch-Mode", "User-Agent"];
    let found = marks.iter().find(|name| case.request.headers.has(&name.to_ascii_lowercase()));
    case.header(found.unwrap_or(&"User-Agent"))
}

/// Whether the answer names the origin that the server made up for itself to compare with: the page's host
/// under another scheme, or the request's `Host` under the page's scheme.
fn names_its_own(case: &Case<'_>, origin: &Origin) -> bool {
    // Most answers name none.
    if memchr::memmem::find(case.words.as_bytes(), b"://").is_none() {
        return false;
    }
    let named = |scheme: &str, host: &Authority| case.words.contains(&format!("{scheme}://{host}"));
    let schemes = ["http", "https", "ws", "wss"];
    schemes.iter().any(|other| *other != origin.scheme && named(other, &origin.authority))
        || case
            .host
            .as_ref()
            .is_some_and(|host| host.host != origin.authority.host && named(&origin.scheme, host))
}

fn allow_list(case: &Case<'_>, origin: &Origin) -> Finding {
    let evidence = [case.header("Origin"), case.answer()];
    if rewritten_to_upstream(case, origin) {
        return Finding::likely(
            Cause::OriginRewritten,
            "Origin names the backend and not the page: a hop rewrote it",
        )
        .with(evidence)
        .with([case.header("X-Forwarded-Host")]);
    }
    let own = case.host.as_ref().is_some_and(|host| host.host == origin.authority.host);
    let summary = if own {
        "the server's list of allowed origins lacks the page's own: look at scheme, port and slashes"
    } else {
        "the server's list of allowed origins lacks this one"
    };
    // Browsers never write the default port: such an origin may be refused for its form alone.
    let serialised = case.request.headers.first("origin") == Some(&origin.to_string());
    // The page's own may have been changed on its way, and an inner name may be a hop's work.
    let host = case.host.as_ref().map_or(Seclusion::Public, Authority::seclusion);
    let inner = origin.authority.seclusion() > host;
    let sure = if serialised && !own && !inner { Confidence::Certain } else { Confidence::Likely };
    Finding::new(Cause::OriginNotAllowed, sure, summary).with(evidence)
}

fn rewritten_to_upstream(case: &Case<'_>, origin: &Origin) -> bool {
    let inner = origin.authority.seclusion();
    let outer = |host: &Authority| host.host != origin.authority.host && host.seclusion() < inner;
    forwarded::hosts(&case.request.headers).first().is_some_and(outer)
}

/// Literal comparison of the origin's host and port with `Host`; the scheme does not count.
fn host_port(case: &Case<'_>, origin: &Origin) -> Finding {
    let Some(host) = &case.host else { return no_host(case) };
    if host.host != origin.authority.host {
        return other_host(case, origin, host);
    }
    if host.port != origin.authority.port {
        return port_mismatch(case, origin, host);
    }
    allow_list(case, origin).at_most(Confidence::Likely)
}

fn no_host(case: &Case<'_>) -> Finding {
    Finding::likely(Cause::HostMissing, "there is no Host to compare Origin with")
        .with([case.header("Host"), case.header("Origin")])
}

fn scheme_host_port(case: &Case<'_>, origin: &Origin) -> Finding {
    let Some(host) = &case.host else { return no_host(case) };
    if host.host != origin.authority.host {
        return other_host(case, origin, host);
    }
    scheme_mismatch(case, origin).unwrap_or_else(|| {
        if host.port == origin.authority.port {
            allow_list(case, origin).at_most(Confidence::Likely)
        } else {
            port_mismatch(case, origin, host)
        }
    })
}

fn forwarded_scheme_host_port(case: &Case<'_>, origin: &Origin) -> Finding {
    let hosts = forwarded::hosts(&case.request.headers);
    match hosts.iter().find(|host| host.host == origin.authority.host) {
        Some(host) => scheme_mismatch(case, origin).unwrap_or_else(|| {
            if host.port == origin.authority.port {
                allow_list(case, origin).at_most(Confidence::Likely)
            } else {
                port_mismatch(case, origin, host)
            }
        }),
        None => scheme_host_port(case, origin),
    }
}

/// The scheme that the proxies told the server, against the page's. For servers that compare it only.
fn scheme_mismatch(case: &Case<'_>, origin: &Origin) -> Option<Finding> {
    let told = forwarded::schemes(&case.request.headers);
    let evidence = [case.header("Origin"), case.header("X-Forwarded-Proto")];
    if told.is_empty() {
        return (origin.scheme == "https").then(|| {
            Finding::likely(
                Cause::ForwardedProtoMissing,
                "the page is https, and no hop told the server so: it compares with http",
            )
            .with(evidence)
        });
    }
    // Of a list the known servers take the first, which the proxy nearest to the client wrote.
    let counted = if case.fingerprint.is_some() { 1 } else { told.len() };
    let wrong = told.iter().take(counted).find(|(_, scheme)| *scheme != origin.scheme)?;
    let summary = match wrong.1.as_str() {
        "ws" | "wss" => format!("the proxy says {}, and the server expects http or https", wrong.1),
        other => format!("the page is {}, and the last hop says {other}", origin.scheme),
    };
    let named = (wrong.0 != "x-forwarded-proto").then(|| case.header(wrong.0));
    Some(Finding::likely(Cause::ForwardedProtoWrong, summary).with(evidence).with(named))
}

fn port_mismatch(case: &Case<'_>, origin: &Origin, host: &Authority) -> Finding {
    let summary = match (origin.authority.port, host.port) {
        (Some(port), None)
            if origin.effective_port() == crate::diagnose::origin::default_port(&origin.scheme) =>
        {
            format!("Origin writes out the default port {port}, Host does not")
        }
        (Some(port), None) => format!("Host lost the port {port} that Origin has"),
        (None, Some(port)) => format!("Host has the port {port}, Origin has none"),
        _ => "Origin and Host differ in the port".to_owned(),
    };
    Finding::likely(Cause::PortMismatch, summary).with([
        case.header("Origin"),
        case.header("Host"),
        case.answer(),
    ])
}

/// The hosts differ: a hop rewrote `Host`, or the page is another site's.
fn other_host(case: &Case<'_>, origin: &Origin, host: &Authority) -> Finding {
    let evidence = [case.header("Origin"), case.header("Host")];
    let forwarded_hosts = forwarded::hosts(&case.request.headers);
    let site = client::fetch_site(case.request);
    let rewrote = "Host is not what the client sent: a hop rewrote it, and the server compares it with Origin";
    if site == Some(FetchSite::Other) {
        return foreign(case, host);
    }
    if forwarded_hosts.iter().any(|named| named.host == origin.authority.host) {
        return Finding::likely(Cause::HostRewritten, rewrote)
            .with(evidence)
            .with([case.header("X-Forwarded-Host")]);
    }
    let page = origin.authority.seclusion();
    if site == Some(FetchSite::SameOrigin) {
        let (cause, summary) = if page > host.seclusion() {
            (
                Cause::OriginRewritten,
                "the browser calls it same-origin, yet Origin is an inner name",
            )
        } else {
            (Cause::HostRewritten, rewrote)
        };
        return Finding::likely(cause, summary)
            .with(evidence)
            .with([case.header("Sec-Fetch-Site")]);
    }
    if !forwarded_hosts.is_empty() {
        return foreign(case, host);
    }
    if host.seclusion() > page && page < Seclusion::UpstreamName {
        return Finding::likely(Cause::HostRewritten, rewrote).with(evidence).with([case.answer()]);
    }
    foreign(case, host)
}

fn foreign(case: &Case<'_>, host: &Authority) -> Finding {
    Finding::likely(
        Cause::OriginNotAllowed,
        format!("the page is not of {host}, and the server takes no foreign page"),
    )
    .with([case.header("Origin"), case.header("Host"), case.answer()])
}

/// The server refused the origin, and what it compares is not known: only what the request itself shows
/// to be wrong is named.
fn unknown_check(case: &Case<'_>, origin: &Origin) -> Finding {
    match &case.host {
        Some(host) if host.host != origin.authority.host => {
            let finding = other_host(case, origin, host);
            if finding.cause == Cause::OriginNotAllowed {
                return allow_list(case, origin).at_most(Confidence::Likely);
            }
            // Whether the server looks at Host at all is not known.
            Finding { presumed: true, ..finding.at_most(Confidence::Possible) }
        }
        _ => allow_list(case, origin).at_most(Confidence::Likely),
    }
}
