use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use wstap_tests::process::Process;

use super::{Fault, Fronts, Stage, administrators, place};
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
    Fault::PathCut,
    Fault::CookieLost,
    Fault::SubprotocolLost,
    Fault::ExtensionsLost,
    Fault::SmallHeads,
    Fault::Redirects,
    Fault::NoBackend,
];

pub(super) fn configure(stage: &Stage, fronts: Fronts<'_>) -> Result<PathBuf> {
    let place = place(stage).display();
    let mut text = format!(
        "ServerRoot {place}\nServerName {HOST}\nPidFile {place}/apache.pid\nDefaultRuntimeDir {place}\n\
         ErrorLog {place}/apache-error.log\n"
    );
    for module in ["mpm_event", "authz_core", "headers", "proxy", "proxy_http", "alias", "ssl"] {
        writeln!(text, "LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so")?;
    }
    for (fault, front) in fronts {
        let keep = if *fault == Fault::HostRewritten { "Off" } else { "On" };
        writeln!(
            text,
            "Listen {front}\n<VirtualHost {front}>\nSSLEngine on\nSSLCertificateFile {}\n\
             SSLCertificateKeyFile {}\nProxyPreserveHost {keep}",
            stage.certificate().display(),
            stage.key().display()
        )?;
        // It appends to these what it says itself: what the client said has to go first.
        for name in [
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "X-Forwarded-Server",
            "X-Forwarded-Port",
            "Forwarded",
        ] {
            writeln!(text, "RequestHeader unset {name} early")?;
        }
        writeln!(
            text,
            "{}",
            match fault {
                Fault::ProtoMissing => "RequestHeader unset X-Forwarded-Proto",
                Fault::ProtoWrong => "RequestHeader set X-Forwarded-Proto http",
                _ => "RequestHeader set X-Forwarded-Proto https",
            }
        )?;
        let edit = match fault {
            Fault::PortDropped => "RequestHeader set Host app.example".to_owned(),
            Fault::OriginRemoved => "RequestHeader unset Origin".to_owned(),
            Fault::OriginMadeGood => {
                format!("RequestHeader set Origin https://{HOST}:{}", front.port())
            }
            Fault::OriginMadeForeign => "RequestHeader set Origin http://127.0.0.1".to_owned(),
            Fault::CookieLost => "RequestHeader unset Cookie".to_owned(),
            Fault::SubprotocolLost => "RequestHeader unset Sec-WebSocket-Protocol".to_owned(),
            Fault::ExtensionsLost => "RequestHeader unset Sec-WebSocket-Extensions".to_owned(),
            Fault::SmallHeads => "LimitRequestFieldSize 2000".to_owned(),
            Fault::Redirects => "Redirect 302 /ws/ https://app.example/elsewhere/".to_owned(),
            _ => String::new(),
        };
        writeln!(text, "{edit}")?;
        let backend = match fault {
            Fault::PathCut => format!("{}/", stage.backend),
            Fault::NoBackend => "127.0.0.1:1/ws/".to_owned(),
            _ => format!("{}/ws/", stage.backend),
        };
        let upgrade = if *fault == Fault::UpgradeLost { "" } else { "upgrade=websocket" };
        if *fault != Fault::Redirects {
            writeln!(text, "ProxyPass /ws/ http://{backend} {upgrade}")?;
        }
        text.push_str("</VirtualHost>\n");
    }
    let file = stage.folder.join("apache.conf");
    std::fs::write(&file, text)?;
    Ok(file)
}

pub(super) fn start(stage: &Stage, file: &Path) -> Result<Process> {
    let mut apache = administrators("apache2");
    Process::start("apache", apache.arg("-DFOREGROUND").arg("-f").arg(file), &stage.folder)
}
