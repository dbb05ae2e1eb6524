//! Kubernetes Gateway API: what an HTTPRoute makes of a request, whatever implementation runs it.

use super::{
    data::{self, Node},
    directive::{Source, SyntaxError, seconds},
};
use crate::lint::model::{
    Arrived, Idle, Paths, Product, Reading, Request, Route, Upstream, Value, Written,
};

/// The routes of HTTPRoute objects; Services beside them say what their ports speak.
pub(super) fn read(sources: &[Source]) -> Result<Reading, SyntaxError> {
    let mut objects = Vec::new();
    for source in sources {
        objects.extend(data::parse(source)?);
    }
    let services: Vec<&Node> =
        objects.iter().filter(|object| object.text_of("kind") == "Service").collect();
    let mut reading = Reading::default();
    for object in objects.iter().filter(|object| object.text_of("kind") == "HTTPRoute") {
        let name = object.at(&["metadata", "name"]).and_then(Node::text).unwrap_or("an HTTPRoute");
        let host = object
            .at(&["spec", "hostnames"])
            .and_then(|hosts| hosts.items().first())
            .and_then(Node::text)
            .unwrap_or("*");
        for rule in object.at(&["spec", "rules"]).map_or(&[][..], Node::items) {
            let matches = rule.get("matches").map_or(&[][..], Node::items);
            if matches.is_empty() {
                reading.routes.push(route(name, host, rule, None, &services));
            }
            for matched in matches {
                reading.routes.push(route(name, host, rule, Some(matched), &services));
            }
        }
    }
    for other in objects.iter().filter(|object| {
        object.text_of("apiVersion").contains("gateway")
            && matches!(
                object.text_of("kind"),
                "EnvoyFilter" | "SnippetsFilter" | "EnvoyPatchPolicy" | "EnvoyExtensionPolicy"
            )
    }) {
        reading.unknown.extend(other.written("kind"));
    }
    Ok(reading)
}

fn route(name: &str, host: &str, rule: &Node, matched: Option<&Node>, services: &[&Node]) -> Route {
    let at = matched.unwrap_or(rule);
    let path = matched.and_then(|matched| matched.get("path"));
    let text = path.map_or("/", |path| path.get("value").and_then(Node::text).unwrap_or("/"));
    let mut route = Route::new(
        Product::GatewayApi,
        at.place.clone(),
        host,
        format!("rule for {text} of {host} ({name})"),
    );
    route.paths = match (text, path.map(|path| path.text_of("type")).unwrap_or_default()) {
        ("/", "" | "PathPrefix") => Paths::All,
        (text, "Exact") => Paths::Exact(text.to_owned()),
        (text, "RegularExpression") => Paths::Regex(text.to_owned()),
        (text, _) => Paths::Prefix(text.to_owned()),
    };
    let headers = matched.and_then(|matched| matched.get("headers")).map_or(&[][..], Node::items);
    if let Some(header) =
        headers.iter().find(|header| header.text_of("name").eq_ignore_ascii_case("upgrade"))
    {
        route.hint = header.written("name");
    }
    let backends = rule.get("backendRefs").map_or(&[][..], Node::items);
    let filters = || {
        rule.get("filters").map_or(&[][..], Node::items).iter().chain(
            backends
                .first()
                .and_then(|backend| backend.get("filters"))
                .map_or(&[][..], Node::items),
        )
    };
    let sample_host = route.host.clone();
    route.arrived = Arrived::through(&sample_host, |_, request| {
        // Every implementation is a proxy of the first kind: it says itself what the client used.
        request.set("x-forwarded-proto", Value::Text("https".to_owned()), None);
        filters().for_each(|filter| edit(request, filter));
    });
    for filter in filters() {
        match filter.text_of("type") {
            "ExtensionRef" => route.unknown.extend(filter.written("type")),
            "RequestRedirect" => {
                route.forwards = false;
                route.redirects = filter.written("type");
            }
            _ => {}
        }
    }
    for backend in backends {
        protocol(&mut route, backend, services);
    }
    for key in ["request", "backendRequest"] {
        let Some(by) = rule.get("timeouts").and_then(|timeouts| timeouts.written(key)) else {
            continue;
        };
        let text = by.text.rsplit(' ').next().unwrap_or_default();
        let seconds = seconds(text, 1.0).filter(|seconds| *seconds > 0.0);
        route.idle.push(Idle { name: "timeouts", seconds, by: Some(by) });
    }
    route
}

/// `appProtocol` of the Service's port (GEP-1911).
fn protocol(route: &mut Route, backend: &Node, services: &[&Node]) {
    let named = services.iter().find(|service| {
        service.at(&["metadata", "name"]).and_then(Node::text) == Some(backend.text_of("name"))
    });
    let Some(service) = named else {
        if crate::lint::hints::names_websocket(backend.text_of("name")) && route.hint.is_none() {
            route.hint = backend.written("name");
        }
        return;
    };
    let ports = service.at(&["spec", "ports"]).map_or(&[][..], Node::items);
    let port =
        ports.iter().find(|port| port.text_of("port") == backend.text_of("port")).or(ports.first());
    let Some(by) = port.and_then(|port| port.written("appProtocol")) else { return };
    match port.map(|port| port.text_of("appProtocol")).unwrap_or_default() {
        "kubernetes.io/ws" | "kubernetes.io/wss" => route.hint = Some(by),
        "kubernetes.io/h2c" | "grpc" | "http2" => route.upstream = (Upstream::Http2, Some(by)),
        _ => {}
    }
}

fn edit(request: &mut Request, filter: &Node) {
    if let Some(rewrite) = filter.get("urlRewrite")
        && let Some(by) = rewrite.written("hostname")
    {
        request.set("host", Value::Text(rewrite.text_of("hostname").to_owned()), Some(by));
    }
    let Some(modifier) = filter.get("requestHeaderModifier") else { return };
    for key in ["set", "add"] {
        for header in modifier.get(key).map_or(&[][..], Node::items) {
            let (name, value) = (header.text_of("name"), header.text_of("value"));
            let by =
                Written { place: header.place.clone(), text: format!("{key} {name}: {value}") };
            let name = name.to_ascii_lowercase();
            let value = Value::Text(value.to_owned());
            if key == "set" {
                request.set(&name, value, Some(by));
            } else {
                request.add(&name, value, Some(by));
            }
        }
    }
    for name in modifier.get("remove").map_or(&[][..], Node::items) {
        let Some(text) = name.text() else { continue };
        let by = Written { place: name.place.clone(), text: format!("remove {text}") };
        request.set(&text.to_ascii_lowercase(), Value::Text(String::new()), Some(by));
    }
}

#[cfg(test)]
mod tests;
