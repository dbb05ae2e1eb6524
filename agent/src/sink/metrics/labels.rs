//! Label values that stay bounded although a client or a server chooses them.
//!
//! In: what came on the wire. Out: a label value out of a bounded set.

use std::{
    collections::HashSet,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::origins::Origins;
use crate::event::{Event, Policy, UNKNOWN, Workload, normalised_origin};

/// What values beyond a cap fold into.
pub(super) const OTHER: &str = "other";
/// The origin of a request without `Origin`.
const NONE: &str = "none";
/// The origin of a request whose `Origin` is no origin.
const MALFORMED: &str = "malformed";

/// The first values that came, at most `cap` of them. A value once in stays in, so that a series
/// never changes its meaning; one that came too late is counted as folded each time.
#[derive(Debug)]
pub(super) struct Distinct<T> {
    values: HashSet<T>,
    cap: usize,
    folded: u64,
}

impl<T: Clone + Eq + Hash> Distinct<T> {
    pub(super) fn new(cap: usize) -> Self {
        Self { values: HashSet::new(), cap, folded: 0 }
    }

    /// Whether `value` is, or now became, one of them.
    pub(super) fn admit(&mut self, value: &T) -> bool {
        self.admit_among(value, self.cap)
    }

    /// The same, but `value` becomes one of them only while there are fewer than `places`.
    fn admit_among(&mut self, value: &T, places: usize) -> bool {
        if self.values.contains(value) {
            return true;
        }
        if self.values.len() < places {
            return self.values.insert(value.clone());
        }
        self.folded += 1;
        false
    }

    /// Takes out the values that `goes` names: their places are free again.
    pub(super) fn release(&mut self, goes: impl Fn(&T) -> bool) -> Vec<T> {
        self.values.extract_if(goes).collect()
    }

    /// How often a value was refused.
    pub(super) fn folded(&self) -> u64 {
        self.folded
    }
}

/// The lock, whatever happened to its last holder: the values stay usable.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The label value for a request's `Origin`, and the origin that gave its place up for it. Absent, `null` and malformed
/// origins take no place.
pub(super) fn origin(
    value: Option<&str>,
    policy: Policy,
    accepted: bool,
    origins: &mut Origins,
) -> (String, Option<String>) {
    let Some(value) = value else { return (NONE.to_owned(), None) };
    match normalised_origin(value) {
        Some(origin) if origin == "null" => (origin, None),
        Some(origin) => match origins.admit(&origin, policy, accepted, Instant::now()) {
            (true, gone) => (origin, gone),
            (false, _) => (OTHER.to_owned(), None),
        },
        None => (MALFORMED.to_owned(), None),
    }
}

/// The label value for a path. One on which nothing was accepted yet takes at most half of the places: whoever makes
/// up paths must not keep those that are served from having a series.
pub(super) fn path(path: &str, accepted: bool, distinct: &mut Distinct<String>) -> String {
    let template = super::path::template(path);
    let places = if accepted { distinct.cap } else { distinct.cap.div_ceil(2) };
    if distinct.admit_among(&template, places) { template } else { OTHER.to_owned() }
}

/// The label values for a workload.
pub(super) fn workload(event: &Event, by: &mut ByWorkload) -> Workload {
    let workload = Workload::of(event, by.runtime_asked);
    if workload.name == UNKNOWN || by.distinct.admit(&workload) {
        return workload;
    }
    super::folded_workload()
}

/// What bounds the workloads that have series.
#[derive(Debug)]
pub(super) struct ByWorkload {
    pub(super) distinct: Distinct<Workload>,
    /// Containers have names, or will have.
    pub(super) runtime_asked: bool,
}

/// The label value for a status code: `none` without one that HTTP defines (RFC 9110 section 15).
pub(super) fn status(status: Option<u16>) -> String {
    match status {
        Some(code @ 100..=599) => code.to_string(),
        _ => NONE.to_owned(),
    }
}
