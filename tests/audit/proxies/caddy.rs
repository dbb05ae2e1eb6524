use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use wstap_tests::process::Process;

use super::{Fault, Fronts, Stage, packaged};
use crate::stage::HOST;

pub(super) const FAULTS: &[Fault] = &[
    Fault::None,
    Fault::UpgradeLost,
    Fault::ConnectionLost,
    Fault::HostRewritten,
    Fault::PortDropped,
    Fault::OriginRemoved,
    Fault::OriginMadeGood,
    Fault::OriginMadeForeign,
    Fault::ProtoMissing,
    Fault::ProtoWrong,
    Fault::PathCut,
    Fault::CookieLost,
    Fault::SubprotocolLost,
    Fault::ExtensionsLost,
    Fault::SmallHeads,
    Fault::Redirects,
    Fault::NoBackend,
];

pub(super) fn configure(stage: &Stage, fronts: Fronts<'_>) -> Result<PathBuf> {
    let mut text =
        "{\nadmin off\nauto_https off\npersist_config off\nservers {\nprotocols h1 h2\n}\n"
            .to_owned();
    for (fault, front) in fronts {
        if *fault == Fault::SmallHeads {
            writeln!(text, "servers {front} {{\nprotocols h1\nmax_header_size 2KB\n}}")?;
        }
    }
    text.push_str("}\n");
    for (fault, front) in fronts {
        let edit = match fault {
            Fault::UpgradeLost => "header_up -Upgrade\nheader_up -Connection".to_owned(),
            Fault::ConnectionLost => "header_up Connection keep-alive".to_owned(),
            Fault::HostRewritten => "header_up Host {upstream_hostport}".to_owned(),
            Fault::PortDropped => "header_up Host app.example".to_owned(),
            Fault::OriginRemoved => "header_up -Origin".to_owned(),
            Fault::OriginMadeGood => format!("header_up Origin https://{HOST}:{}", front.port()),
            Fault::OriginMadeForeign => "header_up Origin http://127.0.0.1".to_owned(),
            Fault::ProtoMissing => "header_up -X-Forwarded-Proto".to_owned(),
            Fault::ProtoWrong => "header_up X-Forwarded-Proto http".to_owned(),
            Fault::CookieLost => "header_up -Cookie".to_owned(),
            Fault::SubprotocolLost => "header_up -Sec-WebSocket-Protocol".to_owned(),
            Fault::ExtensionsLost => "header_up -Sec-WebSocket-Extensions".to_owned(),
            _ => String::new(),
        };
        let first = match fault {
            Fault::PathCut => "uri strip_prefix /ws",
            Fault::Redirects => "redir https://app.example/elsewhere",
            _ => "",
        };
        let backend = match fault {
            Fault::NoBackend => "127.0.0.1:1".to_owned(),
            _ => stage.backend.to_string(),
        };
        writeln!(
            text,
            "https://{HOST}:{} {{\nbind {}\ntls {} {}\n{first}\nreverse_proxy {backend} {{\n\
             header_up -X-Forwarded-Port\nheader_up -Forwarded\n{edit}\n}}\n}}",
            front.port(),
            front.ip(),
            stage.certificate().display(),
            stage.key().display()
        )?;
    }
    let file = stage.folder.join("Caddyfile");
    std::fs::write(&file, text)?;
    Ok(file)
}

pub(super) fn start(stage: &Stage, file: &Path) -> Result<Process> {
    let mut caddy = packaged("caddy");
    caddy.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
    // It keeps its state in the home of its user.
    let caddy = caddy.env("HOME", &stage.folder).env_remove("XDG_DATA_HOME");
    Process::start("caddy", caddy, &stage.folder)
}
