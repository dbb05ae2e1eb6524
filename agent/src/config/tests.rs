use std::{io::Write as _, time::Duration};

use super::{ConfigError, OriginPolicy, Settings, file};
use crate::{
    config::{CaptureOptions, EventsWanted, JudgeOptions, ServeOptions, SinkOptions},
    event::{Policy, RoleName},
    kernel::Hooks,
};

fn parse(text: &str) -> Result<ServeOptions, ConfigError> {
    file::parse(text, "config.toml")
}

fn allowing(patterns: &[&str]) -> Result<OriginPolicy, ConfigError> {
    OriginPolicy::new(&patterns.iter().map(|&pattern| pattern.to_owned()).collect::<Vec<_>>())
}

#[test]
fn every_key_is_read() {
    let options = parse(
        r#"
        metrics-addr = "0.0.0.0:9000"
        socket = "/tmp/s.sock"
        handshake-timeout = "1m 30s"
        max-origins = 7
        max-paths = 50
        workload-labels = true
        workload-grace = "1m"
        pod-labels = ["app", "team"]
        roles = ["server", "client"]
        allow-origin = ['https://([a-z0-9-]+\.)?example\.com']
        hooks = "probe"
        cgroup = "/sys/fs/cgroup"
        cri-socket = "/run/containerd/containerd.sock"
        ignore-audit = "nightly"
        ready-file = "/tmp/ready"
        events = "failed"
        events-rate = 7
        history-bytes = 0
        otlp-endpoint = "https://otlp.example:4317"
        otlp-events = "all"
        otlp-headers = ["authorization=Bearer x=y"]
        otlp-ca = "/etc/ca.pem"
        "#,
    )
    .unwrap();
    let sinks = options.sinks.clone().resolve().unwrap();
    assert_eq!((sinks.events, sinks.events_rate), (Some(EventsWanted::Failed), 7));
    assert_eq!(sinks.history_bytes, 0);
    let otlp = sinks.otlp.unwrap();
    assert_eq!((&*otlp.endpoint, otlp.events), ("https://otlp.example:4317", EventsWanted::All));
    assert_eq!(otlp.headers, [("authorization".to_owned(), "Bearer x=y".to_owned())]);
    assert_eq!(otlp.ca, Some("/etc/ca.pem".into()));
    assert_eq!(options.metrics_addr, Some("0.0.0.0:9000".parse().unwrap()));
    assert_eq!(options.max_origins, Some(7));
    assert_eq!((options.max_paths, options.workload_labels), (Some(50), Some(true)));
    assert_eq!(options.workload_grace, Some(Duration::from_secs(60)));
    assert_eq!(options.capture.pod_labels, ["app", "team"]);
    assert_eq!(options.roles, [RoleName::Server, RoleName::Client]);
    assert_eq!(options.ignore_audit.as_deref(), Some("nightly"));
    assert_eq!(options.ready_file, Some("/tmp/ready".into()));
    assert_eq!(options.capture.socket, Some("/tmp/s.sock".into()));
    assert_eq!(options.capture.hooks, Some(Hooks::Probe));
    assert_eq!(options.capture.cgroup, Some("/sys/fs/cgroup".into()));
    assert_eq!(options.capture.cri_socket, Some("/run/containerd/containerd.sock".into()));
    assert_eq!(options.capture.judge.handshake_timeout, Some(Duration::from_secs(90)));
    assert_eq!(options.capture.judge.allow_origin, [r"https://([a-z0-9-]+\.)?example\.com"]);
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_key() {
    for (key, nearest) in [
        ("metric-addr", "metrics-addr"),
        ("max_origins", "max-origins"),
        ("handshake-timeuot", "handshake-timeout"),
        ("role", "roles"),
        ("allow-origins", "allow-origin"),
        ("max-path", "max-paths"),
        ("workload-label", "workload-labels"),
        ("workloads-grace", "workload-grace"),
        ("pods-labels", "pod-labels"),
    ] {
        let error = parse(&format!("# comment\n\n{key} = 1\n")).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("config.toml: line 3: unknown key `{key}`: did you mean `{nearest}`?")
        );
    }
    let error = parse("zzz = 1").unwrap_err().to_string();
    assert!(
        error.contains("the keys are handshake-timeout, allow-origin, answer-text, socket"),
        "{error}"
    );
    assert!(parse("[metrics]\naddr = 1").is_err());
}

#[test]
fn a_wrong_value_is_refused_with_its_line_in_one_line() {
    for text in [
        "\nmetrics-addr = \"nowhere\"",
        "\nmax-origins = \"many\"",
        "\nhandshake-timeout = 10",
        "\nhandshake-timeout = \"10\"",
        "\nhandshake-timeout = \"-1s\"",
        "\nroles = [\"proxy\"]",
        "\nmax-origins = = 3",
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with("config.toml: line 2: "), "{text}: {error}");
        assert!(!error.contains('\n'), "{text}: {error}");
    }
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(
        file,
        "max-origins = 7\nsocket = \"/file.sock\"\nallow-origin = ['https://a\\.example']"
    )
    .unwrap();
    let flags = ServeOptions {
        capture: CaptureOptions { socket: Some("/flag.sock".into()), ..CaptureOptions::default() },
        ..ServeOptions::default()
    };
    let settings = Settings::resolve(flags, Some(file.path())).unwrap();
    assert_eq!(settings.socket, std::path::Path::new("/flag.sock"));
    assert_eq!(settings.max_origins, 7);
    assert_eq!(settings.policy.patterns(), [r"https://a\.example"]);
    assert_eq!(settings.handshake_timeout, super::DEFAULT_HANDSHAKE_TIMEOUT);
    assert_eq!(settings.roles, [RoleName::Server]);
}

#[test]
fn what_check_config_prints_is_a_configuration_file() {
    let options = parse(
        "allow-origin = ['https://it\\.example\\d']\nhandshake-timeout = \"3s\"\nmax-paths = 9\n\
         workload-labels = true\nworkload-grace = \"90s\"\ncri-socket = \"/run/c.sock\"\n\
         pod-labels = [\"app\"]",
    );
    let settings = Settings::resolve(options.unwrap(), Some("/dev/null".as_ref())).unwrap();
    let again =
        Settings::resolve(parse(&settings.to_string()).unwrap(), Some("/dev/null".as_ref()))
            .unwrap();
    assert_eq!(settings.to_string(), again.to_string());
    assert_eq!(again.handshake_timeout, Duration::from_secs(3));
    assert_eq!((again.max_paths, again.workload_grace), (9, Some(Duration::from_secs(90))));
    assert_eq!(again.pod_labels, ["app"]);
}

#[test]
fn what_goes_to_an_otlp_receiver_is_checked_and_its_secrets_are_never_shown() {
    let settings = |endpoint: &str, header: &str| {
        let sinks = SinkOptions {
            otlp_endpoint: Some(endpoint.to_owned()),
            otlp_headers: vec![header.to_owned()],
            ..SinkOptions::default()
        };
        let options = ServeOptions { sinks, ..ServeOptions::default() };
        Settings::resolve(options, Some("/dev/null".as_ref()))
    };
    let good = settings("http://otlp.example:4317", "X-Key = s3cret").unwrap();
    assert!(good.to_string().contains("x-key is set"), "{good}");
    for text in [good.to_string(), format!("{good:?}")] {
        assert!(!text.contains("s3cret"), "{text}");
    }
    for (endpoint, header) in [
        ("otlp.example:4317", "a=b"),
        ("ftp://otlp.example", "a=b"),
        ("http://s3cret:s3cret@otlp.example", "a=b"),
        ("http://otlp.example/s3cret", "a=b"),
        ("http://otlp.example", "s3cret"),
        ("http://otlp.example", "a b=s3cret"),
        ("http://otlp.example", "a=s3cret\n"),
    ] {
        if let Err(error) = settings(endpoint, header) {
            assert!(!error.to_string().contains("s3cret"), "{error}");
        } else {
            // White space around a value is none of it.
            assert_eq!(header, "a=s3cret\n");
        }
    }
}

#[test]
fn values_outside_their_bounds_are_refused() {
    let judge = |timeout| JudgeOptions { handshake_timeout: Some(timeout), ..Default::default() };
    for options in [
        ServeOptions { max_origins: Some(0), ..Default::default() },
        ServeOptions { max_origins: Some(1_000_000), ..Default::default() },
        ServeOptions { max_paths: Some(1_001), ..Default::default() },
        ServeOptions { workload_grace: Some(Duration::ZERO), ..Default::default() },
        CaptureOptions { pod_labels: vec!["app".to_owned(); 17], ..Default::default() }.into(),
        ServeOptions {
            sinks: SinkOptions { events_rate: Some(0), ..Default::default() },
            ..Default::default()
        },
        ServeOptions {
            sinks: SinkOptions { history_bytes: Some(usize::MAX), ..Default::default() },
            ..Default::default()
        },
        judge(Duration::ZERO).into(),
        judge(Duration::from_secs(3600)).into(),
    ] {
        let error = Settings::resolve(options, Some("/dev/null".as_ref())).unwrap_err();
        assert!(matches!(error, ConfigError::OutOfBounds { .. }), "{error}");
    }
    let labels = CaptureOptions { pod_labels: vec!["app".to_owned()], ..Default::default() };
    let alone = Settings::resolve(labels.into(), Some("/dev/null".as_ref())).unwrap_err();
    assert!(matches!(alone, ConfigError::LabelsWithoutRuntime), "{alone}");
    let missing = Settings::resolve(ServeOptions::default(), Some("/nowhere.toml".as_ref()));
    assert!(missing.unwrap_err().to_string().contains("cannot read /nowhere.toml"));
}

#[test]
fn the_policy_tells_our_own_origins_from_foreign_ones() {
    let policy =
        allowing(&[r"https://([a-z0-9-]+\.)?example\.com", r"http://localhost:\d+"]).unwrap();
    for (origin, want) in [
        ("https://example.com", Policy::Allowed),
        ("https://app.example.com", Policy::Allowed),
        ("HTTPS://App.Example.com:443", Policy::Allowed),
        ("http://localhost:3000", Policy::Allowed),
        ("https://example.com.evil.example", Policy::Foreign),
        ("https://evilexample.com", Policy::Foreign),
        ("http://example.com", Policy::Foreign),
        ("null", Policy::Foreign),
        ("https://example.com, https://example.com", Policy::Foreign),
        ("https://example.com\nx", Policy::Foreign),
    ] {
        assert_eq!(policy.judge(Some(origin)), want, "{origin}");
    }
    assert_eq!(policy.judge(None), Policy::None);
    assert_eq!(OriginPolicy::default().judge(Some("https://example.com")), Policy::None);
}

#[test]
fn a_pattern_that_matches_every_origin_is_refused() {
    for pattern in
        [".*", ".+", "https?://.*", "https://.+", r"https://[^/]+", "http://.*", "a|.*", ""]
    {
        let refused = allowing(&["https://a\\.example", pattern]);
        match refused {
            Err(ConfigError::MatchesEverything { pattern: named }) => assert_eq!(named, pattern),
            // Matches nothing at all: harmless.
            Ok(_) => assert_eq!(pattern, ""),
            other => panic!("{pattern}: {other:?}"),
        }
    }
    let error = allowing(&["https://(a"]).unwrap_err().to_string();
    assert!(error.contains("unclosed group") && !error.contains('\n'), "{error}");
}
