//! From what was seen to what is said: the last step that a live capture and a replay share.
//!
//! In: observations in the order in which they were made. Out: events, without process and container.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use crate::{
    config::OriginPolicy,
    diagnose::{
        Outcome, Scene,
        ending::{Endings, Why},
        legs::{Joined, Legs},
        population::Population,
    },
    event::{ClosureEvent, Event, HandshakeEvent, origin},
    handshake::{Answer, Closure, Connection, Exchange, Observation, Role},
    http::{answer_text, headless_text},
    retries::Retries,
};

/// Judges observations with the configured policy and with what others show.
#[derive(Debug, Default)]
pub struct Judge {
    telling: Telling,
    population: Population,
    legs: Legs,
    endings: Endings,
    retries: Retries,
}

/// An event, and the connections whose owners are not named in it yet.
#[derive(Debug)]
pub struct Judged {
    /// What is said.
    pub event: Event,
    /// The connection that it is about: its local end's owner is the event's `process`.
    pub connection: Connection,
    /// The leg into the proxy that made the `proxy_changes`: its local end's owner is the event's `proxy`.
    pub proxy: Option<Connection>,
    /// Who is there, for the advice: it is chosen anew when the processes are known.
    pub scene: Option<Scene>,
}

/// What is configured about events.
#[derive(Debug, Default)]
struct Telling {
    policy: OriginPolicy,
    answer_text: bool,
}

type Out<'a> = &'a mut dyn FnMut(Judged);

fn is_switch(exchange: &Exchange) -> bool {
    matches!(&exchange.answer, Answer::Response(response) if response.status == 101)
}

impl Judge {
    /// A judge that has seen nothing yet.
    pub fn new(policy: OriginPolicy) -> Self {
        Self { telling: Telling { policy, answer_text: true }, ..Self::default() }
    }

    /// Whether events show a line of what a server said.
    #[must_use]
    pub fn with_answer_text(mut self, shown: bool) -> Self {
        self.telling.answer_text = shown;
        self
    }

    /// Takes an observation. A failed handshake is told a moment later
    /// ([`HOLD`](crate::diagnose::legs::HOLD)), when its other legs are known, and so is an abnormal end by
    /// the server's side ([`HOLD`](crate::diagnose::ending::HOLD)), when it is known what ended with it.
    pub fn observe(&mut self, observation: Observation, out: Out<'_>) {
        match observation {
            Observation::Exchange(exchange) => {
                let Self { telling, population, legs, retries, .. } = self;
                let switched = is_switch(&exchange);
                if !switched {
                    population.observe(&exchange, false);
                }
                let opened = switched.then(|| exchange.clone());
                let others = |exchange: &Exchange| population.evidence(exchange);
                let outcome = legs
                    .take(exchange, &others, &mut |joined| out(judged(telling, retries, joined)));
                if let Some(exchange) = opened {
                    population.observe(&exchange, outcome == Outcome::Accepted);
                }
            }
            Observation::Switched(switched) => self.legs.switched(switched),
            Observation::Closure(closure) => {
                let retries = &mut self.retries;
                self.endings.take(closure, &mut |closure, why| out(ended(retries, closure, why)));
            }
        }
    }

    /// The time is `now`, since the Unix epoch: tells what waited long enough.
    pub fn tick(&mut self, now: Duration, out: Out<'_>) {
        let Self { telling, population, legs, endings, retries } = self;
        let others = |exchange: &Exchange| population.evidence(exchange);
        legs.tick(now, &others, &mut |joined| out(judged(telling, retries, joined)));
        endings.tick(now, &mut |closure, why| out(ended(retries, closure, why)));
        retries.tick(now, &mut |event| out(of_many(event)));
    }

    /// Nothing more will come: tells everything.
    pub fn finish(&mut self, out: Out<'_>) {
        let Self { telling, population, legs, endings, retries } = self;
        let others = |exchange: &Exchange| population.evidence(exchange);
        legs.finish(&others, &mut |joined| out(judged(telling, retries, joined)));
        endings.finish(&mut |closure, why| out(ended(retries, closure, why)));
    }

    /// How much was forgotten, or not remembered, at a bound of what others show.
    pub fn forgotten(&self) -> u64 {
        self.population.forgotten()
            + self.legs.forgotten()
            + self.endings.forgotten()
            + self.retries.forgotten()
    }
}

fn ended(retries: &mut Retries, closure: Closure, why: Option<Why>) -> Judged {
    let event = ClosureEvent::new(&closure, why);
    retries.closure(&closure, &event);
    Judged {
        event: Event::Closure(event),
        connection: closure.connection,
        proxy: None,
        scene: None,
    }
}

/// An event of no single connection.
fn of_many(event: Event) -> Judged {
    let nowhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    let connection = Connection {
        cookie: 0,
        role: Role::Server,
        local: nowhere,
        peer: nowhere,
        cgroup: 0,
        holder: None,
    };
    Judged { event, connection, proxy: None, scene: None }
}

fn judged(telling: &Telling, retries: &mut Retries, joined: Joined) -> Judged {
    let policy = telling.policy.judge(origin(&joined.exchange.request.headers).as_deref());
    let scene =
        Scene::of(&joined.exchange.request, &joined.verdict, joined.in_front, joined.relayed);
    let mut event = HandshakeEvent::new(&joined.exchange, joined.verdict, policy);
    event.proxy_changes = joined.changes;
    event.answer_text = match &joined.exchange.answer {
        _ if !telling.answer_text => None,
        Answer::Response(response) if response.status != 101 => answer_text(response),
        Answer::Malformed(bytes) => headless_text(bytes),
        _ => None,
    };
    retries.handshake(&joined.exchange, &mut event);
    event.fix = event.fix.or_else(|| scene.as_ref().and_then(Scene::fix));
    Judged {
        event: Event::Handshake(event),
        connection: joined.exchange.connection,
        proxy: joined.proxy,
        scene,
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::Judge;
    use crate::{
        config::OriginPolicy,
        diagnose::Cause,
        event::{Event, HandshakeEvent, Outcome, Policy, RoleName, Scheme},
        handshake::{Answer, CloseBy, Connection, End, Exchange, Observation, Role},
        http::{Headers, RequestHead, ResponseHead, Version},
    };

    fn exchange(headers: &[(&str, &str)], answer: Answer) -> Exchange {
        let mut all = Headers::default();
        for (name, value) in headers {
            all.push(name, value);
        }
        Exchange {
            connection: Connection {
                cookie: 1,
                role: Role::Server,
                local: "127.0.0.1:8080".parse().unwrap(),
                peer: "127.0.0.1:40000".parse().unwrap(),
                cgroup: 0,
                holder: None,
            },
            time: Duration::from_micros(1_777_863_721_123_456),
            request: Arc::new(RequestHead {
                method: "GET".into(),
                path: "/chat".into(),
                names_session: false,
                version: Version::Http11,
                headers: all,
                key: None,
                subprotocols: Vec::new(),
                defect: None,
                malformed: Vec::new(),
            }),
            answer,
            duration: Duration::from_micros(1500),
            opening: None,
        }
    }

    fn response(status: u16) -> Answer {
        Answer::Response(ResponseHead {
            version: Version::Http11,
            status,
            reason: "".into(),
            headers: Headers::default(),
            subprotocols: Vec::new(),
            body: Box::default(),
            truncated: false,
        })
    }

    fn judge(exchange: Exchange) -> HandshakeEvent {
        let policy = OriginPolicy::new(&["https://app\\.example".to_owned()]).unwrap();
        let mut judge = Judge::new(policy);
        let mut told = Vec::new();
        judge.observe(Observation::Exchange(exchange), &mut |judged| told.push(judged.event));
        judge.finish(&mut |judged| told.push(judged.event));
        match told.as_slice() {
            [Event::Handshake(event)] => event.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_event_says_what_the_exchange_held() {
        let event = judge(exchange(
            &[
                ("Host", "app.example"),
                ("Origin", "https://app.example"),
                ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-Host", "app.example"),
                ("Sec-WebSocket-Version", "13"),
            ],
            response(426),
        ));
        assert_eq!(event.time, "2026-05-04T03:02:01.123456Z");
        assert_eq!((event.role, event.outcome), (RoleName::Server, Outcome::Rejected));
        assert_eq!(event.status, Some(426));
        assert_eq!(event.cause, Some(Cause::UpgradeStripped));
        assert_eq!(event.origin.as_deref(), Some("https://app.example"));
        assert_eq!(event.host.as_deref(), Some("app.example"));
        assert_eq!(event.path, "/chat");
        assert_eq!(event.forwarded_proto.as_deref(), Some("https"));
        assert_eq!(event.forwarded_host.as_deref(), Some("app.example"));
        assert_eq!((event.scheme, event.policy), (Scheme::Wss, Policy::Allowed));
        assert_eq!(event.duration_us, 1500);
        assert_eq!((&*event.local, &*event.peer), ("127.0.0.1:8080", "127.0.0.1:40000"));
    }

    #[test]
    fn several_origins_are_joined_and_foreign_and_none_is_neither() {
        let twice = [("Origin", "https://app.example"), ("Origin", "https://app.example")];
        let event = judge(exchange(&twice, response(403)));
        assert_eq!(event.origin.as_deref(), Some("https://app.example, https://app.example"));
        assert_eq!(event.policy, Policy::Foreign);
        let event = judge(exchange(&[], response(403)));
        assert_eq!((event.origin, event.policy), (None, Policy::None));
    }

    #[test]
    fn without_an_answer_there_is_no_status() {
        let closed = Answer::Closed { by: CloseBy::Fin, initiator: End::Local };
        for (answer, outcome) in [
            (closed, Outcome::Unanswered),
            (Answer::TimedOut, Outcome::TimedOut),
            (Answer::Unobserved, Outcome::Unobserved),
        ] {
            let event = judge(exchange(&[("Host", "app.example")], answer));
            assert_eq!((event.outcome, event.status), (outcome, None));
        }
    }
}
