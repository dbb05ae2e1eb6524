//! The other end of a stream that this process holds: a terminal, a pipe's reader.

use std::{os::fd::BorrowedFd, time::Duration};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Waits at most so long (`None`: for ever) for the other end to go, and says whether it has. Unlike reading or
/// writing this takes nothing and never waits for room.
pub(super) fn has_gone(stream: BorrowedFd<'_>, wait: Option<Duration>) -> bool {
    // POLLHUP, POLLERR and POLLNVAL come without being asked for (poll(2)).
    let mut asked = [PollFd::from_borrowed_fd(stream, PollFlags::empty())];
    let wait = wait.and_then(|wait| Timespec::try_from(wait).ok());
    poll(&mut asked, wait.as_ref()).is_ok_and(|ready| ready > 0)
}
