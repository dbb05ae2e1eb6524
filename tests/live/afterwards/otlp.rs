//! OTLP logs, taken by a receiver on the official protocol packages.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use wstap_tests::process::{Lines, Process};
use wstap_tests::{free_port, http, workspace};

use crate::stage::Stage;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// A receiver that answers as told.
fn receiver(folder: &Path, port: u16, answer: &str) -> Result<(Process, Lines)> {
    let mut python = Command::new(workspace().join("target/servers/bin/python"));
    python.arg(workspace().join("tests/live/servers/otlp/receiver.py"));
    python.arg(port.to_string()).arg(answer);
    let (process, lines) =
        Process::start_with_lines(&format!("otlp-{answer}"), &mut python, folder)?;
    let line = lines.next().with_context(|| process.log())?;
    ensure!(line == "listening", "{line}");
    Ok((process, lines))
}

fn refused(stage: &Stage, path: &str) -> Result<()> {
    let request = http::upgrade(path, "here.example", "https://app.example");
    let traced = format!("\r\ntraceparent: 00-{TRACE}-{SPAN}-01\r\n\r\n");
    let request = request.trim_end().to_owned() + &traced;
    http::ask(stage.server(), request.as_bytes())?;
    Ok(())
}

fn attribute<'a>(record: &'a Value, key: &str) -> &'a Value {
    let attributes = record["attributes"].as_array();
    attributes
        .and_then(|all| all.iter().find(|attribute| attribute["key"] == key))
        .map_or(&Value::Null, |attribute| &attribute["value"])
}

/// The records of this test's server role, up to the one with this path.
fn until(lines: &Lines, path: &str) -> Result<Vec<Value>> {
    let mut records = Vec::new();
    loop {
        let record: Value = serde_json::from_str(&lines.next()?)?;
        let is_own = attribute(&record, "server.address")["stringValue"] == "here.example"
            && attribute(&record, "wstap.role")["stringValue"] == "server";
        if is_own {
            let is_last = attribute(&record, "url.path")["stringValue"] == path;
            records.push(record);
            if is_last {
                return Ok(records);
            }
        }
    }
}

#[test]
fn a_refusal_is_a_log_record_in_the_trace_of_the_request() -> Result<()> {
    let port = free_port()?;
    let endpoint = format!("http://127.0.0.1:{port}");
    let stage =
        Stage::new("otlp", &["--otlp-endpoint", &endpoint, "--otlp-headers", "x-key=s3cret"])?;
    let (_receiver, lines) = receiver(&stage.folder, port, "ok")?;
    refused(&stage, "/reject/403")?;
    let records = until(&lines, "/reject/403")?;
    let record = records.last().context("one came")?;
    ensure!(record["traceId"] == TRACE && record["spanId"] == SPAN, "{record:#}");
    ensure!(
        record["severityText"] == "ERROR" && record["eventName"] == "wstap.handshake",
        "{record:#}"
    );
    ensure!(record["scope"] == "wstap" && record["key"] == "s3cret", "{record:#}");
    ensure!(attribute(record, "http.request.method")["stringValue"] == "GET", "{record:#}");
    ensure!(attribute(record, "http.response.status_code")["intValue"] == "403", "{record:#}");
    let cause = &attribute(record, "error.type")["stringValue"];
    ensure!(cause.is_string(), "{record:#}");
    ensure!(attribute(record, "network.peer.address")["stringValue"] == "127.0.0.1", "{record:#}");
    let body = record["body"]["stringValue"].as_str().unwrap_or_default();
    ensure!(body.contains("rejected 403") && body.contains("here.example/reject/403"), "{body}");
    // The live tail names the same event.
    let event = stage.event(|event| event["path"] == "/reject/403" && event["role"] == "server")?;
    ensure!(event["id"] == attribute(record, "log.record.uid")["stringValue"], "{event:#}");
    ensure!(event["trace_id"] == TRACE, "{event:#}");
    Ok(())
}

#[test]
fn a_receiver_that_is_down_gets_its_records_when_it_is_back() -> Result<()> {
    let port = free_port()?;
    let endpoint = format!("http://127.0.0.1:{port}");
    let stage = Stage::new("otlp-down", &["--otlp-endpoint", &endpoint])?;
    refused(&stage, "/reject/403/first")?;
    refused(&stage, "/reject/403/second")?;
    // Long enough for more than one try in vain.
    std::thread::sleep(Duration::from_secs(4));
    let (receiver, lines) = receiver(&stage.folder, port, "ok")?;
    let records = until(&lines, "/reject/403/second")?;
    ensure!(records.len() == 2, "each once: {records:#?}");
    // Away again, and back.
    drop(receiver);
    refused(&stage, "/reject/403/third")?;
    std::thread::sleep(Duration::from_secs(2));
    let (_receiver, lines) = self::receiver(&stage.folder, port, "ok")?;
    until(&lines, "/reject/403/third")?;
    stage.agent.wait_for_metrics("three records to be sent", |metrics| {
        let count = |result| {
            metrics.count("wstap_events_out_total", &[("output", "otlp"), ("result", result)])
        };
        count("sent") >= 3 && count("failed") == 0 && count("dropped") == 0
    })?;
    Ok(())
}

#[test]
fn a_slow_receiver_and_one_that_refuses_hold_up_nothing() -> Result<()> {
    let count = |stage: &Stage, result: &str| -> Result<u64> {
        let labels = [("output", "otlp"), ("result", result)];
        Ok(stage.agent.metrics()?.count("wstap_events_out_total", &labels))
    };
    for answer in ["slow", "INVALID_ARGUMENT"] {
        let port = free_port()?;
        let endpoint = format!("http://127.0.0.1:{port}");
        let name = format!("otlp-{answer}");
        let stage = Stage::new(&name, &["--otlp-endpoint", &endpoint])?;
        let (_receiver, lines) = receiver(&stage.folder, port, answer)?;
        for _ in 0..200 {
            refused(&stage, "/reject/403")?;
        }
        // The live tail is as fast as ever.
        stage.events_until_now()?;
        if answer == "slow" {
            refused(&stage, "/reject/403/last")?;
            until(&lines, "/reject/403/last")?;
        } else {
            // What can never succeed is not tried again.
            wstap_tests::wait_for("the refused records to be counted", || {
                Ok((count(&stage, "failed")? >= 200).then_some(()))
            })?;
            ensure!(count(&stage, "sent")? == 0);
        }
    }
    Ok(())
}
