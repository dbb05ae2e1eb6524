//! What an event says more of a handshake that `wstap audit` made.

use serde::{Deserialize, Serialize};

use crate::http::{RequestHead, Version, bounded, mark};

/// The most header fields that are told: more than a browser and three proxies send.
const MAX_FIELDS: usize = 64;

/// A handshake of `wstap audit`: its mark, and what arrived of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditMark {
    /// `NAME.RUN.PROBE`.
    pub mark: String,
    /// The method.
    pub method: String,
    /// HTTP/1.1, and not 1.0.
    pub http11: bool,
    /// The allow-listed header fields in order, with what may be secret masked; at most 64.
    pub fields: Vec<(String, String)>,
}

impl AuditMark {
    /// What is told of a request that carries a mark.
    pub(super) fn of(request: &RequestHead) -> Option<Self> {
        let mark = request.headers.first(mark::FIELD_LOWER)?;
        let fields = request.headers.iter().take(MAX_FIELDS);
        Some(Self {
            mark: bounded(mark),
            method: bounded(&request.method),
            http11: request.version == Version::Http11,
            fields: fields.map(|(name, value)| (bounded(name), bounded(value))).collect(),
        })
    }
}
