//! The kernel half of wstap.
fn main() {}
