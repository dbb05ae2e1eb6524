//! The `wstap` binary.
fn main() {}
