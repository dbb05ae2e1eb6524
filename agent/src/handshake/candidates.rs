//! The handshakes under way: by connection, with their deadlines and within their bounds.

use std::{collections::BTreeSet, num::NonZeroUsize, time::Duration};

use lru::LruCache;

use super::{Connection, nanos, pending::Pending};
use crate::assemble::bounded;

/// How many connections may have a handshake under way. At the bound the one that was quiet longest is
/// settled as unobserved and counted ([`super::Counters::evicted_handshakes`]).
pub(super) const HANDSHAKES_MAX: NonZeroUsize = NonZeroUsize::new(32 * 1024).unwrap();

/// How many bytes of heads are held in all, of handshakes under way and of those whose first moments are not over. At
/// the bound the same happens.
const HELD_MAX: usize = 64 * 1024 * 1024;

/// How long an answer may be without all of the content that fingerprints want, once its head is there.
const CONTENT_WAIT: Duration = Duration::from_millis(500);

/// How long after a 101 its first moments last: a server that asks others whether it should have accepted says so a second
/// later.
pub(super) const OPENING: Duration = Duration::from_millis(1500);

/// A connection with a handshake under way.
pub(super) struct Handshaking {
    pub(super) connection: Connection,
    pub(super) pending: Pending,
    /// Its entry among the deadlines: never later than its deadline.
    deadline_ns: u64,
}

/// The table. It tells nothing: whoever takes one out has settled it.
pub(super) struct Candidates {
    timeout_ns: u64,
    held: usize,
    table: LruCache<u64, Handshaking>,
    deadlines: BTreeSet<(u64, u64)>,
}

impl Candidates {
    /// None yet. `timeout` is how long a server may take to answer.
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            timeout_ns: nanos(timeout),
            held: 0,
            table: bounded(HANDSHAKES_MAX),
            deadlines: BTreeSet::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// One that something came of.
    pub(super) fn touch(&mut self, cookie: u64) -> Option<&mut Handshaking> {
        self.table.get_mut(&cookie)
    }

    pub(super) fn peek(&self, cookie: u64) -> Option<&Handshaking> {
        self.table.peek(&cookie)
    }

    /// Lets `change` work on one, and keeps count of what is held.
    pub(super) fn change<T>(
        &mut self,
        cookie: u64,
        change: impl FnOnce(&mut Handshaking) -> T,
    ) -> Option<T> {
        let state = self.table.peek_mut(&cookie)?;
        let held = state.pending.held();
        let changed = change(state);
        self.held = (self.held + state.pending.held()).saturating_sub(held);
        Some(changed)
    }

    /// The one that was quiet longest, when there is no room for one more.
    pub(super) fn crowded_out(&self) -> Option<u64> {
        let is_full = self.table.len() >= HANDSHAKES_MAX.get();
        is_full.then(|| self.eldest()).flatten()
    }

    /// The one that was quiet longest, when too much is held.
    pub(super) fn held_too_long(&self) -> Option<u64> {
        (self.held > HELD_MAX).then(|| self.eldest()).flatten()
    }

    /// The one that was quiet longest.
    pub(super) fn eldest(&self) -> Option<u64> {
        self.table.peek_lru().map(|(cookie, _)| *cookie)
    }

    /// Adds one.
    pub(super) fn begin(&mut self, connection: Connection, pending: Pending) {
        let cookie = connection.cookie;
        self.table.push(cookie, Handshaking { connection, pending, deadline_ns: u64::MAX });
    }

    /// Drops one.
    pub(super) fn forget(&mut self, cookie: u64) {
        if let Some(state) = self.table.pop(&cookie) {
            self.deadlines.remove(&(state.deadline_ns, cookie));
            self.held = self.held.saturating_sub(state.pending.held());
        }
    }

    /// The connection that is to be looked at by `now_ns`, and since when.
    pub(super) fn due(&self, now_ns: u64) -> Option<(u64, u64)> {
        self.deadlines.first().copied().filter(|(entry, _)| *entry <= now_ns)
    }

    /// When a connection has to be looked at again.
    pub(super) fn deadline_ns(&self, cookie: u64) -> Option<u64> {
        let pending = &self.table.peek(&cookie)?.pending;
        Some(pending.deadline_ns(self.timeout_ns, nanos(CONTENT_WAIT), nanos(OPENING)))
    }

    /// Sees to it that a connection is looked at again in time. An entry that is too early costs one more look
    /// when it is due; to move it with every record costs more.
    pub(super) fn set_deadline(&mut self, cookie: u64) {
        let entry = self.table.peek(&cookie).map_or(0, |state| state.deadline_ns);
        if let Some(deadline) = self.deadline_ns(cookie).filter(|deadline| *deadline < entry) {
            self.enter_deadline(cookie, deadline);
        }
    }

    /// A connection is to be looked at then, and no earlier.
    pub(super) fn enter_deadline(&mut self, cookie: u64, deadline: u64) {
        let Some(state) = self.table.peek_mut(&cookie) else { return };
        self.deadlines.remove(&(state.deadline_ns, cookie));
        self.deadlines.insert((deadline, cookie));
        state.deadline_ns = deadline;
    }
}
