//! TCP between a sender and a hook: a stream of bytes cut into segments that are sent twice, overlap,
//! overtake each other, or never pass the hook.

/// One segment as it passes the hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passing {
    /// Offset of its first byte in the stream.
    pub(crate) from: usize,
    /// Offset behind its last byte.
    pub(crate) to: usize,
    /// Whether the hook sees it. The receiver gets it in any case.
    pub(crate) seen: bool,
}

/// What a network does with a stream.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    /// The lengths of the segments, again and again.
    pub(crate) cuts: Vec<usize>,
    /// At each step: which of the next segments passes first, and what else happens.
    pub(crate) turns: Vec<Turn>,
}

/// What happens before the next segment passes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    /// Nothing: it passes.
    Pass,
    /// It is overtaken by this many of those behind it.
    Overtaken(usize),
    /// Bytes that passed before pass again, from so many bytes before the newest one on, and so many.
    Again(usize, usize),
    /// It passes unseen.
    Unseen,
}

impl Network {
    /// Every segment passes once and in order.
    pub(crate) fn in_order(cuts: Vec<usize>) -> Self {
        Self { cuts, turns: vec![Turn::Pass] }
    }

    /// The segments of a stream of `len` bytes in the order in which they pass.
    pub(crate) fn carry(&self, len: usize) -> Vec<Passing> {
        let mut cuts = self.cuts.iter().cycle();
        let mut waiting = std::collections::VecDeque::new();
        let mut at = 0;
        while at < len {
            let to = (at + cuts.next().unwrap().max(&1)).min(len);
            waiting.push_back(Passing { from: at, to, seen: true });
            at = to;
        }
        let mut turns = self.turns.iter().cycle();
        let mut passed = Vec::new();
        let mut newest = 0;
        while let Some(first) = waiting.front().copied() {
            let next = match turns.next().unwrap() {
                Turn::Pass => waiting.pop_front().unwrap(),
                Turn::Unseen => Passing { seen: false, ..waiting.pop_front().unwrap() },
                Turn::Overtaken(by) => {
                    let by = (*by).min(waiting.len() - 1);
                    let other = waiting.remove(by).unwrap();
                    // It waits no longer than this.
                    passed.push(other);
                    newest = newest.max(other.to);
                    if by == 0 {
                        continue;
                    }
                    waiting.pop_front();
                    first
                }
                Turn::Again(back, more) => {
                    let from = newest.saturating_sub(*back);
                    let to = (from + more).min(first.to);
                    if from < to {
                        passed.push(Passing { from, to, seen: true });
                        newest = newest.max(to);
                    }
                    waiting.pop_front().unwrap()
                }
            };
            newest = newest.max(next.to);
            passed.push(next);
        }
        passed
    }
}

/// The receiver's half of TCP: which bytes it has.
#[derive(Debug)]
pub(crate) struct Receiver {
    has: Vec<bool>,
    next: usize,
}

impl Receiver {
    /// It has nothing of a stream of `len` bytes.
    pub(crate) fn new(len: usize) -> Self {
        Self { has: vec![false; len], next: 0 }
    }

    /// RCV.NXT, as an offset.
    pub(crate) fn next(&self) -> usize {
        self.next
    }

    /// A segment arrives.
    pub(crate) fn take(&mut self, segment: Passing) {
        self.has[segment.from..segment.to].fill(true);
        while self.has.get(self.next) == Some(&true) {
            self.next += 1;
        }
    }
}
