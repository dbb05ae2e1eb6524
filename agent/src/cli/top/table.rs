//! What `wstap top` counts, by origin and under it by cause.
//!
//! In: events, and the time since the start. Out: counts and failures over time. Bounds: [`ORIGINS`];
//! causes are a closed list.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use crate::{
    diagnose::Cause,
    event::{ClosureEvent, Event, HandshakeEvent, Outcome, normalised_origin},
    sink::render::safe,
};

/// At most so many origins have a row; what comes later is counted in the row [`OTHER`], and shown.
pub(super) const ORIGINS: usize = 500;
/// What later origins are counted under.
pub(super) const OTHER: &str = "other";
/// The row of requests without `Origin`.
const NONE: &str = "none";
/// The longest origin that is no origin, in characters.
const MALFORMED: usize = 80;
/// The time that one column of the failures over time stands for.
pub(super) const COLUMN: Duration = Duration::from_secs(5);
/// How many columns are kept.
pub(super) const COLUMNS: usize = 60;

/// Failures in each of the last [`COLUMNS`] columns, the newest last.
#[derive(Clone, Debug)]
pub(super) struct History([u32; COLUMNS]);

impl Default for History {
    fn default() -> Self {
        Self([0; COLUMNS])
    }
}

impl History {
    fn add(&mut self) {
        if let Some(now) = self.0.last_mut() {
            *now = now.saturating_add(1);
        }
    }

    fn pass(&mut self, columns: usize) {
        let columns = columns.min(COLUMNS);
        self.0.rotate_left(columns);
        self.0.iter_mut().rev().take(columns).for_each(|column| *column = 0);
    }

    /// The newest columns, at most so many, the oldest first.
    pub(super) fn newest(&self, columns: usize) -> Vec<u64> {
        self.0.iter().skip(COLUMNS.saturating_sub(columns)).copied().map(u64::from).collect()
    }
}

/// Failures, and when they were.
#[derive(Clone, Debug, Default)]
pub(super) struct Failures {
    pub(super) count: u64,
    pub(super) history: History,
}

impl Failures {
    fn add(&mut self) {
        self.count += 1;
        self.history.add();
    }
}

/// What is counted of one origin, or of all.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) accepted: u64,
    pub(super) failed: Failures,
    pub(super) closed: u64,
    pub(super) abnormal: u64,
    /// The failures by cause; `None`: a failure without one.
    pub(super) causes: BTreeMap<Option<Cause>, Failures>,
}

impl Row {
    /// Accepted of those whose outcome is known, 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a rate for the eye")]
    pub(super) fn success(&self) -> Option<f64> {
        let known = self.accepted + self.failed.count;
        (known > 0).then(|| self.accepted as f64 / known as f64)
    }

    fn handshake(&mut self, outcome: Outcome, cause: Option<Cause>) {
        match outcome {
            Outcome::Accepted => self.accepted += 1,
            Outcome::Unobserved => {}
            Outcome::Failed | Outcome::Rejected | Outcome::Unanswered | Outcome::TimedOut => {
                self.failed.add();
                self.causes.entry(cause).or_default().add();
            }
        }
    }

    fn closure(&mut self, event: &ClosureEvent) {
        self.closed += 1;
        self.abnormal += u64::from(event.is_abnormal());
    }

    fn pass(&mut self, columns: usize) {
        self.failed.history.pass(columns);
        self.causes.values_mut().for_each(|cause| cause.history.pass(columns));
    }
}

/// Everything that is counted.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) all: Row,
    /// Handshakes whose answer the agent missed.
    pub(super) unobserved: u64,
    /// Events that the agent dropped because this reader was too slow.
    pub(super) missed: u64,
    /// Events of origins that have no row of their own.
    pub(super) folded: u64,
    origins: HashMap<String, Row>,
    /// How many columns have passed since the start.
    column: u128,
}

impl Table {
    /// Counts an event that came so long after the start.
    pub(super) fn add(&mut self, event: &Event, now: Duration) {
        self.pass(now);
        match event {
            Event::Handshake(event) => self.handshake(event),
            Event::Closure(event) => self.closure(event),
            Event::Missed(event) => self.missed += event.missed,
            _ => {}
        }
    }

    /// Moves the failures over time on to `now`.
    pub(super) fn pass(&mut self, now: Duration) {
        let column = now.as_nanos() / COLUMN.as_nanos();
        let columns = usize::try_from(column.saturating_sub(self.column)).unwrap_or(COLUMNS);
        if columns > 0 {
            self.column = column;
            self.all.pass(columns);
            self.origins.values_mut().for_each(|row| row.pass(columns));
        }
    }

    /// The origins and their rows, in no order.
    pub(super) fn origins(&self) -> impl Iterator<Item = (&str, &Row)> {
        self.origins.iter().map(|(origin, row)| (&**origin, row))
    }

    fn handshake(&mut self, event: &HandshakeEvent) {
        self.unobserved += u64::from(event.outcome == Outcome::Unobserved);
        self.all.handshake(event.outcome, event.cause);
        self.row(event.origin.as_deref()).handshake(event.outcome, event.cause);
    }

    fn closure(&mut self, event: &ClosureEvent) {
        self.all.closure(event);
        self.row(event.origin.as_deref()).closure(event);
    }

    fn row(&mut self, origin: Option<&str>) -> &mut Row {
        let origin = origin.map_or_else(
            || NONE.to_owned(),
            |origin| normalised_origin(origin).unwrap_or_else(|| safe(origin, MALFORMED)),
        );
        let full = self.origins.len() >= ORIGINS && !self.origins.contains_key(&origin);
        self.folded += u64::from(full);
        self.origins.entry(if full { OTHER.to_owned() } else { origin }).or_default()
    }
}

#[cfg(test)]
mod tests;
