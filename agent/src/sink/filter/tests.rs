use clap::Parser;

use super::{Filter, matches};
use crate::event::{
    Event, HandshakeEvent, MissedEvent, Outcome, RoleName,
    sample::{accepted, closure, refused},
};

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    filter: Filter,
}

fn filter(flags: &str) -> Filter {
    Flags::try_parse_from(["test"].into_iter().chain(flags.split_whitespace())).unwrap().filter
}

fn passes(flags: &str, event: &HandshakeEvent) -> bool {
    filter(flags).passes(&Event::Handshake(event.clone()))
}

#[test]
fn only_what_is_known_to_have_failed_unless_all() {
    for (outcome, failed) in [
        (Outcome::Accepted, false),
        (Outcome::Failed, true),
        (Outcome::Rejected, true),
        (Outcome::Unanswered, true),
        (Outcome::TimedOut, true),
        (Outcome::Unobserved, false),
    ] {
        let event = HandshakeEvent { outcome, ..refused() };
        assert_eq!(passes("", &event), failed, "{outcome:?}");
        assert!(passes("--all", &event), "{outcome:?}");
    }
}

#[test]
fn each_filter_narrows_and_its_values_are_alternatives() {
    let event = refused();
    for (flags, want) in [
        ("--origin https://evil.example", true),
        ("--origin HTTPS://Evil.example:443", true),
        ("--origin https://other.example,https://evil.example", true),
        ("--origin https://*.example", true),
        ("--origin https://other.example", false),
        ("--origin none", false),
        ("--path /chat", true),
        ("--path /ch*", true),
        ("--path /ch", false),
        ("--path /other --path /chat", true),
        ("--status 403", true),
        ("--status 4xx", true),
        ("--status 4XX,500", true),
        ("--status 5xx", false),
        ("--status none", false),
        ("--cause origin-not-allowed", true),
        ("--cause unknown,origin-not-allowed", true),
        ("--cause unknown", false),
        ("--role server", true),
        ("--role client", false),
        ("--role server,client", true),
        ("--status 403 --path /chat --cause origin-not-allowed", true),
        ("--status 403 --path /other", false),
    ] {
        assert_eq!(passes(flags, &event), want, "{flags}");
    }
}

#[test]
fn absent_values_have_names() {
    let event = HandshakeEvent {
        origin: None,
        status: None,
        cause: None,
        role: RoleName::Client,
        ..refused()
    };
    for (flags, want) in [
        ("--origin none", true),
        ("--origin null", false),
        ("--origin *", false),
        ("--status none", true),
        ("--status 403", false),
        ("--cause unknown", false),
        ("--role client", true),
    ] {
        assert_eq!(passes(flags, &event), want, "{flags}");
    }
    let null = HandshakeEvent { origin: Some("null".to_owned()), ..event };
    assert!(passes("--origin null", &null));
    assert!(!passes("--origin none", &null));
}

#[test]
fn closures_come_when_asked_for_and_obey_the_filters_that_speak_of_them() {
    let event = Event::Closure(closure());
    for (flags, want) in [
        ("", false),
        ("--all", false),
        ("--closures", true),
        ("--closures --origin https://app.example", true),
        ("--closures --origin https://other.example", false),
        ("--closures --path /chat", true),
        ("--closures --path /other", false),
        ("--closures --role client", false),
        ("--closures --status 403 --cause unknown", true),
    ] {
        assert_eq!(filter(flags).passes(&event), want, "{flags}");
    }
}

#[test]
fn what_was_missed_is_always_told() {
    let missed = Event::Missed(MissedEvent { missed: 3 });
    assert!(filter("--cause unknown --path /x").passes(&missed));
    assert!(!Filter::default().passes(&Event::Handshake(accepted())));
}

#[test]
fn a_wrong_value_is_refused_with_the_nearest_name() {
    let message = |flags: &[&str]| {
        let arguments = ["test"].iter().chain(flags).copied();
        Flags::try_parse_from(arguments).err().map(|error| error.to_string()).unwrap_or_default()
    };
    let cause = message(&["--cause", "origin-not-alowed"]);
    assert!(cause.contains("a similar value exists: 'origin-not-allowed'"), "{cause}");
    for status in ["abc", "0", "99", "1000", "xx", "0xx", "40x", "+5xx1"] {
        assert!(message(&["--status", status]).contains("write a code (403)"), "{status}");
    }
    assert!(message(&["--role", "servr"]).contains("'server'"));
}

#[test]
fn a_filter_survives_the_socket() {
    let given = filter("--all --closures --origin none --status 4xx --cause unknown --role client");
    let text = serde_json::to_string(&given).unwrap();
    assert_eq!(serde_json::from_str::<Filter>(&text).unwrap(), given);
    assert_eq!(serde_json::from_str::<Filter>("{}").unwrap(), Filter::default());
    assert!(serde_json::from_str::<Filter>("{\"everything\":true}").is_err());
}

#[test]
fn a_star_stands_for_any_text() {
    for (pattern, text, want) in [
        ("*", "", true),
        ("*", "/x", true),
        ("/a/*", "/a/", true),
        ("/a/*/c", "/a/b/c", true),
        ("/a/*/c", "/a/c", false),
        ("a*a", "a", false),
        ("*a*b*", "xaxbx", true),
        ("*a*b*", "xbxax", false),
        ("**", "x", true),
        ("", "", true),
        ("", "x", false),
    ] {
        assert_eq!(matches(pattern, text), want, "{pattern} {text}");
    }
}
