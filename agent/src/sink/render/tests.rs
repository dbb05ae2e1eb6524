use super::{Format, safe};
use crate::event::{
    Change, Container, Event, Evidence, HandshakeEvent, HistoryEvent, MissedEvent, Outcome,
    Process, ProxyChange, SuppressedEvent,
    sample::{accepted, closure, gave_up, refused, storm},
};

const PLAIN: Format = Format::Text { colour: false, width: None };

fn text(format: Format, event: &Event) -> String {
    let mut out = Vec::new();
    format.write(event, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_refused_handshake_reads_as_one_line_with_evidence_and_fix_under_it() {
    let event = HandshakeEvent {
        proxy_changes: vec![ProxyChange {
            header: "Host".to_owned(),
            change: Change::Rewrote,
            before: Some("app.example".to_owned()),
            after: Some("backend:8080".to_owned()),
        }],
        ..refused()
    };
    assert_eq!(
        text(PLAIN, &Event::Handshake(event)),
        "2026-05-04T03:02:01.123Z server rejected 403 https://evil.example -> app.example/chat \
         node[42] (ws) origin-not-allowed (certain)\n    \
         evidence  Origin: https://evil.example\n    \
         proxy     rewrote Host: app.example became backend:8080\n    \
         fix       add the origin to the server's allow-list\n"
    );
}

#[test]
fn pods_and_containers_are_named_at_both_ends() {
    let container = |pod: Option<&str>| Container {
        id: "0b8a6c9d1e2f30415263748596a7b8c9dae0f1021324354657687980a1b2c3d4".to_owned(),
        pod: pod.map(str::to_owned),
        namespace: pod.map(|_| "shop".to_owned()),
        ..Container::default()
    };
    let event = HandshakeEvent {
        container: Some(container(Some("chat-0"))),
        peer_container: Some(container(None)),
        ..refused()
    };
    let shown = text(PLAIN, &Event::Handshake(event.clone()));
    assert!(shown.contains(" node[42] (ws) in pod shop/chat-0 "), "{shown}");
    assert!(shown.contains("\n    from      in container 0b8a6c9d1e2f\n"), "{shown}");
    let event = HandshakeEvent {
        proxy: Some(Process::new(7, "nginx".to_owned())),
        proxy_container: Some(container(Some("ingress"))),
        ..event
    };
    let shown = text(PLAIN, &Event::Handshake(event));
    assert!(shown.contains("\n    from      nginx[7] in pod shop/ingress\n"), "{shown}");
    let unit = Some("chat.service".to_owned());
    let shown = text(PLAIN, &Event::Handshake(HandshakeEvent { unit, ..refused() }));
    assert!(shown.contains(" node[42] (ws) in chat.service "), "{shown}");
}

#[test]
fn an_accepted_handshake_a_closure_and_missed_events_are_one_line_each() {
    for (event, want) in [
        (
            Event::Handshake(accepted()),
            "2026-05-04T03:02:01.123Z server accepted 101 https://app.example -> app.example/chat \
             node[42] (ws)\n",
        ),
        (
            Event::Closure(closure()),
            "2026-05-04T03:02:01.123Z server closed 1006 by peer (fin) https://app.example -> \
             /chat after 61.0s, idle 60.0s, 3 in, 4 out\n",
        ),
        (
            Event::History(HistoryEvent {
                since: Some("2026-05-04T03:02:01Z".to_owned()),
                events: 7,
                forgotten: 2,
            }),
            "-- the agent remembers 7 events, back to 2026-05-04T03:02:01Z; 2 older ones are forgotten \
             (--history-bytes)\n",
        ),
        (
            Event::Suppressed(SuppressedEvent {
                time: "2026-05-04T03:02:01Z".to_owned(),
                suppressed: 9,
                causes: [("forbidden".to_owned(), 9)].into(),
            }),
            "2026-05-04T03:02:01Z 9 events not written (--events-rate): forbidden 9\n",
        ),
        (
            Event::Storm(storm()),
            "2026-05-04T03:02:01.123Z server reconnect storm: 120 connections ended together, 110 handshakes \
             within 4.5s, 20 failed https://app.example after 1006 by local (fin)\n",
        ),
        (
            Event::GaveUp(gave_up()),
            "2026-05-04T03:02:01.123Z server gave up after 4 attempts in 7.5s https://app.example -> /chat \
             origin-not-allowed\n",
        ),
        (Event::Missed(MissedEvent { missed: 12 }), "12 events missed: this reader was too slow\n"),
    ] {
        assert_eq!(text(PLAIN, &event), want);
    }
}

#[test]
fn what_is_absent_is_told_as_absent() {
    let event = HandshakeEvent {
        outcome: Outcome::TimedOut,
        status: None,
        origin: None,
        host: None,
        process: None,
        server: None,
        cause: None,
        evidence: Vec::new(),
        fix: None,
        ..refused()
    };
    assert_eq!(
        text(PLAIN, &Event::Handshake(event)),
        "2026-05-04T03:02:01.123Z server timed-out (no origin) -> (no host)/chat\n"
    );
}

/// Everything that a client, a server or a process can choose, hostile.
fn hostile() -> HandshakeEvent {
    let bad = "\u{1b}]0;owned\u{7}\u{1b}[2J\r\n\u{9b}31m\u{202e}\u{200b}\0x";
    let mut event = refused();
    event.origin = Some(bad.to_owned());
    event.host = Some(bad.to_owned());
    event.path = format!("/{bad}");
    event.server = Some(bad.to_owned());
    event.summary = Some(bad.to_owned().into());
    event.fix = Some(bad.to_owned().into());
    event.time = bad.to_owned();
    event.evidence = vec![Evidence { name: bad.to_owned().into(), value: bad.repeat(1000) }];
    event.proxy_changes = vec![ProxyChange {
        header: bad.to_owned(),
        change: Change::Added,
        before: None,
        after: Some(bad.to_owned()),
    }];
    if let Some(process) = &mut event.process {
        process.name = bad.to_owned();
    }
    event
}

#[test]
fn hostile_values_never_reach_the_terminal_as_they_are() {
    let mut end = closure();
    end.origin = hostile().origin;
    end.path = hostile().origin;
    end.reason = hostile().origin;
    for event in [Event::Handshake(hostile()), Event::Closure(end)] {
        for width in [None, Some(80)] {
            let shown = text(Format::Text { colour: false, width }, &event);
            let bad = |character: &char| {
                *character != '\n'
                    && (character.is_control() || ['\u{202e}', '\u{200b}'].contains(character))
            };
            assert_eq!(shown.chars().find(bad), None, "{shown:?}");
            assert!(shown.len() < 4_000, "{}", shown.len());
        }
    }
    let lines = text(PLAIN, &Event::Handshake(hostile())).lines().count();
    assert_eq!(lines, 5, "a line feed in a value must not make a line");
}

#[test]
fn json_is_one_line_whatever_the_values_are() {
    let event = Event::Handshake(hostile());
    let shown = text(Format::Json, &event);
    assert_eq!(shown.matches('\n').count(), 1);
    assert!(!shown.contains('\u{1b}'));
    assert_eq!(serde_json::from_str::<Event>(&shown).unwrap(), event);
}

#[test]
fn colour_changes_nothing_but_the_colour() {
    let event = Event::Handshake(refused());
    let coloured = text(Format::Text { colour: true, width: None }, &event);
    assert!(coloured.contains("\u{1b}[31m"), "{coloured:?}");
    let mut bare = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        bare += before;
        rest = after.split_once('m').unwrap().1;
    }
    assert_eq!(bare + rest, text(PLAIN, &event));
}

#[test]
fn a_terminal_gets_lines_that_fit() {
    let mut event = refused();
    event.fix = Some("set the header again in the proxy ".repeat(6).into());
    for colour in [false, true] {
        let shown =
            text(Format::Text { colour, width: Some(60) }, &Event::Handshake(event.clone()));
        for line in shown.lines() {
            assert!(textwrap::core::display_width(line) <= 60, "{line:?}");
        }
    }
}

#[test]
fn a_value_is_cut_at_its_bound() {
    assert_eq!(safe("abcdef", 6), "abcdef");
    assert_eq!(safe("abcdefg", 6), "abcdef…");
    assert_eq!(safe("ünï", 2), "ün…");
    assert_eq!(safe("\"quoted\" it's", 80), "\"quoted\" it's");
    assert_eq!(safe("back\\slash", 80), "back\\\\slash");
}
