//! What a proxy does with a request, whatever its product: the rules read nothing else.
//!
//! A reader does not describe its directives. It sends sample requests through the configuration and writes down what
//! would arrive behind it ([`Route::arrived`]), so that one rule serves all products.

use std::{collections::BTreeMap, fmt, sync::Arc};

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, as the user named it or as an `include` did.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// What a configuration is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Product {
    /// nginx: files, or the output of `nginx -T`.
    Nginx,
    /// HAProxy.
    Haproxy,
    /// Apache httpd.
    Apache,
    /// Caddy: a Caddyfile.
    Caddy,
    /// ingress-nginx: Ingress and ConfigMap objects.
    IngressNginx,
    /// Kubernetes Gateway API: HTTPRoute objects.
    GatewayApi,
    /// Traefik: YAML or TOML files, and labels of a compose file.
    Traefik,
    /// Envoy: YAML or JSON.
    Envoy,
    /// AWS ALB: JSON of `describe-load-balancer-attributes`, `describe-target-groups` and the like.
    Alb,
}

impl Product {
    /// Its name in the pages of `docs/causes`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Apache => "Apache",
            Self::Caddy => "Caddy",
            Self::IngressNginx => "ingress-nginx",
            Self::GatewayApi => "Gateway API",
            Self::Traefik => "Traefik",
            Self::Envoy => "Envoy",
            Self::Alb => "AWS ALB",
        }
    }
}

/// What a header field holds behind the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// This text; empty when the field is absent.
    Text(String),
    /// It cannot be told from the configuration, and why.
    Unknown(String),
}

/// A header field behind the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// What it holds.
    pub value: Value,
    /// The directive that made it so; none when it is the product's default.
    pub by: Option<Written>,
}

/// A directive as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where.
    pub place: Place,
    /// Its text, on one line.
    pub text: String,
}

/// A request: header fields by their lower-case names. A name that is not in it is absent, by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request(BTreeMap<String, Sent>);

impl Request {
    /// The field's value; empty when it is absent.
    pub fn get(&self, name: &str) -> Value {
        self.0.get(name).map_or_else(|| Value::Text(String::new()), |sent| sent.value.clone())
    }

    /// The field's text when it is known.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name).map(|sent| &sent.value) {
            None => Some(""),
            Some(Value::Text(text)) => Some(text),
            Some(Value::Unknown(_)) => None,
        }
    }

    /// The directive that made the field what it is.
    pub fn by(&self, name: &str) -> Option<&Written> {
        self.0.get(name).and_then(|sent| sent.by.as_ref())
    }

    /// Sets the field, as the directive says or as the product does by itself.
    pub fn set(&mut self, name: &str, value: Value, by: Option<Written>) {
        self.0.insert(name.to_ascii_lowercase(), Sent { value, by });
    }

    /// Adds a value to what the field holds, as a list.
    pub fn add(&mut self, name: &str, value: Value, by: Option<Written>) {
        let value = match (self.get(&name.to_ascii_lowercase()), value) {
            (Value::Text(old), Value::Text(new)) if !old.is_empty() && !new.is_empty() => {
                Value::Text(format!("{old}, {new}"))
            }
            (Value::Text(old), new) if old.is_empty() => new,
            (old, _) => old,
        };
        self.set(name, value, by);
    }

    /// The names of the fields that are there or were touched.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// The value that an outsider forges.
pub const FORGED: &str = "forged";

/// The sample requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// A browser's handshake.
    Handshake,
    /// The same with an X-Forwarded-Proto of its own.
    Forged,
    /// The same from a hop in front that ended TLS and says so.
    Behind,
    /// The handshake of another site's page.
    Foreign,
    /// A handshake to another port, which a mapping in front leads here.
    Mapped,
    /// An ordinary request.
    Plain,
}

/// The origin of another site.
pub const FOREIGN: &str = "https://foreign.example";

impl Sample {
    /// The request as it reaches the proxy that is known as `host`.
    pub fn request(self, host: &str) -> Request {
        let mut request = Request::default();
        let mut set = |name: &str, value: &str| {
            request.set(name, Value::Text(value.to_owned()), None);
        };
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let mapped = format!("{name}:18443");
        let host = if self == Self::Mapped { &mapped } else { host };
        set("host", host);
        let page = if self == Self::Foreign { FOREIGN.to_owned() } else { origin(host) };
        set("origin", &page);
        if self != Self::Plain {
            set("upgrade", "websocket");
            set("connection", "Upgrade");
        }
        match self {
            Self::Forged => set("x-forwarded-proto", FORGED),
            Self::Behind => set("x-forwarded-proto", "https"),
            Self::Handshake | Self::Foreign | Self::Mapped | Self::Plain => {}
        }
        request
    }
}

/// The origin of the pages of `host`.
pub fn origin(host: &str) -> String {
    format!("https://{host}")
}

/// What arrives behind the proxy of each sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Of [`Sample::Handshake`].
    pub handshake: Request,
    /// Of [`Sample::Forged`].
    pub forged: Request,
    /// Of [`Sample::Behind`].
    pub behind: Request,
    /// Of [`Sample::Foreign`].
    pub foreign: Request,
    /// Of [`Sample::Mapped`].
    pub mapped: Request,
    /// Of [`Sample::Plain`].
    pub plain: Request,
}

impl Arrived {
    /// Sends each sample through `proxy`.
    pub fn through(host: &str, mut proxy: impl FnMut(Sample, &mut Request)) -> Self {
        let mut send = |sample: Sample| {
            let mut request = sample.request(host);
            proxy(sample, &mut request);
            request
        };
        Self {
            handshake: send(Sample::Handshake),
            forged: send(Sample::Forged),
            behind: send(Sample::Behind),
            foreign: send(Sample::Foreign),
            mapped: send(Sample::Mapped),
            plain: send(Sample::Plain),
        }
    }
}

/// Whether TLS ends at the listener of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// It does.
    Ends,
    /// It speaks plain HTTP only.
    Plain,
    /// Both ports lead to the route.
    Both,
    /// The configuration does not tell.
    Unknown,
}

/// The protocol to the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2, with the handshake as extended CONNECT (RFC 8441) if the backend offers it.
    ExtendedConnect,
    /// HTTP/2 without it.
    Http2,
    /// The configuration does not tell.
    Unknown,
}

/// Which paths a route takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paths {
    /// This one.
    Exact(String),
    /// Those that begin so.
    Prefix(String),
    /// As `Prefix`, before every regular expression (nginx `^~`).
    Final(String),
    /// Those that this regular expression matches.
    Regex(String),
    /// Every path.
    All,
    /// The configuration does not tell.
    Unknown,
}

/// A silence after which something ends a tunnel.
#[derive(Clone, Debug, PartialEq)]
pub struct Idle {
    /// The setting's name.
    pub name: &'static str,
    /// Seconds; none: never.
    pub seconds: Option<f64>,
    /// Where it is set; none: the product's default.
    pub by: Option<Written>,
}

/// What only one product does, found by its reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oddity {
    /// The rule.
    pub rule: super::rules::Rule,
    /// Where.
    pub place: Place,
    /// What stands there and what comes of it.
    pub what: String,
    /// Whether it depends on what a configuration does not tell.
    pub mild: bool,
}

/// How one proxy treats the requests of some paths.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The product.
    pub product: Product,
    /// Where it begins.
    pub place: Place,
    /// The server, site or front it belongs to: the routes of one site compete for a path.
    pub site: String,
    /// How a reader of the configuration calls it.
    pub name: String,
    /// The client's `Host` in the samples.
    pub host: String,
    /// Which paths it takes.
    pub paths: Paths,
    /// Whether it forwards requests; if not, the proxy answers by itself.
    pub forwards: bool,
    /// What answers its requests with a redirect.
    pub redirects: Option<Written>,
    /// What shows that it is meant for WebSocket.
    pub hint: Option<Written>,
    /// Whether TLS ends here.
    pub tls: Tls,
    /// What shows that a hop in front ends TLS.
    pub front: Option<Written>,
    /// What arrives behind it.
    pub arrived: Arrived,
    /// Header fields, and why a setting of them does not hold here.
    pub lost: Vec<(&'static str, String)>,
    /// The directives about headers that it inherits: one of its own would cancel them (nginx).
    pub inherited: Vec<Written>,
    /// The protocol to the backend, and where it is set.
    pub upstream: (Upstream, Option<Written>),
    /// What ends silent tunnels.
    pub idle: Vec<Idle>,
    /// What only this product does.
    pub oddities: Vec<Oddity>,
    /// What could not be followed and could change the verdict.
    pub unknown: Vec<Written>,
}

impl Route {
    /// A route that forwards everything as it comes, over HTTP/1.1.
    pub fn new(product: Product, place: Place, site: &str, name: String) -> Self {
        let host = "app.example.com:8443".to_owned();
        Self {
            product,
            place,
            site: site.to_owned(),
            name,
            paths: Paths::All,
            forwards: true,
            redirects: None,
            hint: None,
            tls: Tls::Unknown,
            front: None,
            arrived: Arrived::through(&host, |_, _| {}),
            host,
            lost: Vec::new(),
            inherited: Vec::new(),
            upstream: (Upstream::Http11, None),
            idle: Vec::new(),
            oddities: Vec::new(),
            unknown: Vec::new(),
        }
    }

    /// Notes what only this product does.
    pub fn odd(&mut self, rule: super::rules::Rule, place: &Place, what: impl Into<String>) {
        self.oddities.push(Oddity { rule, place: place.clone(), what: what.into(), mild: false });
    }

    /// The same where it depends on what a configuration does not tell: a warning.
    pub fn odd_mild(&mut self, rule: super::rules::Rule, place: &Place, what: impl Into<String>) {
        self.oddities.push(Oddity { rule, place: place.clone(), what: what.into(), mild: true });
    }
}

/// What a reader found in a configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// The routes, in the product's order.
    pub routes: Vec<Route>,
    /// What could not be followed anywhere: includes that are not there, programs.
    pub unknown: Vec<Written>,
}
