//! How long records gather before they are read: shortly, unless user space cannot keep up in any case.
//!
//! In: what was delivered and shed so far. Out: how long to wait. To read on when most of what comes is shed takes the
//! processor from the servers and tells little more: a few thousand handshakes a second show the causes as well.

use std::time::Duration;

/// How long records gather once the first of them woke the reader: to wake for each costs more than to read it.
/// The ring holds what comes in the meantime at ten times the rate that the stages behind it can take.
const GATHER: Duration = Duration::from_millis(5);

/// How long requests may be shed before the reader falls back to samples: a burst ends sooner.
const BURST: Duration = Duration::from_millis(50);

/// How long it waits between two of them, each of at most what the ring holds.
const SAMPLED: Duration = Duration::from_millis(200);

/// So often it tries to keep up again, for as long as [`BURST`].
const RETRY: Duration = Duration::from_secs(10);

/// What to do before the next reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// There is more to read.
    No,
    /// For a record, and then for what comes with it.
    Record(Duration),
    /// So long, whatever comes.
    Pause(Duration),
}

/// The reader's pace.
#[derive(Debug, Default)]
pub struct Pace {
    delivered: u64,
    shed: u64,
    /// Since when every reading found that requests were shed.
    behind: Option<Duration>,
    /// Since when it reads samples.
    sampling: Option<Duration>,
}

impl Pace {
    /// What to do after a reading that ended at `now`, when so many records were delivered and so many requests shed
    /// in all; `more` says that the reading did not empty the ring.
    pub fn next(&mut self, now: Duration, delivered: u64, shed: u64, more: bool) -> Wait {
        let (told, left) = (delivered - self.delivered, shed - self.shed);
        (self.delivered, self.shed) = (delivered, shed);
        let keep_up = if more { Wait::No } else { Wait::Record(GATHER) };
        if let Some(since) = self.sampling {
            // The pauses alone shed some of what could be told: that is no reason to go on with them.
            if left > told && now.saturating_sub(since) < RETRY {
                return Wait::Pause(SAMPLED);
            }
            self.sampling = None;
            self.behind = None;
            return keep_up;
        }
        if left == 0 {
            self.behind = None;
            return keep_up;
        }
        if now.saturating_sub(*self.behind.get_or_insert(now)) < BURST {
            return keep_up;
        }
        self.sampling = Some(now);
        Wait::Pause(SAMPLED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn without_loss_it_reads_on() {
        let mut pace = Pace::default();
        assert_eq!(pace.next(ms(0), 100, 0, true), Wait::No);
        assert_eq!(pace.next(ms(500), 200, 0, false), Wait::Record(GATHER));
    }

    #[test]
    fn a_burst_is_read_at_once_and_a_storm_in_samples() {
        let mut pace = Pace::default();
        assert_eq!(pace.next(ms(0), 100, 500, true), Wait::No);
        assert_eq!(pace.next(ms(49), 200, 900, true), Wait::No);
        // It was over.
        assert_eq!(pace.next(ms(60), 300, 900, false), Wait::Record(GATHER));
        assert_eq!(pace.next(ms(70), 400, 1500, true), Wait::No);
        assert_eq!(pace.next(ms(120), 500, 2000, true), Wait::Pause(SAMPLED));
        assert_eq!(pace.next(ms(400), 600, 2500, true), Wait::Pause(SAMPLED));
    }

    #[test]
    fn sampling_ends_with_the_storm_or_is_tried_again() {
        let storm = || {
            let mut pace = Pace::default();
            pace.next(ms(0), 0, 1, true);
            assert_eq!(pace.next(ms(50), 0, 2, true), Wait::Pause(SAMPLED));
            pace
        };
        let mut pace = storm();
        assert_eq!(pace.next(ms(300), 100, 102, true), Wait::No, "as many were told");
        let mut pace = storm();
        assert_eq!(pace.next(ms(10_049), 100, 1000, true), Wait::Pause(SAMPLED));
        assert_eq!(pace.next(ms(10_050), 200, 2000, true), Wait::No);
        assert_eq!(pace.next(ms(10_060), 300, 3000, true), Wait::No);
        assert_eq!(pace.next(ms(10_110), 400, 4000, true), Wait::Pause(SAMPLED));
    }
}
