//! Servers in Rust, and products that are built on them.

use super::Product;

pub(super) const PRODUCTS: &[Product] = product_rows! {
    "axum" also ["tower"],
        origin = "it does not check: compare headers.get(ORIGIN) in the handler before ws.on_upgrade(...)",
        subprotocol = "ws.protocols([\"chat\"]).on_upgrade(...)"
        => ["https://docs.rs/axum/latest/axum/extract/ws/index.html"];
    "tungstenite" also ["tokio-tungstenite"],
        origin = "it does not check: accept_hdr(stream, |request, response| ...) sees Origin and returns an ErrorResponse",
        subprotocol = "add Sec-WebSocket-Protocol to the response in the accept_hdr callback"
        => ["https://docs.rs/tungstenite/latest/tungstenite/handshake/server/trait.Callback.html"];
    "actix" also ["actix-web", "actix-ws", "actix-http"],
        origin = "it does not check: compare req.headers().get(\"Origin\") before actix_ws::handle(&req, body)",
        proxy = "req.connection_info() reads Forwarded and X-Forwarded-*; it trusts them as they come",
        subprotocol = "actix_ws::handle_with_protocols(&req, body, &[\"chat\"])"
        => ["https://docs.rs/actix-ws/latest/actix_ws/"];
    "warp" also [],
        origin = "warp::header::exact(\"origin\", \"https://app.example\") before warp::ws()"
        => ["https://docs.rs/warp/latest/warp/filters/ws/index.html"];
    "rocket" also ["rocket_ws"],
        origin = "it does not check: a request guard that compares the Origin header",
        proxy = "ip_header = \"X-Forwarded-For\", proxy_proto_header = \"X-Forwarded-Proto\" in Rocket.toml"
        => [
            "https://docs.rs/rocket_ws/latest/rocket_ws/",
            "https://api.rocket.rs/v0.5/rocket/struct.Config",
        ];
    "vaultwarden" also [],
        origin = "it does not check",
        proxy = "IP_HEADER=X-Forwarded-For",
        host = "DOMAIN=https://app.example; WebSockets are on its main port (ENABLE_WEBSOCKET=true)"
        => ["https://github.com/dani-garcia/vaultwarden/blob/main/.env.template"];
};
