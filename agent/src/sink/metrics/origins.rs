//! Which origins have series of their own: whoever makes up origins must not keep our own from having one.
//!
//! In: origins, as they come. Out: whether one has a place, and which one gave its place up. Places are earned by
//! accepted handshakes and kept for good then; all others age.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::event::Policy;

/// An origin of which no handshake was accepted gives its place to another one when it was not seen for so long.
const AGE: Duration = Duration::from_secs(3600);
/// Whether one has done so is looked at so often: those who come in between go without.
const EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Place {
    /// A handshake was accepted.
    earned: bool,
    seen: Instant,
}

/// The origins with places.
#[derive(Debug)]
pub(super) struct Origins {
    places: HashMap<String, Place>,
    cap: usize,
    folded: u64,
    looked: Option<Instant>,
}

impl Origins {
    /// At most `cap` of them.
    pub(super) fn new(cap: usize) -> Self {
        Self { places: HashMap::new(), cap, folded: 0, looked: None }
    }

    /// Whether an origin has a place, or now got one, and the one that gave its own up for it. `accepted`: its handshake
    /// was.
    ///
    /// Foreign ones get a place while less than half are taken. Of our own without an accepted handshake those of
    /// one domain (`*.app.example`) get half at most: a pattern of the policy may allow any name there.
    pub(super) fn admit(
        &mut self,
        origin: &str,
        policy: Policy,
        accepted: bool,
        now: Instant,
    ) -> (bool, Option<String>) {
        if let Some(place) = self.places.get_mut(origin) {
            place.earned |= accepted;
            place.seen = now;
            return (true, None);
        }
        let half = self.cap.div_ceil(2);
        let taken = self.places.len();
        let has_room = match policy {
            Policy::Foreign => taken < half,
            Policy::Allowed if !accepted => {
                taken < self.cap && self.of_domain(domain(origin)) < half
            }
            Policy::Allowed | Policy::None => taken < self.cap,
        };
        let gone = if has_room { None } else { self.give_up(policy, accepted, now) };
        if !has_room && gone.is_none() {
            self.folded += 1;
            return (false, None);
        }
        self.places.insert(origin.to_owned(), Place { earned: accepted, seen: now });
        (true, gone)
    }

    /// How many without an accepted handshake are of a domain.
    fn of_domain(&self, wanted: &str) -> usize {
        let is_of = |(origin, place): &(&String, &Place)| !place.earned && domain(origin) == wanted;
        self.places.iter().filter(is_of).count()
    }

    /// Takes the place of the one that was not seen for longest, if that may be.
    fn give_up(&mut self, policy: Policy, accepted: bool, now: Instant) -> Option<String> {
        if self.looked.is_some_and(|looked| now.saturating_duration_since(looked) < EVERY) {
            return None;
        }
        self.looked = Some(now);
        let open = self.places.iter().filter(|(_, place)| !place.earned);
        let (origin, place) = open.min_by_key(|(_, place)| place.seen)?;
        let earns = accepted && policy != Policy::Foreign;
        if !earns && now.saturating_duration_since(place.seen) < AGE {
            return None;
        }
        let origin = origin.clone();
        self.places.remove(&origin);
        Some(origin)
    }

    /// How often an origin went without a place.
    pub(super) fn folded(&self) -> u64 {
        self.folded
    }
}

/// What is behind the first label of an origin's host.
fn domain(origin: &str) -> &str {
    let host = origin.split_once("://").map_or(origin, |(_, host)| host);
    host.split_once('.').map_or(host, |(_, domain)| domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "https://app.example";

    #[test]
    fn made_up_names_below_a_domain_leave_places_for_others() {
        let (mut origins, now) = (Origins::new(10), Instant::now());
        let mut admit =
            |origin: &str, accepted| origins.admit(origin, Policy::Allowed, accepted, now).0;
        let made_up =
            (0..50).filter(|n| admit(&format!("https://x{n}.app.example"), false)).count();
        assert_eq!(made_up, 5);
        assert!(admit(OWN, false));
        // A name there that is really served has its place.
        assert!(admit("https://tenant.app.example", true));
        assert_eq!(origins.folded(), 45);
    }

    #[test]
    fn an_accepted_origin_takes_a_place_that_nobody_earned_and_an_old_one_is_free() {
        let (mut origins, start) = (Origins::new(2), Instant::now());
        let later = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(origins.admit("https://a", Policy::None, false, start), (true, None));
        assert_eq!(origins.admit("https://b", Policy::None, true, later(1)), (true, None));
        assert_eq!(origins.admit("https://c", Policy::None, false, later(2)), (false, None));
        let instead = Some("https://a".to_owned());
        assert_eq!(origins.admit("https://d", Policy::None, true, later(4)), (true, instead));
        // All places are earned: for good.
        assert_eq!(origins.admit("https://e", Policy::None, true, later(90_000)), (false, None));

        let mut origins = Origins::new(1);
        origins.admit("https://a", Policy::None, false, start);
        assert!(!origins.admit("https://b", Policy::None, false, later(3599)).0);
        let instead = Some("https://a".to_owned());
        assert_eq!(origins.admit("https://b", Policy::None, false, later(3601)), (true, instead));
    }
}
