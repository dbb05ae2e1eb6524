//! What a proxy can do wrong, and what an audit must say of it.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Result, ensure};
use wstap_tests::wait_for;

use super::proxies::{Proxy, start};
use super::stage::{Stage, fronts, listening, run};

/// One thing that is wrong; each proxy has the ones that its configuration can express.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    UpgradeLost,
    ConnectionLost,
    Http10,
    HostRewritten,
    PortDropped,
    OriginRemoved,
    OriginMadeGood,
    OriginMadeForeign,
    ProtoMissing,
    ProtoWrong,
    ProtoTrusted,
    PathCut,
    CookieLost,
    SubprotocolLost,
    ExtensionsLost,
    SmallHeads,
    ShortIdle,
    Redirects,
    NoBackend,
    NoRoute,
}

impl Fault {
    /// What the audit finds, as [`super::stage::Audited::faults`] has it.
    fn found(self, proxy: Proxy) -> Vec<String> {
        let one = |finding: &str| vec![finding.to_owned()];
        match self {
            Self::None => Vec::new(),
            // It refuses by itself.
            Self::UpgradeLost if proxy == Proxy::Envoy => one("handshake fail forbidden"),
            Self::UpgradeLost => one("handshake fail upgrade-stripped"),
            Self::ConnectionLost => one("handshake fail connection-stripped"),
            Self::Http10 => one("handshake fail http-version"),
            Self::HostRewritten => one("arrived/host fail host-rewritten"),
            Self::PortDropped => one("arrived/host fail port-mismatch"),
            Self::OriginRemoved => one("arrived/origin fail origin-stripped"),
            Self::OriginMadeForeign => one("handshake fail origin-rewritten"),
            Self::OriginMadeGood => [
                "absent fail",
                "foreign exposed",
                "http exposed",
                "null exposed",
                "port exposed",
                "prefix exposed",
                "suffix exposed",
            ]
            .map(|what| format!("origin/{what} origin-rewritten"))
            .into(),
            Self::ProtoMissing => one("forwarded/proto fail forwarded-proto-missing"),
            Self::ProtoWrong => one("forwarded/proto fail forwarded-proto-wrong"),
            Self::ProtoTrusted => one("forwarded/proto exposed forwarded-forged"),
            Self::PathCut => one("arrived/path fail route-not-found"),
            Self::CookieLost => one("arrived/cookie fail auth-required"),
            Self::SubprotocolLost => one("handshake fail subprotocol-required"),
            Self::ExtensionsLost => one("deflate fail request-altered"),
            Self::SmallHeads => one("form/head-8k fail header-too-large"),
            Self::ShortIdle => one("idle/silent fail idle-timeout"),
            Self::Redirects => one("handshake fail redirected"),
            Self::NoBackend => one("handshake fail upstream-unavailable"),
            Self::NoRoute => one("handshake fail route-not-found"),
        }
    }

    /// The cause of what is found.
    pub(crate) fn cause(self, proxy: Proxy) -> Option<String> {
        let found = self.found(proxy).into_iter().next()?;
        found.rsplit_once(' ').map(|(_, cause)| cause.to_owned())
    }

    /// What lint is known to say instead of the cause: nothing about what only the backend or a client can know, nothing yet
    /// about most of Caddy's header_up, and of a literal name that it is another host's.
    pub(crate) fn lint_says_instead(self, proxy: Proxy) -> Option<&'static str> {
        match (self, proxy) {
            (
                Self::PathCut
                | Self::CookieLost
                | Self::SubprotocolLost
                | Self::ExtensionsLost
                | Self::SmallHeads
                | Self::NoBackend
                | Self::NoRoute,
                _,
            ) => Some(""),
            (Self::UpgradeLost | Self::ConnectionLost, Proxy::Caddy) => None,
            (_, Proxy::Caddy) => Some(""),
            (Self::PortDropped, Proxy::Haproxy | Proxy::Envoy) => Some("host-rewritten"),
            _ => None,
        }
    }
}

/// The audit of a front with this fault.
fn audit(stage: &Stage, fault: Fault, front: SocketAddr) -> Command {
    let mut command = stage.audit_to_backend(front);
    if fault == Fault::ShortIdle {
        // Longer than the hop's timeout, and pings come more often than that.
        command.args(["--idle", "4s"]);
    }
    if fault == Fault::None {
        let closed = wstap_tests::free_port().unwrap_or(1);
        command.args(["--strict", "--plain-port", &closed.to_string()]);
    }
    command
}

/// Every fault of a proxy, each with a front of its own, in one process of it.
pub(crate) fn every_fault(proxy: Proxy) -> Result<()> {
    let stage = Stage::new(proxy.name())?;
    let faults = proxy.faults();
    let ports = fronts(faults.len())?;
    let fronts: Vec<_> = faults.iter().copied().zip(ports.iter().copied()).collect();
    let mut process = start(proxy, &stage, &fronts)?;
    process.check_alive()?;
    listening(proxy.name(), &ports)?;
    // Traefik listens before it knows its certificates.
    wait_for("TLS", || {
        let code = stage.audit(ports[0]).output()?.status.code();
        Ok((code != Some(3)).then_some(()))
    })?;
    let mut wrong = Vec::new();
    for (fault, front) in fronts {
        let audited = run(&mut audit(&stage, fault, front))?;
        let (found, wanted) = (audited.faults(), fault.found(proxy));
        if found != wanted {
            wrong.push(format!("{fault:?}: wanted {wanted:?}, found {found:?}\n{}", audited.text));
            continue;
        }
        let code = match fault {
            Fault::None => 0,
            _ if wanted.iter().any(|finding| finding.contains(" exposed ")) => 4,
            _ => 1,
        };
        if audited.code != code {
            wrong.push(format!("{fault:?}: exit {} {:?}", audited.code, audited.doubts()));
        }
    }
    ensure!(wrong.is_empty(), "{}: {}\n{}", proxy.name(), wrong.join("\n"), process.log());
    Ok(())
}

#[test]
fn nginx() -> Result<()> {
    every_fault(Proxy::Nginx)
}

#[test]
fn haproxy() -> Result<()> {
    every_fault(Proxy::Haproxy)
}

#[test]
fn apache() -> Result<()> {
    every_fault(Proxy::Apache)
}

#[test]
fn caddy() -> Result<()> {
    every_fault(Proxy::Caddy)
}

#[test]
fn traefik() -> Result<()> {
    every_fault(Proxy::Traefik)
}

#[test]
fn envoy() -> Result<()> {
    every_fault(Proxy::Envoy)
}
