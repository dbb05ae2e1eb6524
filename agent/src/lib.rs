//! wstap: tells, from the Linux kernel and without touching the application, which WebSocket
//! handshakes fail, from which origin, and why.
//!
//! The order of the data path: `kernel`, `ring`, `assemble`, `http`, `handshake`, `diagnose`, `judge`, `enrich`, `event`,
//! `sink`. `pipeline` joins them for what the kernel tells, `replay` for what a capture holds.

pub mod assemble;
pub mod audit;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod diagnose;
pub mod doctor;
pub mod enrich;
pub mod event;
pub mod handshake;
pub mod http;
pub mod judge;
pub mod kernel;
pub mod lint;
pub mod pages;
pub mod pipeline;
pub mod replay;
pub mod report;
pub mod retries;
pub mod ring;
pub mod selftest;
pub mod sink;
