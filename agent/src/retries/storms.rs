//! Reconnect storms: many connections of one origin end together, and as many handshakes follow.
//!
//! Counted by origin, in seconds, because handshakes and ends are told in no strict order.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    num::NonZeroUsize,
    time::Duration,
};

use lru::LruCache;

use crate::event::{
    ClosedBy, ClosureEvent, HandshakeEvent, Initiator, RoleName, StormEvent, timestamp,
};

/// At most so many origins are watched; the one that was longest quiet goes first, and is counted.
pub(super) const ORIGINS: NonZeroUsize = NonZeroUsize::new(256).unwrap();
/// So many ends, and so many handshakes more than usual, are a storm.
const MANY: u64 = 10;
/// Ends are common when they come within so long of the first.
const TOGETHER: Duration = Duration::from_secs(2);
/// What follows is counted for so long after the first end.
const WATCH: u64 = 15;
/// Seconds that are remembered: those before the end, with which it is compared, too.
const SECONDS: usize = 64;
/// Ways of ending that are told apart.
const WAYS: usize = 16;

#[derive(Debug)]
pub(super) struct Storms {
    hasher: RandomState,
    origins: LruCache<u64, Origin>,
    forgotten: u64,
}

#[derive(Debug)]
struct Origin {
    role: RoleName,
    name: Option<Box<str>>,
    /// Each second's number, its handshakes, and how many of them failed.
    seconds: Box<[(u64, u32, u32); SECONDS]>,
    ends: Option<Ends>,
}

/// Ends that came together.
#[derive(Debug)]
struct Ends {
    first: Duration,
    count: u64,
    ways: HashMap<(u16, Initiator, ClosedBy, Option<String>), u64>,
}

impl Default for Storms {
    fn default() -> Self {
        Self { hasher: RandomState::new(), origins: LruCache::unbounded(), forgotten: 0 }
    }
}

impl Origin {
    /// Handshakes in these seconds, and how many of them failed; and the last second that had one.
    fn handshakes(&self, from: u64, to: u64) -> (u64, u64, u64) {
        let within = self.seconds.iter().filter(|(second, ..)| (from..to).contains(second));
        within.fold((0, 0, from), |(all, failed, last), (second, here, here_failed)| {
            (all + u64::from(*here), failed + u64::from(*here_failed), last.max(*second))
        })
    }

    /// What the ends were followed by, when that was a storm.
    fn storm(&self, ends: &Ends) -> Option<StormEvent> {
        let first = ends.first.as_secs();
        let (after, failed, last) = self.handshakes(first, first + WATCH);
        let (usual, ..) = self.handshakes(first.saturating_sub(WATCH), first);
        let reconnects = after.saturating_sub(usual);
        if ends.count < MANY || reconnects < MANY || reconnects < ends.count / 2 {
            return None;
        }
        let most = ends.ways.iter().max_by_key(|(_, count)| **count);
        let ((code, initiator, by, reason), _) = most?;
        Some(StormEvent {
            id: None,
            time: timestamp(ends.first),
            role: self.role,
            origin: self.name.as_deref().map(str::to_owned),
            ended: ends.count,
            code: *code,
            initiator: *initiator,
            by: *by,
            reason: reason.clone(),
            reconnects,
            failed: failed.min(reconnects),
            seconds: Duration::from_secs(last + 1).saturating_sub(ends.first).as_secs_f64(),
        })
    }
}

impl Storms {
    pub(super) fn handshake(&mut self, time: Duration, event: &HandshakeEvent) {
        let origin = self.origin(event.role, event.origin.as_deref());
        let second = time.as_secs();
        let place = usize::try_from(second % SECONDS as u64).unwrap_or(0);
        if let Some(entry) = origin.seconds.get_mut(place) {
            if entry.0 < second {
                *entry = (second, 0, 0);
            }
            // One that is told a minute late counts nowhere.
            if entry.0 == second {
                entry.1 += 1;
                entry.2 += u32::from(event.has_failed());
            }
        }
    }

    pub(super) fn closure(&mut self, time: Duration, event: &ClosureEvent) {
        let origin = self.origin(event.role, event.origin.as_deref());
        let is_over = |ends: &Ends| time.abs_diff(ends.first) > TOGETHER && ends.count < MANY;
        if origin.ends.as_ref().is_none_or(is_over) {
            origin.ends = Some(Ends { first: time, count: 0, ways: HashMap::new() });
        }
        let Some(ends) = &mut origin.ends else { return };
        if time.abs_diff(ends.first) > TOGETHER {
            // The end of one of those that came back.
            return;
        }
        ends.first = ends.first.min(time);
        ends.count += 1;
        let way = (event.code, event.initiator, event.by, event.reason.clone());
        if ends.ways.len() < WAYS || ends.ways.contains_key(&way) {
            *ends.ways.entry(way).or_default() += 1;
        }
    }

    pub(super) fn tick(&mut self, now: Duration, out: &mut dyn FnMut(StormEvent)) {
        // Handshakes are told up to a second after they began.
        let watched = Duration::from_secs(WATCH + 2);
        for (_, origin) in &mut self.origins {
            let is_watched =
                origin.ends.as_ref().is_some_and(|ends| now.saturating_sub(ends.first) > watched);
            if is_watched && let Some(ends) = origin.ends.take() {
                origin.storm(&ends).into_iter().for_each(&mut *out);
            }
        }
    }

    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn origin(&mut self, role: RoleName, name: Option<&str>) -> &mut Origin {
        let key = self.hasher.hash_one((role, name));
        if self.origins.len() >= ORIGINS.get() && !self.origins.contains(&key) {
            self.origins.pop_lru();
            self.forgotten += 1;
        }
        self.origins.get_or_insert_mut(key, || Origin {
            role,
            name: name.map(Into::into),
            seconds: Box::new([(0, 0, 0); SECONDS]),
            ends: None,
        })
    }
}
