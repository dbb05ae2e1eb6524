use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use wstap_tests::process::Process;

use super::{Fault, Fronts, Stage, administrators};
use crate::stage::HOST;

pub(super) const FAULTS: &[Fault] = &[
    Fault::None,
    Fault::UpgradeLost,
    Fault::HostRewritten,
    Fault::PortDropped,
    Fault::OriginRemoved,
    Fault::OriginMadeGood,
    Fault::OriginMadeForeign,
    Fault::ProtoMissing,
    Fault::ProtoWrong,
    Fault::ProtoTrusted,
    Fault::PathCut,
    Fault::CookieLost,
    Fault::SubprotocolLost,
    Fault::ExtensionsLost,
    Fault::ShortIdle,
    Fault::Redirects,
    Fault::NoBackend,
];

pub(super) fn configure(stage: &Stage, fronts: Fronts<'_>) -> Result<PathBuf> {
    let mut text = format!(
        "global\nmaxconn 512\ntune.ssl.default-dh-param 2048\ndefaults\nmode http\nretries 0\ntimeout connect 5s\n\
         timeout client 60s\ntimeout server 60s\nbackend app\ntimeout tunnel 60s\nserver only {backend}\n\
         backend hasty\ntimeout tunnel 2s\nserver only {backend}\nbackend nowhere\nserver only 127.0.0.1:1\n",
        backend = stage.backend,
    );
    for (fault, front) in fronts {
        let proto = match fault {
            Fault::ProtoMissing => "del-header X-Forwarded-Proto",
            Fault::ProtoWrong => "set-header X-Forwarded-Proto http",
            Fault::ProtoTrusted => {
                "set-header X-Forwarded-Proto https unless { req.hdr(X-Forwarded-Proto) -m found }"
            }
            _ => "set-header X-Forwarded-Proto https",
        };
        let backend = match fault {
            Fault::ShortIdle => "hasty",
            Fault::NoBackend => "nowhere",
            _ => "app",
        };
        writeln!(
            text,
            "frontend {fault:?}\nbind {front} ssl crt {} alpn h2,http/1.1\nhttp-request {proto}",
            stage.both().display()
        )?;
        for name in ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "Forwarded"] {
            writeln!(text, "http-request del-header {name}")?;
        }
        let edit = match fault {
            Fault::UpgradeLost => {
                "http-request del-header Upgrade\nhttp-request del-header Connection"
            }
            Fault::HostRewritten => "http-request set-header Host 127.0.0.1",
            Fault::PortDropped => "http-request set-header Host app.example",
            Fault::OriginRemoved => "http-request del-header Origin",
            Fault::OriginMadeForeign => "http-request set-header Origin http://127.0.0.1",
            Fault::PathCut => "http-request replace-path /ws/(.*) /\\1",
            Fault::CookieLost => "http-request del-header Cookie",
            Fault::SubprotocolLost => "http-request del-header Sec-WebSocket-Protocol",
            Fault::ExtensionsLost => "http-request del-header Sec-WebSocket-Extensions",
            Fault::Redirects => "http-request redirect location https://app.example/elsewhere",
            _ => "",
        };
        writeln!(text, "{edit}")?;
        if *fault == Fault::OriginMadeGood {
            let origin = format!("https://{HOST}:{}", front.port());
            writeln!(text, "http-request set-header Origin {origin}")?;
        }
        writeln!(text, "default_backend {backend}")?;
    }
    let file = stage.folder.join("haproxy.cfg");
    std::fs::write(&file, text)?;
    Ok(file)
}

pub(super) fn start(stage: &Stage, file: &Path) -> Result<Process> {
    let mut haproxy = administrators("haproxy");
    Process::start("haproxy", haproxy.arg("-db").arg("-f").arg(file), &stage.folder)
}
