//! Networks of all kinds, for property tests.

mod tcp;

use proptest::prelude::*;
#[allow(unused_imports, reason = "each test uses its part")]
pub(crate) use tcp::{Network, Passing, Receiver, Turn};

/// Lengths of segments: of bytes, of packets, of whole GSO bursts.
pub(crate) fn cuts() -> impl Strategy<Value = Vec<usize>> {
    let small = prop::collection::vec(1_usize..8, 1..8);
    let middle = prop::collection::vec(1_usize..200, 1..8);
    let packets = Just(vec![1448]);
    let mixed =
        prop::collection::vec(prop_oneof![1_usize..20, 20_usize..1500, 1500_usize..65536], 1..8);
    prop_oneof![small, middle, packets, mixed]
}

/// A network that repeats and reorders, and, with `unseen`, whose segments the hook sometimes misses.
pub(crate) fn network(unseen: bool) -> impl Strategy<Value = Network> {
    let odd = prop_oneof![
        (1_usize..5).prop_map(Turn::Overtaken),
        (1_usize..3000, 1_usize..3000).prop_map(|(back, len)| Turn::Again(back, len)),
    ];
    let odd = if unseen { prop_oneof![odd, Just(Turn::Unseen)].boxed() } else { odd.boxed() };
    let turn = prop_oneof![4 => Just(Turn::Pass), 1 => odd];
    (cuts(), prop::collection::vec(turn, 1..30)).prop_map(|(cuts, turns)| Network { cuts, turns })
}
