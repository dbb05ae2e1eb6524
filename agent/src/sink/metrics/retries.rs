//! The families about what clients do after a failure.

use prometheus::{IntCounterVec, Opts, Registry};

/// Counters by origin.
pub(super) struct Retries {
    retried: IntCounterVec,
    gave_up: IntCounterVec,
    storms: IntCounterVec,
}

impl Retries {
    pub(super) fn new() -> prometheus::Result<Self> {
        let family = |name, help| IntCounterVec::new(Opts::new(name, help), &["origin"]);
        Ok(Self {
            retried: family(
                "ws_retries_total",
                "Handshakes of a client whose handshake or connection before failed.",
            )?,
            gave_up: family(
                "ws_clients_gave_up_total",
                "Clients that failed three times or more, in growing distances, and did not come back.",
            )?,
            storms: family(
                "ws_reconnect_storms_total",
                "Times that many clients lost their connections together and came back together.",
            )?,
        })
    }

    pub(super) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        let Self { retried, gave_up, storms } = self;
        for family in [retried, gave_up, storms] {
            registry.register(Box::new(family.clone()))?;
        }
        Ok(())
    }

    pub(super) fn retried(&self, origin: &str) {
        self.retried.with_label_values(&[origin]).inc();
    }

    pub(super) fn gave_up(&self, origin: &str) {
        self.gave_up.with_label_values(&[origin]).inc();
    }

    pub(super) fn storm(&self, origin: &str) {
        self.storms.with_label_values(&[origin]).inc();
    }
}
