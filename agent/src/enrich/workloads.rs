//! Which workloads are on this host, so that the series of one that has gone do not stay for ever.
//!
//! In: the workload of each event and a sign of its life. Out: those without a sign for the grace time.
//! Bound: [`WORKLOADS`].

use std::{
    num::NonZeroUsize,
    path::PathBuf,
    time::{Duration, Instant},
};

use lru::LruCache;

use super::{cri::Names, holder::Holder};
use crate::event::Workload;

/// At most so many workloads are watched; the one that was longest without an event is taken for gone, and counted.
pub const WORKLOADS: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
/// Signs of life are looked for so often within the grace time, and not more often than once a second.
const LOOKS: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);

/// By what a workload shows that it is there.
#[derive(Clone, Debug)]
pub(super) enum Sign {
    /// The runtime runs a container of it.
    Runtime,
    /// A service's cgroup, which systemd removes with the service.
    Folder(PathBuf),
    /// The process that was seen last.
    Process(Holder),
}

/// The workloads that have series.
#[derive(Debug)]
pub(super) struct Workloads {
    watched: LruCache<Workload, (Sign, Instant)>,
    grace: Duration,
    looked: Option<Instant>,
}

impl Workloads {
    /// None yet; one that has gone is forgotten after `grace`.
    pub(super) fn new(grace: Duration) -> Self {
        Self { watched: LruCache::new(WORKLOADS), grace, looked: None }
    }

    /// An event of this workload came; answers which other one had to make room.
    pub(super) fn seen(
        &mut self,
        workload: Workload,
        sign: Sign,
        now: Instant,
    ) -> Option<Workload> {
        let pushed = self.watched.push(workload.clone(), (sign, now));
        pushed.map(|(old, _)| old).filter(|old| *old != workload)
    }

    /// Takes out those that have gone. Looks for signs of life when that is due.
    pub(super) fn take_gone(&mut self, names: Option<&Names>, now: Instant) -> Vec<Workload> {
        let pause = (self.grace / LOOKS).max(PAUSE);
        if self.looked.is_some_and(|looked| now < looked + pause) {
            return Vec::new();
        }
        self.looked = Some(now);
        let mut gone = Vec::new();
        for (workload, (sign, alive)) in &mut self.watched {
            let lives = match sign {
                Sign::Runtime => names.is_some_and(|names| names.runs(workload)),
                Sign::Folder(folder) => folder.exists(),
                Sign::Process(holder) => holder.lives(),
            };
            if lives {
                *alive = now;
            } else if now >= *alive + self.grace {
                gone.push(workload.clone());
            }
        }
        for workload in &gone {
            self.watched.pop(workload);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Sign, WORKLOADS, Workload, Workloads};

    const GRACE: Duration = Duration::from_secs(600);

    fn workload(name: &str) -> Workload {
        Workload { namespace: "none".to_owned(), name: name.to_owned() }
    }

    #[test]
    fn what_has_gone_is_told_after_the_grace_and_what_is_there_never() {
        let (here, gone) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mut workloads, start) = (Workloads::new(GRACE), Instant::now());
        let folder = |folder: &tempfile::TempDir| Sign::Folder(folder.path().to_owned());
        workloads.seen(workload("here"), folder(&here), start);
        workloads.seen(workload("gone"), folder(&gone), start);
        drop(gone);
        assert_eq!(workloads.take_gone(None, start + GRACE / 2), []);
        // Not looked at again before it is time.
        assert_eq!(workloads.take_gone(None, start + GRACE / 2 + Duration::from_secs(1)), []);
        assert_eq!(workloads.take_gone(None, start + GRACE), [workload("gone")]);
        assert_eq!(workloads.take_gone(None, start + GRACE * 5), []);
    }

    #[test]
    fn an_event_is_a_sign_of_life_whatever_became_of_the_last() {
        let (mut workloads, start) = (Workloads::new(GRACE), Instant::now());
        let nowhere = || Sign::Folder("/nowhere/wstap".into());
        workloads.seen(workload("chat"), nowhere(), start);
        workloads.seen(workload("chat"), nowhere(), start + GRACE / 2);
        assert_eq!(workloads.take_gone(None, start + GRACE), []);
        assert_eq!(workloads.take_gone(None, start + GRACE * 2), [workload("chat")]);
    }

    #[test]
    fn beyond_the_bound_the_quietest_is_taken_for_gone() {
        let (mut workloads, start) = (Workloads::new(GRACE), Instant::now());
        let mut out = Vec::new();
        for number in 0..=WORKLOADS.get() {
            let new = workload(&number.to_string());
            out.extend(workloads.seen(new, Sign::Folder("/".into()), start));
        }
        assert_eq!(out, [workload("0")]);
    }
}
