//! The demo's nginx configurations: one that is right, five with the mistakes that people make.

/// One nginx configuration and what is told about it.
pub(crate) struct Scenario {
    /// The site's name, which is also the name in the browser's origin.
    pub(crate) site: &'static str,
    /// What its configuration does, in a few words.
    pub(crate) title: &'static str,
    /// What is in its `location`, besides `proxy_pass`.
    pub(crate) location: &'static [&'static str],
    /// Whether the chat works.
    pub(crate) works: bool,
}

const VERSION: &str = "proxy_http_version 1.1;";
const UPGRADE: &str = "proxy_set_header Upgrade $http_upgrade;";
const CONNECTION: &str = "proxy_set_header Connection $connection_upgrade;";
const HOST: &str = "proxy_set_header Host $http_host;";
const PROTO: &str = "proxy_set_header X-Forwarded-Proto $scheme;";

/// In the order of the story.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        site: "good.example",
        title: "A correct configuration",
        location: &[VERSION, UPGRADE, CONNECTION, HOST, PROTO],
        works: true,
    },
    Scenario {
        site: "no-upgrade.example",
        title: "The Upgrade and Connection headers are not passed on",
        location: &[VERSION, HOST, PROTO],
        works: false,
    },
    Scenario {
        site: "http10.example",
        title: "`proxy_http_version 1.1` is forgotten",
        location: &["proxy_http_version 1.0;", UPGRADE, CONNECTION, HOST, PROTO],
        works: false,
    },
    Scenario {
        site: "no-origin.example",
        title: "The Origin header is removed",
        location: &[VERSION, UPGRADE, CONNECTION, HOST, PROTO, "proxy_set_header Origin \"\";"],
        works: false,
    },
    Scenario {
        site: "no-proto.example",
        title: "X-Forwarded-Proto is not set, so the application takes https for http",
        location: &[VERSION, UPGRADE, CONNECTION, HOST],
        works: false,
    },
    Scenario {
        site: "wrong-host.example",
        title: "Host is the backend's address instead of the visitor's",
        location: &[VERSION, UPGRADE, CONNECTION, "proxy_set_header Host $proxy_host;", PROTO],
        works: false,
    },
];

/// The `server` block of a scenario.
pub(crate) fn server_block(
    scenario: &Scenario,
    listen: std::net::SocketAddr,
    backend: std::net::SocketAddr,
    certificate: &std::path::Path,
) -> String {
    let folder = certificate.display();
    let lines = scenario.location.join("\n    ");
    format!(
        "server {{\n  listen {listen} ssl;\n  server_name {};\n  ssl_certificate {folder}/cert.pem;\n  \
         ssl_certificate_key {folder}/key.pem;\n  location / {{\n    proxy_pass http://{backend};\n    \
         {lines}\n  }}\n}}\n",
        scenario.site
    )
}
