//! One candidate request of a connection, with what is pipelined beside it: from its bytes to its answer.
//!
//! The kernel counts candidates (the record's epoch) and tells each half's bytes. Here the requests among them
//! are told apart, the responses are counted off against them, and the handshakes get their answers.

use std::{collections::VecDeque, sync::Arc};

use wstap_common::{
    record::{flags, half},
    stream::REST_CAP,
};

use super::{
    Answer, CloseBy, End, Opening,
    h2::{self, ExtendedConnect},
};
use crate::{
    assemble::Stream,
    http::{self, Extent, ParseError, RequestHead, Response, ResponseHead},
};

/// How many pipelined requests may wait for their answers; those behind them are read as answers come.
const ASKED_MAX: usize = 64;

/// How many bytes may be read that were read before. A record pays for [`RECORD_PAYS`] more and [`BYTE_PAYS`] for each
/// of its bytes; what is not paid for is read when more comes, or when the candidate is settled. So a peer that sends a
/// head in many pieces costs no more than the pieces do.
const READ_AGAIN: usize = 256 * 1024;
const RECORD_PAYS: usize = 1024;
const BYTE_PAYS: usize = 8;

/// How long the rest of a head may take once the deadline has passed. Then the candidate is dropped and counted.
const HEAD_WAIT_NS: u64 = 300 * 1_000_000_000;

/// How every response begins.
const STATUS_LINE: &[u8] = b"HTTP/1.";

/// A request whose answer has not come.
enum Asked {
    Ordinary { answer_has_no_content: bool },
    Handshake(Box<Handshake>),
}

/// A handshake whose answer has not come.
struct Handshake {
    head: RequestHead,
    /// When its first byte passed.
    first_ns: u64,
}

/// A handshake with its answer.
pub(super) struct Settled {
    pub(super) request: Arc<RequestHead>,
    pub(super) first_ns: u64,
    pub(super) answer: Answer,
    pub(super) answered_ns: u64,
}

impl Settled {
    /// How many bytes it takes.
    fn held(&self) -> usize {
        self.request.held() + self.answer.held()
    }
}

/// A 101 whose first moments are not over.
pub(super) struct Opened {
    pub(super) settled: Settled,
    pub(super) at_ns: u64,
    pub(super) opening: Opening,
}

/// Why a candidate is settled with what is known now.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The connection ended.
    Ended,
    /// No answer came in time.
    Timeout,
    /// The next candidate began, the table was full, or the capture ended: nothing more will be known.
    Abandoned,
}

/// A candidate request.
pub(super) struct Pending {
    pub(super) epoch: u16,
    request: Stream,
    response: Stream,
    /// How many bytes of the current answer were told, interim ones with it: the kernel tells [`REST_CAP`].
    told: usize,
    asked: VecDeque<Asked>,
    /// The response that has a whole head and whose content may still grow, since when.
    growing_ns: Option<u64>,
    pub(super) opened: Option<Box<Opened>>,
    /// The first FIN or RST, and when it passed.
    pub(super) end: Option<(CloseBy, End, u64)>,
    /// Bytes of this connection were lost on their way here, or the kernel dropped them at a bound.
    pub(super) lost: bool,
    truncated: bool,
    finished: bool,
    /// A response of this candidate was counted off. From then on the kernel tells no end of the half that requests.
    answered: bool,
    /// A deadline passed within a head.
    patient: bool,
    /// What is left of [`READ_AGAIN`].
    credit: usize,
    /// How many bytes of the request, and of the answer, there were when it could not be read.
    tried: (usize, (usize, usize)),
    /// When the last record came.
    touched_ns: u64,
    /// What had been lost when this candidate began.
    pub(super) losses: u64,
}

impl Pending {
    pub(super) fn new(epoch: u16, losses: u64) -> Self {
        Self {
            epoch,
            request: Stream::default(),
            response: Stream::default(),
            told: 0,
            asked: VecDeque::new(),
            growing_ns: None,
            opened: None,
            end: None,
            lost: false,
            truncated: false,
            finished: false,
            answered: false,
            patient: false,
            credit: READ_AGAIN,
            tried: (0, (0, 0)),
            touched_ns: 0,
            losses,
        }
    }

    /// How many bytes it holds: of heads, read or not.
    pub(super) fn held(&self) -> usize {
        let asked = self.asked.iter().map(|asked| match asked {
            Asked::Handshake(handshake) => handshake.head.held(),
            Asked::Ordinary { .. } => 0,
        });
        let opened = self.opened.as_ref().map_or(0, |opened| opened.settled.held());
        self.request.held() + self.response.held() + asked.sum::<usize>() + opened
    }

    /// Whether its request was too large to be read whole.
    pub(super) fn is_truncated(&self) -> bool {
        self.truncated || self.request.is_cut()
    }

    /// Takes the bytes of one record.
    pub(super) fn bytes(
        &mut self,
        half: u8,
        seq: u32,
        bytes: &[u8],
        record_flags: u8,
        now: u64,
    ) -> Vec<Settled> {
        self.touched_ns = now;
        if self.finished {
            return Vec::new();
        }
        self.patient = false;
        self.credit = (self.credit + RECORD_PAYS + BYTE_PAYS * bytes.len()).min(READ_AGAIN);
        self.truncated |= record_flags & flags::TRUNCATED != 0;
        if half == half::REQUEST {
            self.request.insert(seq, bytes, now);
        } else {
            self.response.insert(seq, bytes, now);
            self.told += bytes.len();
        }
        // Before an answer begins, bytes in front of those that are there may still come.
        if self.response.is_empty() {
            return Vec::new();
        }
        self.read_requests();
        self.read_responses()
    }

    /// Whether this is the beginning of an HTTP/2 connection.
    pub(super) fn is_h2(&self) -> bool {
        h2::is_preface(self.request.bytes())
    }

    /// What its server offers, once that was seen.
    pub(super) fn h2_offer(&self) -> Option<ExtendedConnect> {
        if self.is_h2() { h2::offer(self.response.bytes()) } else { None }
    }

    /// Takes requests off the request half as far as they are whole.
    fn read_requests(&mut self) {
        while self.asked.len() < ASKED_MAX {
            let there = self.request.bytes().len();
            if there == self.tried.0 || !self.pay(there) {
                return;
            }
            // What is malformed stays: it is early frames, or bytes of it are missing.
            let Ok(request) = http::parse_request(self.request.bytes()) else {
                self.tried.0 = there;
                return;
            };
            let Extent::Ends(end) = request.extent else {
                self.tried.0 = there;
                return;
            };
            let first_ns = self.request.started_ns().unwrap_or(self.touched_ns);
            self.request.skip(end);
            self.tried.0 = 0;
            self.credit = READ_AGAIN;
            let answer_has_no_content = request.answer_has_no_content;
            self.asked.push_back(match request.handshake {
                None => Asked::Ordinary { answer_has_no_content },
                Some(head) => Asked::Handshake(Box::new(Handshake { head, first_ns })),
            });
        }
    }

    /// Whether so many bytes may be read, some of them again.
    fn pay(&mut self, bytes: usize) -> bool {
        let left = self.credit.checked_sub(bytes);
        self.credit = left.unwrap_or(self.credit);
        left.is_some()
    }

    /// Counts responses off against the requests.
    fn read_responses(&mut self) -> Vec<Settled> {
        let mut settled = Vec::new();
        while let Some(asked) = self.asked.front() {
            let no_content = matches!(asked, Asked::Ordinary { answer_has_no_content: true });
            let is_handshake = matches!(asked, Asked::Handshake(_));
            let answered_ns = self.response.started_ns();
            // Both: what fills a gap may replace as much that was held twice.
            let there = (self.response.bytes().len(), self.response.held());
            if there == self.tried.1 || !self.pay(there.1) {
                break;
            }
            let Some(response) = self.read_response(no_content) else {
                self.tried.1 = there;
                break;
            };
            if response.interim
                && let Extent::Ends(end) = response.extent
            {
                self.response.skip(end);
                self.tried.1 = (0, 0);
                continue;
            }
            let answered_ns = answered_ns.unwrap_or(self.touched_ns);
            if is_handshake && response.head.status != 101 && !response.body_complete {
                self.growing_ns.get_or_insert(answered_ns);
                self.tried.1 = there;
                break;
            }
            match response.extent {
                Extent::Ends(end) => self.response.skip(end),
                // The kernel sends only the beginning of long content, and then the next answer.
                _ if self.response.skip_to_island(STATUS_LINE) => {}
                _ if is_handshake => self.response = Stream::default(),
                _ => {
                    self.tried.1 = there;
                    break;
                }
            }
            self.told = self.response.held();
            self.growing_ns = None;
            self.answered = true;
            self.tried.1 = (0, 0);
            self.credit = READ_AGAIN;
            if let Some(Asked::Handshake(handshake)) = self.asked.pop_front() {
                let done = answered(*handshake, response.head, answered_ns);
                if matches!(&done.answer, Answer::Response(head) if head.status == 101) {
                    let at_ns = self.touched_ns;
                    self.finish();
                    self.opened = Some(Box::new(Opened {
                        settled: done,
                        at_ns,
                        opening: Opening::default(),
                    }));
                    break;
                }
                settled.push(done);
            }
            self.read_requests();
        }
        settled
    }

    /// Whether a deadline passes within the head of the request or of its answer. A pause there says nothing, however
    /// long: the rest may come. `losses` as in [`Self::settle`].
    pub(super) fn is_within_a_head(&mut self, losses: u64) -> bool {
        let is_known = !self.lost && losses == self.losses && !self.is_truncated();
        if self.patient
            || self.finished
            || !is_known
            || self.growing_ns.is_some()
            || self.end.is_some()
        {
            return false;
        }
        self.read_again();
        self.patient = if self.asked.is_empty() {
            let request = http::parse_request(self.request.bytes());
            self.response.is_empty()
                && !self.request.is_empty()
                && request == Err(ParseError::Incomplete)
        } else {
            let response = http::parse_response(self.response.bytes(), false);
            !self.response.is_empty()
                && response == Err(ParseError::Incomplete)
                && !self.is_answer_cut()
        };
        self.patient
    }

    /// Whether a deadline passed within a head.
    pub(super) fn was_patient(&self) -> bool {
        self.patient
    }

    /// Reads the requests that are there, paid for or not.
    fn read_again(&mut self) {
        self.credit = READ_AGAIN;
        self.tried = (0, (0, 0));
        self.read_requests();
    }

    /// Whether the answer may be a head of which the kernel told all that it tells.
    fn is_answer_cut(&self) -> bool {
        let bytes = self.response.bytes();
        let start = bytes.get(..STATUS_LINE.len()).unwrap_or(bytes);
        self.told >= REST_CAP as usize && STATUS_LINE.starts_with(start)
    }

    /// The response at the start of what is there, if there is enough of it.
    fn read_response(&self, no_content: bool) -> Option<Response> {
        match http::parse_response(self.response.bytes(), no_content) {
            Err(ParseError::Incomplete) if self.is_answer_cut() => {
                http::parse_truncated_response(self.response.bytes())
            }
            response => response.ok(),
        }
    }

    /// A response whose head ended with the connection and not with an empty line.
    fn broken_off(&self) -> Option<Response> {
        let bytes = self.response.bytes();
        let ended = self.end.is_some() && bytes.starts_with(STATUS_LINE) && !self.lost;
        let whole = || http::parse_truncated_response(&[bytes, b"\r\n"].concat());
        // Of a 101 that much is not enough.
        if ended { whole().filter(|response| response.head.status != 101) } else { None }
    }

    /// The first bytes of an answer that is no response.
    fn first_bytes(&self) -> Box<[u8]> {
        let bytes = self.response.bytes();
        bytes.get(..http::BODY_PREFIX).unwrap_or(bytes).into()
    }

    /// Settles everything with what is known now. `losses` is the loss counter as of now, `window_ns` how long
    /// the first moments after a 101 last.
    pub(super) fn settle(
        &mut self,
        why: Why,
        losses: u64,
        now: u64,
        window_ns: u64,
    ) -> Vec<Settled> {
        let unseen = self.lost || losses != self.losses;
        if let Some(opened) = &mut self.opened {
            // Not by `why`: an end behind the first moments may be read before their time is looked at.
            opened.opening.watched = !unseen && now.saturating_sub(opened.at_ns) >= window_ns;
        }
        if self.finished {
            return Vec::new();
        }
        self.read_again();
        // What was not read as it was not paid for.
        let mut settled = if self.asked.is_empty() || self.growing_ns.is_some() {
            Vec::new()
        } else {
            self.read_responses()
        };
        if let Some(opened) = self.opened.take() {
            settled.push(opened.settled);
            return settled;
        }
        let answer_began = !self.response.is_empty();
        if self.asked.is_empty()
            && (answer_began || self.is_truncated())
            && let Some(head) = http::parse_truncated_request(self.request.bytes())
        {
            let first_ns = self.request.started_ns().unwrap_or(now);
            self.asked.push_back(Asked::Handshake(Box::new(Handshake { head, first_ns })));
        }
        let mut first = true;
        while let Some(asked) = self.asked.pop_front() {
            self.read_requests();
            let response = if first { self.read_response(false) } else { None };
            let response = response.or_else(|| self.broken_off().filter(|_| first && answer_began));
            let (began, cut) = (first && answer_began, first && self.is_answer_cut());
            first = false;
            let Asked::Handshake(handshake) = asked else { continue };
            let answered_ns = self.response.started_ns().filter(|_| began).unwrap_or(now);
            if let Some(response) = response {
                settled.push(answered(*handshake, response.head, answered_ns));
                continue;
            }
            let answer = match (why, self.end) {
                _ if unseen || cut => Answer::Unobserved,
                // Whose end came first is not known any more, nor that there was none.
                _ if self.answered && !began => Answer::Unobserved,
                (Why::Abandoned, _) => Answer::Unobserved,
                (Why::Ended | Why::Timeout, _) if began => Answer::Malformed(self.first_bytes()),
                // A client that stopped sending may still listen, but not for as long as this.
                (Why::Ended | Why::Timeout, Some((by, initiator, _))) => {
                    Answer::Closed { by, initiator }
                }
                // The kernel gave the connection up: the peer was gone.
                (Why::Ended, None) => Answer::Closed { by: CloseBy::Timeout, initiator: End::Peer },
                (Why::Timeout, _) => Answer::TimedOut,
            };
            let answered_ns = match (&answer, self.end) {
                (Answer::Closed { .. }, Some((.., ended_ns))) => ended_ns,
                _ => answered_ns,
            };
            settled.push(Settled {
                request: Arc::new(handshake.head),
                first_ns: handshake.first_ns,
                answer,
                answered_ns,
            });
        }
        self.finish();
        settled
    }

    /// Nothing more is read: the buffers go.
    pub(super) fn finish(&mut self) {
        self.finished = true;
        self.asked.clear();
        self.request = Stream::default();
        self.response = Stream::default();
    }

    /// When it has to be looked at again.
    pub(super) fn deadline_ns(&self, timeout_ns: u64, content_wait_ns: u64, window_ns: u64) -> u64 {
        if let Some(opened) = &self.opened {
            return opened.at_ns.saturating_add(window_ns);
        }
        if let Some(growing) = self.growing_ns {
            return growing.saturating_add(content_wait_ns);
        }
        if self.patient {
            return self.touched_ns.saturating_add(HEAD_WAIT_NS);
        }
        self.touched_ns.saturating_add(timeout_ns)
    }
}

fn answered(handshake: Handshake, head: ResponseHead, answered_ns: u64) -> Settled {
    Settled {
        request: Arc::new(handshake.head),
        first_ns: handshake.first_ns,
        answer: Answer::Response(head),
        answered_ns,
    }
}
