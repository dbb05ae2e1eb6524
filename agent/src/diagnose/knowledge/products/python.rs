//! Servers in Python, and products that are built on them.

use super::Product;

pub(super) const PRODUCTS: &[Product] = product_rows! {
    "tornado" also ["tornadoserver"],
        origin = "Application(..., trusted_origins=[\"https://app.example\"]) from 6.6 on, or check_origin() of the WebSocketHandler",
        proxy = "HTTPServer(app, xheaders=True, trusted_downstream=[...]); the origin check does not need it",
        host = "trusted_origins or check_origin() with the public name: then Host does not matter",
        subprotocol = "WebSocketHandler.select_subprotocol()"
        => [
            "https://www.tornadoweb.org/en/stable/websocket.html",
            "https://github.com/tornadoweb/tornado/blob/master/tornado/websocket.py",
        ];
    "jupyter" also ["jupyter-server", "jupyter_server", "jupyterlab", "jupyter-lab", "notebook"],
        origin = "c.ServerApp.allow_origin = \"https://app.example\" (or allow_origin_pat)",
        proxy = "c.ServerApp.trust_xheaders = True",
        host = "c.ServerApp.allow_origin = \"https://app.example\"; c.ServerApp.local_hostnames = [\"app.example\"] for Host itself"
        => ["https://jupyter-server.readthedocs.io/en/latest/other/full-config.html"];
    "jupyterhub" also [],
        origin = "c.JupyterHub.tornado_settings = {\"trusted_origins\": [...]}",
        proxy = "c.JupyterHub.trusted_downstream_ips = [\"10.0.0.5\"]",
        host = "c.JupyterHub.public_url = \"https://app.example/\""
        => ["https://jupyterhub.readthedocs.io/en/stable/howto/configuration/config-proxy.html"];
    "bokeh" also ["panel"],
        origin = "bokeh serve --allow-websocket-origin=app.example (BOKEH_ALLOW_WS_ORIGIN); host and port, no scheme",
        proxy = "bokeh serve --use-xheaders",
        host = "--allow-websocket-origin=app.example: then Host does not matter",
        subprotocol = "its client offers bokeh and a token: let Sec-WebSocket-Protocol pass"
        => ["https://docs.bokeh.org/en/latest/docs/user_guide/server/deploy.html"];
    "streamlit" also [],
        origin = "server.corsAllowedOrigins = [\"https://app.example\"] in .streamlit/config.toml",
        host = "server.corsAllowedOrigins: then Host does not matter; server.allowedHosts lists the hosts, if set"
        => ["https://docs.streamlit.io/develop/api-reference/configuration/config.toml"];
    "aiohttp" also [],
        origin = "it does not check: compare request.headers.get(\"Origin\") in the handler, before ws.prepare(request)",
        proxy = "aiohttp_remotes.XForwardedStrict([[\"10.0.0.5\"]]) (package aiohttp-remotes)",
        subprotocol = "web.WebSocketResponse(protocols=(\"chat\",))"
        => ["https://docs.aiohttp.org/en/stable/web_reference.html#websocketresponse"];
    "websockets" also ["python-websockets"],
        origin = "serve(handler, ..., origins=[\"https://app.example\"]); None in the list lets clients without Origin in",
        subprotocol = "serve(handler, ..., subprotocols=[\"chat\"])"
        => ["https://websockets.readthedocs.io/en/stable/reference/asyncio/server.html"];
    "uvicorn" also [],
        origin = "it does not check: the application closes before it accepts; see its framework",
        proxy = "uvicorn --proxy-headers --forwarded-allow-ips=10.0.0.5"
        => ["https://www.uvicorn.org/settings/#http"];
    "starlette" also [],
        origin = "it does not check (CORSMiddleware is for HTTP): compare websocket.headers.get(\"origin\") before websocket.accept()",
        proxy = "the server does it: uvicorn --proxy-headers --forwarded-allow-ips=10.0.0.5",
        host = "TrustedHostMiddleware(allowed_hosts=[\"app.example\"])",
        subprotocol = "await websocket.accept(subprotocol=\"chat\")"
        => [
            "https://www.starlette.io/websockets/",
            "https://www.starlette.io/middleware/#trustedhostmiddleware",
        ];
    "fastapi" also [],
        origin = "it does not check (CORSMiddleware is for HTTP): compare websocket.headers.get(\"origin\") before websocket.accept()",
        proxy = "fastapi run --proxy-headers --forwarded-allow-ips=10.0.0.5; --root-path for a prefix",
        host = "TrustedHostMiddleware(allowed_hosts=[\"app.example\"])",
        subprotocol = "await websocket.accept(subprotocol=\"chat\")"
        => [
            "https://fastapi.tiangolo.com/advanced/websockets/",
            "https://fastapi.tiangolo.com/advanced/behind-a-proxy/",
        ];
    "hypercorn" also ["hypercorn-h11"],
        origin = "it does not check: the application closes before it accepts; see its framework",
        proxy = "ProxyFixMiddleware(app, mode=\"legacy\", trusted_hops=1)",
        host = "server_names = [\"app.example\"] (it answers 404 to other hosts)"
        => ["https://hypercorn.readthedocs.io/en/latest/how_to_guides/proxy_fix.html"];
    "granian" also [],
        origin = "it does not check: the application closes before it accepts; see its framework",
        proxy = "wrap_asgi_with_proxy_headers(app, trusted_hosts=[\"10.0.0.5\"])"
        => ["https://github.com/emmett-framework/granian#proxies-and-forwarded-headers"];
    "daphne" also [],
        origin = "Channels checks: OriginValidator(application, [\"https://app.example\"])",
        proxy = "daphne --proxy-headers",
        host = "ALLOWED_HOSTS, where Channels' AllowedHostsOriginValidator is used"
        => ["https://github.com/django/daphne#running"];
    "channels" also ["django-channels"],
        origin = "OriginValidator(application, [\"https://app.example\"]), or ALLOWED_HOSTS with AllowedHostsOriginValidator",
        proxy = "daphne --proxy-headers; the origin check does not need it",
        host = "ALLOWED_HOSTS = [\"app.example\"]; it compares Origin with that list, not with Host",
        subprotocol = "await self.accept(subprotocol=\"chat\")"
        => ["https://channels.readthedocs.io/en/stable/topics/security.html"];
    "django" also ["wsgiserver"],
        origin = "ALLOWED_HOSTS with Channels' AllowedHostsOriginValidator; CSRF_TRUSTED_ORIGINS for forms",
        proxy = "SECURE_PROXY_SSL_HEADER = (\"HTTP_X_FORWARDED_PROTO\", \"https\"); USE_X_FORWARDED_HOST = True",
        host = "ALLOWED_HOSTS = [\"app.example\"]"
        => ["https://docs.djangoproject.com/en/stable/ref/settings/"];
    "python-engineio" also ["python-socketio"],
        origin = "socketio.AsyncServer(cors_allowed_origins=[\"https://app.example\"])",
        proxy = "without a list it believes the first X-Forwarded-Proto and X-Forwarded-Host as they come",
        host = "cors_allowed_origins=[\"https://app.example\"]: then Host and scheme do not matter"
        => ["https://python-socketio.readthedocs.io/en/latest/server.html#cross-origin-controls"];
    "flask-socketio" also [],
        origin = "SocketIO(app, cors_allowed_origins=[\"https://app.example\"])",
        proxy = "app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1, x_host=1)",
        host = "cors_allowed_origins=[\"https://app.example\"]: then Host and scheme do not matter"
        => [
            "https://flask-socketio.readthedocs.io/en/latest/deployment.html#cross-origin-controls",
            "https://werkzeug.palletsprojects.com/en/stable/middleware/proxy_fix/",
        ];
    "werkzeug" also ["flask", "flask-sock", "simple-websocket"],
        origin = "it does not check: compare request.headers.get(\"Origin\") in the handler",
        proxy = "app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)",
        host = "TRUSTED_HOSTS = [\"app.example\"] (Flask 3.1)"
        => ["https://werkzeug.palletsprojects.com/en/stable/middleware/proxy_fix/"];
    "gunicorn" also [],
        origin = "it does not check: see the framework",
        proxy = "gunicorn --forwarded-allow-ips=10.0.0.5"
        => ["https://docs.gunicorn.org/en/stable/settings.html#forwarded-allow-ips"];
    "sanic" also [],
        origin = "it does not check: compare request.headers.get(\"origin\") in a middleware or in the handler",
        proxy = "app.config.FORWARDED_SECRET = \"...\", or PROXIES_COUNT = 1 with REAL_IP_HEADER",
        host = "app.config.SERVER_NAME = \"https://app.example\"",
        subprotocol = "@app.websocket(\"/ws\", subprotocols=[\"chat\"])"
        => ["https://sanic.dev/en/guide/advanced/proxy-headers.html"];
    "litestar" also [],
        origin = "it does not check: compare socket.headers.get(\"origin\") in a guard or before accept()",
        proxy = "the server does it: uvicorn --proxy-headers --forwarded-allow-ips=10.0.0.5",
        host = "AllowedHostsConfig(allowed_hosts=[\"app.example\"])"
        => ["https://docs.litestar.dev/latest/usage/middleware/builtin-middleware.html#allowed-hosts"];
    "autobahn" also ["autobahnpython", "crossbar"],
        origin = "factory.setProtocolOptions(allowedOrigins=[\"https://app.example\"])",
        proxy = "factory.setProtocolOptions(trustXForwardedFor=1)",
        host = "WebSocketServerFactory(\"wss://app.example\", externalPort=443)",
        subprotocol = "WebSocketServerFactory(protocols=[\"chat\"])"
        => ["https://autobahn.readthedocs.io/en/latest/reference/autobahn.websocket.html"];
    "websockify" also ["novnc"],
        origin = "websockify --auth-plugin ExpectOrigin --auth-source \"https://app.example\"",
        subprotocol = "its client must offer binary, or nothing"
        => ["https://github.com/novnc/websockify/blob/master/websockify/auth_plugins.py"];
    "home-assistant" also ["homeassistant", "hass"],
        origin = "http: cors_allowed_origins: [\"https://app.example\"] in configuration.yaml (for the REST API)",
        proxy = "http: use_x_forwarded_for: true and trusted_proxies: [10.0.0.5] in configuration.yaml",
        host = "homeassistant: external_url: \"https://app.example\""
        => ["https://www.home-assistant.io/integrations/http/"];
    "open-webui" also [],
        origin = "CORS_ALLOW_ORIGIN=\"https://app.example\"",
        proxy = "FORWARDED_ALLOW_IPS=10.0.0.5",
        host = "WEBUI_URL=https://app.example"
        => ["https://docs.openwebui.com/getting-started/env-configuration/"];
};
