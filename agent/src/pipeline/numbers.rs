//! The agent's own numbers: what the path counts, and what it and the kernel say to whoever scrapes.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use wstap_common::counters::Counter;

use crate::{
    enrich,
    event::RoleName,
    handshake::{H2Connections, Pairing},
    judge::Judge,
    kernel::{Kernel, tls::State},
    ring::Reader,
    sink::{AgentStats, HookStats, Outputs, ProgramStats, TableStats, TlsStats},
};

/// What the path counts, for whoever scrapes.
#[derive(Default)]
pub(super) struct Numbers {
    delivered: AtomicU64,
    undecodable: AtomicU64,
    truncated_heads: AtomicU64,
    evicted_handshakes: AtomicU64,
    evicted_tunnels: AtomicU64,
    dropped_listener_segments: AtomicU64,
    tls_without_socket: AtomicU64,
    forgotten: AtomicU64,
    handshakes: AtomicU64,
    tunnels: AtomicU64,
    unseen_server: AtomicU64,
    unseen_client: AtomicU64,
    h2: [AtomicU64; 6],
    unnamed: AtomicU64,
}

impl Numbers {
    /// Takes what the stages have counted.
    pub(super) fn update(&self, reader: &Reader, pairing: &Pairing, judge: &Judge) {
        let Self {
            delivered,
            undecodable,
            truncated_heads,
            evicted_handshakes,
            evicted_tunnels,
            dropped_listener_segments,
            tls_without_socket,
            forgotten,
            handshakes,
            tunnels,
            unseen_server,
            unseen_client,
            h2,
            unnamed: _,
        } = self;
        let counters = pairing.counters();
        let (pending, open) = pairing.occupancy();
        let (served, asked) = pairing.unseen();
        for (number, (.., count)) in h2.iter().zip(counters.h2.counts()) {
            number.store(count, Ordering::Relaxed);
        }
        for (number, value) in [
            (delivered, reader.delivered()),
            (undecodable, counters.undecodable),
            (truncated_heads, counters.truncated_heads),
            (evicted_handshakes, counters.evicted_handshakes),
            (evicted_tunnels, counters.evicted_tunnels),
            (dropped_listener_segments, counters.dropped_listener_segments),
            (tls_without_socket, counters.tls_without_socket),
            (forgotten, judge.forgotten()),
            (handshakes, pending as u64),
            (tunnels, open as u64),
            (unseen_server, served as u64),
            (unseen_client, asked as u64),
        ] {
            number.store(value, Ordering::Relaxed);
        }
    }

    /// An event goes on without its names.
    pub(super) fn count_unnamed(&self) {
        self.unnamed.fetch_add(1, Ordering::Relaxed);
    }

    /// The agent's own numbers at this moment.
    pub(super) fn stats(&self, kernel: &Kernel, naming: &enrich::Counters) -> AgentStats {
        // What was delivered is read first: a record that comes in between is then seen, not delivered.
        let value = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let delivered = value(&self.delivered);
        let (handshakes, connections) = Pairing::CAPACITY;
        let hooks = kernel
            .families()
            .iter()
            .map(|family| HookStats {
                family: family.name,
                sockets: if family.is_used() { family.sockets } else { "none" },
                means: if family.is_used() { family.means } else { "none" },
                used: family.is_used(),
            })
            .collect();
        let tls = kernel.tls();
        let kernel = kernel.stats();
        let tls = (!tls.means.is_empty()).then(|| {
            let of = |wanted: fn(&State) -> bool| {
                tls.processes.iter().filter(|process| wanted(&process.state)).count() as u64
            };
            TlsStats {
                processes: vec![
                    ("probed", of(|state| matches!(state, State::Probed(_)))),
                    ("refused", of(|state| matches!(state, State::Refused(_)))),
                    ("over-budget", of(|state| matches!(state, State::OverBudget(_)))),
                ],
                sockets: vec![
                    ("bound", kernel.count(Counter::TlsBound)),
                    ("contradicted", kernel.count(Counter::TlsContradicted)),
                    ("unbound", value(&self.tls_without_socket)),
                ],
                let_go: tls.let_go,
                beyond: tls.beyond,
            }
        });
        AgentStats {
            tls,
            hooks,
            seen: kernel.count(Counter::Seen) + kernel.count(Counter::Shed),
            delivered,
            lost: vec![
                ("ring-full", kernel.count(Counter::RingFull)),
                ("shed", kernel.count(Counter::Shed)),
            ],
            found: kernel.count(Counter::Found),
            unseen: vec![
                (RoleName::Server, value(&self.unseen_server)),
                (RoleName::Client, value(&self.unseen_client)),
            ],
            h2: self
                .h2
                .iter()
                .zip(H2Connections::default().counts())
                .map(|(number, (role, offer, _))| (role.into(), offer.name(), value(number)))
                .collect(),
            heads_truncated: kernel.count(Counter::Truncated) + value(&self.truncated_heads),
            bounds: vec![
                ("state-refused", kernel.count(Counter::StateRefused)),
                ("unread", kernel.count(Counter::Unread)),
                ("missed-calls", kernel.missed_calls),
                ("decode-error", value(&self.undecodable)),
                ("handshakes", value(&self.evicted_handshakes)),
                ("connections", value(&self.evicted_tunnels)),
                ("listener-segments", value(&self.dropped_listener_segments)),
                ("evidence", value(&self.forgotten)),
                ("unnamed", value(&self.unnamed) + value(&naming.over_budget)),
                ("owners", value(&naming.forgotten)),
                ("addresses", value(&naming.addresses_beyond)),
                ("containers", value(&naming.containers_beyond)),
                ("workloads", value(&naming.workloads_beyond)),
                ("runtime", value(&naming.runtime_errors)),
            ],
            tables: vec![
                TableStats {
                    name: "handshakes",
                    entries: value(&self.handshakes),
                    capacity: handshakes as u64,
                },
                TableStats {
                    name: "connections",
                    entries: value(&self.tunnels),
                    capacity: connections as u64,
                },
            ],
            programs: kernel
                .programs
                .iter()
                .map(|program| ProgramStats {
                    name: program.name,
                    run_time: Duration::from_nanos(program.run_time_ns),
                    run_count: program.run_count,
                })
                .collect(),
            // The sinks know.
            outputs: Outputs::default(),
        }
    }
}
