//! A real browser that opens the chat's page.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use wstap_tests::node::Node;
use wstap_tests::process::Process;

/// Opens the page and waits until the chat has the page's first message; returns what it said.
pub(crate) fn visit(
    chromium: &Path,
    origin: &str,
    address: SocketAddr,
    chat: &Node,
    folder: &Path,
) -> Result<String> {
    let mut command = Command::new(chromium);
    command
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--no-first-run", "--no-proxy-server", "--ignore-certificate-errors"])
        // No name is looked up anywhere else.
        .arg(format!("--host-resolver-rules=MAP *.example {}, MAP * ~NOTFOUND", address.ip()))
        .arg(format!("--user-data-dir={}", folder.join("chromium").display()))
        .arg(format!("{origin}/"))
        .env("HOME", folder);
    let browser = Process::start("chromium", &mut command, folder)?;
    let line = chat.lines().next().with_context(|| browser.log())?;
    let message = line.strip_prefix("message ").context("the chat has a message")?;
    Ok(format!("connected, and said \"{message}\""))
}
