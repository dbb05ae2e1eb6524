//! Servers in JavaScript (Node.js, Bun, Deno), and products that are built on them.

use super::Product;

pub(super) const PRODUCTS: &[Product] = product_rows! {
    "ws" also ["node-ws", "npm-ws"],
        origin = "it does not check: compare request.headers.origin in the server's \"upgrade\" event, or in verifyClient",
        subprotocol = "new WebSocketServer({ handleProtocols: (offered) => \"chat\" })"
        => ["https://github.com/websockets/ws/blob/master/doc/ws.md#new-websocketserveroptions-callback"];
    "engine.io" also ["socket.io", "socketio"],
        origin = "new Server(httpServer, { allowRequest: (req, callback) => ... }); its cors option is for long-polling only"
        => [
            "https://socket.io/docs/v4/server-options/#allowrequest",
            "https://socket.io/docs/v4/handling-cors/",
        ];
    "fastify" also ["@fastify/websocket"],
        origin = "fastify.register(websocket, { options: { verifyClient } }), or a preValidation hook on the route",
        proxy = "fastify({ trustProxy: \"10.0.0.5\" })",
        subprotocol = "options: { handleProtocols }"
        => [
            "https://github.com/fastify/fastify-websocket#readme",
            "https://fastify.dev/docs/latest/Reference/Server/#trustproxy",
        ];
    "express" also ["express-ws"],
        origin = "expressWs(app, server, { wsOptions: { verifyClient } }); the cors package does not see upgrades",
        proxy = "app.set(\"trust proxy\", \"10.0.0.5\")"
        => [
            "https://github.com/HenningM/express-ws#readme",
            "https://expressjs.com/en/guide/behind-proxies.html",
        ];
    "websocket-node" also ["websocket"],
        origin = "in the \"request\" event: request.origin === \"https://app.example\" ? request.accept(\"chat\", request.origin) : request.reject(403)",
        subprotocol = "request.accept(\"chat\", request.origin) with one of request.requestedProtocols"
        => ["https://github.com/theturtle32/WebSocket-Node/blob/master/docs/WebSocketRequest.md"];
    "faye-websocket" also ["faye"],
        origin = "it does not check: compare request.headers.origin before new WebSocket(request, socket, body)",
        subprotocol = "new WebSocket(request, socket, body, [\"chat\"])"
        => ["https://github.com/faye/faye-websocket-node#readme"];
    "sockjs" also ["sockjs-node"],
        origin = "it does not check: compare req.headers.origin in the HTTP server's \"upgrade\" event before installHandlers"
        => ["https://github.com/sockjs/sockjs-node#server-module"];
    "uwebsockets.js" also ["uwebsockets", "uws"],
        origin = "upgrade: (res, req, context) => compare req.getHeader(\"origin\") before res.upgrade(...)",
        subprotocol = "res.upgrade(data, key, protocol, extensions, context) with the protocol chosen"
        => ["https://github.com/uNetworking/uWebSockets.js/blob/master/examples/UpgradeSync.js"];
    "nestjs" also ["@nestjs/websockets"],
        origin = "socket.io: allowRequest in the adapter's options; ws: verifyClient in @WebSocketGateway({ verifyClient })",
        proxy = "app.set(\"trust proxy\", \"10.0.0.5\") (NestExpressApplication)"
        => ["https://docs.nestjs.com/websockets/adapter"];
    "graphql-ws" also ["apollo"],
        origin = "its ws server checks: new WebSocketServer({ server, path: \"/graphql\", verifyClient })",
        subprotocol = "the client must offer graphql-transport-ws; graphql-ws is the old protocol's (subscriptions-transport-ws)"
        => ["https://the-guild.dev/graphql/ws/get-started"];
    "hocuspocus" also ["y-websocket"],
        origin = "onUpgrade or onConnect hook: compare request.headers.origin and throw"
        => ["https://tiptap.dev/docs/hocuspocus/server/hooks"];
    "vite" also [],
        origin = "server.cors.origin for HTTP; its WebSocket wants a token that the page carries: load the page from this server",
        proxy = "server.hmr: { protocol: \"wss\", host: \"app.example\", clientPort: 443 }",
        host = "server.allowedHosts: [\"app.example\"]",
        subprotocol = "its client offers vite-hmr: let Sec-WebSocket-Protocol pass"
        => ["https://vite.dev/config/server-options.html"];
    "webpack-dev-server" also ["webpack"],
        origin = "devServer.allowedHosts: [\"app.example\"]",
        proxy = "devServer.client.webSocketURL: \"wss://app.example/ws\"",
        host = "devServer.allowedHosts: [\"app.example\"]"
        => ["https://webpack.js.org/configuration/dev-server/#devserverallowedhosts"];
    "next" also ["next.js", "nextjs"],
        origin = "allowedDevOrigins: [\"app.example\"] in next.config.js (development server)",
        host = "allowedDevOrigins: [\"app.example\"] in next.config.js (development server)"
        => ["https://nextjs.org/docs/app/api-reference/config/next-config-js/allowedDevOrigins"];
    "crossws" also ["nuxt", "nitro", "h3"],
        origin = "hooks: { upgrade(request) { compare request.headers.get(\"origin\"), throw new Response(null, { status: 403 }) } }"
        => ["https://crossws.h3.dev/guide/hooks"];
    "bun" also [],
        origin = "it does not check: compare req.headers.get(\"origin\") in fetch() before server.upgrade(req)",
        subprotocol = "server.upgrade(req, { headers: { \"Sec-WebSocket-Protocol\": \"chat\" } })"
        => ["https://bun.sh/docs/api/websockets"];
    "deno" also [],
        origin = "it does not check: compare req.headers.get(\"origin\") before Deno.upgradeWebSocket(req)",
        subprotocol = "Deno.upgradeWebSocket(req, { protocol: \"chat\" })"
        => ["https://docs.deno.com/api/deno/~/Deno.upgradeWebSocket"];
    "peerjs" also ["peer", "peerserver"],
        origin = "it does not check; corsOptions is for its HTTP API",
        proxy = "PeerServer({ proxied: true })"
        => ["https://github.com/peers/peerjs-server#config--cli-options"];
    "code-server" also ["coder-code-server"],
        origin = "code-server --trusted-origins app.example",
        proxy = "it trusts Forwarded and X-Forwarded-Host: let the proxy set one of them to the page's host and port",
        host = "--trusted-origins app.example; or X-Forwarded-Host with the page's host and port"
        => [
            "https://github.com/coder/code-server/blob/main/src/node/http.ts",
            "https://coder.com/docs/code-server/FAQ",
        ];
    "theia" also [],
        origin = "THEIA_HOSTS=app.example",
        host = "THEIA_HOSTS=app.example: then Host does not matter"
        => ["https://github.com/eclipse-theia/theia/blob/master/packages/core/README.md#environment-variables"];
    "n8n" also [],
        origin = "it has no list: Origin must equal X-Forwarded-Host or Host; N8N_PUSH_BACKEND=sse does without WebSockets",
        proxy = "N8N_PROXY_HOPS=1",
        host = "X-Forwarded-Host and X-Forwarded-Proto count in place of Host; N8N_EDITOR_BASE_URL=https://app.example for links"
        => ["https://docs.n8n.io/hosting/configuration/environment-variables/deployment/"];
    "node-red" also [],
        origin = "it does not check; httpNodeCors is for HTTP nodes"
        => ["https://nodered.org/docs/user-guide/runtime/configuration"];
    "uptime-kuma" also [],
        origin = "UPTIME_KUMA_WS_ORIGIN_CHECK=bypass turns the check off; else Origin must equal Host",
        proxy = "Settings, Reverse Proxy, Trust Proxy: then X-Forwarded-Host counts in place of Host",
        host = "Trust Proxy on, and X-Forwarded-Host with the page's host"
        => [
            "https://github.com/louislam/uptime-kuma/wiki/Environment-Variables",
            "https://github.com/louislam/uptime-kuma/wiki/Reverse-Proxy",
        ];
    "meteor" also ["rocket.chat"],
        origin = "it does not check",
        proxy = "HTTP_FORWARDED_COUNT=1",
        host = "ROOT_URL=https://app.example"
        => ["https://docs.meteor.com/cli/environment-variables.html"];
    "etherpad" also ["etherpad-lite"],
        origin = "it does not check (socket.io)",
        proxy = "\"trustProxy\": true in settings.json"
        => ["https://github.com/ether/etherpad-lite/blob/develop/settings.json.template"];
};
