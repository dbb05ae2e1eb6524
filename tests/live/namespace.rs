//! A second network namespace on this host.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};

/// The namespace's own address.
pub(crate) const THERE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 82);

/// A network namespace with a veth pair to the host, 203.0.113.81 here and [`THERE`] there.
pub(crate) struct Namespace(pub(crate) &'static str);

impl Namespace {
    pub(crate) fn new(name: &'static str) -> Result<Self> {
        let space = Self(name);
        ip(&format!("netns add {name}"))?;
        ip(&format!("link add wstap-here type veth peer name there netns {name}"))?;
        ip("address add 203.0.113.81/30 dev wstap-here")?;
        ip("link set wstap-here up")?;
        ip(&format!("-n {name} address add {THERE}/30 dev there"))?;
        ip(&format!("-n {name} link set there up"))?;
        ip(&format!("-n {name} link set lo up"))?;
        Ok(space)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Its end of the pair goes with it, and the pair with its end.
        let _deleted = ip(&format!("netns del {}", self.0));
    }
}

fn ip(arguments: &str) -> Result<()> {
    let output = std::process::Command::new("ip").args(arguments.split(' ')).output()?;
    ensure!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
