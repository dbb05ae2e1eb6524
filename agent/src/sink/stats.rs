//! What the agent can say of itself at one moment: plain numbers that the pipeline collects when
//! `/metrics` is asked for.

use std::time::Duration;

use crate::event::RoleName;

/// A snapshot of the agent's own state. Names are constants of the code, so their number is bounded.
#[derive(Clone, Debug, Default)]
pub struct AgentStats {
    /// The families of hooks.
    pub hooks: Vec<HookStats>,
    /// Records that the kernel half set out to send.
    pub seen: u64,
    /// Records that reached user space.
    pub delivered: u64,
    /// Records that did not, by reason; once drained, `seen` is `delivered` and all of these.
    pub lost: Vec<(&'static str, u64)>,
    /// Connections that were recognised by their frames.
    pub found: u64,
    /// Open connections whose handshake was not seen, by role.
    pub unseen: Vec<(RoleName, u64)>,
    /// HTTP/2 connections, by role and by whether their server offers extended CONNECT.
    pub h2: Vec<(RoleName, &'static str, u64)>,
    /// Heads that were longer than what is kept of a head.
    pub heads_truncated: u64,
    /// How often a bound of user space was reached, by the bound's name.
    pub bounds: Vec<(&'static str, u64)>,
    /// The kernel's tables and user space's.
    pub tables: Vec<TableStats>,
    /// The programs in the kernel.
    pub programs: Vec<ProgramStats>,
    /// Where events went besides.
    pub outputs: Outputs,
    /// What the TLS family does; `None` when it was not asked for.
    pub tls: Option<TlsStats>,
}

/// What the outputs of events say of themselves.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    /// What the memory holds: events, bytes, and how many were forgotten.
    pub remembered: (u64, u64, u64),
    /// What became of events: by output and result.
    pub events: Vec<(&'static str, &'static str, u64)>,
}

/// What the TLS family does.
#[derive(Clone, Debug, Default)]
pub struct TlsStats {
    /// Processes that end TLS, by what became of them.
    pub processes: Vec<(&'static str, u64)>,
    /// Connections by whether their socket was found.
    pub sockets: Vec<(&'static str, u64)>,
    /// Times that a process was let go for its budget.
    pub let_go: u64,
    /// Processes that were left out at a bound.
    pub beyond: u64,
}

/// A family of hooks.
#[derive(Clone, Copy, Debug)]
pub struct HookStats {
    /// The family's name.
    pub family: &'static str,
    /// Which sockets it sees.
    pub sockets: &'static str,
    /// By which programs.
    pub means: &'static str,
    /// Whether it is used.
    pub used: bool,
}

/// One bounded table.
#[derive(Clone, Copy, Debug)]
pub struct TableStats {
    /// The table's name.
    pub name: &'static str,
    /// What it holds now.
    pub entries: u64,
    /// What it can hold.
    pub capacity: u64,
}

/// One program in the kernel. Both numbers stay 0 unless `kernel.bpf_stats_enabled` is set.
#[derive(Clone, Copy, Debug)]
pub struct ProgramStats {
    /// The program's name.
    pub name: &'static str,
    /// The time it ran.
    pub run_time: Duration,
    /// How often it ran.
    pub run_count: u64,
}
