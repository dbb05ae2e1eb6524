use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use wstap_tests::process::Process;

use super::{Fault, Fronts, Stage, administrators, place};
use crate::stage::HOST;

pub(super) const FAULTS: &[Fault] = &[
    Fault::None,
    Fault::UpgradeLost,
    Fault::ConnectionLost,
    Fault::Http10,
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
    Fault::SmallHeads,
    Fault::ShortIdle,
    Fault::Redirects,
    Fault::NoBackend,
];

pub(super) fn configure(stage: &Stage, fronts: Fronts<'_>) -> Result<PathBuf> {
    let place = place(stage).display();
    let mut text = format!(
        "daemon off;\npid {place}/nginx.pid;\nworker_processes 1;\nevents {{ }}\nhttp {{\naccess_log off;\n\
         ssl_certificate {};\nssl_certificate_key {};\n\
         map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}\n\
         map $http_x_forwarded_proto $trusting {{ default $http_x_forwarded_proto; '' $scheme; }}\n",
        stage.certificate().display(),
        stage.key().display(),
    );
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(text, "{kind}_temp_path {place}/nginx-{kind};")?;
    }
    for (fault, front) in fronts {
        let of = |wanted: Fault, wrong: &'static str, right: &'static str| {
            if *fault == wanted { wrong } else { right }
        };
        let host = match fault {
            Fault::HostRewritten => "$proxy_host",
            Fault::PortDropped => "$host",
            _ => "$http_host",
        };
        let proto = match fault {
            Fault::ProtoMissing => "''",
            Fault::ProtoWrong => "http",
            Fault::ProtoTrusted => "$trusting",
            _ => "$scheme",
        };
        let backend = match fault {
            Fault::PathCut => format!("{}/", stage.backend),
            // Reserved, and nothing listens there.
            Fault::NoBackend => "127.0.0.1:1".to_owned(),
            _ => stage.backend.to_string(),
        };
        let more = match fault {
            Fault::OriginRemoved => "proxy_set_header Origin '';".to_owned(),
            Fault::OriginMadeGood => {
                format!("proxy_set_header Origin https://{HOST}:{};", front.port())
            }
            Fault::OriginMadeForeign => "proxy_set_header Origin http://127.0.0.1;".to_owned(),
            Fault::CookieLost => "proxy_set_header Cookie '';".to_owned(),
            Fault::SubprotocolLost => "proxy_set_header Sec-WebSocket-Protocol '';".to_owned(),
            Fault::ExtensionsLost => "proxy_set_header Sec-WebSocket-Extensions '';".to_owned(),
            Fault::ShortIdle => "proxy_read_timeout 2s;".to_owned(),
            Fault::Redirects => "return 301 https://$host/elsewhere/;".to_owned(),
            _ => String::new(),
        };
        writeln!(
            text,
            "server {{\nlisten {front} ssl http2;\n{}\nlocation /ws/ {{\nproxy_pass http://{backend};\n\
             proxy_http_version {};\nproxy_set_header Upgrade {};\nproxy_set_header Connection {};\n\
             proxy_set_header Host {host};\nproxy_set_header X-Forwarded-Proto {proto};\n\
             proxy_set_header X-Forwarded-For $remote_addr;\nproxy_set_header X-Forwarded-Host '';\n\
             proxy_set_header X-Forwarded-Port '';\nproxy_set_header Forwarded '';\n{more}\n}}\n}}",
            of(Fault::SmallHeads, "large_client_header_buffers 2 3k;", ""),
            of(Fault::Http10, "1.0", "1.1"),
            of(Fault::UpgradeLost, "''", "$http_upgrade"),
            of(Fault::ConnectionLost, "keep-alive", "$connection_upgrade"),
        )?;
    }
    text.push_str("}\n");
    let file = stage.folder.join("nginx.conf");
    std::fs::write(&file, text)?;
    Ok(file)
}

pub(super) fn start(stage: &Stage, file: &Path) -> Result<Process> {
    let mut nginx = administrators("nginx");
    nginx.arg("-c").arg(file).args(["-e", "stderr", "-p"]).arg(&stage.folder);
    Process::start("nginx", &mut nginx, &stage.folder)
}
