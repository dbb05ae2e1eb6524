//! Envoy: what each route of each connection manager sends to its cluster.

use super::{
    Options,
    data::{self, Node},
    directive::{Source, SyntaxError, seconds},
};
use crate::lint::{
    model::{
        Arrived, Idle, Paths, Product, Reading, Request, Route, Tls, Upstream, Value, Written,
    },
    rules::Rule,
};

/// `stream_idle_timeout` of a connection manager, unless set.
const STREAM_IDLE: f64 = 300.0;

/// The routes of Envoy's files.
pub(super) fn read(sources: &[Source], options: &Options) -> Result<Reading, SyntaxError> {
    let mut documents = Vec::new();
    for source in sources {
        documents.extend(data::parse(source)?);
    }
    let mut reading = Reading::default();
    let everything: Vec<&Node> = documents.iter().flat_map(Node::all).collect();
    let clusters: Vec<&Node> = everything
        .iter()
        .filter(|node| {
            node.get("name").is_some()
                && (node.get("load_assignment").is_some()
                    || node.get("connect_timeout").is_some()
                    || node.get("lb_policy").is_some())
        })
        .copied()
        .collect();
    for node in &everything {
        if is_manager(node) {
            let manager = Manager {
                node,
                clusters: &clusters,
                tls: listener_tls(&everything, node),
                name: options.name(),
            };
            manager.routes(node.get("route_config"), &mut reading);
            if let (None, Some(discovered)) =
                (node.get("route_config"), node.get("rds").or(node.get("scoped_routes")))
            {
                let text = "routes that Envoy gets from elsewhere (rds)".to_owned();
                reading.unknown.push(Written { place: discovered.place.clone(), text });
            }
        }
    }
    for lua in everything.iter().filter(|node| is_program(node.text_of("@type"))) {
        let text = lua.text_of("@type").rsplit('.').next().unwrap_or_default().to_owned();
        reading
            .unknown
            .push(Written { place: lua.place.clone(), text: format!("the filter {text}") });
    }
    Ok(reading)
}

/// A mapping that configures an HttpConnectionManager.
fn is_manager(node: &Node) -> bool {
    node.text_of("@type").ends_with("HttpConnectionManager")
        || node.get("@type").is_none()
            && [
                "upgrade_configs",
                "http_filters",
                "route_config",
                "stat_prefix",
                "use_remote_address",
                "strip_any_host_port",
            ]
            .iter()
            .any(|key| node.get(key).is_some())
            && node.get("match").is_none()
            && node.get("cluster").is_none()
            && node.get("filter_chains").is_none()
}

fn is_program(kind: &str) -> bool {
    [".Lua", ".Wasm", ".ExternalProcessor", "golang.v3alpha.Config"]
        .iter()
        .any(|end| kind.ends_with(end))
}

/// Whether TLS ends at the listener that holds the manager.
fn listener_tls(everything: &[&Node], manager: &Node) -> Tls {
    let holds = |node: &&&Node| node.all().iter().any(|inner| std::ptr::eq(*inner, manager));
    let chain = everything.iter().filter(|node| node.get("filters").is_some()).find(holds);
    match chain {
        Some(chain) if chain.get("transport_socket").is_some() => Tls::Ends,
        Some(_) => Tls::Plain,
        None => Tls::Unknown,
    }
}

struct Manager<'a> {
    node: &'a Node,
    clusters: &'a [&'a Node],
    tls: Tls,
    /// The name that clients use.
    name: &'a str,
}

impl<'a> Manager<'a> {
    fn routes(&self, config: Option<&'a Node>, reading: &mut Reading) {
        let hosts =
            config.and_then(|config| config.get("virtual_hosts")).map_or(&[][..], Node::items);
        for host in hosts {
            for route in host.get("routes").map_or(&[][..], Node::items) {
                reading.routes.push(self.route(config, host, route));
            }
        }
        if hosts.is_empty() {
            // A fragment: the manager's own settings, for whatever routes it has.
            let mut route = Route::new(
                Product::Envoy,
                self.node.place.clone(),
                "",
                "the connection manager".to_owned(),
            );
            self.fill(&mut route, &[self.node], self.node);
            reading.routes.push(route);
        }
    }

    fn route(&self, config: Option<&'a Node>, host: &'a Node, node: &'a Node) -> Route {
        let domain = host
            .get("domains")
            .and_then(|all| all.items().first())
            .and_then(Node::text)
            .unwrap_or("*");
        let matched = node.get("match");
        let paths = matched.map_or(Paths::All, paths);
        let shown = match &paths {
            Paths::Exact(path) | Paths::Prefix(path) | Paths::Final(path) | Paths::Regex(path) => {
                path.clone()
            }
            Paths::All => "/".to_owned(),
            Paths::Unknown => "?".to_owned(),
        };
        let site = format!("{} {domain} {}", self.node.place, conditions(matched));
        let mut route = Route::new(
            Product::Envoy,
            node.place.clone(),
            &site,
            format!("route {shown} of {domain}"),
        );
        route.paths = paths;
        let levels: Vec<&Node> = [Some(node), Some(host), config].into_iter().flatten().collect();
        if let Some(action) = node.get("route") {
            self.fill_action(&mut route, &levels, action);
        } else {
            route.forwards = false;
            let place = |redirect: &Node| redirect.place.clone();
            route.redirects = node
                .get("redirect")
                .map(|redirect| Written { place: place(redirect), text: "redirect".to_owned() });
        }
        let by_header =
            matched.and_then(|matched| matched.get("headers")).map_or(&[][..], Node::items);
        if let Some(header) =
            by_header.iter().find(|header| header.text_of("name").eq_ignore_ascii_case("upgrade"))
        {
            route.hint = header.written("name");
        }
        route
    }

    fn fill_action(&self, route: &mut Route, levels: &[&Node], action: &Node) {
        self.fill(route, levels, action);
        let cluster = action.text_of("cluster");
        match self.clusters.iter().find(|one| one.text_of("name") == cluster) {
            Some(cluster) => Self::cluster(route, cluster),
            None => route.upstream.0 = Upstream::Unknown,
        }
    }

    /// What the manager and the levels from the route outwards do.
    fn fill(&self, route: &mut Route, levels: &[&Node], action: &Node) {
        route.tls = self.tls;
        route.host = format!("{}:8443", self.name);
        self.upgrade(route, action);
        let trusts = self.node.text_of("use_remote_address") != "true";
        let scheme = if self.tls == Tls::Plain { "http" } else { "https" };
        let host = route.host.clone();
        let manager = self.node;
        let hops = self.node.text_of("xff_num_trusted_hops").parse().unwrap_or(0_u32);
        route.arrived = Arrived::through(&host, |_, request| {
            if strips_port(manager) {
                let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name).to_owned();
                let by = manager
                    .written("strip_any_host_port")
                    .or(manager.written("strip_matching_host_port"));
                request.set("host", Value::Text(name), by);
            }
            // A trusted peer's word stays; Envoy adds its own where there is none.
            if request.text("x-forwarded-proto") == Some("") || !(trusts || hops > 0) {
                request.set("x-forwarded-proto", Value::Text(scheme.to_owned()), None);
            }
            rewrite_host(request, action);
            for level in levels {
                edit(request, level);
            }
        });
        route.front = self.node.written("xff_num_trusted_hops");
        let idle =
            action.written("idle_timeout").or_else(|| self.node.written("stream_idle_timeout"));
        let text =
            idle.as_ref().map(|by| by.text.rsplit(' ').next().unwrap_or_default().to_owned());
        route.idle.push(Idle {
            name: "stream_idle_timeout",
            seconds: text
                .map_or(Some(STREAM_IDLE), |text| seconds(&text, 1.0))
                .filter(|seconds| *seconds > 0.0),
            by: idle,
        });
        for filter in self.node.get("http_filters").map_or(&[][..], Node::items) {
            let config = websocket(action).or_else(|| websocket(self.node));
            let own = config.is_some_and(|config| config.get("filters").is_some());
            if filter.text_of("name").ends_with("buffer") && !own {
                route.odd(
                    Rule::Buffered,
                    &filter.place,
                    "the buffer filter waits for the end of the request",
                );
            }
        }
    }

    fn upgrade(&self, route: &mut Route, action: &Node) {
        match websocket(action).or_else(|| websocket(self.node)) {
            Some(config) if config.text_of("enabled") == "false" => {
                let what = "upgrade_configs: enabled: false: Envoy answers 403 by itself";
                route.odd(Rule::UpgradeRefused, &config.place, what);
            }
            Some(config) => route.hint = config.written("upgrade_type"),
            None => {
                let place = route.place.clone();
                let what =
                    "no upgrade_configs for websocket hold here: Envoy answers 403 by itself";
                route.odd(Rule::UpgradeRefused, &place, what);
            }
        }
    }

    fn cluster(route: &mut Route, cluster: &Node) {
        let options = cluster.all().into_iter().find_map(|node| node.get("http2_protocol_options"));
        if let Some(options) = options {
            let connect = options.text_of("allow_connect") == "true";
            let by =
                Written { place: options.place.clone(), text: "http2_protocol_options".to_owned() };
            route.upstream =
                (if connect { Upstream::ExtendedConnect } else { Upstream::Http2 }, Some(by));
        }
    }
}

/// The `upgrade_configs` entry for WebSocket of a route or of a manager.
fn websocket(node: &Node) -> Option<&Node> {
    let configs = node.get("upgrade_configs")?.items();
    configs.iter().find(|config| config.text_of("upgrade_type").eq_ignore_ascii_case("websocket"))
}

fn strips_port(manager: &Node) -> bool {
    manager.text_of("strip_any_host_port") == "true"
        || manager.text_of("strip_matching_host_port") == "true"
}

fn paths(matched: &Node) -> Paths {
    let text = |key: &str| matched.get(key).and_then(Node::text).map(str::to_owned);
    if let Some(prefix) = text("prefix").or_else(|| text("path_separated_prefix")) {
        return if prefix == "/" { Paths::All } else { Paths::Prefix(prefix) };
    }
    if let Some(path) = text("path") {
        return Paths::Exact(path);
    }
    match matched.at(&["safe_regex", "regex"]).and_then(Node::text) {
        Some(regex) => Paths::Regex(format!("^(?:{regex})$")),
        None => Paths::Unknown,
    }
}

/// Other conditions of a match: routes with different ones do not compete for a path.
fn conditions(matched: Option<&Node>) -> String {
    let keys = matched.map(|matched| {
        matched
            .entries()
            .filter(|(key, ..)| {
                !matches!(*key, "prefix" | "path" | "safe_regex" | "path_separated_prefix")
            })
            .map(|(key, place, _)| format!("{key}@{}", place.line))
            .collect::<Vec<_>>()
            .join(" ")
    });
    keys.unwrap_or_default()
}

fn rewrite_host(request: &mut Request, action: &Node) {
    if let Some(literal) = action.get("host_rewrite_literal").and_then(Node::text) {
        request.set(
            "host",
            Value::Text(literal.to_owned()),
            action.written("host_rewrite_literal"),
        );
    }
    if action.text_of("auto_host_rewrite") == "true" {
        request.set(
            "host",
            Value::Text("<the backend's name>".to_owned()),
            action.written("auto_host_rewrite"),
        );
    }
    for key in ["host_rewrite_header", "host_rewrite_path_regex"] {
        if let Some(by) = action.written(key) {
            request.set("host", Value::Unknown(by.text.clone()), Some(by));
        }
    }
}

/// `request_headers_to_add` and `request_headers_to_remove` of one level.
fn edit(request: &mut Request, level: &Node) {
    for name in level.get("request_headers_to_remove").map_or(&[][..], Node::items) {
        let Some(text) = name.text() else { continue };
        let by = Written {
            place: name.place.clone(),
            text: format!("request_headers_to_remove: {text}"),
        };
        request.set(&text.to_ascii_lowercase(), Value::Text(String::new()), Some(by));
    }
    for one in level.get("request_headers_to_add").map_or(&[][..], Node::items) {
        let Some(header) = one.get("header") else { continue };
        let key = header.text_of("key").to_ascii_lowercase();
        let value = header.text_of("value");
        let by = Written {
            place: header.place.clone(),
            text: format!("request_headers_to_add: {key}: {value}"),
        };
        let value = if value.contains('%') {
            Value::Unknown(format!("{value} cannot be followed"))
        } else {
            Value::Text(value.to_owned())
        };
        let action = one.text_of("append_action");
        let appends = match action {
            "" => {
                one.text_of("append") != "false"
                    && one.at(&["append", "value"]).and_then(Node::text) != Some("false")
            }
            action => action == "APPEND_IF_EXISTS_OR_ADD",
        };
        match action {
            "ADD_IF_ABSENT" if request.text(&key) != Some("") => {}
            _ if appends => request.add(&key, value, Some(by)),
            _ => request.set(&key, value, Some(by)),
        }
    }
}

#[cfg(test)]
mod tests;
