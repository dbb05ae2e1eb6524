//! From what the hypotheses find to one verdict: contradiction comes before confidence.
//!
//! Every hypothesis is asked. What stands against a finding takes from it; then the findings are put in order by what they
//! rest on. One is certain only when nothing stands against it and no other fits the answer.

pub(in crate::diagnose) mod verdict;

use std::borrow::Cow;

use super::{
    Alternative, Cause, Confidence, Evidence, Outcome, PopulationEvidence, Verdict, advice,
    case::Case,
    context::Context,
    features::Features,
    fingerprint::{self, Says},
    hypotheses::{Contradiction, Effect, Finding, Grounds, Hypothesis, REFUSED, SWITCHED},
    words::Topics,
};
use crate::{
    handshake::{Answer, Exchange},
    http::bounded,
};

/// At most so many other causes are named beside the first.
pub const ALTERNATIVES: usize = 3;

/// Judges one handshake by itself and by what its server did with others.
pub fn diagnose(exchange: &Exchange, population: &PopulationEvidence) -> Verdict {
    weigh(exchange, &Context { population: *population, ..Context::default() })
}

/// Judges one handshake: what became of it, and why.
pub(in crate::diagnose) fn weigh(exchange: &Exchange, context: &Context<'_>) -> Verdict {
    weigh_by(exchange, context, REFUSED, SWITCHED)
}

/// As [`weigh`], by these hypotheses.
pub(in crate::diagnose) fn weigh_by(
    exchange: &Exchange,
    context: &Context<'_>,
    refused: &[Hypothesis],
    switched: &[Hypothesis],
) -> Verdict {
    let case = Case::new(exchange, context);
    let (outcome, found) = match &exchange.answer {
        Answer::Unobserved => (Outcome::Unobserved, Vec::new()),
        Answer::Response(response) if response.status == 101 => {
            let found = weighed(&case, switched);
            (if found.is_empty() { Outcome::Accepted } else { Outcome::Failed }, found)
        }
        Answer::Response(_) | Answer::Malformed(_) => (Outcome::Rejected, weighed(&case, refused)),
        Answer::Closed { .. } => (Outcome::Unanswered, weighed(&case, refused)),
        Answer::TimedOut => (Outcome::TimedOut, weighed(&case, refused)),
    };
    let server =
        case.response.and_then(|response| fingerprint::server_name(case.fingerprint, response));
    verdict(&case, outcome, found, server)
}

/// A finding with its cause, and what was taken from it.
struct Weighed {
    hypothesis: Hypothesis,
    finding: Finding,
    /// A known server's exact words name this very cause.
    exact: bool,
    against: Option<Contradiction>,
}

/// What the hypotheses find, the best first.
fn weighed(case: &Case<'_>, hypotheses: &[Hypothesis]) -> Vec<Weighed> {
    let mut found: Vec<Weighed> = hypotheses
        .iter()
        .filter_map(|hypothesis| {
            let own = (hypothesis.support)(case);
            let known = known(case, hypothesis.cause);
            let better = |known: &Finding| own.as_ref().is_none_or(|o| o.grounds <= known.grounds);
            let exact = known.as_ref().is_some_and(|k| better(k) && k.grounds == Grounds::Said);
            let finding = known.filter(better).or(own)?;
            Some(Weighed { hypothesis: *hypothesis, finding, exact, against: None })
        })
        .collect();
    let mut spoken = Topics::NONE;
    for one in found.iter().filter(|one| one.finding.grounds >= Grounds::Spoken) {
        let said = one.finding.grounds == Grounds::Said;
        spoken |=
            if said { one.hypothesis.named_by } else { case.topics.and(one.hypothesis.named_by) };
    }
    let plain = found
        .iter()
        .any(|one| one.finding.grounds == Grounds::Said && one.finding.sure == Confidence::Certain);
    found.retain_mut(|one| contradicted(case, one, spoken, plain));
    found.sort_by(|a, b| {
        let key = |one: &Weighed| {
            let weak = one.against.as_ref().is_some_and(|against| against.effect >= Effect::Weak);
            (one.finding.grounds, one.finding.sure, !weak, one.hypothesis.usual)
        };
        // Whatever else is alike, the order of the codes decides, and not that of the source.
        key(b).cmp(&key(a)).then_with(|| a.hypothesis.cause.code().cmp(b.hypothesis.cause.code()))
    });
    certainty(case, &mut found);
    found
}

/// What a known server or proxy says by its exact words.
fn known(case: &Case<'_>, cause: Cause) -> Option<Finding> {
    let known = case.fingerprint?;
    // A shape without words is what several refusals of this server look like.
    let grounds = |sure: Confidence| match sure {
        Confidence::Certain => Grounds::Said,
        _ if case.wordless => Grounds::Fits,
        _ => Grounds::Spoken,
    };
    let asked = match cause {
        Cause::SubprotocolRequired => Some(case.header("Sec-WebSocket-Protocol")),
        Cause::CorsMiddleware => Some(case.header("Origin")),
        Cause::RouteNotFound | Cause::SessionUnknown | Cause::UpgradeIgnored => Some(case.path()),
        _ => None,
    };
    let finding = match &known.says {
        Says::Cause(says, sure) if *says == cause => {
            Finding::new(grounds(*sure), *sure, known.quote)
        }
        Says::Proxy(says, sure, summary) if *says == cause => {
            Finding::new(grounds(*sure), *sure, *summary)
        }
        _ => return None,
    };
    let finding = finding.with([case.answer()]).with(asked);
    Some(Finding { fix: known.fix, ..finding })
}

/// Takes from a finding what contradicts it; `false` when it is out.
fn contradicted(case: &Case<'_>, one: &mut Weighed, spoken: Topics, plain: bool) -> bool {
    let mut found = Vec::new();
    (one.hypothesis.against)(case, &one.finding, &mut found);
    in_this_exchange(one, spoken, plain, &mut found);
    in_others(case, one, &mut found);
    for contradiction in &found {
        let finding = &mut one.finding;
        match contradiction.effect {
            Effect::Uncertain => {}
            Effect::Weak | Effect::Refuted if one.exact => {}
            Effect::Doubted => {
                finding.grounds = finding.grounds.lower();
                finding.sure = finding.sure.min(Confidence::Possible);
            }
            Effect::Weak => {
                finding.grounds = finding.grounds.min(Grounds::Guess);
                finding.sure = finding.sure.min(Confidence::Possible);
            }
            Effect::Refuted => return false,
        }
        finding.sure = finding.sure.min(Confidence::Likely);
    }
    one.against = found.into_iter().max_by_key(|contradiction| contradiction.effect);
    true
}

/// The answer's own words name another cause.
fn in_this_exchange(one: &Weighed, spoken: Topics, plain: bool, found: &mut Vec<Contradiction>) {
    let finding = &one.finding;
    if finding.grounds == Grounds::Left || finding.grounds >= Grounds::Spoken {
        return;
    }
    let other = !spoken.is_empty() && !spoken.any(one.hypothesis.named_by);
    if other || (plain && spoken.is_empty()) {
        let seen = "the server's words name another cause";
        // What a status means, it means whatever the words are.
        let effect = if finding.grounds == Grounds::Means { Effect::Doubted } else { Effect::Weak };
        found.push(Contradiction::new(effect, seen));
    }
}

/// What this server did with others.
fn in_others(case: &Case<'_>, one: &Weighed, found: &mut Vec<Contradiction>) {
    let seen = &case.context.population;
    let lies_in = case.features.and(one.hypothesis.lies_in);
    if lies_in == Features::NONE {
        return;
    }
    let structural = Features::DEFECTS.any(lies_in);
    if !structural && seen.accepted_alike && one.finding.grounds < Grounds::Spoken {
        let same = "the same Origin, Host and forwarded headers are accepted here at other times";
        found.push(Contradiction::new(Effect::Refuted, same));
    }
    if seen.passed_here.all(lies_in) {
        let effect = if structural { Effect::Refuted } else { Effect::Doubted };
        found
            .push(Contradiction::new(effect, "handshakes with the same feature are accepted here"));
    } else if seen.passed_elsewhere.all(lies_in) {
        let effect = if structural { Effect::Doubted } else { Effect::Uncertain };
        let passed = "handshakes with the same feature are accepted at another path";
        found.push(Contradiction::new(effect, passed));
    }
    if structural && seen.sound_refused {
        let effect = if case.status() == Some(404) { Effect::Weak } else { Effect::Uncertain };
        found.push(Contradiction::new(effect, "a sound handshake got the same answer here"));
    }
}

/// Takes the certainty from the best finding where something else is left that fits the answer.
fn certainty(case: &Case<'_>, found: &mut [Weighed]) {
    let Some((best, others)) = found.split_first_mut() else { return };
    if case.context.before.is_some() && !case.context.proven {
        // What joined the legs is a key that a client chose.
        best.finding.sure = best.finding.sure.min(Confidence::Likely);
    }
    // A status says what it says of this request as it is: with a defect that this server may look at, something else
    // may have brought it about.
    let defects = case.features.and(Features::DEFECTS);
    let defects = defects.without(best.hypothesis.lies_in);
    let defects = defects.without(case.context.population.passed_here);
    let entailed = best.hypothesis.cause == Cause::UpgradeStripped
        && defects.without(Features::NO_CONNECTION) == Features::NONE;
    let unseen = best.finding.grounds <= Grounds::Means && defects != Features::NONE && !entailed;
    let switched = case.status() == Some(101);
    let rival = others.iter().any(|other| {
        let alike = other.finding.grounds >= best.finding.grounds.min(Grounds::Fits);
        let fits =
            best.finding.grounds <= Grounds::Means || other.finding.grounds >= Grounds::Spoken;
        alike && fits && !other.hypothesis.part_of.contains(&best.hypothesis.cause)
    });
    if rival || (unseen && !switched) {
        best.finding.sure = best.finding.sure.min(Confidence::Likely);
    }
    let most = best.finding.sure;
    for other in others {
        other.finding.sure = other.finding.sure.min(most).min(Confidence::Likely);
    }
}

/// The other causes that are worth naming: those that rest on as much as the best, or on the next less.
fn alternatives(found: &[Weighed]) -> Vec<Alternative> {
    let Some((best, others)) = found.split_first() else { return Vec::new() };
    let least = best.finding.grounds.lower().max(Grounds::Guess);
    others
        .iter()
        .filter(|other| best.finding.sure < Confidence::Certain && other.finding.grounds >= least)
        .filter(|other| !other.hypothesis.part_of.contains(&best.hypothesis.cause))
        .take(ALTERNATIVES)
        .map(|other| Alternative { cause: other.hypothesis.cause, confidence: other.finding.sure })
        .collect()
}

fn verdict(
    case: &Case<'_>,
    outcome: Outcome,
    found: Vec<Weighed>,
    server: Option<String>,
) -> Verdict {
    let alternatives = alternatives(&found);
    let best = found.into_iter().next();
    let cause = best.as_ref().map(|best| best.hypothesis.cause);
    let confidence = best.as_ref().map(|best| best.finding.sure);
    let own_fix = best.as_ref().and_then(|best| best.finding.fix);
    let (evidence, summary) = best.map(said).unwrap_or_default();
    let verdict = Verdict {
        outcome,
        cause,
        confidence,
        evidence,
        alternatives,
        summary,
        disproof: cause.and_then(advice::disproof),
        fix: own_fix,
        server,
    };
    carried(case, verdict)
}

/// The evidence and the sentence of a finding.
fn said(best: Weighed) -> (Vec<Evidence>, Cow<'static, str>) {
    let mut evidence = best.finding.evidence;
    if let Some(against) = best.against {
        evidence.push(Evidence::new("against", against.seen));
    }
    let summary = match best.finding.summary {
        // Some quote what the client sent.
        Cow::Owned(text) => bounded(&text).into(),
        text @ Cow::Borrowed(_) => text,
    };
    (evidence, summary)
}

/// The leg into a proxy follows the leg behind it: the same answer has the same cause, and where the proxy gave an answer of
/// its own because that leg failed, the cause is still that leg's.
fn carried(case: &Case<'_>, verdict: Verdict) -> Verdict {
    let Some(behind) = case.context.behind else { return verdict };
    let Some(inner) = behind.verdict else { return unexplained(verdict, behind.status) };
    let vague = |cause: Option<Cause>| {
        matches!(
            cause,
            None | Some(Cause::Unanswered | Cause::TimedOut | Cause::ClientGaveUp | Cause::Unknown)
        )
    };
    let same = behind.status.is_some() && behind.status == case.status();
    let gave_way = matches!(
        verdict.cause,
        Some(
            Cause::UpstreamUnavailable
                | Cause::ServerError
                | Cause::Unanswered
                | Cause::TimedOut
                | Cause::ClientGaveUp
        )
    );
    let dropped = verdict.outcome == Outcome::Accepted && inner.outcome == Outcome::Failed && same;
    let summary = || format!("{} (seen on the leg behind the proxy)", inner.summary).into();
    if dropped || (same && inner.cause.is_some()) {
        return Verdict {
            outcome: if dropped { Outcome::Failed } else { verdict.outcome },
            summary: summary(),
            ..inner.clone()
        };
    }
    if gave_way && !vague(inner.cause) {
        return Verdict {
            outcome: verdict.outcome,
            confidence: inner.confidence.map(|sure| sure.min(Confidence::Likely)),
            summary: summary(),
            server: verdict.server,
            ..inner.clone()
        };
    }
    unexplained(verdict, behind.status)
}

/// What the leg behind the proxy was answered, beside what the proxy made of it.
fn unexplained(mut verdict: Verdict, status: Option<u16>) -> Verdict {
    let lost_between = matches!(
        verdict.cause,
        Some(
            Cause::Unanswered | Cause::TimedOut | Cause::ClientGaveUp | Cause::UpstreamUnavailable
        )
    );
    if lost_between {
        let status = status.map_or_else(|| "(none)".to_owned(), |status| status.to_string());
        verdict.evidence.push(Evidence::new("answer behind the proxy", &status));
    }
    verdict
}
