//! ingress-nginx: what the annotations of an Ingress, and the controller's ConfigMap, make of a request.

use super::{
    data::{self, Data, Node},
    directive::{Source, SyntaxError, seconds},
    nginx,
};
use crate::lint::{
    model::{
        Arrived, Idle, Paths, Place, Product, Reading, Route, Sample, Tls, Upstream, Value, Written,
    },
    rules::Rule,
};

/// `proxy-read-timeout`, unless set.
const READ_TIMEOUT: f64 = 60.0;
const PREFIX: &str = "nginx.ingress.kubernetes.io/";
/// The annotations of another controller, F5's NGINX Ingress Controller.
const OTHER: &str = "nginx.org/";

/// The routes of Ingress objects.
pub(super) fn read(sources: &[Source]) -> Result<Reading, SyntaxError> {
    let mut objects = Vec::new();
    for source in sources {
        for document in data::parse(source)? {
            match document.get("items") {
                Some(items) if document.text_of("kind").ends_with("List") => {
                    objects.extend(items.items().to_vec());
                }
                _ => objects.push(document),
            }
        }
    }
    let is_config = |object: &&Node| {
        object.text_of("kind") == "ConfigMap"
            || object.get("kind").is_none() && object.get("data").is_some()
    };
    let config = objects.iter().find(is_config).and_then(|object| object.get("data"));
    let mut reading = Reading::default();
    for object in objects.iter().filter(|object| {
        object.text_of("kind") == "Ingress"
            || object.get("kind").is_none()
                && (object.at(&["metadata", "annotations"]).is_some()
                    || object.at(&["spec", "rules"]).is_some())
    }) {
        Ingress { object, config }.routes(&mut reading);
    }
    if let (Some(config), true) = (config, reading.routes.is_empty()) {
        let mut route = Route::new(
            Product::IngressNginx,
            config.place.clone(),
            "",
            "the controller".to_owned(),
        );
        trust(&mut route, config);
        if !route.oddities.is_empty() {
            route.hint = config.written("use-forwarded-headers");
            reading.routes.push(route);
        }
    }
    Ok(reading)
}

struct Ingress<'a> {
    object: &'a Node,
    config: Option<&'a Node>,
}

impl<'a> Ingress<'a> {
    fn annotation(&self, name: &str) -> Option<(&'a Node, Written)> {
        let annotations = self.object.at(&["metadata", "annotations"])?;
        let key = if name.contains('/') { name.to_owned() } else { format!("{PREFIX}{name}") };
        let (_, place, node) = annotations.entries().find(|(found, ..)| *found == key)?;
        Some((node, Written { place: place.clone(), text: format!("{key}: {}", first_line(node)) }))
    }

    /// The setting of the annotation, else of the ConfigMap.
    fn setting(&self, name: &str) -> Option<(String, Written)> {
        let own = self
            .annotation(name)
            .map(|(node, by)| (node.text().unwrap_or_default().to_owned(), by));
        own.or_else(|| {
            let config = self.config?;
            Some((config.text_of(name).to_owned(), config.written(name)?))
        })
    }

    fn routes(&self, reading: &mut Reading) {
        let label =
            self.object.at(&["metadata", "name"]).and_then(Node::text).unwrap_or("an Ingress");
        let mut found = false;
        for rule in self.object.at(&["spec", "rules"]).map_or(&[][..], Node::items) {
            let host = rule.get("host").and_then(Node::text).unwrap_or("*");
            for path in rule.at(&["http", "paths"]).map_or(&[][..], Node::items) {
                found = true;
                let text = path.get("path").and_then(Node::text).unwrap_or("/");
                let mut route = Route::new(
                    Product::IngressNginx,
                    path.place.clone(),
                    host,
                    format!("path {text} of {host} ({label})"),
                );
                let regex = self
                    .annotation("use-regex")
                    .is_some_and(|(node, _)| node.text() == Some("true"));
                route.paths = match (text, path.text_of("pathType")) {
                    ("/", _) => Paths::All,
                    (text, "Exact") => Paths::Exact(text.to_owned()),
                    (text, _) if regex => Paths::Regex(format!("(?i)^{text}")),
                    (text, _) => Paths::Prefix(text.to_owned()),
                };
                self.fill(&mut route, path);
                reading.routes.push(route);
            }
        }
        if !found {
            let place =
                self.object.at(&["metadata", "annotations"]).unwrap_or(self.object).place.clone();
            let mut route =
                Route::new(Product::IngressNginx, place, label, format!("the Ingress {label}"));
            self.fill(&mut route, self.object);
            reading.routes.push(route);
        }
    }

    fn fill(&self, route: &mut Route, path: &Node) {
        let secure = self.object.at(&["spec", "tls"]).is_some();
        route.tls = if secure { Tls::Ends } else { Tls::Unknown };
        "app.example.com".clone_into(&mut route.host);
        self.hint(route, path);
        if let Some(config) = self.config {
            trust(route, config);
        }
        self.headers(route);
        if let Some((text, by)) = self.setting("proxy-http-version") {
            let upstream = match text.as_str() {
                "1.0" => Upstream::Http10,
                "1.1" => Upstream::Http11,
                _ => Upstream::Unknown,
            };
            route.upstream = (upstream, Some(by));
        }
        if let Some((node, by)) = self.annotation("backend-protocol")
            && node.text().is_some_and(|text| {
                matches!(text.to_ascii_uppercase().as_str(), "GRPC" | "GRPCS" | "FCGI")
            })
        {
            let what = format!("{}: it carries no WebSocket handshake", by.text);
            route.odd(Rule::UpgradeNotPassed, &by.place, what);
        }
        let timeout = self.setting("proxy-read-timeout");
        route.idle.push(Idle {
            name: "proxy-read-timeout",
            seconds: timeout.as_ref().map_or(Some(READ_TIMEOUT), |(text, _)| seconds(text, 1.0)),
            by: timeout.map(|(_, by)| by),
        });
        if let Paths::Prefix(text) | Paths::Exact(text) = &route.paths
            && text.contains("socket.io")
            && self.annotation("affinity").is_none()
        {
            let (what, place) = (
                "Socket.IO's polling needs every request of a client at one replica: nginx.ingress.kubernetes.io/affinity is not set",
                route.place.clone(),
            );
            route.odd(Rule::NotSticky, &place, what);
        }
        let class = self.object.at(&["spec", "ingressClassName"]).and_then(Node::text);
        if let Some(class) = class.filter(|class| !class.contains("nginx")) {
            let text = format!("ingressClassName: {class} is another controller, which");
            route.unknown.push(Written { place: self.object.place.clone(), text });
        }
    }

    /// What shows that a path is WebSocket's; of F5's controller, the list of its WebSocket services.
    fn hint(&self, route: &mut Route, path: &Node) {
        let service =
            path.at(&["backend", "service", "name"]).and_then(Node::text).unwrap_or_default();
        let annotations = self.object.at(&["metadata", "annotations"]);
        let of_other =
            annotations.is_some_and(|all| all.entries().any(|(key, ..)| key.starts_with(OTHER)));
        if let Some((node, by)) = self.annotation("nginx.org/websocket-services") {
            let listed =
                node.text().unwrap_or_default().split(',').any(|name| name.trim() == service);
            if listed {
                route.hint = Some(by);
                return;
            }
        }
        if of_other {
            let place = route.place.clone();
            let what = format!(
                "the controller passes upgrades to the services in nginx.org/websocket-services only, and {service} is none of them"
            );
            route.odd(Rule::UpgradeNotPassed, &place, what);
            return;
        }
        let about = ["connection-proxy-header", "proxy-http-version", "websocket-services"];
        if let Some((_, by)) = about.iter().find_map(|name| self.annotation(name)) {
            route.hint = Some(by);
        } else if crate::lint::hints::names_websocket(service) {
            route.hint =
                path.at(&["backend", "service"]).and_then(|service| service.written("name"));
        } else if let Some((_, by)) = self.snippets().into_iter().find(|(text, _)| {
            let lower = text.to_ascii_lowercase();
            lower.contains("upgrade") || lower.contains("websocket")
        }) {
            route.hint = Some(by);
        }
    }

    fn snippets(&self) -> Vec<(String, Written)> {
        ["configuration-snippet", "server-snippet"]
            .iter()
            .filter_map(|name| self.annotation(name))
            .filter_map(|(node, by)| Some((node.text()?.to_owned(), by)))
            .collect()
    }

    /// What the controller's template sends, and what annotations make of it.
    fn headers(&self, route: &mut Route) {
        let host = route.host.clone();
        let scheme = if route.tls == Tls::Plain { "http" } else { "https" };
        let vhost = self.annotation("upstream-vhost");
        let connection = self.annotation("connection-proxy-header");
        let forwards =
            self.config.is_some_and(|config| config.text_of("use-forwarded-headers") == "true");
        let (lines, unknown) = self.snippet_lines();
        route.unknown.extend(unknown);
        for name in ["auth-snippet", "custom-headers"] {
            route.unknown.extend(self.annotation(name).map(|(_, by)| by));
        }
        if let Some(by) = self.config.and_then(|config| config.written("proxy-set-headers")) {
            route.unknown.push(by);
        }
        route.arrived = Arrived::through(&host, |sample, request| {
            let plain = sample == Sample::Plain;
            request.set(
                "connection",
                Value::Text(if plain { "close" } else { "upgrade" }.to_owned()),
                None,
            );
            if !(forwards && matches!(sample, Sample::Behind | Sample::Forged)) {
                request.set("x-forwarded-proto", Value::Text(scheme.to_owned()), None);
            }
            if let Some((node, by)) = &connection {
                request.set(
                    "connection",
                    literal(node.text().unwrap_or_default()),
                    Some(by.clone()),
                );
            }
            if let Some((node, by)) = &vhost {
                request.set("host", literal(node.text().unwrap_or_default()), Some(by.clone()));
            }
            for (name, value, by) in &lines {
                let value = match value.as_str() {
                    "$http_upgrade" => Value::Text(if plain { "" } else { "websocket" }.to_owned()),
                    "$connection_upgrade" => {
                        Value::Text(if plain { "close" } else { "upgrade" }.to_owned())
                    }
                    "$http_host" | "$best_http_host" => Value::Text(host.clone()),
                    "$host" => Value::Text(
                        host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name).to_owned(),
                    ),
                    "$scheme" | "$pass_access_scheme" => Value::Text(scheme.to_owned()),
                    "$http_origin" => {
                        Value::Text(request.text("origin").unwrap_or_default().to_owned())
                    }
                    value => literal(value),
                };
                // The template's own lines stay; a second line of the same name is sent beside them.
                match name.as_str() {
                    "connection" | "upgrade" | "host" | "x-forwarded-proto" => {
                        request.add(name, value, Some(by.clone()));
                    }
                    _ => request.set(name, value, Some(by.clone())),
                }
            }
        });
    }

    /// The `proxy_set_header` lines of the snippets, and what else in them could matter.
    fn snippet_lines(&self) -> (Vec<(String, String, Written)>, Vec<Written>) {
        let (mut lines, mut unknown) = (Vec::new(), Vec::new());
        for (name, inherited) in [("configuration-snippet", true), ("server-snippet", false)] {
            let Some((node, by)) = self.annotation(name) else { continue };
            let Some(text) = node.text() else { continue };
            // A block of lines begins behind its key; of any other text the key's line is told.
            let is_block = matches!(node.value, Data::Scalar(_, true));
            let Ok(directives) = nginx::syntax::parse(&Source::new(&by.place.file, text)) else {
                unknown.push(by);
                continue;
            };
            for directive in directives {
                let line =
                    if is_block { by.place.line + directive.place.line } else { by.place.line };
                let place = Place { line, ..directive.place.clone() };
                let written = Written { place, text: directive.written().text };
                if directive.name == "proxy_set_header" && inherited {
                    lines.push((
                        directive.arg(0).to_ascii_lowercase(),
                        directive.arg(1).to_owned(),
                        written,
                    ));
                } else if directive.name.contains("_by_lua")
                    || directive.name.starts_with("more_")
                        && directive.name.ends_with("_input_headers")
                {
                    unknown.push(written);
                }
            }
        }
        (lines, unknown)
    }
}

/// `use-forwarded-headers` without the addresses of those whose word counts.
fn trust(route: &mut Route, config: &Node) {
    if config.text_of("use-forwarded-headers") != "true" {
        return;
    }
    route.front = config.written("use-forwarded-headers");
    let range = config.text_of("proxy-real-ip-cidr");
    if matches!(range, "" | "0.0.0.0/0")
        && let Some(by) = config.written("use-forwarded-headers")
    {
        route.odd(
            Rule::ForwardedForged,
            &by.place,
            "use-forwarded-headers: \"true\" without proxy-real-ip-cidr: every client is believed",
        );
    }
}

fn literal(text: &str) -> Value {
    if text.contains('$') {
        Value::Unknown(format!("{text} cannot be followed"))
    } else {
        Value::Text(text.to_owned())
    }
}

fn first_line(node: &Node) -> &str {
    node.text().unwrap_or("...").lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
