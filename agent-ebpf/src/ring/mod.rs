//! Records onto the ring to user space, and what else it is told.

pub mod debug_log;
pub mod emit;
pub mod identity;
