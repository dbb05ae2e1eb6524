//! One location: the directives that hold in it, its own and the inherited ones, and what they make of a request.

use super::{
    HTTP11_BY_DEFAULT, Site,
    variables::{Scene, Variables, pattern},
};
use crate::lint::{
    model::{Arrived, Idle, Request, Route, Sample, Tls, Upstream, Value},
    read::directive::{Directive, seconds},
    rules::Rule,
};

/// `proxy_read_timeout`, unless set.
const READ_TIMEOUT: f64 = 60.0;

/// A block and those around it.
pub(super) struct Level<'a, 'p> {
    pub(super) parent: Option<&'p Level<'a, 'p>>,
    pub(super) own: &'a [Directive],
}

impl<'a, 'p> Level<'a, 'p> {
    /// This level and those around it, from the inside.
    fn outwards(&'p self) -> impl Iterator<Item = &'p Self> {
        std::iter::successors(Some(self), |level| level.parent)
    }

    /// The directive of this name that holds here: of the innermost level that has one.
    fn holding(&'p self, name: &str) -> Option<&'a Directive> {
        self.outwards().find_map(|level| level.own.iter().rev().find(|own| own.name == name))
    }

    /// The headers that are set here: a level with any of its own inherits none.
    fn headers(&'p self) -> Vec<&'a Directive> {
        self.outwards()
            .map(|level| level.own.iter().filter(|own| own.name == "proxy_set_header").collect())
            .find(|set: &Vec<_>| !set.is_empty())
            .unwrap_or_default()
    }

    /// A header that an outer level sets and that is not inherited, because an inner one sets others.
    fn lost(&'p self, header: &str) -> Option<&'a Directive> {
        if self.headers().iter().any(|set| set.arg(0).eq_ignore_ascii_case(header)) {
            return None;
        }
        self.outwards()
            .flat_map(|level| level.own.iter())
            .find(|own| own.name == "proxy_set_header" && own.arg(0).eq_ignore_ascii_case(header))
    }
}

/// Fills in what the location does.
pub(super) fn describe<'a>(
    route: &mut Route,
    level: &Level<'a, '_>,
    site: &Site<'a>,
    variables: &Variables<'a>,
    version: Option<[u32; 3]>,
) {
    let default_port = matches!(site.listens.port, "80" | "443");
    let public = if default_port { String::new() } else { format!(":{}", site.listens.port) };
    route.host = format!("{}{public}", site.name);
    route.tls = site.listens.tls;
    route.front = site
        .listens
        .proxy_protocol
        .or_else(|| level.holding("set_real_ip_from"))
        .or_else(|| level.holding("real_ip_header"))
        .map(Directive::written);
    programs(route, level);
    let sets: Vec<_> = {
        let mut levels: Vec<_> = level.outwards().collect();
        levels.reverse();
        levels.iter().flat_map(|level| level.own).filter(|own| own.name == "set").collect()
    };
    // It answers before anything is forwarded.
    let returns = level.own.iter().find(|own| own.name == "return");
    let pass = target(route, level, site, variables, &sets).filter(|_| returns.is_none());
    let Some(pass) = pass else {
        route.forwards = false;
        let redirect = returns.filter(|own| own.arg(0).starts_with('3'));
        route.redirects = redirect.map(Directive::written);
        return;
    };
    let proxy_host = pass
        .arg(0)
        .split_once("://")
        .map_or(pass.arg(0), |(_, rest)| rest)
        .split('/')
        .next()
        .unwrap_or_default();
    let headers = level.headers();
    let recent = version.is_some_and(|version| version >= HTTP11_BY_DEFAULT);
    let scheme = if route.tls == Tls::Plain { "http" } else { "https" };
    let host = route.host.clone();
    route.arrived = Arrived::through(&host, |sample, request| {
        let came = request.clone();
        let scene = Scene {
            request: &came,
            scheme,
            port: site.listens.port,
            server_name: site.name,
            proxy_host,
            trusted: sample == Sample::Behind,
            sets: &sets,
        };
        defaults(request, level, &variables.value(proxy_host, &scene), recent);
        for set in &headers {
            let value = variables.value(set.arg(1), &scene);
            request.set(set.arg(0), value, Some(set.written()));
        }
    });
    if !level.own.iter().any(|own| own.name == "proxy_set_header") {
        route.inherited = headers.iter().map(|set| set.written()).collect();
    }
    hint(route, level, &headers, proxy_host);
    route.upstream = match level.holding("proxy_http_version") {
        Some(version) => {
            let upstream = match version.arg(0) {
                "1.0" => Upstream::Http10,
                "1.1" => Upstream::Http11,
                "2" | "2.0" => Upstream::Http2,
                _ => Upstream::Unknown,
            };
            (upstream, Some(version.written()))
        }
        None if recent => (Upstream::Http11, None),
        None => (Upstream::Http10, None),
    };
    let timeout = level.holding("proxy_read_timeout");
    route.idle.push(Idle {
        name: "proxy_read_timeout",
        seconds: timeout.map_or(Some(READ_TIMEOUT), |timeout| seconds(timeout.arg(0), 1.0)),
        by: timeout.map(Directive::written),
    });
    for header in ["upgrade", "connection", "host", "origin", "x-forwarded-proto"] {
        if let (Some(lost), Some(own)) = (level.lost(header), headers.first()) {
            let what = format!(
                "{} ({}) does not hold here: {} ({}) is of an inner level, and a level with \
                 proxy_set_header of its own inherits none",
                lost.written().text,
                lost.place,
                own.written().text,
                own.place
            );
            route.lost.push((header, what));
        }
    }
    if let Some(cache) = level.holding("proxy_cache").filter(|cache| cache.arg(0) != "off") {
        route.odd(Rule::Cached, &cache.place, cache.written().text);
    }
}

/// What nginx does to a request by itself.
fn defaults(request: &mut Request, level: &Level<'_, '_>, proxy_host: &Value, recent: bool) {
    let off = level.holding("proxy_pass_request_headers").filter(|set| set.arg(0) == "off");
    if let Some(off) = off {
        let names: Vec<String> = request.names().map(str::to_owned).collect();
        for name in names {
            request.set(&name, Value::Text(String::new()), Some(off.written()));
        }
    }
    let connection = if recent { "" } else { "close" };
    request.set("upgrade", Value::Text(String::new()), None);
    request.set("connection", Value::Text(connection.to_owned()), None);
    request.set("host", proxy_host.clone(), None);
}

/// The directive by which the handshake leaves the location; none when nginx answers it by itself.
fn target<'a>(
    route: &mut Route,
    level: &Level<'a, '_>,
    site: &Site<'_>,
    variables: &Variables<'_>,
    sets: &[&Directive],
) -> Option<&'a Directive> {
    let pass = level.own.iter().find(|own| own.name == "proxy_pass");
    for condition in level.own.iter().filter(|own| own.name == "if") {
        let about_upgrade = condition.args.iter().any(|arg| arg.contains("$http_upgrade"));
        if about_upgrade && route.hint.is_none() {
            route.hint = Some(condition.written());
        }
        let inner = condition.children();
        let leaves = inner.iter().find(|own| own.name == "proxy_pass");
        let answers = inner.iter().any(|own| own.name == "return");
        if leaves.is_none() && !answers {
            continue;
        }
        let came = Sample::Handshake.request(&route.host);
        let scene = Scene {
            request: &came,
            scheme: if route.tls == Tls::Plain { "http" } else { "https" },
            port: site.listens.port,
            server_name: site.name,
            proxy_host: "",
            trusted: false,
            sets,
        };
        match holds(&condition.args, variables, &scene) {
            Some(true) => return leaves,
            Some(false) => {}
            None if leaves.is_some() || pass.is_some() => route.unknown.push(condition.written()),
            None => {}
        }
    }
    if pass.is_none() {
        let other = ["grpc_pass", "uwsgi_pass", "fastcgi_pass", "scgi_pass"];
        if let Some(other) = level.own.iter().find(|own| other.contains(&own.name.as_str())) {
            route.odd(
                Rule::UpgradeNotPassed,
                &other.place,
                format!("{}: this protocol carries no WebSocket handshake", other.written().text),
            );
            return None;
        }
    }
    pass
}

/// Whether the condition of an `if` is true; none when it cannot be told.
fn holds(args: &[String], variables: &Variables<'_>, scene: &Scene<'_>) -> Option<bool> {
    let text = args.join(" ");
    let inner = text.trim().strip_prefix('(')?.strip_suffix(')')?.trim();
    let mut words = inner.splitn(3, ' ');
    let Value::Text(left) = variables.value(words.next()?, scene) else { return None };
    let operator = words.next().unwrap_or_default();
    let right = words.next().unwrap_or_default().trim().trim_matches(['"', '\'']);
    // Patterns and values without a space before them (`($a =b)`) are not followed.
    match operator {
        "" => Some(!matches!(left.as_str(), "" | "0")),
        "=" => Some(left == right),
        "!=" => Some(left != right),
        "~" | "~*" => Some(pattern(&format!("{operator}{right}"))?.is_match(&left)),
        "!~" | "!~*" => Some(!pattern(&format!("{}{right}", operator.get(1..)?))?.is_match(&left)),
        _ => None,
    }
}

/// Notes the programs that may change a request, and files that are missing.
fn programs(route: &mut Route, level: &Level<'_, '_>) {
    const LATER: [&str; 7] =
        ["header_filter", "body_filter", "log", "init", "ssl", "balancer", "exit_worker"];
    for own in level.outwards().flat_map(|level| level.own) {
        let name = own.name.as_str();
        let program = (name.contains("_by_lua")
            && !LATER.iter().any(|late| name.starts_with(late)))
            || matches!(name, "js_content" | "js_access" | "perl" | "njs_content")
            || (name.starts_with("more_") && name.ends_with("_input_headers"));
        if program {
            route.unknown.push(own.written());
        }
    }
    // Those of the outer levels are told once for all routes.
    let missing = level.own.iter().filter(|own| own.name == "include");
    route.unknown.extend(missing.map(Directive::written));
}

/// Notes what shows that the location is meant for WebSocket.
fn hint(route: &mut Route, level: &Level<'_, '_>, headers: &[&Directive], proxy_host: &str) {
    let about = |set: &&&Directive| {
        set.arg(0).eq_ignore_ascii_case("upgrade") && !set.arg(1).is_empty()
            || set.arg(0).eq_ignore_ascii_case("connection")
                && set.arg(1).to_ascii_lowercase().contains("upgrade")
    };
    if let Some(set) = headers.iter().find(about) {
        route.hint = Some(set.written());
    } else if let Some(lost) = level.lost("upgrade").filter(|_| route.is_catch_all()) {
        route.hint = Some(lost.written());
    } else if route.hint.is_none() && crate::lint::hints::names_websocket(proxy_host) {
        route.hint = level.own.iter().find(|own| own.name == "proxy_pass").map(Directive::written);
    }
}
