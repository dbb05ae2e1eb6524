//! All that other exchanges show about one, as the hypotheses get it.

use crate::{
    diagnose::{Verdict, population::PopulationEvidence},
    http::RequestHead,
};

/// What others show.
#[derive(Debug, Default)]
pub(in crate::diagnose) struct Context<'a> {
    /// What this server did with others.
    pub(in crate::diagnose) population: PopulationEvidence,
    /// The request as the first leg had it that was seen, when this leg lies behind a proxy on this host.
    pub(in crate::diagnose) before: Option<&'a RequestHead>,
    /// The process that took the leg into the proxy is the one that made this leg: the join is a fact, and not made by
    /// a key that a client chose.
    pub(in crate::diagnose) proven: bool,
    /// The leg that a proxy made to answer this one.
    pub(in crate::diagnose) behind: Option<Behind<'a>>,
}

/// A leg behind a proxy.
#[derive(Clone, Copy, Debug)]
pub(in crate::diagnose) struct Behind<'a> {
    /// What was said of it, when it failed.
    pub(in crate::diagnose) verdict: Option<&'a Verdict>,
    /// Its answer.
    pub(in crate::diagnose) status: Option<u16>,
}
