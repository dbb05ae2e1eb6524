//! A network out of the fuzzer's bytes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what cannot go on crashes")]
#![allow(dead_code, unused_imports, reason = "each target uses its part")]

#[path = "../../../agent-common/tests/wire/tcp.rs"]
mod tcp;

pub(crate) use tcp::{Network, Passing, Receiver, Turn};

/// What the fuzzer gives, taken from the front.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    /// One byte; 0 when there is none.
    pub(crate) fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or(0)
    }

    /// A length: mostly short.
    pub(crate) fn length(&mut self) -> usize {
        match self.byte() {
            short @ 0..200 => usize::from(short) + 1,
            long => usize::from(long - 199) * 1200,
        }
    }

    /// At most so many bytes.
    pub(crate) fn bytes(&mut self, most: usize) -> &'a [u8] {
        self.0.split_off(..most.min(self.0.len())).unwrap_or_default()
    }

    /// A network; with `unseen` the hook misses segments.
    pub(crate) fn network(&mut self, unseen: bool) -> Network {
        let count = self.byte();
        let cuts = (0..=count % 8).map(|_| self.length()).collect();
        let turns = (0..=count / 8 % 8).map(|_| self.turn(unseen)).collect();
        Network { cuts, turns }
    }

    fn turn(&mut self, unseen: bool) -> Turn {
        match self.byte() % 6 {
            0 => Turn::Overtaken(usize::from(self.byte() % 5) + 1),
            1 => Turn::Again(self.length(), self.length()),
            2 if unseen => Turn::Unseen,
            _ => Turn::Pass,
        }
    }
}
