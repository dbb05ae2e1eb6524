//! Servers on the Java virtual machine, and products that are built on them.

use super::Product;

pub(super) const PRODUCTS: &[Product] = product_rows! {
    "spring" also ["spring-boot", "spring-websocket", "springframework"],
        origin = "registry.addHandler(handler, \"/ws\").setAllowedOrigins(\"https://app.example\") (or setAllowedOriginPatterns; addEndpoint for STOMP)",
        proxy = "server.forward-headers-strategy=framework (or native)",
        host = "setAllowedOrigins(\"https://app.example\"), or X-Forwarded-Host with forward-headers-strategy",
        subprotocol = "DefaultHandshakeHandler.setSupportedProtocols(\"chat\")"
        => [
            "https://docs.spring.io/spring-framework/reference/web/websocket/server.html#websocket-server-allowed-origins",
            "https://docs.spring.io/spring-boot/how-to/webserver.html#howto.webserver.use-behind-a-proxy-server",
        ];
    "tomcat" also ["apache-coyote", "catalina"],
        origin = "ServerEndpointConfig.Configurator.checkOrigin(String origin)",
        proxy = "<Valve className=\"org.apache.catalina.valves.RemoteIpValve\" protocolHeader=\"X-Forwarded-Proto\"/>",
        host = "RemoteIpValve hostHeader=\"X-Forwarded-Host\" portHeader=\"X-Forwarded-Port\"",
        subprotocol = "ServerEndpointConfig.Configurator.getNegotiatedSubprotocol(...)"
        => [
            "https://tomcat.apache.org/tomcat-10.1-doc/config/valve.html#Remote_IP_Valve",
            "https://jakarta.ee/specifications/websocket/2.1/apidocs/server/jakarta/websocket/server/serverendpointconfig.configurator",
        ];
    "jetty" also [],
        origin = "compare request.getHeader(\"Origin\") in the JettyWebSocketCreator, or ServerEndpointConfig.Configurator.checkOrigin",
        proxy = "httpConfig.addCustomizer(new ForwardedRequestCustomizer()) (module http-forwarded)",
        subprotocol = "response.setAcceptedSubProtocol(\"chat\") in the creator"
        => [
            "https://jetty.org/docs/jetty/12/programming-guide/server/websocket.html",
            "https://jetty.org/docs/jetty/12/operations-guide/modules/standard.html",
        ];
    "undertow" also ["wildfly", "jboss"],
        origin = "ServerEndpointConfig.Configurator.checkOrigin(String origin)",
        proxy = "/subsystem=undertow/server=default-server/http-listener=default:write-attribute(name=proxy-address-forwarding,value=true)"
        => ["https://docs.wildfly.org/32/wildscribe/subsystem/undertow/server/http-listener/index.html"];
    "vert.x" also ["vertx"],
        origin = "SockJSHandlerOptions().setOrigin(\"https://app.example\"); else compare handshake.headers().get(\"origin\") in webSocketHandshakeHandler",
        proxy = "router.allowForward(AllowForwardHeaders.X_FORWARD)",
        subprotocol = "HttpServerOptions().setWebSocketSubProtocols(List.of(\"chat\"))"
        => [
            "https://vertx.io/docs/vertx-core/java/#_websockets",
            "https://vertx.io/docs/vertx-web/java/#_using_the_sockjs_event_bus_bridge",
        ];
    "netty" also ["reactor-netty"],
        origin = "CorsHandler(CorsConfigBuilder.forOrigin(\"https://app.example\").shortCircuit().build()) before WebSocketServerProtocolHandler",
        subprotocol = "new WebSocketServerProtocolHandler(\"/ws\", \"chat\")"
        => ["https://netty.io/4.1/api/io/netty/handler/codec/http/websocketx/WebSocketServerProtocolHandler.html"];
    "quarkus" also [],
        origin = "quarkus.http.cors.enabled=true and quarkus.http.cors.origins=https://app.example; HttpUpgradeCheck for WebSockets Next",
        proxy = "quarkus.http.proxy.proxy-address-forwarding=true and quarkus.http.proxy.trusted-proxies=10.0.0.5",
        host = "quarkus.http.proxy.enable-forwarded-host=true"
        => ["https://quarkus.io/guides/http-reference#reverse-proxy"];
    "micronaut" also [],
        origin = "micronaut.server.cors.configurations.web.allowed-origins: [https://app.example]",
        proxy = "micronaut.server.host-resolution.host-header: X-Forwarded-Host, protocol-header: X-Forwarded-Proto"
        => ["https://docs.micronaut.io/latest/guide/#cors"];
    "ktor" also [],
        origin = "install(CORS) { allowHost(\"app.example\", schemes = listOf(\"https\")) }: it also answers 403 to WebSockets",
        proxy = "install(XForwardedHeaders)",
        subprotocol = "webSocket(\"/ws\", protocol = \"chat\")"
        => [
            "https://ktor.io/docs/server-cors.html",
            "https://ktor.io/docs/server-forward-headers.html",
        ];
    "akka-http" also ["pekko-http", "akka", "pekko"],
        origin = "checkSameOrigin(HttpOriginRange(HttpOrigin(\"https://app.example\"))) around handleWebSocketMessages",
        subprotocol = "handleWebSocketMessagesForProtocol(flow, \"chat\")"
        => ["https://doc.akka.io/libraries/akka-http/current/routing-dsl/directives/header-directives/checkSameOrigin.html"];
    "play" also ["playframework"],
        origin = "compare request.headers.get(\"Origin\") in WebSocket.acceptOrResult",
        proxy = "play.http.forwarded.trustedProxies = [\"10.0.0.5\"]",
        host = "play.filters.hosts.allowed = [\"app.example\"]"
        => [
            "https://www.playframework.com/documentation/3.0.x/ScalaWebSockets",
            "https://www.playframework.com/documentation/3.0.x/HTTPServer",
            "https://www.playframework.com/documentation/3.0.x/AllowedHostsFilter",
        ];
    "java-websocket" also ["tootallnate"],
        origin = "override onWebsocketHandshakeReceivedAsServer: compare request.getFieldValue(\"Origin\"), throw InvalidDataException",
        subprotocol = "new Draft_6455(List.of(), List.of(new Protocol(\"chat\")))"
        => ["https://github.com/TooTallNate/Java-WebSocket/wiki"];
    "jenkins" also [],
        host = "Manage Jenkins, System, Jenkins URL = https://app.example/",
        proxy = "X-Forwarded-Proto, X-Forwarded-Host and X-Forwarded-Port must reach it"
        => ["https://www.jenkins.io/doc/book/system-administration/reverse-proxy-configuration-with-jenkins/"];
    "guacamole" also [],
        proxy = "Tomcat's RemoteIpValve; the proxy must pass /guacamole/websocket-tunnel with its Upgrade",
        subprotocol = "its client offers guacamole: let Sec-WebSocket-Protocol pass"
        => ["https://guacamole.apache.org/doc/gug/reverse-proxy.html"];
};
