//! The agent's memory: its last failures and abnormal ends, and how many handshakes were accepted meanwhile.
//!
//! In: lines. Out: the same lines, for a reader who comes later. At [`History`]'s bound in bytes the oldest go first,
//! and are counted. It is memory: it ends with the agent.

use std::{collections::VecDeque, sync::Arc};

use crate::event::{Event, HistoryEvent};

/// What a line takes beside its text: its place here and the counts of its `Arc`.
const OVERHEAD: usize = 32;
/// A reader is given at most so many bytes at a time, and the lock is free in between.
const PIECE_BYTES: usize = 256 * 1024;

/// The last lines, as many as fit.
#[derive(Debug)]
pub(super) struct History {
    lines: VecDeque<Arc<str>>,
    bytes: usize,
    most: usize,
    forgotten: u64,
}

impl History {
    /// An empty memory for so many bytes; 0: nothing is remembered.
    pub(super) const fn new(most: usize) -> Self {
        Self { lines: VecDeque::new(), bytes: 0, most, forgotten: 0 }
    }

    /// Whether anything is remembered at all.
    pub(super) const fn is_kept(&self) -> bool {
        self.most > 0
    }

    /// Remembers a line.
    pub(super) fn push(&mut self, line: &Arc<str>) {
        if !self.is_kept() {
            return;
        }
        self.bytes += line.len() + OVERHEAD;
        self.lines.push_back(Arc::clone(line));
        while self.bytes > self.most
            && let Some(oldest) = self.lines.pop_front()
        {
            self.bytes -= oldest.len() + OVERHEAD;
            self.forgotten += 1;
        }
    }

    /// The place of the next line, counted from the first that ever came.
    pub(super) fn end(&self) -> u64 {
        self.forgotten + self.lines.len() as u64
    }

    /// The lines from this place on, as many as go into one piece, and the place behind them. What was forgotten
    /// meanwhile is left out.
    pub(super) fn from(&self, place: u64, end: u64) -> (Vec<Arc<str>>, u64) {
        let first = place.max(self.forgotten);
        let (mut piece, mut bytes) = (Vec::new(), 0);
        let skip = usize::try_from(first - self.forgotten).unwrap_or(usize::MAX);
        let most = usize::try_from(end.saturating_sub(first)).unwrap_or(usize::MAX);
        for line in self.lines.iter().skip(skip).take(most) {
            bytes += line.len();
            if bytes > PIECE_BYTES && !piece.is_empty() {
                break;
            }
            piece.push(Arc::clone(line));
        }
        let next = first + piece.len() as u64;
        (piece, next)
    }

    /// How much is remembered, and since when.
    pub(super) fn told(&self) -> HistoryEvent {
        let time = |line: &Arc<str>| {
            let event: Event = serde_json::from_str(line).ok()?;
            event.time().map(str::to_owned)
        };
        HistoryEvent {
            since: self.lines.front().and_then(time),
            events: self.lines.len() as u64,
            forgotten: self.forgotten,
        }
    }

    /// Figures for the agent's own metrics: events, bytes, and how many were forgotten.
    pub(super) fn figures(&self) -> (u64, u64, u64) {
        (self.lines.len() as u64, self.bytes as u64, self.forgotten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{HandshakeEvent, sample::refused};

    fn line(number: usize) -> Arc<str> {
        let time = format!("2026-05-04T03:02:{number:02}.000000Z");
        super::super::json::line(&Event::Handshake(HandshakeEvent { time, ..refused() })).into()
    }

    #[test]
    fn the_oldest_go_first_and_how_far_it_reaches_is_told() {
        let size = line(0).len() + OVERHEAD;
        let mut history = History::new(10 * size + size / 2);
        assert_eq!(history.told(), HistoryEvent::default());
        (0..25).for_each(|number| history.push(&line(number)));
        let told = history.told();
        assert_eq!((told.events, told.forgotten, history.end()), (10, 15, 25));
        assert_eq!(told.since.as_deref(), Some("2026-05-04T03:02:15.000000Z"));
        assert!(history.figures().1 <= 10 * size as u64 + size as u64 / 2);

        let (lines, next) = history.from(0, history.end());
        assert_eq!((lines.len(), next), (10, 25));
        assert_eq!(history.from(20, 22), (vec![line(20), line(21)], 22));
        assert_eq!(history.from(25, 25), (Vec::new(), 25));
        // A reader whose place was forgotten meanwhile goes on behind it.
        assert_eq!(history.from(3, 16), (vec![line(15)], 16));
    }

    #[test]
    fn a_reader_gets_pieces_and_a_line_larger_than_one_alone() {
        let mut history = History::new(4 * PIECE_BYTES);
        let large: Arc<str> = "x".repeat(PIECE_BYTES + 1).into();
        for line in [&large, &"small".into(), &large] {
            history.push(line);
        }
        assert_eq!(history.from(0, 3).1, 1);
        assert_eq!(history.from(1, 3).1, 2);
        assert_eq!(history.from(2, 3).1, 3);
    }

    #[test]
    fn what_fits_nowhere_is_not_kept_and_without_room_nothing_is() {
        let mut history = History::new(100);
        history.push(&"x".repeat(200).into());
        assert_eq!(history.figures(), (0, 0, 1));
        let mut none = History::new(0);
        none.push(&line(1));
        assert_eq!((none.figures(), none.end()), ((0, 0, 0), 0));
    }
}
