//! Events into a report.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use super::{GROUPS, Group, Key, Noted, PLACES, POINTS, RECENT, Report, SLOTS, Slot, slots::Slots};
use crate::{
    diagnose::Confidence,
    event::{
        AcceptedEvent, ClosureEvent, Container, Event, HandshakeEvent, HistoryEvent, Outcome,
        Process, RoleName, StormEvent, normalised_origin, timestamp,
    },
    sink::path_template,
};

/// Processes that a group tells apart.
const PROCESSES: usize = 16;

/// A process that events name, by what it was to them: its start and its words.
type Started = (i64, String);

/// Where handshakes go: the role, the origin and the path.
type Place = (RoleName, Option<String>, Option<String>);

/// Collects events. Times are milliseconds since the Unix epoch.
#[derive(Debug, Default)]
pub struct Collect {
    groups: HashMap<Key, Seen>,
    /// Accepted handshakes: from, to, place, count.
    accepted: Vec<(i64, i64, Place, u64)>,
    /// The same, one event each: used where nothing is summed up.
    accepted_events: Vec<(i64, i64, Place, u64)>,
    origins: HashMap<Option<String>, i64>,
    /// Failed handshakes by place.
    failed: HashMap<Place, Vec<i64>>,
    processes: BTreeSet<Started>,
    storms: Vec<StormEvent>,
    gave_up: Vec<i64>,
    span: Option<(i64, i64)>,
    points: usize,
    left_out: u64,
    beyond: u64,
    memory: Option<HistoryEvent>,
}

#[derive(Debug)]
struct Seen {
    times: Vec<i64>,
    first: (i64, Event),
    last: (i64, Event),
    confidence: Option<Confidence>,
    processes: BTreeSet<Started>,
}

impl Collect {
    /// Takes an event.
    pub fn add(&mut self, event: Event) {
        let at = event.time().and_then(millis);
        if let Some(at) = at {
            let (first, last) = self.span.unwrap_or((at, at));
            self.span = Some((first.min(at), last.max(at)));
        }
        match (event, at) {
            (Event::Handshake(event), Some(at)) => self.handshake(event, at),
            (Event::Closure(event), Some(at)) if event.is_abnormal() => {
                let key = of_end(&event);
                let processes = started(event.process.as_ref(), "the server");
                let confidence = event.confidence;
                self.group(key, at, Event::Closure(event), confidence, processes);
            }
            (Event::Accepted(sum), Some(at)) => self.sum(sum, at),
            (Event::Storm(storm), _) if self.storms.len() < GROUPS => self.storms.push(storm),
            (Event::GaveUp(_), Some(at)) if self.has_room() => self.gave_up.push(at),
            (Event::Suppressed(event), _) => self.left_out += event.suppressed,
            (Event::Missed(event), _) => self.left_out += event.missed,
            (Event::History(memory), _) => self.memory = Some(memory),
            _ => {}
        }
    }

    fn has_room(&mut self) -> bool {
        let room = self.points < POINTS;
        self.points += 1;
        self.beyond += u64::from(!room);
        room
    }

    fn handshake(&mut self, event: HandshakeEvent, at: i64) {
        let origin = event.origin.as_deref().map(spelled);
        let place = (event.role, origin.clone(), Some(path_template(&event.path)));
        if event.outcome != Outcome::Unobserved && self.origins.len() < PLACES {
            let first = self.origins.entry(origin).or_insert(at);
            *first = at.min(*first);
        }
        if event.outcome == Outcome::Accepted && self.has_room() {
            self.accepted_events.push((at, at, place, 1));
        } else if event.has_failed() && self.has_room() {
            if self.failed.len() < PLACES || self.failed.contains_key(&place) {
                self.failed.entry(place).or_default().push(at);
            }
            let key = of_handshake(&event);
            let mut processes = started(event.process.as_ref(), "the server");
            processes.extend(started(event.proxy.as_ref(), "the proxy"));
            let confidence = event.confidence;
            self.group(key, at, Event::Handshake(event), confidence, processes);
        }
    }

    fn group(
        &mut self,
        key: Key,
        at: i64,
        event: Event,
        confidence: Option<Confidence>,
        processes: Vec<Started>,
    ) {
        if self.groups.len() >= GROUPS && !self.groups.contains_key(&key) {
            self.beyond += 1;
            return;
        }
        self.processes.extend(processes.iter().take(PROCESSES).cloned());
        let seen = self.groups.entry(key).or_insert_with(|| Seen {
            times: Vec::new(),
            first: (at, event.clone()),
            last: (at, event.clone()),
            confidence,
            processes: BTreeSet::new(),
        });
        seen.times.push(at);
        seen.confidence = seen.confidence.max(confidence);
        if seen.processes.len() < PROCESSES {
            seen.processes.extend(processes);
        }
        if at < seen.first.0 {
            seen.first = (at, event.clone());
        }
        if at >= seen.last.0 {
            seen.last = (at, event);
        }
    }

    fn sum(&mut self, sum: AcceptedEvent, to: i64) {
        let from = to - i64::try_from(sum.seconds.saturating_mul(1000)).unwrap_or(0);
        for row in sum.rows {
            let origin = row.origin.as_deref().map(spelled);
            if self.origins.len() < PLACES {
                let first = self.origins.entry(origin.clone()).or_insert(from);
                *first = from.min(*first);
            }
            if self.has_room() {
                let path = row.path.as_deref().map(path_template);
                self.accepted.push((from, to, (row.role, origin, path), row.count));
            }
        }
    }

    /// The report; `last`: only of so long before the newest event.
    pub fn report(self, last: Option<Duration>) -> Report {
        let (first, to) = self.span.unwrap_or((0, 0));
        let back = last.and_then(|last| i64::try_from(last.as_millis()).ok());
        let from = back.map_or(first, |back| first.max(to.saturating_sub(back)));
        let slots = Slots { from, to };
        // Sums tell it all; single events tell of those that were asked for.
        let accepted =
            if self.accepted.is_empty() { &self.accepted_events } else { &self.accepted };
        let accepted: Vec<_> = accepted.iter().filter(|(_, to, ..)| *to >= from).collect();
        let mut time_line: Vec<Slot> = (0..SLOTS)
            .map(|index| Slot { from: rfc3339(slots.begin(index)), ..Slot::default() })
            .collect();
        for (begin, end, _, count) in &accepted {
            slots.spread(*begin, *end, *count, |index, part| {
                if let Some(slot) = time_line.get_mut(index) {
                    slot.accepted += part;
                }
            });
        }
        let mut groups = Vec::new();
        let (mut failed, mut abnormal) = (0, 0);
        for (key, mut seen) in self.groups {
            seen.times.retain(|at| *at >= from);
            if seen.times.is_empty() {
                continue;
            }
            let mut line = vec![0; SLOTS];
            for at in &seen.times {
                let index = slots.index(*at);
                line.get_mut(index).into_iter().for_each(|count| *count += 1);
                if let Some(slot) = time_line.get_mut(index) {
                    let which = if key.is_end { &mut slot.abnormal } else { &mut slot.failed };
                    *which += 1;
                }
            }
            let count = seen.times.len() as u64;
            *(if key.is_end { &mut abnormal } else { &mut failed }) += count;
            let attempts = key.role.filter(|_| !key.is_end).and_then(|role| {
                let place = (role, key.origin.clone(), key.path.clone());
                let here = accepted.iter().filter(|(_, _, of, _)| *of == place);
                let here: u64 = here.map(|(.., count)| count).sum();
                let failed = self.failed.get(&place)?.iter().filter(|at| **at >= from).count();
                // A stream without a word of what was accepted has no attempts.
                (!accepted.is_empty()).then_some(here + failed as u64)
            });
            let begun = seen.times.iter().min().copied().unwrap_or(from);
            let ended = seen.times.iter().max().copied().unwrap_or(to);
            let changes = changes(
                &seen,
                &self.processes,
                self.origins.get(&key.origin),
                (begun, ended),
                (from, to),
            );
            let samples = match seen.times.len() {
                1 => vec![seen.last.1],
                _ if seen.first.0 < from => vec![seen.last.1],
                _ => vec![seen.first.1, seen.last.1],
            };
            let fix = match samples.last() {
                Some(Event::Handshake(event)) => event.fix.as_ref().map(ToString::to_string),
                _ => None,
            };
            groups.push(Group {
                share: attempts.filter(|all| *all > 0).map(|all| ratio(count, all)),
                key,
                confidence: seen.confidence,
                count,
                attempts,
                first: rfc3339(begun),
                last: rfc3339(ended),
                time_line: line,
                changes,
                samples,
                fix,
            });
        }
        groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.first.cmp(&b.first)));
        let accepted: u64 = accepted.iter().map(|(.., count)| count).sum();
        Report {
            from: rfc3339(from),
            to: rfc3339(to),
            seconds: Duration::from_millis((to - from).unsigned_abs()).as_secs_f64(),
            attempts: accepted + failed,
            failed,
            abnormal,
            gave_up: self.gave_up.iter().filter(|at| **at >= from).count() as u64,
            left_out: self.left_out,
            beyond: self.beyond,
            time_line,
            groups,
            storms: self.storms.into_iter().filter(|s| millis(&s.time) >= Some(from)).collect(),
            memory: self.memory,
        }
    }
}

/// What changed when a group began, and when it ended.
fn changes(
    seen: &Seen,
    all: &BTreeSet<Started>,
    origin_first: Option<&i64>,
    (begun, ended): (i64, i64),
    (from, to): (i64, i64),
) -> Vec<Noted> {
    let recent = i64::try_from(RECENT.as_millis()).unwrap_or(i64::MAX);
    let seconds = |of: i64| Duration::from_millis(of.unsigned_abs()).as_secs_f64();
    let mut noted = Vec::new();
    // A process's start is known to 10 ms.
    let near = |start: i64| (begun - recent..=begun + 20).contains(&start);
    if let Some((start, what)) = seen.processes.iter().rev().find(|(start, _)| near(*start)) {
        noted.push(Noted {
            time: rfc3339(*start),
            what: format!(
                "{what} started {:.1} s before the first of these",
                seconds(begun - start)
            ),
        });
    }
    // Nobody is new to a stream that has only begun.
    if origin_first.is_some_and(|first| *first == begun && begun - from > 60_000) {
        noted.push(Noted {
            time: rfc3339(begun),
            what: "nothing came from this origin before".to_owned(),
        });
    }
    let later = |(start, what): &&Started| {
        (ended..=ended + recent).contains(start)
            && seen.processes.iter().any(|(_, known)| alike(known, what))
    };
    if to - ended > 1000
        && let Some((start, what)) = all.iter().find(later)
    {
        noted.push(Noted {
            time: rfc3339(*start),
            what: format!("{what} started {:.1} s after the last of these", seconds(start - ended)),
        });
    }
    noted
}

/// Whether two processes are the same but for their id.
fn alike(one: &str, other: &str) -> bool {
    let name = |text: &str| text.split('[').next().map(str::to_owned);
    name(one) == name(other)
}

fn started(process: Option<&Process>, what: &str) -> Vec<Started> {
    let started = process.and_then(|process| {
        let start = process.started.as_deref().and_then(millis)?;
        Some((start, format!("{what} {}[{}]", process.name, process.pid)))
    });
    started.into_iter().collect()
}

fn of_handshake(event: &HandshakeEvent) -> Key {
    Key {
        cause: event.cause.map_or("none", crate::diagnose::Cause::code).to_owned(),
        is_end: false,
        outcome: Some(event.outcome),
        status: event.status,
        role: Some(event.role),
        origin: event.origin.as_deref().map(spelled),
        path: Some(path_template(&event.path)),
        server: server(event.process.as_ref(), event.server.as_deref()),
        proxy: event.proxy.as_ref().map(|process| process.name.clone()),
        workload: workload(event.container.as_ref(), event.unit.as_ref()),
    }
}

fn of_end(event: &ClosureEvent) -> Key {
    Key {
        cause: event.reason.clone().unwrap_or_else(|| format!("closed with {}", event.code)),
        is_end: true,
        role: Some(event.role),
        origin: event.origin.as_deref().map(spelled),
        path: event.path.as_deref().map(path_template),
        server: server(event.process.as_ref(), None),
        workload: workload(event.container.as_ref(), event.unit.as_ref()),
        ..Key::default()
    }
}

fn server(process: Option<&Process>, product: Option<&str>) -> Option<String> {
    match (process.map(|process| &process.name), product) {
        (Some(name), Some(product)) => Some(format!("{name} ({product})")),
        (Some(one), None) => Some(one.clone()),
        (None, product) => product.map(str::to_owned),
    }
}

fn workload(container: Option<&Container>, unit: Option<&String>) -> Option<String> {
    let of = container.and_then(|container| {
        let workload = container.workload.as_ref().or(container.name.as_ref())?;
        let namespace = container.namespace.as_ref();
        Some(namespace.map_or_else(|| workload.clone(), |space| format!("{space}/{workload}")))
    });
    of.or_else(|| unit.cloned())
}

fn spelled(origin: &str) -> String {
    normalised_origin(origin).unwrap_or_else(|| origin.to_owned())
}

fn millis(time: &str) -> Option<i64> {
    Some(time.parse::<jiff::Timestamp>().ok()?.as_millisecond())
}

fn rfc3339(millis: i64) -> String {
    timestamp(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
}

#[expect(clippy::cast_precision_loss, reason = "a share for the eye")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}
