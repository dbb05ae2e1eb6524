//! User space: heads parsed, requests and answers paired. However the bytes of a connection are cut into
//! records, and whatever of them comes twice, the exchanges are the same.
#![no_main]

mod wire;

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use wire::{Input, Network, Turn};
use wstap::handshake::{Answer, Exchange, Limits, Observation, Pairing};
use wstap_common::record::{Kind, Record, Summary, half};
use zerocopy::{FromZeros, IntoBytes};

/// What separates the request's bytes from the answer's in the input.
const ANSWER: &[u8] = b"\n=>\n";

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let mut networks = [input.network(false), input.network(false)];
    for network in &mut networks {
        network.turns.retain(|turn| !matches!(turn, Turn::Overtaken(_)));
        if network.turns.is_empty() {
            network.turns.push(Turn::Pass);
        }
    }
    let at = input.0.windows(ANSWER.len()).position(|window| window == ANSWER);
    let (request, answer) = at.map_or((input.0, &[][..]), |at| {
        let (request, rest) = input.0.split_at(at);
        (request, rest.get(ANSWER.len()..).unwrap_or_default())
    });
    let [first, second] = &networks;
    let whole = Network::in_order(vec![4000]);
    let cut = exchanges([(request, first), (answer, second)]);
    let uncut = exchanges([(request, &whole), (answer, &whole)]);
    assert_eq!(cut, uncut);
});

/// What is told of a connection that says this and ends.
fn exchanges(halves: [(&[u8], &Network); 2]) -> Vec<String> {
    let mut pairing = Pairing::new(Limits::default(), Duration::ZERO);
    let mut told = Vec::new();
    let mut out = |observation| match observation {
        Observation::Exchange(exchange) => told.push(said(&exchange)),
        // The exchange that follows says the same and more.
        Observation::Switched(_) => {}
        Observation::Closure(closure) => told.push(format!("{closure:?}")),
    };
    let mut record = Record::new_zeroed();
    record.cookie = 1;
    record.kind = Kind::Bytes as u8;
    for (half, (bytes, network)) in [half::REQUEST, half::RESPONSE].into_iter().zip(halves) {
        record.half = half;
        for passing in network.carry(bytes.len()) {
            record.seq = passing.from as u32;
            let part = bytes.get(passing.from..passing.to).unwrap_or_default();
            // A record has at most this much.
            for piece in part.chunks(4096) {
                pairing.record(&record, piece, &mut out);
                record.seq += piece.len() as u32;
            }
        }
    }
    record.kind = Kind::Closed as u8;
    pairing.record(&record, Summary::default().as_bytes(), &mut out);
    pairing.finish(0, &mut out);
    told
}

/// An exchange but for its times.
fn said(exchange: &Exchange) -> String {
    let answer = match &exchange.answer {
        Answer::Response(head) => format!("{head:?}"),
        other => format!("{other:?}"),
    };
    format!("{:?} {answer}", exchange.request)
}
