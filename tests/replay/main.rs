//! Replays every recording under `cases/` and compares the verdicts with what really happened.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use wstap::{
    diagnose::{Cause, Confidence},
    event::{ClosureEvent, Event, HandshakeEvent, Outcome, RoleName},
    handshake::Limits,
    judge::{Judge, Judged},
    replay,
};

/// What is expected of a recording; `README.md` beside this file has the words.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Case {
    story: String,
    /// Public reports of the same.
    #[expect(dead_code, reason = "for whoever reads the case")]
    #[serde(default)]
    reports: Vec<String>,
    leg: Vec<Leg>,
    closure: Option<BTreeMap<String, serde_json::Value>>,
    accepted_miss: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Leg {
    #[serde(default)]
    ports: Vec<u16>,
    peer: Option<u16>,
    outcome: Vec<Told>,
    cause: Option<Vec<Cause>>,
    certain: Option<Vec<Cause>>,
    #[serde(default)]
    fix_must_not: Vec<String>,
    sentence: Option<String>,
    miss: Option<String>,
}

impl Leg {
    /// Whether an event is of this leg: of one that is named by its client, exactly.
    fn is_of(&self, event: &HandshakeEvent) -> bool {
        match self.peer {
            Some(peer) => {
                event.role == RoleName::Server
                    && is_on(&event.local, &self.ports)
                    && is_on(&event.peer, &[peer])
            }
            None => self.ports.is_empty() || is_on(&event.local, &self.ports),
        }
    }
}

/// An outcome, or that no handshake may be told.
#[derive(Deserialize, PartialEq)]
#[serde(untagged)]
enum Told {
    Outcome(Outcome),
    Nothing(Nothing),
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Nothing {
    None,
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("replay/cases");
    let mut cases: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

fn replayed(folder: &Path) -> (Vec<HandshakeEvent>, Vec<ClosureEvent>) {
    let (mut handshakes, mut closures) = (Vec::new(), Vec::new());
    let mut tell = |judged: Judged| match judged.event {
        Event::Handshake(event) => handshakes.push(event),
        Event::Closure(event) => closures.push(event),
        _ => {}
    };
    let mut judge = Judge::default();
    let recording = ["capture.pcap", "exchange.txt"].map(|name| folder.join(name));
    let recording = recording.iter().find(|file| file.is_file()).unwrap();
    let report = replay::run(recording, Limits::default(), &mut |observation| {
        judge.observe(observation, &mut tell);
    });
    judge.finish(&mut tell);
    assert!(report.damage.is_none(), "{}: {:?}", folder.display(), report.damage);
    (handshakes, closures)
}

fn is_on(local: &str, ports: &[u16]) -> bool {
    local
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok())
        .is_some_and(|port| ports.contains(&port))
}

/// What is wrong with one leg's verdict; an error is one that no case may have.
fn judge_leg(leg: &Leg, handshakes: &[HandshakeEvent]) -> Result<Option<String>, String> {
    let said = handshakes.iter().rfind(|event| leg.is_of(event));
    if leg.outcome == [Told::Nothing(Nothing::None)] {
        return Ok(said.map(|event| format!("nothing may be told, but {:?} was", event.outcome)));
    }
    let Some(said) = said else {
        let may_be_silent = leg.outcome.contains(&Told::Nothing(Nothing::None));
        return Ok((!may_be_silent).then(|| "nothing was told".to_owned()));
    };
    let got = format!("{:?}, {:?} ({:?})", said.outcome, said.cause, said.confidence);
    let cause_is_right = match &leg.cause {
        None => true,
        Some(causes) if causes.is_empty() => matches!(said.cause, None | Some(Cause::Unknown)),
        Some(causes) => match said.cause {
            Some(Cause::Unknown) | None => said.outcome == Outcome::Accepted,
            Some(cause) => causes.contains(&cause),
        },
    };
    let is_wrong = !cause_is_right && !matches!(said.cause, Some(Cause::Unknown) | None);
    if is_wrong && said.confidence == Some(Confidence::Certain) {
        return Err(format!("wrong and certain: {got}"));
    }
    if let (Some(cause), Some(certain)) = (said.cause, &leg.certain)
        && said.confidence == Some(Confidence::Certain)
        && !certain.contains(&cause)
    {
        return Err(format!("certain too soon: {got}"));
    }
    let fix = said.fix.as_deref().unwrap_or_default();
    if let Some(unfit) = leg.fix_must_not.iter().find(|unfit| fix.contains(unfit.as_str())) {
        return Err(format!("a fix that does not fit ({unfit}): {fix}"));
    }
    let outcome_is_right = leg.outcome.contains(&Told::Outcome(said.outcome));
    Ok((!outcome_is_right || !cause_is_right).then_some(got))
}

fn judge_closure(
    expected: &BTreeMap<String, serde_json::Value>,
    ports: &[u16],
    closures: &[ClosureEvent],
) -> Option<String> {
    let fits = |event: &&ClosureEvent| {
        let told = serde_json::to_value(event).unwrap();
        is_on(&event.local, ports)
            && expected.iter().all(|(key, value)| told.get(key) == Some(value))
    };
    closures
        .iter()
        .find(fits)
        .is_none()
        .then(|| format!("no closure like {expected:?}, but {closures:?}"))
}

#[test]
fn every_recording_gets_its_verdict() {
    let mut failures = Vec::new();
    let cases = cases();
    assert!(cases.len() >= 237, "the recordings are there");
    for folder in &cases {
        let name = folder.file_name().unwrap().to_string_lossy();
        let text = fs::read_to_string(folder.join("case.toml")).unwrap();
        let case: Case = toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (handshakes, closures) = replayed(folder);
        let mut misses = Vec::new();
        for leg in &case.leg {
            let really = leg.sentence.as_ref().unwrap_or(&case.story);
            match (judge_leg(leg, &handshakes), &leg.miss) {
                (Err(error), _) => failures.push(format!("{name}: {error}\n    really: {really}")),
                (Ok(None), Some(_)) => {
                    failures.push(format!("{name}: no longer a miss: remove `miss`\n    {really}"));
                }
                (Ok(Some(_)), Some(_)) | (Ok(None), None) => {}
                (Ok(Some(miss)), None) if leg.sentence.is_some() => {
                    failures.push(format!("{name}: {miss}\n    really: {really}"));
                }
                (Ok(Some(miss)), None) => misses.push(miss),
            }
        }
        // Where every leg is named, nothing else may be told.
        if case.leg.iter().all(|leg| leg.peer.is_some()) {
            let server = handshakes.iter().filter(|event| event.role == RoleName::Server);
            for other in server.filter(|event| !case.leg.iter().any(|leg| leg.is_of(event))) {
                failures.push(format!("{name}: no such leg: {} from {}", other.local, other.peer));
            }
        }
        if let Some(expected) = &case.closure {
            let ports = &case.leg.first().expect("a closure belongs to a leg").ports;
            misses.extend(judge_closure(expected, ports, &closures));
        }
        match &case.accepted_miss {
            Some(_) if misses.is_empty() => {
                failures.push(format!("{name}: no longer a miss: remove `accepted-miss`"));
            }
            Some(_) => {}
            None => failures.extend(
                misses.iter().map(|miss| format!("{name}: {miss}\n    really: {}", case.story)),
            ),
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} cases:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}
