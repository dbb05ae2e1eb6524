//! An origin that the server's policy does not allow.

use super::{
    Contradiction, Effect, Finding,
    Grounds::{Fits, Guess, Spoken},
    Hypothesis,
    check::{Check, check},
};
use crate::diagnose::{
    Cause,
    Confidence::{Certain, Likely, Possible},
    Evidence,
    case::Case,
    client::{self, FetchSite},
    features::Features,
    fingerprint::Comparison,
    origin::{Authority, Origin, OriginField, Seclusion},
    words::Topics,
};

pub(super) const NOT_ALLOWED: Hypothesis = Hypothesis {
    cause: Cause::OriginNotAllowed,
    usual: 56,
    named_by: Topics::ORIGIN,
    support: not_allowed,
    against: allowed,
    part_of: &[Cause::OriginRewritten],
    ..Hypothesis::PLAIN
};

/// CORS middleware is known by its words: see `knowledge::servers`.
pub(super) const CORS: Hypothesis = Hypothesis {
    cause: Cause::CorsMiddleware,
    usual: 54,
    named_by: Topics::ORIGIN,
    ..Hypothesis::PLAIN
};

fn not_allowed(case: &Case<'_>) -> Option<Finding> {
    let check = check(case)?;
    let OriginField::One(origin) = &case.origin else { return None };
    let evidence = [case.header("Origin"), case.header("Host"), case.answer()];
    let host = case.host.as_ref();
    let own = host.is_some_and(|host| host.host == origin.authority.host);
    let spoken = check.grounds >= Spoken;
    if check.comparison == Comparison::AllowList {
        return listed(case, check, origin, own)
            .map(|found| found.with([case.header("Origin"), case.answer()]));
    }
    let same_origin = client::fetch_site(case.request) == Some(FetchSite::SameOrigin);
    let other_site = client::fetch_site(case.request) == Some(FetchSite::Other);
    let list = "the server's list of allowed origins lacks the page's own: look at scheme, port and slashes";
    let (grounds, sure, summary) = if own && !other_site {
        // Host and page agree but for port or scheme: the origin is refused only where the server says so.
        let same_port = host.is_some_and(|host| host.port == origin.authority.port);
        if !spoken && (same_port || !check.is_known()) {
            return None;
        }
        let page_elsewhere = !same_port
            && !case.features.any(Features::PROXIED)
            && host.is_some_and(|host| host.port.is_some() && origin.authority.port.is_some());
        let sure = if same_port || page_elsewhere { Likely } else { Possible };
        (check.grounds, sure, list.to_owned())
    } else if same_origin || !case.features.any(Features::FOREIGN) && !other_site {
        // A proxy or the browser says that the page is the server's own, and a list may lack it all the same.
        let grounds = if spoken || check.is_known() { check.grounds.min(Spoken) } else { Guess };
        (grounds, Possible, list.to_owned())
    } else {
        let name = host.map_or_else(|| "this host".to_owned(), Authority::to_string);
        let marked = case.features.any(Features::PROXIED)
            || case.context.before.is_some()
            || other_site
            || host.is_none_or(|host| host.seclusion() != Seclusion::Loopback);
        // A proxy is there, and Host is none that a page could be of.
        let rewritten = (case.features.any(Features::PROXIED) || case.context.before.is_some())
            && !other_site
            && !check.is_known()
            && host.is_some_and(|host| host.seclusion() > origin.authority.seclusion());
        let (summary, sure) = if rewritten {
            let summary =
                format!("the page is not of {name}: it is foreign, or a hop rewrote Host");
            (summary, Possible)
        } else if marked || !check.is_known() {
            (format!("the page is not of {name}, and the server takes no foreign page"), Likely)
        } else {
            // Nothing on the wire tells a rewritten Host from a foreign page.
            let summary =
                format!("the page is not of {name}: it is foreign, or a hop rewrote Host");
            (summary, Possible)
        };
        (check.grounds, sure, summary)
    };
    let before = case.context.before.and_then(|before| before.headers.first("host"));
    let before = before.filter(|before| Some(*before) != case.request.headers.first("host"));
    Some(
        Finding::new(grounds, check.sure.min(sure), summary)
            .with(evidence)
            .with(before.map(|host| Evidence::new("Host (before the proxy)", host))),
    )
}

/// The server has a list, and neither `Host` nor the scheme of the connection counts.
fn listed(case: &Case<'_>, check: Check, origin: &Origin, own: bool) -> Option<Finding> {
    if check.grounds == Fits && !case.features.any(Features::FOREIGN) {
        return None;
    }
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
    let sure = if serialised && !own && !inner { Certain } else { Likely };
    Some(Finding::new(check.grounds, check.sure.min(sure), summary))
}

fn allowed(case: &Case<'_>, finding: &Finding, found: &mut Vec<Contradiction>) {
    let seen = &case.context.population;
    if seen.accepted_alike {
        let same = "the same Origin, Host and forwarded headers are accepted here at other times";
        found.push(Contradiction::new(Effect::Refuted, same));
    } else if seen.accepted_here {
        let same = "this origin is accepted here at other times";
        found.push(Contradiction::new(Effect::Weak, same));
    } else if seen.accepted_elsewhere {
        let same = "this origin is accepted at another path";
        found.push(Contradiction::new(Effect::Weak, same));
    }
    // What the server itself says stands.
    if finding.grounds >= Spoken {
        for one in found.iter_mut() {
            one.effect = Effect::Uncertain;
        }
        return;
    }
    if seen.own_page_refused {
        let own = "a page of the server's own host is refused here in the same way";
        found.push(Contradiction::new(Effect::Doubted, own));
    }
    if seen.refuses_everybody {
        let every = "this path refuses every origin";
        found.push(Contradiction::new(Effect::Weak, every));
    }
    match seen.plain_refusals {
        0 => {}
        clients if clients >= crate::diagnose::population::CLIENTS => {
            let alike = "ordinary requests are refused here in the same way";
            found.push(Contradiction::new(Effect::Weak, alike));
        }
        _ => {
            let alike = "an ordinary request was refused here in the same way";
            found.push(Contradiction::new(Effect::Uncertain, alike));
        }
    }
}
