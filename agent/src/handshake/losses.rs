//! The loss counter and its past, so that a handshake answers for no loss from before it began.

use std::collections::VecDeque;

/// How many changes of the counter are remembered. What began before the oldest answers for every loss: it is then
/// unobserved at worst.
const CHANGES_MAX: usize = 64;

/// What was lost, as of the times at which the counter was read.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// When the counter was first read to have a value, by the records' clock, and the value.
    changes: VecDeque<(u64, u64)>,
}

impl Losses {
    /// The counter had this value before `time_ns`.
    pub(super) fn read(&mut self, time_ns: u64, value: u64) {
        if value != self.now() {
            if self.changes.len() == CHANGES_MAX {
                self.changes.pop_front();
            }
            self.changes.push_back((time_ns, value));
        }
    }

    /// The value that was read last.
    pub(super) fn now(&self) -> u64 {
        self.changes.back().map_or(0, |(_, value)| *value)
    }

    /// What had been lost by `time_ns` for certain. Records lie on the ring for a while: what was lost meanwhile may
    /// be the answer to the one that is read now.
    pub(super) fn before(&self, time_ns: u64) -> u64 {
        let known = self.changes.iter().rev().find(|(read_ns, _)| *read_ns <= time_ns);
        known.map_or(0, |(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_by_a_time_is_what_had_been_read_by_then() {
        let mut losses = Losses::default();
        assert_eq!((losses.before(10), losses.now()), (0, 0));
        for (time, value) in [(10, 0), (20, 3), (30, 3), (40, 5)] {
            losses.read(time, value);
        }
        let before = [19, 20, 39, 40, 50].map(|time| losses.before(time));
        assert_eq!((before, losses.now()), ([0, 3, 3, 5, 5], 5));
    }

    #[test]
    fn what_is_older_than_the_memory_answers_for_every_loss() {
        let mut losses = Losses::default();
        for change in 1..=CHANGES_MAX as u64 + 1 {
            losses.read(change, change);
        }
        assert_eq!((losses.before(1), losses.before(2)), (0, 2));
    }
}
