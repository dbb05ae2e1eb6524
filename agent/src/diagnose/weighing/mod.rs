//! From what the hypotheses find to one verdict.

pub(in crate::diagnose) mod verdict;

use std::borrow::Cow;

use crate::{
    diagnose::{
        Outcome, PopulationEvidence, Verdict, accepted, advice,
        case::{Case, Finding, first},
        fingerprint, population, refusal, silence, structure,
    },
    handshake::{Answer, Exchange},
    http::bounded,
};

/// Judges one handshake: what became of it, and why.
pub fn diagnose(exchange: &Exchange, population: &PopulationEvidence) -> Verdict {
    let case = Case::new(exchange);
    let (outcome, finding) = match &exchange.answer {
        Answer::Unobserved => (Outcome::Unobserved, None),
        Answer::Response(response) if response.status == 101 => {
            match first(accepted::RULES, &case) {
                Some(finding) => (Outcome::Failed, Some(finding)),
                None => (Outcome::Accepted, None),
            }
        }
        Answer::Response(_) => {
            let finding = first(structure::RULES, &case).unwrap_or_else(|| refusal::explain(&case));
            let finding = population::correct(finding, population, &case);
            (Outcome::Rejected, Some(finding))
        }
        Answer::Malformed => {
            let finding = first(structure::RULES, &case).unwrap_or_else(silence::garbled);
            (Outcome::Rejected, Some(finding))
        }
        Answer::Closed { .. } | Answer::TimedOut => {
            let finding = first(structure::RULES, &case).unwrap_or_else(|| silence::explain(&case));
            let timed_out = exchange.answer == Answer::TimedOut;
            (if timed_out { Outcome::TimedOut } else { Outcome::Unanswered }, Some(finding))
        }
    };
    let server =
        case.response.and_then(|response| fingerprint::server_name(case.fingerprint, response));
    verdict(outcome, finding, server)
}

fn verdict(outcome: Outcome, finding: Option<Finding>, server: Option<String>) -> Verdict {
    let cause = finding.as_ref().map(|found| found.cause);
    let own_fix = finding.as_ref().and_then(|found| found.fix);
    let confidence = finding.as_ref().map(|found| found.confidence);
    let presumed = finding.as_ref().is_some_and(|found| found.presumed);
    let (evidence, mut summary) = finding.map(|f| (f.evidence, f.summary)).unwrap_or_default();
    if let Cow::Owned(text) = &summary {
        // Some quote what the client sent.
        summary = bounded(text).into();
    }
    Verdict {
        outcome,
        cause,
        confidence,
        evidence,
        presumed,
        summary,
        disproof: cause.and_then(advice::disproof),
        fix: own_fix,
        server,
    }
}
