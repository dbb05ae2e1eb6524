//! `wstap lint` on configurations from the wild, and on broken ones.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod mutations;
mod wild;
