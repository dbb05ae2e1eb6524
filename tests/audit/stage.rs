//! What every test needs: certificates, ports, and an audit run as a user runs it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use wstap_tests::{free_port, scratch, wait_for, workspace};

/// The name that every proxy serves.
pub(crate) const HOST: &str = "app.example";
/// What every audit asks for.
pub(crate) const PATH: &str = "/ws/chat?room=1";

/// A folder with a certificate for [`HOST`], and the port of the audit's backend.
pub(crate) struct Stage {
    pub(crate) folder: PathBuf,
    pub(crate) backend: SocketAddr,
}

impl Stage {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let folder = scratch(&format!("audit-{name}"))?;
        certificates(&folder)?;
        let backend = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        Ok(Self { folder, backend })
    }

    /// The certificate with its key behind it, for proxies that want one file.
    pub(crate) fn both(&self) -> PathBuf {
        self.folder.join("both.pem")
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.join("leaf.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.folder.join("leaf.key")
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// `wstap audit` of the front on this port.
    pub(crate) fn audit(&self, front: SocketAddr) -> Command {
        let port = front.port();
        let mut command = Command::new(workspace().join("target/debug/wstap"));
        command.arg("audit").arg(format!("wss://{HOST}:{port}{PATH}"));
        command.args(["--resolve", &format!("{HOST}:{port}:{}", front.ip()), "--rate", "1000"]);
        command.arg("--ca").arg(self.authority());
        command
    }

    /// The same, with a backend of the audit's own behind the front.
    pub(crate) fn audit_to_backend(&self, front: SocketAddr) -> Command {
        let mut command = self.audit(front);
        command.args(["--backend", &self.backend.to_string()]);
        command
    }
}

/// An authority and a certificate of its own for [`HOST`]: `openssl` as an administrator would use it.
fn certificates(folder: &Path) -> Result<()> {
    let openssl = |arguments: &str| {
        let output = Command::new("openssl")
            .current_dir(folder)
            .args(arguments.split_whitespace())
            .output()
            .context("openssl is missing: `cargo xtask setup` installs it")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        anyhow::Ok(())
    };
    let curve = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {curve} -keyout ca.key -out ca.pem -days 2 -subj /CN=audit-ca"))?;
    openssl(&format!("req {curve} -keyout leaf.key -out leaf.csr -subj /CN={HOST}"))?;
    std::fs::write(folder.join("ext"), format!("subjectAltName=DNS:{HOST}\n"))?;
    openssl(
        "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out leaf.pem",
    )?;
    let both = [folder.join("leaf.pem"), folder.join("leaf.key")].map(std::fs::read_to_string);
    let [certificate, key] = both;
    std::fs::write(folder.join("both.pem"), certificate? + &key?)?;
    Ok(())
}

/// So many ports of loopback that nothing listens on.
pub(crate) fn fronts(count: usize) -> Result<Vec<SocketAddr>> {
    (0..count).map(|_| Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)))).collect()
}

/// Waits until something takes connections on each.
pub(crate) fn listening(what: &str, fronts: &[SocketAddr]) -> Result<()> {
    wait_for(what, || {
        Ok(fronts.iter().all(|f| std::net::TcpStream::connect(f).is_ok()).then_some(()))
    })
}

/// What an audit came to.
#[derive(Debug)]
pub(crate) struct Audited {
    pub(crate) code: i32,
    pub(crate) report: Value,
    pub(crate) text: String,
}

/// Runs an audit and reads its JSON.
pub(crate) fn run(command: &mut Command) -> Result<Audited> {
    let Output { status, stdout, stderr } = command.args(["--format", "json"]).output()?;
    let text = String::from_utf8_lossy(&stdout).into_owned();
    let report = serde_json::from_str(&text)
        .with_context(|| format!("{status}: {text}{}", String::from_utf8_lossy(&stderr)))?;
    Ok(Audited { code: status.code().unwrap_or(-1), report, text })
}

impl Audited {
    /// Every finding as `check verdict cause`, but for those with this verdict.
    fn but(&self, left_out: &[&str]) -> Vec<String> {
        let suites = self.report["suites"].as_array().into_iter().flatten();
        let findings = suites.flat_map(|suite| suite["findings"].as_array().into_iter().flatten());
        let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or("-").to_owned();
        let mut all: Vec<String> = findings
            .filter(|finding| !left_out.contains(&text(finding, "verdict").as_str()))
            .map(|finding| ["check", "verdict", "cause"].map(|name| text(finding, name)).join(" "))
            .collect();
        all.sort_unstable();
        all
    }

    /// What fails or is exposed.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.but(&["pass", "inconclusive"])
    }

    /// What is no pass.
    pub(crate) fn doubts(&self) -> Vec<String> {
        self.but(&["pass"])
    }
}
