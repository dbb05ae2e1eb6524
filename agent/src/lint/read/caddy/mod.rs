//! Caddy: what each `reverse_proxy` of a Caddyfile sends to its backend.

mod headers;
mod syntax;

use super::directive::{Directive, Source, SyntaxError, seconds};
use crate::lint::{
    model::{Idle, Paths, Product, Reading, Route, Tls, Upstream},
    rules::Rule,
};

/// The routes of a Caddyfile.
pub(super) fn read(sources: &[Source]) -> Result<Reading, SyntaxError> {
    let mut reading = Reading::default();
    for source in sources {
        let blocks = syntax::load(source)?;
        let trusted = blocks.iter().filter(|block| block.name.is_empty()).find_map(trusted_proxies);
        for site in blocks.iter().filter(|block| !block.name.is_empty()) {
            let mut walk = Walk { site: Site::new(site), trusted, reading: &mut reading };
            let scope = Scope {
                paths: Paths::All,
                edits: Vec::new(),
                matchers: Vec::new(),
                hint: None,
                redirects: None,
            };
            walk.block(site.children(), &scope);
        }
    }
    Ok(reading)
}

/// The `trusted_proxies` of the global options or of a proxy.
fn trusted_proxies(block: &Directive) -> Option<&Directive> {
    block.children().iter().find_map(|child| {
        if child.name == "trusted_proxies" { Some(child) } else { trusted_proxies(child) }
    })
}

struct Site {
    label: String,
    host: String,
    tls: Tls,
}

impl Site {
    fn new(site: &Directive) -> Self {
        let address = site.name.trim_end_matches(',');
        let (plain, rest) = match address.split_once("://") {
            Some((scheme, rest)) => (scheme == "http", rest),
            None => (false, address),
        };
        let rest = rest.split('/').next().unwrap_or_default();
        let (name, port) = match rest.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (name, port),
            _ => (rest, ""),
        };
        let secured = site.children().iter().any(|child| child.name == "tls");
        // A site without a name has no certificate of its own.
        let tls = match (plain || port == "80", name.is_empty(), secured) {
            (true, ..) => Tls::Plain,
            (_, true, false) => Tls::Plain,
            _ => Tls::Ends,
        };
        let name = if name.is_empty() || name.contains(['*', '{', '$']) {
            "app.example.com"
        } else {
            name
        };
        let host = match port {
            "" | "80" | "443" => name.to_owned(),
            port => format!("{name}:{port}"),
        };
        Self { label: format!("{address} ({})", site.place), host, tls }
    }
}

/// What the blocks around a directive say.
struct Scope<'a> {
    paths: Paths,
    /// The `request_header` directives that run before.
    edits: Vec<&'a Directive>,
    /// The named matchers.
    matchers: Vec<&'a Directive>,
    /// A matcher that only handshakes fit.
    hint: Option<&'a Directive>,
    /// A redirect that answers before anything is forwarded.
    redirects: Option<&'a Directive>,
}

struct Walk<'r> {
    site: Site,
    trusted: Option<&'r Directive>,
    reading: &'r mut Reading,
}

impl Walk<'_> {
    fn block(&mut self, directives: &[Directive], outer: &Scope<'_>) {
        let mut scope = Scope {
            paths: outer.paths.clone(),
            edits: outer.edits.clone(),
            matchers: outer.matchers.clone(),
            hint: outer.hint,
            redirects: outer.redirects,
        };
        scope
            .matchers
            .extend(directives.iter().filter(|directive| directive.name.starts_with('@')));
        // A `request_header` runs before every proxy, wherever it stands, unless `route` keeps the order.
        for directive in directives.iter().filter(|directive| directive.name == "request_header") {
            let (paths, hint) = scope.matched(directive.arg(0));
            let none = paths.is_none() && hint.is_none();
            if none || paths.is_some_and(|paths| covers(&paths, &scope.paths)) {
                scope.edits.push(directive);
            }
        }
        // It runs before what forwards.
        let redirects = directives.iter().find(|directive| {
            let matcher = directive.arg(0);
            directive.name == "redir"
                && !matcher.starts_with('@')
                && !(matcher.starts_with('/') && directive.args.len() > 1)
        });
        scope.redirects = scope.redirects.or(redirects);
        for directive in directives {
            let (paths, hint) = scope.matched(directive.arg(0));
            let inner = Scope {
                paths: paths.unwrap_or_else(|| scope.paths.clone()),
                edits: scope.edits.clone(),
                matchers: scope.matchers.clone(),
                hint: hint.or(scope.hint),
                redirects: scope.redirects,
            };
            match directive.name.as_str() {
                "handle" | "handle_path" | "route" => self.block(directive.children(), &inner),
                "reverse_proxy" => self.proxy(directive, &inner),
                "import" => self.reading.unknown.push(directive.written()),
                _ => {}
            }
        }
    }

    fn proxy(&mut self, proxy: &Directive, scope: &Scope<'_>) {
        let mut route =
            Route::new(Product::Caddy, proxy.place.clone(), &self.site.label, proxy.written().text);
        route.paths = scope.paths.clone();
        route.host.clone_from(&self.site.host);
        route.tls = self.site.tls;
        route.hint = scope.hint.map(Directive::written);
        route.redirects = scope.redirects.map(Directive::written);
        route.forwards = route.redirects.is_none();
        let trusted =
            proxy.children().iter().find(|child| child.name == "trusted_proxies").or(self.trusted);
        route.front = trusted.map(Directive::written);
        let edits: Vec<_> =
            proxy.children().iter().filter(|child| child.name == "header_up").collect();
        let about = |edit: &&&Directive| {
            let name = edit.arg(0).trim_start_matches(['+', '-']).to_ascii_lowercase();
            name == "upgrade" || name == "connection"
        };
        if route.hint.is_none() {
            route.hint = edits.iter().find(about).map(|edit| edit.written());
        }
        let upstreams: Vec<&String> = proxy
            .args
            .iter()
            .filter(|arg| !arg.starts_with(['/', '@']) && *arg != "*")
            .chain(
                proxy.children().iter().filter(|child| child.name == "to").flat_map(|to| &to.args),
            )
            .collect();
        let upstream = upstreams.first().map_or("", |upstream| upstream.as_str());
        headers::arrive(&mut route, &scope.edits, &edits, upstream, trusted.is_some());
        Self::details(&mut route, proxy, &edits, upstream, trusted);
        self.reading.routes.push(route);
    }

    fn details(
        route: &mut Route,
        proxy: &Directive,
        edits: &[&Directive],
        upstream: &str,
        trusted: Option<&Directive>,
    ) {
        let secure = upstream.starts_with("https://");
        let sets_host = edits.iter().any(|edit| edit.arg(0).eq_ignore_ascii_case("host"));
        if secure && !sets_host {
            let what = format!(
                "Caddy 2.11 and later send the name of {upstream} as Host unless header_up Host says otherwise"
            );
            let place = proxy.place.clone();
            route.odd_mild(Rule::HostRewritten, &place, what);
        }
        if upstream.starts_with("h2c://") {
            route.upstream = (Upstream::Http2, Some(proxy.written()));
        }
        if let Some(trusted) = trusted.filter(|trusted| {
            trusted.args.iter().any(|range| matches!(range.as_str(), "0.0.0.0/0" | "::/0"))
        }) {
            let what = format!(
                "{}: every client is trusted, and may say any X-Forwarded-Proto",
                trusted.written().text
            );
            route.odd(Rule::ForwardedForged, &trusted.place, what);
        }
        for child in proxy.children() {
            match child.name.as_str() {
                "stream_timeout" => route.idle.push(Idle {
                    name: "stream_timeout",
                    seconds: seconds(child.arg(0), 1.0),
                    by: Some(child.written()),
                }),
                "transport" => Self::transport(route, child),
                _ => {}
            }
        }
    }

    fn transport(route: &mut Route, transport: &Directive) {
        if transport.arg(0) != "http" {
            route.unknown.push(transport.written());
        }
        for child in transport.children() {
            match child.name.as_str() {
                "versions" if !child.args.iter().any(|version| version.starts_with("1.")) => {
                    route.upstream = (Upstream::Http2, Some(child.written()));
                }
                "read_timeout" => route.idle.push(Idle {
                    name: "read_timeout",
                    seconds: seconds(child.arg(0), 1.0),
                    by: Some(child.written()),
                }),
                _ => {}
            }
        }
    }
}

impl<'a> Scope<'a> {
    /// The paths of a matcher, and the matcher itself when only handshakes fit it. No paths: it is none, or is about others.
    fn matched(&self, matcher: &str) -> (Option<Paths>, Option<&'a Directive>) {
        if matcher == "*" {
            return (Some(self.paths.clone()), None);
        }
        if matcher.starts_with('/') {
            return (Some(path(matcher)), None);
        }
        let Some(named) = self.matchers.iter().find(|named| named.name == matcher) else {
            return (None, None);
        };
        let mut tests: Vec<Vec<&str>> = vec![named.args.iter().map(String::as_str).collect()];
        tests.extend(named.children().iter().map(|child| {
            std::iter::once(child.name.as_str())
                .chain(child.args.iter().map(String::as_str))
                .collect()
        }));
        let mut paths = None;
        let mut hint = None;
        for test in tests {
            match test.as_slice() {
                ["path", first, ..] => paths = Some(path(first)),
                ["path_regexp", .., pattern] => paths = Some(Paths::Regex((*pattern).to_owned())),
                ["header", name, ..]
                    if name.eq_ignore_ascii_case("upgrade")
                        || name.eq_ignore_ascii_case("connection") =>
                {
                    hint = Some(*named);
                }
                _ => {}
            }
        }
        (paths, hint)
    }
}

/// `/ws/*` and the like.
fn path(matcher: &str) -> Paths {
    match matcher.strip_suffix('*') {
        Some("/" | "") => Paths::All,
        Some(prefix) => Paths::Prefix(prefix.to_owned()),
        None => Paths::Exact(matcher.to_owned()),
    }
}

/// Whether everything in `inner` is in `outer`.
fn covers(outer: &Paths, inner: &Paths) -> bool {
    match (outer, inner) {
        (Paths::All, _) => true,
        (Paths::Prefix(outer), Paths::Prefix(inner) | Paths::Exact(inner)) => {
            inner.starts_with(outer.as_str())
        }
        _ => outer == inner,
    }
}

#[cfg(test)]
mod tests;
