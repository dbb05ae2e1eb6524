use std::{
    cell::OnceCell,
    io::{BufRead as _, BufReader, Read as _, pipe},
    time::Duration,
};

use super::*;
use crate::event::{
    HandshakeEvent, Outcome,
    sample::{accepted, refused},
};

fn publish(stream: &Stream, event: &Event) {
    stream.publish(&Told { event, line: OnceCell::new() });
}

fn failure() -> Event {
    Event::Handshake(refused())
}

#[test]
fn what_is_beyond_the_rate_is_summed_up_by_cause() {
    let (reader, writer) = pipe().unwrap();
    let stream = Stream::start(EventsWanted::Failed, 3, writer).unwrap();
    publish(&stream, &Event::Handshake(accepted()));
    let missed = HandshakeEvent { outcome: Outcome::Unobserved, cause: None, ..accepted() };
    publish(&stream, &Event::Handshake(missed));
    (0..10).for_each(|_| publish(&stream, &failure()));
    thread::sleep(SECOND + Duration::from_millis(50));
    stream.tick();
    stream.finish();
    drop(stream);
    let lines: Vec<_> = BufReader::new(reader).lines().map(Result::unwrap).collect();
    let events = lines.iter().map(|line| serde_json::from_str(line).unwrap());
    let (mut written, mut suppressed) = (0, 0);
    for event in events {
        match event {
            Event::Handshake(event) => written += u64::from(event == refused()),
            Event::Suppressed(event) => {
                let by_cause: u64 = event.causes.values().sum();
                assert_eq!(by_cause, event.suppressed);
                assert!(event.causes.keys().all(|cause| cause == "origin-not-allowed"));
                suppressed += event.suppressed;
            }
            other => panic!("{other:?}"),
        }
    }
    // A busy machine may have taken more than a second for ten events.
    assert_eq!(written + suppressed, 10);
    assert!(written >= 3 && suppressed > 0, "{lines:?}");
}

#[test]
fn a_pipe_that_nobody_reads_stops_nothing_and_what_was_dropped_is_told() {
    let (mut reader, writer) = pipe().unwrap();
    let stream = Stream::start(EventsWanted::All, 10_000, writer).unwrap();
    let count = |which: &AtomicU64| which.load(Ordering::Relaxed);
    let began = Instant::now();
    // More than the pipe (64 KiB) and the queue hold.
    for _ in 0..3 * QUEUE_LINES {
        publish(&stream, &failure());
    }
    stream.finish();
    assert!(count(&stream.counts().dropped) > 0);
    assert!(began.elapsed() < Duration::from_secs(20), "publishing waited for the pipe");
    // Somebody reads at last: the writer comes to its end.
    let reading = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    drop(stream);
    let text = reading.join().unwrap().unwrap();
    assert!(text.lines().all(|line| serde_json::from_str::<Event>(line).is_ok()));
}

#[test]
fn a_reader_that_has_gone_is_counted_and_no_failure() {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let stream = Stream::start(EventsWanted::All, 10, writer).unwrap();
    (0..3).for_each(|_| publish(&stream, &failure()));
    stream.finish();
    let failed = stream.counts().failed.load(Ordering::Relaxed);
    assert_eq!(failed, 3);
}
