//! On one thread, so that what runs when is decided here: the server's tasks run only while a test
//! waits.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    time::timeout,
};

use super::{Ask, Hub, MAX_READERS, QUEUE_BYTES, STALL, accept, line};
use crate::{
    config::{ServeOptions, Settings},
    event::{
        Event, HandshakeEvent,
        sample::{accepted, refused},
    },
    sink::{Sinks, filter::Filter},
};

/// Far beyond what any of this takes: a hang fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

struct Agent {
    sinks: Arc<Sinks>,
    directory: tempfile::TempDir,
}

struct Client {
    stream: BufReader<UnixStream>,
}

fn agent() -> Agent {
    let settings = Settings::resolve(ServeOptions::default(), Some("/dev/null".as_ref())).unwrap();
    let sinks = Arc::new(Sinks::new(&settings).unwrap());
    let directory = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(directory.path().join("s")).unwrap();
    tokio::spawn(accept(listener, Arc::clone(&sinks)));
    Agent { sinks, directory }
}

impl Agent {
    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("s")
    }

    /// Publishes refused handshakes whose path is their number.
    fn publish(&self, numbers: std::ops::Range<u64>) {
        for number in numbers {
            self.sinks.publish(&event(number));
        }
    }

    /// Lets the server run until it has so many readers.
    async fn readers(&self, count: u64) {
        self.until(|agent| agent.sinks.tail.stats().readers == count).await;
    }

    async fn until(&self, holds: impl Fn(&Self) -> bool) {
        let turn = async {
            while !holds(self) {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, turn).await.expect("it never came to that");
    }
}

impl Client {
    async fn join(path: &Path) -> Self {
        Self { stream: BufReader::new(UnixStream::connect(path).await.unwrap()) }
    }

    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        let mut line = String::new();
        timeout(PATIENCE, self.stream.read_line(&mut line)).await.expect("no line came").unwrap();
        (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap())
    }

    async fn expect(&mut self, numbers: std::ops::Range<u64>) {
        for number in numbers {
            assert_eq!(self.next().await, Some(event(number)));
        }
    }
}

/// From here on all numbers have the same length, and so have the events.
const FIRST: u64 = 100_000;

/// How many such events fit into a queue.
fn queue() -> u64 {
    (QUEUE_BYTES / line(&event(FIRST)).len()) as u64
}

fn event(number: u64) -> Event {
    Event::Handshake(HandshakeEvent { path: format!("/{number}"), ..refused() })
}

#[tokio::test]
async fn every_reader_gets_every_event_in_order() {
    let agent = agent();
    let mut first = Client::join(&agent.path()).await;
    agent.readers(1).await;
    agent.publish(0..10);
    let mut second = Client::join(&agent.path()).await;
    agent.readers(2).await;
    agent.publish(10..20);
    first.expect(0..20).await;
    second.expect(10..20).await;
}

#[tokio::test]
async fn a_slow_reader_is_told_exactly_what_it_missed() {
    let agent = agent();
    let mut slow = Client::join(&agent.path()).await;
    agent.readers(1).await;
    let queue = queue();
    // The server has no turn meanwhile: the queue takes what it holds and not one more.
    agent.publish(FIRST..FIRST + queue + 1234);
    slow.expect(FIRST..FIRST + queue).await;
    match slow.next().await {
        Some(Event::Missed(missed)) => assert_eq!(missed.missed, 1234),
        other => panic!("{other:?}"),
    }
    agent.publish(FIRST..FIRST + 10);
    slow.expect(FIRST..FIRST + 10).await;
    assert_eq!(agent.sinks.tail.stats().missed, 1234);
}

#[tokio::test]
async fn a_reader_that_never_reads_holds_up_nobody() {
    let agent = agent();
    let dead = Client::join(&agent.path()).await;
    agent.readers(1).await;
    let mut live = Client::join(&agent.path()).await;
    agent.readers(2).await;
    let chunk = queue() / 2;
    for round in 0..8 {
        agent.publish(round * chunk..(round + 1) * chunk);
        live.expect(round * chunk..(round + 1) * chunk).await;
    }
    assert!(agent.sinks.tail.stats().missed > 0, "the dead reader's queue is bounded");
    drop(dead);
    agent.readers(1).await;
}

#[tokio::test]
async fn a_reader_that_left_is_forgotten_without_an_event() {
    let agent = agent();
    let client = Client::join(&agent.path()).await;
    agent.readers(1).await;
    drop(client);
    agent.readers(0).await;
    agent.publish(0..10);
}

#[tokio::test]
async fn a_reader_gets_only_what_its_filter_passes() {
    let agent = agent();
    let mut client = Client::join(&agent.path()).await;
    agent.readers(1).await;
    client.stream.write_all(b"{\"path\":[\"/7\"]}\n").await.unwrap();
    let reader = Arc::clone(agent.sinks.tail.readers().first().unwrap());
    agent.until(|_| reader.waiting().ask.is_some()).await;
    agent.publish(0..10);
    client.expect(7..8).await;
    // What the filter kept out takes no room.
    agent.publish(10..10 + 2 * queue());
    agent.publish(7..8);
    client.expect(7..8).await;
}

#[tokio::test]
async fn a_reader_that_sends_no_filter_but_noise_is_disconnected() {
    for noise in [b"GET / HTTP/1.1\r\n".to_vec(), vec![b'x'; 100_000]] {
        let agent = agent();
        let mut client = Client::join(&agent.path()).await;
        agent.readers(1).await;
        // The agent may hang up before it has read all.
        let _ = client.stream.write_all(&noise).await;
        agent.readers(0).await;
    }
}

#[tokio::test]
async fn one_reader_too_many_is_turned_away() {
    let agent = agent();
    let mut clients = Vec::new();
    for _ in 0..MAX_READERS {
        clients.push(Client::join(&agent.path()).await);
    }
    agent.readers(MAX_READERS as u64).await;
    let mut late = Client::join(&agent.path()).await;
    assert_eq!(late.next().await, None);
    assert_eq!(agent.sinks.tail.stats().refused, 1);
    clients.pop();
    agent.readers(MAX_READERS as u64 - 1).await;
    let mut next = Client::join(&agent.path()).await;
    agent.readers(MAX_READERS as u64).await;
    agent.publish(0..1);
    next.expect(0..1).await;
}

#[test]
fn a_reader_that_takes_nothing_gives_way_to_one_more_and_a_slow_one_does_not() {
    let hub = Hub::new(0);
    let readers: Vec<_> = (0..MAX_READERS).map(|_| hub.join().unwrap()).collect();
    let before = |age| tokio::time::Instant::now().checked_sub(age);
    readers[3].waiting().stalled = before(STALL / 2);
    assert!(hub.join().is_none());
    readers[7].waiting().stalled = before(STALL * 2);
    readers[5].waiting().stalled = before(STALL * 3);
    assert!(hub.join().is_some());
    let stats = hub.stats();
    assert_eq!((stats.readers, stats.refused, stats.left), (MAX_READERS as u64, 1, 1));
    assert!(!hub.readers().iter().any(|reader| Arc::ptr_eq(reader, &readers[5])));
    assert!(hub.readers().iter().any(|reader| Arc::ptr_eq(reader, &readers[7])));
}

#[tokio::test]
async fn a_reader_who_asks_gets_what_is_remembered_and_then_what_happens() {
    let agent = agent();
    agent.publish(0..500);
    agent.sinks.publish(&Event::Handshake(accepted()));
    let mut reader = Client::join(&agent.path()).await;
    agent.readers(1).await;
    // What came between the reader and its question is remembered, too, and told once.
    agent.publish(500..510);
    let filter = Filter { path: vec!["/1*".to_owned()], ..Filter::default() };
    let ask = Ask { filter, accepted: true, ..Ask::default() };
    let question = serde_json::to_string(&ask).unwrap() + "\n";
    reader.stream.write_all(question.as_bytes()).await.unwrap();
    let starts_with_1 = |number: &u64| number.to_string().starts_with('1');
    let mut before = 0;
    let accepted = loop {
        match reader.next().await.unwrap() {
            // It was sent before the question came.
            Event::Handshake(event) if before == 0 && event.path.starts_with("/50") => {}
            Event::Handshake(event) => {
                before += 1;
                assert!(event.path.starts_with("/1"), "{event:?}");
            }
            Event::Accepted(sum) => break sum,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(before, (0..510).filter(starts_with_1).count());
    assert_eq!(accepted.rows.len(), 1);
    match reader.next().await {
        Some(Event::History(memory)) => assert_eq!((memory.events, memory.forgotten), (511, 0)),
        other => panic!("{other:?}"),
    }
    agent.publish(600..601);
    agent.publish(1..2);
    reader.expect(1..2).await;
}

#[tokio::test]
async fn nothing_older_than_asked_for_is_told() {
    let agent = agent();
    agent.publish(0..3);
    for (since, expected) in
        [("2026-05-04T03:02:01.123456Z", 3), ("2026-05-04T03:02:01.123457Z", 0)]
    {
        let mut reader = Client::join(&agent.path()).await;
        let ask = Ask { since: Some(since.to_owned()), ..Ask::default() };
        let question = serde_json::to_string(&ask).unwrap() + "\n";
        reader.stream.write_all(question.as_bytes()).await.unwrap();
        reader.expect(0..expected).await;
        assert!(matches!(reader.next().await, Some(Event::History(_))));
    }
}
