//! Frames after the 101 as networks deliver them: lost and sent again, out of order, twice, overlapping.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use wstap_tests::frames::frame;
use wstap_tests::http;
use wstap_tests::random::Random;

use crate::stage::Stage;
use crate::wire::{Connection, Wire};

/// Connections, each over a network of its own.
const CONNECTIONS: u16 = 90;
/// Longer than the server's retransmission timer (200 ms at least on Linux).
const SILENT: Duration = Duration::from_millis(450);

/// The segments of `offset..end` in the order in which they are sent.
fn network(random: &mut Random, offset: usize, end: usize, odd: usize) -> Vec<(usize, usize)> {
    let mut waiting = Vec::new();
    let mut at = offset;
    let longest = [3, 30, 300, 1_400][random.below(4)];
    while at < end {
        let to = (at + 1 + random.below(longest)).min(end);
        waiting.push((at, to));
        at = to;
    }
    waiting.reverse();
    let mut sent = Vec::new();
    while let Some(segment) = waiting.pop() {
        let is_odd = random.below(100) < odd;
        match random.below(4) {
            // Lost, and sent again when some of those behind it have come.
            0 | 1 if is_odd => {
                let behind = waiting.len() - (1 + random.below(3)).min(waiting.len());
                sent.extend(waiting.drain(behind..).rev());
                sent.push(segment);
            }
            2 if is_odd => sent.extend([segment, segment]),
            // Sent again together with bytes before it.
            3 if is_odd => {
                sent.push((segment.0.saturating_sub(random.below(200)).max(offset), segment.1));
            }
            _ => sent.push(segment),
        }
    }
    sent
}

/// A handshake, then messages and a close frame over a network; how many bytes the server sent.
fn live(
    connection: &mut Connection<'_>,
    random: &mut Random,
    path: &str,
    code: u16,
    odd: usize,
    acknowledges_after: Duration,
) -> Result<usize> {
    let mut stream = http::upgrade(path, "here.example", "https://wire.example").into_bytes();
    connection.at(0, &stream)?;
    ensure!(connection.status()? == 101);
    let begin = stream.len();
    for _ in 0..random.below(12) {
        let len = [0, 5, 125, 126, 700, 6_000][random.below(6)];
        // What looks like close frames is text.
        let text: Vec<u8> =
            b"\x88\x82\0\0\0\0\x03\xe8 ".iter().copied().cycle().take(len).collect();
        stream.extend(frame(2, &text));
    }
    stream.extend(frame(8, &code.to_be_bytes()));
    for (from, to) in network(random, begin, stream.len(), odd) {
        connection.at(from, &stream[from..to])?;
    }
    connection.finish(acknowledges_after)
}

#[test]
fn frames_that_the_network_reorders_and_repeats_give_no_false_code() -> Result<()> {
    let stage = Stage::new("frames", &["--ring-bytes", "16777216"])?;
    let closures = stage.agent.tail(&["--closures"])?;
    let wire = Wire::new()?;
    let mut random = Random(7);
    let (mut lost, mut odd_ones) = (0, 0);
    for number in 0..CONNECTIONS {
        let code = [1000, 1001, 1011, 3000, 4000 + number % 999][usize::from(number % 5)];
        let path = format!("/accept/wire/{number}");
        // A third of the networks are good, a third have a few odd segments, a third many.
        let odd = [0, 5, 40][usize::from(number % 3)];
        let silent = if number % 30 == 0 { SILENT } else { Duration::ZERO };
        let mut connection = wire.connect(41_000 + number, stage.server().port())?;
        let bytes = live(&mut connection, &mut random, &path, code, odd, silent)
            .with_context(|| path.clone())?;
        ensure!(bytes > 0, "{path}: the server said nothing");
        drop(connection);
        let event =
            closures.next(|event| event["type"] == "closure" && event["path"] == path.as_str())?;
        if event["synchronised"] == true {
            ensure!(
                event["code"] == code && event["initiator"] == "peer",
                "{odd} %, {code}: {event}"
            );
        } else {
            ensure!(odd > 0, "a good network: {event}");
            // The server sends the same code back.
            ensure!(event["code"] == code || event["code"] == 1006, "{odd} %, {code}: {event}");
            lost += 1;
        }
        ensure!(event["broken_rule"].is_null(), "a rule that nobody broke: {event}");
        odd_ones += u16::from(odd > 0);
    }
    println!("{lost} of {odd_ones} connections over bad networks are told as unsynchronised");
    ensure!(lost > 0, "the networks were too good to try anything");
    Ok(())
}
