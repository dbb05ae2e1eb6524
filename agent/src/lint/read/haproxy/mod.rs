//! HAProxy: what each front sends to each of its backends.

mod conditions;
mod syntax;

use self::conditions::{Scene, Term, alternatives, split};
use super::{
    Options,
    directive::{Directive, Source, SyntaxError, seconds},
};
use crate::lint::{
    hints::names_websocket,
    model::{Arrived, Idle, Paths, Product, Reading, Request, Route, Tls, Upstream, Value},
    rules::Rule,
};

/// The routes of HAProxy's files, which are read in their order as one.
pub(super) fn read(sources: &[Source], options: &Options) -> Result<Reading, SyntaxError> {
    let mut sections = Vec::new();
    for source in sources {
        sections.extend(syntax::parse(source)?);
    }
    let proxies = proxies(&sections);
    let mut reading = Reading::default();
    for section in &sections {
        let conditional = section.children().iter().filter(|line| line.name.starts_with('.'));
        reading.unknown.extend(conditional.map(Directive::written));
    }
    for front in proxies.iter().filter(|proxy| proxy.section.name != "backend") {
        front.routes(&proxies, &mut reading.routes, options);
    }
    // A file of backends alone is for a front that is elsewhere.
    let alone = proxies.iter().all(|proxy| proxy.section.name == "backend");
    for back in proxies.iter().filter(|_| alone) {
        reading.routes.extend(route(back, back, &[], None, options));
    }
    Ok(reading)
}

/// A frontend, backend or listen section, with the defaults before its own lines.
struct Proxy<'a> {
    section: &'a Directive,
    lines: Vec<&'a Directive>,
}

fn proxies(sections: &[Directive]) -> Vec<Proxy<'_>> {
    let mut proxies = Vec::new();
    let mut latest: Option<&Directive> = None;
    for section in sections {
        match section.name.as_str() {
            "defaults" => latest = Some(section),
            "frontend" | "backend" | "listen" => {
                let from = section.args.iter().position(|arg| arg == "from");
                let named = from.and_then(|at| section.args.get(at + 1)).and_then(|name| {
                    sections.iter().find(|other| other.name == "defaults" && other.arg(0) == name)
                });
                let defaults = named.or(latest).map_or(&[][..], Directive::children);
                let lines = defaults.iter().chain(section.children()).collect();
                proxies.push(Proxy { section, lines });
            }
            _ => {}
        }
    }
    proxies
}

impl<'a> Proxy<'a> {
    fn name(&self) -> &'a str {
        self.section.arg(0)
    }

    fn named<'p>(&'p self, name: &'p str) -> impl Iterator<Item = &'a Directive> + 'p {
        self.lines.iter().copied().filter(move |line| line.name == name)
    }

    /// The last `timeout NAME`.
    fn timeout(&self, name: &str) -> Option<&'a Directive> {
        self.named("timeout").filter(|line| line.arg(0) == name).last()
    }

    fn is_http(&self) -> bool {
        self.named("mode").last().is_some_and(|mode| mode.arg(0) == "http")
    }

    /// The option's line, unless a later one takes it back.
    fn option(&self, name: &str) -> Option<&'a Directive> {
        let on = self.named("option").filter(|line| line.arg(0) == name).last();
        let off = self.named("no").any(|line| line.arg(0) == "option" && line.arg(1) == name);
        on.filter(|_| !off)
    }

    fn routes(&self, proxies: &[Proxy<'a>], routes: &mut Vec<Route>, options: &Options) {
        let acls: Vec<_> = self.named("acl").collect();
        let find = |name: &str| {
            proxies.iter().find(|proxy| proxy.name() == name && proxy.section.name != "frontend")
        };
        for rule in self.named("use_backend") {
            let (words, condition) = split(rule.args.as_slice());
            let Some(back) = words.first().and_then(|name| find(name)) else { continue };
            let all = condition.map_or_else(Vec::new, |(_, words)| alternatives(words, &acls));
            if all.is_empty() {
                routes.extend(route(self, back, &[], Some(rule), options));
            }
            for terms in all {
                routes.extend(route(self, back, &terms, Some(rule), options));
            }
        }
        let default = self.named("default_backend").last();
        match default.and_then(|default| find(default.arg(0))) {
            Some(back) => {
                routes.extend(route(self, back, &[], default, options));
            }
            None if self.section.name == "listen" => {
                routes.extend(route(self, self, &[], None, options));
            }
            None => {}
        }
    }
}

/// What a front does with the handshakes that it gives to `back` when the terms hold; none when no handshake comes there.
fn route(
    front: &Proxy<'_>,
    back: &Proxy<'_>,
    terms: &[Term],
    rule: Option<&Directive>,
    options: &Options,
) -> Option<Route> {
    let place = rule.map_or(&front.section.place, |rule| &rule.place);
    let mut name = format!("{} {}", front.section.name, front.name());
    if front.name() != back.name() {
        name = format!("{name} -> {}", back.name());
    }
    let mut site = front.name().to_owned();
    let (tls, port, accept_proxy) = binds(front);
    let mut route = Route::new(Product::Haproxy, place.clone(), "", name);
    route.tls = tls;
    route.front = accept_proxy.map(Directive::written);
    let name = options.name();
    route.host = match port {
        "80" | "443" => name.to_owned(),
        port => format!("{name}:{port}"),
    };
    let acls: Vec<_> = front.named("acl").chain(back.named("acl")).collect();
    for (test, negated) in terms {
        let fetch = test.first().map_or("", String::as_str);
        let about_upgrade = fetch.to_ascii_lowercase().contains("hdr") && {
            let fetch = fetch.to_ascii_lowercase();
            fetch.contains("(upgrade)")
                || fetch.contains("(connection)")
                || fetch.contains("websocket")
        };
        if fetch.starts_with("path") && !negated {
            route.paths = paths(fetch, test);
            route.name.extend([" (", &test.join(" "), ")"]);
        } else if about_upgrade {
            if *negated {
                return None;
            }
            route.hint = rule.map(Directive::written);
        } else {
            site.extend([" ", if *negated { "!" } else { "" }, &test.join(" ")]);
        }
    }
    route.site = site;
    if route.hint.is_none() {
        route.hint = back
            .timeout("tunnel")
            .filter(|line| back.section.children().contains(line))
            .map(Directive::written);
    }
    if route.hint.is_none() && names_websocket(back.name()) {
        route.hint = Some(back.section.written());
    }
    timeouts(&mut route, front, back);
    if !front.is_http() {
        // Bytes pass as they come.
        route.tls = Tls::Unknown;
        route.arrived = Arrived::through(&route.host, |_, _| {});
        return Some(route);
    }
    headers(&mut route, front, back, &acls, port);
    for proxy in [front, back] {
        if let Some(close) = proxy.option("httpclose").or_else(|| proxy.option("forceclose")) {
            let what = format!(
                "{}: a HAProxy before 2.0 then says Connection: close on handshakes too",
                close.written().text
            );
            route.odd_mild(Rule::ConnectionNotPassed, &close.place, what);
        }
    }
    for server in back.named("server").chain(back.named("default-server")) {
        let after = |name: &str| {
            let at = server.args.iter().position(|arg| arg == name)?;
            server.args.get(at + 1).map(String::as_str)
        };
        let two = after("proto") == Some("h2") || after("alpn") == Some("h2");
        if two && after("ws") != Some("h1") {
            route.upstream = (Upstream::ExtendedConnect, Some(server.written()));
        }
    }
    Some(route)
}

/// Whether TLS ends at the front, its port, and the line that says a hop in front uses the PROXY protocol.
fn binds<'a>(front: &Proxy<'a>) -> (Tls, &'a str, Option<&'a Directive>) {
    let lines: Vec<_> = front.named("bind").collect();
    let secure = |line: &&Directive| line.args.iter().any(|arg| arg == "ssl");
    let (ends, plain) = (lines.iter().any(&secure), lines.iter().any(|line| !secure(line)));
    let tls = match (ends, plain) {
        (true, true) => Tls::Both,
        (true, false) => Tls::Ends,
        (false, true) => Tls::Plain,
        (false, false) => Tls::Unknown,
    };
    let chosen = lines.iter().find(|line| secure(line) == ends);
    let port = chosen.and_then(|line| line.arg(0).rsplit_once(':')).map_or("80", |(_, port)| port);
    let numeric = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let accept = lines.iter().find(|line| line.args.iter().any(|arg| arg == "accept-proxy"));
    (tls, if numeric { port } else { "80" }, accept.copied())
}

fn paths(fetch: &str, test: &[String]) -> Paths {
    let method = test.iter().position(|word| word == "-m").and_then(|at| test.get(at + 1));
    let kind = method
        .map_or_else(|| fetch.split_once('_').map_or("str", |(_, kind)| kind), String::as_str);
    let value = test
        .iter()
        .skip(1)
        .find(|word| !word.starts_with('-') && Some(*word) != method)
        .cloned()
        .unwrap_or_default();
    match kind {
        "str" => Paths::Exact(value),
        "beg" | "dir" => Paths::Prefix(value),
        "reg" => Paths::Regex(value),
        _ => Paths::Unknown,
    }
}

fn timeouts(route: &mut Route, front: &Proxy<'_>, back: &Proxy<'_>) {
    let mut idle = |name, line: Option<&Directive>| {
        if let Some(line) = line {
            let seconds = seconds(line.arg(1), 0.001);
            route.idle.push(Idle { name, seconds, by: Some(line.written()) });
        }
    };
    if let Some(line) = back.timeout("tunnel") {
        idle("timeout tunnel", Some(line));
    } else {
        idle("timeout client", front.timeout("client"));
        idle("timeout server", back.timeout("server"));
    }
}

/// What the `http-request` rules of both sections make of the samples.
fn headers(
    route: &mut Route,
    front: &Proxy<'_>,
    back: &Proxy<'_>,
    acls: &[&Directive],
    port: &str,
) {
    let mut rules: Vec<&Directive> = front.named("http-request").collect();
    if front.name() != back.name() {
        rules.extend(back.named("http-request"));
    }
    for rule in &rules {
        if rule.arg(0).starts_with("lua.") || rule.arg(0) == "use-service" {
            route.unknown.push(rule.written());
        }
    }
    let old = front.lines.iter().chain(&back.lines).filter(|line| {
        ["reqadd", "reqdel", "reqidel", "reqrep", "reqirep"].contains(&line.name.as_str())
    });
    route.unknown.extend(old.map(|line| line.written()));
    let (host, tls, paths) = (route.host.clone(), route.tls, route.paths.clone());
    let first = crate::lint::model::Sample::Handshake;
    let came = first.request(&host);
    let scene = Scene { sample: first, request: &came, tls, port, paths: &paths, acls };
    for rule in front.named("http-request").chain(front.named("redirect")) {
        let answers = rule.name == "redirect"
            || matches!(rule.arg(0), "redirect" | "deny" | "return" | "tarpit");
        if answers && scene.holds(split(&rule.args).1) == Some(true) {
            route.forwards = false;
            let redirects = rule.name == "redirect" || rule.arg(0) == "redirect";
            route.redirects = redirects.then(|| rule.written());
            return;
        }
    }
    route.arrived = Arrived::through(&host, |sample, request| {
        for rule in &rules {
            let (words, condition) = split(&rule.args);
            let Some(header) = words.get(1) else { continue };
            let came = request.clone();
            let scene = Scene { sample, request: &came, tls, port, paths: &paths, acls };
            let action = rule.arg(0);
            if !matches!(
                action,
                "set-header" | "add-header" | "del-header" | "replace-header" | "replace-value"
            ) {
                continue;
            }
            match scene.holds(condition) {
                Some(true) => apply(request, rule, words, &scene),
                Some(false) => {}
                None => {
                    let why = format!("whether \"{}\" is done cannot be told", rule.written().text);
                    request.set(header, Value::Unknown(why), Some(rule.written()));
                }
            }
        }
    });
}

fn apply(request: &mut Request, rule: &Directive, words: &[String], scene: &Scene<'_>) {
    let (header, text) = (rule.arg(1), words.get(2).map_or("", String::as_str));
    let by = Some(rule.written());
    let empty = || Value::Text(String::new());
    match rule.arg(0) {
        "set-header" => request.set(header, scene.format(text), by),
        "add-header" => request.add(header, scene.format(text), by),
        "del-header" if !words.iter().any(|word| word == "-m") => request.set(header, empty(), by),
        "replace-header" | "replace-value" => {
            let held = request.text(&header.to_ascii_lowercase()).map(str::to_owned);
            let pattern = regex::RegexBuilder::new(text).size_limit(1 << 20).build();
            let value = match (held, pattern, words.get(3)) {
                (Some(held), Ok(pattern), Some(with)) if !with.contains('%') => {
                    let with = with.replace('$', "$$");
                    let with = numbered(&with);
                    Value::Text(pattern.replace_all(&held, with.as_str()).into_owned())
                }
                _ => Value::Unknown(format!("{} cannot be followed", rule.written().text)),
            };
            request.set(header, value, by);
        }
        _ => request.set(
            header,
            Value::Unknown(format!("{} cannot be followed", rule.written().text)),
            by,
        ),
    }
}

/// `\1` as the library for regular expressions writes it.
fn numbered(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match chars.peek() {
            Some(digit) if c == '\\' && digit.is_ascii_digit() => {
                out.extend(["${", &digit.to_string(), "}"]);
                chars.next();
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests;
