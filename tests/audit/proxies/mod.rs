//! The proxies, each right and wrong.

mod apache;
mod caddy;
mod envoy;
mod haproxy;
mod nginx;
mod traefik;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
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
    pub(crate) const ALL: [Self; 6] =
        [Self::Nginx, Self::Haproxy, Self::Apache, Self::Caddy, Self::Traefik, Self::Envoy];

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

/// Writes its configuration with these fronts.
pub(crate) fn configure(proxy: Proxy, stage: &Stage, fronts: Fronts<'_>) -> Result<PathBuf> {
    match proxy {
        Proxy::Nginx => nginx::configure(stage, fronts),
        Proxy::Haproxy => haproxy::configure(stage, fronts),
        Proxy::Apache => apache::configure(stage, fronts),
        Proxy::Caddy => caddy::configure(stage, fronts),
        Proxy::Traefik => traefik::configure(stage, fronts),
        Proxy::Envoy => envoy::configure(stage, fronts),
    }
}

/// Starts it with these fronts.
pub(crate) fn start(proxy: Proxy, stage: &Stage, fronts: Fronts<'_>) -> Result<Process> {
    run_file(proxy, stage, &configure(proxy, stage, fronts)?)
}

/// Starts it with a configuration that is there.
pub(crate) fn run_file(proxy: Proxy, stage: &Stage, file: &Path) -> Result<Process> {
    match proxy {
        Proxy::Nginx => nginx::start(stage, file),
        Proxy::Haproxy => haproxy::start(stage, file),
        Proxy::Apache => apache::start(stage, file),
        Proxy::Caddy => caddy::start(stage, file),
        Proxy::Traefik => traefik::start(stage, file),
        Proxy::Envoy => envoy::start(stage, file),
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
