//! Proxies, load balancers and content networks: by what a handshake shows them, and how each passes it on.

use super::Proxy;

/// How Envoy and what is built on it says it.
const ENVOY_UPGRADE: &str =
    "upgrade_configs: [{upgrade_type: websocket}] in the HttpConnectionManager or on the route";
const NGINX_UPGRADE: &str = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\"";

pub(super) const PROXIES: &[Proxy] = proxy_rows! {
    "nginx" also ["openresty", "tengine", "angie"] marks [],
        upgrade = NGINX_UPGRADE,
        version = "proxy_http_version 1.1",
        host = "proxy_set_header Host $http_host ($host drops the port)",
        proto = "proxy_set_header X-Forwarded-Proto $scheme, where TLS ends; inner hops pass $http_x_forwarded_proto",
        origin = "remove proxy_set_header Origin ...",
        fields = "remove proxy_set_header Sec-WebSocket-...",
        prefix = "a slash after proxy_pass's address cuts the location's prefix",
        head = "large_client_header_buffers 4 32k",
        sticky = "ip_hash (or hash) in the upstream"
        => ["https://nginx.org/en/docs/http/websocket.html", "https://nginx.org/en/docs/http/ngx_http_proxy_module.html"];
    "ingress-nginx" also ["ingress-nginx-controller"] marks [[("x-scheme", ""), ("x-forwarded-scheme", "")]],
        upgrade = "it passes Upgrade; remove an annotation or snippet that sets Connection or Upgrade",
        host = "remove the annotation nginx.ingress.kubernetes.io/upstream-vhost",
        proto = "use-forwarded-headers: \"true\" in the ConfigMap, where another proxy ends TLS",
        prefix = "check the annotation nginx.ingress.kubernetes.io/rewrite-target",
        head = "large-client-header-buffers: \"4 32k\" in the ConfigMap",
        sticky = "nginx.ingress.kubernetes.io/affinity: cookie"
        => ["https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/annotations/"];
    "haproxy" also ["hapee"] marks [],
        upgrade = "remove http-request del-header Upgrade and Connection; mode http passes both",
        host = "remove http-request set-header Host ...",
        proto = "http-request set-header X-Forwarded-Proto https if { ssl_fc }",
        origin = "remove http-request del-header Origin and set-header Origin ...",
        fields = "remove http-request del-header Sec-WebSocket-...",
        prefix = "check http-request replace-path",
        head = "tune.bufsize 32768 (global)",
        sticky = "balance source, or cookie SRV insert indirect nocache",
        extended_connect = "2.4 and later translate it; h2-workaround-bogus-websocket-clients stops offering it"
        => ["https://docs.haproxy.org/2.8/configuration.html"];
    "apache" also ["apache2", "httpd"] marks [],
        upgrade = "ProxyPass \"/ws/\" \"http://127.0.0.1:8080/ws/\" upgrade=websocket (2.4.47), or mod_proxy_wstunnel with ws://",
        host = "ProxyPreserveHost On",
        proto = "RequestHeader set X-Forwarded-Proto expr=%{REQUEST_SCHEME}",
        origin = "remove RequestHeader unset Origin and set Origin",
        fields = "remove RequestHeader unset Sec-WebSocket-...",
        prefix = "both arguments of ProxyPass must end in a slash, or neither",
        head = "LimitRequestFieldSize 32768",
        sticky = "ProxySet stickysession=ROUTEID in the balancer"
        => ["https://httpd.apache.org/docs/2.4/mod/mod_proxy.html", "https://httpd.apache.org/docs/2.4/mod/mod_proxy_wstunnel.html"];
    "caddy" also [] marks [[("via", "caddy")]],
        upgrade = "reverse_proxy passes both; remove header_up -Upgrade, -Connection and header_up Connection",
        host = "header_up Host {http.request.hostport}, or remove header_up Host",
        proto = "trusted_proxies in the servers options, where another proxy ends TLS; remove header_up X-Forwarded-Proto",
        origin = "remove header_up Origin and header_up -Origin",
        fields = "remove header_up -Sec-WebSocket-...",
        prefix = "handle keeps the path, handle_path cuts it",
        sticky = "lb_policy cookie (or ip_hash)",
        extended_connect = "2.11 translates it: update; without GODEBUG=http2xconnect=1 it does not offer it"
        => ["https://caddyserver.com/docs/caddyfile/directives/reverse_proxy"];
    "traefik" also [] marks [[("x-forwarded-server", ""), ("x-real-ip", ""), ("x-forwarded-port", "")]],
        upgrade = "it passes both; remove customRequestHeaders of Connection and Upgrade",
        host = "passHostHeader: true of the service's loadBalancer",
        proto = "customRequestHeaders: X-Forwarded-Proto: https (it says wss for a WebSocket), or forwardedHeaders.trustedIPs of the entryPoint",
        origin = "remove customRequestHeaders: Origin",
        fields = "remove customRequestHeaders: Sec-WebSocket-...",
        prefix = "check the stripPrefix middleware",
        sticky = "sticky.cookie of the service's loadBalancer",
        extended_connect = "it does not offer it by itself; GODEBUG=http2xconnect=1 does, remove it"
        => ["https://doc.traefik.io/traefik/reference/routing-configuration/http/load-balancing/service/", "https://doc.traefik.io/traefik/reference/routing-configuration/http/middlewares/headers/"];
    "envoy" also ["istio-envoy", "istio-proxy", "contour", "emissary", "gloo", "envoy-gateway"]
        marks [[("x-envoy-expected-rq-timeout-ms", "")], [("x-envoy-external-address", "")], [("x-envoy-internal", "")], [("x-envoy-decorator-operation", "")], [("x-envoy-attempt-count", "")], [("x-envoy-original-path", "")], [("x-envoy-peer-metadata", "")]],
        upgrade = ENVOY_UPGRADE,
        host = "remove host_rewrite_literal and auto_host_rewrite from the route",
        proto = "use_remote_address: true and xff_num_trusted_hops: 1 where another proxy ends TLS; scheme_header_transformation fixes it",
        origin = "remove request_headers_to_remove: [origin]",
        fields = "remove sec-websocket-... from request_headers_to_remove",
        prefix = "check prefix_rewrite of the route",
        head = "max_request_headers_kb: 96 in the HttpConnectionManager",
        sticky = "lb_policy: RING_HASH with hash_policy on the route",
        extended_connect = "allow_connect: false in http2_protocol_options of the listener, or upgrade_configs: [{upgrade_type: websocket}] on the route"
        => ["https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/http/upgrades"];
    "iis-arr" also ["arr"] marks [[("x-arr-log-id", "")], [("x-arr-ssl", "")]],
        upgrade = "install IIS's WebSocket Protocol feature",
        host = "preserveHostHeader=\"true\" of system.webServer/proxy",
        proto = "a rewrite rule that sets HTTP_X_FORWARDED_PROTO"
        => ["https://learn.microsoft.com/iis/get-started/whats-new-in-iis-8/iis-80-websocket-protocol-support"];
    "varnish" also ["varnishd", "vinyl-cache", "fastly"] marks [[("x-varnish", "")], [("via", "varnish")]],
        upgrade = "vcl_recv: if (req.http.upgrade ~ \"(?i)websocket\") { return (pipe); } and vcl_pipe: set bereq.http.upgrade and bereq.http.connection",
        host = "remove set bereq.http.host and .host_header",
        proto = "set req.http.X-Forwarded-Proto where TLS ends",
        head = "-p http_req_hdr_len=32k"
        => ["https://varnish-cache.org/docs/trunk/users-guide/vcl-example-websockets.html"];
    "squid" also [] marks [[("via", "squid")]],
        upgrade = "http_upgrade_request_protocols websocket allow all (5.0 and later)",
        host = "remove forceddomain= from cache_peer",
        head = "request_header_max_size 64 KB"
        => ["http://www.squid-cache.org/Doc/config/http_upgrade_request_protocols/"];
    "lighttpd" also [] marks [[("x-host", ""), ("x-forwarded-for", "")]],
        upgrade = "proxy.header = (\"upgrade\" => \"enable\")",
        host = "remove map-host-request from proxy.header",
        proto = "it sends X-Forwarded-Proto of its own connection; end TLS at it"
        => ["https://redmine.lighttpd.net/projects/lighttpd/wiki/Docs_ModProxy"];
    "h2o" also [] marks [],
        upgrade = "proxy.websocket: ON",
        host = "proxy.preserve-host: ON",
        extended_connect = "it does not translate it; it does not offer it either: look at the hop before it"
        => ["https://h2o.examp1e.net/configure/proxy_directives.html"];
    "trafficserver" also ["ats", "traffic_server"] marks [[("via", "apachetrafficserver")]],
        upgrade = "map ws://app.example/ ws://127.0.0.1:8080/ in remap.config (wss:// with TLS)",
        host = "CONFIG proxy.config.url_remap.pristine_host_hdr INT 1",
        prefix = "remap.config needs a ws:// or wss:// rule for this host and path"
        => ["https://docs.trafficserver.apache.org/en/latest/admin-guide/files/remap.config.en.html"];
    "kong" also [] marks [[("via", "kong")]],
        upgrade = "protocols http or https of the route pass Upgrade (ws, wss in Enterprise)",
        host = "preserve_host = true of the route",
        proto = "trusted_ips = 10.0.0.5/32 where another proxy ends TLS",
        prefix = "check strip_path of the route"
        => ["https://developer.konghq.com/gateway/traffic-control/proxying/"];
    "apisix" also [] marks [],
        upgrade = "\"enable_websocket\": true of the route",
        host = "\"pass_host\": \"pass\" of the upstream"
        => ["https://apisix.apache.org/docs/apisix/admin-api/"];
    "http-proxy" also ["http-proxy-middleware", "node-http-proxy", "webpack-proxy"] marks [],
        upgrade = "ws: true, and server.on(\"upgrade\", proxy.upgrade)",
        host = "changeOrigin: false",
        proto = "xfwd: true"
        => ["https://github.com/http-party/node-http-proxy#options", "https://github.com/chimurai/http-proxy-middleware#websocket"];
    "yarp" also [] marks [],
        upgrade = "it passes Upgrade; the destination's Version must allow 1.1 for servers that speak no HTTP/2",
        host = "transform RequestHeaderOriginalHost: true",
        extended_connect = "HttpRequest.Version 1.1 for the cluster: it then translates to HTTP/1.1"
        => ["https://learn.microsoft.com/aspnet/core/fundamentals/servers/yarp/websockets"];
    "oauth2-proxy" also [] marks [],
        upgrade = "--proxy-websockets=true (the default)",
        host = "--pass-host-header=true"
        => ["https://oauth2-proxy.github.io/oauth2-proxy/configuration/overview"];
    "nghttpx" also ["nghttp2"] marks [[("via", "nghttpx")]],
        upgrade = "it passes Upgrade; backends of proto=h2 need extended CONNECT",
        host = "--no-host-rewrite"
        => ["https://nghttp2.org/documentation/nghttpx.1.html"];
    // The edges come last: what stands behind them is nearer to the server.
    "aws-alb" also ["awselb", "elb"] marks [[("x-amzn-trace-id", "")]],
        upgrade = "the target group must be HTTP1, the listener an application load balancer's",
        host = "routing.http.preserve_host_header.enabled=true",
        proto = "it sends X-Forwarded-Proto of its listener; end TLS at it",
        sticky = "stickiness.enabled=true of the target group"
        => ["https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-listeners.html"];
    "cloudfront" also ["aws-cloudfront"] marks [[("via", "cloudfront")], [("cloudfront-forwarded-proto", "")]],
        upgrade = "an origin request policy that forwards the Sec-WebSocket-* headers (AllViewer)",
        host = "the origin request policy AllViewer forwards Host",
        proto = "forward CloudFront-Forwarded-Proto in the origin request policy",
        origin = "the origin request policy must forward Origin (AllViewer)",
        fields = "the origin request policy must forward Sec-WebSocket-Protocol (AllViewer)"
        => ["https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/distribution-working-with.websockets.html"];
    "cloudflare" also ["cloudflared"] marks [[("cf-ray", "")], [("cdn-loop", "cloudflare")]],
        upgrade = "Network, WebSockets: On in the zone's settings",
        host = "remove a Host header override (Origin Rules; httpHostHeader of cloudflared)",
        proto = "SSL/TLS mode Full: with Flexible the origin is reached by http",
        sticky = "session affinity of its load balancer"
        => ["https://developers.cloudflare.com/network/websockets/"];
    "google-lb" also ["google", "gfe"] marks [[("via", "google")]],
        upgrade = "a backend service of protocol HTTP or HTTPS passes Upgrade; HTTP2 does not",
        sticky = "session affinity GENERATED_COOKIE of the backend service"
        => ["https://cloud.google.com/load-balancing/docs/https#websocket_support"];
    "azure-application-gateway" also ["appgw"] marks [[("x-appgw-trace-id", "")]],
        upgrade = "its backend HTTP settings pass Upgrade; a custom health probe must not expect 101",
        host = "turn off the host name override of the backend HTTP settings"
        => ["https://learn.microsoft.com/azure/application-gateway/application-gateway-websocket"];
    "azure-front-door" also [] marks [[("x-azure-ref", "")], [("x-azure-fdid", "")]],
        upgrade = "WebSocket support is on by default in Standard and Premium; caching must be off for the route",
        host = "leave the origin host header of the origin empty"
        => ["https://learn.microsoft.com/azure/frontdoor/standard-premium/websocket"];
    "gorouter" also ["cloud-foundry"] marks [[("x-cf-applicationid", "")], [("x-vcap-request-id", "")]],
        upgrade = "the load balancer before it must pass Upgrade; it does"
        => ["https://docs.cloudfoundry.org/adminguide/supporting-websockets.html"];
    "heroku-router" also ["vegur"] marks [[("via", "vegur")]],
        upgrade = "it passes Upgrade; it ends connections that are idle for 55 s",
        sticky = "heroku features:enable http-session-affinity"
        => ["https://devcenter.heroku.com/articles/http-routing#websockets"];
};
