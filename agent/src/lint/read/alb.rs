//! AWS ALB: the JSON of `aws elbv2 describe-load-balancer-attributes`, `describe-target-group-attributes` and
//! `describe-target-groups`.

use super::{
    data::{self, Node},
    directive::{Source, SyntaxError},
};
use crate::lint::{
    model::{Arrived, Idle, Product, Reading, Route, Value, Written},
    rules::Rule,
};

/// What the balancer does, as far as the files tell: one route.
pub(super) fn read(sources: &[Source]) -> Result<Reading, SyntaxError> {
    let mut documents = Vec::new();
    for source in sources {
        documents.extend(data::parse(source)?);
    }
    let mut reading = Reading::default();
    for document in &documents {
        if let Some(attributes) = document.get("Attributes") {
            let is_group = attribute(attributes, "stickiness.enabled").is_some()
                || attribute(attributes, "deregistration_delay.timeout_seconds").is_some();
            reading.routes.push(if is_group { group(attributes) } else { balancer(attributes) });
        }
        for node in document.get("TargetGroups").map_or(&[][..], Node::items) {
            reading.routes.push(version(node));
        }
    }
    Ok(reading)
}

/// The entry of an attribute: its value, and how it stands there.
fn attribute<'a>(attributes: &'a Node, key: &str) -> Option<(&'a str, Written)> {
    let entry = attributes.items().iter().find(|entry| entry.text_of("Key") == key)?;
    let value = entry.text_of("Value");
    let place = entry.get("Value").map_or(&entry.place, |value| &value.place).clone();
    Some((value, Written { place, text: format!("{key}: {value}") }))
}

fn new(node: &Node, name: &str) -> Route {
    let mut route = Route::new(Product::Alb, node.place.clone(), name, name.to_owned());
    // It forwards whatever comes; there are no paths in these files.
    route.hint = Some(Written { place: node.place.clone(), text: "the whole balancer".to_owned() });
    let host = route.host.clone();
    route.arrived = Arrived::through(&host, |_, request| {
        request.set("x-forwarded-proto", Value::Text("https".to_owned()), None);
    });
    route
}

fn balancer(attributes: &Node) -> Route {
    let mut route = new(attributes, "the load balancer");
    if let Some((value, by)) = attribute(attributes, "routing.http.preserve_host_header.enabled")
        && value == "false"
    {
        let what = format!(
            "{}: Host gets or loses its port where the listener's is not 80 or 443",
            by.text
        );
        route.odd_mild(Rule::HostPort, &by.place, what);
    }
    if let Some((value, by)) = attribute(attributes, "routing.http.xff_header_processing.mode")
        && value == "preserve"
    {
        let what =
            format!("{}: the client's own X-Forwarded-For reaches the backend as it came", by.text);
        route.odd(Rule::ForwardedForged, &by.place, what);
    }
    if let Some((value, by)) = attribute(attributes, "idle_timeout.timeout_seconds") {
        route.idle.push(Idle {
            name: "idle_timeout.timeout_seconds",
            seconds: value.parse().ok(),
            by: Some(by),
        });
    }
    route
}

fn group(attributes: &Node) -> Route {
    let mut route = new(attributes, "the target group");
    if let Some(("false", by)) = attribute(attributes, "stickiness.enabled") {
        let what = format!(
            "{}: Socket.IO's and SockJS's polling needs every request of a client at one target",
            by.text
        );
        route.odd(Rule::NotSticky, &by.place, what);
    }
    route
}

fn version(node: &Node) -> Route {
    let name = node.get("TargetGroupName").and_then(Node::text).unwrap_or("a target group");
    let mut route = new(node, &format!("target group {name}"));
    if let Some(by) = node
        .written("ProtocolVersion")
        .filter(|_| matches!(node.text_of("ProtocolVersion"), "HTTP2" | "GRPC"))
    {
        let what = format!("{}: the balancer passes upgrades to targets of HTTP1 only", by.text);
        route.odd(Rule::UpgradeNotPassed, &by.place, what);
    }
    route
}

#[cfg(test)]
mod tests;
