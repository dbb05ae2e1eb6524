//! Servers in Go, and products that are built on them.

use super::Product;

pub(super) const PRODUCTS: &[Product] = product_rows! {
    "gorilla/websocket" also ["gorilla", "melody"],
        origin = "Upgrader{CheckOrigin: func(r *http.Request) bool { return r.Header.Get(\"Origin\") == \"https://app.example\" }}",
        host = "a CheckOrigin that compares with the public name in place of Host",
        subprotocol = "Upgrader{Subprotocols: []string{\"chat\"}}"
        => ["https://pkg.go.dev/github.com/gorilla/websocket#hdr-Origin_Considerations"];
    "coder/websocket" also ["nhooyr", "nhooyr/websocket", "coder"],
        origin = "websocket.AcceptOptions{OriginPatterns: []string{\"app.example\"}}",
        host = "websocket.AcceptOptions{OriginPatterns: []string{\"app.example\"}}: then Host does not matter",
        subprotocol = "websocket.AcceptOptions{Subprotocols: []string{\"chat\"}}"
        => ["https://pkg.go.dev/github.com/coder/websocket#AcceptOptions"];
    "gobwas/ws" also ["gobwas"],
        origin = "it does not check: ws.Upgrader{OnHeader: ...} sees Origin and returns ws.RejectConnectionError",
        subprotocol = "ws.Upgrader{Protocol: func(p []byte) bool { return string(p) == \"chat\" }}"
        => ["https://pkg.go.dev/github.com/gobwas/ws#Upgrader"];
    "golang.org/x/net/websocket" also ["x/net/websocket", "x/net"],
        origin = "websocket.Server{Handshake: func(c *websocket.Config, r *http.Request) error { ... c.Origin ... }}"
        => ["https://pkg.go.dev/golang.org/x/net/websocket#Server"];
    "centrifugo" also [],
        origin = "client.allowed_origins: [\"https://app.example\"] (v6; CENTRIFUGO_CLIENT_ALLOWED_ORIGINS), allowed_origins before",
        host = "client.allowed_origins: [\"https://app.example\"]: then Host does not matter"
        => ["https://centrifugal.dev/docs/server/configuration"];
    "grafana" also ["grafana-server"],
        origin = "[live] allowed_origins = https://app.example in grafana.ini (GF_LIVE_ALLOWED_ORIGINS)",
        host = "[server] root_url = https://app.example/ in grafana.ini; Origin is compared with it"
        => [
            "https://grafana.com/docs/grafana/latest/setup-grafana/configure-grafana/#allowed_origins",
            "https://grafana.com/tutorials/run-grafana-behind-a-proxy/",
        ];
    "nats" also ["nats-server"],
        origin = "websocket { allowed_origins: [\"https://app.example\"] }",
        host = "websocket { same_origin: false, allowed_origins: [...] }: then Host does not matter"
        => ["https://docs.nats.io/running-a-nats-service/configuration/websocket/websocket_conf"];
    "gotify" also ["gotify-server"],
        origin = "server.stream.allowedorigins: [\"app\\\\.example\"] (GOTIFY_SERVER_STREAM_ALLOWEDORIGINS), regular expressions of hosts",
        proxy = "server.trustedproxies: [10.0.0.5] (GOTIFY_SERVER_TRUSTEDPROXIES)",
        host = "server.stream.allowedorigins: then Host does not matter"
        => ["https://gotify.net/docs/config"];
    "ntfy" also [],
        origin = "it does not check",
        proxy = "behind-proxy: true in server.yml",
        host = "base-url: \"https://app.example\" in server.yml"
        => ["https://docs.ntfy.sh/config/#behind-a-proxy-tls-etc"];
    "mattermost" also [],
        origin = "ServiceSettings.AllowCorsFrom = \"https://app.example\" in config.json",
        proxy = "ServiceSettings.TrustedProxyIPHeader = [\"X-Forwarded-For\"]",
        host = "ServiceSettings.AllowCorsFrom and ServiceSettings.SiteURL = \"https://app.example\""
        => [
            "https://docs.mattermost.com/configure/integrations-configuration-settings.html",
            "https://docs.mattermost.com/configure/environment-configuration-settings.html",
        ];
    "portainer" also [],
        origin = "portainer --trusted-origins=app.example (TRUSTED_ORIGINS)"
        => ["https://docs.portainer.io/advanced/cli"];
    "anycable" also ["anycable-go"],
        origin = "anycable-go --allowed_origins=app.example (ANYCABLE_ALLOWED_ORIGINS); hosts, no scheme"
        => ["https://docs.anycable.io/anycable-go/configuration"];
    "websocketd" also [],
        origin = "websocketd --origin=app.example, or --sameorigin=true",
        host = "--origin=app.example in place of --sameorigin=true"
        => ["https://github.com/joewalnes/websocketd/blob/master/help.go"];
};
