//! The fix in a few words, for the product; the page of the code has the whole of it.

use super::Rule;
use crate::lint::model::Product::{
    self, Alb, Apache, Caddy, Envoy, GatewayApi, Haproxy, IngressNginx, Nginx, Traefik,
};

/// What to do about a finding of `rule` in a configuration for `product`.
pub(super) fn fix(rule: Rule, product: Product) -> Option<&'static str> {
    Some(match (rule, product) {
        (Rule::UpgradeNotPassed, Nginx) => {
            "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; \
             in the same block as its other proxy_set_header lines"
        }
        (Rule::UpgradeMangled, Nginx) => "proxy_set_header Upgrade $http_upgrade;",
        (Rule::ConnectionNotPassed | Rule::UpgradeHardWired, Nginx) => {
            "proxy_set_header Connection $connection_upgrade; with map $http_upgrade $connection_upgrade \
             { default upgrade; '' ''; }"
        }
        (Rule::Http10 | Rule::Http2Backend, Nginx) => "proxy_http_version 1.1;",
        (Rule::OriginRemoved | Rule::OriginRewritten, Nginx) => {
            "remove proxy_set_header Origin, and put the page's origin into the server's allow-list"
        }
        (Rule::HostRewritten | Rule::HostPort, Nginx) => "proxy_set_header Host $http_host;",
        (Rule::ForwardedMissing, Nginx) => "proxy_set_header X-Forwarded-Proto $scheme;",
        (Rule::ForwardedWrong, Nginx) => {
            "where TLS ends: proxy_set_header X-Forwarded-Proto $scheme; behind that hop: pass its word on, \
             from its address only (geo $realip_remote_addr, map)"
        }
        (Rule::ForwardedForged, Nginx) => "proxy_set_header X-Forwarded-Proto $scheme;",
        (Rule::Idle, Nginx) => "proxy_read_timeout 1h; or a ping every 20 to 30 s",
        (Rule::Cached, Nginx) => "proxy_cache off; for this path",

        (Rule::UpgradeNotPassed | Rule::ConnectionNotPassed | Rule::UpgradeMangled, Haproxy) => {
            "remove the http-request rule and option httpclose: HAProxy passes upgrades by itself"
        }
        (Rule::OriginRemoved | Rule::OriginRewritten, Haproxy) => {
            "remove the http-request rule about Origin, and put the page's origin into the server's allow-list"
        }
        (Rule::HostRewritten | Rule::HostPort, Haproxy) => {
            "remove the http-request rule about Host: HAProxy keeps it"
        }
        (Rule::ForwardedMissing | Rule::ForwardedWrong | Rule::ForwardedForged, Haproxy) => {
            "http-request set-header X-Forwarded-Proto https if { ssl_fc }, and http if !{ ssl_fc }"
        }
        (Rule::Idle, Haproxy) => "timeout tunnel 1h",
        (Rule::Http2Backend, Haproxy) => "remove proto h2 and alpn h2 from the server line",

        (Rule::UpgradeNotPassed, Apache) => {
            "ProxyPass \"/ws/\" \"http://backend/ws/\" upgrade=websocket (2.4.47 or later), before the ProxyPass of /"
        }
        (Rule::ConnectionNotPassed | Rule::UpgradeMangled, Apache) => {
            "remove RequestHeader for Upgrade and Connection: mod_proxy_http sends both with upgrade=websocket"
        }
        (Rule::Http10, Apache) => "remove SetEnv force-proxy-request-1.0",
        (Rule::OriginRemoved | Rule::OriginRewritten, Apache) => {
            "remove RequestHeader for Origin, and put the page's origin into the server's allow-list"
        }
        (Rule::HostRewritten | Rule::HostPort, Apache) => "ProxyPreserveHost On",
        (Rule::ForwardedMissing | Rule::ForwardedWrong | Rule::ForwardedForged, Apache) => {
            "RequestHeader set X-Forwarded-Proto expr=%{REQUEST_SCHEME}"
        }
        (Rule::Idle, Apache) => "timeout=3600 on the ProxyPass line, or ProxyTimeout 3600",
        (Rule::Shadowed, Apache) => "put the ProxyPass of the longer path first",

        (Rule::UpgradeNotPassed | Rule::ConnectionNotPassed | Rule::UpgradeMangled, Caddy) => {
            "remove header_up for Upgrade and Connection: reverse_proxy passes upgrades by itself"
        }
        (Rule::OriginRemoved | Rule::OriginRewritten, Caddy) => {
            "remove header_up for Origin, and put the page's origin into the server's allow-list"
        }
        (Rule::HostRewritten | Rule::HostPort, Caddy) => "header_up Host {http.request.hostport}",
        (Rule::ForwardedMissing | Rule::ForwardedWrong, Caddy) => {
            "remove header_up for X-Forwarded-Proto: reverse_proxy sends it"
        }
        (Rule::ForwardedForged, Caddy) => {
            "trusted_proxies static ADDRESS/PREFIX of the hop in front only"
        }
        (Rule::Idle, Caddy) => "remove stream_timeout, or make it longer than the sessions",
        (Rule::Http2Backend, Caddy) => "transport http { versions 1.1 }",

        (Rule::OriginRemoved | Rule::OriginRewritten | Rule::HostPort, Traefik) => {
            "remove the key from customRequestHeaders"
        }
        (Rule::UpgradeNotPassed | Rule::ConnectionNotPassed | Rule::UpgradeMangled, Traefik) => {
            "remove Upgrade and Connection from customRequestHeaders: Traefik passes upgrades by itself"
        }
        (Rule::HostRewritten, Traefik) => "passHostHeader: true",
        (Rule::ForwardedMissing | Rule::ForwardedWrong, Traefik) => {
            "a headers middleware with customRequestHeaders: {X-Forwarded-Proto: https} on the router"
        }
        (Rule::ForwardedForged, Traefik) => {
            "forwardedHeaders.trustedIPs with the addresses of the hop in front"
        }
        (Rule::Http2Backend, Traefik) => "a server URL of http:// in place of h2c://",
        (Rule::NotSticky, Traefik) => "loadBalancer.sticky.cookie: {}",

        (Rule::UpgradeRefused, Envoy) => {
            "upgrade_configs: [{upgrade_type: websocket}] in the connection manager"
        }
        (Rule::Http2Backend, Envoy) => {
            "a cluster of HTTP/1.1, or allow_connect: true in its http2_protocol_options if the backend offers it"
        }
        (Rule::OriginRemoved | Rule::OriginRewritten, Envoy) => {
            "remove origin from request_headers_to_add and request_headers_to_remove"
        }
        (Rule::UpgradeNotPassed | Rule::ConnectionNotPassed | Rule::UpgradeMangled, Envoy) => {
            "remove upgrade and connection from request_headers_to_add and request_headers_to_remove"
        }
        (Rule::HostRewritten | Rule::HostPort, Envoy) => {
            "remove host_rewrite_*, auto_host_rewrite and strip_*_host_port"
        }
        (Rule::ForwardedForged | Rule::ForwardedWrong | Rule::ForwardedMissing, Envoy) => {
            "use_remote_address: true"
        }
        (Rule::Idle, Envoy) => "idle_timeout: 3600s in the route",
        (Rule::Buffered, Envoy) => {
            "upgrade_configs with filters of its own, without the buffer filter"
        }

        (
            Rule::UpgradeNotPassed | Rule::ConnectionNotPassed | Rule::UpgradeMangled,
            IngressNginx,
        ) => "remove connection-proxy-header and the snippet's lines about Upgrade and Connection",
        (Rule::Http10, IngressNginx) => "remove nginx.ingress.kubernetes.io/proxy-http-version",
        (Rule::Http2Backend, IngressNginx) => {
            "nginx.ingress.kubernetes.io/backend-protocol: \"HTTP\""
        }
        (Rule::OriginRemoved | Rule::OriginRewritten, IngressNginx) => {
            "remove the snippet's line about Origin"
        }
        (Rule::HostRewritten, IngressNginx) => "remove nginx.ingress.kubernetes.io/upstream-vhost",
        (Rule::ForwardedForged, IngressNginx) => {
            "proxy-real-ip-cidr: the balancer's addresses, in the ConfigMap"
        }
        (Rule::Idle, IngressNginx) => {
            "nginx.ingress.kubernetes.io/proxy-read-timeout: \"3600\" and proxy-send-timeout: \"3600\""
        }
        (Rule::NotSticky, IngressNginx) => "nginx.ingress.kubernetes.io/affinity: cookie",

        (Rule::HostRewritten, GatewayApi) => "remove hostname from the URLRewrite filter",
        (Rule::OriginRemoved | Rule::OriginRewritten, GatewayApi) => {
            "remove Origin from the RequestHeaderModifier filter"
        }
        (Rule::UpgradeNotPassed | Rule::ConnectionNotPassed | Rule::UpgradeMangled, GatewayApi) => {
            "remove Upgrade and Connection from the RequestHeaderModifier filter"
        }
        (Rule::Http2Backend, GatewayApi) => "appProtocol: kubernetes.io/ws on the Service's port",
        (Rule::Idle, GatewayApi) => "timeouts: {request: 0s, backendRequest: 0s} on this rule",

        (Rule::UpgradeNotPassed | Rule::Http2Backend, Alb) => {
            "a new target group with --protocol-version HTTP1, and the rule pointed at it"
        }
        (Rule::HostPort, Alb) => "routing.http.preserve_host_header.enabled=true",
        (Rule::Idle, Alb) => "idle_timeout.timeout_seconds=3600, or a ping every 20 to 30 s",
        (Rule::ForwardedForged, Alb) => "routing.http.xff_header_processing.mode=append",
        (Rule::NotSticky, Alb) => "stickiness.enabled=true",

        (Rule::Redirected, _) => {
            "forward the path, and let clients connect to where the redirect points"
        }
        (Rule::NoPath, _) => "name the path that carries WebSocket: --path /ws",
        _ => return None,
    })
}
