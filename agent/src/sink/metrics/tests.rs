use std::{
    io::Write as _,
    process::{Command, Stdio},
    time::Duration,
};

use super::{Format, MAX_CLOSE_CODES, MAX_SERIES, MAX_WORKLOADS, Metrics};
use crate::{
    config::{CaptureOptions, JudgeOptions, ServeOptions, Settings},
    diagnose::Cause,
    event::{
        ClosureEvent, Container, Event, HandshakeEvent, Outcome, Policy, RoleName, Workload,
        sample::{accepted, closure, gave_up, refused, storm},
    },
    sink::{
        stats::{AgentStats, HookStats, Outputs, ProgramStats, TableStats},
        tail::TailStats,
    },
};

fn settings(options: ServeOptions) -> Settings {
    Settings::resolve(options, Some("/dev/null".as_ref())).unwrap()
}

fn metrics(max_origins: usize) -> Metrics {
    let options = ServeOptions { max_origins: Some(max_origins), ..ServeOptions::default() };
    Metrics::new(&settings(options)).unwrap()
}

fn render(metrics: &Metrics) -> String {
    metrics.render(&AgentStats::default(), TailStats::default(), &[], Format::Text).unwrap()
}

/// The value of the one series that has this name and all of these labels.
fn value(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let mut found = text
        .lines()
        .filter(|line| line.split(['{', ' ']).next() == Some(name))
        .filter(|line| labels.iter().all(|label| line.contains(label)));
    let line = found.next()?;
    assert_eq!(found.next(), None, "more than one series for {name} {labels:?}");
    line.rsplit_once(' ').unwrap().1.parse().ok()
}

fn series(text: &str, name: &str) -> usize {
    text.lines().filter(|line| line.split(['{', ' ']).next() == Some(name)).count()
}

fn from(origin: Option<&str>) -> Event {
    Event::Handshake(HandshakeEvent { origin: origin.map(str::to_owned), ..refused() })
}

#[test]
fn a_handshake_is_counted_with_all_its_labels() {
    let metrics = metrics(200);
    metrics.count(&Event::Handshake(refused()));
    metrics.count(&Event::Handshake(refused()));
    metrics.count(&Event::Handshake(accepted()));
    let text = render(&metrics);
    assert!(
        text.contains(
            "ws_handshakes_total{cause=\"origin-not-allowed\",origin=\"https://evil.example\",\
             outcome=\"rejected\",policy=\"none\",scheme=\"wss\",status=\"403\"} 2\n"
        ),
        "{text}"
    );
    assert_eq!(
        value(&text, "ws_handshakes_total", &["cause=\"none\"", "status=\"101\""]),
        Some(1.0)
    );
    let rejected = value(&text, "ws_handshake_duration_seconds_sum", &["outcome=\"rejected\""]);
    assert!((rejected.unwrap() - 0.003).abs() < 1e-9);
    assert_eq!(
        value(&text, "wstap_events_total", &["type=\"handshake\"", "role=\"server\""]),
        Some(3.0)
    );
}

#[test]
fn only_the_roles_asked_for_are_counted() {
    let client = Event::Handshake(HandshakeEvent { role: RoleName::Client, ..refused() });
    let closure = Event::Closure(ClosureEvent { role: RoleName::Client, ..closure() });
    let server_only = metrics(200);
    let roles = vec![RoleName::Server, RoleName::Client];
    let both = Metrics::new(&settings(ServeOptions { roles, ..ServeOptions::default() })).unwrap();
    for metrics in [&server_only, &both] {
        metrics.count(&client);
        metrics.count(&closure);
    }
    let (server_only, both) = (render(&server_only), render(&both));
    assert_eq!(series(&server_only, "ws_handshakes_total"), 0);
    assert_eq!(series(&server_only, "ws_closures_total"), 0);
    assert_eq!(
        value(&server_only, "wstap_events_total", &["type=\"handshake\"", "role=\"client\""]),
        Some(1.0)
    );
    assert_eq!(series(&both, "ws_handshakes_total"), 1);
    assert_eq!(series(&both, "ws_closures_total"), 1);
}

#[test]
fn origins_beyond_the_cap_fold_into_other_and_are_counted() {
    let metrics = metrics(3);
    for host in ["a", "b", "c", "d", "e", "a", "d"] {
        metrics.count(&from(Some(&format!("https://{host}.example"))));
    }
    for special in [None, Some("null"), Some("no origin"), Some("https://A.example:443")] {
        metrics.count(&from(special));
    }
    let text = render(&metrics);
    for (origin, want) in [
        ("https://a.example", 3.0),
        ("https://b.example", 1.0),
        ("https://c.example", 1.0),
        ("other", 3.0),
        ("none", 1.0),
        ("null", 1.0),
        ("malformed", 1.0),
    ] {
        let label = format!("origin=\"{origin}\"");
        assert_eq!(value(&text, "ws_handshakes_total", &[&label]), Some(want), "{origin}");
    }
    assert_eq!(series(&text, "ws_handshakes_total"), 7);
    assert_eq!(value(&text, "wstap_origins_folded_total", &[]), Some(3.0));
}

#[test]
fn a_hundred_thousand_hostile_origins_stay_within_the_cap() {
    let metrics = metrics(200);
    for number in 0..100_000 {
        metrics.count(&from(Some(&format!("https://{number}.example"))));
    }
    let text = render(&metrics);
    assert_eq!(series(&text, "ws_handshakes_total"), 201);
    assert_eq!(value(&text, "ws_handshakes_total", &["origin=\"other\""]), Some(99_800.0));
}

#[test]
fn foreign_origins_leave_places_for_our_own() {
    let judge = JudgeOptions {
        allow_origin: vec![r"https://[a-z]\.example".to_owned()],
        ..JudgeOptions::default()
    };
    let options = ServeOptions { max_origins: Some(5), ..judge.into() };
    let metrics = Metrics::new(&settings(options)).unwrap();
    let count = |origin: String, policy| {
        let origin = Some(origin);
        metrics.count(&Event::Handshake(HandshakeEvent { origin, policy, ..refused() }));
    };
    (0..100).for_each(|number| count(format!("https://{number}.invalid"), Policy::Foreign));
    let open: Vec<_> = (0..100)
        .map(|number| format!("https://{number}.invalid"))
        .map(|origin| metrics.connection_opened(RoleName::Server, Some(&origin)))
        .collect();
    assert_eq!(series(&render(&metrics), "ws_handshakes_total"), 3 + 1);
    // And `unseen`, which is always there.
    assert_eq!(series(&render(&metrics), "ws_connections_active"), 3 + 1 + 1);
    count("https://a.example".to_owned(), Policy::Allowed);
    let _own = metrics.connection_opened(RoleName::Server, Some("https://b.example"));
    let text = render(&metrics);
    let own = value(&text, "ws_handshakes_total", &["origin=\"https://a.example\""]);
    assert_eq!(own, Some(1.0));
    let own = value(&text, "ws_connections_active", &["origin=\"https://b.example\""]);
    assert_eq!(own, Some(1.0));
    drop(open);
}

#[test]
fn a_family_stays_bounded_whatever_its_labels_could_make() {
    let metrics = metrics(2_000);
    for number in 0..2_000 {
        for status in 400..410 {
            metrics.count(&Event::Handshake(HandshakeEvent {
                origin: Some(format!("https://{number}.example")),
                status: Some(status),
                ..refused()
            }));
        }
    }
    let text = render(&metrics);
    assert_eq!(series(&text, "ws_handshakes_total"), MAX_SERIES + 1);
    assert_eq!(
        value(&text, "ws_handshakes_total", &["origin=\"other\"", "status=\"other\""]),
        Some(10_000.0)
    );
    let folded = value(&text, "wstap_labels_folded_total", &["what=\"ws_handshakes_total\""]);
    assert_eq!(folded, Some(10_000.0));
}

fn by_workload(cri_socket: Option<&str>) -> Metrics {
    let cri_socket = cri_socket.map(Into::into);
    let capture = CaptureOptions { cri_socket, ..CaptureOptions::default() };
    let options = ServeOptions { workload_labels: Some(true), ..capture.into() };
    Metrics::new(&settings(options)).unwrap()
}

fn in_workload(namespace: &str, workload: &str) -> Container {
    Container {
        namespace: Some(namespace.to_owned()),
        workload: Some(workload.to_owned()),
        ..Container::default()
    }
}

#[test]
fn workloads_are_labels_only_when_asked_for() {
    let event = Event::Handshake(HandshakeEvent {
        container: Some(in_workload("shop", "chat")),
        ..refused()
    });
    let closure = Event::Closure(ClosureEvent { unit: Some("chat.service".into()), ..closure() });
    let (without, with) = (metrics(200), by_workload(Some("/run/c.sock")));
    for metrics in [&without, &with] {
        metrics.count(&event);
        metrics.count(&closure);
    }
    assert!(!render(&without).contains("workload="));
    let text = render(&with);
    let labels = ["namespace=\"shop\"", "workload=\"chat\"", "status=\"403\""];
    assert_eq!(value(&text, "ws_handshakes_total", &labels), Some(1.0));
    let labels = ["namespace=\"none\"", "workload=\"chat.service\"", "code=\"1006\""];
    assert_eq!(value(&text, "ws_closures_total", &labels), Some(1.0));
}

#[test]
fn a_workload_that_has_gone_takes_its_series_with_it_and_no_others() {
    let metrics = by_workload(Some("/run/c.sock"));
    let count = |workload: &str| {
        let container = Some(in_workload("shop", workload));
        metrics.count(&Event::Handshake(HandshakeEvent { container, ..refused() }));
        let container = Some(in_workload("shop", workload));
        metrics.count(&Event::Closure(ClosureEvent { container, ..closure() }));
    };
    (0..3).for_each(|_| count("chat"));
    (0..2).for_each(|_| count("front"));
    metrics.forget(&Workload { namespace: "shop".into(), name: "chat".into() });
    metrics.forget(&Workload { namespace: "shop".into(), name: "never-there".into() });
    let text = render(&metrics);
    for name in ["ws_handshakes_total", "ws_closures_total"] {
        assert_eq!(value(&text, name, &["workload=\"chat\""]), None, "{name}");
        assert_eq!(value(&text, name, &["workload=\"front\""]), Some(2.0), "{name}");
    }
    // It comes back as a new series, which Prometheus takes for a restarted counter.
    count("chat");
    let again = value(&render(&metrics), "ws_handshakes_total", &["workload=\"chat\""]);
    assert_eq!(again, Some(1.0));
}

#[test]
fn workloads_beyond_the_cap_fold_and_those_that_went_leave_their_places() {
    let metrics = by_workload(Some("/run/c.sock"));
    let count = |number: usize| {
        let container = Some(in_workload("shop", &number.to_string()));
        metrics.count(&Event::Handshake(HandshakeEvent { container, ..refused() }));
    };
    (0..MAX_WORKLOADS + 10).for_each(count);
    let text = render(&metrics);
    assert_eq!(series(&text, "ws_handshakes_total"), MAX_WORKLOADS + 1);
    let other = ["namespace=\"other\"", "workload=\"other\"", "origin=\"https://evil.example\""];
    assert_eq!(value(&text, "ws_handshakes_total", &other), Some(10.0));
    let folded = value(&text, "wstap_labels_folded_total", &["what=\"workload\""]);
    assert_eq!(folded, Some(10.0));
    // Not known yet takes no place.
    let container = Some(Container::default());
    metrics.count(&Event::Handshake(HandshakeEvent { container, ..refused() }));
    let unknown = ["namespace=\"unknown\"", "workload=\"unknown\""];
    assert_eq!(value(&render(&metrics), "ws_handshakes_total", &unknown), Some(1.0));
    metrics.forget(&Workload { namespace: "shop".into(), name: "0".into() });
    count(MAX_WORKLOADS + 1);
    let label = format!("workload=\"{}\"", MAX_WORKLOADS + 1);
    assert_eq!(value(&render(&metrics), "ws_handshakes_total", &[&label]), Some(1.0));
}

#[test]
fn paths_are_counted_only_when_asked_for_with_ids_masked() {
    let count = |metrics: &Metrics, path: &str, handshake: HandshakeEvent| {
        metrics.count(&Event::Handshake(HandshakeEvent { path: path.to_owned(), ..handshake }));
    };
    let none = metrics(200);
    count(&none, "/chat", refused());
    assert_eq!(series(&render(&none), "ws_handshakes_by_path_total"), 0);
    let options = ServeOptions { max_paths: Some(4), ..ServeOptions::default() };
    let metrics = Metrics::new(&settings(options)).unwrap();
    for number in 0..100 {
        count(&metrics, &format!("/rooms/{number}/ws"), refused());
        count(&metrics, &format!("/made-up-{number}"), refused());
    }
    // Half of the places are for paths on which somebody was accepted.
    count(&metrics, "/chat", accepted());
    count(&metrics, "/chat", refused());
    let text = render(&metrics);
    for (labels, want) in [
        (["path=\"/rooms/{id}/ws\"", "status=\"403\""], 100.0),
        (["path=\"/made-up-0\"", "status=\"403\""], 1.0),
        (["path=\"other\"", "status=\"403\""], 99.0),
        (["path=\"/chat\"", "status=\"101\""], 1.0),
        (["path=\"/chat\"", "status=\"403\""], 1.0),
    ] {
        assert_eq!(value(&text, "ws_handshakes_by_path_total", &labels), Some(want), "{labels:?}");
    }
    assert_eq!(series(&text, "ws_handshakes_by_path_total"), 5);
    let folded = value(&text, "wstap_labels_folded_total", &["what=\"path\""]);
    assert_eq!(folded, Some(99.0));
}

#[test]
fn a_status_that_http_does_not_know_is_none() {
    let metrics = metrics(200);
    for status in [Some(99), Some(600), Some(999), None] {
        metrics.count(&Event::Handshake(HandshakeEvent { status, ..refused() }));
    }
    let text = render(&metrics);
    assert_eq!(value(&text, "ws_handshakes_total", &["status=\"none\""]), Some(4.0));
    assert_eq!(series(&text, "ws_handshakes_total"), 1);
}

#[test]
fn close_codes_that_a_peer_makes_up_fold_into_other() {
    let metrics = metrics(200);
    let close = |code| metrics.count(&Event::Closure(ClosureEvent { code, ..closure() }));
    (4000..4100).for_each(close);
    (1000..1016).for_each(close);
    let text = render(&metrics);
    assert_eq!(series(&text, "ws_closures_total"), MAX_CLOSE_CODES + 16 + 1);
    let other = value(&text, "ws_closures_total", &["code=\"other\"", "initiator=\"peer\""]);
    assert_eq!(other, Some(68.0));
    assert_eq!(value(&text, "ws_connection_duration_seconds_count", &[]), Some(116.0));
    assert_eq!(value(&text, "ws_idle_before_close_seconds_bucket", &["le=\"65\""]), Some(116.0));
    assert_eq!(value(&text, "ws_idle_before_close_seconds_bucket", &["le=\"55\""]), Some(0.0));
}

#[test]
fn an_open_connection_is_active_until_it_is_dropped() {
    let metrics = metrics(1);
    let active = |origin: &str| {
        value(&render(&metrics), "ws_connections_active", &[&format!("origin=\"{origin}\"")])
    };
    let first = metrics.connection_opened(RoleName::Server, Some("https://a.example"));
    let second = metrics.connection_opened(RoleName::Server, Some("https://A.example:443"));
    let folded = metrics.connection_opened(RoleName::Server, Some("https://b.example"));
    let forged = metrics.connection_opened(RoleName::Server, Some("unseen"));
    let client = metrics.connection_opened(RoleName::Client, Some("https://a.example"));
    assert_eq!(active("https://a.example"), Some(2.0));
    assert_eq!(active("other"), Some(1.0));
    assert_eq!(active("malformed"), Some(1.0));
    assert_eq!(active("unseen"), Some(0.0), "not the client's to say");
    drop((second, folded, forged, client));
    assert_eq!(active("https://a.example"), Some(1.0));
    assert_eq!(active("other"), Some(0.0));
    drop(first);
    assert_eq!(active("https://a.example"), Some(0.0));
}

#[test]
fn what_clients_do_after_a_failure_is_counted_by_origin() {
    let metrics = metrics(200);
    metrics.count(&Event::Handshake(HandshakeEvent { attempt: Some(2), ..refused() }));
    metrics.count(&Event::Handshake(refused()));
    metrics.count(&Event::GaveUp(gave_up()));
    metrics.count(&Event::Storm(storm()));
    let text = render(&metrics);
    for (name, origin) in [
        ("ws_retries_total", "https://evil.example"),
        ("ws_clients_gave_up_total", "https://app.example"),
        ("ws_reconnect_storms_total", "https://app.example"),
    ] {
        let labels = format!("origin=\"{origin}\"");
        assert_eq!(value(&text, name, &[&labels]), Some(1.0), "{name}");
    }
}

#[test]
fn openmetrics_has_an_exemplar_on_failures_only() {
    let metrics = metrics(200);
    let failure = HandshakeEvent {
        id: Some("00000000000000ab".to_owned()),
        trace_id: Some("0af7651916cd43dd8448eb211c80319c".to_owned()),
        ..refused()
    };
    metrics.count(&Event::Handshake(HandshakeEvent { id: Some("1".to_owned()), ..refused() }));
    metrics.count(&Event::Handshake(failure));
    metrics.count(&Event::Handshake(HandshakeEvent { id: Some("2".to_owned()), ..accepted() }));
    let render =
        |format| metrics.render(&AgentStats::default(), TailStats::default(), &[], format).unwrap();
    let text = render(Format::OpenMetrics);
    let of = |start: &str| -> Vec<&str> {
        text.lines().filter(|line| line.starts_with(start)).collect()
    };
    let failed: Vec<_> =
        of("ws_handshakes_total{").into_iter().filter(|line| line.contains("403")).collect();
    let [line] = &failed[..] else { panic!("{text}") };
    let exemplar = "# {event_id=\"00000000000000ab\",trace_id=\"0af7651916cd43dd8448eb211c80319c\"} 1.0 1777863721.123";
    assert!(line.ends_with(&format!(" 2 {exemplar}")), "{line}");
    assert_eq!(text.matches(" # {").count(), 1, "{text}");
    assert_eq!(of("# TYPE ws_handshakes counter").len(), 1);
    assert_eq!(
        of("ws_handshake_duration_seconds_bucket{outcome=\"accepted\",le=\"1.0\"} 1").len(),
        1
    );
    assert_eq!(
        of("ws_handshake_duration_seconds_bucket{outcome=\"accepted\",le=\"+Inf\"} 1").len(),
        1
    );
    assert!(text.ends_with("# EOF\n"));
    assert!(!render(Format::Text).contains("event_id"));
}

#[test]
fn the_agent_says_what_it_was_told_of_itself() {
    let stats = AgentStats {
        tls: None,
        hooks: vec![HookStats { family: "probe", sockets: "unix", means: "fentry", used: true }],
        seen: 10,
        delivered: 7,
        lost: vec![("ring-full", 2), ("decode-error", 1)],
        found: 5,
        unseen: vec![(RoleName::Server, 3), (RoleName::Client, 2)],
        h2: vec![(RoleName::Server, "offered", 8)],
        heads_truncated: 4,
        bounds: vec![("pending-handshakes", 5)],
        tables: vec![TableStats { name: "sockets", entries: 6, capacity: 1024 }],
        programs: vec![ProgramStats {
            name: "ingress",
            run_time: Duration::from_millis(1500),
            run_count: 9,
        }],
        outputs: Outputs { remembered: (3, 4, 5), events: vec![("stdout", "sent", 6)] },
    };
    let tail = TailStats { readers: 1, missed: 2, refused: 3, left: 4 };
    let text =
        metrics(200).render(&stats, tail, &[("crowded", 5), ("slow", 6)], Format::Text).unwrap();
    for (name, labels, want) in [
        ("wstap_records_seen_total", "", 10.0),
        ("wstap_records_delivered_total", "", 7.0),
        ("wstap_records_lost_total", "reason=\"ring-full\"", 2.0),
        ("wstap_records_lost_total", "reason=\"decode-error\"", 1.0),
        ("wstap_connections_found_total", "", 5.0),
        ("ws_connections_active", "origin=\"unseen\"", 3.0),
        ("wstap_h2_connections_total", "extended_connect=\"offered\",role=\"server\"", 8.0),
        ("wstap_heads_truncated_total", "", 4.0),
        ("wstap_bounds_reached_total", "bound=\"pending-handshakes\"", 5.0),
        ("wstap_history_events", "", 3.0),
        ("wstap_history_bytes", "", 4.0),
        ("wstap_history_events_forgotten_total", "", 5.0),
        ("wstap_events_out_total", "output=\"stdout\",result=\"sent\"", 6.0),
        ("wstap_map_entries", "map=\"sockets\"", 6.0),
        ("wstap_map_capacity", "map=\"sockets\"", 1024.0),
        ("wstap_program_run_seconds_total", "program=\"ingress\"", 1.5),
        ("wstap_program_runs_total", "program=\"ingress\"", 9.0),
        ("wstap_tail_readers", "", 1.0),
        ("wstap_tail_events_missed_total", "", 2.0),
        ("wstap_tail_readers_refused_total", "", 3.0),
        ("wstap_tail_readers_left_total", "", 4.0),
        ("wstap_http_clients_left_total", "reason=\"crowded\"", 5.0),
        ("wstap_http_clients_left_total", "reason=\"slow\"", 6.0),
        ("wstap_build_info", "version=", 1.0),
        ("wstap_hooks", "family=\"probe\",means=\"fentry\",sockets=\"unix\"", 1.0),
    ] {
        assert_eq!(value(&text, name, &[labels]), Some(want), "{name}");
    }
    assert!(value(&text, "process_resident_memory_bytes", &[]).unwrap() > 1e6);
    assert!(value(&text, "process_open_fds", &[]).unwrap() >= 3.0);
}

/// Prometheus' own tool reads and lints everything, hostile values included.
#[test]
fn promtool_finds_nothing_to_complain_of() {
    let metrics = metrics(50);
    for outcome in [
        Outcome::Accepted,
        Outcome::Failed,
        Outcome::Rejected,
        Outcome::Unanswered,
        Outcome::TimedOut,
        Outcome::Unobserved,
    ] {
        metrics.count(&Event::Handshake(HandshakeEvent { outcome, ..refused() }));
    }
    for cause in Cause::ALL {
        metrics.count(&Event::Handshake(HandshakeEvent { cause: Some(*cause), ..refused() }));
    }
    for hostile in ["\"} 1\nws_forged_total 1", "\\", "https://\u{0}", "https://ü.example", "\n"] {
        metrics.count(&from(Some(hostile)));
    }
    metrics.count(&Event::Closure(closure()));
    let _open = metrics.connection_opened(RoleName::Server, None);
    let stats = AgentStats {
        lost: vec![("ring-full", 2)],
        bounds: vec![("pending-handshakes", 5)],
        tables: vec![TableStats { name: "sockets", entries: 6, capacity: 1024 }],
        programs: vec![ProgramStats { name: "ingress", run_time: Duration::ZERO, run_count: 0 }],
        ..AgentStats::default()
    };
    let text = metrics.render(&stats, TailStats::default(), &[], Format::Text).unwrap();
    assert!(!text.contains("ws_forged"), "{text}");
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is needed: install it (Debian: apt-get install prometheus)");
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = promtool.wait_with_output().unwrap();
    let complaint = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && complaint.is_empty(), "{complaint}\n{text}");
}
