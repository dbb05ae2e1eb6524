//! Ids of events.

use std::hash::{BuildHasher as _, RandomState};

use super::Event;

/// Gives out ids: a random start and one more for each event, so that those of many agents do not meet.
#[derive(Debug)]
pub struct Ids(u64);

impl Default for Ids {
    fn default() -> Self {
        // The standard library's source of random numbers: seeded by the kernel once a process.
        Self(RandomState::new().hash_one(std::process::id()))
    }
}

impl Ids {
    /// Writes the next id into the event, where events of its kind have one.
    pub fn give(&mut self, event: &mut Event) {
        let id = match event {
            Event::Handshake(event) => &mut event.id,
            Event::Closure(event) => &mut event.id,
            Event::Storm(event) => &mut event.id,
            Event::GaveUp(event) => &mut event.id,
            _ => return,
        };
        self.0 = self.0.wrapping_add(1);
        *id = Some(format!("{:016x}", self.0));
    }
}
