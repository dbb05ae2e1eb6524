//! The proxies of the matrix, started once: a listener for each fault, a route for each server.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use wstap_tests::nginx::{Nginx, UPGRADE};
use wstap_tests::process::{Process, administrators};
use wstap_tests::{free_port, wait_for, workspace};

use super::faults::{Fault, OF_PROXY};

/// A proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Proxy {
    Nginx,
    Haproxy,
    Apache,
    Caddy,
}

pub(super) const PROXIES: &[Proxy] = &[Proxy::Nginx, Proxy::Haproxy, Proxy::Apache, Proxy::Caddy];

/// Where each server is, by the first segment of the path.
pub(super) type Routes = Vec<(&'static str, SocketAddr)>;

/// All proxies, running.
pub(super) struct Proxies {
    /// Where each listens for each fault that it can make.
    pub(super) fronts: HashMap<(Proxy, Fault), SocketAddr>,
    _nginx: Nginx,
    _others: Vec<Process>,
}

impl Proxies {
    pub(super) fn start(folder: &Path, routes: &Routes) -> Result<Self> {
        // One port on addresses of their own: no outgoing connection can have taken it there.
        let port = free_port()?;
        let mut fronts = HashMap::new();
        for (proxy, third) in PROXIES.iter().zip(1..) {
            for (fault, fourth) in OF_PROXY.iter().zip(1..).filter(|(fault, _)| proxy.can(**fault))
            {
                let front = SocketAddr::from(([127, 77, third, fourth], port));
                fronts.insert((*proxy, *fault), front);
            }
        }
        let of = |proxy: Proxy| -> Vec<(Fault, SocketAddr)> {
            let own = fronts.iter().filter(|((other, _), _)| *other == proxy);
            own.map(|((_, fault), front)| (*fault, *front)).collect()
        };
        let addresses: Vec<_> = of(Proxy::Nginx).iter().map(|(_, front)| *front).collect();
        let nginx = Nginx::start(folder, &nginx(&of(Proxy::Nginx), routes), &addresses)?;
        let mut others = vec![
            start_haproxy(folder, &of(Proxy::Haproxy), routes)?,
            start_apache(folder, &of(Proxy::Apache), routes)?,
            start_caddy(folder, &of(Proxy::Caddy), routes)?,
        ];
        wait_for("the proxies", || {
            others.iter_mut().try_for_each(Process::check_alive)?;
            Ok(fronts.values().all(|front| TcpStream::connect(front).is_ok()).then_some(()))
        })?;
        Ok(Self { fronts, _nginx: nginx, _others: others })
    }
}

impl Proxy {
    /// Whether a configuration of this proxy makes the fault.
    pub(super) fn can(self, fault: Fault) -> bool {
        match fault {
            // The others always speak HTTP/1.1 to the server.
            Fault::Http10 => self == Self::Nginx,
            // HAProxy and Apache write Connection by themselves.
            Fault::ConnectionOverwritten => matches!(self, Self::Nginx | Self::Caddy),
            _ => true,
        }
    }

    /// Whether it tells the client's `Host` in X-Forwarded-Host though it makes the fault.
    pub(super) fn forwards_host(self, fault: Fault) -> bool {
        match self {
            // It copies `Host` after its own edits of it.
            Self::Apache => fault != Fault::PortDropped,
            Self::Caddy => true,
            Self::Nginx | Self::Haproxy => false,
        }
    }

    /// Whether it refuses a handshake without a key by itself.
    pub(super) fn wants_key(self) -> bool {
        self == Self::Haproxy
    }
}

/// X-Forwarded-Proto as the proxy sets it; none when it must not.
fn proto(fault: Fault) -> Option<&'static str> {
    match fault {
        Fault::ProtoMissing => None,
        Fault::ProtoHttp => Some("http"),
        Fault::ProtoWss => Some("wss"),
        _ => Some("https"),
    }
}

fn nginx(fronts: &[(Fault, SocketAddr)], routes: &Routes) -> String {
    let mut text = String::new();
    for (fault, front) in fronts {
        let upgrade = match fault {
            Fault::NoUpgrade => "proxy_http_version 1.1;".to_owned(),
            Fault::Http10 => UPGRADE.replace("1.1", "1.0"),
            Fault::ConnectionOverwritten => UPGRADE.replace("$connection_upgrade", "keep-alive"),
            _ => UPGRADE.to_owned(),
        };
        let host = match fault {
            Fault::HostRewritten => "",
            Fault::PortDropped => "proxy_set_header Host $host;",
            _ => "proxy_set_header Host $http_host;",
        };
        let origin = match fault {
            Fault::OriginRemoved => "proxy_set_header Origin '';",
            Fault::OriginRewritten => "proxy_set_header Origin http://$proxy_host;",
            _ => "",
        };
        let proto = proto(*fault)
            .map(|proto| format!("proxy_set_header X-Forwarded-Proto {proto};"))
            .unwrap_or_default();
        let _ = writeln!(text, "server {{ listen {front}; {upgrade} {host} {origin} {proto}");
        for (name, address) in routes {
            let _ = writeln!(text, "location /{name}/ {{ proxy_pass http://{address}; }}");
        }
        text.push_str("}\n");
    }
    text
}

fn start_haproxy(
    folder: &Path,
    fronts: &[(Fault, SocketAddr)],
    routes: &Routes,
) -> Result<Process> {
    let mut text = "global\nmaxconn 512\ndefaults\nmode http\nretries 0\ntimeout connect 5s\n\
                    timeout client 60s\ntimeout server 60s\ntimeout tunnel 60s\n"
        .to_owned();
    for (fault, front) in fronts {
        writeln!(text, "frontend {fault:?}\nbind {front}")?;
        if let Some(proto) = proto(*fault) {
            writeln!(text, "http-request set-header X-Forwarded-Proto {proto}")?;
        }
        match fault {
            Fault::NoUpgrade => text
                .push_str("http-request del-header Upgrade\nhttp-request del-header Connection\n"),
            Fault::OriginRemoved => text.push_str("http-request del-header Origin\n"),
            Fault::PortDropped => text.push_str("http-request set-header Host app.example\n"),
            _ => {}
        }
        for (name, address) in routes {
            let edit = match fault {
                Fault::HostRewritten => format!("set-header Host {address}"),
                Fault::OriginRewritten => format!("set-header Origin http://{address}"),
                _ => continue,
            };
            writeln!(text, "http-request {edit} if {{ path_beg /{name}/ }}")?;
        }
        for (name, _) in routes {
            writeln!(text, "use_backend {name} if {{ path_beg /{name}/ }}")?;
        }
    }
    for (name, address) in routes {
        writeln!(text, "backend {name}\nserver only {address}")?;
    }
    let file = folder.join("haproxy.cfg");
    std::fs::write(&file, text)?;
    Process::start("haproxy", administrators("haproxy").arg("-db").arg("-f").arg(file), folder)
}

fn start_apache(folder: &Path, fronts: &[(Fault, SocketAddr)], routes: &Routes) -> Result<Process> {
    let place = folder.display();
    let mut text = format!(
        "ServerRoot {place}\nServerName app.example\nPidFile {place}/apache.pid\n\
         DefaultRuntimeDir {place}\nErrorLog {place}/apache-error.log\n"
    );
    for module in ["mpm_event", "authz_core", "headers", "proxy", "proxy_http"] {
        writeln!(text, "LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so")?;
    }
    for (fault, front) in fronts {
        let keep = if *fault == Fault::HostRewritten { "Off" } else { "On" };
        writeln!(text, "Listen {front}\n<VirtualHost {front}>\nProxyPreserveHost {keep}")?;
        if let Some(proto) = proto(*fault) {
            writeln!(text, "RequestHeader set X-Forwarded-Proto {proto}")?;
        }
        match fault {
            Fault::OriginRemoved => text.push_str("RequestHeader unset Origin\n"),
            Fault::PortDropped => text.push_str("RequestHeader set Host app.example\n"),
            _ => {}
        }
        let upgrade = if *fault == Fault::NoUpgrade { "" } else { "upgrade=websocket" };
        for (name, address) in routes {
            writeln!(text, "ProxyPass /{name}/ http://{address}/{name}/ {upgrade}")?;
            if *fault == Fault::OriginRewritten {
                writeln!(
                    text,
                    "<Location /{name}/>\nRequestHeader set Origin http://{address}\n</Location>"
                )?;
            }
        }
        text.push_str("</VirtualHost>\n");
    }
    let file = folder.join("apache.conf");
    std::fs::write(&file, text)?;
    let mut apache = administrators("apache2");
    Process::start("apache", apache.arg("-DFOREGROUND").arg("-f").arg(file), folder)
}

fn start_caddy(folder: &Path, fronts: &[(Fault, SocketAddr)], routes: &Routes) -> Result<Process> {
    let mut text = "{\nadmin off\nauto_https off\npersist_config off\n}\n".to_owned();
    for (fault, front) in fronts {
        writeln!(text, "http://:{} {{\nbind {}", front.port(), front.ip())?;
        let proto = proto(*fault).map_or_else(
            || "header_up -X-Forwarded-Proto".to_owned(),
            |proto| format!("header_up X-Forwarded-Proto {proto}"),
        );
        let edit = match fault {
            Fault::NoUpgrade => "header_up -Upgrade\nheader_up -Connection",
            Fault::ConnectionOverwritten => "header_up Connection keep-alive",
            Fault::OriginRemoved => "header_up -Origin",
            Fault::OriginRewritten => "header_up Origin http://{upstream_hostport}",
            Fault::HostRewritten => "header_up Host {upstream_hostport}",
            Fault::PortDropped => "header_up Host app.example",
            _ => "",
        };
        for (name, address) in routes {
            writeln!(
                text,
                "handle /{name}/* {{\nreverse_proxy {address} {{\n{proto}\n{edit}\n}}\n}}"
            )?;
        }
        text.push_str("}\n");
    }
    let file = folder.join("Caddyfile");
    std::fs::write(&file, text)?;
    let mut caddy = Command::new(workspace().join("target/servers/bin/caddy"));
    caddy.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
    // It keeps its state in the home of its user.
    Process::start("caddy", caddy.env("HOME", folder).env_remove("XDG_DATA_HOME"), folder)
}
