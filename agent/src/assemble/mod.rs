//! Contiguous bytes again: the segments of each half of a connection, put in order.
//!
//! In: the `Bytes` and `Adopted` records. Out: a [`Stream`] for each half of each pending request.
//! Bounds: [`STREAM_MAX`], [`ISLANDS_MAX`], [`LISTENER_MAX`]; what happens there stands beside each.

mod listener;
mod stream;

use std::{hash::Hash, num::NonZeroUsize};

use lru::LruCache;

pub use listener::{LISTENER_MAX, LISTENER_PIECES, Listener};
pub use stream::{ISLANDS_MAX, STREAM_MAX, Stream};

/// A table with a bound that takes memory only as it fills.
pub(crate) fn bounded<K: Hash + Eq, V>(bound: NonZeroUsize) -> LruCache<K, V> {
    let mut table = LruCache::unbounded();
    table.resize(bound);
    table
}
