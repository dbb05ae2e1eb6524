//! The labels of one series, in the order of the family's own.

use super::{HANDSHAKE_LABELS, WORKLOAD_LABELS};
use crate::event::Workload;

/// The labels of one series of `ws_handshakes_total`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct HandshakeSeries {
    pub(super) origin: String,
    pub(super) outcome: &'static str,
    pub(super) status: String,
    pub(super) cause: &'static str,
    pub(super) scheme: &'static str,
    pub(super) policy: &'static str,
    pub(super) workload: Option<Workload>,
}

impl HandshakeSeries {
    /// The labels with their names.
    pub(super) fn named(&self) -> Vec<(&str, &str)> {
        HANDSHAKE_LABELS.into_iter().chain(WORKLOAD_LABELS).zip(self.values()).collect()
    }

    pub(super) fn values(&self) -> Vec<&str> {
        let Self { origin, outcome, status, cause, scheme, policy, workload } = self;
        with_workload(&[origin, outcome, status, cause, scheme, policy], workload.as_ref())
    }
}

/// The labels of one series of `ws_closures_total`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct ClosureSeries {
    pub(super) origin: String,
    pub(super) code: String,
    pub(super) initiator: &'static str,
    pub(super) workload: Option<Workload>,
}

impl ClosureSeries {
    pub(super) fn values(&self) -> Vec<&str> {
        let Self { origin, code, initiator, workload } = self;
        with_workload(&[origin, code, initiator], workload.as_ref())
    }
}

/// The values in the order of the family's labels.
fn with_workload<'a>(own: &[&'a str], workload: Option<&'a Workload>) -> Vec<&'a str> {
    let more = workload.map(|workload| [&*workload.namespace, &workload.name]);
    own.iter().copied().chain(more.into_iter().flatten()).collect()
}
