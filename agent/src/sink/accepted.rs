//! Accepted handshakes, summed up for a minute at a time: what failures are compared with where events are read later.
//!
//! In: accepted handshakes. Out: an [`AcceptedEvent`] a minute. Bounds: [`ROWS`].

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    time::{Duration, Instant},
};

use crate::{
    clock,
    event::{AcceptedEvent, AcceptedRow, HandshakeEvent, timestamp},
};

/// At most so many origins and paths have a row of their own; more are in the row without both.
const ROWS: usize = 256;
/// A sum is told so long after its first handshake.
const SUM: Duration = Duration::from_secs(60);

/// The sum that is being made.
#[derive(Debug, Default)]
pub(super) struct Sum {
    began: Option<Instant>,
    hasher: RandomState,
    rows: HashMap<u64, AcceptedRow>,
}

impl Sum {
    /// Counts an accepted handshake.
    pub(super) fn count(&mut self, event: &HandshakeEvent, now: Instant) {
        self.began.get_or_insert(now);
        let mut key = self.hasher.hash_one((event.role, &event.origin, &event.path));
        let full = self.rows.len() >= ROWS && !self.rows.contains_key(&key);
        if full {
            key = self.hasher.hash_one(event.role);
        }
        let row = self.rows.entry(key).or_insert_with(|| AcceptedRow {
            role: event.role,
            origin: event.origin.clone().filter(|_| !full),
            path: Some(event.path.clone()).filter(|_| !full),
            count: 0,
        });
        row.count += 1;
    }

    /// The sum, when its minute is over, or at once when it is asked for.
    pub(super) fn take(&mut self, now: Instant, at_once: bool) -> Option<AcceptedEvent> {
        let lasted = now.saturating_duration_since(self.began?);
        if !at_once && lasted < SUM {
            return None;
        }
        self.began = None;
        let mut rows: Vec<_> = self.rows.drain().map(|(_, row)| row).collect();
        rows.sort_by(|a, b| (&a.origin, &a.path).cmp(&(&b.origin, &b.path)));
        Some(AcceptedEvent { time: timestamp(clock::wall()), seconds: lasted.as_secs(), rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::sample::accepted;

    #[test]
    fn a_sum_a_minute_with_a_bounded_number_of_rows() {
        let (mut sum, now) = (Sum::default(), Instant::now());
        assert_eq!(sum.take(now, true), None);
        for number in 0..2 * ROWS {
            let event = HandshakeEvent { path: format!("/{number:05}"), ..accepted() };
            sum.count(&event, now);
            sum.count(&event, now);
        }
        assert_eq!(sum.take(now + SUM / 2, false), None);
        let told = sum.take(now + SUM, false).unwrap();
        assert_eq!((told.seconds, told.rows.len()), (60, ROWS + 1));
        let other = told.rows.first().unwrap();
        assert_eq!((&other.path, other.count), (&None, 2 * ROWS as u64));
        assert!(told.rows.iter().skip(1).all(|row| row.count == 2 && row.path.is_some()));
        assert_eq!(sum.take(now + 2 * SUM, false), None);
        sum.count(&accepted(), now);
        assert_eq!(sum.take(now, true).unwrap().rows.len(), 1);
    }
}
