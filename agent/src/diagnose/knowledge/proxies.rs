//! Answers that proxies give by themselves, as data: the backend never said them.

use crate::diagnose::{
    Cause::{AuthRequired, Forbidden, RouteNotFound, UpstreamUnavailable},
    Confidence::{Certain, Likely},
};
use crate::diagnose::{
    fingerprint::{
        Comparison::Unknown,
        Fingerprint,
        Says::{Proxy, Refused},
        Want::{Absent, Has, Is},
        Words::{Any, Have, NoBody},
    },
    servers::answers,
};

/// Whether `server` is a proxy that answers by itself.
pub(in crate::diagnose) fn is_proxy(server: &str) -> bool {
    ANSWERS.iter().any(|known| known.server == server)
}

/// Known answers.
pub(in crate::diagnose) const ANSWERS: &[Fingerprint] = answers! {
    "envoy" [502 503 504] Have("upstream connect error or disconnect/reset before headers")
        => Proxy(UpstreamUnavailable, Certain, "Envoy could not reach its upstream"),
        "upstream connect error or disconnect/reset before headers";
    "envoy" [503] Have("no healthy upstream")
        => Proxy(UpstreamUnavailable, Certain, "Envoy has no healthy upstream"), "no healthy upstream";
    "envoy" [504] Have("upstream request timeout")
        => Proxy(UpstreamUnavailable, Certain, "Envoy's upstream did not answer in time"),
        "upstream request timeout";
    "envoy" [403] Have("rbac: access denied")
        => Proxy(Forbidden, Certain, "Envoy's RBAC filter refused"), "RBAC: access denied";
    "envoy" [403] NoBody, headers = &[
            ("server", Has("envoy")), ("x-envoy-upstream-service-time", Absent),
        ],
        fix = Some("Envoy: upgrade_configs: [{upgrade_type: websocket}] in the connection manager")
        => Proxy(Forbidden, Likely, "Envoy refused by itself: a route without upgrade_configs"),
        "empty, from Envoy itself";
    "haproxy" [503] Have("no server is available to handle this request")
        => Proxy(UpstreamUnavailable, Certain, "HAProxy has no server for this backend"),
        "No server is available to handle this request";
    "haproxy" [502] Have("the server returned an invalid or incomplete response")
        => Proxy(UpstreamUnavailable, Certain, "HAProxy's server broke off"),
        "The server returned an invalid or incomplete response";
    "haproxy" [504] Have("the server didn't respond in time")
        => Proxy(UpstreamUnavailable, Certain, "HAProxy's server did not answer in time"),
        "The server didn't respond in time";
    "haproxy" [403] Have("request forbidden by administrative rules")
        => Proxy(Forbidden, Certain, "a rule of HAProxy refused"),
        "Request forbidden by administrative rules";
    "traefik" [503] Have("no available server")
        => Proxy(UpstreamUnavailable, Certain, "Traefik has no server for this service"),
        "no available server";
    "varnish" [503] Have("backend fetch failed")
        => Proxy(UpstreamUnavailable, Certain, "Varnish could not fetch from its backend"),
        "Backend fetch failed";
    "squid" [502 503 504] Any, headers = &[("x-squid-error", Has("err_"))]
        => Proxy(UpstreamUnavailable, Likely, "Squid could not reach its peer"), "Squid's error page";
    "kong" [502 503 504] Have("from the upstream server")
        => Proxy(UpstreamUnavailable, Likely, "Kong's upstream server failed"),
        "an invalid response was received from the upstream server";
    "kong" [404] Have("no route matched with those values")
        => Proxy(RouteNotFound, Likely, "Kong has no route for this host and path"),
        "no Route matched with those values";
    "apache" [502] Have("<title>502 proxy error</title>")
        => Proxy(UpstreamUnavailable, Certain, "Apache got no valid answer from its backend"),
        "Proxy Error";
    // The page breaks the line behind "your".
    "apache" [503] Have("temporarily unable to service your")
        => Proxy(UpstreamUnavailable, Likely, "Apache could not reach its backend"),
        "The server is temporarily unable to service your request";
    "caddy" [502 503 504] NoBody, headers = &[("server", Is("caddy"))]
        => Proxy(UpstreamUnavailable, Certain, "Caddy could not reach its upstream"),
        "empty, from Caddy itself";
    "aws-alb" [502 503 504] Any, headers = &[("server", Has("awselb"))]
        => Proxy(UpstreamUnavailable, Certain, "the load balancer got no answer from its target"),
        "the load balancer's own page";
    "nginx" [502 504] Have("<center>nginx")
        => Proxy(UpstreamUnavailable, Certain, "nginx got no answer from its upstream"),
        "nginx's own error page";
    "nginx" [503] Have("<center>nginx")
        => Proxy(UpstreamUnavailable, Likely, "nginx has no upstream to ask, or a limit is reached"),
        "nginx's own error page";
    "nginx" [401] Have("<center>nginx")
        => Proxy(AuthRequired, Certain, "nginx itself asks for credentials"),
        "nginx's own error page";
    "nginx" [403] Have("<center>nginx") => Refused(Unknown), "nginx's own error page";
    "nginx" [] Have("<center>nginx") => Refused(Unknown), "";
};
