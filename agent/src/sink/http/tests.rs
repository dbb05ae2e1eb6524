use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{CONNECTIONS_MAX, Endpoints, serve};
use crate::{
    config::{ServeOptions, Settings},
    sink::{AgentStats, Sinks, metrics::Format},
};

fn sinks() -> Arc<Sinks> {
    let settings = Settings::resolve(ServeOptions::default(), Some("/dev/null".as_ref())).unwrap();
    Arc::new(Sinks::new(&settings).unwrap())
}

async fn served(sinks: &Arc<Sinks>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, Arc::clone(sinks)));
    address
}

async fn asked(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    stream
}

async fn answer(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn whoever_asks_is_answered_however_many_say_nothing() {
    let sinks = sinks();
    let address = served(&sinks).await;
    let mut silent = Vec::new();
    for _ in 0..4 * CONNECTIONS_MAX {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let healthy = answer(asked(address, "/healthz").await).await;
    assert!(healthy.ends_with("ok\n"), "{healthy}");
    // The oldest was left, the newest has its time.
    assert_eq!(silent[0].read(&mut [0]).await.unwrap(), 0);
    let [(_, crowded), (_, slow)] = sinks.left.counts();
    assert!(crowded >= 3 * CONNECTIONS_MAX as u64 && slow == 0, "{crowded} {slow}");
    let mut newest = silent.pop().unwrap();
    newest.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await.unwrap();
    assert!(answer(newest).await.ends_with("ok\n"));
}

#[tokio::test]
async fn who_takes_too_long_to_ask_is_left() {
    let sinks = sinks();
    let address = served(&sinks).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost:").await.unwrap();
    for stream in [&mut silent, &mut slow] {
        let mut said = Vec::new();
        // It may be told why, with 408.
        let _ = stream.read_to_end(&mut said).await;
        assert!(!said.ends_with(b"ok\n"));
    }
    while sinks.left.counts().iter().map(|(_, count)| count).sum::<u64>() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_connection_is_for_one_request() {
    let address = served(&sinks()).await;
    let answer = answer(asked(address, "/healthz").await).await;
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
}

/// Scrapes that come while one is being rendered share the next one.
#[tokio::test]
async fn a_scrape_is_rendered_once_for_all_who_wait() {
    let sinks = sinks();
    let renders = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&renders);
    sinks.set_stats_source(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(200));
        AgentStats::default()
    });
    let endpoints = Endpoints { sinks, last: Arc::default() };
    let mut scrapes = JoinSet::new();
    for _ in 0..50 {
        scrapes.spawn(endpoints.clone().scrape(std::time::Instant::now(), Format::Text));
    }
    let texts: Vec<_> = scrapes.join_all().await.into_iter().map(Result::unwrap).collect();
    assert!(texts.iter().all(|text| text.starts_with(b"# HELP")));
    assert!((1..=2).contains(&renders.load(Ordering::Relaxed)), "{renders:?}");
    // Whoever comes later gets a later one.
    endpoints.scrape(std::time::Instant::now(), Format::Text).await.unwrap();
    assert!((2..=3).contains(&renders.load(Ordering::Relaxed)), "{renders:?}");
}
