//! A real Prometheus with the shipped rules, and a real Alertmanager behind it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wstap_tests::http::{self, Answer};
use wstap_tests::process::Process;
use wstap_tests::{free_port, wait_for, workspace};

use crate::stage::Stage;

const OWN: &str = "https://own.example";
const FOREIGN: &str = "https://foreign.example";

/// Prometheus, scraping one agent every second, and the Alertmanager that it tells.
struct Monitoring {
    prometheus: SocketAddr,
    alertmanager: SocketAddr,
    _processes: [Process; 2],
}

fn local() -> Result<SocketAddr> {
    Ok((Ipv4Addr::LOCALHOST, free_port()?).into())
}

/// Asks an HTTP interface for JSON; nothing while it is not ready.
fn ask(server: SocketAddr, path: &str) -> Option<Value> {
    let (status, body) = http::get(server, path).ok()?;
    (status == 200).then(|| serde_json::from_str(&body).ok()).flatten()
}

impl Monitoring {
    fn start(folder: &Path, agent: SocketAddr) -> Result<Self> {
        let (prometheus, alertmanager) = (local()?, local()?);
        let deploy = workspace().join("deploy/prometheus");
        // The shipped rules, evaluated as often as the test scrapes.
        let rules = std::fs::read_to_string(deploy.join("wstap.rules.yml"))?;
        std::fs::write(folder.join("rules.yml"), rules.replace("interval: 30s", "interval: 1s"))?;
        // JSON is YAML.
        let to = |target: SocketAddr| json!([{"targets": [target.to_string()]}]);
        let config = json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yml"],
            "scrape_configs": [{"job_name": "wstap", "static_configs": to(agent)}],
            "alerting": {"alertmanagers": [{"static_configs": to(alertmanager)}]},
        });
        std::fs::write(folder.join("prometheus.yml"), config.to_string())?;
        let route = json!({"route": {"receiver": "none"}, "receivers": [{"name": "none"}]});
        std::fs::write(folder.join("alertmanager.yml"), route.to_string())?;

        let start = |name: &str, storage: &str, address: SocketAddr, more: &[&str]| {
            let mut command = Command::new(name);
            command
                .arg(format!("--config.file={}.yml", name.trim_start_matches("prometheus-")))
                .arg(format!("--{storage}=data-{name}"))
                .arg(format!("--web.listen-address={address}"))
                .args(more)
                .current_dir(folder);
            Process::start(name, &mut command, folder)
        };
        let processes = [
            start("prometheus", "storage.tsdb.path", prometheus, &[])?,
            start(
                "prometheus-alertmanager",
                "storage.path",
                alertmanager,
                &["--cluster.listen-address="],
            )?,
        ];
        Ok(Self { prometheus, alertmanager, _processes: processes })
    }

    /// The series that a query gives now; nothing while Prometheus is not ready.
    fn query(&self, query: &str) -> Option<Vec<Value>> {
        let escaped =
            query.bytes().fold(String::new(), |text, byte| text + &format!("%{byte:02X}"));
        let answer = ask(self.prometheus, &format!("/api/v1/query?query={escaped}"))?;
        (answer["status"] == "success").then(|| answer["data"]["result"].as_array().cloned())?
    }

    /// The value of a query that gives one series.
    fn value(&self, query: &str) -> Option<f64> {
        match self.query(query)?.as_slice() {
            [series] => series["value"][1].as_str()?.parse().ok(),
            _ => None,
        }
    }
}

/// What Grafana would ask for.
fn dashboard_queries() -> Result<Vec<String>> {
    let file = std::fs::read_to_string(workspace().join("deploy/grafana/wstap.json"))?;
    let dashboard: Value = serde_json::from_str(&file)?;
    let panels = dashboard["panels"].as_array().context("panels")?;
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let query = |target: &Value| {
        let query = target["expr"].as_str()?.replace("$__rate_interval", "1m");
        let query = query.replace("$__range", "5m").replace("$origin", ".*");
        Some(query.replace("$instance", ".*").replace("$job", "wstap"))
    };
    Ok(targets.filter_map(query).collect())
}

/// Families that have no series before a client gave up, or many came again at once.
const BEGIN_WITH_TROUBLE: [&str; 2] = ["ws_clients_gave_up_total", "ws_reconnect_storms_total"];

#[test]
fn rates_alerts_and_the_dashboard_are_read_back() -> Result<()> {
    let stage = Stage::new(
        "prometheus",
        &["--allow-origin", r"https://own\.example", "--max-paths", "20"],
    )?;
    let monitoring = Monitoring::start(&stage.folder, stage.agent.address())?;
    wait_for("the first scrape", || Ok(monitoring.value(r#"up{job="wstap"} == 1"#)))?;

    let visit = |path: &str, origin: &str, status: u16| {
        let request = http::upgrade(path, "own.example", origin);
        let answer = http::ask(stage.server(), request.as_bytes())?;
        ensure!(answer == Answer::Status(status), "{path}: {answer:?}");
        Ok(())
    };
    // Three of four of our own pass, one of two foreign ones; no connection ends with a close frame.
    let round = || -> Result<()> {
        for _ in 0..3 {
            visit("/accept", OWN, 101)?;
        }
        visit("/reject/403", OWN, 403)?;
        visit("/accept", FOREIGN, 101)?;
        visit("/reject/403", FOREIGN, 403)
    };
    // A scrape may come in the middle of a round.
    let near = |query: String, wanted: f64| {
        monitoring.value(&query).is_some_and(|value| (value - wanted).abs() < 0.05)
    };
    wait_for("the recorded rates", || {
        round()?;
        let right = near(format!("ws_handshake_success_rate{{origin={OWN:?}}}"), 0.75)
            && near(format!("ws_handshake_success_rate{{origin={FOREIGN:?}}}"), 0.5)
            && near(format!("ws_abnormal_closure_rate{{origin={OWN:?}}}"), 1.0);
        Ok(right.then_some(()))
    })?;

    let alert = wait_for("the alert in the Alertmanager", || {
        let alerts = ask(monitoring.alertmanager, "/api/v2/alerts");
        Ok(alerts
            .as_ref()
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .find(|alert| {
                let labels = &alert["labels"];
                labels["alertname"] == "WebSocketForeignOriginAccepted"
                    && labels["origin"] == FOREIGN
            })
            .cloned())
    })?;
    ensure!(alert["labels"]["severity"] == "critical", "{alert}");

    for query in dashboard_queries()? {
        let series = monitoring.query(&query).with_context(|| format!("not answered: {query}"))?;
        // Those with a threshold show trouble only, and some families begin with trouble that is not made here.
        let shows_trouble =
            query.contains("> 0") || BEGIN_WITH_TROUBLE.iter().any(|name| query.contains(name));
        ensure!(shows_trouble || !series.is_empty(), "nothing for: {query}");
    }
    Ok(())
}
