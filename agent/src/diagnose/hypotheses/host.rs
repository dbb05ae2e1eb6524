//! `Host`: missing, rewritten by a hop, or with another port than the page's.

use super::{
    Contradiction, Effect, Finding,
    Grounds::{Fits, Guess, Means, Spoken},
    Hypothesis,
    check::{Check, check},
};
use crate::{
    diagnose::{
        Cause,
        Confidence::{Certain, Likely, Possible},
        Evidence,
        case::Case,
        client::{self, FetchSite},
        features::Features,
        fingerprint::{Comparison, Says},
        forwarded,
        origin::{Authority, Origin, OriginField, Seclusion, default_port},
        words::Topics,
    },
    http::{RequestHead, Version},
};

pub(super) const MISSING: Hypothesis = Hypothesis {
    cause: Cause::HostMissing,
    usual: 62,
    lies_in: Features::NO_HOST,
    named_by: Topics::HOST,
    support: missing,
    ..Hypothesis::PLAIN
};

pub(super) const REWRITTEN: Hypothesis = Hypothesis {
    cause: Cause::HostRewritten,
    usual: 58,
    lies_in: Features::HOST_DIFFERS,
    named_by: Topics::ORIGIN.with(Topics::HOST),
    support: rewritten,
    against: not_rewritten,
    ..Hypothesis::PLAIN
};

pub(super) const PORT: Hypothesis = Hypothesis {
    cause: Cause::PortMismatch,
    usual: 57,
    lies_in: Features::PORT_DIFFERS,
    named_by: Topics::ORIGIN.with(Topics::HOST),
    support: port,
    ..Hypothesis::PLAIN
};

/// HTTP/1.1 wants `Host`, and a server must answer 400 without it (RFC 9112 section 3.2).
fn missing(case: &Case<'_>) -> Option<Finding> {
    if !case.features.any(Features::NO_HOST) || case.request.version != Version::Http11 {
        return None;
    }
    let (grounds, sure) = match case.status()? {
        _ if case.topics.any(Topics::HOST) => (Spoken, Certain),
        400 => (Means, Certain),
        500 => (Fits, Possible),
        403 => (Guess, Possible),
        _ => return None,
    };
    Some(
        Finding::new(grounds, sure, "an HTTP/1.1 request without Host is refused")
            .with([Evidence::absent("Host"), case.answer()]),
    )
}

fn page(request: &RequestHead) -> Option<Origin> {
    request.headers.first("origin").and_then(Origin::parse)
}

fn host_of(request: &RequestHead) -> Option<Authority> {
    request.headers.first("host").and_then(Authority::parse)
}

/// The proxy on this host changed `Host`, and what the client sent was the page's own.
pub(super) fn changed_from_right<'a>(case: &Case<'a>) -> Option<&'a str> {
    let before = case.context.before?;
    let host = host_of(before)?;
    let right = page(case.request).is_some_and(|origin| origin.authority == host);
    (right && case.host.as_ref() != Some(&host)).then(|| before.headers.first("host"))?
}

/// What a hop did to `Host`, by this request alone.
enum Sign {
    /// A proxy, or the browser, names the page's host.
    Told(&'static str),
    /// `Host` is an inner name, as proxies' configurations have it.
    Inner,
}

fn sign(case: &Case<'_>, origin: &Origin, host: &Authority) -> Option<Sign> {
    let site = client::fetch_site(case.request);
    let named = forwarded::hosts(&case.request.headers);
    if site == Some(FetchSite::Other) {
        return None;
    }
    if named.iter().any(|named| named.host == origin.authority.host) {
        return Some(Sign::Told("X-Forwarded-Host"));
    }
    let page = origin.authority.seclusion();
    if site == Some(FetchSite::SameOrigin) {
        return (page <= host.seclusion()).then_some(Sign::Told("Sec-Fetch-Site"));
    }
    let inner = host.seclusion() > page && page < Seclusion::UpstreamName;
    (named.is_empty() && inner).then_some(Sign::Inner)
}

fn rewritten(case: &Case<'_>) -> Option<Finding> {
    if let Some(found) = not_served(case) {
        return Some(found);
    }
    let check = check(case)?;
    let (OriginField::One(origin), Some(host)) = (&case.origin, &case.host) else { return None };
    let forwarded_fits = check.comparison == Comparison::ForwardedSchemeHostPort
        && forwarded::hosts(&case.request.headers)
            .iter()
            .any(|named| named.host == origin.authority.host);
    if host.host == origin.authority.host || !check.compares_host() || forwarded_fits {
        return None;
    }
    let evidence = [case.header("Origin"), case.header("Host")];
    let spoken = check.grounds >= Spoken;
    if let Some(before) = changed_from_right(case) {
        // That the check looks at Host is a fact only where the same server took this page with its own Host.
        let sure = if case.context.population.own_page_here { Certain } else { Likely };
        let found = "a proxy on this host changed Host, and the server compares it with Origin";
        return Some(
            Finding::new(check.grounds, check.sure.min(sure), found)
                .with(evidence)
                .with([Evidence::new("Host (before the proxy)", before), case.answer()]),
        );
    }
    let rewrote = "Host is not what the client sent: a hop rewrote it, and the server compares it with Origin";
    match sign(case, origin, host)? {
        Sign::Told(by) => Some(
            Finding::new(check.grounds, check.sure.min(Likely), rewrote)
                .with(evidence)
                .with([case.header(by), case.answer()]),
        ),
        Sign::Inner if check.is_known() => {
            // From a leg without a proxy's mark, a page of another host looks the same.
            let marked = case.features.any(Features::PROXIED) || case.context.before.is_some();
            let (sure, found) = if marked || host.seclusion() != Seclusion::Loopback {
                (Likely, rewrote)
            } else {
                (
                    Possible,
                    "Host is this machine's own name and Origin another's: a hop rewrote Host, or the page is foreign",
                )
            };
            Some(
                Finding::new(check.grounds, check.sure.min(sure), found)
                    .with(evidence)
                    .with([case.answer()]),
            )
        }
        // Without a sign of a proxy the client's own Host is as likely.
        Sign::Inner if !case.features.any(Features::PROXIED) && case.context.before.is_none() => {
            None
        }
        Sign::Inner => {
            let grounds = if spoken { check.grounds } else { Guess };
            let found = "Host is an inner name: a hop may have rewritten it, and the server may compare it with Origin";
            Some(Finding::new(grounds, Possible, found).with(evidence).with([case.answer()]))
        }
    }
}

/// The server does not serve the host that it was asked for, and a hop wrote it.
fn not_served(case: &Case<'_>) -> Option<Finding> {
    let says = case.fingerprint.is_some_and(|known| matches!(known.says, Says::Host));
    let spoken = case.topics.any(Topics::HOST)
        && !case.topics.any(Topics::ORIGIN)
        && matches!(case.status(), Some(400 | 403 | 421));
    if !says && !spoken {
        return None;
    }
    let named = |other: &Authority| case.host.as_ref().is_some_and(|host| host.host != other.host);
    let page = match &case.origin {
        OriginField::One(origin) => Some(origin.authority.clone()),
        _ => None,
    };
    let told = forwarded::hosts(&case.request.headers).into_iter().find(&named);
    let page = page.filter(&named).filter(|_| {
        client::fetch_site(case.request) != Some(FetchSite::Other)
            && (case.features.any(Features::PROXIED) || says)
    });
    let inner = case.host.as_ref().is_some_and(|host| host.seclusion() > Seclusion::Public);
    (told.or(page).is_some() && inner).then(|| {
        Finding::new(
            Spoken,
            Likely,
            "the server does not serve this Host, which a hop wrote in place of the client's",
        )
        .with([case.header("Host"), case.answer(), case.header("Origin")])
    })
}

fn not_rewritten(case: &Case<'_>, _: &Finding, found: &mut Vec<Contradiction>) {
    let Some(before) = case.context.before else { return };
    // Without a proxy's mark in it the first leg is the client's own, and to a browser that calls it same-origin, Host was
    // the page's own.
    let own =
        !forwarded::proxied(before) && client::fetch_site(before) != Some(FetchSite::SameOrigin);
    if !own {
        return;
    }
    if host_of(before) == case.host {
        let seen = "the leg before the proxy has the same Host";
        found.push(Contradiction::new(Effect::Weak, seen));
    } else if is_foreign(before) {
        let seen = "the client's own Host is not the page's either";
        found.push(Contradiction::new(Effect::Weak, seen));
    }
}

/// Whether the client asked for another host than the page's. An inner name in place of a public one may be the
/// work of a proxy that was not seen.
fn is_foreign(before: &RequestHead) -> bool {
    matches!((page(before), host_of(before)), (Some(origin), Some(host))
        if origin.authority.host != host.host && host.seclusion() <= origin.authority.seclusion())
}

/// The host that the check compares, with the page's name.
pub(super) fn compared(case: &Case<'_>, check: Check, origin: &Origin) -> Option<Authority> {
    let forwarded = forwarded::hosts(&case.request.headers).into_iter();
    let forwarded = forwarded.filter(|_| check.comparison == Comparison::ForwardedSchemeHostPort);
    forwarded.chain(case.host.clone()).find(|host| host.host == origin.authority.host)
}

fn port(case: &Case<'_>) -> Option<Finding> {
    let check = check(case)?;
    let OriginField::One(origin) = &case.origin else { return None };
    let host = compared(case, check, origin)?;
    if host.port == origin.authority.port || !check.compares_host() {
        return None;
    }
    let changed = changed_from_right(case);
    let site = client::fetch_site(case.request);
    let summary = match (origin.authority.port, host.port) {
        _ if changed.is_some() => "a proxy on this host changed the port in Host".to_owned(),
        (Some(port), None) if origin.effective_port() == default_port(&origin.scheme) => {
            format!("Origin writes out the default port {port}, Host does not")
        }
        (Some(port), None) => format!("Host lost the port {port} that Origin has"),
        (None, Some(port)) => format!("Host has the port {port}, Origin has none"),
        _ => "Origin and Host differ in the port".to_owned(),
    };
    let sure = match (origin.authority.port, host.port) {
        // The browser says that the page is another one.
        _ if site == Some(FetchSite::Other) => return None,
        _ if changed.is_some() && case.context.population.own_page_here => Certain,
        _ if changed.is_some() || site == Some(FetchSite::SameOrigin) => Likely,
        // A page on another port of this host looks the same.
        (Some(_), Some(_)) if !case.features.any(Features::PROXIED) => Possible,
        _ if check.is_known() => Likely,
        _ => Possible,
    };
    let grounds = if check.is_known() || check.grounds >= Spoken { check.grounds } else { Guess };
    Some(
        Finding::new(grounds, check.sure.min(sure), summary)
            .with([case.header("Origin"), case.header("Host")])
            .with(changed.map(|before| Evidence::new("Host (before the proxy)", before)))
            .with([case.answer()]),
    )
}
