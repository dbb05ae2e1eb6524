//! Servers in C, C++ and Lua, and products that are built on them.

use super::Product;

pub(super) const PRODUCTS: &[Product] = product_rows! {
    "libwebsockets" also ["lws"],
        origin = "it does not check: LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION sees Origin (lws_hdr_copy, WSI_TOKEN_ORIGIN) and returns 1 to refuse",
        subprotocol = "struct lws_protocols: the client must offer one of these names, or none"
        => ["https://libwebsockets.org/lws-api-doc-main/html/group__usercb.html"];
    "ttyd" also [],
        origin = "start it without --check-origin; it has no list of origins",
        host = "start it without --check-origin: then Host does not matter",
        subprotocol = "its client offers tty: let Sec-WebSocket-Protocol pass"
        => ["https://github.com/tsl0922/ttyd/blob/main/src/protocol.c"];
    "mosquitto" also [],
        origin = "websockets_origin https://app.example below the listener (from 2.1 on)",
        subprotocol = "the client must offer mqtt (or mqttv3.1)"
        => ["https://mosquitto.org/man/mosquitto-conf-5.html"];
    "weechat" also ["weechat-relay", "weechat-headless"],
        origin = "/set relay.network.websocket_allowed_origins \"^https://app\\.example$\" (a regular expression)"
        => ["https://weechat.org/files/doc/weechat/stable/weechat_user.en.html#relay_plugin"];
    "kamailio" also [],
        origin = "event_route[xhttp:request]: compare $hdr(Origin) before ws_handle_handshake()",
        host = "event_route[xhttp:request]: the usual example compares $hdr(Host) with the server's names",
        subprotocol = "the client must offer sip (RFC 7118)"
        => ["https://www.kamailio.org/docs/modules/stable/modules/websocket.html"];
    "asterisk" also [],
        origin = "it does not check; http.conf must have enabled=yes",
        subprotocol = "the client must offer sip (RFC 7118), on the path /ws"
        => ["https://docs.asterisk.org/Configuration/Channel-Drivers/WebRTC/"];
    "cockpit" also ["cockpit-ws"],
        origin = "Origins = https://app.example wss://app.example below [WebService] in /etc/cockpit/cockpit.conf",
        proxy = "ProtocolHeader = X-Forwarded-Proto below [WebService]",
        host = "Origins = https://app.example below [WebService]: then Host does not matter"
        => ["https://cockpit-project.org/guide/latest/cockpit.conf.5.html"];
    "civetweb" also [],
        origin = "compare mg_get_header(conn, \"Origin\") in the connect handler of mg_set_websocket_handler, return 1 to refuse",
        subprotocol = "mg_set_websocket_handler_with_subprotocols(...)"
        => ["https://github.com/civetweb/civetweb/blob/master/docs/api/mg_set_websocket_handler.md"];
    "mongoose" also [],
        origin = "compare mg_http_get_header(hm, \"Origin\") before mg_ws_upgrade(c, hm, NULL)",
        subprotocol = "mg_ws_upgrade(c, hm, \"Sec-WebSocket-Protocol: chat\\r\\n\")"
        => ["https://mongoose.ws/documentation/#mg_ws_upgrade"];
    "websocketpp" also ["websocket++"],
        origin = "set_validate_handler: compare server.get_con_from_hdl(hdl)->get_origin(), return false to refuse",
        subprotocol = "con->select_subprotocol(\"chat\") in the validate handler"
        => ["https://docs.websocketpp.org/reference_8handlers.html"];
    "boost-beast" also ["beast", "boost.beast"],
        origin = "read the request first and compare its Origin, then ws.accept(request)",
        subprotocol = "set_option(stream_base::decorator(...)) that sets Sec-WebSocket-Protocol"
        => ["https://www.boost.org/doc/libs/release/libs/beast/doc/html/beast/using_websocket/handshaking.html"];
    "qtwebsockets" also ["qt", "qwebsocketserver"],
        origin = "QWebSocketServer::originAuthenticationRequired: authenticator->setAllowed(origin == \"https://app.example\")",
        subprotocol = "QWebSocketServer::setSupportedSubprotocols({\"chat\"}) (Qt 6.4)"
        => ["https://doc.qt.io/qt-6/qwebsocketserver.html#originAuthenticationRequired"];
    "prosody" also [],
        origin = "it does not check; http_cors_override = { websocket = { enabled = true } } is for the page's other requests",
        proxy = "trusted_proxies = { \"10.0.0.5\" } and consider_websocket_secure = true",
        host = "http_host = \"app.example\", http_external_url = \"https://app.example/\"",
        subprotocol = "the client must offer xmpp (RFC 7395)"
        => ["https://prosody.im/doc/websocket", "https://prosody.im/doc/http#reverse_proxying"];
    "inspircd" also [],
        origin = "<wsorigin allow=\"https://app.example\"> with <module name=\"websocket\">",
        proxy = "<websocket proxyranges=\"10.0.0.5/32\">"
        => ["https://docs.inspircd.org/4/modules/websocket/"];
    "collabora-online" also ["coolwsd", "loolwsd"],
        proxy = "ssl.termination = true in coolwsd.xml, where the proxy ends TLS",
        host = "server_name = app.example in coolwsd.xml"
        => ["https://sdk.collaboraonline.com/docs/installation/Proxy_settings.html"];
    "openresty" also ["lua-resty-websocket"],
        origin = "compare ngx.var.http_origin before require(\"resty.websocket.server\"):new()"
        => ["https://github.com/openresty/lua-resty-websocket#readme"];
};
