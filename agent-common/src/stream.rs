//! Which bytes of a connection are worth telling user space.

/// How many bytes of a request's head are sent to user space at most.
pub const HEAD_CAP: u32 = 64 * 1024 + 4096;
