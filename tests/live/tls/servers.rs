//! Real software that ends TLS: proxies before a plain server, and servers that do it themselves.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use wstap_tests::nginx::{Nginx, UPGRADE};
use wstap_tests::node::Node;
use wstap_tests::process::{Lines, Process, administrators};
use wstap_tests::{free_port, wait_for, workspace};

/// Something that ends TLS.
pub(super) struct Front {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    _runs: Runs,
}

#[expect(dead_code, reason = "they end with their guards")]
enum Runs {
    Process(Process, Option<Lines>),
    Nginx(Nginx),
    Node(Node),
}

/// A certificate in the folder, as files of their own and in one.
pub(super) fn certificate(folder: &Path) -> Result<()> {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args([
            "-days",
            "2",
            "-subj",
            "/CN=app.example",
            "-addext",
            "subjectAltName=DNS:app.example",
        ])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(folder)
        .output()
        .context("cannot start openssl")?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let both = ["cert.pem", "key.pem"].map(|file| std::fs::read(folder.join(file)));
    let [certificate, key] = both;
    std::fs::write(folder.join("both.pem"), [certificate?, key?].concat())?;
    Ok(())
}

/// All of them; the proxies pass to `backend`.
pub(super) fn start(folder: &Path, backend: SocketAddr) -> Result<Vec<Front>> {
    Ok(vec![
        nginx(folder, backend, "")?,
        haproxy(folder, backend)?,
        apache(folder, backend)?,
        caddy(folder, backend)?,
        node(folder)?,
        python(folder, "uvicorn")?,
        python(folder, "websockets")?,
        go(folder)?,
    ])
}

fn own() -> Result<SocketAddr> {
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)))
}

/// nginx, with further lines in its `location`.
pub(super) fn nginx(folder: &Path, backend: SocketAddr, lines: &str) -> Result<Front> {
    let address = own()?;
    let place = folder.display();
    let server = format!(
        "server {{ listen {address} ssl; ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {place}/cert.pem; ssl_certificate_key {place}/key.pem; \
         location / {{ {UPGRADE} proxy_set_header Host $http_host; {lines} proxy_pass http://{backend}; }} }}"
    );
    let nginx = Nginx::start(folder, &server, &[address])?;
    Ok(Front { name: "nginx", address, _runs: Runs::Nginx(nginx) })
}

fn haproxy(folder: &Path, backend: SocketAddr) -> Result<Front> {
    let address = own()?;
    let text = format!(
        "defaults\nmode http\ntimeout connect 5s\ntimeout client 60s\ntimeout server 60s\ntimeout tunnel 60s\n\
         frontend front\nbind {address} ssl crt {}/both.pem\ndefault_backend plain\nbackend plain\nserver only {backend}\n",
        folder.display()
    );
    let file = folder.join("haproxy.cfg");
    std::fs::write(&file, text)?;
    let mut command = administrators("haproxy");
    listening("haproxy", command.arg("-db").arg("-f").arg(file), folder, address)
}

fn apache(folder: &Path, backend: SocketAddr) -> Result<Front> {
    let address = own()?;
    let place = folder.display();
    let mut text = format!(
        "ServerRoot {place}\nServerName app.example\nPidFile {place}/apache.pid\nDefaultRuntimeDir {place}\n\
         ErrorLog {place}/apache-error.log\nListen {address}\n\
         StartServers 1\nServerLimit 1\nThreadsPerChild 64\nMaxRequestWorkers 64\n"
    );
    for module in ["mpm_event", "authz_core", "socache_shmcb", "ssl", "proxy", "proxy_http"] {
        writeln!(text, "LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so")?;
    }
    write!(
        text,
        "<VirtualHost {address}>\nSSLEngine on\nSSLCertificateFile {place}/cert.pem\nSSLCertificateKeyFile {place}/key.pem\n\
         ProxyPreserveHost On\nProxyPass / http://{backend}/ upgrade=websocket\n</VirtualHost>\n"
    )?;
    let file = folder.join("apache.conf");
    std::fs::write(&file, text)?;
    let mut command = administrators("apache2");
    listening("apache", command.arg("-DFOREGROUND").arg("-f").arg(file), folder, address)
}

fn caddy(folder: &Path, backend: SocketAddr) -> Result<Front> {
    let address = own()?;
    let place = folder.display();
    let text = format!(
        "{{\nadmin off\nauto_https off\npersist_config off\n}}\nhttps://app.example:{} {{\nbind {}\n\
         tls {place}/cert.pem {place}/key.pem\nreverse_proxy {backend}\n}}\n",
        address.port(),
        address.ip()
    );
    let file = folder.join("Caddyfile");
    std::fs::write(&file, text)?;
    let mut command = Command::new(workspace().join("target/servers/bin/caddy"));
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
    command.env("HOME", folder).env_remove("XDG_DATA_HOME");
    listening("caddy", &mut command, folder, address)
}

fn node(folder: &Path) -> Result<Front> {
    let place = folder.to_string_lossy();
    let node = Node::start(folder, "tests/live/servers/ws.js", &["127.0.0.1", "0", &place])?;
    Ok(Front { name: "node", address: node.address(), _runs: Runs::Node(node) })
}

fn python(folder: &Path, kind: &'static str) -> Result<Front> {
    let mut command = Command::new(workspace().join("target/servers/bin/python"));
    command.arg(workspace().join("tests/live/servers/tls/python.py")).arg(kind);
    telling(kind, command.arg(folder.join("cert.pem")).arg(folder.join("key.pem")), folder)
}

fn go(folder: &Path) -> Result<Front> {
    let mut command = Command::new(workspace().join("target/servers/bin/gorilla"));
    telling("go", command.arg(folder.join("cert.pem")).arg(folder.join("key.pem")), folder)
}

/// Starts a program that listens where it was told.
fn listening(
    name: &'static str,
    command: &mut Command,
    folder: &Path,
    address: SocketAddr,
) -> Result<Front> {
    let mut process = Process::start(name, command, folder)?;
    wait_for(name, || {
        process.check_alive()?;
        Ok(TcpStream::connect(address).is_ok().then_some(()))
    })?;
    Ok(Front { name, address, _runs: Runs::Process(process, None) })
}

/// Starts a program that says where it listens.
fn telling(name: &'static str, command: &mut Command, folder: &Path) -> Result<Front> {
    let (process, lines) = Process::start_with_lines(name, command, folder)?;
    let line = lines.next().with_context(|| process.log())?;
    let port: u16 = line.strip_prefix("listening ").with_context(|| line.clone())?.parse()?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    wait_for(name, || Ok(TcpStream::connect(address).is_ok().then_some(())))?;
    Ok(Front { name, address, _runs: Runs::Process(process, Some(lines)) })
}
