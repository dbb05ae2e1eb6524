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

/// So long without any shed ends a burst. A reading that found nothing shed does not: in a storm it had a processor to
/// itself for a moment.
const CALM: Duration = Duration::from_millis(500);

/// How long it waits between two of them, each of at most what the ring holds: at least so long, twenty times as long as
/// the last one took, and no longer than a second.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(1);
const SHARE: u32 = 20;

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
    /// The first reading of a burst that found that requests were shed, and the last one.
    behind: Option<(Duration, Duration)>,
    /// Since when it reads samples.
    sampling: Option<Duration>,
}

impl Pace {
    /// What to do after a reading from `began` to `now`, when so many records were delivered and so many requests shed
    /// in all; `more` says that the reading did not empty the ring.
    pub fn next(
        &mut self,
        (began, now): (Duration, Duration),
        delivered: u64,
        shed: u64,
        more: bool,
    ) -> Wait {
        let (told, left) = (delivered - self.delivered, shed - self.shed);
        (self.delivered, self.shed) = (delivered, shed);
        let pause = || {
            let took = now.saturating_sub(began);
            Wait::Pause((took * SHARE).clamp(PAUSE, PAUSE_MAX))
        };
        let keep_up = if more { Wait::No } else { Wait::Record(GATHER) };
        if let Some(since) = self.sampling {
            // The pauses alone shed some of what could be told: that is no reason to go on with them.
            if left > told && now.saturating_sub(since) < RETRY {
                return pause();
            }
            self.sampling = None;
            self.behind = None;
            return keep_up;
        }
        if left == 0 {
            return keep_up;
        }
        let burst = self.behind.filter(|(_, last)| now.saturating_sub(*last) < CALM);
        let first = burst.map_or(now, |(first, _)| first);
        self.behind = Some((first, now));
        if now.saturating_sub(first) < BURST {
            return keep_up;
        }
        self.sampling = Some(now);
        pause()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// A reading of 10 ms that ends at `now`.
    fn next(pace: &mut Pace, now: u64, delivered: u64, shed: u64, more: bool) -> Wait {
        pace.next((ms(now - 10), ms(now)), delivered, shed, more)
    }

    #[test]
    fn without_loss_it_reads_on() {
        let mut pace = Pace::default();
        assert_eq!(next(&mut pace, 10, 100, 0, true), Wait::No);
        assert_eq!(next(&mut pace, 500, 200, 0, false), Wait::Record(GATHER));
    }

    #[test]
    fn a_burst_is_read_at_once_and_a_storm_in_samples() {
        let mut pace = Pace::default();
        assert_eq!(next(&mut pace, 10, 100, 500, true), Wait::No);
        assert_eq!(next(&mut pace, 59, 200, 900, true), Wait::No);
        // It was over.
        assert_eq!(next(&mut pace, 559, 300, 1500, false), Wait::Record(GATHER));
        assert_eq!(next(&mut pace, 600, 400, 1500, false), Wait::Record(GATHER));
        assert_eq!(next(&mut pace, 608, 500, 2000, true), Wait::No);
        assert_eq!(next(&mut pace, 609, 600, 2500, true), Wait::Pause(PAUSE));
        assert_eq!(next(&mut pace, 900, 700, 3000, true), Wait::Pause(PAUSE));
    }

    #[test]
    fn a_long_reading_has_a_long_pause() {
        for (took, pause) in [(1, 200), (20, 400), (400, 1000)] {
            let mut pace = Pace::default();
            next(&mut pace, 10, 0, 1, true);
            let wait = pace.next((ms(500 - took), ms(500)), 0, 2, true);
            assert_eq!(wait, Wait::Pause(ms(pause)), "{took}");
        }
    }

    #[test]
    fn sampling_ends_with_the_storm_or_is_tried_again() {
        let storm = || {
            let mut pace = Pace::default();
            next(&mut pace, 10, 0, 1, true);
            assert_eq!(next(&mut pace, 60, 0, 2, true), Wait::Pause(PAUSE));
            pace
        };
        let mut pace = storm();
        assert_eq!(next(&mut pace, 300, 100, 102, true), Wait::No, "as many were told");
        let mut pace = storm();
        assert_eq!(next(&mut pace, 10_059, 100, 1000, true), Wait::Pause(PAUSE));
        assert_eq!(next(&mut pace, 10_060, 200, 2000, true), Wait::No);
        assert_eq!(next(&mut pace, 10_070, 300, 3000, true), Wait::No);
        assert_eq!(next(&mut pace, 10_120, 400, 4000, true), Wait::Pause(PAUSE));
    }
}
