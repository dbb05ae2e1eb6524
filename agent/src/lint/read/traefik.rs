//! Traefik: what each router sends, from files (YAML, TOML) and from the labels of a compose file.

use super::{
    Options,
    data::{self, Data, Node},
    directive::{Source, SyntaxError},
};
use crate::lint::{
    model::{
        Arrived, Paths, Place, Product, Reading, Request, Route, Tls, Upstream, Value, Written,
    },
    rules::Rule,
};

/// The routes of Traefik's files, which are read as one.
pub(super) fn read(sources: &[Source], options: &Options) -> Result<Reading, SyntaxError> {
    let mut roots = Vec::new();
    for source in sources {
        for document in data::parse(source)? {
            let labels = labels(&document);
            if labels.is_empty() { roots.push(document) } else { roots.extend(labels) }
        }
    }
    let all = Everything { roots: &roots, name: options.name() };
    let mut reading = Reading::default();
    let routers = all.under(&["http", "routers"]);
    for (name, place, router) in &routers {
        reading.routes.push(all.route(name, place, Some(*router)));
    }
    if routers.is_empty() {
        // A fragment: services, middlewares or entry points for routers that are elsewhere.
        let place = roots.first().map(|root| root.place.clone());
        reading.routes.extend(place.map(|place| all.route("", &place, None)));
    }
    for plugin in roots.iter().flat_map(Node::all).filter(|node| node.get("plugin").is_some()) {
        reading.unknown.extend(plugin.written("plugin"));
    }
    Ok(reading)
}

struct Everything<'a> {
    roots: &'a [Node],
    /// The name that clients use, where a rule has none.
    name: &'a str,
}

impl<'a> Everything<'a> {
    /// The entries of the mappings at the end of this way, of all files.
    fn under(&self, keys: &[&str]) -> Vec<(&'a str, &'a Place, &'a Node)> {
        self.roots.iter().filter_map(|root| root.at(keys)).flat_map(Node::entries).collect()
    }

    fn named(&self, keys: &[&str], name: &str) -> Option<&'a Node> {
        let name = name.split('@').next().unwrap_or_default();
        self.under(keys).into_iter().find(|(found, ..)| *found == name).map(|(.., node)| node)
    }

    fn route(&self, name: &str, place: &Place, router: Option<&'a Node>) -> Route {
        let rule = router.map(|router| router.text_of("rule")).unwrap_or_default();
        let shown = if rule.is_empty() {
            "the configuration".to_owned()
        } else {
            format!("router {name} ({rule})")
        };
        let mut route = Route::new(Product::Traefik, place.clone(), hosts(rule), shown);
        route.paths = paths(rule);
        let lower = rule.to_ascii_lowercase();
        if lower.contains("upgrade") && lower.contains("header") {
            route.hint = router.and_then(|router| router.written("rule"));
        }
        let name = hosts(rule).split(['`', '\'', '"']).nth(1).unwrap_or(self.name);
        route.host = format!("{name}:8443");
        if router.is_some_and(|router| router.get("tls").is_some()) {
            route.tls = Tls::Ends;
        }
        self.entry(&mut route, router);
        let middlewares = self.middlewares(&mut route, router);
        let service = router.map(|router| router.text_of("service")).unwrap_or_default();
        let service = self.named(&["http", "services"], service).or_else(|| {
            // Labels need not say which: there is one.
            let services = self.under(&["http", "services"]);
            services.first().filter(|_| services.len() == 1).map(|(.., node)| *node)
        });
        let balancer =
            service.and_then(|service| service.get("loadBalancer").or(service.get("loadbalancer")));
        let passes = balancer
            .and_then(|balancer| balancer.get("passHostHeader").or(balancer.get("passhostheader")));
        let lost = passes.filter(|passes| passes.text() == Some("false")).map(|passes| Written {
            place: passes.place.clone(),
            text: "passHostHeader: false".to_owned(),
        });
        let urls: Vec<&Node> = service.map_or_else(Vec::new, |service| {
            service
                .all()
                .into_iter()
                .filter_map(|node| node.get("url").or(node.get("scheme")))
                .collect()
        });
        let secure =
            router.is_none_or(|router| router.get("tls").is_some()) || route.tls == Tls::Ends;
        let host = route.host.clone();
        let trusts = route.front.is_some();
        route.arrived = Arrived::through(&host, |sample, request| {
            let trusted = trusts && sample == crate::lint::model::Sample::Behind;
            // It writes the scheme of WebSocket on upgrades.
            if !trusted {
                let scheme = match (sample == crate::lint::model::Sample::Plain, secure) {
                    (true, true) => "https",
                    (true, false) => "http",
                    (false, true) => "wss",
                    (false, false) => "ws",
                };
                request.set("x-forwarded-proto", Value::Text(scheme.to_owned()), None);
            }
            request.set("x-forwarded-host", Value::Text(host.clone()), None);
            for middleware in &middlewares {
                edit(request, middleware);
            }
            if let Some(by) = &lost {
                request.set(
                    "host",
                    Value::Text("<the backend's name>".to_owned()),
                    Some(by.clone()),
                );
            }
        });
        if let Some(url) =
            urls.iter().find(|url| url.text().is_some_and(|text| text.starts_with("h2c")))
        {
            let by = Written {
                place: url.place.clone(),
                text: url.text().unwrap_or_default().to_owned(),
            };
            route.upstream = (Upstream::Http2, Some(by));
        }
        if urls.len() > 1
            && route_has(&route, "socket.io")
            && balancer.is_some_and(|balancer| balancer.get("sticky").is_none())
        {
            let place = route.place.clone();
            route.odd(Rule::NotSticky, &place, "Socket.IO's polling needs every request of a client at one server, and sticky is not set");
        }
        route
    }

    /// The middlewares of a router in their order; without one, all that there are.
    fn middlewares(&self, route: &mut Route, router: Option<&'a Node>) -> Vec<&'a Node> {
        let Some(router) = router else {
            return self
                .under(&["http", "middlewares"])
                .into_iter()
                .map(|(.., node)| node)
                .collect();
        };
        let listed = router.get("middlewares");
        let names: Vec<(&str, &Node)> = match listed.map(|listed| (&listed.value, listed)) {
            Some((Data::Scalar(text, _), node)) => {
                text.split(',').map(|name| (name.trim(), node)).collect()
            }
            Some((_, node)) => {
                node.items().iter().filter_map(|item| Some((item.text()?, item))).collect()
            }
            None => Vec::new(),
        };
        let mut found = Vec::new();
        for (name, at) in names.into_iter().filter(|(name, _)| !name.is_empty()) {
            match self.named(&["http", "middlewares"], name) {
                Some(node) if node.get("chain").is_some() => {
                    let inner = node.at(&["chain", "middlewares"]).map_or(&[][..], Node::items);
                    found.extend(
                        inner
                            .iter()
                            .filter_map(|item| self.named(&["http", "middlewares"], item.text()?)),
                    );
                }
                Some(node) => {
                    let redirect =
                        ["redirectRegex", "redirectregex"].iter().find_map(|key| node.get(key));
                    if let Some(redirect) = redirect {
                        route.forwards = false;
                        let text = format!("the middleware {name} redirects");
                        route.redirects = Some(Written { place: redirect.place.clone(), text });
                    }
                    if let Some(buffering) = node.get("buffering") {
                        route.odd_mild(
                            Rule::Buffered,
                            &buffering.place,
                            format!("the middleware {name} buffers requests and answers"),
                        );
                    }
                    found.push(node);
                }
                None => route.unknown.push(Written {
                    place: at.place.clone(),
                    text: format!("the middleware {name}"),
                }),
            }
        }
        found
    }

    /// The entry points of the router: whose forwarding headers they believe, and their TLS.
    fn entry(&self, route: &mut Route, router: Option<&Node>) {
        let names: Vec<String> = router
            .and_then(|router| router.get("entryPoints").or(router.get("entrypoints")))
            .map_or_else(Vec::new, |list| match list.text() {
                Some(text) => text.split(',').map(|name| name.trim().to_owned()).collect(),
                None => {
                    list.items().iter().filter_map(|item| Some(item.text()?.to_owned())).collect()
                }
            });
        for (name, _, point) in self.under(&["entryPoints"]) {
            if !names.is_empty() && !names.iter().any(|one| one == name) {
                continue;
            }
            if point.at(&["http", "tls"]).is_some() {
                route.tls = Tls::Ends;
            }
            let Some(believes) = point.get("forwardedHeaders") else { continue };
            let all = believes
                .get("trustedIPs")
                .map_or(&[][..], Node::items)
                .iter()
                .any(|range| matches!(range.text(), Some("0.0.0.0/0" | "::/0")));
            if believes.text_of("insecure") == "true" || all {
                let by = believes.written("insecure").or_else(|| believes.written("trustedIPs"));
                if let Some(by) = by {
                    let what = format!(
                        "{} on the entry point {name}: every client's X-Forwarded-Proto is believed",
                        by.text
                    );
                    route.odd(Rule::ForwardedForged, &by.place, what);
                }
            }
            route.front = believes.written("trustedIPs");
        }
    }
}

fn route_has(route: &Route, text: &str) -> bool {
    matches!(&route.paths, Paths::Prefix(path) | Paths::Exact(path) | Paths::Regex(path) if path.contains(text))
}

/// The hosts of a rule: routers of other hosts do not compete.
fn hosts(rule: &str) -> &str {
    rule.split_once("Host(").map_or("", |(_, rest)| rest.split(')').next().unwrap_or_default())
}

/// The first path of a rule.
fn paths(rule: &str) -> Paths {
    let quoted = |name: &str| {
        let (_, rest) = rule.split_once(&format!("{name}("))?;
        rest.split(['`', '\'', '"']).nth(1).map(str::to_owned)
    };
    if let Some(path) = quoted("PathPrefix") {
        return if path == "/" { Paths::All } else { Paths::Prefix(path) };
    }
    if let Some(path) = quoted("PathRegexp") {
        return Paths::Regex(path);
    }
    quoted("Path").map_or(Paths::All, Paths::Exact)
}

fn edit(request: &mut Request, middleware: &Node) {
    let Some(headers) = middleware.get("headers") else { return };
    let custom =
        headers.get("customRequestHeaders").or_else(|| headers.get("customrequestheaders"));
    for (name, place, value) in custom.into_iter().flat_map(Node::entries) {
        let text = value.text().unwrap_or_default();
        let by = Written {
            place: place.clone(),
            text: format!("customRequestHeaders: {name}: \"{text}\""),
        };
        // It keeps a trailing Host elsewhere, and writes the others as they are.
        request.set(&name.to_ascii_lowercase(), Value::Text(text.to_owned()), Some(by));
    }
}

/// What the labels `traefik.…` of a compose file's services say, as the tree that a file would be.
fn labels(document: &Node) -> Vec<Node> {
    let mut roots = Vec::new();
    for (_, _, service) in document.get("services").into_iter().flat_map(Node::entries) {
        let mut root = Node { place: service.place.clone(), value: Data::Map(Vec::new()) };
        let own = service.get("labels").or_else(|| service.at(&["deploy", "labels"]));
        let Some(own) = own else { continue };
        let mut pairs: Vec<(String, String, Place)> = own
            .entries()
            .filter_map(|(key, place, node)| {
                Some((key.to_owned(), node.text()?.to_owned(), place.clone()))
            })
            .collect();
        pairs.extend(own.items().iter().filter_map(|item| {
            let (key, value) = item.text()?.split_once('=')?;
            Some((key.to_owned(), value.to_owned(), item.place.clone()))
        }));
        for (key, value, place) in pairs {
            if let Some(keys) = key.strip_prefix("traefik.") {
                insert(
                    &mut root,
                    &keys.split('.').take(super::directive::MAX_DEPTH).collect::<Vec<_>>(),
                    &value,
                    &place,
                );
            }
        }
        if root.entries().next().is_some() {
            roots.push(root);
        }
    }
    roots
}

fn insert(node: &mut Node, keys: &[&str], value: &str, place: &Place) {
    let Some((first, rest)) = keys.split_first() else {
        // Compose writes a dollar as two.
        node.value = Data::Scalar(value.replace("$$", "$"), false);
        return;
    };
    if !matches!(node.value, Data::Map(_)) {
        node.value = Data::Map(Vec::new());
    }
    let Data::Map(entries) = &mut node.value else { return };
    let at = entries.iter().position(|(key, ..)| key == first).unwrap_or_else(|| {
        let empty = Node { place: place.clone(), value: Data::Map(Vec::new()) };
        entries.push(((*first).to_owned(), place.clone(), empty));
        entries.len() - 1
    });
    if let Some((.., inner)) = entries.get_mut(at) {
        insert(inner, rest, value, place);
    }
}

#[cfg(test)]
mod tests;
