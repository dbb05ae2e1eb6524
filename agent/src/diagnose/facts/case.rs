//! One handshake as the hypotheses see it: this exchange, read once, and what others show.

use crate::{
    diagnose::{
        Evidence,
        context::Context,
        features::Features,
        fingerprint::{self, Fingerprint},
        origin::{Authority, OriginField},
        words::{self, Topics},
    },
    handshake::{Answer, CloseBy, End, Exchange, Opening, Role},
    http::{Headers, RequestHead, ResponseHead, Secret},
};

/// An exchange and what others show, read once for all hypotheses.
pub(in crate::diagnose) struct Case<'a> {
    pub(in crate::diagnose) exchange: &'a Exchange,
    pub(in crate::diagnose) request: &'a RequestHead,
    /// The answer, when it was an HTTP head.
    pub(in crate::diagnose) response: Option<&'a ResponseHead>,
    /// What others show.
    pub(in crate::diagnose) context: &'a Context<'a>,
    /// What the request has or lacks that a server may look at.
    pub(in crate::diagnose) features: Features,
    pub(in crate::diagnose) origin: OriginField,
    pub(in crate::diagnose) host: Option<Authority>,
    /// What the server says about itself and its refusal: reason phrase, reject reason, first bytes of
    /// the body, in lower case. Never quoted: it may hold anything.
    pub(in crate::diagnose) words: String,
    /// What the server's own words speak of.
    pub(in crate::diagnose) topics: Topics,
    /// The server chose no words of its own.
    pub(in crate::diagnose) wordless: bool,
    /// The known answer that this one is.
    pub(in crate::diagnose) fingerprint: Option<&'static Fingerprint>,
}

impl<'a> Case<'a> {
    pub(in crate::diagnose) fn new(exchange: &'a Exchange, context: &'a Context<'a>) -> Self {
        let request = &exchange.request;
        let response = match &exchange.answer {
            Answer::Response(response) => Some(response),
            _ => None,
        };
        let switched = response.is_some_and(|response| response.status == 101);
        let (mut words, mut topics) = (String::new(), Topics::NONE);
        let (mut fingerprint, mut wordless) = (None, true);
        let said = match (&exchange.answer, response) {
            (Answer::Malformed(text), _) => Some(words::of_bytes(text)),
            (_, Some(response)) if !switched => {
                words = fingerprint::words(response);
                fingerprint = fingerprint::recognise(request, response, &words);
                Some(words::message(response))
            }
            (_, Some(response)) => {
                words = fingerprint::words(response);
                fingerprint = fingerprint::recognise(request, response, &words);
                None
            }
            _ => None,
        };
        if let Some(said) = said {
            // A status's own phrase says no more than the status, unless it is another one's.
            let own = response.is_some_and(|r| {
                words::is_phrase(&said) && !(words::is_unauthorized(&said) && r.status != 401)
            });
            wordless = own || said.trim().is_empty();
            let said = if own { String::new() } else { said };
            let offered: Vec<&str> = request.subprotocols.iter().map(Secret::reveal).collect();
            topics = words::topics(&said, &offered);
        }
        Self {
            exchange,
            request,
            response,
            context,
            features: Features::of(request),
            origin: OriginField::of(request),
            host: request.headers.first("host").and_then(Authority::parse),
            words,
            topics,
            wordless,
            fingerprint,
        }
    }

    /// The status of the answer; of one without a head, the one that its text names.
    pub(in crate::diagnose) fn status(&self) -> Option<u16> {
        match &self.exchange.answer {
            Answer::Malformed(text) => words::named_status(text),
            _ => self.response.map(|response| response.status),
        }
    }

    /// The request header `shown` (any case) as evidence, `(absent)` when it is not there.
    pub(in crate::diagnose) fn header(&self, shown: &'static str) -> Evidence {
        let name = shown.to_ascii_lowercase();
        let values: Vec<&str> = self.request.headers.all(&name).collect();
        match values.as_slice() {
            [] => Evidence::absent(shown),
            [value] => Evidence::new(shown, value),
            several => Evidence::new(shown, &several.join(", ")),
        }
    }

    /// The status line's code, and the known words of the answer when it is a known one.
    pub(in crate::diagnose) fn answer(&self) -> Evidence {
        let Some(response) = self.response else {
            return match self.exchange.answer {
                Answer::Malformed(_) => Evidence::new("answer", "(not an HTTP head)"),
                _ => Evidence::absent("answer"),
            };
        };
        match self.fingerprint.map(|known| known.quote) {
            Some(quote) if !quote.is_empty() => {
                Evidence::new("answer", &format!("{} {quote}", response.status))
            }
            _ => Evidence::new("status", &response.status.to_string()),
        }
    }

    /// The fields of the answer.
    pub(in crate::diagnose) fn answered(&self) -> Option<&'a Headers> {
        self.response.map(|response| &response.headers)
    }

    /// Whether the answer's end was seen: only then is a field that is not there absent.
    pub(in crate::diagnose) fn answer_is_whole(&self) -> bool {
        self.response.is_some_and(|response| !response.truncated)
    }

    /// What followed a 101.
    pub(in crate::diagnose) fn opening(&self) -> Option<&'a Opening> {
        self.exchange.opening.as_ref()
    }

    /// The end that made the request.
    pub(in crate::diagnose) fn client(&self) -> End {
        match self.exchange.connection.role {
            Role::Server => End::Peer,
            Role::Client => End::Local,
        }
    }

    /// Whether the end that made the request closed before any answer.
    pub(in crate::diagnose) fn client_left(&self) -> bool {
        matches!(&self.exchange.answer, Answer::Closed { initiator, .. } if *initiator == self.client())
    }

    /// Whether the server closed without a byte of answer.
    pub(in crate::diagnose) fn server_closed(&self) -> bool {
        matches!(
            &self.exchange.answer,
            Answer::Closed { by: CloseBy::Fin | CloseBy::Rst | CloseBy::Timeout, .. }
        ) && !self.client_left()
    }

    /// Whether the answer is bytes that are no HTTP head.
    pub(in crate::diagnose) fn is_headless(&self) -> bool {
        matches!(self.exchange.answer, Answer::Malformed(_))
    }

    /// The path as evidence.
    pub(in crate::diagnose) fn path(&self) -> Evidence {
        Evidence::new("path", &self.request.path)
    }
}
