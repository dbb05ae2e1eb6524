//! The clocks of a live capture. Stages behind the ring take time from records only.

use std::time::Duration;

/// CLOCK_MONOTONIC, which the kernel stamps records with.
pub fn monotonic() -> Duration {
    read(libc::CLOCK_MONOTONIC)
}

/// CLOCK_BOOTTIME, from which /proc counts.
pub fn boot() -> Duration {
    read(libc::CLOCK_BOOTTIME)
}

/// The time since the Unix epoch.
pub fn wall() -> Duration {
    read(libc::CLOCK_REALTIME)
}

/// What the calling thread has worked: the time that processors spent on it, in the kernel too.
pub fn worked() -> Duration {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn read(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec that lives through the call; these clocks always exist, so
    // the call cannot fail.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}
