//! `Host` and `Origin`: what servers compare with each other (RFC 6455 section 10.2).

use super::{Draft, Rule, because, known};
use crate::lint::model::{FOREIGN, Route, origin as expected};

pub(super) fn check(route: &Route, drafts: &mut Vec<Draft>) {
    host(route, drafts);
    origin(route, drafts);
}

fn host(route: &Route, drafts: &mut Vec<Draft>) {
    let sent = &route.arrived.handshake;
    let (host, by) = (sent.get("host"), sent.by("host"));
    let Some(host) = known(&host, "Host", by, drafts) else { return };
    let want = route.host.as_str();
    if host.eq_ignore_ascii_case(want) {
        mapped_port(route, drafts);
        return;
    }
    let name =
        |text: &str| text.rsplit_once(':').map_or(text, |(name, _)| name).to_ascii_lowercase();
    let forwarded = match sent.text("x-forwarded-host") {
        Some(forwarded) if forwarded.eq_ignore_ascii_case(want) => {
            " (X-Forwarded-Host has it, for servers that read that)"
        }
        _ => "",
    };
    let shown = if host.is_empty() { "(absent)" } else { host };
    let what = format!(
        "a client's Host {want} reaches the backend as {shown}: {}{forwarded}",
        because(route, "host", by)
    );
    let rule = if name(host) == name(want) { Rule::HostPort } else { Rule::HostRewritten };
    drafts.push(Draft::new(rule, by, what));
}

/// A `Host` that is right on the default port and loses any other, which a port mapping in front may bring.
fn mapped_port(route: &Route, drafts: &mut Vec<Draft>) {
    let Some(by) = route.arrived.handshake.by("host") else { return };
    let drops = route.arrived.mapped.text("host").is_some_and(|host| !host.ends_with(":18443"));
    if drops && !route.host.contains(':') {
        let what = format!(
            "{} has no port: a client on any other than 80 and 443 is refused by servers that compare Host with Origin",
            by.text
        );
        drafts.push(Draft::new(Rule::HostPort, Some(by), what).mild());
    }
}

fn origin(route: &Route, drafts: &mut Vec<Draft>) {
    let sent = &route.arrived.handshake;
    let (origin, by) = (sent.get("origin"), sent.by("origin"));
    let Some(origin) = known(&origin, "Origin", by, drafts) else { return };
    if origin.is_empty() {
        let what = format!(
            "Origin does not reach the backend: {}. Servers that want one refuse; those that do not let every page in",
            because(route, "origin", by)
        );
        drafts.push(Draft::new(Rule::OriginRemoved, by, what));
    } else if origin != expected(&route.host) || by.is_some_and(|_| rewritten(route)) {
        let what = format!(
            "the backend gets an Origin that the browser did not send: {}",
            because(route, "origin", by)
        );
        drafts.push(Draft::new(Rule::OriginRewritten, by, what));
    }
}

/// Whether an origin of another site arrives as another one: then the value is made up, though it is right for the sample.
fn rewritten(route: &Route) -> bool {
    route.arrived.foreign.text("origin").is_some_and(|origin| origin != FOREIGN)
}
