use std::time::Duration;

use super::{Collect, GROUPS, Report};
use crate::{
    diagnose::Cause,
    event::{
        AcceptedEvent, AcceptedRow, Event, HandshakeEvent, HistoryEvent, Process, RoleName,
        SuppressedEvent,
        sample::{accepted, closure, gave_up, refused, storm},
        timestamp,
    },
};

const START: i64 = 1_777_863_600;

fn at(seconds: f64) -> String {
    let millis = START * 1000 + (seconds * 1000.0).round() as i64;
    timestamp(Duration::from_millis(millis.unsigned_abs()))
}

fn sum(seconds: f64, count: u64) -> Event {
    let row = |path: &str| AcceptedRow {
        role: RoleName::Server,
        origin: Some("https://app.example".to_owned()),
        path: Some(path.to_owned()),
        count,
    };
    Event::Accepted(AcceptedEvent {
        time: at(seconds),
        seconds: 60,
        rows: vec![row("/chat"), row("/feed")],
    })
}

fn failed(seconds: f64) -> HandshakeEvent {
    let started = |name: &str, pid, seconds| {
        Some(Process { started: Some(at(seconds)), ..Process::new(pid, name.to_owned()) })
    };
    HandshakeEvent {
        time: at(seconds),
        id: Some(format!("{seconds:016}")),
        cause: Some(Cause::HostRewritten),
        origin: Some("https://app.example".to_owned()),
        process: started("node", 7, -90_000.0),
        proxy: started("nginx", 9, 3598.5),
        fix: Some("nginx: proxy_set_header Host $http_host".into()),
        ..refused()
    }
}

/// A good hour, a reload of the proxy that breaks one path for ten minutes, and its rollback.
fn incident() -> Collect {
    let mut collect = Collect::default();
    (1..=60).for_each(|minute| collect.add(sum(f64::from(minute) * 60.0, 10)));
    for number in 0..100 {
        collect.add(Event::Handshake(failed(3600.0 + f64::from(number) * 6.0)));
    }
    (61..=80).for_each(|minute| collect.add(sum(f64::from(minute) * 60.0, 5)));
    // Another failure, of a process that shows the rollback.
    let rolled_back = Process { started: Some(at(4200.0)), ..Process::new(10, "nginx".to_owned()) };
    let other = HandshakeEvent {
        path: "/feed".to_owned(),
        proxy: Some(rolled_back),
        process: None,
        ..failed(4700.0)
    };
    collect.add(Event::Handshake(other));
    collect
}

#[test]
fn a_scripted_incident_names_time_cause_path_and_what_changed() {
    let report = incident().report(None);
    assert_eq!((report.failed, report.attempts), (101, 101 + 2 * (600 + 100)));
    let group = &report.groups[0];
    assert_eq!((&*group.key.cause, group.key.path.as_deref()), ("host-rewritten", Some("/chat")));
    assert_eq!((group.count, group.attempts), (100, Some(100 + 700)));
    assert_eq!((&*group.first, &*group.last), (&*at(3600.0), &*at(4194.0)));
    let changes: Vec<_> = group.changes.iter().map(|change| &*change.what).collect();
    assert_eq!(
        changes,
        [
            "the proxy nginx[9] started 1.5 s before the first of these",
            "the proxy nginx[10] started 6.0 s after the last of these",
        ]
    );
    assert_eq!(group.samples.len(), 2);
    assert_eq!(group.time_line.iter().sum::<u64>(), 100);
    let accepted: u64 = report.time_line.iter().map(|slot| slot.accepted).sum();
    assert_eq!(accepted, 1400, "spread, and none lost");
    for text in [report.text(), report.markdown(), report.html(), report.json()] {
        for part in ["host-rewritten", "/chat", "https://app.example", "nginx", "2026-05-04T"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

#[test]
fn of_a_stream_the_last_so_long_is_told() {
    let report = incident().report(Some(Duration::from_secs(900)));
    let group = &report.groups[0];
    assert!(group.count < 100 && group.count > 0, "{}", group.count);
    assert_eq!(group.samples.len(), 1, "the first one is too old");
    assert!(report.from >= at(3800.0), "{}", report.from);
}

#[test]
fn an_origin_that_was_not_there_before_is_told() {
    let mut collect = Collect::default();
    (1..=5).for_each(|minute| collect.add(sum(f64::from(minute) * 60.0, 10)));
    let origin = Some("https://new.example".to_owned());
    collect.add(Event::Handshake(HandshakeEvent { origin, proxy: None, ..failed(250.0) }));
    let report = collect.report(None);
    let changes: Vec<_> = report.groups[0].changes.iter().map(|change| &*change.what).collect();
    assert_eq!(changes, ["nothing came from this origin before"]);
}

#[test]
fn ends_storms_and_what_is_missing_are_told_and_ids_in_paths_are_no_groups() {
    let mut collect = Collect::default();
    for number in 0..50 {
        let path = format!("/rooms/{number}/ws");
        collect.add(Event::Handshake(HandshakeEvent { path, ..refused() }));
    }
    collect.add(Event::Closure(closure()));
    collect.add(Event::Closure(crate::event::ClosureEvent { code: 1000, ..closure() }));
    collect.add(Event::Storm(storm()));
    collect.add(Event::GaveUp(gave_up()));
    collect.add(Event::Suppressed(SuppressedEvent { suppressed: 7, ..SuppressedEvent::default() }));
    collect.add(Event::History(HistoryEvent {
        events: 3,
        forgotten: 2,
        ..HistoryEvent::default()
    }));
    let report = collect.report(None);
    assert_eq!(report.groups.len(), 2);
    assert_eq!(report.groups[0].key.path.as_deref(), Some("/rooms/{id}/ws"));
    assert_eq!((report.groups[0].count, report.groups[0].attempts), (50, None));
    assert_eq!((report.abnormal, report.gave_up, report.left_out), (1, 1, 7));
    let text = report.text();
    for part in ["reconnect storms", "Reconnect storm at", "7 events are missing", "2 older ones"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn nothing_is_a_report_too() {
    let report = Collect::default().report(Some(Duration::from_secs(60)));
    assert!(report.text().contains("0 of 0 handshakes failed (-)"), "{}", report.text());
    assert!(report.html().ends_with("</html>\n"));
}

#[test]
fn groups_are_bounded_and_values_are_no_markup() {
    let hostile = "\u{1b}[2J<script>alert(1)</script>`|](x)\n# h";
    let mut collect = Collect::default();
    for number in 0..2 * GROUPS {
        let origin = Some(format!("{hostile}{number}"));
        let summary = Some(hostile.into());
        let path = format!("/{hostile}");
        collect.add(Event::Handshake(HandshakeEvent { summary, origin, path, ..refused() }));
    }
    let report: Report = collect.report(None);
    assert_eq!((report.groups.len(), report.beyond), (GROUPS, GROUPS as u64));
    for text in [report.text(), report.markdown(), report.html()] {
        assert!(!text.contains('\u{1b}'), "an escape");
        assert!(!text.contains("\n# h"), "a heading");
    }
    let html = report.html();
    assert!(!html.contains("<script"), "markup");
    assert!(!html.contains("http-equiv=\"refresh"));
    // Inside a code span of a table nothing ends it.
    for line in report.markdown().lines().filter(|line| line.starts_with('|')) {
        assert_eq!(line.matches('`').count() % 2, 0, "{line}");
    }
}

#[test]
fn accepted_events_count_where_nothing_is_summed_up() {
    let mut collect = Collect::default();
    collect.add(Event::Handshake(failed(1.0)));
    for number in 0..3 {
        let time = at(f64::from(number));
        collect.add(Event::Handshake(HandshakeEvent { time, ..accepted() }));
    }
    assert_eq!(collect.report(None).groups[0].attempts, Some(4));
}
