//! wstap: tells, from the Linux kernel and without touching the application, which WebSocket
//! handshakes fail, from which origin, and why.
//!
//! The modules stand in the order of the data path; each imports only those before it.

pub mod assemble;
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
pub mod pipeline;
pub mod replay;
pub mod ring;
pub mod selftest;
pub mod sink;
