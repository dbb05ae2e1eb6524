//! What must hold of the weighing, whatever is weighed: the order of causes in the source decides nothing, what a server let
//! pass is no certain cause, and what stands against a cause makes nobody surer.

use std::sync::Arc;

use proptest::prelude::*;

use super::{exchange, request, response, switching};
use crate::{
    diagnose::{
        Cause, Confidence, PopulationEvidence, Verdict,
        context::Context,
        diagnose,
        hypotheses::{REFUSED, SWITCHED},
        population::Population,
        weighing::weigh_by,
    },
    handshake::{Answer, Exchange},
};

type Changes = Vec<(&'static str, &'static str)>;

/// What requests differ in, each with the causes that lie in it.
const FEATURES: &[(&str, &str, &[Cause])] = &[
    ("Upgrade", "", &[Cause::UpgradeStripped]),
    ("Connection", "close", &[Cause::ConnectionStripped]),
    ("Connection", "", &[Cause::ConnectionStripped]),
    ("Sec-WebSocket-Version", "8", &[Cause::VersionUnsupported]),
    ("Origin", "", &[Cause::OriginAbsent, Cause::OriginStripped]),
    ("Origin", "null", &[Cause::OriginNull]),
    ("Host", "127.0.0.1:8080", &[Cause::HostRewritten, Cause::PortMismatch]),
    ("Origin", "https://app.example.test:8443", &[Cause::PortMismatch]),
    ("X-Forwarded-Proto", "http", &[Cause::ForwardedProtoWrong]),
    ("X-Forwarded-Proto", "wss", &[Cause::ForwardedProtoWrong]),
];

/// Answers, of which those of the first half do not say why.
const ANSWERS: &[(u16, &str)] = &[
    (403, ""),
    (400, ""),
    (404, "not here"),
    (401, "Unauthorized"),
    (426, ""),
    (500, ""),
    (403, "Cross origin websockets not allowed"),
    (400, "Missing or invalid Sec-WebSocket-Key header"),
    (400, "\"Connection\" must be \"Upgrade\"."),
    (503, "down for maintenance"),
    (429, "slow down"),
];

fn changes() -> impl Strategy<Value = Changes> {
    let change = prop::sample::select(FEATURES).prop_map(|(name, value, _)| (name, value));
    prop::collection::vec(change, 0..4)
}

fn refused(changes: &Changes, (status, body): (u16, &str)) -> Exchange {
    exchange(request(changes), Answer::Response(response(status, &[], body)))
}

/// Everything of a verdict that is told.
fn told(verdict: &Verdict) -> String {
    format!("{verdict:?}")
}

/// A memory of a server that accepted these.
fn accepted(requests: &[Changes]) -> Population {
    let mut population = Population::default();
    for changes in requests {
        let mut one = exchange(request(changes), Answer::Response(switching(&[])));
        Arc::make_mut(&mut one.request).path = "/ws".into();
        population.observe(&one, true);
    }
    population
}

proptest! {
    #[test]
    fn the_order_of_causes_in_the_source_decides_nothing(
        changes in changes(),
        answer in prop::sample::select(ANSWERS),
        refused_order in Just((0..REFUSED.len()).collect::<Vec<_>>()).prop_shuffle(),
        switched_order in Just((0..SWITCHED.len()).collect::<Vec<_>>()).prop_shuffle(),
        switches in any::<bool>(),
    ) {
        let one = if switches {
            exchange(request(&changes), Answer::Response(switching(&[("Connection", "close")])))
        } else {
            refused(&changes, answer)
        };
        let refused_by: Vec<_> = refused_order.iter().map(|number| REFUSED[*number]).collect();
        let switched_by: Vec<_> = switched_order.iter().map(|number| SWITCHED[*number]).collect();
        let context = Context::default();
        let plain = weigh_by(&one, &context, REFUSED, SWITCHED);
        let shuffled = weigh_by(&one, &context, &refused_by, &switched_by);
        prop_assert_eq!(told(&plain), told(&shuffled));
    }

    #[test]
    fn what_a_server_let_pass_is_no_certain_cause(
        feature in prop::sample::select(FEATURES),
        others in changes(),
        // Those that do not say why.
        answer in prop::sample::select(&ANSWERS[..6]),
    ) {
        let (name, value, causes) = feature;
        let own: Changes = vec![(name, value)];
        let population = accepted(std::slice::from_ref(&own));
        let mut changes = others;
        changes.retain(|(other, _)| *other != name);
        changes.push((name, value));
        let one = refused(&changes, answer);
        let verdict = diagnose(&one, &population.evidence(&one));
        let blamed = verdict.cause.is_some_and(|cause| causes.contains(&cause));
        prop_assert!(
            !(blamed && verdict.confidence == Some(Confidence::Certain)),
            "{changes:?} {answer:?}: {verdict:#?}"
        );
    }

    /// What rules another cause out may make the one that is left surer; what stands against a cause itself may not.
    #[test]
    fn what_stands_against_a_cause_makes_it_no_surer(
        changes in changes(),
        answer in prop::sample::select(ANSWERS),
    ) {
        let one = refused(&changes, answer);
        let alone = diagnose(&one, &PopulationEvidence::default());
        let against = FEATURES.iter().filter(|(name, value, causes)| {
            let cause = alone.cause.is_some_and(|cause| causes.contains(&cause));
            cause && changes.contains(&(*name, *value))
        });
        for (name, value, _) in against {
            let among = diagnose(&one, &accepted(&[vec![(*name, *value)]]).evidence(&one));
            if among.cause == alone.cause {
                prop_assert!(among.confidence <= alone.confidence, "{alone:#?}\n{among:#?}");
            }
        }
    }
}
