//! How much time look-ups may take: a share of the clock, so that a storm of misses costs no more
//! than it, whatever the host's size.
//!
//! Counted is the thread's processor time ([`crate::clock::worked`]). On a busy host a thread waits for its processor; time that passes so
//! costs nobody anything, and would use up the share without one name found.

use std::time::{Duration, Instant};

/// Look-ups may take one part in so many of the time of one processor.
pub const SHARE: u32 = 10;
/// So much processor time may be saved up and spent at once.
pub const BURST: Duration = Duration::from_millis(500);

/// The account: at `due` everything spent so far is paid for.
#[derive(Debug)]
pub(super) struct Budget {
    due: Option<Instant>,
}

impl Budget {
    pub(super) const fn new() -> Self {
        Self { due: None }
    }

    /// Whether a look-up may begin at `now`.
    pub(super) fn allows(&self, now: Instant) -> bool {
        self.due.is_none_or(|due| due <= now + BURST * SHARE)
    }

    /// A look-up that began at `now` took so much processor time.
    pub(super) fn spend(&mut self, now: Instant, time: Duration) {
        self.due = Some(self.due.map_or(now, |due| due.max(now)) + time * SHARE);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{BURST, Budget, SHARE};

    #[test]
    fn a_burst_is_allowed_and_then_a_share_of_the_time() {
        let (mut budget, start) = (Budget::new(), Instant::now());
        let step = Duration::from_millis(100);
        let mut spent = Duration::ZERO;
        while budget.allows(start) {
            budget.spend(start, step);
            spent += step;
        }
        assert_eq!(spent, BURST + step);

        let mut now = start;
        for _ in 0..1000 {
            now += Duration::from_millis(10);
            if budget.allows(now) {
                budget.spend(now, step);
                spent += step;
            }
        }
        assert!(spent <= BURST + step + (now - start) / SHARE + step, "{spent:?}");
        assert!(spent >= BURST + (now - start) / SHARE, "{spent:?}");
    }

    #[test]
    fn time_without_look_ups_is_saved_up_to_the_burst_only() {
        let (mut budget, start) = (Budget::new(), Instant::now());
        budget.spend(start, BURST * 2);
        assert!(!budget.allows(start));
        let later = start + Duration::from_secs(3600);
        assert!(budget.allows(later));
        budget.spend(later, BURST * 2);
        assert!(!budget.allows(later));
    }
}
