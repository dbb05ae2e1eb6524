//! The container image for all architectures, as an OCI archive: `podman load`, `skopeo copy oci-archive:...`.

use std::fs;
use std::process::Command;

use anyhow::Result;

use super::binary::Built;
use super::files;
use super::release::Release;
use crate::command::{run, workspace};
use crate::debian::fresh;

/// The name that the build tool keeps the list of images under while it works.
const LIST: &str = "localhost/wstap-dist";

pub(super) fn archive(binaries: &[Built], release: &Release) -> Result<()> {
    let work = super::folder().join("work/image");
    fresh(&work)?;
    forget();
    for built in binaries {
        let context = work.join(built.arch.name());
        fs::create_dir(&context)?;
        fs::copy(&built.binary, context.join("wstap"))?;
        // As deploy/image/build.sh does it, and for its reason.
        run(Command::new("setcap")
            .arg("cap_bpf,cap_perfmon,cap_net_admin+ep")
            .arg(context.join("wstap")))?;
        run(Command::new("buildah")
            .args(["build", "--quiet", "--timestamp", &release.epoch, "--manifest", LIST])
            .args(["--platform", &format!("linux/{}", built.arch.debian()), "--file"])
            .arg(workspace().join("deploy/image/Containerfile"))
            .arg(&context))?;
    }
    let layout = work.join("layout");
    let place = format!("oci:{}:wstap:{}", layout.display(), release.version);
    let pushed =
        run(Command::new("buildah").args(["manifest", "push", "--quiet", "--all", LIST, &place]));
    forget();
    pushed?;
    // By our own tar, for the sake of its order and times.
    let file = super::folder().join(format!("wstap-{}-image.tar.gz", release.version));
    files::archive(&layout, ".", &file, release)
}

/// Removes the list, from this run or from one that was broken off.
fn forget() {
    let _none = Command::new("buildah").args(["manifest", "rm", LIST]).output();
}
