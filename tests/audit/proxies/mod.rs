//! The proxies, each right and wrong.

mod apache;
mod caddy;
mod envoy;
mod haproxy;
mod nginx;
mod traefik;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use wstap_tests::process::Process;
use wstap_tests::workspace;

use super::faults::Fault;
use super::stage::Stage;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proxy {
    Nginx,
    Haproxy,
    Apache,
    Caddy,
    Traefik,
    Envoy,
}

/// Which front has which fault.
pub(crate) type Fronts<'a> = &'a [(Fault, SocketAddr)];

impl Proxy {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Apache => "apache",
            Self::Caddy => "caddy",
            Self::Traefik => "traefik",
            Self::Envoy => "envoy",
        }
    }

    /// What it is configured wrong in; the first is right.
    pub(crate) const fn faults(self) -> &'static [Fault] {
        match self {
            Self::Nginx => nginx::FAULTS,
            Self::Haproxy => haproxy::FAULTS,
            Self::Apache => apache::FAULTS,
            Self::Caddy => caddy::FAULTS,
            Self::Traefik => traefik::FAULTS,
            Self::Envoy => envoy::FAULTS,
        }
    }
}

/// Starts it with these fronts.
pub(crate) fn start(proxy: Proxy, stage: &Stage, fronts: Fronts<'_>) -> Result<Process> {
    match proxy {
        Proxy::Nginx => nginx::start(stage, fronts),
        Proxy::Haproxy => haproxy::start(stage, fronts),
        Proxy::Apache => apache::start(stage, fronts),
        Proxy::Caddy => caddy::start(stage, fronts),
        Proxy::Traefik => traefik::start(stage, fronts),
        Proxy::Envoy => envoy::start(stage, fronts),
    }
}

/// A program that Debian keeps for administrators.
fn administrators(program: &str) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin"));
    command
}

/// A program of the Python packages that `cargo xtask setup` installs: Caddy with the live tests', the others here.
fn packaged(program: &str) -> Command {
    let environment = if program == "caddy" { "servers" } else { "proxies" };
    Command::new(workspace().join("target").join(environment).join("bin").join(program))
}

/// The folder as it stands in a configuration.
fn place(stage: &Stage) -> &Path {
    &stage.folder
}
