//! The load: wrk on an nginx that answers by itself, with keep-alive.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use wstap_tests::free_port;
use wstap_tests::http::KEY;
use wstap_tests::nginx::Nginx;

/// Connections that wrk keeps open when it asks as fast as it can.
const CONNECTIONS: &str = "32";
/// The same for a load with a pace: each connection pauses between its requests, so that they make a little more than
/// 10,000 requests a second together.
const PACED_CONNECTIONS: &str = "160";
/// wrk's script for that: milliseconds before each request.
const PACE: &str = "function delay() return 10 end\n";

/// What each request is.
#[derive(Clone, Copy)]
pub(crate) enum Load {
    /// An ordinary GET.
    Get,
    /// A handshake that nginx rejects with 403.
    Handshake,
    /// The same, with a pace of some 10,000 a second.
    PacedHandshake,
}

impl Load {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "plain GET",
            Self::Handshake => "rejected handshake",
            Self::PacedHandshake => "rejected handshake, paced",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Get => "/page",
            Self::Handshake | Self::PacedHandshake => "/chat",
        }
    }

    fn headers(self) -> Vec<String> {
        // What a browser sends in any case: about 400 bytes.
        let mut headers = vec![
            "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
             Chrome/140.0.0.0 Safari/537.36"
                .to_owned(),
            "Accept-Language: en-US,en;q=0.9".to_owned(),
            "Accept-Encoding: gzip, deflate, br, zstd".to_owned(),
            format!("Cookie: session={}", "0123456789abcdef".repeat(8)),
        ];
        if let Self::Handshake | Self::PacedHandshake = self {
            headers.extend([
                "Upgrade: websocket".to_owned(),
                "Connection: Upgrade".to_owned(),
                "Origin: https://app.example".to_owned(),
                "Sec-WebSocket-Version: 13".to_owned(),
                format!("Sec-WebSocket-Key: {KEY}"),
            ]);
        }
        headers
    }
}

/// The nginx under load.
pub(crate) struct Front {
    address: SocketAddr,
    pace: PathBuf,
    _nginx: Nginx,
}

impl Front {
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let block = format!(
            "server {{ listen {address}; access_log off; keepalive_requests 100000000;\n\
             location /page {{ return 200 'a page of a few bytes'; }}\n\
             location /chat {{ return 403 'origin not allowed'; }} }}"
        );
        let pace = folder.join("pace.lua");
        std::fs::write(&pace, PACE)?;
        Ok(Self { address, pace, _nginx: Nginx::start(folder, &block, &[address])? })
    }

    /// One run of wrk; the requests/s.
    pub(crate) fn press(&self, load: Load, seconds: u64) -> Result<f64> {
        let mut wrk = Command::new("wrk");
        wrk.args(["-t", "1", "-d", &format!("{seconds}s")]);
        if let Load::PacedHandshake = load {
            wrk.args(["-c", PACED_CONNECTIONS, "-s"]).arg(&self.pace);
        } else {
            wrk.args(["-c", CONNECTIONS]);
        }
        for header in load.headers() {
            wrk.args(["-H", &header]);
        }
        let output = wrk.arg(format!("http://{}{}", self.address, load.path())).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "wrk: {text}");
        let per_second = text
            .lines()
            .find_map(|line| line.strip_prefix("Requests/sec:"))
            .with_context(|| text.clone())?;
        Ok(per_second.trim().parse()?)
    }
}
