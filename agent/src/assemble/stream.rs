//! One direction of a connection: segments in, contiguous bytes out.

/// How many bytes a stream holds at most, contiguous and waiting: a head of 64 KiB and what came beside it.
/// More are dropped and the stream says [`Stream::is_cut`].
pub const STREAM_MAX: usize = 64 * 1024 + 8192;

/// How many pieces wait behind a gap at most; more are dropped and the stream says [`Stream::is_cut`].
pub const ISLANDS_MAX: usize = 64;

/// The bytes of one direction from some sequence number on (RFC 9293 section 3.4: modular arithmetic).
///
/// Segments may come in any order and more than once; of bytes that come twice the first stay.
#[derive(Debug, Default)]
pub struct Stream {
    /// The sequence number of the first byte of [`Self::bytes`].
    base: u32,
    bytes: Vec<u8>,
    /// How many of `bytes` were taken off the front: moving the others each time would cost too much.
    taken: usize,
    /// What came ahead of its turn, by sequence number.
    islands: Vec<(u32, Vec<u8>)>,
    started_ns: Option<u64>,
    /// Whether bytes were taken off the front: nothing before `base` is of interest then.
    consumed: bool,
    cut: bool,
}

impl Stream {
    /// Takes a segment that passed at `time_ns`.
    pub fn insert(&mut self, seq: u32, segment: &[u8], time_ns: u64) {
        if segment.is_empty() {
            return;
        }
        if self.is_untouched() {
            self.base = seq;
        }
        if self.bytes().is_empty() || self.started_ns.is_none_or(|started| time_ns < started) {
            self.started_ns = Some(time_ns);
        }
        let ahead = seq.wrapping_sub(self.base).cast_signed();
        if ahead < 0 && !self.consumed {
            // The stream begins earlier than it looked.
            let later = (self.base, std::mem::take(&mut self.bytes));
            self.base = seq;
            self.append(segment);
            self.keep(later.0, later.1);
        } else if ahead < 0 {
            let seen = ahead.unsigned_abs() as usize + self.bytes().len();
            self.append(segment.get(seen..).unwrap_or_default());
        } else if let Some(seen) = self.bytes().len().checked_sub(ahead.unsigned_abs() as usize) {
            self.append(segment.get(seen..).unwrap_or_default());
        } else {
            self.keep(seq, segment.to_vec());
        }
        self.join_islands();
    }

    fn is_untouched(&self) -> bool {
        self.bytes().is_empty() && self.islands.is_empty() && !self.consumed
    }

    fn append(&mut self, segment: &[u8]) {
        let room = STREAM_MAX.saturating_sub(self.held());
        self.cut |= segment.len() > room;
        self.bytes.extend_from_slice(segment.get(..room).unwrap_or(segment));
    }

    /// Keeps a piece that is ahead of its turn.
    fn keep(&mut self, seq: u32, piece: Vec<u8>) {
        if piece.is_empty() {
            return;
        }
        if self.islands.len() >= ISLANDS_MAX || self.held() + piece.len() > STREAM_MAX {
            self.cut = true;
            return;
        }
        let ahead = seq.wrapping_sub(self.base);
        let at = self.islands.partition_point(|(other, _)| other.wrapping_sub(self.base) <= ahead);
        self.islands.insert(at, (seq, piece));
    }

    /// Appends the islands that the contiguous bytes have reached.
    fn join_islands(&mut self) {
        while let Some((seq, _)) = self.islands.first() {
            let ahead = seq.wrapping_sub(self.base).cast_signed();
            let seen = match usize::try_from(ahead) {
                Ok(ahead) if ahead > self.bytes().len() => return,
                Ok(ahead) => self.bytes().len() - ahead,
                Err(_) => self.bytes().len() + ahead.unsigned_abs() as usize,
            };
            let (_, piece) = self.islands.remove(0);
            self.bytes.extend_from_slice(piece.get(seen..).unwrap_or_default());
        }
    }

    /// The contiguous bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    /// How many bytes are held, contiguous or not.
    pub fn held(&self) -> usize {
        self.bytes().len() + self.islands.iter().map(|(_, piece)| piece.len()).sum::<usize>()
    }

    /// When the contiguous bytes began to come.
    pub fn started_ns(&self) -> Option<u64> {
        self.started_ns.filter(|_| !self.bytes().is_empty())
    }

    /// Whether any byte came.
    pub fn is_empty(&self) -> bool {
        self.bytes().is_empty() && self.islands.is_empty()
    }

    /// Whether bytes were dropped at a bound.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Takes `count` bytes off the front, also such as have not come or never will.
    pub fn skip(&mut self, count: u64) {
        self.consumed = true;
        // Sequence numbers are modular: a body of 4 GiB and more ends where it ends modulo 2^32.
        self.base = self.base.wrapping_add(count as u32);
        self.taken += usize::try_from(count).unwrap_or(usize::MAX).min(self.bytes().len());
        if self.taken * 2 > self.bytes.len() {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        if self.bytes().is_empty() {
            let base = self.base;
            let end = |(seq, piece): &(u32, Vec<u8>)| seq.wrapping_add(piece.len() as u32);
            self.islands.retain(|island| end(island).wrapping_sub(base).cast_signed() > 0);
            self.join_islands();
        }
    }

    /// Goes on at the next piece behind a gap that begins with `prefix`; says whether there was one.
    pub fn skip_to_island(&mut self, prefix: &[u8]) -> bool {
        let Some(at) = self.islands.iter().position(|(_, piece)| piece.starts_with(prefix)) else {
            return false;
        };
        let Some((seq, piece)) = self.islands.drain(..=at).next_back() else { return false };
        self.consumed = true;
        self.base = seq;
        self.bytes = piece;
        self.taken = 0;
        self.join_islands();
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn order_overlaps_and_an_earlier_start() {
        let mut stream = Stream::default();
        stream.insert(106, b"world", 5);
        stream.insert(100, b"hel", 7);
        assert_eq!(stream.bytes(), b"hel");
        stream.insert(102, b"llo ", 8);
        stream.insert(102, b"XX", 9);
        assert_eq!((stream.bytes(), stream.started_ns()), (&b"hello world"[..], Some(5)));
        stream.skip(6);
        assert_eq!(stream.bytes(), b"world");
        stream.insert(100, b"hello ", 9);
        assert_eq!(stream.bytes(), b"world");
        stream.insert(104, b"o world!", 9);
        assert_eq!(stream.bytes(), b"world!", "what was taken and what is held come again");
    }

    #[test]
    fn skipping_over_bytes_that_never_come() {
        let mut stream = Stream::default();
        stream.insert(u32::MAX - 1, b"head", 1);
        stream.insert(998, b"next", 2);
        stream.skip(1000);
        assert_eq!(stream.bytes(), b"next");

        let mut stream = Stream::default();
        stream.insert(0, b"head", 1);
        stream.insert(500, b"next", 2);
        assert!(stream.skip_to_island(b"ne"));
        assert_eq!(stream.bytes(), b"next");
        assert!(!stream.skip_to_island(b"ne"));
    }

    #[test]
    fn bounds() {
        let mut stream = Stream::default();
        stream.insert(0, &vec![0; STREAM_MAX + 1], 1);
        assert!(stream.is_cut() && stream.held() == STREAM_MAX);
        let mut stream = Stream::default();
        for i in 0..200 {
            stream.insert(i * 2, b"x", 1);
        }
        assert!(stream.is_cut() && stream.held() == ISLANDS_MAX + 1);
    }

    proptest! {
        #[test]
        fn any_order_gives_the_same_bytes(
            base: u32,
            cuts in proptest::collection::vec((0_usize..200, 1_usize..60), 1..40),
        ) {
            let whole: Vec<u8> = (0..200).collect();
            let mut stream = Stream::default();
            let mut pieces: Vec<_> = cuts.iter().map(|(at, len)| (*at, (at + len).min(200))).collect();
            // Together the pieces cover everything.
            pieces.extend((0..200).step_by(10).map(|at| (at, at + 10)));
            for (from, to) in pieces {
                stream.insert(base.wrapping_add(from as u32), &whole[from..to], 1);
            }
            prop_assert_eq!(stream.bytes(), &whole[..]);
        }

        #[test]
        fn anything_goes(ops in proptest::collection::vec((0_u32..2000, 0_usize..100, 0_u8..4), 0..100)) {
            let mut stream = Stream::default();
            for (seq, len, op) in ops {
                match op {
                    0 => stream.skip(u64::from(seq)),
                    1 => { stream.skip_to_island(&[1]); }
                    _ => stream.insert(seq.wrapping_sub(500), &vec![1; len], 1),
                }
                prop_assert!(stream.held() <= STREAM_MAX);
            }
        }
    }
}
