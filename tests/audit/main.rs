//! `wstap audit` through real proxies, each right and wrong in many ways: every fault is found with its cause, and nothing
//! else is reported.
//!
//! Needs the built binary and the proxies of `cargo xtask setup`; no root. Each test has proxies and ports of its own.

#![expect(clippy::indexing_slicing, reason = "a test that ends there has found something")]

mod agreement;
mod chains;
mod faults;
mod options;
mod proxies;
mod stage;
