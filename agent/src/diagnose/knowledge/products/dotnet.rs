//! Servers in .NET.

use super::Product;

pub(super) const PRODUCTS: &[Product] = product_rows! {
    "asp.net-core" also ["kestrel", "aspnetcore", "asp.net"],
        origin = "new WebSocketOptions { AllowedOrigins = { \"https://app.example\" } } for UseWebSockets",
        proxy = "app.UseForwardedHeaders() with ForwardedHeadersOptions.KnownProxies.Add(...) and ForwardedHeaders.XForwardedProto | XForwardedHost",
        host = "\"AllowedHosts\": \"app.example\" in appsettings.json",
        subprotocol = "context.WebSockets.AcceptWebSocketAsync(\"chat\")"
        => [
            "https://learn.microsoft.com/aspnet/core/fundamentals/websockets#websocket-origin-restriction",
            "https://learn.microsoft.com/aspnet/core/host-and-deploy/proxy-load-balancer",
        ];
    "signalr" also ["blazor"],
        origin = "AddCors(o => o.AddDefaultPolicy(p => p.WithOrigins(\"https://app.example\").AllowAnyHeader().AllowAnyMethod().AllowCredentials()))",
        proxy = "app.UseForwardedHeaders() with ForwardedHeadersOptions.KnownProxies.Add(...)",
        host = "\"AllowedHosts\": \"app.example\" in appsettings.json"
        => ["https://learn.microsoft.com/aspnet/core/signalr/security#cross-origin-resource-sharing"];
    "iis" also ["microsoft-iis", "microsoft-httpapi"],
        origin = "it does not check: the application behind it does; its WebSocket Protocol feature must be installed",
        host = "the site's binding must name app.example (else 400 Invalid Hostname)"
        => ["https://learn.microsoft.com/iis/get-started/whats-new-in-iis-8/iis-80-websocket-protocol-support"];
    "websocket-sharp" also ["websocketsharp"],
        origin = "server.AddWebSocketService<Chat>(\"/chat\", s => s.OriginValidator = o => o == \"https://app.example\")",
        host = "HostValidator of the behaviour",
        subprotocol = "s.Protocol = \"chat\""
        => ["https://github.com/sta/websocket-sharp#origin-header-and-cookies"];
    "fleck" also [],
        origin = "it does not check: compare socket.ConnectionInfo.Origin in OnOpen and close",
        subprotocol = "server.SupportedSubProtocols = new[] { \"chat\" }"
        => ["https://github.com/statianzo/Fleck#readme"];
};
