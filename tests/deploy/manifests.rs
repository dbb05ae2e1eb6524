//! The manifests, the chart and the unit: valid, and with the privileges that the documentation names.

use std::path::Path;

use anyhow::Result;
use wstap::config::{ServeOptions, Settings};

use super::{read, shipped};

/// Everything that the agent may do beyond an ordinary process, without the `CAP_` of it.
const CAPABILITIES: [&str; 3] = ["BPF", "PERFMON", "NET_ADMIN"];

#[test]
fn configuration_files_are_accepted() -> Result<()> {
    for file in ["kustomize/base/config.toml", "kustomize/example/config.toml"] {
        let settings = Settings::resolve(ServeOptions::default(), Some(&shipped(file)))?;
        assert_eq!(settings.metrics_addr.to_string(), "0.0.0.0:9843", "{file}");
        assert_eq!(settings.cgroup.as_deref(), Some(Path::new("/host/cgroup")), "{file}");
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
