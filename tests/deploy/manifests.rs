//! The manifests, the chart and the unit: valid, and with the privileges that the documentation names.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use wstap::config::{ServeOptions, Settings};
use wstap_tests::{scratch, workspace};

use super::{read, shipped, succeed};

/// Everything that the agent may do beyond an ordinary process, without the `CAP_` of it.
const CAPABILITIES: [&str; 3] = ["BPF", "PERFMON", "NET_ADMIN"];

#[test]
fn configuration_files_are_accepted() -> Result<()> {
    for file in ["kustomize/base/config.toml", "kustomize/example/config.toml"] {
        let settings = Settings::resolve(ServeOptions::default(), Some(&shipped(file)))?;
        assert_eq!(settings.metrics_addr.to_string(), "0.0.0.0:9843", "{file}");
        assert_eq!(settings.cgroup.as_deref(), Some(Path::new("/host/cgroup")), "{file}");
        assert_eq!(settings.max_paths, 100, "{file}: the alert for 403s on a path needs it");
    }
    Ok(())
}

#[test]
fn every_way_of_running_it_grants_the_same_three_capabilities() -> Result<()> {
    let list = CAPABILITIES.map(|name| format!("\"{name}\"")).join(", ");
    let names = CAPABILITIES.map(|name| format!("CAP_{name}"));
    for file in ["kustomize/base/daemonset.yaml", "helm/wstap/templates/daemonset.yaml"] {
        let text = read(&shipped(file))?;
        assert!(text.contains(&format!("add: [{list}]")), "{file}");
        assert!(text.contains("drop: [\"ALL\"]"), "{file}");
        assert!(text.contains("readOnlyRootFilesystem: true"), "{file}");
        assert!(text.contains("runAsNonRoot: true"), "{file}");
        assert!(text.contains("allowPrivilegeEscalation: false"), "{file}");
        assert!(text.contains("automountServiceAccountToken: false"), "{file}");
        assert!(!text.contains("hostNetwork") && !text.contains("privileged: true"), "{file}");
    }
    let unit = read(&shipped("systemd/wstap.service"))?;
    for key in ["CapabilityBoundingSet", "AmbientCapabilities"] {
        assert!(unit.contains(&format!("{key}={}\n", names.join(" "))), "{key}");
    }
    assert!(unit.contains("NoNewPrivileges=yes"));
    let image = read(&shipped("image/build.sh"))?;
    assert!(image.contains(&format!("setcap {}+ep", names.join(",").to_lowercase())));
    Ok(())
}

#[test]
fn systemd_accepts_the_unit() -> Result<()> {
    // Where the program is not installed systemd would complain of that.
    let unit = read(&shipped("systemd/wstap.service"))?;
    let unit = unit.replace("ExecStart=/usr/local/bin/wstap ", "ExecStart=/bin/true ");
    assert!(unit.contains("/bin/true"));
    let file = scratch("deploy-unit")?.join("wstap.service");
    std::fs::write(&file, unit)?;
    let said = succeed(Command::new("systemd-analyze").arg("verify").arg(&file))?;
    assert!(!said.contains("wstap.service"), "{said}");
    Ok(())
}

/// A program of the Python packages that `cargo xtask setup` installs.
fn tool(name: &str) -> Command {
    Command::new(workspace().join("target/python/bin").join(name))
}

/// Kubernetes versions whose schemas the manifests must fit.
const VERSIONS: [&str; 2] = ["1.26", "1.37"];
/// The Prometheus operator's kinds, whose schemas are in no package.
const OPERATOR_KINDS: [&str; 3] = ["PodMonitor", "PrometheusRule", "ServiceMonitor"];

/// Validates the manifests, and says which kinds there are.
fn validated(file: &str, manifests: &str) -> Result<Vec<String>> {
    let path: PathBuf = scratch(&format!("deploy-{file}"))?.join("manifests.yaml");
    std::fs::write(&path, manifests)?;
    for version in VERSIONS {
        let said =
            succeed(tool("kubernetes-validate").args(["--strict", "-k", version]).arg(&path))?;
        for line in
            said.lines().filter(|line| line.starts_with("WARN") || line.starts_with("ERROR"))
        {
            let known = OPERATOR_KINDS.iter().any(|kind| line.contains(&format!("kind {kind} ")));
            assert!(known, "{file}: {line}");
        }
    }
    let kinds = manifests.lines().filter_map(|line| line.strip_prefix("kind: "));
    let mut kinds: Vec<_> = kinds.map(str::to_owned).collect();
    kinds.sort_unstable();
    Ok(kinds)
}

#[test]
fn kustomizations_build_and_fit_the_schemas() -> Result<()> {
    let build = |folder: &str| {
        succeed(tool("kubectl").arg("kustomize").arg(shipped("kustomize").join(folder)))
    };
    let base = ["ConfigMap", "DaemonSet", "Namespace", "Service", "ServiceAccount"];
    assert_eq!(validated("base", &build("base")?)?, base);
    let example = build("example")?;
    let mut with_components = [&base[..], &["PodMonitor", "PrometheusRule"]].concat();
    with_components.sort_unstable();
    assert_eq!(validated("example", &example)?, with_components);
    assert!(
        example.contains(concat!("image: registry.example.com/wstap:", env!("CARGO_PKG_VERSION")))
    );

    let folder = scratch("deploy-components")?;
    // Kustomize takes relative paths only.
    let up = "../".repeat(
        folder.canonicalize()?.strip_prefix(workspace().canonicalize()?)?.components().count(),
    );
    for component in std::fs::read_dir(shipped("kustomize/components"))? {
        let name = component?.file_name().into_string().map_err(|name| anyhow!("{name:?}"))?;
        let kustomize = format!("{up}deploy/kustomize");
        let wanted = json!({
            "resources": [format!("{kustomize}/base")],
            "components": [format!("{kustomize}/components/{name}")],
        });
        // JSON is YAML.
        std::fs::write(folder.join("kustomization.yaml"), wanted.to_string())?;
        let built = succeed(tool("kubectl").arg("kustomize").arg(&folder)).context(name.clone())?;
        validated(&format!("component-{name}"), &built)?;
    }
    Ok(())
}

#[test]
fn the_chart_renders_and_fits_the_schemas() -> Result<()> {
    let render = |values: Value| -> Result<String> {
        let output = scratch("deploy-render")?.join("chart.yaml");
        let mut python = tool("python");
        python.arg(workspace().join("tests/deploy/render_chart.py")).arg(shipped("helm/wstap"));
        succeed(python.arg(values.to_string()).arg(&output))?;
        read(&output)
    };
    let least = ["ConfigMap", "DaemonSet", "Service", "ServiceAccount"];
    assert_eq!(validated("chart", &render(json!({}))?)?, least);
    let on = json!({"enabled": true});
    let all = render(json!({
        "allowOrigins": [r"https://([a-z0-9-]+\.)?example\.com"],
        "extraConfig": "max-origins = 500",
        "processNames": true,
        "maxPaths": 50,
        "workloadLabels": true,
        "podNames": {"enabled": true, "labels": ["app", "team"]},
        "podMonitor": on, "serviceMonitor": on, "prometheusRule": on, "grafanaDashboard": on,
    }))?;
    let mut most = [&least[..], &OPERATOR_KINDS, &["ConfigMap"]].concat();
    most.sort_unstable();
    assert_eq!(validated("chart-all", &all)?, most);

    // The configuration that the chart writes is one that the agent takes.
    let (_, config) = all.split_once("  config.toml: |\n").context("a configuration")?;
    let lines = config.lines().take_while(|line| line.is_empty() || line.starts_with("    "));
    let config: Vec<_> = lines.map(str::trim_start).collect();
    let file = scratch("deploy-chart-config")?.join("config.toml");
    std::fs::write(&file, config.join("\n"))?;
    let settings = Settings::resolve(ServeOptions::default(), Some(&file))?;
    assert_eq!((settings.max_origins, settings.max_paths), (500, 50));
    assert!(settings.workload_grace.is_some());
    assert_eq!(settings.cri_socket.as_deref(), Some(Path::new("/host/runtime/containerd.sock")));
    assert_eq!(settings.pod_labels, ["app", "team"]);
    assert_eq!(settings.policy.patterns(), [r"https://([a-z0-9-]+\.)?example\.com"]);
    Ok(())
}
