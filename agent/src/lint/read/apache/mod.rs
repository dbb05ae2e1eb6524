//! Apache httpd: what each `ProxyPass` and each proxying `RewriteRule` sends to its backend.

mod headers;
mod syntax;

use super::{
    Disk, Options,
    directive::{Directive, Source, SyntaxError, seconds},
};
use crate::lint::{
    model::{Arrived, Idle, Paths, Product, Reading, Route, Tls, Upstream, Written},
    rules::Rule,
};

/// `Timeout`, unless set: how long mod_proxy waits.
const TIMEOUT: f64 = 60.0;

/// The routes of Apache's files, which are read in their order as one.
pub(super) fn read(
    sources: &[Source],
    disk: &dyn Disk,
    options: &Options,
) -> Result<Reading, SyntaxError> {
    let mut directives = Vec::new();
    for source in sources {
        directives.extend(syntax::load(source, disk)?);
    }
    let mut reading = Reading::default();
    let top = flat(&directives);
    unknown(&top, &mut reading);
    let main = Server {
        label: "the main server".to_owned(),
        own: top.clone(),
        outer: &[],
        tls: Tls::Unknown,
        port: "80",
        name: server_name(&top).unwrap_or(options.name()),
    };
    main.routes(&mut reading);
    for host in top.iter().filter(|directive| directive.is("VirtualHost")) {
        let own = flat(host.children());
        unknown(&own, &mut reading);
        Server::new(host, own, &top, options).routes(&mut reading);
    }
    Ok(reading)
}

/// The directives with those of the sections that hold anyway. `<IfModule>` is taken as true unless it asks for an absence:
/// a module whose directives are written is meant to be there.
fn flat(directives: &[Directive]) -> Vec<&Directive> {
    let mut all = Vec::new();
    for directive in directives {
        if directive.is("IfModule") || directive.is("IfVersion") {
            if !directive.arg(0).starts_with('!') {
                all.extend(flat(directive.children()));
            }
        } else {
            all.push(directive);
        }
    }
    all
}

/// What may hold more and was not read.
fn unknown(directives: &[&Directive], reading: &mut Reading) {
    let odd = directives.iter().filter(|directive| {
        ["Include", "IncludeOptional", "IfDefine", "Use", "LuaHookTranslateName", "LuaMapHandler"]
            .iter()
            .any(|name| directive.is(name))
    });
    reading.unknown.extend(odd.map(|directive| directive.written()));
}

/// The name of `ServerName`, without a scheme and a port.
fn server_name<'a>(own: &[&'a Directive]) -> Option<&'a str> {
    let name = own.iter().find(|directive| directive.is("ServerName"))?.arg(0);
    let name = name.split_once("://").map_or(name, |(_, rest)| rest);
    name.split(':').next()
}

struct Server<'a> {
    label: String,
    own: Vec<&'a Directive>,
    /// Those of the main server, which a virtual host inherits.
    outer: &'a [&'a Directive],
    tls: Tls,
    port: &'a str,
    /// The name that clients use.
    name: &'a str,
}

impl<'a> Server<'a> {
    fn new(
        host: &'a Directive,
        own: Vec<&'a Directive>,
        outer: &'a [&'a Directive],
        options: &'a Options,
    ) -> Self {
        let engine = own.iter().rev().find(|directive| directive.is("SSLEngine"));
        let port = host.arg(0).rsplit_once(':').map_or("80", |(_, port)| port);
        let tls = match engine {
            Some(engine) if engine.arg(0).eq_ignore_ascii_case("on") => Tls::Ends,
            // On the usual port it may be switched on elsewhere.
            None if port == "443" => Tls::Unknown,
            _ => Tls::Plain,
        };
        let name = server_name(&own);
        let label = format!("{} ({})", name.unwrap_or("virtual host"), host.place);
        let name = name.or_else(|| server_name(outer)).unwrap_or(options.name());
        Self { label, own, outer, tls, port, name }
    }

    /// The last directive of this name, of the host or else of the main server.
    fn holding(&self, name: &str) -> Option<&'a Directive> {
        let last =
            |all: &[&'a Directive]| all.iter().rev().find(|directive| directive.is(name)).copied();
        last(&self.own).or_else(|| last(self.outer))
    }

    fn routes(&self, reading: &mut Reading) {
        // mod_rewrite runs before mod_proxy looks at ProxyPass.
        let mut conditions: Vec<&Directive> = Vec::new();
        for directive in &self.own {
            if directive.is("RewriteCond") {
                conditions.push(directive);
            } else if directive.is("RewriteRule") {
                if let Some(route) = self.rewrite(directive, &conditions) {
                    reading.routes.push(route);
                }
                conditions.clear();
            }
        }
        let first = reading.routes.len();
        for directive in &self.own {
            if directive.is("ProxyPass") || directive.is("ProxyPassMatch") {
                let route = self.pass(directive, None);
                let taken = reading.routes.get(first..).unwrap_or_default();
                reading.routes.push(shadow(route, taken));
            } else if directive.is("Location") || directive.is("LocationMatch") {
                for pass in flat(directive.children()) {
                    if pass.is("ProxyPass") || pass.is("ProxyPassMatch") {
                        let route = self.pass(pass, Some(directive));
                        reading.routes.push(route);
                    }
                }
            }
        }
        let redirects = self.own.iter().filter(|directive| directive.is("Redirect"));
        reading.routes.extend(redirects.filter_map(|directive| self.redirect(directive)));
    }

    /// The route of a `Redirect`, which mod_alias answers where mod_proxy took nothing.
    fn redirect(&self, redirect: &'a Directive) -> Option<Route> {
        let from = redirect.args.iter().find(|arg| arg.starts_with('/'))?;
        let mut route = self.route(redirect, from);
        route.paths = if from == "/" { Paths::All } else { Paths::Prefix(from.clone()) };
        route.forwards = false;
        route.redirects = Some(redirect.written());
        Some(route)
    }

    /// The route of a `ProxyPass`, of the server or of a `<Location>`.
    fn pass(&self, pass: &'a Directive, location: Option<&'a Directive>) -> Route {
        let is_match =
            pass.is("ProxyPassMatch") || location.is_some_and(|outer| outer.is("LocationMatch"));
        let mut args = pass.args.iter();
        let path = match location {
            Some(location) => location.args.last().map_or("", String::as_str),
            None => args.next().map_or("", String::as_str),
        };
        let target = args.next().map_or("", String::as_str);
        let mut route = self.route(pass, target);
        route.paths = match path {
            "/" => Paths::All,
            path if is_match || location.is_some_and(|outer| outer.arg(0) == "~") => {
                Paths::Regex(path.to_owned())
            }
            path => Paths::Prefix(path.to_owned()),
        };
        route.name = format!("{} {path}", pass.name);
        if target == "!" {
            route.forwards = false;
            return route;
        }
        let parameters: Vec<(&str, &str)> = args.filter_map(|arg| arg.split_once('=')).collect();
        // Those of a balancer's members stand at the members.
        let members: Vec<&Directive> = self.members(target);
        let of_members =
            members.iter().flat_map(|member| &member.args).filter_map(|arg| arg.split_once('='));
        let parameters: Vec<(&str, &str)> = parameters.into_iter().chain(of_members).collect();
        let parameter = |name: &str| {
            parameters
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| *value)
        };
        let upgrade = parameter("upgrade");
        let is_socket = |url: &str| url.starts_with("ws://") || url.starts_with("wss://");
        let socket = is_socket(target) || members.iter().any(|member| is_socket(member.arg(0)));
        if socket || upgrade.is_some() {
            route.hint = Some(pass.written());
        }
        let passes = socket
            || upgrade.is_some_and(|value| {
                value.eq_ignore_ascii_case("websocket") || value.eq_ignore_ascii_case("any")
            });
        self.finish(&mut route, location, passes, target);
        if let Some(timeout) = parameter("timeout") {
            let seconds = seconds(timeout, 1.0);
            route.idle = vec![Idle { name: "timeout", seconds, by: Some(pass.written()) }];
        }
        route
    }

    /// The members of the balancer that a target names.
    fn members(&self, target: &str) -> Vec<&'a Directive> {
        let Some(name) = target.strip_prefix("balancer://") else { return Vec::new() };
        let name = name.split('/').next().unwrap_or_default();
        self.own
            .iter()
            .chain(self.outer)
            .filter(|block| {
                block.is("Proxy") && block.arg(0).strip_prefix("balancer://") == Some(name)
            })
            .flat_map(|block| flat(block.children()))
            .filter(|member| member.is("BalancerMember"))
            .collect()
    }

    /// The route of a `RewriteRule` that proxies, when its conditions let a handshake through.
    fn rewrite(&self, rule: &'a Directive, conditions: &[&Directive]) -> Option<Route> {
        let flags: Vec<&str> =
            rule.arg(2).trim_matches(['[', ']']).split(',').map(str::trim).collect();
        if !flags.iter().any(|flag| matches!(*flag, "P" | "proxy")) {
            return None;
        }
        let mut hint = None;
        for condition in conditions {
            let about = condition.arg(0).to_ascii_lowercase();
            if about.contains("http:upgrade") || about.contains("http:connection") {
                // `!` turns handshakes away.
                if condition.arg(1).starts_with('!') {
                    return None;
                }
                hint = Some(condition.written());
            }
        }
        let target = rule.arg(1);
        let mut route = self.route(rule, target);
        let pattern = rule.arg(0);
        route.paths = match pattern {
            ".*" | "(.*)" | "^/?(.*)" | "^/(.*)" | "^(.*)" | "/(.*)" | "^/(.*)$" | "^(.*)$"
            | "^/?(.*)$" => Paths::All,
            pattern => Paths::Regex(pattern.to_owned()),
        };
        route.name = format!("RewriteRule {pattern}");
        let socket = target.starts_with("ws://") || target.starts_with("wss://");
        if socket && hint.is_none() {
            hint = Some(rule.written());
        }
        route.hint = hint;
        self.finish(&mut route, None, socket, target);
        Some(route)
    }

    fn route(&self, directive: &Directive, target: &str) -> Route {
        let name = format!("{} {target}", directive.name);
        let mut route = Route::new(Product::Apache, directive.place.clone(), &self.label, name);
        route.tls = self.tls;
        route.host = match self.port {
            "80" | "443" | "*" => self.name.to_owned(),
            port => format!("{}:{port}", self.name),
        };
        let remote =
            self.holding("RemoteIPHeader").or_else(|| self.holding("RemoteIPProxyProtocol"));
        route.front = remote.map(Directive::written);
        route
    }

    /// What holds for a route however it is written.
    fn finish(
        &self,
        route: &mut Route,
        location: Option<&'a Directive>,
        passes: bool,
        target: &str,
    ) {
        let backend = target
            .split_once("://")
            .map_or(target, |(_, rest)| rest)
            .split('/')
            .next()
            .unwrap_or_default();
        let keeps = location
            .and_then(|location| {
                location.children().iter().rev().find(|own| own.is("ProxyPreserveHost"))
            })
            .or_else(|| self.holding("ProxyPreserveHost"));
        let edits = self.edits(route, location);
        let host = route.host.clone();
        let (scheme, tls) = (if route.tls == Tls::Plain { "http" } else { "https" }, route.tls);
        let mut unknown: Vec<Written> = Vec::new();
        route.arrived = Arrived::through(&host, |sample, request| {
            headers::apply(request, &edits, sample, scheme, tls, &mut unknown);
            headers::send(request, keeps, backend, passes, &host);
        });
        for one in unknown {
            if !route.unknown.contains(&one) {
                route.unknown.push(one);
            }
        }
        let old = self
            .holding("SetEnv")
            .filter(|set| set.arg(0) == "force-proxy-request-1.0" && !matches!(set.arg(1), "0"));
        if let Some(old) = old {
            route.upstream = (Upstream::Http10, Some(old.written()));
        }
        if target.starts_with("h2://") || target.starts_with("h2c://") {
            route.upstream = (Upstream::Http2, None);
        }
        let timeout = self.holding("ProxyTimeout").or_else(|| self.holding("Timeout"));
        route.idle.push(Idle {
            name: "Timeout",
            seconds: timeout.map_or(Some(TIMEOUT), |timeout| seconds(timeout.arg(0), 1.0)),
            by: timeout.map(Directive::written),
        });
        if let Some(cache) = self.holding("CacheEnable").filter(|cache| {
            let of = cache.args.get(1).map_or("/", String::as_str);
            matches!(&route.paths, Paths::Prefix(path) if path.starts_with(of))
                || matches!(route.paths, Paths::All) && of == "/"
        }) {
            route.odd(Rule::Cached, &cache.place, cache.written().text);
        }
    }

    /// The directives that edit request headers, in the order in which Apache runs them: `early`, the main server's, the
    /// host's, the location's.
    fn edits(&self, route: &Route, location: Option<&'a Directive>) -> Vec<headers::Edit<'a>> {
        let mut edits = Vec::new();
        for directive in self.outer.iter().chain(&self.own) {
            headers::collect(directive, &mut edits);
            let same = location.is_some_and(|location| location.place == directive.place);
            let takes = match &route.paths {
                _ if same => true,
                Paths::Prefix(path) | Paths::Exact(path) => {
                    directive.is("Location")
                        && path.starts_with(directive.args.last().map_or("", String::as_str))
                }
                _ => directive.is("Location") && directive.arg(0) == "/",
            };
            if takes {
                for inner in flat(directive.children()) {
                    headers::collect(inner, &mut edits);
                }
            }
        }
        edits
    }
}

/// Notes that an earlier `ProxyPass` takes the requests of this one: the first that fits wins.
fn shadow(mut route: Route, before: &[Route]) -> Route {
    let Paths::Prefix(path) = &route.paths else { return route };
    let earlier = before.iter().find(|earlier| {
        earlier.site == route.site
            && earlier.place.file == route.place.file
            && match &earlier.paths {
                Paths::All => true,
                Paths::Prefix(other) => path.starts_with(other.as_str()) && path != other,
                _ => false,
            }
    });
    if let Some(earlier) = earlier {
        let what = format!(
            "{} ({}) stands before it and takes its requests: the first that fits wins",
            earlier.name, earlier.place
        );
        let place = route.place.clone();
        route.odd(Rule::Shadowed, &place, what);
    }
    route
}

#[cfg(test)]
mod tests;
