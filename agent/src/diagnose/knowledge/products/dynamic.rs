//! Servers in Ruby, PHP, Elixir and Erlang, and products that are built on them.

use super::Product;

pub(super) const PRODUCTS: &[Product] = product_rows! {
    "actioncable" also ["action-cable", "action_cable"],
        origin = "config.action_cable.allowed_request_origins = [\"https://app.example\"]",
        proxy = "it believes X-Forwarded-Proto as it comes (Rack ssl?): set it at the proxy; config.assume_ssl = true (Rails 7.1)",
        host = "config.action_cable.allowed_request_origins = [\"https://app.example\"]: then Host does not matter",
        subprotocol = "its client offers actioncable-v1-json: let Sec-WebSocket-Protocol pass"
        => [
            "https://guides.rubyonrails.org/action_cable_overview.html#allowed-request-origins",
            "https://github.com/rails/rails/blob/main/actioncable/lib/action_cable/server/socket.rb",
        ];
    "rails" also ["ruby-on-rails", "puma"],
        origin = "config.action_cable.allowed_request_origins = [\"https://app.example\"]",
        proxy = "config.assume_ssl = true (Rails 7.1), config.action_dispatch.trusted_proxies for addresses",
        host = "config.hosts << \"app.example\""
        => ["https://guides.rubyonrails.org/configuring.html#config-hosts"];
    "gitlab" also ["gitlab-workhorse"],
        origin = "external_url \"https://app.example\" in gitlab.rb: it is the allowed origin",
        proxy = "nginx['proxy_set_headers'] = { \"X-Forwarded-Proto\" => \"https\", \"X-Forwarded-Ssl\" => \"on\" } in gitlab.rb",
        host = "external_url \"https://app.example\" in gitlab.rb"
        => ["https://docs.gitlab.com/omnibus/settings/nginx/"];
    "em-websocket" also ["eventmachine"],
        origin = "it does not check: compare handshake.headers[\"Origin\"] in onopen and close",
        subprotocol = "it chooses none by itself: the client must not insist on one"
        => ["https://github.com/igrigorik/em-websocket#readme"];
    "ratchet" also [],
        origin = "new OriginCheck(new WsServer($app), [\"app.example\"]), or the $allowedOrigins of App::route(); hosts, no scheme",
        host = "new Ratchet\\App(\"app.example\", ...): its first argument must be the Host that arrives",
        subprotocol = "WsServerInterface::getSubProtocols() of the component"
        => ["http://socketo.me/docs/origin"];
    "reverb" also ["laravel-reverb", "laravel"],
        origin = "'allowed_origins' => ['app.example'] of the app in config/reverb.php; hosts, no scheme",
        host = "REVERB_HOST=app.example, REVERB_PORT=443, REVERB_SCHEME=https are what the page connects to"
        => ["https://laravel.com/docs/reverb#allowed-origins"];
    "swoole" also ["openswoole"],
        origin = "$server->on('handshake', ...) compares $request->header['origin']",
        subprotocol = "'websocket_subprotocol' => 'chat' in $server->set(...)"
        => ["https://wiki.swoole.com/en/#/websocket_server"];
    "workerman" also [],
        origin = "$connection->onWebSocketConnect compares the Origin header and closes"
        => ["https://manual.workerman.net/doc/en/appendices/about-websocket.html"];
    "phoenix" also ["cowboy-phoenix", "bandit"],
        origin = "config :app, AppWeb.Endpoint, check_origin: [\"https://app.example\"]",
        proxy = "plug Plug.RewriteOn, [:x_forwarded_host, :x_forwarded_port, :x_forwarded_proto]; needed with check_origin: :conn only",
        host = "config :app, AppWeb.Endpoint, url: [host: \"app.example\", port: 443, scheme: \"https\"]: Origin is compared with it",
        subprotocol = "socket \"/ws\", AppWeb.UserSocket, websocket: [subprotocols: [\"chat\"]]"
        => [
            "https://hexdocs.pm/phoenix/Phoenix.Endpoint.html#socket/3",
            "https://github.com/phoenixframework/phoenix/blob/main/lib/phoenix/socket/transport.ex",
        ];
    "cowboy" also [],
        origin = "it does not check: compare cowboy_req:header(<<\"origin\">>, Req) in init/2",
        subprotocol = "cowboy_req:set_resp_header(<<\"sec-websocket-protocol\">>, ...) in init/2"
        => ["https://ninenines.eu/docs/en/cowboy/2.12/guide/ws_handlers/"];
    "rabbitmq" also ["rabbitmq-web-stomp", "rabbitmq-web-mqtt"],
        origin = "it does not check; credentials decide",
        proxy = "web_stomp.proxy_protocol = true, web_mqtt.proxy_protocol = true (PROXY protocol, not X-Forwarded-*)",
        subprotocol = "Web MQTT wants mqtt; Web STOMP v10.stomp, v11.stomp or v12.stomp"
        => ["https://www.rabbitmq.com/docs/web-mqtt", "https://www.rabbitmq.com/docs/web-stomp"];
    "emqx" also [],
        origin = "listeners.ws.default.websocket { check_origin_enable = true, check_origins = \"https://app.example\" }",
        proxy = "listeners.ws.default.websocket.proxy_address_header = x-forwarded-for",
        subprotocol = "the client must offer mqtt; fail_if_no_subprotocol = false lets others in"
        => ["https://docs.emqx.com/en/emqx/latest/configuration/listener.html"];
    "ejabberd" also [],
        origin = "websocket_origin: [\"https://app.example\"] in ejabberd.yml",
        proxy = "trusted_proxies: [10.0.0.5] in ejabberd.yml",
        host = "hosts: [app.example] in ejabberd.yml: Host must name one of them",
        subprotocol = "the client must offer xmpp (RFC 7395)"
        => ["https://docs.ejabberd.im/admin/configuration/toplevel/#websocket_origin"];
    "livebook" also [],
        proxy = "LIVEBOOK_PROXY_HEADERS=x-forwarded-for,x-forwarded-proto"
        => ["https://github.com/livebook-dev/livebook#environment-variables"];
};
