//! A second network namespace on this host.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};

/// The host's address.
pub(crate) const HERE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 81);
/// The namespace's own address.
pub(crate) const THERE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 82);

/// A network namespace with a veth pair to the host, [`HERE`] here and [`THERE`] there.
pub(crate) struct Namespace(pub(crate) &'static str);

impl Namespace {
    pub(crate) fn new(name: &'static str) -> Result<Self> {
        let space = Self(name);
        ip(&format!("netns add {name}"))?;
        ip(&format!("link add wstap-here type veth peer name there netns {name}"))?;
        ip(&format!("address add {HERE}/30 dev wstap-here"))?;
        ip("link set wstap-here up")?;
        ip(&format!("-n {name} address add {THERE}/30 dev there"))?;
        ip(&format!("-n {name} link set there up"))?;
        ip(&format!("-n {name} link set lo up"))?;
        Ok(space)
    }
}

impl Namespace {
    /// Makes a bad network of the one between the host and the namespace, both ways: `network` is in tc-netem's words.
    pub(crate) fn disturb(&self, network: &str) -> Result<()> {
        let netem = |device| format!("qdisc add dev {device} root netem {network}");
        run("tc", &netem("wstap-here"))?;
        run("tc", &format!("-n {} {}", self.0, netem("there")))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Its end of the pair goes with it, and the pair with its end.
        let _deleted = ip(&format!("netns del {}", self.0));
    }
}

fn ip(arguments: &str) -> Result<()> {
    run("ip", arguments)
}

fn run(program: &str, arguments: &str) -> Result<()> {
    let output = std::process::Command::new(program).args(arguments.split(' ')).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {arguments}: {said}");
    Ok(())
}
