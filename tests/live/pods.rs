//! A broken proxy in one pod and its backend in another, on a real containerd: the event names both.

use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wstap_tests::agent::Agent;
use wstap_tests::http;
use wstap_tests::{scratch, wait_for, workspace};

use crate::containerd::Containerd;
use crate::stage::alone;

const FRONT: u16 = 8081;
const BACK: u16 = 8080;
const ORIGIN: &str = "https://pods.example";

/// nginx as many run it: without a word on `Upgrade`, which it then takes away.
fn broken(folder: &str, backend: SocketAddr) -> String {
    format!(
        "daemon off; user root; pid {folder}/nginx.pid; worker_processes 1; error_log stderr;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;\n\
         fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n\
         server {{ listen {FRONT}; location / {{ proxy_http_version 1.1; proxy_pass http://{backend}; }} }} }}"
    )
}

#[test]
fn the_event_names_the_pods_on_both_ends_and_the_metrics_their_owners() -> Result<()> {
    let _alone = alone();
    let folder = scratch("pods")?.canonicalize()?;
    let mut runtime = Containerd::start()?;
    let script = workspace().join("tests/live/servers/ws.js");
    let script = script.to_str().context("a path of characters")?;
    let back = BACK.to_string();
    let node = ["/usr/bin/node", script, "0.0.0.0", &back];
    let labels = [("pod-template-hash", "6d4cf56db6"), ("team", "comms"), ("app", "chat")];
    let chat =
        runtime.start_pod("chat-6d4cf56db6-x7k2p", &labels, "node", &node, &[workspace()])?;
    let backend = SocketAddr::new(chat.address, BACK);
    wait_for("Node in its pod", || Ok(TcpStream::connect(backend).ok()))
        .with_context(|| runtime.log("chat-6d4cf56db6-x7k2p"))?;

    let place = folder.to_str().context("a path of characters")?;
    let file = folder.join("nginx.conf");
    std::fs::write(&file, broken(place, backend))?;
    let nginx = ["/usr/sbin/nginx", "-e", "stderr", "-p", place, "-c", file.to_str().unwrap_or("")];
    let labels = [("controller-revision-hash", "5f6b")];
    let ingress = runtime.start_pod("ingress-4mzrq", &labels, "nginx", &nginx, &[&folder])?;
    let front = SocketAddr::new(ingress.address, FRONT);
    wait_for("nginx in its pod", || Ok(TcpStream::connect(front).ok()))
        .with_context(|| runtime.log("ingress-4mzrq"))?;

    let socket = runtime.socket();
    let socket = socket.to_str().context("a path of characters")?;
    let agent = Agent::start(
        &folder,
        &[
            "--cri-socket",
            socket,
            "--pod-labels",
            "team,absent",
            "--workload-labels",
            "--workload-grace",
            "2s",
        ],
    )?;
    let tail = agent.tail(&["--origin", ORIGIN])?;
    let told = |container: &str, name: &str, pod: &str, workload: &str| {
        json!({
            "id": container, "name": name, "pod": pod, "namespace": "shop", "workload": workload,
        })
    };
    let mut node = told(&chat.container, "node", "chat-6d4cf56db6-x7k2p", "chat");
    node["labels"] = json!({"team": "comms"});
    let nginx = told(&ingress.container, "nginx", "ingress-4mzrq", "ingress");
    let local = backend.to_string();
    // The process and the ids are there at once; the runtime's names may come later, and no event waits for them.
    let event: Value = wait_for("an event with names", || {
        http::ask(front, http::upgrade("/chat", "pods.example", ORIGIN).as_bytes())?;
        let event = tail.next(|event| event["local"] == *local && event["role"] == "server")?;
        ensure!(event["process"]["name"] == "node", "{event:#}");
        ensure!(event["container"]["id"] == *chat.container, "{event:#}");
        Ok((event["container"]["name"] == "node").then_some(event))
    })?;
    ensure!(event["cause"] == "upgrade-stripped", "{event:#}");
    ensure!(event["container"] == node, "{event:#}\ninstead of {node:#}");
    // The thing to fix.
    ensure!(event["peer_container"] == nginx, "{event:#}\ninstead of {nginx:#}");

    let of = |workload: &'static str| {
        [("namespace", "shop"), ("workload", workload), ("origin", ORIGIN)]
    };
    let metrics = agent.wait_for_metrics("the owners of both pods", |metrics| {
        ["chat", "ingress"].iter().all(|name| metrics.count("ws_handshakes_total", &of(name)) > 0)
    })?;
    let of_ingress = metrics.count("ws_handshakes_total", &of("ingress"));

    // A deleted pod's series go, and no others.
    runtime.remove_pod(&chat)?;
    let gone = || {
        wait_for("the end of the series", || {
            let left = agent.metrics()?.count("ws_handshakes_total", &of("chat"));
            Ok((left == 0).then_some(()))
        })
    };
    // The runtime is asked every 20 s when nobody is unknown.
    gone().or_else(|_| gone())?;
    ensure!(agent.metrics()?.count("ws_handshakes_total", &of("ingress")) == of_ingress);
    agent.stop()
}
