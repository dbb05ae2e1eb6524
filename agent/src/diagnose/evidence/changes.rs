//! What a proxy changed in a request, and what that proves.

use crate::diagnose::{
    Cause, Change, Confidence, Evidence, ProxyChange, Verdict, advice,
    client::{self, FetchSite},
    forwarded,
    origin::{Authority, Origin},
    proxies,
};
use crate::http::{RequestHead, Version};

/// The differences between the request that a proxy received and the one that it sent.
pub(in crate::diagnose) fn between(before: &RequestHead, after: &RequestHead) -> Vec<ProxyChange> {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in before.headers.iter().chain(after.headers.iter()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let headers = names.into_iter().map(|name| (name, value(before, name), value(after, name)));
    let lines = [
        ("version", Some(version(before)), Some(version(after))),
        ("path", Some(before.path.to_string()), Some(after.path.to_string())),
    ];
    lines.into_iter().chain(headers).filter_map(|(name, b, a)| change(name, b, a)).collect()
}

fn change(header: &str, before: Option<String>, after: Option<String>) -> Option<ProxyChange> {
    let same = match (&before, &after) {
        // Tokens whose case means nothing.
        (Some(b), Some(a)) if matches!(header, "connection" | "upgrade") => {
            b.eq_ignore_ascii_case(a)
        }
        (b, a) => b == a,
    };
    let change = match (&before, &after) {
        _ if same => return None,
        (None, _) => Change::Added,
        (_, None) => Change::Removed,
        _ => Change::Rewrote,
    };
    let cut = |value: Option<String>| value.map(|value| Evidence::quoted(&value));
    Some(ProxyChange { header: header.to_owned(), change, before: cut(before), after: cut(after) })
}

fn value(request: &RequestHead, name: &str) -> Option<String> {
    let values: Vec<&str> = request.headers.all(name).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

fn version(request: &RequestHead) -> String {
    match request.version {
        Version::Http10 => "HTTP/1.0".to_owned(),
        Version::Http11 => "HTTP/1.1".to_owned(),
    }
}

/// Corrects `verdict` by what the first leg that was seen had, `before`, against what the server got, `after`.
pub(in crate::diagnose) fn refine(
    verdict: &mut Verdict,
    before: &RequestHead,
    after: &RequestHead,
) {
    let Some(cause) = verdict.cause else { return };
    let changed = |name: &str| value(before, name) != value(after, name);
    let lost = |name: &str| before.headers.has(name) && !after.headers.has(name);
    // Without a proxy's mark in it the first leg is the client's own.
    let own = !forwarded::proxied(before);
    // To a browser that calls it same-origin, Host was the page's own.
    let own_host = own && client::fetch_site(before) != Some(FetchSite::SameOrigin);
    match cause {
        Cause::OriginAbsent | Cause::OriginStripped if lost("origin") => prove(
            verdict,
            Cause::OriginStripped,
            "a proxy on this host removed Origin",
            ("Origin", before),
        ),
        Cause::OriginNotAllowed
        | Cause::OriginMalformed
        | Cause::OriginNull
        | Cause::OriginRewritten
        | Cause::PortMismatch
        | Cause::ForwardedProtoMissing
        | Cause::ForwardedProtoWrong
            if after.headers.has("origin") && changed("origin") =>
        {
            prove(
                verdict,
                Cause::OriginRewritten,
                "a proxy on this host changed Origin, and the server refused what it became",
                ("Origin", before),
            );
        }
        Cause::HostRewritten | Cause::OriginNotAllowed
            if decided_by_host(verdict) && changed("host") && host_was_right(before, after) =>
        {
            prove(
                verdict,
                Cause::HostRewritten,
                "a proxy on this host changed Host, and the server compares it with Origin",
                ("Host", before),
            );
        }
        Cause::HostRewritten if own_host && !changed("host") => {
            replace(verdict, Cause::OriginNotAllowed, "Host is the one that the client sent");
        }
        Cause::HostRewritten if own_host && is_foreign(before) => {
            show(verdict, "Host", before);
            replace(
                verdict,
                Cause::OriginNotAllowed,
                "a proxy on this host changed Host, but the client's own Host is not the page's either",
            );
        }
        Cause::PortMismatch if changed("host") && host_was_right(before, after) => prove(
            verdict,
            Cause::PortMismatch,
            "a proxy on this host changed the port in Host",
            ("Host", before),
        ),
        Cause::ForwardedProtoMissing | Cause::ForwardedProtoWrong if scheme_was_right(before) => {
            prove(
                verdict,
                cause,
                "the leg into a proxy on this host says the right scheme, the leg behind it does not",
                ("X-Forwarded-Proto", before),
            );
        }
        Cause::UpgradeStripped if before.headers.has_token("upgrade", "websocket") => {
            prove(verdict, cause, "a proxy on this host removed Upgrade", ("Upgrade", before));
        }
        Cause::UpgradeStripped if own => {
            replace(verdict, cause, "the client itself sent no Upgrade");
        }
        Cause::ConnectionStripped if before.headers.has_token("connection", "upgrade") => {
            prove(
                verdict,
                cause,
                "a proxy on this host changed Connection",
                ("Connection", before),
            );
        }
        Cause::SubprotocolRequired if lost("sec-websocket-protocol") => prove(
            verdict,
            cause,
            "a proxy on this host removed Sec-WebSocket-Protocol",
            ("Sec-WebSocket-Protocol", before),
        ),
        _ => {}
    }
}

/// Whether the server compares `Origin` with `Host`: then `Host` is among the evidence.
fn decided_by_host(verdict: &Verdict) -> bool {
    verdict.evidence.iter().any(|evidence| evidence.name == "Host")
}

fn page(request: &RequestHead) -> Option<Origin> {
    request.headers.first("origin").and_then(Origin::parse)
}

/// Whether the client's `Host` was the page's own.
fn host_was_right(before: &RequestHead, after: &RequestHead) -> bool {
    let host = before.headers.first("host").and_then(Authority::parse);
    matches!((page(after), host), (Some(origin), Some(host)) if origin.authority == host)
}

/// Whether the client asked for another host than the page's. An inner name in place of a public one may be the
/// work of a proxy that was not seen.
fn is_foreign(before: &RequestHead) -> bool {
    let host = before.headers.first("host").and_then(Authority::parse);
    matches!((page(before), host), (Some(origin), Some(host))
        if origin.authority.host != host.host && host.seclusion() <= origin.authority.seclusion())
}

fn scheme_was_right(before: &RequestHead) -> bool {
    let told = forwarded::schemes(&before.headers);
    page(before).is_some_and(|origin| {
        !told.is_empty() && told.iter().all(|(_, scheme)| *scheme == origin.scheme)
    })
}

/// Both legs were seen: the change is a fact. The cause is as certain as it is that this check refused.
fn prove(verdict: &mut Verdict, cause: Cause, summary: &'static str, shown: (&str, &RequestHead)) {
    let (header, before) = shown;
    verdict.evidence.retain(|evidence| evidence.name != "answer" && evidence.name != "User-Agent");
    show(verdict, header, before);
    let sure = if verdict.presumed { Confidence::Likely } else { Confidence::Certain };
    conclude(verdict, cause, sure, summary);
}

/// Adds what `header` was before the proxy to the evidence.
fn show(verdict: &mut Verdict, header: &str, before: &RequestHead) {
    let was = value(before, &header.to_ascii_lowercase()).unwrap_or_default();
    verdict.evidence.push(Evidence::new(format!("{header} (before the proxy)"), &was));
}

/// The other leg disproves what the headers of one leg made likely.
fn replace(verdict: &mut Verdict, cause: Cause, summary: &'static str) {
    conclude(verdict, cause, Confidence::Likely, summary);
}

fn conclude(verdict: &mut Verdict, cause: Cause, confidence: Confidence, summary: &'static str) {
    verdict.cause = Some(cause);
    verdict.confidence = Some(confidence);
    verdict.summary = summary.into();
    verdict.disproof = advice::disproof(cause);
    verdict.fix = None;
}

/// The leg into a proxy failed, and a leg behind it was answered with `status`, or not at all. `behind` is
/// what was said of that leg when the proxy passed its answer on: then this is the same failure.
pub(in crate::diagnose) fn answered_behind(
    verdict: &mut Verdict,
    behind: Option<&Verdict>,
    status: Option<u16>,
) {
    if let Some(behind) = behind.filter(|_| status.is_some()) {
        *verdict = Verdict {
            summary: format!("{} (seen on the leg behind the proxy)", behind.summary).into(),
            ..behind.clone()
        };
        return;
    }
    let lost_between = matches!(
        verdict.cause,
        Some(
            Cause::Unanswered | Cause::TimedOut | Cause::ClientGaveUp | Cause::UpstreamUnavailable
        )
    );
    if lost_between {
        let status = status.map_or_else(|| "(none)".to_owned(), |status| status.to_string());
        verdict.evidence.push(Evidence::new("answer behind the proxy", &status));
    }
}

/// No leg behind this one was seen: what a proxy said here, it said by itself.
pub(in crate::diagnose) fn answered_alone(verdict: &mut Verdict) {
    let by_proxy = verdict.server.as_deref().is_some_and(proxies::is_proxy);
    let own = verdict.evidence.iter().any(|evidence| evidence.name == "answer");
    if by_proxy && own {
        verdict.evidence.push(Evidence::new("leg to a backend", "(not seen)"));
    }
}
