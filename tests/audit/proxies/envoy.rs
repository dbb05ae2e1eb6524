use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};
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
    let listeners: Vec<Value> =
        fronts.iter().map(|(fault, front)| listener(stage, *fault, front.port())).collect();
    let configuration = json!({ "static_resources": {
        "listeners": listeners,
        "clusters": [cluster("app", stage.backend.port()), cluster("nowhere", 1)],
    } });
    let file = stage.folder.join("envoy.json");
    std::fs::write(&file, configuration.to_string())?;
    Ok(file)
}

pub(super) fn start(stage: &Stage, file: &Path) -> Result<Process> {
    let mut envoy = packaged("envoy");
    envoy.arg("-c").arg(file).args(["--concurrency", "1", "--use-dynamic-base-id", "-l", "error"]);
    Process::start("envoy", envoy.current_dir(&stage.folder), &stage.folder)
}

fn address(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}

fn cluster(name: &str, port: u16) -> Value {
    json!({
        "name": name,
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address(port) } }] }],
        },
    })
}

fn listener(stage: &Stage, fault: Fault, port: u16) -> Value {
    let set = |key: &str, value: &str| {
        json!({
            "header": { "key": key, "value": value },
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        })
    };
    let added = match fault {
        Fault::OriginMadeGood => vec![set("origin", &format!("https://{HOST}:{port}"))],
        Fault::OriginMadeForeign => vec![set("origin", "http://127.0.0.1")],
        Fault::ProtoWrong => vec![set("x-forwarded-proto", "http")],
        _ => Vec::new(),
    };
    let mut removed = vec!["x-forwarded-host", "x-forwarded-port", "forwarded"];
    removed.extend(match fault {
        Fault::OriginRemoved => Some("origin"),
        Fault::CookieLost => Some("cookie"),
        Fault::SubprotocolLost => Some("sec-websocket-protocol"),
        Fault::ExtensionsLost => Some("sec-websocket-extensions"),
        _ => None,
    });
    let target = if fault == Fault::NoBackend { "nowhere" } else { "app" };
    // A route's timeout is for answers; what ends a quiet stream is its idle timeout.
    let mut action = json!({ "cluster": target, "timeout": "0s" });
    let own = match fault {
        Fault::HostRewritten => Some(("host_rewrite_literal", json!("127.0.0.1"))),
        Fault::PortDropped => Some(("host_rewrite_literal", json!(HOST))),
        Fault::PathCut => Some(("prefix_rewrite", json!("/"))),
        Fault::ShortIdle => Some(("idle_timeout", json!("2s"))),
        _ => None,
    };
    if let Some((name, value)) = own {
        action[name] = value;
    }
    let mut route = json!({
        "match": { "prefix": "/ws/" },
        "request_headers_to_add": added,
        "request_headers_to_remove": removed,
    });
    if fault == Fault::Redirects {
        route["redirect"] = json!({ "path_redirect": "/elsewhere" });
    } else {
        route["route"] = action;
    }
    let upgrades = if fault == Fault::UpgradeLost {
        json!([])
    } else {
        json!([{ "upgrade_type": "websocket" }])
    };
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        // Without it the listener's own scheme is not told, and the client's word is taken.
        "use_remote_address": fault != Fault::ProtoTrusted,
        "xff_num_trusted_hops": 0,
        "upgrade_configs": upgrades,
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
        }],
        "route_config": {
            "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [route] }],
        },
    });
    let tls = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "alpn_protocols": ["http/1.1"],
            "tls_certificates": [{
                "certificate_chain": { "filename": stage.certificate() },
                "private_key": { "filename": stage.key() },
            }],
        },
    });
    json!({
        "name": format!("{fault:?}"),
        "address": address(port),
        "filter_chains": [{
            "filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": manager,
            }],
            "transport_socket": { "name": "envoy.transport_sockets.tls", "typed_config": tls },
        }],
    })
}
