//! Handshakes born on HTTP/2 (RFC 8441): behind a gateway that translates them, and behind one that makes no key.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use wstap_tests::http::{self, Answer};
use wstap_tests::process::Process;
use wstap_tests::{PATIENCE, free_port, wait_for, workspace};

use crate::stage::Stage;

/// What a browser sends in an extended CONNECT, and in a handshake over HTTP/1.1 too.
const BROWSER: &[(&str, &str)] = &[
    ("origin", "https://app.example"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-extensions", "permessage-deflate"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0"),
    ("accept-language", "en"),
    ("sec-fetch-mode", "websocket"),
    ("sec-fetch-site", "same-origin"),
];

/// A self-signed certificate for app.example, with its key in the same file, as HAProxy wants it.
fn certificate(folder: &Path) -> Result<()> {
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args([
            "-days",
            "2",
            "-subj",
            "/CN=app.example",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])
        .args([
            "-addext",
            "subjectAltName=DNS:app.example",
            "-keyout",
            "both.pem",
            "-out",
            "cert.pem",
        ])
        .current_dir(folder)
        .output()
        .context("cannot start openssl")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let both = [folder.join("cert.pem"), folder.join("both.pem")].map(std::fs::read);
    let [cert, key] = both;
    std::fs::write(folder.join("both.pem"), [cert?, key?].concat())?;
    Ok(())
}

/// Opens a WebSocket inside an HTTP/2 connection; over TLS when there is a certificate to trust. The answer's status.
fn extended_connect(to: SocketAddr, trusted: Option<&Path>, path: &str) -> Result<u16> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::time::timeout(PATIENCE, async {
            let tcp = TcpStream::connect(to).await?;
            let Some(trusted) = trusted else { return over(tcp, path).await };
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(trusted)?)?;
            let mut config =
                ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
            config.alpn_protocols = vec![b"h2".to_vec()];
            let tls = tokio_rustls::TlsConnector::from(Arc::new(config));
            let name = ServerName::try_from("app.example")?;
            over(tls.connect(name, tcp).await?, path).await
        })
        .await?
    })
}

async fn over(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, path: &str) -> Result<u16> {
    let (send, connection) = h2::client::handshake(io).await?;
    let driver = tokio::spawn(connection);
    let mut send: SendRequest<Bytes> = send.ready().await?;
    // The offer comes with the server's SETTINGS.
    while !send.is_extended_connect_protocol_enabled() {
        tokio::time::sleep(Duration::from_millis(5)).await;
        send = send.ready().await?;
    }
    let mut request = ::http::Request::builder()
        .method("CONNECT")
        .uri(format!("https://app.example{path}"))
        .extension(Protocol::from_static("websocket"));
    for (name, value) in BROWSER {
        request = request.header(*name, *value);
    }
    let (response, mut body) = send.send_request(request.body(())?, false)?;
    let status = response.await?.status().as_u16();
    if status == 200 {
        // A close frame with 1000, masked with zeros.
        body.send_data(Bytes::from_static(b"\x88\x82\0\0\0\0\x03\xe8"), true)?;
    }
    drop((send, body));
    driver.await??;
    Ok(status)
}

fn event(stage: &Stage, path: &str) -> Result<Value> {
    stage.event(|event| {
        event["role"] == "server"
            && event["path"] == path
            && event["local"] == stage.server().to_string().as_str()
    })
}

fn listens(process: &mut Process, at: SocketAddr) -> Result<()> {
    wait_for("the gateway", || {
        process.check_alive()?;
        Ok(std::net::TcpStream::connect(at).ok())
    })
    .with_context(|| process.log())?;
    Ok(())
}

#[test]
fn a_gateway_that_translates_makes_a_key_of_its_own_and_the_handshake_is_accepted() -> Result<()> {
    let stage = Stage::new("h2-haproxy", &[])?;
    certificate(&stage.folder)?;
    let front =
        |host: u8| Ok::<_, anyhow::Error>(SocketAddr::from(([127, 77, 8, host], free_port()?)));
    let (tls, plain) = (front(1)?, front(2)?);
    let pem = stage.folder.join("both.pem");
    let config = format!(
        "defaults\nmode http\ntimeout connect 5s\ntimeout client 60s\ntimeout server 60s\n\
         frontend front\nbind {tls} ssl crt {} alpn h2\nbind {plain} proto h2\ndefault_backend app\n\
         backend app\nserver only {}\n",
        pem.display(),
        stage.server(),
    );
    let file = stage.folder.join("haproxy.cfg");
    std::fs::write(&file, config)?;
    let mut haproxy = Command::new("haproxy");
    let path = std::env::var("PATH").unwrap_or_default();
    haproxy.env("PATH", format!("{path}:/usr/sbin")).arg("-db").arg("-f").arg(file);
    let mut haproxy = Process::start("haproxy", &mut haproxy, &stage.folder)?;
    listens(&mut haproxy, tls)?;
    let cert = stage.folder.join("cert.pem");
    for (to, trusted, path) in
        [(tls, Some(&*cert), "/accept/h2-tls"), (plain, None, "/accept/h2-plain")]
    {
        let status = extended_connect(to, trusted, path)?;
        ensure!(status == 200, "{path}: {status}");
        let event = event(&stage, path)?;
        ensure!(event["outcome"] == "accepted" && event["cause"].is_null(), "{event:#}");
    }
    stage.agent.wait_for_metrics("the plaintext HTTP/2 connection", |metrics| {
        let of = |role| [("role", role), ("extended_connect", "offered")];
        // One end of it is HAProxy's, the other this test's.
        ["server", "client"]
            .iter()
            .all(|role| metrics.count("wstap_h2_connections_total", &of(role)) == 1)
    })?;
    Ok(())
}

#[test]
fn a_gateway_that_makes_no_key_is_told_with_its_own_fix() -> Result<()> {
    let stage = Stage::new("h2-envoy", &[])?;
    let front = SocketAddr::from(([127, 77, 8, 3], free_port()?));
    let server = stage.server();
    let config = format!(
        r#"static_resources:
  listeners:
  - address: {{socket_address: {{address: {}, port_value: {}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          http2_protocol_options: {{allow_connect: true}}
          upgrade_configs: [{{upgrade_type: websocket}}]
          route_config: {{virtual_hosts: [{{name: app, domains: ["*"], routes: [{{match: {{prefix: "/"}}, route: {{cluster: app}}}}]}}]}}
          http_filters: [{{name: envoy.filters.http.router, typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}]
  clusters:
  - name: app
    connect_timeout: 5s
    load_assignment: {{cluster_name: app, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: {}, port_value: {}}}}}}}}}]}}]}}
"#,
        front.ip(),
        front.port(),
        server.ip(),
        server.port(),
    );
    let file = stage.folder.join("envoy.yaml");
    std::fs::write(&file, config)?;
    let mut envoy = Command::new(workspace().join("target/servers/bin/envoy"));
    envoy.arg("-c").arg(file).args(["--concurrency", "1", "--use-dynamic-base-id", "-l", "error"]);
    let mut envoy = Process::start("envoy", &mut envoy, &stage.folder)?;
    listens(&mut envoy, front)?;
    let path = "/accept/h2-envoy";
    let status = extended_connect(front, None, path)?;
    ensure!(status == 400, "the server wants a key, and said {status}");
    let event = event(&stage, path)?;
    ensure!(event["cause"] == "extended-connect-untranslated", "{event:#}");
    let fix = event["fix"].as_str().unwrap_or_default();
    ensure!(fix.starts_with("envoy: ") && fix.contains("allow_connect"), "{fix}");
    // The same through the same gateway over HTTP/1.1.
    let sound = http::upgrade("/accept/h1-envoy", "app.example", "https://app.example");
    ensure!(http::ask(front, sound.as_bytes())? == Answer::Status(101));
    Ok(())
}

#[test]
fn a_gateway_that_adds_nothing_is_told_too() -> Result<()> {
    let stage = Stage::new("h2-bare", &[])?;
    let mut request = "GET /missing/h2-bare HTTP/1.1\r\nHost: app.example\r\n".to_owned();
    for (name, value) in BROWSER {
        write!(request, "{name}: {value}\r\n")?;
    }
    request += "\r\n";
    http::ask(stage.server(), request.as_bytes())?;
    let event = event(&stage, "/missing/h2-bare")?;
    ensure!(event["cause"] == "extended-connect-untranslated", "{event:#}");
    ensure!(event["confidence"] != "certain", "a script can send the same: {event:#}");
    Ok(())
}
