use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Map, Value, json};
use wstap_tests::process::Process;

use super::{Fault, Fronts, Stage, packaged};
use crate::stage::HOST;

pub(super) const FAULTS: &[Fault] = &[
    Fault::None,
    Fault::UpgradeLost,
    Fault::HostRewritten,
    Fault::PortDropped,
    Fault::OriginRemoved,
    Fault::OriginMadeGood,
    Fault::OriginMadeForeign,
    Fault::ProtoWrong,
    Fault::PathCut,
    Fault::CookieLost,
    Fault::SubprotocolLost,
    Fault::ExtensionsLost,
    Fault::Redirects,
    Fault::NoRoute,
];

/// YAML, as which JSON counts too.
pub(super) fn configure(stage: &Stage, fronts: Fronts<'_>) -> Result<PathBuf> {
    let (mut points, mut routers, mut middlewares) = (Map::new(), Map::new(), Map::new());
    let mut services = Map::new();
    for (fault, front) in fronts {
        let name = format!("{fault:?}").to_lowercase();
        points.insert(name.clone(), json!({ "address": front.to_string() }));
        let mut headers = Map::new();
        headers.insert("Forwarded".to_owned(), json!(""));
        for (header, value) in match fault {
            Fault::UpgradeLost => vec![("Upgrade", String::new()), ("Connection", String::new())],
            Fault::PortDropped => vec![("Host", HOST.to_owned())],
            Fault::OriginRemoved => vec![("Origin", String::new())],
            Fault::OriginMadeGood => vec![("Origin", format!("https://{HOST}:{}", front.port()))],
            Fault::OriginMadeForeign => vec![("Origin", "http://127.0.0.1".to_owned())],
            Fault::ProtoWrong => vec![("X-Forwarded-Proto", "http".to_owned())],
            Fault::CookieLost => vec![("Cookie", String::new())],
            Fault::SubprotocolLost => vec![("Sec-WebSocket-Protocol", String::new())],
            Fault::ExtensionsLost => vec![("Sec-WebSocket-Extensions", String::new())],
            _ => Vec::new(),
        } {
            headers.insert(header.to_owned(), json!(value));
        }
        let edits = format!("{name}-edits");
        middlewares
            .insert(edits.clone(), json!({ "headers": { "customRequestHeaders": headers } }));
        let mut used = vec![edits];
        let more: Option<Value> = match fault {
            Fault::PathCut => Some(json!({ "stripPrefix": { "prefixes": ["/ws"] } })),
            Fault::Redirects => Some(json!({ "redirectRegex": {
                "regex": "^.*$", "replacement": "https://app.example/elsewhere"
            } })),
            _ => None,
        };
        if let Some(more) = more {
            used.push(format!("{name}-more"));
            middlewares.insert(format!("{name}-more"), more);
        }
        let path = if *fault == Fault::NoRoute { "/other/" } else { "/ws/" };
        let rule = format!("Host(`{HOST}`) && PathPrefix(`{path}`)");
        routers.insert(
            name.clone(),
            json!({
                "rule": rule, "entryPoints": [name], "service": name, "middlewares": used, "tls": {},
            }),
        );
        let servers = json!([{ "url": format!("http://{}", stage.backend) }]);
        let keeps = *fault != Fault::HostRewritten;
        services.insert(
            name,
            json!({ "loadBalancer": { "servers": servers, "passHostHeader": keeps } }),
        );
    }
    let dynamic = json!({
        "http": { "routers": routers, "middlewares": middlewares, "services": services },
        "tls": { "certificates": [
            { "certFile": stage.certificate(), "keyFile": stage.key() },
        ] },
    });
    let dynamic_file = stage.folder.join("traefik-dynamic.yaml");
    std::fs::write(&dynamic_file, dynamic.to_string())?;
    let fixed = json!({
        "entryPoints": points,
        "providers": { "file": { "filename": dynamic_file } },
        "global": { "checkNewVersion": false, "sendAnonymousUsage": false },
    });
    let file = stage.folder.join("traefik.yaml");
    std::fs::write(&file, fixed.to_string())?;
    Ok(file)
}

pub(super) fn start(stage: &Stage, file: &Path) -> Result<Process> {
    let mut traefik = packaged("traefik");
    traefik.arg(format!("--configFile={}", file.display()));
    Process::start("traefik", traefik.current_dir(&stage.folder), &stage.folder)
}
