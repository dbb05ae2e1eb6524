use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::Servers;
use crate::{
    config::{CaptureOptions, ServeOptions, Settings},
    event::{Event, sample::refused},
    sink::{AgentStats, Sinks},
};

fn settings(directory: &tempfile::TempDir) -> Settings {
    let options = ServeOptions {
        metrics_addr: Some("127.0.0.1:0".parse().unwrap()),
        capture: CaptureOptions {
            socket: Some(directory.path().join("tail.sock")),
            ..CaptureOptions::default()
        },
        ..ServeOptions::default()
    };
    Settings::resolve(options, Some("/dev/null".as_ref())).unwrap()
}

/// Status line, head and body of the answer.
async fn request(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_endpoints_say_how_the_agent_is() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(&directory);
    let sinks = Arc::new(Sinks::new(&settings).unwrap());
    let servers = Servers::bind(&settings).unwrap();
    let address = servers.metrics_addr().unwrap();
    let for_server = Arc::clone(&sinks);
    let server = tokio::spawn(async move { servers.serve(for_server).await });

    let health = request(address, "GET /healthz").await;
    assert!(health.starts_with("HTTP/1.1 200 OK") && health.ends_with("ok\n"), "{health}");

    let early = request(address, "GET /readyz").await;
    assert!(early.starts_with("HTTP/1.1 503"), "{early}");
    assert!(early.ends_with("not ready: starting\n"), "{early}");
    sinks.set_not_ready("the programs are attached but see nothing");
    assert!(request(address, "GET /readyz").await.ends_with("see nothing\n"));
    sinks.set_ready();
    sinks.ready().await;
    assert!(request(address, "GET /readyz").await.starts_with("HTTP/1.1 200 OK"));

    sinks.publish(&Event::Handshake(refused()));
    sinks.set_stats_source(|| AgentStats { seen: 77, ..AgentStats::default() });
    let metrics = request(address, "GET /metrics").await;
    assert!(metrics.contains("content-type: text/plain; version=0.0.4"), "{metrics}");
    assert!(metrics.contains("origin=\"https://evil.example\""), "{metrics}");
    assert!(metrics.contains("wstap_records_seen_total 77\n"), "{metrics}");

    assert!(request(address, "GET /").await.starts_with("HTTP/1.1 404"));
    assert!(request(address, "POST /metrics").await.starts_with("HTTP/1.1 405"));
    server.abort();
}
