//! The frame walk: any bytes after a 101, over any network, against a WebSocket library's frame codec.
#![no_main]
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a fuzz target that cannot go on crashes"
)]

#[path = "../../agent-common/tests/wire/oracle.rs"]
mod oracle;
mod wire;

use libfuzzer_sys::fuzz_target;
use oracle::{LOST, disagreement, fits, in_order, truth, walk};
use wire::{Input, Network};

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let choices = input.byte();
    let (client, incoming) = (choices & 1 != 0, choices & 2 != 0);
    let network = match choices >> 2 & 3 {
        0 => Network::in_order(vec![input.length(), input.length()]),
        1 => Network::in_order(vec![usize::MAX / 2]),
        odd => input.network(odd == 3),
    };
    let glued = if choices & 64 != 0 { input.length() % 2000 } else { 0 };
    let first = if choices & 128 != 0 { u32::MAX - 20 } else { 0 };
    let stream = input.0;
    let mut passing = network.carry(stream.len());
    if !incoming {
        // A sender passes its bytes in order, and some of them again.
        passing.sort_by_key(|segment| segment.to);
    }
    let truth = truth(stream, client);
    let said = walk(stream, &passing, client, first, glued, incoming);
    if in_order(&passing) && fits(&passing, &truth.begins) {
        assert_eq!(said.flags & LOST, 0, "lost its place on a good network");
    }
    if let Err(what) = disagreement(&said, &truth) {
        panic!("{what}: client {client}, incoming {incoming}, {passing:?}");
    }
});
