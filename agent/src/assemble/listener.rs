//! What was seen on a listening socket, kept until the connection that it began has a cookie.

use std::num::NonZeroUsize;

use lru::LruCache;
use wstap_common::record::Record;

/// How many connections may wait for their cookie; the oldest gives way to a new one and is counted.
pub const LISTENER_MAX: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// How many segments of one such connection are kept; more are dropped and counted.
pub const LISTENER_PIECES: usize = 8;

type Ends = ([u8; 16], u16, [u8; 16], u16);

/// Segments without a cookie, by the addresses and ports of their connection.
#[derive(Debug)]
pub struct Listener {
    waiting: LruCache<Ends, Vec<(Record, Vec<u8>)>>,
    /// Segments that were dropped at a bound.
    dropped: u64,
}

impl Default for Listener {
    fn default() -> Self {
        Self { waiting: super::bounded(LISTENER_MAX), dropped: 0 }
    }
}

impl Listener {
    /// Keeps a segment.
    pub fn keep(&mut self, record: &Record, bytes: &[u8]) {
        let ends = ends(record);
        if let Some(pieces) = self.waiting.get_mut(&ends) {
            if pieces.len() < LISTENER_PIECES {
                pieces.push((*record, bytes.to_vec()));
            } else {
                self.dropped += 1;
            }
        } else if let Some((_, pieces)) = self.waiting.push(ends, vec![(*record, bytes.to_vec())]) {
            self.dropped += pieces.len() as u64;
        }
    }

    /// Hands out what was kept for the connection that `adopted` names, now with its cookie.
    pub fn adopt(&mut self, adopted: &Record) -> Vec<(Record, Vec<u8>)> {
        let mut pieces = self.waiting.pop(&ends(adopted)).unwrap_or_default();
        for (record, _) in &mut pieces {
            record.cookie = adopted.cookie;
            if adopted.cgroup != 0 {
                record.cgroup = adopted.cgroup;
            }
        }
        pieces
    }

    /// Segments that were dropped at a bound.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

fn ends(record: &Record) -> Ends {
    (record.local_addr, record.local_port, record.peer_addr, record.peer_port)
}

#[cfg(test)]
mod tests {
    use wstap_common::record::Record;
    use zerocopy::FromZeros;

    use super::*;

    fn record(port: u16) -> Record {
        let mut record = Record::new_zeroed();
        record.peer_port = port;
        record
    }

    #[test]
    fn segments_wait_for_their_cookie() {
        let mut listener = Listener::default();
        listener.keep(&record(1), b"GET ");
        listener.keep(&record(2), b"other");
        let adopted = Record { cookie: 7, cgroup: 9, ..record(1) };
        let pieces = listener.adopt(&adopted);
        assert_eq!(pieces.len(), 1);
        assert_eq!(
            (pieces[0].0.cookie, pieces[0].0.cgroup, &pieces[0].1[..]),
            (7, 9, &b"GET "[..])
        );
        assert!(listener.adopt(&adopted).is_empty());
    }

    #[test]
    fn bounds() {
        let mut listener = Listener::default();
        for _ in 0..=LISTENER_PIECES {
            listener.keep(&record(1), b"x");
        }
        assert_eq!(listener.dropped(), 1);
        for port in 2..=u16::try_from(LISTENER_MAX.get()).unwrap() + 1 {
            listener.keep(&record(port), b"x");
        }
        assert_eq!(listener.dropped(), 1 + LISTENER_PIECES as u64);
    }
}
