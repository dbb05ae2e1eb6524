//! Two proxies in a row: the outer ends TLS, the inner sits before the backend.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Instant;

use anyhow::Result;
use wstap_tests::process::Process;

use super::stage::{Stage, fronts, listening, run};

/// What stands in an inner nginx's location beside the usual.
const INNER: &[(&str, &[&str])] = &[
    ("proxy_set_header X-Forwarded-Proto $http_x_forwarded_proto;", &[]),
    // It speaks of its own leg.
    (
        "proxy_set_header X-Forwarded-Proto $scheme;",
        &["forwarded/proto fail forwarded-proto-wrong"],
    ),
    (
        "proxy_set_header X-Forwarded-Proto $http_x_forwarded_proto; proxy_set_header Upgrade '';",
        &["handshake fail upgrade-stripped"],
    ),
    (
        "proxy_set_header X-Forwarded-Proto $http_x_forwarded_proto; proxy_set_header Host $proxy_host;",
        &["arrived/host fail host-rewritten"],
    ),
];

/// HAProxy, then nginx.
fn chain(stage: &Stage, outer: &[SocketAddr], inner: &[SocketAddr]) -> Result<[Process; 2]> {
    let place = stage.folder.display();
    let mut text = format!(
        "daemon off;\npid {place}/nginx.pid;\nworker_processes 1;\nevents {{ }}\nhttp {{\naccess_log off;\n"
    );
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(text, "{kind}_temp_path {place}/nginx-{kind};")?;
    }
    for ((more, _), front) in INNER.iter().zip(inner) {
        // A header that is set twice is sent twice: what the fault sets is left out here.
        let usual =
            [("Upgrade", "$http_upgrade"), ("Host", "$http_host"), ("Connection", "upgrade")];
        let usual = usual.iter().filter(|(name, _)| !more.contains(&format!("header {name} ")));
        let mut lines = String::new();
        for (name, value) in usual {
            writeln!(lines, "proxy_set_header {name} {value};")?;
        }
        let usual = lines;
        writeln!(
            text,
            "server {{\nlisten {front};\nlocation / {{\nproxy_pass http://{};\nproxy_http_version 1.1;\n\
             {usual}{more}\n}}\n}}",
            stage.backend
        )?;
    }
    text.push_str("}\n");
    let nginx_file = stage.folder.join("nginx.conf");
    std::fs::write(&nginx_file, text)?;
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
    let mut nginx = Command::new("nginx");
    nginx.env("PATH", &path).arg("-c").arg(nginx_file).args(["-e", "stderr", "-p"]);
    let nginx = Process::start("nginx", nginx.arg(&stage.folder), &stage.folder)?;

    let mut text =
        "defaults\nmode http\ntimeout connect 5s\ntimeout client 60s\ntimeout server 60s\n\
                    timeout tunnel 60s\n"
            .to_owned();
    for (number, (front, to)) in outer.iter().zip(inner).enumerate() {
        writeln!(
            text,
            "listen chain{number}\nbind {front} ssl crt {}\nhttp-request set-header X-Forwarded-Proto https\n\
             http-request del-header X-Forwarded-Host\nhttp-request del-header X-Forwarded-Port\n\
             http-request del-header X-Forwarded-For\nhttp-request del-header Forwarded\n\
             server inner {to}",
            stage.both().display()
        )?;
    }
    let haproxy_file = stage.folder.join("haproxy.cfg");
    std::fs::write(&haproxy_file, text)?;
    let mut haproxy = Command::new("haproxy");
    haproxy.env("PATH", &path).arg("-db").arg("-f").arg(haproxy_file);
    let haproxy = Process::start("haproxy", &mut haproxy, &stage.folder)?;
    Ok([nginx, haproxy])
}

#[test]
fn a_fault_of_the_inner_proxy_is_found_through_the_outer_one() -> Result<()> {
    let stage = Stage::new("chain")?;
    let (outer, inner) = (fronts(INNER.len())?, fronts(INNER.len())?);
    let _proxies = chain(&stage, &outer, &inner)?;
    listening("the chain", &[&outer[..], &inner[..]].concat())?;
    for ((more, wanted), front) in INNER.iter().zip(&outer) {
        let mut command = stage.audit_to_backend(*front);
        let closed = wstap_tests::free_port()?;
        let begin = Instant::now();
        let audited = run(command.args(["--plain-port", &closed.to_string()]))?;
        assert_eq!(audited.faults(), *wanted, "{more}\n{}", audited.text);
        if wanted.is_empty() {
            assert_eq!(audited.doubts(), [""; 0], "{}", audited.text);
            // Published, not asserted: other tests run beside it.
            println!("an audit of a healthy chain of two took {:?}", begin.elapsed());
        }
    }
    Ok(())
}
