//! A real nginx with a configuration of the test's own.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::process::Process;
use crate::wait_for;

/// What a `location` of a WebSocket proxy usually says, and must say.
pub const UPGRADE: &str = "proxy_http_version 1.1;\n\
     proxy_set_header Upgrade $http_upgrade;\n\
     proxy_set_header Connection $connection_upgrade;\n";

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
}

impl Nginx {
    /// Starts nginx with `server` blocks, and waits until it listens on all the addresses.
    ///
    /// `$connection_upgrade` is defined as nginx's documentation recommends.
    pub fn start(folder: &Path, servers: &str, listen: &[SocketAddr]) -> Result<Self> {
        let place = folder.display();
        let mut text = format!(
            "daemon off;\npid {place}/nginx.pid;\nworker_processes 1;\nerror_log {place}/nginx-error.log;\n\
             events {{ worker_connections 4096; }}\nhttp {{\n\
             access_log {place}/nginx-access.log;\n\
             map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}\n"
        );
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            writeln!(text, "{kind}_temp_path {place}/nginx-{kind};")?;
        }
        write!(text, "{servers}\n}}\n")?;
        let file = folder.join("nginx.conf");
        std::fs::write(&file, text)?;

        let mut command = Command::new("nginx");
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin")).arg("-c").arg(&file);
        command.arg("-e").arg(folder.join("nginx-error.log")).arg("-p").arg(folder);
        let mut process = Process::start("nginx", &mut command, folder)?;
        wait_for("nginx", || {
            process.check_alive()?;
            Ok(listen.iter().all(|address| TcpStream::connect(address).is_ok()).then_some(()))
        })?;
        Ok(Self { process })
    }

    /// The master's process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}
