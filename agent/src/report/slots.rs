//! The time of a report, in pieces. Times are milliseconds since the Unix epoch.

use super::SLOTS;

/// The number of pieces, beside times.
const PIECES: i64 = SLOTS.cast_signed() as i64;

/// The time, cut into equal pieces.
pub(super) struct Slots {
    pub(super) from: i64,
    pub(super) to: i64,
}

impl Slots {
    pub(super) fn begin(&self, index: usize) -> i64 {
        let index = i64::try_from(index).unwrap_or(0);
        self.from + (self.to - self.from).saturating_mul(index) / PIECES
    }

    pub(super) fn index(&self, at: i64) -> usize {
        let (of, whole) = ((at - self.from).max(0), (self.to - self.from).max(1));
        let index = of.saturating_mul(PIECES) / whole;
        usize::try_from(index).unwrap_or(0).min(SLOTS - 1)
    }

    /// Spreads a count evenly over a piece of the time.
    pub(super) fn spread(&self, from: i64, to: i64, count: u64, mut put: impl FnMut(usize, u64)) {
        let (first, last) = (self.index(from), self.index(to));
        let slots = (last - first + 1) as u64;
        for (done, index) in (first..=last).enumerate() {
            let part = |until: u64| count * until / slots;
            put(index, part(done as u64 + 1) - part(done as u64));
        }
    }
}
