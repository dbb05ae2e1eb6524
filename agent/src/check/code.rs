//! The code of a finding: the cause that it is, or will become.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    diagnose::{Cause, ending::Reason},
    pages,
};

/// What a finding is about, as a stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Why handshakes fail; `wstap explain` has the page.
    Cause(Cause),
    /// Why connections end; docs/closures.md has the section.
    Ending(Reason),
    /// What no refused handshake and no ended connection shows.
    Own(Own),
}

/// Faults that only a check can find: nobody is refused for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// A handshake of a foreign page is accepted.
    OriginUnchecked,
    /// A forwarding header that a client made up reaches the backend as if a proxy had set it.
    ForwardedForged,
    /// A forwarding header is missing, doubled or wrong, and no server refused for it yet.
    ForwardedIncomplete,
    /// A WebSocket is accepted without TLS.
    PlainAccepted,
    /// What a message held, or a close code, is not what was sent.
    MessageAltered,
    /// A header field, the path or the query arrives changed, and no other code names it.
    RequestAltered,
    /// What was true in the baseline is not true any more, or the expectation is not met.
    Unexpected,
}

impl Own {
    /// Every one.
    pub const ALL: &[Self] = &[
        Self::OriginUnchecked,
        Self::ForwardedForged,
        Self::ForwardedIncomplete,
        Self::PlainAccepted,
        Self::MessageAltered,
        Self::RequestAltered,
        Self::Unexpected,
    ];

    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::OriginUnchecked => "origin-unchecked",
            Self::ForwardedForged => "forwarded-forged",
            Self::ForwardedIncomplete => "forwarded-incomplete",
            Self::PlainAccepted => "plain-accepted",
            Self::MessageAltered => "message-altered",
            Self::RequestAltered => "request-altered",
            Self::Unexpected => "unexpected",
        }
    }

    /// What it means, in one sentence.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::OriginUnchecked => {
                "a page of another site may open WebSockets with the visitor's cookies"
            }
            Self::ForwardedForged => {
                "a client can make up a forwarding header that the backend takes for a proxy's"
            }
            Self::ForwardedIncomplete => "a forwarding header does not say what the client used",
            Self::PlainAccepted => "a WebSocket is accepted without TLS",
            Self::MessageAltered => "a hop changes what a connection carries",
            Self::RequestAltered => "a hop changes the request on its way",
            Self::Unexpected => "what was found is not what was expected",
        }
    }
}

impl Code {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Cause(cause) => cause.code(),
            Self::Ending(reason) => reason.code(),
            Self::Own(own) => own.code(),
        }
    }

    /// The code that is written so. A cause goes before a reason with the same name (`timed-out`).
    pub fn find(code: &str) -> Option<Self> {
        let cause = Cause::ALL.iter().find(|cause| cause.code() == code).copied();
        let ending = Reason::ALL.iter().find(|reason| reason.code() == code).copied();
        let own = Own::ALL.iter().find(|own| own.code() == code).copied();
        cause.map(Self::Cause).or(ending.map(Self::Ending)).or(own.map(Self::Own))
    }

    /// What it means, in one sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Cause(cause) => pages::meaning(cause),
            Self::Ending(reason) => reason.meaning(),
            Self::Own(own) => own.meaning(),
        }
    }

    /// The page that explains it, in Markdown.
    pub fn help(self) -> String {
        match self {
            Self::Cause(cause) => pages::page(cause).to_owned(),
            Self::Ending(reason) => {
                format!(
                    "{}.\n\nThe section `{reason}` of docs/closures.md has more.\n",
                    self.meaning(),
                    reason = reason.code()
                )
            }
            Self::Own(own) => {
                format!(
                    "{}.\n\nThe section `{own}` of docs/audit.md has more.\n",
                    self.meaning(),
                    own = own.code()
                )
            }
        }
    }
}

impl From<Cause> for Code {
    fn from(cause: Cause) -> Self {
        Self::Cause(cause)
    }
}

impl From<Reason> for Code {
    fn from(reason: Reason) -> Self {
        Self::Ending(reason)
    }
}

impl From<Own> for Code {
    fn from(own: Own) -> Self {
        Self::Own(own)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        Self::find(&code)
            .ok_or_else(|| serde::de::Error::custom(format!("there is no code {code:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_by_its_name_and_explained() {
        let causes = Cause::ALL.iter().map(|&cause| Code::from(cause));
        let endings = Reason::ALL.iter().map(|&reason| Code::from(reason));
        let own = Own::ALL.iter().map(|&own| Code::from(own));
        for code in causes.chain(endings).chain(own) {
            let found = Code::find(code.code()).expect("exists");
            assert_eq!(found.code(), code.code());
            assert!(!code.meaning().is_empty() && !code.help().is_empty(), "{code}");
        }
        assert_eq!(Code::find("upgrade-strip"), None);
    }
}
