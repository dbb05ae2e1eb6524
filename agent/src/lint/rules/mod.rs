//! The rules: what of a route breaks handshakes or ends tunnels, and the code that it will become.
//!
//! Each rule reads the neutral model only. What one product alone does, its reader finds ([`Oddity`]); the rule is named
//! here all the same, with its code and its advice.

mod advice;
mod forwarded;
mod names;
mod timeouts;
mod upgrade;

use crate::{
    check::{Code, Finding, Own, Verdict},
    diagnose::{Cause, ending::Reason},
    lint::{
        hints::Role,
        model::{Oddity, Place, Route, Tls, Value, Written},
    },
};

/// What is looked for. The names are those of reports; `docs/lint.md` has them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// `Upgrade` does not reach the backend.
    UpgradeNotPassed,
    /// `Upgrade` reaches the backend with another value.
    UpgradeMangled,
    /// Every request gets an `Upgrade` or a `Connection: upgrade`, whoever asked for it.
    UpgradeHardWired,
    /// `Connection` reaches the backend without `upgrade`.
    ConnectionNotPassed,
    /// The proxy refuses upgrades by itself.
    UpgradeRefused,
    /// The backend is spoken to in HTTP/1.0.
    Http10,
    /// The backend is spoken to in HTTP/2, over which an upgrade does not pass.
    Http2Backend,
    /// `Origin` does not reach the backend.
    OriginRemoved,
    /// `Origin` reaches the backend with another value.
    OriginRewritten,
    /// `Host` reaches the backend with another name.
    HostRewritten,
    /// `Host` reaches the backend with another port, or without it.
    HostPort,
    /// TLS ends here, and nothing tells the backend.
    ForwardedMissing,
    /// X-Forwarded-Proto is not the scheme that the client used.
    ForwardedWrong,
    /// What a client says in a forwarding header is passed on as if a proxy had said it.
    ForwardedForged,
    /// A silent tunnel is ended.
    Idle,
    /// Answers on this path may come from a cache.
    Cached,
    /// The request is held back until it ends, which a handshake's never does.
    Buffered,
    /// Requests of one client may go to several backends.
    NotSticky,
    /// The path is answered by the proxy itself, or by nobody.
    NotForwarded,
    /// The path is answered with a redirect, which browsers do not follow.
    Redirected,
    /// A route before this one takes its requests.
    Shadowed,
    /// Something that could change the verdict cannot be followed.
    NotFollowed,
    /// No route is known to carry WebSocket.
    NoPath,
    /// What was looked at and is as it should be.
    Sound,
}

impl Rule {
    /// Every one.
    pub const ALL: &[Self] = &[
        Self::UpgradeNotPassed,
        Self::UpgradeMangled,
        Self::UpgradeHardWired,
        Self::ConnectionNotPassed,
        Self::UpgradeRefused,
        Self::Http10,
        Self::Http2Backend,
        Self::OriginRemoved,
        Self::OriginRewritten,
        Self::HostRewritten,
        Self::HostPort,
        Self::ForwardedMissing,
        Self::ForwardedWrong,
        Self::ForwardedForged,
        Self::Idle,
        Self::Cached,
        Self::Buffered,
        Self::NotSticky,
        Self::NotForwarded,
        Self::Redirected,
        Self::Shadowed,
        Self::NotFollowed,
        Self::NoPath,
        Self::Sound,
    ];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UpgradeNotPassed => "upgrade-not-passed",
            Self::UpgradeMangled => "upgrade-mangled",
            Self::UpgradeHardWired => "upgrade-hard-wired",
            Self::ConnectionNotPassed => "connection-not-passed",
            Self::UpgradeRefused => "upgrade-refused",
            Self::Http10 => "http-1.0-backend",
            Self::Http2Backend => "http-2-backend",
            Self::OriginRemoved => "origin-removed",
            Self::OriginRewritten => "origin-rewritten",
            Self::HostRewritten => "host-rewritten",
            Self::HostPort => "host-port",
            Self::ForwardedMissing => "forwarded-proto-missing",
            Self::ForwardedWrong => "forwarded-proto-wrong",
            Self::ForwardedForged => "forwarded-proto-forged",
            Self::Idle => "idle-timeout",
            Self::Cached => "cached",
            Self::Buffered => "buffered",
            Self::NotSticky => "not-sticky",
            Self::NotForwarded => "not-forwarded",
            Self::Redirected => "redirected",
            Self::Shadowed => "shadowed",
            Self::NotFollowed => "not-followed",
            Self::NoPath => "no-path",
            Self::Sound => "sound",
        }
    }

    /// What a finding of it will become when a client comes.
    pub fn code(self) -> Option<Code> {
        Some(match self {
            Self::UpgradeNotPassed | Self::Http2Backend => Cause::UpgradeStripped.into(),
            Self::UpgradeMangled => Cause::UpgradeMangled.into(),
            Self::UpgradeHardWired => Own::RequestAltered.into(),
            Self::ConnectionNotPassed => Cause::ConnectionStripped.into(),
            Self::UpgradeRefused => Cause::Forbidden.into(),
            Self::Http10 => Cause::HttpVersion.into(),
            Self::OriginRemoved => Cause::OriginStripped.into(),
            Self::OriginRewritten => Cause::OriginRewritten.into(),
            Self::HostRewritten => Cause::HostRewritten.into(),
            Self::HostPort => Cause::PortMismatch.into(),
            Self::ForwardedMissing => Cause::ForwardedProtoMissing.into(),
            Self::ForwardedWrong => Cause::ForwardedProtoWrong.into(),
            Self::ForwardedForged => Own::ForwardedForged.into(),
            Self::Idle => Reason::IdleTimeout.into(),
            Self::Cached => Cause::UpgradeIgnored.into(),
            Self::Buffered => Cause::TimedOut.into(),
            Self::NotSticky => Cause::SessionUnknown.into(),
            Self::NotForwarded | Self::Shadowed => Cause::RouteNotFound.into(),
            Self::Redirected => Cause::Redirected.into(),
            Self::NotFollowed | Self::NoPath | Self::Sound => return None,
        })
    }

    /// What a finding of it comes to, unless the rule says otherwise.
    const fn verdict(self) -> Verdict {
        match self {
            Self::ForwardedForged => Verdict::Exposed,
            Self::UpgradeHardWired | Self::Idle | Self::Cached | Self::NotSticky => {
                Verdict::Warning
            }
            Self::NotFollowed | Self::NoPath => Verdict::Inconclusive,
            Self::Sound => Verdict::Pass,
            _ => Verdict::Fail,
        }
    }
}

/// A finding before it is known how much is known of the route.
pub(super) struct Draft {
    rule: Rule,
    verdict: Verdict,
    /// The directive to blame; none: the lack of one.
    by: Option<Written>,
    what: String,
}

impl Draft {
    fn new(rule: Rule, by: Option<&Written>, what: impl Into<String>) -> Self {
        Self { rule, verdict: rule.verdict(), by: by.cloned(), what: what.into() }
    }

    fn mild(mut self) -> Self {
        self.verdict = Verdict::Warning;
        self
    }
}

/// The findings about a route: one that passes says so.
pub(super) fn judge(route: &Route, role: &Role) -> Vec<Finding> {
    if *role == Role::Other {
        return Vec::new();
    }
    let mut drafts: Vec<Draft> = Vec::new();
    for Oddity { rule, place, what, mild } in &route.oddities {
        let by = Written { place: place.clone(), text: String::new() };
        let draft = Draft::new(*rule, Some(&by), what.clone());
        drafts.push(if *mild { draft.mild() } else { draft });
    }
    if route.forwards {
        upgrade::check(route, &mut drafts);
        let passes = !drafts
            .iter()
            .any(|draft| matches!(draft.rule, Rule::UpgradeNotPassed | Rule::UpgradeRefused));
        names::check(route, &mut drafts);
        forwarded::check(route, &mut drafts);
        // No tunnel, no silence.
        if passes {
            timeouts::check(route, &mut drafts);
        }
    } else if route.oddities.is_empty() && route.unknown.is_empty() {
        match (&route.redirects, role) {
            // From http to https: as it should be.
            (Some(by), _) if route.tls == Tls::Plain && by.text.contains("https") => {
                return Vec::new();
            }
            (Some(by), _) => {
                let what = format!("{}: browsers follow no redirect of a handshake", by.text);
                drafts.push(Draft::new(Rule::Redirected, Some(by), what));
            }
            (None, Role::Asked(_)) => {
                drafts.push(Draft::new(
                    Rule::NotForwarded,
                    None,
                    "it forwards no request to a backend",
                ));
            }
            // A path that is named so and answered here is no fault by itself.
            (None, _) => return Vec::new(),
        }
    }
    if *role == Role::Perhaps {
        drafts.retain(|draft| draft.by.is_some() && draft.rule != Rule::Idle);
        for draft in &mut drafts {
            draft.verdict = draft.verdict.max(Verdict::Warning);
        }
    }
    // What is missing may be in what could not be read.
    if !route.unknown.is_empty() {
        drafts.retain(|draft| draft.by.is_some());
    }
    for unknown in &route.unknown {
        let what = format!("{} cannot be followed, and may change what arrives", unknown.text);
        drafts.push(Draft::new(Rule::NotFollowed, Some(unknown), what));
    }
    if drafts.is_empty() {
        drafts.push(Draft::new(Rule::Sound, None, sound(role)));
    }
    drafts.iter().map(|draft| finding(route, draft)).collect()
}

fn sound(role: &Role) -> String {
    match role {
        Role::Asked(path) => format!("takes {path}; a handshake passes as it came"),
        Role::Meant(why) => {
            format!("taken for WebSocket's by {why}; a handshake passes as it came")
        }
        Role::Perhaps | Role::Other => "a handshake passes as it came".to_owned(),
    }
}

fn finding(route: &Route, draft: &Draft) -> Finding {
    let place = draft.by.as_ref().map_or(&route.place, |by| &by.place);
    let mut finding =
        Finding::new(draft.rule.name(), draft.verdict, format!("{}: {}", route.name, draft.what))
            .at(place.file.to_string(), place.line);
    if let Some(code) = draft.rule.code() {
        finding = finding.because(code);
    }
    if let Some(fix) = advice::fix(draft.rule, route.product) {
        finding = finding.fixed_by(fix);
    }
    finding
}

/// A finding that is about no route.
pub fn general(rule: Rule, place: &Place, what: String) -> Finding {
    let finding =
        Finding::new(rule.name(), rule.verdict(), what).at(place.file.to_string(), place.line);
    match rule.code() {
        Some(code) => finding.because(code),
        None => finding,
    }
}

/// Notes that a field cannot be told; answers its text otherwise.
fn known<'a>(
    value: &'a Value,
    header: &str,
    by: Option<&Written>,
    drafts: &mut Vec<Draft>,
) -> Option<&'a str> {
    match value {
        Value::Text(text) => Some(text),
        Value::Unknown(why) => {
            drafts.push(Draft::new(
                Rule::NotFollowed,
                by,
                format!("what {header} holds cannot be told: {why}"),
            ));
            None
        }
    }
}

/// How evidence names the directive, or the lack of one.
fn because(route: &Route, header: &str, by: Option<&Written>) -> String {
    if let Some((_, why)) = route.lost.iter().find(|(lost, _)| *lost == header) {
        return why.clone();
    }
    by.map_or_else(|| "nothing sets it".to_owned(), |by| by.text.clone())
}

#[cfg(test)]
mod tests;
