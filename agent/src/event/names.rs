//! The names of the public interface, as they stand in JSON, in labels and on the terminal.

use super::{ClosedBy, Initiator, Outcome, Policy, RoleName, Scheme};
use crate::diagnose::Confidence;

impl RoleName {
    /// The name in the public interface.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

impl Outcome {
    /// The name in the public interface.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Unanswered => "unanswered",
            Self::TimedOut => "timed-out",
            Self::Unobserved => "unobserved",
        }
    }
}

impl Scheme {
    /// The name in the public interface.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Unknown => "unknown",
        }
    }
}

impl Policy {
    /// The name in the public interface.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Foreign => "foreign",
            Self::None => "none",
        }
    }
}

impl Initiator {
    /// The name in the public interface.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Peer => "peer",
            Self::Unknown => "unknown",
        }
    }
}

impl ClosedBy {
    /// The name in the public interface.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CloseFrame => "close-frame",
            Self::Fin => "fin",
            Self::Rst => "rst",
            Self::Timeout => "timeout",
        }
    }
}

impl Confidence {
    /// The name in the public interface.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::Certain => "certain",
        }
    }
}
